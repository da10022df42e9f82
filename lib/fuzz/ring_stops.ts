/**
 * Queues that stop, and memory that moves, while requests are under way: none is lost, and none is
 * answered where it may not be.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { LOCK_BLOCKED, LOCK_SUCCESS, LOCK_TYPE_UNLCK } from "../p9/mod.ts";
import {
  type Attack,
  endLocks,
  GETATTR,
  lock,
  lockStatus,
  RGETATTR,
  SIZE,
  waitForLock,
} from "./ring_attacks.ts";
import { assertData, read } from "./ring_frames.ts";
import {
  chainOf,
  HIGH,
  LOW,
  type Machine,
  meanwhile,
  REPLY,
  REQUEST,
  ROOM,
  until,
} from "./ring_machine.ts";

/** Times that each is done. */
const ROUNDS = 25;

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

/** Interrupts while requests are on their way, again and again; each is answered in the end. */
function underLoad(interrupt: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    for (let round = 0; round < ROUNDS; round++) {
      const request = machine.putRequest(read(round, 3000));
      for (let i = 0; i < SIZE; i += 2) {
        machine.describe(chainOf([request], [[REPLY + i * ROOM, 3011]], i), i);
        machine.raw.offer(i);
      }
      machine.kick();
      await interrupt(machine);
      machine.kick();
      const used = await machine.used(SIZE / 2);
      assert.deepEqual(used.map(({ id }) => id), [0, 2, 4, 6, 8, 10, 12, 14]);
      assert.ok(used.every(({ length }) => length === 3011), JSON.stringify(used));
      for (const { id } of used) {
        assertData(Buffer.from(machine.get(REPLY + id * ROOM, 3011)), round, 3000);
      }
    }
    machine.takeErrors();
  };
}

/** Interrupts while a request waits for another one: it gives up in time. */
function whileLockWaits(interrupt: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
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
  };
}

/** The region of replies goes while requests for it are there. */
const regionGoes: Attack = async (machine) => {
  const [low, middle, high] = machine.rams;
  for (let round = 0; round < ROUNDS; round++) {
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
};

/** The queue stops though a second processor keeps it filled. */
const stopsInStorm: Attack = async (machine) => {
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
};

/** What goes on while the queue stops or memory moves. */
export const STOPS: Readonly<Record<string, Attack>> = {
  ...Object.fromEntries(
    Object.entries(INTERRUPTIONS).flatMap(([name, interrupt]) => [
      [`${name} under load`, underLoad(interrupt)],
      [`${name} while a lock waits`, whileLockWaits(interrupt)],
    ]),
  ),
  "the region of a reply goes while requests for it are there": regionGoes,
  "GET_VRING_BASE while a second processor keeps the queue filled": stopsInStorm,
};
