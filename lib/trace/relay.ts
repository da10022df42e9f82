/**
 * Passes the bytes of stream connections on, both ways, and notes the messages among them
 * afterwards: what is observed waits for one system call in and one out.
 *
 * @module
 */
import {
  close,
  EAGAIN,
  EPOLLIN,
  EPOLLOUT,
  MappedMemory,
  monotonicMicros,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  send,
  SHUT_WR,
  shutdown,
} from "../linux/mod.ts";
import {
  acceptFrom,
  Connecting,
  type DialAddress,
  formatDialAddress,
  type Listener,
  peerOf,
  type Reactor,
} from "../transport/mod.ts";
import { FrameTap } from "./frame_tap.ts";
import type { RecordWriter } from "./record_ring.ts";

/** Bytes of a buffer: a good part of what a socket holds. */
const BUFFER_BYTES = 256 << 10;
/** Turns that one socket gets before others get theirs. */
const ROUNDS = 8;
/** Free buffers kept for connections to come. */
const KEPT = 8;

/** What a {@linkcode Relay} is made of. */
export interface RelayOptions {
  /** The loop it lives on. */
  readonly reactor: Reactor;
  /** The server behind it. */
  readonly to: DialAddress;
  /** Takes the messages. */
  readonly writer: RecordWriter;
  /** Bytes of what is read and written that are kept of each message. */
  readonly payload: number;
  /** Connections at once; others wait. */
  readonly maxConnections: number;
  /** Is told what goes wrong, in one line. */
  readonly warn: (message: string) => void;
}

/** All connections of a proxy. */
export class Relay {
  /** What the connections share. */
  readonly options: RelayOptions;
  readonly #listeners: readonly Listener[];
  readonly #pairs = new Set<Pair>();
  readonly #free: MappedMemory[] = [];
  readonly #connecting = new Set<Pair>();
  #isFull = false;

  /** Listens. The listeners stay their owner's. */
  constructor(options: RelayOptions, listeners: readonly Listener[]) {
    this.options = options;
    this.#listeners = listeners;
    options.reactor.use(this);
    this.#listen();
  }

  /** True while a name is being looked up. */
  get needsEventLoop(): boolean {
    if (this.#connecting.size === 0) return false;
    for (const pair of this.#connecting) if (pair.needsEventLoop) return true;
    return false;
  }

  /** True while a connection is being made. */
  get hasPromises(): boolean {
    return this.#connecting.size > 0;
  }

  /** Ends all connections and listens no more. */
  close(): void {
    const { reactor } = this.options;
    if (!this.#isFull) { for (const { fd } of this.#listeners) reactor.unwatch(fd); }
    this.#isFull = true;
    for (const pair of [...this.#pairs]) pair.close();
    for (const memory of this.#free.splice(0)) memory[Symbol.dispose]();
    reactor.unuse(this);
  }

  /** Notes which connections are not made yet. */
  connecting(pair: Pair, isConnecting: boolean): void {
    if (isConnecting) this.#connecting.add(pair);
    else this.#connecting.delete(pair);
  }

  /** Takes a buffer. */
  take(): MappedMemory {
    return this.#free.pop() ?? MappedMemory.anonymous(BUFFER_BYTES);
  }

  /** Takes a buffer back. */
  give(memory: MappedMemory): void {
    if (this.#free.length < KEPT) this.#free.push(memory);
    else memory[Symbol.dispose]();
  }

  /** A connection is over. */
  ended(pair: Pair): void {
    this.#pairs.delete(pair);
    if (!this.#isFull || this.#pairs.size >= this.options.maxConnections) return;
    this.#isFull = false;
    this.#listen();
  }

  #listen(): void {
    const { reactor } = this.options;
    for (const listener of this.#listeners) {
      reactor.watch(listener.fd, EPOLLIN, () => this.#accept(listener));
    }
  }

  #accept(listener: Listener): void {
    const fd = acceptFrom(listener);
    if (fd < 0) return;
    try {
      const pair = new Pair(this, fd, peerOf(fd).address);
      this.#pairs.add(pair);
      pair.connect();
    } catch (error) {
      close(fd);
      const said = error instanceof Error ? error.message : String(error);
      this.options.warn(`Cannot take a connection: ${said}`);
      return;
    }
    if (this.#pairs.size < this.options.maxConnections) return;
    // The rest waits in the kernel's queue.
    this.#isFull = true;
    for (const each of this.#listeners) this.options.reactor.unwatch(each.fd);
  }
}

/** One client and its connection to the server. */
class Pair {
  readonly #relay: Relay;
  readonly #client: Side;
  readonly #server: Side;
  readonly #id: number;
  readonly #connecting: Connecting;
  #isConnected = false;
  #isClosed = false;

  constructor(relay: Relay, fd: number, client: string) {
    this.#relay = relay;
    const { writer, to, payload, reactor } = relay.options;
    const ends = {
      transport: to.kind,
      client: client.replace(/^(?:tcp|unix):\/\//, ""),
      server: formatDialAddress(to).replace(/^(?:tcp|unix):\/\//, ""),
    };
    this.#id = writer.opened(ends, monotonicMicros());
    this.#client = new Side(fd, new FrameTap(writer, this.#id, false, payload));
    this.#server = new Side(-1, new FrameTap(writer, this.#id, true, payload));
    this.#connecting = new Connecting(reactor, to, (made, why) => this.#connected(made, why));
  }

  get needsEventLoop(): boolean {
    return this.#connecting.needsEventLoop;
  }

  /** Connects to the server. What the client says before that waits in its socket. */
  connect(): void {
    this.#relay.connecting(this, true);
    this.#connecting.start();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#relay.connecting(this, false);
    this.#connecting.cancel();
    const { reactor, writer } = this.#relay.options;
    const now = monotonicMicros();
    for (const side of [this.#client, this.#server]) {
      side.tap.end(now);
      if (side.fd >= 0) {
        if (this.#isConnected && side.isWatched) reactor.unwatch(side.fd);
        close(side.fd);
      }
      if (side.memory !== null) this.#relay.give(side.memory);
      side.memory = null;
    }
    writer.closed(this.#id, now);
    this.#relay.ended(this);
  }

  #connected(fd: number, why: string): void {
    this.#relay.connecting(this, false);
    const { reactor, to, warn } = this.#relay.options;
    if (fd < 0) {
      warn(`Cannot reach ${formatDialAddress(to)}: ${why}`);
      this.close();
      return;
    }
    this.#server.fd = fd;
    this.#isConnected = true;
    reactor.watch(this.#client.fd, EPOLLIN, (events) => this.#ready(this.#client, events));
    reactor.watch(fd, EPOLLIN, (events) => this.#ready(this.#server, events));
  }

  #ready(side: Side, events: number): void {
    const other = side === this.#client ? this.#server : this.#client;
    if ((events & EPOLLOUT) !== 0 && !this.#flush(other, side)) return;
    if ((events & ~EPOLLOUT) !== 0) {
      if (side.memory !== null || side.isEnded) {
        if ((events & ~(EPOLLIN | EPOLLOUT)) !== 0) this.#hangUp(side);
        return;
      }
      this.#pass(side, other);
    }
  }

  /** A socket that is dead for good must not keep the loop awake while nothing is read from it. */
  #hangUp(side: Side): void {
    if (side.memory === null) {
      this.close();
      return;
    }
    // What it has said before is still to be delivered, to the last byte.
    this.#relay.options.reactor.unwatch(side.fd);
    side.isWatched = false;
  }

  /** Reads from one side and sends to the other. */
  #pass(from: Side, to: Side): void {
    const memory = this.#relay.take();
    let isKept = false;
    for (let round = 0; round < ROUNDS; round++) {
      const n = recv(from.fd, memory.address, BUFFER_BYTES, MSG_DONTWAIT);
      if (n === -EAGAIN) break;
      if (n <= 0) {
        this.#relay.give(memory);
        if (n === 0) this.#end(from, to);
        else this.close();
        return;
      }
      const sent = send(to.fd, memory.address, n, MSG_NOSIGNAL | MSG_DONTWAIT);
      // First things first: it has left, now it is looked at.
      from.tap.feed(memory.bytes, 0, n, monotonicMicros());
      if (sent < 0 && sent !== -EAGAIN) {
        this.#relay.give(memory);
        this.close();
        return;
      }
      if (sent < n) {
        from.memory = memory;
        from.at = Math.max(0, sent);
        from.until = n;
        isKept = true;
        this.#watch();
        break;
      }
      // Less than there was room for: there is nothing left.
      if (n < BUFFER_BYTES) break;
    }
    if (!isKept) this.#relay.give(memory);
  }

  /** Sends what one side's peer has not taken yet. Returns false if the connection is over. */
  #flush(from: Side, to: Side): boolean {
    const { memory } = from;
    if (memory === null) return true;
    const left = from.until - from.at;
    const sent = send(to.fd, memory.address + from.at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (sent === -EAGAIN) return true;
      this.close();
      return false;
    }
    from.at += sent;
    if (from.at < from.until) return true;
    from.memory = null;
    this.#relay.give(memory);
    this.#watch();
    return true;
  }

  /** One side will say no more; everything of it has been sent. The other one may go on. */
  #end(side: Side, other: Side): void {
    side.isEnded = true;
    if (other.isEnded) {
      this.close();
      return;
    }
    shutdown(other.fd, SHUT_WR);
    this.#watch();
  }

  /** Reads only where there is room for it, so that each side goes at the pace of the other. */
  #watch(): void {
    const { reactor } = this.#relay.options;
    for (const side of [this.#client, this.#server]) {
      const other = side === this.#client ? this.#server : this.#client;
      const isReadable = side.memory === null && !side.isEnded;
      const events = (isReadable ? EPOLLIN : 0) | (other.memory === null ? 0 : EPOLLOUT);
      if (!side.isWatched) {
        if (!isReadable) continue;
        side.isWatched = true;
        side.events = events;
        reactor.watch(side.fd, events, (found) => this.#ready(side, found));
        continue;
      }
      if (events === side.events) continue;
      side.events = events;
      reactor.rewatch(side.fd, events);
    }
  }
}

/** One socket of a pair, and what came from it. */
class Side {
  fd: number;
  readonly tap: FrameTap;
  /** Whether it is watched at all. */
  isWatched = true;
  /** Events that are watched for. */
  events: number = EPOLLIN;
  /** What came from it and was not taken by the other side; null if all was. */
  memory: MappedMemory | null = null;
  at = 0;
  until = 0;
  /** It has said that it will say no more. */
  isEnded = false;

  constructor(fd: number, tap: FrameTap) {
    this.fd = fd;
    this.tap = tap;
  }
}
