/**
 * Writes `lib/p9/messages.ts` and `docs/messages.md` from `lib/p9/schema.ts` and
 * `lib/p9/kinds.ts`; the types and the JSON Schema of results files from
 * `lib/bench/results_schema.ts`.
 *
 *     deno task gen            write them
 *     deno task gen --check    exit 1 if they are not what would be written
 *
 * @module
 */

// deno-lint-ignore-file no-console -- a program for the terminal

import { type FieldKind, fieldKind, KINDS } from "../lib/p9/kinds.ts";
import { type Field, type Layout, LAYOUTS, minSize, RECORD_LAYOUTS } from "../lib/p9/layout.ts";
import { TRANSACTIONS } from "../lib/p9/schema.ts";
import { resultsSchemaJson, resultsTypes } from "./gen_results.ts";
import { traceSchemaJson } from "./gen_trace.ts";

/** Messages of a running mount, most frequent first: their cases are tried first. */
const HOT = [
  "Rread Rwrite Rwalk Rgetattr Rclunk Rlerror Rlopen Rreaddir Rlcreate Rsetattr Runlinkat Rflush",
  "Tread Twrite Twalk Tgetattr Tclunk Tlopen Treaddir Tlcreate Tsetattr Tunlinkat Tflush",
].join(" ").split(" ");

const TYPES: Readonly<Record<Field["form"], string>> = {
  u8: "number",
  u16: "number",
  u32: "number",
  u64: "bigint",
  qid: "Qid",
  string: "string",
  strings: "readonly string[]",
  qids: "readonly Qid[]",
  bytes: "Uint8Array",
};

const FIXED = new Set(["u8", "u16", "u32", "u64", "qid"]);

/** Expression for `base + add` without the noise of `+ 0`. */
function plus(base: string, add: number): string {
  return add === 0 ? base : `${base} + ${add}`;
}

function getter(field: Field, at: string): string {
  switch (field.form) {
    case "u8":
      return `view.getUint8(${at})`;
    case "u16":
      return `view.getUint16(${at}, true)`;
    case "u32":
      return `view.getUint32(${at}, true)`;
    case "u64":
      return `view.getBigUint64(${at}, true)`;
    case "qid":
      return `getQid(view, ${at})`;
    default:
      throw new TypeError(`Cannot get "${field.name}" in one step: it is ${field.form}`);
  }
}

function setter(field: Field, at: string, value: string): string {
  switch (field.form) {
    case "u8":
      return `view.setUint8(${at}, ${value});`;
    case "u16":
      return `view.setUint16(${at}, ${value}, true);`;
    case "u32":
      return `view.setUint32(${at}, ${value}, true);`;
    case "u64":
      return `view.setBigUint64(${at}, ${value}, true);`;
    case "qid":
      return `putQid(view, ${at}, ${value});`;
    default:
      throw new TypeError(`Cannot set "${field.name}" in one step: it is ${field.form}`);
  }
}

/** What a field is where the dialect does not have it. */
function absent(owner: string, field: Field): string {
  if (field.form === "string") return '""';
  return fieldKind(owner, field.name).none?.name ?? "0";
}

function prefixGetter(width: number, at: string): string {
  return width === 2 ? `view.getUint16(${at}, true)` : `view.getUint32(${at}, true)`;
}

/**
 * Fields cut into runs: fixed fields with the length or count of the variable one that ends them,
 * so that one check of bounds covers all.
 */
interface Run {
  fixed: Field[];
  tail: Field | undefined;
}

function runsOf(fields: readonly Field[]): Run[] {
  const runs: Run[] = [{ fixed: [], tail: undefined }];
  for (const field of fields) {
    let run = runs[runs.length - 1];
    if (run === undefined || run.tail !== undefined) {
      run = { fixed: [], tail: undefined };
      runs.push(run);
    }
    if (FIXED.has(field.form)) run.fixed.push(field);
    else run.tail = field;
  }
  return runs;
}

function widthOf(run: Run): number {
  return run.fixed.reduce((sum, field) => sum + field.width, run.tail?.width ?? 0);
}

function objectOf(layout: Layout, values: ReadonlyMap<string, string>): string {
  const parts = layout.type < 0 ? [] : [`kind: "${layout.name}"`, "tag"];
  for (const { name } of layout.fields) {
    const value = values.get(name);
    parts.push(value === undefined ? name : `${name}: ${value}`);
  }
  return `{ ${parts.join(", ")} }`;
}

/** Statements that read the fields of `list` from `p` on. */
function readRuns(list: readonly Field[], declare: boolean): string {
  let code = "";
  const bind = (name: string) => declare ? `const ${name}` : name;
  for (const run of runsOf(list)) {
    const width = widthOf(run);
    if (width === 0) continue;
    code += width === 1 ? "if (p >= end) return null;\n" : `if (p + ${width} > end) return null;\n`;
    let at = 0;
    for (const field of run.fixed) {
      code += `${bind(field.name)} = ${getter(field, plus("p", at))};\n`;
      at += field.width;
    }
    const tail = run.tail;
    if (tail === undefined) {
      code += `p += ${width};\n`;
      continue;
    }
    const n = `${tail.name}_n`;
    code += `const ${n} = ${prefixGetter(tail.width, plus("p", at))};\np += ${width};\n`;
    if (tail.form === "string") {
      code += `if (${n} > end - p) return null;\n`;
      code += `${bind(tail.name)} = decodeString(wire.bytes, p, p + ${n});\np += ${n};\n`;
    } else if (tail.form === "bytes") {
      code += `if (${n} > end - p) return null;\n`;
      code += `${bind(tail.name)} = wire.bytes.subarray(p, p + ${n});\np += ${n};\n`;
    } else if (tail.form === "qids") {
      code += `if (${n} * 13 > end - p) return null;\n`;
      code += `const ${tail.name}: Qid[] = [];\n`;
      code += `for (let i = 0; i < ${n}; i++) {\n`;
      code += `${tail.name}.push(getQid(view, p));\np += 13;\n}\n`;
    } else {
      code += `if (${n} * 2 > end - p) return null;\n`;
      code += `const ${tail.name}: string[] = [];\n`;
      code += `for (let i = 0; i < ${n}; i++) {\n`;
      code += `if (p + 2 > end) return null;\n`;
      code += `const length = view.getUint16(p, true);\np += 2;\n`;
      code += `if (length > end - p) return null;\n`;
      code += `${tail.name}.push(decodeString(wire.bytes, p, p + length));\np += length;\n}\n`;
    }
  }
  return code;
}

function isFixed(layout: Layout): boolean {
  return layout.fields.every((field) => FIXED.has(field.form) && !field.extended);
}

/** Records have functions of their own names: `records.ts` wraps them. */
function decoder({ name, type }: Layout): string {
  return type < 0 ? `tryDecode${name}Record` : `decode${name}`;
}

function encoder({ name, type }: Layout): string {
  return type < 0 ? `encode${name}Record` : `encode${name}`;
}

function emitDecode(layout: Layout): string {
  const { name, fields } = layout;
  const record = layout.type < 0;
  const base = fields.filter((field) => !field.extended);
  const extended = fields.filter((field) => field.extended);
  const dialect = extended.length > 0 ? ", dialect: Dialect" : "";
  const parameters = record
    ? `wire: Wire, at: number, end: number${dialect}`
    : `wire: Wire, at: number, end: number, tag: number${dialect}`;
  const view = fields.length > 0 ? "const view = wire.view;\n" : "";
  if (isFixed(layout)) {
    const values = new Map<string, string>();
    let at = 0;
    for (const field of fields) {
      values.set(field.name, getter(field, plus("at", at)));
      at += field.width;
    }
    const unused = fields.length > 0 ? parameters : parameters.replace("wire", "_wire");
    return `function decode${name}(${unused}): ${name} | null {
      if (end - at !== ${at}) return null;
      ${view} return ${objectOf(layout, values)};
    }\n\n`;
  }
  let code = `function ${decoder(layout)}(${parameters}): ${name} | null {\n${view}let p = at;\n`;
  code += readRuns(base, true);
  if (extended.length > 0) {
    for (const field of extended) {
      code += `let ${field.name}: ${TYPES[field.form]} = ${absent(name, field)};\n`;
    }
    code += `if (dialect !== "9P2000") {\n${readRuns(extended, false)}}\n`;
  }
  return code + `return p === end ? ${objectOf(layout, new Map())} : null;\n}\n\n`;
}

/** Statements that write the fields of `list` from `p` on. */
function writeRuns(list: readonly Field[]): string {
  let code = "";
  for (const run of runsOf(list)) {
    let at = 0;
    for (const field of run.fixed) {
      code += `${setter(field, plus("p", at), `message.${field.name}`)}\n`;
      at += field.width;
    }
    const tail = run.tail;
    if (at > 0) code += `p += ${at};\n`;
    if (tail === undefined) continue;
    const value = `message.${tail.name}`;
    if (tail.form === "string") code += `p = putString(wire, p, ${value});\n`;
    else if (tail.form === "bytes") {
      code += `p = putBytes${tail.width === 2 ? 16 : 32}(wire, p, ${value});
`;
    } else {
      code += `p = ${tail.form === "qids" ? "putQids" : "putStrings"}(wire, p, ${value});\n`;
    }
  }
  return code;
}

function emitEncode(layout: Layout): string {
  const { name, fields } = layout;
  const record = layout.type < 0;
  const base = fields.filter((field) => !field.extended);
  const extended = fields.filter((field) => field.extended);
  const dialect = extended.length > 0 ? ", dialect: Dialect" : "";
  const head = record ? "" : `putHeader(wire.view, at, ${layout.type}, message.tag);\n`;
  const start = record ? "at" : "at + 7";
  const view = fields.some((field) => FIXED.has(field.form)) ? "const view = wire.view;\n" : "";
  let code = `${record ? `/** Writes the record at \`at\` and returns the end. */\nexport ` : ""}`;
  code += `function ${
    encoder(layout)
  }(message: ${name}, wire: Wire, at: number${dialect}): number {\n`;
  if (isFixed(layout)) {
    code += head + view;
    let at = 7;
    for (const field of fields) {
      code += `${setter(field, `at + ${at}`, `message.${field.name}`)}\n`;
      at += field.width;
    }
    return `${code} wire.view.setUint32(at, ${at}, true);\nreturn at + ${at};\n}\n\n`;
  }
  code += `${head}${view}let p = ${start};\n` + writeRuns(base);
  if (extended.length > 0) {
    code += `if (dialect !== "9P2000") {\n${writeRuns(extended)}}\n`;
  }
  if (!record) code += "wire.view.setUint32(at, p - at, true);\n";
  return `${code} return p;\n}\n\n`;
}

function sizeExpression(layout: Layout): string {
  const fixed = (list: readonly Field[]) => list.reduce((sum, field) => sum + field.width, 0);
  const parts = (list: readonly Field[]) =>
    list.filter((field) => !FIXED.has(field.form)).map((field) => {
      const value = `message.${field.name}`;
      if (field.form === "string") return ` + byteLength(${value})`;
      if (field.form === "bytes") return ` + ${value}.length`;
      return field.form === "qids" ? ` + 13 * ${value}.length` : ` + byteLengths(${value})`;
    }).join("");
  const base = layout.fields.filter((field) => !field.extended);
  const extended = layout.fields.filter((field) => field.extended);
  const sum = `${fixed(base) + (layout.type < 0 ? 0 : 7)}${parts(base)}`;
  if (extended.length === 0) return sum;
  return `${sum} + (dialect === "9P2000" ? 0 : ${fixed(extended)}${parts(extended)})`;
}

function docOf(field: Field, owner: string): string {
  const kind = fieldKind(owner, field.name);
  return [
    kind.doc,
    kind.unit === undefined ? "" : ` In ${kind.unit}.`,
    field.extended ? " Not in 9P2000." : "",
  ].join("");
}

function emitInterface(layout: Layout): string {
  const members = layout.fields.map((field) =>
    `/** ${docOf(field, layout.name)} */\nreadonly ${field.name}: ${TYPES[field.form]};`
  );
  if (layout.type >= 0) {
    members.unshift(
      "/** Which message it is. */",
      `readonly kind: "${layout.name}";`,
      "/** Number of the request in flight. */",
      "readonly tag: number;",
    );
  }
  return `/**
   * ${layout.doc}
   *
   * \`${layout.notation}\`
   *
   * @see ${layout.see}
   */
  export interface ${layout.name} {\n${members.join("\n")}\n}\n\n`;
}

/** Messages that end in a payload: their header is read and written without it. */
function emitHeader(layout: Layout): string {
  const { name } = layout;
  const fields = layout.fields.slice(0, -1);
  const size = 11 + fields.reduce((sum, field) => sum + field.width, 0);
  const values = fields.map((field, i) => {
    const at = 7 + fields.slice(0, i).reduce((sum, field) => sum + field.width, 0);
    return { field, at };
  });
  const parameters = fields.map((field) => `${field.name}: ${TYPES[field.form]}, `).join("");
  return `/** What stands before the payload of a ${name}. */
  export interface ${name}Header {
    /** Number of the request in flight. */
    readonly tag: number;
    ${
    fields.map((field) =>
      `/** ${docOf(field, name)} */\nreadonly ${field.name}: ${TYPES[field.form]};`
    ).join("\n")
  }
    /** Length of the payload, in bytes. */
    readonly count: number;
  }

  /** Writes the ${size} bytes before a payload of \`count\` bytes at \`at\` and returns their end. */
  export function encode${name}Header(wire: Wire, at: number, tag: number, ${parameters}count: number): number {
    const view = wire.view;
    view.setUint32(at, ${size} + count, true);
    putHeader(view, at, ${layout.type}, tag);
    ${values.map(({ field, at }) => setter(field, `at + ${at}`, field.name)).join("\n")}
    view.setUint32(at + ${size - 4}, count, true);
    return at + ${size};
  }

  /**
   * Reads the ${size} bytes from \`start\` to \`end\` before a payload that lies elsewhere.
   *
   * Null if it is another message, if there are fewer bytes, or if size and count disagree.
   */
  export function tryDecode${name}Header(wire: Wire, start: number, end: number): ${name}Header | null {
    const view = wire.view;
    if (!(start >= 0 && end <= view.byteLength && end - start >= ${size})) return null;
    if (view.getUint8(start + 4) !== ${layout.type}) return null;
    const count = view.getUint32(start + ${size - 4}, true);
    if (view.getUint32(start, true) !== ${size} + count) return null;
    return { tag: view.getUint16(start + 5, true), ${
    values.map(({ field, at }) => `${field.name}: ${getter(field, `start + ${at}`)}, `).join("")
  } count };
  }\n\n`;
}

/** The text of messages.ts, not formatted yet. */
function messagesSource(): string {
  const hot = (layout: Layout) => {
    const at = HOT.indexOf(layout.name);
    return at < 0 ? HOT.length : at;
  };
  const byHeat = LAYOUTS.toSorted((a, b) => hot(a) - hot(b));
  const union = (letter: string) =>
    LAYOUTS.filter((layout) => layout.name.startsWith(letter)).map(({ name }) => name).join(" | ");
  const takesDialect = (layout: Layout) => layout.fields.some((field) => field.extended);
  const guard = (layout: Layout) =>
    layout.dialects.length === 3
      ? ""
      : layout.dialects.length === 1
      ? 'if (dialect !== "9P2000.L") return null;\n'
      : 'if (dialect === "9P2000.L") return null;\n';
  const pairs = TRANSACTIONS.filter((row) => row.t !== null)
    .map((row) => `T${row.name}: "R${row.name}"`).join(", ");
  const payloads = LAYOUTS.filter((layout) =>
    layout.fields.at(-1)?.width === 4 &&
    layout.fields.at(-1)?.form === "bytes"
  );
  return `// Written by tools/gen.ts from schema.ts and kinds.ts; change those and run \`deno task gen\`.
/**
 * Every message of 9P2000, 9P2000.u and 9P2000.L: its type, decoder, size and encoder.
 *
 * @module
 */

import { NOFID, NONUNAME, NOTAG } from "./kinds.ts";
import { byteLength, decodeString } from "./names.ts";
import type { Dialect } from "./schema.ts";
import { getQid, putQid, type Qid, type Wire } from "./wire.ts";
import { byteLengths, putBytes16, putBytes32, putHeader, putQids, putString, putStrings } from "./put.ts";

${LAYOUTS.map(emitInterface).join("")}${RECORD_LAYOUTS.map(emitInterface).join("")}
/** A request. */
export type TMessage = ${union("T")};

/** An answer. */
export type RMessage = ${union("R")};

/** Any message. */
export type Message = TMessage | RMessage;

/** Name of a message. */
export type Kind = Message["kind"];

/** Name of a request. */
export type TKind = TMessage["kind"];

/** Name of an answer. */
export type RKind = RMessage["kind"];

/** Type byte of each message. */
export const TYPE: Readonly<Record<Kind, number>> = {
  ${LAYOUTS.map(({ name, type }) => `${name}: ${type},`).join("\n")}
};

/** The answer to each request, if it is not Rlerror or Rerror. */
export const REPLY: Readonly<Record<TKind, RKind>> = { ${pairs} };

/** Bytes of the smallest frame of each message in the largest dialect that has it. */
export const MIN_SIZE: Readonly<Record<Kind, number>> = {
  ${
    LAYOUTS.map((layout) => {
      const dialect = layout.dialects.at(-1) ?? "9P2000.L";
      return `${layout.name}: ${minSize(layout, dialect)},`;
    }).join("\n")
  }
};

const KINDS: readonly (Kind | undefined)[] = Array.from({ length: 256 });
for (const kind of Object.keys(TYPE) as Kind[]) (KINDS as (Kind | undefined)[])[TYPE[kind]] = kind;

/** Name of the message with a type byte, or undefined if there is none or it is illegal on the wire. */
export function kindOf(type: number): Kind | undefined {
  return KINDS[type];
}

/**
 * Decodes the frame from \`start\` to \`end\`, or returns null if it is malformed.
 *
 * A frame is refused if its size differs from \`end - start\`, if the dialect has no message of its
 * type, or if its fields end before or after \`end\`; {@linkcode diagnose} tells which. Never throws
 * and never looks past \`end\`. Payloads (\`data\`, \`stat\`) are views of \`wire.bytes\`, valid as long as
 * the frame is; everything else is copied out, read once.
 *
 * @see intro(5)
 */
export function tryDecode(wire: Wire, start: number, end: number, dialect: Dialect): Message | null {
  const view = wire.view;
  if (!(end - start >= 7 && start >= 0 && end <= view.byteLength)) return null;
  if (view.getUint32(start, true) !== end - start) return null;
  const at = start + 7;
  const tag = view.getUint16(start + 5, true);
  switch (view.getUint8(start + 4)) {
    ${
    LAYOUTS.map((layout) =>
      `case ${layout.type}:\n${guard(layout)}return decode${layout.name}(wire, at, end, tag${
        takesDialect(layout) ? ", dialect" : ""
      });`
    ).join("\n")
  }
    default:
      return null;
  }
}

/** Bytes of the frame of \`message\` in \`dialect\`. */
export function sizeOf(message: Message, dialect: Dialect): number {
  switch (message.kind) {
    ${byHeat.map((layout) => `case "${layout.name}": return ${sizeExpression(layout)};`).join("\n")}
  }
}

/**
 * Writes the frame of \`message\` at \`at\` and returns its end.
 *
 * The caller has made sure of room for \`sizeOf(message, dialect)\` bytes. Numbers too large for their
 * field lose their high bits. Fields that the dialect does not have are left out; whether it has the
 * message ({@linkcode hasMessage}) is the caller's business.
 *
 * @throws {RangeError} If a name is longer than 65,535 bytes or a list longer than 65,535 items.
 */
export function encodeInto(message: Message, wire: Wire, at: number, dialect: Dialect): number {
  switch (message.kind) {
    ${
    byHeat.map((layout) =>
      `case "${layout.name}": return encode${layout.name}(message, wire, at${
        takesDialect(layout) ? ", dialect" : ""
      });`
    ).join("\n")
  }
  }
}

${payloads.map(emitHeader).join("")}
${
    RECORD_LAYOUTS.map((layout) =>
      `/** Bytes of the record. */
export function sizeOf${layout.name}Record(message: ${layout.name}${
        takesDialect(layout) ? ", dialect: Dialect" : ""
      }): number {\nreturn ${sizeExpression(layout)};\n}\n\n`
    ).join("")
  }
${
    RECORD_LAYOUTS.map((layout) =>
      `/** Decodes the record from \`at\` to \`end\`, or returns null if it is malformed. */\nexport ${
        emitDecode(layout)
      }`
    ).join("")
  }
${RECORD_LAYOUTS.map(emitEncode).join("")}
${LAYOUTS.map(emitDecode).join("")}
${LAYOUTS.map(emitEncode).join("")}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function meaning(kind: FieldKind): string {
  const parts = [kind.doc];
  if (kind.unit !== undefined) parts.push(`In ${kind.unit}.`);
  if (kind.none !== undefined) parts.push(`None is \`${kind.none.name}\`.`);
  return parts.join(" ");
}

/** The text of docs/messages.md, not formatted yet. */
function messagesDoc(): string {
  const rows = TRANSACTIONS.map((row) => {
    const t = LAYOUTS.find((layout) => layout.name === `T${row.name}`);
    const r = LAYOUTS.find((layout) => layout.name === `R${row.name}`);
    const body = [t, r].filter((layout) => layout !== undefined)
      .map((layout) => `${layout.type}  ${layout.notation}`).join("\n");
    return `### ${row.name}\n\n${row.doc} In ${
      (r?.dialects ?? []).join(", ")
    }. See ${row.see}.\n\n` +
      `\`\`\`text\n${body}\n\`\`\`\n`;
  });
  return `# Messages

<!-- Written by tools/gen.ts from lib/p9/schema.ts and lib/p9/kinds.ts. -->

Every message of 9P2000, 9P2000.u and 9P2000.L in the notation of intro(5): \`name[n]\` is a
little-endian number of n bytes, \`[13]\` a qid (\`type[1] version[4] path[8]\`), \`name[s]\` a string
after its length in two bytes, \`n*(name[s])\` a list. What follows \`?\` is in 9P2000.u and 9P2000.L
only. The number in front is the type byte; Tlerror (6) and Terror (106) are illegal on the wire.

## Transactions

${rows.join("\n")}
## Records

${
    RECORD_LAYOUTS.map((layout) =>
      `### ${layout.name}\n\n${layout.doc} See ${layout.see}.\n\n\`\`\`text\n${layout.notation}\n\`\`\`\n`
    ).join("\n")
  }
## Fields

A name with a dot means the field of one message only.

| field | printed as | meaning |
| --- | --- | --- |
${
    Object.entries(KINDS).toSorted(([a], [b]) => a < b ? -1 : 1)
      .map(([name, kind]) => `| \`${name}\` | ${kind.print} | ${cell(meaning(kind))} |`).join("\n")
  }
`;
}

/** Formats as `deno fmt` does, which is part of Deno: the output never differs from the check. */
async function format(source: string, extension: string): Promise<string> {
  const config = new URL("../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--config", config, "--ext", extension, "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error(`Cannot format the ${extension} output: deno fmt failed`);
  return new TextDecoder().decode(stdout);
}

/** Removes the imports of messages.ts that its text does not use. */
function dropUnused(source: string): string {
  return source.replace(/import \{ ([^}]+) \} from/g, (line, names: string) => {
    const used = names.split(", ").filter((name) => {
      const word = name.replace("type ", "");
      return source.split(new RegExp(`\\b${word}\\b`)).length > 2;
    });
    return used.length === 0 ? line : `import { ${used.join(", ")} } from`;
  });
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--check");
  if (unknown !== undefined) {
    console.error(`Cannot run gen: unknown argument "${unknown}" (there is only --check)`);
    return 2;
  }
  const check = args.includes("--check");
  let stale = 0;
  const outputs: [path: string, source: string, extension: string][] = [
    ["lib/p9/messages.ts", dropUnused(messagesSource()), "ts"],
    ["docs/messages.md", messagesDoc(), "md"],
    ["lib/bench/results_types.ts", resultsTypes(), "ts"],
    ["docs/bench-results.schema.json", resultsSchemaJson(), "json"],
    ["docs/trace.schema.json", traceSchemaJson(), "json"],
  ];
  for (const [path, source, extension] of outputs) {
    const url = new URL(`../${path}`, import.meta.url);
    const text = await format(source, extension);
    const old = await Deno.readTextFile(url).catch((error: unknown) => {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    });
    if (old === text) continue;
    if (check) {
      console.error(`${path} is stale: run \`deno task gen\``);
      stale++;
    } else {
      await Deno.writeTextFile(url, text);
      console.log(`wrote ${path}`);
    }
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
