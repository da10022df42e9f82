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
/** Quantile of the normal distribution that leaves half the risk on each side. */
const Z = 1.959963984540054;
/** Most samples of both sides together for which every arrangement is counted. */
const MOST_EXACT = 50;

function ascending(samples: readonly number[]): number[] {
  return [...samples].sort((a, b) => a - b);
}

/** Median of at least one sample. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/**
 * Quantile of at least one sample, between two samples by a straight line (type 7 of Hyndman and
 * Fan, the usual one).
 *
 * @param p From 0 to 1.
 */
export function quantile(samples: readonly number[], p: number): number {
  return quantileOfSorted(ascending(samples), p);
}

function quantileOfSorted(sorted: readonly number[], p: number): number {
  const at = (sorted.length - 1) * p;
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below === above ? below : below + (above - below) * (at - Math.floor(at));
}

/**
 * The median with an interval between two of the samples, which holds it in 95 % of cases whatever
 * the distribution is: how many of n samples lie below their median is binomial.
 */
export function medianOf(samples: readonly number[]): Estimate {
  const sorted = ascending(samples);
  const out = leftOut(sorted.length);
  return {
    value: quantileOfSorted(sorted, 0.5),
    low: out < 0 ? NaN : sorted[out] ?? NaN,
    high: out < 0 ? NaN : sorted[sorted.length - 1 - out] ?? NaN,
  };
}

/** The most of n samples that can be left out on each side; -1 if there are too few. */
function leftOut(n: number): number {
  // Beyond this many 0.5^n is no number any more, and the normal distribution is as good.
  if (n > 1000) return Math.floor(n / 2 - Z * Math.sqrt(n) / 2) - 1;
  let out = -1;
  let tail = 0;
  let term = 0.5 ** n;
  for (let k = 0; k < n >> 1; k++) {
    tail += term;
    if (2 * tail > RISK) break;
    out = k;
    term *= (n - k) / (k + 1);
  }
  return out;
}

/**
 * How many times as large `a` is as `b`: the median of all ratios of one to the other (Hodges and
 * Lehmann, of logarithms), with the 95 % interval that belongs to {@linkcode mannWhitney}. All
 * samples must be positive.
 */
export function ratioOf(a: readonly number[], b: readonly number[]): Estimate {
  const ratios: number[] = [];
  for (const x of a) for (const y of b) ratios.push(x / y);
  ratios.sort((x, y) => x - y);
  const out = pairsLeftOut(a.length, b.length);
  return {
    value: quantileOfSorted(ratios, 0.5),
    low: out < 0 ? NaN : ratios[out] ?? NaN,
    high: out < 0 ? NaN : ratios[ratios.length - 1 - out] ?? NaN,
  };
}

const known = new Map<string, number>();

/** The most of n times m ordered pairs that can be left out on each side; -1 with too few. */
function pairsLeftOut(n: number, m: number): number {
  if (n + m > MOST_EXACT) {
    return Math.floor(n * m / 2 - Z * Math.sqrt(n * m * (n + m + 1) / 12)) - 1;
  }
  const key = `${n} ${m}`;
  const out = known.get(key) ?? countPairsLeftOut(n, m);
  known.set(key, out);
  return out;
}

function countPairsLeftOut(n: number, m: number): number {
  const counts = rankSumCounts(doubledRanks(Array.from({ length: n + m }, (_, i) => i)), n);
  const all = counts.reduce((sum, each) => sum + each, 0);
  // A rank sum is U plus n (n + 1) / 2, and doubled here.
  const least = n * (n + 1);
  let tail = 0;
  let out = -1;
  for (let u = 0; u <= n * m; u++) {
    tail += counts[least + 2 * u] ?? 0;
    if (tail / all > RISK / 2) break;
    out = u;
  }
  return out;
}

/** Twice the rank of each value; equal values share the mean of their ranks. */
function doubledRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => (values[i] ?? 0) - (values[j] ?? 0));
  const ranks: number[] = new Array(values.length).fill(0);
  for (let from = 0; from < order.length;) {
    let to = from;
    const value = values[order[from] ?? 0];
    while (to < order.length && values[order[to] ?? 0] === value) to++;
    for (let i = from; i < to; i++) ranks[order[i] ?? 0] = from + 1 + to;
    from = to;
  }
  return ranks;
}

/** For each sum, in how many ways `n` of the ranks make it. */
function rankSumCounts(ranks: readonly number[], n: number): Float64Array {
  const most = ascending(ranks).slice(ranks.length - n).reduce((sum, rank) => sum + rank, 0);
  const ways = Array.from({ length: n + 1 }, () => new Float64Array(most + 1));
  const none = ways[0];
  if (none !== undefined) none[0] = 1;
  let seen = 0;
  for (const rank of ranks) {
    seen++;
    for (let k = Math.min(n, seen); k > 0; k--) {
      const more = ways[k];
      const fewer = ways[k - 1];
      if (more === undefined || fewer === undefined) continue;
      for (let sum = rank; sum <= most; sum++) {
        more[sum] = (more[sum] ?? 0) + (fewer[sum - rank] ?? 0);
      }
    }
  }
  return ways[n] ?? new Float64Array();
}

/** What a test of Mann and Whitney says. */
export interface RankTest {
  /** Pairs in which the sample of `a` is larger; equal ones count half. */
  readonly u: number;
  /** Chance of a U so far from the middle, on either side, if both came from one distribution. */
  readonly p: number;
  /** Whether every arrangement was counted; else the normal distribution stands for them. */
  readonly isExact: boolean;
}

/**
 * Tests whether two groups of samples come from one distribution, whichever that is.
 *
 * With up to 50 samples all arrangements of their ranks are counted, ties and all; beyond, U is
 * taken as normal, corrected for ties and for its steps.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): RankTest {
  const n = a.length;
  const m = b.length;
  if (n === 0 || m === 0) return { u: NaN, p: NaN, isExact: true };
  const ranks = doubledRanks([...a, ...b]);
  const sum = ranks.slice(0, n).reduce((total, rank) => total + rank, 0);
  const u = (sum - n * (n + 1)) / 2;
  if (n + m > MOST_EXACT) return { u, p: normalP(u, n, m, ranks), isExact: false };
  const counts = rankSumCounts(ranks, n);
  const middle = n * (n + m + 1);
  const far = Math.abs(sum - middle);
  let all = 0;
  let extreme = 0;
  counts.forEach((ways, at) => {
    all += ways;
    if (Math.abs(at - middle) >= far) extreme += ways;
  });
  return { u, p: extreme / all, isExact: true };
}

function normalP(u: number, n: number, m: number, ranks: readonly number[]): number {
  const total = n + m;
  const sizes = new Map<number, number>();
  for (const rank of ranks) sizes.set(rank, (sizes.get(rank) ?? 0) + 1);
  let ties = 0;
  for (const size of sizes.values()) ties += size ** 3 - size;
  const variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)));
  if (variance <= 0) return 1;
  const distance = Math.max(0, Math.abs(u - n * m / 2) - 0.5);
  return Math.min(1, 2 * normalTail(distance / Math.sqrt(variance)));
}

/** Chance that a normal number is beyond z, which is not negative; to 7 digits. */
function normalTail(z: number): number {
  // Chebyshev fit of the complementary error function (Numerical Recipes, erfcc).
  const x = z / Math.SQRT2;
  const t = 1 / (1 + 0.5 * x);
  const coefficients = [
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
  ];
  const sum = coefficients.reduceRight((rest, each) => rest * t + each, 0);
  return t * Math.exp(-x * x + sum) / 2;
}

/** How far a sample is from the others. */
export type OutlierClass = "none" | "mild" | "severe";

/**
 * Class of each sample by Tukey's fences: more than 1.5 or 3 times the distance of the quartiles
 * beyond them. It says that something happened, and is no reason to leave a sample out.
 */
export function outliersOf(samples: readonly number[]): OutlierClass[] {
  const sorted = ascending(samples);
  const low = quantileOfSorted(sorted, 0.25);
  const high = quantileOfSorted(sorted, 0.75);
  const width = high - low;
  return samples.map((value) => {
    const beyond = Math.max(low - value, value - high);
    return beyond > 3 * width ? "severe" : beyond > 1.5 * width ? "mild" : "none";
  });
}

/** Samples in a few numbers. */
export interface Summary {
  /** Number of samples. */
  readonly count: number;
  /** Median with its interval. */
  readonly median: Estimate;
  /** Mean. */
  readonly mean: number;
  /** Standard deviation, with n - 1; NaN for one sample. */
  readonly deviation: number;
  /** Standard deviation over mean; NaN for one sample. */
  readonly variation: number;
  /** Least. */
  readonly min: number;
  /** Greatest. */
  readonly max: number;
  /** Mild outliers. */
  readonly mild: number;
  /** Severe outliers. */
  readonly severe: number;
  /** Chance of so great a difference between first and second half, if nothing drifts. */
  readonly drift: number;
}

/**
 * Summarizes samples, at least one.
 *
 * @param samples In the order in which they were taken.
 */
export function summarize(samples: readonly number[]): Summary {
  const count = samples.length;
  const mean = samples.reduce((sum, each) => sum + each, 0) / count;
  const squares = samples.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  const deviation = count > 1 ? Math.sqrt(squares / (count - 1)) : NaN;
  const classes = outliersOf(samples);
  const half = count >> 1;
  return {
    count,
    median: medianOf(samples),
    mean,
    deviation,
    variation: deviation / mean,
    min: samples.reduce((least, each) => Math.min(least, each), Infinity),
    max: samples.reduce((most, each) => Math.max(most, each), -Infinity),
    mild: classes.filter((each) => each === "mild").length,
    severe: classes.filter((each) => each === "severe").length,
    drift: mannWhitney(samples.slice(0, half), samples.slice(half)).p,
  };
}

/** Variation from which samples are called noisy. */
const NOISY = 0.1;
/** Chance below which a drift is believed: many cells are looked at. */
const DRIFTS = 0.001;

/** What is to be said of the noise in samples; nothing if they are calm. */
export function noiseOf({ variation, mild, severe, drift, count }: Summary): string[] {
  const said: string[] = [];
  if (variation > NOISY) said.push(`varies by ${(variation * 100).toFixed(0)} %`);
  if (severe > 0) said.push(`${severe} severe of ${mild + severe} outliers in ${count}`);
  if (drift < DRIFTS) said.push("first and second half differ: something drifts");
  return said;
}

/** Numbers from 0 to below 1 that a seed determines: mulberry32. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let x = Math.imul(state ^ state >>> 15, state | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Items in an order that the generator decides. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const keys = new Map(items.map((item) => [item, random()]));
  return items.toSorted((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
}
