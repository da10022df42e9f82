/** Sockets: streams of this machine, TCP and vsock, with descriptors passed along. */

import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_VSOCK,
  EINVAL,
  MSG_CMSG_CLOEXEC,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SO_PEERCRED,
  SO_PEERGROUPS,
  SOL_SOCKET,
} from "./constants.ts";
import { close, type IoVectors } from "./file.ts";
import {
  arena,
  arenaAddress,
  arenaView,
  at,
  interrupted,
  libc,
  MESSAGE,
  outcome,
  SCRATCH_SIZE,
  SLOT,
  u64,
  u64b,
} from "./libc.ts";
import { decodeName, putName } from "./names.ts";

/** Where a socket is, or shall be. Hosts are literal addresses: nothing is looked up here. */
export type SocketAddress =
  | { readonly family: "unix"; readonly path: string }
  | { readonly family: "unix"; readonly abstract: string }
  | { readonly family: "unix"; readonly unnamed: true }
  | { readonly family: "inet"; readonly host: string; readonly port: number }
  | {
    readonly family: "inet6";
    readonly host: string;
    readonly port: number;
    /** Interface of a link-local address. */
    readonly scope?: number;
  }
  | { readonly family: "vsock"; readonly cid: number; readonly port: number };

/** Bytes of the path in `struct sockaddr_un`. */
const UNIX_PATH_SIZE = 108;

/** The family's number, for `socket`. */
export function familyOf(address: SocketAddress): number {
  switch (address.family) {
    case "unix":
      return AF_UNIX;
    case "inet":
      return AF_INET;
    case "inet6":
      return AF_INET6;
    case "vsock":
      return AF_VSOCK;
  }
}

/**
 * Parse an IPv4 address.
 *
 * @returns Its 4 bytes, or null if it is none.
 */
export function parseIpv4(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return null;
  const parts = text.split(".").map(Number);
  return parts.every((part) => part < 256) ? new Uint8Array(parts) : null;
}

/**
 * Parse an IPv6 address, without brackets or scope.
 *
 * @see RFC 4291, 2.2
 *
 * @returns Its 16 bytes, or null if it is none.
 */
export function parseIpv6(text: string): Uint8Array<ArrayBuffer> | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const groups: number[][] = [];
  for (const half of halves) {
    const list: number[] = [];
    const parts = half === "" ? [] : half.split(":");
    for (const [index, part] of parts.entries()) {
      const isLast = half === halves.at(-1) && index === parts.length - 1;
      const ipv4 = isLast ? parseIpv4(part) : null;
      if (ipv4 !== null) {
        const [a = 0, b = 0, c = 0, d = 0] = ipv4;
        list.push(a << 8 | b, c << 8 | d);
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
        list.push(parseInt(part, 16));
      } else return null;
    }
    groups.push(list);
  }
  const [head = [], tail] = groups;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const all = tail === undefined ? head : [...head, ...new Array(missing).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [index, group] of all.entries()) view.setUint16(index * 2, group);
  return bytes;
}

/** Whether 16 bytes are an IPv4 address in the form of IPv6: the last 4 of them. @see RFC 4291, 2.5.5.2 */
export function isMappedIpv4(bytes: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) if (bytes[index] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/**
 * Format an IPv6 address in its canonical form (RFC 5952).
 *
 * @param bytes At least 16.
 */
export function formatIpv6(bytes: Uint8Array): string {
  if (isMappedIpv4(bytes)) return `::ffff:${bytes.subarray(12, 16).join(".")}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2));
  let best = -1;
  let bestSize = 1; // a single zero is not shortened
  for (let start = 0; start < 8; start++) {
    let size = 0;
    while (start + size < 8 && groups[start + size] === 0) size++;
    if (size > bestSize) [best, bestSize] = [start, size];
  }
  const hex = (list: number[]): string => list.map((group) => group.toString(16)).join(":");
  if (best < 0) return hex(groups);
  return `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestSize))}`;
}

/** Write an address into its slot: its size, or minus the error. */
function putAddress(address: SocketAddress): number {
  arena.fill(0, SLOT.ADDRESS, SLOT.ADDRESS + 128);
  arenaView.setUint16(SLOT.ADDRESS, familyOf(address), true);
  switch (address.family) {
    case "unix": {
      if ("unnamed" in address) return 2;
      if ("path" in address) {
        const length = putName(address.path, SLOT.ADDRESS + 2, UNIX_PATH_SIZE);
        if (length === 0) return -EINVAL; // would bind to a name of the kernel's choice
        return length < 0 ? length : 2 + length + 1;
      }
      // The name has no end mark, so that its size counts: one byte more than the slot's is fine.
      const length = putName(address.abstract, SLOT.ADDRESS + 3, UNIX_PATH_SIZE);
      return length < 0 ? length : 3 + length;
    }
    case "inet": {
      const bytes = parseIpv4(address.host);
      if (bytes === null) return -EINVAL;
      arenaView.setUint16(SLOT.ADDRESS + 2, address.port);
      arena.set(bytes, SLOT.ADDRESS + 4);
      return 16;
    }
    case "inet6": {
      const bytes = parseIpv6(address.host);
      if (bytes === null) return -EINVAL;
      arenaView.setUint16(SLOT.ADDRESS + 2, address.port);
      arena.set(bytes, SLOT.ADDRESS + 8);
      arenaView.setUint32(SLOT.ADDRESS + 24, address.scope ?? 0, true);
      return 28;
    }
    case "vsock":
      arenaView.setUint32(SLOT.ADDRESS + 4, address.port, true);
      arenaView.setUint32(SLOT.ADDRESS + 8, address.cid, true);
      return 16;
  }
}

/** Read the address that a call put into the slot. */
function takeAddress(): SocketAddress | number {
  const size = Math.min(arenaView.getUint32(SLOT.ADDRESS_SIZE, true), 128);
  const start = SLOT.ADDRESS;
  const family = size < 2 ? AF_UNIX : arenaView.getUint16(start, true);
  switch (family) {
    case AF_UNIX: {
      if (size <= 2) return { family: "unix", unnamed: true };
      if (arena[start + 2] === 0) {
        return { family: "unix", abstract: decodeName(arena, start + 3, start + size) };
      }
      let end = start + 2;
      while (end < start + size && arena[end] !== 0) end++;
      return { family: "unix", path: decodeName(arena, start + 2, end) };
    }
    case AF_INET:
      return {
        family: "inet",
        host: arena.subarray(start + 4, start + 8).join("."),
        port: arenaView.getUint16(start + 2),
      };
    case AF_INET6:
      return {
        family: "inet6",
        host: formatIpv6(arena.subarray(start + 8, start + 24)),
        port: arenaView.getUint16(start + 2),
        scope: arenaView.getUint32(start + 24, true),
      };
    case AF_VSOCK:
      return {
        family: "vsock",
        cid: arenaView.getUint32(start + 8, true),
        port: arenaView.getUint32(start + 4, true),
      };
    default:
      return -EINVAL;
  }
}

/**
 * socket(2)
 *
 * @param type `SOCK_*`, with `SOCK_CLOEXEC` added by you.
 */
export function socket(family: number, type: number, protocol: number = 0): number {
  return outcome(libc().socket(family, type, protocol));
}

/** socketpair(2): two connected unix sockets, which the caller closes, or minus the error. */
export function socketpair(type: number): [number, number] | number {
  const result = libc().socketpair(AF_UNIX, type, 0, at(SLOT.PAIR));
  if (result < 0) return outcome(result);
  return [arenaView.getInt32(SLOT.PAIR, true), arenaView.getInt32(SLOT.PAIR + 4, true)];
}

/** bind(2) */
export function bind(fd: number, address: SocketAddress): number {
  const c = libc();
  const size = putAddress(address);
  if (size < 0) return size;
  return outcome(c.bind(fd, at(SLOT.ADDRESS), size));
}

/**
 * listen(2)
 *
 * @param backlog Connections that may wait to be accepted.
 */
export function listen(fd: number, backlog: number): number {
  return outcome(libc().listen(fd, backlog));
}

/**
 * accept4(2). Retried when interrupted.
 *
 * @param flags `SOCK_CLOEXEC`, `SOCK_NONBLOCK`
 * @returns The connection, which the caller closes, or minus the error; ask `getpeername` who it is.
 */
export function accept4(fd: number, flags: number): number {
  const c = libc();
  for (;;) {
    const result = c.accept4(fd, 0n, 0n, flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * connect(2). Not retried when interrupted: the attempt goes on, and writing becomes possible when
 * it is over.
 */
export function connect(fd: number, address: SocketAddress): number {
  const c = libc();
  const size = putAddress(address);
  if (size < 0) return size;
  return outcome(c.connect(fd, at(SLOT.ADDRESS), size));
}

/** getsockname(2): the socket's own address, or minus the error. */
export function getsockname(fd: number): SocketAddress | number {
  const c = libc();
  arenaView.setUint32(SLOT.ADDRESS_SIZE, 128, true);
  const result = c.getsockname(fd, at(SLOT.ADDRESS), at(SLOT.ADDRESS_SIZE));
  return result < 0 ? outcome(result) : takeAddress();
}

/** getpeername(2): the other end's address, or minus the error. */
export function getpeername(fd: number): SocketAddress | number {
  const c = libc();
  arenaView.setUint32(SLOT.ADDRESS_SIZE, 128, true);
  const result = c.getpeername(fd, at(SLOT.ADDRESS), at(SLOT.ADDRESS_SIZE));
  return result < 0 ? outcome(result) : takeAddress();
}

/** getsockopt(2) of an option that is a number not below 0; or minus the error. */
export function getsockopt(fd: number, level: number, name: number): number {
  const c = libc();
  arenaView.setInt32(SLOT.OPTION, 0, true);
  arenaView.setUint32(SLOT.OPTION_SIZE, 4, true);
  const result = c.getsockopt(fd, level, name, at(SLOT.OPTION), at(SLOT.OPTION_SIZE));
  return result < 0 ? outcome(result) : arenaView.getInt32(SLOT.OPTION, true);
}

/** setsockopt(2) of an option that is a number. */
export function setsockopt(fd: number, level: number, name: number, value: number): number {
  const c = libc();
  arenaView.setInt32(SLOT.OPTION, value, true);
  return outcome(c.setsockopt(fd, level, name, at(SLOT.OPTION), 4));
}

/** setsockopt(2) of an option that is a time: `SO_RCVTIMEO`, `SO_SNDTIMEO`. 0 is no limit. */
export function setsockoptTime(fd: number, level: number, name: number, ms: number): number {
  const c = libc();
  arenaView.setBigInt64(SLOT.OPTION, BigInt(Math.floor(ms / 1000)), true);
  arenaView.setBigInt64(SLOT.OPTION + 8, BigInt(Math.floor(ms % 1000 * 1000)), true);
  return outcome(c.setsockopt(fd, level, name, at(SLOT.OPTION), 16));
}

/** Who is at the other end of a unix socket, as it was when connecting. */
export interface PeerCredentials {
  /** Process. */
  readonly pid: number;
  /** User. */
  readonly uid: number;
  /** Group. */
  readonly gid: number;
}

/** Ask for `SO_PEERCRED`, or minus the error. */
export function peerCredentials(fd: number): PeerCredentials | number {
  const c = libc();
  arenaView.setUint32(SLOT.OPTION_SIZE, 12, true);
  const result = c.getsockopt(
    fd,
    SOL_SOCKET,
    SO_PEERCRED,
    at(SLOT.OPTION),
    at(SLOT.OPTION_SIZE),
  );
  if (result < 0) return outcome(result);
  return {
    pid: arenaView.getInt32(SLOT.OPTION, true),
    uid: arenaView.getUint32(SLOT.OPTION + 4, true),
    gid: arenaView.getUint32(SLOT.OPTION + 8, true),
  };
}

/**
 * Ask for `SO_PEERGROUPS`: the further groups of the other end of a unix socket, as they were when
 * connecting; or minus the error, ERANGE if there are more than 16,384.
 */
export function peerGroups(fd: number): readonly number[] | number {
  const c = libc();
  arenaView.setUint32(SLOT.OPTION_SIZE, SCRATCH_SIZE, true);
  const result = c.getsockopt(
    fd,
    SOL_SOCKET,
    SO_PEERGROUPS,
    at(SLOT.SCRATCH),
    at(SLOT.OPTION_SIZE),
  );
  if (result < 0) return outcome(result);
  const count = arenaView.getUint32(SLOT.OPTION_SIZE, true) / 4;
  return Array.from({ length: count }, (_, i) => arenaView.getUint32(SLOT.SCRATCH + i * 4, true));
}

/**
 * shutdown(2)
 *
 * @param how `SHUT_*`
 */
export function shutdown(fd: number, how: number): number {
  return outcome(libc().shutdown(fd, how));
}

/** recv(2) to an address: bytes, 0 when the peer has ended. Retried when interrupted. */
export function recv(fd: number, address: number, count: number, flags: number): number {
  const c = libc();
  for (;;) {
    const result = c.recv(fd, u64(address), u64b(count), flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** send(2) from an address; add `MSG_NOSIGNAL` yourself. Retried when interrupted. */
export function send(fd: number, address: number, count: number, flags: number): number {
  const c = libc();
  for (;;) {
    const result = c.send(fd, u64(address), u64b(count), flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/**
 * Fill `struct msghdr`: name[8] namelen[4] pad[4] iov[8] iovlen[8] control[8] controllen[8] flags[4];
 * the name is never used and stays 0.
 */
function putMessage(vectors: IoVectors, controlSize: number): void {
  const start = vectors.start;
  const control = controlSize === 0 ? 0 : arenaAddress + SLOT.CONTROL;
  arenaView.setUint32(SLOT.MESSAGE + 16, start, true);
  arenaView.setUint32(SLOT.MESSAGE + 20, start / 4294967296, true);
  arenaView.setUint32(SLOT.MESSAGE + 24, vectors.count, true);
  arenaView.setUint32(SLOT.MESSAGE + 32, control, true);
  arenaView.setUint32(SLOT.MESSAGE + 36, control / 4294967296, true);
  arenaView.setUint32(SLOT.MESSAGE + 40, controlSize, true);
  arenaView.setInt32(SLOT.MESSAGE + 48, 0, true);
}

/**
 * sendmsg(2): gather segments, and pass descriptors along. Retried when interrupted.
 *
 * @param flags `MSG_*`; add `MSG_NOSIGNAL` yourself.
 * @param fds Descriptors that the receiver gets duplicates of, at most `SCM_MAX_FD`; a stream needs
 * at least one byte to go with them.
 */
export function sendmsg(
  fd: number,
  vectors: IoVectors,
  flags: number,
  fds?: readonly number[],
): number {
  const c = libc();
  let controlSize = 0;
  if (fds !== undefined && fds.length > 0) {
    if (fds.length > SCM_MAX_FD) return -EINVAL;
    // struct cmsghdr: len[8] level[4] type[4] fd[4]…, padded to 8
    const size = 16 + fds.length * 4;
    controlSize = size + 7 & ~7;
    arenaView.setBigUint64(SLOT.CONTROL, BigInt(size), true);
    arenaView.setInt32(SLOT.CONTROL + 8, SOL_SOCKET, true);
    arenaView.setInt32(SLOT.CONTROL + 12, SCM_RIGHTS, true);
    for (let index = 0; index < fds.length; index++) {
      arenaView.setInt32(SLOT.CONTROL + 16 + index * 4, fds[index] as number, true);
    }
  }
  putMessage(vectors, controlSize);
  for (;;) {
    const result = c.sendmsg(fd, MESSAGE, flags);
    if (result >= 0 || !interrupted()) return outcome(result);
  }
}

/** What came beside the bytes. */
export class Received {
  /** Descriptors, which the receiver closes; they are close-on-exec. */
  readonly fds: number[] = [];
  /** `MSG_TRUNC`, `MSG_CTRUNC` and so on. */
  flags = 0;

  /** Close the descriptors that nobody took out of the list. */
  closeAll(): void {
    for (const fd of this.fds) close(fd);
    this.fds.length = 0;
  }
}

/** Room for a header and `SCM_MAX_FD` descriptors. */
const CONTROL_SIZE = 1032;

/**
 * recvmsg(2): scatter to segments, and take descriptors. Retried when interrupted.
 *
 * @param flags `MSG_*`; `MSG_CMSG_CLOEXEC` is added.
 * @param into Descriptors are appended to its list. Without it, the kernel drops any that come.
 */
export function recvmsg(
  fd: number,
  vectors: IoVectors,
  flags: number,
  into?: Received,
): number {
  const c = libc();
  for (;;) {
    putMessage(vectors, into === undefined ? 0 : CONTROL_SIZE);
    const result = c.recvmsg(fd, MESSAGE, flags | MSG_CMSG_CLOEXEC);
    if (result >= 0) {
      if (into !== undefined) takeControl(into);
      return result;
    }
    if (!interrupted()) return outcome(result);
  }
}

function takeControl(into: Received): void {
  into.flags = arenaView.getInt32(SLOT.MESSAGE + 48, true);
  const end = SLOT.CONTROL + Math.min(arenaView.getUint32(SLOT.MESSAGE + 40, true), CONTROL_SIZE);
  let start: number = SLOT.CONTROL;
  while (start + 16 <= end) {
    const size = arenaView.getUint32(start, true);
    if (size < 16 || start + size > end) return;
    const isRights = arenaView.getInt32(start + 8, true) === SOL_SOCKET &&
      arenaView.getInt32(start + 12, true) === SCM_RIGHTS;
    if (isRights) {
      for (let at = start + 16; at + 4 <= start + size; at += 4) {
        into.fds.push(arenaView.getInt32(at, true));
      }
    }
    start += size + 7 & ~7;
  }
}
