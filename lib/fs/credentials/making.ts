/**
 * How mapped models make objects on the host: complete before they have their name.
 *
 * @module
 */
import {
  AT_REMOVEDIR,
  close,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  getxattrat,
  linkFd,
  mkdirat,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_TMPFILE,
  openat,
  pwrite,
  RENAME_NOREPLACE,
  renameat2,
  reopen,
  scratch,
  Statx,
  statx,
  STATX_BASIC_STATS,
  unlinkat,
} from "../../linux/mod.ts";
import {
  byteLength,
  encodeStringInto,
  O_ACCMODE,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from "../../p9/mod.ts";
import { ACL_DEFAULT } from "./seam.ts";
import type { Wanted } from "./seam.ts";
import { isLinked } from "./staging.ts";
import type { Staging } from "./staging.ts";

/** Flags that say how a file comes to be, not how it is open. */
const CREATION = O_CREAT | O_EXCL | O_NOFOLLOW | O_TRUNC;

/** What a model does about a new object. */
export interface Making {
  /** Writes down what belongs to an object that nobody sees yet. */
  describe(fd: number): number;
  /** Lets the object have its name: calls `name`, with whatever must be done around it. */
  publish(name: () => number): number;
}

/** Makes objects for one tree. */
export class Maker {
  readonly #staging: Staging;
  readonly #fileMode: number;
  readonly #folderMode: number;
  /** False once the file system has said that it makes no files without a name. */
  #hasUnnamed = true;

  /** Borrows the staging folder; the modes are those of the host's files and folders. */
  constructor(staging: Staging, fileMode: number, folderMode: number) {
    this.#staging = staging;
    this.#fileMode = fileMode;
    this.#folderMode = folderMode;
  }

  /**
   * Makes what is wanted as an entry of a folder.
   *
   * @returns A descriptor of the caller's, or minus the error.
   */
  make(parent: number, name: string, wanted: Wanted, making: Making): number {
    return (wanted.mode & S_IFMT) === S_IFDIR
      ? this.#makeFolder(parent, name, making)
      : this.#makeFile(parent, name, wanted, making);
  }

  #makeFile(parent: number, name: string, wanted: Wanted, making: Making): number {
    const isOpened = wanted.flags >= 0;
    const canWrite = isOpened && (wanted.flags & O_ACCMODE) !== O_RDONLY;
    const flags = canWrite ? wanted.flags & ~CREATION : O_RDWR | O_CLOEXEC;
    let staged = "";
    let fd = -EOPNOTSUPP;
    if (this.#hasUnnamed) {
      fd = openat(parent, ".", O_TMPFILE | flags, this.#fileMode);
      if (fd === -EOPNOTSUPP || fd === -EISDIR || fd === -EINVAL) this.#hasUnnamed = false;
    }
    if (!this.#hasUnnamed) {
      const folder = this.#staging.folder();
      if (folder < 0) return folder;
      staged = this.#staging.newName();
      fd = openat(folder, staged, flags | O_CREAT | O_EXCL | O_NOFOLLOW, this.#fileMode);
    }
    // ext4 says so of a folder that was removed.
    if (fd === -EPERM && !isLinked(parent)) return -ENOENT;
    if (fd < 0) return fd;
    let result = (wanted.mode & S_IFMT) === S_IFLNK ? writeTarget(fd, wanted.target) : 0;
    if (result >= 0) result = making.describe(fd);
    let opened = -1;
    if (result >= 0 && isOpened && !canWrite) {
      result = opened = reopen(fd, wanted.flags & ~CREATION);
    }
    if (result >= 0) result = making.publish(() => linkFd(fd, parent, name));
    if (staged !== "") unlinkat(this.#staging.folder(), staged, 0);
    if (result >= 0 && opened < 0) return fd;
    close(fd);
    if (result >= 0) return opened;
    if (opened >= 0) close(opened);
    return result;
  }

  /**
   * A folder cannot be without a name. It is made where clients do not see it and moved to its place;
   * where that cannot be done it is made in its place, which is as QEMU does it.
   */
  #makeFolder(parent: number, name: string, making: Making): number {
    const staging = inheritsOnHost(parent) ? -EXDEV : this.#staging.folder();
    if (staging >= 0) {
      const staged = this.#staging.newName();
      const fd = this.#folder(staging, staged);
      if (fd < 0) return fd;
      let result = making.describe(fd);
      if (result >= 0) {
        result = making.publish(() => renameat2(staging, staged, parent, name, RENAME_NOREPLACE));
      }
      if (result >= 0) return fd;
      close(fd);
      unlinkat(staging, staged, AT_REMOVEDIR);
      const isUnable = result === -EXDEV || result === -EINVAL || result === -ENOSYS;
      if (!isUnable) return result;
    }
    let fd = -1;
    const result = making.publish(() => {
      fd = this.#folder(parent, name);
      return fd < 0 ? fd : making.describe(fd);
    });
    if (result >= 0) return fd;
    if (fd < 0) return result;
    close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
    return result;
  }

  #folder(parent: number, name: string): number {
    const made = mkdirat(parent, name, this.#folderMode);
    if (made < 0) return made;
    const fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) unlinkat(parent, name, AT_REMOVEDIR);
    return fd;
  }
}

function writeTarget(fd: number, target: string): number {
  const size = byteLength(target);
  const { bytes, address } = scratch();
  encodeStringInto(target, bytes, 0);
  return pwrite(fd, address, size, 0n);
}

/** True if the host hands something down to new folders: then they have to be made in place. */
function inheritsOnHost(parent: number): boolean {
  const above = new Statx();
  if (statx(parent, null, 0, STATX_BASIC_STATS, above) < 0) return false;
  return (above.mode & 0o2000) !== 0 || getxattrat(parent, null, ACL_DEFAULT, 0, 0) > 0;
}
