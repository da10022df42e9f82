/**
 * Observed messages on their way from a thread or process that serves to the one that tells: a ring
 * in shared memory with one writer and one reader.
 *
 * The writer makes no system call while the reader is awake, and none at all for the bytes.
 *
 * @module
 */
import {
  check,
  eventfdWrite,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  fcntl,
  Fd,
  ftruncate,
  MappedMemory,
  memfdCreate,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  poll,
  PollSet,
} from "../linux/mod.ts";
import type { Conversation, Direction, Frame, Observer, RingTimes } from "./types.ts";

/** Bytes of a ring's data unless told otherwise. */
export const RING_BYTES: number = 8 << 20;
/** Bytes that the reader takes before it says that there is room for others. */
const ROOM_BYTES = 1 << 16;
/** Bytes before the data: one page. */
const HEADER_BYTES = 4096;

// Words of the header: what the reader changes often is not where the writer looks at each record.
/** Bytes written so far, modulo 2^32. */
const HEAD = 0;
/** Conversations begun so far. */
const CONVERSATIONS = 1;
/** Records that found no room. */
const DROPPED = 2;
/** Bytes read so far, modulo 2^32. */
const TAIL = 16;
/** 1 while the reader sleeps and wants to be woken. */
const SLEEPS = 32;

// Kinds of records.
/** Nothing, up to the end of the data. */
const PAD = 0;
const OPENED = 1;
const FRAME = 2;
const SKIPPED = 3;
const CLOSED = 4;
/** A writer has taken over from one that died. */
const RESTARTED = 5;

// Flags of a frame.
const IS_REPLY = 1;
const HAS_RING = 2;
const HAS_OFFERED = 4;
const IS_INJECTED = 8;

/**
 * Layout of every record: `length[4] kind[1] flags[1] pad[2] conversation[4] size[4] time[8] kept[4]
 * usedLength[4] taken[8] offered[8] bytes[kept]`, padded to 8. Times are microseconds.
 */
const RECORD_BYTES = 48;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a conversation is, as its writer knows it. */
export type Ends = Pick<Conversation, "transport" | "client" | "server">;

/**
 * Makes the memory of a ring: a file without a name, to be mapped by both sides.
 *
 * @throws {LinuxError} If there is none.
 */
export function makeRingFile(bytes: number = RING_BYTES): Fd {
  const file = Fd.from(memfdCreate("trace", MFD_CLOEXEC | MFD_ALLOW_SEALING), "make a trace ring");
  try {
    check(ftruncate(file.number, BigInt(HEADER_BYTES + bytes)), "size a trace ring");
    // A process that dies must not take the other one with it.
    check(fcntl(file.number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "seal a trace ring");
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
  return file;
}

/** What to do with a record that finds no room. */
export type WhenFull =
  /** Lose and count it: whoever is observed must not wait. */
  | "drop"
  /** Wait for the reader. */
  | "wait";

/** Options of a {@linkcode RecordWriter}. */
export interface RecordWriterOptions {
  /** The ring's file, borrowed. */
  readonly fd: number;
  /** Bytes of its data. */
  readonly size?: number;
  /** An eventfd that wakes the reader. */
  readonly wakeFd: number;
  /** What to do where there is no room. */
  readonly whenFull: WhenFull;
}

/** The end of a ring that puts records in. */
export class RecordWriter implements Disposable {
  /** The ring's data: a frame's bytes are put where {@linkcode RecordWriter.reserve} says. */
  readonly bytes: Uint8Array;
  /** Most bytes of one frame that are kept. */
  readonly most: number;
  readonly #memory: MappedMemory;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #mask: number;
  readonly #wakeFd: number;
  readonly #whenFull: WhenFull;
  readonly #nothing = new PollSet(1);
  #head: number;
  /** Where the head is after the commit. */
  #next = 0;
  /** Where the tail was when last looked at. */
  #tail = 0;

  /**
   * Maps a ring.
   *
   * @throws {LinuxError} If there is no memory.
   */
  constructor(options: RecordWriterOptions) {
    const { fd, size = RING_BYTES, wakeFd, whenFull } = options;
    this.#memory = MappedMemory.shared(fd, HEADER_BYTES + size);
    const { buffer } = this.#memory.bytes;
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.bytes = new Uint8Array(buffer, HEADER_BYTES, size);
    this.#view = new DataView(buffer, HEADER_BYTES, size);
    this.#mask = size - 1;
    this.most = size / 4;
    this.#wakeFd = wakeFd;
    this.#whenFull = whenFull;
    this.#head = Atomics.load(this.#words, HEAD) >>> 0;
    this.#tail = Atomics.load(this.#words, TAIL) >>> 0;
    if (Atomics.load(this.#words, CONVERSATIONS) > 0) {
      if (this.#reserve(RESTARTED, 0, 0, 0, 0, 0) >= 0) this.commit();
    }
  }

  /** A conversation has begun. Returns its number in this ring. */
  opened(ends: Ends, micros: number): number {
    const id = Atomics.add(this.#words, CONVERSATIONS, 1) + 1;
    const text = encoder.encode(JSON.stringify(ends));
    const at = this.#reserve(OPENED, id, 0, micros, 0, text.length);
    if (at >= 0) {
      this.bytes.set(text, at);
      this.commit();
    }
    return id;
  }

  /**
   * Makes room for a frame.
   *
   * @param micros When its last byte was seen, by `monotonicMicros`.
   * @param size Its `size[4]`.
   * @param kept How many of its bytes the caller puts in {@linkcode RecordWriter.bytes}, at most
   * {@linkcode RecordWriter.most}.
   * @returns Where they go, or -1 if there is no room; else `commit` is to be called.
   */
  reserve(id: number, isReply: boolean, micros: number, size: number, kept: number): number {
    return this.#reserve(FRAME, id, isReply ? IS_REPLY : 0, micros, size, kept);
  }

  /**
   * Adds what a device knows to the reply that there was room made for.
   *
   * @param at What {@linkcode RecordWriter.reserve} returned.
   * @param offered Nothing known if it is 0.
   */
  addTimes(at: number, usedLength: number, taken: number, offered: number): void {
    const view = this.#view;
    const start = at - RECORD_BYTES;
    const flags = HAS_RING | (offered > 0 ? HAS_OFFERED : 0);
    view.setUint8(start + 5, view.getUint8(start + 5) | flags);
    view.setUint32(start + 28, usedLength, true);
    view.setFloat64(start + 32, taken, true);
    view.setFloat64(start + 40, offered, true);
  }

  /**
   * Says of the reply that there was room made for that a rule was applied to it.
   *
   * @param at What {@linkcode RecordWriter.reserve} returned.
   */
  markInjected(at: number): void {
    const flagsAt = at - RECORD_BYTES + 5;
    this.#view.setUint8(flagsAt, this.#view.getUint8(flagsAt) | IS_INJECTED);
  }

  /** The frame that there was room made for is there. */
  commit(): void {
    this.#head = this.#next;
    Atomics.store(this.#words, HEAD, this.#head | 0);
    if (Atomics.load(this.#words, SLEEPS) !== 0) this.#wake();
  }

  /** Bytes that are no messages were passed over. */
  skipped(id: number, isReply: boolean, micros: number, bytes: number): void {
    const flags = isReply ? IS_REPLY : 0;
    if (this.#reserve(SKIPPED, id, flags, micros, bytes, 0) >= 0) this.commit();
  }

  /** A conversation is over. */
  closed(id: number, micros: number): void {
    if (this.#reserve(CLOSED, id, 0, micros, 0, 0) >= 0) this.commit();
  }

  /** Unmaps the ring. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  #wake(): void {
    // Exchanged, so that one of many records does it.
    if (Atomics.exchange(this.#words, SLEEPS, 0) !== 0) eventfdWrite(this.#wakeFd, 1);
  }

  #reserve(
    kind: number,
    id: number,
    flags: number,
    micros: number,
    size: number,
    kept: number,
  ): number {
    const length = RECORD_BYTES + kept + 7 & ~7;
    let at = this.#head & this.#mask;
    const left = this.#mask + 1 - at;
    const pad = length > left ? left : 0;
    if (!this.#hasRoom(length + pad)) {
      Atomics.add(this.#words, DROPPED, 1);
      return -1;
    }
    const view = this.#view;
    if (pad > 0) {
      // Always room for these 8 bytes: lengths are multiples of it.
      view.setUint32(at, pad, true);
      view.setUint8(at + 4, PAD);
      at = 0;
    }
    this.#next = this.#head + pad + length >>> 0;
    view.setUint32(at, length, true);
    view.setUint16(at + 4, kind | flags << 8, true);
    view.setUint32(at + 8, id, true);
    view.setUint32(at + 12, size, true);
    view.setFloat64(at + 16, micros, true);
    view.setUint32(at + 24, kept, true);
    return at + RECORD_BYTES;
  }

  #hasRoom(length: number): boolean {
    const most = this.#mask + 1 - length;
    if ((this.#head - this.#tail >>> 0) <= most) return true;
    this.#tail = Atomics.load(this.#words, TAIL) >>> 0;
    if (this.#whenFull === "drop") return (this.#head - this.#tail >>> 0) <= most;
    while ((this.#head - this.#tail >>> 0) > most) {
      if (Atomics.load(this.#words, SLEEPS) !== 0) this.#wake();
      poll(this.#nothing, 1);
      this.#tail = Atomics.load(this.#words, TAIL) >>> 0;
    }
    return true;
  }
}

/** The end of a ring that takes records out. */
export class RecordReader implements Disposable {
  readonly #memory: MappedMemory;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #mask: number;
  readonly #started: number;
  readonly #number: () => number;
  readonly #conversations = new Map<number, Conversation>();
  #tail = 0;
  #isBroken = false;

  /**
   * Maps a ring.
   *
   * @param started The time that is 0, by `monotonicMicros`.
   * @param number Gives the number of the next conversation.
   * @throws {LinuxError} If there is no memory.
   */
  constructor(fd: number, started: number, number: () => number, size: number = RING_BYTES) {
    this.#memory = MappedMemory.shared(fd, HEADER_BYTES + size);
    const { buffer } = this.#memory.bytes;
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(buffer, HEADER_BYTES, size);
    this.#view = new DataView(buffer, HEADER_BYTES, size);
    this.#mask = size - 1;
    this.#started = started;
    this.#number = number;
  }

  /** Records that found no room. */
  get dropped(): number {
    return Atomics.load(this.#words, DROPPED) >>> 0;
  }

  /** Whether the writer has broken its own records: there is nothing more to be had. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Asks to be woken by the next record, or not. */
  set sleeps(sleeps: boolean) {
    Atomics.store(this.#words, SLEEPS, sleeps ? 1 : 0);
  }

  /** Whether there is a record. */
  get hasRecords(): boolean {
    return !this.#isBroken && Atomics.load(this.#words, HEAD) >>> 0 !== this.#tail;
  }

  /**
   * Hands the records over that are there now.
   *
   * @returns How much of the ring they filled, from 0 to 1.
   */
  drain(observer: Observer): number {
    const head = Atomics.load(this.#words, HEAD) >>> 0;
    if (this.#isBroken || head === this.#tail) return 0;
    const filled = (head - this.#tail >>> 0) / (this.#mask + 1);
    let told = this.#tail;
    while (this.#tail !== head) {
      const at = this.#tail & this.#mask;
      const length = this.#view.getUint32(at, true);
      // The writer may have died in the middle of anything, or worse.
      const isWhole = length >= 8 && (length & 7) === 0 && length <= (head - this.#tail >>> 0) &&
        at + length <= this.#mask + 1;
      if (!isWhole) {
        this.#isBroken = true;
        break;
      }
      this.#take(at, length, observer);
      this.#tail = this.#tail + length >>> 0;
      if ((this.#tail - told >>> 0) < ROOM_BYTES) continue;
      // Room soon for a writer that waits.
      told = this.#tail;
      Atomics.store(this.#words, TAIL, told | 0);
    }
    Atomics.store(this.#words, TAIL, this.#tail | 0);
    return filled;
  }

  /** Tells the end of the conversations that nobody has ended. */
  closeAll(observer: Observer, time: number): void {
    for (const conversation of this.#conversations.values()) observer.closed?.(conversation, time);
    this.#conversations.clear();
  }

  /** Unmaps the ring. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  #take(at: number, length: number, observer: Observer): void {
    const view = this.#view;
    const kind = view.getUint8(at + 4);
    if (kind === PAD || length < RECORD_BYTES) return;
    const flags = view.getUint8(at + 5);
    const id = view.getUint32(at + 8, true);
    const size = view.getUint32(at + 12, true);
    const time = this.#time(at + 16);
    const kept = Math.min(view.getUint32(at + 24, true), length - RECORD_BYTES);
    const start = at + RECORD_BYTES;
    if (kind === OPENED) {
      const conversation = this.#parse(start, kept);
      if (conversation === null) return;
      this.#conversations.set(id, conversation);
      observer.opened?.(conversation, time);
      return;
    }
    if (kind === RESTARTED) {
      this.closeAll(observer, time);
      return;
    }
    const conversation = this.#conversations.get(id);
    // Its beginning found no room.
    if (conversation === undefined) return;
    const direction: Direction = (flags & IS_REPLY) === 0 ? "request" : "reply";
    if (kind === FRAME) {
      const frame: Frame = {
        conversation,
        direction,
        time,
        size,
        bytes: this.#bytes,
        start,
        end: start + kept,
      };
      const isPlain = (flags & (HAS_RING | IS_INJECTED)) === 0;
      observer.frame?.(
        isPlain ? frame : {
          ...frame,
          ...((flags & HAS_RING) === 0 ? {} : { ring: this.#times(at, flags, time) }),
          ...((flags & IS_INJECTED) === 0 ? {} : { isInjected: true }),
        },
      );
    } else if (kind === SKIPPED) {
      observer.gap?.({
        conversation,
        direction,
        time,
        lost: 0,
        skipped: size,
        why: "no message",
        isInside: false,
      });
    } else if (kind === CLOSED) {
      this.#conversations.delete(id);
      observer.closed?.(conversation, time);
    }
  }

  #times(at: number, flags: number, used: number): RingTimes {
    const times = {
      taken: this.#time(at + 32),
      used,
      usedLength: this.#view.getUint32(at + 28, true),
    };
    return (flags & HAS_OFFERED) === 0 ? times : { ...times, offered: this.#time(at + 40) };
  }

  #parse(start: number, length: number): Conversation | null {
    try {
      const text = decoder.decode(this.#bytes.slice(start, start + length));
      const { transport, client, server } = JSON.parse(text) as Ends;
      return { id: this.#number(), transport, client, server };
    } catch {
      return null;
    }
  }

  #time(at: number): number {
    return Math.round((this.#view.getFloat64(at, true) - this.#started) * 1000);
  }
}
