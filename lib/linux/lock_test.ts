import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

const { F_RDLCK, F_WRLCK, F_UNLCK, LOCK_EX, LOCK_SH, LOCK_NB, LOCK_UN } = linux;
const NO_FD = 1 << 30;

test("locks of two descriptions conflict, also within one process", (box) => {
  const first = box.file("a");
  const second = box.own(linux.reopen(first, linux.O_RDWR | linux.O_CLOEXEC));
  const found = new linux.FoundLock();
  assert.equal(linux.ofdSetLock(first, F_WRLCK, 10n, 5n), 0);
  assert.equal(linux.ofdSetLock(first, F_WRLCK, 10n, 5n), 0); // its own
  assert.equal(linux.ofdSetLock(second, F_RDLCK, 14n, 1n), -linux.EAGAIN);
  assert.equal(linux.ofdSetLock(second, F_RDLCK, 15n, 1n), 0);
  assert.equal(linux.ofdGetLock(second, F_WRLCK, 0n, 0n, found), 0);
  assert.deepEqual({ ...found }, { type: F_WRLCK, start: 10n, length: 5n, pid: -1 });
  assert.equal(linux.ofdGetLock(second, F_WRLCK, 0n, 10n, found), 0);
  assert.equal(found.type, F_UNLCK);
  assert.equal(linux.ofdSetLock(first, F_UNLCK, 0n, 0n), 0);
  assert.equal(linux.ofdSetLock(second, F_WRLCK, 0n, 0n), 0);
  assert.equal(linux.ofdWaitLock(second, F_UNLCK, 0n, 0n), 0);
  assert.equal(linux.ofdWaitLock(first, F_RDLCK, 0n, 0n), 0);
});

test("locks refuse hostile ranges and wrong modes", (box) => {
  const fd = box.file("a");
  const reader = box.own(linux.reopen(fd, linux.O_RDONLY | linux.O_CLOEXEC));
  const found = new linux.FoundLock();
  assert.equal(linux.ofdSetLock(fd, F_WRLCK, 1n << 63n, 1n), -linux.EINVAL);
  assert.equal(linux.ofdSetLock(fd, 7, 0n, 1n), -linux.EINVAL);
  const past = linux.ofdSetLock(fd, F_WRLCK, (1n << 63n) - 1n, 2n);
  assert.equal(past, -linux.EOVERFLOW);
  assert.equal(linux.ofdSetLock(reader, F_WRLCK, 0n, 1n), -linux.EBADF);
  assert.equal(linux.ofdWaitLock(NO_FD, F_WRLCK, 0n, 1n), -linux.EBADF);
  assert.equal(linux.ofdGetLock(NO_FD, F_WRLCK, 0n, 1n, found), -linux.EBADF);
});

test("flock() locks whole files", (box) => {
  const first = box.file("a");
  const second = box.own(linux.reopen(first, linux.O_RDONLY | linux.O_CLOEXEC));
  assert.equal(linux.flock(first, LOCK_EX), 0);
  assert.equal(linux.flock(second, LOCK_SH | LOCK_NB), -linux.EAGAIN);
  assert.equal(linux.flock(first, LOCK_UN), 0);
  assert.equal(linux.flock(second, LOCK_SH | LOCK_NB), 0);
  assert.equal(linux.flock(first, 0), -linux.EINVAL);
});

test("fcntl() duplicates and changes descriptors", (box) => {
  const fd = box.file("a");
  const copy = box.own(linux.fcntl(fd, linux.F_DUPFD_CLOEXEC, 100));
  assert(copy >= 100);
  assert.equal(linux.fcntl(copy, linux.F_GETFD, 0), linux.FD_CLOEXEC);
  const flags = linux.fcntl(fd, linux.F_GETFL, 0);
  assert.equal(flags & linux.O_ACCMODE, linux.O_RDWR);
  assert.equal(flags & linux.O_APPEND, 0);
  assert.equal(linux.fcntl(fd, linux.F_SETFL, flags | linux.O_APPEND), 0);
  assert.notEqual(linux.fcntl(copy, linux.F_GETFL, 0) & linux.O_APPEND, 0);
  assert.equal(linux.fcntl(NO_FD, linux.F_GETFL, 0), -linux.EBADF);
  const event = box.own(linux.eventfd(0, linux.EFD_CLOEXEC));
  assert.equal(linux.fcntl(event, linux.F_GET_SEALS, 0), -linux.EINVAL);
});
