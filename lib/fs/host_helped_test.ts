import assert from "node:assert/strict";
import { geteuid, setfsuid, umask } from "../linux/mod.ts";
import { errno, O_DIRECTORY, O_RDONLY, O_RDWR } from "../p9/mod.ts";
import { treeConformance } from "./conformance.ts";
import { mappedFileCredentials } from "./credentials/mapped_file.ts";
import { mappedXattrCredentials } from "./credentials/mapped_xattr.ts";
import { noneCredentials } from "./credentials/none.ts";
import { passthroughCredentials } from "./credentials/passthrough.ts";
import type { Credentials } from "./credentials/seam.ts";
import { Descriptors } from "./descriptors.ts";
import { testHelpers } from "./helpers_test_helper.ts";
import { HostTree } from "./host_tree.ts";
import type { HostTreeOptions } from "./host_tree.ts";
import { segmentsOf } from "./segments_of.ts";
import type { Answer, Identity, Node } from "./tree.ts";

umask(0);

const isRoot = geteuid() === 0;
const { helpers, serve } = testHelpers();

/** Descriptors of what is or was below a folder. Threads open and close others as they like. */
function descriptorsBelow(folder: string): string[] {
  const found: string[] = [];
  for (const { name } of [...Deno.readDirSync("/proc/self/fd")]) {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
      if (target.startsWith(folder)) found.push(target);
    } catch {
      // It was the one that the list was read from.
    }
  }
  return found;
}

/** A tree in a new folder that leaves to helpers whatever it can. */
function helpedTree(parent: string, options: Partial<HostTreeOptions> = {}) {
  const root = Deno.makeTempDirSync({ dir: parent, prefix: "virtfs-fs-test-" });
  const stop = serve();
  const tree = new HostTree({
    root,
    credentials: noneCredentials(),
    helpers,
    alwaysHelp: true,
    ...options,
  });
  return {
    tree,
    root,
    async dispose() {
      await helpers.whenIdle();
      stop();
      assert.deepEqual(descriptorsBelow(root), [], "descriptors were leaked");
      Deno.removeSync(root, { recursive: true });
    },
  };
}

const can = { ownership: isRoot, devices: isRoot, xattrs: true, xattrBytes: 1000, anyBytes: true };

treeConformance("HostTree that leaves all to helpers", () => helpedTree("/tmp"), can);
treeConformance(
  "HostTree that leaves all to helpers, with few handles",
  () => helpedTree("/dev/shm", { descriptors: new Descriptors({ maxHandles: 1, maxFiles: 1000 }) }),
  can,
);
treeConformance(
  "HostTree that leaves to helpers what is slow",
  () => helpedTree("/tmp", { alwaysHelp: false }),
  can,
);
for (const make of [mappedXattrCredentials, mappedFileCredentials]) {
  treeConformance(
    `HostTree that leaves all to helpers, ${make().name}`,
    () => helpedTree("/tmp", { credentials: make() }),
    { ...can, ownership: true, devices: true, vagueLists: true },
  );
}
if (isRoot) {
  treeConformance(
    "HostTree that leaves all to helpers, passthrough",
    () => helpedTree("/tmp", { credentials: passthroughCredentials() }),
    can,
  );
}

const by: Identity = { uid: 0, uname: "root", session: { is: "one" } };
const ALICE: Identity = { uid: 1001, uname: "", session: { is: "another" } };

/** A test with a tree whose helpers do everything, and its root. */
function helpedTest(
  name: string,
  run: (
    world: { readonly tree: HostTree; readonly root: Node; readonly path: string },
  ) => Promise<void>,
  make: () => Credentials = noneCredentials,
): void {
  const ignore = make().switches && !isRoot;
  Deno.test({ name: `HostTree with helpers ${name}`, ignore, fn });

  async function fn(): Promise<void> {
    const { tree, root: path, dispose } = helpedTree("/tmp", { credentials: make() });
    try {
      await run({ tree, root: await tree.attach(by), path });
    } finally {
      tree.close();
      await dispose();
    }
  }
}

helpedTest("keeps a descriptor that is closed while it is read", async ({ root, path }) => {
  const text = "what was there before";
  Deno.writeTextFileSync(`${path}/f`, text);
  Deno.writeTextFileSync(`${path}/g`, "x".repeat(text.length));
  const f = await root.walk("f", by);
  const file = await f.open(O_RDONLY, by);
  const bytes = new Uint8Array(100);
  const reads = Array.from({ length: 8 }, () => file.read(segmentsOf(bytes), 0n));
  const synced = file.sync(false);
  void file.close();
  // Whoever opens something now must not get the number that is still read from.
  const g = await root.walk("g", by);
  const other = await g.open(O_RDONLY, by);
  for (const read of reads) assert.equal(await read, text.length);
  await synced;
  assert.equal(new TextDecoder().decode(bytes.subarray(0, text.length)), text);
  await assert.rejects(async () => await file.read(segmentsOf(bytes), 0n), errno("EBADF"));
  await other.close();
  for (const node of [f, g, root]) await node.release();
});

helpedTest("ends lists one after the other, also when the folder is closed", async (world) => {
  const { root, path } = world;
  for (let i = 0; i < 20; i++) Deno.writeTextFileSync(`${path}/${i}`, "");
  const folder = await root.open(O_RDONLY | O_DIRECTORY, by);
  const counts = [0, 0, 0];
  const lists = counts.map((_, i) => {
    const add = () => {
      counts[i] = (counts[i] ?? 0) + 1;
      return true;
    };
    return folder.readdir(0n, { add, addBytes: add });
  });
  await Promise.all(lists);
  assert.deepEqual(counts, [22, 22, 22]);
  const late = folder.readdir(0n, { add: () => true, addBytes: () => true });
  void folder.close();
  await assert.rejects(async () => await late, errno("EBADF"));
  await root.release();
});

helpedTest(
  "closes everything though calls are under way when the tree is closed",
  async (world) => {
    const { tree, root, path } = world;
    Deno.writeTextFileSync(`${path}/f`, "text");
    const f = await root.walk("f", by);
    const file = await f.open(O_RDWR, by);
    const late: Promise<unknown>[] = [
      async () => await file.sync(false),
      async () => await file.read(segmentsOf(new Uint8Array(10)), 0n),
      async () => await root.walk("f", by),
      async () => await f.open(O_RDONLY, by),
      async () => await f.attributes(by),
    ].map((run) => run());
    tree.close();
    const ends = await Promise.allSettled(late);
    assert.equal(ends[0]?.status, "fulfilled");
    for (const end of ends.slice(2, 4)) {
      assert.equal(end.status, "rejected");
      assert.equal(end.status === "rejected" && end.reason, errno("ESTALE"));
    }
  },
);

for (const make of [noneCredentials, passthroughCredentials]) {
  const { name: model } = make();
  helpedTest(`frees a large file's space before it says that it is gone, ${model}`, async (w) => {
    const { root, path } = w;
    const size = 16 * 2 ** 20;
    Deno.chmodSync(path, 0o777);
    for (const way of ["unlink", "rename", "clunk"]) {
      Deno.writeFileSync(`${path}/big`, new Uint8Array(size));
      Deno.writeTextFileSync(`${path}/small`, "");
      const node = way === "clunk" ? await root.walk("big", ALICE) : null;
      if (way === "rename") await root.rename("small", root, "big", ALICE);
      else await root.unlink("big", false, ALICE);
      const held = descriptorsBelow(`${path}/big`);
      assert.equal(held.length, node === null ? 0 : 1, way);
      const freed = node?.release();
      assert.equal(freed instanceof Promise, node !== null, way);
      await freed;
      for (const { name } of [...Deno.readDirSync(path)]) Deno.removeSync(`${path}/${name}`);
    }
    await root.release();
  }, make);
}

helpedTest("does as a user what is left to helpers, and what follows", async ({ root, path }) => {
  Deno.chmodSync(path, 0o755);
  Deno.writeTextFileSync(`${path}/mine`, "text");
  Deno.chmodSync(`${path}/mine`, 0o600);
  Deno.mkdirSync(`${path}/hers`);
  Deno.chownSync(`${path}/hers`, ALICE.uid, 0);
  Deno.mkdirSync(`${path}/shut`);
  Deno.chmodSync(`${path}/shut`, 0o700);
  const mine = await root.walk("mine", ALICE);
  const hers = await root.walk("hers", ALICE);
  const shut = await root.walk("shut", ALICE);
  const later = (run: () => Answer<unknown>) => (async () => await run())();
  // All at once, so that many are under way for whom this thread is not at that moment.
  const refused = [
    later(() => root.unlink("mine", false, ALICE)),
    later(() => root.rename("mine", root, "other", ALICE)),
    later(() => root.mkdir("new", 0o777, 0, ALICE)),
    later(() => root.create("new", O_RDWR, 0o666, 0, ALICE)),
    later(() => hers.link("mine", mine, ALICE)),
    later(() => mine.open(O_RDWR, ALICE)),
    later(() => mine.setAttributes({ size: 0n }, ALICE)),
    later(() => mine.setAttributes({ mode: 0o666 }, ALICE)),
    later(() => mine.setAttributes({ mtime: { sec: 1n, nsec: 0 } }, ALICE)),
    later(() => mine.setXattr("user.a", new Uint8Array(1), 0, ALICE)),
    later(() => shut.walk("any", ALICE)),
  ];
  const allowed = [
    later(() => root.mkdir("made by root", 0o700, 0, by)),
    later(() => hers.mkdir("made by her", 0o700, 0, ALICE)),
    later(async () => await (await hers.create("file", O_RDWR, 0o600, 0, ALICE)).close()),
  ];
  assert.equal(setfsuid(0xffff_ffff), geteuid(), "the thread is somebody else meanwhile");
  for (const [index, end] of (await Promise.allSettled(refused)).entries()) {
    assert.equal(end.status, "rejected", `call ${index}`);
    const { reason } = end as PromiseRejectedResult;
    assert.ok(reason === errno("EACCES") || reason === errno("EPERM"), `call ${index}: ${reason}`);
  }
  await Promise.all(allowed);
  assert.equal(setfsuid(0xffff_ffff), geteuid(), "the thread is still somebody else");
  const owner = (name: string) => Deno.lstatSync(`${path}/${name}`).uid;
  assert.deepEqual(
    ["made by root", "hers/made by her", "hers/file"].map(owner),
    [0, ALICE.uid, ALICE.uid],
  );
  assert.equal(Deno.readTextFileSync(`${path}/mine`), "text");
  for (const node of [mine, hers, shut, root]) await node.release();
}, passthroughCredentials);
