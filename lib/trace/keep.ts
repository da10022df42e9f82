/**
 * Capturing for long without filling the disk: only the last transactions, or files of a bounded size.
 *
 * @module
 */
import { ExchangeRecord } from "./exchange.ts";
import type { Clock, Conversation, Finding, Frame, Gap, Observer, Transaction } from "./types.ts";

/** Bytes of messages that {@linkcode Last} keeps, whatever number of transactions was asked for. */
const MOST_BYTES = 256 << 20;
/** Events for each transaction that it keeps: frames, gaps and findings among them. */
const EVENTS_EACH = 8;

type Event =
  | { readonly kind: "frame"; readonly frame: Frame }
  | {
    readonly kind: "transaction";
    readonly transaction: Transaction;
  }
  | { readonly kind: "gap"; readonly gap: Gap }
  | { readonly kind: "finding"; readonly finding: Finding };

/** Keeps the last transactions, and the frames around them, and tells of them when all is over. */
export class Last implements Observer {
  readonly #next: Observer;
  readonly #most: number;
  /** In order; those before `#first` are dropped. */
  #events: (Event | null)[] = [];
  #first = 0;
  #bytes = 0;
  #transactions = 0;
  readonly #closed = new Map<number, number>();

  /** Tells `next` of the last `most` transactions. */
  constructor(next: Observer, most: number) {
    this.#next = next;
    this.#most = most;
  }

  /** Passes on. */
  begin(clock: Clock): void {
    this.#next.begin?.(clock);
  }

  /** Keeps a copy of a frame. */
  frame(frame: Frame): void {
    if (this.#next.frame === undefined) return;
    const { conversation, direction, time, size, start, end, ring } = frame;
    const bytes = frame.bytes.slice(start, end);
    const copy = { conversation, direction, time, size, bytes, start: 0, end: bytes.length };
    this.#bytes += bytes.length;
    this.#keep({ kind: "frame", frame: ring === undefined ? copy : { ...copy, ring } });
  }

  /** Keeps a transaction. */
  transaction(transaction: Transaction): void {
    this.#transactions++;
    this.#bytes += bytesOf(transaction);
    this.#keep({ kind: "transaction", transaction });
  }

  /** Keeps a gap. */
  gap(gap: Gap): void {
    this.#keep({ kind: "gap", gap });
  }

  /** Keeps a finding. */
  finding(finding: Finding): void {
    this.#keep({ kind: "finding", finding });
  }

  /** Keeps when a conversation ended, as long as something of it is kept. */
  closed({ id }: Conversation, time: number): void {
    this.#closed.set(id, time);
    if (this.#closed.size <= 2 * this.#most + EVENTS_EACH) return;
    const ids = new Set(this.#events.slice(this.#first).map((event) => conversationOf(event)?.id));
    for (const each of this.#closed.keys()) if (!ids.has(each)) this.#closed.delete(each);
  }

  /** Tells of what was kept. */
  async end(time: number): Promise<void> {
    const next = this.#next;
    const record = new ExchangeRecord();
    const opened = new Map<number, Conversation>();
    for (const event of this.#events.slice(this.#first)) {
      const conversation = conversationOf(event);
      if (event === null || conversation === null) continue;
      if (!opened.has(conversation.id)) {
        opened.set(conversation.id, conversation);
        next.opened?.(conversation, timeOf(event));
      }
      if (event.kind === "frame") next.frame?.(event.frame);
      else if (event.kind === "gap") next.gap?.(event.gap);
      else if (event.kind === "finding") next.finding?.(event.finding);
      else if (next.transaction !== undefined) next.transaction(event.transaction);
      else next.exchange?.(record.fill(event.transaction));
    }
    for (const [id, conversation] of opened) {
      const when = this.#closed.get(id);
      if (when !== undefined) next.closed?.(conversation, when);
    }
    await next.end?.(time);
  }

  #keep(event: Event): void {
    this.#events.push(event);
    while (
      this.#transactions > this.#most || this.#bytes > MOST_BYTES ||
      this.#events.length - this.#first > EVENTS_EACH * this.#most + EVENTS_EACH
    ) {
      const oldest = this.#events[this.#first];
      if (oldest === undefined || oldest === event) break;
      this.#events[this.#first++] = null;
      if (oldest?.kind === "frame") this.#bytes -= oldest.frame.bytes.length;
      if (oldest?.kind !== "transaction") continue;
      this.#transactions--;
      this.#bytes -= bytesOf(oldest.transaction);
    }
    if (this.#first > 1024 && 2 * this.#first > this.#events.length) {
      this.#events = this.#events.slice(this.#first);
      this.#first = 0;
    }
  }
}

function bytesOf({ request, reply }: Transaction): number {
  return (request?.bytes.length ?? 0) + (reply?.bytes.length ?? 0);
}

function conversationOf(event: Event | null): Conversation | null {
  if (event === null) return null;
  if (event.kind === "frame") return event.frame.conversation;
  if (event.kind === "gap") return event.gap.conversation;
  return event.kind === "finding" ? event.finding.conversation : event.transaction.conversation;
}

function timeOf(event: Event): number {
  if (event.kind === "frame") return event.frame.time;
  if (event.kind === "gap") return event.gap.time;
  if (event.kind === "finding") return event.finding.time;
  return event.transaction.request?.time ?? event.transaction.reply?.time ?? 0;
}

/** One file of several. */
export interface RotatedFile {
  /** Writes it. */
  readonly observer: Observer;
  /** Bytes written so far. */
  size(): number;
  /** Closes it, after the observer was told that there is no more. */
  close(): void;
}

/** When to begin another file. */
export interface RotateOptions {
  /** Opens file 0, 1, … */
  readonly open: (index: number) => RotatedFile;
  /** Removes one that is no longer wanted. */
  readonly remove: (index: number) => void;
  /** Bytes from which on a file is full. */
  readonly bytes: number;
  /** Files that are kept; all if not given. */
  readonly keep?: number;
}

/** Writes to one file after another; each is whole by itself. */
export class Rotate implements Observer {
  readonly #options: RotateOptions;
  #file: RotatedFile | null = null;
  #index = -1;
  #clock: Clock = { base: 0n };
  readonly #open = new Map<number, Conversation>();

  /** Rotates as told. */
  constructor(options: RotateOptions) {
    this.#options = options;
  }

  /** Opens the first file. */
  begin(clock: Clock): void {
    this.#clock = clock;
    this.#next(0);
  }

  /** Passes on. */
  opened(conversation: Conversation, time: number): void {
    this.#open.set(conversation.id, conversation);
    this.#file?.observer.opened?.(conversation, time);
  }

  /** Passes on. */
  frame(frame: Frame): void {
    this.#file?.observer.frame?.(frame);
  }

  /** Passes on, and begins another file if this one is full. */
  transaction(transaction: Transaction): void {
    this.#file?.observer.transaction?.(transaction);
    if (this.#file === null || this.#file.size() < this.#options.bytes) return;
    this.#next(transaction.reply?.time ?? transaction.request?.time ?? 0);
  }

  /** Passes on. */
  gap(gap: Gap): void {
    this.#file?.observer.gap?.(gap);
  }

  /** Passes on. */
  finding(finding: Finding): void {
    this.#file?.observer.finding?.(finding);
  }

  /** Passes on. */
  closed(conversation: Conversation, time: number): void {
    this.#open.delete(conversation.id);
    this.#file?.observer.closed?.(conversation, time);
  }

  /** Closes the last file. */
  async end(time: number): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.observer.end?.(time);
    file?.close();
  }

  #next(time: number): void {
    const old = this.#file;
    // Writers of files end at once: there is nothing to wait for.
    void old?.observer.end?.(time);
    old?.close();
    this.#index++;
    this.#file = this.#options.open(this.#index);
    const { keep } = this.#options;
    if (keep !== undefined && this.#index >= keep) this.#options.remove(this.#index - keep);
    this.#file.observer.begin?.(this.#clock);
    for (const conversation of this.#open.values()) {
      this.#file.observer.opened?.(conversation, time);
    }
  }
}
