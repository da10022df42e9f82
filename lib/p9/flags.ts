/**
 * Flags and enumerations on the wire, one table each, with a text form that is printed and parsed.
 *
 * @module
 */

/** Names with their bits, or names of the values of an enumeration. */
export type FlagTable = Readonly<Record<string, number>>;

/** Mask of the file type in a Linux mode. */
export const S_IFMT = 0o170000;
/** Mask of the access mode in OPEN_FLAGS and OPEN_MODES, which is a number and not bits. */
export const O_ACCMODE = 0o3;

/**
 * Bits of a qid's type: the high byte of the mode of 9P2000.
 *
 * @see intro(5)
 */
export const QID_TYPES = {
  /** A directory. */
  QTDIR: 0x80,
  /** Append-only. */
  QTAPPEND: 0x40,
  /** Exclusive use. */
  QTEXCL: 0x20,
  /** A mounted channel. */
  QTMOUNT: 0x10,
  /** A file of an authentication. */
  QTAUTH: 0x08,
  /** Not backed up. */
  QTTMP: 0x04,
  /** A symbolic link (9P2000.u and .L). */
  QTSYMLINK: 0x02,
  /** A hard link (9P2000.u). */
  QTLINK: 0x01,
  /** A plain file. */
  QTFILE: 0x00,
} as const;

/** A directory. See {@linkcode QID_TYPES}. */
export const QTDIR: number = QID_TYPES.QTDIR;
/** Append-only. See {@linkcode QID_TYPES}. */
export const QTAPPEND: number = QID_TYPES.QTAPPEND;
/** Exclusive use. See {@linkcode QID_TYPES}. */
export const QTEXCL: number = QID_TYPES.QTEXCL;
/** A mounted channel. See {@linkcode QID_TYPES}. */
export const QTMOUNT: number = QID_TYPES.QTMOUNT;
/** A file of an authentication. See {@linkcode QID_TYPES}. */
export const QTAUTH: number = QID_TYPES.QTAUTH;
/** Not backed up. See {@linkcode QID_TYPES}. */
export const QTTMP: number = QID_TYPES.QTTMP;
/** A symbolic link (9P2000.u and .L). See {@linkcode QID_TYPES}. */
export const QTSYMLINK: number = QID_TYPES.QTSYMLINK;
/** A hard link (9P2000.u). See {@linkcode QID_TYPES}. */
export const QTLINK: number = QID_TYPES.QTLINK;
/** A plain file. See {@linkcode QID_TYPES}. */
export const QTFILE: number = QID_TYPES.QTFILE;

/**
 * Bits of `mode` in a stat record and of `perm` in Tcreate, above the permissions.
 *
 * @see stat(5)
 */
export const DIR_MODES = {
  /** A directory. */
  DMDIR: 0x80000000,
  /** Append-only. */
  DMAPPEND: 0x40000000,
  /** Exclusive use. */
  DMEXCL: 0x20000000,
  /** A mounted channel. */
  DMMOUNT: 0x10000000,
  /** A file of an authentication. */
  DMAUTH: 0x08000000,
  /** Not backed up. */
  DMTMP: 0x04000000,
  /** A symbolic link (9P2000.u). */
  DMSYMLINK: 0x02000000,
  /** A hard link (9P2000.u). */
  DMLINK: 0x01000000,
  /** A device (9P2000.u). */
  DMDEVICE: 0x00800000,
  /** A FIFO (9P2000.u). */
  DMNAMEDPIPE: 0x00200000,
  /** A socket (9P2000.u). */
  DMSOCKET: 0x00100000,
  /** Runs as its owner (9P2000.u). */
  DMSETUID: 0x00080000,
  /** Runs as its group (9P2000.u). */
  DMSETGID: 0x00040000,
  /** Sticky (9P2000.u). */
  DMSETVTX: 0x00010000,
} as const;

/** A directory. See {@linkcode DIR_MODES}. */
export const DMDIR: number = DIR_MODES.DMDIR;
/** Append-only. See {@linkcode DIR_MODES}. */
export const DMAPPEND: number = DIR_MODES.DMAPPEND;
/** Exclusive use. See {@linkcode DIR_MODES}. */
export const DMEXCL: number = DIR_MODES.DMEXCL;
/** A mounted channel. See {@linkcode DIR_MODES}. */
export const DMMOUNT: number = DIR_MODES.DMMOUNT;
/** A file of an authentication. See {@linkcode DIR_MODES}. */
export const DMAUTH: number = DIR_MODES.DMAUTH;
/** Not backed up. See {@linkcode DIR_MODES}. */
export const DMTMP: number = DIR_MODES.DMTMP;
/** A symbolic link (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMSYMLINK: number = DIR_MODES.DMSYMLINK;
/** A hard link (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMLINK: number = DIR_MODES.DMLINK;
/** A device (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMDEVICE: number = DIR_MODES.DMDEVICE;
/** A FIFO (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMNAMEDPIPE: number = DIR_MODES.DMNAMEDPIPE;
/** A socket (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMSOCKET: number = DIR_MODES.DMSOCKET;
/** Runs as its owner (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMSETUID: number = DIR_MODES.DMSETUID;
/** Runs as its group (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMSETGID: number = DIR_MODES.DMSETGID;
/** Sticky (9P2000.u). See {@linkcode DIR_MODES}. */
export const DMSETVTX: number = DIR_MODES.DMSETVTX;

/**
 * Open modes of 9P2000, as in Topen and Tcreate. The low two bits are one field.
 *
 * @see open(5)
 */
export const OPEN_MODES = {
  /** Read. */
  OREAD: 0,
  /** Write. */
  OWRITE: 1,
  /** Read and write. */
  ORDWR: 2,
  /** Execute: read, but check execute permission. */
  OEXEC: 3,
  /** Truncate. */
  OTRUNC: 0x10,
  /** Close on exec; of no meaning to a server. */
  OCEXEC: 0x20,
  /** Remove on clunk. */
  ORCLOSE: 0x40,
} as const;

/** Read. See {@linkcode OPEN_MODES}. */
export const OREAD: number = OPEN_MODES.OREAD;
/** Write. See {@linkcode OPEN_MODES}. */
export const OWRITE: number = OPEN_MODES.OWRITE;
/** Read and write. See {@linkcode OPEN_MODES}. */
export const ORDWR: number = OPEN_MODES.ORDWR;
/** Execute: read, but check execute permission. See {@linkcode OPEN_MODES}. */
export const OEXEC: number = OPEN_MODES.OEXEC;
/** Truncate. See {@linkcode OPEN_MODES}. */
export const OTRUNC: number = OPEN_MODES.OTRUNC;
/** Close on exec; of no meaning to a server. See {@linkcode OPEN_MODES}. */
export const OCEXEC: number = OPEN_MODES.OCEXEC;
/** Remove on clunk. See {@linkcode OPEN_MODES}. */
export const ORCLOSE: number = OPEN_MODES.ORCLOSE;

/**
 * Open flags of 9P2000.L: the numbers of Linux on x86-64, on every architecture. The low two bits are one field.
 *
 * @see diod protocol.md, lopen
 */
export const OPEN_FLAGS = {
  /** Read. */
  O_RDONLY: 0o0,
  /** Write. */
  O_WRONLY: 0o1,
  /** Read and write. */
  O_RDWR: 0o2,
  /** Create if absent. */
  O_CREAT: 0o100,
  /** Fail if present. */
  O_EXCL: 0o200,
  /** Take no controlling terminal. */
  O_NOCTTY: 0o400,
  /** Truncate. */
  O_TRUNC: 0o1000,
  /** Write at the end. */
  O_APPEND: 0o2000,
  /** Do not wait. */
  O_NONBLOCK: 0o4000,
  /** Data on stable storage at each write. */
  O_DSYNC: 0o10000,
  /** Signal when ready. */
  O_FASYNC: 0o20000,
  /** Past the page cache. */
  O_DIRECT: 0o40000,
  /** Large files; of no meaning on 64 bits. */
  O_LARGEFILE: 0o100000,
  /** Fail unless a directory. */
  O_DIRECTORY: 0o200000,
  /** Fail on a symbolic link. */
  O_NOFOLLOW: 0o400000,
  /** Leave the access time. */
  O_NOATIME: 0o1000000,
  /** Close on exec. */
  O_CLOEXEC: 0o2000000,
  /** Data and metadata on stable storage at each write (the bit without O_DSYNC). */
  O_SYNC: 0o4000000,
} as const;

/** Read. See {@linkcode OPEN_FLAGS}. */
export const O_RDONLY: number = OPEN_FLAGS.O_RDONLY;
/** Write. See {@linkcode OPEN_FLAGS}. */
export const O_WRONLY: number = OPEN_FLAGS.O_WRONLY;
/** Read and write. See {@linkcode OPEN_FLAGS}. */
export const O_RDWR: number = OPEN_FLAGS.O_RDWR;
/** Create if absent. See {@linkcode OPEN_FLAGS}. */
export const O_CREAT: number = OPEN_FLAGS.O_CREAT;
/** Fail if present. See {@linkcode OPEN_FLAGS}. */
export const O_EXCL: number = OPEN_FLAGS.O_EXCL;
/** Take no controlling terminal. See {@linkcode OPEN_FLAGS}. */
export const O_NOCTTY: number = OPEN_FLAGS.O_NOCTTY;
/** Truncate. See {@linkcode OPEN_FLAGS}. */
export const O_TRUNC: number = OPEN_FLAGS.O_TRUNC;
/** Write at the end. See {@linkcode OPEN_FLAGS}. */
export const O_APPEND: number = OPEN_FLAGS.O_APPEND;
/** Do not wait. See {@linkcode OPEN_FLAGS}. */
export const O_NONBLOCK: number = OPEN_FLAGS.O_NONBLOCK;
/** Data on stable storage at each write. See {@linkcode OPEN_FLAGS}. */
export const O_DSYNC: number = OPEN_FLAGS.O_DSYNC;
/** Signal when ready. See {@linkcode OPEN_FLAGS}. */
export const O_FASYNC: number = OPEN_FLAGS.O_FASYNC;
/** Past the page cache. See {@linkcode OPEN_FLAGS}. */
export const O_DIRECT: number = OPEN_FLAGS.O_DIRECT;
/** Large files; of no meaning on 64 bits. See {@linkcode OPEN_FLAGS}. */
export const O_LARGEFILE: number = OPEN_FLAGS.O_LARGEFILE;
/** Fail unless a directory. See {@linkcode OPEN_FLAGS}. */
export const O_DIRECTORY: number = OPEN_FLAGS.O_DIRECTORY;
/** Fail on a symbolic link. See {@linkcode OPEN_FLAGS}. */
export const O_NOFOLLOW: number = OPEN_FLAGS.O_NOFOLLOW;
/** Leave the access time. See {@linkcode OPEN_FLAGS}. */
export const O_NOATIME: number = OPEN_FLAGS.O_NOATIME;
/** Close on exec. See {@linkcode OPEN_FLAGS}. */
export const O_CLOEXEC: number = OPEN_FLAGS.O_CLOEXEC;
/** Data and metadata on stable storage at each write (the bit without O_DSYNC). See {@linkcode OPEN_FLAGS}. */
export const O_SYNC: number = OPEN_FLAGS.O_SYNC;

/**
 * Which attributes: `request_mask` of Tgetattr, `valid` of Rgetattr.
 *
 * @see diod protocol.md, getattr
 */
export const GETATTR = {
  /** mode. */
  GETATTR_MODE: 0x1,
  /** nlink. */
  GETATTR_NLINK: 0x2,
  /** uid. */
  GETATTR_UID: 0x4,
  /** gid. */
  GETATTR_GID: 0x8,
  /** rdev. */
  GETATTR_RDEV: 0x10,
  /** atime. */
  GETATTR_ATIME: 0x20,
  /** mtime. */
  GETATTR_MTIME: 0x40,
  /** ctime. */
  GETATTR_CTIME: 0x80,
  /** The path of the qid. */
  GETATTR_INO: 0x100,
  /** size. */
  GETATTR_SIZE: 0x200,
  /** blocks. */
  GETATTR_BLOCKS: 0x400,
  /** btime. */
  GETATTR_BTIME: 0x800,
  /** gen. */
  GETATTR_GEN: 0x1000,
  /** data_version. */
  GETATTR_DATA_VERSION: 0x2000,
  /** What stat(2) has: all from mode to blocks. */
  GETATTR_BASIC: 0x7ff,
  /** All there are. */
  GETATTR_ALL: 0x3fff,
} as const;

/** mode. See {@linkcode GETATTR}. */
export const GETATTR_MODE: number = GETATTR.GETATTR_MODE;
/** nlink. See {@linkcode GETATTR}. */
export const GETATTR_NLINK: number = GETATTR.GETATTR_NLINK;
/** uid. See {@linkcode GETATTR}. */
export const GETATTR_UID: number = GETATTR.GETATTR_UID;
/** gid. See {@linkcode GETATTR}. */
export const GETATTR_GID: number = GETATTR.GETATTR_GID;
/** rdev. See {@linkcode GETATTR}. */
export const GETATTR_RDEV: number = GETATTR.GETATTR_RDEV;
/** atime. See {@linkcode GETATTR}. */
export const GETATTR_ATIME: number = GETATTR.GETATTR_ATIME;
/** mtime. See {@linkcode GETATTR}. */
export const GETATTR_MTIME: number = GETATTR.GETATTR_MTIME;
/** ctime. See {@linkcode GETATTR}. */
export const GETATTR_CTIME: number = GETATTR.GETATTR_CTIME;
/** The path of the qid. See {@linkcode GETATTR}. */
export const GETATTR_INO: number = GETATTR.GETATTR_INO;
/** size. See {@linkcode GETATTR}. */
export const GETATTR_SIZE: number = GETATTR.GETATTR_SIZE;
/** blocks. See {@linkcode GETATTR}. */
export const GETATTR_BLOCKS: number = GETATTR.GETATTR_BLOCKS;
/** btime. See {@linkcode GETATTR}. */
export const GETATTR_BTIME: number = GETATTR.GETATTR_BTIME;
/** gen. See {@linkcode GETATTR}. */
export const GETATTR_GEN: number = GETATTR.GETATTR_GEN;
/** data_version. See {@linkcode GETATTR}. */
export const GETATTR_DATA_VERSION: number = GETATTR.GETATTR_DATA_VERSION;
/** What stat(2) has: all from mode to blocks. See {@linkcode GETATTR}. */
export const GETATTR_BASIC: number = GETATTR.GETATTR_BASIC;
/** All there are. See {@linkcode GETATTR}. */
export const GETATTR_ALL: number = GETATTR.GETATTR_ALL;

/**
 * Which attributes to change: `valid` of Tsetattr.
 *
 * @see diod protocol.md, setattr
 */
export const SETATTR = {
  /** mode. */
  SETATTR_MODE: 0x1,
  /** uid. */
  SETATTR_UID: 0x2,
  /** gid. */
  SETATTR_GID: 0x4,
  /** size. */
  SETATTR_SIZE: 0x8,
  /** atime: to now, unless SETATTR_ATIME_SET. */
  SETATTR_ATIME: 0x10,
  /** mtime: to now, unless SETATTR_MTIME_SET. */
  SETATTR_MTIME: 0x20,
  /** ctime: to now. */
  SETATTR_CTIME: 0x40,
  /** atime: to the value sent. */
  SETATTR_ATIME_SET: 0x80,
  /** mtime: to the value sent. */
  SETATTR_MTIME_SET: 0x100,
} as const;

/** mode. See {@linkcode SETATTR}. */
export const SETATTR_MODE: number = SETATTR.SETATTR_MODE;
/** uid. See {@linkcode SETATTR}. */
export const SETATTR_UID: number = SETATTR.SETATTR_UID;
/** gid. See {@linkcode SETATTR}. */
export const SETATTR_GID: number = SETATTR.SETATTR_GID;
/** size. See {@linkcode SETATTR}. */
export const SETATTR_SIZE: number = SETATTR.SETATTR_SIZE;
/** atime: to now, unless SETATTR_ATIME_SET. See {@linkcode SETATTR}. */
export const SETATTR_ATIME: number = SETATTR.SETATTR_ATIME;
/** mtime: to now, unless SETATTR_MTIME_SET. See {@linkcode SETATTR}. */
export const SETATTR_MTIME: number = SETATTR.SETATTR_MTIME;
/** ctime: to now. See {@linkcode SETATTR}. */
export const SETATTR_CTIME: number = SETATTR.SETATTR_CTIME;
/** atime: to the value sent. See {@linkcode SETATTR}. */
export const SETATTR_ATIME_SET: number = SETATTR.SETATTR_ATIME_SET;
/** mtime: to the value sent. See {@linkcode SETATTR}. */
export const SETATTR_MTIME_SET: number = SETATTR.SETATTR_MTIME_SET;

/**
 * Type of a lock.
 *
 * @see diod protocol.md, lock
 */
export const LOCK_TYPES = {
  /** Shared. */
  LOCK_TYPE_RDLCK: 0,
  /** Exclusive. */
  LOCK_TYPE_WRLCK: 1,
  /** None: release. */
  LOCK_TYPE_UNLCK: 2,
} as const;

/** Shared. See {@linkcode LOCK_TYPES}. */
export const LOCK_TYPE_RDLCK: number = LOCK_TYPES.LOCK_TYPE_RDLCK;
/** Exclusive. See {@linkcode LOCK_TYPES}. */
export const LOCK_TYPE_WRLCK: number = LOCK_TYPES.LOCK_TYPE_WRLCK;
/** None: release. See {@linkcode LOCK_TYPES}. */
export const LOCK_TYPE_UNLCK: number = LOCK_TYPES.LOCK_TYPE_UNLCK;

/**
 * Flags of Tlock.
 *
 * @see diod protocol.md, lock
 */
export const LOCK_FLAGS = {
  /** Wait for the lock. */
  LOCK_FLAGS_BLOCK: 1,
  /** Take back a lock held before the server restarted. */
  LOCK_FLAGS_RECLAIM: 2,
} as const;

/** Wait for the lock. See {@linkcode LOCK_FLAGS}. */
export const LOCK_FLAGS_BLOCK: number = LOCK_FLAGS.LOCK_FLAGS_BLOCK;
/** Take back a lock held before the server restarted. See {@linkcode LOCK_FLAGS}. */
export const LOCK_FLAGS_RECLAIM: number = LOCK_FLAGS.LOCK_FLAGS_RECLAIM;

/**
 * Status of Rlock.
 *
 * @see diod protocol.md, lock
 */
export const LOCK_STATUS = {
  /** Granted or released. */
  LOCK_SUCCESS: 0,
  /** Another lock is in the way. */
  LOCK_BLOCKED: 1,
  /** Failed. */
  LOCK_ERROR: 2,
  /** The server is waiting for reclaims. */
  LOCK_GRACE: 3,
} as const;

/** Granted or released. See {@linkcode LOCK_STATUS}. */
export const LOCK_SUCCESS: number = LOCK_STATUS.LOCK_SUCCESS;
/** Another lock is in the way. See {@linkcode LOCK_STATUS}. */
export const LOCK_BLOCKED: number = LOCK_STATUS.LOCK_BLOCKED;
/** Failed. See {@linkcode LOCK_STATUS}. */
export const LOCK_ERROR: number = LOCK_STATUS.LOCK_ERROR;
/** The server is waiting for reclaims. See {@linkcode LOCK_STATUS}. */
export const LOCK_GRACE: number = LOCK_STATUS.LOCK_GRACE;

/**
 * Flags of Tunlinkat.
 *
 * @see diod protocol.md, unlinkat
 */
export const UNLINK_FLAGS = {
  /** Remove a directory. */
  AT_REMOVEDIR: 0x200,
} as const;

/** Remove a directory. See {@linkcode UNLINK_FLAGS}. */
export const AT_REMOVEDIR: number = UNLINK_FLAGS.AT_REMOVEDIR;

/**
 * Flags of Txattrcreate.
 *
 * @see diod protocol.md, xattrcreate
 */
export const XATTR_FLAGS = {
  /** Fail if present. */
  XATTR_CREATE: 1,
  /** Fail if absent. */
  XATTR_REPLACE: 2,
} as const;

/** Fail if present. See {@linkcode XATTR_FLAGS}. */
export const XATTR_CREATE: number = XATTR_FLAGS.XATTR_CREATE;
/** Fail if absent. See {@linkcode XATTR_FLAGS}. */
export const XATTR_REPLACE: number = XATTR_FLAGS.XATTR_REPLACE;

/**
 * File type in a Linux mode, under the mask S_IFMT.
 *
 * @see stat(2)
 */
export const FILE_TYPES = {
  /** Socket. */
  S_IFSOCK: 0o140000,
  /** Symbolic link. */
  S_IFLNK: 0o120000,
  /** Plain file. */
  S_IFREG: 0o100000,
  /** Block device. */
  S_IFBLK: 0o060000,
  /** Directory. */
  S_IFDIR: 0o040000,
  /** Character device. */
  S_IFCHR: 0o020000,
  /** FIFO. */
  S_IFIFO: 0o010000,
} as const;

/** Socket. See {@linkcode FILE_TYPES}. */
export const S_IFSOCK: number = FILE_TYPES.S_IFSOCK;
/** Symbolic link. See {@linkcode FILE_TYPES}. */
export const S_IFLNK: number = FILE_TYPES.S_IFLNK;
/** Plain file. See {@linkcode FILE_TYPES}. */
export const S_IFREG: number = FILE_TYPES.S_IFREG;
/** Block device. See {@linkcode FILE_TYPES}. */
export const S_IFBLK: number = FILE_TYPES.S_IFBLK;
/** Directory. See {@linkcode FILE_TYPES}. */
export const S_IFDIR: number = FILE_TYPES.S_IFDIR;
/** Character device. See {@linkcode FILE_TYPES}. */
export const S_IFCHR: number = FILE_TYPES.S_IFCHR;
/** FIFO. See {@linkcode FILE_TYPES}. */
export const S_IFIFO: number = FILE_TYPES.S_IFIFO;

/**
 * Type of a directory entry.
 *
 * @see getdents64(2)
 */
export const DIRENT_TYPES = {
  /** Unknown. */
  DT_UNKNOWN: 0,
  /** FIFO. */
  DT_FIFO: 1,
  /** Character device. */
  DT_CHR: 2,
  /** Directory. */
  DT_DIR: 4,
  /** Block device. */
  DT_BLK: 6,
  /** Plain file. */
  DT_REG: 8,
  /** Symbolic link. */
  DT_LNK: 10,
  /** Socket. */
  DT_SOCK: 12,
  /** Whiteout. */
  DT_WHT: 14,
} as const;

/** Unknown. See {@linkcode DIRENT_TYPES}. */
export const DT_UNKNOWN: number = DIRENT_TYPES.DT_UNKNOWN;
/** FIFO. See {@linkcode DIRENT_TYPES}. */
export const DT_FIFO: number = DIRENT_TYPES.DT_FIFO;
/** Character device. See {@linkcode DIRENT_TYPES}. */
export const DT_CHR: number = DIRENT_TYPES.DT_CHR;
/** Directory. See {@linkcode DIRENT_TYPES}. */
export const DT_DIR: number = DIRENT_TYPES.DT_DIR;
/** Block device. See {@linkcode DIRENT_TYPES}. */
export const DT_BLK: number = DIRENT_TYPES.DT_BLK;
/** Plain file. See {@linkcode DIRENT_TYPES}. */
export const DT_REG: number = DIRENT_TYPES.DT_REG;
/** Symbolic link. See {@linkcode DIRENT_TYPES}. */
export const DT_LNK: number = DIRENT_TYPES.DT_LNK;
/** Socket. See {@linkcode DIRENT_TYPES}. */
export const DT_SOCK: number = DIRENT_TYPES.DT_SOCK;
/** Whiteout. See {@linkcode DIRENT_TYPES}. */
export const DT_WHT: number = DIRENT_TYPES.DT_WHT;

/** How to print a number with a {@linkcode FlagTable}. */
export interface FlagStyle {
  /**
   * Bits that are one number, as the access mode of an open; all ones for an enumeration.
   * Default: none.
   */
  readonly field?: number;
  /** Print bits without a name in octal instead of hex. Default: false. */
  readonly octal?: boolean;
}

/**
 * Prints a number as names joined by `|`, and what has no name as a number.
 *
 * @example Open flags
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatFlags, OPEN_FLAGS } from "@virtfs/virtfs/p9";
 *
 * assert.equal(formatFlags(0o1101, OPEN_FLAGS, { field: 3 }), "O_WRONLY|O_CREAT|O_TRUNC");
 * ```
 */
export function formatFlags(
  value: number | bigint,
  table: FlagTable,
  style: FlagStyle = {},
): string {
  let rest = BigInt(value);
  const field = BigInt(style.field ?? 0);
  const names: string[] = [];
  for (const [name, bits] of Object.entries(table)) {
    const flag = BigInt(bits);
    if (field === 0n && flag === rest && flag !== 0n) return name; // as GETATTR_BASIC
    if (field !== 0n && (flag & ~field) === 0n && flag === (rest & field)) {
      names.push(name);
      rest &= ~field;
      break;
    }
  }
  for (const [name, bits] of Object.entries(table)) {
    const flag = BigInt(bits);
    const single = flag !== 0n && (flag & (flag - 1n)) === 0n && (flag & field) === 0n;
    if (single && (rest & flag) !== 0n) {
      names.push(name);
      rest &= ~flag;
    }
  }
  if (rest !== 0n) names.push(style.octal ? `0${rest.toString(8)}` : `0x${rest.toString(16)}`);
  return names.length === 0 ? "0" : names.join("|");
}

/**
 * Reads what {@linkcode formatFlags} prints: names and numbers joined by `|`.
 *
 * @throws {SyntaxError} If a part is neither a name of the table nor a number.
 */
export function parseFlags64(text: string, table: FlagTable): bigint {
  let value = 0n;
  for (const part of text.split("|")) {
    const bits = Object.hasOwn(table, part) ? table[part] : undefined;
    value |= bits === undefined ? parseNumber(part) : BigInt(bits);
  }
  return value;
}

/**
 * As {@linkcode parseFlags64}, for numbers of at most 53 bits.
 *
 * @throws {SyntaxError} If a part is neither a name of the table nor a number.
 */
export function parseFlags(text: string, table: FlagTable): number {
  return Number(parseFlags64(text, table));
}

/**
 * Reads a number as C writes it: decimal, hex after `0x`, octal after `0` or `0o`.
 *
 * @throws {SyntaxError} If the text is anything else.
 */
export function parseNumber(text: string): bigint {
  if (/^(?:0|[1-9][0-9]*|0[xX][0-9a-fA-F]+|0o[0-7]+)$/.test(text)) return BigInt(text);
  if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  throw new SyntaxError(`Cannot parse ${JSON.stringify(text)}: not a number or a known name`);
}
