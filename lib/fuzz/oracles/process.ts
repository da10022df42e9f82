/**
 * O1: the process lives and has nothing to say against itself.
 *
 * @module
 */
import type { Oracle } from "./oracle.ts";

/** Leaves out of a line what differs from run to run, so that it can name a cause. */
export function stable(line: string): string {
  return line
    .replace(/^\d{4}-\d\d-\d\dT\S+\s+/, "")
    .replace(/0x[0-9a-f]+/gi, "0x…")
    .replace(/\b\d{4,}\b/g, "N")
    .replace(/\/(?:tmp|dev\/shm)\/\S+/g, "PATH")
    .slice(0, 160);
}

/** The oracle of the process. */
export const PROCESS: Oracle = {
  name: "process",
  ended({ health }) {
    const last = health.complaints.at(-1);
    if (!health.isAlive) {
      const said = last === undefined ? "" : `: ${stable(last)}`;
      return {
        oracle: "process",
        severity: "critical",
        cause: `${health.end}${said}`,
        message: `The process ended with ${health.end}${said}`,
      };
    }
    if (last === undefined) return null;
    return {
      oracle: "process",
      severity: "high",
      cause: stable(last),
      message: `The process says: ${stable(last)}`,
    };
  },
};
