/**
 * Descriptor chains, walked in guest memory.
 *
 * The driver may change a descriptor at any time, so each is read once, and nothing is believed
 * that was not checked on the value read.
 *
 * @see VIRTIO 1.2, 2.7.5 The Virtqueue Descriptor Table
 *
 * @module
 */

import type { Fault } from "./faults.ts";
import {
  availRingSize,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DESC_SIZE,
  descriptorTableSize,
  MAX_INDIRECT,
  type QueueAreas,
  usedRingSize,
} from "./layout.ts";
import { type GuestMemory, NOWHERE } from "./memory.ts";
import type { PieceList } from "./pieces.ts";
import type { Chain } from "./virtqueue.ts";

/** A chain as the queue that walks it sees it; reused for other chains once it is used. */
export class WalkedChain<P extends PieceList> implements Chain<P> {
  /** Index of the first descriptor. */
  head = 0;
  /** What the device may read. */
  readonly readable: P;
  /** What the device may write. */
  readonly writable: P;
  /** Bytes that may be written, whatever was done to `writable` since. */
  room = 0;
  /** Which set-up of the queue it came from, or 0 while it is not in flight. */
  epoch = 0;

  /** See `readable` and `writable`: two empty lists, owned from here on. */
  constructor(readable: P, writable: P) {
    this.readable = readable;
    this.writable = writable;
  }

  /** Forget the memory. */
  clear(): void {
    this.readable.clear();
    this.writable.clear();
    this.epoch = 0;
  }
}

/** Above 2^53: no number can tell such addresses apart, and no region is there. */
const HIGH_LIMIT = 1 << 21;
const KNOWN_FLAGS = DESC_F_NEXT | DESC_F_WRITE | DESC_F_INDIRECT;

/** What a walk may do besides following descriptors. */
export interface WalkRules {
  /** Whether VIRTIO_F_INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** Most descriptors of one chain. */
  readonly maxDescriptors: number;
}

/** Walks the chains of one queue. */
export class ChainWalker {
  /** Descriptor looked at last, in its table: where a fault is. */
  index = 0;
  /** Whether the last walk met flags that have no meaning. */
  hasUnknownFlags = false;

  readonly #memory: GuestMemory;
  readonly #table: DataView;
  readonly #areas: QueueAreas;
  readonly #rules: WalkRules;
  readonly #ringsStart: number;
  readonly #ringsEnd: number;
  /** The descriptor, where an indirect table lies in several regions. */
  readonly #scratch = new DataView(new ArrayBuffer(DESC_SIZE));

  /**
   * Make a walker.
   *
   * @param memory The guest's memory.
   * @param table The descriptor table, in guest memory.
   * @param areas Where the queue is; checked.
   * @param rules What is allowed.
   */
  constructor(memory: GuestMemory, table: DataView, areas: QueueAreas, rules: WalkRules) {
    this.#memory = memory;
    this.#table = table;
    this.#areas = areas;
    this.#rules = rules;
    const { size, descriptorTable, availRing, usedRing } = areas;
    this.#ringsStart = Math.min(descriptorTable, availRing, usedRing);
    this.#ringsEnd = Math.max(
      descriptorTable + descriptorTableSize(size),
      availRing + availRingSize(size),
      usedRing + usedRingSize(size),
    );
  }

  /**
   * Gather the buffers of a chain.
   *
   * @param head Below the queue size: the caller has checked.
   * @param chain An empty chain; after a fault it has a part of the buffers.
   * @returns What is wrong with the chain, at descriptor `index`.
   */
  walk<P extends PieceList>(head: number, chain: WalkedChain<P>): Fault | undefined {
    const { readable, writable } = chain;
    const maxDescriptors = this.#rules.maxDescriptors;
    const ringsStart = this.#ringsStart;
    const ringsEnd = this.#ringsEnd;
    // The table the walk is in: the queue's own, later perhaps an indirect one.
    let table = this.#table;
    let base = 0;
    let entries = this.#areas.size;
    let most = Math.min(entries, maxDescriptors);
    let scattered = -1; // guest address of an indirect table that lies in several regions
    let isIndirect = false;

    // The region that had the buffer before: nearly always it has the next one too.
    let region = NOWHERE;
    let regionStart = 0;
    let regionSize = 0;

    let index = head;
    let visited = 0; // in this table
    let total = 0;
    let hasWritable = false;
    this.hasUnknownFlags = false;
    chain.head = head;
    for (;;) {
      this.index = index;
      let at = base + index * DESC_SIZE;
      if (scattered >= 0) {
        this.#fetch(scattered + index * DESC_SIZE);
        at = 0;
      }
      const low = table.getUint32(at, true);
      const high = table.getUint32(at + 4, true);
      const length = table.getUint32(at + DESC_LEN, true);
      const flags = table.getUint16(at + DESC_FLAGS, true);
      if (flags > KNOWN_FLAGS) this.hasUnknownFlags = true;
      const address = high * 2 ** 32 + low; // not exact above 2^53, but above 2^53
      if ((flags & DESC_F_INDIRECT) !== 0) {
        if (isIndirect) return "indirect-nested";
        if (!this.#rules.indirect) return "indirect-not-negotiated";
        if ((flags & DESC_F_NEXT) !== 0) return "indirect-with-next";
        entries = length / DESC_SIZE;
        if (!Number.isInteger(entries) || entries === 0 || entries > MAX_INDIRECT) {
          return "indirect-length";
        }
        if (high >= HIGH_LIMIT) return "indirect-outside-memory";
        const whole = this.#memory.findWhole(address, length);
        if (whole !== undefined) {
          table = whole.view;
          base = address - whole.guestAddress;
        } else {
          if (!this.#memory.contains(address, length)) return "indirect-outside-memory";
          table = this.#scratch;
          scattered = address;
        }
        isIndirect = true;
        index = 0;
        most = Math.min(entries, maxDescriptors - visited);
        visited = 0;
        continue;
      }
      if (length === 0) return "zero-length";
      total += length;
      if (total > 2 ** 32) return "length-overflow";
      const isWritable = (flags & DESC_F_WRITE) !== 0;
      if (isWritable) {
        if (address < ringsEnd && address + length > ringsStart) {
          if (this.#isOverRing(address, address + length)) return "writable-over-ring";
        }
        hasWritable = true;
      } else if (hasWritable) return "readable-after-writable";
      if (high >= HIGH_LIMIT) return "outside-memory";
      const pieces = isWritable ? writable : readable;
      const offset = address - regionStart;
      if (offset >= 0 && offset + length <= regionSize) pieces.add(region, offset, length);
      else {
        const other = this.#memory.findWhole(address, length);
        if (other !== undefined) {
          region = other;
          regionStart = region.guestAddress;
          regionSize = region.size;
          pieces.add(region, address - regionStart, length);
        } else if (!this.#memory.gather(address, length, pieces)) return "outside-memory";
      }
      if ((flags & DESC_F_NEXT) === 0) break;
      index = table.getUint16(at + DESC_NEXT, true);
      if (index >= entries) return "next-out-of-range";
      if (++visited === most) return most === entries ? "loop" : "chain-too-long";
    }
    chain.room = writable.length;
    return undefined;
  }

  /** Copies a descriptor that may lie in two regions; the caller has checked that it is there. */
  #fetch(address: number): void {
    this.#memory.read(address, new Uint8Array(this.#scratch.buffer));
  }

  #isOverRing(start: number, end: number): boolean {
    const { size, descriptorTable, availRing, usedRing } = this.#areas;
    return start < descriptorTable + descriptorTableSize(size) && end > descriptorTable ||
      start < availRing + availRingSize(size) && end > availRing ||
      start < usedRing + usedRingSize(size) && end > usedRing;
  }
}
