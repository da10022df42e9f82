/**
 * Where a message may begin: how a message looks from outside, for those who lost their place in a
 * stream of them.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import { type Field, LAYOUTS, minSize, TYPE } from "../p9/mod.ts";

/** Largest message that anybody is believed to send, in bytes: Linux takes an msize up to 16 MiB. */
export const LARGEST_MESSAGE: number = 2 ** 24 + 2 ** 12;
/** Most names in a Twalk that one who searches believes in. */
const MOST_ITEMS = 16;
/** How far one who searches waits for the rest of a message that cannot be judged before. */
const LONGEST_WAIT = 4096;
const HEADER = 7;

const RVERSION = TYPE.Rversion;
const TVERSION = TYPE.Tversion;

/** What {@linkcode judge} says. */
export const NO = 0;
/** See {@linkcode NO}: a message begins here. */
export const YES = 1;
/** See {@linkcode NO}: more bytes are needed. */
export const MORE = 2;

/** The body of a message, in steps. */
interface Shape {
  /** Sizes it has at least: the whole of the fixed part. */
  readonly least: number;
  /** A positive number of bytes to skip, or one of the steps below. */
  readonly steps: readonly number[];
  /** Which step is the first that 9P2000 does not have; the number of steps if it has all. */
  readonly classic: number;
}

const STRING = -1;
const STRINGS = -2;
const QIDS = -3;
const BYTES_2 = -4;
const BYTES_4 = -5;

function stepOf(field: Field): number {
  switch (field.form) {
    case "string":
      return STRING;
    case "strings":
      return STRINGS;
    case "qids":
      return QIDS;
    case "bytes":
      return field.width === 2 ? BYTES_2 : BYTES_4;
    case "qid":
      return 13;
    default:
      return field.width;
  }
}

const SHAPES: readonly (Shape | undefined)[] = (() => {
  const shapes: (Shape | undefined)[] = Array.from({ length: 256 }, () => undefined);
  for (const layout of LAYOUTS) {
    const classic = layout.fields.findIndex((field) => field.extended);
    shapes[layout.type] = {
      least: Math.min(minSize(layout, "9P2000"), minSize(layout, "9P2000.L")),
      steps: layout.fields.map(stepOf),
      classic: classic < 0 ? layout.fields.length : classic,
    };
  }
  return shapes;
})();

/** Tags of the requests under way in a conversation. */
export class Tags {
  /** Whether a tag that is not here is not under way. */
  areComplete = false;
  #bits = new Uint32Array(8);

  /** Notes a request. */
  add(tag: number): void {
    const word = tag >>> 5;
    if (word >= this.#bits.length) {
      const more = new Uint32Array(Math.min(2048, word * 2));
      more.set(this.#bits);
      this.#bits = more;
    }
    this.#bits[word]! |= 1 << (tag & 31);
  }

  /** Notes a reply. */
  delete(tag: number): void {
    const word = tag >>> 5;
    if (word < this.#bits.length) this.#bits[word]! &= ~(1 << (tag & 31));
  }

  /** Whether a request with this tag is under way. */
  has(tag: number): boolean {
    const word = tag >>> 5;
    return word < this.#bits.length && (this.#bits[word]! >>> (tag & 31) & 1) === 1;
  }
}

/** Whether a type is one that goes in this direction; T-messages are even in all dialects. */
export function hasType(type: number, isReply: boolean): boolean {
  return SHAPES[type] !== undefined && (type & 1) === (isReply ? 1 : 0);
}

/** `u32` at an offset that the caller has checked. */
export function sizeAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** `u16` at an offset that the caller has checked. */
export function tagAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | bytes[at + 1]! << 8;
}

/** Whether seven bytes can be a header; less strict than {@linkcode judge}. */
export function looksLikeHeader(
  bytes: Uint8Array,
  at: number,
  isReply: boolean,
  msize: number,
): boolean {
  const size = sizeAt(bytes, at);
  if (size > msize) return false;
  const type = bytes[at + 4]!;
  const shape = SHAPES[type];
  if (shape === undefined || size < shape.least || !hasType(type, isReply)) return false;
  const isVersion = type === TVERSION || type === RVERSION;
  return (tagAt(bytes, at + 5) === 0xffff) === isVersion;
}

/**
 * Says whether a message begins at `at`: {@linkcode YES}, {@linkcode NO}, or {@linkcode MORE} if
 * that cannot be said yet.
 *
 * Believed is a message of known type and right direction whose size agrees with all the lengths
 * in its body, whose tag is under way if it is a reply and the tags are known, and which is
 * followed by another header, by as much as there is of it, or by nothing.
 * Takes constant time whatever the bytes.
 *
 * @param tags Requests under way, or null in the direction of requests.
 */
export function judge(
  bytes: Uint8Array,
  at: number,
  end: number,
  isReply: boolean,
  msize: number,
  tags: Tags | null,
): number {
  if (end - at < HEADER) return MORE;
  if (!looksLikeHeader(bytes, at, isReply, msize)) return NO;
  if (tags !== null && tags.areComplete && !tags.has(tagAt(bytes, at + 5))) return NO;
  const size = sizeAt(bytes, at);
  const isWhole = body(bytes, at, end, at + size, SHAPES[bytes[at + 4]!]!);
  if (isWhole !== YES) return isWhole === MORE && size > LONGEST_WAIT ? NO : isWhole;
  const next = at + size;
  if (next + HEADER > end) return YES;
  return looksLikeHeader(bytes, next, isReply, LARGEST_MESSAGE) ? YES : NO;
}

/** Whether the lengths inside of a message lead to its end `stop`. */
function body(
  bytes: Uint8Array,
  start: number,
  end: number,
  stop: number,
  { steps, classic }: Shape,
): number {
  let at = start + HEADER;
  for (let i = 0; i < steps.length; i++) {
    if (i === classic && at === stop) return YES;
    const step = steps[i]!;
    if (step > 0) {
      at += step;
      continue;
    }
    const width = step === BYTES_4 ? 4 : 2;
    if (at + width > stop) return NO;
    if (at + width > end) return MORE;
    if (step === STRINGS) {
      const count = tagAt(bytes, at);
      if (count > MOST_ITEMS) return NO;
      at += 2;
      for (let item = 0; item < count; item++) {
        if (at + 2 > stop) return NO;
        if (at + 2 > end) return MORE;
        at += 2 + tagAt(bytes, at);
      }
    } else if (step === QIDS) {
      at += 2 + 13 * tagAt(bytes, at);
    } else {
      at += width + (width === 4 ? sizeAt(bytes, at) : tagAt(bytes, at));
    }
  }
  return at === stop ? YES : NO;
}

/**
 * Finds the first place at or behind `at` where a message begins or may begin.
 *
 * @returns Offset of it; `end` if there is none. Ask {@linkcode judge} which of the two it is.
 */
export function findMessage(
  bytes: Uint8Array,
  at: number,
  end: number,
  isReply: boolean,
  msize: number,
  tags: Tags | null,
): number {
  for (; at < end; at++) {
    // Most bytes are followed by no size or by no type, and cost no call.
    if (at + 4 < end) {
      if (bytes[at + 3]! > 1 || SHAPES[bytes[at + 4]!] === undefined) continue;
    }
    if (judge(bytes, at, end, isReply, msize, tags) !== NO) return at;
  }
  return end;
}

/** Whether bytes begin with a Tversion or Rversion: the sure sign of 9P on any port. */
export function isVersion(bytes: Uint8Array, at: number, end: number, isReply: boolean): boolean {
  // size[4] type[1] tag[2] msize[4] version[s]
  return end - at >= 15 && bytes[at + 4] === (isReply ? RVERSION : TVERSION) &&
    bytes[at + 5] === 0xff && bytes[at + 6] === 0xff && bytes[at + 13] === 0x39 &&
    bytes[at + 14] === 0x50 && sizeAt(bytes, at) === 13 + tagAt(bytes, at + 11);
}
