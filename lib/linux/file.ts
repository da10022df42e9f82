/** Opening files, and their bytes. */

import { EAGAIN, EINVAL, O_CLOEXEC, RESOLVE_CACHED, RWF_NOWAIT } from "./constants.ts";
import {
  arenaView,
  at,
  EMPTY,
  HOW,
  interrupted,
  libc,
  NAME,
  NR,
  outcome,
  pin,
  type Pinned,
  PROC,
  SLOT,
  u64,
  u64b,
} from "./libc.ts";
import { putName, putProc } from "./names.ts";
import { IOV_MAX, PATH_MAX } from "./constants.ts";

/**
 * openat(2). Retried when interrupted.
 *
 * @param dirfd Folder a relative name starts from, or `AT_FDCWD`.
 * @param flags `O_*`; add `O_CLOEXEC` yourself.
 * @param mode Permissions of a new file.
 * @returns A descriptor that the caller closes, or minus the error.
 */
export function openat(dirfd: number, name: string, flags: number, mode: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  for (;;) {
    const result = c.openat(dirfd, NAME, flags, mode);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * openat2(2), with the kernel's own containment. Retried when interrupted, but not at EAGAIN, which
 * it answers when a rename raced with `..`.
 *
 * @param mode Permissions of a new file; must be 0 without `O_CREAT` or `O_TMPFILE`.
 * @param resolve `RESOLVE_*`
 * @returns A descriptor that the caller closes, or minus the error; see {@linkcode features}.
 */
export function openat2(
  dirfd: number,
  name: string,
  flags: number,
  mode: number,
  resolve: number,
): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  // The high halves of the three 64-bit fields are never written, so they stay 0.
  arenaView.setUint32(SLOT.HOW, flags, true);
  arenaView.setUint32(SLOT.HOW + 8, mode, true);
  arenaView.setUint32(SLOT.HOW + 16, resolve, true);
  for (;;) {
    const result = c.openat2(NR.openat2, dirfd, NAME, HOW, 24n);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * Open again what a descriptor (`O_PATH` too) refers to, through "/proc/self/fd".
 *
 * @param flags `O_*`; `O_NOFOLLOW` would refuse the link in /proc itself.
 * @returns A descriptor that the caller closes, or minus the error.
 */
export function reopen(fd: number, flags: number): number {
  const c = libc();
  putProc(fd);
  for (;;) {
    const result = c.openat(-1, PROC, flags, 0);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** close(2). Never retried: the descriptor is gone whatever the result says. */
export function close(fd: number): number {
  return outcome(libc().close(fd));
}

/** read(2) to an address. Retried when interrupted. */
export function read(fd: number, address: number, count: number): number {
  const c = libc();
  for (;;) {
    const result = c.read(fd, u64(address), u64b(count));
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** write(2) from an address. Retried when interrupted. */
export function write(fd: number, address: number, count: number): number {
  const c = libc();
  for (;;) {
    const result = c.write(fd, u64(address), u64b(count));
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** pread(2) to an address. Retried when interrupted. An offset of 2^63 or more is EINVAL. */
export function pread(fd: number, address: number, count: number, offset: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.pread(fd, u64(address), u64b(count), offset);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** pwrite(2) from an address. Retried when interrupted. An offset of 2^63 or more is EINVAL. */
export function pwrite(fd: number, address: number, count: number, offset: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.pwrite(fd, u64(address), u64b(count), offset);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * A list of segments for `preadv`, `sendmsg` and their kin, made once and filled for each call.
 *
 * Addresses are taken as they are: whoever adds one has checked that so many bytes are there and
 * stay there.
 */
export class IoVectors {
  /** Most segments it can hold. */
  readonly capacity: number;
  /** Address of the `struct iovec` array. */
  readonly address: number;
  readonly #pinned: Pinned;
  readonly #words: Uint32Array;
  #first = 0;
  #end = 0;
  #size = 0;

  /**
   * Allocate room for segments.
   *
   * @param capacity Most segments, at most `IOV_MAX` (1024).
   * @throws {RangeError} If it is out of these bounds.
   */
  constructor(capacity: number = IOV_MAX) {
    if (!(capacity >= 1 && capacity <= IOV_MAX)) {
      throw new RangeError(
        `Cannot make a list of ${capacity} segments: 1 to ${IOV_MAX} are possible`,
      );
    }
    this.capacity = capacity;
    this.#pinned = pin(capacity * 16);
    this.address = this.#pinned.address;
    this.#words = new Uint32Array(this.#pinned.bytes.buffer);
  }

  /** Segments in the list. */
  get count(): number {
    return this.#end - this.#first;
  }

  /** Bytes of all segments. */
  get size(): number {
    return this.#size;
  }

  /** Address of the first segment that is left. */
  get start(): number {
    return this.address + this.#first * 16;
  }

  /** Forget all segments. */
  clear(): void {
    this.#first = 0;
    this.#end = 0;
    this.#size = 0;
  }

  /**
   * Append a segment.
   *
   * @param address Where it starts.
   * @param size Bytes; an empty segment is left out.
   * @returns Whether there was room.
   */
  add(address: number, size: number): boolean {
    if (size === 0) return true;
    if (this.#end >= this.capacity) return false;
    const index = this.#end * 4;
    this.#words[index] = address;
    this.#words[index + 1] = address / 4294967296;
    this.#words[index + 2] = size;
    this.#words[index + 3] = size / 4294967296;
    this.#end++;
    this.#size += size;
    return true;
  }

  /** Drop the first `size` bytes, as after a call that moved only so many. */
  advance(size: number): void {
    let rest = size < this.#size ? size : this.#size;
    this.#size -= rest;
    while (rest > 0 && this.#first < this.#end) {
      const index = this.#first * 4;
      const length = this.#sizeAt(index);
      if (rest < length) {
        const address = (this.#words[index] as number) +
          (this.#words[index + 1] as number) * 4294967296 + rest;
        this.#words[index] = address;
        this.#words[index + 1] = address / 4294967296;
        this.#words[index + 2] = length - rest;
        this.#words[index + 3] = (length - rest) / 4294967296;
        return;
      }
      rest -= length;
      this.#first++;
    }
  }

  /** Keep only the first `size` bytes. */
  limit(size: number): void {
    let excess = this.#size - size;
    if (excess <= 0) return;
    this.#size = size;
    while (this.#end > this.#first) {
      const index = (this.#end - 1) * 4;
      const length = this.#sizeAt(index);
      if (excess < length) {
        this.#words[index + 2] = length - excess;
        this.#words[index + 3] = (length - excess) / 4294967296;
        return;
      }
      excess -= length;
      this.#end--;
    }
  }

  #sizeAt(index: number): number {
    return (this.#words[index + 2] as number) + (this.#words[index + 3] as number) * 4294967296;
  }
}

/** readv(2). Retried when interrupted. */
export function readv(fd: number, vectors: IoVectors): number {
  const c = libc();
  for (;;) {
    const result = c.readv(fd, u64(vectors.start), vectors.count);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** writev(2). Retried when interrupted. */
export function writev(fd: number, vectors: IoVectors): number {
  const c = libc();
  for (;;) {
    const result = c.writev(fd, u64(vectors.start), vectors.count);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** preadv(2). Retried when interrupted. An offset of 2^63 or more is EINVAL. */
export function preadv(fd: number, vectors: IoVectors, offset: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.preadv(fd, u64(vectors.start), vectors.count, offset);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** pwritev(2). Retried when interrupted. An offset of 2^63 or more is EINVAL. */
export function pwritev(fd: number, vectors: IoVectors, offset: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.pwritev(fd, u64(vectors.start), vectors.count, offset);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * preadv2(2). Retried when interrupted. With `RWF_NOWAIT`, EAGAIN is for what is not cached, a short
 * count for what is cached in part, EOPNOTSUPP for file systems without the flag.
 *
 * @param flags `RWF_*`
 */
export function preadv2(fd: number, vectors: IoVectors, offset: bigint, flags: number): number {
  const c = libc();
  for (;;) {
    const count = u64b(vectors.count);
    const result = c.rwv2(NR.preadv2, fd, u64(vectors.start), count, offset, 0n, flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** The one segment of `preadCached`, and its two words of 64 bits as four of 32. */
let single: Pinned | undefined;
let singleWords: Uint32Array = new Uint32Array(4);

/**
 * As {@linkcode pread}, but only what needs no waiting (preadv2(2) with `RWF_NOWAIT`): EAGAIN if
 * nothing is cached, a short count if not all is, EOPNOTSUPP for file systems that cannot tell.
 */
export function preadCached(fd: number, address: number, count: number, offset: bigint): number {
  const c = libc();
  if (single === undefined) {
    single = pin(16);
    singleWords = new Uint32Array(single.bytes.buffer);
  }
  singleWords[0] = address;
  singleWords[1] = address / 4294967296;
  singleWords[2] = count;
  for (;;) {
    const result = c.rwv2(NR.preadv2, fd, single.pointer, 1n, offset, 0n, RWF_NOWAIT);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** pwritev2(2). Retried when interrupted; flags as in {@linkcode preadv2}. */
export function pwritev2(fd: number, vectors: IoVectors, offset: bigint, flags: number): number {
  const c = libc();
  for (;;) {
    const count = u64b(vectors.count);
    const result = c.rwv2(NR.pwritev2, fd, u64(vectors.start), count, offset, 0n, flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * lseek(2), whose result may need 64 bits.
 *
 * @param whence `SEEK_*`
 * @returns The new offset, or minus the error.
 */
export function lseek(fd: number, offset: bigint, whence: number): bigint {
  const result = libc().lseek(fd, offset, whence);
  return result < 0n ? BigInt(outcome(-1)) : result;
}

/** lseek(2) from the start, without the bigint result: 0 or minus the error. */
export function seekTo(fd: number, offset: bigint): number {
  return libc().lseek(fd, offset, 0) < 0n ? outcome(-1) : 0;
}

/** ftruncate(2). Retried when interrupted. */
export function ftruncate(fd: number, size: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.ftruncate(fd, size);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** truncate(2) by path, which follows symbolic links. */
export function truncate(path: string, size: bigint): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.truncate(NAME, size));
}

/** truncate(2) of what a descriptor (`O_PATH` too) refers to, with the caller's rights of now. */
export function truncateFd(fd: number, size: bigint): number {
  const c = libc();
  putProc(fd);
  return outcome(c.truncate(PROC, size));
}

/** fallocate(2). Retried when interrupted. */
export function fallocate(fd: number, mode: number, offset: bigint, size: bigint): number {
  const c = libc();
  for (;;) {
    const result = c.fallocate(fd, mode, offset, size);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** fsync(2). Retried when interrupted. */
export function fsync(fd: number): number {
  const c = libc();
  for (;;) {
    const result = c.fsync(fd);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** fdatasync(2). Retried when interrupted. */
export function fdatasync(fd: number): number {
  const c = libc();
  for (;;) {
    const result = c.fdatasync(fd);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** syncfs(2): write back the whole file system of a descriptor. */
export function syncfs(fd: number): number {
  return outcome(libc().syncfs(fd));
}

/**
 * sendfile(2) from an offset, which leaves the file's own position alone. Retried when interrupted.
 *
 * @param to A socket or file.
 * @param from A file with pages.
 */
export function sendfile(to: number, from: number, offset: bigint, count: number): number {
  const c = libc();
  arenaView.setBigUint64(SLOT.OFFSETS, offset, true);
  const pointer = at(SLOT.OFFSETS);
  for (;;) {
    const result = c.sendfile(to, from, pointer, u64(count));
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

function offsetPointer(slot: number, offset: bigint | null): bigint {
  if (offset === null) return 0n;
  arenaView.setBigUint64(slot, offset, true);
  return at(slot);
}

/**
 * splice(2): move bytes between a pipe and something else. Retried when interrupted.
 *
 * @param fromOffset Where to start in `from`; null for a pipe or the file's own position.
 * @param toOffset The same for `to`.
 * @param flags `SPLICE_F_*`
 */
export function splice(
  from: number,
  fromOffset: bigint | null,
  to: number,
  toOffset: bigint | null,
  count: number,
  flags: number,
): number {
  const c = libc();
  const first = offsetPointer(SLOT.OFFSETS, fromOffset);
  const second = offsetPointer(SLOT.OFFSETS + 8, toOffset);
  for (;;) {
    const result = c.splice(from, first, to, second, u64(count), flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** copy_file_range(2): copy, or share extents, inside the kernel. Retried when interrupted. */
export function copyFileRange(
  from: number,
  fromOffset: bigint,
  to: number,
  toOffset: bigint,
  count: number,
): number {
  const c = libc();
  const first = offsetPointer(SLOT.OFFSETS, fromOffset);
  const second = offsetPointer(SLOT.OFFSETS + 8, toOffset);
  for (;;) {
    const result = c.copy_file_range(NR.copy_file_range, from, first, to, second, u64(count), 0);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * memfd_create(2): a file in memory.
 *
 * @param name Shown in /proc only.
 * @param flags `MFD_*`
 */
export function memfdCreate(name: string, flags: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, 250);
  if (length < 0) return length;
  return outcome(c.memfd_create(NAME, flags));
}

/** Bytes of the largest `struct file_handle`. */
const HANDLE_SIZE = 8 + 128;

/** A file's handle: what finds it again after its descriptor is closed. Reusable. */
export class FileHandle {
  /** Id of the mount the file was found on. */
  mountId = 0;
  /** Where the kernel writes: bytes[4] type[4] handle[bytes]. */
  readonly pinned: Pinned = pin(HANDLE_SIZE);

  /** Bytes of the handle proper. */
  get size(): number {
    return Math.min(this.pinned.view.getUint32(0, true), 128);
  }

  /** Kind of the handle, which its file system defines. */
  get type(): number {
    return this.pinned.view.getInt32(4, true);
  }

  /** A copy of kind and bytes, to keep a handle in less memory. */
  save(): Uint8Array<ArrayBuffer> {
    return this.pinned.bytes.slice(0, 8 + this.size);
  }

  /**
   * Take back what `save` gave.
   *
   * @throws {RangeError} If it is not that.
   */
  load(saved: Uint8Array): void {
    if (saved.length < 8 || saved.length > HANDLE_SIZE) {
      throw new RangeError(`Cannot load a file handle: it has ${saved.length} bytes`);
    }
    this.pinned.bytes.set(saved);
    this.pinned.view.setUint32(0, saved.length - 8, true);
  }
}

/**
 * name_to_handle_at(2).
 *
 * @param name A name in `dirfd`, or "" with `AT_EMPTY_PATH` for `dirfd` itself.
 * @param into Filled with the handle and its mount's id.
 * @returns 0, or minus the error: EOPNOTSUPP if the file system has no handles.
 */
export function nameToHandleAt(
  dirfd: number,
  name: string,
  into: FileHandle,
  flags: number,
): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  into.pinned.view.setUint32(0, 128, true);
  const mountId = at(SLOT.MOUNT_ID);
  const result = c.name_to_handle_at(dirfd, NAME, into.pinned.pointer, mountId, flags);
  if (result < 0) return outcome(result);
  into.mountId = arenaView.getInt32(SLOT.MOUNT_ID, true);
  return result;
}

/**
 * open_by_handle_at(2); needs CAP_DAC_READ_SEARCH.
 *
 * @param mountFd Any descriptor of the same mount, not `O_PATH`.
 * @returns A descriptor that the caller closes, or minus the error: ESTALE if the file is gone.
 */
export function openByHandleAt(mountFd: number, handle: FileHandle, flags: number): number {
  const c = libc();
  for (;;) {
    const result = c.open_by_handle_at(mountFd, handle.pinned.pointer, flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** What this kernel offers beyond the oldest one supported. */
export interface Features {
  /** `openat2`; without it every step must be a single name with `O_NOFOLLOW`. */
  readonly openat2: boolean;
  /** `fchmodat2`; without it modes are set through "/proc/self/fd". */
  readonly fchmodat2: boolean;
  /** `RESOLVE_CACHED` of `openat2`, since Linux 5.12. */
  readonly cachedLookup: boolean;
}

let known: Features | undefined;

/** Ask the kernel once what it offers; a filter that forbids a call counts as not having it. */
export function features(): Features {
  if (known !== undefined) return known;
  const c = libc();
  const opened = openat2(-100, "/", 0o10000000 | O_CLOEXEC, 0, 0);
  if (opened >= 0) close(opened);
  // An unknown flag is EINVAL where the call exists, before anything else is looked at.
  const changed = outcome(c.fchmodat2(NR.fchmodat2, -1, EMPTY, 0, 1));
  const cached = openat2(-100, "/", 0o10000000 | O_CLOEXEC, 0, RESOLVE_CACHED);
  if (cached >= 0) close(cached);
  known = {
    openat2: opened >= 0,
    fchmodat2: changed === -EINVAL,
    cachedLookup: cached >= 0 || cached === -EAGAIN,
  };
  return known;
}
