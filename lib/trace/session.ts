/**
 * Requests and replies, paired: frames in, transactions out.
 *
 * Follows every conversation through its dialects, its fids and its tags, whatever is missing of it.
 * Nothing that a capture may contain makes it throw, and what it keeps in mind of a conversation is
 * bounded: a request for each tag, and the fids.
 *
 * Who only counts pays little: no object is made for a message that reads or writes.
 *
 * @module
 */
import {
  decodeString,
  type Dialect,
  type Message,
  negotiate,
  NOFID,
  REPLY,
  RREAD_HEADER,
  type TKind,
  tryDecode,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import { errnoOfText } from "./error_texts.ts";
import { ExchangeRecord } from "./exchange.ts";
import { Fids } from "./fids.ts";
import { decodeHalf } from "./half.ts";
import { aboutOf } from "./request_path.ts";
import type {
  Clock,
  Conversation,
  Frame,
  Gap,
  Half,
  Observer,
  Outcome,
  Subject,
  Transaction,
} from "./types.ts";

/** What a {@linkcode Session} is to do. */
export interface SessionOptions {
  /**
   * What its observers need: `counts` for frames, gaps and exchanges, `messages` for transactions too.
   */
  readonly needs: "counts" | "messages";
  /** Bytes of each payload to keep in a transaction. Default: all. */
  readonly payload?: number;
}

/** Types whose first field is a fid. */
const HAS_FID = new Uint8Array(256);
/** Types that change fids or names: their requests are decoded whoever listens. */
const CHANGES = new Uint8Array(256);
/** Types that read or write, with `offset[8] count[4]` after the fid. */
const HAS_OFFSET = new Uint8Array(256);
/** Offset of the qid in a reply that has one, the last one of an Rwalk aside. */
const QID_AT = new Uint8Array(256);
for (const kind of Object.keys(REPLY) as TKind[]) {
  const type = TYPE[kind];
  HAS_FID[type] = kind === "Tversion" || kind === "Tflush" ? 0 : 1;
}
// deno-fmt-ignore
const CHANGING: readonly TKind[] = [
  "Tversion", "Tauth", "Tattach", "Twalk", "Tlopen", "Topen", "Tlcreate", "Tcreate", "Trename",
  "Trenameat", "Tunlinkat", "Txattrwalk", "Txattrcreate",
  // Those that say only in their names what they are about.
  "Tmkdir", "Tmknod", "Tsymlink", "Tlink",
];
for (const kind of CHANGING) CHANGES[TYPE[kind]] = 1;
for (const kind of ["Tread", "Twrite"] as const) HAS_OFFSET[TYPE[kind]] = 1;
for (const kind of ["Rattach", "Rlopen", "Ropen", "Rlcreate", "Rcreate"] as const) {
  QID_AT[TYPE[kind]] = 7;
}

/** `size[4] Rwrite tag[2] count[4]` */
const RWRITE_SIZE = 11;

/** What a request without fids says of them. */
const NO_PATHS: ReadonlyMap<number, string> = new Map();

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
}

function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) | u16(bytes, at + 2) << 16) >>> 0;
}

/** A request under way: one object for each tag, used over and over. */
class Pending {
  isActive = false;
  /** Position among the requests of the conversation. */
  sequence = 0;
  readonly tag: number;
  type = 0;
  time = 0;
  size = 0;
  depth = 0;
  fid = NOFID;
  /** What the fid stands for. */
  path = "";
  subject: Subject = "unknown";
  offset = 0;
  /** For a Tflush: what it is to flush, and the sequence by which to know it again. */
  flushes: Pending | null = null;
  flushedSequence = 0;
  /** Decoded if it changes fids. */
  message: Message | null = null;
  half: Half | null = null;
  paths: ReadonlyMap<number, string> = NO_PATHS;

  constructor(tag: number) {
    this.tag = tag;
  }
}

/** What is known of a conversation. */
class State {
  readonly conversation: Conversation;
  readonly fids = new Fids();
  /** By tag; a map, as one tag out of many must not cost a walk over all of them. */
  readonly slots = new Map<number, Pending>();
  dialect: Dialect = "9P2000.L";
  isAgreed = false;
  sequence = 0;
  /** Requests with a smaller sequence may have lost their replies in a gap. */
  doubtful = 0;
  active = 0;

  constructor(conversation: Conversation) {
    this.conversation = conversation;
  }
}

/**
 * Pairs the messages of any number of conversations and tells observers of the transactions.
 *
 * Takes what a framer finds through the methods of an {@linkcode Observer}, and hands on to its own
 * observers what it is told, with transactions added.
 */
export class Session implements Required<Omit<Observer, "exchange" | "transaction" | "finding">> {
  readonly #observers: readonly Observer[];
  /** Those that want frames, and those that count: asked once, not for each message. */
  readonly #framing: readonly Observer[];
  readonly #counting: readonly Observer[];
  readonly #wantsMessages: boolean;
  readonly #payload: number;
  readonly #states = new Map<number, State>();
  /** What all who count are shown: filled anew for each transaction. */
  readonly #shown = new ExchangeRecord();
  /** The conversation of the last frame, which is most often that of the next. */
  #last: State | null = null;
  #wire: Wire | null = null;
  #number = 0;

  /** Tells the observers in order. */
  constructor(observers: readonly Observer[], options: SessionOptions) {
    this.#observers = observers;
    this.#framing = observers.filter(({ frame }) => frame !== undefined);
    this.#wantsMessages = options.needs === "messages";
    // Who wants transactions can count by them.
    this.#counting = observers.filter(({ exchange, transaction }) =>
      exchange !== undefined && (!this.#wantsMessages || transaction === undefined)
    );
    this.#payload = options.payload ?? Infinity;
  }

  /** The clock of the capture. */
  begin(clock: Clock): void {
    for (const observer of this.#observers) observer.begin?.(clock);
  }

  /** A conversation is there. */
  opened(conversation: Conversation, time: number): void {
    this.#states.set(conversation.id, new State(conversation));
    this.#last = null;
    for (const observer of this.#observers) observer.opened?.(conversation, time);
  }

  /** A message was seen. */
  frame(frame: Frame): void {
    for (const observer of this.#framing) observer.frame?.(frame);
    // Nothing can be said of what has no type and no tag.
    if (frame.end - frame.start < 7) return;
    const state = this.#stateOf(frame.conversation);
    if (frame.direction === "request") this.#request(state, frame);
    else this.#reply(state, frame);
  }

  /** Something could not be read. */
  gap(gap: Gap): void {
    const state = this.#stateOf(gap.conversation);
    if (!gap.isInside) {
      if (gap.direction === "request") state.fids.doubt();
      state.doubtful = state.sequence;
    }
    for (const observer of this.#observers) observer.gap?.(gap);
  }

  /** A conversation is over. */
  closed(conversation: Conversation, time: number): void {
    const state = this.#states.get(conversation.id);
    if (state !== undefined) this.#abandon(state);
    this.#states.delete(conversation.id);
    if (this.#last === state) this.#last = null;
    for (const observer of this.#observers) observer.closed?.(conversation, time);
  }

  /** There is no more: conversations that are still there end without a reply. */
  async end(time: number): Promise<void> {
    for (const state of this.#states.values()) this.#abandon(state);
    this.#states.clear();
    for (const observer of this.#observers) await observer.end?.(time);
  }

  #stateOf(conversation: Conversation): State {
    if (this.#last?.conversation.id === conversation.id) return this.#last;
    let state = this.#states.get(conversation.id);
    if (state === undefined) {
      state = new State(conversation);
      this.#states.set(conversation.id, state);
    }
    this.#last = state;
    return state;
  }

  #request(state: State, frame: Frame): void {
    const { bytes, start, end } = frame;
    const type = bytes[start + 4] ?? 0;
    const tag = u16(bytes, start + 5);
    let pending = state.slots.get(tag);
    if (pending === undefined) {
      pending = new Pending(tag);
      state.slots.set(tag, pending);
    } else if (pending.isActive) {
      // The tag is used again, so its reply has come, or never will.
      this.#giveUp(state, pending);
    }
    pending.isActive = true;
    pending.sequence = state.sequence++;
    pending.type = type;
    pending.time = frame.time;
    pending.size = frame.size;
    pending.depth = ++state.active;
    const hasFid = HAS_FID[type] === 1 && end - start >= 11;
    const fid = hasFid ? u32(bytes, start + 7) : NOFID;
    pending.fid = fid;
    pending.path = hasFid ? state.fids.pathOf(fid) : "";
    pending.subject = hasFid ? state.fids.subjectOf(fid) : "unknown";
    pending.offset = HAS_OFFSET[type] === 1 && end - start >= 23
      ? u32(bytes, start + 11) + u32(bytes, start + 15) * 2 ** 32
      : 0;
    pending.flushes = null;
    if (type === TYPE.Tflush && end - start >= 9) {
      const old = state.slots.get(u16(bytes, start + 7));
      if (old?.isActive === true && old !== pending) {
        pending.flushes = old;
        pending.flushedSequence = old.sequence;
      }
    }
    if (this.#wantsMessages) {
      const { half, dialect } = decodeHalf(frame, state.dialect, state.isAgreed, this.#payload);
      if (half.message !== null) state.dialect = dialect;
      pending.half = half;
      pending.message = half.message;
      pending.paths = this.#pathsOf(state, pending, half.message);
    } else {
      pending.message = CHANGES[type] === 1 && end - start === frame.size
        ? this.#decode(state, frame)
        : null;
    }
  }

  /** What the fids of a request stand for now. */
  #pathsOf(state: State, pending: Pending, message: Message | null): ReadonlyMap<number, string> {
    if (pending.fid === NOFID) return NO_PATHS;
    const paths = new Map<number, string>();
    if (pending.path !== "") paths.set(pending.fid, pending.path);
    let other = NOFID;
    switch (message?.kind) {
      case "Trename":
        other = message.dfid;
        break;
      case "Tlink":
        other = message.fid;
        break;
      case "Trenameat":
        other = message.newdirfid;
        break;
      case "Twalk":
      case "Txattrwalk":
        other = message.newfid;
    }
    if (other === NOFID) return paths;
    const path = state.fids.pathOf(other);
    if (path !== "") paths.set(other, path);
    return paths;
  }

  /** Decodes a frame where it lies; payloads are borrowed. */
  #decode(state: State, frame: Frame): Message | null {
    const { bytes, start, end } = frame;
    // Frames lie side by side in the buffer of a stream; its views are made once.
    let wire = this.#wire;
    if (wire?.bytes !== bytes) {
      wire = new Wire(bytes);
      this.#wire = wire;
    }
    const message = tryDecode(wire, start, end, state.dialect);
    if (message !== null || state.isAgreed) return message;
    const guess = decodeHalf(frame, state.dialect, false, 0);
    state.dialect = guess.dialect;
    return guess.half.message;
  }

  #reply(state: State, frame: Frame): void {
    const { bytes, start } = frame;
    const type = bytes[start + 4] ?? 0;
    const tag = u16(bytes, start + 5);
    const pending = state.slots.get(tag);
    if (pending === undefined || !pending.isActive) return this.#unasked(state, frame, type, tag);
    const isError = type === TYPE.Rlerror || type === TYPE.Rerror;
    if (type !== pending.type + 1 && !isError && pending.sequence < state.doubtful) {
      // Its own reply and the next request with the tag are both in a gap.
      this.#finish(state, pending, "lost");
      return this.#unasked(state, frame, type, tag);
    }
    const errno = isError ? errnoOf(frame, state.dialect, type) : 0;
    // A client that does not wait for the reply to its walk asks about what is no fid yet.
    if (pending.path === "" && pending.fid !== NOFID) {
      pending.path = state.fids.pathOf(pending.fid);
      if (pending.path !== "") {
        pending.subject = state.fids.subjectOf(pending.fid);
        if (this.#wantsMessages) pending.paths = this.#pathsOf(state, pending, pending.message);
      }
    }
    const half = this.#halfOf(state, frame, pending.subject);
    if (!isError && type === pending.type + 1) this.#commit(state, pending, frame);
    if (pending.type === TYPE.Tclunk) state.fids.drop(pending.fid);
    if (pending.type === TYPE.Tremove) {
      // Given back whether it succeeds or not, by remove(5).
      if (isError) state.fids.drop(pending.fid);
      else state.fids.remove(pending.fid);
    }
    const old = pending.flushes;
    if (old !== null && old.isActive && old.sequence === pending.flushedSequence) {
      this.#finish(state, old, "flushed");
    }
    this.#finish(state, pending, "answered", frame, half, isError, errno);
  }

  #halfOf(state: State, frame: Frame, subject: Subject): Half | null {
    if (!this.#wantsMessages) return null;
    // Entries of a folder are only worth something as a whole.
    const isListing = frame.bytes[frame.start + 4] === TYPE.Rreaddir || subject === "directory" ||
      subject === "xattr list";
    const payload = isListing ? Infinity : this.#payload;
    const { half, dialect } = decodeHalf(frame, state.dialect, state.isAgreed, payload);
    if (half.message !== null) state.dialect = dialect;
    return half;
  }

  /** A request that changes something was granted. */
  #commit(state: State, pending: Pending, frame: Frame): void {
    const { message } = pending;
    if (message === null || CHANGES[pending.type] !== 1) return;
    const { bytes, start, end } = frame;
    if (message.kind === "Tversion") {
      const length = end - start >= 13 ? u16(bytes, start + 11) : 0;
      const text = decodeString(bytes, start + 13, Math.min(end, start + 13 + length));
      const dialect = negotiate(text);
      this.#flushAll(state, pending);
      state.fids.clear();
      state.isAgreed = dialect !== "unknown";
      if (dialect !== "unknown") state.dialect = dialect;
      return;
    }
    let qidType = -1;
    let walked = -1;
    if (message.kind === "Twalk") {
      walked = end - start >= 9 ? u16(bytes, start + 7) : -1;
      const at = start + 9 + 13 * (walked - 1);
      if (walked > 0 && at < end) qidType = bytes[at] ?? -1;
    } else {
      const at = QID_AT[pending.type + 1] ?? 0;
      if (at > 0 && start + at < end) qidType = bytes[start + at] ?? -1;
    }
    state.fids.commit(message, qidType, walked);
  }

  /** A request that nobody will answer any more. */
  #giveUp(state: State, pending: Pending): void {
    this.#finish(state, pending, pending.sequence < state.doubtful ? "lost" : "unfinished");
  }

  /** Everything under way ends with a new session, by version(5). */
  #flushAll(state: State, version: Pending): void {
    for (const pending of inOrder(state)) {
      if (pending !== version) this.#finish(state, pending, "flushed");
    }
    state.slots.clear();
    state.slots.set(version.tag, version);
  }

  #abandon(state: State): void {
    for (const pending of inOrder(state)) this.#giveUp(state, pending);
  }

  /** A reply whose request was not seen. */
  #unasked(state: State, frame: Frame, type: number, tag: number): void {
    const isError = type === TYPE.Rlerror || type === TYPE.Rerror;
    const errno = isError ? errnoOf(frame, state.dialect, type) : 0;
    const half = this.#halfOf(state, frame, "unknown");
    // In the middle of a stream the agreement itself may be one of these.
    if (type === TYPE.Rversion && !state.isAgreed) {
      const length = u16(frame.bytes, frame.start + 11);
      const end = Math.min(frame.end, frame.start + 13 + length);
      const dialect = negotiate(
        decodeString(frame.bytes, frame.start + 13, Math.max(frame.start + 13, end)),
      );
      state.isAgreed = dialect !== "unknown";
      if (dialect !== "unknown") state.dialect = dialect;
    }
    const shown = this.#shown;
    shown.conversation = state.conversation;
    shown.type = Math.max(0, type - 1);
    shown.outcome = "unasked";
    shown.errno = isError && errno === 0 ? -1 : errno;
    shown.started = frame.time;
    shown.ended = frame.time;
    shown.requestSize = 0;
    shown.replySize = frame.size;
    shown.depth = state.active;
    shown.path = "";
    shown.offset = 0;
    shown.moved = 0; // nobody knows that it is not for another request
    this.#number++;
    for (const observer of this.#counting) observer.exchange?.(shown);
    if (half === null) return;
    this.#tell({
      number: this.#number,
      conversation: state.conversation,
      tag,
      request: null,
      reply: half,
      outcome: "unasked",
      depth: state.active,
      paths: NO_PATHS,
      errno,
      dialect: state.dialect,
      subject: "unknown",
      ...(frame.ring === undefined ? {} : { ring: frame.ring }),
    });
  }

  /** A request is over. */
  #finish(
    state: State,
    pending: Pending,
    outcome: Outcome,
    reply: Frame | null = null,
    half: Half | null = null,
    isError = false,
    errno = 0,
  ): void {
    pending.isActive = false;
    state.active--;
    const shown = this.#shown;
    shown.conversation = state.conversation;
    shown.type = pending.type;
    shown.outcome = outcome;
    shown.errno = isError && errno === 0 ? -1 : errno;
    shown.started = pending.time;
    shown.ended = reply === null ? pending.time : reply.time;
    shown.requestSize = pending.size;
    shown.replySize = reply === null ? 0 : reply.size;
    shown.depth = pending.depth;
    shown.path = pending.message === null || pending.path === ""
      ? pending.path
      : aboutOf(pending.message, pending.path);
    shown.offset = pending.offset;
    shown.moved = reply === null ? 0 : movedBy(reply, pending.type, pending.size);
    this.#number++;
    for (const observer of this.#counting) observer.exchange?.(shown);
    if (this.#wantsMessages) this.#tellPending(state, pending, outcome, half, errno, reply);
    // What it holds is the transaction's now.
    pending.message = null;
    pending.half = null;
    pending.paths = NO_PATHS;
    pending.path = "";
    pending.flushes = null;
  }

  #tellPending(
    state: State,
    pending: Pending,
    outcome: Outcome,
    reply: Half | null,
    errno: number,
    frame: Frame | null,
  ): void {
    this.#tell({
      number: this.#number,
      conversation: state.conversation,
      tag: pending.tag,
      request: pending.half,
      reply,
      outcome,
      depth: pending.depth,
      paths: pending.paths,
      errno,
      dialect: state.dialect,
      subject: pending.subject,
      ...(frame?.ring === undefined ? {} : { ring: frame.ring }),
      ...(frame?.isInjected === true ? { isInjected: true } : {}),
    });
  }

  #tell(transaction: Transaction): void {
    for (const observer of this.#observers) observer.transaction?.(transaction);
  }
}

/** What is under way, oldest first. */
function inOrder(state: State): Pending[] {
  const pending: Pending[] = [];
  for (const each of state.slots.values()) if (each.isActive) pending.push(each);
  return pending.sort((a, b) => a.sequence - b.sequence);
}

/** Error number of an Rlerror or Rerror. */
function errnoOf({ bytes, start, end }: Frame, dialect: Dialect, type: number): number {
  if (type === TYPE.Rlerror) return end - start >= 11 ? u32(bytes, start + 7) : 0;
  const length = end - start >= 9 ? u16(bytes, start + 7) : 0;
  const after = start + 9 + length;
  const number = dialect !== "9P2000" && after + 4 <= end ? u32(bytes, after) : 0;
  if (number !== 0) return number;
  return errnoOfText(decodeString(bytes, start + 9, Math.max(start + 9, Math.min(end, after))));
}

/** Bytes that the reply to a request says were read or written. */
function movedBy({ bytes, start, end, size }: Frame, asked: number, requestSize: number): number {
  if (HAS_OFFSET[asked] !== 1 || bytes[start + 4] !== asked + 1) return 0;
  if (asked === TYPE.Tread) return Math.max(0, size - RREAD_HEADER);
  if (size !== RWRITE_SIZE || end - start !== RWRITE_SIZE) return 0;
  // Nobody has written more than was sent.
  return Math.min(Math.max(0, requestSize - TWRITE_HEADER), u32(bytes, start + 7));
}
