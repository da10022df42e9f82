/**
 * A serving thread: sockets, sessions and trees of its own, one loop.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { close } from "../linux/mod.ts";
import { peerOf, StreamTransport } from "../transport/mod.ts";
import { type Common, type FromWorker, SHARED, takeSocket, type ToWorker } from "./protocol.ts";
import { Serving, type Surroundings } from "./serving.ts";
import { Repeated } from "./repeated.ts";
import { tap, type Tapped } from "./tapped.ts";
import { DEFAULT_HANDSHAKE_MS, type ServeConfiguration } from "./types.ts";

function tell(message: FromWorker): void {
  self.postMessage(message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function around(common: Common): Surroundings {
  return {
    devices: (path) => common.devices.get(path),
    lockDirectory: common.lockDirectory,
    descriptors: common.descriptors,
    maxHelpers: common.maxHelpers,
    memory: common.memory,
    log: (event) => tell({ kind: "log", event }),
    startHelper: (memory) => tell({ kind: "helper", memory }),
  };
}

/** What the log says of connections that were ended for the sake of others. */
const EVICTIONS = {
  memory: "Closed connections that stood still while memory for requests and replies was short",
  silent: "Closed connections that had sent nothing since they began",
  failure: "Closed connections that there was no memory for",
} as const;

/** What runs in the thread. */
class Thread {
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #serving: Serving;
  readonly #transport: StreamTransport;
  readonly #tapped: Tapped | null;
  #messagesSeen = 1;
  #isDraining = false;

  constructor(
    configuration: ServeConfiguration,
    shared: Int32Array<SharedArrayBuffer>,
    common: Common,
    tapped: Tapped | null,
  ) {
    this.#shared = shared;
    const evictions = new Repeated("warn", (event) => tell({ kind: "log", event }));
    this.#serving = new Serving(configuration, around(common));
    const { accept } = this.#serving.server;
    this.#tapped = tapped;
    this.#transport = new StreamTransport(this.#serving.reactor, {
      accept: tapped === null ? accept : tapped.through(accept),
      maxMessage: configuration.msize,
      idleTimeoutMs: configuration.idleTimeoutMs,
      handshakeTimeoutMs: configuration.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_MS,
      maxBuffers: common.memory.buffers,
      onEvict: ({ address }, why) => evictions.tell(`${EVICTIONS[why]}, such as ${address}`),
      onClose: () => Atomics.sub(shared, SHARED.CONNECTIONS, 1),
    });
    this.#serving.reactor.onWake = () => this.#woken();
  }

  /** The descriptor that wakes the thread. */
  get wakeFd(): number {
    return this.#serving.reactor.wakeFd;
  }

  /** Runs until told to stop. */
  async run(): Promise<void> {
    await this.#serving.run();
    this.#transport.close();
    await this.#serving.settled();
    this.#serving[Symbol.dispose]();
    this.#tapped?.[Symbol.dispose]();
  }

  /** Takes a message from the main thread. */
  receive(message: ToWorker): void {
    this.#messagesSeen++;
    switch (message.kind) {
      case "statistics":
        tell({ kind: "statistics", id: message.id, counts: this.#serving.counts() });
        break;
      case "reload":
        try {
          this.#serving.reload(message.configuration, around(message.common));
          tell({ kind: "reloaded", id: message.id });
        } catch (error) {
          tell({ kind: "reloaded", id: message.id, error: messageOf(error) });
        }
        break;
      case "drain":
        this.#isDraining = true;
        this.#refuseAll();
        void this.#transport.drain().then(() => tell({ kind: "drained" }));
        break;
      case "stop":
        this.#isDraining = true;
        this.#refuseAll();
        this.#serving.reactor.stop();
        break;
      case "start":
        break;
    }
  }

  /** Something is in the mailbox, or a message is on its way. */
  async #woken(): Promise<void> {
    if (this.#isDraining) this.#refuseAll();
    for (let fd = takeSocket(this.#shared); fd >= 0; fd = takeSocket(this.#shared)) {
      try {
        this.#transport.adopt(fd, peerOf(fd));
      } catch (error) {
        // The kernel has no room for it: the thread goes on with those that it has.
        tell({
          kind: "log",
          event: { level: "warn", message: `Cannot take a connection: ${messageOf(error)}` },
        });
      }
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
}

let thread: Thread | null = null;

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind !== "start") {
    thread?.receive(data);
    return;
  }
  try {
    thread = new Thread(data.configuration, data.shared, data.common, await tap(data.trace));
  } catch (error) {
    tell({ kind: "failed", message: messageOf(error) });
    self.close();
    return;
  }
  tell({ kind: "ready", wakeFd: thread.wakeFd });
  thread.run().then(
    () => tell({ kind: "ended" }),
    (error) => tell({ kind: "failed", message: messageOf(error) }),
  ).finally(() => self.close());
};
