/**
 * Faults on purpose, in the words of strace: `Tread:error=EIO:when=3+2`.
 *
 * A client never learns of a fid or a tag anything that its server would not confirm: what is answered
 * with an error does not reach the server, except for what ends a fid, which it does whatever the
 * answer.
 *
 * @module
 */
import {
  type Dialect,
  ERRNO,
  HEADER_SIZE,
  kindOf,
  negotiate,
  Segments,
  tryDecode,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import {
  type Accept,
  type Connection,
  type Exchange,
  type Reactor,
  type Receiver,
  sendError,
} from "../transport/mod.ts";

/** One rule of what is to go wrong, and when. */
export interface Injection {
  /** Types that it is about, by number. */
  readonly types: ReadonlySet<number>;
  /** Error to answer with. */
  readonly error?: number;
  /** Milliseconds before the request goes on. */
  readonly delayEnterMs?: number;
  /** Milliseconds before the reply goes on. */
  readonly delayExitMs?: number;
  /** The message does not arrive. */
  readonly drop?: boolean;
  /** Bytes of the message that are left; all but one if it is null. */
  readonly truncate?: number | null;
  /** Offset of a byte that is inverted; the last one if it is null. */
  readonly corrupt?: number | null;
  /** Number of the first message that it happens to, of those it is about; from 1. */
  readonly first: number;
  /** Number of the last one. */
  readonly last: number;
  /** How many further each next one is. */
  readonly step: number;
}

/** Offset of what comes behind the fids of a request: the first fid, and the one that may follow. */
const BODY = 11;
const BODY_AFTER_TWO = 15;
/** Requests with two fids at the start of their body. */
const HAS_TWO_FIDS: ReadonlySet<number> = new Set([
  TYPE.Tattach,
  TYPE.Tauth,
  TYPE.Twalk,
  TYPE.Trename,
  TYPE.Tlink,
  TYPE.Txattrwalk,
]);
/** Requests that end a fid, whatever the answer. */
const ENDS_FID: ReadonlySet<number> = new Set([TYPE.Tclunk, TYPE.Tremove]);
/** Replies after which the server knows of a fid what the client must know too. */
const CHANGES_FID: ReadonlySet<number> = new Set([
  TYPE.Rversion,
  TYPE.Rauth,
  TYPE.Rattach,
  TYPE.Rwalk,
  TYPE.Rlopen,
  TYPE.Ropen,
  TYPE.Rlcreate,
  TYPE.Rcreate,
  TYPE.Rxattrwalk,
  TYPE.Rxattrcreate,
]);

const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, "": 1e-3 };

function bad(text: string, why: string): TypeError {
  return new TypeError(`Cannot inject "${text}": ${why}`);
}

/**
 * Parses a rule: `SET[:WHAT]…[:when=FIRST[..LAST][+STEP]]`.
 *
 * SET is a list of messages with commas between (`Tread,Rwalk`), each perhaps `/REGEX/`, or `all` for
 * every request. WHAT is `error=ERRNO`, `delay_enter=TIME`, `delay_exit=TIME`, `drop`,
 * `truncate[=BYTES]` or `corrupt[=OFFSET]`. Times are microseconds unless they have a unit.
 *
 * @example Every second read from the third one on fails
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseInjection } from "@virtfs/virtfs/trace";
 *
 * const { error, first, step } = parseInjection("Tread:error=EIO:when=3+2");
 * assert.deepEqual({ error, first, step }, { error: 5, first: 3, step: 2 });
 * ```
 *
 * @throws {TypeError} If the text is no rule.
 */
export function parseInjection(text: string): Injection {
  const [set = "", ...words] = splitWords(text);
  const types = parseSet(set, text);
  const rule: { -readonly [K in keyof Injection]: Injection[K] } = {
    types,
    first: 1,
    last: Infinity,
    step: 1,
  };
  for (const word of words) {
    const [name = "", value] = word.split(/=(.*)/s, 2);
    switch (name) {
      case "error":
        rule.error = parseError(value, text);
        break;
      case "delay_enter":
        rule.delayEnterMs = parseTime(value, text);
        break;
      case "delay_exit":
        rule.delayExitMs = parseTime(value, text);
        break;
      case "drop":
        if (value !== undefined) throw bad(text, '"drop" takes no value');
        rule.drop = true;
        break;
      case "truncate":
        rule.truncate = parseOffset(name, value, text);
        break;
      case "corrupt":
        rule.corrupt = parseOffset(name, value, text);
        break;
      case "when":
        Object.assign(rule, parseWhen(value, text));
        break;
      default:
        throw bad(
          text,
          `"${name}" is none of error, delay_enter, delay_exit, drop, truncate, corrupt and when`,
        );
    }
  }
  check(rule, text);
  return rule;
}

/** Splits at colons, those in a regular expression aside. */
function splitWords(text: string): string[] {
  return text.match(/(?:\/(?:\\.|[^/\\])*\/|[^:])+/g) ?? [];
}

function parseSet(set: string, text: string): Set<number> {
  const types = new Set<number>();
  for (const part of set.match(/\/(?:\\.|[^/\\])*\/|[^,]+/g) ?? []) {
    let isFound = false;
    for (const [name, type] of Object.entries(TYPE)) {
      if (!matches(part, name, text)) continue;
      types.add(type);
      isFound = true;
    }
    if (!isFound) throw bad(text, `there is no message "${part}"`);
  }
  if (types.size === 0) throw bad(text, "a message is missing");
  return types;
}

function matches(part: string, name: string, text: string): boolean {
  if (part === "all") return name.startsWith("T");
  if (!part.startsWith("/")) return part === name;
  try {
    return new RegExp(part.slice(1, -1)).test(name);
  } catch {
    throw bad(text, `${part} is no regular expression`);
  }
}

function parseError(value: string | undefined, text: string): number {
  const number = /^\d+$/.test(value ?? "") ? Number(value) : undefined;
  const code = number ?? (ERRNO as Readonly<Record<string, number>>)[value ?? ""];
  if (code === undefined || code < 1 || code > 4095) {
    throw bad(text, `"${value ?? ""}" is no error`);
  }
  return code;
}

function parseTime(value: string | undefined, text: string): number {
  const [, digits, unit = ""] = /^(\d+)(ns|us|ms|s)?$/.exec(value ?? "") ?? [];
  const ms = Number(digits) * (UNITS[unit] ?? 0);
  if (digits === undefined || ms > 3_600_000) {
    throw bad(text, `"${value ?? ""}" is no time up to an hour, such as 500us or 2s`);
  }
  return ms;
}

function parseOffset(name: string, value: string | undefined, text: string): number | null {
  if (value === undefined) return null;
  const offset = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (offset < HEADER_SIZE) {
    throw bad(text, `${name} leaves size, type and tag alone: want ${HEADER_SIZE} or more`);
  }
  return offset;
}

function parseWhen(
  value: string | undefined,
  text: string,
): Pick<Injection, "first" | "last" | "step"> {
  const found = /^(\d{1,9})(?:\.\.(\d{1,9}))?(?:(\+)(\d{1,9})?)?$/.exec(value ?? "");
  if (found === null) throw bad(text, `"${value ?? ""}" is not FIRST[..LAST][+STEP]`);
  const first = Number(found[1]);
  const hasStep = found[3] !== undefined;
  const step = found[4] === undefined ? 1 : Number(found[4]);
  const last = found[2] === undefined ? hasStep ? Infinity : first : Number(found[2]);
  if (first < 1 || step < 1 || last < first) throw bad(text, `"${value}" never happens`);
  return { first, last, step };
}

function check(rule: Injection, text: string): void {
  const { types, error, drop = false, truncate, corrupt, delayEnterMs, delayExitMs } = rule;
  const harms = [error !== undefined, drop, truncate !== undefined, corrupt !== undefined];
  const count = harms.filter(Boolean).length;
  if (count > 1) throw bad(text, "only one of error, drop, truncate and corrupt can happen");
  if (count === 0 && delayEnterMs === undefined && delayExitMs === undefined) {
    throw bad(text, "nothing is to happen");
  }
  if (error === undefined && !drop) return;
  for (const type of types) {
    if (!CHANGES_FID.has(type)) continue;
    const name = kindOf(type) ?? "";
    throw bad(
      text,
      `the server would have done what the client is told it has not: name T${name.slice(1)}`,
    );
  }
}

/** Whether a rule is about the message with a number, of those it is about. */
export function happens({ first, last, step }: Injection, number: number): boolean {
  return number >= first && number <= last && (number - first) % step === 0;
}

/**
 * Makes sessions in which things go wrong.
 *
 * @param accept Makes the sessions. What they do must not need the address of the memory of a reply.
 * @param told Is told of each exchange that a rule is applied to, as it comes.
 */
export function injecting(
  accept: Accept,
  rules: readonly Injection[],
  reactor: Reactor,
  told: (exchange: Exchange) => void = () => {},
): Accept {
  return (connection) => new InjectingReceiver(connection, accept, rules, reactor, told);
}

/** What is to happen to one request and its reply. */
interface Fate {
  readonly request: Injection | undefined;
  readonly reply: Injection | undefined;
}

class InjectingReceiver implements Receiver {
  readonly reactor: Reactor;
  readonly #inner: Receiver;
  readonly #rules: readonly Injection[];
  readonly #told: (exchange: Exchange) => void;
  /** Messages that each rule was about so far, in this session. */
  readonly #counts: number[];
  readonly #own = new Wire(new Uint8Array(512));
  /** What is delayed, by tag: called, it goes on at once. */
  readonly #held = new Map<number, () => void>();
  readonly #timers = new Set<() => void>();
  /** What was held up until the server could take no more. */
  readonly #waiting: Exchange[] = [];
  #dialect: Dialect = "9P2000.L";
  #isClosed = false;

  constructor(
    connection: Connection,
    accept: Accept,
    rules: readonly Injection[],
    reactor: Reactor,
    told: (exchange: Exchange) => void,
  ) {
    this.reactor = reactor;
    this.#told = told;
    this.#rules = rules;
    this.#counts = rules.map(() => 0);
    this.#inner = accept({
      peer: connection.peer,
      ...(connection.capacity === undefined ? {} : { capacity: connection.capacity }),
      resume: () => {
        while (this.#waiting.length > 0 && !this.#inner.isFull) {
          this.#inner.receive(this.#waiting.shift() as Exchange);
        }
        if (this.#waiting.length === 0) connection.resume();
      },
      abort: () => connection.abort(),
    });
  }

  get msize(): number {
    return this.#inner.msize;
  }

  get needsEventLoop(): boolean {
    return this.#inner.needsEventLoop;
  }

  get isOver(): boolean {
    return this.#inner.isOver;
  }

  get isFull(): boolean {
    return this.#waiting.length > 0 || this.#inner.isFull;
  }

  receive(exchange: Exchange): void {
    const { wire, start } = exchange;
    const type = wire.bytes[start + 4] as number;
    const tag = wire.view.getUint16(start + 5, true);
    if (type === TYPE.Tflush && exchange.size >= HEADER_SIZE + 2) {
      // Neither a request nor a reply may arrive after the answer to its flush.
      this.#held.get(wire.view.getUint16(start + HEADER_SIZE, true))?.();
    } else if (type === TYPE.Tversion) {
      this.#noteVersion(exchange);
      for (const release of [...this.#held.values()]) release();
    }
    const fate = { request: this.#next(type), reply: this.#next(type + 1) };
    if (fate.request === undefined && fate.reply === undefined) {
      this.#pass(exchange);
      return;
    }
    this.#told(exchange);
    const ms = (fate.request?.delayEnterMs ?? 0) + (fate.reply?.delayEnterMs ?? 0);
    if (ms === 0) {
      this.#enter(exchange, type, tag, fate);
      return;
    }
    exchange.defer(true);
    this.#later(tag, ms, () => this.#enter(exchange, type, tag, fate));
  }

  quiesce(): void {
    for (const release of [...this.#held.values()]) release();
    this.#inner.quiesce();
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#timers) stop();
    this.#timers.clear();
    this.#held.clear();
    this.#waiting.length = 0;
    this.#inner.close();
  }

  /** The first rule that is about this message and happens to it; all of them count it. */
  #next(type: number): Injection | undefined {
    let found: Injection | undefined;
    this.#rules.forEach((rule, index) => {
      if (!rule.types.has(type)) return;
      const number = (this.#counts[index] ?? 0) + 1;
      this.#counts[index] = number;
      if (found === undefined && happens(rule, number)) found = rule;
    });
    return found;
  }

  #enter(exchange: Exchange, type: number, tag: number, { request, reply }: Fate): void {
    const error = request?.error;
    const isLost = error !== undefined || request?.drop === true;
    // What ends a fid, or a request, is not kept from the server.
    const mustArrive = ENDS_FID.has(type) || type === TYPE.Tflush;
    const delayMs = (request?.delayExitMs ?? 0) + (reply?.delayExitMs ?? 0);
    if (isLost && !mustArrive) {
      if (error === undefined) exchange.drop();
      else this.#exit(exchange, tag, delayMs, () => this.#sendError(exchange, tag, error));
      return;
    }
    const copy = altered(exchange, type, request, isLost);
    this.#pass(
      new AlteredExchange(exchange, copy, (bytes, size) => {
        const wanted = error ?? reply?.error;
        if (request?.drop === true || reply?.drop === true || size === 0) {
          exchange.drop();
        } else if (wanted !== undefined) {
          this.#exit(exchange, tag, delayMs, () => this.#sendError(exchange, tag, wanted));
        } else {
          const length = reply === undefined || bytes[4] !== type + 1
            ? size
            : harm(bytes, size, HEADER_SIZE, reply);
          this.#exit(exchange, tag, delayMs, () => {
            exchange.payloadOut(0, length).copyFrom(bytes.subarray(0, length));
            exchange.send(length);
          });
        }
      }),
    );
  }

  /** Hands a request on, in its turn. */
  #pass(exchange: Exchange): void {
    if (!this.isFull) {
      this.#inner.receive(exchange);
      return;
    }
    exchange.defer(true);
    this.#waiting.push(exchange);
  }

  #exit(exchange: Exchange, tag: number, ms: number, run: () => void): void {
    if (ms === 0) {
      run();
      return;
    }
    exchange.defer(false);
    this.#later(tag, ms, run);
  }

  /** Does something later, or sooner if the request is flushed. */
  #later(tag: number, ms: number, run: () => void): void {
    const release = () => {
      stop();
      this.#timers.delete(stop);
      if (this.#held.get(tag) === release) this.#held.delete(tag);
      if (!this.#isClosed) run();
    };
    const stop = this.reactor.after(ms, release);
    this.#timers.add(stop);
    this.#held.set(tag, release);
  }

  #sendError(exchange: Exchange, tag: number, code: number): void {
    sendError(exchange, tag, code, this.#dialect, this.#own);
  }

  #noteVersion({ wire, start, end }: Exchange): void {
    const message = tryDecode(wire, start, end, "9P2000.L");
    if (message?.kind !== "Tversion") return;
    const dialect = negotiate(message.version);
    this.#dialect = dialect === "unknown" ? "9P2000.L" : dialect;
  }
}

/** A request of its own memory, as the server is to see it. */
function altered(
  exchange: Exchange,
  type: number,
  rule: Injection | undefined,
  isLost: boolean,
): Wire {
  const { wire, start, end, size } = exchange;
  const bytes = new Uint8Array(size);
  bytes.set(wire.bytes.subarray(start, Math.min(end, start + size)));
  if (end - start < size) {
    exchange.payloadIn(end - start, size - (end - start)).copyTo(bytes.subarray(end - start));
  }
  if (rule === undefined) return new Wire(bytes);
  if (isLost) {
    // The fid is gone for the client, the file is not.
    if (type === TYPE.Tremove) bytes[4] = TYPE.Tclunk;
    return new Wire(bytes);
  }
  const body = HAS_TWO_FIDS.has(type)
    ? BODY_AFTER_TWO
    : type === TYPE.Tversion
    ? HEADER_SIZE
    : BODY;
  return new Wire(bytes.subarray(0, harm(bytes, size, body, rule)));
}

/**
 * Cuts or changes a message in place, behind `body`.
 *
 * @returns Its new size.
 */
function harm(bytes: Uint8Array, size: number, body: number, rule: Injection): number {
  if (rule.corrupt !== undefined) {
    const at = Math.max(body, rule.corrupt ?? size - 1);
    if (at < size) bytes[at] = (bytes[at] as number) ^ 0xff;
  }
  if (rule.truncate === undefined) return size;
  const length = Math.min(size, Math.max(Math.min(body, size), rule.truncate ?? size - 1));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, length, true);
  return length;
}

/** A request that is not quite the one that came, and whose reply is looked at before it leaves. */
class AlteredExchange implements Exchange {
  readonly wire: Wire;
  readonly start = 0;
  readonly end: number;
  readonly size: number;
  readonly room: number;
  readonly replyAt = 0;
  readonly #exchange: Exchange;
  readonly #ended: (bytes: Uint8Array, size: number) => void;
  readonly #in = new Segments();
  readonly #out = new Segments();
  #reply: Wire | null = null;

  /** @param ended Gets the reply, which it may change, or nothing of size 0. */
  constructor(
    exchange: Exchange,
    wire: Wire,
    ended: (bytes: Uint8Array, size: number) => void,
  ) {
    this.#exchange = exchange;
    this.wire = wire;
    this.end = this.size = wire.bytes.length;
    this.room = exchange.room;
    this.#ended = ended;
  }

  get reply(): Wire {
    return this.#reply ??= new Wire(new Uint8Array(this.room));
  }

  payloadIn(offset: number, length: number): Segments {
    this.#in.clear();
    this.#in.add({ bytes: this.wire.bytes, address: 0 }, offset, length);
    return this.#in;
  }

  payloadOut(offset: number, length: number): Segments {
    this.#out.clear();
    this.#out.add({ bytes: this.reply.bytes, address: 0 }, offset, length);
    return this.#out;
  }

  defer(_withRequest: boolean): void {
    this.#exchange.defer(true);
  }

  send(size: number): void {
    this.#ended(this.reply.bytes, size);
  }

  drop(): void {
    this.#ended(this.reply.bytes, 0);
  }
}
