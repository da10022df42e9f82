/**
 * Lines of text as they are written: times in front, one conversation told from another, gaps and
 * findings between them.
 *
 * @module
 */
import { dumpedBytes, formatGap, formatTransaction, type LineStyle } from "./text.ts";
import type { Clock, Conversation, Finding, Gap, Observer, Transaction } from "./types.ts";
import { hexDump } from "./values.ts";

/** What stands in front of a line. */
export type Stamp =
  /** Nothing. */
  | "none"
  /** Time of day, to the second. */
  | "t"
  /** Time of day, to the microsecond. */
  | "tt"
  /** Seconds since 1970, to the microsecond. */
  | "ttt"
  /** Seconds since the line before. */
  | "r";

/** How lines look, and what is between them. */
export interface TextOptions extends LineStyle {
  /** What stands in front of each line. Default: `none`. */
  readonly stamp?: Stamp;
  /** Payloads as hex dumps under their lines. Default: false. */
  readonly hex?: boolean;
  /** Bytes of each of these dumps. Default: all. */
  readonly hexBytes?: number;
  /** Leave out when conversations begin and end. Default: false. */
  readonly quiet?: boolean;
  /** Times of day in UTC and not in the zone of this machine. Default: false. */
  readonly utc?: boolean;
}

/** Writes a line for each transaction, gap and finding. */
export class TextLines implements Observer {
  readonly #write: (text: string) => void;
  readonly #options: TextOptions;
  #base = 0n;
  #zone = 0n;
  #previous = 0;
  #isFirst = true;
  #conversations = 0;

  /** Hands on lines with their newlines. */
  constructor(write: (text: string) => void, options: TextOptions = {}) {
    this.#write = write;
    this.#options = options;
  }

  /** What times count from. */
  begin(clock: Clock): void {
    this.#base = clock.base;
    if (this.#options.utc === true) return;
    const begun = new Date(Number(clock.base / 1_000_000n));
    const minutes = begun.getTimezoneOffset();
    // No zone is known of dates that there are not.
    this.#zone = Number.isNaN(minutes) ? 0n : BigInt(Math.round(-minutes * 60)) * 1_000_000_000n;
  }

  /** Says who talks to whom. */
  opened(conversation: Conversation, time: number): void {
    this.#conversations++;
    if (this.#options.quiet === true) return;
    const { transport, client, server } = conversation;
    const who = [client, server].filter((each) => each !== "").join(" -> ");
    this.#line(
      time,
      `+++ c${conversation.id} opened: ${oneLine(`${transport} ${who}`.trim())} +++`,
    );
  }

  /** One transaction, one line. */
  transaction(transaction: Transaction): void {
    const { request, reply, conversation } = transaction;
    const line = formatTransaction(transaction, this.#options);
    this.#line(request?.time ?? reply?.time ?? 0, this.#prefix(conversation) + line);
    if (this.#options.hex !== true) return;
    const limit = this.#options.hexBytes ?? Infinity;
    const dump = hexDump(dumpedBytes(request), limit) + hexDump(dumpedBytes(reply), limit);
    if (dump !== "") this.#write(dump);
  }

  /** What is missing. */
  gap(gap: Gap): void {
    this.#line(gap.time, this.#prefix(gap.conversation) + formatGap(gap));
  }

  /** What is wrong. */
  finding(finding: Finding): void {
    const { conversation, rule, severity, message } = finding;
    const text = `!!! ${rule} ${severity}: ${oneLine(message)}`;
    this.#line(finding.time, this.#prefix(conversation) + text);
  }

  /** Says that a conversation is over. */
  closed(conversation: Conversation, time: number): void {
    if (this.#options.quiet !== true) this.#line(time, `+++ c${conversation.id} closed +++`);
  }

  /** Where there is but one conversation, its name is of no use. */
  #prefix({ id }: Conversation): string {
    return this.#conversations > 1 || id !== 1 ? `[c${id}] ` : "";
  }

  #line(time: number, text: string): void {
    this.#write(`${this.#stamp(time)}${text}\n`);
  }

  #stamp(time: number): string {
    const { stamp = "none" } = this.#options;
    if (stamp === "none") return "";
    if (stamp === "r") {
      const since = this.#isFirst ? 0 : time - this.#previous;
      this.#isFirst = false;
      this.#previous = time;
      return `${(since / 1e9).toFixed(6).padStart(11)} `;
    }
    const at = this.#base + BigInt(Math.round(time));
    if (stamp === "ttt") return `${epochText(at, 6)} `;
    const micros = (at + this.#zone) / 1000n;
    const day = 86_400_000_000n;
    const ofDay = Number(((micros % day) + day) % day);
    const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
    const seconds = Math.floor(ofDay / 1e6);
    const clock = `${two(seconds / 3600)}:${two(seconds / 60 % 60)}:${two(seconds % 60)}`;
    return stamp === "t" ? `${clock} ` : `${clock}.${String(ofDay % 1e6).padStart(6, "0")} `;
  }
}

/** Seconds since 1970 with a number of decimals, exactly. */
export function epochText(nanoseconds: bigint, decimals: number): string {
  const sign = nanoseconds < 0n ? "-" : "";
  const value = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = (value % 1_000_000_000n).toString().padStart(9, "0").slice(0, decimals);
  return `${sign}${value / 1_000_000_000n}.${fraction}`;
}

/** Keeps what a peer chose on one line. */
function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (each) => `\\u${(each.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
