/**
 * Memory that frames are received in and replies are built in.
 *
 * @module
 */
import { MappedMemory } from "../linux/mod.ts";
import { type Memory, Wire } from "../p9/mod.ts";

/** Free buffers kept for the next taker; more are given back to the kernel. */
const KEPT = 4;

/** A stretch of memory, taken from a pool for as long as anything in it is needed. */
export class Buffer implements Memory {
  /** The bytes as the codec takes them. */
  readonly wire: Wire;
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** Address of the first byte. */
  readonly address: number;
  /** Requests and unsent replies that need what is in it. */
  holds = 0;
  /** Bytes from the start that were ever used: only those take memory. */
  touched = 0;
  /** Nobody fills it any more: it goes back to the pool with its last hold. */
  isRetired = false;
  readonly #memory: MappedMemory;

  /** Maps a buffer. The kernel gives it pages only where it is touched. */
  constructor(capacity: number) {
    this.#memory = MappedMemory.anonymous(capacity);
    this.bytes = this.#memory.bytes;
    this.address = this.#memory.address;
    this.wire = new Wire(this.bytes);
  }

  /** Gives the memory back to the kernel. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

/** Buffers of one size. The one given back last, which the caches still know, is taken first. */
export class BufferPool implements Disposable {
  /** Bytes of each buffer. */
  readonly capacity: number;
  readonly #free: Buffer[] = [];
  #alive = 0;
  #bytes = 0;

  /** Makes an empty pool. */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Buffers in use. */
  get used(): number {
    return this.#alive - this.#free.length;
  }

  /** Bytes of memory that the buffers in use take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes up to `end` of a buffer are used now, or will be. */
  touch(buffer: Buffer, end: number): void {
    if (end <= buffer.touched) return;
    this.#bytes += end - buffer.touched;
    buffer.touched = end;
  }

  /**
   * Takes a buffer.
   *
   * @throws {LinuxError} If there is no memory.
   */
  take(): Buffer {
    const free = this.#free.pop();
    if (free !== undefined) {
      free.isRetired = false;
      this.#bytes += free.touched;
      return free;
    }
    const made = new Buffer(this.capacity);
    this.#alive++;
    return made;
  }

  /** Nobody fills the buffer any more: takes it back, now or with its last hold. */
  retire(buffer: Buffer): void {
    buffer.isRetired = true;
    if (buffer.holds === 0) this.#give(buffer);
  }

  /** Ends a hold. */
  unhold(buffer: Buffer): void {
    if (--buffer.holds === 0 && buffer.isRetired) this.#give(buffer);
  }

  #give(buffer: Buffer): void {
    this.#bytes -= buffer.touched;
    if (this.#free.length < KEPT) {
      this.#free.push(buffer);
      return;
    }
    this.#alive--;
    buffer[Symbol.dispose]();
  }

  /** Gives all free buffers back to the kernel. */
  [Symbol.dispose](): void {
    for (const buffer of this.#free.splice(0)) {
      this.#alive--;
      buffer[Symbol.dispose]();
    }
  }
}
