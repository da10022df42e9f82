/**
 * The suite of `test/posix` in guests: how it gets there, how it is run, and how what it finds on a
 * mount is compared with what may be found there.
 *
 * @module
 */

import { runTool } from "../../lib/guest/cache.ts";
import { type Guest, quote } from "../../lib/guest/guest.ts";
import { compileStatic, type Initramfs } from "../../lib/guest/initramfs.ts";

/**
 * List the cases that run when none are named.
 *
 * @returns Their names.
 */
export async function posixCases(): Promise<string[]> {
  return (await runTool([await posixProgram(), "--list", "all"])).trimEnd().split("\n");
}

/**
 * Compile the suite; it runs on the host, too.
 *
 * @returns Its path.
 */
export function posixProgram(): Promise<string> {
  return compileStatic(new URL("../posix", import.meta.url).pathname);
}

/**
 * Add the suite to a guest's initramfs.
 *
 * @param files The initramfs, from {@linkcode GuestOptions.prepare}.
 */
export async function preparePosix(files: Initramfs): Promise<void> {
  files.file("/bin/posix", await Deno.readFile(await posixProgram()), 0o755);
}

/** What a run of the suite left: for each case null, or what did not hold. */
export type Outcomes = ReadonlyMap<string, string | null>;

/** How to run the suite. */
export interface PosixOptions {
  /** Parts and cases; all that need no special folder by default. */
  readonly cases?: readonly string[];
  /** Seed of what is random; 1 by default. */
  readonly seed?: number;
  /** How many random steps; 300 by default. */
  readonly steps?: number;
  /** Time for it, milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Run the suite in a guest, as its root.
 *
 * @param guest A guest with {@linkcode preparePosix}.
 * @param folder Empty folder in it.
 * @param options Which cases.
 * @returns What came of each case.
 * @throws {Error} If the suite did not get to its end.
 */
export async function runPosix(
  guest: Guest,
  folder: string,
  options: PosixOptions,
): Promise<Outcomes> {
  const { cases = [], seed = 1, steps = 300, timeoutMs } = options;
  const words = ["--seed", `${seed}`, "--steps", `${steps}`, folder, ...cases];
  const output = await guest.check(`posix ${words.map(quote).join(" ")}`, { timeoutMs });
  return parseOutcomes(output);
}

/**
 * Read what the suite prints.
 *
 * @param output Its standard output.
 * @throws {Error} If it is something else.
 */
export function parseOutcomes(output: string): Outcomes {
  const outcomes = new Map<string, string | null>();
  for (const line of output.trimEnd().split("\n")) {
    const match = /^(?:ok ([^:]+)|not ok ([^:]+): (.*))$/.exec(line);
    if (match === null) throw new Error(`Cannot understand what the suite printed: ${line}`);
    outcomes.set(match[1] ?? match[2] ?? "", match[3] ?? null);
  }
  return outcomes;
}

/** A difference between a mount and a file system of the machine's own that is as it must be. */
export interface Difference<Mount> {
  /** The cases that differ. */
  readonly cases: readonly string[];
  /** What they say, in part: where on the way they stop. */
  readonly says: RegExp;
  /** Where it is so. */
  readonly where: (mount: Mount) => boolean;
  /** Whose doing it is: that of Linux's client, or of the way the export is served. */
  readonly by: "v9fs" | "export";
  /** Why. */
  readonly why: string;
  /** It may be there or not, as time goes. */
  readonly isRare?: boolean;
}

/**
 * Compare what the suite found on a mount with what may differ there.
 *
 * @param outcomes What it found.
 * @param mount The mount.
 * @param differences All that may be different on any mount.
 * @returns One line for each difference that is not listed, and for each listed one that is not there.
 */
export function unexpected<Mount>(
  outcomes: Outcomes,
  mount: Mount,
  differences: readonly Difference<Mount>[],
): string[] {
  const lines: string[] = [];
  const listed = differences.filter(({ where }) => where(mount));
  for (const [name, failure] of outcomes) {
    const known = listed.filter(({ cases }) => cases.includes(name));
    if (failure === null) {
      for (const { says, isRare } of known) {
        if (isRare !== true) lines.push(`${name}: passes, but ${says} is listed`);
      }
    } else if (!known.some(({ says }) => says.test(failure))) {
      lines.push(`${name}: ${failure}`);
    }
  }
  return lines;
}
