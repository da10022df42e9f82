/**
 * Which file a request is about.
 *
 * @module
 */
import type { Message } from "../p9/mod.ts";
import type { Transaction } from "./types.ts";

/** Path of the file that a request is about; of one that creates a file, that of the new one. */
export function pathOf(request: Message, paths: ReadonlyMap<number, string>): string {
  const fid = mainFid(request);
  const path = fid < 0 ? "" : paths.get(fid) ?? "";
  return path === "" ? "" : aboutOf(request, path);
}

/** The same of a transaction; "" if its request was not seen. */
export function pathOfTransaction({ request, paths }: Transaction): string {
  return request === null || request.message === null ? "" : pathOf(request.message, paths);
}

/** Path of the file that a request is about, by the path of its fid, which is known. */
export function aboutOf(request: Message, path: string): string {
  switch (request.kind) {
    case "Tlcreate":
    case "Tcreate":
    case "Tmkdir":
    case "Tmknod":
    case "Tsymlink":
    case "Tlink":
    case "Tunlinkat":
      return under(path, request.name);
    case "Twalk":
      return request.wname.reduce(under, path);
    case "Trenameat":
      return under(path, request.oldname);
    default:
      return path;
  }
}

/** The fid that a request is about; of a directory and something in it, the directory; -1 for none. */
export function mainFid(message: Message): number {
  if ("fid" in message) return message.kind === "Tlink" ? message.dfid : message.fid;
  if ("dfid" in message) return message.dfid;
  if ("dirfd" in message) return message.dirfd;
  if ("olddirfid" in message) return message.olddirfid;
  return -1;
}

/** The fid that a request makes if it succeeds; -1 for none. */
export function madeFid(message: Message): number {
  switch (message.kind) {
    case "Tattach":
      return message.fid;
    case "Tauth":
      return message.afid;
    case "Twalk":
    case "Txattrwalk":
      return message.newfid;
    default:
      return -1;
  }
}

/** Path of an entry of a directory. */
export function under(path: string, name: string): string {
  return path.endsWith("/") ? path + name : `${path}/${name}`;
}
