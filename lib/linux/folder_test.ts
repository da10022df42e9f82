import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

const NO_FD = 1 << 30;

test("getdents64() and DirentCursor list a folder, in pieces too", (box) => {
  const names = ["é", "\udcff", "x".repeat(255)];
  for (let index = 0; index < 300; index++) names.push(`file ${index}`);
  for (const name of names) linux.close(linux.openat(box.dir, name, linux.O_CREAT, 0o600));
  linux.mkdirat(box.dir, "folder", 0o700);
  const fd = box.own(linux.reopen(box.dir, linux.O_RDONLY | linux.O_CLOEXEC));
  const cursor = new linux.DirentCursor(box.memory.bytes);
  for (const size of [600, 4096, 131072]) {
    assert.equal(linux.seekTo(fd, 0n), 0);
    const found = new Map<string, number>();
    let third: [name: string, offset: bigint] | undefined;
    for (;;) {
      const filled = linux.getdents64(fd, box.at(), size);
      assert(filled >= 0 && filled <= size);
      if (filled === 0) break;
      cursor.reset(filled);
      while (cursor.next()) {
        if (!cursor.isDots) {
          found.set(cursor.name, cursor.type);
          assert(cursor.ino > 0n);
        } else assert(cursor.name === "." || cursor.name === "..");
        if (found.size === 3) third ??= [cursor.name, cursor.off];
      }
    }
    assert.deepEqual([...found.keys()].sort(), [...names, "folder"].sort());
    assert(found.get("folder") === linux.DT_DIR || found.get("folder") === linux.DT_UNKNOWN);
    // An entry's offset leads to the entry after it, however large it is.
    assert(third !== undefined);
    assert.equal(linux.seekTo(fd, third[1]), 0);
    cursor.reset(linux.getdents64(fd, box.at(), 131072));
    let rest = 0;
    while (cursor.next()) {
      assert.notEqual(cursor.name, third[0]);
      if (!cursor.isDots) rest++;
    }
    assert.equal(rest, names.length + 1 - 3);
  }
  assert.equal(linux.seekTo(fd, 0n), 0);
  assert.equal(linux.getdents64(fd, box.at(), 10), -linux.EINVAL);
  assert.equal(linux.getdents64(NO_FD, box.at(), 4096), -linux.EBADF);
});

test("DirentCursor stops where the bytes make no sense", () => {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  const cursor = new linux.DirentCursor(bytes);
  for (const size of [0, 19, 65, 65535]) {
    view.setUint16(16, size, true);
    cursor.reset(64);
    assert.equal(cursor.next(), false, `reclen ${size}`);
  }
  view.setUint16(16, 24, true);
  bytes.fill(0x61, 19, 24); // no NUL
  cursor.reset(1000);
  assert.equal(cursor.next(), true);
  assert.equal(cursor.name, "aaaaa");
  cursor.reset(18);
  assert.equal(cursor.next(), false);
});

test("mkdirat(), unlinkat() and unlink() make and remove", (box) => {
  assert.equal(linux.mkdirat(box.dir, "d", 0o700), 0);
  assert.equal(linux.mkdirat(box.dir, "d", 0o700), -linux.EEXIST);
  assert.equal(linux.unlinkat(box.dir, "d", 0), -linux.EISDIR);
  box.file("a");
  assert.equal(linux.unlinkat(box.dir, "a", linux.AT_REMOVEDIR), -linux.ENOTDIR);
  assert.equal(linux.unlinkat(box.dir, "d", linux.AT_REMOVEDIR), 0);
  assert.equal(linux.unlink(`${box.path}/a`), 0);
  assert.equal(linux.unlink(`${box.path}/a`), -linux.ENOENT);
});

test("mknodat() makes pipes, sockets and devices", (box) => {
  const record = new linux.Statx();
  const kind = (name: string): number => {
    assert.equal(
      linux.statx(box.dir, name, linux.AT_SYMLINK_NOFOLLOW, linux.STATX_BASIC_STATS, record),
      0,
    );
    return record.mode & linux.S_IFMT;
  };
  assert.equal(linux.mknodat(box.dir, "pipe", linux.S_IFIFO | 0o600, 0, 0), 0);
  assert.equal(kind("pipe"), linux.S_IFIFO);
  assert.equal(linux.mknodat(box.dir, "socket", linux.S_IFSOCK | 0o600, 0, 0), 0);
  assert.equal(kind("socket"), linux.S_IFSOCK);
  assert.equal(linux.mknodat(box.dir, "pipe", linux.S_IFIFO, 0, 0), -linux.EEXIST);
  const made = linux.mknodat(box.dir, "device", linux.S_IFCHR | 0o600, 259, 70000);
  if (linux.geteuid() === 0) {
    assert.equal(made, 0);
    assert.equal(kind("device"), linux.S_IFCHR);
    assert.deepEqual([record.rdevMajor, record.rdevMinor], [259, 70000]);
  } else assert.equal(made, -linux.EPERM);
});

Deno.test("makedev() packs as libc does", () => {
  assert.equal(linux.makedev(8, 1), 0x801n);
  assert.equal(linux.makedev(259, 70000), 0x11110370n);
  assert.equal(linux.makedev(0xfffff, 0xffffffff), 0xfffffffffffffn);
});

test("symlinkat(), readlinkat() and readLink() keep every byte", (box) => {
  const target = "../\udcff/é";
  assert.equal(linux.symlinkat(target, box.dir, "link"), 0);
  assert.equal(linux.readLink(box.dir, "link"), target);
  const place = box.own(
    linux.openat(box.dir, "link", linux.O_PATH | linux.O_NOFOLLOW | linux.O_CLOEXEC, 0),
  );
  assert.equal(linux.readLink(place, null), target);
  assert.equal(linux.readlinkat(box.dir, "link", box.at(), 2), 2);
  assert.equal(box.text(2), "..");
  assert.equal(linux.readlinkat(place, null, box.at(), 100), 7);
  assert.equal(linux.symlinkat("x", box.dir, "link"), -linux.EEXIST);
  assert.equal(linux.symlinkat("", box.dir, "other"), -linux.ENOENT);
  assert.equal(linux.symlinkat("x".repeat(4096), box.dir, "other"), -linux.ENAMETOOLONG);
  assert.equal(linux.symlinkat("x\0", box.dir, "other"), -linux.EINVAL);
  assert.equal(linux.symlinkat("x", box.dir, "\0"), -linux.EINVAL);
  const long = "y".repeat(4095);
  assert.equal(linux.symlinkat(long, box.dir, "long"), 0);
  assert.equal(linux.readLink(box.dir, "long"), long);
  assert.equal(linux.readLink(box.dir, "none"), -linux.ENOENT);
  assert.equal(linux.readlinkat(box.dir, null, box.at(), 10), -linux.ENOENT);
});

test("linkat() and linkFd() give a second name", (box) => {
  const fd = box.file("a", "text");
  const read = (name: string): string => Deno.readTextFileSync(`${box.path}/${name}`);
  assert.equal(linux.linkat(box.dir, "a", box.dir, "b", 0), 0);
  assert.equal(read("b"), "text");
  assert.equal(linux.linkat(box.dir, "a", box.dir, "b", 0), -linux.EEXIST);
  assert.equal(linux.linkat(box.dir, "none", box.dir, "c", 0), -linux.ENOENT);
  assert.equal(linux.linkFd(fd, box.dir, "c"), 0);
  assert.equal(read("c"), "text");
  assert.equal(linux.linkFd(fd, box.dir, "c"), -linux.EEXIST);
  // The link itself gets the name, not what it points to.
  linux.symlinkat("nowhere", box.dir, "link");
  const place = box.own(
    linux.openat(box.dir, "link", linux.O_PATH | linux.O_NOFOLLOW | linux.O_CLOEXEC, 0),
  );
  assert.equal(linux.linkFd(place, box.dir, "link 2"), 0);
  assert.equal(linux.readLink(box.dir, "link 2"), "nowhere");
  const unnamed = box.own(
    linux.openat(linux.AT_FDCWD, box.path, linux.O_TMPFILE | linux.O_RDWR | linux.O_CLOEXEC, 0o600),
  );
  assert.equal(linux.linkFd(unnamed, box.dir, "named"), 0);
  assert.equal(read("named"), "");
  assert.equal(linux.linkFd(NO_FD, box.dir, "d"), -linux.ENOENT);
});

test("renameat() and renameat2() move names", (box) => {
  box.file("a", "A");
  box.file("b", "B");
  const read = (name: string): string => Deno.readTextFileSync(`${box.path}/${name}`);
  assert.equal(linux.renameat2(box.dir, "a", box.dir, "b", linux.RENAME_NOREPLACE), -linux.EEXIST);
  assert.equal(linux.renameat2(box.dir, "a", box.dir, "b", linux.RENAME_EXCHANGE), 0);
  assert.deepEqual([read("a"), read("b")], ["B", "A"]);
  assert.equal(linux.renameat(box.dir, "a", box.dir, "b"), 0);
  assert.equal(read("b"), "B");
  assert.equal(linux.renameat(box.dir, "a", box.dir, "b"), -linux.ENOENT);
  assert.equal(linux.renameat2(box.dir, "b", box.dir, "c", 1 << 30), -linux.EINVAL);
});

test("pathOf() follows a renamed file", (box) => {
  const fd = box.file("a");
  linux.renameat(box.dir, "a", box.dir, "b");
  assert.equal(linux.pathOf(fd), `${box.path}/b`);
  assert.equal(linux.pathOf(-1), -linux.EINVAL);
  assert.equal(linux.pathOf(NO_FD), -linux.ENOENT);
});
