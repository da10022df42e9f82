/**
 * Cases that are made bit by bit, while the target is at work on the one before.
 *
 * @module
 */
import { bytesOf, type Case, type Step } from "./case.ts";

/** A case and what it sends. */
export interface ReadyCase {
  /** The case. */
  readonly steps: Case;
  /** The bytes of each of its steps. */
  readonly frames: readonly Uint8Array[];
}

/** Bits that are made at once: more than are needed in the time that two answers take. */
const BITS = 6;

/** A case that is being made. */
export class CaseAhead {
  /** Its number. */
  readonly index: number;
  readonly #making: Generator<undefined, ReadyCase>;
  #ready: ReadyCase | null = null;

  /**
   * Begins with one.
   *
   * @param making Makes the steps, and pauses now and then.
   * @param aname The target's name of the tree.
   */
  constructor(index: number, making: Generator<undefined, Step[]>, aname: string) {
    this.index = index;
    this.#making = encoding(making, aname);
  }

  /** Goes on with it for as long as an answer takes. */
  advance(): void {
    for (let i = 0; i < BITS && this.#ready === null; i++) this.#next();
  }

  /** The case, of which what is missing is made now. */
  finish(): ReadyCase {
    while (this.#ready === null) this.#next();
    return this.#ready;
  }

  #next(): void {
    const { done, value } = this.#making.next();
    if (done === true) this.#ready = value;
  }
}

function* encoding(
  making: Generator<undefined, Step[]>,
  aname: string,
): Generator<undefined, ReadyCase> {
  const steps = yield* making;
  const frames: Uint8Array[] = [];
  for (const step of steps) {
    frames.push(bytesOf(step, aname));
    yield;
  }
  return { steps, frames };
}
