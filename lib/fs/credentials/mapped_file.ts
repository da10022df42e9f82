/**
 * The model `mapped-file`: owner, group, mode and device number in files of text.
 *
 * What belongs to the entry NAME of a folder is in `.virtfs_metadata/NAME` there, what belongs to the
 * root of the export in `.virtfs_metadata_root`, as QEMU has it: lines `virtfs.uid=`, `virtfs.gid=`,
 * `virtfs.mode=` and `virtfs.rdev=` with a signed decimal number of 32 bits.
 *
 * Whoever changes a folder holds an exclusive lock on its `.virtfs_metadata`, whoever reads from it
 * a shared one, so that no client ever sees an entry with what belongs to another.
 *
 * @module
 */
import {
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  close,
  EAGAIN,
  EEXIST,
  EINTR,
  ENOENT,
  ENOTEMPTY,
  EPERM,
  ESTALE,
  EXDEV,
  flock,
  fsync,
  ftruncate,
  linkat,
  linkFd,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  mkdirat,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  openat,
  pathOf,
  pread,
  pwrite,
  renameat,
  schedYield,
  Statx,
  statx,
  STATX_BASIC_STATS,
  unlinkat,
} from "../../linux/mod.ts";
import { O_EXCL, O_RDONLY, O_WRONLY, S_IFDIR, S_IFMT } from "../../p9/mod.ts";
import { MappedCredentials } from "./mapped.ts";
import type { Draft, Kept, MappedOptions } from "./mapped.ts";
import type { Making } from "./making.ts";
import type { Credentials, Memo, Place } from "./seam.ts";
import { isLinked, nameOf, namesIn, STAGING_NAME } from "./staging.ts";

/** Name of the folder with what belongs to the entries of the folder it is in. */
export const METADATA_NAME = ".virtfs_metadata";
/** Name of the file with what belongs to the root of the export. */
export const ROOT_METADATA_NAME = ".virtfs_metadata_root";

const LOOK = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** More than any file of metadata has. */
const MAX_TEXT = 4096;
/** Somebody removes the folder of metadata while we lock it: tried so often. */
const ATTEMPTS = 8;
/** A lock that must not be waited for is tried so often: most are held for microseconds. */
const PATIENCE = 1000;
const ROOT = "/";

/** What is about to happen to two entries, or one, in several steps. */
interface Intent {
  /** Folder of the entry, from the root of the export. */
  readonly folder: string;
  /** Its name. */
  readonly name: string;
  /** Where it moves, if it does. */
  readonly to?: { readonly folder: string; readonly name: string };
  /** Inode number of what moves. */
  readonly inode?: string;
  /** Whether anything is kept beside what moves. */
  readonly hasMetadata?: boolean;
}

/** Reads what is kept; what is not there stays -1. */
export function parseMetadata(text: string, into: Kept): void {
  into.uid = into.gid = into.mode = -1;
  into.rdev = -1n;
  for (const line of text.split("\n")) {
    const [, key, digits] = /^virtfs\.(uid|gid|mode|rdev)=\s*([-+]?\d{1,20})/.exec(line) ?? [];
    if (digits === undefined) continue;
    const value = Number(BigInt.asUintN(32, BigInt(digits.replace(/^\+/, ""))));
    if (key === "uid") into.uid = value;
    else if (key === "gid") into.gid = value;
    else if (key === "mode") into.mode = value;
    else into.rdev = BigInt(value);
  }
}

/** The text that keeps something. */
export function formatMetadata({ uid, gid, mode, rdev }: Readonly<Kept>): string {
  let text = "";
  if (uid !== -1) text += `virtfs.uid=${uid | 0}\n`;
  if (gid !== -1) text += `virtfs.gid=${gid | 0}\n`;
  if (mode !== -1) text += `virtfs.mode=${mode | 0}\n`;
  if (rdev !== -1n) text += `virtfs.rdev=${BigInt.asIntN(32, rdev)}\n`;
  return text;
}

/** What is kept of a file that is just what the host has. */
const NOTHING_KEPT: Readonly<Kept> = { mode: -1, uid: -1, gid: -1, rdev: -1n };

class MappedFileCredentials extends MappedCredentials {
  override readonly name = "mapped-file";
  /** The file of metadata as it was looked at last. */
  readonly #source: Statx = new Statx();
  /** The entry that a name led to last. */
  readonly #entry: Statx = new Statx();
  readonly #old: Kept = { ...NOTHING_KEPT };
  #root = -1;

  override start(root: number): number {
    this.#root = root;
    return super.start(root);
  }

  override hides(name: string): boolean {
    return name === METADATA_NAME || name === ROOT_METADATA_NAME || name === STAGING_NAME;
  }

  override hiddenFolders(folder: Place, isRoot: boolean): number {
    const own = statx(folder.handle(), METADATA_NAME, LOOK, STATX_BASIC_STATS, this.#entry) >= 0;
    return super.hiddenFolders(folder, isRoot) + (own ? 1 : 0);
  }

  /** The file of metadata, if the place still is where the file is. */
  protected override source(place: Place, found: Statx): Statx | null {
    const { name } = place;
    const folder = place.folderHandle();
    if (name !== ROOT && !this.#leadsTo(folder, name, found.ino)) return null;
    const path = name === ROOT ? ROOT_METADATA_NAME : `${METADATA_NAME}/${name}`;
    if (statx(folder, path, LOOK, STATX_BASIC_STATS, this.#source) >= 0) return this.#source;
    place.memo = null;
    return null;
  }

  protected override load(place: Place, into: Kept): number {
    const { name } = place;
    const folder = place.folderHandle();
    const { ino } = this.#entry;
    return this.#within(folder, LOCK_SH, false, (meta) => {
      // The way there was not locked when it was looked at.
      if (name !== ROOT && !this.#leadsTo(folder, name, ino)) return -ESTALE;
      return this.#read(folder, meta, name, into);
    });
  }

  protected override store(place: Place, changes: Kept): number {
    const { name } = place;
    const folder = place.folderHandle();
    const { ino, nlink, ctimeSec, ctimeNsec } = this.found;
    const isSettled = false;
    const memo = changed({ ...this.seen, ctimeSec, ctimeNsec, ino, isSettled }, changes);
    if (nlink === 0) {
      // A file without a name has nothing beside it: what it was lives on as long as it does.
      place.memo = memo;
      return 0;
    }
    place.memo = null;
    const result = this.#within(folder, LOCK_EX, true, (meta) => {
      const isNamed = name === ROOT || this.#leadsTo(folder, name, ino);
      // What is kept of a file that has lost this name is beside another one.
      const at = isNamed ? name : this.#otherName(folder, ino);
      if (at === null) return -ESTALE;
      const old = this.#old;
      const result = this.#read(folder, meta, at, old);
      if (result < 0) return result;
      return this.#write(folder, meta, at, {
        mode: changes.mode === -1 ? old.mode : changes.mode,
        uid: changes.uid === -1 ? old.uid : changes.uid,
        gid: changes.gid === -1 ? old.gid : changes.gid,
        rdev: old.rdev,
      });
    });
    if (result >= 0) place.memo = memo;
    return result;
  }

  /** The file of metadata, and that it is there: it may be younger than what the disk has. */
  sync(place: Place): number {
    const { name } = place;
    const folder = place.folderHandle();
    const [file, above] = name === ROOT
      ? [ROOT_METADATA_NAME, "."]
      : [`${METADATA_NAME}/${name}`, METADATA_NAME];
    const result = syncBelow(folder, file, O_RDONLY);
    return result < 0 ? result : syncBelow(folder, above, O_RDONLY | O_DIRECTORY);
  }

  /** What is kept comes before the name; if the name does not come, it goes again. */
  protected override making(folder: Place, name: string, draft: Draft): Making {
    const parent = folder.handle();
    return {
      describe: (fd) => this.storeAcls(fd, draft),
      publish: (give) =>
        this.#within(parent, LOCK_EX, true, (meta) => {
          if (this.#has(parent, name)) return -EEXIST;
          return this.#intending({ folder: this.#path(parent), name }, () => {
            let result = this.#write(parent, meta, name, draft);
            if (result >= 0) result = give();
            if (result < 0) unlinkat(meta, name, 0);
            return result;
          });
        }),
    };
  }

  link(target: Place, folder: number, name: string): number {
    const from = target.folderHandle();
    return this.#withinBoth(from, folder, (fromMeta, meta) => {
      if (this.#has(folder, name)) return -EEXIST;
      // What is kept of the root lies elsewhere, so the kernel might find something else wrong.
      if (this.#isFolder(target)) return -EPERM;
      const { ino } = this.#entry;
      const at = this.#leadsTo(from, target.name, ino)
        ? target.name
        : this.#otherName(from, ino) ?? target.name;
      return this.#intending({ folder: this.#path(folder), name }, () => {
        unlinkat(meta, name, 0);
        let result = linkat(fromMeta, at, meta, name, 0);
        if (result === -ENOENT) {
          // Nothing is kept of it yet: what comes later has to be there for both names.
          result = this.#write(from, fromMeta, at, NOTHING_KEPT);
          if (result >= 0) result = linkat(fromMeta, at, meta, name, 0);
        }
        if (result >= 0) result = linkFd(target.handle(), folder, name);
        if (result < 0) unlinkat(meta, name, 0);
        return result;
      });
    });
  }

  unlink(folder: number, name: string, directory: boolean): number {
    if (directory) {
      const result = this.#clearFolder(folder, name);
      if (result < 0) return result;
    }
    return this.#within(folder, LOCK_EX, false, (meta) => {
      if (meta < 0) return unlinkat(folder, name, directory ? AT_REMOVEDIR : 0);
      return this.#intending({ folder: this.#path(folder), name }, () => {
        const result = unlinkat(folder, name, directory ? AT_REMOVEDIR : 0);
        if (result >= 0) unlinkat(meta, name, 0);
        return result;
      }, true);
    });
  }

  rename(folder: number, name: string, newFolder: number, newName: string): number {
    const source = new Statx();
    return this.#withinBoth(folder, newFolder, (meta, newMeta) => {
      const found = statx(folder, name, LOOK, STATX_BASIC_STATS, source);
      if (found < 0) return found;
      // Two names of one file: rename(2) does nothing.
      if (this.#leadsTo(newFolder, newName, source.ino)) {
        return renameat(folder, name, newFolder, newName);
      }
      const hasMetadata = this.#has(meta, name);
      const intent: Intent = {
        folder: this.#path(folder),
        name,
        to: { folder: this.#path(newFolder), name: newName },
        inode: String(source.ino),
        hasMetadata,
      };
      return this.#intending(intent, () => {
        let result = renameat(folder, name, newFolder, newName);
        if (result === -ENOTEMPTY || result === -EEXIST) {
          result = this.#clearFolder(newFolder, newName);
          if (result >= 0) result = renameat(folder, name, newFolder, newName);
        }
        return result < 0 ? result : moveMetadata(meta, name, newMeta, newName, hasMetadata);
      });
    });
  }

  /** Finishes what had begun: an entry without its file loses what was kept, a moved one gets it. */
  protected override recover(root: number, text: string): void {
    const intent = parseIntent(text);
    if (intent === null) return;
    const { folder, name, to } = intent;
    const from = openBelow(root, folder);
    if (from < 0) return;
    const fromMeta = openat(from, METADATA_NAME, FOLDER_FLAGS, 0);
    if (to === undefined) {
      if (fromMeta >= 0 && !this.#has(from, name)) unlinkat(fromMeta, name, 0);
    } else {
      const into = openBelow(root, to.folder);
      if (into >= 0) {
        const isMoved = this.#has(into, to.name) && String(this.#entry.ino) === intent.inode &&
          !(this.#has(from, name) && String(this.#entry.ino) === intent.inode);
        const meta = openat(into, METADATA_NAME, FOLDER_FLAGS, 0);
        if (isMoved && meta >= 0) {
          moveMetadata(fromMeta, name, meta, to.name, intent.hasMetadata ?? false);
        }
        if (meta >= 0) close(meta);
        close(into);
      }
    }
    if (fromMeta >= 0) close(fromMeta);
    close(from);
  }

  /** Removes what is kept in a folder that is about to go; -ENOTEMPTY if it has entries. */
  #clearFolder(folder: number, name: string): number {
    const fd = openat(folder, name, FOLDER_FLAGS, 0);
    if (fd < 0) return fd;
    try {
      if (namesIn(fd).some((each) => each !== METADATA_NAME)) return -ENOTEMPTY;
      // Without waiting, since the folder above may be locked already.
      return this.#within(fd, LOCK_EX | LOCK_NB, false, (meta) => {
        if (meta < 0) return 0;
        if (namesIn(fd).some((each) => each !== METADATA_NAME)) return -ENOTEMPTY;
        for (const each of namesIn(meta)) unlinkat(meta, each, 0);
        return unlinkat(fd, METADATA_NAME, AT_REMOVEDIR);
      });
    } finally {
      close(fd);
    }
  }

  /**
   * Does something with the folder of metadata locked.
   *
   * @param mustExist Whether to make it; else `run` gets -1 where there is none.
   */
  #within(
    folder: number,
    lock: number,
    mustExist: boolean,
    run: (meta: number) => number,
  ): number {
    const meta = lockMetadata(folder, lock, mustExist);
    if (meta === -ENOENT && !mustExist) return run(-1);
    if (meta < 0) return meta;
    try {
      return run(meta);
    } finally {
      close(meta); // which unlocks
    }
  }

  /** The same for two folders, in an order that everybody keeps. */
  #withinBoth(
    one: number,
    other: number,
    run: (one: number, other: number) => number,
  ): number {
    const first = inodeOf(one);
    const second = inodeOf(other);
    if (first === second) return this.#within(one, LOCK_EX, true, (meta) => run(meta, meta));
    return first < second
      ? this.#within(
        one,
        LOCK_EX,
        true,
        (a) => this.#within(other, LOCK_EX, true, (b) => run(a, b)),
      )
      : this.#within(
        other,
        LOCK_EX,
        true,
        (b) => this.#within(one, LOCK_EX, true, (a) => run(a, b)),
      );
  }

  /**
   * Writes an intent down, does it, and strikes it out.
   *
   * @param isVital Whether to do it even where nothing can be written: what makes room must work on a
   * full disk.
   */
  #intending(intent: Intent, run: () => number, isVital: boolean = false): number {
    const written = this.staging.begin(JSON.stringify(intent));
    if (written < 0 && !isVital) return written;
    try {
      return run();
    } finally {
      this.staging.end();
    }
  }

  /** Path of a folder from the root of the export. */
  #path(folder: number): string {
    const root = pathOf(this.#root);
    const path = pathOf(folder);
    if (typeof root !== "string" || typeof path !== "string") return "";
    return path === root ? "" : path.slice(root === "/" ? 1 : root.length + 1);
  }

  #has(folder: number, name: string): boolean {
    return statx(folder, name, LOOK, STATX_BASIC_STATS, this.#entry) >= 0;
  }

  #isFolder(place: Place): boolean {
    const found = this.#entry;
    return statx(place.handle(), null, LOOK, STATX_BASIC_STATS, found) >= 0 &&
      (found.mode & S_IFMT) === S_IFDIR;
  }

  #leadsTo(folder: number, name: string, inode: bigint): boolean {
    return this.#has(folder, name) && this.#entry.ino === inode;
  }

  /** Another name of a file in the same folder; null if all others are in other folders. */
  #otherName(folder: number, inode: bigint): string | null {
    const fd = openat(folder, ".", FOLDER_FLAGS, 0);
    if (fd < 0) return null;
    const name = nameOf(fd, inode);
    close(fd);
    return name !== null && this.#leadsTo(folder, name, inode) ? name : null;
  }

  /** Reads what is kept of an entry; nothing is no error. */
  #read(folder: number, meta: number, name: string, into: Kept): number {
    parseMetadata("", into);
    const [at, file] = name === ROOT ? [folder, ROOT_METADATA_NAME] : [meta, name];
    if (at < 0) return 0;
    const fd = openat(at, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd === -ENOENT) return 0;
    if (fd < 0) return fd;
    const { address, bytes } = this.memory;
    const size = pread(fd, address, MAX_TEXT, 0n);
    close(fd);
    if (size < 0) return size;
    parseMetadata(new TextDecoder().decode(bytes.subarray(0, size)), into);
    return 0;
  }

  /** A new file takes the place of the old one, unless that has other names which must say the same. */
  #write(folder: number, meta: number, name: string, kept: Readonly<Kept>): number {
    const [at, file] = name === ROOT ? [folder, ROOT_METADATA_NAME] : [meta, name];
    const text = formatMetadata(kept);
    const isShared = this.#has(at, file) && this.#entry.nlink > 1;
    if (isShared) return this.#overwrite(at, file, text, Number(this.#entry.size));
    const staging = this.staging.folder();
    if (staging < 0) return staging;
    const staged = this.staging.newName();
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const fd = openat(staging, staged, flags, 0o600);
    if (fd < 0) return fd;
    let result = this.#put(fd, text);
    close(fd);
    if (result >= 0) result = renameat(staging, staged, at, file);
    if (result >= 0) return 0;
    unlinkat(staging, staged, 0);
    return result === -EXDEV ? this.#overwrite(at, file, text, 0) : result;
  }

  /** One write changes it all: what is left of a longer text becomes empty lines. */
  #overwrite(at: number, file: string, text: string, size: number): number {
    const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const fd = openat(at, file, flags, 0o600);
    if (fd < 0) return fd;
    const padded = text.padEnd(Math.min(size, MAX_TEXT), "\n");
    const result = this.#put(fd, padded);
    if (result >= 0) ftruncate(fd, BigInt(text.length));
    close(fd);
    return result;
  }

  #put(fd: number, text: string): number {
    const { bytes, address } = this.memory;
    const { written } = new TextEncoder().encodeInto(text, bytes);
    return pwrite(fd, address, written, 0n);
  }
}

/** What a file is after a change. */
function changed(memo: Memo, { mode, uid, gid }: Kept): Memo {
  return {
    ...memo,
    mode: mode === -1 ? memo.mode : mode,
    uid: uid === -1 ? memo.uid : uid,
    gid: gid === -1 ? memo.gid : gid,
  };
}

/** Moves what is kept beside an entry, which may be nothing: then nothing is kept in the new place. */
function moveMetadata(
  from: number,
  name: string,
  to: number,
  newName: string,
  hasMetadata: boolean,
): number {
  const result = hasMetadata ? renameat(from, name, to, newName) : unlinkat(to, newName, 0);
  return result === -ENOENT ? 0 : result;
}

/** Opens and locks the folder of metadata of a folder. */
function lockMetadata(folder: number, lock: number, mustExist: boolean): number {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const meta = openat(folder, METADATA_NAME, FOLDER_FLAGS, 0);
    if (meta === -ENOENT && mustExist) {
      const made = mkdirat(folder, METADATA_NAME, 0o700);
      if (made < 0 && made !== -EEXIST) return made;
      continue;
    }
    if (meta < 0) return meta;
    let locked = flock(meta, lock);
    for (let patience = PATIENCE; locked === -EINTR || locked === -EAGAIN && patience > 0;) {
      patience--;
      schedYield();
      locked = flock(meta, lock);
    }
    // Somebody makes an entry there.
    if (locked === -EAGAIN) locked = -ENOTEMPTY;
    if (locked >= 0 && isLinked(meta)) return meta;
    close(meta);
    if (locked < 0) return locked;
  }
  return -ENOENT;
}

/** Waits until the disk has a file below a folder; there need not be one. */
function syncBelow(folder: number, path: string, flags: number): number {
  const fd = openat(folder, path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return fd === -ENOENT ? 0 : fd;
  const result = fsync(fd);
  close(fd);
  return Math.min(result, 0);
}

function inodeOf(fd: number): bigint {
  const found = new Statx();
  return statx(fd, null, LOOK, STATX_BASIC_STATS, found) < 0 ? 0n : found.ino;
}

/** Opens a folder below another, one name at a time and through no link. */
function openBelow(root: number, path: string): number {
  let fd = openat(root, ".", FOLDER_FLAGS, 0);
  for (const name of path.split("/")) {
    if (name === "" || fd < 0) continue;
    const next = name === ".." ? -ENOENT : openat(fd, name, FOLDER_FLAGS, 0);
    close(fd);
    fd = next;
  }
  return fd;
}

/** Reads an intent; null if it was cut short, and so nothing had begun. */
function parseIntent(text: string): Intent | null {
  try {
    const intent = JSON.parse(text) as Intent;
    const isEntry = (each: { folder: unknown; name: unknown }) =>
      typeof each.folder === "string" && typeof each.name === "string" &&
      each.name !== "" && !each.name.includes("/");
    if (!isEntry(intent) || intent.to !== undefined && !isEntry(intent.to)) return null;
    return intent;
  } catch {
    return null;
  }
}

/** Makes the model `mapped-file`. */
export function mappedFileCredentials(options: MappedOptions = {}): Credentials {
  return new MappedFileCredentials(options);
}
