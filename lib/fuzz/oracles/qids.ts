/**
 * O6: a file keeps its qid, no other has it, and its type bits are those of the file.
 *
 * @module
 */
import { type Qid, QTDIR, QTSYMLINK, S_IFDIR, S_IFLNK, S_IFMT } from "../../p9/mod.ts";
import type { Model, Node } from "../model.ts";
import type { Complaint, Oracle } from "./oracle.ts";

function judge(model: Model, node: Node | null, qid: Qid, what: string): Complaint | null {
  if (node === null || node.links === 0 || model.isLost) return null;
  if (node.qid !== null) {
    if (node.qid === qid.path) return judgeType(node, qid, what);
    return {
      oracle: "qids",
      severity: "medium",
      cause: `${what} gives a file another qid`,
      message: `${what} says that the qid's path is ${qid.path.toString(16)}, but it was ${
        node.qid.toString(16)
      } before`,
    };
  }
  if (isTaken(model.root, node, qid.path)) {
    return {
      oracle: "qids",
      severity: "high",
      cause: `${what} gives two files one qid`,
      message: `${what} gives two files the same qid path ${qid.path.toString(16)}`,
    };
  }
  return judgeType(node, qid, what);
}

function judgeType(node: Node, qid: Qid, what: string): Complaint | null {
  if (node.kind === "unknown") return null;
  const isFolder = (qid.type & QTDIR) !== 0;
  const isLink = (qid.type & QTSYMLINK) !== 0;
  if (isFolder === (node.kind === "folder") && (!isLink || node.kind === "link")) return null;
  return {
    oracle: "qids",
    severity: "medium",
    cause: `${what} has a qid of another type`,
    message: `${what} has qid type 0x${qid.type.toString(16)} for a ${node.kind}`,
  };
}

function isTaken(folder: Node, node: Node, path: bigint): boolean {
  if (folder !== node && folder.qid === path) return true;
  for (const child of folder.children.values()) {
    if (child === node) continue;
    if (child.kind === "folder" ? isTaken(child, node, path) : child.qid === path) return true;
  }
  return false;
}

/** The oracle of qids. */
export const QIDS: Oracle = {
  name: "qids",
  answered({ request, reply, session, model, isExact }) {
    if (!isExact) return null;
    switch (reply.kind) {
      case "Rlopen":
      case "Rgetattr": {
        if (!("fid" in request)) return null;
        if (reply.kind === "Rgetattr") {
          const type = reply.mode & S_IFMT;
          const isFolder = (reply.qid.type & QTDIR) !== 0;
          const isLink = (reply.qid.type & QTSYMLINK) !== 0;
          if (isFolder !== (type === S_IFDIR) || (isLink && type !== S_IFLNK)) {
            return {
              oracle: "qids",
              severity: "medium",
              cause: "qid and mode disagree",
              message: `Rgetattr has mode 0${reply.mode.toString(8)} but qid type 0x${
                reply.qid.type.toString(16)
              }`,
            };
          }
        }
        return judge(model, session.fids.get(request.fid)?.node ?? null, reply.qid, reply.kind);
      }
      case "Rwalk": {
        if (request.kind !== "Twalk") return null;
        let node = session.fids.get(request.fid)?.node ?? null;
        for (const [i, qid] of reply.wqid.entries()) {
          const name = request.wname[i] ?? "";
          if (node === null || name === ".") return null;
          node = name === ".." ? node.parent : node.children.get(name) ?? null;
          const complaint = judge(model, node, qid, "Rwalk");
          if (complaint !== null) return complaint;
        }
        return null;
      }
      case "Rattach":
        return request.kind === "Tattach" && request.aname === "$aname"
          ? judge(model, model.root, reply.qid, "Rattach")
          : null;
      default:
        return null;
    }
  },
};
