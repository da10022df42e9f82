/**
 * A server as a process of its own, watched from outside while clients do it harm.
 *
 * @module
 */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { Client, type Fid } from "../lib/client/mod.ts";
import { decode, encode, NOFID, NOTAG, type RMessage, type TMessage } from "../lib/p9/mod.ts";
import { dial, parseDialAddress } from "../lib/transport/mod.ts";
import { holdings } from "./processes.ts";

const MAIN = new URL("../cli/main.ts", import.meta.url).pathname;
const PATIENCE_MS = 20_000;
/** Pause of the honest client between two requests. */
const PAUSE_MS = 2;

/** How a {@linkcode Victim} is started. */
export interface VictimOptions {
  /** More words for `virtfs serve`. */
  readonly args?: readonly string[];
  /** RLIMIT_NOFILE, soft and hard. */
  readonly descriptors?: number;
  /** Where the folder is made; the folder for temporary files if not given. */
  readonly parent?: string;
}

/** A server process. Disposing kills it and removes its folder. */
export class Victim implements AsyncDisposable {
  /** What it has written on standard error. */
  log = "";
  readonly #folder: string;
  readonly #child: Deno.ChildProcess;
  readonly #collected: Promise<unknown>;
  #addresses: readonly string[] = [];
  #output: ReadableStreamDefaultReader<string> | null = null;
  #hasEnded = false;

  private constructor(folder: string, child: Deno.ChildProcess) {
    this.#folder = folder;
    this.#child = child;
    void child.status.then(() => this.#hasEnded = true);
    this.#collected = (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) this.log += text;
    })();
  }

  /** Starts one that listens on a unix socket, on TCP and as a device. */
  static async start(options: VictimOptions = {}): Promise<Victim> {
    const { parent = tmpdir() } = options;
    const folder = await Deno.makeTempDir({ dir: parent, prefix: "virtfs-hostile-" });
    await Deno.mkdir(`${folder}/export`);
    const serve = [
      Deno.execPath(),
      "run",
      "--no-check",
      "-A",
      MAIN,
      "serve",
      `${folder}/export`,
      "--json",
      "--security-model",
      "none",
      "--trust-clients",
      "--listen",
      `unix://${folder}/socket`,
      "--listen",
      "tcp://127.0.0.1:0",
      "--listen",
      `vhost-user://${folder}/device`,
      "--tag",
      "hostile",
      ...options.args ?? [],
    ];
    const { descriptors } = options;
    const words = descriptors === undefined
      ? serve
      : ["sh", "-c", `ulimit -n ${descriptors} && exec "$@"`, "sh", ...serve];
    const child = new Deno.Command(words[0] ?? "", {
      args: words.slice(1),
      env: { NO_COLOR: "1", LISTEN_PID: "", LISTEN_FDS: "" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const victim = new Victim(folder, child);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await lines.read();
    victim.#output = lines;
    assert(value !== undefined, `the server did not start: ${victim.log}`);
    victim.#addresses = (JSON.parse(value) as { addresses: string[] }).addresses;
    return victim;
  }

  /** The folder that is served. */
  get root(): string {
    return `${this.#folder}/export`;
  }

  /** Number of the process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Where it listens. */
  address(kind: "unix" | "tcp" | "vhost-user"): string {
    return this.#addresses.find((each) => each.startsWith(`${kind}:`)) ?? "";
  }

  /** Descriptors that it has open, those of its helper threads not counted. */
  get held(): number {
    return holdings(this.pid).count;
  }

  /** Descriptors that it has open. */
  get descriptors(): number {
    return [...Deno.readDirSync(`/proc/${this.pid}/fd`)].length;
  }

  /** Resident memory in MiB. */
  get residentMiB(): number {
    const status = Deno.readTextFileSync(`/proc/${this.pid}/status`);
    return Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1]) / 1024;
  }

  /** Checks that it lives. */
  assertAlive(): void {
    assert(!this.#hasEnded, `the server has ended: ${this.log}`);
  }

  /** Waits until it holds no more descriptors and not much more memory than before. */
  async settles(descriptors: number, residentMiB: number): Promise<void> {
    // Garbage goes when something new is made: somebody honest asks for this and that.
    const honest = await connect(this.address("unix"));
    try {
      await until(
        () =>
          `at most ${descriptors} descriptors and ${residentMiB} MiB, ` +
          `not ${this.held} and ${this.residentMiB}`,
        async () => {
          const root = await honest.attach();
          for (let i = 0; i < 200; i++) await root.getattr();
          await root.clunk();
          return this.held - 1 <= descriptors && this.residentMiB <= residentMiB;
        },
      );
    } finally {
      await honest.close();
    }
  }

  /** Kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 8000);
    await this.#child.status;
    clearTimeout(timer);
    await this.#collected;
    await this.#output?.cancel();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Tries again while the kernel has no room for one more connection that waits to be accepted. */
async function patiently<T>(connect: () => Promise<T>): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock) || performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A client that behaves. */
export async function connect(address: string): Promise<Client> {
  return await Client.connect(await patiently(() => dial(address)));
}

/** Waits until something is the case; says what was not. */
export async function until(
  what: () => string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    if (performance.now() > end) throw new Error(`Cannot go on: have not seen ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Somebody who asks for attributes all the time and notes how long the answers take. */
export class Honest implements AsyncDisposable {
  /** Milliseconds that the slowest answer took. */
  slowestMs = 0;
  /** Answers. */
  count = 0;
  readonly #client: Client;
  readonly #root: Fid;
  readonly #asking: Promise<void>;
  #isOver = false;

  private constructor(client: Client, root: Fid) {
    this.#client = client;
    this.#root = root;
    this.#asking = this.#ask();
    // Whoever waits for it sees the error.
    this.#asking.catch(() => {});
  }

  /** Begins to ask. */
  static async begin(victim: Victim, kind: "unix" | "tcp" = "unix"): Promise<Honest> {
    const client = await connect(victim.address(kind));
    return new Honest(client, await client.attach());
  }

  async #ask(): Promise<void> {
    while (!this.#isOver) {
      const began = performance.now();
      // A name that is there: what the harm does to descriptors shows.
      const fid = await this.#root.walk();
      await fid.getattr();
      await fid.clunk();
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      this.count++;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Stops to ask. Rejects if anything was refused. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#asking;
  }

  /** Leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#asking.catch(() => {});
    await this.#client.close();
  }
}

/** A connection on which anything can be sent. Disposing closes it. */
export class Raw implements Disposable {
  readonly #conn: Deno.Conn;
  #input = new Uint8Array(0);
  #isClosed = false;

  private constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Connects, without a word. */
  static async dial(address: string): Promise<Raw> {
    const to = parseDialAddress(address);
    return new Raw(
      await patiently(async () =>
        to.kind === "tcp"
          ? await Deno.connect({ hostname: to.host, port: to.port })
          : await Deno.connect({ transport: "unix", path: to.path })
      ),
    );
  }

  /** Connects and agrees on a version. */
  static async begin(address: string, msize: number = 65_536): Promise<Raw> {
    const raw = await Raw.dial(address);
    const answer = await raw.ask({ kind: "Tversion", tag: NOTAG, msize, version: "9P2000.L" });
    assert.equal(answer?.kind, "Rversion");
    return raw;
  }

  /** Connects, agrees and attaches fid 0. */
  static async attach(address: string, msize?: number): Promise<Raw> {
    const raw = await Raw.begin(address, msize);
    const answer = await raw.ask({
      kind: "Tattach",
      tag: 0,
      fid: 0,
      afid: NOFID,
      uname: "",
      aname: "",
      n_uname: 0,
    });
    assert.equal(answer?.kind, "Rattach");
    return raw;
  }

  /** Sends bytes. False if the other side has closed. */
  async send(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
      return true;
    } catch {
      return false;
    }
  }

  /** Sends a message and waits for the next answer; null if the other side closes. */
  async ask(message: TMessage): Promise<RMessage | null> {
    await this.send(frameOf(message));
    return await this.answer();
  }

  /** The next answer; null if the other side closes. */
  async answer(): Promise<RMessage | null> {
    const frame = await this.frame();
    return frame === null ? null : decode(frame, "9P2000.L") as RMessage;
  }

  /** The next frame; null if the other side closes. */
  async frame(): Promise<Uint8Array | null> {
    for (;;) {
      const input = this.#input;
      if (input.length >= 4) {
        const size = new DataView(input.buffer, input.byteOffset).getUint32(0, true);
        if (input.length >= size) {
          this.#input = input.subarray(size);
          return input.subarray(0, size);
        }
      }
      const chunk = new Uint8Array(65_536);
      let n: number | null;
      try {
        n = await this.#conn.read(chunk);
      } catch {
        n = null;
      }
      if (n === null) return null;
      const joined = new Uint8Array(input.length + n);
      joined.set(input);
      joined.set(chunk.subarray(0, n), input.length);
      this.#input = joined;
    }
  }

  /** Sends nothing more. */
  async closeWrite(): Promise<void> {
    await (this.#conn as Deno.TcpConn).closeWrite().catch(() => {});
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#conn.close();
    } catch {
      // Closed already.
    }
  }
}

/** The bytes of a message. */
export function frameOf(message: TMessage): Uint8Array {
  return encode(message, "9P2000.L");
}

/** Bytes one behind the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Numbers from 0 to 2^32 - 1 that are the same every time. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e37_79b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}
