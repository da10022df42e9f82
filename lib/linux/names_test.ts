import assert from "node:assert/strict";
import { EINVAL, ENAMETOOLONG } from "./constants.ts";
import { arena, loadLibc, SLOT } from "./libc.ts";
import { decodeName, putName, putProc, putProcName } from "./names.ts";

loadLibc();

function written(slot: number, size: number): number[] {
  assert.equal(arena[slot + size], 0, "the NUL is missing");
  return [...arena.subarray(slot, slot + size)];
}

/** Names and their bytes; both directions must agree. */
const PAIRS: [what: string, name: string, bytes: number[]][] = [
  ["nothing", "", []],
  ["ASCII", "abc", [0x61, 0x62, 0x63]],
  ["two bytes", "é", [0xc3, 0xa9]],
  ["three bytes", "a€", [0x61, 0xe2, 0x82, 0xac]],
  ["four bytes", "😀b", [0xf0, 0x9f, 0x98, 0x80, 0x62]],
  ["the last character", "\u{10ffff}", [0xf4, 0x8f, 0xbf, 0xbf]],
  ["a byte order mark", "\ufeffa", [0xef, 0xbb, 0xbf, 0x61]],
  ["a stray byte", "a\udcff", [0x61, 0xff]],
  ["a stray continuation", "\udc80é", [0x80, 0xc3, 0xa9]],
  ["a cut sequence", "\udce2\udc82", [0xe2, 0x82]],
  ["an overlong slash", "\udcc0\udcaf", [0xc0, 0xaf]],
  ["an overlong of three", "\udce0\udc80\udcaf", [0xe0, 0x80, 0xaf]],
  ["an encoded surrogate", "\udced\udca0\udc80", [0xed, 0xa0, 0x80]],
  ["past the last character", "\udcf4\udc90\udc80\udc80", [0xf4, 0x90, 0x80, 0x80]],
  ["a stray byte between characters", "é\udcfe€", [0xc3, 0xa9, 0xfe, 0xe2, 0x82, 0xac]],
];

for (const [what, name, bytes] of PAIRS) {
  Deno.test(`putName() and decodeName() agree on ${what}`, () => {
    assert.equal(putName(name, SLOT.NAME, 4096), bytes.length);
    assert.deepEqual(written(SLOT.NAME, bytes.length), bytes);
    assert.equal(decodeName(Uint8Array.from(bytes), 0, bytes.length), name);
    const long = [...new Array(100).fill(0x78), ...bytes];
    assert.equal(decodeName(Uint8Array.from(long), 0, long.length), "x".repeat(100) + name);
  });
}

Deno.test("every pair of bytes survives decodeName() and putName()", () => {
  const bytes = new Uint8Array(2);
  for (let pair = 0; pair < 65536; pair++) {
    bytes[0] = pair >> 8;
    bytes[1] = pair & 0xff;
    if (bytes[0] === 0 || bytes[1] === 0) continue;
    if (putName(decodeName(bytes, 0, 2), SLOT.OTHER, 4096) !== 2) assert.fail(`pair ${pair}`);
    if (arena[SLOT.OTHER] !== bytes[0] || arena[SLOT.OTHER + 1] !== bytes[1]) {
      assert.fail(`pair ${pair} came back as ${written(SLOT.OTHER, 2)}`);
    }
  }
});

/** What must not reach the kernel. */
const REFUSED: [what: string, name: string, size: number, result: number][] = [
  ["a NUL", "a\0b", 4096, -EINVAL],
  ["a NUL after a character that is not ASCII", "é\0", 4096, -EINVAL],
  ["a lone high surrogate", "\ud800", 4096, -EINVAL],
  ["a high surrogate at the end", "é\udbff", 4096, -EINVAL],
  ["a low surrogate that escapes nothing", "\udc00", 4096, -EINVAL],
  ["a surrogate that would be an ASCII byte", "\udc2f", 4096, -EINVAL],
  ["one byte too many", "abcd", 4, -ENAMETOOLONG],
  ["one byte too many in a long character", "ab€", 5, -ENAMETOOLONG],
  ["a long character and then one byte", "€c", 4, -ENAMETOOLONG],
  ["an escaped byte too many", "€\udcff", 4, -ENAMETOOLONG],
  ["a pair too many", "😀", 4, -ENAMETOOLONG],
];

for (const [what, name, size, result] of REFUSED) {
  Deno.test(`putName() refuses ${what}`, () => {
    arena.fill(0xaa, SLOT.SCRATCH + size, SLOT.SCRATCH + size + 8);
    assert.equal(putName(name, SLOT.SCRATCH, size), result);
    assert.deepEqual(
      [...arena.subarray(SLOT.SCRATCH + size, SLOT.SCRATCH + size + 8)],
      new Array(8).fill(0xaa),
      "it wrote past the slot",
    );
  });
}

Deno.test("putName() fills a slot to the last byte", () => {
  assert.equal(putName("abc", SLOT.NAME, 4), 3);
  assert.equal(putName("€", SLOT.NAME, 4), 3);
  assert.equal(putName("😀", SLOT.NAME, 5), 4);
  assert.equal(putName("x".repeat(4095), SLOT.NAME, 4096), 4095);
});

Deno.test("putProc() formats every kind of number", () => {
  for (const fd of [0, 7, 9, 10, 99, 100, 12345, 999999999, 2147483647]) {
    const size = putProc(fd);
    assert.equal(decodeName(arena, SLOT.PROC, SLOT.PROC + size), `/proc/self/fd/${fd}`);
    assert.equal(arena[SLOT.PROC + size], 0);
  }
  const size = putProc(-1); // "/proc/self/fd/" alone would be a folder
  assert.equal(decodeName(arena, SLOT.PROC, SLOT.PROC + size), "/proc/self/fd/-");
});

Deno.test("putProcName() takes one component only", () => {
  const size = putProcName(12, "é");
  assert.equal(decodeName(arena, SLOT.PROC, SLOT.PROC + size), "/proc/self/fd/12/é");
  for (const name of ["", ".", "..", "a/b", "/", "a\0"]) {
    assert.equal(putProcName(12, name), -EINVAL, name);
  }
  assert.equal(putProcName(12, "x".repeat(256)), -ENAMETOOLONG);
  assert.equal(putProcName(2147483647, "x".repeat(255)), 24 + 1 + 255);
});
