/**
 * Reading JSON lines back: what was observed once, told to other observers.
 *
 * @module
 */
import {
  encode,
  HEADER_SIZE,
  type Malformed,
  type Message,
  messageFromJson,
  Wire,
} from "../p9/mod.ts";
import { payloadOffset } from "./half.ts";
import { type HalfLine, type TraceLine, traceLine } from "./json_schema.ts";
import type { Conversation, Direction, Half, Observer, RingTimes } from "./types.ts";

/** Longest line that is read, in bytes. */
const LONGEST_LINE = 2 ** 27;

/** What there was to read. */
export interface JsonReport {
  /** Lines that were told. */
  readonly lines: number;
  /** Lines that could not be read. */
  readonly badLines: number;
  /** What is wrong with the first of them; "" if there is none. */
  readonly firstProblem: string;
}

/**
 * Reads what {@linkcode JsonLines} wrote and tells an observer of it, as if it were seen now.
 *
 * Of each transaction the two frames are told just before it: in the order of the transactions, not
 * of time. A line that is none is counted and skipped. Takes as much memory as the longest line.
 *
 * @throws What the observer throws, and what reading throws.
 */
export async function readJsonLines(
  source: ReadableStream<Uint8Array>,
  observer: Observer,
  signal?: AbortSignal,
): Promise<JsonReport> {
  const reader = new Reader(observer);
  const decoder = new TextDecoder();
  let rest = "";
  const stream = source.getReader();
  const stop = (): void => void stream.cancel().catch(() => {});
  signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      const { done, value } = await stream.read();
      if (done || signal?.aborted === true) break;
      rest += decoder.decode(value, { stream: true });
      let at = 0;
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", at)) {
        reader.line(rest.slice(at, end));
        at = end + 1;
      }
      rest = rest.slice(at);
      if (rest.length > LONGEST_LINE) {
        reader.problem("it is too long");
        rest = "";
      }
    }
    if (rest.trim() !== "") reader.line(rest);
  } finally {
    signal?.removeEventListener("abort", stop);
    stream.releaseLock();
  }
  await reader.end();
  return { lines: reader.lines, badLines: reader.badLines, firstProblem: reader.firstProblem };
}

class Reader {
  lines = 0;
  badLines = 0;
  firstProblem = "";
  readonly #observer: Observer;
  readonly #conversations = new Map<number, Conversation>();
  #number = 0;
  #base: bigint | null = null;
  #time = 0;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  problem(what: string): void {
    this.badLines++;
    if (this.firstProblem === "") {
      this.firstProblem = `Cannot read line ${this.#number}: ${what}`;
    }
  }

  line(text: string): void {
    this.#number++;
    if (text.trim() === "") return;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      this.problem("it is no JSON");
      return;
    }
    const parsed = traceLine.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const where = issue?.path.join(".") ?? "";
      this.problem(`${where === "" ? "it" : where} is not as in the schema: ${issue?.message}`);
      return;
    }
    let tell: () => void;
    try {
      tell = this.#telling(parsed.data);
    } catch (error) {
      if (!(error instanceof SyntaxError) && !(error instanceof RangeError)) throw error;
      this.problem(error.message);
      return;
    }
    this.lines++;
    tell();
  }

  async end(): Promise<void> {
    await this.#observer.end?.(this.#time);
  }

  /** Understands a line, and says how to tell it: only the former may fail. */
  #telling(line: TraceLine): () => void {
    const observer = this.#observer;
    if (line.event === "begin") {
      this.#base = nanoseconds(line.base);
      const clock = { base: this.#base };
      return () => observer.begin?.(clock);
    }
    if (this.#base === null) {
      // Somebody cut the beginning off: time begins with the first line.
      const first = line.event === "transaction"
        ? line.request?.time ?? line.reply?.time ?? "0.000000000"
        : line.time;
      this.#base = nanoseconds(first);
      observer.begin?.({ base: this.#base });
    }
    if (line.event === "end") {
      this.#time = this.#since(line.time);
      return () => {};
    }
    if (line.event === "opened") {
      const { conversation: id, transport, client, server } = line;
      const conversation = { id, transport, client, server };
      this.#conversations.set(id, conversation);
      return () => observer.opened?.(conversation, this.#since(line.time));
    }
    const conversation = this.#conversation(line.conversation);
    switch (line.event) {
      case "gap": {
        const { direction, lost, skipped, why, isInside } = line;
        const time = this.#since(line.time);
        return () =>
          observer.gap?.({ conversation, direction, time, lost, skipped, why, isInside });
      }
      case "finding": {
        const { rule, severity, message } = line;
        const time = this.#since(line.time);
        return () => observer.finding?.({ rule, severity, conversation, time, message });
      }
      case "closed":
        this.#conversations.delete(line.conversation);
        return () => observer.closed?.(conversation, this.#since(line.time));
      case "transaction":
        return this.#transaction(line, conversation);
    }
  }

  #transaction(
    line: Extract<TraceLine, { event: "transaction" }>,
    conversation: Conversation,
  ): () => void {
    const observer = this.#observer;
    const request = this.#half(line.request, line.dialect);
    const reply = this.#half(line.reply, line.dialect);
    const { number, tag, outcome, depth, errno, dialect, subject } = line;
    const paths = new Map<number, string>();
    for (const [fid, path] of Object.entries(line.paths)) paths.set(Number(fid), path);
    const ring = this.#ring(line.ring);
    this.#time = Math.max(this.#time, request?.time ?? 0, reply?.time ?? 0);
    return () => {
      if (request !== null) this.#frame(conversation, "request", request);
      if (reply !== null) this.#frame(conversation, "reply", reply, ring);
      observer.transaction?.({
        number,
        conversation,
        tag,
        request,
        reply,
        outcome,
        depth,
        paths,
        errno,
        dialect,
        subject,
        ...(ring === undefined ? {} : { ring }),
        ...(line.injected === true ? { isInjected: true } : {}),
      });
    };
  }

  #ring(
    ring: Extract<TraceLine, { event: "transaction" }>["ring"],
  ): RingTimes | undefined {
    if (ring === undefined) return undefined;
    const { offered, taken, used, usedLength } = ring;
    return {
      taken: this.#since(taken),
      used: this.#since(used),
      usedLength,
      ...(offered === undefined ? {} : { offered: this.#since(offered) }),
    };
  }

  #frame(
    conversation: Conversation,
    direction: Direction,
    half: Half,
    ring?: RingTimes,
  ): void {
    const { time, size, bytes } = half;
    this.#observer.frame?.({
      conversation,
      direction,
      time,
      size,
      bytes,
      start: 0,
      end: bytes.length,
      ...(ring === undefined ? {} : { ring }),
    });
  }

  #conversation(id: number): Conversation {
    let conversation = this.#conversations.get(id);
    if (conversation === undefined) {
      conversation = { id, transport: "log", client: "", server: "" };
      this.#conversations.set(id, conversation);
    }
    return conversation;
  }

  #half(line: HalfLine | null, dialect: "9P2000" | "9P2000.u" | "9P2000.L"): Half | null {
    if (line === null) return null;
    const { size, type } = line;
    const time = this.#since(line.time);
    if (line.message === null) {
      const bytes = Uint8Array.fromHex(line.bytes ?? "");
      if (bytes.length > size) throw new SyntaxError("a message has more bytes than its size");
      return { time, size, type, message: null, malformed: malformedOf(line, bytes), bytes };
    }
    const message: Message = messageFromJson(line.message);
    const bytes = encode(message, dialect);
    const offset = payloadOffset(type);
    // The bytes at hand begin a longer message.
    if (line.payload !== undefined && offset > 0 && bytes.length >= offset) {
      const { view } = new Wire(bytes);
      view.setUint32(0, size, true);
      view.setUint32(offset - 4, line.payload, true);
    }
    return { time, size, type, message, malformed: null, bytes };
  }

  /** Nanoseconds since the beginning. */
  #since(time: string): number {
    return Number(nanoseconds(time) - (this.#base ?? 0n));
  }
}

function malformedOf(line: HalfLine, bytes: Uint8Array): Malformed | null {
  if (line.malformed === undefined) return null;
  const { fault, offset, message } = line.malformed;
  const tag = bytes.length < HEADER_SIZE ? 0xffff : new Wire(bytes).view.getUint16(5, true);
  return {
    kind: "malformed",
    fault: fault as Malformed["fault"],
    offset,
    type: line.type,
    tag,
    message,
  };
}

function nanoseconds(time: string): bigint {
  const [seconds = "0", fraction = "0"] = time.split(".");
  const value = BigInt(seconds) * 1_000_000_000n;
  return time.startsWith("-") ? value - BigInt(fraction) : value + BigInt(fraction);
}
