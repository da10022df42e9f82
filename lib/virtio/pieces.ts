/**
 * Lists of pieces of memory, refilled from chain to chain.
 *
 * @module
 */

/** Bytes with, where known, their address in this process. */
export interface Memory {
  /** The bytes, borrowed. */
  readonly bytes: Uint8Array;
  /** Address of `bytes[0]`, or 0 where unknown. */
  readonly address: number;
}

/** What a chain is gathered into. A server brings its own lists, so that nothing is copied over. */
export interface PieceList {
  /** How many pieces. */
  readonly count: number;
  /** Bytes of all pieces together. */
  readonly length: number;
  /** Add a piece at the end: `length` bytes from `offset` on, which lie in the memory. */
  add(memory: Memory, offset: number, length: number): void;
  /** Forget all pieces. */
  clear(): void;
}

const NOTHING: Memory = { bytes: new Uint8Array(0), address: 0 };

/** The plain list of pieces: parallel arrays that keep their room. */
export class Pieces implements PieceList {
  /** Memory of each piece; valid below `count`. */
  readonly memories: Memory[] = [];
  /** Where each piece begins in its memory, in bytes; valid below `count`. */
  readonly offsets: number[] = [];
  /** Bytes of each piece; valid below `count`. */
  readonly lengths: number[] = [];
  #count = 0;
  #length = 0;

  /** How many pieces. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of all pieces together. */
  get length(): number {
    return this.#length;
  }

  /** Add a piece at the end. */
  add(memory: Memory, offset: number, length: number): void {
    const i = this.#count++;
    this.memories[i] = memory;
    this.offsets[i] = offset;
    this.lengths[i] = length;
    this.#length += length;
  }

  /** Forget all pieces, and the memory they lie in. */
  clear(): void {
    for (let i = 0; i < this.#count; i++) this.memories[i] = NOTHING;
    this.#count = 0;
    this.#length = 0;
  }
}
