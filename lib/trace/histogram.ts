/**
 * How often values occurred, in memory that does not grow with them.
 *
 * @module
 */

/** Buckets of each power of two, as a power of two itself. */
const STEPS_BITS = 5;
const STEPS = 1 << STEPS_BITS;
/** Powers of two from which on values are one bucket each: all of a safe integer. */
const OCTAVES = 53 - STEPS_BITS;
const BUCKETS = (OCTAVES + 1) * STEPS;
const TWO_30 = 2 ** 30;

/** Bucket of a value: its highest bit and the five that follow. */
function bucketOf(value: number): number {
  let octave = 0;
  let rest = value;
  // Numbers past 31 bits first lose the bits that no bucket tells apart.
  if (rest >= TWO_30) {
    rest = Math.floor(rest / (TWO_30 >> STEPS_BITS));
    octave = 30 - STEPS_BITS;
    if (rest >= TWO_30) return BUCKETS - 1;
  }
  const small = rest | 0;
  if (small < STEPS) return small;
  const shift = 31 - STEPS_BITS - Math.clz32(small);
  return Math.min(BUCKETS - 1, (octave + shift) * STEPS + (small >> shift));
}

/** Least value of a bucket. */
function leastOf(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const octave = (bucket >> STEPS_BITS) - 1;
  return (STEPS + bucket % STEPS) * 2 ** octave;
}

/** Values that are not negative, in buckets no wider than 1/32 of what is in them. */
export class Histogram {
  /** How many values. */
  count = 0;
  /** Their sum. */
  sum = 0;
  /** The least of them; 0 if there is none. */
  min = 0;
  /** The greatest of them; 0 if there is none. */
  max = 0;
  readonly #buckets = new Float64Array(BUCKETS);

  /** Adds a value; what is negative or no number counts as 0. */
  add(value: number): void {
    const sane = value > 0 ? Math.floor(value) : 0;
    const bucket = bucketOf(sane);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    if (this.count === 0 || sane < this.min) this.min = sane;
    if (sane > this.max) this.max = sane;
    this.count++;
    this.sum += sane;
  }

  /** Adds all values of another one. */
  merge(other: Histogram): void {
    if (other.count === 0) return;
    this.min = this.count === 0 ? other.min : Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.count += other.count;
    this.sum += other.sum;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + (other.#buckets[bucket] ?? 0);
    }
  }

  /** Mean; 0 if there is no value. */
  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /**
   * Value below which a share of all lies, to 1/64 of itself; 0 if there is none.
   *
   * @param share From 0 to 1.
   */
  quantile(share: number): number {
    if (this.count === 0) return 0;
    const rank = Math.max(1, Math.ceil(share * this.count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#buckets[bucket] ?? 0;
      if (seen < rank) continue;
      const middle = Math.floor((leastOf(bucket) + leastOf(bucket + 1) - 1) / 2);
      return Math.min(this.max, Math.max(this.min, middle));
    }
    return this.max;
  }

  /** How many values were in each power of two that has some, ascending. */
  octaves(): Octave[] {
    const octaves: Octave[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#buckets[bucket] ?? 0;
      if (count === 0) continue;
      const least = leastOf(bucket);
      const from = least === 0 ? 0 : 2 ** Math.floor(Math.log2(least));
      const last = octaves.at(-1);
      if (last?.from === from) last.count += count;
      else octaves.push({ from, to: from === 0 ? 1 : 2 * from, count });
    }
    return octaves;
  }
}

/** Values of one power of two. */
export interface Octave {
  /** From this one on. */
  readonly from: number;
  /** Up to this one, which is none of them. */
  readonly to: number;
  /** How many. */
  count: number;
}
