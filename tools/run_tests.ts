/**
 * Runs every test of the house, doc examples included, and closes with one line that counts them.
 *
 * `deno task test [--full] [--no-skips] [--checked] [PATH…] [-- FLAG…]`: `--full` takes the long
 * profile, `--no-skips` (always on with `CI=true`) makes a skipped test a failure, `--checked` says
 * that types have been checked just before, what follows `--` goes to `deno test` as it is.
 *
 * Fails when a test failed, when none ran, when the run broke off, and when one was skipped though
 * none may be.
 *
 * @module
 */

import { closingLine, type Counts, countTests } from "./junit.ts";

/** What a run is asked to do. */
export interface Plan {
  /** `ci` is the quick profile; `full` adds what takes long. Tests read VIRTFS_TEST_PROFILE. */
  readonly profile: "ci" | "full";
  /** Whether a skipped test fails the run. */
  readonly noSkips: boolean;
  /** Whether types have been checked before, all of them: it takes a minute. */
  readonly isChecked: boolean;
  /** Arguments for `deno test`. */
  readonly rest: readonly string[];
}

/** Longest time a run may take, in minutes, before it is broken off: a test that hangs is named. */
const LIMIT_MINUTES = { ci: 75, full: 170 } as const;

/** Time between asking a run to stop and ending it, in milliseconds. */
const PATIENCE_MS = 10_000;

const SIGNAL_NUMBER = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Read the words of a command line and the variables that stand for them.
 *
 * @param words Arguments of the command.
 * @param environment Lookup of an environment variable.
 * @returns What to run.
 * @throws {RangeError} If VIRTFS_TEST_PROFILE names no profile or a flag is not known.
 */
export function parsePlan(
  words: readonly string[],
  environment: (name: string) => string | undefined,
): Plan {
  let profile = environment("VIRTFS_TEST_PROFILE") || "ci";
  let noSkips = environment("CI") === "true";
  let isChecked = false;
  const rest: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      rest.push(...words.slice(index + 1));
      break;
    }
    if (word === "--full") profile = "full";
    else if (word === "--no-skips") noSkips = true;
    else if (word === "--checked") isChecked = true;
    else if (word.startsWith("-")) {
      throw new RangeError(`Cannot run the tests: "${word}" is no flag of this command`);
    } else rest.push(word);
  }
  if (profile !== "ci" && profile !== "full") {
    throw new RangeError(`Cannot run the tests: "${profile}" is no profile, only ci and full are`);
  }
  return { profile, noSkips, isChecked, rest };
}

/** How a run ended. */
export interface Ending {
  /** Exit code of `deno test`. */
  readonly code: number;
  /** The report, or `undefined` when the run broke off before it was written. */
  readonly report: string | undefined;
  /** Why the run was broken off, in words, when it was. */
  readonly interruption?: string;
}

/**
 * Judge a run.
 *
 * @param ending How the run ended.
 * @param noSkips Whether a skipped test fails the run.
 * @returns The counts to print, whether the run is good, and the complaints to print before.
 */
export function judge(
  ending: Ending,
  noSkips: boolean,
): { counts: Counts; isGood: boolean; complaints: string[] } {
  const { code, report, interruption } = ending;
  let counts = countTests(report ?? "");
  const complaints: string[] = [];
  const ran = counts.passed + counts.failed;
  if (interruption !== undefined) {
    complaints.push(`Cannot finish the tests: ${interruption}`);
  } else if (report === undefined) {
    complaints.push(
      "Cannot run the tests: deno test ended before the first one, see the errors above",
    );
  } else if (code !== 0 && counts.failed === 0) {
    complaints.push(
      `Cannot trust the tests: all that ran passed, yet deno test ended with ${code}, see above`,
    );
  } else if (ran === 0) {
    complaints.push("Cannot judge the tests: none ran");
  }
  // No line may say "0 failed" about a run that is not good.
  if (complaints.length > 0 && counts.failed === 0) counts = { ...counts, failed: 1 };
  if (noSkips && counts.skipped > 0) {
    complaints.push(
      `Cannot accept the run: ${counts.skipped} skipped, and every test must run here ` +
        `("deno task setup" installs what they need)`,
    );
  }
  return { counts, isGood: complaints.length === 0 && counts.failed === 0, complaints };
}

/** Runs `deno test` with the plan's arguments; forwards SIGINT and SIGTERM to it. */
async function runTests(plan: Plan): Promise<Ending & { signal?: keyof typeof SIGNAL_NUMBER }> {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-test-" });
  const path = `${folder}/report.xml`;
  let interruption: string | undefined;
  let signal: keyof typeof SIGNAL_NUMBER | undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;
  try {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "--allow-all", "--doc", `--junit-path=${path}`]
        .concat(plan.isChecked ? ["--no-check"] : [], plan.rest),
      cwd: decodeURIComponent(new URL("..", import.meta.url).pathname),
      // With CI=true a test that misses a tool fails and names it instead of being skipped.
      env: {
        VIRTFS_TEST_PROFILE: plan.profile,
        ...(plan.noSkips ? { CI: "true" } : {}),
      },
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const stop = (name: keyof typeof SIGNAL_NUMBER): void => {
      try {
        child.kill(name);
      } catch (error) {
        // It has just ended by itself.
        if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
      }
      patience ??= setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    };
    const onSignal = (name: keyof typeof SIGNAL_NUMBER) => (): void => {
      signal = name;
      interruption ??= `interrupted by ${name}`;
      stop(name);
    };
    const onInterrupt = onSignal("SIGINT");
    const onTerminate = onSignal("SIGTERM");
    Deno.addSignalListener("SIGINT", onInterrupt);
    Deno.addSignalListener("SIGTERM", onTerminate);
    const limit = setTimeout(() => {
      interruption ??= `they still ran after ${LIMIT_MINUTES[plan.profile]} minutes`;
      stop("SIGTERM");
    }, LIMIT_MINUTES[plan.profile] * 60_000);
    const { code } = await child.status;
    clearTimeout(limit);
    clearTimeout(patience);
    Deno.removeSignalListener("SIGINT", onInterrupt);
    Deno.removeSignalListener("SIGTERM", onTerminate);
    const report = await Deno.readTextFile(path).catch((error: unknown) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    });
    return {
      code,
      report,
      ...(interruption === undefined ? {} : { interruption }),
      ...(signal === undefined ? {} : { signal }),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function say(stream: { writeSync(bytes: Uint8Array): number }, line: string): void {
  stream.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** Runs the tests and gives the exit code. */
async function main(): Promise<number> {
  let plan: Plan;
  try {
    plan = parsePlan(Deno.args, (name) => Deno.env.get(name));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    say(Deno.stderr, error.message);
    return 2;
  }
  const ending = await runTests(plan);
  const { counts, isGood, complaints } = judge(ending, plan.noSkips);
  for (const complaint of complaints) say(Deno.stderr, complaint);
  say(Deno.stdout, closingLine(counts));
  if (ending.signal !== undefined) return 128 + SIGNAL_NUMBER[ending.signal];
  return isGood ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
