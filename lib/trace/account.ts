/**
 * What of a capture could not be read: each kind once, with how often and where first.
 *
 * @module
 */

/** Everything that can be wrong with a capture. */
export const PROBLEMS = {
  "no-capture": "the file is no capture: neither pcap nor pcapng",
  "packed": "the compressed data are damaged: the rest of the file could not be unpacked",
  "not-read": "the file could not be read to its end",
  "file-ends": "the file ends inside of a packet or block",
  "bad-record": "bytes that are no packet header, skipped until packets went on",
  "bad-block": "bytes that are no pcapng block, skipped until blocks went on",
  "short-block": "blocks too short for what they should hold",
  "no-interface": "packets of an interface that is not described",
  "link-type": "packets of a link type that cannot be read",
  "short-packet": "packets cut off before their TCP segment begins",
  "bad-ip": "packets without a valid IP header",
  "bad-tcp": "segments without a valid TCP header",
  "bad-pdu": "exported messages whose tags cannot be read",
  "fragments": "packets of which not all fragments were captured",
  "evicted": "conversations given up because too many were under way at once",
} as const;

/** Name of a problem. */
export type ProblemName = keyof typeof PROBLEMS;

/** A problem that a capture has. */
export interface Problem {
  /** Its name. */
  readonly name: ProblemName;
  /** How often it occurs. */
  readonly count: number;
  /** Offset in the file, unpacked, where it occurs first. */
  readonly offset: number;
  /** Bytes that were skipped because of it. */
  readonly bytes: number;
  /** More about the first time; "" if there is nothing. */
  readonly detail: string;
}

/** Collects problems; takes the same memory however many there are. */
export class Account {
  readonly #problems = new Map<
    ProblemName,
    { name: ProblemName; count: number; offset: number; bytes: number; detail: string }
  >();

  /** What was found, in order of the first time. */
  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  /** Notes a problem at an offset, and the bytes that it costs. */
  note(name: ProblemName, offset: number, bytes = 0, detail = ""): void {
    const problem = this.#problems.get(name);
    if (problem === undefined) {
      this.#problems.set(name, { name, count: 1, offset, bytes, detail });
    } else {
      problem.count++;
      problem.bytes += bytes;
    }
  }
}

/** Puts a problem in a line. */
export function formatProblem({ name, count, offset, bytes, detail }: Problem): string {
  const often = count === 1 ? `at offset ${offset}` : `${count} times, first at offset ${offset}`;
  const skipped = bytes === 0 ? "" : `, ${bytes} bytes`;
  return `${PROBLEMS[name]} (${often}${skipped}${detail === "" ? "" : `; ${detail}`})`;
}
