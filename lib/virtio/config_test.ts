import assert from "node:assert/strict";
import { decodeConfig, encodeConfig, readConfig } from "./mod.ts";

Deno.test("encodeConfig() counts the bytes of the tag, not its letters", () => {
  assert.deepEqual([...encodeConfig("é")], [2, 0, 0xc3, 0xa9]);
  assert.equal(decodeConfig(encodeConfig("é")), "é");
  const longest = encodeConfig("x".repeat(65535));
  assert.deepEqual([longest.length, longest[0], longest[1]], [65537, 255, 255]);
});

const bad: [what: string, tag: string][] = [
  ["is empty", ""],
  ["has too many bytes", "é".repeat(32768)],
  ["has a NUL", "a\0b"],
];
for (const [what, tag] of bad) {
  Deno.test(`encodeConfig() refuses a tag that ${what}`, () => {
    assert.throws(() => encodeConfig(tag), {
      name: "RangeError",
      message: /^Cannot use the mount tag/,
    });
  });
}

const reads: [offset: number, size: number, bytes: number[]][] = [
  [0, 4, [2, 0, 104, 105]],
  [0, 8, [2, 0, 104, 105, 0, 0, 0, 0]],
  [2, 1, [104]],
  [3, 3, [105, 0, 0]],
  [4, 2, [0, 0]],
  [2 ** 32 - 1, 2, [0, 0]],
  [0, 0, []],
];
for (const [offset, size, bytes] of reads) {
  Deno.test(`readConfig() gives ${size} bytes from ${offset} on`, () => {
    const target = new Uint8Array(size).fill(255);
    readConfig(encodeConfig("hi"), offset, target);
    assert.deepEqual([...target], bytes);
  });
}

Deno.test("decodeConfig() refuses a tag that is not there and ignores what follows one", () => {
  assert.equal(decodeConfig(new Uint8Array([2, 0, 104, 105, 0, 0])), "hi");
  for (const short of [[], [2], [2, 0, 104]]) {
    assert.throws(() => decodeConfig(new Uint8Array(short)), { name: "RangeError" });
  }
});
