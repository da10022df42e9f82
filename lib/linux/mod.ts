/**
 * Linux, by way of libc and Deno's FFI: the system calls a file server needs.
 *
 * - **Results.** A call returns its result, not negative, or minus the error: `-ENOENT`. It never
 *   throws, except that the first one throws where there is no Linux, and that a few classes which
 *   own something say so. {@linkcode check} and {@linkcode LinuxError} make exceptions of errors.
 * - **Numbers.** Addresses and sizes are numbers below 2^53; offsets in files are bigints, and 2^63
 *   or more is for the kernel to refuse.
 * - **Names** are strings in which U+DC80 to U+DCFF stand for bytes that are not UTF-8. A NUL or any
 *   other lone surrogate is `-EINVAL`; too many bytes are `-ENAMETOOLONG`.
 * - **Interruptions.** Calls that can be repeated are, at EINTR. Waits are not (`epollWait`, `poll`,
 *   `ofdWaitLock`, `flock`, `connect`), nor what changes names: their callers see `-EINTR`.
 * - **Threads.** Every worker that imports this module has its own libc table, errno and buffers.
 *   All calls are synchronous and block their thread.
 * - **Loading.** Importing costs nothing and works on any system; libc is opened by the first call.
 *
 * An address that is not backed by enough memory is a bug of the caller that no check here finds.
 *
 * @module
 */

export * from "./constants.ts";
export { type Arch, ARCHES, type Syscalls } from "./arch.ts";
export {
  check,
  errorName,
  isLinux,
  LinuxError,
  loadLibc,
  pin,
  type Pinned,
  requireLinux,
} from "./libc.ts";
export { decodeName } from "./names.ts";
export * from "./file.ts";
export * from "./stat.ts";
export * from "./folder.ts";
export * from "./xattr.ts";
export * from "./lock.ts";
export * from "./memory.ts";
export * from "./event.ts";
export * from "./socket.ts";
export * from "./packet.ts";
export * from "./process.ts";
export * from "./turns.ts";
export * from "./capabilities.ts";
export * from "./landlock.ts";
export * from "./mount.ts";
export * from "./seccomp.ts";
export * from "./fd.ts";
export { actAs, type ActingUser, actingUser, asUser } from "./acting.ts";
export { record, type RecordedCall } from "./recorder.ts";
export {
  type EndedCall,
  endHelpers,
  Helpers,
  type HelpersOptions,
  startHelper,
} from "./helpers.ts";
