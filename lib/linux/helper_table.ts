/**
 * What a thread and its helpers share: jobs, and who has taken which.
 *
 * @module
 */

/** Jobs that helpers can know of at once; a power of 2. */
export const JOBS = 64;
/** Arguments of a system call. */
export const PARAMETERS = 6;
/** Where a job says as whom to make the call. */
export const USER = {
  /** Not 0 if it is to be made as somebody else than the server. */
  IS_SET: 1 + PARAMETERS,
  /** User number. */
  UID: 2 + PARAMETERS,
  /** Group. */
  GID: 3 + PARAMETERS,
  /** How many supplementary groups there are, */
  GROUPS: 4 + PARAMETERS,
  /** and their address. */
  LIST: 5 + PARAMETERS,
} as const;
/** 64-bit words of a job: the number of the call, its arguments, and the user. */
export const JOB_LONGS: number = 6 + PARAMETERS;
/** 32-bit words of what becomes of a job: result or minus the error, and microseconds it took. */
export const END_WORDS = 2;

/** Words that the threads tell each other things by. */
export const WORD = {
  /** Changes whenever there is a job, or the end: helpers sleep on it. */
  BELL: 0,
  /** Not 0 when all shall end. */
  STOP: 1,
  /** Jobs that were taken, ever. */
  TAKEN: 2,
  /** Jobs that were given, ever. */
  GIVEN: 3,
  /** Jobs that are done, ever. */
  DONE: 4,
  /** Not 0 while the owner has been told that jobs are done and has not looked yet. */
  TOLD: 5,
  /** The eventfd that tells the owner. */
  EVENT: 6,
} as const;

const WORDS = 8;

/** Views of the shared memory. */
export class HelperTable {
  /** The memory itself, to be sent to another thread. */
  readonly memory: SharedArrayBuffer;
  /** See {@linkcode WORD}. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Jobs given, as a ring of their indexes. */
  readonly given: Int32Array<SharedArrayBuffer>;
  /** Jobs done, as a ring of their indexes plus 1; 0 where nothing is yet. */
  readonly done: Int32Array<SharedArrayBuffer>;
  /** {@linkcode END_WORDS} for each job. */
  readonly ends: Int32Array<SharedArrayBuffer>;
  /** {@linkcode JOB_LONGS} for each job. */
  readonly longs: BigUint64Array<SharedArrayBuffer>;

  /** Makes views of memory that another thread made, or of new memory. */
  constructor(memory?: SharedArrayBuffer) {
    const longsAt = 4 * (WORDS + (2 + END_WORDS) * JOBS);
    this.memory = memory ?? new SharedArrayBuffer(longsAt + 8 * JOB_LONGS * JOBS);
    this.words = new Int32Array(this.memory, 0, WORDS);
    this.given = new Int32Array(this.memory, 4 * WORDS, JOBS);
    this.done = new Int32Array(this.memory, 4 * (WORDS + JOBS), JOBS);
    this.ends = new Int32Array(this.memory, 4 * (WORDS + 2 * JOBS), END_WORDS * JOBS);
    this.longs = new BigUint64Array(this.memory, longsAt, JOB_LONGS * JOBS);
  }

  /** Ends the helpers, each when the call that it makes has ended. */
  stop(): void {
    Atomics.store(this.words, WORD.STOP, 1);
    Atomics.add(this.words, WORD.BELL, 1);
    Atomics.notify(this.words, WORD.BELL);
  }
}
