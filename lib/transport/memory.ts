/**
 * A connection inside one thread: no socket, no system call, the same receiver.
 *
 * @module
 */
import { HEADER_SIZE, type Memory, Segments, Wire } from "../p9/mod.ts";
import type { Channel } from "./channel.ts";
import type { Accept, Connection, Exchange, Peer, Receiver } from "./exchange.ts";

/** Options of {@linkcode connectInMemory}. */
export interface MemoryOptions {
  /** What the server is told of the client. */
  readonly peer?: Peer;
}

/** One T-message in a buffer of its own. */
class MemoryExchange implements Exchange {
  readonly wire: Wire;
  readonly start = 0;
  readonly end: number;
  readonly size: number;
  readonly room: number;
  readonly replyAt = 0;
  readonly #request: Memory;
  readonly #in = new Segments();
  readonly #out = new Segments();
  readonly #sent: (reply: Uint8Array<ArrayBuffer>) => void;
  #answer: Memory | null = null;
  #reply: Wire | null = null;
  #isDone = false;

  constructor(frame: Uint8Array, room: number, sent: (reply: Uint8Array<ArrayBuffer>) => void) {
    this.wire = new Wire(frame);
    this.#request = { bytes: frame, address: 0 };
    this.size = this.end = frame.length;
    this.room = room;
    this.#sent = sent;
  }

  get reply(): Wire {
    return this.#reply ??= new Wire(this.#memory.bytes);
  }

  get #memory(): Memory {
    return this.#answer ??= { bytes: new Uint8Array(this.room), address: 0 };
  }

  payloadIn(offset: number, length: number): Segments {
    this.#in.clear();
    this.#in.add(this.#request, offset, length);
    return this.#in;
  }

  payloadOut(offset: number, length: number): Segments {
    this.#out.clear();
    this.#out.add(this.#memory, offset, length);
    return this.#out;
  }

  defer(): void {}

  send(size: number): void {
    if (this.#isDone) throw new Error("Cannot answer a request: it was answered before");
    this.#isDone = true;
    this.#sent(this.#memory.bytes.slice(0, size));
  }

  drop(): void {
    this.#isDone = true;
  }
}

/** The server's end: cuts what the client sends into frames. */
class MemoryConnection implements Connection, Channel {
  readonly peer: Peer;
  readonly frames: AsyncIterable<Uint8Array>;
  readonly #receiver: Receiver;
  #input: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #replies: Uint8Array[] = [];
  #wake: (() => void) | null = null;
  #isClosed = false;
  #isRunning = false;

  constructor(accept: Accept, options: MemoryOptions) {
    this.peer = options.peer ?? { address: "memory" };
    this.frames = this.#iterate();
    this.#receiver = accept(this);
  }

  send(bytes: Uint8Array): void {
    if (this.#isClosed) throw new TypeError("Cannot send to the server: the connection is closed");
    const joined = new Uint8Array(this.#input.length + bytes.length);
    joined.set(this.#input);
    joined.set(bytes, this.#input.length);
    this.#input = joined;
    this.resume();
  }

  resume(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (!this.#isClosed && this.#input.length >= 4) {
      if (this.#receiver.isFull) break;
      const size = new DataView(this.#input.buffer).getUint32(0, true);
      if (size < HEADER_SIZE || size > this.#receiver.msize) {
        this.close();
        break;
      }
      if (this.#input.length < size) break;
      const frame = this.#input.slice(0, size);
      this.#input = this.#input.slice(size);
      this.#receiver.receive(
        new MemoryExchange(frame, this.#receiver.msize, (reply) => {
          if (this.#isClosed) return;
          this.#replies.push(reply);
          this.#wake?.();
        }),
      );
      if (this.#receiver.isOver) this.close();
    }
    this.#isRunning = false;
  }

  abort(): void {
    this.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#receiver.close();
    this.#wake?.();
  }

  async *#iterate(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined) yield reply;
      else if (this.#isClosed) return;
      else {
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#wake = null;
      }
    }
  }
}

/**
 * Connects a client to a receiver in the same thread.
 *
 * @param accept Makes the receiver: a server's `accept`.
 * @returns The client's end; closing it ends the session.
 */
export function connectInMemory(accept: Accept, options: MemoryOptions = {}): Channel {
  return new MemoryConnection(accept, options);
}
