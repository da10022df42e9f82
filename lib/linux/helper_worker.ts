/**
 * A thread behind `Helpers`: makes system calls, and sleeps while there are none.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { EINTR, EPERM, NGROUPS_MAX, NO_CHANGE } from "./constants.ts";
import { eventfdWrite, monotonicMicros } from "./event.ts";
import { END_WORDS, HelperTable, JOB_LONGS, JOBS, USER, WORD } from "./helper_table.ts";
import { errno, libc, NR, pin, type Pinned } from "./libc.ts";
import { getegid, geteuid, setfsgid, setfsuid } from "./process.ts";
import { stepBack } from "./turns.ts";

/** Does jobs until the end. */
function help(table: HelperTable): void {
  const { words, given } = table;
  for (;;) {
    const bell = Atomics.load(words, WORD.BELL);
    if (Atomics.load(words, WORD.STOP) !== 0) return;
    const taken = Atomics.load(words, WORD.TAKEN);
    if (taken === Atomics.load(words, WORD.GIVEN)) {
      Atomics.wait(words, WORD.BELL, bell);
      continue;
    }
    const job = Atomics.load(given, taken & (JOBS - 1));
    if (Atomics.compareExchange(words, WORD.TAKEN, taken, taken + 1 | 0) === taken) {
      carryOut(table, job);
    }
  }
}

function carryOut({ words, done, ends, longs }: HelperTable, job: number): void {
  const at = job * JOB_LONGS;
  const begun = monotonicMicros();
  const result = longs[at + USER.IS_SET] === 0n ? call(longs, at) : callAs(longs, at);
  ends[job * END_WORDS] = result;
  ends[job * END_WORDS + 1] = Math.min(monotonicMicros() - begun, 0x7fff_ffff);
  const index = Atomics.add(words, WORD.DONE, 1);
  Atomics.store(done, index & (JOBS - 1), job + 1);
  if (Atomics.exchange(words, WORD.TOLD, 1) === 0) {
    eventfdWrite(Atomics.load(words, WORD.EVENT), 1);
  }
}

/** Makes a call as a user, and is the server again. Nobody else is on this thread meanwhile. */
function callAs(longs: BigUint64Array, at: number): number {
  const uid = Number(longs[at + USER.UID]);
  const gid = Number(longs[at + USER.GID]);
  const own = ownGroups();
  const set = setGroups(longs[at + USER.GROUPS] as bigint, longs[at + USER.LIST] as bigint);
  if (set < 0) return set;
  setfsgid(gid);
  setfsuid(uid);
  // The kernel reports no failure by itself; what changes nothing tells who it is.
  const isSet = setfsuid(NO_CHANGE) === uid && setfsgid(NO_CHANGE) === gid;
  const result = isSet ? call(longs, at) : -EPERM;
  setfsuid(geteuid());
  setfsgid(getegid());
  setGroups(own.count, own.list.pointer);
  return result;
}

function setGroups(count: bigint, list: bigint): number {
  const result = libc().syscall(NR.setgroups, count, list, 0n, 0n, 0n, 0n);
  return result < 0n ? -errno() : 0;
}

/** Groups of the server, which this thread has begun with. */
let groups: { readonly count: bigint; readonly list: Pinned } | undefined;

function ownGroups(): { readonly count: bigint; readonly list: Pinned } {
  if (groups !== undefined) return groups;
  const list = pin(4 * NGROUPS_MAX);
  const count = libc().syscall(
    NR.getgroups,
    BigInt(NGROUPS_MAX),
    list.pointer,
    0n,
    0n,
    0n,
    0n,
  );
  return groups = { count: count < 0n ? 0n : count, list };
}

/** Makes the call again and again while signals interrupt it. */
function call(longs: BigUint64Array, at: number): number {
  const c = libc();
  for (;;) {
    const result = c.syscall(
      longs[at] as bigint,
      longs[at + 1] as bigint,
      longs[at + 2] as bigint,
      longs[at + 3] as bigint,
      longs[at + 4] as bigint,
      longs[at + 5] as bigint,
      longs[at + 6] as bigint,
    );
    if (result >= 0n) return Number(result);
    const error = errno();
    if (error !== EINTR) return -error;
  }
}

/** Whoever serves goes before its helpers where processors are scarce. */
const STEP_BACK = 5;

stepBack(STEP_BACK);

self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  help(new HelperTable(data));
  self.close();
};
