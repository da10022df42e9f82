/** Memory outside of JavaScript's heap, with an address that calls can be given. */

import {
  EINVAL,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";
import {
  arena,
  arenaAddress,
  errno,
  libc,
  LinuxError,
  SCRATCH_SIZE,
  SLOT,
  u64,
  u64b,
} from "./libc.ts";

/** Bytes and where they are. */
export interface Memory {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** Address of the first. */
  readonly address: number;
}

/**
 * mmap(2) at an address of the kernel's choice.
 *
 * @param length Bytes.
 * @param prot `PROT_*`
 * @param flags `MAP_*`
 * @param fd File to map, or -1.
 * @param offset Where in the file, a multiple of the page size.
 * @returns The address, or minus the error.
 */
export function mmap(
  length: number,
  prot: number,
  flags: number,
  fd: number,
  offset: bigint,
): number {
  const result = libc().mmap(0n, u64(length), prot, flags, fd, offset);
  return result === -1n ? -errno() : Number(result);
}

/**
 * munmap(2). Whoever still uses a view of the range crashes the process: {@linkcode MappedMemory}
 * makes that impossible.
 */
export function munmap(address: number, length: number): number {
  const result = libc().munmap(u64(address), u64b(length));
  return result < 0 ? -errno() : result;
}

/**
 * Mapped memory, owned: disposing unmaps it. Every view of it, wherever it was kept, is detached
 * from then on: late use finds no bytes (typed arrays) or throws a TypeError (DataView), instead of
 * crashing the process.
 */
export class MappedMemory implements Memory, Disposable {
  /** The bytes; empty after disposal. Index them below 2^31 only: beyond, V8 is 20 times slower. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes, for numbers, fast at any offset. */
  readonly view: DataView<ArrayBuffer>;
  /** Address of the first. */
  readonly address: number;
  /** Bytes mapped. */
  readonly size: number;
  #isMapped = true;

  private constructor(address: number, size: number) {
    const pointer = Deno.UnsafePointer.create(BigInt(address));
    if (pointer === null) throw new LinuxError("map memory", EINVAL);
    const buffer = new Deno.UnsafePointerView(pointer).getArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = address;
    this.size = size;
  }

  /**
   * Map zeroed memory of our own.
   *
   * @param size Bytes.
   * @throws {LinuxError} If there is no memory.
   */
  static anonymous(size: number): MappedMemory {
    const address = mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (address < 0) throw new LinuxError(`map ${size} bytes of memory`, -address);
    return new MappedMemory(address, size);
  }

  /**
   * Map a file, shared with everybody else who maps it. If somebody cuts the file, using what was
   * cut off ends the process (SIGBUS): check the seals first where the peer is not trusted.
   *
   * @param fd The file; may be closed afterwards.
   * @param size Bytes.
   * @param offset Where in the file, a multiple of the page size.
   * @param prot `PROT_*`
   * @throws {LinuxError} If the kernel refuses.
   */
  static shared(
    fd: number,
    size: number,
    offset: bigint = 0n,
    prot: number = PROT_READ | PROT_WRITE,
  ): MappedMemory {
    const address = mmap(size, prot, MAP_SHARED, fd, offset);
    if (address < 0) throw new LinuxError(`map ${size} bytes of a file`, -address);
    return new MappedMemory(address, size);
  }

  /** Whether the memory is still there. */
  get isMapped(): boolean {
    return this.#isMapped;
  }

  /** Detach all views, then unmap. Further calls do nothing. */
  [Symbol.dispose](): void {
    if (!this.#isMapped) return;
    this.#isMapped = false;
    this.bytes.buffer.transfer(0);
    munmap(this.address, this.size);
  }
}

let scratchMemory: Memory | undefined;

/**
 * 64 KiB of this thread at a constant address, for one call and what reads its result: the value or
 * list of extended attributes, say. Other calls of this module that return strings use it too.
 */
export function scratch(): Memory {
  if (scratchMemory === undefined) {
    libc();
    scratchMemory = {
      bytes: arena.subarray(SLOT.SCRATCH, SLOT.SCRATCH + SCRATCH_SIZE),
      address: arenaAddress + SLOT.SCRATCH,
    };
  }
  return scratchMemory;
}
