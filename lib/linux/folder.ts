/** Folders: their entries, and calls that make, move and remove names. */

import { AT_FDCWD, AT_SYMLINK_FOLLOW, EINVAL, PATH_MAX } from "./constants.ts";
import {
  arena,
  arenaAddress,
  at,
  EMPTY,
  libc,
  NAME,
  NR,
  OTHER,
  outcome,
  PROC,
  SLOT,
  u64,
  u64b,
} from "./libc.ts";
import { decodeName, putName, putProc } from "./names.ts";

/**
 * Read directory entries into memory, for a {@linkcode DirentCursor}.
 *
 * @param address Where to.
 * @param size Bytes there.
 * @returns Bytes filled, 0 at the end of the folder, or minus the error: EINVAL if not even one
 * entry fits.
 */
export function getdents64(fd: number, address: number, size: number): number {
  return outcome(libc().getdents64(NR.getdents64, fd, u64(address), u64b(size)));
}

/**
 * Goes over the entries that `getdents64` gave, in place.
 *
 * `struct linux_dirent64`: ino[8] off[8] reclen[2] type[1] name… NUL
 */
export class DirentCursor {
  /** The memory, for numbers. */
  readonly view: DataView;
  /** The memory, as bytes. */
  readonly bytes: Uint8Array;
  #start = 0;
  #next = 0;
  #end = 0;
  /** Kind of file, `DT_*`. */
  type = 0;
  /** Where the name starts in the bytes. */
  nameStart = 0;
  /** Where it ends, without its NUL. */
  nameEnd = 0;

  /**
   * Look at memory.
   *
   * @param bytes What `getdents64` fills, from its first byte on; borrowed for the cursor's life.
   */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Start over.
   *
   * @param filled What `getdents64` returned.
   */
  reset(filled: number): void {
    this.#next = 0;
    this.#end = Math.min(filled, this.bytes.length);
  }

  /** Go to the next entry; false if there is none. "." and ".." are entries too. */
  next(): boolean {
    const start = this.#next;
    if (start + 19 > this.#end) return false;
    const size = this.view.getUint16(start + 16, true);
    if (size < 20 || start + size > this.#end) return false;
    this.#start = start;
    this.#next = start + size;
    this.type = this.view.getUint8(start + 18);
    this.nameStart = start + 19;
    // Records are padded to 8 bytes, so the NUL is among the last 8.
    let end = Math.max(start + 19, start + size - 8);
    const bytes = this.bytes;
    while (end < start + size && bytes[end] !== 0) end++;
    this.nameEnd = end;
    return true;
  }

  /** Where the next entry is in the bytes. */
  get position(): number {
    return this.#next;
  }

  /** Go on from another entry, which starts at `position`. */
  skipTo(position: number): void {
    this.#next = position;
  }

  /** Where the entries end. */
  get end(): number {
    return this.#end;
  }

  /** Inode number. */
  get ino(): bigint {
    return this.view.getBigUint64(this.#start, true);
  }

  /** Offset of the entry after this one, for `seekTo`. */
  get off(): bigint {
    return this.view.getBigUint64(this.#start + 8, true);
  }

  /** The name, decoded. */
  get name(): string {
    return decodeName(this.bytes, this.nameStart, this.nameEnd);
  }

  /** Whether the entry is "." or "..". */
  get isDots(): boolean {
    const size = this.nameEnd - this.nameStart;
    return size <= 2 && this.bytes[this.nameStart] === 0x2e &&
      (size === 1 || this.bytes[this.nameStart + 1] === 0x2e);
  }
}

/** mkdirat(2) */
export function mkdirat(dirfd: number, name: string, mode: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.mkdirat(dirfd, NAME, mode));
}

/** A device number as libc and the kernel's stat have it. */
export function makedev(major: number, minor: number): bigint {
  const low = BigInt((minor & 0xff) | (major & 0xfff) << 8);
  return low | BigInt((minor & ~0xff) >>> 0) << 12n |
    BigInt(major >>> 12) << 44n;
}

/**
 * mknodat(2).
 *
 * @param mode Type and permissions.
 * @param major Major number, of a device file; else 0.
 * @param minor Minor number, of a device file; else 0.
 */
export function mknodat(
  dirfd: number,
  name: string,
  mode: number,
  major: number,
  minor: number,
): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.mknodat(dirfd, NAME, mode, makedev(major, minor)));
}

/**
 * symlinkat(2)
 *
 * @param target What the link says, at most 4095 bytes.
 */
export function symlinkat(target: string, dirfd: number, name: string): number {
  const c = libc();
  const length = putName(target, SLOT.OTHER, PATH_MAX);
  if (length < 0) return length;
  const rest = putName(name, SLOT.NAME, PATH_MAX);
  if (rest < 0) return rest;
  return outcome(c.symlinkat(OTHER, dirfd, NAME));
}

/**
 * linkat(2)
 *
 * @param flags `AT_SYMLINK_FOLLOW`, `AT_EMPTY_PATH` (needs CAP_DAC_READ_SEARCH)
 */
export function linkat(
  fromDirfd: number,
  from: string,
  toDirfd: number,
  to: string,
  flags: number,
): number {
  const c = libc();
  const length = putName(from, SLOT.OTHER, PATH_MAX);
  if (length < 0) return length;
  const rest = putName(to, SLOT.NAME, PATH_MAX);
  if (rest < 0) return rest;
  return outcome(c.linkat(fromDirfd, OTHER, toDirfd, NAME, flags));
}

/**
 * Give what a descriptor (`O_PATH` too, symbolic links too) refers to another name, by way of
 * "/proc/self/fd", which needs no capability; ENOENT if its last name is gone, unless `O_TMPFILE`
 * made it.
 */
export function linkFd(fd: number, toDirfd: number, to: string): number {
  const c = libc();
  const length = putName(to, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  putProc(fd);
  return outcome(c.linkat(AT_FDCWD, PROC, toDirfd, NAME, AT_SYMLINK_FOLLOW));
}

/** renameat(2) */
export function renameat(fromDirfd: number, from: string, toDirfd: number, to: string): number {
  const c = libc();
  const length = putName(from, SLOT.OTHER, PATH_MAX);
  if (length < 0) return length;
  const rest = putName(to, SLOT.NAME, PATH_MAX);
  if (rest < 0) return rest;
  return outcome(c.renameat(fromDirfd, OTHER, toDirfd, NAME));
}

/**
 * renameat2(2)
 *
 * @param flags `RENAME_*`; EINVAL if the file system does not know them.
 */
export function renameat2(
  fromDirfd: number,
  from: string,
  toDirfd: number,
  to: string,
  flags: number,
): number {
  const c = libc();
  const length = putName(from, SLOT.OTHER, PATH_MAX);
  if (length < 0) return length;
  const rest = putName(to, SLOT.NAME, PATH_MAX);
  if (rest < 0) return rest;
  return outcome(c.renameat2(NR.renameat2, fromDirfd, OTHER, toDirfd, NAME, flags));
}

/**
 * unlinkat(2)
 *
 * @param flags `AT_REMOVEDIR` for a folder.
 */
export function unlinkat(dirfd: number, name: string, flags: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.unlinkat(dirfd, NAME, flags));
}

/** unlink(2) by path. */
export function unlink(path: string): number {
  return unlinkat(AT_FDCWD, path, 0);
}

/**
 * readlinkat(2) to an address.
 *
 * @param name A link in `dirfd`; null for `dirfd` itself, opened with `O_PATH | O_NOFOLLOW`.
 * @returns The target's length in bytes, cut to `size`; or minus the error.
 */
export function readlinkat(
  dirfd: number,
  name: string | null,
  address: number,
  size: number,
): number {
  const c = libc();
  if (name === null) return outcome(c.readlinkat(dirfd, EMPTY, u64(address), u64b(size)));
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.readlinkat(dirfd, NAME, u64(address), u64b(size)));
}

/** The target of a symbolic link, decoded, or minus the error; parameters as `readlinkat`. */
export function readLink(dirfd: number, name: string | null): string | number {
  libc();
  const size = readlinkat(dirfd, name, arenaAddress + SLOT.SCRATCH, PATH_MAX);
  return size < 0 ? size : decodeName(arena, SLOT.SCRATCH, SLOT.SCRATCH + size);
}

/** Where a descriptor was opened, as "/proc/self/fd" tells it, or minus the error. */
export function pathOf(fd: number): string | number {
  const c = libc();
  if (fd < 0) return -EINVAL;
  putProc(fd);
  const size = outcome(c.readlinkat(AT_FDCWD, PROC, at(SLOT.SCRATCH), 4096n));
  return size < 0 ? size : decodeName(arena, SLOT.SCRATCH, SLOT.SCRATCH + size);
}
