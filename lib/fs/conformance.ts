/**
 * What every tree must do, as a suite of tests: register it once per kind of tree.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  decodeString,
  DT_DIR,
  DT_LNK,
  DT_REG,
  DT_UNKNOWN,
  Errno,
  errnoName,
  O_APPEND,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  QTDIR,
  QTFILE,
  QTSYMLINK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../p9/mod.ts";
import { segmentsOf } from "./segments_of.ts";
import type {
  Answer,
  DirectorySink,
  Identity,
  LockOwner,
  LockRange,
  Node,
  OpenFile,
  Tree,
} from "./tree.ts";

/** A tree to test, empty but for its root. */
export interface TreeUnderTest {
  /** The tree; the suite closes it. */
  readonly tree: Tree;
  /** Removes what is left behind. */
  dispose(): void | Promise<void>;
}

/** What not every tree can do. */
export interface TreeCapabilities {
  /** New owners are kept. */
  readonly ownership: boolean;
  /** Device files can be made. */
  readonly devices: boolean;
  /** There are extended attributes `user.*`. */
  readonly xattrs: boolean;
  /** Most bytes of a value that must be kept. */
  readonly xattrBytes: number;
  /** Names may be any bytes. */
  readonly anyBytes: boolean;
  /** Lists may leave the type of what is no folder open. */
  readonly vagueLists?: boolean;
}

interface Entry {
  readonly qidType: number;
  readonly path: bigint;
  readonly next: bigint;
  readonly type: number;
  readonly name: string;
}

/** Takes up to `room` entries. */
class ListSink implements DirectorySink {
  readonly entries: Entry[] = [];
  readonly #room: number;

  constructor(room = Infinity) {
    this.#room = room;
  }

  add(qidType: number, path: bigint, next: bigint, type: number, name: string): boolean {
    if (this.entries.length >= this.#room) return false;
    this.entries.push({ qidType, path, next, type, name });
    return true;
  }

  addBytes(
    qidType: number,
    path: bigint,
    next: bigint,
    type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return this.add(qidType, path, next, type, decodeString(bytes, start, end));
  }
}

/** A tree with its root attached, and short ways to use it. */
class World {
  readonly can: TreeCapabilities;
  readonly tree: Tree;
  readonly root: Node;
  readonly by: Identity = { uid: 0, uname: "root", session: { is: "first" } };
  readonly other: Identity = { uid: 0, uname: "root", session: { is: "second" } };

  constructor(can: TreeCapabilities, tree: Tree, root: Node) {
    this.can = can;
    this.tree = tree;
    this.root = root;
  }

  /** Makes a file with a content and closes it. */
  async file(name: string, content = "", folder: Node = this.root, mode = 0o644): Promise<void> {
    const file = await folder.create(name, O_RDWR | O_TRUNC, mode, 0, this.by);
    await this.write(file, content);
    file.close();
  }

  async folder(name: string, folder: Node = this.root): Promise<Node> {
    await folder.mkdir(name, 0o755, 0, this.by);
    return await folder.walk(name, this.by);
  }

  async write(file: OpenFile, content: string, offset = 0n): Promise<void> {
    const bytes = new TextEncoder().encode(content);
    assert.equal(await file.write(segmentsOf(bytes), offset), bytes.length);
  }

  async read(file: OpenFile, count = 100, offset = 0n): Promise<string> {
    const bytes = new Uint8Array(count);
    const n = await file.read(segmentsOf(bytes), offset);
    return new TextDecoder().decode(bytes.subarray(0, n));
  }

  /** Content of a file, by names from the root. */
  async content(...names: string[]): Promise<string> {
    const node = await this.walk(...names);
    const file = await node.open(O_RDONLY, this.by);
    const text = await this.read(file, 1000);
    file.close();
    node.release();
    return text;
  }

  async walk(...names: string[]): Promise<Node> {
    let node = this.root.hold();
    for (const name of names) {
      try {
        const next = await node.walk(name, this.by);
        node.release();
        node = next;
      } catch (error) {
        node.release();
        throw error;
      }
    }
    return node;
  }

  async list(folder: Node = this.root): Promise<string[]> {
    const file = await folder.open(O_RDONLY, this.by);
    const sink = new ListSink();
    await file.readdir(0n, sink);
    file.close();
    return sink.entries.map((entry) => entry.name).sort();
  }
}

/** Asserts that an operation fails with an errno. */
async function fails(code: string, run: () => Answer<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof Errno, `not an Errno: ${error}`);
    assert.equal(errnoName(error.code), code);
    return;
  }
  assert.fail(`succeeded instead of ${code}`);
}

function owner(by: Identity, process: number, client = "client"): LockOwner {
  return { session: by.session, client, process };
}

function range(type: LockRange["type"], start: number, length: number): LockRange {
  return { type, start: BigInt(start), length: BigInt(length) };
}

type Case = [what: string, run: (world: World) => Promise<void>];

const NAMES: Case[] = [
  ["attach() gives the root", async ({ root }) => {
    assert.equal(root.qid.type, QTDIR);
    assert.equal(root.name, "/");
    await Promise.resolve();
  }],
  ["walk() finds files, folders and links", async (w) => {
    await w.file("f");
    await w.root.mkdir("d", 0o755, 0, w.by);
    await w.root.symlink("l", "nowhere", 0, w.by);
    for (const [name, type] of [["f", QTFILE], ["d", QTDIR], ["l", QTSYMLINK]] as const) {
      const node = await w.root.walk(name, w.by);
      assert.equal(node.qid.type, type);
      assert.equal(node.name, name);
      node.release();
    }
  }],
  ["walk() refuses a missing name with ENOENT", async (w) => {
    await fails("ENOENT", () => w.root.walk("missing", w.by));
  }],
  ["walk() refuses to go through a file with ENOTDIR", async (w) => {
    await w.file("f");
    const file = await w.root.walk("f", w.by);
    await fails("ENOTDIR", () => file.walk("x", w.by));
    file.release();
  }],
  ["walk() does not follow a symbolic link", async (w) => {
    await w.root.mkdir("d", 0o755, 0, w.by);
    await w.root.symlink("l", "d", 0, w.by);
    const link = await w.root.walk("l", w.by);
    assert.equal(link.qid.type, QTSYMLINK);
    await fails("ENOTDIR", () => link.walk("x", w.by));
    link.release();
  }],
  ["walk() finds the same qid.path again", async (w) => {
    await w.file("f");
    const one = await w.root.walk("f", w.by);
    const two = await w.root.walk("f", w.by);
    assert.equal(one.qid.path, two.qid.path);
    one.release();
    assert.equal((await two.attributes(w.by)).qid.path, two.qid.path);
    two.release();
  }],
  ["parent() of the root is the root", async (w) => {
    const parent = await w.root.parent(w.by);
    assert.equal(parent.qid.path, w.root.qid.path);
    assert.equal(parent.name, "/");
    parent.release();
  }],
  ["parent() goes back the way of walk()", async (w) => {
    const outer = await w.folder("outer");
    const inner = await w.folder("inner", outer);
    outer.release();
    const back = await inner.parent(w.by);
    assert.equal(back.name, "outer");
    inner.release();
    const root = await back.parent(w.by);
    assert.equal(root.qid.path, w.root.qid.path);
    back.release();
    root.release();
  }],
  ["parent() of a moved folder is where it is now", async (w) => {
    const a = await w.folder("a");
    const b = await w.folder("b");
    const child = await w.folder("child", a);
    await a.rename("child", b, "renamed", w.by);
    assert.equal(child.name, "renamed");
    const parent = await child.parent(w.by);
    assert.equal(parent.qid.path, b.qid.path);
    for (const node of [a, b, child, parent]) node.release();
  }],
  ["names of 255 bytes work", async (w) => {
    for (const name of ["x".repeat(255), "é".repeat(127) + "x"]) {
      await w.file(name, "content");
      assert.equal(await w.content(name), "content");
      assert.ok((await w.list()).includes(name));
      await w.root.unlink(name, false, w.by);
    }
  }],
  ["names that are not UTF-8 keep their bytes", async (w) => {
    if (!w.can.anyBytes) return assert.equal(w.can.anyBytes, false);
    const name = "a\udcff\udc80b";
    await w.file(name, "content");
    assert.equal(await w.content(name), "content");
    assert.deepEqual(await w.list(), [".", "..", name]);
    await w.root.rename(name, w.root, "\udcfe", w.by);
    assert.deepEqual(await w.list(), [".", "..", "\udcfe"]);
    await w.root.unlink("\udcfe", false, w.by);
  }],
  ["hold() keeps a node until the last release()", async (w) => {
    const before = w.tree.usage().nodes;
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    assert.equal(node.hold(), node);
    assert.ok(w.tree.usage().nodes > before);
    node.release();
    assert.equal((await node.attributes(w.by)).nlink, 1);
    node.release();
    assert.equal(w.tree.usage().nodes, before);
  }],
  ["failures give back all references", async (w) => {
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    const before = w.tree.usage();
    const folder = await w.folder("d");
    const file = await w.root.walk("f", w.by);
    await fails("ENOENT", () => folder.walk("x", w.by));
    await fails("ENOTDIR", () => file.walk("x", w.by));
    await fails("EISDIR", () => folder.open(O_RDWR, w.by));
    await fails("EEXIST", () => w.root.create("f", O_RDWR | O_EXCL, 0o644, 0, w.by));
    await fails("EISDIR", () => w.root.create("d", O_RDWR, 0o644, 0, w.by));
    await fails("ELOOP", () => w.root.create("l", O_RDWR, 0o644, 0, w.by));
    await fails("EEXIST", () => w.root.mkdir("f", 0o755, 0, w.by));
    folder.release();
    file.release();
    assert.deepEqual(w.tree.usage(), before);
  }],
];

const MAKING: Case[] = [
  ["create() makes an empty file and opens it", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o640, 0, w.by);
    assert.equal(file.node.name, "f");
    const attributes = await file.node.attributes(w.by);
    assert.equal(attributes.mode, S_IFREG | 0o640);
    assert.equal(attributes.size, 0n);
    assert.equal(attributes.nlink, 1);
    await w.write(file, "content");
    file.close();
    assert.equal(await w.content("f"), "content");
  }],
  ["create() opens a file that exists", async (w) => {
    await w.file("f", "before");
    const file = await w.root.create("f", O_RDWR, 0o600, 0, w.by);
    assert.equal(await w.read(file), "before");
    assert.equal((await file.node.attributes(w.by)).mode & 0o777, 0o644);
    file.close();
    const emptied = await w.root.create("f", O_RDWR | O_TRUNC, 0o600, 0, w.by);
    assert.equal(await w.read(emptied), "");
    emptied.close();
  }],
  ["create() with O_EXCL refuses a file that exists with EEXIST", async (w) => {
    await w.file("f");
    await fails("EEXIST", () => w.root.create("f", O_RDWR | O_EXCL, 0o644, 0, w.by));
  }],
  ["create() gives any permission bits, write-protected ones too", async (w) => {
    for (const mode of [0o000, 0o444, 0o777, 0o4755, 0o2755, 0o1777]) {
      const file = await w.root.create("f", O_RDWR, mode, 0, w.by);
      assert.equal((await file.node.attributes(w.by)).mode, S_IFREG | mode);
      await w.write(file, "written");
      file.close();
      await w.root.unlink("f", false, w.by);
    }
  }],
  ["create() in a file is ENOTDIR", async (w) => {
    await w.file("f");
    const file = await w.root.walk("f", w.by);
    await fails("ENOTDIR", () => file.create("x", O_RDWR, 0o644, 0, w.by));
    await fails("ENOTDIR", () => file.mkdir("x", 0o755, 0, w.by));
    await fails("ENOTDIR", () => file.symlink("x", "y", 0, w.by));
    file.release();
  }],
  ["create() neither follows a link nor opens a special file", async (w) => {
    await w.file("target", "untouched");
    await w.root.symlink("l", "target", 0, w.by);
    await w.root.mknod("fifo", S_IFIFO | 0o644, 0, 0, 0, w.by);
    await w.root.mknod("socket", S_IFSOCK | 0o644, 0, 0, 0, w.by);
    await fails("ELOOP", () => w.root.create("l", O_RDWR | O_TRUNC, 0o644, 0, w.by));
    await fails("ENXIO", () => w.root.create("fifo", O_RDWR, 0o644, 0, w.by));
    await fails("ENXIO", () => w.root.create("fifo", O_WRONLY, 0o644, 0, w.by));
    await fails("ENXIO", () => w.root.create("socket", O_RDWR, 0o644, 0, w.by));
    assert.equal(await w.content("target"), "untouched");
    await w.root.symlink("dangling", "nowhere", 0, w.by);
    await fails("ELOOP", () => w.root.create("dangling", O_RDWR, 0o644, 0, w.by));
    await fails("ENOENT", () => w.root.walk("nowhere", w.by));
  }],
  ["mkdir() makes folders with the bits asked for", async (w) => {
    const qid = await w.root.mkdir("d", 0o1775, 0, w.by);
    assert.equal(qid.type, QTDIR);
    const folder = await w.root.walk("d", w.by);
    assert.equal(folder.qid.path, qid.path);
    const attributes = await folder.attributes(w.by);
    assert.equal(attributes.mode, S_IFDIR | 0o1775);
    assert.equal(attributes.qid.type, QTDIR);
    folder.release();
    await fails("EEXIST", () => w.root.mkdir("d", 0o755, 0, w.by));
  }],
  ["symlink() and readlink() keep any text", async (w) => {
    const targets = ["/etc/passwd", "..", "../../x", "é", "x".repeat(4000)];
    if (w.can.anyBytes) targets.push("a\udcff");
    for (const target of targets) {
      const qid = await w.root.symlink("l", target, 0, w.by);
      assert.equal(qid.type, QTSYMLINK);
      const link = await w.root.walk("l", w.by);
      assert.equal(link.qid.path, qid.path);
      assert.equal(await link.readlink(w.by), target);
      assert.equal((await link.attributes(w.by)).mode, S_IFLNK | 0o777);
      link.release();
      await w.root.unlink("l", false, w.by);
    }
    await w.root.symlink("l", "x", 0, w.by);
    await fails("EEXIST", () => w.root.symlink("l", "y", 0, w.by));
  }],
  ["readlink() of anything else is EINVAL", async (w) => {
    await w.file("f");
    const file = await w.root.walk("f", w.by);
    await fails("EINVAL", () => file.readlink(w.by));
    await fails("EINVAL", () => w.root.readlink(w.by));
    file.release();
  }],
  ["mknod() makes FIFOs, sockets and files", async (w) => {
    for (const type of [S_IFIFO, S_IFSOCK, S_IFREG]) {
      const qid = await w.root.mknod("n", type | 0o620, 0, 0, 0, w.by);
      assert.equal(qid.type, QTFILE);
      const node = await w.root.walk("n", w.by);
      const attributes = await node.attributes(w.by);
      assert.equal(attributes.mode, type | 0o620);
      assert.equal(attributes.qid.path, qid.path);
      node.release();
      await fails("EEXIST", () => w.root.mknod("n", type | 0o620, 0, 0, 0, w.by));
      await w.root.unlink("n", false, w.by);
    }
  }],
  ["mknod() makes devices that cannot be opened", async (w) => {
    if (!w.can.devices) {
      await fails("EPERM", () => w.root.mknod("n", S_IFCHR | 0o666, 1, 3, 0, w.by));
      return;
    }
    for (
      const [type, major, minor, rdev] of [
        [S_IFCHR, 1, 3, 0x103n],
        [S_IFBLK, 7, 300, 0x10072cn],
      ] as const
    ) {
      await w.root.mknod("n", type | 0o666, major, minor, 0, w.by);
      const node = await w.root.walk("n", w.by);
      const attributes = await node.attributes(w.by);
      assert.equal(attributes.mode & S_IFMT, type);
      assert.equal(attributes.rdev, rdev);
      await fails("ENXIO", () => node.open(O_RDWR, w.by));
      node.release();
      await w.root.unlink("n", false, w.by);
    }
  }],
  ["link() gives a file one more name", async (w) => {
    await w.file("f", "content");
    const folder = await w.folder("d");
    const file = await w.root.walk("f", w.by);
    await folder.link("second", file, w.by);
    assert.equal((await file.attributes(w.by)).nlink, 2);
    const second = await folder.walk("second", w.by);
    assert.equal(second.qid.path, file.qid.path);
    await w.root.unlink("f", false, w.by);
    assert.equal((await second.attributes(w.by)).nlink, 1);
    assert.equal(await w.content("d", "second"), "content");
    for (const node of [folder, file, second]) node.release();
  }],
  ["link() of a symbolic link links the link itself", async (w) => {
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    const link = await w.root.walk("l", w.by);
    await w.root.link("m", link, w.by);
    const second = await w.root.walk("m", w.by);
    assert.equal(second.qid.type, QTSYMLINK);
    assert.equal(second.qid.path, link.qid.path);
    assert.equal(await second.readlink(w.by), "f");
    link.release();
    second.release();
  }],
  ["link() refuses folders, taken names and files without names", async (w) => {
    await w.file("f");
    await w.file("g");
    const folder = await w.folder("d");
    const file = await w.root.walk("f", w.by);
    await fails("EPERM", () => w.root.link("e", folder, w.by));
    await fails("EPERM", () => w.root.link("e", w.root, w.by));
    await fails("EEXIST", () => w.root.link("g", file, w.by));
    await fails("ENOTDIR", () => file.link("x", file, w.by));
    await w.root.unlink("f", false, w.by);
    await fails("ENOENT", () => w.root.link("again", file, w.by));
    folder.release();
    file.release();
  }],
];

const REMOVING: Case[] = [
  ["unlink() removes files, links and empty folders", async (w) => {
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    await w.root.mkdir("d", 0o755, 0, w.by);
    await w.root.unlink("l", false, w.by);
    await w.root.unlink("f", false, w.by);
    await w.root.unlink("d", true, w.by);
    assert.deepEqual(await w.list(), [".", ".."]);
  }],
  ["unlink() names what does not fit", async (w) => {
    await w.file("f");
    const folder = await w.folder("d");
    await w.file("inner", "", folder);
    await fails("ENOENT", () => w.root.unlink("missing", false, w.by));
    await fails("ENOENT", () => w.root.unlink("missing", true, w.by));
    await fails("EISDIR", () => w.root.unlink("d", false, w.by));
    await fails("ENOTDIR", () => w.root.unlink("f", true, w.by));
    await fails("ENOTEMPTY", () => w.root.unlink("d", true, w.by));
    const file = await w.root.walk("f", w.by);
    await fails("ENOTDIR", () => file.unlink("x", false, w.by));
    folder.release();
    file.release();
  }],
  ["a file without names lives while it is open", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    await w.write(file, "still");
    await w.root.unlink("f", false, w.by);
    await fails("ENOENT", () => w.root.walk("f", w.by));
    await w.write(file, " here", 5n);
    assert.equal(await w.read(file), "still here");
    assert.equal((await file.node.attributes(w.by)).nlink, 0);
    await file.node.setAttributes({ size: 5n }, w.by, file);
    assert.equal(await w.read(file), "still");
    await file.node.setAttributes({ mode: 0o600 }, w.by);
    assert.equal((await file.node.attributes(w.by)).mode, S_IFREG | 0o600);
    const again = await file.node.open(O_RDONLY, w.by);
    assert.equal(await w.read(again), "still");
    again.close();
    file.close();
  }],
  ["a name that is taken again is another file", async (w) => {
    await w.file("f", "old");
    const old = await w.root.walk("f", w.by);
    await w.root.unlink("f", false, w.by);
    await w.file("f", "new");
    const file = await old.open(O_RDONLY, w.by);
    assert.equal(await w.read(file), "old");
    file.close();
    assert.equal(await w.content("f"), "new");
    const fresh = await w.root.walk("f", w.by);
    assert.notEqual(fresh.qid.path, old.qid.path);
    fresh.release();
    old.release();
  }],
  ["a removed folder takes nothing new", async (w) => {
    const folder = await w.folder("d");
    await w.root.unlink("d", true, w.by);
    await fails("ENOENT", () => folder.create("x", O_RDWR, 0o644, 0, w.by));
    await fails("ENOENT", () => folder.mkdir("x", 0o755, 0, w.by));
    await fails("ENOENT", () => folder.walk("x", w.by));
    assert.equal((await folder.attributes(w.by)).nlink, 0);
    folder.release();
  }],
  ["remove() removes what was walked to", async (w) => {
    await w.file("f");
    await w.root.mkdir("d", 0o755, 0, w.by);
    for (const name of ["f", "d"]) {
      const node = await w.root.walk(name, w.by);
      await node.remove(w.by);
      await fails("ENOENT", () => w.root.walk(name, w.by));
      node.release();
    }
    await fails("EBUSY", () => w.root.remove(w.by));
  }],
  ["remove() and move() leave a newer file of the same name alone", async (w) => {
    await w.file("f", "old");
    const old = await w.root.walk("f", w.by);
    await w.root.unlink("f", false, w.by);
    await w.file("f", "new");
    await fails("ENOENT", () => old.remove(w.by));
    await fails("ENOENT", () => old.move(w.root, "g", w.by));
    assert.equal(await w.content("f"), "new");
    old.release();
  }],
];

const RENAMING: Case[] = [
  ["rename() moves a file and keeps its node", async (w) => {
    const folder = await w.folder("d");
    await w.file("f", "content");
    const file = await w.root.walk("f", w.by);
    await w.root.rename("f", folder, "g", w.by);
    assert.equal(file.name, "g");
    assert.equal(await w.content("d", "g"), "content");
    await fails("ENOENT", () => w.root.walk("f", w.by));
    const parent = await file.parent(w.by);
    assert.equal(parent.qid.path, folder.qid.path);
    for (const node of [folder, file, parent]) node.release();
  }],
  ["rename() replaces a file, which lives on while it is held", async (w) => {
    await w.file("a", "first");
    await w.file("b", "second");
    const replaced = await w.root.walk("b", w.by);
    await w.root.rename("a", w.root, "b", w.by);
    assert.equal(await w.content("b"), "first");
    const file = await replaced.open(O_RDONLY, w.by);
    assert.equal(await w.read(file), "second");
    file.close();
    replaced.release();
    assert.deepEqual(await w.list(), [".", "..", "b"]);
  }],
  ["rename() of a folder keeps what is below reachable", async (w) => {
    const outer = await w.folder("outer");
    const inner = await w.folder("inner", outer);
    await w.file("f", "content", inner);
    const file = await inner.walk("f", w.by);
    const open = await file.open(O_RDWR, w.by);
    await w.root.rename("outer", w.root, "moved", w.by);
    assert.equal(await w.read(open), "content");
    const again = await inner.walk("f", w.by);
    assert.equal(again.qid.path, file.qid.path);
    assert.equal(await w.content("moved", "inner", "f"), "content");
    await file.move(w.root, "up", w.by);
    assert.equal(await w.content("up"), "content");
    open.close();
    for (const node of [outer, inner, file, again]) node.release();
  }],
  ["rename() names what does not fit", async (w) => {
    await w.file("f");
    const d = await w.folder("d");
    const full = await w.folder("full");
    await w.file("inner", "", full);
    const sub = await w.folder("sub", d);
    const file = await w.root.walk("f", w.by);
    await fails("ENOENT", () => w.root.rename("missing", w.root, "x", w.by));
    await fails("ENOTDIR", () => w.root.rename("f", file, "x", w.by));
    await fails("ENOTDIR", () => w.root.rename("d", w.root, "f", w.by));
    await fails("EISDIR", () => w.root.rename("f", w.root, "d", w.by));
    await fails("ENOTEMPTY", () => w.root.rename("d", w.root, "full", w.by));
    await fails("EINVAL", () => w.root.rename("d", d, "x", w.by));
    await fails("EINVAL", () => w.root.rename("d", sub, "x", w.by));
    await fails("ENOTEMPTY", () => d.rename("sub", w.root, "d", w.by));
    for (const node of [d, full, sub, file]) node.release();
  }],
  ["rename() replaces an empty folder", async (w) => {
    const a = await w.folder("a");
    await w.file("f", "content", a);
    await w.root.mkdir("b", 0o755, 0, w.by);
    await w.root.rename("a", w.root, "b", w.by);
    assert.equal(await w.content("b", "f"), "content");
    assert.equal(a.name, "b");
    a.release();
  }],
  ["rename() onto another name of the same file changes nothing", async (w) => {
    await w.file("a", "content");
    const node = await w.root.walk("a", w.by);
    await w.root.link("b", node, w.by);
    await w.root.rename("a", w.root, "b", w.by);
    await w.root.rename("a", w.root, "a", w.by);
    assert.deepEqual(await w.list(), [".", "..", "a", "b"]);
    node.release();
  }],
  ["move() moves what was walked to, the root never", async (w) => {
    const folder = await w.folder("d");
    await w.file("f", "content");
    const file = await w.root.walk("f", w.by);
    await file.move(folder, "g", w.by);
    assert.equal(file.name, "g");
    await file.move(w.root, "h", w.by);
    assert.equal(await w.content("h"), "content");
    await fails("EBUSY", () => w.root.move(folder, "x", w.by));
    folder.release();
    file.release();
  }],
];

const CONTENT: Case[] = [
  ["open() refuses what cannot be opened", async (w) => {
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    await w.root.mknod("fifo", S_IFIFO | 0o666, 0, 0, 0, w.by);
    await w.root.mknod("socket", S_IFSOCK | 0o666, 0, 0, 0, w.by);
    for (
      const [name, code, flags] of [
        ["l", "ELOOP", O_RDONLY],
        ["fifo", "ENXIO", O_RDONLY],
        ["fifo", "ENXIO", O_WRONLY],
        ["socket", "ENXIO", O_RDWR],
        ["f", "ENOTDIR", O_RDONLY | O_DIRECTORY],
      ] as const
    ) {
      const node = await w.root.walk(name, w.by);
      await fails(code, () => node.open(flags, w.by));
      node.release();
    }
    await fails("EISDIR", () => w.root.open(O_RDWR, w.by));
    await fails("EISDIR", () => w.root.open(O_WRONLY, w.by));
  }],
  ["open() gives a file on the node itself", async (w) => {
    await w.file("f", "content");
    const node = await w.root.walk("f", w.by);
    const file = await node.open(O_RDONLY, w.by);
    assert.equal(file.node, node);
    node.release();
    assert.equal(await w.read(file), "content");
    file.close();
  }],
  ["open() with O_TRUNC empties the file", async (w) => {
    await w.file("f", "content");
    const node = await w.root.walk("f", w.by);
    (await node.open(O_WRONLY | O_TRUNC, w.by)).close();
    assert.equal((await node.attributes(w.by)).size, 0n);
    node.release();
  }],
  ["reading and writing obey the access mode", async (w) => {
    await w.file("f", "content");
    const node = await w.root.walk("f", w.by);
    const reader = await node.open(O_RDONLY, w.by);
    await fails("EBADF", () => reader.write(segmentsOf(new Uint8Array(1)), 0n));
    const writer = await node.open(O_WRONLY, w.by);
    await w.write(writer, "C");
    assert.equal(await w.read(reader), "Content");
    reader.close();
    writer.close();
    node.release();
  }],
  ["read() is short only at the end of the file", async (w) => {
    await w.file("f", "0123456789");
    const node = await w.root.walk("f", w.by);
    const file = await node.open(O_RDONLY, w.by);
    assert.equal(await w.read(file, 4, 0n), "0123");
    assert.equal(await w.read(file, 4, 4n), "4567");
    assert.equal(await w.read(file, 4, 8n), "89");
    assert.equal(await w.read(file, 4, 10n), "");
    assert.equal(await w.read(file, 4, 1n << 40n), "");
    assert.equal(await w.read(file, 0, 0n), "");
    file.close();
    node.release();
  }],
  ["read() of a folder is EISDIR, readdir() of a file ENOTDIR", async (w) => {
    const folder = await w.root.open(O_RDONLY, w.by);
    await fails("EISDIR", () => folder.read(segmentsOf(new Uint8Array(10)), 0n));
    folder.close();
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    await fails("ENOTDIR", () => file.readdir(0n, new ListSink()));
    file.close();
  }],
  ["read() and write() move large blocks across many pieces", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const sent = new Uint8Array(300_000);
    for (let i = 0; i < sent.length; i++) sent[i] = (i * 7 + (i >> 8)) & 0xff;
    assert.equal(await file.write(segmentsOf(sent, 1, 4096, 70_000), 12_345n), sent.length);
    const got = new Uint8Array(400_000);
    const n = await file.read(segmentsOf(got, 7, 65_536, 65_537), 12_340n);
    assert.equal(n, sent.length + 5);
    assert.deepEqual(got.subarray(0, 5), new Uint8Array(5));
    assert.deepEqual(got.subarray(5, n), sent);
    file.close();
  }],
  ["write() leaves holes of zeros, also far away", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const far = 5n * (1n << 30n) + 3n;
    await w.write(file, "far", far);
    assert.equal((await file.node.attributes(w.by)).size, far + 3n);
    assert.equal(await w.read(file, 10, far - 2n), "\0\0far");
    assert.equal(await w.read(file, 3, 0n), "\0\0\0");
    assert.ok((await file.node.attributes(w.by)).blocks < 1000n);
    await file.node.setAttributes({ size: 2n }, w.by, file);
    await file.node.setAttributes({ size: 6n }, w.by, file);
    assert.equal(await w.read(file), "\0".repeat(6));
    file.close();
  }],
  ["write() with O_APPEND goes to the end whatever the offset", async (w) => {
    await w.file("f", "start");
    const node = await w.root.walk("f", w.by);
    const one = await node.open(O_RDWR | O_APPEND, w.by);
    const two = await node.open(O_WRONLY | O_APPEND, w.by);
    await w.write(one, " one", 0n);
    await w.write(two, " two", 1n);
    await w.write(one, " one", 2n);
    assert.equal(await w.read(one), "start one two one");
    one.close();
    two.close();
    node.release();
  }],
  ["write() past the largest offset is EFBIG or EINVAL", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const bytes = segmentsOf(new Uint8Array(10));
    for (const offset of [(1n << 63n) - 5n, 1n << 63n, (1n << 64n) - 1n]) {
      let code = "none";
      try {
        await file.write(bytes, offset);
      } catch (error) {
        assert.ok(error instanceof Errno);
        code = errnoName(error.code) ?? "unknown";
      }
      assert.match(code, /^(EFBIG|EINVAL|EOVERFLOW)$/);
    }
    assert.equal((await file.node.attributes(w.by)).size, 0n);
    file.close();
  }],
  ["a write is seen at once by every other open file", async (w) => {
    const writer = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const node = await w.root.walk("f", w.other);
    const reader = await node.open(O_RDONLY, w.other);
    await w.write(writer, "seen");
    assert.equal(await w.read(reader), "seen");
    assert.equal((await node.attributes(w.other)).size, 4n);
    writer.close();
    reader.close();
    node.release();
  }],
  ["sync() of files and folders succeeds", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    await w.write(file, "content");
    assert.equal(await file.sync(true), undefined);
    assert.equal(await file.sync(false), undefined);
    file.close();
    const folder = await w.root.open(O_RDONLY, w.by);
    assert.equal(await folder.sync(false), undefined);
    folder.close();
  }],
];

const ATTRIBUTES: Case[] = [
  ["setAttributes() changes permissions and keeps the type", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    await node.setAttributes({ mode: S_IFDIR | 0o4751 }, w.by);
    assert.equal((await node.attributes(w.by)).mode, S_IFREG | 0o4751);
    node.release();
  }],
  ["setAttributes() changes owner and group", async (w) => {
    if (!w.can.ownership) return assert.equal(w.can.ownership, false);
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    for (const name of ["f", "l"]) {
      const node = await w.root.walk(name, w.by);
      await node.setAttributes({ uid: 1234, gid: 5678 }, w.by);
      let { uid, gid } = await node.attributes(w.by);
      assert.deepEqual([uid, gid], [1234, 5678]);
      await node.setAttributes({ gid: 4_000_000_000 }, w.by);
      ({ uid, gid } = await node.attributes(w.by));
      assert.deepEqual([uid, gid], [1234, 4_000_000_000]);
      node.release();
    }
    const target = await w.root.walk("f", w.by);
    assert.equal((await target.attributes(w.by)).uid, 1234);
    target.release();
  }],
  ["setAttributes() changes the size", async (w) => {
    await w.file("f", "0123456789");
    const node = await w.root.walk("f", w.by);
    await node.setAttributes({ size: 4n }, w.by);
    assert.equal(await w.content("f"), "0123");
    await node.setAttributes({ size: 6n }, w.by);
    assert.equal(await w.content("f"), "0123\0\0");
    await node.setAttributes({ size: 70_000n }, w.by);
    assert.equal((await node.attributes(w.by)).size, 70_000n);
    node.release();
    await fails("EISDIR", () => w.root.setAttributes({ size: 0n }, w.by));
  }],
  ["setAttributes() of the size works through a file opened for writing", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o400, 0, w.by);
    await w.write(file, "content");
    await file.node.setAttributes({ size: 3n }, w.by, file);
    assert.equal(await w.read(file), "con");
    file.close();
  }],
  ["setAttributes() sets times to the nanosecond", async (w) => {
    await w.file("f");
    await w.root.symlink("l", "f", 0, w.by);
    await w.root.mknod("fifo", S_IFIFO | 0o644, 0, 0, 0, w.by);
    for (const name of ["f", "l", "fifo"]) {
      const node = await w.root.walk(name, w.by);
      await node.setAttributes({
        atime: { sec: 1_000_000n, nsec: 123_456_789 },
        mtime: { sec: 2_000_000_000n, nsec: 999_999_999 },
      }, w.by);
      const a = await node.attributes(w.by);
      assert.deepEqual([a.atimeSec, a.atimeNsec], [1_000_000n, 123_456_789]);
      assert.deepEqual([a.mtimeSec, a.mtimeNsec], [2_000_000_000n, 999_999_999]);
      await node.setAttributes({ mtime: { sec: 5n, nsec: 6 } }, w.by);
      const b = await node.attributes(w.by);
      assert.deepEqual([b.atimeSec, b.atimeNsec], [1_000_000n, 123_456_789]);
      assert.deepEqual([b.mtimeSec, b.mtimeNsec], [5n, 6]);
      node.release();
    }
  }],
  ["setAttributes() sets times to now, by the tree's clock", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    const before = await node.attributes(w.by);
    await node.setAttributes({
      atime: { sec: 1n, nsec: 0 },
      mtime: { sec: 1n, nsec: 0 },
    }, w.by);
    await node.setAttributes({ mtime: "now" }, w.by);
    let after = await node.attributes(w.by);
    assert.ok(after.mtimeSec >= before.mtimeSec);
    assert.equal(after.atimeSec, 1n);
    await node.setAttributes({ atime: "now" }, w.by);
    after = await node.attributes(w.by);
    assert.ok(after.atimeSec >= before.mtimeSec);
    node.release();
  }],
  ["setAttributes() with nothing to change succeeds", async (w) => {
    await w.file("f", "content");
    const node = await w.root.walk("f", w.by);
    const before = await node.attributes(w.by);
    await node.setAttributes({}, w.by);
    const after = await node.attributes(w.by);
    assert.deepEqual(
      [after.mode, after.size, after.mtimeSec, after.mtimeNsec],
      [before.mode, before.size, before.mtimeSec, before.mtimeNsec],
    );
    node.release();
  }],
  ["attributes() counts the names of folders", async (w) => {
    const before = await w.root.attributes(w.by);
    assert.equal(before.mode & S_IFMT, S_IFDIR);
    await w.root.mkdir("d", 0o755, 0, w.by);
    assert.equal((await w.root.attributes(w.by)).nlink, before.nlink + 1);
    await w.root.unlink("d", true, w.by);
    assert.equal((await w.root.attributes(w.by)).nlink, before.nlink);
  }],
  ["statfs() tells of a file system", async (w) => {
    const s = await w.root.statfs(w.by);
    assert.ok(s.bsize > 0);
    assert.ok(s.blocks >= s.bfree && s.bfree >= s.bavail);
    assert.equal(s.namelen, 255);
  }],
];

const LISTS: Case[] = [
  ["readdir() lists everything with its type and qid", async (w) => {
    await w.file("f");
    await w.root.mkdir("d", 0o755, 0, w.by);
    await w.root.symlink("l", "x", 0, w.by);
    const file = await w.root.open(O_RDONLY, w.by);
    const sink = new ListSink();
    await file.readdir(0n, sink);
    const found = new Map(sink.entries.map((entry) => [entry.name, entry]));
    assert.deepEqual([...found.keys()].sort(), [".", "..", "d", "f", "l"]);
    for (
      const [name, qidType, type] of [
        ["f", QTFILE, DT_REG],
        ["d", QTDIR, DT_DIR],
        ["l", QTSYMLINK, DT_LNK],
        [".", QTDIR, DT_DIR],
        ["..", QTDIR, DT_DIR],
      ] as const
    ) {
      const isVague = w.can.vagueLists === true && found.get(name)?.type === DT_UNKNOWN;
      if (isVague) assert.notEqual(type, DT_DIR);
      else assert.equal(found.get(name)?.type, type);
      assert.equal(found.get(name)?.qidType, isVague ? QTFILE : qidType);
      assert.notEqual(found.get(name)?.next, 0n);
    }
    const node = await w.root.walk("f", w.by);
    assert.equal(found.get("f")?.path, node.qid.path);
    assert.equal(found.get(".")?.path, w.root.qid.path);
    // The parent of the root is the root: what is outside has no number here.
    assert.equal(found.get("..")?.path, w.root.qid.path);
    node.release();
    file.close();
  }],
  ["readdir() shows the folder and its parent as . and ..", async (w) => {
    const outer = await w.folder("outer");
    const inner = await w.folder("inner", outer);
    const file = await inner.open(O_RDONLY, w.by);
    const sink = new ListSink();
    await file.readdir(0n, sink);
    const path = (name: string) => sink.entries.find((entry) => entry.name === name)?.path;
    assert.equal(path("."), inner.qid.path);
    assert.equal(path(".."), outer.qid.path);
    file.close();
    outer.release();
    inner.release();
  }],
  ["readdir() goes on where it stopped, one entry at a time", async (w) => {
    const names = Array.from({ length: 40 }, (_, i) => `entry${i}`);
    for (const name of names) await w.file(name);
    for (const room of [1, 3, 7]) {
      const file = await w.root.open(O_RDONLY, w.by);
      const seen: string[] = [];
      let offset = 0n;
      for (let round = 0; round < 100; round++) {
        const sink = new ListSink(room);
        await file.readdir(offset, sink);
        const last = sink.entries.at(-1);
        if (last === undefined) break;
        seen.push(...sink.entries.map((entry) => entry.name));
        offset = last.next;
      }
      file.close();
      assert.deepEqual(seen.sort(), [".", "..", ...names].sort());
    }
  }],
  ["readdir() delivers an entry that did not fit again", async (w) => {
    for (const name of ["a", "b", "c"]) await w.file(name);
    const file = await w.root.open(O_RDONLY, w.by);
    const first = new ListSink(2);
    await file.readdir(0n, first);
    const offset = first.entries.at(-1)?.next ?? 0n;
    await file.readdir(offset, new ListSink(0));
    await file.readdir(offset, new ListSink(0));
    const rest = new ListSink();
    await file.readdir(offset, rest);
    const seen = [...first.entries, ...rest.entries].map((entry) => entry.name);
    assert.deepEqual(seen.sort(), [".", "..", "a", "b", "c"]);
    file.close();
  }],
  ["readdir() goes back to any earlier offset", async (w) => {
    for (let i = 0; i < 20; i++) await w.file(`entry${i}`);
    const file = await w.root.open(O_RDONLY, w.by);
    const all = new ListSink();
    await file.readdir(0n, all);
    for (const at of [5, 0, 12, 11, 20]) {
      const sink = new ListSink();
      await file.readdir(all.entries[at]?.next ?? 0n, sink);
      assert.deepEqual(
        sink.entries.map((entry) => entry.name),
        all.entries.slice(at + 1).map((entry) => entry.name),
      );
    }
    file.close();
  }],
  ["readdir() from 0 begins a fresh list", async (w) => {
    await w.file("a");
    const file = await w.root.open(O_RDONLY, w.by);
    const first = new ListSink();
    await file.readdir(0n, first);
    assert.equal(first.entries.length, 3);
    await w.file("b");
    await w.root.unlink("a", false, w.by);
    const second = new ListSink();
    await file.readdir(0n, second);
    assert.deepEqual(second.entries.map((entry) => entry.name).sort(), [".", "..", "b"]);
    file.close();
  }],
  ["readdir() neither repeats nor skips what stays while others come and go", async (w) => {
    for (let i = 0; i < 60; i++) await w.file(`stay${i}`);
    for (let i = 0; i < 60; i++) await w.file(`go${i}`);
    const file = await w.root.open(O_RDONLY, w.by);
    const seen = new Map<string, number>();
    let offset = 0n;
    for (let round = 0; round < 300; round++) {
      const sink = new ListSink(4);
      await file.readdir(offset, sink);
      const last = sink.entries.at(-1);
      if (last === undefined) break;
      for (const { name } of sink.entries) seen.set(name, (seen.get(name) ?? 0) + 1);
      offset = last.next;
      if (round < 60) {
        await w.root.unlink(`go${round}`, false, w.by);
        await w.file(`new${round}`);
      }
    }
    file.close();
    for (let i = 0; i < 60; i++) assert.equal(seen.get(`stay${i}`), 1, `stay${i}`);
    for (const [name, times] of seen) assert.equal(times, 1, name);
  }],
  ["readdir() while removing what was listed leaves an empty folder", async (w) => {
    const folder = await w.folder("d");
    for (let i = 0; i < 100; i++) await w.file(`entry${i}`, "", folder);
    const file = await folder.open(O_RDONLY, w.by);
    let offset = 0n;
    for (let round = 0; round < 100; round++) {
      const sink = new ListSink(9);
      await file.readdir(offset, sink);
      const last = sink.entries.at(-1);
      if (last === undefined) break;
      for (const { name } of sink.entries) {
        if (name !== "." && name !== "..") await folder.unlink(name, false, w.by);
      }
      offset = last.next;
    }
    file.close();
    assert.deepEqual(await w.list(folder), [".", ".."]);
    folder.release();
    await w.root.unlink("d", true, w.by);
  }],
  ["readdir() of a removed folder ends at once", async (w) => {
    const folder = await w.folder("d");
    const file = await folder.open(O_RDONLY, w.by);
    await w.root.unlink("d", true, w.by);
    const sink = new ListSink();
    await file.readdir(0n, sink);
    assert.deepEqual(sink.entries.filter(({ name }) => name !== "." && name !== ".."), []);
    file.close();
    folder.release();
  }],
];

const XATTRS: Case[] = [
  ["xattrs are set, read, listed and removed", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    const value = new Uint8Array([0, 1, 255]);
    await node.setXattr("user.one", value, 0, w.by);
    await node.setXattr("user.two", new Uint8Array(0), 0, w.by);
    const got = await node.getXattr("user.one", w.by);
    assert.deepEqual(got, value);
    got[0] = 99;
    assert.deepEqual(await node.getXattr("user.one", w.by), value);
    assert.deepEqual(await node.getXattr("user.two", w.by), new Uint8Array(0));
    const list = new TextDecoder().decode(await node.listXattr(w.by));
    assert.deepEqual(list.split("\0").sort(), ["", "user.one", "user.two"]);
    await node.removeXattr("user.one", w.by);
    await fails("ENODATA", () => node.getXattr("user.one", w.by));
    await fails("ENODATA", () => node.removeXattr("user.one", w.by));
    node.release();
    await w.root.setXattr("user.folder", value, 0, w.by);
    assert.deepEqual(await w.root.getXattr("user.folder", w.by), value);
  }],
  ["setXattr() obeys XATTR_CREATE and XATTR_REPLACE", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    const one = new Uint8Array([1]);
    const two = new Uint8Array([2, 2]);
    await fails("ENODATA", () => node.setXattr("user.x", one, XATTR_REPLACE, w.by));
    await node.setXattr("user.x", one, XATTR_CREATE, w.by);
    await fails("EEXIST", () => node.setXattr("user.x", two, XATTR_CREATE, w.by));
    await node.setXattr("user.x", two, XATTR_REPLACE, w.by);
    assert.deepEqual(await node.getXattr("user.x", w.by), two);
    await fails("EINVAL", () => node.setXattr("user.x", two, 4, w.by));
    node.release();
  }],
  ["setXattr() bounds values and names", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    await fails("E2BIG", () => node.setXattr("user.x", new Uint8Array(65_537), 0, w.by));
    const value = new Uint8Array(w.can.xattrBytes).fill(7);
    await node.setXattr("user.x", value, 0, w.by);
    assert.deepEqual(await node.getXattr("user.x", w.by), value);
    await fails("ERANGE", () => node.getXattr("user." + "x".repeat(251), w.by));
    await fails("ERANGE", () => node.setXattr("user." + "x".repeat(251), value, 0, w.by));
    const longest = "user." + "x".repeat(250);
    await node.removeXattr("user.x", w.by);
    await node.setXattr(longest, new Uint8Array(3), 0, w.by);
    assert.equal((await node.getXattr(longest, w.by)).length, 3);
    node.release();
  }],
  ["xattrs outside user.* are EOPNOTSUPP and not listed", async (w) => {
    await w.file("f");
    const node = await w.root.walk("f", w.by);
    for (const name of ["trusted.x", "security.x", "system.x", "nonsense"]) {
      await fails("EOPNOTSUPP", () => node.getXattr(name, w.by));
      await fails("EOPNOTSUPP", () => node.setXattr(name, new Uint8Array(1), 0, w.by));
      await fails("EOPNOTSUPP", () => node.removeXattr(name, w.by));
    }
    assert.equal((await node.listXattr(w.by)).length, 0);
    node.release();
  }],
  ["links and special files have no user.* xattrs", async (w) => {
    await w.root.symlink("l", "f", 0, w.by);
    await w.root.mknod("fifo", S_IFIFO | 0o666, 0, 0, 0, w.by);
    for (const name of ["l", "fifo"]) {
      const node = await w.root.walk(name, w.by);
      await fails("ENODATA", () => node.getXattr("user.x", w.by));
      await fails("EPERM", () => node.setXattr("user.x", new Uint8Array(1), 0, w.by));
      assert.equal((await node.listXattr(w.by)).length, 0);
      node.release();
    }
  }],
];

const LOCKS: Case[] = [
  ["lock() shares read locks and excludes write locks", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 1), owner(w.by, 2)];
    assert.equal(await file.lock(range("read", 0, 10), one, false), true);
    assert.equal(await file.lock(range("read", 5, 10), two, false), true);
    assert.equal(await file.lock(range("write", 0, 1), two, false), false);
    assert.equal(await file.lock(range("write", 12, 1), one, false), false);
    assert.equal(await file.lock(range("write", 100, 1), one, false), true);
    assert.equal(await file.lock(range("read", 100, 1), two, false), false);
    file.close();
    assert.equal(w.tree.usage().locks, 0);
  }],
  ["lock() tells owners apart by session, client and process", async (w) => {
    const mine = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const node = await w.root.walk("f", w.other);
    const theirs = await node.open(O_RDWR, w.other);
    node.release();
    assert.equal(await mine.lock(range("write", 0, 0), owner(w.by, 1), false), true);
    assert.equal(await theirs.lock(range("write", 0, 0), owner(w.other, 1), false), false);
    assert.equal(await mine.lock(range("write", 0, 0), owner(w.by, 1, "b"), false), false);
    assert.equal(await mine.lock(range("write", 0, 0), owner(w.by, 2), false), false);
    assert.equal(await mine.lock(range("read", 0, 0), owner(w.by, 1), false), true);
    assert.equal(await theirs.lock(range("read", 0, 0), owner(w.other, 1), false), true);
    mine.close();
    assert.equal(await theirs.lock(range("write", 0, 0), owner(w.other, 1), false), true);
    theirs.close();
    assert.equal(w.tree.usage().locks, 0);
  }],
  [
    "lock() works on a file opened for reading, and on a folder's file without writing",
    async (w) => {
      await w.file("f", "content", w.root, 0o444);
      const node = await w.root.walk("f", w.by);
      const file = await node.open(O_RDONLY, w.by);
      node.release();
      // v9fs sends flock(LOCK_EX) as a write lock whatever the file was opened for.
      assert.equal(await file.lock(range("write", 0, 0), owner(w.by, 1), false), true);
      assert.equal(await file.lock(range("write", 0, 0), owner(w.by, 2), false), false);
      file.close();
    },
  ],
  ["lock() unlocks part of a range", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 1), owner(w.by, 2)];
    await file.lock(range("write", 0, 30), one, false);
    assert.equal(await file.lock(range("unlock", 10, 10), one, false), true);
    assert.equal(await file.lock(range("write", 10, 10), two, false), true);
    assert.equal(await file.lock(range("write", 9, 1), two, false), false);
    assert.equal(await file.lock(range("write", 20, 1), two, false), false);
    assert.equal(await file.lock(range("unlock", 0, 0), one, false), true);
    assert.equal(await file.lock(range("write", 0, 0), two, false), true);
    assert.equal(await file.lock(range("unlock", 0, 0), two, false), true);
    assert.equal(w.tree.usage().locks, 0);
    file.close();
  }],
  ["lock() upgrades, downgrades and merges", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 1), owner(w.by, 2)];
    await file.lock(range("read", 0, 10), one, false);
    await file.lock(range("read", 10, 10), one, false);
    assert.deepEqual(await file.testLock(range("write", 15, 1), two), {
      type: "read",
      start: 0n,
      length: 20n,
      client: "client",
      process: 1,
    });
    assert.equal(await file.lock(range("write", 0, 20), one, false), true);
    assert.equal(await file.lock(range("read", 3, 1), two, false), false);
    assert.equal(await file.lock(range("read", 3, 1), one, false), true);
    assert.equal(await file.lock(range("read", 3, 1), two, false), true);
    assert.equal(await file.lock(range("write", 3, 1), one, false), false);
    file.close();
  }],
  ["testLock() tells who is in the way", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 11, "alpha"), owner(w.by, 22, "beta")];
    assert.equal(await file.testLock(range("write", 0, 0), one), null);
    await file.lock(range("write", 5, 0), one, false);
    assert.equal(await file.testLock(range("write", 0, 0), one), null);
    assert.equal(await file.testLock(range("read", 0, 5), two), null);
    assert.deepEqual(await file.testLock(range("read", 0, 6), two), {
      type: "write",
      start: 5n,
      length: 0n,
      client: "alpha",
      process: 11,
    });
    file.close();
  }],
  ["lock() refuses ranges that do not exist", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const one = owner(w.by, 1);
    const last = (1n << 63n) - 1n;
    await fails(
      "EINVAL",
      () => file.lock({ type: "read", start: last + 1n, length: 1n }, one, false),
    );
    await fails(
      "EOVERFLOW",
      () => file.lock({ type: "read", start: last, length: 2n }, one, false),
    );
    assert.equal(await file.lock({ type: "write", start: last, length: 1n }, one, false), true);
    file.close();
  }],
  ["lock() waits until the other unlocks", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 1), owner(w.by, 2)];
    await file.lock(range("write", 0, 0), one, false);
    let granted = false;
    const waiting = Promise.resolve(file.lock(range("write", 0, 0), two, true)).then((held) => {
      granted = held;
    });
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(granted, false);
    await file.lock(range("unlock", 0, 0), one, false);
    await waiting;
    assert.equal(granted, true);
    assert.equal(await file.lock(range("read", 0, 1), one, false), false);
    file.close();
  }],
  ["lock() stops waiting with EINTR when it is aborted", async (w) => {
    const file = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const [one, two] = [owner(w.by, 1), owner(w.by, 2)];
    await file.lock(range("write", 0, 0), one, false);
    const abort = new AbortController();
    const waiting = fails(
      "EINTR",
      () => file.lock(range("write", 0, 0), two, true, abort.signal),
    );
    abort.abort();
    await waiting;
    assert.equal(w.tree.usage().locks, 1);
    await file.lock(range("unlock", 0, 0), one, false);
    assert.equal(await file.lock(range("write", 0, 0), two, false), true);
    file.close();
  }],
  ["close() of the last file of a session ends its locks on that node only", async (w) => {
    const a = await w.root.create("a", O_RDWR, 0o644, 0, w.by);
    const a2 = await a.node.open(O_RDONLY, w.by);
    const b = await w.root.create("b", O_RDWR, 0o644, 0, w.by);
    const other = await a.node.open(O_RDWR, w.other);
    await a.lock(range("write", 0, 0), owner(w.by, 1), false);
    await b.lock(range("write", 0, 0), owner(w.by, 1), false);
    a.close();
    assert.equal(await other.lock(range("read", 0, 0), owner(w.other, 1), false), false);
    const granted = other.lock(range("read", 0, 0), owner(w.other, 1), true);
    a2.close();
    assert.equal(await granted, true);
    assert.notEqual(await b.testLock(range("read", 0, 0), owner(w.by, 2)), null);
    other.close();
    b.close();
    assert.equal(w.tree.usage().locks, 0);
  }],
  ["endSession() ends locks held and waited for", async (w) => {
    const mine = await w.root.create("f", O_RDWR, 0o644, 0, w.by);
    const theirs = await mine.node.open(O_RDWR, w.other);
    await mine.lock(range("write", 0, 10), owner(w.by, 1), false);
    await theirs.lock(range("write", 20, 10), owner(w.other, 1), false);
    const lost = fails(
      "EINTR",
      () => mine.lock(range("write", 20, 1), owner(w.by, 1), true),
    );
    const won = theirs.lock(range("write", 0, 1), owner(w.other, 1), true);
    w.tree.endSession(w.by.session);
    await lost;
    assert.equal(await won, true);
    mine.close();
    theirs.close();
    assert.equal(w.tree.usage().locks, 0);
  }],
];

/**
 * Registers one test per rule.
 *
 * @param name What the tests are called, such as `MemoryTree`.
 * @param make Makes an empty tree; called once per test.
 * @param can What this kind of tree is able to do.
 * @param except Rules that this kind of tree cannot follow, and why: they are not registered.
 * @throws {RangeError} If there is no such rule.
 */
export function treeConformance(
  name: string,
  make: () => TreeUnderTest | Promise<TreeUnderTest>,
  can: TreeCapabilities,
  except: ReadonlyMap<string, string> = new Map(),
): void {
  const cases = [NAMES, MAKING, REMOVING, RENAMING, CONTENT, ATTRIBUTES, LISTS, LOCKS].flat();
  if (can.xattrs) cases.push(...XATTRS);
  for (const what of except.keys()) {
    if (!cases.some(([known]) => known === what)) {
      throw new RangeError(`Cannot leave out "${what}": there is no such rule`);
    }
  }
  for (const [what, run] of cases.filter(([what]) => !except.has(what))) {
    Deno.test(`${name}: ${what}`, async () => {
      const { tree, dispose } = await make();
      try {
        const root = await tree.attach({ uid: 0, uname: "root", session: {} });
        const before = tree.usage();
        await run(new World(can, tree, root));
        assert.deepEqual(tree.usage(), before, "something was not given back");
        root.release();
        assert.deepEqual(tree.usage(), { nodes: before.nodes - 1, files: 0, locks: 0 });
      } finally {
        tree.close();
        await dispose();
      }
    });
  }
}
