/**
 * Runs every test of the house, doc examples included, and closes with one line that counts them.
 *
 * `deno task test [--full] [--no-skips] [--checked] [--in-turn] [PATH…] [-- FLAG…]`: `--full` takes
 * the long profile, `--no-skips` (always on with `CI=true`) makes a skipped test a failure,
 * `--checked` says that types have been checked just before, what follows `--` goes to `deno test`
 * as it is.
 *
 * Without PATH and FLAG there are two runs side by side, one for the tests in guests and one for all
 * others, where the machine has room for two and `--in-turn` is not said. What a file of tests prints
 * is kept until the file is done, so that the two do not mix.
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
  /** Whether one test is to run after the other, even where there is room for two. */
  readonly isInTurn: boolean;
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
  let isInTurn = false;
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
    else if (word === "--in-turn") isInTurn = true;
    else if (word.startsWith("-")) {
      throw new RangeError(`Cannot run the tests: "${word}" is no flag of this command`);
    } else rest.push(word);
  }
  if (profile !== "ci" && profile !== "full") {
    throw new RangeError(`Cannot run the tests: "${profile}" is no profile, only ci and full are`);
  }
  return { profile, noSkips, isChecked, isInTurn, rest };
}

/** What one machine needs to have for two runs at once: processors, and free memory in bytes. */
const ROOM = { processors: 2, memory: 6 * 2 ** 30 } as const;

/** The tests that boot guests, and hardly use the thread that waits for them. */
const GUESTS = "test/guest/";

/** One `deno test`. */
export interface Lane {
  /** Which tests it has. */
  readonly name: string;
  /** Arguments that say so. */
  readonly args: readonly string[];
}

/**
 * Share out the tests of a plan.
 *
 * @param plan The plan.
 * @param machine How many processors it has, and bytes of free memory.
 * @returns Runs that go side by side.
 */
export function lanesOf(
  { isInTurn, rest }: Pick<Plan, "isInTurn" | "rest">,
  machine: { readonly processors: number; readonly memory: number },
): Lane[] {
  const hasRoom = machine.processors >= ROOM.processors && machine.memory >= ROOM.memory;
  if (rest.length > 0 || isInTurn || !hasRoom) {
    return [{ name: "all tests", args: ["--doc", ...rest] }];
  }
  return [
    { name: "tests in guests", args: [GUESTS] },
    { name: "other tests", args: ["--doc", `--ignore=${GUESTS}`] },
  ];
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

/** What came of one run or more. */
export interface Judgement {
  /** The counts to print. */
  readonly counts: Counts;
  /** Whether the runs are good. */
  readonly isGood: boolean;
  /** What to print before. */
  readonly complaints: readonly string[];
}

/**
 * Judge runs that belong together.
 *
 * @param endings How each ended.
 * @param noSkips Whether a skipped test fails the run.
 * @returns What came of them.
 */
export function judge(endings: readonly Ending[], noSkips: boolean): Judgement {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const complaints: string[] = [];
  for (const ending of endings) {
    const one = countTests(ending.report ?? "");
    const complaint = complaintOf(ending, one);
    if (complaint !== undefined && !complaints.includes(complaint)) complaints.push(complaint);
    counts.passed += one.passed;
    counts.skipped += one.skipped;
    // No line may say "0 failed" about a run that is not good.
    counts.failed += complaint === undefined ? one.failed : Math.max(1, one.failed);
  }
  if (noSkips && counts.skipped > 0) {
    complaints.push(
      `Cannot accept the run: ${counts.skipped} skipped, and every test must run here ` +
        `("deno task setup" installs what they need)`,
    );
  }
  return { counts, isGood: complaints.length === 0 && counts.failed === 0, complaints };
}

/** Why a run proves nothing, whatever its tests say. */
function complaintOf({ code, report, interruption }: Ending, counts: Counts): string | undefined {
  if (interruption !== undefined) return `Cannot finish the tests: ${interruption}`;
  if (report === undefined) {
    return "Cannot run the tests: deno test ended before the first one, see the errors above";
  }
  if (code !== 0 && counts.failed === 0) {
    return `Cannot trust the tests: all that ran passed, yet deno test ended with ${code}, see above`;
  }
  return counts.passed + counts.failed === 0 ? "Cannot judge the tests: none ran" : undefined;
}

// deno-lint-ignore no-control-regex
const COLORS = /\x1b\[[0-9;]*m/g;

/**
 * Cuts what `deno test` prints into what belongs to one file of tests.
 *
 * @example Two files
 * ```ts ignore
 * const blocks = new Blocks();
 * blocks.add("running 1 test from ./a_test.ts\na ... ok\nrunning 1 test from ./b_");
 * // gives nothing yet: the file may have more to say
 * ```
 */
export class Blocks {
  #kept = "";
  #line = "";

  /**
   * Take what was printed.
   *
   * @param text Some of it, cut anywhere.
   * @returns What is complete: whole files, or nothing.
   */
  add(text: string): string {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    let complete = "";
    for (const line of lines) {
      if (/^running \d+ tests? from /.test(line.replaceAll(COLORS, ""))) {
        complete += this.#kept;
        this.#kept = "";
      }
      this.#kept += `${line}\n`;
    }
    return complete;
  }

  /** Gives what is left. */
  end(): string {
    const left = this.#kept + this.#line;
    this.#kept = this.#line = "";
    return left;
  }
}

/** Ways to end a run from outside. */
type Stop = (name: keyof typeof SIGNAL_NUMBER) => void;

/** Runs one `deno test`; its output is that of this process, whole files at a time if so wished. */
async function runLane(
  plan: Plan,
  lane: Lane,
  path: string,
  isWhole: boolean,
  stops: Set<Stop>,
): Promise<Ending> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", `--junit-path=${path}`]
      .concat(plan.isChecked ? ["--no-check"] : [], lane.args),
    cwd: decodeURIComponent(new URL("..", import.meta.url).pathname),
    // With CI=true a test that misses a tool fails and names it instead of being skipped.
    env: {
      VIRTFS_TEST_PROFILE: plan.profile,
      ...(plan.noSkips ? { CI: "true" } : {}),
    },
    stdin: "null",
    stdout: isWhole ? "piped" : "inherit",
    stderr: "inherit",
  }).spawn();
  let patience: ReturnType<typeof setTimeout> | undefined;
  const stop: Stop = (name) => {
    try {
      child.kill(name);
    } catch (error) {
      // It has just ended by itself.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
    patience ??= setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  };
  stops.add(stop);
  if (isWhole) {
    const blocks = new Blocks();
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      print(blocks.add(text));
    }
    print(blocks.end());
  }
  const { code } = await child.status;
  stops.delete(stop);
  clearTimeout(patience);
  const report = await Deno.readTextFile(path).catch((error: unknown) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  return { code, report };
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch (error) {
    // Nobody reads any more; the tests are brought to their end all the same.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/** Runs the tests of a plan; forwards SIGINT and SIGTERM. */
async function runTests(
  plan: Plan,
): Promise<{ endings: readonly Ending[]; signal: keyof typeof SIGNAL_NUMBER | undefined }> {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-test-" });
  const stops = new Set<Stop>();
  let interruption: string | undefined;
  let signal: keyof typeof SIGNAL_NUMBER | undefined;
  const stopAll: Stop = (name) => {
    for (const stop of stops) stop(name);
  };
  const onSignal = (name: keyof typeof SIGNAL_NUMBER) => (): void => {
    signal = name;
    interruption ??= `interrupted by ${name}`;
    stopAll(name);
  };
  const onInterrupt = onSignal("SIGINT");
  const onTerminate = onSignal("SIGTERM");
  Deno.addSignalListener("SIGINT", onInterrupt);
  Deno.addSignalListener("SIGTERM", onTerminate);
  const limit = setTimeout(() => {
    interruption ??= `they still ran after ${LIMIT_MINUTES[plan.profile]} minutes`;
    stopAll("SIGTERM");
  }, LIMIT_MINUTES[plan.profile] * 60_000);
  try {
    const lanes = lanesOf(plan, {
      processors: navigator.hardwareConcurrency,
      memory: Deno.systemMemoryInfo().available,
    });
    const endings = await Promise.all(
      lanes.map((lane, index) =>
        runLane(plan, lane, `${folder}/${index}.xml`, lanes.length > 1, stops)
      ),
    );
    if (interruption === undefined) return { endings, signal };
    const why = interruption;
    return { endings: endings.map((ending) => ({ ...ending, interruption: why })), signal };
  } finally {
    clearTimeout(limit);
    Deno.removeSignalListener("SIGINT", onInterrupt);
    Deno.removeSignalListener("SIGTERM", onTerminate);
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
  const { endings, signal } = await runTests(plan);
  const { counts, isGood, complaints } = judge(endings, plan.noSkips);
  for (const complaint of complaints) say(Deno.stderr, complaint);
  say(Deno.stdout, closingLine(counts));
  if (signal !== undefined) return 128 + SIGNAL_NUMBER[signal];
  return isGood ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
