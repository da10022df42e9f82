/**
 * A large capture as a kernel client makes it: reads of 64 KiB over loopback and over Ethernet, and
 * the walks, attributes and clunks between them.
 *
 * ```sh
 * deno run -A bench/trace_generate.ts --out /dev/shm/big.pcap --bytes 1073741824
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import { encode, type Message, NOTAG } from "../lib/p9/mod.ts";
import { say } from "./host.ts";

/** How a capture is made. */
export interface GeneratorOptions {
  /** Bytes of the file, about. */
  readonly bytes: number;
  /** Largest payload of a segment, per connection. */
  readonly mss?: readonly number[];
  /** Transactions without payload for each read. */
  readonly metadata?: number;
}

/** What was made. */
export interface Generated {
  /** Bytes of the file. */
  bytes: number;
  /** Packets in it. */
  packets: number;
  /** Messages in it. */
  messages: number;
}

/** Segment sizes: loopback with its MTU of 65536, and Ethernet. */
const DEFAULT_MSS = [65483, 1460] as const;
const DEFAULT_METADATA = 4;
const READ = 65536;
/** Link, IP and TCP headers. */
const HEADERS = 14 + 20 + 20;
const BUFFER = 2 ** 23;
/** Nanoseconds between packets. */
const STEP = 3000;

/** One TCP connection of the capture. */
class Connection {
  /** Sequence numbers of client and server. */
  readonly #next = [1000, 2000];
  readonly #file: CaptureFile;
  readonly #port: number;
  readonly #mss: number;
  tag = 0;
  constructor(file: CaptureFile, port: number, mss: number) {
    this.#file = file;
    this.#port = port;
    this.#mss = mss;
  }
  open(): void {
    this.#send(0, 2, EMPTY, 0, 0);
    this.#next[0] = 1001;
    this.#send(1, 18, EMPTY, 0, 0);
    this.#next[1] = 2001;
    this.#send(0, 16, EMPTY, 0, 0);
  }
  /** Sends one way, 0 from the client, and acknowledges every second segment. */
  say(way: 0 | 1, bytes: Uint8Array): void {
    this.#file.made.messages++;
    let unacknowledged = 0;
    for (let at = 0; at < bytes.length; at += this.#mss) {
      const end = Math.min(bytes.length, at + this.#mss);
      this.#send(way, 24, bytes, at, end);
      this.#next[way] = ((this.#next[way] ?? 0) + end - at) >>> 0;
      if (++unacknowledged === 2) {
        this.#send(way === 0 ? 1 : 0, 16, EMPTY, 0, 0);
        unacknowledged = 0;
      }
    }
  }
  #send(way: 0 | 1, flags: number, bytes: Uint8Array, start: number, end: number): void {
    const [mine, other] = way === 0 ? this.#next : [this.#next[1], this.#next[0]];
    this.#file.packet(way, this.#port, mine ?? 0, other ?? 0, flags, bytes, start, end);
  }
}

const EMPTY = new Uint8Array(0);

class CaptureFile {
  readonly made: Generated = { bytes: 0, packets: 0, messages: 0 };
  readonly #file: Deno.FsFile;
  readonly #buffer = new Uint8Array(BUFFER);
  readonly #view = new DataView(this.#buffer.buffer);
  #at = 24;
  #time = 0;
  constructor(file: Deno.FsFile) {
    this.#file = file;
    // pcap with nanoseconds, Ethernet.
    for (const [at, value] of [[0, 0xa1b23c4d], [4, 0x00040002], [16, 262144], [20, 1]] as const) {
      this.#view.setUint32(at, value, true);
    }
  }
  packet(
    way: 0 | 1,
    port: number,
    seq: number,
    ack: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const length = HEADERS + end - start;
    if (this.#at + 16 + length > BUFFER) this.flush();
    const view = this.#view;
    let at = this.#at;
    this.#time += STEP;
    view.setUint32(at, 1_700_000_000 + Math.floor(this.#time / 1e9), true);
    view.setUint32(at + 4, this.#time % 1e9, true);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, length, true);
    at += 16;
    view.setUint32(at, 0x02000000);
    view.setUint32(at + 4, 0x00020200);
    view.setUint32(at + 8, 0x00000001);
    view.setUint16(at + 12, 0x0800);
    view.setUint16(at + 14, 0x4500);
    view.setUint16(at + 16, length - 14);
    view.setUint32(at + 18, 0x00004000);
    view.setUint32(at + 22, 0x40060000);
    view.setUint32(at + 26, way === 0 ? 0x0a000001 : 0x0a000002);
    view.setUint32(at + 30, way === 0 ? 0x0a000002 : 0x0a000001);
    view.setUint16(at + 34, way === 0 ? port : 564);
    view.setUint16(at + 36, way === 0 ? 564 : port);
    view.setUint32(at + 38, seq);
    view.setUint32(at + 42, ack);
    view.setUint32(at + 46, 0x50000000 | flags << 16 | 0xffff);
    view.setUint32(at + 50, 0);
    if (end > start) this.#buffer.set(bytes.subarray(start, end), at + HEADERS);
    this.#at = at + length;
    this.made.packets++;
  }
  get bytes(): number {
    return this.made.bytes + this.#at;
  }
  flush(): void {
    for (let at = 0; at < this.#at;) {
      at += this.#file.writeSync(this.#buffer.subarray(at, this.#at));
    }
    this.made.bytes += this.#at;
    this.#at = 0;
  }
}

/** Writes a capture to a file. */
export function generate(
  file: Deno.FsFile,
  { bytes, mss = DEFAULT_MSS, metadata = DEFAULT_METADATA }: GeneratorOptions,
): Generated {
  const capture = new CaptureFile(file);
  const payload = new Uint8Array(READ);
  for (let i = 0, x = 1; i < READ; i++) {
    payload[i] = (x = Math.imul(x, 1664525) + 1013904223) >>> 24;
  }
  const connections = mss.map((size, i) => new Connection(capture, 40000 + i, size));
  const frame = (message: Message): Uint8Array => encode(message, "9P2000.L");
  const qid = { type: 0, version: 1, path: 77n };
  for (const connection of connections) {
    connection.open();
    const version = { tag: NOTAG, msize: 131072, version: "9P2000.L" };
    connection.say(0, frame({ kind: "Tversion", ...version }));
    connection.say(1, frame({ kind: "Rversion", ...version }));
    connection.say(
      0,
      frame({
        kind: "Tattach",
        tag: 0,
        fid: 0,
        afid: 2 ** 32 - 1,
        uname: "",
        aname: "/",
        n_uname: 0,
      }),
    );
    connection.say(1, frame({ kind: "Rattach", tag: 0, qid }));
  }
  const tread = frame({ kind: "Tread", tag: 0, fid: 1, offset: 0n, count: READ });
  const rread = frame({ kind: "Rread", tag: 0, data: payload });
  const zeros = { uid: 0, gid: 0, nlink: 1n, rdev: 0n, size: 4096n, blksize: 4096n, blocks: 8n };
  const times = { atime_sec: 1n, atime_nsec: 0n, mtime_sec: 1n, mtime_nsec: 0n, ctime_sec: 1n };
  const rest = { ctime_nsec: 0n, btime_sec: 0n, btime_nsec: 0n, gen: 0n, data_version: 0n };
  const pairs: [Uint8Array, Uint8Array][] = ([
    [
      { kind: "Twalk", tag: 0, fid: 0, newfid: 2, wname: ["usr", "include", "stdio.h"] },
      { kind: "Rwalk", tag: 0, wqid: [qid, qid, qid] },
    ],
    [
      { kind: "Tgetattr", tag: 0, fid: 2, request_mask: 0x7ffn },
      { kind: "Rgetattr", tag: 0, valid: 0x7ffn, qid, mode: 0o100644, ...zeros, ...times, ...rest },
    ],
    [
      { kind: "Tlopen", tag: 0, fid: 2, flags: 0 },
      { kind: "Rlopen", tag: 0, qid, iounit: 0 },
    ],
    [{ kind: "Tclunk", tag: 0, fid: 2 }, { kind: "Rclunk", tag: 0 }],
  ] as [Message, Message][]).map(([t, r]) => [frame(t), frame(r)]);
  const pair = (connection: Connection, request: Uint8Array, reply: Uint8Array): void => {
    connection.tag = (connection.tag + 1) % 64;
    request[5] = reply[5] = connection.tag;
    connection.say(0, request);
    connection.say(1, reply);
  };
  for (let unit = 0; capture.bytes < bytes; unit++) {
    new DataView(tread.buffer, tread.byteOffset).setBigUint64(11, BigInt(unit % 4096 * READ), true);
    for (const connection of connections) {
      pair(connection, tread, rread);
      for (let i = 0; i < metadata; i++) {
        const [request, reply] = pairs[i % pairs.length] ?? [EMPTY, EMPTY];
        pair(connection, request, reply);
      }
    }
  }
  capture.flush();
  return capture.made;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      bytes: { type: "string", default: `${2 ** 30}` },
      mss: { type: "string", default: DEFAULT_MSS.join() },
      metadata: { type: "string", default: `${DEFAULT_METADATA}` },
    },
  });
  if (values.out === undefined) throw new Error("Cannot write a capture: --out FILE is missing");
  using file = await Deno.open(values.out, { write: true, create: true, truncate: true });
  const made = generate(file, {
    bytes: Number(values.bytes),
    mss: values.mss.split(",").map(Number),
    metadata: Number(values.metadata),
  });
  say(
    `${values.out}: ${made.bytes} bytes, ${made.packets} packets, ${made.messages} messages`,
  );
}
