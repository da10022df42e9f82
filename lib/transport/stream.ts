/**
 * 9P over stream sockets: frames are cut where they were received, replies are sent from where they
 * were built, and payloads go between those places and files without a copy of ours.
 *
 * @module
 */
import { EPOLLIN } from "../linux/mod.ts";
import type { Accept, Peer } from "./exchange.ts";
import type { LoopUser, Reactor } from "./reactor.ts";
import { type Eviction, StreamConnection, StreamContext } from "./stream_connection.ts";

/** Options of a {@linkcode StreamTransport}. */
export interface StreamOptions {
  /** Makes the receivers. */
  readonly accept: Accept;
  /** Largest message of any receiver, in bytes. */
  readonly maxMessage: number;
  /** Connections without a request for so many milliseconds are ended; 0 never. */
  readonly idleTimeoutMs?: number;
  /** Connections that have not sent one request after so many milliseconds are ended; 0 never. */
  readonly handshakeTimeoutMs?: number;
  /**
   * Bytes that requests which have not wholly arrived, requests under way and replies that were not
   * taken may fill. Beyond it, connections that have stood still for a second are ended, the oldest
   * first; nobody ever takes more than twice as much. 64 MiB if not given, but 16 messages at least.
   */
  readonly maxBuffers?: number;
  /** Told when a connection is ended for the sake of others. */
  readonly onEvict?: (peer: Peer, why: Eviction) => void;
  /** Told when a connection has ended. */
  readonly onClose?: () => void;
}

const MAX_BUFFERS = 64 << 20;
/** Messages that there is always room for. */
const LEAST_MESSAGES = 16;

/** All stream connections of one thread. */
export class StreamTransport implements LoopUser {
  readonly #reactor: Reactor;
  readonly #options: StreamOptions;
  readonly #context: StreamContext;
  readonly #connections = new Set<StreamConnection>();
  #drained: () => void = () => {};
  #isDraining = false;
  /** Milliseconds between two looks at who is silent; 0 if nobody has to speak. */
  #checkMs = 0;
  #stopCheck: (() => void) | null = null;

  /** Makes a transport on a loop. */
  constructor(reactor: Reactor, options: StreamOptions) {
    this.#reactor = reactor;
    this.#options = options;
    this.#context = new StreamContext(reactor, {
      maxMessage: options.maxMessage,
      maxBuffers: Math.max(options.maxBuffers ?? MAX_BUFFERS, LEAST_MESSAGES * options.maxMessage),
      ended: (connection) => {
        if (!this.#connections.delete(connection)) return;
        this.#options.onClose?.();
        if (this.#connections.size === 0) this.#drained();
      },
      evicted: ({ peer }, why) => this.#options.onEvict?.(peer, why),
    });
    reactor.use(this);
    const { idleTimeoutMs = 0, handshakeTimeoutMs = 0 } = options;
    const timeouts = [idleTimeoutMs, handshakeTimeoutMs].filter((ms) => ms > 0);
    if (timeouts.length > 0) this.#checkMs = Math.max(100, Math.min(...timeouts) / 4);
  }

  /** Connections now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Buffers in use: for statistics and leak tests. */
  get buffers(): number {
    return this.#context.pool.used;
  }

  /** True while a receiver needs Deno's event loop. */
  get needsEventLoop(): boolean {
    return this.#context.needsEventLoop;
  }

  /** True while any request waits for a promise, or somebody for the end of the connections. */
  get hasPromises(): boolean {
    return this.#context.deferred > 0 || this.#isDraining;
  }

  /**
   * Serves a connected socket, which does not block.
   *
   * @param fd Owned from here on.
   */
  adopt(fd: number, peer: Peer): void {
    const connection = new StreamConnection(this.#context, fd, peer, this.#options.accept);
    this.#connections.add(connection);
    try {
      this.#reactor.watch(fd, EPOLLIN, (events) => connection.ready(events));
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#watchSilence();
  }

  /**
   * Takes no more requests; requests under way are answered.
   *
   * @returns Settles when the last connection has ended.
   */
  drain(): Promise<void> {
    this.#isDraining = true;
    const drained = new Promise<void>((resolve) => this.#drained = resolve);
    for (const connection of [...this.#connections]) connection.drain();
    if (this.#connections.size === 0) this.#drained();
    return drained;
  }

  /** Ends all connections at once and gives the buffers back. */
  close(): void {
    this.#stopCheck?.();
    this.#stopCheck = null;
    for (const connection of [...this.#connections]) connection.close();
    this.#context.replies.abandon();
    this.#context.pool[Symbol.dispose]();
    this.#reactor.unuse(this);
  }

  /** Looks at who is silent, again and again while there is anybody. */
  #watchSilence(): void {
    if (this.#checkMs === 0 || this.#stopCheck !== null || this.#connections.size === 0) return;
    this.#stopCheck = this.#reactor.after(this.#checkMs, () => {
      this.#stopCheck = null;
      this.#endSilent();
      this.#watchSilence();
    });
  }

  #endSilent(): void {
    const { idleTimeoutMs = 0, handshakeTimeoutMs = 0 } = this.#options;
    const now = performance.now();
    for (const connection of [...this.#connections]) {
      const silentMs = now - connection.lastProgress;
      if (handshakeTimeoutMs > 0 && !connection.hasSpoken && silentMs > handshakeTimeoutMs) {
        this.#context.evict(connection, "silent");
      } else if (idleTimeoutMs > 0 && silentMs > idleTimeoutMs && connection.deferred === 0) {
        connection.close();
      }
    }
  }
}
