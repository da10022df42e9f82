/**
 * Compares lines of a golden conversation with messages that really came.
 *
 * @module
 */
import { formatMessage, type Message, parseMessage } from "../p9/mod.ts";

/** What `$name` in a script stands for once it was seen. */
export type Variables = Map<string, string>;

const QUOTED = String.raw`"(?:[^"\\]|\\.)*"`;
/** A whole value: a string, a list, or anything without a space. */
const VALUE = String.raw`(?:${QUOTED}|\[(?:${QUOTED}|[^\]"])*\]|[^\s"[\]]+)`;
/** An item of a list, such as a qid or a string. */
const ITEM = String.raw`(?:${QUOTED}|[^\s,"[\]]+)`;
/** A part of a qid. */
const PART = String.raw`[^\s,."[\]]+`;
const FIELDS = String.raw`(?: [a-z_0-9]+=${VALUE})*`;

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** Writes out `0x61{3}` as `0x616161`: bytes that are repeated. */
export function expandBytes(line: string): string {
  return line.replace(
    /0x((?:[0-9a-f]{2})+)\{(\d+)\}/g,
    (_, hex: string, times: string) => `0x${hex.repeat(Number(times))}`,
  );
}

/**
 * Puts the values of variables into a line that is to be sent.
 *
 * @throws {SyntaxError} If one was never seen.
 */
export function substitute(line: string, variables: Variables): string {
  return line.replace(new RegExp(`${QUOTED}|\\$([a-z]\\w*)`, "g"), (all, name: string) => {
    if (name === undefined) return all;
    const value = variables.get(name);
    if (value === undefined) throw new SyntaxError(`Cannot send $${name}: nothing gave it a value`);
    return value;
  });
}

/** A line of a script as something to compare with. */
interface Pattern {
  readonly text: RegExp;
  readonly names: readonly string[];
}

function compile(line: string, variables: Variables): Pattern {
  const names: string[] = [];
  const token = new RegExp(`${QUOTED}| \\.\\.\\.(?= |$)|\\*|\\$[a-z]\\w*|[^"*$ ]+|.`, "gs");
  let text = "";
  for (const { 0: part, index } of line.matchAll(token)) {
    if (part === " ...") {
      text += FIELDS;
      continue;
    }
    const name = part.startsWith("$") ? part.slice(1) : "";
    if (part !== "*" && name === "") {
      text += escaped(part);
      continue;
    }
    const before = line[index - 1] ?? "";
    const after = line[index + part.length] ?? " ";
    const kind = before === "=" && after === " "
      ? VALUE
      : /[[,=]/.test(before) && /[\],]/.test(after)
      ? ITEM
      : PART;
    const known = variables.get(name);
    if (name === "") text += kind;
    else if (known !== undefined) text += escaped(known);
    else if (names.includes(name)) text += `\\k<${name}>`;
    else {
      names.push(name);
      text += `(?<${name}>${kind})`;
    }
  }
  return { text: new RegExp(`^${text}$`, "s"), names };
}

function hasWildcards(line: string): boolean {
  return / \.\.\.(?: |$)|[*$]/.test(line.replace(new RegExp(QUOTED, "g"), '""'));
}

/**
 * Whether a message is what a line says.
 *
 * Without wildcards the line is parsed, so fields may come in any order and flags be written as
 * numbers. With them it is compared as text: `*` is any one value, item of a list or part of a qid;
 * `$name` is the same, and everywhere the same; ` ...` is any number of fields.
 *
 * @param variables Take in what `$name` stood for if the line matches.
 * @throws {SyntaxError} If the line is no message and has no wildcards.
 */
export function matches(line: string, message: Message, variables: Variables): boolean {
  const expanded = expandBytes(line);
  const have = formatMessage(message);
  if (!hasWildcards(expanded)) return formatMessage(parseMessage(expanded)) === have;
  const { text, names } = compile(expanded, variables);
  const found = text.exec(have);
  if (found === null) return false;
  for (const name of names) variables.set(name, found.groups?.[name] ?? "");
  return true;
}
