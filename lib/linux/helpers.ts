/**
 * Threads that make system calls for another one, which must not wait for disks and peers.
 *
 * @module
 */

import { EFD_CLOEXEC, EFD_NONBLOCK } from "./constants.ts";
import { eventfd, eventfdRead } from "./event.ts";
import { Fd } from "./fd.ts";
import { groupList } from "./acting.ts";
import { END_WORDS, HelperTable, JOB_LONGS, JOBS, PARAMETERS, USER, WORD } from "./helper_table.ts";
import type { RecordedCall } from "./recorder.ts";

/** Helpers that are there from the start. */
const FIRST = 2;
/** Most helpers. */
const MOST = 8;
/** Helpers that calls in one lane leave to others. */
const SPARED = 2;

/**
 * Starts a helper as a thread of the caller's, which takes the caller 30 ms. Ready a few
 * milliseconds later, but a second if the caller is a worker itself.
 *
 * @param memory What the `start` option of {@linkcode Helpers} is given.
 */
export function startHelper(memory: SharedArrayBuffer): void {
  new Worker(new URL("./helper_worker.ts", import.meta.url), { type: "module" })
    .postMessage(memory);
}

/** Ends helpers whose owner ended without doing so. */
export function endHelpers(memory: SharedArrayBuffer): void {
  new HelperTable(memory).stop();
}

/** How {@linkcode Helpers} are made. */
export interface HelpersOptions {
  /** Helpers that are there from the start. Default 2. */
  readonly first?: number;
  /** Most helpers. Default 8. */
  readonly most?: number;
  /** Has a helper started, by {@linkcode startHelper} in whatever thread. By default in this one. */
  readonly start?: (memory: SharedArrayBuffer) => void;
}

/** What became of a call. */
export interface EndedCall {
  /** Its result, or minus the error. */
  readonly result: number;
  /** Microseconds that it took. */
  readonly micros: number;
}

/** Calls that may all wait for the same. */
interface Lane {
  readonly key: bigint;
  /** Calls that helpers have or are next to get. */
  running: number;
  /** Calls that there are too many of. */
  readonly waiting: Job[];
}

interface Job {
  readonly lane: Lane;
  readonly call: RecordedCall;
  /** What the call works with and nobody may collect before its end. */
  readonly keep: unknown;
  readonly resolve: (end: EndedCall) => void;
}

/**
 * Helpers of one thread. A call that finds none idle waits its turn, and has one more helper started
 * while there may be more. Calls in one lane never take the last two helpers, so that a mount that
 * hangs holds up none but its own.
 *
 * The owner watches {@linkcode Helpers.fd} and calls {@linkcode Helpers.settle} when there is
 * something to read. Everything that a call points to must stay where it is until the call has
 * ended, whoever has lost interest meanwhile.
 */
export class Helpers implements Disposable {
  readonly #table = new HelperTable();
  readonly #event: Fd;
  readonly #start: (memory: SharedArrayBuffer) => void;
  readonly #most: number;
  /** Jobs that the table has, by their index there. */
  readonly #jobs: (Job | null)[] = new Array(JOBS).fill(null);
  readonly #free: number[] = Array.from({ length: JOBS }, (_, index) => JOBS - 1 - index);
  /** Jobs that the table has no room for. */
  readonly #waiting: Job[] = [];
  /** Lanes with calls that have not ended. */
  readonly #lanes = new Map<bigint, Lane>();
  readonly #perLane: number;
  /** Calls that wait in lanes. */
  #held = 0;
  /** Jobs settled so far, as an index of the table. */
  #settled = 0;
  #started = 0;
  #idle: (() => void)[] = [];
  #isStopped = false;

  /**
   * Starts the first helpers.
   *
   * @throws {LinuxError} If there are no descriptors left.
   */
  constructor(options: HelpersOptions = {}) {
    this.#most = options.most ?? MOST;
    this.#perLane = Math.max(1, this.#most - SPARED);
    this.#start = options.start ?? startHelper;
    this.#event = Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
    this.#table.words[WORD.EVENT] = this.#event.number;
    const first = Math.min(options.first ?? FIRST, this.#most);
    while (this.#started < first) this.#startOne();
  }

  /** An eventfd: readable when {@linkcode Helpers.settle} has something to do. */
  get fd(): number {
    return this.#event.number;
  }

  /** Calls that have not ended. */
  get running(): number {
    return this.#ready + this.#held;
  }

  /**
   * Has a call made. The promise never rejects, and settles while {@linkcode Helpers.settle} runs.
   *
   * @param keep What the call works with: it is not collected before the end.
   * @param lane Calls with the same number may all wait for the same: a disk, a peer.
   */
  run(call: RecordedCall, keep?: unknown, lane: bigint = 0n): Promise<EndedCall> {
    return new Promise((resolve) => {
      const job: Job = { lane: this.#lane(lane), call, keep, resolve };
      if (job.lane.running < this.#perLane) {
        this.#admit(job);
      } else {
        job.lane.waiting.push(job);
        this.#held++;
      }
    });
  }

  /** Settles the promises of calls that have ended. */
  settle(): void {
    const { words, done, ends } = this.#table;
    eventfdRead(this.#event.number);
    // Before the list is looked at: whoever puts something on it later tells again.
    Atomics.store(words, WORD.TOLD, 0);
    for (;;) {
      const place = this.#settled & (JOBS - 1);
      const index = Atomics.exchange(done, place, 0) - 1;
      if (index < 0) break;
      this.#settled++;
      const { resolve, lane } = this.#jobs[index] as Job;
      this.#jobs[index] = null;
      resolve({
        result: ends[index * END_WORDS] as number,
        micros: ends[index * END_WORDS + 1] as number,
      });
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(index);
      else this.#give(index, next);
      this.#leave(lane);
    }
    if (this.running === 0) { for (const resolve of this.#idle.splice(0)) resolve(); }
  }

  /** Settles when no call is under way. */
  async whenIdle(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /**
   * Ends the threads, each when its call has ended; calls that have not begun never will. One that
   * hangs in the kernel keeps its thread, and a process that ends by itself waits for that.
   */
  [Symbol.dispose](): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#table.stop();
    // Whoever is still at it writes to the eventfd in the end: it must be ours until then.
    if (this.running === 0) this.#event[Symbol.dispose]();
  }

  /** Calls that helpers have or are next to get. */
  get #ready(): number {
    return JOBS - this.#free.length + this.#waiting.length;
  }

  #lane(key: bigint): Lane {
    let lane = this.#lanes.get(key);
    if (lane === undefined) this.#lanes.set(key, lane = { key, running: 0, waiting: [] });
    return lane;
  }

  /** A call's turn in its lane has come. */
  #admit(job: Job): void {
    job.lane.running++;
    const index = this.#free.pop();
    if (index === undefined) this.#waiting.push(job);
    else this.#give(index, job);
    if (this.#ready > this.#started && this.#started < this.#most) this.#startOne();
  }

  /** A call in a lane has ended. */
  #leave(lane: Lane): void {
    lane.running--;
    const next = lane.waiting.shift();
    if (next !== undefined) {
      this.#held--;
      this.#admit(next);
    } else if (lane.running === 0) {
      this.#lanes.delete(lane.key);
    }
  }

  #give(index: number, job: Job): void {
    const { words, given, longs } = this.#table;
    this.#jobs[index] = job;
    const { number, parameters, user } = job.call;
    const at = index * JOB_LONGS;
    longs[at] = number;
    for (let i = 0; i < PARAMETERS; i++) longs[at + 1 + i] = parameters[i] ?? 0n;
    longs[at + USER.IS_SET] = user === null ? 0n : 1n;
    if (user !== null) {
      longs[at + USER.UID] = BigInt(user.uid);
      longs[at + USER.GID] = BigInt(user.gid);
      longs[at + USER.GROUPS] = BigInt(user.groups.length);
      longs[at + USER.LIST] = groupList(user).pointer;
    }
    const place = words[WORD.GIVEN] as number;
    Atomics.store(given, place & (JOBS - 1), index);
    Atomics.store(words, WORD.GIVEN, place + 1 | 0);
    Atomics.add(words, WORD.BELL, 1);
    Atomics.notify(words, WORD.BELL, 1);
  }

  #startOne(): void {
    this.#started++;
    this.#start(this.#table.memory);
  }
}
