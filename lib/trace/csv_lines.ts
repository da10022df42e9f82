/**
 * A table with a row for each transaction, for spreadsheets and databases.
 *
 * @module
 */
import { errnoName } from "../p9/mod.ts";
import { mainFid, pathOfTransaction } from "./request_path.ts";
import { statusOf } from "./filter.ts";
import { nameOfType, payloadLength } from "./half.ts";
import { formatTransaction, type LineStyle } from "./text.ts";
import { epochText } from "./text_lines.ts";
import type { Clock, Observer, Transaction } from "./types.ts";

/** The columns, in order. */
export const CSV_COLUMNS = [
  "number",
  "conversation",
  "tag",
  "time",
  "latency_ns",
  "message",
  "status",
  "errno",
  "error",
  "fid",
  "path",
  "offset",
  "count",
  "moved",
  "request_size",
  "reply_size",
  "depth",
  "line",
] as const;

/** Writes a row for each transaction, after one with the names of the columns. */
export class CsvLines implements Observer {
  readonly #write: (text: string) => void;
  readonly #style: LineStyle;
  #base = 0n;

  /** Hands on rows with their line ends. */
  constructor(write: (text: string) => void, style: LineStyle = {}) {
    this.#write = write;
    this.#style = { ...style, latency: "none", color: false };
  }

  /** What times count from. */
  begin(clock: Clock): void {
    this.#base = clock.base;
    this.#write(`${CSV_COLUMNS.join(",")}\r\n`);
  }

  /** One transaction, one row. */
  transaction(transaction: Transaction): void {
    const { request, reply, errno } = transaction;
    const asked = request?.message ?? null;
    const answer = reply?.message ?? null;
    const fid = asked === null ? -1 : mainFid(asked);
    const time = request?.time ?? reply?.time ?? 0;
    const isRead = reply !== null && answer?.kind === "Rread";
    const row: (string | number | bigint)[] = [
      transaction.number,
      transaction.conversation.id,
      transaction.tag,
      epochText(this.#base + BigInt(Math.round(time)), 9),
      request === null || reply === null ? "" : reply.time - request.time,
      request === null
        ? reply === null ? "" : nameOfType(reply.type, "R")
        : nameOfType(request.type, "T"),
      statusOf(transaction),
      errno === 0 ? "" : errno,
      errno === 0 ? "" : errnoName(errno) ?? "",
      fid < 0 ? "" : fid,
      pathOfTransaction(transaction),
      asked !== null && "offset" in asked ? asked.offset : "",
      asked?.kind === "Twrite" && request !== null
        ? payloadLength(request)
        : asked !== null && "count" in asked
        ? asked.count
        : "",
      isRead ? payloadLength(reply) : answer?.kind === "Rwrite" ? answer.count : "",
      request?.size ?? "",
      reply?.size ?? "",
      transaction.depth,
      formatTransaction(transaction, this.#style),
    ];
    this.#write(`${row.map(cell).join(",")}\r\n`);
  }
}

/** What a spreadsheet takes for the beginning of a formula, or of one after what it leaves out. */
const FORMULA = /^[=+\-@\t\r]/;

/** A cell as RFC 4180 has it; text that a peer chose is no formula. */
function cell(value: string | number | bigint): string {
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
