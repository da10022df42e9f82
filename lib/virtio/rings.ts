/**
 * The three parts of a split virtqueue, seen through small views: typed arrays are slow beyond 2^31,
 * and atomics need one of 16-bit numbers.
 *
 * @module
 */

import { RingError } from "./faults.ts";
import {
  areasFault,
  availRingSize,
  descriptorTableSize,
  type QueueAreas,
  usedRingSize,
} from "./layout.ts";
import type { GuestMemory } from "./memory.ts";

/** Position of `flags[2]` in a ring of 16-bit numbers. */
export const FLAGS = 0;
/** Position of `idx[2]` in a ring of 16-bit numbers. */
export const INDEX = 1;
/** Position of the first head in the avail ring. */
export const HEADS = 2;

/** Views of the parts of a queue. */
export interface Rings {
  /** The descriptor table. */
  readonly table: DataView;
  /** The avail ring: flags, idx, the heads, used_event. */
  readonly avail: Uint16Array;
  /** The used ring: flags, idx, the entries, avail_event. */
  readonly used: Uint16Array;
  /** The entries of the used ring: id and len in turn. */
  readonly usedEntries: Uint32Array;
}

/** Stands for the rings of a queue that is not set up. */
export const NO_RINGS: Rings = {
  table: new DataView(new ArrayBuffer(0)),
  avail: new Uint16Array(3),
  used: new Uint16Array(3),
  usedEntries: new Uint32Array(0),
};

/**
 * Find the parts of a queue in memory.
 *
 * @param action What is refused if they cannot lie there, for the message.
 * @throws {RingError} If they cannot.
 */
export function mapRings(memory: GuestMemory, areas: QueueAreas, action: string): Rings {
  const fault = areasFault(areas);
  if (fault !== undefined) throw new RingError(action, fault);
  const { size } = areas;
  const place = (address: number, length: number): Uint8Array => {
    const region = memory.findWhole(address, length);
    if (region === undefined) {
      const isThere = memory.contains(address, length);
      throw new RingError(action, isThere ? "ring-across-regions" : "ring-outside-memory");
    }
    const at = address - region.guestAddress;
    return region.bytes.subarray(at, at + length);
  };
  const table = place(areas.descriptorTable, descriptorTableSize(size));
  const avail = place(areas.availRing, availRingSize(size));
  const used = place(areas.usedRing, usedRingSize(size));
  return {
    table: new DataView(table.buffer, table.byteOffset, table.length),
    avail: new Uint16Array(avail.buffer, avail.byteOffset, avail.length / 2),
    used: new Uint16Array(used.buffer, used.byteOffset, used.length / 2),
    usedEntries: new Uint32Array(used.buffer, used.byteOffset + 4, 2 * size),
  };
}
