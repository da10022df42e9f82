/**
 * What the main thread says to the thread of a proxy, and it to that.
 *
 * @module
 */
import type { DialAddress } from "../transport/mod.ts";
import type { RingHandle } from "./collector.ts";

/** All that the thread is told; after it there is only the end. */
export interface ProxyStart {
  /** Listening sockets. */
  readonly listeners: readonly number[];
  /** The server behind it. */
  readonly to: DialAddress;
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
