/**
 * Guidance where the target's code cannot be seen: which request met a fid in which state and with
 * which outcome, and what came after what.
 *
 * @module
 */
import type { FidState } from "./model.ts";

const STATES: Readonly<Record<FidState, number>> = {
  "walked": 1,
  "file": 3,
  "folder": 5,
  "xattr-read": 7,
  "xattr-write": 8,
  "unsure": 9,
};

/** A number below 16 for what a fid is: its state, and whether its file still has a name. */
export function stateKey(state: FidState, links: number): number {
  const isGone = links === 0 && (state === "walked" || state === "file" || state === "folder");
  return STATES[state] + (isGone ? 1 : 0);
}

/** More states than servers have; those of one that makes up errors are taken for each other. */
const MAX_STATES = 2 ** 14;

/** States that were seen, and pairs of states. */
export class StateCoverage {
  /** Each state's number, in the order in which they were seen: small ones make a fast set of pairs. */
  readonly #states = new Map<number, number>();
  readonly #pairs = new Set<number>();

  /** How many states were seen. */
  get states(): number {
    return this.#states.size;
  }

  /** How many pairs, one after the other, were seen. */
  get pairs(): number {
    return this.#pairs.size;
  }

  /** Takes up that a state followed another, 0 for none; says whether that is new. */
  add(state: number, before: number): boolean {
    const known = this.#states.size + this.#pairs.size;
    this.#pairs.add(this.#numberOf(before) * MAX_STATES + this.#numberOf(state));
    return this.#states.size + this.#pairs.size > known;
  }

  #numberOf(state: number): number {
    if (state === 0) return 0;
    let number = this.#states.get(state);
    if (number === undefined) {
      number = this.#states.size + 1;
      this.#states.set(state, number);
    }
    return number;
  }
}
