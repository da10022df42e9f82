/**
 * Servers for golden conversations, each with the same files.
 *
 * @module
 */
import { type HeldOperation, HeldTree, MemoryTree, type Tree } from "../lib/fs/mod.ts";
import { Server } from "../lib/server/mod.ts";
import { type Channel, connectInMemory } from "../lib/transport/mod.ts";
import type { Script, Target } from "./scripts.ts";

/** Content of the file `pattern`: byte n is n mod 251. */
export const PATTERN: Uint8Array = Uint8Array.from({ length: 20_000 }, (_, i) => i % 251);

/** What every tree has, in the order of making. A path that ends with a slash is a folder. */
export const SEED: readonly (readonly [path: string, content: string | Uint8Array])[] = [
  ["hello.txt", "hello, world\n"],
  ["empty", ""],
  ["pattern", PATTERN],
  ["bare/", ""],
  ["folder/a.txt", "a\n"],
  ["folder/b.txt", "b\n"],
  ["folder/sub/c.txt", "c\n"],
  [`${Array.from({ length: 16 }, (_, i) => `d${i + 1}`).join("/")}/leaf`, "leaf\n"],
  ...Array.from({ length: 100 }, (_, i) => [`many/n${String(i).padStart(2, "0")}`, ""] as const),
];

/** Symbolic links: name and target. */
export const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["link", "hello.txt"],
  ["dangling", "nowhere"],
];

/** Files in memory that have what {@linkcode SEED} says. */
export function seededMemoryTree(): MemoryTree {
  const tree = new MemoryTree({ inOrder: false });
  for (const [path, content] of SEED) {
    if (path.endsWith("/")) tree.addFolder(path);
    else tree.addFile(path, content);
  }
  for (const [name, target] of LINKS) tree.addLink(name, target);
  return tree;
}

/** Fills a folder of the host with what {@linkcode SEED} says. */
export async function seedFolder(root: string): Promise<void> {
  for (const [path, content] of SEED) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    await Deno.mkdir(`${root}/${folder}`, { recursive: true, mode: 0o755 });
    if (path.endsWith("/")) continue;
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(`${root}/${path}`, bytes, { mode: 0o644 });
  }
  for (const [name, target] of LINKS) await Deno.symlink(target, `${root}/${name}`);
}

/** Numbers of options such as `msize=8192`. */
function number(script: Script, name: string): number | undefined {
  const value = script.serve.options.get(name);
  return value === undefined ? undefined : Number(value);
}

/** A server of this process over a tree, without any socket. */
class InProcess implements Target {
  readonly #held: HeldTree | undefined;
  readonly #tree: Tree;
  readonly #server: Server;
  readonly #cleanUp: () => Promise<void>;
  readonly #bugs: string[] = [];

  constructor(script: Script, inner: Tree, cleanUp: () => Promise<void>) {
    const { options } = script.serve;
    const inOrder = options.has("in-order");
    this.#held = script.holds ? new HeldTree(inner, { inOrder }) : undefined;
    this.#tree = this.#held ?? inner;
    this.#cleanUp = cleanUp;
    const limits = {
      msize: number(script, "msize"),
      maxFids: number(script, "max-fids"),
      maxInflight: number(script, "max-inflight"),
    };
    this.#server = new Server({
      exports: [{ name: "files", tree: this.#tree, readOnly: options.has("read-only") }],
      limits: Object.fromEntries(
        Object.entries(limits).filter(([, value]) => value !== undefined),
      ),
      disable: options.get("disable")?.split(",") ?? [],
      report: (error, what) => this.#bugs.push(`${what}: ${error}`),
    });
  }

  connect(): Channel {
    return connectInMemory(this.#server.accept);
  }

  hold(operation: string): void {
    this.#heldTree.hold(operation as HeldOperation);
  }

  release(operation: string): void {
    this.#heldTree.release(operation as HeldOperation);
  }

  waiting(operation: string): number {
    return this.#heldTree.waiting(operation as HeldOperation);
  }

  usage(): Readonly<Record<string, number>> {
    const { fids, inflight, sessions } = this.#server.counters;
    const { nodes, files, locks } = this.#tree.usage();
    const bugs = Object.fromEntries(this.#bugs.map((bug) => [`error of ours: ${bug}`, 1]));
    return { fids, inflight, sessions, nodes, files, locks, ...bugs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tree.close();
    await this.#cleanUp();
  }

  get #heldTree(): HeldTree {
    if (this.#held === undefined) throw new TypeError("Cannot hold: the script did not say hold");
    return this.#held;
  }
}

/** A way to make a server for a script. */
export interface TargetKind {
  /** What stands behind it, for the name of the test. */
  readonly name: string;
  /** Whether it can serve the script. */
  suits(script: Script): boolean;
  /** Makes it. */
  make(script: Script): Target | Promise<Target>;
}

/** Every kind of server that scripts are held with. */
export const TARGETS: readonly TargetKind[] = [
  {
    name: "memory",
    suits: ({ serve }) => serve.tree !== "host",
    make: (script) => new InProcess(script, seededMemoryTree(), () => Promise.resolve()),
  },
];
