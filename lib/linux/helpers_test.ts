import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

function openFds(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Has calls made, and settles them as they end. */
class Desk implements AsyncDisposable {
  readonly #before = openFds();
  readonly helpers: linux.Helpers;
  readonly #set = new linux.PollSet(1);

  constructor(options?: linux.HelpersOptions) {
    this.helpers = new linux.Helpers(options);
    this.#set.set(0, this.helpers.fd, linux.POLLIN);
  }

  /** Has a call made. */
  run(call: () => number, lane?: bigint): Promise<linux.EndedCall> {
    const recorded = linux.record(call);
    assert.ok(typeof recorded !== "number", "the call was made or refused at once");
    return this.helpers.run(recorded, call, lane);
  }

  /** Settles until there is nothing left to settle. */
  async finish(): Promise<void> {
    while (this.helpers.running > 0) {
      assert.equal(linux.poll(this.#set, 5000), 1, "no helper answers");
      this.helpers.settle();
      await undefined;
    }
  }

  /** Has one call made and waits for it. */
  async result(call: () => number): Promise<number> {
    const end = this.run(call);
    await this.finish();
    return (await end).result;
  }

  /** Ends the threads, and waits until they are gone with all that they had open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.helpers[Symbol.dispose]();
    for (let wait = 0; wait < 100 && openFds() > this.#before; wait++) await sleep(20);
  }
}

// The first worker leaves two descriptors of Deno's own open, which no test shall be blamed for.
{
  await using desk = new Desk({ first: 1 });
  await desk.result(() => linux.close(-1));
}

test("record() makes no call, and copies names", (box) => {
  const { dir } = box;
  const first = linux.record(() => linux.mkdirat(dir, "one", 0o755));
  const second = linux.record(() => linux.mkdirat(dir, "two", 0o755));
  assert.ok(typeof first !== "number" && typeof second !== "number");
  assert.deepEqual([...Deno.readDirSync(box.path)], []);
  assert.notEqual(first.parameters[1], second.parameters[1]);
  assert.equal(new TextDecoder().decode(first.memory?.bytes.subarray(0, 4)), "one\0");
});

test("record() passes on what ends before the call, and refuses more than one call", (box) => {
  assert.equal(linux.record(() => linux.mkdirat(box.dir, "a\0b", 0o755)), -linux.EINVAL);
  const twice = () => linux.close(-1) + linux.close(-1);
  assert.throws(() => linux.record(twice), TypeError);
  // Afterwards calls are made again.
  assert.equal(linux.close(-1), -linux.EBADF);
});

test("Helpers make any call as the thread itself would", async (box) => {
  await using desk = new Desk();
  const { dir } = box;
  assert.equal(await desk.result(() => linux.mkdirat(dir, "folder", 0o755)), 0);
  assert.equal(await desk.result(() => linux.mkdirat(dir, "folder", 0o755)), -linux.EEXIST);
  assert.equal(await desk.result(() => linux.symlinkat("to ü", dir, "link")), 0);
  assert.equal(Deno.readLinkSync(`${box.path}/link`), "to ü");
  assert.equal(await desk.result(() => linux.renameat(dir, "link", dir, "moved")), 0);
  assert.equal(await desk.result(() => linux.unlinkat(dir, "moved", 0)), 0);
  assert.equal(await desk.result(() => linux.unlinkat(dir, "moved", 0)), -linux.ENOENT);

  const flags = linux.O_RDWR | linux.O_CREAT | linux.O_CLOEXEC;
  const fd = box.own(await desk.result(() => linux.openat(dir, "file", flags, 0o640)));
  const size = box.put("some text");
  assert.equal(await desk.result(() => linux.pwrite(fd, box.at(), size, 3n)), size);
  const vectors = new linux.IoVectors(2);
  vectors.add(box.at(100), 4);
  vectors.add(box.at(200), 100);
  assert.equal(await desk.result(() => linux.preadv(fd, vectors, 3n)), size);
  assert.equal(box.text(4, 100) + box.text(5, 200), "some text");
  assert.equal(await desk.result(() => linux.fsync(fd)), 0);
  assert.equal(await desk.result(() => linux.ftruncate(fd, 5n)), 0);
  assert.equal(await desk.result(() => linux.chmodFd(fd, 0o600)), 0);
  assert.equal(await desk.result(() => linux.utimensat(fd, null, 7n, 8, 9n, 10, 0)), 0);
  const found = new linux.Statx();
  const mask = linux.STATX_BASIC_STATS;
  assert.equal(await desk.result(() => linux.statx(fd, null, 0, mask, found)), 0);
  assert.deepEqual(
    [found.size, found.mode & 0o777, found.atimeSec, found.atimeNsec, found.mtimeSec],
    [5n, 0o600, 7n, 8, 9n],
  );
});

test("Helpers set and read attributes in memory of the call's own", async (box) => {
  await using desk = new Desk();
  const fd = box.file("file");
  const { bytes, address } = linux.scratch();
  bytes.set([1, 2, 3]);
  const set = desk.run(() => linux.setxattrat(fd, null, "user.a", address, 3, 0));
  bytes.fill(9, 0, 3); // somebody else needs it
  await desk.finish();
  assert.equal((await set).result, 0);
  const room = linux.pin(16);
  const size = () => linux.getxattrat(fd, null, "user.a", room.address, 16);
  assert.equal(await desk.result(size), 3);
  assert.deepEqual([...room.bytes.subarray(0, 3)], [1, 2, 3]);
});

test("Helpers answer hundreds of calls at once, each with its own result", async (box) => {
  await using desk = new Desk({ first: 1, most: 3 });
  const fd = box.file("file", "x".repeat(1000));
  const ends: Promise<linux.EndedCall>[] = [];
  for (let i = 0; i < 500; i++) ends.push(desk.run(() => linux.pread(fd, box.at(), 1000 - i, 0n)));
  assert.equal(desk.helpers.running, 500);
  await desk.finish();
  const results = (await Promise.all(ends)).map(({ result }) => result);
  assert.deepEqual(results, Array.from({ length: 500 }, (_, i) => 1000 - i));
});

test("Helpers: calls that hang in one lane hold up nobody in another", async (box) => {
  await using desk = new Desk({ first: 1, most: 4 });
  const path = `${box.path}/pipe`;
  assert.equal(linux.mknodat(box.dir, "pipe", 0o10600, 0, 0), 0);
  // Opening the one end waits for the other.
  const open = () => linux.openat(box.dir, "pipe", linux.O_RDONLY, 0);
  const hang = [1, 2, 3, 4, 5].map(() => desk.run(open, 1n));
  const other = desk.run(() => linux.close(-1), 2n);
  const last = performance.now() + 20_000;
  while ((await Promise.race([other, undefined])) === undefined) {
    assert.ok(performance.now() < last, "the other lane waits too");
    desk.helpers.settle();
    await sleep(5);
  }
  assert.equal(desk.helpers.running, 5);
  await sleep(50);
  const writer = box.own(linux.openat(linux.AT_FDCWD, path, linux.O_RDWR, 0));
  await desk.finish();
  for (const end of hang) box.own((await end).result);
  const { micros } = await (hang[0] as Promise<linux.EndedCall>);
  assert.ok(micros > 1000, `${micros} µs`);
  assert.ok(writer >= 0);
});

test("Helpers make a call as whom the thread acted as, and are themselves again", async (box) => {
  if (linux.geteuid() !== 0) return;
  await using desk = new Desk({ first: 1, most: 1 });
  linux.chmodFd(box.dir, 0o777);
  const user = { uid: 4000000001, gid: 4000000002, groups: [4000000002, 1234] };
  const make = (name: string) => () =>
    linux.openat(box.dir, name, linux.O_WRONLY | linux.O_CREAT, 0o600);
  const asSomebody = linux.asUser(user, () => desk.run(make("theirs")));
  assert.equal(linux.actingUser(), null);
  const asServer = desk.run(make("ours"));
  await desk.finish();
  for (const end of [asSomebody, asServer]) box.own((await end).result);
  const theirs = Deno.statSync(`${box.path}/theirs`);
  assert.deepEqual([theirs.uid, theirs.gid], [user.uid, user.gid]);
  const ours = Deno.statSync(`${box.path}/ours`);
  assert.deepEqual([ours.uid, ours.gid], [0, linux.getegid()]);
  const read = () => linux.openat(box.dir, "ours", linux.O_RDONLY, 0);
  const denied = linux.asUser(user, () => desk.run(read));
  await desk.finish();
  assert.equal((await denied).result, -linux.EACCES);
  // Groups count as well.
  const ofGroup = box.file("group", "x");
  assert.equal(linux.fchownat(ofGroup, null, 0, 1234, 0), 0);
  assert.equal(linux.chmodFd(ofGroup, 0o040), 0);
  const openGroup = () => linux.openat(box.dir, "group", linux.O_RDONLY, 0);
  const granted = linux.asUser(user, () => desk.run(openGroup));
  await desk.finish();
  box.own((await granted).result);
});

test("Helpers are started by whom the owner says, and ended by anybody", async () => {
  const asked: SharedArrayBuffer[] = [];
  await using desk = new Desk({ first: 1, most: 1, start: (memory) => asked.push(memory) });
  const end = desk.run(() => linux.close(-1));
  assert.equal(asked.length, 1);
  desk.helpers.settle();
  assert.equal(desk.helpers.running, 1);
  linux.startHelper(asked[0] as SharedArrayBuffer);
  await desk.finish();
  assert.equal((await end).result, -linux.EBADF);
  linux.endHelpers(asked[0] as SharedArrayBuffer);
  await desk.helpers.whenIdle();
});

test("preadCached() reads what is cached, or says why not", (box) => {
  const fd = box.file("file", "0123456789");
  const got = linux.preadCached(fd, box.at(), 20, 2n);
  if (got === -linux.EOPNOTSUPP) {
    // Not every file system can tell.
    assert.equal(linux.pread(fd, box.at(), 20, 2n), 8);
    return;
  }
  assert.equal(got, 8);
  assert.equal(box.text(8), "23456789");
  assert.equal(linux.preadCached(fd, box.at(), 20, 10n), 0);
  assert.equal(linux.preadCached(-1, box.at(), 20, 0n), -linux.EBADF);
});

Deno.test("monotonicMicros() goes on", () => {
  const before = linux.monotonicMicros();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  const passed = linux.monotonicMicros() - before;
  assert.ok(passed >= 5000 && passed < 5_000_000, `${passed} µs`);
});
