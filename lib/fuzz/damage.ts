/**
 * Frames that are no messages: cut at the borders of fields, with counts and sizes that lie.
 *
 * @module
 */
import { fieldOffsets, HEADER_SIZE, LAYOUTS, minSize, Wire } from "../p9/mod.ts";
import type { Random } from "./random.ts";
import { edgesOf } from "./values.ts";

/** Every R-message, empty but for its fields. */
export const REPLIES: readonly Uint8Array[] = LAYOUTS.filter(({ name }) => name.startsWith("R"))
  .map((layout) => {
    const bytes = new Uint8Array(minSize(layout, "9P2000.L"));
    bytes[0] = bytes.length;
    bytes[4] = layout.type;
    bytes[5] = 1;
    return bytes;
  });

/** Type bytes that no message has. */
export const STRANGE_TYPES: readonly number[] = [
  0,
  1,
  5,
  6,
  10,
  28,
  42,
  60,
  90,
  99,
  106,
  128,
  200,
  254,
  255,
];

function withSize(frame: Uint8Array): Uint8Array {
  if (frame.length >= 4) new DataView(frame.buffer).setUint32(0, frame.length, true);
  return frame;
}

function put(frame: Uint8Array, offset: number, width: number, value: bigint): void {
  for (let i = 0; i < width && offset + i < frame.length; i++) {
    frame[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
}

/**
 * Damages a frame.
 *
 * @param whole A good one; it stays as it is.
 * @param isStream Whether its size may lie: only a stream hands that on.
 */
export function damage(random: Random, whole: Uint8Array, isStream: boolean): Uint8Array {
  const frame = whole.slice();
  const spans = fieldOffsets(new Wire(frame), 0, frame.length, "9P2000.L");
  switch (random.below(isStream ? 9 : 7)) {
    case 0: {
      // The end of a length is the border that decoders forget.
      const { offset, width } = random.pick(spans.slice(2));
      const end = random.oneIn(4)
        ? offset + random.below(width)
        : offset + (random.oneIn(2) ? 0 : width);
      return withSize(frame.slice(0, Math.max(HEADER_SIZE, end)));
    }
    case 1: {
      const longer = new Uint8Array(frame.length + 1 + random.below(16));
      longer.set(frame);
      return withSize(longer);
    }
    case 2: {
      const lengths = spans.filter(({ role }) => role === "length" || role === "count");
      if (lengths.length === 0) return withReply(random);
      const { offset, width } = random.pick(lengths);
      const now = BigInt((frame[offset] ?? 0) | ((frame[offset + 1] ?? 0) << 8));
      put(
        frame,
        offset,
        width,
        random.pick([...edgesOf(width), now + 1n, now > 0n ? now - 1n : 0n]),
      );
      return frame;
    }
    case 3: {
      const numbers = spans.filter(({ role }) => role === "number" || role === "qid");
      if (numbers.length === 0) return withReply(random);
      const { offset, width } = random.pick(numbers);
      put(frame, offset, width, random.pick(edgesOf(width)));
      return frame;
    }
    case 4:
      return withReply(random);
    case 5:
      frame[4] = random.oneIn(2) ? random.pick(STRANGE_TYPES) : random.below(256);
      return frame;
    case 6: {
      for (let i = 1 + random.below(4); i > 0; i--) {
        const at = 4 + random.below(frame.length - 4);
        frame[at] = (frame[at] ?? 0) ^ (1 << random.below(8));
      }
      return frame;
    }
    case 7:
      new DataView(frame.buffer).setUint32(0, random.below(HEADER_SIZE), true);
      return random.oneIn(2) ? frame.slice(0, 4) : frame;
    default: {
      const size = random.pick([
        frame.length - 1,
        frame.length + 1,
        8193,
        2 ** 24,
        2 ** 31,
        2 ** 32 - 1,
      ]);
      new DataView(frame.buffer).setUint32(0, Math.max(HEADER_SIZE, size), true);
      return frame;
    }
  }
}

function withReply(random: Random): Uint8Array {
  return random.pick(REPLIES).slice();
}
