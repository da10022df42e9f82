/**
 * Arbitrary messages for fast-check, derived from the table: any value of every field, with those
 * that its kind makes likely or dangerous more often.
 *
 * @module
 */

import fc from "fast-check";
import { type FieldKind, fieldKind } from "./kinds.ts";
import { type Field, LAYOUT, type Layout, RECORD_LAYOUTS } from "./layout.ts";
import type { Dirent, Kind, Message, Stat } from "./messages.ts";
import { decodeString } from "./names.ts";
import type { Dialect } from "./schema.ts";
import type { Value } from "./values.ts";
import type { Qid } from "./wire.ts";

/** Any byte string, biased to what a decoder of UTF-8 gets wrong. */
export const nameBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 300, size: "max" }),
  fc.string({ unit: "binary", maxLength: 60, size: "max" }).map((text) =>
    new TextEncoder().encode(text)
  ),
  fc.array(
    // deno-fmt-ignore
    fc.constantFrom(
      0x00, 0x2e, 0x2f, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
      0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xfe, 0xff,
    ),
    { maxLength: 64, size: "max" },
  ).map((bytes) => Uint8Array.from(bytes)),
);

/** Any string that a decoder can give. */
export const name: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "",
    ".",
    "..",
    "a",
    "usr",
    "a/b",
    "\0",
    "é\n",
    "9P2000.L",
    "\udcff",
    "x".repeat(256),
  ),
  nameBytes.map((bytes) => decodeString(bytes, 0, bytes.length)),
);

const u8 = fc.oneof(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), fc.nat(0xff));
const u16 = fc.oneof(fc.constantFrom(0, 1, 0x7fff, 0x8000, 0xffff), fc.nat(0xffff));
const u32 = fc.oneof(
  fc.constantFrom(0, 1, 2, 4096, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff),
  fc.integer({ min: 0, max: 0xffffffff }),
);
const u64 = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    (1n << 53n) - 1n,
    1n << 53n,
    (1n << 63n) - 1n,
    1n << 63n,
    (1n << 64n) - 1n,
  ),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);
const qid: fc.Arbitrary<Qid> = fc.record({ type: u8, version: u32, path: u64 }, {
  noNullPrototype: true,
});

/** Sums of the bits of a table now and then, so that names are printed and parsed too. */
function flagged(kind: FieldKind, any: fc.Arbitrary<number>): fc.Arbitrary<number> {
  const bits = Object.values(kind.flags ?? {});
  if (bits.length === 0) return any;
  const sum = fc.subarray(bits).map((list) => list.reduce((all, bit) => (all | bit) >>> 0, 0));
  return fc.oneof(any, sum);
}

function arbitraryValue(owner: string, field: Field): fc.Arbitrary<Value> {
  const kind = fieldKind(owner, field.name);
  switch (field.form) {
    case "u8":
      return flagged(kind, u8).map((value) => value & 0xff);
    case "u16":
      return u16;
    case "u32":
      return flagged(kind, u32);
    case "u64":
      return fc.oneof(u64, flagged(kind, u32).map(BigInt));
    case "qid":
      return qid;
    case "string":
      return name;
    case "strings":
      return fc.array(name, { maxLength: 20, size: "max" });
    case "qids":
      return fc.array(qid, { maxLength: 20, size: "max" });
    case "bytes":
      return fc.uint8Array({ maxLength: 600, size: "max" });
  }
}

function arbitraryFields(layout: Layout, dialect: Dialect): Record<string, fc.Arbitrary<Value>> {
  const fields: Record<string, fc.Arbitrary<Value>> = {};
  for (const field of layout.fields) {
    if (field.extended && dialect === "9P2000") {
      const none = fieldKind(layout.name, field.name).none?.value ?? 0;
      fields[field.name] = fc.constant(field.form === "string" ? "" : none);
    } else fields[field.name] = arbitraryValue(layout.name, field);
  }
  return fields;
}

/** Any message of a kind that survives a dialect: what the dialect does not have is none. */
export function arbitraryMessage(kind: Kind, dialect: Dialect): fc.Arbitrary<Message> {
  const layout = LAYOUT.get(kind);
  if (layout === undefined) throw new RangeError(`Cannot make a ${kind}: no row`);
  const model = { kind: fc.constant(kind), tag: u16, ...arbitraryFields(layout, dialect) };
  return fc.record(model, { noNullPrototype: true }) as unknown as fc.Arbitrary<Message>;
}

function arbitraryRecord(name: string, dialect: Dialect): fc.Arbitrary<unknown> {
  const layout = RECORD_LAYOUTS.find((layout) => layout.name === name);
  if (layout === undefined) throw new RangeError(`Cannot make a ${name}: no row`);
  return fc.record(arbitraryFields(layout, dialect), { noNullPrototype: true });
}

/** Any directory entry. */
export const dirent: fc.Arbitrary<Dirent> = arbitraryRecord("Dirent", "9P2000.L") as fc.Arbitrary<
  Dirent
>;

/** Any stat record that survives a dialect. */
export function arbitraryStat(dialect: Dialect): fc.Arbitrary<Stat> {
  return arbitraryRecord("Stat", dialect) as fc.Arbitrary<Stat>;
}
