/**
 * Our client against any 9P server, without a guest: what operations take and what they cost.
 *
 * @module
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { Client, type Fid } from "../client/mod.ts";
import { encode, Errno, O_RDWR, type RKind, TYPE } from "../p9/mod.ts";
import { dial, dialDevice } from "../transport/mod.ts";
import { FILE_BYTES, type Operation, OPERATIONS } from "./operations.ts";
import { processTime } from "./process_time.ts";
import type { Measurement } from "./results_types.ts";
import { generator, shuffled } from "./statistics.ts";

/** Entries of the folder that is listed. */
const ENTRIES = 100;
/** Most requests that a device takes at once: a quarter of its queue, as Linux has it. */
const DEVICE_DEPTH = 32;
/** Time to remove what was made on a server, when a measurement was interrupted. */
const CLEANUP_MS = 3000;
/** Longest latency that is told apart, in nanoseconds. */
const LONGEST_NS = 600e9;

/** A server to measure. */
export interface RpcTarget {
  /** Its address: `tcp://…`, `unix://…` or `vhost-user://…`. */
  readonly address: string;
  /** Its process, to learn what a request costs it. */
  readonly pid?: number;
}

/** What to measure. */
export interface RpcOptions {
  /** Servers, which take turns. */
  readonly targets: readonly RpcTarget[];
  /** Names of {@linkcode OPERATIONS}. */
  readonly operations: readonly string[];
  /** Operations in flight for each client. */
  readonly depth: number;
  /** Connections to each server. */
  readonly clients: number;
  /** Samples of each operation and server. */
  readonly rounds: number;
  /** Milliseconds of each sample. */
  readonly roundMs: number;
  /** Largest message to ask for, in bytes. */
  readonly msize: number;
  /** Tree to attach to. */
  readonly aname: string;
  /** User to attach as. */
  readonly uid: number;
  /** Seed of the order. */
  readonly seed: number;
  /**
   * Ends the measurement: what was made on the servers is removed, operations that have samples by
   * then are what was measured.
   */
  readonly signal?: AbortSignal;
  /** Hears how much is done, from 0 to 1. */
  readonly onProgress?: (share: number, what: string) => void;
}

/** Operations that are measured unless others are asked for. */
export const RPC_OPERATIONS: readonly string[] = [
  "getattr",
  "walk+clunk",
  "open+close",
  "create+unlink",
  "readdir",
  "read 4k",
  "read 64k",
  "write 4k",
  "write 64k",
];

/** Names of all operations. */
export const ALL_RPC_OPERATIONS: readonly string[] = Object.keys(OPERATIONS);

/**
 * Measures servers by turns, each operation in rounds whose order the seed decides.
 *
 * Works in a folder of its own that it makes on each server and removes again; operations that need
 * no file (`getattr`, `statfs`) alone are asked of the root and change nothing.
 *
 * @throws {Error} If a server cannot be reached, refuses an operation or goes away.
 */
export async function measureRpc(options: RpcOptions): Promise<Measurement[]> {
  const loads: Load[] = [];
  try {
    for (const target of options.targets) loads.push(await Load.open(target, options));
    const jobs = loads.flatMap((load) =>
      options.operations.map((name) => new Job(load, name, operationOf(name)))
    );
    const random = generator(options.seed);
    const total = jobs.length * (options.rounds + 1);
    let done = 0;
    // Round 0 warms up and counts for nothing.
    measuring: for (let round = 0; round <= options.rounds; round++) {
      for (const job of shuffled(jobs, random)) {
        if (options.signal?.aborted === true) break measuring;
        options.onProgress?.(done++ / total, `${job.load.target.address}: ${job.name}`);
        await job.run(options.roundMs, round > 0, options.signal);
      }
    }
    return jobs.filter((job) => job.hasSamples).map((job) => job.measurement());
  } finally {
    for (const load of loads) await load[Symbol.asyncDispose]();
  }
}

function operationOf(name: string): Operation {
  const operation = OPERATIONS[name];
  if (operation === undefined) {
    throw new Error(`Cannot measure "${name}": there is no such operation`);
  }
  return operation;
}

/** Connections to one server, and the folder that they work in. */
class Load implements AsyncDisposable {
  readonly target: RpcTarget;
  readonly options: RpcOptions;
  readonly clients: Connected[] = [];
  #folder = "";

  private constructor(target: RpcTarget, options: RpcOptions) {
    this.target = target;
    this.options = options;
  }

  static async open(target: RpcTarget, options: RpcOptions): Promise<Load> {
    const load = new Load(target, options);
    try {
      for (let i = 0; i < options.clients; i++) {
        load.clients.push(new Connected(await connect(target, options), options, i));
      }
      await load.#prepare();
      return load;
    } catch (error) {
      await load[Symbol.asyncDispose]();
      const what = error instanceof Error ? error.message : String(error);
      if (/^Cannot /.test(what)) throw error;
      throw new Error(`Cannot measure ${target.address}: ${what}`, { cause: error });
    }
  }

  /** Attaches all clients, and makes the files that they need. */
  async #prepare(): Promise<void> {
    const { aname, uid, operations } = this.options;
    for (const each of this.clients) each.root = await each.client.attach({ aname, n_uname: uid });
    if (!operations.some((name) => operationOf(name).needsFiles)) {
      for (const each of this.clients) each.file = each.folder = await each.rootFid().walk();
      return;
    }
    const first = this.clients[0]?.rootFid();
    if (first === undefined) return;
    const folder = `virtfs-bench-${crypto.randomUUID().slice(0, 8)}`;
    try {
      await first.mkdir(folder);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      throw new Error(
        `Cannot make a folder on ${this.target.address}: ${error.message}; ` +
          "getattr and statfs need none",
        { cause: error },
      );
    }
    this.#folder = folder;
    await using at = await first.walk(folder);
    const bytes = new Uint8Array(FILE_BYTES).fill(7);
    for (let i = 0; i < this.clients.length; i++) {
      await using file = await at.walk();
      await file.create(`file${i}`);
      await file.write(bytes, 0n);
    }
    await at.mkdir("folder");
    for (let i = 0; i < ENTRIES; i++) {
      await using entry = await at.walk("folder");
      await entry.create(`entry-${`${i}`.padStart(4, "0")}`);
    }
    for (const [i, each] of this.clients.entries()) {
      each.folder = await each.rootFid().walk(folder);
      each.file = await each.folder.walk(`file${i}`);
      await each.file.open(O_RDWR);
    }
  }

  async #remove(): Promise<void> {
    const root = this.clients[0]?.root;
    if (this.#folder === "" || root === undefined || root.client.hasEnded) return;
    const removeIn = async (folder: Fid, name: string): Promise<void> => {
      const at = await folder.walk(name);
      const names: string[] = [];
      {
        await using listed = await at.walk();
        await listed.open();
        for await (const entry of listed.readdir()) names.push(entry.name);
      }
      for (const each of names) {
        if (each === "folder") await removeIn(at, each);
        else if (each !== "." && each !== "..") await (await at.walk(each)).remove();
      }
      await at.remove();
    };
    await removeIn(root, this.#folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CLEANUP_MS);
    // A server that has gone away keeps what it has.
    await Promise.race([this.#remove().catch(() => {}), promise]);
    clearTimeout(timer);
    for (const { client } of this.clients) await client.close();
  }
}

/** A connection with its handles. */
class Connected {
  readonly client: Client;
  readonly number: number;
  readonly fids: readonly number[];
  root: Fid | undefined;
  folder: Fid | undefined;
  file: Fid | undefined;

  constructor(client: Client, { depth }: RpcOptions, number: number) {
    this.client = client;
    this.number = number;
    this.fids = Array.from({ length: depth }, () => client.takeFid());
  }

  rootFid(): Fid {
    if (this.root === undefined) throw new Error("Cannot go on: there is no root yet");
    return this.root;
  }
}

async function connect(target: RpcTarget, options: RpcOptions): Promise<Client> {
  const { msize, clients, depth, signal } = options;
  const device = /^vhost-user:\/\/(\/.+)$/s.exec(target.address)?.[1];
  if (device === undefined) {
    const channel = await dial(target.address, signal === undefined ? {} : { signal });
    return await Client.connect(channel, { msize, ...(signal === undefined ? {} : { signal }) });
  }
  if (clients > 1 || depth > DEVICE_DEPTH) {
    throw new Error(
      `Cannot measure ${target.address} with ${clients} clients and depth ${depth}: ` +
        `a device has one driver and up to ${DEVICE_DEPTH} requests at once`,
    );
  }
  return await Client.connect(await dialDevice(device, { msize }), { msize });
}

/** A request as it is sent, and the type of answer it must get. */
interface Prepared {
  readonly frame: Uint8Array;
  readonly answer: number;
}

/** One operation on one server, over all rounds. */
class Job {
  readonly load: Load;
  readonly name: string;
  readonly #operation: Operation;
  readonly #latencies: RecordableHistogram = createHistogram({
    lowest: 1,
    highest: LONGEST_NS,
    figures: 3,
  });
  readonly #rates: number[] = [];
  #operations = 0;
  #cpu = 0;

  constructor(load: Load, name: string, operation: Operation) {
    this.load = load;
    this.name = name;
    this.#operation = operation;
  }

  /** Whether any round that counts was finished. */
  get hasSamples(): boolean {
    return this.#rates.length > 0;
  }

  /** Carries the operation out for some time, on all connections at once. */
  async run(ms: number, counts: boolean, signal: AbortSignal | undefined): Promise<void> {
    const { pid } = this.load.target;
    const slots = this.load.clients.flatMap((connected) =>
      connected.fids.map((fid) => ({ connected, requests: this.#prepare(connected, fid) }))
    );
    const cpu = pid === undefined ? 0 : processTime(pid);
    const begun = performance.now();
    const end = begun + ms;
    const done = await Promise.all(
      slots.map(({ connected, requests }) =>
        this.#repeat(connected.client, requests, end, counts, signal)
      ),
    );
    const seconds = (performance.now() - begun) / 1e3;
    // A sample that was cut short is none.
    if (!counts || signal?.aborted === true) return;
    const operations = done.reduce((sum, each) => sum + each, 0);
    this.#operations += operations;
    this.#rates.push(operations / seconds);
    if (pid !== undefined) this.#cpu += processTime(pid) - cpu;
  }

  #prepare({ client, folder, file, number }: Connected, newFid: number): Prepared[] {
    return this.#operation.steps({
      folderFid: folder?.number ?? 0,
      fileFid: file?.number ?? 0,
      newFid,
      newName: `new-${number}-${newFid}`,
      chunk: Math.min(client.maxPayload, file?.maxPayload ?? Infinity),
    }).map((message) => ({
      frame: encode(message, "9P2000.L"),
      answer: TYPE[message.kind.replace("T", "R") as RKind],
    }));
  }

  async #repeat(
    client: Client,
    requests: readonly Prepared[],
    end: number,
    counts: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let done = 0;
    do {
      const begun = performance.now();
      for (const { frame, answer } of requests) {
        const reply = await client.raw(frame);
        if (reply[4] !== answer) throw this.#refused(reply);
      }
      if (counts) {
        this.#latencies.record(Math.max(1, Math.round((performance.now() - begun) * 1e6)));
      }
      done++;
    } while (performance.now() < end && signal?.aborted !== true);
    return done;
  }

  #refused(reply: Uint8Array): Error {
    const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
    const why = reply[4] === TYPE.Rlerror && reply.length >= 11
      ? new Errno(view.getUint32(7, true)).message
      : `an answer of type ${reply[4]}`;
    return new Error(`Cannot measure ${this.name} on ${this.load.target.address}: ${why}`);
  }

  measurement(): Measurement {
    const { target, options, clients } = this.load;
    const latencies = this.#latencies;
    const at = (percent: number) => Math.min(latencies.percentile(percent), latencies.max);
    return {
      kind: "rpc",
      target: target.address,
      operation: this.name,
      bytes: this.#operation.bytes,
      depth: options.depth,
      clients: options.clients,
      msize: clients[0]?.client.msize ?? null,
      unit: "op/s",
      samples: this.#rates,
      latencies: {
        count: latencies.count,
        min: latencies.min,
        mean: latencies.mean,
        p50: at(50),
        p90: at(90),
        p99: at(99),
        p999: at(99.9),
        max: latencies.max,
      },
      cpuPerOperation: target.pid === undefined ? null : this.#cpu / this.#operations,
    };
  }
}
