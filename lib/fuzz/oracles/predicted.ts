/**
 * What the oracles of the model share: comparing what came with what had to.
 *
 * @module
 */
import { ERRNO, errnoName } from "../../p9/mod.ts";
import { fits } from "../profiles.ts";
import type { OracleName } from "../types.ts";
import type { Answer, Complaint } from "./oracle.ts";

/** Errors of servers that have run out of something: never wrong. */
const SCARCE: ReadonlySet<number> = new Set([
  ERRNO.EMFILE,
  ERRNO.ENFILE,
  ERRNO.ENOMEM,
  ERRNO.ENOSPC,
  ERRNO.EDQUOT,
  ERRNO.EAGAIN,
  ERRNO.EINTR,
  ERRNO.EROFS,
  ERRNO.EOPNOTSUPP,
  ERRNO.ENOSYS,
]);

/** Compares an answer with its prediction, if the prediction is that of the oracle. */
export function judgePrediction(oracle: OracleName, answer: Answer): Complaint | null {
  const { prediction, request, reply, isExact, profile } = answer;
  if (prediction.oracle !== oracle || prediction.must === "either" || !isExact) return null;
  const isError = reply.kind === "Rlerror";
  if (prediction.must === "succeed") {
    if (!isError || SCARCE.has(reply.ecode)) return null;
    return {
      oracle,
      severity: "medium",
      cause: `${request.kind} refused though ${prediction.why}`,
      message: `${request.kind} was refused with ${
        errnoName(reply.ecode) ?? reply.ecode
      }, but ${prediction.why}`,
    };
  }
  if (!isError) {
    return {
      oracle,
      severity: oracle === "fids" ? "high" : "medium",
      cause: `${request.kind} served though ${prediction.why}`,
      message: `${request.kind} was answered with ${reply.kind}, but ${prediction.why}`,
    };
  }
  const { errors } = prediction;
  if (errors === null || fits(profile, errors, reply.ecode) || SCARCE.has(reply.ecode)) return null;
  const name = errnoName(reply.ecode) ?? String(reply.ecode);
  return {
    oracle,
    severity: "low",
    cause: `${request.kind} refused with ${name} when ${prediction.why}`,
    message: `${request.kind} was refused with ${name}, but ${prediction.why}: ${
      errors.map((code) => errnoName(code) ?? String(code)).join(", ")
    } would be right`,
  };
}
