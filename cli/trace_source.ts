/**
 * What `trace` reads: a capture, our own JSON lines or a log, from a file or standard input.
 *
 * @module
 */
import {
  formatProblem,
  importLog,
  type Observer,
  readCapture,
  readJsonLines,
} from "../lib/trace/mod.ts";

/** Bytes by which a source is told from another. */
const HEAD = 256;
/** Longest line of a log that is kept whole. */
const LONGEST_LINE = 1 << 20;

/** How to read. */
export interface SourceOptions {
  /** Ends the reading early. */
  readonly signal: AbortSignal;
  /** Ports of 9P servers; the usual ones if not given. */
  readonly ports?: readonly number[];
}

/** What came of it. */
export interface Reading {
  /** Whether it was something that can be read. */
  readonly isKnown: boolean;
  /** What could not be read, or is worth knowing, a line each. */
  readonly notes: readonly string[];
}

/** Who is told: of a capture frames, of JSON lines transactions. */
export interface Receivers {
  /** Takes frames, and makes transactions of them. */
  readonly frames: Observer;
  /** Takes transactions. */
  readonly transactions: Observer;
}

/**
 * Reads a file, or standard input for `-`.
 *
 * @throws What opening the file throws.
 */
export async function readSource(
  path: string,
  receivers: Receivers,
  options: SourceOptions,
): Promise<Reading> {
  if (path === "-") return await readStream(Deno.stdin.readable, receivers, options);
  using file = openedFile(path);
  if (!file.statSync().isFile) return await readPipe(file, receivers, options);
  const head = new Uint8Array(HEAD);
  const count = file.readSync(head) ?? 0;
  file.seekSync(0, Deno.SeekMode.Start);
  const kind = kindOf(head.subarray(0, count));
  if (kind === "json") return await readJson(piecesOf(file), receivers, options);
  if (kind === "text") return await readLog(piecesOf(file), receivers, options);
  return await readBinary(file, receivers, options);
}

/** A file, open; what cannot be read is refused before anything is written. */
function openedFile(path: string): Deno.FsFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new Error(`Cannot read "${path}": there is no such file`, { cause });
  }
  if (file.statSync().isDirectory) {
    file.close();
    throw new Error(`Cannot read "${path}": it is a folder`);
  }
  return file;
}

async function readPipe(
  file: Deno.FsFile,
  receivers: Receivers,
  options: SourceOptions,
): Promise<Reading> {
  return await readStream(piecesOf(file), receivers, options);
}

/** What is in a file, without closing it. */
function piecesOf(file: Deno.FsFile): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const bytes = new Uint8Array(65_536);
      const count = await file.read(bytes);
      if (count === null) controller.close();
      else controller.enqueue(bytes.subarray(0, count));
    },
  });
}

/** Looks at the first bytes of a stream and reads it as what they say. */
async function readStream(
  stream: ReadableStream<Uint8Array>,
  receivers: Receivers,
  options: SourceOptions,
): Promise<Reading> {
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel().catch(() => {});
  options.signal.addEventListener("abort", stop);
  let first: Uint8Array | undefined;
  do {
    const { done, value } = await reader.read();
    if (done) break;
    first = value;
  } while (first.length === 0);
  const whole = new ReadableStream<Uint8Array>({
    start(controller) {
      if (first !== undefined) controller.enqueue(first);
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => reader.cancel(),
  });
  try {
    const kind = first === undefined ? "binary" : kindOf(first);
    if (kind === "json") return await readJson(whole, receivers, options);
    if (kind === "text") return await readLog(whole, receivers, options);
    return await readBinary(whole, receivers, options);
  } finally {
    options.signal.removeEventListener("abort", stop);
  }
}

/** What the first bytes of something say that it is: no capture begins with a line of text. */
function kindOf(head: Uint8Array): "json" | "text" | "binary" {
  if (head[0] === 0x7b) return "json";
  const beginning = head.subarray(0, HEAD);
  const isText = beginning.length > 0 &&
    beginning.every((byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
  return isText ? "text" : "binary";
}

/** A log of tracepoints: of the guest's kernel, or of QEMU. */
async function readLog(
  stream: ReadableStream<Uint8Array>,
  { frames }: Receivers,
  { signal }: SourceOptions,
): Promise<Reading> {
  const { lines, events, unknown } = await importLog(linesOf(stream, signal), frames);
  if (events === 0) {
    return {
      isKnown: false,
      notes: [`there is no 9P in these ${lines} lines of text: it is neither a capture nor a log`],
    };
  }
  const notes = unknown === 0
    ? []
    : [`${unknown} of ${events} events in ${lines} lines could not be understood`];
  return { isKnown: true, notes };
}

/** Lines of a stream, of any length; a line that is endless comes in pieces. */
async function* linesOf(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop);
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) break;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield line.replace(/\r$/, "");
      if (rest.length > LONGEST_LINE) {
        yield rest;
        rest = "";
      }
    }
    if (rest !== "") yield rest;
  } finally {
    signal.removeEventListener("abort", stop);
    reader.releaseLock();
  }
}

async function readJson(
  stream: ReadableStream<Uint8Array>,
  { transactions }: Receivers,
  { signal }: SourceOptions,
): Promise<Reading> {
  const { lines, badLines, firstProblem } = await readJsonLines(stream, transactions, signal);
  const more = badLines > 1 ? ` (and ${badLines - 1} more lines)` : "";
  return { isKnown: lines > 0, notes: badLines === 0 ? [] : [firstProblem + more] };
}

async function readBinary(
  source: Deno.FsFile | ReadableStream<Uint8Array>,
  { frames }: Receivers,
  { signal, ports }: SourceOptions,
): Promise<Reading> {
  const report = await readCapture(source, frames, {
    signal,
    ...(ports === undefined ? {} : { ports }),
  });
  // Where nobody wants more, that there is more is no problem.
  const notes = report.problems.filter(({ name }) => !signal.aborted || name !== "file-ends")
    .map(formatProblem);
  const isKnown = report.format !== "unknown";
  if (isKnown && report.conversations === 0 && !signal.aborted) {
    const others = report.tcp.others > 0 ? "; --port names other ports than 564 and 5640" : "";
    notes.push(`there is no 9P conversation among ${report.packets} packets${others}`);
  }
  return { isKnown, notes };
}
