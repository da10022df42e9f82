/**
 * Values that have broken servers: edges of numbers, names that are none.
 *
 * The first tables are those of conversations, and their order is part of what a seed means. Single
 * frames draw from the same and from more: nothing has to follow from what they hold.
 *
 * @module
 */
import { type Arbitrary, ERRNO, type FieldKind, NOFID, NOTAG } from "../p9/mod.ts";

/** Names that a case makes and finds again. */
export const NAMES: readonly string[] = ["n0", "n1", "n2", "n3", "n4", "n5"];

/** Names that no server should fall for. */
export const NASTY_NAMES: readonly string[] = [
  "..",
  ".",
  "",
  "/",
  "a/b",
  "../x",
  "../../nonexistent",
  "/nonexistent/file",
  "folder/a",
  "a\0b",
  "\0",
  "x".repeat(255),
  "x".repeat(256),
  "x".repeat(4000),
  "é".repeat(127),
  "é".repeat(128),
  "\udcff",
  "a\udc80b",
  ".virtfs_metadata",
  ".virtfs_metadata_root",
  "con",
  "a\nb",
  "\u202e",
  "%s%n",
  "-rf",
  "*",
];

/** Counts around everything that is a limit somewhere. */
export const COUNTS: readonly number[] = [
  0,
  1,
  2,
  7,
  23,
  24,
  127,
  128,
  255,
  256,
  511,
  512,
  4095,
  4096,
  8168,
  8169,
  8181,
  8192,
  65535,
  65536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 24,
  2 ** 32 - 11,
  2 ** 32 - 1,
];

/** Offsets, likewise. */
export const OFFSETS: readonly bigint[] = [
  0n,
  1n,
  4095n,
  4096n,
  8999n,
  9000n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Values for a field of that many bytes. */
export function edgesOf(width: number): readonly bigint[] {
  const top = 2n ** BigInt(8 * width);
  return [0n, 1n, 2n, top / 2n - 1n, top / 2n, top - 1n, top - 2n, top - 11n, top - 24n]
    .filter((value) => value >= 0n);
}

/** Numbers at the edges of one, two and four bytes, and of what they count. */
export const NUMBER_EDGES: Readonly<Record<1 | 2 | 4, readonly number[]>> = {
  1: numbers(edgesOf(1), [3, 0x10, 0x81]),
  2: numbers(edgesOf(2), [15, 16, 17, 0xff, 0x100, 0xfffd]),
  4: numbers(edgesOf(4), COUNTS, [
    ...[3, 11, 4097, 131_072, 131_096, 0x10_0000],
    ...[2 ** 31 - 24, 2 ** 31 - 2, 2 ** 31 + 1],
    // Sums with a header of 7, 11, 23 or 24 bytes that do not fit 32 bits.
    ...[7, 8, 12, 23, 25].map((less) => 2 ** 32 - less),
  ]),
};

/** Numbers at the edges of eight bytes, and of offsets. */
export const WIDE_EDGES: readonly bigint[] = [
  ...new Set([
    ...edgesOf(8),
    ...OFFSETS,
    ...[511n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 4096n, 2n ** 63n + 1n],
    2n ** 64n - 4096n,
  ]),
];

function numbers(edges: readonly bigint[], ...more: readonly (readonly number[])[]): number[] {
  return [...new Set([...edges.map(Number), ...more.flat()])];
}

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

/** Bytes that are no text, or not the text that they seem. */
const STRANGE_BYTES: readonly (readonly number[])[] = [
  [0xc0, 0xaf], // a slash, overlong
  [0xe0, 0x80, 0xaf],
  [0xc0, 0x80], // NUL, overlong
  [0xed, 0xa0, 0x80], // a lone surrogate, encoded
  [0xed, 0xb2, 0x80],
  [0xf4, 0x90, 0x80, 0x80], // past U+10FFFF
  [0xe2, 0x82], // cut off
  [0xf0, 0x9f, 0x98],
  [0xef, 0xbf, 0xbd], // U+FFFD itself
  [0xef, 0xbb, 0xbf, 0x61], // a byte order mark
  [0xf8, 0x88, 0x80, 0x80, 0x80],
];

/** Names that mean nothing to a tree but something to a program. */
const STRANGE_NAMES: readonly string[] = [
  ...["...", "a", "b", "c", "dir", "file", "data", "lock", "link", "a/..", "./a", "//"],
  ...["..\\x", "../../../../nonexistent/file", "..\0", "\n", "\x1b[2J", "$(id)", "~"],
  ...["user.virtfs.mode", "system.posix_acl_access", "security.capability", "user.", "trusted.x"],
  ...["é", "e\u0301", "😀", "\u2028", "\ufeff"],
  ...["9P2000", "9P2000.L", "9P2000.u", "9P2000.", "9p2000.L", "unknown", "9P9999.L", "9P"],
  ...[
    "x".repeat(47),
    "x".repeat(48),
    "x".repeat(254),
    "../".repeat(40),
    `${"y".repeat(1024)}\udcff`,
  ],
];

/** Names as bytes: {@linkcode NASTY_NAMES} and more, some of which are no text. */
export const NASTY_BYTES: readonly Uint8Array[] = [
  ...[...NASTY_NAMES, ...STRANGE_NAMES].map(bytesOfName),
  ...STRANGE_BYTES.map((bytes) => Uint8Array.from(bytes)),
];

/** Not by the codec: what it does before coverage is looked at would not be counted. */
function bytesOfName(name: string): Uint8Array {
  const utf8 = new TextEncoder();
  const isByte = (unit: string): boolean => unit >= "\udc80" && unit <= "\udcff";
  return Uint8Array.from(
    [...name].flatMap((unit) =>
      isByte(unit) ? [unit.charCodeAt(0) & 0xff] : [...utf8.encode(unit)]
    ),
  );
}

/** The short ones among them. Long ones are slow, and tell little that a shorter one does not. */
export const SHORT_BYTES: readonly Uint8Array[] = NASTY_BYTES.filter(({ length }) => length <= 64);

/** A name too long for almost everything: rare, because it is slow. */
export const LONGEST_NAME: Uint8Array = new Uint8Array(0xffff).fill(0x7a);

/** Values and bits that have names, for a field that consists of them. */
export function namedValues(kind: FieldKind): readonly number[] {
  return Object.values(kind.flags ?? {});
}
