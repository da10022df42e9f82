/**
 * What `trace` makes of what it sees: lines, files, summaries, reports, all from one pass.
 *
 * @module
 */
import {
  chosen,
  CsvLines,
  ExchangeRecord,
  type Filter,
  type Finding,
  formatFinding,
  formatSummary,
  formatTransaction,
  type Frame,
  type Half,
  HtmlReport,
  JsonLines,
  Last,
  Lint,
  type Observer,
  PcapngFile,
  PerfettoFile,
  Redact,
  Rotate,
  type RotatedFile,
  Session,
  SEVERITIES,
  type Severity,
  type Stamp,
  Summary,
  summaryToJson,
  TextLines,
  Top,
  type Transaction,
} from "../lib/trace/mod.ts";
import { oneLine, type Output } from "./output.ts";
import { TraceOutput } from "./trace_output.ts";
import type { Receivers } from "./trace_source.ts";
import type { TraceFormat, TraceOptions } from "./trace_words.ts";
import { VERSION } from "./version.ts";

/** Bytes of a payload in a line of text unless somebody asks for more. */
const STRINGS = 32;
/** Milliseconds between two pictures of `--top`. */
const TOP_MS = 1000;

/** What the options come to. */
export interface ViewPlan {
  /** The options. */
  readonly options: TraceOptions;
  /** What stands in front of a line. */
  readonly stamp: Stamp;
  /** Which transactions. */
  readonly filter: Filter | null;
  /** What is being looked at, for the title of a report. */
  readonly title: string;
}

/** Whether a format is bytes, or a file of its own and no lines. */
export function isFile(format: TraceFormat): boolean {
  return format === "pcapng" || format === "perfetto";
}

/** Whether lines are written, and where nothing else says so to standard output. */
export function hasLines(options: TraceOptions): boolean {
  const { summaryOnly, summary, lint, failOn, report, top, format, output } = options;
  if (summaryOnly === true) return false;
  if (output !== undefined || summary === true) return true;
  if (top === true) return false;
  const isQuiet = lint === true || failOn !== undefined || report !== undefined;
  return format !== undefined || !isQuiet;
}

/** All views of one trace. Disposing closes their files. */
export class Views implements Disposable {
  /** Who is to be told. */
  readonly receivers: Receivers;
  /** Bytes of what is read and written that somebody looks at, of each message. */
  readonly payload: number;
  readonly #plan: ViewPlan;
  readonly #format: TraceFormat;
  readonly #output: Output;
  readonly #onEnough: () => void;
  readonly #out: TraceOutput;
  readonly #closing: Disposable[] = [];
  readonly #summary: Summary | null = null;
  readonly #report: HtmlReport | null = null;
  readonly #lint: Lint | null = null;
  #topTimer: ReturnType<typeof setInterval> | undefined;
  #top: Top | null = null;
  #shown = performance.now();
  #findings: Record<Severity, number> | null = null;

  /**
   * Opens what is to be written.
   *
   * @param format Of the lines.
   * @param onEnough Called when nobody wants more.
   * @throws What opening a file throws.
   */
  constructor(plan: ViewPlan, format: TraceFormat, output: Output, onEnough: () => void) {
    this.#plan = plan;
    this.#format = format;
    this.#output = output;
    this.#onEnough = onEnough;
    const { options } = plan;
    const { summaryOnly, summary, report, top, lint, failOn, last, redact } = options;
    // The summary alone is what -o means; else it is for the lines.
    this.#out = this.#open(summaryOnly === true ? options.output : undefined);
    const observers: Observer[] = [];
    if (hasLines(options)) observers.push(this.#lines());
    if (report !== undefined) {
      this.#report = new HtmlReport({ describe: this.#describe, title: plan.title });
      observers.push(this.#report);
    }
    const isJudged = lint === true || failOn !== undefined;
    if (isJudged && (options.output !== undefined || !hasLines(options))) {
      observers.push(this.#findingLines());
    }
    const counting: Observer[] = [];
    if (summaryOnly === true || summary === true) {
      this.#summary = new Summary();
      counting.push(this.#summary);
    }
    if (top === true) {
      this.#top = this.#startTop();
      counting.push(this.#top);
    }
    const isChosen = plan.filter !== null || options.count !== undefined;
    const needsMessages = observers.length > 0 || isChosen || last !== undefined || isJudged;
    let all = fannedOut([...observers, ...counting]);
    if (last !== undefined) all = new Last(all, last);
    if (isChosen) {
      all = chosen(withFrames(all), {
        filter: plan.filter,
        ...(options.count === undefined ? {} : { most: options.count }),
        onFull: onEnough,
      });
    }
    if (isJudged) {
      const told = all;
      this.#lint = new Lint((finding) => told.finding?.(finding), options.ignore);
      all = judged(told, this.#lint);
    }
    this.payload = needsMessages ? this.#payloadOf(isJudged) : 0;
    const session = needsMessages
      ? new Session([all], { needs: "messages", payload: this.payload })
      : new Session(counting, { needs: "counts" });
    if (redact === undefined) {
      this.receivers = { frames: session, transactions: all };
    } else {
      const frames = new Redact(session, {
        names: redact.includes("names"),
        data: redact.includes("data"),
      });
      // What was written by us has frames, too: all else of it may tell names.
      this.receivers = { frames, transactions: frames };
    }
  }

  /**
   * Writes what is known only at the end.
   *
   * @returns Whether something was found that is to fail.
   */
  finish(): boolean {
    const { options } = this.#plan;
    this.#stopTop();
    if (this.#findings !== null) this.#out.write(tallyOf(this.#findings));
    if (this.#summary !== null) this.#out.write(this.#summaryText(this.#summary));
    if (this.#report !== null && options.report !== undefined) {
      Deno.writeTextFileSync(options.report, this.#report.html());
    }
    return options.failOn !== undefined && this.#lint?.fails(options.failOn) === true;
  }

  /** Closes files. */
  [Symbol.dispose](): void {
    this.#stopTop();
    for (const each of this.#closing) each[Symbol.dispose]();
  }

  readonly #describe = (transaction: Transaction): string =>
    formatTransaction(transaction, this.#style());

  #style(): { strings: number; verbose: boolean; latency: "us" | "ns" | "none" } {
    const { strings = STRINGS, verbose = false, latency } = this.#plan.options;
    return { strings, verbose, latency };
  }

  #payloadOf(isJudged: boolean): number {
    const { strings, hex } = this.#plan.options;
    // Captures are to be whole, and who judges must see whole directories.
    if (this.#format === "pcapng" && hasLines(this.#plan.options)) return Infinity;
    if (isJudged) return Infinity;
    const needsAll = this.#format === "json" || hex === true;
    return strings ?? (needsAll ? Infinity : STRINGS);
  }

  #open(path: string | undefined): TraceOutput {
    const sink = new TraceOutput(this.#output, path, this.#onEnough);
    this.#closing.push(sink);
    return sink;
  }

  /** Lines, or a file: where `--output` says. */
  #lines(): Observer {
    const { output, rotate } = this.#plan.options;
    if (output === undefined) return this.#writer(this.#out);
    if (rotate === undefined) return this.#writer(this.#open(output));
    return new Rotate({
      bytes: rotate.bytes,
      ...(rotate.keep === undefined ? {} : { keep: rotate.keep }),
      open: (index): RotatedFile => {
        const sink = new TraceOutput(this.#output, numbered(output, index), this.#onEnough);
        return {
          observer: this.#writer(sink),
          size: () => sink.size,
          close: () => sink[Symbol.dispose](),
        };
      },
      remove: (index) => {
        try {
          Deno.removeSync(numbered(output, index));
        } catch (error) {
          // Somebody has taken it away already, as it should be.
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      },
    });
  }

  #writer(sink: TraceOutput): Observer {
    const write = (text: string): void => sink.write(text);
    const describe = this.#describe;
    const { options, stamp } = this.#plan;
    const { strings, hex = false, quiet = false } = options;
    if (this.#format === "json") return new JsonLines(write, strings ?? Infinity);
    if (this.#format === "csv") return new CsvLines(write, this.#style());
    if (this.#format === "perfetto") return new PerfettoFile({ write, describe });
    if (this.#format === "pcapng") {
      return new PcapngFile({
        write: (bytes) => sink.writeBytes(bytes),
        format: options.pcapFormat ?? "pdu",
        describe,
        application: `virtfs ${VERSION}`,
      });
    }
    const isColored = options.color === "always" ||
      (options.color === "auto" && this.#output.outHasColor && options.output === undefined);
    return new TextLines(write, {
      ...this.#style(),
      stamp,
      quiet,
      hex,
      // A hex dump shows all that there is, and the line above it an excerpt.
      hexBytes: strings ?? Infinity,
      utc: options.utc === true,
      color: isColored,
    });
  }

  #findingLines(): Observer {
    const findings: Record<Severity, number> = { error: 0, warning: 0, note: 0 };
    this.#findings = findings;
    return {
      finding: (finding: Finding) => {
        findings[finding.severity]++;
        this.#out.write(`${oneLine(formatFinding(finding))}\n`);
      },
    };
  }

  #summaryText(summary: Summary): string {
    const { sort, format } = this.#plan.options;
    const style = sort === undefined ? {} : { sort };
    if (format === "json" && this.#plan.options.summaryOnly === true) {
      return `${oneLine(JSON.stringify(summaryToJson(summary, style)))}\n`;
    }
    return formatSummary(summary, style);
  }

  #startTop(): Top {
    const isTerminal = this.#output.outHasColor;
    const top = new Top({
      write: (text) => this.#out.write(text),
      isTerminal,
      ...(isTerminal ? { size: () => Deno.consoleSize() } : {}),
    });
    this.#topTimer = setInterval(() => this.#showTop(top), TOP_MS);
    return top;
  }

  #stopTop(): void {
    clearInterval(this.#topTimer);
    const top = this.#top;
    this.#top = null;
    if (top !== null) this.#showTop(top);
  }

  #showTop(top: Top): void {
    const now = performance.now();
    top.show((now - this.#shown) / 1000);
    this.#shown = now;
  }
}

/** Tells several observers: of numbers those who want no transactions. */
function fannedOut(observers: readonly Observer[]): Observer {
  const framing = observers.filter(({ frame }) => frame !== undefined);
  const counting = observers.filter(({ transaction, exchange }) =>
    transaction === undefined && exchange !== undefined
  );
  const record = new ExchangeRecord();
  return {
    begin: (clock) => {
      for (const each of observers) each.begin?.(clock);
    },
    opened: (conversation, time) => {
      for (const each of observers) each.opened?.(conversation, time);
    },
    ...(framing.length === 0 ? {} : {
      frame: (frame: Frame) => {
        for (const each of framing) each.frame?.(frame);
      },
    }),
    transaction: (transaction) => {
      for (const each of observers) each.transaction?.(transaction);
      if (counting.length === 0) return;
      const exchange = record.fill(transaction);
      for (const each of counting) each.exchange?.(exchange);
    },
    gap: (gap) => {
      for (const each of observers) each.gap?.(gap);
    },
    finding: (finding) => {
      for (const each of observers) each.finding?.(finding);
    },
    closed: (conversation, time) => {
      for (const each of observers) each.closed?.(conversation, time);
    },
    end: async (time) => {
      for (const each of observers) await each.end?.(time);
    },
  };
}

/** Frames of the transactions that were chosen: those that were seen are told before it is known which. */
function withFrames(next: Observer): Observer {
  const frame = (half: Half, { conversation, ring }: Transaction, isReply: boolean): Frame => ({
    conversation,
    direction: isReply ? "reply" : "request",
    time: half.time,
    size: half.size,
    bytes: half.bytes,
    start: 0,
    end: half.bytes.length,
    ...(isReply && ring !== undefined ? { ring } : {}),
  });
  return {
    begin: (clock) => next.begin?.(clock),
    opened: (conversation, time) => next.opened?.(conversation, time),
    transaction: (transaction) => {
      const { request, reply } = transaction;
      if (next.frame !== undefined) {
        if (request !== null) next.frame(frame(request, transaction, false));
        if (reply !== null) next.frame(frame(reply, transaction, true));
      }
      next.transaction?.(transaction);
    },
    gap: (gap) => next.gap?.(gap),
    finding: (finding) => next.finding?.(finding),
    closed: (conversation, time) => next.closed?.(conversation, time),
    end: (time) => next.end?.(time),
  };
}

/** Lets a judge look on: a finding is told after what it is about, and before a conversation is closed. */
function judged(next: Observer, lint: Lint): Observer {
  return {
    begin: (clock) => next.begin?.(clock),
    opened: (conversation, time) => next.opened?.(conversation, time),
    frame: (frame) => {
      next.frame?.(frame);
      lint.frame(frame);
    },
    transaction: (transaction) => {
      next.transaction?.(transaction);
      lint.transaction(transaction);
    },
    gap: (gap) => {
      next.gap?.(gap);
      lint.gap(gap);
    },
    closed: (conversation, time) => {
      lint.closed(conversation, time);
      next.closed?.(conversation, time);
    },
    end: (time) => {
      lint.end(time);
      return next.end?.(time);
    },
  };
}

/** `share.pcapng` as `share-0001.pcapng`. */
export function numbered(path: string, index: number): string {
  const [, stem = path, suffix = ""] = /^(.*[^/])(\.[^./]+)$/.exec(path) ?? [];
  return `${stem}-${String(index).padStart(4, "0")}${suffix}`;
}

function tallyOf(findings: Readonly<Record<Severity, number>>): string {
  const parts = SEVERITIES.filter((each) => findings[each] > 0)
    .map((each) => `${findings[each]} ${each}${findings[each] === 1 ? "" : "s"}`);
  return parts.length === 0 ? "no findings\n" : `${parts.join(", ")}\n`;
}
