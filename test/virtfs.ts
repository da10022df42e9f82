/**
 * The program as a process, for tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { dial } from "../lib/transport/mod.ts";

const MAIN = new URL("../cli/main.ts", import.meta.url).pathname;
const PATIENCE_MS = 20_000;

/** How a process has ended. */
export interface Ended {
  /** Exit code. */
  readonly code: number;
  /** Signal that ended it. */
  readonly signal: Deno.Signal | null;
  /** All that it wrote. */
  readonly stdout: string;
  /** The same of standard error. */
  readonly stderr: string;
}

/** A running `virtfs`. Disposing kills it. */
export class Virtfs implements AsyncDisposable {
  /** What it has written so far. */
  stdout = "";
  /** The same of standard error. */
  stderr = "";
  /** Settles when it has ended and all is read. */
  readonly ended: Promise<Ended>;
  readonly #child: Deno.ChildProcess;
  #watchers: (() => void)[] = [];
  #hasEnded = false;

  /**
   * Starts it.
   *
   * @param args Words after `virtfs`.
   * @param command Program and arguments to which those of Deno are appended.
   * @param env Variables besides those that the tests have.
   */
  constructor(
    args: readonly string[],
    command: readonly string[] = [Deno.execPath()],
    env: Readonly<Record<string, string>> = {},
  ) {
    const [program = "", ...before] = command;
    this.#child = new Deno.Command(program, {
      args: [...before, "run", "--no-check", "-A", MAIN, ...args],
      // What the tests were started with must not decide what they find.
      env: { NO_COLOR: "1", LISTEN_PID: "", LISTEN_FDS: "", NOTIFY_SOCKET: "", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const child = this.#child;
    const streams = Promise.all([
      this.#collect(child.stdout, (text) => this.stdout += text),
      this.#collect(child.stderr, (text) => this.stderr += text),
    ]);
    this.ended = (async () => {
      const { code, signal } = await child.status;
      await streams;
      this.#hasEnded = true;
      this.#tellWatchers();
      return { code, signal, stdout: this.stdout, stderr: this.stderr };
    })();
  }

  /** Its number. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /**
   * Waits until an output matches.
   *
   * @param patienceMs Time after which it is killed, milliseconds.
   */
  async said(pattern: RegExp, patienceMs: number = PATIENCE_MS): Promise<RegExpExecArray> {
    const timer = setTimeout(() => this.#end(), patienceMs);
    try {
      for (;;) {
        const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (found !== null) return found;
        assert(!this.#hasEnded, `ended without ${pattern}:\n${this.stdout}${this.stderr}`);
        await new Promise<void>((resolve) => this.#watchers.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      take(text);
      this.#tellWatchers();
    }
  }

  #tellWatchers(): void {
    for (const tell of this.#watchers.splice(0)) tell();
  }

  #end(): void {
    if (!this.#hasEnded) this.kill("SIGKILL");
  }

  /** Kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#end();
    } catch {
      // It has ended just now.
    }
    await this.ended;
  }
}

/** Runs a command that ends by itself. */
export async function virtfs(...args: string[]): Promise<Ended> {
  await using process = new Virtfs(args);
  const timer = setTimeout(() => process.kill("SIGKILL"), PATIENCE_MS);
  try {
    return await process.ended;
  } finally {
    clearTimeout(timer);
  }
}

/** A folder to serve, with a file in it. Disposing removes it. */
export class Folder implements Disposable {
  /** Where everything is. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "virtfs-cli-" });
  /** The folder to serve, with a file `hello`. */
  readonly export: string = `${this.path}/export`;
  /** Path for a socket. */
  readonly socket: string = `${this.path}/virtfs.sock`;

  /** Makes it. */
  constructor() {
    Deno.mkdirSync(this.export);
    Deno.writeTextFileSync(`${this.export}/hello`, "hello, world\n");
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Reads a file through the server at an address. */
export async function readOver(address: string, path: string, aname = ""): Promise<string> {
  await using client = await Client.connect(await dial(address));
  await using root = await client.attach({ aname, n_uname: 0 });
  await using file = await root.walk(path);
  await file.open();
  return new TextDecoder().decode(await file.readAll());
}

/** Whether there is a file of any kind. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
