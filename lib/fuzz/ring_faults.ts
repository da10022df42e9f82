/**
 * Every fault of a split virtqueue, by name.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chainOf,
  desc,
  HIGH,
  HIGH_SIZE,
  HOLE,
  LOW,
  MIDDLE,
  type Range,
  REGION,
  REPLY,
  REQUEST,
  ROOM,
  TABLE,
  until,
} from "./ring_machine.ts";
import {
  assertRefused,
  type Attack,
  barrier,
  broken,
  endLocks,
  first,
  GETATTR,
  lock,
  lockStatus,
  movedParts,
  offerAll,
  type Outcome,
  REFUSED,
  refused,
  refusedMessage,
  refusedSetUp,
  refusedSize,
  refusedTable,
  reply,
  reset,
  RESTS,
  RGETATTR,
  sendMany,
  served,
  setStatus,
  SIZE,
  UNANSWERED,
  waitForLock,
} from "./ring_attacks.ts";
import { LOCK_SUCCESS, LOCK_TYPE_UNLCK } from "../p9/mod.ts";
import {
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
  featureWord,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
} from "../virtio/mod.ts";

/** The catalogue of virtio-villain for split rings, as far as a device without a machine has it. */
export const RING_FAULTS: Readonly<Record<string, Attack>> = {
  desc_self_loop: refused((request) => [first(request, 0)]),
  desc_chain_loop: refused((request) => [
    first(request),
    desc(REPLY, 64, WRITE | NEXT, 2),
    desc(REPLY + 64, 64, WRITE | NEXT, 1),
  ]),
  chain_qsize_plus_one: refused(([at]) =>
    Array.from({ length: SIZE }, (_, i) => desc(at, 1, NEXT, (i + 1) % SIZE))
  ),
  chain_too_long: refusedTable(1100 * 16, ([at]) => [
    ...Array.from({ length: 1099 }, (_, i) => desc(at, 1, NEXT, i + 1)),
    reply(),
  ]),
  next_oob: refused((request) => [first(request, SIZE)]),
  next_oob_far: refused((request) => [first(request, 0xffff)]),
  addr_zero: refused(() => [desc(0, 32, NEXT, 1), reply()]),
  addr_zero_writable: refused((request) => [first(request), desc(0, ROOM, WRITE)]),
  addr_beyond_ram: refused((request) => [first(request), desc(HIGH + HIGH_SIZE, 1, WRITE)]),
  addr_above_2_53: refused((request) => [
    first(request),
    desc(2n ** 63n + BigInt(REPLY), ROOM, WRITE),
  ]),
  len_zero: refused(([at]) => [desc(at, 0, NEXT, 1), reply()]),
  len_zero_writable: refused((request) => [first(request), desc(REPLY, 0, WRITE)]),
  len_huge: refused(([at]) => [desc(at, 0xffff_ffff, NEXT, 1), reply()]),
  len_huge_writable: refused((request) => [first(request), desc(REPLY, 0xffff_ffff, WRITE)]),
  len_overflow: refused((request) => [first(request), desc(2n ** 64n - 8n, 16, WRITE)]),
  len_beyond_region: refused((request) => [first(request), desc(HOLE - 8, 16, WRITE)]),
  desc_spanning_memory_hole: refused((request) => [
    first(request),
    desc(HOLE - 64, HIGH - HOLE + 128, WRITE),
  ]),
  desc_total_len_overflow: refused(([at, length]) => [
    desc(at, length, NEXT, 1),
    ...Array.from({ length: 9 }, (_, i) => desc(LOW, 2 * REGION, NEXT, i + 2)),
    desc(LOW, 0xffff_f000, NEXT, 11),
    reply(),
  ]),
  desc_addr_pci_bar: refused((request) => [first(request), desc(0xfee0_0000, 4, WRITE)]),
  desc_addr_self_table: refused((request) => [first(request), desc(LOW + 16, 64, WRITE)]),
  desc_addr_self_avail: refused((request) => [first(request), desc(LOW + SIZE * 16, 64, WRITE)]),
  desc_addr_self_used: refused((request) => [
    first(request),
    desc(LOW + SIZE * 16 + 6 + 2 * SIZE + 8, 16, WRITE),
  ]),
  desc_addr_around_rings: refused((request) => [first(request), desc(LOW, 0x8000, WRITE)]),
  desc_reads_self_vring: refused(() => [desc(LOW, 512, NEXT, 1), reply()]),
  write_flag_wrong_in: refused(([at, length]) => [desc(at, length, WRITE | NEXT, 1), reply()]),
  write_flag_wrong_out: refused((request) => [first(request), desc(REPLY, ROOM)]),
  interleave_rw_descs: refused(([at, length]) => [
    desc(at, 7, NEXT, 1),
    desc(REPLY, 64, WRITE | NEXT, 2),
    desc(at + 7, length - 7, NEXT, 3),
    desc(REPLY + 64, ROOM, WRITE),
  ]),
  desc_flags_unknown: served((
    request,
  ) => [first(request, 1, NEXT | 0xfff0), reply(WRITE | 0x8000)]),
  // What the inner table has is good, so that only its being one is wrong.
  indirect_nested: refusedTable(16, (request) => [
    desc(TABLE + 64, 32, INDIRECT),
    ...[desc(0, 0), desc(0, 0), desc(0, 0)],
    first(request),
    reply(),
  ]),
  indirect_self: refusedTable(16, () => [desc(TABLE, 16, INDIRECT)]),
  indirect_and_next: refusedTable(32, (request) => [first(request), reply()], INDIRECT | NEXT),
  indirect_len_zero: refusedTable(0, (request) => [first(request), reply()]),
  indirect_len_not_multiple: refusedTable(31, (request) => [first(request), reply()]),
  indirect_len_huge: refusedTable(0xffff_fff0, (request) => [first(request), reply()]),
  indirect_len_beyond_next: refusedTable(65537 * 16, (request) => [first(request), reply()]),
  indirect_addr_oob: refused(() => [desc(HOLE + 0x1000, 32, INDIRECT)]),
  indirect_addr_above_2_53: refused(() => [desc(2n ** 62n, 32, INDIRECT)]),
  indirect_cross_page_unmapped: refused(
    () => [desc(HOLE - 16, 32, INDIRECT)],
    (request) => [first(request)],
    HOLE - 16,
  ),
  indirect_chain_loop: refusedTable(48, (request) => [
    first(request),
    desc(REPLY, 16, WRITE | NEXT, 2),
    desc(REPLY, 16, WRITE | NEXT, 1),
  ]),
  indirect_next_oob: refusedTable(32, (request) => [first(request, 2), reply()]),
  indirect_write_flag: served(
    () => [desc(TABLE, 32, INDIRECT | WRITE)],
    (request) => [first(request), reply()],
  ),
  indirect_across_regions: served(
    () => [desc(MIDDLE - 24 - 8, 48, INDIRECT)],
    (request) => [first(request, 2), desc(0, 0), reply()],
    MIDDLE - 24 - 8,
  ),
  avail_idx_jump_forward: broken(({ raw }) => {
    raw.availIndex += SIZE + 1;
  }),
  avail_idx_jump_half: broken(({ raw }) => {
    raw.availIndex = raw.availIndex + 0x8000 & 0xffff;
  }),
  avail_idx_jump_backwards: broken(({ raw }) => {
    raw.availIndex = raw.availIndex - 5 & 0xffff;
  }),
  avail_idx_decrement: broken(({ raw }) => {
    raw.availIndex = raw.availIndex - 1 & 0xffff;
  }),
  avail_ring_entry_oob: broken(({ raw }) => raw.offer(SIZE)),
  avail_ring_entry_oob_far: broken(({ raw }) => raw.offer(0xffff)),
  avail_ring_entry_oob_behind_good: async (machine) => {
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    machine.raw.offer(0);
    machine.raw.offer(SIZE + 1);
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
    await machine.broken();
    const base = await machine.stop();
    assert.equal(base, machine.taken, "the bad entry was not taken");
    // Set up from there, the queue meets the same entry, and rests again.
    await machine.resume(base);
    await machine.broken();
    await machine.stop();
    await machine.setUp();
  },
  avail_idx_near_wrap: async (machine) => {
    for (const base of [0xfffa, 0xffff, 0x7ffe]) {
      await machine.stop();
      await machine.setUp(base);
      await sendMany(machine, 8);
    }
  },
  event_idx_wrap_and_exact_transition: async (machine) => {
    await machine.stop();
    await machine.setUp(0xfffe);
    await sendMany(machine, 1);
    await barrier(machine);
    machine.takeCalls();
    // The call comes with the entry at used_event, not before and not after.
    machine.raw.usedEvent = 0;
    await sendMany(machine, 1);
    await barrier(machine);
    assert.ok(!machine.takeCalls(), "before");
    await sendMany(machine, 1);
    await barrier(machine);
    assert.ok(machine.takeCalls(), "at the entry");
    await sendMany(machine, 1);
    await barrier(machine);
    assert.ok(!machine.takeCalls(), "after");
  },
  avail_flags_invalid: async (machine) => {
    machine.raw.availFlags = 0xffff;
    await sendMany(machine, 2);
    machine.raw.availFlags = 0;
  },
  used_event_poison: async (machine) => {
    for (const event of [0xffff, 0x8000, machine.taken - 1 & 0xffff, machine.taken + 9 & 0xffff]) {
      machine.raw.usedEvent = event;
      await sendMany(machine, 2);
    }
    machine.raw.usedEvent = machine.taken;
  },
  avail_event_poison: async (machine) => {
    machine.raw.availEvent = 0xffff;
    await sendMany(machine, 2);
  },
  used_ring_guest_write: async (machine) => {
    const { raw } = machine;
    for (let i = 0; i < SIZE; i++) raw.setUsedEntry(i, { id: 0xffff_ffff, length: 0xffff_ffff });
    raw.usedFlags = 0xffff;
    raw.usedIndex = machine.taken + 0x5000 & 0xffff;
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    raw.offer(0);
    machine.kick();
    await until(
      "the device's own used index",
      () => raw.usedIndex === (machine.taken + 1 & 0xffff),
    );
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
  },
  used_ring_len_mismatch: async (machine) => {
    const request = machine.putRequest(GETATTR);
    for (const room of [RGETATTR, RGETATTR + 1, 2 * ROOM]) {
      assert.equal((await machine.send([request], [[REPLY, room]])).length, RGETATTR);
    }
  },
  duplicate_head: async (machine) => {
    await waitForLock(machine);
    machine.raw.offer(4);
    machine.raw.offer(4);
    machine.kick();
    assert.deepEqual(await machine.used(2), [{ id: 4, length: 0 }, { id: 4, length: 0 }]);
    // The chain in flight is in flight still.
    await machine.expect(lock(1, 1, LOCK_TYPE_UNLCK), "Rlock");
    assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
    assert.equal(lockStatus(machine), LOCK_SUCCESS);
    await endLocks(machine);
  },
  modify_inflight_desc: async (machine) => {
    await waitForLock(machine);
    machine.describe([desc(LOW, 0xffff_ffff, NEXT, 5), desc(LOW, 4096, WRITE)], 4);
    const before = machine.snapshot();
    machine.put(REQUEST + 0x1000, new Uint8Array(64).fill(0xff));
    await machine.expect(lock(1, 1, LOCK_TYPE_UNLCK), "Rlock");
    assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
    assert.equal(lockStatus(machine), LOCK_SUCCESS);
    machine.assertUntouched(
      before,
      [REPLY + 0x2000, 8],
      [REQUEST, 0x1100],
      [REPLY, ROOM],
      [LOW, 0x400],
    );
    await endLocks(machine);
  },
  avail_all_same_desc: async (machine) => {
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    for (let i = 0; i < SIZE; i++) machine.raw.offer(0);
    machine.kick();
    for (const entry of await machine.used(SIZE)) {
      assert.deepEqual(entry, { id: 0, length: RGETATTR });
    }
  },
  fill_ring_completely: async (machine) => {
    for (let batch = 0; batch < 3; batch++) {
      offerAll(machine, (i) => i * 5 % SIZE);
      const before = machine.snapshot();
      machine.kick();
      const used = await machine.used(SIZE);
      assert.deepEqual(
        used.map(({ id }) => id),
        Array.from({ length: SIZE }, (_, i) => i * 5 % SIZE),
      );
      assert.ok(used.every(({ length }) => length === RGETATTR));
      const replies = used.map(({ id }): Range => [REPLY + id * 0x400, RGETATTR]);
      machine.assertUntouched(before, ...replies);
    }
  },
  two_batches: async (machine) => {
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    machine.describe(chainOf([[REQUEST, RGETATTR]], [[REPLY, ROOM]], 2), 2);
    for (const head of [0, 2, 0]) machine.raw.offer(head);
    machine.kick();
    for (const head of [2, 0, 2]) machine.raw.offer(head);
    machine.kick();
    assert.deepEqual((await machine.used(6)).map(({ id }) => id), [0, 2, 0, 2, 0, 2]);
  },
  all_faulty_at_once: async (machine) => {
    machine.describe(Array.from({ length: SIZE }, (_, i) => desc(HOLE, i, NEXT, i)));
    for (let i = 0; i < SIZE; i++) machine.raw.offer(i);
    machine.kick();
    const used = await machine.used(SIZE);
    assert.deepEqual(used, Array.from({ length: SIZE }, (_, id) => ({ id, length: 0 })));
  },
  spurious_kick: async (machine) => {
    for (let i = 0; i < 100; i++) machine.kick();
    await barrier(machine);
    assert.equal(machine.raw.usedIndex, machine.taken);
  },
  notification_data: async (machine) => {
    machine.kick(2 ** 52);
    await sendMany(machine, 1);
  },
  kick_after_device_reset: reset(({ frontend }) => frontend.tell("RESET_DEVICE", {})),
  kick_after_owner_reset: reset(({ frontend }) => frontend.tell("RESET_OWNER", {})),
  kick_after_status_reset: reset(({ frontend }) => frontend.tell("SET_STATUS", { status: 0n })),
  kick_after_disable: reset(({ frontend }) =>
    frontend.tell("SET_VRING_ENABLE", { index: 0, num: 0 })
  ),
  kick_during_init: async (machine) => {
    await machine.frontend.tell("RESET_DEVICE", {});
    machine.clearRings(0);
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    machine.raw.offer(0);
    const { frontend } = machine;
    await frontend.tell("SET_VRING_NUM", { index: 0, num: SIZE });
    await frontend.tell("SET_VRING_BASE", { index: 0, num: 0 });
    await frontend.tell("SET_VRING_ADDR", machine.addresses());
    await frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [machine.kickFd]);
    machine.kick();
    await barrier(machine);
    assert.equal(machine.raw.usedIndex, 0, "the queue is not enabled");
    await machine.resume(0);
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
  },
  kick_before_driver_ok: async (machine) => {
    // The monitor has started the queue, so it is served: the status is for the driver's eyes.
    await machine.frontend.tell("SET_STATUS", { status: 3n });
    await sendMany(machine, 1);
  },
  double_driver_ok: setStatus(15, 15),
  clear_status_bits: setStatus(15, 3),
  skip_features_ok: setStatus(7),
  set_failed_then_kick: setStatus(0x8f),
  status_beyond_8_bits: refusedMessage(async ({ frontend }) => {
    await assertRefused(frontend.tell("SET_STATUS", { status: 0x100n }));
  }),
  reinit_without_reset: refusedMessage(async (machine) => {
    await assertRefused(machine.frontend.tell("SET_VRING_BASE", { index: 0, num: 3 }));
    await assertRefused(machine.frontend.tell("SET_VRING_NUM", { index: 0, num: 2 * SIZE }));
    const elsewhere = { ...machine.addresses(), descriptor: machine.addresses().descriptor + 64n };
    await assertRefused(machine.frontend.tell("SET_VRING_ADDR", elsewhere));
  }),
  accept_unoffered_feature: refusedMessage(async ({ frontend }) => {
    const features = frontend.features | featureWord(VIRTIO_F_RING_PACKED);
    await assertRefused(frontend.tell("SET_FEATURES", { features }));
  }),
  change_features_after_ok: refusedMessage(async ({ frontend }) => {
    const features = frontend.features & ~featureWord(VIRTIO_F_EVENT_IDX);
    await assertRefused(frontend.tell("SET_FEATURES", { features }));
  }),
  queue_size_zero: refusedSize(0),
  queue_size_not_pow2: refusedSize(3),
  queue_size_too_large: refusedSize(2048),
  queue_size_beyond_16_bits: refusedSize(0x8000_0000),
  queue_size_max: async (machine) => {
    await machine.stop();
    // The parts of so large a queue do not lie apart where these are.
    await machine.frontend.tell("SET_VRING_NUM", { index: 0, num: 1024 });
    await assertRefused(machine.frontend.tell("SET_VRING_ADDR", machine.addresses()));
    await machine.setUp();
  },
  base_beyond_16_bits: refusedSetUp(({ frontend }) =>
    frontend.tell("SET_VRING_BASE", { index: 0, num: 0x1_0000 })
  ),
  desc_unaligned: movedParts({ descriptor: 8 }),
  avail_unaligned: movedParts({ available: 1 }),
  used_unaligned: movedParts({ used: 2 }),
  addrs_overlap: movedParts({ used: -16 }),
  addrs_all_same: refusedSetUp((machine) => {
    const { descriptor, ...rest } = machine.addresses();
    return machine.frontend.tell("SET_VRING_ADDR", {
      ...rest,
      descriptor,
      available: descriptor,
      used: descriptor,
    });
  }),
  addr_outside_ram: movedParts({ used: 2 * REGION + 0x1000 }),
  addr_wraps: movedParts({ descriptor: Number.MIN_SAFE_INTEGER }),
  addr_past_end: movedParts({ descriptor: 2 * REGION - 16 }),
  rings_across_regions: movedParts({ descriptor: REGION - 16 }),
  log_without_feature: refusedSetUp((machine) =>
    machine.frontend.tell("SET_VRING_ADDR", { ...machine.addresses(), flags: 1 })
  ),
  enable_without_addrs: async (machine) => {
    await machine.frontend.tell("RESET_DEVICE", {});
    machine.clearRings(0);
    await machine.frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [machine.kickFd]);
    await machine.frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 });
    machine.kick();
    await barrier(machine);
    await machine.setUp();
  },
  other_queue: refusedMessage(async (machine) => {
    for (const index of [1, 255, 0xffff_ffff]) {
      const { frontend } = machine;
      await assertRefused(frontend.tell("SET_VRING_ENABLE", { index, num: 1 }));
      await assertRefused(frontend.tell("SET_VRING_NUM", { index, num: SIZE }));
      await assertRefused(frontend.tell("SET_VRING_ADDR", { ...machine.addresses(), index }));
    }
  }),
  reply_not_writable: refused((request) => [first(request), desc(REPLY, ROOM)]),
  only_header: refused(([at]) => [desc(at, 7)]),
  used_ring_len_overflow: async (machine) => {
    const request = machine.putRequest(GETATTR);
    for (const room of [11, RGETATTR - 1, RGETATTR]) {
      const reply = await machine.send([request], [[REPLY, room]]);
      assert.ok(reply.length <= room);
    }
  },
  config_space_write: refusedMessage(async ({ frontend }) => {
    const payload = new Uint8Array(4);
    await assertRefused(frontend.tell("SET_CONFIG", { offset: 0, flags: 0, payload }));
  }),
};

/** How the device meets those of {@linkcode RING_FAULTS} that are written out. */
export const RING_OUTCOMES: Readonly<Record<string, Outcome>> = {
  avail_ring_entry_oob_behind_good: RESTS,
  duplicate_head: UNANSWERED,
  all_faulty_at_once: UNANSWERED,
  queue_size_max: REFUSED,
  enable_without_addrs: RESTS,
};
