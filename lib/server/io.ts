/**
 * Reading and writing: the payload goes between the transport's memory and the tree, untouched.
 *
 * @module
 */
import type { Answer } from "../fs/mod.ts";
import {
  encodeRreadHeader,
  errno,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
  QTDIR,
  type RMessage,
  RREAD_HEADER,
  type Tfsync,
  type Tread,
  tryDecodeTwriteHeader,
  TWRITE_HEADER,
} from "../p9/mod.ts";
import type { Exchange } from "../transport/mod.ts";
import { readListing } from "./plan9_listing.ts";
import type { Session } from "./session.ts";
import { readXattr, writeXattr } from "./xattr.ts";

/** Largest offset that `lseek(2)` knows. */
const MAX_OFFSET = 0x7fff_ffff_ffff_ffffn;

/** Writes the head of an Rread whose payload is in place. Returns the whole size. */
export function putReadHead(exchange: Exchange, tag: number, count: number): number {
  encodeRreadHeader(exchange.reply, exchange.replyAt, tag, count);
  return RREAD_HEADER + count;
}

/** Reads from an open file, or from the fid of an extended attribute. */
export function read(
  session: Session,
  message: Tread,
  exchange: Exchange,
): Answer<RMessage | number> {
  const { tag, offset } = message;
  const fid = session.fid(message.fid);
  if (exchange.room < RREAD_HEADER) throw errno("EMSGSIZE");
  const count = Math.min(message.count, exchange.room - RREAD_HEADER);
  if (fid.xattr !== null) {
    const n = readXattr(fid, exchange.payloadOut(RREAD_HEADER, count), offset);
    return putReadHead(exchange, tag, n);
  }
  const file = fid.opened;
  if ((file.node.qid.type & QTDIR) !== 0) {
    if (session.dialect === "9P2000.L") throw errno("EISDIR");
    return readListing(session, fid, message, exchange, count);
  }
  if ((fid.flags & O_ACCMODE) === O_WRONLY) throw errno("EBADF");
  if (offset > MAX_OFFSET) throw errno("EINVAL");
  const answer = file.read(exchange.payloadOut(RREAD_HEADER, count), offset);
  if (answer instanceof Promise) {
    return answer.then((n) => {
      session.counters.bytesRead += n;
      return putReadHead(exchange, tag, n);
    });
  }
  session.counters.bytesRead += answer;
  return putReadHead(exchange, tag, answer);
}

/**
 * Writes to an open file, or to the fid of an extended attribute.
 *
 * Twrite is taken from the exchange itself: its payload may be anywhere, and no view of it is made.
 *
 * `size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count]`
 */
export function write(session: Session, exchange: Exchange): Answer<RMessage | number> {
  const head = tryDecodeTwriteHeader(exchange.wire, exchange.start, exchange.end);
  if (head === null || head.count + TWRITE_HEADER !== exchange.size) {
    session.counters.malformed++;
    throw errno("EPROTO");
  }
  const { offset, count, tag } = head;
  const fid = session.fid(head.fid);
  const from = exchange.payloadIn(TWRITE_HEADER, count);
  if (fid.xattr !== null) return { kind: "Rwrite", tag, count: writeXattr(fid, from, offset) };
  const file = fid.opened;
  if ((fid.flags & O_ACCMODE) === O_RDONLY) throw errno("EBADF");
  if (offset > MAX_OFFSET) throw errno("EINVAL");
  const answer = file.write(from, offset);
  if (answer instanceof Promise) {
    return answer.then((n) => {
      session.counters.bytesWritten += n;
      return { kind: "Rwrite", tag, count: n };
    });
  }
  session.counters.bytesWritten += answer;
  return { kind: "Rwrite", tag, count: answer };
}

/** Brings what was written to stable storage. */
export function fsync(session: Session, message: Tfsync): Answer<RMessage> {
  const fid = session.fid(message.fid);
  const done: RMessage = { kind: "Rfsync", tag: message.tag };
  const answer = fid.opened.sync(message.datasync !== 0);
  return answer instanceof Promise ? answer.then(() => done) : done;
}
