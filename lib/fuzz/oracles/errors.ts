/**
 * O7: requests succeed that must, fail that must, and with an error that fits.
 *
 * @module
 */
import type { Oracle } from "./oracle.ts";
import { judgePrediction } from "./predicted.ts";

/** Largest error number that a Linux client takes. */
const MAX_ERRNO = 4095;

/** The oracle of results. */
export const ERRORS: Oracle = {
  name: "errors",
  answered(answer) {
    const { reply, request } = answer;
    if (reply.kind === "Rlerror" && (reply.ecode === 0 || reply.ecode > MAX_ERRNO)) {
      return {
        oracle: "errors",
        severity: "medium",
        cause: `${request.kind} refused with a number that is no error`,
        message: `${request.kind} was refused with ${reply.ecode}, which is no error number`,
      };
    }
    return judgePrediction("errors", answer);
  },
};
