/**
 * Open folders of the host.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_SYMLINK_NOFOLLOW,
  decodeName,
  DirentCursor,
  ENOENT,
  getdents64,
  seekTo,
  statx,
  STATX_TYPE,
} from "../linux/mod.ts";
import type { MappedMemory } from "../linux/mod.ts";
import { DT_DIR, DT_UNKNOWN, errno } from "../p9/mod.ts";
import { after } from "./host_calls.ts";
import { HostOpened } from "./host_opened.ts";
import { failed, ok } from "./host_shared.ts";
import { entryTypeOf, modeOfEntry, qidTypeOf } from "./modes.ts";
import { packEntries } from "./entries.ts";
import type { Answer, DirectorySink, EntryRoom } from "./tree.ts";

/** Bytes of entries asked for at once while there is more to do than to list one folder. */
const BRIEF_BYTES = 4096;
/** Given for an entry whose file system has no offset to come back to. */
const NOWHERE = 1n << 63n;

/**
 * A folder that is open.
 *
 * Entries keep the offsets of the file system, which survive changes. A folder that another file
 * system is mounted on shows the number of what lies under the mount, as `readdir(3)` does: to see
 * the mount itself costs a look at every entry.
 */
export class HostFolder extends HostOpened {
  #buffer: MappedMemory | null = null;
  #cursor: DirentCursor | null = null;
  /** True if the cursor is at an entry that was not delivered yet. */
  #hasEntry = false;
  /** Offset behind the last entry that was delivered. */
  #offsetLow = 0;
  #offsetHigh = 0;
  /** True if the kernel's position may differ from what `#offset` and the buffer say. */
  #isFresh = true;
  /** Entries without an offset of their own that were delivered. */
  #nowhere = 0n;
  /** The list under way is to be short, since others wait. */
  #isBrief = false;
  /** The list under way has an entry. */
  #hasDelivered = false;
  /** Settles when the list that waits for entries is done. */
  #listing: Promise<void> | null = null;

  /** Lists entries until the sink is full or what one call gave is used up. */
  override readdir(offset: bigint, into: DirectorySink): Answer<void> {
    // There is one position, so lists come one after the other.
    const before = this.#listing;
    if (before !== null) return after(before, () => this.readdir(offset, into));
    // Not at the start, before which the folder was found and opened.
    this.#isBrief = this.shared.isCrowded() && offset !== 0n && this.calls.hasHelpers;
    // From 0 always means from the start, so that what changed since is seen.
    if (offset !== this.#offset || (offset === 0n && !this.#isFresh)) this.#seek(offset);
    this.#isFresh = false;
    this.#hasDelivered = false;
    let answer: Answer<void> | undefined;
    try {
      answer = this.#list(into);
    } finally {
      if (!(answer instanceof Promise)) this.#spareBuffer();
    }
    if (!(answer instanceof Promise)) return;
    const listed = answer.finally(() => {
      this.#listing = null;
      this.#spareBuffer();
    });
    this.#listing = listed.catch(() => {});
    return listed;
  }

  /** What was read ahead is read again: a client must not collect buffers by opening folders. */
  #spareBuffer(): void {
    if (this.fd < 0 || this.#buffer === null || !this.shared.isShortOfBuffers) return;
    if (this.#offset < NOWHERE) this.#seek(this.#offset);
  }

  /** Delivers what is there and what comes. */
  #list(into: DirectorySink): Answer<void> {
    for (;;) {
      if (!this.#hasEntry) {
        const cursor = this.#cursor;
        if (cursor !== null && into.room !== undefined) this.#pack(cursor, into.room);
        if (cursor === null || !cursor.next()) {
          // Others may have waited for long enough: the client asks again.
          if (this.#hasDelivered && this.calls.hasHelpers) return;
          const filled = this.#fill();
          if (filled instanceof Promise) {
            return after(filled, (size) => this.#filled(size) ? this.#list(into) : undefined);
          }
          if (!this.#filled(filled)) return;
          continue;
        }
        this.#hasEntry = true;
      }
      if (!this.#deliver(this.#cursor as DirentCursor, into)) return;
      this.#hasEntry = false;
    }
  }

  /** Gives the buffer back, which no call fills any more. */
  protected override ended(): void {
    this.#giveBuffer();
  }

  #seek(offset: bigint): void {
    ok(seekTo(this.fd, offset));
    this.#hasEntry = false;
    if (this.shared.isShortOfBuffers) this.#giveBuffer();
    else this.#cursor?.reset(0);
    this.#note(offset);
  }

  /** Asks for more entries. */
  #fill(): Answer<number> {
    const buffer = this.#buffer ??= this.shared.takeBuffer();
    this.#cursor ??= new DirentCursor(buffer.bytes);
    const { calls, fd } = this;
    const size = this.#isBrief ? BRIEF_BYTES : buffer.size;
    const call = () => getdents64(fd, buffer.address, size);
    return calls.make(calls.lists, call, this);
  }

  /** Takes what a call gave; false at the end of the folder. */
  #filled(size: number): boolean {
    if (this.fd < 0) throw errno("EBADF");
    if (size > 0) {
      this.#cursor?.reset(size);
      return true;
    }
    // A folder that was removed has no entries.
    if (size < 0 && size !== -ENOENT) failed(size);
    this.#giveBuffer();
    return false;
  }

  #giveBuffer(): void {
    if (this.#buffer === null) return;
    this.shared.returnBuffer(this.#buffer);
    this.#buffer = null;
    this.#cursor = null;
    this.#hasEntry = false;
  }

  /** Hands the entry at the cursor over; false if it did not fit. */
  #deliver(cursor: DirentCursor, into: DirectorySink): boolean {
    const { credentials } = this.shared;
    const bytes = this.#buffer?.bytes;
    if (bytes === undefined) return false;
    let next = cursor.off;
    if (next === 0n) next = NOWHERE | this.#nowhere++;
    const { nameStart, nameEnd } = cursor;
    let path: bigint;
    let type = cursor.type;
    let qidType: number;
    if (cursor.isDots) {
      // Neither the number of a folder outside nor that of a stale parent may show.
      path = nameEnd - nameStart === 1 ? this.node.path : this.node.parentPath;
      type = DT_DIR;
      qidType = qidTypeOf(modeOfEntry(DT_DIR));
    } else {
      // All names that belong to a model start with ".v": most names need not be decoded.
      if (
        credentials.hidesNames && bytes[nameStart] === 0x2e && bytes[nameStart + 1] === 0x76 &&
        credentials.hides(decodeName(bytes, nameStart, nameEnd))
      ) {
        this.#note(next);
        return true;
      }
      if (type === DT_UNKNOWN) type = this.#look(decodeName(bytes, nameStart, nameEnd));
      path = this.node.pathOfEntry(cursor.ino);
      qidType = qidTypeOf(modeOfEntry(type));
      type = credentials.entryType(type);
    }
    if (!into.addBytes(qidType, path, next, type, bytes, nameStart, nameEnd)) return false;
    this.#note(next);
    this.#hasDelivered = true;
    return true;
  }

  /** Hands over entries that nothing special is about, up to the first that is special. */
  #pack(cursor: DirentCursor, room: EntryRoom): void {
    const { entryTypes } = this.shared;
    const packed = packEntries(cursor, room, entryTypes, this.node.plainInodes);
    if (packed < 0) return;
    const { view } = cursor;
    this.#offsetLow = view.getUint32(packed + 8, true);
    this.#offsetHigh = view.getUint32(packed + 12, true);
    this.#hasDelivered = true;
  }

  get #offset(): bigint {
    return BigInt(this.#offsetHigh) << 32n | BigInt(this.#offsetLow);
  }

  #note(offset: bigint): void {
    this.#offsetLow = Number(offset & 0xffff_ffffn);
    this.#offsetHigh = Number(offset >> 32n);
  }

  /** Type of an entry whose file system does not tell it. */
  #look(name: string): number {
    const { statx: found } = this.shared;
    const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    return statx(this.fd, name, flags, STATX_TYPE, found) < 0
      ? DT_UNKNOWN
      : entryTypeOf(found.mode);
  }
}
