/**
 * O2: every request is answered in bounded time, and others are served meanwhile.
 *
 * @module
 */
import type { Oracle } from "./oracle.ts";

/** The oracle of time. */
export const HANG: Oracle = {
  name: "hang",
  ended({ health, unanswered, isServing }) {
    if (!health.isAlive) return null;
    if (!isServing) {
      return {
        oracle: "hang",
        severity: "critical",
        cause: "nobody is served any more",
        message: "A new connection gets no answer to Tversion any more",
      };
    }
    const first = unanswered.find((kind) => kind !== "Tflush");
    if (first === undefined) return null;
    return {
      oracle: "hang",
      severity: "high",
      cause: `${first} is never answered`,
      message: `${first} was not answered in time, though others are`,
    };
  },
};
