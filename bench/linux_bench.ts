/**
 * What a system call costs through `lib/linux`.
 *
 * Run with `deno bench -A bench/linux_bench.ts`. Each cheap call should stay well below 1 µs: several
 * times that means that a number got into a 64-bit slot, which takes the call off V8's fast path.
 */

import assert from "node:assert/strict";
import {
  AT_FDCWD,
  close,
  DirentCursor,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  ENODATA,
  ENOENT,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  epollCreate,
  epollCtl,
  EpollEvents,
  EPOLLIN,
  epollWait,
  eventfd,
  eventfdRead,
  eventfdWrite,
  Fd,
  getdents64,
  getppid,
  getxattrat,
  IoVectors,
  MappedMemory,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  openat,
  openat2,
  pread,
  preadv,
  pwrite,
  recv,
  reopen,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  seekTo,
  send,
  sendmsg,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socketpair,
  Statx,
  statx,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from "../lib/linux/mod.ts";

const memory = MappedMemory.anonymous(65536);
const { address } = memory;
const folder = Fd.from(openat(AT_FDCWD, "/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC, 0), "open /tmp");
const file = Fd.from(
  openat(AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0o600),
  "open a file",
);
const etc = Fd.from(openat(AT_FDCWD, "/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open /etc");
const [dir, fd, list] = [folder.number, file.number, etc.number];
const vectors = new IoVectors(16);
const record = new Statx();
const mask = STATX_BASIC_STATS | STATX_BTIME;
const cursor = new DirentCursor(memory.bytes);
const events = new EpollEvents(16);
const epoll = epollCreate(EPOLL_CLOEXEC);
const event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
const pair = socketpair(SOCK_STREAM | SOCK_CLOEXEC);
assert(Array.isArray(pair));
const [left, right] = pair;
assert.equal(epollCtl(epoll, EPOLL_CTL_ADD, event, EPOLLIN, 7), 0);
assert.equal(pwrite(fd, address, 65536, 0n), 65536);

/** What to measure, with the result that proves that it did what it says. */
const CALLS: [name: string, group: string, call: () => number, expected: number][] = [
  ["getppid", "cheap", () => getppid(), getppid()],
  ["pread 1 B", "cheap", () => pread(fd, address, 1, 0n), 1],
  ["pwrite 1 B", "cheap", () => pwrite(fd, address, 1, 0n), 1],
  ["preadv 2 segments", "cheap", () => {
    vectors.clear();
    vectors.add(address, 1);
    vectors.add(address + 8, 1);
    return preadv(fd, vectors, 0n);
  }, 2],
  ["statx of a descriptor", "cheap", () => statx(fd, null, 0, mask, record), 0],
  ["epoll_wait(0)", "cheap", () => epollWait(epoll, events, 0), 0],
  ["eventfd write and read", "cheap", () => {
    eventfdWrite(event, 1);
    return eventfdRead(event);
  }, 1],
  ["statx of a name", "names", () => statx(list, "passwd", 0, mask, record), 0],
  ["statx of a missing name", "names", () => statx(dir, "not there", 0, mask, record), -ENOENT],
  [
    "getxattr without one",
    "names",
    () => getxattrat(list, "passwd", "user.a", address, 64),
    -ENODATA,
  ],
  [
    "openat + close",
    "names",
    () => close(openat(list, "passwd", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)),
    0,
  ],
  ["openat2 + close", "names", () => {
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return close(openat2(list, "passwd", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, resolve));
  }, 0],
  ["reopen + close", "names", () => close(reopen(fd, O_RDONLY | O_CLOEXEC)), 0],
  ["send + recv 64 B", "sockets", () => {
    send(left, address, 64, 0);
    return recv(right, address, 64, 0);
  }, 64],
  ["sendmsg of 2 segments + recv", "sockets", () => {
    vectors.clear();
    vectors.add(address, 11);
    vectors.add(address + 64, 53);
    sendmsg(left, vectors, 0);
    return recv(right, address, 64, 0);
  }, 64],
  ["getdents64 of /etc", "large", () => {
    seekTo(list, 0n);
    cursor.reset(getdents64(list, address, 65536));
    let dots = 0;
    while (cursor.next()) if (cursor.isDots) dots++;
    return dots;
  }, 2],
  ["pread 64 KiB", "large", () => pread(fd, address, 65536, 0n), 65536],
];

for (const [name, group, call, expected] of CALLS) {
  assert.equal(call(), expected, name); // a wrong call can be fast, too
  Deno.bench(name, { group, baseline: group === "cheap" && name === "getppid" }, () => {
    call();
  });
}
