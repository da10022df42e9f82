/**
 * What has to hold whatever a driver did to its rings, for any device: oracle `ring`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, type Descriptor } from "../virtio/mod.ts";
import { SIZE } from "./ring_attacks.ts";
import { type Deed, doDeed } from "./ring_deeds.ts";
import type { Machine, Range } from "./ring_machine.ts";

/** What the rings of a driver allow a device to do. */
interface Leave {
  /** How often each head may be used. */
  readonly heads: ReadonlyMap<number, number>;
  /** What may be written to for each. */
  readonly writable: ReadonlyMap<number, readonly Range[]>;
}

/**
 * Spoil the rings of a machine that are at rest, have the device do what it can, stop the queue, and
 * check what came of it. The queue is set up again afterwards.
 *
 * @param quietMs Longest wait for a device that may have nothing to say.
 * @param watch Is called when nothing is asked of the device any more and the queue runs still.
 */
export async function judgeRings(
  machine: Machine,
  deeds: readonly Deed[],
  quietMs: number,
  watch: (isDone: boolean) => Promise<void>,
): Promise<void> {
  const { raw } = machine;
  const start = machine.taken;
  for (const deed of deeds) doDeed(machine, deed);
  const wanted = raw.availIndex - start & 0xffff;
  const leave = leaveOf(machine, start, wanted);
  const before = machine.snapshot();
  machine.kick();
  await machine.quiet(wanted, quietMs);
  await watch((raw.usedIndex - start & 0xffff) >= wanted);
  // What was taken is given back before the queue stops, and nothing is written from then on.
  await machine.stop();
  const count = raw.usedIndex - start & 0xffff;
  if (wanted > SIZE && count > 0) {
    assert.fail(`${count} chains were used though the avail index was ${wanted} ahead`);
  }
  assert.ok(count <= wanted, `${count} chains were used of ${wanted}`);
  const times = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const { id, length } = raw.usedEntry(start + i & SIZE - 1);
    const most = leave.heads.get(id) ?? 0;
    const now = (times.get(id) ?? 0) + 1;
    times.set(id, now);
    assert.ok(most > 0, `head ${id} was used and never offered`);
    assert.ok(now <= most, `head ${id} was used ${now} times and offered ${most} times`);
    const room = (leave.writable.get(id) ?? []).reduce((sum, [, size]) => sum + size, 0);
    assert.ok(length <= room, `head ${id}: ${length} bytes were used of ${room}`);
  }
  machine.assertUntouched(before, ...[...leave.writable.values()].flat());
  await machine.setUp();
}

/** What the avail ring allows, as it is now: nothing if its index is more than the queue ahead. */
function leaveOf(machine: Machine, start: number, wanted: number): Leave {
  const heads = new Map<number, number>();
  const writable = new Map<number, readonly Range[]>();
  for (let i = 0; i < wanted && wanted <= SIZE; i++) {
    const head = machine.raw.availEntry(start + i & SIZE - 1);
    if (head >= SIZE) continue;
    heads.set(head, (heads.get(head) ?? 0) + 1);
    if (!writable.has(head)) writable.set(head, follow(machine, head));
  }
  return { heads, writable };
}

/** What a chain allows to be written to, as far as it leads, without asking whether it is good. */
function follow({ raw }: Machine, head: number): Range[] {
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
  return writable;
}
