/** The loop that somebody else runs. */

/** What this folder needs of an event loop; the reactor of `lib/transport` is one. */
export interface Watcher {
  /**
   * Call `run` whenever one of `events` is the case, until `unwatch`.
   *
   * @param events `EPOLL*`, level-triggered.
   */
  watch(fd: number, events: number, run: (events: number) => void): void;
  /** Stop that. Is called before the descriptor is closed. */
  unwatch(fd: number): void;
  /**
   * Call `run` once, in `ms` milliseconds. Only queues without a kick descriptor need it.
   *
   * @returns A function that calls it off.
   */
  after?(ms: number, run: () => void): () => void;
}
