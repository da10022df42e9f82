/**
 * Numbers out of repeated measurements on a machine that others use too: no assumption about their
 * distribution, nothing dropped.
 *
 * @module
 */

/** A number with the interval it lies in. */
export interface Estimate {
  /** The number. */
  readonly value: number;
  /** Lower end of the interval; NaN with too few samples. */
  readonly low: number;
  /** Upper end of the interval; NaN with too few samples. */
  readonly high: number;
}

/** Share of cases in which an interval may miss, as is usual. */
const RISK = 0.05;
const RESAMPLES = 2000;

/** Median of at least one sample. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/**
 * The median with an interval between two of the samples, which holds it in 95 % of cases whatever
 * the distribution is: how many of n samples lie below their median is binomial.
 */
export function medianOf(samples: readonly number[]): Estimate {
  const sorted = [...samples].sort((a, b) => a - b);
  const n = sorted.length;
  // The most samples that can be left out on each side.
  let out = -1;
  let tail = 0;
  let term = 0.5 ** n;
  for (let k = 0; k < n >> 1; k++) {
    tail += term;
    if (2 * tail > RISK) break;
    out = k;
    term *= (n - k) / (k + 1);
  }
  return {
    value: median(samples),
    low: out < 0 ? NaN : sorted[out] ?? NaN,
    high: out < 0 ? NaN : sorted[n - 1 - out] ?? NaN,
  };
}

/** Ratio of two medians, with an interval by resampling both; the same samples give the same one. */
export function ratioOf(a: readonly number[], b: readonly number[]): Estimate {
  const random = generator(a.length * 65_537 + b.length);
  const ratios: number[] = [];
  for (let i = 0; i < RESAMPLES; i++) {
    ratios.push(median(resampled(a, random)) / median(resampled(b, random)));
  }
  ratios.sort((x, y) => x - y);
  const isEnough = Math.min(a.length, b.length) >= 6;
  return {
    value: median(a) / median(b),
    low: isEnough ? ratios[Math.floor(RESAMPLES * RISK / 2)] ?? NaN : NaN,
    high: isEnough ? ratios[Math.ceil(RESAMPLES * (1 - RISK / 2)) - 1] ?? NaN : NaN,
  };
}

function resampled(samples: readonly number[], random: () => number): number[] {
  return samples.map(() => samples[Math.floor(random() * samples.length)] ?? NaN);
}

/** Numbers from 0 to below 1: mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let x = Math.imul(state ^ state >>> 15, state | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Three significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "?";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** `12.3 [11.9–13.0]` */
export function shown({ value, low, high }: Estimate): string {
  return Number.isNaN(low) ? short(value) : `${short(value)} [${short(low)}–${short(high)}]`;
}

/** Rows as a Markdown table; all columns but the first are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => {
    return Math.max(3, ...[head, ...rows].map((row) => (row[i] ?? "").length));
  });
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, i) => {
      return i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
    });
    return `| ${cells.join(" | ")} |`;
  };
  const rule = widths.map((width, i) => i === 0 ? "-".repeat(width) : "-".repeat(width - 1) + ":");
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
