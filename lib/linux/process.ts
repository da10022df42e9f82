/** Who this process and thread are, and what they may use. */

import { arenaView, at, errno, libc, NAME, NR, outcome, pin, SLOT, u64, u64b } from "./libc.ts";
import { arch } from "./arch.ts";
import { EINVAL, ENOENT, NGROUPS_MAX, PATH_MAX } from "./constants.ts";
import { MappedMemory } from "./memory.ts";
import { putName } from "./names.ts";

/** umask(2), of the whole process; returns the old one. */
export function umask(mask: number): number {
  return libc().umask(mask);
}

/** getuid(2) */
export function getuid(): number {
  return libc().getuid();
}

/** geteuid(2) */
export function geteuid(): number {
  return libc().geteuid();
}

/** getgid(2) */
export function getgid(): number {
  return libc().getgid();
}

/** getegid(2) */
export function getegid(): number {
  return libc().getegid();
}

/** getppid(2) */
export function getppid(): number {
  return libc().getppid();
}

/** Id of the calling thread. */
export function gettid(): number {
  return Number(libc().syscall(NR.gettid, 0n, 0n, 0n, 0n, 0n, 0n));
}

/** sched_yield(2) */
export function schedYield(): number {
  return outcome(libc().sched_yield());
}

/**
 * Set the uid for file access, of this thread only. The kernel reports no failure: call again with
 * 0xffffffff, which changes nothing, and compare.
 *
 * @returns The old one.
 */
export function setfsuid(uid: number): number {
  return libc().setfsid(NR.setfsuid, uid);
}

/** As {@linkcode setfsuid}, for the gid. */
export function setfsgid(gid: number): number {
  return libc().setfsid(NR.setfsgid, gid);
}

/**
 * Set the supplementary groups of this thread only, which libc's function would set for all.
 *
 * @returns 0, or minus the error.
 */
export function setgroups(groups: readonly number[]): number {
  if (groups.length > NGROUPS_MAX) return -EINVAL;
  const c = libc();
  // Small lists, the usual ones, need no memory of their own.
  const own = groups.length * 4 > 65536 ? pin(groups.length * 4) : undefined;
  const view = own?.view ?? arenaView;
  const base = own === undefined ? SLOT.SCRATCH : 0;
  for (let index = 0; index < groups.length; index++) {
    view.setUint32(base + index * 4, groups[index] as number, true);
  }
  const pointer = own?.pointer ?? at(SLOT.SCRATCH);
  const result = c.syscall(NR.setgroups, BigInt(groups.length), pointer, 0n, 0n, 0n, 0n);
  return result < 0n ? -errno() : Number(result);
}

/**
 * kill(2)
 *
 * @param signal Its number; 0 only asks whether the process exists.
 */
export function kill(pid: number, signal: number): number {
  return outcome(libc().kill(pid, signal));
}

/**
 * prctl(2), which is about this thread.
 *
 * @param option `PR_*`
 */
export function prctl(option: number, a: number = 0, b: number = 0): number {
  return outcome(libc().prctl(option, u64(a), u64b(b), 0n, 0n));
}

/** Two bounds on a resource; 2^64 - 1 is none. */
export interface Limit {
  /** What holds now. */
  readonly soft: bigint;
  /** How far the soft one may be raised. */
  readonly hard: bigint;
}

/**
 * getrlimit(2), or minus the error.
 *
 * @param resource `RLIMIT_*`
 */
export function getrlimit(resource: number): Limit | number {
  const result = libc().prlimit64(0, resource, 0n, at(SLOT.LIMITS));
  if (result < 0) return outcome(result);
  return {
    soft: arenaView.getBigUint64(SLOT.LIMITS, true),
    hard: arenaView.getBigUint64(SLOT.LIMITS + 8, true),
  };
}

/**
 * setrlimit(2): 0, or minus the error.
 *
 * @param resource `RLIMIT_*`
 */
export function setrlimit(resource: number, limit: Limit): number {
  const c = libc();
  arenaView.setBigUint64(SLOT.LIMITS, limit.soft, true);
  arenaView.setBigUint64(SLOT.LIMITS + 8, limit.hard, true);
  return outcome(c.prlimit64(0, resource, at(SLOT.LIMITS), 0n));
}

/**
 * Any system call, for what has no function here; never hot.
 *
 * @param number Its number; see `ARCHES`.
 * @param parameters At most 6, as 64-bit values; negative ones are sign-extended.
 * @returns The result, or minus the error.
 */
export function rawSyscall(number: number, ...parameters: (number | bigint)[]): bigint {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = parameters;
  const result = libc().syscall(
    BigInt(number),
    BigInt.asUintN(64, BigInt(a)),
    BigInt.asUintN(64, BigInt(b)),
    BigInt.asUintN(64, BigInt(c)),
    BigInt.asUintN(64, BigInt(d)),
    BigInt.asUintN(64, BigInt(e)),
    BigInt.asUintN(64, BigInt(f)),
  );
  return result === -1n ? BigInt(-errno()) : result;
}

/** Strings for the kernel as `argv` and `envp` are: pointers, then the strings themselves. */
function stringsInto(
  memory: MappedMemory,
  start: number,
  strings: readonly Uint8Array[],
): { readonly list: number; readonly end: number } {
  const { address, bytes, view } = memory;
  let text = start + 8 * (strings.length + 1);
  strings.forEach((string, index) => {
    view.setBigUint64(start + 8 * index, BigInt(address + text), true);
    bytes.set(string, text);
    text += string.length + 1;
  });
  return { list: address + start, end: Math.ceil(text / 8) * 8 };
}

/**
 * execve(2): this process becomes another program and keeps its number. All other threads end; what
 * this one has been given or denied (namespaces, capabilities, Landlock, filters) is what holds.
 *
 * @param path The program.
 * @param argv Its words, the first being its own name; bytes without NUL.
 * @param envp Its environment, as `NAME=VALUE`; bytes without NUL.
 * @returns Only if it failed: minus the error.
 */
export function execve(
  path: string,
  argv: readonly Uint8Array[],
  envp: readonly Uint8Array[],
): number {
  libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const all = [...argv, ...envp];
  if (all.some((text) => text.includes(0))) return -EINVAL;
  using memory = MappedMemory.anonymous(all.reduce((sum, { length }) => sum + length + 16, 64));
  const words = stringsInto(memory, 0, argv);
  const environment = stringsInto(memory, words.end, envp);
  return Number(rawSyscall(arch.syscalls.execve, NAME, words.list, environment.list));
}

/**
 * unshare(2), which is about this thread.
 *
 * @param flags `CLONE_NEW*`
 * @returns 0, or minus the error.
 */
export function unshare(flags: number): number {
  return Number(rawSyscall(arch.syscalls.unshare, flags));
}

/** Id in the third field of a line of /etc/passwd or /etc/group, found by the first. */
function idOf(file: string, name: string): number {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch {
    return -ENOENT;
  }
  for (const line of text.split("\n")) {
    const [found, , id] = line.split(":");
    if (found === name && id !== undefined && /^\d{1,10}$/.test(id)) return Number(id);
  }
  return -ENOENT;
}

/** The gid of a group by /etc/group, or -ENOENT. Directory services are not asked. */
export function groupId(name: string): number {
  return idOf("/etc/group", name);
}

/** The uid of a user by /etc/passwd, or -ENOENT. Directory services are not asked. */
export function userId(name: string): number {
  return idOf("/etc/passwd", name);
}

/** What `signal` is told to have a signal ignored. */
const SIG_IGN = 1n;

/**
 * signal(2), to ignore a signal in the whole process.
 *
 * @param signal Such as SIGXFSZ, whose default would end the process when a file grows too large.
 * @returns 0, or minus the error.
 */
export function ignoreSignal(signal: number): number {
  return libc().signal(signal, SIG_IGN) === -1n ? -errno() : 0;
}
