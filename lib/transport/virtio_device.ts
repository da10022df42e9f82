/**
 * A virtio 9P device for virtual machine monitors that speak vhost-user.
 *
 * @module
 */
import { EPOLLIN } from "../linux/mod.ts";
import type { Segments } from "../p9/mod.ts";
import {
  type VhostQueue,
  VhostUserBackend,
  type VhostUserDevice,
  type VhostUserError,
} from "../vhost/mod.ts";
import {
  encodeConfig,
  FAULTS,
  featureWord,
  VIRTIO_9P_MOUNT_TAG,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../virtio/mod.ts";
import type { Accept } from "./exchange.ts";
import { acceptFrom, type Listener } from "./listen.ts";
import type { Reactor } from "./reactor.ts";
import { VirtqueueTransport } from "./virtqueue.ts";

/** What a device tells of itself. */
export interface DeviceEvent {
  /** How grave it is. */
  readonly level: "warn" | "info" | "debug";
  /** One line without a period. */
  readonly message: string;
  /** Which device. */
  readonly fields: { readonly tag: string };
}

const FEATURES = featureWord(
  VIRTIO_9P_MOUNT_TAG,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
);

/** What a {@linkcode VirtioDevice} is made of. */
export interface VirtioDeviceOptions {
  /** The loop it lives on. */
  readonly reactor: Reactor;
  /** Makes the session. */
  readonly accept: Accept;
  /** Where the monitor connects. */
  readonly listener: Listener;
  /** Mount tag. */
  readonly tag: string;
  /** Takes what is worth telling. */
  readonly log: (event: DeviceEvent) => void;
  /** Whether {@linkcode VirtioDevice.offered} is wanted; false if not given. */
  readonly timesKicks?: boolean;
}

/** What went over the device's queue, over all connections. */
export interface VirtioDeviceCounts {
  /** Kicks received. */
  readonly kicks: number;
  /** Calls made. */
  readonly calls: number;
  /** Whether a monitor is connected. */
  readonly isConnected: boolean;
}

/** One device: serves one monitor at a time, and the next one after it. */
export class VirtioDevice {
  readonly #options: VirtioDeviceOptions;
  #connection: DeviceConnection | null = null;
  #kicks = 0;
  #calls = 0;

  /** Listens. */
  constructor(options: VirtioDeviceOptions) {
    this.#options = options;
    this.#listen();
  }

  /**
   * When the chain that is being taken is known to have been offered, by `monotonicMicros`; 0 if
   * that is not known.
   */
  get offered(): number {
    return this.#connection?.transport.offered ?? 0;
  }

  /** What went over the queue so far. */
  get counts(): VirtioDeviceCounts {
    const now = this.#connection?.transport.counts;
    return {
      kicks: this.#kicks + (now?.kicks ?? 0),
      calls: this.#calls + (now?.calls ?? 0),
      isConnected: this.#connection !== null,
    };
  }

  /** Ends the connection and listens no more. The listener stays its owner's. */
  async close(): Promise<void> {
    const connection = this.#connection;
    if (connection === null) this.#options.reactor.unwatch(this.#options.listener.fd);
    this.#listen = () => {};
    await connection?.backend.close();
  }

  /** While a monitor is connected others wait: a device belongs to one machine. */
  #listen = (): void => {
    const { reactor, listener } = this.#options;
    reactor.watch(listener.fd, EPOLLIN, () => {
      const fd = acceptFrom(listener);
      if (fd < 0) return;
      reactor.unwatch(listener.fd);
      this.#connect(fd);
    });
  };

  #connect(fd: number): void {
    this.#connection = new DeviceConnection(fd, this.#options, () => {
      const { transport } = this.#connection as DeviceConnection;
      this.#kicks += transport.counts.kicks;
      this.#calls += transport.counts.calls;
      this.#connection = null;
      this.#listen();
    });
    const { log, tag } = this.#options;
    log({ level: "info", message: "a virtual machine is there", fields: { tag } });
  }
}

/** One monitor: back-end, queue and session. */
class DeviceConnection implements VhostUserDevice<Segments> {
  readonly features = FEATURES;
  readonly config: Uint8Array;
  readonly transport: VirtqueueTransport;
  readonly backend: VhostUserBackend<Segments>;
  readonly #options: VirtioDeviceOptions;
  readonly #ended: () => void;
  /** Faults that were told of. */
  readonly #told = new Set<string>();
  #queue: VhostQueue<Segments> | null = null;

  constructor(fd: number, options: VirtioDeviceOptions, ended: () => void) {
    this.#options = options;
    this.#ended = ended;
    this.config = encodeConfig(options.tag);
    this.transport = new VirtqueueTransport({
      accept: options.accept,
      call: () => this.#queue?.call(),
      timesKicks: options.timesKicks ?? false,
      peer: { address: `virtio://${options.tag}` },
      later: (run) => void options.reactor.after(0, run),
      onFault: (fault, head) => {
        if (FAULTS[fault].effect === "queue") this.#queue?.signalError();
        this.#warnOnce(fault, `the guest broke a rule of the virtqueue: ${fault} at head ${head}`);
      },
    });
    options.reactor.use(this.transport);
    this.backend = new VhostUserBackend(fd, options.reactor, this);
    options.reactor.use(this.backend);
  }

  newRing(): VirtqueueTransport["ring"] {
    return this.transport.ring;
  }

  onQueueReady(queue: VhostQueue<Segments>): void {
    this.#queue = queue;
    this.transport.ready();
  }

  onKick(): void {
    this.transport.kicked();
  }

  onQueueStop(): void | Promise<void> {
    return this.transport.quiesce();
  }

  onClose(error?: Error): void {
    const { reactor } = this.#options;
    reactor.unuse(this.transport);
    reactor.unuse(this.backend);
    this.transport.close();
    if (error === undefined) this.#log("info", "the virtual machine has left");
    else this.#log("warn", `the connection to the virtual machine ended: ${error.message}`);
    this.#ended();
  }

  onWarning(warning: VhostUserError): void {
    const { fault, request, message } = warning;
    this.#warnOnce(`${fault} ${request}`, message);
  }

  onMessage(line: string): void {
    this.#log("debug", `vhost-user: ${line}`);
  }

  /** A guest or a monitor that goes on like that must not fill the log. */
  #warnOnce(what: string, message: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    this.#log("warn", message);
  }

  #log(level: DeviceEvent["level"], message: string): void {
    this.#options.log({ level, message, fields: { tag: this.#options.tag } });
  }
}
