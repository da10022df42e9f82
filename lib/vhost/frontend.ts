/** The front-end: we play the virtual machine monitor, for clients, benchmarks, fuzzing and tests. */

import {
  AF_UNIX,
  check,
  connect,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLLIN,
  EPOLLOUT,
  eventfd,
  eventfdRead,
  eventfdWrite,
  Fd,
  POLLIN,
  POLLOUT,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
} from "../linux/mod.ts";
import {
  DriverQueue,
  endOfQueue,
  featureWord,
  GuestMemory,
  hasFeature,
  layOutQueue,
  type QueueAreas,
} from "../virtio/mod.ts";
import { type RawMessage, VhostUserConnection, waitForFd } from "./connection.ts";
import { VhostUserError } from "./errors.ts";
import type { GuestRam } from "./guest_ram.ts";
import {
  decodePayload,
  encodeMessage,
  MESSAGE_FLAGS,
  type ReplyPayload,
  type RequestPayload,
} from "./messages.ts";
import {
  F_PROTOCOL_FEATURES,
  MAX_PAYLOAD,
  PROTOCOL_FEATURES,
  protocolBit,
  type ProtocolFeature,
  type RequestName,
  requestName,
  requestRow,
  VRING_NO_FD,
} from "./requests.ts";
import type { Watcher } from "./watcher.ts";

/** What may be chosen about a front-end. */
export interface VhostUserFrontendOptions {
  /**
   * Waits without blocking the thread. Without it every wait is a blocking poll(2), which needs the
   * back-end to be in another thread or process.
   */
  readonly watcher?: Watcher;
  /** Longest wait for a reply, in milliseconds; 10,000 by default. */
  readonly timeoutMs?: number;
}

/** What both sides agreed on. */
export interface Agreement {
  /** Virtio features. */
  readonly features: bigint;
  /** Protocol features. */
  readonly protocolFeatures: bigint;
  /** How many queues the back-end has at most, or 0 if it does not say. */
  readonly queues: number;
  /** How many regions of memory it takes, or 0 if it does not say. */
  readonly memorySlots: number;
}

/** What may be chosen about an agreement. */
export interface NegotiateOptions {
  /** Virtio features that are accepted if offered; all by default. */
  readonly features?: bigint;
  /** Protocol features that are used if offered; all by default that this front-end knows. */
  readonly protocolFeatures?: readonly ProtocolFeature[];
}

const FRONTEND_PROTOCOL_FEATURES: readonly ProtocolFeature[] = [
  "MQ",
  "REPLY_ACK",
  "CONFIG",
  "RESET_DEVICE",
  "CONFIGURE_MEM_SLOTS",
  "STATUS",
];

/** What may be chosen about a queue. */
export interface FrontendQueueOptions {
  /** Number of the queue; 0 by default. */
  readonly index?: number;
  /** Descriptors; 128 by default. */
  readonly size?: number;
  /** Index that both rings start at; 0 by default. */
  readonly base?: number;
}

/** A queue that runs: the driver's ring and its two notifications. Owns their descriptors. */
export class FrontendQueue implements Disposable {
  /** Number of the queue. */
  readonly index: number;
  /** The driver's side of the ring. */
  readonly driver: DriverQueue;
  /** Where its parts are, in guest addresses. */
  readonly areas: QueueAreas;
  readonly #kick: Fd;
  readonly #call: Fd;
  readonly #watcher: Watcher | undefined;

  /** Put a queue together; {@linkcode VhostUserFrontend.startQueue} does. */
  constructor(index: number, driver: DriverQueue, areas: QueueAreas, watcher?: Watcher) {
    using kick = newEvent();
    this.index = index;
    this.driver = driver;
    this.areas = areas;
    this.#call = newEvent();
    this.#kick = new Fd(kick.take());
    this.#watcher = watcher;
  }

  /** What kicks are written to, borrowed. */
  get kickFd(): number {
    return this.#kick.number;
  }

  /** What calls are read from, borrowed. */
  get callFd(): number {
    return this.#call.number;
  }

  /** Notify the device. */
  kick(): void {
    eventfdWrite(this.#kick.number, 1);
  }

  /** Forget calls that have come. */
  takeCalls(): boolean {
    return eventfdRead(this.#call.number) > 0;
  }

  /**
   * Block the thread until the device calls.
   *
   * @returns False if the time is over.
   */
  waitCall(timeoutMs: number): boolean {
    return this.takeCalls() ||
      (waitForFd(this.#call.number, POLLIN, timeoutMs) && this.takeCalls());
  }

  /** As `waitCall`, in the front-end's watcher. */
  async waitCallAsync(timeoutMs: number): Promise<boolean> {
    if (this.takeCalls()) return true;
    if (this.#watcher === undefined) return this.waitCall(timeoutMs);
    return await watchOnce(this.#watcher, this.#call.number, EPOLLIN, timeoutMs) &&
      this.takeCalls();
  }

  /** Close the descriptors; the device has its own until it is told to stop. */
  [Symbol.dispose](): void {
    this.#kick[Symbol.dispose]();
    this.#call[Symbol.dispose]();
  }
}

/**
 * A front-end at one vhost-user socket. Owns the socket; memory and queues are their makers'.
 *
 * @example What a client does
 * ```ts ignore
 * using ram = new GuestRam({ size: 1 << 24 });
 * using frontend = VhostUserFrontend.connect("/run/device.sock");
 * await frontend.negotiate();
 * await frontend.setMemory([ram]);
 * using queue = await frontend.startQueue(ram);
 * queue.driver.add([{ address: request, length: 7 }], [{ address: answer, length: 64 }]);
 * queue.driver.publish();
 * if (queue.driver.needsKick()) queue.kick();
 * queue.waitCall(1000);
 * ```
 */
export class VhostUserFrontend implements Disposable {
  readonly #connection: VhostUserConnection;
  readonly #watcher: Watcher | undefined;
  readonly #timeoutMs: number;
  #features = 0n;
  #protocolFeatures = 0n;
  #memory = new GuestMemory([]);
  #rams: readonly GuestRam[] = [];

  /**
   * Own a connected socket.
   *
   * @param fd A unix stream socket, owned from here on.
   */
  constructor(fd: number, options: VhostUserFrontendOptions = {}) {
    this.#connection = new VhostUserConnection(fd);
    this.#watcher = options.watcher;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /**
   * Connect to a back-end.
   *
   * @param path Of its socket.
   * @throws {LinuxError} If nobody listens there.
   */
  static connect(path: string, options: VhostUserFrontendOptions = {}): VhostUserFrontend {
    using fd = Fd.from(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "make a socket");
    check(connect(fd.number, { family: "unix", path }), `connect to "${path}"`);
    return new VhostUserFrontend(fd.take(), options);
  }

  /** The socket, borrowed. */
  get fd(): number {
    return this.#connection.fd;
  }

  /** The guest's memory, as the back-end was told. */
  get memory(): GuestMemory {
    return this.#memory;
  }

  /** Virtio features agreed on. */
  get features(): bigint {
    return this.#features;
  }

  /** Whether a protocol feature was agreed on. */
  has(feature: ProtocolFeature): boolean {
    return (this.#protocolFeatures & protocolBit(feature)) !== 0n;
  }

  /**
   * Agree on features and begin the session.
   *
   * @throws {VhostUserError} If the back-end breaks a rule.
   */
  async negotiate(options: NegotiateOptions = {}): Promise<Agreement> {
    const offered = (await this.ask("GET_FEATURES", {})).features;
    const hasProtocol = hasFeature(offered, F_PROTOCOL_FEATURES);
    if (hasProtocol) {
      const wanted = (options.protocolFeatures ?? FRONTEND_PROTOCOL_FEATURES)
        .reduce((mask, feature) => mask | protocolBit(feature), 0n);
      const features = (await this.ask("GET_PROTOCOL_FEATURES", {})).features & wanted;
      await this.tell("SET_PROTOCOL_FEATURES", { features });
      this.#protocolFeatures = features;
    }
    const queues = this.has("MQ") ? Number((await this.ask("GET_QUEUE_NUM", {})).num) : 0;
    const memorySlots = this.has("CONFIGURE_MEM_SLOTS")
      ? Number((await this.ask("GET_MAX_MEM_SLOTS", {})).num)
      : 0;
    await this.tell("SET_OWNER", {});
    const protocol = hasProtocol ? featureWord(F_PROTOCOL_FEATURES) : 0n;
    const features = offered & ((options.features ?? offered) | protocol);
    await this.tell("SET_FEATURES", { features });
    this.#features = features;
    return { features, protocolFeatures: this.#protocolFeatures, queues, memorySlots };
  }

  /** Read `size` bytes of the configuration space. */
  async readConfig(offset: number, size: number): Promise<Uint8Array> {
    const payload = new Uint8Array(size);
    return (await this.ask("GET_CONFIG", { offset, flags: 0, payload })).payload;
  }

  /** Replace the guest's memory. */
  async setMemory(rams: readonly GuestRam[]): Promise<void> {
    const regions = rams.map((ram) => ram.region);
    await this.tell("SET_MEM_TABLE", { regions }, rams.map((ram) => ram.fd));
    this.#useMemory(rams);
  }

  /** Add to the guest's memory. */
  async addMemory(ram: GuestRam): Promise<void> {
    await this.tell("ADD_MEM_REG", ram.region, [ram.fd]);
    this.#useMemory([...this.#rams, ram]);
  }

  /** Take from the guest's memory. */
  async removeMemory(ram: GuestRam): Promise<void> {
    await this.tell("REM_MEM_REG", ram.region);
    this.#useMemory(this.#rams.filter((other) => other !== ram));
  }

  #useMemory(rams: readonly GuestRam[]): void {
    this.#rams = rams;
    this.#memory = new GuestMemory(rams);
  }

  /**
   * Lay a queue out in memory, and start it.
   *
   * @param ram Where its parts go.
   * @returns The queue, owned by the caller.
   */
  async startQueue(ram: GuestRam, options: FrontendQueueOptions = {}): Promise<FrontendQueue> {
    const { index = 0, size = 128, base = 0 } = options;
    const areas = layOutQueue(size, ram.reserve(endOfQueue(layOutQueue(size, 0)), 16));
    const features = this.#features;
    const driver = new DriverQueue({ memory: this.#memory, areas, features, startIndex: base });
    const queue = new FrontendQueue(index, driver, areas, this.#watcher);
    try {
      await this.setUpQueue(queue, ram, base);
    } catch (error) {
      queue[Symbol.dispose]();
      throw error;
    }
    return queue;
  }

  /** Tell the back-end all about a queue, which runs then; also after `stopQueue`. */
  async setUpQueue(queue: FrontendQueue, ram: GuestRam, base: number): Promise<void> {
    const { index, areas } = queue;
    const user = (address: number): bigint => BigInt(address - ram.guestAddress + ram.userAddress);
    await this.tell("SET_VRING_NUM", { index, num: areas.size });
    await this.tell("SET_VRING_BASE", { index, num: base });
    await this.tell("SET_VRING_ADDR", {
      index,
      flags: 0,
      descriptor: user(areas.descriptorTable),
      used: user(areas.usedRing),
      available: user(areas.availRing),
      log: 0n,
    });
    await this.tell("SET_VRING_CALL", { index, flags: 0 }, [queue.callFd]);
    await this.tell("SET_VRING_ERR", { index, flags: VRING_NO_FD });
    await this.tell("SET_VRING_KICK", { index, flags: 0 }, [queue.kickFd]);
    if (hasFeature(this.#features, F_PROTOCOL_FEATURES)) {
      await this.tell("SET_VRING_ENABLE", { index, num: 1 });
    }
  }

  /**
   * Stop a queue.
   *
   * @returns Next index of the available ring, to go on from.
   */
  async stopQueue(index: number): Promise<number> {
    return (await this.ask("GET_VRING_BASE", { index, num: 0 })).num;
  }

  /**
   * Send a request and take its reply.
   *
   * @param name One that has a reply of its own.
   * @throws {VhostUserError} "wrong-reply", "timed-out", or what is wrong with the connection.
   */
  async ask<Name extends RequestName>(
    name: Name,
    payload: RequestPayload<Name>,
    fds: readonly number[] = [],
  ): Promise<ReplyPayload<Name>> {
    await this.sendRaw(encodeMessage(name, "request", payload), fds);
    using reply = await this.receive();
    checkReply(reply, name);
    return decodePayload(name, "reply", reply.payload);
  }

  /**
   * Send a request that has no reply but a status, and wait for that if REPLY_ACK was agreed on.
   *
   * @throws {VhostUserError} "request-refused", or as `ask` does.
   */
  async tell<Name extends RequestName>(
    name: Name,
    payload: RequestPayload<Name>,
    fds: readonly number[] = [],
  ): Promise<void> {
    const isAsked = this.has("REPLY_ACK") && requestRow(name).reply === null;
    const flags = isAsked ? MESSAGE_FLAGS.NEED_REPLY : 0;
    await this.sendRaw(encodeMessage(name, "request", payload, flags), fds);
    if (!isAsked) return;
    using reply = await this.receive();
    checkReply(reply, name);
    const { status } = decodePayload("GET_STATUS", "reply", reply.payload);
    if (status === 0n) return;
    throw new VhostUserError(
      "request-refused",
      `Cannot do ${name}: the back-end refused it with status ${status}`,
      name,
    );
  }

  /**
   * Send any bytes, with any descriptors.
   *
   * @param bytes Borrowed until it resolves.
   * @param fds Borrowed; the peer gets duplicates.
   * @throws {VhostUserError} "timed-out", "connection-lost"
   */
  async sendRaw(bytes: Uint8Array, fds: readonly number[] = []): Promise<void> {
    let left = fds;
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
      // With room for a message, the descriptors are sure to go with its first byte.
      if (left.length > 0) await this.#wait("room");
      let isSent = this.#connection.trySend(bytes.subarray(at, at + MAX_PAYLOAD), left);
      left = [];
      while (!isSent) {
        await this.#wait("room");
        isSent = this.#connection.flush();
      }
    }
  }

  /**
   * Take the next message.
   *
   * @returns It, owned by the caller.
   * @throws {VhostUserError} "ended-early" if the back-end has ended the connection, "timed-out"
   */
  async receive(): Promise<RawMessage> {
    for (;;) {
      const message = this.#connection.tryReceive();
      if (message === "end") {
        throw new VhostUserError("ended-early", "Cannot read a reply: the back-end has left");
      }
      if (message !== "wait") return message;
      await this.#wait("input");
    }
  }

  /**
   * Take the next message if there is one.
   *
   * @returns It, owned by the caller; "wait" if there is none yet; "end" if the back-end has left.
   * @throws {VhostUserError} As {@linkcode VhostUserConnection.tryReceive} does.
   */
  tryReceive(): RawMessage | "wait" | "end" {
    return this.#connection.tryReceive();
  }

  async #wait(what: "input" | "room"): Promise<void> {
    const isInput = what === "input";
    const isReady = this.#watcher === undefined
      ? waitForFd(this.fd, isInput ? POLLIN : POLLOUT, this.#timeoutMs)
      : await watchOnce(this.#watcher, this.fd, isInput ? EPOLLIN : EPOLLOUT, this.#timeoutMs);
    if (isReady) return;
    throw new VhostUserError(
      "timed-out",
      `Cannot go on: the back-end was silent for ${this.#timeoutMs} ms`,
    );
  }

  /** End the connection. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

/** Names of the protocol features in a mask; bits without a name are left out. */
export function protocolFeatureNames(mask: bigint): ProtocolFeature[] {
  const names = Object.keys(PROTOCOL_FEATURES) as ProtocolFeature[];
  return names.filter((name) => (mask & protocolBit(name)) !== 0n);
}

function newEvent(): Fd {
  return Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
}

function checkReply(reply: RawMessage, name: RequestName): void {
  const flags = MESSAGE_FLAGS.VERSION | MESSAGE_FLAGS.REPLY;
  if (requestName(reply.request) === name && reply.flags === flags) return;
  throw new VhostUserError(
    "wrong-reply",
    `Cannot read the reply to ${name}: it is "${reply}"`,
    name,
  );
}

/** Resolves to whether one of the events came in time. */
function watchOnce(
  watcher: Watcher,
  fd: number,
  events: number,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isReady: boolean): void => {
      watcher.unwatch(fd);
      cancel?.();
      resolve(isReady);
    };
    const cancel = timeoutMs < 0 ? undefined : watcher.after?.(timeoutMs, () => end(false));
    watcher.watch(fd, events, () => end(true));
  });
}
