/**
 * Users of the host and the groups they are in, by `/etc/passwd` and `/etc/group`.
 *
 * @module
 */
import { NO_ID } from "../modes.ts";
import type { HostUser } from "./acting.ts";

/** User and group of whoever is nobody: what Linux shows for numbers without a meaning. */
export const OVERFLOW_ID = 65_534;

/** A change of the files is seen after so long, milliseconds. */
const FRESH_MS = 10_000;
/** Users remembered who are not in the files; a client can name any number. */
const MAX_STRANGERS = 1024;
/** Most groups of a thread. */
const MAX_GROUPS = 65_536;

/** Where the files are. */
export interface UserFiles {
  /** `/etc/passwd` */
  readonly passwd: string;
  /** `/etc/group` */
  readonly group: string;
}

/**
 * Looks users up as `initgroups(3)` does, in the files alone: directory services are not asked. A
 * number that is in no file is in no group.
 */
export class HostUsers {
  readonly #files: UserFiles;
  readonly #now: () => number;
  #users: Map<number, HostUser> = new Map();
  #names: Map<string, number> = new Map();
  #strangers: Map<number, HostUser> = new Map();
  #readAt = -Infinity;
  #stamp = "";

  /** Reads the files when they are needed. */
  constructor(
    files: UserFiles = { passwd: "/etc/passwd", group: "/etc/group" },
    now: () => number = () => performance.now(),
  ) {
    this.#files = files;
    this.#now = now;
  }

  /**
   * Reads the files again if they may have changed. Not to be called while the thread acts as
   * somebody else.
   */
  refresh(): void {
    const now = this.#now();
    if (now - this.#readAt < FRESH_MS) return;
    this.#readAt = now;
    const stamp = stampOf(this.#files.passwd) + stampOf(this.#files.group);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.#read();
  }

  /** The user of a number. The same object every time, until the files change. */
  user(uid: number): HostUser {
    const known = this.#users.get(uid) ?? this.#strangers.get(uid);
    if (known !== undefined) return known;
    if (this.#strangers.size >= MAX_STRANGERS) this.#strangers.clear();
    const user = { uid, gid: OVERFLOW_ID, groups: [OVERFLOW_ID] };
    this.#strangers.set(uid, user);
    return user;
  }

  /** Number of a user, that of nobody if there is none of this name. */
  numberOf(name: string): number {
    return this.#names.get(name) ?? OVERFLOW_ID;
  }

  /** Who is meant: the number if the client gives one, else the name. */
  find(uid: number, uname: string): HostUser {
    return this.user(uid === NO_ID ? this.numberOf(uname) : uid);
  }

  #read(): void {
    const members = new Map<string, number[]>();
    for (const [, , id, list = ""] of rowsOf(this.#files.group)) {
      const gid = numberIn(id);
      if (gid === undefined) continue;
      for (const name of list.split(",")) {
        if (name === "") continue;
        const of = members.get(name);
        if (of === undefined) members.set(name, [gid]);
        else if (of.length < MAX_GROUPS - 1) of.push(gid);
      }
    }
    this.#users = new Map();
    this.#names = new Map();
    this.#strangers = new Map();
    for (const [name = "", , id, primary] of rowsOf(this.#files.passwd)) {
      const uid = numberIn(id);
      const gid = numberIn(primary);
      if (name === "" || uid === undefined || gid === undefined) continue;
      if (!this.#names.has(name)) this.#names.set(name, uid);
      // Of several names with one number the first counts, as for getpwuid(3).
      if (this.#users.has(uid)) continue;
      const groups = [...new Set([gid, ...(members.get(name) ?? [])])];
      this.#users.set(uid, { uid, gid, groups });
    }
  }
}

function numberIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number < NO_ID ? number : undefined;
}

function rowsOf(file: string): string[][] {
  try {
    return Deno.readTextFileSync(file).split("\n").map((line) => line.split(":"));
  } catch {
    return []; // everybody is a stranger then
  }
}

/** Something that changes when a file does. */
function stampOf(file: string): string {
  try {
    const { ino, mtime, size } = Deno.statSync(file);
    return `${ino} ${mtime?.getTime()} ${size};`;
  } catch {
    return ";";
  }
}
