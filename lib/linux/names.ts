/**
 * Names between JavaScript and the kernel.
 *
 * The kernel's names are bytes, usually UTF-8. A byte that is not part of valid UTF-8 becomes one
 * of U+DC80 to U+DCFF and comes back as the same byte, so that every name survives.
 */

import { EINVAL, ENAMETOOLONG } from "./constants.ts";
import { arena, SLOT } from "./libc.ts";

const PROC_PREFIX = 14; // length of "/proc/self/fd/"

/**
 * Write a name and its NUL into a slot of the arena, which must be loaded.
 *
 * @param size Bytes of the slot, the NUL included.
 * @returns The name's length in bytes; -EINVAL for a NUL or a lone surrogate in it; -ENAMETOOLONG
 * if it does not fit.
 */
export function putName(name: string, slot: number, size: number): number {
  const length = name.length;
  if (length >= size) return -ENAMETOOLONG;
  for (let index = 0; index < length; index++) {
    const unit = name.charCodeAt(index);
    if (unit === 0) return -EINVAL;
    if (unit > 0x7f) return putUtf8(name, index, slot, size);
    arena[slot + index] = unit;
  }
  arena[slot + length] = 0;
  return length;
}

/** The rest of `putName`, from the first character on that is not ASCII. */
function putUtf8(name: string, start: number, slot: number, size: number): number {
  let to = slot + start;
  const end = slot + size;
  for (let index = start; index < name.length; index++) {
    if (to + 5 > end) { // the longest character and the NUL; exact at the end
      if (to + utf8Length(name, index) + 1 > end) return -ENAMETOOLONG;
    }
    const unit = name.charCodeAt(index);
    if (unit === 0) return -EINVAL;
    if (unit < 0x80) {
      arena[to++] = unit;
    } else if (unit < 0x800) {
      arena[to++] = 0xc0 | unit >> 6;
      arena[to++] = 0x80 | unit & 0x3f;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      arena[to++] = 0xe0 | unit >> 12;
      arena[to++] = 0x80 | unit >> 6 & 0x3f;
      arena[to++] = 0x80 | unit & 0x3f;
    } else if (unit >= 0xdc80 && unit <= 0xdcff) {
      arena[to++] = unit & 0xff;
    } else {
      const low = unit < 0xdc00 ? name.charCodeAt(index + 1) : 0;
      if (!(low >= 0xdc00 && low <= 0xdfff)) return -EINVAL;
      const point = 0x10000 + ((unit & 0x3ff) << 10 | low & 0x3ff);
      arena[to++] = 0xf0 | point >> 18;
      arena[to++] = 0x80 | point >> 12 & 0x3f;
      arena[to++] = 0x80 | point >> 6 & 0x3f;
      arena[to++] = 0x80 | point & 0x3f;
      index++;
    }
  }
  arena[to] = 0;
  return to - slot;
}

function utf8Length(name: string, index: number): number {
  const unit = name.charCodeAt(index);
  if (unit < 0x80 || unit >= 0xdc80 && unit <= 0xdcff) return 1;
  if (unit < 0x800) return 2;
  return unit >= 0xd800 && unit < 0xdc00 ? 4 : 3;
}

/**
 * Write "/proc/self/fd/N" into its slot, which must be loaded. Makes no garbage.
 *
 * @returns The path's length in bytes.
 */
export function putProc(fd: number): number {
  if (fd < 0) { // never an entry there, so the call answers ENOENT
    arena[SLOT.PROC + PROC_PREFIX] = 0x2d;
    arena[SLOT.PROC + PROC_PREFIX + 1] = 0;
    return PROC_PREFIX + 1;
  }
  let divisor = 1;
  while (fd / divisor >= 10) divisor *= 10;
  let to = SLOT.PROC + PROC_PREFIX;
  for (let rest = fd; divisor >= 1; divisor = divisor / 10 | 0) {
    const digit = rest / divisor | 0;
    arena[to++] = 0x30 + digit;
    rest -= digit * divisor;
  }
  arena[to] = 0;
  return to - SLOT.PROC;
}

/**
 * Write "/proc/self/fd/N/name" into its slot, which must be loaded.
 *
 * @returns The path's length; -EINVAL if the name is empty, is not one component, or holds a NUL or
 * a lone surrogate; -ENAMETOOLONG.
 */
export function putProcName(fd: number, name: string): number {
  // Anything else could lead out of the folder.
  if (name === "" || name === "." || name === ".." || name.includes("/")) return -EINVAL;
  const length = putProc(fd);
  arena[SLOT.PROC + length] = 0x2f;
  const rest = putName(name, SLOT.PROC + length + 1, 256);
  return rest < 0 ? rest : length + 1 + rest;
}

/**
 * Decode bytes as a name.
 *
 * @param bytes Borrowed for the call.
 * @param start Where the name starts.
 * @param end Where it ends; not past the bytes.
 */
export function decodeName(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > 64) return decodeLong(bytes, start, end);
  let text = "";
  for (let index = start; index < end; index++) {
    const byte = bytes[index] as number;
    if (byte > 0x7f) return decodeLong(bytes, start, end);
    text += String.fromCharCode(byte);
  }
  return text;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeLong(bytes: Uint8Array, start: number, end: number): string {
  try {
    return strict.decode(bytes.subarray(start, end));
  } catch {
    return decodeEscaped(bytes, start, end);
  }
}

/** Decode what is not all UTF-8: valid sequences as they are, every other byte escaped. */
function decodeEscaped(bytes: Uint8Array, start: number, end: number): string {
  const parts: string[] = [];
  let index = start;
  while (index < end) {
    const lead = bytes[index] as number;
    let size = 1;
    let point = lead;
    if (lead > 0x7f) {
      size = sequenceSize(bytes, index, end);
      if (size === 1) point = 0xdc00 | lead;
      else {
        point = lead & 0x7f >> size;
        for (let next = 1; next < size; next++) {
          point = point << 6 | (bytes[index + next] as number) & 0x3f;
        }
      }
    }
    parts.push(String.fromCodePoint(point));
    index += size;
  }
  return parts.join("");
}

/** Bytes of the valid UTF-8 sequence that starts here, or 1 if there is none. */
function sequenceSize(bytes: Uint8Array, index: number, end: number): number {
  const lead = bytes[index] as number;
  if (lead < 0xc2 || lead > 0xf4) return 1;
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (index + size > end) return 1;
  const second = bytes[index + 1] as number;
  // Overlong forms, surrogates and points past U+10FFFF (Unicode 15, table 3-7).
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 1;
  for (let next = 2; next < size; next++) {
    if (((bytes[index + next] as number) & 0xc0) !== 0x80) return 1;
  }
  return size;
}
