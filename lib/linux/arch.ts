/**
 * What differs between the processors Linux runs on: a few open flags, system call numbers and one
 * struct.
 */

/** The kernel's interface on one processor. */
export interface Arch {
  /** `O_DIRECT` */
  readonly O_DIRECT: number;
  /** `O_LARGEFILE` */
  readonly O_LARGEFILE: number;
  /** `O_DIRECTORY` */
  readonly O_DIRECTORY: number;
  /** `O_NOFOLLOW` */
  readonly O_NOFOLLOW: number;
  /** Bytes of a `struct epoll_event`, which is packed on x86-64 only. */
  readonly epollEventSize: number;
  /** Offset of `data` in it. */
  readonly epollDataOffset: number;
  /** Numbers of the system calls made without libc. */
  readonly syscalls: Syscalls;
}

/** Numbers of the system calls that libc lacks, changes, or spreads over all threads. */
export interface Syscalls {
  /** Capabilities of a thread. */
  readonly capget: number;
  /** Change them. */
  readonly capset: number;
  /** Close a range of descriptors. */
  readonly close_range: number;
  /** Copy between files inside the kernel. */
  readonly copy_file_range: number;
  /** Become another program. */
  readonly execve: number;
  /** `fchmodat` that knows flags (Linux 6.6). */
  readonly fchmodat2: number;
  /** Read directory entries. */
  readonly getdents64: number;
  /** Id of this thread. */
  readonly gettid: number;
  /** Add a rule to a Landlock ruleset. */
  readonly landlock_add_rule: number;
  /** Create a Landlock ruleset. */
  readonly landlock_create_ruleset: number;
  /** Apply it to this thread. */
  readonly landlock_restrict_self: number;
  /** Mount a file system, or a folder at another place. */
  readonly mount: number;
  /** Change flags of mounts (Linux 5.12). */
  readonly mount_setattr: number;
  /** Open below a folder (Linux 5.6). */
  readonly openat2: number;
  /** Exchange the root folder of a mount namespace. */
  readonly pivot_root: number;
  /** `preadv` with flags. */
  readonly preadv2: number;
  /** `pwritev` with flags. */
  readonly pwritev2: number;
  /** Rename with flags. */
  readonly renameat2: number;
  /** Filter the system calls of this thread. */
  readonly seccomp: number;
  /** Gid for file access, of this thread. */
  readonly setfsgid: number;
  /** Uid for file access, of this thread. */
  readonly setfsuid: number;
  /** Supplementary groups, of this thread. */
  readonly setgroups: number;
  /** Real, effective and saved gid, of this thread. */
  readonly setresgid: number;
  /** Real, effective and saved uid, of this thread. */
  readonly setresuid: number;
  /** File attributes. */
  readonly statx: number;
  /** Signal one thread. */
  readonly tgkill: number;
  /** Unmount, with flags. */
  readonly umount2: number;
  /** Leave namespaces. */
  readonly unshare: number;
}

/** One row for each processor Deno runs on under Linux. */
export const ARCHES: { readonly x86_64: Arch; readonly aarch64: Arch } = {
  x86_64: {
    O_DIRECT: 0o40000,
    O_LARGEFILE: 0o100000,
    O_DIRECTORY: 0o200000,
    O_NOFOLLOW: 0o400000,
    epollEventSize: 12,
    epollDataOffset: 4,
    syscalls: {
      capget: 125,
      capset: 126,
      close_range: 436,
      copy_file_range: 326,
      execve: 59,
      fchmodat2: 452,
      getdents64: 217,
      gettid: 186,
      landlock_add_rule: 445,
      landlock_create_ruleset: 444,
      landlock_restrict_self: 446,
      mount: 165,
      mount_setattr: 442,
      openat2: 437,
      pivot_root: 155,
      preadv2: 327,
      pwritev2: 328,
      renameat2: 316,
      seccomp: 317,
      setfsgid: 123,
      setfsuid: 122,
      setgroups: 116,
      setresgid: 119,
      setresuid: 117,
      statx: 332,
      tgkill: 234,
      umount2: 166,
      unshare: 272,
    },
  },
  aarch64: {
    O_DIRECT: 0o200000,
    O_LARGEFILE: 0o400000,
    O_DIRECTORY: 0o40000,
    O_NOFOLLOW: 0o100000,
    epollEventSize: 16,
    epollDataOffset: 8,
    syscalls: {
      capget: 90,
      capset: 91,
      close_range: 436,
      copy_file_range: 285,
      execve: 221,
      fchmodat2: 452,
      getdents64: 61,
      gettid: 178,
      landlock_add_rule: 445,
      landlock_create_ruleset: 444,
      landlock_restrict_self: 446,
      mount: 40,
      mount_setattr: 442,
      openat2: 437,
      pivot_root: 41,
      preadv2: 286,
      pwritev2: 287,
      renameat2: 276,
      seccomp: 277,
      setfsgid: 152,
      setfsuid: 151,
      setgroups: 159,
      setresgid: 149,
      setresuid: 147,
      statx: 291,
      tgkill: 131,
      umount2: 39,
      unshare: 97,
    },
  },
};

/** The row for this process. */
export const arch: Arch = ARCHES[Deno.build.arch];
