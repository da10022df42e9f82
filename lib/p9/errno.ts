/**
 * Error numbers of Linux, which 9P2000.L puts on the wire (x86-64, aarch64 and every other
 * architecture that uses the generic table).
 *
 * @module
 */

/** Every error name with its number; aliases included. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENOMSG: 42,
  EIDRM: 43,
  ECHRNG: 44,
  EL2NSYNC: 45,
  EL3HLT: 46,
  EL3RST: 47,
  ELNRNG: 48,
  EUNATCH: 49,
  ENOCSI: 50,
  EL2HLT: 51,
  EBADE: 52,
  EBADR: 53,
  EXFULL: 54,
  ENOANO: 55,
  EBADRQC: 56,
  EBADSLT: 57,
  EBFONT: 59,
  ENOSTR: 60,
  ENODATA: 61,
  ETIME: 62,
  ENOSR: 63,
  ENONET: 64,
  ENOPKG: 65,
  EREMOTE: 66,
  ENOLINK: 67,
  EADV: 68,
  ESRMNT: 69,
  ECOMM: 70,
  EPROTO: 71,
  EMULTIHOP: 72,
  EDOTDOT: 73,
  EBADMSG: 74,
  EOVERFLOW: 75,
  ENOTUNIQ: 76,
  EBADFD: 77,
  EREMCHG: 78,
  ELIBACC: 79,
  ELIBBAD: 80,
  ELIBSCN: 81,
  ELIBMAX: 82,
  ELIBEXEC: 83,
  EILSEQ: 84,
  ERESTART: 85,
  ESTRPIPE: 86,
  EUSERS: 87,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  EUCLEAN: 117,
  ENOTNAM: 118,
  ENAVAIL: 119,
  EISNAM: 120,
  EREMOTEIO: 121,
  EDQUOT: 122,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ECANCELED: 125,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
  ERFKILL: 132,
  EHWPOISON: 133,
  EWOULDBLOCK: 11,
  EDEADLOCK: 35,
  ENOTSUP: 95,
} as const;

/** Name of an error. */
export type ErrnoName = keyof typeof ERRNO;

/** Second names of numbers that have a first one. */
type Alias = "EWOULDBLOCK" | "EDEADLOCK" | "ENOTSUP";

/** What each error means, for people. */
const MESSAGES: Readonly<Record<Exclude<ErrnoName, Alias>, string>> = {
  EPERM: "Operation not permitted",
  ENOENT: "No such file or directory",
  ESRCH: "No such process",
  EINTR: "Interrupted",
  EIO: "Input/output error",
  ENXIO: "No such device or address",
  E2BIG: "Argument list too long",
  ENOEXEC: "Not an executable format",
  EBADF: "Bad file descriptor",
  ECHILD: "No child processes",
  EAGAIN: "Not available now, try again",
  ENOMEM: "Out of memory",
  EACCES: "Permission denied",
  EFAULT: "Bad address",
  ENOTBLK: "Not a block device",
  EBUSY: "Device or resource busy",
  EEXIST: "File exists",
  EXDEV: "Link across devices",
  ENODEV: "No such device",
  ENOTDIR: "Not a directory",
  EISDIR: "Is a directory",
  EINVAL: "Invalid argument",
  ENFILE: "Too many open files in the system",
  EMFILE: "Too many open files",
  ENOTTY: "Operation does not suit the device",
  ETXTBSY: "Program file busy",
  EFBIG: "File too large",
  ENOSPC: "No space left on device",
  ESPIPE: "Not seekable",
  EROFS: "Read-only file system",
  EMLINK: "Too many links",
  EPIPE: "Broken pipe",
  EDOM: "Number outside the domain",
  ERANGE: "Result out of range",
  EDEADLK: "Deadlock avoided",
  ENAMETOOLONG: "File name too long",
  ENOLCK: "No locks available",
  ENOSYS: "Function not implemented",
  ENOTEMPTY: "Directory not empty",
  ELOOP: "Too many levels of symbolic links",
  ENOMSG: "No message of the wanted type",
  EIDRM: "Identifier removed",
  ECHRNG: "Channel number out of range",
  EL2NSYNC: "Level 2 not synchronized",
  EL3HLT: "Level 3 halted",
  EL3RST: "Level 3 reset",
  ELNRNG: "Link number out of range",
  EUNATCH: "Protocol driver not attached",
  ENOCSI: "No CSI structure available",
  EL2HLT: "Level 2 halted",
  EBADE: "Invalid exchange",
  EBADR: "Invalid request descriptor",
  EXFULL: "Exchange full",
  ENOANO: "No anode",
  EBADRQC: "Invalid request code",
  EBADSLT: "Invalid slot",
  EBFONT: "Bad font file",
  ENOSTR: "Device is not a stream",
  ENODATA: "No data available",
  ETIME: "Timer expired",
  ENOSR: "Out of stream resources",
  ENONET: "Not on the network",
  ENOPKG: "Package not installed",
  EREMOTE: "Object is remote",
  ENOLINK: "Link severed",
  EADV: "Advertise error",
  ESRMNT: "Mount error of a remote file system",
  ECOMM: "Communication error",
  EPROTO: "Protocol error",
  EMULTIHOP: "Too many hops",
  EDOTDOT: "Error of a remote file system",
  EBADMSG: "Bad message",
  EOVERFLOW: "Value too large for its type",
  ENOTUNIQ: "Name not unique on the network",
  EBADFD: "File descriptor in a bad state",
  EREMCHG: "Remote address changed",
  ELIBACC: "Shared library not accessible",
  ELIBBAD: "Shared library corrupted",
  ELIBSCN: "Library section corrupted",
  ELIBMAX: "Too many shared libraries",
  ELIBEXEC: "Shared library is not a program",
  EILSEQ: "Invalid byte sequence",
  ERESTART: "Interrupted, to be restarted",
  ESTRPIPE: "Stream pipe error",
  EUSERS: "Too many users",
  ENOTSOCK: "Not a socket",
  EDESTADDRREQ: "Destination address required",
  EMSGSIZE: "Message too long",
  EPROTOTYPE: "Wrong protocol for the socket",
  ENOPROTOOPT: "Protocol option not available",
  EPROTONOSUPPORT: "Protocol not supported",
  ESOCKTNOSUPPORT: "Socket type not supported",
  EOPNOTSUPP: "Operation not supported",
  EPFNOSUPPORT: "Protocol family not supported",
  EAFNOSUPPORT: "Address family not supported",
  EADDRINUSE: "Address in use",
  EADDRNOTAVAIL: "Address not available",
  ENETDOWN: "Network is down",
  ENETUNREACH: "Network unreachable",
  ENETRESET: "Connection dropped by the network",
  ECONNABORTED: "Connection aborted",
  ECONNRESET: "Connection reset by peer",
  ENOBUFS: "No buffer space",
  EISCONN: "Already connected",
  ENOTCONN: "Not connected",
  ESHUTDOWN: "Endpoint shut down",
  ETOOMANYREFS: "Too many references",
  ETIMEDOUT: "Timed out",
  ECONNREFUSED: "Connection refused",
  EHOSTDOWN: "Host is down",
  EHOSTUNREACH: "No route to host",
  EALREADY: "Already in progress",
  EINPROGRESS: "Now in progress",
  ESTALE: "Stale file handle",
  EUCLEAN: "File system needs repair",
  ENOTNAM: "Not a named file of XENIX type",
  ENAVAIL: "No XENIX semaphores",
  EISNAM: "Is a named file",
  EREMOTEIO: "Remote input/output error",
  EDQUOT: "Quota exceeded",
  ENOMEDIUM: "No medium",
  EMEDIUMTYPE: "Wrong type of medium",
  ECANCELED: "Canceled",
  ENOKEY: "Key not available",
  EKEYEXPIRED: "Key expired",
  EKEYREVOKED: "Key revoked",
  EKEYREJECTED: "Key rejected",
  EOWNERDEAD: "Owner died",
  ENOTRECOVERABLE: "State not recoverable",
  ERFKILL: "Radio switched off",
  EHWPOISON: "Memory page has a hardware error",
};

const NAMES = new Map<number, keyof typeof MESSAGES>();
for (const name of Object.keys(MESSAGES) as (keyof typeof MESSAGES)[]) {
  NAMES.set(ERRNO[name], name);
}

/**
 * Name of an error number, or undefined for a number that has none.
 *
 * @example A number from an Rlerror
 * ```ts
 * import assert from "node:assert/strict";
 * import { errnoName } from "@virtfs/virtfs/p9";
 *
 * assert.equal(errnoName(2), "ENOENT");
 * assert.equal(errnoName(9999), undefined);
 * ```
 */
export function errnoName(code: number): ErrnoName | undefined {
  return NAMES.get(code);
}

/** What an error number means, for people; this is the text of an Rerror too. */
export function errnoMessage(code: number): string {
  const name = NAMES.get(code);
  return name === undefined ? `Unknown error ${code}` : MESSAGES[name];
}

/** A short text for an error number: its name, or the number if it has none. */
export function formatErrno(code: number): string {
  return NAMES.get(code) ?? String(code);
}

/**
 * A request that cannot be done, with its Linux error number.
 *
 * Made by {@linkcode errno} only, once per number, frozen and without a stack: throwing one costs
 * a fraction of a microsecond, and it says nothing of where it was thrown.
 */
export class Errno extends Error {
  /** The class, also where a realm or a minifier hides it. */
  override readonly name: string = "Errno";
  /** Linux error number, as in `ecode[4]`. */
  readonly code: number;
  /** Name of the number, or `errno N` for one without a name. */
  readonly symbol: string;

  /** Call {@linkcode errno} instead: it hands out the one instance of a number. */
  constructor(code: number) {
    const symbol = NAMES.get(code) ?? `errno ${code}`;
    super(`${errnoMessage(code)} (${symbol})`);
    this.code = code;
    this.symbol = symbol;
    // The stack of the first caller would be a lie for every later one.
    Object.defineProperty(this, "stack", { value: `Errno: ${this.message}` });
    Object.freeze(this);
  }
}

const INTERNED = new Map<number, Errno>();

/**
 * The error for a number or name, to be thrown.
 *
 * Numbers that have no name are not kept: a peer may send four billion of them.
 *
 * @example Refuse a request
 * ```ts
 * import assert from "node:assert/strict";
 * import { errno } from "@virtfs/virtfs/p9";
 *
 * assert.throws(() => {
 *   throw errno("ENOENT");
 * }, { code: 2, symbol: "ENOENT" });
 * ```
 */
export function errno(code: number | ErrnoName): Errno {
  const number = typeof code === "number" ? code : ERRNO[code];
  let error = INTERNED.get(number);
  if (error === undefined) {
    error = new Errno(number);
    if (NAMES.has(number)) INTERNED.set(number, error);
  }
  return error;
}
