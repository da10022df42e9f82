/**
 * Memory that a second processor changes while the device reads it, by what it changes.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chainOf,
  DATA,
  desc,
  HOLE,
  LOW,
  type Machine,
  meanwhile,
  REPLY,
  REQUEST,
  ROOM,
  TABLE,
} from "./ring_machine.ts";
import { GETATTR } from "./ring_attacks.ts";
import { read, write } from "./ring_frames.ts";
import type { RMessage, TMessage } from "../p9/mod.ts";
import {
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
} from "../virtio/mod.ts";

/** Bytes that a second processor writes in turn while the device works. */
export interface Race {
  /** The request, put at {@linkcode REQUEST}. */
  readonly request: TMessage;
  /** Where to flip: an offset in the request, or a guest address if it is that large. */
  readonly at: number;
  /** One content. */
  readonly one: Uint8Array;
  /** The other. */
  readonly other: Uint8Array;
  /** Takes back what the request did to fids, each time that it was done. */
  readonly undo?: (machine: Machine) => Promise<unknown>;
  /** Whether the request's descriptors are in an indirect table. */
  readonly isIndirect?: boolean;
}

/** Encodes names. */
export const utf8 = new TextEncoder();
/** Numbers as bytes, two each. */
export const u16 = (...values: number[]): Uint8Array =>
  new Uint8Array(Uint16Array.from(values).buffer);
/** Numbers as bytes, four each. */
export const u32 = (...values: number[]): Uint8Array =>
  new Uint8Array(Uint32Array.from(values).buffer);
/** A name that may be, and one as long that leads to a sentinel. */
export const NAMES = { one: utf8.encode("ok_name"), other: utf8.encode("../../x") };
/** Where the name is in a Tlcreate and its like. */
export const OFFSET_OF_NAME = 13;
/** Guest address of a field of descriptor 1, the reply's, in the queue's table. */
export const REPLY_DESC = LOW + 16;

/** Says something from where no race is. */
export const aside = (machine: Machine, message: TMessage): Promise<RMessage> =>
  machine.say(message, REQUEST + 0x4000);
/** Gives fid 6 back. */
export const clunk = (machine: Machine): Promise<RMessage> =>
  aside(machine, { kind: "Tclunk", tag: 1, fid: 6 });
/** Makes fid 6 the root. */
export const file = (machine: Machine): Promise<RMessage> =>
  aside(machine, { kind: "Twalk", tag: 1, fid: 0, newfid: 6, wname: [] });

/** What is changed while the device reads it. */
export const RACES: Readonly<Record<string, Race>> = {
  "the name of a Tlcreate": {
    request: { kind: "Tlcreate", tag: 7, fid: 6, name: "ok_name", flags: 2, mode: 0o644, gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
    undo: async (machine) => {
      await clunk(machine);
      await file(machine);
    },
  },
  "the name of a Tmkdir": {
    request: { kind: "Tmkdir", tag: 7, dfid: 0, name: "ok_name", mode: 0o755, gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the name of a Tunlinkat": {
    request: { kind: "Tunlinkat", tag: 7, dirfd: 0, name: "ok_name", flags: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the name of a Tsymlink": {
    request: { kind: "Tsymlink", tag: 7, fid: 0, name: "ok_name", symtgt: "target", gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the new name of a Trenameat": {
    request: {
      kind: "Trenameat",
      tag: 7,
      olddirfid: 0,
      oldname: "lock",
      newdirfid: 0,
      newname: "ok_name",
    },
    at: 23,
    ...NAMES,
  },
  "a name of a Twalk": {
    request: { kind: "Twalk", tag: 7, fid: 0, newfid: 7, wname: ["ok_name"] },
    at: 19,
    ...NAMES,
  },
  "the length of a name": {
    request: { kind: "Twalk", tag: 7, fid: 0, newfid: 7, wname: ["data"] },
    at: 17,
    one: u16(4),
    other: u16(0xffff),
    undo: (machine) => aside(machine, { kind: "Tclunk", tag: 1, fid: 7 }),
  },
  "the size of a message": {
    request: GETATTR,
    at: 0,
    one: u32(19),
    other: u32(0xffff),
  },
  "the type of a message": {
    request: GETATTR,
    at: 4,
    one: new Uint8Array([24]),
    other: new Uint8Array([118]),
  },
  "the type of a Twrite": {
    request: write(0, DATA.subarray(0, 5000)),
    at: 4,
    one: new Uint8Array([118]),
    other: new Uint8Array([110]),
  },
  "the count of a Twrite": {
    request: write(0, DATA.subarray(0, 5000)),
    at: 19,
    one: u32(5000),
    other: u32(0x7fff_ffff),
  },
  "the count of a Tread": { request: read(0, 500), at: 19, one: u32(500), other: u32(0xffff_ffff) },
  "the length of a reply's buffer": {
    request: GETATTR,
    at: REPLY_DESC + 8,
    one: u32(ROOM),
    other: u32(0xffff_ffff),
  },
  "the length of a request's buffer": {
    request: GETATTR,
    at: LOW + 8,
    one: u32(19),
    other: u32(3),
  },
  "the address of a reply's buffer, between memory and the rings": {
    request: GETATTR,
    at: REPLY_DESC,
    one: u32(REPLY),
    other: u32(LOW),
  },
  "the address of a reply's buffer, between memory and the hole": {
    request: read(0, 2000),
    at: REPLY_DESC,
    one: u32(REPLY),
    other: u32(HOLE),
  },
  "the flags of a reply's descriptor": {
    request: GETATTR,
    at: REPLY_DESC + 12,
    one: u16(WRITE, 0),
    other: u16(INDIRECT, 0),
  },
  "the next of a request's descriptor": {
    request: GETATTR,
    at: LOW + 14,
    one: u16(1),
    other: u16(0),
  },
  "an indirect table": {
    request: GETATTR,
    at: TABLE + 16,
    one: u32(REPLY, 0, ROOM, WRITE),
    other: u32(HOLE - 16, 0, 17, WRITE | NEXT),
    isIndirect: true,
  },
};

/** Rounds of each race. */
export const ROUNDS = 150;

/** A race goes on for so long at least, so that the two meet, in milliseconds. */
const LEAST_MS = 30;

/**
 * Run a race: the same request so many times, while a second processor flips what it consists of.
 *
 * @param tidy Is called after each time that the request was carried out.
 */
export async function raceOn(
  machine: Machine,
  race: Race,
  rounds: number,
  tidy: () => void,
): Promise<void> {
  await file(machine);
  const at = race.at < LOW ? REQUEST + race.at : race.at;
  const [ram] = machine.rams;
  const good = machine.putRequest(race.request);
  const before = machine.snapshot();
  const flip = { one: race.one, other: race.other, at: at - LOW, fd: ram.fd, size: ram.size };
  const flips = await meanwhile({ kind: "flip", ...flip }, async () => {
    const end = performance.now() + LEAST_MS;
    for (let round = 0; round < rounds || performance.now() < end; round++) {
      const chain = chainOf([good], [[REPLY, ROOM]]);
      if (race.isIndirect === true) {
        machine.describe(chain, 0, TABLE);
        machine.describe([desc(TABLE, 32, INDIRECT)]);
      } else machine.describe(chain);
      machine.raw.offer(0);
      machine.kick();
      const [entry] = await machine.used();
      assert.ok(entry !== undefined && entry.id === 0 && entry.length <= ROOM);
      if (entry.length === 0) continue;
      const { kind } = machine.decode(machine.get(REPLY, entry.length));
      if (kind === "Rlerror") continue;
      tidy();
      await race.undo?.(machine);
    }
  });
  assert.ok(flips > 0, "the second processor was at work");
  machine.assertUntouched(
    before,
    [REPLY, ROOM],
    [at, race.one.length],
    [REQUEST + 0x4000, 100],
    [TABLE, 32],
    [LOW, 0x400],
  );
  await clunk(machine);
}
