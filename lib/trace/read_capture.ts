/**
 * Reading a capture: from a file or a stream, packed or not, to what is in it.
 *
 * @module
 */
import { Readable } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { Account, type Problem } from "./account.ts";
import { Packets } from "./packets.ts";
import { type FormatReader, isPcap, PcapReader } from "./pcap.ts";
import { isPcapng, PcapngReader } from "./pcapng_read.ts";
import type { TcpCounts, TcpOptions } from "./tcp.ts";
import type { Observer } from "./types.ts";

/** Bytes that are read at once. */
const BLOCK = 2 ** 20;
/** Bytes after which others get their turn while a file is read. */
const TURN = 2 ** 25;

/** Where a capture comes from: a file that is open, or a stream of its bytes. */
export type CaptureSource = Deno.FsFile | ReadableStream<Uint8Array>;

/** How {@linkcode readCapture} reads. */
export interface CaptureOptions extends TcpOptions {
  /** Ends the reading early, as if the capture ended there. */
  readonly signal?: AbortSignal;
}

/** What a capture consisted of. */
export interface CaptureReport {
  /** What it was. */
  readonly format: "pcap" | "pcapng" | "unknown";
  /** How it was packed. */
  readonly packing: "none" | "gzip" | "zstd";
  /** Bytes of it, unpacked. */
  readonly bytes: number;
  /** Packets in it. */
  readonly packets: number;
  /** 9P conversations in it. */
  readonly conversations: number;
  /** What was seen of TCP. */
  readonly tcp: Readonly<TcpCounts>;
  /** What could not be read. */
  readonly problems: readonly Problem[];
}

/**
 * Reads a capture, pcap or pcapng, packed with gzip or zstd or not, and tells `observer` of the
 * conversations, frames and gaps in it.
 *
 * Takes the same memory whatever the size of the capture. Damage never throws: it is skipped as far
 * as possible and listed in the report. Regular files are read synchronously in large blocks, with
 * pauses for others.
 *
 * @param source Read to its end, and not closed if it is a file.
 * @throws What the observer throws.
 *
 * @example Count messages
 * ```ts ignore
 * import { formatProblem, readCapture } from "@virtfs/virtfs/trace";
 *
 * using file = await Deno.open("capture.pcapng");
 * let count = 0;
 * const { problems } = await readCapture(file, { frame: () => void count++ });
 * console.log(count, problems.map(formatProblem));
 * ```
 */
export async function readCapture(
  source: CaptureSource,
  observer: Observer,
  options: CaptureOptions = {},
): Promise<CaptureReport> {
  const account = new Account();
  const packets = new Packets(observer, account, options);
  const input = new Input(packets, account);
  const { signal } = options;
  if (source instanceof ReadableStream) await fromPieces(streamOf(source, signal), input, signal);
  else if (source.statSync().isFile) await fromFile(source, input, signal);
  else await fromPieces(piecesOf(source), input, signal);
  input.end();
  packets.end(input.offset);
  await observer.end?.(packets.time);
  return {
    format: input.format,
    packing: input.packing,
    bytes: input.offset,
    packets: packets.count,
    conversations: packets.conversations,
    tcp: packets.tcp,
    problems: account.problems,
  };
}

/** The bytes of a capture, in pieces, to the reader of their format. */
class Input {
  /** Bytes so far. */
  offset = 0;
  format: CaptureReport["format"] = "unknown";
  packing: CaptureReport["packing"] = "none";
  readonly #packets: Packets;
  readonly #account: Account;
  #reader: FormatReader | null = null;
  #buffer = new Uint8Array(BLOCK);
  #start = 0;
  #end = 0;
  #isOver = false;
  #isBroken = false;

  constructor(packets: Packets, account: Account) {
    this.#packets = packets;
    this.#account = account;
  }

  /** Whether more bytes would be in vain. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Room for the next bytes; {@linkcode filled} says how many came. */
  room(): Uint8Array {
    const wanted = this.#reader?.wanted ?? 4;
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end + BLOCK / 2 > this.#buffer.length || wanted > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(wanted, this.#end) + BLOCK);
      larger.set(this.#buffer.subarray(0, this.#end));
      this.#buffer = larger;
    }
    return this.#buffer.subarray(this.#end);
  }

  /** Reads what is in the room now. */
  filled(count: number): void {
    this.#end += count;
    this.offset += count;
    this.#read(false);
  }

  /** Takes bytes of any number. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.room();
      const piece = bytes.subarray(at, at + room.length);
      room.set(piece);
      at += piece.length;
      this.filled(piece.length);
    }
  }

  /** Notes that the bytes end here although they should not. */
  broken(name: "packed" | "not-read", cause: unknown): void {
    this.#isBroken = true;
    const detail = cause instanceof Error ? cause.message : String(cause);
    this.#account.note(name, this.offset, 0, detail);
  }

  /** Reads what is left. */
  end(): void {
    this.#read(true);
  }

  #read(isLast: boolean): void {
    if (this.#isOver) {
      this.#start = this.#end;
      return;
    }
    const waiting = this.#end - this.#start;
    if (this.#reader === null) {
      if (waiting < 4 && !isLast) return;
      this.#reader = this.#recognize();
      if (this.#reader === null) {
        if (!this.#isBroken) this.#account.note("no-capture", 0, waiting);
        this.#isOver = true;
        return;
      }
    }
    if (waiting < this.#reader.wanted && !isLast) return;
    const at = this.offset - waiting;
    this.#start = this.#reader.read(this.#buffer, this.#start, this.#end, at, isLast);
  }

  #recognize(): FormatReader | null {
    const head = this.#buffer.subarray(this.#start, this.#end);
    if (isPcap(head)) {
      this.format = "pcap";
      return new PcapReader(this.#packets, this.#account);
    }
    if (isPcapng(head)) {
      this.format = "pcapng";
      return new PcapngReader(this.#packets, this.#account);
    }
    return null;
  }
}

/** How bytes are packed, by their first four. */
function packingOf(head: Uint8Array): CaptureReport["packing"] {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  const isZstd = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;
  return isZstd ? "zstd" : "none";
}

async function fromFile(file: Deno.FsFile, input: Input, signal?: AbortSignal): Promise<void> {
  let turn = 0;
  while (!input.isOver && !isAborted(signal)) {
    const room = input.room();
    let count: number | null;
    try {
      count = file.readSync(room);
    } catch (cause) {
      input.broken("not-read", cause);
      return;
    }
    if (count === null) return;
    if (input.offset === 0 && packingOf(room.subarray(0, count)) !== "none") {
      await unpack(prepend(room.slice(0, count), piecesOf(file)), input, signal);
      return;
    }
    input.filled(count);
    turn += count;
    if (turn >= TURN) {
      turn = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
}

async function fromPieces(pieces: Pieces, input: Input, signal?: AbortSignal): Promise<void> {
  let head = new Uint8Array(0);
  while (head.length < 4) {
    const piece = await nextOf(pieces, input, "not-read");
    if (piece === null) break;
    head = new Uint8Array([...head, ...piece]);
  }
  if (packingOf(head) !== "none") {
    await unpack(prepend(head, pieces), input, signal);
    return;
  }
  input.push(head);
  while (!input.isOver && !isAborted(signal)) {
    const piece = await nextOf(pieces, input, "not-read");
    if (piece === null) return;
    input.push(piece);
  }
}

/** Unpacks what is damaged as far as it goes. */
async function unpack(pieces: Pieces, input: Input, signal?: AbortSignal): Promise<void> {
  const first = await pieces.next();
  if (first.done === true) return;
  input.packing = packingOf(first.value);
  // What is cut off gives what it has: that the capture inside ends early is told anyway.
  const unpacker = input.packing === "gzip"
    ? createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })
    : createZstdDecompress();
  const packed = Readable.from(prepend(first.value, pieces));
  packed.on("error", (cause) => unpacker.destroy(cause));
  const unpacked: Pieces = packed.pipe(unpacker)[Symbol.asyncIterator]();
  try {
    while (!input.isOver && !isAborted(signal)) {
      const piece = await nextOf(unpacked, input, "packed");
      if (piece === null) return;
      input.push(piece);
    }
  } finally {
    packed.destroy();
    unpacker.destroy();
  }
}

type Pieces = AsyncIterator<Uint8Array, unknown>;

/** The next piece; null at the end, and where reading fails, which is noted. */
async function nextOf(
  pieces: Pieces,
  input: Input,
  problem: "packed" | "not-read",
): Promise<Uint8Array | null> {
  try {
    const { done, value } = await pieces.next();
    return done === true || !(value instanceof Uint8Array) ? null : value;
  } catch (cause) {
    input.broken(problem, cause);
    return null;
  }
}

async function* prepend(head: Uint8Array, rest: Pieces): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (;;) {
    const { done, value } = await rest.next();
    if (done === true || !(value instanceof Uint8Array)) return;
    yield value;
  }
}

/** What is left of a file, which stays open. */
async function* piecesOf(file: Deno.FsFile): AsyncGenerator<Uint8Array> {
  for (;;) {
    const room = new Uint8Array(BLOCK / 8);
    const count = await file.read(room);
    if (count === null) return;
    yield room.subarray(0, count);
  }
}

/** What is left of a stream; an abort ends it, and a read that waits. */
async function* streamOf(
  stream: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    reader.releaseLock();
  }
}

function isAborted(signal?: AbortSignal): boolean {
  return signal?.aborted ?? false;
}
