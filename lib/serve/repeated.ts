/**
 * Messages that clients can cause as often as they like.
 *
 * @module
 */
import type { LogEvent } from "./types.ts";

/** Milliseconds between two messages of one kind. */
const PERIOD_MS = 10_000;

/** Tells the first of many like messages at once, and of the others every ten seconds how many there were. */
export class Repeated {
  readonly #level: LogEvent["level"];
  readonly #log: (event: LogEvent) => void;
  readonly #now: () => number;
  #toldAt = -Infinity;
  #untold = 0;

  /** Nothing was told yet. */
  constructor(
    level: LogEvent["level"],
    log: (event: LogEvent) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#level = level;
    this.#log = log;
    this.#now = now;
  }

  /** Tells a message, or counts it. */
  tell(message: string): void {
    const now = this.#now();
    if (now - this.#toldAt < PERIOD_MS) {
      this.#untold++;
      return;
    }
    const count = this.#untold + 1;
    this.#toldAt = now;
    this.#untold = 0;
    this.#log({
      level: this.#level,
      message: count === 1 ? message : `${message} (${count} times since the last message)`,
    });
  }
}
