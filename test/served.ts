/**
 * `virtfs serve` as a process, from this project's sources or from those in another folder.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Channel, dial, dialDevice } from "../lib/transport/mod.ts";

/** The folder with `cli/main.ts` in it. */
export const PROJECT: string = new URL("../", import.meta.url).pathname;

/** Longest wait for a server to start or to end, in milliseconds. */
const PATIENCE_MS = 20_000;

/** How to start a server. */
export interface ServedOptions {
  /** Words after `virtfs serve`; `--json` is added. */
  readonly args: readonly string[];
  /** Folder of the project to run; this one by default. */
  readonly project?: string;
  /** Program and words to put before: it ends by executing the rest. */
  readonly before?: readonly string[];
}

/** A running server. Disposing stops it. */
export class Served implements AsyncDisposable {
  /** Its addresses, those of sockets first, then those of devices. */
  readonly addresses: readonly string[];
  /** Number of its process. */
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #said: Promise<string>;
  readonly #closing: Promise<void>[] = [];

  private constructor(
    child: Deno.ChildProcess,
    said: Promise<string>,
    told: { readonly addresses: readonly string[]; readonly pid: number },
  ) {
    this.#child = child;
    this.#said = said;
    this.addresses = told.addresses;
    this.pid = told.pid;
  }

  /**
   * Starts one and waits until it listens.
   *
   * @throws {Error} If it does not; the message has what it said.
   */
  static async start(options: ServedOptions): Promise<Served> {
    const { args, project = PROJECT, before = [] } = options;
    const deno = [Deno.execPath(), "run", "--no-check", "-A", `${project}/cli/main.ts`];
    const [program = "", ...words] = [...before, ...deno, "serve", "--json", ...args];
    const child = new Deno.Command(program, {
      args: words,
      env: { NO_COLOR: "1", LISTEN_PID: "", LISTEN_FDS: "" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const said = new Response(child.stderr).text();
    const timer = setTimeout(() => kill(child, "SIGKILL"), PATIENCE_MS);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    try {
      while (!text.includes("\n")) {
        const { value, done } = await lines.read();
        if (done) {
          await child.status;
          throw new Error(`Cannot start a server: ${await said}`);
        }
        text += value;
      }
    } finally {
      clearTimeout(timer);
      await lines.cancel();
    }
    return new Served(child, said, JSON.parse(text));
  }

  /** Connects to the n-th address. */
  async connect(index: number): Promise<Channel> {
    const address = this.addresses[index] ?? "";
    if (!address.startsWith("vhost-user://")) return await dial(address);
    const channel = await dialDevice(address.slice("vhost-user://".length));
    this.#closing.push(channel.closed);
    return channel;
  }

  /** Waits until no device is in use that was connected to: the next machine would have to. */
  async idle(): Promise<void> {
    await Promise.all(this.#closing.splice(0));
  }

  /** Ends it in the middle of whatever it does. There is nothing to dispose then. */
  async kill(): Promise<void> {
    kill(this.#child, "SIGKILL");
    await this.#child.status;
    await this.#said;
  }

  /** Tells it to stop; returns the code that it ends with. */
  async stop(): Promise<number> {
    kill(this.#child, "SIGTERM");
    const timer = setTimeout(() => kill(this.#child, "SIGKILL"), PATIENCE_MS);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    return code;
  }

  /** Stops it; fails if it does not end as it should. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.idle();
    const code = await this.stop();
    assert.equal(code, 0, await this.#said);
  }
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended by itself.
  }
}
