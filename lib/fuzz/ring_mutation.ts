/**
 * Rings that nobody wrote down: a good request, spoilt by chance that can be repeated, and what has to
 * hold whatever comes of it: oracle `ring`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { encode, type TMessage } from "../p9/mod.ts";
import {
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  type Descriptor,
  type UsedEntry,
} from "../virtio/mod.ts";
import { NUMBER_EDGES } from "./codec_values.ts";
import { Dice, mixSeed } from "./dice.ts";
import { GETATTR, SIZE } from "./ring_attacks.ts";
import {
  HIGH,
  HIGH_SIZE,
  HOLE,
  LOW,
  type Machine,
  MIDDLE,
  type Range,
  REPLY,
  REQUEST,
  TABLE,
} from "./ring_machine.ts";

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

/** Where memory begins and ends, and what lies in it. */
const ADDRESSES: readonly bigint[] = [
  ...[0, 1, LOW - 1, LOW, LOW + 8, LOW + SIZE * 16, LOW + SIZE * 16 + 64, REQUEST, REPLY, TABLE],
  ...[MIDDLE - 1, MIDDLE, HOLE - 1, HOLE, HOLE + 1, HIGH - 1, HIGH, HIGH + HIGH_SIZE - 1],
  ...[HIGH + HIGH_SIZE, 0xfee0_0000, 0xffff_ffff, Number.MAX_SAFE_INTEGER],
].map(BigInt).concat([1n << 53n, 1n << 63n, (1n << 64n) - 16n, (1n << 64n) - 1n]);

const REQUESTS: readonly TMessage[] = [
  GETATTR,
  { kind: "Tread", tag: 8, fid: 1, offset: 100n, count: 700 },
  { kind: "Tstatfs", tag: 9, fid: 0 },
  { kind: "Tgetattr", tag: 10, fid: 99, request_mask: 0x7ffn },
];
const FRAMES: readonly Uint8Array[] = REQUESTS.map((message) => encode(message, "9P2000.L"));

/** Longest wait for a device that may have nothing to say, in milliseconds. */
const QUIET_MS = 100;

/** Where a chain leads, as far as it can be followed. */
interface Followed {
  /** What a device may write to. */
  readonly writable: readonly Range[];
}

/** One ring, spoilt. */
export class RingCase {
  /** What was done, for people. */
  readonly deeds: string[] = [];
  readonly #machine: Machine;
  readonly #dice: Dice;
  /** Heads that were offered, as often as they were. */
  readonly #offered: number[] = [];
  /** Whether the avail index says no more than was offered. */
  #isIndexTrue = true;

  /** Make case `index` of a seed, in the rings of a machine that are at rest. */
  constructor(machine: Machine, seed: number, index: number) {
    this.#machine = machine;
    this.#dice = new Dice(mixSeed(seed, index));
    const dice = this.#dice;
    const chains = 1 + dice.below(4);
    for (let i = 0; i < chains; i++) this.#chain(i);
    const times = 1 + dice.below(4);
    for (let i = 0; i < times; i++) this.#mutate(dice.pick(MUTATIONS));
  }

  /** Puts a good request at descriptors 4 i to 4 i + 3, in two pieces each way. */
  #chain(i: number): void {
    const machine = this.#machine;
    const frame = this.#dice.pick(FRAMES);
    const at = REQUEST + i * 0x400;
    machine.put(at, frame);
    const cut = 7 + this.#dice.below(frame.length - 7);
    const first = 4 * i;
    const to = REPLY + i * 0x1000;
    machine.describe([
      { address: BigInt(at), length: cut, flags: DESC_F_NEXT, next: first + 1 },
      {
        address: BigInt(at + cut),
        length: frame.length - cut,
        flags: DESC_F_NEXT,
        next: first + 2,
      },
      { address: BigInt(to), length: 11, flags: DESC_F_NEXT | DESC_F_WRITE, next: first + 3 },
      { address: BigInt(to + 11), length: 0x800, flags: DESC_F_WRITE, next: 0 },
    ], first);
    this.#offer(first);
  }

  #offer(head: number): void {
    this.#machine.raw.offer(head);
    this.#offered.push(head);
  }

  #change(index: number, values: Partial<Descriptor>): void {
    const { raw } = this.#machine;
    raw.setDescriptor(index, { ...raw.descriptor(index), ...values });
  }

  #mutate(mutation: RingMutation): void {
    const { raw, areas } = this.#machine;
    const dice = this.#dice;
    const index = dice.below(4 * this.#offered.length) % SIZE;
    this.deeds.push(`${mutation} ${index}`);
    switch (mutation) {
      case "address": {
        const address = dice.pick(ADDRESSES) + BigInt(dice.once(2) ? 0 : dice.below(64));
        this.#change(index, { address: BigInt.asUintN(64, address) });
        break;
      }
      case "length":
        this.#change(index, { length: dice.once(3) ? dice.next() : dice.pick(NUMBER_EDGES[4]) });
        break;
      case "flags":
        this.#change(index, { flags: dice.once(2) ? dice.below(8) : dice.next() & 0xffff });
        break;
      case "next":
        this.#change(index, { next: dice.once(2) ? dice.below(SIZE) : dice.pick(NUMBER_EDGES[2]) });
        break;
      case "bit": {
        const parts = [areas.descriptorTable, areas.availRing + 4, areas.usedRing + 4];
        const sizes = [16 * SIZE, 2 * SIZE, 8 * SIZE];
        const part = dice.below(3);
        // A head may be another then.
        if (part === 1) this.#isIndexTrue = false;
        const at = (parts[part] ?? 0) + dice.below(sizes[part] ?? 1);
        const [byte = 0] = this.#machine.get(at, 1);
        this.#machine.put(at, Uint8Array.of(byte ^ 1 << dice.below(8)));
        break;
      }
      case "indirect":
      case "nested": {
        const table = TABLE + 0x100 * dice.below(4);
        for (let i = 0; i < 4; i++) {
          const from = raw.descriptor((index & ~3) + i);
          const flags = mutation === "nested" && i === 1 ? DESC_F_INDIRECT : from.flags;
          raw.setDescriptor(i, { ...from, flags, next: i + 1 }, table);
        }
        const length = dice.once(3) ? dice.pick(NUMBER_EDGES[4]) : 64;
        this.#change(index & ~3, { address: BigInt(table), length, flags: DESC_F_INDIRECT });
        break;
      }
      case "duplicate":
        this.#offer(this.#dice.pick(this.#offered));
        break;
      case "head":
        this.#offer(dice.once(2) ? dice.below(SIZE) : dice.pick(NUMBER_EDGES[2]));
        break;
      case "shuffle": {
        const other = dice.below(SIZE);
        const one = raw.descriptor(index);
        raw.setDescriptor(index, raw.descriptor(other));
        raw.setDescriptor(other, one);
        break;
      }
      case "index":
        raw.availIndex =
          raw.availIndex + dice.pick([1, 2, SIZE, SIZE + 1, 0x8000, 0xffff, 0xfff0]) &
          0xffff;
        this.#isIndexTrue = false;
        break;
      case "event":
        raw.usedEvent = dice.next() & 0xffff;
        raw.availEvent = dice.next() & 0xffff;
        raw.availFlags = dice.next() & 0xffff;
        break;
      case "noise": {
        const at = REQUEST + 0x400 * (index >> 2) + dice.below(32);
        this.#machine.put(at, Uint8Array.of(dice.next() & 0xff));
        break;
      }
      case "used":
        raw.setUsedEntry(dice.below(SIZE), { id: dice.next(), length: dice.next() });
    }
  }

  /**
   * Have the device do what it can, and check what came of it.
   *
   * @returns How many chains it used, and whether it says that the queue is broken.
   */
  async run(): Promise<{ readonly used: number; readonly isBroken: boolean }> {
    const machine = this.#machine;
    const { raw } = machine;
    const allowed = new Map<number, readonly Range[]>();
    for (const head of this.#offered) {
      if (head < SIZE) allowed.set(head, this.#follow(head).writable);
    }
    // With an index that is not true, everything in the avail ring may have been offered.
    const anything = this.#isIndexTrue ? [] : Array.from(
      { length: SIZE },
      (_, i) => this.#follow(i).writable,
    ).flat();
    const before = machine.snapshot();
    const start = machine.taken;
    const wanted = raw.availIndex - start & 0xffff;
    machine.kick();
    const isBroken = await machine.quiet(wanted, QUIET_MS);
    const count = raw.usedIndex - start & 0xffff;
    assert.ok(count <= Math.max(wanted, this.#offered.length), `${count} chains used of ${wanted}`);
    const entries: UsedEntry[] = [];
    for (let i = 0; i < Math.min(count, SIZE); i++) {
      entries.push(raw.usedEntry(start + count - 1 - i & SIZE - 1));
    }
    machine.taken = start + count & 0xffff;
    for (const { id, length } of entries) {
      const writable = allowed.get(id);
      if (writable === undefined && this.#isIndexTrue) assert.fail(`head ${id} was never offered`);
      const room = (writable ?? anything).reduce((sum, [, size]) => sum + size, 0);
      assert.ok(length <= room, `head ${id}: ${length} bytes were used of ${room}`);
    }
    machine.assertUntouched(before, ...[...allowed.values()].flat(), ...anything);
    return { used: count, isBroken };
  }

  /** Walks a chain as far as that can be done, without asking whether it is good. */
  #follow(head: number): Followed {
    const { raw } = this.#machine;
    const writable: Range[] = [];
    const visit = (table: number | undefined, size: number, from: number, depth: number): void => {
      let index = from;
      for (let step = 0; step < 64 && index < size; step++) {
        let each: Descriptor;
        try {
          each = raw.descriptor(index, table);
        } catch {
          return; // There is no memory.
        }
        const address = Number(each.address);
        if ((each.flags & DESC_F_INDIRECT) !== 0) {
          if (depth < 2) visit(address, Math.min(64, Math.floor(each.length / 16)), 0, depth + 1);
        } else if ((each.flags & DESC_F_WRITE) !== 0) writable.push([address, each.length]);
        if ((each.flags & DESC_F_NEXT) === 0) return;
        index = each.next;
      }
    };
    visit(undefined, SIZE, head, 0);
    return { writable };
  }
}
