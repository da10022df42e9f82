/**
 * Our server against diod over sockets, with one client for both: what an operation takes, how the
 * slowest ones fare, and what processor time a request costs each server. With `--beside` the peer is
 * our server of another checkout, which speaks larger messages than diod: before and after a change.
 *
 * The client is one thread with blocking calls and as many connections as there are clients, each
 * of which has one request out at a time. Servers take turns within every repetition.
 *
 * ```sh
 * deno run -A bench/socket_load.ts --reps 11 --json sockets.json
 * deno run -A bench/socket_load.ts --beside ../before --msize 512000 --ops "write 512k,write 1M"
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  AF_INET,
  AF_UNIX,
  check,
  close,
  connect,
  EINTR,
  IPPROTO_TCP,
  MappedMemory,
  poll,
  POLLIN,
  PollSet,
  recv,
  send,
  setsockopt,
  SOCK_STREAM,
  socket,
  TCP_NODELAY,
} from "../lib/linux/mod.ts";
import { encode, type Message, NOFID, NOTAG, O_RDWR, type TMessage, TYPE } from "../lib/p9/mod.ts";
import { inspectHost, memoryOf, say, type Usage, usageOf } from "./host.ts";
import { FILE_BYTES, OPERATIONS } from "../lib/bench/operations.ts";
import { median, ratioOf } from "../lib/bench/statistics.ts";
import { short, shown, table } from "../lib/bench/tables.ts";

/** The most that diod 1.0 agrees on. */
const DIOD_MSIZE = 65_536;
/** Bytes of a message that are not payload, as Linux reckons; so 64 KiB are two requests at diod's. */
const OVERHEAD = 24;
const ENTRIES = 1000;
const PATIENCE_MS = 10_000;

const ROOT_FID = 0;
const OPEN_FID = 1;
const NEW_FID = 2;

const tag = 1;

type Transport = "unix" | "tcp";

/** A server under load. */
interface Candidate extends AsyncDisposable {
  readonly name: string;
  readonly pids: readonly number[];
  readonly unix: string;
  readonly port: number;
  readonly aname: string;
}

/** A message as it is sent, and the type of answer it must get. */
interface Prepared {
  readonly address: number;
  readonly size: number;
  readonly answer: number;
}

/** One connection: one request out at a time. */
class Client implements Disposable {
  readonly fd: number;
  readonly #memory: MappedMemory;
  readonly #script = new Map<string, readonly Prepared[]>();
  readonly #frames: MappedMemory[] = [];
  readonly #number: number;
  readonly #msize: number;
  #steps: readonly Prepared[] = [];
  #next = 0;
  /** Milliseconds at which the operation began. */
  begun = 0;

  constructor(candidate: Candidate, transport: Transport, number: number, msize: number) {
    this.#number = number;
    this.#msize = msize;
    this.#memory = MappedMemory.anonymous(2 * msize);
    const isUnix = transport === "unix";
    this.fd = check(socket(isUnix ? AF_UNIX : AF_INET, SOCK_STREAM), "make a socket");
    const address = isUnix
      ? { family: "unix", path: candidate.unix } as const
      : { family: "inet", host: "127.0.0.1", port: candidate.port } as const;
    check(connect(this.fd, address), `connect to ${candidate.name}`);
    if (!isUnix) check(setsockopt(this.fd, IPPROTO_TCP, TCP_NODELAY, 1), "set TCP_NODELAY");
    this.#ask({ kind: "Tversion", tag: NOTAG, msize, version: "9P2000.L" });
    const agreed = this.#memory.view.getUint32(7, true);
    if (agreed !== msize) {
      throw new Error(`Cannot compare: ${candidate.name} wants msize ${agreed}`);
    }
    const { aname } = candidate;
    this.#ask({ kind: "Tattach", tag, fid: ROOT_FID, afid: NOFID, uname: "", aname, n_uname: 0 });
    const wname = [`file${number}`];
    this.#ask({ kind: "Twalk", tag, fid: ROOT_FID, newfid: OPEN_FID, wname });
    this.#ask({ kind: "Tlopen", tag, fid: OPEN_FID, flags: O_RDWR });
  }

  /** Sends the first request of an operation. */
  begin(operation: string): void {
    this.#steps = this.#script.get(operation) ?? this.#prepare(operation);
    this.#next = 0;
    this.begun = performance.now();
    this.#send(this.#steps[0] as Prepared);
  }

  /** Takes an answer and sends what comes next; false at the end of the operation. */
  advance(): boolean {
    this.#take((this.#steps[this.#next] as Prepared).answer);
    this.#next++;
    const next = this.#steps[this.#next];
    if (next === undefined) return false;
    this.#send(next);
    return true;
  }

  /** Requests of an operation. */
  requests(operation: string): number {
    return (this.#script.get(operation) ?? this.#prepare(operation)).length;
  }

  /** One operation from begin to end; the answers are known to come. */
  run(operation: string): void {
    this.begin(operation);
    while (this.advance());
  }

  [Symbol.dispose](): void {
    close(this.fd);
    this.#memory[Symbol.dispose]();
    for (const frame of this.#frames) frame[Symbol.dispose]();
  }

  #prepare(operation: string): readonly Prepared[] {
    const known = OPERATIONS[operation];
    if (known === undefined) throw new Error(`Cannot measure "${operation}": it is unknown`);
    const prepared = known.steps({
      folderFid: ROOT_FID,
      fileFid: OPEN_FID,
      newFid: NEW_FID,
      newName: `new${this.#number}`,
      chunk: this.#msize - OVERHEAD,
    }).map((message) => this.#lay(message));
    this.#script.set(operation, prepared);
    return prepared;
  }

  #lay(message: TMessage): Prepared {
    const bytes = encode(message, "9P2000.L");
    const memory = MappedMemory.anonymous(bytes.length);
    this.#frames.push(memory);
    memory.bytes.set(bytes);
    const answer = TYPE[message.kind.replace("T", "R") as Message["kind"]];
    return { address: memory.address, size: bytes.length, answer };
  }

  #ask(message: TMessage): void {
    const prepared = this.#lay(message);
    this.#send(prepared);
    this.#take(prepared.answer);
  }

  #send({ address, size }: Prepared): void {
    for (let at = 0; at < size;) {
      at += check(send(this.fd, address + at, size - at, 0), "send a request");
    }
  }

  #take(answer: number): void {
    const { address, size, view, bytes } = this.#memory;
    let there = 0;
    for (let wanted = 4; there < wanted;) {
      const got = check(recv(this.fd, address + there, size - there, 0), "receive an answer");
      if (got === 0) throw new Error("Cannot go on: the server closed the connection");
      there += got;
      if (there >= 4) wanted = view.getUint32(0, true);
    }
    if (bytes[4] !== answer) {
      const code = view.getUint32(7, true);
      throw new Error(
        `Cannot go on: answer of type ${bytes[4]} instead of ${answer}, code ${code}`,
      );
    }
  }
}

/** All clients of one server by one transport. */
class Load implements Disposable {
  readonly clients: readonly Client[];
  readonly #waiting: PollSet;

  constructor(candidate: Candidate, transport: Transport, count: number, msize: number) {
    this.clients = Array.from(
      { length: count },
      (_, i) => new Client(candidate, transport, i, msize),
    );
    this.#waiting = new PollSet(count);
    this.clients.forEach((client, i) => this.#waiting.set(i, client.fd, POLLIN));
  }

  /** Carries operations out; returns the milliseconds that each took. */
  run(operation: string, count: number): Float64Array {
    const times = new Float64Array(count);
    const only = this.clients[0] as Client;
    if (this.clients.length === 1) {
      for (let i = 0; i < count; i++) {
        only.run(operation);
        times[i] = performance.now() - only.begun;
      }
      return times;
    }
    let begun = 0;
    let ended = 0;
    for (const client of this.clients) {
      if (begun++ < count) client.begin(operation);
    }
    while (ended < count) {
      const ready = poll(this.#waiting, PATIENCE_MS);
      if (ready === -EINTR) continue;
      if (ready <= 0) throw new Error(`Cannot go on: no answer for ${PATIENCE_MS} ms (${ready})`);
      for (let i = 0; i < this.clients.length; i++) {
        if (this.#waiting.revents(i) === 0) continue;
        const client = this.clients[i] as Client;
        if (client.advance()) continue;
        times[ended++] = performance.now() - client.begun;
        if (begun++ < count) client.begin(operation);
      }
    }
    return times;
  }

  [Symbol.dispose](): void {
    for (const client of this.clients) client[Symbol.dispose]();
  }
}

async function fill(folder: string, clients: number): Promise<void> {
  const bytes = new Uint8Array(FILE_BYTES).fill(7);
  for (let i = 0; i < clients; i++) await Deno.writeFile(`${folder}/file${i}`, bytes);
  await Deno.mkdir(`${folder}/folder`);
  for (let i = 0; i < ENTRIES; i++) {
    await Deno.writeTextFile(`${folder}/folder/entry-${`${i}`.padStart(4, "0")}`, "");
  }
}

async function untilListening(path: string, child: Deno.ChildProcess): Promise<void> {
  let isOver = false;
  void child.status.then(() => isOver = true);
  for (let i = 0; i < 200; i++) {
    if (isOver) throw new Error("Cannot start the server: it ended");
    try {
      if (Deno.statSync(path).isSocket) return;
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot start the server: there is no socket at ${path}`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** A process and all that it has started. */
function family(pid: number): number[] {
  const text = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim();
  const children = text === "" ? [] : text.split(" ").map(Number);
  return [pid, ...children.flatMap(family)];
}

/** Starts our server as a checkout has it. */
async function startOurs(
  name: string,
  checkout: string,
  folder: string,
  at: string,
  flags: readonly string[],
): Promise<Candidate> {
  const unix = `${at}/${name}.sock`;
  const port = freePort();
  const main = `${checkout}/cli/main.ts`;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", main, "serve", folder, "--listen", `unix://${unix}`],
      ...["--listen", `tcp://127.0.0.1:${port}`, "--log-level", "error", ...flags],
    ],
    stdout: "null",
  }).spawn();
  await untilListening(unix, child);
  return candidate(name, child, unix, port, "");
}

async function startDiod(folder: string, at: string): Promise<Candidate> {
  const unix = `${at}/diod.sock`;
  const port = freePort();
  const child = new Deno.Command("diod", {
    args: [
      ...["--foreground", "--no-auth", "--no-userdb", "--logdest", `${at}/diod.log`],
      ...["--export", folder, "--listen", unix, "--listen", `127.0.0.1:${port}`],
    ],
    env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin` },
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilListening(unix, child);
  return candidate("diod", child, unix, port, folder);
}

function candidate(
  name: string,
  child: Deno.ChildProcess,
  unix: string,
  port: number,
  aname: string,
): Candidate {
  return {
    name,
    unix,
    port,
    aname,
    get pids() {
      return family(child.pid);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** Seconds that a server has used so far. */
function used(candidate: Candidate): Pick<Usage, "user" | "system"> {
  const all = candidate.pids.map(usageOf);
  return {
    user: all.reduce((sum, { user }) => sum + user, 0),
    system: all.reduce((sum, { system }) => sum + system, 0),
  };
}

/** Everything measured of one operation, server, transport and number of clients. */
interface Cell {
  readonly operation: string;
  readonly transport: Transport;
  readonly clients: number;
  readonly server: string;
  readonly requests: number;
  /** Microseconds: the median, the 99th percentile and the maximum of each repetition. */
  readonly medians: number[];
  readonly p99s: number[];
  readonly maxima: number[];
  /** Operations per second, of each repetition. */
  readonly rates: number[];
  operations: number;
  user: number;
  system: number;
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** One repetition. */
function measure(cell: Cell, load: Load, candidate: Candidate, count: number): void {
  const before = used(candidate);
  const start = performance.now();
  const times = load.run(cell.operation, count);
  const took = performance.now() - start;
  const after = used(candidate);
  times.sort();
  cell.medians.push(quantile(times, 0.5) * 1000);
  cell.p99s.push(quantile(times, 0.99) * 1000);
  cell.maxima.push(quantile(times, 1) * 1000);
  cell.rates.push(count * 1000 / took);
  cell.operations += count;
  cell.user += after.user - before.user;
  cell.system += after.system - before.system;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      reps: { type: "string", default: "11" },
      ms: { type: "string", default: "100" },
      warm: { type: "string", default: "500" },
      ops: { type: "string", default: Object.keys(OPERATIONS).join(",") },
      transports: { type: "string", default: "unix,tcp" },
      clients: { type: "string", default: "1,8" },
      folder: { type: "string", default: "/dev/shm" },
      flag: { type: "string", multiple: true, default: [] },
      beside: { type: "string" },
      msize: { type: "string", default: `${DIOD_MSIZE}` },
      json: { type: "string" },
    },
  });
  const root = await Deno.makeTempDir({ dir: values.folder, prefix: "virtfs-sockets-" });
  const counts = values.clients.split(",").map(Number);
  const before = inspectHost();
  try {
    await Deno.mkdir(`${root}/export`);
    await fill(`${root}/export`, Math.max(...counts));
    const { flag, beside } = values;
    const here = new URL("..", import.meta.url).pathname;
    const folder = `${root}/export`;
    await using ours = await startOurs("ours", here, folder, root, flag);
    await using peer = beside === undefined
      ? await startDiod(folder, root)
      : await startOurs("peer", beside, folder, root, flag);
    const servers = [ours, peer];
    const msize = Number(values.msize);
    const cells: Cell[] = [];
    for (const transport of values.transports.split(",") as Transport[]) {
      for (const clients of counts) {
        using oursLoad = new Load(ours, transport, clients, msize);
        using peerLoad = new Load(peer, transport, clients, msize);
        const loads = [oursLoad, peerLoad];
        for (const operation of values.ops.split(",")) {
          const found = servers.map((server, i) => {
            const load = loads[i] as Load;
            const cell: Cell = {
              operation,
              transport,
              clients,
              server: server.name,
              requests: (load.clients[0] as Client).requests(operation),
              medians: [],
              p99s: [],
              maxima: [],
              rates: [],
              operations: 0,
              user: 0,
              system: 0,
            };
            return { server, load, cell, count: warm(load, operation, values) };
          });
          for (let rep = 0; rep < Number(values.reps); rep++) {
            const order = rep % 2 === 0 ? found : [...found].reverse();
            for (const { server, load, cell, count } of order) measure(cell, load, server, count);
          }
          cells.push(...found.map(({ cell }) => cell));
        }
        report(cells.filter((cell) => cell.transport === transport && cell.clients === clients));
      }
    }
    const memory = Object.fromEntries(servers.map(({ name, pids }) => [name, pids.map(memoryOf)]));
    const after = inspectHost();
    say(`load average ${before.load.join(" ")} before, ${after.load.join(" ")} after`);
    if (values.json !== undefined) {
      const result = {
        schema: "virtfs-socket-load/1",
        arguments: Deno.args,
        before,
        after,
        unit: "microseconds of one operation",
        memory,
        cells,
      };
      await Deno.writeTextFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Lets compilers and caches do their work; returns how many operations fill a repetition. */
function warm(load: Load, operation: string, values: { warm: string; ms: string }): number {
  const start = performance.now();
  let count = 8 * load.clients.length;
  for (;;) {
    const begun = performance.now();
    load.run(operation, count);
    const took = performance.now() - begun;
    const fitting = Math.max(load.clients.length, Math.round(count * Number(values.ms) / took));
    if (performance.now() - start > Number(values.warm)) return fitting;
    count = Math.min(2 * count, fitting);
  }
}

function report(cells: readonly Cell[]): void {
  const [first] = cells;
  if (first === undefined) return;
  say(
    `\n${first.transport} socket, ${first.clients} ${first.clients === 1 ? "client" : "clients"}\n`,
  );
  const rows: string[][] = [];
  for (let i = 0; i + 1 < cells.length; i += 2) {
    const [ours, peer] = [cells[i], cells[i + 1]] as [Cell, Cell];
    const turns = ours.medians.map((value, rep) => (peer.medians[rep] as number) / value);
    const perRequest = (cell: Cell) =>
      short((cell.user + cell.system) * 1e6 / (cell.operations * cell.requests));
    rows.push([
      ours.operation,
      ...[ours, peer].flatMap(({ medians, p99s, maxima }) => [
        short(median(medians)),
        short(median(p99s)),
        short(Math.max(...maxima)),
      ]),
      shown(ratioOf(peer.medians, ours.medians)),
      short(median(turns)),
      shown(ratioOf(ours.rates, peer.rates)),
      perRequest(ours),
      perRequest(peer),
    ]);
  }
  const peer = cells[1]?.server ?? "";
  say(table([
    "operation, µs",
    ...["ours", "p99", "max", peer, "p99", "max"],
    ...[`${peer}/ours`, "by turn", "rate", "CPU/request, ours", peer],
  ], rows));
}

if (import.meta.main) await main();
