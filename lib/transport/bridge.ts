/**
 * Passes requests on to another 9P server and its replies back: a device for a server that has only
 * sockets.
 *
 * Frames are not decoded beyond what the way back needs. The payload of a Twrite goes from where it
 * lies (guest pages, a receive buffer) to the socket in one `sendmsg`. Of an Rread, what has not
 * come together with its head is received straight into the place of the reply; everything else is
 * received into a buffer and copied from there once.
 *
 * @module
 */
import {
  close,
  EAGAIN,
  EPOLLIN,
  EPOLLOUT,
  IoVectors,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  recvmsg,
  sendmsg,
} from "../linux/mod.ts";
import {
  type Dialect,
  encodeInto,
  errno,
  errnoMessage,
  HEADER_SIZE,
  kindOf,
  LOCK_BLOCKED,
  negotiate,
  type RMessage,
  RREAD_HEADER,
  type Segments,
  sizeOf,
  TREAD_SIZE,
  tryDecode,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import { type Buffer, BufferPool } from "./buffers.ts";
import { Connecting, formatDialAddress } from "./connecting.ts";
import type { DialAddress } from "./dial.ts";
import type { Accept, Connection, Exchange, Receiver } from "./exchange.ts";
import type { Reactor } from "./reactor.ts";

/** Options of a {@linkcode Bridge}. */
export interface BridgeOptions {
  /** The loop that the sockets live on. */
  readonly reactor: Reactor;
  /** The other server. */
  readonly to: DialAddress;
  /** Largest message in bytes; clients and the other server agree on this or less. */
  readonly msize: number;
  /** Requests of one session that may be under way at once; 256 if not given. */
  readonly maxInflight?: number;
  /** Is told when the other server cannot be reached or used any more, in one line. */
  readonly warn?: (message: string) => void;
}

/** What went over all sessions of a bridge. */
export class BridgeCounts {
  /** Requests answered, by number of the T-message. */
  readonly requests: Float64Array = new Float64Array(256);
  /** Of them, answered with an error. */
  readonly failures: Float64Array = new Float64Array(256);
  /** Errors answered, by Linux errno. */
  readonly errnos: Map<number, number> = new Map();
  /** Sessions alive. */
  sessions = 0;
  /** Requests under way. */
  inflight = 0;
  /** Bytes of T-messages. */
  bytesIn = 0;
  /** Bytes of R-messages. */
  bytesOut = 0;
  /** Payload bytes of Rread. */
  bytesRead = 0;
  /** Payload bytes of Twrite. */
  bytesWritten = 0;

  /** Counts a reply that is an error; a code below 0 is not known. */
  fail(type: number, code: number): void {
    this.failures[type] = (this.failures[type] ?? 0) + 1;
    if (code >= 0) this.errnos.set(code, (this.errnos.get(code) ?? 0) + 1);
  }
}

/** Msize of a connection before its first Tversion, in bytes: enough for that one message. */
const FIRST_MSIZE = 8192;
/** Bytes of an Rlerror. */
const R_LERROR_SIZE = 11;
/** Bytes of any message that a bridge makes itself. */
const OWN_BYTES = 512;
const DEFAULT_INFLIGHT = 256;
/** Reads of at least so many bytes are received into their place. */
const LONG_READ = 16_384;
/** Bytes taken at once while the payload of a long read may follow. */
const HEAD_BYTES = 2048;
/** Calls to receive before others on the loop get their turn. */
const ROUNDS = 16;
/** Milliseconds for the other server to answer what is under way while a machine is to stand still. */
const QUIESCE_MS = 5000;
/** Tags for what the bridge itself asks, downwards; clients count upwards. */
const LAST_OWN_TAG = 0xfffe;

/** What the sessions of a bridge share. */
interface Environment {
  readonly options: BridgeOptions;
  readonly counts: BridgeCounts;
  readonly pool: BufferPool;
  readonly vectors: IoVectors;
  /** Where replies of our own are encoded. */
  readonly own: Wire;
  /** What was last told of the other server; empty while it is well. */
  complaint: string;
}

/**
 * Makes sessions that pass everything on, each over a socket of its own.
 *
 * When the other server goes away, requests under way answer EIO, and so does every later one: its
 * fids are gone. The next Tversion, of a client that mounts again, connects anew.
 */
export class Bridge implements Disposable {
  /** What went over all sessions. */
  readonly counts: BridgeCounts = new BridgeCounts();
  readonly #environment: Environment;

  /** Makes a bridge. Nothing is connected before the first request. */
  constructor(options: BridgeOptions) {
    this.#environment = {
      options,
      counts: this.counts,
      pool: new BufferPool(2 * Math.max(options.msize, FIRST_MSIZE)),
      vectors: new IoVectors(),
      own: new Wire(new Uint8Array(OWN_BYTES)),
      complaint: "",
    };
  }

  /** Begins a session: the `Accept` of any transport. */
  readonly accept: Accept = (connection) => new BridgeSession(this.#environment, connection);

  /** Gives the buffers back. No session may be left. */
  [Symbol.dispose](): void {
    this.#environment.pool[Symbol.dispose]();
  }
}

/** A request whose reply has not come. */
interface Pending {
  /** Where it came from; null for what the bridge itself asks. */
  readonly exchange: Exchange | null;
  readonly type: number;
  /** The request that a Tflush is for. */
  readonly target: Pending | undefined;
  readonly tag: number;
  /** Whether the payload of its Rread may be received into its place. */
  readonly isLong: boolean;
}

/** One client and its socket at the other server. */
class BridgeSession implements Receiver {
  msize = FIRST_MSIZE;
  isOver = false;
  readonly #environment: Environment;
  readonly #connection: Connection;
  readonly #pending = new Map<number, Pending>();
  #dialect: Dialect = "9P2000.L";
  /** What the client has asked for in the Tversion under way. */
  #wantedMsize = FIRST_MSIZE;
  #connecting: Connecting | null = null;
  #fd = -1;
  #events = 0;
  /** The socket was lost: nothing but a new Tversion can succeed. */
  #isLost = false;
  #isClosed = false;
  #wasFull = false;

  // The request being sent: head in #output, payload where it lies.
  #output: Buffer | null = null;
  #sending: Pending | null = null;
  #headSize = 0;
  #payload: Segments | null = null;
  #sendSize = 0;
  #sent = 0;
  /** Tags of locks to be given up, once the socket takes it. */
  readonly #toFlush: number[] = [];

  // What has been received and not handed on.
  #input: Buffer | null = null;
  #start = 0;
  #end = 0;
  #longReads = 0;
  /** The Rread being received into its place. */
  #direct: Pending | null = null;
  #directOut: Segments | null = null;
  #directSize = 0;
  #directAt = 0;
  #stopQuiesce: () => void = () => {};

  constructor(environment: Environment, connection: Connection) {
    this.#environment = environment;
    this.#connection = connection;
    environment.counts.sessions++;
  }

  get needsEventLoop(): boolean {
    return this.#connecting?.needsEventLoop ?? false;
  }

  get isFull(): boolean {
    const { maxInflight = DEFAULT_INFLIGHT } = this.#environment.options;
    if (this.#sending === null && this.#pending.size < maxInflight) return false;
    this.#wasFull = true;
    return true;
  }

  receive(exchange: Exchange): void {
    const { counts } = this.#environment;
    const { wire, start, size } = exchange;
    const type = wire.bytes[start + 4] as number;
    const tag = wire.view.getUint16(start + 5, true);
    counts.bytesIn += size;
    counts.requests[type] = (counts.requests[type] as number) + 1;
    if (this.#pending.has(tag) || this.#sending !== null) {
      // Two requests of one tag: no reply can be told from the other any more.
      exchange.drop();
      this.isOver = true;
      this.#connection.abort();
      return;
    }
    if (type === TYPE.Tversion) this.#noteVersion(exchange);
    if (this.#isLost) {
      if (type !== TYPE.Tversion) {
        this.#answerLost(exchange, type, tag);
        return;
      }
      this.#isLost = false;
    }
    const target = type === TYPE.Tflush && size === HEADER_SIZE + 2
      ? this.#pending.get(wire.view.getUint16(start + HEADER_SIZE, true))
      : undefined;
    const isLong = this.#take(exchange, type);
    exchange.defer(false);
    this.#sending = { exchange, type, target, tag, isLong };
    this.#add(this.#sending);
    if (this.#fd >= 0) this.#send();
    else if (this.#connecting === null) this.#connect();
  }

  quiesce(): void {
    for (const { type, tag } of this.#pending.values()) {
      // The one request that waits for other clients.
      if (type === TYPE.Tlock) this.#toFlush.push(tag);
    }
    if (this.#fd >= 0) this.#sendFlushes();
    this.#stopQuiesce();
    this.#stopQuiesce = this.#environment.options.reactor.after(QUIESCE_MS, () => {
      if (this.#pending.size > 0) this.#lose("it does not answer, and the machine has to stop");
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#environment.counts.sessions--;
    this.#release();
    for (const entry of this.#forgetAll()) entry.exchange?.drop();
  }

  /** Copies the head of a request, and notes where its payload is. Returns whether it is a long read. */
  #take(exchange: Exchange, type: number): boolean {
    const { wire, start, size, room } = exchange;
    const output = this.#output ??= this.#environment.pool.take();
    const isWrite = type === TYPE.Twrite && size > TWRITE_HEADER;
    this.#headSize = isWrite ? TWRITE_HEADER : Math.min(size, exchange.end - start);
    this.#sendSize = size;
    this.#sent = 0;
    this.#payload = null;
    output.bytes.set(wire.bytes.subarray(start, start + this.#headSize));
    const { view } = output.wire;
    if (isWrite) {
      const payload = exchange.payloadIn(TWRITE_HEADER, size - TWRITE_HEADER);
      this.#environment.counts.bytesWritten += payload.length;
      if (hasAddresses(payload)) this.#payload = payload;
      else {
        payload.copyTo(output.bytes.subarray(TWRITE_HEADER, size));
        this.#headSize = size;
      }
    } else if ((type === TYPE.Tread || type === TYPE.Treaddir) && size === TREAD_SIZE) {
      // No more than the client has given room for.
      const count = Math.min(view.getUint32(19, true), room - RREAD_HEADER);
      view.setUint32(19, count, true);
      // Asked for now, since a transport keeps the place of a reply only from here on.
      return type === TYPE.Tread && count >= LONG_READ &&
        hasAddresses(exchange.payloadOut(RREAD_HEADER, count));
    } else if (type === TYPE.Tversion && size >= 13) {
      view.setUint32(7, this.#wantedMsize, true);
    }
    return false;
  }

  /** A session begins: how its errors look, and how large its messages may be. */
  #noteVersion({ wire, start, end }: Exchange): void {
    const message = tryDecode(wire, start, end, "9P2000.L");
    if (message?.kind !== "Tversion") return;
    const dialect = negotiate(message.version);
    this.#dialect = dialect === "unknown" ? "9P2000.L" : dialect;
    this.#wantedMsize = Math.min(message.msize, this.#environment.options.msize);
  }

  #add(entry: Pending): void {
    this.#pending.set(entry.tag, entry);
    this.#environment.counts.inflight++;
    if (entry.isLong) this.#longReads++;
  }

  #remove(entry: Pending): void {
    this.#pending.delete(entry.tag);
    this.#environment.counts.inflight--;
    if (entry.isLong) this.#longReads--;
    if (this.#pending.size === 0) this.#stopQuiesce();
  }

  #forgetAll(): Pending[] {
    const entries = [...this.#pending.values()];
    for (const entry of entries) this.#remove(entry);
    return entries;
  }

  #connect(): void {
    const { reactor, to } = this.#environment.options;
    this.#connecting = new Connecting(reactor, to, (fd, why) => {
      this.#connecting = null;
      if (fd < 0) {
        this.#lose(why);
        return;
      }
      this.#fd = fd;
      this.#events = EPOLLIN;
      reactor.watch(fd, EPOLLIN, (events) => this.#ready(events));
      this.#send();
      this.#resume();
    });
    this.#connecting.start();
  }

  #ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#send();
    if ((events & ~EPOLLOUT) !== 0 && this.#fd >= 0) this.#receive();
    this.#resume();
  }

  #resume(): void {
    if (!this.#wasFull || this.isFull || this.#isClosed) return;
    this.#wasFull = false;
    this.#connection.resume();
  }

  /** Sends what is left of the request at hand. */
  #send(): void {
    const { vectors } = this.#environment;
    while (this.#sending !== null) {
      this.#fill(vectors);
      const sent = sendmsg(this.#fd, vectors, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent === -EAGAIN) break;
      if (sent < 0) {
        this.#lose(errnoMessage(-sent));
        return;
      }
      this.#sent += sent;
      if (this.#sent < this.#sendSize) continue;
      this.#sending = null;
      this.#payload = null;
      this.#sendFlushes();
      if (this.#fd < 0) return;
    }
    const events = this.#sending === null ? EPOLLIN : EPOLLIN | EPOLLOUT;
    if (events === this.#events) return;
    this.#events = events;
    this.#environment.options.reactor.rewatch(this.#fd, events);
  }

  #fill(vectors: IoVectors): void {
    const { address } = this.#output as Buffer;
    vectors.clear();
    if (this.#sent < this.#headSize) vectors.add(address + this.#sent, this.#headSize - this.#sent);
    if (this.#payload === null) return;
    addPieces(vectors, this.#payload, Math.max(0, this.#sent - this.#headSize), Infinity);
  }

  /** Asks the other server to give up what waits for other clients. */
  #sendFlushes(): void {
    while (this.#sending === null && this.#toFlush.length > 0) {
      const target = this.#pending.get(this.#toFlush.shift() as number);
      if (target === undefined) continue;
      let tag = LAST_OWN_TAG;
      while (this.#pending.has(tag)) tag--;
      const output = this.#output ??= this.#environment.pool.take();
      const message = { kind: "Tflush", tag, oldtag: target.tag } as const;
      this.#sendSize = this.#headSize = encodeInto(message, output.wire, 0, this.#dialect);
      this.#sent = 0;
      this.#payload = null;
      this.#sending = { exchange: null, type: TYPE.Tflush, target, tag, isLong: false };
      this.#add(this.#sending);
      this.#send();
    }
  }

  #receive(): void {
    const input = this.#input ??= this.#environment.pool.take();
    for (let round = 0; round < ROUNDS && this.#fd >= 0; round++) {
      if (this.#direct !== null) {
        if (!this.#receiveDirect()) return;
        continue;
      }
      const wanted = this.#room(input);
      const n = recv(this.#fd, input.address + this.#end, wanted, MSG_DONTWAIT);
      if (n === -EAGAIN) return;
      if (n <= 0) {
        this.#lose(n === 0 ? "it has hung up" : errnoMessage(-n));
        return;
      }
      this.#end += n;
      this.#process(input);
      // Less than asked for: there is nothing left.
      if (n < wanted && this.#direct === null) return;
    }
  }

  /** Makes room for the rest of a frame. Returns how much to receive. */
  #room(input: Buffer): number {
    const have = this.#end - this.#start;
    if (have === 0) this.#start = this.#end = 0;
    else if (this.#start + this.#environment.options.msize > input.bytes.length) {
      input.bytes.copyWithin(0, this.#start, this.#end);
      this.#start = 0;
      this.#end = have;
    }
    const room = input.bytes.length - this.#end;
    if (this.#longReads === 0) return room;
    const missing = have < 4 ? 0 : input.wire.view.getUint32(this.#start, true) - have;
    return Math.min(room, Math.max(HEAD_BYTES, missing));
  }

  /** Receives more of a payload into its place. Returns false if there is nothing left. */
  #receiveDirect(): boolean {
    const { vectors } = this.#environment;
    const entry = this.#direct as Pending;
    vectors.clear();
    const left = this.#directSize - this.#directAt;
    addPieces(vectors, this.#directOut as Segments, this.#directAt, left);
    const wanted = vectors.size;
    const n = recvmsg(this.#fd, vectors, MSG_DONTWAIT);
    if (n === -EAGAIN) return false;
    if (n <= 0) {
      this.#lose(n === 0 ? "it has hung up" : errnoMessage(-n));
      return false;
    }
    this.#directAt += n;
    if (this.#directAt === this.#directSize) {
      this.#direct = null;
      this.#directOut = null;
      this.#remove(entry);
      this.#sendReply(entry.exchange as Exchange, TYPE.Rread, this.#directSize);
    }
    return n === wanted;
  }

  /** Hands whole frames on, and begins to receive a long one into its place. */
  #process(input: Buffer): void {
    const { view, bytes } = input.wire;
    while (this.#end - this.#start >= HEADER_SIZE && this.#fd >= 0) {
      const at = this.#start;
      const have = this.#end - at;
      const size = view.getUint32(at, true);
      if (size < HEADER_SIZE || size > this.#environment.options.msize) {
        this.#lose(`it sent a frame of ${size} bytes`);
        return;
      }
      const type = bytes[at + 4] as number;
      const entry = this.#pending.get(view.getUint16(at + 5, true));
      if (entry === undefined || entry === this.#sending || !answers(type, entry.type)) {
        const tag = view.getUint16(at + 5, true);
        this.#lose(`it sent ${kindOf(type) ?? `type ${type}`} for tag ${tag} without being asked`);
        return;
      }
      if (type === TYPE.Rread) {
        if (have < RREAD_HEADER && have < size) return;
        if (size < RREAD_HEADER || view.getUint32(at + 7, true) !== size - RREAD_HEADER) {
          this.#lose(`it sent an Rread of ${size} bytes with another count`);
          return;
        }
      }
      if (have < size) {
        if (type === TYPE.Rread && entry.isLong && size <= (entry.exchange as Exchange).room) {
          this.#beginDirect(entry, bytes.subarray(at, this.#end), size);
        }
        return;
      }
      this.#start += size;
      this.#remove(entry);
      this.#deliver(entry, input, at, size, type);
    }
  }

  #beginDirect(entry: Pending, beginning: Uint8Array, size: number): void {
    this.#direct = entry;
    this.#directOut = (entry.exchange as Exchange).payloadOut(0, size);
    this.#directOut.copyFrom(beginning);
    this.#directAt = beginning.length;
    this.#directSize = size;
    this.#start = this.#end = 0;
  }

  /** A reply is there: does what goes with it, then hands it on. */
  #deliver(entry: Pending, input: Buffer, at: number, size: number, type: number): void {
    const { exchange } = entry;
    if (type === TYPE.Rversion && !this.#agree(entry, input, at, size)) return;
    if (type === TYPE.Rflush) this.#giveUp(entry);
    if (exchange === null) return;
    if (type === TYPE.Rlerror) {
      const code = size === R_LERROR_SIZE ? input.wire.view.getUint32(at + 7, true) : -1;
      this.#environment.counts.fail(entry.type, code);
    } else if (type === TYPE.Rerror) this.#environment.counts.fail(entry.type, -1);
    // Refused: whether a session is left is the server's business, and what it takes then as well.
    if (entry.type === TYPE.Tversion && type !== TYPE.Rversion) {
      this.msize = Math.max(this.msize, FIRST_MSIZE);
    }
    if (size > exchange.room) {
      this.#fail(exchange, entry.type, entry.tag, errno("EMSGSIZE").code);
      return;
    }
    exchange.payloadOut(0, size).copyFrom(input.bytes.subarray(at, at + size));
    this.#sendReply(exchange, type, size);
  }

  #sendReply(exchange: Exchange, type: number, size: number): void {
    const { counts } = this.#environment;
    counts.bytesOut += size;
    if (type === TYPE.Rread) counts.bytesRead += size - RREAD_HEADER;
    exchange.send(size);
  }

  /** A session has begun: what was asked before it gets no reply any more. */
  #agree(version: Pending, input: Buffer, at: number, size: number): boolean {
    const message = tryDecode(input.wire, at, at + size, "9P2000.L");
    const exchange = version.exchange as Exchange;
    if (message?.kind !== "Rversion" || message.msize > this.#wantedMsize) {
      this.#fail(exchange, version.type, version.tag, errno("EIO").code);
      this.#lose("it answered Tversion with what was not asked for");
      return false;
    }
    const dialect = negotiate(message.version);
    this.msize = dialect === "unknown" ? FIRST_MSIZE : message.msize;
    this.#dialect = dialect === "unknown" ? "9P2000.L" : dialect;
    for (const entry of this.#forgetAll()) entry.exchange?.drop();
    this.#environment.complaint = "";
    return true;
  }

  /** A Tflush is answered: the request that it was for will not be. */
  #giveUp({ target, exchange }: Pending): void {
    if (target === undefined || this.#pending.get(target.tag) !== target) return;
    this.#remove(target);
    if (exchange !== null) target.exchange?.drop();
    else if (target.exchange !== null) {
      // We gave it up, not the client: it is to ask again.
      const reply = { kind: "Rlock", tag: target.tag, status: LOCK_BLOCKED } as const;
      this.#answer(target.exchange, reply);
    }
  }

  #answer(exchange: Exchange, message: RMessage): void {
    const size = sizeOf(message, this.#dialect);
    if (size > exchange.room) {
      exchange.drop();
      return;
    }
    const { own, counts } = this.#environment;
    encodeInto(message, own, 0, this.#dialect);
    exchange.payloadOut(0, size).copyFrom(own.bytes.subarray(0, size));
    counts.bytesOut += size;
    exchange.send(size);
  }

  #fail(exchange: Exchange, type: number, tag: number, code: number): void {
    this.#environment.counts.fail(type, code);
    this.#answer(
      exchange,
      this.#dialect === "9P2000.L"
        ? { kind: "Rlerror", tag, ecode: code }
        : { kind: "Rerror", tag, ename: errnoMessage(code), errno: code },
    );
  }

  /** Answers for a server that is gone. */
  #answerLost(exchange: Exchange, type: number, tag: number): void {
    // What was to be flushed has been answered already, or is before this.
    if (type === TYPE.Tflush) this.#answer(exchange, { kind: "Rflush", tag });
    else this.#fail(exchange, type, tag, errno("EIO").code);
  }

  /** The other server is gone, or makes no sense. */
  #lose(why: string): void {
    if (this.#isClosed || this.#isLost) return;
    this.#isLost = true;
    this.#release();
    this.#complain(why);
    for (const { exchange, type, tag } of this.#forgetAll()) {
      if (exchange !== null) this.#answerLost(exchange, type, tag);
    }
    this.#resume();
  }

  /** Tells what is wrong, once: a client that tries again and again must not fill a log. */
  #complain(why: string): void {
    const { warn, to } = this.#environment.options;
    const complaint = `Cannot pass requests on to ${formatDialAddress(to)}: ${why}`;
    if (this.#environment.complaint === complaint) return;
    this.#environment.complaint = complaint;
    warn?.(complaint);
  }

  /** Gives socket, buffers and timers back. */
  #release(): void {
    const { pool, options } = this.#environment;
    this.#stopQuiesce();
    this.#connecting?.cancel();
    this.#connecting = null;
    if (this.#fd >= 0) {
      options.reactor.unwatch(this.#fd);
      close(this.#fd);
      this.#fd = -1;
    }
    if (this.#input !== null) pool.retire(this.#input);
    if (this.#output !== null) pool.retire(this.#output);
    this.#input = this.#output = null;
    this.#start = this.#end = 0;
    this.#sending = this.#direct = null;
    this.#payload = this.#directOut = null;
    this.#toFlush.length = 0;
  }
}

/** Whether a type of R-message answers a type of T-message. */
function answers(reply: number, request: number): boolean {
  return reply === request + 1 || reply === TYPE.Rlerror || reply === TYPE.Rerror;
}

/** Whether all pieces can be given to system calls. */
function hasAddresses(segments: Segments): boolean {
  for (let i = 0; i < segments.count; i++) {
    if (segments.memories[i]?.address === 0) return false;
  }
  return true;
}

/** Adds pieces from byte `at` on, at most `length` bytes and as many as there is room for. */
function addPieces(vectors: IoVectors, segments: Segments, at: number, length: number): void {
  let skip = at;
  let left = length;
  for (let i = 0; i < segments.count && left > 0; i++) {
    const size = segments.lengths[i] as number;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const part = Math.min(size - skip, left);
    if (!vectors.add(segments.address(i) + skip, part)) return;
    left -= part;
    skip = 0;
  }
}
