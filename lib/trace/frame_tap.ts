/**
 * Finds the messages in a stream of bytes while it passes by, and notes them.
 *
 * @module
 */
import { HEADER_SIZE, RREAD_HEADER, TWRITE_HEADER, TYPE } from "../p9/mod.ts";
import type { RecordWriter } from "./record_ring.ts";

/** Largest frame that is taken for one: above every msize there is. */
const MAX_FRAME = 1 << 26;
/** Bytes that tell how long a message is, and what it is. */
const START_BYTES = 5;

/** Bytes of a message of a type and a size that are kept. */
export function keptBytes(type: number, size: number, payload: number): number {
  if (type === TYPE.Rread) return Math.min(size, RREAD_HEADER + payload);
  if (type === TYPE.Twrite) return Math.min(size, TWRITE_HEADER + payload);
  return size;
}

/**
 * One direction of one connection.
 *
 * Where the stream turns out not to be 9P its bytes are counted and nothing more.
 */
export class FrameTap {
  readonly #writer: RecordWriter;
  readonly #id: number;
  readonly #isReply: boolean;
  readonly #payload: number;
  /** The beginning of a frame that has not wholly come. */
  #part = new Uint8Array(64);
  /** Bytes in it. */
  #have = 0;
  /** Bytes of it to be kept; 0 until they are known. */
  #keep = 0;
  /** Bytes of the frame that are yet to come, once its size is known. */
  #left = 0;
  #size = 0;
  #skipped = 0;
  #isLost = false;

  /**
   * Taps a direction.
   *
   * @param id Number of the conversation at the writer.
   * @param payload Bytes of what is read and written that are kept of each message.
   */
  constructor(writer: RecordWriter, id: number, isReply: boolean, payload: number) {
    this.#writer = writer;
    this.#id = id;
    this.#isReply = isReply;
    this.#payload = payload;
  }

  /** Takes bytes that have passed. */
  feed(bytes: Uint8Array, start: number, end: number, micros: number): void {
    let at = start;
    while (at < end) {
      if (this.#isLost) {
        this.#skipped += end - at;
        return;
      }
      if (this.#have > 0) at = this.#continue(bytes, at, end, micros);
      else at = this.#begin(bytes, at, end, micros);
    }
  }

  /** There is no more: tells what was no message. */
  end(micros: number): void {
    const skipped = this.#skipped + (this.#isLost ? 0 : this.#have > 0 ? this.#arrived() : 0);
    if (skipped > 0) this.#writer.skipped(this.#id, this.#isReply, micros, skipped);
    this.#skipped = this.#have = 0;
  }

  /** At the beginning of a frame. Returns where to go on. */
  #begin(bytes: Uint8Array, at: number, end: number, micros: number): number {
    if (end - at < START_BYTES) return this.#start(bytes, at, end);
    const size = sizeAt(bytes, at);
    if (size < HEADER_SIZE || size > MAX_FRAME) {
      this.#isLost = true;
      return at;
    }
    const kept = Math.min(
      keptBytes(bytes[at + 4] as number, size, this.#payload),
      this.#writer.most,
    );
    if (end - at < size) return this.#start(bytes, at, end);
    const to = this.#writer.reserve(this.#id, this.#isReply, micros, size, kept);
    if (to >= 0) {
      copy(bytes, at, kept, this.#writer.bytes, to);
      this.#writer.commit();
    }
    return at + size;
  }

  /** Only part of a frame is there. */
  #start(bytes: Uint8Array, at: number, end: number): number {
    this.#keep = this.#size = this.#left = 0;
    const first = Math.min(end, at + START_BYTES);
    copy(bytes, at, first - at, this.#part, 0);
    this.#have = first - at;
    this.#know();
    return first;
  }

  #continue(bytes: Uint8Array, at: number, end: number, micros: number): number {
    let from = at;
    if (this.#size === 0) {
      const missing = Math.min(START_BYTES - this.#have, end - from);
      copy(bytes, from, missing, this.#part, this.#have);
      this.#have += missing;
      from += missing;
      this.#know();
      if (this.#size === 0) return from;
    }
    const kept = Math.min(this.#keep - this.#have, end - from);
    if (kept > 0) {
      this.#grow(this.#have + kept);
      copy(bytes, from, kept, this.#part, this.#have);
      this.#have += kept;
    }
    const passed = Math.min(this.#left, end - from);
    this.#left -= passed;
    from += passed;
    if (this.#left > 0) return from;
    const to = this.#writer.reserve(this.#id, this.#isReply, micros, this.#size, this.#have);
    if (to >= 0) {
      copy(this.#part, 0, this.#have, this.#writer.bytes, to);
      this.#writer.commit();
    }
    this.#have = 0;
    if (this.#part.length > 1 << 16) this.#part = new Uint8Array(64);
    return from;
  }

  /** Enough may have come to know how long the frame is. */
  #know(): void {
    if (this.#have < START_BYTES) return;
    const size = sizeAt(this.#part, 0);
    if (size < HEADER_SIZE || size > MAX_FRAME) {
      this.#isLost = true;
      this.#skipped += this.#have;
      this.#have = 0;
      return;
    }
    this.#size = size;
    this.#keep = Math.min(
      keptBytes(this.#part[4] as number, size, this.#payload),
      this.#writer.most,
    );
    this.#left = size - this.#have;
  }

  /** Memory grows with what has really come. */
  #grow(needed: number): void {
    if (needed <= this.#part.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#part.length));
    larger.set(this.#part);
    this.#part = larger;
  }

  #arrived(): number {
    return this.#size === 0 ? this.#have : this.#size - this.#left;
  }
}

function sizeAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) | (bytes[at + 1] as number) << 8 |
    (bytes[at + 2] as number) << 16 | (bytes[at + 3] as number) << 24) >>> 0;
}

/** Bytes that are copied by a loop: quicker than a view of them is made. */
const LOOPED = 96;

/** Copies bytes. */
export function copy(
  from: Uint8Array,
  at: number,
  count: number,
  into: Uint8Array,
  to: number,
): void {
  if (count > LOOPED) {
    into.set(from.subarray(at, at + count), to);
    return;
  }
  for (let i = 0; i < count; i++) into[to + i] = from[at + i] as number;
}
