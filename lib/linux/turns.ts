/** How threads take turns on processors, where there are fewer of these. */

import { arch } from "./arch.ts";
import { pin } from "./libc.ts";
import { rawSyscall } from "./process.ts";

/** Bytes of `struct sched_attr` in its first form. */
const SIZE = 48;
const POLICY = 4;
const NICE = 16;
const RUNTIME = 24;
const SCHED_BATCH = 3;
const MAX_NICE = 19;
/** The shortest turn that the kernel knows, nanoseconds. */
const SHORT_TURN = 100_000n;

/** Changes what the kernel says of this thread; 0, or minus the error. */
function change(run: (view: DataView) => void): number {
  const { pointer, view } = pin(SIZE);
  const known = rawSyscall(arch.syscalls.sched_getattr, 0, pointer, SIZE, 0);
  if (known < 0n) return Number(known);
  view.setUint32(0, SIZE, true);
  run(view);
  return Number(rawSyscall(arch.syscalls.sched_setattr, 0, pointer, 0));
}

/**
 * This thread does little at a time and often: it asks for short turns, which the kernel grants
 * before long ones. It gets no more of a processor by that. Kernels before Linux 6.12 take no notice.
 *
 * @returns 0, or minus the error.
 * @see sched_setattr(2)
 */
export function takeShortTurns(): number {
  return change((view) => view.setBigUint64(RUNTIME, SHORT_TURN, true));
}

/**
 * This thread steps back a little where processors are scarce: what wakes it does not take the
 * processor away from another thread, and its share is smaller.
 *
 * @param by How much larger its `nice` value becomes.
 * @returns 0, or minus the error.
 */
export function stepBack(by: number): number {
  return change((view) => {
    view.setUint32(POLICY, SCHED_BATCH, true);
    view.setInt32(NICE, Math.min(view.getInt32(NICE, true) + by, MAX_NICE), true);
    view.setBigUint64(RUNTIME, 0n, true);
  });
}
