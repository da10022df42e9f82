/**
 * Making, moving and removing names.
 *
 * @module
 */
import type { Answer } from "../fs/mod.ts";
import {
  AT_REMOVEDIR,
  byteLength,
  errno,
  type Qid,
  type RMessage,
  type Tlink,
  type Tmkdir,
  type Tmknod,
  type Treadlink,
  type Trename,
  type Trenameat,
  type Tsymlink,
  type Tunlinkat,
} from "../p9/mod.ts";
import type { Fid } from "./fids.ts";
import { checkNewName, checkRenameName, checkUnlinkName } from "./names.ts";
import type { Session } from "./session.ts";

/** Longest target of a symbolic link in bytes (PATH_MAX without its NUL). */
const MAX_TARGET = 4095;

/** A fid in whose export something is to change. EROFS where nothing may. */
function changeable(session: Session, number: number): Fid {
  const fid = session.fid(number);
  void fid.target;
  if (fid.export.readOnly) throw errno("EROFS");
  return fid;
}

/** Two fids that must live in one tree. EXDEV otherwise. */
function sameTree(a: Fid, b: Fid): void {
  if (a.export.tree !== b.export.tree) throw errno("EXDEV");
}

function withQid(
  answer: Answer<Qid>,
  kind: "Rmkdir" | "Rsymlink" | "Rmknod",
  tag: number,
): Answer<RMessage> {
  return answer instanceof Promise
    ? answer.then((qid) => ({ kind, tag, qid }))
    : { kind, tag, qid: answer };
}

function withNothing(answer: Answer<void>, done: RMessage): Answer<RMessage> {
  return answer instanceof Promise ? answer.then(() => done) : done;
}

/**
 * Refuses the target of a symbolic link that none can have.
 *
 * @throws {Errno} ENOENT if empty, EINVAL with a NUL inside, ENAMETOOLONG.
 */
export function checkTarget(target: string): void {
  if (target === "") throw errno("ENOENT");
  if (target.includes("\0")) throw errno("EINVAL");
  if (byteLength(target) > MAX_TARGET) throw errno("ENAMETOOLONG");
}

/** Makes a folder. */
export function mkdir(session: Session, message: Tmkdir): Answer<RMessage> {
  const fid = session.fid(message.dfid);
  const node = fid.target;
  checkNewName(message.name);
  changeable(session, message.dfid);
  const answer = node.mkdir(message.name, message.mode & 0o7777, message.gid, fid.identity);
  return withQid(answer, "Rmkdir", message.tag);
}

/** Makes a symbolic link. */
export function symlink(session: Session, message: Tsymlink): Answer<RMessage> {
  checkNewName(message.name);
  checkTarget(message.symtgt);
  const fid = changeable(session, message.fid);
  const answer = fid.target.symlink(message.name, message.symtgt, message.gid, fid.identity);
  return withQid(answer, "Rsymlink", message.tag);
}

/** Makes a file of any type but folder and link. */
export function mknod(session: Session, message: Tmknod): Answer<RMessage> {
  checkNewName(message.name);
  const fid = changeable(session, message.dfid);
  const { name, mode, major, minor, gid } = message;
  const answer = fid.target.mknod(name, mode, major, minor, gid, fid.identity);
  return withQid(answer, "Rmknod", message.tag);
}

/** Gives a file one more name. */
export function link(session: Session, message: Tlink): Answer<RMessage> {
  checkNewName(message.name);
  const folder = changeable(session, message.dfid);
  const file = session.fid(message.fid);
  sameTree(folder, file);
  const answer = folder.target.link(message.name, file.target, folder.identity);
  return withNothing(answer, { kind: "Rlink", tag: message.tag });
}

/** Reads the target of a symbolic link. */
export function readlink(session: Session, message: Treadlink): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const answer = fid.target.readlink(fid.identity);
  const { tag } = message;
  return answer instanceof Promise
    ? answer.then((target) => ({ kind: "Rreadlink", tag, target }))
    : { kind: "Rreadlink", tag, target: answer };
}

/** Moves an entry of one folder to another. */
export function renameat(session: Session, message: Trenameat): Answer<RMessage> {
  checkRenameName(message.oldname);
  checkRenameName(message.newname);
  const from = changeable(session, message.olddirfid);
  const to = session.fid(message.newdirfid);
  sameTree(from, to);
  const answer = from.target.rename(message.oldname, to.target, message.newname, from.identity);
  return withNothing(answer, { kind: "Rrenameat", tag: message.tag });
}

/** Moves the file of a fid. */
export function rename(session: Session, message: Trename): Answer<RMessage> {
  checkRenameName(message.name);
  const fid = changeable(session, message.fid);
  const to = session.fid(message.dfid);
  sameTree(fid, to);
  const answer = fid.target.move(to.target, message.name, fid.identity);
  return withNothing(answer, { kind: "Rrename", tag: message.tag });
}

/** Removes a name. */
export function unlinkat(session: Session, message: Tunlinkat): Answer<RMessage> {
  if ((message.flags & ~AT_REMOVEDIR) !== 0) throw errno("EINVAL");
  checkUnlinkName(message.name);
  const fid = changeable(session, message.dirfd);
  const isFolder = (message.flags & AT_REMOVEDIR) !== 0;
  const answer = fid.target.unlink(message.name, isFolder, fid.identity);
  return withNothing(answer, { kind: "Runlinkat", tag: message.tag });
}
