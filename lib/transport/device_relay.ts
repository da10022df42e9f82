/**
 * Passes requests on to a virtio device, as the driver of a machine that is not there.
 *
 * @module
 */
import { EPOLLIN, EPOLLRDHUP } from "../linux/mod.ts";
import {
  type Dialect,
  encodeInto,
  errno,
  errnoMessage,
  HEADER_SIZE,
  RREAD_HEADER,
  type Segments,
  sizeOf,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import { type FrontendQueue, GuestRam, VhostUserFrontend } from "../vhost/mod.ts";
import { decodeConfig, type GuestRange, type Region } from "../virtio/mod.ts";
import type { Accept, Connection, Exchange, Receiver } from "./exchange.ts";
import type { LoopUser, Reactor } from "./reactor.ts";

/** Descriptors of the queue, as Linux has them. */
const QUEUE_SIZE = 128;
/** Descriptors of one request at most: head and payload, each way. */
const PER_REQUEST = 4;
const PLACES = QUEUE_SIZE / PER_REQUEST;
const PAGE = 4096;
/** Where the memory of the machine that is not there begins. */
const GUEST_ADDRESS = 2 ** 30;
/** Largest message: what Linux asks of a device at most, and some. */
const DEVICE_MSIZE = 1 << 19;
/** Payloads above this many bytes go apart from their head, as Linux sends them. */
const APART = 1024;

/** Options of a {@linkcode DeviceRelay}. */
export interface DeviceRelayOptions {
  /** The loop that it lives on. */
  readonly reactor: Reactor;
  /** Path of the vhost-user socket. */
  readonly path: string;
  /** Is told when the device cannot be reached or used any more, in one line. */
  readonly warn?: (message: string) => void;
}

/**
 * Asks a device for its mount tag.
 *
 * @throws {Error} If there is no device, or it is none for 9P.
 */
export async function readMountTag(path: string, reactor: Reactor): Promise<string> {
  using frontend = VhostUserFrontend.connect(path, { watcher: reactor });
  await frontend.negotiate();
  return decodeConfig(await frontend.readConfig(0, 256));
}

/**
 * Makes sessions that pass everything on to a device, each over a connection of its own: a device
 * that serves one machine at a time lets the others wait.
 *
 * When the device goes away, requests under way answer EIO, and so does every later one.
 */
export class DeviceRelay implements LoopUser {
  readonly #options: DeviceRelayOptions;
  readonly #connecting = new Set<DeviceSession>();

  /** Makes a relay. Nothing is connected before the first request. */
  constructor(options: DeviceRelayOptions) {
    this.#options = options;
    options.reactor.use(this);
  }

  /** True while a device is being set up: what that takes is more than the loop has turns for. */
  get needsEventLoop(): boolean {
    return this.#connecting.size > 0;
  }

  /** As above. */
  get hasPromises(): boolean {
    return this.#connecting.size > 0;
  }

  /** Begins a session: the `Accept` of any transport. */
  readonly accept: Accept = (connection) =>
    new DeviceSession(this.#options, connection, this.#connecting);
}

/** A request at the device. */
interface Sent {
  readonly exchange: Exchange;
  readonly place: number;
}

/** The queue of a device, and memory for requests and replies. */
interface Link extends Disposable {
  readonly queue: FrontendQueue;
  readonly frontend: VhostUserFrontend;
  readonly region: Region;
}

class DeviceSession implements Receiver {
  readonly msize = DEVICE_MSIZE;
  readonly needsEventLoop = false;
  isOver = false;
  readonly #options: DeviceRelayOptions;
  readonly #connection: Connection;
  readonly #connecting: Set<DeviceSession>;
  readonly #free: number[] = [];
  readonly #sent = new Map<number, Sent>();
  /** Requests that came before the device was there. */
  readonly #early: Exchange[] = [];
  readonly #own = new Wire(new Uint8Array(512));
  #link: Link | null = null;
  #isConnecting = false;
  #isLost = false;
  #isClosed = false;
  #wasFull = false;
  #isTaking = false;

  constructor(
    options: DeviceRelayOptions,
    connection: Connection,
    connecting: Set<DeviceSession>,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#connecting = connecting;
  }

  get isFull(): boolean {
    const isFull = this.#link === null
      ? this.#early.length >= PLACES
      : this.#free.length === 0 || this.#link.queue.driver.free < PER_REQUEST;
    if (isFull && !this.#isLost) this.#wasFull = true;
    return isFull && !this.#isLost;
  }

  receive(exchange: Exchange): void {
    if (this.#isLost) {
      this.#fail(exchange);
      return;
    }
    if (this.#link !== null) {
      this.#offer(exchange);
      return;
    }
    exchange.defer(true);
    // Valid as long as the exchange: kept apart only where its payload is asked for.
    this.#early.push(exchange);
    if (!this.#isConnecting) void this.#connect();
  }

  /** What waits at the device waits: nobody here can hurry it. */
  quiesce(): void {}

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const exchange of this.#early.splice(0)) exchange.drop();
    for (const { exchange } of this.#sent.values()) exchange.drop();
    this.#sent.clear();
    this.#unlink();
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true;
    this.#connecting.add(this);
    try {
      const link = await openLink(this.#options);
      if (this.#isClosed) {
        link[Symbol.dispose]();
        return;
      }
      this.#begin(link);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#lose(`Cannot reach vhost-user://${this.#options.path}: ${why}`);
    } finally {
      this.#connecting.delete(this);
    }
  }

  #begin(link: Link): void {
    const { reactor } = this.#options;
    this.#link = link;
    const first = link.region.guestEnd - PLACES * 2 * DEVICE_MSIZE;
    for (let i = PLACES - 1; i >= 0; i--) this.#free.push(first + i * 2 * DEVICE_MSIZE);
    reactor.watch(link.queue.callFd, EPOLLIN, () => this.#called());
    reactor.watch(link.frontend.fd, EPOLLIN | EPOLLRDHUP, () => {
      this.#lose(`vhost-user://${this.#options.path} has hung up`);
    });
    for (const exchange of this.#early.splice(0)) this.#offer(exchange);
    this.#resume();
  }

  #offer(exchange: Exchange): void {
    const { queue: { driver }, queue, region } = this.#link as Link;
    const place = this.#free.pop();
    if (place === undefined || exchange.size > DEVICE_MSIZE || exchange.room < HEADER_SIZE) {
      if (place !== undefined) this.#free.push(place);
      exchange.drop();
      return;
    }
    const { wire, start, end, size } = exchange;
    const at = place - region.guestAddress;
    region.bytes.set(wire.bytes.subarray(start, end), at);
    if (end - start < size) {
      const payload = exchange.payloadIn(end - start, size - (end - start));
      payload.copyTo(region.bytes.subarray(at + end - start, at + size));
    }
    const head = driver.add(readableOf(wire, start, size, place), writableOf(exchange, place));
    exchange.defer(false);
    this.#sent.set(head, { exchange, place });
    driver.publish();
    if (driver.needsKick()) queue.kick();
  }

  #called(): void {
    const { queue } = this.#link as Link;
    queue.takeCalls();
    if (this.#isTaking) return;
    this.#isTaking = true;
    try {
      do {
        for (;;) {
          const link = this.#link;
          if (link === null) return;
          const head = link.queue.driver.take();
          if (head < 0) break;
          this.#deliver(head, link);
        }
      } while (this.#link?.queue.driver.enableCalls() === true);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#lose(`vhost-user://${this.#options.path} broke a rule: ${why}`);
    } finally {
      this.#isTaking = false;
    }
    this.#resume();
  }

  #deliver(head: number, { queue: { driver }, region }: Link): void {
    const sent = this.#sent.get(head);
    if (sent === undefined) return;
    this.#sent.delete(head);
    this.#free.push(sent.place);
    const { exchange } = sent;
    const length = Math.min(driver.usedLength, exchange.room);
    const at = sent.place + DEVICE_MSIZE - region.guestAddress;
    // What the device says to have written, not what the message says of itself, which it may change.
    if (length < HEADER_SIZE) {
      exchange.drop();
      return;
    }
    const out: Segments = exchange.payloadOut(0, length);
    out.copyFrom(region.bytes.subarray(at, at + length));
    exchange.send(length);
  }

  #resume(): void {
    if (!this.#wasFull || this.#isClosed || this.isFull) return;
    this.#wasFull = false;
    this.#connection.resume();
  }

  #lose(why: string): void {
    if (this.#isLost || this.#isClosed) return;
    this.#isLost = true;
    this.#options.warn?.(why);
    this.#unlink();
    const lost = [...this.#early.splice(0), ...[...this.#sent.values()].map((s) => s.exchange)];
    this.#sent.clear();
    for (const exchange of lost) this.#fail(exchange);
    this.#resume();
  }

  #unlink(): void {
    const link = this.#link;
    if (link === null) return;
    this.#link = null;
    this.#options.reactor.unwatch(link.queue.callFd);
    this.#options.reactor.unwatch(link.frontend.fd);
    link[Symbol.dispose]();
  }

  /** Answers EIO, in the dialect that devices speak. */
  #fail(exchange: Exchange): void {
    const tag = exchange.wire.view.getUint16(exchange.start + 5, true);
    sendError(exchange, tag, errno("EIO").code, "9P2000.L", this.#own);
  }
}

/**
 * Answers a request with an error.
 *
 * @param own Where the message is encoded.
 */
export function sendError(
  exchange: Exchange,
  tag: number,
  code: number,
  dialect: Dialect,
  own: Wire,
): void {
  const message = dialect === "9P2000.L"
    ? { kind: "Rlerror", tag, ecode: code } as const
    : { kind: "Rerror", tag, ename: errnoMessage(code), errno: code } as const;
  const size = sizeOf(message, dialect);
  if (size > exchange.room) {
    exchange.drop();
    return;
  }
  encodeInto(message, own, 0, dialect);
  exchange.payloadOut(0, size).copyFrom(own.bytes.subarray(0, size));
  exchange.send(size);
}

function readableOf(wire: Wire, start: number, size: number, place: number): GuestRange[] {
  const isWrite = wire.bytes[start + 4] === TYPE.Twrite && size > TWRITE_HEADER + APART;
  if (!isWrite) return [{ address: place, length: size }];
  return [
    { address: place, length: TWRITE_HEADER },
    { address: place + TWRITE_HEADER, length: size - TWRITE_HEADER },
  ];
}

function writableOf({ wire, start, room }: Exchange, place: number): GuestRange[] {
  const address = place + DEVICE_MSIZE;
  const length = Math.min(room, DEVICE_MSIZE);
  if (wire.bytes[start + 4] !== TYPE.Tread || length <= RREAD_HEADER) return [{ address, length }];
  return [
    { address, length: RREAD_HEADER },
    { address: address + RREAD_HEADER, length: length - RREAD_HEADER },
  ];
}

/** Plays the monitor: memory, features, a queue. */
async function openLink({ reactor, path }: DeviceRelayOptions): Promise<Link> {
  const frontend = VhostUserFrontend.connect(path, { watcher: reactor });
  let ram: GuestRam | null = null;
  try {
    await frontend.negotiate();
    const rings = Math.ceil(QUEUE_SIZE * 32 / PAGE + 2) * PAGE;
    const size = rings + PLACES * 2 * DEVICE_MSIZE;
    ram = new GuestRam({ size, guestAddress: GUEST_ADDRESS });
    await frontend.setMemory([ram]);
    const queue = await frontend.startQueue(ram, { size: QUEUE_SIZE });
    const region = queue.driver.raw.memory.findWhole(GUEST_ADDRESS, size);
    if (region === undefined) throw new Error("Cannot use the memory: it is not there");
    const owned = ram;
    return {
      frontend,
      queue,
      region,
      [Symbol.dispose]: () => {
        queue[Symbol.dispose]();
        frontend[Symbol.dispose]();
        owned[Symbol.dispose]();
      },
    };
  } catch (error) {
    frontend[Symbol.dispose]();
    ram?.[Symbol.dispose]();
    throw error;
  }
}
