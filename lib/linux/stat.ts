/** What files are: attributes, file systems, and how to change the former. */

import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, PATH_MAX } from "./constants.ts";
import {
  arenaView,
  EMPTY,
  libc,
  NAME,
  NR,
  outcome,
  pin,
  type Pinned,
  PROC,
  SLOT,
  TIMES,
} from "./libc.ts";
import { putName, putProc } from "./names.ts";

/** Bytes of `struct statx`. */
const STATX_BYTES = 256;

/**
 * What statx answers. The kernel fills it, and the properties decode on demand, so that a call makes
 * no garbage; it holds until the next call into it.
 *
 * `struct statx`: mask[4] blksize[4] attributes[8] nlink[4] uid[4] gid[4] mode[2] pad[2] ino[8]
 * size[8] blocks[8] attributes_mask[8] atime[16] btime[16] ctime[16] mtime[16] rdev_major[4]
 * rdev_minor[4] dev_major[4] dev_minor[4] mnt_id[8] dio_mem_align[4] dio_offset_align[4] …
 *
 * @see statx(2)
 */
export class Statx {
  /** Where the kernel writes. */
  readonly pointer: bigint;
  readonly #view: DataView;

  /** Make an empty one. */
  constructor() {
    const pinned: Pinned = pin(STATX_BYTES);
    this.pointer = pinned.pointer;
    this.#view = pinned.view;
  }

  /** Takes over what another one was filled with. */
  copy(from: Statx): void {
    for (let at = 0; at < STATX_BYTES; at += 8) {
      this.#view.setBigUint64(at, from.#view.getBigUint64(at, true), true);
    }
  }

  /** Which fields are valid, as `STATX_*` bits. */
  get mask(): number {
    return this.#view.getUint32(0, true);
  }
  /** Block size good for I/O, bytes. */
  get blksize(): number {
    return this.#view.getUint32(4, true);
  }
  /** `STATX_ATTR_*` bits. */
  get attributes(): bigint {
    return this.#view.getBigUint64(8, true);
  }
  /** Number of links. */
  get nlink(): number {
    return this.#view.getUint32(16, true);
  }
  /** Owner. */
  get uid(): number {
    return this.#view.getUint32(20, true);
  }
  /** Group. */
  get gid(): number {
    return this.#view.getUint32(24, true);
  }
  /** Type and permissions. */
  get mode(): number {
    return this.#view.getUint16(28, true);
  }
  /** Inode number. */
  get ino(): bigint {
    return this.#view.getBigUint64(32, true);
  }
  /** Bytes. */
  get size(): bigint {
    return this.#view.getBigUint64(40, true);
  }
  /** Blocks of 512 bytes in use. */
  get blocks(): bigint {
    return this.#view.getBigUint64(48, true);
  }
  /** Which `attributes` bits the file system knows. */
  get attributesMask(): bigint {
    return this.#view.getBigUint64(56, true);
  }
  /** Last access, seconds since 1970; may be negative. */
  get atimeSec(): bigint {
    return this.#view.getBigInt64(64, true);
  }
  /** Its nanoseconds. */
  get atimeNsec(): number {
    return this.#view.getUint32(72, true);
  }
  /** Birth, seconds; 0 unless the mask says `STATX_BTIME`. */
  get btimeSec(): bigint {
    return this.#view.getBigInt64(80, true);
  }
  /** Its nanoseconds. */
  get btimeNsec(): number {
    return this.#view.getUint32(88, true);
  }
  /** Last change of the inode, seconds. */
  get ctimeSec(): bigint {
    return this.#view.getBigInt64(96, true);
  }
  /** Its nanoseconds. */
  get ctimeNsec(): number {
    return this.#view.getUint32(104, true);
  }
  /** Last change of the contents, seconds. */
  get mtimeSec(): bigint {
    return this.#view.getBigInt64(112, true);
  }
  /** Its nanoseconds. */
  get mtimeNsec(): number {
    return this.#view.getUint32(120, true);
  }
  /** Major number, of a device file. */
  get rdevMajor(): number {
    return this.#view.getUint32(128, true);
  }
  /** Minor number, of a device file. */
  get rdevMinor(): number {
    return this.#view.getUint32(132, true);
  }
  /** Major number of the device the file is on. */
  get devMajor(): number {
    return this.#view.getUint32(136, true);
  }
  /** Minor number of the device the file is on. */
  get devMinor(): number {
    return this.#view.getUint32(140, true);
  }
  /** Mount; valid if the mask says `STATX_MNT_ID` or `STATX_MNT_ID_UNIQUE`. */
  get mntId(): bigint {
    return this.#view.getBigUint64(144, true);
  }
}

/**
 * statx(2).
 *
 * @param name A name in `dirfd`; null for `dirfd` itself, `O_PATH` or not.
 * @param flags `AT_*`; `AT_EMPTY_PATH` is added for null.
 * @param mask `STATX_*` wanted.
 * @param into Filled by the kernel.
 * @returns 0, or minus the error.
 */
export function statx(
  dirfd: number,
  name: string | null,
  flags: number,
  mask: number,
  into: Statx,
): number {
  const c = libc();
  if (name === null) {
    return outcome(c.statx(NR.statx, dirfd, EMPTY, flags | AT_EMPTY_PATH, mask, into.pointer));
  }
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.statx(NR.statx, dirfd, NAME, flags, mask, into.pointer));
}

/**
 * What fstatfs answers, decoded on demand as {@linkcode Statx}.
 *
 * `struct statfs`: type[8] bsize[8] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8]
 * namelen[8] frsize[8] flags[8], the same on x86-64 and aarch64.
 */
export class Statfs {
  /** Where the kernel writes. */
  readonly pointer: bigint;
  readonly #view: DataView;

  /** Make an empty one. */
  constructor() {
    const pinned: Pinned = pin(128);
    this.pointer = pinned.pointer;
    this.#view = pinned.view;
  }

  /** Kind of the file system, as `*_MAGIC`. */
  get type(): number {
    return this.#view.getUint32(0, true);
  }
  /** Block size good for I/O, bytes. */
  get bsize(): number {
    return this.#view.getUint32(8, true);
  }
  /** Blocks in all. */
  get blocks(): bigint {
    return this.#view.getBigUint64(16, true);
  }
  /** Blocks free. */
  get bfree(): bigint {
    return this.#view.getBigUint64(24, true);
  }
  /** Blocks free to users without privileges. */
  get bavail(): bigint {
    return this.#view.getBigUint64(32, true);
  }
  /** Inodes in all. */
  get files(): bigint {
    return this.#view.getBigUint64(40, true);
  }
  /** Inodes free. */
  get ffree(): bigint {
    return this.#view.getBigUint64(48, true);
  }
  /** Id of the file system. */
  get fsid(): bigint {
    return this.#view.getBigUint64(56, true);
  }
  /** Longest file name, bytes. */
  get namelen(): number {
    return this.#view.getUint32(64, true);
  }
  /** Unit of the block counts, bytes. */
  get frsize(): number {
    return this.#view.getUint32(72, true);
  }
  /** Mount flags, `ST_*`. */
  get flags(): number {
    return this.#view.getUint32(80, true);
  }
}

/** fstatfs(2), also of an `O_PATH` descriptor: 0, or minus the error. */
export function fstatfs(fd: number, into: Statfs): number {
  return outcome(libc().fstatfs(fd, into.pointer));
}

/** fchmod(2); EBADF for `O_PATH`. */
export function fchmod(fd: number, mode: number): number {
  return outcome(libc().fchmod(fd, mode));
}

/** chmod(2) of what a descriptor (`O_PATH` too) refers to; EOPNOTSUPP for a symbolic link. */
export function chmodFd(fd: number, mode: number): number {
  const c = libc();
  putProc(fd);
  return outcome(c.chmod(PROC, mode));
}

/** chmod(2) by path, which follows symbolic links. */
export function chmod(path: string, mode: number): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.chmod(NAME, mode));
}

/** fchmodat(2), which follows a symbolic link at the end. */
export function fchmodat(dirfd: number, name: string, mode: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.fchmodat(dirfd, NAME, mode, 0));
}

/**
 * fchmodat2(2), as the kernel has it since Linux 6.6; ENOSYS before, see {@linkcode features}.
 *
 * @param name A name in `dirfd`, or "" with `AT_EMPTY_PATH`.
 * @param flags `AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH`
 */
export function fchmodat2(dirfd: number, name: string, mode: number, flags: number): number {
  const c = libc();
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.fchmodat2(NR.fchmodat2, dirfd, NAME, mode, flags));
}

/** fchown(2); an id of 0xffffffff stays as it is. EBADF for `O_PATH`. */
export function fchown(fd: number, uid: number, gid: number): number {
  return outcome(libc().fchown(fd, uid, gid));
}

/**
 * fchownat(2); an id of 0xffffffff stays as it is.
 *
 * @param name A name in `dirfd`; null for `dirfd` itself, `O_PATH` or not.
 * @param flags `AT_SYMLINK_NOFOLLOW`; `AT_EMPTY_PATH` is added for null.
 */
export function fchownat(
  dirfd: number,
  name: string | null,
  uid: number,
  gid: number,
  flags: number,
): number {
  const c = libc();
  if (name === null) return outcome(c.fchownat(dirfd, EMPTY, uid, gid, flags | AT_EMPTY_PATH));
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.fchownat(dirfd, NAME, uid, gid, flags));
}

/** chown(2) by path, which does not follow a symbolic link at the end. */
export function lchown(path: string, uid: number, gid: number): number {
  return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

/**
 * utimensat(2).
 *
 * @param name A name in `dirfd`; null for `dirfd` itself, `O_PATH` or not (Linux 5.8).
 * @param atimeSec Access time, seconds since 1970.
 * @param atimeNsec Its nanoseconds, or `UTIME_NOW` or `UTIME_OMIT`.
 * @param mtimeSec The same for the last change.
 * @param mtimeNsec The same for the last change.
 * @param flags `AT_SYMLINK_NOFOLLOW`; `AT_EMPTY_PATH` is added for null.
 */
export function utimensat(
  dirfd: number,
  name: string | null,
  atimeSec: bigint,
  atimeNsec: number,
  mtimeSec: bigint,
  mtimeNsec: number,
  flags: number,
): number {
  const c = libc();
  // The kernel reads 64 bits; the high halves of the nanoseconds are never written, so they stay 0.
  arenaView.setBigInt64(SLOT.TIMES, atimeSec, true);
  arenaView.setUint32(SLOT.TIMES + 8, atimeNsec, true);
  arenaView.setBigInt64(SLOT.TIMES + 16, mtimeSec, true);
  arenaView.setUint32(SLOT.TIMES + 24, mtimeNsec, true);
  if (name === null) return outcome(c.utimensat(dirfd, EMPTY, TIMES, flags | AT_EMPTY_PATH));
  const length = putName(name, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.utimensat(dirfd, NAME, TIMES, flags));
}

/**
 * access(2) of what a descriptor (`O_PATH` too) refers to, with the real ids.
 *
 * @param mode 4 read, 2 write, 1 execute, added up; 0 exists.
 */
export function accessFd(fd: number, mode: number): number {
  const c = libc();
  putProc(fd);
  return outcome(c.faccessat(AT_FDCWD, PROC, mode, 0));
}
