import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

const MASK = linux.STATX_BASIC_STATS | linux.STATX_BTIME | linux.STATX_MNT_ID;
const NO_FD = 1 << 30;
const KEEP = 0xffffffff;

test("statx() agrees with Deno.stat()", (box) => {
  const fd = box.file("a", "x".repeat(5000));
  const record = new linux.Statx();
  assert.equal(linux.statx(box.dir, "a", 0, MASK, record), 0);
  const expected = Deno.statSync(`${box.path}/a`);
  const seconds = (date: Date | null): bigint => BigInt(Math.floor((date?.getTime() ?? 0) / 1000));
  assert.equal(record.mode, expected.mode);
  assert.equal(record.mode & linux.S_IFMT, linux.S_IFREG);
  assert.equal(record.size, 5000n);
  assert.equal(record.ino, BigInt(expected.ino ?? 0));
  assert.equal(record.nlink, expected.nlink);
  assert.equal(record.uid, expected.uid);
  assert.equal(record.gid, expected.gid);
  assert.equal(record.blocks, BigInt(expected.blocks ?? 0));
  assert.equal(record.blksize, expected.blksize);
  assert.equal(linux.makedev(record.devMajor, record.devMinor), BigInt(expected.dev));
  assert.equal(record.mtimeSec, seconds(expected.mtime));
  assert.equal(record.atimeSec, seconds(expected.atime));
  assert.equal(record.ctimeSec, seconds(expected.ctime));
  if (record.mask & linux.STATX_BTIME) assert.equal(record.btimeSec, seconds(expected.birthtime));
  for (
    const nsec of [record.mtimeNsec, record.atimeNsec, record.ctimeNsec, record.btimeNsec]
  ) assert(nsec < 1e9);
  assert.equal(record.attributesMask & record.attributes, record.attributes);
  assert.equal(record.mask & linux.STATX_BASIC_STATS, linux.STATX_BASIC_STATS);
  const mount = /^mnt_id:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`));
  assert.equal(record.mntId, BigInt(mount?.[1] ?? -1));

  const itself = new linux.Statx();
  assert.equal(linux.statx(box.dir, null, 0, MASK, itself), 0);
  assert.equal(itself.mode & linux.S_IFMT, linux.S_IFDIR);
  assert.equal(record.size, 5000n, "records are independent");
  assert.equal(linux.statx(box.dir, "b", 0, MASK, record), -linux.ENOENT);
  assert.equal(linux.statx(NO_FD, null, 0, MASK, record), -linux.EBADF);
});

test("statx() tells links from their targets, and devices apart", (box) => {
  const record = new linux.Statx();
  Deno.symlinkSync("/dev/null", `${box.path}/link`);
  assert.equal(linux.statx(box.dir, "link", linux.AT_SYMLINK_NOFOLLOW, MASK, record), 0);
  assert.equal(record.mode & linux.S_IFMT, linux.S_IFLNK);
  assert.equal(linux.statx(box.dir, "link", 0, MASK, record), 0);
  assert.equal(record.mode & linux.S_IFMT, linux.S_IFCHR);
  assert.deepEqual([record.rdevMajor, record.rdevMinor], [1, 3]);
});

test("fstatfs() describes the file system", (box) => {
  const record = new linux.Statfs();
  const proc = box.own(linux.openat(linux.AT_FDCWD, "/proc", linux.O_PATH | linux.O_CLOEXEC, 0));
  assert.equal(linux.fstatfs(proc, record), 0);
  assert.equal(record.type, linux.PROC_SUPER_MAGIC);
  assert.equal(linux.fstatfs(box.dir, record), 0);
  assert.equal(record.namelen, 255);
  assert(record.bsize >= 512 && record.frsize >= 512);
  assert(record.blocks > 0n && record.bfree >= record.bavail && record.blocks >= record.bfree);
  assert(record.files >= record.ffree);
  assert.equal(typeof record.fsid, "bigint");
  assert(record.flags > 0); // ST_VALID at least
  assert.equal(linux.fstatfs(NO_FD, record), -linux.EBADF);
});

test("the chmod family sets modes", (box) => {
  const fd = box.file("a");
  const path = `${box.path}/a`;
  const mode = (): number => (Deno.statSync(path).mode ?? 0) & 0o7777;
  assert.equal(linux.fchmod(fd, 0o600), 0);
  assert.equal(mode(), 0o600);
  const place = box.own(linux.openat(box.dir, "a", linux.O_PATH | linux.O_CLOEXEC, 0));
  assert.equal(linux.fchmod(place, 0o644), -linux.EBADF);
  assert.equal(linux.chmodFd(place, 0o4711), 0);
  assert.equal(mode(), 0o4711);
  assert.equal(linux.fchmodat(box.dir, "a", 0o640), 0);
  assert.equal(mode(), 0o640);
  assert.equal(linux.chmod(path, 0o444), 0);
  assert.equal(mode(), 0o444);
  const expected = linux.features().fchmodat2 ? 0 : -linux.ENOSYS;
  const { AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH } = linux;
  assert.equal(linux.fchmodat2(box.dir, "a", 0o600, AT_SYMLINK_NOFOLLOW), expected);
  assert.equal(linux.fchmodat2(place, "", 0o600, AT_EMPTY_PATH), expected);
  if (expected === 0) assert.equal(mode(), 0o600);
  assert.equal(linux.fchmodat(box.dir, "b", 0), -linux.ENOENT);
  assert.equal(linux.chmod(`${box.path}/b`, 0), -linux.ENOENT);
  assert.equal(linux.chmodFd(NO_FD, 0), -linux.ENOENT);
});

test("the chown family sets owners", (box) => {
  const fd = box.file("a");
  const path = `${box.path}/a`;
  const isRoot = linux.geteuid() === 0;
  const [uid, gid] = isRoot ? [4000000001, 4000000002] : [linux.getuid(), linux.getgid()];
  const owner = (): [number | null, number | null] => {
    const { uid, gid } = Deno.statSync(path);
    return [uid, gid];
  };
  assert.equal(linux.fchown(fd, uid, gid), 0);
  assert.deepEqual(owner(), [uid, gid]);
  const place = box.own(linux.openat(box.dir, "a", linux.O_PATH | linux.O_CLOEXEC, 0));
  assert.equal(linux.fchown(place, KEEP, KEEP), -linux.EBADF);
  assert.equal(linux.fchownat(place, null, isRoot ? 7 : KEEP, KEEP, 0), 0);
  assert.deepEqual(owner(), [isRoot ? 7 : uid, gid]);
  assert.equal(linux.fchownat(box.dir, "a", KEEP, isRoot ? 8 : KEEP, 0), 0);
  assert.deepEqual(owner(), [isRoot ? 7 : uid, isRoot ? 8 : gid]);
  assert.equal(linux.lchown(path, isRoot ? 9 : KEEP, KEEP), 0);
  assert.deepEqual(owner(), [isRoot ? 9 : uid, isRoot ? 8 : gid]);
  assert.equal(linux.fchownat(box.dir, "b", KEEP, KEEP, 0), -linux.ENOENT);
  if (!isRoot) assert.equal(linux.fchown(fd, 0, KEEP), -linux.EPERM);
});

test("utimensat() sets, keeps and takes the time", (box) => {
  box.file("a");
  const record = new linux.Statx();
  const times = (): [bigint, number, bigint, number] => {
    assert.equal(linux.statx(box.dir, "a", 0, MASK, record), 0);
    return [record.atimeSec, record.atimeNsec, record.mtimeSec, record.mtimeNsec];
  };
  assert.equal(linux.utimensat(box.dir, "a", 1n, 2, -3n, 4, 0), 0);
  assert.deepEqual(times(), [1n, 2, -3n, 4]);
  assert.equal(linux.utimensat(box.dir, "a", 0n, linux.UTIME_OMIT, 9n, 999_999_999, 0), 0);
  assert.deepEqual(times(), [1n, 2, 9n, 999_999_999]);
  const place = box.own(linux.openat(box.dir, "a", linux.O_PATH | linux.O_CLOEXEC, 0));
  assert.equal(linux.utimensat(place, null, 0n, linux.UTIME_NOW, 0n, linux.UTIME_OMIT, 0), 0);
  assert(Math.abs(Number(times()[0]) - Date.now() / 1000) < 60);
  assert.equal(times()[2], 9n);
  assert.equal(linux.utimensat(box.dir, "a", 0n, 1_000_000_000, 0n, 0, 0), -linux.EINVAL);
  assert.equal(linux.utimensat(box.dir, "b", 0n, 0, 0n, 0, 0), -linux.ENOENT);
});

test("accessFd() asks with the caller's rights", (box) => {
  const fd = box.file("a");
  linux.fchmod(fd, 0o400);
  assert.equal(linux.accessFd(fd, 4), 0);
  assert.equal(linux.accessFd(fd, 1), -linux.EACCES); // not even root, without any x bit
  assert.equal(linux.accessFd(NO_FD, 0), -linux.ENOENT);
});
