/**
 * Telling of those who were refused, without letting them fill the log.
 *
 * @module
 */
import type { Peer } from "../transport/mod.ts";
import type { LogEvent } from "./types.ts";

/** Milliseconds until the same peer is told of again. */
const REPEAT_MS = 10 * 60_000;
/** Lines in so many milliseconds. */
const MAX_LINES = 10;
const LINES_MS = 60_000;
/** Peers to remember. */
const MAX_PEERS = 1024;

/**
 * Tells of each peer once in ten minutes, of ten in a minute at most, and counts the others for the
 * next line.
 */
export class Refusals {
  readonly #log: (event: LogEvent) => void;
  readonly #now: () => number;
  /** When each peer was told of, the oldest first. */
  readonly #told = new Map<string, number>();
  #lines = 0;
  #linesSince = -Infinity;
  #untold = 0;

  /**
   * Makes a list of peers that is empty.
   *
   * @param now Milliseconds since some moment.
   */
  constructor(log: (event: LogEvent) => void, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /**
   * Takes note of a refusal.
   *
   * @param what What was refused to the peer: "a connection", "export "a"".
   * @param why The rule that did it.
   */
  refused(peer: Peer, what: string, why: string): void {
    const now = this.#now();
    const key = `${keyOf(peer)} ${what}`;
    const told = this.#told.get(key);
    if (now - this.#linesSince >= LINES_MS) [this.#linesSince, this.#lines] = [now, 0];
    if ((told !== undefined && now - told < REPEAT_MS) || this.#lines >= MAX_LINES) {
      this.#untold++;
      return;
    }
    this.#lines++;
    this.#told.delete(key);
    this.#told.set(key, now);
    if (this.#told.size > MAX_PEERS) {
      for (const oldest of this.#told.keys()) {
        this.#told.delete(oldest);
        break;
      }
    }
    const fields = { peer: peer.address, ...(this.#untold > 0 ? { untold: this.#untold } : {}) };
    this.#untold = 0;
    this.#log({ level: "warn", message: `refused ${what}: ${why}`, fields });
  }
}

/** What all connections of one peer have in common. */
function keyOf({ socket, credentials, address }: Peer): string {
  switch (socket?.family) {
    case "inet":
    case "inet6":
      return socket.host;
    case "vsock":
      return `vsock ${socket.cid}`;
    case "unix":
      return `unix ${credentials?.uid}`;
    case undefined:
      return address;
  }
}
