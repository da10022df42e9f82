/**
 * Blocks of a pcapng file, as they are written.
 *
 * @see https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html
 *
 * @module
 */

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;

const OPT_END = 0;
const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;

/** Timestamps count 10^-9 seconds. */
const NANOSECONDS = 9;
/** What one block may be: no packet is longer, the header in front of it included. */
const SNAP_LENGTH = 0x1000_0000;
/** Most bytes of a text in an option: its length has 16 bits, and nobody reads a longer one. */
const MOST_TEXT = 32_000;
/** Bytes that are gathered before they are written. */
const GATHERED = 1 << 16;
/** Bytes of the block of a packet besides the packet and its comment. */
const PACKET_BYTES = 44;
/** Bytes that are copied by a loop: quicker than a view of them is made. */
const LOOPED = 128;
const TWO_32 = 2 ** 32;

/** Takes bytes, which are borrowed until it returns. */
export type WriteBytes = (bytes: Uint8Array) => void;

/** A packet to write. */
export interface Packet {
  /** Number of its interface. */
  readonly interface: number;
  /** Nanoseconds since the base of the clock. */
  readonly time: number;
  /** What is in front of the bytes. */
  readonly header: Uint8Array;
  /** Holds the bytes, borrowed. */
  readonly bytes: Uint8Array;
  /** Offset of the first one. */
  readonly start: number;
  /** Offset behind the last one. */
  readonly end: number;
  /** How many more there were that nobody has. */
  readonly missing: number;
  /** Whether it came in, or went out. */
  readonly flow: "in" | "out";
  /** What is to be said of it; empty for nothing. */
  readonly comment: string;
}

/**
 * Writes the blocks of one section, little-endian, with times in nanoseconds.
 *
 * Gathers bytes and passes them on in large pieces; {@linkcode PcapngBlocks.flush} passes on the rest.
 */
export class PcapngBlocks {
  readonly #write: WriteBytes;
  #bytes = new Uint8Array(GATHERED);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #blockStart = 0;
  #baseHigh = 0;
  #baseLow = 0;
  #interfaces = 0;

  /** Writes to `write`. */
  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /**
   * Writes what a file begins with.
   *
   * @param base Nanoseconds since 1970 that times count from.
   * @param application What wrote the file.
   */
  section(base: bigint, application: string): void {
    this.#baseHigh = Number(BigInt.asUintN(32, base >> 32n));
    this.#baseLow = Number(BigInt.asUintN(32, base));
    this.#begin(SECTION_HEADER);
    this.#u32(BYTE_ORDER);
    this.#u16(1);
    this.#u16(0);
    // Length of the section: not known, the file may be a pipe.
    this.#u32(0xffff_ffff);
    this.#u32(0xffff_ffff);
    this.#text(SHB_USERAPPL, application);
    this.#endOptions();
    this.#finish();
  }

  /** Announces an interface and gives its number. */
  interface(linkType: number, name: string, description: string): number {
    this.#begin(INTERFACE_DESCRIPTION);
    this.#u16(linkType);
    this.#u16(0);
    this.#u32(SNAP_LENGTH);
    this.#text(IF_NAME, name);
    if (description !== "") this.#text(IF_DESCRIPTION, description);
    this.#u16(IF_TSRESOL);
    this.#u16(1);
    this.#u32(NANOSECONDS);
    this.#endOptions();
    this.#finish();
    return this.#interfaces++;
  }

  /** Writes a packet. */
  packet(packet: Packet): void {
    const { header, bytes, start, end, missing, comment } = packet;
    const captured = header.length + end - start;
    if (this.#at >= GATHERED / 2) this.flush();
    const padded = captured + 3 & ~3;
    this.#room(padded + PACKET_BYTES);
    // Written by offsets, not field by field: there is one of these for every message.
    const view = this.#view;
    const at = this.#blockStart = this.#at;
    const options = at + 28 + padded;
    // The padding; all else is written after it.
    view.setUint32(options - 4, 0, true);
    view.setUint32(at, ENHANCED_PACKET, true);
    view.setUint32(at + 8, packet.interface, true);
    const seconds = Math.floor(packet.time / TWO_32);
    const low = this.#baseLow + (packet.time - seconds * TWO_32);
    view.setUint32(at + 12, this.#baseHigh + seconds + (low >= TWO_32 ? 1 : 0), true);
    view.setUint32(at + 16, low >= TWO_32 ? low - TWO_32 : low, true);
    view.setUint32(at + 20, captured, true);
    view.setUint32(at + 24, captured + missing, true);
    this.#bytes.set(header, at + 28);
    this.#put(bytes, start, end, at + 28 + header.length);
    this.#at = options;
    if (comment !== "") this.#text(OPT_COMMENT, comment);
    this.#flowAndEnd(packet.flow === "in" ? 1 : 2);
  }

  /** Ends a packet. */
  #flowAndEnd(flow: number): void {
    this.#room(16);
    const view = this.#view;
    const at = this.#at;
    const length = at + 16 - this.#blockStart;
    view.setUint32(at, EPB_FLAGS | 4 << 16, true);
    view.setUint32(at + 4, flow, true);
    view.setUint32(at + 8, OPT_END, true);
    view.setUint32(at + 12, length, true);
    view.setUint32(this.#blockStart + 4, length, true);
    this.#at = at + 16;
  }

  /** Says what became of an interface, at its end. */
  statistics(
    interfaceNumber: number,
    time: number,
    received: number,
    dropped: number,
    comment: string,
  ): void {
    this.#begin(INTERFACE_STATISTICS);
    this.#u32(interfaceNumber);
    this.#time(time);
    if (comment !== "") this.#text(OPT_COMMENT, comment);
    this.#number(ISB_IFRECV, received);
    this.#number(ISB_IFDROP, dropped);
    this.#endOptions();
    this.#finish();
  }

  /** Passes on what was gathered. */
  flush(): void {
    if (this.#at > 0) this.#write(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
  }

  #begin(type: number): void {
    if (this.#at >= GATHERED / 2) this.flush();
    this.#blockStart = this.#at;
    this.#u32(type);
    this.#u32(0);
  }

  #finish(): void {
    const length = this.#at + 4 - this.#blockStart;
    this.#u32(length);
    this.#view.setUint32(this.#blockStart + 4, length, true);
  }

  /** Puts bytes that there is room for. */
  #put(from: Uint8Array, start: number, end: number, at: number): void {
    const into = this.#bytes;
    if (end - start > LOOPED) into.set(from.subarray(start, end), at);
    else for (let i = start; i < end; i++) into[at + i - start] = from[i] as number;
  }

  #time(time: number): void {
    const low = this.#baseLow + (time - Math.floor(time / TWO_32) * TWO_32);
    this.#u32(this.#baseHigh + Math.floor(time / TWO_32) + Math.floor(low / TWO_32));
    this.#u32(low);
  }

  #number(option: number, value: number): void {
    this.#u16(option);
    this.#u16(8);
    this.#u32(value);
    this.#u32(Math.floor(value / TWO_32));
  }

  #text(option: number, text: string): void {
    this.#room(MOST_TEXT + 8);
    const into = this.#bytes.subarray(this.#at + 4, this.#at + 4 + MOST_TEXT);
    const { written } = ENCODER.encodeInto(text, into);
    this.#u16(option);
    this.#u16(written);
    this.#at += written;
    this.#pad();
  }

  #endOptions(): void {
    this.#u16(OPT_END);
    this.#u16(0);
  }

  #pad(): void {
    while ((this.#at - this.#blockStart) % 4 !== 0) {
      this.#room(1);
      this.#bytes[this.#at++] = 0;
    }
  }

  #u16(value: number): void {
    this.#room(2);
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  #u32(value: number): void {
    this.#room(4);
    // Of larger numbers the low 32 bits.
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const ENCODER = new TextEncoder();
