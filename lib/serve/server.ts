/**
 * A server as a whole: listens on the main thread, serves on threads that do nothing else.
 *
 * @module
 */
import { tmpdir } from "node:os";
import {
  close,
  EAGAIN,
  endHelpers,
  EPOLLIN,
  eventfdWrite,
  ignoreSignal,
  requireLinux,
  SIGXFSZ,
  startHelper,
  umask,
} from "../linux/mod.ts";
import { DeviceTable } from "../fs/mod.ts";
import { errno, errnoName, kindOf } from "../p9/mod.ts";
import {
  acceptFrom,
  listen,
  type Listener,
  type LoopUser,
  peerOf,
  Reactor,
} from "../transport/mod.ts";
import { Access } from "./access.ts";
import { planDescriptors, planMemory, raiseDescriptorLimit } from "./budget.ts";
import { DeviceHandle, type DeviceSurroundings } from "./devices.ts";
import {
  type Common,
  type FromWorker,
  hasSocketRoom,
  makeShared,
  putSocket,
  SHARED,
  type ThreadCounts,
  type Total,
  type ToWorker,
  type TraceTarget,
} from "./protocol.ts";
import { Questions } from "./questions.ts";
import { type TraceOptions, Tracing } from "./tracing.ts";
import { Refusals } from "./refusals.ts";
import { Repeated } from "./repeated.ts";
import {
  DEFAULT_MEMORY,
  type ListenAddress,
  type LogEvent,
  type RunningServer,
  type ServeConfiguration,
  type Statistics,
} from "./types.ts";

/** What a server needs of whoever starts it. */
export interface StartOptions {
  /** Takes what is worth telling. */
  readonly log: (event: LogEvent) => void;
  /** Shows every request and its reply to somebody. */
  readonly trace?: TraceOptions;
  /** Whether devices have V8 compile what guests will use before they serve; true by default. */
  readonly rehearses?: boolean;
}

/** Milliseconds to wait for threads that were told to stop. */
const STOP_MS = 1000;
/** Sockets, eventfds and memory files that the process of a device has. */
const DEVICE_SOCKETS = 64;
/** Connections taken before others on the main thread get their turn. */
const ROUND = 64;
/** Milliseconds without accepting when there are no descriptors left. */
const PAUSE_MS = 200;
/** Milliseconds without accepting when the threads have not taken yet what they were given. */
const SOON_MS = 1;

/** What all serving threads share. It grows with exports, and what is in it stays. */
class Shared {
  readonly #lockDirectory: string;
  readonly #devices = new Map<string, SharedArrayBuffer>();
  /** Descriptors that the process may have. */
  readonly #limit = raiseDescriptorLimit();
  /** Open files of all threads. */
  readonly #files = new Int32Array(new SharedArrayBuffer(4));

  constructor(lockDirectory: string) {
    this.#lockDirectory = lockDirectory;
  }

  /** Connections that there are descriptors for. */
  connections(configuration: ServeConfiguration): number {
    const { workers, maxConnections } = configuration;
    return planDescriptors(this.#limit, workers, maxConnections).connections;
  }

  /** What threads need for a configuration. */
  for(configuration: ServeConfiguration): Common {
    for (const { path } of configuration.exports) {
      if (!this.#devices.has(path)) this.#devices.set(path, new DeviceTable().buffer);
    }
    const { workers, maxConnections, msize, maxMemory = DEFAULT_MEMORY } = configuration;
    const plan = planDescriptors(this.#limit, workers, maxConnections);
    const { handles, files, helpers } = plan;
    return {
      devices: this.#devices,
      lockDirectory: this.#lockDirectory,
      descriptors: { maxHandles: handles, maxFiles: files, files: this.#files },
      maxHelpers: helpers,
      memory: planMemory(maxMemory, workers, msize),
    };
  }

  /** What the process of a device needs for a configuration: the limits are its own. */
  forDevice(
    { msize, maxMemory = DEFAULT_MEMORY }: ServeConfiguration,
  ): Omit<DeviceSurroundings, "rehearses"> {
    const { handles, files, helpers } = planDescriptors(this.#limit, 1, DEVICE_SOCKETS);
    return {
      lockDirectory: this.#lockDirectory,
      descriptors: { maxHandles: handles, maxFiles: files },
      maxHelpers: helpers,
      memory: planMemory(maxMemory, 1, msize),
    };
  }
}

/** One serving thread, seen from the main thread. */
class WorkerHandle {
  readonly shared = makeShared();
  /** Settles when the thread has ended, however. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #log: (event: LogEvent) => void;
  readonly #questions = new Questions<FromWorker>((message) => this.#send(message as ToWorker));
  /** What the thread shares with its helpers. */
  readonly #helped = new Set<SharedArrayBuffer>();
  #wakeFd = -1;
  #isEnded = false;
  #end: () => void = () => {};
  #start: { resolve: () => void; reject: (error: Error) => void } | null = null;
  #drained: () => void = () => {};

  constructor(log: (event: LogEvent) => void) {
    this.#log = log;
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
  }

  /** Connections that the thread serves. */
  get connections(): number {
    return Atomics.load(this.shared, SHARED.CONNECTIONS);
  }

  /** Starts serving. */
  start(
    configuration: ServeConfiguration,
    common: Common,
    trace: TraceTarget | undefined,
  ): Promise<void> {
    const started = new Promise<void>((resolve, reject) => this.#start = { resolve, reject });
    const message = { kind: "start", configuration, shared: this.shared, common } as const;
    this.#send(trace === undefined ? message : { ...message, trace });
    return started;
  }

  /** Whether it can take a connection now. */
  get hasRoom(): boolean {
    return !this.#isEnded && hasSocketRoom(this.shared);
  }

  /** Gives the thread a connection. Returns false if it cannot take one now. */
  give(fd: number): boolean {
    if (this.#isEnded || !putSocket(this.shared, fd)) return false;
    Atomics.add(this.shared, SHARED.CONNECTIONS, 1);
    this.#wake();
    return true;
  }

  /** Asks for the counts; null if the thread does not answer. */
  async statistics(): Promise<ThreadCounts | null> {
    const message = await this.#questions.ask((id) => ({ kind: "statistics", id }));
    return message?.kind === "statistics" ? message.counts : null;
  }

  /** Hands a new configuration over. */
  async reload(configuration: ServeConfiguration, common: Common): Promise<void> {
    const message = await this.#questions.ask((id) => ({
      kind: "reload",
      id,
      configuration,
      common,
    }));
    if (message?.kind === "reloaded" && message.error !== undefined) {
      throw new Error(message.error);
    }
  }

  /**
   * Lets requests under way end and closes all connections, then stops.
   *
   * @param hurried Cuts the time short when it settles.
   */
  async stop(graceMs: number, hurried?: Promise<void>): Promise<void> {
    if (!this.#isEnded) {
      const drained = new Promise<void>((resolve) => this.#drained = resolve);
      if (graceMs > 0) {
        this.#send({ kind: "drain" });
        const soonest = [drained, this.ended];
        if (hurried !== undefined) soonest.push(hurried);
        await within(Promise.race(soonest), graceMs);
      }
      this.#send({ kind: "stop" });
      await within(this.ended, STOP_MS);
    }
    for (const memory of this.#helped) endHelpers(memory);
    this.#worker.terminate();
  }

  #send(message: ToWorker): void {
    Atomics.add(this.shared, SHARED.MESSAGES, 1);
    this.#worker.postMessage(message);
    this.#wake();
  }

  #wake(): void {
    if (this.#wakeFd >= 0 && !this.#isEnded) eventfdWrite(this.#wakeFd, 1);
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "ready":
        this.#wakeFd = message.wakeFd;
        this.#start?.resolve();
        break;
      case "failed":
        this.#fail(message.message);
        break;
      case "log":
        this.#log(message.event);
        break;
      case "helper":
        startHelper(message.memory);
        this.#helped.add(message.memory);
        break;
      case "drained":
        this.#drained();
        break;
      case "ended":
        this.#finish();
        break;
      default:
        this.#questions.answer(message.id, message);
    }
  }

  #fail(message: string): void {
    const isStarting = this.#wakeFd < 0;
    this.#start?.reject(new Error(message));
    if (!isStarting) this.#log({ level: "error", message: `A serving thread ended: ${message}` });
    this.#finish();
  }

  #finish(): void {
    this.#isEnded = true;
    for (const memory of this.#helped) endHelpers(memory);
    this.#questions.abandon();
    this.#end();
  }
}

/** Waits for a promise, but not longer than so many milliseconds. */
async function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}

/** Keeps the main thread's loop one that leaves Deno's event loop running. */
const ALWAYS: LoopUser = { needsEventLoop: true, hasPromises: false };

/** The server at work. */
class Running implements RunningServer {
  readonly addresses: readonly string[];
  readonly done: Promise<void>;
  readonly #listeners: Listener[];
  readonly #workers: readonly WorkerHandle[];
  readonly #devices: readonly DeviceHandle[];
  readonly #reactor: Reactor;
  readonly #loop: Promise<void>;
  readonly #common: Shared;
  readonly #cleanUp: () => Promise<void>;
  readonly #log: (event: LogEvent) => void;
  readonly #noDescriptors: Repeated;
  readonly #tooMany: Repeated;
  readonly #startedAt = performance.now();
  #configuration: ServeConfiguration;
  readonly #refusals: Refusals;
  /** Who may connect. */
  #door: Access;
  #accepted = 0;
  #refused = 0;
  #denied = 0;
  #stopping: Promise<void> | null = null;
  #hurry: () => void = () => {};
  #finish: () => void = () => {};
  #fail: (error: Error) => void = () => {};

  constructor(
    configuration: ServeConfiguration,
    listeners: Listener[],
    workers: readonly WorkerHandle[],
    devices: readonly DeviceHandle[],
    common: Shared,
    cleanUp: () => Promise<void>,
    log: (event: LogEvent) => void,
  ) {
    this.#configuration = configuration;
    this.#listeners = listeners;
    this.#workers = workers;
    this.#devices = devices;
    this.#common = common;
    this.#cleanUp = cleanUp;
    this.#door = new Access(configuration.access ?? {});
    this.#refusals = new Refusals(log, () => performance.now());
    this.#log = log;
    this.#noDescriptors = new Repeated("warn", log);
    this.#tooMany = new Repeated("warn", log);
    this.addresses = [...listeners, ...devices].map(({ address }) => address);
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    this.#reactor = new Reactor();
    this.#reactor.use(ALWAYS);
    for (const listener of listeners) {
      if (listener.isConnection) this.#deal(listener.fd);
      else this.#reactor.watch(listener.fd, EPOLLIN, () => this.#accept(listener));
    }
    this.#loop = this.#reactor.run();
    for (const worker of workers) {
      void worker.ended.then(() => {
        if (this.#stopping !== null) return;
        void this.stop(0);
        this.#fail(new Error("Cannot go on: a serving thread ended"));
      });
    }
  }

  async statistics(): Promise<Statistics> {
    const counts = await Promise.all(
      [...this.#workers, ...this.#devices].map((part) => part.statistics()),
    );
    return this.#sum(counts.filter((count) => count !== null));
  }

  async reload(configuration: ServeConfiguration): Promise<void> {
    const door = new Access(configuration.access ?? {});
    // The first thread tries it: what it refuses, the others need not be asked.
    const common = this.#common.for(configuration);
    for (const worker of this.#workers) await worker.reload(configuration, common);
    for (const device of this.#devices) await device.reload(configuration);
    this.#configuration = configuration;
    this.#door = door;
  }

  stop(graceMs: number): Promise<void> {
    if (this.#stopping !== null && graceMs <= 0) this.#hurry();
    return this.#stopping ??= this.#stop(graceMs);
  }

  async #stop(graceMs: number): Promise<void> {
    for (const listener of this.#listeners) {
      if (!listener.isConnection) this.#reactor.unwatch(listener.fd);
      listener[Symbol.dispose]();
    }
    const hurried = new Promise<void>((resolve) => this.#hurry = resolve);
    await Promise.all([
      ...this.#workers.map((worker) => worker.stop(graceMs, hurried)),
      ...this.#devices.map((device) => device.stop()),
    ]);
    this.#reactor.stop();
    await this.#loop;
    this.#reactor[Symbol.dispose]();
    await this.#cleanUp();
    this.#finish();
  }

  #accept(listener: Listener): void {
    for (let left = ROUND; left > 0; left--) {
      // Who cannot be given to a thread at once waits in the kernel.
      if (!this.#workers.some((worker) => worker.hasRoom)) return this.#pause(listener, SOON_MS);
      const fd = acceptFrom(listener);
      if (fd === -EAGAIN) return;
      if (fd === -errno("EMFILE").code || fd === -errno("ENFILE").code) {
        // Nothing to do but to wait until somebody hangs up.
        this.#noDescriptors.tell("Cannot accept a connection: no descriptors left");
        return this.#pause(listener, PAUSE_MS);
      }
      // Whatever else went wrong concerns that one connection, which is gone.
      if (fd >= 0) this.#deal(fd);
    }
  }

  /** Accepts nothing for a while. */
  #pause(listener: Listener, ms: number): void {
    this.#reactor.unwatch(listener.fd);
    this.#reactor.after(ms, () => {
      if (this.#stopping !== null) return;
      this.#reactor.watch(listener.fd, EPOLLIN, () => this.#accept(listener));
    });
  }

  /** Gives a connection that is let in to the thread with the fewest. */
  #deal(fd: number): void {
    const peer = peerOf(fd);
    const why = this.#door.refusal(peer);
    if (why !== undefined) {
      this.#denied++;
      this.#refusals.refused(peer, "a connection", why);
      close(fd);
      return;
    }
    let total = 0;
    let least: WorkerHandle | undefined;
    for (const worker of this.#workers) {
      total += worker.connections;
      if (worker.hasRoom && (least === undefined || worker.connections < least.connections)) {
        least = worker;
      }
    }
    const most = this.#common.connections(this.#configuration);
    if (total >= most || least?.give(fd) !== true) {
      this.#refused++;
      this.#tooMany.tell(
        `Refused a connection: there are ${total} already, and ` +
          (most < this.#configuration.maxConnections
            ? "the limit of open files leaves room for no more"
            : "--max-connections allows no more"),
      );
      close(fd);
      return;
    }
    this.#accepted++;
    this.#log({ level: "debug", message: "a connection", fields: { peer: peer.address } });
  }

  #sum(counts: readonly ThreadCounts[]): Statistics {
    const add = (pick: (count: ThreadCounts) => number) =>
      counts.reduce((sum, count) => sum + pick(count), 0);
    const total = (name: Total) => add(({ totals }) => totals[name]);
    const messages: Record<string, { count: number; errors: number }> = {};
    for (let type = 0; type < 256; type++) {
      const count = add(({ requests }) => requests[type] ?? 0);
      if (count === 0) continue;
      const errors = add(({ failures }) => failures[type] ?? 0);
      const known = kindOf(type) ?? "unknown";
      const entry = messages[known] ??= { count: 0, errors: 0 };
      entry.count += count;
      entry.errors += errors;
    }
    const errors: Record<string, number> = {};
    for (const { errnos } of counts) {
      for (const [code, count] of Object.entries(errnos)) {
        const symbol = errnoName(Number(code)) ?? code;
        errors[symbol] = (errors[symbol] ?? 0) + count;
      }
    }
    return {
      uptimeSeconds: (performance.now() - this.#startedAt) / 1000,
      connections: total("connections"),
      connectionsTotal: this.#accepted,
      connectionsRefused: this.#refused,
      connectionsDenied: this.#denied,
      attachesDenied: total("attachesDenied"),
      fids: total("fids"),
      inflight: total("inflight"),
      nodes: total("nodes"),
      files: total("files"),
      locks: total("locks"),
      bytesIn: total("bytesIn"),
      bytesOut: total("bytesOut"),
      bytesRead: total("bytesRead"),
      bytesWritten: total("bytesWritten"),
      malformed: total("malformed"),
      kicks: total("kicks"),
      calls: total("calls"),
      messages,
      errors,
    };
  }
}

/**
 * Listens everywhere at once and stops again, to see whether a server could. Sockets that this
 * process was started with are left alone.
 *
 * @throws {Error} With one line, if it cannot listen.
 */
export async function tryListening(addresses: readonly ListenAddress[]): Promise<void> {
  requireLinux("serve");
  using stack = new DisposableStack();
  for (const address of addresses) {
    if (address.kind !== "fd") stack.use(await listen(address));
  }
}

/**
 * Starts a server.
 *
 * @returns The server, listening. Whoever started it stops it.
 * @throws {Error} With one line, if it cannot listen or an export cannot be served.
 */
export async function startServer(
  configuration: ServeConfiguration,
  options: StartOptions,
): Promise<RunningServer> {
  requireLinux("serve");
  const listeners: Listener[] = [];
  const workers: WorkerHandle[] = [];
  const devices: DeviceHandle[] = [];
  const lockDirectory = `${tmpdir()}/virtfs-locks-${crypto.randomUUID()}`;
  let tracing: Tracing | null = null;
  const cleanUp = async () => {
    await tracing?.stop();
    try {
      Deno.removeSync(lockDirectory, { recursive: true });
    } catch (error) {
      // Most servers never need it.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  try {
    if (options.trace !== undefined) tracing = await Tracing.start(options.trace, options.log);
    for (const address of configuration.listen) listeners.push(await listen(address));
    // What a client asks for is what a file gets; and a file that grows too large is an error of
    // the client's request, not the end of the server.
    umask(0);
    ignoreSignal(SIGXFSZ);
    const common = new Shared(lockDirectory);
    // Without sockets there is nothing for threads to do: every device has a process of its own.
    const threads = listeners.length > 0 ? configuration.workers : 0;
    for (let i = 0; i < threads; i++) workers.push(new WorkerHandle(options.log));
    for (const device of configuration.devices) {
      const listener = await listen(device.socket);
      const trace = tracing?.target();
      const around = {
        ...common.forDevice(configuration),
        rehearses: options.rehearses ?? true,
        ...(trace === undefined ? {} : { trace }),
      };
      devices.push(new DeviceHandle(device, listener, configuration, around, options.log));
    }
    await Promise.all([
      ...workers.map((worker) =>
        worker.start(configuration, common.for(configuration), tracing?.target())
      ),
      ...devices.map((device) => device.start()),
    ]);
    return new Running(configuration, listeners, workers, devices, common, cleanUp, options.log);
  } catch (error) {
    await Promise.all([
      ...workers.map((worker) => worker.stop(0)),
      ...devices.map((d) => d.stop()),
    ]);
    for (const listener of listeners) listener[Symbol.dispose]();
    await cleanUp();
    throw error;
  }
}
