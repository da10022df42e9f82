/**
 * What the commands of `fuzz` share: words in, targets out.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import {
  dialTarget,
  isLocal,
  MODEL_ORACLES,
  type OracleName,
  OwnTarget,
  ownUser,
  parseTargetAddress,
  PROFILES,
  SpawnedTarget,
  type Subject,
  TemporaryExport,
} from "../lib/fuzz/mod.ts";
import type { SecurityModel } from "../lib/serve/mod.ts";
import { flowed, usageText, wholeNumber } from "./bench_words.ts";
import type { Output } from "./output.ts";

/** The words of a command are wrong. */
export class FuzzUsageError extends Error {
  /** By which the exit code is chosen. */
  override readonly name = "UsageError";
}

/** Options by which a server is chosen. */
export interface ServerOptions {
  /** Command that starts it. */
  readonly spawn?: string;
  /** Where that listens. */
  readonly to: string;
  /** Whether it may change whatever its user may. */
  readonly unconfined?: boolean;
  /** Name of the tree. */
  readonly aname: string;
  /** Patience, in milliseconds. */
  readonly timeout: number;
  /** Process of a server that is not ours. */
  readonly pid?: number;
  /** Model of our own server. */
  readonly model: SecurityModel;
  /** Whether other machines may be fuzzed. */
  readonly anywhere?: boolean;
  /** Whether all in the target's export may be lost. */
  readonly scratch?: boolean;
}

/** Options of conversations with a server. */
export interface TargetOptions extends ServerOptions {
  /** Habits. */
  readonly profile: string;
  /** Oracles to leave out. */
  readonly off?: readonly OracleName[];
  /** User to attach as. */
  readonly uid?: number;
}

/** What `--unconfined` does. */
export const UNCONFINED = "let the spawned server change whatever its user may";
/** How our own server can keep owners and modes. */
export const MODELS: readonly SecurityModel[] = [
  "none",
  "mapped-xattr",
  "mapped-file",
  "passthrough",
];
const ORACLES = Object.keys(MODEL_ORACLES) as OracleName[];

/** Starts a command of `fuzz`. */
export function fuzzCommand(name: string, description: string, output: Output): Command {
  return new Command(`virtfs fuzz${name === "" ? "" : ` ${name}`}`)
    .description(flowed(description))
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false });
}

/** Adds the options by which a target is chosen, and how conversations with it are judged. */
export function withTarget(command: Command): Command {
  return withServer(command, (part) =>
    part
      .option("--profile <NAME>", `habits: ${PROFILES.map(({ name }) => name).join(", ")}`, "linux")
      .option(
        "--off <LIST>",
        "oracles to leave out, with commas between",
        listOf("oracles", ORACLES),
      )
      .option("--uid <N>", "user to attach as; yours if not given", wholeNumber(0, 2 ** 32 - 1)));
}

/**
 * Adds the options by which a server is chosen.
 *
 * @param more Adds others where the help has them.
 */
export function withServer(command: Command, more: (command: Command) => Command): Command {
  command
    .option("--spawn <COMMAND>", "start the server, and start it again when it dies")
    .option("--to <ADDRESS>", "where the spawned server listens", "unix://{socket}")
    .option("--unconfined", UNCONFINED)
    .option("--aname <NAME>", "the target's name of the tree; of --spawn often {export}", "");
  return more(command)
    .option("--timeout <MS>", "longest wait for an answer", wholeNumber(1, 600_000), 1000)
    .option(
      "--pid <PID>",
      "process of a server that is not spawned, to watch",
      wholeNumber(1, 2 ** 22),
    )
    .option("--model <NAME>", `of our own server: ${MODELS.join(", ")}`, modelName, "none")
    .option("--anywhere", "allow a target on another machine")
    .option("--scratch", "allow a target whose export is not ours: ALL IN IT MAY BE LOST");
}

/** Reads words with commas between, each one of `names`. */
export function listOf<T extends string>(
  what: string,
  names: readonly T[],
): (text: string) => T[] {
  return (text) =>
    text.split(",").map((word) => {
      const name = names.find((each) => each === word);
      if (name === undefined) {
        throw new InvalidArgumentError(`The ${what} are: ${names.join(", ")}.`);
      }
      return name;
    });
}

/**
 * Refuses options that mean nothing where they stand.
 *
 * @param names Their names, without the dashes.
 * @param why Follows the name of the option in the message.
 * @throws {FuzzUsageError} If one of them is there.
 */
export function refuseOptions(command: Command, names: readonly string[], why: string): void {
  const given = names.find((name) => command.getOptionValueSource(name) === "cli");
  if (given !== undefined) throw new FuzzUsageError(`--${given} ${why}`);
}

/** Reads one of {@linkcode MODELS}. */
export function modelName(text: string): SecurityModel {
  const name = MODELS.find((each) => each === text);
  if (name === undefined) throw new InvalidArgumentError(`The models are: ${MODELS.join(", ")}.`);
  return name;
}

/** Path of a device's socket, which may be written as an address. */
export function parseDevice(text: string): string {
  if (!text.includes("://")) return text;
  const address = parseTargetAddress(text);
  if (address.kind === "device") return address.path;
  throw new FuzzUsageError(
    `"${text}" is no vhost-user:///PATH, and rings are attacked at nothing else`,
  );
}

/**
 * Takes a command line apart.
 *
 * @returns Whether to go on: the help ends the command.
 * @throws {FuzzUsageError} If a word is wrong.
 */
export function parseFuzzWords(command: Command, args: readonly string[]): boolean {
  try {
    command.parse(args, { from: "user" });
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    throw new FuzzUsageError(usageText(error, command.name()));
  }
}

/** The user to attach as. */
export function userOf({ uid }: TargetOptions): number {
  return uid ?? ownUser();
}

/**
 * Opens a target: one that is started, one that is there, or a server of ours.
 *
 * @param word Its address; `own:unix`, `own:tcp`, `own:vhost-user` or nothing for a server of ours.
 * @param stack Ends it.
 * @param output Is told when it is not confined.
 */
export async function openSubject(
  word: string | undefined,
  options: ServerOptions,
  stack: AsyncDisposableStack,
  output: Output,
): Promise<Subject> {
  if (options.spawn !== undefined) {
    if (word !== undefined) {
      throw new FuzzUsageError(`"${word}" is not looked at: say it with --to`);
    }
    return await spawnSubject(options.spawn, options, stack, output);
  }
  const own = /^own(?::(unix|tcp|vhost-user))?$/.exec(word ?? "own");
  if (own !== null) {
    const isMapped = options.model.startsWith("mapped");
    const exported = stack.use(new TemporaryExport(!isMapped));
    const target = stack.use(
      await OwnTarget.start({
        host: exported,
        transport: (own[1] ?? "unix") as "unix" | "tcp" | "vhost-user",
        securityModel: options.model,
      }),
    );
    return { target, exported, aname: options.aname, isOurs: true };
  }
  const address = addressOf(word ?? "");
  if (!isLocal(address) && options.anywhere !== true) {
    throw new FuzzUsageError(`${word} is on another machine: say --anywhere if you may`);
  }
  if (options.scratch !== true) {
    throw new FuzzUsageError(`all that ${word} exports may be lost: say --scratch if it may`);
  }
  const target = stack.use(
    await dialTarget(address, options.pid === undefined ? {} : { pid: options.pid }),
  );
  return { target, aname: options.aname, isOurs: false };
}

async function spawnSubject(
  spawn: string,
  options: ServerOptions,
  stack: AsyncDisposableStack,
  output: Output,
): Promise<Subject> {
  const exported = stack.use(new TemporaryExport(true));
  const port = String(freePort());
  const fill = (text: string): string =>
    text.replaceAll("{export}", exported.root).replaceAll("{port}", port)
      .replaceAll("{socket}", `${exported.around}/target.sock`);
  const address = addressOf(fill(options.to));
  if (!isLocal(address)) {
    throw new FuzzUsageError(`${options.to} is not where a program of ours listens`);
  }
  const command = spawn.split(/\s+/).filter((part) => part !== "").map(fill);
  const isUnconfined = options.unconfined === true;
  const target = stack.use(
    await SpawnedTarget.start({ command, address, host: exported, isUnconfined }),
  );
  tellUnconfined(target, output);
  return { target, exported, aname: fill(options.aname), isOurs: false };
}

/** Says it if a server is not confined. */
export function tellUnconfined({ unconfined }: SpawnedTarget, output: Output): void {
  if (unconfined === "") return;
  output.err(`the server is NOT CONFINED, it may change files of this machine: ${unconfined}\n`);
}

function addressOf(text: string): ReturnType<typeof parseTargetAddress> {
  try {
    return parseTargetAddress(text);
  } catch {
    throw new FuzzUsageError(
      `"${text}" is no target: tcp://HOST:PORT, unix:///PATH, vhost-user:///PATH or own:unix, ` +
        "own:tcp, own:vhost-user",
    );
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.transport === "tcp" ? listener.addr.port : 0;
}
