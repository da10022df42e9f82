/**
 * A guest to test queues with, and a plain description of what a chain is.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type Chain,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESC_SIZE,
  type Descriptor,
  DeviceQueue,
  type DeviceQueueOptions,
  type Fault,
  featureWord,
  GuestMemory,
  layOutQueue,
  Pieces,
  type QueueAreas,
  type QueueSetup,
  RawQueue,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "./mod.ts";

/** All that a split queue can be negotiated with. */
export const ALL_FEATURES: bigint = featureWord(
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
);

/** Where the guest has memory: two regions that touch, a hole, a third region. */
export const LOW = 0x1000;
/** First address of the region that touches the first. */
export const MIDDLE = 0x5000;
/** First address of the hole. */
export const HOLE = 0x9000;
/** First address of the third region. */
export const HIGH = 0x20000;
/** Behind all memory. */
export const END = 0x24000;

const CANARY = 0xc5;
const CANARY_SIZE = 4096;
const CANARIES = Buffer.alloc(CANARY_SIZE, CANARY);

/** Memory between canaries: whoever writes past its end is found out. */
export interface Guarded {
  /** The memory. */
  readonly bytes: Uint8Array;
  /** All bytes, those around the memory included. */
  readonly all: Uint8Array;
}

/** Allocate `size` bytes between canaries. */
export function guarded(size: number): Guarded {
  const all = new Uint8Array(size + 2 * CANARY_SIZE).fill(CANARY);
  return { bytes: all.subarray(CANARY_SIZE, CANARY_SIZE + size).fill(0), all };
}

/** A guest with a device. */
export class Bed {
  /** What is allocated for the regions. */
  readonly blocks: readonly Guarded[];
  /** The guest's memory. */
  readonly memory: GuestMemory;
  /** The queue, as bare fields. */
  readonly raw: RawQueue;
  /** How the queue is set up. */
  readonly setup: QueueSetup;
  /** The device's side. */
  readonly device: DeviceQueue<Pieces>;
  /** What the device complained about. */
  readonly faults: { readonly fault: Fault; readonly head: number; readonly index: number }[] = [];

  /** A queue of `size` descriptors at the start of the first region. */
  constructor(
    { size = 4, features = ALL_FEATURES, startIndex = 0, ...options }:
      & { size?: number; features?: bigint; startIndex?: number }
      & DeviceQueueOptions = {},
  ) {
    const [low, middle, high] = [
      guarded(MIDDLE - LOW),
      guarded(HOLE - MIDDLE),
      guarded(END - HIGH),
    ];
    this.blocks = [low, middle, high];
    this.memory = new GuestMemory([
      { guestAddress: HIGH, bytes: high.bytes },
      { guestAddress: LOW, bytes: low.bytes },
      { guestAddress: MIDDLE, bytes: middle.bytes },
    ]);
    const areas = layOutQueue(size, LOW);
    this.setup = { memory: this.memory, areas, features, startIndex };
    this.raw = new RawQueue(this.memory, areas);
    this.device = new DeviceQueue(() => new Pieces(), {
      ...options,
      onFault: (fault, head, index) => this.faults.push({ fault, head, index }),
    });
    this.device.configure(this.setup);
  }

  /** Write descriptors from index 0 on. */
  describe(descriptors: readonly Descriptor[], table?: number): this {
    for (const [i, each] of descriptors.entries()) this.raw.setDescriptor(i, each, table);
    return this;
  }

  /** Take all chains there are. */
  takeAll(): Chain<Pieces>[] {
    const chains: Chain<Pieces>[] = [];
    for (let chain = this.device.next(); chain !== undefined; chain = this.device.next()) {
      chains.push(chain);
      assert.ok(chains.length <= this.setup.areas.size, "no more chains than descriptors");
    }
    return chains;
  }

  /** Check that the bytes around the regions are what they were. */
  assertCanaries(): void {
    for (const { all, bytes } of this.blocks) {
      const tail = CANARY_SIZE + bytes.length;
      assert.ok(CANARIES.equals(all.subarray(0, CANARY_SIZE)), "in front of a region");
      assert.ok(CANARIES.equals(all.subarray(tail)), "behind a region");
    }
  }
}

/** A descriptor in few words. */
export function desc(address: number | bigint, length: number, flags = 0, next = 0): Descriptor {
  return { address: BigInt(address), length, flags, next };
}

/** The guest ranges of a list of pieces, merged where one continues the other. */
export function rangesOf(memory: GuestMemory, pieces: Pieces): [address: bigint, length: number][] {
  const ranges: [bigint, number][] = [];
  for (let i = 0; i < pieces.count; i++) {
    const region = memory.regions.find((each) => each === pieces.memories[i]);
    const offset = pieces.offsets[i] ?? NaN;
    const length = pieces.lengths[i] ?? NaN;
    assert.ok(region !== undefined, "a piece lies in a region");
    assert.ok(offset >= 0 && length > 0 && offset + length <= region.size, "and wholly so");
    ranges.push([BigInt(region.guestAddress + offset), length]);
  }
  return ranges;
}

/** What a chain should give. */
export type Expected =
  | { readonly fault: Fault }
  | { readonly readable: [bigint, number][]; readonly writable: [bigint, number][] };

/**
 * Walk a chain in the plainest way: collect the descriptors, noticing a loop by a set of those seen,
 * and look at each on its own. Slow, and written apart from what it is to check.
 */
export function referenceWalk(
  memory: GuestMemory,
  areas: QueueAreas,
  features: bigint,
  maxDescriptors: number,
  head: number,
): Expected {
  const raw = new RawQueue(memory, areas);
  const mapped = (at: number): boolean =>
    memory.regions.some((r) => at >= r.guestAddress && at < r.guestEnd);
  const allMapped = (address: bigint, length: number): boolean => {
    if (address >= END || length > END) return false;
    for (let i = 0; i < length; i++) if (!mapped(Number(address) + i)) return false;
    return true;
  };
  const queueParts: [number, number][] = [
    [areas.descriptorTable, 16 * areas.size],
    [areas.availRing, 6 + 2 * areas.size],
    [areas.usedRing, 6 + 8 * areas.size],
  ];
  const readable: [bigint, number][] = [];
  const writable: [bigint, number][] = [];
  let sum = 0n;
  let count = 0;
  let table = areas.descriptorTable;
  let entries = areas.size;
  let index = head;
  let isIndirect = false;
  let seen = new Set<number>();
  while (true) {
    if (seen.has(index)) return { fault: "loop" };
    seen.add(index);
    if (count === maxDescriptors) return { fault: "chain-too-long" };
    const { address, length, flags, next } = raw.descriptor(index, table);
    if (flags & DESC_F_INDIRECT) {
      if (isIndirect) return { fault: "indirect-nested" };
      if (!(features >> BigInt(VIRTIO_F_INDIRECT_DESC) & 1n)) {
        return { fault: "indirect-not-negotiated" };
      }
      if (flags & DESC_F_NEXT) return { fault: "indirect-with-next" };
      if (length === 0 || length % DESC_SIZE !== 0 || length / DESC_SIZE > 65536) {
        return { fault: "indirect-length" };
      }
      if (!allMapped(address, length)) return { fault: "indirect-outside-memory" };
      [table, entries, index] = [Number(address), length / DESC_SIZE, 0];
      [isIndirect, seen] = [true, new Set()];
      continue;
    }
    if (length === 0) return { fault: "zero-length" };
    sum += BigInt(length);
    if (sum > 1n << 32n) return { fault: "length-overflow" };
    if (flags & DESC_F_WRITE) {
      for (const [start, size] of queueParts) {
        const end = BigInt(start + size);
        if (address < end && address + BigInt(length) > BigInt(start)) {
          return { fault: "writable-over-ring" };
        }
      }
    } else if (writable.length > 0) return { fault: "readable-after-writable" };
    if (!allMapped(address, length)) return { fault: "outside-memory" };
    count++;
    (flags & DESC_F_WRITE ? writable : readable).push([address, length]);
    if (!(flags & DESC_F_NEXT)) return { readable, writable };
    if (next >= entries) return { fault: "next-out-of-range" };
    index = next;
  }
}

/** Split ranges where regions touch, as a device has to. */
export function splitAtRegions(ranges: [bigint, number][]): [bigint, number][] {
  return ranges.flatMap(([address, length]): [bigint, number][] => {
    const border = BigInt(MIDDLE);
    const before = Number(border - address);
    if (address >= border || before >= length) return [[address, length]];
    return [[address, before], [border, length - before]];
  });
}
