/**
 * Which function carries out which T-message.
 *
 * @module
 */
import type { Answer } from "../fs/mod.ts";
import { errno, type RMessage, type TMessage, TYPE } from "../p9/mod.ts";
import type { Exchange } from "../transport/mod.ts";
import { getattr, setattr, statfs } from "./attributes.ts";
import { readdir } from "./directory.ts";
import { fsync, read } from "./io.ts";
import { link, mkdir, mknod, readlink, rename, renameat, symlink, unlinkat } from "./links.ts";
import { getlock, lock } from "./locks.ts";
import { lcreate, lopen } from "./open.ts";
import { create, open, stat, wstat } from "./plan9.ts";
import type { Session } from "./session.ts";
import { attach, clunk, remove, walk } from "./walk.ts";
import { xattrcreate, xattrwalk } from "./xattr.ts";

/**
 * Carries out a T-message.
 *
 * @returns The R-message, or the size of one that is in place already.
 * @throws {Errno} What the client is told instead.
 */
export type Handler<T extends TMessage> = (
  session: Session,
  message: T,
  exchange: Exchange,
) => Answer<RMessage | number>;

type Kind = TMessage["kind"];

/** Tversion, Tflush and Twrite are the session's own. */
const TABLE: { readonly [K in Kind]?: Handler<Extract<TMessage, { kind: K }>> } = {
  Tattach: attach,
  // ENOENT is what clients take to mean that no authentication is needed.
  Tauth: () => {
    throw errno("ENOENT");
  },
  Tclunk: clunk,
  Tcreate: create,
  Tfsync: fsync,
  Tgetattr: getattr,
  Tgetlock: getlock,
  Tlcreate: lcreate,
  Tlink: link,
  Tlock: lock,
  Tlopen: lopen,
  Tmkdir: mkdir,
  Tmknod: mknod,
  Topen: open,
  Tread: read,
  Treaddir: readdir,
  Treadlink: readlink,
  Tremove: remove,
  Trename: rename,
  Trenameat: renameat,
  Tsetattr: setattr,
  Tstat: stat,
  Tstatfs: statfs,
  Tsymlink: symlink,
  Tunlinkat: unlinkat,
  Twalk: walk,
  Twstat: wstat,
  Txattrcreate: xattrcreate,
  Txattrwalk: xattrwalk,
};

/** Handlers by number of the T-message. */
export const HANDLERS: readonly (Handler<never> | undefined)[] = Array.from(
  { length: 256 },
  (_, type) => {
    const entry = Object.entries(TABLE).find(([kind]) => TYPE[kind as Kind] === type);
    return entry?.[1] as Handler<never> | undefined;
  },
);
