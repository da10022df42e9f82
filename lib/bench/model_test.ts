import assert from "node:assert/strict";
import { linearRegression } from "simple-statistics";
import { fitModel, type TimedBlock } from "./model.ts";
import { generator } from "./statistics.ts";

const SIZES = [8192, 65_536, 2 << 20];
const MSIZE = 131_072;

/** Blocks that follow the line, each time multiplied by a factor. */
function blocks(latency: number, perByte: number, factor: () => number, each = 10): TimedBlock[] {
  return SIZES.flatMap((bytes) => {
    const requests = Math.ceil(bytes / (MSIZE - 24));
    return Array.from({ length: each }, () => ({
      requests,
      bytes,
      time: (requests * latency + bytes * perByte) * factor(),
    }));
  });
}

Deno.test("fitModel() finds the line that times lie on", () => {
  const model = fitModel(blocks(150_000, 0.25, () => 1));
  assert.ok(model !== undefined);
  assert.ok(Math.abs(model.latency.value - 150_000) < 1);
  assert.ok(Math.abs(model.bandwidth.value - 4) < 1e-4);
  assert.ok(model.fit > 0.999999);
});

Deno.test("fitModel() agrees with the reference where one request is one block", () => {
  // Of equal weight: times that differ little.
  const points = [[0, 1000], [10, 1011], [20, 1019], [30, 1030]] as const;
  const { m, b } = linearRegression(points.map(([x, y]) => [x, y]));
  const model = fitModel(points.map(([bytes, time]) => ({ requests: 1, bytes, time })));
  assert.ok(model !== undefined);
  assert.ok(Math.abs(model.latency.value - b) < 1, `${model.latency.value} is not ${b}`);
  assert.ok(Math.abs(1 / model.bandwidth.value - m) < 0.05);
});

Deno.test("fitModel() keeps the truth in its intervals when times are noisy and some far off", () => {
  const random = generator(11);
  let held = 0;
  for (let i = 0; i < 20; i++) {
    const noise = () => (0.9 + 0.2 * random()) * (random() < 0.05 ? 5 : 1);
    const model = fitModel(blocks(150_000, 0.25, noise), i);
    assert.ok(model !== undefined);
    const { low, high, value } = model.latency;
    assert.ok(low <= value && value <= high);
    assert.ok(Math.abs(value / 150_000 - 1) < 0.15, `${value}`);
    if (low <= 150_000 && 150_000 <= high) held++;
  }
  assert.ok(held >= 16, `${held} of 20`);
});

Deno.test("fitModel() gives no negative time and no line through one size", () => {
  const model = fitModel(SIZES.map((bytes) => ({ requests: 1, bytes, time: bytes ** 1.2 })));
  assert.equal(model?.latency.value, 0);
  assert.ok(Number.isNaN(model?.latency.low));
  assert.equal(fitModel([{ requests: 1, bytes: 8192, time: 5 }]), undefined);
  assert.equal(fitModel([]), undefined);
});
