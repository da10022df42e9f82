import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Chain,
  DeviceQueue,
  DriverQueue,
  featureWord,
  GuestMemory,
  type GuestRange,
  layOutQueue,
  Pieces,
  type QueueSetup,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from "./mod.ts";
import { Segments } from "../p9/mod.ts";
import { ALL_FEATURES, Bed, desc, HIGH, LOW } from "./ring_test_helper.ts";

const DATA = LOW + 0x2000;
const FLAGS_ONLY = featureWord(VIRTIO_F_INDIRECT_DESC);

/** A queue with both sides, a large one where `size` asks for it. */
function pair(
  { size = 8, features = ALL_FEATURES, startIndex = 0, bytes = new Uint8Array(0x10000) }: {
    size?: number;
    features?: bigint;
    startIndex?: number;
    bytes?: Uint8Array;
  } = {},
): { driver: DriverQueue; device: DeviceQueue<Pieces>; setup: QueueSetup } {
  const memory = new GuestMemory([{ guestAddress: LOW, bytes }]);
  const setup = { memory, areas: layOutQueue(size, LOW), features, startIndex };
  const driver = new DriverQueue(setup);
  const device = new DeviceQueue(() => new Pieces());
  device.configure(setup);
  return { driver, device, setup };
}

const request: readonly GuestRange[] = [{ address: DATA, length: 23 }];
const reply: readonly GuestRange[] = [
  { address: DATA + 64, length: 11 },
  { address: DATA + 4096, length: 4096 },
];

function offer(driver: DriverQueue, count: number): number[] {
  const heads = Array.from({ length: count }, () => driver.add(request, []));
  driver.publish();
  return heads;
}

function takeAll(device: DeviceQueue<Pieces>): Chain<Pieces>[] {
  const chains: Chain<Pieces>[] = [];
  for (let chain = device.next(); chain !== undefined; chain = device.next()) chains.push(chain);
  return chains;
}

Deno.test("DeviceQueue and DriverQueue carry more than 3 * 65536 requests, each exactly once", () => {
  for (const startIndex of [0, 65530]) {
    const { driver, device } = pair({ startIndex });
    const expected = new Map<number, number>();
    let answered = 0;
    for (let i = 0; answered < 3 * 65536 + 17; i++) {
      for (let j = 0; j <= i % 3; j++) {
        const head = driver.add(request, i % 2 === 0 ? [] : reply.slice(0, 1));
        if (head >= 0) expected.set(head, i % 2 === 0 ? 0 : 1 + i % 11);
      }
      driver.publish();
      do {
        for (let chain = device.next(); chain !== undefined; chain = device.next()) {
          if (chain.readable.length !== 23) assert.fail("the request");
          device.add(chain, expected.get(chain.head) ?? NaN);
        }
      } while (device.enableKicks());
      for (let head = driver.take(); head >= 0; head = driver.take()) {
        if (driver.usedLength !== expected.get(head)) assert.fail(`length of ${head}`);
        expected.delete(head);
        answered++;
      }
    }
    assert.equal(expected.size, 0);
    assert.equal(driver.free, 8);
    assert.equal(driver.raw.usedIndex, (startIndex + answered) % 65536);
    assert.equal(device.brokenBy, undefined);
  }
});

Deno.test("DeviceQueue takes completions out of order, in batches, and keeps deferred chains", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(fc.constant("add"), fc.constant("take"), fc.nat(7), fc.constant("publish")),
        {
          maxLength: 400,
          size: "max",
        },
      ),
      fc.boolean(),
      (steps, indirect) => {
        const { driver, device } = pair({ startIndex: 65500 });
        const waiting: Chain<Pieces>[] = [];
        const lengths = new Map<number, number>();
        const offered = new Map<number, number>();
        const tables = new Map<number, number>();
        const freeTables = Array.from({ length: 9 }, (_, i) => LOW + 0x8000 + 64 * i);
        let serial = 0;
        const check = (): void => {
          for (let head = driver.take(); head >= 0; head = driver.take()) {
            assert.equal(driver.usedLength, lengths.get(head));
            lengths.delete(head);
            freeTables.push(tables.get(head) ?? NaN);
          }
        };
        for (const step of steps) {
          if (step === "add") {
            const length = 1 + serial++ % 4000;
            const table = freeTables.at(-1);
            const readable = [{ address: DATA + serial % 4096, length }];
            const head = indirect
              ? driver.add(readable, reply, table)
              : driver.add(readable, reply);
            if (head >= 0) {
              offered.set(head, length);
              tables.set(head, freeTables.pop() ?? NaN);
            }
            driver.publish();
          } else if (step === "take") {
            const chain = device.next();
            if (chain !== undefined) waiting.push(chain);
          } else if (step === "publish") {
            device.publish();
            check();
          } else {
            const [chain] = waiting.splice(step % Math.max(waiting.length, 1), 1);
            if (chain === undefined) continue;
            // What it was when it was taken, whatever was taken and given back since.
            assert.equal(chain.readable.length, offered.get(chain.head));
            assert.equal(chain.writable.length, 4107);
            lengths.set(chain.head, step);
            device.add(chain, step);
          }
          assert.equal(device.inFlight, waiting.length);
        }
        for (const chain of [...waiting, ...takeAll(device)]) {
          lengths.set(chain.head, 4107);
          device.add(chain, 2 ** 32);
        }
        device.publish();
        check();
        assert.equal(lengths.size, 0);
        assert.equal(driver.inFlight, 0);
        assert.equal(driver.free, 8);
        assert.equal(device.brokenBy, undefined);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("DeviceQueue fills a list of the caller's own, such as p9's Segments", () => {
  const { driver, setup } = pair();
  const device = new DeviceQueue(() => new Segments());
  device.configure(setup);
  driver.add(request, reply);
  driver.publish();
  const chain = device.next();
  assert.ok(chain !== undefined);
  chain.writable.copyFrom(new Uint8Array(100).fill(7), 5);
  const part = new Segments();
  part.addSlice(chain.writable, 11, 4096);
  assert.equal(part.length, 4096);
  const back = new Uint8Array(3);
  assert.ok(setup.memory.read(DATA + 4096 + 92, back)); // 105 bytes less 11 in the first piece
  assert.deepEqual([...back], [7, 7, 0]);
});

for (
  const [length, used] of [[0, 0], [7, 7], [11, 11], [12, 11], [2 ** 40, 11], [-1, 0], [
    NaN,
    0,
  ]] as const
) {
  Deno.test(`DeviceQueue uses ${used} for a length of ${length}, with room for 11`, () => {
    const { driver, device } = pair();
    driver.add(request, reply.slice(0, 1));
    driver.publish();
    const chain = device.next();
    assert.ok(chain !== undefined);
    chain.writable.clear(); // the caller may do with its list what it likes
    device.add(chain, length);
    device.publish();
    assert.equal(driver.take(), 0);
    assert.equal(driver.usedLength, used);
  });
}

Deno.test("DeviceQueue refuses to give a chain back twice, or one that is not its own", () => {
  const { driver, device } = pair();
  driver.add(request, []);
  driver.publish();
  const chain = device.next();
  assert.ok(chain !== undefined);
  device.add(chain, 0);
  assert.throws(() => device.add(chain, 0), { name: "TypeError" });
  const other = { head: 0, readable: new Pieces(), writable: new Pieces() };
  assert.throws(() => device.add(other, 0), { name: "TypeError" });
  device.publish();
  assert.equal(driver.take(), 0);
  assert.equal(driver.take(), -1);
});

Deno.test("DeviceQueue stops and goes on where it was, and forgets chains of before", () => {
  const { driver, device, setup } = pair({ startIndex: 65533 });
  offer(driver, 5);
  const [first, second, ...rest] = takeAll(device);
  assert.ok(first !== undefined && second !== undefined);
  device.add(first, 0);
  for (const chain of rest) device.add(chain, 0);
  const index = device.stop();
  assert.equal(index, 2, "65533 and 5");
  assert.equal(driver.raw.usedIndex, 1, "what was given back is published");
  assert.equal(device.isReady, false);
  assert.equal(device.add(second, 0), false, "too late");

  device.configure({ ...setup, startIndex: index });
  assert.equal(device.next(), undefined);
  offer(driver, 3);
  const later = takeAll(device);
  assert.equal(later.length, 3);
  device.stop();
  device.configure({ ...setup, startIndex: 5 });
  for (const chain of later) assert.equal(device.add(chain, 0), false, "of an earlier set-up");
  device.publish();
  assert.equal(driver.raw.usedIndex, 1);
  assert.equal(device.inFlight, 0);
});

Deno.test("DeviceQueue goes on with chains that were available and not taken when it stopped", () => {
  const { driver, device, setup } = pair();
  const heads = offer(driver, 4);
  const chain = device.next();
  assert.ok(chain !== undefined);
  device.add(chain, 0);
  const index = device.stop();
  assert.equal(index, 1);
  const other = new DeviceQueue(() => new Pieces());
  other.configure({ ...setup, startIndex: index });
  assert.deepEqual(takeAll(other).map(({ head }) => head), heads.slice(1));
});

Deno.test("DeviceQueue works with queues of 1 and of 32768 descriptors", () => {
  for (const size of [1, 32768]) {
    const { driver, device } = pair({ size, bytes: new Uint8Array(1 << 20), startIndex: 65000 });
    for (let round = 0; round < 5; round++) {
      const heads = offer(driver, size);
      assert.equal(driver.add(request, []), -1, "full");
      const chains = takeAll(device);
      assert.deepEqual(chains.map(({ head }) => head), heads);
      for (const chain of chains) device.add(chain, 0);
      device.publish();
      for (let i = 0; i < size; i++) if (driver.take() < 0) assert.fail(`${i} of ${size}`);
      assert.equal(driver.take(), -1);
    }
    assert.equal(device.brokenBy, undefined);
  }
});

Deno.test("DeviceQueue works on memory that is shared between threads", () => {
  const { driver, device } = pair({ bytes: new Uint8Array(new SharedArrayBuffer(0x10000)) });
  offer(driver, 3);
  for (const chain of takeAll(device)) device.add(chain, 0);
  assert.equal(device.enableKicks(), false);
  assert.deepEqual([driver.take(), driver.take(), driver.take(), driver.take()], [0, 1, 2, -1]);
});

Deno.test("DeviceQueue with event indices is kicked once for what comes while it sleeps", () => {
  const { driver, device } = pair({ startIndex: 65534 });
  assert.ok(offer(driver, 1).length === 1 && driver.needsKick(), "it sleeps");
  device.disableKicks();
  const chains = takeAll(device);
  offer(driver, 1);
  assert.ok(!driver.needsKick(), "it is awake");
  assert.equal(driver.raw.usedFlags, 0, "the flag has to stay 0");
  for (const chain of chains) device.add(chain, 0);
  assert.ok(device.enableKicks(), "one has come meanwhile");
  assert.equal(takeAll(device).length, 1);
  assert.equal(device.enableKicks(), false);
  assert.equal(driver.raw.availEvent, 0, "65534 and 2");
  offer(driver, 1);
  assert.ok(driver.needsKick());
  offer(driver, 2);
  assert.ok(!driver.needsKick(), "it was kicked already");
});

Deno.test("DeviceQueue with flags is not kicked while it is awake", () => {
  const { driver, device } = pair({ features: FLAGS_ONLY });
  offer(driver, 1);
  assert.ok(driver.needsKick());
  device.disableKicks();
  assert.equal(driver.raw.usedFlags, 1);
  offer(driver, 1);
  assert.ok(!driver.needsKick());
  assert.equal(takeAll(device).length, 2);
  assert.equal(device.enableKicks(), false);
  assert.equal(driver.raw.usedFlags, 0);
  offer(driver, 1);
  assert.ok(driver.needsKick());
  assert.ok(device.enableKicks(), "a chain is there");
});

Deno.test("DeviceQueue with event indices calls when used_event is passed", () => {
  const { driver, device } = pair({ startIndex: 65534 });
  const answer = (count: number): boolean => {
    offer(driver, count);
    for (const chain of takeAll(device)) device.add(chain, 0);
    device.publish();
    while (driver.take() >= 0);
    return device.needsCall();
  };
  assert.equal(device.needsCall(), false, "nothing was published");
  driver.raw.usedEvent = 100;
  assert.ok(answer(1), "the first time, whatever used_event says");
  assert.ok(!answer(1));
  driver.raw.usedEvent = 1;
  assert.ok(!answer(1), "entry 0 is in front of it");
  assert.ok(answer(1), "entry 1 is it");
  assert.ok(!answer(1), "entry 2 is behind it");
  driver.raw.usedEvent = 4;
  assert.ok(answer(3), "entries 3 to 5");
  driver.raw.availFlags = 1;
  driver.raw.usedEvent = 6;
  assert.ok(answer(1), "the flag does not count");
  assert.equal(device.needsCall(), false, "asked already");
});

Deno.test("DeviceQueue decides about all that was published since it was asked last", () => {
  const { driver, device } = pair();
  offer(driver, 1);
  device.add(device.next() ?? assert.fail(), 0);
  device.publish();
  assert.ok(device.needsCall());
  driver.raw.usedEvent = 2;
  offer(driver, 5);
  for (const chain of takeAll(device)) {
    device.add(chain, 0);
    device.publish();
  }
  assert.ok(device.needsCall());
});

Deno.test("DeviceQueue with flags calls unless the driver says no", () => {
  const { driver, device } = pair({ features: FLAGS_ONLY });
  const answer = (): boolean => {
    offer(driver, 1);
    device.add(device.next() ?? assert.fail(), 0);
    device.publish();
    while (driver.take() >= 0);
    return device.needsCall();
  };
  driver.disableCalls();
  assert.ok(!answer());
  assert.equal(driver.enableCalls(), false);
  assert.ok(answer());
});

Deno.test("DriverQueue looks again when it enables calls", () => {
  for (const features of [ALL_FEATURES, FLAGS_ONLY]) {
    const { driver, device } = pair({ features });
    offer(driver, 1);
    driver.disableCalls();
    device.add(device.next() ?? assert.fail(), 0);
    device.publish();
    assert.ok(driver.enableCalls());
    assert.equal(driver.take(), 0);
    assert.equal(driver.enableCalls(), false);
  }
});

Deno.test("DriverQueue refuses what it cannot build", () => {
  const { driver } = pair({ size: 4, features: featureWord(VIRTIO_F_EVENT_IDX) });
  assert.throws(() => driver.add([], []), { name: "RangeError" });
  assert.throws(() => driver.add(request, [], LOW + 0x8000), /INDIRECT_DESC/);
  assert.equal(driver.add([...request, ...request, ...request], reply), -1);
  assert.equal(driver.free, 4);
  assert.equal(driver.needsKick(), false);
  const other = pair().driver;
  assert.throws(() => other.add(request, [], HIGH), { name: "RangeError" });
});

Deno.test("DriverQueue writes addresses above 2^32 whole", () => {
  const guestAddress = 2 ** 40 + 2 ** 32;
  const memory = new GuestMemory([{ guestAddress, bytes: new Uint8Array(8192) }]);
  const setup = { memory, areas: layOutQueue(2, guestAddress), features: 0n, startIndex: 0 };
  const driver = new DriverQueue(setup);
  driver.add([{ address: guestAddress + 4097, length: 3 }], []);
  driver.publish();
  assert.equal(driver.raw.descriptor(0).address, BigInt(guestAddress) + 4097n);
  const device = new DeviceQueue(() => new Pieces());
  device.configure(setup);
  assert.deepEqual(device.next()?.readable.offsets, [4097]);
});

Deno.test("RawQueue reads what it writes and refuses memory that is not there", () => {
  const { raw } = new Bed();
  const fields = [
    "availFlags",
    "availIndex",
    "usedEvent",
    "usedFlags",
    "usedIndex",
    "availEvent",
  ] as const;
  for (const [i, field] of fields.entries()) raw[field] = 1000 + i;
  for (let slot = 0; slot < 4; slot++) {
    raw.setAvailEntry(slot, 50 + slot);
    raw.setUsedEntry(slot, { id: 60 + slot, length: 2 ** 32 - 1 - slot });
    raw.setDescriptor(slot, desc(2n ** 64n - 1n, slot, 7, 9));
  }
  for (const [i, field] of fields.entries()) assert.equal(raw[field], 1000 + i);
  for (let slot = 0; slot < 4; slot++) {
    assert.equal(raw.availEntry(slot), 50 + slot);
    assert.deepEqual(raw.usedEntry(slot), { id: 60 + slot, length: 2 ** 32 - 1 - slot });
    assert.deepEqual(raw.descriptor(slot), desc(2n ** 64n - 1n, slot, 7, 9));
  }
  assert.throws(() => raw.setDescriptor(0, desc(0, 0), 0), { name: "RangeError" });
  assert.throws(() => raw.descriptor(5000), { name: "RangeError" });
});
