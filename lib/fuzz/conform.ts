/**
 * The conform engine: conversations with a name and a rule each, held with any 9P server.
 *
 * A case is a script (see `test/scripts/README.md`). With a server of ours everything has to be as the
 * script says. Others may refuse with another error or by ending the connection, announce other
 * iounits and so on: what the protocol leaves open is no failure.
 *
 * @module
 */
import { encode, ERRNO, type ErrnoName, type Message, NOTAG, parseMessage } from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import {
  type Acceptance,
  END_OF_CONNECTION,
  parseScript,
  runScript,
  type Script,
  ScriptError,
  type ScriptOptions,
  type ScriptTarget,
} from "./script.ts";
import type { Errors } from "./profiles.ts";
import { LINKS, SEED, seedAnew } from "./script_files.ts";
import type { RawConnection, Target } from "./target.ts";
import type { Finding, OracleName, Severity, Verdict } from "./types.ts";

/** What came of a case. */
export interface CaseResult {
  /** Name of the case: that of its script without `.9p`. */
  readonly name: string;
  /** Rule that it checks. */
  readonly clause: string;
  /** What it is about, in a sentence. */
  readonly summary: string;
  /** What came of it. */
  readonly verdict: Verdict;
  /** Who has something against it; nothing unless FAIL, WEDGED or XFAIL. */
  readonly oracle?: OracleName;
  /** What came and what should have come, or why it was skipped; empty for PASS. */
  readonly message: string;
  /** Line of the script at which it ended; 0 if it went to the end. */
  readonly line: number;
  /** How long it took, in milliseconds. */
  readonly ms: number;
}

/** What servers of a kind do otherwise. */
export interface ConformProfile {
  /** Names of cases and texts of failures that are told as XFAIL. */
  readonly known: readonly RegExp[];
  /** Errors that it has in place of others. */
  readonly instead: Errors;
}

/** Options of {@linkcode conform}. */
export interface ConformOptions {
  /** Habits of the server. */
  readonly profile: ConformProfile;
  /** What stands for the empty name of a tree. */
  readonly aname: string;
  /** Milliseconds that an answer may take. */
  readonly patienceMs: number;
  /** User that the cases act for, in place of 0; such as ours where the server refuses root. */
  readonly uid?: number;
  /** Asks to stop before the next case. */
  readonly signal?: AbortSignal;
}

/** Reads all cases of a folder, in the order of their names. */
export function loadCases(folder: URL): Script[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith(".9p")).sort()
    .map((name) => parseScript(name, Deno.readTextFileSync(new URL(name, folder))));
}

/** Errors with which one and the same thing may be refused, besides the one that our server gives. */
const ALTERNATIVES: Readonly<Partial<Record<ErrnoName, readonly ErrnoName[]>>> = {
  EBADF: ["EINVAL", "EIO", "ENOENT", "EPROTO", "EISDIR", "EPERM", "EACCES"],
  EPROTO: ["EINVAL", "EIO", "EBADMSG", "EMSGSIZE", "EOPNOTSUPP", "ENOSYS", "EBADF", "ENOENT"],
  EOPNOTSUPP: ["ENOSYS", "EINVAL", "EIO", "EPROTO", "EPERM", "ENOENT"],
  EINVAL: ["EIO", "EPROTO", "ENOENT", "EPERM", "EACCES", "EISDIR", "ENOTDIR", "EBADF", "EEXIST"],
  EPERM: ["EACCES", "EINVAL", "EROFS", "EOPNOTSUPP"],
  EACCES: ["EPERM", "EBADF", "EINVAL"],
  EEXIST: ["EINVAL", "EISDIR", "ENOTEMPTY", "EBUSY"],
  EBUSY: ["EINVAL", "EIO", "EBADF", "EPERM", "EEXIST"],
  ENOTEMPTY: ["EEXIST"],
  EMSGSIZE: ["EINVAL", "EIO", "EPROTO"],
  ENOENT: ["EINVAL", "EIO", "ENOTDIR", "EACCES", "ESTALE"],
  ENOTDIR: ["EINVAL", "ENOENT", "EIO"],
  ENAMETOOLONG: ["EINVAL", "EIO", "ENOENT"],
  ENOSPC: ["EINVAL", "EIO", "EFBIG", "EMSGSIZE"],
  ENOMEM: ["ENOSPC", "EMFILE", "EINVAL"],
  EMFILE: ["ENFILE", "ENOMEM", "ENOSPC"],
  EISDIR: ["EINVAL", "EBADF", "EIO", "EPERM", "EACCES"],
  ENXIO: ["EOPNOTSUPP", "EACCES", "EINVAL", "EIO", "ENODEV", "EPERM"],
  EFBIG: ["EINVAL", "EIO", "EOVERFLOW"],
  ENODATA: ["ENOENT", "EOPNOTSUPP"],
};

/** The number that an Rlerror line has, undefined if the line is none. */
function wantedError(want: string): { tag: number; ecode: number } | undefined {
  if (!want.startsWith("Rlerror ") || /[*$]/.test(want)) return undefined;
  const message = parseMessage(want);
  return message.kind === "Rlerror" ? message : undefined;
}

/** Frames that no server needs to answer: it may end the connection. */
const MAY_HANG_UP = new Set<number>([ERRNO.EPROTO, ERRNO.EMSGSIZE, ERRNO.EOPNOTSUPP]);

/** Most names of a Twalk, by intro(5): more of them are no message. */
const MAX_NAMES = 16;

/** What a server that is not ours may answer in place of what a script says. */
function acceptance(
  profile: ConformProfile,
  isRaw: () => boolean,
): NonNullable<ScriptOptions["accept"]> {
  return (want, have): Acceptance => {
    const error = wantedError(want);
    if (typeof have === "string") {
      if (have !== END_OF_CONNECTION || error === undefined) return "wrong";
      return isRaw() || MAY_HANG_UP.has(error.ecode) ? "refused" : "wrong";
    }
    if (error === undefined || have.kind !== "Rlerror" || have.tag !== error.tag) return "wrong";
    if (have.ecode === error.ecode) return "same";
    const name = (Object.keys(ERRNO) as ErrnoName[]).find((name) => ERRNO[name] === error.ecode);
    const others = name === undefined
      ? []
      : [...ALTERNATIVES[name] ?? [], ...profile.instead[name] ?? []];
    return others.some((other) => ERRNO[other] === have.ecode) ? "same" : "wrong";
  };
}

/** Leaves open what the protocol leaves to the server. */
function relax(line: string): string {
  return line.replace(/ iounit=\d+/, " iounit=*");
}

/** Messages that change files. */
const CHANGES =
  /^(?:Tlcreate|Tcreate|Tmkdir|Tsymlink|Tmknod|Tlink|Trename|Trenameat|Tunlinkat|Tremove|Twrite|Tsetattr|Twstat|Txattrcreate)\b/;

/** Whether a script finds or leaves files that a server must have been given. */
function needsFolder({ lines }: Script): boolean {
  const names = [...SEED.map(([path]) => path.split("/")[0]), ...LINKS.map(([name]) => name)];
  return lines.some(({ text }) =>
    CHANGES.test(text) || text.startsWith("list ") ||
    names.some((name) => text.includes(JSON.stringify(name)))
  );
}

/** Why a case cannot be held with a target; nothing if it can. */
function obstacle(script: Script, target: Target): string | undefined {
  if (script.serve.tree === "memory") return "it is about files in memory";
  if (script.holds) return "it keeps operations of the server back";
  for (const option of script.serve.options.keys()) {
    if (option === "tree" || option === "stream" || option === "together") continue;
    return `the server would have to be started with ${option}`;
  }
  if (script.clause.startsWith("ours: ")) return "it is a rule of our server only";
  if (script.lines.some(({ text }) => text.includes(' aname="files"'))) {
    return 'the tree would have to be called "files"';
  }
  if (script.needsStream && !target.isStream) return "it is about a stream of bytes";
  const connections = new Set(
    script.lines.filter(({ text }) => text.startsWith("conn ")).map(({ text }) => text),
  );
  if (connections.size >= target.maxConnections) return "it takes more than one connection";
  if (needsFolder(script) && target.host?.around === undefined) {
    return "its files cannot be put in the export";
  }
  return undefined;
}

/** A channel over a connection of a target. */
function channelOver(raw: RawConnection): Channel {
  let isClosed = false;
  const frames = async function* (): AsyncGenerator<Uint8Array> {
    while (!isClosed) {
      const frame = await raw.receive(60_000);
      if (frame === null) return;
      if (frame !== undefined) yield frame;
    }
  };
  return {
    frames: frames(),
    send: (bytes) => raw.send(bytes),
    close: () => {
      isClosed = true;
      void raw.close();
    },
  };
}

/** Whether a target still talks to somebody new. */
async function answers(target: Target, patienceMs: number): Promise<boolean> {
  let connection: RawConnection | undefined;
  try {
    connection = await target.connect();
    const request = { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" } as const;
    await connection.send(encode(request, "9P2000.L"));
    return await connection.receive(patienceMs) instanceof Uint8Array;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}

function nameOf(script: Script): string {
  return script.name.replace(/\.9p$/, "");
}

/** Who has something against an answer. */
function oracleOf(script: Script, error: ScriptError): OracleName {
  const { want, have } = error;
  const name = nameOf(script);
  if (/^\d+ error of ours/.test(have)) return "process";
  if (want === "nothing in use") return "resources";
  if (have === END_OF_CONNECTION) return "process";
  if (have.startsWith("nothing for ")) return "hang";
  if (have.startsWith("raw ")) return "framing";
  if (/(?:^|_)flush_/.test(name) || want.startsWith("Rflush")) return "flush";
  if (want.startsWith("list ")) return "counts";
  const [wantKind = "", haveKind = ""] = [want, have].map((line) => line.split(" ", 1)[0]);
  const isError = (kind: string): boolean => kind === "Rlerror" || kind === "Rerror";
  const isLetIn = isError(wantKind) && !isError(haveKind);
  if (/dotdot_(?:confined|from_root)/.test(name) || /symlink|names/.test(name) && isLetIn) {
    return "confinement";
  }
  if (/^(?:fid|attach|clunk|open_twice|walk_(?:used|unknown|same|in))/.test(name)) return "fids";
  if (isError(wantKind) || isError(haveKind)) return "errors";
  if (wantKind !== haveKind || !tagOf(want).test(have)) return "framing";
  if (wantKind === "Rread" || wantKind === "Rgetattr" || wantKind === "Rstat") return "data";
  if (wantKind === "Rwrite" || wantKind === "Rreaddir" || wantKind === "Rversion") return "counts";
  return / w?qid=/.test(want) ? "qids" : "data";
}

function tagOf(line: string): RegExp {
  const tag = / tag=(\w+)/.exec(line)?.[1] ?? "";
  return new RegExp(` tag=${tag}(?: |$)`);
}

/** What the server cannot do, which no rule says it has to; nothing if that is not the matter. */
function inability(script: Script, { want, have }: ScriptError): string | undefined {
  const [first] = script.lines;
  const asked = / version="(9P2000(?:\.u)?)"$/.exec(first?.text ?? "")?.[1];
  if (asked !== undefined && want.startsWith("Rversion ")) {
    return `it does not speak ${asked}`;
  }
  if (!/^Rlerror .* ecode=(?:EOPNOTSUPP|ENOSYS)$/.test(have) || /^Rl?error /.test(want)) {
    return undefined;
  }
  return `it does not support T${want.split(" ", 1)[0]?.slice(1)}`;
}

interface Outcome {
  readonly verdict: Verdict;
  readonly oracle?: OracleName;
  readonly message: string;
  readonly line: number;
}

/** Holds a script and says what came of it. */
async function hold(
  script: Script,
  target: ScriptTarget,
  options: ScriptOptions,
): Promise<Outcome> {
  try {
    const isWhole = await runScript(script, target, options);
    if (isWhole) return { verdict: "PASS", message: "", line: 0 };
    return { verdict: "REJECT", message: "the server ended the connection", line: 0 };
  } catch (error) {
    if (!(error instanceof ScriptError)) {
      const message = error instanceof Error ? textOf(error) : String(error);
      return { verdict: "FAIL", oracle: "process", message, line: 0 };
    }
    const { line, have, want } = error;
    const reason = options.accept === undefined ? undefined : inability(script, error);
    if (reason !== undefined) return { verdict: "SKIP", message: reason, line };
    const oracle = oracleOf(script, error);
    return { verdict: "FAIL", oracle, message: `have ${cut(have)}, want ${cut(want)}`, line };
  }
}

function textOf(error: Error): string {
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}

function cut(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 197)}...`;
}

function result(script: Script, outcome: Outcome, ms: number): CaseResult {
  const { clause, summary } = script;
  return { name: nameOf(script), clause, summary, ...outcome, ms };
}

/**
 * Holds cases with a target, one after the other.
 *
 * Every case gets connections of its own, and the files of the scripts anew where the export lies in
 * a folder of ours. After each of them somebody new has to be answered; a target that is not, or has
 * died, is started again if it can be.
 */
export async function* conform(
  target: Target,
  scripts: readonly Script[],
  options: ConformOptions,
): AsyncGenerator<CaseResult> {
  const { profile, patienceMs } = options;
  let isGone = false;
  for (const script of scripts) {
    if (options.signal?.aborted === true) return;
    const begin = performance.now();
    const reason = isGone ? "the target is gone" : obstacle(script, target);
    if (reason !== undefined) {
      yield result(script, { verdict: "SKIP", message: reason, line: 0 }, 0);
      continue;
    }
    if (target.host?.around !== undefined) seedAnew(target.host.root, script);
    const open: RawConnection[] = [];
    const scriptTarget: ScriptTarget = {
      connect: async () => {
        const connection = await target.connect();
        open.push(connection);
        return channelOver(connection);
      },
      hold: cannotHold,
      release: cannotHold,
      waiting: cannotHold,
      usage: () => ({}),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const hasRaw = script.lines.some(({ text }) => text.startsWith("raw "));
    let isLong = false;
    let outcome = await hold(script, scriptTarget, {
      patienceMs,
      relax,
      accept: acceptance(profile, () => hasRaw || isLong),
      rewrite: (message) => {
        isLong = message.kind === "Twalk" && message.wname.length > MAX_NAMES;
        return named(message, options);
      },
    });
    await Promise.all(open.map((connection) => connection.close()));
    const isAnswering = await answers(target, patienceMs);
    const health = await target.health();
    if (!health.isAlive || health.complaints.length > 0 || !isAnswering) {
      const isDead = !health.isAlive;
      const said = health.complaints.length > 0 ? `: ${health.complaints.at(-1)}` : "";
      outcome = {
        verdict: isDead || isAnswering ? "FAIL" : "WEDGED",
        oracle: isDead || isAnswering ? "process" : "hang",
        message: isDead
          ? `the server ended (${health.end})${said}`
          : isAnswering
          ? `the server complains of itself${said}`
          : "nobody new is answered any more",
        line: outcome.line,
      };
      if (target.canRestart) await target.restart();
      else isGone = isDead || !isAnswering;
    }
    if (outcome.verdict === "FAIL" && isKnown(profile, script, outcome)) {
      outcome = { ...outcome, verdict: "XFAIL" };
    }
    yield result(script, outcome, performance.now() - begin);
  }
}

function cannotHold(): never {
  throw new TypeError("Cannot hold operations of a server that is not of this process");
}

function isKnown(profile: ConformProfile, script: Script, outcome: Outcome): boolean {
  const causes = [nameOf(script), outcome.message];
  return profile.known.some((known) => causes.some((cause) => known.test(cause)));
}

/** Puts in the tree and the user that a target wants. */
function named(message: Message, { aname, uid }: ConformOptions): Message {
  if (message.kind !== "Tattach") return message;
  const mine = uid === undefined || message.n_uname !== 0 ? message : { ...message, n_uname: uid };
  return message.aname === "" ? { ...mine, aname } : mine;
}

/** A way to have a server of ours for a script. */
export interface ScriptServer {
  /** Whether it can serve it. */
  suits(script: Script): boolean;
  /** Serves it. */
  make(script: Script): ScriptTarget | Promise<ScriptTarget>;
}

/** Holds cases with a server of ours, which has to answer exactly as they say. */
export async function* conformExactly(
  server: ScriptServer,
  scripts: readonly Script[],
  options: { readonly patienceMs: number; readonly signal?: AbortSignal },
): AsyncGenerator<CaseResult> {
  for (const script of scripts) {
    if (options.signal?.aborted === true) return;
    const begin = performance.now();
    let outcome: Outcome = { verdict: "SKIP", message: "it is for another kind of tree", line: 0 };
    if (server.suits(script)) {
      try {
        await using target = await server.make(script);
        outcome = await hold(script, target, { patienceMs: options.patienceMs });
      } catch (error) {
        // What fails around the script, not in it.
        const message = error instanceof Error ? textOf(error) : String(error);
        outcome = { verdict: "FAIL", oracle: "process", message, line: 0 };
      }
    }
    yield result(script, outcome, performance.now() - begin);
  }
}

const SEVERITIES: Readonly<Partial<Record<OracleName, Severity>>> = {
  process: "critical",
  confinement: "critical",
  hang: "high",
  framing: "high",
  fids: "high",
  data: "high",
  resources: "medium",
  errors: "low",
};

/** A result as something to report; nothing if there is nothing against it. */
export function findingOf(outcome: CaseResult, script: Script): Finding | undefined {
  const { oracle, verdict, name, clause, message } = outcome;
  if (oracle === undefined || verdict === "XFAIL") return undefined;
  const rows = script.source.split("\n");
  const reproducer = outcome.line === 0 ? rows : rows.slice(0, outcome.line);
  return {
    oracle,
    engine: "conform",
    severity: SEVERITIES[oracle] ?? "medium",
    bucket: `${oracle}/${name}`,
    message: `${message}; against ${clause || "the script"}`,
    origin: `${name}.9p:${outcome.line}`,
    reproducer: `${reproducer.join("\n").trimEnd()}\n`,
    messages: reproducer.filter((line) => /^(?:T[a-z]+|raw) /.test(line)).length,
    confirmed: { failed: 1, tried: 1 },
  };
}
