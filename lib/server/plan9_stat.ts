/**
 * Attributes in the words of 9P2000 and 9P2000.u.
 *
 * @module
 */
import type { Attributes } from "../fs/mod.ts";
import {
  type Dialect,
  DMDEVICE,
  DMDIR,
  DMNAMEDPIPE,
  DMSETGID,
  DMSETUID,
  DMSETVTX,
  DMSOCKET,
  DMSYMLINK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Stat,
} from "../p9/mod.ts";

const DM_TYPES: ReadonlyMap<number, number> = new Map([
  [S_IFDIR, DMDIR],
  [S_IFLNK, DMSYMLINK],
  [S_IFCHR, DMDEVICE],
  [S_IFBLK, DMDEVICE],
  [S_IFIFO, DMNAMEDPIPE],
  [S_IFSOCK, DMSOCKET],
]);

const SPECIAL_BITS: readonly (readonly [number, number])[] = [
  [0o4000, DMSETUID],
  [0o2000, DMSETGID],
  [0o1000, DMSETVTX],
];

/** Turns a Linux mode into one of DM bits. Plain 9P2000 knows only DMDIR of the types. */
export function toDirMode(mode: number, dialect: Dialect): number {
  let dm = mode & 0o777;
  const type = DM_TYPES.get(mode & S_IFMT) ?? 0;
  if (dialect === "9P2000") return (dm | (type === DMDIR ? DMDIR : 0)) >>> 0;
  dm |= type;
  for (const [bit, dmBit] of SPECIAL_BITS) if ((mode & bit) !== 0) dm |= dmBit;
  return dm >>> 0;
}

/** Permission bits, set-id and sticky bits of a mode of DM bits. */
export function toPermissions(dm: number, dialect: Dialect): number {
  let mode = dm & 0o777;
  if (dialect === "9P2000") return mode;
  for (const [bit, dmBit] of SPECIAL_BITS) if ((dm & dmBit) !== 0) mode |= bit;
  return mode;
}

/** Text that .u adds to a stat: target of a link, numbers of a device. */
export function extensionOf(attributes: Attributes, target: string): string {
  switch (attributes.mode & S_IFMT) {
    case S_IFLNK:
      return target;
    case S_IFCHR:
    case S_IFBLK: {
      const rdev = Number(attributes.rdev & 0xffff_ffffn);
      const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
      const letter = (attributes.mode & S_IFMT) === S_IFCHR ? "c" : "b";
      return `${letter} ${(rdev >>> 8) & 0xfff} ${minor}`;
    }
    default:
      return "";
  }
}

/** What the extension of a Tcreate of .u asks for. */
export interface SpecialFile {
  /** Type bits for mknod. */
  readonly type: number;
  /** Major number. */
  readonly major: number;
  /** Minor number. */
  readonly minor: number;
}

/** Parses `b 8 1` or `c 1 3`. Null if it is neither. */
export function parseDevice(extension: string): SpecialFile | null {
  const match = /^([bc]) (\d{1,9}) (\d{1,9})$/.exec(extension.trim());
  if (match === null) return null;
  return {
    type: match[1] === "b" ? S_IFBLK : S_IFCHR,
    major: Number(match[2]),
    minor: Number(match[3]),
  };
}

/** Type bits for a mode of DM bits of a special file, or S_IFREG. */
export function typeOfSpecial(dm: number): number {
  if ((dm & DMNAMEDPIPE) !== 0) return S_IFIFO;
  if ((dm & DMSOCKET) !== 0) return S_IFSOCK;
  return S_IFREG;
}

/** Seconds that fit in 32 bits. */
function seconds(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

/** Makes the stat record of a file. User and group names are their numbers. */
export function toStat(
  attributes: Attributes,
  name: string,
  target: string,
  dialect: Dialect,
): Stat {
  const isFolder = (attributes.mode & S_IFMT) === S_IFDIR;
  return {
    type: 0,
    dev: 0,
    qid: attributes.qid,
    mode: toDirMode(attributes.mode, dialect),
    atime: seconds(attributes.atimeSec),
    mtime: seconds(attributes.mtimeSec),
    length: isFolder ? 0n : attributes.size,
    name,
    uid: String(attributes.uid),
    gid: String(attributes.gid),
    muid: "",
    extension: extensionOf(attributes, target),
    n_uid: attributes.uid,
    n_gid: attributes.gid,
    n_muid: 0xffff_ffff,
  };
}
