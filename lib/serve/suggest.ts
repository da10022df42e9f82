/**
 * Finds the words that somebody probably meant.
 *
 * @module
 */

/**
 * Picks the words that are nearest to a wrong one, nearest first.
 *
 * @example A slip of the finger
 * ```ts
 * import assert from "node:assert/strict";
 * import { nearest } from "./suggest.ts";
 *
 * assert.deepEqual(nearest("msise", ["msize", "workers"]), ["msize"]);
 * ```
 *
 * @param word What was written.
 * @param words What there is.
 * @param limit Most words to give back.
 * @returns Words within two edits, or within a third of the length of long words; often none.
 */
export function nearest(word: string, words: readonly string[], limit = 3): string[] {
  // Words come from people; a long one is no slip of anything, and distance costs its square.
  if (word.length > 64) return [];
  const wanted = word.toLowerCase();
  const bound = Math.max(2, Math.floor(word.length / 3));
  const found: [distance: number, word: string][] = [];
  for (const candidate of words) {
    const spelled = candidate.toLowerCase();
    const edits = distance(wanted, spelled);
    // A word that was cut short is meant more often than one of equal distance that differs.
    const near = wanted.length >= 3 && spelled.startsWith(wanted) ? 0 : edits;
    if (near <= bound && near < Math.max(wanted.length, 1)) found.push([near, candidate]);
  }
  found.sort((a, b) => a[0] - b[0]);
  return found.slice(0, limit).map(([, candidate]) => candidate);
}

/**
 * Says which words are near: `; did you mean "msize"?`, or nothing where none is.
 *
 * @param word What was written.
 * @param words What there is.
 * @returns A clause to append to a message.
 */
export function didYouMean(word: string, words: readonly string[]): string {
  const near = nearest(word, words).map((each) => `"${each}"`);
  return near.length === 0 ? "" : `; did you mean ${near.join(" or ")}?`;
}

/** Counts insertions, deletions, replacements and swaps of neighbors between two words. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
