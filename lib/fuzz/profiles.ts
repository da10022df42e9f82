/**
 * What servers do otherwise than the protocol says, or where it says nothing: so that habits that are
 * known are not told as findings.
 *
 * @module
 */
import type { OracleName } from "./types.ts";

/** Habits of a server. */
export interface Profile {
  /** Its word on the command line. */
  readonly name: string;
  /** What it is for, in a phrase. */
  readonly about: string;
  /** Oracles that are off because the server does not try. */
  readonly off: readonly OracleName[];
  /** Causes (the second part of a bucket) that are told as XFAIL. */
  readonly known: readonly RegExp[];
  /** Whether error numbers are only checked for being errors. */
  readonly anyErrno: boolean;
}

/** Every profile there is. */
export const PROFILES: readonly Profile[] = [
  {
    name: "linux",
    about: "errors as Linux has them for local files; what our server is held to",
    off: [],
    known: [],
    anyErrno: false,
  },
  {
    name: "diod",
    about: "diod: EIO for unknown fids, replies of its own choice to odd opens",
    off: [],
    known: [],
    anyErrno: true,
  },
  {
    name: "qemu",
    about: "QEMU: ENOENT for unknown fids, EINVAL where Linux has others",
    off: [],
    known: [],
    anyErrno: true,
  },
  {
    name: "ganesha",
    about: "nfs-ganesha: NFS's errors turned into Linux's",
    off: [],
    known: [],
    anyErrno: true,
  },
];

/**
 * Finds a profile.
 *
 * @throws {RangeError} If there is none of that name.
 */
export function profileOf(name: string): Profile {
  const profile = PROFILES.find((each) => each.name === name);
  if (profile === undefined) {
    const names = PROFILES.map(({ name }) => name).join(", ");
    throw new RangeError(`Cannot find profile "${name}": there are ${names}`);
  }
  return profile;
}
