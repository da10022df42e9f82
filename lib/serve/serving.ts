/**
 * What serves in one thread, whatever the transport: a loop, trees and a server over them.
 *
 * @module
 */
import {
  type Credentials,
  type DescriptorOptions,
  Descriptors,
  DeviceTable,
  HostTree,
  mappedFileCredentials,
  mappedXattrCredentials,
  noneCredentials,
  passthroughCredentials,
  translated,
} from "../fs/mod.ts";
import { EPOLLIN, Helpers, takeShortTurns } from "../linux/mod.ts";
import { type Export, Server, type ServerOptions } from "../server/mod.ts";
import { type Peer, Reactor } from "../transport/mod.ts";
import { Access } from "./access.ts";
import { type MemoryPlan, planFids } from "./budget.ts";
import type { ThreadCounts, Total } from "./protocol.ts";
import { Refusals } from "./refusals.ts";
import { rehearse } from "./rehearsal.ts";
import { Tidying } from "./tidying.ts";
import type { ExportConfiguration, LogEvent, ServeConfiguration } from "./types.ts";

/** Where a thread finds what it shares with others. */
export interface Surroundings {
  /** Table of devices for the export at a path; one of the thread's own if there is none to share. */
  devices(path: string): SharedArrayBuffer | undefined;
  /** Folder for the locks on files that cannot be opened for writing. */
  readonly lockDirectory: string;
  /** Descriptors of all trees of the thread. */
  readonly descriptors: DescriptorOptions;
  /** Most helpers of the thread. */
  readonly maxHelpers: number;
  /** Memory that clients may fill. */
  readonly memory: MemoryPlan;
  /** Takes what is worth telling. */
  log(event: LogEvent): void;
  /** Has a helper started; by default in the thread itself. */
  startHelper?(memory: SharedArrayBuffer): void;
}

/** Milliseconds that calls under way are given to end before everything is closed. */
const SETTLE_MS = 1000;

/** The model of an export as the tree takes it. */
function credentialsOf(wanted: ExportConfiguration): Credentials {
  const { squash, uidMap: uids, gidMap: gids } = wanted;
  return translated(modelOf(wanted), {
    ...(uids === undefined ? {} : { uids }),
    ...(gids === undefined ? {} : { gids }),
    ...(squash === undefined ? {} : { squash }),
  });
}

function modelOf(wanted: ExportConfiguration): Credentials {
  const { securityModel, fmode, dmode, readOnly } = wanted;
  if (securityModel === "none") return noneCredentials();
  if (securityModel === "passthrough") return passthroughCredentials();
  const options = {
    readOnly,
    ...(fmode === undefined ? {} : { fileMode: fmode }),
    ...(dmode === undefined ? {} : { folderMode: dmode }),
  };
  return securityModel === "mapped-xattr"
    ? mappedXattrCredentials(options)
    : mappedFileCredentials(options);
}

/** Counts that differ from zero, by index. */
export function byIndex(counts: Float64Array): Record<number, number> {
  const found: Record<number, number> = {};
  counts.forEach((count, index) => {
    if (count > 0) found[index] = count;
  });
  return found;
}

/** Loop, trees and server of one thread. */
export class Serving implements Disposable {
  /** The loop. */
  readonly reactor: Reactor = new Reactor();
  /** Makes the sessions. */
  readonly server: Server;
  readonly #descriptors: Descriptors;
  readonly #tidying = new Tidying({
    alive: () => this.server.counters.fids,
    after: (ms, run) => void this.reactor.after(ms, run),
  });
  #around: Surroundings;
  readonly #firstExport: string | undefined;
  readonly #refusals: Refusals;
  /** Trees by what they were configured as. */
  #trees = new Map<string, HostTree>();
  /** Trees that no new session gets. */
  readonly #retired = new Set<HostTree>();
  /** Make the calls that would hold up others; there are some once there is a tree. */
  #helpers: Helpers | null = null;

  /**
   * Opens the exports.
   *
   * @param firstExport Export that the empty `aname` stands for.
   * @throws {Error} If one of them cannot be served.
   */
  constructor(configuration: ServeConfiguration, around: Surroundings, firstExport?: string) {
    this.#around = around;
    this.#firstExport = firstExport;
    this.#refusals = new Refusals((event) => this.#around.log(event), () => performance.now());
    this.#descriptors = new Descriptors(around.descriptors);
    this.server = new Server(this.#options(configuration));
  }

  /** Has V8 compile what guests will use: see {@linkcode rehearse}. */
  async rehearse(): Promise<void> {
    Deno.mkdirSync(this.#around.lockDirectory, { recursive: true, mode: 0o700 });
    await rehearse(this.#around.lockDirectory, noneCredentials(), this.#helpers ?? undefined);
  }

  /** Takes a new configuration for sessions to come. */
  reload(configuration: ServeConfiguration, around: Surroundings): void {
    this.#around = around;
    this.server.reconfigure(this.#options(configuration));
  }

  /** What has been counted so far. */
  counts(others: Partial<Record<Total, number>> = {}): ThreadCounts {
    const { counters } = this.server;
    const totals: Record<Total, number> = {
      connections: counters.sessions,
      attachesDenied: counters.denied,
      fids: counters.fids,
      inflight: counters.inflight,
      bytesIn: counters.bytesIn,
      bytesOut: counters.bytesOut,
      bytesRead: counters.bytesRead,
      bytesWritten: counters.bytesWritten,
      malformed: counters.malformed,
      nodes: 0,
      files: 0,
      locks: 0,
      kicks: 0,
      calls: 0,
      ...others,
    };
    for (const tree of [...this.#trees.values(), ...this.#retired]) {
      const { nodes, files, locks } = tree.usage();
      totals.nodes += nodes;
      totals.files += files;
      totals.locks += locks;
    }
    return {
      requests: byIndex(counters.requests),
      failures: byIndex(counters.failures),
      errnos: Object.fromEntries(counters.errnos),
      totals,
    };
  }

  /** Runs the loop until it is told to stop. */
  async run(): Promise<void> {
    // Where the kernel refuses, turns are as long as they are.
    takeShortTurns();
    await this.reactor.run();
  }

  /** Waits for calls that are under way, though not for ever. The loop must have ended. */
  async settled(): Promise<void> {
    const helpers = this.#helpers;
    const last = performance.now() + SETTLE_MS;
    while (helpers !== null && helpers.running > 0 && performance.now() < last) {
      helpers.settle();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Closes trees and loop. No session may be left, and the loop must have ended. */
  [Symbol.dispose](): void {
    for (const tree of this.#trees.values()) tree.close();
    for (const tree of this.#retired) tree.close();
    this.#helpers?.[Symbol.dispose]();
    this.reactor[Symbol.dispose]();
  }

  /** Turns a configuration into what the server takes, with the trees that exist already. */
  #options(configuration: ServeConfiguration): ServerOptions {
    const trees = new Map<string, HostTree>();
    const made: HostTree[] = [];
    const exports: Export[] = [];
    try {
      for (const wanted of configuration.exports) {
        const key = JSON.stringify({ ...wanted, name: "", access: null });
        let tree = trees.get(key) ?? this.#trees.get(key);
        if (tree === undefined) made.push(tree = this.#tree(wanted));
        trees.set(key, tree);
        const one = this.#export(wanted, tree);
        if (wanted.name === this.#firstExport) exports.unshift(one);
        else exports.push(one);
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
        allFids: planFids(configuration.maxFids, configuration.workers),
        xattrBytes: this.#around.memory.xattrs,
        maxInflight: configuration.maxInflight,
      },
      disable: configuration.disable,
      released: (fids) => this.#tidying.released(fids),
      report: (error, what) => {
        const said = error instanceof Error ? error.stack ?? error.message : String(error);
        this.#around.log({ level: "error", message: `Cannot carry out ${what}: ${said}` });
      },
    };
  }

  #export({ name, readOnly, access }: ExportConfiguration, tree: HostTree): Export {
    if (access === undefined) return { name, tree, readOnly };
    const lists = new Access(access);
    const admits = (peer: Peer) => {
      const why = lists.refusal(peer);
      if (why !== undefined) this.#refusals.refused(peer, `export "${name}"`, why);
      return why === undefined;
    };
    return { name, tree, readOnly, admits };
  }

  #startHelpers(): Helpers {
    const { startHelper, maxHelpers: most } = this.#around;
    const helpers = new Helpers(
      startHelper === undefined ? { most } : { most, start: startHelper },
    );
    // Their promises settle here, so nothing else of Deno's has to run for them.
    this.reactor.watch(helpers.fd, EPOLLIN, () => helpers.settle());
    return helpers;
  }

  #tree(wanted: ExportConfiguration): HostTree {
    this.#helpers ??= this.#startHelpers();
    return new HostTree({
      helpers: this.#helpers,
      root: wanted.path,
      multidevs: wanted.multidevs,
      credentials: credentialsOf(wanted),
      devices: new DeviceTable(this.#around.devices(wanted.path)),
      lockDirectory: this.#around.lockDirectory,
      descriptors: this.#descriptors,
      timers: this.reactor,
      warn: (message) => this.#around.log({ level: "warn", message }),
    });
  }
}
