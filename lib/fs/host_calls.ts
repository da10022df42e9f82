/**
 * Where the calls of a tree are made: at once by the thread that serves, which is quickest, or by a
 * helper while they might have to wait for a disk, a journal or a peer.
 *
 * Nobody knows beforehand whether a call will wait. What the kernel can be asked for without waiting
 * (bytes and names that it has in memory) is asked for so; for the rest a class of calls that was
 * slow on a mount a moment ago is taken to be slow for a while.
 *
 * @module
 */
import { actingUser, asUser, monotonicMicros, record } from "../linux/mod.ts";
import type { ActingUser, Helpers } from "../linux/mod.ts";
import type { Answer } from "./tree.ts";

/** A call of more microseconds than this has waited for something, */
const SLOW_MICROS = 400;
/** unless it moved bytes: so many more are copied in a microsecond. */
const BYTES_PER_MICRO = 512;
/** Microseconds for which a class of calls is taken to be slow, */
const FIRST_PENALTY = 100_000;
/** then twice as many each time that it still is, up to this many. */
const LAST_PENALTY = 8_000_000;

/** File systems whose calls end without waiting for anything: tmpfs and ramfs. */
const INSTANT: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);
/**
 * File systems that ask somebody else, so that any call may wait: FUSE, NFS, SMB (three of them),
 * 9P, Ceph, AFS (two), Coda, GFS2, OCFS2, VirtualBox.
 */
const REMOTE: ReadonlySet<number> = new Set([
  0x6573_5546,
  0x6969,
  0x517b,
  0xff53_4d42,
  0xfe53_4d42,
  0x0102_1997,
  0x00c3_6400,
  0x5346_414f,
  0x6b41_4653,
  0x7375_7245,
  0x0116_1970,
  0x7461_636f,
  0x786f_4256,
]);

/** Goes on with an answer, now or later: as the user that this thread acts as now. */
export function after<T, U>(answer: Answer<T>, next: (value: T) => Answer<U>): Answer<U> {
  if (!(answer instanceof Promise)) return next(answer);
  const user = actingUser();
  return answer.then((value) => asUser(user, () => next(value)));
}

/** What must keep its descriptor while a call with it is under way. */
export interface Busy {
  /** A call begins. */
  enter(): void;
  /** It has ended. */
  leave(): void;
}

/** How quick one class of calls on one mount has been of late. */
export class Pace {
  /** Microseconds of the clock until which the class is slow; 0 if it never was. */
  #until = 0;
  #penalty = FIRST_PENALTY;

  /** Whether the class was slow a moment ago. */
  get isSlow(): boolean {
    return this.#until !== 0 && monotonicMicros() < this.#until;
  }

  /** A call was made at once, begun at `begun`; it has moved so many bytes. */
  took(begun: number, bytes: number = 0): void {
    const now = monotonicMicros();
    if (now - begun <= SLOW_MICROS + bytes / BYTES_PER_MICRO) return;
    // Quiet for as long as it was kept away: that is over, and this is something new.
    const isNew = now - this.#until > 2 * this.#penalty;
    this.#penalty = isNew ? FIRST_PENALTY : Math.min(2 * this.#penalty, LAST_PENALTY);
    this.#until = now + this.#penalty;
  }

  /** A helper needed so many microseconds for a call, which has moved so many bytes. */
  helped(micros: number, bytes: number = 0): void {
    if (micros <= SLOW_MICROS + bytes / BYTES_PER_MICRO) return;
    this.#until = Math.max(this.#until, monotonicMicros() + this.#penalty);
  }
}

/** The calls on one mount of a tree. */
export class HostCalls {
  /** Reads where the kernel cannot say what it has in memory. */
  readonly reads: Pace = new Pace();
  /** Writes. */
  readonly writes: Pace = new Pace();
  /** Everything about names and attributes. */
  readonly names: Pace = new Pace();
  /** Lists of folders. */
  readonly lists: Pace = new Pace();
  /** Whether everything is done at once: there are no helpers, or nothing to wait for. */
  readonly isInstant: boolean;
  /** Whether any call may wait, for as long as somebody else likes. */
  readonly isRemote: boolean;
  /** Whether the kernel can be asked for only those bytes that it has in memory; until it says no. */
  canReadCached = true;
  readonly #helpers: Helpers | null;
  readonly #mount: bigint;
  readonly #always: boolean;

  /**
   * The calls on a mount.
   *
   * @param helpers Null to make all calls at once.
   * @param mount Number of the mount.
   * @param type Magic number of its file system.
   * @param always Leave to helpers whatever they can do, for tests.
   */
  constructor(helpers: Helpers | null, mount: bigint, type: number, always: boolean) {
    this.#helpers = helpers;
    this.#mount = mount;
    this.#always = always;
    this.isInstant = helpers === null || INSTANT.has(type) && !always;
    this.isRemote = helpers !== null && (REMOTE.has(type) || always);
  }

  /** Whether there are helpers at all. */
  get hasHelpers(): boolean {
    return this.#helpers !== null;
  }

  /** Whether the next call of a class is left to a helper. */
  leaves(pace: Pace): boolean {
    return !this.isInstant && (this.isRemote || pace.isSlow);
  }

  /** Makes a call at once, and notes how long it took. */
  now(pace: Pace, call: () => number): number {
    if (this.isInstant) return call();
    const begun = monotonicMicros();
    const result = call();
    pace.took(begun);
    return result;
  }

  /**
   * Leaves a call to a helper.
   *
   * @param call Makes one call, with numbers and names and memory that nobody else changes.
   * @param busy Whose descriptors the call is made with.
   * @param bytes What the call is to move.
   * @param user As whom it is made: by default as whom this thread acts as now.
   */
  async later(
    pace: Pace | null,
    call: () => number,
    busy: readonly Busy[],
    bytes: number = 0,
    user: ActingUser | null = actingUser(),
  ): Promise<number> {
    const helpers = this.#helpers;
    if (helpers === null) return call();
    const recorded = record(call, user);
    if (typeof recorded === "number") return recorded;
    for (const each of busy) each.enter();
    try {
      // What the call works with is kept by the function that makes it.
      const { result, micros } = await helpers.run(recorded, call, this.#mount);
      pace?.helped(micros, bytes);
      return result;
    } finally {
      for (const each of busy) each.leave();
    }
  }

  /** Makes a call at once or leaves it to a helper, as its class has been of late. */
  make(pace: Pace, call: () => number, ...busy: readonly Busy[]): Answer<number> {
    return this.leaves(pace) ? this.later(pace, call, busy) : this.now(pace, call);
  }
}
