/**
 * A tree in memory: every request has the same answer on every machine.
 *
 * @module
 */
import { errno, O_RDWR, O_TRUNC, S_IFDIR } from "../p9/mod.ts";
import { MemoryNode } from "./memory_node.ts";
import type { MemoryShared } from "./memory_node.ts";
import { segmentsOf } from "./segments_of.ts";
import type { Identity, Tree } from "./tree.ts";

/** How a {@linkcode MemoryTree} is made. */
export interface MemoryTreeOptions {
  /**
   * Nanoseconds since 1970. By default a clock that begins on 9 September 2001 and moves on by one
   * millisecond whenever it is read, so that the same requests give the same times.
   */
  readonly now?: () => bigint;
  /** Most bytes of content and attributes; more is ENOSPC. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Most files and folders; more is ENOSPC. Default 1,048,576. */
  readonly maxFiles?: number;
  /** Whether `qid.version` counts changes. By default it is 0, which Linux takes for "never cache". */
  readonly versions?: boolean;
  /** Whether requests of a session are carried out in order. Default true. */
  readonly inOrder?: boolean;
}

/** What {@linkcode MemoryTree.seeded} puts into a tree. */
export interface SeededOptions extends MemoryTreeOptions {
  /** Same seed, same tree. Default 1. */
  readonly seed?: number;
  /** Number of regular files. Default 16. */
  readonly files?: number;
  /** Number of folders among which they are spread, besides the root. Default 4. */
  readonly folders?: number;
  /** Number of symbolic links. Default 2. */
  readonly links?: number;
  /** Largest file in bytes. Default 16,384. */
  readonly maxFileBytes?: number;
}

/** 9 September 2001, 01:46:40 UTC. */
const BEGIN = 1_000_000_000_000_000_000n;
const TICK = 1_000_000n;

/**
 * Files, folders and links in memory.
 *
 * Permissions are stored but not checked: that is what a server does for a client that checks them
 * itself. Reading leaves the time of last read alone.
 *
 * @example A file that a client can read
 * ```ts
 * import assert from "node:assert/strict";
 * import { MemoryTree } from "@virtfs/virtfs/fs";
 *
 * const tree = new MemoryTree();
 * tree.addFile("docs/hello.txt", "hello");
 * assert.equal(tree.usage().nodes, 0);
 * ```
 */
export class MemoryTree implements Tree {
  /** Answers are there at once. */
  readonly needsEventLoop = false;
  /** See {@linkcode MemoryTreeOptions.inOrder}. */
  readonly inOrder: boolean;
  readonly #shared: MemoryShared;
  readonly #root: MemoryNode;
  readonly #maker: Identity = { uid: 0, uname: "", session: {} };

  /** Makes a tree that is empty but for its root. */
  constructor(options: MemoryTreeOptions = {}) {
    this.inOrder = options.inOrder ?? true;
    let time = BEGIN - TICK;
    this.#shared = {
      budget: { used: 0, limit: options.maxBytes ?? 2 ** 30 },
      maxFiles: options.maxFiles ?? 2 ** 20,
      versions: options.versions ?? false,
      now: options.now ?? (() => time += TICK),
      nextInode: 1n,
      inodes: 0,
      nodes: 0,
      files: 0,
      locked: new Set(),
    };
    this.#root = new MemoryNode(this.#shared, S_IFDIR | 0o755, 0, 0);
  }

  /** Makes a tree with contents that depend on the seed alone. */
  static seeded(options: SeededOptions = {}): MemoryTree {
    const tree = new MemoryTree(options);
    const random = randomFrom(options.seed ?? 1);
    const folders = [""];
    for (let i = 0; i < (options.folders ?? 4); i++) {
      const path = `${folders[random() % folders.length]}folder${i}/`;
      tree.addFolder(path);
      folders.push(path);
    }
    const files: string[] = [];
    const most = options.maxFileBytes ?? 16_384;
    for (let i = 0; i < (options.files ?? 16); i++) {
      const path = `${folders[random() % folders.length]}file${i}`;
      const bytes = new Uint8Array(random() % (most + 1));
      for (let at = 0; at < bytes.length; at++) bytes[at] = random() & 0xff;
      tree.addFile(path, bytes);
      files.push(path);
    }
    for (let i = 0; i < (options.links ?? 2); i++) {
      const target = files.length === 0 ? "missing" : files[random() % files.length];
      tree.addLink(`${folders[random() % folders.length]}link${i}`, `/${target}`);
    }
    return tree;
  }

  /** The root. */
  attach(_by: Identity): MemoryNode {
    return this.#root.hold();
  }

  /** Ends the locks of a session. */
  endSession(session: object): void {
    for (const node of [...this.#shared.locked]) node.endLocks(session);
  }

  /** What is alive. */
  usage(): { readonly nodes: number; readonly files: number; readonly locks: number } {
    let locks = 0;
    for (const node of this.#shared.locked) locks += node.lockCount;
    return { nodes: this.#shared.nodes, files: this.#shared.files, locks };
  }

  /** Ends all locks; there is nothing else to give back. */
  close(): void {
    for (const node of [...this.#shared.locked]) node.endAllLocks();
  }

  /**
   * Adds a regular file, and the folders on the way to it.
   *
   * @param path Names with slashes between them, such as `a/b.txt`.
   */
  addFile(path: string, content: Uint8Array | string, mode = 0o644): void {
    const { folder, name } = this.#place(path);
    const file = folder.create(name, O_RDWR | O_TRUNC, mode, 0, this.#maker);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    file.write(segmentsOf(bytes), 0n);
    file.close();
  }

  /** Adds a folder, and those on the way to it. One that is there stays as it is. */
  addFolder(path: string, mode = 0o755): void {
    const { folder, name } = this.#place(path);
    if (folder.entry(name) === undefined) folder.mkdir(name, mode, 0, this.#maker);
  }

  /** Adds a symbolic link, and the folders on the way to it. */
  addLink(path: string, target: string): void {
    const { folder, name } = this.#place(path);
    folder.symlink(name, target, 0, this.#maker);
  }

  /** The folder that a path leads to, made where it is missing, and the last name. */
  #place(path: string): { readonly folder: MemoryNode; readonly name: string } {
    const names = path.split("/").filter((name) => name !== "");
    const last = names.pop();
    if (last === undefined || [...names, last].some((name) => name === "." || name === "..")) {
      throw errno("EINVAL");
    }
    let folder = this.#root;
    for (const name of names) {
      if (folder.entry(name) === undefined) folder.mkdir(name, 0o755, 0, this.#maker);
      folder = folder.entry(name)?.node ?? folder;
    }
    return { folder, name: last };
  }
}

/** Numbers of 32 bits that depend on the seed alone (Marsaglia's xorshift on a mixed seed). */
function randomFrom(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ 0x6a09_e667) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
