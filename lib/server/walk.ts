/**
 * Attach, walk, clunk, remove: how fids come and go.
 *
 * @module
 */
import type { Answer, Node } from "../fs/mod.ts";
import {
  errno,
  NOFID,
  NONUNAME,
  type Qid,
  QID_SIZE,
  QTDIR,
  type RMessage,
  type Tattach,
  type Tclunk,
  type Tremove,
  type Twalk,
} from "../p9/mod.ts";
import type { Exchange } from "../transport/mod.ts";
import { MAX_WORD } from "./exports.ts";
import { Fid } from "./fids.ts";
import { checkWalkName } from "./names.ts";
import type { Session } from "./session.ts";
import { commitXattr } from "./xattr.ts";

/** Most names in a Twalk. @see walk(5) */
const MAX_WALK = 16;
/** Bytes of an Rwalk before its qids: `size[4] Rwalk tag[2] nwqid[2]`. */
const RWALK_HEADER = 9;

/** Binds a fid to the root of an export. */
export function attach(session: Session, message: Tattach): Answer<RMessage> {
  const { tag } = message;
  session.fids.checkFree(message.fid);
  // There is no authentication in this dialect that Linux speaks, so nothing an afid could prove.
  if (message.afid !== NOFID) throw errno("EOPNOTSUPP");
  if (message.uname.length > MAX_WORD) throw errno("ENAMETOOLONG");
  const from = session.find(message.aname);
  const by = session.identity(message.n_uname ?? NONUNAME, message.uname);
  const fid = session.fids.add(new Fid(message.fid, by, from, null));
  session.hold(fid);
  const bind = (root: Node): RMessage => {
    fid.node = root;
    return { kind: "Rattach", tag, qid: root.qid };
  };
  return settle(session, fid, () => from.tree.attach(by), bind);
}

/** Runs an operation that makes a fid, which vanishes again if the operation fails. */
function settle<T>(
  session: Session,
  fid: Fid,
  operation: () => Answer<T>,
  bind: (value: T) => RMessage,
): Answer<RMessage> {
  let answer: Answer<T>;
  try {
    answer = operation();
  } catch (error) {
    session.fids.remove(fid);
    throw error;
  }
  if (!(answer instanceof Promise)) return bind(answer);
  return answer.then(bind, (error) => {
    session.fids.remove(fid);
    throw error;
  });
}

/** Goes one step down, up or nowhere. The node returned belongs to the caller. */
function step(node: Node, name: string, from: Fid): Answer<Node> {
  if ((node.qid.type & QTDIR) === 0) throw errno("ENOTDIR");
  if (name === "..") return node.parent(from.identity);
  if (name === ".") return node.hold();
  checkWalkName(name);
  return node.walk(name, from.identity);
}

/**
 * Walks from a fid along names to a new fid. Where only the first part of the way exists, its qids
 * are the answer and there is no new fid.
 *
 * @see walk(5)
 */
export function walk(
  session: Session,
  message: Twalk,
  exchange: Pick<Exchange, "room">,
): Answer<RMessage> {
  const { tag, newfid, wname } = message;
  const fid = session.fid(message.fid);
  const start = fid.target;
  if (wname.length > MAX_WALK) throw errno("EINVAL");
  // Found out afterwards, the client would not know that it has the new fid.
  if (exchange.room < RWALK_HEADER + QID_SIZE * wname.length) throw errno("EMSGSIZE");
  if (newfid === message.fid) {
    if (fid.file !== null || fid.isOpening) throw errno("EINVAL");
  } else session.fids.checkFree(newfid);

  const qids: Qid[] = [];
  let node = start.hold();
  for (let i = 0; i < wname.length; i++) {
    let next: Answer<Node>;
    try {
      next = step(node, wname[i] as string, fid);
    } catch (error) {
      node.release();
      if (i === 0) throw error;
      return { kind: "Rwalk", tag, wqid: qids };
    }
    if (next instanceof Promise) return walkOn(session, message, fid, node, next, qids);
    node.release();
    node = next;
    qids.push(node.qid);
  }
  return arrive(session, message, fid, node, qids);
}

/** The rest of a walk whose tree answers with promises. */
async function walkOn(
  session: Session,
  message: Twalk,
  fid: Fid,
  from: Node,
  first: Promise<Node>,
  qids: Qid[],
): Promise<RMessage> {
  // The number is taken now, so that no other request can take it meanwhile.
  const isSame = message.newfid === message.fid;
  const made = isSame
    ? null
    : session.fids.add(new Fid(message.newfid, fid.identity, fid.export, null));
  made?.hold();
  let node = from;
  try {
    let next: Answer<Node> = first;
    for (let i = qids.length;;) {
      const reached: Node = await next;
      node.release();
      node = reached;
      qids.push(node.qid);
      if (++i === message.wname.length) break;
      next = step(node, message.wname[i] as string, fid);
    }
    session.fids.checkDepth(node);
  } catch (error) {
    node.release();
    if (made !== null) {
      session.fids.remove(made);
      made.unhold();
    }
    if (qids.length === 0 || qids.length === message.wname.length) throw error;
    return { kind: "Rwalk", tag: message.tag, wqid: qids };
  }
  if (made === null) return arrive(session, message, fid, node, qids);
  session.fids.bind(made, node);
  made.unhold();
  return { kind: "Rwalk", tag: message.tag, wqid: qids };
}

/** Binds the new fid to where the walk has ended. */
function arrive(session: Session, message: Twalk, fid: Fid, node: Node, qids: Qid[]): RMessage {
  try {
    session.fids.checkDepth(node);
  } catch (error) {
    node.release();
    throw error;
  }
  if (message.newfid === message.fid) {
    fid.node?.release();
    session.fids.bind(fid, node);
  } else {
    session.fids.add(new Fid(message.newfid, fid.identity, fid.export, node));
  }
  return { kind: "Rwalk", tag: message.tag, wqid: qids };
}

/** Takes a fid's number away, for Tclunk and Tremove: waits for requests that still use it. */
function letGo(session: Session, fid: Fid): Answer<void> {
  const gone = session.fids.remove(fid);
  if (!fid.isHeld) return gone;
  session.interrupt(fid);
  return fid.whenIdle();
}

/**
 * Forgets a fid. An extended attribute that was written through it is set now, and the error of
 * that is the answer; the fid is gone all the same.
 */
export function clunk(session: Session, message: Tclunk): Answer<RMessage> {
  const fid = session.fids.get(message.fid);
  const done: RMessage = { kind: "Rclunk", tag: message.tag };
  if (fid.xattr !== null) {
    let answer: Answer<void>;
    const node = fid.node?.hold();
    try {
      answer = commitXattr(fid);
    } finally {
      session.fids.remove(fid);
      node?.release();
    }
    return answer instanceof Promise ? answer.then(() => done) : done;
  }
  if (fid.removeOnClunk && fid.node !== null) {
    // ORCLOSE: whether the removal works is nobody's business any more. @see open(5)
    const gone = () => done;
    try {
      const answer = removeTarget(session, fid);
      if (answer instanceof Promise) return answer.then(gone, gone);
    } catch {
      return done;
    }
    return done;
  }
  const gone = letGo(session, fid);
  return gone instanceof Promise ? gone.then(() => done) : done;
}

/** Removes the file of a fid and forgets the fid, also if the removal fails. */
function removeTarget(session: Session, fid: Fid): Answer<void> {
  const node = fid.node?.hold();
  // A lock that waits would hold on to the fid, and who holds it to what the client has locked.
  if (fid.isHeld) session.interrupt(fid);
  void session.fids.remove(fid);
  let answer: Answer<void>;
  try {
    if (fid.export.readOnly) throw errno("EROFS");
    if (node === undefined || fid.xattr !== null) throw errno("EBADF");
    answer = node.remove(fid.identity);
  } catch (error) {
    node?.release();
    throw error;
  }
  return answer instanceof Promise ? answer.finally(() => node.release()) : node.release();
}

/** Removes the file of a fid and clunks the fid, also if the removal fails. */
export function remove(session: Session, message: Tremove): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const done: RMessage = { kind: "Rremove", tag: message.tag };
  const answer = removeTarget(session, fid);
  return answer instanceof Promise ? answer.then(() => done) : done;
}
