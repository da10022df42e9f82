import assert from "node:assert/strict";
import {
  AT_FDCWD,
  close,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  O_CLOEXEC,
  ofdSetLock,
  openat,
  umask,
} from "../linux/mod.ts";
import { Errno, errnoName, O_RDONLY, O_RDWR } from "../p9/mod.ts";
import { noneCredentials } from "./credentials/none.ts";
import type { Timers } from "./host_locks.ts";
import { HostTree } from "./host_tree.ts";
import type { HostTreeOptions } from "./host_tree.ts";
import type { Question, Reply } from "./testing_worker.ts";
import type { Identity, LockOwner, LockRange, OpenFile } from "./tree.ts";

// Also loads libc, before the first test begins.
umask(0);

const by: Identity = { uid: 0, uname: "root", session: {} };
const owner = (process: number): LockOwner => ({ session: by.session, client: "c", process });
const ALL = { start: 0n, length: 0n };
const WRITE: LockRange = { type: "write", ...ALL };
const READ: LockRange = { type: "read", ...ALL };
const UNLOCK: LockRange = { type: "unlock", ...ALL };

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Timers that run when the test says so. */
class ManualTimers implements Timers {
  readonly waits: number[] = [];
  #pending: (() => void)[] = [];

  get pending(): number {
    return this.#pending.length;
  }

  after(ms: number, run: () => void): () => void {
    this.waits.push(ms);
    this.#pending.push(run);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== run);
    };
  }

  tick(): void {
    for (const run of this.#pending.splice(0)) run();
  }
}

interface World {
  readonly tree: HostTree;
  readonly path: string;
  readonly file: OpenFile;
  /** A process of the host that has the file open, as far as the kernel can tell. */
  readonly host: number;
}

function lockTest(
  name: string,
  run: (world: World) => void | Promise<void>,
  options: Partial<HostTreeOptions> & { readonly startsThreads?: boolean } = {},
): void {
  const { startsThreads = false, ...rest } = options;
  Deno.test(`HostTree ${name}`, async () => {
    const before = descriptors();
    const path = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "virtfs-locks-test-" });
    const tree = new HostTree({ root: path, credentials: noneCredentials(), ...rest });
    const root = await tree.attach(by);
    const file = await root.create("f", O_RDWR, 0o644, 0, by);
    const host = openat(AT_FDCWD, `${path}/f`, O_RDWR | O_CLOEXEC, 0);
    try {
      await run({ tree, path, file, host });
    } finally {
      close(host);
      tree.close();
      Deno.removeSync(path, { recursive: true });
    }
    // A thread that ends gives its own descriptors back some time later.
    if (!startsThreads) assert.equal(descriptors(), before, "descriptors were leaked");
  });
}

lockTest("shows its locks to processes of the host, and sees theirs", ({ file, host }) => {
  assert.equal(file.lock({ type: "write", start: 10n, length: 10n }, owner(1), false), true);
  assert.ok(ofdSetLock(host, F_RDLCK, 15n, 1n) < 0);
  assert.equal(ofdSetLock(host, F_WRLCK, 0n, 10n), 0);
  assert.equal(file.lock({ type: "read", start: 9n, length: 1n }, owner(1), false), false);
  assert.deepEqual(file.testLock({ type: "read", start: 0n, length: 0n }, owner(1)), {
    type: "write",
    start: 0n,
    length: 10n,
    client: "",
    process: 0,
  });
  assert.equal(ofdSetLock(host, F_UNLCK, 0n, 0n), 0);
  assert.equal(file.testLock(READ, owner(1)), null);
  file.lock({ type: "unlock", start: 12n, length: 2n }, owner(1), false);
  assert.equal(ofdSetLock(host, F_WRLCK, 12n, 2n), 0);
  assert.ok(ofdSetLock(host, F_WRLCK, 14n, 1n) < 0);
});

lockTest("opens one descriptor per owner and closes it with the last range", ({ file }) => {
  const before = descriptors();
  file.lock({ type: "read", start: 0n, length: 1n }, owner(1), false);
  file.lock({ type: "read", start: 5n, length: 1n }, owner(1), false);
  file.lock({ type: "read", start: 5n, length: 1n }, owner(2), false);
  assert.equal(descriptors(), before + 2);
  assert.equal(file.lock({ type: "write", start: 5n, length: 1n }, owner(3), false), false);
  assert.equal(descriptors(), before + 2);
  file.lock({ type: "unlock", start: 0n, length: 2n }, owner(1), false);
  assert.equal(descriptors(), before + 2);
  file.lock(UNLOCK, owner(1), false);
  file.lock(UNLOCK, owner(1), false);
  assert.equal(descriptors(), before + 1);
});

lockTest("grants a waiting lock when the host's process lets go", async ({ file, host }) => {
  assert.equal(ofdSetLock(host, F_WRLCK, 0n, 0n), 0);
  const waiting = file.lock(WRITE, owner(1), true);
  assert.ok(waiting instanceof Promise);
  setTimeout(() => ofdSetLock(host, F_UNLCK, 0n, 0n), 15);
  assert.equal(await waiting, true);
  assert.ok(ofdSetLock(host, F_RDLCK, 0n, 1n) < 0);
});

{
  const timers = new ManualTimers();
  lockTest("tries a waiting lock again ever less often", async ({ tree, file, host }) => {
    assert.equal(tree.needsEventLoop, false);
    assert.equal(ofdSetLock(host, F_WRLCK, 0n, 0n), 0);
    const waiting = file.lock(WRITE, owner(1), true);
    for (let i = 0; i < 8; i++) timers.tick();
    assert.deepEqual(timers.waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    assert.equal(ofdSetLock(host, F_UNLCK, 0n, 0n), 0);
    timers.tick();
    assert.equal(await waiting, true);
    assert.equal(timers.pending, 0);
    // A lock of our own that ends is noticed at once, without the clock.
    const second = file.lock(WRITE, owner(2), true);
    assert.equal(timers.pending, 1);
    file.lock(UNLOCK, owner(1), false);
    assert.equal(await second, true);
    assert.equal(timers.pending, 0);
    // Giving up and the end of a session stop the clock as well.
    const abort = new AbortController();
    const third = file.lock(WRITE, owner(3), true, abort.signal);
    assert.equal(tree.usage().locks, 2);
    abort.abort();
    await assert.rejects(
      Promise.resolve(third),
      (error: unknown) => error instanceof Errno && errnoName(error.code) === "EINTR",
    );
    assert.equal(timers.pending, 0);
    const fourth = file.lock(WRITE, owner(4), true);
    tree.endSession(by.session);
    await assert.rejects(Promise.resolve(fourth), Errno);
    assert.deepEqual([timers.pending, tree.usage().locks], [0, 0]);
    assert.equal(ofdSetLock(host, F_WRLCK, 0n, 0n), 0);
  }, { timers });
}

lockTest("excludes owners in other threads", async ({ file, path }) => {
  const ask = (): Promise<Reply> => {
    const worker = new Worker(new URL("./testing_worker.ts", import.meta.url), { type: "module" });
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        worker.terminate();
        resolve(data);
      };
      worker.onerror = (event) => {
        worker.terminate();
        reject(event.error);
      };
      const question: Question = { lock: { root: path, name: "f" } };
      worker.postMessage(question);
    });
  };
  file.lock({ type: "read", start: 99n, length: 1n }, owner(1), false);
  assert.equal((await ask()).granted, false);
  file.lock(UNLOCK, owner(1), false);
  assert.equal((await ask()).granted, true);
  assert.equal(file.lock(WRITE, owner(1), false), true);
}, { startsThreads: true });

Deno.test("HostTree locks by way of a stand-in what cannot be opened for writing", async () => {
  const path = Deno.makeTempDirSync({ dir: "/tmp", prefix: "virtfs-locks-test-" });
  const lockDirectory = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "virtfs-locks-test-" });
  // A program that runs cannot be opened for writing (ETXTBSY).
  Deno.copyFileSync("/bin/sleep", `${path}/program`);
  Deno.chmodSync(`${path}/program`, 0o755);
  const process = new Deno.Command(`${path}/program`, { args: ["60"] }).spawn();
  const trees = [1, 2].map(() =>
    new HostTree({ root: path, credentials: noneCredentials(), lockDirectory })
  );
  try {
    const files = await Promise.all(trees.map(async (tree) => {
      const root = await tree.attach(by);
      const node = await root.walk("program", by);
      return await node.open(O_RDONLY, by);
    }));
    const [one, two] = files as [OpenFile, OpenFile];
    assert.equal(await one.lock(WRITE, owner(1), false), true);
    assert.equal(await two.lock(READ, owner(1), false), false);
    assert.equal((await two.testLock(READ, owner(1)))?.type, "write");
    one.close();
    assert.equal(await two.lock(READ, owner(1), false), true);
    assert.equal([...Deno.readDirSync(lockDirectory)].length, 1);
  } finally {
    process.kill();
    await process.status;
    for (const tree of trees) tree.close();
    Deno.removeSync(path, { recursive: true });
    Deno.removeSync(lockDirectory, { recursive: true });
  }
});

Deno.test("HostTree removes the folder of stand-ins that it made", async () => {
  const path = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "virtfs-locks-test-" });
  const temporary = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "virtfs-locks-test-" });
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", temporary);
  try {
    const tree = new HostTree({ root: path, credentials: noneCredentials() });
    const root = await tree.attach(by);
    const folder = await root.open(O_RDONLY, by);
    assert.equal(await folder.lock(WRITE, owner(1), false), true);
    assert.equal(await folder.lock(READ, owner(2), false), false);
    const [made] = [...Deno.readDirSync(temporary)];
    assert.equal((Deno.statSync(`${temporary}/${made?.name}`).mode ?? 0) & 0o777, 0o700);
    tree.close();
    assert.deepEqual([...Deno.readDirSync(temporary)], []);
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
    Deno.removeSync(path);
    Deno.removeSync(temporary);
  }
});

Deno.test("HostTree.close() closes everything that is still open", async () => {
  const before = descriptors();
  const path = Deno.makeTempDirSync({ dir: "/dev/shm", prefix: "virtfs-locks-test-" });
  const tree = new HostTree({ root: path, credentials: noneCredentials() });
  const root = await tree.attach(by);
  const file = await root.create("f", O_RDWR, 0o644, 0, by);
  await file.lock(WRITE, owner(1), false);
  const lost = assert.rejects(Promise.resolve(file.lock(WRITE, owner(2), true)), Errno);
  const folder = await root.open(O_RDONLY, by);
  await folder.readdir(0n, { add: () => true, addBytes: () => true });
  await root.mkdir("d", 0o755, 0, by);
  await root.walk("d", by);
  assert.ok(descriptors() > before + 4);
  tree.close();
  tree.close();
  await lost;
  assert.equal(descriptors(), before);
  assert.throws(() => file.sync(false), Errno);
  Deno.removeSync(path, { recursive: true });
});
