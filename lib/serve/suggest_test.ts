import assert from "node:assert/strict";
import { didYouMean, nearest } from "./suggest.ts";

const cases: [what: string, word: string, words: string[], expected: string[]][] = [
  ["a replaced letter", "msise", ["msize", "workers"], ["msize"]],
  ["swapped letters", "wrokers", ["msize", "workers"], ["workers"]],
  ["another case", "tread", ["Tread", "Treaddir", "Twrite"], ["Tread", "Treaddir"]],
  ["a word cut short", "max-conn", ["max-connections", "max-fids"], ["max-connections"]],
  ["nothing near", "banana", ["msize", "workers"], []],
  ["a short word that shares no letter", "xy", ["ro"], []],
  ["a word longer than any", "m".repeat(10_000), ["msize"], []],
  ["the empty word", "", ["ro"], []],
];
for (const [what, word, words, expected] of cases) {
  Deno.test(`nearest() of ${what}`, () => assert.deepEqual(nearest(word, words), expected));
}

Deno.test("nearest() gives the nearest first and no more than the limit", () => {
  assert.deepEqual(nearest("abcd", ["abxx", "abcx", "abcd"], 2), ["abcd", "abcx"]);
});

Deno.test("didYouMean() makes a clause, or nothing", () => {
  assert.equal(didYouMean("Treed", ["Tread", "Twrite"]), '; did you mean "Tread"?');
  assert.equal(didYouMean("banana", ["Tread"]), "");
});
