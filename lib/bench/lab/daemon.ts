/**
 * Server processes of a laboratory.
 *
 * @module
 */

/** Part of what a process printed that is kept for messages. */
const TAIL = 4096;
/** Longest wait for a process to end by itself, in milliseconds. */
const GRACE_MS = 5000;

/** A server that cannot be started, or has ended too early. */
export class DaemonFailure extends Error {
  /** Name of the class. */
  override readonly name = "DaemonFailure";
}

/** A process that runs until it is stopped. It never outlives whoever started it. */
export class Daemon implements AsyncDisposable {
  /** What it is called in messages. */
  readonly title: string;
  /** Settled with the reason when it has ended without being asked to. */
  readonly died: Promise<string>;
  readonly #process: Deno.ChildProcess;
  readonly #told: Promise<unknown>;
  #text = "";
  #isStopping = false;
  #hasEnded = false;

  private constructor(title: string, process: Deno.ChildProcess) {
    this.title = title;
    this.#process = process;
    const follow = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
      for await (const chunk of stream) {
        this.#text = (this.#text + new TextDecoder().decode(chunk)).slice(-TAIL);
      }
    };
    this.#told = Promise.all([follow(process.stdout), follow(process.stderr)]);
    this.died = new Promise((resolve) => {
      void process.status.then(async ({ code, signal }) => {
        this.#hasEnded = true;
        await this.#told;
        if (this.#isStopping) return;
        const how = signal === null ? `with status ${code}` : `by ${signal}`;
        resolve(`${title} ended ${how}${this.#text === "" ? "" : `\n${this.#text.trimEnd()}`}`);
      });
    });
  }

  /**
   * Start a process.
   *
   * @param title What to call it in messages.
   * @param command Program and arguments; it must stay in the foreground.
   */
  static start(title: string, command: readonly string[]): Daemon {
    return new Daemon(
      title,
      new Deno.Command("setpriv", {
        args: ["--pdeathsig", "KILL", ...command],
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
  }

  /**
   * Wait until something is there.
   *
   * @param isReady Looks for it.
   * @param timeoutMs Longest wait, in milliseconds.
   * @throws {DaemonFailure} If the process ends first, or the time does.
   */
  async until(isReady: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (performance.now() < end) {
      if (await isReady()) return;
      if (this.#hasEnded) throw new DaemonFailure(`Cannot start a server: ${await this.died}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new DaemonFailure(
      `Cannot start a server: ${this.title} is not ready after ${timeoutMs} ms\n${this.#text}`,
    );
  }

  /** Ask it to end, and make it after some seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    const timer = setTimeout(() => this.#signal("SIGKILL"), GRACE_MS);
    this.#signal("SIGTERM");
    await this.#process.status;
    clearTimeout(timer);
    await this.#told;
  }

  #signal(name: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#process.kill(name);
    } catch {
      // It has ended meanwhile.
    }
  }
}

/**
 * Look whether somebody listens on a port of this network namespace.
 *
 * @param port The port.
 */
export async function isListening(port: number): Promise<boolean> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    const text = await Deno.readTextFile(table).catch(() => "");
    for (const line of text.split("\n")) {
      // Columns: number, local address, remote address, state; 0A is listening.
      const [, local = "", , state] = line.trim().split(/ +/);
      if (state === "0A" && local.endsWith(wanted)) return true;
    }
  }
  return false;
}
