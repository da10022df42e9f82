/**
 * Golden conversations: reads `.9p` scripts, holds them with a server, tells where one differs.
 *
 * The language and the files that every tree has are described in `test/scripts/README.md`.
 *
 * @module
 */
import {
  decodeDirents,
  decodeStats,
  type Dialect,
  DIALECTS,
  encode,
  fieldKind,
  formatMessage,
  formatValue,
  type Message,
  parseMessage,
  RECORD_LAYOUTS,
  type Stat,
  tryDecode,
  tryDecodeStat,
  Wire,
} from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import { expandBytes, matches, substitute, type Variables } from "./script_match.ts";

/** How long an answer may take before it counts as missing, unless told otherwise. */
const PATIENCE_MS = 5000;
/** Tags of what the runner sends by itself; scripts use others. */
const PROBE_TAG = 0xfff0;
const FREE_TAG = 0xfff1;

/** A field of a stat record and its value, in a script. */
const STAT_FIELD = /[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]+)/g;
const STAT = RECORD_LAYOUTS.find(({ name }) => name === "Stat")?.fields ?? [];

/** What stands for the next message where there is none any more. */
export const END_OF_CONNECTION = "the end of the connection";

/** What a `serve` line asks for. */
export interface Serve {
  /** Which trees the script is for. */
  readonly tree: "memory" | "host" | "any";
  /** Words after it, such as `read-only`; those with `=` have a value. */
  readonly options: ReadonlyMap<string, string>;
}

/** A server that a script talks to. */
export interface ScriptTarget extends AsyncDisposable {
  /** Opens a connection. */
  connect(): Channel | Promise<Channel>;
  /** Keeps back an operation of the tree. */
  hold(operation: string): void;
  /** Lets go on what was kept back. Called when at least one waits. */
  release(operation: string): void;
  /** Number of operations kept back now. */
  waiting(operation: string): number;
  /** What is alive now: all zero when nobody is connected. */
  usage(): Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;
}

/** A script of a file. */
export interface Script {
  /** Name of the file, for messages. */
  readonly name: string;
  /** What it is held with. */
  readonly serve: Serve;
  /** Rule that it checks: section of a manual and so on; empty if it names none. */
  readonly clause: string;
  /** The comment at its head, in one line. */
  readonly summary: string;
  /** All of it, as it was read. */
  readonly source: string;
  /** Lines apart from comments, with their numbers. */
  readonly lines: readonly ScriptLine[];
  /** Whether it keeps operations back, which only a server of this process can. */
  readonly holds: boolean;
  /** Whether it cuts frames in pieces or expects the connection to end, which are matters of streams. */
  readonly needsStream: boolean;
}

/** A line that says something. */
export interface ScriptLine {
  /** Counted from 1. */
  readonly number: number;
  /** Without the space around it. */
  readonly text: string;
}

/** Judges an answer that is not what a line says. */
export type Acceptance =
  /** It will do, and the conversation goes on. */
  | "same"
  /** It is a refusal of another kind, after which nothing more can be asked. */
  | "refused"
  /** It will not do. */
  | "wrong";

/** How a script is held. */
export interface ScriptOptions {
  /** Milliseconds that an answer may take; 5000 if not given. */
  readonly patienceMs?: number;
  /** Changes an R-line before answers are compared with it: wildcards for what may differ. */
  readonly relax?: (line: string) => string;
  /** Has the last word on an answer that differs; nothing of the kind will do if it is not given. */
  readonly accept?: (want: string, have: Message | string) => Acceptance;
  /** Changes a message before it is sent. */
  readonly rewrite?: (message: Message) => Message;
  /** Told of every message that is sent or comes. */
  readonly onMessage?: (message: Message | string, connection: string) => void;
}

/** A conversation went another way than the script says. */
export class ScriptError extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "ScriptError";
  /** Number of the line. */
  readonly line: number;
  /** What came, as text. */
  readonly have: string;
  /** What should have come. */
  readonly want: string;

  /** Tells of a line of a file. */
  constructor(file: string, line: number, have: string, want: string) {
    super(`${file}:${line}\n  have ${have}\n  want ${want}`);
    this.line = line;
    this.have = have;
    this.want = want;
  }
}

/** Ends a script whose server has refused in a way that leaves nothing to ask. */
class Refused extends Error {}

/**
 * Parses a script.
 *
 * @throws {SyntaxError} If it does not begin with `serve` or end with `end`.
 */
export function parseScript(name: string, text: string): Script {
  const lines = text.split("\n").map((text, i) => ({ number: i + 1, text: text.trim() }))
    .filter(({ text }) => text !== "" && !text.startsWith("#"));
  const [verb, tree, ...words] = lines[0]?.text.split(/\s+/) ?? [];
  if (verb !== "serve" || (tree !== "memory" && tree !== "host" && tree !== "any")) {
    throw new SyntaxError(`Cannot run ${name}: the first line is not serve memory, host or any`);
  }
  if (lines.at(-1)?.text !== "end") throw new SyntaxError(`Cannot run ${name}: no end at the end`);
  const options = new Map(words.map((word) => {
    const [key = "", value = ""] = word.split("=", 2);
    return [key, value];
  }));
  const holds = lines.some(({ text }) => text.startsWith("hold "));
  const needsStream = options.has("stream") || lines.some(({ text }) => text === "close");
  const [, clause] = /^clause\s+(.+)$/.exec(lines[1]?.text ?? "") ?? [];
  return {
    name,
    serve: { tree, options },
    clause: clause ?? "",
    summary: summaryOf(text),
    source: text,
    lines: lines.slice(clause === undefined ? 1 : 2),
    holds,
    needsStream,
  };
}

/** The comment at the head of a script. */
function summaryOf(text: string): string {
  const head = text.split("\n");
  const end = head.findIndex((line) => !line.startsWith("#"));
  return head.slice(0, Math.max(end, 0)).map((line) => line.replace(/^#\s*/, "")).join(" ");
}

/** One connection of a script. */
class Conversation {
  dialect: Dialect = "9P2000.L";
  isOpen = true;
  hasVersion = false;
  readonly #channel: Channel;
  readonly #frames: AsyncIterator<Uint8Array>;
  readonly #patienceMs: number;
  #next: Promise<IteratorResult<Uint8Array>> | undefined;

  constructor(channel: Channel, patienceMs: number) {
    this.#channel = channel;
    this.#patienceMs = patienceMs;
    this.#frames = channel.frames[Symbol.asyncIterator]();
  }

  async send(bytes: Uint8Array): Promise<void> {
    await this.#channel.send(bytes);
  }

  /** The next frame, null at the end of the connection, undefined if nothing comes. */
  async receive(): Promise<Uint8Array | null | undefined> {
    this.#next ??= this.#frames.next();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), this.#patienceMs);
    });
    const result = await Promise.race([this.#next, late]);
    clearTimeout(timer);
    if (result === undefined) return undefined;
    this.#next = undefined;
    return result.done === true ? null : result.value;
  }

  /** The next message; text where there is none. */
  async message(): Promise<Message | string> {
    const frame = await this.receive();
    if (frame === undefined) return `nothing for ${this.#patienceMs / 1000} s`;
    if (frame === null) {
      this.isOpen = false;
      this.#channel.close();
      return END_OF_CONNECTION;
    }
    const message = tryDecode(new Wire(frame), 0, frame.length, this.dialect);
    if (message === null) return `raw ${frame.toHex()}`;
    if (message.kind === "Rversion") {
      const dialect = DIALECTS.find((dialect) => dialect === message.version);
      this.hasVersion = dialect !== undefined;
      if (dialect !== undefined) this.dialect = dialect;
    }
    return message;
  }

  /** Closes and waits for the end. */
  async close(): Promise<void> {
    this.isOpen = false;
    this.#channel.close();
    while (await this.receive() instanceof Uint8Array);
  }
}

function show(message: Message | string): string {
  return typeof message === "string" ? message : formatMessage(message);
}

/** Holds one script. */
class Run {
  readonly #script: Script;
  readonly #target: ScriptTarget;
  readonly #options: ScriptOptions;
  readonly #patienceMs: number;
  readonly #variables: Variables = new Map();
  readonly #conversations = new Map<string, Conversation>();
  #name = "a";
  #at = 0;

  constructor(script: Script, target: ScriptTarget, options: ScriptOptions) {
    this.#script = script;
    this.#target = target;
    this.#options = options;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
  }

  async run(): Promise<boolean> {
    try {
      for (let line = this.#take(); line !== undefined; line = this.#take()) {
        try {
          await this.#line(line);
        } catch (error) {
          if (error instanceof Refused) return false;
          if (error instanceof ScriptError) throw error;
          throw new Error(`${this.#script.name}:${line.number} ${line.text}`, { cause: error });
        }
      }
      return true;
    } finally {
      for (const conversation of this.#conversations.values()) {
        if (conversation.isOpen) await conversation.close();
      }
    }
  }

  #take(): ScriptLine | undefined {
    return this.#script.lines[this.#at++];
  }

  #error(line: ScriptLine, have: string, want: string): ScriptError {
    return new ScriptError(this.#script.name, line.number, have, want);
  }

  async #conversation(): Promise<Conversation> {
    let conversation = this.#conversations.get(this.#name);
    if (conversation === undefined) {
      conversation = new Conversation(await this.#target.connect(), this.#patienceMs);
      this.#conversations.set(this.#name, conversation);
    }
    return conversation;
  }

  async #line(line: ScriptLine): Promise<void> {
    const [word = "", argument = ""] = /^(\S+)\s*(.*)$/s.exec(line.text)?.slice(1) ?? [];
    if (/^T[a-z]+$/.test(word)) return await this.#send(line);
    if (/^R[a-z]+$/.test(word)) return await this.#expect(line);
    switch (word) {
      case "any":
        return await this.#expectAny(line);
      case "repeat":
        return await this.#repeat(argument);
      case "raw":
        return await this.#raw(argument);
      case "list":
        return await this.#list(line, argument);
      case "stat":
        return await this.#stat(line, argument);
      case "conn":
        this.#name = argument;
        return;
      case "hold":
        return this.#target.hold(argument);
      case "release":
        return await this.#release(line, argument);
      case "close":
        return await this.#closed(line);
      case "end":
        return await this.#end(line);
      default:
        throw new SyntaxError(`Cannot understand "${word}"`);
    }
  }

  async #send(line: ScriptLine): Promise<void> {
    const conversation = await this.#conversation();
    const written = parseMessage(expandBytes(substitute(line.text, this.#variables)));
    const message = this.#options.rewrite?.(written) ?? written;
    this.#options.onMessage?.(message, this.#name);
    if (message.kind === "Tversion") {
      // An error in answer has the form of the dialect that was asked for.
      conversation.dialect = DIALECTS.find((dialect) => dialect === message.version) ?? "9P2000.L";
      conversation.hasVersion = false;
    }
    await conversation.send(encode(message, conversation.dialect));
  }

  async #raw(hex: string): Promise<void> {
    const text = expandBytes(hex.replaceAll(/\s/g, ""));
    await (await this.#conversation()).send(Uint8Array.fromHex(text.replace(/^0x/, "")));
  }

  async #expect(line: ScriptLine): Promise<void> {
    const message = await this.#receive(await this.#conversation());
    if (this.#isAnswer(line, message)) return;
    throw this.#error(line, show(message), line.text);
  }

  async #receive(conversation: Conversation): Promise<Message | string> {
    const message = await conversation.message();
    this.#options.onMessage?.(message, this.#name);
    return message;
  }

  /** Whether a message is what a line says, or what is accepted in its place. */
  #isAnswer({ text }: ScriptLine, message: Message | string): boolean {
    const { relax, accept } = this.#options;
    const want = relax?.(text) ?? text;
    if (typeof message !== "string" && matches(want, message, this.#variables)) return true;
    const acceptance = accept?.(want, message);
    if (acceptance === "refused") throw new Refused();
    return acceptance === "same";
  }

  async #repeat(argument: string): Promise<void> {
    const times = Number(/^(\d+) \{$/.exec(argument)?.[1]);
    if (!(times > 0)) throw new SyntaxError("Cannot repeat: want repeat N {");
    const from = this.#at;
    for (let i = 0; i < times; i++) {
      this.#at = from;
      for (let line = this.#take(); line?.text !== "}"; line = this.#take()) {
        if (line === undefined) throw new SyntaxError("Cannot find the } of repeat {");
        await this.#line(line);
      }
    }
  }

  async #expectAny(first: ScriptLine): Promise<void> {
    const wanted: ScriptLine[] = [];
    for (let line = this.#take(); line?.text !== "}"; line = this.#take()) {
      if (line === undefined) throw new SyntaxError("Cannot find the } of any {");
      wanted.push(line);
    }
    const conversation = await this.#conversation();
    while (wanted.length > 0) {
      const message = await this.#receive(conversation);
      const found = wanted.findIndex((line) => this.#isAnswer(line, message));
      if (found < 0) {
        const all = wanted.map(({ text }) => text).join("\n    or ");
        throw this.#error(first, show(message), all);
      }
      wanted.splice(found, 1);
    }
  }

  async #release(line: ScriptLine, operation: string): Promise<void> {
    const until = performance.now() + this.#patienceMs;
    while (this.#target.waiting(operation) === 0) {
      if (performance.now() > until) {
        throw this.#error(line, `no ${operation} in flight`, line.text);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#target.release(operation);
  }

  async #closed(line: ScriptLine): Promise<void> {
    const message = await (await this.#conversation()).message();
    if (message !== END_OF_CONNECTION) {
      throw this.#error(line, show(message), END_OF_CONNECTION);
    }
  }

  /** Reads an open folder with `count` bytes at a time, then again from every offset on. */
  async #list(line: ScriptLine, argument: string): Promise<void> {
    const options = /^fid=(\d+) count=(\d+) names=(\[.*\])$/s.exec(argument);
    if (options === null) throw new SyntaxError("Cannot list: want fid=N count=N names=[...]");
    const [fid, count] = [Number(options[1]), Number(options[2])];
    const want: string[] = JSON.parse(substitute(options[3] ?? "", this.#variables));
    const conversation = await this.#conversation();
    const isLinux = conversation.dialect === "9P2000.L";
    const fail = (have: string): ScriptError => this.#error(line, have, line.text);

    /** Names and the offsets that follow them, of one read. */
    const read = async (offset: bigint): Promise<[name: string, next: bigint][]> => {
      const kind = isLinux ? "Treaddir" : "Tread";
      await conversation.send(
        encode({ kind, tag: PROBE_TAG, fid, offset, count }, conversation.dialect),
      );
      const reply = await conversation.message();
      if (typeof reply === "string") throw fail(reply);
      if (reply.kind !== "Rreaddir" && reply.kind !== "Rread") throw fail(show(reply));
      const { data } = reply;
      if (data.length > count) throw fail(`${data.length} bytes of ${count} asked for`);
      const { entries, rest } = isLinux
        ? decodeDirents(data)
        : decodeStats(data, conversation.dialect);
      if (rest.length > 0) throw fail(`${rest.length} bytes of a cut entry: ${show(reply)}`);
      const end = offset + BigInt(data.length);
      return entries.map((entry) => [entry.name, "offset" in entry ? entry.offset : end]);
    };

    const all: [name: string, next: bigint][] = [];
    for (let offset = 0n, i = 0; i < 10000; i++) {
      const part = await read(offset);
      const last = part.at(-1);
      if (last === undefined) break;
      all.push(...part);
      offset = last[1];
    }
    const have = all.map(([name]) => name).sort();
    if (JSON.stringify(have) !== JSON.stringify(want.sort())) throw fail(JSON.stringify(have));
    if (!isLinux) return;
    for (const [i, [name, offset]] of all.entries()) {
      if (offset === 0n) throw fail(`"${name}" with offset 0, which means the beginning`);
      const [next] = await read(offset);
      if (next?.[0] !== all[i + 1]?.[0]) {
        throw fail(`after "${name}" comes ${JSON.stringify(next?.[0])}`);
      }
    }
  }

  /** Asks for a stat record of 9P2000 or 9P2000.u, and compares the fields that the line has. */
  async #stat(line: ScriptLine, argument: string): Promise<void> {
    const fid = /^fid=(\d+) /.exec(argument)?.[1];
    const want = substitute(argument, this.#variables).match(STAT_FIELD)?.slice(1) ?? [];
    if (fid === undefined || want.length === 0) {
      throw new SyntaxError("Cannot stat: want fid=N FIELD=VALUE…");
    }
    const conversation = await this.#conversation();
    const { dialect } = conversation;
    await conversation.send(encode({ kind: "Tstat", tag: PROBE_TAG, fid: Number(fid) }, dialect));
    const reply = await conversation.message();
    if (typeof reply === "string") throw this.#error(line, reply, line.text);
    const stat = reply.kind === "Rstat" ? tryDecodeStat(reply.stat, dialect) : null;
    if (stat === null) throw this.#error(line, show(reply), line.text);
    const fields = STAT.map((field) => {
      const value = stat[field.name as keyof Stat];
      return `${field.name}=${formatValue(value, field, fieldKind("Stat", field.name))}`;
    });
    const have = `stat fid=${fid} ${fields.join(" ")}`;
    if (want.some((field) => !fields.includes(field))) throw this.#error(line, have, line.text);
    // Whatever the line says: the type of a qid is the highest byte of the mode.
    if (stat.qid.type !== stat.mode >>> 24) {
      throw this.#error(line, have, "a qid of the mode's type");
    }
  }

  /** No answer is left, the server still answers, and all that was in use is given back. */
  async #end(line: ScriptLine): Promise<void> {
    for (const conversation of this.#conversations.values()) {
      if (!conversation.isOpen) continue;
      if (conversation.hasVersion) {
        const { dialect } = conversation;
        await conversation.send(
          encode({ kind: "Tflush", tag: PROBE_TAG, oldtag: FREE_TAG }, dialect),
        );
        const message = await conversation.message();
        const want = `Rflush tag=${PROBE_TAG}`;
        if (show(message) !== want) throw this.#error(line, show(message), want);
      }
      await conversation.close();
    }
    const until = performance.now() + this.#patienceMs;
    while (true) {
      const left = Object.entries(await this.#target.usage()).filter(([, count]) => count !== 0);
      if (left.length === 0) return;
      if (performance.now() > until) {
        const have = left.map(([what, count]) => `${count} ${what}`).join(", ");
        throw this.#error(line, have, "nothing in use");
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/**
 * Holds a script with a server.
 *
 * @returns Whether it went to the end: false if the server refused in another way that was accepted.
 * @throws {ScriptError} If the server answers otherwise; the message says where, what came and what
 * should have come.
 */
export async function runScript(
  script: Script,
  target: ScriptTarget,
  options: ScriptOptions = {},
): Promise<boolean> {
  return await new Run(script, target, options).run();
}
