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
import { DT_DIR, DT_UNKNOWN } from "../p9/mod.ts";
import { HostOpened } from "./host_opened.ts";
import { failed, ok } from "./host_shared.ts";
import { entryTypeOf, modeOfEntry, qidTypeOf } from "./modes.ts";
import { packEntries } from "./entries.ts";
import type { DirectorySink, EntryRoom } from "./tree.ts";

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

  /** Lists entries until the sink is full. */
  override readdir(offset: bigint, into: DirectorySink): void {
    // From 0 always means from the start, so that what changed since is seen.
    if (offset !== this.#offset || (offset === 0n && !this.#isFresh)) this.#seek(offset);
    this.#isFresh = false;
    try {
      this.#list(into);
    } finally {
      // What was read ahead is read again: a client must not collect buffers by opening folders.
      if (this.#buffer !== null && this.shared.isShortOfBuffers && this.#offset < NOWHERE) {
        this.#seek(this.#offset);
      }
    }
  }

  /** Closes the descriptor and gives the buffer back. */
  override drop(): void {
    this.#giveBuffer();
    super.drop();
  }

  #list(into: DirectorySink): void {
    let cursor = this.#cursor;
    for (;;) {
      if (!this.#hasEntry) {
        if (cursor !== null && into.room !== undefined) this.#pack(cursor, into.room);
        if (cursor === null || !cursor.next()) {
          cursor = this.#fill();
          if (cursor === null) return;
          continue;
        }
        this.#hasEntry = true;
      }
      if (!this.#deliver(cursor as DirentCursor, into)) return;
      this.#hasEntry = false;
    }
  }

  #seek(offset: bigint): void {
    ok(seekTo(this.fd, offset));
    this.#hasEntry = false;
    if (this.shared.isShortOfBuffers) this.#giveBuffer();
    else this.#cursor?.reset(0);
    this.#note(offset);
  }

  /** Gets more entries; null at the end of the folder. */
  #fill(): DirentCursor | null {
    if (this.#buffer === null) {
      this.#buffer = this.shared.takeBuffer();
      this.#cursor = new DirentCursor(this.#buffer.bytes);
    }
    const filled = getdents64(this.fd, this.#buffer.address, this.#buffer.size);
    if (filled > 0) {
      this.#cursor?.reset(filled);
      return this.#cursor;
    }
    // A folder that was removed has no entries.
    if (filled < 0 && filled !== -ENOENT) failed(filled);
    this.#giveBuffer();
    return null;
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
