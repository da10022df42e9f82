/**
 * What the mapped models have in common: on the host there are regular files and folders of the
 * server's own user and nothing else, and what a client makes of them is kept beside them.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_SYMLINK_NOFOLLOW,
  close,
  EACCES,
  EINVAL,
  ENODATA,
  EOPNOTSUPP,
  EPERM,
  fchownat,
  fstatfs,
  MappedMemory,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  pread,
  readLink,
  removexattrat,
  reopen,
  scratch,
  setxattrat,
  Statfs,
  Statx,
  statx,
  STATX_BASIC_STATS,
  STATX_TYPE,
} from "../../linux/mod.ts";
import {
  decodeString,
  DT_REG,
  DT_UNKNOWN,
  O_RDONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../p9/mod.ts";
import { encodeDevice, hasDevice, NO_ID, PERMISSIONS } from "../modes.ts";
import type { Acl } from "./acl.ts";
import { chmodAcl, decodeAcl, encodeAclInto, inheritAcl, modeOfAcl } from "./acl.ts";
import { withoutSetId } from "./plain.ts";
import { ACL_ACCESS, ACL_DEFAULT, isAcl, readXattr } from "./seam.ts";
import type { Credentials, Memo, Ownership, Place, Wanted } from "./seam.ts";
import { Maker } from "./making.ts";
import type { Making } from "./making.ts";
import { Staging, STAGING_NAME } from "./staging.ts";

/** What keeps a client's attributes apart from those of the host, in names of extended attributes. */
export const PREFIX = "user.virtfs.";
const KEPT_ACL_ACCESS = PREFIX + ACL_ACCESS;
const KEPT_ACL_DEFAULT = PREFIX + ACL_DEFAULT;

const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const S_ISGID = 0o2000;
/** Longest target of a symbolic link, bytes. */
const MAX_TARGET = 4095;

/**
 * File systems whose changes of an inode all show in its time of last change, by magic number: ext2
 * to ext4, XFS, btrfs and tmpfs.
 */
const LOCAL: ReadonlySet<number> = new Set([0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994]);
/**
 * A time of last change may stand for later changes so long: a tick of the slowest clock, twice. From
 * Linux 6.13 on, the file systems above give every change a time of its own if somebody has looked
 * at the last one, as we always have.
 */
const TICK_MS = 25;
/** The same where times are whole seconds. */
const SECOND_MS = 2100;
/** Memos kept for files that nobody holds. */
const MAX_MEMOS = 16_384;

/** Permission bits of the host's files, and what else can be said about a mapped model. */
export interface MappedOptions {
  /** Permission bits of files on the host. Default 0600; must have these two. */
  readonly fileMode?: number;
  /** Permission bits of folders on the host. Default 0700; must have these three. */
  readonly folderMode?: number;
  /** Leave the export as it is. */
  readonly readOnly?: boolean;
}

/** What is kept beside a file; -1 (and -1n) for what is not. */
export interface Kept {
  /** Type and permission bits. */
  mode: number;
  /** Owner. */
  uid: number;
  /** Group. */
  gid: number;
  /** Device number. */
  rdev: bigint;
}

/** Attributes of a file that is about to be made. */
export interface Draft extends Kept {
  /** List of the file itself. */
  access: Acl | null;
  /** List that its entries are to inherit. */
  inherited: Acl | null;
}

/** A model that keeps owner, group, mode and device number beside files. */
export abstract class MappedCredentials implements Credentials {
  abstract readonly name: string;
  readonly presents = true;
  readonly hidesNames = true;
  readonly switches = false;
  readonly #fileMode: number;
  readonly #folderMode: number;
  /** The last look at a file. */
  protected readonly found: Statx = new Statx();
  readonly #kept: Kept = { mode: -1, uid: -1, gid: -1, rdev: -1n };
  readonly #now: Ownership = { mode: 0, uid: 0, gid: 0, rdev: 0n };
  readonly #isReadOnly: boolean;
  /** What was read of late, by the number of the inode that it was read from. */
  readonly #memos: Map<bigint, Memo> = new Map();
  #rootMajor = 0;
  #rootMinor = 0;
  #isLocal = false;
  #tickMs = TICK_MS;
  #memory: MappedMemory | null = null;
  #staging: Staging | null = null;
  #making: Maker | null = null;

  constructor({ fileMode = 0o600, folderMode = 0o700, readOnly = false }: MappedOptions) {
    if ((fileMode & ~0o777) !== 0 || (fileMode & 0o600) !== 0o600) {
      throw new RangeError(`Cannot make files with mode 0${fileMode.toString(8)}: 0600 is needed`);
    }
    if ((folderMode & ~0o777) !== 0 || (folderMode & 0o700) !== 0o700) {
      throw new RangeError(
        `Cannot make folders with mode 0${folderMode.toString(8)}: 0700 is needed`,
      );
    }
    this.#fileMode = fileMode;
    this.#folderMode = folderMode;
    this.#isReadOnly = readOnly;
  }

  /**
   * What changes whenever something kept beside a file does.
   *
   * @param found The file itself, as it was just looked at.
   * @returns Null if nothing is kept, or nobody can say where.
   */
  protected abstract source(place: Place, found: Statx): Statx | null;
  /** Fills `into` with what is kept beside a regular file or folder of the host. */
  protected abstract load(place: Place, into: Kept): number;
  /** Keeps what is not -1, in an order that is safe to stop anywhere. `found` has seen the file. */
  protected abstract store(place: Place, changes: Kept): number;
  /** What is to be done about a new object. */
  protected abstract making(folder: Place, name: string, draft: Draft): Making;

  start(root: number): number {
    const { found } = this;
    const result = statx(root, null, LOOK, STATX_BASIC_STATS, found);
    if (result < 0) return result;
    this.#rootMajor = found.devMajor;
    this.#rootMinor = found.devMinor;
    const system = new Statfs();
    this.#isLocal = fstatfs(root, system) >= 0 && LOCAL.has(system.type);
    if (hasDistinctTimes(Deno.osRelease())) this.#tickMs = 0;
    this.#staging = new Staging(root);
    this.#making = new Maker(this.#staging, this.#fileMode, this.#folderMode);
    if (!this.#isReadOnly) this.#staging.sweep((intent) => this.recover(root, intent));
    return 0;
  }

  close(): void {
    this.#staging?.close();
    this.#staging = this.#making = null;
    this.#memory?.[Symbol.dispose]();
    this.#memory = null;
  }

  /** Finishes or undoes what a server that was killed had begun. */
  protected recover(_root: number, _intent: string): void {}

  /** Memory for small values, which calls from here on may change. */
  protected get memory(): MappedMemory {
    return this.#memory ??= MappedMemory.anonymous(4096);
  }

  /** Where objects are made that need a name from the start. */
  protected get staging(): Staging {
    if (this.#staging === null) throw new RangeError("Cannot make files: the tree is closed");
    return this.#staging;
  }

  get #maker(): Maker {
    if (this.#making === null) throw new RangeError("Cannot make files: the tree is closed");
    return this.#making;
  }

  enter(_uid: number, _uname: string): boolean {
    return false;
  }

  leave(): void {}

  present(ownership: Ownership, place: Place, found: Statx): void {
    const hostType = ownership.mode & S_IFMT;
    // The host's own links and special files have nothing beside them, and are what they are.
    if (hostType !== S_IFREG && hostType !== S_IFDIR) return;
    const source = this.source(place, found);
    // A client that walks to the same file again and again makes a new node each time.
    if (place.memo === null && source !== null) place.memo = this.#memos.get(source.ino) ?? null;
    const { memo } = place;
    if (memo !== null && (source === null || isSame(memo, source))) {
      ownership.mode = memo.mode;
      ownership.uid = memo.uid;
      ownership.gid = memo.gid;
      ownership.rdev = memo.rdev;
      return;
    }
    if (source === null) return;
    // Before it is read: what changes afterwards must get another time.
    const isSettled = this.#isSettled(source);
    const { ctimeSec, ctimeNsec, ino } = source;
    const kept = this.#kept;
    if (this.load(place, kept) < 0) return;
    if (kept.uid !== -1) ownership.uid = kept.uid;
    if (kept.gid !== -1) ownership.gid = kept.gid;
    if (kept.mode !== -1) {
      ownership.mode = typeFor(hostType, kept.mode) | kept.mode & PERMISSIONS;
      if (hasDevice(ownership.mode) && kept.rdev !== -1n) ownership.rdev = kept.rdev;
    }
    const { mode, uid, gid, rdev } = ownership;
    place.memo = { mode, uid, gid, rdev, ctimeSec, ctimeNsec, ino, isSettled };
    if (!isSettled) return;
    if (this.#memos.size >= MAX_MEMOS) this.#memos.clear();
    this.#memos.set(ino, place.memo);
  }

  dropsSetId(uid: number): boolean {
    return uid !== 0;
  }

  hides(name: string): boolean {
    return name === STAGING_NAME;
  }

  hiddenFolders(folder: Place, isRoot: boolean): number {
    if (!isRoot) return 0;
    return statx(folder.handle(), STAGING_NAME, LOOK, STATX_TYPE, this.found) >= 0 ? 1 : 0;
  }

  /** A folder is one, and so is a link; what is a regular file here may be anything there. */
  entryType(type: number): number {
    return type === DT_REG ? DT_UNKNOWN : type;
  }

  make(folder: Place, name: string, wanted: Wanted): number {
    const type = wanted.mode & S_IFMT;
    const draft: Draft = {
      mode: wanted.mode & (S_IFMT | PERMISSIONS),
      uid: wanted.uid === NO_ID ? -1 : wanted.uid,
      gid: wanted.gid === NO_ID ? -1 : wanted.gid,
      // As QEMU: of everything that mknod(2) makes.
      rdev: type === S_IFDIR || type === S_IFLNK || wanted.flags >= 0
        ? -1n
        : encodeDevice(wanted.major, wanted.minor),
      access: null,
      inherited: null,
    };
    const group = this.groupOf(folder);
    if (group < -1) return group;
    if (group >= 0) {
      draft.gid = group;
      if (type === S_IFDIR) draft.mode |= S_ISGID;
    }
    if (type !== S_IFLNK) {
      const list = this.#readAcl(folder, KEPT_ACL_DEFAULT);
      if (list !== null) {
        const { access, permissions } = inheritAcl(list, draft.mode);
        draft.access = access;
        draft.mode = draft.mode & ~0o777 | permissions;
        if (type === S_IFDIR) draft.inherited = list;
      }
    }
    return this.#maker.make(folder.handle(), name, wanted, this.making(folder, name, draft));
  }

  /** Group that a folder hands down, -1 if it does not; or minus an error other than EPERM. */
  protected groupOf(folder: Place): number {
    const result = this.look(folder);
    if (result < 0) return result === -EPERM ? -EACCES : result;
    return (this.#now.mode & S_ISGID) === 0 ? -1 : this.#now.gid;
  }

  /** Sets lists of access control of an object that nobody sees yet. */
  protected storeAcls(fd: number, { access, inherited }: Draft): number {
    if (access === null && inherited === null) return 0;
    const place: Place = { handle: () => fd, folderHandle: () => fd, name: "", memo: null };
    let result = 0;
    if (access !== null) result = this.#writeAcl(place, KEPT_ACL_ACCESS, access);
    if (result >= 0 && inherited !== null) {
      result = this.#writeAcl(place, KEPT_ACL_DEFAULT, inherited);
    }
    return result;
  }

  readlink(place: Place, isLink: boolean): string | number {
    if (isLink) return readLink(place.handle(), null);
    const fd = reopen(place.handle(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return fd;
    const { bytes, address } = scratch();
    const size = pread(fd, address, MAX_TARGET, 0n);
    close(fd);
    if (size < 0) return size;
    const nul = bytes.subarray(0, size).indexOf(0);
    return decodeString(bytes, 0, nul < 0 ? size : nul);
  }

  chown(place: Place, _type: number, uid: number, gid: number): number {
    if (uid === NO_ID && gid === NO_ID) {
      return fchownat(place.handle(), null, NO_ID, NO_ID, AT_SYMLINK_NOFOLLOW);
    }
    const result = this.look(place);
    if (result < 0) return result;
    if (!this.#canKeep()) return -EPERM;
    const { mode } = this.#now;
    const left = withoutSetId(mode);
    return this.store(place, {
      mode: left === mode ? -1 : left,
      uid: uid === NO_ID ? -1 : uid,
      gid: gid === NO_ID ? -1 : gid,
      rdev: -1n,
    });
  }

  chmod(place: Place, type: number, permissions: number): number {
    const result = this.look(place);
    if (result < 0) return result;
    if (!this.#canKeep()) return -EPERM;
    const list = this.#readAcl(place, KEPT_ACL_ACCESS);
    if (list !== null) {
      const written = this.#writeAcl(place, KEPT_ACL_ACCESS, chmodAcl(list, permissions));
      if (written < 0) return written;
    }
    return this.#keepMode(place, type | permissions & PERMISSIONS);
  }

  dropSetId(place: Place): number {
    const result = this.look(place);
    if (result < 0) return result;
    const { mode } = this.#now;
    const left = withoutSetId(mode);
    if (left === mode) return 0;
    return this.#canKeep() ? this.#keepMode(place, left) : -EPERM;
  }

  getXattr(place: Place, type: number, name: string): number {
    if (name.startsWith(PREFIX)) return -ENODATA;
    const host = hostXattr(type, name);
    if (typeof host === "number") return host === -EOPNOTSUPP ? host : -ENODATA;
    return readXattr(place.handle(), host);
  }

  setXattr(place: Place, type: number, name: string, size: number, flags: number): number {
    if (name.startsWith(PREFIX)) return -EACCES;
    const host = hostXattr(type, name);
    if (typeof host === "number") return host;
    if (isAcl(name)) return this.#setAcl(place, type, host, size);
    return setxattrat(place.handle(), null, host, scratch().address, size, flags);
  }

  removeXattr(place: Place, type: number, name: string): number {
    if (name.startsWith(PREFIX)) return -EACCES;
    const host = hostXattr(type, name);
    if (typeof host === "number") return host;
    const result = removexattrat(place.handle(), null, host);
    return result === -ENODATA && isAcl(name) ? 0 : result;
  }

  listed(name: string): string | null {
    if (name === KEPT_ACL_ACCESS || name === KEPT_ACL_DEFAULT) return name.slice(PREFIX.length);
    return name.startsWith("user.") && !name.startsWith(PREFIX) ? name : null;
  }

  /** What the client sees of the file that `look` has seen. */
  protected get seen(): Readonly<Ownership> {
    return this.#now;
  }

  /** Sets `seen` to what the client sees of a file. */
  protected look(place: Place): number {
    const { found } = this;
    const now = this.#now;
    const result = statx(place.handle(), null, LOOK, STATX_BASIC_STATS, found);
    if (result < 0) return result;
    now.mode = found.mode;
    now.uid = found.uid;
    now.gid = found.gid;
    now.rdev = 0n;
    this.present(now, place, found);
    return 0;
  }

  #keepMode(place: Place, mode: number): number {
    return this.store(place, { mode, uid: -1, gid: -1, rdev: -1n });
  }

  /** True if something can be kept beside the file that `look` has seen. */
  #canKeep(): boolean {
    const type = this.found.mode & S_IFMT;
    return type === S_IFREG || type === S_IFDIR;
  }

  /** True if no change of the file can have the time of last change that it has now. */
  #isSettled(found: Statx): boolean {
    if (!this.#isLocal) return false;
    if (found.devMinor !== this.#rootMinor || found.devMajor !== this.#rootMajor) return false;
    const { ctimeNsec } = found;
    const age = Date.now() - (Number(found.ctimeSec) * 1000 + ctimeNsec / 1_000_000);
    return age >= (ctimeNsec === 0 ? SECOND_MS : this.#tickMs);
  }

  #readAcl(place: Place, name: string): Acl | null {
    const size = readXattr(place.handle(), name);
    if (size <= 0) return null;
    const acl = decodeAcl(scratch().bytes, size);
    return acl === null || acl.length === 0 ? null : acl;
  }

  #writeAcl(place: Place, name: string, acl: Acl): number {
    const { bytes, address } = scratch();
    const size = encodeAclInto(acl, bytes);
    return setxattrat(place.handle(), null, name, address, size, 0);
  }

  /** As the kernel: a list of a file is its mode as well, and one that says no more is not kept. */
  #setAcl(place: Place, type: number, host: string, size: number): number {
    const acl = decodeAcl(scratch().bytes, size);
    if (acl === null) return -EINVAL;
    if (acl.length === 0) {
      const result = removexattrat(place.handle(), null, host);
      return result === -ENODATA ? 0 : result;
    }
    if (host === KEPT_ACL_DEFAULT) return this.#writeAcl(place, host, acl);
    const result = this.look(place);
    if (result < 0) return result;
    const { permissions, isMinimal } = modeOfAcl(acl);
    let written: number;
    if (isMinimal) {
      written = removexattrat(place.handle(), null, host);
      if (written === -ENODATA) written = 0;
    } else {
      written = this.#writeAcl(place, host, acl);
    }
    if (written < 0) return written;
    const mode = type | this.#now.mode & 0o7000 | permissions;
    return mode === this.#now.mode ? 0 : this.#keepMode(place, mode);
  }
}

/** Whether a release of Linux is 6.13 or newer. */
export function hasDistinctTimes(release: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  return major > 6 || major === 6 && minor >= 13;
}

/** Type that a client sees of a file: a folder is always one, and nothing else ever is. */
function typeFor(hostType: number, keptMode: number): number {
  if (hostType === S_IFDIR) return S_IFDIR;
  const type = keptMode & S_IFMT;
  return type === 0 || type === S_IFDIR ? S_IFREG : type;
}

/** True if nothing can have changed since the memo was made. */
function isSame(memo: Memo, source: Statx): boolean {
  return memo.isSettled && memo.ctimeNsec === source.ctimeNsec &&
    memo.ctimeSec === source.ctimeSec && memo.ino === source.ino;
}

/** Name on the host of an attribute of a file of a type, or minus the errno for setting it. */
function hostXattr(type: number, name: string): string | number {
  if (isAcl(name)) {
    if (type === S_IFLNK) return -EOPNOTSUPP;
    if (name === ACL_DEFAULT && type !== S_IFDIR) return -EACCES;
    return PREFIX + name;
  }
  if (!name.startsWith("user.")) return -EOPNOTSUPP;
  return type === S_IFREG || type === S_IFDIR ? name : -EPERM;
}
