/**
 * Conversations for tests of observers: lines of the text form become frames and transactions.
 *
 * @module
 */
import { type Dialect, encode, errnoName, type Message, parseMessage } from "../p9/mod.ts";
import { ExchangeRecord } from "./exchange.ts";
import { mainFid } from "./request_path.ts";
import type { Conversation, Frame, Half, Observer, Outcome, Transaction } from "./types.ts";

/** A conversation over TCP. */
export const TCP_CONVERSATION: Conversation = {
  id: 1,
  transport: "tcp",
  client: "10.0.0.1:1023",
  server: "10.0.0.2:564",
};

/** When captures of tests begin. */
export const BASE = 1_700_000_000_000_000_000n;

/** A message and when it was seen, in microseconds; text in the form of `parseMessage`. */
export type Said = readonly [micros: number, message: string | Message];

/** What is played, and how. */
export interface Play {
  /** Who talks; {@linkcode TCP_CONVERSATION} if not given. */
  readonly conversation?: Conversation;
  /** What they speak; 9P2000.L if not given. */
  readonly dialect?: Dialect;
  /** Captures only so many bytes of each message. */
  readonly snap?: number;
}

/** Beginning of a conversation: msize 8192, fid 0 is the root. */
export const HELLO: readonly Said[] = [
  [0, 'Tversion tag=NOTAG msize=8192 version="9P2000.L"'],
  [100, 'Rversion tag=NOTAG msize=8192 version="9P2000.L"'],
  [200, 'Tattach tag=0 fid=0 afid=NOFID uname="" aname="" n_uname=0'],
  [300, "Rattach tag=0 qid=80.0.1"],
];

interface Request {
  readonly half: Half;
  readonly message: Message;
  readonly depth: number;
  readonly paths: Map<number, string>;
}

/** Plays a whole capture of one conversation to observers. */
export async function play(
  observers: readonly Observer[],
  said: readonly Said[],
  options: Play = {},
): Promise<void> {
  for (const observer of observers) observer.begin?.({ base: BASE });
  const last = playOn(observers, said, options);
  for (const observer of observers) await observer.end?.(last);
}

/** Plays one conversation from its beginning to its end; gives the time of its end. */
export function playOn(
  observers: readonly Observer[],
  said: readonly Said[],
  options: Play = {},
): number {
  const conversation = options.conversation ?? TCP_CONVERSATION;
  const dialect = options.dialect ?? "9P2000.L";
  const waiting = new Map<number, Request>();
  const fids = new Map<number, string>();
  const record = new ExchangeRecord();
  let number = 0;
  let time = 0;
  const tell = (
    tag: number,
    request: Request | undefined,
    reply: Half | null,
    outcome: Outcome,
  ): void => {
    const answer = reply?.message;
    const transaction: Transaction = {
      number: ++number,
      conversation,
      tag,
      request: request?.half ?? null,
      reply,
      outcome,
      depth: request?.depth ?? 0,
      paths: request?.paths ?? new Map(),
      errno: answer?.kind === "Rlerror" ? answer.ecode : 0,
    };
    const exchange = record.fill(transaction);
    for (const observer of observers) {
      // As a session does: numbers for those who want no more.
      if (observer.transaction !== undefined) observer.transaction(transaction);
      else observer.exchange?.(exchange);
    }
  };
  for (const observer of observers) observer.opened?.(conversation, (said[0]?.[0] ?? 0) * 1000);
  for (const [micros, what] of said) {
    time = micros * 1000;
    const message = typeof what === "string" ? parseMessage(what) : what;
    const whole = encode(message, dialect);
    const bytes = whole.subarray(0, options.snap ?? whole.length);
    const half: Half = {
      time,
      size: whole.length,
      type: whole[4] ?? 0,
      message,
      malformed: null,
      bytes,
    };
    const frame: Frame = {
      conversation,
      direction: message.kind.startsWith("T") ? "request" : "reply",
      time,
      size: whole.length,
      bytes,
      start: 0,
      end: bytes.length,
    };
    for (const observer of observers) observer.frame?.(frame);
    if (frame.direction === "request") {
      waiting.set(message.tag, {
        half,
        message,
        depth: waiting.size + 1,
        paths: pathsOf(fids, mainFid(message)),
      });
      continue;
    }
    const request = waiting.get(message.tag);
    waiting.delete(message.tag);
    if (request !== undefined && message.kind !== "Rlerror") follow(fids, request.message, message);
    tell(message.tag, request, half, request === undefined ? "unasked" : "answered");
  }
  for (const [tag, request] of waiting) tell(tag, request, null, "unfinished");
  for (const observer of observers) observer.closed?.(conversation, time);
  return time;
}

function pathsOf(fids: ReadonlyMap<number, string>, fid: number): Map<number, string> {
  const path = fids.get(fid);
  return new Map(path === undefined ? [] : [[fid, path]]);
}

function follow(fids: Map<number, string>, request: Message, reply: Message): void {
  const under = (fid: number, names: readonly string[]): string =>
    `${(fids.get(fid) ?? "").replace(/\/$/, "")}${names.map((each) => `/${each}`).join("")}` || "/";
  if (request.kind === "Tattach") fids.set(request.fid, "/");
  if (request.kind === "Tclunk" || request.kind === "Tremove") fids.delete(request.fid);
  if (request.kind === "Tlcreate") fids.set(request.fid, under(request.fid, [request.name]));
  if (request.kind === "Twalk" && reply.kind === "Rwalk") {
    if (reply.wqid.length === request.wname.length) {
      fids.set(request.newfid, under(request.fid, request.wname));
    }
  }
}

/** A short line of a transaction. */
export function lineOf(transaction: Transaction): string {
  const { request, reply, errno, outcome } = transaction;
  const kind = request?.message?.kind ?? "?";
  if (reply === null) return `${kind}() = <${outcome}>`;
  const took = request === null ? "?" : ((reply.time - request.time) / 1e9).toFixed(6);
  const result = errno === 0 ? reply.message?.kind ?? "?" : `-${errnoName(errno) ?? String(errno)}`;
  return `${kind}() = ${result} <${took}>`;
}
