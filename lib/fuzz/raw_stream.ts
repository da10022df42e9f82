/**
 * Raw connections over sockets.
 *
 * They read when somebody asks for an answer, with plain system calls: what Deno's own sockets cost
 * for each message is more than most servers need to answer it.
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
  pin,
  type Pinned,
  POLLIN,
  recv,
  send,
  SHUT_RDWR,
  SHUT_WR,
  shutdown,
} from "../linux/mod.ts";
import { HEADER_SIZE } from "../p9/mod.ts";
import { holdFor, nextTurn, SocketWait, turnFor } from "./socket_wait.ts";
import type { RawConnection, Received } from "./target.ts";

/** Bytes read or written at once. */
const ROOM = 1 << 18;
/** Largest frame that can be meant: above the largest msize of any server. */
const MAX_FRAME = 1 << 25;
/** Longest wait for a peer to hang up when we have, in milliseconds. */
const LEAVING_MS = 1000;

const NOTHING: Uint8Array = new Uint8Array(0);
const DONE: Promise<void> = Promise.resolve();

/** What the kernel reads from and writes to: for all connections, of which one is at it at a time. */
let room: Pinned | undefined;

/** A connection over a socket, which it owns. */
export class RawStream implements RawConnection {
  /** A stream loses no request. */
  readonly dropped: number = 0;
  readonly #fd: number;
  readonly #wait: SocketWait;
  #frames: Uint8Array[] = [];
  #next = 0;
  /** The beginning of a frame that has not come whole. */
  #part: Uint8Array = NOTHING;
  #partSize = 0;
  /** What the socket has not taken yet. */
  #unsent: Uint8Array = NOTHING;
  /** Whether the peer has ever answered: what it needs before may need this thread. */
  #isServed = false;
  #isOver = false;
  #leaving: Promise<void> | null = null;

  /**
   * Takes over a socket.
   *
   * @param fd Connected; whether it blocks does not matter.
   */
  constructor(fd: number) {
    this.#fd = fd;
    this.#wait = new SocketWait(fd);
  }

  /** @see RawConnection.pending */
  get pending(): number {
    return this.#partSize;
  }

  /** @see RawConnection.send */
  send(bytes: Uint8Array): Promise<void> {
    if (this.#leaving !== null) return DONE;
    if (this.#unsent.length > 0) this.#unsent = Buffer.concat([this.#unsent, bytes]);
    else {
      const sent = this.#write(bytes);
      // Whoever waits for an answer sends the rest; what is given to us is borrowed.
      if (sent < bytes.length) this.#unsent = bytes.slice(sent);
    }
    return DONE;
  }

  /** Writes what the socket takes at once; all of it where nobody will read it. */
  #write(bytes: Uint8Array): number {
    room ??= pin(ROOM);
    let done = 0;
    while (done < bytes.length) {
      const count = Math.min(bytes.length - done, ROOM);
      room.bytes.set(count === bytes.length ? bytes : bytes.subarray(done, done + count));
      const sent = send(this.#fd, room.address, count, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent === -EAGAIN) return done;
      // The reading side tells that the connection is over.
      if (sent < 0) return bytes.length;
      done += sent;
    }
    return done;
  }

  /** @see RawConnection.take */
  take(): Uint8Array | undefined {
    const frame = this.#frames[this.#next];
    if (frame !== undefined && ++this.#next === this.#frames.length) this.#forget();
    return frame;
  }

  #forget(): void {
    this.#frames = [];
    this.#next = 0;
  }

  /** @see RawConnection.receive */
  async receive(timeoutMs: number): Promise<Received> {
    const kept = this.take();
    if (kept !== undefined) return kept;
    // Others of this thread have their turn until the answer is there, which takes longer.
    await nextTurn();
    if (!this.#isOver) {
      if (this.#isServed && this.#unsent.length === 0) holdFor(this.#fd, POLLIN, timeoutMs);
      else await turnFor(this.#fd, POLLIN, timeoutMs);
    }
    // The clock is not asked where the answer is there by now.
    for (let until = 0;;) {
      this.#move();
      const frame = this.take();
      if (frame !== undefined) return frame;
      if (this.#isOver) return null;
      const now = performance.now();
      if (until === 0) until = now + timeoutMs;
      else if (now >= until) return undefined;
      await this.#ready(until - now);
    }
  }

  #ready(ms: number): Promise<void> {
    return this.#wait.for(EPOLLIN | (this.#unsent.length > 0 ? EPOLLOUT : 0), ms);
  }

  /** @see RawConnection.close */
  close(): Promise<void> {
    return this.#leaving ??= this.#leave();
  }

  /** Lets the peer finish what it was asked: it may change files after we are gone otherwise. */
  async #leave(): Promise<void> {
    this.#unsent = NOTHING;
    shutdown(this.#fd, SHUT_WR);
    const until = performance.now() + LEAVING_MS;
    if (!this.#isOver) await turnFor(this.#fd, POLLIN, LEAVING_MS);
    for (;;) {
      this.#move();
      this.#forget();
      const left = until - performance.now();
      if (this.#isOver || left <= 0) break;
      await this.#ready(left);
    }
    this.#isOver = true;
    shutdown(this.#fd, SHUT_RDWR);
    await this.#wait[Symbol.asyncDispose]();
    close(this.#fd);
  }

  /** Sends what is left to send, takes what has come. */
  #move(): void {
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.slice(this.#write(this.#unsent));
    room ??= pin(ROOM);
    while (!this.#isOver) {
      const count = recv(this.#fd, room.address, ROOM, MSG_DONTWAIT);
      if (count === -EAGAIN) return;
      // Reset by the peer is over as well.
      if (count <= 0) {
        this.#isOver = true;
        return;
      }
      this.#isServed = true;
      this.#accept(room.bytes, count);
      if (count < ROOM) return;
    }
  }

  /** Cuts frames out of what has come. */
  #accept(bytes: Uint8Array, count: number): void {
    let from = bytes;
    let end = count;
    if (this.#partSize > 0) {
      end += this.#partSize;
      if (end > this.#part.length) {
        const larger = new Uint8Array(Math.max(end, 2 * this.#part.length));
        larger.set(this.#part.subarray(0, this.#partSize));
        this.#part = larger;
      }
      this.#part.set(bytes.subarray(0, count), this.#partSize);
      from = this.#part;
    }
    const start = this.#cut(from, end);
    this.#partSize = start < 0 ? 0 : end - start;
    if (this.#partSize === 0) this.#part = NOTHING;
    else if (from === this.#part) from.copyWithin(0, start, end);
    else this.#part = from.slice(start, end);
    if (start < 0) this.#isOver = true;
  }

  /** Gives all whole frames; where the first one that is not whole begins, -1 if there is no going on. */
  #cut(bytes: Uint8Array, end: number): number {
    let start = 0;
    while (end - start >= 4) {
      const size = ((bytes[start] as number) | (bytes[start + 1] as number) << 8 |
        (bytes[start + 2] as number) << 16 | (bytes[start + 3] as number) << 24) >>> 0;
      if (size < HEADER_SIZE || size > MAX_FRAME) {
        this.#frames.push(bytes.slice(start, end));
        return -1;
      }
      if (end - start < size) break;
      this.#frames.push(bytes.slice(start, start + size));
      start += size;
    }
    return start;
  }
}
