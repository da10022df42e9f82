/**
 * Playing the requests of a capture to a server, and comparing what it answers.
 *
 * @module
 */
import { Client } from "../client/mod.ts";
import { decode, decodeDirents, type Dialect, encode, type Message, NOFID } from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import { madeFid } from "./request_path.ts";
import { comparableReply, comparableRequest } from "./comparable.ts";
import type { Conversation, Half, Observer, Transaction } from "./types.ts";
import { harmless } from "./units.ts";

/** Dialect and size for conversations whose beginning was not seen. */
const DEFAULT_MSIZE = 131_096;
/** Differences that are kept; more are counted. */
const MOST_DIFFERENCES = 1000;
/** Extra requests to read a directory to its end. */
const MOST_LISTINGS = 10_000;

/** How a capture is replayed. */
export interface ReplayOptions {
  /** Connects to the server: once for each Tversion of the capture. */
  readonly connect: () => Promise<Channel>;
  /** How many times as fast as it was captured; 0 for as fast as possible, 1 if not given. */
  readonly speed?: number;
  /** Milliseconds after which a reply is given up; 30,000 if not given. */
  readonly timeoutMs?: number;
  /** Ends the replay. */
  readonly signal?: AbortSignal;
}

/** A request that the server answered otherwise than in the capture. */
export interface ReplayDifference {
  /** Whose it is in the capture. */
  readonly conversation: Conversation;
  /** Number of the transaction in the capture. */
  readonly number: number;
  /** The request. */
  readonly request: string;
  /** What the capture has. */
  readonly expected: string;
  /** What came now. */
  readonly actual: string;
}

/** How a replay went. */
export interface ReplayResult {
  /** Requests that were sent. */
  readonly sent: number;
  /** Replies that are the same as in the capture. */
  readonly same: number;
  /** Replies that are not, the first thousand of them. */
  readonly differences: readonly ReplayDifference[];
  /** How many there are. */
  readonly different: number;
  /** Requests that could not be sent, by reason. */
  readonly skipped: ReadonlyMap<string, number>;
  /** Nanoseconds that the capture took. */
  readonly captured: number;
  /** Nanoseconds that the replay took. */
  readonly taken: number;
}

/** A request of the capture. */
interface Step {
  readonly transaction: Transaction;
  readonly asked: Half;
  readonly message: Message;
  /** When its reply was seen; Infinity if it was not. */
  readonly replied: number;
  done: Promise<void>;
}

/**
 * Gathers the requests of a capture, to replay them at its end. Holds all of them in memory, payloads
 * of writes included.
 */
export class Recording implements Observer {
  readonly #conversations = new Map<number, Step[]>();
  #unreadable = 0;

  /** Keeps a request. */
  transaction(transaction: Transaction): void {
    const { request, reply, conversation } = transaction;
    if (request === null) return;
    const { message } = request;
    // A payload of which only the beginning was captured cannot be written again.
    if (message === null || "data" in message && isCut(request, message.data)) {
      this.#unreadable++;
      return;
    }
    const steps = this.#conversations.get(conversation.id) ?? [];
    this.#conversations.set(conversation.id, steps);
    steps.push({
      transaction,
      asked: request,
      message,
      replied: reply === null ? Infinity : reply.time,
      done: Promise.resolve(),
    });
  }

  /** Requests that are kept. */
  get size(): number {
    return this.#conversations.values().reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * Plays the requests; conversations beside each other, as they were.
   *
   * A request is sent when all those have been answered that had been answered before it was sent in
   * the capture: so as many are under way as were then, and none overtakes what it depends on.
   *
   * @throws {Error} If a connection cannot be made.
   */
  async replay(options: ReplayOptions): Promise<ReplayResult> {
    const tally = new ReplayTally();
    if (this.#unreadable > 0) tally.skip("not wholly captured", this.#unreadable);
    const all = [...this.#conversations.values()];
    let first = Infinity;
    let last = -Infinity;
    for (const steps of all) {
      for (const { asked, replied } of steps) {
        first = Math.min(first, asked.time);
        last = Math.max(last, replied === Infinity ? asked.time : replied);
      }
    }
    const begun = performance.now();
    const speed = options.speed ?? 1;
    const wait = async (time: number): Promise<void> => {
      if (speed <= 0) return;
      const milliseconds = (time - first) / 1e6 / speed - (performance.now() - begun);
      if (milliseconds > 1) await sleep(milliseconds, options.signal);
    };
    const controller = new AbortController();
    const signal = options.signal === undefined
      ? controller.signal
      : AbortSignal.any([options.signal, controller.signal]);
    try {
      await Promise.all(
        all.map((steps) => new Player(steps, { ...options, signal }, tally, wait).play()),
      );
    } finally {
      // Of several conversations one may fail: the others need not go on.
      controller.abort(new Error("The replay is over"));
    }
    return {
      sent: tally.sent,
      same: tally.same,
      differences: tally.differences,
      different: tally.different,
      skipped: tally.skipped,
      captured: all.length === 0 ? 0 : last - first,
      taken: (performance.now() - begun) * 1e6,
    };
  }
}

function isCut({ size }: Half, data: Uint8Array): boolean {
  return data.length !== size - 23;
}

class ReplayTally {
  sent = 0;
  same = 0;
  different = 0;
  readonly differences: ReplayDifference[] = [];
  readonly skipped = new Map<string, number>();

  skip(why: string, count = 1): void {
    this.skipped.set(why, (this.skipped.get(why) ?? 0) + count);
  }

  compare({ transaction, message }: Step, expected: string, actual: string): void {
    if (expected === actual) {
      this.same++;
      return;
    }
    this.different++;
    if (this.differences.length >= MOST_DIFFERENCES) return;
    const { conversation, number, paths, dialect } = transaction;
    const request = comparableRequest(message, paths, dialect);
    this.differences.push({ conversation, number, request, expected, actual });
  }
}

/** What a fid of the capture is now. */
interface Played {
  readonly fid: number;
  /** Entries that a listing gave, then and now; the cookie to go on from. */
  expected: Set<string>;
  actual: Set<string>;
  cookie: bigint;
  isListed: boolean;
}

/** One conversation. */
class Player {
  readonly #steps: readonly Step[];
  readonly #options: ReplayOptions;
  readonly #tally: ReplayTally;
  readonly #wait: (time: number) => Promise<void>;
  #client: Client | null = null;
  #dialect: Dialect = "9P2000.L";
  readonly #fids = new Map<number, Played>();
  readonly #flushes = new Map<number, AbortController>();

  constructor(
    steps: readonly Step[],
    options: ReplayOptions,
    tally: ReplayTally,
    wait: (time: number) => Promise<void>,
  ) {
    this.#steps = steps;
    this.#options = options;
    this.#tally = tally;
    this.#wait = wait;
  }

  async play(): Promise<void> {
    const steps = [...this.#steps].sort((a, b) => a.asked.time - b.asked.time);
    const answered = [...this.#steps].sort((a, b) => a.replied - b.replied);
    let next = 0;
    try {
      for (const step of steps) {
        for (; (answered[next]?.replied ?? Infinity) <= step.asked.time; next++) {
          await answered[next]?.done;
        }
        await this.#wait(step.asked.time);
        this.#options.signal?.throwIfAborted();
        if (step.message.kind === "Tversion") await this.#version(step, step.message);
        else step.done = this.#send(step);
      }
      for (const step of steps) if (step.replied !== Infinity) await step.done;
    } finally {
      const client = this.#client;
      this.#client = null;
      await client?.close();
      await Promise.allSettled(steps.map(({ done }) => done));
    }
  }

  async #version(
    step: Step,
    message: { readonly msize: number; readonly version: string },
  ): Promise<void> {
    await this.#client?.close();
    this.#client = null;
    this.#fids.clear();
    this.#tally.sent++;
    const expected = step.transaction.reply?.message;
    const wanted: Dialect = message.version === "9P2000" || message.version === "9P2000.u"
      ? message.version
      : "9P2000.L";
    const told = expected?.kind === "Rversion" ? expected.version : wanted;
    this.#client = await this.#connect(message.msize, wanted);
    this.#tally.compare(step, told, this.#client.dialect);
  }

  async #connect(msize: number, version: Dialect): Promise<Client> {
    const client = await Client.connect(await this.#options.connect(), { msize, version });
    this.#dialect = client.dialect;
    // Its end is told by the requests that it ends.
    client.ended.catch(() => {});
    return client;
  }

  /** Sends one request and compares its reply; never rejects. */
  async #send(step: Step): Promise<void> {
    try {
      this.#client ??= await this.#connect(DEFAULT_MSIZE, this.#dialect);
      const { message } = step;
      if (message.kind === "Tflush") {
        this.#flushes.get(message.oldtag)?.abort(new Error("flushed"));
        return;
      }
      const mapped = this.#mapped(message);
      if (mapped === null) {
        this.#tally.skip("a fid in it was made before the capture began, or could not be made");
        return;
      }
      const frame = encode(mapped, this.#dialect);
      if (frame.length > this.#client.msize) {
        this.#tally.skip(`longer than the server's msize of ${this.#client.msize}`);
        return;
      }
      this.#tally.sent++;
      const flush = new AbortController();
      this.#flushes.set(message.tag, flush);
      const reply = await this.#ask(this.#client, frame, flush.signal);
      if (this.#flushes.get(message.tag) === flush) this.#flushes.delete(message.tag);
      await this.#took(this.#client, step, mapped, reply);
    } catch (error) {
      if (this.#client === null) return;
      const { outcome, reply } = step.transaction;
      const text = error instanceof Error ? error.message : String(error);
      const expected = reply?.message === null || reply === null
        ? outcome
        : comparableReply(reply.message, this.#dialect);
      this.#tally.compare(step, expected, text);
    }
  }

  async #ask(client: Client, frame: Uint8Array, signal: AbortSignal): Promise<Message> {
    const milliseconds = this.#options.timeoutMs ?? 30_000;
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`no reply within ${milliseconds} ms`)),
      milliseconds,
    );
    const stop = (): void => reject(this.#options.signal?.reason);
    this.#options.signal?.addEventListener("abort", stop, { once: true });
    try {
      return decode(await Promise.race([client.raw(frame, { signal }), promise]), this.#dialect);
    } finally {
      clearTimeout(timer);
      this.#options.signal?.removeEventListener("abort", stop);
    }
  }

  /** A request with the numbers of now in place of those of then; null if one is not known. */
  #mapped(message: Message): Message | null {
    const values: Record<string, unknown> = { ...message, tag: 0 };
    for (const name of ["fid", "dfid", "dirfd", "olddirfid", "newdirfid", "afid"]) {
      const number = values[name];
      if (typeof number !== "number" || number === NOFID) continue;
      const isNew = message.kind === "Tattach" && name === "fid" ||
        message.kind === "Tauth" && name === "afid";
      if (isNew) continue;
      const played = this.#fids.get(number);
      if (played === undefined) return null;
      values[name] = played.fid;
    }
    const made = madeFid(message);
    if (made >= 0 && made !== NOFID) {
      // A walk of a fid onto itself keeps its number.
      const isSame = message.kind === "Twalk" && message.newfid === message.fid;
      const fid = isSame ? this.#fids.get(made)?.fid : this.#client?.takeFid();
      const name = message.kind === "Tattach"
        ? "fid"
        : message.kind === "Tauth"
        ? "afid"
        : "newfid";
      values[name] = fid;
    }
    if (message.kind === "Treaddir" && message.offset !== 0n) {
      values["offset"] = this.#fids.get(message.fid)?.cookie ?? 0n;
    }
    return values as unknown as Message;
  }

  async #took(client: Client, step: Step, sent: Message, reply: Message): Promise<void> {
    const { message, transaction } = step;
    const isRefusal = reply.kind === "Rlerror" || reply.kind === "Rerror";
    const made = madeFid(message);
    if (made >= 0 && !isRefusal && isWhole(message, reply)) {
      const fid = madeFid(sent);
      this.#fids.set(made, {
        fid,
        expected: new Set(),
        actual: new Set(),
        cookie: 0n,
        isListed: false,
      });
    }
    if (message.kind === "Tclunk" || message.kind === "Tremove") this.#fids.delete(message.fid);
    const expected = transaction.reply?.message ?? null;
    if (expected === null) return;
    if (
      message.kind === "Treaddir" && expected.kind === "Rreaddir" && reply.kind === "Rreaddir"
    ) return await this.#listed(client, step, sent, expected.data, reply.data);
    const dialect = transaction.dialect ?? this.#dialect;
    this.#tally.compare(
      step,
      comparableReply(expected, dialect),
      comparableReply(reply, this.#dialect),
    );
  }

  /**
   * Servers give the entries of a folder in any order and as many at once as they like: compared is
   * what a listing has come to when it is at its end in the capture.
   */
  async #listed(
    client: Client,
    step: Step,
    sent: Message,
    then: Uint8Array,
    now: Uint8Array,
  ): Promise<void> {
    const { message } = step;
    if (message.kind !== "Treaddir" || sent.kind !== "Treaddir") return;
    const played = this.#fids.get(message.fid);
    if (played === undefined) return;
    if (message.offset === 0n) {
      played.expected = new Set();
      played.actual = new Set();
      played.isListed = false;
    }
    for (const { name } of decodeDirents(then).entries) played.expected.add(name);
    const add = (data: Uint8Array): void => {
      const { entries } = decodeDirents(data);
      for (const { name } of entries) played.actual.add(name);
      played.cookie = entries.at(-1)?.offset ?? played.cookie;
      if (entries.length === 0) played.isListed = true;
    };
    add(now);
    if (then.length > 0) {
      this.#tally.same++;
      return;
    }
    for (let more = 0; !played.isListed && more < MOST_LISTINGS; more++) {
      const reply = await this.#ask(
        client,
        encode({ ...sent, offset: played.cookie }, this.#dialect),
        new AbortController().signal,
      );
      if (reply.kind !== "Rreaddir") break;
      add(reply.data);
    }
    const text = (names: ReadonlySet<string>): string =>
      `entries ${
        JSON.stringify([...names].filter((name) => name !== "." && name !== "..").sort())
      }`;
    this.#tally.compare(step, text(played.expected), text(played.actual));
  }
}

function isWhole(message: Message, reply: Message): boolean {
  if (message.kind !== "Twalk") return true;
  return reply.kind === "Rwalk" && reply.wqid.length === message.wname.length;
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** How a replay went, as text. */
export function formatReplay(result: ReplayResult): string {
  const lines: string[] = [];
  for (const { conversation, number, request, expected, actual } of result.differences) {
    lines.push(
      `c${conversation.id} #${number} ${harmless(request)}`,
      `  captured: ${harmless(expected)}`,
      `  replayed: ${harmless(actual)}`,
    );
  }
  const more = result.different - result.differences.length;
  if (more > 0) lines.push(`${more} more replies differ`);
  for (const [why, count] of result.skipped) lines.push(`${count} requests were not sent: ${why}`);
  const seconds = (nanoseconds: number): string => `${(nanoseconds / 1e9).toFixed(3)} s`;
  lines.push(
    `${result.sent} requests sent in ${seconds(result.taken)} (captured in ` +
      `${
        seconds(result.captured)
      }): ${result.same} replies are the same, ${result.different} differ`,
  );
  return lines.map((line) => `${line}\n`).join("");
}
