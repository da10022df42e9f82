/**
 * Numbers of users and groups that a client has otherwise than the host.
 *
 * @module
 */
import { NO_ID } from "../modes.ts";
import { OVERFLOW_ID } from "./host_users.ts";

/** Consecutive numbers of a client that stand for as many consecutive numbers of the host. */
export interface IdRange {
  /** First number of the client. */
  readonly client: number;
  /** What it is on the host. */
  readonly host: number;
  /** How many there are. */
  readonly count: number;
}

/** Clients' users that are turned into one user of the host, who may do no more than that one. */
export interface Squash {
  /** Whose requests: those of root, or everybody's. */
  readonly who: "root" | "all";
  /** User of the host. */
  readonly uid: number;
  /** Group of the host. */
  readonly gid: number;
}

/** How numbers are translated. */
export interface IdMapOptions {
  /** Users; without a range, all are the same here and there. */
  readonly uids?: readonly IdRange[];
  /** Groups. */
  readonly gids?: readonly IdRange[];
  /** Whom to turn into somebody else, before the ranges are looked at. */
  readonly squash?: Squash;
}

/** What is wrong with ranges, or undefined. */
export function checkRanges(ranges: readonly IdRange[]): string | undefined {
  for (const range of ranges) {
    const { client, host, count } = range;
    const isRange = [client, host, count].every((each) => Number.isInteger(each) && each >= 0);
    if (!isRange || count === 0 || client + count > NO_ID || host + count > NO_ID) {
      return `${formatRange(range)} is no range of numbers below ${NO_ID}`;
    }
  }
  for (const side of ["client", "host"] as const) {
    const sorted = [...ranges].sort((a, b) => a[side] - b[side]);
    for (let i = 1; i < sorted.length; i++) {
      const [before, after] = [sorted[i - 1], sorted[i]];
      if (before === undefined || after === undefined) continue;
      if (before[side] + before.count > after[side]) {
        const where = side === "client" ? "of the client" : "of the host";
        return `${formatRange(before)} and ${formatRange(after)} overlap in numbers ${where}`;
      }
    }
  }
  return undefined;
}

/** A range as it is written. */
export function formatRange({ client, host, count }: IdRange): string {
  return `${client}:${host}:${count}`;
}

/** Translates numbers of users or of groups. */
export class IdMap {
  readonly #ranges: readonly IdRange[];
  readonly #who: Squash["who"] | null;
  readonly #to: number;

  /**
   * Takes ranges that do not overlap.
   *
   * @param to Number on the host of those who are squashed.
   * @throws {RangeError} If ranges overlap.
   */
  constructor(ranges: readonly IdRange[], who: Squash["who"] | null, to: number) {
    const fault = checkRanges(ranges);
    if (fault !== undefined) throw new RangeError(`Cannot translate numbers: ${fault}`);
    this.#ranges = ranges;
    this.#who = who;
    this.#to = to;
  }

  /** Number on the host of somebody who was found there, unless squashed. */
  squashed(host: number): number {
    return this.#who === "all" || host === 0 && this.#who === "root" ? this.#to : host;
  }

  /**
   * Number on the host of a client's, or 4294967295 if it has none. A client that names nobody stands
   * for the server's own user, which may be root: so it is squashed with root.
   */
  toHost(id: number): number {
    if (this.#who === "all") return this.#to;
    if (this.#who === "root" && (id === 0 || id === NO_ID)) return this.#to;
    if (this.#ranges.length === 0 || id === NO_ID) return id;
    for (const { client, host, count } of this.#ranges) {
      if (id >= client && id < client + count) return host + (id - client);
    }
    return NO_ID;
  }

  /** Number that a client sees of one of the host; that of nobody if it has none. */
  toClient(id: number): number {
    if (this.#who === "all") return this.#to;
    if (this.#ranges.length === 0) return id;
    for (const { client, host, count } of this.#ranges) {
      if (id >= host && id < host + count) return client + (id - host);
    }
    return OVERFLOW_ID;
  }
}
