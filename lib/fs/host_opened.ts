/**
 * What open files and open folders of the host have in common.
 *
 * @module
 */
import { close, fdatasync, fsync } from "../linux/mod.ts";
import { errno } from "../p9/mod.ts";
import type { Segments } from "../p9/mod.ts";
import type { HostNode } from "./host_node.ts";
import type { HostShared } from "./host_shared.ts";
import { ok } from "./host_shared.ts";
import type { DirectorySink, LockConflict, LockOwner, LockRange, OpenFile } from "./tree.ts";

/** A descriptor of a node, owned until it is closed. */
export abstract class HostOpened implements OpenFile {
  /** State of the tree. */
  protected readonly shared: HostShared;
  readonly #node: HostNode;
  readonly #session: object;
  #fd: number;
  /** Another open file of the same node. The list is the node's. */
  next: HostOpened | null = null;
  /** The one before in that list. */
  previous: HostOpened | null = null;

  /** Takes over `fd`, the caller's share of the descriptors, and his reference on `node`. */
  constructor(shared: HostShared, node: HostNode, fd: number, session: object) {
    this.shared = shared;
    this.#node = node;
    this.#fd = fd;
    this.#session = session;
    shared.files.add(this);
    node.opened(this, session);
  }

  /** The node. */
  get node(): HostNode {
    return this.#node;
  }

  /** The descriptor; -1 once it is closed, which every call answers with EBADF. */
  get fd(): number {
    return this.#fd;
  }

  /** See `OpenFile`. */
  read(_into: Segments, _offset: bigint): number {
    throw errno("EISDIR");
  }

  /** See `OpenFile`. */
  write(_from: Segments, _offset: bigint): number {
    throw errno("EISDIR");
  }

  /** See `OpenFile`. */
  readdir(_offset: bigint, _into: DirectorySink): void {
    throw errno("ENOTDIR");
  }

  /** Calls fsync or fdatasync. */
  sync(dataOnly: boolean): void {
    ok(dataOnly ? fdatasync(this.#fd) : fsync(this.#fd));
  }

  /** Locks or unlocks. */
  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal?: AbortSignal,
  ): boolean | Promise<boolean> {
    return this.#node.lock(range, owner, wait, signal);
  }

  /** Tests a lock. */
  testLock(range: LockRange, owner: LockOwner): LockConflict | null {
    return this.#node.testLock(range, owner);
  }

  /** Closes the descriptor and gives back the node. */
  close(): void {
    if (this.#fd < 0) {
      throw new RangeError(`Cannot close "${this.#node.name}": the file is closed already`);
    }
    this.#node.closing(this);
    this.drop();
    this.#node.closed(this.#session);
  }

  /** Closes the descriptor alone, when the whole tree ends. */
  drop(): void {
    close(this.#fd);
    this.#fd = -1;
    this.shared.files.delete(this);
    this.shared.descriptors.files.give(this.#session, 1);
  }
}
