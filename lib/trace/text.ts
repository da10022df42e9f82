/**
 * A transaction as one line, as strace prints a call: request, result, latency.
 *
 * `Twalk(fid=0</>, newfid=1, ["dir"]) = 1 [QTDIR.0.27a392] <0.000091>`: fields by their names on the
 * wire, except where the value says what it is: names, modes, flags and what is written stand alone.
 *
 * @module
 */
import {
  decodeDirents,
  decodeStats,
  decodeString,
  type Dirent,
  errnoMessage,
  type Field,
  type FieldKind,
  fieldKind,
  formatErrno,
  formatFlags,
  formatValue,
  LAYOUT,
  LOCK_STATUS,
  type Message,
  NOFID,
  quote,
  type Rgetattr,
  SETATTR,
  type Stat,
  tryDecodeStat,
  type Tsetattr,
  TYPE,
  type Value,
} from "../p9/mod.ts";
import { nameOfType, payloadLength } from "./half.ts";
import type { Gap, Half, Transaction } from "./types.ts";
import { formatRing } from "./ring_text.ts";
import {
  bytesText,
  deviceText,
  direntTypeText,
  excerpt,
  modeText,
  qidText,
  timeText,
} from "./values.ts";

/** How lines look. */
export interface LineStyle {
  /** Bytes of a payload that are shown. Default: 32. */
  readonly strings?: number;
  /** Show everything: tags, times, all of an entry, lists of any length. Default: false. */
  readonly verbose?: boolean;
  /** Digits of the latency: microseconds, nanoseconds or none. Default: `us`. */
  readonly latency?: "none" | "us" | "ns";
  /** Colors of a terminal. Default: false. */
  readonly color?: boolean;
}

/** Most items of a list that are shown unless all are asked for. */
const MOST_ITEMS = 32;
/** Bytes of a message of unknown type that are shown, at least. */
const LEAST_BYTES = 32;

/** Fields of fids. */
const FIDS: ReadonlySet<string> = new Set([
  "fid",
  "newfid",
  "afid",
  "dfid",
  "dirfd",
  "olddirfid",
  "newdirfid",
]);
/** Fields that this message makes what they are: what they were before says nothing. */
const FRESH: ReadonlySet<string> = new Set(["newfid", "afid", "Tattach.fid"]);
/** Fields whose values need no name. */
const BARE: ReadonlySet<string> = new Set([
  "mode",
  "name",
  "newname",
  "oldname",
  "perm",
  "symtgt",
  "Tlock.type",
  "Tgetlock.type",
  "Tlopen.flags",
  "Tlcreate.flags",
  "Topen.mode",
  "Tgetattr.request_mask",
]);

const CODES = { name: "1", error: "31", path: "36", dim: "2", odd: "33" } as const;

function paint(style: LineStyle, code: keyof typeof CODES, text: string): string {
  return style.color === true ? `\x1b[${CODES[code]}m${text}\x1b[0m` : text;
}

/**
 * Prints a transaction as one line without a newline.
 *
 * @example A refusal
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatTransaction } from "@virtfs/virtfs/trace";
 *
 * const line = formatTransaction({
 *   number: 1,
 *   conversation: { id: 1, transport: "tcp", client: "", server: "" },
 *   tag: 0,
 *   request: {
 *     time: 0,
 *     size: 11,
 *     type: 120,
 *     message: { kind: "Tclunk", tag: 0, fid: 1 },
 *     malformed: null,
 *     bytes: new Uint8Array(11),
 *   },
 *   reply: {
 *     time: 35_000,
 *     size: 11,
 *     type: 7,
 *     message: { kind: "Rlerror", tag: 0, ecode: 9 },
 *     malformed: null,
 *     bytes: new Uint8Array(11),
 *   },
 *   outcome: "answered",
 *   depth: 1,
 *   paths: new Map([[1, "/a"]]),
 *   errno: 9,
 * });
 * assert.equal(line, "Tclunk(fid=1</a>) = -EBADF (Bad file descriptor) <0.000035>");
 * ```
 */
export function formatTransaction(transaction: Transaction, style: LineStyle = {}): string {
  const { request, reply, outcome } = transaction;
  let line = request === null
    ? paint(style, "odd", "<... request not seen>")
    : requestText(request, transaction, style);
  switch (outcome) {
    case "answered":
    case "unasked":
      line += ` = ${replyText(transaction, style)}`;
      break;
    case "unfinished":
      line += paint(style, "odd", " <unfinished ...>");
      break;
    case "lost":
      line += ` = ${paint(style, "odd", "? <reply lost>")}`;
      break;
    case "flushed":
      line += ` = ${paint(style, "odd", "? <flushed>")}`;
  }
  if (transaction.isInjected === true) line += paint(style, "odd", " (INJECTED)");
  const { latency = "us" } = style;
  if (request !== null && reply !== null && latency !== "none") {
    const took = latencyText(reply.time - request.time, latency);
    line += ` ${paint(style, "dim", `<${took}>`)}`;
  }
  if (transaction.ring !== undefined && style.verbose === true) {
    line += ` ${paint(style, "dim", `{${formatRing(transaction.ring)}}`)}`;
  }
  return line;
}

/** A time span in seconds. */
export function latencyText(nanoseconds: number, unit: "us" | "ns"): string {
  return (nanoseconds / 1e9).toFixed(unit === "us" ? 6 : 9);
}

/** Prints what a capture lacks as one line. */
export function formatGap(gap: Gap): string {
  const which = gap.direction === "request" ? "requests" : "replies";
  const what = [
    ...(gap.lost > 0 ? [`${gap.lost} bytes not captured`] : []),
    ...(gap.skipped > 0 ? [`${gap.skipped} bytes skipped`] : []),
  ].join(", ");
  const where = gap.why === "mid-stream"
    ? "the capture begins in mid-stream"
    : gap.isInside
    ? "within one message"
    : gap.why === "no message"
    ? "no message there; went on at the next one"
    : "went on at the next message";
  return `--- gap in the ${which}: ${what === "" ? "" : `${what}; `}${where} ---`;
}

function requestText(request: Half, transaction: Transaction, style: LineStyle): string {
  const { message } = request;
  const name = paint(style, "name", nameOfType(request.type, "T"));
  const tag = style.verbose === true
    ? `tag=${transaction.tag === 0xffff ? "NOTAG" : transaction.tag}, `
    : "";
  if (message === null) return `${name}(${tag}${unreadable(request, style)})`;
  const all = tag + argumentsOf(message, request, transaction, style);
  return `${name}(${all.endsWith(", ") ? all.slice(0, -2) : all})`;
}

/** What is known of a message that could not be decoded. */
function unreadable(half: Half, style: LineStyle): string {
  const limit = Math.max(style.strings ?? 0, LEAST_BYTES);
  const shown = half.bytes.subarray(7, 7 + limit);
  const rest = half.size > 7 + shown.length ? "..." : "";
  const bytes = half.size <= 7 ? "" : `, 0x${shown.toHex()}${rest}`;
  const { malformed } = half;
  if (malformed === null) {
    return paint(style, "odd", `${half.bytes.length} of ${half.size} bytes captured`) + bytes;
  }
  if (malformed.fault === "unknown-type" || malformed.fault === "illegal-type") {
    return `${half.size} bytes${bytes}`;
  }
  const what = malformed.fault === "wrong-dialect"
    ? "not of this dialect"
    : `malformed: ${malformed.fault} at byte ${malformed.offset}`;
  return `${paint(style, "odd", what)}, ${half.size} bytes${bytes}`;
}

function argumentsOf(
  message: Message,
  half: Half,
  transaction: Transaction,
  style: LineStyle,
): string {
  switch (message.kind) {
    case "Twalk":
      return `fid=${fidText(message.fid, transaction, style)}, newfid=${
        plainFid(message.newfid)
      }, [${list(message.wname, quote, style)}]`;
    case "Twrite": {
      const length = payloadLength(half);
      const data = excerpt(message.data, length, style.strings ?? MOST_ITEMS);
      return `fid=${
        fidText(message.fid, transaction, style)
      }, offset=${message.offset}, ${data}, count=${length}`;
    }
    case "Tsetattr":
      return `fid=${fidText(message.fid, transaction, style)}, {${setattrText(message)}}`;
    case "Tmknod":
      return `dfid=${fidText(message.dfid, transaction, style)}, ${quote(message.name)}, ${
        modeText(message.mode)
      }, makedev(${message.major}, ${message.minor}), gid=${idText(message.gid)}`;
    case "Twstat": {
      const stat = tryDecodeStat(message.stat, transaction.dialect ?? "9P2000.L");
      const what = stat === null
        ? `0x${message.stat.toHex()}`
        : `{${statText(stat, transaction, true)}}`;
      return `fid=${fidText(message.fid, transaction, style)}, ${what}`;
    }
  }
  let text = "";
  const values = message as unknown as Readonly<Record<string, Value>>;
  for (const field of LAYOUT.get(message.kind)?.fields ?? []) {
    if (field.extended && transaction.dialect === "9P2000") continue;
    const value = values[field.name] ?? 0;
    const isBare = BARE.has(field.name) || BARE.has(`${message.kind}.${field.name}`);
    if (!isBare) text += `${field.name}=`;
    if (FIDS.has(field.name)) {
      const isFresh = FRESH.has(field.name) || FRESH.has(`${message.kind}.${field.name}`);
      text += isFresh ? plainFid(Number(value)) : fidText(Number(value), transaction, style);
    } else {
      text += valueText(message.kind, field, value, style);
    }
    text += ", ";
  }
  return text;
}

function valueText(owner: string, field: Field, value: Value, style: LineStyle): string {
  const kind: FieldKind = fieldKind(owner, field.name);
  if (field.form === "qid") return qidText(value as Parameters<typeof qidText>[0]);
  if (field.form === "bytes") {
    const bytes = value as Uint8Array;
    return excerpt(bytes, bytes.length, style.strings ?? MOST_ITEMS);
  }
  if (kind.print === "octal") return modeText(Number(value));
  return formatValue(value, field, kind);
}

/** Items of a list, not too many of them. */
function list<T>(items: readonly T[], text: (item: T) => string, style: LineStyle): string {
  if (style.verbose === true || items.length <= MOST_ITEMS) return items.map(text).join(", ");
  const left = items.length - MOST_ITEMS;
  return `${items.slice(0, MOST_ITEMS).map(text).join(", ")}, ...${left} more`;
}

function plainFid(fid: number): string {
  return fid === NOFID ? "NOFID" : String(fid);
}

function idText(id: number): string {
  return id === 0xffffffff ? "NONUNAME" : String(id);
}

/** A fid and what it stands for. */
function fidText(fid: number, { paths }: Transaction, style: LineStyle): string {
  const path = paths.get(fid);
  if (path === undefined) return plainFid(fid);
  return `${plainFid(fid)}<${paint(style, "path", quote(path).slice(1, -1))}>`;
}

/** What a Tsetattr changes. */
function setattrText(message: Tsetattr): string {
  const { valid } = message;
  const parts: string[] = [];
  if ((valid & SETATTR.SETATTR_MODE) !== 0) parts.push(`mode=${modeText(message.mode)}`);
  if ((valid & SETATTR.SETATTR_UID) !== 0) parts.push(`uid=${idText(message.uid)}`);
  if ((valid & SETATTR.SETATTR_GID) !== 0) parts.push(`gid=${idText(message.gid)}`);
  if ((valid & SETATTR.SETATTR_SIZE) !== 0) parts.push(`size=${message.size}`);
  const time = (name: "atime" | "mtime", bit: number, set: number): void => {
    const isSet = (valid & set) !== 0;
    if ((valid & bit) === 0 && !isSet) return;
    const value = timeText(message[`${name}_sec`], message[`${name}_nsec`]);
    // Without the first bit, the value is sent but nobody asks for it.
    parts.push((valid & bit) === 0 ? `${name}_set` : `${name}=${isSet ? value : "now"}`);
  };
  time("atime", SETATTR.SETATTR_ATIME, SETATTR.SETATTR_ATIME_SET);
  time("mtime", SETATTR.SETATTR_MTIME, SETATTR.SETATTR_MTIME_SET);
  if ((valid & SETATTR.SETATTR_CTIME) !== 0) parts.push("ctime=now");
  const unknown = (valid & ~0x1ff) >>> 0;
  if (unknown !== 0) parts.push(`valid|=0x${unknown.toString(16)}`);
  return parts.join(", ");
}

function replyText(transaction: Transaction, style: LineStyle): string {
  const { request, reply } = transaction;
  if (reply === null) return "?";
  const { message } = reply;
  const isExpected = request !== null && reply.type === request.type + 1;
  const name = nameOfType(reply.type, "R");
  if (message === null) return `${name}(${unreadable(reply, style)})`;
  switch (message.kind) {
    case "Rlerror":
      return paint(
        style,
        "error",
        `-${formatErrno(message.ecode)} (${errnoMessage(message.ecode)})`,
      );
    case "Rerror": {
      const code = transaction.dialect === "9P2000" || message.errno === 0
        ? "error"
        : `-${formatErrno(message.errno)}`;
      return paint(style, "error", `${code} (${quote(message.ename)})`);
    }
  }
  const text = resultOf(message, reply, transaction, style);
  return isExpected ? text : `${paint(style, "odd", name)} ${text}`;
}

function resultOf(
  message: Message,
  half: Half,
  transaction: Transaction,
  style: LineStyle,
): string {
  const limit = style.strings ?? MOST_ITEMS;
  switch (message.kind) {
    case "Rread":
      return `${payloadLength(half)} ${dataText(message.data, half, transaction, style)}`.trimEnd();
    case "Rreaddir": {
      const { entries, rest } = decodeDirents(message.data);
      const isCut = message.data.length < payloadLength(half);
      const text = list(entries, (entry) => direntText(entry, style), style);
      const odd = rest.length === 0
        ? ""
        : `, ${isCut ? "not all captured" : `${rest.length} odd bytes ${bytesText(rest, limit)}`}`;
      return `${payloadLength(half)} [${text}]${odd}`;
    }
    case "Rwrite":
      return String(message.count);
    case "Rwalk": {
      const asked = transaction.request?.message;
      const wanted = asked?.kind === "Twalk" ? asked.wname : undefined;
      const stop = wanted?.[message.wqid.length];
      const where = stop === undefined ? "" : ` (stopped before ${quote(stop)})`;
      return `${message.wqid.length} [${list(message.wqid, qidText, style)}]${where}`;
    }
    case "Rgetattr":
      return `{${getattrText(message, style)}}`;
    case "Rreadlink":
      return quote(message.target);
    case "Rxattrwalk":
      return String(message.size);
    case "Rlock":
      return formatFlags(message.status, LOCK_STATUS, { field: 0xff });
    case "Rstat": {
      const stat = tryDecodeStat(message.stat, transaction.dialect ?? "9P2000.L");
      return stat === null
        ? `0x${message.stat.toHex()}`
        : `{${statText(stat, transaction, style.verbose === true)}}`;
    }
  }
  const fields = LAYOUT.get(message.kind)?.fields ?? [];
  if (fields.length === 0) return "0";
  const values = message as unknown as Readonly<Record<string, Value>>;
  const parts = fields.map((field) =>
    `${field.name}=${valueText(message.kind, field, values[field.name] ?? 0, style)}`
  );
  return `{${parts.join(", ")}}`;
}

/** What a read gave: bytes, or what they are known to be. */
function dataText(
  data: Uint8Array,
  half: Half,
  transaction: Transaction,
  style: LineStyle,
): string {
  const length = payloadLength(half);
  const limit = style.strings ?? MOST_ITEMS;
  if (transaction.subject === "xattr list" && data.length === length) {
    const names = decodeString(data, 0, data.length).split("\0");
    if (names.at(-1) === "") return `[${list(names.slice(0, -1), quote, style)}]`;
  }
  const { dialect = "9P2000.L" } = transaction;
  if (transaction.subject === "directory" && dialect !== "9P2000.L") {
    const { entries, rest } = decodeStats(data, dialect);
    if (rest.length === 0) {
      const text = (stat: Stat) =>
        style.verbose === true ? `{${statText(stat, transaction, true)}}` : quote(stat.name);
      return `[${list(entries, text, style)}]`;
    }
  }
  return excerpt(data, length, limit);
}

function direntText(entry: Dirent, style: LineStyle): string {
  if (style.verbose !== true) return quote(entry.name);
  const { qid, offset, type, name } = entry;
  return `{qid=${qidText(qid)}, offset=${offset}, type=${direntTypeText(type)}, name=${
    quote(name)
  }}`;
}

/** The attributes that a server says are true, the most telling ones first. */
function getattrText(message: Rgetattr, style: LineStyle): string {
  const { valid } = message;
  const has = (bit: bigint): boolean => (valid & bit) !== 0n;
  const parts: string[] = [];
  if (style.verbose === true) {
    const kind = fieldKind("Rgetattr", "valid");
    parts.push(`valid=${formatFlags(valid, kind.flags ?? {}, kind.style)}`);
    parts.push(`qid=${qidText(message.qid)}`);
  }
  if (has(0x1n)) parts.push(`mode=${modeText(message.mode)}`);
  if (has(0x2n)) parts.push(`nlink=${message.nlink}`);
  if (has(0x4n)) parts.push(`uid=${message.uid}`);
  if (has(0x8n)) parts.push(`gid=${message.gid}`);
  if (has(0x10n) && message.rdev !== 0n) parts.push(`rdev=${deviceText(message.rdev)}`);
  if (has(0x200n)) parts.push(`size=${message.size}`);
  if (style.verbose !== true) return [...parts, "..."].join(", ");
  parts.push(`blksize=${message.blksize}`);
  if (has(0x400n)) parts.push(`blocks=${message.blocks}`);
  if (has(0x20n)) parts.push(`atime=${timeText(message.atime_sec, message.atime_nsec)}`);
  if (has(0x40n)) parts.push(`mtime=${timeText(message.mtime_sec, message.mtime_nsec)}`);
  if (has(0x80n)) parts.push(`ctime=${timeText(message.ctime_sec, message.ctime_nsec)}`);
  if (has(0x800n)) parts.push(`btime=${timeText(message.btime_sec, message.btime_nsec)}`);
  if (has(0x1000n)) parts.push(`gen=${message.gen}`);
  if (has(0x2000n)) parts.push(`data_version=${message.data_version}`);
  return parts.join(", ");
}

/** A stat record; of a Twstat, fields of all ones are left as they are and not shown. */
function statText(stat: Stat, { dialect }: Transaction, isWhole: boolean): string {
  const kind = fieldKind("Stat", "mode");
  const parts: string[] = [];
  const add = (name: string, isSet: boolean, text: string): void => {
    if (isSet) parts.push(`${name}=${text}`);
  };
  const all = 0xffffffff;
  add("name", stat.name !== "", quote(stat.name));
  add("mode", stat.mode !== all, formatFlags(stat.mode, kind.flags ?? {}, kind.style));
  add("length", stat.length !== 0xffff_ffff_ffff_ffffn, String(stat.length));
  add("uid", stat.uid !== "", quote(stat.uid));
  add("gid", stat.gid !== "", quote(stat.gid));
  if (!isWhole) return [...parts, "..."].join(", ");
  add("muid", stat.muid !== "", quote(stat.muid));
  add("atime", stat.atime !== all, timeText(BigInt(stat.atime), 0n));
  add("mtime", stat.mtime !== all, timeText(BigInt(stat.mtime), 0n));
  add("qid", stat.qid.type !== 0xff || stat.qid.version !== all, qidText(stat.qid));
  if (dialect !== "9P2000") {
    add("extension", stat.extension !== "", quote(stat.extension));
    add("n_uid", stat.n_uid !== all, String(stat.n_uid));
    add("n_gid", stat.n_gid !== all, String(stat.n_gid));
    add("n_muid", stat.n_muid !== all, String(stat.n_muid));
  }
  return parts.join(", ");
}

/** The payload of a half, for a hex dump: what was read or written, or all of what has no payload. */
export function dumpedBytes(half: Half | null): Uint8Array {
  const message = half?.message;
  if (half === null || half === undefined) return new Uint8Array(0);
  if (message?.kind === "Rread" || message?.kind === "Twrite" || message?.kind === "Rreaddir") {
    return message.data;
  }
  return half.type === TYPE.Rreaddir || message === null ? half.bytes : new Uint8Array(0);
}
