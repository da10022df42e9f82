/**
 * A server of virtio devices, the guests that have them, and the monitor of such a guest's QEMU.
 *
 * @module
 */

import {
  DEFAULT_MSIZE,
  type ExportConfiguration,
  type LogEvent,
  type ServeConfiguration,
  type Statistics,
} from "../../lib/serve/mod.ts";
import { type GuestOptions, quote } from "../../lib/guest/guest.ts";
import { findQemu, sharedMemoryArgs, vhostUserArgs } from "../../lib/guest/qemu.ts";
import { descriptors } from "../processes.ts";
import { ServerFailure } from "./serving.ts";
import type { ServerLine } from "./virtio_server.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Longest wait for a server, a process of a device or QEMU to do something, milliseconds. */
const PATIENCE_MS = 60_000;

/** A device to offer. */
export interface OfferedDevice {
  /** Mount tag, unique within the server. */
  readonly tag: string;
  /** Export behind it; the first one by default. */
  readonly export?: string;
}

/** A folder to offer with settings of its own; what is left out is as for a plain path. */
export type OfferedExport = Partial<ExportConfiguration> & { readonly path: string };

/** What to serve. */
export interface VirtioServerOptions {
  /** Folders by name; the first one is what a device without an export serves. */
  readonly exports: Readonly<Record<string, string | OfferedExport>>;
  /** Devices. */
  readonly devices: readonly OfferedDevice[];
  /**
   * Shell script that runs before the server, in a mount namespace that only the server shares:
   * what it mounts is seen by nobody else, and gone with the server.
   */
  readonly mounts?: string;
}

/**
 * A server with virtio devices, in a process of its own. Owns the process and a folder for the
 * sockets.
 */
export class VirtioServer implements AsyncDisposable {
  /** Everything the server has logged. */
  readonly events: LogEvent[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder: string;
  readonly #told: Promise<unknown>;
  readonly #waiting: ((statistics: Statistics | null) => void)[] = [];
  #ready: () => void = () => {};
  #complaints = "";

  private constructor(process: Deno.ChildProcess, folder: string) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#folder = folder;
    this.#told = Promise.all([this.#follow(), this.#listen(process.stderr)]);
  }

  /**
   * Start a server and wait until every device is on offer.
   *
   * @param options What to serve; as root it is served with the owners that the guest sets.
   * @throws {ServerFailure} If it ends, or is not ready in time.
   */
  static async start(options: VirtioServerOptions): Promise<VirtioServer> {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-devices-" });
    const configuration = JSON.stringify(configurationOf(options, folder));
    const file = new URL("virtio_server.ts", import.meta.url).pathname;
    const command = [Deno.execPath(), "run", "-A", "--cached-only", file, configuration];
    if (options.mounts !== undefined) {
      const script = `set -e\n${options.mounts}\nexec ${command.map(quote).join(" ")}`;
      command.splice(0, command.length, "unshare", "--mount", "sh", "-c", script);
    }
    const process = new Deno.Command("setpriv", {
      args: ["--pdeathsig", "KILL", ...command],
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const server = new VirtioServer(process, folder);
    try {
      await server.#isReady();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What the server printed besides its log, and the graver half of the log. */
  get text(): string {
    const grave = this.complaints.map(({ level, message }) => `${level}: ${message}`);
    return [this.#complaints.trim(), ...grave].join("\n");
  }

  /** Errors and warnings in the log. */
  get complaints(): LogEvent[] {
    return this.events.filter(({ level }) => level === "error" || level === "warn");
  }

  /** Kill the server, without the processes of its devices, and wait for its end. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }

  /** Folder for sockets that a test needs besides. */
  get folder(): string {
    return this.#folder;
  }

  /** Path of a device's socket. */
  socket(tag: string): string {
    return socketOf(this.#folder, tag);
  }

  /** Read the counters. */
  async statistics(): Promise<Statistics> {
    const answer = new Promise<Statistics | null>((resolve) => this.#waiting.push(resolve));
    await this.#input.write(new TextEncoder().encode("\n"));
    const statistics = await answer;
    if (statistics === null) throw new ServerFailure(`Cannot ask the server: ${this.text}`);
    return statistics;
  }

  /**
   * Find the process of a device: the child of the server that has the device's socket.
   *
   * @param tag Tag of the device.
   * @param besides A process that it must not be: one that was killed.
   * @returns Its number.
   * @throws {ServerFailure} If there is none for a minute.
   */
  async deviceProcess(tag: string, besides = 0): Promise<number> {
    const inode = await socketInode(this.socket(tag));
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end) {
      const { pid } = this.#process;
      const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
      for (const child of text.split(" ").map(Number)) {
        if (child === 0 || child === besides) continue;
        if (descriptors(child).includes(`socket:[${inode}]`)) return child;
      }
      await pause(100);
    }
    throw new ServerFailure(`Cannot find the process of device "${tag}"\n${this.text}`);
  }

  /** Wait until the log has an event whose message contains a text, from an index on. */
  async logged(text: string, from = 0): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!this.events.slice(from).some(({ message }) => message.includes(text))) {
      if (performance.now() > end) {
        const log = this.events.map(({ message }) => message).join("\n");
        throw new ServerFailure(`Cannot find "${text}" in the log:\n${log}`);
      }
      await pause(50);
    }
  }

  /** Ask the server to end, and make it after 10 s. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => {
      try {
        this.#process.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
    }, 10_000);
    await this.#input.close().catch(() => {});
    await this.#process.status;
    clearTimeout(timer);
    await this.#told;
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #follow(): Promise<void> {
    let text = "";
    for await (const chunk of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const told = JSON.parse(line) as ServerLine;
        if (told.kind === "ready") this.#ready();
        else if (told.kind === "log") this.events.push(told.event);
        else this.#waiting.shift()?.(told.statistics);
      }
    }
    for (const resolve of this.#waiting.splice(0)) resolve(null);
  }

  async #listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) {
      this.#complaints = (this.#complaints + new TextDecoder().decode(chunk)).slice(-8192);
    }
  }

  async #isReady(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const reason = await Promise.race([
      new Promise<null>((resolve) => this.#ready = () => resolve(null)),
      this.#process.status.then(() => "it ended"),
      new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve("it is not ready after 60 s"), PATIENCE_MS);
      }),
    ]);
    clearTimeout(timer);
    if (reason === null) return;
    await pause(100); // what it has printed is on its way
    throw new ServerFailure(`Cannot start the server: ${reason}\n${this.text}`);
  }
}

function socketOf(folder: string, tag: string): string {
  return `${folder}/${tag}.sock`;
}

function configurationOf(options: VirtioServerOptions, folder: string): ServeConfiguration {
  const exports = Object.entries(options.exports).map(([name, offered]): ExportConfiguration => ({
    name,
    readOnly: false,
    securityModel: "none",
    multidevs: "remap",
    ...(typeof offered === "string" ? { path: offered } : offered),
  }));
  return {
    listen: [],
    devices: options.devices.map(({ tag, export: name }) => ({
      socket: { kind: "unix", path: socketOf(folder, tag), mode: 0o600 },
      tag,
      ...(name === undefined ? {} : { export: name }),
    })),
    exports,
    msize: DEFAULT_MSIZE,
    workers: 1,
    maxConnections: 16,
    maxFids: 65_536,
    maxInflight: 128,
    idleTimeoutMs: 0,
    disable: [],
  };
}

/** Inode of a listening unix socket, as links in /proc/PID/fd show it. */
async function socketInode(path: string): Promise<string> {
  const table = await Deno.readTextFile("/proc/net/unix");
  // Columns: address, count, protocol, flags, type, state, inode, path; state 1 is listening.
  const line = table.split("\n").find((line) =>
    line.endsWith(` ${path}`) && / 01 +\d+ /.test(line)
  );
  const inode = line?.trim().split(/ +/)[6];
  if (inode === undefined) throw new ServerFailure(`Cannot find the socket "${path}"`);
  return inode;
}

/**
 * Wait.
 *
 * @param ms How long, milliseconds.
 */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a guest with devices takes. */
export interface VirtioGuestOptions {
  /** Tags of the devices it has. */
  readonly tags: readonly string[];
  /** Memory in MiB; 384 by default. */
  readonly memoryMiB?: number;
  /** Name of the monitor's socket in the server's folder; no monitor by default. */
  readonly monitor?: string;
  /** Further arguments for QEMU. */
  readonly extraArgs?: readonly string[];
}

/**
 * Say how to boot a guest with devices of a server.
 *
 * @param server The server.
 * @param options Which devices.
 * @returns Options for `Guest.boot`.
 * @throws {GuestPreparationFailure} If no QEMU with such a device can be had.
 */
export async function virtioGuest(
  server: VirtioServer,
  options: VirtioGuestOptions,
): Promise<GuestOptions> {
  const memoryMiB = options.memoryMiB ?? 384;
  const extraArgs = sharedMemoryArgs(memoryMiB);
  extraArgs.push(...vhostUserArgs(options.tags.map((tag) => server.socket(tag))));
  if (options.monitor !== undefined) {
    extraArgs.push("-qmp", `unix:${server.folder}/${options.monitor},server=on,wait=off`);
  }
  extraArgs.push(...options.extraArgs ?? []);
  return { qemu: await findQemu(), memoryMiB, network: "none", extraArgs };
}

/** The monitor of a QEMU: its commands, and what it reports. Owns the connection. */
export class Monitor implements Disposable {
  readonly #connection: Deno.UnixConn;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #text = "";

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    this.#lines = connection.readable.pipeThrough(new TextDecoderStream()).getReader();
  }

  /**
   * Connect.
   *
   * @param path Socket that QEMU listens on.
   */
  static async connect(path: string): Promise<Monitor> {
    const monitor = new Monitor(await Deno.connect({ transport: "unix", path }));
    await monitor.#next();
    await monitor.execute("qmp_capabilities");
    return monitor;
  }

  /**
   * Execute a command and wait for its answer.
   *
   * @param command Name.
   * @param words Arguments.
   * @returns What QEMU returned.
   * @throws {Error} If it refuses, or closes the connection.
   * @see QEMU QMP Reference Manual
   */
  async execute(command: string, words: Record<string, unknown> = {}): Promise<unknown> {
    const line = `${JSON.stringify({ execute: command, arguments: words })}\n`;
    let rest = new TextEncoder().encode(line);
    while (rest.length > 0) rest = rest.subarray(await this.#connection.write(rest));
    while (true) {
      const answer = await this.#next();
      if ("return" in answer) return answer.return;
      if ("error" in answer) {
        throw new Error(`Cannot execute ${command}: ${JSON.stringify(answer.error)}`);
      }
    }
  }

  /** Close the connection. */
  [Symbol.dispose](): void {
    void this.#lines.cancel().catch(() => {});
  }

  async #next(): Promise<Record<string, unknown>> {
    while (true) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return JSON.parse(line) as Record<string, unknown>;
      }
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("Cannot use the monitor: QEMU has closed the connection");
      this.#text += value;
    }
  }
}
