/**
 * Gathers what many threads and processes have observed.
 *
 * @module
 */
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  epollCreate,
  epollCtl,
  EpollEvents,
  EPOLLIN,
  epollWaitAsync,
  eventfd,
  eventfdRead,
  eventfdWrite,
  Fd,
  monotonicMicros,
} from "../linux/mod.ts";
import { makeRingFile, RecordReader, RING_BYTES } from "./record_ring.ts";
import type { Clock, Observer } from "./types.ts";

/** Milliseconds in which records gather, so that their writers need not wake us for each. */
const GATHER_MS = 5;

/** A ring for one writer. */
export interface RingHandle {
  /** Its file, borrowed. */
  readonly fd: number;
  /** Bytes of its data. */
  readonly size: number;
  /** The eventfd that wakes the collector, borrowed. */
  readonly wakeFd: number;
}

/**
 * The reading end of any number of rings, in the event loop of Deno.
 *
 * Its observer gets the frames in the order of each ring.
 */
export class Collector {
  /** The clock that times are told by. */
  readonly clock: Clock;
  readonly #observer: Observer;
  readonly #started: number;
  readonly #wake: Fd;
  readonly #epoll: Fd;
  readonly #rings: { readonly file: Fd; readonly reader: RecordReader }[] = [];
  #conversations = 0;
  #isStopping = false;
  #running: Promise<void> | null = null;

  /**
   * Prepares to collect; {@linkcode Collector.start} begins.
   *
   * @throws {LinuxError} If there are no descriptors.
   */
  constructor(observer: Observer) {
    this.#observer = observer;
    this.#started = monotonicMicros();
    this.clock = { base: BigInt(Math.round(Date.now() * 1000)) * 1000n };
    this.#wake = Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
    this.#epoll = Fd.from(epollCreate(EPOLL_CLOEXEC), "make an epoll set");
    epollCtl(this.#epoll.number, EPOLL_CTL_ADD, this.#wake.number, EPOLLIN, 0);
  }

  /** Records that found no room so far. */
  get dropped(): number {
    return this.#rings.reduce((sum, { reader }) => sum + reader.dropped, 0);
  }

  /** Now, in the time of the clock. */
  get now(): number {
    return Math.round((monotonicMicros() - this.#started) * 1000);
  }

  /** Makes a ring for one more writer. */
  addRing(size: number = RING_BYTES): RingHandle {
    const file = makeRingFile(size);
    const reader = new RecordReader(
      file.number,
      this.#started,
      () => ++this.#conversations,
      size,
    );
    this.#rings.push({ file, reader });
    // Whoever sleeps now does not know the new one.
    eventfdWrite(this.#wake.number, 1);
    return { fd: file.number, size, wakeFd: this.#wake.number };
  }

  /** Begins to hand records over. */
  start(): void {
    this.#observer.begin?.(this.clock);
    this.#running ??= this.#run();
  }

  /** Hands over what is left, and ends. No ring may be written to any more. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    eventfdWrite(this.#wake.number, 1);
    await this.#running;
    this.#drain();
    for (const { reader } of this.#rings) reader.closeAll(this.#observer, this.now);
    await this.#observer.end?.(this.now);
    for (const { file, reader } of this.#rings) {
      reader[Symbol.dispose]();
      file[Symbol.dispose]();
    }
    this.#epoll[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    const events = new EpollEvents(1);
    while (!this.#isStopping) {
      if (this.#drain()) {
        await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
        continue;
      }
      for (const { reader } of this.#rings) reader.sleeps = true;
      if (!this.#rings.some(({ reader }) => reader.hasRecords)) {
        await epollWaitAsync(this.#epoll.number, events, -1);
        eventfdRead(this.#wake.number);
      }
      for (const { reader } of this.#rings) reader.sleeps = false;
    }
  }

  #drain(): boolean {
    let isAny = false;
    for (const { reader } of this.#rings) if (reader.drain(this.#observer)) isAny = true;
    return isAny;
  }
}
