/**
 * Servers of ours for scripts, each with the same files.
 *
 * @module
 */
import {
  type Credentials,
  type HeldOperation,
  HeldTree,
  HostTree,
  mappedFileCredentials,
  mappedXattrCredentials,
  MemoryTree,
  noneCredentials,
  type Tree,
} from "../fs/mod.ts";
import {
  type RunningServer,
  type SecurityModel,
  type ServeConfiguration,
  startServer,
} from "../serve/mod.ts";
import { DEFAULT_LIMITS, Server } from "../server/mod.ts";
import { type Channel, connectInMemory, dial, dialDevice } from "../transport/mod.ts";
import type { Script, ScriptTarget } from "./script.ts";
import { entriesFor, LINKS, seedFolder } from "./script_files.ts";

/** Files in memory that have what {@linkcode SEED} says. */
function seededMemoryTree(script: Script): MemoryTree {
  const tree = new MemoryTree({ inOrder: false });
  for (const [path, content] of entriesFor(script)) {
    if (path.endsWith("/")) tree.addFolder(path);
    else tree.addFile(path, content);
  }
  for (const [name, target] of LINKS) tree.addLink(name, target);
  return tree;
}

/** Numbers of options such as `msize=8192`. */
function number(script: Script, name: string): number | undefined {
  const value = script.serve.options.get(name);
  return value === undefined ? undefined : Number(value);
}

/** A server of this process over a tree, without any socket. */
export class InProcess implements ScriptTarget {
  readonly #held: HeldTree | undefined;
  readonly #tree: Tree;
  readonly #server: Server;
  readonly #cleanUp: () => Promise<void>;
  readonly #bugs: string[] = [];

  /** Serves a tree, which it owns, as a script wants it. */
  constructor(script: Script, inner: Tree, cleanUp: () => Promise<void>) {
    const { options } = script.serve;
    const inOrder = options.has("in-order");
    this.#held = script.holds ? new HeldTree(inner, { inOrder }) : undefined;
    this.#tree = this.#held ?? inner;
    this.#cleanUp = cleanUp;
    const limits = {
      msize: number(script, "msize"),
      maxFids: number(script, "max-fids"),
      maxInflight: number(script, "max-inflight"),
    };
    this.#server = new Server({
      exports: [{ name: "files", tree: this.#tree, readOnly: options.has("read-only") }],
      limits: Object.fromEntries(
        Object.entries(limits).filter(([, value]) => value !== undefined),
      ),
      disable: options.get("disable")?.split(",") ?? [],
      report: (error, what) => this.#bugs.push(`${what}: ${error}`),
    });
  }

  /** Connects without a socket. */
  connect(): Channel {
    return connectInMemory(this.#server.accept);
  }

  /** Keeps back operations of the tree. */
  hold(operation: string): void {
    this.#heldTree.hold(operation as HeldOperation);
  }

  /** Lets them go on. */
  release(operation: string): void {
    this.#heldTree.release(operation as HeldOperation);
  }

  /** Number of those that are kept back. */
  waiting(operation: string): number {
    return this.#heldTree.waiting(operation as HeldOperation);
  }

  /** What is alive, and the errors that nobody should have made. */
  usage(): Readonly<Record<string, number>> {
    const { fids, inflight, sessions } = this.#server.counters;
    const { nodes, files, locks } = this.#tree.usage();
    const bugs = Object.fromEntries(this.#bugs.map((bug) => [`error of ours: ${bug}`, 1]));
    return { fids, inflight, sessions, nodes, files, locks, ...bugs };
  }

  /** Closes the tree. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#tree.close();
    await this.#cleanUp();
  }

  get #heldTree(): HeldTree {
    if (this.#held === undefined) throw new TypeError("Cannot hold: the script did not say hold");
    return this.#held;
  }
}

/** Makes a folder of the host with what {@linkcode SEED} says. */
export async function makeFolder(script: Script): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "9p-script-" });
  seedFolder(root, script);
  return root;
}

/** A way to make a server for a script. */
export interface OwnServerKind {
  /** What stands behind it, for the name of the test. */
  readonly name: string;
  /** Whether it can serve the script. */
  suits(script: Script): boolean;
  /** Makes it. */
  make(script: Script): ScriptTarget | Promise<ScriptTarget>;
}

const CREDENTIALS = {
  none: noneCredentials,
  "mapped-file": mappedFileCredentials,
  "mapped-xattr": mappedXattrCredentials,
} as const;

/** How owners and modes are to be kept; the host's own by default. */
function modelOf(script: Script): keyof typeof CREDENTIALS {
  const model = script.serve.options.get("model") ?? "none";
  if (Object.hasOwn(CREDENTIALS, model)) return model as keyof typeof CREDENTIALS;
  throw new SyntaxError(`Cannot serve ${script.name}: there is no model "${model}"`);
}

/** Owners and modes kept as a script wants it. */
export function credentialsFor(script: Script): Credentials {
  return CREDENTIALS[modelOf(script)]();
}

/** Servers without a socket. */
export const OWN_SERVERS: readonly OwnServerKind[] = [
  {
    name: "memory",
    suits: ({ serve }) => serve.tree !== "host",
    make: (script) => new InProcess(script, seededMemoryTree(script), () => Promise.resolve()),
  },
  {
    name: "a folder",
    suits: ({ serve }) => serve.tree !== "memory",
    make: async (script) => {
      const root = await makeFolder(script);
      const tree = new HostTree({ root, credentials: credentialsFor(script) });
      return new InProcess(script, tree, () => Deno.remove(root, { recursive: true }));
    },
  },
];

/** A server as `virtfs serve` runs it, with threads and sockets, that takes one script after another. */
export class SocketServer implements AsyncDisposable {
  readonly #running: RunningServer;
  readonly #initial: ServeConfiguration;
  readonly #folder: string;
  readonly #inUse = new Set<string>();

  private constructor(running: RunningServer, initial: ServeConfiguration, folder: string) {
    this.#running = running;
    this.#initial = initial;
    this.#folder = folder;
  }

  /** Starts one that listens on a socket of a kind. */
  static async start(kind: "tcp" | "unix" | "virtio"): Promise<SocketServer> {
    const folder = await Deno.makeTempDir({ prefix: "9p-server-" });
    const configuration: ServeConfiguration = {
      // Conversations have up to three clients, and a device serves one machine at a time.
      devices: kind === "virtio" ? ["a", "b", "c"].map((tag) => deviceOf(folder, tag)) : [],
      listen: kind === "virtio" ? [] : [
        kind === "tcp"
          ? { kind, host: "127.0.0.1", port: 0 }
          : { kind, path: `${folder}/server.sock` },
      ],
      exports: [exportOf(folder, false)],
      ...DEFAULT_LIMITS,
      workers: 1,
      maxConnections: 100,
      idleTimeoutMs: 0,
      disable: [],
    };
    const running = await startServer(configuration, { log: () => {} });
    return new SocketServer(running, configuration, folder);
  }

  /** Whether it can serve a script. */
  suits(script: Script): boolean {
    // A device ends no connection, and every frame comes in a chain of its own.
    // Each is a process, and the kernel does not tell one of the owner of another one's lock.
    const isFit = this.#initial.devices.length === 0 ||
      !script.needsStream && !script.serve.options.has("together");
    return script.serve.tree !== "memory" && !script.holds && isFit;
  }

  /** Makes it serve a folder of its own to a script. */
  async make(script: Script): Promise<ScriptTarget> {
    const { options } = script.serve;
    const root = await makeFolder(script);
    const initial = this.#initial;
    await this.#running.reload({
      ...initial,
      exports: [exportOf(root, options.has("read-only"), modelOf(script))],
      msize: number(script, "msize") ?? initial.msize,
      maxFids: number(script, "max-fids") ?? initial.maxFids,
      maxInflight: number(script, "max-inflight") ?? initial.maxInflight,
      disable: options.get("disable")?.split(",") ?? [],
    });
    const running = this.#running;
    const cannotHold = (): never => {
      throw new TypeError("Cannot hold an operation of a server with threads of its own");
    };
    return {
      connect: () => this.#connect(),
      hold: cannotHold,
      release: cannotHold,
      waiting: cannotHold,
      usage: async () => {
        const { connections, fids, files, inflight, locks, nodes } = await running.statistics();
        return { connections, fids, files, inflight, locks, nodes };
      },
      [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
    };
  }

  /** Dials the socket, or the first device that nobody uses. */
  async #connect(): Promise<Channel> {
    const addresses = this.#running.addresses;
    if (this.#initial.devices.length === 0) return await dial(addresses[0] ?? "");
    const address = addresses.find((each) => !this.#inUse.has(each));
    if (address === undefined) throw new RangeError("Cannot connect: all devices are in use");
    this.#inUse.add(address);
    const channel = await dialDevice(address.slice("vhost-user://".length));
    void channel.closed.then(() => this.#inUse.delete(address));
    return channel;
  }

  /** Stops it. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#inUse.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#running.stop(0);
    await Deno.remove(this.#folder, { recursive: true });
  }
}

function exportOf(
  path: string,
  readOnly: boolean,
  securityModel: SecurityModel = "none",
): ServeConfiguration["exports"][number] {
  return { name: "files", path, readOnly, securityModel, multidevs: "remap" };
}

function deviceOf(folder: string, tag: string): ServeConfiguration["devices"][number] {
  return { tag, socket: { kind: "unix", path: `${folder}/${tag}.sock` } };
}
