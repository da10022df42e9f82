import assert from "node:assert/strict";
import fc from "fast-check";
import { type Memory, Segments } from "./mod.ts";

function memory(size: number, address = 0): Memory {
  return { bytes: Uint8Array.from({ length: size }, (_, i) => i & 0xff), address };
}

/** The bytes of all pieces, taken one by one: what the methods are compared with. */
function flat(segments: Segments): number[] {
  const all: number[] = [];
  for (let i = 0; i < segments.count; i++) all.push(...segments.bytes(i));
  return all;
}

const pieces = fc.array(fc.tuple(fc.nat(60), fc.nat(20)), { maxLength: 8 });

function build(list: [offset: number, length: number][], from: Memory): Segments {
  const segments = new Segments();
  for (const [offset, length] of list) segments.add(from, offset, length);
  return segments;
}

Deno.test("Segments gathers, slices, limits and clones as if it were one array", () => {
  fc.assert(
    fc.property(pieces, fc.nat(200), fc.nat(200), (list, at, length) => {
      const segments = build(list, memory(80));
      const all = flat(segments);
      assert.equal(segments.length, all.length);
      const target = new Uint8Array(length);
      const copied = segments.copyTo(target, at);
      assert.deepEqual([...target.subarray(0, copied)], all.slice(at, at + length));
      const slice = new Segments();
      slice.addSlice(segments, at, length);
      assert.deepEqual(flat(slice), all.slice(at, at + length));
      const cut = segments.clone();
      cut.limit(length);
      assert.deepEqual(flat(cut), all.slice(0, length));
      assert.equal(cut.length, Math.min(all.length, length));
      assert.deepEqual(flat(segments), all, "a clone is limited on its own");
    }),
    { numRuns: 300 },
  );
});

Deno.test("Segments scatters in order and says how much fitted", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 8 }), fc.nat(60), fc.nat(60), (sizes, at, n) => {
      const segments = new Segments(); // pieces that do not overlap, last first
      const one = memory(100);
      let end = 100;
      for (const size of sizes) segments.add(one, end -= size, size);
      const before = flat(segments);
      const source = Uint8Array.from({ length: n }, (_, i) => 200 + (i % 50));
      const copied = segments.copyFrom(source, at);
      assert.equal(copied, Math.max(0, Math.min(n, before.length - at)));
      before.splice(at, copied, ...source.subarray(0, copied));
      assert.deepEqual(flat(segments), before);
    }),
    { numRuns: 300 },
  );
});

Deno.test("Segments.address() is 0 where unknown, else that of the piece", () => {
  const segments = new Segments();
  segments.add(memory(8, 0x1000), 2, 3);
  segments.add(memory(8), 2, 3);
  assert.deepEqual([segments.address(0), segments.address(1)], [0x1002, 0]);
});

Deno.test("Segments.clear() lets the memory go and the list be used again", () => {
  const segments = build([[0, 4], [4, 4]], memory(8));
  segments.clear();
  assert.deepEqual([segments.count, segments.length], [0, 0]);
  assert.ok(segments.memories.every(({ bytes }) => bytes.length === 0));
  assert.throws(() => segments.bytes(0), RangeError);
  segments.add(memory(8), 6, 2);
  assert.deepEqual(flat(segments), [6, 7]);
});

Deno.test("Segments.addSlice() of itself repeats the pieces once", () => {
  const segments = build([[0, 2], [2, 2]], memory(8));
  segments.addSlice(segments, 1, 99);
  assert.deepEqual(flat(segments), [0, 1, 2, 3, 1, 2, 3]);
});

for (const [offset, length] of [[-1, 1], [0, 9], [9, 0], [8, 1], [NaN, 1], [0, NaN], [1, -1]]) {
  Deno.test(`Segments.add() refuses ${length} bytes at ${offset} of 8`, () => {
    assert.throws(() => new Segments().add(memory(8), offset ?? 0, length ?? 0), RangeError);
  });
}
