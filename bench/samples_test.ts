import assert from "node:assert/strict";
import { median, medianOf, ratioOf, short, shown, table } from "./samples.ts";

Deno.test("median() takes the middle, or the mean of the two there", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});

Deno.test("medianOf() leaves out what the binomial distribution allows", () => {
  const samples = (n: number) => Array.from({ length: n }, (_, i) => (i * 7) % n + 1);
  // Tables of the sign test: with 6 to 8 samples all of them, with 10 all but the outermost two.
  assert.deepEqual(medianOf(samples(6)), { value: 3.5, low: 1, high: 6 });
  assert.deepEqual(medianOf(samples(10)), { value: 5.5, low: 2, high: 9 });
  assert.deepEqual(medianOf(samples(20)), { value: 10.5, low: 6, high: 15 });
  assert.ok(Number.isNaN(medianOf(samples(5)).low));
});

Deno.test("ratioOf() gives the ratio of the medians within its interval, always the same", () => {
  const a = Array.from({ length: 20 }, (_, i) => 10 + i % 5);
  const b = Array.from({ length: 20 }, (_, i) => 20 + i % 5);
  const ratio = ratioOf(a, b);
  assert.equal(ratio.value, 12 / 22);
  assert.ok(ratio.low <= ratio.value && ratio.value <= ratio.high);
  assert.ok(ratio.low > 0.45 && ratio.high < 0.65);
  assert.deepEqual(ratioOf(a, b), ratio);
});

Deno.test("numbers and tables are short", () => {
  assert.equal(short(1234.5), "1235");
  assert.equal(short(0.12345), "0.123");
  assert.equal(shown({ value: 12.34, low: NaN, high: NaN }), "12.3");
  assert.equal(shown({ value: 12.34, low: 1.5, high: 20 }), "12.3 [1.50–20.0]");
  assert.equal(
    table(["op", "µs"], [["read", "1.50"]]),
    "| op   |   µs |\n| ---- | ---: |\n| read | 1.50 |",
  );
});
