/**
 * What a tree costs per request, without protocol and transport.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  HostTree,
  mappedFileCredentials,
  mappedXattrCredentials,
  MemoryTree,
  noneCredentials,
} from "../lib/fs/mod.ts";
import type { DirectorySink, Identity, Tree } from "../lib/fs/mod.ts";
import { HostNode } from "../lib/fs/host_node.ts";
import { MappedMemory, umask } from "../lib/linux/mod.ts";
import { O_RDONLY, O_RDWR, O_TRUNC, Segments } from "../lib/p9/mod.ts";

umask(0);
const by: Identity = { uid: 0, uname: "root", session: {} };
const FOLDERS = ["/dev/shm", "/tmp"];
const memory = MappedMemory.anonymous(1 << 20);

/** Segments of `count` pieces with `size` bytes in all. */
function pieces(size: number, count: number): Segments {
  const segments = new Segments();
  for (let i = 0; i < count; i++) {
    segments.add(memory, i * 2 * (size / count) % (memory.bytes.length / 2), size / count);
  }
  return segments;
}

/** Counts entries. */
class CountingSink implements DirectorySink {
  count = 0;
  next = 0n;

  add(_qidType: number, _path: bigint, next: bigint): boolean {
    this.count++;
    this.next = next;
    return true;
  }

  addBytes(_qidType: number, _path: bigint, next: bigint): boolean {
    return this.add(0, 0n, next);
  }
}

/** The tree's answers, which are all there at once. */
function now<T>(answer: T | Promise<T>): T {
  assert.ok(!(answer instanceof Promise));
  return answer;
}

function measure(group: string, tree: Tree): void {
  const root = now(tree.attach(by));
  const file = now(root.create("file", O_RDWR | O_TRUNC, 0o644, 0, by));
  const whole = pieces(65_536, 1);
  memory.bytes.fill(7);
  assert.equal(now(file.write(whole, 0n)), 65_536);
  now(root.mkdir("folder", 0o755, 0, by));
  const folder = now(root.walk("folder", by));
  for (let i = 0; i < 100; i++) {
    now(folder.create(`entry${i}`, O_RDWR, 0o644, 0, by)).close();
  }
  const listed = now(folder.open(O_RDONLY, by));

  Deno.bench("attributes", { group }, () => {
    if (now(file.node.attributes(by)).size !== 65_536n) throw new Error("wrong size");
  });
  Deno.bench("walk and release", { group }, () => {
    now(folder.walk("entry7", by)).release();
  });
  Deno.bench("walk, open, close", { group }, () => {
    const node = now(folder.walk("entry7", by));
    now(node.open(O_RDONLY, by)).close();
    node.release();
  });
  for (const [size, count] of [[1, 1], [4096, 1], [65_536, 1], [65_536, 16]] as const) {
    const into = pieces(size, count);
    Deno.bench(`read ${size} bytes in ${count}`, { group }, () => {
      if (now(file.read(into, 0n)) !== size) throw new Error("short read");
    });
  }
  for (const [size, count] of [[4096, 1], [65_536, 16]] as const) {
    const from = pieces(size, count);
    Deno.bench(`write ${size} bytes in ${count}`, { group }, () => {
      if (now(file.write(from, 0n)) !== size) throw new Error("short write");
    });
  }
  Deno.bench("list 100 entries", { group }, () => {
    const sink = new CountingSink();
    now(listed.readdir(0n, sink));
    if (sink.count !== 102) throw new Error("wrong number of entries");
  });
  Deno.bench("create, close, unlink", { group }, () => {
    now(folder.create("new", O_RDWR, 0o644, 0, by)).close();
    now(folder.unlink("new", false, by));
  });
  Deno.bench("lock and unlock", { group }, () => {
    const owner = { session: by.session, client: "bench", process: 1 };
    now(file.lock({ type: "write", start: 0n, length: 0n }, owner, false));
    now(file.lock({ type: "unlock", start: 0n, length: 0n }, owner, false));
  });
}

measure("memory", new MemoryTree());
for (const parent of FOLDERS) {
  for (const model of [noneCredentials, mappedXattrCredentials, mappedFileCredentials]) {
    const root = Deno.makeTempDirSync({ dir: parent, prefix: "virtfs-fs-bench-" });
    const credentials = model();
    const tree = new HostTree({ root, credentials });
    addEventListener("unload", () => {
      tree.close();
      Deno.removeSync(root, { recursive: true });
    });
    assert.ok(tree.attach(by) instanceof HostNode);
    measure(`host ${parent}, ${credentials.name}`, tree);
  }
}
