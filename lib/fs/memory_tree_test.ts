import assert from "node:assert/strict";
import { Errno, errnoName, O_RDONLY, O_RDWR, Segments } from "../p9/mod.ts";
import { treeConformance } from "./conformance.ts";
import type { TreeCapabilities } from "./conformance.ts";
import { HeldTree } from "./held_tree.ts";
import { MemoryTree } from "./memory_tree.ts";
import { segmentsOf } from "./segments_of.ts";
import type { Identity } from "./tree.ts";

const ALL: TreeCapabilities = {
  ownership: true,
  devices: true,
  xattrs: true,
  xattrBytes: 65_536,
  anyBytes: true,
};

treeConformance(
  "MemoryTree",
  () => ({ tree: new MemoryTree({ maxBytes: 1 << 24 }), dispose() {} }),
  ALL,
);
treeConformance(
  "HeldTree over MemoryTree",
  () => ({ tree: new HeldTree(new MemoryTree()), dispose() {} }),
  ALL,
);

const by: Identity = { uid: 1000, uname: "user", session: {} };

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Errno) return errnoName(error.code) ?? "unknown";
    throw error;
  }
  return "none";
}

Deno.test("MemoryTree.seeded() gives the same tree for the same seed", () => {
  const describe = (seed: number) => {
    const tree = MemoryTree.seeded({ seed, files: 20, folders: 5 });
    const lines: string[] = [];
    const visit = (path: string, node: ReturnType<MemoryTree["attach"]>) => {
      const names: string[] = [];
      const file = node.open(O_RDONLY, by);
      file.readdir(0n, {
        add: (_type, _path, _next, _kind, name) => names.push(name) > 0,
        addBytes: () => true,
      });
      file.close();
      for (const name of names) {
        if (name === "." || name === "..") continue;
        const child = node.walk(name, by);
        const a = child.attributes(by);
        lines.push(`${path}/${name} ${a.qid.path} ${a.mode} ${a.size} ${a.mtimeSec}`);
        if (a.qid.type === 0x80) visit(`${path}/${name}`, child);
        child.release();
      }
      node.hold().release();
    };
    const root = tree.attach(by);
    visit("", root);
    root.release();
    return lines;
  };
  assert.deepEqual(describe(7), describe(7));
  assert.notDeepEqual(describe(7), describe(8));
  assert.equal(describe(7).length, 27);
});

Deno.test("MemoryTree gives the root qid 80.0.1 and owners from the identity", () => {
  const tree = new MemoryTree();
  const root = tree.attach(by);
  assert.deepEqual(root.qid, { type: 0x80, version: 0, path: 1n });
  const file = root.create("f", O_RDWR, 0o644, 50, by);
  const { uid, gid } = file.node.attributes(by);
  assert.deepEqual([uid, gid], [1000, 50]);
  file.close();
  root.release();
});

Deno.test("MemoryTree counts versions when asked", () => {
  const tree = new MemoryTree({ versions: true });
  tree.addFile("f", "");
  const root = tree.attach(by);
  const node = root.walk("f", by);
  const before = node.qid.version;
  assert.ok(before > 0);
  const file = node.open(O_RDWR, by);
  file.write(segmentsOf(new Uint8Array(3)), 0n);
  assert.ok(node.qid.version > before);
  file.close();
  node.release();
  root.release();
});

Deno.test("MemoryTree answers ENOSPC when its room is used up, and gives room back", () => {
  const tree = new MemoryTree({ maxBytes: 100_000, maxFiles: 3 });
  const root = tree.attach(by);
  const file = root.create("f", O_RDWR, 0o644, 0, by);
  assert.equal(file.write(segmentsOf(new Uint8Array(200_000)), 0n), 65_536);
  assert.equal(codeOf(() => file.write(segmentsOf(new Uint8Array(65_536)), 65_536n)), "ENOSPC");
  assert.equal(root.statfs(by).bfree, BigInt(Math.floor((100_000 - 65_536) / 4096)));
  root.unlink("f", false, by);
  assert.equal(root.statfs(by).bfree, BigInt(Math.floor((100_000 - 65_536) / 4096)));
  file.close();
  assert.equal(root.statfs(by).bfree, root.statfs(by).blocks);
  root.mkdir("a", 0o755, 0, by);
  root.mkdir("b", 0o755, 0, by);
  assert.equal(codeOf(() => root.mkdir("c", 0o755, 0, by)), "ENOSPC");
  root.release();
});

Deno.test("MemoryTree refuses to release what nobody holds", () => {
  const tree = new MemoryTree();
  const root = tree.attach(by);
  root.release();
  assert.throws(() => root.release(), RangeError);
});

Deno.test("MemoryTree.addFile() makes the folders on the way", () => {
  const tree = new MemoryTree();
  tree.addFile("a/b/c.txt", "hello");
  tree.addLink("a/link", "b/c.txt");
  tree.addFolder("a/b");
  const root = tree.attach(by);
  const a = root.walk("a", by);
  const link = a.walk("link", by);
  assert.equal(link.readlink(by), "b/c.txt");
  const b = a.walk("b", by);
  const file = b.walk("c.txt", by);
  assert.equal(file.attributes(by).size, 5n);
  for (const node of [file, b, link, a, root]) node.release();
  assert.deepEqual(tree.usage(), { nodes: 0, files: 0, locks: 0 });
});

Deno.test("HeldTree keeps an operation back until it is released", async () => {
  const memory = new MemoryTree();
  memory.addFile("f", "hello");
  const tree = new HeldTree(memory);
  const root = await tree.attach(by);
  const node = await root.walk("f", by);
  const file = await node.open(O_RDONLY, by);
  tree.hold("read");
  const bytes = new Uint8Array(5);
  const segments = new Segments();
  segments.add({ bytes, address: 0 }, 0, 5);
  const answers: number[] = [];
  const one = Promise.resolve(file.read(segments, 0n)).then((n) => answers.push(n));
  const two = Promise.resolve(file.read(segments, 3n)).then((n) => answers.push(n));
  await Promise.resolve();
  assert.deepEqual(answers, []);
  assert.equal(bytes[0], 0);
  assert.equal(tree.waiting(), 2);
  assert.equal(tree.releaseOne("read"), true);
  await one;
  assert.deepEqual(answers, [5]);
  assert.equal(tree.waiting("read"), 1);
  assert.equal(tree.release("read"), 1);
  await two;
  assert.deepEqual(answers, [5, 2]);
  assert.equal(file.read(segments, 0n), 5);
  file.close();
  node.release();
  root.release();
});
