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

/** A part of a buffer that the peer has not taken yet. */
interface Unsent {
  readonly buffer: Buffer;
  from: number;
  readonly to: number;
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
  readonly #loopers = new Set<StreamConnection>();
  #exchange: StreamExchange;

  /** Makes a context for messages up to a size. */
  constructor(
    reactor: Reactor,
    maxMessage: number,
    ended: (connection: StreamConnection) => void,
  ) {
    this.reactor = reactor;
    // Behind any frame there is room for a whole one more, so frames rarely have to be moved.
    this.pool = new BufferPool(2 * maxMessage);
    this.replies = new Replies(this.pool);
    this.ended = (connection) => {
      this.replies.forget(connection);
      this.#loopers.delete(connection);
      ended(connection);
    };
    this.#exchange = new StreamExchange(this);
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
  /** When the last request arrived, by `performance.now()`. */
  lastRequest: number = performance.now();
  /** Exchanges that have not ended. */
  deferred = 0;
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
    if (this.#isClosed) return;
    if (this.#isPaused || this.#isDraining || this.#unsent.length > 0) {
      // Nothing is read now. But a peer that is gone for good must not keep the loop awake.
      if ((events & ~(EPOLLIN | EPOLLOUT)) !== 0) this.close();
      return;
    }
    if ((events & ~EPOLLOUT) !== 0) this.#receive();
  }

  resume(): void {
    if (!this.#isPaused || this.#isProcessing || this.#isClosed) return;
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
      this.#rewatch();
    }
  }

  /** An exchange of this connection that was deferred has ended. */
  settled(): void {
    this.deferred--;
    this.#context.deferred--;
    this.#settle();
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
      first.from += sent;
      if (first.from < first.to) return;
      this.#unsent.shift();
      this.#context.pool.unhold(first.buffer);
    }
    this.#rewatch();
    this.#settle();
    this.resume();
  }

  /** Ends the connection if it was only kept for what has happened now. */
  #settle(): void {
    if (this.#isClosed || this.#isProcessing || this.isBusy) return;
    if (this.#isDraining || this.#isOver) this.close();
  }

  #receive(): void {
    const { pool } = this.#context;
    const { msize } = this.receiver;
    if (this.#input === null) {
      this.#input = pool.take();
      this.#start = this.#end = 0;
    } else if (this.#start + msize > pool.capacity) this.#move();
    const buffer = this.#input as Buffer;
    // Not more than one msize from the frame's start: large frames then never have to be moved.
    const room = this.#start + msize - this.#end;
    const n = recv(this.#fd, buffer.address + this.#end, room, MSG_DONTWAIT);
    if (n <= 0) {
      if (n === -EAGAIN) this.#keepInput();
      else this.close();
      return;
    }
    this.#end += n;
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
    this.lastRequest = performance.now();
    while (this.#end - this.#start >= 4) {
      const size = view.getUint32(this.#start, true);
      if (size < HEADER_SIZE || size > receiver.msize) {
        // Nothing tells where the next frame would begin. @see intro(5)
        context.replies.flush();
        this.close();
        break;
      }
      if (this.#end - this.#start < size) break;
      if (receiver.isFull || this.#unsent.length > 0) {
        this.#isPaused = true;
        break;
      }
      const exchange = context.begin(this, buffer, this.#start, size);
      this.#start += size;
      receiver.receive(exchange);
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
    context.heed(this);
    this.#keepInput();
    this.#rewatch();
    this.#settle();
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
