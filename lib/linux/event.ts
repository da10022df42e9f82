/** Waiting: epoll, poll, eventfd and pipes. */

import { arch } from "./arch.ts";
import { EINTR } from "./constants.ts";
import {
  arenaView,
  at,
  EVENT,
  interrupted,
  libc,
  outcome,
  pin,
  type Pinned,
  SLOT,
  TIMES,
  u64,
} from "./libc.ts";

/**
 * eventfd(2)
 *
 * @param flags `EFD_*`
 */
export function eventfd(initial: number, flags: number): number {
  return outcome(libc().eventfd(initial, flags));
}

/**
 * Add to an eventfd: 0, or minus the error.
 *
 * @param value From 1 to 2^53 - 1.
 */
export function eventfdWrite(fd: number, value: number): number {
  const c = libc();
  arenaView.setUint32(SLOT.OPTION, value, true);
  arenaView.setUint32(SLOT.OPTION + 4, value / 4294967296, true);
  const pointer = at(SLOT.OPTION);
  for (;;) {
    const result = c.write(fd, pointer, 8n);
    if (result >= 0) return 0;
    if (!interrupted()) return outcome(result);
  }
}

/**
 * Take an eventfd's count, 1 for a semaphore, or minus the error: EAGAIN if it is 0 and the
 * descriptor does not wait.
 */
export function eventfdRead(fd: number): number {
  const c = libc();
  const pointer = at(SLOT.OPTION);
  for (;;) {
    const result = c.read(fd, pointer, 8n);
    if (result >= 0) {
      return arenaView.getUint32(SLOT.OPTION, true) +
        arenaView.getUint32(SLOT.OPTION + 4, true) * 4294967296;
    }
    if (!interrupted()) return outcome(result);
  }
}

/**
 * epoll_create1(2)
 *
 * @param flags `EPOLL_CLOEXEC`
 */
export function epollCreate(flags: number): number {
  return outcome(libc().epoll_create1(flags));
}

/**
 * epoll_ctl(2)
 *
 * @param operation `EPOLL_CTL_*`
 * @param events `EPOLL*`
 * @param data Given back with each event; from 0 to 2^53 - 1.
 */
export function epollCtl(
  epfd: number,
  operation: number,
  fd: number,
  events: number,
  data: number,
): number {
  const c = libc();
  arenaView.setUint32(SLOT.EVENT, events, true);
  arenaView.setUint32(SLOT.EVENT + arch.epollDataOffset, data, true);
  arenaView.setUint32(SLOT.EVENT + arch.epollDataOffset + 4, data / 4294967296, true);
  return outcome(c.epoll_ctl(epfd, operation, fd, EVENT));
}

/** `CLOCK_MONOTONIC` */
const MONOTONIC = 1;

/**
 * Microseconds of a clock that never goes back, with fractions. Costs a fifth of what
 * `performance.now()` does.
 */
export function monotonicMicros(): number {
  libc().clock_gettime(MONOTONIC, TIMES);
  const seconds = arenaView.getUint32(SLOT.TIMES, true);
  const nanoseconds = arenaView.getUint32(SLOT.TIMES + 8, true);
  return seconds * 1e6 + nanoseconds / 1e3;
}

/** Events that epoll reported, decoded in place; they hold until the next wait. */
export class EpollEvents {
  /** Most events of one wait. */
  readonly capacity: number;
  /** Where the kernel writes. */
  readonly pointer: bigint;
  readonly #view: DataView;

  /**
   * Allocate room for events.
   *
   * @param capacity Most events of one wait.
   */
  constructor(capacity: number) {
    const pinned: Pinned = pin(capacity * arch.epollEventSize);
    this.capacity = capacity;
    this.pointer = pinned.pointer;
    this.#view = pinned.view;
  }

  /**
   * What happened, `EPOLL*`.
   *
   * @param index Below what `epollWait` returned.
   */
  events(index: number): number {
    return this.#view.getUint32(index * arch.epollEventSize, true);
  }

  /**
   * What `epollCtl` was given as data.
   *
   * @param index Below what `epollWait` returned.
   */
  data(index: number): number {
    const offset = index * arch.epollEventSize + arch.epollDataOffset;
    return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 4294967296;
  }
}

/**
 * epoll_wait(2). Blocks the thread, timers and promises included. Not retried when interrupted,
 * since the timeout would start anew: -EINTR.
 *
 * @param timeoutMs Longest wait; 0 not at all, -1 for ever.
 * @returns How many events, or minus the error.
 */
export function epollWait(epfd: number, events: EpollEvents, timeoutMs: number): number {
  return outcome(libc().epoll_wait(epfd, events.pointer, events.capacity, timeoutMs));
}

/**
 * As {@linkcode epollWait}, on a thread of its own: timers, promises and messages go on meanwhile.
 * Costs about 30 µs more.
 *
 * @returns Settles with how many events, or -EINTR for any failure: the other thread's errno is out
 * of reach, and with a good descriptor there is no other one.
 */
export async function epollWaitAsync(
  epfd: number,
  events: EpollEvents,
  timeoutMs: number,
): Promise<number> {
  const result = await libc().epoll_wait_async(epfd, events.pointer, events.capacity, timeoutMs);
  return result < 0 ? -EINTR : result;
}

/** Descriptors to poll. `struct pollfd`: fd[4] events[2] revents[2] */
export class PollSet {
  /** Most descriptors. */
  readonly capacity: number;
  /** The kernel's array. */
  readonly pointer: bigint;
  readonly #view: DataView;

  /**
   * Allocate room; all descriptors are -1, which poll ignores.
   *
   * @param capacity Most descriptors.
   */
  constructor(capacity: number) {
    const pinned: Pinned = pin(capacity * 8);
    this.capacity = capacity;
    this.pointer = pinned.pointer;
    this.#view = pinned.view;
    for (let index = 0; index < capacity; index++) this.set(index, -1, 0);
  }

  /**
   * Watch a descriptor; a negative one is ignored.
   *
   * @param events `POLL*`
   */
  set(index: number, fd: number, events: number): void {
    this.#view.setInt32(index * 8, fd, true);
    this.#view.setUint16(index * 8 + 4, events, true);
    this.#view.setUint16(index * 8 + 6, 0, true);
  }

  /** What happened, `POLL*`; 0 for nothing. */
  revents(index: number): number {
    return this.#view.getUint16(index * 8 + 6, true);
  }
}

/** poll(2); waits and returns as {@linkcode epollWait}, -EINTR included. */
export function poll(set: PollSet, timeoutMs: number): number {
  return outcome(libc().poll(set.pointer, u64(set.capacity), timeoutMs));
}

/**
 * pipe2(2) @param flags `O_CLOEXEC`, `O_NONBLOCK`, `O_DIRECT`
 *
 * @returns The end to read and the end to write, which the caller closes; or minus the error.
 */
export function pipe2(flags: number): [reader: number, writer: number] | number {
  const result = libc().pipe2(at(SLOT.PAIR), flags);
  if (result < 0) return outcome(result);
  return [arenaView.getInt32(SLOT.PAIR, true), arenaView.getInt32(SLOT.PAIR + 4, true)];
}
