/**
 * Captures that every Wireshark opens as 9P with nothing set up, each packet with our reading of it
 * as its comment.
 *
 * @module
 */
import { HEADER_SIZE } from "../p9/mod.ts";
import { type Endpoint, type Endpoints, endpointsOf, PORT_9P } from "./endpoints.ts";
import { PcapngBlocks, type WriteBytes } from "./pcapng_blocks.ts";
import { formatRing } from "./ring_text.ts";
import { LINKTYPE_RAW, SyntheticTcp } from "./synthetic_tcp.ts";
import type {
  Clock,
  Conversation,
  Direction,
  Finding,
  Frame,
  Gap,
  Observer,
  Transaction,
} from "./types.ts";

/** LINKTYPE_WIRESHARK_UPPER_PDU: a packet is a list of tags and then the message itself. */
const LINKTYPE_UPPER_PDU = 252;
const TAG_END = 0;
const TAG_TABLE = 14;
const TAG_IPV4_SOURCE = 20;
const TAG_IPV6_SOURCE = 22;
const TAG_PORT_TYPE = 24;
const TAG_SOURCE_PORT = 25;
const TAG_DESTINATION_PORT = 26;
const TAG_TABLE_VALUE = 32;
const PORT_TYPE_TCP = 2;

/** Messages that wait for the end of their transaction, so that their comment can tell it. */
const MOST_HELD = 4096;
/** Bytes of them. */
const MOST_HELD_BYTES = 16 << 20;
/** Findings that are kept for the end of a conversation. */
const MOST_LATE_FINDINGS = 100;

/** How packets of a capture look. */
export type PcapFormat =
  /** The messages themselves, of any length; for Wireshark. */
  | "pdu"
  /** TCP over IP, made up around the messages; for every program. */
  | "tcp";

/** The formats, for the command line. */
export const PCAP_FORMATS: readonly PcapFormat[] = ["pdu", "tcp"];

/** How a capture is written. */
export interface PcapngOptions {
  /** Takes the file, piece by piece. */
  readonly write: WriteBytes;
  /** How packets look; `pdu` if not given. */
  readonly format?: PcapFormat;
  /**
   * The line of a transaction, which becomes the comment of its packets. Without it packets are written
   * as they come, which costs little, and only gaps and the times of a ring are said of them.
   */
  readonly describe?: (transaction: Transaction) => string;
  /** What writes the file. */
  readonly application: string;
}

/** A message that waits to be written. */
interface Held {
  readonly conversation: Conversation;
  readonly direction: Direction;
  readonly time: number;
  readonly tag: number;
  readonly bytes: Uint8Array;
  readonly missing: number;
  comment: string;
  isReady: boolean;
}

/** What is known of a conversation that has packets. */
interface Written {
  readonly interface: number;
  readonly headers: Readonly<Record<Direction, Uint8Array>>;
  readonly tcp: SyntheticTcp | null;
  packets: number;
  gaps: number;
  lost: number;
  skipped: number;
  late: string[];
  /** Said of the next packet. */
  note: string;
}

/**
 * Writes what it observes as pcapng.
 *
 * Packets are in the order in which they were seen. Requests wait until their transaction is over, or
 * until too many wait; then they are written without a comment.
 */
export class PcapngFile implements Observer {
  readonly #blocks: PcapngBlocks;
  readonly #options: PcapngOptions;
  readonly #written = new Map<number, Written>();
  /** In order; those before `#first` are written. */
  #held: Held[] = [];
  #first = 0;
  #heldBytes = 0;
  readonly #waiting = new Map<number, Held>();
  #packet: { interface: number; time: number; comment: string } = {
    interface: 0,
    time: 0,
    comment: "",
  };
  #sharedInterface = -1;

  /** Writes as told. */
  constructor(options: PcapngOptions) {
    this.#options = options;
    this.#blocks = new PcapngBlocks(options.write);
  }

  /** Writes the head of the file. */
  begin(clock: Clock): void {
    this.#blocks.section(clock.base, this.#options.application);
  }

  /** Takes a message. */
  frame(frame: Frame): void {
    if (this.#options.describe === undefined) return this.#writeFrame(frame);
    this.#drain();
    const { conversation, direction, bytes, start, end } = frame;
    const tag = end - start < HEADER_SIZE
      ? -1
      : (bytes[start + 5] ?? 0) | (bytes[start + 6] ?? 0) << 8;
    const held: Held = {
      conversation,
      direction,
      time: frame.time,
      tag,
      bytes: bytes.slice(start, end),
      missing: Math.max(0, frame.size - (end - start)),
      comment: joined(this.#noteFor(conversation), ringOf(frame)),
      isReady: direction === "reply" || tag < 0,
    };
    this.#held.push(held);
    this.#heldBytes += held.bytes.length;
    if (!held.isReady) {
      const key = keyOf(conversation, tag);
      const older = this.#waiting.get(key);
      if (older !== undefined) older.isReady = true;
      this.#waiting.set(key, held);
    }
    while (
      this.#held.length - this.#first > MOST_HELD ||
      this.#heldBytes > MOST_HELD_BYTES && this.#held.length - this.#first > 1
    ) this.#writeFirst();
  }

  /** Tells the packets of a transaction what it was. */
  transaction(transaction: Transaction): void {
    const { conversation, tag } = transaction;
    const line = this.#options.describe?.(transaction);
    if (line === undefined) return;
    const key = keyOf(conversation, tag);
    const request = transaction.request === null ? undefined : this.#waiting.get(key);
    if (request !== undefined) {
      this.#waiting.delete(key);
      request.comment = joined(line, request.comment);
      request.isReady = true;
    }
    const last = this.#held.at(-1);
    if (
      transaction.reply !== null && last?.direction === "reply" && last.tag === tag &&
      last.conversation.id === conversation.id
    ) last.comment = joined(line, last.comment);
  }

  /** Adds a finding to the message it is about: the last one of its conversation. */
  finding(finding: Finding): void {
    const text = `${finding.rule} ${finding.severity}: ${finding.message}`;
    const last = this.#held.at(-1);
    if (last !== undefined && last.conversation.id === finding.conversation.id) {
      last.comment = joined(last.comment, text);
      return;
    }
    const late = this.#writtenOf(finding.conversation, finding.time).late;
    if (late.length < MOST_LATE_FINDINGS) late.push(text);
  }

  /** Tells the next packet that there is a gap before it. */
  gap(gap: Gap): void {
    const written = this.#writtenOf(gap.conversation, gap.time);
    written.gaps++;
    written.lost += gap.lost;
    written.skipped += gap.skipped;
    written.note = joined(
      written.note,
      `gap in ${gap.direction === "request" ? "requests" : "replies"} before this: ` +
        `${gap.lost} bytes lost, ${gap.skipped} skipped (${gap.why})`,
    );
  }

  /** Ends the interface of a conversation. */
  closed(conversation: Conversation, time: number): void {
    for (let at = this.#first; at < this.#held.length; at++) {
      const held = this.#held[at];
      if (held?.conversation.id === conversation.id) this.#release(held);
    }
    this.#drain();
    // What waits behind another conversation's request must come before the goodbye.
    while (this.#isHeld(conversation)) this.#writeFirst();
    this.#close(conversation.id, time);
  }

  /** Writes what still waits. */
  end(time: number): void {
    while (this.#first < this.#held.length) this.#writeFirst();
    for (const id of [...this.#written.keys()]) this.#close(id, time);
    this.#blocks.flush();
  }

  /** Writes a message where it lies. */
  #writeFrame(frame: Frame): void {
    const { conversation, direction, time, bytes, start, end } = frame;
    const missing = Math.max(0, frame.size - (end - start));
    const written = this.#writtenOf(conversation, time);
    const comment = joined(written.note, ringOf(frame));
    written.note = "";
    this.#writePacket(written, direction, time, bytes, start, end, missing, comment);
  }

  #noteFor(conversation: Conversation): string {
    const written = this.#written.get(conversation.id);
    const note = written?.note ?? "";
    if (written !== undefined) written.note = "";
    return note;
  }

  #isHeld(conversation: Conversation): boolean {
    for (let at = this.#first; at < this.#held.length; at++) {
      if (this.#held[at]?.conversation.id === conversation.id) return true;
    }
    return false;
  }

  #close(id: number, time: number): void {
    const written = this.#written.get(id);
    if (written === undefined) return;
    this.#written.delete(id);
    const { gaps, lost, skipped, late, tcp } = written;
    if (tcp !== null) {
      this.#packet = { interface: written.interface, time, comment: "" };
      tcp.close();
      return;
    }
    const comments = [...late];
    if (gaps > 0) comments.push(`gaps: ${gaps}, ${lost} bytes lost, ${skipped} skipped`);
    this.#blocks.statistics(written.interface, time, written.packets, gaps, comments.join("\n"));
  }

  #drain(): void {
    while (this.#held[this.#first]?.isReady === true) this.#writeFirst();
  }

  #release(held: Held): void {
    held.isReady = true;
    const key = keyOf(held.conversation, held.tag);
    if (this.#waiting.get(key) === held) this.#waiting.delete(key);
  }

  #writeFirst(): void {
    const held = this.#held[this.#first];
    if (held === undefined) return;
    this.#first++;
    this.#heldBytes -= held.bytes.length;
    this.#release(held);
    if (this.#first === this.#held.length || this.#first >= MOST_HELD) {
      this.#held = this.#held.slice(this.#first);
      this.#first = 0;
    }
    const { conversation, direction, time, bytes, missing } = held;
    const written = this.#writtenOf(conversation, time);
    this.#writePacket(written, direction, time, bytes, 0, bytes.length, missing, held.comment);
  }

  #writePacket(
    written: Written,
    direction: Direction,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    missing: number,
    comment: string,
  ): void {
    written.packets++;
    if (written.tcp !== null) {
      this.#packet = { interface: written.interface, time, comment };
      written.tcp.send(direction, bytes, start, end, missing);
      return;
    }
    this.#blocks.packet({
      interface: written.interface,
      time,
      header: written.headers[direction],
      bytes,
      start,
      end,
      missing,
      flow: direction === "request" ? "in" : "out",
      comment,
    });
  }

  #writtenOf(conversation: Conversation, time: number): Written {
    const known = this.#written.get(conversation.id);
    if (known !== undefined) return known;
    const endpoints = endpointsOf(conversation);
    const isTcp = this.#options.format === "tcp";
    const written: Written = {
      interface: isTcp ? this.#rawInterface() : this.#blocks.interface(
        LINKTYPE_UPPER_PDU,
        `c${conversation.id} ${conversation.transport} ${conversation.server}`,
        conversation.client === "" ? "" : `from ${conversation.client}`,
      ),
      headers: {
        request: upperPduTags(endpoints.client, endpoints.server),
        reply: upperPduTags(endpoints.server, endpoints.client),
      },
      tcp: isTcp ? this.#connection(endpoints) : null,
      packets: 0,
      gaps: 0,
      lost: 0,
      skipped: 0,
      late: [],
      note: "",
    };
    this.#written.set(conversation.id, written);
    if (written.tcp !== null) {
      this.#packet = { interface: written.interface, time, comment: "" };
      written.tcp.open();
    }
    return written;
  }

  /** One interface for all: tools that are not Wireshark want no more. */
  #rawInterface(): number {
    if (this.#sharedInterface < 0) {
      this.#sharedInterface = this.#blocks.interface(
        LINKTYPE_RAW,
        "9p",
        `IP and TCP are made up; servers are at port ${PORT_9P}`,
      );
    }
    return this.#sharedInterface;
  }

  #connection(endpoints: Endpoints): SyntheticTcp {
    return new SyntheticTcp(endpoints, (direction, header, bytes, start, end, missing, isLast) => {
      const { time, comment } = this.#packet;
      this.#blocks.packet({
        interface: this.#packet.interface,
        time,
        header,
        bytes,
        start,
        end,
        missing,
        flow: direction === "request" ? "in" : "out",
        // Where Wireshark shows the message: at its last segment.
        comment: isLast ? comment : "",
      });
    });
  }
}

function ringOf({ ring }: Frame): string {
  return ring === undefined ? "" : formatRing(ring);
}

function keyOf(conversation: Conversation, tag: number): number {
  return conversation.id * 0x1_0000 + tag;
}

function joined(first: string, second: string): string {
  return first === "" || second === "" ? first + second : `${first}\n${second}`;
}

/**
 * Tags in front of a message. The table "tcp.port" with the value 564 is what every Wireshark since
 * at least 4.0 knows 9P by; addresses and ports tell conversations and their two directions apart.
 */
function upperPduTags(from: Endpoint, to: Endpoint): Uint8Array {
  const source = from.address.length === 4 ? TAG_IPV4_SOURCE : TAG_IPV6_SOURCE;
  return Uint8Array.from([
    ...tag(TAG_TABLE, [...new TextEncoder().encode("tcp.port")]),
    ...tag(TAG_TABLE_VALUE, u32(PORT_9P)),
    ...tag(source, [...from.address]),
    ...tag(source + 1, [...to.address]),
    ...tag(TAG_PORT_TYPE, u32(PORT_TYPE_TCP)),
    ...tag(TAG_SOURCE_PORT, u32(from.port)),
    ...tag(TAG_DESTINATION_PORT, u32(to.port)),
    ...tag(TAG_END, []),
  ]);
}

function u32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}

function tag(number: number, value: readonly number[]): number[] {
  return [0, number, 0, value.length, ...value];
}
