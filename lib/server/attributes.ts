/**
 * Attributes of files and statistics of file systems.
 *
 * @module
 */
import type { Answer, Attributes, Changes, FileSystemStatistics, NewTime } from "../fs/mod.ts";
import {
  errno,
  GETATTR_BASIC,
  GETATTR_BTIME,
  type RMessage,
  SETATTR_ATIME,
  SETATTR_ATIME_SET,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_MTIME,
  SETATTR_MTIME_SET,
  SETATTR_SIZE,
  SETATTR_UID,
  type Tgetattr,
  type Tsetattr,
  type Tstatfs,
} from "../p9/mod.ts";
import type { Session } from "./session.ts";

const MAX_SIZE = 0x7fff_ffff_ffff_ffffn;
const NSEC_PER_SEC = 1_000_000_000n;

function rgetattr(tag: number, a: Attributes): RMessage {
  const hasBirth = a.btimeSec !== 0n || a.btimeNsec !== 0;
  return {
    kind: "Rgetattr",
    tag,
    valid: BigInt(hasBirth ? GETATTR_BASIC | GETATTR_BTIME : GETATTR_BASIC),
    qid: a.qid,
    mode: a.mode,
    uid: a.uid,
    gid: a.gid,
    nlink: BigInt(a.nlink),
    rdev: a.rdev,
    size: a.size,
    blksize: BigInt(a.blksize),
    blocks: a.blocks,
    atime_sec: a.atimeSec,
    atime_nsec: BigInt(a.atimeNsec),
    mtime_sec: a.mtimeSec,
    mtime_nsec: BigInt(a.mtimeNsec),
    ctime_sec: a.ctimeSec,
    ctime_nsec: BigInt(a.ctimeNsec),
    btime_sec: a.btimeSec,
    btime_nsec: BigInt(a.btimeNsec),
    gen: 0n,
    data_version: 0n,
  };
}

/** Reads attributes. All basic ones are given, whatever was asked for. */
export function getattr(session: Session, message: Tgetattr): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const answer = fid.target.attributes(fid.identity);
  return answer instanceof Promise
    ? answer.then((a) => rgetattr(message.tag, a))
    : rgetattr(message.tag, answer);
}

/** A time of a Tsetattr, or undefined if it stays. */
function newTime(isValid: boolean, isSet: boolean, sec: bigint, nsec: bigint): NewTime | undefined {
  if (!isValid) return undefined;
  if (!isSet) return "now";
  if (nsec >= NSEC_PER_SEC) throw errno("EINVAL");
  // Seconds before 1970 come as two's complement.
  return { sec: BigInt.asIntN(64, sec), nsec: Number(nsec) };
}

/** Changes attributes. */
export function setattr(session: Session, message: Tsetattr): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  if (fid.export.readOnly) throw errno("EROFS");
  const { valid } = message;
  if ((valid & SETATTR_SIZE) !== 0 && message.size > MAX_SIZE) throw errno("EINVAL");
  const changes: Changes = {
    mode: (valid & SETATTR_MODE) !== 0 ? message.mode & 0o7777 : undefined,
    uid: (valid & SETATTR_UID) !== 0 ? message.uid : undefined,
    gid: (valid & SETATTR_GID) !== 0 ? message.gid : undefined,
    size: (valid & SETATTR_SIZE) !== 0 ? message.size : undefined,
    atime: newTime(
      (valid & SETATTR_ATIME) !== 0,
      (valid & SETATTR_ATIME_SET) !== 0,
      message.atime_sec,
      message.atime_nsec,
    ),
    mtime: newTime(
      (valid & SETATTR_MTIME) !== 0,
      (valid & SETATTR_MTIME_SET) !== 0,
      message.mtime_sec,
      message.mtime_nsec,
    ),
  };
  const done: RMessage = { kind: "Rsetattr", tag: message.tag };
  const answer = node.setAttributes(changes, fid.identity, fid.file ?? undefined);
  return answer instanceof Promise ? answer.then(() => done) : done;
}

function rstatfs(tag: number, s: FileSystemStatistics): RMessage {
  return {
    kind: "Rstatfs",
    tag,
    type: s.type,
    bsize: s.bsize,
    blocks: s.blocks,
    bfree: s.bfree,
    bavail: s.bavail,
    files: s.files,
    ffree: s.ffree,
    fsid: s.fsid,
    namelen: s.namelen,
  };
}

/** Reads statistics of the file system that a fid lives on. */
export function statfs(session: Session, message: Tstatfs): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const answer = fid.target.statfs(fid.identity);
  return answer instanceof Promise
    ? answer.then((s) => rstatfs(message.tag, s))
    : rstatfs(message.tag, answer);
}
