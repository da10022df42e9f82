/**
 * One stream socket and the requests that come through it.
 *
 * @module
 */
import {
  close,
  EAGAIN,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  send,
} from "../linux/mod.ts";
import { HEADER_SIZE, Segments, type Wire } from "../p9/mod.ts";
import { type Buffer, BufferPool } from "./buffers.ts";
import type { Accept, Connection, Exchange, Peer, Receiver } from "./exchange.ts";
import type { Reactor } from "./reactor.ts";
import { Replies } from "./replies.ts";

/** Requests that a connection may have carried out before others get their turn, */
const ROUND = 64;
/** unless they take longer than so many milliseconds, */
const ROUND_MS = 1;
/** for which the clock is looked at after every so many, */
const LOOK_EVERY = 4;
/** or, while others speak, requests and answers together have so many bytes. */
const ROUND_BYTES = 65_536;
/**
 * Bytes taken from a connection at once while others speak: the kernel copies so many in a moment. A
 * write of 64 KiB comes whole, with what is around its data.
 */
const SLICE = 69_632;
/** A connection has company for so many turns after another one has had its turn. */
const COMPANY = 16;
/** Milliseconds in which a frame arrives, or replies are taken, when all is well. */
const STALL_MS = 1000;

/** A part of a buffer that the peer has not taken yet. */
interface Unsent {
  readonly buffer: Buffer;
  from: number;
  readonly to: number;
}

/** Why a connection was ended that had done nothing forbidden. */
export type Eviction =
  /** Memory was short, and it had begun a frame long ago, or taken no replies for long. */
  | "memory"
  /** It has said nothing since it began. */
  | "silent"
  /** There was no memory at all, or something else failed. */
  | "failure";

/** What the owner of a {@linkcode StreamContext} decides. */
export interface StreamContextOptions {
  /** Largest message of any receiver, in bytes. */
  readonly maxMessage: number;
  /** Bytes of buffers beyond which connections that stand still are ended; at twice as many, all that hold any. */
  readonly maxBuffers: number;
  /** Called when a connection has ended. */
  readonly ended: (connection: StreamConnection) => void;
  /** Called when a connection is ended for the sake of others. */
  readonly evicted: (connection: StreamConnection, why: Eviction) => void;
}

/** What the connections of one thread share. */
export class StreamContext {
  /** The loop they live on. */
  readonly reactor: Reactor;
  /** Receive and reply buffers. */
  readonly pool: BufferPool;
  /** Replies being gathered. */
  readonly replies: Replies;
  /** Requests that wait for a promise, on all connections. */
  deferred = 0;
  /** Called when a connection has ended. */
  readonly ended: (connection: StreamConnection) => void;
  readonly #options: StreamContextOptions;
  readonly #loopers = new Set<StreamConnection>();
  /** Connections that hold buffers between two turns: parts of frames, replies that nobody took. */
  readonly #holders = new Set<StreamConnection>();
  /** Connections with whole frames at hand, which others went before. */
  #queue: StreamConnection[] = [];
  /** Connections that wait for others to give memory back. */
  readonly #crowded = new Set<StreamConnection>();
  #isRelaxing = false;
  #exchange: StreamExchange;
  /** Whose turn it was last, */
  #last: StreamConnection | null = null;
  /** and for how many turns after that of another one. */
  #turns = 0;

  /** Makes a context without connections. */
  constructor(reactor: Reactor, options: StreamContextOptions) {
    this.reactor = reactor;
    this.#options = options;
    // Behind any frame there is room for a whole one more, so frames rarely have to be moved.
    this.pool = new BufferPool(2 * options.maxMessage);
    this.replies = new Replies(this.pool);
    this.ended = (connection) => {
      if (this.#last === connection) this.#last = null;
      this.replies.forget(connection);
      this.#loopers.delete(connection);
      this.#holders.delete(connection);
      this.#crowded.delete(connection);
      options.ended(connection);
      this.relax();
    };
    this.#exchange = new StreamExchange(this);
  }

  /** A connection is about to receive. Returns the bytes that it may take at once. */
  slice(connection: StreamConnection): number {
    if (this.#last !== connection) {
      if (this.#last !== null) this.#turns = 0;
      this.#last = connection;
    }
    return this.#turns++ < COMPANY ? SLICE : Infinity;
  }

  /** Whether others have spoken of late. */
  hasCompany(connection: StreamConnection): boolean {
    return this.#last !== connection || this.#turns < COMPANY;
  }

  /** Lets others have their turn before a connection goes on. */
  enqueue(connection: StreamConnection): void {
    this.#queue.push(connection);
    if (this.#queue.length === 1) this.reactor.after(0, () => this.#runQueue());
  }

  #runQueue(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const connection of queue) connection.goOn();
  }

  /** Whether a connection must wait with its next request until those under way have ended. */
  isCrowded(connection: StreamConnection): boolean {
    const { maxBuffers } = this.#options;
    if (this.pool.bytes <= maxBuffers) return false;
    this.relieve(connection);
    const isShort = this.pool.bytes > maxBuffers && connection.deferred > 0 ||
      this.pool.bytes > 2 * maxBuffers && this.deferred > 0;
    if (isShort) this.#crowded.add(connection);
    return isShort;
  }

  /** Whether there is no memory for a connection that holds none, until requests have ended. */
  isFull(connection: StreamConnection): boolean {
    const most = 2 * this.#options.maxBuffers;
    if (this.pool.bytes <= most || this.deferred === 0) return false;
    this.relieve(connection);
    if (this.pool.bytes <= most || this.deferred === 0) return false;
    this.#crowded.add(connection);
    return true;
  }

  /** Memory was given back: connections that wait for some go on, when this round is over. */
  relax(): void {
    if (this.#crowded.size === 0 || this.#isRelaxing) return;
    this.#isRelaxing = true;
    this.reactor.after(0, () => {
      this.#isRelaxing = false;
      const waiting = [...this.#crowded];
      this.#crowded.clear();
      for (const connection of waiting) connection.resume();
    });
  }

  /** Notes whether a connection holds buffers between two turns. */
  hold(connection: StreamConnection, isHolding: boolean): void {
    if (isHolding) this.#holders.add(connection);
    else if (this.#holders.size > 0) this.#holders.delete(connection);
  }

  /** Ends connections that hold memory for nothing, if there is too much of it; the oldest first. */
  relieve(asking: StreamConnection): void {
    const { maxBuffers } = this.#options;
    while (this.pool.bytes > maxBuffers) {
      let oldest: StreamConnection | null = null;
      for (const holder of this.#holders) {
        if (holder === asking || holder.isProcessing) continue;
        if (oldest === null || holder.stalledSince < oldest.stalledSince) oldest = holder;
      }
      if (oldest === null) return;
      const isStale = oldest.stalledSince < performance.now() - STALL_MS;
      if (!isStale && this.pool.bytes <= 2 * maxBuffers) return;
      this.evict(oldest, "memory");
    }
  }

  /** Ends a connection for the sake of others. */
  evict(connection: StreamConnection, why: Eviction): void {
    if (connection.isClosed) return;
    this.#options.evicted(connection, why);
    connection.close();
  }

  /** True while a receiver needs Deno's event loop. */
  get needsEventLoop(): boolean {
    for (const connection of this.#loopers) {
      if (connection.receiver.needsEventLoop) return true;
      this.#loopers.delete(connection);
    }
    return false;
  }

  /** The exchange for the next request of a connection. */
  begin(connection: StreamConnection, buffer: Buffer, start: number, size: number): StreamExchange {
    this.#exchange.begin(connection, buffer, start, size);
    return this.#exchange;
  }

  /** The exchange goes on by itself: the next request gets another one. */
  detach(): void {
    this.#exchange = new StreamExchange(this);
    this.deferred++;
  }

  /** After a request was handed over: it may be that its answer needs the event loop. */
  heed(connection: StreamConnection): void {
    if (connection.receiver.needsEventLoop) this.#loopers.add(connection);
  }
}

/** One socket. */
export class StreamConnection implements Connection {
  readonly peer: Peer;
  readonly receiver: Receiver;
  /** When the last request had arrived or replies were taken, by `performance.now()`. */
  lastProgress: number = performance.now();
  /** Since when it holds part of a frame, or replies that were not taken; of no meaning if it holds neither. */
  stalledSince = 0;
  /** Whether any request has arrived. */
  hasSpoken = false;
  /** Exchanges that have not ended. */
  deferred = 0;
  /** Bytes of requests and answers of this round. */
  moved = 0;
  readonly #context: StreamContext;
  readonly #fd: number;
  #input: Buffer | null = null;
  #start = 0;
  #end = 0;
  readonly #unsent: Unsent[] = [];
  #isClosed = false;
  #isProcessing = false;
  #isPaused = false;
  #isDraining = false;
  #isOver = false;
  #isQueued = false;
  #isHolding = false;
  #events = EPOLLIN;

  /**
   * Serves a socket.
   *
   * @param fd Owned from here on.
   */
  constructor(context: StreamContext, fd: number, peer: Peer, accept: Accept) {
    this.#context = context;
    this.#fd = fd;
    this.peer = peer;
    this.receiver = accept(this);
  }

  /** Whether a request is under way or a reply unsent. */
  get isBusy(): boolean {
    return this.deferred > 0 || this.#unsent.length > 0;
  }

  /** Whether the socket is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether requests are being handed over just now, so that replies are gathered. */
  get isProcessing(): boolean {
    return this.#isProcessing;
  }

  /** Something is the case with the socket. */
  ready(events: number): void {
    if (this.#isClosed) return;
    if ((events & EPOLLOUT) !== 0) this.#sendUnsent();
    if (this.#isClosed || this.#isQueued) return;
    if (this.#isPaused || this.#isDraining || this.#unsent.length > 0) {
      // Nothing is read now. But a peer that is gone for good must not keep the loop awake.
      if ((events & ~(EPOLLIN | EPOLLOUT)) !== 0) this.close();
      return;
    }
    if ((events & ~EPOLLOUT) !== 0) this.#receive();
  }

  /** Its turn has come again. */
  goOn(): void {
    this.#isQueued = false;
    if (!this.#isClosed && !this.#isPaused && !this.#isDraining) this.#process();
  }

  resume(): void {
    if (!this.#isPaused || this.#isProcessing || this.#isQueued || this.#isClosed) return;
    if (this.receiver.isFull || this.#unsent.length > 0 || this.#isDraining) return;
    this.#isPaused = false;
    this.#process();
  }

  abort(): void {
    this.close();
  }

  /** Takes no more requests; ends when the last reply is sent. */
  drain(): void {
    this.#isDraining = true;
    this.#settle();
  }

  /** Sends part of a buffer, or keeps it until the peer takes it. */
  write(buffer: Buffer, from: number, to: number): void {
    if (this.#isClosed) return;
    let at = from;
    if (this.#unsent.length === 0) {
      const sent = this.#send(buffer, from, to);
      if (sent < 0) return;
      at += sent;
    }
    if (at < to) {
      buffer.holds++;
      this.#unsent.push({ buffer, from: at, to });
      this.#noteHolding();
      this.#rewatch();
    }
  }

  /** An exchange of this connection that was deferred has ended. */
  settled(): void {
    this.deferred--;
    this.#context.deferred--;
    this.#settle();
    this.#context.relax();
  }

  /** Ends the connection. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#context.reactor.unwatch(this.#fd);
    close(this.#fd);
    this.receiver.close();
    const { pool } = this.#context;
    if (this.#input !== null && !this.#isProcessing) {
      pool.retire(this.#input);
      this.#input = null;
    }
    for (const { buffer } of this.#unsent.splice(0)) pool.unhold(buffer);
    this.#context.ended(this);
  }

  /** Sends; returns bytes sent, or -1 if the connection has ended over it. */
  #send(buffer: Buffer, from: number, to: number): number {
    const sent = send(this.#fd, buffer.address + from, to - from, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (sent === -EAGAIN) return 0;
    this.close();
    return -1;
  }

  #sendUnsent(): void {
    for (;;) {
      const first = this.#unsent[0];
      if (first === undefined) break;
      const sent = this.#send(first.buffer, first.from, first.to);
      if (sent < 0) return;
      if (sent > 0) this.lastProgress = performance.now();
      first.from += sent;
      if (first.from < first.to) return;
      this.#unsent.shift();
      this.#context.pool.unhold(first.buffer);
    }
    this.#noteHolding();
    this.#rewatch();
    this.#settle();
    this.#context.relax();
    this.resume();
  }

  /** Ends the connection if it was only kept for what has happened now. */
  #settle(): void {
    if (this.#isClosed || this.#isProcessing || this.isBusy) return;
    if (this.#isDraining || this.#isOver) this.close();
  }

  /** Remembers since when buffers are held that only the peer can free. */
  #noteHolding(): void {
    const isWaiting = this.#isPaused || this.#isQueued;
    const hasPart = this.#input !== null && this.#start < this.#end && !isWaiting;
    const isHolding = !this.#isClosed && (hasPart || this.#unsent.length > 0);
    if (isHolding && !this.#isHolding) this.stalledSince = performance.now();
    if (isHolding !== this.#isHolding) this.#context.hold(this, isHolding);
    this.#isHolding = isHolding;
  }

  #receive(): void {
    try {
      this.#receiveSome();
    } catch {
      // There is no memory for a buffer.
      this.#context.evict(this, "failure");
    }
  }

  #receiveSome(): void {
    const { pool } = this.#context;
    const { msize } = this.receiver;
    if (this.#input === null) {
      if (this.#context.isFull(this)) {
        this.#isPaused = true;
        this.#rewatch();
        return;
      }
      this.#input = pool.take();
      this.#start = this.#end = 0;
    } else if (this.#start + msize > pool.capacity) this.#move();
    const buffer = this.#input as Buffer;
    // Not more than one msize from the frame's start: large frames then never have to be moved.
    const most = this.#start + msize - this.#end;
    const room = Math.min(most, this.#context.slice(this));
    const n = recv(this.#fd, buffer.address + this.#end, room, MSG_DONTWAIT);
    if (n <= 0) {
      if (n === -EAGAIN) this.#keepInput();
      else this.close();
      return;
    }
    this.#end += n;
    pool.touch(buffer, this.#end);
    this.#context.relieve(this);
    this.#process();
  }

  /** Moves the beginning of a frame to the front of a buffer, so that the rest finds room. */
  #move(): void {
    const { pool } = this.#context;
    const buffer = this.#input as Buffer;
    const length = this.#end - this.#start;
    if (buffer.holds === 0) {
      buffer.bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const next = pool.take();
      next.bytes.set(buffer.bytes.subarray(this.#start, this.#end));
      pool.touch(next, length);
      pool.retire(buffer);
      this.#input = next;
    }
    this.#start = 0;
    this.#end = length;
  }

  /** Hands whole frames over until there is none left or the receiver can take no more. */
  #process(): void {
    const context = this.#context;
    const { receiver } = this;
    const buffer = this.#input;
    if (buffer === null) {
      this.#rewatch();
      return;
    }
    const { view } = buffer.wire;
    this.#isProcessing = true;
    const before = this.#start;
    const now = performance.now();
    let count = 0;
    this.moved = 0;
    while (this.#end - this.#start >= 4) {
      const size = view.getUint32(this.#start, true);
      if (size < HEADER_SIZE || size > receiver.msize) {
        // Nothing tells where the next frame would begin. @see intro(5)
        context.replies.flush();
        this.close();
        break;
      }
      if (this.#end - this.#start < size) break;
      if (receiver.isFull || this.#unsent.length > 0 || context.isCrowded(this)) {
        this.#isPaused = true;
        break;
      }
      if (count >= ROUND || isLate(count, now) || this.#isLarge()) {
        this.#isQueued = true;
        break;
      }
      count++;
      const exchange = context.begin(this, buffer, this.#start, size);
      this.#start += size;
      this.moved += size;
      try {
        receiver.receive(exchange);
      } catch {
        // There is no memory for a reply.
        context.evict(this, "failure");
      }
      if (this.#isClosed) break;
      if (receiver.isOver) {
        this.#isOver = this.#isDraining = true;
        break;
      }
    }
    if (!this.#isClosed) context.replies.flush();
    this.#isProcessing = false;
    if (this.#isClosed) {
      if (this.#input !== null) context.pool.retire(this.#input);
      this.#input = null;
      return;
    }
    if (this.#start > before) {
      this.lastProgress = now;
      this.hasSpoken = true;
      // What is left of the input belongs to another frame than before.
      this.stalledSince = now;
    }
    context.heed(this);
    this.#keepInput();
    this.#noteHolding();
    this.#rewatch();
    if (this.#isQueued) context.enqueue(this);
    this.#settle();
  }

  /** Whether this round has moved so much that others are to have their turn. */
  #isLarge(): boolean {
    return this.moved >= ROUND_BYTES && this.#context.hasCompany(this);
  }

  /** Keeps the receive buffer only while part of a frame is in it. */
  #keepInput(): void {
    if (this.#input === null || this.#start < this.#end) return;
    this.#context.pool.retire(this.#input);
    this.#input = null;
  }

  #rewatch(): void {
    if (this.#isClosed) return;
    let events = 0;
    if (!this.#isPaused && !this.#isDraining && this.#unsent.length === 0) events |= EPOLLIN;
    if (this.#unsent.length > 0) events |= EPOLLOUT;
    if (events === this.#events) return;
    this.#events = events;
    this.#context.reactor.rewatch(this.#fd, events);
  }
}

/** Whether a round that began at some time has taken too long after so many requests. */
function isLate(count: number, began: number): boolean {
  return count > 0 && count % LOOK_EVERY === 0 && performance.now() - began > ROUND_MS;
}

/** One request from a socket. */
export class StreamExchange implements Exchange {
  start = 0;
  size = 0;
  room = 0;
  readonly #context: StreamContext;
  #connection: StreamConnection | null = null;
  #buffer: Buffer | null = null;
  readonly #in = new Segments();
  readonly #out = new Segments();
  #hasPayloadIn = false;
  #reply: Buffer | null = null;
  #replyAt = 0;
  #isDeferred = false;
  #holdsRequest = false;
  #holdsReply = false;

  constructor(context: StreamContext) {
    this.#context = context;
  }

  get wire(): Wire {
    return (this.#buffer as Buffer).wire;
  }

  get end(): number {
    return this.start + this.size;
  }

  get reply(): Wire {
    return this.#place().wire;
  }

  get replyAt(): number {
    this.#place();
    return this.#replyAt;
  }

  begin(connection: StreamConnection, buffer: Buffer, start: number, size: number): void {
    this.#connection = connection;
    this.#buffer = buffer;
    this.start = start;
    this.size = size;
    this.room = connection.receiver.msize;
    this.#reply = null;
    this.#hasPayloadIn = false;
    this.#isDeferred = this.#holdsRequest = this.#holdsReply = false;
  }

  payloadIn(offset: number, length: number): Segments {
    this.#hasPayloadIn = true;
    this.#in.clear();
    this.#in.add(this.#buffer as Buffer, this.start + offset, length);
    return this.#in;
  }

  payloadOut(offset: number, length: number): Segments {
    const buffer = this.#place();
    this.#out.clear();
    this.#out.add(buffer, this.#replyAt + offset, length);
    return this.#out;
  }

  defer(withRequest: boolean): void {
    if (!this.#isDeferred) {
      this.#isDeferred = true;
      (this.#connection as StreamConnection).deferred++;
      this.#context.detach();
    }
    // A request that waited its turn may have to wait again, with more that it needs.
    if ((withRequest || this.#hasPayloadIn) && !this.#holdsRequest) {
      (this.#buffer as Buffer).holds++;
      this.#holdsRequest = true;
    }
    if (this.#reply !== null && !this.#holdsReply) {
      this.#reply.holds++;
      this.#holdsReply = true;
      this.#context.pool.touch(this.#reply, this.#replyAt + this.room);
      // What was gathered before goes out now; what comes later is gathered elsewhere.
      this.#context.replies.abandon();
    }
  }

  send(size: number): void {
    const connection = this.#connection as StreamConnection;
    const reply = this.#place();
    const from = this.#replyAt;
    if (this.#holdsReply) {
      connection.write(reply, from, from + size);
    } else if (!connection.isClosed) {
      connection.moved += size;
      this.#context.replies.append(connection, from + size, connection.isProcessing);
    }
    this.#finish();
  }

  drop(): void {
    this.#finish();
  }

  /** Where the reply goes: taken when first needed. */
  #place(): Buffer {
    if (this.#reply !== null) return this.#reply;
    this.#reply = this.#context.replies.reserve(this.#connection as StreamConnection, this.room);
    this.#replyAt = this.#context.replies.at;
    return this.#reply;
  }

  #finish(): void {
    const connection = this.#connection as StreamConnection;
    if (!this.#isDeferred) return;
    const { pool } = this.#context;
    this.#isDeferred = false;
    if (this.#holdsRequest) pool.unhold(this.#buffer as Buffer);
    if (this.#holdsReply) pool.unhold(this.#reply as Buffer);
    this.#buffer = this.#reply = null;
    connection.settled();
  }
}
