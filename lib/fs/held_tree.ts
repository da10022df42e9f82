/**
 * A tree whose operations answer when a test says so.
 *
 * @module
 */
import type { Qid, Segments } from "../p9/mod.ts";
import type {
  Answer,
  Attributes,
  Changes,
  DirectorySink,
  FileSystemStatistics,
  Identity,
  LockConflict,
  LockOwner,
  LockRange,
  Node,
  OpenFile,
  Tree,
} from "./tree.ts";

/** Names of the operations that can be held: the methods of trees, nodes and open files that answer. */
export const HELD_OPERATIONS = [
  "attach",
  "walk",
  "parent",
  "attributes",
  "setAttributes",
  "open",
  "create",
  "mkdir",
  "symlink",
  "mknod",
  "link",
  "unlink",
  "rename",
  "move",
  "remove",
  "readlink",
  "statfs",
  "getXattr",
  "listXattr",
  "setXattr",
  "removeXattr",
  "read",
  "write",
  "readdir",
  "sync",
  "lock",
  "testLock",
] as const;

/** An operation that can be held. */
export type HeldOperation = typeof HELD_OPERATIONS[number];

/** Shared by the wrappers of one tree. */
class Gate {
  readonly held: Set<string> = new Set();
  readonly waiting: { readonly operation: string; readonly run: () => void }[] = [];
  readonly #nodes: WeakMap<Node, HeldNode> = new WeakMap();
  readonly #inner: WeakMap<Node, Node> = new WeakMap();

  /** Runs at once, or when the operation is released. */
  pass<T>(operation: HeldOperation, run: () => Answer<T>): Answer<T> {
    if (!this.held.has(operation)) return run();
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({
        operation,
        run: () => {
          try {
            resolve(run());
          } catch (error) {
            reject(error);
          }
        },
      });
    });
  }

  wrap(node: Node): HeldNode {
    const known = this.#nodes.get(node);
    if (known !== undefined) return known;
    const made = new HeldNode(node, this);
    this.#nodes.set(node, made);
    this.#inner.set(made, node);
    return made;
  }

  unwrap(node: Node): Node {
    return this.#inner.get(node) ?? node;
  }
}

/**
 * Passes everything on to another tree, but keeps back what a test wants to see in flight: an
 * operation that is held begins when it is released.
 *
 * @example A read in flight
 * ```ts
 * import assert from "node:assert/strict";
 * import { HeldTree, MemoryTree } from "@virtfs/virtfs/fs";
 *
 * const tree = new HeldTree(new MemoryTree());
 * tree.hold("attach");
 * const root = tree.attach({ uid: 0, uname: "", session: {} });
 * assert.equal(tree.waiting("attach"), 1);
 * tree.release("attach");
 * (await root).release();
 * ```
 */
export class HeldTree implements Tree {
  /** Answers come when the event loop runs. */
  readonly needsEventLoop = true;
  /** As the tree behind it. */
  readonly inOrder: boolean;
  readonly #inner: Tree;
  readonly #gate: Gate = new Gate();

  /** Puts itself in front of `inner`, which is owned from here on. */
  constructor(inner: Tree, options: { readonly inOrder?: boolean } = {}) {
    this.#inner = inner;
    this.inOrder = options.inOrder ?? inner.inOrder;
  }

  /** Keeps back every `operation` that begins from now on. */
  hold(operation: HeldOperation): void {
    this.#gate.held.add(operation);
  }

  /** Lets all waiting ones of `operation` begin, in order, and those that come later. Returns how many waited. */
  release(operation: HeldOperation): number {
    this.#gate.held.delete(operation);
    const { waiting } = this.#gate;
    let released = 0;
    for (let i = 0; i < waiting.length;) {
      const one = waiting[i];
      if (one?.operation !== operation) {
        i++;
        continue;
      }
      waiting.splice(i, 1);
      one.run();
      released++;
    }
    return released;
  }

  /** Lets only the first waiting one of `operation` begin. Returns whether there was one. */
  releaseOne(operation: HeldOperation): boolean {
    const at = this.#gate.waiting.findIndex((one) => one.operation === operation);
    const [one] = at < 0 ? [] : this.#gate.waiting.splice(at, 1);
    one?.run();
    return one !== undefined;
  }

  /** Number of operations that wait to be released. */
  waiting(operation?: HeldOperation): number {
    if (operation === undefined) return this.#gate.waiting.length;
    return this.#gate.waiting.filter((one) => one.operation === operation).length;
  }

  /** The root. */
  attach(by: Identity): Answer<Node> {
    return wrapAnswer(this.#gate, this.#gate.pass("attach", () => this.#inner.attach(by)));
  }

  /** Passed on. */
  endSession(session: object): void {
    this.#inner.endSession(session);
  }

  /** Of the tree behind it. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number } {
    return this.#inner.usage();
  }

  /** Closes the tree behind it. */
  close(): void {
    this.#inner.close();
  }
}

class HeldNode implements Node {
  readonly #inner: Node;
  readonly #gate: Gate;

  constructor(inner: Node, gate: Gate) {
    this.#inner = inner;
    this.#gate = gate;
  }

  get qid(): Qid {
    return this.#inner.qid;
  }

  get name(): string {
    return this.#inner.name;
  }

  hold(): this {
    this.#inner.hold();
    return this;
  }

  release(): Answer<void> {
    return this.#inner.release();
  }

  walk(name: string, by: Identity): Answer<Node> {
    return wrapAnswer(this.#gate, this.#gate.pass("walk", () => this.#inner.walk(name, by)));
  }

  parent(by: Identity): Answer<Node> {
    return wrapAnswer(this.#gate, this.#gate.pass("parent", () => this.#inner.parent(by)));
  }

  attributes(by: Identity): Answer<Attributes> {
    return this.#gate.pass("attributes", () => this.#inner.attributes(by));
  }

  setAttributes(changes: Changes, by: Identity, file?: OpenFile): Answer<void> {
    const inner = file instanceof HeldFile ? file.inner : file;
    return this.#gate.pass("setAttributes", () => this.#inner.setAttributes(changes, by, inner));
  }

  open(flags: number, by: Identity): Answer<OpenFile> {
    return openAnswer(this.#gate, this.#gate.pass("open", () => this.#inner.open(flags, by)));
  }

  create(
    name: string,
    flags: number,
    mode: number,
    gid: number,
    by: Identity,
  ): Answer<OpenFile> {
    const run = () => this.#inner.create(name, flags, mode, gid, by);
    return openAnswer(this.#gate, this.#gate.pass("create", run));
  }

  mkdir(name: string, mode: number, gid: number, by: Identity): Answer<Qid> {
    return this.#gate.pass("mkdir", () => this.#inner.mkdir(name, mode, gid, by));
  }

  symlink(name: string, target: string, gid: number, by: Identity): Answer<Qid> {
    return this.#gate.pass("symlink", () => this.#inner.symlink(name, target, gid, by));
  }

  mknod(
    name: string,
    mode: number,
    major: number,
    minor: number,
    gid: number,
    by: Identity,
  ): Answer<Qid> {
    return this.#gate.pass("mknod", () => this.#inner.mknod(name, mode, major, minor, gid, by));
  }

  link(name: string, target: Node, by: Identity): Answer<void> {
    return this.#gate.pass("link", () => this.#inner.link(name, this.#gate.unwrap(target), by));
  }

  unlink(name: string, directory: boolean, by: Identity): Answer<void> {
    return this.#gate.pass("unlink", () => this.#inner.unlink(name, directory, by));
  }

  rename(name: string, to: Node, newName: string, by: Identity): Answer<void> {
    const run = () => this.#inner.rename(name, this.#gate.unwrap(to), newName, by);
    return this.#gate.pass("rename", run);
  }

  move(to: Node, newName: string, by: Identity): Answer<void> {
    return this.#gate.pass("move", () => this.#inner.move(this.#gate.unwrap(to), newName, by));
  }

  remove(by: Identity): Answer<void> {
    return this.#gate.pass("remove", () => this.#inner.remove(by));
  }

  readlink(by: Identity): Answer<string> {
    return this.#gate.pass("readlink", () => this.#inner.readlink(by));
  }

  statfs(by: Identity): Answer<FileSystemStatistics> {
    return this.#gate.pass("statfs", () => this.#inner.statfs(by));
  }

  getXattr(name: string, by: Identity): Answer<Uint8Array> {
    return this.#gate.pass("getXattr", () => this.#inner.getXattr(name, by));
  }

  listXattr(by: Identity): Answer<Uint8Array> {
    return this.#gate.pass("listXattr", () => this.#inner.listXattr(by));
  }

  setXattr(name: string, value: Uint8Array, flags: number, by: Identity): Answer<void> {
    return this.#gate.pass("setXattr", () => this.#inner.setXattr(name, value, flags, by));
  }

  removeXattr(name: string, by: Identity): Answer<void> {
    return this.#gate.pass("removeXattr", () => this.#inner.removeXattr(name, by));
  }
}

class HeldFile implements OpenFile {
  readonly inner: OpenFile;
  readonly #gate: Gate;

  constructor(inner: OpenFile, gate: Gate) {
    this.inner = inner;
    this.#gate = gate;
  }

  get node(): Node {
    return this.#gate.wrap(this.inner.node);
  }

  read(into: Segments, offset: bigint): Answer<number> {
    return this.#gate.pass("read", () => this.inner.read(into, offset));
  }

  write(from: Segments, offset: bigint): Answer<number> {
    return this.#gate.pass("write", () => this.inner.write(from, offset));
  }

  readdir(offset: bigint, into: DirectorySink): Answer<void> {
    return this.#gate.pass("readdir", () => this.inner.readdir(offset, into));
  }

  sync(dataOnly: boolean): Answer<void> {
    return this.#gate.pass("sync", () => this.inner.sync(dataOnly));
  }

  lock(
    range: LockRange,
    owner: LockOwner,
    wait: boolean,
    signal?: AbortSignal,
  ): Answer<boolean> {
    return this.#gate.pass("lock", () => this.inner.lock(range, owner, wait, signal));
  }

  testLock(range: LockRange, owner: LockOwner): Answer<LockConflict | null> {
    return this.#gate.pass("testLock", () => this.inner.testLock(range, owner));
  }

  close(): Answer<void> {
    return this.inner.close();
  }
}

function wrapAnswer(gate: Gate, answer: Answer<Node>): Answer<Node> {
  return answer instanceof Promise ? answer.then((node) => gate.wrap(node)) : gate.wrap(answer);
}

function openAnswer(gate: Gate, answer: Answer<OpenFile>): Answer<OpenFile> {
  if (answer instanceof Promise) return answer.then((file) => new HeldFile(file, gate));
  return new HeldFile(answer, gate);
}
