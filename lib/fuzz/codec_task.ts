/**
 * What passes between the codec engine and the thread that can be killed.
 *
 * @module
 */
import type { Dialect } from "../p9/mod.ts";
import { MAX_FRAME } from "./codec_frames.ts";
import type { CodecCheck, CodecFault } from "./codec_oracle.ts";
import { WATCHED, type WatchedTask } from "./watched_thread.ts";

/** Slots of {@linkcode WatchedTask.shared} before the frame of the case under way. */
export const SHARED = { ...WATCHED, LENGTH: 2, DIALECT: 3, BYTES: 4 } as const;

/** Bytes of {@linkcode WatchedTask.shared}: the frame survives the end of the thread. */
export const SHARED_SIZE = SHARED.BYTES * 4 + MAX_FRAME;

/** Dialects by their codes in {@linkcode SHARED}. */
export const DIALECT_CODES: readonly Dialect[] = ["9P2000", "9P2000.u", "9P2000.L"];

/** What a thread is to do. */
export interface CodecTask extends WatchedTask {
  /** Seed of all cases. */
  readonly seed: number;
  /** Number of the first case. */
  readonly from: number;
  /** Cases to make at most. */
  readonly cases: number;
  /** Milliseconds to go on at most. */
  readonly timeMs: number;
  /** Dialects. */
  readonly dialects: readonly Dialect[];
  /** Whether coverage guides. */
  readonly isGuided: boolean;
  /** Frames to begin with. */
  readonly corpus: readonly CodecSpecimen[];
  /** Checks to leave out. */
  readonly off: readonly CodecCheck[];
  /** The frame that every case is; they are made if not given. */
  readonly only?: CodecSpecimen;
}

/** A frame with its dialect. */
export interface CodecSpecimen {
  /** Its bytes. */
  readonly bytes: Uint8Array;
  /** The dialect it is of. */
  readonly dialect: Dialect;
}

/** A frame at which a check failed. */
export interface CodecCatch extends CodecSpecimen {
  /** The check. */
  readonly fault: CodecFault;
  /** Number of the case. */
  readonly index: number;
}

/** How far a thread has come. */
export interface CodecProgress {
  /** Whether it is done. */
  readonly isDone: boolean;
  /** Number of the next case. */
  readonly next: number;
  /** Characters of source that have run. */
  readonly covered: number;
  /** Hash over all cases among the first {@linkcode DIGEST_CASES}. */
  readonly digest: number;
  /** Checks that failed since the last time. */
  readonly caught: readonly CodecCatch[];
  /** Frames that reached something new since the last time. */
  readonly found: readonly CodecSpecimen[];
  /** Seconds that this thread spent on cases and looks so far. */
  readonly seconds: number;
}

/** So many cases of a seed are the same on every run: they depend on nothing else. */
export const DIGEST_CASES = 10_000;
