/**
 * What an export holds on the host, read without the server: the objects as clients are to see them,
 * and whatever should not be there.
 *
 * @module
 */
import { lgetxattr, loadLibc, scratch } from "../../lib/linux/mod.ts";
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../lib/p9/mod.ts";

// A test must not load it within itself.
loadLibc();

/** An extended attribute that clients set. */
export const NOTE = "user.note";

/** Parts of names that only the server makes. */
const HIDDEN = /^\.virtfs_(staging|metadata|metadata_root)$/;

/** An object as a client is to see it. */
export interface Found {
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Number of a device, else 0. */
  readonly rdev: number;
  /** What a file holds, or where a link leads. */
  readonly content: string;
  /** Value of {@linkcode NOTE}; empty if there is none. */
  readonly note: string;
  /** Names of one file have the same. */
  readonly inode: number;
}

/** An export by path, and what is wrong with it. */
export interface Look {
  readonly found: Map<string, Found>;
  readonly faults: string[];
}

/** How a security model keeps on the host what clients see. */
export interface Keeping {
  /** Its name. */
  readonly model: string;
  /** Words for `virtfs serve`. */
  readonly args: readonly string[];
  /** Whether the export is only as it should be after the next server has started. */
  readonly recovers: boolean;
  /** Reads an object. What is wrong goes to `faults`. */
  read(path: string, faults: string[]): Found;
}

/** The models whose files are on the host what they are for clients. */
function plain(model: string): Keeping {
  return { model, args: [`--security-model=${model}`], recovers: false, read: readPlain };
}

/** The models whose files are regular files and folders of the server on the host. */
function mapped(model: string, readKept: (path: string) => Kept | string): Keeping {
  const read = (path: string, faults: string[]) => readMapped(path, readKept(path), faults);
  return { model, args: [`--security-model=${model}`], recovers: true, read };
}

/** All that can be killed. */
export const KEEPINGS: readonly Keeping[] = [
  plain("none"),
  plain("passthrough"),
  mapped("mapped-xattr", keptInAttributes),
  mapped("mapped-file", keptInFiles),
];

/** Reads an export. */
export function lookAt(root: string, keeping: Keeping): Look {
  const look: Look = { found: new Map(), faults: [] };
  visit(root, "", keeping, look);
  return look;
}

function visit(root: string, folder: string, keeping: Keeping, look: Look): void {
  for (const { name, isDirectory } of Deno.readDirSync(`${root}/${folder}`)) {
    const path = `${folder}${name}`;
    if (HIDDEN.test(name)) {
      checkHidden(root, folder, name, keeping, look.faults);
      continue;
    }
    look.found.set(path, keeping.read(`${root}/${path}`, look.faults));
    if (isDirectory) visit(root, `${path}/`, keeping, look);
  }
}

/** Metadata belongs to something; a folder for what is being made is gone. */
function checkHidden(
  root: string,
  folder: string,
  name: string,
  keeping: Keeping,
  faults: string[],
): void {
  const isMetadata = keeping.model === "mapped-file" && name === ".virtfs_metadata";
  if (!isMetadata) {
    const isRoot = keeping.model === "mapped-file" && name === ".virtfs_metadata_root";
    if (!isRoot || folder !== "") faults.push(`${folder}${name} is left over`);
    return;
  }
  for (const { name: owner } of Deno.readDirSync(`${root}/${folder}${name}`)) {
    if (stat(`${root}/${folder}${owner}`) === null) {
      faults.push(`${folder}${name}/${owner} belongs to nothing`);
    }
  }
}

function readPlain(path: string): Found {
  const info = Deno.lstatSync(path);
  const { mode, uid, gid, ino } = numbers(info);
  const type = mode & S_IFMT;
  let content = "";
  if (type === S_IFREG) content = Deno.readTextFileSync(path);
  if (type === S_IFLNK) content = Deno.readLinkSync(path);
  const rdev = type === S_IFCHR ? info.rdev ?? 0 : 0;
  return { mode, uid, gid, rdev, content, note: noteOf(path, type), inode: ino };
}

/** What is kept of an object beside it. */
interface Kept {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

function readMapped(path: string, kept: Kept | string, faults: string[]): Found {
  const info = Deno.lstatSync(path);
  const { mode, uid, gid, ino: inode } = numbers(info);
  const [type, own] = info.isDirectory ? [S_IFDIR, 0o40700] : [S_IFREG, 0o100600];
  const me = [Deno.uid() ?? -1, Deno.gid() ?? -1];
  if (mode !== own || uid !== me[0] || gid !== me[1]) {
    faults.push(`${path} is ${mode.toString(8)} of ${uid}:${gid} on the host`);
  }
  const content = info.isFile ? Deno.readTextFileSync(path) : "";
  const note = noteOf(path, type);
  if (typeof kept !== "string") return { ...kept, content, note, inode };
  faults.push(`${path} has ${kept}`);
  return { mode, uid, gid, rdev: 0, content, note, inode };
}

/** `user.virtfs.*`, little-endian; or what is missing. */
function keptInAttributes(path: string): Kept | string {
  const values: number[] = [];
  for (const name of ["mode", "uid", "gid"]) {
    const bytes = attribute(path, `user.virtfs.${name}`);
    if (bytes?.length !== 4) return `no ${name}`;
    values.push(new DataView(bytes.buffer).getUint32(0, true));
  }
  const [mode = 0, uid = 0, gid = 0] = values;
  const bytes = attribute(path, "user.virtfs.rdev");
  if ((mode & S_IFMT) === S_IFCHR && bytes?.length !== 8) return "no rdev";
  const rdev = bytes === null ? 0n : new DataView(bytes.buffer).getBigUint64(0, true);
  return { mode, uid, gid, rdev: Number(rdev) };
}

/** Lines `virtfs.KEY=NUMBER` in a file beside it; or what is missing. */
function keptInFiles(path: string): Kept | string {
  const slash = path.lastIndexOf("/");
  const file = `${path.slice(0, slash)}/.virtfs_metadata/${path.slice(slash + 1)}`;
  if (stat(file) === null) return "no metadata";
  const text = Deno.readTextFileSync(file);
  const values: number[] = [];
  for (const name of ["mode", "uid", "gid"]) {
    const value = new RegExp(`^virtfs\\.${name}=(-?\\d+)$`, "m").exec(text)?.[1];
    if (value === undefined) return `no ${name}`;
    values.push(Number(value) >>> 0);
  }
  const [mode = 0, uid = 0, gid = 0] = values;
  const rdev = /^virtfs\.rdev=(\d+)$/m.exec(text)?.[1];
  if ((mode & S_IFMT) === S_IFCHR && rdev === undefined) return "no rdev";
  return { mode, uid, gid, rdev: Number(rdev ?? 0) };
}

function noteOf(path: string, type: number): string {
  // Others have no attributes of users.
  if (type !== S_IFREG && type !== S_IFDIR) return "";
  return new TextDecoder().decode(attribute(path, NOTE) ?? new Uint8Array());
}

/** Value of an extended attribute of the host, or null. */
function attribute(path: string, name: string): Uint8Array | null {
  const { bytes, address } = scratch();
  const size = lgetxattr(path, name, address, 256);
  return size < 0 ? null : bytes.slice(0, size);
}

function numbers(info: Deno.FileInfo): { mode: number; uid: number; gid: number; ino: number } {
  return { mode: info.mode ?? 0, uid: info.uid ?? -1, gid: info.gid ?? -1, ino: info.ino ?? -1 };
}

function stat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch {
    return null;
  }
}
