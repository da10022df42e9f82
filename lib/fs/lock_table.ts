/**
 * Byte-range locks as `fcntl(2)` describes them: who holds what of one file, and who waits.
 *
 * @module
 */
import { errno } from "../p9/mod.ts";
import type { LockOwner, LockRange } from "./tree.ts";

/** Last byte that a lock can cover: Linux's `OFFSET_MAX`. */
export const LOCK_LAST = 0x7fff_ffff_ffff_ffffn;

/** Most ranges that one file keeps; more is ENOLCK. A client could otherwise fill our memory byte by byte. */
export const MAX_LOCKS = 4_096;

/** Most locks that wait on one file; more is ENOLCK. */
export const MAX_WAITERS = 1_024;

/** A range that somebody holds. */
export interface HeldLock {
  /** Who holds it. */
  readonly owner: LockOwner;
  /** Shared or exclusive. */
  readonly type: "read" | "write";
  /** First byte. */
  readonly start: bigint;
  /** Last byte, inclusive. */
  readonly last: bigint;
}

/** True if both are the same owner. Sessions are compared by identity. */
export function sameOwner(a: LockOwner, b: LockOwner): boolean {
  return a.process === b.process && a.session === b.session && a.client === b.client;
}

/**
 * Last byte of a range, inclusive.
 *
 * @throws {Errno} EINVAL if it starts behind the largest offset, EOVERFLOW if it ends there.
 */
export function lastOf(range: LockRange): bigint {
  if (range.start < 0n || range.start > LOCK_LAST || range.length < 0n) throw errno("EINVAL");
  if (range.length === 0n) return LOCK_LAST;
  const last = range.start + range.length - 1n;
  if (last > LOCK_LAST) throw errno("EOVERFLOW");
  return last;
}

/** Length of a range as the wire has it: 0 if it runs to the end of the file. */
export function lengthOf(start: bigint, last: bigint): bigint {
  return last >= LOCK_LAST ? 0n : last - start + 1n;
}

/** The ranges held on one file. Of one owner no two overlap, and neighbours of one type are merged. */
export class LockTable {
  #held: HeldLock[] = [];

  /** Number of ranges held. */
  get size(): number {
    return this.#held.length;
  }

  /** The ranges held, in no particular order. Borrowed until the next change. */
  get held(): readonly HeldLock[] {
    return this.#held;
  }

  /** A range of somebody else that keeps `owner` from locking, or null: the first one in the file. */
  conflict(
    type: "read" | "write",
    start: bigint,
    last: bigint,
    owner: LockOwner,
  ): HeldLock | null {
    let first: HeldLock | null = null;
    for (const held of this.#held) {
      if (held.start > last || held.last < start) continue;
      if (type === "read" && held.type === "read") continue;
      if (sameOwner(held.owner, owner)) continue;
      if (first === null || held.start < first.start) first = held;
    }
    return first;
  }

  /**
   * Gives `owner` the range, or takes it away. What the owner held of it before is replaced.
   *
   * The caller has made sure that nothing conflicts.
   *
   * @throws {Errno} ENOLCK if the file has {@linkcode MAX_LOCKS} ranges; nothing is changed then.
   */
  set(type: "read" | "write" | "unlock", start: bigint, last: bigint, owner: LockOwner): void {
    const kept: HeldLock[] = [];
    let from = start;
    let to = last;
    for (const held of this.#held) {
      if (!sameOwner(held.owner, owner)) {
        kept.push(held);
        continue;
      }
      // A range of the same type is swallowed when it touches; any other only where it overlaps.
      if (held.type === type) {
        if (held.start > last + 1n || held.last < start - 1n) {
          kept.push(held);
        } else {
          if (held.start < from) from = held.start;
          if (held.last > to) to = held.last;
        }
        continue;
      }
      if (held.start > last || held.last < start) {
        kept.push(held);
        continue;
      }
      if (held.start < start) kept.push({ ...held, last: start - 1n });
      if (held.last > last) kept.push({ ...held, start: last + 1n });
    }
    if (type !== "unlock") kept.push({ owner, type, start: from, last: to });
    if (kept.length > MAX_LOCKS && kept.length > this.#held.length) throw errno("ENOLCK");
    this.#held = kept;
  }

  /** True if `owner` holds any range. */
  holds(owner: LockOwner): boolean {
    return this.#held.some((held) => sameOwner(held.owner, owner));
  }

  /** Takes away all that a session holds. Returns whether it held anything. */
  dropSession(session: object): boolean {
    const before = this.#held.length;
    if (before === 0) return false;
    this.#held = this.#held.filter((held) => held.owner.session !== session);
    return this.#held.length !== before;
  }
}

interface Waiter {
  readonly owner: LockOwner;
  readonly attempt: () => boolean;
  readonly settle: (error: unknown) => void;
}

/** Locks that wait for others on one file, first come first served. */
export class LockWaiters {
  #waiters: Waiter[] = [];

  /** Number of locks that wait. */
  get size(): number {
    return this.#waiters.length;
  }

  /**
   * Waits until `attempt` succeeds. It was tried once already, and is tried again by {@linkcode retry}.
   *
   * @returns A promise of true; rejects with EINTR when aborted, or with what `attempt` throws.
   */
  wait(owner: LockOwner, attempt: () => boolean, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.reject(errno("EINTR"));
    if (this.#waiters.length >= MAX_WAITERS) return Promise.reject(errno("ENOLCK"));
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        waiter.settle(errno("EINTR"));
      };
      const waiter: Waiter = {
        owner,
        attempt,
        settle: (error) => {
          signal?.removeEventListener("abort", onAbort);
          if (error === null) resolve(true);
          else reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  /** Tries all that wait, in order, until no more succeeds: a lock taken may shrink one of its owner. */
  retry(): void {
    let again = this.#waiters.length > 0;
    while (again) {
      again = false;
      for (const waiter of [...this.#waiters]) {
        let error: unknown = null;
        try {
          if (!waiter.attempt()) continue;
          again = true;
        } catch (thrown) {
          error = thrown;
        }
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        waiter.settle(error);
      }
    }
  }

  /** Rejects all locks that a session waits for, with EINTR. */
  endSession(session: object): void {
    const ended = this.#waiters.filter((waiter) => waiter.owner.session === session);
    if (ended.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.owner.session !== session);
    for (const waiter of ended) waiter.settle(errno("EINTR"));
  }

  /** Rejects everything, with EINTR. */
  endAll(): void {
    const ended = this.#waiters;
    this.#waiters = [];
    for (const waiter of ended) waiter.settle(errno("EINTR"));
  }
}
