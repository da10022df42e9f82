/**
 * A virtio device under load without a virtual machine: what a request costs, by itself and beside
 * others, in time, processor time, notifications and memory.
 *
 * We are monitor and driver, with blocking waits and chains laid out as Linux's 9p driver lays them
 * out: head and payload apart, payloads page by page in an indirect table. One thread makes the
 * load, so at depth 1 a round trip has two switches between processes, which is most of its time.
 *
 * ```sh
 * deno run -A bench/device_load.ts --reps 10 --json load.json
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  EINTR,
  F_SETFD,
  fcntl,
  FD_CLOEXEC,
  LinuxError,
  poll,
  POLLIN,
  PollSet,
} from "../lib/linux/mod.ts";
import {
  encode,
  type Message,
  NOFID,
  NOTAG,
  O_RDWR,
  type TMessage,
  TWRITE_HEADER,
  TYPE,
} from "../lib/p9/mod.ts";
import { DEVICE_COMMAND } from "../lib/serve/devices.ts";
import type { FromWorker, ThreadCounts, ToDevice } from "../lib/serve/protocol.ts";
import {
  DEFAULT_MSIZE,
  type DeviceConfiguration,
  type ServeConfiguration,
} from "../lib/serve/mod.ts";
import { listen } from "../lib/transport/mod.ts";
import { type FrontendQueue, GuestRam, VhostUserFrontend } from "../lib/vhost/mod.ts";
import type { GuestRange } from "../lib/virtio/mod.ts";
import { inspectHost, memoryOf, say, type Usage, usageOf } from "./host.ts";
import { median, medianOf } from "../lib/bench/statistics.ts";
import { short, shown, table } from "../lib/bench/tables.ts";

const PAGE = 4096;
const MSIZE = 512_000;
export const QUEUE_SIZE = 128;
/** Largest payload of a request: what msize leaves, in whole pages. */
const MOST = 500 * 1024 - PAGE;
const DEPTHS = [1, 16] as const;
const SLOTS = Math.max(...DEPTHS);
/** Memory of a slot: request, indirect table, head of the reply, payload. */
const SLOT_BYTES = 3 * PAGE + MOST;
/** Bytes of an Rread before its payload. */
const RREAD_HEAD = 11;
const WAIT_MS = 10_000;

const ROOT_FID = 1;
const OPEN_FID = 2;
const FILE_FID = 3;
/** Fids that requests make are these and up, one for each slot. */
const NEW_FID = 100;

/** What one request of an operation is. */
interface Step {
  /** The message of a slot; a Twrite without its data. */
  readonly message: (slot: number) => TMessage;
  /** Bytes of payload, of a Tread or Twrite. */
  readonly payload?: number;
}

const walk: Step = {
  message: (slot) => ({
    kind: "Twalk",
    tag: slot,
    fid: ROOT_FID,
    newfid: NEW_FID + slot,
    wname: ["file"],
  }),
};
const clunk: Step = { message: (slot) => ({ kind: "Tclunk", tag: slot, fid: NEW_FID + slot }) };
const open: Step = {
  message: (slot) => ({ kind: "Tlopen", tag: slot, fid: NEW_FID + slot, flags: O_RDWR }),
};

function read(payload: number): Step[] {
  return [{
    payload,
    message: (slot) => ({
      kind: "Tread",
      tag: slot,
      fid: OPEN_FID,
      offset: BigInt(slot * MOST),
      count: payload,
    }),
  }];
}

function write(payload: number): Step[] {
  return [{
    payload,
    message: (slot) => ({
      kind: "Twrite",
      tag: slot,
      fid: OPEN_FID,
      offset: BigInt(slot * MOST),
      data: new Uint8Array(0),
    }),
  }];
}

/** What is measured, by name. */
const OPERATIONS: Readonly<Record<string, readonly Step[]>> = {
  // No system call but those of the queue: the floor.
  "flush": [{ message: (slot) => ({ kind: "Tflush", tag: slot, oldtag: 9999 }) }],
  "getattr": [{
    message: (slot) => ({
      kind: "Tgetattr",
      tag: slot,
      fid: FILE_FID,
      request_mask: 0x7ffn,
    }),
  }],
  "walk+clunk": [walk, clunk],
  "walk+open+clunk": [walk, open, clunk],
  "read 4k": read(PAGE),
  "read 8k": read(2 * PAGE),
  "read 64k": read(16 * PAGE),
  "read 500k": read(MOST),
  "write 4k": write(PAGE),
  "write 8k": write(2 * PAGE),
  "write 64k": write(16 * PAGE),
  "write 500k": write(MOST),
};

/** A request as it lies in guest memory. */
interface Prepared {
  readonly frame: Uint8Array;
  readonly readable: readonly GuestRange[];
  readonly writable: readonly GuestRange[];
  /** Type of the R-message that must come. */
  readonly answer: number;
  /** Its size, or 0 for any. */
  readonly size: number;
}

/** The process of a device, started with Deno's own options, for profiling. */
export class Device implements AsyncDisposable {
  readonly path: string;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder: string;
  #lines: AsyncGenerator<FromWorker>;

  private constructor(child: Deno.ChildProcess, folder: string, path: string) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#folder = folder;
    this.path = path;
    this.#lines = linesOf(child.stdout);
  }

  static async start(root: string, denoFlags: readonly string[]): Promise<Device> {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-load-" });
    const path = `${folder}/device.sock`;
    const device: DeviceConfiguration = { socket: { kind: "unix", path }, tag: "load" };
    const configuration: ServeConfiguration = {
      listen: [],
      devices: [device],
      exports: [{
        name: "",
        path: root,
        readOnly: false,
        securityModel: Deno.uid() === 0 ? "passthrough" : "none",
        multidevs: "remap",
      }],
      msize: DEFAULT_MSIZE,
      workers: 1,
      maxConnections: 16,
      maxFids: 65_536,
      maxInflight: 128,
      idleTimeoutMs: 0,
      disable: [],
    };
    const listener = await listen(device.socket);
    fcntl(listener.fd, F_SETFD, 0);
    // What is given last counts where V8's options contradict each other.
    const [run = "run", ...words] = DEVICE_COMMAND;
    const file = words.pop() ?? "";
    const child = new Deno.Command(Deno.execPath(), {
      args: [run, ...words, ...denoFlags, file],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    fcntl(listener.fd, F_SETFD, FD_CLOEXEC);
    const started = new Device(child, folder, path);
    const lockDirectory = `${folder}/locks`;
    await started.#tell({
      kind: "start",
      configuration,
      device,
      fd: listener.fd,
      lockDirectory,
      descriptors: { maxHandles: 1024, maxFiles: 1024 },
      maxHelpers: 8,
      rehearses: true,
      memory: { buffers: 1 << 26, xattrs: 1 << 24 },
    });
    await started.#until("ready");
    return started;
  }

  get pid(): number {
    return this.#child.pid;
  }

  async counts(): Promise<ThreadCounts> {
    await this.#tell({ kind: "statistics", id: 1 });
    return (await this.#until("statistics")).counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tell({ kind: "stop" });
    await this.#input.close().catch(() => {});
    await this.#child.status;
    await this.#lines.return(undefined);
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #tell(message: ToDevice): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  }

  async #until<Kind extends FromWorker["kind"]>(
    kind: Kind,
  ): Promise<Extract<FromWorker, { readonly kind: Kind }>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("Cannot go on: the device's process ended");
      if (value.kind === "failed") throw new Error(value.message);
      if (value.kind === kind) return value as Extract<FromWorker, { readonly kind: Kind }>;
    }
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<FromWorker> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as FromWorker;
  }
}

/** The driver: keeps a number of requests on the queue. */
class Load {
  readonly #queue: FrontendQueue;
  readonly #ram: GuestRam;
  /** First address of each slot. */
  readonly #slots: readonly number[];
  readonly #waiting = new PollSet(1);
  readonly #slotOf = new Int32Array(QUEUE_SIZE);

  constructor(queue: FrontendQueue, ram: GuestRam) {
    this.#queue = queue;
    this.#ram = ram;
    this.#slots = Array.from({ length: SLOTS }, () => ram.reserve(SLOT_BYTES, PAGE));
  }

  /** Sends one message and checks that it is not refused. */
  ask(message: TMessage): void {
    this.run([{ message: () => message }], 1, 1);
  }

  /**
   * Carries operations out, `depth` at once.
   *
   * @throws {Error} If an answer is not what it must be.
   */
  run(steps: readonly Step[], operations: number, depth: number): void {
    const { driver } = this.#queue;
    const prepared = Array.from(
      { length: depth },
      (_, slot) => steps.map((step) => this.#prepare(step, slot)),
    );
    const next = new Int32Array(depth);
    let begun = 0;
    let ended = 0;
    for (; begun < Math.min(depth, operations); begun++) {
      this.#add(begun, prepared[begun]?.[0] as Prepared);
    }
    this.#publish();
    while (ended < operations) {
      const head = driver.take();
      if (head < 0) {
        this.#publish();
        if (!driver.enableCalls()) this.#sleep();
        continue;
      }
      const slot = this.#slotOf[head] as number;
      const at = next[slot] as number;
      this.#check(slot, (prepared[slot] as Prepared[])[at] as Prepared);
      if (at + 1 < steps.length) {
        next[slot] = at + 1;
      } else {
        next[slot] = 0;
        ended++;
        if (begun === operations) continue;
        begun++;
      }
      this.#add(slot, (prepared[slot] as Prepared[])[next[slot] as number] as Prepared);
    }
  }

  #publish(): void {
    this.#queue.driver.publish();
    if (this.#queue.driver.needsKick()) this.#queue.kick();
  }

  #sleep(): void {
    this.#waiting.set(0, this.#queue.callFd, POLLIN);
    const result = poll(this.#waiting, WAIT_MS);
    if (result === 0) throw new Error(`Cannot go on: the device is silent for ${WAIT_MS} ms`);
    if (result < 0 && result !== -EINTR) throw new LinuxError("wait for the device", -result);
    this.#queue.takeCalls();
  }

  #add(slot: number, { frame, readable, writable }: Prepared): void {
    const base = this.#slots[slot] as number;
    this.#bytes.set(frame, base - this.#ram.guestAddress);
    const isOne = readable.length + writable.length === 2;
    const head = this.#queue.driver.add(readable, writable, isOne ? undefined : base + PAGE);
    if (head < 0) throw new Error("Cannot add a request: the queue is full");
    this.#slotOf[head] = slot;
  }

  get #bytes(): Uint8Array {
    return this.#ram.bytes;
  }

  #check(slot: number, { answer, size }: Prepared): void {
    const at = (this.#slots[slot] as number) + 2 * PAGE - this.#ram.guestAddress;
    const type = this.#bytes[at + 4];
    const length = this.#queue.driver.usedLength;
    if (type === answer && (size === 0 || length === size)) return;
    const code = this.#bytes[at + 7];
    throw new Error(`Cannot go on: answer of type ${type}, ${length} bytes, code ${code}`);
  }

  #prepare({ message, payload = 0 }: Step, slot: number): Prepared {
    const base = this.#slots[slot] as number;
    const request = message(slot);
    const frame = encode(request, "9P2000.L");
    const readable: GuestRange[] = [{ address: base, length: frame.length }];
    const writable: GuestRange[] = [{ address: base + 2 * PAGE, length: PAGE }];
    const answer = TYPE[request.kind.replace("T", "R") as Message["kind"]];
    let size = 0;
    if (payload > 0) {
      const pages: GuestRange[] = [];
      // Backwards, as pages that a guest happens to have are hardly ever neighbours in order.
      for (let left = payload; left > 0; left -= PAGE) {
        pages.push({ address: base + 3 * PAGE + left - PAGE, length: PAGE });
      }
      if (request.kind === "Twrite") {
        const view = new DataView(frame.buffer);
        view.setUint32(0, TWRITE_HEADER + payload, true);
        view.setUint32(TWRITE_HEADER - 4, payload, true);
        readable.push(...pages);
      } else {
        writable.splice(0, 1, { address: base + 2 * PAGE, length: RREAD_HEAD }, ...pages);
        size = RREAD_HEAD + payload;
      }
    }
    return { frame, readable, writable, answer, size };
  }
}

/** All repetitions of an operation at a depth. */
interface Cell {
  readonly operation: string;
  readonly depth: number;
  /** Requests of one operation. */
  readonly requests: number;
  /** Operations of one repetition. */
  readonly count: number;
  /** Nanoseconds for one operation, of each repetition. */
  readonly samples: number[];
  operations: number;
  used: Usage;
  kicks: number;
  calls: number;
}

const NO_USE: Usage = { user: 0, system: 0, sleeps: 0, preemptions: 0 };

function plus(a: Usage, b: Usage, sign: number): Usage {
  return {
    user: a.user + sign * b.user,
    system: a.system + sign * b.system,
    sleeps: a.sleeps + sign * b.sleeps,
    preemptions: a.preemptions + sign * b.preemptions,
  };
}

/** Counts system calls of the device for a number of operations. */
async function traceCalls(
  pid: number,
  run: () => void,
  requests: number,
): Promise<Record<string, number>> {
  const file = await Deno.makeTempFile({ prefix: "virtfs-strace-" });
  const tracer = new Deno.Command("strace", {
    args: ["-c", "-f", "-U", "name,calls", "-o", file, "-p", `${pid}`],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = tracer.stderr.getReader();
  for (let text = ""; !text.includes("attached");) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Cannot trace system calls: ${text}`);
    text += new TextDecoder().decode(value);
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  run();
  tracer.kill("SIGINT");
  await reader.cancel();
  await tracer.status;
  const found: Record<string, number> = {};
  for (const line of (await Deno.readTextFile(file)).split("\n")) {
    const match = /^(\w+)\s+(\d+)$/.exec(line.trim());
    if (match === null || match[1] === "total") continue;
    const each = Number(match[2]) / requests;
    if (each >= 0.005) found[match[1] ?? ""] = Math.round(each * 1000) / 1000;
  }
  await Deno.remove(file);
  return found;
}

function mebibytes(bytes: number): string {
  return short(bytes / 2 ** 20);
}

/** Warms up, and finds how many operations take so many milliseconds. */
function calibrate(
  load: Load,
  steps: readonly Step[],
  depth: number,
  ms: number,
  warmMs: number,
): number {
  const start = performance.now();
  for (let count = 32;;) {
    const begun = performance.now();
    load.run(steps, count, depth);
    const ended = performance.now();
    const fitting = Math.max(depth, Math.round(count * ms / (ended - begun)));
    // Compilers make it quicker for a while yet.
    if (ended - start > warmMs && ended - begun > ms / 4) return fitting;
    count = Math.min(2 * count, fitting);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      reps: { type: "string", default: "10" },
      ms: { type: "string", default: "150" },
      // Least time for which each operation is carried out before it is measured.
      warm: { type: "string", default: "400" },
      ops: { type: "string", default: Object.keys(OPERATIONS).join(",") },
      depth: { type: "string", default: DEPTHS.join(",") },
      folder: { type: "string", default: "/dev/shm" },
      deno: { type: "string", multiple: true, default: [] },
      "trace-calls": { type: "boolean", default: false },
      json: { type: "string" },
    },
  });
  const reps = Number(values.reps);
  const root = await Deno.makeTempDir({ dir: values.folder, prefix: "virtfs-load-" });
  const before = inspectHost();
  try {
    await Deno.writeFile(`${root}/file`, new Uint8Array(SLOTS * MOST).fill(7));
    await using device = await Device.start(root, values.deno);
    say(`the device is process ${device.pid}\n`);
    const atStart = memoryOf(device.pid);
    using ram = new GuestRam({
      size: 2 ** 20 + SLOTS * (SLOT_BYTES + PAGE),
      guestAddress: 2 ** 30,
    });
    using frontend = VhostUserFrontend.connect(device.path);
    await frontend.negotiate();
    await frontend.setMemory([ram]);
    using queue = await frontend.startQueue(ram, { size: QUEUE_SIZE });
    const load = new Load(queue, ram);
    load.ask({ kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" });
    load.ask({
      kind: "Tattach",
      tag: 1,
      fid: ROOT_FID,
      afid: NOFID,
      uname: "root",
      aname: "",
      n_uname: 0,
    });
    for (const newfid of [OPEN_FID, FILE_FID]) {
      load.ask({ kind: "Twalk", tag: 1, fid: ROOT_FID, newfid, wname: ["file"] });
    }
    load.ask({ kind: "Tlopen", tag: 1, fid: OPEN_FID, flags: O_RDWR });

    const cells: Cell[] = [];
    for (const operation of values.ops.split(",")) {
      const steps = OPERATIONS[operation];
      if (steps === undefined) throw new Error(`Cannot measure "${operation}": it is unknown`);
      for (const depth of values.depth.split(",").map(Number)) {
        if (!(depth >= 1 && depth <= SLOTS)) throw new Error(`Cannot use depth ${depth}`);
        const count = calibrate(load, steps, depth, Number(values.ms), Number(values.warm));
        cells.push({
          operation,
          depth,
          requests: steps.length,
          count,
          samples: [],
          operations: 0,
          used: NO_USE,
          kicks: 0,
          calls: 0,
        });
      }
    }
    for (let rep = 0; rep < reps; rep++) {
      for (const cell of cells) {
        const steps = OPERATIONS[cell.operation] as readonly Step[];
        const { kicks, calls } = (await device.counts()).totals;
        const used = usageOf(device.pid);
        const start = performance.now();
        load.run(steps, cell.count, cell.depth);
        cell.samples.push((performance.now() - start) * 1e6 / cell.count);
        cell.used = plus(plus(cell.used, usageOf(device.pid), 1), used, -1);
        const { totals } = await device.counts();
        cell.kicks += totals.kicks - kicks;
        cell.calls += totals.calls - calls;
        cell.operations += cell.count;
      }
    }
    const after = memoryOf(device.pid);
    const traced: Record<string, Record<string, number>> = {};
    if (values["trace-calls"]) {
      for (const { operation, depth, requests } of cells) {
        const steps = OPERATIONS[operation] as readonly Step[];
        const run = () => load.run(steps, 2000, depth);
        const calls = await traceCalls(device.pid, run, 2000 * requests);
        traced[`${operation}, depth ${depth}`] = calls;
      }
    }
    report(cells, traced, atStart, after);
    const hostAfter = inspectHost();
    say(`load average ${before.load.join(" ")} before, ${hostAfter.load.join(" ")} after`);
    if (values.json !== undefined) {
      const result = {
        schema: "virtfs-device-load/1",
        arguments: Deno.args,
        before,
        after: hostAfter,
        memory: { atStart, after },
        unit: "nanoseconds of one operation",
        cells,
        systemCallsPerRequest: traced,
      };
      await Deno.writeTextFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function report(
  cells: readonly Cell[],
  traced: Readonly<Record<string, Record<string, number>>>,
  atStart: ReturnType<typeof memoryOf>,
  after: ReturnType<typeof memoryOf>,
): void {
  const head = [
    "operation",
    "depth",
    "µs",
    "best",
    "requests/s",
    "CPU µs/request",
    "user",
    "system",
  ];
  head.push("kicks/1000", "calls/1000", "sleeps/1000");
  const rows = cells.map((cell) => {
    const total = cell.operations * cell.requests;
    const micro = (seconds: number) => short(seconds * 1e6 / total);
    const thousand = (count: number) => (count * 1000 / total).toFixed(0);
    return [
      cell.operation,
      `${cell.depth}`,
      shown(medianOf(cell.samples.map((sample) => sample / 1000))),
      short(Math.min(...cell.samples) / 1000),
      (cell.requests * 1e9 / median(cell.samples)).toFixed(0),
      micro(cell.used.user + cell.used.system),
      micro(cell.used.user),
      micro(cell.used.system),
      thousand(cell.kicks),
      thousand(cell.calls),
      thousand(cell.used.sleeps),
    ];
  });
  say(table(head, rows));
  say("");
  say(table(["memory of the device, MiB", "RSS", "PSS", "private"], [
    ["at start", mebibytes(atStart.rss), mebibytes(atStart.pss), mebibytes(atStart.private)],
    ["after", mebibytes(after.rss), mebibytes(after.pss), mebibytes(after.private)],
  ]));
  for (const [what, calls] of Object.entries(traced)) {
    const list = Object.entries(calls).map(([name, count]) => `${name} ${count}`).join(", ");
    say(`system calls per request, ${what}: ${list}`);
  }
}

if (import.meta.main) await main();
