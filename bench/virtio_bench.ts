/**
 * The device's side of a virtqueue, in nanoseconds for {@linkcode ROUNDS} requests: take a chain,
 * give it back, publish, decide about the call, look again.
 *
 * The driver's work is not part of it: the avail ring is written once, and each round offers the
 * same chains again by moving the index on. Each case asserts what it measures once, before.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Segments } from "../lib/p9/mod.ts";
import {
  DeviceQueue,
  DriverQueue,
  featureWord,
  GuestMemory,
  layOutQueue,
  type QueueSetup,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../lib/virtio/mod.ts";

/** Requests a call measures, so that the clock and the call weigh little. */
const ROUNDS = 1024;
const SIZE = 128;
const PAGE = 4096;
const FEATURES = featureWord(VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1);

/** Keeps results alive, so that none is optimized away. */
let sink = 0;

/** A queue whose ring has a chain in each slot, all different, of one readable and some writable. */
function prepare(batch: number, writable: number, indirect: boolean) {
  const memory = new GuestMemory([
    { guestAddress: 0, bytes: new Uint8Array(640 << 10) },
    { guestAddress: 1 << 20, bytes: new Uint8Array(4 << 20) },
  ]);
  const setup: QueueSetup = {
    memory,
    areas: layOutQueue(SIZE, 1 << 20),
    features: FEATURES,
    startIndex: 0,
  };
  const driver = new DriverQueue(setup);
  const chains = indirect ? batch : Math.floor(SIZE / (1 + writable));
  assert.ok(batch <= chains, "a batch fits the queue");
  const heads: number[] = [];
  for (let i = 0; i < chains; i++) {
    const at = (2 << 20) + i * 4 * PAGE;
    const table = indirect ? (1 << 20) + (256 << 10) + i * 1024 : undefined;
    const room = Array.from({ length: writable }, (_, j) => ({
      address: at + (1 + j % 3) * PAGE,
      length: j === 0 ? 11 : PAGE,
    }));
    heads.push(driver.add([{ address: at, length: 23 }], room, table));
  }
  for (let slot = 0; slot < SIZE; slot++) {
    driver.raw.setAvailEntry(slot, heads[slot % batch] ?? 0);
  }
  const device = new DeviceQueue(() => new Segments());
  device.configure(setup);
  const region = memory.find(setup.areas.availRing);
  assert.ok(region !== undefined);
  const ring = region.bytes.byteOffset + setup.areas.availRing - region.guestAddress;
  return { device, avail: new Uint16Array(region.bytes.buffer, ring, SIZE + 3) };
}

function bench(
  name: string,
  { batch, writable, indirect }: { batch: number; writable: number; indirect: boolean },
  baseline = false,
): void {
  const { device, avail } = prepare(batch, writable, indirect);
  let index = 0;
  const serve = (): number => {
    index = index + batch & 0xffff;
    avail[1] = index;
    avail[SIZE + 2] = index - 1; // used_event: a call for the last of the batch
    let served = 0;
    do {
      for (let chain = device.next(); chain !== undefined; chain = device.next()) {
        sink += chain.readable.length + chain.writable.count;
        device.add(chain, 11);
        served++;
      }
    } while (device.enableKicks());
    if (device.needsCall()) sink++;
    return served;
  };
  for (let i = 0; i < 100; i++) assert.equal(serve(), batch);
  assert.equal(device.brokenBy, undefined);
  assert.equal(device.inFlight, 0);
  Deno.bench({ name: `${name} x ${ROUNDS}`, group: "device", baseline }, () => {
    for (let done = 0; done < ROUNDS; done += batch) serve();
  });
}

bench("direct, 3 descriptors, one by one", { batch: 1, writable: 2, indirect: false }, true);
bench("indirect, 3 descriptors, one by one", { batch: 1, writable: 2, indirect: true });
bench("direct, 3 descriptors, batches of 16", { batch: 16, writable: 2, indirect: false });
bench("indirect, 3 descriptors, batches of 16", { batch: 16, writable: 2, indirect: true });
bench("indirect, 18 descriptors, batches of 16", { batch: 16, writable: 17, indirect: true });

Deno.bench({ name: "the sink is in use", group: "harness" }, () => {
  assert.ok(Number.isFinite(sink));
});
