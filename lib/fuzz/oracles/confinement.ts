/**
 * O10: nothing outside of the export is told, read or changed.
 *
 * @module
 */
import { decodeDirents } from "../../p9/mod.ts";
import { ANAME } from "../case.ts";
import { SECRET_NAME } from "../export.ts";
import type { Complaint, Oracle } from "./oracle.ts";

function escaped(cause: string, message: string): Complaint {
  return { oracle: "confinement", severity: "critical", cause, message };
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  const first = part[0] ?? 0;
  for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + part.length > bytes.length) return false;
    let i = 1;
    while (i < part.length && bytes[at + i] === part[i]) i++;
    if (i === part.length) return true;
  }
  return false;
}

/**
 * Makes the oracle of confinement.
 *
 * @param secret What is in the file outside; empty if there is none.
 */
export function confinement(secret: Uint8Array): Oracle {
  return {
    name: "confinement",
    answered({ request, reply, session, model, isExact }) {
      if (reply.kind === "Rwalk" && request.kind === "Twalk" && isExact) {
        // walk(5): the parent of the root is the root.
        let node = session.fids.get(request.fid)?.node ?? null;
        const { root } = model;
        for (const [i, qid] of reply.wqid.entries()) {
          const name = request.wname[i] ?? "";
          if (node === null) break;
          if (name === ".." && node === root && root.qid !== null && qid.path !== root.qid) {
            return escaped(
              "Twalk of .. leaves the export",
              `Twalk of ".." at the root leads to qid path ${
                qid.path.toString(16)
              }, but the root's is ${root.qid.toString(16)}`,
            );
          }
          node = name === "."
            ? node
            : name === ".."
            ? node.parent
            : node.children.get(name) ?? null;
        }
      } else if (reply.kind === "Rread" && secret.length > 0 && includes(reply.data, secret)) {
        return escaped(
          "a file outside of the export was read",
          "Rread has the contents of a file outside of the export",
        );
      } else if (reply.kind === "Rreaddir" && secret.length > 0) {
        if (decodeDirents(reply.data).entries.some(({ name }) => name === SECRET_NAME)) {
          return escaped(
            "a folder outside of the export was listed",
            "Rreaddir lists a folder outside of the export",
          );
        }
      } else if (reply.kind === "Rattach" && request.kind === "Tattach" && isExact) {
        const isElsewhere = request.aname.includes("..") && request.aname !== ANAME;
        if (isElsewhere && model.root.qid !== null && reply.qid.path !== model.root.qid) {
          return escaped(
            "Tattach of .. leaves the export",
            `Tattach of ${JSON.stringify(request.aname)} leads to another file than the root`,
          );
        }
      }
      return null;
    },
    ended: ({ trespass }) =>
      trespass === undefined
        ? null
        : escaped("something outside of the export was changed", trespass),
  };
}
