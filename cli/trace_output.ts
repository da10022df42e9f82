/**
 * Where `trace` writes: standard output or a file, many lines at a time.
 *
 * @module
 */
import type { Output } from "./output.ts";

/** Characters that are collected before they are written. */
const MOST = 65_536;
/** Longest time that they wait, milliseconds: somebody may be looking on. */
const WAIT_MS = 50;

/** Collects text and writes it. Disposing writes what is left. */
export class TraceOutput implements Disposable {
  readonly #output: Output;
  readonly #file: Deno.FsFile | null;
  readonly #onClosed: () => void;
  readonly #encoder = new TextEncoder();
  #text = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /**
   * Writes to a file, or to standard output without one.
   *
   * @param path A file to make or to write over.
   * @param onClosed Called when nobody reads standard output any more.
   * @throws What opening the file throws.
   */
  constructor(output: Output, path: string | undefined, onClosed: () => void) {
    this.#output = output;
    this.#onClosed = onClosed;
    this.#file = path === undefined
      ? null
      : Deno.openSync(path, { write: true, create: true, truncate: true });
  }

  /** Writes text, soon. */
  write(text: string): void {
    if (this.#isClosed) return;
    this.#text += text;
    if (this.#text.length >= MOST) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** Writes what was collected. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#text;
    this.#text = "";
    if (text === "" || this.#isClosed) return;
    if (this.#file === null) {
      this.#output.out(text);
      if (this.#output.outIsClosed === true) {
        this.#isClosed = true;
        this.#onClosed();
      }
      return;
    }
    let bytes = this.#encoder.encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(this.#file.writeSync(bytes));
  }

  /** Writes what is left, and closes the file. */
  [Symbol.dispose](): void {
    try {
      this.flush();
    } finally {
      this.#file?.close();
    }
  }
}
