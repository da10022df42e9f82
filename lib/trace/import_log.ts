/**
 * Frames out of logs that others have made of 9P without a wire: the tracepoints of Linux as ftrace,
 * trace-cmd and perf print them, and the log of QEMU's own device.
 *
 * Neither has all of a message: what is missing is missing in the frame too, as if a capture had been
 * cut off.
 *
 * @module
 */
import {
  encode,
  HEADER_SIZE,
  kindOf,
  LAYOUT_BY_TYPE,
  type Message,
  minSize,
  TYPE,
} from "../p9/mod.ts";
import type { Conversation, Direction, Observer } from "./types.ts";

/** What was in a log. */
export interface ImportReport {
  /** Lines. */
  readonly lines: number;
  /** Events of 9P among them. */
  readonly events: number;
  /** Of them, those that nobody here understands. */
  readonly unknown: number;
}

/** Longest line that is looked at. */
const LONGEST = 65_536;
/** Most clients that are told apart. */
const MOST_CONVERSATIONS = 4096;

/**
 * Reads a log.
 *
 * Times of ftrace count from the start of the machine, so that the clock's base is 0 there.
 *
 * @param lines Its lines, in order.
 * @param observer Gets conversations and frames; `begin` and `end` are called too.
 */
export async function importLog(
  lines: AsyncIterable<string> | Iterable<string>,
  observer: Observer,
): Promise<ImportReport> {
  const log = new LogReader(observer);
  for await (const line of lines) log.line(line.length > LONGEST ? line.slice(0, LONGEST) : line);
  return await log.end();
}

/** `comm-pid [cpu] flags seconds.fraction: 9p_event: text`, with or without the `9p:` of perf. */
const FTRACE =
  /(?:^|\s)(\d{1,10})\.(\d{1,9}): (?:9p:)?9p_(client_req|client_res|protocol_dump): (.*)$/;
const REQUEST = /^client (\S+) request (\S+) tag +(\d+)/;
const RESPONSE = /^client (\S+) response (\S+) tag +(\d+) err (-?\d+)/;
const DUMP = /^clnt (\S+) (\S+?)\(tag = (\d+)\)/;
/**
 * Bytes of a message, below the line that announces it: 16 behind their offset in older kernels, in
 * newer ones up to 32 and nothing else.
 */
const BYTES = /^\s*(?:[0-9a-f]{3}: )?((?:[0-9a-f]{2}(?:[ :-]|\s*$)){1,32})\s*$/i;
/** `pid@seconds.fraction:v9fs_event text`, the beginning only with timestamps. */
const QEMU = /(?:(\d+)@(\d{1,10})\.(\d{1,9}):)?\bv9fs_(\w+) (tag[ =]\d+ id[ =]\d+.*)$/;

/** A dump whose bytes are being gathered. */
interface Dump {
  readonly client: string;
  readonly isReply: boolean;
  readonly tag: number;
  readonly time: number;
  readonly bytes: number[];
}

class LogReader {
  readonly #observer: Observer;
  readonly #conversations = new Map<string, Conversation>();
  /** Messages that were dumped, for the event that tells of the same. */
  readonly #dumped = new Set<string>();
  #dump: Dump | null = null;
  #hasBegun = false;
  #base = 0n;
  #time = 0;
  #lines = 0;
  #events = 0;
  #unknown = 0;

  constructor(observer: Observer) {
    this.#observer = observer;
  }

  line(text: string): void {
    this.#lines++;
    if (this.#dump !== null && this.#takeBytes(text)) return;
    this.#flush();
    if (text.includes("9p_") && this.#ftrace(text)) return;
    if (text.includes("v9fs_")) this.#qemu(text);
  }

  async end(): Promise<ImportReport> {
    this.#flush();
    this.#begin(0n);
    for (const each of this.#conversations.values()) this.#observer.closed?.(each, this.#time);
    await this.#observer.end?.(this.#time);
    return { lines: this.#lines, events: this.#events, unknown: this.#unknown };
  }

  #begin(base: bigint): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#base = base;
    this.#observer.begin?.({ base });
  }

  #ftrace(text: string): boolean {
    const found = FTRACE.exec(text);
    if (found === null) return false;
    const [, seconds = "", fraction = "", event, rest = ""] = found;
    this.#events++;
    this.#begin(0n);
    this.#time = nanoseconds(seconds, fraction);
    if (event === "protocol_dump") this.#beginDump(rest);
    else this.#told(event === "client_res", rest);
    return true;
  }

  #beginDump(rest: string): void {
    const [, client, name = "", tag] = DUMP.exec(rest) ?? [];
    const type = typeNamed(name);
    if (client === undefined || type === undefined) {
      this.#unknown++;
      return;
    }
    const isReply = type % 2 === 1;
    this.#dump = { client, isReply, tag: Number(tag), time: this.#time, bytes: [] };
    // perf and trace-cmd have the bytes on the same line.
    for (const part of rest.split(/\\n|(?=\b0[01]0: )/).slice(1)) this.#takeBytes(part);
  }

  #takeBytes(text: string): boolean {
    const [, bytes] = BYTES.exec(text) ?? [];
    const dump = this.#dump;
    if (bytes === undefined || dump === null || dump.bytes.length >= 32) return false;
    for (const byte of bytes.match(/[0-9a-f]{2}/gi) ?? []) dump.bytes.push(parseInt(byte, 16));
    return true;
  }

  /** The bytes of a dump are all there. */
  #flush(): void {
    const dump = this.#dump;
    this.#dump = null;
    if (dump === null) return;
    const { client, isReply, tag, time, bytes } = dump;
    if (bytes.length < HEADER_SIZE) {
      this.#unknown++;
      return;
    }
    const all = new Uint8Array(bytes);
    const size = new DataView(all.buffer).getUint32(0, true);
    if (size < HEADER_SIZE) {
      this.#unknown++;
      return;
    }
    if (this.#dumped.size < 65_536) this.#dumped.add(`${client} ${tag} ${isReply}`);
    // What lies behind a short message in the kernel's buffer is not of it.
    this.#frame(client, isReply, time, size, all.subarray(0, Math.min(all.length, size)));
  }

  /** An event that has type and tag of a message, and of an error its number. */
  #told(isReply: boolean, rest: string): void {
    const [, client, name = "", tag, code] = (isReply ? RESPONSE : REQUEST).exec(rest) ?? [];
    const type = typeNamed(name);
    if (client === undefined || type === undefined) {
      this.#unknown++;
      return;
    }
    if (this.#dumped.delete(`${client} ${tag} ${isReply}`)) return;
    const error = isReply ? -Number(code) : 0;
    if (error > 0) {
      this.#message(client, true, { kind: "Rlerror", tag: Number(tag), ecode: error });
    } else this.#head(client, isReply, isReply && type % 2 === 0 ? type + 1 : type, Number(tag));
  }

  #qemu(text: string): void {
    const found = QEMU.exec(text);
    if (found === null) return;
    const [, pid = "", seconds, fraction = "", event = "", rest = ""] = found;
    this.#events++;
    if (seconds !== undefined) {
      const base = this.#hasBegun ? this.#base : BigInt(seconds) * 1_000_000_000n;
      this.#begin(base);
      const since = Number(BigInt(seconds) - base / 1_000_000_000n);
      this.#time = since * 1e9 + nanoseconds("0", fraction);
    } else {
      this.#begin(0n);
      // Without a clock the order is all there is.
      this.#time += 1000;
    }
    const values = valuesOf(rest);
    const tag = values.number("tag");
    const type = values.number("id");
    const isReply = event.endsWith("_return") || event === "rerror";
    if (event === "rcancel") return;
    if (!isReply && kindOf(type) === undefined) {
      this.#unknown++;
      return;
    }
    const message = messageOf(event, tag, values);
    const client = `qemu ${pid}`;
    if (message !== null) this.#message(client, isReply, message);
    else if (event === "walk") this.#walk(client, tag, values);
    else this.#head(client, isReply, isReply ? type + 1 : type, tag);
  }

  /** A Twalk whose names nobody has noted: all of it but those. */
  #walk(client: string, tag: number, values: Values): void {
    const count = values.number("nwnames");
    const bytes = new Uint8Array(HEADER_SIZE + 10);
    const view = new DataView(bytes.buffer);
    const size = bytes.length + 3 * count;
    view.setUint32(0, size, true);
    view.setUint8(4, TYPE.Twalk);
    view.setUint16(5, tag, true);
    view.setUint32(7, values.number("fid"), true);
    view.setUint32(11, values.number("newfid"), true);
    view.setUint16(15, count, true);
    this.#frame(client, false, this.#time, size, bytes);
  }

  #message(client: string, isReply: boolean, message: Message): void {
    const bytes = encode(message, "9P2000.L");
    this.#frame(client, isReply, this.#time, bytes.length, bytes);
  }

  /** A message of which only the type and the tag are known. */
  #head(client: string, isReply: boolean, type: number, tag: number): void {
    const bytes = new Uint8Array(HEADER_SIZE);
    const view = new DataView(bytes.buffer);
    const size = smallest(type);
    view.setUint32(0, size, true);
    view.setUint8(4, type);
    view.setUint16(5, tag, true);
    this.#frame(client, isReply, this.#time, size, bytes);
  }

  #frame(client: string, isReply: boolean, time: number, size: number, bytes: Uint8Array): void {
    let conversation = this.#conversations.get(client);
    if (conversation === undefined) {
      if (this.#conversations.size >= MOST_CONVERSATIONS) {
        this.#unknown++;
        return;
      }
      const id = this.#conversations.size + 1;
      conversation = { id, transport: "log", client, server: "" };
      this.#conversations.set(client, conversation);
      this.#observer.opened?.(conversation, time);
    }
    const direction: Direction = isReply ? "reply" : "request";
    const end = bytes.length;
    this.#observer.frame?.({ conversation, direction, time, size, bytes, start: 0, end });
  }
}

function smallest(type: number): number {
  const layout = LAYOUT_BY_TYPE.get(type);
  return layout === undefined ? HEADER_SIZE : minSize(layout, "9P2000.L");
}

function nanoseconds(seconds: string, fraction: string): number {
  return Number(seconds) * 1e9 + Number(fraction.padEnd(9, "0"));
}

/** Number of a type by the kernel's name for it, such as `P9_TWALK`, or by ours. */
function typeNamed(name: string): number | undefined {
  const plain = name.replace(/^P9_/, "").toLowerCase();
  for (const [kind, type] of Object.entries(TYPE)) if (kind.toLowerCase() === plain) return type;
  return undefined;
}

/** The words of an event, `name value` or `name=value`. */
class Values {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  number(name: string): number {
    const [, found] = new RegExp(`\\b${name}[ =](-?\\d{1,15})`).exec(this.#text) ?? [];
    // Fids and numbers of users are printed as if they had a sign.
    return found === undefined ? 0 : Number(found) < 0 ? Number(found) >>> 0 : Number(found);
  }

  signed(name: string): number {
    const [, found] = new RegExp(`\\b${name}[ =](-?\\d{1,15})`).exec(this.#text) ?? [];
    return Number(found ?? 0);
  }

  octal(name: string): number {
    const [, found] = new RegExp(`\\b${name}[ =]([0-7]{1,10})\\b`).exec(this.#text) ?? [];
    return parseInt(found ?? "0", 8);
  }

  big(name: string): bigint {
    const [, found] = new RegExp(`\\b${name}[ =](-?\\d{1,20})`).exec(this.#text) ?? [];
    return BigInt.asUintN(64, BigInt(found ?? 0));
  }

  /** A name, which may have blanks in it, up to the word that follows it. */
  name(word: string, next: string): string {
    const end = next === "" ? "$" : ` ${next}[ =]`;
    return new RegExp(`\\b${word}[ =](.*?)${end}`).exec(this.#text)?.[1] ?? "";
  }

  /** What is between braces; undefined if there are none. */
  list(word: string): string[] | undefined {
    const [, found] = new RegExp(`\\b${word}=\\{(.*)\\}`).exec(this.#text) ?? [];
    return found === undefined ? undefined : found === "" ? [] : found.split(/, ?/);
  }
}

function valuesOf(text: string): Values {
  return new Values(text);
}

/** The message that an event of QEMU tells all of; null if it does not. */
function messageOf(event: string, tag: number, v: Values): Message | null {
  const fid = v.number("fid");
  const dfid = v.number("dfid");
  const qid = { type: v.number("type"), version: v.number("version"), path: v.big("path") };
  switch (event) {
    case "version":
      return { kind: "Tversion", tag, msize: v.number("msize"), version: v.name("version", "") };
    case "version_return":
      return { kind: "Rversion", tag, msize: v.number("msize"), version: v.name("version", "") };
    case "attach": {
      const names = { uname: v.name("uname", "aname"), aname: v.name("aname", "") };
      return { kind: "Tattach", tag, fid, afid: v.number("afid"), ...names, n_uname: 0 };
    }
    case "attach_return":
      return { kind: "Rattach", tag, qid };
    case "walk": {
      const wname = v.number("nwnames") === 0 ? [] : v.list("wnames");
      if (wname === undefined) return null;
      return { kind: "Twalk", tag, fid, newfid: v.number("newfid"), wname };
    }
    case "open":
      return { kind: "Tlopen", tag, fid, flags: v.number("mode") };
    case "open_return":
      return { kind: "Rlopen", tag, qid, iounit: v.number("iounit") };
    case "lcreate_return":
      return { kind: "Rlcreate", tag, qid, iounit: v.number("iounit") };
    case "lcreate": {
      const how = { flags: v.number("flags"), mode: v.number("mode"), gid: v.number("gid") };
      // The name is not told.
      return { kind: "Tlcreate", tag, fid: dfid, name: "", ...how };
    }
    case "getattr":
      return { kind: "Tgetattr", tag, fid, request_mask: v.big("request_mask") };
    case "clunk":
      return { kind: "Tclunk", tag, fid };
    case "remove":
      return { kind: "Tremove", tag, fid };
    case "fsync":
      return { kind: "Tfsync", tag, fid, datasync: v.number("datasync") };
    case "flush":
      return { kind: "Tflush", tag, oldtag: v.number("flush_tag") };
    case "read":
      return { kind: "Tread", tag, fid, offset: v.big("off"), count: v.number("max_count") };
    case "readdir":
      return { kind: "Treaddir", tag, fid, offset: v.big("offset"), count: v.number("max_count") };
    case "write_return":
      return { kind: "Rwrite", tag, count: v.number("total") };
    case "mkdir": {
      const name = v.name("name", "mode");
      return { kind: "Tmkdir", tag, dfid: fid, name, mode: v.octal("mode"), gid: v.number("gid") };
    }
    case "symlink": {
      const names = { name: v.name("name", "symname"), symtgt: v.name("symname", "gid") };
      return { kind: "Tsymlink", tag, fid, ...names, gid: v.number("gid") };
    }
    case "link":
      return { kind: "Tlink", tag, dfid, fid: v.number("oldfid"), name: v.name("name", "") };
    case "xattrwalk":
      return { kind: "Txattrwalk", tag, fid, newfid: v.number("newfid"), name: v.name("name", "") };
    case "readlink":
      return { kind: "Treadlink", tag, fid };
    case "readlink_return":
      return { kind: "Rreadlink", tag, target: v.name("name", "") };
    case "rerror": {
      const code = Math.abs(v.signed("err"));
      return { kind: "Rlerror", tag, ecode: code };
    }
    default:
      return null;
  }
}
