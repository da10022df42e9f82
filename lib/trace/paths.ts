/**
 * Names of files as a conversation sees them: what a fid stands for, through renames and removals.
 *
 * A tree of those names only that a fid stands for, or leads to one. To rename a folder is to hang
 * one node elsewhere, however many fids there are below it.
 *
 * @module
 */

/** Longest chain of names that is followed: hostile captures nest without end. */
const MAX_DEPTH = 2048;
/** Longest path that is told, in UTF-16 code units. */
const MAX_PATH = 4096;

/** A name in a folder. */
export class PathNode {
  /** Name in the parent; of a root, what is put in front of its slash. */
  name: string;
  /** The folder; null for a root, and for what nobody knows the way to. */
  parent: PathNode | null;
  /** Whether the way to it is known. */
  isKnown = true;
  /** Whether the name was removed while it was in use. */
  isRemoved = false;
  /** Fids and nodes that hold this one. */
  holds = 0;
  /** Names below it; made for the first. */
  children: Map<string, PathNode> | null = null;
  /** The path at {@linkcode age}. */
  path = "";
  /** Which state of the tree the path is of. */
  age = -1;

  /** Not yet in its parent's children. */
  constructor(parent: PathNode | null, name: string) {
    this.parent = parent;
    this.name = name;
  }
}

/** The names of one session. */
export class Paths {
  readonly #roots = new Map<string, PathNode>();
  #age = 0;

  /** The root of a tree of the server; the first one has no name in front. */
  root(aname: string): PathNode {
    let root = this.#roots.get(aname);
    if (root === undefined) {
      root = new PathNode(null, this.#roots.size === 0 ? "" : aname);
      // Attaches without end must not cost memory without end: their roots are just not shared.
      if (this.#roots.size < MAX_DEPTH) this.#roots.set(aname, root);
    }
    root.holds++;
    return root;
  }

  /** What a walk by one name leads to. Held by the caller, who lets go of it in the end. */
  step(from: PathNode, name: string): PathNode {
    if (name === "..") return this.hold(from.parent ?? from);
    from.children ??= new Map();
    let node = from.children.get(name);
    if (node === undefined) {
      node = new PathNode(from, name);
      node.isKnown = from.isKnown;
      from.children.set(name, node);
      from.holds++;
    }
    node.holds++;
    return node;
  }

  /** What a walk leads to. Held by the caller, who lets go of it in the end. */
  walk(from: PathNode, names: readonly string[]): PathNode {
    let at = this.hold(from);
    for (const name of names) {
      const next = this.step(at, name);
      this.release(at);
      at = next;
    }
    return at;
  }

  /** Holds a node once more. */
  hold(node: PathNode): PathNode {
    node.holds++;
    return node;
  }

  /** Lets go of a node, and of what is in the tree for its sake alone. */
  release(node: PathNode): void {
    let at: PathNode | null = node;
    while (at !== null) {
      at.holds--;
      if (at.holds > 0 || at.parent === null) return;
      const parent: PathNode = at.parent;
      if (parent.children?.get(at.name) === at) parent.children.delete(at.name);
      at.parent = null;
      at = parent;
    }
  }

  /** A name is gone; who uses the file goes on to. */
  remove(folder: PathNode, name: string): void {
    const node = folder.children?.get(name);
    if (node === undefined) return;
    folder.children?.delete(name);
    node.isRemoved = true;
    this.#age++;
  }

  /** The node of a fid was removed by its fid. */
  removeNode(node: PathNode): void {
    if (node.parent !== null && !node.isRemoved) this.remove(node.parent, node.name);
  }

  /** A name is another now, in the same folder or another. */
  rename(from: PathNode, oldName: string, to: PathNode, newName: string): void {
    if (from === to && oldName === newName) return;
    const node = from.children?.get(oldName);
    if (node !== undefined) this.move(node, to, newName);
    else this.remove(to, newName);
  }

  /** A node has another name now. */
  move(node: PathNode, to: PathNode, name: string): void {
    const from = node.parent;
    if (from === null || (from === to && node.name === name)) return;
    this.remove(to, name);
    this.#age++;
    if (from.children?.get(node.name) === node) from.children.delete(node.name);
    if (!this.#isFree(node, to)) {
      // A folder inside itself: a server that allows it leaves nobody a path to tell.
      node.isKnown = false;
      return;
    }
    node.name = name;
    node.parent = to;
    node.isKnown = to.isKnown;
    node.isRemoved = false;
    to.children ??= new Map();
    to.children.set(name, node);
    to.holds++;
    this.release(from);
  }

  /** Whether a node may hang below another without a circle, or a chain too long to follow. */
  #isFree(node: PathNode, to: PathNode): boolean {
    let at: PathNode | null = to;
    for (let depth = 0; at !== null; depth++) {
      if (at === node || depth > MAX_DEPTH) return false;
      at = at.parent;
    }
    return true;
  }

  /** The path of a node; "" where nobody knows it. */
  pathOf(node: PathNode): string {
    if (node.age === this.#age) return node.path;
    const chain: PathNode[] = [];
    let at: PathNode | null = node;
    let path: string | undefined;
    let isKnown = true;
    while (at !== null && at.age !== this.#age && chain.length <= MAX_DEPTH) {
      chain.push(at);
      isKnown &&= at.isKnown;
      at = at.parent;
    }
    if (at !== null) {
      path = at.path;
      isKnown &&= at.age === this.#age && path !== "";
    }
    for (let i = chain.length - 1; i >= 0; i--) {
      const each = chain[i];
      if (each === undefined) break;
      if (!isKnown) path = "";
      else if (path === undefined) path = each.name === "" ? "/" : `${each.name}:/`;
      else path += path.endsWith("/") ? each.name : `/${each.name}`;
      if (each.isRemoved && isKnown) path += " (deleted)";
      if (path.length > MAX_PATH) {
        isKnown = false;
        path = "";
      }
      each.path = path;
      each.age = this.#age;
    }
    return node.path;
  }
}
