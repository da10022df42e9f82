/** The back-end: our device, at one connection of a front-end. */

import {
  EAGAIN,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  Fd,
  LinuxError,
  pathOf,
  read,
  S_IFMT,
  S_IFREG,
  scratch,
  Statx,
  statx,
  STATX_BASIC_STATS,
} from "../linux/mod.ts";
import {
  areasFault,
  featureWord,
  type GuestMemory,
  hasFeature,
  type PieceList,
  readConfig,
  RingError,
  type Virtqueue,
} from "../virtio/mod.ts";
import { type RawMessage, VhostUserConnection } from "./connection.ts";
import { VhostUserError, type VhostUserFault } from "./errors.ts";
import {
  decodePayload,
  encodeMessage,
  encodeRaw,
  formatMessage,
  HEADER_SIZE,
  MESSAGE_FLAGS,
  type RegionPayload,
} from "./messages.ts";
import { checkOverlaps, guestMemoryOf, type GuestRegion, MappedRegion } from "./regions.ts";
import {
  F_PROTOCOL_FEATURES,
  MAX_REGIONS,
  protocolBit,
  type ProtocolFeature,
  type RequestName,
  requestName,
  requestRow,
  VRING_NO_FD,
} from "./requests.ts";
import { type VhostQueue, Vring } from "./vring.ts";
import type { Watcher } from "./watcher.ts";

/** What this back-end can do beyond the original protocol. */
export const BACKEND_PROTOCOL_FEATURES: readonly ProtocolFeature[] = [
  "MQ",
  "REPLY_ACK",
  "CONFIG",
  "RESET_DEVICE",
  "CONFIGURE_MEM_SLOTS",
  "STATUS",
];

/**
 * What a device brings along, and is told.
 *
 * None of this ends a session of 9P: queues stop, memory moves and the device is reset whenever the
 * virtual machine pauses. Only a closed connection, or the client, ends a session.
 */
export interface VhostUserDevice<P extends PieceList> {
  /** Virtio features on offer. */
  readonly features: bigint;
  /** The configuration space, borrowed; behind its end are zeros. */
  readonly config: Uint8Array;
  /** Make the ring of a queue, not set up. Is called once for each queue. */
  newRing(index: number): Virtqueue<P>;
  /** A queue runs from now on. Take what is there: earlier kicks are lost. */
  onQueueReady(queue: VhostQueue<P>): void;
  /** The driver has kicked a queue that runs. */
  onKick(queue: VhostQueue<P>): void;
  /**
   * Take no more chains of a queue, and finish those that were taken: give them back, and call. What
   * cannot be finished soon, a lock that is waited for say, must be answered somehow, since the
   * virtual machine stands still meanwhile.
   *
   * @returns Settles when nothing uses the memory of chains any more, also if it rejects.
   */
  onQueueStop(queue: VhostQueue<P>): void | Promise<void>;
  /** Guest memory is another one. No queue runs, and nothing of the old one may be used any more. */
  onMemoryChange?(memory: GuestMemory): void;
  /** The front-end has reset the device: no queue runs. */
  onReset?(): void;
  /** The connection has ended, everything is released. Without an error the peer has left. */
  onClose?(error: VhostUserError | undefined): void;
  /** Something was refused, or is unsafe; things go on. */
  onWarning?(warning: VhostUserError): void;
  /** A message came or went, as a line of text. */
  onMessage?(line: string): void;
}

/** What may be chosen. */
export interface VhostUserBackendOptions {
  /** Number of queues; 1 by default. */
  readonly queues?: number;
  /** Largest size of a queue; 1024 by default. */
  readonly maxQueueSize?: number;
  /** How often to look at a queue that has no kick descriptor, in milliseconds; 1 by default. */
  readonly pollIntervalMs?: number;
}

/** Bytes of a reply's payload, nothing for "done", or either later. */
type Answer = Uint8Array<ArrayBuffer> | undefined;
type Later<T> = T | Promise<T>;

/** Messages handled before others get their turn. */
const BATCH = 16;

/** What can be left undone without harm if there is no way to say so. */
const HARMLESS: ReadonlySet<VhostUserFault> = new Set<VhostUserFault>([
  "unknown-request",
  "unsupported-request",
  "feature-not-agreed",
  "config-read-only",
]);

const VRING_F_LOG = 1;

/**
 * A device at one vhost-user socket.
 *
 * It owns the socket, the guest's memory and all descriptors that come. A message that breaks a rule
 * is refused with a status where the front-end asked for one; where it did not, the connection ends,
 * as both sides would go on with different ideas of the device.
 *
 * Messages are handled one after the other. While the device finishes its chains, none is read.
 */
export class VhostUserBackend<P extends PieceList> {
  readonly #connection: VhostUserConnection;
  readonly #watcher: Watcher;
  readonly #device: VhostUserDevice<P>;
  readonly #vrings: readonly Vring<P>[];
  readonly #maxQueueSize: number;
  readonly #pollIntervalMs: number;
  readonly #offered: bigint;
  readonly #protocolOffered: bigint;
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0n;
  #regions: readonly MappedRegion[] = [];
  #memory: GuestMemory = guestMemoryOf([]);
  /** What the socket is watched for: `EPOLLIN`, `EPOLLOUT` or nothing. */
  #watched = 0;
  /** A request that takes its time. */
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #isClosed = false;

  /**
   * Serve a front-end from now on.
   *
   * @param fd A connected unix stream socket, owned from here on.
   * @param watcher Calls back when something comes; borrowed until `onClose`.
   * @throws {LinuxError} If the socket cannot be watched.
   */
  constructor(
    fd: number,
    watcher: Watcher,
    device: VhostUserDevice<P>,
    options: VhostUserBackendOptions = {},
  ) {
    this.#watcher = watcher;
    this.#device = device;
    this.#maxQueueSize = options.maxQueueSize ?? 1024;
    this.#pollIntervalMs = options.pollIntervalMs ?? 1;
    this.#offered = device.features | featureWord(F_PROTOCOL_FEATURES);
    this.#protocolOffered = BACKEND_PROTOCOL_FEATURES.reduce(
      (mask, feature) => mask | protocolBit(feature),
      0n,
    );
    this.#connection = new VhostUserConnection(fd);
    try {
      this.#vrings = Array.from(
        { length: options.queues ?? 1 },
        (_, index) => new Vring(index, device.newRing(index)),
      );
      this.#watch(EPOLLIN);
    } catch (error) {
      this.#connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Virtio features that driver and device agreed on so far. */
  get features(): bigint {
    return this.#features;
  }

  /** Protocol features that both sides agreed on so far. */
  get protocolFeatures(): bigint {
    return this.#protocolFeatures;
  }

  /** The guest's memory as it is now. */
  get memory(): GuestMemory {
    return this.#memory;
  }

  /** The regions of memory, each with its seal. */
  get regions(): readonly GuestRegion[] {
    return this.#regions;
  }

  /** The queues, running or not. */
  get queues(): readonly VhostQueue<P>[] {
    return this.#vrings;
  }

  /** Whether everything is released. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** For a reactor: whether a promise of the device's is outstanding. */
  get hasPromises(): boolean {
    return this.#running !== undefined || (this.#closing !== undefined && !this.#isClosed);
  }

  /** For a reactor: the same, as it may take any number of turns to settle one. */
  get needsEventLoop(): boolean {
    return this.hasPromises;
  }

  /**
   * End the connection: finish chains in flight, then release everything.
   *
   * @param error Why, for `onClose`; undefined if nothing is wrong.
   * @returns Resolves when it is done, and never rejects.
   */
  close(error?: VhostUserError): Promise<void> {
    this.#closing ??= this.#close(error);
    return this.#closing;
  }

  async #close(error: VhostUserError | undefined): Promise<void> {
    this.#watch(0);
    if (this.#running !== undefined) await this.#running;
    const stopping = this.#stopQueues();
    if (stopping !== undefined) {
      try {
        await stopping;
      } catch (cause) {
        this.#warn(deviceFailed(cause, undefined));
      }
    }
    for (const vring of this.#vrings) vring[Symbol.dispose]();
    for (const region of this.#regions) region[Symbol.dispose]();
    this.#regions = [];
    this.#memory = guestMemoryOf([]);
    this.#connection[Symbol.dispose]();
    this.#isClosed = true;
    this.#device.onClose?.(error);
  }

  #warn(warning: VhostUserError): void {
    this.#device.onWarning?.(warning);
  }

  // Messages

  #watch(events: number): void {
    if (events === this.#watched) return;
    if (this.#watched !== 0) this.#watcher.unwatch(this.#connection.fd);
    this.#watched = 0;
    if (events === 0) return;
    this.#watcher.watch(this.#connection.fd, events, () => this.#onSocket());
    this.#watched = events;
  }

  #onSocket(): void {
    try {
      if (this.#connection.hasPending && !this.#connection.flush()) return;
      for (let count = 0; count < BATCH; count++) {
        if (this.#closing !== undefined || this.#running !== undefined) return;
        if (this.#connection.hasPending) break;
        const message = this.#connection.tryReceive();
        if (message === "wait") break;
        if (message === "end") {
          this.close();
          return;
        }
        this.#handle(message);
      }
      this.#rewatch();
    } catch (error) {
      this.#fail(error);
    }
  }

  #rewatch(): void {
    if (this.#closing !== undefined || this.#running !== undefined) return;
    this.#watch(this.#connection.hasPending ? EPOLLOUT : EPOLLIN);
  }

  #fail(error: unknown): void {
    this.close(error instanceof VhostUserError ? error : deviceFailed(error, undefined));
  }

  /** Handles a message; what takes its time goes on in `#running`. */
  #handle(message: RawMessage): void {
    let answer: Later<Answer>;
    try {
      answer = this.#answer(message);
    } catch (error) {
      message[Symbol.dispose]();
      this.#refuse(message, error);
      return;
    }
    if (!(answer instanceof Promise)) {
      message[Symbol.dispose]();
      this.#reply(message, answer);
      return;
    }
    this.#watch(0);
    this.#running = answer.then(
      (bytes) => this.#reply(message, bytes),
      (error) => this.#refuse(message, error),
    ).catch((error) => this.#fail(error)).then(() => {
      message[Symbol.dispose]();
      this.#running = undefined;
      try {
        this.#rewatch();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #wantsStatus({ request, flags }: RawMessage): boolean {
    const name = requestName(request);
    return (name === undefined || requestRow(name).reply === null) &&
      (flags & MESSAGE_FLAGS.NEED_REPLY) !== 0 && this.#has("REPLY_ACK");
  }

  #reply(message: RawMessage, answer: Answer): void {
    if (answer !== undefined) this.#send(answer);
    else if (this.#wantsStatus(message)) this.#sendStatus(message.request, 0n);
  }

  #refuse(message: RawMessage, cause: unknown): void {
    const error = cause instanceof VhostUserError
      ? cause
      : deviceFailed(cause, requestName(message.request));
    const hasOwnReply = requestRow(requestName(message.request) ?? "SET_OWNER").reply !== null;
    if (error.fault === "device-failed" || !this.#wantsStatus(message)) {
      if (hasOwnReply || !HARMLESS.has(error.fault)) {
        this.close(error);
        return;
      }
    } else this.#sendStatus(message.request, 1n);
    this.#warn(error);
  }

  #sendStatus(request: number, status: bigint): void {
    const flags = MESSAGE_FLAGS.VERSION | MESSAGE_FLAGS.REPLY;
    const bytes = encodeRaw(request, flags, 8);
    new DataView(bytes.buffer).setBigUint64(HEADER_SIZE, status, true);
    this.#send(bytes);
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#device.onMessage !== undefined) {
      const view = new DataView(bytes.buffer);
      const payload = bytes.subarray(HEADER_SIZE);
      const line = formatMessage(view.getUint32(0, true), view.getUint32(4, true), payload);
      this.#device.onMessage(line);
    }
    this.#connection.trySend(bytes);
  }

  #has(feature: ProtocolFeature): boolean {
    return (this.#protocolFeatures & protocolBit(feature)) !== 0n;
  }

  /** Checks what all messages have in common, then does what is asked for. */
  #answer(message: RawMessage): Later<Answer> {
    this.#device.onMessage?.(message.toString());
    const { flags, request } = message;
    if ((flags & MESSAGE_FLAGS.VERSION_MASK) !== MESSAGE_FLAGS.VERSION) {
      const version = flags & MESSAGE_FLAGS.VERSION_MASK;
      throw new VhostUserError("bad-version", `Cannot read a message: its version is ${version}`);
    }
    const name = requestName(request);
    if (name === undefined) {
      throw new VhostUserError("unknown-request", `Cannot do request ${request}: it is unknown`);
    }
    if ((flags & MESSAGE_FLAGS.REPLY) !== 0) {
      throw new VhostUserError("bad-direction", `Cannot do ${name}: it is marked as a reply`, name);
    }
    const row = requestRow(name);
    if (row.needs !== undefined) {
      const bit = protocolBit(row.needs);
      // Asking does no harm, and the specification allows it as soon as the feature is on offer.
      const allowed = row.reply === null ? this.#protocolFeatures : this.#protocolOffered;
      if ((allowed & bit) === 0n) {
        throw new VhostUserError(
          "feature-not-agreed",
          `Cannot do ${name}: ${row.needs} was not agreed on`,
          name,
        );
      }
    }
    return this.#do(name, message);
  }

  #do(name: RequestName, message: RawMessage): Later<Answer> {
    const { payload } = message;
    switch (name) {
      case "GET_FEATURES":
        return encodeMessage(name, "reply", { features: this.#offered });
      case "SET_FEATURES":
        return this.#setFeatures(decodePayload(name, "request", payload).features);
      case "GET_PROTOCOL_FEATURES":
        return encodeMessage(name, "reply", { features: this.#protocolOffered });
      case "SET_PROTOCOL_FEATURES":
        return this.#setProtocolFeatures(decodePayload(name, "request", payload).features);
      case "SET_OWNER":
        return undefined;
      case "RESET_OWNER":
        return this.#reset(false);
      case "RESET_DEVICE":
        return this.#reset(true);
      case "SET_STATUS":
        return this.#setStatus(decodePayload(name, "request", payload).status);
      case "GET_STATUS":
        return encodeMessage(name, "reply", { status: this.#status });
      case "GET_QUEUE_NUM":
        return encodeMessage(name, "reply", { num: BigInt(this.#vrings.length) });
      case "GET_MAX_MEM_SLOTS":
        return encodeMessage(name, "reply", { num: BigInt(MAX_REGIONS) });
      case "GET_CONFIG":
        return this.#getConfig(decodePayload(name, "request", payload));
      case "SET_CONFIG":
        throw new VhostUserError(
          "config-read-only",
          "Cannot do SET_CONFIG: the configuration space is read-only",
          name,
        );
      case "SET_MEM_TABLE":
        return this.#setMemory(decodePayload(name, "request", payload).regions, message);
      case "ADD_MEM_REG":
        return this.#addMemory(decodePayload(name, "request", payload), message);
      case "REM_MEM_REG":
        return this.#removeMemory(decodePayload(name, "request", payload));
      case "SET_VRING_NUM":
        return this.#setSize(decodePayload(name, "request", payload));
      case "SET_VRING_ADDR":
        return this.#setAddresses(decodePayload(name, "request", payload));
      case "SET_VRING_BASE":
        return this.#setBase(decodePayload(name, "request", payload));
      case "GET_VRING_BASE":
        return this.#getBase(decodePayload(name, "request", payload).index);
      case "SET_VRING_ENABLE":
        return this.#enable(decodePayload(name, "request", payload));
      case "SET_VRING_KICK":
      case "SET_VRING_CALL":
      case "SET_VRING_ERR":
        return this.#setNotifier(name, message);
      default:
        throw new VhostUserError(
          "unsupported-request",
          `Cannot do ${name}: it is not for this kind of device`,
          name,
        );
    }
  }

  // Features, status and configuration

  #setFeatures(features: bigint): Answer {
    const more = features & ~this.#offered;
    if (more !== 0n) {
      throw new VhostUserError(
        "feature-not-offered",
        `Cannot accept the features 0x${more.toString(16)}: they were not offered`,
        "SET_FEATURES",
      );
    }
    if (features !== this.#features && this.#vrings.some((vring) => vring.isRunning)) {
      throw new VhostUserError(
        "feature-in-use",
        "Cannot change the features: a queue is running",
        "SET_FEATURES",
      );
    }
    this.#features = features;
    for (const vring of this.#vrings) this.#start(vring, "SET_FEATURES");
    return undefined;
  }

  #setProtocolFeatures(features: bigint): Answer {
    const more = features & ~this.#protocolOffered;
    if (more !== 0n) {
      throw new VhostUserError(
        "feature-not-offered",
        `Cannot accept the protocol features 0x${more.toString(16)}: they were not offered`,
        "SET_PROTOCOL_FEATURES",
      );
    }
    this.#protocolFeatures = features;
    return undefined;
  }

  #setStatus(status: bigint): Later<Answer> {
    if (status > 0xffn) {
      throw new VhostUserError(
        "bad-value",
        `Cannot set the status 0x${status.toString(16)}: it has more than 8 bits`,
        "SET_STATUS",
      );
    }
    this.#status = status;
    return status === 0n ? this.#reset(true) : undefined;
  }

  #getConfig(request: {
    readonly offset: number;
    readonly flags: number;
    readonly payload: Uint8Array;
  }): Answer {
    const payload = new Uint8Array(request.payload.length);
    readConfig(this.#device.config, request.offset, payload);
    return encodeMessage("GET_CONFIG", "reply", { ...request, payload });
  }

  /**
   * Stops all queues; what was set about them is forgotten only with `isDevice`. Whoever starts them
   * again sets a kick descriptor; what to call stays, as some front-ends never set it again.
   */
  #reset(isDevice: boolean): Later<Answer> {
    return whenDone(this.#stopQueues(), () => {
      for (const vring of this.#vrings) {
        vring.setKick(undefined);
        vring.isPolled = false;
        vring.isEnabled = undefined;
        if (!isDevice) continue;
        vring.addresses = undefined;
        vring.base = 0;
      }
      if (isDevice) this.#status = 0n;
      this.#device.onReset?.();
      return undefined;
    });
  }

  // Memory

  #setMemory(list: readonly RegionPayload[], message: RawMessage): Later<Answer> {
    if (message.fdCount !== list.length) {
      throw new VhostUserError(
        "bad-fd-count",
        `Cannot map ${list.length} regions: ${message.fdCount} descriptors came along`,
        "SET_MEM_TABLE",
      );
    }
    const regions: MappedRegion[] = [];
    try {
      for (const payload of list) regions.push(this.#map(payload, message, "SET_MEM_TABLE"));
      checkOverlaps(regions, "SET_MEM_TABLE");
    } catch (error) {
      for (const region of regions) region[Symbol.dispose]();
      throw error;
    }
    return this.#changeMemory(regions, this.#regions);
  }

  #addMemory(payload: RegionPayload, message: RawMessage): Later<Answer> {
    if (this.#regions.length >= MAX_REGIONS) {
      throw new VhostUserError(
        "too-many-regions",
        `Cannot add a region: there are ${MAX_REGIONS} already`,
        "ADD_MEM_REG",
      );
    }
    const region = this.#map(payload, message, "ADD_MEM_REG");
    const regions = [...this.#regions, region];
    try {
      checkOverlaps(regions, "ADD_MEM_REG");
    } catch (error) {
      region[Symbol.dispose]();
      throw error;
    }
    return this.#changeMemory(regions, []);
  }

  #removeMemory(payload: RegionPayload): Later<Answer> {
    const region = this.#regions.find((candidate) => candidate.is(payload));
    if (region === undefined) {
      throw new VhostUserError(
        "no-such-region",
        `Cannot remove the region at guest address 0x${payload.guest_addr.toString(16)}: ` +
          "there is none that is the same",
        "REM_MEM_REG",
      );
    }
    return this.#changeMemory(this.#regions.filter((other) => other !== region), [region]);
  }

  #map(payload: RegionPayload, message: RawMessage, request: RequestName): MappedRegion {
    using fd = message.takeFd();
    if (fd === undefined) throw missingFd(request);
    const region = new MappedRegion(payload, fd.number, request);
    if (!region.isSealed) {
      this.#warn(
        new VhostUserError(
          "region-not-sealed",
          `Cannot rely on the region at guest address 0x${payload.guest_addr.toString(16)}: ` +
            "whoever shares its file can make it smaller, which would end this process",
          request,
        ),
      );
    }
    return region;
  }

  /** Queues rest while the memory changes, and go on from where they were. */
  #changeMemory(
    regions: readonly MappedRegion[],
    dropped: readonly MappedRegion[],
  ): Later<Answer> {
    const stopping = this.#stopQueues()?.catch((error) => {
      for (const region of regions) if (!this.#regions.includes(region)) region[Symbol.dispose]();
      throw error;
    });
    return whenDone(stopping, () => {
      this.#regions = regions;
      this.#memory = guestMemoryOf(regions);
      for (const region of dropped) region[Symbol.dispose]();
      this.#device.onMemoryChange?.(this.#memory);
      for (const vring of this.#vrings) {
        try {
          this.#start(vring, "SET_MEM_TABLE");
        } catch (error) {
          if (!(error instanceof VhostUserError) || error.fault === "device-failed") throw error;
          vring.signalError();
          this.#warn(error);
        }
      }
      return undefined;
    });
  }

  // Queues

  #vring(index: number, request: RequestName): Vring<P> {
    const vring = this.#vrings[index];
    if (vring !== undefined) return vring;
    throw new VhostUserError(
      "bad-queue",
      `Cannot do ${request}: there is no queue ${index}`,
      request,
    );
  }

  #checkStopped(vring: Vring<P>, request: RequestName): void {
    if (!vring.isRunning) return;
    throw new VhostUserError(
      "queue-running",
      `Cannot do ${request}: queue ${vring.index} is running`,
      request,
    );
  }

  #setSize({ index, num }: { readonly index: number; readonly num: number }): Answer {
    const vring = this.#vring(index, "SET_VRING_NUM");
    const isPower = num > 0 && (num & (num - 1)) === 0;
    if (!isPower || num > this.#maxQueueSize) {
      throw new VhostUserError(
        "bad-queue-size",
        `Cannot use ${num} descriptors: the size of a queue is a power of 2 up to ` +
          `${this.#maxQueueSize}`,
        "SET_VRING_NUM",
      );
    }
    if (vring.size === num) return undefined;
    this.#checkStopped(vring, "SET_VRING_NUM");
    vring.size = num;
    this.#start(vring, "SET_VRING_NUM");
    return undefined;
  }

  #setAddresses(addresses: NonNullable<Vring<P>["addresses"]>): Answer {
    const vring = this.#vring(addresses.index, "SET_VRING_ADDR");
    if ((addresses.flags & VRING_F_LOG) !== 0) {
      throw new VhostUserError(
        "bad-value",
        "Cannot log what is written: that was not offered",
        "SET_VRING_ADDR",
      );
    }
    const old = vring.addresses;
    const isSame = old !== undefined && old.descriptor === addresses.descriptor &&
      old.available === addresses.available && old.used === addresses.used;
    if (isSame && vring.isRunning) return undefined;
    this.#checkStopped(vring, "SET_VRING_ADDR");
    vring.addresses = addresses;
    // Told now rather than when the queue starts, if all that it takes is known.
    if (vring.size > 0 && this.#regions.length > 0) {
      const fault = areasFault(vring.areas(this.#regions, "SET_VRING_ADDR"));
      if (fault !== undefined) {
        throw badRing(vring, new RingError("use its parts", fault), "SET_VRING_ADDR");
      }
    }
    this.#start(vring, "SET_VRING_ADDR");
    return undefined;
  }

  #setBase({ index, num }: { readonly index: number; readonly num: number }): Answer {
    const vring = this.#vring(index, "SET_VRING_BASE");
    if (num > 0xffff) {
      throw new VhostUserError(
        "bad-value",
        `Cannot start queue ${index} at ${num}: indices have 16 bits`,
        "SET_VRING_BASE",
      );
    }
    this.#checkStopped(vring, "SET_VRING_BASE");
    vring.base = num;
    return undefined;
  }

  #getBase(index: number): Later<Answer> {
    const vring = this.#vring(index, "GET_VRING_BASE");
    return whenDone(this.#stop(vring), () => {
      vring.setKick(undefined);
      vring.isPolled = false;
      return encodeMessage("GET_VRING_BASE", "reply", { index, num: vring.base });
    });
  }

  #enable({ index, num }: { readonly index: number; readonly num: number }): Later<Answer> {
    const vring = this.#vring(index, "SET_VRING_ENABLE");
    if (num > 1) {
      throw new VhostUserError(
        "bad-value",
        `Cannot enable queue ${index}: ${num} is neither 0 nor 1`,
        "SET_VRING_ENABLE",
      );
    }
    vring.isEnabled = num === 1;
    if (num === 0) return whenDone(this.#stop(vring), () => undefined);
    this.#start(vring, "SET_VRING_ENABLE");
    return undefined;
  }

  #setNotifier(
    name: "SET_VRING_KICK" | "SET_VRING_CALL" | "SET_VRING_ERR",
    message: RawMessage,
  ): Answer {
    const { index, flags } = decodePayload(name, "request", message.payload);
    const vring = this.#vring(index, name);
    const hasFd = (flags & VRING_NO_FD) === 0;
    using fd = hasFd ? message.takeFd() : undefined;
    if (hasFd && fd === undefined) throw missingFd(name);
    if (fd !== undefined) checkNotifier(fd.number, name);
    const owned = fd === undefined ? undefined : moved(fd);
    if (name === "SET_VRING_ERR") vring.setError(owned);
    else if (name === "SET_VRING_CALL") {
      vring.setCall(owned);
      if (vring.isRunning) vring.call(); // a call may have gone to the old one unseen
    } else this.#setKick(vring, owned);
    return undefined;
  }

  #setKick(vring: Vring<P>, fd: Fd | undefined): void {
    if (fd === undefined && this.#watcher.after === undefined) {
      throw new VhostUserError(
        "unsupported-request",
        `Cannot start queue ${vring.index} without a kick descriptor: there is no clock to poll by`,
        "SET_VRING_KICK",
      );
    }
    vring.unwatch?.();
    vring.unwatch = undefined;
    vring.setKick(fd);
    vring.isPolled = fd === undefined;
    if (!vring.isRunning) {
      this.#start(vring, "SET_VRING_KICK");
      return;
    }
    this.#watchKicks(vring, "SET_VRING_KICK");
    this.#device.onKick(vring); // a kick may have gone to the old one unseen
  }

  /** Starts a queue if all that it takes is there and it does not run. */
  #start(vring: Vring<P>, request: RequestName): void {
    const enabledByDefault = !hasFeature(this.#features, F_PROTOCOL_FEATURES);
    if (vring.isRunning || !vring.isComplete(enabledByDefault)) return;
    if (this.#regions.length === 0) {
      throw new VhostUserError(
        "no-memory-table",
        `Cannot start queue ${vring.index}: there is no guest memory`,
        request,
      );
    }
    const areas = vring.areas(this.#regions, request);
    vring.features = this.#features;
    try {
      const { features, base } = vring;
      vring.ring.configure({ memory: this.#memory, areas, features, startIndex: base });
    } catch (error) {
      throw error instanceof RingError ? badRing(vring, error, request) : error;
    }
    try {
      this.#watchKicks(vring, request);
    } catch (error) {
      vring.ring.stop();
      throw error;
    }
    vring.isRunning = true;
    this.#device.onQueueReady(vring);
  }

  #watchKicks(vring: Vring<P>, request: RequestName): void {
    const { kick } = vring;
    if (kick === undefined) {
      this.#pollKicks(vring);
      return;
    }
    const fd = kick.number;
    const { address } = scratch();
    const onKick = (): void => {
      // Large enough for several kicks of a pipe.
      const size = read(fd, address, 64);
      if (size > 0) this.#device.onKick(vring);
      else if (size !== -EAGAIN) this.#onKickEnd(vring);
    };
    // Every write to an eventfd is an edge, and its count does not matter: without the read a kick
    // costs one system call less. A pipe would fill up.
    const isCounter = pathOf(fd) === "anon_inode:[eventfd]";
    try {
      if (isCounter) this.#watcher.watch(fd, EPOLLIN | EPOLLET, () => this.#device.onKick(vring));
      else this.#watcher.watch(fd, EPOLLIN, onKick);
    } catch (error) {
      if (!(error instanceof LinuxError)) throw error;
      throw new VhostUserError("bad-fd", `Cannot wait for kicks: ${error.message}`, request, error);
    }
    vring.unwatch = () => this.#watcher.unwatch(fd);
  }

  /** The other end of a pipe is closed: it would be reported ready for ever. */
  #onKickEnd(vring: Vring<P>): void {
    vring.unwatch?.();
    vring.unwatch = undefined;
    this.#warn(
      new VhostUserError(
        "bad-fd",
        `Cannot wait for kicks of queue ${vring.index}: its descriptor has ended`,
      ),
    );
  }

  #pollKicks(vring: Vring<P>): void {
    let cancel: (() => void) | undefined;
    const onTime = (): void => {
      arm();
      this.#device.onKick(vring);
    };
    const arm = (): void => {
      cancel = this.#watcher.after?.(this.#pollIntervalMs, onTime);
    };
    arm();
    vring.unwatch = () => cancel?.();
  }

  #stopQueues(): Promise<void> | undefined {
    const stopping: Promise<void>[] = [];
    let failure: unknown;
    for (const vring of this.#vrings) {
      try {
        const pending = this.#stop(vring);
        if (pending !== undefined) stopping.push(pending);
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) stopping.push(Promise.reject(failure));
    if (stopping.length === 0) return undefined;
    return Promise.allSettled(stopping).then((results) => {
      for (const result of results) if (result.status === "rejected") throw result.reason;
    });
  }

  /** Stops a queue; undefined if that is done already. */
  #stop(vring: Vring<P>): Promise<void> | undefined {
    if (!vring.isRunning) return undefined;
    vring.isRunning = false;
    vring.unwatch?.();
    vring.unwatch = undefined;
    const end = (): void => {
      vring.base = vring.ring.stop();
    };
    let pending: void | Promise<void>;
    try {
      pending = this.#device.onQueueStop(vring);
    } catch (error) {
      end();
      throw error;
    }
    if (!(pending instanceof Promise)) {
      end();
      return undefined;
    }
    return pending.finally(end);
  }
}

/** Goes on when a promise is resolved; at once, without one. */
function whenDone<T>(pending: Promise<void> | undefined, run: () => T): Later<T> {
  return pending === undefined ? run() : pending.then(run);
}

/** Hands a descriptor on that is held with `using`. */
function moved(fd: Fd): Fd {
  return new Fd(fd.take());
}

function missingFd(request: RequestName): VhostUserError {
  return new VhostUserError(
    "bad-fd-count",
    `Cannot do ${request}: no descriptor came along`,
    request,
  );
}

/** Refuses files: writing to one may take its time, and none can be waited for. */
function checkNotifier(fd: number, request: RequestName): void {
  const record = new Statx();
  const result = statx(fd, null, 0, STATX_BASIC_STATS, record);
  if (result < 0 || (record.mode & S_IFMT) === S_IFREG) {
    throw new VhostUserError(
      "bad-fd",
      `Cannot do ${request}: its descriptor is neither an eventfd nor a pipe`,
      request,
    );
  }
}

function badRing<P extends PieceList>(
  vring: Vring<P>,
  cause: RingError,
  request: RequestName,
): VhostUserError {
  return new VhostUserError(
    "bad-ring",
    `Cannot use queue ${vring.index}: ${cause.message}`,
    request,
    cause,
  );
}

function deviceFailed(cause: unknown, request: RequestName | undefined): VhostUserError {
  const what = cause instanceof Error ? cause.message : String(cause);
  const during = request === undefined ? "go on" : `do ${request}`;
  return new VhostUserError("device-failed", `Cannot ${during}: ${what}`, request, cause);
}
