/**
 * Calls that are written down instead of made, so that another thread can make them.
 *
 * Whatever function of this folder is run by {@linkcode record} puts its names where it always does
 * and calls libc as it always does; but libc is a stand-in then, which notes the number of the
 * system call and its arguments. So there is one function for each call, not two.
 *
 * @module
 */

import { type ActingUser, actingUser } from "./acting.ts";
import { AT_FDCWD } from "./constants.ts";
import { arena, arenaAddress, type Libc, NR, pin, type Pinned, SLOT, standIn } from "./libc.ts";

/** A system call that somebody else is to make. */
export interface RecordedCall {
  /** Its number. */
  readonly number: bigint;
  /** Its arguments, as the kernel takes them. */
  readonly parameters: readonly bigint[];
  /** A copy of the arena, where arguments point into it; to be kept until the call is done. */
  readonly memory: Pinned | null;
  /** As whom it is to be made; null for the server. */
  readonly user: ActingUser | null;
}

type Argument = number | bigint;
type Call = (...parameters: Argument[]) => number;

let taken: Omit<RecordedCall, "user"> | undefined;

/**
 * Notes a call.
 *
 * @param pointers Which arguments may point into the arena, where the next call writes.
 */
function take(
  number: bigint,
  parameters: readonly Argument[],
  pointers: readonly number[],
): number {
  if (taken !== undefined) throw new TypeError("Cannot hand over a call: it is not the only one");
  const moved = parameters.map((each) => BigInt.asUintN(64, BigInt(each)));
  const start = BigInt(arenaAddress);
  const end = start + BigInt(arena.length);
  let size = 0;
  for (const index of pointers) {
    const address = moved[index] as bigint;
    if (address < start || address >= end) continue;
    size = address < start + BigInt(SLOT.SCRATCH) ? Math.max(size, SLOT.SCRATCH) : arena.length;
  }
  let memory: Pinned | null = null;
  if (size > 0) {
    memory = pin(arena.length);
    memory.bytes.set(arena.subarray(0, size));
    for (const index of pointers) {
      const address = moved[index] as bigint;
      if (address >= start && address < end) moved[index] = address - start + memory.pointer;
    }
  }
  taken = { number, parameters: moved, memory };
  return 0;
}

/** A function of libc that is a system call with the same arguments. */
function same(number: bigint, ...pointers: number[]): Call {
  return (...parameters) => take(number, parameters, pointers);
}

/** One that is called by its number already. */
function numbered(...pointers: number[]): Call {
  return (number, ...parameters) => take(number as bigint, parameters, pointers);
}

const STAND_IN = {
  openat: same(NR.openat, 1),
  openat2: numbered(1, 2),
  close: same(NR.close),
  pread: same(NR.pread64),
  pwrite: same(NR.pwrite64),
  // The kernel takes the offset in two halves, of which the first is all of it on 64-bit systems.
  preadv: (...parameters: Argument[]) => take(NR.preadv, [...parameters, 0n], []),
  pwritev: (...parameters: Argument[]) => take(NR.pwritev, [...parameters, 0n], []),
  ftruncate: same(NR.ftruncate),
  truncate: same(NR.truncate, 0),
  fsync: same(NR.fsync),
  fdatasync: same(NR.fdatasync),
  statx: numbered(1),
  fstatfs: same(NR.fstatfs),
  chmod: (path: Argument, mode: Argument) => take(NR.fchmodat, [AT_FDCWD, path, mode], [1]),
  fchownat: same(NR.fchownat, 1),
  utimensat: same(NR.utimensat, 1, 2),
  getdents64: numbered(),
  mkdirat: same(NR.mkdirat, 1),
  mknodat: same(NR.mknodat, 1),
  symlinkat: same(NR.symlinkat, 0, 2),
  linkat: same(NR.linkat, 1, 3),
  renameat: (...parameters: Argument[]) => take(NR.renameat2, [...parameters, 0], [1, 3]),
  renameat2: numbered(1, 3),
  unlinkat: same(NR.unlinkat, 1),
  readlinkat: same(NR.readlinkat, 1, 2),
  getxattr: same(NR.getxattr, 0, 1, 2),
  listxattr: same(NR.listxattr, 0, 1),
  removexattr: same(NR.removexattr, 0, 1),
  setxattr: same(NR.setxattr, 0, 1, 2),
} satisfies { readonly [Name in keyof Libc]?: Call };

/**
 * Runs a function of this folder without making its call.
 *
 * The call is to be made as whom this thread acts as now, unless `user` says otherwise.
 *
 * @param run Makes one call; its names and values are copied, other memory is only pointed to.
 * @returns The call, or the result if it ended before the call: a name with a NUL in it, say.
 * @throws {TypeError} If it makes another number of calls, or one that cannot be handed over.
 */
export function record(
  run: () => number,
  user: ActingUser | null = actingUser(),
): RecordedCall | number {
  taken = undefined;
  const result = standIn(STAND_IN as Partial<Libc> as Libc, run);
  const call = taken as Omit<RecordedCall, "user"> | undefined;
  taken = undefined;
  return call === undefined ? result : { ...call, user };
}
