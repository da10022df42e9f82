/**
 * One request that came over a virtqueue.
 *
 * @module
 */
import { HEADER_SIZE, Segments, TWRITE_HEADER, TYPE, Wire } from "../p9/mod.ts";
import type { Chain } from "../virtio/mod.ts";
import type { Exchange } from "./exchange.ts";

/** Bytes of a request that most requests fit in. */
const REQUEST_BYTES = 1024;
/** Bytes of a reply that most replies without payload fit in. */
const REPLY_BYTES = 512;
/** Size of an Rlerror, which every reply buffer should have room for. */
const MIN_ROOM = 11;

/** What an exchange needs of the transport it belongs to. */
export interface ExchangeOwner {
  /** A view of the guest's memory for the codec. */
  wireOf(bytes: Uint8Array): Wire;
  /** The exchange will end later. */
  deferred(): void;
  /** The exchange has ended: its chain goes back with so many bytes written. */
  settle(exchange: VirtqueueExchange, chain: Chain<Segments>, length: number): void;
}

/** One descriptor chain as a request and the place for its answer. */
export class VirtqueueExchange implements Exchange {
  readonly start = 0;
  end = 0;
  size = 0;
  room = 0;
  isDeferred = false;
  readonly #owner: ExchangeOwner;
  #chain: Chain<Segments> | null = null;
  #request = new Wire(new Uint8Array(REQUEST_BYTES));
  #scratch = new Wire(new Uint8Array(REPLY_BYTES));
  readonly #in = new Segments();
  readonly #out = new Segments();
  /** Where the reply is encoded, once it is known. */
  #reply: Wire | null = null;
  #replyAt = 0;
  /** Bytes of the reply in front of what was put in guest memory directly. */
  #direct = 0;

  /** Makes an exchange that can be used again and again. */
  constructor(owner: ExchangeOwner) {
    this.#owner = owner;
  }

  get wire(): Wire {
    return this.#request;
  }

  get reply(): Wire {
    return this.#reply ?? this.#place();
  }

  get replyAt(): number {
    if (this.#reply === null) this.#place();
    return this.#replyAt;
  }

  /**
   * Copies out what a session decodes.
   *
   * @returns False if there is no message in the chain, or no room for any answer.
   */
  begin(chain: Chain<Segments>, msize: number): boolean {
    this.#chain = chain;
    this.isDeferred = false;
    this.#reply = null;
    this.#direct = -1;
    const there = chain.readable.length;
    this.room = Math.min(msize, chain.writable.length);
    if (there < HEADER_SIZE || this.room < MIN_ROOM) return false;
    const head = Math.min(there, TWRITE_HEADER);
    this.#copyOut(head);
    const size = this.#request.view.getUint32(0, true);
    if (size < HEADER_SIZE || size > msize || size > there) return false;
    this.size = size;
    // The payload of a Twrite stays where it is.
    const isWrite = this.#request.bytes[4] === TYPE.Twrite;
    this.end = isWrite ? Math.min(size, TWRITE_HEADER) : size;
    if (this.end > head) {
      this.#copyOut(this.end);
      // Read again, so it may say something else now: what counts is what was checked.
      this.#request.view.setUint32(0, size, true);
    }
    return true;
  }

  payloadIn(offset: number, length: number): Segments {
    this.#in.clear();
    this.#in.addSlice((this.#chain as Chain<Segments>).readable, offset, length);
    return this.#in;
  }

  payloadOut(offset: number, length: number): Segments {
    this.#direct = offset;
    this.#out.clear();
    this.#out.addSlice((this.#chain as Chain<Segments>).writable, offset, length);
    return this.#out;
  }

  defer(_withRequest: boolean): void {
    if (this.isDeferred) return;
    this.isDeferred = true;
    this.#owner.deferred();
  }

  send(size: number): void {
    const chain = this.#chain as Chain<Segments>;
    const reply = this.#reply;
    if (reply === this.#scratch) {
      // An error may have taken the place of the payload that was asked for.
      const isDirect = this.#direct >= 0 && reply.bytes[4] === TYPE.Rread;
      copyIn(reply.bytes, isDirect ? Math.min(size, this.#direct) : size, chain.writable);
    }
    this.#end(size);
  }

  drop(): void {
    this.#end(0);
  }

  #end(length: number): void {
    const chain = this.#chain as Chain<Segments>;
    this.#chain = null;
    this.#in.clear();
    this.#out.clear();
    this.#owner.settle(this, chain, length);
  }

  #copyOut(count: number): void {
    if (this.#request.bytes.length < count) this.#request = new Wire(new Uint8Array(count));
    const { readable } = this.#chain as Chain<Segments>;
    const target = this.#request.bytes;
    if (readable.count > 0 && (readable.lengths[0] as number) >= count && count <= LOOPED) {
      const source = (readable.memories[0] as { readonly bytes: Uint8Array }).bytes;
      const from = readable.offsets[0] as number;
      if (from < FAST_INDEX) {
        for (let i = 0; i < count; i++) target[i] = source[from + i] as number;
        return;
      }
    }
    readable.copyTo(target.length === count ? target : target.subarray(0, count));
  }

  /**
   * Where the reply is encoded: in guest memory, if it is in one piece there, else beside it. The
   * guest may change it there as it likes; nothing is read back.
   */
  #place(): Wire {
    const { writable } = this.#chain as Chain<Segments>;
    if (writable.count === 1) {
      this.#replyAt = writable.offsets[0] as number;
      const { bytes } = writable.memories[0] as { readonly bytes: Uint8Array };
      return this.#reply = this.#owner.wireOf(bytes);
    }
    const needed = this.#direct >= 0 ? REPLY_BYTES : this.room;
    if (this.#scratch.bytes.length < needed) this.#scratch = new Wire(new Uint8Array(needed));
    this.#replyAt = 0;
    return this.#reply = this.#scratch;
  }
}

/** Bytes that are copied by a loop: quicker than a view of them is made. */
const LOOPED = 128;
/** Typed arrays are slow from this index on. */
const FAST_INDEX = 2 ** 31 - 1024;

/** Copies the beginning of a reply into the guest's buffers. */
function copyIn(bytes: Uint8Array, count: number, into: Segments): void {
  if (into.count > 0 && (into.lengths[0] as number) >= count && count <= LOOPED) {
    const target = (into.memories[0] as { readonly bytes: Uint8Array }).bytes;
    const at = into.offsets[0] as number;
    if (at < FAST_INDEX) {
      for (let i = 0; i < count; i++) target[at + i] = bytes[i] as number;
      return;
    }
  }
  into.copyFrom(bytes.subarray(0, count));
}
