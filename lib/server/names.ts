/**
 * What a name from a client may look like, before a tree sees it.
 *
 * @module
 */
import { byteLength, errno } from "../p9/mod.ts";

/** Longest name of an entry, in bytes. */
export const MAX_NAME = 255;

/** Whether a name holds a slash or a NUL, or is empty: no entry of any folder can be called so. */
function isImpossible(name: string): boolean {
  if (name.length === 0) return true;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit === 0x2f || unit === 0) return true;
  }
  return false;
}

/** Whether a name is longer than an entry's may be. */
function isTooLong(name: string): boolean {
  // A UTF-16 unit is one to three bytes: most names need no count.
  return name.length > MAX_NAME || (name.length * 3 > MAX_NAME && byteLength(name) > MAX_NAME);
}

/**
 * Checks an element of a Twalk other than `.` and `..`.
 *
 * @throws {Errno} ENOENT for a name that nothing can have, ENAMETOOLONG.
 */
export function checkWalkName(name: string): void {
  if (isImpossible(name)) throw errno("ENOENT");
  if (isTooLong(name)) throw errno("ENAMETOOLONG");
}

/**
 * Checks the name of an entry to be made.
 *
 * @throws {Errno} EINVAL for an impossible name, EEXIST for `.` and `..`, ENAMETOOLONG.
 */
export function checkNewName(name: string): void {
  if (name === "." || name === "..") throw errno("EEXIST");
  if (isImpossible(name)) throw errno("EINVAL");
  if (isTooLong(name)) throw errno("ENAMETOOLONG");
}

/**
 * Checks the old or new name of a rename.
 *
 * @throws {Errno} EISDIR for `.` and `..`, EINVAL, ENAMETOOLONG.
 */
export function checkRenameName(name: string): void {
  if (name === "." || name === "..") throw errno("EISDIR");
  if (isImpossible(name)) throw errno("EINVAL");
  if (isTooLong(name)) throw errno("ENAMETOOLONG");
}

/**
 * Checks the name of an entry to be removed.
 *
 * @throws {Errno} EINVAL for `.` and impossible names, ENOTEMPTY for `..`, ENAMETOOLONG.
 */
export function checkUnlinkName(name: string): void {
  if (name === ".") throw errno("EINVAL");
  if (name === "..") throw errno("ENOTEMPTY");
  if (isImpossible(name)) throw errno("EINVAL");
  if (isTooLong(name)) throw errno("ENAMETOOLONG");
}
