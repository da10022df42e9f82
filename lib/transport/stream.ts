/**
 * 9P over stream sockets: frames are cut where they were received, replies are sent from where they
 * were built, and payloads go between those places and files without a copy of ours.
 *
 * @module
 */
import { EPOLLIN } from "../linux/mod.ts";
import type { Accept, Peer } from "./exchange.ts";
import type { LoopUser, Reactor } from "./reactor.ts";
import { StreamConnection, StreamContext } from "./stream_connection.ts";

/** Options of a {@linkcode StreamTransport}. */
export interface StreamOptions {
  /** Makes the receivers. */
  readonly accept: Accept;
  /** Largest message of any receiver, in bytes. */
  readonly maxMessage: number;
  /** Connections without a request for so many milliseconds are ended; 0 never. */
  readonly idleTimeoutMs?: number;
  /** Told when a connection has ended. */
  readonly onClose?: () => void;
}

/** All stream connections of one thread. */
export class StreamTransport implements LoopUser {
  readonly #reactor: Reactor;
  readonly #options: StreamOptions;
  readonly #context: StreamContext;
  readonly #connections = new Set<StreamConnection>();
  #drained: () => void = () => {};
  #isDraining = false;
  #stopIdleCheck: () => void = () => {};

  /** Makes a transport on a loop. */
  constructor(reactor: Reactor, options: StreamOptions) {
    this.#reactor = reactor;
    this.#options = options;
    this.#context = new StreamContext(reactor, options.maxMessage, (connection) => {
      if (!this.#connections.delete(connection)) return;
      this.#options.onClose?.();
      if (this.#connections.size === 0) this.#drained();
    });
    reactor.use(this);
    if ((options.idleTimeoutMs ?? 0) > 0) this.#checkIdle(options.idleTimeoutMs as number);
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
    this.#stopIdleCheck();
    for (const connection of [...this.#connections]) connection.close();
    this.#context.replies.abandon();
    this.#context.pool[Symbol.dispose]();
    this.#reactor.unuse(this);
  }

  #checkIdle(timeoutMs: number): void {
    const period = Math.max(100, timeoutMs / 4);
    const check = () => {
      const oldest = performance.now() - timeoutMs;
      for (const connection of [...this.#connections]) {
        if (connection.lastRequest < oldest && !connection.isBusy) connection.close();
      }
      this.#stopIdleCheck = this.#reactor.after(period, check);
    };
    this.#stopIdleCheck = this.#reactor.after(period, check);
  }
}
