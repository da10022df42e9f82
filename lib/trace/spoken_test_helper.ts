/**
 * Conversations written down line by line, for tests: messages in their text form, and what a
 * capture lacks.
 *
 * @module
 */
import { type Dialect, encode, parseMessage } from "../p9/mod.ts";
import { Session, type SessionOptions } from "./session.ts";
import { TextLines, type TextOptions } from "./text_lines.ts";
import type { Conversation, Exchange, Frame, Observer, Transaction } from "./types.ts";

/** When captures of tests begin. */
export const BASE = 1_700_000_000_000_000_000n;

/** A conversation of tests. */
export function conversationOf(id: number): Conversation {
  return { id, transport: "tcp", client: `10.0.0.1:${1022 + id}`, server: "10.0.0.2:564" };
}

/** Beginning of a conversation in 9P2000.L: fid 0 is the root. */
export const HELLO: readonly string[] = [
  'Tversion tag=NOTAG msize=8192 version="9P2000.L"',
  'Rversion tag=NOTAG msize=8192 version="9P2000.L"',
  'Tattach tag=0 fid=0 afid=NOFID uname="" aname="" n_uname=0',
  "Rattach tag=0 qid=80.0.1",
];

/**
 * Says lines to a session, one every 10 microseconds.
 *
 * `c2 Tclunk tag=1 fid=1` is a message of conversation 2, `cut 40 Rread …` one of which 40 bytes were
 * captured, `raw T 0a000000…` bytes as they are, `lost requests 100` a gap, `close` the end of a
 * conversation, `.u Tattach …` a message of a dialect.
 */
export async function speak(
  observers: readonly Observer[],
  lines: readonly string[],
  options: SessionOptions = { needs: "messages" },
): Promise<void> {
  const session = new Session(observers, options);
  session.begin({ base: BASE });
  const known = new Map<number, Conversation>();
  let time = 0;
  for (const line of lines) {
    const [, id = "1", dialectName, rest = ""] =
      /^(?:c(\d+) )?(?:(\.u|9P2000) )?(.*)$/s.exec(line) ??
        [];
    let conversation = known.get(Number(id));
    if (conversation === undefined) {
      conversation = conversationOf(Number(id));
      known.set(conversation.id, conversation);
      session.opened(conversation, time);
    }
    const dialect: Dialect = dialectName === ".u"
      ? "9P2000.u"
      : dialectName === "9P2000"
      ? "9P2000"
      : "9P2000.L";
    const gap = /^lost (requests|replies) (\d+)$/.exec(rest);
    const raw = /^raw ([TR]) ([0-9a-f]*)$/.exec(rest);
    const cut = /^cut (\d+) (.*)$/s.exec(rest);
    if (gap !== null) {
      session.gap({
        conversation,
        direction: gap[1] === "requests" ? "request" : "reply",
        time,
        lost: Number(gap[2]),
        skipped: 0,
        why: "not captured",
        isInside: false,
      });
    } else if (rest === "close") {
      session.closed(conversation, time);
      known.delete(conversation.id);
    } else {
      const text = cut?.[2] ?? rest;
      const bytes = raw === null
        ? encode(parseMessage(text), dialect)
        : Uint8Array.fromHex(raw[2] ?? "");
      const letter = raw?.[1] ?? text[0];
      session.frame(
        frameOf(conversation, letter === "T", time, bytes, Number(cut?.[1] ?? Infinity)),
      );
    }
    time += 10_000;
  }
  await session.end(time);
}

function frameOf(
  conversation: Conversation,
  isRequest: boolean,
  time: number,
  whole: Uint8Array,
  captured: number,
): Frame {
  // Somewhere in a larger buffer, which is used for something else afterwards.
  const bytes = new Uint8Array(whole.length + 32).fill(0xee);
  bytes.set(whole, 16);
  return {
    conversation,
    direction: isRequest ? "request" : "reply",
    time,
    size: whole.length,
    bytes,
    start: 16,
    end: 16 + Math.min(whole.length, captured),
  };
}

/** The lines of text that come out. */
export async function linesOf(
  lines: readonly string[],
  options: TextOptions = { latency: "none", quiet: true },
): Promise<string[]> {
  let text = "";
  await speak([new TextLines((line) => text += line, options)], lines);
  return text.split("\n").slice(0, -1);
}

/** The transactions that come out. */
export async function transactionsOf(lines: readonly string[]): Promise<Transaction[]> {
  const transactions: Transaction[] = [];
  await speak([{ transaction: (each) => void transactions.push(each) }], lines);
  return transactions;
}

/** The numbers that come out where only they are wanted. */
export async function exchangesOf(lines: readonly string[]): Promise<Exchange[]> {
  const exchanges: Exchange[] = [];
  await speak([{ exchange: (each) => void exchanges.push({ ...each }) }], lines, {
    needs: "counts",
  });
  return exchanges;
}
