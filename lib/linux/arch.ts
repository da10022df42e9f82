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

/**
 * Numbers of the system calls that libc lacks, changes or spreads over all threads, and of those
 * that helpers make.
 */
export interface Syscalls {
  /** Capabilities of a thread. */
  readonly capget: number;
  /** Change them. */
  readonly capset: number;
  /** Close a descriptor. */
  readonly close: number;
  /** Close a range of descriptors. */
  readonly close_range: number;
  /** Copy between files inside the kernel. */
  readonly copy_file_range: number;
  /** Become another program. */
  readonly execve: number;
  /** Change a mode. */
  readonly fchmodat: number;
  /** `fchmodat` that knows flags (Linux 6.6). */
  readonly fchmodat2: number;
  /** Change an owner. */
  readonly fchownat: number;
  /** Bring bytes to stable storage. */
  readonly fdatasync: number;
  /** Statistics of a file system. */
  readonly fstatfs: number;
  /** Bring a file to stable storage. */
  readonly fsync: number;
  /** Cut a file. */
  readonly ftruncate: number;
  /** Read directory entries. */
  readonly getdents64: number;
  /** Supplementary groups of this thread. */
  readonly getgroups: number;
  /** Id of this thread. */
  readonly gettid: number;
  /** Value of an extended attribute. */
  readonly getxattr: number;
  /** Add a rule to a Landlock ruleset. */
  readonly landlock_add_rule: number;
  /** Create a Landlock ruleset. */
  readonly landlock_create_ruleset: number;
  /** Apply it to this thread. */
  readonly landlock_restrict_self: number;
  /** Give a file one more name. */
  readonly linkat: number;
  /** Names of extended attributes. */
  readonly listxattr: number;
  /** Make a folder. */
  readonly mkdirat: number;
  /** Make a file of any type. */
  readonly mknodat: number;
  /** Mount a file system, or a folder at another place. */
  readonly mount: number;
  /** Change flags of mounts (Linux 5.12). */
  readonly mount_setattr: number;
  /** Open below a folder. */
  readonly openat: number;
  /** Open below a folder (Linux 5.6). */
  readonly openat2: number;
  /** Exchange the root folder of a mount namespace. */
  readonly pivot_root: number;
  /** Read at an offset, to one address. */
  readonly pread64: number;
  /** Read at an offset. */
  readonly preadv: number;
  /** `preadv` with flags. */
  readonly preadv2: number;
  /** Write at an offset, from one address. */
  readonly pwrite64: number;
  /** Write at an offset. */
  readonly pwritev: number;
  /** `pwritev` with flags. */
  readonly pwritev2: number;
  /** Target of a symbolic link. */
  readonly readlinkat: number;
  /** How a thread is scheduled. */
  readonly sched_getattr: number;
  /** Change that. */
  readonly sched_setattr: number;
  /** Remove an extended attribute. */
  readonly removexattr: number;
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
  /** Set an extended attribute. */
  readonly setxattr: number;
  /** File attributes. */
  readonly statx: number;
  /** Make a symbolic link. */
  readonly symlinkat: number;
  /** Signal one thread. */
  readonly tgkill: number;
  /** Cut a file by its path. */
  readonly truncate: number;
  /** Unmount, with flags. */
  readonly umount2: number;
  /** Remove a name. */
  readonly unlinkat: number;
  /** Leave namespaces. */
  readonly unshare: number;
  /** Change times. */
  readonly utimensat: number;
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
      close: 3,
      close_range: 436,
      copy_file_range: 326,
      execve: 59,
      fchmodat: 268,
      fchmodat2: 452,
      fchownat: 260,
      fdatasync: 75,
      fstatfs: 138,
      fsync: 74,
      ftruncate: 77,
      getdents64: 217,
      getgroups: 115,
      gettid: 186,
      getxattr: 191,
      landlock_add_rule: 445,
      landlock_create_ruleset: 444,
      landlock_restrict_self: 446,
      linkat: 265,
      listxattr: 194,
      mkdirat: 258,
      mknodat: 259,
      mount: 165,
      mount_setattr: 442,
      openat: 257,
      openat2: 437,
      pivot_root: 155,
      pread64: 17,
      preadv: 295,
      preadv2: 327,
      pwrite64: 18,
      pwritev: 296,
      pwritev2: 328,
      readlinkat: 267,
      sched_getattr: 315,
      sched_setattr: 314,
      removexattr: 197,
      renameat2: 316,
      seccomp: 317,
      setfsgid: 123,
      setfsuid: 122,
      setgroups: 116,
      setresgid: 119,
      setresuid: 117,
      setxattr: 188,
      statx: 332,
      symlinkat: 266,
      tgkill: 234,
      truncate: 76,
      umount2: 166,
      unlinkat: 263,
      unshare: 272,
      utimensat: 280,
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
      close: 57,
      close_range: 436,
      copy_file_range: 285,
      execve: 221,
      fchmodat: 53,
      fchmodat2: 452,
      fchownat: 54,
      fdatasync: 83,
      fstatfs: 44,
      fsync: 82,
      ftruncate: 46,
      getdents64: 61,
      getgroups: 158,
      gettid: 178,
      getxattr: 8,
      landlock_add_rule: 445,
      landlock_create_ruleset: 444,
      landlock_restrict_self: 446,
      linkat: 37,
      listxattr: 11,
      mkdirat: 34,
      mknodat: 33,
      mount: 40,
      mount_setattr: 442,
      openat: 56,
      openat2: 437,
      pivot_root: 41,
      pread64: 67,
      preadv: 69,
      preadv2: 286,
      pwrite64: 68,
      pwritev: 70,
      pwritev2: 287,
      readlinkat: 78,
      sched_getattr: 275,
      sched_setattr: 274,
      removexattr: 14,
      renameat2: 276,
      seccomp: 277,
      setfsgid: 152,
      setfsuid: 151,
      setgroups: 159,
      setresgid: 149,
      setresuid: 147,
      setxattr: 5,
      statx: 291,
      symlinkat: 36,
      tgkill: 131,
      truncate: 45,
      umount2: 39,
      unlinkat: 35,
      unshare: 97,
      utimensat: 88,
    },
  },
};

/** The row for this process. */
export const arch: Arch = ARCHES[Deno.build.arch];
