/**
 * What the fids of a session stand for, changed by the replies of the server.
 *
 * @module
 */
import { type Message, NOFID, QTDIR } from "../p9/mod.ts";
import { type PathNode, Paths } from "./paths.ts";
import type { Subject } from "./types.ts";

/** Most fids that are kept in mind; what a hostile capture opens beyond them stays unknown. */
const MAX_FIDS = 1 << 18;

/** What a fid stands for. */
interface Bound {
  /** The file, or that whose attribute it is; null for an authentication. */
  readonly node: PathNode | null;
  /** Of what kind it is. */
  subject: Subject;
  /** Name of the attribute; "" for anything else. */
  readonly attribute: string;
  /** How many doubts there were when it was bound. */
  readonly doubts: number;
}

/** The fids of one conversation. */
export class Fids {
  #paths = new Paths();
  readonly #bound = new Map<number, Bound>();
  #doubts = 0;

  /** Forgets everything: a new session begins. */
  clear(): void {
    this.#bound.clear();
    this.#paths = new Paths();
  }

  /**
   * Requests are missing that may have bound any fid anew: only those of roots, which clients keep,
   * are believed from here on.
   */
  doubt(): void {
    this.#doubts++;
  }

  #get(fid: number): Bound | undefined {
    const bound = this.#bound.get(fid);
    if (bound === undefined || bound.doubts === this.#doubts) return bound;
    const isRoot = bound.node?.parent === null && !bound.node.isRemoved && bound.node.isKnown;
    return isRoot && bound.attribute === "" && bound.subject !== "xattr list" ? bound : undefined;
  }

  /** What a fid stands for: a path, or "" where nobody knows. */
  pathOf(fid: number): string {
    const bound = this.#get(fid);
    if (bound === undefined) return "";
    if (bound.node === null) return "[auth]";
    const path = this.#paths.pathOf(bound.node);
    if (bound.subject === "xattr list") return `${path}[xattrs]`;
    return bound.subject === "xattr" ? `${path}[${bound.attribute}]` : path;
  }

  /** Of what kind that is. */
  subjectOf(fid: number): Subject {
    return this.#get(fid)?.subject ?? "unknown";
  }

  /** A fid is given back. */
  drop(fid: number): void {
    const bound = this.#bound.get(fid);
    if (bound === undefined) return;
    this.#bound.delete(fid);
    if (bound.node !== null) this.#paths.release(bound.node);
  }

  /** A fid is given back, and its file is no more. */
  remove(fid: number): void {
    const node = this.#get(fid)?.node;
    if (node !== undefined && node !== null) this.#paths.removeNode(node);
    this.drop(fid);
  }

  /** Takes over a node that is held for the fid. */
  #bind(fid: number, node: PathNode | null, subject: Subject, attribute = ""): void {
    this.drop(fid);
    if (fid === NOFID || this.#bound.size >= MAX_FIDS) {
      if (node !== null) this.#paths.release(node);
      return;
    }
    this.#bound.set(fid, { node, subject, attribute, doubts: this.#doubts });
  }

  #node(fid: number): PathNode | null {
    const bound = this.#get(fid);
    return bound === undefined || bound.attribute !== "" || bound.subject === "xattr list"
      ? null
      : bound.node;
  }

  /**
   * A request that changes fids or names was answered without an error.
   *
   * @param qidType Type byte of the last qid in the reply; -1 if it has none.
   * @param walked Elements that an Rwalk has walked; -1 for other replies.
   */
  commit(request: Message, qidType: number, walked: number): void {
    switch (request.kind) {
      case "Tauth":
        return this.#bind(request.afid, null, "auth");
      case "Tattach":
        return this.#bind(request.fid, this.#paths.root(request.aname), subjectOf(qidType));
      case "Twalk":
        return this.#walk(request.fid, request.newfid, request.wname, qidType, walked);
      case "Tlopen":
      case "Topen":
        return this.#learn(request.fid, qidType);
      case "Tlcreate":
      case "Tcreate":
        return this.#create(request.fid, request.name, qidType);
      case "Trename": {
        const node = this.#node(request.fid);
        const folder = this.#node(request.dfid);
        if (node === null) return;
        // To where nobody knows the way to: the fid goes on, its path does not.
        if (folder === null) node.isKnown = false, this.#paths.removeNode(node);
        else this.#paths.move(node, folder, request.name);
        return;
      }
      case "Trenameat": {
        const from = this.#node(request.olddirfid);
        const to = this.#node(request.newdirfid);
        if (from !== null && to !== null) {
          this.#paths.rename(from, request.oldname, to, request.newname);
        } else if (from !== null) this.#paths.remove(from, request.oldname);
        else if (to !== null) this.#paths.remove(to, request.newname);
        return;
      }
      case "Tunlinkat": {
        const folder = this.#node(request.dirfd);
        if (folder !== null) this.#paths.remove(folder, request.name);
        return;
      }
      case "Txattrwalk": {
        const node = this.#node(request.fid);
        const subject = request.name === "" ? "xattr list" : "xattr";
        if (node === null) this.drop(request.newfid);
        else this.#bind(request.newfid, this.#paths.hold(node), subject, request.name);
        return;
      }
      case "Txattrcreate": {
        const node = this.#node(request.fid);
        if (node !== null) {
          this.#bind(request.fid, this.#paths.hold(node), "xattr", request.name);
        }
        return;
      }
      default:
        return;
    }
  }

  #walk(
    fid: number,
    newfid: number,
    names: readonly string[],
    qidType: number,
    walked: number,
  ): void {
    // Fewer elements than asked for: newfid is what it was, by walk(5).
    if (walked !== names.length) return;
    const from = this.#node(fid);
    if (from === null) return this.drop(newfid);
    const subject = names.length === 0 ? this.subjectOf(fid) : subjectOf(qidType);
    this.#bind(newfid, this.#paths.walk(from, names), subject);
  }

  #learn(fid: number, qidType: number): void {
    const bound = this.#get(fid);
    if (bound?.node !== undefined && qidType >= 0 && bound.attribute === "") {
      bound.subject = subjectOf(qidType);
    }
  }

  #create(fid: number, name: string, qidType: number): void {
    const folder = this.#node(fid);
    if (folder === null) return this.drop(fid);
    this.#bind(fid, this.#paths.step(folder, name), subjectOf(qidType));
  }
}

function subjectOf(qidType: number): Subject {
  if (qidType < 0) return "unknown";
  return (qidType & QTDIR) !== 0 ? "directory" : "file";
}
