/**
 * Captures that somebody has damaged: seeded, so that a failure can be seen again.
 *
 * @module
 */
import { gzipSync } from "node:zlib";
import {
  concat,
  fragments4,
  ipv6,
  LINKS,
  packetsOf,
  pcapFile,
  pcapngSection,
  sessionTalk,
} from "./capture_test_helper.ts";

/** The same numbers for the same seed, everywhere. */
export class Dice {
  #state: number;

  /** Begins with a seed. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number {
    // splitmix32: neighbouring seeds give unrelated numbers.
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ z >>> 16, 0x21f0aaad);
    z = Math.imul(z ^ z >>> 15, 0x735a2d97);
    return Math.floor(((z ^ z >>> 15) >>> 0) / 2 ** 32 * limit);
  }

  /** One of some. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("Cannot pick: there is nothing");
    return item;
  }
}

/** Captures to damage: every format, several links, fragments. */
export const ORIGINALS: readonly Uint8Array[] = (() => {
  const { segments } = sessionTalk({ mss: 100 });
  const ethernet = packetsOf(segments);
  let id = 0;
  return [
    pcapFile(ethernet),
    pcapFile(packetsOf(segments, "Linux SLL2"), {
      linkType: LINKS["Linux SLL2"]?.type ?? 0,
      isBig: true,
      isNano: true,
    }),
    pcapFile(packetsOf(segments, "QinQ", (tcp, from) => fragments4(tcp, from, 32, ++id))),
    pcapngSection(ethernet, { options: true, name: "eth0" }),
    pcapngSection(
      packetsOf(segments, "Ethernet", (tcp, from) => ipv6(tcp, from, [[0, [0, 1, 4, 0, 0, 0, 0]]])),
      {
        isBig: true,
        resolution: 0x80 + 30,
        offset: 5,
      },
    ),
    concat(
      pcapngSection(ethernet.slice(0, 20), { block: 2 }),
      pcapngSection(ethernet.slice(20), { block: 3, isBig: true }),
    ),
    gzipSync(pcapFile(ethernet)),
  ];
})();

/** Numbers that break things. */
const EVIL = [0, 1, 2, 3, 7, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff];

/** Damages one of the {@linkcode ORIGINALS} in a few places. */
export function mutation(seed: number): Uint8Array {
  const dice = new Dice(seed);
  let bytes = dice.pick(ORIGINALS).slice();
  for (let steps = 1 + dice.below(6); steps > 0; steps--) {
    const at = dice.below(bytes.length);
    const length = 1 + dice.below(dice.pick([4, 60, 600]));
    const view = new DataView(bytes.buffer);
    switch (dice.below(9)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ 1 << dice.below(8);
        break;
      case 1:
        bytes[at] = dice.below(256);
        break;
      case 2:
        if (at + 4 <= bytes.length) view.setUint32(at, dice.pick(EVIL), dice.below(2) === 0);
        break;
      case 3:
        if (at + 2 <= bytes.length) {
          view.setUint16(at, dice.pick(EVIL) & 0xffff, dice.below(2) === 0);
        }
        break;
      case 4: // Taken out.
        bytes = concat(bytes.subarray(0, at), bytes.subarray(at + length)).slice();
        break;
      case 5: // Said twice, elsewhere.
        bytes = concat(
          bytes.subarray(0, at),
          bytes.subarray(dice.below(bytes.length)).subarray(0, length),
          bytes.subarray(at),
        ).slice();
        break;
      case 6: // Noise.
        for (let i = at; i < Math.min(at + length, bytes.length); i++) bytes[i] = dice.below(256);
        break;
      case 7: // Cut off.
        if (dice.below(3) === 0) bytes = bytes.slice(0, at);
        break;
      default: // Two parts change places.
        bytes = concat(
          bytes.subarray(0, 24),
          bytes.subarray(24 + at),
          bytes.subarray(24, 24 + at),
        ).slice();
    }
    if (bytes.length < 2) return bytes;
  }
  return bytes;
}
