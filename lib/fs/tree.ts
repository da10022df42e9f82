/**
 * What a server needs of a tree of files, whatever stands behind it: a folder of the host, memory,
 * or files that exist only while somebody looks at them.
 *
 * Three rules hold for every method here.
 *
 * - **Answers.** A method answers at once or with a promise ({@linkcode Answer}). A tree whose
 *   promises need Deno's event loop (timers, fetch, other workers) says so in
 *   {@linkcode Tree.needsEventLoop}.
 * - **Failures.** A method that cannot do what it was asked throws (or rejects with) an `Errno`.
 *   Any other error is a bug of the tree: the client sees EIO and the server reports it.
 * - **References.** A {@linkcode Node} or {@linkcode OpenFile} that a method returns belongs to the
 *   caller, who calls `release()` or `close()` exactly once. A node lives while anybody holds it,
 *   also when its file has no name any more.
 *
 * What the server has checked before it calls:
 *
 * - names of new or existing entries (`name`, `newName`) are not empty, not `.` or `..`, hold no
 *   `/` and no NUL, and are at most 255 bytes long;
 * - nodes passed as arguments come from the same tree;
 * - a read-only export never reaches a method that changes something.
 *
 * @module
 */
import type { Qid, Segments } from "../p9/mod.ts";

/** A value now, or a promise of it. */
export type Answer<T> = T | Promise<T>;

/**
 * Who asks: the user that a client attached as.
 *
 * @see attach(5); in 9P2000.L the user is `n_uname`
 */
export interface Identity {
  /** User number, or 4294967295 where the client gave none. */
  readonly uid: number;
  /** User name as sent; often empty. */
  readonly uname: string;
  /** The session that the user speaks through; locks belong to it. Compared by identity only. */
  readonly session: object;
}

/** What `stat(2)` tells of a file. Times are seconds and nanoseconds since 1970. */
export interface Attributes {
  /** Identity of the file; `type` and `mode` agree. */
  readonly qid: Qid;
  /** Type and permission bits, as in `st_mode`. */
  readonly mode: number;
  /** User number of the owner. */
  readonly uid: number;
  /** Group number. */
  readonly gid: number;
  /** Number of names. */
  readonly nlink: number;
  /** Device number of a device file in the encoding of Linux's `new_encode_dev`, else 0. */
  readonly rdev: bigint;
  /** Bytes of content. */
  readonly size: bigint;
  /** Preferred size of a transfer in bytes. */
  readonly blksize: number;
  /** Blocks of 512 bytes in use. */
  readonly blocks: bigint;
  /** Time of last read, seconds. */
  readonly atimeSec: bigint;
  /** Nanoseconds of it. */
  readonly atimeNsec: number;
  /** Time of last change of content, seconds. */
  readonly mtimeSec: bigint;
  /** Nanoseconds of it. */
  readonly mtimeNsec: number;
  /** Time of last change of attributes, seconds. */
  readonly ctimeSec: bigint;
  /** Nanoseconds of it. */
  readonly ctimeNsec: number;
  /** Time of creation, seconds; 0 where unknown. */
  readonly btimeSec: bigint;
  /** Nanoseconds of it. */
  readonly btimeNsec: number;
}

/** A time to set: a moment, or `"now"` by the tree's own clock. */
export type NewTime = { readonly sec: bigint; readonly nsec: number } | "now";

/** Attributes to change; what is undefined stays as it is. */
export interface Changes {
  /** Permission bits (07777); type bits are ignored. */
  readonly mode?: number | undefined;
  /** New owner. */
  readonly uid?: number | undefined;
  /** New group. */
  readonly gid?: number | undefined;
  /** New size in bytes. */
  readonly size?: bigint | undefined;
  /** New time of last read. */
  readonly atime?: NewTime | undefined;
  /** New time of last change. */
  readonly mtime?: NewTime | undefined;
}

/** What `statfs(2)` tells of the file system that a node lives on. */
export interface FileSystemStatistics {
  /** Magic number of the file system. */
  readonly type: number;
  /** Bytes of a block. */
  readonly bsize: number;
  /** Blocks in all. */
  readonly blocks: bigint;
  /** Free blocks. */
  readonly bfree: bigint;
  /** Blocks free to ordinary users. */
  readonly bavail: bigint;
  /** Inodes in all. */
  readonly files: bigint;
  /** Free inodes. */
  readonly ffree: bigint;
  /** Identity of the file system. */
  readonly fsid: bigint;
  /** Longest name in bytes. */
  readonly namelen: number;
}

/** Whom a byte-range lock belongs to: `client_id` and `proc_id` are unique within a session only. */
export interface LockOwner {
  /** The session. */
  readonly session: object;
  /** `client_id` of the Tlock. */
  readonly client: string;
  /** `proc_id` of the Tlock. */
  readonly process: number;
}

/** A range of bytes to lock, test or unlock. */
export interface LockRange {
  /** Shared, exclusive, or none (unlock). */
  readonly type: "read" | "write" | "unlock";
  /** First byte. */
  readonly start: bigint;
  /** Number of bytes; 0 means to the end of the file, however far it grows. */
  readonly length: bigint;
}

/** A lock that stands in the way of a tested one. */
export interface LockConflict extends LockRange {
  /** Its `client_id`, empty if a process of the host holds it. */
  readonly client: string;
  /** Its `proc_id`, or a process number of the host. */
  readonly process: number;
}

/** Memory that gets entries in wire form, one behind the other. */
export interface EntryRoom {
  /** The memory, for numbers. */
  readonly view: DataView;
  /** The same memory. */
  readonly bytes: Uint8Array;
  /** Where the next entry goes. Whoever writes it moves this behind it. */
  at: number;
  /** Where the room ends. */
  readonly end: number;
}

/** Takes the entries of a folder one by one, in wire form. */
export interface DirectorySink {
  /**
   * Adds an entry.
   *
   * @param qidType `QT*` bits.
   * @param path `qid.path`.
   * @param next Offset that a later read goes on from *after* this entry, never 0.
   * @param type `DT_*` of the entry.
   * @param name The name.
   * @returns False if it does not fit: nothing was written and the read ends here.
   */
  add(qidType: number, path: bigint, next: bigint, type: number, name: string): boolean;
  /** As {@linkcode DirectorySink.add}, with the name as bytes `start` up to `end` of `bytes`, which are copied. */
  addBytes(
    qidType: number,
    path: bigint,
    next: bigint,
    type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /** Where entries go, for a tree that writes them in wire form itself. */
  readonly room?: EntryRoom;
}

/** A file, folder, link or special file of a tree, apart from any name it has. */
export interface Node {
  /** Identity as last seen; `type` and `path` never change in a node's life, `version` may. */
  readonly qid: Qid;
  /** Folders above that the node keeps alive; 0 or nothing if it keeps none. */
  readonly depth?: number;
  /** Takes one more reference. Returns the node itself. */
  hold(): this;
  /** Gives a reference back; after the last one the node holds no resources. Answers as {@linkcode OpenFile.close}. */
  release(): Answer<void>;

  /** Finds an entry of this folder. ENOTDIR if this is none, ENOENT if there is no such entry. Symbolic links are found, never followed. */
  walk(name: string, by: Identity): Answer<Node>;
  /** The folder that this node was reached through; at the root, the root. Never leaves the export. */
  parent(by: Identity): Answer<Node>;
  /** Reads all attributes, fresh. */
  attributes(by: Identity): Answer<Attributes>;
  /**
   * Changes attributes: size first, then owner, mode, times.
   *
   * @param file An open file of this node, which may allow what the node alone does not.
   */
  setAttributes(changes: Changes, by: Identity, file?: OpenFile): Answer<void>;

  /**
   * Opens the node.
   *
   * Special files (devices, FIFOs, sockets) are refused with ENXIO, symbolic links with ELOOP, a
   * folder that is to be written with EISDIR.
   *
   * @param flags Linux's wire values (`OPEN_FLAGS`); O_CREAT, O_EXCL, O_NOCTTY, O_CLOEXEC and O_DIRECT are ignored.
   * @returns The open file, which holds this node itself.
   */
  open(flags: number, by: Identity): Answer<OpenFile>;
  /**
   * Makes a regular file in this folder and opens it, as `open(2)` with O_CREAT: an existing file
   * is opened unless `flags` has O_EXCL (EEXIST).
   *
   * @param mode Permission bits, umask already applied by the client.
   */
  create(name: string, flags: number, mode: number, gid: number, by: Identity): Answer<OpenFile>;
  /** Makes a folder in this folder. */
  mkdir(name: string, mode: number, gid: number, by: Identity): Answer<Qid>;
  /** Makes a symbolic link in this folder. `target` is any text without NUL, at most 4095 bytes. */
  symlink(name: string, target: string, gid: number, by: Identity): Answer<Qid>;
  /** Makes a file of the type in `mode` (regular, FIFO, socket, device `major`:`minor`) in this folder. */
  mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Answer<Qid>;
  /** Gives `target` one more name, in this folder. */
  link(name: string, target: Node, by: Identity): Answer<void>;
  /** Removes a name from this folder: with `directory`, of an empty folder, else of anything else (EISDIR). */
  unlink(name: string, directory: boolean, by: Identity): Answer<void>;
  /** Moves entry `name` of this folder to `newName` in folder `to`, replacing what is there as `rename(2)` does. */
  rename(name: string, to: Node, newName: string, by: Identity): Answer<void>;
  /** Moves this node itself to `newName` in `to` (Trename). The root cannot move: EBUSY. */
  move(to: Node, newName: string, by: Identity): Answer<void>;
  /** Removes the name that this node was reached by, of whatever type it is (Tremove). The root cannot go: EBUSY. */
  remove(by: Identity): Answer<void>;

  /** Target of a symbolic link; EINVAL for anything else. */
  readlink(by: Identity): Answer<string>;
  /** Statistics of the file system. */
  statfs(by: Identity): Answer<FileSystemStatistics>;

  /** Name that the node was last reached by; "/" for the root. */
  readonly name: string;

  /** Value of an extended attribute, owned by the caller. ENODATA if absent, EOPNOTSUPP where there are none. */
  getXattr(name: string, by: Identity): Answer<Uint8Array>;
  /** Names of all extended attributes, each ended by NUL. */
  listXattr(by: Identity): Answer<Uint8Array>;
  /** Sets one. `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. */
  setXattr(name: string, value: Uint8Array, flags: number, by: Identity): Answer<void>;
  /** Removes one. */
  removeXattr(name: string, by: Identity): Answer<void>;
}

/** A node opened for reading, writing or listing. */
export interface OpenFile {
  /** The node; the file holds a reference of its own. */
  readonly node: Node;
  /**
   * Reads into `into` from byte `offset`. Short only at the end of the file.
   *
   * @param into Memory to fill, borrowed until the answer is there.
   * @returns Bytes read.
   */
  read(into: Segments, offset: bigint): Answer<number>;
  /**
   * Writes all of `from` at byte `offset` (at the end, if opened with O_APPEND).
   *
   * @param from Memory to take from, borrowed until the answer is there.
   * @returns Bytes written; less than asked only if an error ended it early.
   */
  write(from: Segments, offset: bigint): Answer<number>;
  /**
   * Lists entries of a folder, `.` and `..` included: at least one if there is one and it fits, at
   * most until the sink is full.
   *
   * @param offset 0, or the `next` of an entry of an earlier list of this open file.
   */
  readdir(offset: bigint, into: DirectorySink): Answer<void>;
  /** Brings what was written to stable storage, attributes too unless `dataOnly`. Reports write errors that happened since. */
  sync(dataOnly: boolean): Answer<void>;
  /**
   * Locks or unlocks a range.
   *
   * @param wait Wait until the lock is granted instead of answering false.
   * @param signal Aborted by Tflush: a waiting lock then rejects with EINTR.
   * @returns Whether the lock is held now (always true for unlock).
   */
  lock(range: LockRange, owner: LockOwner, wait: boolean, signal?: AbortSignal): Answer<boolean>;
  /** The lock that keeps `owner` from taking this one, or null. */
  testLock(range: LockRange, owner: LockOwner): Answer<LockConflict | null>;
  /**
   * Closes the file and gives back its node. Locks of the session on this node end with its last
   * open file.
   *
   * @returns A promise that never rejects if the tree itself has something to end, such as a file
   * without a name whose space becomes free; to be waited for before the client is told.
   */
  close(): Answer<void>;
}

/** A tree of files. */
export interface Tree {
  /** True if promises of this tree settle only while Deno's event loop runs. */
  readonly needsEventLoop: boolean;
  /** True if requests of a session must be carried out one after another, in order. Synthetic trees are. */
  readonly inOrder: boolean;
  /** The root, for a user who attaches. */
  attach(by: Identity): Answer<Node>;
  /** Ends what belongs to a session and to no file: waiting and held locks. */
  endSession(session: object): void;
  /** Nodes, open files and locks alive now: for statistics and leak tests. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number };
  /** Gives everything back. No node or file of the tree may be used afterwards. */
  close(): void;
}
