/**
 * What the generated encoder shares.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- array reads here are within bounds by the loop

import { byteLength, encodeStringInto } from "./names.ts";
import { putQid, type Qid, type Wire } from "./wire.ts";

/** Writes type and tag of a message at `at`; its size comes when its end is known. */
export function putHeader(view: DataView, at: number, type: number, tag: number): void {
  view.setUint8(at + 4, type);
  view.setUint16(at + 5, tag, true);
}

/**
 * Writes a string after its length and returns the end.
 *
 * @throws {RangeError} If it is longer than 65,535 bytes.
 */
export function putString(wire: Wire, at: number, text: string): number {
  const end = encodeStringInto(text, wire.bytes, at + 2);
  if (end - at - 2 > 0xffff) throw tooMany("a string", end - at - 2, "bytes");
  wire.view.setUint16(at, end - at - 2, true);
  return end;
}

/**
 * Writes a list of strings after its count and returns the end.
 *
 * @throws {RangeError} If there are more than 65,535, or one is longer than 65,535 bytes.
 */
export function putStrings(wire: Wire, at: number, texts: readonly string[]): number {
  if (texts.length > 0xffff) throw tooMany("a list", texts.length, "items");
  wire.view.setUint16(at, texts.length, true);
  let p = at + 2;
  for (let i = 0; i < texts.length; i++) p = putString(wire, p, texts[i]!);
  return p;
}

/**
 * Writes a list of qids after its count and returns the end.
 *
 * @throws {RangeError} If there are more than 65,535.
 */
export function putQids(wire: Wire, at: number, qids: readonly Qid[]): number {
  if (qids.length > 0xffff) throw tooMany("a list", qids.length, "items");
  wire.view.setUint16(at, qids.length, true);
  let p = at + 2;
  for (let i = 0; i < qids.length; i++) {
    putQid(wire.view, p, qids[i]!);
    p += 13;
  }
  return p;
}

/**
 * Writes bytes after their count in two bytes and returns the end.
 *
 * @throws {RangeError} If there are more than 65,535.
 */
export function putBytes16(wire: Wire, at: number, bytes: Uint8Array): number {
  if (bytes.length > 0xffff) throw tooMany("a record", bytes.length, "bytes");
  wire.view.setUint16(at, bytes.length, true);
  wire.bytes.set(bytes, at + 2);
  return at + 2 + bytes.length;
}

/** Writes bytes after their count in four bytes and returns the end. */
export function putBytes32(wire: Wire, at: number, bytes: Uint8Array): number {
  wire.view.setUint32(at, bytes.length, true);
  wire.bytes.set(bytes, at + 4);
  return at + 4 + bytes.length;
}

/** Bytes of strings, each after its length. */
export function byteLengths(texts: readonly string[]): number {
  let size = 2 * texts.length;
  for (let i = 0; i < texts.length; i++) size += byteLength(texts[i]!);
  return size;
}

function tooMany(what: string, count: number, unit: string): RangeError {
  return new RangeError(`Cannot encode ${what}: ${count} ${unit}, at most 65535`);
}
