/**
 * Values that programs get wrong: numbers at the edges of their types and of the protocol, and names
 * that mean more than they should.
 *
 * @module
 */
import { type Arbitrary, ERRNO, type FieldKind, NOFID, NOTAG } from "../p9/mod.ts";

const U32_EDGES = [
  ...[0, 1, 2, 3, 7, 11, 23, 24, 127, 128, 255, 256, 511, 512, 4095, 4096, 4097],
  ...[8168, 8192, 65_535, 65_536, 131_072, 131_096, 0x10_0000],
  ...[0x7fff_ffe8, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0x8000_0001],
  // Sums with a header of 7, 11, 23 or 24 bytes that do not fit 32 bits.
  ...[0xffff_ffe7, 0xffff_ffe8, 0xffff_ffe9, 0xffff_fff4, 0xffff_fff5, 0xffff_fff8],
  ...[0xffff_fffe, 0xffff_ffff],
];
const U64_EDGES = [
  ...[0n, 1n, 2n, 511n, 4095n, 4096n, 1n << 31n, (1n << 32n) - 1n, 1n << 32n],
  ...[(1n << 53n) - 1n, 1n << 53n, (1n << 53n) + 1n, 1n << 62n, (1n << 63n) - 4096n],
  ...[(1n << 63n) - 1n, 1n << 63n, (1n << 63n) + 1n, (1n << 64n) - 4096n, (1n << 64n) - 1n],
];

/** Numbers at the edges of one, two and four bytes. */
export const NUMBER_EDGES: Readonly<Record<1 | 2 | 4, readonly number[]>> = {
  1: [0, 1, 2, 3, 0x10, 0x7f, 0x80, 0x81, 0xfe, 0xff],
  2: [0, 1, 2, 15, 16, 17, 0xff, 0x100, 0x7fff, 0x8000, 0xfffd, 0xfffe, NOTAG],
  4: U32_EDGES,
};

/** Numbers at the edges of eight bytes. */
export const WIDE_EDGES: readonly bigint[] = U64_EDGES;

/** What a field draws from, by its kind; what is missing draws from the edges of its width. */
export const LIKELY: Readonly<Partial<Record<Arbitrary, readonly number[]>>> = {
  tag: [0, 1, 2, 3, 4, 0xfffe, NOTAG],
  "live-fid": [0, 1, 2, 3, 4, 5, 1000, NOFID - 1, NOFID],
  "new-fid": [0, 1, 2, 3, 4, 5, 6, 7, 1000, NOFID],
  msize: [0, 7, 23, 24, 255, 256, 4096, 8192, 65_536, 0x10_0000, 0x7fff_ffff, 0xffff_ffff],
  id: [0, 1, 1000, 65_534, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff],
  errno: [0, ...Object.values(ERRNO).slice(0, 40), 255, 4095, 4096, 0x8000_0000, 0xffff_ffff],
  mode: [
    ...[0, 0o644, 0o755, 0o7777, 0o100644, 0o040755, 0o120777, 0o010644, 0o020666, 0o060666],
    ...[0o140777, 0o170000, 0x8000_0000, 0xffff_ffff],
  ],
};

const utf8 = new TextEncoder();

const BYTE_NAMES: readonly (readonly number[])[] = [
  [0xff],
  [0xc0, 0xaf], // a slash, overlong
  [0xe0, 0x80, 0xaf],
  [0xc0, 0x80], // NUL, overlong
  [0xed, 0xa0, 0x80], // a lone surrogate, encoded
  [0xed, 0xb2, 0x80],
  [0xf4, 0x90, 0x80, 0x80], // past U+10FFFF
  [0xe2, 0x82], // cut off
  [0xf0, 0x9f, 0x98],
  [0x61, 0x80, 0x62],
  [0xef, 0xbf, 0xbd], // U+FFFD itself
  [0xef, 0xbb, 0xbf, 0x61], // a byte order mark
  [0xf8, 0x88, 0x80, 0x80, 0x80],
];

const TEXT_NAMES: readonly string[] = [
  ...["", ".", "..", "...", "a", "b", "c", "dir", "file", "data", "lock", "link"],
  ...[
    "/",
    "//",
    "a/b",
    "/nonexistent/file",
    "../x",
    "..\\x",
    "../../../../nonexistent/file",
    "a/..",
    "./a",
  ],
  ...["\0", "a\0b", "..\0", "\n", "a\nb", "\x1b[2J", "%s%n", "$(id)", "-rf", "~", "*", "CON"],
  ...[".virtfs_metadata", "user.virtfs.mode", "system.posix_acl_access", "security.capability"],
  ...["user.", "trusted.x", "é", "e\u0301", "😀", "\u202e", "\u2028", "\ufeff"],
  ...["9P2000", "9P2000.L", "9P2000.u", "9P2000.", "9p2000.L", "unknown", "9P9999.L", "9P"],
  ...["x".repeat(47), "x".repeat(48), "x".repeat(254), "x".repeat(255), "x".repeat(256)],
  ...["../".repeat(40), "ü".repeat(128), "y".repeat(1025)],
];

/** Names as bytes: each means something, or is no name at all. */
export const NASTY_NAMES: readonly Uint8Array[] = [
  ...TEXT_NAMES.map((text) => utf8.encode(text)),
  ...BYTE_NAMES.map((bytes) => Uint8Array.from(bytes)),
];

/** A name too long for almost everything: rare, because it is slow. */
export const LONGEST_NAME: Uint8Array = new Uint8Array(0xffff).fill(0x7a);

/** Values and bits that have names, for a field that consists of them. */
export function namedValues(kind: FieldKind): readonly number[] {
  return Object.values(kind.flags ?? {});
}
