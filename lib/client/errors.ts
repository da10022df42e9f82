/**
 * What can go wrong for a client beyond an `Errno` of the server.
 *
 * @module
 */

/** A refusal by a server whose dialect has no error numbers: the text of its Rerror. */
export class RemoteError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "RemoteError";

  /** See `ename`, the text of the Rerror as sent. */
  constructor(ename: string) {
    super(ename);
  }
}

/** The connection ended before a request was answered. */
export class DisconnectedError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "DisconnectedError";

  /** See `what` could not be done, and `cause`, what ended the connection if it was no hang-up. */
  constructor(what: string, cause?: unknown) {
    super(`Cannot ${what}: the connection has ended`, cause === undefined ? {} : { cause });
  }
}

/** Rules of a conversation, apart from those of a single frame, that a server can break. */
export const CONVERSATION_FAULTS = {
  "short-frame": "a frame has at least size[4] type[1] tag[2]",
  "long-frame": "a frame has at most msize bytes",
  "unknown-tag": "an R-message carries the tag of a request that waits for it",
  "wrong-reply": "a T-message is answered by its R-message or by an error",
  "bad-version": "Rversion names a dialect and msize not above those asked for",
  "long-walk": "Rwalk has at most as many qids as there were names",
  "long-read": "Rread has at most as many bytes as were asked for",
  "long-write": "Rwrite counts at most the bytes that were sent",
  "bad-entries": "the payload consists of whole entries and is as long as asked for at most",
} as const;

/** Name of a broken rule. */
export type ConversationFault = keyof typeof CONVERSATION_FAULTS;

/** The server sent a message that does not fit what was said before; the connection ends. */
export class ConversationError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "ConversationError";
  /** Which rule is broken. */
  readonly fault: ConversationFault;

  /** See `what` was sent, for people. */
  constructor(fault: ConversationFault, what: string) {
    super(`Cannot go on: the server sent ${what}, but ${CONVERSATION_FAULTS[fault]}`);
    this.fault = fault;
  }
}
