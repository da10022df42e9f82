/**
 * A server that cannot be trusted: an honest one whose replies are bent on their way.
 *
 * A server that only talks nonsense is left at its first word. This one lets a client come as far as it
 * can, and then lies.
 *
 * @module
 */
import { MemoryTree } from "../fs/mod.ts";
import { type Dialect, LAYOUT_BY_TYPE, MAXWELEM, RREAD_HEADER } from "../p9/mod.ts";
import { DEFAULT_LIMITS, Server } from "../server/mod.ts";
import { type Channel, connectInMemory } from "../transport/mod.ts";
import { FrameMaker } from "./codec_frames.ts";
import { NUMBER_EDGES } from "./values.ts";
import { Random } from "./random.ts";

/** Ways to bend a reply, by what the client gets. */
export const BENDS = {
  "spoilt": "the reply, wrong at the boundary of a field",
  "framed": "the reply, wrong at the boundary of a field, and as long as it says",
  "other values": "a well-formed reply of the right kind with values at the edges",
  "other kind": "a well-formed reply of another kind",
  "other tag": "the reply with another tag",
  "twice": "the reply twice",
  "unasked": "a reply that nobody asked for, then the true one",
  "a request": "a T-message, then the reply",
  "longer": "more payload than was asked for, or more items of a list",
  "error": "an error with any number",
  "late": "the reply after others",
  "withheld": "nothing, and the end of the connection when nobody says any more",
  "cut": "the beginning of the reply, then the end of the connection",
  "end": "the end of the connection",
} as const;

/** Name of a way to bend a reply. */
export type Bend = keyof typeof BENDS;

const BEND_NAMES = Object.keys(BENDS) as Bend[];

/** A conversation in which nobody says anything for so long ends, in milliseconds. */
const IDLE_MS = 300;
/** How late a late reply is, in milliseconds. */
const LATE_MS = 20;

/** The tree that is served as long as nothing is bent: a bit of everything. */
export function sampleTree(): MemoryTree {
  const tree = new MemoryTree();
  tree.addFile("hello", "hello, world\n");
  tree.addFile("large", new Uint8Array(300_000).fill(0x61));
  tree.addFile("empty", "");
  tree.addFolder("folder");
  for (let i = 0; i < 60; i++) tree.addFile(`folder/${`entry-${i}`.repeat(1 + i % 9)}`, `${i}`);
  tree.addFolder("folder/deep/deeper");
  tree.addLink("link", "hello");
  tree.addLink("loop", "loop");
  return tree;
}

/** A reply that was bent. */
export interface Lie {
  /** Number of the reply in its conversation, from 0 on. */
  readonly reply: number;
  /** What the reply was. */
  readonly message: string;
  /** What became of it. */
  readonly bend: Bend;
}

/** What reaches a client of a server that lies. */
export interface LiarOptions {
  /** Seed of the connection. */
  readonly seed: number;
  /** Its number: each does something else. */
  readonly index: number;
  /** Whether bytes may be sent that are no frames; false for channels that carry frames only. */
  readonly isStream: boolean;
  /** A conversation in which nobody says anything for so long ends, in milliseconds; 300 by default. */
  readonly idleMs?: number;
  /** Numbers of the replies that may be bent; all by default. */
  readonly only?: ReadonlySet<number>;
}

/**
 * One conversation with a client, bent.
 *
 * What becomes of a reply depends on nothing but the seed, the number of the conversation and the
 * number of the reply in it, so that a lie can be left out and the others stay what they are.
 */
export class Liar {
  /** What was done to which reply. */
  readonly deeds: Lie[] = [];
  readonly #honest: Channel;
  readonly #random: Random;
  readonly #maker: FrameMaker;
  readonly #replies: FrameMaker;
  readonly #isStream: boolean;
  readonly #own: number;
  /** Replies that go through before the first that is bent. */
  readonly #quiet: number;
  readonly #rate: number;
  readonly #only: ReadonlySet<number> | undefined;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #close: () => void;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #dialect: Dialect = "9P2000.L";
  readonly #idleMs: number;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  /** Settles when nothing more is sent. */
  readonly ended: Promise<void>;

  /**
   * Begin.
   *
   * @param send Takes bytes for the client, owned by it.
   * @param close Ends the connection.
   */
  constructor(options: LiarOptions, send: (bytes: Uint8Array) => void, close: () => void) {
    const server = new Server({
      ...DEFAULT_LIMITS,
      exports: [{ name: "", tree: sampleTree(), readOnly: false }],
    });
    this.#honest = connectInMemory(server.accept);
    this.#random = new Random(options.seed, options.index);
    this.#own = this.#random.next();
    this.#only = options.only;
    this.#maker = new FrameMaker(this.#random, { letter: "R" });
    this.#replies = new FrameMaker(this.#random, { letter: "R" });
    this.#isStream = options.isStream;
    this.#quiet = this.#random.oneIn(6) ? 0 : 2 + this.#random.below(60);
    this.#rate = this.#random.pick([1, 2, 5, 12, 40]);
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#send = (bytes) => {
      this.#stir();
      send(bytes);
    };
    this.#close = close;
    this.#stir();
    this.ended = this.#run();
  }

  /** Something was said: silence begins anew. */
  #stir(): void {
    clearTimeout(this.#idle);
    if (!this.#isOver) this.#idle = setTimeout(() => this.end(), this.#idleMs);
  }

  /** Take bytes from the client: frames, or pieces of them. */
  receive(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#stir();
    try {
      this.#honest.send(bytes);
    } catch {
      this.end();
    }
  }

  /** The client has left, or shall. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#idle);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#honest.close();
    this.#close();
  }

  async #run(): Promise<void> {
    let number = -1;
    for await (const reply of this.#honest.frames) {
      if (this.#isOver) break;
      number++;
      this.#note(reply);
      this.#random.reset(this.#own, number);
      const isBent = number >= this.#quiet && this.#random.oneIn(this.#rate);
      if (isBent && this.#only?.has(number) !== false) {
        this.#bend(this.#random.pick(BEND_NAMES), reply, number);
      } else this.#send(reply);
    }
    this.end();
  }

  /** Learns the dialect, which replies are made of. */
  #note(reply: Uint8Array): void {
    if (reply[4] !== 101) return;
    const version = new TextDecoder().decode(reply.subarray(13));
    this.#dialect = version === "9P2000.L" || version === "9P2000.u" ? version : "9P2000";
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #bend(bend: Bend, reply: Uint8Array, number: number): void {
    const random = this.#random;
    const type = reply[4] ?? 0;
    const tag = (reply[5] ?? 0) | (reply[6] ?? 0) << 8;
    const message = `${LAYOUT_BY_TYPE.get(type)?.name ?? type} tag=${tag}`;
    this.deeds.push({ reply: number, message, bend });
    switch (bend) {
      case "spoilt":
      case "framed": {
        this.#maker.load({ bytes: reply, dialect: this.#dialect });
        this.#maker.spoil(1 + random.below(2));
        const frame = this.#maker.frame();
        if (bend === "framed" || !this.#isStream) setSize(frame, frame.length);
        if (frame.length >= 7 || this.#isStream) this.#send(frame);
        break;
      }
      case "other values":
        this.#send(this.#made(type, reply));
        break;
      case "other kind":
        this.#send(this.#made(-1, reply));
        break;
      case "other tag": {
        const other = reply.slice();
        const value = random.oneIn(2) ? random.pick(NUMBER_EDGES[2]) : random.below(64);
        new DataView(other.buffer).setUint16(5, value, true);
        this.#send(other);
        break;
      }
      case "twice":
        this.#send(reply);
        this.#send(reply.slice());
        break;
      case "unasked": {
        const other = this.#made(-1, reply);
        new DataView(other.buffer).setUint16(5, random.next() & 0xffff, true);
        this.#send(other);
        this.#send(reply);
        break;
      }
      case "a request": {
        const other = reply.slice();
        other[4] = (other[4] ?? 1) - 1;
        this.#send(other);
        this.#send(reply);
        break;
      }
      case "longer":
        this.#send(longer(reply, 1 + random.below(random.oneIn(4) ? 60_000 : 64)));
        break;
      case "error": {
        const frame = new Uint8Array(11);
        setSize(frame, 11);
        frame[4] = 7;
        frame.set(reply.subarray(5, 7), 5);
        new DataView(frame.buffer).setUint32(7, random.pick(NUMBER_EDGES[4]), true);
        this.#send(frame);
        break;
      }
      case "late":
        this.#later(LATE_MS, () => this.#send(reply));
        break;
      case "withheld":
        break;
      case "cut":
        if (this.#isStream) this.#send(reply.slice(0, random.below(reply.length)));
        this.#later(1, () => this.end());
        break;
      case "end":
        this.end();
    }
  }

  /** A well-formed reply with the tag of another; of any type if that is -1. */
  #made(type: number, reply: Uint8Array): Uint8Array<ArrayBuffer> {
    const maker = this.#replies;
    if (!maker.makeType(type, this.#dialect)) return reply.slice();
    const frame = maker.frame();
    frame.set(reply.subarray(5, 7), 5);
    return frame;
  }
}

function setSize(frame: Uint8Array<ArrayBuffer>, size: number): void {
  if (frame.length >= 4) new DataView(frame.buffer).setUint32(0, size, true);
}

/** A reply with more of what it consists of: payload, qids; bytes behind the end for others. */
function longer(reply: Uint8Array, more: number): Uint8Array<ArrayBuffer> {
  const type = reply[4];
  const isWalk = type === 111;
  const add = isWalk ? 13 * Math.min(more, 2 * MAXWELEM) : more;
  const frame = new Uint8Array(reply.length + add);
  frame.set(reply);
  // What is added looks like what is there: entries of a folder, qids, data.
  const from = isWalk ? 9 : Math.min(RREAD_HEADER, reply.length);
  for (let i = 0; i < add; i++) {
    frame[reply.length + i] = reply[from + i % Math.max(1, reply.length - from)] ?? 0;
  }
  const view = new DataView(frame.buffer);
  setSize(frame, frame.length);
  if (isWalk && reply.length >= 9) view.setUint16(7, view.getUint16(7, true) + add / 13, true);
  else if ((type === 117 || type === 41) && reply.length >= RREAD_HEADER) {
    view.setUint32(7, frame.length - RREAD_HEADER, true);
  }
  return frame;
}

/** A channel to a server that lies, without a socket between. */
export function lyingChannel(options: Omit<LiarOptions, "isStream">): Channel & { liar: Liar } {
  const queue: Uint8Array[] = [];
  let wake: (() => void) | null = null;
  let isClosed = false;
  const tell = (): void => {
    wake?.();
    wake = null;
  };
  const liar = new Liar({ ...options, isStream: false }, (bytes) => {
    queue.push(bytes.slice());
    tell();
  }, () => {
    isClosed = true;
    tell();
  });
  async function* frames(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const frame = queue.shift();
      if (frame !== undefined) yield frame;
      else if (isClosed) return;
      else {
        await new Promise<void>((resolve) => wake = resolve);
      }
    }
  }
  return {
    liar,
    frames: frames(),
    send(bytes: Uint8Array): void {
      if (isClosed) throw new TypeError("Cannot send to the server: the connection is closed");
      liar.receive(bytes.slice());
    },
    close: () => liar.end(),
  };
}

/** Options of a {@linkcode LyingServer}. */
export interface LyingServerOptions {
  /** Seed of all conversations. */
  readonly seed: number;
  /** Number of the first conversation; 0 by default. */
  readonly first?: number;
  /** See {@linkcode LiarOptions.idleMs}. */
  readonly idleMs?: number;
  /** See {@linkcode LiarOptions.only}. */
  readonly only?: ReadonlySet<number>;
  /** Address to listen on; the loopback by default. */
  readonly hostname?: string;
  /** Port to listen on; any free one by default. */
  readonly port?: number;
}

/** A server on a socket that lies to whoever connects. Disposing ends all conversations. */
export class LyingServer implements AsyncDisposable {
  /** Port on which it listens. */
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #seed: number;
  #next: number;
  #only: ReadonlySet<number> | undefined;
  readonly #idleMs: number;
  readonly #liars = new Set<Liar>();
  readonly #loop: Promise<void>;
  #count = 0;
  #deeds = 0;

  /** What the latest conversation came to. */
  #latest: Liar | undefined;

  /** Listen. */
  constructor(options: LyingServerOptions) {
    this.#seed = options.seed;
    this.#next = options.first ?? 0;
    this.#only = options.only;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    const { hostname = "127.0.0.1", port = 0 } = options;
    this.#listener = Deno.listen({ hostname, port });
    this.port = this.#listener.addr.port;
    this.#loop = this.#accept();
  }

  /**
   * Choose the conversation that the next connection is; those after it count on.
   *
   * @param index Its number.
   * @param only Numbers of the replies that may be bent; all if not given.
   */
  expect(index: number, only?: ReadonlySet<number>): void {
    this.#next = index;
    this.#only = only;
    this.#latest = undefined;
  }

  /** What was done to replies in the latest conversation. */
  get last(): readonly Lie[] {
    return this.#latest?.deeds ?? [];
  }

  /** Connections so far. */
  get connections(): number {
    return this.#count;
  }

  /** Replies that were bent so far, those of conversations that have ended. */
  get deeds(): number {
    return this.#deeds;
  }

  async #accept(): Promise<void> {
    try {
      for await (const conn of this.#listener) {
        this.#count++;
        this.#serve(conn, this.#next++);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #serve(conn: Deno.TcpConn, index: number): Promise<void> {
    let sending = Promise.resolve();
    let isClosed = false;
    const close = (): void => {
      if (isClosed) return;
      isClosed = true;
      // What was said before is on its way first.
      sending.finally(() => conn.close());
    };
    const send = (bytes: Uint8Array): void => {
      sending = sending.then(() => writeAll(conn, bytes)).catch(() => {});
    };
    const options = { seed: this.#seed, index, isStream: true, idleMs: this.#idleMs };
    const only = this.#only;
    const liar = new Liar(only === undefined ? options : { ...options, only }, send, close);
    this.#liars.add(liar);
    this.#latest = liar;
    try {
      const buffer = new Uint8Array(0x1_0000);
      for (;;) {
        const count = await conn.read(buffer);
        if (count === null) break;
        liar.receive(buffer.slice(0, count));
      }
    } catch {
      // Reset, or closed by us.
    }
    liar.end();
    this.#liars.delete(liar);
    this.#deeds += liar.deeds.length;
  }

  /** Stop listening and leave all clients. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const liar of this.#liars) liar.end();
    await this.#loop;
  }
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}
