/**
 * What a device knows of a virtqueue, whatever its format.
 *
 * @module
 */

import type { Fault, RingError } from "./faults.ts";
import type { QueueAreas } from "./layout.ts";
import type { GuestMemory } from "./memory.ts";
import type { PieceList } from "./pieces.ts";

/**
 * A descriptor chain in flight.
 *
 * It belongs to whoever got it from {@linkcode Virtqueue.next} until it is given to
 * {@linkcode Virtqueue.add}, at any time and in any order; from then on it must not be touched,
 * because the object is used again for another chain.
 */
export interface Chain<P extends PieceList> {
  /** Index of the first descriptor. */
  readonly head: number;
  /** What the device may read. */
  readonly readable: P;
  /** What the device may write. */
  readonly writable: P;
}

/** How a queue is to be set up. */
export interface QueueSetup {
  /** The guest's memory, borrowed until the queue is stopped. */
  readonly memory: GuestMemory;
  /** Size and position of the queue. */
  readonly areas: QueueAreas;
  /** The features negotiated. */
  readonly features: bigint;
  /** Avail index of the next chain to take: 0, or what {@linkcode Virtqueue.stop} returned. */
  readonly startIndex: number;
}

/**
 * Is told of every fault of the driver, the one that stops the queue included.
 *
 * @param fault Which rule was broken.
 * @param head Head of the chain, or -1.
 * @param index Descriptor of its table, or -1.
 */
export type FaultListener = (fault: Fault, head: number, index: number) => void;

/**
 * The device's side of a virtqueue. Nothing a driver does makes a method throw, loop without bound,
 * or touch memory outside of the guest's.
 */
export interface Virtqueue<P extends PieceList> {
  /** Whether the queue is set up. */
  readonly isReady: boolean;
  /** The fault that stopped the queue until it is set up again. */
  readonly brokenBy: RingError | undefined;
  /** Chains taken and not given back, since the queue was set up. */
  readonly inFlight: number;
  /**
   * Set the queue up, and stop what it was before.
   *
   * @throws {RingError} If it cannot be set up so.
   */
  configure(setup: QueueSetup): void;
  /** Take the next available chain, if there is one. */
  next(): Chain<P> | undefined;
  /**
   * Give a chain back, with how many bytes were written from its first writable byte on. The driver
   * sees it after {@linkcode Virtqueue.publish}.
   *
   * @returns Whether the driver will see it: not if the queue was stopped since.
   */
  add(chain: Chain<P>, length: number): boolean;
  /** Let the driver see what was given back. */
  publish(): void;
  /** Whether the driver wants a call for what was published since this was last asked. */
  needsCall(): boolean;
  /** Tell the driver that kicks are not needed. */
  disableKicks(): void;
  /**
   * Publish, tell the driver that kicks are needed, and look again.
   *
   * @returns Whether chains have come meanwhile, which no kick will tell of: go on taking.
   */
  enableKicks(): boolean;
  /**
   * Publish and stop. Chains in flight are forgotten: the driver will not get them back.
   *
   * @returns Avail index of the next chain, to go on from.
   */
  stop(): number;
}
