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
export const MAX_LOCKS = 16_384;

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

/** What one owner holds: ranges in order, of which no two overlap, and neighbors differ in type. */
interface Holding {
  readonly owner: LockOwner;
  readonly ranges: HeldLock[];
  /** How many of them are exclusive. */
  writes: number;
}

/** Index of the first range that ends at `from` or behind. */
function firstEndingAt(ranges: readonly HeldLock[], from: bigint): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as HeldLock).last < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Counts exclusive ranges. */
function writesAmong(ranges: readonly HeldLock[]): number {
  let count = 0;
  for (const { type } of ranges) if (type === "write") count++;
  return count;
}

/**
 * The ranges held on one file. Of one owner no two overlap, and neighbors of one type are merged.
 *
 * A step costs the number of owners and the logarithm of what each holds, so that a client with
 * many locks does not slow others down.
 */
export class LockTable {
  #size = 0;
  #version = 0;
  #holdings: Holding[] = [];

  /** Number of ranges held. */
  get size(): number {
    return this.#size;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** The ranges held, by owner. */
  get held(): readonly HeldLock[] {
    return this.#holdings.flatMap(({ ranges }) => ranges);
  }

  /** A range of somebody else that keeps `owner` from locking, or null: the first one in the file. */
  conflict(
    type: "read" | "write",
    start: bigint,
    last: bigint,
    owner: LockOwner,
  ): HeldLock | null {
    let first: HeldLock | null = null;
    for (const { owner: other, ranges, writes } of this.#holdings) {
      if (type === "read" && writes === 0 || sameOwner(other, owner)) continue;
      for (let i = firstEndingAt(ranges, start); i < ranges.length; i++) {
        const held = ranges[i] as HeldLock;
        if (held.start > last || first !== null && held.start >= first.start) break;
        if (type === "read" && held.type === "read") continue;
        first = held;
        break;
      }
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
    let holding = this.#holdings.find((one) => sameOwner(one.owner, owner));
    if (holding === undefined) {
      if (type === "unlock") return;
      holding = { owner, ranges: [], writes: 0 };
    }
    const { ranges } = holding;
    // Those that overlap, and those that only touch.
    const from = firstEndingAt(ranges, start - 1n);
    let to = from;
    const before: HeldLock[] = [];
    const after: HeldLock[] = [];
    let first = start;
    let end = last;
    for (; to < ranges.length; to++) {
      const held = ranges[to] as HeldLock;
      if (held.start > last + 1n) break;
      if (held.type === type) {
        if (held.start < first) first = held.start;
        if (held.last > end) end = held.last;
        continue;
      }
      if (held.start < start) before.push(held.last < start ? held : { ...held, last: start - 1n });
      if (held.last > last) after.push(held.start > last ? held : { ...held, start: last + 1n });
    }
    if (type !== "unlock") before.push({ owner, type, start: first, last: end });
    before.push(...after);
    const size = this.#size + before.length - (to - from);
    if (size > MAX_LOCKS && size > this.#size) throw errno("ENOLCK");
    const replaced = ranges.splice(from, to - from, ...before);
    holding.writes += writesAmong(before) - writesAmong(replaced);
    if (ranges.length === 0) this.#holdings = this.#holdings.filter((one) => one !== holding);
    else if (ranges.length === before.length && replaced.length === 0) this.#holdings.push(holding);
    this.#size = size;
    this.#version++;
  }

  /** True if `owner` holds any range. */
  holds(owner: LockOwner): boolean {
    return this.#holdings.some((holding) => sameOwner(holding.owner, owner));
  }

  /** Takes away all that a session holds. Returns whether it held anything. */
  dropSession(session: object): boolean {
    const before = this.#size;
    this.#holdings = this.#holdings.filter(({ owner, ranges }) => {
      if (owner.session === session) this.#size -= ranges.length;
      return owner.session !== session;
    });
    if (this.#size === before) return false;
    this.#version++;
    return true;
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
