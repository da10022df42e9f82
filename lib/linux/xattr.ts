/**
 * Extended attributes, by path, by descriptor, and by folder and name.
 *
 * Values and lists are moved to and from addresses; `scratch` is large enough for any. With a size of
 * 0, `get` and `list` only tell the size needed.
 */

import { ENAMETOOLONG, ERANGE, PATH_MAX, XATTR_NAME_MAX } from "./constants.ts";
import { ATTRIBUTE, libc, NAME, outcome, PROC, SLOT, u64, u64b } from "./libc.ts";
import { decodeName, putName, putProc, putProcName } from "./names.ts";

/** A name that is too long is ERANGE for the kernel, and so here. */
function putAttribute(attribute: string): number {
  const length = putName(attribute, SLOT.ATTRIBUTE, XATTR_NAME_MAX + 1);
  return length === -ENAMETOOLONG ? -ERANGE : length;
}

/** Put what `dirfd` and `name` mean into the slot of /proc. */
function putPlace(dirfd: number, name: string | null): number {
  return name === null ? putProc(dirfd) : putProcName(dirfd, name);
}

/**
 * Read the value of an attribute, by path, following symbolic links.
 *
 * @returns The value's size, or minus the error: ENODATA if there is none, ERANGE if it is larger than `size`.
 */
export function getxattr(path: string, attribute: string, address: number, size: number): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.getxattr(NAME, ATTRIBUTE, u64(address), u64b(size)));
}

/**
 * Read the value of an attribute, by path, not following a symbolic link at the end.
 *
 * @returns The value's size, or minus the error: ENODATA if there is none, ERANGE if it is larger than `size`.
 */
export function lgetxattr(path: string, attribute: string, address: number, size: number): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.lgetxattr(NAME, ATTRIBUTE, u64(address), u64b(size)));
}

/**
 * Read the value of an attribute, by descriptor; EBADF for `O_PATH`.
 *
 * @returns The value's size, or minus the error: ENODATA if there is none, ERANGE if it is larger than `size`.
 */
export function fgetxattr(fd: number, attribute: string, address: number, size: number): number {
  const c = libc();
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.fgetxattr(fd, ATTRIBUTE, u64(address), u64b(size)));
}

/**
 * Read the value of an attribute, by way of "/proc/self/fd", so that `O_PATH` descriptors will do.
 *
 * @param name One name in `dirfd`, where a symbolic link means itself; null for `dirfd` itself.
 * @returns The value's size, or minus the error: ENODATA if there is none, ERANGE if it is larger than `size`.
 */
export function getxattrat(
  dirfd: number,
  name: string | null,
  attribute: string,
  address: number,
  size: number,
): number {
  const c = libc();
  const length = putPlace(dirfd, name);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(
    name === null
      ? c.getxattr(PROC, ATTRIBUTE, u64(address), u64b(size))
      : c.lgetxattr(PROC, ATTRIBUTE, u64(address), u64b(size)),
  );
}

/**
 * Set an attribute; flags are `XATTR_*`, by path, following symbolic links.
 *
 * @returns 0, or minus the error.
 */
export function setxattr(
  path: string,
  attribute: string,
  address: number,
  size: number,
  flags: number,
): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.setxattr(NAME, ATTRIBUTE, u64(address), u64b(size), flags));
}

/**
 * Set an attribute; flags are `XATTR_*`, by path, not following a symbolic link at the end.
 *
 * @returns 0, or minus the error.
 */
export function lsetxattr(
  path: string,
  attribute: string,
  address: number,
  size: number,
  flags: number,
): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.lsetxattr(NAME, ATTRIBUTE, u64(address), u64b(size), flags));
}

/**
 * Set an attribute; flags are `XATTR_*`, by descriptor; EBADF for `O_PATH`.
 *
 * @returns 0, or minus the error.
 */
export function fsetxattr(
  fd: number,
  attribute: string,
  address: number,
  size: number,
  flags: number,
): number {
  const c = libc();
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.fsetxattr(fd, ATTRIBUTE, u64(address), u64b(size), flags));
}

/**
 * Set an attribute; flags are `XATTR_*`, by way of "/proc/self/fd", so that `O_PATH` descriptors will do.
 *
 * @param name One name in `dirfd`, where a symbolic link means itself; null for `dirfd` itself.
 * @returns 0, or minus the error.
 */
export function setxattrat(
  dirfd: number,
  name: string | null,
  attribute: string,
  address: number,
  size: number,
  flags: number,
): number {
  const c = libc();
  const length = putPlace(dirfd, name);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(
    name === null
      ? c.setxattr(PROC, ATTRIBUTE, u64(address), u64b(size), flags)
      : c.lsetxattr(PROC, ATTRIBUTE, u64(address), u64b(size), flags),
  );
}

/**
 * List the names of all attributes, each with a NUL; see {@linkcode attributeNames}, by path, following symbolic links.
 *
 * @returns The list's size, or minus the error: ERANGE if it is larger than `size`.
 */
export function listxattr(path: string, address: number, size: number): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.listxattr(NAME, u64(address), u64b(size)));
}

/**
 * List the names of all attributes, each with a NUL; see {@linkcode attributeNames}, by path, not following a symbolic link at the end.
 *
 * @returns The list's size, or minus the error: ERANGE if it is larger than `size`.
 */
export function llistxattr(path: string, address: number, size: number): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  return outcome(c.llistxattr(NAME, u64(address), u64b(size)));
}

/**
 * List the names of all attributes, each with a NUL; see {@linkcode attributeNames}, by descriptor; EBADF for `O_PATH`.
 *
 * @returns The list's size, or minus the error: ERANGE if it is larger than `size`.
 */
export function flistxattr(fd: number, address: number, size: number): number {
  const c = libc();
  return outcome(c.flistxattr(fd, u64(address), u64b(size)));
}

/**
 * List the names of all attributes, each with a NUL; see {@linkcode attributeNames}, by way of "/proc/self/fd", so that `O_PATH` descriptors will do.
 *
 * @param name One name in `dirfd`, where a symbolic link means itself; null for `dirfd` itself.
 * @returns The list's size, or minus the error: ERANGE if it is larger than `size`.
 */
export function listxattrat(
  dirfd: number,
  name: string | null,
  address: number,
  size: number,
): number {
  const c = libc();
  const length = putPlace(dirfd, name);
  if (length < 0) return length;
  return outcome(
    name === null
      ? c.listxattr(PROC, u64(address), u64b(size))
      : c.llistxattr(PROC, u64(address), u64b(size)),
  );
}

/**
 * Remove an attribute, by path, following symbolic links.
 *
 * @returns 0, or minus the error: ENODATA if there is none.
 */
export function removexattr(path: string, attribute: string): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.removexattr(NAME, ATTRIBUTE));
}

/**
 * Remove an attribute, by path, not following a symbolic link at the end.
 *
 * @returns 0, or minus the error: ENODATA if there is none.
 */
export function lremovexattr(path: string, attribute: string): number {
  const c = libc();
  const length = putName(path, SLOT.NAME, PATH_MAX);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.lremovexattr(NAME, ATTRIBUTE));
}

/**
 * Remove an attribute, by descriptor; EBADF for `O_PATH`.
 *
 * @returns 0, or minus the error: ENODATA if there is none.
 */
export function fremovexattr(fd: number, attribute: string): number {
  const c = libc();
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(c.fremovexattr(fd, ATTRIBUTE));
}

/**
 * Remove an attribute, by way of "/proc/self/fd", so that `O_PATH` descriptors will do.
 *
 * @param name One name in `dirfd`, where a symbolic link means itself; null for `dirfd` itself.
 * @returns 0, or minus the error: ENODATA if there is none.
 */
export function removexattrat(dirfd: number, name: string | null, attribute: string): number {
  const c = libc();
  const length = putPlace(dirfd, name);
  if (length < 0) return length;
  const attributeLength = putAttribute(attribute);
  if (attributeLength < 0) return attributeLength;
  return outcome(
    name === null ? c.removexattr(PROC, ATTRIBUTE) : c.lremovexattr(PROC, ATTRIBUTE),
  );
}

/**
 * Split what the `list` calls give.
 *
 * @param bytes Where the list was put; borrowed for the call.
 * @param size What the call returned.
 */
export function attributeNames(bytes: Uint8Array, size: number): string[] {
  const names: string[] = [];
  let start = 0;
  for (let index = 0; index < size && index < bytes.length; index++) {
    if (bytes[index] !== 0) continue;
    names.push(decodeName(bytes, start, index));
    start = index + 1;
  }
  return names;
}
