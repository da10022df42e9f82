import assert from "node:assert/strict";
import { geteuid, MappedMemory, umask } from "../linux/mod.ts";
import {
  decodeString,
  Errno,
  errnoName,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  S_IFCHR,
  S_IFIFO,
  Segments,
} from "../p9/mod.ts";
import { treeConformance } from "./conformance.ts";
import type { TreeCapabilities } from "./conformance.ts";
import { mappedFileCredentials } from "./credentials/mapped_file.ts";
import { mappedXattrCredentials } from "./credentials/mapped_xattr.ts";
import { noneCredentials } from "./credentials/none.ts";
import { passthroughCredentials } from "./credentials/passthrough.ts";
import { translated } from "./credentials/translated.ts";
import { Descriptors } from "./descriptors.ts";
import type { NodeNow } from "./at_once_test_helper.ts";
import { HostTree } from "./host_tree.ts";
import type { HostTreeOptions } from "./host_tree.ts";
import { DeviceTable } from "./qid.ts";
import { segmentsOf } from "./segments_of.ts";
import type { DirectorySink, Identity } from "./tree.ts";

// Also loads libc, before the first test begins.
umask(0);

const isRoot = geteuid() === 0;

const CAN: TreeCapabilities = {
  ownership: isRoot,
  devices: isRoot,
  xattrs: true,
  xattrBytes: 1000,
  anyBytes: true,
};

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** A tree in a new folder; disposing it checks that no descriptor was leaked. */
function treeIn(parent: string, options: Partial<HostTreeOptions> = {}) {
  const root = Deno.makeTempDirSync({ dir: parent, prefix: "virtfs-fs-test-" });
  const before = descriptors();
  const tree = new HostTree({ root, credentials: noneCredentials(), ...options });
  return {
    tree,
    root,
    dispose() {
      const after = descriptors();
      Deno.removeSync(root, { recursive: true });
      assert.equal(after, before, "descriptors were leaked");
    },
  };
}

treeConformance("HostTree on the disk", () => treeIn("/tmp"), CAN);
treeConformance("HostTree in shared memory", () => treeIn("/dev/shm"), CAN);
if (isRoot) {
  treeConformance(
    "HostTree with passthrough",
    () => treeIn("/dev/shm", { credentials: passthroughCredentials() }),
    CAN,
  );
}
for (const parent of ["/tmp", "/dev/shm"]) {
  for (const mapped of [mappedXattrCredentials, mappedFileCredentials]) {
    treeConformance(
      `HostTree with ${mapped().name} in ${parent}`,
      () => treeIn(parent, { credentials: mapped() }),
      { ...CAN, ownership: true, devices: true, vagueLists: true },
    );
  }
}
treeConformance(
  "HostTree with few handles",
  () => treeIn("/dev/shm", { descriptors: new Descriptors({ maxHandles: 1, maxFiles: 1000 }) }),
  CAN,
);

const by: Identity = { uid: 0, uname: "root", session: { is: "one" } };

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Errno) return errnoName(error.code) ?? "unknown";
    throw error;
  }
  return "none";
}

/** A tree in a new folder for one test, closed and checked for leaks at its end. */
function hostTest(
  name: string,
  run: (
    world: { readonly tree: HostTree; readonly root: NodeNow; readonly path: string },
  ) => void | Promise<void>,
  options: Partial<HostTreeOptions> & {
    readonly parent?: string;
    readonly needsRoot?: boolean;
  } = {},
): void {
  Deno.test(`HostTree ${name}`, async () => {
    const { parent = "/dev/shm", needsRoot = false, ...rest } = options;
    if (needsRoot) assert.ok(isRoot, "this test must run as root, since it changes owners");
    const { tree, root: path, dispose } = treeIn(parent, rest);
    try {
      const root = tree.attach(by) as unknown as NodeNow;
      await run({ tree, root, path });
      root.release();
      assert.deepEqual(tree.usage(), { nodes: 0, files: 0, locks: 0 });
    } finally {
      tree.close();
      dispose();
    }
  });
}

hostTest("refuses names that lead elsewhere, whatever the server checked", ({ root, path }) => {
  Deno.mkdirSync(`${path}/d`);
  const d = root.walk("d", by);
  for (const name of ["..", ".", "../d", "/etc", "a/b", "a\0b"]) {
    assert.equal(codeOf(() => d.walk(name, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.create(name, O_RDWR, 0o644, 0, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.mkdir(name, 0o755, 0, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.symlink(name, "x", 0, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.mknod(name, 0o644, 0, 0, 0, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.unlink(name, true, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.rename(name, root, "x", by)), "EINVAL", name);
    assert.equal(codeOf(() => root.rename("d", root, name, by)), "EINVAL", name);
    assert.equal(codeOf(() => d.link(name, d, by)), "EINVAL", name);
  }
  assert.equal(codeOf(() => d.walk("", by)), "ENOENT");
  d.release();
});

hostTest("takes nobody out with a folder that the host moves away", ({ root, path }) => {
  const outside = Deno.makeTempDirSync({ dir: "/dev/shm" });
  try {
    Deno.mkdirSync(`${path}/a/b`, { recursive: true });
    Deno.writeTextFileSync(`${outside}/secret`, "secret");
    const a = root.walk("a", by);
    const b = a.walk("b", by);
    Deno.renameSync(`${path}/a/b`, `${outside}/b`);
    // The folder is still held, but what is above it is what was recorded.
    const up = b.parent(by);
    assert.equal(up, a);
    const top = up.parent(by);
    assert.equal(top, root);
    assert.equal(codeOf(() => up.walk("secret", by)), "ENOENT");
    assert.equal(codeOf(() => b.walk("..", by)), "EINVAL");
    const list = b.open(O_RDONLY, by);
    const paths: bigint[] = [];
    list.readdir(0n, {
      add: () => false,
      addBytes: (_type, number) => paths.push(number) > 0,
    });
    list.close();
    assert.deepEqual(paths.sort(), [a.qid.path, b.qid.path].sort());
    assert.equal(codeOf(() => b.move(root, "back", by)), "ENOENT");
    assert.equal(codeOf(() => b.remove(by)), "ENOENT");
    for (const node of [a, b, up, top]) node.release();
  } finally {
    Deno.removeSync(outside, { recursive: true });
  }
});

hostTest("changes a symbolic link itself, never its target", ({ root, path }) => {
  const outside = Deno.makeTempFileSync({ dir: "/dev/shm" });
  try {
    Deno.writeTextFileSync(outside, "untouched");
    Deno.chmodSync(outside, 0o640);
    const before = Deno.statSync(outside);
    Deno.symlinkSync(outside, `${path}/l`);
    const link = root.walk("l", by);
    assert.equal(codeOf(() => link.open(O_RDWR | O_TRUNC, by)), "ELOOP");
    assert.equal(codeOf(() => link.setAttributes({ size: 0n }, by)), "EINVAL");
    assert.equal(codeOf(() => link.setAttributes({ mode: 0o777 }, by)), "EOPNOTSUPP");
    assert.equal(codeOf(() => link.setXattr("user.x", new Uint8Array(1), 0, by)), "EPERM");
    assert.equal(codeOf(() => link.listXattr(by)), "none");
    assert.equal(codeOf(() => root.create("l", O_RDWR | O_TRUNC, 0o666, 0, by)), "ELOOP");
    link.setAttributes({ ...(isRoot && { uid: 77 }), mtime: { sec: 5n, nsec: 0 } }, by);
    if (isRoot) assert.equal(Deno.lstatSync(`${path}/l`).uid, 77);
    assert.equal(link.attributes(by).mtimeSec, 5n);
    const after = Deno.statSync(outside);
    assert.deepEqual(
      [after.uid, after.mode, after.size, after.mtime],
      [before.uid, before.mode, before.size, before.mtime],
    );
    link.release();
  } finally {
    Deno.removeSync(outside);
  }
});

hostTest("finds nodes again that the host moved into each other", ({ root, path }) => {
  Deno.mkdirSync(`${path}/a/b`, { recursive: true });
  const a = root.walk("a", by);
  const b = a.walk("b", by);
  Deno.renameSync(`${path}/a/b`, `${path}/b`);
  Deno.renameSync(`${path}/a`, `${path}/b/a`);
  // b is recorded below a, and now a is found below b.
  const again = b.walk("a", by);
  assert.equal(again, a);
  const above = a.parent(by);
  assert.equal(above, b);
  const top = b.parent(by);
  assert.equal(top, root);
  for (const node of [a, b, again, above, top]) node.release();
});

hostTest("gives up a very deep path without a deep stack", ({ root }) => {
  const nodes: NodeNow[] = [root.hold()];
  for (let depth = 0; depth < 3000; depth++) {
    const at = nodes.at(-1) as unknown as NodeNow;
    at.mkdir("d", 0o755, 0, by);
    nodes.push(at.walk("d", by));
  }
  const deepest = nodes.pop() as unknown as NodeNow;
  for (const node of nodes) node.release();
  assert.equal(deepest.attributes(by).nlink, 2);
  deepest.release();
}, { descriptors: new Descriptors({ maxHandles: 100, maxFiles: 1000 }) });

hostTest("serves more nodes than it may have descriptors", ({ root, path }) => {
  const before = descriptors();
  const nodes: NodeNow[] = [];
  for (let i = 0; i < 500; i++) {
    Deno.mkdirSync(`${path}/d${i}`);
    Deno.writeTextFileSync(`${path}/d${i}/f`, `content ${i}`);
    const folder = root.walk(`d${i}`, by);
    nodes.push(folder.walk("f", by));
    folder.release();
  }
  assert.ok(descriptors() - before < 250, `${descriptors() - before} descriptors`);
  for (const [i, node] of nodes.entries()) {
    const file = node.open(O_RDONLY, by);
    const bytes = new Uint8Array(20);
    const n = file.read(segmentsOf(bytes), 0n);
    assert.equal(new TextDecoder().decode(bytes.subarray(0, n)), `content ${i}`);
    file.close();
  }
  assert.ok(descriptors() - before < 250, `${descriptors() - before} descriptors`);
  // What was replaced behind our back is stale, what we remove ourselves is not.
  Deno.removeSync(`${path}/d0/f`);
  Deno.writeTextFileSync(`${path}/d0/f`, "another");
  const first = nodes[0] as unknown as NodeNow;
  assert.equal(codeOf(() => first.attributes(by)), "ESTALE");
  const second = nodes[1] as unknown as NodeNow;
  const folder = second.parent(by);
  folder.unlink("f", false, by);
  folder.release();
  for (const node of nodes.slice(2)) node.attributes(by);
  assert.equal(second.attributes(by).nlink, 0);
  for (const node of nodes) node.release();
}, { descriptors: new Descriptors({ maxHandles: 200, maxFiles: 1000 }) });

hostTest("is not taken in by a file that got the number of one that is gone", ({ root, path }) => {
  const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
  const nodes = names.map((name) => {
    Deno.writeTextFileSync(`${path}/${name}`, name);
    return root.walk(name, by);
  });
  // By now the handles of the first ones are closed, so their numbers are free for others.
  for (const name of names.slice(0, 10)) Deno.removeSync(`${path}/${name}`);
  for (let i = 0; i < 10; i++) Deno.writeTextFileSync(`${path}/new${i}`, "new");
  const fresh = Array.from({ length: 10 }, (_, i) => root.walk(`new${i}`, by));
  for (const node of fresh) {
    assert.ok(!nodes.includes(node));
    const file = node.open(O_RDONLY, by);
    const bytes = new Uint8Array(3);
    file.read(segmentsOf(bytes), 0n);
    assert.equal(new TextDecoder().decode(bytes), "new");
    file.close();
  }
  assert.equal(codeOf(() => (nodes[0] as unknown as NodeNow).attributes(by)), "ESTALE");
  assert.equal((nodes[20] as unknown as NodeNow).attributes(by).size, 3n);
  for (const node of [...nodes, ...fresh]) node.release();
}, { parent: "/tmp", descriptors: new Descriptors({ maxHandles: 3, maxFiles: 1000 }) });

hostTest("moves bytes straight to and from any number of pieces", ({ root }) => {
  using memory = MappedMemory.anonymous(1 << 20);
  const file = root.create("f", O_RDWR, 0o644, 0, by);
  const sent = new Segments();
  const sum = (1100 * 1099) / 2;
  let at = 0;
  for (let i = 0; i < 1100; i++) { // more than one list can hold
    memory.bytes.fill(i & 0xff, at, at + i);
    sent.add(memory, at, i);
    at += i;
  }
  assert.equal(file.write(sent, 3n), sum);
  const expected = memory.bytes.slice(0, sum);
  memory.bytes.fill(0);
  assert.equal(file.read(sent, 3n), sum);
  assert.deepEqual(memory.bytes.slice(0, sum), expected);
  const one = new Segments();
  one.add(memory, 100, 1000);
  memory.bytes.fill(0);
  assert.equal(file.read(one, BigInt(sum) + 3n - 10n), 10);
  assert.deepEqual(memory.bytes.slice(100, 110), expected.slice(-10));
  assert.equal(file.read(one, BigInt(sum) + 3n), 0);
  assert.equal(codeOf(() => file.read(one, 1n << 63n)), "EINVAL");
  file.close();
});

for (const parent of ["/tmp", "/dev/shm"]) {
  hostTest(`lists a large folder in ${parent} across many buffers`, ({ root, path }) => {
    const expected = new Set([".", ".."]);
    for (let i = 0; i < 2500; i++) {
      const name = `entry-${i}-${"x".repeat(i % 90)}`;
      Deno.writeTextFileSync(`${path}/${name}`, "");
      expected.add(name);
    }
    const file = root.open(O_RDONLY, by);
    const order: string[] = [];
    const offsets: bigint[] = [];
    let room = 0;
    const sink: DirectorySink = {
      add: () => false,
      addBytes(_qidType, _path, next, _type, bytes, start, end) {
        if (room-- <= 0) return false;
        order.push(decodeString(bytes, start, end));
        offsets.push(next);
        return true;
      },
    };
    const list = (from: bigint, most: number) => {
      const before = order.length;
      for (let offset = from, round = 0;; round++) {
        const count = order.length;
        room = Math.min(1 + round % 37, most - (count - before));
        file.readdir(offset, sink);
        if (order.length === count) return;
        offset = offsets.at(-1) as bigint;
      }
    };
    list(0n, Infinity);
    assert.equal(order.length, expected.size);
    assert.deepEqual(new Set(order), expected);
    // From any place the list goes on as it did the first time.
    for (const at of [1700, 3, 2400, 1200]) {
      const first = order.slice(at + 1, at + 101);
      order.length = 0;
      list(offsets[at] as bigint, 100);
      assert.deepEqual(order, first);
      order.length = 0;
      offsets.length = 0;
      list(0n, Infinity);
    }
    file.close();
  }, { parent });
}

hostTest("gives a version that follows content and is never 0", ({ root }) => {
  const file = root.create("f", O_RDWR, 0o644, 0, by);
  const versions = new Set<number>();
  for (let i = 0; i < 50; i++) {
    file.write(segmentsOf(new Uint8Array(1)), BigInt(i));
    const { qid } = (file.node as unknown as NodeNow).attributes(by);
    assert.notEqual(qid.version, 0);
    versions.add(qid.version);
  }
  assert.equal(versions.size, 50);
  file.close();
});

hostTest("refuses every change of a read-only tree with EROFS", ({ root, path }) => {
  Deno.writeTextFileSync(`${path}/f`, "content");
  const node = root.walk("f", by);
  for (
    const run of [
      () => node.open(O_RDWR, by),
      () => node.open(O_RDONLY | O_TRUNC, by),
      () => root.create("g", O_RDWR, 0o644, 0, by),
      () => root.mkdir("d", 0o755, 0, by),
      () => root.symlink("l", "x", 0, by),
      () => root.mknod("n", 0o644, 0, 0, 0, by),
      () => root.link("m", node, by),
      () => root.unlink("f", false, by),
      () => root.rename("f", root, "g", by),
      () => node.setAttributes({ mode: 0 }, by),
      () => node.setXattr("user.x", new Uint8Array(1), 0, by),
      () => node.removeXattr("user.x", by),
    ]
  ) assert.equal(codeOf(run), "EROFS");
  const file = node.open(O_RDONLY, by);
  // Clients of a read-only tree exclude each other all the same.
  const range = { type: "write", start: 0n, length: 0n } as const;
  const owner = (process: number) => ({ session: by.session, client: "c", process });
  assert.equal(file.lock(range, owner(1), false), true);
  assert.equal(file.lock(range, owner(2), false), false);
  file.close();
  node.release();
}, { readOnly: true });

Deno.test("HostTree numbers files of other devices as multidevs says", () => {
  // /dev and /dev/shm are different file systems everywhere.
  const inode = BigInt(Deno.statSync("/dev/shm").ino ?? 0);
  const devices = new DeviceTable();
  const warnings: string[] = [];
  const seen: Record<string, bigint | string> = {};
  for (const multidevs of ["remap", "forbid", "warn"] as const) {
    const tree = new HostTree({
      root: "/dev",
      credentials: noneCredentials(),
      readOnly: true,
      multidevs,
      devices,
      warn: (text) => warnings.push(text),
    });
    const root = tree.attach(by) as unknown as NodeNow;
    assert.equal(root.qid.path, BigInt(Deno.statSync("/dev").ino ?? 0));
    try {
      const one = root.walk("shm", by);
      const two = root.walk("shm", by);
      assert.equal(one, two);
      assert.equal(one.attributes(by).qid.path, one.qid.path);
      seen[multidevs] = one.qid.path;
      one.release();
      two.release();
    } catch (error) {
      seen[multidevs] = error instanceof Errno ? errnoName(error.code) ?? "" : "another error";
    }
    root.release();
    assert.deepEqual(tree.usage(), { nodes: 0, files: 0, locks: 0 });
    tree.close();
  }
  assert.equal(seen.forbid, "ENODEV");
  assert.equal(seen.warn, inode);
  assert.equal(warnings.length, 1);
  assert.ok(typeof seen.remap === "bigint" && seen.remap !== inode);
  assert.equal(seen.remap & 0xffff_ffff_ffffn, inode);
});

hostTest("squashes owners and refuses what acts for others", ({ root, path }) => {
  Deno.writeTextFileSync(`${path}/f`, "");
  Deno.chmodSync(`${path}/f`, 0o644);
  const node = root.walk("f", by);
  const shown = () => {
    const { uid, gid, mode } = node.attributes(by);
    return [uid, gid, mode & 0o7777];
  };
  assert.deepEqual(shown(), [1000, 100, 0o644]);
  node.setAttributes({ uid: 5, gid: 6 }, by);
  assert.equal(Deno.statSync(`${path}/f`).uid, 0);
  node.setAttributes({ mode: 0o6755 }, by);
  assert.deepEqual(shown(), [1000, 100, 0o755]);
  const made = root.create("g", O_RDWR, 0o4755, 7, { ...by, uid: 8 });
  made.close();
  const { uid, gid, mode } = Deno.statSync(`${path}/g`);
  assert.deepEqual([uid, gid, (mode ?? 0) & 0o7777], [1000, 100, 0o755]);
  assert.equal(codeOf(() => root.mknod("dev", S_IFCHR | 0o666, 1, 3, 0, by)), "EPERM");
  assert.throws(() => Deno.lstatSync(`${path}/dev`), Deno.errors.NotFound);
  node.release();
}, {
  credentials: translated(noneCredentials(), { squash: { who: "all", uid: 1000, gid: 100 } }),
  needsRoot: true,
});

for (const credentials of [noneCredentials(), passthroughCredentials()]) {
  hostTest(`with ${credentials.name} gives new files to the client`, ({ root, path }) => {
    const client: Identity = { ...by, uid: 4321 };
    // The kernel lets nobody have a set-group-id bit for a group that is not theirs.
    const setGid = credentials.switches ? 0 : 0o2000;
    Deno.chmodSync(path, 0o777);
    root.create("f", O_RDWR, 0o6751, 99, client).close();
    root.mkdir("d", 0o2775, 99, client);
    root.symlink("l", "x", 99, client);
    root.mknod("n", S_IFIFO | 0o4640, 0, 0, 99, client);
    const made = [["f", 0o4751 | setGid], ["d", 0o775 | setGid], ["l", 0o777], ["n", 0o4640]];
    for (const [name, mode] of made) {
      const found = Deno.lstatSync(`${path}/${name}`);
      assert.deepEqual([found.uid, found.gid], [4321, 99], String(name));
      assert.equal((found.mode ?? 0) & 0o7777, mode, String(name));
    }
    // A client that names no user is the server, or nobody.
    root.create("g", O_RDWR, 0o644, 0xffff_ffff, { ...by, uid: 0xffff_ffff, uname: "" }).close();
    assert.equal(Deno.statSync(`${path}/g`).uid, credentials.switches ? 65_534 : 0);
  }, { credentials, needsRoot: true });
}

/** An access control list that only repeats the mode 0640. */
const ACL = new Uint8Array([
  ...[2, 0, 0, 0], // version
  ...[1, 0, 6, 0, 255, 255, 255, 255], // owner
  ...[4, 0, 4, 0, 255, 255, 255, 255], // group
  ...[32, 0, 0, 0, 255, 255, 255, 255], // others
]);

hostTest("with passthrough keeps access control lists", ({ root }) => {
  root.setXattr("system.posix_acl_access", ACL, 0, by);
  assert.equal(root.attributes(by).mode & 0o777, 0o640);
  assert.equal(codeOf(() => root.getXattr("trusted.x", by)), "EOPNOTSUPP");
  root.setAttributes({ mode: 0o755 }, by);
}, { credentials: passthroughCredentials() });
