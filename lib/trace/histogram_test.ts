import assert from "node:assert/strict";
import { Histogram } from "./histogram.ts";

Deno.test("Histogram tells quantiles to 1/64 of values of any size", () => {
  for (const scale of [1, 7, 1e3, 1e6, 2 ** 25, 2 ** 30 / 1000, 3e9, 2 ** 40]) {
    const histogram = new Histogram();
    const values = Array.from({ length: 1000 }, (_, i) => Math.floor((i + 1) * scale));
    for (const value of values.toReversed()) histogram.add(value);
    for (const share of [0, 0.01, 0.5, 0.95, 0.99, 1]) {
      const exact = values[Math.max(0, Math.ceil(share * 1000) - 1)] ?? 0;
      const told = histogram.quantile(share);
      assert.ok(Math.abs(told - exact) <= exact / 64, `${scale} ${share}: ${told} for ${exact}`);
    }
    assert.equal(histogram.min, values[0]);
    assert.equal(histogram.max, values.at(-1));
    assert.equal(histogram.count, 1000);
    const inOctaves = histogram.octaves().reduce((sum, { count }) => sum + count, 0);
    assert.equal(inOctaves, 1000);
    for (const { from, to } of histogram.octaves()) assert.ok(to > from);
  }
});

Deno.test("Histogram tells small values exactly", () => {
  for (let value = 0; value < 64; value++) {
    const histogram = new Histogram();
    histogram.add(0);
    histogram.add(value);
    histogram.add(1000);
    assert.equal(histogram.quantile(0.5), value);
  }
});

Deno.test("Histogram takes any number for a value", () => {
  const histogram = new Histogram();
  for (const value of [-1, NaN, -Infinity, Infinity, 2 ** 53, 2 ** 60, 1e300]) histogram.add(value);
  assert.equal(histogram.count, 7);
  assert.equal(histogram.quantile(0), 0);
  assert.equal(histogram.octaves().reduce((sum, { count }) => sum + count, 0), 7);
});

Deno.test("Histogram of nothing is 0", () => {
  const histogram = new Histogram();
  assert.deepEqual([histogram.mean, histogram.quantile(0.5), histogram.octaves()], [0, 0, []]);
});
