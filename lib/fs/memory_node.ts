/**
 * Files, folders and links of a {@linkcode MemoryTree}.
 *
 * @module
 */
import {
  byteLength,
  encodeStringInto,
  errno,
  O_ACCMODE,
  O_APPEND,
  O_DIRECTORY,
  O_EXCL,
  O_TRUNC,
  O_WRONLY,
  QTDIR,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../p9/mod.ts";
import type { Qid, Segments } from "../p9/mod.ts";
import { lastOf, lengthOf, LockTable, LockWaiters } from "./lock_table.ts";
import { MemoryContent } from "./memory_content.ts";
import type { Budget } from "./memory_content.ts";
import {
  encodeDevice,
  entryTypeOf,
  NO_ID,
  PERMISSIONS,
  qidTypeOf,
  XATTR_NAME_MAX,
  XATTR_SIZE_MAX,
} from "./modes.ts";
import type {
  Attributes,
  Changes,
  DirectorySink,
  FileSystemStatistics,
  Identity,
  LockConflict,
  LockOwner,
  LockRange,
  NewTime,
  Node,
  OpenFile,
} from "./tree.ts";

const SECOND = 1_000_000_000n;
/** Magic number of v9fs, which is what `df` in a guest expects. */
const V9FS_MAGIC = 0x0102_1997;
const BLOCK = 4096;
/** Offset of the first entry behind `.` and `..` in a list. */
const FIRST_ENTRY = 3n;

/** What the nodes of one tree share. */
export interface MemoryShared {
  /** Memory for content and attributes. */
  readonly budget: Budget;
  /** Most files and folders. */
  readonly maxFiles: number;
  /** Whether qids tell versions. */
  readonly versions: boolean;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  /** Inode number of the next file. */
  nextInode: bigint;
  /** Files and folders that exist. */
  inodes: number;
  /** Nodes that somebody holds. */
  nodes: number;
  /** Open files. */
  files: number;
  /** Nodes with locks held or waited for. */
  readonly locked: Set<MemoryNode>;
}

/** A name in a folder. */
export interface MemoryEntry {
  /** Offset in a list: grows with every new entry, so that lists survive changes. */
  readonly id: bigint;
  /** The name. */
  readonly name: string;
  /** What it leads to. */
  readonly node: MemoryNode;
}

/** A file of any type. It is its own inode: all names lead to one object. */
export class MemoryNode implements Node {
  readonly #shared: MemoryShared;
  readonly #qid: { readonly type: number; version: number; readonly path: bigint };
  readonly #entries: Map<string, MemoryEntry> | null;
  readonly #content: MemoryContent | null;
  readonly #target: string;
  readonly #rdev: bigint;
  readonly #locks: LockTable = new LockTable();
  readonly #waiters: LockWaiters = new LockWaiters();
  /** Open files by session: its locks end with the last one. */
  readonly #opened: Map<object, number> = new Map();
  #xattrs: Map<string, Uint8Array> | null = null;
  #nextEntry = FIRST_ENTRY;
  #mode: number;
  #uid: number;
  #gid: number;
  #nlink: number;
  #atime: bigint;
  #mtime: bigint;
  #ctime: bigint;
  readonly #btime: bigint;
  #references = 0;
  #parent: MemoryNode | null = null;
  #name = "/";

  /** Makes a file without a name. */
  constructor(
    shared: MemoryShared,
    mode: number,
    uid: number,
    gid: number,
    more: { target?: string; rdev?: bigint } = {},
  ) {
    if (shared.inodes >= shared.maxFiles) throw errno("ENOSPC");
    shared.inodes++;
    this.#shared = shared;
    this.#mode = mode;
    this.#uid = uid === NO_ID ? 0 : uid;
    this.#gid = gid === NO_ID ? 0 : gid;
    this.#qid = {
      type: qidTypeOf(mode),
      version: shared.versions ? 1 : 0,
      path: shared.nextInode++,
    };
    const type = mode & S_IFMT;
    this.#entries = type === S_IFDIR ? new Map() : null;
    this.#content = type === S_IFREG ? new MemoryContent(shared.budget) : null;
    this.#target = more.target ?? "";
    this.#rdev = more.rdev ?? 0n;
    this.#nlink = type === S_IFDIR ? 2 : 0;
    this.#btime =
      this.#atime =
      this.#mtime =
      this.#ctime =
        shared.now();
  }

  /** Identity; `version` counts changes of content if the tree was asked for versions. */
  get qid(): Qid {
    return { ...this.#qid };
  }

  /** Name that the node was last reached by. */
  get name(): string {
    return this.#name;
  }

  /** The entry of that name, without a reference: for lists and for the tree itself. */
  entry(name: string): MemoryEntry | undefined {
    return this.#entries?.get(name);
  }

  /** Locks held and waited for. */
  get lockCount(): number {
    return this.#locks.size + this.#waiters.size;
  }

  /** Takes one more reference. */
  hold(): this {
    if (this.#references++ === 0) this.#shared.nodes++;
    return this;
  }

  /** Gives a reference back. A file without names ends with the last one. */
  release(): void {
    if (this.#references === 0) {
      throw new RangeError(`Cannot release "${this.#name}": nobody holds it`);
    }
    if (--this.#references > 0) return;
    this.#shared.nodes--;
    this.#endIfUnused();
  }

  /** Finds an entry. */
  walk(name: string, _by: Identity): MemoryNode {
    const entry = this.#folder().get(name);
    if (entry === undefined) throw errno("ENOENT");
    entry.node.#parent = this;
    entry.node.#name = name;
    return entry.node.hold();
  }

  /** The folder above. */
  parent(_by: Identity): MemoryNode {
    return (this.#parent ?? this).hold();
  }

  /** All attributes. */
  attributes(_by: Identity): Attributes {
    const used = this.#content?.used ?? 0;
    return {
      qid: this.qid,
      mode: this.#mode,
      uid: this.#uid,
      gid: this.#gid,
      nlink: this.#nlink,
      rdev: this.#rdev,
      size: this.#size(),
      blksize: BLOCK,
      blocks: BigInt(Math.ceil(used / 512)),
      atimeSec: seconds(this.#atime),
      atimeNsec: nanoseconds(this.#atime),
      mtimeSec: seconds(this.#mtime),
      mtimeNsec: nanoseconds(this.#mtime),
      ctimeSec: seconds(this.#ctime),
      ctimeNsec: nanoseconds(this.#ctime),
      btimeSec: seconds(this.#btime),
      btimeNsec: nanoseconds(this.#btime),
    };
  }

  /** Changes attributes. Everybody may change everything: permissions are the client's affair. */
  setAttributes(changes: Changes, _by: Identity, _file?: OpenFile): void {
    if (changes.size !== undefined) {
      if (this.#entries !== null) throw errno("EISDIR");
      if (this.#content === null) throw errno("EINVAL");
      if (changes.size !== this.#content.size) {
        this.#content.resize(changes.size);
        this.#touch();
      }
    }
    if (changes.mode !== undefined) {
      if ((this.#mode & S_IFMT) === S_IFLNK) throw errno("EOPNOTSUPP");
      this.#mode = (this.#mode & S_IFMT) | (changes.mode & PERMISSIONS);
    }
    if (changes.uid !== undefined && changes.uid !== NO_ID) this.#uid = changes.uid;
    if (changes.gid !== undefined && changes.gid !== NO_ID) this.#gid = changes.gid;
    const now = this.#shared.now();
    this.#ctime = now;
    if (changes.size !== undefined) this.#mtime = now;
    if (changes.atime !== undefined) this.#atime = moment(changes.atime, now);
    if (changes.mtime !== undefined) this.#mtime = moment(changes.mtime, now);
  }

  /** Opens the node. */
  open(flags: number, by: Identity): MemoryFile {
    const type = this.#mode & S_IFMT;
    if (type === S_IFLNK) throw errno("ELOOP");
    if (type === S_IFDIR) {
      if ((flags & O_ACCMODE) !== 0 || (flags & O_TRUNC) !== 0) throw errno("EISDIR");
    } else {
      if ((flags & O_DIRECTORY) !== 0) throw errno("ENOTDIR");
      if (type !== S_IFREG) throw errno("ENXIO");
      if ((flags & O_TRUNC) !== 0) this.#truncate();
    }
    return this.#openUnchecked(flags, by);
  }

  /** Makes a file and opens it. */
  create(name: string, flags: number, mode: number, gid: number, by: Identity): MemoryFile {
    const found = this.#folder().get(name);
    if (found !== undefined) {
      if ((flags & O_EXCL) !== 0) throw errno("EEXIST");
      if (found.node.#entries !== null) throw errno("EISDIR");
      found.node.#parent = this;
      found.node.#name = name;
      return found.node.open(flags, by);
    }
    if ((flags & O_DIRECTORY) !== 0) throw errno("EINVAL");
    return this.#add(name, S_IFREG | (mode & PERMISSIONS), gid, by).#openUnchecked(flags, by);
  }

  /** Makes a folder. */
  mkdir(name: string, mode: number, gid: number, by: Identity): Qid {
    return this.#add(name, S_IFDIR | (mode & PERMISSIONS), gid, by).qid;
  }

  /** Makes a symbolic link. */
  symlink(name: string, target: string, gid: number, by: Identity): Qid {
    if (target === "") throw errno("ENOENT");
    return this.#add(name, S_IFLNK | 0o777, gid, by, { target }).qid;
  }

  /** Makes a file of any type but folder and link. */
  mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Qid {
    const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
    const isDevice = type === S_IFBLK || type === S_IFCHR;
    if (type === S_IFDIR) throw errno("EPERM");
    if (!isDevice && type !== S_IFREG && type !== S_IFIFO && type !== S_IFSOCK) {
      throw errno("EINVAL");
    }
    const rdev = isDevice ? encodeDevice(major, minor) : 0n;
    return this.#add(name, type | (mode & PERMISSIONS), gid, by, { rdev }).qid;
  }

  /** Gives a file one more name. */
  link(name: string, target: Node, _by: Identity): void {
    const folder = this.#living();
    const node = own(target);
    if (folder.has(name)) throw errno("EEXIST");
    if (node.#entries !== null) throw errno("EPERM");
    if (node.#nlink === 0) throw errno("ENOENT");
    this.#put(name, node);
    this.#touch();
    node.#nlink++;
    node.#ctime = this.#shared.now();
  }

  /** Removes a name. */
  unlink(name: string, directory: boolean, _by: Identity): void {
    const entry = this.#folder().get(name);
    if (entry === undefined) throw errno("ENOENT");
    if (directory && entry.node.#entries === null) throw errno("ENOTDIR");
    if (!directory && entry.node.#entries !== null) throw errno("EISDIR");
    if (entry.node.#entries !== null && entry.node.#entries.size > 0) throw errno("ENOTEMPTY");
    this.#folder().delete(name);
    this.#touch();
    this.#dropName(entry.node);
  }

  /** Moves an entry. */
  rename(name: string, to: Node, newName: string, _by: Identity): void {
    const source = this.#folder().get(name);
    const target = own(to);
    const into = target.#living();
    if (source === undefined) throw errno("ENOENT");
    const node = source.node;
    const replaced = into.get(newName);
    if (node.#entries !== null && target.#isWithin(node)) throw errno("EINVAL");
    if (replaced !== undefined) {
      if (replaced.node === node) return;
      if (this.#isWithin(replaced.node)) throw errno("ENOTEMPTY");
      if (node.#entries !== null && replaced.node.#entries === null) throw errno("ENOTDIR");
      if (node.#entries === null && replaced.node.#entries !== null) throw errno("EISDIR");
      if (replaced.node.#entries !== null && replaced.node.#entries.size > 0) {
        throw errno("ENOTEMPTY");
      }
    }
    this.#folder().delete(name);
    // A replaced entry keeps its place in the list, so that a list that goes on shows the name once.
    if (replaced === undefined) target.#put(newName, node);
    else into.set(newName, { id: replaced.id, name: newName, node });
    if (node.#entries !== null) {
      this.#nlink--;
      target.#nlink++;
    }
    if (node.#parent === this && node.#name === name) {
      node.#parent = target;
      node.#name = newName;
    }
    this.#touch();
    target.#touch();
    node.#ctime = this.#shared.now();
    if (replaced !== undefined) target.#dropName(replaced.node);
  }

  /** Moves this node. */
  move(to: Node, newName: string, by: Identity): void {
    this.#named().rename(this.#name, to, newName, by);
  }

  /** Removes the name of this node. */
  remove(by: Identity): void {
    this.#named().unlink(this.#name, this.#entries !== null, by);
  }

  /** Target of a link. */
  readlink(_by: Identity): string {
    if ((this.#mode & S_IFMT) !== S_IFLNK) throw errno("EINVAL");
    return this.#target;
  }

  /** Statistics: room for content is what the tree was allowed. */
  statfs(_by: Identity): FileSystemStatistics {
    const { budget, maxFiles, inodes } = this.#shared;
    const blocks = BigInt(Math.floor(budget.limit / BLOCK));
    const free = BigInt(Math.floor((budget.limit - budget.used) / BLOCK));
    return {
      type: V9FS_MAGIC,
      bsize: BLOCK,
      blocks,
      bfree: free,
      bavail: free,
      files: BigInt(maxFiles),
      ffree: BigInt(maxFiles - inodes),
      fsid: 0n,
      namelen: 255,
    };
  }

  /** Value of an attribute. */
  getXattr(name: string, _by: Identity): Uint8Array {
    checkXattrName(name);
    const value = this.#xattrs?.get(name);
    if (value === undefined) throw errno("ENODATA");
    return value.slice();
  }

  /** All names. */
  listXattr(_by: Identity): Uint8Array {
    let size = 0;
    const names = [...this.#xattrs?.keys() ?? []];
    for (const name of names) size += byteLength(name) + 1;
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const name of names) at = encodeStringInto(name, bytes, at) + 1;
    return bytes;
  }

  /** Sets an attribute. As in Linux, only files and folders have those of users. */
  setXattr(name: string, value: Uint8Array, flags: number, _by: Identity): void {
    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw errno("EINVAL");
    if (value.length > XATTR_SIZE_MAX) throw errno("E2BIG");
    checkXattrName(name);
    this.#checkXattrOwner();
    const old = this.#xattrs?.get(name);
    if (old !== undefined && (flags & XATTR_CREATE) !== 0) throw errno("EEXIST");
    if (old === undefined && (flags & XATTR_REPLACE) !== 0) throw errno("ENODATA");
    const { budget } = this.#shared;
    const more = value.length - (old?.length ?? -byteLength(name));
    if (budget.used + more > budget.limit) throw errno("ENOSPC");
    budget.used += more;
    this.#xattrs ??= new Map();
    this.#xattrs.set(name, value.slice());
    this.#ctime = this.#shared.now();
  }

  /** Removes an attribute. */
  removeXattr(name: string, _by: Identity): void {
    checkXattrName(name);
    this.#checkXattrOwner();
    const old = this.#xattrs?.get(name);
    if (old === undefined) throw errno("ENODATA");
    this.#shared.budget.used -= old.length + byteLength(name);
    this.#xattrs?.delete(name);
    this.#ctime = this.#shared.now();
  }

  /** Reads content, for {@linkcode MemoryFile}. The time of last read stays: lists stay the same for the same requests. */
  readAt(into: Segments, offset: bigint): number {
    if (this.#content === null) throw errno("EISDIR");
    return this.#content.read(into, offset);
  }

  /** Writes content, for {@linkcode MemoryFile}; at the end without an offset. */
  writeAt(from: Segments, offset: bigint | null): number {
    if (this.#content === null) throw errno("EISDIR");
    const written = this.#content.write(from, offset ?? this.#content.size);
    if (written > 0) this.#touch();
    return written;
  }

  /** Entries behind `.` and `..` in the order of their offsets; goes on with those that come later. */
  entries(): Iterator<MemoryEntry> {
    return this.#folder().values();
  }

  /** `st_mode`. */
  get mode(): number {
    return this.#mode;
  }

  /** Locks or unlocks, for {@linkcode MemoryFile}. */
  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal: AbortSignal | undefined,
  ): boolean | Promise<boolean> {
    const last = lastOf(range);
    if (this.#tryLock(range, last, owner)) {
      this.#settleLocks();
      return true;
    }
    if (!wait) return false;
    const promise = this.#waiters.wait(owner, () => this.#tryLock(range, last, owner), signal);
    this.#settleLocks();
    return promise;
  }

  /** Tests a lock, for {@linkcode MemoryFile}. */
  testLock(range: LockRange, owner: LockOwner): LockConflict | null {
    const last = lastOf(range);
    if (range.type === "unlock") return null;
    const held = this.#locks.conflict(range.type, range.start, last, owner);
    if (held === null) return null;
    return {
      type: held.type,
      start: held.start,
      length: lengthOf(held.start, held.last),
      client: held.owner.client,
      process: held.owner.process,
    };
  }

  /** Ends locks of a session, held and waited for. */
  endLocks(session: object): void {
    this.#waiters.endSession(session);
    this.#locks.dropSession(session);
    this.#settleLocks();
  }

  /** Ends all locks. */
  endAllLocks(): void {
    this.#waiters.endAll();
    for (const { owner } of [...this.#locks.held]) this.#locks.dropSession(owner.session);
    this.#settleLocks();
  }

  /** Counts an open file out, for {@linkcode MemoryFile}. */
  closed(session: object): void {
    this.#shared.files--;
    const left = (this.#opened.get(session) ?? 1) - 1;
    if (left > 0) {
      this.#opened.set(session, left);
    } else {
      this.#opened.delete(session);
      if (this.lockCount > 0) this.endLocks(session);
    }
    this.release();
  }

  #openUnchecked(flags: number, by: Identity): MemoryFile {
    this.#shared.files++;
    this.#opened.set(by.session, (this.#opened.get(by.session) ?? 0) + 1);
    return new MemoryFile(this.hold(), flags, by.session);
  }

  #tryLock(range: LockRange, last: bigint, owner: LockOwner): boolean {
    if (
      range.type !== "unlock" &&
      this.#locks.conflict(range.type, range.start, last, owner) !== null
    ) return false;
    this.#locks.set(range.type, range.start, last, owner);
    return true;
  }

  #settleLocks(): void {
    this.#waiters.retry();
    if (this.lockCount > 0) this.#shared.locked.add(this);
    else this.#shared.locked.delete(this);
  }

  #size(): bigint {
    if (this.#content !== null) return this.#content.size;
    if (this.#entries !== null) return BigInt(BLOCK);
    return BigInt(byteLength(this.#target));
  }

  #folder(): Map<string, MemoryEntry> {
    if (this.#entries === null) throw errno("ENOTDIR");
    return this.#entries;
  }

  /** The entries, of a folder that still has a name itself. */
  #living(): Map<string, MemoryEntry> {
    const entries = this.#folder();
    if (this.#nlink === 0) throw errno("ENOENT");
    return entries;
  }

  /** The folder that this node has its name in. */
  #named(): MemoryNode {
    if (this.#parent === null) throw errno("EBUSY");
    if (this.#parent.#entries?.get(this.#name)?.node !== this) throw errno("ENOENT");
    return this.#parent;
  }

  #add(
    name: string,
    mode: number,
    gid: number,
    by: Identity,
    more?: { target?: string; rdev?: bigint },
  ): MemoryNode {
    if (this.#folder().has(name)) throw errno("EEXIST");
    this.#living();
    const node = new MemoryNode(this.#shared, mode, by.uid, gid, more);
    if (node.#entries === null) node.#nlink = 1;
    else this.#nlink++;
    node.#parent = this;
    node.#name = name;
    this.#put(name, node);
    this.#touch();
    return node;
  }

  #put(name: string, node: MemoryNode): void {
    this.#folder().set(name, { id: this.#nextEntry++, name, node });
  }

  /** Counts a name of an entry out. */
  #dropName(node: MemoryNode): void {
    if (node.#entries === null) {
      node.#nlink--;
    } else {
      node.#nlink = 0;
      this.#nlink--;
    }
    node.#ctime = this.#shared.now();
    node.#endIfUnused();
  }

  #endIfUnused(): void {
    if (this.#nlink > 0 || this.#references > 0) return;
    this.#content?.clear();
    for (const [name, value] of this.#xattrs ?? []) {
      this.#shared.budget.used -= value.length + byteLength(name);
    }
    this.#xattrs = null;
    this.#shared.inodes--;
  }

  #truncate(): void {
    if (this.#content === null) return;
    this.#content.resize(0n);
    this.#touch();
  }

  /** Notes a change of content. */
  #touch(): void {
    this.#mtime = this.#ctime = this.#shared.now();
    if (!this.#shared.versions) return;
    this.#qid.version = (this.#qid.version % 0xffff_ffff) + 1;
  }

  /** True if this node is `folder` or below it. */
  #isWithin(folder: MemoryNode): boolean {
    if (folder.#entries === null) return false;
    if (this === folder) return true;
    for (let at = this.#parent; at !== null; at = at.#parent) {
      if (at === folder) return true;
    }
    return false;
  }

  #checkXattrOwner(): void {
    if (this.#entries === null && this.#content === null) throw errno("EPERM");
  }
}

/** A file or folder of a {@linkcode MemoryTree} that is open. */
export class MemoryFile implements OpenFile {
  readonly #node: MemoryNode;
  readonly #flags: number;
  readonly #session: object;
  #isOpen = true;
  /** Where the last list stopped, to go on without searching. */
  #iterator: Iterator<MemoryEntry> | null = null;
  #stoppedAt = 0n;
  #left: MemoryEntry | null = null;

  /** Takes over the caller's reference on `node`. */
  constructor(node: MemoryNode, flags: number, session: object) {
    this.#node = node;
    this.#flags = flags;
    this.#session = session;
  }

  /** The node. */
  get node(): MemoryNode {
    return this.#node;
  }

  /** Reads content. */
  read(into: Segments, offset: bigint): number {
    if ((this.#flags & O_ACCMODE) === O_WRONLY) throw errno("EBADF");
    return this.#node.readAt(into, offset);
  }

  /** Writes content. */
  write(from: Segments, offset: bigint): number {
    if ((this.#flags & O_ACCMODE) === 0) throw errno("EBADF");
    return this.#node.writeAt(from, (this.#flags & O_APPEND) === 0 ? offset : null);
  }

  /** Lists entries in the order they were made. */
  readdir(offset: bigint, into: DirectorySink): void {
    const node = this.#node;
    if (node.qid.type !== QTDIR) throw errno("ENOTDIR");
    if (offset < 1n && !into.add(QTDIR, node.qid.path, 1n, entryTypeOf(S_IFDIR), ".")) return;
    if (offset < 2n) {
      const parent = node.parent({ uid: 0, uname: "", session: this });
      const path = parent.qid.path;
      parent.release();
      if (!into.add(QTDIR, path, 2n, entryTypeOf(S_IFDIR), "..")) return;
    }
    // A Map's iterator survives changes: what is deleted is left out, what is new comes last.
    if (this.#iterator === null || this.#stoppedAt !== offset) {
      this.#iterator = node.entries();
      this.#left = null;
    }
    this.#stoppedAt = offset < 2n ? 2n : offset;
    for (;;) {
      let entry = this.#left;
      this.#left = null;
      if (entry === null) {
        const next = this.#iterator.next();
        if (next.done === true) {
          // Entries that are made after the end are found by a new iterator only.
          this.#iterator = null;
          return;
        }
        entry = next.value;
      } else {
        // It may have been removed or replaced since it did not fit.
        const now = node.entry(entry.name);
        if (now?.id !== entry.id) continue;
        entry = now;
      }
      if (entry.id <= this.#stoppedAt) continue;
      const { type, path } = entry.node.qid;
      if (!into.add(type, path, entry.id, entryTypeOf(entry.node.mode), entry.name)) {
        this.#left = entry;
        return;
      }
      this.#stoppedAt = entry.id;
    }
  }

  /** Nothing to do: memory is all there is. */
  sync(_dataOnly: boolean): void {}

  /** Locks or unlocks. */
  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal?: AbortSignal,
  ): boolean | Promise<boolean> {
    return this.#node.lock(range, owner, wait, signal);
  }

  /** Tests a lock. */
  testLock(range: LockRange, owner: LockOwner): LockConflict | null {
    return this.#node.testLock(range, owner);
  }

  /** Closes the file. */
  close(): void {
    if (!this.#isOpen) {
      throw new RangeError(`Cannot close "${this.#node.name}": the file is closed already`);
    }
    this.#isOpen = false;
    this.#iterator = null;
    this.#left = null;
    this.#node.closed(this.#session);
  }
}

function own(node: Node): MemoryNode {
  if (!(node instanceof MemoryNode)) {
    throw new TypeError(`Cannot use node "${node.name}": it belongs to another kind of tree`);
  }
  return node;
}

function checkXattrName(name: string): void {
  if (name === "" || byteLength(name) > XATTR_NAME_MAX) throw errno("ERANGE");
  if (!name.startsWith("user.")) throw errno("EOPNOTSUPP");
  if (name === "user.") throw errno("EINVAL");
}

/** Seconds, rounded down also before 1970. */
function seconds(time: bigint): bigint {
  return (time - BigInt(nanoseconds(time))) / SECOND;
}

function nanoseconds(time: bigint): number {
  return Number(((time % SECOND) + SECOND) % SECOND);
}

function moment(time: NewTime, now: bigint): bigint {
  return time === "now" ? now : time.sec * SECOND + BigInt(time.nsec);
}
