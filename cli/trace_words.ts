/**
 * The words of `virtfs trace`.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "commander";
import {
  isRule,
  PCAP_FORMATS,
  type PcapFormat,
  REDACTABLE,
  type RuleName,
  SEVERITIES,
  type Severity,
  SUMMARY_SORTS,
  type SummarySort,
} from "../lib/trace/mod.ts";
import { repeated, wholeNumber } from "./bench_words.ts";
import type { Output } from "./output.ts";
import { addLiveOptions, type LiveOptions } from "./trace_live.ts";

/** How transactions are written. */
export type TraceFormat = "text" | "json" | "csv" | "pcapng" | "perfetto";

const FORMATS: readonly TraceFormat[] = ["text", "json", "csv", "pcapng", "perfetto"];

/** When another file begins. */
export interface Rotation {
  /** Bytes from which on a file is full. */
  readonly bytes: number;
  /** Files that are kept; all if not given. */
  readonly keep?: number;
}

/** What the options say. */
export interface TraceOptions extends LiveOptions {
  /** Expressions of `-e`. */
  readonly expr?: readonly string[];
  /** Patterns of paths. */
  readonly path?: readonly string[];
  /** `-z`. */
  readonly successful?: boolean;
  /** `-Z`. */
  readonly failed?: boolean;
  /** What became of them. */
  readonly status?: readonly string[];
  /** Errors. */
  readonly errno?: readonly string[];
  /** Least time, nanoseconds. */
  readonly slower?: number;
  /** Conversations. */
  readonly conn?: readonly string[];
  /** `-Y`. */
  readonly displayFilter?: string;
  /** How transactions are written; by the name of the file if not given. */
  readonly format?: TraceFormat;
  /** The file. */
  readonly output?: string;
  /** How many. */
  readonly count?: number;
  /** Bytes of a payload. */
  readonly strings?: number;
  /** Whether payloads are dumped. */
  readonly hex?: boolean;
  /** Whether everything is shown. */
  readonly verbose?: boolean;
  /** How often `-t` was there. */
  readonly time: number;
  /** `-r`. */
  readonly relative?: boolean;
  /** Times in UTC. */
  readonly utc?: boolean;
  /** Its unit. */
  readonly latency: "us" | "ns" | "none";
  /** No conversations. */
  readonly quiet?: boolean;
  /** When to color. */
  readonly color: "auto" | "always" | "never";
  /** `-c`. */
  readonly summaryOnly?: boolean;
  /** `-C`. */
  readonly summary?: boolean;
  /** Order of the messages of a summary. */
  readonly sort?: SummarySort;
  /** A live view. */
  readonly top?: boolean;
  /** File for a report. */
  readonly report?: string;
  /** Whether to judge. */
  readonly lint?: boolean;
  /** What ends with an exit code of its own. */
  readonly failOn?: Severity | RuleName;
  /** Rules that do not count. */
  readonly ignore?: readonly string[];
  /** How packets look. */
  readonly pcapFormat?: PcapFormat;
  /** What is replaced. */
  readonly redact?: readonly string[];
  /** How many of the last to keep. */
  readonly last?: number;
  /** When another file begins. */
  readonly rotate?: Rotation;
}

/** Builds the command for its help and its parser. */
export function traceCommand(output: Output): Command {
  const command = new Command("virtfs trace")
    .description(
      "Show what 9P clients and servers say to each other, a line for each request and its reply.\n\n" +
        "FILE is a capture of tcpdump or Wireshark (pcap or pcapng, also packed with gzip or zstd), or " +
        "what trace --format json wrote, or a log: of the kernel's tracepoints 9p_* or of QEMU's " +
        "v9fs_*. - is standard input.\n\n" +
        "trace replay FILE --to ADDRESS plays a capture to a server, trace diff A B compares two, and " +
        "trace explain RULE says what --lint means.",
    )
    .usage("FILE|- [options]\n       virtfs trace --listen ADDRESS --to ADDRESS [options]")
    .argument("[FILE]")
    .argument("[more...]")
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false })
    .configureHelp({ visibleArguments: () => [] })
    .optionsGroup("Which transactions:")
    .option(
      "-e, --expr <EXPR>",
      "trace=LIST of requests, %groups and /patterns/, turned round by !, such as " +
        "trace=%meta,Tread or trace=!%data; status=LIST; repeat it to narrow it down",
      repeated(String),
    )
    .option("-P, --path <GLOB>", "those that touch a path, such as '/etc/**'", repeated(String))
    .option("-z, --successful", "those that succeeded")
    .option("-Z, --failed", "those that failed")
    .option(
      "--status <LIST>",
      "any of successful, failed, unfinished, lost, flushed, unasked",
      list,
    )
    .option("--errno <LIST>", "those that failed so, such as ENOENT,13", list)
    .option("--slower <TIME>", "those that took as long or longer, such as 10ms", timeSpan)
    .option("--conn <LIST>", "those of some conversations, such as c1,c3", list)
    .option(
      "-Y, --display-filter <FILTER>",
      "in the words of Wireshark, such as '9p.fid == 3 && 9p.wname contains \"tmp\"'",
    )
    .option("-n, --count <N>", "stop after so many", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .optionsGroup("How they look:")
    .addOption(
      new Option(
        "--format <FORMAT>",
        "text, json (one object a line), csv, pcapng for Wireshark, or perfetto for ui.perfetto.dev " +
          "(default: by the name of --output, else text)",
      ).choices(FORMATS),
    )
    .option("-o, --output <FILE>", "write to a file")
    .option(
      "-s, --strings <BYTES>",
      "bytes of what is read and written, or all (default: 32, in JSON all)",
      byteCount,
    )
    .option("--hex", "show them as a hex dump, too")
    .option("-v, --verbose", "show tags, all attributes, whole entries and lists")
    .option(
      "-t, --time",
      "time of day; -tt with microseconds, -ttt seconds since 1970",
      (_: string, before: number) => before + 1,
      0,
    )
    .option("-r, --relative", "time since the line before")
    .option("--utc", "times of day in UTC")
    .addOption(
      new Option("--latency <UNIT>", "time from request to reply: us, ns or none")
        .choices(["us", "ns", "none"]).default("us"),
    )
    .option("-T", "as --latency us, for those who know strace")
    .option("-q, --quiet", "leave out when conversations begin and end")
    .addOption(
      new Option("--color <WHEN>", "auto, always or never")
        .choices(["auto", "always", "never"]).default("auto"),
    )
    .optionsGroup("What they come to:")
    .option("-c, --summary-only", "counts, times and bytes by message, file and error, no lines")
    .option("-C, --summary", "lines, and then the summary")
    .addOption(
      new Option("-S, --sort <COLUMN>", `order of the messages in it (default: time)`)
        .choices(SUMMARY_SORTS),
    )
    .option("--top", "what is going on now, every second")
    .option("--report <FILE.html>", "a page with times, busy files, slow requests and findings")
    .option("--lint", "tell what breaks the protocol, and what wastes time")
    .option(
      "--fail-on <SEVERITY|RULE>",
      "lint, and end with exit code 3 if something so grave is found: error, warning, note, or a " +
        "rule such as L007",
      severityOrRule,
    )
    .option("--ignore <LIST>", "rules that do not count, such as L021,L022", ruleList)
    .optionsGroup("Captures to keep:")
    .addOption(
      new Option(
        "--pcap-format <HOW>",
        "pdu (each message a packet, which Wireshark opens as 9P) or tcp (for every program)",
      ).choices(PCAP_FORMATS),
    )
    .option(
      "--redact <WHAT>",
      "replace names, or what is read and written: names, data or both, as names,data",
      redactable,
    )
    .option("--last <N>", "keep the last N transactions, and write them at the end", most)
    .option(
      "--rotate <SIZE[,COUNT]>",
      "begin another file after SIZE bytes, k, M and G being units; keep the last COUNT",
      rotation,
    )
    .optionsGroup("Of captures:")
    .option("--port <LIST>", "TCP ports of 9P servers (default: 564,5640)", portList);
  return addLiveOptions(command);
}

function most(text: string): number {
  return wholeNumber(1, 10_000_000)(text);
}

function severityOrRule(text: string): Severity | RuleName {
  const severity = SEVERITIES.find((each) => each === text);
  if (severity !== undefined) return severity;
  if (isRule(text)) return text;
  throw new InvalidArgumentError("It is neither error, warning, note nor a rule such as L007.");
}

function ruleList(text: string, before: readonly string[] | undefined): string[] {
  const rules = list(text, before);
  for (const each of rules) {
    if (!isRule(each)) throw new InvalidArgumentError(`There is no rule "${each}".`);
  }
  return rules;
}

function redactable(text: string, before: readonly string[] | undefined): string[] {
  const words = list(text, before);
  for (const each of words) {
    if (!REDACTABLE.includes(each)) throw new InvalidArgumentError("It takes names, data or both.");
  }
  return words;
}

function rotation(text: string): Rotation {
  const [, number = "", unit = "", count] = /^(\d{1,9})([kMG]?)(?:,(\d{1,6}))?$/.exec(text) ?? [];
  const bytes = Number(number) * ({ k: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit] ?? 1);
  if (number === "" || bytes < 4096 || Number(count ?? 1) < 1) {
    throw new InvalidArgumentError("It is no size of 4k or more with a count, such as 64M,8.");
  }
  return { bytes, ...(count === undefined ? {} : { keep: Number(count) }) };
}

function list(text: string, before: readonly string[] | undefined): string[] {
  const words = text.split(",").map((word) => word.trim()).filter((word) => word !== "");
  if (words.length === 0) throw new InvalidArgumentError("It is empty.");
  return [...(before ?? []), ...words];
}

/** A span of time in nanoseconds. */
function timeSpan(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s)$/.exec(text) ?? [];
  const factor = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 }[unit];
  if (factor === undefined) {
    throw new InvalidArgumentError("It is no time with its unit, such as 10ms, 250us or 1.5s.");
  }
  return Number(number) * factor;
}

function byteCount(text: string): number {
  return text === "all" ? Infinity : wholeNumber(0, 2 ** 31)(text);
}

/** Ports, with commas between them. */
export function portList(text: string): number[] {
  return list(text, undefined).map(wholeNumber(1, 65_535));
}
