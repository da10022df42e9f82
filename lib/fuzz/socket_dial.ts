/**
 * Sockets to servers, as descriptors.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import {
  close,
  connect,
  EAGAIN,
  EINPROGRESS,
  EPOLLOUT,
  familyOf,
  getsockopt,
  IPPROTO_TCP,
  LinuxError,
  POLLOUT,
  setsockopt,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  type SocketAddress,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../linux/mod.ts";
import type { DialAddress } from "../transport/mod.ts";
import { holdFor, SocketWait } from "./socket_wait.ts";

/** Longest wait for a server to take a connection, in milliseconds. */
const CONNECT_MS = 10_000;
/** Milliseconds before another try where too many connections wait to be taken. */
const AGAIN_MS = 2;

/**
 * Connects to a server.
 *
 * @returns The socket, which the caller closes. It does not block.
 * @throws {Error} If the server takes no connection.
 */
export async function dialSocket(to: DialAddress): Promise<number> {
  if (to.kind === "unix") {
    const { path } = to;
    return await connectTo(
      path.startsWith("@") ? { family: "unix", abstract: path.slice(1) } : { family: "unix", path },
    );
  }
  let failure: unknown = new Error(`Cannot find "${to.host}"`);
  for (const { address, family } of await lookup(to.host, { all: true })) {
    try {
      const host = { host: address, port: to.port };
      return await connectTo({ family: family === 6 ? "inet6" : "inet", ...host });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function connectTo(address: SocketAddress): Promise<number> {
  const fd = socket(familyOf(address), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) throw new LinuxError("make a socket", -fd);
  let result = connect(fd, address);
  const until = performance.now() + CONNECT_MS;
  // A unix socket whose server has not taken others yet: nothing tells when it has.
  while (result === -EAGAIN && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    result = connect(fd, address);
  }
  if (result === -EINPROGRESS) result = await established(fd, until);
  if (result < 0) {
    close(fd);
    throw new LinuxError("connect", -result);
  }
  if (address.family !== "unix") setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

/** Waits until an attempt is over: 0, or minus the error. */
async function established(fd: number, until: number): Promise<number> {
  if (!holdFor(fd, POLLOUT)) {
    await using wait = new SocketWait(fd);
    while (!holdFor(fd, POLLOUT, 0) && performance.now() < until) {
      await wait.for(EPOLLOUT, until - performance.now());
    }
    if (!holdFor(fd, POLLOUT, 0)) return -EINPROGRESS;
  }
  return -getsockopt(fd, SOL_SOCKET, SO_ERROR);
}
