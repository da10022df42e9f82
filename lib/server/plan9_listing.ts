/**
 * Listing folders by Tread, as 9P2000 and 9P2000.u do: whole stat records, one behind the other.
 *
 * @module
 */
import type { Attributes, DirectorySink, Node } from "../fs/mod.ts";
import {
  decodeString,
  encodeStatInto,
  Errno,
  errno,
  type RMessage,
  RREAD_HEADER,
  S_IFLNK,
  S_IFMT,
  sizeOfStat,
  type Stat,
  type Tread,
} from "../p9/mod.ts";
import type { Exchange } from "../transport/mod.ts";
import type { Fid } from "./fids.ts";
import { putReadHead } from "./io.ts";
import { toStat } from "./plan9_stat.ts";
import type { Session } from "./session.ts";

/** Entries taken from the tree at a time. */
const BATCH = 64;
/** Entries that one Tread gets at most: each is walked to, and others wait meanwhile. */
const MAX_ENTRIES = 256;

/** Collects names. */
class NameSink implements DirectorySink {
  readonly entries: { readonly name: string; readonly next: bigint }[] = [];

  add(_qidType: number, _path: bigint, next: bigint, _type: number, name: string): boolean {
    if (this.entries.length === BATCH) return false;
    this.entries.push({ name, next });
    return true;
  }

  addBytes(
    qidType: number,
    path: bigint,
    next: bigint,
    type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return this.add(qidType, path, next, type, decodeString(bytes, start, end));
  }
}

/** Reads what a stat record tells of a node. */
export async function statOf(session: Session, fid: Fid, node: Node, name: string): Promise<Stat> {
  const attributes: Attributes = await node.attributes(fid.identity);
  const isLink = (attributes.mode & S_IFMT) === S_IFLNK;
  const target = isLink && session.dialect === "9P2000.u" ? await node.readlink(fid.identity) : "";
  return toStat(attributes, name, target, session.dialect);
}

/** The stat record of an entry, or null if it has gone meanwhile. */
async function entryStat(session: Session, fid: Fid, name: string): Promise<Stat | null> {
  let node: Node;
  try {
    node = await fid.target.walk(name, fid.identity);
  } catch (error) {
    if (error instanceof Errno) return null;
    throw error;
  }
  try {
    return await statOf(session, fid, node, name);
  } catch (error) {
    if (error instanceof Errno) return null;
    throw error;
  } finally {
    node.release();
  }
}

/**
 * Answers a Tread of a folder. The offset must be 0 or where the last Tread ended.
 *
 * @see read(5)
 */
export async function readListing(
  session: Session,
  fid: Fid,
  message: Tread,
  exchange: Exchange,
  count: number,
): Promise<RMessage | number> {
  session.needLoop();
  const { dialect } = session;
  const file = fid.opened;
  // The place in the reply is taken before the first wait, so that it is kept until the end.
  const { reply } = exchange;
  const start = exchange.replyAt + RREAD_HEADER;
  if (message.offset === 0n) fid.listing = { offset: 0n, next: 0n };
  const state = fid.listing;
  if (state === null || state.offset !== message.offset) throw errno("EINVAL");
  let at = start;
  let { next } = state;
  let isFull = false;
  for (let seen = 0; !isFull && (seen < MAX_ENTRIES || at === start); seen += BATCH) {
    const sink = new NameSink();
    await file.readdir(next, sink);
    if (sink.entries.length === 0) break;
    for (const entry of sink.entries) {
      // Folders of these dialects list neither themselves nor their parents.
      if (entry.name !== "." && entry.name !== "..") {
        const stat = await entryStat(session, fid, entry.name);
        if (stat !== null) {
          const size = sizeOfStat(stat, dialect);
          if (at + size > start + count) {
            isFull = true;
            break;
          }
          encodeStatInto(stat, reply, at, dialect);
          at += size;
        }
      }
      next = entry.next;
    }
  }
  // Linux fills its buffer to the last byte, and asks for these few as well: nothing fits then.
  if (isFull && at === start && message.offset === 0n) throw errno("EINVAL");
  fid.listing = { offset: message.offset + BigInt(at - start), next };
  return putReadHead(exchange, message.tag, at - start);
}
