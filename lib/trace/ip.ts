/**
 * IPv4 and IPv6: addresses, and the TCP segment in a packet or in its fragments.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

const TCP = 6;
/** Most extension headers of an IPv6 packet. */
const MOST_HEADERS = 16;
/** Most packets whose fragments are kept. */
const MOST_DATAGRAMS = 256;
/** Bytes that all fragments may take together. */
const MOST_FRAGMENT_BYTES = 8 * 2 ** 20;
/** Most holes in one packet. */
const MOST_RUNS = 256;
/** Nanoseconds after which fragments are thrown away. */
const FRAGMENT_LIFE = 60e9;
const LARGEST_DATAGRAM = 65535;

/** What became of a packet. */
export const SEGMENT = 0;
/** See {@linkcode SEGMENT}: no TCP. */
export const NOT_TCP = 1;
/** See {@linkcode SEGMENT}: a fragment, of a packet that is not complete. */
export const FRAGMENT = 2;
/** See {@linkcode SEGMENT}: the packet ends, or was cut, before its TCP segment begins. */
export const CUT = 3;
/** See {@linkcode SEGMENT}: no IP packet has such a header. */
export const MALFORMED = 4;

/** A packet of which not all fragments are there. */
interface Datagram {
  readonly key: string;
  /** When its first fragment was seen. */
  readonly time: number;
  bytes: Uint8Array;
  /** What is there: offset and end of each run, in order. */
  runs: { start: number; end: number }[];
  /** Its length, once the last fragment is there. */
  length: number;
}

/** Reads packets one after the other; what it found stays in its fields until the next. */
export class IpReader {
  /** Holds the segment: the packet's bytes, or the fragments put together. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the TCP header. */
  start = 0;
  /** Offset behind the last byte of the segment that was captured. */
  end = 0;
  /** Offset behind the last byte of the segment on the wire; at least `end`. */
  wireEnd = 0;
  /** Source address, big-endian; an IPv4 address is the last word, after 0, 0 and 0xffff. */
  readonly source: Int32Array = new Int32Array(4);
  /** Destination address. */
  readonly destination: Int32Array = new Int32Array(4);
  /** Packets that were given up before all of their fragments came. */
  lostDatagrams = 0;

  readonly #datagrams = new Map<string, Datagram>();
  #fragmentBytes = 0;

  /** Fragments that wait for others. */
  get waiting(): number {
    return this.#datagrams.size;
  }

  /**
   * Reads the packet from `at` to `end`.
   *
   * @param wireEnd Where it would end had all of it been captured; padding of the link included.
   * @param time When it was seen; only fragments need it.
   * @returns {@linkcode SEGMENT}, and the fields are set, or why there is none.
   */
  read(
    bytes: Uint8Array,
    at: number,
    end: number,
    wireEnd: number,
    time: number,
  ): number {
    switch (bytes[at]! >>> 4) {
      case 4:
        return this.#readV4(bytes, at, end, wireEnd, time);
      case 6:
        return this.#readV6(bytes, at, end, wireEnd, time);
      default:
        return MALFORMED;
    }
  }

  #readV4(bytes: Uint8Array, at: number, end: number, wireEnd: number, time: number): number {
    if (at + 20 > end) return CUT;
    const header = (bytes[at]! & 15) * 4;
    let total = u16(bytes, at + 2);
    // A packet that the network card was to split up: the kernel left the length open.
    if (total === 0) total = wireEnd - at;
    if (header < 20 || total < header) return MALFORMED;
    if (bytes[at + 9] !== TCP) return NOT_TCP;
    if (at + total < wireEnd) wireEnd = at + total;
    if (end > wireEnd) end = wireEnd;
    this.#setV4(this.source, bytes, at + 12);
    this.#setV4(this.destination, bytes, at + 16);
    const fragment = u16(bytes, at + 6) & 0x3fff;
    if (at + header > end) return CUT;
    if (fragment !== 0) {
      const offset = (fragment & 0x1fff) * 8;
      const isLast = (fragment & 0x2000) === 0;
      return this.#fragment(
        u16(bytes, at + 4),
        bytes,
        at + header,
        end,
        wireEnd,
        offset,
        isLast,
        time,
      );
    }
    this.bytes = bytes;
    this.start = at + header;
    this.end = end;
    this.wireEnd = wireEnd;
    return SEGMENT;
  }

  #readV6(bytes: Uint8Array, at: number, end: number, wireEnd: number, time: number): number {
    if (at + 40 > end) return CUT;
    const length = u16(bytes, at + 4);
    // 0 is a jumbogram, or a packet that the network card was to split up.
    if (length !== 0 && at + 40 + length < wireEnd) wireEnd = at + 40 + length;
    if (end > wireEnd) end = wireEnd;
    for (let i = 0; i < 4; i++) {
      this.source[i] = i32(bytes, at + 8 + 4 * i);
      this.destination[i] = i32(bytes, at + 24 + 4 * i);
    }
    let next = bytes[at + 6]!;
    at += 40;
    for (let headers = 0; headers <= MOST_HEADERS; headers++) {
      switch (next) {
        case TCP:
          if (at > end) return CUT;
          this.bytes = bytes;
          this.start = at;
          this.end = end;
          this.wireEnd = wireEnd;
          return SEGMENT;
        case 0: // Hop-by-hop options.
        case 43: // Routing.
        case 60: // Destination options.
        case 135: // Mobility.
        case 139: // Host identity.
        case 140: // Shim6.
          if (at + 8 > end) return CUT;
          next = bytes[at]!;
          at += 8 + 8 * bytes[at + 1]!;
          break;
        case 51: // Authentication.
          if (at + 8 > end) return CUT;
          next = bytes[at]!;
          at += 8 + 4 * bytes[at + 1]!;
          break;
        case 44: { // Fragment.
          if (at + 8 > end) return CUT;
          const offset = u16(bytes, at + 2);
          const id = i32(bytes, at + 4);
          next = bytes[at]!;
          at += 8;
          // One that is all of its packet needs no other.
          if ((offset & 0xfff9) === 0) break;
          if (next !== TCP) return NOT_TCP;
          const isLast = (offset & 1) === 0;
          return this.#fragment(id, bytes, at, end, wireEnd, offset & 0xfff8, isLast, time);
        }
        default:
          return NOT_TCP;
      }
      if (at > end) return CUT;
    }
    return MALFORMED;
  }

  #setV4(into: Int32Array, bytes: Uint8Array, at: number): void {
    into[0] = 0;
    into[1] = 0;
    into[2] = 0xffff;
    into[3] = i32(bytes, at);
  }

  /** Keeps a fragment; the packet is read when it is complete. */
  #fragment(
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
    offset: number,
    isLast: boolean,
    time: number,
  ): number {
    // What a snapshot length has cut off never comes: the packet cannot be put together.
    if (end < wireEnd || end <= start) return CUT;
    const stop = offset + end - start;
    if (stop > LARGEST_DATAGRAM || (!isLast && (end - start) % 8 !== 0)) return MALFORMED;
    const key = `${id},${this.source.join()},${this.destination.join()}`;
    let datagram = this.#datagrams.get(key);
    if (datagram !== undefined && Math.abs(time - datagram.time) > FRAGMENT_LIFE) {
      this.#forget(datagram);
      datagram = undefined;
    }
    if (datagram === undefined) {
      datagram = { key, time, bytes: new Uint8Array(0), runs: [], length: -1 };
      this.#datagrams.set(key, datagram);
    }
    if (isLast) datagram.length = stop;
    this.#hold(datagram, stop);
    datagram.bytes.set(bytes.subarray(start, end), offset);
    addRun(datagram.runs, offset, stop);
    const { runs } = datagram;
    const isComplete = runs.length === 1 && runs[0]!.start === 0 &&
      runs[0]!.end === datagram.length;
    if (!isComplete) {
      if (runs.length > MOST_RUNS) this.#forget(datagram);
      for (const oldest of this.#datagrams.values()) {
        const isFull = this.#datagrams.size > MOST_DATAGRAMS ||
          this.#fragmentBytes > MOST_FRAGMENT_BYTES;
        if (!isFull) break;
        this.#forget(oldest);
      }
      return FRAGMENT;
    }
    this.#datagrams.delete(key);
    this.#fragmentBytes -= datagram.bytes.length;
    this.bytes = datagram.bytes;
    this.start = 0;
    this.end = datagram.length;
    this.wireEnd = datagram.length;
    return SEGMENT;
  }

  #hold(datagram: Datagram, stop: number): void {
    if (stop <= datagram.bytes.length) return;
    const more = new Uint8Array(Math.min(LARGEST_DATAGRAM, Math.max(stop, 4096)));
    more.set(datagram.bytes);
    this.#fragmentBytes += more.length - datagram.bytes.length;
    datagram.bytes = more;
  }

  #forget(datagram: Datagram): void {
    this.#datagrams.delete(datagram.key);
    this.#fragmentBytes -= datagram.bytes.length;
    this.lostDatagrams++;
  }
}

/** Adds a run to runs that are in order and do not touch. */
function addRun(runs: { start: number; end: number }[], start: number, end: number): void {
  let at = 0;
  while (at < runs.length && runs[at]!.end < start) at++;
  let to = at;
  while (to < runs.length && runs[to]!.start <= end) {
    start = Math.min(start, runs[to]!.start);
    end = Math.max(end, runs[to]!.end);
    to++;
  }
  runs.splice(at, to - at, { start, end });
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function i32(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
}

/**
 * Writes an address as people do: `10.0.0.1`, `2001:db8::1`.
 *
 * @param words As in {@linkcode IpReader.source}.
 */
export function formatAddress(words: ArrayLike<number>): string {
  const [a = 0, b = 0, c = 0, d = 0] = Array.from(words, (word) => word >>> 0);
  if (a === 0 && b === 0 && c === 0xffff) {
    return [d >>> 24, d >>> 16 & 255, d >>> 8 & 255, d & 255].join(".");
  }
  const groups = [a, b, c, d].flatMap((word) => [word >>> 16, word & 0xffff]);
  // RFC 5952: the longest run of at least two zeros becomes "::", the first of several.
  let [from, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [from, length] = [i, end - i];
    i = Math.max(i, end);
  }
  const hex = groups.map((group) => group.toString(16));
  if (from < 0) return hex.join(":");
  return `${hex.slice(0, from).join(":")}::${hex.slice(from + length).join(":")}`;
}

/** Writes an address and a port: `10.0.0.1:564`, `[2001:db8::1]:564`. */
export function formatEndpoint(words: ArrayLike<number>, port: number): string {
  const address = formatAddress(words);
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
