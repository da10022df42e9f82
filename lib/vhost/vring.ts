/** One queue as the front-end has set it up so far. */

import { close, eventfdWrite, F_GETFL, F_SETFL, fcntl, type Fd, O_NONBLOCK } from "../linux/mod.ts";
import type { PieceList, QueueAreas, Virtqueue } from "../virtio/mod.ts";
import { VhostUserError } from "./errors.ts";
import type { RequestPayload } from "./messages.ts";
import { guestAddressOf, type MappedRegion } from "./regions.ts";
import type { RequestName } from "./requests.ts";

/** A queue of the device, as the device sees it. */
export interface VhostQueue<P extends PieceList> {
  /** Number of the queue. */
  readonly index: number;
  /** Its ring, set up while the queue runs. */
  readonly ring: Virtqueue<P>;
  /** Virtio features that driver and device agreed on. */
  readonly features: bigint;
  /** Whether the device may take chains: from `onQueueReady` until `onQueueStop`. */
  readonly isRunning: boolean;
  /**
   * Notify the driver. Ask the ring before whether the driver wants that; without a descriptor for
   * it, as with a driver that polls, this does nothing.
   */
  call(): void;
  /** Tell the front-end that the queue is broken. */
  signalError(): void;
}

/** Where the parts of a queue are, as `SET_VRING_ADDR` says. */
export type VringAddresses = RequestPayload<"SET_VRING_ADDR">;

/** The state behind a {@linkcode VhostQueue}. Owns the descriptors. */
export class Vring<P extends PieceList> implements VhostQueue<P>, Disposable {
  readonly index: number;
  readonly ring: Virtqueue<P>;
  features = 0n;
  isRunning = false;
  /** Descriptors of the ring; 0 until it is set. */
  size = 0;
  /** Next index of the available ring, while the queue does not run. */
  base = 0;
  addresses: VringAddresses | undefined;
  /** What the front-end said; undefined until it does. */
  isEnabled: boolean | undefined;
  /** Whether the queue is looked at from time to time, as there is no kick descriptor. */
  isPolled = false;
  /** Ends the watching of kicks; undefined while there is none. */
  unwatch: (() => void) | undefined;
  #kick: Fd | undefined;
  #call = -1;
  #error = -1;

  constructor(index: number, ring: Virtqueue<P>) {
    this.index = index;
    this.ring = ring;
  }

  /** What the driver kicks by, borrowed. */
  get kick(): Fd | undefined {
    return this.#kick;
  }

  /** Set what the driver kicks by; it must not be watched meanwhile. */
  setKick(fd: Fd | undefined): void {
    if (fd !== undefined) setNonblocking(fd.number);
    this.#kick?.[Symbol.dispose]();
    this.#kick = fd;
  }

  /** Set what `call` writes to. */
  setCall(fd: Fd | undefined): void {
    if (this.#call >= 0) close(this.#call);
    this.#call = takeNonblocking(fd);
  }

  /** Set what `signalError` writes to. */
  setError(fd: Fd | undefined): void {
    if (this.#error >= 0) close(this.#error);
    this.#error = takeNonblocking(fd);
  }

  // A full eventfd or pipe has a notification in it already; any other failure is the peer's.
  call(): void {
    if (this.#call >= 0) eventfdWrite(this.#call, 1);
  }

  signalError(): void {
    if (this.#error >= 0) eventfdWrite(this.#error, 1);
  }

  /** Whether all is there that running takes. */
  isComplete(enabledByDefault: boolean): boolean {
    return this.size > 0 && this.addresses !== undefined &&
      (this.#kick !== undefined || this.isPolled) && (this.isEnabled ?? enabledByDefault);
  }

  /**
   * Where the parts are in guest memory.
   *
   * @throws {VhostUserError} "bad-ring" if one is nowhere.
   */
  areas(regions: readonly MappedRegion[], request: RequestName): QueueAreas {
    const { descriptor, available, used } = this.addresses ?? NOWHERE;
    const place = (part: string, address: bigint): number => {
      const found = guestAddressOf(regions, address);
      if (found !== undefined) return found;
      throw new VhostUserError(
        "bad-ring",
        `Cannot use queue ${this.index}: its ${part}, at user address ` +
          `0x${address.toString(16)}, is not in guest memory`,
        request,
      );
    };
    return {
      size: this.size,
      descriptorTable: place("descriptor table", descriptor),
      availRing: place("available ring", available),
      usedRing: place("used ring", used),
    };
  }

  /** Close all descriptors. */
  [Symbol.dispose](): void {
    this.setKick(undefined);
    this.setCall(undefined);
    this.setError(undefined);
  }
}

const NOWHERE = { descriptor: 0n, available: 0n, used: 0n };

function takeNonblocking(fd: Fd | undefined): number {
  if (fd === undefined) return -1;
  setNonblocking(fd.number);
  return fd.take();
}

/** Keeps a peer from stopping us with a full pipe or eventfd. */
function setNonblocking(fd: number): void {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags >= 0 && (flags & O_NONBLOCK) === 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
