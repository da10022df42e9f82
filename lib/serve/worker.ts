/**
 * A serving thread: trees, sessions and sockets of its own, one loop.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import {
  type Credentials,
  DeviceTable,
  HostTree,
  noneCredentials,
  passthroughCredentials,
} from "../fs/mod.ts";
import { close } from "../linux/mod.ts";
import { type Export, Server, type ServerOptions } from "../server/mod.ts";
import { peerOf, Reactor, StreamTransport } from "../transport/mod.ts";
import {
  type Common,
  type FromWorker,
  SHARED,
  takeSocket,
  type ThreadCounts,
  type ToWorker,
} from "./protocol.ts";
import type { ExportConfiguration, ServeConfiguration } from "./types.ts";

function tell(message: FromWorker): void {
  self.postMessage(message);
}

function log(level: "error" | "warn" | "info" | "debug", message: string): void {
  tell({ kind: "log", level, message });
}

/** The model of an export as the tree takes it. */
function credentialsOf({ securityModel, squash }: ExportConfiguration): Credentials {
  return securityModel === "passthrough" ? passthroughCredentials() : noneCredentials(squash);
}

/** What runs in the thread. */
class Thread {
  readonly #shared: Int32Array<SharedArrayBuffer>;
  #common: Common;
  readonly #reactor = new Reactor();
  readonly #server: Server;
  readonly #transport: StreamTransport;
  /** Trees by what they were configured as. */
  #trees = new Map<string, HostTree>();
  /** Trees that no new session gets. */
  readonly #retired = new Set<HostTree>();
  #messagesSeen = 1;
  #isDraining = false;

  constructor(
    configuration: ServeConfiguration,
    shared: Int32Array<SharedArrayBuffer>,
    common: Common,
  ) {
    this.#shared = shared;
    this.#common = common;
    this.#server = new Server(this.#options(configuration));
    this.#transport = new StreamTransport(this.#reactor, {
      accept: this.#server.accept,
      maxMessage: configuration.msize,
      idleTimeoutMs: configuration.idleTimeoutMs,
      onClose: () => Atomics.sub(shared, SHARED.CONNECTIONS, 1),
    });
    this.#reactor.onWake = () => this.#woken();
  }

  /** The descriptor that wakes the thread. */
  get wakeFd(): number {
    return this.#reactor.wakeFd;
  }

  /** Runs until told to stop. */
  async run(): Promise<void> {
    await this.#reactor.run();
    this.#transport.close();
    for (const tree of this.#trees.values()) tree.close();
    for (const tree of this.#retired) tree.close();
    this.#reactor[Symbol.dispose]();
  }

  /** Takes a message from the main thread. */
  receive(message: ToWorker): void {
    this.#messagesSeen++;
    switch (message.kind) {
      case "statistics":
        tell({ kind: "statistics", id: message.id, counts: this.#counts() });
        break;
      case "reload":
        this.#common = message.common;
        this.#reload(message.id, message.configuration);
        break;
      case "drain":
        this.#isDraining = true;
        this.#refuseAll();
        void this.#transport.drain().then(() => tell({ kind: "drained" }));
        break;
      case "stop":
        this.#isDraining = true;
        this.#refuseAll();
        this.#reactor.stop();
        break;
      case "start":
        break;
    }
  }

  /** Something is in the mailbox, or a message is on its way. */
  async #woken(): Promise<void> {
    if (this.#isDraining) this.#refuseAll();
    for (let fd = takeSocket(this.#shared); fd >= 0; fd = takeSocket(this.#shared)) {
      this.#transport.adopt(fd, peerOf(fd));
    }
    while (this.#messagesSeen < Atomics.load(this.#shared, SHARED.MESSAGES)) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Sockets that came too late. */
  #refuseAll(): void {
    for (let fd = takeSocket(this.#shared); fd >= 0; fd = takeSocket(this.#shared)) {
      close(fd);
      Atomics.sub(this.#shared, SHARED.CONNECTIONS, 1);
    }
  }

  #reload(id: number, configuration: ServeConfiguration): void {
    try {
      this.#server.reconfigure(this.#options(configuration));
      tell({ kind: "reloaded", id });
    } catch (error) {
      tell({
        kind: "reloaded",
        id,
        error: error instanceof Error ? error.message : String(error),
      });
    }
  }

  /** Turns a configuration into what the server takes, with the trees that exist already. */
  #options(configuration: ServeConfiguration): ServerOptions {
    const trees = new Map<string, HostTree>();
    const made: HostTree[] = [];
    const exports: Export[] = [];
    try {
      for (const wanted of configuration.exports) {
        const key = JSON.stringify({ ...wanted, name: "" });
        let tree = trees.get(key) ?? this.#trees.get(key);
        if (tree === undefined) made.push(tree = this.#tree(wanted));
        trees.set(key, tree);
        exports.push({ name: wanted.name, tree, readOnly: wanted.readOnly });
      }
    } catch (error) {
      for (const tree of made) tree.close();
      throw error;
    }
    for (const [key, tree] of this.#trees) if (!trees.has(key)) this.#retired.add(tree);
    this.#trees = trees;
    for (const tree of this.#retired) {
      if (tree.usage().nodes > 0) continue;
      tree.close();
      this.#retired.delete(tree);
    }
    return {
      exports,
      limits: {
        msize: configuration.msize,
        maxFids: configuration.maxFids,
        maxInflight: configuration.maxInflight,
      },
      disable: configuration.disable,
      report: (error, what) => {
        const said = error instanceof Error ? error.stack ?? error.message : String(error);
        log("error", `Cannot carry out ${what}: ${said}`);
      },
    };
  }

  #tree(wanted: ExportConfiguration): HostTree {
    return new HostTree({
      root: wanted.path,
      multidevs: wanted.multidevs,
      credentials: credentialsOf(wanted),
      devices: new DeviceTable(this.#common.devices.get(wanted.path)),
      lockDirectory: this.#common.lockDirectory,
      maxHandles: this.#common.maxHandles,
      timers: this.#reactor,
      warn: (text) => log("warn", text),
    });
  }

  #counts(): ThreadCounts {
    const { counters } = this.#server;
    const usage = { nodes: 0, files: 0, locks: 0 };
    for (const tree of [...this.#trees.values(), ...this.#retired]) {
      const { nodes, files, locks } = tree.usage();
      usage.nodes += nodes;
      usage.files += files;
      usage.locks += locks;
    }
    return { ...counters, ...usage };
  }
}

let thread: Thread | null = null;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind !== "start") {
    thread?.receive(data);
    return;
  }
  try {
    thread = new Thread(data.configuration, data.shared, data.common);
  } catch (error) {
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    self.close();
    return;
  }
  tell({ kind: "ready", wakeFd: thread.wakeFd });
  thread.run().then(
    () => tell({ kind: "ended" }),
    (error) =>
      tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) }),
  ).finally(() => self.close());
};
