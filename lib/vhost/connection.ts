/** Messages over a unix stream socket, with the descriptors that come along. */

import {
  close,
  EAGAIN,
  EINTR,
  errorName,
  Fd,
  IoVectors,
  MappedMemory,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  poll,
  POLLIN,
  POLLOUT,
  PollSet,
  Received,
  recvmsg,
  sendmsg,
} from "../linux/mod.ts";
import { VhostUserError } from "./errors.ts";
import { formatMessage, HEADER_SIZE } from "./messages.ts";
import { MAX_FDS, MAX_PAYLOAD, requestName } from "./requests.ts";

const FRAME_SIZE = HEADER_SIZE + MAX_PAYLOAD;

/** A message as it came. It owns its descriptors until somebody takes them. */
export class RawMessage implements Disposable {
  /** Number of the request. */
  readonly request: number;
  /** `MESSAGE_FLAGS` */
  readonly flags: number;
  /** The payload, owned. */
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly #fds: number[];

  /**
   * Put a message together.
   *
   * @param fds Owned from here on.
   */
  constructor(
    request: number,
    flags: number,
    payload: Uint8Array<ArrayBuffer>,
    fds: readonly number[],
  ) {
    this.request = request;
    this.flags = flags;
    this.payload = payload;
    this.#fds = [...fds];
  }

  /** How many descriptors are left in it. */
  get fdCount(): number {
    return this.#fds.length;
  }

  /**
   * Take the first descriptor out.
   *
   * @returns It, owned by the caller from here on; undefined if there is none left.
   */
  takeFd(): Fd | undefined {
    const fd = this.#fds.shift();
    return fd === undefined ? undefined : new Fd(fd);
  }

  /** The message as a line of text. */
  toString(): string {
    return formatMessage(this.request, this.flags, this.payload, this.#fds.length);
  }

  /** Close the descriptors that nobody took. */
  [Symbol.dispose](): void {
    for (const fd of this.#fds) close(fd);
    this.#fds.length = 0;
  }
}

/** One end of a vhost-user socket. Owns the socket and whatever came from it and was not taken. */
export class VhostUserConnection implements Disposable {
  readonly #fd: Fd;
  readonly #memory = MappedMemory.anonymous(2 * FRAME_SIZE);
  readonly #vectors = new IoVectors(1);
  readonly #received = new Received();
  /** Bytes of the message that is coming in. */
  #got = 0;
  /** What of the sending half waits: from `#sent` to `#pending`. */
  #sent = 0;
  #pending = 0;

  /**
   * Own a connected socket.
   *
   * @param fd Owned from here on; it may be blocking or not.
   */
  constructor(fd: number) {
    this.#fd = new Fd(fd);
  }

  /** The socket, borrowed. */
  get fd(): number {
    return this.#fd.number;
  }

  /** Whether the socket is still open. */
  get isOpen(): boolean {
    return this.#fd.isOpen;
  }

  /** Whether bytes wait until the peer reads. */
  get hasPending(): boolean {
    return this.#sent < this.#pending;
  }

  /**
   * Read what has come, without waiting, up to one message.
   *
   * Header and payload are read apart: reading ahead would mix up whose descriptors came.
   *
   * @returns A message, owned by the caller; "wait" if it is not whole yet; "end" if the peer has
   * ended the connection between two messages.
   * @throws {VhostUserError} "bad-size", "bad-fd-count", "fds-lost", "ended-early",
   * "connection-lost"; the stream is of no use then.
   */
  tryReceive(): RawMessage | "wait" | "end" {
    for (;;) {
      const size = this.#sizeOfIncoming();
      if (this.#got === size) return this.#takeMessage(size);
      this.#vectors.clear();
      this.#vectors.add(this.#memory.address + this.#got, size - this.#got);
      const result = recvmsg(this.fd, this.#vectors, MSG_DONTWAIT, this.#received);
      if (result === -EAGAIN) return "wait";
      if (result < 0) {
        throw new VhostUserError(
          "connection-lost",
          `Cannot read a message: ${errorName(result)}`,
        );
      }
      if (result === 0) {
        if (this.#got === 0 && this.#received.fds.length === 0) return "end";
        throw new VhostUserError(
          "ended-early",
          `Cannot read a message: the peer ended the connection after ${this.#got} bytes of it`,
        );
      }
      this.#got += result;
      this.#checkFds();
    }
  }

  /** Bytes of the header, or of the whole message once that has come. */
  #sizeOfIncoming(): number {
    if (this.#got < HEADER_SIZE) return HEADER_SIZE;
    const size = this.#memory.view.getUint32(8, true);
    if (size <= MAX_PAYLOAD) return HEADER_SIZE + size;
    const number = this.#memory.view.getUint32(0, true);
    throw new VhostUserError(
      "payload-too-large",
      `Cannot read ${nameOf(number)}: ${size} bytes of payload are more than ${MAX_PAYLOAD}`,
      requestName(number),
    );
  }

  #checkFds(): void {
    if ((this.#received.flags & MSG_CTRUNC) !== 0) {
      throw new VhostUserError(
        "fds-lost",
        "Cannot read a message: no more descriptors can be open, so that some of its were lost",
      );
    }
    if (this.#received.fds.length > MAX_FDS) {
      throw new VhostUserError(
        "bad-fd-count",
        `Cannot read a message: ${this.#received.fds.length} descriptors are more than ${MAX_FDS}`,
      );
    }
  }

  #takeMessage(size: number): RawMessage {
    const { bytes, view } = this.#memory;
    const payload = bytes.slice(HEADER_SIZE, size);
    const message = new RawMessage(
      view.getUint32(0, true),
      view.getUint32(4, true),
      payload,
      this.#received.fds,
    );
    this.#received.fds.length = 0;
    this.#got = 0;
    return message;
  }

  /**
   * Send a message, without waiting. What the socket has no room for is kept and sent by
   * {@linkcode VhostUserConnection.flush}; until then, no other message may be sent.
   *
   * @param bytes The message, header included; borrowed for the call.
   * @param fds Descriptors whose duplicates the peer gets; borrowed. They go with the first byte:
   * without room for that, sending fails.
   * @returns Whether all of it is sent.
   * @throws {VhostUserError} "connection-lost"
   * @throws {RangeError} If the message is larger than any may be, or another one waits.
   */
  trySend(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    if (this.hasPending) throw new RangeError("Cannot send a message: another one waits");
    if (bytes.length > FRAME_SIZE) {
      throw new RangeError(`Cannot send a message: it has ${bytes.length} bytes`);
    }
    this.#memory.bytes.set(bytes, FRAME_SIZE);
    this.#sent = 0;
    this.#pending = bytes.length;
    return this.#push(fds);
  }

  /**
   * Send what waits, as far as possible without waiting.
   *
   * @returns Whether all of it is sent.
   * @throws {VhostUserError} "connection-lost"
   */
  flush(): boolean {
    return this.#push([]);
  }

  #push(fds: readonly number[]): boolean {
    let left = fds;
    while (this.#sent < this.#pending) {
      this.#vectors.clear();
      const start = this.#memory.address + FRAME_SIZE + this.#sent;
      this.#vectors.add(start, this.#pending - this.#sent);
      const result = sendmsg(this.fd, this.#vectors, MSG_DONTWAIT | MSG_NOSIGNAL, left);
      if (result === -EAGAIN && left.length === 0) return false;
      if (result < 0) {
        this.#pending = this.#sent;
        throw new VhostUserError(
          "connection-lost",
          `Cannot send a message: ${errorName(result)}`,
        );
      }
      left = [];
      this.#sent += result;
    }
    return true;
  }

  /**
   * Block the thread until the peer has sent something, or takes something.
   *
   * @returns False if the time is over.
   */
  waitFor(what: "input" | "room", timeoutMs: number): boolean {
    return waitForFd(this.fd, what === "input" ? POLLIN : POLLOUT, timeoutMs);
  }

  /** Close the socket and every descriptor that came and was not taken. */
  [Symbol.dispose](): void {
    this.#received.closeAll();
    this.#fd[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }
}

let set: PollSet | undefined;

/**
 * Block the thread until a descriptor is ready, or has an error, which the next call on it tells.
 *
 * @param events `POLL*`
 * @param timeoutMs Longest wait; -1 for ever.
 * @returns False if the time is over.
 */
export function waitForFd(fd: number, events: number, timeoutMs: number): boolean {
  set ??= new PollSet(1);
  set.set(0, fd, events);
  const end = timeoutMs < 0 ? 0 : performance.now() + timeoutMs;
  for (;;) {
    const left = timeoutMs < 0 ? -1 : Math.max(0, Math.ceil(end - performance.now()));
    const result = poll(set, left);
    if (result !== -EINTR) return result > 0;
  }
}

function nameOf(number: number): string {
  return requestName(number) ?? `request ${number}`;
}
