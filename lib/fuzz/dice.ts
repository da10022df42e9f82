/**
 * Chance that can be repeated: the same seed gives the same numbers on every machine.
 *
 * @module
 */

/** Mixes two numbers to a seed, so that neighbouring cases have nothing in common. */
export function mixSeed(seed: number, index: number): number {
  let hash = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(index + 1, 0xc2b2_ae35);
  hash = Math.imul(hash ^ hash >>> 16, 0x7feb_352d);
  hash = Math.imul(hash ^ hash >>> 15, 0x846c_a68b);
  return (hash ^ hash >>> 16) >>> 0;
}

/**
 * A seeded source of numbers (mulberry32): four operations a number, one word of state.
 *
 * @example The same again
 * ```ts
 * import assert from "node:assert/strict";
 * import { Dice } from "@virtfs/virtfs/fuzz";
 *
 * assert.equal(new Dice(7).below(1000), new Dice(7).below(1000));
 * ```
 */
export class Dice {
  #state: number;

  /** Begin with a seed, of which 32 bits count. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** Begin again with another seed. */
  reset(seed: number): void {
    this.#state = seed | 0;
  }

  /** Any 32 bits, as a number that is not negative. */
  next(): number {
    const state = this.#state = this.#state + 0x6d2b_79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61) ^ mixed;
    return (mixed ^ mixed >>> 14) >>> 0;
  }

  /** A whole number from 0 to less than `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() / 0x1_0000_0000 * bound);
  }

  /** Whether something happens that happens once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /**
   * One of a list.
   *
   * @throws {RangeError} If the list is empty.
   */
  pick<T>(list: ArrayLike<T>): T {
    if (list.length === 0) throw new RangeError("Cannot pick one of a list: it is empty");
    return list[this.below(list.length)] as T;
  }
}
