/**
 * Memory that the payload of a message lies in or goes to, in pieces: guest pages, a part of a
 * receive buffer, a reply buffer.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- array reads here are below #count

/** Bytes with, where known, their address in this process. */
export interface Memory {
  /** The bytes, borrowed. */
  readonly bytes: Uint8Array;
  /** Address of `bytes[0]`, or 0 where unknown. */
  readonly address: number;
}

const NOTHING: Memory = { bytes: new Uint8Array(0), address: 0 };

/**
 * A list of pieces of memory in order, reused from request to request.
 *
 * The pieces are borrowed: they are valid until the request they belong to is answered, or until
 * {@linkcode Segments.clear}.
 *
 * @example Scatter and gather
 * ```ts
 * import assert from "node:assert/strict";
 * import { Segments } from "@virtfs/virtfs/p9";
 *
 * const memory = { bytes: new Uint8Array(8), address: 0 };
 * const segments = new Segments();
 * segments.add(memory, 6, 2);
 * segments.add(memory, 0, 2);
 * assert.equal(segments.copyFrom(new Uint8Array([1, 2, 3])), 3);
 * assert.deepEqual([...memory.bytes], [3, 0, 0, 0, 0, 0, 1, 2]);
 * ```
 */
export class Segments {
  /** Memory of each piece; valid below `count`. */
  readonly memories: Memory[] = [];
  /** Where each piece begins in its memory, in bytes; valid below `count`. */
  readonly offsets: number[] = [];
  /** Bytes of each piece, never 0; valid below `count`. */
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

  /** Forgets all pieces, and the memory they lie in. */
  clear(): void {
    // Overwritten rather than cut off: the arrays keep their room for the next request.
    for (let i = 0; i < this.#count; i++) this.memories[i] = NOTHING;
    this.#count = 0;
    this.#length = 0;
  }

  /**
   * Adds a piece at the end; one of no bytes is left out.
   *
   * @throws {RangeError} If the piece does not lie in the memory.
   */
  add(memory: Memory, offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= memory.bytes.length)) {
      throw new RangeError(
        `Cannot add ${length} bytes at ${offset}: the memory has ${memory.bytes.length}`,
      );
    }
    if (length === 0) return;
    const i = this.#count++;
    this.memories[i] = memory;
    this.offsets[i] = offset;
    this.lengths[i] = length;
    this.#length += length;
  }

  /** Adds at most `length` bytes of other segments, from byte `at` on. */
  addSlice(source: Segments, at: number, length: number): void {
    let skip = at;
    let left = length;
    const count = source.#count; // source may be this
    for (let i = 0; i < count && left > 0; i++) {
      const size = source.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, left);
      this.add(source.memories[i]!, source.offsets[i]! + skip, part);
      left -= part;
      skip = 0;
    }
  }

  /**
   * The bytes of piece `i`: a view, made on demand.
   *
   * @throws {RangeError} If there is no such piece.
   */
  bytes(i: number): Uint8Array {
    this.#check(i);
    const offset = this.offsets[i]!;
    return this.memories[i]!.bytes.subarray(offset, offset + this.lengths[i]!);
  }

  /**
   * The address of piece `i` in this process, or 0 where unknown.
   *
   * @throws {RangeError} If there is no such piece.
   */
  address(i: number): number {
    this.#check(i);
    const address = this.memories[i]!.address;
    return address === 0 ? 0 : address + this.offsets[i]!;
  }

  /** Copies `source` into the pieces, from byte `at` of them on; returns how many bytes fitted. */
  copyFrom(source: Uint8Array, at = 0): number {
    let skip = at;
    let done = 0;
    for (let i = 0; i < this.#count && done < source.length; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, source.length - done);
      const whole = done === 0 && part === source.length;
      this.memories[i]!.bytes.set(
        whole ? source : source.subarray(done, done + part),
        this.offsets[i]! + skip,
      );
      done += part;
      skip = 0;
    }
    return done;
  }

  /** Copies the pieces, from byte `at` of them on, into `target`; returns how many bytes. */
  copyTo(target: Uint8Array, at = 0): number {
    let skip = at;
    let done = 0;
    for (let i = 0; i < this.#count && done < target.length; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const part = Math.min(size - skip, target.length - done);
      const from = this.offsets[i]! + skip;
      target.set(this.memories[i]!.bytes.subarray(from, from + part), done);
      done += part;
      skip = 0;
    }
    return done;
  }

  /** Cuts off what is past `length` bytes. */
  limit(length: number): void {
    let excess = this.#length - Math.max(0, length);
    while (excess > 0) {
      const i = this.#count - 1;
      const size = this.lengths[i]!;
      const cut = Math.min(size, excess);
      excess -= cut;
      this.#length -= cut;
      if (cut < size) this.lengths[i] = size - cut;
      else {
        this.memories[i] = NOTHING;
        this.#count = i;
      }
    }
  }

  /** A list of its own of the same pieces, for a request that outlives this one's reuse. */
  clone(): Segments {
    const copy = new Segments();
    for (let i = 0; i < this.#count; i++) {
      copy.add(this.memories[i]!, this.offsets[i]!, this.lengths[i]!);
    }
    return copy;
  }

  #check(i: number): void {
    if (!(i >= 0 && i < this.#count)) {
      throw new RangeError(`Cannot take piece ${i}: there are ${this.#count}`);
    }
  }
}
