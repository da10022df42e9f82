/**
 * Where things are in a split virtqueue: offsets, sizes, alignments, flags and feature bits.
 *
 * All fields are little-endian, as are all processors that Deno runs on: typed arrays over guest
 * memory need no swapping.
 *
 * @see VIRTIO 1.2, 2.7 Split Virtqueues
 *
 * @module
 */

import type { Fault } from "./faults.ts";

/** Bytes of a descriptor: `addr[8] len[4] flags[2] next[2]`. */
export const DESC_SIZE = 16;
/** Offset of `len[4]` in a descriptor. */
export const DESC_LEN = 8;
/** Offset of `flags[2]` in a descriptor. */
export const DESC_FLAGS = 12;
/** Offset of `next[2]` in a descriptor. */
export const DESC_NEXT = 14;

/** The chain goes on at `next`. */
export const DESC_F_NEXT = 1;
/** The buffer is writable by the device, else readable. */
export const DESC_F_WRITE = 2;
/** The buffer is a table of descriptors. */
export const DESC_F_INDIRECT = 4;

/** In the avail ring's flags: the driver wants no calls. */
export const AVAIL_F_NO_INTERRUPT = 1;
/** In the used ring's flags: the device wants no kicks. */
export const USED_F_NO_NOTIFY = 1;

/** Most descriptors a queue can have. */
export const MAX_QUEUE_SIZE = 32768;
/** Most descriptors of an indirect table that `next[2]` can reach. */
export const MAX_INDIRECT = 65536;

/** Alignment of the descriptor table, in bytes. */
export const DESC_ALIGN = 16;
/** Alignment of the avail ring, in bytes. */
export const AVAIL_ALIGN = 2;
/** Alignment of the used ring, in bytes. */
export const USED_ALIGN = 4;

/** Feature bit of the 9P device: its configuration has a mount tag. */
export const VIRTIO_9P_MOUNT_TAG = 0;
/** Feature bit: chains may use indirect tables. */
export const VIRTIO_F_INDIRECT_DESC = 28;
/** Feature bit: used_event and avail_event instead of the flags. */
export const VIRTIO_F_EVENT_IDX = 29;
/** Feature bit: the device is one of VIRTIO 1.0 or later. */
export const VIRTIO_F_VERSION_1 = 32;
/** Feature bit: packed virtqueues. */
export const VIRTIO_F_RING_PACKED = 34;
/** Feature bit: chains are used in the order they were made available. */
export const VIRTIO_F_IN_ORDER = 35;
/** Feature bit: queues can be reset one by one. */
export const VIRTIO_F_RING_RESET = 40;

/** The word of features that has these bits set. */
export function featureWord(...bits: readonly number[]): bigint {
  return bits.reduce((word, bit) => word | 1n << BigInt(bit), 0n);
}

/** Whether a word of features has a bit set. */
export function hasFeature(features: bigint, bit: number): boolean {
  return (features >> BigInt(bit) & 1n) === 1n;
}

/** What is wrong with the features a driver accepted, if anything. */
export function featureFault(offered: bigint, accepted: bigint): Fault | undefined {
  if ((accepted & ~offered) !== 0n) return "feature-not-offered";
  const version1 = featureWord(VIRTIO_F_VERSION_1);
  if ((offered & ~accepted & version1) !== 0n) return "version-1-refused";
  return undefined;
}

/** Size of a queue and where its three parts are, in guest addresses. */
export interface QueueAreas {
  /** Descriptors in the table; a power of 2. */
  readonly size: number;
  /** Guest address of the descriptor table. */
  readonly descriptorTable: number;
  /** Guest address of the avail ring. */
  readonly availRing: number;
  /** Guest address of the used ring. */
  readonly usedRing: number;
}

/** Bytes of a descriptor table. */
export function descriptorTableSize(size: number): number {
  return DESC_SIZE * size;
}

/** Bytes of an avail ring: `flags[2] idx[2] size*(head[2]) used_event[2]`. */
export function availRingSize(size: number): number {
  return 6 + 2 * size;
}

/** Bytes of a used ring: `flags[2] idx[2] size*(id[4] len[4]) avail_event[2]`. */
export function usedRingSize(size: number): number {
  return 6 + 8 * size;
}

function alignUp(address: number, alignment: number): number {
  return Math.ceil(address / alignment) * alignment;
}

/** Lay the parts of a queue out one behind the other, from guest address `at` on. */
export function layOutQueue(size: number, at: number): QueueAreas {
  const descriptorTable = alignUp(at, DESC_ALIGN);
  const availRing = descriptorTable + descriptorTableSize(size);
  return { size, descriptorTable, availRing, usedRing: usedBehind(availRing, size) };
}

function usedBehind(availRing: number, size: number): number {
  return alignUp(availRing + availRingSize(size), USED_ALIGN);
}

/** First guest address behind all parts of a queue. */
export function endOfQueue(areas: QueueAreas): number {
  return Math.max(
    areas.descriptorTable + descriptorTableSize(areas.size),
    areas.availRing + availRingSize(areas.size),
    areas.usedRing + usedRingSize(areas.size),
  );
}

/** What is wrong with size, alignment or position of the parts of a queue, if anything. */
export function areasFault(areas: QueueAreas): Fault | undefined {
  const { size, descriptorTable, availRing, usedRing } = areas;
  if (!(Number.isInteger(size) && size >= 1 && size <= MAX_QUEUE_SIZE)) return "queue-size";
  if ((size & (size - 1)) !== 0) return "queue-size";
  for (const address of [descriptorTable, availRing, usedRing]) {
    if (!(Number.isSafeInteger(address) && address >= 0)) return "ring-outside-memory";
  }
  if (descriptorTable % DESC_ALIGN !== 0) return "ring-unaligned";
  if (availRing % AVAIL_ALIGN !== 0) return "ring-unaligned";
  if (usedRing % USED_ALIGN !== 0) return "ring-unaligned";
  const parts: readonly (readonly [start: number, size: number])[] = [
    [descriptorTable, descriptorTableSize(size)],
    [availRing, availRingSize(size)],
    [usedRing, usedRingSize(size)],
  ];
  for (const [i, [start, length]] of parts.entries()) {
    for (const [other, otherLength] of parts.slice(i + 1)) {
      if (start < other + otherLength && other < start + length) return "rings-overlap";
    }
  }
  return undefined;
}

/**
 * Whether moving an index from `from` to `to` passes an event index: whether the entry at `event`
 * is among those written. All are counted modulo 65536.
 *
 * @see VIRTIO 1.2, 2.7.7.2 and 2.7.10.1
 */
export function passesEvent(event: number, from: number, to: number): boolean {
  return (to - event - 1 & 0xffff) < (to - from & 0xffff);
}
