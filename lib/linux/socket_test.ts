import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { type Box, test } from "./testing.ts";

const { SOCK_STREAM, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET } = linux;
const NO_FD = 1 << 30;

function pairOf(box: Box, type: number = SOCK_STREAM): [number, number] {
  const pair = linux.socketpair(type | SOCK_CLOEXEC);
  assert(Array.isArray(pair));
  return [box.own(pair[0]), box.own(pair[1])];
}

/** Listen, connect, accept, and say a byte. Returns the address listened at. */
function converse(box: Box, address: linux.SocketAddress): linux.SocketAddress {
  const family = linux.familyOf(address);
  const server = box.own(linux.socket(family, SOCK_STREAM | SOCK_CLOEXEC));
  assert.equal(linux.bind(server, address), 0);
  assert.equal(linux.listen(server, 8), 0);
  const bound = linux.getsockname(server);
  assert(typeof bound === "object");
  const client = box.own(linux.socket(family, SOCK_STREAM | SOCK_CLOEXEC));
  assert.equal(linux.connect(client, bound), 0);
  const peer = box.own(linux.accept4(server, SOCK_CLOEXEC));
  assert.deepEqual(linux.getpeername(client), bound);
  assert.deepEqual(linux.getpeername(peer), linux.getsockname(client));
  box.put("!");
  assert.equal(linux.send(client, box.at(), 1, linux.MSG_NOSIGNAL), 1);
  assert.equal(linux.recv(peer, box.at(10), 5, 0), 1);
  assert.equal(box.text(1, 10), "!");
  assert.equal(linux.shutdown(client, linux.SHUT_WR), 0);
  assert.equal(linux.recv(peer, box.at(10), 5, 0), 0);
  return bound;
}

test("TCP over IPv4", (box) => {
  const bound = converse(box, { family: "inet", host: "127.0.0.1", port: 0 });
  assert(bound.family === "inet" && bound.host === "127.0.0.1" && bound.port > 0);
});

test("TCP over IPv6", (box) => {
  const bound = converse(box, { family: "inet6", host: "::1", port: 0 });
  assert(bound.family === "inet6" && bound.host === "::1" && bound.port > 0 && bound.scope === 0);
});

test("unix sockets with a path, even one that is not UTF-8", (box) => {
  const path = `${box.path}/s\udcff`;
  assert.deepEqual(converse(box, { family: "unix", path }), { family: "unix", path });
});

test("abstract unix sockets, with a name of any length", (box) => {
  for (const size of [20, 107]) {
    const abstract = `virtfs-${Deno.pid}-`.padEnd(size, "x");
    assert.deepEqual(converse(box, { family: "unix", abstract }), { family: "unix", abstract });
  }
});

test("vsock addresses are encoded, whether or not the kernel has vsock", (box) => {
  const fd = linux.socket(linux.AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC);
  if (fd === -linux.EAFNOSUPPORT) return; // the address could not be used anyway
  box.own(fd);
  const address = { family: "vsock", cid: linux.VMADDR_CID_ANY, port: 900_000_564 } as const;
  assert.equal(linux.bind(fd, address), 0);
  assert.deepEqual(linux.getsockname(fd), address);
});

test("addresses that make no sense are refused", (box) => {
  const unix = box.own(linux.socket(linux.AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC));
  const inet = box.own(linux.socket(linux.AF_INET, SOCK_STREAM | SOCK_CLOEXEC));
  assert.equal(linux.bind(unix, { family: "unix", path: "" }), -linux.EINVAL);
  assert.equal(linux.bind(unix, { family: "unix", path: "x".repeat(108) }), -linux.ENAMETOOLONG);
  assert.equal(
    linux.bind(unix, { family: "unix", abstract: "x".repeat(108) }),
    -linux.ENAMETOOLONG,
  );
  assert.equal(linux.bind(inet, { family: "inet", host: "localhost", port: 1 }), -linux.EINVAL);
  assert.equal(linux.connect(inet, { family: "inet6", host: "nope", port: 1 }), -linux.EINVAL);
  assert.equal(
    linux.bind(inet, { family: "inet", host: "192.0.2.1", port: 0 }),
    -linux.EADDRNOTAVAIL,
  );
  assert.equal(
    linux.connect(unix, { family: "unix", path: `${box.path}/none` }),
    -linux.ENOENT,
  );
  assert.equal(linux.socket(99, SOCK_STREAM), -linux.EAFNOSUPPORT);
  assert.equal(linux.listen(NO_FD, 1), -linux.EBADF);
  assert.equal(linux.accept4(unix, 0), -linux.EINVAL);
  assert.equal(linux.getsockname(NO_FD), -linux.EBADF);
  assert.equal(linux.getpeername(unix), -linux.ENOTCONN);
  assert.equal(linux.shutdown(inet, linux.SHUT_RDWR), -linux.ENOTCONN);
  assert.equal(linux.socketpair(99), -linux.EINVAL);
  assert.deepEqual(linux.getsockname(unix), { family: "unix", unnamed: true });
});

test("socket options", (box) => {
  const fd = box.own(linux.socket(linux.AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK));
  const { IPPROTO_TCP, TCP_NODELAY, SO_REUSEADDR, SO_RCVBUF, SO_ERROR, SO_TYPE } = linux;
  assert.equal(linux.getsockopt(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  assert.equal(linux.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1), 0);
  assert.equal(linux.getsockopt(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  assert.equal(linux.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  assert.equal(linux.getsockopt(fd, SOL_SOCKET, SO_REUSEADDR), 1);
  assert.equal(linux.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 50000), 0);
  assert.equal(linux.getsockopt(fd, SOL_SOCKET, SO_RCVBUF), 100000); // the kernel doubles it
  assert.equal(linux.getsockopt(fd, SOL_SOCKET, SO_ERROR), 0);
  assert.equal(linux.getsockopt(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  assert.equal(linux.getsockopt(fd, SOL_SOCKET, 9999), -linux.ENOPROTOOPT);
  assert.equal(linux.setsockopt(NO_FD, SOL_SOCKET, SO_REUSEADDR, 1), -linux.EBADF);
});

test("setsockoptTime() limits how long a receive waits", (box) => {
  const [left] = pairOf(box);
  assert.equal(linux.setsockoptTime(left, SOL_SOCKET, linux.SO_RCVTIMEO, 30), 0);
  const before = performance.now();
  assert.equal(linux.recv(left, box.at(), 1, 0), -linux.EAGAIN);
  assert(performance.now() - before >= 25);
  assert.equal(linux.setsockoptTime(NO_FD, SOL_SOCKET, linux.SO_RCVTIMEO, 1), -linux.EBADF);
});

test("peerCredentials() knows the other end", (box) => {
  const [left] = pairOf(box);
  assert.deepEqual(linux.peerCredentials(left), {
    pid: Deno.pid,
    uid: linux.getuid(),
    gid: linux.getgid(),
  });
  assert.equal(linux.peerCredentials(box.file("a")), -linux.ENOTSOCK);
});

test("peerGroups() knows the further groups of the other end", (box) => {
  const [left] = pairOf(box);
  const said = /^Groups:(.*)$/m.exec(Deno.readTextFileSync("/proc/thread-self/status"))?.[1] ?? "";
  const groups = said.trim().split(/\s+/).filter((each) => each !== "").map(Number);
  assert.deepEqual(linux.peerGroups(left), groups);
  assert.equal(linux.peerGroups(box.file("a")), -linux.ENOTSOCK);
});

test("sendmsg() and recvmsg() gather and scatter", (box) => {
  const [left, right] = pairOf(box);
  const vectors = new linux.IoVectors();
  box.put("headpayload");
  vectors.add(box.at(), 4);
  vectors.add(box.at(4), 7);
  assert.equal(linux.sendmsg(left, vectors, linux.MSG_NOSIGNAL), 11);
  vectors.clear();
  vectors.add(box.at(100), 2);
  vectors.add(box.at(200), 100);
  assert.equal(linux.recvmsg(right, vectors, 0), 11);
  assert.deepEqual([box.text(2, 100), box.text(9, 200)], ["he", "adpayload"]);
  assert.equal(linux.recvmsg(right, vectors, linux.MSG_DONTWAIT), -linux.EAGAIN);
  linux.shutdown(right, linux.SHUT_RDWR);
  assert.equal(linux.sendmsg(left, vectors, linux.MSG_NOSIGNAL), -linux.EPIPE);
  assert.equal(linux.send(left, box.at(), 1, linux.MSG_NOSIGNAL), -linux.EPIPE);
  assert.equal(linux.recvmsg(NO_FD, vectors, 0), -linux.EBADF);
});

test("descriptors travel with a message", (box) => {
  const [left, right] = pairOf(box);
  const vectors = new linux.IoVectors(1);
  vectors.add(box.at(), 1);
  const file = box.file("a", "passed on");
  const received = new linux.Received();
  assert.equal(linux.sendmsg(left, vectors, 0, [file, box.dir, file]), 1);
  assert.equal(linux.recvmsg(right, vectors, 0, received), 1);
  assert.equal(received.flags & linux.MSG_CTRUNC, 0);
  assert.equal(received.fds.length, 3);
  const [first = -1] = received.fds;
  assert.notEqual(first, file);
  assert.equal(linux.fcntl(first, linux.F_GETFD, 0), linux.FD_CLOEXEC);
  assert.equal(linux.pread(first, box.at(), 9, 0n), 9);
  assert.equal(box.text(9), "passed on");
  received.closeAll();
  assert.equal(received.fds.length, 0);
  assert.equal(linux.close(first), -linux.EBADF);

  // As many as the kernel allows, and one more.
  assert.equal(linux.sendmsg(left, vectors, 0, new Array(253).fill(file)), 1);
  assert.equal(linux.recvmsg(right, vectors, 0, received), 1);
  assert.equal(received.fds.length, 253);
  received.closeAll();
  assert.equal(linux.sendmsg(left, vectors, 0, new Array(254).fill(file)), -linux.EINVAL);
  assert.equal(linux.sendmsg(left, vectors, 0, [NO_FD]), -linux.EBADF);

  // A message without any, after one with: nothing old is reported.
  assert.equal(linux.sendmsg(left, vectors, 0), 1);
  assert.equal(linux.recvmsg(right, vectors, 0, received), 1);
  assert.equal(received.fds.length, 0);

  // Without a list the kernel drops them; the test's leak check proves it.
  assert.equal(linux.sendmsg(left, vectors, 0, [file]), 1);
  assert.equal(linux.recvmsg(right, vectors, 0), 1);
});

/** Addresses and their canonical form; null for none. */
const IPV6: [text: string, canonical: string | null][] = [
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["0:0:1:0:0:0:0:0", "0:0:1::"],
  ["::ffff:c000:201", "::ffff:192.0.2.1"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"],
  ["", null],
  [":", null],
  [":::", null],
  ["1", null],
  ["1::2::3", null],
  ["1:2:3:4:5:6:7", null],
  ["1:2:3:4:5:6:7:8:9", null],
  ["1:2:3:4::5:6:7:8", null],
  ["12345::", null],
  ["g::", null],
  ["192.0.2.1::", null],
  ["::256.0.0.1", null],
  ["[::1]", null],
  ["::1%lo", null],
];

Deno.test("isMappedIpv4() knows IPv4 in the form of IPv6", () => {
  const table: [text: string, expected: boolean][] = [
    ["::ffff:192.0.2.1", true],
    ["::ffff:0:0", true],
    ["::192.0.2.1", false],
    ["::fffe:192.0.2.1", false],
    ["1::ffff:192.0.2.1", false],
    ["::1:ffff:192.0.2.1", false],
  ];
  for (const [text, expected] of table) {
    const bytes = linux.parseIpv6(text);
    assert(bytes !== null);
    assert.equal(linux.isMappedIpv4(bytes), expected, text);
  }
});

for (const [text, canonical] of IPV6) {
  Deno.test(`parseIpv6() ${canonical === null ? "refuses" : "reads"} "${text}"`, () => {
    const bytes = linux.parseIpv6(text);
    assert.equal(bytes === null ? null : linux.formatIpv6(bytes), canonical);
  });
}

Deno.test("parseIpv4() takes four decimal bytes", () => {
  assert.deepEqual([...linux.parseIpv4("192.0.2.255") ?? []], [192, 0, 2, 255]);
  for (const text of ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.x", " 1.2.3.4", "0x1.2.3.4"]) {
    assert.equal(linux.parseIpv4(text), null, text);
  }
});
