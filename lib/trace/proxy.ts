/**
 * A proxy that shows what passes through it.
 *
 * @module
 */
import { eventfdWrite } from "../linux/mod.ts";
import { listen, type ListenAddress, type Listener } from "../transport/mod.ts";
import { Collector } from "./collector.ts";
import { parseInjection } from "./inject.ts";
import type { FromProxy, ProxyStart, ProxyTarget } from "./proxy_protocol.ts";
import type { Observer } from "./types.ts";

/** Milliseconds for the thread to end once it was told to. */
const STOP_MS = 2000;
const MAX_CONNECTIONS = 256;

/** Where a proxy listens: at sockets for clients, and at those for monitors of virtual machines. */
export type ProxyAddress =
  | ListenAddress
  | { readonly kind: "vhost-user"; readonly path: string };

/** Options of {@linkcode startProxy}. */
export interface ProxyOptions {
  /** Where clients connect. */
  readonly listen: readonly ProxyAddress[];
  /** The server behind it. */
  readonly to: ProxyTarget;
  /** What is to go wrong: see {@linkcode parseInjection}. */
  readonly inject?: readonly string[];
  /** Mount tag of devices; that of the device behind them if not given, or `trace`. */
  readonly tag?: string;
  /** Gets conversations, frames and what is no frame; no transactions. */
  readonly observer: Observer;
  /** Bytes of what is read and written that are kept of each message; all if not given. */
  readonly payload?: number;
  /** Connections at once, 256 if not given; others wait. */
  readonly maxConnections?: number;
  /** Is told what goes wrong, in one line. */
  readonly warn?: (message: string) => void;
}

/** A proxy at work. */
export interface RunningProxy {
  /** Where it listens, as addresses to dial. */
  readonly addresses: readonly string[];
  /** Settles when the proxy has ended, by `stop`, or rejects because it could not go on. */
  readonly done: Promise<void>;
  /** Ends all connections, and tells the observer of the end. Calling it again waits for the same. */
  stop(): Promise<void>;
}

/**
 * Starts a proxy.
 *
 * It passes bytes on as they come, whatever they are, each way at the pace of whoever takes them.
 * Where the observer is slower than the traffic, the traffic waits: nothing is lost.
 *
 * @throws {Error} If it cannot listen, or a device behind it cannot be asked.
 * @throws {TypeError} If a rule of what is to go wrong is none.
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  for (const rule of options.inject ?? []) parseInjection(rule);
  const listeners: Listener[] = [];
  const devices: Listener[] = [];
  try {
    for (const address of options.listen) {
      if (address.kind !== "vhost-user") listeners.push(await listen(address));
      else devices.push(await listen({ kind: "unix", path: address.path }));
    }
    const proxy = new Proxy(options, listeners, devices);
    await proxy.ready;
    return proxy;
  } catch (error) {
    for (const listener of [...listeners, ...devices]) listener[Symbol.dispose]();
    throw error;
  }
}

class Proxy implements RunningProxy {
  readonly addresses: readonly string[];
  readonly done: Promise<void>;
  readonly ready: Promise<void>;
  readonly #listeners: readonly Listener[];
  readonly #collector: Collector;
  readonly #worker: Worker;
  readonly #warn: (message: string) => void;
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #done = Promise.withResolvers<void>();
  readonly #ending = new Int32Array(new SharedArrayBuffer(4));
  #wakeFd = -1;
  #failure: Error | null = null;
  #stopping: Promise<void> | null = null;

  constructor(
    options: ProxyOptions,
    listeners: readonly Listener[],
    devices: readonly Listener[],
  ) {
    this.#listeners = [...listeners, ...devices];
    this.#warn = options.warn ?? (() => {});
    this.addresses = [
      ...listeners.map(({ address }) => address),
      ...devices.map(({ address }) => address.replace(/^unix:/, "vhost-user:")),
    ];
    this.ready = this.#ready.promise;
    this.done = this.#done.promise;
    this.done.catch(() => {});
    this.#collector = new Collector(options.observer);
    const start: ProxyStart = {
      ending: this.#ending,
      listeners: listeners.map(({ fd }) => fd),
      devices: devices.map(({ fd }) => fd),
      tag: options.tag ?? null,
      inject: options.inject ?? [],
      to: options.to,
      ring: this.#collector.addRing(),
      payload: options.payload ?? Infinity,
      maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
    };
    this.#collector.start();
    this.#worker = new Worker(new URL("./proxy_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromProxy>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#worker.postMessage(start);
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  #receive(message: FromProxy): void {
    switch (message.kind) {
      case "ready":
        this.#wakeFd = message.wakeFd;
        this.#ready.resolve();
        break;
      case "warn":
        this.#warn(message.message);
        break;
      case "failed":
        this.#fail(message.message);
        break;
      case "ended":
        this.#ended.resolve();
        break;
    }
  }

  #fail(message: string): void {
    this.#failure = new Error(message);
    this.#ready.reject(this.#failure);
    this.#ended.resolve();
    void this.stop();
  }

  async #stop(): Promise<void> {
    Atomics.store(this.#ending, 0, 1);
    if (this.#failure === null && this.#wakeFd >= 0) eventfdWrite(this.#wakeFd, 1);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, STOP_MS));
    await Promise.race([this.#ended.promise, late]);
    clearTimeout(timer);
    this.#worker.terminate();
    for (const listener of this.#listeners) listener[Symbol.dispose]();
    await this.#collector.stop();
    if (this.#failure === null) this.#done.resolve();
    else this.#done.reject(this.#failure);
  }
}
