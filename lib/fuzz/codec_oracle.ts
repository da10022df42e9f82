/**
 * What has to hold for every frame, by every way through the codec: oracle `round-trip`.
 *
 * @module
 */
import {
  decodeDirents,
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
  sizeOf,
  tryDecode,
  tryDecodeRreaddirHeader,
  tryDecodeRreadHeader,
  tryDecodeStat,
  tryDecodeTwriteHeader,
  Wire,
} from "../p9/mod.ts";
import { MAX_FRAME } from "./codec_frames.ts";
import { firstDifference, referenceDecode } from "./codec_reference.ts";

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
    "diagnose names a fault for what is refused, within the frame, and none for the rest",
  "spans": "the spans of a frame lie one behind the other, and cover a message",
  "header": "the header decoders agree with the decoder",
  "record": "entries and stat records are encoded as they were decoded",
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

/** The codec that is checked; {@linkcode OUR_CODEC} unless the checks themselves are. */
export interface Codec {
  /** As `tryDecode` of lib/p9. */
  readonly tryDecode: typeof tryDecode;
  /** As `encodeInto` of lib/p9. */
  readonly encodeInto: typeof encodeInto;
  /** As `sizeOf` of lib/p9. */
  readonly sizeOf: typeof sizeOf;
  /** As `diagnose` of lib/p9. */
  readonly diagnose: typeof diagnose;
}

/** The codec of lib/p9. */
export const OUR_CODEC: Codec = { tryDecode, encodeInto, sizeOf, diagnose };

const SURROUND = 64;
const CANARY = 0xa5;

/** Checks frames; has the buffers for it. */
export class CodecOracle {
  readonly #codec: Codec;
  /** Frames that end with the buffer: whoever reads on throws or gets nothing. */
  readonly #last = new Wire(new Uint8Array(MAX_FRAME));
  /** Frames with something else on both sides. */
  readonly #middle = new Wire(new Uint8Array(MAX_FRAME + 2 * SURROUND).fill(0xff));
  readonly #out = new Wire(new Uint8Array(2 * MAX_FRAME).fill(CANARY));
  #fault: CodecFault | null = null;

  /** Check `codec`. */
  constructor(codec: Codec = OUR_CODEC) {
    this.#codec = codec;
  }

  /**
   * Check everything about a frame; returns the first check that failed, or null.
   *
   * @param length Bytes of the frame, which begins at byte 0 of `bytes`.
   * @param isThorough Whether to go through text, JSON and diagnosis as well: ten times as long.
   */
  check(
    bytes: Uint8Array,
    length: number,
    dialect: Dialect,
    isThorough: boolean,
  ): CodecFault | null {
    this.#fault = null;
    try {
      this.#check(bytes.subarray(0, length), dialect, isThorough);
    } catch (error) {
      this.#fail("throws", "", error instanceof Error ? `${error.name}: ${error.message}` : "");
    }
    return this.#fault;
  }

  #fail(check: CodecCheck, kind: string, what: string): void {
    this.#fault ??= { check, kind, what };
  }

  #check(frame: Uint8Array, dialect: Dialect, isThorough: boolean): void {
    const { tryDecode } = this.#codec;
    const { length } = frame;
    const last = this.#last;
    const start = MAX_FRAME - length;
    last.bytes.set(frame, start);
    const message = tryDecode(last, start, MAX_FRAME, dialect);

    const middle = this.#middle;
    middle.bytes.set(frame, SURROUND);
    const again = tryDecode(middle, SURROUND, SURROUND + length, dialect);
    this.#compare(message, again, frame, dialect);
    // Behind the frame nothing is left of a longer one before.
    middle.bytes.fill(0xff, SURROUND, SURROUND + length);
    if (this.#fault !== null) return;

    if (message === null) {
      if (isThorough) this.#refused(last, start, dialect);
      return;
    }
    this.#canonical(message, frame, dialect);
    if (this.#fault !== null) return;
    this.#headers(message, last, start);
    this.#records(message, dialect);
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
      if (reference !== null) this.#fail("refuses", `${reference.kind}`, "a message was refused");
    } else if (reference === null) {
      this.#fail("accepts", message.kind, "what is no message was accepted");
    } else {
      const field = firstDifference(message as unknown as Record<string, unknown>, reference);
      if (field !== null) this.#fail("value", message.kind, `field ${field}`);
      const other = firstDifference(again as unknown as Record<string, unknown>, reference);
      if (other !== null) this.#fail("reads-outside", message.kind, `field ${other}`);
    }
  }

  #refused(wire: Wire, start: number, dialect: Dialect): void {
    const length = MAX_FRAME - start;
    const told: Malformed = this.#codec.diagnose(wire, start, MAX_FRAME, dialect);
    if (told.fault === "changed") this.#fail("diagnosis", "malformed", "no fault was found");
    if (!(told.fault satisfies Fault in FAULTS) || told.offset < 0 || told.offset > length) {
      this.#fail("diagnosis", "malformed", `${told.fault} at byte ${told.offset} of ${length}`);
    }
    if (length >= HEADER_SIZE && told.tag !== wire.view.getUint16(start + 5, true)) {
      this.#fail("diagnosis", "malformed", `tag ${told.tag}`);
    }
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
    const written = out.bytes;
    for (let i = 0; i < length; i++) {
      if (written[SURROUND + i] === frame[i]) continue;
      this.#fail("canonical", message.kind, `byte ${i} of ${length} differs`);
      break;
    }
    for (let i = 0; i < SURROUND; i++) {
      if (written[i] === CANARY && written[SURROUND + length + i] === CANARY) continue;
      this.#fail("writes-outside", message.kind, "bytes around the frame were written to");
      break;
    }
    written.fill(CANARY, 0, Math.max(end, SURROUND + length) + SURROUND);
  }

  #headers(message: Message, wire: Wire, start: number): void {
    if (message.kind === "Rread") {
      const header = tryDecodeRreadHeader(wire, start, MAX_FRAME);
      if (header?.tag === message.tag && header.count === message.data.length) return;
    } else if (message.kind === "Rreaddir") {
      const header = tryDecodeRreaddirHeader(wire, start, MAX_FRAME);
      if (header?.tag === message.tag && header.count === message.data.length) return;
    } else if (message.kind === "Twrite") {
      const header = tryDecodeTwriteHeader(wire, start, MAX_FRAME);
      if (
        header?.tag === message.tag && header.fid === message.fid &&
        header.offset === message.offset && header.count === message.data.length
      ) return;
    } else return;
    this.#fail("header", message.kind, "the header says otherwise");
  }

  #records(message: Message, dialect: Dialect): void {
    if (message.kind === "Rreaddir") {
      const { data } = message;
      const { entries, rest } = decodeDirents(data);
      const out = this.#out;
      let end = SURROUND;
      for (const entry of entries) end = encodeDirentInto(entry, out, end);
      const size = end - SURROUND;
      const isSame = size + rest.length === data.length && isEqual(out.bytes, SURROUND, data, size);
      out.bytes.fill(CANARY, SURROUND, end);
      if (!isSame) this.#fail("record", message.kind, "entries are not encoded as they came");
    } else if (message.kind === "Rstat" || message.kind === "Twstat") {
      const stat = tryDecodeStat(message.stat, dialect);
      if (stat === null) return;
      const bytes = encodeStat(stat, dialect);
      if (bytes.length !== message.stat.length || !isEqual(bytes, 0, message.stat, bytes.length)) {
        this.#fail("record", message.kind, "the record is not encoded as it came");
      }
    }
  }

  #forms(message: Message, wire: Wire, start: number, dialect: Dialect): void {
    const same = message as unknown as Parameters<typeof firstDifference>[1];
    const asRecord = (other: Message): Record<string, unknown> =>
      other as unknown as Record<string, unknown>;
    const text = formatMessage(message);
    const parsed = firstDifference(asRecord(parseMessage(text)), same);
    if (parsed !== null) this.#fail("text", message.kind, `field ${parsed} of ${text}`);
    const json = JSON.parse(JSON.stringify(messageToJson(message)));
    const read = firstDifference(asRecord(messageFromJson(json)), same);
    if (read !== null) this.#fail("json", message.kind, `field ${read} of ${text}`);
    let at = 0;
    for (const { offset, width } of fieldOffsets(wire, start, MAX_FRAME, dialect)) {
      if (offset !== at) this.#fail("spans", message.kind, `a gap at byte ${at}`);
      at = offset + width;
    }
    if (at !== MAX_FRAME - start) this.#fail("spans", message.kind, `they end at byte ${at}`);
    const { fault } = this.#codec.diagnose(wire, start, MAX_FRAME, dialect);
    if (fault !== "changed") this.#fail("diagnosis", message.kind, `${fault} in a good message`);
  }
}

function isEqual(one: Uint8Array, from: number, other: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (one[from + i] !== other[i]) return false;
  return true;
}
