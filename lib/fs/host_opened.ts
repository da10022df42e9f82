/**
 * What open files and open folders of the host have in common.
 *
 * @module
 */
import { close, fdatasync, fsync } from "../linux/mod.ts";
import { errno } from "../p9/mod.ts";
import type { Segments } from "../p9/mod.ts";
import { after } from "./host_calls.ts";
import type { Busy, HostCalls } from "./host_calls.ts";
import type { HostNode } from "./host_node.ts";
import type { HostShared } from "./host_shared.ts";
import { ok } from "./host_shared.ts";
import type {
  Answer,
  DirectorySink,
  LockConflict,
  LockOwner,
  LockRange,
  OpenFile,
} from "./tree.ts";

/** A descriptor of a node, owned until it is closed and no helper works with it any more. */
export abstract class HostOpened implements OpenFile, Busy {
  /** State of the tree. */
  protected readonly shared: HostShared;
  /** How calls are made where the file is. */
  protected readonly calls: HostCalls;
  readonly #node: HostNode;
  readonly #session: object;
  #fd: number;
  /** Another open file of the same node. The list is the node's. */
  next: HostOpened | null = null;
  /** The one before in that list. */
  previous: HostOpened | null = null;
  /** The descriptor to close when the last call with it has ended. */
  #closing = -1;
  #underWay = 0;

  /** Takes over `fd`, the caller's share of the descriptors, and his reference on `node`. */
  constructor(shared: HostShared, node: HostNode, fd: number, session: object) {
    this.shared = shared;
    this.calls = node.calls;
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
  read(_into: Segments, _offset: bigint): Answer<number> {
    throw errno("EISDIR");
  }

  /** See `OpenFile`. */
  write(_from: Segments, _offset: bigint): Answer<number> {
    throw errno("EISDIR");
  }

  /** See `OpenFile`. */
  readdir(_offset: bigint, _into: DirectorySink): Answer<void> {
    throw errno("ENOTDIR");
  }

  /** Calls fsync or fdatasync, which wait for the disk as a rule. */
  sync(dataOnly: boolean): Answer<void> {
    const { calls } = this;
    const fd = this.#fd;
    const call = () => dataOnly ? fdatasync(fd) : fsync(fd);
    const done = calls.isInstant ? call() : calls.later(null, call, [this]);
    return after(done, (result) => {
      ok(result);
      ok(this.shared.credentials.sync?.(this.#node) ?? 0);
    });
  }

  /** Locks or unlocks. */
  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal?: AbortSignal,
  ): Answer<boolean> {
    return this.#node.lock(this, range, owner, wait, signal);
  }

  /** Tests a lock. */
  testLock(range: LockRange, owner: LockOwner): Answer<LockConflict | null> {
    return this.#node.testLock(this, range, owner);
  }

  /** Closes the descriptor and gives back the node. */
  close(): Answer<void> {
    if (this.#fd < 0) {
      throw new RangeError(`Cannot close "${this.#node.name}": the file is closed already`);
    }
    this.#node.closing(this);
    const closed = this.drop();
    const released = this.#node.closed(this.#session);
    return after(closed, () => released);
  }

  /** Closes the descriptor alone, when the whole tree ends. */
  drop(): Answer<void> {
    const fd = this.#fd;
    this.#fd = -1;
    this.shared.files.delete(this);
    if (this.#underWay > 0) {
      this.#closing = fd;
      return;
    }
    return this.#end(fd);
  }

  /** A helper begins a call with the descriptor, which is kept until its end. So is the node. */
  enter(): void {
    this.#node.hold();
    this.#underWay++;
  }

  /** It has ended. */
  leave(): void {
    if (--this.#underWay === 0 && this.#closing >= 0) {
      void this.#end(this.#closing);
      this.#closing = -1;
    }
    void this.#node.release();
  }

  /** No call with the descriptor will be made any more, and none is under way. */
  protected ended(): void {}

  /** Closes the descriptor; what the session may have it may have again when it is closed. */
  #end(fd: number): Answer<void> {
    const { calls } = this;
    const { files } = this.shared.descriptors;
    this.ended();
    // Somebody else may want to have all that was written first, or much space becomes free.
    if (calls.isRemote || this.#node.isLast(fd)) {
      return calls.later(null, () => close(fd), [], 0, null).then(() =>
        files.give(this.#session, 1)
      );
    }
    close(fd);
    files.give(this.#session, 1);
  }
}
