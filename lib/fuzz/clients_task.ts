/**
 * What passes between the engine that tries our client and the thread that can be killed.
 *
 * @module
 */

import type { Lie } from "./clients_mischief.ts";
import type { WatchedTask } from "./watched_thread.ts";

/** What a thread is to do. */
export interface ClientsTask extends WatchedTask {
  /** Seed of all conversations. */
  readonly seed: number;
  /** Number of the first. */
  readonly from: number;
  /** Conversations at most. */
  readonly runs: number;
  /** Milliseconds to go on at most. */
  readonly timeMs: number;
  /** Whether a socket is between client and server. */
  readonly isSocket: boolean;
  /** Numbers of the replies that may be bent; all if not given. */
  readonly lies?: readonly number[];
}

/** Something that a client must not do. */
export interface ClientsCatch {
  /** Number of the conversation. */
  readonly index: number;
  /** Which oracle. */
  readonly oracle: "process" | "hang" | "counts";
  /** What it did, without numbers: the same for the same cause. */
  readonly cause: string;
  /** What the server had done to its replies; unknown if the thread did not live to tell. */
  readonly deeds: readonly Lie[] | undefined;
}

/** How far a thread has come. */
export interface ClientsProgress {
  /** Whether it is done. */
  readonly isDone: boolean;
  /** Number of the next conversation. */
  readonly next: number;
  /** Replies that were bent since the last time. */
  readonly deeds: number;
  /** What is wrong, since the last time. */
  readonly caught: readonly ClientsCatch[];
}
