/**
 * `serve --trace`: what a server is asked and answers, to a file or to standard output.
 *
 * @module
 */
import type { StartOptions } from "../lib/serve/mod.ts";
import { type Observer, PcapngFile, Session, TextLines } from "../lib/trace/mod.ts";
import type { Output } from "./output.ts";
import { reason } from "./serve_plan.ts";
import { TraceOutput } from "./trace_output.ts";
import { VERSION } from "./version.ts";

/** What is to be traced. */
export interface TraceWish {
  /** File for it, absolute; standard output if not given. */
  readonly path?: string;
  /** Bytes of what is read and written that are kept of each message. */
  readonly payload: number;
}

/** Bytes of a payload in a line; a capture may have more. */
const STRINGS = 32;

/** A trace that is written. Disposing closes it. */
export class ServeTrace implements Disposable {
  /** For the server. */
  readonly options: NonNullable<StartOptions["trace"]>;
  readonly #sink: TraceOutput;

  /**
   * Opens it.
   *
   * @throws {Error} If the file cannot be written.
   */
  constructor({ path, payload }: TraceWish, output: Output) {
    try {
      // Who reads no more gets no more: the server goes on.
      this.#sink = new TraceOutput(output, path, () => {});
    } catch (error) {
      throw new Error(`Cannot write the trace to ${path}: ${reason(error)}`, { cause: error });
    }
    this.options = { observer: path === undefined ? this.#lines(payload) : this.#file(), payload };
  }

  /** Lines as the requests are answered. */
  #lines(payload: number): Observer {
    const strings = Math.min(payload, STRINGS);
    const lines = new TextLines((text) => this.#sink.write(text), { strings, stamp: "tt" });
    return new Session([lines], { needs: "messages", payload });
  }

  /** A capture without comments: to make them would cost more than to serve. */
  #file(): Observer {
    return new PcapngFile({
      write: (bytes) => this.#sink.writeBytes(bytes),
      application: `virtfs ${VERSION}`,
    });
  }

  /** Writes what is left. */
  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]();
  }
}
