/**
 * A file of a server, by the number that the client chose for it.
 *
 * @module
 */
import {
  AT_REMOVEDIR,
  decodeDirents,
  decodeStat,
  decodeStats,
  type Dirent,
  encodeStat,
  errno,
  GETATTR_BASIC,
  NOFID,
  O_ACCMODE,
  O_RDONLY,
  O_TRUNC,
  OTRUNC,
  type Qid,
  type Rgetattr,
  type Rgetlock,
  type Rstatfs,
  type Stat,
  type Tlock,
  type Tsetattr,
} from "../p9/mod.ts";
import type { Client, RequestOptions } from "./client.ts";

/** Most names that one Twalk takes (MAXWELEM). */
const MAX_NAMES = 16;
/** Requests that one read or write of a large piece keeps under way. */
const WINDOW = 8;

/** Largest extended attribute that is fetched, in bytes: Linux has 64 KiB, and a server may lie. */
const MAX_ATTRIBUTE = 1n << 20n;

/** How to create a file. */
export interface CreateOptions {
  /** Linux open flags; O_CREAT goes without saying. Read and write if not given. */
  readonly flags?: number;
  /** Permission bits, 0o644 if not given. In 9P2000 and 9P2000.u, DM bits make other kinds of file. */
  readonly mode?: number;
  /** Group number, 0 if not given. 9P2000.L only. */
  readonly gid?: number;
  /** Target of a link or numbers of a device. 9P2000.u only. */
  readonly extension?: string;
}

/** How to create an entry of a folder that is not opened. */
export interface MakeOptions {
  /** Permission bits, 0o755 for folders and 0o644 for others if not given. */
  readonly mode?: number;
  /** Group number, 0 if not given. */
  readonly gid?: number;
}

/** A byte range to lock, and for whom. */
export type LockRequest = Partial<Omit<Tlock, "kind" | "tag" | "fid" | "type">> & {
  /** One of `LOCK_TYPES`. */
  readonly type: number;
};

/** What {@linkcode Fid.setattr} changes: the fields that `valid` names. */
export type AttributeChanges = Partial<Omit<Tsetattr, "kind" | "tag" | "fid">> & {
  /** Bits of `SETATTR`. */
  readonly valid: number;
};

/**
 * A handle on a file of the server, not open, open, or open for an extended attribute.
 *
 * Owns its number: dispose it, or `clunk` or `remove` it, exactly once. Every method may throw
 * what `Client.request` throws. Methods whose message the dialect lacks throw EOPNOTSUPP without
 * asking the server.
 */
export class Fid implements AsyncDisposable {
  /** The client it belongs to. */
  readonly client: Client;
  /** The number on the wire. */
  readonly number: number;
  #qid: Qid;
  #iounit = 0;
  #isOpen = false;
  #isGone = false;

  /**
   * Takes over a fid that the server already knows.
   *
   * @param number From `Client.takeFid`, owned from here on.
   */
  constructor(client: Client, number: number, qid: Qid) {
    this.client = client;
    this.number = number;
    this.#qid = qid;
  }

  /** Identity of the file as the server told last. */
  get qid(): Qid {
    return this.#qid;
  }

  /** Whether it was opened through this handle. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Largest payload of one Tread or Twrite on this fid, in bytes. */
  get maxPayload(): number {
    const fits = this.client.maxPayload;
    return this.#iounit === 0 ? fits : Math.min(fits, this.#iounit);
  }

  /**
   * Walks from here: a new handle, this one stays as it is.
   *
   * @param path Names, or text whose names are separated by slashes; none gives a copy of this
   * handle. More than 16 names take several messages.
   * @throws {Errno} ENOENT if only a part of the path exists.
   */
  async walk(path: string | readonly string[] = [], options: RequestOptions = {}): Promise<Fid> {
    const names = typeof path === "string" ? path.split("/").filter((name) => name !== "") : path;
    const newfid = this.client.takeFid();
    let from = this.number;
    let qid = this.#qid;
    try {
      for (let at = 0; at === 0 || at < names.length; at += MAX_NAMES) {
        const wname = names.slice(at, at + MAX_NAMES);
        const { wqid } = await this.client.request(
          { kind: "Twalk", fid: from, newfid, wname },
          options,
        );
        if (wqid.length > wname.length) throw this.client.fail("long-walk", "Rwalk");
        if (wqid.length < wname.length) throw errno("ENOENT");
        from = newfid;
        qid = wqid.at(-1) ?? qid;
      }
    } catch (error) {
      if (from === newfid) await this.#discard(newfid);
      else this.client.releaseFid(newfid);
      throw error;
    }
    return new Fid(this.client, newfid, qid);
  }

  /**
   * Opens the file.
   *
   * @param flags Linux open flags, read only if not given. In 9P2000 and 9P2000.u only the access
   * mode and O_TRUNC can be said.
   * @returns This handle, open now.
   */
  async open(flags: number = O_RDONLY, options: RequestOptions = {}): Promise<this> {
    const fid = this.number;
    const { qid, iounit } = this.client.dialect === "9P2000.L"
      ? await this.client.request({ kind: "Tlopen", fid, flags }, options)
      : await this.client.request({ kind: "Topen", fid, mode: openMode(flags) }, options);
    this.#opened(qid, iounit);
    return this;
  }

  /**
   * Creates a file in this folder and opens it; this handle becomes the file.
   *
   * @returns This handle.
   */
  async create(name: string, how: CreateOptions = {}, options: RequestOptions = {}): Promise<this> {
    const fid = this.number;
    const flags = how.flags ?? 2;
    const mode = how.mode ?? 0o644;
    const { qid, iounit } = this.client.dialect === "9P2000.L"
      ? await this.client.request(
        { kind: "Tlcreate", fid, name, flags, mode, gid: how.gid ?? 0 },
        options,
      )
      : await this.client.request({
        kind: "Tcreate",
        fid,
        name,
        perm: mode,
        mode: openMode(flags),
        extension: how.extension ?? "",
      }, options);
    this.#opened(qid, iounit);
    return this;
  }

  /**
   * Reads with one message.
   *
   * @param count Bytes wanted; more than fits a message is cut.
   * @returns The bytes, fewer at the end of the file, owned by the caller.
   */
  async read(offset: bigint, count: number, options: RequestOptions = {}): Promise<Uint8Array> {
    const wanted = Math.min(count, this.maxPayload);
    const { data } = await this.client.request(
      { kind: "Tread", fid: this.number, offset, count: wanted },
      options,
    );
    if (data.length > wanted) throw this.client.fail("long-read", "Rread");
    return data;
  }

  /**
   * Fills memory from the file, with several requests under way at once.
   *
   * @param into Borrowed until the promise settles.
   * @returns Bytes read; fewer than fit only at the end of the file.
   */
  async readInto(into: Uint8Array, offset: bigint, options: RequestOptions = {}): Promise<number> {
    const size = this.maxPayload;
    const read = async (at: number): Promise<number> => {
      const end = Math.min(at + size, into.length);
      let done = at;
      while (done < end) {
        const data = await this.read(offset + BigInt(done), end - done, options);
        if (data.length === 0) break;
        into.set(data, done);
        done += data.length;
      }
      return done - at;
    };
    return await inWindows(into.length, size, read);
  }

  /** Reads from `offset` to the end of the file, with several requests under way at once. */
  async readAll(offset: bigint = 0n, options: RequestOptions = {}): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let total = 0;
    // Small files are the rule: one message first, then more at once as long as they come full.
    for (let room = this.maxPayload;; room = Math.min(2 * room, WINDOW * this.maxPayload)) {
      const part = new Uint8Array(room);
      const n = await this.readInto(part, offset + BigInt(total), options);
      parts.push(part.subarray(0, n));
      total += n;
      if (n < room) break;
    }
    const only = parts.length === 1 ? parts[0] : undefined;
    if (only !== undefined) return only;
    const whole = new Uint8Array(total);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /**
   * Writes all of `data`, with several requests under way at once.
   *
   * @param data Borrowed until the promise settles.
   * @returns Bytes written: all, unless the server stopped taking any.
   */
  async write(
    data: Uint8Array,
    offset: bigint = 0n,
    options: RequestOptions = {},
  ): Promise<number> {
    const size = this.maxPayload;
    const write = async (at: number): Promise<number> => {
      const end = Math.min(at + size, data.length);
      let done = at;
      while (done < end) {
        const { count } = await this.client.request({
          kind: "Twrite",
          fid: this.number,
          offset: offset + BigInt(done),
          data: data.subarray(done, end),
        }, options);
        if (count > end - done) throw this.client.fail("long-write", "Rwrite");
        if (count === 0) break;
        done += count;
      }
      return done - at;
    };
    return await inWindows(data.length, size, write);
  }

  /** Lists an open folder, `.` and `..` as the server has them. 9P2000.L; for others `readdirStat`. */
  async *readdir(options: RequestOptions = {}): AsyncGenerator<Dirent> {
    this.#need("9P2000.L");
    const count = this.maxPayload;
    for (let offset = 0n;;) {
      const { data } = await this.client.request(
        { kind: "Treaddir", fid: this.number, offset, count },
        options,
      );
      if (data.length === 0) return;
      const { entries, rest } = decodeDirents(data);
      const last = entries.at(-1);
      if (last === undefined || rest.length > 0 || data.length > count) {
        throw this.client.fail("bad-entries", "Rreaddir");
      }
      yield* entries;
      offset = last.offset;
    }
  }

  /** Lists an open folder of 9P2000 or 9P2000.u, whose contents are stat records. */
  async *readdirStat(options: RequestOptions = {}): AsyncGenerator<Stat> {
    this.#needClassic();
    for (let offset = 0n;;) {
      const data = await this.read(offset, this.maxPayload, options);
      if (data.length === 0) return;
      const { entries, rest } = decodeStats(data, this.client.dialect);
      if (rest.length > 0) throw this.client.fail("bad-entries", "Rread");
      yield* entries;
      offset += BigInt(data.length);
    }
  }

  /** Attributes, those of `GETATTR_BASIC` if not told otherwise. 9P2000.L. */
  async getattr(
    request_mask: bigint = BigInt(GETATTR_BASIC),
    options: RequestOptions = {},
  ): Promise<Rgetattr> {
    this.#need("9P2000.L");
    return await this.client.request(
      { kind: "Tgetattr", fid: this.number, request_mask },
      options,
    );
  }

  /** Changes attributes. 9P2000.L. */
  async setattr(changes: AttributeChanges, options: RequestOptions = {}): Promise<void> {
    this.#need("9P2000.L");
    await this.client.request({
      kind: "Tsetattr",
      fid: this.number,
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0n,
      atime_sec: 0n,
      atime_nsec: 0n,
      mtime_sec: 0n,
      mtime_nsec: 0n,
      ...changes,
    }, options);
  }

  /** Attributes in 9P2000 and 9P2000.u. */
  async stat(options: RequestOptions = {}): Promise<Stat> {
    this.#needClassic();
    const { stat } = await this.client.request({ kind: "Tstat", fid: this.number }, options);
    return decodeStat(stat, this.client.dialect);
  }

  /** Changes attributes in 9P2000 and 9P2000.u; what is not given stays as it is. */
  async wstat(changes: Partial<Stat>, options: RequestOptions = {}): Promise<void> {
    this.#needClassic();
    const stat = encodeStat({ ...UNCHANGED, ...changes }, this.client.dialect);
    await this.client.request({ kind: "Twstat", fid: this.number, stat }, options);
  }

  /** Statistics of the file system. 9P2000.L. */
  async statfs(options: RequestOptions = {}): Promise<Rstatfs> {
    this.#need("9P2000.L");
    return await this.client.request({ kind: "Tstatfs", fid: this.number }, options);
  }

  /** Makes a folder in this folder. 9P2000.L; elsewhere `create` with DMDIR does it. */
  async mkdir(name: string, how: MakeOptions = {}, options: RequestOptions = {}): Promise<Qid> {
    this.#need("9P2000.L");
    const { qid } = await this.client.request({
      kind: "Tmkdir",
      dfid: this.number,
      name,
      mode: how.mode ?? 0o755,
      gid: how.gid ?? 0,
    }, options);
    return qid;
  }

  /** Makes a symbolic link in this folder. 9P2000.L. */
  async symlink(
    name: string,
    symtgt: string,
    how: Pick<MakeOptions, "gid"> = {},
    options: RequestOptions = {},
  ): Promise<Qid> {
    this.#need("9P2000.L");
    const { qid } = await this.client.request(
      { kind: "Tsymlink", fid: this.number, name, symtgt, gid: how.gid ?? 0 },
      options,
    );
    return qid;
  }

  /** Makes a file of any type in this folder; `mode` has its type bits. 9P2000.L. */
  async mknod(
    name: string,
    how: MakeOptions & { readonly major?: number; readonly minor?: number } = {},
    options: RequestOptions = {},
  ): Promise<Qid> {
    this.#need("9P2000.L");
    const { qid } = await this.client.request({
      kind: "Tmknod",
      dfid: this.number,
      name,
      mode: how.mode ?? 0o644,
      major: how.major ?? 0,
      minor: how.minor ?? 0,
      gid: how.gid ?? 0,
    }, options);
    return qid;
  }

  /** Gives `target` one more name, in this folder. 9P2000.L. */
  async link(target: Fid, name: string, options: RequestOptions = {}): Promise<void> {
    this.#need("9P2000.L");
    await this.client.request(
      { kind: "Tlink", dfid: this.number, fid: target.number, name },
      options,
    );
  }

  /** Moves this file to `name` in `folder`. 9P2000.L. */
  async rename(folder: Fid, name: string, options: RequestOptions = {}): Promise<void> {
    this.#need("9P2000.L");
    await this.client.request(
      { kind: "Trename", fid: this.number, dfid: folder.number, name },
      options,
    );
  }

  /** Moves entry `oldname` of this folder to `newname` in `folder`. 9P2000.L. */
  async renameat(
    oldname: string,
    folder: Fid,
    newname: string,
    options: RequestOptions = {},
  ): Promise<void> {
    this.#need("9P2000.L");
    const olddirfid = this.number;
    const newdirfid = folder.number;
    await this.client.request(
      { kind: "Trenameat", olddirfid, oldname, newdirfid, newname },
      options,
    );
  }

  /** Removes an entry of this folder: an empty folder with `directory`, else anything else. 9P2000.L. */
  async unlink(
    name: string,
    how: { readonly directory?: boolean } = {},
    options: RequestOptions = {},
  ): Promise<void> {
    this.#need("9P2000.L");
    const flags = how.directory === true ? AT_REMOVEDIR : 0;
    await this.client.request({ kind: "Tunlinkat", dirfd: this.number, name, flags }, options);
  }

  /** Target of a symbolic link. 9P2000.L. */
  async readlink(options: RequestOptions = {}): Promise<string> {
    this.#need("9P2000.L");
    const { target } = await this.client.request(
      { kind: "Treadlink", fid: this.number },
      options,
    );
    return target;
  }

  /** Brings what was written to stable storage. 9P2000.L. */
  async fsync(
    how: { readonly dataOnly?: boolean } = {},
    options: RequestOptions = {},
  ): Promise<void> {
    this.#need("9P2000.L");
    const datasync = how.dataOnly === true ? 1 : 0;
    await this.client.request({ kind: "Tfsync", fid: this.number, datasync }, options);
  }

  /**
   * Takes or gives back a lock on the open file. 9P2000.L.
   *
   * @returns One of `LOCK_STATUS`.
   */
  async lock(range: LockRequest, options: RequestOptions = {}): Promise<number> {
    this.#need("9P2000.L");
    const { status } = await this.client.request({
      kind: "Tlock",
      fid: this.number,
      flags: 0,
      start: 0n,
      length: 0n,
      proc_id: 0,
      client_id: "",
      ...range,
    }, options);
    return status;
  }

  /** The lock that would be in the way of `range`; its type is LOCK_TYPE_UNLCK if none. 9P2000.L. */
  async getlock(
    range: Omit<LockRequest, "flags">,
    options: RequestOptions = {},
  ): Promise<Rgetlock> {
    this.#need("9P2000.L");
    return await this.client.request({
      kind: "Tgetlock",
      fid: this.number,
      start: 0n,
      length: 0n,
      proc_id: 0,
      client_id: "",
      ...range,
    }, options);
  }

  /** Value of an extended attribute. 9P2000.L. */
  async getxattr(name: string, options: RequestOptions = {}): Promise<Uint8Array> {
    this.#need("9P2000.L");
    const newfid = this.client.takeFid();
    let size: bigint;
    try {
      ({ size } = await this.client.request(
        { kind: "Txattrwalk", fid: this.number, newfid, name },
        options,
      ));
    } catch (error) {
      this.client.releaseFid(newfid);
      throw error;
    }
    await using attribute = new Fid(this.client, newfid, this.#qid);
    if (size > MAX_ATTRIBUTE) throw errno("E2BIG");
    const value = new Uint8Array(Number(size));
    const n = await attribute.readInto(value, 0n, options);
    return value.subarray(0, n);
  }

  /** Names of all extended attributes. 9P2000.L. */
  async listxattr(options: RequestOptions = {}): Promise<string[]> {
    const names = await this.getxattr("", options);
    return new TextDecoder().decode(names).split("\0").filter((name) => name !== "");
  }

  /**
   * Sets an extended attribute. 9P2000.L.
   *
   * @param flags XATTR_CREATE or XATTR_REPLACE; neither if not given.
   */
  async setxattr(
    name: string,
    value: Uint8Array,
    flags: number = 0,
    options: RequestOptions = {},
  ): Promise<void> {
    this.#need("9P2000.L");
    const attribute = await this.walk([], options);
    try {
      const attr_size = BigInt(value.length);
      await this.client.request(
        { kind: "Txattrcreate", fid: attribute.number, name, attr_size, flags },
        options,
      );
      await attribute.write(value, 0n, options);
    } catch (error) {
      // Half an attribute makes the clunk fail; what matters has failed already.
      await this.#discard(attribute.number);
      throw error;
    }
    // The clunk is what sets it.
    await attribute.clunk(options);
  }

  /** Removes an extended attribute. 9P2000.L. */
  async removexattr(name: string, options: RequestOptions = {}): Promise<void> {
    await this.setxattr(name, new Uint8Array(0), 0, options);
  }

  /** Gives the fid back. The handle is of no use afterwards, even if this fails. */
  async clunk(options: RequestOptions = {}): Promise<void> {
    await this.#giveUp({ kind: "Tclunk", fid: this.number }, options);
  }

  /** Removes the file and gives the fid back. The handle is of no use afterwards, even if this fails. */
  async remove(options: RequestOptions = {}): Promise<void> {
    await this.#giveUp({ kind: "Tremove", fid: this.number }, options);
  }

  /** Clunks unless that was done, or the connection has ended and the fid with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isGone) return;
    try {
      await this.clunk();
    } catch (error) {
      if (!this.client.hasEnded) throw error;
    }
  }

  #opened(qid: Qid, iounit: number): void {
    this.#qid = qid;
    this.#iounit = iounit;
    this.#isOpen = true;
  }

  async #giveUp(
    message: { readonly kind: "Tclunk" | "Tremove"; readonly fid: number },
    options: RequestOptions,
  ): Promise<void> {
    if (this.#isGone) throw errno("EBADF");
    this.#isGone = true;
    try {
      await this.client.request(message, options);
    } finally {
      // The server has forgotten the number whatever it answered; if it answered nothing because
      // the request was flushed, nobody knows, and the number is never used again.
      if (options.signal?.aborted !== true) this.client.releaseFid(this.number);
    }
  }

  /** Clunks a fid after a failure that is to be told, not this one. */
  async #discard(fid: number): Promise<void> {
    try {
      await this.client.request({ kind: "Tclunk", fid });
    } catch {
      // What matters has failed already.
    }
    this.client.releaseFid(fid);
  }

  #need(dialect: "9P2000.L"): void {
    if (this.client.dialect !== dialect) throw errno("EOPNOTSUPP");
  }

  #needClassic(): void {
    if (this.client.dialect === "9P2000.L") throw errno("EOPNOTSUPP");
  }
}

/** A stat record that changes nothing: all ones, and empty texts. */
const UNCHANGED: Stat = {
  type: 0xffff,
  dev: NOFID,
  qid: { type: 0xff, version: 0xffffffff, path: 0xffffffffffffffffn },
  mode: NOFID,
  atime: NOFID,
  mtime: NOFID,
  length: 0xffffffffffffffffn,
  name: "",
  uid: "",
  gid: "",
  muid: "",
  extension: "",
  n_uid: NOFID,
  n_gid: NOFID,
  n_muid: NOFID,
};

/** Linux open flags as the mode of Topen and Tcreate. */
function openMode(flags: number): number {
  return (flags & O_ACCMODE) | ((flags & O_TRUNC) === 0 ? 0 : OTRUNC);
}

/**
 * Moves `total` bytes in pieces, several under way at once, and says how many went through before
 * the first that came up short. If one fails, waits for those under way, so that nothing borrowed
 * is in use afterwards.
 */
async function inWindows(
  total: number,
  size: number,
  move: (at: number) => Promise<number>,
): Promise<number> {
  if (total <= size) return total === 0 ? 0 : await move(0);
  const under: { readonly at: number; readonly moved: Promise<number> }[] = [];
  let next = 0;
  let done = 0;
  try {
    while (true) {
      while (next < total && under.length < WINDOW) {
        under.push({ at: next, moved: move(next) });
        next += size;
      }
      const first = under.shift();
      if (first === undefined) return done;
      const moved = await first.moved;
      done += moved;
      if (moved < Math.min(size, total - first.at)) return done;
    }
  } finally {
    await Promise.allSettled(under.map(({ moved }) => moved));
  }
}
