/**
 * Where `trace` writes: standard output or a file, text or bytes, much at a time.
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
  #written = 0;

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

  /** Bytes so far; of text that waits, about as many. */
  get size(): number {
    return this.#written + this.#text.length;
  }

  /** Writes text, soon. */
  write(text: string): void {
    if (this.#isClosed) return;
    this.#text += text;
    if (this.#text.length >= MOST) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** Writes bytes, which were collected before. */
  writeBytes(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#written += bytes.length;
    if (this.#file === null) {
      this.#output.outBytes?.(bytes);
      this.#checkReader();
      return;
    }
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(this.#file.writeSync(rest));
  }

  /** Writes the text that was collected. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#text;
    this.#text = "";
    if (text === "" || this.#isClosed) return;
    if (this.#file === null) {
      this.#written += text.length;
      this.#output.out(text);
      this.#checkReader();
      return;
    }
    this.writeBytes(this.#encoder.encode(text));
  }

  /** Writes what is left, and closes the file. */
  [Symbol.dispose](): void {
    try {
      this.flush();
    } finally {
      this.#file?.close();
    }
  }

  #checkReader(): void {
    if (this.#output.outIsClosed !== true || this.#isClosed) return;
    this.#isClosed = true;
    this.#onClosed();
  }
}
