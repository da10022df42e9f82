/**
 * The memory of a guest: from its addresses to ours.
 *
 * @module
 */

import type { Memory, PieceList } from "./pieces.ts";

/** A contiguous part of the guest's memory, as it is to be given. */
export interface RegionInit {
  /** Guest address of the first byte. */
  readonly guestAddress: number;
  /** The bytes, borrowed for as long as the table is used. */
  readonly bytes: Uint8Array;
  /** Address of the first byte in this process, or 0 where unknown. */
  readonly address?: number;
}

/** A contiguous part of the guest's memory. */
export interface Region extends Memory {
  /** Guest address of the first byte. */
  readonly guestAddress: number;
  /** Guest address behind the last byte. */
  readonly guestEnd: number;
  /** Bytes of the region. */
  readonly size: number;
  /** The bytes, for numbers: fast at any offset, where typed arrays are slow from 2^31 on. */
  readonly view: DataView;
}

/**
 * Guest and host address of a byte must agree modulo this, so that what is aligned for the guest is
 * for us too. Pages always do.
 */
export const REGION_ALIGN = 16;

/** Stands for a region where there is none: no address is in it. */
export const NOWHERE: Region = {
  guestAddress: 0,
  guestEnd: 0,
  size: 0,
  bytes: new Uint8Array(0),
  address: 0,
  view: new DataView(new ArrayBuffer(0)),
};

/**
 * The table of a guest's memory. Everything that a guest says about addresses is checked here.
 *
 * Addresses are numbers: above 2^53 there is no memory.
 *
 * @example A buffer over the border of two regions
 * ```ts
 * import assert from "node:assert/strict";
 * import { GuestMemory, Pieces } from "@virtfs/virtfs/virtio";
 *
 * const memory = new GuestMemory([
 *   { guestAddress: 0, bytes: new Uint8Array(4096) },
 *   { guestAddress: 4096, bytes: new Uint8Array(4096) },
 * ]);
 * const pieces = new Pieces();
 * assert.ok(memory.gather(4000, 200, pieces));
 * assert.deepEqual(pieces.offsets, [4000, 0]);
 * assert.deepEqual(pieces.lengths, [96, 104]);
 * assert.equal(memory.gather(8000, 200, pieces), false);
 * ```
 */
export class GuestMemory {
  /** The regions, by guest address. */
  readonly regions: readonly Region[];
  #last: Region;

  /**
   * Make a table.
   *
   * @throws {RangeError} If a region is empty, unaligned or above 2^53, or if two overlap.
   */
  constructor(regions: readonly RegionInit[]) {
    this.regions = regions.map(checkedRegion).sort((a, b) => a.guestAddress - b.guestAddress);
    let end = 0;
    for (const region of this.regions) {
      if (region.guestAddress < end) {
        throw new RangeError(
          `Cannot add memory at guest address ${hex(region.guestAddress)}: there is some already`,
        );
      }
      end = region.guestEnd;
    }
    this.#last = this.regions[0] ?? NOWHERE;
  }

  /** The region that has the byte at a guest address. */
  find(address: number): Region | undefined {
    const last = this.#last; // neighbours in time are neighbours in space
    if (address >= last.guestAddress && address < last.guestEnd) return last;
    let low = 0;
    let high = this.regions.length;
    while (low < high) {
      const middle = low + high >>> 1;
      const region = this.regions[middle] ?? NOWHERE;
      if (address < region.guestAddress) high = middle;
      else if (address < region.guestEnd) return this.#last = region;
      else low = middle + 1;
    }
    return undefined;
  }

  /** The region that has all of a range. */
  findWhole(address: number, length: number): Region | undefined {
    const region = this.find(address);
    return region !== undefined && length <= region.guestEnd - address ? region : undefined;
  }

  /** Whether all of a range is in guest memory, in one region or in several that touch. */
  contains(address: number, length: number): boolean {
    let at = address;
    let left = length;
    while (left > 0) {
      const region = this.find(at);
      if (region === undefined) return false;
      left -= region.guestEnd - at;
      at = region.guestEnd;
    }
    return true;
  }

  /**
   * Add the pieces of a range to a list.
   *
   * @returns Whether all of the range is in guest memory; if not, the list may have a part of it.
   */
  gather(address: number, length: number, into: PieceList): boolean {
    let at = address;
    let left = length;
    while (left > 0) {
      const region = this.find(at);
      if (region === undefined) return false;
      const part = Math.min(left, region.guestEnd - at);
      into.add(region, at - region.guestAddress, part);
      at += part;
      left -= part;
    }
    return true;
  }

  /** Copy out of guest memory; false, with part of it copied, where there is none. */
  read(address: number, target: Uint8Array): boolean {
    let done = 0;
    while (done < target.length) {
      const region = this.find(address + done);
      if (region === undefined) return false;
      const offset = address + done - region.guestAddress;
      const part = Math.min(target.length - done, region.size - offset);
      target.set(region.bytes.subarray(offset, offset + part), done);
      done += part;
    }
    return true;
  }

  /** Copy into guest memory; false, with part of it copied, where there is none. */
  write(address: number, source: Uint8Array): boolean {
    let done = 0;
    while (done < source.length) {
      const region = this.find(address + done);
      if (region === undefined) return false;
      const offset = address + done - region.guestAddress;
      const part = Math.min(source.length - done, region.size - offset);
      region.bytes.set(source.subarray(done, done + part), offset);
      done += part;
    }
    return true;
  }
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

function checkedRegion({ guestAddress, bytes, address = 0 }: RegionInit): Region {
  const guestEnd = guestAddress + bytes.length;
  const refusal = `Cannot add memory at guest address ${hex(guestAddress)}`;
  if (!(guestAddress >= 0 && Number.isSafeInteger(guestAddress) && guestEnd <= 2 ** 53)) {
    throw new RangeError(`${refusal}: it is not within 2^53`);
  }
  if (bytes.length === 0) throw new RangeError(`${refusal}: it has no bytes`);
  if (guestAddress % REGION_ALIGN !== bytes.byteOffset % REGION_ALIGN) {
    throw new RangeError(`${refusal}: it is not aligned to ${REGION_ALIGN} bytes in this process`);
  }
  return {
    guestAddress,
    guestEnd,
    size: bytes.length,
    bytes,
    address,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  };
}
