/**
 * The model `mapped-xattr`: owner, group, mode and device number in extended attributes.
 *
 * `user.virtfs.uid`, `user.virtfs.gid` and `user.virtfs.mode` are 4 bytes, `user.virtfs.rdev` is 8,
 * little-endian, as QEMU has them.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_SYMLINK_NOFOLLOW,
  EOPNOTSUPP,
  fsetxattr,
  getxattr,
  getxattrat,
  setxattrat,
  type Statx,
  statx,
  STATX_MODE,
} from "../../linux/mod.ts";
import { hasDevice } from "../modes.ts";
import type { Making } from "./making.ts";
import type { Credentials, Place } from "./seam.ts";
import { MappedCredentials, PREFIX } from "./mapped.ts";
import type { Draft, Kept, MappedOptions } from "./mapped.ts";

const UID = `${PREFIX}uid`;
const GID = `${PREFIX}gid`;
const MODE = `${PREFIX}mode`;
const RDEV = `${PREFIX}rdev`;

const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const S_ISGID = 0o2000;

class MappedXattrCredentials extends MappedCredentials {
  override readonly name = "mapped-xattr";

  override start(root: number): number {
    const { memory } = this;
    const probe = getxattrat(root, null, MODE, memory.address, 4);
    if (probe === -EOPNOTSUPP) return probe;
    return super.start(root);
  }

  protected override load(place: Place, into: Kept): number {
    const handle = place.handle();
    into.mode = this.#read(handle, MODE);
    into.uid = this.#read(handle, UID);
    into.gid = this.#read(handle, GID);
    into.rdev = -1n;
    if (into.mode !== -1 && hasDevice(into.mode)) {
      const { memory } = this;
      if (getxattrat(handle, null, RDEV, memory.address, 8) === 8) {
        into.rdev = memory.view.getBigUint64(0, true);
      }
    }
    return 0;
  }

  /**
   * Usually one call, or two where nothing is kept: what a folder is changes with every entry, so that
   * nothing is remembered.
   */
  protected override groupOf(folder: Place): number {
    const { found } = this;
    const handle = folder.handle();
    let mode = this.#read(handle, MODE);
    if (mode === -1 && statx(handle, null, LOOK, STATX_MODE, found) >= 0) mode = found.mode;
    return mode !== -1 && (mode & S_ISGID) === 0 ? -1 : super.groupOf(folder);
  }

  /** Bits of the mode first, since all that is taken away with a new owner is in there. */
  protected override store(place: Place, { mode, uid, gid }: Kept): number {
    place.memo = null;
    const handle = place.handle();
    const oldUid = uid !== -1 && gid !== -1 ? this.#read(handle, UID) : -1;
    let result = 0;
    if (mode !== -1) result = this.#write(handle, MODE, mode);
    if (result >= 0 && uid !== -1) result = this.#write(handle, UID, uid);
    if (result >= 0 && gid !== -1) {
      result = this.#write(handle, GID, gid);
      if (result < 0 && oldUid !== -1) this.#write(handle, UID, oldUid);
    }
    return result;
  }

  protected override source(_place: Place, found: Statx): Statx {
    return found;
  }

  protected override making(_folder: Place, _name: string, draft: Draft): Making {
    return {
      describe: (fd) => this.#describe(fd, draft),
      publish: (name) => name(),
    };
  }

  /** Writes all attributes of an object that nobody sees yet. */
  #describe(fd: number, draft: Draft): number {
    const { memory } = this;
    const { address, view } = memory;
    let result = 0;
    if (draft.uid !== -1) {
      view.setUint32(0, draft.uid, true);
      result = fsetxattr(fd, UID, address, 4, 0);
    }
    if (result >= 0 && draft.gid !== -1) {
      view.setUint32(0, draft.gid, true);
      result = fsetxattr(fd, GID, address, 4, 0);
    }
    if (result >= 0) {
      view.setUint32(0, draft.mode, true);
      result = fsetxattr(fd, MODE, address, 4, 0);
    }
    if (result >= 0 && draft.rdev !== -1n) {
      view.setBigUint64(0, draft.rdev, true);
      result = fsetxattr(fd, RDEV, address, 8, 0);
    }
    return result < 0 ? result : this.storeAcls(fd, draft);
  }

  /** A number that is kept beside a file, or -1. */
  #read(handle: number, name: string): number {
    const { memory } = this;
    // Whatever has another size was not written by anybody who knows what it means.
    return getxattrat(handle, null, name, memory.address, 4) === 4
      ? memory.view.getUint32(0, true)
      : -1;
  }

  #write(handle: number, name: string, value: number): number {
    const { memory } = this;
    memory.view.setUint32(0, value, true);
    return setxattrat(handle, null, name, memory.address, 4, 0);
  }
}

/** Whether files of a folder can have extended attributes `user.*`. */
export function hasUserXattrs(path: string): boolean {
  return getxattr(path, MODE, 0, 0) !== -EOPNOTSUPP;
}

/** Makes the model `mapped-xattr`. */
export function mappedXattrCredentials(options: MappedOptions = {}): Credentials {
  return new MappedXattrCredentials(options);
}
