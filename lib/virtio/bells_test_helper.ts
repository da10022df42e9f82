/**
 * What two threads share that play driver and device.
 *
 * @module
 */

/** A queue and the bells that stand for its two eventfds. */
export interface Shared {
  /** The guest's memory, at guest address 0. */
  readonly bytes: Uint8Array;
  /** A counter for kicks and one for calls. */
  readonly bells: Int32Array;
  /** The features of the queue. */
  readonly features: bigint;
  /** Requests to make. */
  readonly requests: number;
}

/** Position of the bell for kicks. */
export const KICK = 0;
/** Position of the bell for calls. */
export const CALL = 1;
/** Descriptors of the queue. */
export const QUEUE_SIZE = 16;

/** Ring a bell, as a write to an eventfd. */
export function ring(bells: Int32Array, bell: number): void {
  Atomics.add(bells, bell, 1);
  Atomics.notify(bells, bell);
}

/** Sleep until a bell was rung, as a read of an eventfd; false if it was not for too long. */
export function sleep(bells: Int32Array, bell: number): boolean {
  while (Atomics.exchange(bells, bell, 0) === 0) {
    if (Atomics.wait(bells, bell, 0, 5000) === "timed-out") return false;
  }
  return true;
}
