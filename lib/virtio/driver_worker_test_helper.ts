/**
 * The driver of `threads_test.ts`, in a thread of its own.
 *
 * @module
 */

import { CALL, KICK, QUEUE_SIZE, ring, type Shared, sleep } from "./bells_test_helper.ts";
import { DriverQueue, GuestMemory, layOutQueue } from "./mod.ts";

/** Where the buffers are: 8 readable and 8 writable bytes for each request in flight. */
const BUFFERS = 4096;

/** Make requests, each with a number that has to come back increased; returns what went wrong. */
function drive({ bytes, bells, features, requests }: Shared): string {
  const memory = new GuestMemory([{ guestAddress: 0, bytes }]);
  const areas = layOutQueue(QUEUE_SIZE, 0);
  const driver = new DriverQueue({ memory, areas, features, startIndex: 0 });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const freeBuffers = Array.from({ length: QUEUE_SIZE / 2 }, (_, i) => BUFFERS + 16 * i);
  const inFlight = new Map<number, { readonly buffer: number; readonly number: number }>();
  let made = 0;
  let done = 0;
  while (done < requests) {
    for (let burst = 1 + made % 7; burst > 0 && made < requests; burst--) {
      const buffer = freeBuffers.pop();
      if (buffer === undefined) break;
      view.setUint32(buffer, made, true);
      const head = driver.add([{ address: buffer, length: 8 }], [{
        address: buffer + 8,
        length: 8,
      }]);
      if (head < 0) return "descriptors were lost";
      inFlight.set(head, { buffer, number: made++ });
    }
    driver.publish();
    if (driver.needsKick()) ring(bells, KICK);
    driver.disableCalls();
    const before = done;
    while (done === before) {
      for (let head = driver.take(); head >= 0; head = driver.take()) {
        const { buffer, number } = inFlight.get(head) ?? { buffer: 0, number: NaN };
        if (view.getUint32(buffer + 8, true) !== number + 1) return `wrong answer to ${number}`;
        inFlight.delete(head);
        freeBuffers.push(buffer);
        done++;
      }
      if (done > before || driver.enableCalls()) continue;
      if (!sleep(bells, CALL)) return `after ${done} of ${requests} requests no call came`;
      driver.disableCalls();
    }
  }
  return "";
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Shared>) => void;
  postMessage(message: string): void;
};
scope.onmessage = ({ data }) => {
  let problem: string;
  try {
    problem = drive(data);
  } catch (error) {
    problem = String(error);
  }
  scope.postMessage(problem);
};
scope.postMessage("ready");
