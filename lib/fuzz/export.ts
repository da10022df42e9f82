/**
 * A temporary export: files to begin with, a folder around it with what nobody may see, and the way
 * back to both after every case.
 *
 * @module
 */
import {
  attributeNames,
  getgid,
  getuid,
  listxattr,
  MappedMemory,
  removexattr,
} from "../linux/mod.ts";
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

/** An export of our own. Disposing removes it and what is around it. */
export class TemporaryExport implements HostView, Disposable {
  /** Folder that is exported. */
  readonly root: string;
  /** Folder around it. */
  readonly around: string;
  /** What is in the secret file, which no reply may contain. */
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly #links: boolean;
  readonly #names = MappedMemory.anonymous(65_536);
  readonly #marks = new Map<string, string>();
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
    Deno.mkdirSync(`${this.around}/outside`);
    this.#makeOutside();
    Deno.mkdirSync(this.root);
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

  /** Makes it as it was in the beginning. What has not changed is left alone. */
  reset(): void {
    // One that got out may have moved or removed the root itself.
    Deno.mkdirSync(this.root, { recursive: true });
    this.#resetFolder("", this.root);
  }

  /** Makes a folder, and all that belongs in it, as it was. */
  #resetFolder(path: string, host: string): void {
    this.#resetAttributes(host);
    const wanted = this.#wanted.get(path) ?? NOTHING;
    let found = 0;
    let isReadable = true;
    for (const entry of Deno.readDirSync(host)) {
      const fixture = wanted.get(entry.name);
      const isRight = fixture !== undefined && (fixture.kind === "folder") === entry.isDirectory &&
        (fixture.kind === "link") === entry.isSymlink;
      // What our server keeps there for itself, under a mapped model.
      if (!this.#links && entry.name === STAGING) continue;
      if (isRight) found++;
      else isReadable &&= remove(`${host}/${entry.name}`);
    }
    if (!isReadable) {
      // Names that are no UTF-8 cannot be named one by one.
      emptyFolder(host);
      found = 0;
    }
    for (const [name, fixture] of wanted) {
      const at = `${host}/${name}`;
      if (fixture.kind === "folder") {
        if (found < wanted.size) Deno.mkdirSync(at, { recursive: true });
        this.#resetFolder(fixture.path, at);
      } else if (fixture.kind === "file") this.#resetFile(fixture, at);
      else this.#resetLink(fixture, at);
    }
  }

  #resetFile(fixture: Fixture & { kind: "file" }, host: string): void {
    const known = this.#marks.get(host);
    const contents = contentsOf(fixture.bytes);
    if (
      known !== undefined && known === markOf(host) && isSame(Deno.readFileSync(host), contents)
    ) {
      return;
    }
    // Of a link to something else, or a device, only the name may be touched.
    remove(host);
    Deno.writeFileSync(host, contents, { createNew: true });
    this.#marks.set(host, markOf(host) ?? "");
  }

  #resetLink(fixture: Fixture & { kind: "link" }, host: string): void {
    const known = this.#marks.get(host);
    if (known !== undefined && known === markOf(host)) return;
    remove(host);
    Deno.symlinkSync(fixture.target, host);
    this.#marks.set(host, markOf(host) ?? "");
  }

  #resetAttributes(host: string): void {
    // The clock of file systems is too coarse to tell by it that nothing has changed.
    const size = listxattr(host, this.#names.address, this.#names.bytes.length);
    if (size > 0) {
      for (const name of attributeNames(this.#names.bytes, size)) removexattr(host, name);
    }
    const { mode, uid, gid } = Deno.lstatSync(host);
    if (uid !== getuid() || gid !== getgid()) Deno.chownSync(host, getuid(), getgid());
    if (((mode ?? 0) & 0o7777) !== 0o755) Deno.chmodSync(host, 0o755);
  }

  /** What has changed outside of the export, in a sentence; nothing if nothing has. Undoes it. */
  trespass(): string | undefined {
    const complaint = this.#lookOutside();
    if (complaint !== undefined) {
      for (const { name } of Deno.readDirSync(this.around)) {
        if (name !== "export") remove(`${this.around}/${name}`);
      }
      Deno.mkdirSync(`${this.around}/outside`, { recursive: true });
      this.#makeOutside();
    }
    return complaint;
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    this.#names[Symbol.dispose]();
    remove(this.around);
  }

  #makeOutside(): void {
    Deno.writeFileSync(`${this.around}/${SECRET_NAME}`, this.secret);
    Deno.writeFileSync(`${this.around}/outside/${SECRET_NAME}`, this.secret);
  }

  #lookOutside(): string | undefined {
    for (const folder of [this.around, `${this.around}/outside`]) {
      let names: string[];
      try {
        names = [...Deno.readDirSync(folder)].map(({ name }) => name);
      } catch {
        return "a folder outside of the export is gone";
      }
      const known = folder === this.around ? ["export", "outside", SECRET_NAME] : [SECRET_NAME];
      const strange = names.find((name) => !known.includes(name) && !/^core|\.sock$/.test(name));
      if (strange !== undefined) {
        return `a file was made outside of the export: ${JSON.stringify(strange)}`;
      }
      const missing = known.find((name) => !names.includes(name));
      if (missing !== undefined) return `"${missing}" is gone, which lies outside of the export`;
      let now: Uint8Array;
      try {
        now = Deno.readFileSync(`${folder}/${SECRET_NAME}`);
      } catch {
        return "the secret file outside of the export cannot be read any more";
      }
      if (!isSame(now, this.secret)) {
        return "the secret file outside of the export was changed";
      }
    }
    return undefined;
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function isSame(some: Uint8Array, others: Uint8Array): boolean {
  return Buffer.compare(some, others) === 0;
}

/** What of a file changes with it; nothing if it is not there. */
function markOf(path: string): string | undefined {
  try {
    const { mode, uid, gid, size, ino, nlink, ctime } = Deno.lstatSync(path);
    return `${mode}:${uid}:${gid}:${size}:${ino}:${nlink}:${ctime?.getTime()}`;
  } catch {
    return undefined;
  }
}

/** Removes a file or a folder with all that a client may have put there; false if that cannot be. */
function remove(path: string): boolean {
  try {
    Deno.removeSync(path, { recursive: true });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return markOf(path) === undefined && !path.includes("\ufffd");
    }
    // Names in it that are no UTF-8, or paths too long for one call.
    const { success } = new Deno.Command("rm", { args: ["-rf", "--", path], stderr: "null" })
      .outputSync();
    return success && markOf(path) === undefined;
  }
}

/** Removes all that is in a folder but what our server keeps there. */
function emptyFolder(path: string): void {
  const args = [path, "-mindepth", "1", "-maxdepth", "1", "!", "-name", STAGING];
  new Deno.Command("find", { args: [...args, "-exec", "rm", "-rf", "{}", "+"], stderr: "null" })
    .outputSync();
}
