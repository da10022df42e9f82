import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

const { O_RDONLY, O_RDWR, O_PATH, O_CREAT, O_EXCL, O_CLOEXEC, O_NOFOLLOW, O_DIRECTORY } = linux;
const NO_FD = 1 << 30;

test("openat() opens, creates and says why not", (box) => {
  const fd = box.own(linux.openat(box.dir, "a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o640));
  assert.equal((Deno.statSync(`${box.path}/a`).mode ?? 0) & ~0o640 & 0o777, 0);
  assert(fd > 2);
  assert.equal(linux.openat(box.dir, "a", O_RDWR | O_CREAT | O_EXCL, 0), -linux.EEXIST);
  assert.equal(linux.openat(box.dir, "b", O_RDONLY, 0), -linux.ENOENT);
  assert.equal(linux.openat(box.dir, "a", O_RDONLY | O_DIRECTORY, 0), -linux.ENOTDIR);
  assert.equal(linux.openat(NO_FD, "a", O_RDONLY, 0), -linux.EBADF);
  assert.equal(linux.openat(box.dir, "a\0", O_RDONLY, 0), -linux.EINVAL);
  assert.equal(linux.openat(box.dir, "x".repeat(256), O_RDONLY, 0), -linux.ENAMETOOLONG);
  assert.equal(linux.openat(box.dir, "x/".repeat(3000), O_RDONLY, 0), -linux.ENAMETOOLONG);
  Deno.symlinkSync("a", `${box.path}/link`);
  assert.equal(linux.openat(box.dir, "link", O_RDONLY | O_NOFOLLOW, 0), -linux.ELOOP);
});

test("openat2() stays beneath its folder", (box) => {
  assert.equal(linux.features().openat2, true, "needs Linux 5.6");
  box.file("a");
  Deno.mkdirSync(`${box.path}/sub`);
  Deno.symlinkSync("../a", `${box.path}/sub/up`);
  Deno.symlinkSync("/etc", `${box.path}/out`);
  const { RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT } = linux;
  const open = (name: string, resolve: number): number => {
    const fd = linux.openat2(box.dir, name, O_PATH | O_CLOEXEC, 0, resolve);
    if (fd >= 0) linux.close(fd);
    return Math.min(fd, 0);
  };
  assert.equal(open("a", RESOLVE_BENEATH), 0);
  assert.equal(open("sub/up", RESOLVE_BENEATH), 0);
  assert.equal(open("sub/up", RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), -linux.ELOOP);
  assert.equal(open("..", RESOLVE_BENEATH), -linux.EXDEV);
  assert.equal(open("/etc", RESOLVE_BENEATH), -linux.EXDEV);
  assert.equal(open("out", RESOLVE_BENEATH), -linux.EXDEV);
  assert.equal(open("..", RESOLVE_IN_ROOT), 0);
  assert.equal(linux.openat2(box.dir, "a", O_RDONLY, 0o600, 0), -linux.EINVAL);
  const made = linux.openat2(box.dir, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0o600, RESOLVE_BENEATH);
  box.own(made);
  assert.equal((Deno.statSync(`${box.path}/new`).mode ?? 0) & 0o777, 0o600);
});

test("names that are not UTF-8 survive", (box) => {
  const name = "\udcff\udcfeé";
  const fd = box.file(name);
  assert.equal(linux.pathOf(fd), `${box.path}/${name}`);
  assert.equal(linux.unlinkat(box.dir, name, 0), 0);
  assert.equal(linux.unlinkat(box.dir, name, 0), -linux.ENOENT);
});

test("close() closes once", (box) => {
  const fd = linux.reopen(box.dir, O_RDONLY | O_CLOEXEC);
  assert.equal(linux.close(fd), 0);
  assert.equal(linux.close(fd), -linux.EBADF);
});

test("reopen() turns a place into an open file", (box) => {
  box.file("a", "text");
  const place = box.own(linux.openat(box.dir, "a", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
  assert.equal(linux.pread(place, box.at(), 4, 0n), -linux.EBADF);
  const fd = box.own(linux.reopen(place, O_RDONLY | O_CLOEXEC));
  assert.equal(linux.pread(fd, box.at(), 4, 0n), 4);
  assert.equal(box.text(4), "text");
  assert.equal(linux.reopen(-1, O_RDONLY), -linux.ENOENT);
  assert.equal(linux.reopen(NO_FD, O_RDONLY), -linux.ENOENT);
});

test("read(), write(), pread(), pwrite() move bytes", (box) => {
  const fd = box.file("a");
  const size = box.put("hello, world");
  assert.equal(linux.write(fd, box.at(), size), 12);
  assert.equal(linux.pwrite(fd, box.at(), 5, 20n), 5);
  assert.equal(linux.pread(fd, box.at(100), 100, 18n), 7);
  assert.equal(box.text(7, 100), "\0\0hello");
  assert.equal(linux.read(fd, box.at(200), 100), 13);
  assert.equal(box.text(13, 200), "\0".repeat(8) + "hello");
  assert.equal(linux.read(fd, box.at(), 1), 0);
  for (const call of [linux.read, linux.write]) {
    assert.equal(call(NO_FD, box.at(), 1), -linux.EBADF);
  }
  for (const call of [linux.pread, linux.pwrite]) {
    assert.equal(call(NO_FD, box.at(), 1, 0n), -linux.EBADF);
  }
  assert.equal(linux.read(box.own(linux.reopen(box.dir, O_RDONLY)), box.at(), 1), -linux.EISDIR);
});

test("offsets of 64 bits are passed whole, cold and hot", (box) => {
  const fd = box.file("a");
  box.put("x");
  const far = (1n << 32n) * 100n + 3n;
  assert.equal(linux.pwrite(fd, box.at(), 1, far), 1);
  for (let round = 0; round < 20_000; round++) {
    // What a hostile client may send as a u64.
    const first = linux.pread(fd, box.at(), 1, 0xffff_ffff_ffff_ffffn);
    const second = linux.pread(fd, box.at(), 1, 1n << 63n);
    const third = linux.pread(fd, box.at(), 2, far);
    if (first !== -linux.EINVAL || second !== -linux.EINVAL || third !== 1) {
      assert.fail(`round ${round}: ${first} ${second} ${third}`);
    }
  }
});

test("preadv(), pwritev(), readv(), writev() take segments in order", (box) => {
  const fd = box.file("a");
  const vectors = new linux.IoVectors(4);
  box.put("onetwothree");
  assert.equal(vectors.add(box.at(3), 3), true);
  assert.equal(vectors.add(box.at(), 0), true);
  assert.equal(vectors.add(box.at(), 3), true);
  assert.deepEqual([vectors.count, vectors.size], [2, 6]);
  assert.equal(linux.pwritev(fd, vectors, 1n), 6);
  assert.equal(linux.writev(fd, vectors), 6);
  assert.equal(linux.pwritev2(fd, vectors, 6n, 0), 6);
  assert.equal(Deno.readTextFileSync(`${box.path}/a`), "twoonetwoone");
  vectors.clear();
  vectors.add(box.at(100), 5);
  vectors.add(box.at(200), 10);
  assert.equal(linux.preadv(fd, vectors, 1n), 11);
  assert.deepEqual([box.text(5, 100), box.text(6, 200)], ["woone", "twoone"]);
  assert.equal(linux.preadv2(fd, vectors, 7n, 0), 5);
  assert.equal(linux.lseek(fd, 0n, linux.SEEK_SET), 0n);
  assert.equal(linux.readv(fd, vectors), 12);
  assert.deepEqual([box.text(5, 100), box.text(7, 200)], ["twoon", "etwoone"]);
  for (const call of [linux.preadv, linux.pwritev]) {
    assert.equal(call(NO_FD, vectors, 0n), -linux.EBADF);
    assert.equal(call(fd, vectors, 1n << 63n), -linux.EINVAL);
  }
  for (const call of [linux.readv, linux.writev]) assert.equal(call(NO_FD, vectors), -linux.EBADF);
  for (const call of [linux.preadv2, linux.pwritev2]) {
    assert.equal(call(NO_FD, vectors, 0n, 0), -linux.EBADF);
    assert.equal(call(fd, vectors, 0n, 1 << 30), -linux.EOPNOTSUPP);
  }
});

test("preadv2() passes offset and flags apart", (box) => {
  const fd = box.file("a", "0123456789");
  const vectors = new linux.IoVectors(1);
  vectors.add(box.at(), 4);
  const result = linux.preadv2(fd, vectors, 6n, linux.RWF_NOWAIT);
  // A file system may lack the flag, as overlayfs does; a wrong order of arguments is EINVAL.
  assert(result === 4 || result === -linux.EOPNOTSUPP || result === -linux.EAGAIN, `${result}`);
  if (result === 4) assert.equal(box.text(4), "6789");
});

test("IoVectors keeps count through add(), advance() and limit()", (box) => {
  const vectors = new linux.IoVectors(3);
  const fd = box.file("a");
  box.put("abcdefghij");
  const content = (): string => {
    linux.ftruncate(fd, 0n);
    linux.pwritev(fd, vectors, 0n);
    return Deno.readTextFileSync(`${box.path}/a`);
  };
  vectors.add(box.at(), 4);
  vectors.add(box.at(4), 3);
  vectors.add(box.at(7), 3);
  assert.equal(vectors.add(box.at(), 1), false);
  assert.equal(content(), "abcdefghij");
  vectors.limit(8);
  assert.deepEqual([content(), vectors.size, vectors.count], ["abcdefgh", 8, 3]);
  vectors.advance(2);
  assert.deepEqual([content(), vectors.size, vectors.count], ["cdefgh", 6, 3]);
  vectors.advance(2);
  assert.deepEqual([content(), vectors.size, vectors.count], ["efgh", 4, 2]);
  vectors.limit(3);
  assert.deepEqual([content(), vectors.size, vectors.count], ["efg", 3, 1]);
  vectors.advance(100);
  assert.deepEqual([vectors.size, vectors.count], [0, 0]);
  vectors.clear();
  vectors.add(2 ** 47 - 4096, 2 ** 33);
  vectors.advance(2 ** 32 + 5);
  assert.equal(vectors.size, 2 ** 32 - 5);
  assert.throws(() => new linux.IoVectors(1025), RangeError);
  assert.throws(() => new linux.IoVectors(0), RangeError);
});

test("lseek() and seekTo() tell 64-bit offsets from errors", (box) => {
  const fd = box.file("a");
  assert.equal(linux.lseek(fd, 0x8000_0001n, linux.SEEK_SET), 0x8000_0001n);
  assert.equal(linux.lseek(fd, 0n, linux.SEEK_CUR), 0x8000_0001n);
  assert.equal(linux.seekTo(fd, 0xffff_fff0n), 0);
  assert.equal(linux.lseek(fd, 1n << 63n, linux.SEEK_SET), BigInt(-linux.EINVAL));
  assert.equal(linux.seekTo(fd, 1n << 63n), -linux.EINVAL);
  assert.equal(linux.lseek(fd, 0n, linux.SEEK_DATA), BigInt(-linux.ENXIO));
  assert.equal(linux.seekTo(NO_FD, 0n), -linux.EBADF);
});

test("ftruncate(), truncate() and truncateFd() set the size", (box) => {
  const fd = box.file("a");
  const path = `${box.path}/a`;
  const size = (): number => Deno.statSync(path).size;
  assert.equal(linux.ftruncate(fd, 5_000_000_000n), 0);
  assert.equal(size(), 5_000_000_000);
  assert.equal(linux.truncate(path, 7n), 0);
  assert.equal(size(), 7);
  assert.equal(linux.truncateFd(fd, 9n), 0);
  assert.equal(size(), 9);
  assert.equal(linux.ftruncate(fd, 1n << 63n), -linux.EINVAL);
  assert.equal(linux.truncate(`${path}/b`, 0n), -linux.ENOTDIR);
  assert.equal(linux.truncateFd(box.dir, 0n), -linux.EISDIR);
});

test("fallocate() punches holes", (box) => {
  const fd = box.file("a", "x".repeat(8192));
  const mode = linux.FALLOC_FL_PUNCH_HOLE | linux.FALLOC_FL_KEEP_SIZE;
  assert.equal(linux.fallocate(fd, mode, 0n, 4096n), 0);
  assert.equal(Deno.readTextFileSync(`${box.path}/a`), "\0".repeat(4096) + "x".repeat(4096));
  assert.equal(linux.fallocate(fd, 0, 0n, 10000n), 0);
  assert.equal(Deno.statSync(`${box.path}/a`).size, 10000);
  assert.equal(linux.fallocate(fd, 0, 0n, 0n), -linux.EINVAL);
});

test("fsync(), fdatasync() and syncfs() report bad descriptors", (box) => {
  const fd = box.file("a", "text");
  for (const call of [linux.fsync, linux.fdatasync, linux.syncfs]) {
    assert.equal(call(fd), 0);
    assert.equal(call(NO_FD), -linux.EBADF);
  }
});

test("sendfile(), splice() and copyFileRange() move bytes in the kernel", (box) => {
  const from = box.file("from", "0123456789");
  const to = box.file("to");
  const pair = linux.socketpair(linux.SOCK_STREAM | linux.SOCK_CLOEXEC);
  assert(Array.isArray(pair));
  pair.forEach((fd) => box.own(fd));
  assert.equal(linux.sendfile(pair[0], from, 3n, 4), 4);
  assert.equal(linux.recv(pair[1], box.at(), 10, 0), 4);
  assert.equal(box.text(4), "3456");
  assert.equal(linux.sendfile(pair[0], NO_FD, 0n, 1), -linux.EBADF);

  assert.equal(linux.copyFileRange(from, 2n, to, 1n, 3), 3);
  assert.equal(Deno.readTextFileSync(`${box.path}/to`), "\x00234");
  assert.equal(linux.copyFileRange(NO_FD, 0n, to, 0n, 1), -linux.EBADF);

  const pipe = linux.pipe2(O_CLOEXEC);
  assert(Array.isArray(pipe));
  const [reader, writer] = pipe.map((fd) => box.own(fd)) as [number, number];
  assert.equal(linux.splice(from, 5n, writer, null, 3, 0), 3);
  assert.equal(linux.splice(reader, null, to, 8n, 3, linux.SPLICE_F_MOVE), 3);
  assert.equal(Deno.readTextFileSync(`${box.path}/to`), "\x00234\0\0\0\x00567");
  assert.equal(linux.splice(from, null, to, null, 1, 0), -linux.EINVAL);
});

test("memfdCreate() makes a file that can be sealed", (box) => {
  const fd = box.own(linux.memfdCreate("test", linux.MFD_CLOEXEC | linux.MFD_ALLOW_SEALING));
  assert.equal(linux.ftruncate(fd, 4096n), 0);
  assert.equal(linux.fcntl(fd, linux.F_ADD_SEALS, linux.F_SEAL_SHRINK), 0);
  assert.equal(linux.fcntl(fd, linux.F_GET_SEALS, 0), linux.F_SEAL_SHRINK);
  assert.equal(linux.ftruncate(fd, 0n), -linux.EPERM);
  assert.equal(linux.memfdCreate("test", 1 << 30), -linux.EINVAL);
});

test("nameToHandleAt() and openByHandleAt() find a file again", (box) => {
  const fd = box.file("a", "text");
  const handle = new linux.FileHandle();
  assert.equal(
    linux.nameToHandleAt(box.dir, "a", handle, 0),
    0,
    "needs a TMPDIR with file handles",
  );
  assert(handle.size > 0 && handle.size <= 128);
  assert(handle.mountId > 0);
  const other = new linux.FileHandle();
  assert.equal(linux.nameToHandleAt(fd, "", other, linux.AT_EMPTY_PATH), 0);
  assert.deepEqual(other.save(), handle.save());
  assert.equal(other.type, handle.type);
  assert.equal(linux.nameToHandleAt(box.dir, "b", other, 0), -linux.ENOENT);
  const again = new linux.FileHandle();
  again.load(handle.save());
  assert.throws(() => again.load(new Uint8Array(7)), RangeError);
  assert.throws(() => again.load(new Uint8Array(137)), RangeError);
  const mount = box.own(linux.reopen(box.dir, O_RDONLY | O_CLOEXEC));
  const found = linux.openByHandleAt(mount, again, O_RDONLY | O_CLOEXEC);
  if (linux.geteuid() === 0) {
    box.own(found);
    assert.equal(linux.pread(found, box.at(), 4, 0n), 4);
    assert.equal(box.text(4), "text");
    assert.equal(linux.openByHandleAt(NO_FD, again, O_RDONLY), -linux.EBADF);
  } else assert.equal(found, -linux.EPERM);
});

test("Fd closes once, unless it was given away", (box) => {
  const number = linux.reopen(box.dir, O_RDONLY | O_CLOEXEC);
  {
    using fd = linux.Fd.from(number, "open the folder");
    assert.equal(fd.number, number);
    assert.equal(fd.isOpen, true);
  }
  assert.equal(linux.close(number), -linux.EBADF);
  const fd = linux.Fd.from(linux.reopen(box.dir, O_RDONLY | O_CLOEXEC), "open the folder");
  const taken = fd.take();
  fd[Symbol.dispose]();
  assert.equal(fd.isOpen, false);
  assert.throws(() => fd.number, { name: "LinuxError", code: linux.EBADF });
  assert.throws(() => fd.take(), { name: "LinuxError" });
  assert.equal(linux.close(taken), 0);
  assert.throws(() => linux.Fd.from(-linux.ENOENT, "open the export"), {
    name: "LinuxError",
    message: "Cannot open the export: ENOENT",
    code: linux.ENOENT,
  });
});
