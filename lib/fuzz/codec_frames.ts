/**
 * Frames made from the one table of layouts: well-formed ones of every message, and ones that are
 * wrong at a boundary of a field.
 *
 * Frames are written as bytes, never as objects: what is to be tested is what makes objects of them.
 *
 * @module
 */
import {
  type Dialect,
  DIALECTS,
  type Field,
  fieldKind,
  fieldOffsets,
  kindsOf,
  LAYOUT,
  type Layout,
  RECORD_LAYOUTS,
  Wire,
} from "../p9/mod.ts";
import type { Random } from "./random.ts";
import {
  LIKELY,
  LONGEST_NAME,
  namedValues,
  NASTY_BYTES,
  NUMBER_EDGES,
  SHORT_BYTES,
  WIDE_EDGES,
} from "./values.ts";

/** Longest frame that is made, in bytes. */
export const MAX_FRAME = 0x2_8000;

/** Ways to spoil a frame, by what they do. */
export const MUTATIONS = {
  "truncate": "the frame ends at the boundary of a field, or within one, and says so",
  "cut": "the frame ends early, and its size says otherwise",
  "extend": "bytes follow the last field, and the size counts them",
  "size": "the size is another",
  "count": "a length or count is another",
  "number": "a number is at the edge of its type",
  "type": "the type is another",
  "insert": "bytes are inserted between fields, and the size counts them",
  "remove": "a field is missing, and the size counts what is left",
  "repeat": "a field has the bytes of another",
  "flip": "a bit is another",
  "text": "a string is one of the nasty ones, its length is right",
} as const;

/** Name of a way to spoil a frame. */
export type Mutation = keyof typeof MUTATIONS;

const MUTATION_NAMES = Object.keys(MUTATIONS) as Mutation[];
/** Mutations that leave a frame as long as it says, so that what follows it in a stream is found. */
const FRAMED: readonly Mutation[] = MUTATION_NAMES.filter((name) =>
  name !== "cut" && name !== "size"
);

const ROLE_NUMBER = 0;
const ROLE_COUNT = 1;
const ROLE_TEXT = 2;
const ROLE_BYTES = 3;

const MAX_SPANS = 512;
const MAX_VIEWS = 1024;

/** A field with what may be put there. */
interface Plan {
  readonly field: Field;
  /** Numbers to draw from, for a field of one to four bytes. */
  readonly numbers: readonly number[];
  /** Whether sums of {@linkcode Plan.numbers} make sense. */
  readonly isFlags: boolean;
  /** Record that a field of bytes holds, and whether it holds many. */
  readonly record?: readonly Plan[];
  readonly isList: boolean;
}

/** A message with its fields. */
interface FramePlan {
  readonly type: number;
  readonly plans: readonly Plan[];
}

const RECORD_OF: Readonly<Record<string, string>> = {
  "Rreaddir.data": "Dirent",
  "Rstat.stat": "Stat",
  "Twstat.stat": "Stat",
};

function plansOf({ name, fields }: Layout, dialect: Dialect): Plan[] {
  return fields.filter(({ extended }) => !extended || dialect !== "9P2000").map((field): Plan => {
    const kind = fieldKind(name, field.name);
    const flags = namedValues(kind);
    const edges = NUMBER_EDGES[field.width === 1 ? 1 : field.width === 2 ? 2 : 4];
    const record = RECORD_LAYOUTS.find((each) => each.name === RECORD_OF[`${name}.${field.name}`]);
    return {
      field,
      numbers: flags.length > 0 ? flags : LIKELY[kind.arbitrary] ?? edges,
      isFlags: flags.length > 0,
      isList: record?.name === "Dirent",
      ...record === undefined ? {} : { record: plansOf(record, dialect) },
    };
  });
}

function framePlans(dialect: Dialect, letter: string): FramePlan[] {
  return kindsOf(dialect).filter((kind) => kind.startsWith(letter)).map((kind) => {
    const layout = LAYOUT.get(kind);
    if (layout === undefined) throw new RangeError(`Cannot make a ${kind}: no row`);
    return { type: layout.type, plans: plansOf(layout, dialect) };
  });
}

/** What may be chosen about frames. */
export interface FrameOptions {
  /** Dialects to choose from; all by default. */
  readonly dialects?: readonly Dialect[];
  /** T-messages, R-messages or both; both by default. */
  readonly letter?: "T" | "R" | "";
  /** Whether every frame is to be as long as it says; false by default. */
  readonly isFramed?: boolean;
  /** Whether names and payloads are kept short, for targets; false by default. */
  readonly isShort?: boolean;
}

/** A frame worth starting from again. */
export interface Specimen {
  /** Its bytes. */
  readonly bytes: Uint8Array;
  /** The dialect it is of. */
  readonly dialect: Dialect;
  /** What {@linkcode spansOf} says of it, for one that is loaded often. */
  readonly spans?: Int32Array;
}

/**
 * Makes frames, one at a time, in a buffer of its own.
 *
 * @example A frame by its number
 * ```ts
 * import assert from "node:assert/strict";
 * import { Random, FrameMaker } from "@virtfs/virtfs/fuzz";
 *
 * const one = new FrameMaker(new Random(0)), other = new FrameMaker(new Random(0));
 * one.make(7, 1000);
 * other.make(7, 1000);
 * assert.deepEqual(one.frame(), other.frame());
 * ```
 */
export class FrameMaker {
  /** Holds the frame from byte 0 on, {@linkcode FrameMaker.length} bytes of it. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_FRAME + 0x1_0000);
  /** Bytes of the frame. */
  length = 0;
  /** Dialect that the frame was made for. */
  dialect: Dialect = "9P2000.L";
  /** How it was spoilt. */
  readonly mutations: Mutation[] = [];
  readonly #random: Random;
  readonly #view = new DataView(this.bytes.buffer);
  readonly #dialects: readonly Dialect[];
  readonly #plans: Readonly<Record<Dialect, readonly FramePlan[]>>;
  readonly #names: readonly Mutation[];
  readonly #isShort: boolean;
  readonly #offsets = new Int32Array(MAX_SPANS);
  readonly #widths = new Int32Array(MAX_SPANS);
  readonly #roles = new Uint8Array(MAX_SPANS);
  #spans = 0;
  /** Views of frames by their length: to make one takes longer than to make a frame. */
  readonly #views: Uint8Array<ArrayBuffer>[] = [];

  /** Draw from `random`, which {@linkcode FrameMaker.make} seeds afresh for every frame. */
  constructor(random: Random, options: FrameOptions = {}) {
    this.#random = random;
    this.#dialects = options.dialects ?? DIALECTS;
    this.#names = options.isFramed === true ? FRAMED : MUTATION_NAMES;
    this.#isShort = options.isShort === true;
    const letter = options.letter ?? "";
    this.#plans = {
      "9P2000": framePlans("9P2000", letter),
      "9P2000.u": framePlans("9P2000.u", letter),
      "9P2000.L": framePlans("9P2000.L", letter),
    };
  }

  /** The frame, borrowed until the next one is made. */
  get view(): Uint8Array<ArrayBuffer> {
    const { length } = this;
    if (length >= MAX_VIEWS) return this.bytes.subarray(0, length);
    return this.#views[length] ??= this.bytes.subarray(0, length);
  }

  /** A copy of the frame. */
  frame(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }

  /**
   * Make frame number `index` of a seed.
   *
   * @param specimens Frames that were good for something: every second one is made out of one of
   * these, if there are any. Of the others three of ten are well-formed.
   */
  make(seed: number, index: number, specimens: readonly Specimen[] = NONE): void {
    const random = this.#random;
    random.reset(seed, index);
    if (specimens.length > 0 && random.oneIn(2)) {
      this.load(random.pick(specimens));
      this.spoil(1 + random.below(4));
      return;
    }
    this.dialect = random.pick(this.#dialects);
    this.#wellFormed(random.pick(this.#plans[this.dialect]));
    if (random.below(10) >= 3) this.spoil(1 + (random.oneIn(3) ? random.below(3) : 0));
  }

  /**
   * Make a well-formed message, going on with the numbers as they come.
   *
   * @param type Its type; any of the dialect if that is -1.
   * @returns Whether the dialect has the type.
   */
  makeType(type: number, dialect: Dialect): boolean {
    const plans = this.#plans[dialect];
    const plan = type < 0 ? this.#random.pick(plans) : plans.find((each) => each.type === type);
    if (plan === undefined) return false;
    this.dialect = dialect;
    this.#wellFormed(plan);
    return true;
  }

  /** Take a frame as it is, to be spoilt. */
  load(specimen: Specimen): void {
    const { bytes, dialect } = specimen;
    this.dialect = dialect;
    this.mutations.length = 0;
    this.bytes.set(bytes.subarray(0, MAX_FRAME));
    this.length = Math.min(bytes.length, MAX_FRAME);
    this.#spans = 0;
    const spans = specimen.spans ?? spansOf(bytes, dialect);
    for (let i = 0; i < spans.length; i += 3) {
      this.#note(spans[i] ?? 0, spans[i + 1] ?? 0, spans[i + 2] ?? 0);
    }
  }

  #wellFormed({ type, plans }: FramePlan): void {
    const random = this.#random;
    this.mutations.length = 0;
    this.#spans = 0;
    this.bytes[4] = type;
    this.#view.setUint16(5, random.oneIn(4) ? random.pick(NUMBER_EDGES[2]) : random.below(8), true);
    this.length = 7;
    this.#fields(plans);
    this.#view.setUint32(0, this.length, true);
  }

  #note(role: number, offset: number, width: number): void {
    if (this.#spans === MAX_SPANS) return;
    const i = this.#spans++;
    this.#roles[i] = role;
    this.#offsets[i] = offset;
    this.#widths[i] = width;
  }

  #fields(plans: readonly Plan[]): void {
    for (const plan of plans) this.#value(plan);
  }

  #value(plan: Plan): void {
    const { form, width } = plan.field;
    switch (form) {
      case "u8":
      case "u16":
      case "u32":
        this.#note(ROLE_NUMBER, this.length, width);
        this.#put(width, this.#number(plan, width));
        break;
      case "u64":
        this.#note(ROLE_NUMBER, this.length, 8);
        this.#wide(plan);
        break;
      case "qid":
        this.#note(ROLE_NUMBER, this.length, 13);
        this.#qid();
        break;
      case "string":
        this.#string();
        break;
      case "strings":
      case "qids": {
        const random = this.#random;
        const count = random.oneIn(200) && !this.#isShort
          ? 300
          : random.oneIn(4)
          ? 16
          : random.below(4);
        this.#note(ROLE_COUNT, this.length, width);
        this.#put(width, count);
        for (let i = 0; i < count; i++) {
          if (form === "strings") this.#string();
          else {
            this.#note(ROLE_NUMBER, this.length, 13);
            this.#qid();
          }
        }
        break;
      }
      case "bytes":
        this.#bytes(plan, width);
    }
  }

  #put(width: number, value: number): void {
    const at = this.length;
    if (width === 1) this.bytes[at] = value;
    else if (width === 2) this.#view.setUint16(at, value, true);
    else this.#view.setUint32(at, value, true);
    this.length = at + width;
  }

  #number({ numbers, isFlags }: Plan, width: number): number {
    const random = this.#random;
    const kind = random.below(8);
    if (kind === 0) return random.next();
    if (kind === 1) return random.pick(NUMBER_EDGES[width === 1 ? 1 : width === 2 ? 2 : 4]);
    let value = random.pick(numbers);
    if (isFlags) { while (random.oneIn(2)) value |= random.pick(numbers); }
    return value;
  }

  #wide({ numbers, isFlags }: Plan): void {
    const random = this.#random;
    const kind = random.below(4);
    const at = this.length;
    if (kind === 0) {
      this.#view.setUint32(at, random.next(), true);
      this.#view.setUint32(at + 4, random.next(), true);
    } else if (kind === 1 && !isFlags) {
      this.#view.setBigUint64(at, random.pick(WIDE_EDGES), true);
    } else {
      this.#view.setUint32(at, isFlags ? random.pick(numbers) : random.below(0x2000), true);
      this.#view.setUint32(at + 4, 0, true);
    }
    this.length = at + 8;
  }

  #qid(): void {
    const random = this.#random;
    this.#put(1, random.pick(QID_TYPES));
    this.#put(4, random.oneIn(4) ? random.next() : 0);
    this.#put(4, random.oneIn(4) ? random.next() : random.below(16));
    this.#put(4, random.oneIn(4) ? random.next() : 0);
  }

  #string(): void {
    const random = this.#random;
    const room = MAX_FRAME - this.length - 8192;
    const isLongest = !this.#isShort && room > LONGEST_NAME.length && random.oneIn(4096);
    const name = isLongest ? LONGEST_NAME : this.#name();
    this.#note(ROLE_COUNT, this.length, 2);
    this.#put(2, name.length);
    this.#note(ROLE_TEXT, this.length, name.length);
    this.#copy(name);
  }

  #name(): Uint8Array {
    const random = this.#random;
    return random.pick(random.oneIn(8) ? NASTY_BYTES : SHORT_BYTES);
  }

  #copy(source: Uint8Array): void {
    if (source.length > 16) this.bytes.set(source, this.length);
    else for (let i = 0; i < source.length; i++) this.bytes[this.length + i] = source[i] ?? 0;
    this.length += source.length;
  }

  #bytes({ record, isList }: Plan, width: number): void {
    const random = this.#random;
    const from = this.length;
    this.#note(ROLE_COUNT, from, width);
    this.length += width;
    this.#note(ROLE_BYTES, this.length, 0);
    const span = this.#spans - 1;
    if (record !== undefined && !random.oneIn(8)) {
      const count = isList ? random.below(4) : 1;
      for (let i = 0; i < count; i++) {
        const start = this.length;
        if (!isList) this.length += 2; // size[2] of a stat record
        this.#fields(record);
        if (!isList) this.#view.setUint16(start, this.length - start - 2, true);
      }
    } else {
      const count = random.oneIn(64) && !this.#isShort ? 5000 : random.below(40);
      for (let i = 0; i < count; i++) this.bytes[this.length + i] = i * 31;
      this.length += count;
    }
    const count = this.length - from - width;
    this.#widths[span] = count;
    if (width === 2) this.#view.setUint16(from, count, true);
    else this.#view.setUint32(from, count, true);
  }

  /** Spoil the frame in so many ways, one after the other. */
  spoil(times: number): void {
    const random = this.#random;
    for (let i = 0; i < times; i++) {
      const mutation = random.pick(this.#names);
      this.mutations.push(mutation);
      this.#mutate(mutation);
    }
  }

  #fixSize(): void {
    if (this.length >= 4) this.#view.setUint32(0, this.length, true);
  }

  /** Whether span `i` has the role, any if that is -1, and still lies in the frame. */
  #isSpan(i: number, role: number): boolean {
    const end = (this.#offsets[i] ?? 0) + (this.#widths[i] ?? 0);
    return (role < 0 || this.#roles[i] === role) && end <= this.length;
  }

  /** One of the spans of a role; -1 if there is none. */
  #span(role: number): number {
    // A few guesses are as fair as counting, and one of them is good most of the time.
    for (let guess = 0; guess < 3 && this.#spans > 0; guess++) {
      const i = this.#random.below(this.#spans);
      if (this.#isSpan(i, role)) return i;
    }
    let count = 0;
    for (let i = 0; i < this.#spans; i++) if (this.#isSpan(i, role)) count++;
    if (count === 0) return -1;
    let left = this.#random.below(count);
    for (let i = 0; i < this.#spans; i++) {
      if (this.#isSpan(i, role) && left-- === 0) return i;
    }
    return -1;
  }

  #mutate(mutation: Mutation): void {
    const random = this.#random;
    const { bytes, length } = this;
    switch (mutation) {
      case "truncate":
      case "cut": {
        const span = this.#span(-1);
        const from = span < 0 ? 0 : this.#offsets[span] ?? 0;
        const width = span < 0 ? 7 : this.#widths[span] ?? 0;
        this.length = Math.min(length, from + (random.oneIn(2) ? 0 : random.below(width + 1)));
        if (mutation === "truncate") {
          this.length = Math.max(this.length, Math.min(length, 7));
          this.#fixSize();
        }
        break;
      }
      case "extend": {
        const count = random.oneIn(4) ? 1 + random.below(64) : 1 + random.below(4);
        if (length + count > MAX_FRAME) break;
        for (let i = 0; i < count; i++) bytes[length + i] = random.next();
        this.length += count;
        this.#fixSize();
        break;
      }
      case "size": {
        if (length < 4) break;
        const near = length - 4 + random.below(9);
        this.#view.setUint32(0, random.oneIn(2) ? near : random.pick(NUMBER_EDGES[4]), true);
        break;
      }
      case "count": {
        const span = this.#span(ROLE_COUNT);
        if (span >= 0) this.#lie(this.#offsets[span] ?? 0, this.#widths[span] ?? 0);
        break;
      }
      case "number": {
        const span = this.#span(ROLE_NUMBER);
        if (span >= 0) this.#edge(this.#offsets[span] ?? 0, this.#widths[span] ?? 0);
        break;
      }
      case "type":
        if (length < 5) break;
        bytes[4] = random.oneIn(2) ? random.next() : (bytes[4] ?? 0) ^ 1;
        break;
      case "insert": {
        const span = this.#span(-1);
        const at = span < 0 ? Math.min(length, 7) : this.#offsets[span] ?? 0;
        const count = 1 + random.below(8);
        if (length + count > MAX_FRAME) break;
        bytes.copyWithin(at + count, at, length);
        for (let i = 0; i < count; i++) bytes[at + i] = random.oneIn(2) ? 0 : random.next();
        this.length += count;
        this.#move(at, count);
        this.#fixSize();
        break;
      }
      case "remove": {
        const span = this.#span(-1);
        if (span < 0) break;
        const at = this.#offsets[span] ?? 0;
        const count = this.#widths[span] ?? 0;
        bytes.copyWithin(at, at + count, length);
        this.length -= count;
        this.#move(at + count, -count);
        this.#fixSize();
        break;
      }
      case "repeat": {
        const from = this.#span(-1);
        const to = this.#span(-1);
        if (from < 0) break;
        const width = Math.min(this.#widths[from] ?? 0, this.#widths[to] ?? 0);
        const start = this.#offsets[from] ?? 0;
        bytes.copyWithin(this.#offsets[to] ?? 0, start, start + width);
        break;
      }
      case "flip": {
        if (length === 0) break;
        const at = this.#names === FRAMED && length > 4
          ? 4 + random.below(length - 4)
          : random.below(length);
        bytes[at] = (bytes[at] ?? 0) ^ 1 << random.below(8);
        break;
      }
      case "text":
        this.#replaceText();
    }
  }

  /** Overwrites a count by one that is near, or that is as large as what is left, or far off. */
  #lie(at: number, width: number): void {
    const random = this.#random;
    const { length } = this;
    const was = width === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
    const left = length - at - width;
    let value: number;
    switch (random.below(6)) {
      case 0:
        value = was + 1;
        break;
      case 1:
        value = was - 1;
        break;
      case 2:
        value = left + random.below(3) - 1;
        break;
      case 3:
        value = 0;
        break;
      default:
        value = random.pick(NUMBER_EDGES[width === 2 ? 2 : 4]);
    }
    if (width === 2) this.#view.setUint16(at, value, true);
    else this.#view.setUint32(at, value, true);
  }

  #edge(at: number, width: number): void {
    const random = this.#random;
    const view = this.#view;
    if (width === 1) this.bytes[at] = random.pick(NUMBER_EDGES[1]);
    else if (width === 2) view.setUint16(at, random.pick(NUMBER_EDGES[2]), true);
    else if (width === 4) view.setUint32(at, random.pick(NUMBER_EDGES[4]), true);
    else if (width === 8) view.setBigUint64(at, random.pick(WIDE_EDGES), true);
    else for (let i = 0; i < width; i++) this.bytes[at + i] = random.next();
  }

  #replaceText(): void {
    const span = this.#span(ROLE_TEXT);
    if (span < 0) return;
    const at = this.#offsets[span] ?? 0;
    const width = this.#widths[span] ?? 0;
    const name = this.#name();
    const more = name.length - width;
    if (this.length + more > MAX_FRAME) return;
    this.bytes.copyWithin(at + name.length, at + width, this.length);
    this.bytes.set(name, at);
    this.#view.setUint16(at - 2, name.length, true);
    this.length += more;
    this.#widths[span] = name.length;
    this.#move(at + width, more);
    this.#offsets[span] = at;
    this.#fixSize();
  }

  /** Keeps the spans behind a change where their fields are. */
  #move(from: number, by: number): void {
    for (let i = 0; i < this.#spans; i++) {
      const offset = this.#offsets[i] ?? 0;
      if (offset >= from) this.#offsets[i] = offset + by;
    }
  }
}

const NONE: readonly Specimen[] = [];

/** Fields of a frame behind its header: role, offset and width of each, one after the other. */
export function spansOf(bytes: Uint8Array, dialect: Dialect): Int32Array {
  const spans: number[] = [];
  for (const { role, offset, width } of fieldOffsets(new Wire(bytes), 0, bytes.length, dialect)) {
    if (role === "size" || role === "type" || role === "tag") continue;
    const code = role === "length" || role === "count"
      ? ROLE_COUNT
      : role === "text"
      ? ROLE_TEXT
      : role === "bytes"
      ? ROLE_BYTES
      : ROLE_NUMBER;
    spans.push(code, offset, width);
  }
  return Int32Array.from(spans);
}

const QID_TYPES: readonly number[] = [0, 0, 0x80, 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0xff];
