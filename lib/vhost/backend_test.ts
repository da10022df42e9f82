import assert from "node:assert/strict";
import {
  AT_FDCWD,
  check,
  close,
  eventfd,
  F_GETFL,
  fcntl,
  Fd,
  ftruncate,
  IoVectors,
  MappedMemory,
  memfdCreate,
  MFD_CLOEXEC,
  MSG_DONTWAIT,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  openat,
  pipe2,
  read,
  recv,
} from "../linux/mod.ts";
import { featureWord, hasFeature } from "../virtio/mod.ts";
import type { VhostUserFault } from "./errors.ts";
import type { FrontendQueue, VhostUserFrontend } from "./frontend.ts";
import { GuestRam } from "./guest_ram.ts";
import { FEATURES, type Rig, rigTest, until } from "./loop_test_helper.ts";
import { encodeMessage, encodeRaw, MESSAGE_FLAGS, type RegionPayload } from "./messages.ts";
import { F_PROTOCOL_FEATURES, MAX_REGIONS, type RequestName, VRING_NO_FD } from "./requests.ts";

const MIB = 1 << 20;

/** Sends a text through the echo device and gives back what came. */
async function echo(queue: FrontendQueue, ram: GuestRam, text: string): Promise<string> {
  offer(queue, ram, text);
  assert.ok(await queue.waitCallAsync(5000), "the device calls");
  return answer(queue, ram);
}

const ANSWER = 256; // where answers go, behind the request

function offer(queue: FrontendQueue, ram: GuestRam, text: string): number {
  const address = ram.reserve(2 * ANSWER);
  const { written } = new TextEncoder().encodeInto(text, ram.bytes.subarray(at(ram, address)));
  const head = queue.driver.add(
    [{ address, length: written }],
    [{ address: address + ANSWER, length: ANSWER }],
  );
  addresses.set(head, address + ANSWER);
  queue.driver.publish();
  if (queue.driver.needsKick()) queue.kick();
  return head;
}

const addresses = new Map<number, number>();

function answer(queue: FrontendQueue, ram: GuestRam): string {
  const head = queue.driver.take();
  assert.ok(head >= 0, "a chain was used");
  assert.equal(queue.driver.enableCalls(), false, "no other one was");
  const start = at(ram, addresses.get(head) ?? 0);
  return new TextDecoder().decode(
    ram.bytes.slice(start, start + queue.driver.usedLength),
  );
}

function at(ram: GuestRam, address: number): number {
  return address - ram.guestAddress;
}

/** Memory and a queue that runs. */
async function running(
  frontend: VhostUserFrontend,
  options: { readonly ram?: GuestRam; readonly base?: number } = {},
): Promise<{ ram: GuestRam; queue: FrontendQueue } & Disposable> {
  const ram = options.ram ?? new GuestRam({ size: MIB, guestAddress: 0x10_0000 });
  await frontend.negotiate();
  await frontend.setMemory([ram]);
  const queue = await frontend.startQueue(ram, { size: 8, base: options.base ?? 0 });
  return {
    ram,
    queue,
    [Symbol.dispose](): void {
      queue[Symbol.dispose]();
      ram[Symbol.dispose]();
    },
  };
}

rigTest("VhostUserBackend agrees on features and answers what is asked", async ({ frontend }) => {
  const agreement = await frontend.negotiate();
  assert.equal(agreement.features, FEATURES | featureWord(F_PROTOCOL_FEATURES));
  assert.equal(agreement.queues, 1);
  assert.equal(agreement.memorySlots, MAX_REGIONS);
  for (const name of ["MQ", "REPLY_ACK", "CONFIG", "STATUS", "CONFIGURE_MEM_SLOTS"] as const) {
    assert.ok(frontend.has(name), name);
  }
  assert.ok(!frontend.has("BACKEND_REQ") && !frontend.has("LOG_SHMFD"));
  await frontend.tell("SET_STATUS", { status: 7n });
  assert.equal((await frontend.ask("GET_STATUS", {})).status, 7n);
});

const configs: [offset: number, size: number, hex: string][] = [
  [0, 6, "0400686f7374"],
  [0, 2, "0400"],
  [2, 4, "686f7374"],
  [0, 10, "0400686f737400000000"],
  [4, 6, "737400000000"],
  [6, 3, "000000"],
  [0xffffffff, 2, "0000"],
  [0, 0, ""],
];
for (const [offset, size, hex] of configs) {
  rigTest(`GET_CONFIG gives ${size} bytes from ${offset} on`, async ({ frontend }) => {
    assert.equal((await frontend.readConfig(offset, size)).toHex(), hex);
  });
}

rigTest("VhostUserBackend serves a queue by its eventfds", async ({ frontend, device }) => {
  using set = await running(frontend);
  for (const text of ["one", "two", "a longer one"]) {
    assert.equal(await echo(set.queue, set.ram, text), text);
  }
  assert.equal(await frontend.stopQueue(0), 3);
  assert.deepEqual(device.events, ["memory", "ready 0", "stop 0"]);
  assert.deepEqual(device.warnings, []);
});

rigTest("a queue goes on from its index after stop and start", async ({ frontend, device }) => {
  using set = await running(frontend, { base: 65534 });
  assert.equal(await echo(set.queue, set.ram, "one"), "one");
  assert.equal(await frontend.stopQueue(0), 65535);
  offer(set.queue, set.ram, "while stopped");
  await frontend.setUpQueue(set.queue, set.ram, 65535);
  assert.ok(await set.queue.waitCallAsync(5000));
  assert.equal(answer(set.queue, set.ram), "while stopped");
  assert.equal(await echo(set.queue, set.ram, "wrapped"), "wrapped");
  assert.equal(await frontend.stopQueue(0), 1);
  assert.deepEqual(device.events, ["memory", "ready 0", "stop 0", "ready 0", "stop 0"]);
});

rigTest("a queue rests while it is disabled", async ({ frontend, backend }) => {
  using set = await running(frontend);
  await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 0 });
  assert.equal(backend.queues[0]?.isRunning, false);
  offer(set.queue, set.ram, "late");
  await frontend.ask("GET_FEATURES", {});
  assert.equal(set.queue.driver.take(), -1);
  await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 });
  assert.ok(await set.queue.waitCallAsync(5000));
  assert.equal(answer(set.queue, set.ram), "late");
});

rigTest("a queue starts enabled without protocol features", async ({ frontend, backend }) => {
  using ram = new GuestRam({ size: MIB });
  await frontend.tell("SET_OWNER", {});
  await frontend.tell("SET_FEATURES", { features: FEATURES });
  await frontend.setMemory([ram]);
  assert.equal(hasFeature(frontend.features, F_PROTOCOL_FEATURES), false);
  using queue = await frontend.startQueue(ram);
  await frontend.ask("GET_FEATURES", {});
  assert.equal(backend.queues[0]?.isRunning, true);
  assert.equal(await echo(queue, ram, "enabled"), "enabled");
});

rigTest("a queue waits for the last of its settings, whatever it is", async (rig) => {
  const { frontend, backend } = rig;
  using ram = new GuestRam({ size: MIB });
  await frontend.negotiate();
  await frontend.setMemory([ram]);
  using kick = Fd.from(eventfd(0, 0), "make an eventfd");
  const user = (offset: number) => BigInt(ram.userAddress + offset);
  const steps: (() => Promise<void>)[] = [
    () => frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 }),
    () => frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [kick.number]),
    () => frontend.tell("SET_VRING_NUM", { index: 0, num: 8 }),
    () =>
      frontend.tell("SET_VRING_ADDR", {
        index: 0,
        flags: 0,
        descriptor: user(0),
        available: user(4096),
        used: user(8192),
        log: 0n,
      }),
  ];
  for (const step of steps) {
    assert.equal(backend.queues[0]?.isRunning, false);
    await step();
  }
  assert.equal(backend.queues[0]?.isRunning, true);
});

rigTest("VhostUserBackend calls and is kicked by pipes", async (rig) => {
  const { frontend, device } = rig;
  using set = await running(frontend);
  using memory = MappedMemory.anonymous(4096);
  const [kicked, kick] = pipe();
  const [called, call] = pipe();
  await frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [kicked]);
  await frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [call]);
  close(kicked);
  close(call);
  assert.equal(read(called, memory.address, 64), 8, "told that a call may have been lost");
  offer(set.queue, set.ram, "pipes");
  Deno.writeFileSync(`/proc/self/fd/${kick}`, new Uint8Array(24)); // three kicks at once
  await until("the answer", () => set.queue.driver.raw.usedIndex === 1);
  assert.equal(read(called, memory.address, 64), 8);
  assert.equal(answer(set.queue, set.ram), "pipes");

  close(kick); // reported as ready for ever, unless it is forgotten
  await until("the warning", () => device.warnings.includes("bad-fd"));
  assert.equal(await frontend.stopQueue(0), 1);
  close(called);
});

function pipe(): [reader: number, writer: number] {
  const pair = pipe2(O_CLOEXEC);
  if (typeof pair === "number") throw new Error("Cannot make a pipe");
  return pair;
}

rigTest("VhostUserBackend never blocks on a full pipe", async ({ frontend }) => {
  using set = await running(frontend);
  const [reader, writer] = pipe();
  await frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [writer]);
  assert.equal(fcntl(writer, F_GETFL, 0) & O_NONBLOCK, O_NONBLOCK);
  using memory = MappedMemory.anonymous(4096);
  const vectors = new IoVectors(1);
  vectors.add(memory.address, 4096);
  Deno.writeFileSync(`/proc/self/fd/${writer}`, new Uint8Array(65536 - 8));
  offer(set.queue, set.ram, "full");
  await until("the answer", () => set.queue.driver.raw.usedIndex === 1);
  assert.equal(await frontend.stopQueue(0), 1);
  close(reader);
  close(writer);
});

rigTest("a queue without a kick descriptor is polled", async ({ frontend }) => {
  using set = await running(frontend);
  await frontend.tell("SET_VRING_KICK", { index: 0, flags: VRING_NO_FD });
  set.queue.driver.add(
    [{ address: set.ram.reserve(16), length: 3 }],
    [{ address: set.ram.reserve(16), length: 3 }],
  );
  set.queue.driver.publish(); // and no kick
  assert.ok(await set.queue.waitCallAsync(5000));
  assert.ok(set.queue.driver.take() >= 0);
  assert.equal(await frontend.stopQueue(0), 1);
});

// Memory

rigTest("memory is replaced under a running queue, which goes on", async (rig) => {
  const { frontend, device, backend } = rig;
  using set = await running(frontend);
  assert.equal(await echo(set.queue, set.ram, "before"), "before");
  const old = backend.memory.regions[0];
  using more = new GuestRam({ size: MIB, guestAddress: 0x4000_0000, fileOffset: 8192 });
  await frontend.setMemory([more, set.ram]);
  assert.equal(old?.bytes.length, 0, "views of the old mapping are gone");
  assert.throws(() => old?.view.getUint8(0), TypeError);
  assert.equal(await echo(set.queue, set.ram, "after"), "after");
  assert.deepEqual(device.events, ["memory", "ready 0", "stop 0", "memory", "ready 0"]);
  assert.equal(backend.regions.length, 2);
});

rigTest("regions come and go one by one", async ({ frontend, device, backend }) => {
  using low = new GuestRam({ size: MIB });
  using high = new GuestRam({ size: MIB, guestAddress: 2 ** 32, fileOffset: 4096 });
  await frontend.negotiate();
  await frontend.addMemory(low);
  await frontend.addMemory(high);
  using queue = await frontend.startQueue(high, { size: 8 });
  assert.equal(await echo(queue, high, "high"), "high");
  await frontend.removeMemory(low);
  assert.equal(backend.regions.length, 1);
  assert.equal(await echo(queue, high, "still"), "still");
  await frontend.removeMemory(high); // the ring goes with it
  assert.equal(backend.queues[0]?.isRunning, false);
  assert.deepEqual(device.warnings, ["no-memory-table"]);
  await frontend.addMemory(high);
  assert.equal(backend.queues[0]?.isRunning, true);
  assert.equal(await echo(queue, high, "again"), "again");
});

rigTest("memory stays until the device has finished with it", async (rig) => {
  const { frontend, device, backend } = rig;
  using set = await running(frontend);
  device.isHolding = true;
  offer(set.queue, set.ram, "slow");
  await until("the chain", () => device.held.length === 1);
  const { promise, resolve } = Promise.withResolvers<void>();
  device.finish = () => promise;
  const { regions } = backend.memory;

  using other = new GuestRam({ size: MIB, guestAddress: 0x10_0000 });
  const changed = frontend.setMemory([other]);
  await until("the stop", () => device.events.includes("stop 0"));
  assert.ok(backend.hasPromises);
  assert.equal(regions[0]?.bytes.length, MIB, "still mapped");
  const queue = backend.queues[0];
  const chain = device.held.pop();
  assert.ok(queue !== undefined && chain !== undefined);
  device.answer(queue, chain);
  queue.ring.publish();
  queue.call();
  resolve();
  await changed;
  assert.equal(regions[0]?.bytes.length, 0, "unmapped");
  assert.equal(backend.hasPromises, false);
  assert.ok(set.queue.takeCalls());
  assert.equal(answer(set.queue, set.ram), "slow");
  device.finish = undefined;
});

rigTest("messages wait while a queue is stopping, and are answered in order", async (rig) => {
  const { frontend, device } = rig;
  using _set = await running(frontend);
  const { promise, resolve } = Promise.withResolvers<void>();
  device.finish = () => promise;
  await frontend.sendRaw(encodeMessage("GET_VRING_BASE", "request", { index: 0, num: 0 }));
  await frontend.sendRaw(encodeMessage("GET_FEATURES", "request", {}));
  await until("the stop", () => device.events.includes("stop 0"));
  resolve();
  for (const name of ["GET_VRING_BASE", "GET_FEATURES"]) {
    using reply = await frontend.receive();
    assert.match(reply.toString(), new RegExp(`^${name} reply `));
  }
});

rigTest("a connection that ends finishes chains before memory goes", async (rig) => {
  const { frontend, device, backend } = rig;
  using _set = await running(frontend);
  const { promise, resolve } = Promise.withResolvers<void>();
  device.finish = () => promise;
  const { regions } = backend.memory;
  frontend[Symbol.dispose]();
  await until("the stop", () => device.events.includes("stop 0"));
  assert.equal(regions[0]?.bytes.length, MIB);
  assert.equal(backend.isClosed, false);
  resolve();
  assert.equal(await device.closed, undefined);
  assert.equal(regions[0]?.bytes.length, 0);
});

rigTest("a region whose file can shrink is taken, with a warning", async (rig) => {
  const { frontend, device, backend } = rig;
  using ram = new GuestRam({ size: MIB, isSealed: false });
  await frontend.negotiate();
  await frontend.setMemory([ram]);
  assert.deepEqual(device.warnings, ["region-not-sealed"]);
  assert.equal(backend.regions[0]?.isSealed, false);
});

/** A region that is right, to be spoiled. */
function region(change: Partial<RegionPayload>): RegionPayload {
  return { guest_addr: 0n, size: 0x2000n, user_addr: 0x7000n, mmap_offset: 0n, ...change };
}

const badTables: [what: string, fault: VhostUserFault, regions: RegionPayload[]][] = [
  ["an empty region", "region-empty", [region({ size: 0n })]],
  ["a region larger than its file", "region-beyond-file", [region({ size: 0x4001n })]],
  ["an offset behind the file", "region-beyond-file", [region({ mmap_offset: 0x4000n })]],
  ["a huge region", "region-too-large", [region({ size: 2n ** 64n - 1n })]],
  ["a region at the end of all addresses", "region-too-large", [
    region({ guest_addr: 2n ** 64n - 0x1000n }),
  ]],
  ["a user address out of bounds", "region-too-large", [region({ user_addr: 2n ** 63n })]],
  ["an unaligned guest address", "region-unaligned", [region({ guest_addr: 0x800n })]],
  ["an unaligned user address", "region-unaligned", [region({ user_addr: 1n })]],
  ["an unaligned offset", "region-unaligned", [region({ mmap_offset: 0x10n })]],
  ["guest addresses that overlap", "region-overlaps", [
    region({}),
    region({ guest_addr: 0x1000n, user_addr: 0x10000n }),
  ]],
  ["user addresses that overlap", "region-overlaps", [
    region({}),
    region({ guest_addr: 0x10000n, user_addr: 0x8000n }),
  ]],
];
for (const [what, fault, regions] of badTables) {
  rigTest(`SET_MEM_TABLE refuses ${what}, and the old table stays`, async (rig) => {
    const { frontend, device } = rig;
    using set = await running(frontend);
    const fd = check(memfdCreate("small", MFD_CLOEXEC), "make a file");
    check(ftruncate(fd, 0x4000n), "size it");
    const fds = regions.map(() => fd);
    await assert.rejects(frontend.tell("SET_MEM_TABLE", { regions }, fds), {
      fault: "request-refused",
    });
    close(fd);
    assert.equal(device.warnings.at(-1), fault);
    assert.equal(await echo(set.queue, set.ram, "still here"), "still here");
  });
}

rigTest("memory is refused that is no file, or cannot be written", async (rig) => {
  const { frontend, device } = rig;
  await frontend.negotiate();
  using event = Fd.from(eventfd(0, 0), "make an eventfd");
  using folder = Fd.from(openat(AT_FDCWD, "/proc", O_CLOEXEC, 0), "open a folder");
  using zero = Fd.from(openat(AT_FDCWD, "/dev/zero", O_RDWR | O_CLOEXEC, 0), "open a device");
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, 0x4000);
  using file = Fd.from(openat(AT_FDCWD, path, O_CLOEXEC, 0), "open a file");
  Deno.removeSync(path);
  for (const { number } of [event, folder, zero, file]) {
    await assert.rejects(frontend.tell("ADD_MEM_REG", region({}), [number]), {
      fault: "request-refused",
    });
    assert.equal(device.warnings.at(-1), "region-not-mappable");
  }
});

rigTest("regions are refused beyond the number of slots", async ({ frontend, device }) => {
  await frontend.negotiate();
  using ram = new GuestRam({ size: 4096 });
  const add = (index: number) =>
    frontend.tell("ADD_MEM_REG", {
      ...ram.region,
      guest_addr: BigInt(index * 4096),
      user_addr: BigInt(index * 4096),
    }, [ram.fd]);
  for (let index = 0; index < MAX_REGIONS; index++) await add(index);
  await assert.rejects(add(MAX_REGIONS), { fault: "request-refused" });
  assert.deepEqual(device.warnings, ["too-many-regions"]);
});

rigTest(
  "REM_MEM_REG closes a descriptor, ignores the offset, and knows its regions",
  async (rig) => {
    const { frontend, device, backend } = rig;
    using ram = new GuestRam({ size: MIB });
    await frontend.negotiate();
    await frontend.addMemory(ram);
    const other = { ...ram.region, size: 4096n };
    await assert.rejects(frontend.tell("REM_MEM_REG", other), { fault: "request-refused" });
    assert.equal(device.warnings.at(-1), "no-such-region");
    await frontend.tell("REM_MEM_REG", { ...ram.region, mmap_offset: 77n }, [ram.fd]);
    assert.equal(backend.regions.length, 0);
  },
);

// Reset

const resets: [what: string, reset: (frontend: VhostUserFrontend) => Promise<void>][] = [
  ["RESET_OWNER", (frontend) => frontend.tell("RESET_OWNER", {})],
  ["RESET_DEVICE", (frontend) => frontend.tell("RESET_DEVICE", {})],
  ["SET_STATUS 0", (frontend) => frontend.tell("SET_STATUS", { status: 0n })],
];
for (const [what, reset] of resets) {
  rigTest(`${what} stops the queues, which can be started again`, async (rig) => {
    const { frontend, device, backend } = rig;
    using set = await running(frontend);
    assert.equal(await echo(set.queue, set.ram, "one"), "one");
    await reset(frontend);
    assert.equal(backend.queues[0]?.isRunning, false);
    assert.deepEqual(device.events.slice(-2), ["stop 0", "reset"]);
    assert.equal(backend.isClosed, false);
    using next = await frontend.startQueue(set.ram, { size: 16 });
    assert.equal(await echo(next, set.ram, "two"), "two");
  });
}

// What must be refused

type Step = (rig: Rig) => Promise<void>;

const tell = <Name extends RequestName>(
  name: Name,
  payload: Parameters<VhostUserFrontend["tell"]>[1],
  fds: number[] = [],
): Step => {
  return ({ frontend }) => frontend.tell(name, payload as never, fds);
};
const addr = (change: Record<string, unknown>): Step =>
  tell(
    "SET_VRING_ADDR",
    {
      index: 0,
      flags: 0,
      descriptor: 0x7000_0020_0000n,
      available: 0x7000_0020_1000n,
      used: 0x7000_0020_2000n,
      log: 0n,
      ...change,
    } as never,
  );

/** Each with REPLY_ACK agreed on, against a device whose queue is stopped. */
const refused: [what: string, fault: VhostUserFault, step: Step][] = [
  ["a queue that does not exist", "bad-queue", tell("SET_VRING_NUM", { index: 1, num: 8 })],
  ["the address of such a queue", "bad-queue", addr({ index: 0xffffffff })],
  ["a base of such a queue", "bad-queue", tell("SET_VRING_BASE", { index: 1, num: 0 })],
  ["enabling such a queue", "bad-queue", tell("SET_VRING_ENABLE", { index: 9, num: 1 })],
  ["a kick of such a queue", "bad-queue", tell("SET_VRING_KICK", { index: 255, flags: 1 })],
  ["size 0", "bad-queue-size", tell("SET_VRING_NUM", { index: 0, num: 0 })],
  ["size 3", "bad-queue-size", tell("SET_VRING_NUM", { index: 0, num: 3 })],
  ["size 2048", "bad-queue-size", tell("SET_VRING_NUM", { index: 0, num: 2048 })],
  ["size 2^31", "bad-queue-size", tell("SET_VRING_NUM", { index: 0, num: 2 ** 31 })],
  ["a base of 17 bits", "bad-value", tell("SET_VRING_BASE", { index: 0, num: 65536 })],
  ["an enable of 2", "bad-value", tell("SET_VRING_ENABLE", { index: 0, num: 2 })],
  ["a status of 9 bits", "bad-value", tell("SET_STATUS", { status: 256n })],
  ["a log of writes", "bad-value", addr({ flags: 1 })],
  ["an unaligned descriptor table", "bad-ring", addr({ descriptor: 0x7000_0020_0008n })],
  ["an unaligned avail ring", "bad-ring", addr({ available: 0x7000_0020_1001n })],
  ["an unaligned used ring", "bad-ring", addr({ used: 0x7000_0020_2002n })],
  ["rings that overlap", "bad-ring", addr({ used: 0x7000_0020_1000n })],
  ["guest addresses of a ring", "bad-ring", addr({ used: 0x20_2000n })],
  ["a ring at the end of all addresses", "bad-ring", addr({ used: 2n ** 64n - 4n })],
  ["features not offered", "feature-not-offered", tell("SET_FEATURES", { features: 1n << 34n })],
  [
    "protocol features not offered",
    "feature-not-offered",
    tell("SET_PROTOCOL_FEATURES", { features: 1n << 1n }),
  ],
  [
    "a write of the configuration",
    "config-read-only",
    ({ frontend }) =>
      frontend.tell("SET_CONFIG", { offset: 0, flags: 0, payload: new Uint8Array(2) }),
  ],
  ["a log", "feature-not-agreed", tell("SET_LOG_FD", {}, [1])],
  ["an MTU", "feature-not-agreed", tell("NET_SET_MTU", { mtu: 1500n })],
  ["a socket for its requests", "feature-not-agreed", tell("SET_BACKEND_REQ_FD", {}, [1])],
  [
    "memory for requests in flight",
    "feature-not-agreed",
    ({ frontend }) =>
      frontend.tell("SET_INFLIGHT_FD", {
        mmap_size: 0n,
        mmap_offset: 0n,
        num_queues: 1,
        queue_size: 8,
      }, [1]),
  ],
  ["a kick by message", "feature-not-agreed", tell("VRING_KICK", { index: 0, num: 0 })],
  ["a graphics socket", "unsupported-request", tell("GPU_SET_SOCKET", {}, [1])],
  [
    "a kick descriptor that is missing",
    "bad-fd-count",
    tell("SET_VRING_KICK", {
      index: 0,
      flags: 0,
    }),
  ],
  ["a region without its file", "bad-fd-count", tell("ADD_MEM_REG", region({}))],
  [
    "regions with one file too few",
    "bad-fd-count",
    ({ frontend }) => frontend.tell("SET_MEM_TABLE", { regions: [region({}), region({})] }, [1]),
  ],
];
for (const [what, fault, step] of refused) {
  rigTest(`VhostUserBackend refuses ${what}, and goes on`, async (rig) => {
    const { frontend, device } = rig;
    using set = await running(frontend);
    await frontend.stopQueue(0);
    await assert.rejects(step(rig), { fault: "request-refused" });
    assert.equal(device.warnings.at(-1), fault);
    if (fault !== "bad-ring" && fault !== "bad-value") {
      const base = 0;
      set.queue[Symbol.dispose]();
      using queue = await frontend.startQueue(set.ram, { base });
      assert.equal(await echo(queue, set.ram, "fine"), "fine");
    } else await frontend.ask("GET_FEATURES", {});
  });
}

const refusedWhileRunning: [what: string, fault: VhostUserFault, step: Step][] = [
  ["another size", "queue-running", tell("SET_VRING_NUM", { index: 0, num: 4 })],
  ["a base", "queue-running", tell("SET_VRING_BASE", { index: 0, num: 0 })],
  ["other addresses", "queue-running", addr({})],
  ["other features", "feature-in-use", tell("SET_FEATURES", { features: 0n })],
];
for (const [what, fault, step] of refusedWhileRunning) {
  rigTest(`VhostUserBackend refuses ${what} while a queue runs`, async (rig) => {
    const { frontend, device } = rig;
    using set = await running(frontend);
    await assert.rejects(step(rig), { fault: "request-refused" });
    assert.equal(device.warnings.at(-1), fault);
    assert.equal(await echo(set.queue, set.ram, "fine"), "fine");
  });
}

rigTest("what a queue has already may be said again while it runs", async ({ frontend }) => {
  using set = await running(frontend);
  await frontend.tell("SET_FEATURES", { features: frontend.features });
  await frontend.tell("SET_VRING_NUM", { index: 0, num: 8 });
  const user = (address: number) => BigInt(address - set.ram.guestAddress + set.ram.userAddress);
  await frontend.tell("SET_VRING_ADDR", {
    index: 0,
    flags: 0,
    descriptor: user(set.queue.areas.descriptorTable),
    available: user(set.queue.areas.availRing),
    used: user(set.queue.areas.usedRing),
    log: 0n,
  });
  assert.equal(await echo(set.queue, set.ram, "fine"), "fine");
});

rigTest("a queue does not start without memory, nor outside of it", async (rig) => {
  const { frontend, device, backend } = rig;
  await frontend.negotiate();
  await frontend.tell("SET_VRING_NUM", { index: 0, num: 8 });
  await addr({})(rig);
  using kick = Fd.from(eventfd(0, 0), "make an eventfd");
  await frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [kick.number]);
  const enable = () => frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 });
  await assert.rejects(enable, { fault: "request-refused" });
  assert.equal(device.warnings.at(-1), "no-memory-table");
  using elsewhere = new GuestRam({ size: 4096 });
  await frontend.setMemory([elsewhere]); // is taken: only the queue does not fit
  assert.equal(device.warnings.at(-1), "bad-ring");
  await assert.rejects(enable, { fault: "request-refused" });
  using right = new GuestRam({ size: MIB, guestAddress: 0x20_0000 });
  await frontend.setMemory([right]);
  assert.equal(backend.queues[0]?.isRunning, true);
});

rigTest("a kick descriptor that cannot be waited for is refused", async (rig) => {
  const { frontend, device } = rig;
  using _set = await running(frontend);
  using file = Fd.from(memfdCreate("no eventfd", MFD_CLOEXEC), "make a file");
  using zero = Fd.from(openat(AT_FDCWD, "/dev/zero", O_RDWR | O_CLOEXEC, 0), "open a device");
  for (const { number } of [file, zero]) {
    const kick = frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [number]);
    await assert.rejects(kick, { fault: "request-refused" });
    assert.equal(device.warnings.at(-1), "bad-fd");
  }
});

rigTest("descriptors nobody asked for are closed", async ({ frontend }) => {
  await frontend.negotiate();
  await frontend.ask("GET_FEATURES", {}, [1, 1, 1]);
  await frontend.tell("SET_OWNER", {}, [1]);
  await frontend.tell("SET_VRING_CALL", { index: 0, flags: VRING_NO_FD }, [1]);
  const ends = pipe();
  await frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, ends);
  ends.forEach(close);
});

/** Bytes that end the connection, and the fault that is named. */
const fatal: [what: string, fault: VhostUserFault, bytes: Uint8Array][] = [
  ["a message of version 0", "bad-version", encodeRaw(1, 0, 0)],
  ["a message of version 2", "bad-version", encodeRaw(1, 2, 0)],
  ["a reply", "bad-direction", encodeRaw(1, 5, 0)],
  ["a payload that is too short", "bad-size", encodeRaw(8, 1, 4)],
  ["a payload that is too long", "bad-size", encodeRaw(8, 1, 12)],
  ["a payload without bounds", "payload-too-large", encodeRaw(5, 1, 0).fill(255, 8)],
  [
    "a queue that does not exist",
    "bad-queue",
    encodeMessage("SET_VRING_NUM", "request", {
      index: 1,
      num: 8,
    }),
  ],
  ["a question about what was not offered", "feature-not-agreed", encodeRaw(31, 1, 20)],
  [
    "a stopped queue that does not exist",
    "bad-queue",
    encodeMessage("GET_VRING_BASE", "request", {
      index: 7,
      num: 0,
    }),
  ],
];
for (const [what, fault, bytes] of fatal) {
  rigTest(`VhostUserBackend ends the connection at ${what}`, async ({ frontend, device }) => {
    await frontend.sendRaw(bytes);
    assert.equal((await device.closed)?.fault, fault);
    assert.deepEqual(device.events, ["close"]);
  });
}

rigTest("requests that are not for us are ignored where no status is asked for", async (rig) => {
  const { frontend, device } = rig;
  await frontend.sendRaw(encodeRaw(99, 1, 16));
  await frontend.sendRaw(encodeMessage("SET_LOG_FD", "request", {}), [1]);
  await frontend.sendRaw(encodeMessage("SEND_RARP", "request", { mac: 1n }));
  await frontend.ask("GET_FEATURES", {});
  const faults = ["unknown-request", "feature-not-agreed", "feature-not-agreed"];
  assert.deepEqual(device.warnings, faults);
});

rigTest("an unknown request gets a status where one is asked for", async ({ frontend }) => {
  await frontend.negotiate();
  await frontend.sendRaw(encodeRaw(99, 1 | MESSAGE_FLAGS.NEED_REPLY, 0));
  using reply = await frontend.receive();
  assert.equal(reply.toString(), "request 99 reply 0x0100000000000000");
});

rigTest("a status is not sent unless REPLY_ACK was agreed on", async ({ frontend }) => {
  const flags = MESSAGE_FLAGS.NEED_REPLY;
  await frontend.sendRaw(encodeMessage("SET_OWNER", "request", {}, flags));
  assert.equal((await frontend.ask("GET_FEATURES", {})).features & 1n, 1n);
  // The very message that agrees on it gets one, as user-mode Linux expects.
  const features = 1n << 3n;
  await frontend.sendRaw(encodeMessage("SET_PROTOCOL_FEATURES", "request", { features }, flags));
  using reply = await frontend.receive();
  assert.equal(reply.toString(), "SET_PROTOCOL_FEATURES reply status=0x0");
});

rigTest("a front-end that reads no replies is not read from either", async (rig) => {
  const { frontend, device } = rig;
  const ask = encodeMessage("GET_CONFIG", "request", {
    offset: 0,
    flags: 0,
    payload: new Uint8Array(4084),
  });
  let sent = 0;
  const flood = (async () => {
    for (; sent < 400; sent++) await frontend.sendRaw(ask);
  })();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(sent < 400, "the flood is held up");
  using memory = MappedMemory.anonymous(65536);
  let left = 400 * (ask.length);
  while (left > 0) {
    const got = recv(frontend.fd, memory.address, 65536, MSG_DONTWAIT);
    if (got > 0) left -= got;
    else await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await flood;
  assert.deepEqual(device.events, []);
});

rigTest("a device that fails ends its connection", async ({ frontend, device }) => {
  using _set = await running(frontend);
  device.finish = () => Promise.reject(new Error("out of order"));
  await assert.rejects(frontend.stopQueue(0), { name: "VhostUserError" });
  const error = await device.closed;
  assert.equal(error?.fault, "device-failed");
  assert.equal(error?.message, "Cannot do GET_VRING_BASE: out of order");
  device.finish = undefined;
});

rigTest("close() ends the connection from our side", async ({ frontend, device, backend }) => {
  using set = await running(frontend);
  await Promise.all([backend.close(), backend.close()]);
  assert.deepEqual(device.events.slice(-2), ["stop 0", "close"]);
  using memory = MappedMemory.anonymous(4096);
  assert.equal(recv(frontend.fd, memory.address, 1, MSG_DONTWAIT), 0);
  set.queue.kick(); // into the void
});

rigTest("several queues run side by side", async ({ frontend, backend }) => {
  using ram = new GuestRam({ size: MIB });
  assert.equal((await frontend.negotiate()).queues, 3);
  await frontend.setMemory([ram]);
  using first = await frontend.startQueue(ram, { index: 0 });
  using last = await frontend.startQueue(ram, { index: 2 });
  assert.equal(await echo(first, ram, "first"), "first");
  assert.equal(await echo(last, ram, "last"), "last");
  assert.deepEqual(backend.queues.map(({ isRunning }) => isRunning), [true, false, true]);
}, { queues: 3 });

rigTest("onMessage() gets every message as a line", async ({ frontend, device }) => {
  const lines: string[] = [];
  Object.assign(device, { onMessage: (line: string) => lines.push(line) });
  await frontend.ask("GET_QUEUE_NUM", {});
  assert.deepEqual(lines, ["GET_QUEUE_NUM", "GET_QUEUE_NUM reply num=0x1"]);
});

/** What user-mode Linux sends: a table of fixed size, and a queue that is set up anew while disabled. */
rigTest("a queue is set up as user-mode Linux does, twice", async ({ frontend, backend }) => {
  await frontend.negotiate();
  using ram = new GuestRam({ size: MIB, guestAddress: 0x40_0000, userAddress: 0x40_0000 });
  await frontend.setMemory([ram]);
  for (const text of ["first", "second"]) {
    const table = encodeRaw(5, 1 | MESSAGE_FLAGS.NEED_REPLY, 8 + 2 * 32);
    const exact = encodeMessage("SET_MEM_TABLE", "request", { regions: [ram.region] });
    table.set(exact.subarray(12), 12);
    await frontend.sendRaw(table, [ram.fd]);
    using reply = await frontend.receive();
    assert.equal(reply.toString(), "SET_MEM_TABLE reply status=0x0");
    using queue = await frontend.startQueue(ram);
    assert.equal(await echo(queue, ram, text), text);
    await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 0 });
    assert.equal(backend.queues[0]?.isRunning, false);
  }
});
