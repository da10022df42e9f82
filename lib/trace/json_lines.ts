/**
 * JSON lines: everything there is of a capture, one event a line, numbers as numbers.
 *
 * @module
 */
import {
  decodeDirents,
  errnoName,
  fieldKind,
  formatFlags,
  LAYOUT,
  messageToJson,
  printableJson,
  type Value,
} from "../p9/mod.ts";
import { pathOfTransaction } from "./request_path.ts";
import { statusOf } from "./filter.ts";
import { payloadLength } from "./half.ts";
import { type HalfLine, TRACE_SCHEMA, type TraceLine } from "./json_schema.ts";
import { epochText } from "./text_lines.ts";
import type { Clock, Conversation, Finding, Gap, Half, Observer, Transaction } from "./types.ts";

/** Writes an event a line, as in `docs/trace.schema.json`. */
export class JsonLines implements Observer {
  readonly #write: (text: string) => void;
  readonly #payload: number;
  #base = 0n;

  /**
   * Hands on lines with their newlines.
   *
   * @param payload Bytes of a payload to write. Default: all.
   */
  constructor(write: (text: string) => void, payload: number = Infinity) {
    this.#write = write;
    this.#payload = payload;
  }

  /** What times count from. */
  begin(clock: Clock): void {
    this.#base = clock.base;
    this.#line({ event: "begin", schema: TRACE_SCHEMA, base: this.#time(0) });
  }

  /** A conversation is there. */
  opened({ id, transport, client, server }: Conversation, time: number): void {
    this.#line({
      event: "opened",
      time: this.#time(time),
      conversation: id,
      transport,
      client,
      server,
    });
  }

  /** A transaction is over. */
  transaction(transaction: Transaction): void {
    const { request, reply, ring, errno, dialect = "9P2000.L" } = transaction;
    const path = pathOfTransaction(transaction);
    this.#line({
      event: "transaction",
      number: transaction.number,
      conversation: transaction.conversation.id,
      tag: transaction.tag,
      outcome: transaction.outcome,
      status: statusOf(transaction),
      latency: request === null || reply === null ? null : reply.time - request.time,
      depth: transaction.depth,
      dialect,
      subject: transaction.subject ?? "unknown",
      path: path === "" ? null : path,
      paths: Object.fromEntries(transaction.paths),
      errno,
      error: errno === 0 ? null : errnoName(errno) ?? String(errno),
      request: this.#half(request),
      reply: this.#half(reply),
      ...(transaction.isInjected === true ? { injected: true } : {}),
      ...(ring === undefined ? {} : {
        ring: {
          ...(ring.offered === undefined ? {} : { offered: this.#time(ring.offered) }),
          taken: this.#time(ring.taken),
          used: this.#time(ring.used),
          usedLength: ring.usedLength,
        },
      }),
    });
  }

  /** Something could not be read. */
  gap(gap: Gap): void {
    const { time, conversation, direction, lost, skipped, why, isInside } = gap;
    this.#line({
      event: "gap",
      time: this.#time(time),
      conversation: conversation.id,
      direction,
      lost,
      skipped,
      why,
      isInside,
    });
  }

  /** A rule has something to say. */
  finding({ time, conversation, rule, severity, message }: Finding): void {
    this.#line({
      event: "finding",
      time: this.#time(time),
      conversation: conversation.id,
      rule,
      severity,
      message,
    });
  }

  /** A conversation is over. */
  closed(conversation: Conversation, time: number): void {
    this.#line({ event: "closed", time: this.#time(time), conversation: conversation.id });
  }

  /** There is no more. */
  end(time: number): void {
    this.#line({ event: "end", time: this.#time(time) });
  }

  #line(line: TraceLine): void {
    this.#write(`${printableJson(JSON.stringify(line))}\n`);
  }

  #time(time: number): string {
    return epochText(this.#base + BigInt(Math.round(time)), 9);
  }

  #half(half: Half | null): HalfLine | null {
    if (half === null) return null;
    const { time, size, type, message, malformed } = half;
    const common = { time: this.#time(time), size, type };
    if (message === null) {
      return {
        ...common,
        message: null,
        ...(malformed === null ? {} : {
          malformed: {
            fault: malformed.fault,
            offset: malformed.offset,
            message: malformed.message,
          },
        }),
        bytes: half.bytes.toHex(),
      };
    }
    const isListing = message.kind === "Rreaddir";
    const hasData = message.kind === "Rread" || message.kind === "Twrite" || isListing;
    const kept = hasData
      ? { ...message, data: isListing ? message.data : message.data.subarray(0, this.#payload) }
      : message;
    const length = payloadLength(half);
    const isCut = "data" in kept && kept.data.length < length;
    const symbols = symbolsOf(message as unknown as Readonly<Record<string, Value>>, message.kind);
    return {
      ...common,
      message: messageToJson(kept) as HalfLine["message"],
      ...(isCut ? { payload: length } : {}),
      ...(symbols === undefined ? {} : { symbols }),
      ...(isListing ? { entries: entriesOf(message.data) } : {}),
    };
  }
}

function entriesOf(data: Uint8Array): HalfLine["entries"] {
  return decodeDirents(data).entries.map(({ qid, offset, type, name }) => ({
    qid: { ...qid, path: numberOf(qid.path) },
    offset: numberOf(offset),
    type,
    name,
  }));
}

function numberOf(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}

/** Names of the bits of the fields that have such; nothing if there are none. */
function symbolsOf(
  values: Readonly<Record<string, Value>>,
  kind: string,
): Record<string, string[]> | undefined {
  let symbols: Record<string, string[]> | undefined;
  for (const { name } of LAYOUT.get(kind)?.fields ?? []) {
    const { print, flags, style } = fieldKind(kind, name);
    if (print !== "flags" || flags === undefined) continue;
    const text = formatFlags(values[name] as number | bigint, flags, style);
    symbols ??= {};
    symbols[name] = text === "0" ? [] : text.split("|");
  }
  return symbols;
}
