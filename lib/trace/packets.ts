/**
 * From packets of any link to the 9P conversations in them.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import type { Account } from "./account.ts";
import { Budget, Framer } from "./framer.ts";
import { CUT, formatEndpoint, IpReader, MALFORMED, SEGMENT } from "./ip.ts";
import { findIp, SHORT, UNKNOWN_LINK } from "./link.ts";
import { type TcpCounts, type TcpOptions, TcpStreams } from "./tcp.ts";
import type { Conversation, Observer } from "./types.ts";

/** LINKTYPE_WIRESHARK_UPPER_PDU: tags, then a message without the packets that carried it. */
const UPPER_PDU = 252;
/** Tags of it: `tag[2] length[2]` and a value, big-endian. */
const TAG_END = 0;
const TAG_IPV4_SOURCE = 20;
const TAG_IPV4_DESTINATION = 21;
const TAG_IPV6_SOURCE = 22;
const TAG_IPV6_DESTINATION = 23;
const TAG_SOURCE_PORT = 25;
const TAG_DESTINATION_PORT = 26;
const TAG_STREAM = 39;
/** Most tags in front of a message. */
const MOST_TAGS = 64;
/** Most conversations of exported messages that are followed at a time. */
const MOST_EXPORTS = 4096;

/** Takes packets from a file, one after the other. */
export interface PacketSink {
  /** The time that the times of packets count from, before the first packet. */
  base(nanoseconds: bigint): void;
  /** An interface, before its first packet, and its name or "". */
  interface(id: number, name: string): void;
  /**
   * A packet.
   *
   * @param linkType What it begins with.
   * @param time Nanoseconds since the base.
   * @param bytes Holds it; borrowed for the call.
   * @param start Offset of its first byte.
   * @param end Offset behind its last byte that was captured.
   * @param wireEnd Where it would end had all of it been captured.
   * @param offset Where it is in the file, to tell of problems.
   * @param way 1 if it came in, 2 if it went out, 0 if nobody knows.
   * @param face The interface.
   */
  packet(
    linkType: number,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
    offset: number,
    way: number,
    face: number,
  ): void;
}

/** An exported conversation. */
interface Exported {
  readonly conversation: Conversation;
  readonly framer: Framer;
}

/**
 * Finds 9P in packets: in TCP over IP over any link of {@linkcode findIp}, and in messages that
 * were exported. Tells an observer of conversations, frames and gaps.
 */
export class Packets implements PacketSink {
  /** Packets so far. */
  count = 0;
  /** Time of the latest packet. */
  time = 0;
  readonly #observer: Observer;
  readonly #account: Account;
  readonly #options: TcpOptions;
  readonly #ip = new IpReader();
  readonly #tcp: TcpStreams;
  readonly #exports = new Map<string, Exported>();
  readonly #names = new Map<number, string>();
  #conversations = 0;
  #hasBegun = false;

  /** Tells `observer` of what is found, and `account` of what cannot be read. */
  constructor(observer: Observer, account: Account, options: TcpOptions = {}) {
    this.#observer = observer;
    this.#account = account;
    this.#options = { ...options, budget: options.budget ?? new Budget() };
    this.#tcp = new TcpStreams(observer, () => ++this.#conversations, this.#options);
  }

  /** What was seen of TCP. */
  get tcp(): Readonly<TcpCounts> {
    return this.#tcp.counts;
  }

  /** Conversations so far. */
  get conversations(): number {
    return this.#conversations;
  }

  /** The clock begins. */
  base(nanoseconds: bigint): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#observer.begin?.({ base: nanoseconds });
  }

  /** An interface and its name: exported messages have no other word of what carried them. */
  interface(id: number, name: string): void {
    if (name !== "" && this.#names.size < MOST_EXPORTS) this.#names.set(id, name);
  }

  /** Takes a packet. */
  packet(
    linkType: number,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
    offset: number,
    way: number,
    face: number,
  ): void {
    this.count++;
    this.time = time;
    if (linkType === UPPER_PDU) {
      this.#exported(time, bytes, start, end, wireEnd, offset, way, face);
      return;
    }
    const at = findIp(linkType, bytes, start, end);
    if (at < 0) {
      if (at === SHORT) this.#account.note("short-packet", offset);
      else if (at === UNKNOWN_LINK) {
        this.#account.note("link-type", offset, end - start, `link type ${linkType}`);
      }
      return;
    }
    const ip = this.#ip;
    const found = ip.read(bytes, at, end, wireEnd, time);
    if (found !== SEGMENT) {
      if (found === CUT) this.#account.note("short-packet", offset);
      else if (found === MALFORMED) this.#account.note("bad-ip", offset);
      return;
    }
    const isSegment = this.#tcp.segment(
      ip.source,
      ip.destination,
      ip.bytes,
      ip.start,
      ip.end,
      ip.wireEnd,
      time,
    );
    if (isSegment) return;
    this.#account.note(ip.end < ip.wireEnd ? "short-packet" : "bad-tcp", offset);
  }

  /** Ends all conversations and says what was not complete. */
  end(offset: number): void {
    if (!this.#hasBegun) this.base(0n);
    this.#tcp.end(this.time);
    for (const { framer, conversation } of this.#exports.values()) {
      framer.end(this.time);
      this.#observer.closed?.(conversation, this.time);
    }
    this.#exports.clear();
    const fragments = this.#ip.waiting + this.#ip.lostDatagrams;
    for (let i = 0; i < fragments; i++) this.#account.note("fragments", offset);
    for (let i = 0; i < this.#tcp.counts.evicted; i++) this.#account.note("evicted", offset);
  }

  /** Takes a message with the tags in front of it. */
  #exported(
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
    offset: number,
    way: number,
    face: number,
  ): void {
    const source = new Int32Array([0, 0, 0xffff, 0]);
    const destination = new Int32Array([0, 0, 0xffff, 0]);
    let [from, to, stream, hasAddress, isComplete] = [0, 0, -1, false, false];
    let at = start;
    for (let tags = 0; tags < MOST_TAGS && at + 4 <= end && !isComplete; tags++) {
      const tag = u16(bytes, at);
      const length = u16(bytes, at + 2);
      const value = at + 4;
      // Lengths are multiples of 4 by the header's word; some writers only pad.
      at = value + (length + 3 & ~3);
      if (at > end) break;
      if (tag === TAG_END) isComplete = true;
      else if (length >= 4 && (tag === TAG_IPV4_SOURCE || tag === TAG_IPV4_DESTINATION)) {
        (tag === TAG_IPV4_SOURCE ? source : destination)[3] = i32(bytes, value);
        hasAddress = true;
      } else if (length >= 16 && (tag === TAG_IPV6_SOURCE || tag === TAG_IPV6_DESTINATION)) {
        const words = tag === TAG_IPV6_SOURCE ? source : destination;
        for (let i = 0; i < 4; i++) words[i] = i32(bytes, value + 4 * i);
        hasAddress = true;
      } else if (length >= 4 && tag === TAG_SOURCE_PORT) from = i32(bytes, value) & 0xffff;
      else if (length >= 4 && tag === TAG_DESTINATION_PORT) to = i32(bytes, value) & 0xffff;
      else if (length >= 4 && tag === TAG_STREAM) stream = i32(bytes, value);
    }
    if (!isComplete) {
      this.#account.note("bad-pdu", offset, end - start);
      return;
    }
    // T-messages are even; a message without a type goes the way of its packet.
    const isReply = at + 5 <= end ? (bytes[at + 4]! & 1) === 1 : way === 2;
    const ends = [formatEndpoint(source, from), formatEndpoint(destination, to)];
    const [server = "", client = ""] = isReply ? ends : ends.reverse();
    const key = `${face} ${stream} ${client} ${server}`;
    let exported = this.#exports.get(key);
    if (exported === undefined) {
      this.#evictExport();
      const conversation = this.#describe(face, hasAddress, client, server);
      const framer = new Framer(conversation, this.#observer, this.#options);
      framer.midstream(false);
      framer.midstream(true);
      exported = { conversation, framer };
      this.#exports.set(key, exported);
      this.#observer.opened?.(conversation, time);
    }
    exported.framer.message(isReply, time, bytes, at, end, wireEnd - end);
  }

  /** Says what carried an exported conversation, by the name of its interface if that tells. */
  #describe(face: number, hasAddress: boolean, client: string, server: string): Conversation {
    const id = ++this.#conversations;
    const name = this.#names.get(face) ?? "";
    const [, transport, rest = ""] = /^(?:c\d+ )?(unix|virtio) (.*)$/s.exec(name) ?? [];
    if (transport === "unix" || transport === "virtio") {
      return { id, transport, client: "", server: rest };
    }
    return {
      id,
      transport: "tcp",
      ...(hasAddress ? { client, server } : { client: "", server: "" }),
    };
  }

  /** Makes room for another exported conversation: the oldest one ends. */
  #evictExport(): void {
    if (this.#exports.size < MOST_EXPORTS) return;
    for (const [key, { framer, conversation }] of this.#exports) {
      framer.end(this.time);
      this.#observer.closed?.(conversation, this.time);
      this.#exports.delete(key);
      this.#tcp.counts.evicted++;
      return;
    }
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function i32(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
}
