/**
 * The text form: one line a message, printed and parsed, the same in traces, tests, scripts and
 * reproducers.
 *
 * `Twalk tag=1 fid=2 newfid=3 wname=["usr","a b"]`: fields in wire order; strings in JSON
 * notation; a qid as type.version.path in hex; bytes in hex after `0x`; flags, errors and
 * placeholders such as NOFID by name, or as numbers.
 *
 * @module
 */

import { ERRNO, formatErrno } from "./errno.ts";
import { formatFlags, parseFlags64, parseNumber } from "./flags.ts";
import { type FieldKind, fieldKind } from "./kinds.ts";
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

/**
 * Prints a message as one line of text, from which {@linkcode parseMessage} gives it back.
 *
 * @example A read
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatMessage } from "@virtfs/virtfs/p9";
 *
 * const line = formatMessage({ kind: "Tread", tag: 1, fid: 2, offset: 4096n, count: 512 });
 * assert.equal(line, "Tread tag=1 fid=2 offset=4096 count=512");
 * ```
 */
export function formatMessage(message: Message): string {
  const layout = layoutOf(message.kind);
  let line = `${message.kind} ${formatField(message, TAG)}`;
  for (const field of layout.fields) line += ` ${formatField(message, field)}`;
  return line;
}

function formatField(message: Message, field: Field): string {
  const kind = fieldKind(message.kind, field.name);
  return `${field.name}=${formatValue(valueOf(message, field), field, kind)}`;
}

/** Prints the value of a field as in the text form. */
export function formatValue(value: Value, field: Field, kind: FieldKind): string {
  if (typeof value === "string") return quote(value);
  if (value instanceof Uint8Array) return `0x${value.toHex()}`;
  if (field.form === "strings") return `[${(value as readonly string[]).map(quote).join(",")}]`;
  if (field.form === "qids") return `[${(value as readonly Qid[]).map(formatQid).join(",")}]`;
  if (field.form === "qid") return formatQid(value as Qid);
  return formatNumber(value as number | bigint, kind);
}

/** Prints a qid as type.version.path in hex, as in `80.1.dead`. */
export function formatQid(qid: Qid): string {
  return `${qid.type.toString(16)}.${qid.version.toString(16)}.${qid.path.toString(16)}`;
}

function formatNumber(value: number | bigint, kind: FieldKind): string {
  if (kind.none !== undefined && kind.none.value === value) return kind.none.name;
  switch (kind.print) {
    case "octal":
      return value === 0 ? "0" : `0${value.toString(8)}`;
    case "hex":
      return `0x${value.toString(16)}`;
    case "errno":
      return formatErrno(Number(value));
    case "flags":
      return formatFlags(value, kind.flags ?? {}, kind.style);
    default:
      return value.toString();
  }
}

/** What JSON leaves as it is but a terminal obeys or a line reader breaks at. */
const UNPRINTABLE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** A string in JSON notation, safe to print whatever it contains. */
export function quote(text: string): string {
  return printableJson(JSON.stringify(text));
}

/** JSON that says the same and is safe to print, whatever strings are in it. */
export function printableJson(json: string): string {
  return json.replace(
    UNPRINTABLE,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Parses a line that {@linkcode formatMessage} printed, or somebody typed.
 *
 * Fields may come in any order; those that 9P2000 does not have may be left out.
 *
 * @throws {SyntaxError} If the line is no message; the error says which part of it.
 *
 * @example A walk
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseMessage } from "@virtfs/virtfs/p9";
 *
 * const message = parseMessage('Twalk tag=1 fid=2 newfid=3 wname=["a b"]');
 * assert.deepEqual(message, { kind: "Twalk", tag: 1, fid: 2, newfid: 3, wname: ["a b"] });
 * ```
 */
export function parseMessage(line: string): Message {
  const text = line.trim();
  const name = /^[A-Za-z]+/.exec(text)?.[0] ?? "";
  const layout = layoutOf(name);
  const texts = splitFields(text, name.length);
  const values: Record<string, Value> = {};
  for (const field of [TAG, ...layout.fields]) {
    const kind = fieldKind(name, field.name);
    const value = texts.get(field.name);
    texts.delete(field.name);
    if (value !== undefined) values[field.name] = parseValue(value, field, kind);
    else if (!field.extended) throw new SyntaxError(`Cannot parse ${name}: no "${field.name}"`);
    else values[field.name] = field.form === "string" ? "" : kind.none?.value ?? 0;
  }
  for (const key of texts.keys()) throw new SyntaxError(`Cannot parse ${name}: has no "${key}"`);
  return messageOf(name, values);
}

/** Cuts `key=value key=value` apart in one pass; values stay text. */
function splitFields(text: string, from: number): Map<string, string> {
  const fields = new Map<string, string>();
  const key = /\s+([a-z_][a-z_0-9]*)=/y;
  let at = from;
  while (at < text.length) {
    key.lastIndex = at;
    const name = key.exec(text)?.[1];
    if (name === undefined) {
      const rest = quote(text.slice(at, at + 20));
      throw new SyntaxError(`Cannot parse message: no key=value at column ${at + 1}: ${rest}`);
    }
    if (fields.has(name)) throw new SyntaxError(`Cannot parse message: "${name}" twice`);
    const end = valueEnd(text, key.lastIndex);
    fields.set(name, text.slice(key.lastIndex, end));
    at = end;
  }
  return fields;
}

/** Where the value that begins at `at` ends: at a space outside of quotes. */
function valueEnd(text: string, at: number): number {
  let quoted = false;
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const unit = text[i];
    if (quoted) {
      if (unit === "\\") i++;
      else if (unit === '"') quoted = false;
    } else if (unit === '"') quoted = true;
    else if (unit === "[") depth++;
    else if (unit === "]") depth--;
    else if (depth <= 0 && (unit === " " || unit === "\t")) return i;
  }
  return text.length;
}

/**
 * Parses the value of a field.
 *
 * @throws {SyntaxError} If it is none.
 */
export function parseValue(text: string, field: Field, kind: FieldKind): Value {
  const { name, form } = field;
  switch (form) {
    case "string":
      return unquote(name, text);
    case "strings": {
      const value = parseJson(name, text);
      if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
      throw new SyntaxError(`Cannot read field "${name}": not a list of strings`);
    }
    case "qid":
      return parseQid(name, text);
    case "qids": {
      const items = /^\[([^\]]*)\]$/.exec(text)?.[1];
      if (items === undefined) throw new SyntaxError(`Cannot read field "${name}": not a list`);
      if (items.trim() === "") return [];
      return items.split(",").map((item, i) => parseQid(`${name}[${i}]`, item.trim()));
    }
    case "bytes":
      if (text.startsWith("0x")) return bytesFromHex(name, text.slice(2));
      throw new SyntaxError(`Cannot read field "${name}": no 0x in front`);
    default:
      return fit(name, form, parseScalar(text, kind));
  }
}

function parseScalar(text: string, kind: FieldKind): bigint {
  if (kind.none !== undefined && kind.none.name === text) return BigInt(kind.none.value);
  if (kind.print === "flags") return parseFlags64(text, kind.flags ?? {});
  if (kind.print === "errno" && Object.hasOwn(ERRNO, text)) {
    return BigInt(ERRNO[text as keyof typeof ERRNO]);
  }
  return parseNumber(text);
}

function parseQid(path: string, text: string): Qid {
  const match = /^([0-9a-fA-F]+)\.([0-9a-fA-F]+)\.([0-9a-fA-F]+)$/.exec(text);
  if (match === null) {
    throw new SyntaxError(`Cannot read field "${path}": not type.version.path in hex`);
  }
  const [type, version, id] = match.slice(1).map((part) => BigInt(`0x${part}`));
  return qidOf(path, type ?? 0n, version ?? 0n, id ?? 0n);
}

function unquote(path: string, text: string): string {
  const value = parseJson(path, text);
  if (typeof value === "string") return value;
  throw new SyntaxError(`Cannot read field "${path}": not a string in quotes`);
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(`Cannot read field "${path}": not in JSON notation`, { cause });
  }
}
