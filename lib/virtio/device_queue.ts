/**
 * The device's side of a split virtqueue.
 *
 * @see VIRTIO 1.2, 2.7 Split Virtqueues
 *
 * @module
 */

// deno-lint-ignore-file no-non-null-assertion -- ring indices are masked to the size of the ring

import { ChainWalker, WalkedChain } from "./chain.ts";
import { type Fault, NONE, RingError } from "./faults.ts";
import {
  AVAIL_F_NO_INTERRUPT,
  hasFeature,
  passesEvent,
  USED_F_NO_NOTIFY,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from "./layout.ts";
import { GuestMemory } from "./memory.ts";
import type { PieceList } from "./pieces.ts";
import { FLAGS, HEADS, INDEX, mapRings, NO_RINGS } from "./rings.ts";
import type { Chain, FaultListener, QueueSetup, Virtqueue } from "./virtqueue.ts";

/** Descriptors a chain may have unless told otherwise: what fits one preadv(2). */
export const DEFAULT_MAX_DESCRIPTORS = 1024;

/** What a device may choose. */
export interface DeviceQueueOptions {
  /** Most descriptors of one chain, indirect ones included; 1024 by default. */
  readonly maxDescriptors?: number;
  /** Is told of the driver's faults. */
  readonly onFault?: FaultListener;
}

const NO_WALKER = new ChainWalker(
  new GuestMemory([]),
  NO_RINGS.table,
  { size: 0, descriptorTable: 0, availRing: 0, usedRing: 0 },
  { indirect: false, maxDescriptors: 0 },
);

/**
 * The device's side of a split virtqueue.
 *
 * A device sleeps until it is kicked, takes all chains there are, answers them in any order, and
 * sleeps again:
 *
 * @example Serve what is available
 * ```ts
 * import assert from "node:assert/strict";
 * import { DeviceQueue, DriverQueue, GuestMemory, layOutQueue, Pieces } from "@virtfs/virtfs/virtio";
 *
 * const memory = new GuestMemory([{ guestAddress: 0, bytes: new Uint8Array(8192) }]);
 * const areas = layOutQueue(8, 0);
 * const driver = new DriverQueue({ memory, areas, features: 0n, startIndex: 0 });
 * driver.add([{ address: 4096, length: 7 }], [{ address: 5000, length: 16 }]);
 * driver.publish();
 *
 * const device = new DeviceQueue(() => new Pieces());
 * device.configure({ memory, areas, features: 0n, startIndex: 0 });
 * let answered = 0;
 * device.disableKicks();
 * do {
 *   for (let chain = device.next(); chain !== undefined; chain = device.next()) {
 *     assert.equal(chain.readable.length, 7);
 *     device.add(chain, 9); // or later
 *     answered++;
 *   }
 * } while (device.enableKicks());
 * assert.ok(device.needsCall());
 * assert.equal(answered, 1);
 *
 * assert.equal(driver.take(), 0);
 * assert.equal(driver.usedLength, 9);
 * ```
 */
export class DeviceQueue<P extends PieceList> implements Virtqueue<P> {
  readonly #newPieces: () => P;
  readonly #maxDescriptors: number;
  readonly #onFault: FaultListener | undefined;
  /** Chains not in flight. */
  readonly #pool: WalkedChain<P>[] = [];

  #rings = NO_RINGS;
  #walker = NO_WALKER;
  #size = 0;
  #hasEventIndex = false;
  #isReady = false;
  #brokenBy: RingError | undefined;
  /** Counts the set-ups, so that chains of an earlier one are known. */
  #epoch = 0;
  /** Which heads are in flight. */
  #isTaken = new Uint8Array(0);
  #inFlight = 0;

  /** Avail index of the next chain to take. */
  #next = 0;
  /** Avail index up to which chains are known to be there. */
  #known = 0;
  /** Used index behind the last chain given back. */
  #used = 0;
  /** Chains given back and not published. */
  #unpublished = 0;
  /** Chains taken and not published. */
  #outstanding = 0;
  /** Chains published since the last decision about a call. */
  #uncalled = 0;
  /** Whether the driver must be called whatever used_event says: a call may have been lost before. */
  #mustCall = false;

  /**
   * Make a queue that is not set up.
   *
   * @param newPieces Makes an empty list for the buffers of a chain.
   * @param options What the device may choose.
   */
  constructor(newPieces: () => P, options: DeviceQueueOptions = {}) {
    this.#newPieces = newPieces;
    this.#maxDescriptors = options.maxDescriptors ?? DEFAULT_MAX_DESCRIPTORS;
    this.#onFault = options.onFault;
  }

  /** Descriptors of the queue; 0 before it is set up. */
  get size(): number {
    return this.#size;
  }

  /** Whether the queue is set up. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The fault that stopped the queue until it is set up again. */
  get brokenBy(): RingError | undefined {
    return this.#brokenBy;
  }

  /** Chains that the driver has offered and nobody has taken; 0 if the driver lies about them. */
  get waiting(): number {
    if (!this.#isReady || this.#brokenBy !== undefined) return 0;
    const waiting = Atomics.load(this.#rings.avail, INDEX) - this.#next & 0xffff;
    return waiting > this.#size ? 0 : waiting;
  }

  /** Chains taken and not given back, since the queue was set up. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Set the queue up, and stop what it was before.
   *
   * The used index is taken from the used ring, where a device before us may have left it.
   *
   * @throws {RingError} If it cannot be set up so; the queue is then not set up.
   */
  configure({ memory, areas, features, startIndex }: QueueSetup): void {
    if (this.#isReady) this.stop();
    if (!(Number.isInteger(startIndex) && startIndex >= 0 && startIndex <= 0xffff)) {
      throw new RingError("set up the queue", "start-index");
    }
    this.#rings = mapRings(memory, areas, "set up the queue");
    this.#walker = new ChainWalker(memory, this.#rings.table, areas, {
      indirect: hasFeature(features, VIRTIO_F_INDIRECT_DESC),
      maxDescriptors: this.#maxDescriptors,
    });
    this.#size = areas.size;
    this.#hasEventIndex = hasFeature(features, VIRTIO_F_EVENT_IDX);
    this.#isReady = true;
    this.#brokenBy = undefined;
    this.#epoch++;
    this.#isTaken = new Uint8Array(areas.size);
    this.#inFlight = 0;
    this.#next = startIndex;
    this.#known = startIndex;
    this.#used = Atomics.load(this.#rings.used, INDEX);
    this.#unpublished = 0;
    this.#outstanding = 0;
    this.#uncalled = 0;
    this.#mustCall = true;
  }

  /**
   * Take the next available chain, if there is one.
   *
   * Faulty chains on the way are answered with length 0, after at most as many of them as the queue
   * has descriptors it returns. A chain that came this very moment may be missed: only
   * {@linkcode DeviceQueue.enableKicks} knows for sure.
   */
  next(): Chain<P> | undefined {
    const { avail } = this.#rings;
    const walker = this.#walker;
    const size = this.#size;
    while (this.#next !== this.#known || this.#refill()) {
      const head = avail[HEADS + (this.#next & size - 1)]!;
      if (head >= size) {
        this.#break("head-out-of-range", head);
        return undefined;
      }
      this.#next = this.#next + 1 & 0xffff;
      this.#outstanding++;
      if (this.#isTaken[head] !== 0) {
        this.#refuse("duplicate-head", head, head);
        continue;
      }
      const chain = this.#pool.pop() ??
        new WalkedChain(this.#newPieces(), this.#newPieces());
      const fault = walker.walk(head, chain);
      if (walker.hasUnknownFlags) this.#onFault?.("descriptor-flags", head, walker.index);
      if (fault !== undefined) {
        chain.clear();
        this.#pool.push(chain);
        this.#refuse(fault, head, walker.index);
        continue;
      }
      chain.epoch = this.#epoch;
      this.#isTaken[head] = 1;
      this.#inFlight++;
      return chain;
    }
    return undefined;
  }

  /**
   * Give a chain back, from now on not to be touched.
   *
   * @param chain A chain of this queue.
   * @param length Bytes written, counted from the first writable one; cut to what there is room for.
   * @returns Whether the driver will see it: not if the queue was stopped since.
   * @throws {TypeError} If the chain was given back already.
   */
  add(chain: Chain<P>, length: number): boolean {
    if (!(chain instanceof WalkedChain) || chain.epoch === 0) {
      throw new TypeError("Cannot give a chain back: it is not in flight");
    }
    const { head, room, epoch } = chain;
    chain.clear();
    this.#pool.push(chain);
    if (epoch !== this.#epoch || !this.#isReady) return false;
    this.#isTaken[head] = 0;
    this.#inFlight--;
    this.#use(head, length > 0 ? Math.min(length, room, 0xffffffff) : 0);
    return true;
  }

  /** Let the driver see what was given back. */
  publish(): void {
    if (this.#unpublished === 0) return;
    this.#outstanding -= this.#unpublished;
    this.#uncalled += this.#unpublished;
    this.#unpublished = 0;
    // The entries are visible before the index is: an atomic store is a barrier.
    Atomics.store(this.#rings.used, INDEX, this.#used);
  }

  /**
   * Whether the driver wants a call for what was published since this was last asked.
   *
   * With event indices the first answer after a set-up is always yes.
   */
  needsCall(): boolean {
    const count = this.#uncalled;
    if (count === 0 || !this.#isReady) return false;
    this.#uncalled = 0;
    const { avail } = this.#rings;
    if (this.#hasEventIndex) {
      if (this.#mustCall) {
        this.#mustCall = false;
        return true;
      }
      if (count > 0xffff) return true;
      const event = Atomics.load(avail, avail.length - 1);
      const published = this.#used - this.#unpublished;
      return passesEvent(event, published - count, published);
    }
    const flags = Atomics.load(avail, FLAGS);
    if (flags > AVAIL_F_NO_INTERRUPT) this.#onFault?.("avail-flags", NONE, NONE);
    return (flags & AVAIL_F_NO_INTERRUPT) === 0;
  }

  /** Tell the driver that kicks are not needed. */
  disableKicks(): void {
    // With event indices there is nothing to do: avail_event stays behind, at an index that has
    // been passed. The flag is a hint and needs no barrier.
    if (this.#isReady && !this.#hasEventIndex) this.#rings.used[FLAGS] = USED_F_NO_NOTIFY;
  }

  /**
   * Publish, tell the driver that kicks are needed, and look again.
   *
   * @returns Whether chains have come meanwhile, which no kick will tell of: go on taking.
   */
  enableKicks(): boolean {
    if (!this.#isReady || this.#brokenBy !== undefined) {
      this.publish();
      return false;
    }
    if (this.#next !== this.#known) {
      this.publish();
      return true;
    }
    const { avail, used } = this.#rings;
    const field = this.#hasEventIndex ? used.length - 1 : FLAGS;
    const value = this.#hasEventIndex ? this.#next : 0;
    // One barrier has to lie between this store and the load below. Publishing has one.
    if (this.#unpublished > 0) {
      used[field] = value;
      this.publish();
    } else {
      Atomics.store(used, field, value);
    }
    const index = Atomics.load(avail, INDEX);
    return index !== this.#next && this.#accept(index);
  }

  /**
   * Publish and stop. Chains in flight are forgotten: wait for them first, unless the driver resets
   * the device.
   *
   * @returns Avail index of the next chain, to go on from.
   */
  stop(): number {
    if (this.#isReady) this.publish();
    this.#isReady = false;
    this.#rings = NO_RINGS;
    this.#walker = NO_WALKER;
    this.#size = 0;
    this.#inFlight = 0;
    this.#known = this.#next;
    return this.#next;
  }

  /** Looks for new chains. */
  #refill(): boolean {
    if (!this.#isReady || this.#brokenBy !== undefined) return false;
    const { avail } = this.#rings;
    // A plain load costs a tenth of an atomic one and is enough to see that nothing has come; its
    // value is not used for anything else.
    if (avail[INDEX] === this.#next) return false;
    // What the driver wrote before the index is visible after this load.
    const index = Atomics.load(avail, INDEX);
    return index !== this.#next && this.#accept(index);
  }

  /** Checks an avail index; false if it breaks the queue. */
  #accept(index: number): boolean {
    // Every chain has a descriptor of its own until the driver sees it in the used ring.
    if ((index - this.#next & 0xffff) > this.#size - this.#outstanding) {
      this.#break("avail-index-jump", NONE);
      return false;
    }
    this.#known = index;
    return true;
  }

  #refuse(fault: Fault, head: number, index: number): void {
    this.#use(head, 0);
    this.#onFault?.(fault, head, index);
  }

  #break(fault: Fault, head: number): void {
    this.#brokenBy = new RingError("go on with the queue", fault, head);
    this.#known = this.#next;
    this.#onFault?.(fault, head, NONE);
  }

  #use(head: number, length: number): void {
    const entries = this.#rings.usedEntries;
    const at = 2 * (this.#used & this.#size - 1);
    entries[at] = head;
    entries[at + 1] = length;
    this.#used = this.#used + 1 & 0xffff;
    this.#unpublished++;
  }
}
