/**
 * Messages with memory of their own, decoded as far as they are at hand.
 *
 * @module
 */
import {
  diagnose,
  type Dialect,
  DIALECTS,
  kindOf,
  type Message,
  RREAD_HEADER,
  tryDecode,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import type { Frame, Half } from "./types.ts";

/** Bytes before the payload of a message, which may be cut; -1 for those that must be whole. */
export function payloadOffset(type: number): number {
  switch (type) {
    case TYPE.Rread:
    case TYPE.Rreaddir:
      return RREAD_HEADER;
    case TYPE.Twrite:
      return TWRITE_HEADER;
    default:
      return -1;
  }
}

/** Bytes of the payload on the wire, of which the message may hold fewer; 0 if it has none. */
export function payloadLength(half: Half): number {
  const offset = payloadOffset(half.type);
  return offset < 0 ? 0 : Math.max(0, half.size - offset);
}

/**
 * Copies and decodes a frame.
 *
 * @param isAgreed Whether the dialect is certain; if not, others are tried.
 * @param payload Bytes of its payload to keep.
 * @returns The message, and the dialect it is of.
 */
export function decodeHalf(
  frame: Frame,
  dialect: Dialect,
  isAgreed: boolean,
  payload: number,
): { readonly half: Half; readonly dialect: Dialect } {
  const { bytes, start, size, time } = frame;
  const type = bytes[start + 4] ?? 0;
  const offset = payloadOffset(type);
  const limit = offset < 0 ? size : offset + payload;
  const own = bytes.slice(start, Math.min(frame.end, start + Math.min(size, limit)));
  const part = { time, size, type, bytes: own };
  if (own.length < size) {
    const message = offset < 0 || own.length < offset ? null : withoutPayload(own, offset, size);
    return { half: { ...part, message, malformed: null }, dialect };
  }
  const wire = new Wire(own);
  const message = tryDecode(wire, 0, size, dialect);
  if (message !== null) return { half: { ...part, message, malformed: null }, dialect };
  if (!isAgreed) {
    for (let i = DIALECTS.length - 1; i >= 0; i--) {
      const other = DIALECTS[i];
      const guessed = other === undefined ? null : tryDecode(wire, 0, size, other);
      if (guessed !== null && other !== undefined) {
        return { half: { ...part, message: guessed, malformed: null }, dialect: other };
      }
    }
  }
  const malformed = diagnose(wire, 0, size, dialect);
  return { half: { ...part, message: null, malformed }, dialect };
}

/** A message whose payload is cut off; null if its count and its size disagree. */
function withoutPayload(bytes: Uint8Array, offset: number, size: number): Message | null {
  const { view } = new Wire(bytes);
  if (view.getUint32(offset - 4, true) !== size - offset) return null;
  const type = view.getUint8(4);
  const tag = view.getUint16(5, true);
  const data = bytes.subarray(offset);
  if (type === TYPE.Rread) return { kind: "Rread", tag, data };
  if (type === TYPE.Rreaddir) return { kind: "Rreaddir", tag, data };
  const [fid, at] = [view.getUint32(7, true), view.getBigUint64(11, true)];
  return { kind: "Twrite", tag, fid, offset: at, data };
}

/** Name of a message by its type, as in `Tread`; `T200` and `R201` for what has none. */
export function nameOfType(type: number, letter: "T" | "R"): string {
  return kindOf(type) ?? (type === 6 ? "Tlerror" : type === 106 ? "Terror" : `${letter}${type}`);
}
