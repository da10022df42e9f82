/**
 * A folder of the host as a tree.
 *
 * @module
 */
import {
  AT_FDCWD,
  close,
  getrlimit,
  LinuxError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat,
  RLIMIT_NOFILE,
  statx,
} from "../linux/mod.ts";
import type { Helpers } from "../linux/mod.ts";
import { S_IFMT } from "../p9/mod.ts";
import { ActingNode } from "./acting_node.ts";
import type { Credentials } from "./credentials/seam.ts";
import { Descriptors } from "./descriptors.ts";
import { EVENT_LOOP_TIMERS } from "./host_locks.ts";
import type { Timers } from "./host_locks.ts";
import { HostNode } from "./host_node.ts";
import { HostShared, STATX_MASK } from "./host_shared.ts";
import type { DeviceTable, MultiDevices } from "./qid.ts";
import type { Identity, Node, Tree } from "./tree.ts";

/** How a {@linkcode HostTree} is made. */
export interface HostTreeOptions {
  /** Path of the folder to serve. Symbolic links in this path are followed, once. */
  readonly root: string;
  /** The model of credentials. */
  readonly credentials: Credentials;
  /**
   * What becomes of other file systems below the root: `remap` gives all files distinct numbers
   * (default), `forbid` refuses to walk there with ENODEV though lists show the folder, `warn` lets
   * numbers collide and says so once.
   */
  readonly multidevs?: MultiDevices;
  /** Refuse every change with EROFS. Default false. */
  readonly readOnly?: boolean;
  /** Clock for waiting locks. By default that of Deno's event loop. */
  readonly timers?: Timers;
  /** Told of what an administrator should know. */
  readonly warn?: (text: string) => void;
  /** Numbers of files, shared by all threads that serve the same root. */
  readonly devices?: DeviceTable;
  /**
   * Folder for files that stand for those which cannot be opened for writing but are to be locked,
   * shared by all threads that serve the same root. It is made when it is needed, and removed by
   * whoever named it. By default the tree has one of its own.
   */
  readonly lockDirectory?: string;
  /**
   * Descriptors that the tree may have, together with the other trees of this thread. By default
   * they are of its own: half of what the process may have for nodes, a quarter for open files.
   */
  readonly descriptors?: Descriptors;
  /**
   * Make the calls that would hold up everybody else; stay the caller's, who settles them. Without
   * them the thread waits.
   */
  readonly helpers?: Helpers;
  /** Leave to helpers whatever they can do, not only what seems to be slow: for tests. */
  readonly alwaysHelp?: boolean;
}

/**
 * Serves a folder of the host.
 *
 * Owns descriptors until {@linkcode HostTree.close}. The process should have umask 0, else modes of
 * new files take one more call each.
 */
export class HostTree implements Tree {
  /** True if locks that wait are tried again by Deno's event loop. */
  readonly needsEventLoop: boolean;
  /** The host orders what must be ordered. */
  readonly inOrder = false;
  readonly #shared: HostShared;
  readonly #root: HostNode;
  #isOpen = true;

  /**
   * Opens the root.
   *
   * @throws {LinuxError} If it is no folder that can be reached.
   */
  constructor(options: HostTreeOptions) {
    this.needsEventLoop = options.timers === undefined;
    const limit = getrlimit(RLIMIT_NOFILE);
    const descriptors = typeof limit === "number" ? 1024 : Math.min(Number(limit.soft), 2 ** 20);
    this.#shared = new HostShared({
      credentials: options.credentials,
      readOnly: options.readOnly ?? false,
      multiDevices: options.multidevs ?? "remap",
      devices: options.devices,
      warn: options.warn ?? (() => {}),
      timers: options.timers ?? EVENT_LOOP_TIMERS,
      descriptors: options.descriptors ?? new Descriptors({
        maxHandles: Math.floor(descriptors / 2),
        maxFiles: Math.floor(descriptors / 4),
      }),
      lockDirectory: options.lockDirectory,
      helpers: options.helpers ?? null,
      alwaysHelp: options.alwaysHelp ?? false,
    });
    const { statx: found } = this.#shared;
    const what = `open the folder "${options.root}"`;
    const fd = openat(AT_FDCWD, options.root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    let result = fd < 0 ? fd : statx(fd, null, 0, STATX_MASK, found);
    if (result >= 0) result = options.credentials.start?.(fd) ?? 0;
    if (result < 0) {
      options.credentials.close?.();
      if (fd >= 0) close(fd);
      this.#shared.dispose();
      throw new LinuxError(what, -result);
    }
    this.#shared.rootMajor = found.devMajor;
    this.#shared.rootMinor = found.devMinor;
    this.#shared.rootMount = found.mntId;
    this.#shared.claimDevice();
    const path = this.#shared.pathNumber();
    const Kind = options.credentials.switches ? ActingNode : HostNode;
    this.#root = new Kind(this.#shared, fd, null, "/", found.mode & S_IFMT, path, "");
  }

  /** The root. */
  attach(_by: Identity): Node {
    return this.#root.hold();
  }

  /** Ends locks of a session. */
  endSession(session: object): void {
    for (const node of [...this.#shared.locked]) node.endLocks(session);
  }

  /** What is alive; a root that nobody attached to does not count. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number } {
    const { nodes, foreign, files, locked } = this.#shared;
    let locks = 0;
    for (const node of locked) locks += node.lockCount;
    const unattached = this.#isOpen && this.#root.references === 1 ? 1 : 0;
    return { nodes: nodes.size + foreign.size - unattached, files: files.size, locks };
  }

  /** Closes all descriptors, also of nodes and files that somebody still has. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#shared.isClosed = true;
    const { credentials, nodes, foreign, files, locked } = this.#shared;
    credentials.close?.(); // works with the root's descriptor
    for (const file of [...files]) file.drop();
    for (const node of [...nodes.values(), ...foreign.values()]) node.drop();
    nodes.clear();
    foreign.clear();
    locked.clear();
    this.#shared.dispose();
  }
}
