/**
 * Raw connections over sockets.
 *
 * @module
 */
import { HEADER_SIZE } from "../p9/mod.ts";
import type { RawConnection, Received } from "./target.ts";

/** Bytes asked for at once. */
const CHUNK = 1 << 18;
/** Largest frame that can be meant: above the largest msize of any server. */
const MAX_FRAME = 1 << 25;
/** Frames kept for whoever does not take them; reading pauses then. */
const MAX_KEPT = 4096;
/** Longest wait for a peer to hang up when we have, in milliseconds. */
const LEAVING_MS = 1000;

interface Waiting {
  readonly resolve: (received: Received) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** A connection over a socket of Deno, which it owns. */
export class RawStream implements RawConnection {
  /** A stream loses no request. */
  readonly dropped: number = 0;
  readonly #conn: Deno.Conn;
  readonly #reading: Promise<void>;
  #frames: Uint8Array[] = [];
  #next = 0;
  #waiting: Waiting | null = null;
  #resume: (() => void) | null = null;
  #writing: Promise<void> = Promise.resolve();
  #isOver = false;
  #isClosed = false;
  #pending = 0;

  /** Takes over an open socket. */
  constructor(conn: Deno.Conn) {
    this.#conn = conn;
    this.#reading = this.#read();
  }

  /** @see RawConnection.pending */
  get pending(): number {
    return this.#pending;
  }

  /** @see RawConnection.send */
  send(bytes: Uint8Array): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(bytes));
    return this.#writing;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length && !this.#isClosed;) {
        done += await this.#conn.write(bytes.subarray(done));
      }
    } catch {
      // The reading side tells that the connection is over.
    }
  }

  /** @see RawConnection.take */
  take(): Uint8Array | undefined {
    const frame = this.#frames[this.#next];
    if (frame === undefined) return undefined;
    if (++this.#next === this.#frames.length) {
      this.#frames = [];
      this.#next = 0;
      this.#resume?.();
    }
    return frame;
  }

  /** @see RawConnection.receive */
  receive(timeoutMs: number): Promise<Received> {
    const frame = this.take();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#isOver) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting = null;
        resolve(undefined);
      }, timeoutMs);
      this.#waiting = { resolve, timer };
    });
  }

  /** @see RawConnection.close */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#resume?.();
      await this.#leave();
      this.#conn.close();
    }
    await this.#reading;
  }

  /** Lets the peer finish what it was asked: it may change files after we are gone otherwise. */
  async #leave(): Promise<void> {
    if (this.#isOver) return;
    try {
      await (this.#conn as Deno.TcpConn | Deno.UnixConn).closeWrite();
    } catch {
      return; // It has hung up.
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      this.#reading,
      new Promise<void>((resolve) => timer = setTimeout(resolve, LEAVING_MS)),
    ]);
    clearTimeout(timer);
  }

  #wake(received: Received): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    clearTimeout(waiting.timer);
    waiting.resolve(received);
  }

  #give(frame: Uint8Array): void {
    this.#frames.push(frame);
    if (this.#waiting !== null) this.#wake(this.take());
  }

  async #read(): Promise<void> {
    let chunk = new Uint8Array(CHUNK);
    let end = 0;
    try {
      while (!this.#isClosed) {
        const n = await this.#conn.read(chunk.subarray(end));
        if (n === null) break;
        end += n;
        const start = this.#cut(chunk, end);
        if (start < 0) break;
        chunk.copyWithin(0, start, end);
        end -= start;
        this.#pending = end;
        if (end === chunk.length) {
          const larger = new Uint8Array(Math.min(2 * chunk.length, MAX_FRAME));
          larger.set(chunk);
          chunk = larger;
        }
        if (this.#frames.length > MAX_KEPT) {
          await new Promise<void>((resolve) => this.#resume = resolve);
          this.#resume = null;
        }
      }
    } catch {
      // Reset by the peer, or closed by us: over in any case.
    }
    this.#isOver = true;
    this.#wake(null);
  }

  /** Gives all whole frames; where the first one that is not whole begins, -1 if there is no going on. */
  #cut(chunk: Uint8Array, end: number): number {
    const view = new DataView(chunk.buffer, 0, end);
    let start = 0;
    while (end - start >= 4) {
      const size = view.getUint32(start, true);
      if (size < HEADER_SIZE || size > MAX_FRAME) {
        this.#give(chunk.slice(start, end));
        return -1;
      }
      if (end - start < size) break;
      this.#give(chunk.slice(start, start + size));
      start += size;
    }
    return start;
  }
}
