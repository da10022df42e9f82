/**
 * Folders of the host, looked at and emptied with plain system calls: any name, any depth, and a few
 * microseconds each, since it is done for every case.
 *
 * @module
 */
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  close,
  DirentCursor,
  DT_DIR,
  DT_LNK,
  DT_REG,
  DT_UNKNOWN,
  EACCES,
  fchmodat,
  getdents64,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
  pin,
  type Pinned,
  pread,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  Statx,
  statx,
  STATX_TYPE,
  unlinkat,
} from "../linux/mod.ts";

/** A name in a folder. */
export interface HostEntry {
  /** The name; bytes that are no UTF-8 are U+DC80 to U+DCFF. */
  readonly name: string;
  /** What has it. */
  readonly kind: "folder" | "file" | "link" | "other";
}

const ROOM = 1 << 16;
let room: Pinned | undefined;
let cursor: DirentCursor | undefined;
let type: Statx | undefined;

/**
 * Opens a folder; links are not followed.
 *
 * @returns A descriptor that the caller closes, or minus the error.
 */
export function openFolder(dirfd: number, name: string): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const fd = openat(dirfd, name, flags, 0);
  // Whoever is not root is kept out by the mode that a client gave it; of a link this is not said.
  return fd === -EACCES && fchmodat(dirfd, name, 0o700) === 0 ? openat(dirfd, name, flags, 0) : fd;
}

/** What is in a folder that was just opened, without "." and "..". */
export function entriesOf(fd: number): HostEntry[] {
  room ??= pin(ROOM);
  cursor ??= new DirentCursor(room.bytes);
  const entries: HostEntry[] = [];
  for (;;) {
    const filled = getdents64(fd, room.address, ROOM);
    if (filled <= 0) return entries;
    cursor.reset(filled);
    while (cursor.next()) {
      if (cursor.isDots) continue;
      const { name } = cursor;
      entries.push({ name, kind: kindOf(fd, name, cursor.type) });
    }
  }
}

function kindOf(dirfd: number, name: string, direntType: number): HostEntry["kind"] {
  switch (direntType) {
    case DT_DIR:
      return "folder";
    case DT_REG:
      return "file";
    case DT_LNK:
      return "link";
    case DT_UNKNOWN: {
      type ??= new Statx();
      if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, type) < 0) return "other";
      const format = type.mode & S_IFMT;
      if (format === S_IFDIR) return "folder";
      if (format === S_IFREG) return "file";
      return format === S_IFLNK ? "link" : "other";
    }
    default:
      return "other";
  }
}

/** Removes what has a name, and if it is a folder, all that is in it; what cannot be removed stays. */
export function removeEntry(dirfd: number, { name, kind }: HostEntry): void {
  if (kind !== "folder") {
    unlinkat(dirfd, name, 0);
    return;
  }
  if (unlinkat(dirfd, name, AT_REMOVEDIR) === 0) return;
  const fd = openFolder(dirfd, name);
  if (fd < 0) return;
  for (const entry of entriesOf(fd)) removeEntry(fd, entry);
  close(fd);
  unlinkat(dirfd, name, AT_REMOVEDIR);
}

/** Whether a regular file can be read and has these bytes and no others. */
export function holdsBytes(dirfd: number, name: string, bytes: Uint8Array): boolean {
  const fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return false;
  room ??= pin(ROOM);
  let at = 0;
  for (;;) {
    const count = pread(fd, room.address, ROOM, BigInt(at));
    if (count <= 0 || !isSame(room.bytes, bytes, at, count)) {
      close(fd);
      return count === 0 && at === bytes.length;
    }
    at += count;
  }
}

function isSame(read: Uint8Array, bytes: Uint8Array, at: number, count: number): boolean {
  if (at + count > bytes.length) return false;
  for (let i = 0; i < count; i++) if (read[i] !== bytes[at + i]) return false;
  return true;
}
