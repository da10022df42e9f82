import assert from "node:assert/strict";
import { DeviceQueue, DriverQueue, featureWord, Pieces } from "./mod.ts";
import { ALL_FEATURES, Bed, LOW } from "./ring_test_helper.ts";

type Name = "load" | "store";

/**
 * Run `action` and look at memory at each atomic access of 16 bits, which is what orders the plain
 * accesses around it: just before a store, just before a load.
 */
function atAtomics(action: () => void, look: (name: Name) => string): string[] {
  const seen: string[] = [];
  const originals = { load: Atomics.load, store: Atomics.store };
  for (const name of ["load", "store"] as const) {
    const original: (...args: never[]) => unknown = originals[name];
    Object.defineProperty(Atomics, name, {
      configurable: true,
      writable: true,
      value: (...args: never[]) => {
        seen.push(`${name} ${look(name)}`);
        return Reflect.apply(original, Atomics, args);
      },
    });
  }
  try {
    action();
  } finally {
    for (const name of ["load", "store"] as const) {
      Object.defineProperty(Atomics, name, {
        configurable: true,
        writable: true,
        value: originals[name],
      });
    }
  }
  return seen;
}

function start(features: bigint): { driver: DriverQueue; device: DeviceQueue<Pieces> } {
  const { setup } = new Bed({ features });
  const driver = new DriverQueue(setup);
  const device = new DeviceQueue(() => new Pieces());
  device.configure(setup);
  return { driver, device };
}

const request = [{ address: LOW + 0x800, length: 8 }];

Deno.test("DriverQueue has a barrier between entry and index, and between index and avail_event", () => {
  for (const features of [ALL_FEATURES, featureWord()]) {
    const { driver } = start(features);
    driver.add(request, []);
    const { raw } = driver;
    const seen = atAtomics(() => {
      driver.publish();
      driver.needsKick();
    }, () => `idx=${raw.availIndex} len=${raw.descriptor(raw.availEntry(0)).length}`);
    assert.deepEqual(seen, ["store idx=0 len=8", "load idx=1 len=8"]);
  }
});

Deno.test("DeviceQueue loads the avail index before it reads what is in front of it", () => {
  const { driver, device } = start(ALL_FEATURES);
  driver.add(request, []);
  driver.publish();
  // Whatever changes before the load is seen, so the descriptor was not read yet.
  const seen = atAtomics(() => assert.equal(device.next()?.readable.length, 9), () => {
    driver.raw.setDescriptor(0, { ...driver.raw.descriptor(0), length: 9 });
    return "";
  });
  assert.deepEqual(seen, ["load "]);
});

Deno.test("DeviceQueue has a barrier between entry and index, and between index and used_event", () => {
  for (const features of [ALL_FEATURES, featureWord()]) {
    const { driver, device } = start(features);
    for (const round of [0, 1]) {
      driver.add(request, []);
      driver.publish();
      const chain = device.next();
      assert.ok(chain !== undefined);
      driver.raw.setUsedEntry(round, { id: 99, length: 99 });
      const seen = atAtomics(() => {
        device.add(chain, 0);
        device.publish();
        device.needsCall();
      }, () => `idx=${driver.raw.usedIndex} id=${driver.raw.usedEntry(round).id}`);
      const call = round === 0 && features === ALL_FEATURES ? [] : [`load idx=${round + 1} id=0`];
      assert.deepEqual(seen, [`store idx=${round} id=0`, ...call]);
      assert.equal(driver.take(), 0);
    }
  }
});

Deno.test("DeviceQueue has a barrier between enabling kicks and looking again", () => {
  for (const features of [ALL_FEATURES, featureWord()]) {
    const { driver, device } = start(features);
    const { raw } = driver;
    const state = (): string => `flags=${raw.usedFlags} event=${raw.availEvent}`;
    const [asleep, awake] = features === ALL_FEATURES
      ? ["flags=0 event=1", "flags=0 event=0"]
      : ["flags=0 event=0", "flags=1 event=0"];
    device.disableKicks();
    driver.add(request, []);
    driver.publish();
    const chain = device.next();
    assert.ok(chain !== undefined);
    // Nothing to publish: the store that enables is the barrier.
    assert.equal(state(), awake);
    const bare = atAtomics(() => device.enableKicks(), state);
    assert.deepEqual(bare, [`store ${awake}`, `load ${asleep}`]);
    // Something to publish: the store of the used index is, and the fields are written before it.
    raw.availEvent = 0;
    device.disableKicks();
    device.add(chain, 0);
    const published = atAtomics(() => device.enableKicks(), state);
    assert.deepEqual(published, [`store ${asleep}`, `load ${asleep}`]);
  }
});

Deno.test("DriverQueue has a barrier between enabling calls and looking again", () => {
  for (const features of [ALL_FEATURES, featureWord()]) {
    const { driver } = start(features);
    driver.raw.usedEvent = 7;
    driver.disableCalls();
    const state = (): string => `flags=${driver.raw.availFlags} event=${driver.raw.usedEvent}`;
    const before = state();
    const seen = atAtomics(() => driver.enableCalls(), state);
    const after = features === ALL_FEATURES ? "flags=0 event=0" : "flags=0 event=7";
    assert.notEqual(before, after);
    assert.deepEqual(seen, [`store ${before}`, `load ${after}`]);
  }
});
