/**
 * Captures made by hand: segments, packets of every link, files of every format.
 *
 * @module
 */
import { encode, type Message, NOTAG } from "../p9/mod.ts";
import { LINKTYPES } from "./link.ts";

/** Flags of a TCP header. */
export const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 } as const;

/** A TCP segment between the two ends that all captures here have. */
export interface Segment {
  /** Who sends it. */
  readonly from: "client" | "server";
  /** Sequence number. */
  readonly seq: number;
  /** Acknowledgment; none if not given. */
  readonly ack?: number;
  /** Bits of {@linkcode TCP_FLAGS} besides ACK. */
  readonly flags?: number;
  /** Payload. */
  readonly data?: Uint8Array;
  /** Nanoseconds; one millisecond after the one before if not given. */
  readonly time?: number;
  /** Bytes of the packet that are captured; all if not given. */
  readonly snaplen?: number;
}

/** A packet in a file. */
export interface CapturedPacket {
  /** Nanoseconds since the file's first moment. */
  readonly time: number;
  /** What was captured. */
  readonly bytes: Uint8Array;
  /** Length on the wire. */
  readonly length: number;
}

/** The two ends. */
export const CLIENT_PORT = 51000;
/** See {@linkcode CLIENT_PORT}. */
export const SERVER_PORT = 564;

/** Puts bytes behind one another. */
export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function be16(value: number): number[] {
  return [value >>> 8 & 255, value & 255];
}

function be32(value: number): number[] {
  return [...be16(value >>> 16), ...be16(value & 0xffff)];
}

/** The TCP header of a segment and its payload. */
export function tcp(
  { from, seq, ack, flags = 0, data = new Uint8Array(0) }: Segment,
  [client, server]: readonly [number, number] = [CLIENT_PORT, SERVER_PORT],
): Uint8Array {
  const isRequest = from === "client";
  const bits = flags | (ack === undefined ? 0 : TCP_FLAGS.ACK);
  return concat(
    be16(isRequest ? client : server),
    be16(isRequest ? server : client),
    be32(seq >>> 0),
    be32((ack ?? 0) >>> 0),
    [5 << 4, bits, 255, 255, 0, 0, 0, 0],
    data,
  );
}

/** An IPv4 packet; `fragment` is the field of offset and flags. */
export function ipv4(
  payload: Uint8Array,
  from: "client" | "server",
  { id = 1, fragment = 0, options = 0 }: { id?: number; fragment?: number; options?: number } = {},
): Uint8Array {
  const header = 20 + 4 * options;
  const [source, destination] = [[10, 0, 0, 1], [10, 0, 0, 2]];
  const ends = from === "client" ? [source, destination] : [destination, source];
  return concat(
    [0x40 | header / 4, 0],
    be16(header + payload.length),
    be16(id),
    be16(fragment),
    [64, 6, 0, 0],
    ends.flat() as number[],
    new Uint8Array(4 * options).fill(1),
    payload,
  );
}

/** Cuts a segment into IPv4 fragments with `size` bytes of it each. */
export function fragments4(
  payload: Uint8Array,
  from: "client" | "server",
  size: number,
  id: number,
): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const piece = payload.subarray(at, at + size);
    const more = at + size < payload.length ? 0x2000 : 0;
    packets.push(ipv4(piece, from, { id, fragment: at / 8 | more }));
  }
  return packets;
}

/** An IPv6 packet behind extension headers, given by number and bytes without the next header. */
export function ipv6(
  payload: Uint8Array,
  from: "client" | "server",
  extensions: readonly (readonly [header: number, rest: readonly number[]])[] = [],
): Uint8Array {
  const address = (last: number): number[] => [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), last];
  const ends = from === "client" ? [address(1), address(2)] : [address(2), address(1)];
  const numbers = [...extensions.map(([header]) => header), 6];
  const rest = extensions.flatMap(([, bytes], i) => [numbers[i + 1] ?? 6, ...bytes]);
  return concat(
    [0x60, 0, 0, 0],
    be16(rest.length + payload.length),
    [numbers[0] ?? 6, 64],
    ends.flat() as number[],
    rest,
    payload,
  );
}

/** Cuts a segment into IPv6 fragments. */
export function fragments6(
  payload: Uint8Array,
  from: "client" | "server",
  size: number,
  id: number,
): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const more = at + size < payload.length ? 1 : 0;
    const header = [0, ...be16(at | more), ...be32(id)];
    packets.push(ipv6(payload.subarray(at, at + size), from, [[44, header]]));
  }
  return packets;
}

/** Puts IP packets behind the header of a link. */
export const LINKS: Readonly<
  Record<string, { readonly type: number; readonly header: (ip: Uint8Array) => readonly number[] }>
> = (() => {
  const type = (ip: Uint8Array): number[] =>
    ip[0] === undefined || ip[0] < 0x60 ? [8, 0] : [0x86, 0xdd];
  const macs = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
  const family = (ip: Uint8Array): number => (ip[0] ?? 0) < 0x60 ? 2 : 30;
  const { ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, LOOP, RAW, IPV4, IPV6 } = LINKTYPES;
  const of = (number: number | undefined, header: (ip: Uint8Array) => readonly number[]) => ({
    type: number ?? -1,
    header,
  });
  return {
    "Ethernet": of(ETHERNET, (ip) => [...macs, ...type(ip)]),
    "802.1Q": of(ETHERNET, (ip) => [...macs, 0x81, 0, 0, 7, ...type(ip)]),
    "QinQ": of(ETHERNET, (ip) => [...macs, 0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, ...type(ip)]),
    "Linux SLL": of(LINUX_SLL, (ip) => [0, 0, 3, 4, 0, 6, ...Array(8).fill(0), ...type(ip)]),
    "Linux SLL2": of(
      LINUX_SLL2,
      (ip) => [...type(ip), 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, ...Array(8).fill(0)],
    ),
    "BSD NULL, little-endian": of(NULL, (ip) => [family(ip), 0, 0, 0]),
    "BSD NULL, big-endian": of(NULL, (ip) => [0, 0, 0, family(ip)]),
    "OpenBSD LOOP": of(LOOP, (ip) => [0, 0, 0, family(ip)]),
    "raw IP": of(RAW, () => []),
    "raw IPv4": of(IPV4, () => []),
    "raw IPv6": of(IPV6, () => []),
  };
})();

/** What a file is made with. */
export interface FileOptions {
  /** Link type; Ethernet if not given. */
  readonly linkType?: number;
  /** Byte order; little-endian if not given. */
  readonly isBig?: boolean;
  /** Nanoseconds instead of microseconds, in pcap. */
  readonly isNano?: boolean;
  /** `if_tsresol`, in pcapng; 9 if not given, -1 for none. */
  readonly resolution?: number;
  /** `if_tsoffset` in seconds, in pcapng. */
  readonly offset?: number;
  /** `if_name`, in pcapng. */
  readonly name?: string;
  /** Block type of the packets, in pcapng; 6 if not given. */
  readonly block?: 2 | 3 | 6;
  /** Options of each enhanced packet: its comment and flags. */
  readonly options?: boolean;
}

/** Seconds since 1970 of the first moment. */
export const FIRST_SECOND = 1_700_000_000;

class Writer {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  readonly #isBig: boolean;
  constructor(isBig: boolean) {
    this.#isBig = isBig;
  }
  get length(): number {
    return this.#at;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at);
  }
  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const more = new Uint8Array(2 * (this.#at + count));
    more.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = more;
    this.#view = new DataView(more.buffer);
  }
  u16(...values: number[]): this {
    for (const value of values) {
      this.#room(2);
      this.#view.setUint16(this.#at, value, !this.#isBig);
      this.#at += 2;
    }
    return this;
  }
  u32(...values: number[]): this {
    for (const value of values) {
      this.#room(4);
      this.#view.setUint32(this.#at, value >>> 0, !this.#isBig);
      this.#at += 4;
    }
    return this;
  }
  raw(bytes: Uint8Array | readonly number[]): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
  /** A block of pcapng around what `body` writes. */
  block(type: number, body: (into: Writer) => void): this {
    const inner = new Writer(this.#isBig);
    body(inner);
    const pad = -inner.length & 3;
    const total = 12 + inner.length + pad;
    return this.u32(type, total).raw(inner.bytes).raw(new Uint8Array(pad)).u32(total);
  }
  /** An option of pcapng. */
  option(code: number, value: Uint8Array | readonly number[]): this {
    return this.u16(code, value.length).raw(value).raw(new Uint8Array(-value.length & 3));
  }
}

/** A pcap file. */
export function pcapFile(
  packets: readonly CapturedPacket[],
  { linkType = 1, isBig = false, isNano = false }: FileOptions = {},
): Uint8Array<ArrayBuffer> {
  const file = new Writer(isBig);
  file.u32(isNano ? 0xa1b23c4d : 0xa1b2c3d4).u16(2, 4).u32(0, 0, 262144, linkType);
  for (const { time, bytes, length } of packets) {
    const fraction = Math.floor(time % 1e9 / (isNano ? 1 : 1000));
    file.u32(FIRST_SECOND + Math.floor(time / 1e9), fraction, bytes.length, length).raw(bytes);
  }
  return file.bytes;
}

/** A section of a pcapng file; sections behind one another make a file. */
export function pcapngSection(
  packets: readonly CapturedPacket[],
  {
    linkType = 1,
    isBig = false,
    resolution = 9,
    offset = 0,
    name = "",
    block = 6,
    options = false,
  }: FileOptions = {},
): Uint8Array<ArrayBuffer> {
  const file = new Writer(isBig);
  file.block(0x0a0d0d0a, (into) => into.u32(0x1a2b3c4d).u16(1, 0).u32(0xffffffff, 0xffffffff));
  file.block(1, (into) => {
    into.u16(linkType, 0).u32(0);
    if (name !== "") into.option(2, new TextEncoder().encode(name));
    if (resolution >= 0) into.option(9, [resolution]);
    if (offset !== 0) {
      const halves = new Writer(isBig);
      if (isBig) halves.u32(0, offset);
      else halves.u32(offset, 0);
      into.option(14, halves.bytes);
    }
    into.option(0, []);
  });
  const perSecond = resolution < 0
    ? 10n ** 6n
    : resolution > 127
    ? 2n ** BigInt(resolution - 128)
    : 10n ** BigInt(resolution);
  for (const { time, bytes, length } of packets) {
    const nanoseconds = BigInt(FIRST_SECOND - offset) * 1_000_000_000n + BigInt(time);
    const units = nanoseconds * perSecond / 1_000_000_000n;
    const [high, low] = [Number(units >> 32n), Number(units & 0xffffffffn)];
    file.block(block, (into) => {
      if (block === 3) {
        into.u32(length).raw(bytes);
        return;
      }
      if (block === 2) into.u16(0, 0);
      else into.u32(0);
      into.u32(high, low, bytes.length, length).raw(bytes);
      if (!options || block !== 6) return;
      into.raw(new Uint8Array(-bytes.length & 3));
      into.option(1, new TextEncoder().encode("as seen")).option(0, []);
    });
  }
  return file.bytes;
}

/** Puts segments in packets of a link, and cuts those that have a snapshot length. */
export function packetsOf(
  segments: readonly Segment[],
  link = "Ethernet",
  wrap: (payload: Uint8Array, from: "client" | "server") => Uint8Array | Uint8Array[] = ipv4,
): CapturedPacket[] {
  const packets: CapturedPacket[] = [];
  let time = -1e6;
  for (const segment of segments) {
    time = segment.time ?? time + 1e6;
    for (const ip of [wrap(tcp(segment), segment.from)].flat()) {
      const whole = concat(LINKS[link]?.header(ip) ?? [], ip);
      packets.push({ time, bytes: whole.subarray(0, segment.snaplen), length: whole.length });
    }
  }
  return packets;
}

/** A conversation: SYN and SYN, bytes both ways with acknowledgments, FIN and FIN. */
export class Talk {
  /** What was said, so far. */
  readonly segments: Segment[] = [];
  /** Sequence numbers of the next bytes. */
  readonly next: { client: number; server: number };
  readonly #mss: number;

  /** Begins with these sequence numbers; payloads are cut at `mss` bytes. */
  constructor({ client = 1000, server = 5000, mss = 1460 } = {}) {
    this.next = { client, server };
    this.#mss = mss;
  }

  /** Both SYNs. */
  open(): this {
    const { SYN } = TCP_FLAGS;
    this.segments.push({ from: "client", seq: this.next.client++, flags: SYN });
    const ack = this.next.client >>> 0;
    this.segments.push({ from: "server", seq: this.next.server++, flags: SYN, ack });
    this.#acknowledge("client");
    return this;
  }

  /** Sends bytes one way; the other acknowledges the last segment. */
  say(from: "client" | "server", bytes: Uint8Array): this {
    for (let at = 0; at < bytes.length; at += this.#mss) {
      const data = bytes.subarray(at, at + this.#mss);
      const seq = this.next[from] >>> 0;
      this.segments.push({ from, seq, ack: this.#other(from), data });
      this.next[from] += data.length;
    }
    this.#acknowledge(from === "client" ? "server" : "client");
    return this;
  }

  /** Both FINs. */
  close(): this {
    for (const from of ["client", "server"] as const) {
      const seq = this.next[from]++ >>> 0;
      this.segments.push({ from, seq, ack: this.#other(from), flags: TCP_FLAGS.FIN });
    }
    this.#acknowledge("client");
    return this;
  }

  #other(from: "client" | "server"): number {
    return (from === "client" ? this.next.server : this.next.client) >>> 0;
  }

  #acknowledge(from: "client" | "server"): void {
    this.segments.push({ from, seq: this.next[from] >>> 0, ack: this.#other(from) });
  }
}

/** The messages of one short session, each request with its reply. */
export const SESSION: readonly (readonly [Message, Message])[] = [
  [
    { kind: "Tversion", tag: NOTAG, msize: 65536, version: "9P2000.L" },
    { kind: "Rversion", tag: NOTAG, msize: 65536, version: "9P2000.L" },
  ],
  [
    { kind: "Tattach", tag: 1, fid: 0, afid: 0xffffffff, uname: "u", aname: "/", n_uname: 0 },
    { kind: "Rattach", tag: 1, qid: { type: 128, version: 0, path: 1n } },
  ],
  [
    { kind: "Twalk", tag: 2, fid: 0, newfid: 1, wname: ["dir", "none"] },
    { kind: "Rlerror", tag: 2, ecode: 2 },
  ],
  [
    { kind: "Twalk", tag: 3, fid: 0, newfid: 1, wname: ["dir"] },
    { kind: "Rwalk", tag: 3, wqid: [{ type: 128, version: 1, path: 2n }] },
  ],
  [
    { kind: "Tgetattr", tag: 4, fid: 1, request_mask: 0x7ffn },
    { kind: "Rlerror", tag: 4, ecode: 13 },
  ],
  [
    { kind: "Tlopen", tag: 5, fid: 1, flags: 0 },
    { kind: "Rlopen", tag: 5, qid: { type: 0, version: 1, path: 2n }, iounit: 0 },
  ],
  [
    { kind: "Tread", tag: 6, fid: 1, offset: 0n, count: 500 },
    { kind: "Rread", tag: 6, data: Uint8Array.from({ length: 500 }, (_, i) => i * 7 & 255) },
  ],
  [{ kind: "Tclunk", tag: 7, fid: 1 }, { kind: "Rclunk", tag: 7 }],
];

/** The session as a talk in segments of `mss` bytes. */
export function sessionTalk(
  options: { client?: number; server?: number; mss?: number } = {},
): Talk {
  const talk = new Talk(options).open();
  for (const [request, reply] of SESSION) {
    talk.say("client", encode(request, "9P2000.L")).say("server", encode(reply, "9P2000.L"));
  }
  return talk.close();
}
