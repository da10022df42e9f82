/**
 * The scene of an attack: an export, and around it what no client may see or change.
 *
 * @module
 */
import {
  AT_FDCWD,
  close,
  EOPNOTSUPP,
  lgetxattr,
  llistxattr,
  loadLibc,
  lsetxattr,
  O_CLOEXEC,
  O_NOATIME,
  openat,
  pread,
  scratch,
} from "../../lib/linux/mod.ts";
import type { Channel } from "../../lib/transport/mod.ts";

// A test must not load it within itself.
loadLibc();

/** Everything outside holds this: in contents, in names, in values of attributes. */
export const TOKEN = "outside-3f9c1e";
/** Content of every file outside. */
export const SECRET: string = `${TOKEN}: nobody may read or change this\n`;
/** Content of files inside. */
export const INSIDE = "inside\n";
/** An extended attribute that files on either side have. */
export const ATTRIBUTE = "user.side";

/** Times that the server would have to change: reading sets the time of last access to now. */
const LONG_AGO = new Date("2001-02-03T04:05:06Z");
const LATER = new Date("2002-02-03T04:05:06Z");

/** Names that exist in the folder outside and in those inside that are swapped with links to it. */
export const SAME_NAMES = ["file", "other", "sub/file", "sub/other", "empty/"] as const;

/** Folders with the sentinels, and the export beside them. */
export class Arena implements AsyncDisposable {
  /** The export. */
  readonly root: string;
  /** The folder that links lead to. */
  readonly outside: string;
  /** The folder that folders of the export are moved into. */
  readonly beyond: string;
  /** All of it. */
  readonly base: string;
  #before: ReadonlyMap<string, string>;
  readonly #forbidden: Uint8Array[];
  #homes = 0;

  private constructor(base: string) {
    this.base = base;
    this.root = `${base}/export`;
    this.outside = `${base}/outside`;
    this.beyond = `${base}/beyond`;
    for (const path of [this.root, this.outside, this.beyond]) Deno.mkdirSync(path);
    fill(this.outside, SECRET);
    Deno.writeTextFileSync(`${this.outside}/${TOKEN}`, SECRET);
    Deno.writeTextFileSync(`${this.beyond}/${TOKEN}`, SECRET);
    Deno.writeTextFileSync(`${this.beyond}/file`, SECRET);
    Deno.symlinkSync(TOKEN, `${this.outside}/link`);
    const watched = this.#watched();
    for (const path of watched) {
      if (!Deno.lstatSync(path).isSymlink) setAttribute(path, `${TOKEN}-value`);
    }
    this.#before = this.#begin();
    this.#forbidden = [new TextEncoder().encode(TOKEN)];
    for (const path of [base, this.beyond, ...watched]) {
      const inode = new Uint8Array(8);
      new DataView(inode.buffer).setBigUint64(0, BigInt(Deno.lstatSync(path).ino ?? 0), true);
      this.#forbidden.push(inode);
    }
  }

  /** Makes one. */
  static async make(): Promise<Arena> {
    return new Arena(await Deno.makeTempDir({ prefix: "containment-" }));
  }

  /** Makes a folder of the export for one attack. Gives its name, which has a number to it. */
  home(name: string): string {
    const numbered = `${name}-${++this.#homes}`;
    Deno.mkdirSync(`${this.root}/${numbered}`);
    return numbered;
  }

  /** What became of the sentinels since this was asked last: nothing, hopefully. */
  changes(): string[] {
    const after = this.#look();
    const changes: string[] = [];
    for (const [path, was] of this.#before) {
      const is = after.get(path);
      if (is !== was) changes.push(`${path} was ${was}, and is ${is ?? "gone"}`);
    }
    for (const path of after.keys()) if (!this.#before.has(path)) changes.push(`${path} is new`);
    if (changes.length > 0) this.#before = this.#begin();
    return changes;
  }

  /** Lets nothing pass unseen that a server says. */
  watch(channel: Channel, leaked: (what: string) => void): Channel {
    const forbidden = this.#forbidden;
    async function* frames(): AsyncGenerator<Uint8Array> {
      for await (const frame of channel.frames) {
        for (const bytes of forbidden) {
          if (holds(frame, bytes)) leaked(`a reply of type ${frame[4]} tells what is outside`);
        }
        yield frame;
      }
    }
    return {
      send: (bytes) => channel.send(bytes),
      frames: frames(),
      close: () => channel.close(),
    };
  }

  /** Removes everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Other than Deno.remove, rm copes with paths of any length.
    const { success, stderr } = await new Deno.Command("rm", { args: ["-rf", this.base] }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }

  /** Sets all times back and looks. */
  #begin(): Map<string, string> {
    for (const path of this.#watched().reverse()) {
      if (!Deno.lstatSync(path).isSymlink) Deno.utimeSync(path, LONG_AGO, LATER);
    }
    return this.#look();
  }

  /** Paths of all sentinels. */
  #watched(): string[] {
    const found: string[] = [];
    const visit = (path: string) => {
      found.push(path);
      if (!Deno.lstatSync(path).isDirectory) return;
      for (const { name } of Deno.readDirSync(path)) visit(`${path}/${name}`);
    };
    visit(this.outside);
    visit(`${this.beyond}/${TOKEN}`);
    visit(`${this.beyond}/file`);
    return found;
  }

  /** All that can be told of them, by path; leaves the time of last access alone. */
  #look(): Map<string, string> {
    const seen = new Map<string, string>();
    for (const path of this.#watched()) {
      const info = Deno.lstatSync(path);
      const { mode, uid, gid, ino, nlink, size } = info;
      const times = [info.mtime, info.ctime, info.atime].map((time) => time?.getTime());
      // To list a folder is to read it, which happens here.
      if (!info.isFile) times.pop();
      const content = info.isFile ? contentOf(path) : null;
      seen.set(
        path,
        JSON.stringify([mode, uid, gid, ino, nlink, size, times, content, attributesOf(path)]),
      );
    }
    return seen;
  }
}

/** Content of a small file. */
function contentOf(path: string): string {
  const { bytes, address } = scratch();
  const fd = openat(AT_FDCWD, path, O_NOATIME | O_CLOEXEC, 0);
  const size = pread(fd, address, bytes.length, 0n);
  close(fd);
  return size < 0 ? `error ${size}` : new TextDecoder().decode(bytes.slice(0, size));
}

/** Names of all extended attributes, and the value of ours. */
function attributesOf(path: string): string {
  const { bytes, address } = scratch();
  const text = (size: number) => new TextDecoder().decode(bytes.slice(0, Math.max(size, 0)));
  const names = text(llistxattr(path, address, bytes.length));
  return `${names} ${text(lgetxattr(path, ATTRIBUTE, address, bytes.length))}`;
}

/** Sets {@linkcode ATTRIBUTE}, where the file system has such. */
function setAttribute(path: string, value: string): void {
  const { bytes, address } = scratch();
  const { written } = new TextEncoder().encodeInto(value, bytes);
  const result = lsetxattr(path, ATTRIBUTE, address, written, 0);
  if (result < 0 && result !== -EOPNOTSUPP) throw new Error(`Cannot set "${path}": ${result}`);
}

/** True if bytes hold others. */
function holds(bytes: Uint8Array, wanted: Uint8Array): boolean {
  const first = wanted[0] as number;
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let i = 1;
    while (i < wanted.length && bytes[at + i] === wanted[i]) i++;
    if (i === wanted.length) return true;
  }
  return false;
}

/** Puts files with one content into a folder. */
export function fill(folder: string, content: string): void {
  for (const name of SAME_NAMES) {
    const path = `${folder}/${name}`;
    if (name.endsWith("/")) Deno.mkdirSync(path, { recursive: true });
    else {
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, content);
    }
  }
}
