/**
 * What a hostile driver does to its rings, as words with numbers: made by chance, left out when a case
 * is made shorter, printed, parsed, and done.
 *
 * @module
 */
import { encode, type TMessage } from "../p9/mod.ts";
import { DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, type Descriptor } from "../virtio/mod.ts";
import { GETATTR } from "./ring_attacks.ts";
import { desc, type Machine, REPLY, REQUEST, TABLE } from "./ring_machine.ts";

/** Bytes between two requests of a case. */
export const REQUEST_STEP = 0x400;
/** Bytes between two replies of a case. */
export const REPLY_STEP = 0x1000;
/** Bytes between two indirect tables. */
export const TABLE_STEP = 0x100;

/** Name of something that can be done. */
export type DeedWord =
  | "getattr"
  | "read"
  | "statfs"
  | "stranger"
  | "address"
  | "length"
  | "flags"
  | "next"
  | "swap"
  | "bit"
  | "byte"
  | "indirect"
  | "nest"
  | "offer"
  | "advance"
  | "events"
  | "used";

/** Something that is done to the rings. */
export interface Deed {
  /** What is done: a key of {@linkcode DEEDS}. */
  readonly word: DeedWord;
  /** Its numbers, as many as its row has. */
  readonly numbers: readonly bigint[];
}

/** What a word does, and what its numbers are. */
export interface DeedRow {
  /** Names of its numbers. */
  readonly numbers: readonly string[];
  /** Does it. */
  do(machine: Machine, ...numbers: readonly bigint[]): void;
}

/** A good request in two pieces each way, at descriptors 4 `place` and on, offered. */
function request(message: TMessage): DeedRow {
  const frame = encode(message, "9P2000.L").slice();
  return {
    numbers: ["place", "cut"],
    do(machine, place = 0n, cut = 0n) {
      const at = REQUEST + Number(place) * REQUEST_STEP;
      const to = REPLY + Number(place) * REPLY_STEP;
      const size = Math.min(Math.max(Number(cut), 1), frame.length - 1);
      const first = 4 * Number(place);
      machine.put(at, frame);
      machine.describe([
        desc(at, size, DESC_F_NEXT, first + 1),
        desc(at + size, frame.length - size, DESC_F_NEXT, first + 2),
        desc(to, 11, DESC_F_NEXT | DESC_F_WRITE, first + 3),
        desc(to + 11, 0x800, DESC_F_WRITE),
      ], first);
      machine.raw.offer(first);
    },
  };
}

/** A descriptor gets another value. */
function field(name: keyof Descriptor): DeedRow {
  return {
    numbers: ["descriptor", name],
    do({ raw }, index = 0n, value = 0n) {
      const to = name === "address" ? value : Number(value);
      raw.setDescriptor(Number(index), { ...raw.descriptor(Number(index)), [name]: to });
    },
  };
}

function flip(machine: Machine, at: number, mask: number): void {
  const [byte = 0] = machine.get(at, 1);
  machine.put(at, Uint8Array.of(byte ^ mask));
}

/** What can be done to rings, by its word. */
export const DEEDS: Readonly<Record<DeedWord, DeedRow>> = {
  getattr: request(GETATTR),
  read: request({ kind: "Tread", tag: 8, fid: 1, offset: 100n, count: 700 }),
  statfs: request({ kind: "Tstatfs", tag: 9, fid: 0 }),
  stranger: request({ kind: "Tgetattr", tag: 10, fid: 99, request_mask: 0x7ffn }),
  address: field("address"),
  length: field("length"),
  flags: field("flags"),
  next: field("next"),
  swap: {
    numbers: ["descriptor", "other"],
    do({ raw }, one = 0n, other = 0n) {
      const kept = raw.descriptor(Number(one));
      raw.setDescriptor(Number(one), raw.descriptor(Number(other)));
      raw.setDescriptor(Number(other), kept);
    },
  },
  bit: {
    numbers: ["address", "bit"],
    do: (machine, at = 0n, bit = 0n) => flip(machine, Number(at), 1 << Number(bit)),
  },
  byte: {
    numbers: ["address", "value"],
    do: (machine, at = 0n, value = 0n) => machine.put(Number(at), Uint8Array.of(Number(value))),
  },
  indirect: {
    numbers: ["descriptor", "table", "length"],
    do({ raw }, index = 0n, table = 0n, length = 0n) {
      const at = TABLE + Number(table) * TABLE_STEP;
      for (let i = 0; i < 4; i++) {
        raw.setDescriptor(i, { ...raw.descriptor(Number(index) + i), next: i + 1 }, at);
      }
      raw.setDescriptor(Number(index), desc(at, Number(length), DESC_F_INDIRECT));
    },
  },
  nest: {
    numbers: ["table", "descriptor"],
    do({ raw }, table = 0n, index = 0n) {
      const at = TABLE + Number(table) * TABLE_STEP;
      const was = raw.descriptor(Number(index), at);
      raw.setDescriptor(Number(index), { ...was, flags: DESC_F_INDIRECT }, at);
    },
  },
  offer: {
    numbers: ["head"],
    do: ({ raw }, head = 0n) => raw.offer(Number(head)),
  },
  advance: {
    numbers: ["by"],
    do({ raw }, by = 0n) {
      raw.availIndex = raw.availIndex + Number(by) & 0xffff;
    },
  },
  events: {
    numbers: ["used_event", "avail_event", "flags"],
    do({ raw }, used = 0n, avail = 0n, flags = 0n) {
      raw.usedEvent = Number(used);
      raw.availEvent = Number(avail);
      raw.availFlags = Number(flags);
    },
  },
  used: {
    numbers: ["slot", "id", "length"],
    do: ({ raw }, slot = 0n, id = 0n, length = 0n) =>
      raw.setUsedEntry(Number(slot), { id: Number(id), length: Number(length) }),
  },
};

/** Do it. */
export function doDeed(machine: Machine, { word, numbers }: Deed): void {
  DEEDS[word].do(machine, ...numbers);
}

/** One line that says what is done. */
export function formatDeed({ word, numbers }: Deed): string {
  const texts = numbers.map((value) => value > 0xffffn ? `0x${value.toString(16)}` : `${value}`);
  return [word, ...texts].join(" ");
}

/**
 * Parse a line.
 *
 * @throws {SyntaxError} If it means nothing.
 */
export function parseDeed(line: string): Deed {
  const [word = "", ...texts] = line.split(/\s+/);
  if (!Object.hasOwn(DEEDS, word)) throw new SyntaxError(`"${word}" is nothing that can be done`);
  const { numbers } = DEEDS[word as DeedWord];
  const isGood = texts.every((text) => /^(?:\d{1,20}|0x[0-9a-f]{1,16})$/i.test(text));
  if (!isGood || texts.length !== numbers.length) {
    throw new SyntaxError(
      `want ${[word, ...numbers].join(" ")}, the last ${numbers.length} numbers`,
    );
  }
  return { word: word as DeedWord, numbers: texts.map(BigInt) };
}
