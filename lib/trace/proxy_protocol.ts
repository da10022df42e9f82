/**
 * What the main thread says to the thread of a proxy, and it to that.
 *
 * @module
 */
import type { DialAddress } from "../transport/mod.ts";
import type { RingHandle } from "./collector.ts";

/** A server that a proxy can be in front of: one at a socket, or a virtio device. */
export type ProxyTarget =
  | DialAddress
  | { readonly kind: "vhost-user"; readonly path: string };

/** All that the thread is told; after it there is only the end. */
export interface ProxyStart {
  /** Its one word is 1 once the thread, which is then woken, is to end. */
  readonly ending: Int32Array<SharedArrayBuffer>;
  /** Listening sockets. */
  readonly listeners: readonly number[];
  /** Listening sockets of devices. */
  readonly devices: readonly number[];
  /** Mount tag of the devices; that of the device behind them if it is null. */
  readonly tag: string | null;
  /** Rules of what is to go wrong. */
  readonly inject: readonly string[];
  /** The server behind it. */
  readonly to: ProxyTarget;
  /** Where its records go. */
  readonly ring: RingHandle;
  /** Bytes of what is read and written that are kept of each message. */
  readonly payload: number;
  /** Connections at once. */
  readonly maxConnections: number;
}

/** From the thread. */
export type FromProxy =
  | { readonly kind: "ready"; readonly wakeFd: number }
  | { readonly kind: "warn"; readonly message: string }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "ended" };
