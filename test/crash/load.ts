/**
 * A client that changes names and attributes all the time, and knows what must have come of it.
 *
 * @module
 */
import { Client, DisconnectedError, type Fid } from "../../lib/client/mod.ts";
import {
  Errno,
  O_EXCL,
  O_RDWR,
  O_WRONLY,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SETATTR_GID,
  SETATTR_MODE,
  SETATTR_SIZE,
  SETATTR_UID,
} from "../../lib/p9/mod.ts";
import { dial } from "../../lib/transport/mod.ts";
import type { Found } from "./look.ts";
import { NOTE } from "./look.ts";

/** Folder that all clients change at once. */
export const COMMONS = "commons";
/** First of the users that clients create files as. */
const FIRST_USER = 1000;
/** First of the groups that objects get: in the commons, it says which mode goes with it. */
const FIRST_GROUP = 2000;
/**
 * Group and mode go together in the commons, so that half of both shows. None acts for its group:
 * the kernel gives that only to those who are in it.
 */
const MODES: readonly number[] = [0o600, 0o4711, 0o640, 0o4755, 0o666, 0o4700, 0o400, 0o751];
/** What root makes of them. */
const ROOT_MODES: readonly number[] = [...MODES, 0o2755, 0o6711];
/** Group of users that the host does not know. */
const NO_GROUP = 65_534;
/** Bits that let whoever runs a file act for its owner or group. */
const SET_ID = 0o6000;
/** How many names a folder has room for: few, so that they meet. */
const NAMES = 5;
const FOLDERS = ["a", "b"] as const;

/** Numbers that look random and come again with the same seed. */
export class Dice {
  #state: number;

  /** Any whole number. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 up to, but not including, `end`. */
  below(end: number): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * end);
  }

  /** One of several. */
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** Objects of a client by path; names of one file share theirs. */
type State = Map<string, Found>;

/** A change under way. */
interface Change {
  readonly what: string;
  run(): Promise<void>;
  /** Does the same to what is known. */
  apply(state: State): void;
  /** Path of an object that changes in several steps. */
  readonly steps?: string;
}

/** What became of the change that was under way when the server died. */
export type Outcome = "none" | "done" | "not done" | "between";

/** A client and its folder. */
export class Load {
  /** Changes that were answered. */
  changes = 0;
  /** Requests in the commons that were answered, refusals included. */
  meetings = 0;
  readonly #dice: Dice;
  readonly #index: number;
  readonly #home: string;
  #client: Client | null = null;
  #root: Fid | null = null;
  #user: Fid | null = null;
  #state: State = new Map();
  #current: Change | null = null;
  #inode = 0;

  /** The index tells clients apart. */
  constructor(index: number, seed: number) {
    this.#index = index;
    this.#home = `home${index}`;
    this.#dice = new Dice(seed * 31 + index);
  }

  /** Connects to the next server; the folders are made by the first. */
  async connect(address: string): Promise<void> {
    this.#client = await Client.connect(await dial(address));
    this.#root = await this.#client.attach({ n_uname: 0 });
    this.#user = await this.#client.attach({ n_uname: this.#uid });
    if (this.#state.size > 0) return;
    await this.#root.mkdir(this.#home, { mode: 0o777 });
    const home = await this.#root.walk([this.#home]);
    for (const name of FOLDERS) await home.mkdir(name, { mode: 0o777 });
    await home.setattr({ valid: SETATTR_MODE, mode: 0o777 });
    for (const name of FOLDERS) {
      const folder = await home.walk([name]);
      await folder.setattr({ valid: SETATTR_MODE, mode: 0o777 });
      await folder.clunk();
      this.#state.set(name, this.#made(S_IFDIR | 0o777, { uid: 0, gid: 0 }));
    }
    await home.clunk();
  }

  /** Changes things until the connection ends, one after another. */
  async run(): Promise<void> {
    try {
      for (;;) {
        if (this.#dice.below(4) === 0) await this.#meet();
        const change = this.#choose();
        this.#current = change;
        await change.run();
        change.apply(this.#state);
        this.#current = null;
        this.changes++;
      }
    } catch (error) {
      if (!(error instanceof DisconnectedError)) {
        throw new Error(`Cannot ${this.#current?.what ?? "meet"}`, { cause: error });
      }
    } finally {
      await this.#client?.close();
    }
  }

  /**
   * Compares what there is with what must have come of all that was answered, and of what was not.
   * Goes on from there.
   *
   * @returns What became of the change under way, and what is wrong.
   */
  judge(all: ReadonlyMap<string, Found>): { outcome: Outcome; faults: string[] } {
    const prefix = `${this.#home}/`;
    const found: State = new Map();
    for (const [path, object] of all) {
      if (path.startsWith(prefix)) found.set(path.slice(prefix.length), object);
    }
    const before = this.#state;
    const current = this.#current;
    const after = new Map(before);
    current?.apply(after);
    this.#state = withOneObjectForNames(found);
    this.#current = null;
    const [was, willBe, is] = [linesOf(before), linesOf(after), linesOf(found)];
    if (same(is, was)) return { outcome: current === null ? "none" : "not done", faults: [] };
    if (same(is, willBe)) return { outcome: "done", faults: [] };
    const faults: string[] = [];
    const paths = new Set([...was.keys(), ...willBe.keys(), ...is.keys()]);
    for (const path of paths) {
      const line = is.get(path);
      if (line === was.get(path) || line === willBe.get(path)) continue;
      const object = found.get(path);
      const isStep = current?.steps !== undefined && object !== undefined &&
        isLesser(object, before.get(path), after.get(path));
      if (isStep) continue;
      faults.push(
        `${this.#home}/${path} is ${line ?? "nothing"} after ${current?.what}; ` +
          `it was ${was.get(path) ?? "nothing"}, to be ${willBe.get(path) ?? "nothing"}`,
      );
    }
    const isAllThere = same(new Set(is.keys()), new Set(was.keys())) ||
      same(new Set(is.keys()), new Set(willBe.keys()));
    if (!isAllThere) {
      faults.push(`${current?.what} is half done: ${[...is.keys()].sort().join(" ")}`);
    }
    if (faults.length === 0 && current?.steps === undefined) {
      faults.push(`${current?.what} is half done`);
    }
    return { outcome: "between", faults };
  }

  get #uid(): number {
    return FIRST_USER + this.#index;
  }

  /** A path of the client's own that nothing has, or any at all. */
  #path(): string {
    return `${this.#dice.of(FOLDERS)}/n${this.#dice.below(NAMES)}`;
  }

  #choose(): Change {
    const paths = [...this.#state.keys()].filter((path) => path.includes("/"));
    const files = paths.filter((path) => typeOf(this.#state.get(path)) === S_IFREG);
    const path = this.#path();
    const is = typeOf(this.#state.get(path));
    if (is === 0 || files.length === 0) {
      if (is !== 0) return this.#remove(path);
      switch (this.#dice.below(8)) {
        case 0:
          return this.#mkdir(path);
        case 1:
          return this.#symlink(path);
        case 2:
          return this.#mknod(path);
        case 3:
          if (files.length > 0) return this.#link(this.#dice.of(files), path);
          return this.#create(path);
        case 4:
          if (paths.length > 0) return this.#rename(this.#dice.of(paths), path);
          return this.#create(path);
        default:
          return this.#create(path);
      }
    }
    const file = this.#dice.of(files);
    switch (this.#dice.below(12)) {
      case 0:
      case 1:
        return this.#remove(path);
      case 2:
      case 3: {
        // A file over a file, or a folder to where nothing is.
        const target = this.#dice.of(files);
        return target === file ? this.#remove(path) : this.#rename(file, target);
      }
      case 4:
        return this.#write(file);
      case 5:
        return this.#truncate(file);
      case 6:
      case 7:
        return this.#chown(file);
      case 8:
        return this.#chmod(file);
      case 9:
        return this.#own(file);
      default:
        return this.#setNote(file);
    }
  }

  #create(path: string): Change {
    const mode = this.#dice.of(MODES);
    const gid = this.#group();
    return {
      what: `create ${path}`,
      steps: path,
      run: () =>
        this.#in(path, true, async (folder, name) => {
          await folder.create(name, { flags: O_RDWR | O_EXCL, mode, gid });
        }),
      apply: (state) => void state.set(path, this.#made(S_IFREG | mode, { gid })),
    };
  }

  #mkdir(path: string): Change {
    const mode = this.#dice.of([0o700, 0o755, 0o1777]);
    const gid = this.#group();
    return {
      what: `mkdir ${path}`,
      steps: path,
      run: () => this.#in(path, true, (folder, name) => folder.mkdir(name, { mode, gid })),
      apply: (state) => void state.set(path, this.#made(S_IFDIR | mode, { gid })),
    };
  }

  #symlink(path: string): Change {
    const content = `../target/${this.#dice.below(1000)}`;
    const gid = this.#group();
    return {
      what: `symlink ${path}`,
      steps: path,
      run: () => this.#in(path, true, (folder, name) => folder.symlink(name, content, { gid })),
      apply: (state) => void state.set(path, this.#made(S_IFLNK | 0o777, { gid, content })),
    };
  }

  #mknod(path: string): Change {
    const isFifo = this.#dice.below(2) === 0;
    const mode = (isFifo ? S_IFIFO : S_IFCHR) | this.#dice.of([0o600, 0o666]);
    const gid = this.#group();
    // The device behind /dev/null.
    const [major, minor] = isFifo ? [0, 0] : [1, 3];
    const uid = isFifo ? this.#uid : 0;
    return {
      what: `mknod ${path}`,
      steps: path,
      run: () =>
        this.#in(path, isFifo, (folder, name) => folder.mknod(name, { mode, gid, major, minor })),
      apply: (state) => {
        state.set(path, this.#made(mode, { uid, gid, rdev: major << 8 | minor }));
      },
    };
  }

  #link(target: string, path: string): Change {
    return {
      what: `link ${target} ${path}`,
      run: () =>
        this.#at(
          target,
          (file) => this.#in(path, false, (folder, name) => folder.link(file, name)),
        ),
      apply: (state) => void state.set(path, state.get(target) as Found),
    };
  }

  #remove(path: string): Change {
    const directory = typeOf(this.#state.get(path)) === S_IFDIR;
    return {
      what: `remove ${path}`,
      run: () => this.#in(path, false, (folder, name) => folder.unlink(name, { directory })),
      apply: (state) => void state.delete(path),
    };
  }

  #rename(from: string, to: string): Change {
    return {
      what: `rename ${from} ${to}`,
      run: () =>
        this.#in(
          from,
          false,
          (one, name) =>
            this.#in(to, false, (other, newName) => one.renameat(name, other, newName)),
        ),
      apply: (state) => {
        const moved = state.get(from) as Found;
        // Names of one file: rename(2) does nothing.
        if (state.get(to) === moved) return;
        state.delete(from);
        state.set(to, moved);
      },
    };
  }

  #write(path: string): Change {
    const content = `written ${String(this.#dice.below(10_000)).padStart(4, "0")}`;
    return {
      what: `write ${path}`,
      run: () =>
        this.#at(path, async (file) => {
          await file.open(O_WRONLY);
          await file.write(new TextEncoder().encode(content), 0n);
        }),
      apply: (state) => change(state, path, { content }),
    };
  }

  #truncate(path: string): Change {
    return {
      what: `truncate ${path}`,
      run: () => this.#at(path, (file) => file.setattr({ valid: SETATTR_SIZE, size: 0n })),
      apply: (state) => change(state, path, { content: "" }),
    };
  }

  #chmod(path: string): Change {
    const mode = this.#dice.of(ROOT_MODES);
    return {
      what: `chmod ${path}`,
      run: () => this.#at(path, (file) => file.setattr({ valid: SETATTR_MODE, mode })),
      apply: (state) => change(state, path, { mode: S_IFREG | mode }),
    };
  }

  #chown(path: string): Change {
    const uid = FIRST_USER + this.#dice.below(100);
    const gid = this.#group();
    return {
      what: `chown ${path}`,
      steps: path,
      run: () =>
        this.#at(path, (file) => file.setattr({ valid: SETATTR_UID | SETATTR_GID, uid, gid })),
      apply: (state) => {
        const { mode } = state.get(path) as Found;
        change(state, path, { uid, gid, mode: mode & ~SET_ID });
      },
    };
  }

  /** Owner and mode at once. */
  #own(path: string): Change {
    const uid = FIRST_USER + this.#dice.below(100);
    const mode = this.#dice.of(ROOT_MODES);
    return {
      what: `chown and chmod ${path}`,
      steps: path,
      run: () =>
        this.#at(path, (file) => file.setattr({ valid: SETATTR_UID | SETATTR_MODE, uid, mode })),
      apply: (state) => change(state, path, { uid, mode: S_IFREG | mode }),
    };
  }

  #setNote(path: string): Change {
    const note = this.#dice.below(4) === 0 ? "" : `note ${this.#dice.below(1000)}`;
    const hadNote = this.#state.get(path)?.note !== "";
    if (note === "" && !hadNote) return this.#chmod(path);
    return {
      what: `set an attribute of ${path}`,
      run: () => this.#at(path, (file) => file.setxattr(NOTE, new TextEncoder().encode(note))),
      apply: (state) => change(state, path, { note }),
    };
  }

  /** One request where others are at work, too; who comes late is refused. */
  async #meet(): Promise<void> {
    const dice = this.#dice;
    const [name, other] = [`n${dice.below(NAMES)}`, `n${dice.below(NAMES)}`];
    const kind = dice.below(MODES.length);
    const how = { mode: MODES[kind] as number, gid: FIRST_GROUP + kind };
    const places = [[COMMONS], [COMMONS, "deep"]];
    const user = await (this.#user as Fid).walk(dice.of(places));
    const folder = await (this.#root as Fid).walk(dice.of(places));
    const use = async (): Promise<unknown> => {
      switch (dice.below(8)) {
        case 0:
          return await user.mkdir(name, { ...how, mode: how.mode & 0o777 });
        case 1:
          return await user.symlink(name, "anywhere", how);
        case 2:
          return await user.mknod(name, { ...how, mode: S_IFIFO | how.mode });
        case 3:
          return await folder.unlink(name);
        case 4:
          return await folder.unlink(name, { directory: true });
        case 5:
          return await folder.renameat(name, user, other);
        case 6: {
          await using file = await folder.walk([name]);
          return await user.link(file, other);
        }
        default:
          return await user.create(name, { ...how, flags: O_RDWR | O_EXCL });
      }
    };
    try {
      // Its folder "deep" stays, for it is never empty.
      await use();
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
    }
    this.meetings++;
    await Promise.all([user.clunk(), folder.clunk()]);
  }

  #group(): number {
    return FIRST_GROUP + this.#dice.below(100);
  }

  #made(mode: number, rest: Partial<Found>): Found {
    return {
      ...{ mode, uid: this.#uid, gid: 0, rdev: 0, content: "", note: "" },
      inode: --this.#inode,
      ...rest,
    };
  }

  async #at(path: string, use: (file: Fid) => Promise<unknown>): Promise<void> {
    const file = await (this.#root as Fid).walk(`${this.#home}/${path}`);
    await use(file);
    await file.clunk();
  }

  async #in(
    path: string,
    asUser: boolean,
    use: (folder: Fid, name: string) => Promise<unknown>,
  ): Promise<void> {
    const root = asUser ? this.#user : this.#root;
    const [folder = "", name = ""] = path.split("/");
    const fid = await (root as Fid).walk([this.#home, folder]);
    await use(fid, name);
    await fid.clunk();
  }
}

/** Makes the folder that all share. */
export async function makeCommons(address: string): Promise<void> {
  await using client = await Client.connect(await dial(address));
  await using root = await client.attach({ n_uname: 0 });
  for (const path of [[COMMONS], [COMMONS, "deep"], [COMMONS, "deep", "stays"]]) {
    await using folder = await root.walk(path.slice(0, -1));
    await folder.mkdir(path.at(-1) ?? "", { mode: 0o777 });
    await using made = await root.walk(path);
    await made.setattr({ valid: SETATTR_MODE, mode: 0o777 });
  }
}

/** What is wrong in the folder that all share: objects that are not one of those that were made. */
export function judgeCommons(all: ReadonlyMap<string, Found>): string[] {
  const faults: string[] = [];
  for (const [path, object] of all) {
    const { mode, uid, gid } = object;
    if (!path.startsWith(`${COMMONS}/`) || uid === 0 && gid === 0) continue;
    // The group comes last, before what acts for others.
    if (gid === NO_GROUP && (mode & SET_ID) === 0) continue;
    const type = mode & S_IFMT;
    const given = MODES[gid - FIRST_GROUP] ?? 0;
    const wanted = type === S_IFLNK ? 0o777 : type === S_IFDIR ? given & 0o777 : given;
    const isWhole = (mode & 0o7777) === wanted;
    // Before it gets what acts for others it has its owner.
    const isLess = (mode & SET_ID) === 0 && (mode & 0o777) === (wanted & 0o777);
    if (!isWhole && !isLess) faults.push(`${path} is ${lineOf(object)}, with half of what it is`);
  }
  return faults;
}

/** True if an object lets nobody do more than it did before or does afterwards. */
function isLesser(object: Found, before: Found | undefined, after: Found | undefined): boolean {
  if (after === undefined) return false;
  const was = before ?? { ...after, uid: 0, gid: 0, mode: after.mode };
  const isSame = (object.mode & S_IFMT) === (after.mode & S_IFMT) &&
    object.content === after.content && object.note === after.note && object.rdev === after.rdev;
  const isOwned = [was.uid, after.uid].includes(object.uid) &&
    // What a user makes has the user's group first.
    [was.gid, after.gid, before === undefined ? NO_GROUP : after.gid].includes(object.gid);
  const allowed = (was.mode | after.mode) & ~SET_ID;
  return isSame && isOwned && (object.mode & 0o7777 & ~allowed) === 0;
}

function change(state: State, path: string, fields: Partial<Found>): void {
  const old = state.get(path) as Found;
  const changed = { ...old, ...fields };
  for (const [name, object] of state) if (object === old) state.set(name, changed);
}

function withOneObjectForNames(found: State): State {
  const byInode = new Map<number, Found>();
  const state: State = new Map();
  for (const [path, object] of found) {
    const known = byInode.get(object.inode) ?? object;
    byInode.set(object.inode, known);
    state.set(path, known);
  }
  return state;
}

function typeOf(object: Found | undefined): number {
  return object === undefined ? 0 : object.mode & S_IFMT;
}

function lineOf({ mode, uid, gid, rdev, content, note }: Found): string {
  return `${mode.toString(8)} ${uid}:${gid} ${rdev} ${JSON.stringify([content, note])}`;
}

/** A line for each path, which also tells the names that share a file. */
function linesOf(state: State): Map<string, string> {
  const first = new Map<number, string>();
  const lines = new Map<string, string>();
  for (const path of [...state.keys()].sort()) {
    const object = state.get(path) as Found;
    if (!first.has(object.inode)) first.set(object.inode, path);
    lines.set(path, `${lineOf(object)} as ${first.get(object.inode)}`);
  }
  return lines;
}

function same(one: Iterable<unknown>, other: Iterable<unknown>): boolean {
  return JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
}
