/**
 * Our client against our server, end to end.
 */
import assert from "node:assert/strict";
import { Client, type Fid } from "../lib/client/mod.ts";
import { HeldTree, MemoryTree } from "../lib/fs/mod.ts";
import {
  type Dialect,
  DMDIR,
  LOCK_BLOCKED,
  LOCK_FLAGS_BLOCK,
  LOCK_SUCCESS,
  LOCK_TYPE_RDLCK,
  LOCK_TYPE_UNLCK,
  LOCK_TYPE_WRLCK,
  O_RDWR,
  QTDIR,
  QTSYMLINK,
  SETATTR_MODE,
  SETATTR_SIZE,
  XATTR_CREATE,
} from "../lib/p9/mod.ts";
import { Server } from "../lib/server/mod.ts";
import { connectInMemory } from "../lib/transport/mod.ts";

/** A server over memory, whose requests can be held. */
class Fixture implements AsyncDisposable {
  readonly tree: HeldTree;
  readonly #server: Server;
  readonly #clients: Client[] = [];

  constructor() {
    const memory = new MemoryTree({ inOrder: false });
    memory.addFile("folder/file", "hello");
    memory.addLink("link", "folder/file");
    this.tree = new HeldTree(memory);
    this.#server = new Server({ exports: [{ name: "", tree: this.tree, readOnly: false }] });
  }

  async connect(version: Dialect = "9P2000.L", msize = 8192): Promise<Client> {
    const channel = connectInMemory(this.#server.accept);
    const client = await Client.connect(channel, { version, msize });
    this.#clients.push(client);
    return client;
  }

  /** Also checks that nothing is in use once every client is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client.close();
    assert.deepEqual(this.tree.usage(), { nodes: 0, files: 0, locks: 0 });
    assert.equal(this.#server.counters.fids, 0);
    this.tree.close();
  }
}

const text = new TextDecoder();
const bytes = new TextEncoder();

async function names(folder: Fid): Promise<string[]> {
  return (await Array.fromAsync(folder.readdir(), ({ name }) => name)).sort();
}

Deno.test("Client makes, reads, moves and removes files of 9P2000.L", async () => {
  await using fixture = new Fixture();
  const client = await fixture.connect();
  await using root = await client.attach({ n_uname: 0 });
  assert.equal((await root.mkdir("new", { mode: 0o700 })).type, QTDIR);
  await using folder = await root.walk("new");
  {
    await using file = await (await folder.walk()).create("a", { flags: O_RDWR, mode: 0o600 });
    const content = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
    assert.equal(await file.write(content), content.length);
    await file.fsync({ dataOnly: true });
    assert.deepEqual(await file.readAll(), content);
    assert.deepEqual(await file.read(99_999n, 100), content.subarray(99_999));
    await file.setattr({ valid: SETATTR_SIZE, size: 3n });
    assert.deepEqual([...await file.readAll()], [0, 1, 2]);
    const { mode, size } = await file.getattr();
    assert.deepEqual([mode, size], [0o100600, 3n]);
  }
  await using file = await root.walk(["new", "a"]);
  await file.setattr({ valid: SETATTR_MODE, mode: 0o644 });
  assert.equal((await file.getattr()).mode, 0o100644);
  await folder.link(file, "b");
  assert.equal((await file.getattr()).nlink, 2n);
  await folder.renameat("a", root, "c");
  await file.rename(folder, "d");
  assert.equal((await folder.symlink("s", "c")).type, QTSYMLINK);
  assert.equal((await folder.mknod("p", { mode: 0o010600 })).type, 0);
  await using open = await (await folder.walk()).open();
  assert.deepEqual(await names(open), [".", "..", "b", "d", "p", "s"]);
  for (const name of ["b", "p", "s"]) await folder.unlink(name);
  await file.remove();
  await assert.rejects(file.getattr(), { symbol: "EBADF" });
  await root.unlink("new", { directory: true });
  await assert.rejects(root.walk("new"), { symbol: "ENOENT" });
  assert.equal((await root.statfs()).namelen, 255);
  await using link = await root.walk("link");
  assert.equal(await link.readlink(), "folder/file");
});

Deno.test("Client sets, lists and removes extended attributes", async () => {
  await using fixture = new Fixture();
  const client = await fixture.connect();
  await using root = await client.attach({ n_uname: 0 });
  await using file = await root.walk("folder/file");
  const value = new Uint8Array(20_000).fill(7);
  await file.setxattr("user.a", value);
  await file.setxattr("user.b", bytes.encode("b"), XATTR_CREATE);
  await assert.rejects(file.setxattr("user.b", bytes.encode("c"), XATTR_CREATE), {
    symbol: "EEXIST",
  });
  assert.deepEqual(await file.getxattr("user.a"), value);
  assert.deepEqual((await file.listxattr()).sort(), ["user.a", "user.b"]);
  await file.removexattr("user.a");
  await assert.rejects(file.getxattr("user.a"), { symbol: "ENODATA" });
  // Failures have left no fid behind: number 2 is the next, after root and file.
  await using next = await root.walk();
  assert.equal(next.number, 2);
});

Deno.test("Client locks against another client and gives up waiting", async () => {
  await using fixture = new Fixture();
  const [one, two] = [await fixture.connect(), await fixture.connect()];
  await using first = await (await (await one.attach()).walk("folder/file")).open(O_RDWR);
  await using second = await (await (await two.attach()).walk("folder/file")).open(O_RDWR);
  const range = { type: LOCK_TYPE_WRLCK, start: 5n, length: 10n, proc_id: 1, client_id: "host" };
  assert.equal(await first.lock(range), LOCK_SUCCESS);
  assert.equal(await second.lock(range), LOCK_BLOCKED);
  const { type, start } = await second.getlock({ ...range, type: LOCK_TYPE_RDLCK });
  assert.deepEqual([type, start], [LOCK_TYPE_WRLCK, 5n]);

  const controller = new AbortController();
  const { signal } = controller;
  const waiting = second.lock({ ...range, flags: LOCK_FLAGS_BLOCK }, { signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });

  const granted = second.lock({ ...range, flags: LOCK_FLAGS_BLOCK });
  assert.equal(await first.lock({ ...range, type: LOCK_TYPE_UNLCK }), LOCK_SUCCESS);
  assert.equal(await granted, LOCK_SUCCESS);
});

Deno.test("Client gets the answer of a request that a flush could not stop", async () => {
  await using fixture = new Fixture();
  const client = await fixture.connect();
  await using root = await client.attach();
  await using file = await (await root.walk("folder/file")).open();
  fixture.tree.hold("read");
  const controller = new AbortController();
  const read = file.read(0n, 5, { signal: controller.signal });
  while (fixture.tree.waiting("read") === 0) await new Promise((resolve) => setTimeout(resolve));
  controller.abort();
  // Others are answered meanwhile.
  assert.equal((await file.getattr()).size, 5n);
  fixture.tree.release("read");
  assert.equal(text.decode(await read), "hello");
});

Deno.test("Client.raw() sees an error of a message that the server does not know", async () => {
  await using fixture = new Fixture();
  const client = await fixture.connect();
  const reply = await client.raw(new Uint8Array([7, 0, 0, 0, 250, 0, 0]));
  assert.deepEqual([...reply], [11, 0, 0, 0, 7, 0, 0, 95, 0, 0, 0]);
});

for (const version of ["9P2000", "9P2000.u"] as const) {
  Deno.test(`Client makes, reads and lists files of ${version}`, async () => {
    await using fixture = new Fixture();
    const client = await fixture.connect(version);
    assert.equal(client.dialect, version);
    await using root = await client.attach({ uname: "root" });
    await (await root.walk()).create("new", { flags: 0, mode: DMDIR + 0o755 }).then((fid) =>
      fid.clunk()
    );
    await using file = await (await root.walk("new")).create("file", { flags: O_RDWR });
    await file.write(bytes.encode("content"));
    assert.equal(text.decode(await file.readAll()), "content");
    const { name, length } = await file.stat();
    assert.deepEqual([name, length], ["file", 7n]);
    await file.wstat({ name: "other", length: 3n });
    await using folder = await (await root.walk("new")).open();
    const entries = await Array.fromAsync(folder.readdirStat());
    assert.deepEqual(entries.map(({ name, length }) => [name, length]), [["other", 3n]]);
    const error = version === "9P2000"
      ? { name: "RemoteError", message: "No such file or directory" }
      : { name: "Errno", symbol: "ENOENT" };
    await assert.rejects(root.walk("absent"), error);
  });
}
