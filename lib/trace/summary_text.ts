/**
 * A summary for people and for programs.
 *
 * @module
 */
import { errnoName } from "../p9/mod.ts";
import type { FileTally } from "./file_tally.ts";
import type { Histogram } from "./histogram.ts";
import type { MessageTally, Summary } from "./summary.ts";
import {
  bytesText,
  type Column,
  columns,
  durationText,
  errnoText,
  pathText,
  typeText,
} from "./units.ts";

/** By what the messages of a summary can be sorted: column, and the number in it. */
const SORTS = {
  time: ({ latency }: MessageTally): number => latency.sum,
  count: ({ count }: MessageTally): number => count,
  errors: ({ errors }: MessageTally): number => errors,
  bytes: ({ bytes }: MessageTally): number => bytes,
  mean: ({ latency }: MessageTally): number => latency.mean,
  p50: ({ latency }: MessageTally): number => latency.quantile(0.5),
  p95: ({ latency }: MessageTally): number => latency.quantile(0.95),
  p99: ({ latency }: MessageTally): number => latency.quantile(0.99),
  max: ({ latency }: MessageTally): number => latency.max,
  name: ({ type }: MessageTally): string => typeText(type),
} as const satisfies Record<SummarySort, (tally: MessageTally) => number | string>;

/** By what the messages of a summary can be sorted. */
export type SummarySort =
  | "time"
  | "count"
  | "errors"
  | "bytes"
  | "mean"
  | "p50"
  | "p95"
  | "p99"
  | "max"
  | "name";

/** All of them, for the command line. */
export const SUMMARY_SORTS: readonly SummarySort[] = Object.keys(SORTS) as SummarySort[];

/** How a summary is shown. */
export interface SummaryStyle {
  /** By what the messages are sorted, the largest first; by time if not given. */
  readonly sort?: SummarySort;
  /** Files that are listed; 20 if not given. */
  readonly files?: number;
}

/** Width of the longest bar of a histogram. */
const BAR = 40;

/** Messages in an order. */
export function sortedMessages(summary: Summary, sort: SummarySort = "time"): MessageTally[] {
  const key = SORTS[sort];
  return summary.messages.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return typeof x === "number" && typeof y === "number"
      ? y - x || a.type - b.type
      : String(x).localeCompare(String(y));
  });
}

/** Files in order of the time that their requests took. */
export function sortedFiles(summary: Summary, most: number): FileTally[] {
  return [...summary.files.values()].sort((a, b) => b.time - a.time || (a.path < b.path ? -1 : 1))
    .slice(0, most);
}

/** A summary as text: tables of messages, files and errors, concurrency and a histogram. */
export function formatSummary(summary: Summary, style: SummaryStyle = {}): string {
  return [
    overview(summary),
    messageTable(summary, style.sort),
    fileTable(summary, style.files ?? 20),
    errnoTable(summary),
    depthTable(summary),
    histogramText(summary.latency),
  ].filter((part) => part !== "").join("\n");
}

function overview(summary: Summary): string {
  const requests = summary.messages.reduce((sum, { count }) => sum + count, 0);
  const bytes = summary.messages.reduce((sum, each) => sum + each.bytes, 0);
  const lines = [
    `${plural(requests, "request")} in ${plural(summary.conversations, "conversation")}, ` +
    `${bytesText(bytes)}, ${durationText(summary.elapsed)}`,
  ];
  const { unfinished, lost, flushed, unasked } = summary;
  if (unfinished + lost + flushed + unasked > 0) {
    lines.push(
      `${unfinished} unfinished, ${flushed} flushed, ${lost} with a lost reply, ` +
        `${plural(unasked, "reply", "replies")} without a request`,
    );
  }
  if (summary.gaps > 0) {
    lines.push(
      `${plural(summary.gaps, "gap")}: ${summary.lostBytes} bytes not captured, ` +
        `${summary.skippedBytes} skipped`,
    );
  }
  return lines.map((line) => `${line}\n`).join("");
}

const MESSAGE_COLUMNS: readonly Column[] = [
  { title: "% time" },
  { title: "total" },
  { title: "mean" },
  { title: "p50" },
  { title: "p95" },
  { title: "p99" },
  { title: "max" },
  { title: "count" },
  { title: "errors" },
  { title: "bytes" },
  { title: "message", isLeft: true },
];

function messageTable(summary: Summary, sort?: SummarySort): string {
  const messages = sortedMessages(summary, sort);
  if (messages.length === 0) return "";
  const all = summary.latency;
  const row = (
    latency: Histogram,
    count: number,
    errors: number,
    bytes: number,
    name: string,
  ): string[] => [
    (all.sum > 0 ? 100 * latency.sum / all.sum : 0).toFixed(2),
    ...[latency.sum, latency.mean, latency.quantile(0.5), latency.quantile(0.95)].map(durationText),
    ...[latency.quantile(0.99), latency.max].map(durationText),
    String(count),
    errors === 0 ? "" : String(errors),
    bytesText(bytes),
    name,
  ];
  const sum = (of: (each: MessageTally) => number): number =>
    messages.reduce((total, each) => total + of(each), 0);
  return columns(MESSAGE_COLUMNS, [
    ...messages.map(({ latency, count, errors, bytes, type }) =>
      row(latency, count, errors, bytes, typeText(type))
    ),
    row(
      all,
      sum(({ count }) => count),
      sum(({ errors }) => errors),
      sum(({ bytes }) => bytes),
      "total",
    ),
  ]);
}

const FILE_COLUMNS: readonly Column[] = [
  { title: "time" },
  { title: "opens" },
  { title: "reads" },
  { title: "read" },
  { title: "writes" },
  { title: "written" },
  { title: "order" },
  { title: "working set" },
  { title: "other" },
  { title: "errors" },
  { title: "file", isLeft: true },
];

function fileTable(summary: Summary, most: number): string {
  const { files } = summary;
  if (files.size === 0 || most === 0) return "";
  const shown = sortedFiles(summary, most);
  const notes: string[] = [];
  if (files.size > shown.length) notes.push(`${files.size - shown.length} more files\n`);
  if (files.dropped > 0) {
    const { rest } = files;
    notes.push(
      `There were too many files to keep apart: ${files.dropped} of the least used were counted ` +
        `together, ${rest.requests} requests, ${bytesText(rest.readBytes)} read, ` +
        `${bytesText(rest.writtenBytes)} written\n`,
    );
  }
  return columns(FILE_COLUMNS, shown.map(fileRow)) + notes.join("");
}

function fileRow(file: FileTally): string[] {
  return [
    durationText(file.time),
    String(file.opens),
    String(file.reads),
    bytesText(file.readBytes),
    String(file.writes),
    bytesText(file.writtenBytes),
    orderText(file),
    bytesText(file.workingSet),
    String(file.others),
    file.errors === 0 ? "" : String(file.errors),
    pathText(file.path),
  ];
}

/** Whether a file was read and written from its beginning to its end. */
export function orderText({ sequential, random }: FileTally): string {
  if (sequential + random === 0) return "";
  // One alone has no order.
  if (sequential + random === 1) return "-";
  if (random === 0) return "sequential";
  const share = 100 * random / (sequential + random);
  return `${share < 1 ? "<1" : share.toFixed(0)} % random`;
}

function errnoTable(summary: Summary): string {
  const rows = summary.errnos.map(({ errno, count, byType }) => [
    String(count),
    errnoText(errno),
    [...byType].flatMap((each, type) => each > 0 ? [`${typeText(type)} ${each}`] : []).join(", "),
  ]);
  if (rows.length === 0) return "";
  const other = summary.otherErrors > 0 ? `${summary.otherErrors} errors of other numbers\n` : "";
  return columns([
    { title: "count" },
    { title: "error", isLeft: true },
    { title: "of", isLeft: true },
  ], rows) + other;
}

function depthTable(summary: Summary): string {
  const { depths } = summary;
  const all = depths.reduce((sum, each) => sum + each, 0);
  if (all === 0) return "";
  const rows: string[][] = [];
  for (let from = 1; from <= depths.length; from *= 2) {
    const count = depths.slice(from - 1, 2 * from - 1).reduce((sum, each) => sum + each, 0);
    const range = from === 1 ? "1" : `${from} to ${2 * from - 1}`;
    if (count > 0) rows.push([range, String(count), bar(count / all)]);
  }
  return `Concurrency: ${summary.concurrency.toFixed(2)} requests under way on average, ` +
    `${summary.deepest} at most\n` +
    columns([
      { title: "under way" },
      { title: "count" },
      { title: "", isLeft: true },
    ], rows);
}

function histogramText(latency: Histogram): string {
  const octaves = latency.octaves();
  const most = octaves.reduce((max, { count }) => Math.max(max, count), 0);
  if (most === 0) return "";
  return columns(
    [
      { title: "latency from" },
      { title: "to" },
      { title: "count" },
      { title: "", isLeft: true },
    ],
    octaves.map(({ from, to, count }) => [
      durationText(from),
      durationText(to),
      String(count),
      bar(count / most),
    ]),
  );
}

function bar(share: number): string {
  return "#".repeat(Math.max(1, Math.round(share * BAR)));
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A summary for programs; all times in nanoseconds, all sizes in bytes. */
export interface SummaryJson {
  /** Conversations. */
  readonly conversations: number;
  /** From first to last. */
  readonly elapsed: number;
  /** Transactions that were not answered, by outcome, and answers that nobody asked for. */
  readonly outcomes: Readonly<Record<"unfinished" | "lost" | "flushed" | "unasked", number>>;
  /** Gaps, and bytes in them. */
  readonly gaps: { readonly count: number; readonly lost: number; readonly skipped: number };
  /** By message. */
  readonly messages: readonly MessageJson[];
  /** By file, those that took longest first. */
  readonly files: readonly FileJson[];
  /** Files that were counted together because there were too many. */
  readonly droppedFiles: number;
  /** By error. */
  readonly errors: readonly ErrorJson[];
  /** Requests under way: on average, at most, and how many began at each depth from 1 on. */
  readonly concurrency: {
    readonly mean: number;
    readonly max: number;
    readonly depths: readonly number[];
  };
  /** Latencies by powers of two. */
  readonly latency: readonly {
    readonly from: number;
    readonly to: number;
    readonly count: number;
  }[];
}

/** Counts of a message, for programs. */
export interface MessageJson {
  /** Name of the request. */
  readonly message: string;
  /** Requests. */
  readonly count: number;
  /** Refused ones. */
  readonly errors: number;
  /** Those without an answer. */
  readonly unanswered: number;
  /** Bytes of requests and replies. */
  readonly bytes: number;
  /** Bytes read or written. */
  readonly moved: number;
  /** Sum of the latencies. */
  readonly total: number;
  /** Their mean. */
  readonly mean: number;
  /** Their median. */
  readonly p50: number;
  /** Below which 95 % are. */
  readonly p95: number;
  /** Below which 99 % are. */
  readonly p99: number;
  /** The longest. */
  readonly max: number;
}

/** Counts of a file, for programs. */
export interface FileJson {
  /** Path. */
  readonly path: string;
  /** Opens and creations. */
  readonly opens: number;
  /** Reads. */
  readonly reads: number;
  /** Writes. */
  readonly writes: number;
  /** Other requests. */
  readonly others: number;
  /** Refused ones. */
  readonly errors: number;
  /** Bytes read. */
  readonly readBytes: number;
  /** Bytes written. */
  readonly writtenBytes: number;
  /** Reads and writes that went on where the last one ended. */
  readonly sequential: number;
  /** Those that did not. */
  readonly random: number;
  /** Bytes read or written at least once, rounded up to `workingSetUnit`. */
  readonly workingSet: number;
  /** See `workingSet`. */
  readonly workingSetUnit: number;
  /** Sum of the latencies. */
  readonly time: number;
}

/** Counts of an error, for programs. */
export interface ErrorJson {
  /** Its number; -1 for errors without one. */
  readonly errno: number;
  /** Its name, if it has one. */
  readonly name?: string;
  /** How often. */
  readonly count: number;
  /** How often by request. */
  readonly messages: Readonly<Record<string, number>>;
}

/** A summary for programs. */
export function summaryToJson(summary: Summary, style: SummaryStyle = {}): SummaryJson {
  const { unfinished, lost, flushed, unasked } = summary;
  return {
    conversations: summary.conversations,
    elapsed: summary.elapsed,
    outcomes: { unfinished, lost, flushed, unasked },
    gaps: { count: summary.gaps, lost: summary.lostBytes, skipped: summary.skippedBytes },
    messages: sortedMessages(summary, style.sort).map((each) => ({
      message: typeText(each.type),
      count: each.count,
      errors: each.errors,
      unanswered: each.unanswered,
      bytes: each.bytes,
      moved: each.moved,
      total: each.latency.sum,
      mean: each.latency.mean,
      p50: each.latency.quantile(0.5),
      p95: each.latency.quantile(0.95),
      p99: each.latency.quantile(0.99),
      max: each.latency.max,
    })),
    files: sortedFiles(summary, style.files ?? Infinity).map((file) => ({
      path: file.path,
      opens: file.opens,
      reads: file.reads,
      writes: file.writes,
      others: file.others,
      errors: file.errors,
      readBytes: file.readBytes,
      writtenBytes: file.writtenBytes,
      sequential: file.sequential,
      random: file.random,
      workingSet: file.workingSet,
      workingSetUnit: file.unit,
      time: file.time,
    })),
    droppedFiles: summary.files.dropped,
    errors: summary.errnos.map(({ errno, count, byType }) => {
      const name = errnoName(errno);
      return {
        errno,
        ...(name === undefined ? {} : { name }),
        count,
        messages: Object.fromEntries(
          [...byType].flatMap((each, type) => each > 0 ? [[typeText(type), each]] : []),
        ),
      };
    }),
    concurrency: { mean: summary.concurrency, max: summary.deepest, depths: summary.depths },
    latency: summary.latency.octaves(),
  };
}
