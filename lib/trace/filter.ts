/**
 * Which transactions to show, in strace's words.
 *
 * @module
 */
import { ERRNO, kindsOf, type Message, TYPE } from "../p9/mod.ts";
import { pathOfTransaction } from "./request_path.ts";
import { parseDisplayFilter } from "./display_filter.ts";
import { FilterError } from "./filter_error.ts";
import { nameOfType } from "./half.ts";
import type { Transaction } from "./types.ts";

/** Whether to show a transaction. */
export type Filter = (transaction: Transaction) => boolean;

/** Groups of requests by what they do, without the T. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  session: ["version", "auth", "attach", "flush"],
  walk: ["walk", "clunk"],
  file: [
    ...["walk", "open", "create", "lopen", "lcreate", "remove", "symlink", "mknod", "mkdir"],
    ...["link", "rename", "renameat", "unlinkat", "readlink"],
  ],
  data: ["read", "write", "fsync"],
  dir: ["readdir", "mkdir", "unlinkat", "renameat", "rename", "mknod", "symlink", "link"],
  meta: ["getattr", "setattr", "stat", "wstat", "statfs", "readlink", "xattrwalk", "xattrcreate"],
  xattr: ["xattrwalk", "xattrcreate"],
  lock: ["lock", "getlock"],
  desc: ["read", "write", "readdir", "fsync", "lock", "getlock", "clunk"],
  all: [],
};

const NAMES: ReadonlySet<string> = new Set(
  kindsOf("9P2000.L").concat(kindsOf("9P2000.u")).filter((kind) => kind.startsWith("T"))
    .map((kind) => kind.slice(1)),
);

/** Words of the statuses that transactions have. */
export const STATUSES = [
  "successful",
  "failed",
  "unfinished",
  "lost",
  "flushed",
  "unasked",
] as const;

/** What a transaction came to. */
export type Status = (typeof STATUSES)[number];

/** What a transaction came to, in one word. */
export function statusOf({ outcome, reply }: Transaction): Status {
  if (outcome !== "answered") return outcome;
  return reply?.type === TYPE.Rlerror || reply?.type === TYPE.Rerror ? "failed" : "successful";
}

/** What {@linkcode filterOf} takes: each as on the command line. */
export interface FilterWords {
  /** As in `trace=%meta,Tread,/Tl.*\u002f`, `trace=!Tread`, `status=failed`; all must hold. */
  readonly expressions?: readonly string[];
  /** Globs of paths; one must match. */
  readonly paths?: readonly string[];
  /** Statuses; one must be it. */
  readonly status?: readonly string[];
  /** Names or numbers of errors; one must be it. */
  readonly errno?: readonly string[];
  /** Shortest latency, nanoseconds. */
  readonly slower?: number;
  /** Numbers of conversations, as in `c2`; one must be it. */
  readonly conversations?: readonly string[];
  /** In the words of Wireshark. */
  readonly display?: string;
}

/**
 * Makes a filter.
 *
 * @returns Null if everything is wanted.
 * @throws {FilterError} If a word means nothing.
 *
 * @example Groups and names
 * ```ts
 * import assert from "node:assert/strict";
 * import { filterOf } from "@virtfs/virtfs/trace";
 *
 * assert.equal(filterOf({}), null);
 * assert.throws(() => filterOf({ expressions: ["trace=Tred"] }), { name: "UsageError" });
 * ```
 */
export function filterOf(words: FilterWords): Filter | null {
  const all: Filter[] = (words.expressions ?? []).map(expressionFilter);
  if (words.paths !== undefined) all.push(pathFilter(words.paths));
  if (words.status !== undefined) all.push(statusFilter(words.status));
  if (words.errno !== undefined) all.push(errnoFilter(words.errno));
  if (words.conversations !== undefined) all.push(conversationFilter(words.conversations));
  if (words.display !== undefined) all.push(parseDisplayFilter(words.display));
  const { slower } = words;
  if (slower !== undefined) {
    all.push(({ request, reply }) =>
      request !== null && reply !== null && reply.time - request.time >= slower
    );
  }
  if (all.length === 0) return null;
  return (transaction) => all.every((each) => each(transaction));
}

function expressionFilter(text: string): Filter {
  const [, qualifier = "trace", value = ""] = /^(?:(\w+)=)?(.*)$/s.exec(text) ?? [];
  switch (qualifier) {
    case "trace":
    case "t":
      return traceFilter(value);
    case "status":
      return statusFilter(value.split(","));
    default:
      throw new FilterError(`-e takes trace=… and status=…, not "${qualifier}=…"`);
  }
}

/** A set of requests: names with or without T, %groups, /patterns/, all of it turned round by `!`. */
export function traceFilter(text: string): Filter {
  const isNot = text.startsWith("!");
  const wanted = new Set<string>();
  const patterns: RegExp[] = [];
  for (const item of splitItems(isNot ? text.slice(1) : text)) {
    if (item.startsWith("/")) patterns.push(patternOf(item));
    else for (const name of namesOf(item)) wanted.add(name);
  }
  const isEverything = wanted.has("");
  return ({ request, reply }) => {
    const type = request?.type ?? (reply === null ? -1 : reply.type - 1);
    const name = nameOfType(type, "T");
    const isIn = isEverything || wanted.has(name.slice(1)) ||
      patterns.some((pattern) => pattern.test(name));
    return isIn !== isNot;
  };
}

/** Parts a list at its commas, those within /…/ aside. */
function splitItems(text: string): string[] {
  const items = text.match(/\/(?:[^/\\]|\\.)*\/|[^,]+/g) ?? [];
  const rest = items.join(",");
  if (items.length === 0 || rest !== text) {
    throw new FilterError(`-e trace=${text} is no list of requests, %groups and /patterns/`);
  }
  return items;
}

function patternOf(item: string): RegExp {
  if (item.length < 3 || !item.endsWith("/")) {
    throw new FilterError(`-e trace=${item} is no pattern: it does not end with /`);
  }
  try {
    return new RegExp(item.slice(1, -1));
  } catch {
    throw new FilterError(`-e trace=${item} is no regular expression`);
  }
}

function namesOf(item: string): readonly string[] {
  if (item === "all" || item === "%all") return [""];
  if (item === "none") return [];
  if (item.startsWith("%")) {
    const group = Object.hasOwn(GROUPS, item.slice(1)) ? GROUPS[item.slice(1)] : undefined;
    if (group !== undefined) return group;
    const groups = Object.keys(GROUPS).map((name) => `%${name}`).join(", ");
    throw new FilterError(`-e trace has "${item}"; the groups are: ${groups}`);
  }
  const isOptional = item.startsWith("?");
  const name = (isOptional ? item.slice(1) : item).replace(/^T(?=[a-z0-9])/, "");
  if (NAMES.has(name) || isOptional || /^\d{1,3}$/.test(name)) return [name];
  const distance = (each: string): number => Math.abs(each.length - name.length);
  const meant = [...NAMES].filter((each) => each.startsWith(name.slice(0, 2)))
    .sort((a, b) => distance(a) - distance(b))[0];
  const hint = meant === undefined ? "" : `; did you mean T${meant}?`;
  throw new FilterError(`-e trace has "${item}", which is no T-message${hint}`);
}

function statusFilter(words: readonly string[]): Filter {
  for (const word of words) {
    if (!(STATUSES as readonly string[]).includes(word)) {
      throw new FilterError(`--status has "${word}"; there are: ${STATUSES.join(", ")}`);
    }
  }
  return (transaction) => words.includes(statusOf(transaction));
}

function errnoFilter(words: readonly string[]): Filter {
  const numbers = new Set(words.map((word) => {
    if (/^\d{1,9}$/.test(word)) return Number(word);
    if (Object.hasOwn(ERRNO, word)) return ERRNO[word as keyof typeof ERRNO];
    throw new FilterError(`--errno has "${word}", which is no error of Linux such as ENOENT`);
  }));
  return ({ errno }) => errno !== 0 && numbers.has(errno);
}

function conversationFilter(words: readonly string[]): Filter {
  const ids = new Set(words.map((word) => {
    const [, id] = /^c?(\d{1,9})$/.exec(word) ?? [];
    if (id === undefined) {
      throw new FilterError(`--conn has "${word}", which is no conversation such as c2`);
    }
    return Number(id);
  }));
  return ({ conversation }) => ids.has(conversation.id);
}

/** What text.ts adds to a path that is no part of a name. */
const ADDED = /(?: \(deleted\)|\[[^\]/]*\])+$/;

function pathFilter(globs: readonly string[]): Filter {
  const patterns = globs.map(globPattern);
  const matches = (path: string): boolean => {
    const plain = path.replace(ADDED, "");
    return patterns.some((pattern) => pattern.test(path) || pattern.test(plain));
  };
  return (transaction) => {
    const about = pathOfTransaction(transaction);
    if (about !== "" && matches(about)) return true;
    for (const path of transaction.paths.values()) if (matches(path)) return true;
    const message = transaction.request?.message ?? null;
    const other = message === null ? "" : otherPath(message, transaction);
    return other !== "" && matches(other);
  };
}

/** Where a rename leads to. */
function otherPath(message: Message, { paths }: Transaction): string {
  const [fid, name] = message.kind === "Trenameat"
    ? [message.newdirfid, message.newname]
    : message.kind === "Trename"
    ? [message.dfid, message.name]
    : [-1, ""];
  const folder = paths.get(fid);
  if (folder === undefined) return "";
  return folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** A glob: `*` and `?` within one name, `**` across names, `[…]` one of these. */
function globPattern(glob: string): RegExp {
  let pattern = "";
  for (const [token] of glob.matchAll(/\*\*\/?|\*|\?|\[!?[^\]]+\]|[^]/gu)) {
    if (token === "**/") pattern += "(?:.*/)?";
    else if (token === "**") pattern += ".*";
    // No name is empty: "/*" is not "/".
    else if (token === "*") pattern += pattern.endsWith("/") ? "[^/]+" : "[^/]*";
    else if (token === "?") pattern += "[^/]";
    else if (token.length > 2 && token.startsWith("[")) {
      const inside = token.slice(1, -1).replace(/^!/, "^").replace(/[\\[\]]/g, "\\$&");
      pattern += `(?!/)[${inside}]`;
    } else pattern += token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  }
  try {
    return new RegExp(`^${pattern}$`, "su");
  } catch {
    throw new FilterError(`-P has "${glob}", which is no pattern`);
  }
}
