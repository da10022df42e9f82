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

/** Places for pairs of a device and the high bits of an inode number: 15 bits, but not 0. */
const PREFIX_PLACES = 0x7ffe;
/** Places for single files. */
const SINGLE_PLACES = 1 << 18;

/** Words of 32 bits in front: lock[4] prefixes[4] singles[4] pad[4]; then the first device[8]. */
const HEAD_BYTES = 24;
const LOCK = 0;
const PREFIXES = 1;
const SINGLES = 2;
const FIRST_DEVICE = 2;
/** device[8] plus one, 0 while empty; value[8] */
const PLACE_BYTES = 16;

const SINGLES_AT = HEAD_BYTES + PREFIX_PLACES * PLACE_BYTES;
const BYTES = SINGLES_AT + SINGLE_PLACES * PLACE_BYTES;

/**
 * Numbers for the files of several devices: distinct for distinct files, and the same in every
 * thread that shares the table's memory.
 *
 * Inode numbers below 2^48 of the device that comes first (the export's root) stay as they are.
 * Every other pair of a device and the upper 16 bits of an inode number gets one of some 24,500
 * prefixes that take the place of those bits. When they are used up, some 196,000 single files get
 * numbers of their own. Nothing is ever forgotten: a number stays as long as the table.
 *
 * @example The same inode on two devices
 * ```ts
 * import assert from "node:assert/strict";
 * import { DeviceTable } from "@virtfs/virtfs/fs";
 *
 * const table = new DeviceTable();
 * assert.equal(table.path(8, 1, 42n), 42n);
 * assert.notEqual(table.path(8, 2, 42n), 42n);
 * assert.equal(new DeviceTable(table.buffer).path(8, 2, 42n), table.path(8, 2, 42n));
 * ```
 */
export class DeviceTable {
  /** The shared memory, to be passed to other threads. Untouched parts of its 4.7 MB cost nothing. */
  readonly buffer: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #first: BigUint64Array;
  readonly #prefixes: Places;
  readonly #singles: Places;
  /** What this thread has looked up before, by device and high bits: the number's upper bits. */
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
    this.#head = new Int32Array(buffer, 0, 4);
    this.#first = new BigUint64Array(buffer, 0, FIRST_DEVICE + 1);
    this.#prefixes = new Places(
      new BigUint64Array(buffer, HEAD_BYTES, 2 * PREFIX_PLACES),
      this.#head,
      PREFIXES,
    );
    this.#singles = new Places(
      new BigUint64Array(buffer, SINGLES_AT, 2 * SINGLE_PLACES),
      this.#head,
      SINGLES,
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
      const number = this.#prefix(device, high);
      if (number < 0) return SINGLE | BigInt(this.#single(device, inode));
      prefix = BigInt(number) << LOW_BITS;
      ofDevice.set(high, prefix);
    }
    return prefix | inode & LOW_MASK;
  }

  /** Prefix of a pair; -1 if there is none left. */
  #prefix(device: bigint, high: bigint): number {
    if (high === 0n) {
      const mark = device + 1n;
      const first = Atomics.compareExchange(this.#first, FIRST_DEVICE, 0n, mark);
      if (first === 0n || first === mark) return 0;
    }
    const place = this.#place(this.#prefixes, device, high);
    return place < 0 ? -1 : place + 1;
  }

  #single(device: bigint, inode: bigint): number {
    const place = this.#place(this.#singles, device, inode);
    if (place < 0) throw errno("ENFILE");
    return place;
  }

  #place(places: Places, device: bigint, value: bigint): number {
    const found = places.find(device, value);
    if (found >= 0) return found;
    this.#lock();
    try {
      return places.add(device, value);
    } finally {
      this.#unlock();
    }
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

/** A hash table in shared memory that only grows: reading needs no lock. */
class Places {
  readonly #words: BigUint64Array;
  readonly #head: Int32Array;
  readonly #counter: number;
  readonly #size: number;

  constructor(words: BigUint64Array, head: Int32Array, counter: number) {
    this.#words = words;
    this.#head = head;
    this.#counter = counter;
    this.#size = words.length / 2;
  }

  /** Place of a pair, or -1. */
  find(device: bigint, value: bigint): number {
    let place = this.#hash(device, value);
    for (let i = 0; i < this.#size; i++) {
      const mark = Atomics.load(this.#words, 2 * place);
      if (mark === 0n) return -1;
      if (mark === device + 1n && this.#words[2 * place + 1] === value) return place;
      place = (place + 1) % this.#size;
    }
    return -1;
  }

  /** Place of a pair, which is added if it is new; -1 if three quarters are full. Only under the lock. */
  add(device: bigint, value: bigint): number {
    const found = this.find(device, value);
    if (found >= 0) return found;
    const count = Atomics.load(this.#head, this.#counter);
    if (count >= this.#size * 0.75) return -1;
    let place = this.#hash(device, value);
    while (Atomics.load(this.#words, 2 * place) !== 0n) place = (place + 1) % this.#size;
    // The mark comes last: a reader that sees it sees the value too.
    Atomics.store(this.#words, 2 * place + 1, value);
    Atomics.store(this.#words, 2 * place, device + 1n);
    Atomics.store(this.#head, this.#counter, count + 1);
    return place;
  }

  /** Mixes all bits: inode numbers that differ in a few upper ones only must not crowd one place. */
  #hash(device: bigint, value: bigint): number {
    let mixed = 0;
    for (const part of [device, value]) {
      for (const half of [Number(part & 0xffff_ffffn), Number(part >> 32n)]) {
        mixed = Math.imul(mixed ^ half, 0x85eb_ca6b);
        mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
        mixed ^= mixed >>> 16;
      }
    }
    return (mixed >>> 0) % this.#size;
  }
}
