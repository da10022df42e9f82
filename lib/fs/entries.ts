/**
 * From the entries that the kernel lists to those of 9P, without an object or a bigint between.
 *
 * `struct linux_dirent64`: ino[8] off[8] reclen[2] type[1] name… NUL, padded to 8 bytes;
 * 9P: qid.type[1] qid.version[4] qid.path[8] offset[8] type[1] name[s]
 *
 * @module
 */
import type { DirentCursor } from "../linux/mod.ts";
import { DIRENT_HEADER, DT_UNKNOWN } from "../p9/mod.ts";
import type { EntryRoom } from "./tree.ts";

/** Bytes of a `linux_dirent64` before its name. */
const HEAD = 19;
const DOT = 0x2e;
/** Second byte of every name that belongs to a model. */
const LETTER_V = 0x76;

/** What becomes of the type of an entry, by `DT_*`. */
export interface EntryTypes {
  /** `QT*` bits. */
  readonly qid: Uint8Array;
  /** The type that clients see. */
  readonly shown: Uint8Array;
}

/**
 * Packs entries from where `cursor` is, as long as there is room and nothing special about them:
 * not "." or "..", no name that a model may hide, of a known type, with an offset of its own, with a number that is shown as it is.
 *
 * @param plainHigh Inode numbers are shown as they are if their upper half is below this.
 * @returns Where the last entry that was packed begins; -1 if none was.
 */
export function packEntries(
  cursor: DirentCursor,
  room: EntryRoom,
  types: EntryTypes,
  plainHigh: number,
): number {
  const { view, bytes, end } = cursor;
  const { view: target, bytes: targetBytes, end: limit } = room;
  const { qid, shown } = types;
  let from = cursor.position;
  let at = room.at;
  let last = -1;
  while (from + HEAD < end) {
    const size = view.getUint16(from + 16, true);
    if (size < HEAD + 1 || from + size > end) break;
    const kind = view.getUint8(from + 18);
    const inoHigh = view.getUint32(from + 4, true);
    const offLow = view.getUint32(from + 8, true);
    const offHigh = view.getUint32(from + 12, true);
    if (kind === DT_UNKNOWN || kind > 15 || inoHigh >= plainHigh || (offLow | offHigh) === 0) break;
    const name = from + HEAD;
    if (bytes[name] === DOT && isSpecial(bytes, name)) break;
    // The NUL is among the last 8 bytes.
    let nameEnd = Math.max(name, from + size - 8);
    while (nameEnd < from + size && bytes[nameEnd] !== 0) nameEnd++;
    const length = nameEnd - name;
    let to = at + DIRENT_HEADER;
    if (to + length > limit) break;
    target.setUint8(at, qid[kind] as number);
    target.setUint32(at + 1, 0, true);
    target.setUint32(at + 5, view.getUint32(from, true), true);
    target.setUint32(at + 9, inoHigh, true);
    target.setUint32(at + 13, offLow, true);
    target.setUint32(at + 17, offHigh, true);
    target.setUint8(at + 21, shown[kind] as number);
    target.setUint16(at + 22, length, true);
    let next = name;
    for (; next + 4 <= nameEnd; next += 4, to += 4) {
      target.setUint32(to, view.getUint32(next, true), true);
    }
    for (; next < nameEnd; next++, to++) targetBytes[to] = bytes[next] as number;
    at = to;
    last = from;
    from += size;
  }
  if (last >= 0) {
    cursor.skipTo(from);
    room.at = at;
  }
  return last;
}

/** True of ".", "..", and what may belong to a model; the first byte is known to be a dot. */
function isSpecial(bytes: Uint8Array, name: number): boolean {
  const second = bytes[name + 1];
  return second === 0 || second === LETTER_V || second === DOT && bytes[name + 2] === 0;
}
