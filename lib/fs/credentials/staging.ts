/**
 * A hidden folder in the root of an export, in which objects get what belongs to them before they
 * get their place, and in which is written what is about to be done in several steps.
 *
 * The folder exists while somebody needs it. Whoever uses it has a file there, `ID.owner`, which
 * holds the intent of the moment and is locked for as long as its owner lives; the owner's objects
 * are called `ID-NUMBER`. So whoever starts next finds what the dead have left, finishes or undoes
 * it, and removes it.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  close,
  DirentCursor,
  EEXIST,
  EISDIR,
  ENOENT,
  EXDEV,
  flock,
  getdents64,
  geteuid,
  LOCK_EX,
  LOCK_NB,
  MappedMemory,
  mkdirat,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  openat,
  pread,
  pwrite,
  scratch,
  seekTo,
  Statx,
  statx,
  STATX_BASIC_STATS,
  unlinkat,
} from "../../linux/mod.ts";
import {
  byteLength,
  decodeString,
  encodeStringInto,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
} from "../../p9/mod.ts";

/** Name of the folder, which clients neither see nor use. */
export const STAGING_NAME = ".virtfs_staging";

const FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const OWNER = ".owner";
/** Somebody removes the folder or our file while we make them: tried so often. */
const ATTEMPTS = 8;
const NEWLINE = 0x0a;
const LIST_BYTES = 32_768;
/** Most bytes of an intent: four names, two of them paths. */
const MAX_INTENT = 16_384;

/** The folder, as one tree uses it. */
export class Staging {
  readonly #root: number;
  readonly #id: string = crypto.randomUUID();
  #folder = -1;
  #owner = -1;
  #count = 0;

  /** Borrows a descriptor of the export's root until `close`. */
  constructor(root: number) {
    this.#root = root;
  }

  /**
   * Clears away what the dead have left.
   *
   * @param recover Finishes or undoes what one of them intended.
   */
  sweep(recover: (intent: string) => void = () => {}): void {
    const fd = openat(this.#root, STAGING_NAME, FOLDER_FLAGS, 0);
    if (fd < 0) return;
    if (!isOurs(fd)) {
      close(fd);
      return;
    }
    const names = namesIn(fd);
    const living = new Set<string>();
    for (const name of names) {
      if (!name.endsWith(OWNER)) continue;
      if (!sweepOwner(fd, name, recover)) living.add(name.slice(0, -OWNER.length));
    }
    for (const name of names) {
      const id = name.slice(0, name.lastIndexOf("-"));
      if (name.endsWith(OWNER) || living.has(id)) continue;
      // The list may have missed an owner who came while it was made.
      if (hasEntry(fd, id + OWNER)) continue;
      if (unlinkat(fd, name, 0) === -EISDIR) unlinkat(fd, name, AT_REMOVEDIR);
    }
    close(fd);
    unlinkat(this.#root, STAGING_NAME, AT_REMOVEDIR); // refused while anybody has something there
  }

  /** Descriptor of the folder, which is made if it is not there; -EXDEV if it is somebody else's. */
  folder(): number {
    if (this.#folder >= 0) {
      if (isLinked(this.#folder)) return this.#folder;
      // Somebody has removed it behind us: what was in it is gone.
      this.#release();
    }
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const made = mkdirat(this.#root, STAGING_NAME, 0o700);
      if (made < 0 && made !== -EEXIST) return made;
      const folder = openat(this.#root, STAGING_NAME, FOLDER_FLAGS, 0);
      if (folder === -ENOENT) continue;
      if (folder < 0) return folder;
      if (!isOurs(folder)) {
        close(folder);
        return -EXDEV; // of no use, as a folder on another file system
      }
      const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
      const owner = openat(folder, this.#id + OWNER, flags, 0o600);
      if (owner >= 0 && flock(owner, LOCK_EX | LOCK_NB) >= 0 && isLinked(owner)) {
        this.#owner = owner;
        return this.#folder = folder;
      }
      if (owner >= 0) close(owner);
      close(folder);
      if (owner < 0 && owner !== -ENOENT) return owner;
    }
    return -ENOENT;
  }

  /** A name that nobody else uses there. */
  newName(): string {
    return `${this.#id}-${this.#count++}`;
  }

  /** Writes down what is about to be done, in case that it is the last thing we do. */
  begin(intent: string): number {
    const folder = this.folder();
    if (folder < 0) return folder;
    return this.#note(`${intent}\n`);
  }

  /** It is done, or will not be. The file keeps its space, since a disk may be full next time. */
  end(): void {
    if (this.#owner >= 0) this.#note("\n");
  }

  #note(text: string): number {
    const { bytes, address } = scratch();
    encodeStringInto(text, bytes, 0);
    return pwrite(this.#owner, address, byteLength(text), 0n);
  }

  /** Lets go of the folder, and removes it if nobody else has it. */
  close(): void {
    if (this.#folder < 0) return;
    unlinkat(this.#folder, this.#id + OWNER, 0);
    this.#release();
    unlinkat(this.#root, STAGING_NAME, AT_REMOVEDIR);
  }

  #release(): void {
    close(this.#owner);
    close(this.#folder);
    this.#folder = this.#owner = -1;
  }
}

/** Does what the owner can do no more, and removes its file. Returns false if it is alive. */
function sweepOwner(folder: number, name: string, recover: (intent: string) => void): boolean {
  const fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return true;
  const isDead = flock(fd, LOCK_EX | LOCK_NB) >= 0;
  if (isDead && isLinked(fd)) {
    const { bytes, address } = scratch();
    const size = pread(fd, address, MAX_INTENT, 0n);
    // What follows the first line is the rest of an older and longer intent.
    const end = bytes.subarray(0, Math.max(size, 0)).indexOf(NEWLINE);
    if (end > 0) recover(decodeString(bytes, 0, end));
    unlinkat(folder, name, 0);
  }
  close(fd);
  return isDead;
}

/** True if nobody else can change what is in a folder. */
function isOurs(fd: number): boolean {
  const found = new Statx();
  return statx(fd, null, LOOK, STATX_BASIC_STATS, found) >= 0 && found.uid === geteuid() &&
    (found.mode & 0o077) === 0;
}

function hasEntry(folder: number, name: string): boolean {
  return statx(folder, name, LOOK, STATX_BASIC_STATS, new Statx()) >= 0;
}

/** True if a file or folder still has a name. */
export function isLinked(fd: number): boolean {
  const found = new Statx();
  return statx(fd, null, LOOK, STATX_BASIC_STATS, found) >= 0 && found.nlink > 0;
}

/** Names of all entries of a folder, from a descriptor that can be read. */
export function namesIn(fd: number): string[] {
  using memory = MappedMemory.anonymous(LIST_BYTES);
  const cursor = new DirentCursor(memory.bytes);
  const names: string[] = [];
  if (seekTo(fd, 0n) < 0) return names;
  for (;;) {
    const filled = getdents64(fd, memory.address, memory.size);
    if (filled <= 0) return names;
    cursor.reset(filled);
    while (cursor.next()) if (!cursor.isDots) names.push(cursor.name);
  }
}

/** First name in a folder that has an inode number, from a descriptor that can be read. */
export function nameOf(fd: number, inode: bigint): string | null {
  using memory = MappedMemory.anonymous(LIST_BYTES);
  const cursor = new DirentCursor(memory.bytes);
  for (;;) {
    const filled = getdents64(fd, memory.address, memory.size);
    if (filled <= 0) return null;
    cursor.reset(filled);
    while (cursor.next()) if (cursor.ino === inode && !cursor.isDots) return cursor.name;
  }
}
