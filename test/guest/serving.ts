/**
 * A server for guests to mount from: `virtfs serve` by default, any other on request.
 *
 * @module
 */

import { quote } from "../../lib/guest/guest.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A server process did not start, or is not there any more. */
export class ServerFailure extends Error {
  /**
   * Describe the failure.
   *
   * @param message What happened, with the end of what the server printed.
   */
  constructor(message: string) {
    super(message);
    this.name = "ServerFailure";
  }
}

/**
 * A server process. Owns the process and ends it when disposed.
 *
 * `VIRTFS_MOUNT_SERVER` names another server: a shell command in which `{folder}` and `{port}` are
 * replaced. `VIRTFS_MOUNT_OPTIONS` then adds mount options that it needs; `{folder}` is replaced
 * there, too.
 */
export class ServerProcess implements AsyncDisposable {
  /** Mount options that lead to it. */
  readonly transport: string;
  readonly #process: Deno.ChildProcess;
  readonly #told: Promise<void>;
  #text = "";

  private constructor(process: Deno.ChildProcess, transport: string) {
    this.#process = process;
    this.transport = transport;
    const follow = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
      for await (const chunk of stream) {
        this.#text = (this.#text + new TextDecoder().decode(chunk)).slice(-8192);
      }
    };
    this.#told = Promise.all([follow(process.stdout), follow(process.stderr)]).then(() => {});
  }

  /**
   * Start a server on the loopback and wait until it accepts connections.
   *
   * @param folder What to serve.
   * @param args Further arguments for `virtfs serve`; another server gets none.
   * @throws {ServerFailure} If it ends or does not listen in time.
   */
  static async start(folder: string, args: readonly string[] = []): Promise<ServerProcess> {
    const port = freePort();
    const other = Deno.env.get("VIRTFS_MOUNT_SERVER");
    const replace = (text: string): string =>
      text.replaceAll("{folder}", quote(folder)).replaceAll("{port}", `${port}`);
    const command = other === undefined || other === ""
      ? [Deno.execPath(), "run", "-A", `${ROOT}cli/main.ts`, "serve", folder]
        .concat("--listen", `tcp://127.0.0.1:${port}`, args)
      : ["sh", "-c", `exec ${replace(other)}`];
    const options = (Deno.env.get("VIRTFS_MOUNT_OPTIONS") ?? "").replaceAll("{folder}", folder);
    const process = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", ...command],
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const transport = `trans=tcp,port=${port}${options === "" ? "" : `,${options}`}`;
    const server = new ServerProcess(process, transport);
    try {
      await server.#listens(port);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The end of what the server printed. */
  get text(): string {
    return this.#text;
  }

  /** Ask the server to end, and make it after 10 s. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#signal("SIGKILL"), 10_000);
    this.#signal("SIGTERM");
    await this.#process.status;
    clearTimeout(timer);
    await this.#told;
  }

  #signal(name: Deno.Signal): void {
    try {
      this.#process.kill(name);
    } catch {
      // It has ended already.
    }
  }

  async #listens(port: number): Promise<void> {
    let hasEnded = false;
    this.#process.status.then(() => hasEnded = true);
    const end = performance.now() + 60_000;
    while (!hasEnded && performance.now() < end) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    if (hasEnded) await this.#told;
    const reason = hasEnded ? "it ended" : "it does not listen after 60 s";
    throw new ServerFailure(`Cannot start the server: ${reason}\n${this.#text}`);
  }
}

/** A port that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
