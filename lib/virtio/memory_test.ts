import assert from "node:assert/strict";
import fc from "fast-check";
import { GuestMemory, Pieces } from "./mod.ts";
import { Bed, END, HIGH, HOLE, LOW, MIDDLE, rangesOf, splitAtRegions } from "./ring_test_helper.ts";

const bed = new Bed();
const memory = bed.memory;

function isThere(address: number): boolean {
  return address >= LOW && address < HOLE || address >= HIGH && address < END;
}

const cases: [what: string, address: number, length: number, there: boolean][] = [
  ["one region", LOW, MIDDLE - LOW, true],
  ["the last byte of a region", END - 1, 1, true],
  ["two regions that touch", MIDDLE - 1, 2, true],
  ["everything up to the hole", LOW, HOLE - LOW, true],
  ["one byte of the hole", HOLE - 1, 2, false],
  ["a hole in the middle", HOLE - 1, HIGH - HOLE + 2, false],
  ["what is in front of all memory", LOW - 1, 2, false],
  ["address 0", 0, 1, false],
  ["what is behind all memory", END, 1, false],
  ["one byte behind all memory", END - 1, 2, false],
  ["4 GiB", LOW, 2 ** 32, false],
  ["the last byte a number can name", 2 ** 53 - 1, 1, false],
  ["an address above 2^53", 2 ** 63, 16, false],
  ["a negative address", -1, 1, false],
  ["no number", NaN, 1, false],
];

for (const [what, address, length, there] of cases) {
  Deno.test(`GuestMemory ${there ? "has" : "refuses"} ${what}`, () => {
    const pieces = new Pieces();
    assert.equal(memory.contains(address, length), there);
    assert.equal(memory.gather(address, length, pieces), there);
    if (there) {
      assert.equal(pieces.length, length);
      assert.deepEqual(
        rangesOf(memory, pieces),
        splitAtRegions([[BigInt(address), length]]),
      );
    }
    if (length < 2 ** 20) assert.equal(memory.read(address, new Uint8Array(length)), there);
  });
}

Deno.test("GuestMemory answers as a walk over all addresses does", () => {
  const address = fc.oneof(
    fc.integer({ min: LOW - 20, max: END + 20 }),
    fc.constantFrom(LOW, MIDDLE, HOLE, HIGH, END).chain((edge) =>
      fc.integer({ min: edge - 20, max: edge + 20 })
    ),
  );
  fc.assert(
    fc.property(address, fc.integer({ min: 1, max: 40 }), (at, length) => {
      let there = true;
      for (let i = 0; i < length; i++) if (!isThere(at + i)) there = false;
      assert.equal(memory.contains(at, length), there);
      assert.equal(memory.gather(at, length, new Pieces()), there);
      assert.equal(memory.read(at, new Uint8Array(length)), there);
      const region = memory.find(at);
      assert.equal(region !== undefined, isThere(at));
      if (region !== undefined) assert.ok(at >= region.guestAddress && at < region.guestEnd);
      const whole = memory.findWhole(at, length) !== undefined;
      assert.equal(whole, there && !(at < MIDDLE && at + length > MIDDLE));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("GuestMemory copies over the border of two regions", () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  assert.ok(memory.write(MIDDLE - 40, bytes));
  const back = new Uint8Array(100);
  assert.ok(memory.read(MIDDLE - 40, back));
  assert.deepEqual(back, bytes);
  assert.equal(memory.write(HOLE - 40, bytes), false);
  bed.assertCanaries();
});

Deno.test("GuestMemory gives pieces with their address in this process", () => {
  const known = new GuestMemory([{ guestAddress: 4096, bytes: new Uint8Array(64), address: 7e9 }]);
  const pieces = new Pieces();
  assert.ok(known.gather(4100, 10, pieces));
  assert.equal(pieces.memories[0]?.address, 7e9);
  assert.equal(pieces.offsets[0], 4);
  pieces.clear();
  assert.equal(pieces.count, 0);
  assert.equal(pieces.memories[0]?.bytes.length, 0, "the memory is let go");
});

Deno.test("GuestMemory without regions has nothing", () => {
  const empty = new GuestMemory([]);
  assert.equal(empty.find(0), undefined);
  assert.equal(empty.contains(0, 1), false);
});

const bytes = new Uint8Array(64);
const bad: [what: string, regions: ConstructorParameters<typeof GuestMemory>[0]][] = [
  ["an empty region", [{ guestAddress: 0, bytes: new Uint8Array(0) }]],
  ["a negative address", [{ guestAddress: -16, bytes }]],
  ["an address above 2^53", [{ guestAddress: 2 ** 60, bytes }]],
  ["a region that reaches over 2^53", [{ guestAddress: 2 ** 53 - 16, bytes }]],
  ["an address that is no integer", [{ guestAddress: 0.5, bytes }]],
  ["different alignments", [{ guestAddress: 4096, bytes: bytes.subarray(1) }]],
  ["regions that overlap", [{ guestAddress: 48, bytes }, { guestAddress: 0, bytes }]],
  ["the same region twice", [{ guestAddress: 0, bytes }, { guestAddress: 0, bytes }]],
];

for (const [what, regions] of bad) {
  Deno.test(`GuestMemory cannot be made with ${what}`, () => {
    assert.throws(() => new GuestMemory(regions), { name: "RangeError", message: /^Cannot add/ });
  });
}
