/**
 * What it costs to be watched: the proxy against socat and against no one in between, and
 * `serve --trace` against `serve`.
 *
 * The client is one thread with blocking calls: first one request out at a time (what a small request
 * and a read of 64 KiB take), then eight reads of 64 KiB at a time (bytes per second). All ways take
 * turns in every repetition.
 *
 * ```sh
 * deno run -A bench/trace_live.ts --reps 7
 * ```
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  AF_INET,
  check,
  close,
  connect,
  IPPROTO_TCP,
  MappedMemory,
  monotonicMicros,
  recv,
  send,
  setsockopt,
  SOCK_STREAM,
  socket,
  TCP_NODELAY,
} from "../lib/linux/mod.ts";
import { encode, NOFID, NOTAG, type TMessage } from "../lib/p9/mod.ts";
import { startServer } from "../lib/serve/mod.ts";
import { type Observer, PcapngFile, startProxy } from "../lib/trace/mod.ts";
import { median } from "../lib/bench/statistics.ts";
import { say } from "./host.ts";

const MSIZE = 131_096;
const CHUNK = 65_536;
const FILE_BYTES = 64 * CHUNK;
/** Requests out at a time where bytes per second are measured. */
const DEPTH = 8;

/** Another process of this program, which says where it listens. */
async function start(role: string, ...words: string[]): Promise<Part> {
  return await started(Deno.execPath(), [
    "run",
    "-A",
    "--no-check",
    new URL(import.meta.url).pathname,
    "--role",
    role,
    ...words,
  ]);
}

interface Part extends AsyncDisposable {
  readonly port: number;
}

async function started(program: string, args: string[]): Promise<Part> {
  const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return {
    port: Number(value),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await reader.cancel();
      await child.status;
    },
  };
}

async function socat(to: number): Promise<Part> {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const args = [
    `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr,fork,nodelay`,
    `TCP:127.0.0.1:${to},nodelay`,
  ];
  const child = new Deno.Command("socat", { args }).spawn();
  await new Promise((resolve) => setTimeout(resolve, 300));
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
}

/** Runs as one of the parts, until standard input ends. */
async function play(role: string, words: { to?: string; folder?: string }): Promise<void> {
  const listen = [{ kind: "tcp", host: "127.0.0.1", port: 0 }] as const;
  let frames = 0;
  // As the command has it: the proxy is looked on by somebody, the server writes a capture.
  using capture = role === "traced"
    ? Deno.openSync(`${words.folder}.pcapng`, { write: true, create: true, truncate: true })
    : null;
  const observer: Observer = capture === null
    ? { frame: () => void frames++ }
    : new PcapngFile({ write: (bytes) => writeAll(capture, bytes), application: "bench" });
  const part = role === "proxy"
    ? await startProxy({
      listen,
      to: { kind: "tcp", host: "127.0.0.1", port: Number(words.to) },
      observer,
      payload: 0,
    })
    : await startServer({
      listen,
      devices: [],
      exports: [{
        name: "",
        path: words.folder ?? "",
        readOnly: true,
        securityModel: "none",
        multidevs: "remap",
      }],
      msize: MSIZE,
      workers: 1,
      maxConnections: 16,
      maxFids: 1000,
      maxInflight: 64,
      idleTimeoutMs: 0,
      disable: [],
    }, { log: () => {}, ...(role === "traced" ? { trace: { observer, payload: 0 } } : {}) });
  say(part.addresses[0]?.split(":").pop() ?? "");
  for await (const _ of Deno.stdin.readable);
  await part.stop(0);
}

/** One connection, one request after the other. */
class Client implements Disposable {
  readonly #fd: number;
  readonly #out = MappedMemory.anonymous(1 << 16);
  readonly #in = MappedMemory.anonymous(1 << 20);

  constructor(port: number) {
    this.#fd = check(socket(AF_INET, SOCK_STREAM, 0), "make a socket");
    check(connect(this.#fd, { family: "inet", host: "127.0.0.1", port }), "connect");
    setsockopt(this.#fd, IPPROTO_TCP, TCP_NODELAY, 1);
    this.ask({ kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" });
    const who = { afid: NOFID, uname: "", aname: "", n_uname: 0 };
    this.ask({ kind: "Tattach", tag: 1, fid: 0, ...who });
    this.ask({ kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["file"] });
    this.ask({ kind: "Tlopen", tag: 1, fid: 1, flags: 0 });
  }

  ask(message: TMessage): void {
    this.#send(encode(message, "9P2000.L"));
    this.#receive(1);
  }

  /** Microseconds per request of a kind, of so many. */
  each(message: TMessage, count: number): number {
    const frame = encode(message, "9P2000.L");
    const began = monotonicMicros();
    for (let i = 0; i < count; i++) {
      this.#send(frame);
      this.#receive(1);
    }
    return (monotonicMicros() - began) / count;
  }

  /** Bytes per microsecond, that is megabytes per second. */
  stream(count: number): number {
    const began = monotonicMicros();
    for (let i = 0; i < count; i += DEPTH) {
      for (let tag = 0; tag < DEPTH; tag++) {
        this.#send(encode(read(tag, BigInt((i + tag) % 64 * CHUNK)), "9P2000.L"));
      }
      this.#receive(DEPTH);
    }
    return count * CHUNK / (monotonicMicros() - began);
  }

  #send(frame: Uint8Array): void {
    this.#out.bytes.set(frame);
    check(send(this.#fd, this.#out.address, frame.length, 0), "send");
  }

  /** Takes whole replies. */
  #receive(count: number): void {
    let have = 0;
    let at = 0;
    for (let left = count; left > 0;) {
      if (have - at >= 4 && have - at >= this.#in.view.getUint32(at, true)) {
        if (this.#in.bytes[at + 4] === 7) throw new Error("Cannot measure: an error came");
        at += this.#in.view.getUint32(at, true);
        left--;
        continue;
      }
      const n = recv(this.#fd, this.#in.address + have, this.#in.size - have, 0);
      if (n <= 0) throw new Error("Cannot measure: the connection ended");
      have += n;
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    this.#in[Symbol.dispose]();
    this.#out[Symbol.dispose]();
  }
}

function read(tag: number, offset: bigint): TMessage {
  return { kind: "Tread", tag, fid: 1, offset, count: CHUNK };
}

async function measure(reps: number): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.writeFile(`${folder}/file`, new Uint8Array(FILE_BYTES).fill(1));
  {
    await using server = await start("server", "--folder", folder);
    await using traced = await start("traced", "--folder", folder);
    await using proxy = await start("proxy", "--to", String(server.port));
    await using relay = await socat(server.port);
    const ways = { direct: server, socat: relay, proxy, "serve --trace": traced };
    const clients = Object.entries(ways).map(([name, { port }]) => ({
      name,
      client: new Client(port),
      small: [] as number[],
      large: [] as number[],
      rate: [] as number[],
    }));
    const getattr: TMessage = { kind: "Tgetattr", tag: 1, fid: 0, request_mask: 0x7ffn };
    for (let rep = -1; rep < reps; rep++) {
      for (const { client, small, large, rate } of clients) {
        const found = [client.each(getattr, 3000), client.each(read(1, 0n), 1500)] as const;
        const bytes = client.stream(2400);
        // The first time is for compilers.
        if (rep < 0) continue;
        small.push(found[0]);
        large.push(found[1]);
        rate.push(bytes);
      }
    }
    say("| way | getattr, µs | read 64 KiB, µs | 8 reads of 64 KiB at a time, MB/s |");
    say("| --- | ---: | ---: | ---: |");
    for (const { name, client, small, large, rate } of clients) {
      const cells = [median(small).toFixed(1), median(large).toFixed(1), median(rate).toFixed(0)];
      say(`| ${name} | ${cells.join(" | ")} |`);
      client[Symbol.dispose]();
    }
  }
  await Deno.remove(folder, { recursive: true });
  await Deno.remove(`${folder}.pcapng`);
}

const { values } = parseArgs({
  options: {
    reps: { type: "string", default: "7" },
    role: { type: "string" },
    to: { type: "string" },
    folder: { type: "string" },
  },
});
if (values.role === undefined) await measure(Number(values.reps));
else await play(values.role, values);
