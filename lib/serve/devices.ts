/**
 * The processes of virtio devices, seen from whoever started them.
 *
 * @module
 */
import { F_SETFD, fcntl, FD_CLOEXEC } from "../linux/mod.ts";
import type { DescriptorOptions } from "../fs/mod.ts";
import type { Listener } from "../transport/mod.ts";
import type { MemoryPlan } from "./budget.ts";
import { Questions } from "./questions.ts";
import type { FromWorker, ThreadCounts, ToDevice, TraceTarget } from "./protocol.ts";
import type { DeviceConfiguration, LogEvent, ServeConfiguration } from "./types.ts";

/** Milliseconds to wait for a process that was told to stop. */
const STOP_MS = 2000;
/** Milliseconds before a process that died is started again. */
const RESTART_MS = 200;
/** A process that dies sooner than this after its start waits longer each time. */
const STABLE_MS = 10_000;
/** Longest wait before another start. */
const LAST_RESTART_MS = 10_000;

/** How V8 is to work for a device. */
const V8_FLAGS = [
  // What a request leaves behind is garbage at once: with 4 MiB for the young generation, instead of
  // 16, the process grows less and is as quick.
  "--max-semi-space-size=4",
  // Only the last compiler calls libc without a detour. What guests use is compiled by it before
  // the first one comes: see rehearsal.ts.
  "--no-maglev",
  "--invocation-count-for-turbofan=300",
];

/** Arguments for Deno that start the process of a device. */
export const DEVICE_COMMAND: readonly string[] = [
  "run",
  "-A",
  "--cached-only",
  `--v8-flags=${V8_FLAGS.join(",")}`,
  new URL("./device_process.ts", import.meta.url).href,
];

/** What a device's process is told at its start. */
export interface DeviceSurroundings {
  /** Folder for locks, shared by all processes of the server. */
  readonly lockDirectory: string;
  /** Descriptors of its trees. */
  readonly descriptors: DescriptorOptions;
  /** Most helpers of its thread. */
  readonly maxHelpers: number;
  /** Memory that the guest may fill. */
  readonly memory: MemoryPlan;
  /** Whether V8 compiles what guests will use before it serves. */
  readonly rehearses: boolean;
  /** Where what it is asked is noted, if it is. */
  readonly trace?: TraceTarget;
}

/** Ends a process, if it has not ended: it may have, while its last words are still being read. */
export function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** One device: its socket, which stays, and its process, which is started again if it dies. */
export class DeviceHandle {
  readonly #configuration: DeviceConfiguration;
  readonly #listener: Listener;
  readonly #around: DeviceSurroundings;
  readonly #log: (event: LogEvent) => void;
  readonly #questions: Questions<FromWorker>;
  #serving: ServeConfiguration;
  #child: Deno.ChildProcess | null = null;
  #input: WritableStreamDefaultWriter<Uint8Array> | null = null;
  #ended: Promise<void> = Promise.resolve();
  #isStopping = false;
  #restartMs = RESTART_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Makes a handle; {@linkcode DeviceHandle.start} starts the process. The listener belongs to it. */
  constructor(
    configuration: DeviceConfiguration,
    listener: Listener,
    serving: ServeConfiguration,
    around: DeviceSurroundings,
    log: (event: LogEvent) => void,
  ) {
    this.#configuration = configuration;
    this.#listener = listener;
    this.#serving = serving;
    this.#around = around;
    this.#log = log;
    this.#questions = new Questions((message) => this.#send(message as ToDevice));
  }

  /** Where monitors connect. */
  get address(): string {
    return this.#listener.address.replace(/^unix:/, "vhost-user:");
  }

  /**
   * Starts the process.
   *
   * @throws {Error} If it cannot serve.
   */
  async start(): Promise<void> {
    if (this.#listener.isConnection) {
      throw new Error(
        `Cannot use fd ${this.#listener.fd} for a device: the socket does not listen`,
      );
    }
    await this.#spawn();
  }

  /** Asks for the counts; null if the process does not answer. */
  async statistics(): Promise<ThreadCounts | null> {
    const message = await this.#questions.ask((id) => ({ kind: "statistics", id }));
    return message?.kind === "statistics" ? message.counts : null;
  }

  /** Hands a new configuration over. */
  async reload(configuration: ServeConfiguration): Promise<void> {
    const message = await this.#questions.ask((id) => ({ kind: "reload", id, configuration }));
    if (message?.kind === "reloaded" && message.error !== undefined) throw new Error(message.error);
    this.#serving = configuration;
  }

  /** Ends the process and removes the socket. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    this.#listener[Symbol.dispose]();
    const child = this.#child;
    if (child === null) return;
    this.#send({ kind: "stop" });
    const timer = setTimeout(() => kill(child), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  async #spawn(): Promise<void> {
    const { fd } = this.#listener;
    // The process inherits the socket: it keeps its clients while processes come and go.
    const { ring } = this.#around.trace ?? {};
    const inherited = ring === undefined ? [fd] : [fd, ring.fd, ring.wakeFd];
    for (const each of inherited) fcntl(each, F_SETFD, 0);
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(Deno.execPath(), {
        args: [...DEVICE_COMMAND],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
    } finally {
      for (const each of inherited) fcntl(each, F_SETFD, FD_CLOEXEC);
    }
    this.#child = child;
    this.#input = child.stdin.getWriter();
    const startedAt = performance.now();
    const started = new Promise<void>((resolve, reject) => {
      this.#ended = this.#follow(child, resolve, reject).then(() => {
        reject(new Error("its process ended at once"));
        this.#gone(performance.now() - startedAt);
      });
    });
    this.#send({
      kind: "start",
      configuration: this.#serving,
      device: this.#configuration,
      fd,
      ...this.#around,
    });
    try {
      await started;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot offer device "${this.#configuration.tag}": ${why}`);
    }
  }

  /** Reads what a process tells, to its end. */
  async #follow(
    child: Deno.ChildProcess,
    ready: () => void,
    failed: (error: Error) => void,
  ): Promise<void> {
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as FromWorker;
        if (message.kind === "ready") ready();
        else if (message.kind === "failed") failed(new Error(message.message));
        else if (message.kind === "log") this.#log(message.event);
        else if ("id" in message) this.#questions.answer(message.id, message);
      }
    }
    const status = await child.status;
    await this.#input?.close().catch(() => {});
    if (this.#isStopping || status.code === 0 && status.signal === null) return;
    const how = status.signal ?? `exit code ${status.code}`;
    const why = status.signal === "SIGBUS"
      ? ": the guest's memory was made smaller while it was in use"
      : "";
    this.#log({
      level: "error",
      message: `the process of the device ended by ${how}${why}`,
      fields: { tag: this.#configuration.tag },
    });
  }

  /** The process is gone: starts another, unless that was meant. */
  #gone(livedMs: number): void {
    this.#child = null;
    this.#input = null;
    this.#questions.abandon();
    if (this.#isStopping) return;
    this.#restartMs = livedMs > STABLE_MS
      ? RESTART_MS
      : Math.min(2 * this.#restartMs, LAST_RESTART_MS);
    this.#timer = setTimeout(() => {
      this.#spawn().catch((error) => {
        this.#log({ level: "error", message: error instanceof Error ? error.message : `${error}` });
      });
    }, this.#restartMs);
  }

  #send(message: ToDevice): void {
    const line = new TextEncoder().encode(JSON.stringify(message) + "\n");
    // A process that is gone is noticed by its output ending.
    this.#input?.write(line).catch(() => {});
  }
}
