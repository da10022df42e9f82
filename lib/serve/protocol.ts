/**
 * What the main thread says to serving threads and to the processes of devices, and they to it.
 *
 * A serving thread sleeps in a system call, where messages do not reach it. So the main thread
 * counts each message in shared memory and then writes to the thread's eventfd; the thread lets its
 * event loop run until it has seen that many messages.
 *
 * @module
 */
import type { DescriptorOptions } from "../fs/mod.ts";
import type { RingHandle } from "../trace/mod.ts";
import type { MemoryPlan } from "./budget.ts";
import type { DeviceConfiguration, LogEvent, ServeConfiguration } from "./types.ts";

/** Layout of the memory shared with a serving thread, in 32-bit words. */
export const SHARED = {
  /** Messages that the main thread has sent. */
  MESSAGES: 0,
  /** Connections that the thread serves. */
  CONNECTIONS: 1,
  /** Sockets put in the mailbox so far. */
  PUT: 2,
  /** Sockets taken out of it so far. */
  TAKEN: 3,
  /** Descriptors of accepted sockets, a ring. */
  MAILBOX: 4,
} as const;

/** Sockets that fit in a mailbox: a power of two, so that the counts may wrap. */
export const MAILBOX_SIZE = 256;

/** Makes the memory that is shared with one serving thread. */
export function makeShared(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4 * (SHARED.MAILBOX + MAILBOX_SIZE)));
}

/** Whether there is room for one more socket in the mailbox. */
export function hasSocketRoom(shared: Int32Array<SharedArrayBuffer>): boolean {
  const waiting = Atomics.load(shared, SHARED.PUT) - Atomics.load(shared, SHARED.TAKEN);
  return (waiting | 0) < MAILBOX_SIZE;
}

/** Puts a socket in the mailbox. Returns false if there is no room. */
export function putSocket(shared: Int32Array<SharedArrayBuffer>, fd: number): boolean {
  if (!hasSocketRoom(shared)) return false;
  const put = Atomics.load(shared, SHARED.PUT);
  Atomics.store(shared, SHARED.MAILBOX + (put & (MAILBOX_SIZE - 1)), fd);
  Atomics.store(shared, SHARED.PUT, (put + 1) | 0);
  return true;
}

/** Takes the next socket out of the mailbox, or -1 if it is empty. */
export function takeSocket(shared: Int32Array<SharedArrayBuffer>): number {
  const taken = Atomics.load(shared, SHARED.TAKEN);
  if (taken === Atomics.load(shared, SHARED.PUT)) return -1;
  const fd = Atomics.load(shared, SHARED.MAILBOX + (taken & (MAILBOX_SIZE - 1)));
  Atomics.store(shared, SHARED.TAKEN, (taken + 1) | 0);
  return fd;
}

/** Memory and places that all serving threads share. */
export interface Common {
  /** Tables of devices by path of the export, so that all threads tell clients the same numbers. */
  readonly devices: ReadonlyMap<string, SharedArrayBuffer>;
  /** Folder for the locks on files that cannot be opened for writing. */
  readonly lockDirectory: string;
  /** Descriptors that the trees of one thread may have. */
  readonly descriptors: DescriptorOptions;
  /** Most helpers of one thread. */
  readonly maxHelpers: number;
  /** Memory that the clients of one thread may fill. */
  readonly memory: MemoryPlan;
}

/** Where a thread or process puts what it observes. */
export interface TraceTarget {
  /** The ring; its descriptors are those of the receiver. */
  readonly ring: RingHandle;
  /** Bytes of what is read and written that are kept of each message. */
  readonly payload: number;
}

/** From the main thread. */
export type ToWorker =
  | {
    readonly kind: "start";
    readonly configuration: ServeConfiguration;
    readonly shared: Int32Array<SharedArrayBuffer>;
    readonly common: Common;
    readonly trace?: TraceTarget;
  }
  | {
    readonly kind: "reload";
    readonly id: number;
    readonly configuration: ServeConfiguration;
    readonly common: Common;
  }
  | { readonly kind: "statistics"; readonly id: number }
  | { readonly kind: "drain" }
  | { readonly kind: "stop" };

/** What one thread or process has counted: plain data, for messages and for JSON. */
export interface ThreadCounts {
  /** Requests by number of the T-message. */
  readonly requests: Readonly<Record<number, number>>;
  /** Failures by number of the T-message. */
  readonly failures: Readonly<Record<number, number>>;
  /** Errors answered, by number. */
  readonly errnos: Readonly<Record<number, number>>;
  /** All other counts, by what they are. */
  readonly totals: Readonly<Record<Total, number>>;
}

/** Names of the counts that are one number. */
export type Total =
  | "connections"
  | "attachesDenied"
  | "fids"
  | "inflight"
  | "bytesIn"
  | "bytesOut"
  | "bytesRead"
  | "bytesWritten"
  | "malformed"
  | "nodes"
  | "files"
  | "locks"
  | "kicks"
  | "calls";

/** To the process of a device, a line of JSON each. */
export type ToDevice =
  | {
    readonly kind: "start";
    readonly configuration: ServeConfiguration;
    readonly device: DeviceConfiguration;
    /** The listening socket, inherited. */
    readonly fd: number;
    readonly lockDirectory: string;
    readonly descriptors: DescriptorOptions;
    readonly maxHelpers: number;
    readonly memory: MemoryPlan;
    readonly rehearses: boolean;
    readonly trace?: TraceTarget;
  }
  | { readonly kind: "reload"; readonly id: number; readonly configuration: ServeConfiguration }
  | { readonly kind: "statistics"; readonly id: number }
  | { readonly kind: "stop" };

/** From a serving thread or the process of a device. */
export type FromWorker =
  | { readonly kind: "ready"; readonly wakeFd: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "reloaded"; readonly id: number; readonly error?: string }
  | { readonly kind: "statistics"; readonly id: number; readonly counts: ThreadCounts }
  | { readonly kind: "log"; readonly event: LogEvent }
  /** A serving thread wants a helper, which others start more quickly. */
  | { readonly kind: "helper"; readonly memory: SharedArrayBuffer }
  | { readonly kind: "drained" }
  | { readonly kind: "ended" };
