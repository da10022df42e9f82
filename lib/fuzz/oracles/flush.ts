/**
 * O12: Rflush always comes, and no answer to the flushed request after it.
 *
 * @module
 */
import type { Complaint, Oracle } from "./oracle.ts";
import { judgePrediction } from "./predicted.ts";

/** Tells of an answer that came too late. */
export function afterFlush(kind: string): Complaint {
  return {
    oracle: "flush",
    severity: "high",
    cause: `${kind} after Rflush`,
    message: `${kind} came after the Rflush of its request, whose tag is free by then`,
  };
}

/** The oracle of Tflush. */
export const FLUSH: Oracle = {
  name: "flush",
  answered: (answer) => judgePrediction("flush", answer),
  ended({ health, unanswered, isServing }) {
    if (!health.isAlive || !isServing || !unanswered.includes("Tflush")) {
      return null;
    }
    return {
      oracle: "flush",
      severity: "high",
      cause: "Tflush is never answered",
      message: "Tflush was not answered in time, though others are",
    };
  },
};
