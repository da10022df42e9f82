import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  type Chain,
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
  type Descriptor,
  type Fault,
  featureWord,
  type Pieces,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "./mod.ts";
import {
  ALL_FEATURES,
  Bed,
  desc,
  END,
  HIGH,
  HOLE,
  LOW,
  MIDDLE,
  rangesOf,
  referenceWalk,
  splitAtRegions,
} from "./ring_test_helper.ts";

const DATA = LOW + 0x800;

Deno.test("Chain has its buffers in order, readable and writable apart", () => {
  const bed = new Bed({ size: 8 });
  bed.describe([
    desc(DATA, 23, NEXT, 3),
    desc(DATA + 900, 4, WRITE),
    desc(HIGH, 4096, NEXT | WRITE, 1),
    desc(MIDDLE - 10, 20, NEXT, 4),
    desc(DATA + 100, 11, NEXT | WRITE, 2),
  ]);
  bed.raw.offer(0);
  const chain = bed.device.next();
  assert.ok(chain !== undefined);
  assert.deepEqual(rangesOf(bed.memory, chain.readable), [
    [BigInt(DATA), 23],
    [BigInt(MIDDLE - 10), 10],
    [BigInt(MIDDLE), 10],
  ]);
  assert.deepEqual(rangesOf(bed.memory, chain.writable), [
    [BigInt(DATA + 100), 11],
    [BigInt(HIGH), 4096],
    [BigInt(DATA + 900), 4],
  ]);
  assert.equal(chain.readable.length, 43);
  assert.equal(chain.writable.length, 4111);
});

Deno.test("Chain may go on in an indirect table, at any address and over a border", () => {
  for (const tableAt of [DATA, DATA + 1, DATA + 7, MIDDLE - 16, MIDDLE - 17, MIDDLE - 24]) {
    const bed = new Bed();
    bed.describe([
      desc(DATA + 600, 3, NEXT, 2),
      desc(0, 0),
      desc(tableAt, 64, INDIRECT | WRITE), // WRITE has to be ignored here
    ]);
    bed.describe(
      [
        desc(DATA + 700, 5, NEXT, 2),
        desc(HIGH + 1, 7, WRITE),
        desc(HIGH + 100, 9, NEXT | WRITE, 1),
        desc(END, 1), // not a part of the chain
      ],
      tableAt,
    );
    bed.raw.offer(0);
    const chain = bed.device.next();
    assert.ok(chain !== undefined, `table at ${tableAt}: ${JSON.stringify(bed.faults)}`);
    assert.deepEqual(rangesOf(bed.memory, chain.readable), [
      [BigInt(DATA + 600), 3],
      [BigInt(DATA + 700), 5],
    ]);
    assert.deepEqual(rangesOf(bed.memory, chain.writable), [
      [BigInt(HIGH + 100), 9],
      [BigInt(HIGH + 1), 7],
    ]);
  }
});

Deno.test("Chain in an indirect table may be longer than the queue, as Linux makes them", () => {
  const bed = new Bed({ size: 2 });
  const table = Array.from({ length: 130 }, (_, i) => desc(HIGH + i, 1, i < 129 ? NEXT : 0, i + 1));
  bed.describe([desc(DATA, 130 * 16, INDIRECT)]).describe(table, DATA);
  bed.raw.offer(0);
  assert.equal(bed.device.next()?.readable.count, 130);
});

Deno.test("Chain as long as the queue is taken", () => {
  const bed = new Bed({ size: 8 });
  bed.describe(Array.from({ length: 8 }, (_, i) => desc(HIGH, 1, i < 7 ? NEXT : 0, i + 1)));
  bed.raw.offer(0);
  assert.equal(bed.device.next()?.readable.count, 8);
});

/** Everything in memory, canaries included. */
function snapshot(bed: Bed): Uint8Array[] {
  return bed.blocks.map(({ all }) => all.slice());
}

/** Let `bed` serve what is in its rings, and compare all of it with the plain description. */
function assertServesAsDescribed(bed: Bed, maxDescriptors: number): void {
  const { raw, device, setup: { areas, features } } = bed;
  const mask = areas.size - 1;
  const before = snapshot(bed);
  const available = raw.availIndex;
  const expectedUsed: { id: number; length: number }[] = [];
  const expectedFaults: { fault: Fault; head: number }[] = [];
  const expectedChains: { head: number; readable: unknown; writable: [bigint, number][] }[] = [];
  let breaks: Fault | undefined;
  if (available > areas.size) breaks = "avail-index-jump";
  const taken = new Set<number>();
  for (let at = 0; breaks === undefined && at < available; at++) {
    const head = raw.availEntry(at & mask);
    if (head >= areas.size) {
      breaks = "head-out-of-range";
      break;
    }
    const expected = taken.has(head)
      ? { fault: "duplicate-head" as const }
      : referenceWalk(bed.memory, areas, features, maxDescriptors, head);
    if ("fault" in expected) {
      expectedFaults.push({ fault: expected.fault, head });
      // Written at once: a table that lies there is another one from now on.
      raw.setUsedEntry(expectedUsed.length & mask, { id: head, length: 0 });
      expectedUsed.push({ id: head, length: 0 });
    } else {
      taken.add(head);
      expectedChains.push({
        head,
        readable: splitAtRegions(expected.readable),
        writable: splitAtRegions(expected.writable),
      });
    }
  }

  for (const [i, { all }] of bed.blocks.entries()) all.set(before[i] ?? []);
  const chains: Chain<Pieces>[] = bed.takeAll();
  assert.equal(device.brokenBy?.fault, breaks);
  assert.deepEqual(
    chains.map(({ head, readable, writable }) => ({
      head,
      readable: rangesOf(bed.memory, readable),
      writable: rangesOf(bed.memory, writable),
    })),
    expectedChains,
  );
  const chainFaults = bed.faults.filter(({ fault }) =>
    fault !== "descriptor-flags" && fault !== breaks
  );
  assert.equal(chainFaults.length, expectedFaults.length);
  for (const [i, { fault, head }] of chainFaults.entries()) {
    const expected = expectedFaults[i];
    assert.equal(head, expected?.head);
    // Going round a loop, another rule may be broken before it is sure to be one.
    if (expected?.fault !== "loop") assert.equal(fault, expected?.fault);
    else {
      assert.ok(
        ["loop", "chain-too-long", "length-overflow", "readable-after-writable"].includes(fault),
      );
    }
  }

  // The answers: what the chains and the used ring now have, and nothing else.
  for (const [i, chain] of chains.entries()) {
    const { memories, offsets, lengths, count, length } = chain.writable;
    for (let j = 0; j < count; j++) {
      const at = offsets[j] ?? NaN;
      memories[j]?.bytes.fill(0xaa, at, at + (lengths[j] ?? NaN));
    }
    expectedUsed.push({ id: chain.head, length });
    assert.ok(device.add(chain, i % 2 === 0 ? length : Infinity));
  }
  device.publish();
  assert.equal(raw.usedIndex, expectedUsed.length);
  for (const [slot, entry] of expectedUsed.entries()) assert.deepEqual(raw.usedEntry(slot), entry);
  assert.equal(device.inFlight, 0);

  const expectedMemory = new Bed(bed.setup.areas);
  for (const [i, { all }] of expectedMemory.blocks.entries()) all.set(before[i] ?? []);
  for (const { writable } of expectedChains) {
    for (const [address, length] of writable) {
      assert.ok(expectedMemory.memory.write(Number(address), new Uint8Array(length).fill(0xaa)));
    }
  }
  for (const [slot, entry] of expectedUsed.entries()) expectedMemory.raw.setUsedEntry(slot, entry);
  expectedMemory.raw.usedIndex = expectedUsed.length;
  for (const [i, { all }] of bed.blocks.entries()) {
    const expected = expectedMemory.blocks[i]?.all ?? new Uint8Array(0);
    if (Buffer.from(all.buffer).equals(expected)) continue;
    assert.fail(
      `byte ${all.findIndex((byte, j) => byte !== expected[j])} of block ${i} was written`,
    );
  }
  bed.assertCanaries();
}

const SIZE = 8;
const TABLES = [LOW + 0x400, LOW + 0x801, MIDDLE - 24, HIGH + 0x100];

const address = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: HIGH, max: END - 1 }).map(BigInt) },
  { weight: 6, arbitrary: fc.integer({ min: MIDDLE - 100, max: MIDDLE + 100 }).map(BigInt) },
  { weight: 2, arbitrary: fc.integer({ min: LOW, max: LOW + 0x400 }).map(BigInt) },
  { weight: 1, arbitrary: fc.constantFrom(0, HOLE - 1, HOLE, HIGH - 1, END - 1, END).map(BigInt) },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
);
const length = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 1, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x4001 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 300) },
);
const flags = fc.oneof(
  { weight: 15, arbitrary: fc.constantFrom(0, 0, WRITE, WRITE, WRITE, NEXT, NEXT, NEXT | WRITE) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 65535 }) },
);

function buffers(entries: number): fc.Arbitrary<Descriptor> {
  const next = fc.oneof(
    { weight: 12, arbitrary: fc.nat(entries - 1) },
    { weight: 1, arbitrary: fc.constantFrom(entries, SIZE, 65535) },
  );
  return fc.record({ address, length, flags, next });
}

/** A descriptor that names one of the tables. */
const indirect = fc.record({
  address: fc.oneof(fc.constantFrom(...TABLES).map(BigInt), address),
  length: fc.oneof(fc.constantFrom(16, 32, 48, 64, 64, 64), length),
  flags: fc.constantFrom(INDIRECT, INDIRECT, INDIRECT, INDIRECT | WRITE, INDIRECT | NEXT),
  next: fc.nat(SIZE),
});

/** Chains that lie in order, as a driver makes them: else few random chains would be good ones. */
const orderly = fc.tuple(
  fc.array(fc.tuple(address, fc.integer({ min: 1, max: 300 })), {
    minLength: SIZE,
    maxLength: SIZE,
    size: "max",
  }),
  fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: SIZE, size: "max" }),
).map(([buffers, lengths]) => {
  const table: Descriptor[] = [];
  const heads: number[] = [];
  for (const count of lengths) {
    if (table.length + count > SIZE) break;
    heads.push(table.length);
    for (let i = 0; i < count; i++) {
      const [address, length] = buffers[table.length] ?? [0n, 1];
      const flags = (i + 1 < count ? NEXT : 0) | (i >= count / 2 ? WRITE : 0);
      table.push({ address, length, flags, next: table.length + 1 });
    }
  }
  return { table, heads };
});

/** The feature words and limits tried. */
const conditions = fc.record({
  features: fc.constantFrom(
    ALL_FEATURES,
    ALL_FEATURES,
    featureWord(VIRTIO_F_VERSION_1),
    featureWord(VIRTIO_F_INDIRECT_DESC),
  ),
  maxDescriptors: fc.constantFrom(1024, 1024, 3, 8),
});

Deno.test("DeviceQueue serves random rings as the plain description says, and touches nothing else", () => {
  const descriptors = fc.array(
    fc.oneof({ weight: 4, arbitrary: buffers(SIZE) }, { weight: 1, arbitrary: indirect }),
    { minLength: SIZE, maxLength: SIZE, size: "max" },
  );
  const tables = fc.array(
    fc.array(
      fc.oneof({ weight: 9, arbitrary: buffers(4) }, { weight: 1, arbitrary: indirect }),
      { minLength: 4, maxLength: 4, size: "max" },
    ),
    { minLength: TABLES.length, maxLength: TABLES.length, size: "max" },
  );
  const heads = fc.array(
    fc.oneof({ weight: 15, arbitrary: fc.nat(SIZE - 1) }, {
      weight: 1,
      arbitrary: fc.constantFrom(SIZE, 65535),
    }),
    { minLength: SIZE, maxLength: SIZE, size: "max" },
  );
  const index = fc.oneof({ weight: 20, arbitrary: fc.nat(SIZE) }, {
    weight: 1,
    arbitrary: fc.nat(65535),
  });
  let good = 0;
  let bad = 0;
  fc.assert(
    fc.property(descriptors, tables, heads, index, conditions, (main, rest, entries, idx, how) => {
      const bed = new Bed({ size: SIZE, ...how });
      bed.describe(main);
      for (const [i, table] of rest.entries()) bed.describe(table, TABLES[i]);
      for (const [slot, head] of entries.entries()) bed.raw.setAvailEntry(slot, head);
      bed.raw.availIndex = idx;
      assertServesAsDescribed(bed, how.maxDescriptors);
      bad += bed.faults.length;
      good += bed.raw.usedIndex - bed.faults.length;
    }),
    { numRuns: 1500 },
  );
  assert.ok(good > 300 && bad > 300, `${good} good and ${bad} bad chains are a mixture`);
});

Deno.test("DeviceQueue serves orderly rings as the plain description says", () => {
  fc.assert(
    fc.property(orderly, conditions, ({ table, heads }, how) => {
      const bed = new Bed({ size: SIZE, ...how });
      bed.describe(table);
      for (const head of heads.reverse()) bed.raw.offer(head);
      assertServesAsDescribed(bed, how.maxDescriptors);
    }),
    { numRuns: 400 },
  );
});

Deno.test("DeviceQueue serves rings of random bytes as the plain description says", () => {
  const noise = fc.uint8Array({ minLength: 0x400, maxLength: 0x400, size: "max" });
  fc.assert(
    fc.property(noise, fc.nat(SIZE), conditions, (bytes, index, how) => {
      const bed = new Bed({ size: SIZE, ...how });
      const { usedRing } = bed.setup.areas;
      bed.memory.write(LOW, bytes.subarray(0, usedRing - LOW));
      for (let slot = 0; slot < SIZE; slot++) {
        bed.raw.setAvailEntry(slot, bed.raw.availEntry(slot) % (SIZE + 1));
      }
      bed.raw.availIndex = index;
      assertServesAsDescribed(bed, how.maxDescriptors);
    }),
    { numRuns: 500 },
  );
});

type Getter = "getUint8" | "getUint16" | "getUint32" | "getBigUint64";
const GETTERS: readonly Getter[] = ["getUint8", "getUint16", "getUint32", "getBigUint64"];

/** Run `action` with each byte read through a DataView overwritten as soon as it was read. */
function withHostileMemory(action: () => void): number {
  const originals = GETTERS.map((name) => DataView.prototype[name]);
  let reads = 0;
  for (const [i, name] of GETTERS.entries()) {
    const original = originals[i];
    Object.defineProperty(DataView.prototype, name, {
      configurable: true,
      writable: true,
      value(this: DataView, at: number, littleEndian?: boolean) {
        const value = Reflect.apply(original ?? assert.fail, this, [at, littleEndian]);
        const width = name === "getBigUint64" ? 8 : Number(name.slice(7)) / 8;
        new Uint8Array(this.buffer, this.byteOffset + at, width).fill(0xff);
        reads++;
        return value;
      },
    });
  }
  try {
    action();
  } finally {
    for (const [i, name] of GETTERS.entries()) {
      Object.defineProperty(DataView.prototype, name, {
        configurable: true,
        writable: true,
        value: originals[i],
      });
    }
  }
  return reads;
}

for (const [what, tableAt] of [["in one region", DATA], ["in two regions", MIDDLE - 24]] as const) {
  Deno.test(`DeviceQueue reads no descriptor twice: it may change at once, table ${what}`, () => {
    const bed = new Bed();
    bed.describe([desc(HIGH, 23, NEXT, 1), desc(tableAt, 48, INDIRECT)]);
    bed.describe(
      [
        desc(HIGH + 64, 5, NEXT, 1),
        desc(HIGH + 128, 11, NEXT | WRITE, 2),
        desc(HIGH + 256, 4096, WRITE),
      ],
      tableAt,
    );
    bed.raw.offer(0);
    let chain: Chain<Pieces> | undefined;
    const reads = withHostileMemory(() => chain = bed.device.next());
    assert.deepEqual(bed.faults, []);
    assert.ok(chain !== undefined);
    // addr as two halves, len, flags of each; next where there is one.
    assert.equal(reads, 5 * 4 + 3);
    assert.deepEqual(rangesOf(bed.memory, chain.readable), [
      [BigInt(HIGH), 23],
      [BigInt(HIGH + 64), 5],
    ]);
    assert.deepEqual(rangesOf(bed.memory, chain.writable), [
      [BigInt(HIGH + 128), 11],
      [BigInt(HIGH + 256), 4096],
    ]);
  });
}
