/**
 * The client's end of a virtqueue: a driver in TypeScript, for tests, benchmarks and fuzzing.
 *
 * @module
 */
import { HEADER_SIZE, TWRITE_HEADER, TYPE } from "../p9/mod.ts";
import type { DriverQueue, GuestRange, Region } from "../virtio/mod.ts";
import type { Channel } from "./channel.ts";

/** Payloads above this many bytes go apart from their head, as Linux sends them. */
const APART = 1024;
/** Bytes of an Rread before its payload. */
const REPLY_HEAD = 11;

/** Options of a {@linkcode QueueChannel}. */
export interface QueueChannelOptions {
  /** The driver's side of the queue. */
  readonly driver: DriverQueue;
  /** Guest memory for requests and replies. */
  readonly region: Region;
  /** Guest address in the region from which on the channel may use it. */
  readonly from: number;
  /** Largest message in bytes: each request takes twice that of the memory. */
  readonly msize: number;
  /** Kicks the device. */
  readonly kick: () => void;
  /** Called when the channel is closed. */
  readonly onClose?: () => void;
}

/**
 * Sends frames as descriptor chains, the way Linux's driver does: the payload of a large Twrite and
 * of a large Rread have descriptors of their own. Whoever owns the call descriptor calls
 * {@linkcode QueueChannel.called}.
 */
export class QueueChannel implements Channel {
  readonly frames: AsyncIterable<Uint8Array>;
  readonly #options: QueueChannelOptions;
  /** Places in memory that no request uses. */
  readonly #free: number[] = [];
  /** Place of the request at each head. */
  readonly #placeOf = new Map<number, number>();
  readonly #waiting: Uint8Array[] = [];
  readonly #replies: Uint8Array[] = [];
  /** Lengths of chains that came back without a reply. */
  #dropped = 0;
  #wake: () => void = () => {};
  #isClosed = false;

  /** Makes a channel over a queue that the device serves. */
  constructor(options: QueueChannelOptions) {
    this.#options = options;
    const { region, from, msize, driver } = options;
    const places = Math.min(
      Math.floor((region.guestEnd - from) / (2 * msize)),
      Math.floor(driver.size / 4),
    );
    if (places < 1) throw new RangeError("Cannot use the queue: there is no room for a request");
    for (let i = places - 1; i >= 0; i--) this.#free.push(from + i * 2 * msize);
    this.frames = this.#iterate();
  }

  /** Requests that came back without a reply: flushed ones. */
  get dropped(): number {
    return this.#dropped;
  }

  send(bytes: Uint8Array): void {
    if (this.#isClosed) throw new TypeError("Cannot send to the device: the channel is closed");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length;) {
      const size = Math.max(HEADER_SIZE, view.getUint32(at, true));
      this.#waiting.push(bytes.slice(at, at + size));
      at += size;
    }
    this.#offer();
  }

  /** The device has called: takes the replies. */
  called(): void {
    const { driver } = this.#options;
    do {
      for (let head = driver.take(); head >= 0; head = driver.take()) this.#take(head);
    } while (driver.enableCalls());
    this.#offer();
    this.#wake();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClose?.();
    this.#wake();
  }

  #take(head: number): void {
    const { driver, region, msize } = this.#options;
    const place = this.#placeOf.get(head) as number;
    this.#placeOf.delete(head);
    this.#free.push(place);
    if (driver.usedLength === 0) {
      this.#dropped++;
      return;
    }
    const from = place + msize - region.guestAddress;
    this.#replies.push(region.bytes.slice(from, from + driver.usedLength));
  }

  #offer(): void {
    const { driver, kick } = this.#options;
    while (this.#waiting.length > 0 && this.#free.length > 0 && driver.free >= 4) {
      this.#add(this.#waiting.shift() as Uint8Array, this.#free.pop() as number);
    }
    driver.publish();
    if (driver.needsKick()) kick();
  }

  #add(frame: Uint8Array, place: number): void {
    const { driver, region, msize } = this.#options;
    region.bytes.set(frame, place - region.guestAddress);
    const type = frame[4];
    const readable: GuestRange[] = [];
    if (type === TYPE.Twrite && frame.length > TWRITE_HEADER + APART) {
      readable.push({ address: place, length: TWRITE_HEADER });
      readable.push({ address: place + TWRITE_HEADER, length: frame.length - TWRITE_HEADER });
    } else readable.push({ address: place, length: frame.length });
    const reply = place + msize;
    const writable: GuestRange[] = type === TYPE.Tread
      ? [{ address: reply, length: REPLY_HEAD }, {
        address: reply + REPLY_HEAD,
        length: msize - REPLY_HEAD,
      }]
      : [{ address: reply, length: msize }];
    this.#placeOf.set(driver.add(readable, writable), place);
  }

  async *#iterate(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined) yield reply;
      else if (this.#isClosed) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}
