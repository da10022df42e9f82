/**
 * The driver's side of a split virtqueue, for clients, benchmarks, fuzzing and tests.
 *
 * @see VIRTIO 1.2, 2.7 Split Virtqueues
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- indices are checked against the size of the queue

import { NONE, RingError } from "./faults.ts";
import {
  AVAIL_F_NO_INTERRUPT,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DESC_SIZE,
  hasFeature,
  passesEvent,
  USED_F_NO_NOTIFY,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from "./layout.ts";
import type { GuestMemory } from "./memory.ts";
import { RawQueue } from "./raw_queue.ts";
import { FLAGS, HEADS, INDEX, mapRings } from "./rings.ts";
import type { QueueSetup } from "./virtqueue.ts";

/** A buffer in guest memory. */
export interface GuestRange {
  /** Guest address. */
  readonly address: number;
  /** Bytes, at least 1. */
  readonly length: number;
}

/**
 * The driver's side of a split virtqueue: it owns the descriptors and the avail ring.
 *
 * The device is not trusted: what it writes in the used ring is checked against what was offered.
 *
 * @example Offer a request and take the answer
 * ```ts
 * import assert from "node:assert/strict";
 * import { DriverQueue, GuestMemory, layOutQueue } from "@virtfs/virtfs/virtio";
 *
 * const memory = new GuestMemory([{ guestAddress: 0, bytes: new Uint8Array(8192) }]);
 * const areas = layOutQueue(4, 0);
 * const driver = new DriverQueue({ memory, areas, features: 0n, startIndex: 0 });
 * const head = driver.add([{ address: 4096, length: 7 }], [{ address: 5000, length: 16 }]);
 * driver.publish();
 * assert.ok(driver.needsKick());
 *
 * driver.raw.setUsedEntry(0, { id: head, length: 7 }); // a device would do this
 * driver.raw.usedIndex = 1;
 * assert.equal(driver.take(), head);
 * assert.equal(driver.take(), -1);
 * ```
 */
export class DriverQueue {
  /** The same queue as bare fields, to write what is wrong. */
  readonly raw: RawQueue;
  /** Descriptors of the queue. */
  readonly size: number;

  readonly #memory: GuestMemory;
  readonly #table: DataView;
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedEntries: Uint32Array;
  readonly #hasIndirect: boolean;
  readonly #hasEventIndex: boolean;

  /** The descriptor behind each: of the free list, or of its chain. Our own, not the device's. */
  readonly #behind: Uint16Array;
  /** Descriptors of the chain in flight at each head, or 0. */
  readonly #lengths: Uint16Array;
  /** Writable bytes of the chain in flight at each head. */
  readonly #rooms: Float64Array;
  #firstFree = 0;
  #free: number;
  #inFlight = 0;
  /** Avail index behind the last chain added. */
  #added: number;
  #unpublished = 0;
  /** Chains published since the last decision about a kick. */
  #unkicked = 0;
  /** Used index of the next entry to take. */
  #taken: number;
  /** Used index up to which entries are known to be there. */
  #known: number;
  #usedLength = 0;

  /**
   * Make a queue, and write its rings afresh.
   *
   * @param setup `startIndex` is what both indices start with: 0, or any to try wrap-around.
   * @throws {RingError} If the parts of the queue cannot lie there.
   */
  constructor({ memory, areas, features, startIndex }: QueueSetup) {
    const { size } = areas;
    this.#memory = memory;
    this.raw = new RawQueue(memory, areas);
    this.size = size;
    this.#hasIndirect = hasFeature(features, VIRTIO_F_INDIRECT_DESC);
    this.#hasEventIndex = hasFeature(features, VIRTIO_F_EVENT_IDX);
    const { table, avail, used, usedEntries } = mapRings(memory, areas, "make the queue");
    this.#table = table;
    this.#avail = avail;
    this.#used = used;
    this.#usedEntries = usedEntries;
    new Uint8Array(table.buffer, table.byteOffset, table.byteLength).fill(0);
    avail.fill(0);
    used.fill(0);
    this.#avail[INDEX] = startIndex;
    this.#used[INDEX] = startIndex;
    this.#behind = Uint16Array.from({ length: size }, (_, i) => i + 1);
    this.#lengths = new Uint16Array(size);
    this.#rooms = new Float64Array(size);
    this.#free = size;
    this.#added = startIndex;
    this.#taken = startIndex;
    this.#known = startIndex;
    if (this.#hasEventIndex) {
      this.#avail[this.#avail.length - 1] = startIndex;
      this.#used[this.#used.length - 1] = startIndex;
    }
  }

  /** Descriptors that are free. */
  get free(): number {
    return this.#free;
  }

  /** Chains added and not taken back. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Bytes the device says to have written to the chain taken last. */
  get usedLength(): number {
    return this.#usedLength;
  }

  /**
   * Add a chain. The device sees it after {@linkcode DriverQueue.publish}.
   *
   * @param readable What the device may read.
   * @param writable What the device may write.
   * @param indirectTable Guest address of 16 bytes for each buffer, lent until the chain is taken
   * back: then the chain takes one descriptor of the queue only.
   * @returns The head, which {@linkcode DriverQueue.take} gives back; -1 if too few are free.
   * @throws {RangeError} If there are no buffers, or an indirect table cannot be used.
   */
  add(
    readable: readonly GuestRange[],
    writable: readonly GuestRange[],
    indirectTable?: number,
  ): number {
    const count = readable.length + writable.length;
    if (count === 0) throw new RangeError("Cannot add a chain: it has no buffers");
    const needed = indirectTable === undefined ? count : 1;
    if (needed > this.#free) return -1;
    const head = this.#firstFree;
    const last = indirectTable === undefined
      ? this.#fill(readable, writable)
      : this.#fillIndirect(readable, writable, indirectTable);
    this.#firstFree = this.#behind[last]!;
    this.#free -= needed;
    this.#lengths[head] = needed;
    let room = 0;
    for (const { length } of writable) room += length;
    this.#rooms[head] = room;
    this.#avail[HEADS + (this.#added & this.size - 1)] = head;
    this.#added = this.#added + 1 & 0xffff;
    this.#unpublished++;
    this.#inFlight++;
    return head;
  }

  /** Let the device see what was added. */
  publish(): void {
    if (this.#unpublished === 0) return;
    this.#unkicked += this.#unpublished;
    this.#unpublished = 0;
    Atomics.store(this.#avail, INDEX, this.#added);
  }

  /** Whether the device wants a kick for what was published since this was last asked. */
  needsKick(): boolean {
    const count = this.#unkicked;
    if (count === 0) return false;
    this.#unkicked = 0;
    const used = this.#used;
    if (!this.#hasEventIndex) return (Atomics.load(used, FLAGS) & USED_F_NO_NOTIFY) === 0;
    if (count > 0xffff) return true;
    const published = this.#added - this.#unpublished;
    return passesEvent(Atomics.load(used, used.length - 1), published - count, published);
  }

  /**
   * Take back the next chain that was used; {@linkcode DriverQueue.usedLength} says how much was
   * written to it.
   *
   * @returns Its head, or -1 if there is none.
   * @throws {RingError} If the device broke a rule. The entry is skipped, its descriptors are lost.
   */
  take(): number {
    if (this.#taken === this.#known && !this.#refill()) return -1;
    const at = 2 * (this.#taken & this.size - 1);
    const head = this.#usedEntries[at]!;
    const length = this.#usedEntries[at + 1]!;
    this.#taken = this.#taken + 1 & 0xffff;
    if (head >= this.size) throw new RingError("take a chain back", "used-id-out-of-range", head);
    const count = this.#lengths[head]!;
    if (count === 0) throw new RingError("take a chain back", "used-id-not-in-flight", head);
    if (length > this.#rooms[head]!) throw new RingError("take a chain back", "used-length", head);
    let last = head;
    for (let i = 1; i < count; i++) last = this.#behind[last]!;
    this.#behind[last] = this.#firstFree;
    this.#firstFree = head;
    this.#free += count;
    this.#lengths[head] = 0;
    this.#inFlight--;
    this.#usedLength = length;
    return head;
  }

  /** Tell the device that calls are not needed. */
  disableCalls(): void {
    if (!this.#hasEventIndex) this.#avail[FLAGS] = AVAIL_F_NO_INTERRUPT;
  }

  /**
   * Tell the device that calls are needed, and look again.
   *
   * @returns Whether chains were used meanwhile, which no call will tell of: go on taking.
   */
  enableCalls(): boolean {
    const avail = this.#avail;
    if (this.#hasEventIndex) Atomics.store(avail, avail.length - 1, this.#taken);
    else Atomics.store(avail, FLAGS, 0);
    return Atomics.load(this.#used, INDEX) !== this.#taken;
  }

  #refill(): boolean {
    const index = Atomics.load(this.#used, INDEX);
    if (index === this.#taken) return false;
    if ((index - this.#taken & 0xffff) > this.#inFlight) {
      throw new RingError("take a chain back", "used-index-jump", NONE);
    }
    this.#known = index;
    return true;
  }

  /** Writes a chain over the first free descriptors; returns its last. */
  #fill(readable: readonly GuestRange[], writable: readonly GuestRange[]): number {
    const count = readable.length + writable.length;
    let last = 0;
    let index = this.#firstFree;
    for (let i = 0; i < count; i++) {
      const isWritable = i >= readable.length;
      const { address, length } = isWritable ? writable[i - readable.length]! : readable[i]!;
      const next = this.#behind[index]!;
      const flags = (isWritable ? DESC_F_WRITE : 0) | (i + 1 < count ? DESC_F_NEXT : 0);
      putDescriptor(this.#table, index * DESC_SIZE, address, length, flags, next);
      last = index;
      index = next;
    }
    return last;
  }

  #fillIndirect(
    readable: readonly GuestRange[],
    writable: readonly GuestRange[],
    table: number,
  ): number {
    if (!this.#hasIndirect) {
      throw new RangeError("Cannot add a chain: VIRTIO_F_INDIRECT_DESC was not negotiated");
    }
    const count = readable.length + writable.length;
    const region = this.#memory.findWhole(table, count * DESC_SIZE);
    if (region === undefined) {
      throw new RangeError("Cannot add a chain: its indirect table is not in one region of memory");
    }
    const base = table - region.guestAddress;
    for (let i = 0; i < count; i++) {
      const isWritable = i >= readable.length;
      const { address, length } = isWritable ? writable[i - readable.length]! : readable[i]!;
      const flags = (isWritable ? DESC_F_WRITE : 0) | (i + 1 < count ? DESC_F_NEXT : 0);
      putDescriptor(region.view, base + i * DESC_SIZE, address, length, flags, i + 1 & 0xffff);
    }
    const index = this.#firstFree;
    putDescriptor(this.#table, index * DESC_SIZE, table, count * DESC_SIZE, DESC_F_INDIRECT, 0);
    return index;
  }
}

function putDescriptor(
  table: DataView,
  at: number,
  address: number,
  length: number,
  flags: number,
  next: number,
): void {
  table.setUint32(at, address % 2 ** 32, true);
  table.setUint32(at + 4, address / 2 ** 32, true);
  table.setUint32(at + DESC_LEN, length, true);
  table.setUint16(at + DESC_FLAGS, flags, true);
  table.setUint16(at + DESC_NEXT, next, true);
}
