/**
 * Single odd messages, all of them: every message cut at the border of every field, every number at
 * its edges, every R-message as a request. What breaks at one message needs no luck to be found.
 *
 * @module
 */
import {
  encode,
  fieldOffsets,
  GETATTR_ALL,
  HEADER_SIZE,
  type Message,
  NOFID,
  NOTAG,
  O_RDWR,
  Wire,
} from "../p9/mod.ts";
import { ANAME, type Step, stepOf } from "./case.ts";
import { REPLIES, STRANGE_TYPES } from "./damage.ts";
import { Random } from "./random.ts";

const TAG = 1;
const OWNER = { type: 0, start: 0n, length: 0n, proc_id: 1, client_id: "a" } as const;

/** One message of each kind, that a server would take after what is in `BEFORE`. */
const TEMPLATES: readonly Message[] = [
  { kind: "Tattach", tag: TAG, fid: 1, afid: NOFID, uname: "root", aname: ANAME, n_uname: 0 },
  { kind: "Tauth", tag: TAG, afid: 1, uname: "root", aname: ANAME, n_uname: 0 },
  { kind: "Tflush", tag: TAG, oldtag: 9 },
  { kind: "Twalk", tag: TAG, fid: 0, newfid: 1, wname: ["folder", "a"] },
  { kind: "Tlopen", tag: TAG, fid: 0, flags: 0 },
  { kind: "Tlcreate", tag: TAG, fid: 0, name: "n0", flags: 0o102, mode: 0o644, gid: 0 },
  { kind: "Tsymlink", tag: TAG, fid: 0, name: "n0", symtgt: "a", gid: 0 },
  { kind: "Tmknod", tag: TAG, dfid: 0, name: "n0", mode: 0o100644, major: 0, minor: 0, gid: 0 },
  { kind: "Tmkdir", tag: TAG, dfid: 0, name: "n0", mode: 0o755, gid: 0 },
  { kind: "Tlink", tag: TAG, dfid: 0, fid: 0, name: "n0" },
  { kind: "Trename", tag: TAG, fid: 0, dfid: 0, name: "n0" },
  { kind: "Trenameat", tag: TAG, olddirfid: 0, oldname: "hello", newdirfid: 0, newname: "n0" },
  { kind: "Tunlinkat", tag: TAG, dirfd: 0, name: "hello", flags: 0 },
  { kind: "Tremove", tag: TAG, fid: 0 },
  { kind: "Tclunk", tag: TAG, fid: 0 },
  { kind: "Tread", tag: TAG, fid: 0, offset: 0n, count: 512 },
  { kind: "Twrite", tag: TAG, fid: 0, offset: 0n, data: new Uint8Array(4) },
  { kind: "Treaddir", tag: TAG, fid: 0, offset: 0n, count: 512 },
  { kind: "Tgetattr", tag: TAG, fid: 0, request_mask: BigInt(GETATTR_ALL) },
  {
    kind: "Tsetattr",
    tag: TAG,
    fid: 0,
    valid: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0n,
    atime_sec: 0n,
    atime_nsec: 0n,
    mtime_sec: 0n,
    mtime_nsec: 0n,
  },
  { kind: "Tstatfs", tag: TAG, fid: 0 },
  { kind: "Treadlink", tag: TAG, fid: 0 },
  { kind: "Tfsync", tag: TAG, fid: 0, datasync: 0 },
  { kind: "Txattrwalk", tag: TAG, fid: 0, newfid: 1, name: "user.a" },
  { kind: "Txattrcreate", tag: TAG, fid: 0, name: "user.a", attr_size: 1n, flags: 0 },
  { kind: "Tlock", tag: TAG, fid: 0, flags: 0, ...OWNER },
  { kind: "Tgetlock", tag: TAG, fid: 0, ...OWNER },
];

const OPEN: Message = { kind: "Tlopen", tag: TAG, fid: 0, flags: 0 };
const CREATE: Message = {
  kind: "Tlcreate",
  tag: TAG,
  fid: 0,
  name: "n1",
  flags: 0o102,
  mode: 0o644,
  gid: 0,
};

/** Makes the fid one of a file with something in it, and opens that. */
const FILE: readonly Message[] = [
  { kind: "Twalk", tag: TAG, fid: 0, newfid: 0, wname: ["pattern"] },
  { kind: "Tlopen", tag: TAG, fid: 0, flags: O_RDWR },
];
/** Makes the fid one of a list of attributes. */
const LIST: readonly Message[] = [
  { kind: "Twalk", tag: TAG, fid: 0, newfid: 1, wname: [] },
  { kind: "Txattrcreate", tag: TAG, fid: 1, name: "user.a", attr_size: 0n, flags: 0 },
  { kind: "Tclunk", tag: TAG, fid: 1 },
  { kind: "Txattrwalk", tag: TAG, fid: 0, newfid: 0, name: "" },
];
/** Makes the fid one of an attribute that is to be written. */
const ATTRIBUTE: readonly Message[] = [
  { kind: "Txattrcreate", tag: TAG, fid: 0, name: "user.a", attr_size: 4n, flags: 0 },
];

/**
 * What must come before messages that mean something for an open fid only: the first is for all that
 * is wrong with them, the others are for their numbers.
 */
const BEFORE: Readonly<Record<string, readonly (readonly Message[])[]>> = {
  Treaddir: [[OPEN], FILE, LIST],
  Tread: [[CREATE], FILE, [OPEN], LIST, ATTRIBUTE],
  Twrite: [[CREATE], FILE, [OPEN], LIST, ATTRIBUTE],
  Tfsync: [[CREATE], FILE, [OPEN], ATTRIBUTE],
  Tlock: [[CREATE], FILE, [OPEN]],
  Tgetlock: [[CREATE], FILE, [OPEN]],
  Tclunk: [[], FILE, ATTRIBUTE],
  Tremove: [[], FILE, ATTRIBUTE],
  Tsetattr: [[], FILE],
};

interface Odd {
  readonly bytes: Uint8Array;
  readonly before: readonly Message[];
}

/** A message with each of its names in turn being none. */
function withOddNames(message: Message): Message[] {
  const all: Message[] = [];
  for (const [field, value] of Object.entries(message)) {
    const isList = field === "wname";
    if (!isList && !/name$|symtgt|client_id/.test(field)) continue;
    if (typeof value === "number") continue;
    for (const name of ODD_NAMES) {
      all.push({ ...message, [field]: isList ? [name] : name } as Message);
    }
  }
  return all;
}

/** Names that lead elsewhere, or that are none. */
const ODD_NAMES: readonly string[] = ["", ".", "..", "../outside", "/", "a\0b", "x".repeat(256)];

/** Every odd message, in one order. */
function makeAll(isStream: boolean): Odd[] {
  const all: Odd[] = [];
  for (const message of TEMPLATES) {
    const [before = [], ...others] = BEFORE[message.kind] ?? [];
    const frame = encode(message, "9P2000.L");
    const spans = fieldOffsets(new Wire(frame), 0, frame.length, "9P2000.L");
    const cuts = new Set<number>();
    for (const { offset, width, role } of spans) {
      cuts.add(offset).add(offset + width);
      if (role === "text" || role === "bytes" || offset < HEADER_SIZE) continue;
      const top = 2n ** BigInt(8 * width);
      for (const value of role === "qid" ? [] : [top - 1n, top - 12n, top / 2n, 0n]) {
        const bytes = frame.slice();
        for (let i = 0; i < width; i++) {
          bytes[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
        }
        for (const each of [before, ...others]) all.push({ bytes, before: each });
      }
    }
    for (const each of others) all.push({ bytes: frame, before: each });
    for (const end of cuts) {
      if (end < HEADER_SIZE || end >= frame.length) continue;
      const bytes = frame.slice(0, end);
      bytes[0] = end;
      all.push({ bytes, before });
    }
    for (const odd of withOddNames(message)) all.push({ bytes: encode(odd, "9P2000.L"), before });
    const longer = new Uint8Array(frame.length + 1);
    longer.set(frame);
    longer[0] = longer.length;
    all.push({ bytes: longer, before });
  }
  for (const reply of REPLIES) all.push({ bytes: reply, before: [] });
  for (const type of STRANGE_TYPES) {
    all.push({ bytes: Uint8Array.of(7, 0, 0, 0, type, TAG, 0), before: [] });
  }
  for (let size = 0; isStream && size < HEADER_SIZE; size++) {
    all.push({
      bytes: Uint8Array.of(size, 0, 0, 0, 0, 0, 0).subarray(0, Math.max(4, size)),
      before: [],
    });
  }
  return all;
}

/** The single odd messages of a run, in an order that its seed decides. */
export class Sweep {
  readonly #all: Odd[];
  readonly #user: number;

  /** Makes them for a kind of target. */
  constructor(seed: number, isStream: boolean, user: number) {
    this.#all = makeAll(isStream);
    this.#user = user;
    const random = new Random(seed, 2 ** 40);
    for (let i = this.#all.length - 1; i > 0; i--) {
      const at = random.below(i + 1);
      const one = this.#all[i] as Odd;
      this.#all[i] = this.#all[at] as Odd;
      this.#all[at] = one;
    }
  }

  /** How many there are. */
  get length(): number {
    return this.#all.length;
  }

  /** A conversation with one of them. */
  case(index: number): Step[] {
    const { bytes, before } = this.#all[index % this.#all.length] as Odd;
    const session: Message[] = [
      { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" },
      {
        kind: "Tattach",
        tag: TAG,
        fid: 0,
        afid: NOFID,
        uname: "root",
        aname: ANAME,
        n_uname: this.#user,
      },
    ];
    session.push(...before);
    return [
      ...session.map((content) => ({ connection: 0, content, isJoined: false })),
      stepOf(bytes),
    ];
  }
}
