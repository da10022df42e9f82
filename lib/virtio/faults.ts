/**
 * What can be wrong with a virtqueue, by name.
 *
 * @module
 */

/** What follows from a fault. */
export type FaultEffect =
  /** The queue is not set up. */
  | "setup"
  /** The chain is used with length 0, the queue goes on. */
  | "chain"
  /** There is no head to answer with: the device's queue stops until it is set up again. */
  | "queue"
  /** Reported, and otherwise without effect. */
  | "ignored"
  /** The device broke the rule: the driver's queue throws. */
  | "driver";

/** One row of {@linkcode FAULTS}. */
export interface FaultRow {
  /** Section of VIRTIO 1.2 that has the rule, or the one nearest to it. */
  readonly clause: string;
  /** What follows. */
  readonly effect: FaultEffect;
  /** What is the case, to be put behind "Cannot …: ". */
  readonly meaning: string;
}

/** The name of a fault. */
export type Fault =
  | "feature-not-offered"
  | "version-1-refused"
  | "queue-size"
  | "start-index"
  | "ring-unaligned"
  | "rings-overlap"
  | "ring-outside-memory"
  | "ring-across-regions"
  | "avail-index-jump"
  | "head-out-of-range"
  | "duplicate-head"
  | "next-out-of-range"
  | "loop"
  | "chain-too-long"
  | "length-overflow"
  | "zero-length"
  | "outside-memory"
  | "readable-after-writable"
  | "writable-over-ring"
  | "indirect-not-negotiated"
  | "indirect-nested"
  | "indirect-with-next"
  | "indirect-length"
  | "indirect-outside-memory"
  | "descriptor-flags"
  | "avail-flags"
  | "used-index-jump"
  | "used-id-out-of-range"
  | "used-id-not-in-flight"
  | "used-length";

/** Every fault, the rule it breaks and what follows from it. */
// deno-fmt-ignore
export const FAULTS: Readonly<Record<Fault, FaultRow>> = {
  "feature-not-offered": { clause: "2.2.1", effect: "setup", meaning: "a feature was accepted that was not offered" },
  "version-1-refused": { clause: "6.1", effect: "setup", meaning: "VIRTIO_F_VERSION_1 was offered and not accepted" },
  "queue-size": { clause: "2.7", effect: "setup", meaning: "the queue size is not a power of 2 from 1 to 32768" },
  "start-index": { clause: "2.7.6", effect: "setup", meaning: "the index to start at does not fit in 16 bits" },
  "ring-unaligned": { clause: "2.7.1", effect: "setup", meaning: "a part of the queue is not aligned" },
  "rings-overlap": { clause: "2.7", effect: "setup", meaning: "two parts of the queue overlap" },
  "ring-outside-memory": { clause: "2.7", effect: "setup", meaning: "a part of the queue lies outside of guest memory" },
  "ring-across-regions": { clause: "2.7", effect: "setup", meaning: "a part of the queue lies in two regions of guest memory" },
  "avail-index-jump": { clause: "2.7.6.1", effect: "queue", meaning: "the avail index claims more chains than the queue has room for" },
  "head-out-of-range": { clause: "2.7.6", effect: "queue", meaning: "the avail ring names a head beyond the descriptor table" },
  "duplicate-head": { clause: "2.7.13", effect: "chain", meaning: "the head is in flight already" },
  "next-out-of-range": { clause: "2.7.5", effect: "chain", meaning: "the next descriptor is beyond the table" },
  "loop": { clause: "2.7.5.2", effect: "chain", meaning: "the chain comes back to a descriptor it has passed" },
  "chain-too-long": { clause: "2.7.4.1", effect: "chain", meaning: "the chain has more descriptors than this device takes" },
  "length-overflow": { clause: "2.7.5.2", effect: "chain", meaning: "the buffers of the chain have more than 2^32 bytes" },
  "zero-length": { clause: "2.7.13.1", effect: "chain", meaning: "a buffer has no bytes" },
  "outside-memory": { clause: "2.7.5", effect: "chain", meaning: "a buffer is not wholly in guest memory" },
  "readable-after-writable": { clause: "2.7.4.2", effect: "chain", meaning: "a readable buffer follows a writable one" },
  "writable-over-ring": { clause: "2.7.6", effect: "chain", meaning: "a writable buffer lies over a part of the queue" },
  "indirect-not-negotiated": { clause: "2.7.5.3.1", effect: "chain", meaning: "an indirect table is used without VIRTIO_F_INDIRECT_DESC" },
  "indirect-nested": { clause: "2.7.5.3.1", effect: "chain", meaning: "an indirect table names an indirect table" },
  "indirect-with-next": { clause: "2.7.5.3.1", effect: "chain", meaning: "a descriptor has both INDIRECT and NEXT" },
  "indirect-length": { clause: "2.7.5.3", effect: "chain", meaning: "the length of the indirect table is not that of 1 to 65536 descriptors" },
  "indirect-outside-memory": { clause: "2.7.5.3", effect: "chain", meaning: "the indirect table is not wholly in guest memory" },
  "descriptor-flags": { clause: "2.7.5", effect: "ignored", meaning: "a descriptor has flags that have no meaning" },
  "avail-flags": { clause: "2.7.7.1", effect: "ignored", meaning: "the avail ring has flags other than 0 and 1" },
  "used-index-jump": { clause: "2.7.8", effect: "driver", meaning: "the used index claims more chains than are in flight" },
  "used-id-out-of-range": { clause: "2.7.8", effect: "driver", meaning: "the used ring names a head beyond the descriptor table" },
  "used-id-not-in-flight": { clause: "2.7.8", effect: "driver", meaning: "the used ring names a head that is not in flight" },
  "used-length": { clause: "2.7.8.2", effect: "driver", meaning: "the used length exceeds the writable buffers" },
};

/** Stands for "no head" and "no descriptor" where a fault has none. */
export const NONE: number = -1;

/** A fault of the other side, with where it was found. */
export class RingError extends RangeError {
  /** Always `"RingError"`. */
  override readonly name = "RingError";
  /** Which rule was broken. */
  readonly fault: Fault;
  /** Head of the chain, or -1. */
  readonly head: number;
  /** Index of the descriptor in its table, or -1. */
  readonly index: number;

  /**
   * Name a fault.
   *
   * @param action What cannot be done, such as `set up the queue`.
   * @param fault Which rule was broken.
   * @param head Head of the chain, or -1.
   * @param index Index of the descriptor, or -1.
   */
  constructor(action: string, fault: Fault, head: number = NONE, index: number = NONE) {
    super(`Cannot ${action}: ${FAULTS[fault].meaning}`);
    this.fault = fault;
    this.head = head;
    this.index = index;
  }
}
