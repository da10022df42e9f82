/**
 * 9P over a virtqueue: the same sessions as over sockets, with requests and replies in the guest's
 * own memory.
 *
 * What a session decodes is copied out of guest memory first, because a guest may change it at any
 * moment; payloads are not: they go between the guest's pages and files.
 *
 * @see VIRTIO 1.2, 5.x (9P transport device); net/9p/trans_virtio.c of Linux for how drivers use it
 *
 * @module
 */
import { monotonicMicros } from "../linux/mod.ts";
import { Segments, Wire } from "../p9/mod.ts";
import { type Chain, DeviceQueue, type FaultListener, type Virtqueue } from "../virtio/mod.ts";
import type { Accept, Connection, Peer, Receiver } from "./exchange.ts";
import type { LoopUser } from "./reactor.ts";
import { type ExchangeOwner, VirtqueueExchange } from "./virtqueue_exchange.ts";

/** Payload bytes after which the driver is shown what is done, though more is to come. */
const GATHERED = 65_536;
/** Chains taken before others on the thread get their turn, the monitor above all. */
const ROUND = 64;

/** Options of a {@linkcode VirtqueueTransport}. */
export interface VirtqueueOptions {
  /** Makes the receiver. */
  readonly accept: Accept;
  /** Calls the driver. */
  readonly call: () => void;
  /**
   * Calls `run` soon, after others had their turn: a driver on a processor of its own can keep the
   * queue filled for ever. Without it, whatever is there is answered before anything else.
   */
  readonly later?: (run: () => void) => void;
  /** Whether {@linkcode VirtqueueTransport.offered} is wanted; false if not given. */
  readonly timesKicks?: boolean;
  /** What the server is told of the driver. */
  readonly peer: Peer;
  /** Is told of the driver's faults. */
  readonly onFault?: FaultListener;
}

/** What went over a queue. */
export interface VirtqueueCounts {
  /** Requests answered. */
  readonly requests: number;
  /** Kicks received. */
  readonly kicks: number;
  /** Calls made. */
  readonly calls: number;
}

/**
 * One virtqueue as a connection.
 *
 * The session outlives whatever happens to the queue: a driver that stops, resets or moves it goes
 * on with the same fids until its next Tversion or until {@linkcode VirtqueueTransport.close}.
 */
export class VirtqueueTransport implements LoopUser, Connection {
  readonly peer: Peer;
  readonly #options: VirtqueueOptions;
  readonly #queue: DeviceQueue<Segments>;
  #receiver: Receiver;
  readonly #free: VirtqueueExchange[] = [];
  readonly #wires = new WeakMap<Uint8Array, Wire>();
  #deferred = 0;
  #isRunning = false;
  #isPaused = false;
  #isStopped = true;
  #isClosed = false;
  /** The receiver will be asked once more to end what waits. */
  #isAsking = false;
  #ungathered = 0;
  #requests = 0;
  /** When the driver was last heard, by `monotonicMicros`, and what it had offered by then. */
  #heard = 0;
  #offeredThen = 0;
  #kicks = 0;
  #calls = 0;
  #idle: (() => void)[] = [];
  readonly #owner: ExchangeOwner = {
    wireOf: (bytes) => this.#wireOf(bytes),
    deferred: () => {
      this.#deferred++;
    },
    settle: (exchange, chain, length) => this.#settle(exchange, chain, length),
  };

  /** Makes a transport whose queue is not set up yet. */
  constructor(options: VirtqueueOptions) {
    this.#options = options;
    this.peer = options.peer;
    const queueOptions = options.onFault === undefined ? {} : { onFault: options.onFault };
    this.#queue = new DeviceQueue(() => new Segments(), queueOptions);
    this.#receiver = options.accept(this);
  }

  /** Each request takes one descriptor at least. */
  get capacity(): number {
    return this.#queue.size;
  }

  /** True while the session needs Deno's event loop. */
  get needsEventLoop(): boolean {
    return this.#receiver.needsEventLoop;
  }

  /** True while any request waits for a promise. */
  get hasPromises(): boolean {
    return this.#deferred > 0;
  }

  /** What went over the queue so far. */
  get counts(): VirtqueueCounts {
    return { requests: this.#requests, kicks: this.#kicks, calls: this.#calls };
  }

  /**
   * When the chain that is being taken is known to have been offered: at the latest when its kick was
   * heard. 0 for chains that came while others were answered, without one.
   */
  get offered(): number {
    return this.#requests <= this.#offeredThen ? this.#heard : 0;
  }

  /** The ring, which whoever makes the connection sets up and stops. */
  get ring(): Virtqueue<Segments> {
    return this.#queue;
  }

  /** The ring is set up: takes what is there. */
  ready(): void {
    this.#isStopped = false;
    this.#run();
  }

  /**
   * Takes no more requests, lets what waits for other clients give up, and waits for the rest: no
   * guest memory is in use afterwards, and the ring may be stopped.
   *
   * @returns Settles when no request is under way; undefined if none is.
   */
  quiesce(): Promise<void> | undefined {
    this.#isStopped = true;
    if (this.#deferred === 0) return undefined;
    const idle = new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#receiver.quiesce();
    return idle;
  }

  /** The driver has kicked. */
  kicked(): void {
    this.#kicks++;
    if (this.#options.timesKicks === true) {
      this.#heard = monotonicMicros();
      this.#offeredThen = this.#requests + this.#queue.waiting;
    }
    this.#run();
  }

  resume(): void {
    if (!this.#isPaused || this.#receiver.isFull) return;
    this.#isPaused = false;
    this.#run();
  }

  /** A session that broke the rules is over; the driver can begin another by Tversion. */
  abort(): void {
    this.#receiver.close();
    if (this.#isClosed) return;
    this.#receiver = this.#options.accept(this);
    this.resume(); // the one before may have been full
  }

  /** The VMM is gone: ends the session. The ring must have been stopped. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = this.#isStopped = true;
    this.#receiver.close();
  }

  /** Takes and answers chains until there is none left, without being kicked meanwhile. */
  #run(): void {
    if (this.#isRunning || this.#isPaused || this.#isStopped) return;
    this.#isRunning = true;
    const queue = this.#queue;
    const { later } = this.#options;
    let left = later === undefined ? Infinity : ROUND;
    do {
      queue.disableKicks();
      for (;;) {
        if (this.#receiver.isFull) {
          this.#isPaused = true;
          break;
        }
        if (left === 0) break;
        const chain = queue.next();
        if (chain === undefined) break;
        left--;
        this.#take(chain);
      }
    } while (!this.#isPaused && left > 0 && queue.enableKicks());
    this.#isRunning = false;
    this.#show();
    if (left === 0 && !this.#isPaused) later?.(() => this.#run());
  }

  /** Lets the driver see what is done, and calls it if it wants that. */
  #show(): void {
    this.#ungathered = 0;
    this.#queue.publish();
    if (!this.#queue.needsCall()) return;
    this.#calls++;
    this.#options.call();
  }

  #take(chain: Chain<Segments>): void {
    const exchange = this.#free.pop() ?? new VirtqueueExchange(this.#owner);
    this.#requests++;
    if (exchange.begin(chain, this.#receiver.msize)) this.#receiver.receive(exchange);
    else this.#settle(exchange, chain, 0);
  }

  #wireOf(bytes: Uint8Array): Wire {
    let wire = this.#wires.get(bytes);
    if (wire === undefined) this.#wires.set(bytes, wire = new Wire(bytes));
    return wire;
  }

  #settle(exchange: VirtqueueExchange, chain: Chain<Segments>, length: number): void {
    this.#queue.add(chain, length);
    this.#ungathered += length;
    if (!this.#isRunning || this.#ungathered >= GATHERED) this.#show();
    if (exchange.isDeferred) {
      if (--this.#deferred === 0) {
        for (const resolve of this.#idle.splice(0)) resolve();
      } else if (this.#idle.length > 0 && !this.#isAsking) {
        // What waited for this one begins now, and may want to wait as well.
        this.#isAsking = true;
        queueMicrotask(() => {
          this.#isAsking = false;
          if (this.#idle.length > 0) this.#receiver.quiesce();
        });
      }
    }
    this.#free.push(exchange);
  }
}
