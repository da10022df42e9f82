/**
 * Connections to other servers that are made on the loop, without blocking its thread.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import {
  close,
  connect,
  EAGAIN,
  EINPROGRESS,
  EPOLLOUT,
  familyOf,
  getsockopt,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  type SocketAddress,
  SOL_SOCKET,
} from "../linux/mod.ts";
import { errnoMessage } from "../p9/mod.ts";
import type { DialAddress } from "./dial.ts";
import { prepare } from "./listen.ts";
import type { Reactor } from "./reactor.ts";

/** Milliseconds after which a server that does not answer counts as gone. */
const CONNECT_MS = 10_000;
/** Milliseconds before another try where the server has too many connections waiting. */
const AGAIN_MS = 20;

/** Writes an address as the command line has it. */
export function formatDialAddress(to: DialAddress): string {
  if (to.kind === "unix") return `unix://${to.path}`;
  return `tcp://${to.host.includes(":") ? `[${to.host}]` : to.host}:${to.port}`;
}

/** One attempt to connect. It owns its socket until that is handed over. */
export class Connecting {
  readonly #reactor: Reactor;
  readonly #to: DialAddress;
  readonly #ended: (fd: number, why: string) => void;
  #stopTimer: () => void = () => {};
  #stopWaiting: () => void = () => {};
  #isLookingUp = false;
  #isOver = false;

  /**
   * Prepares an attempt; {@linkcode Connecting.start} begins it.
   *
   * @param ended Gets the socket, which does not block and is owned from then on; or -1 and why.
   * Called once, perhaps before `start` returns; never after `cancel`.
   */
  constructor(reactor: Reactor, to: DialAddress, ended: (fd: number, why: string) => void) {
    this.#reactor = reactor;
    this.#to = to;
    this.#ended = ended;
  }

  /** True while a name is being looked up, which needs Deno's event loop. */
  get needsEventLoop(): boolean {
    return this.#isLookingUp;
  }

  /** Begins. */
  start(): void {
    this.#stopTimer = this.#reactor.after(CONNECT_MS, () => this.#end(-1, "it does not answer"));
    const to = this.#to;
    if (to.kind === "unix") {
      const { path } = to;
      this.#connect(
        path.startsWith("@")
          ? { family: "unix", abstract: path.slice(1) }
          : { family: "unix", path },
      );
    } else if (isIP(to.host) !== 0) {
      this.#connect(inetAddress(to.host, isIP(to.host), to.port));
    } else {
      this.#isLookingUp = true;
      lookup(to.host).then(
        ({ address, family }) => {
          this.#isLookingUp = false;
          this.#connect(inetAddress(address, family, to.port));
        },
        () => {
          this.#isLookingUp = false;
          this.#end(-1, `there is no host "${to.host}"`);
        },
      );
    }
  }

  /** Gives up. */
  cancel(): void {
    if (!this.#isOver) this.#release();
  }

  #connect(address: SocketAddress): void {
    if (this.#isOver) return;
    const fd = socket(familyOf(address), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      this.#end(-1, errnoMessage(-fd));
      return;
    }
    const result = connect(fd, address);
    if (result === -EAGAIN) {
      // A unix socket whose server has not accepted others yet: nothing tells when it has.
      close(fd);
      this.#stopWaiting = this.#reactor.after(AGAIN_MS, () => this.#connect(address));
    } else if (result === -EINPROGRESS) {
      this.#reactor.watch(fd, EPOLLOUT, () => {
        this.#stopWaiting = () => {};
        this.#reactor.unwatch(fd);
        this.#settle(fd, -getsockopt(fd, SOL_SOCKET, SO_ERROR));
      });
      this.#stopWaiting = () => {
        this.#reactor.unwatch(fd);
        close(fd);
      };
    } else {
      this.#settle(fd, result);
    }
  }

  #settle(fd: number, result: number): void {
    if (result < 0) {
      close(fd);
      this.#end(-1, errnoMessage(-result));
      return;
    }
    prepare(fd);
    this.#end(fd, "");
  }

  #end(fd: number, why: string): void {
    if (this.#isOver) return;
    this.#release();
    this.#ended(fd, why);
  }

  #release(): void {
    this.#isOver = true;
    this.#isLookingUp = false;
    this.#stopTimer();
    this.#stopWaiting();
  }
}

function inetAddress(host: string, family: number, port: number): SocketAddress {
  return { family: family === 6 ? "inet6" : "inet", host, port };
}
