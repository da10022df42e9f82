/**
 * The slow way to read a frame: by the table alone, byte by byte, sharing no line with the generated
 * codec. What the two make of a frame has to be the same.
 *
 * @module
 */
import { type Dialect, type Field, type Layout, LAYOUT_BY_TYPE, type Value } from "../p9/mod.ts";

/** What the slow way makes of a frame: its fields by name, `kind` and `tag` among them. */
export type ReferenceMessage = Readonly<Record<string, Value>>;

/** A message was not read: the frame ends too early, or what it says is not so. */
class Refusal extends Error {}

const REFUSAL = new Refusal("no message");
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });
const STRICT = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Reads fields one after the other; the frame is a copy, so that there is nothing outside of it. */
class Reader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(count: number): Uint8Array {
    if (count > this.left) throw REFUSAL;
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  number(width: number): number {
    let value = 0;
    let weight = 1;
    for (const byte of this.take(width)) {
      value += byte * weight;
      weight *= 256;
    }
    return value;
  }

  wide(): bigint {
    const low = this.number(4);
    return (BigInt(this.number(4)) << 32n) + BigInt(low);
  }

  qid(): Value {
    return { type: this.number(1), version: this.number(4), path: this.wide() };
  }

  string(): string {
    return referenceString(this.take(this.number(2)));
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
        return this.take(this.number(width));
      case "strings":
      case "qids": {
        const count = this.number(width);
        // Each item has so many bytes at least: nothing is put together that cannot be there.
        if (count * (form === "qids" ? 13 : 2) > this.left) throw REFUSAL;
        const items = Array.from(
          { length: count },
          () => form === "qids" ? this.qid() : this.string(),
        );
        return items as unknown as Value;
      }
      default:
        return this.number(width);
    }
  }
}

/** Bytes as text: what is no UTF-8 becomes U+DC00 plus the byte, one by one. */
export function referenceString(bytes: Uint8Array): string {
  const text = LENIENT.decode(bytes);
  if (!text.includes("\ufffd")) return text;
  let all = "";
  for (let at = 0; at < bytes.length;) {
    let width = 1;
    let piece = "";
    for (; width <= 4 && at + width <= bytes.length; width++) {
      try {
        piece = STRICT.decode(bytes.subarray(at, at + width));
        break;
      } catch {
        // Not a whole sequence, or none at all.
      }
    }
    if (piece === "") {
      piece = String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
      width = 1;
    }
    all += piece;
    at += width;
  }
  return all;
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
  try {
    for (const field of layout.fields) {
      const isMissing = field.extended && dialect === "9P2000";
      values[field.name] = isMissing
        ? MISSING[field.name] ?? 0xffff_ffff
        : reader.field(field);
    }
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
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
