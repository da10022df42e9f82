/**
 * O3: every answer is a message, of the right type, no longer than was agreed.
 *
 * What is no message at all, or answers nothing, is told by whoever cuts the stream apart.
 *
 * @module
 */
import { REPLY, type TKind, TYPE } from "../../p9/mod.ts";
import type { Complaint, Oracle } from "./oracle.ts";
import { judgePrediction } from "./predicted.ts";

/** Makes a complaint about framing. */
export function misframed(cause: string, message: string): Complaint {
  return { oracle: "framing", severity: "high", cause, message };
}

/** The oracle of types and sizes. */
export const FRAMING: Oracle = {
  name: "framing",
  answered(answer) {
    const { request, reply, frame, session } = answer;
    if (TYPE[reply.kind] % 2 === 0) {
      return misframed("a request as an answer", `${request.kind} was answered with ${reply.kind}`);
    }
    const right = REPLY[request.kind as TKind];
    if (
      right !== undefined && reply.kind !== right && reply.kind !== "Rlerror" &&
      reply.kind !== "Rerror"
    ) {
      return misframed(
        `${request.kind} answered with ${reply.kind}`,
        `${request.kind} was answered with ${reply.kind} instead of ${right}`,
      );
    }
    if (request.kind === "Tversion") {
      if (reply.kind === "Rversion" && reply.msize > request.msize) {
        return misframed(
          "a larger msize than was asked for",
          `Tversion asked for an msize of ${request.msize} and was given ${reply.msize}`,
        );
      }
    } else if (session.hasVersion && frame.length > session.msize) {
      return misframed(
        `${reply.kind} larger than msize`,
        `${reply.kind} has ${frame.length} bytes, but msize is ${session.msize}`,
      );
    }
    return judgePrediction("framing", answer);
  },
};
