/**
 * Unified diffs of one file, as far as mutants need them: written, read, applied.
 *
 * @module
 */

/** Lines around a change. */
const CONTEXT = 3;

/** A mistake to put in on purpose. */
export interface Mutant {
  /** Name of its file without `.patch`. */
  readonly name: string;
  /** The bug that it makes again, or the operator that made it. */
  readonly after: string;
  /** Oracle that is expected to see it; empty if nobody has thought about it. */
  readonly oracle: string;
  /** Engine that is expected to find it; empty if all shall try. */
  readonly engine: string;
  /** Why nobody can see it from outside; empty if somebody might. */
  readonly equivalent: string;
  /** File that it changes. */
  readonly file: string;
  /** Its changes. */
  readonly hunks: readonly Hunk[];
}

/** A place in a file and what becomes of it. */
export interface Hunk {
  /** First line, from 0, when the patch was made. */
  readonly at: number;
  /** Lines as they were. */
  readonly before: readonly string[];
  /** Lines as they become. */
  readonly after: readonly string[];
}

/**
 * Reads a patch.
 *
 * @throws {SyntaxError} If it is none.
 */
export function parseMutant(name: string, text: string): Mutant {
  const field = (key: string): string => new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1] ?? "";
  const file = /^\+\+\+ b\/(.+)$/m.exec(text)?.[1];
  const hunks: { at: number; before: string[]; after: string[] }[] = [];
  for (const line of text.slice(Math.max(0, text.indexOf("\n@@ "))).split("\n")) {
    const at = /^@@ -(\d+)/.exec(line)?.[1];
    const hunk = hunks.at(-1);
    if (at !== undefined) hunks.push({ at: Number(at) - 1, before: [], after: [] });
    else if (hunk === undefined) continue;
    else if (line.startsWith(" ")) {
      hunk.before.push(line.slice(1));
      hunk.after.push(line.slice(1));
    } else if (line.startsWith("-")) hunk.before.push(line.slice(1));
    else if (line.startsWith("+")) hunk.after.push(line.slice(1));
  }
  if (file === undefined || hunks.length === 0) {
    throw new SyntaxError(`Cannot read ${name}.patch: it is no unified diff of a file`);
  }
  const [after, oracle, engine] = [field("After"), field("Oracle"), field("Engine")];
  return { name, after, oracle, engine, equivalent: field("Equivalent"), file, hunks };
}

/**
 * Applies a patch to the text of its file. What is around a change has to be as it was, but may have
 * moved.
 *
 * @throws {RangeError} If a place is not there any more.
 */
export function applyMutant(mutant: Mutant, text: string): string {
  const lines = text.split("\n");
  let moved = 0;
  for (const { at, before, after } of mutant.hunks) {
    const from = findLines(lines, before, at + moved);
    if (from === undefined) {
      throw new RangeError(
        `Cannot apply ${mutant.name}.patch: ${mutant.file} has changed around line ${at + 1}`,
      );
    }
    lines.splice(from, before.length, ...after);
    moved = from - at + after.length - before.length;
  }
  return lines.join("\n");
}

/** Where lines are, as near to a place as possible. */
function findLines(
  lines: readonly string[],
  wanted: readonly string[],
  near: number,
): number | undefined {
  const isAt = (at: number): boolean => wanted.every((line, i) => lines[at + i] === line);
  for (let distance = 0; distance <= lines.length; distance++) {
    for (const at of [near - distance, near + distance]) {
      if (at >= 0 && at + wanted.length <= lines.length && isAt(at)) return at;
    }
  }
  return undefined;
}

/** Writes a change of a file as a patch. */
export function formatPatch(file: string, before: string, after: string): string {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let first = 0;
  while (first < a.length && a[first] === b[first]) first++;
  let tail = 0;
  while (
    tail < Math.min(a.length, b.length) - first && a[a.length - 1 - tail] === b[b.length - 1 - tail]
  ) tail++;
  const from = Math.max(0, first - CONTEXT);
  const [lastA, lastB] = [a.length - tail, b.length - tail];
  // What is behind the last line end is no line.
  const until = Math.min(a.at(-1) === "" ? a.length - 1 : a.length, lastA + CONTEXT);
  const rows = [
    `--- a/${file}`,
    `+++ b/${file}`,
    `@@ -${from + 1},${until - from} +${from + 1},${until - from + lastB - lastA} @@`,
    ...a.slice(from, first).map((line) => ` ${line}`),
    ...a.slice(first, lastA).map((line) => `-${line}`),
    ...b.slice(first, lastB).map((line) => `+${line}`),
    ...a.slice(lastA, until).map((line) => ` ${line}`),
  ];
  return `${rows.join("\n")}\n`;
}

/** Reads all patches of a folder, in the order of their names. */
export function readMutants(folder: URL): Mutant[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith(".patch")).sort()
    .map((name) => parseMutant(name.slice(0, -6), Deno.readTextFileSync(new URL(name, folder))));
}
