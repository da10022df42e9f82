/**
 * A line through the times of a series: each request costs a time of its own, each byte another.
 *
 * @module
 */
import { type Estimate, generator, median, quantile } from "./statistics.ts";

/** Time of one block. */
export interface TimedBlock {
  /** Requests that the block took. */
  readonly requests: number;
  /** Bytes of the block. */
  readonly bytes: number;
  /** Nanoseconds that it took. */
  readonly time: number;
}

/** `t = requests * latency + bytes / bandwidth`. */
export interface Model {
  /** Nanoseconds of each request, whatever its size. */
  readonly latency: Estimate;
  /** Bytes per nanosecond, which is GB/s. */
  readonly bandwidth: Estimate;
  /** Share of the variation that the line explains, at most 1. */
  readonly fit: number;
}

const RESAMPLES = 300;
const ROUNDS = 8;
/** Distances beyond so many typical ones pull no harder (Huber's constant). */
const HUBER = 1.345;

/**
 * Fits the line by least squares of relative errors, where far-off times pull less (Huber).
 *
 * Intervals come from drawing the times of each size again; the same times give the same ones.
 * Undefined if the blocks are of fewer than two sizes.
 */
export function fitModel(blocks: readonly TimedBlock[], seed = 1): Model | undefined {
  const groups = Map.groupBy(blocks, ({ requests, bytes }) => `${requests} ${bytes}`);
  if (new Set(blocks.map(({ bytes }) => bytes)).size < 2) return undefined;
  const line = fitLine(blocks);
  if (line === undefined) return undefined;
  const random = generator(seed);
  const latencies: number[] = [];
  const bandwidths: number[] = [];
  const all = [...groups.values()];
  const isEnough = all.every((group) => group.length >= 3);
  for (let i = 0; isEnough && i < RESAMPLES; i++) {
    const drawn = all.flatMap((group) =>
      group.map((block) => group[Math.floor(random() * group.length)] ?? block)
    );
    const again = fitLine(drawn);
    if (again === undefined) continue;
    latencies.push(again.latency);
    bandwidths.push(1 / again.perByte);
  }
  const around = (value: number, values: readonly number[]): Estimate => ({
    value,
    low: values.length === 0 ? NaN : quantile(values, 0.025),
    high: values.length === 0 ? NaN : quantile(values, 0.975),
  });
  return {
    latency: around(line.latency, latencies),
    bandwidth: around(1 / line.perByte, bandwidths),
    fit: explained(blocks, line),
  };
}

interface Line {
  readonly latency: number;
  readonly perByte: number;
}

/** Least squares of relative errors, repeated with less weight for what is far off. */
function fitLine(blocks: readonly TimedBlock[]): Line | undefined {
  let weights = blocks.map(() => 1);
  let line: Line | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    line = solve(blocks, weights);
    if (line === undefined) return undefined;
    const errors = blocks.map((block) => relativeError(block, line as Line));
    // The median of absolute errors is 0.6745 standard deviations of a normal distribution.
    const typical = median(errors.map(Math.abs)) / 0.6745;
    if (typical < 1e-12) break;
    weights = errors.map((error) =>
      Math.min(1, HUBER * typical / Math.max(Math.abs(error), 1e-300))
    );
  }
  return line;
}

function relativeError({ requests, bytes, time }: TimedBlock, { latency, perByte }: Line): number {
  return (requests * latency + bytes * perByte) / time - 1;
}

/** Solves the two normal equations; neither number may be negative. */
function solve(blocks: readonly TimedBlock[], weights: readonly number[]): Line | undefined {
  let rr = 0;
  let rb = 0;
  let bb = 0;
  let r1 = 0;
  let b1 = 0;
  blocks.forEach(({ requests, bytes, time }, i) => {
    const weight = weights[i] ?? 1;
    const r = requests / time;
    const b = bytes / time;
    rr += weight * r * r;
    rb += weight * r * b;
    bb += weight * b * b;
    r1 += weight * r;
    b1 += weight * b;
  });
  const determinant = rr * bb - rb * rb;
  if (!(determinant > 1e-12 * rr * bb)) return undefined;
  const latency = (r1 * bb - b1 * rb) / determinant;
  const perByte = (b1 * rr - r1 * rb) / determinant;
  if (latency < 0) return { latency: 0, perByte: b1 / bb };
  if (perByte <= 0) return { latency: r1 / rr, perByte: 0 };
  return { latency, perByte };
}

/** One less the squares that the line leaves over those that the mean of the logarithms leaves. */
function explained(blocks: readonly TimedBlock[], line: Line): number {
  const logs = blocks.map(({ time }) => Math.log(time));
  const mean = logs.reduce((sum, each) => sum + each, 0) / logs.length;
  let left = 0;
  let all = 0;
  blocks.forEach(({ requests, bytes }, i) => {
    const log = logs[i] ?? NaN;
    left += (Math.log(requests * line.latency + bytes * line.perByte) - log) ** 2;
    all += (log - mean) ** 2;
  });
  return 1 - left / all;
}
