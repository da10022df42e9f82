/**
 * A subset of Wireshark's display filters: `9p.fid == 3 && 9p.wname contains "tmp"`.
 *
 * A comparison holds if any value of the field in the request or the reply is so; with `!=`, if all
 * of them are. Fields have the names of Wireshark (`9p.maxsize`) and of the protocol (`9p.msize`).
 *
 * @module
 */
import { ERRNO, fieldKind, LAYOUT, LAYOUTS, parseFlags64, TYPE, type Value } from "../p9/mod.ts";
import type { Qid } from "../p9/mod.ts";
import { pathOfTransaction } from "./request_path.ts";
import { FilterError } from "./filter_error.ts";
import type { Half, Transaction } from "./types.ts";
import { wiresharkName } from "./wireshark.ts";

type Scalar = bigint | string;
type Predicate = (transaction: Transaction) => boolean;

/** Fields that a transaction has beyond those of its messages. */
const OWN: Readonly<Record<string, (transaction: Transaction) => readonly Scalar[]>> = {
  msgtype: (each) => halves(each).map(({ type }) => BigInt(type)),
  msglen: (each) => halves(each).map(({ size }) => BigInt(size)),
  tag: ({ tag }) => [BigInt(tag)],
  path: (each) => [pathOfTransaction(each), ...each.paths.values()].filter((path) => path !== ""),
  errno: ({ errno }) => errno === 0 ? [] : [BigInt(errno)],
  outcome: ({ outcome }) => [outcome],
  conversation: ({ conversation }) => [BigInt(conversation.id)],
  // In nanoseconds; the numbers of a filter are seconds.
  time: ({ request, reply }) =>
    request === null || reply === null ? [] : [BigInt(Math.round(reply.time - request.time))],
};

/** Every name of a field, and for numbers what its words mean. */
const FIELDS = new Map<string, Readonly<Record<string, number>>>();
for (const name of Object.keys(OWN)) FIELDS.set(name, {});
FIELDS.set("msgtype", TYPE);
FIELDS.set("errno", ERRNO);
for (const { name: kind, fields } of LAYOUTS) {
  for (const field of fields) {
    const { flags, none, print } = fieldKind(kind, field.name);
    const words = {
      ...(print === "errno" ? ERRNO : flags),
      ...(none === undefined ? {} : { [none.name]: none.value }),
    };
    const names = field.form === "qid" || field.form === "qids"
      ? ["qidtype", "qidvers", "qidpath", ...(field.form === "qids" ? ["nqid"] : [])]
      : [field.name, wiresharkName(kind, field.name)];
    if (field.form === "strings") names.push("nwalk");
    if (field.form === "bytes") names.push("count");
    for (const name of names) FIELDS.set(name, { ...FIELDS.get(name), ...words });
  }
}

function halves({ request, reply }: Transaction): Half[] {
  return [request, reply].filter((half) => half !== null);
}

function scalars(value: Value): Scalar[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number" || typeof value === "bigint") return [BigInt(value)];
  if (Array.isArray(value)) return value.filter((each) => typeof each === "string");
  return [];
}

/** All values of a field. */
function valuesOf(transaction: Transaction, wanted: string): Scalar[] {
  const own = Object.hasOwn(OWN, wanted) ? OWN[wanted] : undefined;
  const values = own === undefined ? [] : [...own(transaction)];
  for (const { message, size } of halves(transaction)) {
    if (message === null) continue;
    const fields = message as unknown as Readonly<Record<string, Value>>;
    for (const { name, form } of LAYOUT.get(message.kind)?.fields ?? []) {
      const value = fields[name] ?? 0;
      if (form === "qid" || form === "qids") {
        const qids = (form === "qid" ? [value] : value) as readonly Qid[];
        if (wanted === "nqid" && form === "qids") values.push(BigInt(qids.length));
        for (const { type, version, path } of qids) {
          if (wanted === "qidtype") values.push(BigInt(type));
          if (wanted === "qidvers") values.push(BigInt(version));
          if (wanted === "qidpath") values.push(path);
        }
        continue;
      }
      if (form === "strings" && wanted === "nwalk") {
        values.push(BigInt((value as readonly string[]).length));
      }
      // Of the payload perhaps only the beginning is at hand; its count is that of the wire.
      if (form === "bytes" && wanted === "count") {
        values.push(BigInt(size - (message.kind === "Twrite" ? 23 : 11)));
      }
      if (wanted === name || wanted === wiresharkName(message.kind, name)) {
        values.push(...scalars(value));
      }
    }
  }
  return values;
}

const TOKEN =
  /\s*(?:(==|!=|<=|>=|&&|\|\||[<>!(){},&~])|"((?:[^"\\]|\\.)*)"|([A-Za-z0-9_.+-]+(?:\|[A-Za-z0-9_]+)*))/y;

interface Token {
  readonly kind: "sign" | "text" | "word";
  readonly text: string;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (text.slice(at).trim() !== "") {
    TOKEN.lastIndex = at;
    const [all, sign, quoted, word] = TOKEN.exec(text) ?? [];
    if (all === undefined) {
      throw new FilterError(`-Y cannot be read at "${text.slice(at, at + 20).trim()}"`);
    }
    if (sign !== undefined) tokens.push({ kind: "sign", text: sign });
    else if (word !== undefined) tokens.push({ kind: "word", text: word });
    else tokens.push({ kind: "text", text: (quoted ?? "").replace(/\\(.)/gs, "$1") });
    at = TOKEN.lastIndex;
  }
  return tokens;
}

const OPERATORS: Readonly<Record<string, string>> = {
  "eq": "==",
  "ne": "!=",
  "lt": "<",
  "le": "<=",
  "gt": ">",
  "ge": ">=",
  "~": "matches",
  "bitwise_and": "&",
};
const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">=", "contains", "matches", "in", "&"]);
/** Deepest nesting of parentheses and negations. */
const MAX_DEPTH = 100;

/** Reads an expression by recursive descent. */
class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Predicate {
    const predicate = this.#either();
    const extra = this.#tokens[this.#at];
    if (extra !== undefined) throw new FilterError(`-Y has "${extra.text}" where it should end`);
    return predicate;
  }

  #either(): Predicate {
    const parts = [this.#both()];
    while (this.#take("||", "or")) parts.push(this.#both());
    return parts.length === 1 && parts[0] !== undefined
      ? parts[0]
      : (each) => parts.some((part) => part(each));
  }

  #both(): Predicate {
    const parts = [this.#single()];
    while (this.#take("&&", "and")) parts.push(this.#single());
    return parts.length === 1 && parts[0] !== undefined
      ? parts[0]
      : (each) => parts.every((part) => part(each));
  }

  #single(): Predicate {
    if (++this.#depth > MAX_DEPTH) throw new FilterError("-Y is nested too deeply");
    try {
      if (this.#take("!", "not")) {
        const inner = this.#single();
        return (each) => !inner(each);
      }
      if (this.#take("(")) {
        const inner = this.#either();
        if (!this.#take(")")) throw new FilterError('-Y lacks a ")"');
        return inner;
      }
      return this.#comparison();
    } finally {
      this.#depth--;
    }
  }

  #comparison(): Predicate {
    const token = this.#tokens[this.#at++];
    if (token?.kind !== "word") {
      throw new FilterError(
        `-Y has ${token === undefined ? "no field" : `"${token.text}"`} where a ` +
          "field such as 9p.fid should be",
      );
    }
    if (token.text === "9p") return () => true;
    const name = token.text.replace(/^9p\./, "");
    const words = FIELDS.get(name);
    if (words === undefined || name === token.text) {
      throw new FilterError(`-Y has "${token.text}", which is no field such as 9p.fid`);
    }
    const next = this.#tokens[this.#at]?.text ?? "";
    const operator = OPERATORS[next] ?? next;
    if (!COMPARISONS.has(operator)) return (each) => valuesOf(each, name).length > 0;
    this.#at++;
    if (operator === "in") return this.#list(name, words);
    const value = this.#value(name, words);
    if (operator === "matches") return matching(name, String(value));
    if (operator === "!=") return (each) => valuesOf(each, name).every((have) => have !== value);
    return (each) => valuesOf(each, name).some((have) => compare(have, operator, value));
  }

  #list(name: string, words: Readonly<Record<string, number>>): Predicate {
    if (!this.#take("{")) throw new FilterError('-Y has no "{" after "in"');
    const wanted = new Set<Scalar>();
    while (!this.#take("}")) {
      wanted.add(this.#value(name, words));
      this.#take(",");
    }
    return (each) => valuesOf(each, name).some((have) => wanted.has(have));
  }

  #value(name: string, words: Readonly<Record<string, number>>): Scalar {
    const token = this.#tokens[this.#at++];
    if (token === undefined || token.kind === "sign") {
      throw new FilterError(`-Y has no value for 9p.${name}`);
    }
    if (token.kind === "text") return token.text;
    if (name === "time") {
      if (/^\d+(?:\.\d{1,9})?$/.test(token.text)) {
        return BigInt(Math.round(Number(token.text) * 1e9));
      }
      throw new FilterError(
        `-Y compares 9p.time with "${token.text}", which is no time in seconds`,
      );
    }
    try {
      return parseFlags64(token.text, words);
    } catch {
      // A word without quotes: Wireshark takes it as text, too.
      return token.text;
    }
  }

  #take(...texts: string[]): boolean {
    const token = this.#tokens[this.#at];
    if (token === undefined || token.kind === "text" || !texts.includes(token.text)) return false;
    this.#at++;
    return true;
  }
}

function matching(name: string, text: string): Predicate {
  let pattern: RegExp;
  try {
    pattern = new RegExp(text, "i");
  } catch {
    throw new FilterError(`-Y has "${text}", which is no regular expression`);
  }
  return (each) => valuesOf(each, name).some((have) => pattern.test(String(have)));
}

function compare(have: Scalar, operator: string, value: Scalar): boolean {
  if (operator === "contains") return String(have).includes(String(value));
  if (typeof have !== typeof value) return false;
  switch (operator) {
    case "==":
      return have === value;
    case "<":
      return have < value;
    case "<=":
      return have <= value;
    case ">":
      return have > value;
    case ">=":
      return have >= value;
    case "&":
      return typeof have === "bigint" && typeof value === "bigint" && (have & value) !== 0n;
    default:
      return false;
  }
}

/**
 * Reads a display filter.
 *
 * @throws {FilterError} If it is none, or uses a field that there is not.
 */
export function parseDisplayFilter(text: string): Predicate {
  return new Parser(tokensOf(text)).whole();
}
