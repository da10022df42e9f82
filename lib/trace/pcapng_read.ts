/**
 * Capture files of Wireshark: blocks in sections.
 *
 * Every block is `type[4] total[4]`, a body, and `total[4]` again, all in the byte order of its
 * section.
 *
 * @see https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import type { Account } from "./account.ts";
import type { PacketSink } from "./packets.ts";
import { type FormatReader, LARGEST_PACKET, u32be, u32le } from "./pcap.ts";

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
/** Types that one who searches a block believes in: those of the standard and of Wireshark. */
const LIKELY: ReadonlySet<number> = new Set([
  SECTION,
  INTERFACE,
  PACKET,
  SIMPLE_PACKET,
  4,
  5,
  ENHANCED_PACKET,
  9,
  10,
  0xbad,
  0x40000bad,
]);
const ORDER = 0x1a2b3c4d;
const SMALLEST = 12;
/** Largest block that is read; others are skipped. */
const LARGEST_BLOCK = LARGEST_PACKET + 2 ** 16;
/** Most interfaces of a section. */
const MOST_INTERFACES = 65536;
/** Options of an interface that are looked at, and of a packet. */
const IF_NAME = 2;
const IF_RESOLUTION = 9;
const IF_OFFSET = 14;
const EPB_FLAGS = 2;
/** Most options of a block that are looked at. */
const MOST_OPTIONS = 256;
const LONGEST_NAME = 256;

/** An interface of a section. */
interface Interface {
  readonly linkType: number;
  readonly snaplen: number;
  /** Number of it for {@linkcode PacketSink}, over all sections. */
  readonly id: number;
  /** Units of time per second, and nanoseconds per unit if that is a whole number. */
  readonly perSecond: number;
  readonly nanoseconds: number;
  /** Seconds to add. */
  readonly offset: bigint;
  /** Units at its first packet, upper and lower half, and its time then. */
  hasReference: boolean;
  high: number;
  low: number;
  time: number;
}

/** Whether bytes begin as a pcapng file does. */
export function isPcapng(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && u32be(bytes, 0) === SECTION;
}

/** Reads pcapng files. */
export class PcapngReader implements FormatReader {
  wanted = 28;
  readonly #packets: PacketSink;
  readonly #account: Account;
  #isLittle = true;
  #interfaces: Interface[] = [];
  #count = 0;
  #base: bigint | null = null;
  #time = 0;
  /** Where the bytes began that are no block; -1 if blocks are read. */
  #searchFrom = -1;
  /** Whether they may be the beginning of a block that the file ends in. */
  #isCutOff = false;

  /** Gives packets to `packets` and problems to `account`. */
  constructor(packets: PacketSink, account: Account) {
    this.#packets = packets;
    this.#account = account;
  }

  /** Reads the blocks that are complete. */
  read(bytes: Uint8Array, start: number, end: number, offset: number, isLast: boolean): number {
    let at = start;
    const shift = offset - start;
    this.wanted = SMALLEST;
    for (;;) {
      if (this.#searchFrom >= 0) {
        const found = this.#search(bytes, at, end, isLast);
        if (found < 0 && !isLast) return ~found;
        at = found < 0 ? end : found;
        const problem = found < 0 && this.#isCutOff ? "file-ends" : "bad-block";
        this.#account.note(problem, this.#searchFrom, at + shift - this.#searchFrom);
        this.#searchFrom = -1;
        this.#isCutOff = false;
      }
      if (end - at < SMALLEST) break;
      const type = this.#u32(bytes, at);
      if (type === SECTION && !this.#setOrder(bytes, at)) {
        this.#searchFrom = at + shift;
        at++;
        continue;
      }
      const total = this.#u32(bytes, at + 4);
      if (total < SMALLEST || (total & 3) !== 0 || total > LARGEST_BLOCK) {
        this.#searchFrom = at + shift;
        at++;
        continue;
      }
      if (total > end - at && !isLast) {
        this.wanted = total;
        return at;
      }
      if (total > end - at || this.#u32(bytes, at + total - 4) !== total) {
        this.#isCutOff = total > end - at;
        this.#searchFrom = at + shift;
        at++;
        continue;
      }
      this.#block(type, bytes, at, at + total - 4, at + shift);
      at += total;
    }
    if (isLast && at < end) {
      this.#account.note("file-ends", at + shift, end - at);
      return end;
    }
    return at;
  }

  /** Sets the byte order of a section; says whether it has one. */
  #setOrder(bytes: Uint8Array, at: number): boolean {
    if (u32le(bytes, at + 8) === ORDER) this.#isLittle = true;
    else if (u32be(bytes, at + 8) === ORDER) this.#isLittle = false;
    else return false;
    return true;
  }

  /**
   * Looks for the next block from `at` on: a type that there is and the same length at both ends.
   *
   * @returns Its offset, or the complement of the offset to go on from if there are more bytes.
   */
  #search(bytes: Uint8Array, at: number, end: number, isLast: boolean): number {
    for (; at + SMALLEST <= end; at++) {
      const type = this.#u32(bytes, at);
      if (!LIKELY.has(type)) continue;
      if (type === SECTION) {
        const isLittle = this.#isLittle;
        if (!this.#setOrder(bytes, at)) continue;
        // The order is taken over only with the block.
        const total = this.#u32(bytes, at + 4);
        this.#isLittle = isLittle;
        if (total < 28 || (total & 3) !== 0 || total > LARGEST_BLOCK) continue;
        return at;
      }
      const total = this.#u32(bytes, at + 4);
      if (total < SMALLEST || (total & 3) !== 0 || total > LARGEST_BLOCK) continue;
      if (at + total > end) {
        if (isLast) continue;
        this.wanted = total;
        return ~at;
      }
      if (this.#u32(bytes, at + total - 4) === total) return at;
    }
    return ~at;
  }

  #block(type: number, bytes: Uint8Array, at: number, end: number, offset: number): void {
    switch (type) {
      case ENHANCED_PACKET:
        this.#enhanced(bytes, at, end, offset);
        break;
      case SECTION:
        this.#interfaces = [];
        break;
      case INTERFACE:
        this.#interface(bytes, at, end, offset);
        break;
      case SIMPLE_PACKET:
        this.#simple(bytes, at, end, offset);
        break;
      case PACKET:
        this.#old(bytes, at, end, offset);
        break;
    }
  }

  #interface(bytes: Uint8Array, at: number, end: number, offset: number): void {
    if (at + 16 > end) return this.#account.note("short-block", offset);
    if (this.#interfaces.length >= MOST_INTERFACES) {
      return this.#account.note("no-interface", offset, 0, "too many interfaces in a section");
    }
    let perSecond = 1e6;
    let nanoseconds = 1000;
    let seconds = 0n;
    let name = "";
    this.#options(bytes, at + 16, end, (code, value, length) => {
      if (code === IF_NAME) {
        const stop = value + Math.min(length, LONGEST_NAME);
        name = new TextDecoder().decode(bytes.subarray(value, stop));
      } else if (code === IF_RESOLUTION && length >= 1) {
        const power = bytes[value]! & 0x7f;
        const isBinary = bytes[value]! > 0x7f;
        // What is finer than doubles can tell is as fine as no time at all.
        perSecond = isBinary ? 2 ** Math.min(power, 63) : 10 ** Math.min(power, 19);
        nanoseconds = 1e9 % perSecond === 0 ? 1e9 / perSecond : 0;
      } else if (code === IF_OFFSET && length >= 8) {
        const [high, low] = this.#isLittle ? [value + 4, value] : [value, value + 4];
        const bits = BigInt(this.#u32(bytes, high)) << 32n | BigInt(this.#u32(bytes, low));
        seconds = BigInt.asIntN(64, bits);
      }
    });
    const id = this.#count++;
    const linkType = this.#u16(bytes, at + 8);
    this.#interfaces.push({
      linkType,
      snaplen: this.#u32(bytes, at + 12),
      id,
      perSecond,
      nanoseconds,
      offset: seconds,
      hasReference: false,
      high: 0,
      low: 0,
      time: 0,
    });
    this.#packets.interface(id, name);
  }

  /** Calls `found` with code, offset and length of each option. */
  #options(
    bytes: Uint8Array,
    at: number,
    end: number,
    found: (code: number, value: number, length: number) => void,
  ): void {
    for (let count = 0; count < MOST_OPTIONS && at + 4 <= end; count++) {
      const code = this.#u16(bytes, at);
      const length = this.#u16(bytes, at + 2);
      if (code === 0 || at + 4 + length > end) return;
      found(code, at + 4, length);
      at += 4 + (length + 3 & ~3);
    }
  }

  /** `interface[4] high[4] low[4] captured[4] length[4]`, the packet, options. */
  #enhanced(bytes: Uint8Array, at: number, end: number, offset: number): void {
    if (at + 28 > end) return this.#account.note("short-block", offset);
    const face = this.#interfaces[this.#u32(bytes, at + 8)];
    if (face === undefined) return this.#account.note("no-interface", offset, end - at);
    const captured = this.#u32(bytes, at + 20);
    const data = at + 28;
    if (captured > end - data) return this.#account.note("short-block", offset);
    const time = this.#timeOf(face, this.#u32(bytes, at + 12), this.#u32(bytes, at + 16));
    let way = 0;
    const options = data + (captured + 3 & ~3);
    // Options as many as comments are rare; their walk is for packets that need a direction.
    if (face.linkType === 252 && options + 8 <= end) way = this.#flags(bytes, options, end) & 3;
    this.#packet(face, time, bytes, data, captured, this.#u32(bytes, at + 24), offset, way);
  }

  #flags(bytes: Uint8Array, at: number, end: number): number {
    let flags = 0;
    this.#options(bytes, at, end, (code, value, length) => {
      if (code === EPB_FLAGS && length >= 4) flags = this.#u32(bytes, value);
    });
    return flags;
  }

  /** `length[4]` and the packet, of the first interface, at no time. */
  #simple(bytes: Uint8Array, at: number, end: number, offset: number): void {
    if (at + 12 > end) return this.#account.note("short-block", offset);
    const face = this.#interfaces[0];
    if (face === undefined) return this.#account.note("no-interface", offset, end - at);
    if (this.#base === null) this.#setBase(0n);
    const length = this.#u32(bytes, at + 8);
    const most = face.snaplen === 0 ? length : Math.min(length, face.snaplen);
    const captured = Math.min(most, end - at - 12);
    this.#packet(face, this.#time, bytes, at + 12, captured, length, offset, 0);
  }

  /** `interface[2] drops[2] high[4] low[4] captured[4] length[4]`, the packet, options. */
  #old(bytes: Uint8Array, at: number, end: number, offset: number): void {
    if (at + 28 > end) return this.#account.note("short-block", offset);
    const face = this.#interfaces[this.#u16(bytes, at + 8)];
    if (face === undefined) return this.#account.note("no-interface", offset, end - at);
    const captured = this.#u32(bytes, at + 20);
    if (captured > end - at - 28) return this.#account.note("short-block", offset);
    const time = this.#timeOf(face, this.#u32(bytes, at + 12), this.#u32(bytes, at + 16));
    this.#packet(face, time, bytes, at + 28, captured, this.#u32(bytes, at + 24), offset, 0);
  }

  #packet(
    face: Interface,
    time: number,
    bytes: Uint8Array,
    data: number,
    captured: number,
    length: number,
    offset: number,
    way: number,
  ): void {
    this.#time = time;
    const end = data + captured;
    const wireEnd = length > captured && length <= LARGEST_PACKET ? data + length : end;
    this.#packets.packet(face.linkType, time, bytes, data, end, wireEnd, offset, way, face.id);
  }

  /**
   * Time of a packet: the distance to the first packet of the interface, in numbers, which is exact
   * where the difference of two large times is not.
   */
  #timeOf(face: Interface, high: number, low: number): number {
    if (!face.hasReference) {
      face.hasReference = true;
      face.high = high;
      face.low = low;
      const units = BigInt(high) << 32n | BigInt(low);
      const absolute = face.offset * 1_000_000_000n +
        units * 1_000_000_000n / BigInt(face.perSecond);
      if (this.#base === null) this.#setBase(absolute);
      face.time = Number(absolute - (this.#base ?? 0n));
    }
    const units = (high - face.high) * 2 ** 32 + (low - face.low);
    if (face.nanoseconds > 0) return face.time + units * face.nanoseconds;
    const seconds = Math.floor(units / face.perSecond);
    const rest = units - seconds * face.perSecond;
    return face.time + seconds * 1e9 + Math.round(rest / face.perSecond * 1e9);
  }

  #setBase(base: bigint): void {
    this.#base = base;
    this.#packets.base(base);
  }

  #u16(bytes: Uint8Array, at: number): number {
    return this.#isLittle ? bytes[at]! | bytes[at + 1]! << 8 : bytes[at]! << 8 | bytes[at + 1]!;
  }

  #u32(bytes: Uint8Array, at: number): number {
    return this.#isLittle ? u32le(bytes, at) : u32be(bytes, at);
  }
}
