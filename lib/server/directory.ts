/**
 * Listing folders: entries are written straight into the reply.
 *
 * @module
 */
import type { Answer, DirectorySink, EntryRoom } from "../fs/mod.ts";
import {
  byteLength,
  DIRENT_HEADER,
  encodeRreaddirHeader,
  encodeStringInto,
  errno,
  QTDIR,
  type RMessage,
  RREAD_HEADER,
  type Treaddir,
  type Wire,
} from "../p9/mod.ts";
import type { Exchange } from "../transport/mod.ts";
import type { Session } from "./session.ts";

/** Puts entries in wire form one behind the other, never part of one. */
export class WireSink implements DirectorySink, EntryRoom {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  readonly #start: number;
  /** An entry did not fit. */
  isFull = false;

  /** Fills `room` bytes of `wire` from `at` on. */
  constructor(wire: Wire, at: number, room: number) {
    this.view = wire.view;
    this.bytes = wire.bytes;
    this.#start = this.at = at;
    this.end = at + room;
  }

  /** The sink itself: entries may be written without it. */
  get room(): EntryRoom {
    return this;
  }

  /** Bytes written. */
  get length(): number {
    return this.at - this.#start;
  }

  /** Adds an entry whose name is text. */
  add(qidType: number, path: bigint, next: bigint, type: number, name: string): boolean {
    const size = byteLength(name);
    if (!this.#head(qidType, path, next, type, size)) return false;
    encodeStringInto(name, this.bytes, this.at + DIRENT_HEADER);
    this.at += DIRENT_HEADER + size;
    return true;
  }

  /** Adds an entry whose name is bytes. */
  addBytes(
    qidType: number,
    path: bigint,
    next: bigint,
    type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (!this.#head(qidType, path, next, type, end - start)) return false;
    this.#name(bytes, start, end);
    return true;
  }

  #hasRoom(size: number): boolean {
    this.isFull = this.at + DIRENT_HEADER + size > this.end;
    return !this.isFull;
  }

  #head(qidType: number, path: bigint, next: bigint, type: number, size: number): boolean {
    if (!this.#hasRoom(size)) return false;
    const at = this.at;
    const { view } = this;
    view.setUint8(at, qidType);
    view.setUint32(at + 1, 0, true);
    view.setBigUint64(at + 5, path, true);
    view.setBigUint64(at + 13, next, true);
    view.setUint8(at + 21, type);
    view.setUint16(at + 22, size, true);
    return true;
  }

  /** Puts the name behind its head. Names are short: a loop is quicker than a view of them. */
  #name(bytes: Uint8Array, start: number, end: number): void {
    const target = this.bytes;
    let at = this.at + DIRENT_HEADER;
    for (let i = start; i < end; i++) target[at++] = bytes[i] as number;
    this.at = at;
  }
}

/** Lists a folder from an offset on. EINVAL if there is an entry left and it does not fit. */
export function readdir(
  session: Session,
  message: Treaddir,
  exchange: Exchange,
): Answer<RMessage | number> {
  const fid = session.fid(message.fid);
  if (fid.xattr !== null) throw errno("EBADF");
  const file = fid.opened;
  if ((file.node.qid.type & QTDIR) === 0) throw errno("ENOTDIR");
  if (exchange.room < RREAD_HEADER) throw errno("EMSGSIZE");
  const room = Math.min(message.count, exchange.room - RREAD_HEADER);
  // Entries are put in the reply itself, so a tree that answers later needs a place of its own.
  const sink = new WireSink(exchange.reply, exchange.replyAt + RREAD_HEADER, room);
  const finish = (): number => {
    if (sink.length === 0 && sink.isFull) throw errno("EINVAL");
    encodeRreaddirHeader(exchange.reply, exchange.replyAt, message.tag, sink.length);
    return RREAD_HEADER + sink.length;
  };
  const answer = file.readdir(message.offset, sink);
  return answer instanceof Promise ? answer.then(finish) : finish();
}
