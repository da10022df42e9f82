/**
 * From the bytes of a conversation to its messages, and back to them after bytes that are missing.
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- every read of bytes is behind a check of `end`

import { RREAD_HEADER, TWRITE_HEADER, TYPE } from "../p9/mod.ts";
import {
  findMessage,
  hasType,
  judge,
  LARGEST_MESSAGE,
  looksLikeHeader,
  sizeAt,
  tagAt,
  Tags,
  YES,
} from "./shape.ts";
import type { Chunk, Conversation, Direction, Frame, Gap, Observer, RingTimes } from "./types.ts";

const HEADER = 7;
/** Messages in a row that must look right before one that looks odd is believed, too. */
const TRUST = 2;
/** Largest message of unknown type that is believed where the msize is unknown. */
const LARGEST_STRANGER = 2 ** 16;
/** Bytes of messages in several pieces that all framers of a capture keep together. */
const DEFAULT_BUDGET = 128 * 2 ** 20;
/** Room for the beginning of a message in several pieces; grows with what arrives. */
const FIRST_ROOM = 64;
/** Most room that is kept between messages. */
const LARGEST_IDLE = 2 ** 16;

/** A bound that framers share: how many bytes of unfinished messages may be kept. */
export class Budget {
  /** Bytes left. */
  left: number;

  /** Starts with this many bytes. */
  constructor(bytes: number = DEFAULT_BUDGET) {
    this.left = bytes;
  }
}

/** How a {@linkcode Framer} frames. */
export interface FramerOptions {
  /**
   * Bytes of the payload of an Rread or Twrite that are kept if the message arrives in several
   * pieces; the rest is counted only. All of it if not given. Messages in one piece are always
   * passed on whole, and so are those of other types.
   */
  readonly payload?: number;
  /** What all unfinished messages may take, shared with other framers. */
  readonly budget?: Budget;
}

/** A {@linkcode Frame} that is filled again and again. */
class View implements Frame {
  conversation: Conversation;
  direction: Direction;
  time = 0;
  size = 0;
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  declare readonly ring?: RingTimes;

  constructor(conversation: Conversation, direction: Direction) {
    this.conversation = conversation;
    this.direction = direction;
  }
}

const NOTHING = new Uint8Array(0);

/** What both directions of a conversation share. */
interface Shared {
  /** The largest message, as agreed on; {@linkcode LARGEST_MESSAGE} as long as nobody knows. */
  msize: number;
  /** Whether msize was agreed on before our eyes. */
  isKnown: boolean;
  /** The largest message of the last Tversion. */
  proposed: number;
  /** Requests under way. */
  readonly tags: Tags;
  /** See {@linkcode FramerOptions}. */
  readonly payload: number;
  /** See {@linkcode FramerOptions}. */
  readonly budget: Budget;
  /** Who is told. */
  readonly observer: Observer;
}

/** One direction of a conversation. */
class Flow {
  readonly #conversation: Conversation;
  readonly #isReply: boolean;
  readonly #shared: Shared;
  readonly #frame: View;

  /** Whether the next byte is known to belong to a message, or to begin one. */
  #isInStep = true;
  /** Messages since the place was found; no more than {@linkcode TRUST}. */
  #trust = TRUST;

  /** `size[4]` of the message that has begun; 0 as long as that is not known. */
  #size = 0;
  /** Bytes of it that have gone by. */
  #seen = 0;
  /** Bytes of it in `#buffer`, without a hole. */
  #kept = 0;
  /** Bytes of it to keep. */
  #wanted = 0;
  /** Whether there is a hole in it, or no room. */
  #isFrozen = false;
  /** When its latest byte was seen. */
  #time = 0;
  #buffer: Uint8Array = NOTHING;

  /** What has been missed since the last message: see {@linkcode Gap}. */
  #lost = 0;
  #skipped = 0;
  #why: Gap["why"] = "not captured";
  /** Bytes at the end of the last chunk that may begin a message. */
  #rest: Uint8Array = NOTHING;

  constructor(conversation: Conversation, isReply: boolean, shared: Shared) {
    this.#conversation = conversation;
    this.#isReply = isReply;
    this.#shared = shared;
    this.#frame = new View(conversation, isReply ? "reply" : "request");
  }

  /** Says that the next bytes are from the middle of the stream. */
  midstream(): void {
    this.#isInStep = false;
    this.#trust = 0;
    this.#why = "mid-stream";
    if (!this.#isReply) this.#shared.tags.areComplete = false;
  }

  push(
    time: number,
    lost: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    cut: number,
  ): void {
    if (lost > 0) this.#miss(lost, time, true);
    if (this.#isInStep) this.#frames(bytes, start, end, time);
    else this.#search(bytes, start, end, time);
    if (cut > 0) this.#miss(cut, time, false);
  }

  /** Ends what has begun: tells of it as far as it was seen. */
  end(time: number): void {
    if (this.#isInStep) {
      if (this.#size > 0) this.#finish(this.#time);
      else this.#skipped += this.#seen;
    } else {
      this.#skipped += this.#rest.length;
    }
    this.#release();
    this.#rest = NOTHING;
    if (this.#skipped > 0 || this.#lost > 0) this.#tellGap(time);
    this.#reset();
  }

  /** Takes a message that is known to begin and to end here, as a packet of its own. */
  message(time: number, bytes: Uint8Array, start: number, end: number, cut: number): void {
    if (!this.#isInStep || this.#seen > 0) {
      this.end(time);
      this.#isInStep = true;
    }
    if (end - start < HEADER) {
      this.#skipped += end - start;
      this.#lost += cut;
      this.#why = cut > 0 ? "not captured" : "no message";
      if (end - start + cut > 0) this.#tellGap(time);
      return;
    }
    this.#emit(bytes, start, end, sizeAt(bytes, start), time);
  }

  /** Cuts messages out of bytes that are in step. */
  #frames(bytes: Uint8Array, at: number, end: number, time: number): void {
    while (at < end) {
      if (this.#seen === 0) {
        if (end - at < HEADER) {
          this.#begin(0, HEADER);
          this.#keep(bytes, at, end, time);
          return;
        }
        const size = sizeAt(bytes, at);
        if (!this.#isPlausible(bytes, at, size)) {
          this.#loseStep(bytes, at, end, time);
          return;
        }
        if (size <= end - at) {
          this.#emit(bytes, at, at + size, size, time);
          at += size;
          continue;
        }
        this.#begin(size, this.#wantedOf(bytes[at + 4]!, size));
        this.#keep(bytes, at, end, time);
        return;
      }
      if (this.#size === 0) {
        const take = Math.min(HEADER - this.#seen, end - at);
        this.#keep(bytes, at, at + take, time);
        at += take;
        if (this.#seen < HEADER) return;
        const size = sizeAt(this.#buffer, 0);
        if (!this.#isPlausible(this.#buffer, 0, size)) {
          const joined = new Uint8Array(HEADER + end - at);
          joined.set(this.#buffer.subarray(0, HEADER));
          joined.set(bytes.subarray(at, end), HEADER);
          this.#release();
          this.#loseStep(joined, 0, joined.length, time);
          return;
        }
        this.#size = size;
        this.#wanted = this.#wantedOf(this.#buffer[4]!, size);
        if (size === HEADER) this.#finish(this.#time);
        continue;
      }
      const take = Math.min(this.#size - this.#seen, end - at);
      this.#keep(bytes, at, at + take, time);
      at += take;
      if (this.#seen === this.#size) this.#finish(this.#time);
    }
  }

  /** Whether a message may begin here, given that the last one ended here. */
  #isPlausible(bytes: Uint8Array, at: number, size: number): boolean {
    if (size < HEADER || size > LARGEST_MESSAGE) return false;
    const { msize, isKnown } = this.#shared;
    if (this.#trust < TRUST) return looksLikeHeader(bytes, at, this.#isReply, msize);
    if (hasType(bytes[at + 4]!, this.#isReply)) return true;
    return size <= (isKnown ? msize : LARGEST_STRANGER);
  }

  /** How much of a message in pieces to keep. */
  #wantedOf(type: number, size: number): number {
    const { payload } = this.#shared;
    if (type === TYPE.Rread) return Math.min(size, RREAD_HEADER + payload);
    if (type === TYPE.Twrite) return Math.min(size, TWRITE_HEADER + payload);
    return size;
  }

  #begin(size: number, wanted: number): void {
    this.#size = size;
    this.#wanted = wanted;
    this.#seen = 0;
    this.#kept = 0;
    this.#isFrozen = false;
    this.#time = -Infinity;
  }

  /** Counts bytes of the message that has begun, and keeps those that are wanted. */
  #keep(bytes: Uint8Array, start: number, end: number, time: number): void {
    this.#seen += end - start;
    if (time > this.#time) this.#time = time;
    if (this.#isFrozen) return;
    let count = Math.min(end - start, this.#wanted - this.#kept);
    if (count <= 0) return;
    if (this.#kept + count > this.#buffer.length && !this.#grow(this.#kept + count)) {
      this.#isFrozen = true;
      count = this.#buffer.length - this.#kept;
    }
    const kept = this.#kept + count;
    if (count < 32) {
      for (let i = 0; i < count; i++) this.#buffer[this.#kept + i] = bytes[start + i]!;
    } else {
      this.#buffer.set(bytes.subarray(start, start + count), this.#kept);
    }
    this.#kept = kept;
  }

  /** Makes room, and says whether the budget allows it; the first bytes always have room. */
  #grow(kept: number): boolean {
    const { budget } = this.#shared;
    let length = Math.max(FIRST_ROOM, Math.min(2 * kept, this.#wanted));
    const isAllowed = length - this.#buffer.length <= budget.left;
    if (!isAllowed) length = Math.max(FIRST_ROOM, this.#buffer.length);
    if (length > this.#buffer.length) {
      budget.left -= length - this.#buffer.length;
      const buffer = new Uint8Array(length);
      buffer.set(this.#buffer.subarray(0, this.#kept));
      this.#buffer = buffer;
    }
    return isAllowed || kept <= length;
  }

  /** Gives the buffer back. */
  #release(): void {
    this.#shared.budget.left += this.#buffer.length;
    this.#buffer = NOTHING;
  }

  /** Tells of the message in `#buffer`. */
  #finish(time: number): void {
    this.#emit(this.#buffer, 0, this.#kept, this.#size, time);
    this.#reset();
    if (this.#buffer.length > LARGEST_IDLE) this.#release();
  }

  #emit(bytes: Uint8Array, start: number, end: number, size: number, time: number): void {
    const shared = this.#shared;
    if (this.#trust < TRUST) this.#trust++;
    if (end - start >= HEADER) {
      const type = bytes[start + 4]!;
      const tag = tagAt(bytes, start + 5);
      if (this.#isReply) shared.tags.delete(tag);
      else shared.tags.add(tag);
      if ((type & 0xfe) === TYPE.Tversion && end - start >= 11) this.#version(bytes, start, type);
    }
    const frame = this.#frame;
    frame.bytes = bytes;
    frame.start = start;
    frame.end = end;
    frame.size = size;
    frame.time = time;
    shared.observer.frame?.(frame);
  }

  /** Learns the msize. */
  #version(bytes: Uint8Array, start: number, type: number): void {
    const shared = this.#shared;
    const msize = Math.min(sizeAt(bytes, start + HEADER), LARGEST_MESSAGE);
    if (type === TYPE.Tversion) {
      shared.proposed = msize;
      return;
    }
    shared.isKnown = msize >= 256;
    shared.msize = shared.isKnown ? Math.min(msize, shared.proposed) : LARGEST_MESSAGE;
  }

  /** Notes that bytes are missing, which were lost or cut off the packet. */
  #miss(count: number, time: number, isLoss: boolean): void {
    if (!this.#isInStep) {
      this.#skipped += this.#rest.length;
      this.#rest = NOTHING;
      this.#lost += count;
      return;
    }
    if (this.#seen > 0 && this.#size > 0) {
      const inside = Math.min(count, this.#size - this.#seen);
      this.#seen += inside;
      this.#isFrozen = true;
      count -= inside;
      // What the snapshot length cut off a message is missing in its frame: no need to tell.
      if (isLoss && inside > 0) this.#tellInside(inside, time);
      if (this.#seen === this.#size) this.#finish(isLoss ? this.#time : time);
      if (count === 0) return;
    }
    this.#skipped += this.#seen;
    this.#seen = 0;
    this.#isInStep = false;
    this.#trust = 0;
    this.#lost += count;
    this.#why = "not captured";
    if (!this.#isReply) this.#shared.tags.areComplete = false;
  }

  /** Notes that no message begins where one should, and looks for the next. */
  #loseStep(bytes: Uint8Array, at: number, end: number, time: number): void {
    this.#reset();
    this.#isInStep = false;
    this.#trust = 0;
    this.#why = "no message";
    if (!this.#isReply) this.#shared.tags.areComplete = false;
    this.#search(bytes, at, end, time);
  }

  #reset(): void {
    this.#seen = 0;
    this.#size = 0;
    this.#kept = 0;
  }

  /** Looks for the next message. */
  #search(bytes: Uint8Array, start: number, end: number, time: number): void {
    if (this.#rest.length > 0) {
      const joined = new Uint8Array(this.#rest.length + end - start);
      joined.set(this.#rest);
      joined.set(bytes.subarray(start, end), this.#rest.length);
      this.#rest = NOTHING;
      [bytes, start, end] = [joined, 0, joined.length];
    }
    const { tags, msize } = this.#shared;
    const known = this.#isReply ? tags : null;
    const at = findMessage(bytes, start, end, this.#isReply, msize, known);
    this.#skipped += at - start;
    if (at === end) return;
    if (judge(bytes, at, end, this.#isReply, msize, known) !== YES) {
      this.#rest = bytes.slice(at, end);
      return;
    }
    if (this.#skipped > 0 || this.#lost > 0) this.#tellGap(time);
    this.#isInStep = true;
    this.#reset();
    this.#frames(bytes, at, end, time);
  }

  #tellInside(lost: number, time: number): void {
    const { direction } = this.#frame;
    this.#shared.observer.gap?.({
      conversation: this.#conversation,
      direction,
      time,
      lost,
      skipped: 0,
      why: "not captured",
      isInside: true,
    });
  }

  #tellGap(time: number): void {
    this.#shared.observer.gap?.({
      conversation: this.#conversation,
      direction: this.#frame.direction,
      time,
      lost: this.#lost,
      skipped: this.#skipped,
      why: this.#why,
      isInside: false,
    });
    this.#lost = 0;
    this.#skipped = 0;
  }
}

/**
 * Cuts the bytes of one conversation into frames, and finds the next message after bytes that are
 * missing or are no message.
 *
 * Tells an observer of frames and gaps; the {@linkcode Frame} is the same object each time, filled
 * anew. What is kept of unfinished messages grows with the bytes that arrive, never with the size
 * that a message claims, and within the budget.
 *
 * @example One message in two pieces
 * ```ts
 * import assert from "node:assert/strict";
 * import { Framer } from "@virtfs/virtfs/trace";
 *
 * const conversation = { id: 1, transport: "unix", client: "", server: "/run/x.sock" } as const;
 * const sizes: number[] = [];
 * const framer = new Framer(conversation, { frame: ({ size }) => void sizes.push(size) });
 * const bytes = new Uint8Array([7, 0, 0, 0, 121, 1, 0]);
 * framer.push(true, 0, 0, bytes, 0, 3, 0);
 * framer.push(true, 1, 0, bytes, 3, 7, 0);
 * assert.deepEqual(sizes, [7]);
 * ```
 */
export class Framer {
  readonly #requests: Flow;
  readonly #replies: Flow;

  /** Frames `conversation` for `observer`, both directions from their beginning. */
  constructor(conversation: Conversation, observer: Observer, options: FramerOptions = {}) {
    const shared: Shared = {
      msize: LARGEST_MESSAGE,
      isKnown: false,
      proposed: LARGEST_MESSAGE,
      tags: new Tags(),
      payload: options.payload ?? Infinity,
      budget: options.budget ?? new Budget(),
      observer,
    };
    shared.tags.areComplete = true;
    this.#requests = new Flow(conversation, false, shared);
    this.#replies = new Flow(conversation, true, shared);
  }

  /** Says that the next bytes of a direction are from the middle of its stream. */
  midstream(isReply: boolean): void {
    (isReply ? this.#replies : this.#requests).midstream();
  }

  /** Takes the next bytes of a direction; the fields of a {@linkcode Chunk}, one by one. */
  push(
    isReply: boolean,
    time: number,
    lost: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    cut: number,
  ): void {
    (isReply ? this.#replies : this.#requests).push(time, lost, bytes, start, end, cut);
  }

  /** Takes the next bytes of a direction. */
  chunk({ direction, time, lost, bytes, start, end, cut }: Chunk): void {
    this.push(direction === "reply", time, lost, bytes, start, end, cut);
  }

  /** Takes bytes that are one message, or what was captured of it, whatever came before. */
  message(
    isReply: boolean,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    cut: number,
  ): void {
    (isReply ? this.#replies : this.#requests).message(time, bytes, start, end, cut);
  }

  /** Ends both directions: tells of messages that were begun and of gaps that nothing followed. */
  end(time: number): void {
    this.#requests.end(time);
    this.#replies.end(time);
  }
}
