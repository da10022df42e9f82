/**
 * The slow way to read a frame: by the table alone, byte by byte, sharing no line with the generated
 * codec. What the two make of a frame has to be the same.
 *
 * @module
 */
import {
  type Dialect,
  type Fault,
  type Field,
  type Layout,
  LAYOUT_BY_TYPE,
  RECORD_LAYOUTS,
  type Value,
} from "../p9/mod.ts";

/** What the slow way makes of a frame or record. */
export interface ReferenceMessage {
  /** What it is. */
  readonly layout: Layout;
  /** Its tag; -1 in a record. */
  readonly tag: number;
  /** Its fields, in the order of the layout. */
  readonly values: readonly Value[];
}

const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

/** Well-formed sequences of UTF-8: ranges of the first byte and of the second, and the length. */
// deno-fmt-ignore
const SEQUENCES: readonly (readonly [number, number, number, number, number])[] = [
  [0x00, 0x7f, 0x00, 0x00, 1], [0xc2, 0xdf, 0x80, 0xbf, 2], [0xe0, 0xe0, 0xa0, 0xbf, 3],
  [0xe1, 0xec, 0x80, 0xbf, 3], [0xed, 0xed, 0x80, 0x9f, 3], [0xee, 0xef, 0x80, 0xbf, 3],
  [0xf0, 0xf0, 0x90, 0xbf, 4], [0xf1, 0xf3, 0x80, 0xbf, 4], [0xf4, 0xf4, 0x80, 0x8f, 4],
];

/** Reads fields one after the other, and nothing any more once one does not fit. */
class Reader {
  /** Whether everything was there so far. */
  isWhole = true;
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Whether so many bytes are there; steps over them, and returns where they are, or -1. */
  #take(count: number): number {
    const at = this.#at;
    if (!this.isWhole || count > this.left) {
      this.isWhole = false;
      return -1;
    }
    this.#at = at + count;
    return at;
  }

  number(width: number): number {
    const at = this.#take(width);
    if (at < 0) return 0;
    const bytes = this.#bytes;
    let value = bytes[at] ?? 0;
    if (width >= 2) value |= (bytes[at + 1] ?? 0) << 8;
    if (width === 4) value |= (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24;
    return value >>> 0;
  }

  wide(): bigint {
    HALVES[0] = this.number(4);
    HALVES[1] = this.number(4);
    return WIDE[0] ?? 0n;
  }

  qid(): Value {
    return { type: this.number(1), version: this.number(4), path: this.wide() };
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return at < 0 ? NOTHING : this.#bytes.subarray(at, at + count);
  }

  string(): string {
    const count = this.number(2);
    const at = this.#take(count);
    return at < 0 ? "" : textOf(this.#bytes, at, at + count);
  }

  field({ form, width }: Field): Value {
    switch (form) {
      case "u64":
        return this.wide();
      case "qid":
        return this.qid();
      case "string":
        return this.string();
      case "bytes":
        return this.bytes(this.number(width));
      case "strings":
      case "qids": {
        const items: unknown[] = [];
        const count = this.number(width);
        for (let i = 0; i < count && this.isWhole; i++) {
          items.push(form === "qids" ? this.qid() : this.string());
        }
        return items as unknown as Value;
      }
      default:
        return this.number(width);
    }
  }
}

const NOTHING = new Uint8Array(0);
/** Two halves that are one number, the lower one first, as wherever Deno runs. */
const WIDE = new BigUint64Array(1);
const HALVES = new Uint32Array(WIDE.buffer);

/** ASCII by hand, which is most of what there is; the rest by a decoder that is not ours. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte >= 0x80 || at - start > 64) return referenceString(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Bytes as text: what is no UTF-8 becomes U+DC00 plus the byte, one by one. */
export function referenceString(bytes: Uint8Array): string {
  const text = LENIENT.decode(bytes);
  if (!text.includes("\ufffd")) return text;
  let all = "";
  for (let at = 0; at < bytes.length;) {
    const width = sequenceAt(bytes, at);
    all += width === 0
      ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0))
      : LENIENT.decode(bytes.subarray(at, at + width));
    at += Math.max(1, width);
  }
  return all;
}

/** Bytes of the well-formed sequence at `at`; 0 if there is none. */
function sequenceAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  const row = SEQUENCES.find(([low, high]) => lead >= low && lead <= high);
  if (row === undefined) return 0;
  const [, , low, high, width] = row;
  if (width === 1) return 1;
  const second = bytes[at + 1] ?? 0;
  if (second < low || second > high) return 0;
  for (let i = 2; i < width; i++) if ((bytes[at + i] ?? 0) >> 6 !== 2) return 0;
  return width;
}

/** Value of an extended field that 9P2000 does not have. */
const MISSING: Readonly<Record<string, Value>> = { errno: 0, extension: "", n_uname: 0xffff_ffff };

/** Reads the fields of a layout off `bytes` from `at` on; null if they are not exactly that. */
function fieldsOf(
  { fields }: Layout,
  bytes: Uint8Array,
  at: number,
  dialect: Dialect,
): Value[] | null {
  const reader = new Reader(bytes, at);
  const values: Value[] = [];
  for (const field of fields) {
    const isMissing = field.extended && dialect === "9P2000";
    values.push(isMissing ? MISSING[field.name] ?? 0xffff_ffff : reader.field(field));
    if (!reader.isWhole) return null;
  }
  return reader.left === 0 ? values : null;
}

/** Reads a frame; null if it is no message of the dialect. */
export function referenceDecode(frame: Uint8Array, dialect: Dialect): ReferenceMessage | null {
  if (frame.length < 7) return null;
  const header = new Reader(frame, 0);
  const size = header.number(4);
  const type = header.number(1);
  const tag = header.number(2);
  const layout = LAYOUT_BY_TYPE.get(type);
  if (size !== frame.length || layout?.dialects.includes(dialect) !== true) return null;
  const values = fieldsOf(layout, frame, 7, dialect);
  return values === null ? null : { layout, tag, values };
}

/** Reads a record that fills `bytes`; null if it does not. */
function recordOf(layout: Layout, bytes: Uint8Array, dialect: Dialect): ReferenceMessage | null {
  const values = fieldsOf(layout, bytes, 0, dialect);
  return values === null ? null : { layout, tag: -1, values };
}

/** Reads a stat record behind its `size[2]`; null if it is not exactly that. */
export function referenceStat(bytes: Uint8Array, dialect: Dialect): ReferenceMessage | null {
  const isWhole = bytes.length >= 2 && new Reader(bytes, 0).number(2) === bytes.length - 2;
  return isWhole ? recordOf(STAT, bytes.subarray(2), dialect) : null;
}

/** Reads entries up to the first that is not there as a whole, and tells how many bytes are left. */
export function referenceDirents(
  bytes: Uint8Array,
): { readonly entries: readonly ReferenceMessage[]; readonly left: number } {
  const entries: ReferenceMessage[] = [];
  let left = bytes;
  for (;;) {
    const reader = new Reader(left, 0);
    for (const field of DIRENT.fields) reader.field(field);
    const entry = reader.isWhole ? recordOf(DIRENT, left.subarray(0, reader.at), "9P2000.L") : null;
    if (entry === null) return { entries, left: left.length };
    entries.push(entry);
    left = left.subarray(reader.at);
  }
}

const [DIRENT, STAT] = ["Dirent", "Stat"].map((name) => {
  const layout = RECORD_LAYOUTS.find((each) => each.name === name);
  if (layout === undefined) throw new RangeError(`Cannot find record "${name}": no row`);
  return layout;
}) as [Layout, Layout];

/** The first thing that is wrong, and where, in bytes. */
export interface ReferenceFault {
  /** What is wrong. */
  readonly fault: Fault;
  /** Where the first field that is wrong begins. */
  readonly offset: number;
}

/** What is wrong with a frame; null if it is a message. */
export function referenceFault(frame: Uint8Array, dialect: Dialect): ReferenceFault | null {
  if (frame.length < 7) return { fault: "short-header", offset: 0 };
  const header = new Reader(frame, 0);
  if (header.number(4) !== frame.length) return { fault: "size-mismatch", offset: 0 };
  const type = header.number(1);
  const layout = LAYOUT_BY_TYPE.get(type);
  if (layout !== undefined) {
    return layout.dialects.includes(dialect)
      ? faultOf(layout, frame, 7, dialect)
      : { fault: "wrong-dialect", offset: 4 };
  }
  // Errors are answers: no request is called so.
  const isError = ["Rlerror", "Rerror"].includes(LAYOUT_BY_TYPE.get(type + 1)?.name ?? "");
  return { fault: isError ? "illegal-type" : "unknown-type", offset: 4 };
}

/** What is wrong with a stat record behind its `size[2]`; null if nothing is. */
export function referenceStatFault(bytes: Uint8Array, dialect: Dialect): ReferenceFault | null {
  if (bytes.length < 2 || new Reader(bytes, 0).number(2) !== bytes.length - 2) {
    return { fault: "size-mismatch", offset: 0 };
  }
  return faultOf(STAT, bytes, 2, dialect);
}

function faultOf(
  { fields }: Layout,
  bytes: Uint8Array,
  start: number,
  dialect: Dialect,
): ReferenceFault | null {
  const reader = new Reader(bytes, start);
  for (const field of fields) {
    if (field.extended && dialect === "9P2000") continue;
    const offset = reader.at;
    reader.field(field);
    if (!reader.isWhole) return faultAt(field, bytes, offset);
  }
  return reader.left === 0 ? null : { fault: "trailing-bytes", offset: reader.at };
}

/** What is wrong with a field that begins at `offset` and is not there as a whole. */
function faultAt({ form, width }: Field, bytes: Uint8Array, offset: number): ReferenceFault {
  if (form === "string") return { fault: "string-past-end", offset };
  const reader = new Reader(bytes, offset);
  const count = reader.number(width);
  if (!reader.isWhole || !["bytes", "strings", "qids"].includes(form)) {
    return { fault: "field-past-end", offset };
  }
  if (form === "bytes") return { fault: "data-past-end", offset };
  // Not even the lengths of so many strings fit.
  if (count * (form === "qids" ? 13 : 2) > reader.left) return { fault: "count-past-end", offset };
  for (;;) {
    const { at } = reader;
    reader.string();
    if (!reader.isWhole) return { fault: "string-past-end", offset: at };
  }
}

/** A message or record as the codec gives it. */
export type Fields = Readonly<Record<string, unknown>>;

/** Name of the first field that is not what it should be, or null if all are and no other is there. */
export function firstDifference(
  message: object,
  { layout, tag, values }: ReferenceMessage,
): string | null {
  const given = message as Fields;
  let fields = 0;
  if (tag >= 0) {
    if (given.kind !== layout.name) return "kind";
    if (given.tag !== tag) return "tag";
    fields = 2;
  }
  for (let i = 0; i < values.length; i++) {
    const name = layout.fields[i]?.name ?? "";
    if (!isSame(given[name], values[i])) return name;
  }
  for (const _ in given) fields--;
  return fields + values.length === 0 ? null : "number of fields";
}

/** Name of the first field in which two messages differ, or null if they are the same. */
export function firstChange(message: object, other: object): string | null {
  const [one, two] = [message as Fields, other as Fields];
  let fields = 0;
  for (const name in one) {
    fields++;
    if (!isSame(one[name], two[name])) return name;
  }
  for (const _ in two) fields--;
  return fields === 0 ? null : "number of fields";
}

function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  if (one instanceof Uint8Array) return other instanceof Uint8Array && isEqual(one, other);
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false;
    for (let i = 0; i < one.length; i++) if (!isSame(one[i], other[i])) return false;
    return true;
  }
  const [qid, same] = [one as Fields, other as Fields];
  return qid.type === same.type && qid.version === same.version && qid.path === same.path;
}

/** Whether two byte strings are the same. */
export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
