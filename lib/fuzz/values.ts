/**
 * Values that have broken servers: edges of numbers, names that are none.
 *
 * @module
 */

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
