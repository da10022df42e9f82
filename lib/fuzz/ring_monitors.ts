/**
 * Monitors that say what they should not: vhost-user messages in wrong order, with wrong numbers and
 * wrong descriptors.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  encodeMessage,
  encodeRaw,
  GuestRam,
  MESSAGE_FLAGS,
  REQUEST_NAMES,
  requestRow,
  VhostUserError,
  type VhostUserFrontend,
} from "../vhost/mod.ts";
import {
  AF_UNIX,
  AT_FDCWD,
  check,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EPOLL_CLOEXEC,
  epollCreate,
  eventfd,
  Fd,
  ftruncate,
  memfdCreate,
  MFD_CLOEXEC,
  O_CLOEXEC,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  openat,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
  socketpair,
} from "../linux/mod.ts";

/** Descriptors of every kind that a monitor may send by mistake or with intent. */
export class Oddities implements Disposable {
  readonly #owned: Fd[] = [];
  /** Each by what it is. */
  readonly all: Readonly<Record<string, number>>;

  constructor(folder: string) {
    const own = (fd: number): number => {
      this.#owned.push(Fd.from(fd, "open an oddity"));
      return fd;
    };
    const open = (path: string, flags: number): number =>
      own(openat(AT_FDCWD, path, flags | O_CLOEXEC, 0));
    const file = `${folder}/odd`;
    Deno.writeFileSync(file, new Uint8Array(4096));
    const pair = socketpair(SOCK_STREAM | SOCK_CLOEXEC);
    assert.ok(typeof pair !== "number");
    new Fd(pair[1])[Symbol.dispose]();
    const huge = own(memfdCreate("huge", MFD_CLOEXEC));
    check(ftruncate(huge, 2n ** 52n), "make a huge file");
    this.all = {
      "a regular file": open(file, O_RDWR),
      "a file that is read only": open(file, O_RDONLY),
      "a folder": open(folder, O_RDONLY),
      "/dev/zero": open("/dev/zero", O_RDWR),
      "/dev/null": open("/dev/null", O_RDWR),
      "a socket whose other end is closed": own(pair[0]),
      "a socket that is not connected": own(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)),
      "an eventfd": own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      "an eventfd that is ready for ever": own(eventfd(0x7fff_ffff, EFD_CLOEXEC | EFD_SEMAPHORE)),
      "an epoll set": own(epollCreate(EPOLL_CLOEXEC)),
      "a path": open("/", O_PATH),
      "a sparse file of 4 PiB": huge,
    };
  }

  [Symbol.dispose](): void {
    for (const fd of this.#owned) fd[Symbol.dispose]();
  }
}

/** What a monitor does to a device that nobody serves yet; refusals and hang-ups are no surprise. */
export type Mischief = (monitor: VhostUserFrontend, odd: Oddities) => Promise<void>;

/** Sends bytes and takes what comes back, until the device has nothing to say or hangs up. */
export async function provoke(
  monitor: VhostUserFrontend,
  bytes: Uint8Array,
  fds: readonly number[] = [],
): Promise<void> {
  await monitor.sendRaw(bytes, fds);
  for (let message = monitor.tryReceive(); message !== "wait"; message = monitor.tryReceive()) {
    if (message === "end") throw new VhostUserError("ended-early", "the device has hung up");
    message[Symbol.dispose]();
  }
}

/** A seeded source of numbers below a bound. */
export function numbers(seed: number): (bound: number) => number {
  let state = seed >>> 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % bound;
  };
}

export const NEED_REPLY = MESSAGE_FLAGS.VERSION | MESSAGE_FLAGS.NEED_REPLY;

/** Whether an attempt was refused or ended the connection. */
export async function isDenied(attempt: Promise<unknown>): Promise<boolean> {
  try {
    await attempt;
    return false;
  } catch (error) {
    if (error instanceof VhostUserError && error.fault !== "timed-out") return true;
    throw error;
  }
}

export const region = (values: Partial<GuestRam["region"]> = {}): GuestRam["region"] => ({
  guest_addr: 0x1000_0000n,
  size: 0x1000n,
  user_addr: 0x7000_0000n,
  mmap_offset: 0n,
  ...values,
});

/** Bytes of a good message. */
const ask = (name: "GET_FEATURES" | "GET_PROTOCOL_FEATURES"): Uint8Array =>
  encodeMessage(name, "request", {});

/**
 * Good messages, in pieces that are odd: after each piece so many replies come. A device that takes
 * these amiss is wrong.
 */
function goodIn(...pieces: readonly (readonly [Uint8Array, replies: number])[]): Mischief {
  return async (monitor) => {
    try {
      for (const [bytes, replies] of pieces) {
        await monitor.sendRaw(bytes);
        for (let i = 0; i < replies; i++) {
          using reply = await monitor.receive();
          assert.equal(reply.flags, MESSAGE_FLAGS.VERSION | MESSAGE_FLAGS.REPLY);
        }
      }
    } catch (error) {
      if (!(error instanceof VhostUserError)) throw error;
      assert.fail(`good messages were not answered: ${error.message}`);
    }
  };
}

const BASE = encodeMessage("GET_VRING_BASE", "request", { index: 0, num: 0 });
const THREE = Buffer.concat([ask("GET_FEATURES"), BASE, ask("GET_FEATURES")]);

export const MISCHIEF: Readonly<Record<string, Mischief>> = {
  "says three things at once": goodIn([THREE, 3]),
  "stops amid a thing and goes on with the next": goodIn(
    [THREE.subarray(0, 5), 0],
    [THREE.subarray(5, 12 + 12 + 3), 1],
    [THREE.subarray(12 + 12 + 3, -1), 1],
    [THREE.subarray(-1), 1],
  ),
  "leaves at once": () => Promise.resolve(),
  "sends half a header": (monitor) => provoke(monitor, encodeRaw(1, 1, 0).subarray(0, 5)),
  "sends half a payload": (monitor) => provoke(monitor, encodeRaw(8, 1, 8).subarray(0, 15)),
  "says a size of 4 GiB": (monitor) => {
    const bytes = encodeRaw(1, 1, 0);
    new DataView(bytes.buffer).setUint32(8, 0xffff_ffff, true);
    return provoke(monitor, bytes);
  },
  "says a byte more than may be": (monitor) => provoke(monitor, encodeRaw(1, 1, 4097)),
  "sends every request without content": async (monitor) => {
    await monitor.negotiate();
    for (let request = 0; request < 50; request++) {
      if (request === 11) continue; // the reply to a good one is no mischief
      if (await isDenied(provoke(monitor, encodeRaw(request, NEED_REPLY, 0)))) return;
    }
  },
  "sends a reply": (monitor) => provoke(monitor, encodeRaw(1, 5, 8)),
  "speaks version 2": (monitor) => provoke(monitor, encodeRaw(1, 2, 0)),
  "sends descriptors with everything": async (monitor, odd) => {
    for (let i = 0; i < 20; i++) {
      await provoke(monitor, encodeRaw(1, 1, 0), Object.values(odd.all).slice(0, 8));
    }
  },
  "sends more descriptors than may be": (monitor, odd) =>
    provoke(monitor, encodeRaw(1, 1, 0), Object.values(odd.all).slice(0, 9)),
  "sends two hundred descriptors": (monitor, odd) => {
    const [one = -1] = Object.values(odd.all);
    return provoke(monitor, encodeRaw(1, 1, 0), new Array<number>(200).fill(one));
  },
  "sends a descriptor with every byte": async (monitor, odd) => {
    const bytes = encodeRaw(1, 1, 0);
    for (const byte of bytes) {
      await provoke(monitor, Uint8Array.of(byte), [Object.values(odd.all)[0] ?? -1]);
    }
  },
  "starts a queue before anything else": async (monitor, odd) => {
    const fd = odd.all["an eventfd"] ?? -1;
    const state = { index: 0, num: 16 };
    await provoke(monitor, encodeMessage("SET_VRING_NUM", "request", state));
    const zero = { index: 0, flags: 0, descriptor: 0n, used: 0n, available: 0n, log: 0n };
    await provoke(monitor, encodeMessage("SET_VRING_ADDR", "request", zero));
    const kick = { index: 0, flags: 0 };
    await provoke(monitor, encodeMessage("SET_VRING_KICK", "request", kick), [fd]);
    await provoke(monitor, encodeMessage("SET_VRING_ENABLE", "request", { index: 0, num: 1 }));
  },
  "removes memory that was never there": async (monitor) => {
    await monitor.negotiate();
    assert.ok(await isDenied(monitor.tell("REM_MEM_REG", region())));
    assert.equal((await monitor.ask("GET_VRING_BASE", { index: 0, num: 9 })).num, 0);
    assert.ok(await isDenied(monitor.ask("GET_VRING_BASE", { index: 9, num: 0 })));
  },
  "says wrong things about memory": async (monitor) => {
    await monitor.negotiate();
    using ram = new GuestRam({ size: 0x2000 });
    const wrong: Partial<GuestRam["region"]>[] = [
      { size: 0n },
      { size: 1n << 40n },
      { size: 0xffff_ffff_ffff_f000n },
      { size: 0x3000n },
      { mmap_offset: 0x2000n },
      { mmap_offset: 0x800n },
      { mmap_offset: 0xffff_ffff_ffff_f000n },
      { guest_addr: 0x800n },
      { guest_addr: 0xffff_ffff_ffff_f000n },
      { guest_addr: 1n << 53n },
      { user_addr: 0x7000_0001n },
      { user_addr: 0xffff_ffff_ffff_f000n },
    ];
    for (const values of wrong) {
      assert.ok(await isDenied(monitor.tell("ADD_MEM_REG", region(values), [ram.fd])));
    }
    const overlapping = [region(), region({ user_addr: 0x8000_0000n })];
    const tell = monitor.tell("SET_MEM_TABLE", { regions: overlapping }, [ram.fd, ram.fd]);
    assert.ok(await isDenied(tell));
    for (const fds of [[], [ram.fd], [ram.fd, ram.fd, ram.fd]]) {
      const regions = [region(), region({ guest_addr: 0n, user_addr: 0n })];
      assert.ok(await isDenied(monitor.tell("SET_MEM_TABLE", { regions }, fds)));
    }
    await monitor.tell("SET_MEM_TABLE", { regions: [] });
    await monitor.tell("ADD_MEM_REG", region(), [ram.fd]);
  },
  "adds more regions than there are slots": async (monitor) => {
    const { memorySlots } = await monitor.negotiate();
    using ram = new GuestRam({ size: 0x1000 });
    for (let i = 0; i <= memorySlots; i++) {
      const at = BigInt(i) * 0x1000n;
      const add = monitor.tell("ADD_MEM_REG", region({ guest_addr: at, user_addr: at }), [ram.fd]);
      assert.equal(await isDenied(add), i === memorySlots, `region ${i} of ${memorySlots}`);
    }
  },
  "asks a thousand times": async (monitor) => {
    for (let i = 0; i < 1000; i++) await monitor.ask("GET_FEATURES", {});
  },
  "asks and does not listen": async (monitor) => {
    for (let i = 0; i < 100; i++) await monitor.sendRaw(encodeRaw(1, 1, 0));
  },
  "floods with what is unknown": async (monitor) => {
    for (let i = 0; i < 1000; i++) await provoke(monitor, encodeRaw(1000 + i, 1, 100));
  },
};

/** Sends messages that the table of requests knows, with numbers and descriptors at random. */
export async function babble(
  monitor: VhostUserFrontend,
  odd: Oddities,
  seed: number,
): Promise<void> {
  const fds = Object.values(odd.all);
  const next = numbers(seed);
  await monitor.negotiate();
  for (let i = 0; i < 50; i++) {
    const name = REQUEST_NAMES[next(REQUEST_NAMES.length)] ?? "SET_OWNER";
    const payload = encodeRaw(requestRow(name).number, NEED_REPLY, next(8) * 8);
    for (let at = 12; at < payload.length; at += 4) payload[at] = next(3);
    const count = next(3) === 0 ? next(4) : 0;
    const some = Array.from({ length: count }, () => fds[next(fds.length)] ?? 0);
    await provoke(monitor, payload, some);
  }
}

/** Monitors of each kind, one after the other. */
export const MISCHIEF_ROUNDS = 5;
/** Kinds that can be waited for. */
export const WAITABLE: ReadonlySet<string> = new Set([
  "a socket whose other end is closed",
  "a socket that is not connected",
  "an eventfd",
  "an eventfd that is ready for ever",
  "an epoll set",
]);
