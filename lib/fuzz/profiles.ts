/**
 * What servers do otherwise than the protocol says, or where it says nothing: so that habits that are
 * known are not told as findings.
 *
 * @module
 */
import { ERRNO, type ErrnoName, errnoName } from "../p9/mod.ts";
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
  /** What it answers in place of what Linux does: errors that fit where those named do. */
  readonly instead: Errors;
}

/** Other errors, by the one that they stand for. */
export type Errors = Readonly<Partial<Record<ErrnoName, readonly ErrnoName[]>>>;

/** Every profile there is. */
export const PROFILES: readonly Profile[] = [
  {
    name: "linux",
    about: "errors as Linux has them for local files; what our server is held to",
    off: [],
    known: [],
    instead: {},
  },
  {
    name: "diod",
    about: "diod: EIO for fids that are unknown or in another state, ENOENT below a file",
    off: [],
    known: [],
    // Measured with 1.0.24, which has no Tunlinkat.
    instead: {
      EBADF: ["EIO"],
      ENOTDIR: ["EIO", "ENOENT", "EOPNOTSUPP"],
      EISDIR: ["EIO", "EBUSY", "EOPNOTSUPP"],
      EINVAL: ["EOPNOTSUPP"],
      ENOTEMPTY: ["EOPNOTSUPP"],
      ENOENT: ["EOPNOTSUPP"],
    },
  },
  {
    name: "qemu",
    about: "QEMU: ENOENT for unknown fids, EINVAL for those in another state, EEXIST for dots",
    off: [],
    known: [],
    // By its sources: get_fid(), clunk_fid(), v9fs_create() and their like.
    instead: { EBADF: ["ENOENT", "EINVAL"], EINVAL: ["EEXIST", "ENOTEMPTY"], EBUSY: ["EINVAL"] },
  },
  {
    name: "ganesha",
    about: "nfs-ganesha: EIO and ERANGE for fids, NFS's errors turned into Linux's",
    off: [],
    known: [],
    // By its sources: one table for all errors of its file systems, EIO for what is not in it.
    instead: {
      EBADF: ["EIO", "ERANGE", "EINVAL"],
      ENAMETOOLONG: ["EINVAL"],
      EISDIR: ["EINVAL", "EIO"],
      ENOTDIR: ["EIO", "EINVAL"],
      ENOENT: ["ESTALE"],
      EPERM: ["EACCES", "EINVAL"],
      EINVAL: ["EIO"],
    },
  },
];

/** Whether a server may refuse with a number where any of others would be right. */
export function fits(profile: Profile, right: readonly number[], have: number): boolean {
  return right.some((code) => {
    if (code === have) return true;
    const name = errnoName(code);
    return name !== undefined &&
      (profile.instead[name]?.some((other) => ERRNO[other] === have) ?? false);
  });
}

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
