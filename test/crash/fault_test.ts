/**
 * Errors of a tree reach the client as they are, and cost the server nothing.
 */
import assert from "node:assert/strict";
import { Client, type Fid } from "../../lib/client/mod.ts";
import { HELD_OPERATIONS, type HeldOperation, MemoryTree } from "../../lib/fs/mod.ts";
import {
  errno,
  type ErrnoName,
  LOCK_TYPE_WRLCK,
  O_EXCL,
  O_RDWR,
  S_IFIFO,
  SETATTR_MODE,
} from "../../lib/p9/mod.ts";
import { Server } from "../../lib/server/mod.ts";
import { connectInMemory } from "../../lib/transport/mod.ts";
import { FaultTree } from "./fault_tree.ts";

/** What a host may say of itself, rather than of the request. */
const ERRORS: readonly ErrnoName[] = [
  "EIO",
  "ENOSPC",
  "EDQUOT",
  "EROFS",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ESTALE",
  "EFBIG",
  "EACCES",
];

/** What a request is made with. */
interface Scene {
  readonly client: Client;
  readonly root: Fid;
  readonly file: Fid;
  readonly opened: Fid;
  readonly folder: Fid;
}

/** A request that an operation of the tree decides. */
interface Case {
  readonly operation: HeldOperation;
  readonly what: string;
  run(scene: Scene): Promise<unknown>;
}

const bytes = new Uint8Array([1, 2, 3]);

const CASES: readonly Case[] = [
  { operation: "attach", what: "Tattach", run: ({ client }) => close(client.attach()) },
  { operation: "walk", what: "Twalk", run: ({ root }) => close(root.walk(["file"])) },
  { operation: "parent", what: "Twalk of ..", run: ({ folder }) => close(folder.walk([".."])) },
  { operation: "attributes", what: "Tgetattr", run: ({ file }) => file.getattr() },
  {
    operation: "setAttributes",
    what: "Tsetattr",
    run: ({ file }) => file.setattr({ valid: SETATTR_MODE, mode: 0o600 }),
  },
  {
    operation: "open",
    what: "Tlopen",
    run: async ({ file }) => {
      await using fid = await file.walk();
      await fid.open(O_RDWR);
    },
  },
  {
    operation: "create",
    what: "Tlcreate",
    run: async ({ root }) => {
      await using fid = await root.walk();
      await fid.create("made", { flags: O_RDWR | O_EXCL });
      await root.unlink("made");
    },
  },
  { operation: "mkdir", what: "Tmkdir", run: ({ root }) => making(root, root.mkdir("made"), true) },
  {
    operation: "symlink",
    what: "Tsymlink",
    run: ({ root }) => making(root, root.symlink("made", "x")),
  },
  {
    operation: "mknod",
    what: "Tmknod",
    run: ({ root }) => making(root, root.mknod("made", { mode: S_IFIFO | 0o600 })),
  },
  {
    operation: "link",
    what: "Tlink",
    run: ({ root, file }) => making(root, root.link(file, "made")),
  },
  { operation: "unlink", what: "Tunlinkat", run: ({ root }) => root.unlink("removed") },
  {
    operation: "rename",
    what: "Trenameat",
    run: async ({ root }) => {
      await root.renameat("file", root, "other");
      await root.renameat("other", root, "file");
    },
  },
  {
    operation: "move",
    what: "Trename",
    run: async ({ root, file }) => {
      await file.rename(root, "other");
      await file.rename(root, "file");
    },
  },
  {
    operation: "remove",
    what: "Tremove",
    // The fid is gone whatever the answer is.
    run: async ({ root }) => await (await root.walk(["removed"])).remove(),
  },
  {
    operation: "readlink",
    what: "Treadlink",
    run: async ({ root }) => {
      await using link = await root.walk(["link"]);
      await link.readlink();
    },
  },
  { operation: "statfs", what: "Tstatfs", run: ({ root }) => root.statfs() },
  { operation: "getXattr", what: "Txattrwalk", run: ({ file }) => file.getxattr("user.a") },
  { operation: "listXattr", what: "Txattrwalk of all", run: ({ file }) => file.listxattr() },
  { operation: "setXattr", what: "Tclunk", run: ({ file }) => file.setxattr("user.b", bytes) },
  {
    operation: "removeXattr",
    what: "Tclunk of nothing",
    run: ({ file }) => file.removexattr("user.c"),
  },
  { operation: "read", what: "Tread", run: ({ opened }) => opened.read(0n, 10) },
  { operation: "write", what: "Twrite", run: ({ opened }) => opened.write(bytes) },
  {
    operation: "readdir",
    what: "Treaddir",
    run: async ({ root }) => {
      await using list = await root.walk();
      await list.open();
      for await (const _ of list.readdir());
    },
  },
  { operation: "sync", what: "Tfsync", run: ({ opened }) => opened.fsync() },
  {
    operation: "lock",
    what: "Tlock",
    run: ({ opened }) => opened.lock({ type: LOCK_TYPE_WRLCK, client_id: "a", proc_id: 1 }),
  },
  {
    operation: "testLock",
    what: "Tgetlock",
    run: ({ opened }) => opened.getlock({ type: LOCK_TYPE_WRLCK, client_id: "b", proc_id: 2 }),
  },
];

async function close(fid: Promise<Fid>): Promise<void> {
  await (await fid).clunk();
}

async function making(root: Fid, made: Promise<unknown>, directory = false): Promise<void> {
  await made;
  await root.unlink("made", { directory });
}

/** Everything that cases need; the same however often they fail. */
async function prepare(tree: FaultTree, reports: unknown[]): Promise<Scene & AsyncDisposable> {
  const report = (error: unknown) => reports.push(error);
  const server = new Server({ exports: [{ name: "", tree, readOnly: false }], report });
  const client = await Client.connect(connectInMemory(server.accept));
  const root = await client.attach({ n_uname: 0 });
  const file = await root.walk(["file"]);
  const opened = await (await file.walk()).open(O_RDWR);
  await root.symlink("link", "somewhere");
  await file.setxattr("user.a", bytes);
  const folder = await root.walk(["folder"]);
  const dispose = () => client.close();
  return { client, root, file, opened, folder, [Symbol.asyncDispose]: dispose };
}

function newTree(): FaultTree {
  const tree = new MemoryTree();
  tree.addFile("file", "content");
  tree.addFile("folder/inner", "");
  return new FaultTree(tree);
}

for (const { operation, what, run } of CASES) {
  Deno.test(`${what} answers what the tree says, whatever it is`, async () => {
    const tree = newTree();
    const reports: unknown[] = [];
    await using scene = await prepare(tree, reports);
    const { root, file } = scene;
    const again = async () => {
      if (operation === "unlink" || operation === "remove") {
        await close((await root.walk()).create("removed"));
      }
      if (operation === "removeXattr") await file.setxattr("user.c", bytes);
    };
    await again();
    await run(scene);
    const usage = tree.usage();
    for (const name of ERRORS) {
      for (const isLate of [false, true]) {
        await again();
        const before = tree.usage();
        tree.fail(operation, errno(name), 0, isLate);
        await assert.rejects(run(scene), (error) => error === errno(name), name);
        assert.equal(tree.outstanding, 0, "it was never asked for");
        assert.deepEqual(tree.usage(), before, `${name}, ${isLate ? "late" : "at once"}`);
        await run(scene);
        assert.deepEqual(tree.usage(), usage);
      }
    }
    assert.deepEqual(reports, []);

    // What is no errno is a mistake of the tree: the client hears EIO, the log the rest.
    await again();
    const mistake = new TypeError("a mistake");
    tree.fail(operation, mistake);
    await assert.rejects(run(scene), (error) => error === errno("EIO"));
    assert.deepEqual(reports, [mistake]);
    await run(scene);
    assert.deepEqual(tree.usage(), usage);
  });
}

Deno.test("every operation of a tree has a case", () => {
  assert.deepEqual(CASES.map(({ operation }) => operation).sort(), [...HELD_OPERATIONS].sort());
});

Deno.test("Twalk ends before the name that fails, and leaves no node behind", async () => {
  const tree = newTree();
  await using scene = await prepare(tree, []);
  const { client, root } = scene;
  const usage = tree.usage();
  tree.fail("walk", errno("EIO"), 1);
  const newfid = client.takeFid();
  const { wqid } = await client.request(
    { kind: "Twalk", fid: root.number, newfid, wname: ["folder", "inner"] },
  );
  assert.equal(wqid.length, 1);
  assert.deepEqual(tree.usage(), usage);
  await assert.rejects(
    client.request({ kind: "Tgetattr", fid: newfid, request_mask: 0n }),
    (error) => error === errno("EBADF"),
  );
});
