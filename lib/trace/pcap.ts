/**
 * Capture files of libpcap: a header, then packets.
 *
 * `magic[4] major[2] minor[2] zone[4] accuracy[4] snaplen[4] linktype[4]`, then for each packet
 * `seconds[4] fraction[4] captured[4] length[4]` and its bytes; in the byte order of the machine
 * that wrote it.
 *
 * @see https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import type { Account } from "./account.ts";
import type { PacketSink } from "./packets.ts";

const FILE_HEADER = 24;
/** Largest packet that is believed, in bytes: what libpcap allows, and more for USB-like links. */
export const LARGEST_PACKET: number = 2 ** 24;
/** What libpcap takes for a packet at most, on the links that we read. */
const LARGEST_SNAPLEN = 262144;
/** Seconds that two neighbours are apart at most, for one who searches the next packet. */
const FARTHEST = 86400;

/** Kinds of pcap by their magic number: nanoseconds per unit, and bytes of a packet's header. */
const MAGICS: ReadonlyMap<number, { unit: number; header: number }> = new Map([
  [0xa1b2c3d4, { unit: 1000, header: 16 }],
  [0xa1b23c4d, { unit: 1, header: 16 }],
  // Of a patched libpcap of 1997: index[4] protocol[2] type[1] pad[1] behind the lengths.
  [0xa1b2cd34, { unit: 1000, header: 24 }],
]);

/** A format whose packets are read from pieces of the file. */
export interface FormatReader {
  /** Bytes that it needs at once to go on; more are welcome. */
  readonly wanted: number;
  /**
   * Reads what is complete.
   *
   * @param offset Of `bytes[start]` in the file.
   * @param isLast Whether the file ends at `end`.
   * @returns Offset of the first byte that is to be given again, with more behind it.
   */
  read(bytes: Uint8Array, start: number, end: number, offset: number, isLast: boolean): number;
}

/** Whether bytes begin as a pcap file does. */
export function isPcap(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && (MAGICS.has(u32le(bytes, 0)) || MAGICS.has(u32be(bytes, 0)));
}

/** Reads pcap files. */
export class PcapReader implements FormatReader {
  wanted = FILE_HEADER;
  readonly #packets: PacketSink;
  readonly #account: Account;
  #isLittle = true;
  /** Nanoseconds per unit of the fraction. */
  #unit = 0;
  #header = 16;
  #linkType = 0;
  #limit = 0;
  #baseSeconds = 0;
  #baseFraction = 0;
  #hasBase = false;
  #lastSeconds = 0;
  /** Where the bytes began that are no packet; -1 if packets are read. */
  #searchFrom = -1;
  /** Whether they may be the beginning of a packet that the file ends in. */
  #isCutOff = false;

  /** Gives packets to `packets` and problems to `account`. */
  constructor(packets: PacketSink, account: Account) {
    this.#packets = packets;
    this.#account = account;
  }

  /** Reads the packets that are complete. */
  read(bytes: Uint8Array, start: number, end: number, offset: number, isLast: boolean): number {
    let at = start;
    if (this.#unit === 0) {
      if (end - at < FILE_HEADER) {
        if (isLast) this.#account.note("file-ends", offset, end - at);
        return isLast ? end : at;
      }
      this.#open(bytes, at);
      at += FILE_HEADER;
    }
    const shift = offset - start;
    const header = this.#header;
    this.wanted = header;
    for (;;) {
      if (this.#searchFrom >= 0) {
        const found = this.#search(bytes, at, end, isLast);
        if (found < 0 && !isLast) return ~found;
        at = found < 0 ? end : found;
        const problem = found < 0 && this.#isCutOff ? "file-ends" : "bad-record";
        this.#account.note(problem, this.#searchFrom, at + shift - this.#searchFrom);
        this.#searchFrom = -1;
        this.#isCutOff = false;
      }
      if (end - at < header) break;
      const captured = this.#u32(bytes, at + 8);
      const length = this.#u32(bytes, at + 12);
      if (captured > this.#limit) {
        this.#searchFrom = at + shift;
        at++;
        continue;
      }
      const next = at + header + captured;
      if (next > end) {
        if (!isLast) {
          this.wanted = header + captured;
          return at;
        }
        this.#isCutOff = true;
        this.#searchFrom = at + shift;
        at++;
        continue;
      }
      const seconds = this.#u32(bytes, at);
      const fraction = this.#u32(bytes, at + 4);
      if (!this.#hasBase) this.#setBase(seconds, fraction);
      this.#lastSeconds = seconds;
      const time = (seconds - this.#baseSeconds) * 1e9 +
        (fraction - this.#baseFraction) * this.#unit;
      const data = at + header;
      // Some writers leave the length 0, and none can be less than what was captured.
      const wireEnd = length > captured && length <= LARGEST_PACKET ? data + length : next;
      this.#packets.packet(this.#linkType, time, bytes, data, next, wireEnd, at + shift, 0, 0);
      at = next;
    }
    if (isLast && at < end) {
      this.#account.note("file-ends", at + shift, end - at);
      return end;
    }
    return at;
  }

  #open(bytes: Uint8Array, at: number): void {
    let kind = MAGICS.get(u32le(bytes, at));
    this.#isLittle = kind !== undefined;
    kind ??= MAGICS.get(u32be(bytes, at));
    this.#unit = kind?.unit ?? 1000;
    this.#header = kind?.header ?? 16;
    const snaplen = this.#u32(bytes, at + 16);
    this.#limit = Math.min(LARGEST_PACKET, Math.max(LARGEST_SNAPLEN, snaplen));
    // The upper bits tell of a checksum behind each packet, which no reader of ours gets to.
    this.#linkType = this.#u32(bytes, at + 20) & 0xffff;
    // Exported messages are as large as their senders made them, whatever the header says.
    if (this.#linkType === 252) this.#limit = LARGEST_PACKET;
  }

  #setBase(seconds: number, fraction: number): void {
    this.#hasBase = true;
    this.#baseSeconds = seconds;
    this.#baseFraction = fraction;
    this.#packets.base(BigInt(seconds) * 1_000_000_000n + BigInt(fraction) * BigInt(this.#unit));
  }

  /**
   * Looks for the next packet from `at` on: one header and another one right behind its packet.
   *
   * @returns Its offset, or the complement of the offset to go on from if there are more bytes.
   */
  #search(bytes: Uint8Array, at: number, end: number, isLast: boolean): number {
    const header = this.#header;
    for (; at + header <= end; at++) {
      if (!this.#isLikely(bytes, at)) continue;
      const next = at + header + this.#u32(bytes, at + 8);
      if (next === end && isLast) return at;
      if (next + header > end) {
        if (isLast) continue;
        this.wanted = next + header - at;
        return ~at;
      }
      if (this.#isLikely(bytes, next)) return at;
    }
    return ~at;
  }

  #isLikely(bytes: Uint8Array, at: number): boolean {
    const captured = this.#u32(bytes, at + 8);
    const length = this.#u32(bytes, at + 12);
    return captured > 0 && captured <= this.#limit && length >= captured &&
      length <= LARGEST_PACKET && this.#u32(bytes, at + 4) * this.#unit < 1e9 &&
      (!this.#hasBase || Math.abs(this.#u32(bytes, at) - this.#lastSeconds) < FARTHEST);
  }

  #u32(bytes: Uint8Array, at: number): number {
    return this.#isLittle ? u32le(bytes, at) : u32be(bytes, at);
  }
}

/** Four bytes, the lowest first. */
export function u32le(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** Four bytes, the highest first. */
export function u32be(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}
