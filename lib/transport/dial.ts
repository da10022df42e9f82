/**
 * Connections to a server over Deno's own sockets: what the client side uses.
 *
 * @module
 */
import { HEADER_SIZE } from "../p9/mod.ts";
import type { Channel } from "./channel.ts";

/** Bytes asked for at once while no long frame is under way. */
const CHUNK = 65536;
/** Short frames are joined into writes of at most this many bytes. */
const JOINED = 65536;
/** Largest frame that a channel takes unless told otherwise; well above every useful msize. */
const MAX_FRAME = 1 << 25;

/** Where a server listens. */
export type DialAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Options of {@linkcode dial}. */
export interface DialOptions {
  /** Largest frame taken from the server, in bytes; a longer one ends the connection. */
  readonly maxFrame?: number;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
}

/**
 * Parses the address of a server: `tcp://HOST:PORT`, `tcp://[V6]:PORT`, `unix:///PATH`, or
 * `unix://@NAME` in the abstract namespace.
 *
 * @throws {TypeError} If the text is neither.
 */
export function parseDialAddress(text: string): DialAddress {
  const unix = /^unix:\/\/(\/.+|@.+)$/s.exec(text);
  if (unix?.[1] !== undefined) return { kind: "unix", path: unix[1] };
  const tcp = /^tcp:\/\/(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(text);
  const host = tcp?.[1] ?? tcp?.[2];
  const port = Number(tcp?.[3]);
  if (host === undefined || !(port >= 1 && port <= 65535)) {
    throw new TypeError(
      `Cannot dial "${text}": want tcp://HOST:PORT, unix:///PATH or unix://@NAME`,
    );
  }
  return { kind: "tcp", host, port };
}

/**
 * Connects to a server.
 *
 * The caller owns the channel and closes it.
 *
 * @param address An address, or its text: see {@linkcode parseDialAddress}.
 * @throws {TypeError} If the text is no address.
 */
export async function dial(
  address: DialAddress | string,
  options: DialOptions = {},
): Promise<Channel> {
  const to = typeof address === "string" ? parseDialAddress(address) : address;
  options.signal?.throwIfAborted();
  const connected: Promise<Deno.Conn> = to.kind === "tcp"
    ? connectTcp(to.host, to.port)
    : Deno.connect({ transport: "unix", path: to.path.replace(/^@/, "\0") });
  const conn = await abandonable(connected, options.signal);
  return channelOf(conn, options.maxFrame ?? MAX_FRAME);
}

async function connectTcp(hostname: string, port: number): Promise<Deno.Conn> {
  const conn = await Deno.connect({ transport: "tcp", hostname, port });
  // A request is one small segment and its answer is waited for: Nagle would add 40 ms.
  conn.setNoDelay(true);
  return conn;
}

/** Deno.connect cannot be told to stop: who gives up leaves it to close itself. */
function abandonable(connected: Promise<Deno.Conn>, signal?: AbortSignal): Promise<Deno.Conn> {
  if (signal === undefined) return connected;
  return new Promise((resolve, reject) => {
    const abandon = (): void => {
      reject(signal.reason);
      connected.then((conn) => conn.close(), () => {});
    };
    signal.addEventListener("abort", abandon, { once: true });
    connected.then((conn) => {
      signal.removeEventListener("abort", abandon);
      resolve(conn);
    }, (error) => {
      signal.removeEventListener("abort", abandon);
      reject(error);
    });
  });
}

/**
 * Makes a channel of any two-way stream of bytes, which it owns from here on.
 *
 * A frame shorter than 7 bytes or longer than `maxFrame` ends the frames with a {@linkcode FrameSizeError}.
 */
export function channelOf(conn: ByteStream, maxFrame: number = MAX_FRAME): Channel {
  return new StreamChannel(conn, maxFrame);
}

/** What a channel needs of a stream; `Deno.Conn` is one. */
export interface ByteStream {
  /** Reads some bytes, null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some bytes and says how many. */
  write(from: Uint8Array): Promise<number>;
  /** Ends both directions. */
  close(): void;
}

/** The peer announced a frame that is too short or too long to be one. */
export class FrameSizeError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "FrameSizeError";
  /** What `size[4]` says, in bytes. */
  readonly size: number;

  /** See `size`; `most` is the largest frame taken. */
  constructor(size: number, most: number) {
    super(`Cannot read a frame of ${size} bytes: a frame has ${HEADER_SIZE} to ${most}`);
    this.size = size;
  }
}

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly sent: () => void;
  readonly failed: (error: unknown) => void;
}

class StreamChannel implements Channel {
  readonly frames: AsyncIterable<Uint8Array>;
  readonly #conn: ByteStream;
  readonly #maxFrame: number;
  #queue: Outgoing[] = [];
  #isWriting = false;
  #isClosed = false;
  #joined = new Uint8Array(0);

  constructor(conn: ByteStream, maxFrame: number) {
    this.#conn = conn;
    this.#maxFrame = maxFrame;
    this.frames = this.#read();
  }

  send(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error("Cannot send: the channel is closed"));
    return new Promise((sent, failed) => {
      this.#queue.push({ bytes, sent, failed });
      if (!this.#isWriting) {
        this.#isWriting = true;
        // Requests made in the same turn leave in one write.
        queueMicrotask(() => this.#drain());
      }
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#conn.close();
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#writeAll(batch);
        for (const { sent } of batch) sent();
      } catch (error) {
        const failed = [...batch, ...this.#queue];
        this.#queue = [];
        for (const outgoing of failed) outgoing.failed(error);
      }
    }
    this.#isWriting = false;
  }

  #takeBatch(): Outgoing[] {
    let total = 0;
    let count = 0;
    for (const { bytes } of this.#queue) {
      if (count > 0 && total + bytes.length > JOINED) break;
      total += bytes.length;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #writeAll(batch: readonly Outgoing[]): Promise<void> {
    let bytes = batch[0]?.bytes ?? this.#joined;
    if (batch.length > 1) {
      if (this.#joined.length === 0) this.#joined = new Uint8Array(JOINED);
      let end = 0;
      for (const outgoing of batch) {
        this.#joined.set(outgoing.bytes, end);
        end += outgoing.bytes.length;
      }
      bytes = this.#joined.subarray(0, end);
    }
    for (let done = 0; done < bytes.length;) {
      if (this.#isClosed) throw new Error("Cannot send: the channel is closed");
      done += await this.#conn.write(bytes.subarray(done));
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    const chunk = new Uint8Array(CHUNK);
    const view = new DataView(chunk.buffer);
    let start = 0;
    let end = 0;
    while (true) {
      while (end - start >= 4) {
        const size = view.getUint32(start, true);
        if (size < HEADER_SIZE || size > this.#maxFrame) {
          this.close();
          throw new FrameSizeError(size, this.#maxFrame);
        }
        // A long frame is read to where it stays, apart from its beginning.
        const frame = chunk.slice(start, Math.min(end, start + size));
        start += frame.length;
        if (frame.length === size) {
          yield frame;
          continue;
        }
        if (size <= CHUNK) {
          start -= frame.length;
          break;
        }
        const whole = await this.#readRest(frame, size);
        if (whole === null) return;
        yield whole;
      }
      chunk.copyWithin(0, start, end);
      end -= start;
      start = 0;
      const n = await this.#readSome(chunk.subarray(end));
      if (n === 0) return;
      end += n;
    }
  }

  /** Reads what is missing of a frame. The memory grows with what has really come. */
  async #readRest(beginning: Uint8Array, size: number): Promise<Uint8Array | null> {
    let frame = new Uint8Array(Math.min(size, 1 << 20));
    frame.set(beginning);
    for (let have = beginning.length; have < size;) {
      if (have === frame.length) {
        const larger = new Uint8Array(Math.min(size, 2 * frame.length));
        larger.set(frame);
        frame = larger;
      }
      const n = await this.#readSome(frame.subarray(have));
      if (n === 0) return null;
      have += n;
    }
    return frame;
  }

  /** Bytes read, 0 at the end or once closed. */
  async #readSome(into: Uint8Array): Promise<number> {
    if (this.#isClosed) return 0;
    try {
      return await this.#conn.read(into) ?? 0;
    } catch (error) {
      if (this.#isClosed || error instanceof Deno.errors.ConnectionReset) return 0;
      throw error;
    }
  }
}
