/** A thread in which the echo device of the tests serves one front-end. */

import { EchoDevice, TestLoop } from "./loop_test_helper.ts";
import { VhostUserBackend } from "./backend.ts";

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<{ readonly fd: number }>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data }) => {
  const loop = new TestLoop();
  const device = new EchoDevice();
  new VhostUserBackend(data.fd, loop, device);
  const error = await device.closed;
  await loop[Symbol.asyncDispose]();
  scope.postMessage({ fault: error?.fault, events: device.events });
};
scope.postMessage("ready");
