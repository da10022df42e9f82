/** Guest memory: the files a front-end shares, mapped, and the addresses it knows them by. */

import {
  F_GET_SEALS,
  F_SEAL_SHRINK,
  fcntl,
  LinuxError,
  MappedMemory,
  S_IFMT,
  S_IFREG,
  Statx,
  statx,
  STATX_BASIC_STATS,
} from "../linux/mod.ts";
import { GuestMemory } from "../virtio/mod.ts";
import { VhostUserError, type VhostUserFault } from "./errors.ts";
import type { RegionPayload } from "./messages.ts";
import type { RequestName } from "./requests.ts";

/** What page addresses are multiples of on every processor; larger pages are multiples of it. */
const PAGE_SIZE = 4096;

/** A region of guest memory, as told to whoever wants to know. */
export interface GuestRegion {
  /** Guest address of the first byte. */
  readonly guestAddress: number;
  /** Bytes. */
  readonly size: number;
  /** Whether nobody can make its file smaller. */
  readonly isSealed: boolean;
}

/** A region of guest memory, mapped. Owns the mapping. */
export class MappedRegion implements GuestRegion, Disposable {
  /** Guest address of the first byte. */
  readonly guestAddress: number;
  /** The front-end's own address of it, which it uses for the parts of queues. */
  readonly userAddress: number;
  /** Bytes. */
  readonly size: number;
  /** The bytes; gone when the region is disposed of. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Address of the first byte in this process. */
  readonly address: number;
  /** Whether nobody can make the file smaller; if somebody does, using the bytes is fatal. */
  readonly isSealed: boolean;
  readonly #mapped: MappedMemory;

  /**
   * Map a region.
   *
   * @param fd Its file, borrowed for the call.
   * @param request What asked for it, for errors.
   * @throws {VhostUserError} "region-empty", "region-too-large", "region-unaligned",
   * "region-beyond-file", "region-not-mappable"
   */
  constructor(region: RegionPayload, fd: number, request: RequestName) {
    const { guestAddress, userAddress, size, offset } = checkedNumbers(region, request);
    const record = new Statx();
    const result = statx(fd, null, 0, STATX_BASIC_STATS, record);
    if (result < 0 || (record.mode & S_IFMT) !== S_IFREG) {
      refuse("region-not-mappable", region, request, "its descriptor is not of a regular file");
    }
    if (record.size < BigInt(offset + size)) {
      const what = `its file has ${record.size} bytes, not ${offset + size}`;
      refuse("region-beyond-file", region, request, what);
    }
    // Huge pages can only be mapped as a whole; their size is the block size of their files.
    const { blksize } = record;
    const isPower = blksize > PAGE_SIZE && (blksize & (blksize - 1)) === 0;
    const unit = isPower ? blksize : PAGE_SIZE;
    const start = offset - offset % unit;
    const length = Math.ceil((offset + size - start) / unit) * unit;
    this.#mapped = mapped(() => MappedMemory.shared(fd, length, BigInt(start)), region, request);
    this.guestAddress = guestAddress;
    this.userAddress = userAddress;
    this.size = size;
    this.bytes = this.#mapped.bytes.subarray(offset - start, offset - start + size);
    this.address = this.#mapped.address + offset - start;
    const seals = fcntl(fd, F_GET_SEALS, 0);
    this.isSealed = seals >= 0 && (seals & F_SEAL_SHRINK) !== 0;
  }

  /** Whether it is the region that a message describes; the offset in the file does not matter. */
  is(region: RegionPayload): boolean {
    return BigInt(this.guestAddress) === region.guest_addr &&
      BigInt(this.userAddress) === region.user_addr && BigInt(this.size) === region.size;
  }

  /** Detach all views of the bytes, and unmap them. */
  [Symbol.dispose](): void {
    this.#mapped[Symbol.dispose]();
  }
}

function checkedNumbers(region: RegionPayload, request: RequestName): {
  readonly guestAddress: number;
  readonly userAddress: number;
  readonly size: number;
  readonly offset: number;
} {
  const { guest_addr, user_addr, size, mmap_offset } = region;
  if (size === 0n) refuse("region-empty", region, request, "it has no bytes");
  const limit = 2n ** 53n - 1n;
  for (const start of [guest_addr, user_addr, mmap_offset]) {
    if (start + size > limit) refuse("region-too-large", region, request, "it ends beyond 2^53");
    if (start % BigInt(PAGE_SIZE) !== 0n) {
      const what = `0x${start.toString(16)} is not the start of a page`;
      refuse("region-unaligned", region, request, what);
    }
  }
  return {
    guestAddress: Number(guest_addr),
    userAddress: Number(user_addr),
    size: Number(size),
    offset: Number(mmap_offset),
  };
}

function mapped(
  map: () => MappedMemory,
  region: RegionPayload,
  request: RequestName,
): MappedMemory {
  try {
    return map();
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    refuse("region-not-mappable", region, request, error.message);
  }
}

function refuse(
  fault: VhostUserFault,
  region: RegionPayload,
  request: RequestName,
  what: string,
): never {
  const at = `0x${region.guest_addr.toString(16)}`;
  throw new VhostUserError(fault, `Cannot map the region at guest address ${at}: ${what}`, request);
}

/**
 * Refuse regions that overlap others, as the guest or as the front-end sees them.
 *
 * @throws {VhostUserError} "region-overlaps"
 */
export function checkOverlaps(regions: readonly MappedRegion[], request: RequestName): void {
  for (const key of ["guestAddress", "userAddress"] as const) {
    const sorted = [...regions].sort((a, b) => a[key] - b[key]);
    for (let index = 1; index < sorted.length; index++) {
      const before = sorted[index - 1] as MappedRegion;
      const region = sorted[index] as MappedRegion;
      if (region[key] < before[key] + before.size) {
        throw new VhostUserError(
          "region-overlaps",
          `Cannot map the region at guest address 0x${region.guestAddress.toString(16)}: ` +
            `it overlaps the one at 0x${before.guestAddress.toString(16)}`,
          request,
        );
      }
    }
  }
}

/** The table that queues are served from. The regions must outlive it. */
export function guestMemoryOf(regions: readonly MappedRegion[]): GuestMemory {
  return new GuestMemory(regions);
}

/** Guest address of one of the front-end's own; undefined if it is in no region. */
export function guestAddressOf(
  regions: readonly MappedRegion[],
  userAddress: bigint,
): number | undefined {
  for (const region of regions) {
    const offset = Number(userAddress) - region.userAddress;
    if (offset >= 0 && offset < region.size) return region.guestAddress + offset;
  }
  return undefined;
}
