/**
 * Frames and messages: the convenient forms of the generated codec, and what is wrong with a frame.
 *
 * @module
 */

import { NOTAG } from "./kinds.ts";
import { type Field, type Layout, LAYOUT_BY_TYPE } from "./layout.ts";
import { encodeInto, type Kind, kindOf, type Message, sizeOf, tryDecode } from "./messages.ts";
import type { Dialect } from "./schema.ts";
import { Wire } from "./wire.ts";

/** Bytes of `size[4] type[1] tag[2]`. */
export const HEADER_SIZE = 7;
/** Bytes of a qid. */
export const QID_SIZE = 13;
/** Bytes before the payload of an Rread, and of an Rreaddir. */
export const RREAD_HEADER = 11;
/** Bytes of a Tread. */
export const TREAD_SIZE = 23;
/** Bytes before the payload of a Twrite. */
export const TWRITE_HEADER = 23;
/** Room that Linux and Plan 9 leave for the header of a read or write: iounit is msize less this. */
export const IOHDRSZ = 24;
/** Most path elements in a Twalk, by walk(5); the codec passes on more, for the server to refuse. */
export const MAXWELEM = 16;

/** Largest payload of an Rread or Rreaddir for an msize, in bytes. */
export function maxReadCount(msize: number): number {
  return Math.max(0, msize - RREAD_HEADER);
}

/** Largest payload of a Twrite for an msize, in bytes. */
export function maxWriteCount(msize: number): number {
  return Math.max(0, msize - TWRITE_HEADER);
}

/** What can be wrong with a frame, each with the rule it breaks. */
export const FAULTS = {
  "short-header": "a frame has at least size[4] type[1] tag[2]",
  "size-mismatch": "size[4] counts all bytes of the frame, itself included",
  "illegal-type": "Tlerror and Terror are never sent",
  "unknown-type": "no message has this type",
  "wrong-dialect": "the dialect has no such message",
  "field-past-end": "every field lies inside the frame",
  "string-past-end": "every string lies inside the frame",
  "data-past-end": "the payload lies inside the frame",
  "count-past-end": "all items of a list lie inside the frame",
  "trailing-bytes": "the frame ends with its last field",
  "changed": "the memory of a frame stays as it is while it is decoded",
} as const;

/** Name of what is wrong with a frame. */
export type Fault = keyof typeof FAULTS;

/** A frame that is no message, and why. */
export interface Malformed {
  /** Stands where a message has its name. */
  readonly kind: "malformed";
  /** Which rule is broken. */
  readonly fault: Fault;
  /** Where in the frame, in bytes from its `size[4]`: the start of the first field that is wrong. */
  readonly offset: number;
  /** The type byte; 0 if the frame ends before it. */
  readonly type: number;
  /** The tag, by which it may be answered; NOTAG if the frame ends before it. */
  readonly tag: number;
  /** All of it in a sentence. */
  readonly message: string;
}

/** The peer sent a frame that is no message. */
export class ProtocolError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "ProtocolError";
  /** Which rule is broken. */
  readonly fault: Fault;
  /** Where in the frame or record, in bytes. */
  readonly offset: number;
  /** The type byte; 0 if the frame ends before it. */
  readonly type: number;
  /** The tag; NOTAG if the frame ends before it. */
  readonly tag: number;

  /** Carries what {@linkcode diagnose} found. */
  constructor(malformed: Malformed) {
    super(malformed.message);
    this.fault = malformed.fault;
    this.offset = malformed.offset;
    this.type = malformed.type;
    this.tag = malformed.tag;
  }
}

/** What a piece of a frame is for. */
export type Role =
  | "size"
  | "type"
  | "tag"
  | "number"
  | "qid"
  | "length"
  | "count"
  | "text"
  | "bytes";

/** A piece of a frame: where a field, or the length or count in front of it, lies. */
export interface Span {
  /** Name of the field, as in `fid`, `nwname`, `wname[0]`; of a length that of its string. */
  readonly path: string;
  /** What it is for. */
  readonly role: Role;
  /** Bytes from the start of the frame. */
  readonly offset: number;
  /** How many bytes. */
  readonly width: number;
}

/** Walks the fields of a frame or record, noting where each lies, up to the first fault. */
class Scan {
  readonly spans: Span[] = [];
  /** The type byte; -1 if the frame ends before it. */
  type = -1;
  tag = NOTAG;
  fault: Fault | undefined;
  offset = 0;
  path = "";
  readonly #view: DataView;
  readonly #start: number;
  readonly #end: number;
  #at: number;

  constructor(view: DataView, start: number, end: number) {
    this.#view = view;
    this.#start = start;
    this.#end = end;
    this.#at = start;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** Remembers the first fault only; false, to leave with. */
  fail(fault: Fault, at: number, path = ""): false {
    if (this.fault === undefined) {
      this.fault = fault;
      this.offset = at - this.#start;
      this.path = path;
    }
    return false;
  }

  #take(path: string, role: Role, width: number, fault: Fault, from = this.#at): boolean {
    if (width > this.#end - this.#at) return this.fail(fault, from, path);
    this.spans.push({ path, role, offset: this.#at - this.#start, width });
    this.#at += width;
    return true;
  }

  /** The number in the last span. */
  #last(width: number): number {
    const at = this.#at - width;
    return width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  #string(path: string): boolean {
    const from = this.#at;
    return this.#take(path, "length", 2, "string-past-end", from) &&
      this.#take(path, "text", this.#last(2), "string-past-end", from);
  }

  #field(field: Field): boolean {
    const { name, form, width } = field;
    if (form === "string") return this.#string(name);
    if (form === "qid") return this.#take(name, "qid", width, "field-past-end");
    if (field.counter === "") return this.#take(name, "number", width, "field-past-end");
    const from = this.#at;
    if (!this.#take(field.counter, "count", width, "field-past-end")) return false;
    const count = this.#last(width);
    if (form === "bytes") return this.#take(name, "bytes", count, "data-past-end", from);
    if (count * (form === "qids" ? QID_SIZE : 2) > this.#end - this.#at) {
      return this.fail("count-past-end", from, field.counter);
    }
    for (let i = 0; i < count; i++) {
      const path = `${name}[${i}]`;
      const fits = form === "qids"
        ? this.#take(path, "qid", QID_SIZE, "field-past-end")
        : this.#string(path);
      if (!fits) return false;
    }
    return true;
  }

  fields(fields: readonly Field[], dialect: Dialect): void {
    for (const field of fields) {
      if (field.extended && dialect === "9P2000") continue;
      if (!this.#field(field)) return;
    }
    if (this.#at < this.#end) this.fail("trailing-bytes", this.#at);
  }

  frame(dialect: Dialect): void {
    const length = this.#end - this.#start;
    if (length < HEADER_SIZE) {
      this.fail("short-header", this.#start);
      return;
    }
    this.#take("size", "size", 4, "short-header");
    if (this.#last(4) !== length) this.fail("size-mismatch", this.#start);
    this.#take("type", "type", 1, "short-header");
    const type = this.#view.getUint8(this.#start + 4);
    this.#take("tag", "tag", 2, "short-header");
    this.type = type;
    this.tag = this.#last(2);
    const layout = LAYOUT_BY_TYPE.get(type);
    if (layout === undefined) {
      const illegal = LAYOUT_BY_TYPE.has(type + 1) && type % 2 === 0;
      this.fail(illegal ? "illegal-type" : "unknown-type", this.#start + 4);
    } else if (!layout.dialects.includes(dialect)) {
      this.fail("wrong-dialect", this.#start + 4);
    } else {
      this.fields(layout.fields, dialect);
    }
  }
}

/** Keeps `start` and `end` inside the buffer, so that nothing after this can throw. */
function scanFrame(wire: Wire, start: number, end: number, dialect: Dialect): Scan {
  const from = Math.min(Math.max(0, Math.trunc(start) || 0), wire.bytes.length);
  const to = Math.min(Math.max(from, Math.trunc(end) || 0), wire.bytes.length);
  const scan = new Scan(wire.view, from, to);
  scan.frame(dialect);
  return scan;
}

/**
 * Where the fields of the frame from `start` to `end` lie, for hex dumps and mutations.
 *
 * Stops at the first field that does not fit, so it takes malformed frames too.
 *
 * @example The mutation points of a Tversion
 * ```ts
 * import assert from "node:assert/strict";
 * import { encode, fieldOffsets, Wire } from "@virtfs/virtfs/p9";
 *
 * const frame = encode(
 *   { kind: "Tversion", tag: 0xffff, msize: 8192, version: "9P2000.L" },
 *   "9P2000.L",
 * );
 * const spans = fieldOffsets(new Wire(frame), 0, frame.length, "9P2000.L");
 * assert.deepEqual(spans[4], { path: "version", role: "length", offset: 11, width: 2 });
 * ```
 */
export function fieldOffsets(wire: Wire, start: number, end: number, dialect: Dialect): Span[] {
  return scanFrame(wire, start, end, dialect).spans;
}

/**
 * Tells what is wrong with the frame from `start` to `end` that {@linkcode tryDecode} refused.
 *
 * Slow and never throws. If the frame is well-formed by now, the fault is `changed`: somebody
 * writes to its memory.
 */
export function diagnose(wire: Wire, start: number, end: number, dialect: Dialect): Malformed {
  const scan = scanFrame(wire, start, end, dialect);
  const fault = scan.fault ?? "changed";
  const type = Math.max(0, scan.type);
  const name = kindOf(type) ?? (scan.type < 0 ? "message" : `message of type ${type}`);
  const field = scan.path === "" ? "" : ` (${scan.path})`;
  return {
    kind: "malformed",
    fault,
    offset: scan.offset,
    type,
    tag: scan.tag,
    message: `Cannot decode ${name} of ${dialect}: ${fault} at byte ${scan.offset}${field} of ` +
      `${scan.length}, but ${FAULTS[fault]}`,
  };
}

/** What is wrong with a record that lies in `bytes`; offsets count from its start. */
export function diagnoseRecord(layout: Layout, bytes: Uint8Array, dialect: Dialect): Malformed {
  const scan = new Scan(new Wire(bytes).view, 0, bytes.length);
  scan.fields(layout.fields, dialect);
  const fault = scan.fault ?? "changed";
  const field = scan.path === "" ? "" : ` (${scan.path})`;
  return {
    kind: "malformed",
    fault,
    offset: scan.offset,
    type: 0,
    tag: NOTAG,
    message: `Cannot decode ${layout.name}: ${fault} at byte ${scan.offset}${field} of ` +
      `${bytes.length}, but ${FAULTS[fault]}`,
  };
}

/**
 * Decodes a frame. Payloads are views of `bytes`.
 *
 * @throws {ProtocolError} If the frame is no message of the dialect; `fault` and `offset` say why.
 *
 * @example There and back
 * ```ts
 * import assert from "node:assert/strict";
 * import { decode, encode, type Message } from "@virtfs/virtfs/p9";
 *
 * const message: Message = { kind: "Tclunk", tag: 1, fid: 2 };
 * const frame = encode(message, "9P2000.L");
 * assert.deepEqual([...frame], [11, 0, 0, 0, 120, 1, 0, 2, 0, 0, 0]);
 * assert.deepEqual(decode(frame, "9P2000.L"), message);
 * ```
 */
export function decode(bytes: Uint8Array, dialect: Dialect): Message {
  const wire = new Wire(bytes);
  const message = tryDecode(wire, 0, bytes.length, dialect);
  if (message === null) throw new ProtocolError(diagnose(wire, 0, bytes.length, dialect));
  return message;
}

/**
 * Encodes a message as a frame of its own.
 *
 * @throws {RangeError} If a name is longer than 65,535 bytes or a list longer than 65,535 items.
 */
export function encode(message: Message, dialect: Dialect): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeOf(message, dialect));
  encodeInto(message, new Wire(bytes), 0, dialect);
  return bytes;
}

/** Whether a dialect has a message. */
export function hasMessage(dialect: Dialect, kind: Kind): boolean {
  return KINDS_OF[dialect].has(kind);
}

const KINDS_OF: Readonly<Record<Dialect, ReadonlySet<Kind>>> = {
  "9P2000": kindSet("9P2000"),
  "9P2000.u": kindSet("9P2000.u"),
  "9P2000.L": kindSet("9P2000.L"),
};

function kindSet(dialect: Dialect): Set<Kind> {
  const kinds = new Set<Kind>();
  for (const { type, dialects } of LAYOUT_BY_TYPE.values()) {
    const kind = kindOf(type);
    if (kind !== undefined && dialects.includes(dialect)) kinds.add(kind);
  }
  return kinds;
}

/** The messages of a dialect, in order of the type byte. */
export function kindsOf(dialect: Dialect): readonly Kind[] {
  return [...KINDS_OF[dialect]];
}
