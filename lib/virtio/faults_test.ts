import assert from "node:assert/strict";
import {
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
  type Descriptor,
  DeviceQueue,
  DriverQueue,
  type Fault,
  FAULTS,
  featureFault,
  featureWord,
  layOutQueue,
  Pieces,
  type QueueAreas,
  RingError,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "./mod.ts";
import { ALL_FEATURES, Bed, desc, END, HIGH, HOLE, LOW, MIDDLE } from "./ring_test_helper.ts";

const DATA = LOW + 0x800;
const TABLE = LOW + 0xc00;

/** A chain that a device has to refuse; everything else is a queue of four descriptors. */
interface BadChain {
  readonly fault: Fault;
  readonly chain: readonly Descriptor[];
  readonly table?: readonly Descriptor[];
  readonly tableAt?: number;
  /** Descriptor at fault, of its table: where a chain goes astray, the one whose next is wrong. */
  readonly index: number;
  readonly features?: bigint;
  readonly maxDescriptors?: number;
}

const toTable = (length: number, flags = 0): Descriptor => desc(TABLE, length, INDIRECT | flags);

const chains: Readonly<Record<string, BadChain>> = {
  "a descriptor that is its own next": {
    fault: "loop",
    chain: [desc(DATA, 1, NEXT, 0)],
    index: 0,
  },
  "a chain that comes back to its head": {
    fault: "loop",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 2), desc(DATA, 1, NEXT, 0)],
    index: 0,
  },
  "one descriptor more than the queue has": {
    fault: "loop",
    chain: [0, 1, 2, 3].map((i) => desc(DATA, 1, NEXT, (i + 1) % 4)),
    index: 3,
  },
  "a loop in an indirect table": {
    fault: "loop",
    chain: [toTable(48)],
    table: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 2), desc(DATA, 1, NEXT, 1)],
    index: 2,
  },
  "an indirect chain of more descriptors than the device takes": {
    fault: "chain-too-long",
    chain: [toTable(48)],
    table: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 2), desc(DATA, 1)],
    index: 1,
    maxDescriptors: 2,
  },
  "a direct chain of more descriptors than the device takes": {
    fault: "chain-too-long",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 2), desc(DATA, 1)],
    index: 1,
    maxDescriptors: 2,
  },
  "a direct chain and a table that are too long together": {
    fault: "chain-too-long",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 2), toTable(16)],
    table: [desc(DATA, 1)],
    index: 1,
    maxDescriptors: 2,
  },
  "a next beyond the queue": {
    fault: "next-out-of-range",
    chain: [desc(DATA, 1, NEXT, 4)],
    index: 0,
  },
  "a next of 65535": {
    fault: "next-out-of-range",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT, 65535)],
    index: 1,
  },
  "a next beyond the indirect table, though not beyond the queue": {
    fault: "next-out-of-range",
    chain: [toTable(32)],
    table: [desc(DATA, 1, NEXT, 2), desc(DATA, 1), desc(DATA, 1)],
    index: 0,
  },
  "buffers of more than 2^32 bytes": {
    fault: "length-overflow",
    chain: [desc(DATA, 16, NEXT, 1), desc(DATA, 2 ** 32 - 15)],
    index: 1,
  },
  "a buffer of no bytes": { fault: "zero-length", chain: [desc(DATA, 0)], index: 0 },
  "a writable buffer of no bytes": {
    fault: "zero-length",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 0, WRITE)],
    index: 1,
  },
  "a buffer at address 0, where there is nothing": {
    fault: "outside-memory",
    chain: [desc(0, 16)],
    index: 0,
  },
  "a buffer beyond all memory": { fault: "outside-memory", chain: [desc(END, 1)], index: 0 },
  "a buffer in the hole": { fault: "outside-memory", chain: [desc(HOLE + 64, 1)], index: 0 },
  "a buffer that spans the hole": {
    fault: "outside-memory",
    chain: [desc(HOLE - 1, HIGH - HOLE + 2)],
    index: 0,
  },
  "a buffer that ends in the hole": {
    fault: "outside-memory",
    chain: [desc(HOLE - 1, 2, WRITE)],
    index: 0,
  },
  "a buffer of 4 GiB less a byte": {
    fault: "outside-memory",
    chain: [desc(DATA, 2 ** 32 - 1)],
    index: 0,
  },
  "an address above 2^53 that would round to one in memory": {
    fault: "outside-memory",
    chain: [desc(2n ** 63n + BigInt(DATA), 16)],
    index: 0,
  },
  "a buffer that wraps at 2^64": {
    fault: "outside-memory",
    chain: [desc(2n ** 64n - 1n, 0x2000)],
    index: 0,
  },
  "a readable buffer behind a writable one": {
    fault: "readable-after-writable",
    chain: [desc(DATA, 1, NEXT | WRITE, 1), desc(DATA, 1)],
    index: 1,
  },
  "readable and writable buffers in turn": {
    fault: "readable-after-writable",
    chain: [desc(DATA, 1, NEXT, 1), desc(DATA, 1, NEXT | WRITE, 2), desc(DATA, 1)],
    index: 2,
  },
  "a writable buffer over the descriptor table": {
    fault: "writable-over-ring",
    chain: [desc(LOW + 63, 1, WRITE)],
    index: 0,
  },
  "a writable buffer over used_event": {
    fault: "writable-over-ring",
    chain: [desc(LOW + 64 + 12, 2, WRITE)],
    index: 0,
  },
  "a writable buffer over all of the queue": {
    fault: "writable-over-ring",
    chain: [desc(LOW, 0x800, WRITE)],
    index: 0,
  },
  "an indirect table without the feature": {
    fault: "indirect-not-negotiated",
    chain: [toTable(16)],
    table: [desc(DATA, 1)],
    index: 0,
    features: featureWord(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX),
  },
  "an indirect table in an indirect table": {
    fault: "indirect-nested",
    chain: [toTable(32)],
    table: [desc(DATA, 1, NEXT, 1), desc(TABLE + 64, 16, INDIRECT)],
    index: 1,
  },
  "an indirect table that names itself": {
    fault: "indirect-nested",
    chain: [toTable(16)],
    table: [toTable(16)],
    index: 0,
  },
  "an indirect descriptor with a next": {
    fault: "indirect-with-next",
    chain: [toTable(16, NEXT)],
    table: [desc(DATA, 1)],
    index: 0,
  },
  "an indirect table of no bytes": {
    fault: "indirect-length",
    chain: [toTable(0)],
    index: 0,
  },
  "an indirect table of one byte too many": {
    fault: "indirect-length",
    chain: [toTable(17)],
    table: [desc(DATA, 1)],
    index: 0,
  },
  "an indirect table of half a descriptor": {
    fault: "indirect-length",
    chain: [toTable(8)],
    index: 0,
  },
  "an indirect table that is longer than any next reaches": {
    fault: "indirect-length",
    chain: [toTable(16 * 65537)],
    index: 0,
  },
  "an indirect table beyond memory": {
    fault: "indirect-outside-memory",
    chain: [desc(END, 16, INDIRECT)],
    index: 0,
  },
  "an indirect table that ends in the hole": {
    fault: "indirect-outside-memory",
    chain: [desc(HOLE - 16, 32, INDIRECT)],
    tableAt: HOLE - 16,
    table: [desc(DATA, 1)],
    index: 0,
  },
  "an indirect table above 2^53": {
    fault: "indirect-outside-memory",
    chain: [desc(2n ** 60n, 16, INDIRECT)],
    index: 0,
  },
  "a fault behind a direct part": {
    fault: "indirect-length",
    chain: [desc(DATA, 1, NEXT, 1), toTable(20)],
    index: 1,
  },
};

/** Faults that a case below has produced; in the end, all there are. */
const produced = new Set<Fault>();

/** Check that the queue serves a good chain at head 3. */
function assertGoesOn({ raw, device }: Bed): void {
  raw.setDescriptor(3, desc(DATA, 5));
  raw.offer(3);
  const chain = device.next();
  assert.ok(chain !== undefined, "a good chain is taken");
  assert.deepEqual([chain.head, chain.readable.length, chain.writable.count], [3, 5, 0]);
  assert.ok(device.add(chain, 0));
}

for (const [what, bad] of Object.entries(chains)) {
  produced.add(bad.fault);
  Deno.test(`DeviceQueue answers with length 0: ${bad.fault}, ${what}`, () => {
    const { features = ALL_FEATURES, maxDescriptors = 1024 } = bad;
    const bed = new Bed({ features, maxDescriptors });
    const { raw, device } = bed;
    bed.describe(bad.chain);
    if (bad.table !== undefined) bed.describe(bad.table, bad.tableAt ?? TABLE);
    raw.offer(0);
    assert.equal(device.next(), undefined);
    assert.deepEqual(bed.faults, [{ fault: bad.fault, head: 0, index: bad.index }]);
    assert.equal(device.brokenBy, undefined);
    assert.equal(device.inFlight, 0);
    assert.equal(raw.usedIndex, 0, "not before it is published");
    device.publish();
    assert.equal(raw.usedIndex, 1);
    assert.deepEqual(raw.usedEntry(0), { id: 0, length: 0 });
    assert.ok(device.needsCall());
    assertGoesOn(bed);
    assert.equal(FAULTS[bad.fault].effect, "chain");
    bed.assertCanaries();
  });
}

produced.add("duplicate-head");
Deno.test("DeviceQueue answers with length 0: duplicate-head, the same head in every slot", () => {
  const bed = new Bed();
  const { raw, device } = bed;
  bed.describe([desc(DATA, 8, WRITE)]);
  for (let i = 0; i < 4; i++) raw.offer(0);
  const chain = device.next();
  assert.ok(chain !== undefined);
  assert.equal(device.next(), undefined);
  assert.deepEqual(bed.faults, Array(3).fill({ fault: "duplicate-head", head: 0, index: 0 }));
  assert.equal(device.inFlight, 1);
  device.add(chain, 8);
  device.publish();
  assert.equal(raw.usedIndex, 4);
  assert.deepEqual([0, 1, 2, 3].map((slot) => raw.usedEntry(slot).length), [0, 0, 0, 8]);
  assertGoesOn(bed);
});

const broken: [what: string, fault: Fault, head: number, write: (bed: Bed) => void][] = [
  ["a head just beyond the table", "head-out-of-range", 4, ({ raw }) => raw.offer(4)],
  ["a head of 65535", "head-out-of-range", 65535, ({ raw }) => raw.offer(65535)],
  ["an index one too far", "avail-index-jump", -1, ({ raw }) => raw.availIndex = 5],
  ["an index half way round", "avail-index-jump", -1, ({ raw }) => raw.availIndex = 32768],
  ["an index that went back by one", "avail-index-jump", -1, ({ raw }) => raw.availIndex = 65535],
];

for (const [what, fault, head, write] of broken) {
  produced.add(fault);
  Deno.test(`DeviceQueue stops: ${fault}, ${what}`, () => {
    const bed = new Bed();
    const { raw, device } = bed;
    bed.describe([desc(DATA, 8, WRITE)]);
    raw.offer(0);
    const chain = device.next();
    assert.ok(chain !== undefined);
    assert.equal(device.add(chain, 8), true);
    device.publish();
    raw.availIndex = 1;
    write(bed);
    // The index of the table above counts from 1 now.
    if (fault === "avail-index-jump") raw.availIndex = raw.availIndex + 1 & 0xffff;
    assert.equal(device.next(), undefined);
    assert.ok(device.brokenBy instanceof RingError);
    assert.equal(device.brokenBy.fault, fault);
    assert.match(device.brokenBy.message, /^Cannot go on with the queue: [a-z].*[^.]$/);
    assert.deepEqual(bed.faults, [{ fault, head, index: -1 }]);
    assert.equal(FAULTS[fault].effect, "queue");
    // It is silent from now on, whatever comes, and works again once it is set up again.
    raw.availIndex = 2;
    raw.setAvailEntry(1, 0);
    assert.equal(device.next(), undefined);
    assert.equal(device.enableKicks(), false);
    assert.equal(bed.faults.length, 1);
    assert.equal(device.stop(), 1);
    device.configure({ ...bed.setup, startIndex: 1 });
    assert.equal(device.brokenBy, undefined);
    assert.equal(device.next()?.head, 0);
  });
}

Deno.test("DeviceQueue stops: avail-index-jump, more chains than descriptors are not in flight", () => {
  const bed = new Bed();
  const { raw, device } = bed;
  bed.describe([0, 1, 2, 3].map(() => desc(DATA, 1)));
  for (const head of [0, 1, 2]) raw.offer(head);
  assert.equal(bed.takeAll().length, 3);
  raw.availIndex = 5;
  assert.equal(device.enableKicks(), false);
  assert.equal(device.brokenBy?.fault, "avail-index-jump");
});

Deno.test("DeviceQueue gives back what was in flight when the queue broke", () => {
  const bed = new Bed();
  const { raw, device } = bed;
  bed.describe([desc(DATA, 1, WRITE)]);
  raw.offer(0);
  const chain = device.next();
  assert.ok(chain !== undefined);
  raw.offer(7);
  assert.equal(device.next(), undefined);
  assert.equal(device.brokenBy?.fault, "head-out-of-range");
  assert.ok(device.add(chain, 1));
  device.publish();
  assert.equal(raw.usedIndex, 1);
  assert.deepEqual(raw.usedEntry(0), { id: 0, length: 1 });
});

const GOOD = layOutQueue(4, LOW);
const setups: [what: string, fault: Fault, areas: Partial<QueueAreas>, startIndex?: number][] = [
  ["a size of 0", "queue-size", { size: 0 }],
  ["a size that is not a power of 2", "queue-size", { size: 12 }],
  ["a size of 65536", "queue-size", { size: 65536 }],
  ["an index of 65536", "start-index", {}, 65536],
  ["an index of -1", "start-index", {}, -1],
  ["a descriptor table that is not aligned", "ring-unaligned", { descriptorTable: LOW + 0x808 }],
  ["an avail ring at an odd address", "ring-unaligned", { availRing: LOW + 0x801 }],
  ["a used ring that is not aligned", "ring-unaligned", { usedRing: LOW + 0x802 }],
  ["rings in one place", "rings-overlap", { usedRing: GOOD.availRing & ~3 }],
  ["addresses that were never set", "ring-outside-memory", {
    descriptorTable: 0,
    availRing: 64,
    usedRing: 128,
  }],
  ["a used ring that ends in the hole", "ring-outside-memory", { usedRing: HOLE - 36 }],
  ["an avail ring beyond memory", "ring-outside-memory", { availRing: END }],
  ["a descriptor table in two regions", "ring-across-regions", { descriptorTable: MIDDLE - 32 }],
  ["a used ring in two regions", "ring-across-regions", { usedRing: MIDDLE - 4 }],
];

for (const [what, fault, areas, startIndex = 0] of setups) {
  produced.add(fault);
  Deno.test(`DeviceQueue cannot be set up: ${fault}, ${what}`, () => {
    const bed = new Bed();
    const setup = { ...bed.setup, areas: { ...GOOD, ...areas }, startIndex };
    assert.throws(() => bed.device.configure(setup), {
      name: "RingError",
      fault,
      message: `Cannot set up the queue: ${FAULTS[fault].meaning}`,
    });
    assert.equal(FAULTS[fault].effect, "setup");
    assert.equal(bed.device.isReady, false);
    assert.equal(bed.device.next(), undefined);
    assert.equal(bed.device.enableKicks(), false);
    assert.equal(bed.device.needsCall(), false);
    bed.device.disableKicks();
    bed.device.publish();
    assert.equal(bed.device.stop(), 0);
    if (fault !== "start-index") {
      assert.throws(() => new DriverQueue(setup), { name: "RingError", fault });
    }
  });
}

produced.add("feature-not-offered").add("version-1-refused");
Deno.test("featureFault() names feature-not-offered and version-1-refused", () => {
  assert.equal(featureFault(0n, ALL_FEATURES), "feature-not-offered");
  assert.equal(featureFault(ALL_FEATURES, 0n), "version-1-refused");
  assert.equal(FAULTS["feature-not-offered"].effect, "setup");
  assert.equal(FAULTS["version-1-refused"].effect, "setup");
});

produced.add("descriptor-flags");
Deno.test("DeviceQueue reports and ignores: descriptor-flags", () => {
  for (const indirect of [false, true]) {
    const bed = new Bed();
    if (indirect) {
      bed.describe([toTable(16)]).describe([desc(DATA, 1, 0x8000 | WRITE)], TABLE);
    } else bed.describe([desc(DATA, 1, 0x8000 | WRITE)]);
    bed.raw.offer(0);
    const chain = bed.device.next();
    assert.equal(chain?.writable.length, 1);
    assert.deepEqual(bed.faults, [{ fault: "descriptor-flags", head: 0, index: 0 }]);
  }
  assert.equal(FAULTS["descriptor-flags"].effect, "ignored");
});

produced.add("avail-flags");
Deno.test("DeviceQueue reports and ignores: avail-flags", () => {
  const bed = new Bed({ features: featureWord(VIRTIO_F_INDIRECT_DESC) });
  bed.describe([desc(DATA, 1)]);
  bed.raw.offer(0);
  const chain = bed.device.next();
  assert.ok(chain !== undefined);
  bed.device.add(chain, 0);
  bed.device.publish();
  bed.raw.availFlags = 0xfffe;
  assert.ok(bed.device.needsCall(), "only the lowest bit counts");
  assert.deepEqual(bed.faults, [{ fault: "avail-flags", head: -1, index: -1 }]);
  assert.equal(FAULTS["avail-flags"].effect, "ignored");
});

const devices: [what: string, fault: Fault, write: (driver: DriverQueue, head: number) => void][] =
  [
    ["an index too far", "used-index-jump", ({ raw }) => raw.usedIndex = 2],
    ["an index that went back", "used-index-jump", ({ raw }) => raw.usedIndex = 65535],
    ["a head beyond the table", "used-id-out-of-range", ({ raw }) => {
      raw.setUsedEntry(0, { id: 4, length: 0 });
      raw.usedIndex = 1;
    }],
    ["a head of 2^32 - 1", "used-id-out-of-range", ({ raw }) => {
      raw.setUsedEntry(0, { id: 2 ** 32 - 1, length: 0 });
      raw.usedIndex = 1;
    }],
    ["a descriptor in the middle of the chain", "used-id-not-in-flight", ({ raw }, head) => {
      raw.setUsedEntry(0, { id: head + 1, length: 0 });
      raw.usedIndex = 1;
    }],
    ["a head that is free", "used-id-not-in-flight", ({ raw }, head) => {
      raw.setUsedEntry(0, { id: head + 2, length: 0 });
      raw.usedIndex = 1;
    }],
    ["more bytes than there is room for", "used-length", ({ raw }, head) => {
      raw.setUsedEntry(0, { id: head, length: 17 });
      raw.usedIndex = 1;
    }],
  ];

for (const [what, fault, write] of devices) {
  produced.add(fault);
  Deno.test(`DriverQueue refuses: ${fault}, ${what}`, () => {
    const driver = new DriverQueue(new Bed().setup);
    const head = driver.add([{ address: DATA, length: 8 }], [{ address: DATA, length: 16 }]);
    driver.publish();
    write(driver, head);
    assert.throws(() => driver.take(), { name: "RingError", fault });
    assert.equal(FAULTS[fault].effect, "driver");
  });
}

Deno.test("DriverQueue refuses: used-id-not-in-flight, the same head twice", () => {
  const driver = new DriverQueue(new Bed().setup);
  const first = driver.add([{ address: DATA, length: 8 }], []);
  driver.add([{ address: DATA, length: 8 }], []);
  driver.publish();
  for (const slot of [0, 1]) driver.raw.setUsedEntry(slot, { id: first, length: 0 });
  driver.raw.usedIndex = 2;
  assert.equal(driver.take(), first);
  assert.throws(() => driver.take(), { name: "RingError", fault: "used-id-not-in-flight" });
});

Deno.test("FAULTS has a case above for every fault", () => {
  assert.deepEqual([...produced].sort(), Object.keys(FAULTS).sort());
  for (const { clause, meaning } of Object.values(FAULTS)) {
    assert.match(clause, /^\d+(\.\d+)+$/);
    assert.match(meaning, /^(?:[a-z]|VIRTIO_).*[^.]$/);
  }
});

Deno.test("DeviceQueue that was never set up does nothing", () => {
  const device = new DeviceQueue(() => new Pieces());
  assert.equal(device.next(), undefined);
  assert.equal(device.enableKicks(), false);
  assert.equal(device.needsCall(), false);
  assert.equal(device.inFlight, 0);
  assert.equal(device.isReady, false);
});
