/**
 * What payloads consist of: directory entries and stat records.
 *
 * Their layout is in `schema.ts` like that of every message; here is what surrounds them.
 *
 * @module
 */

import { diagnoseRecord, ProtocolError } from "./codec.ts";
import { type Layout, RECORD_LAYOUTS } from "./layout.ts";
import {
  type Dirent,
  encodeDirentRecord,
  encodeStatRecord,
  sizeOfStatRecord,
  type Stat,
  tryDecodeDirentRecord,
  tryDecodeStatRecord,
} from "./messages.ts";
import type { Dialect } from "./schema.ts";
import { Wire } from "./wire.ts";

/** Bytes of a Dirent without its name. */
export const DIRENT_HEADER = 24;

function recordLayout(name: string): Layout {
  const layout = RECORD_LAYOUTS.find((layout) => layout.name === name);
  if (layout === undefined) throw new RangeError(`Cannot find record "${name}": no row`);
  return layout;
}

const STAT = recordLayout("Stat");

/** Bytes of a Dirent whose name takes `nameBytes` bytes ({@linkcode byteLength}). */
export function direntSize(nameBytes: number): number {
  return DIRENT_HEADER + nameBytes;
}

/**
 * Writes a directory entry at `at` and returns its end; the caller has made sure of room.
 *
 * `qid[13] offset[8] type[1] name[s]`
 *
 * @throws {RangeError} If the name is longer than 65,535 bytes.
 */
export function encodeDirentInto(dirent: Dirent, wire: Wire, at: number): number {
  return encodeDirentRecord(dirent, wire, at);
}

/**
 * Decodes the payload of an Rreaddir.
 *
 * Never throws: what is left when no further whole entry follows is `rest`, a view of `bytes`,
 * empty for a payload in order.
 *
 * @example One entry and a stray byte
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeDirents, DT_DIR, encodeDirentInto, Wire } from "@virtfs/virtfs/p9";
 *
 * const data = new Uint8Array(26);
 * const qid = { type: 0x80, version: 0, path: 1n };
 * encodeDirentInto({ qid, offset: 1n, type: DT_DIR, name: "a" }, new Wire(data), 0);
 * const { entries, rest } = decodeDirents(data);
 * assert.deepEqual(entries, [{ qid, offset: 1n, type: DT_DIR, name: "a" }]);
 * assert.equal(rest.length, 1);
 * ```
 */
export function decodeDirents(bytes: Uint8Array): { entries: Dirent[]; rest: Uint8Array } {
  const wire = new Wire(bytes);
  const entries: Dirent[] = [];
  let at = 0;
  while (at + DIRENT_HEADER <= bytes.length) {
    const end = at + DIRENT_HEADER + wire.view.getUint16(at + DIRENT_HEADER - 2, true);
    const entry = end <= bytes.length ? tryDecodeDirentRecord(wire, at, end) : null;
    if (entry === null) break;
    entries.push(entry);
    at = end;
  }
  return { entries, rest: bytes.subarray(at) };
}

/** Bytes of a stat record with its `size[2]`. */
export function sizeOfStat(stat: Stat, dialect: Dialect): number {
  return 2 + sizeOfStatRecord(stat, dialect);
}

/**
 * Writes a stat record with its `size[2]` at `at` and returns its end; the caller has made room.
 *
 * @throws {RangeError} If the record is longer than 65,535 bytes.
 */
export function encodeStatInto(stat: Stat, wire: Wire, at: number, dialect: Dialect): number {
  const end = encodeStatRecord(stat, wire, at + 2, dialect);
  if (end - at - 2 > 0xffff) {
    throw new RangeError(`Cannot encode a stat record: ${end - at - 2} bytes, at most 65535`);
  }
  wire.view.setUint16(at, end - at - 2, true);
  return end;
}

/**
 * Encodes a stat record with its `size[2]`: the `stat` of an Rstat or Twstat.
 *
 * @throws {RangeError} If the record is longer than 65,535 bytes.
 */
export function encodeStat(stat: Stat, dialect: Dialect): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeOfStat(stat, dialect));
  encodeStatInto(stat, new Wire(bytes), 0, dialect);
  return bytes;
}

/** Decodes the `stat` of an Rstat or Twstat, or returns null if it is not one whole record. */
export function tryDecodeStat(bytes: Uint8Array, dialect: Dialect): Stat | null {
  if (bytes.length < 2) return null;
  const wire = new Wire(bytes);
  if (wire.view.getUint16(0, true) !== bytes.length - 2) return null;
  return tryDecodeStatRecord(wire, 2, bytes.length, dialect);
}

/**
 * Decodes the `stat` of an Rstat or Twstat.
 *
 * @throws {ProtocolError} If it is not one whole record; `offset` counts from its `size[2]`.
 */
export function decodeStat(bytes: Uint8Array, dialect: Dialect): Stat {
  const stat = tryDecodeStat(bytes, dialect);
  if (stat !== null) return stat;
  const size = bytes.length < 2 ? -1 : new Wire(bytes).view.getUint16(0, true);
  const inner = diagnoseRecord(STAT, bytes.subarray(2), dialect);
  throw new ProtocolError(
    size >= 0 && size === bytes.length - 2 ? { ...inner, offset: inner.offset + 2 } : {
      ...inner,
      fault: "size-mismatch",
      offset: 0,
      message: `Cannot decode Stat: size-mismatch, ${size < 0 ? "no" : size} bytes announced, ` +
        `${Math.max(0, bytes.length - 2)} present`,
    },
  );
}

/**
 * Decodes what a read of a directory gives in 9P2000 and 9P2000.u: stat records, one after another.
 *
 * Never throws: what is left when no further whole record follows is `rest`, a view of `bytes`.
 */
export function decodeStats(
  bytes: Uint8Array,
  dialect: Dialect,
): { entries: Stat[]; rest: Uint8Array } {
  const wire = new Wire(bytes);
  const entries: Stat[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const end = at + 2 + wire.view.getUint16(at, true);
    const entry = end <= bytes.length ? tryDecodeStatRecord(wire, at + 2, end, dialect) : null;
    if (entry === null) break;
    entries.push(entry);
    at = end;
  }
  return { entries, rest: bytes.subarray(at) };
}
