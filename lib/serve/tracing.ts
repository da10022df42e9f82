/**
 * Gathers what all threads and processes of a server note, for whoever wants to see it.
 *
 * @module
 */
import type { Collector, Observer } from "../trace/mod.ts";
import type { TraceTarget } from "./protocol.ts";
import type { LogEvent } from "./types.ts";

/** Who sees what is asked and answered. */
export interface TraceOptions {
  /** Gets conversations and frames; no transactions. */
  readonly observer: Observer;
  /** Bytes of what is read and written that are kept of each message; 0 for headers only. */
  readonly payload: number;
}

/** The rings of a server, and who empties them. */
export class Tracing {
  readonly #collector: Collector;
  readonly #payload: number;
  readonly #log: (event: LogEvent) => void;

  private constructor(collector: Collector, payload: number, log: (event: LogEvent) => void) {
    this.#collector = collector;
    this.#payload = payload;
    this.#log = log;
  }

  /** Begins to gather. */
  static async start(options: TraceOptions, log: (event: LogEvent) => void): Promise<Tracing> {
    // Loaded only where somebody wants to see.
    const { Collector } = await import("../trace/mod.ts");
    const collector = new Collector(options.observer);
    collector.start();
    return new Tracing(collector, options.payload, log);
  }

  /** What one more thread or process is told. */
  target(): TraceTarget {
    return { ring: this.#collector.addRing(), payload: this.#payload };
  }

  /** Hands over what is left. Threads and processes must have ended. */
  async stop(): Promise<void> {
    const { dropped } = this.#collector;
    await this.#collector.stop();
    if (dropped === 0) return;
    this.#log({
      level: "warn",
      message: "the trace has gaps: messages came faster than they could be written",
      fields: { messages: dropped },
    });
  }
}
