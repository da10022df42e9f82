/**
 * The process of one virtio device. A guest that shares its memory can take this process down, by
 * making the file behind that memory smaller; so nothing else lives here.
 *
 * Started with a listening socket, told what to do by lines of JSON on standard input, tells by
 * lines of JSON on standard output. Ends when told to, or when whoever started it is gone.
 *
 * @module
 */
import {
  EAGAIN,
  EPOLLIN,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  fcntl,
  FD_CLOEXEC,
  ignoreSignal,
  MappedMemory,
  O_NONBLOCK,
  read,
  SIGINT,
  SIGTERM,
  SIGUSR1,
  SIGXFSZ,
  umask,
} from "../linux/mod.ts";
import { Bridge, type Listener, VirtioDevice } from "../transport/mod.ts";
import type { FromWorker, ThreadCounts, ToDevice } from "./protocol.ts";
import { byIndex, Serving, type Surroundings } from "./serving.ts";
import { tap, type Tapped } from "./tapped.ts";
import type { ServeConfiguration } from "./types.ts";

const STDIN = 0;
const INPUT_BYTES = 65_536;

const encoder = new TextEncoder();

function tell(message: FromWorker): void {
  const line = encoder.encode(JSON.stringify(message) + "\n");
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The device and what it serves with. */
class Process {
  readonly #serving: Serving;
  readonly #device: VirtioDevice;
  readonly #bridge: Bridge | null;
  readonly #around: Surroundings;
  readonly #tapped: Tapped | null;

  constructor(start: Extract<ToDevice, { readonly kind: "start" }>, tapped: Tapped | null) {
    const { configuration, device, fd, lockDirectory, descriptors, maxHelpers, memory } = start;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    const around: Surroundings = {
      devices: () => undefined,
      lockDirectory,
      descriptors,
      maxHelpers,
      memory,
      log: (event) => tell({ kind: "log", event }),
    };
    this.#bridge = null;
    if (device.to === undefined) {
      this.#serving = new Serving(configuration, around, device.export);
    } else {
      // The loop alone: what the other server shows is not ours.
      this.#serving = new Serving({ ...configuration, exports: [] }, around);
      this.#bridge = new Bridge({
        reactor: this.#serving.reactor,
        to: device.to,
        msize: configuration.msize,
        maxInflight: configuration.maxInflight,
        warn: (message) => around.log({ level: "warn", message, fields: { tag: device.tag } }),
      });
    }
    const listener: Listener = {
      address: "",
      fd,
      isConnection: false,
      [Symbol.dispose]: () => {},
    };
    const { accept } = this.#bridge ?? this.#serving.server;
    this.#tapped = tapped;
    this.#device = new VirtioDevice({
      reactor: this.#serving.reactor,
      accept: tapped === null ? accept : tapped.through(accept, () => this.#device.offered),
      listener,
      tag: device.tag,
      log: around.log,
      timesKicks: tapped !== null,
    });
    this.#around = around;
  }

  get reactor(): Serving["reactor"] {
    return this.#serving.reactor;
  }

  /** Has V8 compile what guests will use. */
  async rehearse(): Promise<void> {
    if (this.#bridge !== null) return;
    try {
      await this.#serving.rehearse();
    } catch (error) {
      const message = `the first requests will be slow: ${messageOf(error)}`;
      this.#around.log({ level: "debug", message });
    }
  }

  async run(): Promise<void> {
    await this.#serving.run();
    this.#bridge?.[Symbol.dispose]();
    await this.#serving.settled();
    this.#serving[Symbol.dispose]();
    this.#tapped?.[Symbol.dispose]();
  }

  receive(message: ToDevice): void {
    switch (message.kind) {
      case "statistics":
        tell({ kind: "statistics", id: message.id, counts: this.#counts() });
        break;
      case "reload":
        try {
          this.#reload(message.configuration);
          tell({ kind: "reloaded", id: message.id });
        } catch (error) {
          tell({ kind: "reloaded", id: message.id, error: messageOf(error) });
        }
        break;
      case "stop":
        this.stop();
        break;
      case "start":
        break;
    }
  }

  #counts(): ThreadCounts {
    const { kicks, calls } = this.#device.counts;
    if (this.#bridge === null) return this.#serving.counts({ kicks, calls });
    const { requests, failures, errnos, sessions, ...totals } = this.#bridge.counts;
    return {
      ...this.#serving.counts({ kicks, calls, connections: sessions, ...totals }),
      requests: byIndex(requests),
      failures: byIndex(failures),
      errnos: Object.fromEntries(errnos),
    };
  }

  #reload(configuration: ServeConfiguration): void {
    // A bridge has nothing that a running server could change.
    if (this.#bridge === null) this.#serving.reload(configuration, this.#around);
  }

  stop(): void {
    const { reactor } = this.#serving;
    // Nothing else may ever happen on the loop: it must not sleep before the promise is settled.
    reactor.use({ needsEventLoop: true, hasPromises: true });
    void this.#device.close().then(() => reactor.stop());
  }
}

/** Lines that come on standard input, whenever there are some. */
class Lines {
  readonly #memory = MappedMemory.anonymous(INPUT_BYTES);
  #text = "";
  readonly #decoder = new TextDecoder();

  /** Reads what is there. Returns null at the end. */
  take(): string[] | null {
    const count = read(STDIN, this.#memory.address, INPUT_BYTES);
    if (count === -EAGAIN) return [];
    if (count <= 0) return null;
    this.#text += this.#decoder.decode(this.#memory.bytes.subarray(0, count), { stream: true });
    const lines = this.#text.split("\n");
    this.#text = lines.pop() ?? "";
    return lines;
  }
}

/** Waits for the first line, which says what to be. */
function firstMessage(lines: Lines): [ToDevice, string[]] | null {
  for (;;) {
    const [first, ...rest] = lines.take() ?? ["end"];
    if (first === "end") return null;
    if (first !== undefined) return [JSON.parse(first) as ToDevice, rest];
  }
}

/**
 * Has Deno make what it watches signals with, two descriptors and a thread. By itself it does so
 * whenever its event loop first has nothing to do, which may be long after a guest came.
 */
function settleSignals(): void {
  const nothing = (): void => {};
  Deno.addSignalListener("SIGWINCH", nothing);
  Deno.removeSignalListener("SIGWINCH", nothing);
}

async function main(): Promise<void> {
  // Whoever started us decides when we end: Ctrl-C and systemd signal the whole group.
  ignoreSignal(SIGINT);
  ignoreSignal(SIGTERM);
  ignoreSignal(SIGUSR1);
  ignoreSignal(SIGXFSZ);
  umask(0);
  settleSignals();
  const lines = new Lines();
  const first = firstMessage(lines);
  if (first === null || first[0].kind !== "start") return;
  let process: Process;
  try {
    process = new Process(first[0], await tap(first[0].trace));
  } catch (error) {
    tell({ kind: "failed", message: messageOf(error) });
    return;
  }
  if (first[0].rehearses) await process.rehearse();
  fcntl(STDIN, F_SETFL, fcntl(STDIN, F_GETFL, 0) | O_NONBLOCK);
  const listen = (found: string[] | null): void => {
    if (found === null) {
      process.reactor.unwatch(STDIN);
      process.stop();
      return;
    }
    for (const line of found) process.receive(JSON.parse(line) as ToDevice);
  };
  process.reactor.watch(STDIN, EPOLLIN, () => listen(lines.take()));
  listen(first[1]);
  tell({ kind: "ready", wakeFd: -1 });
  await process.run();
  tell({ kind: "ended" });
}

await main();
// A helper that hangs in a call, for ever perhaps, would keep the process.
// deno-lint-ignore layers/exit
Deno.exit(0);
