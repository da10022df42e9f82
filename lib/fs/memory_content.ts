/**
 * Bytes of a file in memory, in pages that exist only where something was written.
 *
 * @module
 */
import { errno } from "../p9/mod.ts";
import type { Segments } from "../p9/mod.ts";

/** Bytes of a full page. */
const PAGE = 65_536;
/** Smallest page that is allocated; small files should cost little. */
const SMALLEST = 256;
/** Largest size of a file, as Linux has it. */
const SIZE_MAX = 0x7fff_ffff_ffff_ffffn;
/** Taken where nothing was written. */
const ZEROS = new Uint8Array(PAGE);

/** Room that all files of a tree share. */
export interface Budget {
  /** Bytes in use. */
  used: number;
  /** Most bytes that may be in use. */
  readonly limit: number;
}

/** The content of one file. Offsets of many GiB cost no more than small ones. */
export class MemoryContent {
  readonly #budget: Budget;
  readonly #pages: Map<number, Uint8Array> = new Map();
  #size = 0n;
  #used = 0;

  /** Memory is taken from `budget` and given back to it. */
  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Size of the file in bytes. */
  get size(): bigint {
    return this.#size;
  }

  /** Bytes of memory in use. */
  get used(): number {
    return this.#used;
  }

  /** Copies into `into` what is there from `offset` on. Returns the number of bytes. */
  read(into: Segments, offset: bigint): number {
    if (offset < 0n || offset >= this.#size) return 0;
    const left = this.#size - offset;
    const count = left < BigInt(into.length) ? Number(left) : into.length;
    let page = Number(offset / BigInt(PAGE));
    let at = Number(offset % BigInt(PAGE));
    for (let done = 0; done < count; page++, at = 0) {
      const run = Math.min(count - done, PAGE - at);
      const bytes = this.#pages.get(page);
      const real = bytes === undefined ? 0 : Math.max(0, Math.min(run, bytes.length - at));
      if (bytes !== undefined && real > 0) into.copyFrom(bytes.subarray(at, at + real), done);
      if (real < run) into.copyFrom(ZEROS.subarray(0, run - real), done + real);
      done += run;
    }
    return count;
  }

  /**
   * Copies all of `from` to `offset`.
   *
   * @returns Bytes written; fewer than asked if memory ended.
   * @throws {Errno} EFBIG if the file would grow too large, ENOSPC if there was no memory for one byte.
   */
  write(from: Segments, offset: bigint): number {
    const count = from.length;
    if (count === 0) return 0;
    if (offset < 0n || offset + BigInt(count) > SIZE_MAX) throw errno("EFBIG");
    let page = Number(offset / BigInt(PAGE));
    let at = Number(offset % BigInt(PAGE));
    let done = 0;
    for (; done < count; page++, at = 0) {
      const run = Math.min(count - done, PAGE - at);
      const bytes = this.#page(page, at + run);
      if (bytes === null) break;
      from.copyTo(bytes.subarray(at, at + run), done);
      done += run;
    }
    if (done === 0) throw errno("ENOSPC");
    const end = offset + BigInt(done);
    if (end > this.#size) this.#size = end;
    return done;
  }

  /** Cuts the file or lengthens it with zeros. */
  resize(size: bigint): void {
    if (size < 0n) throw errno("EINVAL");
    if (size > SIZE_MAX) throw errno("EFBIG");
    if (size < this.#size) {
      const last = Number(size / BigInt(PAGE));
      for (const [page, bytes] of this.#pages) {
        if (page > last || (page === last && size % BigInt(PAGE) === 0n)) {
          this.#pages.delete(page);
          this.#take(-bytes.length);
        } else if (page === last) {
          bytes.fill(0, Number(size % BigInt(PAGE)));
        }
      }
    }
    this.#size = size;
  }

  /** Gives all memory back. */
  clear(): void {
    this.#take(-this.#used);
    this.#pages.clear();
    this.#size = 0n;
  }

  /** The page with at least `needed` bytes, or null if there is no memory for it. */
  #page(page: number, needed: number): Uint8Array | null {
    const old = this.#pages.get(page);
    if (old !== undefined && old.length >= needed) return old;
    let size = old === undefined ? SMALLEST : old.length;
    while (size < needed) size *= 2;
    const more = size - (old?.length ?? 0);
    if (this.#budget.used + more > this.#budget.limit) return null;
    const bytes = new Uint8Array(size);
    if (old !== undefined) bytes.set(old);
    this.#pages.set(page, bytes);
    this.#take(more);
    return bytes;
  }

  #take(bytes: number): void {
    this.#used += bytes;
    this.#budget.used += bytes;
  }
}
