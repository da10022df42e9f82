import assert from "node:assert/strict";
import fc from "fast-check";
import { nameBytes } from "./arbitrary_test_helper.ts";
import { byteLength, decodeString, encodeStringInto } from "./mod.ts";

/** Encodes into a buffer with a byte on either side that must stay. */
function encodeString(text: string): Uint8Array {
  const size = byteLength(text);
  const bytes = new Uint8Array(size + 2).fill(0x5a);
  assert.equal(encodeStringInto(text, bytes, 1), size + 1);
  assert.deepEqual([bytes[0], bytes[size + 1]], [0x5a, 0x5a]);
  return bytes.slice(1, -1);
}

const cases: [what: string, hex: string, text: string][] = [
  ["nothing", "", ""],
  ["ASCII", "612062", "a b"],
  ["two bytes", "c3a9", "é"],
  ["three bytes", "e282ac", "€"],
  ["four bytes", "f09f9880", "😀"],
  ["the last code point", "f48fbfbf", "\u{10ffff}"],
  ["the last before the surrogates", "ed9fbf", "\ud7ff"],
  ["the first after the surrogates", "ee8080", "\ue000"],
  ["a byte order mark", "efbbbf", "\ufeff"],
  ["a stray tail", "80", "\udc80"],
  ["a byte that is never used", "61ff62", "a\udcffb"],
  ["an overlong slash of two bytes", "c0af", "\udcc0\udcaf"],
  ["an overlong slash of three bytes", "e080af", "\udce0\udc80\udcaf"],
  ["an overlong form of four bytes", "f08080af", "\udcf0\udc80\udc80\udcaf"],
  ["an encoded surrogate", "eda080", "\udced\udca0\udc80"],
  ["an encoded escape", "edb2bf", "\udced\udcb2\udcbf"],
  ["a value past the last", "f4908080", "\udcf4\udc90\udc80\udc80"],
  ["three of four bytes", "f09f98", "\udcf0\udc9f\udc98"],
  ["two of three bytes and a letter", "e28261", "\udce2\udc82a"],
  ["a pair and a stray byte", "f09f988080", "😀\udc80"],
];

for (const [what, hex, text] of cases) {
  Deno.test(`decodeString() and encodeStringInto() take ${what}`, () => {
    const bytes = Uint8Array.fromHex(hex);
    assert.equal(decodeString(bytes, 0, bytes.length), text);
    assert.deepEqual(encodeString(text), bytes);
  });
}

Deno.test("all byte strings survive as names", () => {
  fc.assert(
    fc.property(nameBytes, (bytes) => {
      assert.deepEqual(encodeString(decodeString(bytes, 0, bytes.length)), bytes);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("all strings of two bytes survive, and all of three after a lead byte", () => {
  const bytes = new Uint8Array(3);
  const back = new Uint8Array(3);
  for (let value = 0; value < 0x10000; value++) {
    bytes[0] = value >> 8;
    bytes[1] = value & 0xff;
    for (const last of [0x41, 0x80, 0xbf, 0xc2]) {
      bytes[2] = last;
      const text = decodeString(bytes, 0, 3);
      if (byteLength(text) !== 3 || encodeStringInto(text, back, 0) !== 3) assert.fail(`${bytes}`);
      if (back[0] !== bytes[0] || back[1] !== bytes[1] || back[2] !== last) assert.fail(`${bytes}`);
    }
  }
});

Deno.test("decodeString() agrees with TextDecoder on valid UTF-8 of any length", () => {
  const text = fc.string({ unit: "binary", maxLength: 3000, size: "max" });
  fc.assert(fc.property(text, (text) => {
    const bytes = new TextEncoder().encode(text);
    assert.equal(decodeString(bytes, 0, bytes.length), text);
    assert.deepEqual(encodeString(text), bytes);
  }));
});

Deno.test("decodeString() reads between start and end only", () => {
  const bytes = Uint8Array.fromHex("ffc3a9ff");
  assert.equal(decodeString(bytes, 1, 3), "é");
  assert.equal(decodeString(bytes, 1, 2), "\udcc3");
  assert.equal(decodeString(bytes, 2, 2), "");
});

Deno.test("encodeStringInto() makes U+FFFD of a surrogate that stands for no byte", () => {
  for (const text of ["\ud800", "\udc00", "\udc7f", "\udd00", "a\ud800b"]) {
    assert.deepEqual(encodeString(text), new TextEncoder().encode(text));
  }
});
