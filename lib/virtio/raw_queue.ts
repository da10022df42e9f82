/**
 * A split virtqueue as fields in guest memory, without any rule: for tests and fuzzing, which write
 * what no driver and no device should.
 *
 * @module
 */

import {
  availRingSize,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DESC_SIZE,
  type QueueAreas,
  usedRingSize,
} from "./layout.ts";
import type { GuestMemory } from "./memory.ts";

/** The fields of a descriptor: `addr[8] len[4] flags[2] next[2]`. */
export interface Descriptor {
  /** Guest address. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  /** `DESC_F_*` */
  readonly flags: number;
  /** Index of the next descriptor. */
  readonly next: number;
}

/** An entry of the used ring: `id[4] len[4]`. */
export interface UsedEntry {
  /** Head of the chain. */
  readonly id: number;
  /** Bytes written. */
  readonly length: number;
}

/**
 * Reads and writes the fields of a queue. Slots and indices are taken as they are given, and may be
 * beyond the queue: only memory that does not exist is refused, with a RangeError.
 */
export class RawQueue {
  /** The guest's memory. */
  readonly memory: GuestMemory;
  /** Where the queue is said to be. */
  readonly areas: QueueAreas;
  readonly #bytes = new Uint8Array(DESC_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);

  /** See `memory` and `areas`, which are not checked. */
  constructor(memory: GuestMemory, areas: QueueAreas) {
    this.memory = memory;
    this.areas = areas;
  }

  /** Write a descriptor, into the queue's table or into the one at guest address `table`. */
  setDescriptor(
    index: number,
    { address, length, flags, next }: Descriptor,
    table: number = this.areas.descriptorTable,
  ): void {
    this.#view.setBigUint64(0, address, true);
    this.#view.setUint32(DESC_LEN, length, true);
    this.#view.setUint16(DESC_FLAGS, flags, true);
    this.#view.setUint16(DESC_NEXT, next, true);
    this.#put(table + index * DESC_SIZE, DESC_SIZE);
  }

  /** Read a descriptor, of the queue's table or of the one at guest address `table`. */
  descriptor(index: number, table: number = this.areas.descriptorTable): Descriptor {
    this.#get(table + index * DESC_SIZE, DESC_SIZE);
    return {
      address: this.#view.getBigUint64(0, true),
      length: this.#view.getUint32(DESC_LEN, true),
      flags: this.#view.getUint16(DESC_FLAGS, true),
      next: this.#view.getUint16(DESC_NEXT, true),
    };
  }

  /** Make a head available: write it in the next slot, then move the index on. */
  offer(head: number): void {
    const index = this.availIndex;
    this.setAvailEntry(index & this.areas.size - 1, head);
    this.availIndex = index + 1 & 0xffff;
  }

  /** Write a slot of the avail ring. */
  setAvailEntry(slot: number, head: number): void {
    this.#put16(this.areas.availRing + 4 + 2 * slot, head);
  }

  /** Read a slot of the avail ring. */
  availEntry(slot: number): number {
    return this.#get16(this.areas.availRing + 4 + 2 * slot);
  }

  /** Write a slot of the used ring. */
  setUsedEntry(slot: number, { id, length }: UsedEntry): void {
    this.#view.setUint32(0, id, true);
    this.#view.setUint32(4, length, true);
    this.#put(this.areas.usedRing + 4 + 8 * slot, 8);
  }

  /** Read a slot of the used ring. */
  usedEntry(slot: number): UsedEntry {
    this.#get(this.areas.usedRing + 4 + 8 * slot, 8);
    return { id: this.#view.getUint32(0, true), length: this.#view.getUint32(4, true) };
  }

  /** `flags` of the avail ring. */
  get availFlags(): number {
    return this.#get16(this.areas.availRing);
  }

  set availFlags(value: number) {
    this.#put16(this.areas.availRing, value);
  }

  /** `idx` of the avail ring. */
  get availIndex(): number {
    return this.#get16(this.areas.availRing + 2);
  }

  set availIndex(value: number) {
    this.#put16(this.areas.availRing + 2, value);
  }

  /** `used_event`, at the end of the avail ring. */
  get usedEvent(): number {
    return this.#get16(this.areas.availRing + availRingSize(this.areas.size) - 2);
  }

  set usedEvent(value: number) {
    this.#put16(this.areas.availRing + availRingSize(this.areas.size) - 2, value);
  }

  /** `flags` of the used ring. */
  get usedFlags(): number {
    return this.#get16(this.areas.usedRing);
  }

  set usedFlags(value: number) {
    this.#put16(this.areas.usedRing, value);
  }

  /** `idx` of the used ring. */
  get usedIndex(): number {
    return this.#get16(this.areas.usedRing + 2);
  }

  set usedIndex(value: number) {
    this.#put16(this.areas.usedRing + 2, value);
  }

  /** `avail_event`, at the end of the used ring. */
  get availEvent(): number {
    return this.#get16(this.areas.usedRing + usedRingSize(this.areas.size) - 2);
  }

  set availEvent(value: number) {
    this.#put16(this.areas.usedRing + usedRingSize(this.areas.size) - 2, value);
  }

  #get16(address: number): number {
    this.#get(address, 2);
    return this.#view.getUint16(0, true);
  }

  #put16(address: number, value: number): void {
    this.#view.setUint16(0, value, true);
    this.#put(address, 2);
  }

  #get(address: number, length: number): void {
    if (!this.memory.read(address, this.#bytes.subarray(0, length))) throw missing(address);
  }

  #put(address: number, length: number): void {
    if (!this.memory.write(address, this.#bytes.subarray(0, length))) throw missing(address);
  }
}

function missing(address: number): RangeError {
  return new RangeError(`Cannot use guest address 0x${address.toString(16)}: no memory is there`);
}
