/**
 * A filter that refuses system calls which no file server makes.
 *
 * It lists what is refused, not what is allowed: the engine's threads make calls that change with
 * every version, and a filter that stops one of them ends the server for no reason. What it refuses
 * are ways out of what else restrains the process, and parts of the kernel that are rarely used and
 * therefore rarely right.
 *
 * @see seccomp(2), and Documentation/userspace-api/seccomp_filter.rst of the kernel
 */

import { arch } from "./arch.ts";
import { ENOSYS, EPERM } from "./constants.ts";
import { arenaView, at, libc, SLOT } from "./libc.ts";
import { rawSyscall } from "./process.ts";

/** Numbers of one call: x86-64, then aarch64, which lacks some. */
type Numbers = readonly [x86_64: number, aarch64?: number];

/** Calls that answer EPERM. */
const REFUSED: Readonly<Record<string, Numbers>> = {
  // Other processes
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  process_madvise: [440, 440],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],

  // Mounts, roots and namespaces
  chroot: [161, 51],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  open_by_handle_at: [304, 265], // opens files without a path: no root or mount would hold it
  open_tree: [428, 428],
  pivot_root: [155, 41],
  setns: [308, 268],
  umount2: [166, 39],
  unshare: [272, 97],

  // The machine
  acct: [163, 89],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  clock_settime: [227, 112],
  delete_module: [176, 106],
  finit_module: [313, 273],
  init_module: [175, 105],
  ioperm: [173],
  iopl: [172],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  reboot: [169, 142],
  setdomainname: [171, 162],
  sethostname: [170, 161],
  settimeofday: [164, 170],
  swapoff: [168, 225],
  swapon: [167, 224],
  syslog: [103, 116],
  vhangup: [153, 58],

  // Large and rarely used parts of the kernel
  add_key: [248, 217],
  bpf: [321, 280],
  fanotify_init: [300, 262],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  modify_ldt: [154],
  perf_event_open: [298, 241],
  personality: [135, 92],
  request_key: [249, 218],
  uselib: [134],
  userfaultfd: [323, 282],
};

/** `clone`, refused with any of these flags: new namespaces of mount, cgroup, UTS, IPC, user, pid and network. */
const CLONE: Numbers = [56, 220];
const CLONE_NEW_ANY = 0x7e02_0000;
/** `clone3`, whose flags a filter cannot see: libc goes on with `clone` when it does not exist. */
const CLONE3 = 435;
/** `ioctl`, refused for requests that type into a terminal. */
const IOCTL: Numbers = [16, 29];
const TERMINAL_REQUESTS = [0x5412, 0x541c]; // TIOCSTI, TIOCLINUX

/** `AUDIT_ARCH_*` by processor. */
const AUDIT_ARCH = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 };
/** Numbers from here on are those of the x32 interface, which has the same `AUDIT_ARCH_*`. */
const X32 = 0x4000_0000;

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const ANY_BIT = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K

const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;

/** Offsets in `struct seccomp_data`. */
const DATA = { NR: 0, ARCH: 4, ARGUMENT_0: 16, ARGUMENT_1: 24 };

/** `code[2] jt[1] jf[1] k[4]` */
const INSTRUCTION_SIZE = 8;
const MODE_FILTER = 1; // SECCOMP_SET_MODE_FILTER
/** Without it, old kernels slow the process down against a kind of Spectre that it has no use for. */
const FLAG_SPEC_ALLOW = 4;

/** One instruction. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

/** Names of the calls that {@linkcode denyingProgram} refuses whatever their arguments. */
export function deniedCalls(processor: typeof Deno.build.arch = Deno.build.arch): string[] {
  const column = processor === "x86_64" ? 0 : 1;
  return Object.keys(REFUSED).filter((name) => REFUSED[name]?.[column] !== undefined);
}

/** Assembles the filter for a processor: classic BPF, as `struct sock_filter`s. */
export function denyingProgram(
  processor: typeof Deno.build.arch = Deno.build.arch,
): Uint8Array<ArrayBuffer> {
  const column = processor === "x86_64" ? 0 : 1;
  const refuse: Instruction = [RETURN, 0, 0, ERRNO | EPERM];
  const program: Instruction[] = [
    [LOAD, 0, 0, DATA.ARCH],
    [EQUAL, 1, 0, AUDIT_ARCH[processor]],
    refuse,
    [LOAD, 0, 0, DATA.NR],
  ];
  if (processor === "x86_64") program.push([AT_LEAST, 0, 1, X32], refuse);
  for (const numbers of Object.values(REFUSED)) {
    const number = numbers[column];
    if (number !== undefined) program.push([EQUAL, 0, 1, number], refuse);
  }
  program.push(
    [EQUAL, 0, 1, CLONE3],
    [RETURN, 0, 0, ERRNO | ENOSYS],
    [EQUAL, 0, 3, CLONE[column] as number],
    [LOAD, 0, 0, DATA.ARGUMENT_0],
    [ANY_BIT, 0, 3 + TERMINAL_REQUESTS.length, CLONE_NEW_ANY],
    refuse,
    [EQUAL, 0, 1 + TERMINAL_REQUESTS.length, IOCTL[column] as number],
    [LOAD, 0, 0, DATA.ARGUMENT_1],
    ...TERMINAL_REQUESTS.map((request, index): Instruction => {
      return [EQUAL, TERMINAL_REQUESTS.length - index, 0, request];
    }),
    [RETURN, 0, 0, ALLOW],
    refuse,
  );
  const bytes = new Uint8Array(INSTRUCTION_SIZE * program.length);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, ifTrue, ifFalse, k], index) => {
    const start = INSTRUCTION_SIZE * index;
    view.setUint16(start, code, true);
    view.setUint8(start + 2, ifTrue);
    view.setUint8(start + 3, ifFalse);
    view.setUint32(start + 4, k, true);
  });
  return bytes;
}

/**
 * Have this thread's system calls filtered, for good; `no_new_privs` must be set.
 *
 * @param program As {@linkcode denyingProgram} makes it.
 * @returns 0, or minus the error.
 */
export function filterSystemCalls(program: Uint8Array): number {
  libc();
  // struct sock_fprog: len[2] pad[6] filter[8]
  const start = SLOT.SCRATCH + 16;
  new Uint8Array(arenaView.buffer, start, program.length).set(program);
  arenaView.setBigUint64(SLOT.SCRATCH, BigInt(program.length / INSTRUCTION_SIZE), true);
  arenaView.setBigUint64(SLOT.SCRATCH + 8, at(start), true);
  return Number(
    rawSyscall(arch.syscalls.seccomp, MODE_FILTER, FLAG_SPEC_ALLOW, at(SLOT.SCRATCH)),
  );
}
