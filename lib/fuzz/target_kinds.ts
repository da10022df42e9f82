/**
 * Everything that can be fuzzed: addresses, programs that we start, our own server.
 *
 * @module
 */
import { getuid } from "../linux/mod.ts";
import { type RunningServer, type SecurityModel, startServer } from "../serve/mod.ts";
import { DEFAULT_LIMITS } from "../server/mod.ts";
import {
  type Accept,
  connectInMemory,
  type DialAddress,
  dialDevice,
  parseDialAddress,
} from "../transport/mod.ts";
import { Confinement, ConfinementError } from "./confinement.ts";
import { childOf, isComplaint, isRunning, resourcesOf } from "./process_state.ts";
import { RawChannel } from "./raw_channel.ts";
import { RawStream } from "./raw_stream.ts";
import { dialSocket } from "./socket_dial.ts";
import type { Health, HostView, RawConnection, Resources, Target } from "./target.ts";

/** Longest wait for a program to listen, in milliseconds. */
const START_MS = 10_000;
/** Longest wait for a program to be dead that the kernel is taking apart, in milliseconds. */
const DYING_MS = 10_000;
/** Longest wait for a program to end that has just complained about itself, in milliseconds. */
const COMPLAINING_MS = 1000;
/** Longest wait for the last words of the dead, whose children may hold the pipe, in milliseconds. */
const LAST_WORDS_MS = 300;
/** Lines of a program that are remembered. */
const MAX_LINES = 200;
const DEVICE = "vhost-user://";

/** Where a target listens. */
export type TargetAddress =
  | { readonly kind: "socket"; readonly name: string; readonly address: DialAddress }
  | { readonly kind: "device"; readonly name: string; readonly path: string };

/**
 * Parses an address: `tcp://HOST:PORT`, `unix:///PATH`, `vhost-user:///PATH`.
 *
 * @throws {TypeError} If it is none.
 */
export function parseTargetAddress(text: string): TargetAddress {
  if (text.startsWith(`${DEVICE}/`)) {
    return { kind: "device", name: text, path: text.slice(DEVICE.length) };
  }
  return { kind: "socket", name: text, address: parseDialAddress(text) };
}

/** Whether an address leads to this machine and no other. */
export function isLocal(address: TargetAddress): boolean {
  if (address.kind === "device" || address.address.kind === "unix") return true;
  const { host } = address.address;
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function connectTo(address: TargetAddress): Promise<RawConnection> {
  return address.kind === "device"
    ? new RawChannel(await dialDevice(address.path))
    : new RawStream(await dialSocket(address.address));
}

const HEALTHY: Health = { isAlive: true, end: "", complaints: [] };

/** Options of {@linkcode dialTarget}. */
export interface DialTargetOptions {
  /** Its process, to look at. */
  readonly pid?: number;
  /** The export, if we can see it. */
  readonly host?: HostView;
}

/**
 * A server that somebody else has started.
 *
 * @throws {Error} If nobody takes a connection at the address.
 */
export async function dialTarget(
  address: TargetAddress,
  options: DialTargetOptions = {},
): Promise<Target> {
  const { pid } = options;
  try {
    await (await connectTo(address)).close();
  } catch (cause) {
    throw new Error(`Cannot reach ${address.name}: ${reasonOf(cause)}`, { cause });
  }
  return {
    ...options,
    name: address.name,
    isStream: address.kind === "socket",
    maxConnections: address.kind === "socket" ? 4 : 1,
    canRestart: false,
    connect: () => connectTo(address),
    health: () => {
      const isAlive = pid === undefined || isRunning(pid);
      return Promise.resolve({ ...HEALTHY, isAlive, end: isAlive ? "" : "gone" });
    },
    resources: () => Promise.resolve(pid === undefined ? undefined : resourcesOf(pid)),
    restart: () => Promise.reject(new Error("Cannot restart a server that others have started")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A server of this process, without any socket between. */
export function memoryTarget(accept: Accept): Target {
  return {
    name: "memory",
    isStream: true,
    maxConnections: 4,
    canRestart: false,
    connect: () => Promise.resolve(new RawChannel(connectInMemory(accept))),
    health: () => Promise.resolve(HEALTHY),
    resources: () => Promise.resolve(undefined),
    restart: () => Promise.reject(new Error("Cannot restart a server of this process")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Options of {@linkcode SpawnedTarget.start}. */
export interface SpawnOptions {
  /** Program and its words. */
  readonly command: readonly string[];
  /** Where it listens when it runs. */
  readonly address: TargetAddress;
  /** The export, which we can see. The folder around it is all that the program may change. */
  readonly host: HostView & { readonly around: string };
  /** Whether it may change whatever its user may. */
  readonly isUnconfined?: boolean;
}

/** A program that we start, watch, and start again. */
export class SpawnedTarget implements Target {
  /** Its address. */
  readonly name: string;
  /** Sockets are streams, devices are not. */
  readonly isStream: boolean;
  /** A device serves one machine. */
  readonly maxConnections: number;
  /** The export from behind. */
  readonly host: HostView;
  /** It can. */
  readonly canRestart: boolean = true;
  /** Why it may change what is outside of its export; empty if it may not. */
  readonly unconfined: string;
  readonly #options: SpawnOptions;
  readonly #confinement: Confinement | null;
  #child: Deno.ChildProcess | null = null;
  /** The child of our child that is the program, where it is confined; 0 if that is not known. */
  #confined = 0;
  #status: Deno.CommandStatus | null = null;
  #ended: Promise<void> = Promise.resolve();
  #lines: string[] = [];
  /** Complaints after which it has lived on. */
  #survived = 0;

  private constructor(options: SpawnOptions, confinement: Confinement | null, unconfined: string) {
    this.#options = options;
    this.#confinement = confinement;
    this.unconfined = unconfined;
    this.name = options.address.name;
    this.isStream = options.address.kind === "socket";
    this.maxConnections = this.isStream ? 4 : 1;
    this.host = options.host;
  }

  /**
   * Starts a program and waits until it takes connections.
   *
   * It can change nothing but the folder around its export. Where we may not see to that, and are
   * not root, it runs nevertheless.
   *
   * @throws {Error} If it does not; the message has what it said.
   */
  static async start(options: SpawnOptions): Promise<SpawnedTarget> {
    let confinement: Confinement | null = null;
    let unconfined = options.isUnconfined === true ? "as you wish" : "";
    if (unconfined === "") {
      try {
        confinement = await Confinement.make(options.host.around, options.command);
      } catch (error) {
        if (!(error instanceof ConfinementError)) throw error;
        unconfined = error.message;
        if (getuid() === 0) {
          throw new Error(
            `Cannot confine what runs as root: ${unconfined}; say --unconfined if it may change ` +
              "everything",
            { cause: error },
          );
        }
      }
    }
    const target = new SpawnedTarget(options, confinement, unconfined);
    try {
      await target.restart();
    } catch (error) {
      await confinement?.[Symbol.asyncDispose]();
      throw error;
    }
    return target;
  }

  /** Its process. */
  get pid(): number {
    if (this.#child === null) return 0;
    if (this.#confinement === null) return this.#child.pid;
    if (this.#confined === 0) this.#confined = childOf(this.#child.pid) ?? 0;
    return this.#confined === 0 ? this.#child.pid : this.#confined;
  }

  /** Opens a connection. */
  connect(): Promise<RawConnection> {
    return connectTo(this.#options.address);
  }

  /** How it is. */
  async health(): Promise<Health> {
    const until = performance.now() + DYING_MS;
    if (!isRunning(this.pid)) {
      while (this.#status === null && performance.now() < until) await sleep(1);
    }
    const complaints = this.#lines.filter(isComplaint);
    if (complaints.length > this.#survived) {
      // Whoever says that an assertion has failed is mostly about to end.
      await atMost(this.#ended, COMPLAINING_MS);
      this.#survived = complaints.length;
    }
    if (this.#status === null) return { isAlive: true, end: "", complaints };
    // What it said last may still be in the pipe.
    await atMost(this.#ended, LAST_WORDS_MS);
    const { signal, code } = this.#status;
    const end = signal === null ? `exit ${code}` : signal;
    return { isAlive: false, end, complaints: this.#lines.filter(isComplaint) };
  }

  /** What it holds. */
  resources(): Promise<Resources | undefined> {
    return Promise.resolve(resourcesOf(this.pid));
  }

  /** Ends it and starts it afresh. */
  async restart(): Promise<void> {
    await this.#end();
    const { command, host } = this.#options;
    const [name = ""] = command;
    const [program = "", ...args] = this.#confinement?.enter(command) ?? command;
    this.#lines = [];
    this.#survived = 0;
    this.#status = null;
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(program, {
        args,
        // Where it dies it may leave a core.
        cwd: host.around,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch (cause) {
      throw new Error(`Cannot start "${name}": ${reasonOf(cause)}`, { cause });
    }
    this.#child = child;
    this.#confined = 0;
    const lines = this.#lines;
    this.#ended = Promise.all([
      child.status.then((status) => {
        if (this.#child === child) this.#status = status;
      }),
      collect(child.stdout, lines),
      collect(child.stderr, lines),
    ]).then(() => {});
    const until = performance.now() + START_MS;
    for (let pause = 1;; pause = Math.min(50, pause * 2)) {
      // One that was there before would be taken for ours.
      const exit = this.#status as Deno.CommandStatus | null;
      const isLate = performance.now() > until;
      if (exit !== null || isLate) {
        await this.#end();
        const what = isLate ? `it does not listen at ${this.name}` : `it ended with ${exit?.code}`;
        throw new Error(
          `Cannot start "${name}": ${what}${lines.length > 0 ? "; " : ""}${
            lines.slice(-3).join("; ")
          }`,
        );
      }
      try {
        await (await this.connect()).close();
        return;
      } catch {
        await sleep(pause);
      }
    }
  }

  /** Ends the program. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await this.#confinement?.[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    try {
      // Whoever waits for it where it is confined ends as it does, and not before.
      const confined = this.#confinement === null ? undefined : childOf(child.pid);
      if (confined === undefined) child.kill("SIGKILL");
      else Deno.kill(confined, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
    await atMost(this.#ended, LAST_WORDS_MS);
    this.#child = null;
  }
}

/** Which server of ours to fuzz. */
export interface OwnOptions {
  /** The export. */
  readonly host: HostView;
  /** How it listens. */
  readonly transport: "unix" | "tcp" | "vhost-user";
  /** How it keeps owners and modes. */
  readonly securityModel: SecurityModel;
}

/** Our own server, on threads of this process. */
export class OwnTarget implements Target {
  /** Its address. */
  readonly name: string;
  /** Sockets are streams, devices are not. */
  readonly isStream: boolean;
  /** A device serves one machine. */
  readonly maxConnections: number;
  /** The export from behind. */
  readonly host: HostView;
  /** It can. */
  readonly canRestart: boolean = true;
  readonly #options: OwnOptions;
  readonly #complaints: string[] = [];
  readonly #folder: string;
  #running: RunningServer | null = null;
  #address: TargetAddress;

  private constructor(options: OwnOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
    this.host = options.host;
    this.isStream = options.transport !== "vhost-user";
    this.maxConnections = this.isStream ? 4 : 1;
    this.#address = { kind: "device", name: "", path: "" };
    this.name = `our server, ${options.transport}, ${options.securityModel}`;
  }

  /** Starts one. */
  static async start(options: OwnOptions): Promise<OwnTarget> {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-fuzz-socket-" });
    const target = new OwnTarget(options, folder);
    await target.restart();
    return target;
  }

  /** Opens a connection. */
  connect(): Promise<RawConnection> {
    return connectTo(this.#address);
  }

  /** How it is. */
  health(): Promise<Health> {
    const isAlive = this.#running !== null;
    return Promise.resolve({
      isAlive,
      end: isAlive ? "" : "ended",
      complaints: [...this.#complaints],
    });
  }

  /** What it holds. */
  async resources(): Promise<Resources | undefined> {
    const running = this.#running;
    const own = resourcesOf(Deno.pid);
    if (running === null || own === undefined) return undefined;
    const { fids, files, inflight, locks, nodes } = await running.statistics();
    // Descriptors and memory of this process are those of the fuzzer too.
    return { ...own, counters: { fids, files, inflight, locks, nodes } };
  }

  /** Ends it and starts it afresh. */
  async restart(): Promise<void> {
    await this.#running?.stop(0);
    const { transport, securityModel, host } = this.#options;
    const path = `${this.#folder}/9p.sock`;
    const isDevice = transport === "vhost-user";
    const running = await startServer({
      listen: isDevice ? [] : [
        transport === "unix" ? { kind: "unix", path } : { kind: "tcp", host: "127.0.0.1", port: 0 },
      ],
      devices: isDevice ? [{ tag: "fuzz", socket: { kind: "unix", path } }] : [],
      exports: [{
        name: "fuzz",
        path: host.root,
        readOnly: false,
        securityModel,
        multidevs: "remap",
      }],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 64,
      idleTimeoutMs: 0,
      disable: [],
    }, {
      log: ({ level, message }) => {
        if (level === "error") this.#complaints.push(message);
      },
    });
    this.#running = running;
    void running.done.then(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#address = parseTargetAddress(running.addresses[0] ?? "");
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#running;
    this.#running = null;
    await running?.stop(0);
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The user that targets are asked to act for: ours. */
export function ownUser(): number {
  return getuid();
}

function reasonOf(cause: unknown): string {
  return cause instanceof Deno.errors.NotFound
    ? "there is no such program"
    : cause instanceof Error
    ? cause.message
    : String(cause);
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  let rest = "";
  const add = (line: string): void => {
    if (line !== "" && lines.length < MAX_LINES) lines.push(line.slice(0, 500));
  };
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = (parts.pop() ?? "").slice(0, 500);
    parts.forEach(add);
  }
  add(rest);
}

/** Waits for a promise, but not for ever. */
async function atMost(promise: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
