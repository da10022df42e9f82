/**
 * A tree that stands behind a server: every call is a message of 9P2000.L.
 *
 * With it the rules that hold for trees are checked through a transport, a session and a client.
 *
 * @module
 */
import type { Client, Fid } from "../lib/client/mod.ts";
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
  Tree,
} from "../lib/fs/mod.ts";
import {
  decodeDirents,
  errno,
  LOCK_BLOCKED,
  LOCK_FLAGS_BLOCK,
  LOCK_SUCCESS,
  LOCK_TYPE_RDLCK,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  type Qid,
  QTDIR,
  type Segments,
  SETATTR_ATIME,
  SETATTR_ATIME_SET,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_MTIME_SET,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../lib/p9/mod.ts";

const LOCK_NUMBERS = {
  read: LOCK_TYPE_RDLCK,
  write: LOCK_TYPE_WRLCK,
  unlock: LOCK_TYPE_UNLCK,
} as const;

/** One past the last byte there is. */
const END = 1n << 63n;

/** A connection with its root: a session of the server for each session of the tree. */
interface Line {
  readonly client: Client;
  readonly root: Fid;
}

class Connection {
  readonly line: Promise<Line>;
  isOver = false;

  constructor(line: Promise<Line>) {
    this.line = line;
  }

  async end(): Promise<void> {
    this.isOver = true;
    const { client } = await this.line;
    await client.close();
  }
}

/** A name in the tree, as far as it was walked: 9P tells no fid how it is called now. */
class Place {
  name: string;
  above: Place | null;
  readonly #entries = new Map<string, Place>();

  constructor(name: string, above: Place | null) {
    this.name = name;
    this.above = above;
  }

  /** Names from the root. */
  get path(): string[] {
    return this.above === null ? [] : [...this.above.path, this.name];
  }

  entry(name: string): Place {
    let place = this.#entries.get(name);
    if (place === undefined) this.#entries.set(name, place = new Place(name, this));
    return place;
  }

  forget(name: string): void {
    this.#entries.delete(name);
  }

  move(name: string, to: Place, newName: string): void {
    const place = this.#entries.get(name);
    if (place === undefined) return;
    this.#entries.delete(name);
    place.name = newName;
    place.above = to;
    to.#entries.set(newName, place);
  }
}

/** A range that is locked, for counting. */
interface Held {
  readonly session: object;
  readonly path: bigint;
  readonly owner: string;
  readonly start: bigint;
  /** One past its last byte. */
  readonly end: bigint;
}

/** A tree on the other side of connections. */
export class RemoteTree implements Tree {
  /** Answers come over a socket. */
  readonly needsEventLoop = true;
  /** The server sees to the order. */
  readonly inOrder = false;
  /** Nodes that somebody holds. */
  readonly nodes: Set<RemoteNode> = new Set<RemoteNode>();
  /** Open files. */
  readonly files: Set<RemoteFile> = new Set<RemoteFile>();
  /** What went wrong where nobody could be told. */
  readonly faults: unknown[] = [];
  readonly #connect: () => Promise<Client>;
  readonly #aname: string;
  readonly #connections = new Map<object, Connection>();
  readonly #ending = new Set<Promise<void>>();
  readonly #root = new Place("/", null);
  #held: Held[] = [];

  /**
   * Makes one that has not connected yet.
   *
   * @param connect Makes a connection, once per session; owned by the tree.
   * @param aname Name of the export.
   */
  constructor(connect: () => Promise<Client>, aname: string) {
    this.#connect = connect;
    this.#aname = aname;
  }

  /** The root, through the connection of the session. */
  async attach(by: Identity): Promise<RemoteNode> {
    const connection = this.connection(by);
    const { root } = await connection.line;
    return new RemoteNode(this, this.#root, connection, await root.walk());
  }

  /** Hangs up, which is how a session ends. */
  endSession(session: object): void {
    const connection = this.#connections.get(session);
    if (connection === undefined) return;
    this.#connections.delete(session);
    this.#held = this.#held.filter((held) => held.session !== session);
    this.later(connection.end());
  }

  /** What the callers hold; what the server holds for them is asked of the server. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number } {
    return { nodes: this.nodes.size, files: this.files.size, locks: this.#held.length };
  }

  /** Nothing yet: the connections end with {@linkcode RemoteTree.disconnect}, after a look at the server. */
  close(): void {}

  /** Sessions that have a connection, and so a fid of the root. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Ends all connections. */
  async disconnect(): Promise<void> {
    for (const session of [...this.#connections.keys()]) this.endSession(session);
    await this.quiet();
  }

  /** Waits until everything that was given back has reached the server. */
  async quiet(): Promise<void> {
    // One connection must not overtake another: a lock given back by closing a file is free then.
    while (this.#ending.size > 0) await Promise.all(this.#ending);
  }

  /** The connection of a session. */
  connection({ session, uid, uname }: Identity): Connection {
    let connection = this.#connections.get(session);
    if (connection === undefined) {
      connection = new Connection(this.#dial(uid, uname));
      this.#connections.set(session, connection);
    }
    return connection;
  }

  /** Keeps an eye on what nobody waits for. */
  later(ending: Promise<void>): void {
    const watched = ending.catch((error: unknown) => {
      this.faults.push(error);
    }).finally(() => this.#ending.delete(watched));
    this.#ending.add(watched);
  }

  /** Gives a fid back. */
  discard(connection: Connection, fid: Fid): void {
    if (connection.isOver) return;
    this.later(
      fid.clunk().catch((error: unknown) => {
        if (!connection.isOver) throw error;
      }),
    );
  }

  /** Counts a lock that was granted, or given back. */
  granted(path: bigint, { session, client, process }: LockOwner, range: LockRange): void {
    const owner = `${process} ${client}`;
    const { start } = range;
    const end = range.length === 0n ? END : start + range.length;
    const rest: Held[] = [];
    for (const held of this.#held) {
      const isOwn = held.session === session && held.path === path && held.owner === owner;
      if (!isOwn || held.end <= start || held.start >= end) {
        rest.push(held);
        continue;
      }
      if (held.start < start) rest.push({ ...held, end: start });
      if (held.end > end) rest.push({ ...held, start: end });
    }
    if (range.type !== "unlock") rest.push({ session, path, owner, start, end });
    this.#held = rest;
  }

  /** Counts a file as closed; with the last one of a session its locks on that file end. */
  closed(file: RemoteFile): void {
    this.files.delete(file);
    const { path } = file.node.qid;
    const isSame = (other: RemoteFile) =>
      other.session === file.session && other.node.qid.path === path;
    if ([...this.files].some(isSame)) return;
    this.#held = this.#held.filter((held) => held.session !== file.session || held.path !== path);
  }

  async #dial(uid: number, uname: string): Promise<Line> {
    const client = await this.#connect();
    const root = await client.attach({ n_uname: uid, uname, aname: this.#aname });
    return { client, root };
  }
}

/** A fid, or one for each connection that the node is used through. */
export class RemoteNode implements Node {
  /** Identity as the server told when the node was reached. */
  readonly qid: Qid;
  readonly #tree: RemoteTree;
  readonly #place: Place;
  readonly #fids = new Map<Connection, Promise<Fid>>();
  #references = 1;

  /**
   * A node that is held once.
   *
   * @param fid Owned from here on.
   */
  constructor(tree: RemoteTree, place: Place, connection: Connection, fid: Fid) {
    this.#tree = tree;
    this.#place = place;
    this.#fids.set(connection, Promise.resolve(fid));
    this.qid = fid.qid;
    tree.nodes.add(this);
  }

  /** Name of the place that the node was reached by. */
  get name(): string {
    return this.#place.name;
  }

  /** Takes one more reference. */
  hold(): this {
    this.#references++;
    return this;
  }

  /** Gives a reference back; with the last one the fids. */
  release(): void {
    if (this.#references-- === 1) {
      this.#tree.nodes.delete(this);
      for (const [connection, fid] of this.#fids) {
        this.#tree.later(fid.then((fid) => this.#tree.discard(connection, fid), () => {}));
      }
    } else if (this.#references < 0) throw new RangeError("Cannot release a node: nobody holds it");
  }

  /** Twalk of one name. */
  async walk(name: string, by: Identity): Promise<RemoteNode> {
    const fid = await (await this.#fid(by)).walk([name]);
    return this.#node(this.#place.entry(name), by, fid);
  }

  /** Twalk to `..`; a file has none on the wire, and is left the way it was reached. */
  async parent(by: Identity): Promise<RemoteNode> {
    const above = this.#place.above ?? this.#place;
    const isFolder = (this.qid.type & QTDIR) !== 0;
    const from = isFolder ? await this.#fid(by) : (await this.#tree.connection(by).line).root;
    return this.#node(above, by, await from.walk(isFolder ? [".."] : above.path));
  }

  /** Tgetattr. */
  async attributes(by: Identity): Promise<Attributes> {
    const a = await (await this.#fid(by)).getattr();
    return {
      qid: a.qid,
      mode: a.mode,
      uid: a.uid,
      gid: a.gid,
      nlink: Number(a.nlink),
      rdev: a.rdev,
      size: a.size,
      blksize: Number(a.blksize),
      blocks: a.blocks,
      atimeSec: BigInt.asIntN(64, a.atime_sec),
      atimeNsec: Number(a.atime_nsec),
      mtimeSec: BigInt.asIntN(64, a.mtime_sec),
      mtimeNsec: Number(a.mtime_nsec),
      ctimeSec: BigInt.asIntN(64, a.ctime_sec),
      ctimeNsec: Number(a.ctime_nsec),
      btimeSec: BigInt.asIntN(64, a.btime_sec),
      btimeNsec: Number(a.btime_nsec),
    };
  }

  /** Tsetattr, through the fid of the open file if there is one. */
  async setAttributes(changes: Changes, by: Identity, file?: OpenFile): Promise<void> {
    const fid = file instanceof RemoteFile ? file.fid : await this.#fid(by);
    const { mode, uid, gid, size, atime, mtime } = changes;
    await fid.setattr({
      valid: (mode === undefined ? 0 : SETATTR_MODE) | (uid === undefined ? 0 : SETATTR_UID) |
        (gid === undefined ? 0 : SETATTR_GID) | (size === undefined ? 0 : SETATTR_SIZE) |
        timeBits(atime, SETATTR_ATIME, SETATTR_ATIME_SET) |
        timeBits(mtime, SETATTR_MTIME, SETATTR_MTIME_SET),
      mode: mode ?? 0,
      uid: uid ?? 0,
      gid: gid ?? 0,
      size: size ?? 0n,
      ...(typeof atime === "object" && {
        atime_sec: BigInt.asUintN(64, atime.sec),
        atime_nsec: BigInt(atime.nsec),
      }),
      ...(typeof mtime === "object" && {
        mtime_sec: BigInt.asUintN(64, mtime.sec),
        mtime_nsec: BigInt(mtime.nsec),
      }),
    });
  }

  /** Tlopen of a copy of the fid. */
  async open(flags: number, by: Identity): Promise<RemoteFile> {
    const fid = await this.#copy(by, (copy) => copy.open(flags));
    return new RemoteFile(this.#tree, this.hold(), by, fid);
  }

  /** Tlcreate of a copy of the fid; what it has become is copied for the node. */
  async create(
    name: string,
    flags: number,
    mode: number,
    gid: number,
    by: Identity,
  ): Promise<RemoteFile> {
    const fid = await this.#copy(by, (copy) => copy.create(name, { flags, mode, gid }));
    const node = this.#node(this.#place.entry(name), by, await fid.walk());
    return new RemoteFile(this.#tree, node, by, fid);
  }

  /** Tmkdir. */
  async mkdir(name: string, mode: number, gid: number, by: Identity): Promise<Qid> {
    return await (await this.#fid(by)).mkdir(name, { mode, gid });
  }

  /** Tsymlink. */
  async symlink(name: string, target: string, gid: number, by: Identity): Promise<Qid> {
    return await (await this.#fid(by)).symlink(name, target, { gid });
  }

  /** Tmknod. */
  async mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Promise<Qid> {
    return await (await this.#fid(by)).mknod(name, { mode, major, minor, gid });
  }

  /** Tlink. */
  async link(name: string, target: Node, by: Identity): Promise<void> {
    await (await this.#fid(by)).link(await remote(target).#fid(by), name);
  }

  /** Tunlinkat. */
  async unlink(name: string, directory: boolean, by: Identity): Promise<void> {
    await (await this.#fid(by)).unlink(name, { directory });
    this.#place.forget(name);
  }

  /** Trenameat. */
  async rename(name: string, to: Node, newName: string, by: Identity): Promise<void> {
    const folder = remote(to);
    await (await this.#fid(by)).renameat(name, await folder.#fid(by), newName);
    this.#place.move(name, folder.#place, newName);
  }

  /** Trename. */
  async move(to: Node, newName: string, by: Identity): Promise<void> {
    const folder = remote(to);
    await (await this.#fid(by)).rename(await folder.#fid(by), newName);
    this.#place.above?.move(this.#place.name, folder.#place, newName);
  }

  /** Tremove of a copy of the fid, which it takes away. */
  async remove(by: Identity): Promise<void> {
    const copy = await (await this.#fid(by)).walk();
    await copy.remove();
    this.#place.above?.forget(this.#place.name);
  }

  /** Treadlink. */
  async readlink(by: Identity): Promise<string> {
    return await (await this.#fid(by)).readlink();
  }

  /** Tstatfs. */
  async statfs(by: Identity): Promise<FileSystemStatistics> {
    return await (await this.#fid(by)).statfs();
  }

  /** Txattrwalk and Tread. */
  async getXattr(name: string, by: Identity): Promise<Uint8Array> {
    return await (await this.#fid(by)).getxattr(name);
  }

  /** Txattrwalk without a name, and Tread. */
  async listXattr(by: Identity): Promise<Uint8Array> {
    return await (await this.#fid(by)).getxattr("");
  }

  /** Txattrcreate, Twrite and Tclunk. */
  async setXattr(name: string, value: Uint8Array, flags: number, by: Identity): Promise<void> {
    await (await this.#fid(by)).setxattr(name, value, flags);
  }

  /** Txattrcreate of no bytes, and Tclunk. */
  async removeXattr(name: string, by: Identity): Promise<void> {
    await (await this.#fid(by)).removexattr(name);
  }

  #node(place: Place, by: Identity, fid: Fid): RemoteNode {
    return new RemoteNode(this.#tree, place, this.#tree.connection(by), fid);
  }

  /** The fid for a session; through a connection that has none yet, the way is walked again. */
  async #fid(by: Identity): Promise<Fid> {
    await this.#tree.quiet();
    const connection = this.#tree.connection(by);
    let fid = this.#fids.get(connection);
    if (fid === undefined) this.#fids.set(connection, fid = this.#walkAgain(connection));
    return await fid;
  }

  async #walkAgain(connection: Connection): Promise<Fid> {
    const { root } = await connection.line;
    const fid = await root.walk(this.#place.path);
    if (fid.qid.path === this.qid.path) return fid;
    await fid.clunk();
    throw new Error(`Cannot reach ${this.name} through another connection: it has lost its name`);
  }

  /** Copies the fid and does something with the copy, which is given back if that fails. */
  async #copy(by: Identity, use: (copy: Fid) => Promise<Fid>): Promise<Fid> {
    const copy = await (await this.#fid(by)).walk();
    try {
      return await use(copy);
    } catch (error) {
      this.#tree.discard(this.#tree.connection(by), copy);
      throw error;
    }
  }
}

/** An open fid. */
export class RemoteFile implements OpenFile {
  /** The node. */
  readonly node: RemoteNode;
  /** The fid. */
  readonly fid: Fid;
  /** The session that opened it. */
  readonly session: object;
  readonly #tree: RemoteTree;
  readonly #connection: Connection;

  /**
   * An open file.
   *
   * @param node Held for it by the caller.
   * @param fid Owned from here on.
   */
  constructor(tree: RemoteTree, node: RemoteNode, by: Identity, fid: Fid) {
    this.#tree = tree;
    this.#connection = tree.connection(by);
    this.node = node;
    this.session = by.session;
    this.fid = fid;
    tree.files.add(this);
  }

  /** Tread, as many as it takes. */
  async read(into: Segments, offset: bigint): Promise<number> {
    await this.#tree.quiet();
    const bytes = new Uint8Array(into.length);
    const n = await this.fid.readInto(bytes, offset);
    into.copyFrom(bytes.subarray(0, n));
    return n;
  }

  /** Twrite, as many as it takes. */
  async write(from: Segments, offset: bigint): Promise<number> {
    await this.#tree.quiet();
    const bytes = new Uint8Array(from.length);
    from.copyTo(bytes);
    return await this.fid.write(bytes, offset);
  }

  /** Treaddir until the sink is full or the folder ends. */
  async readdir(offset: bigint, into: DirectorySink): Promise<void> {
    await this.#tree.quiet();
    const { client, number: fid } = this.fid;
    for (let at = offset;;) {
      const count = client.maxPayload;
      const { data } = await client.request({ kind: "Treaddir", fid, offset: at, count });
      if (data.length === 0) return;
      const { entries, rest } = decodeDirents(data);
      if (entries.length === 0 || rest.length > 0) throw client.fail("bad-entries", "Rreaddir");
      for (const { qid, offset: next, type, name } of entries) {
        if (!into.add(qid.type, qid.path, next, type, name)) return;
        at = next;
      }
    }
  }

  /** Tfsync. */
  async sync(dataOnly: boolean): Promise<void> {
    await this.fid.fsync({ dataOnly });
  }

  /** Tlock, with a Tflush if aborted. */
  async lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal?: AbortSignal,
  ): Promise<boolean> {
    await this.#own(owner);
    let status: number;
    try {
      status = await this.fid.lock({
        ...lockFields(range, owner),
        flags: wait ? LOCK_FLAGS_BLOCK : 0,
      }, { signal });
    } catch (error) {
      if (signal?.aborted === true || this.#connection.isOver) throw errno("EINTR");
      throw error;
    }
    if (status === LOCK_BLOCKED) return false;
    if (status !== LOCK_SUCCESS) throw errno("EIO");
    this.#tree.granted(this.node.qid.path, owner, range);
    return true;
  }

  /** Tgetlock. */
  async testLock(range: LockRange, owner: LockOwner): Promise<LockConflict | null> {
    await this.#own(owner);
    const found = await this.fid.getlock(lockFields(range, owner));
    if (found.type === LOCK_TYPE_UNLCK) return null;
    return {
      type: found.type === LOCK_TYPE_RDLCK ? "read" : "write",
      start: found.start,
      length: found.length,
      client: found.client_id,
      process: found.proc_id,
    };
  }

  /** Tclunk. */
  close(): void {
    if (!this.#tree.files.has(this)) throw new RangeError("Cannot close a file: it is closed");
    this.#tree.closed(this);
    this.#tree.discard(this.#connection, this.fid);
    this.node.release();
  }

  /** A connection locks for its own session only. */
  #own(owner: LockOwner): Promise<void> {
    if (owner.session !== this.session) {
      throw new TypeError("Cannot lock for a session that did not open the file");
    }
    return this.#tree.quiet();
  }
}

function lockFields({ type, start, length }: LockRange, { client, process }: LockOwner) {
  return { type: LOCK_NUMBERS[type], start, length, client_id: client, proc_id: process };
}

function timeBits(time: NewTime | undefined, bit: number, setBit: number): number {
  if (time === undefined) return 0;
  return time === "now" ? bit : bit | setBit;
}

function remote(node: Node): RemoteNode {
  if (node instanceof RemoteNode) return node;
  throw new TypeError("Cannot use a node of another tree");
}
