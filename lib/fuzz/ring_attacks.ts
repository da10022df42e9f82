/**
 * What attacks on a virtqueue have in common: what is offered, and what has to come of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  chainOf,
  desc,
  type Machine,
  type Range,
  REPLY,
  REQUEST,
  ROOM,
  TABLE,
} from "./ring_machine.ts";
import {
  formatMessage,
  LOCK_FLAGS_BLOCK,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  type TMessage,
} from "../p9/mod.ts";
import {
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
  type Descriptor,
} from "../virtio/mod.ts";

/** Descriptors of the queue that is attacked. */
export const SIZE = 16;
/** The request of most attacks. */
export const GETATTR: TMessage = { kind: "Tgetattr", tag: 7, fid: 0, request_mask: 0x7ffn };
/** Bytes of an Rgetattr. */
export const RGETATTR = 160;

/** A lock of all of fid 5, for a process. */
export function lock(tag: number, process: number, type: number = LOCK_TYPE_WRLCK): TMessage {
  const range = { type, flags: LOCK_FLAGS_BLOCK, start: 0n, length: 0n };
  return { kind: "Tlock", tag, fid: 5, ...range, proc_id: process, client_id: "guest" };
}

/** Everything that has gone through the device before this is done: messages take turns with kicks. */
export async function barrier(machine: Machine): Promise<void> {
  for (let i = 0; i < 2; i++) await machine.frontend.ask("GET_FEATURES", {});
}

/** Check that the device says no to a message. */
export async function assertRefused(attempt: Promise<void>): Promise<void> {
  await assert.rejects(attempt, { name: "VhostUserError", fault: "request-refused" });
}

/** An attack that the device has to survive, the same machine and conversation after the other. */
export type Attack = (machine: Machine) => Promise<Outcome | void>;

/** How a device met an attack; without one it was served, as if nothing were wrong. */
export interface Outcome {
  /** Whether it was served or refused. */
  readonly verdict: "PASS" | "REJECT";
  /** How, in a few words. */
  readonly how: string;
}

/** The chain came back without an answer. */
export const UNANSWERED: Outcome = { verdict: "REJECT", how: "used with length 0" };
/** The device asked for help, and does nothing until the queue is set up. */
export const RESTS: Outcome = { verdict: "REJECT", how: "the queue rests until it is set up" };
/** The monitor was told no. */
export const REFUSED: Outcome = { verdict: "REJECT", how: "the message is refused" };

/** A chain that is used with length 0, and nothing is written anywhere. */
export function refused(
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
    return UNANSWERED;
  };
}

/** As `refused`, with an indirect table whose descriptor is as given. */
export function refusedTable(
  length: number,
  table: (request: Range) => readonly Descriptor[],
  flags: number = INDIRECT,
  at: number = TABLE,
): Attack {
  return refused(() => [desc(at, length, flags)], table, at);
}

/** A chain that the device answers as if nothing were wrong. */
export function served(
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
export function broken(spoil: (machine: Machine) => void): Attack {
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
    return RESTS;
  };
}

/** A set-up that the monitor tries and the device refuses; then a good one. */
export function refusedSetUp(attempt: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    await machine.stop();
    machine.clearRings(0);
    const before = machine.snapshot();
    await assertRefused(attempt(machine));
    machine.kick();
    await barrier(machine);
    machine.assertUntouched(before);
    await machine.setUp();
    return REFUSED;
  };
}

/** A set-up whose addresses are moved by so many bytes. */
export function movedParts(
  parts: { descriptor?: number; available?: number; used?: number },
): Attack {
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

/** A number of descriptors that the device refuses. */
export function refusedSize(num: number): Attack {
  return refusedSetUp((machine) => machine.frontend.tell("SET_VRING_NUM", { index: 0, num }));
}

/** A message while the queue runs, which goes on as it was. */
export function message(send: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    await send(machine);
    await machine.assertAlive();
  };
}

/** As {@linkcode message}, with one that is refused. */
export function refusedMessage(send: (machine: Machine) => Promise<void>): Attack {
  return async (machine) => {
    await message(send)(machine);
    return REFUSED;
  };
}

/** Values of the status, one after the other, that change nothing. */
export function setStatus(...values: readonly number[]): Attack {
  return message(async ({ frontend }) => {
    for (const status of values) await frontend.tell("SET_STATUS", { status: BigInt(status) });
  });
}

/** A reset, after which kicks mean nothing until the queue is set up. */
export function reset(send: (machine: Machine) => Promise<void>): Attack {
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
    return { verdict: "REJECT", how: "no kick is heeded until the queue is set up" };
  };
}

/** Sends good requests; the answers come, in order. */
export async function sendMany(machine: Machine, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await machine.expect(GETATTR, "Rgetattr");
}

/** Makes all descriptors of the queue chains of their own, by indirect tables, and offers them. */
export function offerAll(machine: Machine, head = (i: number) => i): void {
  const request = machine.putRequest(GETATTR);
  for (let i = 0; i < SIZE; i++) {
    machine.describe(chainOf([request], [[REPLY + i * 0x400, 0x400]]), 0, TABLE + 32 * i);
    machine.describe([desc(TABLE + 32 * i, 32, INDIRECT)], i);
  }
  for (let i = 0; i < SIZE; i++) machine.raw.offer(head(i));
}

/** Opens the file `lock` as fid 5, locks it, and has another process wait for it at `head`. */
export async function waitForLock(machine: Machine, head = 4): Promise<void> {
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

/** Give back the locks of {@linkcode waitForLock}. */
export async function endLocks(machine: Machine): Promise<void> {
  await machine.expect(lock(1, 2, LOCK_TYPE_UNLCK), "Rlock");
  await machine.expect({ kind: "Tclunk", tag: 1, fid: 5 }, "Rclunk");
}

/** Status of the Rlock for the lock that waited. */
export function lockStatus(machine: Machine): number {
  const reply = machine.decode(machine.get(REPLY + 0x2000, 8));
  assert.ok(reply.kind === "Rlock" && reply.tag === 9, formatMessage(reply));
  return reply.status;
}

/** The descriptor of a reply. */
export const reply = (flags = WRITE): Descriptor => desc(REPLY, ROOM, flags);
/** The descriptor of a request, which goes on. */
export const first = ([address, length]: Range, next = 1, flags = NEXT): Descriptor =>
  desc(address, length, flags, next);
