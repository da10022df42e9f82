/**
 * Oracle O9: two servers are told the same and have to answer alike.
 *
 * Answers are normalised first. What a server may choose, or cannot choose, is left out: paths and
 * versions of qids (files get numbers in the order in which they appear), times, blocks, iounits,
 * offsets and the order of directory entries, what statfs tells; errors are compared by class.
 *
 * @module
 */
import {
  decodeDirents,
  decodeStats,
  type Dialect,
  DIALECTS,
  encode,
  ERRNO,
  type ErrnoName,
  errnoName,
  formatMessage,
  type Message,
  parseMessage,
  type Qid,
  QTDIR,
  type Stat,
  tryDecode,
  Wire,
} from "../p9/mod.ts";
import type { Script } from "./script.ts";
import { seedAnew } from "./script_files.ts";
import { expandBytes } from "./script_match.ts";
import type { RawConnection, Target } from "./target.ts";

/** One thing that is sent. */
export interface Telling {
  /** Name of the connection. */
  readonly connection: string;
  /** A message, or bytes that are none. */
  readonly content: Message | Uint8Array;
}

/** Something that two servers answer differently. */
export interface Difference {
  /** Position of what was sent, from 0. */
  readonly index: number;
  /** What was sent, as text. */
  readonly sent: string;
  /** Normalised answer of the first server. */
  readonly first: string;
  /** Normalised answer of the second one. */
  readonly second: string;
}

/** Options of {@linkcode compareServers}. */
export interface CompareOptions {
  /** Names of the trees of both. */
  readonly anames: readonly [first: string, second: string];
  /** Milliseconds that an answer may take. */
  readonly patienceMs: number;
}

/** Errors that mean the same to a client; the others stand for themselves. */
const CLASSES: Readonly<Record<string, readonly ErrnoName[]>> = {
  "bad request": ["EBADF", "ESTALE", "EINVAL", "EPROTO", "EIO", "EBADMSG", "EMSGSIZE"],
  "not supported": ["EOPNOTSUPP", "ENOSYS"],
  "not allowed": ["EPERM", "EACCES", "EROFS"],
  "not there": ["ENOENT", "ENODATA"],
  "in the way": ["EEXIST", "ENOTEMPTY", "EBUSY"],
  "no room": ["ENOSPC", "EDQUOT", "EFBIG", "ENOMEM", "EMFILE", "ENFILE"],
};

const CLASS_OF = new Map<number, string>(
  Object.entries(CLASSES).flatMap(([name, codes]) => codes.map((code) => [ERRNO[code], name])),
);

/** The class of an error, for comparing. */
export function errorClass(code: number): string {
  return CLASS_OF.get(code) ?? errnoName(code) ?? `error ${code}`;
}

/** Turns answers into text in which only what matters differs. One for each server and conversation. */
export class Normalizer {
  readonly #numbers = new Map<bigint, number>();

  /** The number of a file. */
  #qid(qid: Qid): string {
    let number = this.#numbers.get(qid.path);
    if (number === undefined) this.#numbers.set(qid.path, number = this.#numbers.size);
    return `${qid.type.toString(16)}:${number}`;
  }

  #stat({ qid, mode, length, name, extension, n_uid, n_gid }: Stat): string {
    const who = `${n_uid}:${n_gid}`;
    const text = JSON.stringify(`${name} ${extension}`);
    return `${this.#qid(qid)} mode=${mode.toString(8)} ${who} length=${length} ${text}`;
  }

  /** Stat records, sorted; nothing if the bytes are something else. */
  #stats(data: Uint8Array, dialect: Dialect): string | undefined {
    if (dialect === "9P2000.L") return undefined;
    const { entries, rest } = decodeStats(data, dialect);
    if (entries.length === 0 || rest.length > 0) return undefined;
    const sorted = [...entries].sort((a, b) => a.name < b.name ? -1 : 1);
    return sorted.map((entry) => this.#stat(entry)).join(", ");
  }

  /** What an answer says. */
  normalize(message: Message, dialect: Dialect): string {
    const tag = `tag=${message.tag}`;
    switch (message.kind) {
      case "Rlerror":
        return `error ${tag} ${errorClass(message.ecode)}`;
      case "Rattach":
      case "Rsymlink":
      case "Rmknod":
      case "Rmkdir":
      case "Rlopen":
      case "Rlcreate":
      case "Ropen":
      case "Rcreate":
      case "Rauth":
        return `${message.kind} ${tag} ${
          this.#qid("aqid" in message ? message.aqid : message.qid)
        }`;
      case "Rwalk":
        return `Rwalk ${tag} ${message.wqid.map((qid) => this.#qid(qid)).join(" ")}`;
      case "Rgetattr": {
        const { qid, mode, uid, gid, nlink, rdev, size } = message;
        // Neither links nor sizes of folders are the same everywhere.
        const isFolder = (qid.type & QTDIR) !== 0;
        const rest = isFolder ? "" : ` nlink=${nlink} size=${size} rdev=${rdev}`;
        return `Rgetattr ${tag} ${this.#qid(qid)} mode=${mode.toString(8)} ${uid}:${gid}${rest}`;
      }
      case "Rreaddir": {
        const { entries, rest } = decodeDirents(message.data);
        // Where an answer ends is up to the server.
        const names = entries.map(({ name, type }) => `${type}${JSON.stringify(name)}`).sort();
        return `Rreaddir ${tag} ${names.join(" ")}${rest.length > 0 ? " and a part of one" : ""}`;
      }
      case "Rstat":
        return `Rstat ${tag} ${this.#stats(message.stat, dialect) ?? message.stat.toHex()}`;
      case "Rread": {
        const stats = this.#stats(message.data, dialect);
        return stats === undefined ? formatMessage(message) : `Rread ${tag} ${stats}`;
      }
      case "Rstatfs":
        return `Rstatfs ${tag}`;
      case "Rversion":
        return `Rversion ${tag} version=${message.version}`;
      default:
        return formatMessage(message);
    }
  }
}

/** What a script sends, without what depends on answers or on the server's own state. */
export function tellingsOf(script: Script): Telling[] {
  const tellings: Telling[] = [];
  let connection = "a";
  for (const { text } of script.lines) {
    if (text.startsWith("conn ")) connection = text.slice(5);
    else if (text.startsWith("raw ")) {
      const hex = expandBytes(text.slice(4).replaceAll(/\s/g, "")).replace(/^0x/, "");
      tellings.push({ connection, content: Uint8Array.fromHex(hex) });
    } else if (/^T[a-z]+ /.test(text) && !/=\[?\$/.test(text)) {
      tellings.push({ connection, content: parseMessage(expandBytes(text)) });
    }
  }
  return tellings;
}

/** One server's side of a comparison. */
class Side {
  readonly #target: Target;
  readonly #aname: string;
  readonly #patienceMs: number;
  readonly #connections = new Map<string, RawConnection>();
  readonly #dialects = new Map<string, Dialect>();
  readonly #normalizer = new Normalizer();

  constructor(target: Target, aname: string, patienceMs: number) {
    this.#target = target;
    this.#aname = aname;
    this.#patienceMs = patienceMs;
  }

  async tell({ connection: name, content }: Telling): Promise<string> {
    let connection = this.#connections.get(name);
    try {
      connection ??= await this.#target.connect();
    } catch {
      return "no connection";
    }
    this.#connections.set(name, connection);
    await connection.send(this.#bytes(name, content));
    const frame = await connection.receive(this.#patienceMs);
    if (frame === undefined) return "nothing";
    if (frame === null) return "the end of the connection";
    const dialect = this.#dialects.get(name) ?? "9P2000.L";
    const message = tryDecode(new Wire(frame), 0, frame.length, dialect);
    return message === null ? `raw ${frame.toHex()}` : this.#normalizer.normalize(message, dialect);
  }

  #bytes(name: string, content: Message | Uint8Array): Uint8Array {
    if (content instanceof Uint8Array) return content;
    if (content.kind === "Tversion") {
      const dialect = DIALECTS.find((dialect) => dialect === content.version) ?? "9P2000.L";
      this.#dialects.set(name, dialect);
    }
    const isUnnamed = content.kind === "Tattach" && content.aname === "";
    const message = isUnnamed ? { ...content, aname: this.#aname } : content;
    return encode(message, this.#dialects.get(name) ?? "9P2000.L");
  }

  async close(): Promise<void> {
    for (const connection of this.#connections.values()) await connection.close();
  }
}

/**
 * Tells two servers the same, one thing after the other, and compares what they answer.
 *
 * Stops at the first connection that only one of them has ended: nothing after it is comparable.
 */
export async function compareServers(
  targets: readonly [first: Target, second: Target],
  tellings: readonly Telling[],
  options: CompareOptions,
): Promise<Difference[]> {
  const [first, second] = [0, 1].map((i) =>
    new Side(targets[i] as Target, options.anames[i] ?? "", options.patienceMs)
  ) as [Side, Side];
  const differences: Difference[] = [];
  try {
    for (const [index, telling] of tellings.entries()) {
      const [a, b] = await Promise.all([first.tell(telling), second.tell(telling)]);
      if (a === b) continue;
      const { content } = telling;
      const sent = content instanceof Uint8Array
        ? `raw ${content.toHex()}`
        : formatMessage(content);
      differences.push({ index, sent, first: a, second: b });
      const isOver = [a, b].some((answer) =>
        /^(?:no|the end of the) connection$|^nothing$/.test(answer)
      );
      if (isOver) break;
    }
  } finally {
    await Promise.all([first.close(), second.close()]);
  }
  return differences;
}

/** What two servers made of a script. */
export interface Comparison {
  /** Name of the script, without `.9p`. */
  readonly name: string;
  /** Why it was not compared; empty if it was. */
  readonly skipped: string;
  /** Where they differ. */
  readonly differences: readonly Difference[];
}

/**
 * Tells two servers, whose exports lie in folders of ours, what scripts say.
 *
 * A server that ends or does not answer any more is started again if it can be.
 */
export async function* compareByScripts(
  targets: readonly [first: Target, second: Target],
  scripts: readonly Script[],
  options: CompareOptions & { readonly signal?: AbortSignal },
): AsyncGenerator<Comparison> {
  for (const script of scripts) {
    if (options.signal?.aborted === true) return;
    const name = script.name.replace(/\.9p$/, "");
    const words = [...script.serve.options.keys()].filter((word) => word !== "tree");
    const isUnfit = script.holds || script.serve.tree === "memory" || words.length > 0;
    const tellings = tellingsOf(script);
    const connections = new Set(tellings.map(({ connection }) => connection));
    const isBlind = targets.some(({ host }) => host?.around === undefined);
    const isShort = targets.some(({ isStream, maxConnections }) =>
      connections.size > maxConnections || script.needsStream && !isStream
    );
    if (isUnfit || isBlind || isShort) {
      const skipped = isBlind
        ? "its files cannot be put in the export"
        : "the server would have to be another one";
      yield { name, skipped, differences: [] };
      continue;
    }
    for (const { host } of targets) {
      if (host !== undefined) seedAnew(host.root, script);
    }
    const differences = await compareServers(targets, tellings, options);
    yield { name, skipped: "", differences };
    for (const target of targets) {
      if (target.canRestart && !(await target.health()).isAlive) await target.restart();
    }
  }
}
