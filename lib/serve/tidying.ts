/**
 * Gives memory back when a client has left that had a lot.
 *
 * V8 collects garbage of some age when more of it comes, or when its thread is idle in V8's own
 * loop. A serving thread sleeps in a system call instead: without a word, what a client with
 * 100,000 fids has left behind would stay until the next such client.
 *
 * @module
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Fids that are worth it: a collection takes some milliseconds. */
const WORTH = 5_000;
/** Milliseconds to wait whether more goes; also the least time between two collections. */
const DELAY_MS = 1_000;
const PERIOD_MS = 10_000;

/** What a {@linkcode Tidying} needs to know. */
export interface TidyingOptions {
  /** Fids that are alive: the more, the longer a collection takes. */
  readonly alive: () => number;
  /** Calls `run` once, after so many milliseconds. */
  readonly after: (ms: number, run: () => void) => void;
  /** Collects garbage; by default, V8's. */
  readonly collect?: () => void;
}

/** Decides when garbage of a thread is collected. */
export class Tidying {
  readonly #options: TidyingOptions;
  #released = 0;
  #isPlanned = false;
  #lastAt = -Infinity;

  /** Nothing was released yet. */
  constructor(options: TidyingOptions) {
    this.#options = options;
  }

  /** A session has given back so many fids at once. */
  released(fids: number): void {
    this.#released += fids;
    if (this.#isPlanned || !this.#isWorth()) return;
    this.#isPlanned = true;
    const sinceLast = performance.now() - this.#lastAt;
    this.#options.after(Math.max(DELAY_MS, PERIOD_MS - sinceLast), () => this.#tidy());
  }

  #isWorth(): boolean {
    return this.#released >= Math.max(WORTH, this.#options.alive());
  }

  #tidy(): void {
    this.#isPlanned = false;
    if (!this.#isWorth()) return;
    this.#released = 0;
    this.#lastAt = performance.now();
    (this.#options.collect ?? collectGarbage)();
  }
}

let gc: (() => void) | undefined;

/** V8's own function for that is there in contexts made after this flag was set. */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as () => void;
  }
  gc();
}
