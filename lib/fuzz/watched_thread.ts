/**
 * A thread that is killed when it does not come any further.
 *
 * @module
 */

/** Slots of {@linkcode WatchedTask.shared} that everyone has. */
export const WATCHED = { CASE: 0, STOP: 1 } as const;

/** What a thread is to do, as far as this is of interest to who watches it. */
export interface WatchedTask {
  /**
   * Slot `CASE` has the number of the case under way, -1 before the first; the thread ends on its own
   * when slot `STOP` is not 0.
   */
  readonly shared: Int32Array<SharedArrayBuffer>;
}

/** How a thread ended. */
export type ThreadEnd =
  /** By itself: it has done what it was to do. */
  | { readonly how: "done" }
  /** It did not get over a case, and was killed. */
  | { readonly how: "hang"; readonly index: number }
  /** By an error that nobody caught. */
  | { readonly how: "error"; readonly index: number; readonly message: string };

/** How a thread is watched. */
export interface WatchOptions<Progress> {
  /** Milliseconds after which a case that is still the same is a hang. */
  readonly hangMs: number;
  /** Asks the thread to end. */
  readonly signal?: AbortSignal | undefined;
  /** Is told what the thread tells. */
  readonly onProgress: (progress: Progress) => void;
}

/**
 * Runs a task in a thread of its own until that is done, or has to be killed.
 *
 * @param module What the thread runs: it gets the task as its first message, and tells its progress.
 */
export async function watchThread<Progress extends { readonly isDone: boolean }>(
  module: URL,
  task: WatchedTask,
  { hangMs, signal, onProgress }: WatchOptions<Progress>,
): Promise<ThreadEnd> {
  const { shared } = task;
  Atomics.store(shared, WATCHED.CASE, -1);
  const worker = new Worker(module, { type: "module" });
  const { promise, resolve } = Promise.withResolvers<ThreadEnd>();
  worker.onmessage = ({ data }: MessageEvent<Progress>) => {
    onProgress(data);
    if (data.isDone) resolve({ how: "done" });
  };
  worker.onerror = (event) => {
    event.preventDefault();
    const index = Atomics.load(shared, WATCHED.CASE);
    resolve({ how: "error", index, message: event.message });
  };
  const stop = (): void => {
    Atomics.store(shared, WATCHED.STOP, 1);
  };
  signal?.addEventListener("abort", stop);
  if (signal?.aborted === true) stop();
  let last = -1;
  const watch = setInterval(() => {
    const index = Atomics.load(shared, WATCHED.CASE);
    if (index !== last || index < 0) last = index;
    else resolve({ how: "hang", index });
  }, hangMs);
  worker.postMessage(task);
  try {
    return await promise;
  } finally {
    clearInterval(watch);
    signal?.removeEventListener("abort", stop);
    worker.terminate();
  }
}
