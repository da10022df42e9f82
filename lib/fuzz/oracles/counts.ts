/**
 * O4: nobody gets more than was asked for, or than there is; lists consist of whole items.
 *
 * @module
 */
import { decodeDirents, IOHDRSZ } from "../../p9/mod.ts";
import type { Complaint, Oracle } from "./oracle.ts";
import { judgePrediction } from "./predicted.ts";

function miscounted(cause: string, message: string): Complaint {
  return { oracle: "counts", severity: "high", cause, message };
}

function judgeDirents(data: Uint8Array): Complaint | null {
  const { entries, rest } = decodeDirents(data);
  if (rest.length > 0) {
    return miscounted(
      "Rreaddir ends in the middle of an entry",
      `Rreaddir ends with ${rest.length} bytes of a cut entry`,
    );
  }
  for (const { name, offset } of entries) {
    if (name === "" || /[/\0]/.test(name)) {
      return miscounted(
        "Rreaddir has a name that is none",
        `Rreaddir has an entry named ${JSON.stringify(name)}`,
      );
    }
    if (offset === 0n) {
      return miscounted(
        "Rreaddir has an offset of 0",
        `Rreaddir has offset 0 after ${JSON.stringify(name)}, which means the beginning`,
      );
    }
  }
  return null;
}

/** The oracle of counts. */
export const COUNTS: Oracle = {
  name: "counts",
  answered(answer) {
    const { request, reply, session, prediction, isExact } = answer;
    switch (reply.kind) {
      case "Rread":
      case "Rreaddir":
        if (
          (request.kind === "Tread" || request.kind === "Treaddir") &&
          reply.data.length > request.count
        ) {
          return miscounted(
            `${reply.kind} longer than asked for`,
            `${request.kind} asked for ${request.count} bytes and was given ${reply.data.length}`,
          );
        }
        if (reply.kind === "Rreaddir") {
          const complaint = judgeDirents(reply.data);
          if (complaint !== null) return complaint;
        }
        break;
      case "Rwrite":
        if (request.kind === "Twrite" && reply.count > request.data.length) {
          return miscounted(
            "Rwrite counts more than was sent",
            `Twrite had ${request.data.length} bytes, of which ${reply.count} are said to be written`,
          );
        }
        break;
      case "Rwalk": {
        if (request.kind !== "Twalk") break;
        const want = request.wname.length;
        const have = reply.wqid.length;
        if (have > want) {
          return miscounted(
            "Rwalk has more qids than names",
            `Twalk had ${want} names and was given ${have} qids`,
          );
        }
        if (want > 0 && have === 0) {
          return miscounted(
            "Rwalk without a qid",
            `Twalk of ${want} names was answered with no qid instead of an error`,
          );
        }
        const { walked } = prediction;
        if (isExact && prediction.must === "succeed" && walked >= 0 && have !== walked) {
          return miscounted(
            have > walked ? "Rwalk goes further than there are names" : "Rwalk stops early",
            `Twalk of ${want} names was given ${have} qids, but ${walked} of the names are there`,
          );
        }
        break;
      }
      case "Rlopen":
      case "Rlcreate":
        if (session.hasVersion && reply.iounit > Math.max(0, session.msize - IOHDRSZ)) {
          return miscounted(
            "iounit larger than msize allows",
            `${reply.kind} has an iounit of ${reply.iounit}, but msize is ${session.msize}`,
          );
        }
        break;
    }
    return judgePrediction("counts", answer);
  },
};
