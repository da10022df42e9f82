/**
 * A conversation dressed up as TCP over IP: for programs that know 9P only there.
 *
 * @module
 */
import { type Endpoints, PORT_9P } from "./endpoints.ts";
import type { Direction } from "./types.ts";

/** LINKTYPE_RAW: a packet begins with its IP header. */
export const LINKTYPE_RAW = 101;

const TCP_HEADER = 20;
/** Payload of a segment: with any header, the length of an IP packet has 16 bits. */
const MOST_PAYLOAD = 61_440;
const PROTOCOL_TCP = 6;
const HOPS = 64;
const WINDOW = 0xffff;

const FIN = 0x01;
const SYN = 0x02;
const PSH = 0x08;
const ACK = 0x10;

/** Takes one packet: its headers, and which bytes follow them. */
export type TakeSegment = (
  direction: Direction,
  header: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
  missing: number,
  isLast: boolean,
) => void;

const NOTHING = new Uint8Array(0);

/**
 * One connection: handshake, segments with right sequence numbers and checksums, goodbye.
 *
 * The port of the server becomes that of 9P, by which every program recognises it.
 */
export class SyntheticTcp {
  readonly #take: TakeSegment;
  readonly #endpoints: Endpoints;
  /** Next sequence number of client and server. */
  #sent = { request: 0, reply: 0 };
  readonly #header: Uint8Array;
  readonly #view: DataView;
  readonly #isV6: boolean;
  #packets = 0;

  /** Makes a connection whose packets go to `take`; headers are borrowed until it returns. */
  constructor(endpoints: Endpoints, take: TakeSegment) {
    const { client, server } = endpoints;
    this.#endpoints = { client, server: { address: server.address, port: PORT_9P } };
    this.#take = take;
    this.#isV6 = client.address.length === 16;
    this.#header = new Uint8Array((this.#isV6 ? 40 : 20) + TCP_HEADER);
    this.#view = new DataView(this.#header.buffer);
  }

  /** The three packets that begin a connection. */
  open(): void {
    this.#segment("request", SYN, NOTHING, 0, 0, 0, true);
    this.#sent.request = 1;
    this.#segment("reply", SYN | ACK, NOTHING, 0, 0, 0, true);
    this.#sent.reply = 1;
    this.#segment("request", ACK, NOTHING, 0, 0, 0, true);
  }

  /** Bytes of one message, of which the last `missing` are not at hand. */
  send(direction: Direction, bytes: Uint8Array, start: number, end: number, missing: number): void {
    const total = end - start + missing;
    for (let done = 0; done < total;) {
      const length = Math.min(MOST_PAYLOAD, total - done);
      const from = Math.min(end, start + done);
      const to = Math.min(end, start + done + length);
      const isLast = done + length === total;
      const flags = isLast ? PSH | ACK : ACK;
      this.#segment(direction, flags, bytes, from, to, length - (to - from), isLast);
      done += length;
      this.#sent[direction] = (this.#sent[direction] + length) >>> 0;
    }
  }

  /** The packets that end a connection. */
  close(): void {
    this.#segment("request", FIN | ACK, NOTHING, 0, 0, 0, true);
    this.#sent.request = (this.#sent.request + 1) >>> 0;
    this.#segment("reply", FIN | ACK, NOTHING, 0, 0, 0, true);
    this.#sent.reply = (this.#sent.reply + 1) >>> 0;
    this.#segment("request", ACK, NOTHING, 0, 0, 0, true);
  }

  #segment(
    direction: Direction,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    missing: number,
    isLast: boolean,
  ): void {
    const { client, server } = this.#endpoints;
    const [from, to] = direction === "request" ? [client, server] : [server, client];
    const other = direction === "request" ? "reply" : "request";
    const view = this.#view;
    const tcpLength = TCP_HEADER + end - start + missing;
    const at = this.#isV6
      ? this.#ipv6(from.address, to.address, tcpLength)
      : this.#ipv4(from.address, to.address, tcpLength);
    view.setUint16(at, from.port);
    view.setUint16(at + 2, to.port);
    view.setUint32(at + 4, this.#sent[direction]);
    view.setUint32(at + 8, (flags & ACK) === 0 ? 0 : this.#sent[other]);
    view.setUint8(at + 12, TCP_HEADER / 4 << 4);
    view.setUint8(at + 13, flags);
    view.setUint16(at + 14, WINDOW);
    view.setUint16(at + 16, 0);
    view.setUint16(at + 18, 0);
    // Of bytes that are missing there is no sum.
    if (missing === 0) {
      let sum = PROTOCOL_TCP + tcpLength;
      sum += sumOf(from.address, 0, from.address.length) + sumOf(to.address, 0, to.address.length);
      sum += sumOf(this.#header, at, at + TCP_HEADER) + sumOf(bytes, start, end);
      view.setUint16(at + 16, folded(sum));
    }
    this.#take(direction, this.#header, bytes, start, end, missing, isLast);
  }

  #ipv4(from: Uint8Array, to: Uint8Array, length: number): number {
    const view = this.#view;
    view.setUint8(0, 0x45);
    view.setUint16(2, 20 + length);
    view.setUint16(4, this.#packets++ & 0xffff);
    // Not to be fragmented.
    view.setUint16(6, 0x4000);
    view.setUint8(8, HOPS);
    view.setUint8(9, PROTOCOL_TCP);
    view.setUint16(10, 0);
    this.#header.set(from, 12);
    this.#header.set(to, 16);
    view.setUint16(10, folded(sumOf(this.#header, 0, 20)));
    return 20;
  }

  #ipv6(from: Uint8Array, to: Uint8Array, length: number): number {
    const view = this.#view;
    view.setUint32(0, 0x6000_0000);
    view.setUint16(4, length);
    view.setUint8(6, PROTOCOL_TCP);
    view.setUint8(7, HOPS);
    this.#header.set(from, 8);
    this.#header.set(to, 24);
    return 40;
  }
}

/** Sum of big-endian 16-bit numbers; a last odd byte is the high one of its number. */
function sumOf(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  let at = start;
  for (; at + 1 < end; at += 2) sum += (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
  return at < end ? sum + ((bytes[at] ?? 0) << 8) : sum;
}

/** The checksum of the internet: the carries added, and all bits turned over. */
function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 0x1_0000);
  return ~rest & 0xffff;
}
