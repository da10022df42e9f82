/**
 * One conversation, from Tversion on: decodes T-messages, has them carried out, sends R-messages.
 *
 * @module
 */
import type { Answer, Identity, Shares } from "../fs/mod.ts";
import {
  type Dialect,
  encodeInto,
  Errno,
  errno,
  errnoMessage,
  hasMessage,
  kindOf,
  negotiate,
  NOTAG,
  type RMessage,
  sizeOf,
  type TMessage,
  tryDecode,
  type Tversion,
  TYPE,
} from "../p9/mod.ts";
import type { Connection, Exchange, Receiver } from "../transport/mod.ts";
import type { Counters } from "./counters.ts";
import { type Export, type Limits, MIN_MSIZE } from "./exports.ts";
import { type Fid, FidTable } from "./fids.ts";
import { type Handler, HANDLERS } from "./handlers.ts";
import { write } from "./io.ts";

/** What all sessions of a server share. */
export interface Environment {
  /** Finds an export by `aname`. ENOENT if there is none. */
  find(aname: string): Export;
  /** Bounds for new sessions. */
  readonly limits: Limits;
  /** Numbers of T-messages that answer EOPNOTSUPP. */
  readonly disabled: ReadonlySet<number>;
  /** Counts. */
  readonly counters: Counters;
  /** Bytes of extended attributes, by session. */
  readonly xattrBytes: Shares;
  /** Is told of errors that are bugs of ours. */
  report(error: unknown, what: string): void;
  /** Is told of how many fids a session has given back at once. */
  released(fids: number): void;
}

/** A request that waits for a promise. */
interface Inflight {
  readonly tag: number;
  readonly type: number;
  readonly exchange: Exchange;
  /** Fids held until the end. */
  readonly fids: readonly Fid[];
  /** Aborts what waits, where it can be aborted. */
  readonly controller: AbortController | null;
  readonly needsEventLoop: boolean;
  /** Tflush has asked for it. */
  isFlushed: boolean;
  /** Its answer has no receiver any more. */
  isDiscarded: boolean;
  /** Called when it has ended, in order. */
  readonly then: (() => void)[];
}

/** Reason to abort a waiting lock whose client shall ask again. */
export const BLOCKED = "blocked";

/** Msize of a connection before its first Tversion, in bytes: enough for that one message. */
const FIRST_MSIZE = 8192;
const R_LERROR_SIZE = 11;
/** Bytes that an extended attribute takes besides its value. */
const XATTR_OVERHEAD = 512;

/** One client's conversation with the server. */
export class Session implements Receiver {
  /** Bounds of this session. */
  readonly limits: Limits;
  /** Where the session counts. */
  readonly counters: Counters;
  /** Agreed largest message, in bytes. */
  msize = FIRST_MSIZE;
  /** Transport-level state: end the connection after what is sent. */
  isOver = false;
  /** The fids. */
  readonly fids: FidTable;

  readonly #environment: Environment;
  readonly #connection: Connection;
  #dialect: Dialect | null = null;
  readonly #inflight = new Map<number, Inflight>();
  /** Requests that wait their turn, behind one that must end first. */
  #waiting: Exchange[] = [];
  #isResetting = false;
  #isClosed = false;
  #mustFinishInOrder = 0;
  #eventLoopNeeds = 0;
  #exports = new Set<Export>();

  // Of the request being carried out now.
  #touched: Fid[] = [];
  #controller: AbortController | null = null;
  #isOrdered = false;
  #needsLoop = false;

  /** Begins a session over a connection. */
  constructor(environment: Environment, connection: Connection) {
    this.#environment = environment;
    this.#connection = connection;
    this.limits = environment.limits;
    this.counters = environment.counters;
    this.counters.sessions++;
    this.counters.sessionsTotal++;
    this.fids = new FidTable(this.limits, this.counters);
  }

  /** Dialect agreed on. Handlers run only after there is one. */
  get dialect(): Dialect {
    return this.#dialect ?? "9P2000";
  }

  /** True while a promise is outstanding that needs Deno's event loop. */
  get needsEventLoop(): boolean {
    return this.#eventLoopNeeds > 0;
  }

  /** True while no more requests are taken. */
  get isFull(): boolean {
    return this.#inflight.size + this.#waiting.length >= this.limits.maxInflight;
  }

  /** Requests that wait for a promise or for their turn. */
  get pending(): number {
    return this.#inflight.size + this.#waiting.length;
  }

  /**
   * Whether one more lock may wait. What waits takes room that a Tflush, an unlock or anything else
   * needs to get through: at most half of the requests that we take, and less than a quarter of those
   * that fit in a guest's ring, where a request may take several places.
   */
  get mayWait(): boolean {
    const { capacity } = this.#connection;
    return this.pending * 2 < this.limits.maxInflight &&
      (capacity === undefined || (this.pending + 1) * 4 < capacity);
  }

  /** Looks up a fid for the request being carried out, which holds it if it has to wait. */
  fid(number: number): Fid {
    const fid = this.fids.get(number);
    this.hold(fid);
    return fid;
  }

  /** Lets the request being carried out hold a fid if it has to wait. */
  hold(fid: Fid): void {
    this.#touched.push(fid);
    const { tree } = fid.export;
    if (tree.inOrder) this.#isOrdered = true;
    if (tree.needsEventLoop) this.#needsLoop = true;
  }

  /**
   * Takes memory for the value of an extended attribute.
   *
   * @param refusal What is thrown if the session has its share already.
   * @returns Gives it back.
   */
  takeXattrBytes(count: number, refusal: "ENOMEM" | "ENOSPC"): () => void {
    const { xattrBytes } = this.#environment;
    // What hangs on it takes some as well.
    const size = count + XATTR_OVERHEAD;
    if (!xattrBytes.tryTake(this, size)) throw errno(refusal);
    return () => xattrBytes.give(this, size);
  }

  /** Finds an export that admits the client, and remembers that this session uses it. */
  find(aname: string): Export {
    const found = this.#environment.find(aname);
    if (found.admits?.(this.#connection.peer) === false) {
      this.counters.denied++;
      throw errno("EACCES");
    }
    this.#exports.add(found);
    if (found.tree.inOrder) this.#isOrdered = true;
    if (found.tree.needsEventLoop) this.#needsLoop = true;
    return found;
  }

  /** A signal for the request being carried out: aborted when it is flushed. */
  signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /** Says that the request being carried out answers by promises of its own. */
  needLoop(): void {
    this.#needsLoop = true;
  }

  /** User of a Tattach, whose locks belong to this session. */
  identity(uid: number, uname: string): Identity {
    return { uid, uname, session: this };
  }

  /** Ends the waiting of requests that hold a fid which is being clunked. */
  interrupt(fid: Fid): void {
    for (const entry of this.#inflight.values()) {
      if (entry.fids.includes(fid)) entry.controller?.abort();
    }
  }

  /** Ends the waiting of locks: their clients are told that they are blocked, and ask again. */
  quiesce(): void {
    for (const { controller } of this.#inflight.values()) controller?.abort(BLOCKED);
  }

  /** Takes a T-message from the transport. Never throws. */
  receive(exchange: Exchange): void {
    this.counters.bytesIn += exchange.size;
    const type = exchange.wire.bytes[exchange.start + 4] ?? 0;
    if ((this.#isResetting || this.#mustFinishInOrder > 0) && type !== TYPE.Tflush) {
      exchange.defer(true);
      this.#waiting.push(exchange);
      return;
    }
    this.#begin(exchange, type);
  }

  /** The peer is gone: aborts what waits, clunks every fid, drops every lock. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.counters.sessions--;
    this.#abandon();
    for (const exchange of this.#waiting.splice(0)) exchange.drop();
    this.#clunkAll();
    this.#endLocks();
  }

  #clunkAll(): void {
    const { size } = this.fids;
    this.fids.clear();
    if (size > 0) this.#environment.released(size);
  }

  #endLocks(): void {
    for (const { tree } of this.#exports) tree.endSession(this);
    this.#exports.clear();
  }

  /** No request under way has a receiver any more. */
  #abandon(): void {
    for (const entry of this.#inflight.values()) {
      entry.isDiscarded = true;
      entry.controller?.abort();
    }
  }

  /** Carries out a T-message. */
  #begin(exchange: Exchange, type: number): void {
    const { wire, start, end } = exchange;
    const tag = wire.view.getUint16(start + 5, true);
    this.counters.requests[type] = (this.counters.requests[type] ?? 0) + 1;
    if (this.#inflight.has(tag) && !(type === TYPE.Tversion && tag === NOTAG)) {
      // Two requests of one tag: no answer can be told from the other any more.
      exchange.drop();
      this.isOver = true;
      this.#connection.abort();
      return;
    }
    this.#touched.length = 0;
    this.#controller = null;
    this.#isOrdered = false;
    this.#needsLoop = false;
    let answer: Answer<RMessage | number>;
    try {
      if (type === TYPE.Twrite && this.#dialect !== null) {
        if (this.#environment.disabled.has(type)) throw errno("EOPNOTSUPP");
        answer = write(this, exchange);
      } else {
        const message = tryDecode(wire, start, end, this.#dialect ?? "9P2000.L");
        if (message === null) throw this.#undecodable(type);
        if (message.kind === "Tversion") {
          this.#version(exchange, message);
          return;
        }
        if (message.kind === "Tflush" && this.#dialect !== null) {
          this.#flush(exchange, tag, message.oldtag);
          return;
        }
        if (this.#dialect === null) throw errno("EPROTO");
        const handler = HANDLERS[type] as Handler<TMessage> | undefined;
        if (handler === undefined || this.#environment.disabled.has(type)) {
          throw errno("EOPNOTSUPP");
        }
        answer = handler(this, message as TMessage, exchange);
      }
    } catch (error) {
      this.#fail(exchange, type, tag, error);
      return;
    }
    if (answer instanceof Promise) this.#wait(exchange, type, tag, answer);
    else this.#reply(exchange, type, tag, answer);
  }

  /** Why a frame of a type is no message of this dialect. */
  #undecodable(type: number): Errno {
    const kind = kindOf(type);
    if (kind === undefined || !kind.startsWith("T")) return errno("EOPNOTSUPP");
    if (this.#dialect !== null && !hasMessage(this.#dialect, kind)) return errno("EOPNOTSUPP");
    this.counters.malformed++;
    return errno("EPROTO");
  }

  #wait(exchange: Exchange, type: number, tag: number, answer: Promise<RMessage | number>): void {
    exchange.defer(false);
    const entry: Inflight = {
      tag,
      type,
      exchange,
      fids: this.#touched.slice(),
      controller: this.#controller,
      needsEventLoop: this.#needsLoop,
      isFlushed: false,
      isDiscarded: this.#isClosed,
      then: [],
    };
    const isOrdered = this.#isOrdered;
    for (const fid of entry.fids) fid.hold();
    this.#inflight.set(tag, entry);
    this.counters.inflight++;
    if (entry.needsEventLoop) this.#eventLoopNeeds++;
    if (isOrdered) this.#mustFinishInOrder++;
    const end = (finish: () => void) => {
      this.#inflight.delete(tag);
      this.counters.inflight--;
      if (entry.needsEventLoop) this.#eventLoopNeeds--;
      if (isOrdered) this.#mustFinishInOrder--;
      for (const fid of entry.fids) fid.unhold();
      if (entry.isDiscarded) {
        exchange.drop();
      } else {
        try {
          finish();
        } catch (error) {
          // There is no memory for the reply. Nobody else must suffer from that.
          this.#environment.report(error, kindOf(type) ?? `message type ${type}`);
          exchange.drop();
          this.#connection.abort();
        }
      }
      for (const next of entry.then) next();
      this.#continue();
    };
    answer.then(
      (value) => end(() => this.#reply(exchange, type, tag, value)),
      (error) =>
        end(() => {
          if (entry.isFlushed && error === errno("EINTR")) exchange.drop();
          else this.#fail(exchange, type, tag, error);
        }),
    );
  }

  /** Carries out what has waited its turn. */
  #continue(): void {
    if (this.#isClosed) return;
    if (this.#isResetting && this.#inflight.size > 0) return;
    while (this.#waiting.length > 0 && !this.#isResetting && this.#mustFinishInOrder === 0) {
      const exchange = this.#waiting.shift() as Exchange;
      this.#begin(exchange, exchange.wire.bytes[exchange.start + 4] ?? 0);
      if (this.#isClosed || this.isOver) return;
    }
    if (!this.isFull) this.#connection.resume();
  }

  #reply(exchange: Exchange, type: number, tag: number, answer: RMessage | number): void {
    if (typeof answer === "number") {
      this.counters.bytesOut += answer;
      exchange.send(answer);
      return;
    }
    const size = sizeOf(answer, this.dialect);
    if (size > exchange.room) {
      this.#fail(exchange, type, tag, errno("EMSGSIZE"));
      return;
    }
    encodeInto(answer, exchange.reply, exchange.replyAt, this.dialect);
    this.counters.bytesOut += size;
    exchange.send(size);
  }

  #fail(exchange: Exchange, type: number, tag: number, error: unknown): void {
    let code: number;
    if (error instanceof Errno) {
      code = error.code;
    } else {
      this.#environment.report(error, kindOf(type) ?? `message type ${type}`);
      code = errno("EIO").code;
    }
    this.counters.fail(type, code);
    if (exchange.room < R_LERROR_SIZE) {
      exchange.drop();
      return;
    }
    const dialect = this.#dialect ?? "9P2000.L";
    let answer: RMessage = { kind: "Rlerror", tag, ecode: code };
    if (dialect !== "9P2000.L") {
      answer = { kind: "Rerror", tag, ename: errnoMessage(code), errno: code };
    }
    const size = encodeInto(answer, exchange.reply, exchange.replyAt, dialect) - exchange.replyAt;
    this.counters.bytesOut += size;
    exchange.send(size);
  }

  /** Agrees on a dialect and an msize, and begins anew: whatever was, is over. */
  #version(exchange: Exchange, message: Tversion): void {
    if (this.#inflight.size > 0) {
      // What is under way still uses fids and memory: it has to end first, without an answer.
      this.#isResetting = true;
      this.#abandon();
      for (const waiting of this.#waiting.splice(0)) waiting.drop();
      exchange.defer(true);
      const last = [...this.#inflight.values()];
      let left = last.length;
      for (const entry of last) {
        entry.then.push(() => {
          if (--left > 0) return;
          this.#isResetting = false;
          if (this.#isClosed) exchange.drop();
          else this.#agree(exchange, message);
        });
      }
      return;
    }
    this.#agree(exchange, message);
  }

  #agree(exchange: Exchange, message: Tversion): void {
    this.#clunkAll();
    this.#endLocks();
    this.#dialect = null;
    const dialect = negotiate(message.version);
    if (message.msize < MIN_MSIZE) {
      if (dialect !== "unknown") this.#dialect = dialect;
      this.#fail(exchange, TYPE.Tversion, message.tag, errno("EMSGSIZE"));
      this.#dialect = null;
      this.msize = FIRST_MSIZE;
      return;
    }
    const msize = Math.min(message.msize, this.limits.msize);
    this.msize = dialect === "unknown" ? FIRST_MSIZE : msize;
    this.#dialect = dialect === "unknown" ? null : dialect;
    this.#reply(exchange, TYPE.Tversion, message.tag, {
      kind: "Rversion",
      tag: message.tag,
      msize,
      version: dialect,
    });
  }

  /** Answers when the flushed request has ended, if it has not yet. */
  #flush(exchange: Exchange, tag: number, oldtag: number): void {
    const answer = () => {
      this.#reply(exchange, TYPE.Tflush, tag, { kind: "Rflush", tag });
    };
    const at = this.#waiting.findIndex((waiting) =>
      waiting.wire.view.getUint16(waiting.start + 5, true) === oldtag
    );
    if (at >= 0) {
      // It has not begun: it never will.
      this.#waiting.splice(at, 1)[0]?.drop();
      answer();
      return;
    }
    const target = this.#inflight.get(oldtag);
    if (target === undefined || oldtag === tag) {
      answer();
      return;
    }
    target.isFlushed = true;
    // The Tflush is itself a request under way, which a later Tflush may name.
    exchange.defer(false);
    const entry: Inflight = {
      tag,
      type: TYPE.Tflush,
      exchange,
      fids: [],
      controller: null,
      needsEventLoop: false,
      isFlushed: false,
      isDiscarded: false,
      then: [],
    };
    this.#inflight.set(tag, entry);
    this.counters.inflight++;
    target.then.push(() => {
      this.#inflight.delete(tag);
      this.counters.inflight--;
      if (entry.isDiscarded || this.#isClosed) exchange.drop();
      else answer();
      for (const next of entry.then) next();
    });
    target.controller?.abort();
  }
}
