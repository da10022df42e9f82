/**
 * From TCP segments, as a capture has them, to the bytes of conversations in their order.
 *
 * What arrives in order is passed on at once and without a copy. What arrives ahead of its turn is
 * kept until the hole is filled, or until it is known that the capture does not have the missing
 * bytes: the other side acknowledged them, or nothing came for long, or too much is kept.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import { Budget, Framer, type FramerOptions } from "./framer.ts";
import { formatEndpoint } from "./ip.ts";
import { isVersion } from "./shape.ts";
import type { Conversation, Observer } from "./types.ts";

/** Ports that 9P is expected at: the registered one and the one diod's tests and others use. */
export const DEFAULT_PORTS: readonly number[] = [564, 5640];

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** Most conversations that are followed at a time. */
const MOST_STREAMS = 4096;
/** Bytes kept of a conversation before a hole in it is given up. */
const MOST_HELD = 16 * 2 ** 20;
/** Bytes that may be kept of all conversations together. */
const MOST_HELD_TOGETHER = 64 * 2 ** 20;
/** Packets of the conversation after which a hole that was acknowledged is given up. */
const PATIENCE_PACKETS = 32;
/** What keeping a segment takes beyond its bytes, about. */
const HELD_OVERHEAD = 256;
/** Nanoseconds after which a hole that was acknowledged is given up. */
const PATIENCE = 50e6;
/** Nanoseconds after which any hole is given up. */
const LONG_PATIENCE = 5e9;
/** Bytes behind a SYN after which it is another connection's. */
const LATEST_SYN = 2 ** 20;
/** What is further back than any window was not sent again: numbers have begun anew. */
const FARTHEST_BACK = 64 * 2 ** 20;
/** What is further ahead than any window does not wait for what is missing. */
const FARTHEST_AHEAD = 2 ** 30;

/** A segment that came ahead of its turn. */
interface Held {
  readonly seq: number;
  readonly time: number;
  /** A copy of what was captured. */
  readonly bytes: Uint8Array;
  /** Bytes behind them that were not captured. */
  readonly cut: number;
}

/** One direction of a conversation. */
class Half {
  /** Whether `next` is known. */
  isKnown = false;
  /** Whether its first bytes are those behind its SYN. */
  isWhole = false;
  /** Sequence number of the SYN, or -1. */
  initial = -1;
  /** Sequence number of the next byte. */
  next = 0;
  /** What the other side has acknowledged, or -1. */
  acked = -1;
  /** Sequence number behind the last byte, or -1. */
  fin = -1;
  /** Bytes before `next` that are missing, and that nobody was told of. */
  lost = 0;
  /** In order of `seq`, from `head` on: taking from the front of a long array is slow. */
  held: (Held | undefined)[] = [];
  head = 0;
  /** When the first segment behind the hole came, and the packet count then. */
  holeTime = 0;
  /** When it became known that the hole was acknowledged; NaN if it is not. */
  ackedTime = NaN;
  ackedPackets = 0;
}

/** One conversation. */
class Stream {
  /** The next one of the same hash. */
  chain: Stream | null = null;
  readonly client: Int32Array;
  readonly clientPort: number;
  readonly server: Int32Array;
  readonly serverPort: number;
  readonly hash: number;
  readonly requests = new Half();
  readonly replies = new Half();
  conversation: Conversation | null = null;
  framer: Framer | null = null;
  time = 0;
  packets = 0;
  /** Bytes that both `held` take, and their segments. */
  heldBytes = 0;
  heldCount = 0;
  isClosed = false;

  constructor(
    client: Int32Array,
    clientPort: number,
    server: Int32Array,
    serverPort: number,
    hash: number,
  ) {
    this.client = client.slice();
    this.clientPort = clientPort;
    this.server = server.slice();
    this.serverPort = serverPort;
    this.hash = hash;
  }
}

/** What was seen of TCP. */
export interface TcpCounts {
  /** Segments of 9P conversations with bytes in them. */
  segments: number;
  /** Segments of which nothing was new. */
  retransmissions: number;
  /** Segments that came ahead of their turn. */
  outOfOrder: number;
  /** Packets of other connections. */
  others: number;
  /** Conversations that were given up because there were too many. */
  evicted: number;
}

/** How {@linkcode TcpStreams} follow connections. */
export interface TcpOptions extends FramerOptions {
  /** Ports of 9P servers; {@linkcode DEFAULT_PORTS} if not given. */
  readonly ports?: readonly number[];
}

/** Follows the 9P connections among TCP segments. */
export class TcpStreams {
  /** What was seen so far. */
  readonly counts: TcpCounts = {
    segments: 0,
    retransmissions: 0,
    outOfOrder: 0,
    others: 0,
    evicted: 0,
  };

  readonly #observer: Observer;
  readonly #options: FramerOptions;
  readonly #ports: Uint8Array;
  readonly #streams = new Map<number, Stream>();
  readonly #number: () => number;
  #size = 0;
  #held = 0;
  /** The stream of the last packet. */
  #last: Stream | null = null;

  /**
   * Tells `observer` of what is found.
   *
   * @param number Gives each conversation its number.
   */
  constructor(observer: Observer, number: () => number, options: TcpOptions = {}) {
    this.#observer = observer;
    this.#number = number;
    const { payload } = options;
    const budget = options.budget ?? new Budget();
    this.#options = payload === undefined ? { budget } : { budget, payload };
    this.#ports = new Uint8Array(65536);
    for (const port of options.ports ?? DEFAULT_PORTS) this.#ports[port & 0xffff] = 1;
  }

  /**
   * Takes a segment.
   *
   * @param source Address, as of {@linkcode IpReader}.
   * @param at Offset of the TCP header.
   * @param end Offset behind what was captured.
   * @param wireEnd Offset behind the segment on the wire.
   * @returns Whether it has a TCP header.
   */
  segment(
    source: Int32Array,
    destination: Int32Array,
    bytes: Uint8Array,
    at: number,
    end: number,
    wireEnd: number,
    time: number,
  ): boolean {
    if (at + 14 > end) return false;
    const from = bytes[at]! << 8 | bytes[at + 1]!;
    const to = bytes[at + 2]! << 8 | bytes[at + 3]!;
    const seq = u32(bytes, at + 4);
    const ack = u32(bytes, at + 8);
    const data = at + (bytes[at + 12]! >>> 4) * 4;
    const flags = bytes[at + 13]!;
    if (data < at + 20 || data > wireEnd) return false;
    const length = wireEnd - data;
    if (data > end) end = data;

    let stream = this.#last;
    let isReply = false;
    if (stream !== null && isFrom(stream, source, from, destination, to)) {
      // A request of the stream of the packet before.
    } else if (stream !== null && isFrom(stream, destination, to, source, from)) {
      isReply = true;
    } else {
      const hash = hashOf(source, from, destination, to);
      stream = this.#find(hash, source, from, destination, to);
      if (stream !== null) {
        isReply = !isFrom(stream, source, from, destination, to);
      } else {
        stream = this.#open(source, from, destination, to, hash, flags, bytes, data, end);
        if (stream === null) {
          this.counts.others++;
          return true;
        }
        isReply = !isFrom(stream, source, from, destination, to);
      }
      this.#last = stream;
    }
    this.#take(stream, isReply, seq, ack, flags, bytes, data, end, length, time);
    return true;
  }

  /** Ends all conversations. */
  end(time: number): void {
    for (const first of this.#streams.values()) {
      for (let stream: Stream | null = first; stream !== null; stream = stream.chain) {
        if (!stream.isClosed) this.#close(stream, time);
      }
    }
    this.#streams.clear();
    this.#last = null;
    this.#size = 0;
  }

  #find(
    hash: number,
    source: Int32Array,
    from: number,
    destination: Int32Array,
    to: number,
  ): Stream | null {
    let stream = this.#streams.get(hash) ?? null;
    while (stream !== null) {
      if (
        isFrom(stream, source, from, destination, to) ||
        isFrom(stream, destination, to, source, from)
      ) return stream;
      stream = stream.chain;
    }
    return null;
  }

  /** Begins to follow a connection if it is one of 9P: by its port, or by its first message. */
  #open(
    source: Int32Array,
    from: number,
    destination: Int32Array,
    to: number,
    hash: number,
    flags: number,
    bytes: Uint8Array,
    data: number,
    end: number,
  ): Stream | null {
    const isFromServer = this.#ports[from] === 1;
    const isToServer = this.#ports[to] === 1;
    let isReply: boolean;
    if (isVersion(bytes, data, end, false)) isReply = false;
    else if (isVersion(bytes, data, end, true)) isReply = true;
    else if (!isFromServer && !isToServer) return null;
    // With two ports of servers, who answers a SYN is one; without a SYN a T-message is even.
    else if (!isToServer) isReply = true;
    else if (!isFromServer) isReply = false;
    else if ((flags & SYN) !== 0) isReply = (flags & ACK) !== 0;
    else isReply = data + 5 <= end && (bytes[data + 4]! & 1) === 1;
    const stream = isReply
      ? new Stream(destination, to, source, from, hash)
      : new Stream(source, from, destination, to, hash);
    this.#add(stream);
    return stream;
  }

  #add(stream: Stream): void {
    if (this.#size >= MOST_STREAMS) this.#evict();
    stream.chain = this.#streams.get(stream.hash) ?? null;
    this.#streams.set(stream.hash, stream);
    this.#size++;
  }

  #remove(stream: Stream): void {
    let before = this.#streams.get(stream.hash) ?? null;
    if (before === stream) {
      if (stream.chain === null) this.#streams.delete(stream.hash);
      else this.#streams.set(stream.hash, stream.chain);
    } else {
      while (before !== null && before.chain !== stream) before = before.chain;
      if (before === null) return;
      before.chain = stream.chain;
    }
    stream.chain = null;
    this.#size--;
    if (this.#last === stream) this.#last = null;
  }

  /** Makes room: forgets closed connections and the quarter that was silent longest. */
  #evict(): void {
    const all: Stream[] = [];
    for (const first of this.#streams.values()) {
      for (let stream: Stream | null = first; stream !== null; stream = stream.chain) {
        all.push(stream);
      }
    }
    all.sort((a, b) => Number(b.isClosed) - Number(a.isClosed) || a.time - b.time);
    for (const stream of all.slice(0, MOST_STREAMS / 4)) {
      if (!stream.isClosed) {
        this.counts.evicted++;
        this.#close(stream, stream.time);
      }
      this.#remove(stream);
    }
  }

  #take(
    stream: Stream,
    isReply: boolean,
    seq: number,
    ack: number,
    flags: number,
    bytes: Uint8Array,
    data: number,
    end: number,
    length: number,
    time: number,
  ): void {
    let half = isReply ? stream.replies : stream.requests;
    if ((flags & SYN) !== 0) {
      const now = this.#synchronize(stream, isReply, half, seq, flags, time);
      if (now !== stream) {
        stream = now;
        isReply = (flags & ACK) !== 0;
        half = isReply ? stream.replies : stream.requests;
      }
      seq = (seq + 1) >>> 0;
    }
    stream.time = time;
    stream.packets++;
    if ((flags & ACK) !== 0) {
      const other = isReply ? stream.requests : stream.replies;
      if (other.acked < 0 || (ack - other.acked | 0) > 0) other.acked = ack;
    }
    if (length > 0) {
      if (stream.isClosed) {
        // What was sent again after the end is no news; anything else is a connection of its own.
        if (half.isKnown && (seq - half.next | 0) < 0) return;
        stream = this.#reopen(stream);
        this.#take(stream, isReply, seq, ack, flags, bytes, data, end, length, time);
        return;
      }
      this.#data(stream, isReply, half, seq, bytes, data, end, length, time);
    }
    if (stream.heldCount > 0) {
      this.#review(stream, time);
      if (this.#held > MOST_HELD_TOGETHER) this.#giveUpEverywhere();
    }
    if ((flags & (FIN | RST)) !== 0 && !stream.isClosed) {
      if ((flags & RST) !== 0) {
        this.#close(stream, time);
        return;
      }
      half.fin = (seq + length) >>> 0;
    }
    if (stream.requests.fin >= 0 && stream.replies.fin >= 0 && !stream.isClosed) {
      const { requests, replies } = stream;
      const isDone = (!requests.isKnown || (requests.next - requests.fin | 0) >= 0) &&
        (!replies.isKnown || (replies.next - replies.fin | 0) >= 0);
      if (isDone) this.#close(stream, time);
    }
  }

  /** Takes note of a SYN; gives the stream that it belongs to. */
  #synchronize(
    stream: Stream,
    isReply: boolean,
    half: Half,
    seq: number,
    flags: number,
    time: number,
  ): Stream {
    if (half.initial === seq && !stream.isClosed) return stream;
    // A SYN that comes behind the first bytes of its connection.
    const behind = half.next - seq - 1 | 0;
    if (half.isKnown && half.initial < 0 && behind >= 0 && behind < LATEST_SYN) {
      half.initial = seq;
      return stream;
    }
    const isFresh = half.initial < 0 && !half.isKnown && !stream.isClosed;
    if (!isFresh) {
      // The same addresses and ports, but another connection.
      if (!stream.isClosed) this.#close(stream, time);
      // Who sends the SYN without an ACK is the client now.
      const isFromServer = (flags & ACK) !== 0;
      const [client, clientPort, server, serverPort] = isReply === isFromServer
        ? [stream.client, stream.clientPort, stream.server, stream.serverPort]
        : [stream.server, stream.serverPort, stream.client, stream.clientPort];
      const next = new Stream(client, clientPort, server, serverPort, stream.hash);
      this.#remove(stream);
      this.#add(next);
      this.#last = next;
      next.time = time;
      begin(isFromServer ? next.replies : next.requests, seq);
      return next;
    }
    begin(half, seq);
    return stream;
  }

  /** Begins a connection with the addresses of one that has ended. */
  #reopen(stream: Stream): Stream {
    const next = new Stream(
      stream.client,
      stream.clientPort,
      stream.server,
      stream.serverPort,
      stream.hash,
    );
    this.#remove(stream);
    this.#add(next);
    this.#last = next;
    return next;
  }

  /** Takes bytes. */
  #data(
    stream: Stream,
    isReply: boolean,
    half: Half,
    seq: number,
    bytes: Uint8Array,
    data: number,
    end: number,
    length: number,
    time: number,
  ): void {
    this.counts.segments++;
    if (!half.isKnown) {
      half.isKnown = true;
      half.next = seq;
      half.isWhole = isVersion(bytes, data, end, isReply);
    }
    let ahead = seq - half.next | 0;
    if (ahead < -FARTHEST_BACK || ahead > FARTHEST_AHEAD) {
      // No window is as large: the numbers are others now, and nobody knows what was between.
      this.#giveUpAll(stream);
      this.#framer(stream, time).push(isReply, time, Math.max(1, ahead), bytes, data, data, 0);
      half.next = seq;
      ahead = 0;
    }
    if (ahead < 0) {
      if (ahead + length <= 0) {
        this.counts.retransmissions++;
        return;
      }
      // The first copy of a byte counts.
      seq = half.next;
      length += ahead;
      data = Math.min(end, data - ahead);
      ahead = 0;
    }
    if (ahead === 0 && stream.heldCount === 0) {
      half.next = (seq + length) >>> 0;
      const framer = stream.framer ?? this.#framer(stream, time);
      framer.push(isReply, time, 0, bytes, data, end, data + length - end);
      return;
    }
    if (ahead > 0) this.counts.outOfOrder++;
    this.#hold(stream, half, {
      seq,
      time,
      bytes: bytes.slice(data, end),
      cut: data + length - end,
    });
  }

  /** Keeps a segment for later, behind those before it. */
  #hold(stream: Stream, half: Half, segment: Held): void {
    const { held } = half;
    const hadHole = hasHole(half);
    let at = held.length;
    while (at > half.head && (held[at - 1]!.seq - segment.seq | 0) > 0) at--;
    const before = at > half.head ? held[at - 1] : undefined;
    if (before !== undefined && before.seq === segment.seq) {
      const isLonger = segment.bytes.length + segment.cut > before.bytes.length + before.cut;
      if (!isLonger) {
        this.counts.retransmissions++;
        return;
      }
    }
    held.splice(at, 0, segment);
    stream.heldCount++;
    const size = segment.bytes.length + HELD_OVERHEAD;
    stream.heldBytes += size;
    this.#held += size;
    if (!hadHole && hasHole(half)) {
      half.holeTime = segment.time;
      half.ackedTime = NaN;
    }
  }

  /** Passes on what waits, as far as it can be, and gives up holes that nothing will fill. */
  #review(stream: Stream, time: number): void {
    for (;;) {
      this.#drain(stream);
      if (stream.heldCount === 0) return;
      const half = this.#hopeless(stream, time);
      if (half === null) return;
      this.#giveUp(half);
    }
  }

  /** Passes on in the order of the capture, until a direction has a hole. */
  #drain(stream: Stream): void {
    const { requests, replies } = stream;
    while (stream.heldCount > 0 && !hasHole(requests) && !hasHole(replies)) {
      const isReply = frontOf(requests) === undefined || turnOf(replies) < turnOf(requests);
      this.#release(stream, isReply);
    }
  }

  /** Passes on the first segment that waits in a direction. */
  #release(stream: Stream, isReply: boolean): void {
    const half = isReply ? stream.replies : stream.requests;
    const segment = frontOf(half);
    if (segment === undefined) return;
    half.held[half.head++] = undefined;
    if (half.head > 64 && half.head * 2 > half.held.length) {
      half.held.splice(0, half.head);
      half.head = 0;
    }
    const size = segment.bytes.length;
    stream.heldCount--;
    stream.heldBytes -= size + HELD_OVERHEAD;
    this.#held -= size + HELD_OVERHEAD;
    const old = half.next - segment.seq | 0;
    const length = size + segment.cut;
    if (old < length) {
      const start = Math.min(size, Math.max(0, old));
      const cut = length - Math.max(size, old);
      half.next = (segment.seq + length) >>> 0;
      this.#framer(stream, segment.time)
        .push(isReply, segment.time, half.lost, segment.bytes, start, size, cut);
      half.lost = 0;
    }
    if (hasHole(half)) {
      half.holeTime = frontOf(half)!.time;
      half.ackedTime = NaN;
    }
  }

  /** A direction with a hole that nothing will fill, if there is one. */
  #hopeless(stream: Stream, time: number): Half | null {
    const isFull = stream.heldBytes > MOST_HELD;
    for (const half of [stream.requests, stream.replies]) {
      if (!hasHole(half)) continue;
      if (isFull || Math.abs(time - half.holeTime) > LONG_PATIENCE) return half;
      if (half.acked < 0 || (half.acked - frontOf(half)!.seq | 0) < 0) continue;
      if (Number.isNaN(half.ackedTime)) {
        half.ackedTime = time;
        half.ackedPackets = stream.packets;
      } else if (
        stream.packets - half.ackedPackets > PATIENCE_PACKETS ||
        Math.abs(time - half.ackedTime) > PATIENCE
      ) {
        return half;
      }
    }
    return null;
  }

  /** Goes on behind a hole. */
  #giveUp(half: Half): void {
    const first = frontOf(half)!;
    half.lost += first.seq - half.next | 0;
    half.next = first.seq;
  }

  /** Passes on all that waits, holes or not. */
  #giveUpAll(stream: Stream): void {
    while (stream.heldCount > 0) {
      this.#drain(stream);
      const { requests, replies } = stream;
      // Of two holes the one that was there first is the one that others wait for.
      const isReply = !hasHole(requests) ||
        (hasHole(replies) && replies.holeTime < requests.holeTime);
      const half = isReply ? replies : requests;
      if (hasHole(half)) this.#giveUp(half);
    }
  }

  #giveUpEverywhere(): void {
    for (const first of this.#streams.values()) {
      for (let stream: Stream | null = first; stream !== null; stream = stream.chain) {
        this.#giveUpAll(stream);
      }
    }
  }

  #close(stream: Stream, time: number): void {
    this.#giveUpAll(stream);
    stream.isClosed = true;
    const { framer, conversation } = stream;
    if (framer === null || conversation === null) return;
    for (const half of [stream.requests, stream.replies]) {
      if (!half.isKnown || half.acked < 0) continue;
      // Bytes at the end that the other side has, and the capture has not.
      const isFin = half.fin >= 0 && (half.acked - half.fin | 0) > 0;
      const lost = (isFin ? half.fin : half.acked) - half.next | 0;
      if (lost <= 0 || lost > FARTHEST_AHEAD) continue;
      framer.push(half === stream.replies, time, lost, NOTHING, 0, 0, 0);
    }
    framer.end(time);
    stream.framer = null;
    this.#observer.closed?.(conversation, time);
  }

  /** The framer of a conversation, which is told of when its first byte is there. */
  #framer(stream: Stream, time: number): Framer {
    if (stream.framer !== null) return stream.framer;
    const conversation: Conversation = {
      id: this.#number(),
      transport: "tcp",
      client: formatEndpoint(stream.client, stream.clientPort),
      server: formatEndpoint(stream.server, stream.serverPort),
    };
    stream.conversation = conversation;
    const framer = new Framer(conversation, this.#observer, this.#options);
    stream.framer = framer;
    // Who answers a Tversion that was seen begins with an Rversion, SYN or not.
    if (!stream.requests.isWhole) {
      framer.midstream(false);
      if (!stream.replies.isWhole) framer.midstream(true);
    } else if (stream.requests.initial >= 0 && stream.replies.initial < 0) {
      framer.midstream(true);
    }
    this.#observer.opened?.(conversation, time);
    return framer;
  }
}

const NOTHING = new Uint8Array(0);

/** Notes the SYN of a direction. */
function begin(half: Half, seq: number): void {
  half.initial = seq;
  half.isKnown = true;
  half.isWhole = true;
  half.next = (seq + 1) >>> 0;
}

/** The first segment that waits. */
function frontOf(half: Half): Held | undefined {
  return half.held[half.head];
}

/**
 * When the first segment that waits has its turn: when it came, or, if it came late, when the one
 * behind it did.
 */
function turnOf(half: Half): number {
  const time = frontOf(half)?.time ?? Infinity;
  return Math.min(time, half.held[half.head + 1]?.time ?? Infinity);
}

/** Whether the next byte is missing, and later ones are there. */
function hasHole(half: Half): boolean {
  const first = frontOf(half);
  return first !== undefined && (first.seq - half.next | 0) > 0;
}

/** Whether a packet goes from the client of a stream to its server. */
function isFrom(
  stream: Stream,
  source: Int32Array,
  from: number,
  destination: Int32Array,
  to: number,
): boolean {
  return stream.clientPort === from && stream.serverPort === to &&
    isSame(stream.client, source) && isSame(stream.server, destination);
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  return a[3] === b[3] && a[2] === b[2] && a[1] === b[1] && a[0] === b[0];
}

/** The same for both directions. */
function hashOf(
  source: Int32Array,
  from: number,
  destination: Int32Array,
  to: number,
): number {
  return Math.imul(mix(source, from) + mix(destination, to) | 0, 0x85ebca6b);
}

function mix(address: Int32Array, port: number): number {
  let hash = Math.imul(port + 1, 0x9e3779b1);
  for (let i = 0; i < 4; i++) hash = Math.imul(hash ^ address[i]!, 0x01000193) ^ hash >>> 15;
  return hash;
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
