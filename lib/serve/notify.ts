/**
 * Telling the service manager what state the server is in.
 *
 * @see sd_notify(3)
 *
 * @module
 */
import {
  AF_UNIX,
  check,
  connect,
  Fd,
  MSG_NOSIGNAL,
  scratch,
  send,
  setsockoptTime,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  socket,
  type SocketAddress,
  SOL_SOCKET,
} from "../linux/mod.ts";

/** Milliseconds to wait for a manager that reads nothing. */
const PATIENCE_MS = 1000;
/** Characters of a state: what managers take, and more than there ever is to say. */
const MAX_STATE = 4096;

/**
 * Sends a state to a service manager.
 *
 * @param where Path of its datagram socket, or `@NAME` in the abstract namespace.
 * @param state Lines such as `READY=1`, with line feeds between them.
 * @throws {Error} If it does not get there.
 */
export function notifyManager(where: string, state: string): void {
  const address: SocketAddress = where.startsWith("@")
    ? { family: "unix", abstract: where.slice(1) }
    : { family: "unix", path: where };
  const bytes = new TextEncoder().encode(state.slice(0, MAX_STATE));
  try {
    using fd = Fd.from(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC), "make a socket");
    setsockoptTime(fd.number, SOL_SOCKET, SO_SNDTIMEO, PATIENCE_MS);
    check(connect(fd.number, address), "connect");
    const memory = scratch();
    memory.bytes.set(bytes);
    check(send(fd.number, memory.address, bytes.length, MSG_NOSIGNAL), "send");
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot notify the service manager at ${where}: ${said}`, { cause: error });
  }
}
