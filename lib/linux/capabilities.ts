/** Capabilities: what a thread may do although its user may not. */

import { arch } from "./arch.ts";
import {
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
} from "./constants.ts";
import { arenaView, at, libc, SLOT } from "./libc.ts";
import { prctl, rawSyscall } from "./process.ts";

/** Numbers of the capabilities that a file server may have a use for. */
export const CAPABILITIES = {
  /** Give files to others. */
  CHOWN: 0,
  /** Read, write and search everything. */
  DAC_OVERRIDE: 1,
  /** Read and search everything. */
  DAC_READ_SEARCH: 2,
  /** Change modes, times and attributes of the files of others. */
  FOWNER: 3,
  /** Keep set-id bits where others would lose them. */
  FSETID: 4,
  /** Take any group. */
  SETGID: 6,
  /** Take any user. */
  SETUID: 7,
  /** Listen on ports below 1024. */
  NET_BIND_SERVICE: 10,
  /** Make device files. */
  MKNOD: 27,
} as const;

/** Name of a capability, without `CAP_`. */
export type Capability = keyof typeof CAPABILITIES;

/** `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits. */
const VERSION = 0x2008_0522;
/** More than any kernel has. */
const MAX_CAPABILITY = 63;
const WORD = 0xffff_ffffn;

/** Three sets of capabilities of a thread: bit n is capability n. */
export interface CapabilitySets {
  /** What the kernel asks for. */
  readonly effective: bigint;
  /** What the thread can make effective. */
  readonly permitted: bigint;
  /** What goes on to a program, if that wants it. */
  readonly inheritable: bigint;
}

/** capget(2) of this thread, or minus the error. */
export function capget(): CapabilitySets | number {
  libc();
  const header = SLOT.SCRATCH;
  const data = header + 8;
  arenaView.setUint32(header, VERSION, true);
  arenaView.setUint32(header + 4, 0, true);
  const result = Number(rawSyscall(arch.syscalls.capget, at(header), at(data)));
  if (result < 0) return result;
  const set = (offset: number): bigint =>
    BigInt(arenaView.getUint32(data + offset, true)) |
    BigInt(arenaView.getUint32(data + 12 + offset, true)) << 32n;
  return { effective: set(0), permitted: set(4), inheritable: set(8) };
}

/** capset(2) of this thread: 0, or minus the error. */
export function capset(sets: CapabilitySets): number {
  libc();
  const header = SLOT.SCRATCH;
  const data = header + 8;
  arenaView.setUint32(header, VERSION, true);
  arenaView.setUint32(header + 4, 0, true);
  [sets.effective, sets.permitted, sets.inheritable].forEach((set, index) => {
    arenaView.setUint32(data + 4 * index, Number(set & WORD), true);
    arenaView.setUint32(data + 12 + 4 * index, Number(set >> 32n & WORD), true);
  });
  return Number(rawSyscall(arch.syscalls.capset, at(header), at(data)));
}

/**
 * Take all other capabilities out of the bounding set: no program that is started from here gets
 * them any more.
 *
 * @param kept Bit n is capability n.
 * @returns 0, or minus the error.
 */
export function limitCapabilities(kept: bigint): number {
  for (let capability = 0; capability <= MAX_CAPABILITY; capability++) {
    if ((kept >> BigInt(capability) & 1n) === 1n) continue;
    const has = prctl(PR_CAPBSET_READ, capability);
    if (has < 0) return 0; // past the last one
    if (has === 0) continue;
    const result = prctl(PR_CAPBSET_DROP, capability);
    if (result < 0) return result;
  }
  return 0;
}

/**
 * Make these the ambient capabilities: what a user who is not root keeps in the next program. They
 * must be permitted and inheritable.
 *
 * @param kept Bit n is capability n.
 * @returns 0, or minus the error.
 */
export function setAmbientCapabilities(kept: bigint): number {
  const cleared = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  if (cleared < 0) return cleared;
  for (let capability = 0; capability <= MAX_CAPABILITY; capability++) {
    if ((kept >> BigInt(capability) & 1n) === 0n) continue;
    const result = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability);
    if (result < 0) return result;
  }
  return 0;
}
