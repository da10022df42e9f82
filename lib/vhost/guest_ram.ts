/** Memory that a front-end shares with a back-end: a guest without a guest. */

import {
  check,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  fcntl,
  Fd,
  ftruncate,
  MappedMemory,
  memfdCreate,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
} from "../linux/mod.ts";
import type { RegionInit } from "../virtio/mod.ts";
import type { RegionPayload } from "./messages.ts";

/** What may be chosen about memory. */
export interface GuestRamOptions {
  /** Bytes; whole pages. */
  readonly size: number;
  /** Guest address of the first byte; 0 by default. */
  readonly guestAddress?: number;
  /** The address to tell the back-end as ours; one that differs from the guest's by default. */
  readonly userAddress?: number;
  /** Where in its file the memory starts; 0 by default. */
  readonly fileOffset?: number;
  /** Whether to promise that the file stays as large as it is; true by default. */
  readonly isSealed?: boolean;
}

/** Far from any guest address, so that mixing up the two is noticed. */
const USER_BASE = 0x7000_0000_0000;

/** A region of shared memory in a file of its own. Owns file and mapping. */
export class GuestRam implements RegionInit, Disposable {
  /** Guest address of the first byte. */
  readonly guestAddress: number;
  /** Address of the first byte as the back-end is told. */
  readonly userAddress: number;
  /** Bytes. */
  readonly size: number;
  /** Where in its file the memory starts. */
  readonly fileOffset: number;
  readonly #file: Fd;
  readonly #mapped: MappedMemory;
  #used = 0;

  /**
   * Allocate memory.
   *
   * @throws {LinuxError} If there is none.
   */
  constructor(options: GuestRamOptions) {
    const { size, guestAddress = 0, fileOffset = 0, isSealed = true } = options;
    this.guestAddress = guestAddress;
    this.userAddress = options.userAddress ?? USER_BASE + guestAddress;
    this.size = size;
    this.fileOffset = fileOffset;
    using file = Fd.from(
      memfdCreate("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING),
      "make a file for guest memory",
    );
    check(ftruncate(file.number, BigInt(fileOffset + size)), "size guest memory");
    if (isSealed) {
      check(fcntl(file.number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "seal guest memory");
    }
    this.#mapped = MappedMemory.shared(file.number, size, BigInt(fileOffset));
    this.#file = new Fd(file.take());
  }

  /** The bytes. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#mapped.bytes;
  }

  /** Address of the first byte in this process. */
  get address(): number {
    return this.#mapped.address;
  }

  /** The file, borrowed. */
  get fd(): number {
    return this.#file.number;
  }

  /** What `SET_MEM_TABLE` and `ADD_MEM_REG` say about it. */
  get region(): RegionPayload {
    return {
      guest_addr: BigInt(this.guestAddress),
      size: BigInt(this.size),
      user_addr: BigInt(this.userAddress),
      mmap_offset: BigInt(this.fileOffset),
    };
  }

  /**
   * Take a part of the memory, for good.
   *
   * @param size Bytes.
   * @param alignment Of the guest address; a power of two.
   * @returns Its guest address.
   * @throws {RangeError} If not so much is left.
   */
  reserve(size: number, alignment: number = 16): number {
    const start = Math.ceil(this.#used / alignment) * alignment;
    if (start + size > this.size) {
      throw new RangeError(
        `Cannot reserve ${size} bytes of guest memory: ${this.size - start} are left`,
      );
    }
    this.#used = start + size;
    return this.guestAddress + start;
  }

  /** Unmap the memory and close the file. A back-end that mapped it has it still. */
  [Symbol.dispose](): void {
    this.#mapped[Symbol.dispose]();
    this.#file[Symbol.dispose]();
  }
}
