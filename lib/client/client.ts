/**
 * The requests and replies of one connection, as promises.
 *
 * @module
 */
import {
  decode,
  type Dialect,
  DIALECTS,
  encode,
  errno,
  HEADER_SIZE,
  IOHDRSZ,
  NOFID,
  NOTAG,
  ProtocolError,
  REPLY,
  type RMessage,
  type Rversion,
  type TKind,
  type TMessage,
} from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import {
  ConversationError,
  type ConversationFault,
  DisconnectedError,
  RemoteError,
} from "./errors.ts";
import { Fid } from "./fid.ts";

/** Tags that requests may use at once; the rest stays free for the Tflush of each. */
const MAX_REQUESTS = 32768;
/** Largest message asked for unless told otherwise: what Linux asks for. */
const DEFAULT_MSIZE = 131072 + 24;

/** Names of T-messages that can be requested. */
export type RequestKind = Exclude<TKind, "Tversion" | "Tflush">;

/** The T-message of a kind without its tag, which the client allots. */
export type RequestOf<K extends RequestKind> = K extends unknown
  ? Omit<Extract<TMessage, { readonly kind: K }>, "tag">
  : never;

/** The R-message that answers a kind of T-message. */
export type ReplyTo<K extends RequestKind> = Extract<
  RMessage,
  { readonly kind: K extends `T${infer Name}` ? `R${Name}` : never }
>;

/** What the two sides are to agree on. */
export interface ConnectOptions {
  /** Largest message in bytes, header included; the server may lower it. 131096 if not given. */
  readonly msize?: number;
  /** Dialect; the server may answer with an older one. 9P2000.L if not given. */
  readonly version?: Dialect;
  /** Gives up waiting for the answer; the connection is closed then. */
  readonly signal?: AbortSignal;
}

/** Options of one request. */
export interface RequestOptions {
  /**
   * Sends a Tflush when aborted. The request is rejected with the signal's reason once the server
   * has confirmed that no answer will come; an answer that was faster counts as usual, because the
   * server has done then what was asked.
   *
   * @see flush(5)
   */
  readonly signal?: AbortSignal | undefined;
}

/** Who attaches to what. */
export interface AttachOptions {
  /** Name of the user; empty if not given. */
  readonly uname?: string;
  /** Name of the tree; empty if not given. */
  readonly aname?: string;
  /** Number of the user, 4294967295 (none) if not given. Not on the wire in 9P2000. */
  readonly n_uname?: number;
}

interface Pending {
  readonly kind: string;
  /** Takes the frame of the reply. Throws if the reply breaks a rule. */
  readonly take: (frame: Uint8Array) => void;
  readonly reject: (reason: unknown) => void;
  /** A Tflush for it is on its way: the tag stays taken until Rflush. */
  isFlushed: boolean;
  isAnswered: boolean;
}

/**
 * A 9P client: any number of requests at once over one connection.
 *
 * Owns its channel. Disposing closes the connection, which ends every request and fid.
 *
 * @example Read a file
 * ```ts
 * import assert from "node:assert/strict";
 * import { Client } from "@virtfs/virtfs/client";
 * import { MemoryTree } from "@virtfs/virtfs/fs";
 * import { Server } from "@virtfs/virtfs/server";
 * import { connectInMemory } from "@virtfs/virtfs/transport";
 *
 * const tree = new MemoryTree();
 * tree.addFile("etc/motd", "hello");
 * const server = new Server({ exports: [{ name: "", tree, readOnly: true }] });
 *
 * await using client = await Client.connect(connectInMemory(server.accept));
 * await using root = await client.attach({ n_uname: 0 });
 * await using file = await root.walk("etc/motd");
 * await file.open();
 * assert.equal(new TextDecoder().decode(await file.readAll()), "hello");
 * ```
 */
export class Client implements AsyncDisposable {
  /** Dialect that the two sides agreed on. */
  readonly dialect: Dialect;
  /** Largest message either side may send, in bytes. */
  readonly msize: number;
  readonly #session: Session;

  private constructor(session: Session, dialect: Dialect, msize: number) {
    this.#session = session;
    this.dialect = dialect;
    this.msize = msize;
  }

  /**
   * Agrees with a server on dialect and message size.
   *
   * @param channel Owned from here on, also if this fails.
   * @throws {ProtocolError} If the server's answer is no message.
   * @throws {ConversationError} If the answer breaks another rule.
   * @throws {RemoteError} If the server does not speak the dialect, or refuses in words.
   * @throws {Errno} If the server refuses with a number.
   * @throws {DisconnectedError} If the connection ends first.
   */
  static async connect(channel: Channel, options: ConnectOptions = {}): Promise<Client> {
    const version = options.version ?? "9P2000.L";
    const session = new Session(channel, options.msize ?? DEFAULT_MSIZE, version);
    try {
      const reply = await session.version(options.signal);
      const dialect = DIALECTS.find((dialect) => dialect === reply.version);
      if (reply.version === "unknown") {
        throw new RemoteError(`The server does not speak ${version}`);
      }
      if (
        dialect === undefined || DIALECTS.indexOf(dialect) > DIALECTS.indexOf(version) ||
        reply.msize > session.msize
      ) {
        throw new ConversationError("bad-version", "Rversion");
      }
      session.dialect = dialect;
      session.msize = reply.msize;
      return new Client(session, dialect, reply.msize);
    } catch (error) {
      await session.close(error);
      throw error;
    }
  }

  /** Settles when the connection has ended: with the error if there was one, else with null. */
  get ended(): Promise<unknown> {
    return this.#session.ended;
  }

  /** Whether the connection has ended, or is about to. */
  get hasEnded(): boolean {
    return this.#session.hasEnded;
  }

  /** Largest payload of a Tread, Twrite or Treaddir that fits a message, in bytes. */
  get maxPayload(): number {
    return this.msize - IOHDRSZ;
  }

  /**
   * Sends a T-message and waits for its R-message.
   *
   * The message is on its way when this returns: requests leave in the order of the calls. Byte
   * fields of the reply are views of a frame that nobody else uses.
   *
   * @throws {Errno} If the server refuses with an error number.
   * @throws {RemoteError} If the server refuses in words only (9P2000).
   * @throws {DisconnectedError} If the connection ends first.
   * @throws {ProtocolError} If the answer is no message; this ends the connection.
   * @throws {ConversationError} If the answer breaks another rule; this ends the connection.
   * @throws {RangeError} If the message is longer than msize.
   */
  request<K extends RequestKind>(
    message: RequestOf<K> & { readonly kind: K },
    options: RequestOptions = {},
  ): Promise<ReplyTo<K>> {
    return this.#session.request(message, options.signal) as Promise<ReplyTo<K>>;
  }

  /**
   * Sends a frame as it is, apart from its tag, and gives the frame of the answer as it is: for
   * messages that this library does not know, and for errors that are to be looked at.
   *
   * @param frame A whole T-message, `size[4]` included; its tag is overwritten.
   * @throws {RangeError} If the frame is shorter than 7 bytes or longer than msize.
   * @throws {DisconnectedError} If the connection ends first.
   */
  raw(frame: Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    return this.#session.raw(frame, options.signal);
  }

  /**
   * Ends the connection because the server broke a rule, and gives the error to throw.
   *
   * @param what What it sent, for people.
   */
  fail(fault: ConversationFault, what: string): ConversationError {
    return this.#session.fail(fault, what);
  }

  /** A fid number that is not in use; give it back with {@linkcode Client.releaseFid}. */
  takeFid(): number {
    return this.#session.takeFid();
  }

  /** Gives a number back once the server does not know it any more. */
  releaseFid(number: number): void {
    this.#session.releaseFid(number);
  }

  /** Attaches to a tree: the handle of its root. */
  async attach(who: AttachOptions = {}, options: RequestOptions = {}): Promise<Fid> {
    const fid = this.takeFid();
    try {
      const { qid } = await this.request({
        kind: "Tattach",
        fid,
        afid: NOFID,
        uname: who.uname ?? "",
        aname: who.aname ?? "",
        n_uname: who.n_uname ?? NOFID,
      }, options);
      return new Fid(this, fid, qid);
    } catch (error) {
      this.releaseFid(fid);
      throw error;
    }
  }

  /** Closes the connection and waits until that is done. */
  async close(): Promise<void> {
    await this.#session.close(null);
  }

  /** As {@linkcode Client.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Tags, fids and what is outstanding; knows nothing of files. */
class Session {
  msize: number;
  dialect: Dialect;
  readonly ended: Promise<unknown>;
  readonly #channel: Channel;
  readonly #pending = new Map<number, Pending>();
  #requests = 0;
  #waiting: (() => void)[] = [];
  #freeTags: number[] = [];
  #nextTag = 0;
  #freeFids: number[] = [];
  #nextFid = 0;
  /** Undefined while the connection lives. */
  #end: { readonly error: unknown } | undefined;

  constructor(channel: Channel, msize: number, dialect: Dialect) {
    this.#channel = channel;
    this.msize = msize;
    this.dialect = dialect;
    this.ended = this.#receive();
  }

  version(signal?: AbortSignal): Promise<Rversion> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      // A Tversion cannot be flushed: giving up means hanging up.
      const abort = (): void => this.#stop(signal?.reason);
      const settled = (): void => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort, { once: true });
      const message: TMessage = {
        kind: "Tversion",
        tag: NOTAG,
        msize: this.msize,
        version: this.dialect,
      };
      const frame = encode(message, this.dialect);
      this.#send(frame, NOTAG, {
        kind: "Tversion",
        take: (reply) => {
          settled();
          this.#settle("Tversion", reply, resolve as (message: RMessage) => void, reject);
        },
        reject: (reason) => {
          settled();
          reject(signal?.aborted === true ? signal.reason : reason);
        },
        isFlushed: false,
        isAnswered: false,
      });
    });
  }

  request(message: { readonly kind: TKind }, signal: AbortSignal | undefined): Promise<RMessage> {
    return new Promise((resolve, reject) => {
      // Encoded with tag 0; the real one is written into the frame when it is allotted.
      const frame = encode({ ...message, tag: 0 } as TMessage, this.dialect);
      const { kind } = message;
      const take = (reply: Uint8Array): void => this.#settle(kind, reply, resolve, reject);
      this.#submit(frame, kind, take, reject, signal);
    });
  }

  raw(frame: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (frame.length < HEADER_SIZE) {
        throw new RangeError(`Cannot send a frame of ${frame.length} bytes: the least is 7`);
      }
      this.#submit(frame.slice(), `type ${frame[4]}`, resolve, reject, signal);
    });
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  takeFid(): number {
    return this.#freeFids.pop() ?? this.#nextFid++;
  }

  releaseFid(number: number): void {
    this.#freeFids.push(number);
  }

  fail(fault: ConversationFault, what: string): ConversationError {
    const error = new ConversationError(fault, what);
    this.#stop(error);
    return error;
  }

  async close(error: unknown): Promise<void> {
    this.#stop(error);
    await this.ended;
  }

  #submit(
    frame: Uint8Array,
    kind: string,
    take: (reply: Uint8Array) => void,
    reject: (reason: unknown) => void,
    signal: AbortSignal | undefined,
  ): void {
    if (frame.length > this.msize) {
      const what = `${frame.length} bytes are more than msize, ${this.msize}`;
      throw new RangeError(`Cannot send ${kind}: ${what}`);
    }
    if (signal === undefined) {
      const pending = { kind, take, reject, isFlushed: false, isAnswered: false };
      this.#whenTagIsFree(() => this.#send(frame, this.#takeTag(), pending));
      return;
    }
    signal.throwIfAborted();
    let tag = NOTAG;
    const abort = (): void => {
      if (tag === NOTAG) reject(signal.reason);
      else this.#flush(tag, pending, signal);
    };
    const pending: Pending = {
      kind,
      take: (reply) => {
        signal.removeEventListener("abort", abort);
        take(reply);
      },
      reject: (reason) => {
        signal.removeEventListener("abort", abort);
        reject(reason);
      },
      isFlushed: false,
      isAnswered: false,
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#whenTagIsFree(() => {
      if (signal.aborted) return;
      tag = this.#takeTag();
      this.#send(frame, tag, pending);
    });
  }

  #flush(oldtag: number, pending: Pending, signal: AbortSignal): void {
    if (this.#end !== undefined || pending.isAnswered) return;
    pending.isFlushed = true;
    const flushed = (): void => {
      if (!pending.isAnswered) {
        pending.isAnswered = true;
        pending.reject(signal.reason);
      }
      this.#releaseTag(oldtag);
    };
    const frame = encode({ kind: "Tflush", tag: 0, oldtag }, this.dialect);
    this.#send(frame, this.#takeTag(), {
      kind: "Tflush",
      take: (reply) => this.#settle("Tflush", reply, flushed, flushed),
      reject: () => {},
      isFlushed: false,
      isAnswered: false,
    });
  }

  #whenTagIsFree(send: () => void): void {
    if (this.#end !== undefined || this.#requests < MAX_REQUESTS) send();
    else this.#waiting.push(send);
  }

  #takeTag(): number {
    this.#requests++;
    return this.#freeTags.pop() ?? this.#nextTag++;
  }

  #releaseTag(tag: number): void {
    this.#pending.delete(tag);
    if (tag === NOTAG) return;
    this.#requests--;
    this.#freeTags.push(tag);
    if (this.#requests < MAX_REQUESTS) this.#waiting.shift()?.();
  }

  #send(frame: Uint8Array, tag: number, pending: Pending): void {
    if (this.#end !== undefined) {
      pending.reject(this.#reasonFor(pending.kind));
      return;
    }
    frame[5] = tag & 0xff;
    frame[6] = tag >> 8;
    this.#pending.set(tag, pending);
    try {
      const sent = this.#channel.send(frame);
      if (sent !== undefined) sent.catch((error: unknown) => this.#stop(error));
    } catch (error) {
      this.#stop(error);
    }
  }

  /** Decodes the reply of a request and settles its promise. */
  #settle(
    kind: TKind,
    frame: Uint8Array,
    resolve: (message: RMessage) => void,
    reject: (reason: unknown) => void,
  ): void {
    const reply = decode(frame, this.dialect);
    if (reply.kind === "Rlerror") {
      reject(errno(reply.ecode));
    } else if (reply.kind === "Rerror") {
      const code = this.dialect === "9P2000" ? 0 : reply.errno;
      reject(code === 0 ? new RemoteError(reply.ename) : errno(code));
    } else if (reply.kind === REPLY[kind]) {
      resolve(reply as RMessage);
    } else {
      throw new ConversationError("wrong-reply", `${reply.kind} to ${kind}`);
    }
  }

  async #receive(): Promise<unknown> {
    try {
      for await (const frame of this.#channel.frames) {
        if (this.#end !== undefined) break;
        this.#take(frame);
      }
      this.#stop(null);
    } catch (error) {
      this.#stop(error);
    }
    return this.#end?.error;
  }

  #take(frame: Uint8Array): void {
    if (frame.length < HEADER_SIZE) {
      throw new ConversationError("short-frame", `${frame.length} bytes`);
    }
    if (frame.length > this.msize) {
      throw new ConversationError("long-frame", `${frame.length} bytes`);
    }
    const tag = (frame[5] ?? 0) | (frame[6] ?? 0) << 8;
    const pending = this.#pending.get(tag);
    if (pending === undefined || pending.isAnswered) {
      throw new ConversationError("unknown-tag", `tag ${tag}`);
    }
    pending.take(frame);
    pending.isAnswered = true;
    if (!pending.isFlushed) this.#releaseTag(tag);
  }

  #stop(error: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#channel.close();
    for (const pending of this.#pending.values()) {
      if (!pending.isAnswered) pending.reject(this.#reasonFor(pending.kind));
    }
    this.#pending.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const send of waiting) send();
  }

  /** A broken rule is told as it is; a broken line says what it kept from being done. */
  #reasonFor(kind: string): unknown {
    const error = this.#end?.error;
    if (error instanceof ProtocolError || error instanceof ConversationError) return error;
    return new DisconnectedError(`finish ${kind}`, error ?? undefined);
  }
}
