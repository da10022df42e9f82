import type { Tree } from "../fs/mod.ts";
import type { Peer } from "../transport/mod.ts";

/** A tree under a name that clients ask for. */
export interface Export {
  /** What a client says as `aname`. */
  readonly name: string;
  /** The files. */
  readonly tree: Tree;
  /** Refuses every change with EROFS. */
  readonly readOnly: boolean;
  /** Whether a client may attach it; without it everybody may. One who may not gets EACCES. */
  readonly admits?: (peer: Peer) => boolean;
}

/** What bounds a session. */
export interface Limits {
  /** Largest message that Tversion may agree on, in bytes. */
  readonly msize: number;
  /** Fids of one session; one more answers EMFILE. */
  readonly maxFids: number;
  /** Fids of all sessions; no session may have more than are left for others. */
  readonly allFids: number;
  /** Bytes of extended attributes being read or written in all sessions, dealt out in the same way. */
  readonly xattrBytes: number;
  /** Requests of one session that are under way or wait their turn; more wait in the transport. */
  readonly maxInflight: number;
}

/** Limits that suit a handful of guests. */
export const DEFAULT_LIMITS: Limits = {
  msize: 1_048_600,
  maxFids: 65_536,
  allFids: 1_048_576,
  xattrBytes: 1 << 24,
  maxInflight: 256,
};

/** Folders above the files of fids, counted for each fid, that are kept for one fid on average. */
export const FOLDERS_PER_FID = 16;

/** Longest name of a user or client that is remembered, in characters. */
export const MAX_WORD = 255;

/** Smallest msize that Tversion agrees on, in bytes: Linux refuses less as well. */
export const MIN_MSIZE = 4096;
