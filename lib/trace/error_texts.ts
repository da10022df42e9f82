/**
 * Error numbers for servers that have none: 9P2000 refuses with a text.
 *
 * @module
 */
import { ERRNO, errnoMessage } from "../p9/mod.ts";

/** What Plan 9 and its descendants say. */
const SAID: Readonly<Record<string, keyof typeof ERRNO>> = {
  "authentication failed": "EPERM",
  "bad offset in directory read": "EINVAL",
  "bad use of fid": "EBADF",
  "create prohibited": "EPERM",
  "directory entry not found": "ENOENT",
  "duplicate fid": "EINVAL",
  "fid already in use": "EINVAL",
  "fid unknown or out of range": "EBADF",
  "file already exists": "EEXIST",
  "file does not exist": "ENOENT",
  "file exists": "EEXIST",
  "file in use": "EBUSY",
  "file is a directory": "EISDIR",
  "file not found": "ENOENT",
  "i/o error": "EIO",
  "illegal mode": "EINVAL",
  "illegal name": "EINVAL",
  "illegal offset": "EINVAL",
  "interrupted": "EINTR",
  "no such file": "ENOENT",
  "not a directory": "ENOTDIR",
  "not found": "ENOENT",
  "permission denied": "EACCES",
  "remove prohibited": "EPERM",
  "stat prohibited": "EPERM",
  "unknown fid": "EBADF",
  "walk in non-directory": "ENOTDIR",
  "write prohibited": "EPERM",
  "wstat prohibited": "EPERM",
};

const NUMBERS = new Map<string, number>();
for (const code of Object.values(ERRNO)) NUMBERS.set(errnoMessage(code).toLowerCase(), code);
for (const [text, name] of Object.entries(SAID)) NUMBERS.set(text, ERRNO[name]);

/** Number for the text of an Rerror: EREMOTEIO, as Linux has it, for a text that nobody knows. */
export function errnoOfText(ename: string): number {
  const text = ename.replace(/^'[^']*' /, "").toLowerCase();
  return NUMBERS.get(text) ?? ERRNO.EREMOTEIO;
}
