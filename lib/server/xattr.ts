/**
 * Extended attributes: a fid that stands for one is read or written, and clunking sets it.
 *
 * @module
 */
import type { Answer } from "../fs/mod.ts";
import {
  byteLength,
  errno,
  type RMessage,
  type Segments,
  type Txattrcreate,
  type Txattrwalk,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../p9/mod.ts";
import { Fid } from "./fids.ts";
import type { Session } from "./session.ts";

/** Largest value that Linux keeps, in bytes (XATTR_SIZE_MAX). */
const MAX_VALUE = 65_536;
/** Longest name in bytes (XATTR_NAME_MAX). */
const MAX_NAME = 255;
const NOTHING = new Uint8Array(0);

/** Makes a fid from which an attribute, or with an empty name the list of names, is read. */
export function xattrwalk(session: Session, message: Txattrwalk): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const node = fid.target;
  session.fids.checkFree(message.newfid);
  if (message.name.includes("\0")) throw errno("EINVAL");
  if (byteLength(message.name) > MAX_NAME) throw errno("ERANGE");
  const bind = (value: Uint8Array): RMessage => {
    session.fids.checkFree(message.newfid);
    session.fids.checkDepth(node);
    const give = session.takeXattrBytes(value.length, "ENOMEM");
    const made = new Fid(message.newfid, fid.identity, fid.export, node.hold());
    made.xattr = { name: message.name, value, written: 0 };
    made.onEnd = give;
    session.fids.add(made);
    return { kind: "Rxattrwalk", tag: message.tag, size: BigInt(value.length) };
  };
  const answer = message.name === ""
    ? node.listXattr(fid.identity)
    : node.getXattr(message.name, fid.identity);
  return answer instanceof Promise ? answer.then(bind) : bind(answer);
}

/** Turns a fid into one through which the value of an attribute is written. */
export function xattrcreate(session: Session, message: Txattrcreate): RMessage {
  const fid = session.fid(message.fid);
  void fid.target;
  if (fid.file !== null || fid.isOpening) throw errno("EINVAL");
  if (fid.export.readOnly) throw errno("EROFS");
  if ((message.flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw errno("EINVAL");
  if (message.name === "" || message.name.includes("\0")) throw errno("EINVAL");
  if (byteLength(message.name) > MAX_NAME) throw errno("ERANGE");
  if (message.attr_size > BigInt(MAX_VALUE)) throw errno("E2BIG");
  const size = Number(message.attr_size);
  fid.onEnd = session.takeXattrBytes(size, "ENOSPC");
  const write = { size, flags: message.flags };
  fid.xattr = { name: message.name, value: NOTHING, write, written: 0 };
  return { kind: "Rxattrcreate", tag: message.tag };
}

/** Takes in a piece of the value. ENOSPC beyond the size that was promised. */
export function writeXattr(fid: Fid, from: Segments, offset: bigint): number {
  const { xattr } = fid;
  if (xattr?.write === undefined) throw errno("EBADF");
  const { size } = xattr.write;
  if (offset + BigInt(from.length) > BigInt(size)) throw errno("ENOSPC");
  if (xattr.value.length < size) xattr.value = new Uint8Array(size);
  const at = Number(offset);
  from.copyTo(xattr.value.subarray(at, at + from.length));
  // Only what follows on counts, so that nothing is ever set that was not sent.
  if (at <= xattr.written) xattr.written = Math.max(xattr.written, at + from.length);
  return from.length;
}

/** Gives out a piece of what Txattrwalk found. */
export function readXattr(fid: Fid, into: Segments, offset: bigint): number {
  const { xattr } = fid;
  if (xattr === null || xattr.write !== undefined) throw errno("EBADF");
  if (offset >= BigInt(xattr.value.length)) return 0;
  const at = Number(offset);
  return into.copyFrom(xattr.value.subarray(at, at + into.length));
}

/** Sets the attribute that was written through a fid; an empty value removes it. EINVAL if bytes are missing. */
export function commitXattr(fid: Fid): Answer<void> {
  const { xattr, node } = fid;
  if (xattr?.write === undefined || node === null) return;
  if (xattr.written !== xattr.write.size) throw errno("EINVAL");
  if (xattr.write.size === 0) return node.removeXattr(xattr.name, fid.identity);
  return node.setXattr(xattr.name, xattr.value, xattr.write.flags, fid.identity);
}
