/**
 * What is going on now: a screen that is drawn again and again on a terminal, a line at a time elsewhere.
 *
 * @module
 */
import { Summary } from "./summary.ts";
import { orderText, sortedFiles, sortedMessages } from "./summary_text.ts";
import type { Clock, Conversation, Exchange, Gap, Observer } from "./types.ts";
import { bytesText, columns, durationText, errnoText, pathText, typeText } from "./units.ts";

/** Files that an interval keeps apart. */
const MOST_FILES = 10_000;
const HOME_AND_CLEAR = "\x1b[H\x1b[J";

/** How a view is shown. */
export interface TopOptions {
  /** Takes what is shown. */
  readonly write: (text: string) => void;
  /** Whether it is a terminal: then a screen is drawn, else a line for each interval is written. */
  readonly isTerminal: boolean;
  /** Size of the terminal; asked each time, for it may change. 80 columns of 24 rows if not given. */
  readonly size?: () => { readonly columns: number; readonly rows: number };
}

/** Shows what it observes, whenever {@linkcode Top.show} is called. Needs numbers only. */
export class Top implements Observer {
  readonly #options: TopOptions;
  #now = new Summary({ files: MOST_FILES });
  readonly #all = new Summary({ files: MOST_FILES });
  readonly #open = new Set<number>();

  /** Shows nothing yet. */
  constructor(options: TopOptions) {
    this.#options = options;
  }

  /** Has no use for the clock. */
  begin(_clock: Clock): void {}

  /** Counts a conversation. */
  opened(conversation: Conversation, time: number): void {
    this.#open.add(conversation.id);
    this.#all.opened(conversation, time);
  }

  /** Counts a transaction. */
  exchange(exchange: Exchange): void {
    this.#now.exchange(exchange);
    this.#all.exchange(exchange);
  }

  /** Counts a gap. */
  gap(gap: Gap): void {
    this.#now.gap(gap);
    this.#all.gap(gap);
  }

  /** Counts a conversation down. */
  closed(conversation: Conversation, _time: number): void {
    this.#open.delete(conversation.id);
  }

  /**
   * Shows what has happened since the last time.
   *
   * @param seconds How long ago that is.
   */
  show(seconds: number): void {
    const now = this.#now;
    this.#now = new Summary({ files: MOST_FILES });
    const { write, isTerminal } = this.#options;
    write(isTerminal ? this.#screen(now, seconds) : this.#line(now, seconds));
  }

  #line(now: Summary, seconds: number): string {
    const parts = this.#rates(now, seconds);
    const [busiest] = sortedFiles(now, 1);
    if (busiest !== undefined) parts.push(pathText(busiest.path));
    return `${parts.join(", ")}\n`;
  }

  #rates(now: Summary, seconds: number): string[] {
    const { messages, latency } = now;
    const span = seconds > 0 ? seconds : 1;
    const count = messages.reduce((sum, each) => sum + each.count, 0);
    const bytes = messages.reduce((sum, each) => sum + each.bytes, 0);
    const errors = messages.reduce((sum, each) => sum + each.errors, 0);
    const parts = [
      `${(count / span).toFixed(0)} requests/s`,
      `${bytesText(bytes / span)}/s`,
      `p50 ${durationText(latency.quantile(0.5))}`,
      `p99 ${durationText(latency.quantile(0.99))}`,
      `${(errors / span).toFixed(0)} errors/s`,
      `${now.deepest} under way`,
    ];
    if (now.gaps > 0) parts.push(`${now.gaps} gaps`);
    return parts;
  }

  #screen(now: Summary, seconds: number): string {
    const { columns: width, rows } = this.#options.size?.() ?? { columns: 80, rows: 24 };
    const span = seconds > 0 ? seconds : 1;
    const total = this.#all.messages.reduce((sum, { count }) => sum + count, 0);
    const room = Math.max(1, Math.floor((rows - 9) / 2));
    const messages = sortedMessages(now).slice(0, room).map((each) => [
      (each.count / span).toFixed(0),
      `${bytesText(each.bytes / span)}/s`,
      durationText(each.latency.quantile(0.5)),
      durationText(each.latency.quantile(0.99)),
      durationText(each.latency.max),
      each.errors === 0 ? "" : String(each.errors),
      typeText(each.type),
    ]);
    const files = sortedFiles(now, room).map((file) => [
      durationText(file.time),
      (file.reads / span).toFixed(0),
      `${bytesText(file.readBytes / span)}/s`,
      (file.writes / span).toFixed(0),
      `${bytesText(file.writtenBytes / span)}/s`,
      orderText(file),
      pathText(file.path),
    ]);
    const [worst] = now.errnos;
    const lines = [
      this.#rates(now, seconds).join(", "),
      `${this.#open.size} conversations, ${total} requests since the start` +
      (worst === undefined ? "" : `, ${worst.count} times ${errnoText(worst.errno)}`),
      "",
      ...columns([
        { title: "1/s" },
        { title: "bytes" },
        { title: "p50" },
        { title: "p99" },
        { title: "max" },
        { title: "errors" },
        { title: "message", isLeft: true },
      ], messages).trimEnd().split("\n"),
      "",
      ...columns([
        { title: "time" },
        { title: "reads/s" },
        { title: "read" },
        { title: "writes/s" },
        { title: "written" },
        { title: "order" },
        { title: "file", isLeft: true },
      ], files).trimEnd().split("\n"),
    ];
    const fitting = lines.slice(0, Math.max(1, rows - 1)).map((line) => line.slice(0, width));
    return `${HOME_AND_CLEAR}${fitting.join("\n")}\n`;
  }
}
