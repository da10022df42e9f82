/**
 * libc as a typed table, loaded at the first call and once per thread.
 *
 * Why the table looks as it does: V8 calls a C function directly only if every 64-bit slot gets a
 * bigint; one JavaScript number there makes the whole call about ten times slower. So addresses,
 * sizes and offsets are `u64` slots, filled from `words`/`longs` (see `u64`), and results are `i32`,
 * which fits because the kernel never moves more than 0x7ffff000 bytes in one call.
 */

import { arch } from "./arch.ts";
import {
  EINTR,
  ERROR_NAMES,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "./constants.ts";

// deno-fmt-ignore
const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" }, // of this thread

  // Opening and closing
  openat: { parameters: ["i32", "u64", "i32", "u32"], result: "i32" }, // dirfd, path, flags, mode
  close: { parameters: ["i32"], result: "i32" },
  openat2: { name: "syscall", parameters: ["u64", "i32", "u64", "u64", "u64"], result: "i32" }, // nr, dirfd, path, how, size

  // Bytes
  read: { parameters: ["i32", "u64", "u64"], result: "i32" }, // fd, buffer, count
  write: { parameters: ["i32", "u64", "u64"], result: "i32" },
  pread: { parameters: ["i32", "u64", "u64", "u64"], result: "i32" }, // fd, buffer, count, offset
  pwrite: { parameters: ["i32", "u64", "u64", "u64"], result: "i32" },
  readv: { parameters: ["i32", "u64", "i32"], result: "i32" }, // fd, iov, iovcnt
  writev: { parameters: ["i32", "u64", "i32"], result: "i32" },
  preadv: { parameters: ["i32", "u64", "i32", "u64"], result: "i32" }, // fd, iov, iovcnt, offset
  pwritev: { parameters: ["i32", "u64", "i32", "u64"], result: "i32" },
  rwv2: { name: "syscall", parameters: ["u64", "i32", "u64", "u64", "u64", "u64", "i32"], result: "i32" }, // nr, fd, iov, iovcnt, offset, high half (unused), flags
  lseek: { parameters: ["i32", "u64", "i32"], result: "i64" }, // fd, offset, whence
  ftruncate: { parameters: ["i32", "u64"], result: "i32" },
  truncate: { parameters: ["u64", "u64"], result: "i32" }, // path, length
  fallocate: { parameters: ["i32", "i32", "u64", "u64"], result: "i32" }, // fd, mode, offset, length
  fsync: { parameters: ["i32"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  syncfs: { parameters: ["i32"], result: "i32" },
  sendfile: { parameters: ["i32", "i32", "u64", "u64"], result: "i32" }, // to, from, offset pointer, count
  splice: { parameters: ["i32", "u64", "i32", "u64", "u64", "u32"], result: "i32" }, // from, offset pointer, to, offset pointer, count, flags
  copy_file_range: { name: "syscall", parameters: ["u64", "i32", "u64", "i32", "u64", "u64", "u32"], result: "i32" }, // nr, then as splice

  // Attributes
  statx: { name: "syscall", parameters: ["u64", "i32", "u64", "i32", "u32", "u64"], result: "i32" }, // nr, dirfd, path, flags, mask, buffer
  fstatfs: { parameters: ["i32", "u64"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  chmod: { parameters: ["u64", "u32"], result: "i32" },
  fchmodat: { parameters: ["i32", "u64", "u32", "i32"], result: "i32" }, // dirfd, path, mode, flags
  fchmodat2: { name: "syscall", parameters: ["u64", "i32", "u64", "u32", "i32"], result: "i32" }, // nr, then as fchmodat
  fchown: { parameters: ["i32", "u32", "u32"], result: "i32" },
  fchownat: { parameters: ["i32", "u64", "u32", "u32", "i32"], result: "i32" }, // dirfd, path, uid, gid, flags
  utimensat: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" }, // dirfd, path, times, flags
  faccessat: { parameters: ["i32", "u64", "i32", "i32"], result: "i32" }, // dirfd, path, mode, flags

  // Names
  getdents64: { name: "syscall", parameters: ["u64", "i32", "u64", "u64"], result: "i32" }, // nr, fd, buffer, size
  mkdirat: { parameters: ["i32", "u64", "u32"], result: "i32" },
  mknodat: { parameters: ["i32", "u64", "u32", "u64"], result: "i32" }, // dirfd, path, mode, device
  symlinkat: { parameters: ["u64", "i32", "u64"], result: "i32" }, // target, dirfd, path
  linkat: { parameters: ["i32", "u64", "i32", "u64", "i32"], result: "i32" }, // from, to, flags
  renameat: { parameters: ["i32", "u64", "i32", "u64"], result: "i32" },
  renameat2: { name: "syscall", parameters: ["u64", "i32", "u64", "i32", "u64", "u32"], result: "i32" }, // nr, from, to, flags
  unlinkat: { parameters: ["i32", "u64", "i32"], result: "i32" },
  readlinkat: { parameters: ["i32", "u64", "u64", "u64"], result: "i32" }, // dirfd, path, buffer, size
  name_to_handle_at: { parameters: ["i32", "u64", "u64", "u64", "i32"], result: "i32" }, // dirfd, path, handle, mount id pointer, flags
  open_by_handle_at: { parameters: ["i32", "u64", "i32"], result: "i32" }, // mount fd, handle, flags

  // Extended attributes
  getxattr: { parameters: ["u64", "u64", "u64", "u64"], result: "i32" }, // path, name, value, size
  lgetxattr: { parameters: ["u64", "u64", "u64", "u64"], result: "i32" },
  fgetxattr: { parameters: ["i32", "u64", "u64", "u64"], result: "i32" },
  setxattr: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" }, // path, name, value, size, flags
  lsetxattr: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" },
  fsetxattr: { parameters: ["i32", "u64", "u64", "u64", "i32"], result: "i32" },
  listxattr: { parameters: ["u64", "u64", "u64"], result: "i32" }, // path, list, size
  llistxattr: { parameters: ["u64", "u64", "u64"], result: "i32" },
  flistxattr: { parameters: ["i32", "u64", "u64"], result: "i32" },
  removexattr: { parameters: ["u64", "u64"], result: "i32" },
  lremovexattr: { parameters: ["u64", "u64"], result: "i32" },
  fremovexattr: { parameters: ["i32", "u64"], result: "i32" },

  // Descriptors and locks; fcntl is variadic, which for integers changes nothing on either processor
  fcntl: { parameters: ["i32", "i32", "u64"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },

  // Memory
  mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "u64"], result: "i64" }, // hint, length, prot, flags, fd, offset
  munmap: { parameters: ["u64", "u64"], result: "i32" },
  memfd_create: { parameters: ["u64", "u32"], result: "i32" },

  // Events
  clock_gettime: { parameters: ["i32", "u64"], result: "i32" }, // clock, time
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "u64"], result: "i32" }, // epfd, op, fd, event
  epoll_wait: { parameters: ["i32", "u64", "i32", "i32"], result: "i32" }, // epfd, events, maxevents, timeout ms
  epoll_wait_async: { name: "epoll_wait", parameters: ["i32", "u64", "i32", "i32"], result: "i32", nonblocking: true },
  poll: { parameters: ["u64", "u64", "i32"], result: "i32" }, // fds, nfds, timeout ms
  pipe2: { parameters: ["u64", "i32"], result: "i32" },

  // Sockets
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "u64"], result: "i32" },
  bind: { parameters: ["i32", "u64", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" }, // fd, address, length pointer, flags
  connect: { parameters: ["i32", "u64", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "u64", "u64"], result: "i32" },
  getpeername: { parameters: ["i32", "u64", "u64"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "u64", "u64"], result: "i32" }, // fd, level, name, value, length pointer
  setsockopt: { parameters: ["i32", "i32", "i32", "u64", "u32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  recv: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" }, // fd, buffer, count, flags
  send: { parameters: ["i32", "u64", "u64", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "u64", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "u64", "i32"], result: "i32" },

  // Who we are
  umask: { parameters: ["u32"], result: "u32" },
  getuid: { parameters: [], result: "u32" },
  geteuid: { parameters: [], result: "u32" },
  getgid: { parameters: [], result: "u32" },
  getegid: { parameters: [], result: "u32" },
  getppid: { parameters: [], result: "i32" },
  sched_yield: { parameters: [], result: "i32" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  signal: { parameters: ["i32", "u64"], result: "i64" }, // signal, handler
  prlimit64: { parameters: ["i32", "i32", "u64", "u64"], result: "i32" }, // pid, resource, new, old
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  setfsid: { name: "syscall", parameters: ["u64", "u32"], result: "u32" }, // nr, id: the old id
  syscall: { parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64"], result: "i64" },
} as const;

/** The functions of libc, as Deno types them. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Whether this process can use the module at all. */
export const isLinux: boolean = Deno.build.os === "linux";

/**
 * Refuse to go on where there is no Linux.
 *
 * @param verb What the user asked for, as in "Cannot serve: …".
 * @throws {Error} If this is another system.
 */
export function requireLinux(verb: string): void {
  if (isLinux) return;
  throw new Error(
    `Cannot ${verb}: virtfs ${verb} needs Linux (this is ${Deno.build.os} on ${Deno.build.arch})`,
  );
}

/**
 * Slots of the fixed arena, as offsets from its start. They are used for one call at a time, between
 * which nothing in them lives on.
 */
export const SLOT = {
  /** A path or name, at most 4096 bytes with its NUL. */
  NAME: 0,
  /** A second one, for calls with two. */
  OTHER: 4096,
  /** "/proc/self/fd/N" or "/proc/self/fd/N/name"; the first 14 bytes are always there. */
  PROC: 8192,
  /** The name of an extended attribute. */
  ATTRIBUTE: 12800,
  /** An empty path. */
  EMPTY: 13312,
  /** `struct open_how` */
  HOW: 13376,
  /** Two `struct timespec` */
  TIMES: 13440,
  /** `struct flock` */
  FLOCK: 13504,
  /** `struct sockaddr_storage` */
  ADDRESS: 13568,
  /** `socklen_t` of it. */
  ADDRESS_SIZE: 13760,
  /** A socket option. */
  OPTION: 13824,
  /** `socklen_t` of it. */
  OPTION_SIZE: 13888,
  /** `struct msghdr` */
  MESSAGE: 13952,
  /** Its control data: one header and 253 descriptors. */
  CONTROL: 14080,
  /** `struct epoll_event` */
  EVENT: 15168,
  /** Two `struct rlimit64` */
  LIMITS: 15232,
  /** Two descriptors. */
  PAIR: 15296,
  /** Two file offsets. */
  OFFSETS: 15360,
  /** A mount id. */
  MOUNT_ID: 15424,
  /** 64 KiB for whatever comes next: link targets, attribute values and lists, groups. */
  SCRATCH: 16384,
} as const;

/** Bytes of the scratch slot. */
export const SCRATCH_SIZE = 65536;

const ARENA_SIZE = SLOT.SCRATCH + SCRATCH_SIZE;

let loaded: Libc | undefined;
let errnoCell: Int32Array = new Int32Array(1);

/** The arena, empty until libc is loaded. */
export let arena: Uint8Array = new Uint8Array(0);
/** The same bytes, for numbers. */
export let arenaView: DataView = new DataView(arena.buffer);
/** Address of the arena. */
export let arenaAddress = 0;

/** Addresses of slots, as the bigints that calls take. They are constant once libc is loaded. */
export let NAME = 0n;
/** Address of {@linkcode SLOT.OTHER}. */
export let OTHER = 0n;
/** Address of {@linkcode SLOT.PROC}. */
export let PROC = 0n;
/** Address of {@linkcode SLOT.ATTRIBUTE}. */
export let ATTRIBUTE = 0n;
/** Address of {@linkcode SLOT.EMPTY}. */
export let EMPTY = 0n;
/** Address of {@linkcode SLOT.HOW}. */
export let HOW = 0n;
/** Address of {@linkcode SLOT.TIMES}. */
export let TIMES = 0n;
/** Address of {@linkcode SLOT.FLOCK}. */
export let FLOCK = 0n;
/** Address of {@linkcode SLOT.MESSAGE}. */
export let MESSAGE = 0n;
/** Address of {@linkcode SLOT.EVENT}. */
export let EVENT = 0n;

/**
 * The functions of libc; loads them at the first call.
 *
 * @throws {Error} If this is not Linux, or Deno may not use FFI.
 */
export function libc(): Libc {
  return loaded ?? load();
}

/**
 * Runs a function with something else in the place of libc.
 *
 * @param functions Those that it may call.
 */
export function standIn<T>(functions: Libc, run: () => T): T {
  const real = libc();
  loaded = functions;
  try {
    return run();
  } finally {
    loaded = real;
  }
}

/**
 * Load libc now instead of at the first call. A server does so before it answers anybody; a test
 * file does so outside of its tests, since the library stays open and Deno would call that a leak.
 *
 * @throws {Error} If this is not Linux, or Deno may not use FFI.
 */
export function loadLibc(): void {
  libc();
}

function load(): Libc {
  if (!isLinux) requireLinux("serve");
  const symbols = open().symbols;
  const cell = symbols.__errno_location();
  if (cell === null) throw new Error("Cannot load libc: it has no errno");
  // Taken once: asking libc at every failure costs more than the failure.
  errnoCell = new Int32Array(new Deno.UnsafePointerView(cell).getArrayBuffer(4));
  const start = symbols.mmap(
    0n,
    BigInt(ARENA_SIZE),
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_ANONYMOUS,
    -1,
    0n,
  );
  if (start === -1n) throw new LinuxError("allocate memory for system calls", errno());
  const pointer = Deno.UnsafePointer.create(start);
  if (pointer === null) throw new LinuxError("allocate memory for system calls", errno());
  const buffer = new Deno.UnsafePointerView(pointer).getArrayBuffer(ARENA_SIZE);
  arena = new Uint8Array(buffer);
  arenaView = new DataView(buffer);
  arenaAddress = Number(start);
  arena.set(new TextEncoder().encode("/proc/self/fd/"), SLOT.PROC);
  NAME = start + BigInt(SLOT.NAME);
  OTHER = start + BigInt(SLOT.OTHER);
  PROC = start + BigInt(SLOT.PROC);
  ATTRIBUTE = start + BigInt(SLOT.ATTRIBUTE);
  EMPTY = start + BigInt(SLOT.EMPTY);
  HOW = start + BigInt(SLOT.HOW);
  TIMES = start + BigInt(SLOT.TIMES);
  FLOCK = start + BigInt(SLOT.FLOCK);
  MESSAGE = start + BigInt(SLOT.MESSAGE);
  EVENT = start + BigInt(SLOT.EVENT);
  loaded = symbols;
  return symbols;
}

function open(): Deno.DynamicLibrary<typeof SYMBOLS> {
  try {
    return Deno.dlopen("libc.so.6", SYMBOLS);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    try {
      return Deno.dlopen(`libc.musl-${Deno.build.arch}.so.1`, SYMBOLS);
    } catch {
      throw error; // the first one says more: musl is the exception
    }
  }
}

/** The error of the last call of this thread. Only valid right after a call that failed. */
export function errno(): number {
  return errnoCell[0] as number;
}

/** A result, or minus the error if there is none. */
export function outcome(result: number): number {
  return result < 0 ? -(errnoCell[0] as number) : result;
}

/** Whether the call that just failed was only interrupted by a signal. */
export function interrupted(): boolean {
  return errnoCell[0] === EINTR;
}

/**
 * The register file: numbers go in as two halves and come out as one bigint, which V8 then never
 * allocates. Each call uses registers from 0 on; nothing in them outlives it.
 */
const words: Uint32Array = new Uint32Array(16);
const longs: BigUint64Array = new BigUint64Array(words.buffer);

/** A size or address (not negative, below 2^53) as what a 64-bit slot takes. */
export function u64(value: number): bigint {
  words[0] = value;
  words[1] = value / 4294967296;
  return longs[0] as bigint;
}

/** As {@linkcode u64}, in the second register. */
export function u64b(value: number): bigint {
  words[2] = value;
  words[3] = value / 4294967296;
  return longs[1] as bigint;
}

/** Address of a slot of the arena that has no constant of its own above. */
export function at(slot: number): bigint {
  const address = arenaAddress + slot;
  words[4] = address;
  words[5] = address / 4294967296;
  return longs[2] as bigint;
}

/** Bytes of JavaScript's own whose address does not change. */
export interface Pinned {
  /** The bytes; whoever uses `address` must keep them alive. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes, for numbers. */
  readonly view: DataView<ArrayBuffer>;
  /** Their address. */
  readonly address: number;
  /** The same as what a 64-bit slot takes. */
  readonly pointer: bigint;
}

/** Allocate zeroed bytes that the kernel can fill. They live as long as somebody holds the result. */
export function pin(size: number): Pinned {
  libc();
  const bytes = new Uint8Array(new ArrayBuffer(size));
  const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  return { bytes, view: new DataView(bytes.buffer), address: Number(pointer), pointer };
}

/** Number of a system call as what a 64-bit slot takes. */
export const NR: { readonly [Name in keyof typeof arch.syscalls]: bigint } = Object.fromEntries(
  Object.entries(arch.syscalls).map(([name, number]) => [name, BigInt(number)]),
) as { [Name in keyof typeof arch.syscalls]: bigint };

/** A system call that failed, for callers to whom a negative number says too little. */
export class LinuxError extends Error {
  /** The class's name. */
  override readonly name = "LinuxError";
  /** The error's number, positive. */
  readonly code: number;

  /**
   * Say what failed.
   *
   * @param what What was tried: "bind the socket".
   * @param code The error's number, positive.
   */
  constructor(what: string, code: number) {
    super(`Cannot ${what}: ${errorName(code)}`);
    this.code = code;
  }
}

/**
 * The name of an error, for messages.
 *
 * @param code The number, positive or as calls return it.
 */
export function errorName(code: number): string {
  const positive = Math.abs(code);
  return ERROR_NAMES.get(positive) ?? `error ${positive}`;
}

/**
 * Turn a failure into an exception, off the hot path.
 *
 * @param result What a call returned.
 * @param what What was tried: "bind the socket".
 * @returns The result, if it is not negative.
 * @throws {LinuxError} If it is.
 */
export function check(result: number, what: string): number {
  if (result < 0) throw new LinuxError(what, -result);
  return result;
}
