/**
 * The JSON form: an object with the fields of the message.
 *
 * Numbers are JSON numbers, past 2^53 - 1 decimal strings; bytes are hex digits; strings are
 * strings, in which bytes that are not UTF-8 are lone surrogates, escaped by `JSON.stringify`.
 *
 * @module
 */

import { fieldKind } from "./kinds.ts";
import type { Field } from "./layout.ts";
import type { Message } from "./messages.ts";
import {
  bytesFromHex,
  fit,
  layoutOf,
  messageOf,
  qidOf,
  TAG,
  type Value,
  valueOf,
} from "./values.ts";
import type { Qid } from "./wire.ts";

/** A qid in JSON. */
export interface QidJson {
  /** Bits of `QID_TYPES`. */
  readonly type: number;
  /** Version. */
  readonly version: number;
  /** Number, or decimal string past 2^53 - 1. */
  readonly path: number | string;
}

/** The value of a field in JSON. */
export type JsonField = number | string | QidJson | readonly string[] | readonly QidJson[];

/** A message in JSON: `kind`, `tag` and its fields. */
export type MessageJson = { readonly kind: string; readonly [field: string]: JsonField };

/**
 * The JSON form of a message, from which {@linkcode messageFromJson} gives it back.
 *
 * @example A read
 * ```ts
 * import assert from "node:assert/strict";
 * import { messageToJson } from "@virtfs/virtfs/p9";
 *
 * const json = messageToJson({ kind: "Tread", tag: 1, fid: 2, offset: 1n << 60n, count: 512 });
 * assert.deepEqual(json, {
 *   kind: "Tread",
 *   tag: 1,
 *   fid: 2,
 *   offset: "1152921504606846976",
 *   count: 512,
 * });
 * ```
 */
export function messageToJson(message: Message): MessageJson {
  const json: { kind: string; [field: string]: JsonField } = { kind: message.kind };
  for (const field of [TAG, ...layoutOf(message.kind).fields]) {
    json[field.name] = toJson(valueOf(message, field), field);
  }
  return json;
}

function toJson(value: Value, field: Field): JsonField {
  if (typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint") return numberToJson(value);
  if (value instanceof Uint8Array) return value.toHex();
  if (field.form === "strings") return [...value as readonly string[]];
  if (field.form === "qids") return (value as readonly Qid[]).map(qidToJson);
  return qidToJson(value as Qid);
}

function numberToJson(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}

function qidToJson({ type, version, path }: Qid): QidJson {
  return { type, version, path: numberToJson(path) };
}

/**
 * Reads the JSON form of a message. Fields that 9P2000 does not have may be left out.
 *
 * @param json What `JSON.parse` gave; nothing is taken for granted.
 * @throws {SyntaxError} If it is no message; the error says which field.
 */
export function messageFromJson(json: unknown): Message {
  if (!isRecord(json) || typeof json.kind !== "string") {
    throw new SyntaxError('Cannot read message: not an object with a "kind"');
  }
  const kind = json.kind;
  const values: Record<string, Value> = {};
  const known = new Set(["kind"]);
  for (const field of [TAG, ...layoutOf(kind).fields]) {
    known.add(field.name);
    const value = Object.hasOwn(json, field.name) ? json[field.name] : undefined;
    if (value !== undefined) values[field.name] = fromJson(value, field);
    else if (!field.extended) throw new SyntaxError(`Cannot read ${kind}: no "${field.name}"`);
    else {
      const none = fieldKind(kind, field.name).none?.value ?? 0;
      values[field.name] = field.form === "string" ? "" : none;
    }
  }
  const extra = Object.keys(json).find((key) => !known.has(key));
  if (extra !== undefined) throw new SyntaxError(`Cannot read ${kind}: has no "${extra}"`);
  return messageOf(kind, values);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fromJson(value: unknown, { name, form }: Field): Value {
  switch (form) {
    case "string":
      if (typeof value === "string") return value;
      break;
    case "strings":
      if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
      break;
    case "bytes":
      if (typeof value === "string") return bytesFromHex(name, value);
      break;
    case "qid":
      return qidFromJson(name, value);
    case "qids":
      if (Array.isArray(value)) return value.map((item, i) => qidFromJson(`${name}[${i}]`, item));
      break;
    default:
      return fit(name, form, numberFromJson(name, value));
  }
  throw new SyntaxError(`Cannot read field "${name}": not of form ${form}`);
}

function numberFromJson(path: string, value: unknown): bigint {
  if (Number.isSafeInteger(value)) return BigInt(value as number);
  if (typeof value === "string" && /^(?:0|[1-9][0-9]{0,19})$/.test(value)) return BigInt(value);
  throw new SyntaxError(`Cannot read field "${path}": not a whole number or a decimal string`);
}

function qidFromJson(path: string, value: unknown): Qid {
  if (!isRecord(value)) throw new SyntaxError(`Cannot read field "${path}": not a qid`);
  return qidOf(
    path,
    numberFromJson(`${path}.type`, value.type),
    numberFromJson(`${path}.version`, value.version),
    numberFromJson(`${path}.path`, value.path),
  );
}
