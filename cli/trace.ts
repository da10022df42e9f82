/**
 * `virtfs trace`: what 9P clients and servers say to each other, a line for each transaction.
 *
 * @module
 */
import { resolve } from "node:path";
import { type Filter, filterOf, type Stamp } from "../lib/trace/mod.ts";
import { BenchUsageError as UsageError, parseWords, untilSignal } from "./bench_words.ts";
import { EXIT, oneLine, type Output, reportError } from "./output.ts";
import { isLive, watchLive } from "./trace_live.ts";
import { type Reading, readSource } from "./trace_source.ts";
import { hasLines, isFile, type ViewPlan, Views } from "./trace_views.ts";
import { traceCommand, type TraceFormat, type TraceOptions } from "./trace_words.ts";

/** Commands of their own behind `trace`, beside `help`; a file of that name is `./replay`. */
const COMMANDS: Readonly<
  Record<
    string,
    () => Promise<{ run(args: readonly string[], output: Output): Promise<number> }>
  >
> = {
  replay: () => import("./trace_replay.ts"),
  diff: () => import("./trace_diff.ts"),
  explain: () => import("./trace_explain.ts"),
};

/**
 * Runs the command in this process.
 *
 * @param args Words after `trace`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const isHelp = args[0] === "help";
  const words = isHelp ? [...args.slice(1), "--help"] : args;
  const [word = "", ...rest] = words;
  const load = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
  if (load !== undefined) return await (await load()).run(rest, output);
  try {
    const command = traceCommand(output);
    if (!parseWords(command, words)) return EXIT.done;
    const options = command.opts<TraceOptions>();
    const [path, extra] = command.args;
    if (extra !== undefined) throw new UsageError(`one FILE is enough, not "${extra}" too`);
    if (isLive(options)) {
      if (path !== undefined) {
        throw new UsageError(`a FILE, "${path}", and what happens now do not go together`);
      }
      return await trace(undefined, options, output);
    }
    if (path === undefined) {
      throw new UsageError("a FILE is missing: name a capture, or - for standard input");
    }
    return await trace(path, options, output);
  } catch (error) {
    return reportError(output, "virtfs trace", error);
  }
}

const STAMPS: readonly Stamp[] = ["none", "t", "tt", "ttt"];

function stampOf({ time, relative }: TraceOptions): Stamp {
  const stamp = STAMPS[time];
  if (stamp === undefined) throw new UsageError("-t is there more than three times");
  if (relative === true && time > 0) throw new UsageError("-r and -t do not go together");
  return relative === true ? "r" : stamp;
}

function filterFrom(options: TraceOptions): Filter | null {
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

/** Formats by the ends of names. */
const SUFFIXES: readonly [RegExp, TraceFormat][] = [
  [/\.(?:pcapng|pcap|ntar)$/i, "pcapng"],
  [/\.(?:perfetto|perfetto-trace|perfetto\.json|trace\.json)$/i, "perfetto"],
  [/\.(?:json|jsonl|ndjson)$/i, "json"],
  [/\.csv$/i, "csv"],
];

function formatOf({ format, output = "", summaryOnly }: TraceOptions): TraceFormat {
  if (format !== undefined) return format;
  if (summaryOnly === true) return "text";
  return SUFFIXES.find(([suffix]) => suffix.test(output))?.[1] ?? "text";
}

/** Refuses what does not go together. */
function checkViews(
  options: TraceOptions,
  format: TraceFormat,
  path: string | undefined,
  output: Output,
): void {
  const { summaryOnly, summary, sort, top, pcapFormat, rotate, last } = options;
  const where = options.output;
  const hasSummary = summaryOnly === true || summary === true;
  if (summaryOnly === true && summary === true) throw new UsageError("-c and -C: choose one");
  if (sort !== undefined && !hasSummary) throw new UsageError("-S is the order of -c and -C");
  if (summaryOnly === true && format !== "text" && format !== "json") {
    throw new UsageError(`-c writes text or json; -C -o FILE writes ${format} and a summary`);
  }
  if (summary === true && where === undefined && format !== "text") {
    throw new UsageError(`-C and ${format} do not go to one place: take -o FILE`);
  }
  if (top === true) {
    if (path !== undefined && path !== "-") {
      throw new UsageError("--top is about now: it takes --listen, --interface or -");
    }
    if (hasSummary || (where === undefined && options.format !== undefined)) {
      throw new UsageError("--top has standard output for itself: lines take -o FILE");
    }
  }
  if (pcapFormat !== undefined && format !== "pcapng") {
    throw new UsageError("--pcap-format is for --format pcapng");
  }
  if (rotate !== undefined && (where === undefined || summaryOnly === true)) {
    throw new UsageError("--rotate takes -o FILE: what it is to write");
  }
  if (rotate !== undefined && last !== undefined) {
    throw new UsageError("--rotate and --last are two ways to keep little: choose one");
  }
  if (isFile(format) && where === undefined && hasLines(options) && output.outHasColor) {
    throw new UsageError(`${format} is not for a terminal: take -o FILE`);
  }
  if (where !== undefined && options.report !== undefined) {
    if (resolve(where) === resolve(options.report)) {
      throw new UsageError(`--output and --report name one file, "${where}"`);
    }
  }
  if (path === undefined) return;
  refuseOverwriting(path, where, "--output");
  refuseOverwriting(path, options.report, "--report");
}

async function trace(
  path: string | undefined,
  options: TraceOptions,
  output: Output,
): Promise<number> {
  const format = formatOf(options);
  const title = path ?? options.interface ?? (options.listen ?? []).join(", ");
  const plan: ViewPlan = { options, stamp: stampOf(options), filter: filterFrom(options), title };
  checkViews(options, format, path, output);
  const note = (line: string): void => output.err(`virtfs trace: ${oneLine(line)}\n`);
  const { value, signal: interrupted } = await untilSignal(async (signal) => {
    const stop = new AbortController();
    using views = new Views(plan, format, output, () => stop.abort());
    const ended = AbortSignal.any([signal, stop.signal]);
    const reading = await read(path, views, options, { signal: ended, note });
    return { reading, isFailing: views.finish() };
  });
  for (const line of value?.reading.notes ?? []) note(line);
  // Looking on has no other end than a signal.
  if (interrupted !== undefined && (path !== undefined || value === undefined)) {
    return interrupted === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
  }
  if (value?.reading.isKnown !== true) return EXIT.failed;
  return value.isFailing ? EXIT.findings : EXIT.done;
}

async function read(
  path: string | undefined,
  { receivers, payload }: Views,
  options: TraceOptions,
  host: { readonly signal: AbortSignal; readonly note: (line: string) => void },
): Promise<Reading> {
  if (path === undefined) {
    await watchLive(options, receivers.frames, { ...host, payload });
    return { isKnown: true, notes: [] };
  }
  return await readSource(path, receivers, {
    signal: host.signal,
    ...(options.port === undefined ? {} : { ports: options.port }),
  });
}

/** A capture must not be lost because its name is there twice. */
function refuseOverwriting(from: string, to: string | undefined, option: string): void {
  if (from === "-" || to === undefined) return;
  let isSame = false;
  try {
    const [a, b] = [Deno.statSync(from), Deno.statSync(to)];
    isSame = a.ino !== null && a.ino === b.ino && a.dev === b.dev && b.isFile;
  } catch {
    // One of them is not there: reading says so, or writing makes it.
  }
  if (isSame) throw new UsageError(`${option} names FILE itself, "${from}"`);
}
