/**
 * Makes cases: conversations that make sense but for where they shall not.
 *
 * What a session should hold by then is taken from the same model that judges the answers, so fids
 * that were bound, files that were made and locks that were taken are used again.
 *
 * @module
 */
import {
  AT_REMOVEDIR,
  encode,
  GETATTR_ALL,
  type Message,
  NOFID,
  NOTAG,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
  SETATTR_ATIME,
  SETATTR_CTIME,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../p9/mod.ts";
import { ANAME, type Case, MAX_CONNECTIONS, type Step, stepOf } from "./case.ts";
import { damage } from "./damage.ts";
import type { Fixture } from "./export.ts";
import { collide, type Fid, type FidState, Model, type Node } from "./model.ts";
import { Random } from "./random.ts";
import { COUNTS, edgesOf, NAMES, NASTY_NAMES, OFFSETS } from "./values.ts";

/** What cases are made for. */
export interface GenerateOptions {
  /** Seed of the run. */
  readonly seed: number;
  /** What is in the export; `null` if that is not known. */
  readonly fixtures: readonly Fixture[] | null;
  /** The user to attach as. */
  readonly user: number;
  /** Most connections of a case. */
  readonly maxConnections: number;
  /** Whether frames may lie about their size. */
  readonly isStream: boolean;
}

/** Messages that are made most often at once without waiting. */
const MAX_JOINED = 16;
const MAX_FID = 12;
const MSIZES: readonly number[] = [8192, 8192, 8192, 65536, 4096, 131_096];

/** How a case goes. */
type Temper =
  /** Sensible requests, mostly. */
  | "orderly"
  /** Several connections, requests that race. */
  | "racing"
  /** Bytes that are no requests. */
  | "damaged";

/**
 * Makes the case of a number: the same for the same seed, whatever the target does.
 *
 * @param before A case to begin with, to go on from where it leads.
 */
export function generateCase(options: GenerateOptions, index: number, before?: Case): Step[] {
  return finished(generatingCase(options, index, before));
}

/** What a generator returns in the end. */
export function finished<T>(making: Generator<undefined, T>): T {
  for (;;) {
    const { done, value } = making.next();
    if (done === true) return value;
  }
}

/** The same as {@linkcode generateCase}, with a pause after each message. */
export function generatingCase(
  options: GenerateOptions,
  index: number,
  before?: Case,
): Generator<undefined, Step[]> {
  return new Generation(options, index).make(before);
}

class Generation {
  readonly #random: Random;
  readonly #options: GenerateOptions;
  readonly #model: Model;
  readonly #steps: Step[] = [];
  #temper: Temper = "orderly";
  #connection = 0;
  #tag = 0;

  constructor(options: GenerateOptions, index: number) {
    this.#options = options;
    this.#random = new Random(options.seed, index);
    this.#model = new Model(options.fixtures, options.user);
  }

  *make(before?: Case): Generator<undefined, Step[]> {
    const random = this.#random;
    const dice = random.below(100);
    this.#temper = dice < 62 ? "orderly" : dice < 82 ? "racing" : "damaged";
    if (before !== undefined && before.length > 0) this.#resume(before);
    else this.#begin();
    const isShort = this.#temper === "damaged" || random.oneIn(4);
    const length = isShort ? 1 + random.below(6) : 12 + random.below(90);
    while (this.#steps.length < length + 2) {
      if (this.#temper === "racing" && random.oneIn(6)) this.#switch();
      if (random.oneIn(7)) this.#burst();
      else this.#add(this.#message());
      yield;
    }
    if (this.#temper === "damaged") this.#damage(1 + random.below(3));
    return this.#steps;
  }

  #begin(): void {
    const random = this.#random;
    const isOdd = random.oneIn(40);
    const version = isOdd
      ? random.pick(["9P2000", "9P2000.u", "9P2000.Lx", "", "9P2000.L.x"])
      : "9P2000.L";
    const msize = random.oneIn(60) ? random.pick(COUNTS) : random.pick(MSIZES);
    this.#add({ kind: "Tversion", tag: NOTAG, msize, version });
    this.#add(this.#attach(0));
  }

  /** Goes on from a part of a case. */
  #resume(before: Case): void {
    const random = this.#random;
    const end = random.oneIn(3) ? before.length : 1 + random.below(before.length);
    const skipped = random.oneIn(3) ? 2 + random.below(end) : -1;
    for (let i = 0; i < end; i++) {
      const step = before[i] as Step;
      if (i === skipped || step.connection >= this.#options.maxConnections) continue;
      this.#steps.push(step);
      if (!(step.content instanceof Uint8Array)) this.#assume(step.connection, step.content);
    }
    const last = this.#steps.at(-1);
    if (last?.isJoined === true) this.#steps[this.#steps.length - 1] = { ...last, isJoined: false };
  }

  #switch(): void {
    const most = Math.min(MAX_CONNECTIONS, this.#options.maxConnections);
    this.#connection = this.#random.below(most);
    if (!this.#session.hasVersion) {
      this.#add({ kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" });
      this.#add(this.#attach(0));
    }
  }

  get #session() {
    return this.#model.session(this.#connection);
  }

  #assume(connection: number, message: Message): void {
    const { must } = this.#model.predict(connection, message);
    if (must === "fail") this.#model.refuse(connection, message);
    else this.#model.apply(connection, message, null);
  }

  #add(message: Message): void {
    this.#assume(this.#connection, message);
    this.#push(message);
  }

  #push(content: Message | Uint8Array): void {
    const random = this.#random;
    const connection = this.#connection;
    let joined = 0;
    let collides = content instanceof Uint8Array;
    for (let i = this.#steps.length - 1; i >= 0; i--) {
      const step = this.#steps[i] as Step;
      if (i < this.#steps.length - 1 && !step.isJoined) break;
      joined++;
      if (content instanceof Uint8Array || step.content instanceof Uint8Array) collides = true;
      else collides ||= collide(content, step.content, step.connection === connection);
    }
    const isRacing = this.#temper === "racing";
    const mayJoin = joined > 0 && joined < MAX_JOINED && this.#steps.length >= 2 &&
      (!collides || (isRacing && random.oneIn(2))) && !random.oneIn(isRacing ? 4 : 8);
    const last = this.#steps.at(-1);
    if (mayJoin && last !== undefined) {
      this.#steps[this.#steps.length - 1] = { ...last, isJoined: true };
    }
    this.#steps.push({ connection, content, isJoined: false });
  }

  /** Several requests that change nothing, to be under way at once. */
  #burst(): void {
    for (let i = 3 + this.#random.below(10); i > 0; i--) {
      const kind = this.#random.pick(LOOKING);
      this.#add(this.#make(kind));
    }
  }

  #damage(times: number): void {
    for (let i = 0; i < times; i++) {
      const whole = encode(this.#message(), "9P2000.L");
      const bytes = damage(this.#random, whole, this.#options.isStream);
      const step = stepOf(bytes, this.#connection);
      if (step.content instanceof Uint8Array) this.#push(step.content);
      else this.#add(step.content);
    }
  }

  #message(): Message {
    return this.#make(this.#random.pick(CHOICES));
  }

  get #nextTag(): number {
    this.#tag = this.#tag % 60 + 1;
    // Now and then one that is in use.
    return this.#random.oneIn(150) ? Math.max(1, this.#tag - 1) : this.#tag;
  }

  /** A fid in one of some states; now and then any other. */
  #fid(...states: readonly FidState[]): number {
    const random = this.#random;
    if (random.oneIn(25)) {
      return random.oneIn(6) ? random.pick([NOFID, 2 ** 31, 99]) : random.below(MAX_FID);
    }
    const fit: number[] = [];
    for (const [number, { state }] of this.#session.fids) {
      if (states.length === 0 || states.includes(state)) fit.push(number);
    }
    return fit.length > 0 ? random.pick(fit) : this.#anyFid();
  }

  #anyFid(): number {
    const all = [...this.#session.fids.keys()];
    return all.length > 0 ? this.#random.pick(all) : 0;
  }

  /** A fid that is free, mostly. */
  #newFid(): number {
    const { fids } = this.#session;
    if (this.#random.oneIn(30)) return this.#random.below(MAX_FID);
    for (let number = 1; number < MAX_FID; number++) if (!fids.has(number)) return number;
    return this.#random.below(MAX_FID);
  }

  #nodeOf(number: number): Node | null {
    return this.#session.fids.get(number)?.node ?? null;
  }

  /** A fid of a folder that was not opened. */
  #folder(): number {
    if (this.#random.oneIn(25)) return this.#fid();
    const fit: number[] = [];
    for (const [number, { state, node }] of this.#session.fids) {
      if (state === "walked" && node?.kind === "folder") fit.push(number);
    }
    return fit.length > 0 ? this.#random.pick(fit) : this.#anyFid();
  }

  /** A name that is there, mostly. */
  #oldName(fid: number): string {
    const random = this.#random;
    if (random.oneIn(30)) return random.pick(NASTY_NAMES);
    const names = [...this.#nodeOf(fid)?.children.keys() ?? []];
    return names.length > 0 && !random.oneIn(15) ? random.pick(names) : random.pick(NAMES);
  }

  /** A name that is free, mostly. */
  #newName(fid: number): string {
    const random = this.#random;
    if (random.oneIn(20)) return random.pick(NASTY_NAMES);
    if (random.oneIn(12)) return this.#oldName(fid);
    return random.pick(NAMES);
  }

  #wname(fid: number): string[] {
    const random = this.#random;
    if (random.oneIn(5)) return [];
    if (random.oneIn(60)) return Array.from({ length: 15 + random.below(4) }, () => "..");
    const names: string[] = [];
    let node = this.#nodeOf(fid);
    for (let i = 1 + random.below(3); i > 0; i--) {
      if (random.oneIn(14)) {
        names.push("..");
        node = node?.parent ?? null;
        continue;
      }
      if (random.oneIn(30)) {
        names.push(random.pick(NASTY_NAMES));
        continue;
      }
      const children: string[] = [...node?.children.keys() ?? []];
      const name: string = children.length > 0 ? random.pick(children) : random.pick(NAMES);
      names.push(name);
      node = node?.children.get(name) ?? null;
      if (node?.kind !== "folder") break;
    }
    return names;
  }

  #count(): number {
    return this.#random.oneIn(4) ? this.#random.pick(COUNTS) : this.#random.below(8192);
  }

  #offset(fid: number): bigint {
    const random = this.#random;
    if (random.oneIn(12)) return random.pick(OFFSETS);
    const size = this.#nodeOf(fid)?.size ?? 0;
    return random.oneIn(3) ? 0n : BigInt(random.below(Math.max(1, size) + 10));
  }

  #data(): Uint8Array {
    const random = this.#random;
    const length = random.oneIn(10) ? random.below(8169) : random.below(64);
    const bytes = new Uint8Array(length);
    const first = random.below(256);
    for (let i = 0; i < length; i++) bytes[i] = (first + i * 3) & 0xff;
    return bytes;
  }

  #gid(): number {
    return this.#random.oneIn(10) ? Number(this.#random.pick(edgesOf(4))) : 0;
  }

  #mode(): number {
    return this.#random.oneIn(12)
      ? this.#random.below(2 ** 16)
      : this.#random.pick([0o644, 0o600, 0o755, 0o777, 0]);
  }

  #openFlags(): number {
    const random = this.#random;
    if (random.oneIn(12)) return random.oneIn(2) ? random.next() : random.below(2 ** 22);
    return random.pick([
      O_RDONLY,
      O_RDONLY,
      O_RDWR,
      O_RDWR,
      O_WRONLY,
      O_RDWR | O_TRUNC,
      O_WRONLY | O_APPEND,
    ]);
  }

  #attach(fid: number): Message {
    const random = this.#random;
    const isOdd = random.oneIn(50);
    return {
      kind: "Tattach",
      tag: this.#nextTag,
      fid,
      afid: isOdd ? this.#anyFid() : NOFID,
      uname: random.oneIn(30) ? random.pick(NASTY_NAMES) : "root",
      aname: random.oneIn(40) ? random.pick([...NASTY_NAMES, `${ANAME}/..`]) : ANAME,
      n_uname: random.oneIn(60) ? Number(random.pick(edgesOf(4))) : this.#options.user,
    };
  }

  #make(kind: Message["kind"]): Message {
    const random = this.#random;
    const tag = this.#nextTag;
    switch (kind) {
      case "Tversion":
        return {
          kind,
          tag: NOTAG,
          msize: random.pick([...MSIZES, ...COUNTS]),
          version: "9P2000.L",
        };
      case "Tauth":
        return {
          kind,
          tag,
          afid: this.#newFid(),
          uname: "root",
          aname: ANAME,
          n_uname: this.#options.user,
        };
      case "Tattach":
        return this.#attach(this.#newFid());
      case "Tflush":
        return { kind, tag, oldtag: Math.max(1, this.#tag - random.below(4)) };
      case "Twalk": {
        const fid = this.#fid("walked");
        return {
          kind,
          tag,
          fid,
          newfid: random.oneIn(15) ? fid : this.#newFid(),
          wname: this.#wname(fid),
        };
      }
      case "Tlopen":
        return { kind, tag, fid: this.#fid("walked"), flags: this.#openFlags() };
      case "Tlcreate": {
        const fid = this.#folder();
        const flags = random.oneIn(4) ? this.#openFlags() : random.pick([
          O_CREAT | O_RDWR | O_EXCL,
          O_CREAT | O_RDWR,
          O_CREAT | O_WRONLY | O_TRUNC,
        ]);
        return {
          kind,
          tag,
          fid,
          name: this.#newName(fid),
          flags,
          mode: this.#mode(),
          gid: this.#gid(),
        };
      }
      case "Tsymlink": {
        const fid = this.#folder();
        const symtgt = random.pick([
          "hello",
          "../outside",
          "/nonexistent/file",
          "..",
          "n0",
          "link",
          ...NASTY_NAMES,
        ]);
        return { kind, tag, fid, name: this.#newName(fid), symtgt, gid: this.#gid() };
      }
      case "Tmknod": {
        const dfid = this.#folder();
        const type = random.pick([S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, 0, 0o170000]);
        const mode = type | this.#mode();
        // A server may open what it makes: null, zero and full, and block devices that nobody has.
        const isCharacter = type === S_IFCHR;
        return {
          kind,
          tag,
          dfid,
          name: this.#newName(dfid),
          mode,
          major: isCharacter ? 1 : 0,
          minor: isCharacter ? random.pick([3, 5, 7]) : random.below(10),
          gid: this.#gid(),
        };
      }
      case "Tmkdir": {
        const dfid = this.#folder();
        return {
          kind,
          tag,
          dfid,
          name: this.#newName(dfid),
          mode: this.#mode() | 0o700,
          gid: this.#gid(),
        };
      }
      case "Tlink": {
        const dfid = this.#folder();
        return { kind, tag, dfid, fid: this.#fid("walked"), name: this.#newName(dfid) };
      }
      case "Trename": {
        const dfid = this.#folder();
        return { kind, tag, fid: this.#fid("walked"), dfid, name: this.#newName(dfid) };
      }
      case "Trenameat": {
        const olddirfid = this.#folder();
        const newdirfid = this.#folder();
        return {
          kind,
          tag,
          olddirfid,
          oldname: this.#oldName(olddirfid),
          newdirfid,
          newname: this.#newName(newdirfid),
        };
      }
      case "Tunlinkat": {
        const dirfd = this.#folder();
        const name = this.#oldName(dirfd);
        const isFolder = this.#nodeOf(dirfd)?.children.get(name)?.kind === "folder";
        const right = isFolder ? AT_REMOVEDIR : 0;
        const flags = random.oneIn(12) ? random.pick([AT_REMOVEDIR, 0, 1, 2 ** 32 - 1]) : right;
        return { kind, tag, dirfd, name, flags };
      }
      case "Tremove":
        return { kind, tag, fid: this.#fid() };
      case "Tclunk":
        return { kind, tag, fid: this.#fid() };
      case "Tread": {
        const fid = random.oneIn(6) ? this.#fid("xattr-read", "folder") : this.#fid("file");
        return { kind, tag, fid, offset: this.#offset(fid), count: this.#count() };
      }
      case "Twrite": {
        const fid = random.oneIn(8) ? this.#fid("xattr-write") : this.#fid("file");
        const offset = random.oneIn(8) ? this.#offset(fid) : BigInt(random.below(3000));
        return { kind, tag, fid, offset, data: this.#data() };
      }
      case "Treaddir": {
        const offset = random.oneIn(4)
          ? random.oneIn(2) ? random.pick(OFFSETS) : BigInt(random.below(10))
          : 0n;
        return { kind, tag, fid: this.#fid("folder"), offset, count: this.#count() };
      }
      case "Tgetattr":
        return {
          kind,
          tag,
          fid: this.#fid(),
          request_mask: random.oneIn(10) ? random.pick(OFFSETS) : BigInt(GETATTR_ALL),
        };
      case "Tsetattr":
        return this.#setattr(tag);
      case "Tstatfs":
        return { kind, tag, fid: this.#fid() };
      case "Treadlink": {
        const links: number[] = [];
        for (const [number, fid] of this.#session.fids) if (isLink(fid)) links.push(number);
        return {
          kind,
          tag,
          fid: links.length > 0 && !random.oneIn(5) ? random.pick(links) : this.#fid(),
        };
      }
      case "Tfsync":
        return { kind, tag, fid: this.#fid("file", "folder"), datasync: random.below(2) };
      case "Txattrwalk":
        return {
          kind,
          tag,
          fid: this.#fid("walked", "file", "folder"),
          newfid: this.#newFid(),
          name: random.pick([
            "",
            "user.a",
            "user.b",
            "security.capability",
            "system.posix_acl_access",
            ...NASTY_NAMES,
          ]),
        };
      case "Txattrcreate":
        return {
          kind,
          tag,
          fid: this.#fid("walked"),
          name: random.pick(["user.a", "user.b", "user.virtfs.uid", ...NASTY_NAMES]),
          attr_size: random.oneIn(6) ? random.pick(OFFSETS) : BigInt(random.below(64)),
          flags: random.oneIn(8) ? random.below(8) : 0,
        };
      case "Tlock":
        return {
          kind,
          tag,
          fid: this.#fid("file"),
          type: random.below(random.oneIn(20) ? 256 : 3),
          flags: random.oneIn(6) ? 1 : 0,
          start: random.oneIn(8) ? random.pick(OFFSETS) : BigInt(random.below(100)),
          length: random.oneIn(8) ? random.pick(OFFSETS) : BigInt(random.below(100)),
          proc_id: random.below(3),
          client_id: random.oneIn(20) ? random.pick(NASTY_NAMES) : "fuzz",
        };
      default:
        return {
          kind: "Tgetlock",
          tag,
          fid: this.#fid("file"),
          type: random.below(random.oneIn(20) ? 256 : 3),
          start: random.oneIn(8) ? random.pick(OFFSETS) : BigInt(random.below(100)),
          length: random.oneIn(8) ? random.pick(OFFSETS) : BigInt(random.below(100)),
          proc_id: random.below(3),
          client_id: "fuzz",
        };
    }
  }

  #setattr(tag: number): Message {
    const random = this.#random;
    const all = SETATTR_MODE | SETATTR_UID | SETATTR_GID | SETATTR_SIZE | SETATTR_ATIME |
      SETATTR_MTIME | SETATTR_CTIME;
    const valid = random.oneIn(10)
      ? random.next()
      : random.oneIn(4)
      ? random.below(512) & all
      : random.pick([
        SETATTR_MODE,
        SETATTR_SIZE,
        SETATTR_SIZE,
        SETATTR_MTIME,
        SETATTR_ATIME | SETATTR_MTIME,
        0,
      ]);
    return {
      kind: "Tsetattr",
      tag,
      fid: this.#fid("walked", "file", "folder"),
      valid,
      mode: this.#mode(),
      uid: this.#gid(),
      gid: this.#gid(),
      size: random.oneIn(8) ? random.pick(OFFSETS) : BigInt(random.below(5000)),
      atime_sec: random.oneIn(4) ? random.pick(OFFSETS) : 1n,
      atime_nsec: random.oneIn(8) ? random.pick(OFFSETS) : 0n,
      mtime_sec: random.oneIn(4) ? random.pick(OFFSETS) : 2n,
      mtime_nsec: random.oneIn(8) ? random.pick(OFFSETS) : 0n,
    };
  }
}

function isLink({ node }: Fid): boolean {
  return node?.kind === "link";
}

/** Requests that change nothing. */
const LOOKING: readonly Message["kind"][] = [
  "Twalk",
  "Twalk",
  "Tread",
  "Tread",
  "Tread",
  "Tgetattr",
  "Tgetattr",
  "Treaddir",
  "Tstatfs",
  "Treadlink",
  "Tgetlock",
  "Tflush",
];

/** Requests, each as often as it shall come. */
const CHOICES: readonly Message["kind"][] = Object.entries({
  Twalk: 14,
  Tlopen: 10,
  Tread: 8,
  Twrite: 8,
  Tlcreate: 6,
  Tclunk: 8,
  Tgetattr: 6,
  Tsetattr: 5,
  Treaddir: 5,
  Tmkdir: 4,
  Tunlinkat: 5,
  Trenameat: 4,
  Trename: 3,
  Tlink: 3,
  Tsymlink: 3,
  Tmknod: 2,
  Tremove: 3,
  Treadlink: 2,
  Tstatfs: 1,
  Tfsync: 2,
  Txattrwalk: 3,
  Txattrcreate: 3,
  Tlock: 3,
  Tgetlock: 2,
  Tflush: 3,
  Tattach: 2,
  Tauth: 1,
  Tversion: 1,
}).flatMap(([kind, times]) => new Array<Message["kind"]>(times).fill(kind as Message["kind"]));
