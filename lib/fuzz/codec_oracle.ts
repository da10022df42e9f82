/**
 * What has to hold for every frame, by every way through the codec: oracle `round-trip`.
 *
 * @module
 */
import {
  decodeDirents,
  decodeStat,
  diagnose,
  type Dialect,
  encodeDirentInto,
  encodeInto,
  encodeStat,
  type Fault,
  FAULTS,
  fieldOffsets,
  formatMessage,
  HEADER_SIZE,
  type Malformed,
  type Message,
  messageFromJson,
  messageToJson,
  parseMessage,
  ProtocolError,
  sizeOf,
  tryDecode,
  tryDecodeRreaddirHeader,
  tryDecodeRreadHeader,
  tryDecodeStat,
  tryDecodeTwriteHeader,
  Wire,
} from "../p9/mod.ts";
import { MAX_FRAME } from "./codec_frames.ts";
import {
  firstChange,
  firstDifference,
  isEqual,
  referenceDecode,
  referenceDirents,
  type ReferenceFault,
  referenceFault,
  referenceStat,
  referenceStatFault,
} from "./codec_reference.ts";

/** What is checked, each with the rule. */
export const CODEC_CHECKS = {
  "throws": "what is documented never to throw does not",
  "reads-outside": "what a frame means does not depend on what lies around it",
  "accepts": "a frame that the table refuses is refused",
  "refuses": "a frame that the table accepts is accepted",
  "value": "every field has the value that the table says",
  "size": "sizeOf tells the bytes that encodeInto writes",
  "canonical": "what was decoded is encoded as the same bytes",
  "writes-outside": "encodeInto writes where it was told and nowhere else",
  "diagnosis":
    "what is refused has the fault that the table says, where it says; the rest has none",
  "spans": "the spans of a frame lie one behind the other, and cover a message",
  "header": "the header decoders agree with the decoder",
  "record":
    "entries and stat records have the values that the table says, and are encoded as they came",
  "text": "the text form gives the message back",
  "json": "the JSON form gives the message back",
} as const;

/** Name of a check. */
export type CodecCheck = keyof typeof CODEC_CHECKS;

/** A check that failed. */
export interface CodecFault {
  /** Which. */
  readonly check: CodecCheck;
  /** Message it is about, or `malformed`. */
  readonly kind: string;
  /** What was seen, for people. */
  readonly what: string;
}

/** The codec of lib/p9. */
export const OUR_CODEC = {
  decodeDirents,
  decodeStat,
  diagnose,
  encodeDirentInto,
  encodeInto,
  encodeStat,
  fieldOffsets,
  formatMessage,
  messageFromJson,
  messageToJson,
  parseMessage,
  sizeOf,
  tryDecode,
  tryDecodeRreaddirHeader,
  tryDecodeRreadHeader,
  tryDecodeStat,
  tryDecodeTwriteHeader,
};

/** The codec that is checked: {@linkcode OUR_CODEC} unless the checks themselves are. */
export type Codec = Readonly<typeof OUR_CODEC>;

const SURROUND = 64;
const CANARY = 0xa5;

/** Four of {@linkcode CANARY}. */
const CANARIES = 0xa5a5_a5a5;

/** Checks frames; has the buffers for it. */
export class CodecOracle {
  readonly #codec: Codec;
  /** Frames that end with the buffer: whoever reads on throws or gets nothing. */
  readonly #last = new Wire(new Uint8Array(MAX_FRAME));
  /** Frames with something else on both sides. */
  readonly #middle = new Wire(new Uint8Array(MAX_FRAME + 2 * SURROUND).fill(0xff));
  /** Bytes of the frame that lies in {@linkcode CodecOracle.#middle}. */
  #middleLength = 0;
  /** Nothing but canaries between two checks. */
  readonly #out = new Wire(new Uint8Array(2 * MAX_FRAME).fill(CANARY));
  readonly #off: ReadonlySet<CodecCheck>;
  #fault: CodecFault | null = null;

  /** Check `codec`, without the checks that are off. */
  constructor(codec: Codec = OUR_CODEC, off: Iterable<CodecCheck> = []) {
    this.#codec = codec;
    this.#off = new Set(off);
  }

  /**
   * Check everything about a frame; returns the first check that failed, or null.
   *
   * @param isThorough Whether to go through text, JSON and diagnosis as well: ten times as long.
   */
  check(frame: Uint8Array, dialect: Dialect, isThorough: boolean): CodecFault | null {
    this.#fault = null;
    try {
      this.#check(frame, dialect, isThorough);
    } catch (error) {
      this.#fail("throws", "", error instanceof Error ? `${error.name}: ${error.message}` : "");
    }
    // Whatever failed may have left something.
    if (this.#fault !== null) this.#out.bytes.fill(CANARY);
    return this.#fault;
  }

  #fail(check: CodecCheck, kind: string, what: string): void {
    if (!this.#off.has(check)) this.#fault ??= { check, kind, what };
  }

  #check(frame: Uint8Array, dialect: Dialect, isThorough: boolean): void {
    const { tryDecode } = this.#codec;
    const { length } = frame;
    const last = this.#last;
    const start = MAX_FRAME - length;
    last.bytes.set(frame, start);
    const message = tryDecode(last, start, MAX_FRAME, dialect);

    const middle = this.#middle;
    const before = this.#middleLength;
    this.#middleLength = length;
    middle.bytes.set(frame, SURROUND);
    // Behind the frame nothing is left of a longer one before.
    if (before > length) middle.bytes.fill(0xff, SURROUND + length, SURROUND + before);
    const again = tryDecode(middle, SURROUND, SURROUND + length, dialect);
    this.#compare(message, again, frame, dialect);
    if (this.#fault !== null) return;

    if (message === null) {
      if (isThorough) this.#refused(frame, last, start, dialect);
      return;
    }
    this.#canonical(message, frame, dialect);
    if (this.#fault !== null) return;
    this.#headers(message, last, start);
    this.#records(message, dialect, isThorough);
    if (isThorough && this.#fault === null) this.#forms(message, last, start, dialect);
  }

  #compare(
    message: Message | null,
    again: Message | null,
    frame: Uint8Array,
    dialect: Dialect,
  ): void {
    const reference = referenceDecode(frame, dialect);
    if ((message === null) !== (again === null)) {
      const kind = message?.kind ?? again?.kind ?? "";
      this.#fail("reads-outside", kind, "accepted in one place, refused in another");
    } else if (message === null || again === null) {
      if (reference !== null) this.#fail("refuses", reference.layout.name, "a message was refused");
    } else if (reference === null) {
      this.#fail("accepts", message.kind, "what is no message was accepted");
    } else {
      const field = firstDifference(message, reference);
      if (field !== null) this.#fail("value", message.kind, `field ${field}`);
      const other = firstDifference(again, reference);
      if (other !== null) this.#fail("reads-outside", message.kind, `field ${other}`);
    }
  }

  #refused(frame: Uint8Array, wire: Wire, start: number, dialect: Dialect): void {
    const { length } = frame;
    const told = this.#codec.diagnose(wire, start, MAX_FRAME, dialect);
    this.#diagnosis("malformed", told, referenceFault(frame, dialect));
    if (length >= HEADER_SIZE && told.tag !== wire.view.getUint16(start + 5, true)) {
      this.#fail("diagnosis", "malformed", `tag ${told.tag}`);
    }
  }

  #diagnosis(
    kind: string,
    told: Pick<Malformed, "fault" | "offset" | "message">,
    reference: ReferenceFault | null,
  ): void {
    const { fault, offset } = told;
    if (!(fault satisfies Fault in FAULTS) || told.message === "") {
      this.#fail("diagnosis", kind, `"${fault}" is no fault`);
    }
    if (reference?.fault === fault && reference.offset === offset) return;
    const want = reference === null ? "there is none" : `${reference.fault} at ${reference.offset}`;
    this.#fail("diagnosis", kind, `${fault} at byte ${offset}, where it is ${want}`);
  }

  #canonical(message: Message, frame: Uint8Array, dialect: Dialect): void {
    const { encodeInto, sizeOf } = this.#codec;
    const { length } = frame;
    const size = sizeOf(message, dialect);
    const out = this.#out;
    const end = encodeInto(message, out, SURROUND, dialect);
    if (size !== length || end !== SURROUND + length) {
      const what = `${length} bytes: sizeOf says ${size}, encodeInto wrote ${end - SURROUND}`;
      this.#fail("size", message.kind, what);
    }
    const { bytes, view } = out;
    for (let i = 0; i < length; i++) {
      if (bytes[SURROUND + i] !== frame[i]) {
        this.#fail("canonical", message.kind, `byte ${i} of ${length} differs`);
        break;
      }
      bytes[SURROUND + i] = CANARY;
    }
    for (let i = 0; i < SURROUND; i += 4) {
      const behind = view.getUint32(SURROUND + length + i, true);
      if (view.getUint32(i, true) === CANARIES && behind === CANARIES) continue;
      this.#fail("writes-outside", message.kind, "bytes around the frame were written to");
      break;
    }
  }

  #headers(message: Message, wire: Wire, start: number): void {
    const codec = this.#codec;
    if (message.kind === "Rread") {
      const header = codec.tryDecodeRreadHeader(wire, start, MAX_FRAME);
      if (header?.tag === message.tag && header.count === message.data.length) return;
    } else if (message.kind === "Rreaddir") {
      const header = codec.tryDecodeRreaddirHeader(wire, start, MAX_FRAME);
      if (header?.tag === message.tag && header.count === message.data.length) return;
    } else if (message.kind === "Twrite") {
      const header = codec.tryDecodeTwriteHeader(wire, start, MAX_FRAME);
      if (
        header?.tag === message.tag && header.fid === message.fid &&
        header.offset === message.offset && header.count === message.data.length
      ) return;
    } else return;
    this.#fail("header", message.kind, "the header says otherwise");
  }

  #records(message: Message, dialect: Dialect, isThorough: boolean): void {
    if (message.kind === "Rreaddir") this.#dirents(message.data);
    else if (message.kind === "Rstat" || message.kind === "Twstat") {
      this.#stat(message.kind, message.stat, dialect, isThorough);
    }
  }

  #dirents(data: Uint8Array): void {
    const codec = this.#codec;
    const { entries, rest } = codec.decodeDirents(data);
    const reference = referenceDirents(data);
    if (entries.length !== reference.entries.length || rest.length !== reference.left) {
      const want = `${reference.entries.length} and ${reference.left}`;
      const what = `${entries.length} entries and ${rest.length} bytes, where there are ${want}`;
      return this.#fail("record", "Rreaddir", what);
    }
    const out = this.#out;
    let end = SURROUND;
    for (const [i, entry] of entries.entries()) {
      const want = reference.entries[i];
      const field = want === undefined ? null : firstDifference(entry, want);
      if (field !== null) this.#fail("record", "Rreaddir", `field ${field} of entry ${i}`);
      end = codec.encodeDirentInto(entry, out, end);
    }
    const size = end - SURROUND;
    if (!isEqual(out.bytes.subarray(SURROUND, end), data.subarray(0, size))) {
      this.#fail("record", "Rreaddir", "entries are not encoded as they came");
    }
    out.bytes.fill(CANARY, SURROUND, end);
  }

  #stat(kind: string, record: Uint8Array, dialect: Dialect, isThorough: boolean): void {
    const codec = this.#codec;
    const stat = codec.tryDecodeStat(record, dialect);
    const reference = referenceStat(record, dialect);
    if (stat === null || reference === null) {
      if (stat !== null) this.#fail("record", kind, "what is no record was accepted");
      else if (reference !== null) this.#fail("record", kind, "a record was refused");
      else if (isThorough) this.#refusedStat(kind, record, dialect);
      return;
    }
    const field = firstDifference(stat, reference);
    if (field !== null) this.#fail("record", kind, `field ${field}`);
    if (!isEqual(codec.encodeStat(stat, dialect), record)) {
      this.#fail("record", kind, "the record is not encoded as it came");
    }
  }

  #refusedStat(kind: string, record: Uint8Array, dialect: Dialect): void {
    try {
      this.#codec.decodeStat(record, dialect);
      this.#fail("record", kind, "what is no record was accepted");
    } catch (error) {
      // Anything else is documented never to be thrown.
      if (!(error instanceof ProtocolError)) throw error;
      this.#diagnosis(kind, error, referenceStatFault(record, dialect));
    }
  }

  #forms(message: Message, wire: Wire, start: number, dialect: Dialect): void {
    const codec = this.#codec;
    const text = codec.formatMessage(message);
    const parsed = firstChange(codec.parseMessage(text), message);
    if (parsed !== null) this.#fail("text", message.kind, `field ${parsed} of ${text}`);
    const json = JSON.parse(JSON.stringify(codec.messageToJson(message)));
    const read = firstChange(codec.messageFromJson(json), message);
    if (read !== null) this.#fail("json", message.kind, `field ${read} of ${text}`);
    let at = 0;
    for (const { offset, width } of codec.fieldOffsets(wire, start, MAX_FRAME, dialect)) {
      if (offset !== at) this.#fail("spans", message.kind, `a gap at byte ${at}`);
      at = offset + width;
    }
    if (at !== MAX_FRAME - start) this.#fail("spans", message.kind, `they end at byte ${at}`);
    const { fault } = codec.diagnose(wire, start, MAX_FRAME, dialect);
    if (fault !== "changed") this.#fail("diagnosis", message.kind, `${fault} in a good message`);
  }
}
