/**
 * O8: what is read is what was written; sizes, modes, names and targets are what they were made.
 *
 * @module
 */
import {
  decodeDirents,
  GETATTR_MODE,
  GETATTR_SIZE,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../p9/mod.ts";
import type { Node } from "../model.ts";
import type { Complaint, Oracle } from "./oracle.ts";

function wrong(cause: string, message: string): Complaint {
  return { oracle: "data", severity: "high", cause, message };
}

/** Longest entry of a folder: qid, offset, type, and a name of 255 bytes. */
const MAX_DIRENT = 13 + 8 + 1 + 2 + 255;

function judgeRead(node: Node, offset: bigint, count: number, have: Uint8Array): Complaint | null {
  const { data } = node;
  if (data === null) return null;
  const from = offset > BigInt(data.length) ? data.length : Number(offset);
  const rest = Math.min(count, data.length - from);
  if (have.length > rest) {
    return wrong(
      "Rread past the end of a file",
      `Rread has ${have.length} bytes at ${offset}, but the file ends after ${rest}`,
    );
  }
  if (have.length === 0 && rest > 0) {
    return wrong(
      "Rread is empty before the end of a file",
      `Rread is empty at ${offset}, but ${rest} bytes follow`,
    );
  }
  for (let i = 0; i < have.length; i++) {
    if (have[i] !== data[from + i]) {
      return wrong(
        "Rread has other bytes than were written",
        `Rread has byte ${have[i]} at ${from + i}, but ${data[from + i]} was written`,
      );
    }
  }
  return null;
}

function judgeNames(folder: Node, count: number, have: Uint8Array): Complaint | null {
  const names = new Set(decodeDirents(have).entries.map(({ name }) => name));
  for (const name of names) {
    // Names that are no UTF-8 come back as their server thinks best.
    if (
      name !== "." && name !== ".." && !folder.children.has(name) &&
      !/[\udc80-\udcff\ufffd]/.test(name)
    ) {
      return wrong(
        "Rreaddir has a name that is not there",
        `Rreaddir has ${JSON.stringify(name)}, which is not there`,
      );
    }
  }
  if (have.length + MAX_DIRENT >= count) return null;
  for (const name of folder.children.keys()) {
    if (!names.has(name) && !/[\udc80-\udcff]/.test(name)) {
      return wrong("Rreaddir lacks a name", `Rreaddir lacks ${JSON.stringify(name)}`);
    }
  }
  return null;
}

const TYPES: Readonly<Record<string, number>> = { folder: S_IFDIR, file: S_IFREG, link: S_IFLNK };

/** The oracle of contents. */
export const DATA: Oracle = {
  name: "data",
  answered({ request, reply, session, model, isExact }) {
    if (!isExact || model.isLost || !("fid" in request)) return null;
    const fid = session.fids.get(request.fid);
    const node = fid?.node ?? null;
    if (fid === undefined || node === null || fid.state === "unsure") return null;
    switch (reply.kind) {
      case "Rread":
        return request.kind === "Tread" && fid.state === "file" && node.kind === "file"
          ? judgeRead(node, request.offset, request.count, reply.data)
          : null;
      case "Rreaddir":
        return request.kind === "Treaddir" && request.offset === 0n && node.isComplete &&
            fid.state === "folder" && node.links > 0
          ? judgeNames(node, request.count, reply.data)
          : null;
      case "Rreadlink":
        return node.kind === "link" && reply.target !== node.target
          ? wrong(
            "Rreadlink has another target",
            `Rreadlink says ${JSON.stringify(reply.target)}, but it is ${
              JSON.stringify(node.target)
            }`,
          )
          : null;
      case "Rgetattr": {
        if (fid.state === "xattr-read" || fid.state === "xattr-write") return null;
        const type = TYPES[node.kind];
        if ((reply.valid & BigInt(GETATTR_MODE)) !== 0n) {
          if (type !== undefined && (reply.mode & S_IFMT) !== type) {
            return wrong(
              "Rgetattr has another type",
              `Rgetattr has mode 0${reply.mode.toString(8)} for a ${node.kind}`,
            );
          }
          if (node.mode >= 0 && (reply.mode & 0o777) !== node.mode && node.kind !== "link") {
            return wrong(
              "Rgetattr has another mode",
              `Rgetattr has mode 0${reply.mode.toString(8)}, but 0${node.mode.toString(8)} was set`,
            );
          }
        }
        const hasSize = (reply.valid & BigInt(GETATTR_SIZE)) !== 0n;
        if (hasSize && node.kind === "file" && node.size >= 0 && reply.size !== BigInt(node.size)) {
          return wrong(
            "Rgetattr has another size",
            `Rgetattr has size ${reply.size}, but the file has ${node.size} bytes`,
          );
        }
        return null;
      }
      default:
        return null;
    }
  },
};
