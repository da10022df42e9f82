/**
 * `serve --trace`: what a server is asked and answers, to a file or to standard output.
 *
 * @module
 */
import type { StartOptions } from "../lib/serve/mod.ts";
import { formatTransaction, PcapngFile, Session, TextLines } from "../lib/trace/mod.ts";
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
    const style = { strings: Math.min(payload, STRINGS) };
    const observer = path === undefined
      ? new TextLines((text) => this.#sink.write(text), { ...style, stamp: "tt" })
      : new PcapngFile({
        write: (bytes) => this.#sink.writeBytes(bytes),
        describe: (transaction) => formatTransaction(transaction, style),
        application: `virtfs ${VERSION}`,
      });
    this.options = { observer: new Session([observer], { needs: "messages", payload }), payload };
  }

  /** Writes what is left. */
  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]();
  }
}
