/**
 * What the text form and the JSON form share: the values of a message by the names of its fields.
 *
 * @module
 */

import { type Field, LAYOUT, type Layout } from "./layout.ts";
import type { Message } from "./messages.ts";
import type { Qid } from "./wire.ts";

/** The value of a field, as the message object has it. */
export type Value =
  | number
  | bigint
  | string
  | Uint8Array
  | Qid
  | readonly string[]
  | readonly Qid[];

/** Field `tag`, which every message has in front of those of its layout. */
export const TAG: Field = { name: "tag", form: "u16", width: 2, counter: "", extended: false };

/** Largest value of each form that is a number. */
const LARGEST: Readonly<Record<string, bigint>> = {
  u8: 0xffn,
  u16: 0xffffn,
  u32: 0xffffffffn,
  u64: 0xffff_ffff_ffff_ffffn,
};

/** The layout of a message; every message of the type has one. */
export function layoutOf(kind: string): Layout {
  const layout = LAYOUT.get(kind);
  if (layout === undefined) throw new SyntaxError(`Cannot read message: no kind "${kind}"`);
  return layout;
}

/** The value of a field of a message. */
export function valueOf(message: Message, field: Field): Value {
  return (message as unknown as Readonly<Record<string, Value>>)[field.name] ?? 0;
}

/** A message from the values of its fields, which the caller has checked against its layout. */
export function messageOf(kind: string, values: Readonly<Record<string, Value>>): Message {
  return { kind, ...values } as unknown as Message;
}

/**
 * A number as the message object has it: bigint for eight bytes, number for fewer.
 *
 * @throws {SyntaxError} If it does not fit the field.
 */
export function fit(path: string, form: Field["form"], value: bigint): number | bigint {
  const largest = LARGEST[form];
  if (largest === undefined || value < 0n || value > largest) {
    throw new SyntaxError(`Cannot read field "${path}": ${value} is not a number of form ${form}`);
  }
  return form === "u64" ? value : Number(value);
}

/**
 * A qid from its three numbers.
 *
 * @throws {SyntaxError} If one does not fit.
 */
export function qidOf(path: string, type: bigint, version: bigint, id: bigint): Qid {
  return {
    type: Number(fit(`${path}.type`, "u8", type)),
    version: Number(fit(`${path}.version`, "u32", version)),
    path: BigInt(fit(`${path}.path`, "u64", id)),
  };
}

/**
 * Bytes from hex digits.
 *
 * @throws {SyntaxError} If they are anything else, or their number is odd.
 */
export function bytesFromHex(path: string, hex: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex)) {
    throw new SyntaxError(`Cannot read field "${path}": not pairs of hex digits`);
  }
  return Uint8Array.fromHex(hex);
}
