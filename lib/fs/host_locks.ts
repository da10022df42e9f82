/**
 * Byte-range locks that other processes of the host see: one open file description per owner.
 *
 * @module
 */
import {
  AT_FDCWD,
  close,
  EACCES,
  EAGAIN,
  EINTR,
  EISDIR,
  EMFILE,
  ENFILE,
  EPERM,
  EROFS,
  ETXTBSY,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  O_CLOEXEC,
  O_CREAT,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDWR,
  ofdGetLock,
  ofdSetLock,
  openat,
} from "../linux/mod.ts";
import { errno } from "../p9/mod.ts";
import type { HostShared } from "./host_shared.ts";
import { failed, ok } from "./host_shared.ts";
import { lastOf, lengthOf, LockTable, LockWaiters, MAX_LOCKS, sameOwner } from "./lock_table.ts";
import type { LockConflict, LockOwner, LockRange } from "./tree.ts";

/** A clock that calls back. */
export interface Timers {
  /**
   * Calls `run` once, after `ms` milliseconds or a little more.
   *
   * @returns Cancels it.
   */
  after(ms: number, run: () => void): () => void;
}

/** Deno's own timers. */
export const EVENT_LOOP_TIMERS: Timers = {
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
};

/** A lock that waits is tried again after this many milliseconds, */
const FIRST_WAIT_MS = 1;
/** then after twice as many each time, up to this many. */
const LAST_WAIT_MS = 64;

interface Holder {
  readonly owner: LockOwner;
  readonly fd: number;
}

/** Where the locks of a file are taken. */
export interface LockedFile {
  /** Descriptor of the file. */
  handle(): number;
  /** Major and minor device and inode number in one word: the name of its stand-in. */
  identity(): string;
}

/**
 * The locks of one file.
 *
 * Every owner has an open file description of its own, so the kernel keeps apart owners of this
 * process, of its other threads and of other processes alike. The table repeats what is held here,
 * to tell who is in the way and when a descriptor can be closed.
 *
 * A file that cannot be opened for writing is locked by way of an empty file that stands for it,
 * in a folder that all threads share: the clients of this server exclude each other then, but not
 * other processes.
 */
export class HostLocks {
  readonly #shared: HostShared;
  readonly #file: LockedFile;
  readonly #table: LockTable = new LockTable();
  readonly #waiters: LockWaiters = new LockWaiters();
  #holders: Holder[] = [];
  #cancel: (() => void) | null = null;
  #waitMs = FIRST_WAIT_MS;

  /** Locks of a file that stays the caller's. */
  constructor(shared: HostShared, file: LockedFile) {
    this.#shared = shared;
    this.#file = file;
  }

  /** Ranges held and locks waiting. */
  get count(): number {
    return this.#table.size + this.#waiters.size;
  }

  /** See `OpenFile.lock`. */
  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal: AbortSignal | undefined,
  ): boolean | Promise<boolean> {
    const last = lastOf(range);
    // What one of ours keeps from it need not be tried again before one of ours changes.
    let refusedAt = -1;
    const attempt = () => {
      if (refusedAt === this.#table.version) return false;
      const { type, start } = range;
      if (type === "unlock" || this.#table.conflict(type, start, last, owner) === null) {
        return this.#attempt(range, last, owner);
      }
      refusedAt = this.#table.version;
      return false;
    };
    if (attempt()) {
      this.#retry();
      return true;
    }
    if (!wait) return false;
    const promise = this.#waiters.wait(owner, attempt, signal);
    // Comes after the waiter's own listener, which has removed it then.
    signal?.addEventListener("abort", () => this.#stopIfIdle(), { once: true });
    this.#waitMs = FIRST_WAIT_MS;
    this.#schedule();
    return promise;
  }

  /** See `OpenFile.testLock`. */
  test(range: LockRange, owner: LockOwner): LockConflict | null {
    const last = lastOf(range);
    if (range.type === "unlock") return null;
    const own = this.#table.conflict(range.type, range.start, last, owner);
    if (own !== null) {
      return {
        type: own.type,
        start: own.start,
        length: lengthOf(own.start, own.last),
        client: own.owner.client,
        process: own.owner.process,
      };
    }
    const held = this.#holder(owner);
    const fd = held?.fd ?? this.#open();
    const { found } = this.#shared;
    const type = range.type === "read" ? F_RDLCK : F_WRLCK;
    const result = ofdGetLock(fd, type, range.start, range.length, found);
    if (held === undefined) close(fd);
    ok(result);
    if (found.type === F_UNLCK) return null;
    return {
      type: found.type === F_WRLCK ? "write" : "read",
      start: found.start,
      length: found.length,
      client: "",
      // The kernel names no process for locks of open file descriptions.
      process: found.pid > 0 ? found.pid : 0,
    };
  }

  /** Ends all locks of a session, held and waited for. */
  endSession(session: object): void {
    this.#waiters.endSession(session);
    if (this.#drop(session)) {
      // Closing the description is what unlocks.
      this.#keep((holder) => holder.owner.session !== session);
      this.#waiters.retry();
    }
    this.#stopIfIdle();
  }

  /** Ends everything. */
  endAll(): void {
    this.#waiters.endAll();
    this.#stopIfIdle();
    for (const { owner } of this.#holders) this.#drop(owner.session);
    this.#keep(() => false);
  }

  /** Locks or unlocks now; false if somebody is in the way, who is none of ours. */
  #attempt(range: LockRange, last: bigint, owner: LockOwner): boolean {
    const { type, start, length } = range;
    const held = this.#holder(owner);
    if (type === "unlock") {
      if (held === undefined) return true;
      ok(ofdSetLock(held.fd, F_UNLCK, start, length));
      this.#set(type, start, last, owner);
      if (!this.#table.holds(owner)) this.#keep((holder) => holder !== held);
      return true;
    }
    // A new range can split one in three.
    if (this.#table.size > MAX_LOCKS - 2) throw errno("ENOLCK");
    if (!this.#shared.descriptors.locks.hasMore(owner.session, 2)) throw errno("ENOLCK");
    const fd = held?.fd ?? this.#openFor(owner);
    const result = ofdSetLock(fd, type === "read" ? F_RDLCK : F_WRLCK, start, length);
    if (result < 0) {
      if (held === undefined) this.#close(fd, owner);
      if (result === -EAGAIN || result === -EACCES || result === -EINTR) return false;
      failed(result);
    }
    if (held === undefined) this.#holders.push({ owner, fd });
    this.#set(type, start, last, owner);
    return true;
  }

  /** Notes what the kernel has granted, and how many ranges the session has now. */
  #set(type: LockRange["type"], start: bigint, last: bigint, owner: LockOwner): void {
    const before = this.#table.size;
    this.#table.set(type, start, last, owner);
    this.#shared.descriptors.locks.add(owner.session, this.#table.size - before);
  }

  /** Forgets all ranges of a session. Returns whether there were any. */
  #drop(session: object): boolean {
    const before = this.#table.size;
    const had = this.#table.dropSession(session);
    this.#shared.descriptors.locks.add(session, this.#table.size - before);
    return had;
  }

  /** The descriptor of an owner, which is one of the open files that are dealt out. */
  #openFor(owner: LockOwner): number {
    const { files } = this.#shared.descriptors;
    if (!files.tryTake(owner.session, 1)) throw errno("ENOLCK");
    try {
      return this.#open();
    } catch (error) {
      files.give(owner.session, 1);
      throw error;
    }
  }

  #close(fd: number, owner: LockOwner): void {
    close(fd);
    this.#shared.descriptors.files.give(owner.session, 1);
  }

  #holder(owner: LockOwner): Holder | undefined {
    return this.#holders.find((holder) => sameOwner(holder.owner, owner));
  }

  /** Closes the descriptors of all holders but some. */
  #keep(stays: (holder: Holder) => boolean): void {
    const kept: Holder[] = [];
    for (const holder of this.#holders) {
      if (stays(holder)) {
        kept.push(holder);
      } else {
        this.#close(holder.fd, holder.owner);
      }
    }
    this.#holders = kept;
  }

  /** A new open file description that takes locks of both kinds. ENOLCK where no descriptor is left. */
  #open(): number {
    let fd = this.#tryOpen();
    if (fd === -EMFILE || fd === -ENFILE) {
      this.#shared.descriptors.reclaim();
      fd = this.#tryOpen();
    }
    if (fd === -EMFILE || fd === -ENFILE) throw errno("ENOLCK");
    return ok(fd);
  }

  #tryOpen(): number {
    const flags = O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    if (!this.#shared.readOnly) {
      const fd = this.#shared.openAgain(this.#file.handle(), flags);
      const isRefused = fd === -EACCES || fd === -EPERM || fd === -EROFS || fd === -EISDIR ||
        fd === -ETXTBSY;
      if (!isRefused) return fd;
    }
    const path = `${this.#shared.lockDirectory()}/${this.#file.identity()}`;
    return openat(AT_FDCWD, path, flags | O_CREAT | O_NOFOLLOW, 0o600);
  }

  /** Locks of others end without a word to us: try again after a while. */
  #schedule(): void {
    if (this.#cancel !== null || this.#waiters.size === 0) return;
    this.#cancel = this.#shared.timers.after(this.#waitMs, () => {
      this.#cancel = null;
      const before = this.#waiters.size;
      this.#waiters.retry();
      const isMoving = this.#waiters.size < before;
      this.#waitMs = isMoving ? FIRST_WAIT_MS : Math.min(this.#waitMs * 2, LAST_WAIT_MS);
      this.#schedule();
    });
  }

  #retry(): void {
    this.#waiters.retry();
    this.#stopIfIdle();
  }

  #stopIfIdle(): void {
    if (this.#waiters.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
  }
}
