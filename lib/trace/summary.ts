/**
 * What a capture comes to: counted by message, by file and by error, in memory that does not grow
 * with it.
 *
 * @module
 */
import { FileTallies, type FileTally } from "./file_tally.ts";
import { Histogram } from "./histogram.ts";
import type { Conversation, Exchange, Gap, Observer } from "./types.ts";
import { TYPE } from "../p9/mod.ts";

/** Files that are kept apart. */
const MOST_FILES = 50_000;
/** Error numbers that are kept apart. */
const MOST_ERRNOS = 256;
/** Depths that are kept apart; what is deeper counts as this. */
const MOST_DEPTH = 1024;

/** Counts of one kind of message. */
export class MessageTally {
  /** Type byte of the request. */
  readonly type: number;
  /** How many requests. */
  count = 0;
  /** Those that were refused. */
  errors = 0;
  /** Those that were not answered: unfinished, lost or flushed. */
  unanswered = 0;
  /** Bytes of requests and replies, all of them. */
  bytes = 0;
  /** Bytes read or written. */
  moved = 0;
  /** Nanoseconds from request to reply, of those that were answered. */
  readonly latency: Histogram = new Histogram();

  /** Starts at nothing. */
  constructor(type: number) {
    this.type = type;
  }
}

/** Counts of one error number. */
export interface ErrnoTally {
  /** The number; -1 for an error without one. */
  readonly errno: number;
  /** How often. */
  count: number;
  /** How often by type byte of the request. */
  readonly byType: Float64Array;
}

/** How a summary counts. */
export interface SummaryOptions {
  /** Files that are kept apart; 50,000 if not given. */
  readonly files?: number;
}

/** Counts transactions, from their numbers alone. */
export class Summary implements Observer {
  /** By type byte of the request. */
  readonly #types: (MessageTally | null)[] = new Array(256).fill(null);
  readonly #errnos = new Map<number, ErrnoTally>();
  readonly #depths = new Float64Array(MOST_DEPTH + 1);
  /** Every file. */
  readonly files: FileTallies;
  /** Errors whose numbers were too many to be kept apart. */
  otherErrors = 0;
  /** Conversations that began. */
  conversations = 0;
  /** Answers that nobody had asked for. */
  unasked = 0;
  /** Requests whose answer is in a gap. */
  lost = 0;
  /** Requests that were not answered before the end. */
  unfinished = 0;
  /** Requests that were flushed. */
  flushed = 0;
  /** Gaps in the capture. */
  gaps = 0;
  /** Bytes that were not captured. */
  lostBytes = 0;
  /** Bytes that belonged to no message. */
  skippedBytes = 0;
  /** Most requests under way at once. */
  deepest = 0;
  /** When the first transaction began; NaN if there is none. */
  first: number = NaN;
  /** When the last one ended; NaN if there is none. */
  last: number = NaN;

  /** Starts at nothing. */
  constructor(options: SummaryOptions = {}) {
    this.files = new FileTallies(options.files ?? MOST_FILES);
  }

  /** Counts a conversation. */
  opened(_conversation: Conversation, _time: number): void {
    this.conversations++;
  }

  /** Counts a transaction. Makes no object. */
  exchange(exchange: Exchange): void {
    const { started, ended, outcome, errno } = exchange;
    if (!(started >= this.first)) this.first = started;
    if (!(ended <= this.last)) this.last = ended;
    if (outcome === "unasked") {
      this.unasked++;
      return;
    }
    const type = exchange.type & 0xff;
    let counts = this.#types[type];
    if (counts === null || counts === undefined) {
      counts = new MessageTally(type);
      this.#types[type] = counts;
    }
    counts.count++;
    counts.bytes += exchange.requestSize + exchange.replySize;
    const depth = exchange.depth;
    if (depth > this.deepest) this.deepest = depth;
    const kept = depth > MOST_DEPTH ? MOST_DEPTH : depth > 0 ? depth : 0;
    this.#depths[kept] = (this.#depths[kept] ?? 0) + 1;
    const took = ended - started;
    const isAnswered = outcome === "answered";
    if (isAnswered) {
      counts.latency.add(took);
      counts.moved += exchange.moved;
      if (errno !== 0) {
        counts.errors++;
        this.#error(errno, type);
      }
    } else {
      counts.unanswered++;
      if (outcome === "lost") this.lost++;
      else if (outcome === "flushed") this.flushed++;
      else this.unfinished++;
    }
    if (exchange.path !== "") this.#file(this.files.of(exchange.path), exchange, took, isAnswered);
  }

  /** Counts a gap. */
  gap(gap: Gap): void {
    this.gaps++;
    this.lostBytes += gap.lost;
    this.skippedBytes += gap.skipped;
  }

  /** Tallies of the messages there were, in order of the type byte. */
  get messages(): MessageTally[] {
    return this.#types.filter((each) => each !== null);
  }

  /** Nanoseconds from request to reply, of all that were answered; added up from the messages. */
  get latency(): Histogram {
    const all = new Histogram();
    for (const { latency } of this.messages) all.merge(latency);
    return all;
  }

  /** Tallies of the errors there were, the most frequent first. */
  get errnos(): ErrnoTally[] {
    return [...this.#errnos.values()].sort((a, b) => b.count - a.count || a.errno - b.errno);
  }

  /** How many requests began at each depth: the first of 1, the last of all beyond it, too. */
  get depths(): number[] {
    const depths = [...this.#depths.subarray(1)];
    while (depths.at(-1) === 0) depths.pop();
    return depths;
  }

  /** Nanoseconds from first to last. */
  get elapsed(): number {
    return this.last >= this.first ? this.last - this.first : 0;
  }

  /** Requests under way on average: the time that all took together over the time that went by. */
  get concurrency(): number {
    return this.elapsed > 0 ? this.latency.sum / this.elapsed : 0;
  }

  #error(errno: number, type: number): void {
    let tally = this.#errnos.get(errno);
    if (tally === undefined) {
      // Four billion numbers may come; those that mean something are few.
      if (this.#errnos.size >= MOST_ERRNOS) {
        this.otherErrors++;
        return;
      }
      tally = { errno, count: 0, byType: new Float64Array(256) };
      this.#errnos.set(errno, tally);
    }
    tally.count++;
    tally.byType[type] = (tally.byType[type] ?? 0) + 1;
  }

  #file(file: FileTally, exchange: Exchange, took: number, isAnswered: boolean): void {
    if (!isAnswered) {
      file.others++;
      return;
    }
    file.time += took;
    if (exchange.errno !== 0) {
      file.errors++;
      file.others++;
      return;
    }
    switch (exchange.type) {
      case TYPE.Tread:
        file.read(exchange.offset, exchange.moved);
        break;
      case TYPE.Twrite:
        file.wrote(exchange.offset, exchange.moved);
        break;
      case TYPE.Tlopen:
      case TYPE.Topen:
      case TYPE.Tlcreate:
      case TYPE.Tcreate:
        file.opens++;
        break;
      default:
        file.others++;
    }
  }
}
