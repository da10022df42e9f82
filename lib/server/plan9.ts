/**
 * The T-messages that only 9P2000 and 9P2000.u have, over the same trees.
 *
 * @module
 */
import type { Answer, Changes, Identity, Node, OpenFile } from "../fs/mod.ts";
import {
  DMDEVICE,
  DMDIR,
  DMLINK,
  DMNAMEDPIPE,
  DMSOCKET,
  DMSYMLINK,
  encodeStat,
  errno,
  NONUNAME,
  O_APPEND,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  ORCLOSE,
  OTRUNC,
  QTDIR,
  type RMessage,
  type Stat,
  type Tcreate,
  type Topen,
  tryDecodeStat,
  type Tstat,
  type Twstat,
} from "../p9/mod.ts";
import type { Fid } from "./fids.ts";
import { checkTarget } from "./links.ts";
import { checkNewName, checkRenameName } from "./names.ts";
import { becomeCreated, iounit, opening, wantsWrite } from "./open.ts";
import { statOf } from "./plan9_listing.ts";
import { parseDevice, toPermissions, typeOfSpecial } from "./plan9_stat.ts";
import type { Session } from "./session.ts";

/** Append on every write; only Linux's .u sends it. */
const OAPPEND = 0x80;
/** Linux's access mode for each of OREAD, OWRITE, ORDWR and OEXEC. */
const ACCESS = [O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY] as const;
/** A number of a Twstat that leaves its field as it is. */
const KEEP32 = 0xffff_ffff;
const KEEP64 = 0xffff_ffff_ffff_ffffn;

/** Turns an open mode into Linux's open flags. */
function toFlags(mode: number): number {
  let flags: number = ACCESS[mode & 3] ?? O_RDONLY;
  if ((mode & OTRUNC) !== 0) flags |= O_TRUNC;
  if ((mode & OAPPEND) !== 0) flags |= O_APPEND;
  return flags;
}

/** Opens the file of a fid. */
export function open(session: Session, message: Topen): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  const flags = toFlags(message.mode);
  const isLast = (message.mode & ORCLOSE) !== 0;
  if (fid.export.readOnly && (wantsWrite(flags) || isLast)) throw errno("EROFS");
  return opening(fid, flags, () => node.open(flags, fid.identity), () => {
    fid.removeOnClunk = isLast;
    return { kind: "Ropen", tag: message.tag, qid: node.qid, iounit: iounit(session.msize) };
  });
}

/** Makes a file, folder, link or special file and opens it; the fid stands for it from then on. */
export function create(session: Session, message: Tcreate): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  checkNewName(message.name);
  if (fid.export.readOnly) throw errno("EROFS");
  if (fid.file !== null || fid.isOpening) throw errno("EINVAL");
  const { name, perm } = message;
  const by = fid.identity;
  const mode = toPermissions(perm, session.dialect);
  const special = DMDIR | DMSYMLINK | DMLINK | DMDEVICE | DMNAMEDPIPE | DMSOCKET;
  if ((perm & special) === 0) {
    const flags = toFlags(message.mode) | O_EXCL;
    return opening(fid, flags, () => node.create(name, flags, mode, NONUNAME, by), (file) => {
      becomeCreated(fid, file);
      fid.removeOnClunk = (message.mode & ORCLOSE) !== 0;
      return created(session, message, file);
    });
  }
  session.needLoop();
  return createSpecial(session, message, fid, mode);
}

function created(session: Session, message: Tcreate, file: OpenFile): RMessage {
  return { kind: "Rcreate", tag: message.tag, qid: file.node.qid, iounit: iounit(session.msize) };
}

/** Makes what is no plain file. Links and special files are not opened: nobody could use that. */
async function createSpecial(
  session: Session,
  message: Tcreate,
  fid: Fid,
  mode: number,
): Promise<RMessage> {
  const { name, perm, extension, tag } = message;
  const folder = fid.target;
  const by = fid.identity;
  if ((perm & DMDIR) !== 0) {
    await folder.mkdir(name, mode, NONUNAME, by);
  } else if (session.dialect !== "9P2000.u") {
    throw errno("EOPNOTSUPP");
  } else if ((perm & DMSYMLINK) !== 0) {
    checkTarget(extension);
    await folder.symlink(name, extension, NONUNAME, by);
  } else if ((perm & DMLINK) !== 0) {
    const number = /^\d{1,10}\s*$/.test(extension) ? Number(extension) : NaN;
    if (!(number <= KEEP32)) throw errno("EINVAL");
    const target = session.fids.get(number);
    if (target.export.tree !== fid.export.tree) throw errno("EXDEV");
    const held = target.target.hold();
    try {
      await folder.link(name, held, by);
    } finally {
      held.release();
    }
  } else if ((perm & DMDEVICE) !== 0) {
    const device = parseDevice(extension);
    if (device === null) throw errno("EINVAL");
    await folder.mknod(name, device.type | mode, device.major, device.minor, NONUNAME, by);
  } else {
    await folder.mknod(name, typeOfSpecial(perm) | mode, 0, 0, NONUNAME, by);
  }
  const made = await folder.walk(name, by);
  if ((perm & DMDIR) !== 0) {
    try {
      fid.file = await made.open(O_RDONLY, by);
    } catch (error) {
      made.release();
      throw error;
    }
    fid.flags = O_RDONLY;
  }
  fid.node?.release();
  session.fids.bind(fid, made);
  return { kind: "Rcreate", tag, qid: made.qid, iounit: iounit(session.msize) };
}

/** Reads attributes. */
export function stat(session: Session, message: Tstat): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  session.needLoop();
  return statOf(session, fid, node, node.name).then((record): RMessage => {
    return { kind: "Rstat", tag: message.tag, stat: encodeStat(record, session.dialect) };
  });
}

/** Number of a user or group in a Twstat: the .u number, else the name if it is a number. */
function newOwner(number: number, name: string, isUnix: boolean): number | undefined {
  if (isUnix) return number === KEEP32 ? undefined : number;
  if (name === "") return undefined;
  if (!/^\d{1,10}$/.test(name) || Number(name) >= KEEP32) throw errno("EINVAL");
  return Number(name);
}

/** Changes attributes, and the name: all or, as far as can be, nothing. */
export function wstat(session: Session, message: Twstat): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const record = tryDecodeStat(message.stat, session.dialect);
  if (record === null) throw errno("EPROTO");
  if (fid.export.readOnly) throw errno("EROFS");
  session.needLoop();
  return change(session, fid, record).then(() => ({ kind: "Rwstat", tag: message.tag }));
}

function isFolder(node: Node): boolean {
  return (node.qid.type & QTDIR) !== 0;
}

/** Whether a folder has an entry. */
async function exists(folder: Node, name: string, by: Identity): Promise<boolean> {
  try {
    (await folder.walk(name, by)).release();
    return true;
  } catch (error) {
    if (error === errno("ENOENT")) return false;
    throw error;
  }
}

async function change(session: Session, fid: Fid, record: Stat): Promise<void> {
  const node = fid.target;
  const by = fid.identity;
  const isUnix = session.dialect === "9P2000.u";
  const isRenamed = record.name !== "" && record.name !== node.name;
  if (isRenamed) checkRenameName(record.name);
  if (record.mode !== KEEP32 && (record.mode & DMDIR) !== 0 !== isFolder(node)) {
    throw errno("EINVAL");
  }
  const changes: Changes = {
    mode: record.mode === KEEP32 ? undefined : toPermissions(record.mode, session.dialect),
    uid: newOwner(record.n_uid, record.uid, isUnix),
    gid: newOwner(record.n_gid, record.gid, isUnix),
    size: record.length === KEEP64 ? undefined : record.length,
    atime: record.atime === KEEP32 ? undefined : { sec: BigInt(record.atime), nsec: 0 },
    mtime: record.mtime === KEEP32 ? undefined : { sec: BigInt(record.mtime), nsec: 0 },
  };
  const isChanged = Object.values(changes).some((value) => value !== undefined);
  if (isRenamed) {
    const folder = await node.parent(by);
    try {
      // Unix replaces what has the name, and Linux relies on it; Plan 9 does not. @see stat(5)
      if (!isUnix && await exists(folder, record.name, by)) throw errno("EEXIST");
      await node.move(folder, record.name, by);
    } finally {
      folder.release();
    }
  }
  if (isChanged) await node.setAttributes(changes, by, fid.file ?? undefined);
  // A Twstat that changes nothing asks for what was written to be made stable. @see stat(5)
  if (!isRenamed && !isChanged) await fid.file?.sync(false);
}
