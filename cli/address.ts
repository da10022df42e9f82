/**
 * Addresses as people write them.
 *
 * - `tcp://HOST:PORT`, `tcp://HOST`, `tcp://[::1]:PORT`
 * - `unix:///PATH`, `unix://@NAME` in the abstract namespace
 * - `vsock://CID:PORT`, `vsock://any:PORT`
 * - `fd://NUMBER`, a socket that the process was started with
 * - `vhost-user:///PATH`, `vhost-user+fd://NUMBER`, where virtual machine monitors find a device
 *
 * @module
 */
import { type ServeAddress, UsageError } from "../lib/serve/mod.ts";

/** Port of 9P where none is given. */
export const DEFAULT_PORT = 5640;
/** CID that stands for every CID of this machine. */
export const VSOCK_ANY = 0xffff_ffff;
/** Bytes that a path in a socket address has room for, its NUL not counted. */
const MAX_SOCKET_PATH = 107;

const FORMS = "tcp://HOST:PORT, unix:///PATH, unix://@NAME, vsock://CID:PORT, fd://NUMBER, " +
  "vhost-user:///PATH or vhost-user+fd://NUMBER";

/** Addresses of one kind. */
type Of<K extends ServeAddress["kind"]> = Extract<ServeAddress, { readonly kind: K }>;

/**
 * Parses an address.
 *
 * @example Port and host
 * ```ts
 * import assert from "node:assert/strict";
 * import { parseAddress } from "./address.ts";
 *
 * assert.deepEqual(parseAddress("tcp://[::1]"), { kind: "tcp", host: "::1", port: 5640 });
 * ```
 *
 * @throws {UsageError} If it is none; the message says what is wrong and what is right.
 */
export function parseAddress(text: string): ServeAddress {
  const [, scheme, rest] = /^([a-z0-9+.-]+):\/\/(.*)$/is.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) throw wrong(text, guess(text));
  switch (scheme) {
    case "tcp":
      return parseTcp(text, rest);
    case "unix":
      return parseUnix(text, rest);
    case "vsock":
      return parseVsock(text, rest);
    case "fd":
      return parseFd(text, scheme, rest);
    case "vhost-user":
      if (!rest.startsWith("/")) {
        throw wrong(text, "write an absolute path, such as vhost-user:///run/virtfs.sock");
      }
      return { kind: "vhost-user", socket: parseUnix(text, rest) };
    case "vhost-user+fd":
      return { kind: "vhost-user", socket: parseFd(text, scheme, rest) };
    default:
      throw wrong(text, `write ${FORMS}`);
  }
}

/**
 * Writes an address so that {@linkcode parseAddress} reads it back.
 *
 * @example An address of IPv6
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatAddress } from "./address.ts";
 *
 * assert.equal(formatAddress({ kind: "tcp", host: "::1", port: 5640 }), "tcp://[::1]:5640");
 * ```
 */
export function formatAddress(address: ServeAddress): string {
  switch (address.kind) {
    case "tcp":
      return `tcp://${formatHost(address.host)}:${address.port}`;
    case "unix":
      return `unix://${address.path}`;
    case "vsock":
      return `vsock://${address.cid === VSOCK_ANY ? "any" : address.cid}:${address.port}`;
    case "fd":
      return `fd://${address.fd}`;
    case "vhost-user": {
      const { socket } = address;
      return socket.kind === "unix"
        ? `vhost-user://${socket.path}`
        : `vhost-user+fd://${socket.fd}`;
    }
  }
}

/** Writes a host as URLs have it: IPv6 in brackets. */
export function formatHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function parseFd(text: string, scheme: string, rest: string): Of<"fd"> {
  if (!/^\d{1,7}$/.test(rest)) {
    throw wrong(text, `write ${scheme}://NUMBER, such as ${scheme}://3`);
  }
  return { kind: "fd", fd: Number(rest) };
}

function parseTcp(text: string, rest: string): Of<"tcp"> {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw wrong(text, "write IPv6 in brackets, such as tcp://[::1]:5640");
  if (bracketed !== undefined ? !isIpv6(bracketed) : !isHost(host)) {
    throw wrong(
      text,
      host === "" || host === "*"
        ? "name the host: tcp://127.0.0.1:5640, or tcp://0.0.0.0:5640 for every address"
        : `${JSON.stringify(host)} is no host name and no IP address`,
    );
  }
  return { kind: "tcp", host, port: parsePort(text, digits, 65_535) };
}

function parseUnix(text: string, path: string): Of<"unix"> {
  if (!path.startsWith("/") && !path.startsWith("@")) {
    throw wrong(text, "write an absolute path, such as unix:///run/virtfs.sock, or unix://@NAME");
  }
  if (path.includes("\0") || path === "@" || path.endsWith("/")) {
    throw wrong(text, "it names no file");
  }
  const length = new TextEncoder().encode(path).length;
  if (length > MAX_SOCKET_PATH) {
    throw wrong(text, `its path has ${length} bytes, sockets take ${MAX_SOCKET_PATH}`);
  }
  return { kind: "unix", path };
}

function parseVsock(text: string, rest: string): Of<"vsock"> {
  const [, word, digits] = /^([^:]*)(?::([^:]*))?$/.exec(rest) ?? [];
  const cid = word === "any"
    ? VSOCK_ANY
    : word !== undefined && /^\d{1,10}$/.test(word)
    ? Number(word)
    : NaN;
  if (!(cid <= VSOCK_ANY)) {
    throw wrong(text, "write vsock://any:PORT, or vsock://CID:PORT with a number");
  }
  return { kind: "vsock", cid, port: parsePort(text, digits, 0xffff_fffe) };
}

function parsePort(text: string, digits: string | undefined, max: number): number {
  if (digits === undefined) return DEFAULT_PORT;
  const port = /^\d{1,10}$/.test(digits) ? Number(digits) : NaN;
  if (port <= max) return port;
  throw wrong(text, `ports are numbers from 0 to ${max}, ${JSON.stringify(digits)} is none`);
}

function isIpv6(text: string): boolean {
  const [address = "", zone] = text.split("%", 2);
  return text.includes(":") && URL.canParse(`tcp://[${address}]/`) && zone !== "";
}

function isHost(text: string): boolean {
  if (/^[\d.]+$/.test(text)) {
    const numbers = text.split(".");
    return numbers.length === 4 && numbers.every((each) => /^\d{1,3}$/.test(each) && +each < 256);
  }
  const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;
  return text.length <= 253 && text.replace(/\.$/, "").split(".").every((each) => label.test(each));
}

/** Says how to write what somebody probably meant. */
function guess(text: string): string {
  if (text.startsWith("/")) return `write unix://${text}`;
  if (/^(?:[\w.-]+|\[[\da-f:]+\]):\d{1,5}$/i.test(text)) return `write tcp://${text}`;
  if (/^:?\d{1,5}$/.test(text)) return `write tcp://127.0.0.1:${text.replace(":", "")}`;
  return `write ${FORMS}`;
}

function wrong(text: string, right: string): UsageError {
  const shown = text.length > 120 ? `${text.slice(0, 119)}…` : text;
  return new UsageError(`${JSON.stringify(shown)} is no address: ${right}`);
}
