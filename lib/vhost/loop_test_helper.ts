/** What the tests of this folder share: a loop, a device that echoes, and both ends of a socket. */

import assert from "node:assert/strict";
import {
  check,
  close,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epollCreate,
  epollCtl,
  EpollEvents,
  epollWaitAsync,
  eventfd,
  eventfdWrite,
  loadLibc,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socketpair,
} from "../linux/mod.ts";
import {
  type Chain,
  DeviceQueue,
  featureWord,
  Pieces,
  VIRTIO_9P_MOUNT_TAG,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  type Virtqueue,
} from "../virtio/mod.ts";
import { VhostUserBackend, type VhostUserBackendOptions, type VhostUserDevice } from "./backend.ts";
import type { VhostUserError } from "./errors.ts";
import { VhostUserFrontend } from "./frontend.ts";
import type { VhostQueue } from "./vring.ts";
import type { Watcher } from "./watcher.ts";

loadLibc();

/** A loop that leaves Deno's own running. */
export class TestLoop implements Watcher, AsyncDisposable {
  readonly #epoll = check(epollCreate(EPOLL_CLOEXEC), "make an epoll set");
  readonly #wake = check(eventfd(0, 0), "make an eventfd");
  readonly #watchers = new Map<number, (events: number) => void>();
  readonly #done: Promise<void>;
  #isStopped = false;

  /** Start. */
  constructor() {
    this.watch(this.#wake, 1, () => {});
    this.#done = this.#run();
  }

  /** As a reactor does. */
  watch(fd: number, events: number, run: (events: number) => void): void {
    check(epollCtl(this.#epoll, EPOLL_CTL_ADD, fd, events, fd), "watch a descriptor");
    this.#watchers.set(fd, run);
  }

  /** As a reactor does. */
  unwatch(fd: number): void {
    assert.ok(this.#watchers.delete(fd), "what is not watched cannot be unwatched");
    check(epollCtl(this.#epoll, EPOLL_CTL_DEL, fd, 0, fd), "unwatch a descriptor");
  }

  /** As a reactor does. */
  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  }

  /** How many descriptors are watched. */
  get count(): number {
    return this.#watchers.size - 1;
  }

  async #run(): Promise<void> {
    const events = new EpollEvents(16);
    while (!this.#isStopped) {
      const count = await epollWaitAsync(this.#epoll, events, -1);
      for (let index = 0; index < count; index++) {
        this.#watchers.get(events.data(index))?.(events.events(index));
      }
    }
  }

  /** Stop, and give the descriptors back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    eventfdWrite(this.#wake, 1);
    await this.#done;
    close(this.#epoll);
    close(this.#wake);
  }
}

/** What the device of the tests offers. */
export const FEATURES = featureWord(
  VIRTIO_9P_MOUNT_TAG,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
);

/** Writes what it reads; keeps notes of what it is told. */
export class EchoDevice implements VhostUserDevice<Pieces> {
  readonly features: bigint = FEATURES;
  readonly config: Uint8Array = new Uint8Array([4, 0, 104, 111, 115, 116]);
  /** Everything it was told, in order. */
  readonly events: string[] = [];
  /** Names of the faults that were warned of. */
  readonly warnings: string[] = [];
  /** Chains it keeps while `isHolding`. */
  readonly held: Chain<Pieces>[] = [];
  /** Whether chains are kept instead of answered. */
  isHolding = false;
  /** What stopping a queue waits for. */
  finish: (() => Promise<void>) | undefined;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<VhostUserError | undefined>;
  readonly #close: (error: VhostUserError | undefined) => void;

  /** Make one. */
  constructor() {
    const { promise, resolve } = Promise.withResolvers<VhostUserError | undefined>();
    this.closed = promise;
    this.#close = resolve;
  }

  newRing(): Virtqueue<Pieces> {
    return new DeviceQueue(() => new Pieces());
  }

  onQueueReady(queue: VhostQueue<Pieces>): void {
    this.events.push(`ready ${queue.index}`);
    this.onKick(queue);
  }

  onKick(queue: VhostQueue<Pieces>): void {
    const { ring } = queue;
    do {
      for (let chain = ring.next(); chain !== undefined; chain = ring.next()) {
        if (this.isHolding) this.held.push(chain);
        else this.answer(queue, chain);
      }
    } while (ring.enableKicks());
    if (ring.needsCall()) queue.call();
  }

  /** Copies what is readable to what is writable. */
  answer(queue: VhostQueue<Pieces>, chain: Chain<Pieces>): void {
    const bytes: number[] = [];
    const { readable, writable } = chain;
    for (let i = 0; i < readable.count; i++) {
      const start = readable.offsets[i] ?? 0;
      const end = start + (readable.lengths[i] ?? 0);
      bytes.push(...(readable.memories[i]?.bytes.subarray(start, end) ?? []));
    }
    const start = writable.offsets[0] ?? 0;
    const room = Math.min(bytes.length, writable.lengths[0] ?? 0);
    writable.memories[0]?.bytes.set(bytes.slice(0, room), start);
    queue.ring.add(chain, room);
  }

  onQueueStop(queue: VhostQueue<Pieces>): void | Promise<void> {
    this.events.push(`stop ${queue.index}`);
    return this.finish?.();
  }

  onMemoryChange(): void {
    this.events.push("memory");
  }

  onReset(): void {
    this.events.push("reset");
  }

  onWarning(warning: VhostUserError): void {
    this.warnings.push(warning.fault);
  }

  onClose(error: VhostUserError | undefined): void {
    this.events.push("close");
    this.#close(error);
  }
}

/** Both ends of a socket, in one loop. */
export interface Rig {
  /** The loop. */
  readonly loop: TestLoop;
  /** The device. */
  readonly device: EchoDevice;
  /** Its end. */
  readonly backend: VhostUserBackend<Pieces>;
  /** The other end. */
  readonly frontend: VhostUserFrontend;
}

/** Connected sockets, which the caller closes. */
export function sockets(): [number, number] {
  const pair = socketpair(SOCK_STREAM | SOCK_CLOEXEC);
  if (typeof pair === "number") throw new Error("Cannot make sockets");
  return pair;
}

/** How many descriptors this process has. */
export function openFds(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** How many mappings of guest memory this process has. */
export function mappings(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("memfd:guest").length - 1;
}

/** A test after which no more descriptors are open and no more memory is mapped than before. */
export function tightTest(name: string, body: () => void | Promise<void>): void {
  Deno.test(name, () => tight(body));
}

async function tight(body: () => void | Promise<void>): Promise<void> {
  const before = [openFds(), mappings()];
  const excess = (): number[] => [openFds(), mappings()].map((n, i) => n - (before[i] ?? 0));
  await body();
  // A worker that was told to end still has its own for a moment.
  for (let wait = 0; wait < 100 && excess().some((count) => count > 0); wait++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // Fewer are no fault: a worker of the test before may have ended meanwhile.
  const left = excess();
  assert.ok(left.every((count) => count <= 0), `${left} descriptors and mappings were left`);
}

/** Runs something with a back-end and a front-end; both have ended afterwards, nothing is left. */
export async function withRig(
  body: (rig: Rig) => void | Promise<void>,
  options: VhostUserBackendOptions = {},
): Promise<void> {
  await tight(async () => {
    const [near, far] = sockets();
    await using loop = new TestLoop();
    const device = new EchoDevice();
    const backend = new VhostUserBackend(near, loop, device, options);
    const frontend = new VhostUserFrontend(far, { watcher: loop, timeoutMs: 5000 });
    try {
      await body({ loop, device, backend, frontend });
    } finally {
      frontend[Symbol.dispose]();
      await device.closed;
      assert.equal(loop.count, 0, "something is still watched");
      assert.ok(backend.isClosed);
    }
  });
}

/** A test with a rig. */
export function rigTest(
  name: string,
  body: (rig: Rig) => void | Promise<void>,
  options: VhostUserBackendOptions = {},
): void {
  Deno.test(name, () => withRig(body, options));
}

/** Waits until something is the case, for a second at most. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let wait = 0; wait < 200 && !isSo(); wait++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(isSo(), `${what} did not come to be`);
}
