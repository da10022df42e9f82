/**
 * A hostile guest and a hostile virtual machine monitor: memory, a queue without any rule, and a
 * conversation in which anything can be said.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  eventfd,
  eventfdRead,
  eventfdWrite,
  Fd,
  loadLibc,
} from "../linux/mod.ts";
import {
  decode,
  encode,
  formatMessage,
  NOFID,
  NOTAG,
  type RMessage,
  type TMessage,
} from "../p9/mod.ts";
import { Reactor } from "../transport/mod.ts";
import { GuestRam, VhostUserFrontend } from "../vhost/mod.ts";
import {
  DESC_F_NEXT,
  DESC_F_WRITE,
  type Descriptor,
  GuestMemory,
  layOutQueue,
  type QueueAreas,
  RawQueue,
  type UsedEntry,
  usedRingSize,
} from "../virtio/mod.ts";
import type { Task } from "./ring_processor_worker.ts";

// A test must not load it within itself.
loadLibc();

/** Longest wait for anything that a sound device does, in milliseconds. */
export const PATIENCE_MS = 10_000;
/** Content of the file `data` of the export: byte n is n mod 251. */
export const DATA: Uint8Array = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);

/** Wait until something is the case; say what was not. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(performance.now() < end, `${what} did not come to be`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Guest address of the first region, in which the queue is. */
export const LOW = 0x4000_0000;
/** Bytes of the first region and of the one that touches it. */
export const REGION = 0x8_0000;
/** Guest address of the region that touches the first. */
export const MIDDLE: number = LOW + REGION;
/** Guest address of the hole between the regions. */
export const HOLE: number = MIDDLE + REGION;
/** Guest address of the region behind the hole. */
export const HIGH: number = HOLE + 0x10_0000;
/** Bytes of that. */
export const HIGH_SIZE = 0x1_0000;
/** Where requests are put. */
export const REQUEST: number = LOW + 0x1_0000;
/** Where indirect tables are put. */
export const TABLE: number = LOW + 0x3_0000;
/** Where replies are asked for. */
export const REPLY: number = LOW + 0x4_0000;
/** Bytes asked for by an ordinary request. */
export const ROOM = 0x1000;
/** Largest message agreed on. */
export const MSIZE = 0x1_0000;

/** A device did not answer, or left, where it was waited for. */
export class NoAnswer extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "NoAnswer";
}

/** A part of guest memory. */
export type Range = readonly [address: number, length: number];

/** A descriptor in few words. */
export function desc(address: number | bigint, length: number, flags = 0, next = 0): Descriptor {
  return { address: BigInt(address), length, flags, next };
}

/** Link descriptors to a chain from descriptor `first` on, all `readable` ones first. */
export function chainOf(
  readable: readonly Range[],
  writable: readonly Range[],
  first = 0,
): Descriptor[] {
  const all = [...readable, ...writable];
  return all.map(([address, length], i) => {
    const isLast = i === all.length - 1;
    const flags = (i >= readable.length ? DESC_F_WRITE : 0) | (isLast ? 0 : DESC_F_NEXT);
    return desc(address, length, flags, isLast ? 0 : first + i + 1);
  });
}

/** What may be chosen about a {@linkcode Machine}. */
export interface MachineOptions {
  /** Descriptors of the queue; 16 by default. */
  readonly size?: number;
  /** Virtio features to accept; all by default. */
  readonly features?: bigint;
  /** Index that both rings start at; 0 by default. */
  readonly base?: number;
  /** Whether the memory can be made smaller. */
  readonly isSealed?: boolean;
  /** Longest wait for anything that a sound device does, in milliseconds; 10,000 by default. */
  readonly patienceMs?: number;
}

/** A monitor at a device, which waits without blocking the thread. */
export class Monitor implements AsyncDisposable {
  /** Its end of the conversation. */
  readonly frontend: VhostUserFrontend;
  readonly #reactor = new Reactor();
  readonly #loop: Promise<void>;

  /** Connect to a device. */
  constructor(path: string, timeoutMs: number = PATIENCE_MS) {
    try {
      this.frontend = VhostUserFrontend.connect(path, { watcher: this.#reactor, timeoutMs });
    } catch (error) {
      this.#reactor[Symbol.dispose]();
      throw error;
    }
    this.#reactor.use({ needsEventLoop: true, hasPromises: true });
    this.#loop = this.#reactor.run();
  }

  /** Leave. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.frontend[Symbol.dispose]();
    this.#reactor.stop();
    await this.#loop;
    this.#reactor[Symbol.dispose]();
  }
}

/** A virtual machine at a device: monitor, memory, and a driver that keeps no rule. */
export class Machine implements AsyncDisposable {
  /** The regions: two that touch, and one behind a hole. */
  readonly rams: readonly [GuestRam, GuestRam, GuestRam];
  /** All memory. */
  readonly memory: GuestMemory;
  /** The queue. */
  readonly raw: RawQueue;
  /** Where the queue is. */
  readonly areas: QueueAreas;
  readonly #monitor: Monitor;
  readonly #kick = newEvent();
  readonly #call = newEvent();
  readonly #error = newEvent();
  readonly #patienceMs: number;
  #isGone = false;
  /** Index of the next entry of the used ring. */
  taken = 0;

  private constructor(
    monitor: Monitor,
    { size = 16, isSealed = true, patienceMs = PATIENCE_MS }: MachineOptions,
  ) {
    this.#monitor = monitor;
    this.#patienceMs = patienceMs;
    this.rams = [
      new GuestRam({ size: REGION, guestAddress: LOW, isSealed }),
      new GuestRam({ size: REGION, guestAddress: MIDDLE, isSealed }),
      new GuestRam({ size: HIGH_SIZE, guestAddress: HIGH, isSealed }),
    ];
    this.memory = new GuestMemory(this.rams);
    this.areas = layOutQueue(size, LOW);
    this.raw = new RawQueue(this.memory, this.areas);
  }

  /** The monitor's end of the conversation with the device. */
  get frontend(): VhostUserFrontend {
    return this.#monitor.frontend;
  }

  /** Connect, agree, share the memory; the queue is not set up. */
  static async plug(path: string, options: MachineOptions = {}): Promise<Machine> {
    const machine = new Machine(new Monitor(path, options.patienceMs), options);
    try {
      const { features } = options;
      await machine.frontend.negotiate(features === undefined ? {} : { features });
      await machine.frontend.setMemory(machine.rams);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** Connect, set the queue up, and attach fid 0. */
  static async boot(path: string, options: MachineOptions = {}): Promise<Machine> {
    const machine = await Machine.plug(path, options);
    try {
      await machine.setUp(options.base);
      await machine.attach();
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** Begin a conversation whose fid 0 is the root and fid 1 the open file `data`. */
  async attach(): Promise<void> {
    await this.expect(
      { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" },
      "Rversion",
    );
    const names = { uname: "", aname: "", n_uname: 0 };
    await this.expect({ kind: "Tattach", tag: 1, fid: 0, afid: NOFID, ...names }, "Rattach");
    await this.expect({ kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] }, "Rwalk");
    await this.expect({ kind: "Tlopen", tag: 1, fid: 1, flags: 2 }, "Rlopen");
  }

  /** Write empty rings, and tell the device where they are. */
  async setUp(base = 0): Promise<void> {
    this.clearRings(base);
    await this.resume(base);
  }

  /** Forget all of the queue. */
  clearRings(base: number): void {
    const { bytes } = this.rams[0];
    bytes.fill(0, 0, this.areas.usedRing - LOW + usedRingSize(this.areas.size));
    this.raw.availIndex = this.raw.usedIndex = this.taken = base;
    this.raw.usedEvent = base;
  }

  /** Tell the device where the queue is and that it runs. */
  async resume(base: number): Promise<void> {
    const { frontend } = this;
    const index = 0;
    await frontend.tell("SET_VRING_NUM", { index, num: this.areas.size });
    await frontend.tell("SET_VRING_BASE", { index, num: base });
    await frontend.tell("SET_VRING_ADDR", this.addresses());
    await frontend.tell("SET_VRING_CALL", { index, flags: 0 }, [this.#call.number]);
    await frontend.tell("SET_VRING_ERR", { index, flags: 0 }, [this.#error.number]);
    await frontend.tell("SET_VRING_KICK", { index, flags: 0 }, [this.#kick.number]);
    await frontend.tell("SET_VRING_ENABLE", { index, num: 1 });
  }

  /** Where the queue is, as SET_VRING_ADDR has it. */
  addresses(areas: QueueAreas = this.areas): {
    readonly index: number;
    readonly flags: number;
    readonly descriptor: bigint;
    readonly used: bigint;
    readonly available: bigint;
    readonly log: bigint;
  } {
    const [ram] = this.rams;
    const user = (address: number): bigint => BigInt(address - ram.guestAddress + ram.userAddress);
    return {
      index: 0,
      flags: 0,
      descriptor: user(areas.descriptorTable),
      used: user(areas.usedRing),
      available: user(areas.availRing),
      log: 0n,
    };
  }

  /** Stop the queue; returns the index to go on from. */
  async stop(): Promise<number> {
    return await this.frontend.stopQueue(0);
  }

  /** What kicks are written to, borrowed. */
  get kickFd(): number {
    return this.#kick.number;
  }

  /** What calls are read from, borrowed. */
  get callFd(): number {
    return this.#call.number;
  }

  /** Write descriptors, from `first` on or into a table elsewhere. */
  describe(descriptors: readonly Descriptor[], first = 0, table?: number): void {
    for (const [i, each] of descriptors.entries()) this.raw.setDescriptor(first + i, each, table);
  }

  /** Notify the device, by any number. */
  kick(value = 1): void {
    eventfdWrite(this.#kick.number, value);
  }

  /** Whether the device has called since this was last asked. */
  takeCalls(): boolean {
    return eventfdRead(this.#call.number) > 0;
  }

  /** Whether the device has said that the queue is broken since this was last asked. */
  takeErrors(): boolean {
    return eventfdRead(this.#error.number) > 0;
  }

  /** Put bytes in guest memory. */
  put(address: number, bytes: Uint8Array): void {
    assert.ok(this.memory.write(address, bytes), "there is memory");
  }

  /** Bytes of guest memory. */
  get(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    assert.ok(this.memory.read(address, bytes), "there is memory");
    return bytes;
  }

  /** Put a request in memory; returns where. */
  putRequest(message: TMessage, address: number = REQUEST): Range {
    const frame = encode(message, "9P2000.L");
    this.put(address, frame);
    return [address, frame.length];
  }

  /** Wait for so many entries of the used ring more. */
  async used(count = 1): Promise<UsedEntry[]> {
    const { raw, areas } = this;
    const there = (): number => raw.usedIndex - this.taken & 0xffff;
    await this.#untilRing(() => there() >= count || this.#hasLeft());
    if (there() < count) throw new NoAnswer("the device has left");
    assert.ok(there() <= areas.size, `${there()} chains were used at once`);
    return Array.from({ length: count }, () => {
      const entry = raw.usedEntry(this.taken & areas.size - 1);
      this.taken = this.taken + 1 & 0xffff;
      assert.ok(entry.id < areas.size, `head ${entry.id} is in the table`);
      return entry;
    });
  }

  /**
   * Wait until so many chains more are used, the device says that the queue is broken, or it has
   * been quiet for so long.
   *
   * @returns Whether the queue is broken.
   * @throws {NoAnswer} If the device has left.
   */
  async quiet(wanted: number, quietMs: number): Promise<boolean> {
    const { raw } = this;
    let last = raw.usedIndex;
    let since = performance.now();
    for (let i = 0;; i++) {
      if (this.takeErrors()) return true;
      if (this.#hasLeft()) throw new NoAnswer("the device has left");
      const now = raw.usedIndex;
      if ((now - this.taken & 0xffff) >= wanted) return false;
      if (now !== last) {
        last = now;
        since = performance.now();
      } else if (performance.now() - since > quietMs) return false;
      if (i > 100) await new Promise((resolve) => setTimeout(resolve, i > 200 ? 2 : 0));
    }
  }

  /** Wait until the device says that the queue is broken; it uses nothing more of it. */
  async broken(): Promise<void> {
    const more = (): number => this.raw.usedIndex - this.taken & 0xffff;
    await this.#untilRing(() => this.takeErrors() || more() > 0);
    assert.equal(more(), 0, `${more()} chains were used of a queue that nobody can believe`);
  }

  /** First a few looks without sleeping: a request takes microseconds. */
  async #untilRing(isSo: () => boolean): Promise<void> {
    const end = performance.now() + this.#patienceMs;
    for (let i = 0; !isSo(); i++) {
      if (performance.now() > end) throw new NoAnswer("the device did not answer in time");
      if (i > 200) await new Promise((resolve) => setTimeout(resolve, i > 400 ? 2 : 0));
    }
  }

  #hasLeft(): boolean {
    const message = this.frontend.tryReceive();
    if (message === "wait") return false;
    assert.equal(message, "end", "a message that nobody asked for");
    return true;
  }

  /** Offer what the descriptors at 0 describe, and take its answer: empty if length 0 was used. */
  async send(readable: readonly Range[], writable: readonly Range[]): Promise<Uint8Array> {
    this.describe(chainOf(readable, writable));
    this.raw.offer(0);
    this.kick();
    const [entry] = await this.used();
    assert.ok(entry !== undefined);
    assert.equal(entry.id, 0);
    const room = writable.reduce((sum, [, length]) => sum + length, 0);
    assert.ok(entry.length <= room, `${entry.length} bytes were used of ${room}`);
    const reply = Buffer.concat(writable.map(([address, length]) => this.get(address, length)));
    return reply.subarray(0, entry.length);
  }

  /** Send a message in one buffer and take its answer in another. */
  async say(message: TMessage, at: number = REQUEST): Promise<RMessage> {
    return this.decode(await this.send([this.putRequest(message, at)], [[REPLY, ROOM]]));
  }

  /** A reply's message. */
  decode(reply: Uint8Array): RMessage {
    assert.ok(reply.length > 0, "the request came back without an answer");
    return decode(reply.slice(), "9P2000.L") as RMessage;
  }

  /** Send a message whose answer is of a kind. */
  async expect(message: TMessage, kind: RMessage["kind"]): Promise<RMessage> {
    const reply = await this.say(message);
    assert.equal(reply.kind, kind, `${formatMessage(message)}: ${formatMessage(reply)}`);
    return reply;
  }

  /** Check that the device answers a good request, and that its fids are there still. */
  async assertAlive(): Promise<void> {
    const getattr = { kind: "Tgetattr", tag: 2, request_mask: 0x7ffn } as const;
    await this.expect({ ...getattr, fid: 0 }, "Rgetattr");
    const reply = await this.expect({ ...getattr, fid: 1 }, "Rgetattr");
    assert.ok(reply.kind === "Rgetattr" && reply.size === BigInt(DATA.length));
  }

  /** A copy of all memory. */
  snapshot(): Uint8Array[] {
    return this.rams.map(({ bytes }) => bytes.slice());
  }

  /** Check that nothing changed since but these ranges and the used ring. */
  assertUntouched(before: readonly Uint8Array[], ...except: readonly Range[]): void {
    const used: Range = [this.areas.usedRing, usedRingSize(this.areas.size)];
    for (const [i, ram] of this.rams.entries()) {
      const was = Buffer.from(before[i] ?? []);
      for (const [address, length] of [used, ...except]) {
        const from = Math.max(0, address - ram.guestAddress);
        const to = Math.min(ram.size, address + length - ram.guestAddress);
        if (from < to) was.set(ram.bytes.subarray(from, to), from);
      }
      if (was.equals(ram.bytes)) continue;
      const at = was.findIndex((byte, index) => byte !== ram.bytes[index]);
      assert.fail(`guest address 0x${(ram.guestAddress + at).toString(16)} was written to`);
    }
  }

  /** Pull the plug; again does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    await this.#monitor[Symbol.asyncDispose]();
    for (const ram of this.rams) ram[Symbol.dispose]();
    for (const fd of [this.#kick, this.#call, this.#error]) fd[Symbol.dispose]();
  }
}

function newEvent(): Fd {
  return Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
}

/**
 * Run a task on a second processor while something is done.
 *
 * @param body Is run as soon as the task runs.
 * @returns How many rounds the task made.
 */
export async function meanwhile(
  task: DistributiveOmit<Task, "stop">,
  body: () => Promise<void>,
): Promise<number> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./ring_processor_worker.ts", import.meta.url), {
    type: "module",
  });
  const running = Promise.withResolvers<void>();
  const done = Promise.withResolvers<number>();
  worker.onmessage = ({ data }: MessageEvent<"running" | number>) => {
    if (data === "running") running.resolve();
    else done.resolve(data);
  };
  worker.postMessage({ ...task, stop });
  await running.promise;
  try {
    await body();
  } finally {
    Atomics.store(stop, 0, 1);
    await done.promise;
    worker.terminate();
  }
  return await done.promise;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
