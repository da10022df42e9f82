/**
 * What trees compute from `st_mode` and device numbers.
 *
 * @module
 */
import { QTDIR, QTFILE, QTSYMLINK, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT } from "../p9/mod.ts";

/** All bits that chmod sets. */
export const PERMISSIONS = 0o7777;

/** Most bytes of an extended attribute's value: Linux's `XATTR_SIZE_MAX`. */
export const XATTR_SIZE_MAX = 65_536;
/** Most bytes of an extended attribute's name. */
export const XATTR_NAME_MAX = 255;

/** "No such user" and "leave as it is": -1 as 32 bits. */
export const NO_ID = 0xffff_ffff;

/** Type bits of a qid, from `st_mode`. */
export function qidTypeOf(mode: number): number {
  const type = mode & S_IFMT;
  return type === S_IFDIR ? QTDIR : type === S_IFLNK ? QTSYMLINK : QTFILE;
}

/** `DT_*` of a folder entry, from `st_mode`: the type bits moved down. */
export function entryTypeOf(mode: number): number {
  return (mode & S_IFMT) >>> 12;
}

/** `st_mode` type bits of a `DT_*`. */
export function modeOfEntry(type: number): number {
  return (type << 12) & S_IFMT;
}

/** Device number as Linux's `new_encode_dev` packs it: 12 bits of major, 20 of minor. */
export function encodeDevice(major: number, minor: number): bigint {
  return BigInt(((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0);
}

/** True for block and character devices. */
export function hasDevice(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === S_IFBLK || type === S_IFCHR;
}
