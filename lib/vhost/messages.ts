/**
 * Messages as bytes, as objects and as text, by interpreting {@linkcode REQUESTS}.
 *
 * `request[4] flags[4] size[4] payload[size]`, in the machine's byte order, which is little-endian
 * wherever this runs.
 *
 * @see vhost-user, Message Specification
 *
 * @module
 */

import { VhostUserError } from "./errors.ts";
import {
  MAX_REGIONS,
  type RequestName,
  requestName,
  requestRow,
  type REQUESTS,
} from "./requests.ts";

/** Bytes of a message before its payload. */
export const HEADER_SIZE = 12;

/** Flags of a message. */
export const MESSAGE_FLAGS = {
  /** The two bits of the version. */
  VERSION_MASK: 3,
  /** The only version there is. */
  VERSION: 1,
  /** A reply of the back-end. */
  REPLY: 4,
  /** The sender wants a status, if REPLY_ACK was agreed on. */
  NEED_REPLY: 8,
} as const;

/** Payload of every status reply. */
const STATUS = "status[8]";

/** What a number of so many bytes is. */
export type NumberOf<Width> = Width extends "8" ? bigint : number;

/** The property that a field in the notation describes. */
export type FieldOf<Text> = Text extends `padding[${string}]` ? unknown
  : Text extends `${infer Name}[${infer Width}]`
    ? Width extends "1" | "2" | "4" | "8" ? { readonly [K in Name]: NumberOf<Width> }
    : { readonly [K in Name]: Uint8Array }
  : unknown;

/** The properties that several fields describe. */
export type FieldsOf<Text> = Text extends `${infer First} ${infer Rest}`
  ? FieldOf<First> & FieldsOf<Rest>
  : FieldOf<Text>;

/** The object that a notation describes. */
export type PayloadOf<Notation extends string | null> = Notation extends null
  ? { readonly status: bigint }
  : Notation extends "" ? Readonly<Record<string, never>>
  : Notation extends `${infer Before} n${infer Name}*(${infer Inner})`
    ? Omit<FieldsOf<Before>, `n${Name}`> & { readonly [K in Name]: readonly FieldsOf<Inner>[] }
  : Notation extends `${string}payload[size]` ? Omit<FieldsOf<Notation>, "size">
  : FieldsOf<Notation>;

/** Payload of a request. */
export type RequestPayload<Name extends RequestName> = PayloadOf<
  (typeof REQUESTS)[Name]["request"]
>;

/** Payload of a reply; a status where a request has none of its own. */
export type ReplyPayload<Name extends RequestName> = PayloadOf<(typeof REQUESTS)[Name]["reply"]>;

/** One region of guest memory, as `SET_MEM_TABLE` and `ADD_MEM_REG` describe it. */
export type RegionPayload = RequestPayload<"REM_MEM_REG">;

/** Which way a message goes. */
export type Direction = "request" | "reply";

interface Field {
  readonly name: string;
  readonly form: "number" | "padding" | "bytes" | "list";
  /** Bytes of a number or padding. */
  readonly width: number;
  /** Field that says how many bytes or items there are. */
  readonly count: string;
  /** Fields of an item. */
  readonly items: readonly Field[];
}

type Values = Record<string, unknown>;

const layouts = new Map<string, readonly Field[]>();

function layoutOf(notation: string): readonly Field[] {
  let layout = layouts.get(notation);
  if (layout === undefined) {
    layout = parseNotation(notation);
    layouts.set(notation, layout);
  }
  return layout;
}

function parseNotation(notation: string): Field[] {
  const fields: Field[] = [];
  const list = /^(.*) n(\w+)\*\((.*)\)$/.exec(notation);
  const [, before = notation, name = "", inner = ""] = list ?? [];
  for (const text of before.split(" ")) {
    if (text === "") continue;
    const match = /^(\w+)\[(\w+)\]$/.exec(text);
    if (match === null) throw new TypeError(`Cannot read "${notation}": "${text}" is no field`);
    const [, field = "", size = ""] = match;
    const width = Number(size);
    if (Number.isNaN(width)) {
      fields.push({ name: field, form: "bytes", width: 0, count: size, items: [] });
    } else {
      const form = field === "padding" ? "padding" : "number";
      fields.push({ name: field, form, width, count: "", items: [] });
    }
  }
  if (list !== null) {
    const items = parseNotation(inner);
    fields.push({ name, form: "list", width: 0, count: `n${name}`, items });
  }
  return fields;
}

function notationOf(name: RequestName, direction: Direction): string {
  const row = requestRow(name);
  return direction === "request" ? row.request : row.reply ?? STATUS;
}

/** Bytes of fields without what they count. */
function fixedSize(fields: readonly Field[]): number {
  return fields.reduce((size, field) => size + field.width, 0);
}

/** What bytes and lists say about their counts. */
function withCounts(fields: readonly Field[], payload: Values): Values {
  const values = { ...payload };
  for (const { form, name, count } of fields) {
    if (form === "bytes" || form === "list") values[count] = (payload[name] as Values).length;
  }
  return values;
}

function sizeOf(fields: readonly Field[], payload: Values): number {
  let size = fixedSize(fields);
  for (const { form, name, items } of fields) {
    if (form === "bytes") size += (payload[name] as Uint8Array).length;
    if (form === "list") size += (payload[name] as Values[]).length * fixedSize(items);
  }
  return size;
}

function put(view: DataView, start: number, fields: readonly Field[], payload: Values): number {
  const values = withCounts(fields, payload);
  let at = start;
  for (const { name, form, width, items } of fields) {
    if (form === "number") putNumber(view, at, width, values[name] as number | bigint);
    if (form === "bytes") {
      const bytes = values[name] as Uint8Array;
      new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
      at += bytes.length;
    }
    if (form === "list") {
      for (const item of values[name] as Values[]) at = put(view, at, items, item);
    }
    at += width;
  }
  return at;
}

function putNumber(view: DataView, at: number, width: number, value: number | bigint): void {
  if (width === 8) view.setBigUint64(at, BigInt(value), true);
  else if (width === 4) view.setUint32(at, Number(value), true);
  else if (width === 2) view.setUint16(at, Number(value), true);
  else view.setUint8(at, Number(value));
}

function getNumber(view: DataView, at: number, width: number): number | bigint {
  if (width === 8) return view.getBigUint64(at, true);
  if (width === 4) return view.getUint32(at, true);
  if (width === 2) return view.getUint16(at, true);
  return view.getUint8(at);
}

/** Values and the offset after them; null if the bytes end early or a count is absurd. */
function get(view: DataView, start: number, fields: readonly Field[]): [Values, number] | null {
  const values: Values = {};
  const counts = new Set<string>();
  let at = start;
  for (const { name, form, width, count, items } of fields) {
    if (at + width > view.byteLength) return null;
    if (form === "number") values[name] = getNumber(view, at, width);
    at += width;
    if (form === "bytes") {
      const size = values[count] as number;
      if (at + size > view.byteLength) return null;
      values[name] = new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
      counts.add(count);
      at += size;
    }
    if (form === "list") {
      const size = values[count] as number;
      if (size > MAX_REGIONS) return null;
      const list: Values[] = [];
      for (let index = 0; index < size; index++) {
        const item = get(view, at, items);
        if (item === null) return null;
        list.push(item[0]);
        at = item[1];
      }
      values[name] = list;
      counts.add(count);
    }
  }
  for (const count of counts) delete values[count];
  return [values, at];
}

/**
 * Write a message, header included.
 *
 * @param name Which request it is, or answers.
 * @param flags `NEED_REPLY`, or none; the version and the reply bit are added.
 */
export function encodeMessage<Name extends RequestName>(
  name: Name,
  direction: "request",
  payload: RequestPayload<Name>,
  flags?: number,
): Uint8Array<ArrayBuffer>;
/** Write a reply, header included. */
export function encodeMessage<Name extends RequestName>(
  name: Name,
  direction: "reply",
  payload: ReplyPayload<Name> | { readonly status: bigint },
  flags?: number,
): Uint8Array<ArrayBuffer>;
export function encodeMessage(
  name: RequestName,
  direction: Direction,
  payload: unknown,
  flags: number = 0,
): Uint8Array<ArrayBuffer> {
  const values = payload as Values;
  const isStatus = direction === "reply" && "status" in values;
  const fields = layoutOf(isStatus ? STATUS : notationOf(name, direction));
  const size = sizeOf(fields, values);
  const reply = direction === "reply" ? MESSAGE_FLAGS.REPLY : 0;
  const bytes = encodeRaw(requestRow(name).number, MESSAGE_FLAGS.VERSION | reply | flags, size);
  put(new DataView(bytes.buffer), HEADER_SIZE, fields, values);
  return bytes;
}

/** Write a header as given, followed by `size` zeros: for messages that the table would not allow. */
export function encodeRaw(request: number, flags: number, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_SIZE + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, size, true);
  return bytes;
}

/**
 * Read the payload of a request.
 *
 * @param bytes Borrowed for the call.
 * @throws {VhostUserError} "bad-size" if it is shorter or longer than the table says.
 */
export function decodePayload<Name extends RequestName>(
  name: Name,
  direction: "request",
  bytes: Uint8Array,
): RequestPayload<Name>;
/** Read the payload of a reply. */
export function decodePayload<Name extends RequestName>(
  name: Name,
  direction: "reply",
  bytes: Uint8Array,
): ReplyPayload<Name>;
export function decodePayload(
  name: RequestName,
  direction: Direction,
  bytes: Uint8Array,
): unknown {
  const values = tryDecode(name, direction, bytes);
  if (values !== null) return values;
  const notation = notationOf(name, direction) || "nothing";
  throw new VhostUserError(
    "bad-size",
    `Cannot read the ${direction} ${name}: ${bytes.length} bytes do not hold ${notation}`,
    name,
  );
}

function tryDecode(name: RequestName, direction: Direction, bytes: Uint8Array): Values | null {
  const row = requestRow(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const decoded = get(view, 0, layoutOf(notationOf(name, direction)));
  if (decoded === null) return null;
  const isWhole = decoded[1] === bytes.length || (direction === "request" && row.hasSlack === true);
  return isWhole ? decoded[0] : null;
}

/**
 * Print a message as one line: name, flags, payload, number of descriptors.
 *
 * `SET_VRING_NUM need_reply index=0 num=128`. Numbers of 8 bytes are hexadecimal; what the table
 * does not know or allow is printed as bytes.
 *
 * @param payload Borrowed for the call.
 */
export function formatMessage(
  request: number,
  flags: number,
  payload: Uint8Array,
  fds: number = 0,
): string {
  const name = requestName(request);
  let line = name ?? `request ${request}`;
  const isReply = (flags & MESSAGE_FLAGS.REPLY) !== 0;
  if (isReply) line += " reply";
  if ((flags & MESSAGE_FLAGS.NEED_REPLY) !== 0) line += " need_reply";
  const version = flags & MESSAGE_FLAGS.VERSION_MASK;
  if (version !== MESSAGE_FLAGS.VERSION) line += ` version=${version}`;
  const values = name === undefined
    ? null
    : tryDecode(name, isReply ? "reply" : "request", payload);
  if (values === null) {
    if (payload.length > 0) line += ` 0x${payload.toHex()}`;
  } else line += formatValues(values);
  return fds === 0 ? line : `${line} fds=${fds}`;
}

function formatValues(values: Values): string {
  let text = "";
  for (const [name, value] of Object.entries(values)) text += ` ${name}=${formatValue(value)}`;
  return text;
}

function formatValue(value: unknown): string {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return `0x${value.toHex()}`;
  if (Array.isArray(value)) {
    return `[${value.map((item) => formatValues(item).trimStart()).join(", ")}]`;
  }
  return String(value);
}
