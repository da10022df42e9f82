/**
 * Files and folders of the host.
 *
 * Whatever a client names is reached by one step down from a folder that is held open already, and
 * `..` is what was recorded on the way. So a folder that is moved out of the export while a client
 * is in it takes nobody along, and no link, wherever it comes from, is ever followed.
 *
 * @module
 */
import {
  actingUser,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_STATX_DONT_SYNC,
  AT_STATX_FORCE_SYNC,
  AT_SYMLINK_NOFOLLOW,
  attributeNames,
  close,
  EAGAIN,
  EEXIST,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOTDIR,
  EPERM,
  EXDEV,
  features,
  fstatfs,
  ftruncate,
  linkFd,
  listxattrat,
  O_CLOEXEC,
  O_DIRECTORY as HOST_O_DIRECTORY,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  openat,
  openat2,
  renameat,
  RESOLVE_CACHED,
  scratch,
  Statfs,
  Statx,
  statx,
  STATX_BASIC_STATS,
  STATX_BLOCKS,
  STATX_BTIME,
  STATX_NLINK,
  unlinkat,
  UTIME_NOW,
  UTIME_OMIT,
  utimensat,
} from "../linux/mod.ts";
import {
  byteLength,
  encodeStringInto,
  errno,
  O_ACCMODE,
  O_APPEND,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOATIME,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../p9/mod.ts";
import type { Qid } from "../p9/mod.ts";
import { asServer } from "./credentials/acting.ts";
import { withoutSetId } from "./credentials/plain.ts";
import { SET_ID_BITS } from "./credentials/seam.ts";
import type { Memo, Place, Wanted } from "./credentials/seam.ts";
import type { HandleHolder, Urgency } from "./descriptors.ts";
import { after } from "./host_calls.ts";
import type { Busy, HostCalls } from "./host_calls.ts";
import { HostFile } from "./host_file.ts";
import { HostFolder } from "./host_folder.ts";
import { HostLocks } from "./host_locks.ts";
import type { HostOpened } from "./host_opened.ts";
import { failed, HEAVY_BLOCKS, ok, STATX_MASK } from "./host_shared.ts";
import type { HostShared } from "./host_shared.ts";
import { encodeDevice, hasDevice, NO_ID, PERMISSIONS, qidTypeOf, XATTR_SIZE_MAX } from "./modes.ts";
import type {
  Answer,
  Attributes,
  Changes,
  FileSystemStatistics,
  Identity,
  LockConflict,
  LockOwner,
  LockRange,
  NewTime,
  Node,
  OpenFile,
} from "./tree.ts";

/** What of a client's open flags reaches the host; the values are the same on all architectures. */
const OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_NOATIME;
/** Never wait, never take a terminal, never leak into another program. */
const SAFE_FLAGS = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
const HANDLE_FLAGS = O_PATH | O_NOFOLLOW | O_CLOEXEC;
const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
/** A look at what is known here, whoever else would have to be asked. */
const GLANCE = LOOK | AT_STATX_DONT_SYNC;
/** A look that asks him in any case. */
const QUESTION = LOOK | AT_STATX_FORCE_SYNC;
/** A file that comes and goes while it is to be created: tried so often, then left to the client. */
const CREATE_ATTEMPTS = 8;
/**
 * Folders that a node can be below: twice as many as the longest path that Linux takes has. To open
 * a handle again costs two calls for each, so it must not be left to the client how many there are.
 */
const MAX_DEPTH = 4096;
/** Folders that somebody may have put one above the other by moving them. */
const MAX_CHAIN = 3 * MAX_DEPTH;

/** A lock that somebody has asked for. */
interface ComingLock {
  readonly session: object;
  /** Its session ended first. */
  isOver: boolean;
}

/** A file of the host of any type, held by an `O_PATH` descriptor. */
export class HostNode implements Node, Place, HandleHolder, Busy {
  /** Place in the table of handles. */
  slot = -1;
  /** How calls are made where the file is. */
  readonly calls: HostCalls;
  readonly #shared: HostShared;
  readonly #qid: { readonly type: number; version: number; readonly path: bigint };
  /** Type on the host: what can be opened depends on it. */
  readonly #hostType: number;
  /** Type that the client sees. */
  readonly #type: number;
  readonly #major: number;
  readonly #minor: number;
  readonly #inode: bigint;
  readonly #mount: bigint;
  readonly #birthSec: bigint;
  readonly #birthNsec: number;
  /** Key in the table of foreign nodes, or empty for a node at home. */
  readonly #key: string;
  /** What the model remembers of the file. */
  memo: Memo | null = null;
  #fd: number;
  #references = 1;
  /** Held; null for the root, which is its own. */
  #parent: HostNode | null;
  #name: string;
  #locks: HostLocks | null = null;
  /** Locks that are asked for when it is known that somebody answers. */
  readonly #coming: Set<ComingLock> = new Set();
  /** Open files by session, while there are any. */
  #opened: Map<object, number> | null = null;
  /** The first of the open files. */
  #file: HostOpened | null = null;
  #openCount = 0;
  /** Nodes recorded below this one whose descriptors are open. */
  #openChildren = 0;
  /** Calls with the handle that helpers have under way. */
  #underWay = 0;
  /** Whether the file was large when it was last looked at, or may have become so. */
  #isHeavy = false;
  /** Settles when a helper has closed the handle. */
  #closing: Promise<void> | null = null;
  /** Set at every use, taken away by the search for handles to close. */
  #wasUsed = true;
  /** Folders above, as of the day when the last one was recorded. */
  #depth: number;

  /**
   * Makes the node of the file that was just looked at, with one reference.
   *
   * @param fd `O_PATH` descriptor, owned from here on.
   * @param parent Folder it was found in; a reference is taken.
   */
  constructor(
    shared: HostShared,
    fd: number,
    parent: HostNode | null,
    name: string,
    type: number,
    path: bigint,
    key: string,
  ) {
    const { statx: found } = shared;
    this.#shared = shared;
    this.#fd = fd;
    this.calls = shared.callsAt(fd);
    shared.descriptors.add(this);
    this.#parent = parent;
    this.#depth = parent === null ? 0 : parent.#depth + 1;
    if (parent !== null) parent.hold().#openChildren++;
    this.#name = name;
    this.#hostType = found.mode & S_IFMT;
    this.#type = type;
    this.#major = found.devMajor;
    this.#minor = found.devMinor;
    // Every look makes new numbers of 64 bits; one of each is kept.
    this.#inode = path === found.ino ? path : found.ino;
    this.#mount = found.mntId === shared.rootMount ? shared.rootMount : found.mntId;
    this.#isHeavy = found.blocks >= HEAVY_BLOCKS;
    const hasBirth = (found.mask & STATX_BTIME) !== 0;
    this.#birthSec = hasBirth ? found.btimeSec : 0n;
    this.#birthNsec = hasBirth ? found.btimeNsec : 0;
    this.#key = key;
    this.#qid = { type: qidTypeOf(type), version: shared.version(), path };
    if (key === "") shared.nodes.set(this.#inode, this);
    else shared.foreign.set(key, this);
  }

  /** State of the tree. */
  protected get shared(): HostShared {
    return this.#shared;
  }

  /** Identity as last seen. */
  get qid(): Qid {
    return this.#qid;
  }

  /** Name that the node was last reached by. */
  get name(): string {
    return this.#name;
  }

  /** `qid.path`. */
  get path(): bigint {
    return this.#qid.path;
  }

  /** `qid.path` of the recorded parent. */
  get parentPath(): bigint {
    return (this.#parent ?? this).#qid.path;
  }

  /** References held by anybody. */
  get references(): number {
    return this.#references;
  }

  /** Folders above it, which it keeps alive. */
  get depth(): number {
    return this.#depth;
  }

  /** Locks held and waited for. */
  get lockCount(): number {
    return this.#locks?.count ?? 0;
  }

  /**
   * The `O_PATH` descriptor; where that was closed to save descriptors, the one of an open file of
   * this node, or it is opened again.
   */
  handle(): number {
    this.#wasUsed = true;
    if (this.#fd >= 0) return this.#fd;
    return this.#file !== null ? this.#file.fd : this.#recover();
  }

  /** That of the folder above. */
  folderHandle(): number {
    return (this.#parent ?? this).handle();
  }

  /** Name for a stand-in that is locked instead of this file. */
  identity(): string {
    return `${this.#major}-${this.#minor}-${this.#inode}`;
  }

  /** Takes one more reference. */
  hold(): this {
    this.#references++;
    return this;
  }

  /**
   * Gives a reference back; with the last one the descriptor is closed and the parent given back.
   *
   * @returns Settles when the space of a large file that had no name any more is free.
   */
  release(): Answer<void> {
    let closing: Promise<void> | null = null;
    // A loop, since a deep path may end with its last node.
    for (let node: HostNode | null = this as HostNode; node !== null;) {
      if (node.#references === 0) {
        throw new RangeError(`Cannot release "${node.#name}": nobody holds it`);
      }
      if (--node.#references > 0) break;
      const ended: HostNode = node;
      node = ended.#end();
      closing ??= ended.#closing;
    }
    if (closing !== null) return closing;
  }

  /** Whose the descriptor is that `handle()` has just given. */
  get #holder(): Busy {
    return this.#fd < 0 && this.#file !== null ? this.#file : this;
  }

  /** A helper begins a call with the handle, which is kept until its end. */
  enter(): void {
    this.hold().#underWay++;
  }

  /** It has ended. */
  leave(): void {
    if (--this.#underWay === 0 && this.#shared.isClosed) this.#closeHandle();
    this.release();
  }

  /** The file was opened for writing: it may be large when it is looked at next. */
  mayGrow(): void {
    this.#isHeavy = true;
  }

  /** Finds an entry. */
  walk(name: string, _by: Identity): Answer<HostNode> {
    const shared = this.#shared;
    const { calls } = this;
    shared.asked++;
    shared.checkShown(name);
    if (this.#depth >= MAX_DEPTH) throw errno("ENAMETOOLONG");
    if (calls.isInstant) return this.#found(ok(this.#openEntry(name)), name);
    const { descriptors } = shared;
    if (!calls.isRemote) {
      // What the kernel has in memory, it has at once.
      descriptors.makeRoom();
      const fd = openCached(this.handle(), name);
      if (fd >= 0) return this.#found(fd, name);
      if (fd !== -EAGAIN && fd !== -EMFILE && fd !== -ENFILE) failed(fd);
    }
    if (!calls.leaves(calls.names)) {
      return this.#found(ok(calls.now(calls.names, () => this.#openEntry(name))), name);
    }
    descriptors.makeRoom();
    const handle = this.handle();
    const call = () => openat(handle, name, HANDLE_FLAGS, 0);
    return after(calls.later(calls.names, call, [this.#holder]), (fd) => {
      const kept = this.#kept(fd);
      const isFull = kept === -EMFILE || kept === -ENFILE;
      return this.#found(ok(isFull ? this.#openEntry(name) : kept), name);
    });
  }

  /** The recorded folder above. */
  parent(_by: Identity): HostNode {
    return (this.#parent ?? this).hold();
  }

  /** All attributes, with one call. */
  attributes(_by: Identity): Answer<Attributes> {
    const shared = this.#shared;
    shared.asked++;
    const handle = this.handle();
    if (!this.calls.isRemote) {
      // Of what is held open the kernel knows all this by heart.
      const result = statx(handle, null, LOOK, STATX_MASK, shared.statx);
      return result < 0 ? failed(result) : this.#attributes(shared.statx);
    }
    const found = new Statx();
    // A model may go on to look at what is kept beside the file, here.
    const flags = shared.credentials.presents ? QUESTION : LOOK;
    const call = () => statx(handle, null, flags, STATX_MASK, found);
    return after(this.calls.later(null, call, [this.#holder]), (result) => {
      ok(result);
      return this.#attributes(found);
    });
  }

  /**
   * Does at once what takes several calls, which no helper can. Where somebody else has to answer, a
   * helper asks him first whether he does: nobody who is silent holds up the thread that serves.
   */
  #once<T>(run: () => Answer<T>): Answer<T> {
    const { calls } = this;
    if (!calls.isRemote) return run();
    const handle = this.handle();
    const found = new Statx();
    const call = () => statx(handle, null, QUESTION, STATX_BASIC_STATS, found);
    return after(calls.later(null, call, [this.#holder]), () => {
      if (this.#shared.isClosed) throw errno("ESTALE");
      return run();
    });
  }

  #attributes(found: Statx): Attributes {
    const shared = this.#shared;
    const { credentials } = shared;
    const version = this.#qid.version = shared.version(found);
    this.#isHeavy = found.blocks >= HEAVY_BLOCKS || this.#openCount > 0;
    let mode = found.mode;
    let nlink = found.nlink;
    let uid = found.uid;
    let gid = found.gid;
    let rdev = hasDevice(mode) ? encodeDevice(found.rdevMajor, found.rdevMinor) : 0n;
    if (credentials.presents) {
      const { ownership } = shared;
      ownership.mode = mode;
      ownership.uid = uid;
      ownership.gid = gid;
      ownership.rdev = rdev;
      credentials.present(ownership, this, found);
      ({ mode, uid, gid, rdev } = ownership);
      // The type of a node never changes, whatever becomes of what the model keeps beside it.
      mode = this.#type | mode & PERMISSIONS;
      // Each folder counts as a name of the one above. Some file systems do not count: 1, always.
      if (this.#type === S_IFDIR && nlink > 2 && credentials.hiddenFolders !== undefined) {
        nlink -= credentials.hiddenFolders(this, this.#parent === null);
      }
    }
    return {
      qid: { type: this.#qid.type, version, path: this.#qid.path },
      mode,
      uid,
      gid,
      nlink,
      rdev,
      size: found.size,
      blksize: found.blksize,
      blocks: found.blocks,
      atimeSec: found.atimeSec,
      atimeNsec: found.atimeNsec,
      mtimeSec: found.mtimeSec,
      mtimeNsec: found.mtimeNsec,
      ctimeSec: found.ctimeSec,
      ctimeNsec: found.ctimeNsec,
      btimeSec: this.#birthSec,
      btimeNsec: this.#birthNsec,
    };
  }

  /** Changes attributes. */
  setAttributes(changes: Changes, by: Identity, file?: OpenFile): Answer<void> {
    const shared = this.#shared;
    shared.checkWritable();
    shared.asked++;
    const { size, mode, uid = NO_ID, gid = NO_ID } = changes;
    if (mode !== undefined && this.#type === S_IFLNK) throw errno("EOPNOTSUPP");
    const change = () =>
      size === undefined ? this.#setOwnership(changes) : this.#resize(size, changes, by, file);
    const isOwned = uid !== NO_ID || gid !== NO_ID || mode !== undefined;
    return after(isOwned ? this.#once(change) : change(), () => this.#changeTimes(changes));
  }

  #setOwnership(changes: Changes): void {
    const { calls } = this;
    const { credentials } = this.#shared;
    const { uid = NO_ID, gid = NO_ID, mode } = changes;
    // What a model makes of these may be several calls, which no helper can.
    if (uid !== NO_ID || gid !== NO_ID) {
      ok(calls.now(calls.names, () => credentials.chown(this, this.#type, uid, gid)));
    }
    if (mode !== undefined) {
      const permissions = mode & PERMISSIONS;
      const result = calls.now(
        calls.names,
        () => credentials.chmod(this, this.#type, permissions),
      );
      if (result !== -EPERM) ok(result);
      else if (!this.#dropsSetId(permissions)) throw errno("EPERM");
      if ((mode & SET_ID_BITS) !== 0) this.#guardFiles();
    }
  }

  #changeTimes(changes: Changes): Answer<void> {
    const { atime, mtime } = changes;
    if (atime === undefined && mtime === undefined) return;
    // The time that changes with the size is for whoever may write. The kernel takes one time alone
    // from the owner only.
    const isOfSize = changes.size !== undefined && atime === undefined && mtime === "now";
    return isOfSize ? asServer(() => this.#setTimes(atime, mtime)) : this.#setTimes(atime, mtime);
  }

  #setTimes(atime: NewTime | undefined, mtime: NewTime | undefined): Answer<void> {
    const { calls } = this;
    const handle = this.handle();
    const atimeNsec = nanosecondsOf(atime);
    const mtimeNsec = nanosecondsOf(mtime);
    const call = () =>
      utimensat(
        handle,
        null,
        secondsOf(atime),
        atimeNsec,
        secondsOf(mtime),
        mtimeNsec,
        AT_SYMLINK_NOFOLLOW,
      );
    return after(calls.make(calls.names, call, this.#holder), (result) => void ok(result));
  }

  /**
   * Takes set-id bits away for somebody who may not change the mode but write: so clients do it on
   * behalf of whoever writes. Returns false if that is not what the permissions come to.
   */
  #dropsSetId(permissions: number): boolean {
    const shared = this.#shared;
    const { statx: found, credentials } = shared;
    ok(statx(this.handle(), null, LOOK, STATX_MASK, found));
    if ((withoutSetId(found.mode) & PERMISSIONS) !== permissions) return false;
    const fd = shared.openAgain(this.handle(), O_WRONLY | SAFE_FLAGS);
    if (fd < 0) return false;
    close(fd);
    ok(credentials.dropSetId(this));
    return true;
  }

  /** Opens the node. */
  open(flags: number, by: Identity): Answer<HostFile | HostFolder> {
    const shared = this.#shared;
    shared.asked++;
    const access = flags & O_ACCMODE;
    const type = this.#type;
    if (type === S_IFLNK) throw errno("ELOOP");
    if (access !== 0 || (flags & O_TRUNC) !== 0) {
      if (type === S_IFDIR) throw errno("EISDIR");
      shared.checkWritable();
    }
    if (type === S_IFDIR) {
      const opened = this.#reopen(HOST_O_DIRECTORY | SAFE_FLAGS | flags & O_NOATIME, by.session);
      return after(opened, (fd) => {
        this.#kept(fd, by.session);
        return new HostFolder(shared, this.hold(), fd, by.session);
      });
    }
    if ((flags & O_DIRECTORY) !== 0) throw errno("ENOTDIR");
    // The host's type decides: opening a device or FIFO may have effects that nobody asked for.
    if (type !== S_IFREG || this.#hostType !== S_IFREG) throw errno("ENXIO");
    const opened = this.#reopen(flags & OPEN_FLAGS | SAFE_FLAGS, by.session);
    return after(opened, (fd) => {
      this.#kept(fd, by.session);
      return this.#openedFile(fd, flags, by);
    });
  }

  /** Makes a file and opens it, or opens the one that is there. */
  create(name: string, flags: number, mode: number, gid: number, by: Identity): Answer<HostFile> {
    this.#start(name);
    if ((flags & O_DIRECTORY) !== 0) throw errno("EINVAL");
    if (this.#depth >= MAX_DEPTH) throw errno("ENAMETOOLONG");
    return this.#once(() => this.#create(name, flags, mode, gid, by));
  }

  #create(
    name: string,
    flags: number,
    mode: number,
    gid: number,
    by: Identity,
  ): Answer<HostFile> {
    const shared = this.#shared;
    const { credentials } = shared;
    shared.descriptors.makeRoom();
    // Always exclusive: to open what exists is left to open(), which knows what must not be opened.
    const wanted: Wanted = {
      ...wantedBy(by, S_IFREG | mode & PERMISSIONS, gid),
      flags: flags & OPEN_FLAGS & ~O_NOATIME | SAFE_FLAGS,
    };
    for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt++) {
      const fd = shared.openFile(by.session, () => credentials.make(this, name, wanted));
      if (fd >= 0) return this.#created(fd, name, flags, by);
      if (fd !== -EEXIST || (flags & O_EXCL) !== 0) failed(fd);
      const existing = this.#tryWalk(name);
      if (existing === null) continue;
      let opened: Answer<HostFile> | undefined;
      try {
        if (existing.#type === S_IFDIR) throw errno("EISDIR");
        opened = existing.open(flags, by) as Answer<HostFile>;
      } finally {
        if (!(opened instanceof Promise)) existing.release();
      }
      return opened instanceof Promise ? opened.finally(() => existing.release()) : opened;
    }
    throw errno("ENOENT");
  }

  /** Makes a folder. */
  mkdir(name: string, mode: number, gid: number, by: Identity): Answer<Qid> {
    return this.#make(name, wantedBy(by, S_IFDIR | mode & PERMISSIONS, gid));
  }

  /** Makes a symbolic link. */
  symlink(name: string, target: string, gid: number, by: Identity): Answer<Qid> {
    return this.#make(name, { ...wantedBy(by, S_IFLNK | 0o777, gid), target });
  }

  /** Makes a file of any type but folder and link. */
  mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Answer<Qid> {
    const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
    if (type === S_IFDIR) throw errno("EPERM");
    if (type === S_IFLNK) throw errno("EINVAL");
    return this.#make(name, { ...wantedBy(by, type | mode & PERMISSIONS, gid), major, minor });
  }

  /** Gives a file one more name. */
  link(name: string, target: Node, _by: Identity): Answer<void> {
    const { credentials } = this.#start(name);
    const source = own(target);
    if (credentials.link === undefined) return this.#link(name, source);
    return this.#once(() => {
      const { descriptors } = this.#shared;
      descriptors.isPinned = true;
      try {
        source.#linked(credentials.link?.(source, this.handle(), name) ?? 0);
      } finally {
        descriptors.isPinned = false;
      }
    });
  }

  #link(name: string, source: HostNode): Answer<void> {
    const { descriptors } = this.#shared;
    const { calls } = this;
    let from = -1;
    let into = -1;
    descriptors.isPinned = true;
    try {
      from = source.handle();
      into = this.handle();
    } finally {
      descriptors.isPinned = false;
    }
    const call = () => linkFd(from, into, name);
    const linked = calls.make(calls.names, call, this.#holder, source.#holder);
    return after(linked, (result) => source.#linked(result));
  }

  /** Of a folder above which it may not go Landlock says EXDEV before the kernel says EPERM. */
  #linked(result: number): void {
    ok(result === -EXDEV && this.#type === S_IFDIR ? -EPERM : result);
  }

  /** Removes a name. */
  unlink(name: string, directory: boolean, _by: Identity): Answer<void> {
    return this.#removeEntry(this.#start(name), name, directory, true);
  }

  /** Removes a name; `mayBeHeavy` unless the file was looked at and is not large. */
  #removeEntry(
    shared: HostShared,
    name: string,
    directory: boolean,
    mayBeHeavy: boolean,
  ): Answer<void> {
    const { calls } = this;
    const flags = directory ? AT_REMOVEDIR : 0;
    let handle = -1;
    let spared = -1;
    shared.descriptors.isPinned = true;
    try {
      this.#secure(name);
      handle = this.handle();
      const isOneCall = shared.credentials.unlink === undefined;
      if (isOneCall && !directory && mayBeHeavy) spared = this.#spare(name);
    } finally {
      shared.descriptors.isPinned = false;
    }
    const removed = shared.credentials.unlink === undefined
      ? calls.make(calls.names, () => unlinkat(handle, name, flags), this.#holder)
      : this.#once(() => calls.now(calls.names, () => this.#unlink(name, directory)));
    return after(removed, (result) => this.#spared(spared, result));
  }

  /** Moves an entry. */
  rename(name: string, to: Node, newName: string, _by: Identity): Answer<void> {
    const target = own(to);
    const shared = this.#start(name);
    target.#start(newName);
    if (target.#levels() > MAX_DEPTH) throw errno("ENAMETOOLONG");
    const { calls } = this;
    let from = -1;
    let into = -1;
    let spared = -1;
    shared.descriptors.isPinned = true;
    try {
      this.#secure(name);
      target.#secure(newName);
      from = this.handle();
      into = target.handle();
      spared = target.#spare(newName);
    } finally {
      shared.descriptors.isPinned = false;
    }
    const { credentials } = shared;
    const renamed = credentials.rename === undefined
      ? calls.make(
        calls.names,
        () => renameat(from, name, into, newName),
        this.#holder,
        target.#holder,
      )
      : this.#once(() => {
        const call = () => credentials.rename?.(this.handle(), name, target.handle(), newName) ?? 0;
        return calls.now(calls.names, call);
      });
    return after(renamed, (result) => {
      if (result >= 0) this.#moved(target, newName);
      return this.#spared(spared, result);
    });
  }

  /** An entry is somewhere else now. */
  #moved(target: HostNode, newName: string): void {
    const shared = this.#shared;
    shared.descriptors.isPinned = true;
    try {
      // Whoever holds the file finds it in its new place.
      const moved = target.#lookup(newName);
      if (moved !== undefined) moved.#place(target, newName);
    } finally {
      shared.descriptors.isPinned = false;
    }
  }

  /**
   * Holds a large file that is about to lose its name, so that its space becomes free when the
   * descriptor is closed and not while the name is removed.
   *
   * @returns A descriptor, or -1 if there is nothing to spare.
   */
  #spare(name: string): number {
    if (!this.calls.hasHelpers || this.calls.isRemote) return -1;
    const { statx: found } = this.#shared;
    if (statx(this.handle(), name, LOOK, STATX_BASIC_STATS, found) < 0) return -1;
    const isHeavy = (found.mode & S_IFMT) === S_IFREG && found.blocks >= HEAVY_BLOCKS;
    return isHeavy ? openat(this.handle(), name, HANDLE_FLAGS, 0) : -1;
  }

  /** Gives back what `#spare` gave, and ends an operation with its result. */
  #spared(fd: number, result: number): Answer<void> {
    if (fd < 0) return void ok(result);
    return this.calls.later(null, () => close(fd), [], 0, null).then(() => void ok(result));
  }

  /** Moves this node. */
  move(to: Node, newName: string, by: Identity): Answer<void> {
    return this.#once(() => this.#named().rename(this.#name, to, newName, by));
  }

  /** Removes the name of this node. */
  remove(_by: Identity): Answer<void> {
    return this.#once(() => {
      const parent = this.#named();
      const isHeavy = this.#shared.statx.blocks >= HEAVY_BLOCKS;
      // What is not open any more grows no further by us; elsewhere, to forget it takes a while anyway.
      if (this.#openCount === 0 && !this.calls.isRemote) this.#isHeavy = isHeavy;
      const shared = parent.#start(this.#name);
      return parent.#removeEntry(shared, this.#name, this.#hostType === S_IFDIR, isHeavy);
    });
  }

  /** Target of a link. */
  readlink(_by: Identity): Answer<string> {
    if (this.#type !== S_IFLNK) throw errno("EINVAL");
    return this.#once(() => {
      const target = this.#shared.credentials.readlink(this, this.#hostType === S_IFLNK);
      return typeof target === "string" ? target : failed(target);
    });
  }

  /** Statistics of the file system that the node is on. */
  statfs(_by: Identity): Answer<FileSystemStatistics> {
    const { calls } = this;
    const handle = this.handle();
    if (calls.leaves(calls.names)) {
      const into = new Statfs();
      const call = () => fstatfs(handle, into);
      const asked = calls.later(calls.names, call, [this.#holder]);
      return asked.then((result) => statisticsOf(result, into));
    }
    const { statfs } = this.#shared;
    return statisticsOf(calls.now(calls.names, () => fstatfs(handle, statfs)), statfs);
  }

  /** Value of an attribute. */
  getXattr(name: string, _by: Identity): Answer<Uint8Array> {
    return this.#once(() => {
      const size = ok(this.#shared.credentials.getXattr(this, this.#type, name));
      return scratch().bytes.slice(0, size);
    });
  }

  /** Names of attributes, as the model shows them. */
  listXattr(_by: Identity): Answer<Uint8Array> {
    const { calls } = this;
    const { bytes, address } = scratch();
    const call = () => listxattrat(this.handle(), null, address, XATTR_SIZE_MAX);
    return this.#once(() => this.#shownXattrs(bytes, ok(calls.now(calls.names, call))));
  }

  /** Sets an attribute. */
  setXattr(name: string, value: Uint8Array, flags: number, _by: Identity): Answer<void> {
    this.#shared.checkWritable();
    if (value.length > XATTR_SIZE_MAX) throw errno("E2BIG");
    const { calls } = this;
    const { credentials } = this.#shared;
    const call = () => {
      scratch().bytes.set(value);
      return credentials.setXattr(this, this.#type, name, value.length, flags);
    };
    return this.#once(() => void ok(calls.now(calls.names, call)));
  }

  /** Removes an attribute. */
  removeXattr(name: string, _by: Identity): Answer<void> {
    this.#shared.checkWritable();
    const { credentials } = this.#shared;
    return this.#once(() => void ok(credentials.removeXattr(this, this.#type, name)));
  }

  /** Counts an open file in. */
  opened(file: HostOpened, session: object): void {
    file.next = this.#file;
    if (this.#file !== null) this.#file.previous = file;
    this.#file = file;
    this.#openCount++;
    this.#opened ??= new Map();
    this.#opened.set(session, (this.#opened.get(session) ?? 0) + 1);
  }

  /** An open file is about to be closed. If its descriptor was the last one, its node gets another. */
  closing(file: HostOpened): void {
    if (this.#file === file) this.#file = file.next;
    if (file.previous !== null) file.previous.next = file.next;
    if (file.next !== null) file.next.previous = file.previous;
    file.next = file.previous = null;
    if (this.#file !== null || this.#fd >= 0 || this.#references === 1) return;
    // By its name it might not be found any more.
    this.#shared.descriptors.makeRoom();
    const fd = this.#shared.openAgain(file.fd, O_PATH | O_CLOEXEC);
    if (fd >= 0) this.#restore(fd);
  }

  /** Counts an open file out, and gives its reference back. */
  closed(session: object): Answer<void> {
    this.#openCount--;
    const left = (this.#opened?.get(session) ?? 1) - 1;
    if (left > 0) {
      this.#opened?.set(session, left);
    } else {
      this.#opened?.delete(session);
      this.endLocks(session);
    }
    return this.release();
  }

  /** Locks or unlocks, for open files. */
  lock(
    file: HostOpened,
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal: AbortSignal | undefined,
  ): Answer<boolean> {
    if (!this.calls.isRemote) return this.#lock(range, owner, wait, signal);
    const coming: ComingLock = { session: owner.session, isOver: false };
    this.#coming.add(coming);
    this.#noteLocks();
    return this.#once(() => {
      this.#coming.delete(coming);
      this.#noteLocks();
      if (coming.isOver) throw errno("EINTR");
      if (file.fd < 0) throw errno("EBADF");
      return this.#lock(range, owner, wait, signal);
    });
  }

  #lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal: AbortSignal | undefined,
  ): boolean | Promise<boolean> {
    this.#locks ??= new HostLocks(this.#shared, this);
    try {
      return this.#locks.lock(range, owner, wait, signal);
    } finally {
      this.#noteLocks();
    }
  }

  /** Tests a lock, for open files. */
  testLock(file: HostOpened, range: LockRange, owner: LockOwner): Answer<LockConflict | null> {
    return this.#once(() => {
      if (file.fd < 0) throw errno("EBADF");
      this.#locks ??= new HostLocks(this.#shared, this);
      return this.#locks.test(range, owner);
    });
  }

  /** Ends locks of a session, held and waited for. */
  endLocks(session: object): void {
    for (const coming of this.#coming) if (coming.session === session) coming.isOver = true;
    if (this.#locks === null) return;
    this.#locks.endSession(session);
    this.#noteLocks();
  }

  /** Ends locks and closes the descriptor, when the whole tree ends. */
  drop(): void {
    this.#locks?.endAll();
    if (this.#underWay === 0) this.#closeHandle();
  }

  /** Closes the descriptor if it can be had again or is not worth that much. */
  reclaim(urgency: Urgency): boolean {
    const parent = this.#parent;
    // What a helper works with stays, even where something else could stand in.
    if (this.#fd < 0 || parent === null || this.#underWay > 0) return false;
    // Whether it can be had again, somebody else would have to be asked.
    if (this.calls.isRemote && this.#file === null && urgency < 2) return false;
    if (urgency === 0) {
      if (this.#wasUsed) {
        this.#wasUsed = false;
        return false;
      }
      // What is below would have to look for it first.
      if (this.#openChildren > 0 && this.#file === null) return false;
    }
    // The descriptor of an open file does as well. Without one, a file without its name could not
    // be had again; nor can it be told of a file whose folder is closed whether it has one.
    if (this.#file === null && urgency < 2) {
      const above = parent.#fd >= 0 ? parent.#fd : parent.#file?.fd ?? -1;
      if (above < 0 && urgency === 0) return false;
      const { statx: found } = this.#shared;
      const result = above < 0 ? 0 : statx(above, this.#name, LOOK, STATX_MASK, found);
      if (result < 0 || above >= 0 && !this.#isFound()) return false;
    }
    this.#closeHandle();
    this.#shared.reclaimed++;
    return true;
  }

  /** Inode numbers of entries whose upper half is below this are their `qid.path`. */
  get plainInodes(): number {
    return this.#shared.plainInodes(this.#major, this.#minor);
  }

  /** `qid.path` of an entry of this folder that is on the same device. */
  pathOfEntry(inode: bigint): bigint {
    return this.#shared.pathOf(this.#major, this.#minor, inode);
  }

  /** Opens an entry as a handle: no permission is needed, nothing happens to it, no link is followed. */
  #openEntry(name: string): number {
    const shared = this.#shared;
    shared.descriptors.makeRoom();
    const fd = openat(this.handle(), name, HANDLE_FLAGS, 0);
    if (fd !== -EMFILE && fd !== -ENFILE) return fd;
    shared.descriptors.reclaim();
    return openat(this.handle(), name, HANDLE_FLAGS, 0);
  }

  /** The node of a descriptor that was just opened in this folder, which it takes over. */
  #found(fd: number, name: string): Answer<HostNode> {
    this.#lookAt(fd, GLANCE);
    return this.#shared.isNear() ? this.#known(fd, name) : this.#foundAway(fd, name);
  }

  /** The same at once, of what was just reached anyway. */
  #foundNow(fd: number, name: string): HostNode {
    this.#lookAt(fd, LOOK);
    return this.#known(fd, name);
  }

  #lookAt(fd: number, flags: number): void {
    const result = statx(fd, null, flags, STATX_MASK, this.#shared.statx);
    if (result >= 0) return;
    close(fd);
    failed(result);
  }

  /** As `#found`, where somebody else may have to be asked about the file, or who that is. */
  #foundAway(fd: number, name: string): Promise<HostNode> {
    const shared = this.#shared;
    const found = new Statx();
    const look = () => statx(fd, null, QUESTION, STATX_MASK, found);
    const user = actingUser();
    this.enter();
    const looked = shared.askedCallsAt(fd).then((calls) => calls.later(null, look, [], 0, user))
      .finally(() => this.leave());
    return after(looked, (result) => {
      this.#kept(fd);
      if (result < 0) {
        close(fd);
        failed(result);
      }
      shared.statx.copy(found);
      return this.#known(fd, name);
    }) as Promise<HostNode>;
  }

  /**
   * As `#found`, of a descriptor that statx has looked at.
   *
   * @param isMade It is a regular file that was just made: what else is kept beside it, who asks is told.
   */
  #known(fd: number, name: string, isMade: boolean = false): HostNode {
    const shared = this.#shared;
    const { statx: found } = shared;
    let key = "";
    let known: HostNode | undefined;
    if (shared.isAtHome()) {
      known = shared.nodes.get(found.ino);
    } else {
      key = foreignKey(shared);
      known = shared.foreign.get(key);
    }
    // Without its descriptor a node does not keep its inode number from being given to another file.
    if (known !== undefined && (known.#isHeld || known.#isFound())) {
      if (!known.#isHeld) {
        known.#restore(fd);
      } else {
        close(fd);
      }
      known.#qid.version = shared.version();
      known.hold();
      if (known.#parent !== this || known.#name !== name) known.#place(this, name);
      return known;
    }
    try {
      const path = shared.pathNumber();
      const { credentials } = shared;
      // A node's folder is made for the same user, with whatever the class adds to this one.
      const Same = this.constructor as typeof HostNode;
      if (!credentials.presents || isMade) {
        return new Same(shared, fd, this, name, found.mode & S_IFMT, path, key);
      }
      const { ownership } = shared;
      ownership.mode = found.mode;
      ownership.uid = found.uid;
      ownership.gid = found.gid;
      ownership.rdev = 0n;
      const place: Place = {
        handle: () => fd,
        folderHandle: () => this.handle(),
        name,
        memo: null,
      };
      credentials.present(ownership, place, found);
      const node = new Same(shared, fd, this, name, ownership.mode & S_IFMT, path, key);
      node.memo = place.memo;
      return node;
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** The node of an entry if there is one, without a reference and without an error. */
  #lookup(name: string): HostNode | undefined {
    const shared = this.#shared;
    if (statx(this.handle(), name, LOOK, STATX_MASK, shared.statx) < 0) return undefined;
    const node = shared.isAtHome()
      ? shared.nodes.get(shared.statx.ino)
      : shared.foreign.get(foreignKey(shared));
    return node !== undefined && (node.#isHeld || node.#isFound()) ? node : undefined;
  }

  /** As walk(); null if there is no such entry. */
  #tryWalk(name: string): HostNode | null {
    const fd = this.#openEntry(name);
    if (fd === -ENOENT) return null;
    return this.#foundNow(ok(fd), name);
  }

  /** Checks a name that is to be made, moved or removed. */
  #start(name: string): HostShared {
    const shared = this.#shared;
    shared.checkShown(name);
    shared.checkWritable();
    return shared;
  }

  /** Opens the handle of an entry again that was closed: without its name nobody could. */
  #secure(name: string): void {
    if (this.#shared.reclaimed === 0) return;
    const node = this.#lookup(name);
    if (node === undefined || node.#isHeld) return;
    node.#place(this, name);
    node.handle();
  }

  /** Records where the node is now. */
  #place(parent: HostNode, name: string): void {
    if (this.#parent === null) return; // the root stays the root
    this.#name = name;
    if (this.#parent === parent) return;
    // The host may have moved a folder, so that the new parent is recorded below this node. What
    // lies between must not become a circle: its record is the old one and is cut at the root.
    let below: HostNode | null = null;
    let levels = 0;
    for (let at: HostNode | null = parent; at !== null; at = at.#parent) {
      if (++levels > MAX_CHAIN) return; // the old record, which is wrong, is as good
      if (at === this) {
        if (below === null) return;
        below.#moveUnder(this.#root(), below.#name);
        break;
      }
      below = at;
    }
    this.#moveUnder(parent, name);
  }

  #moveUnder(parent: HostNode, name: string): void {
    const old = this.#parent;
    this.#parent = parent.hold();
    this.#depth = parent.#depth + 1;
    this.#name = name;
    if (this.#fd >= 0) {
      parent.#openChildren++;
      if (old !== null) old.#openChildren--;
    }
    old?.release();
  }

  /** Folders above it, counted. */
  #levels(): number {
    let levels = 0;
    for (let at = this.#parent; at !== null && levels <= MAX_DEPTH; at = at.#parent) levels++;
    return levels;
  }

  /** Whether a descriptor keeps the file alive, so that its number can be no other file's. */
  get #isHeld(): boolean {
    return this.#fd >= 0 || this.#file !== null;
  }

  #root(): HostNode {
    let node: HostNode = this as HostNode;
    while (node.#parent !== null) node = node.#parent;
    return node;
  }

  /** The folder in which the node's name still leads to it. */
  #named(): HostNode {
    const parent = this.#parent;
    if (parent === null) throw errno("EBUSY");
    ok(statx(parent.handle(), this.#name, LOOK, STATX_MASK, this.#shared.statx));
    if (!this.#isFound()) throw errno("ENOENT");
    return parent;
  }

  /** True if what statx saw last is this very file. */
  #isFound(): boolean {
    const { statx: found } = this.#shared;
    return found.ino === this.#inode && found.devMinor === this.#minor &&
      found.devMajor === this.#major && found.mntId === this.#mount &&
      (found.mode & S_IFMT) === this.#hostType &&
      ((found.mask & STATX_BTIME) === 0 ||
        found.btimeNsec === this.#birthNsec && found.btimeSec === this.#birthSec);
  }

  /** Opens the handle again, by way of those above it that are closed too: of the same files or none. */
  #recover(): number {
    // What the folders above allow a user does not matter any more: the file was reached once.
    return asServer(() => this.#recoverAsServer());
  }

  #recoverAsServer(): number {
    const { descriptors } = this.#shared;
    descriptors.makeRoom();
    const closed: HostNode[] = [];
    let top: HostNode | null = this as HostNode;
    for (; top !== null && top.#fd < 0 && top.#file === null; top = top.#parent) {
      closed.push(top);
      if (closed.length > MAX_CHAIN) throw errno("ESTALE");
    }
    if (top === null) throw errno("ESTALE"); // the tree is closed
    let above = top.#fd >= 0 ? top.#fd : (top.#file as HostOpened).fd;
    // Of those in between, only as many stay open as there is room for.
    let passing = -1;
    try {
      for (let node = closed.pop(); node !== undefined; node = closed.pop()) {
        const fd = node.#openAgain(above);
        if (passing >= 0) close(passing);
        passing = -1;
        if (node === this || descriptors.hasRoom) node.#restore(fd);
        else passing = fd;
        above = fd;
      }
    } finally {
      if (passing >= 0) close(passing);
    }
    return this.#fd;
  }

  /** A new handle, found in the folder that the node was in last. */
  #openAgain(above: number): number {
    const fd = openat(above, this.#name, HANDLE_FLAGS, 0);
    if (fd < 0) throw errno(fd === -ENOENT || fd === -ENOTDIR ? "ESTALE" : -fd);
    const result = statx(fd, null, LOOK, STATX_MASK, this.#shared.statx);
    if (result < 0 || !this.#isFound()) {
      close(fd);
      throw errno("ESTALE");
    }
    return fd;
  }

  #restore(fd: number): void {
    this.#fd = fd;
    this.#wasUsed = true;
    this.#shared.descriptors.add(this);
    this.#shared.reclaimed--;
    if (this.#parent !== null) this.#parent.#openChildren++;
  }

  #closeHandle(): void {
    if (this.#fd < 0) return;
    close(this.#takeHandle());
  }

  /** The handle, which is the caller's from here on. */
  #takeHandle(): number {
    const fd = this.#fd;
    this.#fd = -1;
    this.#shared.descriptors.remove(this);
    if (this.#parent !== null) this.#parent.#openChildren--;
    return fd;
  }

  /** Ends the node; returns the parent, whose reference the caller gives back. */
  #end(): HostNode | null {
    const shared = this.#shared;
    // Another file may have taken the place of one that was gone.
    if (this.#key !== "") {
      if (shared.foreign.get(this.#key) === this) shared.foreign.delete(this.#key);
    } else if (shared.nodes.get(this.#inode) === this) {
      shared.nodes.delete(this.#inode);
    }
    if (this.#fd < 0) shared.reclaimed--;
    else if (this.#endsLate()) {
      const fd = this.#takeHandle();
      this.#closing = this.calls.later(null, () => close(fd), [], 0, null).then(() => {});
    } else this.#closeHandle();
    this.#locks?.endAll();
    shared.locked.delete(this);
    const parent = this.#parent;
    this.#parent = null;
    return parent;
  }

  /** A descriptor with access to the file itself, that a session keeps. */
  #reopen(flags: number, session: object): Answer<number> {
    return after(this.#shared.openFile(session, () => this.#openSelf(flags)), ok);
  }

  /** As `#reopen`, for a moment; or minus the error. */
  #openSelf(flags: number): Answer<number> {
    const { calls } = this;
    const shared = this.#shared;
    const cuts = (flags & O_TRUNC) !== 0 && this.#isHeavyNow();
    if (!cuts && !calls.leaves(calls.names)) {
      return calls.now(
        calls.names,
        () => this.#mended(shared.openAgain(this.handle(), flags), flags),
      );
    }
    const handle = this.handle();
    const call = () => shared.openAgain(handle, flags);
    const opened = calls.later(cuts ? null : calls.names, call, [this.#holder, shared]);
    return after(opened, (fd) => this.#mended(this.#kept(fd), flags));
  }

  /** Does what can be done about a failure of `#openSelf`. */
  #mended(fd: number, flags: number): number {
    const shared = this.#shared;
    if (fd === -EMFILE || fd === -ENFILE) {
      shared.descriptors.reclaim();
      fd = shared.openAgain(this.handle(), flags);
    }
    // Only the owner may leave the time of last read alone.
    if (fd === -EPERM && (flags & O_NOATIME) !== 0) {
      fd = shared.openAgain(this.handle(), flags & ~O_NOATIME);
    }
    return fd;
  }

  /** A descriptor that a helper has opened, unless the tree was closed meanwhile. */
  #kept(fd: number, session?: object): number {
    if (!this.#shared.isClosed) return fd;
    if (fd >= 0) close(fd);
    if (session !== undefined) this.#shared.descriptors.files.give(session, 1);
    throw errno("ESTALE");
  }

  #noteLocks(): void {
    if (this.lockCount + this.#coming.size > 0) this.#shared.locked.add(this);
    else this.#shared.locked.delete(this);
  }

  /**
   * Sets owner, group and mode, then the size: what is cut off cannot be had back if one of the others
   * is refused.
   */
  #resize(
    size: bigint,
    changes: Changes,
    by: Identity,
    file: OpenFile | undefined,
  ): Answer<void> {
    if (this.#type === S_IFDIR) throw errno("EISDIR");
    if (this.#type !== S_IFREG || this.#hostType !== S_IFREG) throw errno("EINVAL");
    const { credentials } = this.#shared;
    let resized: Answer<void>;
    if (file instanceof HostFile && file.isWritable && file.node === this) {
      this.#setOwnership(changes);
      resized = file.truncate(size);
    } else resized = this.#cut(size, changes);
    return after(resized, () => {
      // A mode that was asked for is what it shall be.
      if (changes.mode === undefined && credentials.dropsSetId(by.uid)) {
        ok(credentials.dropSetId(this));
      }
    });
  }

  #cut(size: bigint, changes: Changes): Answer<void> {
    // Not truncate(2): it waits for whoever on the host has a lease on the file, for 45 seconds.
    const isHeavy = this.#isHeavyNow();
    return after(this.#openSelf(O_WRONLY | SAFE_FLAGS), (fd) => {
      const { calls } = this;
      this.#kept(ok(fd));
      try {
        this.#setOwnership(changes);
      } catch (error) {
        close(fd);
        throw error;
      }
      const call = () => ftruncate(fd, size);
      const done = isHeavy ? calls.later(null, call, []) : calls.make(calls.names, call);
      return after(done, (result) => {
        close(fd);
        ok(result);
      });
    });
  }

  /** Makes the open file of a descriptor. */
  #openedFile(fd: number, flags: number, by: Identity): HostFile {
    const isGuarded = (flags & O_ACCMODE) !== 0 && this.#shared.credentials.dropsSetId(by.uid);
    const file = new HostFile(this.#shared, this.hold(), fd, flags, by.session, isGuarded);
    if (isGuarded && (flags & O_TRUNC) !== 0) file.guard();
    return file;
  }

  /** Has open files look again before they write: there are set-id bits now. */
  #guardFiles(): void {
    if (this.#openCount === 0) return;
    for (const file of this.#shared.files) {
      if (file.node === this && file instanceof HostFile) file.guardAgain();
    }
  }

  /** Whether to close the handle may take a while. */
  #endsLate(): boolean {
    if (!this.#isHeavy) return false;
    return this.calls.isRemote || this.#isHeavyNow() && this.#shared.statx.nlink === 0;
  }

  /** Whether the file takes the kernel a while to cut or to forget; a remote one is not looked at. */
  #isHeavyNow(): boolean {
    return this.calls.hasHelpers && !this.calls.isRemote && this.#isHeld &&
      this.#isHeavyAt(this.handle());
  }

  #isHeavyAt(fd: number): boolean {
    const { statx: found } = this.#shared;
    return statx(fd, null, LOOK, STATX_BLOCKS | STATX_NLINK, found) === 0 &&
      found.blocks >= HEAVY_BLOCKS;
  }

  /** Whether much space becomes free with a descriptor: it is the last one of a file without name. */
  isLast(fd: number): boolean {
    return this.calls.hasHelpers && this.#isHeavy && !this.#isHeld && this.#isHeavyAt(fd) &&
      this.#shared.statx.nlink === 0;
  }

  /** Makes node and open file of a descriptor that created a file. */
  #created(fd: number, name: string, flags: number, by: Identity): HostFile {
    let node: HostNode | null = null;
    try {
      const handle = ok(this.#shared.openAgain(fd, O_PATH | O_CLOEXEC));
      this.#lookAt(handle, LOOK);
      node = this.#known(handle, name, true);
      return node.#openedFile(fd, flags, by);
    } catch (error) {
      close(fd);
      this.#shared.descriptors.files.give(by.session, 1);
      this.#unlink(name, false);
      throw error;
    } finally {
      node?.release();
    }
  }

  #unlink(name: string, directory: boolean): number {
    const { credentials } = this.#shared;
    return credentials.unlink === undefined
      ? unlinkat(this.handle(), name, directory ? AT_REMOVEDIR : 0)
      : credentials.unlink(this.handle(), name, directory);
  }

  /** Makes a file of any type that is not opened. */
  #make(name: string, wanted: Wanted): Answer<Qid> {
    this.#start(name);
    return this.#once(() => this.#makeNow(name, wanted));
  }

  #makeNow(name: string, wanted: Wanted): Qid {
    const shared = this.#shared;
    shared.descriptors.makeRoom();
    const fd = ok(shared.credentials.make(this, name, wanted));
    try {
      ok(statx(fd, null, LOOK, STATX_MASK, shared.statx));
      return {
        type: qidTypeOf(wanted.mode),
        version: shared.version(),
        path: shared.pathNumber(),
      };
    } finally {
      close(fd);
    }
  }

  #shownXattrs(bytes: Uint8Array, size: number): Uint8Array {
    const { credentials } = this.#shared;
    let text = "";
    for (const name of attributeNames(bytes, size)) {
      const shown = credentials.listed(name);
      if (shown !== null) text += `${shown}\0`;
    }
    const list = new Uint8Array(byteLength(text));
    encodeStringInto(text, list, 0);
    return list;
  }
}

/** An entry that the kernel has in memory, as a handle; EAGAIN if it would have to ask a disk. */
function openCached(folder: number, name: string): number {
  return features().cachedLookup ? openat2(folder, name, HANDLE_FLAGS, 0, RESOLVE_CACHED) : -EAGAIN;
}

/** What a call has found out about a file system. */
function statisticsOf(result: number, found: Statfs): FileSystemStatistics {
  ok(result);
  const { type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen } = found;
  return { type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen };
}

function own(node: Node): HostNode {
  if (!(node instanceof HostNode)) {
    throw new TypeError(`Cannot use node "${node.name}": it belongs to another kind of tree`);
  }
  return node;
}

/** All that tells a node of another mount or device apart. */
function foreignKey(shared: HostShared): string {
  const { statx: found } = shared;
  return `${found.mntId} ${found.devMajor} ${found.devMinor} ${found.ino}`;
}

/** What is to be made for a user: nothing that is opened, no device, no link. */
function wantedBy(by: Identity, mode: number, gid: number): Wanted {
  return { mode, uid: by.uid, gid, flags: -1, major: 0, minor: 0, target: "" };
}

function secondsOf(time: NewTime | undefined): bigint {
  return time === undefined || time === "now" ? 0n : BigInt.asIntN(64, time.sec);
}

function nanosecondsOf(time: NewTime | undefined): number {
  if (time === undefined) return UTIME_OMIT;
  if (time === "now") return UTIME_NOW;
  // Two larger numbers mean "now" and "leave it" to the kernel; no client shall send those.
  if (!(time.nsec >= 0 && time.nsec < 1_000_000_000)) throw errno("EINVAL");
  return time.nsec;
}
