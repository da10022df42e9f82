/**
 * The first file system of a guest, written as an uncompressed cpio archive of the "newc" kind.
 *
 * @module
 */

import { cached, exists, GuestPreparationFailure, runTool } from "./cache.ts";
import { unpackFile } from "./kernel.ts";
import { assertTools, MissingTools, missingTools, which } from "./tools.ts";

const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

/** Length of the fixed header: a magic and 13 fields of 8 hexadecimal digits. */
const HEADER_SIZE = 110;

interface Entry {
  readonly mode: number;
  readonly data: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

/**
 * An initramfs under construction. Paths are absolute paths of the guest; the folders that lead
 * to them are added by themselves.
 *
 * @see Linux Documentation/driver-api/early-userspace/buffer-format.rst
 */
export class Initramfs {
  readonly #entries = new Map<string, Entry>();

  /**
   * Add a folder and those above it.
   *
   * @param path Its path.
   */
  folder(path: string): void {
    const parts = path.split("/").filter((part) => part !== "");
    for (let depth = 1; depth <= parts.length; depth++) {
      const name = parts.slice(0, depth).join("/");
      if (!this.#entries.has(name)) this.#add(name, S_IFDIR | 0o755, new Uint8Array());
    }
  }

  /**
   * Add a regular file.
   *
   * @param path Its path.
   * @param data Its bytes, borrowed until {@linkcode bytes} was called, or its text.
   * @param mode Permission bits.
   */
  file(path: string, data: Uint8Array | string, mode = 0o644): void {
    this.#parent(path);
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    this.#add(path.slice(1), S_IFREG | mode, bytes);
  }

  /**
   * Add a symbolic link.
   *
   * @param path Its path.
   * @param target What it says.
   */
  symlink(path: string, target: string): void {
    this.#parent(path);
    this.#add(path.slice(1), S_IFLNK | 0o777, new TextEncoder().encode(target));
  }

  /**
   * Add a character device.
   *
   * @param path Its path.
   * @param major Major device number.
   * @param minor Minor device number.
   */
  device(path: string, major: number, minor: number): void {
    this.#parent(path);
    this.#add(path.slice(1), S_IFCHR | 0o600, new Uint8Array(), major, minor);
  }

  /**
   * Add a program of the host under its own path, with its loader and shared libraries, as `ldd`
   * lists them.
   *
   * @param program Absolute path on the host.
   * @throws {GuestPreparationFailure} If `ldd` refuses it.
   */
  async withLibraries(program: string): Promise<void> {
    assertTools(["ldd"]);
    this.file(program, await Deno.readFile(program), 0o755);
    for (const line of (await runTool(["ldd", program])).split("\n")) {
      const path = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
      if (path !== undefined && !this.#entries.has(path.slice(1))) {
        this.file(path, await Deno.readFile(path), 0o755);
      }
    }
  }

  /**
   * Write the archive.
   *
   * @returns Its bytes, owned by the caller.
   */
  bytes(): Uint8Array<ArrayBuffer> {
    const entries: [string, Entry][] = [...this.#entries];
    entries.push(["TRAILER!!!", { mode: 0, data: new Uint8Array(), major: 0, minor: 0 }]);
    const named = entries.map(([name, entry]) => ({ name: new TextEncoder().encode(name), entry }));
    let size = 0;
    for (const { name, entry } of named) {
      size = align(size + HEADER_SIZE + name.length + 1) + align(entry.data.length);
    }
    const archive = new Uint8Array(size);
    let offset = 0;
    for (const [index, { name, entry }] of named.entries()) {
      const fields = [
        index + 1, // inode number
        entry.mode,
        0, // uid
        0, // gid
        1, // links
        0, // mtime
        entry.data.length,
        0, // device of the file itself
        0,
        entry.major,
        entry.minor,
        name.length + 1,
        0, // checksum, unused in this kind
      ];
      const header = "070701" +
        fields.map((field) => field.toString(16).toUpperCase().padStart(8, "0")).join("");
      archive.set(new TextEncoder().encode(header), offset);
      archive.set(name, offset + HEADER_SIZE);
      offset = align(offset + HEADER_SIZE + name.length + 1);
      archive.set(entry.data, offset);
      offset += align(entry.data.length);
    }
    return archive;
  }

  #parent(path: string): void {
    if (!path.startsWith("/")) {
      throw new TypeError(`Cannot add "${path}": guest paths are absolute`);
    }
    this.folder(path.slice(0, path.lastIndexOf("/")));
  }

  #add(name: string, mode: number, data: Uint8Array, major = 0, minor = 0): void {
    this.#entries.set(name, { mode, data, major, minor });
  }
}

/** Names and data start at multiples of 4 bytes. */
function align(size: number): number {
  return (size + 3) & ~3;
}

/**
 * Find a statically linked busybox: the host's, else the one of the package `busybox-static`,
 * unpacked into the cache.
 *
 * @returns Its path.
 */
export async function findBusybox(): Promise<string> {
  const installed = which("busybox");
  // A static program has no interpreter to ask for; the dynamic busybox of Debian has.
  if (installed !== null && !(await hasInterpreter(installed))) return installed;
  if (missingTools(["apt"]) !== null) throw new MissingTools(["busybox"], ["busybox-static"]);
  const unpacked = await unpackFile("busybox-static", "bin/busybox");
  if (await exists(unpacked)) return unpacked;
  return unpacked.replace(/bin\/busybox$/, "usr/bin/busybox");
}

/** Whether an ELF file of 64 bits has a program header of type PT_INTERP. */
async function hasInterpreter(path: string): Promise<boolean> {
  const bytes = await Deno.readFile(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x7f454c46) {
    throw new GuestPreparationFailure(`Cannot use "${path}": it is no ELF file`);
  }
  const table = Number(view.getBigUint64(32, true));
  const entrySize = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  for (let index = 0; index < count; index++) {
    if (view.getUint32(table + index * entrySize, true) === 3) return true;
  }
  return false;
}

/**
 * Compile a C program of one file or of all files of a folder, static, and keep it in the cache
 * under a name made from its sources.
 *
 * @param source Path of the C file, or of a folder with C files and headers.
 * @returns Path of the program, which runs on the host too.
 * @throws {MissingTools} Without a compiler.
 */
export async function compileStatic(source: string): Promise<string> {
  assertTools(["gcc"]);
  const files = await sourcesOf(source);
  const texts = await Promise.all(files.map((file) => Deno.readFile(file)));
  const text = new Uint8Array(await new Blob(texts).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  const base = source.replace(/\/$/, "").replace(/.*\//, "").replace(/\.c$/, "");
  const units = files.filter((file) => file.endsWith(".c"));
  return await cached(`${base}-${digest.toHex().slice(0, 16)}`, async (target) => {
    const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", target];
    await runTool(["gcc", ...flags, ...units], { timeoutMs: 120_000 });
  });
}

/** The file itself, or the files of a folder that a compiler reads, by name. */
async function sourcesOf(path: string): Promise<string[]> {
  if (path.endsWith(".c")) return [path];
  const found: string[] = [];
  for await (const { name } of Deno.readDir(path)) {
    if (/\.[ch]$/.test(name)) found.push(`${path.replace(/\/$/, "")}/${name}`);
  }
  return found.sort();
}
