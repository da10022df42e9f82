/**
 * One number per file, although a tree may hold several file systems.
 *
 * @module
 */
import { errno } from "../p9/mod.ts";

/** What happens to files of other devices than the root's. */
export type MultiDevices = "remap" | "forbid" | "warn";

/** Bits of an inode number that stay as they are. */
const LOW_BITS = 48n;
const LOW_LIMIT = 1n << LOW_BITS;
const LOW_MASK = LOW_LIMIT - 1n;
/** Set in numbers that come from the table of single files. */
const SINGLE = 1n << 63n;

/** Most pairs of a device and the high bits of an inode number. */
const MAX_PREFIXES = 0x7fff;
/** Places in the hash table of single files, a power of two. */
const SINGLE_PLACES = 1 << 18;
/** Filled no further, so that a search ends soon. */
const MAX_SINGLES = SINGLE_PLACES * 0.75;

/** Words of 32 bits in front: lock, number of prefixes, number of singles, unused. */
const HEAD_BYTES = 16;
const LOCK = 0;
const PREFIXES = 1;
const SINGLES = 2;
/** device[8] high[8] */
const PREFIX_WORDS = 2;
/** device[8] plus one, 0 while empty; inode[8] */
const SINGLE_WORDS = 2;

const BYTES = HEAD_BYTES + 8 * (MAX_PREFIXES * PREFIX_WORDS + SINGLE_PLACES * SINGLE_WORDS);

/**
 * Numbers for the files of several devices: distinct for distinct files, and the same in every
 * thread that shares the table's memory.
 *
 * Inode numbers below 2^48 of the device that comes first (the export's root) stay as they are.
 * Every other pair of a device and the upper 16 bits of an inode number gets one of 32,766 prefixes
 * that take the place of those bits. When they are used up, single files get numbers of their own.
 * Nothing is ever forgotten: a number stays as long as the table.
 *
 * @example The same inode on two devices
 * ```ts
 * import assert from "node:assert/strict";
 * import { DeviceTable } from "@virtfs/virtfs/fs";
 *
 * const table = new DeviceTable();
 * assert.equal(table.path(8, 1, 42n), 42n);
 * assert.equal(table.path(8, 2, 42n), (1n << 48n) | 42n);
 * assert.equal(new DeviceTable(table.buffer).path(8, 2, 42n), (1n << 48n) | 42n);
 * ```
 */
export class DeviceTable {
  /** The shared memory, to be passed to other threads. Untouched parts of its 4.7 MB cost nothing. */
  readonly buffer: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #prefixes: BigUint64Array;
  readonly #singles: BigUint64Array;
  /** What this thread has looked up before: the number in front, already shifted. */
  readonly #known: Map<bigint, Map<bigint, bigint>> = new Map();

  /**
   * Makes a table, or uses that of another thread.
   *
   * @param buffer Of another table.
   */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES)) {
    if (buffer.byteLength !== BYTES) {
      throw new RangeError(
        `Cannot use ${buffer.byteLength} bytes as a device table: it has ${BYTES}`,
      );
    }
    this.buffer = buffer;
    this.#head = new Int32Array(buffer, 0, HEAD_BYTES / 4);
    this.#prefixes = new BigUint64Array(buffer, HEAD_BYTES, MAX_PREFIXES * PREFIX_WORDS);
    this.#singles = new BigUint64Array(
      buffer,
      HEAD_BYTES + 8 * MAX_PREFIXES * PREFIX_WORDS,
      SINGLE_PLACES * SINGLE_WORDS,
    );
  }

  /**
   * The number of a file.
   *
   * @throws {Errno} ENFILE if all numbers are used up.
   */
  path(major: number, minor: number, inode: bigint): bigint {
    const device = BigInt(major) << 32n | BigInt(minor);
    const high = inode >> LOW_BITS;
    let ofDevice = this.#known.get(device);
    if (ofDevice === undefined) this.#known.set(device, ofDevice = new Map());
    let prefix = ofDevice.get(high);
    if (prefix === undefined) {
      const index = this.#prefix(device, high);
      if (index < 0) return this.#single(device, inode);
      prefix = BigInt(index) << LOW_BITS;
      ofDevice.set(high, prefix);
    }
    return prefix | inode & LOW_MASK;
  }

  /** Index of a pair, allotted if it is new; -1 if there is none left. */
  #prefix(device: bigint, high: bigint): number {
    const found = this.#findPrefix(device, high);
    if (found >= 0) return found;
    this.#lock();
    try {
      const late = this.#findPrefix(device, high);
      if (late >= 0) return late;
      const index = Atomics.load(this.#head, PREFIXES);
      if (index >= MAX_PREFIXES) return -1;
      Atomics.store(this.#prefixes, index * PREFIX_WORDS, device);
      Atomics.store(this.#prefixes, index * PREFIX_WORDS + 1, high);
      Atomics.store(this.#head, PREFIXES, index + 1);
      return index;
    } finally {
      this.#unlock();
    }
  }

  #findPrefix(device: bigint, high: bigint): number {
    const count = Atomics.load(this.#head, PREFIXES);
    for (let i = 0; i < count; i++) {
      if (
        this.#prefixes[i * PREFIX_WORDS] === device && this.#prefixes[i * PREFIX_WORDS + 1] === high
      ) return i;
    }
    return -1;
  }

  /** Number of a single file: its place in the hash table. */
  #single(device: bigint, inode: bigint): bigint {
    const mark = device + 1n;
    let place = hash(device, inode);
    const found = this.#findSingle(place, mark, inode);
    if (found >= 0) return SINGLE | BigInt(found);
    this.#lock();
    try {
      const late = this.#findSingle(place, mark, inode);
      if (late >= 0) return SINGLE | BigInt(late);
      const count = Atomics.load(this.#head, SINGLES);
      if (count >= MAX_SINGLES) throw errno("ENFILE");
      while (this.#singles[place * SINGLE_WORDS] !== 0n) place = (place + 1) % SINGLE_PLACES;
      // The mark comes last: a reader that sees it sees the inode number too.
      Atomics.store(this.#singles, place * SINGLE_WORDS + 1, inode);
      Atomics.store(this.#singles, place * SINGLE_WORDS, mark);
      Atomics.store(this.#head, SINGLES, count + 1);
      return SINGLE | BigInt(place);
    } finally {
      this.#unlock();
    }
  }

  #findSingle(from: number, mark: bigint, inode: bigint): number {
    for (let i = 0; i < SINGLE_PLACES; i++) {
      const place = (from + i) % SINGLE_PLACES;
      const there = Atomics.load(this.#singles, place * SINGLE_WORDS);
      if (there === 0n) return -1;
      if (there === mark && this.#singles[place * SINGLE_WORDS + 1] === inode) return place;
    }
    return -1;
  }

  /** Held for some microseconds at most, and nothing in between can fail half-way. */
  #lock(): void {
    while (Atomics.compareExchange(this.#head, LOCK, 0, 1) !== 0) {
      Atomics.wait(this.#head, LOCK, 1, 1);
    }
  }

  #unlock(): void {
    Atomics.store(this.#head, LOCK, 0);
    Atomics.notify(this.#head, LOCK, 1);
  }
}

function hash(device: bigint, inode: bigint): number {
  const mixed = BigInt.asUintN(
    64,
    (inode ^ device * 0x9e37_79b9_7f4a_7c15n) * 0xff51_afd7_ed55_8ccdn,
  );
  return Number(mixed >> 40n) % SINGLE_PLACES;
}
