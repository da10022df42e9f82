/**
 * Names: bytes on the wire, strings in the program, nothing lost in between.
 *
 * A Linux name is any bytes but `/` and NUL. Valid UTF-8 becomes the string it means; every other
 * byte b becomes the lone surrogate U+DC00 + b (U+DC80 to U+DCFF), as Python's `surrogateescape`
 * does. Encoding what was decoded gives the same bytes, whatever they were.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- array reads here are within bounds by the loop

/** From this many bytes on, one call of TextDecoder beats putting the string together here. */
const LONG = 48;
/** Code units handed to String.fromCharCode at a time; far below any limit on arguments. */
const CHUNK = 1024;

/** Gives U+FFFD for what is not valid, and keeps a byte order mark. */
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Decodes the bytes from `start` to `end` of `bytes`, which the caller has checked to be there.
 *
 * Never throws: bytes that are not valid UTF-8 (stray and truncated sequences, overlong forms,
 * encoded surrogates, values past U+10FFFF) survive byte by byte as U+DC80 to U+DCFF.
 *
 * @example Bytes that are not UTF-8
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeString } from "@virtfs/virtfs/p9";
 *
 * assert.equal(decodeString(new Uint8Array([0x61, 0xff]), 0, 2), "a\udcff");
 * ```
 */
export function decodeString(bytes: Uint8Array, start: number, end: number): string {
  if (end - start >= LONG) {
    const text = DECODER.decode(bytes.subarray(start, end));
    // With U+FFFD in it, it may be one that was sent or one that stands for stray bytes.
    return text.includes("\ufffd") ? decodeAny(bytes, start, end) : text;
  }
  // Eight and four bytes at a time: three times as fast as one by one, and fewer strings to join.
  let text = "";
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const a = bytes[at]!, b = bytes[at + 1]!, c = bytes[at + 2]!, d = bytes[at + 3]!;
    const e = bytes[at + 4]!, f = bytes[at + 5]!, g = bytes[at + 6]!, h = bytes[at + 7]!;
    if ((a | b | c | d | e | f | g | h) >= 0x80) return decodeAny(bytes, start, end);
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  if (at + 4 <= end) {
    const a = bytes[at]!, b = bytes[at + 1]!, c = bytes[at + 2]!, d = bytes[at + 3]!;
    if ((a | b | c | d) >= 0x80) return decodeAny(bytes, start, end);
    text += String.fromCharCode(a, b, c, d);
    at += 4;
  }
  for (; at < end; at++) {
    const a = bytes[at]!;
    if (a >= 0x80) return decodeAny(bytes, start, end);
    text += String.fromCharCode(a);
  }
  return text;
}

/** Decodes anything, sequence by sequence. */
function decodeAny(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let units: number[] = [];
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte < 0x80) {
      units.push(byte);
      at++;
    } else {
      const point = codePoint(bytes, at, end, byte);
      if (point < 0) {
        units.push(0xdc00 + byte);
        at++;
      } else if (point < 0x10000) {
        units.push(point);
        at += point < 0x800 ? 2 : 3;
      } else {
        units.push(0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
        at += 4;
      }
    }
    if (units.length >= CHUNK) {
      text += String.fromCharCode(...units);
      units = [];
    }
  }
  return text + String.fromCharCode(...units);
}

/**
 * The code point of the sequence of two to four bytes that begins with `lead`, or -1 if there is
 * no valid one. The ranges of the second byte keep out overlong forms, surrogates and values past
 * U+10FFFF (Unicode, table 3-7).
 */
function codePoint(bytes: Uint8Array, at: number, end: number, lead: number): number {
  if (lead < 0xc2 || lead > 0xf4 || at + 1 >= end) return -1;
  const second = bytes[at + 1]!;
  if (lead < 0xe0) return isTail(second) ? (lead & 0x1f) << 6 | second & 0x3f : -1;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high || at + 2 >= end) return -1;
  const third = bytes[at + 2]!;
  if (!isTail(third)) return -1;
  if (lead < 0xf0) return (lead & 0x0f) << 12 | (second & 0x3f) << 6 | third & 0x3f;
  if (at + 3 >= end) return -1;
  const fourth = bytes[at + 3]!;
  if (!isTail(fourth)) return -1;
  return (lead & 0x07) << 18 | (second & 0x3f) << 12 | (third & 0x3f) << 6 | fourth & 0x3f;
}

function isTail(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/**
 * Bytes that {@linkcode encodeStringInto} writes for `text`.
 *
 * @example A letter of two bytes
 * ```ts
 * import assert from "node:assert/strict";
 * import { byteLength } from "@virtfs/virtfs/p9";
 *
 * assert.equal(byteLength("é"), 2);
 * ```
 */
export function byteLength(text: string): number {
  const length = text.length;
  let size = length;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) size += 1;
    else if (unit < 0xd800 || unit > 0xdfff) size += 2;
    else if (unit < 0xdc00 && isLow(text.charCodeAt(i + 1))) {
      size += 2; // a pair: four bytes for two units
      i++;
    } else if (!isEscape(unit)) size += 2;
  }
  return size;
}

/**
 * Writes `text` at `at` and returns the end; the caller has made room for `byteLength(text)` bytes.
 *
 * U+DC80 to U+DCFF become the byte they stand for. Any other lone surrogate, which no decoded
 * name contains, becomes U+FFFD as `TextEncoder` does it.
 */
export function encodeStringInto(text: string, bytes: Uint8Array, at: number): number {
  const length = text.length;
  let p = at;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      bytes[p++] = unit;
    } else if (unit < 0x800) {
      bytes[p++] = 0xc0 | unit >> 6;
      bytes[p++] = 0x80 | unit & 0x3f;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      p = putThree(bytes, p, unit);
    } else if (unit < 0xdc00 && isLow(text.charCodeAt(i + 1))) {
      const point = (unit - 0xd7c0 << 10) + (text.charCodeAt(++i) & 0x3ff);
      bytes[p++] = 0xf0 | point >> 18;
      bytes[p++] = 0x80 | point >> 12 & 0x3f;
      bytes[p++] = 0x80 | point >> 6 & 0x3f;
      bytes[p++] = 0x80 | point & 0x3f;
    } else if (isEscape(unit)) {
      bytes[p++] = unit & 0xff;
    } else {
      p = putThree(bytes, p, 0xfffd);
    }
  }
  return p;
}

function putThree(bytes: Uint8Array, at: number, unit: number): number {
  bytes[at] = 0xe0 | unit >> 12;
  bytes[at + 1] = 0x80 | unit >> 6 & 0x3f;
  bytes[at + 2] = 0x80 | unit & 0x3f;
  return at + 3;
}

/** False for NaN, which is what charCodeAt gives past the end. */
function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function isEscape(unit: number): boolean {
  return unit >= 0xdc80 && unit <= 0xdcff;
}
