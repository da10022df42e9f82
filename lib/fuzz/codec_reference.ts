/**
 * The slow way to read a frame: by the table alone, byte by byte, sharing no line with the generated
 * codec. What the two make of a frame has to be the same.
 *
 * @module
 */
import { type Dialect, type Field, type Layout, LAYOUT_BY_TYPE, type Value } from "../p9/mod.ts";

/** What the slow way makes of a frame: its fields by name, `kind` and `tag` among them. */
export type ReferenceMessage = Readonly<Record<string, Value>>;

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
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.#bytes[at + i] ?? 0);
    return value;
  }

  wide(): bigint {
    const low = this.number(4);
    const high = this.number(4);
    return high === 0 ? BigInt(low) : (BigInt(high) << 32n) + BigInt(low);
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
export function referenceFields(
  layout: Layout,
  bytes: Uint8Array,
  at: number,
  dialect: Dialect,
): Record<string, Value> | null {
  const reader = new Reader(bytes, at);
  const values: Record<string, Value> = {};
  for (const field of layout.fields) {
    const isMissing = field.extended && dialect === "9P2000";
    values[field.name] = isMissing ? MISSING[field.name] ?? 0xffff_ffff : reader.field(field);
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
  const values = referenceFields(layout, frame, 7, dialect);
  if (values === null) return null;
  values.kind = layout.name;
  values.tag = tag;
  return values;
}

/** Name of the first field in which two messages differ, or null if they are the same. */
export function firstDifference(
  message: Readonly<Record<string, unknown>>,
  reference: ReferenceMessage,
): string | null {
  let fields = 0;
  for (const name in message) {
    fields++;
    if (!isSame(message[name], reference[name])) return name;
  }
  for (const _ in reference) fields--;
  return fields === 0 ? null : "number of fields";
}

function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  if (one instanceof Uint8Array || Array.isArray(one)) {
    const list = one as ArrayLike<unknown>;
    const rest = other as ArrayLike<unknown>;
    if (list.length !== rest.length) return false;
    for (let i = 0; i < list.length; i++) if (!isSame(list[i], rest[i])) return false;
    return true;
  }
  const qid = one as Record<string, unknown>;
  const same = other as Record<string, unknown>;
  return qid.type === same.type && qid.version === same.version && qid.path === same.path;
}
