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
import { HEADER_SIZE, Segments, TWRITE_HEADER, TYPE, Wire } from "../p9/mod.ts";
import { type Chain, DeviceQueue, type FaultListener, type Virtqueue } from "../virtio/mod.ts";
import type { Accept, Connection, Exchange, Peer, Receiver } from "./exchange.ts";
import type { LoopUser } from "./reactor.ts";

/** Bytes of a request that most requests fit in. */
const REQUEST_BYTES = 1024;
/** Bytes of a reply that most replies without payload fit in. */
const REPLY_BYTES = 512;
/** Payload bytes after which the driver is shown what is done, though more is to come. */
const GATHERED = 65_536;
/** Largest size of an Rlerror, which every reply buffer should have room for. */
const MIN_ROOM = 11;

/** Options of a {@linkcode VirtqueueTransport}. */
export interface VirtqueueOptions {
  /** Makes the receiver. */
  readonly accept: Accept;
  /** Calls the driver. */
  readonly call: () => void;
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
  #ungathered = 0;
  #requests = 0;
  #kicks = 0;
  #calls = 0;
  #idle: (() => void)[] = [];

  /** Makes a transport whose queue is not set up yet. */
  constructor(options: VirtqueueOptions) {
    this.#options = options;
    this.peer = options.peer;
    const queueOptions = options.onFault === undefined ? {} : { onFault: options.onFault };
    this.#queue = new DeviceQueue(() => new Segments(), queueOptions);
    this.#receiver = options.accept(this);
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
    if (!this.#isClosed) this.#receiver = this.#options.accept(this);
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
    do {
      queue.disableKicks();
      for (;;) {
        if (this.#receiver.isFull) {
          this.#isPaused = true;
          break;
        }
        const chain = queue.next();
        if (chain === undefined) break;
        this.#take(chain);
      }
    } while (!this.#isPaused && queue.enableKicks());
    this.#isRunning = false;
    this.#show();
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
    const exchange = this.#free.pop() ?? new VirtqueueExchange(this);
    this.#requests++;
    if (exchange.begin(chain, this.#receiver.msize)) this.#receiver.receive(exchange);
    else this.settle(exchange, chain, 0);
  }

  /** A view of the guest's memory for the codec. */
  wireOf(bytes: Uint8Array): Wire {
    let wire = this.#wires.get(bytes);
    if (wire === undefined) this.#wires.set(bytes, wire = new Wire(bytes));
    return wire;
  }

  /** An exchange will end later. */
  deferred(): void {
    this.#deferred++;
  }

  /** An exchange has ended: its chain goes back. */
  settle(exchange: VirtqueueExchange, chain: Chain<Segments>, length: number): void {
    this.#queue.add(chain, length);
    this.#ungathered += length;
    if (!this.#isRunning || this.#ungathered >= GATHERED) this.#show();
    if (exchange.isDeferred && --this.#deferred === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
    this.#free.push(exchange);
  }
}

/** One descriptor chain as a request and the place for its answer. */
class VirtqueueExchange implements Exchange {
  readonly start = 0;
  end = 0;
  size = 0;
  room = 0;
  isDeferred = false;
  readonly #transport: VirtqueueTransport;
  #chain: Chain<Segments> | null = null;
  #request = new Wire(new Uint8Array(REQUEST_BYTES));
  #scratch = new Wire(new Uint8Array(REPLY_BYTES));
  readonly #in = new Segments();
  readonly #out = new Segments();
  /** Where the reply is encoded, once it is known. */
  #reply: Wire | null = null;
  #replyAt = 0;
  /** Bytes of the reply in front of what was put in guest memory directly. */
  #direct = 0;

  constructor(transport: VirtqueueTransport) {
    this.#transport = transport;
  }

  get wire(): Wire {
    return this.#request;
  }

  get reply(): Wire {
    return this.#reply ?? this.#place();
  }

  get replyAt(): number {
    if (this.#reply === null) this.#place();
    return this.#replyAt;
  }

  /**
   * Copies out what a session decodes.
   *
   * @returns False if there is no message in the chain, or no room for any answer.
   */
  begin(chain: Chain<Segments>, msize: number): boolean {
    this.#chain = chain;
    this.isDeferred = false;
    this.#reply = null;
    this.#direct = -1;
    const there = chain.readable.length;
    this.room = Math.min(msize, chain.writable.length);
    if (there < HEADER_SIZE || this.room < MIN_ROOM) return false;
    const head = Math.min(there, TWRITE_HEADER);
    this.#copyOut(head);
    const size = this.#request.view.getUint32(0, true);
    if (size < HEADER_SIZE || size > msize || size > there) return false;
    this.size = size;
    // The payload of a Twrite stays where it is.
    const isWrite = this.#request.bytes[4] === TYPE.Twrite;
    this.end = isWrite ? Math.min(size, TWRITE_HEADER) : size;
    if (this.end > head) {
      this.#copyOut(this.end);
      // Read again, so it may say something else now: what counts is what was checked.
      this.#request.view.setUint32(0, size, true);
    }
    return true;
  }

  payloadIn(offset: number, length: number): Segments {
    this.#in.clear();
    this.#in.addSlice((this.#chain as Chain<Segments>).readable, offset, length);
    return this.#in;
  }

  payloadOut(offset: number, length: number): Segments {
    this.#direct = offset;
    this.#out.clear();
    this.#out.addSlice((this.#chain as Chain<Segments>).writable, offset, length);
    return this.#out;
  }

  defer(_withRequest: boolean): void {
    if (this.isDeferred) return;
    this.isDeferred = true;
    this.#transport.deferred();
  }

  send(size: number): void {
    const chain = this.#chain as Chain<Segments>;
    const reply = this.#reply;
    if (reply === this.#scratch) {
      // An error may have taken the place of the payload that was asked for.
      const isDirect = this.#direct >= 0 && reply.bytes[4] === TYPE.Rread;
      copyIn(reply.bytes, isDirect ? Math.min(size, this.#direct) : size, chain.writable);
    }
    this.#end(size);
  }

  drop(): void {
    this.#end(0);
  }

  #end(length: number): void {
    const chain = this.#chain as Chain<Segments>;
    this.#chain = null;
    this.#in.clear();
    this.#out.clear();
    this.#transport.settle(this, chain, length);
  }

  #copyOut(count: number): void {
    if (this.#request.bytes.length < count) this.#request = new Wire(new Uint8Array(count));
    const { readable } = this.#chain as Chain<Segments>;
    const target = this.#request.bytes;
    if (readable.count > 0 && (readable.lengths[0] as number) >= count && count <= LOOPED) {
      const source = (readable.memories[0] as { readonly bytes: Uint8Array }).bytes;
      const from = readable.offsets[0] as number;
      if (from < FAST_INDEX) {
        for (let i = 0; i < count; i++) target[i] = source[from + i] as number;
        return;
      }
    }
    readable.copyTo(target.length === count ? target : target.subarray(0, count));
  }

  /**
   * Where the reply is encoded: in guest memory, if it is in one piece there, else beside it. The
   * guest may change it there as it likes; nothing is read back.
   */
  #place(): Wire {
    const { writable } = this.#chain as Chain<Segments>;
    if (writable.count === 1) {
      this.#replyAt = writable.offsets[0] as number;
      const { bytes } = writable.memories[0] as { readonly bytes: Uint8Array };
      return this.#reply = this.#transport.wireOf(bytes);
    }
    const needed = this.#direct >= 0 ? REPLY_BYTES : this.room;
    if (this.#scratch.bytes.length < needed) this.#scratch = new Wire(new Uint8Array(needed));
    this.#replyAt = 0;
    return this.#reply = this.#scratch;
  }
}

/** Bytes that are copied by a loop: quicker than a view of them is made. */
const LOOPED = 128;
/** Typed arrays are slow from this index on. */
const FAST_INDEX = 2 ** 31 - 1024;

/** Copies the beginning of a reply into the guest's buffers. */
function copyIn(bytes: Uint8Array, count: number, into: Segments): void {
  if (into.count > 0 && (into.lengths[0] as number) >= count && count <= LOOPED) {
    const target = (into.memories[0] as { readonly bytes: Uint8Array }).bytes;
    const at = into.offsets[0] as number;
    if (at < FAST_INDEX) {
      for (let i = 0; i < count; i++) target[at + i] = bytes[i] as number;
      return;
    }
  }
  into.copyFrom(bytes.subarray(0, count));
}
