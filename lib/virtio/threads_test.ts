import assert from "node:assert/strict";
import { DeviceQueue, featureWord, GuestMemory, layOutQueue, Pieces } from "./mod.ts";
import { CALL, KICK, QUEUE_SIZE, ring, type Shared, sleep } from "./bells_test_helper.ts";
import { ALL_FEATURES } from "./ring_test_helper.ts";

const REQUESTS = 20_000;

/** Answer until `requests` are answered; returns what went wrong. */
function serve({ bytes, bells, features, requests }: Shared): string {
  if (!sleep(bells, KICK)) return "the driver did not begin"; // the rings are there with the kick
  const memory = new GuestMemory([{ guestAddress: 0, bytes }]);
  const device = new DeviceQueue(() => new Pieces());
  device.configure({ memory, areas: layOutQueue(QUEUE_SIZE, 0), features, startIndex: 0 });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let answered = 0;
  let kicks = 0;
  while (answered < requests) {
    device.disableKicks();
    let isMore: boolean;
    do {
      for (let chain = device.next(); chain !== undefined; chain = device.next()) {
        const { readable, writable } = chain;
        const number = view.getUint32(readable.offsets[0] ?? NaN, true);
        view.setUint32(writable.offsets[0] ?? NaN, number + 1, true);
        device.add(chain, 8);
        answered++;
      }
      isMore = device.enableKicks();
      if (device.needsCall()) ring(bells, CALL);
    } while (isMore);
    if (device.brokenBy !== undefined) return device.brokenBy.message;
    if (answered >= requests) break;
    if (!sleep(bells, KICK)) return `after ${answered} of ${requests} requests no kick came`;
    kicks++;
  }
  return kicks > 0 ? "" : "it never slept";
}

for (
  const [what, features] of [
    ["event indices", ALL_FEATURES],
    ["flags", featureWord()],
  ] as const
) {
  Deno.test(`DeviceQueue and DriverQueue in two threads lose no kick and no call: ${what}`, async () => {
    const shared: Shared = {
      bytes: new Uint8Array(new SharedArrayBuffer(16384)),
      bells: new Int32Array(new SharedArrayBuffer(8)),
      features,
      requests: REQUESTS,
    };
    const worker = new Worker(new URL("./driver_worker_test_helper.ts", import.meta.url), {
      type: "module",
    });
    const message = (): Promise<string> =>
      new Promise((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => resolve(message);
      });
    try {
      assert.equal(await message(), "ready");
      worker.postMessage(shared);
      assert.equal(serve(shared), "");
      assert.equal(await message(), "");
    } finally {
      worker.terminate();
    }
  });
}
