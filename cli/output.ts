/**
 * How commands talk: text and JSON on standard output, logs and progress on standard error, color
 * only where somebody looks at it.
 *
 * @module
 */
import { styleText } from "node:util";

/** Where a command writes, so that tests need no process. */
export interface Output {
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Whether standard output is a terminal that may show color. */
  readonly outHasColor: boolean;
  /** Whether standard error is a terminal, where lines can be written over. */
  readonly errIsTerminal: boolean;
  /** Writes bytes to standard output; not every output takes them. */
  outBytes?(bytes: Uint8Array): void;
  /** Whether nobody reads standard output any more; not known of every output. */
  readonly outIsClosed?: boolean;
}

/** The output of this process. */
export function processOutput(): Output {
  let isClosed = false;
  const encoder = new TextEncoder();
  return {
    out: (text) => {
      if (!write(Deno.stdout, encoder.encode(text))) isClosed = true;
    },
    outBytes: (bytes) => {
      if (!write(Deno.stdout, bytes)) isClosed = true;
    },
    err: (text) => void write(Deno.stderr, encoder.encode(text)),
    get outIsClosed() {
      return isClosed;
    },
    outHasColor: Deno.stdout.isTerminal() && !Deno.noColor,
    errIsTerminal: Deno.stderr.isTerminal(),
  };
}

/** Writes bytes; false if nobody reads them. */
function write(stream: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): boolean {
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(stream.writeSync(rest));
    return true;
  } catch (error) {
    // Nobody reads any more (`virtfs … | head`); that ends neither a server nor a log.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    return false;
  }
}

/** A style of {@linkcode paint}. */
export type Style = "bold" | "dim" | "red" | "yellow" | "green";

/** Colors a text where the output shows color. */
export function paint(output: Output, style: Style, text: string): string {
  return output.outHasColor ? styleText(style, text, { validateStream: false }) : text;
}

/** Writes one JSON value as one line on standard output. */
export function writeJson(output: Output, value: unknown): void {
  output.out(`${oneLine(JSON.stringify(value))}\n`);
}

/** Something to log: as `LogEvent` of the server, which this layer need not load. */
export interface LogLine {
  /** How grave it is. */
  readonly level: "error" | "warn" | "info" | "debug";
  /** One line without a period. */
  readonly message: string;
  /** Details. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

const LEVELS: readonly LogLine["level"][] = ["error", "warn", "info", "debug"];

/** A log; level and format may change while it is in use. */
export class Log {
  /** The least grave level that is written. */
  level: LogLine["level"];
  /** Lines for people, or one JSON object a line. */
  format: "text" | "json";
  readonly #output: Output;
  readonly #now: () => Date;

  /**
   * Starts a log on standard error.
   *
   * @param now Clock, for tests.
   */
  constructor(
    output: Output,
    level: LogLine["level"],
    format: "text" | "json",
    now: () => Date = () => new Date(),
  ) {
    this.#output = output;
    this.level = level;
    this.format = format;
    this.#now = now;
  }

  /** Writes a line if its level is wanted. */
  write(line: LogLine): void {
    if (LEVELS.indexOf(line.level) <= LEVELS.indexOf(this.level)) this.tell(line);
  }

  /** Writes a line whatever its level: somebody asked for it. */
  tell(line: LogLine): void {
    const time = this.#now().toISOString();
    if (this.format === "json") {
      const { level, message, fields = {} } = line;
      const json = JSON.stringify({ time, level, message, fields });
      this.#output.err(`${oneLine(json)}\n`);
      return;
    }
    const fields = Object.entries(line.fields ?? {}).map(([name, value]) =>
      ` ${name}=${plain(value)}`
    );
    this.#output.err(
      `${time} ${line.level.padEnd(5)} ${oneLine(line.message)}${fields.join("")}\n`,
    );
  }
}

/** Writes a value of a field; what a client chose must not forge lines or steer a terminal. */
function plain(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  return typeof value === "string" && !/^[\w./:@+%,[\]-]+$/.test(text)
    ? oneLine(JSON.stringify(text))
    : text;
}

/** Replaces control characters, the ways to write over a line among them, by their escapes. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (each) => `\\u${(each.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A line on standard error that says how far something is; silent where that is no terminal.
 *
 * Owns the last line of the terminal until it is disposed of.
 */
export class Progress implements Disposable {
  readonly #output: Output;
  #isShown = false;

  /** Starts with nothing shown. */
  constructor(output: Output) {
    this.#output = output;
  }

  /** Replaces the line. */
  update(text: string): void {
    if (!this.#output.errIsTerminal) return;
    this.#output.err(`\r\x1b[K${oneLine(text)}`);
    this.#isShown = true;
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    if (this.#isShown) this.#output.err("\r\x1b[K");
    this.#isShown = false;
  }
}

/** How a command ended: the exit code of the process. */
export const EXIT = {
  /** Done. */
  done: 0,
  /** It could not be done. */
  failed: 1,
  /** The words were wrong. */
  usage: 2,
  /** Something became slower: the answer of a comparison, no failure of its own. */
  regression: 3,
  /** Bugs were found: what a fuzzer is for, no failure of its own. */
  findings: 3,
  /** SIGINT before a tidy end. */
  interrupted: 130,
  /** SIGTERM before a tidy end. */
  terminated: 143,
} as const;

/**
 * Tells of an error in one line and says how the command ended.
 *
 * @param who The words before the colon: `virtfs serve`.
 * @returns An exit code.
 */
export function reportError(output: Output, who: string, error: unknown): number {
  const message = error instanceof Error ? error.message : String(error);
  // By its name: the class lives in a module that is loaded only where it is needed.
  const isUsage = error instanceof Error && error.name === "UsageError";
  output.err(`${who}: ${oneLine(message)}\n`);
  if (isUsage) return EXIT.usage;
  // Our own mistakes are not of the environment: whoever reports one needs to know where.
  if (error instanceof TypeError || error instanceof ReferenceError) {
    output.err(`${error.stack ?? ""}\n`);
  }
  return EXIT.failed;
}
