/** Landlock: what files and ports a thread, and all it starts, can still reach. */

import { arch } from "./arch.ts";
import { EINVAL } from "./constants.ts";
import { Fd } from "./fd.ts";
import { arenaView, at, libc, SLOT } from "./libc.ts";
import { rawSyscall } from "./process.ts";

/** Rights below a folder; `_FS` stands for file system. */
export const LANDLOCK_FS = {
  /** Run a program. */
  EXECUTE: 1 << 0,
  /** Open a file for writing. */
  WRITE_FILE: 1 << 1,
  /** Open a file for reading. */
  READ_FILE: 1 << 2,
  /** List a folder. */
  READ_DIR: 1 << 3,
  /** Remove or move away an empty folder. */
  REMOVE_DIR: 1 << 4,
  /** Remove or move away a file. */
  REMOVE_FILE: 1 << 5,
  /** Make a character device. */
  MAKE_CHAR: 1 << 6,
  /** Make a folder. */
  MAKE_DIR: 1 << 7,
  /** Make a file. */
  MAKE_REG: 1 << 8,
  /** Make a socket. */
  MAKE_SOCK: 1 << 9,
  /** Make a FIFO. */
  MAKE_FIFO: 1 << 10,
  /** Make a block device. */
  MAKE_BLOCK: 1 << 11,
  /** Make a symbolic link. */
  MAKE_SYM: 1 << 12,
  /** Link and move files between folders. Version 1 forbids that everywhere. */
  REFER: 1 << 13,
  /** Change the size of a file. Version 3. */
  TRUNCATE: 1 << 14,
  /** Ask a device for something. Version 5. */
  IOCTL_DEV: 1 << 15,
} as const;

/** Those of the rights that a file can have by itself. */
const FILE_RIGHTS = LANDLOCK_FS.EXECUTE | LANDLOCK_FS.WRITE_FILE | LANDLOCK_FS.READ_FILE |
  LANDLOCK_FS.TRUNCATE | LANDLOCK_FS.IOCTL_DEV;

/** Rights on TCP ports. Version 4. */
export const LANDLOCK_NET = {
  /** Bind a socket. */
  BIND_TCP: 1 << 0,
  /** Connect to one. */
  CONNECT_TCP: 1 << 1,
} as const;

/** What does not leave the domain. Version 6. */
export const LANDLOCK_SCOPE = {
  /** Connections to abstract unix sockets. */
  ABSTRACT_UNIX_SOCKET: 1 << 0,
  /** Signals. */
  SIGNAL: 1 << 1,
} as const;

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const RULE_NET_PORT = 2;

/** Rights on files by the version that brought them; the last one holds for all later versions. */
const FS_BY_VERSION = [0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff];

/** What a version of Landlock can deny. */
export interface LandlockRights {
  /** `LANDLOCK_FS` */
  readonly fs: number;
  /** `LANDLOCK_NET` */
  readonly net: number;
  /** `LANDLOCK_SCOPE` */
  readonly scoped: number;
}

/**
 * The version of the kernel's Landlock: 1 or more, or minus the error: ENOSYS if it was built
 * without, EOPNOTSUPP if it was started without.
 */
export function landlockVersion(): number {
  const version = rawSyscall(
    arch.syscalls.landlock_create_ruleset,
    0,
    0,
    CREATE_RULESET_VERSION,
  );
  return Number(version);
}

/** What a version of Landlock can deny, as far as this module knows. */
export function landlockRights(version: number): LandlockRights {
  return {
    fs: FS_BY_VERSION[Math.max(0, Math.min(version, FS_BY_VERSION.length - 1))] as number,
    net: version >= 4 ? LANDLOCK_NET.BIND_TCP | LANDLOCK_NET.CONNECT_TCP : 0,
    scoped: version >= 6 ? LANDLOCK_SCOPE.ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE.SIGNAL : 0,
  };
}

/** Rules that a thread can submit to. Owns a descriptor. */
export class LandlockRuleset implements Disposable {
  readonly #fd: Fd;
  readonly #denied: LandlockRights;

  /**
   * Make a ruleset without rules.
   *
   * @param denied What is forbidden unless a rule allows it.
   * @throws {LinuxError} If the kernel does not have all of that.
   */
  constructor(denied: LandlockRights) {
    libc();
    arenaView.setBigUint64(SLOT.SCRATCH, BigInt(denied.fs), true);
    arenaView.setBigUint64(SLOT.SCRATCH + 8, BigInt(denied.net), true);
    arenaView.setBigUint64(SLOT.SCRATCH + 16, BigInt(denied.scoped), true);
    // An older kernel takes a shorter struct, or a longer one whose rest is zero.
    const number = rawSyscall(arch.syscalls.landlock_create_ruleset, at(SLOT.SCRATCH), 24, 0);
    this.#fd = Fd.from(Number(number), "make a Landlock ruleset");
    this.#denied = denied;
  }

  /**
   * Allow something on a file, or in a folder and below it.
   *
   * @param fd Of the file or folder, `O_PATH` is enough.
   * @param rights `LANDLOCK_FS`; what is not denied, and what a file cannot have, is left out.
   * @param isFolder Whether it is a folder.
   * @returns 0, or minus the error.
   */
  allowPath(fd: number, rights: number, isFolder: boolean): number {
    const allowed = rights & this.#denied.fs & (isFolder ? -1 : FILE_RIGHTS);
    if (allowed === 0) return 0;
    arenaView.setBigUint64(SLOT.SCRATCH, BigInt(allowed), true);
    arenaView.setInt32(SLOT.SCRATCH + 8, fd, true);
    return this.#add(RULE_PATH_BENEATH);
  }

  /**
   * Allow something with a TCP port; 0 stands for the ports that the kernel picks.
   *
   * @param rights `LANDLOCK_NET`; what is not denied is left out.
   * @returns 0, or minus the error.
   */
  allowPort(port: number, rights: number): number {
    if (!Number.isInteger(port) || port < 0 || port > 65_535) return -EINVAL;
    const allowed = rights & this.#denied.net;
    if (allowed === 0) return 0;
    arenaView.setBigUint64(SLOT.SCRATCH, BigInt(allowed), true);
    arenaView.setBigUint64(SLOT.SCRATCH + 8, BigInt(port), true);
    return this.#add(RULE_NET_PORT);
  }

  /** Submit this thread to the rules, for good; `no_new_privs` must be set. 0, or minus the error. */
  restrict(): number {
    return Number(rawSyscall(arch.syscalls.landlock_restrict_self, this.#fd.number, 0));
  }

  /** Close the descriptor; whoever has submitted stays so. */
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }

  #add(type: number): number {
    const rule = at(SLOT.SCRATCH);
    return Number(rawSyscall(arch.syscalls.landlock_add_rule, this.#fd.number, type, rule, 0));
  }
}
