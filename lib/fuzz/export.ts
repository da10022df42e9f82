/**
 * A temporary export: files to begin with, a folder around it with what nobody may see, and the way
 * back to both after every case.
 *
 * @module
 */
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

/** Byte `at` of a file of `bytes` bytes. */
function byteAt(bytes: number, at: number): number {
  return (at * 7 + bytes) % 251;
}

/** What is in a file of the fixtures. */
export function contentsOf(bytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: bytes }, (_, at) => byteAt(bytes, at));
}

/** Name of the secret file beside the export. */
export const SECRET_NAME = "secret-outside";

/** An export of our own. Disposing removes it and what is around it. */
export class TemporaryExport implements HostView, Disposable {
  /** Folder that is exported. */
  readonly root: string;
  /** Folder around it. */
  readonly around: string;
  /** What is in the secret file, which no reply may contain. */
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly #links: boolean;
  #state = "";

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
    this.reset();
  }

  /** The fixtures that it has. */
  get fixtures(): readonly Fixture[] {
    return this.#links ? FIXTURES : FIXTURES.filter(({ kind }) => kind !== "link");
  }

  /** Makes it as it was in the beginning. Cheap if nothing has changed. */
  reset(): void {
    if (this.#state !== "" && this.#state === this.#fingerprint()) return;
    remove(this.root);
    Deno.mkdirSync(this.root);
    Deno.chmodSync(this.root, 0o755);
    for (const fixture of this.fixtures) {
      const path = `${this.root}/${fixture.path}`;
      if (fixture.kind === "folder") Deno.mkdirSync(path);
      else if (fixture.kind === "link") Deno.symlinkSync(fixture.target, path);
      else Deno.writeFileSync(path, contentsOf(fixture.bytes));
    }
    this.#state = this.#fingerprint();
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
      const strange = names.find((name) => !known.includes(name) && !name.endsWith(".sock"));
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
      if (now.length !== this.secret.length || now.some((byte, at) => byte !== this.secret[at])) {
        return "the secret file outside of the export was changed";
      }
    }
    return undefined;
  }

  /** All that can tell that something was changed, links and folders included. */
  #fingerprint(): string {
    const parts: string[] = [];
    const look = (path: string): void => {
      const { mode, uid, gid, size, ino, ctime } = Deno.lstatSync(path);
      parts.push(`${path}:${mode}:${uid}:${gid}:${size}:${ino}:${ctime?.getTime()}`);
    };
    const walk = (folder: string): void => {
      look(folder);
      for (const { name, isDirectory } of Deno.readDirSync(folder)) {
        if (isDirectory) walk(`${folder}/${name}`);
        else look(`${folder}/${name}`);
      }
    };
    try {
      walk(this.root);
    } catch {
      // Names that are not UTF-8 cannot be looked at, nor be what they were.
      return "changed";
    }
    return parts.join("\n");
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Removes a folder with all that a client may have put there, whatever its names and modes are. */
function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    // Names that are no UTF-8, or paths too long for one call.
    new Deno.Command("rm", { args: ["-rf", "--", path], stderr: "null" }).outputSync();
  }
}
