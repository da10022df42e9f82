/**
 * Gathers the replies of a connection in one buffer, so that many leave in one system call.
 *
 * @module
 */
import type { Buffer, BufferPool } from "./buffers.ts";

/** Replies are gathered up to this many bytes before they are sent. */
const GATHERED = 131_072;

/** Where gathered replies go. */
export interface ReplyTarget {
  /** Sends part of a buffer, or holds the buffer and sends later. */
  write(buffer: Buffer, from: number, to: number): void;
}

/** The reply buffer of one thread: it serves one connection at a time. */
export class Replies {
  readonly #pool: BufferPool;
  #buffer: Buffer | null = null;
  #from = 0;
  #at = 0;
  #target: ReplyTarget | null = null;

  /** Makes a gatherer that takes its buffers from a pool. */
  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Where in the reply buffer the next reply begins. */
  get at(): number {
    return this.#at;
  }

  /** The reply buffer, with room for one more reply to a connection. */
  reserve(target: ReplyTarget, room: number): Buffer {
    if (this.#target !== target) {
      this.flush();
      this.#target = target;
    }
    if (this.#buffer !== null && this.#at + room > this.#pool.capacity) {
      this.flush();
      this.#target = target;
    }
    if (this.#buffer === null) {
      this.#buffer = this.#pool.take();
      this.#from = this.#at = 0;
    }
    return this.#buffer;
  }

  /** A reply is complete, up to `end`. It is sent now unless more are to come. */
  append(target: ReplyTarget, end: number, moreToCome: boolean): void {
    this.#target = target;
    this.#at = end;
    if (this.#buffer !== null) this.#pool.touch(this.#buffer, end);
    if (!moreToCome || end - this.#from >= GATHERED) this.flush();
  }

  /** Sends what was gathered. */
  flush(): void {
    const target = this.#target;
    const buffer = this.#buffer;
    const from = this.#from;
    const to = this.#at;
    this.#target = null;
    this.#from = this.#at = 0;
    if (buffer === null) return;
    if (target !== null && to > from) target.write(buffer, from, to);
    // The peer has not taken all of it, or a later answer has its place in it.
    if (buffer.holds > 0) this.#leave(buffer);
  }

  /** Sends what was gathered and leaves the buffer to whoever holds it. */
  abandon(): void {
    this.flush();
    if (this.#buffer !== null) this.#leave(this.#buffer);
  }

  /** A connection has ended: nothing is sent to it. */
  forget(target: ReplyTarget): void {
    if (this.#target !== target) return;
    this.#target = null;
    this.#from = this.#at;
  }

  #leave(buffer: Buffer): void {
    if (this.#buffer !== buffer) return;
    this.#buffer = null;
    this.#pool.retire(buffer);
  }
}
