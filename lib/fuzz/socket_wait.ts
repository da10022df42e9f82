/**
 * Waiting for sockets: first with the thread, which costs least, then beside Deno's event loop.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  epollCreate,
  epollCtl,
  EpollEvents,
  epollWaitAsync,
  Fd,
  poll,
  PollSet,
} from "../linux/mod.ts";

/** Milliseconds for which the thread may be held: most servers have answered by then. */
const HELD_MS = 2;
/** Longest single wait beside the event loop, in milliseconds: so long may its end be late. */
const BESIDE_MS = 500;

let descriptors: PollSet | undefined;

/**
 * Waits with the thread, promises and timers included, but for a moment only.
 *
 * @param events `POLL*`
 * @param ms Most milliseconds, if less than that moment.
 * @returns Whether one of the events has come; or nobody knows, and a look at the socket tells.
 */
export function holdFor(fd: number, events: number, ms: number = HELD_MS): boolean {
  descriptors ??= new PollSet(1);
  descriptors.set(0, fd, events);
  return poll(descriptors, Math.ceil(Math.max(0, Math.min(ms, HELD_MS)))) !== 0;
}

/**
 * Waits without holding the thread, which the other side may need as well, but for a moment only.
 *
 * @returns As {@linkcode holdFor}.
 */
export async function turnFor(fd: number, events: number, ms: number): Promise<boolean> {
  const until = performance.now() + Math.min(ms, HELD_MS);
  while (!holdFor(fd, events, 0)) {
    if (performance.now() >= until) return false;
    await nextTurn();
  }
  return true;
}

/** Lets timers, messages and whatever else is due have their turn: 4 µs if there is nothing. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Waits for one socket beside the event loop. Close it before the socket. */
export class SocketWait implements AsyncDisposable {
  readonly #fd: number;
  #epoll: Fd | null = null;
  #room: EpollEvents | null = null;
  #events = 0;
  #waiting: Promise<void> | null = null;

  /** See `fd`, which is borrowed. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Waits until one of the events is the case, or for a part of the time: who waits looks himself.
   * Several may wait at once, for whatever one of them asked.
   *
   * @param events `EPOLL*`
   * @throws {LinuxError} If there are no descriptors left.
   */
  for(events: number, ms: number): Promise<void> {
    this.#watch(events);
    this.#waiting ??= this.#sleep(Math.max(0, Math.min(Math.ceil(ms), BESIDE_MS)));
    return this.#waiting;
  }

  /** Watches for further events, for those as well who wait already. */
  #watch(events: number): void {
    if (this.#epoll === null) {
      this.#epoll = Fd.from(epollCreate(EPOLL_CLOEXEC), "make an epoll set");
      epollCtl(this.#epoll.number, EPOLL_CTL_ADD, this.#fd, events, 0);
    } else if (events !== this.#events) {
      epollCtl(this.#epoll.number, EPOLL_CTL_MOD, this.#fd, events, 0);
    }
    this.#events = events;
  }

  async #sleep(ms: number): Promise<void> {
    const { number } = this.#epoll as Fd;
    await epollWaitAsync(number, this.#room ??= new EpollEvents(1), ms);
    this.#waiting = null;
  }

  /** Waits until nobody waits any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#waiting !== null) await this.#waiting;
    this.#epoll?.[Symbol.dispose]();
    this.#epoll = null;
  }
}
