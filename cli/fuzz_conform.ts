/**
 * `virtfs fuzz conform`: cases with a name and a rule each, held with any 9P server; or the answers of
 * two servers side by side.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import {
  type CaseResult,
  compareByScripts,
  conform,
  conformExactly,
  dialTarget,
  findingOf,
  type HostView,
  isLocal,
  loadCases,
  OWN_SERVERS,
  OwnTarget,
  parseTargetAddress,
  profileOf,
  PROFILES,
  type Script,
  SocketServer,
  SpawnedTarget,
  type Target,
  TemporaryExport,
  type Verdict,
} from "../lib/fuzz/mod.ts";
import { umask } from "../lib/linux/mod.ts";
import { tellUnconfined, UNCONFINED } from "./fuzz_words.ts";
import { EXIT, type Output, paint, Progress, type Style, writeJson } from "./output.ts";

/** The words of the command are wrong. */
class ConformUsageError extends Error {
  /** By which the exit code is chosen. */
  override readonly name = "UsageError";
}

interface Options {
  readonly spawn?: string;
  readonly to?: string;
  readonly unconfined?: boolean;
  readonly scratch?: string;
  readonly against?: string;
  readonly againstSpawn?: string;
  readonly profile: string;
  readonly aname: string;
  readonly againstAname: string;
  readonly uid?: number;
  readonly timeout: number;
  readonly only?: RegExp;
  readonly cases?: string;
  readonly list?: boolean;
  readonly anywhere?: boolean;
  readonly json?: boolean;
}

const OWN = ["memory", "folder", "unix", "tcp", "vhost-user"];
const CASES = new URL("../test/scripts/", import.meta.url);

function commandFor(output: Output): Command {
  return new Command("virtfs fuzz conform")
    .description(
      "Hold named cases, each with the rule that it checks, with a 9P server.\n\n" +
        "TARGET: tcp://HOST:PORT, unix:///PATH, vhost-user:///PATH, or a server of ours, which has " +
        `to answer exactly as the cases say: own:${OWN.join(", own:")}.\n\n` +
        "Most cases need their files in the export: with --spawn it is a temporary folder, with " +
        "--scratch the one that you name. Otherwise they are skipped.\n\n" +
        "In --spawn and --aname, {export} stands for the folder and {socket} for a path to listen at.",
    )
    .usage("[TARGET] [options]")
    .argument("[TARGET]")
    .option("--spawn <COMMAND>", "start the server, and start it again when it dies")
    .option("--to <ADDRESS>", "where the spawned server listens", "unix://{socket}")
    .option("--unconfined", UNCONFINED)
    .option("--scratch <FOLDER>", "folder that the target exports; EVERYTHING IN IT IS REMOVED")
    .option("--against <TARGET>", "compare the answers of this server; own means ours")
    .option("--against-spawn <COMMAND>", "the same, with a server that is started")
    .option("--profile <NAME>", `habits: ${PROFILES.map(({ name }) => name).join(", ")}`, "linux")
    .option("--aname <NAME>", "name of the tree", "")
    .option("--against-aname <NAME>", "name of the tree of the other server", "")
    .option("--uid <N>", "user to act as in place of 0", number(0, 2 ** 32 - 1))
    .option("--timeout <MS>", "longest wait for an answer", number(1, 600_000), 2000)
    .option("--only <REGEXP>", "cases whose names match", pattern)
    .option("--cases <FOLDER>", "other cases than ours")
    .option("--list", "show the cases and the rules, and hold none")
    .option("--anywhere", "allow a target on another machine")
    .option("--json", "one line of JSON for each case")
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false });
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`want a whole number from ${least} to ${most}`);
  };
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError("want a regular expression");
  }
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `conform`.
 * @param signal Asks to stop before the next case.
 * @returns The exit code: 1 if a case failed.
 */
export async function run(
  args: readonly string[],
  output: Output,
  signal?: AbortSignal,
): Promise<number> {
  const command = commandFor(output);
  try {
    command.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    throw new ConformUsageError(error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
  const options = command.opts<Options>();
  const [word] = command.args;
  const folder = options.cases === undefined
    ? CASES
    : new URL(`file://${Deno.realPathSync(options.cases)}/`);
  const { only } = options;
  const scripts = loadCases(folder).filter(({ name }) => only?.test(name.slice(0, -3)) ?? true);
  if (scripts.length === 0) throw new ConformUsageError("no case has such a name");
  if (options.list === true) return list(scripts, output);
  // As `virtfs serve` does: modes are those that a client asks for.
  umask(0);
  const abort = signal === undefined ? {} : { signal };
  if (word?.startsWith("own:") === true && options.against === undefined) {
    return await tell(ownResults(word.slice(4), scripts, options, abort), scripts, options, output);
  }
  await using targets = new AsyncDisposableStack();
  const [target, host] = await open(word, options.spawn, options, targets, output);
  const aname = filled(options.aname, host, "");
  if (options.against !== undefined || options.againstSpawn !== undefined) {
    const [other, otherHost] = await open(
      options.against,
      options.againstSpawn,
      options,
      targets,
      output,
    );
    const anames = [aname, filled(options.againstAname, otherHost, "")] as const;
    const patienceMs = options.timeout;
    const comparisons = compareByScripts([target, other], scripts, {
      anames,
      patienceMs,
      ...abort,
    });
    let differing = 0, compared = 0;
    for await (const comparison of comparisons) {
      const { name, skipped, differences } = comparison;
      if (skipped === "") compared++;
      if (differences.length > 0) differing++;
      if (options.json === true) {
        writeJson(output, comparison);
        continue;
      }
      for (const { sent, first, second } of differences) {
        output.out(`${name}: ${cut(sent)}\n  ${target.name}: ${cut(first)}\n`);
        output.out(`  ${other.name}: ${cut(second)}\n`);
      }
    }
    output.err(`${compared} conversations compared, ${differing} differ\n`);
    return differing > 0 ? EXIT.failed : EXIT.done;
  }
  const profile = profileOf(options.profile);
  const uid = options.uid === undefined ? {} : { uid: options.uid };
  const results = conform(target, scripts, {
    profile,
    aname,
    patienceMs: options.timeout,
    ...uid,
    ...abort,
  });
  return await tell(results, scripts, options, output);
}

function list(scripts: readonly Script[], output: Output): number {
  const width = Math.max(...scripts.map(({ name }) => name.length - 3));
  for (const { name, clause, summary } of scripts) {
    output.out(`${name.slice(0, -3).padEnd(width)}  ${clause}\n${" ".repeat(width)}  ${summary}\n`);
  }
  return EXIT.done;
}

/** Puts in what is known of an export. */
function filled(text: string, host: HostView | undefined, socket: string): string {
  return text.replaceAll("{export}", host?.root ?? "").replaceAll("{socket}", socket);
}

/** Opens a target, which ends with the stack. */
async function open(
  word: string | undefined,
  spawn: string | undefined,
  options: Options,
  targets: AsyncDisposableStack,
  output: Output,
): Promise<[Target, HostView | undefined]> {
  if (word === undefined && spawn === undefined) {
    throw new ConformUsageError("a target is missing: an address, or --spawn");
  }
  if (spawn !== undefined) {
    const host = targets.use(new TemporaryExport(true));
    const socket = `${host.around}/target.sock`;
    const address = parseTargetAddress(filled(options.to ?? "", host, socket));
    const command = spawn.split(/\s+/).filter((part) => part !== "").map((part) =>
      filled(part, host, socket)
    );
    const isUnconfined = options.unconfined === true;
    const target = targets.use(await SpawnedTarget.start({ command, address, host, isUnconfined }));
    tellUnconfined(target, output);
    return [target, host];
  }
  const name = word ?? "";
  if (/^own(?::(?:unix|tcp|vhost-user))?$/.test(name)) {
    const host = targets.use(new TemporaryExport(true));
    const transport = (name.slice(4) || "unix") as "unix" | "tcp" | "vhost-user";
    const target = await OwnTarget.start({ host, transport, securityModel: "none" });
    return [targets.use(target), host];
  }
  const address = parseAddress(name);
  if (!isLocal(address) && options.anywhere !== true) {
    throw new ConformUsageError(`${name} is on another machine: say --anywhere if you may`);
  }
  const host = options.scratch === undefined ? undefined : scratch(options.scratch);
  return [targets.use(await dialTarget(address, host === undefined ? {} : { host })), host];
}

function parseAddress(text: string): ReturnType<typeof parseTargetAddress> {
  try {
    return parseTargetAddress(text);
  } catch {
    throw new ConformUsageError(
      `"${text}" is no target: tcp://HOST:PORT, unix:///PATH, vhost-user:///PATH or own:KIND`,
    );
  }
}

function scratch(folder: string): HostView {
  const root = Deno.realPathSync(folder);
  if (root === "/") throw new ConformUsageError("--scratch / would remove everything");
  return { root, around: root.slice(0, root.lastIndexOf("/")) || "/" };
}

/** Holds cases with a server of ours. */
async function* ownResults(
  kind: string,
  scripts: readonly Script[],
  { timeout }: Options,
  abort: { readonly signal?: AbortSignal },
): AsyncGenerator<CaseResult> {
  const how = { patienceMs: timeout, ...abort };
  if (kind === "memory" || kind === "folder") {
    const server = OWN_SERVERS.find(({ name }) => name.endsWith(kind));
    if (server !== undefined) yield* conformExactly(server, scripts, how);
    return;
  }
  if (kind !== "unix" && kind !== "tcp" && kind !== "vhost-user") {
    throw new ConformUsageError(`own:${kind} is none of ours: ${OWN.join(", ")}`);
  }
  await using server = await SocketServer.start(kind === "vhost-user" ? "virtio" : kind);
  yield* conformExactly(server, scripts, how);
}

const STYLES: Readonly<Record<Verdict, Style>> = {
  PASS: "green",
  REJECT: "green",
  FAIL: "red",
  WEDGED: "red",
  SKIP: "dim",
  XFAIL: "yellow",
};

/** Tells results as they come. */
async function tell(
  results: AsyncIterable<CaseResult>,
  scripts: readonly Script[],
  options: Options,
  output: Output,
): Promise<number> {
  const counts = new Map<Verdict, number>();
  using progress = new Progress(output);
  let done = 0;
  for await (const result of results) {
    const { name, verdict, clause, message, oracle, line } = result;
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    done++;
    if (options.json === true) {
      const script = scripts.find((script) => script.name === `${name}.9p`);
      const finding = script === undefined ? undefined : findingOf(result, script);
      writeJson(output, { ...result, ...(finding === undefined ? {} : { finding }) });
    } else if (verdict !== "PASS" || !output.errIsTerminal) {
      const where = line > 0 ? `:${line}` : "";
      const who = oracle === undefined ? "" : ` [${oracle}]`;
      const what = message === "" ? "" : `: ${message}`;
      progress[Symbol.dispose]();
      const shown = paint(output, STYLES[verdict], verdict.padEnd(6));
      output.out(`${shown} ${name}${where} (${clause})${who}${what}\n`);
    }
    progress.update(`${done} of ${scripts.length} cases, ${name}`);
  }
  progress[Symbol.dispose]();
  const summary = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ");
  output.err(`${done} cases: ${summary}\n`);
  const isBad = (counts.get("FAIL") ?? 0) + (counts.get("WEDGED") ?? 0) > 0;
  return isBad ? EXIT.failed : EXIT.done;
}

function cut(text: string): string {
  return text.length <= 160 ? text : `${text.slice(0, 157)}...`;
}
