/**
 * `virtfs trace`: what 9P clients and servers say to each other, a line for each transaction.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "commander";
import {
  chosen,
  CsvLines,
  type Filter,
  filterOf,
  JsonLines,
  type Observer,
  Session,
  type Stamp,
  TextLines,
} from "../lib/trace/mod.ts";
import {
  BenchUsageError as UsageError,
  parseWords,
  repeated,
  untilSignal,
  wholeNumber,
} from "./bench_words.ts";
import { EXIT, oneLine, type Output, reportError } from "./output.ts";
import { TraceOutput } from "./trace_output.ts";
import { readSource } from "./trace_source.ts";

interface Options {
  readonly expr?: readonly string[];
  readonly path?: readonly string[];
  readonly successful?: boolean;
  readonly failed?: boolean;
  readonly status?: readonly string[];
  readonly errno?: readonly string[];
  readonly slower?: number;
  readonly conn?: readonly string[];
  readonly displayFilter?: string;
  readonly format: "text" | "json" | "csv";
  readonly output?: string;
  readonly count?: number;
  readonly strings?: number;
  readonly hex?: boolean;
  readonly verbose?: boolean;
  readonly time: number;
  readonly relative?: boolean;
  readonly utc?: boolean;
  readonly latency: "us" | "ns" | "none";
  readonly quiet?: boolean;
  readonly color: "auto" | "always" | "never";
  readonly port?: readonly number[];
}

/** Bytes of a payload in a line of text unless somebody asks for more. */
const STRINGS = 32;

/**
 * Runs the command in this process.
 *
 * @param args Words after `trace`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  try {
    const command = traceCommand(output);
    if (!parseWords(command, args)) return EXIT.done;
    const [path, extra] = command.args;
    if (path === undefined) {
      throw new UsageError("a FILE is missing: name a capture, or - for standard input");
    }
    if (extra !== undefined) throw new UsageError(`one FILE is enough, not "${extra}" too`);
    return await trace(path, command.opts<Options>(), output);
  } catch (error) {
    return reportError(output, "virtfs trace", error);
  }
}

function traceCommand(output: Output): Command {
  return new Command("virtfs trace")
    .description(
      "Show what 9P clients and servers say to each other, a line for each request and its reply.\n\n" +
        "FILE is a capture of tcpdump or Wireshark (pcap or pcapng, also packed with gzip), or " +
        "what trace --format json wrote; - is standard input.",
    )
    .usage("FILE|- [options]")
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
      new Option("--format <FORMAT>", "text, json (one object a line) or csv")
        .choices(["text", "json", "csv"]).default("text"),
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
    .optionsGroup("Of captures:")
    .option("--port <LIST>", "TCP ports of 9P servers (default: 564,5640)", portList);
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

function portList(text: string): number[] {
  return list(text, undefined).map(wholeNumber(1, 65_535));
}

const STAMPS: readonly Stamp[] = ["none", "t", "tt", "ttt"];

function stampOf({ time, relative }: Options): Stamp {
  const stamp = STAMPS[time];
  if (stamp === undefined) throw new UsageError("-t is there more than three times");
  if (relative === true && time > 0) throw new UsageError("-r and -t do not go together");
  return relative === true ? "r" : stamp;
}

function filterFrom(options: Options): Filter | null {
  const { expr, path, successful, failed, status, errno, slower, conn, displayFilter } = options;
  if (successful === true && failed === true) throw new UsageError("-z and -Z leave nothing");
  const wanted = successful === true ? ["successful"] : failed === true ? ["failed"] : status;
  if (status !== undefined && wanted !== status) {
    throw new UsageError(`-${successful === true ? "z" : "Z"} and --status do not go together`);
  }
  return filterOf({
    ...(expr === undefined ? {} : { expressions: expr }),
    ...(path === undefined ? {} : { paths: path }),
    ...(wanted === undefined ? {} : { status: wanted }),
    ...(errno === undefined ? {} : { errno }),
    ...(slower === undefined ? {} : { slower }),
    ...(conn === undefined ? {} : { conversations: conn }),
    ...(displayFilter === undefined ? {} : { display: displayFilter }),
  });
}

/** Who writes the lines. */
function linesOf(options: Options, stamp: Stamp, output: Output, sink: TraceOutput): Observer {
  const write = (text: string): void => sink.write(text);
  const { format, strings, hex = false, verbose = false, latency, quiet = false } = options;
  if (format === "json") return new JsonLines(write, strings ?? Infinity);
  // A hex dump shows all that there is, and the line above it an excerpt.
  const style = { strings: strings ?? STRINGS, verbose, latency };
  if (format === "csv") return new CsvLines(write, style);
  const isColored = options.color === "always" ||
    (options.color === "auto" && output.outHasColor && options.output === undefined);
  return new TextLines(write, {
    ...style,
    stamp,
    quiet,
    hex,
    hexBytes: strings ?? Infinity,
    utc: options.utc === true,
    color: isColored,
  });
}

async function trace(path: string, options: Options, output: Output): Promise<number> {
  const stamp = stampOf(options);
  const filter = filterFrom(options);
  refuseOverwriting(path, options.output);
  const { value: reading, signal: interrupted } = await untilSignal(async (signal) => {
    const stop = new AbortController();
    using sink = new TraceOutput(output, options.output, () => stop.abort());
    const lines = linesOf(options, stamp, output, sink);
    const transactions = chosen(lines, {
      filter,
      ...(options.count === undefined ? {} : { most: options.count }),
      onFull: () => stop.abort(),
    });
    const needsAll = options.format === "json" || options.hex === true;
    const payload = options.strings ?? (needsAll ? Infinity : STRINGS);
    const frames = new Session([transactions], { needs: "messages", payload });
    return await readSource(path, { frames, transactions }, {
      signal: AbortSignal.any([signal, stop.signal]),
      ...(options.port === undefined ? {} : { ports: options.port }),
    });
  });
  for (const note of reading?.notes ?? []) output.err(`virtfs trace: ${oneLine(note)}\n`);
  if (interrupted !== undefined) {
    return interrupted === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
  }
  return reading?.isKnown === true ? EXIT.done : EXIT.failed;
}

/** A capture must not be lost because its name is there twice. */
function refuseOverwriting(from: string, to: string | undefined): void {
  if (from === "-" || to === undefined) return;
  let isSame = false;
  try {
    const [a, b] = [Deno.statSync(from), Deno.statSync(to)];
    isSame = a.ino !== null && a.ino === b.ino && a.dev === b.dev && b.isFile;
  } catch {
    // One of them is not there: reading says so, or writing makes it.
  }
  if (isSame) throw new UsageError(`--output names FILE itself, "${from}"`);
}
