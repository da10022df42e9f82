/**
 * Rings that nobody wrote down: good requests, spoilt by chance that can be repeated.
 *
 * @module
 */
import { layOutQueue } from "../virtio/mod.ts";
import { NUMBER_EDGES } from "./values.ts";
import { Random } from "./random.ts";
import { SIZE } from "./ring_attacks.ts";
import { type Deed, type DeedWord, REQUEST_STEP } from "./ring_deeds.ts";
import { HIGH, HIGH_SIZE, HOLE, LOW, MIDDLE, REPLY, REQUEST, TABLE } from "./ring_machine.ts";

/** Ways to spoil a ring, by what they do. */
export const RING_MUTATIONS = {
  "address": "a descriptor leads to the edge of memory, to the rings, or nowhere",
  "length": "a descriptor has another length",
  "flags": "a descriptor has other flags",
  "next": "a descriptor leads to another",
  "bit": "a bit of the descriptor table, of the avail ring or of the used ring is another",
  "indirect": "a chain is offered by a table of its own",
  "nested": "a table holds a table",
  "duplicate": "a head is offered again",
  "head": "a head is offered that is none",
  "shuffle": "descriptors change places",
  "index": "the avail index is another",
  "event": "used_event, avail_event and flags are others",
  "noise": "bytes of the request are others",
  "used": "the used ring holds what the driver wrote there",
} as const;

/** Name of a way to spoil a ring. */
export type RingMutation = keyof typeof RING_MUTATIONS;

const MUTATIONS = Object.keys(RING_MUTATIONS) as RingMutation[];
const REQUESTS: readonly DeedWord[] = ["getattr", "read", "statfs", "stranger"];
const { descriptorTable, availRing, usedRing } = layOutQueue(SIZE, LOW);

/** Where memory begins and ends, and what lies in it. */
const ADDRESSES: readonly bigint[] = [
  ...[0, 1, LOW - 1, LOW, LOW + 8, LOW + SIZE * 16, LOW + SIZE * 16 + 64, REQUEST, REPLY, TABLE],
  ...[MIDDLE - 1, MIDDLE, HOLE - 1, HOLE, HOLE + 1, HIGH - 1, HIGH, HIGH + HIGH_SIZE - 1],
  ...[HIGH + HIGH_SIZE, 0xfee0_0000, 0xffff_ffff, Number.MAX_SAFE_INTEGER],
].map(BigInt).concat([1n << 53n, 1n << 63n, (1n << 64n) - 16n, (1n << 64n) - 1n]);

/** What a driver does in case `index` of a seed. */
export function ringCase(seed: number, index: number): Deed[] {
  const random = new Random(seed, index);
  const deeds: Deed[] = [];
  const offered: number[] = [];
  const add = (word: DeedWord, ...numbers: readonly (number | bigint)[]): void => {
    deeds.push({ word, numbers: numbers.map(BigInt) });
  };
  const chains = 1 + random.below(4);
  for (let place = 0; place < chains; place++) {
    add(random.pick(REQUESTS), place, 7 + random.below(12));
    offered.push(4 * place);
  }
  for (let times = 1 + random.below(4); times > 0; times--) {
    const index = random.below(4 * offered.length) % SIZE;
    const mutation = random.pick(MUTATIONS);
    switch (mutation) {
      case "address": {
        const address = random.pick(ADDRESSES) + BigInt(random.oneIn(2) ? 0 : random.below(64));
        add("address", index, BigInt.asUintN(64, address));
        break;
      }
      case "length":
        add("length", index, random.oneIn(3) ? random.next() : random.pick(NUMBER_EDGES[4]));
        break;
      case "flags":
        add("flags", index, random.oneIn(2) ? random.below(8) : random.next() & 0xffff);
        break;
      case "next":
        add("next", index, random.oneIn(2) ? random.below(SIZE) : random.pick(NUMBER_EDGES[2]));
        break;
      case "bit": {
        const [at, size] = random.pick([
          [descriptorTable, 16 * SIZE],
          [availRing + 4, 2 * SIZE],
          [usedRing + 4, 8 * SIZE],
        ]) as [number, number];
        add("bit", at + random.below(size), random.below(8));
        break;
      }
      case "indirect":
      case "nested": {
        const table = random.below(4);
        const length = random.oneIn(3) ? random.pick(NUMBER_EDGES[4]) : 64;
        add("indirect", index & ~3, table, length);
        if (mutation === "nested") add("nest", table, random.below(4));
        break;
      }
      case "duplicate":
      case "head": {
        const isNone = mutation === "head" && !random.oneIn(2);
        const head = mutation === "duplicate"
          ? random.pick(offered)
          : isNone
          ? random.pick(NUMBER_EDGES[2])
          : random.below(SIZE);
        add("offer", head);
        offered.push(head);
        break;
      }
      case "shuffle":
        add("swap", index, random.below(SIZE));
        break;
      case "index":
        add("advance", random.pick([1, 2, SIZE, SIZE + 1, 0x8000, 0xffff, 0xfff0]));
        break;
      case "event":
        add("events", random.next() & 0xffff, random.next() & 0xffff, random.next() & 0xffff);
        break;
      case "noise":
        add("byte", REQUEST + REQUEST_STEP * (index >> 2) + random.below(32), random.next() & 0xff);
        break;
      case "used":
        add("used", random.below(SIZE), random.next(), random.next());
    }
  }
  return deeds;
}
