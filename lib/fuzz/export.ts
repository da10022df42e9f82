/**
 * A temporary export: files to begin with, a folder around it with what nobody may see, and the way
 * back to both after every case.
 *
 * @module
 */
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  attributeNames,
  check,
  fchmod,
  fchown,
  Fd,
  flistxattr,
  fremovexattr,
  getgid,
  getuid,
  mkdirat,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openat,
  pin,
  Statx,
  statx,
  STATX_BASIC_STATS,
  symlinkat,
  write,
} from "../linux/mod.ts";
import { entriesOf, holdsBytes, openFolder, removeEntry } from "./host_folder.ts";
import type { HostView } from "./target.ts";

/** A file that every export has when a case begins. */
export type Fixture =
  | { readonly path: string; readonly kind: "folder" }
  | { readonly path: string; readonly kind: "file"; readonly bytes: number }
  | { readonly path: string; readonly kind: "link"; readonly target: string };

/** The files, folders before what is in them. */
export const FIXTURES: readonly Fixture[] = [
  { path: "hello", kind: "file", bytes: 13 },
  { path: "empty", kind: "file", bytes: 0 },
  { path: "pattern", kind: "file", bytes: 9000 },
  { path: "folder", kind: "folder" },
  { path: "folder/a", kind: "file", bytes: 5 },
  { path: "folder/sub", kind: "folder" },
  { path: "folder/sub/b", kind: "file", bytes: 70 },
  { path: "bare", kind: "folder" },
  { path: "link", kind: "link", target: "hello" },
  { path: "dangling", kind: "link", target: "nowhere" },
  { path: "out", kind: "link", target: "../outside" },
];

const NOTHING: ReadonlyMap<string, Fixture> = new Map();

const CONTENTS = new Map<number, Uint8Array<ArrayBuffer>>();

/** What is in a file of the fixtures; not to be changed. */
export function contentsOf(bytes: number): Uint8Array<ArrayBuffer> {
  const known = CONTENTS.get(bytes);
  if (known !== undefined) return known;
  const contents = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) contents[at] = (at * 7 + bytes) % 251;
  CONTENTS.set(bytes, contents);
  return contents;
}

/** Name of the secret file beside the export. */
export const SECRET_NAME = "secret-outside";

/** Folder at the root in which our server makes things before they get their names. */
const STAGING = ".virtfs_staging";

/** Permissions of its folders. */
const FOLDER_MODE = 0o755;

/** An export of our own. Disposing removes it and what is around it. */
export class TemporaryExport implements HostView, Disposable {
  /** Folder that is exported. */
  readonly root: string;
  /** Folder around it. */
  readonly around: string;
  /** What is in the secret file, which no reply may contain. */
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly #links: boolean;
  /** For names of attributes, and contents of files. */
  readonly #room = pin(65_536);
  readonly #stat = new Statx();
  readonly #marks = new Map<string, Mark>();
  readonly #wanted = new Map<string, Map<string, Fixture>>();

  /**
   * Makes one.
   *
   * @param links Whether there shall be symbolic links, which a server with mapped attributes does
   * not take for such.
   */
  constructor(links: boolean) {
    this.#links = links;
    const directory = isFolder("/dev/shm") ? { dir: "/dev/shm" } : {};
    this.around = Deno.makeTempDirSync({ prefix: "virtfs-fuzz-", ...directory });
    this.root = `${this.around}/export`;
    const chance = crypto.getRandomValues(new Uint8Array(12)).toHex();
    this.secret = new TextEncoder().encode(`not for clients ${chance}\n`);
    Deno.chmodSync(this.around, 0o755);
    this.#makeOutside();
    for (const fixture of this.fixtures) {
      const at = fixture.path.lastIndexOf("/");
      const folder = fixture.path.slice(0, Math.max(0, at));
      const entries = this.#wanted.get(folder) ?? new Map<string, Fixture>();
      this.#wanted.set(folder, entries.set(fixture.path.slice(at + 1), fixture));
    }
    this.reset();
  }

  /** The fixtures that it has. */
  get fixtures(): readonly Fixture[] {
    return this.#links ? FIXTURES : FIXTURES.filter(({ kind }) => kind !== "link");
  }

  /**
   * Makes it as it was in the beginning. What has not changed is left alone.
   *
   * @throws {LinuxError} If that cannot be.
   */
  reset(): void {
    this.#resetFolder(AT_FDCWD, this.root, "");
  }

  /** Makes a folder, and all that belongs in it, as it was. */
  #resetFolder(dirfd: number, name: string, path: string): void {
    using folder = Fd.from(openWanted(dirfd, name), `open "${name}" of the export`);
    const fd = folder.number;
    this.#resetAttributes(fd);
    const wanted = this.#wanted.get(path) ?? NOTHING;
    for (const entry of entriesOf(fd)) {
      // What our server keeps there for itself, under a mapped model.
      if (!this.#links && entry.name === STAGING) continue;
      if (wanted.get(entry.name)?.kind !== entry.kind) removeEntry(fd, entry);
    }
    for (const [child, fixture] of wanted) {
      if (fixture.kind === "folder") this.#resetFolder(fd, child, fixture.path);
      else this.#resetEntry(fd, child, fixture);
    }
  }

  /** Makes a file or a link as it was. */
  #resetEntry(dirfd: number, name: string, fixture: Fixture & { kind: "file" | "link" }): void {
    let mark = this.#marks.get(fixture.path);
    const isThere = statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, this.#stat) === 0;
    if (mark !== undefined && isThere && mark.fits(this.#stat)) {
      // The clock of file systems is too coarse to tell by it that nothing has been written.
      const isSame = fixture.kind === "link" || holdsBytes(dirfd, name, contentsOf(fixture.bytes));
      if (isSame) return;
    }
    // Of a link to something else, or a device, only the name may be touched.
    if (isThere) removeEntry(dirfd, { name, kind: "other" });
    if (fixture.kind === "file") this.#writeFile(dirfd, name, contentsOf(fixture.bytes));
    else check(symlinkat(fixture.target, dirfd, name), `make the link "${fixture.path}"`);
    check(statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, this.#stat), "look at it");
    mark ??= new Mark();
    mark.take(this.#stat);
    this.#marks.set(fixture.path, mark);
  }

  #writeFile(dirfd: number, name: string, contents: Uint8Array): void {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    using file = Fd.from(openat(dirfd, name, flags, 0o666), `make "${name}" of the export`);
    this.#room.bytes.set(contents);
    check(write(file.number, this.#room.address, contents.length), `write "${name}"`);
  }

  #resetAttributes(fd: number): void {
    const { address, bytes } = this.#room;
    const size = flistxattr(fd, address, bytes.length);
    if (size > 0) { for (const name of attributeNames(bytes, size)) fremovexattr(fd, name); }
    check(statx(fd, null, 0, STATX_BASIC_STATS, this.#stat), "look at a folder of the export");
    const { mode, uid, gid } = this.#stat;
    if (uid !== getuid() || gid !== getgid()) fchown(fd, getuid(), getgid());
    if ((mode & 0o7777) !== FOLDER_MODE) fchmod(fd, FOLDER_MODE);
  }

  /** What has changed outside of the export, in a sentence; nothing if nothing has. Undoes it. */
  trespass(): string | undefined {
    const complaint = this.#lookOutside();
    if (complaint !== undefined) {
      using around = Fd.from(openWanted(AT_FDCWD, this.around), "open what is around the export");
      for (const entry of entriesOf(around.number)) {
        if (entry.name !== "export") removeEntry(around.number, entry);
      }
      this.#makeOutside();
    }
    return complaint;
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    removeEntry(AT_FDCWD, { name: this.around, kind: "folder" });
  }

  #makeOutside(): void {
    Deno.mkdirSync(`${this.around}/outside`, { recursive: true });
    Deno.writeFileSync(`${this.around}/${SECRET_NAME}`, this.secret);
    Deno.writeFileSync(`${this.around}/outside/${SECRET_NAME}`, this.secret);
  }

  #lookOutside(): string | undefined {
    return this.#lookInto(this.around, ["export", "outside", SECRET_NAME]) ??
      this.#lookInto(`${this.around}/outside`, [SECRET_NAME]);
  }

  #lookInto(path: string, known: readonly string[]): string | undefined {
    const fd = openFolder(AT_FDCWD, path);
    if (fd < 0) return "a folder outside of the export is gone";
    using folder = new Fd(fd);
    const names = entriesOf(folder.number).map(({ name }) => name);
    const strange = names.find((name) => !known.includes(name) && !/^core|\.sock$/.test(name));
    if (strange !== undefined) {
      return `a file was made outside of the export: ${JSON.stringify(strange)}`;
    }
    const missing = known.find((name) => !names.includes(name));
    if (missing !== undefined) return `"${missing}" is gone, which lies outside of the export`;
    return holdsBytes(folder.number, SECRET_NAME, this.secret)
      ? undefined
      : "the secret file outside of the export was changed";
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Opens a folder that shall be there; makes it if it is not, in place of what is. */
function openWanted(dirfd: number, name: string): number {
  const fd = openFolder(dirfd, name);
  if (fd >= 0) return fd;
  removeEntry(dirfd, { name, kind: "other" });
  const made = mkdirat(dirfd, name, FOLDER_MODE);
  return made < 0 ? made : openFolder(dirfd, name);
}

/** What of a file changes with it. */
class Mark {
  #mode = 0;
  #uid = 0;
  #gid = 0;
  #links = 0;
  #size = 0n;
  #inode = 0n;
  #seconds = 0n;
  #nanoseconds = 0;

  take(stat: Statx): void {
    this.#mode = stat.mode;
    this.#uid = stat.uid;
    this.#gid = stat.gid;
    this.#links = stat.nlink;
    this.#size = stat.size;
    this.#inode = stat.ino;
    this.#seconds = stat.ctimeSec;
    this.#nanoseconds = stat.ctimeNsec;
  }

  fits(stat: Statx): boolean {
    return this.#nanoseconds === stat.ctimeNsec && this.#mode === stat.mode &&
      this.#uid === stat.uid && this.#gid === stat.gid && this.#links === stat.nlink &&
      this.#size === stat.size && this.#inode === stat.ino && this.#seconds === stat.ctimeSec;
  }
}
