/**
 * One T-message and the place for its R-message: all that a server knows of a transport.
 *
 * @module
 */
import type { SocketAddress } from "../linux/mod.ts";
import type { Segments, Wire } from "../p9/mod.ts";

/**
 * A T-message that has arrived, and room for its answer.
 *
 * Everything reached through an exchange is borrowed. It stays valid until the receiver returns or,
 * after {@linkcode Exchange.defer}, until {@linkcode Exchange.send} or {@linkcode Exchange.drop}.
 * Exactly one of `send` and `drop` ends every exchange.
 */
export interface Exchange {
  /** Memory that holds the T-message, private to us: nobody changes it under our feet. */
  readonly wire: Wire;
  /** Offset of the message's `size[4]`. */
  readonly start: number;
  /**
   * Offset behind the last byte at hand. The payload of a Twrite may be elsewhere: then this is the
   * end of its 23-byte head.
   */
  readonly end: number;
  /** The message's `size[4]`, checked against msize and against what was really sent. */
  readonly size: number;
  /**
   * Where bytes of the T-message lie, for a payload that is to be used without a copy.
   *
   * @param offset First byte, counted from `size[4]`.
   * @param length Bytes; `offset + length` is at most {@linkcode Exchange.size}.
   */
  payloadIn(offset: number, length: number): Segments;

  /** Most bytes the R-message may have: msize, or less where the peer gave less room. */
  readonly room: number;
  /** Memory to encode the R-message in, from {@linkcode Exchange.replyAt} on, {@linkcode Exchange.room} bytes. */
  readonly reply: Wire;
  /** Offset in {@linkcode Exchange.reply} of the R-message's `size[4]`. */
  readonly replyAt: number;
  /**
   * Memory in which the payload of the R-message is to be put without a copy. The head is still
   * encoded in {@linkcode Exchange.reply}.
   *
   * @param offset First byte, counted from the R-message's `size[4]`: 11 for Rread.
   * @param length Bytes; `offset + length` is at most {@linkcode Exchange.room}.
   */
  payloadOut(offset: number, length: number): Segments;

  /**
   * Lets the exchange end after the receiver has returned. What {@linkcode Exchange.payloadIn} and
   * {@linkcode Exchange.payloadOut} gave stays valid until then.
   *
   * @param withRequest Keep {@linkcode Exchange.wire} valid too: the message was not decoded yet.
   */
  defer(withRequest: boolean): void;
  /** Ends the exchange with the R-message of `size` bytes. Bytes not put through `payloadOut` are taken from `reply`. */
  send(size: number): void;
  /** Ends the exchange without an R-message: the request was flushed before it took effect. */
  drop(): void;
}

/** What a transport tells of a peer. */
export interface Peer {
  /** Address in the form of the command line, such as `tcp://127.0.0.1:40312`. */
  readonly address: string;
  /** Address of its socket; null if it is not known, nothing if there is no socket. */
  readonly socket?: SocketAddress | null;
  /** Credentials of the process at the other end of a unix socket, as it was when connecting. */
  readonly credentials?: {
    /** Process. */
    readonly pid: number;
    /** User. */
    readonly uid: number;
    /** Group. */
    readonly gid: number;
    /** Further groups, as far as they are known. */
    readonly groups?: readonly number[];
  };
}

/** What a transport needs of a server, for one connection. */
export interface Receiver {
  /** Largest T-message accepted now, in bytes: changes with Tversion. */
  readonly msize: number;
  /** Takes a T-message. Never throws. */
  receive(exchange: Exchange): void;
  /** True while an answer is outstanding that needs Deno's event loop to run. */
  readonly needsEventLoop: boolean;
  /** True if the transport should end the connection once all answers are sent. */
  readonly isOver: boolean;
  /** True while the receiver can take no more requests; it calls `resume` of {@linkcode Connection} when it can. */
  readonly isFull: boolean;
  /**
   * Asks what waits for other clients to end soon, with an answer that lets its client try again.
   * May be asked again while the rest is on its way.
   */
  quiesce(): void;
  /** The peer is gone: everything it held ends. No exchange is used afterwards. */
  close(): void;
}

/** What a receiver may ask of its transport. */
export interface Connection {
  /** Who is at the other end. */
  readonly peer: Peer;
  /** Most requests that the other end can have under way, where that is bounded. */
  readonly capacity?: number;
  /** Requests may flow again after {@linkcode Receiver.isFull} was true. */
  resume(): void;
  /** Ends the connection now. */
  abort(): void;
}

/** Makes the receiver of a new connection. */
export type Accept = (connection: Connection) => Receiver;
