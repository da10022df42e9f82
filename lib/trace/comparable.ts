/**
 * Messages without what differs from run to run and from server to server: tags, numbers of fids, times,
 * inode numbers.
 *
 * @module
 */
import {
  decodeDirents,
  decodeStats,
  type Dialect,
  errnoName,
  LAYOUT,
  type Message,
} from "../p9/mod.ts";

/** Fields that say nothing about what was done. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "kind",
  "tag",
  "oldtag",
  "newfid",
  "proc_id",
  "client_id",
  "iounit",
  "atime_sec",
  "atime_nsec",
  "mtime_sec",
  "mtime_nsec",
  "ctime_sec",
  "ctime_nsec",
  "btime_sec",
  "btime_nsec",
  "gen",
  "data_version",
  "blocks",
  "blksize",
  "rdev",
  "ename",
]);
/** What a listing is asked from: a cookie that only its server understands. */
const COOKIES: ReadonlySet<string> = new Set(["Treaddir.offset"]);
/** Replies whose fields describe the server and not the files. */
const BARE: ReadonlySet<string> = new Set(["Rversion", "Rstatfs", "Rattach", "Rauth"]);
/** Fields that hold the number of a fid. */
const FIDS: ReadonlySet<string> = new Set([
  "fid",
  "dfid",
  "dirfd",
  "olddirfid",
  "newdirfid",
  "afid",
]);

/**
 * A request, with paths in place of fids.
 *
 * @param paths What the fids in it stand for.
 */
export function comparableRequest(
  request: Message,
  paths: ReadonlyMap<number, string>,
  dialect: Dialect = "9P2000.L",
): string {
  return comparable(request, (fid) => paths.get(fid) ?? "?", dialect);
}

/** A reply without what differs between servers that both do right. */
export function comparableReply(reply: Message, dialect: Dialect = "9P2000.L"): string {
  if (reply.kind === "Rlerror") return errorText(reply.ecode);
  if (reply.kind === "Rerror") {
    return reply.errno > 0 ? errorText(reply.errno) : `error ${JSON.stringify(reply.ename)}`;
  }
  return comparable(reply, () => "", dialect);
}

function errorText(code: number): string {
  return `-${errnoName(code) ?? code}`;
}

function comparable(message: Message, pathOf: (fid: number) => string, dialect: Dialect): string {
  const { kind } = message;
  if (BARE.has(kind)) return kind;
  const values = message as unknown as Readonly<Record<string, unknown>>;
  const parts: string[] = [];
  for (const { name, form, extended } of LAYOUT.get(kind)?.fields ?? []) {
    if (LEFT_OUT.has(name) || COOKIES.has(`${kind}.${name}`)) continue;
    if (extended && dialect === "9P2000") continue;
    const value = values[name];
    if (FIDS.has(name)) {
      // The fid that an attach makes has no path yet.
      if (kind !== "Tattach" && name !== "afid") parts.push(`<${pathOf(Number(value))}>`);
    } else if (form === "qid" || form === "qids") {
      const qids = (form === "qid" ? [value] : value) as readonly { readonly type: number }[];
      parts.push(`${name}=${qids.map(({ type }) => type.toString(16)).join(",")}`);
    } else if (form === "bytes") {
      parts.push(bytesText(message, value as Uint8Array, dialect));
    } else {
      parts.push(`${name}=${valueText(value)}`);
    }
  }
  return `${kind}(${parts.join(", ")})`;
}

function valueText(value: unknown): string {
  return typeof value === "bigint" ? String(value) : JSON.stringify(value) ?? "";
}

function bytesText(message: Message, bytes: Uint8Array, dialect: Dialect): string {
  if (message.kind === "Rreaddir") {
    const names = decodeDirents(bytes).entries.map(({ name }) => name);
    return JSON.stringify(names.filter((name) => name !== "." && name !== "..").sort());
  }
  const isStats = message.kind === "Rstat" || message.kind === "Twstat" ||
    message.kind === "Rread" && dialect !== "9P2000.L" && bytes.length > 0;
  if (isStats) {
    const { entries, rest } = decodeStats(bytes, dialect);
    if (rest.length === 0) {
      return entries.map(({ name, mode, length }) => `${JSON.stringify(name)} ${mode} ${length}`)
        .sort().join(", ");
    }
  }
  return `${bytes.length} bytes ${hashOf(bytes)}`;
}

/** A number that equal bytes share, and hardly ever others: FNV-1a of 32 bits. */
function hashOf(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < bytes.length; at++) {
    hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}
