/**
 * The table of `schema.ts`, parsed: field lists to interpret where speed does not matter, as in
 * the text form, in JSON, in `trace` and in `fuzz`.
 *
 * @module
 */

import { AVAILABILITY, type Dialect, RECORDS, type Transaction, TRANSACTIONS } from "./schema.ts";

/**
 * Form of a field: an unsigned number, a qid, a string, a list of strings or qids, or bytes.
 */
export type Form = "u8" | "u16" | "u32" | "u64" | "qid" | "string" | "strings" | "qids" | "bytes";

/** One field of a message or record, as the TypeScript object has it. */
export interface Field {
  /** Name on the wire. */
  readonly name: string;
  /** What it consists of. */
  readonly form: Form;
  /** Bytes of a fixed field; bytes of the length or count in front of any other. */
  readonly width: number;
  /** Name of the count in front of a list or of bytes, as in `nwname`; empty for other forms. */
  readonly counter: string;
  /** True for what exists in 9P2000.u and 9P2000.L only. */
  readonly extended: boolean;
}

/** A message or record, parsed. */
export interface Layout {
  /** Name, as in `Twalk` or `Dirent`. */
  readonly name: string;
  /** Type byte; -1 for a record. */
  readonly type: number;
  /** Dialects that have it. */
  readonly dialects: readonly Dialect[];
  /** Fields in wire order, without size, type and tag. */
  readonly fields: readonly Field[];
  /** The whole of it in the notation of intro(5). */
  readonly notation: string;
  /** What it does, one sentence. */
  readonly doc: string;
  /** Where it is specified. */
  readonly see: string;
}

const FORMS: Readonly<Record<string, [form: Form, width: number]>> = {
  "1": ["u8", 1],
  "2": ["u16", 2],
  "4": ["u32", 4],
  "8": ["u64", 8],
  "13": ["qid", 13],
  "s": ["string", 2],
};

/**
 * Parses the notation of intro(5).
 *
 * A count in front of a list or of bytes is not a field of its own, so that it cannot contradict
 * what it counts.
 *
 * @throws {SyntaxError} If the notation has a token that means nothing.
 */
export function parseNotation(notation: string): Field[] {
  const fields: Field[] = [];
  let extended = false;
  for (const token of notation.split(" ").filter((token) => token !== "")) {
    if (token === "?") {
      extended = true;
      continue;
    }
    const [, repeat, name, size] = /^(?:(\w+)\*\()?(\w+)\[(\w+)\]\)?$/.exec(token) ?? [];
    if (name === undefined || size === undefined) {
      throw new SyntaxError(`Cannot parse notation "${notation}": token "${token}"`);
    }
    const form = FORMS[size];
    if (repeat === undefined && form !== undefined) {
      fields.push({ name, form: form[0], width: form[1], counter: "", extended });
      continue;
    }
    const counter = fields.pop();
    if (counter?.name !== (repeat ?? size)) {
      throw new SyntaxError(`Cannot parse notation "${notation}": no count before "${token}"`);
    }
    fields.push({
      name,
      form: repeat === undefined ? "bytes" : size === "s" ? "strings" : "qids",
      width: counter.width,
      counter: counter.name,
      extended,
    });
  }
  return fields;
}

function layoutOf(row: Transaction, letter: "T" | "R", body: string): Layout {
  const name = letter + row.name;
  return {
    name,
    type: row.type + (letter === "T" ? 0 : 1),
    dialects: AVAILABILITY[row.in],
    fields: parseNotation(body),
    notation: `size[4] ${name} tag[2] ${body}`.trimEnd(),
    doc: row.t === null || letter === "T" ? row.doc : `Answer to T${row.name}.`,
    see: row.see,
  };
}

/** Every message that is legal on the wire, in order of the type byte. */
export const LAYOUTS: readonly Layout[] = TRANSACTIONS.flatMap((row) => [
  ...(row.t === null ? [] : [layoutOf(row, "T", row.t)]),
  layoutOf(row, "R", row.r),
]);

/** Records inside payloads. */
export const RECORD_LAYOUTS: readonly Layout[] = RECORDS.map((row) => ({
  name: row.name,
  type: -1,
  dialects: AVAILABILITY.all,
  fields: parseNotation(row.fields),
  notation: row.fields,
  doc: row.doc,
  see: row.see,
}));

/** Messages by name. */
export const LAYOUT: ReadonlyMap<string, Layout> = new Map(
  LAYOUTS.map((layout) => [layout.name, layout]),
);

/** Messages by type byte. */
export const LAYOUT_BY_TYPE: ReadonlyMap<number, Layout> = new Map(
  LAYOUTS.map((layout) => [layout.type, layout]),
);

/** The rows of the table: what the protocol consists of. */
export function transactions(): readonly Transaction[] {
  return TRANSACTIONS;
}

/** Smallest number of bytes that `field` takes on the wire. */
export function minWidth(field: Field): number {
  return field.width;
}

/** Smallest frame of a message in a dialect, in bytes, header included. */
export function minSize(layout: Layout, dialect: Dialect): number {
  let size = layout.type < 0 ? 0 : 7;
  for (const field of layout.fields) {
    if (!field.extended || dialect !== "9P2000") size += minWidth(field);
  }
  return size;
}
