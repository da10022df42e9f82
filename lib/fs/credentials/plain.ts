/**
 * What models have in common under which files are on the host what they are for the client.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  chmodFd,
  close,
  EOPNOTSUPP,
  ESTALE,
  fchownat,
  geteuid,
  getxattrat,
  mkdirat,
  mknodat,
  O_CLOEXEC,
  O_CREAT,
  O_NOFOLLOW,
  O_PATH,
  openat,
  readLink,
  removexattrat,
  scratch,
  setxattrat,
  Statx,
  statx,
  STATX_BASIC_STATS,
  symlinkat,
  unlinkat,
} from "../../linux/mod.ts";
import { O_EXCL, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../p9/mod.ts";
import { NO_ID, PERMISSIONS } from "../modes.ts";
import { ACL_DEFAULT, isAcl, readXattr, SET_ID_BITS } from "./seam.ts";
import type { Credentials, Ownership, Place, Wanted } from "./seam.ts";

const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const S_ISGID = 0o2000;

/** Lists of the kind that NFS version 4 has, where a file system keeps them. */
const NFS4_ACLS: readonly string[] = ["system.nfs4_acl", "system.nfs4_dacl", "system.nfs4_sacl"];

/** A model whose files have on the host the type, owner, mode and attributes that the client sees. */
export abstract class PlainCredentials implements Credentials {
  abstract readonly name: string;
  readonly presents = false;
  readonly hidesNames = false;
  abstract readonly switches: boolean;
  /** The last look at a file. */
  protected readonly found: Statx = new Statx();
  /** What root writes keeps its bits, and bytes are written as root if the server is that. */
  readonly #isRoot: boolean = geteuid() === 0;

  enter(_uid: number, _uname: string): boolean {
    return false;
  }

  leave(): void {}

  present(_ownership: Ownership, _place: Place): void {}

  dropsSetId(uid: number): boolean {
    return this.#isRoot && uid !== 0;
  }

  hides(_name: string): boolean {
    return false;
  }

  entryType(type: number): number {
    return type;
  }

  make(folder: Place, name: string, wanted: Wanted): number {
    const type = wanted.mode & S_IFMT;
    const parent = folder.handle();
    const fd = this.#make(parent, name, type, wanted);
    if (fd < 0) return fd;
    let result = statx(fd, null, LOOK, STATX_BASIC_STATS, this.found);
    if (result >= 0) {
      const { found } = this;
      // Somebody on the host was quicker: what is there now is not what was made.
      const isMade = (found.mode & S_IFMT) === type && (type === S_IFDIR || found.nlink === 1);
      if (!isMade) {
        close(fd);
        return -ESTALE;
      }
      result = this.settle(folder, fd, wanted);
    }
    if (result >= 0) return fd;
    unlinkat(parent, name, type === S_IFDIR ? AT_REMOVEDIR : 0);
    close(fd);
    return result;
  }

  /** Makes the file without bits that would act for the wrong owner until `settle` has run. */
  #make(parent: number, name: string, type: number, wanted: Wanted): number {
    const permissions = wanted.mode & PERMISSIONS & ~SET_ID_BITS;
    if (type === S_IFREG && wanted.flags >= 0) {
      return openat(parent, name, wanted.flags | O_CREAT | O_EXCL | O_NOFOLLOW, permissions);
    }
    let made: number;
    if (type === S_IFDIR) made = mkdirat(parent, name, permissions);
    else if (type === S_IFLNK) made = symlinkat(wanted.target, parent, name);
    else made = mknodat(parent, name, type | permissions, wanted.major, wanted.minor);
    if (made < 0) return made;
    const fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) unlinkat(parent, name, type === S_IFDIR ? AT_REMOVEDIR : 0);
    return fd;
  }

  /** Gives a file that was made its owner and the rest of its mode. `found` says what it has. */
  protected abstract settle(folder: Place, fd: number, wanted: Wanted): number;

  /**
   * Group that a new file is to get, or 4294967295: not one that it has already, nor another than
   * that of a folder which hands its group down.
   */
  protected groupFor(folder: Place, wanted: Wanted): number {
    const { gid } = wanted;
    const { found } = this;
    if (gid === NO_ID || gid === found.gid) return NO_ID;
    if (this.#handsDown(folder)) return NO_ID;
    return gid;
  }

  #handsDown(folder: Place): boolean {
    const above = new Statx();
    return statx(folder.handle(), null, LOOK, STATX_BASIC_STATS, above) >= 0 &&
      (above.mode & S_ISGID) !== 0;
  }

  /**
   * Gives a new file the bits that it was not made with. The host's are kept where they come from
   * an inherited access control list, and those that a folder hands down.
   */
  protected settleMode(folder: Place, fd: number, wanted: Wanted): number {
    if ((wanted.mode & S_IFMT) === S_IFLNK) return 0;
    const { mode } = this.found;
    const missing = wanted.mode & PERMISSIONS & ~mode;
    if (missing === 0) return 0;
    const hasList = (missing & ~SET_ID_BITS) !== 0 &&
      getxattrat(folder.handle(), null, ACL_DEFAULT, 0, 0) >= 0;
    const added = hasList ? missing & SET_ID_BITS : missing;
    return added === 0 ? 0 : chmodFd(fd, mode & PERMISSIONS | added);
  }

  readlink(place: Place, _isLink: boolean): string | number {
    return readLink(place.handle(), null);
  }

  chown(place: Place, _type: number, uid: number, gid: number): number {
    return fchownat(place.handle(), null, uid, gid, AT_SYMLINK_NOFOLLOW);
  }

  chmod(place: Place, _type: number, permissions: number): number {
    return chmodFd(place.handle(), permissions);
  }

  dropSetId(place: Place): number {
    const result = statx(place.handle(), null, LOOK, STATX_BASIC_STATS, this.found);
    if (result < 0) return result;
    const left = withoutSetId(this.found.mode);
    return left === this.found.mode ? 0 : chmodFd(place.handle(), left & PERMISSIONS);
  }

  getXattr(place: Place, _type: number, name: string): number {
    if (!isPassed(name)) return -EOPNOTSUPP;
    return readXattr(place.handle(), name);
  }

  setXattr(place: Place, _type: number, name: string, size: number, flags: number): number {
    if (!isPassed(name)) return -EOPNOTSUPP;
    return setxattrat(place.handle(), null, name, scratch().address, size, flags);
  }

  removeXattr(place: Place, _type: number, name: string): number {
    if (!isPassed(name)) return -EOPNOTSUPP;
    return removexattrat(place.handle(), null, name);
  }

  listed(name: string): string | null {
    return isPassed(name) ? name : null;
  }
}

/** True for attributes that go through: those of users, and access control lists. */
function isPassed(name: string): boolean {
  return name.startsWith("user.") || isAcl(name) || NFS4_ACLS.includes(name);
}

/**
 * A mode without the bits that let a regular file act for others, as the kernel takes them away. A
 * set-group-id bit without execution by the group means something else, and stays.
 */
export function withoutSetId(mode: number): number {
  if ((mode & S_IFMT) !== S_IFREG) return mode;
  const left = mode & ~0o4000;
  return (left & 0o2010) === 0o2010 ? left & ~0o2000 : left;
}
