/**
 * What passes between the rooms of `trace`: from bytes that were seen, by frames and transactions, to
 * whoever prints, counts or judges them.
 *
 * Times are nanoseconds since a capture's first moment ({@linkcode Clock}), as numbers: exact for
 * three months, and no bigint in a loop.
 *
 * @module
 */
import type { Dialect, Malformed, Message } from "../p9/mod.ts";

/** Where the times of a capture count from. */
export interface Clock {
  /** Nanoseconds since 1970 at time 0. */
  readonly base: bigint;
}

/** Which way bytes went. */
export type Direction =
  /** From the client: T-messages. */
  | "request"
  /** From the server: R-messages. */
  | "reply";

/** One conversation: a TCP or unix connection, or a virtio device and its machine. */
export interface Conversation {
  /** 1, 2, …, in the order of appearance; shown as `c1`. */
  readonly id: number;
  /** What carries it. */
  readonly transport: "tcp" | "unix" | "virtio" | "log";
  /** Address of the client, such as `10.0.0.1:1023`; empty if it has none. */
  readonly client: string;
  /** Address of the server, or path of its socket, or mount tag of the device. */
  readonly server: string;
}

/** Bytes of a conversation in the order in which they were sent. */
export interface Chunk {
  /** Whose they are. */
  readonly conversation: Conversation;
  /** Which way they went. */
  readonly direction: Direction;
  /** When they were seen. */
  readonly time: number;
  /** Bytes that are missing before these; 0 if none are. */
  readonly lost: number;
  /** Holds them; borrowed until the receiver returns. */
  readonly bytes: Uint8Array;
  /** Offset of the first one. */
  readonly start: number;
  /** Offset behind the last one. */
  readonly end: number;
  /** Bytes that followed on the wire but were not captured (a snapshot length cut them off). */
  readonly cut: number;
}

/** What a virtio device knows of a request beyond its bytes. */
export interface RingTimes {
  /** When the device took the chain from the avail ring. */
  readonly taken: number;
  /** When it put the chain in the used ring. */
  readonly used: number;
  /** Length in the used ring, in bytes; 0 if the request was flushed. */
  readonly usedLength: number;
  /** When the driver is known to have offered it, at the latest: the kick; nothing if unknown. */
  readonly offered?: number;
}

/** A whole message on the wire, or as much of it as was captured. */
export interface Frame {
  /** Whose it is. */
  readonly conversation: Conversation;
  /** Which way it went. */
  readonly direction: Direction;
  /** When its last byte was seen. */
  readonly time: number;
  /** Its `size[4]`. */
  readonly size: number;
  /** Holds it; borrowed until the receiver returns. */
  readonly bytes: Uint8Array;
  /** Offset of its `size[4]`. */
  readonly start: number;
  /** Offset behind the last byte at hand: less than `start + size` if not all was captured or kept. */
  readonly end: number;
  /** What the device told of it, on an R-message over virtio. */
  readonly ring?: RingTimes;
  /** Whether a rule of what is to go wrong was applied, on an R-message. */
  readonly isInjected?: boolean;
}

/** Bytes of a conversation that could not be read, and where reading went on. */
export interface Gap {
  /** Whose they were. */
  readonly conversation: Conversation;
  /** Which way they went. */
  readonly direction: Direction;
  /** When the first byte behind them was seen. */
  readonly time: number;
  /** Bytes that were not captured. */
  readonly lost: number;
  /** Bytes that were captured, and skipped until a message began. */
  readonly skipped: number;
  /** Why. */
  readonly why: "not captured" | "no message" | "mid-stream";
  /** Whether all of them are inside of one message, which follows as a frame: no message is lost. */
  readonly isInside: boolean;
}

/** One message of a transaction, with memory of its own. */
export interface Half {
  /** When its last byte was seen. */
  readonly time: number;
  /** Its `size[4]`. */
  readonly size: number;
  /** Its type byte. */
  readonly type: number;
  /** Decoded; null if it is none or not wholly at hand (its payload aside). */
  readonly message: Message | null;
  /** What is wrong with it; null if nothing is. */
  readonly malformed: Malformed | null;
  /** Its first bytes, as many as were captured and asked for. */
  readonly bytes: Uint8Array;
}

/** What became of a request. */
export type Outcome =
  /** Answered, with an error or not. */
  | "answered"
  /** Not answered when the capture or the conversation ended. */
  | "unfinished"
  /** The answer is in a gap. */
  | "lost"
  /** Flushed, and therefore never answered. */
  | "flushed"
  /** An answer whose request was not seen. */
  | "unasked";

/** What a fid stands for, as far as is known. */
export type Subject =
  | "file"
  | "directory"
  /** An extended attribute that is read or written. */
  | "xattr"
  /** The names of all extended attributes of a file. */
  | "xattr list"
  /** An authentication. */
  | "auth"
  | "unknown";

/** A request and its reply. */
export interface Transaction {
  /** 1, 2, …, in the order in which they ended. */
  readonly number: number;
  /** Whose it is. */
  readonly conversation: Conversation;
  /** The tag of both. */
  readonly tag: number;
  /** The T-message; null if it was not seen. */
  readonly request: Half | null;
  /** The R-message; null if there was none, or it was not seen. */
  readonly reply: Half | null;
  /** What became of it. */
  readonly outcome: Outcome;
  /** Requests of the conversation under way when this one began, itself included. */
  readonly depth: number;
  /** What the fids in the request stood for when it was sent: path, or "" where nobody knows. */
  readonly paths: ReadonlyMap<number, string>;
  /** Error number of the reply, 0 for success and where there is no reply. */
  readonly errno: number;
  /** The dialect that was agreed on, or seems to be spoken; 9P2000.L if it is left out. */
  readonly dialect?: Dialect;
  /** What the first fid of the request stood for; unknown if it is left out. */
  readonly subject?: Subject;
  /** What the device told of it. */
  readonly ring?: RingTimes;
  /** Whether a rule of what is to go wrong was applied to it. */
  readonly isInjected?: boolean;
}

/**
 * A transaction in numbers, for who only counts. One object that is filled again and again: borrowed
 * until the receiver returns.
 */
export interface Exchange {
  /** Whose it is. */
  readonly conversation: Conversation;
  /** Type byte of the request; of an answer that nobody asked for, that of its request. */
  readonly type: number;
  /** What became of it. */
  readonly outcome: Outcome;
  /** Error number of the reply, 0 for success; -1 for an error without a number. */
  readonly errno: number;
  /** When the request was seen; when the reply was if there is none. */
  readonly started: number;
  /** When the reply was seen; when the request was if there is none. */
  readonly ended: number;
  /** Bytes of the request; 0 if there is none. */
  readonly requestSize: number;
  /** Bytes of the reply; 0 if there is none. */
  readonly replySize: number;
  /** Requests under way when it began, itself included. */
  readonly depth: number;
  /** Path of the file that it is about, of a file it creates that of the new one; "" if unknown. */
  readonly path: string;
  /** Position of a read or write; 0 for others. */
  readonly offset: number;
  /** Bytes read or written, as the reply says; 0 for others. */
  readonly moved: number;
}

/** Something that a rule has against a conversation. */
export interface Finding {
  /** The rule, such as `L007`. */
  readonly rule: string;
  /** How grave it is. */
  readonly severity: "error" | "warning" | "note";
  /** Whose it is. */
  readonly conversation: Conversation;
  /** When. */
  readonly time: number;
  /** In a sentence, without a period. */
  readonly message: string;
}

/** Takes what a capture consists of, in order. Every method may be left out. */
export interface Observer {
  /** The clock, before anything else. */
  begin?(clock: Clock): void;
  /** A conversation is there. */
  opened?(conversation: Conversation, time: number): void;
  /** A message was seen; before the transaction that it ends. */
  frame?(frame: Frame): void;
  /** A transaction is over, in numbers; told beside `transaction`, or alone where only this is wanted. */
  exchange?(exchange: Exchange): void;
  /** A transaction is over. */
  transaction?(transaction: Transaction): void;
  /** Something could not be read. */
  gap?(gap: Gap): void;
  /** A rule has something to say. */
  finding?(finding: Finding): void;
  /** A conversation is over; unfinished transactions were told before. */
  closed?(conversation: Conversation, time: number): void;
  /** There is no more. */
  end?(time: number): void | Promise<void>;
}
