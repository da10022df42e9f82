/** What belongs to a descriptor: flags, seals and locks. */

import { F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW } from "./constants.ts";
import { arenaView, FLOCK, libc, outcome, SLOT, u64 } from "./libc.ts";

/**
 * fcntl(2) with a number: `F_GETFL`, `F_SETFL`, `F_DUPFD_CLOEXEC`, `F_GET_SEALS`, `F_ADD_SEALS` and
 * so on.
 *
 * @param argument Not negative; 0 where the command takes none.
 */
export function fcntl(fd: number, command: number, argument: number): number {
  return outcome(libc().fcntl(fd, command, u64(argument)));
}

/** `struct flock`: type[2] whence[2] pad[4] start[8] len[8] pid[4] pad[4] */
function putLock(type: number, start: bigint, length: bigint): void {
  arenaView.setInt16(SLOT.FLOCK, type, true);
  arenaView.setInt16(SLOT.FLOCK + 2, 0, true);
  arenaView.setBigUint64(SLOT.FLOCK + 8, start, true);
  arenaView.setBigUint64(SLOT.FLOCK + 16, length, true);
  arenaView.setInt32(SLOT.FLOCK + 24, 0, true); // must be 0 for these locks
}

/**
 * Lock or unlock a range for the open file description (`F_OFD_SETLK`), without waiting.
 *
 * @param type `F_RDLCK`, `F_WRLCK` or `F_UNLCK`
 * @param start First byte.
 * @param length Bytes, or 0 for all from `start` on.
 * @returns 0, or minus the error: EAGAIN if another description holds a conflicting lock, EBADF if
 * the descriptor is not open for what the lock is about.
 */
export function ofdSetLock(fd: number, type: number, start: bigint, length: bigint): number {
  const c = libc();
  putLock(type, start, length);
  return outcome(c.fcntl(fd, F_OFD_SETLK, FLOCK));
}

/**
 * As {@linkcode ofdSetLock}, but wait (`F_OFD_SETLKW`), which blocks the thread. Not retried when
 * interrupted, so that a signal can end the wait: -EINTR. The kernel finds no deadlocks among these
 * locks.
 */
export function ofdWaitLock(fd: number, type: number, start: bigint, length: bigint): number {
  const c = libc();
  putLock(type, start, length);
  return outcome(c.fcntl(fd, F_OFD_SETLKW, FLOCK));
}

/** What `ofdGetLock` found. */
export class FoundLock {
  /** `F_UNLCK` if nothing is in the way, else the kind of lock. */
  type = 0;
  /** First byte locked. */
  start = 0n;
  /** Bytes locked, 0 for all from `start` on. */
  length = 0n;
  /** Process that holds it; -1 for a lock of an open file description. */
  pid = 0;
}

/** Ask for a lock in the way of this one (`F_OFD_GETLK`); parameters as {@linkcode ofdSetLock}. */
export function ofdGetLock(
  fd: number,
  type: number,
  start: bigint,
  length: bigint,
  into: FoundLock,
): number {
  const c = libc();
  putLock(type, start, length);
  const result = c.fcntl(fd, F_OFD_GETLK, FLOCK);
  if (result < 0) return outcome(result);
  into.type = arenaView.getInt16(SLOT.FLOCK, true);
  into.start = arenaView.getBigUint64(SLOT.FLOCK + 8, true);
  into.length = arenaView.getBigUint64(SLOT.FLOCK + 16, true);
  into.pid = arenaView.getInt32(SLOT.FLOCK + 24, true);
  return result;
}

/**
 * flock(2)
 *
 * @param operation `LOCK_*`; waits without `LOCK_NB`, and then may be -EINTR.
 */
export function flock(fd: number, operation: number): number {
  return outcome(libc().flock(fd, operation));
}
