/**
 * Plain bytes as segments, for content that comes from JavaScript.
 *
 * @module
 */
import { Segments } from "../p9/mod.ts";

/**
 * Segments that cover `bytes`, cut where `cuts` says and at the end.
 *
 * @param bytes Borrowed as long as the segments are used.
 * @param cuts Lengths of the pieces but the last, in bytes.
 */
export function segmentsOf(bytes: Uint8Array, ...cuts: readonly number[]): Segments {
  const segments = new Segments();
  const memory = { bytes, address: 0 };
  let at = 0;
  for (const cut of cuts) {
    const length = Math.min(cut, bytes.length - at);
    segments.add(memory, at, length);
    at += length;
  }
  segments.add(memory, at, bytes.length - at);
  return segments;
}
