import assert from "node:assert/strict";
import * as reference from "simple-statistics";
import {
  generator,
  mannWhitney,
  median,
  medianOf,
  noiseOf,
  outliersOf,
  quantile,
  ratioOf,
  summarize,
} from "./statistics.ts";

/** The rank sum example of Hollander and Wolfe (1973), 69 f.: permeability of the membrane. */
const AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
const EARLY = [1.15, 0.88, 0.90, 0.74, 1.21];

/** Ozone over New York in May and August 1973, parts per billion: R's `airquality`, with ties. */
// deno-fmt-ignore
const MAY = [41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37];
// deno-fmt-ignore
const AUGUST = [39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85];

const SETS = [AT_TERM, EARLY, MAY, AUGUST, [3], [1, 2], [5, 5, 5, 5]];

function close(actual: number, expected: number, relative = 1e-9): void {
  assert.ok(
    Math.abs(actual - expected) <= relative * Math.abs(expected),
    `${actual} is not ${expected}`,
  );
}

Deno.test("median(), summarize(): as the reference has them", () => {
  for (const set of SETS) {
    close(median(set), reference.median(set));
    const { count, mean, deviation, variation, min, max } = summarize(set);
    assert.equal(count, set.length);
    close(mean, reference.mean(set));
    assert.equal(min, reference.min(set));
    assert.equal(max, reference.max(set));
    if (set.length < 2) {
      assert.ok(Number.isNaN(deviation));
      continue;
    }
    close(deviation, reference.sampleStandardDeviation(set));
    close(variation, reference.coefficientOfVariation(set));
  }
});

Deno.test("quantile() draws a straight line between samples", () => {
  // R: quantile(1:10, c(0, 0.1, 0.25, 0.9, 1))
  const ten = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
  const quantiles = [[0, 1], [0.1, 1.9], [0.25, 3.25], [0.9, 9.1], [1, 10]] as const;
  for (const [p, value] of quantiles) close(quantile(ten, p), value);
});

Deno.test("medianOf() leaves out what the binomial distribution allows", () => {
  const samples = (n: number) => Array.from({ length: n }, (_, i) => (i * 7) % n + 1);
  // Tables of the sign test: with 6 to 8 samples all of them, with 10 all but the outermost two.
  assert.deepEqual(medianOf(samples(6)), { value: 3.5, low: 1, high: 6 });
  assert.deepEqual(medianOf(samples(10)), { value: 5.5, low: 2, high: 9 });
  assert.deepEqual(medianOf(samples(20)), { value: 10.5, low: 6, high: 15 });
  assert.ok(Number.isNaN(medianOf(samples(5)).low));
  // Beyond what 0.5^n can hold: about 1.96 times the root of n, halved, to each side.
  const { low, high } = medianOf(samples(2000));
  assert.ok(Math.abs(low - 956) <= 1 && Math.abs(high - 1045) <= 1, `${low} to ${high}`);
});

Deno.test("mannWhitney() agrees with other people's programs", () => {
  // R: wilcox.test; SciPy: mannwhitneyu. The first two stand in the manual of wilcox.test.
  const exact = mannWhitney(AT_TERM, EARLY);
  assert.deepEqual([exact.u, exact.isExact], [35, true]);
  close(exact.p, 0.2544122544122544);
  const ties = mannWhitney(MAY, AUGUST);
  assert.deepEqual([ties.u, ties.isExact], [127.5, false]);
  close(ties.p, 0.00012080783076877434, 1e-5);
  const many = mannWhitney(
    Array.from({ length: 40 }, (_, i) => (i * 37 % 101) / 7),
    Array.from({ length: 30 }, (_, i) => (i * 53 % 97) / 7 + 1.5),
  );
  assert.deepEqual([many.u, many.isExact], [542, false]);
  close(many.p, 0.4949864012592091, 1e-5);
});

Deno.test("mannWhitney(): its rank sum is the reference's", () => {
  for (const [a, b] of [[AT_TERM, EARLY], [MAY, AUGUST], [EARLY, MAY]] as const) {
    const sum = reference.wilcoxonRankSum([...a], [...b]);
    assert.equal(mannWhitney(a, b).u, sum - a.length * (a.length + 1) / 2);
  }
});

Deno.test("mannWhitney() counts arrangements with ties as whoever tries them all", () => {
  const a = [1, 2, 2, 3, 5, 5];
  const b = [2, 4, 5, 6, 6, 7, 7];
  const all = [...a, ...b];
  const sums = (chosen: readonly number[]) =>
    chosen.reduce((sum, value) => {
      const below = all.filter((each) => each < value).length;
      const equal = all.filter((each) => each === value).length;
      return sum + below + (equal + 1) / 2;
    }, 0);
  const far = Math.abs(sums(a) - 6 * 14 / 2);
  const arrangements = reference.combinations(all, 6);
  const extreme = arrangements.filter((each) => Math.abs(sums(each) - 42) >= far - 1e-9);
  const test = mannWhitney(a, b);
  close(test.p, extreme.length / arrangements.length);
  close(test.p, 0.04195804195804196);
});

Deno.test("mannWhitney() says nothing of nothing, and that equals are equal", () => {
  assert.ok(Number.isNaN(mannWhitney([], [1]).p));
  assert.equal(mannWhitney([5, 5, 5], [5, 5, 5]).p, 1);
  assert.equal(mannWhitney(Array(40).fill(5), Array(40).fill(5)).p, 1);
});

Deno.test("ratioOf() has the interval that belongs to the test", () => {
  const ratio = ratioOf(AT_TERM, EARLY);
  close(ratio.value, 1.3124685591088752);
  // R: qwilcox(0.025, 10, 5) is 9: the 9th ratio from either end.
  close(ratio.low, 0.859504132231405);
  close(ratio.high, 1.9594594594594594);
  assert.ok(Number.isNaN(ratioOf([1, 2, 3], [1, 2, 3]).low));
  assert.ok(ratioOf(AUGUST, MAY).low > 1);
});

Deno.test("ratioOf() excludes 1 exactly where mannWhitney() is significant", () => {
  const random = generator(7);
  for (let i = 0; i < 200; i++) {
    const a = Array.from({ length: 8 }, () => 1 + random());
    const b = Array.from({ length: 7 }, () => 1 + random() * (1 + i / 200));
    const { low, high } = ratioOf(a, b);
    assert.equal(low > 1 || high < 1, mannWhitney(a, b).p <= 0.05);
  }
});

Deno.test("outliersOf() names what lies beyond Tukey's fences", () => {
  // Quartiles 3.25 and 7.75 of the first ten: fences at -3.5, 14.5 and -10.25, 21.25.
  const calm = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  assert.deepEqual(outliersOf(calm), calm.map(() => "none"));
  assert.deepEqual(outliersOf([...calm, 16, 40]).slice(-2), ["none", "severe"]);
  assert.deepEqual(outliersOf([...calm, 19]).slice(-1), ["mild"]);
  assert.deepEqual(outliersOf([5, 5, 5, 5, 5.1]).slice(-1), ["severe"]);
});

Deno.test("noiseOf() speaks of variation, outliers and drift, and is silent else", () => {
  const calm = Array.from({ length: 20 }, (_, i) => 100 + i * 7 % 5);
  assert.deepEqual(noiseOf(summarize(calm)), []);
  assert.deepEqual(noiseOf(summarize([...calm.slice(1), 200])), [
    "varies by 20 %",
    "1 severe of 1 outliers in 20",
  ]);
  assert.deepEqual(noiseOf(summarize(calm.map((_, i) => 100 + i))), [
    "first and second half differ: something drifts",
  ]);
});
