import assert from "node:assert/strict";
import { Reactor } from "../transport/mod.ts";
import {
  accept4,
  AF_UNIX,
  bind,
  check,
  close,
  eventfd,
  Fd,
  listen,
  loadLibc,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
} from "../linux/mod.ts";
import { BACKEND_PROTOCOL_FEATURES, VhostUserBackend } from "./backend.ts";
import { protocolFeatureNames, VhostUserFrontend } from "./frontend.ts";
import { GuestRam } from "./guest_ram.ts";
import {
  EchoDevice,
  FEATURES,
  type Rig,
  rigTest,
  sockets,
  tightTest,
  withRig,
} from "./loop_test_helper.ts";
import { VhostUserError } from "./errors.ts";
import { encodeMessage, encodeRaw } from "./messages.ts";
import { VhostUserConnection } from "./connection.ts";
import { type ProtocolFeature, REQUEST_NAMES, requestRow } from "./requests.ts";

loadLibc();

const MIB = 1 << 20;

/** A thread with an echo device. */
function newWorker(): { readonly worker: Worker; next(): Promise<unknown> } {
  const url = new URL("./echo_worker_test_helper.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const next = () =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
    });
  return { worker, next };
}

// The first worker leaves descriptors of Deno's own open, which no test shall be blamed for.
{
  const { worker, next } = newWorker();
  await next();
  worker.terminate();
}

tightTest("VhostUserFrontend blocks its thread, with the back-end in another", async () => {
  const [near, far] = sockets();
  const { worker, next } = newWorker();
  assert.equal(await next(), "ready");
  const ended = next();
  worker.postMessage({ fd: near });
  {
    using frontend = new VhostUserFrontend(far);
    using ram = new GuestRam({ size: MIB });
    await frontend.negotiate();
    await frontend.setMemory([ram]);
    using queue = await frontend.startQueue(ram);
    const { driver } = queue;
    const address = ram.reserve(64);
    for (let round = 0; round < 100; round++) {
      ram.bytes[address] = round;
      driver.add([{ address, length: 1 }], [{ address: address + 32, length: 1 }]);
      driver.publish();
      if (driver.needsKick()) queue.kick();
      let head = driver.take();
      while (head < 0) {
        if (!driver.enableCalls()) assert.ok(queue.waitCall(5000), "the device calls");
        head = driver.take();
      }
      assert.equal(driver.usedLength, 1);
      assert.equal(ram.bytes[address + 32], round);
    }
    assert.equal(await frontend.stopQueue(0), 100);
  }
  const data = await ended;
  worker.terminate();
  assert.deepEqual(data, { fault: undefined, events: ["memory", "ready 0", "stop 0", "close"] });
});

tightTest("VhostUserBackend serves from a reactor that blocks", async () => {
  const [near, far] = sockets();
  using reactor = new Reactor();
  const device = new EchoDevice();
  const backend = new VhostUserBackend(near, reactor, device);
  reactor.use(backend);
  const frontend = new VhostUserFrontend(far, { watcher: reactor });
  const talk = (async () => {
    using ram = new GuestRam({ size: MIB });
    await frontend.negotiate();
    await frontend.setMemory([ram]);
    using queue = await frontend.startQueue(ram);
    const address = ram.reserve(64);
    ram.bytes[address] = 77;
    queue.driver.add([{ address, length: 1 }], [{ address: address + 32, length: 1 }]);
    queue.driver.publish();
    queue.kick();
    assert.ok(await queue.waitCallAsync(5000));
    assert.equal(ram.bytes[address + 32], 77);
    device.finish = () => Promise.resolve(); // a promise that the reactor must let settle
    assert.equal(await frontend.stopQueue(0), 1);
    frontend[Symbol.dispose]();
    await device.closed;
  })().finally(() => reactor.stop());
  // The loop keeps promises going only while somebody has some.
  reactor.use({ needsEventLoop: true, hasPromises: true });
  await reactor.run();
  await talk;
  assert.ok(backend.isClosed);
});

tightTest("VhostUserFrontend.connect() finds a back-end by its path", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/device.sock`;
  assert.throws(() => VhostUserFrontend.connect(path), { name: "LinuxError" });
  const listener = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "make a socket");
  check(bind(listener, { family: "unix", path }), "bind");
  check(listen(listener, 1), "listen");
  {
    using frontend = VhostUserFrontend.connect(path, { timeoutMs: 20 });
    using backend = new VhostUserConnection(check(accept4(listener, SOCK_CLOEXEC), "accept"));
    await assert.rejects(frontend.ask("GET_FEATURES", {}), {
      fault: "timed-out",
      message: "Cannot go on: the back-end was silent for 20 ms",
    });
    backend.trySend(encodeMessage("GET_FEATURES", "reply", { features: FEATURES }));
    assert.equal((await frontend.ask("GET_FEATURES", {})).features, FEATURES);
    backend.trySend(encodeMessage("GET_QUEUE_NUM", "reply", { num: 1n }));
    await assert.rejects(frontend.ask("GET_FEATURES", {}), { fault: "wrong-reply" });
    backend[Symbol.dispose]();
    await assert.rejects(frontend.ask("GET_FEATURES", {}), { name: "VhostUserError" });
  }
  close(listener);
  Deno.removeSync(folder, { recursive: true });
});

rigTest("negotiate() uses only what is wanted", async ({ frontend }) => {
  const protocolFeatures: ProtocolFeature[] = ["CONFIG", "BACKEND_REQ"];
  const agreement = await frontend.negotiate({ features: 0n, protocolFeatures });
  assert.equal(agreement.features, 1n << 30n);
  assert.deepEqual(protocolFeatureNames(agreement.protocolFeatures), ["CONFIG"]);
  assert.equal(agreement.queues, 0);
});

Deno.test("GuestRam.reserve() aligns, and refuses more than there is", () => {
  using ram = new GuestRam({ size: 4096, guestAddress: 8192 });
  assert.equal(ram.reserve(1), 8192);
  assert.equal(ram.reserve(1), 8208);
  assert.equal(ram.reserve(10, 1024), 9216);
  assert.throws(() => ram.reserve(4096), RangeError);
});

/** Numbers that look random, the same ones for the same seed. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + 0x9e3779b9 >>> 0;
    state = (state ^ state >>> 13) >>> 0;
    return state % limit;
  };
}

/** Values that checks look for. */
const EDGES = [0, 1, 2, 3, 7, 8, 16, 0x100, 0x1000, 0x2000, 0xffff, 0x10000, 0x7000, 0xffffffff];

/** Requests that a device like ours does. */
const USUAL = REQUEST_NAMES.filter((name) => {
  const { needs = "MQ" } = requestRow(name);
  return BACKEND_PROTOCOL_FEATURES.includes(needs) && name !== "IOTLB_MSG";
});

/** A request as a machine would send it, and spoiled more or less. */
function randomRequest(pick: (limit: number) => number, ram: GuestRam): Uint8Array {
  const all = pick(100) === 0 ? REQUEST_NAMES : USUAL;
  const name = all[pick(all.length)] ?? "SET_OWNER";
  const row = requestRow(name);
  const size = pick(50) === 0 ? pick(80) : fixedSize(row.request);
  const bytes = encodeRaw(row.number, pick(100) === 0 ? pick(16) : 9, size);
  const view = new DataView(bytes.buffer);
  for (let at = 16; at + 4 <= bytes.length; at += 4) {
    view.setUint32(at, EDGES[pick(EDGES.length)] ?? 0, true);
  }
  const isSane = pick(3) > 0;
  if (pick(20) === 0 && size > 4) view.setUint32(12, pick(4), true);
  if (isSane && size === fixedSize(row.request)) {
    if (name === "SET_MEM_TABLE" || name === "ADD_MEM_REG" || name === "REM_MEM_REG") {
      bytes.set(encodeMessage("ADD_MEM_REG", "request", ram.region).subarray(20), 20);
      if (name === "SET_MEM_TABLE") view.setUint32(12, 1, true);
    }
    if (name === "SET_VRING_ADDR") {
      view.setUint32(16, 0, true);
      for (let part = 0; part < 3; part++) {
        view.setBigUint64(20 + part * 8, BigInt(ram.userAddress + part * 4096), true);
      }
    }
    if (name === "SET_FEATURES") view.setBigUint64(12, FEATURES | 1n << 30n, true);
    if (name === "SET_PROTOCOL_FEATURES") view.setBigUint64(12, 1n << 3n | 1n << 9n, true);
    if (name === "SET_VRING_NUM") view.setUint32(16, 8, true);
    if (name === "SET_VRING_ENABLE") view.setUint32(16, pick(2), true);
  }
  if (name === "GET_CONFIG" && size >= 12) view.setUint32(16, size - 12, true);
  return bytes;
}

/** Sends random messages; how many replies came. */
async function storm({ frontend, device }: Rig, seed: number): Promise<number> {
  const pick = generator(seed);
  using ram = new GuestRam({ size: MIB });
  using event = Fd.from(eventfd(0, 0), "make an eventfd");
  await frontend.negotiate();
  await frontend.setMemory([ram]);
  using queue = await frontend.startQueue(ram);
  let replies = 0;
  for (let count = 0; count < 300; count++) {
    const bytes = randomRequest(pick, ram);
    const some = [event.number, ram.fd, ram.fd, queue.callFd, queue.kickFd];
    const fds = Array.from({ length: pick(3) }, () => some[pick(5)] ?? 0);
    try {
      await frontend.sendRaw(bytes, fds);
      if (pick(3) === 0) queue.kick();
      await new Promise((resolve) => setTimeout(resolve, 0));
      for (;;) {
        const reply = frontend.tryReceive();
        if (typeof reply === "string") break;
        replies++;
        reply[Symbol.dispose]();
      }
    } catch (error) {
      assert.ok(error instanceof VhostUserError, String(error));
      break; // the back-end has ended the connection
    }
  }
  frontend[Symbol.dispose]();
  const error = await device.closed;
  assert.notEqual(error?.fault, "device-failed", error?.message);
  assert.ok(replies > 0 || error !== undefined);
  return replies;
}

Deno.test("VhostUserBackend survives random messages", async (t) => {
  let replies = 0;
  for (let seed = 1; seed <= 30; seed++) {
    await t.step(`seed ${seed}`, () =>
      withRig(async (rig) => {
        replies += await storm(rig, seed);
      }));
  }
  assert.ok(replies > 500, `only ${replies} got through the first checks`);
});

/** Bytes of a payload, without those that it counts. */
function fixedSize(notation: string): number {
  let size = 0;
  for (const [, width = "0"] of notation.matchAll(/\[(\d+)\]/g)) size += Number(width);
  return size;
}
