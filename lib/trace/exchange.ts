/**
 * A transaction in numbers.
 *
 * @module
 */
import { RREAD_HEADER, TWRITE_HEADER, TYPE } from "../p9/mod.ts";
import { pathOf } from "./request_path.ts";
import type { Conversation, Exchange, Half, Outcome, Transaction } from "./types.ts";

const NOBODY: Conversation = { id: 0, transport: "log", client: "", server: "" };

/** An {@linkcode Exchange} to be filled. */
export class ExchangeRecord implements Exchange {
  /** See {@linkcode Exchange}. */
  conversation: Conversation = NOBODY;
  /** See {@linkcode Exchange}. */
  type = 0;
  /** See {@linkcode Exchange}. */
  outcome: Outcome = "answered";
  /** See {@linkcode Exchange}. */
  errno = 0;
  /** See {@linkcode Exchange}. */
  started = 0;
  /** See {@linkcode Exchange}. */
  ended = 0;
  /** See {@linkcode Exchange}. */
  requestSize = 0;
  /** See {@linkcode Exchange}. */
  replySize = 0;
  /** See {@linkcode Exchange}. */
  depth = 0;
  /** See {@linkcode Exchange}. */
  path = "";
  /** See {@linkcode Exchange}. */
  offset = 0;
  /** See {@linkcode Exchange}. */
  moved = 0;

  /** Fills it from a transaction. */
  fill(transaction: Transaction): this {
    const { request, reply } = transaction;
    const asked = request?.message ?? null;
    this.conversation = transaction.conversation;
    // An Rlerror does not tell what it refuses.
    this.type = request?.type ?? Math.max(0, (reply?.type ?? 1) - 1);
    this.outcome = transaction.outcome;
    this.errno = isRefusal(reply) && transaction.errno === 0 ? -1 : transaction.errno;
    this.started = request?.time ?? reply?.time ?? 0;
    this.ended = reply?.time ?? this.started;
    this.requestSize = request?.size ?? 0;
    this.replySize = reply?.size ?? 0;
    this.depth = transaction.depth;
    this.path = asked === null ? "" : pathOf(asked, transaction.paths);
    const isTransfer = asked !== null && (asked.kind === "Tread" || asked.kind === "Twrite");
    this.offset = isTransfer ? Number(asked.offset) : 0;
    const isItsReply = isTransfer && reply?.type === this.type + 1;
    this.moved = isItsReply ? movedBy(this.requestSize, reply) : 0;
    return this;
  }
}

function isRefusal(reply: Half | null): boolean {
  return reply !== null && (reply.type === TYPE.Rlerror || reply.type === TYPE.Rerror);
}

function movedBy(requestSize: number, reply: Half): number {
  // Of the payload perhaps only the beginning was kept.
  if (reply.type === TYPE.Rread) return Math.max(0, reply.size - RREAD_HEADER);
  // Nobody has written more than was sent.
  const sent = Math.max(0, requestSize - TWRITE_HEADER);
  return reply.message?.kind === "Rwrite" ? Math.min(sent, reply.message.count) : 0;
}
