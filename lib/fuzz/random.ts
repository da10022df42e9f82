/**
 * Chance that can be had again: the same seed gives the same numbers.
 *
 * @module
 */

/**
 * A generator of numbers (sfc32: 128 bits of state, passes the usual batteries, a few ns a number).
 *
 * @example The same again
 * ```ts
 * import assert from "node:assert/strict";
 * import { Random } from "@virtfs/virtfs/fuzz";
 *
 * assert.equal(new Random(7, 1).below(1000), new Random(7, 1).below(1000));
 * ```
 */
export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** Begins a stream of its own for each pair of a seed and an index. */
  constructor(seed: number, index: number = 0) {
    this.reset(seed, index);
  }

  /** Begin again as if made with these. */
  reset(seed: number, index: number = 0): void {
    this.#a = seed | 0;
    this.#b = index | 0;
    this.#c = (Math.floor(index / 2 ** 32) | 0) ^ 0x9e3779b9;
    this.#counter = 1;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t | 0;
    return t >>> 0;
  }

  /** A whole number from 0 to `bound - 1`; 0 if there is none. */
  below(bound: number): number {
    return bound <= 1 ? 0 : Math.floor(this.next() / 2 ** 32 * bound);
  }

  /** True in one of `times` cases. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /**
   * One of the items.
   *
   * @throws {RangeError} If there are none.
   */
  pick<T>(items: ArrayLike<T>): T {
    if (items.length === 0) throw new RangeError("Cannot pick one of no items");
    return items[this.below(items.length)] as T;
  }
}
