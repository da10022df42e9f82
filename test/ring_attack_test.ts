/**
 * What a hostile guest and a hostile monitor can do to a device that `serve` runs: nothing but to
 * themselves.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  AF_UNIX,
  AT_FDCWD,
  check,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EPOLL_CLOEXEC,
  epollCreate,
  eventfd,
  eventfdWrite,
  Fd,
  ftruncate,
  memfdCreate,
  MFD_CLOEXEC,
  O_CLOEXEC,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  openat,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
  socketpair,
} from "../lib/linux/mod.ts";
import {
  encode,
  formatMessage,
  LOCK_BLOCKED,
  LOCK_FLAGS_BLOCK,
  LOCK_SUCCESS,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  type RMessage,
  type TMessage,
} from "../lib/p9/mod.ts";
import {
  encodeMessage,
  encodeRaw,
  GuestRam,
  MESSAGE_FLAGS,
  REQUEST_NAMES,
  requestRow,
  VhostUserError,
  type VhostUserFrontend,
} from "../lib/vhost/mod.ts";
import {
  decodeConfig,
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
  type Descriptor,
  featureWord,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from "../lib/virtio/mod.ts";
import { holdings } from "./processes.ts";
import {
  chainOf,
  DATA,
  desc,
  guestMappings,
  HIGH,
  HIGH_SIZE,
  HOLE,
  LOW,
  Machine,
  meanwhile,
  MIDDLE,
  Monitor,
  MSIZE,
  type Range,
  REGION,
  REPLY,
  REQUEST,
  ROOM,
  TABLE,
  until,
  Victim,
} from "./ring_attack.ts";

/** Descriptors of the queue that is attacked. */
const SIZE = 16;
const GETATTR: TMessage = { kind: "Tgetattr", tag: 7, fid: 0, request_mask: 0x7ffn };
/** Bytes of an Rgetattr. */
const RGETATTR = 160;

function lock(tag: number, process: number, type: number = LOCK_TYPE_WRLCK): TMessage {
  const range = { type, flags: LOCK_FLAGS_BLOCK, start: 0n, length: 0n };
  return { kind: "Tlock", tag, fid: 5, ...range, proc_id: process, client_id: "guest" };
}

/** Everything that has gone through the device before this is done: messages take turns with kicks. */
async function barrier(machine: Machine): Promise<void> {
  for (let i = 0; i < 2; i++) await machine.frontend.ask("GET_FEATURES", {});
}

async function assertRefused(attempt: Promise<void>): Promise<void> {
  await assert.rejects(attempt, { name: "VhostUserError", fault: "request-refused" });
}

/** An attack that the device has to survive, the same machine and conversation after the other. */
type Attack = (machine: Machine) => Promise<void>;

/** A chain that is used with length 0, and nothing is written anywhere. */
function refused(
  chain: (request: Range) => readonly Descriptor[],
  table?: (request: Range) => readonly Descriptor[],
  tableAt: number = TABLE,
): Attack {
  return async (machine) => {
    const request = machine.putRequest(GETATTR);
    machine.describe(chain(request));
    if (table !== undefined) machine.describe(table(request), 0, tableAt);
    machine.raw.offer(0);
    const before = machine.snapshot();
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: 0 }]);
    await barrier(machine);
    machine.assertUntouched(before);
  };
}

/** As `refused`, with an indirect table whose descriptor is as given. */
function refusedTable(
  length: number,
  table: (request: Range) => readonly Descriptor[],
  flags: number = INDIRECT,
  at: number = TABLE,
): Attack {
  return refused(() => [desc(at, length, flags)], table, at);
}

/** A chain that the device answers as if nothing were wrong. */
function served(
  chain: (request: Range) => readonly Descriptor[],
  table?: (request: Range) => readonly Descriptor[],
  tableAt: number = TABLE,
): Attack {
  return async (machine) => {
    const request = machine.putRequest(GETATTR);
    machine.describe(chain(request));
    if (table !== undefined) machine.describe(table(request), 0, tableAt);
    machine.raw.offer(0);
    const before = machine.snapshot();
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
    machine.assertUntouched(before, [REPLY, RGETATTR]);
    assert.equal(machine.decode(machine.get(REPLY, RGETATTR)).kind, "Rgetattr");
  };
}

/** Something after which the queue rests until it is set up again. */
function broken(spoil: (machine: Machine) => void): Attack {
  return async (machine) => {
    const request = machine.putRequest(GETATTR);
    machine.describe(chainOf([request], [[REPLY, ROOM]]));
    spoil(machine);
    const before = machine.snapshot();
    machine.kick();
    await machine.broken();
    machine.kick();
    await barrier(machine);
    machine.assertUntouched(before);
    assert.equal(machine.raw.usedIndex, machine.taken, "nothing was used");
    await machine.stop();
    await machine.setUp();
  };
}

/** A set-up that the monitor tries and the device refuses; then a good one. */
function refusedSetUp(attempt: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    await machine.stop();
    machine.clearRings(0);
    const before = machine.snapshot();
    await assertRefused(attempt(machine));
    machine.kick();
    await barrier(machine);
    machine.assertUntouched(before);
    await machine.setUp();
  };
}

/** A set-up whose addresses are moved by so many bytes. */
function movedParts(parts: { descriptor?: number; available?: number; used?: number }): Attack {
  return refusedSetUp(async (machine) => {
    const { descriptor = 0, available = 0, used = 0 } = parts;
    const good = machine.addresses();
    await machine.frontend.tell("SET_VRING_ADDR", {
      ...good,
      descriptor: good.descriptor + BigInt(descriptor),
      available: good.available + BigInt(available),
      used: good.used + BigInt(used),
    });
    // What was not refused there is when the queue would start.
    await machine.frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [machine.kickFd]);
  });
}

function refusedSize(num: number): Attack {
  return refusedSetUp((machine) => machine.frontend.tell("SET_VRING_NUM", { index: 0, num }));
}

/** A message while the queue runs, which goes on as it was. */
function message(send: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    await send(machine);
    await machine.assertAlive();
  };
}

function setStatus(...values: readonly number[]): Attack {
  return message(async ({ frontend }) => {
    for (const status of values) await frontend.tell("SET_STATUS", { status: BigInt(status) });
  });
}

/** A reset, after which kicks mean nothing until the queue is set up. */
function reset(send: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    machine.describe(chainOf([machine.putRequest(GETATTR)], [[REPLY, ROOM]]));
    await send(machine);
    machine.raw.offer(0);
    const before = machine.snapshot();
    machine.kick();
    await barrier(machine);
    machine.assertUntouched(before);
    assert.equal(machine.raw.usedIndex, machine.taken);
    await machine.setUp();
  };
}

/** Sends good requests; the answers come, in order. */
async function sendMany(machine: Machine, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await machine.expect(GETATTR, "Rgetattr");
}

/** Makes all descriptors of the queue chains of their own, by indirect tables, and offers them. */
function offerAll(machine: Machine, head = (i: number) => i): void {
  const request = machine.putRequest(GETATTR);
  for (let i = 0; i < SIZE; i++) {
    machine.describe(chainOf([request], [[REPLY + i * 0x400, 0x400]]), 0, TABLE + 32 * i);
    machine.describe([desc(TABLE + 32 * i, 32, INDIRECT)], i);
  }
  for (let i = 0; i < SIZE; i++) machine.raw.offer(head(i));
}

/** Opens the file `lock` as fid 5, locks it, and has another process wait for it at `head`. */
async function waitForLock(machine: Machine, head = 4): Promise<void> {
  await machine.expect({ kind: "Twalk", tag: 1, fid: 0, newfid: 5, wname: ["lock"] }, "Rwalk");
  await machine.expect({ kind: "Tlopen", tag: 1, fid: 5, flags: 2 }, "Rlopen");
  await machine.expect(lock(1, 1), "Rlock");
  const request = machine.putRequest(lock(9, 2), REQUEST + 0x1000);
  machine.describe(chainOf([request], [[REPLY + 0x2000, 11]], head), head);
  machine.raw.offer(head);
  machine.kick();
  await barrier(machine);
  assert.equal(machine.raw.usedIndex, machine.taken, "the lock waits");
}

async function endLocks(machine: Machine): Promise<void> {
  await machine.expect(lock(1, 2, LOCK_TYPE_UNLCK), "Rlock");
  await machine.expect({ kind: "Tclunk", tag: 1, fid: 5 }, "Rclunk");
}

/** Status of the Rlock for the lock that waited. */
function lockStatus(machine: Machine): number {
  const reply = machine.decode(machine.get(REPLY + 0x2000, 8));
  assert.ok(reply.kind === "Rlock" && reply.tag === 9, formatMessage(reply));
  return reply.status;
}

const reply = (flags = WRITE): Descriptor => desc(REPLY, ROOM, flags);
const first = ([address, length]: Range, next = 1, flags = NEXT): Descriptor =>
  desc(address, length, flags, next);

/** The catalogue of virtio-villain for split rings, as far as a device without a machine has it. */
const RING_FAULTS: Readonly<Record<string, Attack>> = {
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
  indirect_nested: refusedTable(16, () => [desc(TABLE + 64, 32, INDIRECT)]),
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
  status_beyond_8_bits: message(async ({ frontend }) => {
    await assertRefused(frontend.tell("SET_STATUS", { status: 0x100n }));
  }),
  reinit_without_reset: message(async (machine) => {
    await assertRefused(machine.frontend.tell("SET_VRING_BASE", { index: 0, num: 3 }));
    await assertRefused(machine.frontend.tell("SET_VRING_NUM", { index: 0, num: 2 * SIZE }));
    const elsewhere = { ...machine.addresses(), descriptor: machine.addresses().descriptor + 64n };
    await assertRefused(machine.frontend.tell("SET_VRING_ADDR", elsewhere));
  }),
  accept_unoffered_feature: message(async ({ frontend }) => {
    const features = frontend.features | featureWord(VIRTIO_F_RING_PACKED);
    await assertRefused(frontend.tell("SET_FEATURES", { features }));
  }),
  change_features_after_ok: message(async ({ frontend }) => {
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
  other_queue: message(async (machine) => {
    for (const index of [1, 255, 0xffff_ffff]) {
      const { frontend } = machine;
      await assertRefused(frontend.tell("SET_VRING_ENABLE", { index, num: 1 }));
      await assertRefused(frontend.tell("SET_VRING_NUM", { index, num: SIZE }));
      await assertRefused(frontend.tell("SET_VRING_ADDR", { ...machine.addresses(), index }));
    }
  }),
  config_space_write: message(async ({ frontend }) => {
    const payload = new Uint8Array(4);
    await assertRefused(frontend.tell("SET_CONFIG", { offset: 0, flags: 0, payload }));
  }),
};

Deno.test("a device survives every fault of a split ring", async (t) => {
  await using victim = await Victim.start("device");
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
  const pid = victim.pid("device");
  for (const [name, attack] of Object.entries(RING_FAULTS)) {
    await t.step(name, async () => {
      await attack(machine);
      await machine.assertAlive();
    });
  }
  await t.step("indirect_without_feature", async () => {
    await machine[Symbol.asyncDispose]();
    const features = featureWord(VIRTIO_F_VERSION_1);
    await using plain = await Machine.boot(victim.path("device"), { size: SIZE, features });
    await refusedTable(32, (request) => [first(request), reply()])(plain);
    await plain.assertAlive();
  });
  assert.equal(victim.pid("device"), pid, "the process is the one from the beginning");
  assert.deepEqual(victim.told("ended by"), []);
  victim.assertContained();
});

/** Offers descriptor 0 as an indirect table of all these buffers; returns the answer. */
async function sendScattered(
  machine: Machine,
  readable: readonly Range[],
  writable: readonly Range[],
): Promise<Uint8Array> {
  const chain = chainOf(readable, writable);
  machine.describe(chain, 0, TABLE);
  machine.describe([desc(TABLE, 16 * chain.length, INDIRECT)]);
  machine.raw.offer(0);
  const before = machine.snapshot();
  machine.kick();
  const [entry] = await machine.used();
  assert.ok(entry !== undefined && entry.id === 0);
  machine.assertUntouched(before, ...cut(writable, entry.length));
  const all = writable.map(([address, length]) => machine.get(address, length));
  return Buffer.concat(all).subarray(0, entry.length);
}

/** The first bytes of ranges. */
function cut(ranges: readonly Range[], length: number): Range[] {
  let left = length;
  return ranges.map(([address, size]): Range => {
    const part = Math.min(size, left);
    left -= part;
    return [address, part];
  }).filter(([, size]) => size > 0);
}

/** Ranges one behind the other, each followed by a gap, of sizes that add up to `total`. */
function scattered(address: number, total: number, sizeOf: (i: number) => number): Range[] {
  const ranges: Range[] = [];
  for (let at = address, left = total, i = 0; left > 0; i++) {
    const size = Math.min(left, sizeOf(i));
    ranges.push([at, size]);
    at += size + 3;
    left -= size;
  }
  return ranges;
}

/** Puts bytes in guest memory, in pieces. */
function putScattered(machine: Machine, bytes: Uint8Array, ranges: readonly Range[]): void {
  let from = 0;
  for (const [address, size] of ranges) {
    machine.put(address, bytes.subarray(from, from + size));
    from += size;
  }
}

/** Sends a frame as it is; returns what was answered. */
async function sendFrame(
  machine: Machine,
  frame: Uint8Array,
  room: number = ROOM,
): Promise<Uint8Array> {
  machine.put(REQUEST, frame);
  return await sendScattered(machine, [[REQUEST, frame.length]], [[REPLY, room]]);
}

/** As `sendFrame`; the answer as text, empty if there was none. */
async function textOf(machine: Machine, frame: Uint8Array, room?: number): Promise<string> {
  const bytes = await sendFrame(machine, frame, room);
  return bytes.length === 0 ? "" : formatMessage(machine.decode(bytes));
}

function withSize(message: TMessage, size: number): Uint8Array {
  const frame = encode(message, "9P2000.L").slice();
  new DataView(frame.buffer).setUint32(0, size, true);
  return frame;
}

const frameOf = (message: TMessage): Uint8Array => encode(message, "9P2000.L");
const read = (offset: number, count: number): TMessage => ({
  kind: "Tread",
  tag: 8,
  fid: 1,
  offset: BigInt(offset),
  count,
});
const write = (offset: number, data: Uint8Array): TMessage => ({
  kind: "Twrite",
  tag: 8,
  fid: 1,
  offset: BigInt(offset),
  data,
});

function assertData(reply: Uint8Array, offset: number, count: number): void {
  const head = new DataView(reply.buffer, reply.byteOffset, 11);
  assert.deepEqual(
    [head.getUint32(0, true), head.getUint8(4), head.getUint16(5, true), head.getUint32(7, true)],
    [11 + count, 117, 8, count],
  );
  assert.ok(Buffer.from(DATA.subarray(offset, offset + count)).equals(reply.subarray(11)));
}

/** Bytes to write that differ from what is there. */
const OTHER = DATA.map((byte) => byte ^ 0x5a);

async function assertWritten(machine: Machine, offset: number, count: number): Promise<void> {
  const reply = await sendScattered(machine, [machine.putRequest(read(offset, count))], [
    [REPLY, MSIZE],
  ]);
  assert.ok(Buffer.from(OTHER.subarray(offset, offset + count)).equals(reply.subarray(11)));
  const data = DATA.subarray(offset, offset + count);
  assert.match(await textOf(machine, frameOf(write(offset, data))), /^Rwrite/);
}

/** The same in the language of 9P: what virtio-villain does to the file systems of other devices. */
const FRAME_FAULTS: Readonly<Record<string, Attack>> = {
  resp_no_write: async (machine) => {
    const reply = await sendScattered(machine, [machine.putRequest(GETATTR)], []);
    assert.equal(reply.length, 0);
  },
  resp_too_small_for_an_error: async (machine) => {
    for (const room of [1, 7, 10]) assert.equal(await textOf(machine, frameOf(GETATTR), room), "");
  },
  getattr_zero_resp: async (machine) => {
    for (const room of [11, 12, RGETATTR - 1]) {
      assert.equal(
        await textOf(machine, frameOf(GETATTR), room),
        "Rlerror tag=7 ecode=EMSGSIZE",
      );
    }
    assert.match(await textOf(machine, frameOf(GETATTR), RGETATTR), /^Rgetattr/);
  },
  huge_resp: async (machine) => {
    assert.match(await textOf(machine, frameOf(GETATTR), 0x3_0000), /^Rgetattr/);
    // However large the buffer, no message is larger than both sides agreed on.
    const reply = await sendFrame(machine, frameOf(read(0, 0xffff_ffff)), 0x2_0000);
    assertData(reply, 0, MSIZE - 11);
  },
  reply_larger_than_buffers: async (machine) => {
    assertData(await sendFrame(machine, frameOf(read(5, 0x8000)), 100), 5, 89);
    assertData(await sendFrame(machine, frameOf(read(5, 0x8000)), 12), 5, 1);
    assert.equal((await sendFrame(machine, frameOf(read(5, 0x8000)), 11)).length, 11);
    await machine.expect({ kind: "Twalk", tag: 1, fid: 0, newfid: 3, wname: [] }, "Rwalk");
    await machine.expect({ kind: "Tlopen", tag: 1, fid: 3, flags: 0 }, "Rlopen");
    const list: TMessage = { kind: "Treaddir", tag: 7, fid: 3, offset: 0n, count: 0xffff_ffff };
    assert.equal(await textOf(machine, frameOf(list), 11 + 20), "Rlerror tag=7 ecode=EINVAL");
    assert.match(await textOf(machine, frameOf(list), 11 + 30), /^Rreaddir/);
    await machine.expect({ kind: "Tclunk", tag: 1, fid: 3 }, "Rclunk");
  },
  truncated_header: async (machine) => {
    for (const size of [1, 4, 5, 6]) {
      assert.equal((await sendFrame(machine, frameOf(GETATTR).subarray(0, size))).length, 0);
    }
    assert.equal(
      await textOf(machine, withSize(GETATTR, 7).subarray(0, 7)),
      "Rlerror tag=7 ecode=EPROTO",
    );
  },
  len_exceeds_desc: async (machine) => {
    for (const size of [20, MSIZE, MSIZE + 1, 0x7fff_ffff, 0xffff_ffff]) {
      assert.equal((await sendFrame(machine, withSize(GETATTR, size))).length, 0);
    }
  },
  mismatched_len: async (machine) => {
    for (const size of [0, 1, 6]) {
      assert.equal((await sendFrame(machine, withSize(GETATTR, size))).length, 0);
    }
    for (const size of [7, 12, 18]) {
      assert.equal(
        await textOf(machine, withSize(GETATTR, size)),
        "Rlerror tag=7 ecode=EPROTO",
      );
    }
    // Bytes behind the message do not belong to it.
    const longer = new Uint8Array(4000).fill(0xff);
    longer.set(frameOf(GETATTR));
    assert.match(await textOf(machine, longer), /^Rgetattr tag=7/);
  },
  mismatched_twrite_count: async (machine) => {
    const frame = frameOf(write(0, DATA.subarray(0, 100))).slice();
    const view = new DataView(frame.buffer);
    for (const count of [0, 99, 101, 0x7fff_ffff, 0xffff_ffe8, 0xffff_ffff]) {
      view.setUint32(19, count, true);
      assert.equal(await textOf(machine, frame), "Rlerror tag=8 ecode=EPROTO", `${count}`);
    }
    assert.match(await textOf(machine, frameOf(write(0, new Uint8Array(0)))), /count=0$/);
    for (let size = 7; size < 23; size++) {
      const text = await textOf(machine, withSize(write(0, new Uint8Array(1)), size));
      assert.equal(text, "Rlerror tag=8 ecode=EPROTO", `${size}`);
    }
  },
  wrong_desc_order: async (machine) => {
    const [at, length] = machine.putRequest(GETATTR);
    machine.describe([reply(WRITE | NEXT), desc(at, length)].map((each, i) => ({
      ...each,
      next: i + 1,
    })));
    machine.raw.offer(0);
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: 0 }]);
  },
  every_type_without_content: async (machine) => {
    for (let type = 0; type < 256; type++) {
      const frame = new Uint8Array([7, 0, 0, 0, type, 7, 0]);
      const text = await textOf(machine, frame);
      assert.match(text, /^Rlerror tag=7 ecode=(EPROTO|EOPNOTSUPP)$/, `${type}: ${text}`);
    }
  },
  batch: async (machine) => {
    for (let i = 0; i < SIZE / 2; i++) {
      const request = machine.putRequest({ ...GETATTR, tag: 100 + i }, REQUEST + 64 * i);
      const first = 2 * (7 - i);
      machine.describe(chainOf([request], [[REPLY + i * 0x400, 0x400]], first), first);
      machine.raw.offer(first);
    }
    machine.kick();
    const used = await machine.used(SIZE / 2);
    for (const [i, { id, length }] of used.entries()) {
      assert.deepEqual([id, length], [2 * (7 - i), RGETATTR]);
      assert.equal(machine.decode(machine.get(REPLY + i * 0x400, RGETATTR)).tag, 100 + i);
    }
  },
  config_tag_length: async ({ frontend }) => {
    const all = await frontend.readConfig(0, 256);
    assert.equal(decodeConfig(all), "device");
    assert.equal(decodeConfig(all.subarray(0, 8)), "device");
    assert.throws(() => decodeConfig(all.subarray(0, 7)), RangeError);
    assert.deepEqual(await frontend.readConfig(2, 3), all.subarray(2, 5));
    for (const offset of [8, 9, 255, 0x7fff_ffff, 0xffff_ffff]) {
      assert.deepEqual(await frontend.readConfig(offset, 16), new Uint8Array(16));
    }
    assert.equal((await frontend.readConfig(0, 0)).length, 0);
    assert.equal((await frontend.readConfig(0, 4084)).length, 4084);
  },
  head_in_single_bytes: async (machine) => {
    for (const message of [GETATTR, read(100, 50)]) {
      const frame = frameOf(message);
      const request = scattered(REQUEST, frame.length, () => 1);
      putScattered(machine, frame, request);
      const room = scattered(REPLY, RGETATTR, () => 1);
      const bytes = await sendScattered(machine, request, room);
      if (message === GETATTR) assert.equal(machine.decode(bytes).kind, "Rgetattr");
      else assertData(bytes, 100, 50);
    }
  },
  twrite_scattered: async (machine) => {
    const frame = frameOf(write(1000, OTHER.subarray(1000, 31_000)));
    const pieces = scattered(REQUEST, frame.length, (i) => i === 0 ? 23 : 1 + i * 37 % 613);
    assert.ok(pieces.length > 97, `${pieces.length}`);
    putScattered(machine, frame, pieces);
    const bytes = await sendScattered(machine, pieces, [[REPLY, ROOM]]);
    assert.equal(formatMessage(machine.decode(bytes)), "Rwrite tag=8 count=30000");
    await assertWritten(machine, 1000, 30_000);
  },
  tread_scattered: async (machine) => {
    const sizes = (i: number): number => i < 20 ? 1 : 1 + i * 37 % 613;
    const pieces = scattered(REPLY, 30_011, sizes);
    assert.ok(pieces.length > 100, `${pieces.length}`);
    const request = machine.putRequest(read(777, 30_000));
    assertData(await sendScattered(machine, [request], pieces), 777, 30_000);
    // At the end of the file, what is left over is not touched.
    const rest = machine.putRequest(read(DATA.length - 1234, 30_000));
    assertData(await sendScattered(machine, [rest], pieces), DATA.length - 1234, 1234);
  },
  as_many_descriptors_as_there_may_be: async (machine) => {
    const request = machine.putRequest(read(0, 1012));
    const most = scattered(REPLY, 1023, () => 1);
    assertData(await sendScattered(machine, [request], most), 0, 1012);
    const more = scattered(REPLY, 1024, () => 1);
    assert.equal((await sendScattered(machine, [request], more)).length, 0);
  },
  across_regions: async (machine) => {
    for (const back of [1, 4, 7, 18]) {
      const request = machine.putRequest(GETATTR, MIDDLE - back);
      for (const room of [[MIDDLE - 0x1000, 0x2000], [MIDDLE + 64 - 10, ROOM]] as const) {
        const bytes = await sendScattered(machine, [request], [room]);
        assert.equal(machine.decode(bytes).kind, "Rgetattr");
      }
      const bytes = await sendScattered(machine, [machine.putRequest(GETATTR)], [
        [MIDDLE - back, ROOM],
      ]);
      assert.equal(machine.decode(bytes).kind, "Rgetattr");
    }
    for (const back of [5, 11, 20, 30_000]) {
      const request = machine.putRequest(read(99, 60_000));
      const bytes = await sendScattered(machine, [request], [[MIDDLE - back, 60_011]]);
      assertData(bytes, 99, 60_000);
      const frame = frameOf(write(99, OTHER.subarray(99, 60_099)));
      machine.put(MIDDLE - back, frame);
      const room: Range = [REPLY, ROOM];
      const done = await sendScattered(machine, [[MIDDLE - back, frame.length]], [room]);
      assert.equal(formatMessage(machine.decode(done)), "Rwrite tag=8 count=60000");
      await assertWritten(machine, 99, 60_000);
    }
  },
  reply_over_request: async (machine) => {
    const request = machine.putRequest(GETATTR);
    assert.equal(
      machine.decode(await sendScattered(machine, [request], [[REQUEST, ROOM]])).kind,
      "Rgetattr",
    );
    const tread = machine.putRequest(read(3, 4000));
    assertData(await sendScattered(machine, [tread], [[REQUEST, 4011]]), 3, 4000);
    assertData(
      await sendScattered(machine, [machine.putRequest(read(3, 4000))], [
        [REQUEST, 20],
        [REQUEST + 20, 3991],
      ]),
      3,
      4000,
    );
    const frame = frameOf(write(50, OTHER.subarray(50, 4050)));
    machine.put(REQUEST, frame);
    const done = await sendScattered(machine, [[REQUEST, frame.length]], [[REQUEST, ROOM]]);
    assert.equal(formatMessage(machine.decode(done)), "Rwrite tag=8 count=4000");
    await assertWritten(machine, 50, 4000);
  },
  table_under_its_own_reply: async (machine) => {
    const [at, length] = machine.putRequest(GETATTR);
    machine.describe([desc(at, length, NEXT, 1), desc(TABLE, ROOM, WRITE)], 0, TABLE);
    machine.describe([desc(TABLE, 32, INDIRECT)]);
    machine.raw.offer(0);
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
    assert.equal(machine.decode(machine.get(TABLE, RGETATTR)).kind, "Rgetattr");
  },
  one_tag_twice: async (machine) => {
    await waitForLock(machine);
    // No answer could be told from the other: the conversation is over, the device is not.
    assert.equal(await textOf(machine, frameOf({ ...GETATTR, tag: 9 })), "");
    assert.deepEqual(await machine.used(), [{ id: 4, length: 0 }]);
    assert.equal(await textOf(machine, frameOf(GETATTR)), "Rlerror tag=7 ecode=EPROTO");
    await machine.attach();
  },
};

Deno.test("a device survives every fault of a frame in a chain", async (t) => {
  await using victim = await Victim.start("device");
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
  const pid = victim.pid("device");
  for (const [name, attack] of Object.entries(FRAME_FAULTS)) {
    await t.step(name, async () => {
      await attack(machine);
      await machine.assertAlive();
    });
  }
  assert.equal(victim.pid("device"), pid, "the process is the one from the beginning");
  assert.deepEqual(Deno.readFileSync(`${victim.root}/data`), DATA);
  victim.assertContained();
});

/** Bytes that a second processor writes in turn while the device works. */
interface Race {
  /** The request, put at {@linkcode REQUEST}. */
  readonly request: TMessage;
  /** Where to flip: an offset in the request, or a guest address if it is that large. */
  readonly at: number;
  /** One content. */
  readonly one: Uint8Array;
  /** The other. */
  readonly other: Uint8Array;
  /** Takes back what the request did to fids, each time that it was done. */
  readonly undo?: (machine: Machine) => Promise<unknown>;
  /** Whether the request's descriptors are in an indirect table. */
  readonly isIndirect?: boolean;
}

const utf8 = new TextEncoder();
const u16 = (...values: number[]): Uint8Array => new Uint8Array(Uint16Array.from(values).buffer);
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
/** A name that may be, and one as long that leads to a sentinel. */
const NAMES = { one: utf8.encode("ok_name"), other: utf8.encode("../../x") };
const OFFSET_OF_NAME = 13;
/** Guest address of a field of descriptor 1, the reply's, in the queue's table. */
const REPLY_DESC = LOW + 16;

/** Says something from where no race is. */
const aside = (machine: Machine, message: TMessage): Promise<RMessage> =>
  machine.say(message, REQUEST + 0x4000);
const clunk = (machine: Machine): Promise<RMessage> =>
  aside(machine, { kind: "Tclunk", tag: 1, fid: 6 });
const file = (machine: Machine): Promise<RMessage> =>
  aside(machine, { kind: "Twalk", tag: 1, fid: 0, newfid: 6, wname: [] });

const RACES: Readonly<Record<string, Race>> = {
  "the name of a Tlcreate": {
    request: { kind: "Tlcreate", tag: 7, fid: 6, name: "ok_name", flags: 2, mode: 0o644, gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
    undo: async (machine) => {
      await clunk(machine);
      await file(machine);
    },
  },
  "the name of a Tmkdir": {
    request: { kind: "Tmkdir", tag: 7, dfid: 0, name: "ok_name", mode: 0o755, gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the name of a Tunlinkat": {
    request: { kind: "Tunlinkat", tag: 7, dirfd: 0, name: "ok_name", flags: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the name of a Tsymlink": {
    request: { kind: "Tsymlink", tag: 7, fid: 0, name: "ok_name", symtgt: "target", gid: 0 },
    at: OFFSET_OF_NAME,
    ...NAMES,
  },
  "the new name of a Trenameat": {
    request: {
      kind: "Trenameat",
      tag: 7,
      olddirfid: 0,
      oldname: "lock",
      newdirfid: 0,
      newname: "ok_name",
    },
    at: 23,
    ...NAMES,
  },
  "a name of a Twalk": {
    request: { kind: "Twalk", tag: 7, fid: 0, newfid: 7, wname: ["ok_name"] },
    at: 19,
    ...NAMES,
  },
  "the length of a name": {
    request: { kind: "Twalk", tag: 7, fid: 0, newfid: 7, wname: ["data"] },
    at: 17,
    one: u16(4),
    other: u16(0xffff),
    undo: (machine) => aside(machine, { kind: "Tclunk", tag: 1, fid: 7 }),
  },
  "the size of a message": {
    request: GETATTR,
    at: 0,
    one: u32(19),
    other: u32(0xffff),
  },
  "the type of a message": {
    request: GETATTR,
    at: 4,
    one: new Uint8Array([24]),
    other: new Uint8Array([118]),
  },
  "the type of a Twrite": {
    request: write(0, DATA.subarray(0, 5000)),
    at: 4,
    one: new Uint8Array([118]),
    other: new Uint8Array([110]),
  },
  "the count of a Twrite": {
    request: write(0, DATA.subarray(0, 5000)),
    at: 19,
    one: u32(5000),
    other: u32(0x7fff_ffff),
  },
  "the count of a Tread": { request: read(0, 500), at: 19, one: u32(500), other: u32(0xffff_ffff) },
  "the length of a reply's buffer": {
    request: GETATTR,
    at: REPLY_DESC + 8,
    one: u32(ROOM),
    other: u32(0xffff_ffff),
  },
  "the length of a request's buffer": {
    request: GETATTR,
    at: LOW + 8,
    one: u32(19),
    other: u32(3),
  },
  "the address of a reply's buffer, between memory and the rings": {
    request: GETATTR,
    at: REPLY_DESC,
    one: u32(REPLY),
    other: u32(LOW),
  },
  "the address of a reply's buffer, between memory and the hole": {
    request: read(0, 2000),
    at: REPLY_DESC,
    one: u32(REPLY),
    other: u32(HOLE),
  },
  "the flags of a reply's descriptor": {
    request: GETATTR,
    at: REPLY_DESC + 12,
    one: u16(WRITE, 0),
    other: u16(INDIRECT, 0),
  },
  "the next of a request's descriptor": {
    request: GETATTR,
    at: LOW + 14,
    one: u16(1),
    other: u16(0),
  },
  "an indirect table": {
    request: GETATTR,
    at: TABLE + 16,
    one: u32(REPLY, 0, ROOM, WRITE),
    other: u32(HOLE - 16, 0, 17, WRITE | NEXT),
    isIndirect: true,
  },
};

/** Rounds of each race. */
const ROUNDS = 150;

Deno.test("a device decides on what it has checked, whatever a second processor writes", async (t) => {
  await using victim = await Victim.start("device");
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  for (const ram of machine.rams) ram.bytes.fill(0xc5, ram === machine.rams[0] ? 0x8000 : 0);
  const pid = victim.pid("device");
  for (const [name, race] of Object.entries(RACES)) {
    await t.step(name, async () => {
      await file(machine);
      const isInRequest = race.at < LOW;
      const at = isInRequest ? REQUEST + race.at : race.at;
      const [ram] = machine.rams;
      const good = machine.putRequest(race.request);
      const before = machine.snapshot();
      const flip = { one: race.one, other: race.other, at: at - LOW, fd: ram.fd, size: ram.size };
      const flips = await meanwhile({ kind: "flip", ...flip }, async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const chain = chainOf([good], [[REPLY, ROOM]]);
          if (race.isIndirect === true) {
            machine.describe(chain, 0, TABLE);
            machine.describe([desc(TABLE, 32, INDIRECT)]);
          } else machine.describe(chain);
          machine.raw.offer(0);
          machine.kick();
          const [entry] = await machine.used();
          assert.ok(entry !== undefined && entry.id === 0 && entry.length <= ROOM);
          if (entry.length === 0) continue;
          const { kind } = machine.decode(machine.get(REPLY, entry.length));
          if (kind === "Rlerror") continue;
          victim.tidy();
          await race.undo?.(machine);
        }
      });
      assert.ok(flips > 0, "the second processor was at work");
      machine.assertUntouched(
        before,
        [REPLY, ROOM],
        [at, race.one.length],
        [REQUEST + 0x4000, 100],
        [TABLE, 32],
        [LOW, 0x400],
      );
      await clunk(machine);
      await machine.assertAlive();
      victim.assertContained();
    });
  }
  assert.equal(victim.pid("device"), pid, "the process is the one from the beginning");
  assert.deepEqual(Deno.readFileSync(`${victim.root}/data`), DATA);
  assert.deepEqual(victim.told("Cannot carry out"), []);
});

Deno.test("memory that is cut off ends one process, and the next machine is served by another", async (t) => {
  await using victim = await Victim.start("a", "b");
  await using other = await Machine.boot(victim.path("b"));
  const pids = [victim.pid("a"), victim.pid("b")];

  // None of this looks at what was cut off: that would end the process of the test.
  await t.step("a payload in what was cut off is answered with EFAULT", async () => {
    await using machine = await Machine.boot(victim.path("a"), { isSealed: false });
    assert.equal(victim.told("can make it smaller").length, 1, "once, however many regions");
    check(ftruncate(machine.rams[2].fd, 0n), "cut memory off");
    const send = async (readable: readonly Range[], writable: readonly Range[]) => {
      machine.describe(chainOf(readable, writable));
      machine.raw.offer(0);
      machine.kick();
      const [entry] = await machine.used();
      return formatMessage(machine.decode(machine.get(REPLY, entry?.length ?? 0)));
    };
    const tread = machine.putRequest(read(0, 2000));
    const text = await send([tread], [[REPLY, 11], [HIGH, 2000]]);
    assert.equal(text, "Rlerror tag=8 ecode=EFAULT");
    const [at] = machine.putRequest(write(0, DATA.subarray(0, 2000)));
    assert.equal(await send([[at, 23], [HIGH, 2000]], [[REPLY, ROOM]]), text);
    await machine.assertAlive();
    assert.deepEqual([victim.pid("a"), victim.pid("b")], pids);
  });

  await t.step("a queue in what was cut off ends the process, with a reason", async () => {
    await using machine = await Machine.boot(victim.path("a"), { isSealed: false });
    const request = machine.putRequest(read(0, 60_000));
    for (let i = 0; i < SIZE; i += 2) {
      machine.describe(chainOf([request], [[MIDDLE, 60_011]], i), i);
      machine.raw.offer(i);
    }
    machine.kick();
    for (const { fd } of machine.rams) check(ftruncate(fd, 0n), "cut memory off");
    machine.kick();
    await until("a message about it", () => victim.told("SIGBUS").length === 1);
    assert.match(victim.told("SIGBUS")[0] ?? "", /SIGBUS: the guest's memory was made smaller/);
    await other.assertAlive();
  });

  await t.step("the next machine is served", async () => {
    await using machine = await Machine.boot(victim.path("a"));
    await machine.assertAlive();
    assert.notEqual(victim.pid("a"), pids[0]);
    assert.equal(victim.pid("b"), pids[1]);
    await other.assertAlive();
  });
  assert.equal(victim.told("ended by").length, 1);
});

/** Does something while requests are on their way, again and again; each is answered in the end. */
async function underLoad(
  machine: Machine,
  act: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < 25; round++) {
    const request = machine.putRequest(read(round, 3000));
    for (let i = 0; i < SIZE; i += 2) {
      machine.describe(chainOf([request], [[REPLY + i * ROOM, 3011]], i), i);
      machine.raw.offer(i);
    }
    machine.kick();
    await act(round);
    machine.kick();
    const used = await machine.used(SIZE / 2);
    assert.deepEqual(used.map(({ id }) => id), [0, 2, 4, 6, 8, 10, 12, 14]);
    assert.ok(used.every(({ length }) => length === 3011), JSON.stringify(used));
    for (const { id } of used) {
      assertData(Buffer.from(machine.get(REPLY + id * ROOM, 3011)), round, 3000);
    }
  }
}

/** Ways to stop the queue, after each of which it goes on from where it was. */
const INTERRUPTIONS: Readonly<Record<string, (machine: Machine) => Promise<void>>> = {
  "GET_VRING_BASE": async (machine) => {
    const base = await machine.stop();
    assert.equal(machine.raw.usedIndex, base, "what was taken was used before the reply");
    await machine.resume(base);
  },
  "SET_VRING_ENABLE": async ({ frontend }) => {
    await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 0 });
    await frontend.tell("SET_VRING_ENABLE", { index: 0, num: 1 });
  },
  "the same memory table again": ({ frontend, rams }) => frontend.setMemory(rams),
  "a memory table without a region, then with it": async (
    { frontend, rams: [low, middle, high] },
  ) => {
    await frontend.setMemory([low, middle]);
    await frontend.setMemory([high, low, middle]);
  },
  "REM_MEM_REG and ADD_MEM_REG of another region": async ({ frontend, rams: [, , high] }) => {
    await frontend.removeMemory(high);
    await frontend.addMemory(high);
  },
  "REM_MEM_REG and ADD_MEM_REG of the queue's region": async ({ frontend, rams: [low] }) => {
    await frontend.removeMemory(low);
    await frontend.addMemory(low);
  },
};

Deno.test("no request is lost when the queue stops or memory moves", async (t) => {
  await using victim = await Victim.start("device");
  await using machine = await Machine.boot(victim.path("device"), { size: SIZE });
  const pid = victim.pid("device");
  const mappings = guestMappings(pid);
  for (const [name, interrupt] of Object.entries(INTERRUPTIONS)) {
    await t.step(`${name} under load`, async () => {
      await underLoad(machine, () => interrupt(machine));
      machine.takeErrors();
      await machine.assertAlive();
    });
    await t.step(`${name} while a lock waits`, async () => {
      await waitForLock(machine);
      const at = machine.taken;
      await interrupt(machine);
      assert.equal(machine.raw.usedIndex, at + 1 & 0xffff, "answered before the queue stopped");
      assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
      assert.equal(lockStatus(machine), LOCK_BLOCKED);
      // The client asks again, and waits again.
      machine.putRequest(lock(9, 2), REQUEST + 0x1000);
      machine.raw.offer(4);
      machine.kick();
      await machine.expect(lock(1, 1, LOCK_TYPE_UNLCK), "Rlock");
      assert.deepEqual(await machine.used(), [{ id: 4, length: 8 }]);
      assert.equal(lockStatus(machine), LOCK_SUCCESS);
      await endLocks(machine);
      await machine.assertAlive();
    });
  }
  await t.step("the region of a reply goes while requests for it are there", async () => {
    const [low, middle, high] = machine.rams;
    for (let round = 0; round < 25; round++) {
      const request = machine.putRequest(GETATTR);
      for (let i = 0; i < SIZE; i += 2) {
        machine.describe(chainOf([request], [[HIGH + i * 0x200, 0x200]], i), i);
        machine.raw.offer(i);
      }
      machine.kick();
      if (round % 2 === 0) await machine.frontend.removeMemory(high);
      else await machine.frontend.setMemory([low, middle]);
      const done = machine.raw.usedIndex - machine.taken & 0xffff;
      const used = await machine.used(SIZE / 2);
      // Whoever was taken before had his answer before; whoever came after has no buffer.
      for (const [i, { length }] of used.entries()) {
        assert.ok(length === 0 || length === RGETATTR, `${length}`);
        if (i < done && length > 0) {
          assert.equal(machine.decode(machine.get(HIGH + i * 0x400, length)).kind, "Rgetattr");
        }
      }
      await machine.frontend.addMemory(high);
      assert.equal((await machine.send([request], [[HIGH, ROOM]])).length, RGETATTR);
    }
    await machine.assertAlive();
  });
  await t.step("GET_VRING_BASE while a second processor keeps the queue filled", async () => {
    const { rams: [ram], areas, raw } = machine;
    await machine.stop();
    await machine.setUp();
    const request = machine.putRequest(read(0, 60_000));
    for (let i = 0; i < SIZE; i += 2) machine.describe(chainOf([request], [[REPLY, 60_011]], i), i);
    for (let i = 0; i < SIZE; i++) raw.setAvailEntry(i, i * 2 % SIZE);
    await meanwhile({
      kind: "storm",
      fd: ram.fd,
      size: ram.size,
      availIndex: areas.availRing - LOW + 2,
      usedIndex: areas.usedRing - LOW + 2,
      queueSize: SIZE / 2,
      kick: machine.kickFd,
    }, async () => {
      await until("a long batch", () => raw.usedIndex > 200);
      const base = await machine.stop();
      assert.equal(raw.usedIndex, base);
    });
    await machine.setUp();
    await machine.assertAlive();
  });
  assert.equal(victim.pid("device"), pid);
  assert.equal(guestMappings(pid), mappings, "what was replaced is unmapped");
  assert.deepEqual(victim.told("Cannot carry out"), []);
});

/** Descriptors of every kind that a monitor may send by mistake or with intent. */
class Oddities implements Disposable {
  readonly #owned: Fd[] = [];
  /** Each by what it is. */
  readonly all: Readonly<Record<string, number>>;

  constructor(folder: string) {
    const own = (fd: number): number => {
      this.#owned.push(Fd.from(fd, "open an oddity"));
      return fd;
    };
    const open = (path: string, flags: number): number =>
      own(openat(AT_FDCWD, path, flags | O_CLOEXEC, 0));
    const file = `${folder}/odd`;
    Deno.writeFileSync(file, new Uint8Array(4096));
    const pair = socketpair(SOCK_STREAM | SOCK_CLOEXEC);
    assert.ok(typeof pair !== "number");
    new Fd(pair[1])[Symbol.dispose]();
    const huge = own(memfdCreate("huge", MFD_CLOEXEC));
    check(ftruncate(huge, 2n ** 52n), "make a huge file");
    this.all = {
      "a regular file": open(file, O_RDWR),
      "a file that is read only": open(file, O_RDONLY),
      "a folder": open(folder, O_RDONLY),
      "/dev/zero": open("/dev/zero", O_RDWR),
      "/dev/null": open("/dev/null", O_RDWR),
      "a socket whose other end is closed": own(pair[0]),
      "a socket that is not connected": own(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)),
      "an eventfd": own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      "an eventfd that is ready for ever": own(eventfd(0x7fff_ffff, EFD_CLOEXEC | EFD_SEMAPHORE)),
      "an epoll set": own(epollCreate(EPOLL_CLOEXEC)),
      "a path": open("/", O_PATH),
      "a sparse file of 4 PiB": huge,
    };
  }

  [Symbol.dispose](): void {
    for (const fd of this.#owned) fd[Symbol.dispose]();
  }
}

/** What a monitor does to a device that nobody serves yet; refusals and hang-ups are no surprise. */
type Mischief = (monitor: VhostUserFrontend, odd: Oddities) => Promise<void>;

/** Sends bytes and takes what comes back, until the device has nothing to say or hangs up. */
async function provoke(
  monitor: VhostUserFrontend,
  bytes: Uint8Array,
  fds: readonly number[] = [],
): Promise<void> {
  await monitor.sendRaw(bytes, fds);
  for (let message = monitor.tryReceive(); message !== "wait"; message = monitor.tryReceive()) {
    if (message === "end") throw new VhostUserError("ended-early", "the device has hung up");
    message[Symbol.dispose]();
  }
}

/** A seeded source of numbers below a bound. */
function numbers(seed: number): (bound: number) => number {
  let state = seed >>> 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % bound;
  };
}

const NEED_REPLY = MESSAGE_FLAGS.VERSION | MESSAGE_FLAGS.NEED_REPLY;

/** Whether an attempt was refused or ended the connection. */
async function isDenied(attempt: Promise<unknown>): Promise<boolean> {
  try {
    await attempt;
    return false;
  } catch (error) {
    if (error instanceof VhostUserError && error.fault !== "timed-out") return true;
    throw error;
  }
}

const region = (values: Partial<GuestRam["region"]> = {}): GuestRam["region"] => ({
  guest_addr: 0x1000_0000n,
  size: 0x1000n,
  user_addr: 0x7000_0000n,
  mmap_offset: 0n,
  ...values,
});

const MISCHIEF: Readonly<Record<string, Mischief>> = {
  "leaves at once": () => Promise.resolve(),
  "sends half a header": (monitor) => provoke(monitor, encodeRaw(1, 1, 0).subarray(0, 5)),
  "sends half a payload": (monitor) => provoke(monitor, encodeRaw(8, 1, 8).subarray(0, 15)),
  "says a size of 4 GiB": (monitor) => {
    const bytes = encodeRaw(1, 1, 0);
    new DataView(bytes.buffer).setUint32(8, 0xffff_ffff, true);
    return provoke(monitor, bytes);
  },
  "says a byte more than may be": (monitor) => provoke(monitor, encodeRaw(1, 1, 4097)),
  "sends every request without content": async (monitor) => {
    await monitor.negotiate();
    for (let request = 0; request < 50; request++) {
      if (request === 11) continue; // the reply to a good one is no mischief
      if (await isDenied(provoke(monitor, encodeRaw(request, NEED_REPLY, 0)))) return;
    }
  },
  "sends a reply": (monitor) => provoke(monitor, encodeRaw(1, 5, 8)),
  "speaks version 2": (monitor) => provoke(monitor, encodeRaw(1, 2, 0)),
  "sends descriptors with everything": async (monitor, odd) => {
    for (let i = 0; i < 20; i++) {
      await provoke(monitor, encodeRaw(1, 1, 0), Object.values(odd.all).slice(0, 8));
    }
  },
  "sends more descriptors than may be": (monitor, odd) =>
    provoke(monitor, encodeRaw(1, 1, 0), Object.values(odd.all).slice(0, 9)),
  "sends two hundred descriptors": (monitor, odd) => {
    const [one = -1] = Object.values(odd.all);
    return provoke(monitor, encodeRaw(1, 1, 0), new Array<number>(200).fill(one));
  },
  "sends a descriptor with every byte": async (monitor, odd) => {
    const bytes = encodeRaw(1, 1, 0);
    for (const byte of bytes) {
      await provoke(monitor, Uint8Array.of(byte), [Object.values(odd.all)[0] ?? -1]);
    }
  },
  "starts a queue before anything else": async (monitor, odd) => {
    const fd = odd.all["an eventfd"] ?? -1;
    const state = { index: 0, num: 16 };
    await provoke(monitor, encodeMessage("SET_VRING_NUM", "request", state));
    const zero = { index: 0, flags: 0, descriptor: 0n, used: 0n, available: 0n, log: 0n };
    await provoke(monitor, encodeMessage("SET_VRING_ADDR", "request", zero));
    const kick = { index: 0, flags: 0 };
    await provoke(monitor, encodeMessage("SET_VRING_KICK", "request", kick), [fd]);
    await provoke(monitor, encodeMessage("SET_VRING_ENABLE", "request", { index: 0, num: 1 }));
  },
  "removes memory that was never there": async (monitor) => {
    await monitor.negotiate();
    assert.ok(await isDenied(monitor.tell("REM_MEM_REG", region())));
    assert.equal((await monitor.ask("GET_VRING_BASE", { index: 0, num: 9 })).num, 0);
    assert.ok(await isDenied(monitor.ask("GET_VRING_BASE", { index: 9, num: 0 })));
  },
  "says wrong things about memory": async (monitor) => {
    await monitor.negotiate();
    using ram = new GuestRam({ size: 0x2000 });
    const wrong: Partial<GuestRam["region"]>[] = [
      { size: 0n },
      { size: 1n << 40n },
      { size: 0xffff_ffff_ffff_f000n },
      { size: 0x3000n },
      { mmap_offset: 0x2000n },
      { mmap_offset: 0x800n },
      { mmap_offset: 0xffff_ffff_ffff_f000n },
      { guest_addr: 0x800n },
      { guest_addr: 0xffff_ffff_ffff_f000n },
      { guest_addr: 1n << 53n },
      { user_addr: 0x7000_0001n },
      { user_addr: 0xffff_ffff_ffff_f000n },
    ];
    for (const values of wrong) {
      assert.ok(await isDenied(monitor.tell("ADD_MEM_REG", region(values), [ram.fd])));
    }
    const overlapping = [region(), region({ user_addr: 0x8000_0000n })];
    const tell = monitor.tell("SET_MEM_TABLE", { regions: overlapping }, [ram.fd, ram.fd]);
    assert.ok(await isDenied(tell));
    for (const fds of [[], [ram.fd], [ram.fd, ram.fd, ram.fd]]) {
      const regions = [region(), region({ guest_addr: 0n, user_addr: 0n })];
      assert.ok(await isDenied(monitor.tell("SET_MEM_TABLE", { regions }, fds)));
    }
    await monitor.tell("SET_MEM_TABLE", { regions: [] });
    await monitor.tell("ADD_MEM_REG", region(), [ram.fd]);
  },
  "adds more regions than there are slots": async (monitor) => {
    const { memorySlots } = await monitor.negotiate();
    using ram = new GuestRam({ size: 0x1000 });
    for (let i = 0; i <= memorySlots; i++) {
      const at = BigInt(i) * 0x1000n;
      const add = monitor.tell("ADD_MEM_REG", region({ guest_addr: at, user_addr: at }), [ram.fd]);
      assert.equal(await isDenied(add), i === memorySlots, `region ${i} of ${memorySlots}`);
    }
  },
  "asks a thousand times": async (monitor) => {
    for (let i = 0; i < 1000; i++) await monitor.ask("GET_FEATURES", {});
  },
  "asks and does not listen": async (monitor) => {
    for (let i = 0; i < 100; i++) await monitor.sendRaw(encodeRaw(1, 1, 0));
  },
  "floods with what is unknown": async (monitor) => {
    for (let i = 0; i < 1000; i++) await provoke(monitor, encodeRaw(1000 + i, 1, 100));
  },
};

/** Sends messages that the table of requests knows, with numbers and descriptors at random. */
async function babble(monitor: VhostUserFrontend, odd: Oddities, seed: number): Promise<void> {
  const fds = Object.values(odd.all);
  const next = numbers(seed);
  await monitor.negotiate();
  for (let i = 0; i < 50; i++) {
    const name = REQUEST_NAMES[next(REQUEST_NAMES.length)] ?? "SET_OWNER";
    const payload = encodeRaw(requestRow(name).number, NEED_REPLY, next(8) * 8);
    for (let at = 12; at < payload.length; at += 4) payload[at] = next(3);
    const count = next(3) === 0 ? next(4) : 0;
    const some = Array.from({ length: count }, () => fds[next(fds.length)] ?? 0);
    await provoke(monitor, payload, some);
  }
}

/** Monitors of each kind, one after the other. */
const MISCHIEF_ROUNDS = 5;
/** Kinds that can be waited for. */
const WAITABLE: ReadonlySet<string> = new Set([
  "a socket whose other end is closed",
  "a socket that is not connected",
  "an eventfd",
  "an eventfd that is ready for ever",
  "an epoll set",
]);

Deno.test("a device serves the next monitor, whatever the one before did", async (t) => {
  await using victim = await Victim.start("device");
  const folder = await Deno.makeTempDir({ prefix: "ring-odd-" });
  const path = victim.path("device");
  try {
    using odd = new Oddities(folder);
    const assertNext = async (): Promise<void> => {
      await using machine = await Machine.boot(path);
      await machine.assertAlive();
    };
    await assertNext();
    const pid = victim.pid("device");
    const before = holdings(pid).count;
    for (const [name, mischief] of Object.entries(MISCHIEF)) {
      await t.step(`one that ${name}`, async () => {
        for (let round = 0; round < MISCHIEF_ROUNDS; round++) {
          await using monitor = new Monitor(path);
          await isDenied(mischief(monitor.frontend, odd));
        }
        await assertNext();
      });
    }
    await t.step("many that send what comes to mind", async () => {
      for (let seed = 1; seed <= 100; seed++) {
        await using monitor = new Monitor(path);
        await isDenied(babble(monitor.frontend, odd, seed));
      }
      await assertNext();
    });
    await t.step("one that is called by an eventfd that is full and would block", async () => {
      using full = Fd.from(eventfd(0, EFD_CLOEXEC), "make an eventfd");
      for (let i = 0; i < 2048; i++) check(eventfdWrite(full.number, 2 ** 53 - 1), "fill it");
      check(eventfdWrite(full.number, 2046), "fill it");
      {
        await using machine = await Machine.boot(path);
        await machine.frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [full.number]);
        await machine.assertAlive();
      }
      await assertNext();
    });
    for (const [what, fd] of Object.entries(odd.all)) {
      await t.step(`one whose kicks come by ${what}`, async () => {
        {
          await using machine = await Machine.boot(path);
          await machine.stop();
          const kick = machine.frontend.tell("SET_VRING_KICK", { index: 0, flags: 0 }, [fd]);
          assert.equal(await isDenied(kick), !WAITABLE.has(what));
          await barrier(machine);
          await machine.stop();
          await machine.setUp();
          await machine.assertAlive();
        }
        await assertNext();
      });
      await t.step(`one that is called by ${what}`, async () => {
        {
          await using machine = await Machine.boot(path);
          await isDenied(machine.frontend.tell("SET_VRING_CALL", { index: 0, flags: 0 }, [fd]));
          await isDenied(machine.frontend.tell("SET_VRING_ERR", { index: 0, flags: 0 }, [fd]));
          await machine.assertAlive();
          machine.raw.availIndex -= 1;
          machine.kick();
          await barrier(machine);
        }
        await assertNext();
      });
      await t.step(`one whose memory is ${what}`, async () => {
        {
          await using monitor = new Monitor(path);
          await monitor.frontend.negotiate();
          for (const size of [0x1000n, 1n << 46n, 1n << 51n]) {
            await isDenied(monitor.frontend.tell("ADD_MEM_REG", region({ size }), [fd]));
          }
        }
        await assertNext();
      });
    }
    assert.equal(victim.pid("device"), pid, "the process is the one from the beginning");
    await until("as few descriptors as before", () => holdings(pid).count <= before);
    assert.equal(guestMappings(pid), 0);
    assert.deepEqual(victim.told("Cannot carry out"), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
