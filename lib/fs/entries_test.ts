import assert from "node:assert/strict";
import { DirentCursor } from "../linux/mod.ts";
import { decodeDirents, DT_DIR, DT_REG, DT_UNKNOWN, Wire } from "../p9/mod.ts";
import { type EntryTypes, packEntries } from "./entries.ts";

const TYPES: EntryTypes = {
  qid: Uint8Array.from({ length: 16 }, (_, type) => type === DT_DIR ? 0x80 : 0),
  shown: Uint8Array.from({ length: 16 }, (_, type) => type),
};

interface Listed {
  readonly name: string;
  readonly ino?: bigint;
  readonly off?: bigint;
  readonly type?: number;
}

/** Entries as the kernel lists them, with garbage for padding. */
function list(...entries: readonly Listed[]): DirentCursor {
  const bytes = new Uint8Array(4096).fill(0xee);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { name, ino = 7n, off = 9n, type = DT_REG } of entries) {
    const text = new TextEncoder().encode(name);
    const size = Math.ceil((19 + text.length + 1) / 8) * 8;
    view.setBigUint64(at, ino, true);
    view.setBigUint64(at + 8, off, true);
    view.setUint16(at + 16, size, true);
    view.setUint8(at + 18, type);
    bytes.set(text, at + 19);
    bytes[at + 19 + text.length] = 0;
    at += size;
  }
  const cursor = new DirentCursor(bytes);
  cursor.reset(at);
  return cursor;
}

function pack(cursor: DirentCursor, size = 4000, plainHigh = 1 << 16) {
  const bytes = new Uint8Array(size + 8).fill(0xcc);
  const { view } = new Wire(bytes);
  const room = { bytes, view, at: 0, end: size };
  const last = packEntries(cursor, room, TYPES, plainHigh);
  assert.ok(room.at <= size);
  assert.ok(bytes.subarray(room.at).every((byte) => byte === 0xcc), "something is written behind");
  return { last, ...decodeDirents(bytes.subarray(0, room.at)) };
}

Deno.test("packEntries() makes 9P's entries of those of the kernel, names of any length", () => {
  for (let length = 1; length <= 255; length++) {
    const name = "n".repeat(length);
    const cursor = list(
      { name, ino: 0xffff_1234_5678n, off: 0x7654_3210_8765_4321n },
      { name: "d", type: DT_DIR, ino: 1n, off: 0xffff_ffff_ffff_fff0n },
    );
    const { entries, last } = pack(cursor);
    assert.deepEqual(entries, [
      {
        qid: { type: 0, version: 0, path: 0xffff_1234_5678n },
        offset: 0x7654_3210_8765_4321n,
        type: DT_REG,
        name,
      },
      {
        qid: { type: 0x80, version: 0, path: 1n },
        offset: 0xffff_ffff_ffff_fff0n,
        type: DT_DIR,
        name: "d",
      },
    ]);
    assert.equal(last, Math.ceil((20 + length) / 8) * 8);
    assert.equal(cursor.next(), false);
  }
});

Deno.test("packEntries() leaves what is special, and all behind it, to its caller", () => {
  const special: Listed[] = [
    { name: "." },
    { name: ".." },
    { name: "s", type: DT_UNKNOWN },
    { name: "s", type: 77 },
    { name: "s", ino: 1n << 48n },
    { name: "s", off: 0n },
  ];
  for (const one of special) {
    const cursor = list({ name: "a" }, { name: "..b" }, { name: ".c" }, one, { name: "d" });
    const { entries } = pack(cursor);
    assert.deepEqual(entries.map(({ name }) => name), ["a", "..b", ".c"], JSON.stringify(one.name));
    assert.ok(cursor.next());
    assert.equal(cursor.name, one.name);
    assert.equal(pack(list(one)).last, -1);
  }
  assert.equal(pack(list({ name: "a" }), 4000, 0).last, -1, "another device");
});

Deno.test("packEntries() packs whole entries only", () => {
  for (let size = 0; size < 80; size++) {
    const cursor = list({ name: "one" }, { name: "three" }, { name: "x" });
    const { entries, rest } = pack(cursor, size);
    assert.equal(entries.length, size < 27 ? 0 : size < 56 ? 1 : size < 81 ? 2 : 3);
    assert.equal(rest.length, 0);
  }
});

Deno.test("packEntries() stops at records that make no sense", () => {
  for (const size of [0, 1, 18, 19, 40, 0xffff]) {
    const cursor = list({ name: "a" }, { name: "b" });
    cursor.view.setUint16(24 + 16, size, true);
    const { entries } = pack(cursor);
    assert.deepEqual(entries.map(({ name }) => name), ["a"]);
  }
});
