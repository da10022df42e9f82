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

/**
 * Milliseconds in which records gather, so that we seldom take a processor from those who are observed:
 * as many as possible, but rings must not overflow meanwhile.
 */
const LONGEST_MS = 32;
const SHORTEST_MS = 1;
/** How full a ring may be before it is emptied more often, and when less often. */
const TOO_FULL = 1 / 8;
const EMPTY = 1 / 32;

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
    let gatherMs = SHORTEST_MS;
    while (!this.#isStopping) {
      const filled = this.#drain();
      if (filled > 0) {
        if (filled > TOO_FULL) gatherMs = Math.max(SHORTEST_MS, gatherMs / 4);
        else if (filled < EMPTY) gatherMs = Math.min(LONGEST_MS, gatherMs * 2);
        await new Promise((resolve) => setTimeout(resolve, gatherMs));
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

  /** Hands over what there is. Returns how full the fullest ring was. */
  #drain(): number {
    let most = 0;
    for (const { reader } of this.#rings) most = Math.max(most, reader.drain(this.#observer));
    return most;
  }
}
