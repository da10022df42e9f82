/**
 * A thread's loop: sleeps in `epoll_wait` and does what is ready.
 *
 * The sleep is a plain blocking call, which costs what it costs in C. Promises, timers and messages
 * of Deno stand still meanwhile; only while somebody says that he needs them does the loop sleep in
 * a call that leaves the event loop running.
 *
 * @module
 */
import {
  EAGAIN,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EINTR,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epollCreate,
  epollCtl,
  EpollEvents,
  EPOLLIN,
  epollWait,
  epollWaitAsync,
  eventfd,
  eventfdRead,
  eventfdWrite,
  Fd,
  LinuxError,
} from "../linux/mod.ts";

/** Events taken from the kernel at once. */
const BATCH = 256;
/**
 * Turns given to promises after a round. What a tree without need of the event loop resolves is
 * answered within these: a lock is granted, its promise settles, the reply is encoded.
 */
const TURNS = 16;

/** Something that may need Deno's event loop to run while the thread would sleep. */
export interface LoopUser {
  /** True while promises are outstanding that need timers, messages or I/O of Deno's. */
  readonly needsEventLoop: boolean;
  /** True while any promise is outstanding. */
  readonly hasPromises: boolean;
}

interface Timer {
  readonly due: number;
  readonly run: () => void;
}

/** An event loop of one thread over epoll. */
export class Reactor implements Disposable {
  readonly #epoll: Fd;
  readonly #wake: Fd;
  readonly #events = new EpollEvents(BATCH);
  /** What to do, by descriptor. */
  readonly #watchers: (((events: number) => void) | undefined)[] = [];
  /** Soonest first. */
  readonly #timers: Timer[] = [];
  readonly #users = new Set<LoopUser>();
  #isStopped = false;
  #isSleepingAsync = false;

  /** Called when another thread has written to {@linkcode Reactor.wakeFd}. */
  onWake: () => void | Promise<void> = () => {};

  /**
   * Makes a loop; {@linkcode Reactor.run} starts it.
   *
   * @throws {LinuxError} If there are no descriptors left.
   */
  constructor() {
    this.#epoll = Fd.from(epollCreate(EPOLL_CLOEXEC), "make an epoll set");
    this.#wake = Fd.from(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "make an eventfd");
    this.watch(this.#wake.number, EPOLLIN, () => {});
  }

  /** An eventfd: writing to it from any thread wakes the loop. */
  get wakeFd(): number {
    return this.#wake.number;
  }

  /** Adds somebody whose promises the loop must heed. */
  use(user: LoopUser): void {
    this.#users.add(user);
  }

  /** Forgets such a one. */
  unuse(user: LoopUser): void {
    this.#users.delete(user);
  }

  /**
   * Calls `run` whenever one of `events` is the case.
   *
   * @param events `EPOLL*` bits; level-triggered unless they say otherwise.
   * @throws {LinuxError} If the kernel refuses.
   */
  watch(fd: number, events: number, run: (events: number) => void): void {
    const result = epollCtl(this.#epoll.number, EPOLL_CTL_ADD, fd, events, fd);
    if (result < 0) throw new LinuxError("watch a descriptor", -result);
    this.#watchers[fd] = run;
  }

  /** Changes which events are watched for. */
  rewatch(fd: number, events: number): void {
    epollCtl(this.#epoll.number, EPOLL_CTL_MOD, fd, events, fd);
  }

  /** Stops watching. To be called before the descriptor is closed. */
  unwatch(fd: number): void {
    this.#watchers[fd] = undefined;
    epollCtl(this.#epoll.number, EPOLL_CTL_DEL, fd, 0, fd);
  }

  /**
   * Calls `run` once, in `ms` milliseconds.
   *
   * @returns A function that calls it off.
   */
  after(ms: number, run: () => void): () => void {
    const timer: Timer = { due: performance.now() + ms, run };
    let at = this.#timers.length;
    while (at > 0 && (this.#timers[at - 1] as Timer).due > timer.due) at--;
    this.#timers.splice(at, 0, timer);
    if (this.#isSleepingAsync) this.#interrupt();
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  /** Runs until {@linkcode Reactor.stop}. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      const slept = this.#sleep();
      // Awaiting a number would cost a turn of the promise queue, which is a good part of a request.
      const count = typeof slept === "number" ? slept : await slept;
      if (count < 0 && count !== -EINTR) throw new LinuxError("wait for events", -count);
      let isWoken = false;
      for (let i = 0; i < count; i++) {
        const fd = this.#events.data(i);
        if (fd === this.#wake.number) isWoken = true;
        else this.#watchers[fd]?.(this.#events.events(i));
      }
      if (this.#timers.length > 0) this.#runTimers();
      if (isWoken && eventfdRead(this.#wake.number) !== -EAGAIN) await this.onWake();
      if (this.#hasPromises()) {
        for (let turn = 0; turn < TURNS; turn++) await undefined;
      }
    }
  }

  /** Ends the loop after this round. */
  stop(): void {
    this.#isStopped = true;
    this.#interrupt();
  }

  /** Gives the loop's own descriptors back. The loop must have ended. */
  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }

  #interrupt(): void {
    eventfdWrite(this.#wake.number, 1);
  }

  #sleep(): number | Promise<number> {
    const timeout = this.#timeout();
    if (!this.#needsEventLoop()) return epollWait(this.#epoll.number, this.#events, timeout);
    this.#isSleepingAsync = true;
    return epollWaitAsync(this.#epoll.number, this.#events, timeout).finally(() => {
      this.#isSleepingAsync = false;
    });
  }

  #timeout(): number {
    const first = this.#timers[0];
    if (first === undefined) return -1;
    return Math.max(0, Math.ceil(first.due - performance.now()));
  }

  #runTimers(): void {
    const now = performance.now();
    while (this.#timers.length > 0 && (this.#timers[0] as Timer).due <= now) {
      (this.#timers.shift() as Timer).run();
    }
  }

  #needsEventLoop(): boolean {
    for (const user of this.#users) if (user.needsEventLoop) return true;
    return false;
  }

  #hasPromises(): boolean {
    for (const user of this.#users) if (user.hasPromises) return true;
    return false;
  }
}
