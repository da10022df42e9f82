/**
 * Sockets to listen on.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import {
  accept4,
  AF_UNIX,
  bind,
  check,
  chmod,
  close,
  connect,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  ECONNREFUSED,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOTDIR,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  familyOf,
  fcntl,
  Fd,
  FD_CLOEXEC,
  getpeername,
  getsockname,
  getsockopt,
  IPPROTO_TCP,
  lchown,
  LinuxError,
  listen as listenOn,
  O_NONBLOCK,
  peerCredentials,
  peerGroups,
  setsockopt,
  SO_ACCEPTCONN,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  type SocketAddress,
  SOL_SOCKET,
  TCP_NODELAY,
  umask,
  unlink,
} from "../linux/mod.ts";
import type { Peer } from "./exchange.ts";

/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | {
    readonly kind: "unix";
    /** Path of the socket, or `@name` in the abstract namespace. */
    readonly path: string;
    /** Permission bits of the socket file. */
    readonly mode?: number;
    /** Group number of the socket file. */
    readonly gid?: number;
  }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  /** A listening socket, or a connected one, that we were started with. */
  | { readonly kind: "fd"; readonly fd: number };

/** Connections that may wait to be accepted. */
const BACKLOG = 1024;
/** Socket files that nobody else may open, until told otherwise. */
const SOCKET_MODE = 0o600;
const VMADDR_CID_ANY = 0xffff_ffff;

/** A socket that clients connect to; or, inherited, one that is connected already. */
export interface Listener extends Disposable {
  /** Address to dial, in the form of the command line. */
  readonly address: string;
  /** The socket. */
  readonly fd: number;
  /** True if `fd` is a connection, not a listening socket. */
  readonly isConnection: boolean;
}

/** Writes a socket's address as the command line has it. */
export function formatSocketAddress(address: SocketAddress): string {
  switch (address.family) {
    case "inet":
      return `tcp://${address.host}:${address.port}`;
    case "inet6": {
      const zone = address.scope === undefined || address.scope === 0 ? "" : `%${address.scope}`;
      return `tcp://[${address.host}${zone}]:${address.port}`;
    }
    case "vsock":
      return `vsock://${address.cid === VMADDR_CID_ANY ? "any" : address.cid}:${address.port}`;
    case "unix":
      if ("path" in address) return `unix://${address.path}`;
      return "abstract" in address ? `unix://@${address.abstract}` : "unix://";
  }
}

/** Who is at the other end of a connected socket. */
export function peerOf(fd: number): Peer {
  const name = getpeername(fd);
  if (typeof name === "number") return { address: "unknown", socket: null };
  if (name.family !== "unix") return { address: formatSocketAddress(name), socket: name };
  const found = peerCredentials(fd);
  if (typeof found === "number") return { address: "unix://", socket: name };
  const groups = peerGroups(fd);
  return {
    address: `unix://pid=${found.pid},uid=${found.uid},gid=${found.gid}`,
    socket: name,
    credentials: { ...found, groups: typeof groups === "number" ? [] : groups },
  };
}

/**
 * Takes a waiting connection, ready for {@linkcode StreamTransport.adopt}.
 *
 * @returns The socket, which the caller owns, or minus the error: EAGAIN if nobody waits.
 */
export function acceptFrom(listener: Listener): number {
  const fd = accept4(listener.fd, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) prepare(fd);
  return fd;
}

/** Sets what every connection needs; what does not apply to a socket's kind is refused, harmlessly. */
export function prepare(fd: number): void {
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/**
 * Listens.
 *
 * @returns A socket that the caller owns; disposing closes it and removes its file.
 * @throws {Error} With one line that says what is the case.
 */
export async function listen(address: ListenAddress): Promise<Listener> {
  switch (address.kind) {
    case "fd":
      return inherit(address.fd);
    case "unix":
      return listenUnix(address.path, address.mode ?? SOCKET_MODE, address.gid);
    case "vsock":
      return listenAt({ family: "vsock", cid: address.cid, port: address.port });
    case "tcp": {
      const { host, port } = address;
      let found: { address: string; family: number };
      try {
        found = await lookup(host);
      } catch {
        throw new Error(`Cannot listen on tcp://${host}:${port}: no such host "${host}"`);
      }
      const family = found.family === 6 ? "inet6" : "inet";
      return listenAt({ family, host: found.address, port });
    }
  }
}

/** Explains why a socket cannot be had. */
function refusal(text: string, error: unknown): Error {
  if (!(error instanceof LinuxError)) return error as Error;
  const why: Readonly<Record<number, string>> = {
    [EADDRINUSE]: "the address is in use",
    [EACCES]: "permission denied",
    [ENOENT]: "no such folder",
    [ENOTDIR]: "part of the path is not a folder",
    [ENAMETOOLONG]: "the path is too long for a socket",
    [EAFNOSUPPORT]: "this kernel does not have such sockets",
    [EADDRNOTAVAIL]: "this machine does not have the address",
    [ENODEV]: "this kernel does not have such sockets",
    [EINVAL]: "the address is not valid (a socket path has at most 107 bytes)",
  };
  const said = why[error.code] ?? error.message;
  return new Error(`Cannot listen on ${text}: ${said}`);
}

function listenAt(address: SocketAddress): Listener {
  let made: Fd | null = null;
  try {
    const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    const fd = made = Fd.from(socket(familyOf(address), type), "make a socket");
    setsockopt(fd.number, SOL_SOCKET, SO_REUSEADDR, 1);
    check(bind(fd.number, address), "bind");
    check(listenOn(fd.number, BACKLOG), "listen");
    const name = getsockname(fd.number);
    return {
      address: formatSocketAddress(typeof name === "number" ? address : name),
      fd: fd.number,
      isConnection: false,
      [Symbol.dispose]: () => fd[Symbol.dispose](),
    };
  } catch (error) {
    made?.[Symbol.dispose]();
    throw refusal(formatSocketAddress(address), error);
  }
}

/** Whether a socket file is left over from a server that is gone. */
function isStale(path: string): boolean {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return false;
  const result = connect(fd, { family: "unix", path });
  close(fd);
  return result === -ECONNREFUSED;
}

function listenUnix(path: string, mode: number, gid: number | undefined): Listener {
  if (path.startsWith("@")) return listenAt({ family: "unix", abstract: path.slice(1) });
  // Nobody else may connect before the mode is set. No other thread makes files yet.
  const old = umask(0o177);
  let made: Listener;
  try {
    const file = lstat(path);
    if (file !== null && !file.isSocket) {
      throw new Error(`Cannot listen on unix://${path}: there is a file that is no socket`);
    }
    if (file !== null && isStale(path)) unlink(path);
    made = listenAt({ family: "unix", path });
  } finally {
    umask(old);
  }
  try {
    if (gid !== undefined) check(lchown(path, 0xffff_ffff, gid), "set the group of the socket");
    check(chmod(path, mode), "set the mode of the socket");
  } catch (error) {
    unlink(path);
    made[Symbol.dispose]();
    throw refusal(`unix://${path}`, error);
  }
  const { ino, dev } = lstat(path) ?? {};
  return {
    ...made,
    [Symbol.dispose]: () => {
      made[Symbol.dispose]();
      const now = lstat(path);
      // Somebody may have put another socket in its place.
      if (now !== null && now.ino === ino && now.dev === dev) unlink(path);
    },
  };
}

function lstat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch {
    return null;
  }
}

/** Takes over a socket that the process was started with, such as by systemd. */
function inherit(fd: number): Listener {
  const accepts = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
  if (accepts < 0) throw new Error(`Cannot use fd://${fd}: it is not an open socket`);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  const flags = fcntl(fd, F_GETFL, 0);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const isConnection = accepts === 0;
  if (isConnection && typeof getpeername(fd) === "number") {
    throw new Error(`Cannot use fd://${fd}: the socket neither listens nor is connected`);
  }
  if (isConnection) prepare(fd);
  const name = getsockname(fd);
  const owned = new Fd(fd);
  return {
    address: typeof name === "number" ? `fd://${fd}` : formatSocketAddress(name),
    fd,
    isConnection,
    [Symbol.dispose]: () => owned[Symbol.dispose](),
  };
}
