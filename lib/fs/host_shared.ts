/**
 * What the nodes and open files of one host tree share.
 *
 * @module
 */
import {
  AT_FDCWD,
  check,
  close,
  FoundLock,
  fstatfs,
  IoVectors,
  MappedMemory,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat,
  Statfs,
  Statx,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
} from "../linux/mod.ts";
import type { Helpers } from "../linux/mod.ts";
import { errno } from "../p9/mod.ts";
import type { Busy } from "./host_calls.ts";
import { HostCalls } from "./host_calls.ts";
import type { Credentials, Ownership } from "./credentials/seam.ts";
import type { Descriptors } from "./descriptors.ts";
import type { EntryTypes } from "./entries.ts";
import type { HostNode } from "./host_node.ts";
import type { HostOpened } from "./host_opened.ts";
import type { Answer } from "./tree.ts";
import type { Timers } from "./host_locks.ts";
import { modeOfEntry, qidTypeOf } from "./modes.ts";
import { DeviceTable } from "./qid.ts";
import type { MultiDevices } from "./qid.ts";

/** Everything that statx is asked for. */
export const STATX_MASK = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

/** Inode numbers whose upper half is below this stay as they are on the root's device. */
const PLAIN_HIGH = 1 << 16;
/** The same as whole numbers. */
const PLAIN_INODES = BigInt(PLAIN_HIGH) << 32n;
/** Bytes of a buffer for entries of a folder. */
const ENTRY_BYTES = 65_536;
/** Buffers and lists that are kept for the next user. */
const KEPT_BUFFERS = 8;
/** Bytes for reads and writes of memory whose address is not known. */
export const BOUNCE_BYTES = 262_144;
/** Buffers that may be in use: a folder listed beyond that gives its own back after each part. */
const MAX_BUFFERS = 64;
/** A file of so many blocks of 512 bytes takes the kernel a while to cut or to forget. */
export const HEAVY_BLOCKS = 8192n;

/** Throws the errno of a failed call. */
export function failed(result: number): never {
  throw errno(-result);
}

/** Result of a call that did not fail. */
export function ok(result: number): number {
  if (result < 0) throw errno(-result);
  return result;
}

/**
 * Refuses whatever is not the name of an entry. The server has checked that already; a bug there
 * must not let anybody out of the export.
 */
export function checkName(name: string): void {
  const length = name.length;
  if (length === 0) throw errno("ENOENT");
  if (name.charCodeAt(0) === 0x2e && (length === 1 || length === 2 && name === "..")) {
    throw errno("EINVAL");
  }
  for (let i = 0; i < length; i++) {
    const unit = name.charCodeAt(i);
    if (unit === 0x2f || unit === 0) throw errno("EINVAL");
  }
}

/** Makes a folder for nobody else, unless another thread was faster. */
function makePrivate(path: string): void {
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** State of a {@linkcode HostTree} that its nodes and files work with. One thread uses it. */
export class HostShared implements Busy {
  /** The model of credentials. */
  readonly credentials: Credentials;
  /** Whether everything that changes something is refused with EROFS. */
  readonly readOnly: boolean;
  /** What becomes of other devices. */
  readonly multiDevices: MultiDevices;
  /** Told once of what an administrator should know. */
  readonly warn: (text: string) => void;
  /** Clock for locks that wait. */
  readonly timers: Timers;
  /** Nodes of the root's mount, by inode number. */
  readonly nodes: Map<bigint, HostNode> = new Map();
  /** Nodes of other mounts and devices, by all that tells them apart. */
  readonly foreign: Map<string, HostNode> = new Map();
  /** Open files. */
  readonly files: Set<HostOpened> = new Set();
  /** Nodes with locks. */
  readonly locked: Set<HostNode> = new Set();
  /** Filled by the last look at a file. */
  readonly statx: Statx = new Statx();
  /** Filled by the last question about a file system that was asked at once. */
  readonly statfs: Statfs = new Statfs();
  /** Filled by the last test of a lock. */
  readonly found: FoundLock = new FoundLock();
  /** Pieces of a read or write that is done at once. */
  readonly vectors: IoVectors = new IoVectors();
  /** Small requests so far. */
  asked = 0;
  /** Handed to models of credentials. */
  readonly ownership: Ownership = { mode: 0, uid: 0, gid: 0, rdev: 0n };
  /** What becomes of types of entries. */
  readonly entryTypes: EntryTypes;
  /** Descriptors that this tree has together with the others of its thread. */
  readonly descriptors: Descriptors;
  /** Nodes whose handle was closed to save descriptors. */
  reclaimed = 0;
  /** No node may come any more. */
  isClosed = false;
  /** Device of the root. */
  rootMajor = 0;
  /** Its minor number. */
  rootMinor = 0;
  /** Mount of the root. */
  rootMount = 0n;
  /** "/proc/self/fd": the way from a handle to a descriptor with access. */
  readonly #self: number;
  readonly #lockDirectory: string | undefined;
  #devices: DeviceTable | undefined;
  #hasLockDirectory = false;
  #madeLockDirectory: string | undefined;
  #hasWarned = false;
  #bounce: MappedMemory | undefined;
  readonly #buffers: MappedMemory[] = [];
  #taken = 0;
  readonly #helpers: Helpers | null;
  readonly #alwaysHelp: boolean;
  /** Calls by mount. */
  readonly #calls = new Map<bigint, HostCalls>();
  /** Calls of helpers that open something again. */
  #underWay = 0;
  readonly #freeVectors: IoVectors[] = [];
  /** Small requests when it was last asked whether there are any. */
  #askedBefore = 0;

  /** All members are options of the tree. */
  constructor(options: {
    readonly credentials: Credentials;
    readonly readOnly: boolean;
    readonly multiDevices: MultiDevices;
    readonly devices: DeviceTable | undefined;
    readonly warn: (text: string) => void;
    readonly timers: Timers;
    readonly descriptors: Descriptors;
    readonly lockDirectory: string | undefined;
    readonly helpers: Helpers | null;
    readonly alwaysHelp: boolean;
  }) {
    const { credentials } = options;
    this.credentials = credentials;
    this.entryTypes = {
      qid: Uint8Array.from({ length: 16 }, (_, type) => qidTypeOf(modeOfEntry(type))),
      shown: Uint8Array.from({ length: 16 }, (_, type) => credentials.entryType(type)),
    };
    this.readOnly = options.readOnly;
    this.multiDevices = options.multiDevices;
    this.#devices = options.devices;
    this.warn = options.warn;
    this.timers = options.timers;
    this.descriptors = options.descriptors;
    this.#self = check(
      openat(AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC, 0),
      'open "/proc/self/fd"',
    );
    this.#lockDirectory = options.lockDirectory;
    this.#helpers = options.helpers;
    this.#alwaysHelp = options.alwaysHelp;
  }

  /** Refuses changes of a tree that is read-only. */
  checkWritable(): void {
    if (this.readOnly) throw errno("EROFS");
  }

  /** Refuses names that do not exist for the client. */
  checkShown(name: string): void {
    checkName(name);
    if (this.credentials.hidesNames && this.credentials.hides(name)) throw errno("EINVAL");
  }

  /**
   * Opens again what a handle refers to: the very same file, whatever its name leads to by now. One
   * step from an open folder costs two thirds of the whole path.
   */
  openAgain(handle: number, flags: number): number {
    return openat(this.#self, String(handle), flags, 0);
  }

  /**
   * Opens a file for a session, which may have only its share of them.
   *
   * @param open Opens it; a result below zero is a failure.
   * @throws {Errno} EMFILE if the session has too many already.
   */
  openFile<A extends Answer<number>>(session: object, open: () => A): A {
    const { files } = this.descriptors;
    if (!files.tryTake(session, 1)) throw errno("EMFILE");
    const note = (fd: number) => {
      if (fd < 0) files.give(session, 1);
    };
    let answer: Answer<number> = -1;
    try {
      return answer = open();
    } finally {
      if (answer instanceof Promise) void answer.then(note, () => note(-1));
      else note(answer);
    }
  }

  /** True if what statx saw last is on the device and mount of the root. */
  isAtHome(): boolean {
    const { statx } = this;
    return statx.devMinor === this.rootMinor && statx.devMajor === this.rootMajor &&
      statx.mntId === this.rootMount;
  }

  /**
   * `qid.path` of what statx saw last.
   *
   * @throws {Errno} ENODEV if it is on another device and that is forbidden.
   */
  pathNumber(): bigint {
    const { statx } = this;
    return this.pathOf(statx.devMajor, statx.devMinor, statx.ino);
  }

  /** Inode numbers of a device whose upper half is below this are their `qid.path`. */
  plainInodes(major: number, minor: number): number {
    return minor === this.rootMinor && major === this.rootMajor ? PLAIN_HIGH : 0;
  }

  /** `qid.path` of an inode of a device. */
  pathOf(major: number, minor: number, inode: bigint): bigint {
    const isRootDevice = minor === this.rootMinor && major === this.rootMajor;
    if (isRootDevice && (inode < PLAIN_INODES || this.multiDevices !== "remap")) return inode;
    if (this.multiDevices === "remap") return this.#remap(major, minor, inode);
    if (this.multiDevices === "forbid") throw errno("ENODEV");
    if (!this.#hasWarned) {
      this.#hasWarned = true;
      this.warn(
        "the export holds more than one file system, and multidevs=warn lets their inode numbers collide",
      );
    }
    return inode;
  }

  /** Claims the first place in a table of devices for the root, whose numbers stay as they are. */
  claimDevice(): void {
    this.#devices?.path(this.rootMajor, this.rootMinor, 0n);
  }

  /** A table of our own is made when there is a second device. */
  #remap(major: number, minor: number, inode: bigint): bigint {
    if (this.#devices === undefined) {
      this.#devices = new DeviceTable();
      this.claimDevice();
    }
    return this.#devices.path(major, minor, inode);
  }

  /** `qid.version` of what statx saw last: differs when a time or the size does, and is never 0. */
  version(statx: Statx = this.statx): number {
    let mixed = Math.imul(statx.mtimeNsec, 0x9e37_79b1) ^ statx.ctimeNsec;
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca6b) ^ Number(statx.mtimeSec & 0xffff_ffffn);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35) ^ Number(statx.ctimeSec & 0xffff_ffffn);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x27d4_eb2f) ^ Number(statx.size & 0xffff_ffffn);
    mixed ^= mixed >>> 15;
    return mixed >>> 0 || 1;
  }

  /** How calls are made on the mount of what statx saw last, which `fd` is open of. */
  callsAt(fd: number): HostCalls {
    const { mntId } = this.statx;
    const known = this.#calls.get(mntId);
    if (known !== undefined) return known;
    const statfs = new Statfs();
    return this.#learned(mntId, fstatfs(fd, statfs) < 0 ? 0 : statfs.type);
  }

  /** The same, where nobody knows yet whether the file system answers at all. */
  async askedCallsAt(fd: number): Promise<HostCalls> {
    const { mntId } = this.statx;
    const known = this.#calls.get(mntId);
    if (known !== undefined) return known;
    const careful = new HostCalls(this.#helpers, mntId, 0, true);
    const statfs = new Statfs();
    const result = await careful.later(null, () => fstatfs(fd, statfs), []);
    if (result >= 0) return this.#calls.get(mntId) ?? this.#learned(mntId, statfs.type);
    this.#calls.set(mntId, careful);
    return careful;
  }

  /** Whether whatever is on the mount of what statx saw last is known to be answered for here. */
  isNear(): boolean {
    if (this.#helpers === null) return true;
    const { mntId } = this.statx;
    return this.#calls.get(mntId)?.isRemote === false;
  }

  #learned(mount: bigint, type: number): HostCalls {
    const calls = new HostCalls(this.#helpers, mount, type, this.#alwaysHelp);
    this.#calls.set(mount, calls);
    return calls;
  }

  /**
   * Whether small requests came since this was last asked: then a large one, which takes a while
   * even if it waits for nothing, is better left to a helper.
   */
  isCrowded(): boolean {
    const isCrowded = this.asked !== this.#askedBefore;
    this.#askedBefore = this.asked;
    return isCrowded;
  }

  /** An empty list for the pieces of a read or write that a helper does. */
  takeVectors(): IoVectors {
    return this.#freeVectors.pop() ?? new IoVectors();
  }

  /** Gives it back. */
  returnVectors(vectors: IoVectors): void {
    vectors.clear();
    if (this.#freeVectors.length < KEPT_BUFFERS) this.#freeVectors.push(vectors);
  }

  /** A helper begins a call that opens something again. */
  enter(): void {
    this.#underWay++;
  }

  /** It has ended. */
  leave(): void {
    if (--this.#underWay === 0 && this.isClosed) close(this.#self);
  }

  /** Memory for a transfer whose own memory has no known address. */
  bounce(): MappedMemory {
    return this.#bounce ??= MappedMemory.anonymous(BOUNCE_BYTES);
  }

  /** Whether so many buffers are in use that none should be kept between two requests. */
  get isShortOfBuffers(): boolean {
    return this.#taken > MAX_BUFFERS;
  }

  /** A buffer for entries of a folder. */
  takeBuffer(): MappedMemory {
    this.#taken++;
    return this.#buffers.pop() ?? MappedMemory.anonymous(ENTRY_BYTES);
  }

  /** Gives it back. */
  returnBuffer(buffer: MappedMemory): void {
    this.#taken--;
    if (this.#buffers.length < KEPT_BUFFERS) this.#buffers.push(buffer);
    else buffer[Symbol.dispose]();
  }

  /** The folder for files that stand for those which cannot be locked themselves. */
  lockDirectory(): string {
    const given = this.#lockDirectory;
    if (given !== undefined) {
      if (!this.#hasLockDirectory) makePrivate(given);
      this.#hasLockDirectory = true;
      return given;
    }
    return this.#madeLockDirectory ??= Deno.makeTempDirSync({ prefix: "virtfs-locks-" });
  }

  /** Gives all memory back, and removes what was made for locks. */
  dispose(): void {
    if (this.#underWay === 0) close(this.#self);
    this.#bounce?.[Symbol.dispose]();
    this.#bounce = undefined;
    for (const buffer of this.#buffers.splice(0)) buffer[Symbol.dispose]();
    if (this.#madeLockDirectory === undefined) return;
    try {
      Deno.removeSync(this.#madeLockDirectory, { recursive: true });
    } catch {
      // Somebody else removed it, which is what was wanted.
    }
    this.#madeLockDirectory = undefined;
  }
}
