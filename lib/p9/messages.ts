// Written by tools/gen.ts from schema.ts and kinds.ts; change those and run `deno task gen`.
/**
 * Every message of 9P2000, 9P2000.u and 9P2000.L: its type, decoder, size and encoder.
 *
 * @module
 */

import { NONUNAME } from "./kinds.ts";
import { byteLength, decodeString } from "./names.ts";
import type { Dialect } from "./schema.ts";
import { getQid, putQid, type Qid, type Wire } from "./wire.ts";
import {
  byteLengths,
  putBytes16,
  putBytes32,
  putHeader,
  putQids,
  putString,
  putStrings,
} from "./put.ts";

/**
 * Refuse a request with a Linux error number.
 *
 * `size[4] Rlerror tag[2] ecode[4]`
 *
 * @see diod protocol.md, lerror
 */
export interface Rlerror {
  /** Which message it is. */
  readonly kind: "Rlerror";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Linux error number. */
  readonly ecode: number;
}

/**
 * Ask about the file system that holds fid.
 *
 * `size[4] Tstatfs tag[2] fid[4]`
 *
 * @see diod protocol.md, statfs
 */
export interface Tstatfs {
  /** Which message it is. */
  readonly kind: "Tstatfs";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
}

/**
 * Answer to Tstatfs.
 *
 * `size[4] Rstatfs tag[2] type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]`
 *
 * @see diod protocol.md, statfs
 */
export interface Rstatfs {
  /** Which message it is. */
  readonly kind: "Rstatfs";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Magic number of the file system. */
  readonly type: number;
  /** Size of a block. In bytes. */
  readonly bsize: number;
  /** Blocks in all. In blocks of bsize. */
  readonly blocks: bigint;
  /** Blocks free. In blocks of bsize. */
  readonly bfree: bigint;
  /** Blocks free for users. In blocks of bsize. */
  readonly bavail: bigint;
  /** Inodes in all. */
  readonly files: bigint;
  /** Inodes free. */
  readonly ffree: bigint;
  /** Identity of the file system. */
  readonly fsid: bigint;
  /** Longest name. In bytes. */
  readonly namelen: number;
}

/**
 * Open the file of fid with Linux open flags.
 *
 * `size[4] Tlopen tag[2] fid[4] flags[4]`
 *
 * @see diod protocol.md, lopen
 */
export interface Tlopen {
  /** Which message it is. */
  readonly kind: "Tlopen";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** O_RDONLY and so on. */
  readonly flags: number;
}

/**
 * Answer to Tlopen.
 *
 * `size[4] Rlopen tag[2] qid[13] iounit[4]`
 *
 * @see diod protocol.md, lopen
 */
export interface Rlopen {
  /** Which message it is. */
  readonly kind: "Rlopen";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Largest payload that is read or written at once; 0 for msize less 24. In bytes. */
  readonly iounit: number;
}

/**
 * Create a file in the directory of fid and open it; fid becomes the file.
 *
 * `size[4] Tlcreate tag[2] fid[4] name[s] flags[4] mode[4] gid[4]`
 *
 * @see diod protocol.md, lcreate
 */
export interface Tlcreate {
  /** Which message it is. */
  readonly kind: "Tlcreate";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** One path element, no slash. */
  readonly name: string;
  /** O_RDONLY and so on. */
  readonly flags: number;
  /** Permissions and file type, as in stat(2). */
  readonly mode: number;
  /** Number of the group. */
  readonly gid: number;
}

/**
 * Answer to Tlcreate.
 *
 * `size[4] Rlcreate tag[2] qid[13] iounit[4]`
 *
 * @see diod protocol.md, lcreate
 */
export interface Rlcreate {
  /** Which message it is. */
  readonly kind: "Rlcreate";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Largest payload that is read or written at once; 0 for msize less 24. In bytes. */
  readonly iounit: number;
}

/**
 * Create a symbolic link in the directory of fid.
 *
 * `size[4] Tsymlink tag[2] fid[4] name[s] symtgt[s] gid[4]`
 *
 * @see diod protocol.md, symlink
 */
export interface Tsymlink {
  /** Which message it is. */
  readonly kind: "Tsymlink";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** One path element, no slash. */
  readonly name: string;
  /** Where the link points. */
  readonly symtgt: string;
  /** Number of the group. */
  readonly gid: number;
}

/**
 * Answer to Tsymlink.
 *
 * `size[4] Rsymlink tag[2] qid[13]`
 *
 * @see diod protocol.md, symlink
 */
export interface Rsymlink {
  /** Which message it is. */
  readonly kind: "Rsymlink";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
}

/**
 * Create a device, FIFO, socket or plain file in the directory of dfid.
 *
 * `size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4]`
 *
 * @see diod protocol.md, mknod
 */
export interface Tmknod {
  /** Which message it is. */
  readonly kind: "Tmknod";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of a directory. */
  readonly dfid: number;
  /** One path element, no slash. */
  readonly name: string;
  /** Permissions and file type, as in stat(2). */
  readonly mode: number;
  /** Major number of a device. */
  readonly major: number;
  /** Minor number of a device. */
  readonly minor: number;
  /** Number of the group. */
  readonly gid: number;
}

/**
 * Answer to Tmknod.
 *
 * `size[4] Rmknod tag[2] qid[13]`
 *
 * @see diod protocol.md, mknod
 */
export interface Rmknod {
  /** Which message it is. */
  readonly kind: "Rmknod";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
}

/**
 * Move the file of fid into the directory of dfid.
 *
 * `size[4] Trename tag[2] fid[4] dfid[4] name[s]`
 *
 * @see diod protocol.md, rename
 */
export interface Trename {
  /** Which message it is. */
  readonly kind: "Trename";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** The fid of a directory. */
  readonly dfid: number;
  /** One path element, no slash. */
  readonly name: string;
}

/**
 * Answer to Trename.
 *
 * `size[4] Rrename tag[2]`
 *
 * @see diod protocol.md, rename
 */
export interface Rrename {
  /** Which message it is. */
  readonly kind: "Rrename";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Read where a symbolic link points.
 *
 * `size[4] Treadlink tag[2] fid[4]`
 *
 * @see diod protocol.md, readlink
 */
export interface Treadlink {
  /** Which message it is. */
  readonly kind: "Treadlink";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
}

/**
 * Answer to Treadlink.
 *
 * `size[4] Rreadlink tag[2] target[s]`
 *
 * @see diod protocol.md, readlink
 */
export interface Rreadlink {
  /** Which message it is. */
  readonly kind: "Rreadlink";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Where the link points. */
  readonly target: string;
}

/**
 * Ask for the attributes of fid.
 *
 * `size[4] Tgetattr tag[2] fid[4] request_mask[8]`
 *
 * @see diod protocol.md, getattr
 */
export interface Tgetattr {
  /** Which message it is. */
  readonly kind: "Tgetattr";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Attributes wanted. */
  readonly request_mask: bigint;
}

/**
 * Answer to Tgetattr.
 *
 * `size[4] Rgetattr tag[2] valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] btime_sec[8] btime_nsec[8] gen[8] data_version[8]`
 *
 * @see diod protocol.md, getattr
 */
export interface Rgetattr {
  /** Which message it is. */
  readonly kind: "Rgetattr";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Attributes that are true. */
  readonly valid: bigint;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Permissions and file type, as in stat(2). */
  readonly mode: number;
  /** Number of the owner. */
  readonly uid: number;
  /** Number of the group. */
  readonly gid: number;
  /** How many names. */
  readonly nlink: bigint;
  /** The device, if it is one. */
  readonly rdev: bigint;
  /** Length. In bytes. */
  readonly size: bigint;
  /** Best size of a read or write. In bytes. */
  readonly blksize: bigint;
  /** Space taken. In blocks of 512 bytes. */
  readonly blocks: bigint;
  /** Time of last access, since 1970; signed. In seconds. */
  readonly atime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly atime_nsec: bigint;
  /** Time of last change of the contents, since 1970; signed. In seconds. */
  readonly mtime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly mtime_nsec: bigint;
  /** Time of last change of the attributes, since 1970; signed. In seconds. */
  readonly ctime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly ctime_nsec: bigint;
  /** Time of creation, since 1970; signed. In seconds. */
  readonly btime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly btime_nsec: bigint;
  /** Generation of the inode. */
  readonly gen: bigint;
  /** Version of the contents; reserved. */
  readonly data_version: bigint;
}

/**
 * Change those attributes of fid that valid names.
 *
 * `size[4] Tsetattr tag[2] fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8]`
 *
 * @see diod protocol.md, setattr
 */
export interface Tsetattr {
  /** Which message it is. */
  readonly kind: "Tsetattr";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Attributes to change. */
  readonly valid: number;
  /** Permissions and file type, as in stat(2). */
  readonly mode: number;
  /** Number of the owner. */
  readonly uid: number;
  /** Number of the group. */
  readonly gid: number;
  /** Length. In bytes. */
  readonly size: bigint;
  /** Time of last access, since 1970; signed. In seconds. */
  readonly atime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly atime_nsec: bigint;
  /** Time of last change of the contents, since 1970; signed. In seconds. */
  readonly mtime_sec: bigint;
  /** Rest of it. In nanoseconds. */
  readonly mtime_nsec: bigint;
}

/**
 * Answer to Tsetattr.
 *
 * `size[4] Rsetattr tag[2]`
 *
 * @see diod protocol.md, setattr
 */
export interface Rsetattr {
  /** Which message it is. */
  readonly kind: "Rsetattr";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Make newfid read an extended attribute of fid, or the list of names if name is empty.
 *
 * `size[4] Txattrwalk tag[2] fid[4] newfid[4] name[s]`
 *
 * @see diod protocol.md, xattrwalk
 */
export interface Txattrwalk {
  /** Which message it is. */
  readonly kind: "Txattrwalk";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** The fid to bind; may equal fid in Twalk. */
  readonly newfid: number;
  /** Name of the attribute; empty for the list of names. */
  readonly name: string;
}

/**
 * Answer to Txattrwalk.
 *
 * `size[4] Rxattrwalk tag[2] size[8]`
 *
 * @see diod protocol.md, xattrwalk
 */
export interface Rxattrwalk {
  /** Which message it is. */
  readonly kind: "Rxattrwalk";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Length. In bytes. */
  readonly size: bigint;
}

/**
 * Make fid write an extended attribute, which the clunk of fid sets.
 *
 * `size[4] Txattrcreate tag[2] fid[4] name[s] attr_size[8] flags[4]`
 *
 * @see diod protocol.md, xattrcreate
 */
export interface Txattrcreate {
  /** Which message it is. */
  readonly kind: "Txattrcreate";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Name of the attribute. */
  readonly name: string;
  /** Length of the attribute; 0 removes it. In bytes. */
  readonly attr_size: bigint;
  /** XATTR_CREATE, XATTR_REPLACE or 0. */
  readonly flags: number;
}

/**
 * Answer to Txattrcreate.
 *
 * `size[4] Rxattrcreate tag[2]`
 *
 * @see diod protocol.md, xattrcreate
 */
export interface Rxattrcreate {
  /** Which message it is. */
  readonly kind: "Rxattrcreate";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Read directory entries after offset.
 *
 * `size[4] Treaddir tag[2] fid[4] offset[8] count[4]`
 *
 * @see diod protocol.md, readdir
 */
export interface Treaddir {
  /** Which message it is. */
  readonly kind: "Treaddir";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** 0, or the offset of the last entry received. */
  readonly offset: bigint;
  /** How many. In bytes. */
  readonly count: number;
}

/**
 * Answer to Treaddir.
 *
 * `size[4] Rreaddir tag[2] count[4] data[count]`
 *
 * @see diod protocol.md, readdir
 */
export interface Rreaddir {
  /** Which message it is. */
  readonly kind: "Rreaddir";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Dirent records, borrowed from the frame. In bytes. */
  readonly data: Uint8Array;
}

/**
 * Put the data of fid on stable storage. The older form without datasync is refused.
 *
 * `size[4] Tfsync tag[2] fid[4] datasync[4]`
 *
 * @see diod protocol.md, fsync
 */
export interface Tfsync {
  /** Which message it is. */
  readonly kind: "Tfsync";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** 0, or 1 to leave out attributes that no read needs. */
  readonly datasync: number;
}

/**
 * Answer to Tfsync.
 *
 * `size[4] Rfsync tag[2]`
 *
 * @see diod protocol.md, fsync
 */
export interface Rfsync {
  /** Which message it is. */
  readonly kind: "Rfsync";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Take or release a record lock.
 *
 * `size[4] Tlock tag[2] fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]`
 *
 * @see diod protocol.md, lock
 */
export interface Tlock {
  /** Which message it is. */
  readonly kind: "Tlock";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** What lock. */
  readonly type: number;
  /** LOCK_FLAGS_BLOCK and so on. */
  readonly flags: number;
  /** First byte of the lock. In bytes. */
  readonly start: bigint;
  /** Length of the lock; 0 for all up to the end. In bytes. */
  readonly length: bigint;
  /** Process that owns the lock. */
  readonly proc_id: number;
  /** Machine that owns the lock. */
  readonly client_id: string;
}

/**
 * Answer to Tlock.
 *
 * `size[4] Rlock tag[2] status[1]`
 *
 * @see diod protocol.md, lock
 */
export interface Rlock {
  /** Which message it is. */
  readonly kind: "Rlock";
  /** Number of the request in flight. */
  readonly tag: number;
  /** How the lock request ended. */
  readonly status: number;
}

/**
 * Ask which lock would be in the way.
 *
 * `size[4] Tgetlock tag[2] fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]`
 *
 * @see diod protocol.md, getlock
 */
export interface Tgetlock {
  /** Which message it is. */
  readonly kind: "Tgetlock";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** What lock. */
  readonly type: number;
  /** First byte of the lock. In bytes. */
  readonly start: bigint;
  /** Length of the lock; 0 for all up to the end. In bytes. */
  readonly length: bigint;
  /** Process that owns the lock. */
  readonly proc_id: number;
  /** Machine that owns the lock. */
  readonly client_id: string;
}

/**
 * Answer to Tgetlock.
 *
 * `size[4] Rgetlock tag[2] type[1] start[8] length[8] proc_id[4] client_id[s]`
 *
 * @see diod protocol.md, getlock
 */
export interface Rgetlock {
  /** Which message it is. */
  readonly kind: "Rgetlock";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The lock in the way; LOCK_TYPE_UNLCK for none. */
  readonly type: number;
  /** First byte of the lock. In bytes. */
  readonly start: bigint;
  /** Length of the lock; 0 for all up to the end. In bytes. */
  readonly length: bigint;
  /** Process that owns the lock. */
  readonly proc_id: number;
  /** Machine that owns the lock. */
  readonly client_id: string;
}

/**
 * Create a hard link to fid in the directory of dfid.
 *
 * `size[4] Tlink tag[2] dfid[4] fid[4] name[s]`
 *
 * @see diod protocol.md, link
 */
export interface Tlink {
  /** Which message it is. */
  readonly kind: "Tlink";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of a directory. */
  readonly dfid: number;
  /** A fid of this session. */
  readonly fid: number;
  /** One path element, no slash. */
  readonly name: string;
}

/**
 * Answer to Tlink.
 *
 * `size[4] Rlink tag[2]`
 *
 * @see diod protocol.md, link
 */
export interface Rlink {
  /** Which message it is. */
  readonly kind: "Rlink";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Create a directory in the directory of dfid.
 *
 * `size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4]`
 *
 * @see diod protocol.md, mkdir
 */
export interface Tmkdir {
  /** Which message it is. */
  readonly kind: "Tmkdir";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of a directory. */
  readonly dfid: number;
  /** One path element, no slash. */
  readonly name: string;
  /** Permissions and file type, as in stat(2). */
  readonly mode: number;
  /** Number of the group. */
  readonly gid: number;
}

/**
 * Answer to Tmkdir.
 *
 * `size[4] Rmkdir tag[2] qid[13]`
 *
 * @see diod protocol.md, mkdir
 */
export interface Rmkdir {
  /** Which message it is. */
  readonly kind: "Rmkdir";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
}

/**
 * Rename an entry of one directory to an entry of another.
 *
 * `size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s]`
 *
 * @see diod protocol.md, renameat
 */
export interface Trenameat {
  /** Which message it is. */
  readonly kind: "Trenameat";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of the directory to move from. */
  readonly olddirfid: number;
  /** The entry to move. */
  readonly oldname: string;
  /** The fid of the directory to move to. */
  readonly newdirfid: number;
  /** The entry to move to. */
  readonly newname: string;
}

/**
 * Answer to Trenameat.
 *
 * `size[4] Rrenameat tag[2]`
 *
 * @see diod protocol.md, renameat
 */
export interface Rrenameat {
  /** Which message it is. */
  readonly kind: "Rrenameat";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Remove an entry of a directory.
 *
 * `size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4]`
 *
 * @see diod protocol.md, unlinkat
 */
export interface Tunlinkat {
  /** Which message it is. */
  readonly kind: "Tunlinkat";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of a directory. */
  readonly dirfd: number;
  /** One path element, no slash. */
  readonly name: string;
  /** AT_REMOVEDIR or 0. */
  readonly flags: number;
}

/**
 * Answer to Tunlinkat.
 *
 * `size[4] Runlinkat tag[2]`
 *
 * @see diod protocol.md, unlinkat
 */
export interface Runlinkat {
  /** Which message it is. */
  readonly kind: "Runlinkat";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Agree on dialect and message size, and start the session afresh.
 *
 * `size[4] Tversion tag[2] msize[4] version[s]`
 *
 * @see version(5)
 */
export interface Tversion {
  /** Which message it is. */
  readonly kind: "Tversion";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Largest frame, its size field included. In bytes. */
  readonly msize: number;
  /** Name of the dialect. */
  readonly version: string;
}

/**
 * Answer to Tversion.
 *
 * `size[4] Rversion tag[2] msize[4] version[s]`
 *
 * @see version(5)
 */
export interface Rversion {
  /** Which message it is. */
  readonly kind: "Rversion";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Largest frame, its size field included. In bytes. */
  readonly msize: number;
  /** Name of the dialect. */
  readonly version: string;
}

/**
 * Bind afid to a file over which the user proves who they are.
 *
 * `size[4] Tauth tag[2] afid[4] uname[s] aname[s] ? n_uname[4]`
 *
 * @see attach(5)
 */
export interface Tauth {
  /** Which message it is. */
  readonly kind: "Tauth";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid of an authentication. */
  readonly afid: number;
  /** Name of the user. */
  readonly uname: string;
  /** Which tree of the server. */
  readonly aname: string;
  /** Number of the user. Not in 9P2000. */
  readonly n_uname: number;
}

/**
 * Answer to Tauth.
 *
 * `size[4] Rauth tag[2] aqid[13]`
 *
 * @see attach(5)
 */
export interface Rauth {
  /** Which message it is. */
  readonly kind: "Rauth";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file of the authentication. */
  readonly aqid: Qid;
}

/**
 * Bind fid to the root of a tree.
 *
 * `size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s] ? n_uname[4]`
 *
 * @see attach(5)
 */
export interface Tattach {
  /** Which message it is. */
  readonly kind: "Tattach";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The fid to bind to the root. */
  readonly fid: number;
  /** The fid of an authentication. */
  readonly afid: number;
  /** Name of the user. */
  readonly uname: string;
  /** Which tree of the server. */
  readonly aname: string;
  /** Number of the user. Not in 9P2000. */
  readonly n_uname: number;
}

/**
 * Answer to Tattach.
 *
 * `size[4] Rattach tag[2] qid[13]`
 *
 * @see attach(5)
 */
export interface Rattach {
  /** Which message it is. */
  readonly kind: "Rattach";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
}

/**
 * Refuse a request with a text, in 9P2000.u with an error number too.
 *
 * `size[4] Rerror tag[2] ename[s] ? errno[4]`
 *
 * @see error(5)
 */
export interface Rerror {
  /** Which message it is. */
  readonly kind: "Rerror";
  /** Number of the request in flight. */
  readonly tag: number;
  /** What is wrong. */
  readonly ename: string;
  /** Linux error number; 0 if not known. Not in 9P2000. */
  readonly errno: number;
}

/**
 * Give up the request that has oldtag.
 *
 * `size[4] Tflush tag[2] oldtag[2]`
 *
 * @see flush(5)
 */
export interface Tflush {
  /** Which message it is. */
  readonly kind: "Tflush";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Tag of the request to give up. */
  readonly oldtag: number;
}

/**
 * Answer to Tflush.
 *
 * `size[4] Rflush tag[2]`
 *
 * @see flush(5)
 */
export interface Rflush {
  /** Which message it is. */
  readonly kind: "Rflush";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Make newfid the file reached from fid by the path elements wname.
 *
 * `size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s])`
 *
 * @see walk(5)
 */
export interface Twalk {
  /** Which message it is. */
  readonly kind: "Twalk";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** The fid to bind; may equal fid in Twalk. */
  readonly newfid: number;
  /** Path elements, at most 16 (MAXWELEM); the codec passes on more. */
  readonly wname: readonly string[];
}

/**
 * Answer to Twalk.
 *
 * `size[4] Rwalk tag[2] nwqid[2] nwqid*(wqid[13])`
 *
 * @see walk(5)
 */
export interface Rwalk {
  /** Which message it is. */
  readonly kind: "Rwalk";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A qid for each element walked. */
  readonly wqid: readonly Qid[];
}

/**
 * Open the file of fid.
 *
 * `size[4] Topen tag[2] fid[4] mode[1]`
 *
 * @see open(5)
 */
export interface Topen {
  /** Which message it is. */
  readonly kind: "Topen";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** OREAD and so on. */
  readonly mode: number;
}

/**
 * Answer to Topen.
 *
 * `size[4] Ropen tag[2] qid[13] iounit[4]`
 *
 * @see open(5)
 */
export interface Ropen {
  /** Which message it is. */
  readonly kind: "Ropen";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Largest payload that is read or written at once; 0 for msize less 24. In bytes. */
  readonly iounit: number;
}

/**
 * Create a file in the directory of fid and open it; fid becomes the file.
 *
 * `size[4] Tcreate tag[2] fid[4] name[s] perm[4] mode[1] ? extension[s]`
 *
 * @see open(5)
 */
export interface Tcreate {
  /** Which message it is. */
  readonly kind: "Tcreate";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** One path element, no slash. */
  readonly name: string;
  /** Permissions and DM bits. */
  readonly perm: number;
  /** OREAD and so on. */
  readonly mode: number;
  /** Target of a link, or numbers of a device; 9P2000.u. Not in 9P2000. */
  readonly extension: string;
}

/**
 * Answer to Tcreate.
 *
 * `size[4] Rcreate tag[2] qid[13] iounit[4]`
 *
 * @see open(5)
 */
export interface Rcreate {
  /** Which message it is. */
  readonly kind: "Rcreate";
  /** Number of the request in flight. */
  readonly tag: number;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Largest payload that is read or written at once; 0 for msize less 24. In bytes. */
  readonly iounit: number;
}

/**
 * Read at most count bytes at offset.
 *
 * `size[4] Tread tag[2] fid[4] offset[8] count[4]`
 *
 * @see read(5)
 */
export interface Tread {
  /** Which message it is. */
  readonly kind: "Tread";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Position in the file. In bytes. */
  readonly offset: bigint;
  /** How many. In bytes. */
  readonly count: number;
}

/**
 * Answer to Tread.
 *
 * `size[4] Rread tag[2] count[4] data[count]`
 *
 * @see read(5)
 */
export interface Rread {
  /** Which message it is. */
  readonly kind: "Rread";
  /** Number of the request in flight. */
  readonly tag: number;
  /** The payload, borrowed from the frame. In bytes. */
  readonly data: Uint8Array;
}

/**
 * Write data at offset.
 *
 * `size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count]`
 *
 * @see read(5)
 */
export interface Twrite {
  /** Which message it is. */
  readonly kind: "Twrite";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Position in the file. In bytes. */
  readonly offset: bigint;
  /** The payload, borrowed from the frame. In bytes. */
  readonly data: Uint8Array;
}

/**
 * Answer to Twrite.
 *
 * `size[4] Rwrite tag[2] count[4]`
 *
 * @see read(5)
 */
export interface Rwrite {
  /** Which message it is. */
  readonly kind: "Rwrite";
  /** Number of the request in flight. */
  readonly tag: number;
  /** How many. In bytes. */
  readonly count: number;
}

/**
 * Give fid back; its number may be used again.
 *
 * `size[4] Tclunk tag[2] fid[4]`
 *
 * @see clunk(5)
 */
export interface Tclunk {
  /** Which message it is. */
  readonly kind: "Tclunk";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
}

/**
 * Answer to Tclunk.
 *
 * `size[4] Rclunk tag[2]`
 *
 * @see clunk(5)
 */
export interface Rclunk {
  /** Which message it is. */
  readonly kind: "Rclunk";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Remove the file of fid and give fid back, even if removing fails.
 *
 * `size[4] Tremove tag[2] fid[4]`
 *
 * @see remove(5)
 */
export interface Tremove {
  /** Which message it is. */
  readonly kind: "Tremove";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
}

/**
 * Answer to Tremove.
 *
 * `size[4] Rremove tag[2]`
 *
 * @see remove(5)
 */
export interface Rremove {
  /** Which message it is. */
  readonly kind: "Rremove";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * Ask for the attributes of fid.
 *
 * `size[4] Tstat tag[2] fid[4]`
 *
 * @see stat(5)
 */
export interface Tstat {
  /** Which message it is. */
  readonly kind: "Tstat";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
}

/**
 * Answer to Tstat.
 *
 * `size[4] Rstat tag[2] nstat[2] stat[nstat]`
 *
 * @see stat(5)
 */
export interface Rstat {
  /** Which message it is. */
  readonly kind: "Rstat";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A Stat record with its `size[2]`, borrowed from the frame. In bytes. */
  readonly stat: Uint8Array;
}

/**
 * Change the attributes of fid; a field of all ones stays as it is.
 *
 * `size[4] Twstat tag[2] fid[4] nstat[2] stat[nstat]`
 *
 * @see stat(5)
 */
export interface Twstat {
  /** Which message it is. */
  readonly kind: "Twstat";
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** A Stat record with its `size[2]`, borrowed from the frame. In bytes. */
  readonly stat: Uint8Array;
}

/**
 * Answer to Twstat.
 *
 * `size[4] Rwstat tag[2]`
 *
 * @see stat(5)
 */
export interface Rwstat {
  /** Which message it is. */
  readonly kind: "Rwstat";
  /** Number of the request in flight. */
  readonly tag: number;
}

/**
 * One entry of a directory, as in the data of Rreaddir.
 *
 * `qid[13] offset[8] type[1] name[s]`
 *
 * @see diod protocol.md, readdir
 */
export interface Dirent {
  /** Identity of the file. */
  readonly qid: Qid;
  /** Where to go on after this entry. */
  readonly offset: bigint;
  /** DT_REG and so on. */
  readonly type: number;
  /** One path element, no slash. */
  readonly name: string;
}

/**
 * Attributes of a file, as in Rstat, Twstat and in reads of a directory, after their `size[2]`.
 *
 * `type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s] ? extension[s] n_uid[4] n_gid[4] n_muid[4]`
 *
 * @see stat(5)
 */
export interface Stat {
  /** For the use of the server's kernel. */
  readonly type: number;
  /** For the use of the server's kernel. */
  readonly dev: number;
  /** Identity of the file. */
  readonly qid: Qid;
  /** Permissions and DM bits. */
  readonly mode: number;
  /** Time of last read, since 1970. In seconds. */
  readonly atime: number;
  /** Time of last write, since 1970. In seconds. */
  readonly mtime: number;
  /** Length; 0 for directories. In bytes. */
  readonly length: bigint;
  /** One path element, no slash. */
  readonly name: string;
  /** Name of the owner. */
  readonly uid: string;
  /** Name of the group. */
  readonly gid: string;
  /** Name of who changed it last. */
  readonly muid: string;
  /** Target of a link, or numbers of a device; 9P2000.u. Not in 9P2000. */
  readonly extension: string;
  /** Number of the owner; 9P2000.u. Not in 9P2000. */
  readonly n_uid: number;
  /** Number of the group; 9P2000.u. Not in 9P2000. */
  readonly n_gid: number;
  /** Number of who changed it last; 9P2000.u. Not in 9P2000. */
  readonly n_muid: number;
}

/** A request. */
export type TMessage =
  | Tstatfs
  | Tlopen
  | Tlcreate
  | Tsymlink
  | Tmknod
  | Trename
  | Treadlink
  | Tgetattr
  | Tsetattr
  | Txattrwalk
  | Txattrcreate
  | Treaddir
  | Tfsync
  | Tlock
  | Tgetlock
  | Tlink
  | Tmkdir
  | Trenameat
  | Tunlinkat
  | Tversion
  | Tauth
  | Tattach
  | Tflush
  | Twalk
  | Topen
  | Tcreate
  | Tread
  | Twrite
  | Tclunk
  | Tremove
  | Tstat
  | Twstat;

/** An answer. */
export type RMessage =
  | Rlerror
  | Rstatfs
  | Rlopen
  | Rlcreate
  | Rsymlink
  | Rmknod
  | Rrename
  | Rreadlink
  | Rgetattr
  | Rsetattr
  | Rxattrwalk
  | Rxattrcreate
  | Rreaddir
  | Rfsync
  | Rlock
  | Rgetlock
  | Rlink
  | Rmkdir
  | Rrenameat
  | Runlinkat
  | Rversion
  | Rauth
  | Rattach
  | Rerror
  | Rflush
  | Rwalk
  | Ropen
  | Rcreate
  | Rread
  | Rwrite
  | Rclunk
  | Rremove
  | Rstat
  | Rwstat;

/** Any message. */
export type Message = TMessage | RMessage;

/** Name of a message. */
export type Kind = Message["kind"];

/** Name of a request. */
export type TKind = TMessage["kind"];

/** Name of an answer. */
export type RKind = RMessage["kind"];

/** Type byte of each message. */
export const TYPE: Readonly<Record<Kind, number>> = {
  Rlerror: 7,
  Tstatfs: 8,
  Rstatfs: 9,
  Tlopen: 12,
  Rlopen: 13,
  Tlcreate: 14,
  Rlcreate: 15,
  Tsymlink: 16,
  Rsymlink: 17,
  Tmknod: 18,
  Rmknod: 19,
  Trename: 20,
  Rrename: 21,
  Treadlink: 22,
  Rreadlink: 23,
  Tgetattr: 24,
  Rgetattr: 25,
  Tsetattr: 26,
  Rsetattr: 27,
  Txattrwalk: 30,
  Rxattrwalk: 31,
  Txattrcreate: 32,
  Rxattrcreate: 33,
  Treaddir: 40,
  Rreaddir: 41,
  Tfsync: 50,
  Rfsync: 51,
  Tlock: 52,
  Rlock: 53,
  Tgetlock: 54,
  Rgetlock: 55,
  Tlink: 70,
  Rlink: 71,
  Tmkdir: 72,
  Rmkdir: 73,
  Trenameat: 74,
  Rrenameat: 75,
  Tunlinkat: 76,
  Runlinkat: 77,
  Tversion: 100,
  Rversion: 101,
  Tauth: 102,
  Rauth: 103,
  Tattach: 104,
  Rattach: 105,
  Rerror: 107,
  Tflush: 108,
  Rflush: 109,
  Twalk: 110,
  Rwalk: 111,
  Topen: 112,
  Ropen: 113,
  Tcreate: 114,
  Rcreate: 115,
  Tread: 116,
  Rread: 117,
  Twrite: 118,
  Rwrite: 119,
  Tclunk: 120,
  Rclunk: 121,
  Tremove: 122,
  Rremove: 123,
  Tstat: 124,
  Rstat: 125,
  Twstat: 126,
  Rwstat: 127,
};

/** The answer to each request, if it is not Rlerror or Rerror. */
export const REPLY: Readonly<Record<TKind, RKind>> = {
  Tstatfs: "Rstatfs",
  Tlopen: "Rlopen",
  Tlcreate: "Rlcreate",
  Tsymlink: "Rsymlink",
  Tmknod: "Rmknod",
  Trename: "Rrename",
  Treadlink: "Rreadlink",
  Tgetattr: "Rgetattr",
  Tsetattr: "Rsetattr",
  Txattrwalk: "Rxattrwalk",
  Txattrcreate: "Rxattrcreate",
  Treaddir: "Rreaddir",
  Tfsync: "Rfsync",
  Tlock: "Rlock",
  Tgetlock: "Rgetlock",
  Tlink: "Rlink",
  Tmkdir: "Rmkdir",
  Trenameat: "Rrenameat",
  Tunlinkat: "Runlinkat",
  Tversion: "Rversion",
  Tauth: "Rauth",
  Tattach: "Rattach",
  Tflush: "Rflush",
  Twalk: "Rwalk",
  Topen: "Ropen",
  Tcreate: "Rcreate",
  Tread: "Rread",
  Twrite: "Rwrite",
  Tclunk: "Rclunk",
  Tremove: "Rremove",
  Tstat: "Rstat",
  Twstat: "Rwstat",
};

/** Bytes of the smallest frame of each message in the largest dialect that has it. */
export const MIN_SIZE: Readonly<Record<Kind, number>> = {
  Rlerror: 11,
  Tstatfs: 11,
  Rstatfs: 67,
  Tlopen: 15,
  Rlopen: 24,
  Tlcreate: 25,
  Rlcreate: 24,
  Tsymlink: 19,
  Rsymlink: 20,
  Tmknod: 29,
  Rmknod: 20,
  Trename: 17,
  Rrename: 7,
  Treadlink: 11,
  Rreadlink: 9,
  Tgetattr: 19,
  Rgetattr: 160,
  Tsetattr: 67,
  Rsetattr: 7,
  Txattrwalk: 17,
  Rxattrwalk: 15,
  Txattrcreate: 25,
  Rxattrcreate: 7,
  Treaddir: 23,
  Rreaddir: 11,
  Tfsync: 15,
  Rfsync: 7,
  Tlock: 38,
  Rlock: 8,
  Tgetlock: 34,
  Rgetlock: 30,
  Tlink: 17,
  Rlink: 7,
  Tmkdir: 21,
  Rmkdir: 20,
  Trenameat: 19,
  Rrenameat: 7,
  Tunlinkat: 17,
  Runlinkat: 7,
  Tversion: 13,
  Rversion: 13,
  Tauth: 19,
  Rauth: 20,
  Tattach: 23,
  Rattach: 20,
  Rerror: 13,
  Tflush: 9,
  Rflush: 7,
  Twalk: 17,
  Rwalk: 9,
  Topen: 12,
  Ropen: 24,
  Tcreate: 20,
  Rcreate: 24,
  Tread: 23,
  Rread: 11,
  Twrite: 23,
  Rwrite: 11,
  Tclunk: 11,
  Rclunk: 7,
  Tremove: 11,
  Rremove: 7,
  Tstat: 11,
  Rstat: 9,
  Twstat: 13,
  Rwstat: 7,
};

const KINDS: readonly (Kind | undefined)[] = Array.from({ length: 256 });
for (const kind of Object.keys(TYPE) as Kind[]) (KINDS as (Kind | undefined)[])[TYPE[kind]] = kind;

/** Name of the message with a type byte, or undefined if there is none or it is illegal on the wire. */
export function kindOf(type: number): Kind | undefined {
  return KINDS[type];
}

/**
 * Decodes the frame from `start` to `end`, or returns null if it is malformed.
 *
 * A frame is refused if its size differs from `end - start`, if the dialect has no message of its
 * type, or if its fields end before or after `end`; {@linkcode diagnose} tells which. Never throws
 * and never looks past `end`. Payloads (`data`, `stat`) are views of `wire.bytes`, valid as long as
 * the frame is; everything else is copied out, read once.
 *
 * @see intro(5)
 */
export function tryDecode(
  wire: Wire,
  start: number,
  end: number,
  dialect: Dialect,
): Message | null {
  const view = wire.view;
  if (!(end - start >= 7 && start >= 0 && end <= view.byteLength)) return null;
  if (view.getUint32(start, true) !== end - start) return null;
  const at = start + 7;
  const tag = view.getUint16(start + 5, true);
  switch (view.getUint8(start + 4)) {
    case 7:
      if (dialect !== "9P2000.L") return null;
      return decodeRlerror(wire, at, end, tag);
    case 8:
      if (dialect !== "9P2000.L") return null;
      return decodeTstatfs(wire, at, end, tag);
    case 9:
      if (dialect !== "9P2000.L") return null;
      return decodeRstatfs(wire, at, end, tag);
    case 12:
      if (dialect !== "9P2000.L") return null;
      return decodeTlopen(wire, at, end, tag);
    case 13:
      if (dialect !== "9P2000.L") return null;
      return decodeRlopen(wire, at, end, tag);
    case 14:
      if (dialect !== "9P2000.L") return null;
      return decodeTlcreate(wire, at, end, tag);
    case 15:
      if (dialect !== "9P2000.L") return null;
      return decodeRlcreate(wire, at, end, tag);
    case 16:
      if (dialect !== "9P2000.L") return null;
      return decodeTsymlink(wire, at, end, tag);
    case 17:
      if (dialect !== "9P2000.L") return null;
      return decodeRsymlink(wire, at, end, tag);
    case 18:
      if (dialect !== "9P2000.L") return null;
      return decodeTmknod(wire, at, end, tag);
    case 19:
      if (dialect !== "9P2000.L") return null;
      return decodeRmknod(wire, at, end, tag);
    case 20:
      if (dialect !== "9P2000.L") return null;
      return decodeTrename(wire, at, end, tag);
    case 21:
      if (dialect !== "9P2000.L") return null;
      return decodeRrename(wire, at, end, tag);
    case 22:
      if (dialect !== "9P2000.L") return null;
      return decodeTreadlink(wire, at, end, tag);
    case 23:
      if (dialect !== "9P2000.L") return null;
      return decodeRreadlink(wire, at, end, tag);
    case 24:
      if (dialect !== "9P2000.L") return null;
      return decodeTgetattr(wire, at, end, tag);
    case 25:
      if (dialect !== "9P2000.L") return null;
      return decodeRgetattr(wire, at, end, tag);
    case 26:
      if (dialect !== "9P2000.L") return null;
      return decodeTsetattr(wire, at, end, tag);
    case 27:
      if (dialect !== "9P2000.L") return null;
      return decodeRsetattr(wire, at, end, tag);
    case 30:
      if (dialect !== "9P2000.L") return null;
      return decodeTxattrwalk(wire, at, end, tag);
    case 31:
      if (dialect !== "9P2000.L") return null;
      return decodeRxattrwalk(wire, at, end, tag);
    case 32:
      if (dialect !== "9P2000.L") return null;
      return decodeTxattrcreate(wire, at, end, tag);
    case 33:
      if (dialect !== "9P2000.L") return null;
      return decodeRxattrcreate(wire, at, end, tag);
    case 40:
      if (dialect !== "9P2000.L") return null;
      return decodeTreaddir(wire, at, end, tag);
    case 41:
      if (dialect !== "9P2000.L") return null;
      return decodeRreaddir(wire, at, end, tag);
    case 50:
      if (dialect !== "9P2000.L") return null;
      return decodeTfsync(wire, at, end, tag);
    case 51:
      if (dialect !== "9P2000.L") return null;
      return decodeRfsync(wire, at, end, tag);
    case 52:
      if (dialect !== "9P2000.L") return null;
      return decodeTlock(wire, at, end, tag);
    case 53:
      if (dialect !== "9P2000.L") return null;
      return decodeRlock(wire, at, end, tag);
    case 54:
      if (dialect !== "9P2000.L") return null;
      return decodeTgetlock(wire, at, end, tag);
    case 55:
      if (dialect !== "9P2000.L") return null;
      return decodeRgetlock(wire, at, end, tag);
    case 70:
      if (dialect !== "9P2000.L") return null;
      return decodeTlink(wire, at, end, tag);
    case 71:
      if (dialect !== "9P2000.L") return null;
      return decodeRlink(wire, at, end, tag);
    case 72:
      if (dialect !== "9P2000.L") return null;
      return decodeTmkdir(wire, at, end, tag);
    case 73:
      if (dialect !== "9P2000.L") return null;
      return decodeRmkdir(wire, at, end, tag);
    case 74:
      if (dialect !== "9P2000.L") return null;
      return decodeTrenameat(wire, at, end, tag);
    case 75:
      if (dialect !== "9P2000.L") return null;
      return decodeRrenameat(wire, at, end, tag);
    case 76:
      if (dialect !== "9P2000.L") return null;
      return decodeTunlinkat(wire, at, end, tag);
    case 77:
      if (dialect !== "9P2000.L") return null;
      return decodeRunlinkat(wire, at, end, tag);
    case 100:
      return decodeTversion(wire, at, end, tag);
    case 101:
      return decodeRversion(wire, at, end, tag);
    case 102:
      return decodeTauth(wire, at, end, tag, dialect);
    case 103:
      return decodeRauth(wire, at, end, tag);
    case 104:
      return decodeTattach(wire, at, end, tag, dialect);
    case 105:
      return decodeRattach(wire, at, end, tag);
    case 107:
      if (dialect === "9P2000.L") return null;
      return decodeRerror(wire, at, end, tag, dialect);
    case 108:
      return decodeTflush(wire, at, end, tag);
    case 109:
      return decodeRflush(wire, at, end, tag);
    case 110:
      return decodeTwalk(wire, at, end, tag);
    case 111:
      return decodeRwalk(wire, at, end, tag);
    case 112:
      if (dialect === "9P2000.L") return null;
      return decodeTopen(wire, at, end, tag);
    case 113:
      if (dialect === "9P2000.L") return null;
      return decodeRopen(wire, at, end, tag);
    case 114:
      if (dialect === "9P2000.L") return null;
      return decodeTcreate(wire, at, end, tag, dialect);
    case 115:
      if (dialect === "9P2000.L") return null;
      return decodeRcreate(wire, at, end, tag);
    case 116:
      return decodeTread(wire, at, end, tag);
    case 117:
      return decodeRread(wire, at, end, tag);
    case 118:
      return decodeTwrite(wire, at, end, tag);
    case 119:
      return decodeRwrite(wire, at, end, tag);
    case 120:
      return decodeTclunk(wire, at, end, tag);
    case 121:
      return decodeRclunk(wire, at, end, tag);
    case 122:
      return decodeTremove(wire, at, end, tag);
    case 123:
      return decodeRremove(wire, at, end, tag);
    case 124:
      if (dialect === "9P2000.L") return null;
      return decodeTstat(wire, at, end, tag);
    case 125:
      if (dialect === "9P2000.L") return null;
      return decodeRstat(wire, at, end, tag);
    case 126:
      if (dialect === "9P2000.L") return null;
      return decodeTwstat(wire, at, end, tag);
    case 127:
      if (dialect === "9P2000.L") return null;
      return decodeRwstat(wire, at, end, tag);
    default:
      return null;
  }
}

/** Bytes of the frame of `message` in `dialect`. */
export function sizeOf(message: Message, dialect: Dialect): number {
  switch (message.kind) {
    case "Rread":
      return 11 + message.data.length;
    case "Rwrite":
      return 11;
    case "Rwalk":
      return 9 + 13 * message.wqid.length;
    case "Rgetattr":
      return 160;
    case "Rclunk":
      return 7;
    case "Rlerror":
      return 11;
    case "Rlopen":
      return 24;
    case "Rreaddir":
      return 11 + message.data.length;
    case "Rlcreate":
      return 24;
    case "Rsetattr":
      return 7;
    case "Runlinkat":
      return 7;
    case "Rflush":
      return 7;
    case "Tread":
      return 23;
    case "Twrite":
      return 23 + message.data.length;
    case "Twalk":
      return 17 + byteLengths(message.wname);
    case "Tgetattr":
      return 19;
    case "Tclunk":
      return 11;
    case "Tlopen":
      return 15;
    case "Treaddir":
      return 23;
    case "Tlcreate":
      return 25 + byteLength(message.name);
    case "Tsetattr":
      return 67;
    case "Tunlinkat":
      return 17 + byteLength(message.name);
    case "Tflush":
      return 9;
    case "Tstatfs":
      return 11;
    case "Rstatfs":
      return 67;
    case "Tsymlink":
      return 19 + byteLength(message.name) + byteLength(message.symtgt);
    case "Rsymlink":
      return 20;
    case "Tmknod":
      return 29 + byteLength(message.name);
    case "Rmknod":
      return 20;
    case "Trename":
      return 17 + byteLength(message.name);
    case "Rrename":
      return 7;
    case "Treadlink":
      return 11;
    case "Rreadlink":
      return 9 + byteLength(message.target);
    case "Txattrwalk":
      return 17 + byteLength(message.name);
    case "Rxattrwalk":
      return 15;
    case "Txattrcreate":
      return 25 + byteLength(message.name);
    case "Rxattrcreate":
      return 7;
    case "Tfsync":
      return 15;
    case "Rfsync":
      return 7;
    case "Tlock":
      return 38 + byteLength(message.client_id);
    case "Rlock":
      return 8;
    case "Tgetlock":
      return 34 + byteLength(message.client_id);
    case "Rgetlock":
      return 30 + byteLength(message.client_id);
    case "Tlink":
      return 17 + byteLength(message.name);
    case "Rlink":
      return 7;
    case "Tmkdir":
      return 21 + byteLength(message.name);
    case "Rmkdir":
      return 20;
    case "Trenameat":
      return 19 + byteLength(message.oldname) + byteLength(message.newname);
    case "Rrenameat":
      return 7;
    case "Tversion":
      return 13 + byteLength(message.version);
    case "Rversion":
      return 13 + byteLength(message.version);
    case "Tauth":
      return 15 + byteLength(message.uname) + byteLength(message.aname) +
        (dialect === "9P2000" ? 0 : 4);
    case "Rauth":
      return 20;
    case "Tattach":
      return 19 + byteLength(message.uname) + byteLength(message.aname) +
        (dialect === "9P2000" ? 0 : 4);
    case "Rattach":
      return 20;
    case "Rerror":
      return 9 + byteLength(message.ename) + (dialect === "9P2000" ? 0 : 4);
    case "Topen":
      return 12;
    case "Ropen":
      return 24;
    case "Tcreate":
      return 18 + byteLength(message.name) +
        (dialect === "9P2000" ? 0 : 2 + byteLength(message.extension));
    case "Rcreate":
      return 24;
    case "Tremove":
      return 11;
    case "Rremove":
      return 7;
    case "Tstat":
      return 11;
    case "Rstat":
      return 9 + message.stat.length;
    case "Twstat":
      return 13 + message.stat.length;
    case "Rwstat":
      return 7;
  }
}

/**
 * Writes the frame of `message` at `at` and returns its end.
 *
 * The caller has made sure of room for `sizeOf(message, dialect)` bytes. Numbers too large for their
 * field lose their high bits. Fields that the dialect does not have are left out; whether it has the
 * message ({@linkcode hasMessage}) is the caller's business.
 *
 * @throws {RangeError} If a name is longer than 65,535 bytes or a list longer than 65,535 items.
 */
export function encodeInto(message: Message, wire: Wire, at: number, dialect: Dialect): number {
  switch (message.kind) {
    case "Rread":
      return encodeRread(message, wire, at);
    case "Rwrite":
      return encodeRwrite(message, wire, at);
    case "Rwalk":
      return encodeRwalk(message, wire, at);
    case "Rgetattr":
      return encodeRgetattr(message, wire, at);
    case "Rclunk":
      return encodeRclunk(message, wire, at);
    case "Rlerror":
      return encodeRlerror(message, wire, at);
    case "Rlopen":
      return encodeRlopen(message, wire, at);
    case "Rreaddir":
      return encodeRreaddir(message, wire, at);
    case "Rlcreate":
      return encodeRlcreate(message, wire, at);
    case "Rsetattr":
      return encodeRsetattr(message, wire, at);
    case "Runlinkat":
      return encodeRunlinkat(message, wire, at);
    case "Rflush":
      return encodeRflush(message, wire, at);
    case "Tread":
      return encodeTread(message, wire, at);
    case "Twrite":
      return encodeTwrite(message, wire, at);
    case "Twalk":
      return encodeTwalk(message, wire, at);
    case "Tgetattr":
      return encodeTgetattr(message, wire, at);
    case "Tclunk":
      return encodeTclunk(message, wire, at);
    case "Tlopen":
      return encodeTlopen(message, wire, at);
    case "Treaddir":
      return encodeTreaddir(message, wire, at);
    case "Tlcreate":
      return encodeTlcreate(message, wire, at);
    case "Tsetattr":
      return encodeTsetattr(message, wire, at);
    case "Tunlinkat":
      return encodeTunlinkat(message, wire, at);
    case "Tflush":
      return encodeTflush(message, wire, at);
    case "Tstatfs":
      return encodeTstatfs(message, wire, at);
    case "Rstatfs":
      return encodeRstatfs(message, wire, at);
    case "Tsymlink":
      return encodeTsymlink(message, wire, at);
    case "Rsymlink":
      return encodeRsymlink(message, wire, at);
    case "Tmknod":
      return encodeTmknod(message, wire, at);
    case "Rmknod":
      return encodeRmknod(message, wire, at);
    case "Trename":
      return encodeTrename(message, wire, at);
    case "Rrename":
      return encodeRrename(message, wire, at);
    case "Treadlink":
      return encodeTreadlink(message, wire, at);
    case "Rreadlink":
      return encodeRreadlink(message, wire, at);
    case "Txattrwalk":
      return encodeTxattrwalk(message, wire, at);
    case "Rxattrwalk":
      return encodeRxattrwalk(message, wire, at);
    case "Txattrcreate":
      return encodeTxattrcreate(message, wire, at);
    case "Rxattrcreate":
      return encodeRxattrcreate(message, wire, at);
    case "Tfsync":
      return encodeTfsync(message, wire, at);
    case "Rfsync":
      return encodeRfsync(message, wire, at);
    case "Tlock":
      return encodeTlock(message, wire, at);
    case "Rlock":
      return encodeRlock(message, wire, at);
    case "Tgetlock":
      return encodeTgetlock(message, wire, at);
    case "Rgetlock":
      return encodeRgetlock(message, wire, at);
    case "Tlink":
      return encodeTlink(message, wire, at);
    case "Rlink":
      return encodeRlink(message, wire, at);
    case "Tmkdir":
      return encodeTmkdir(message, wire, at);
    case "Rmkdir":
      return encodeRmkdir(message, wire, at);
    case "Trenameat":
      return encodeTrenameat(message, wire, at);
    case "Rrenameat":
      return encodeRrenameat(message, wire, at);
    case "Tversion":
      return encodeTversion(message, wire, at);
    case "Rversion":
      return encodeRversion(message, wire, at);
    case "Tauth":
      return encodeTauth(message, wire, at, dialect);
    case "Rauth":
      return encodeRauth(message, wire, at);
    case "Tattach":
      return encodeTattach(message, wire, at, dialect);
    case "Rattach":
      return encodeRattach(message, wire, at);
    case "Rerror":
      return encodeRerror(message, wire, at, dialect);
    case "Topen":
      return encodeTopen(message, wire, at);
    case "Ropen":
      return encodeRopen(message, wire, at);
    case "Tcreate":
      return encodeTcreate(message, wire, at, dialect);
    case "Rcreate":
      return encodeRcreate(message, wire, at);
    case "Tremove":
      return encodeTremove(message, wire, at);
    case "Rremove":
      return encodeRremove(message, wire, at);
    case "Tstat":
      return encodeTstat(message, wire, at);
    case "Rstat":
      return encodeRstat(message, wire, at);
    case "Twstat":
      return encodeTwstat(message, wire, at);
    case "Rwstat":
      return encodeRwstat(message, wire, at);
  }
}

/** What stands before the payload of a Rreaddir. */
export interface RreaddirHeader {
  /** Number of the request in flight. */
  readonly tag: number;

  /** Length of the payload, in bytes. */
  readonly count: number;
}

/** Writes the 11 bytes before a payload of `count` bytes at `at` and returns their end. */
export function encodeRreaddirHeader(wire: Wire, at: number, tag: number, count: number): number {
  const view = wire.view;
  view.setUint32(at, 11 + count, true);
  putHeader(view, at, 41, tag);

  view.setUint32(at + 7, count, true);
  return at + 11;
}

/**
 * Reads the 11 bytes from `start` to `end` before a payload that lies elsewhere.
 *
 * Null if it is another message, if there are fewer bytes, or if size and count disagree.
 */
export function tryDecodeRreaddirHeader(
  wire: Wire,
  start: number,
  end: number,
): RreaddirHeader | null {
  const view = wire.view;
  if (!(start >= 0 && end <= view.byteLength && end - start >= 11)) return null;
  if (view.getUint8(start + 4) !== 41) return null;
  const count = view.getUint32(start + 7, true);
  if (view.getUint32(start, true) !== 11 + count) return null;
  return { tag: view.getUint16(start + 5, true), count };
}

/** What stands before the payload of a Rread. */
export interface RreadHeader {
  /** Number of the request in flight. */
  readonly tag: number;

  /** Length of the payload, in bytes. */
  readonly count: number;
}

/** Writes the 11 bytes before a payload of `count` bytes at `at` and returns their end. */
export function encodeRreadHeader(wire: Wire, at: number, tag: number, count: number): number {
  const view = wire.view;
  view.setUint32(at, 11 + count, true);
  putHeader(view, at, 117, tag);

  view.setUint32(at + 7, count, true);
  return at + 11;
}

/**
 * Reads the 11 bytes from `start` to `end` before a payload that lies elsewhere.
 *
 * Null if it is another message, if there are fewer bytes, or if size and count disagree.
 */
export function tryDecodeRreadHeader(wire: Wire, start: number, end: number): RreadHeader | null {
  const view = wire.view;
  if (!(start >= 0 && end <= view.byteLength && end - start >= 11)) return null;
  if (view.getUint8(start + 4) !== 117) return null;
  const count = view.getUint32(start + 7, true);
  if (view.getUint32(start, true) !== 11 + count) return null;
  return { tag: view.getUint16(start + 5, true), count };
}

/** What stands before the payload of a Twrite. */
export interface TwriteHeader {
  /** Number of the request in flight. */
  readonly tag: number;
  /** A fid of this session. */
  readonly fid: number;
  /** Position in the file. In bytes. */
  readonly offset: bigint;
  /** Length of the payload, in bytes. */
  readonly count: number;
}

/** Writes the 23 bytes before a payload of `count` bytes at `at` and returns their end. */
export function encodeTwriteHeader(
  wire: Wire,
  at: number,
  tag: number,
  fid: number,
  offset: bigint,
  count: number,
): number {
  const view = wire.view;
  view.setUint32(at, 23 + count, true);
  putHeader(view, at, 118, tag);
  view.setUint32(at + 7, fid, true);
  view.setBigUint64(at + 11, offset, true);
  view.setUint32(at + 19, count, true);
  return at + 23;
}

/**
 * Reads the 23 bytes from `start` to `end` before a payload that lies elsewhere.
 *
 * Null if it is another message, if there are fewer bytes, or if size and count disagree.
 */
export function tryDecodeTwriteHeader(wire: Wire, start: number, end: number): TwriteHeader | null {
  const view = wire.view;
  if (!(start >= 0 && end <= view.byteLength && end - start >= 23)) return null;
  if (view.getUint8(start + 4) !== 118) return null;
  const count = view.getUint32(start + 19, true);
  if (view.getUint32(start, true) !== 23 + count) return null;
  return {
    tag: view.getUint16(start + 5, true),
    fid: view.getUint32(start + 7, true),
    offset: view.getBigUint64(start + 11, true),
    count,
  };
}

/** Bytes of the record. */
export function sizeOfDirentRecord(message: Dirent): number {
  return 24 + byteLength(message.name);
}

/** Bytes of the record. */
export function sizeOfStatRecord(message: Stat, dialect: Dialect): number {
  return 47 + byteLength(message.name) + byteLength(message.uid) + byteLength(message.gid) +
    byteLength(message.muid) + (dialect === "9P2000" ? 0 : 14 + byteLength(message.extension));
}

/** Decodes the record from `at` to `end`, or returns null if it is malformed. */
export function tryDecodeDirentRecord(wire: Wire, at: number, end: number): Dirent | null {
  const view = wire.view;
  let p = at;
  if (p + 24 > end) return null;
  const qid = getQid(view, p);
  const offset = view.getBigUint64(p + 13, true);
  const type = view.getUint8(p + 21);
  const name_n = view.getUint16(p + 22, true);
  p += 24;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  return p === end ? { qid, offset, type, name } : null;
}

/** Decodes the record from `at` to `end`, or returns null if it is malformed. */
export function tryDecodeStatRecord(
  wire: Wire,
  at: number,
  end: number,
  dialect: Dialect,
): Stat | null {
  const view = wire.view;
  let p = at;
  if (p + 41 > end) return null;
  const type = view.getUint16(p, true);
  const dev = view.getUint32(p + 2, true);
  const qid = getQid(view, p + 6);
  const mode = view.getUint32(p + 19, true);
  const atime = view.getUint32(p + 23, true);
  const mtime = view.getUint32(p + 27, true);
  const length = view.getBigUint64(p + 31, true);
  const name_n = view.getUint16(p + 39, true);
  p += 41;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 2 > end) return null;
  const uid_n = view.getUint16(p, true);
  p += 2;
  if (uid_n > end - p) return null;
  const uid = decodeString(wire.bytes, p, p + uid_n);
  p += uid_n;
  if (p + 2 > end) return null;
  const gid_n = view.getUint16(p, true);
  p += 2;
  if (gid_n > end - p) return null;
  const gid = decodeString(wire.bytes, p, p + gid_n);
  p += gid_n;
  if (p + 2 > end) return null;
  const muid_n = view.getUint16(p, true);
  p += 2;
  if (muid_n > end - p) return null;
  const muid = decodeString(wire.bytes, p, p + muid_n);
  p += muid_n;
  let extension: string = "";
  let n_uid: number = NONUNAME;
  let n_gid: number = NONUNAME;
  let n_muid: number = NONUNAME;
  if (dialect !== "9P2000") {
    if (p + 2 > end) return null;
    const extension_n = view.getUint16(p, true);
    p += 2;
    if (extension_n > end - p) return null;
    extension = decodeString(wire.bytes, p, p + extension_n);
    p += extension_n;
    if (p + 12 > end) return null;
    n_uid = view.getUint32(p, true);
    n_gid = view.getUint32(p + 4, true);
    n_muid = view.getUint32(p + 8, true);
    p += 12;
  }
  return p === end
    ? {
      type,
      dev,
      qid,
      mode,
      atime,
      mtime,
      length,
      name,
      uid,
      gid,
      muid,
      extension,
      n_uid,
      n_gid,
      n_muid,
    }
    : null;
}

/** Writes the record at `at` and returns the end. */
export function encodeDirentRecord(message: Dirent, wire: Wire, at: number): number {
  const view = wire.view;
  let p = at;
  putQid(view, p, message.qid);
  view.setBigUint64(p + 13, message.offset, true);
  view.setUint8(p + 21, message.type);
  p += 22;
  p = putString(wire, p, message.name);
  return p;
}

/** Writes the record at `at` and returns the end. */
export function encodeStatRecord(message: Stat, wire: Wire, at: number, dialect: Dialect): number {
  const view = wire.view;
  let p = at;
  view.setUint16(p, message.type, true);
  view.setUint32(p + 2, message.dev, true);
  putQid(view, p + 6, message.qid);
  view.setUint32(p + 19, message.mode, true);
  view.setUint32(p + 23, message.atime, true);
  view.setUint32(p + 27, message.mtime, true);
  view.setBigUint64(p + 31, message.length, true);
  p += 39;
  p = putString(wire, p, message.name);
  p = putString(wire, p, message.uid);
  p = putString(wire, p, message.gid);
  p = putString(wire, p, message.muid);
  if (dialect !== "9P2000") {
    p = putString(wire, p, message.extension);
    view.setUint32(p, message.n_uid, true);
    view.setUint32(p + 4, message.n_gid, true);
    view.setUint32(p + 8, message.n_muid, true);
    p += 12;
  }
  return p;
}

function decodeRlerror(wire: Wire, at: number, end: number, tag: number): Rlerror | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Rlerror", tag, ecode: view.getUint32(at, true) };
}

function decodeTstatfs(wire: Wire, at: number, end: number, tag: number): Tstatfs | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Tstatfs", tag, fid: view.getUint32(at, true) };
}

function decodeRstatfs(wire: Wire, at: number, end: number, tag: number): Rstatfs | null {
  if (end - at !== 60) return null;
  const view = wire.view;
  return {
    kind: "Rstatfs",
    tag,
    type: view.getUint32(at, true),
    bsize: view.getUint32(at + 4, true),
    blocks: view.getBigUint64(at + 8, true),
    bfree: view.getBigUint64(at + 16, true),
    bavail: view.getBigUint64(at + 24, true),
    files: view.getBigUint64(at + 32, true),
    ffree: view.getBigUint64(at + 40, true),
    fsid: view.getBigUint64(at + 48, true),
    namelen: view.getUint32(at + 56, true),
  };
}

function decodeTlopen(wire: Wire, at: number, end: number, tag: number): Tlopen | null {
  if (end - at !== 8) return null;
  const view = wire.view;
  return {
    kind: "Tlopen",
    tag,
    fid: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
  };
}

function decodeRlopen(wire: Wire, at: number, end: number, tag: number): Rlopen | null {
  if (end - at !== 17) return null;
  const view = wire.view;
  return { kind: "Rlopen", tag, qid: getQid(view, at), iounit: view.getUint32(at + 13, true) };
}

function decodeTlcreate(wire: Wire, at: number, end: number, tag: number): Tlcreate | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const fid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 12 > end) return null;
  const flags = view.getUint32(p, true);
  const mode = view.getUint32(p + 4, true);
  const gid = view.getUint32(p + 8, true);
  p += 12;
  return p === end ? { kind: "Tlcreate", tag, fid, name, flags, mode, gid } : null;
}

function decodeRlcreate(wire: Wire, at: number, end: number, tag: number): Rlcreate | null {
  if (end - at !== 17) return null;
  const view = wire.view;
  return { kind: "Rlcreate", tag, qid: getQid(view, at), iounit: view.getUint32(at + 13, true) };
}

function decodeTsymlink(wire: Wire, at: number, end: number, tag: number): Tsymlink | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const fid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 2 > end) return null;
  const symtgt_n = view.getUint16(p, true);
  p += 2;
  if (symtgt_n > end - p) return null;
  const symtgt = decodeString(wire.bytes, p, p + symtgt_n);
  p += symtgt_n;
  if (p + 4 > end) return null;
  const gid = view.getUint32(p, true);
  p += 4;
  return p === end ? { kind: "Tsymlink", tag, fid, name, symtgt, gid } : null;
}

function decodeRsymlink(wire: Wire, at: number, end: number, tag: number): Rsymlink | null {
  if (end - at !== 13) return null;
  const view = wire.view;
  return { kind: "Rsymlink", tag, qid: getQid(view, at) };
}

function decodeTmknod(wire: Wire, at: number, end: number, tag: number): Tmknod | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const dfid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 16 > end) return null;
  const mode = view.getUint32(p, true);
  const major = view.getUint32(p + 4, true);
  const minor = view.getUint32(p + 8, true);
  const gid = view.getUint32(p + 12, true);
  p += 16;
  return p === end ? { kind: "Tmknod", tag, dfid, name, mode, major, minor, gid } : null;
}

function decodeRmknod(wire: Wire, at: number, end: number, tag: number): Rmknod | null {
  if (end - at !== 13) return null;
  const view = wire.view;
  return { kind: "Rmknod", tag, qid: getQid(view, at) };
}

function decodeTrename(wire: Wire, at: number, end: number, tag: number): Trename | null {
  const view = wire.view;
  let p = at;
  if (p + 10 > end) return null;
  const fid = view.getUint32(p, true);
  const dfid = view.getUint32(p + 4, true);
  const name_n = view.getUint16(p + 8, true);
  p += 10;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  return p === end ? { kind: "Trename", tag, fid, dfid, name } : null;
}

function decodeRrename(_wire: Wire, at: number, end: number, tag: number): Rrename | null {
  if (end - at !== 0) return null;
  return { kind: "Rrename", tag };
}

function decodeTreadlink(wire: Wire, at: number, end: number, tag: number): Treadlink | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Treadlink", tag, fid: view.getUint32(at, true) };
}

function decodeRreadlink(wire: Wire, at: number, end: number, tag: number): Rreadlink | null {
  const view = wire.view;
  let p = at;
  if (p + 2 > end) return null;
  const target_n = view.getUint16(p, true);
  p += 2;
  if (target_n > end - p) return null;
  const target = decodeString(wire.bytes, p, p + target_n);
  p += target_n;
  return p === end ? { kind: "Rreadlink", tag, target } : null;
}

function decodeTgetattr(wire: Wire, at: number, end: number, tag: number): Tgetattr | null {
  if (end - at !== 12) return null;
  const view = wire.view;
  return {
    kind: "Tgetattr",
    tag,
    fid: view.getUint32(at, true),
    request_mask: view.getBigUint64(at + 4, true),
  };
}

function decodeRgetattr(wire: Wire, at: number, end: number, tag: number): Rgetattr | null {
  if (end - at !== 153) return null;
  const view = wire.view;
  return {
    kind: "Rgetattr",
    tag,
    valid: view.getBigUint64(at, true),
    qid: getQid(view, at + 8),
    mode: view.getUint32(at + 21, true),
    uid: view.getUint32(at + 25, true),
    gid: view.getUint32(at + 29, true),
    nlink: view.getBigUint64(at + 33, true),
    rdev: view.getBigUint64(at + 41, true),
    size: view.getBigUint64(at + 49, true),
    blksize: view.getBigUint64(at + 57, true),
    blocks: view.getBigUint64(at + 65, true),
    atime_sec: view.getBigUint64(at + 73, true),
    atime_nsec: view.getBigUint64(at + 81, true),
    mtime_sec: view.getBigUint64(at + 89, true),
    mtime_nsec: view.getBigUint64(at + 97, true),
    ctime_sec: view.getBigUint64(at + 105, true),
    ctime_nsec: view.getBigUint64(at + 113, true),
    btime_sec: view.getBigUint64(at + 121, true),
    btime_nsec: view.getBigUint64(at + 129, true),
    gen: view.getBigUint64(at + 137, true),
    data_version: view.getBigUint64(at + 145, true),
  };
}

function decodeTsetattr(wire: Wire, at: number, end: number, tag: number): Tsetattr | null {
  if (end - at !== 60) return null;
  const view = wire.view;
  return {
    kind: "Tsetattr",
    tag,
    fid: view.getUint32(at, true),
    valid: view.getUint32(at + 4, true),
    mode: view.getUint32(at + 8, true),
    uid: view.getUint32(at + 12, true),
    gid: view.getUint32(at + 16, true),
    size: view.getBigUint64(at + 20, true),
    atime_sec: view.getBigUint64(at + 28, true),
    atime_nsec: view.getBigUint64(at + 36, true),
    mtime_sec: view.getBigUint64(at + 44, true),
    mtime_nsec: view.getBigUint64(at + 52, true),
  };
}

function decodeRsetattr(_wire: Wire, at: number, end: number, tag: number): Rsetattr | null {
  if (end - at !== 0) return null;
  return { kind: "Rsetattr", tag };
}

function decodeTxattrwalk(wire: Wire, at: number, end: number, tag: number): Txattrwalk | null {
  const view = wire.view;
  let p = at;
  if (p + 10 > end) return null;
  const fid = view.getUint32(p, true);
  const newfid = view.getUint32(p + 4, true);
  const name_n = view.getUint16(p + 8, true);
  p += 10;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  return p === end ? { kind: "Txattrwalk", tag, fid, newfid, name } : null;
}

function decodeRxattrwalk(wire: Wire, at: number, end: number, tag: number): Rxattrwalk | null {
  if (end - at !== 8) return null;
  const view = wire.view;
  return { kind: "Rxattrwalk", tag, size: view.getBigUint64(at, true) };
}

function decodeTxattrcreate(wire: Wire, at: number, end: number, tag: number): Txattrcreate | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const fid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 12 > end) return null;
  const attr_size = view.getBigUint64(p, true);
  const flags = view.getUint32(p + 8, true);
  p += 12;
  return p === end ? { kind: "Txattrcreate", tag, fid, name, attr_size, flags } : null;
}

function decodeRxattrcreate(
  _wire: Wire,
  at: number,
  end: number,
  tag: number,
): Rxattrcreate | null {
  if (end - at !== 0) return null;
  return { kind: "Rxattrcreate", tag };
}

function decodeTreaddir(wire: Wire, at: number, end: number, tag: number): Treaddir | null {
  if (end - at !== 16) return null;
  const view = wire.view;
  return {
    kind: "Treaddir",
    tag,
    fid: view.getUint32(at, true),
    offset: view.getBigUint64(at + 4, true),
    count: view.getUint32(at + 12, true),
  };
}

function decodeRreaddir(wire: Wire, at: number, end: number, tag: number): Rreaddir | null {
  const view = wire.view;
  let p = at;
  if (p + 4 > end) return null;
  const data_n = view.getUint32(p, true);
  p += 4;
  if (data_n > end - p) return null;
  const data = wire.bytes.subarray(p, p + data_n);
  p += data_n;
  return p === end ? { kind: "Rreaddir", tag, data } : null;
}

function decodeTfsync(wire: Wire, at: number, end: number, tag: number): Tfsync | null {
  if (end - at !== 8) return null;
  const view = wire.view;
  return {
    kind: "Tfsync",
    tag,
    fid: view.getUint32(at, true),
    datasync: view.getUint32(at + 4, true),
  };
}

function decodeRfsync(_wire: Wire, at: number, end: number, tag: number): Rfsync | null {
  if (end - at !== 0) return null;
  return { kind: "Rfsync", tag };
}

function decodeTlock(wire: Wire, at: number, end: number, tag: number): Tlock | null {
  const view = wire.view;
  let p = at;
  if (p + 31 > end) return null;
  const fid = view.getUint32(p, true);
  const type = view.getUint8(p + 4);
  const flags = view.getUint32(p + 5, true);
  const start = view.getBigUint64(p + 9, true);
  const length = view.getBigUint64(p + 17, true);
  const proc_id = view.getUint32(p + 25, true);
  const client_id_n = view.getUint16(p + 29, true);
  p += 31;
  if (client_id_n > end - p) return null;
  const client_id = decodeString(wire.bytes, p, p + client_id_n);
  p += client_id_n;
  return p === end
    ? { kind: "Tlock", tag, fid, type, flags, start, length, proc_id, client_id }
    : null;
}

function decodeRlock(wire: Wire, at: number, end: number, tag: number): Rlock | null {
  if (end - at !== 1) return null;
  const view = wire.view;
  return { kind: "Rlock", tag, status: view.getUint8(at) };
}

function decodeTgetlock(wire: Wire, at: number, end: number, tag: number): Tgetlock | null {
  const view = wire.view;
  let p = at;
  if (p + 27 > end) return null;
  const fid = view.getUint32(p, true);
  const type = view.getUint8(p + 4);
  const start = view.getBigUint64(p + 5, true);
  const length = view.getBigUint64(p + 13, true);
  const proc_id = view.getUint32(p + 21, true);
  const client_id_n = view.getUint16(p + 25, true);
  p += 27;
  if (client_id_n > end - p) return null;
  const client_id = decodeString(wire.bytes, p, p + client_id_n);
  p += client_id_n;
  return p === end ? { kind: "Tgetlock", tag, fid, type, start, length, proc_id, client_id } : null;
}

function decodeRgetlock(wire: Wire, at: number, end: number, tag: number): Rgetlock | null {
  const view = wire.view;
  let p = at;
  if (p + 23 > end) return null;
  const type = view.getUint8(p);
  const start = view.getBigUint64(p + 1, true);
  const length = view.getBigUint64(p + 9, true);
  const proc_id = view.getUint32(p + 17, true);
  const client_id_n = view.getUint16(p + 21, true);
  p += 23;
  if (client_id_n > end - p) return null;
  const client_id = decodeString(wire.bytes, p, p + client_id_n);
  p += client_id_n;
  return p === end ? { kind: "Rgetlock", tag, type, start, length, proc_id, client_id } : null;
}

function decodeTlink(wire: Wire, at: number, end: number, tag: number): Tlink | null {
  const view = wire.view;
  let p = at;
  if (p + 10 > end) return null;
  const dfid = view.getUint32(p, true);
  const fid = view.getUint32(p + 4, true);
  const name_n = view.getUint16(p + 8, true);
  p += 10;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  return p === end ? { kind: "Tlink", tag, dfid, fid, name } : null;
}

function decodeRlink(_wire: Wire, at: number, end: number, tag: number): Rlink | null {
  if (end - at !== 0) return null;
  return { kind: "Rlink", tag };
}

function decodeTmkdir(wire: Wire, at: number, end: number, tag: number): Tmkdir | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const dfid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 8 > end) return null;
  const mode = view.getUint32(p, true);
  const gid = view.getUint32(p + 4, true);
  p += 8;
  return p === end ? { kind: "Tmkdir", tag, dfid, name, mode, gid } : null;
}

function decodeRmkdir(wire: Wire, at: number, end: number, tag: number): Rmkdir | null {
  if (end - at !== 13) return null;
  const view = wire.view;
  return { kind: "Rmkdir", tag, qid: getQid(view, at) };
}

function decodeTrenameat(wire: Wire, at: number, end: number, tag: number): Trenameat | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const olddirfid = view.getUint32(p, true);
  const oldname_n = view.getUint16(p + 4, true);
  p += 6;
  if (oldname_n > end - p) return null;
  const oldname = decodeString(wire.bytes, p, p + oldname_n);
  p += oldname_n;
  if (p + 6 > end) return null;
  const newdirfid = view.getUint32(p, true);
  const newname_n = view.getUint16(p + 4, true);
  p += 6;
  if (newname_n > end - p) return null;
  const newname = decodeString(wire.bytes, p, p + newname_n);
  p += newname_n;
  return p === end ? { kind: "Trenameat", tag, olddirfid, oldname, newdirfid, newname } : null;
}

function decodeRrenameat(_wire: Wire, at: number, end: number, tag: number): Rrenameat | null {
  if (end - at !== 0) return null;
  return { kind: "Rrenameat", tag };
}

function decodeTunlinkat(wire: Wire, at: number, end: number, tag: number): Tunlinkat | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const dirfd = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 4 > end) return null;
  const flags = view.getUint32(p, true);
  p += 4;
  return p === end ? { kind: "Tunlinkat", tag, dirfd, name, flags } : null;
}

function decodeRunlinkat(_wire: Wire, at: number, end: number, tag: number): Runlinkat | null {
  if (end - at !== 0) return null;
  return { kind: "Runlinkat", tag };
}

function decodeTversion(wire: Wire, at: number, end: number, tag: number): Tversion | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const msize = view.getUint32(p, true);
  const version_n = view.getUint16(p + 4, true);
  p += 6;
  if (version_n > end - p) return null;
  const version = decodeString(wire.bytes, p, p + version_n);
  p += version_n;
  return p === end ? { kind: "Tversion", tag, msize, version } : null;
}

function decodeRversion(wire: Wire, at: number, end: number, tag: number): Rversion | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const msize = view.getUint32(p, true);
  const version_n = view.getUint16(p + 4, true);
  p += 6;
  if (version_n > end - p) return null;
  const version = decodeString(wire.bytes, p, p + version_n);
  p += version_n;
  return p === end ? { kind: "Rversion", tag, msize, version } : null;
}

function decodeTauth(
  wire: Wire,
  at: number,
  end: number,
  tag: number,
  dialect: Dialect,
): Tauth | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const afid = view.getUint32(p, true);
  const uname_n = view.getUint16(p + 4, true);
  p += 6;
  if (uname_n > end - p) return null;
  const uname = decodeString(wire.bytes, p, p + uname_n);
  p += uname_n;
  if (p + 2 > end) return null;
  const aname_n = view.getUint16(p, true);
  p += 2;
  if (aname_n > end - p) return null;
  const aname = decodeString(wire.bytes, p, p + aname_n);
  p += aname_n;
  let n_uname: number = NONUNAME;
  if (dialect !== "9P2000") {
    if (p + 4 > end) return null;
    n_uname = view.getUint32(p, true);
    p += 4;
  }
  return p === end ? { kind: "Tauth", tag, afid, uname, aname, n_uname } : null;
}

function decodeRauth(wire: Wire, at: number, end: number, tag: number): Rauth | null {
  if (end - at !== 13) return null;
  const view = wire.view;
  return { kind: "Rauth", tag, aqid: getQid(view, at) };
}

function decodeTattach(
  wire: Wire,
  at: number,
  end: number,
  tag: number,
  dialect: Dialect,
): Tattach | null {
  const view = wire.view;
  let p = at;
  if (p + 10 > end) return null;
  const fid = view.getUint32(p, true);
  const afid = view.getUint32(p + 4, true);
  const uname_n = view.getUint16(p + 8, true);
  p += 10;
  if (uname_n > end - p) return null;
  const uname = decodeString(wire.bytes, p, p + uname_n);
  p += uname_n;
  if (p + 2 > end) return null;
  const aname_n = view.getUint16(p, true);
  p += 2;
  if (aname_n > end - p) return null;
  const aname = decodeString(wire.bytes, p, p + aname_n);
  p += aname_n;
  let n_uname: number = NONUNAME;
  if (dialect !== "9P2000") {
    if (p + 4 > end) return null;
    n_uname = view.getUint32(p, true);
    p += 4;
  }
  return p === end ? { kind: "Tattach", tag, fid, afid, uname, aname, n_uname } : null;
}

function decodeRattach(wire: Wire, at: number, end: number, tag: number): Rattach | null {
  if (end - at !== 13) return null;
  const view = wire.view;
  return { kind: "Rattach", tag, qid: getQid(view, at) };
}

function decodeRerror(
  wire: Wire,
  at: number,
  end: number,
  tag: number,
  dialect: Dialect,
): Rerror | null {
  const view = wire.view;
  let p = at;
  if (p + 2 > end) return null;
  const ename_n = view.getUint16(p, true);
  p += 2;
  if (ename_n > end - p) return null;
  const ename = decodeString(wire.bytes, p, p + ename_n);
  p += ename_n;
  let errno: number = 0;
  if (dialect !== "9P2000") {
    if (p + 4 > end) return null;
    errno = view.getUint32(p, true);
    p += 4;
  }
  return p === end ? { kind: "Rerror", tag, ename, errno } : null;
}

function decodeTflush(wire: Wire, at: number, end: number, tag: number): Tflush | null {
  if (end - at !== 2) return null;
  const view = wire.view;
  return { kind: "Tflush", tag, oldtag: view.getUint16(at, true) };
}

function decodeRflush(_wire: Wire, at: number, end: number, tag: number): Rflush | null {
  if (end - at !== 0) return null;
  return { kind: "Rflush", tag };
}

function decodeTwalk(wire: Wire, at: number, end: number, tag: number): Twalk | null {
  const view = wire.view;
  let p = at;
  if (p + 10 > end) return null;
  const fid = view.getUint32(p, true);
  const newfid = view.getUint32(p + 4, true);
  const wname_n = view.getUint16(p + 8, true);
  p += 10;
  if (wname_n * 2 > end - p) return null;
  const wname: string[] = [];
  for (let i = 0; i < wname_n; i++) {
    if (p + 2 > end) return null;
    const length = view.getUint16(p, true);
    p += 2;
    if (length > end - p) return null;
    wname.push(decodeString(wire.bytes, p, p + length));
    p += length;
  }
  return p === end ? { kind: "Twalk", tag, fid, newfid, wname } : null;
}

function decodeRwalk(wire: Wire, at: number, end: number, tag: number): Rwalk | null {
  const view = wire.view;
  let p = at;
  if (p + 2 > end) return null;
  const wqid_n = view.getUint16(p, true);
  p += 2;
  if (wqid_n * 13 > end - p) return null;
  const wqid: Qid[] = [];
  for (let i = 0; i < wqid_n; i++) {
    wqid.push(getQid(view, p));
    p += 13;
  }
  return p === end ? { kind: "Rwalk", tag, wqid } : null;
}

function decodeTopen(wire: Wire, at: number, end: number, tag: number): Topen | null {
  if (end - at !== 5) return null;
  const view = wire.view;
  return { kind: "Topen", tag, fid: view.getUint32(at, true), mode: view.getUint8(at + 4) };
}

function decodeRopen(wire: Wire, at: number, end: number, tag: number): Ropen | null {
  if (end - at !== 17) return null;
  const view = wire.view;
  return { kind: "Ropen", tag, qid: getQid(view, at), iounit: view.getUint32(at + 13, true) };
}

function decodeTcreate(
  wire: Wire,
  at: number,
  end: number,
  tag: number,
  dialect: Dialect,
): Tcreate | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const fid = view.getUint32(p, true);
  const name_n = view.getUint16(p + 4, true);
  p += 6;
  if (name_n > end - p) return null;
  const name = decodeString(wire.bytes, p, p + name_n);
  p += name_n;
  if (p + 5 > end) return null;
  const perm = view.getUint32(p, true);
  const mode = view.getUint8(p + 4);
  p += 5;
  let extension: string = "";
  if (dialect !== "9P2000") {
    if (p + 2 > end) return null;
    const extension_n = view.getUint16(p, true);
    p += 2;
    if (extension_n > end - p) return null;
    extension = decodeString(wire.bytes, p, p + extension_n);
    p += extension_n;
  }
  return p === end ? { kind: "Tcreate", tag, fid, name, perm, mode, extension } : null;
}

function decodeRcreate(wire: Wire, at: number, end: number, tag: number): Rcreate | null {
  if (end - at !== 17) return null;
  const view = wire.view;
  return { kind: "Rcreate", tag, qid: getQid(view, at), iounit: view.getUint32(at + 13, true) };
}

function decodeTread(wire: Wire, at: number, end: number, tag: number): Tread | null {
  if (end - at !== 16) return null;
  const view = wire.view;
  return {
    kind: "Tread",
    tag,
    fid: view.getUint32(at, true),
    offset: view.getBigUint64(at + 4, true),
    count: view.getUint32(at + 12, true),
  };
}

function decodeRread(wire: Wire, at: number, end: number, tag: number): Rread | null {
  const view = wire.view;
  let p = at;
  if (p + 4 > end) return null;
  const data_n = view.getUint32(p, true);
  p += 4;
  if (data_n > end - p) return null;
  const data = wire.bytes.subarray(p, p + data_n);
  p += data_n;
  return p === end ? { kind: "Rread", tag, data } : null;
}

function decodeTwrite(wire: Wire, at: number, end: number, tag: number): Twrite | null {
  const view = wire.view;
  let p = at;
  if (p + 16 > end) return null;
  const fid = view.getUint32(p, true);
  const offset = view.getBigUint64(p + 4, true);
  const data_n = view.getUint32(p + 12, true);
  p += 16;
  if (data_n > end - p) return null;
  const data = wire.bytes.subarray(p, p + data_n);
  p += data_n;
  return p === end ? { kind: "Twrite", tag, fid, offset, data } : null;
}

function decodeRwrite(wire: Wire, at: number, end: number, tag: number): Rwrite | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Rwrite", tag, count: view.getUint32(at, true) };
}

function decodeTclunk(wire: Wire, at: number, end: number, tag: number): Tclunk | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Tclunk", tag, fid: view.getUint32(at, true) };
}

function decodeRclunk(_wire: Wire, at: number, end: number, tag: number): Rclunk | null {
  if (end - at !== 0) return null;
  return { kind: "Rclunk", tag };
}

function decodeTremove(wire: Wire, at: number, end: number, tag: number): Tremove | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Tremove", tag, fid: view.getUint32(at, true) };
}

function decodeRremove(_wire: Wire, at: number, end: number, tag: number): Rremove | null {
  if (end - at !== 0) return null;
  return { kind: "Rremove", tag };
}

function decodeTstat(wire: Wire, at: number, end: number, tag: number): Tstat | null {
  if (end - at !== 4) return null;
  const view = wire.view;
  return { kind: "Tstat", tag, fid: view.getUint32(at, true) };
}

function decodeRstat(wire: Wire, at: number, end: number, tag: number): Rstat | null {
  const view = wire.view;
  let p = at;
  if (p + 2 > end) return null;
  const stat_n = view.getUint16(p, true);
  p += 2;
  if (stat_n > end - p) return null;
  const stat = wire.bytes.subarray(p, p + stat_n);
  p += stat_n;
  return p === end ? { kind: "Rstat", tag, stat } : null;
}

function decodeTwstat(wire: Wire, at: number, end: number, tag: number): Twstat | null {
  const view = wire.view;
  let p = at;
  if (p + 6 > end) return null;
  const fid = view.getUint32(p, true);
  const stat_n = view.getUint16(p + 4, true);
  p += 6;
  if (stat_n > end - p) return null;
  const stat = wire.bytes.subarray(p, p + stat_n);
  p += stat_n;
  return p === end ? { kind: "Twstat", tag, fid, stat } : null;
}

function decodeRwstat(_wire: Wire, at: number, end: number, tag: number): Rwstat | null {
  if (end - at !== 0) return null;
  return { kind: "Rwstat", tag };
}

function encodeRlerror(message: Rlerror, wire: Wire, at: number): number {
  putHeader(wire.view, at, 7, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.ecode, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeTstatfs(message: Tstatfs, wire: Wire, at: number): number {
  putHeader(wire.view, at, 8, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeRstatfs(message: Rstatfs, wire: Wire, at: number): number {
  putHeader(wire.view, at, 9, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.type, true);
  view.setUint32(at + 11, message.bsize, true);
  view.setBigUint64(at + 15, message.blocks, true);
  view.setBigUint64(at + 23, message.bfree, true);
  view.setBigUint64(at + 31, message.bavail, true);
  view.setBigUint64(at + 39, message.files, true);
  view.setBigUint64(at + 47, message.ffree, true);
  view.setBigUint64(at + 55, message.fsid, true);
  view.setUint32(at + 63, message.namelen, true);
  wire.view.setUint32(at, 67, true);
  return at + 67;
}

function encodeTlopen(message: Tlopen, wire: Wire, at: number): number {
  putHeader(wire.view, at, 12, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setUint32(at + 11, message.flags, true);
  wire.view.setUint32(at, 15, true);
  return at + 15;
}

function encodeRlopen(message: Rlopen, wire: Wire, at: number): number {
  putHeader(wire.view, at, 13, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  view.setUint32(at + 20, message.iounit, true);
  wire.view.setUint32(at, 24, true);
  return at + 24;
}

function encodeTlcreate(message: Tlcreate, wire: Wire, at: number): number {
  putHeader(wire.view, at, 14, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setUint32(p, message.flags, true);
  view.setUint32(p + 4, message.mode, true);
  view.setUint32(p + 8, message.gid, true);
  p += 12;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRlcreate(message: Rlcreate, wire: Wire, at: number): number {
  putHeader(wire.view, at, 15, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  view.setUint32(at + 20, message.iounit, true);
  wire.view.setUint32(at, 24, true);
  return at + 24;
}

function encodeTsymlink(message: Tsymlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 16, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  p += 4;
  p = putString(wire, p, message.name);
  p = putString(wire, p, message.symtgt);
  view.setUint32(p, message.gid, true);
  p += 4;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRsymlink(message: Rsymlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 17, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  wire.view.setUint32(at, 20, true);
  return at + 20;
}

function encodeTmknod(message: Tmknod, wire: Wire, at: number): number {
  putHeader(wire.view, at, 18, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.dfid, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setUint32(p, message.mode, true);
  view.setUint32(p + 4, message.major, true);
  view.setUint32(p + 8, message.minor, true);
  view.setUint32(p + 12, message.gid, true);
  p += 16;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRmknod(message: Rmknod, wire: Wire, at: number): number {
  putHeader(wire.view, at, 19, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  wire.view.setUint32(at, 20, true);
  return at + 20;
}

function encodeTrename(message: Trename, wire: Wire, at: number): number {
  putHeader(wire.view, at, 20, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint32(p + 4, message.dfid, true);
  p += 8;
  p = putString(wire, p, message.name);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRrename(message: Rrename, wire: Wire, at: number): number {
  putHeader(wire.view, at, 21, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTreadlink(message: Treadlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 22, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeRreadlink(message: Rreadlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 23, message.tag);
  let p = at + 7;
  p = putString(wire, p, message.target);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTgetattr(message: Tgetattr, wire: Wire, at: number): number {
  putHeader(wire.view, at, 24, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setBigUint64(at + 11, message.request_mask, true);
  wire.view.setUint32(at, 19, true);
  return at + 19;
}

function encodeRgetattr(message: Rgetattr, wire: Wire, at: number): number {
  putHeader(wire.view, at, 25, message.tag);
  const view = wire.view;
  view.setBigUint64(at + 7, message.valid, true);
  putQid(view, at + 15, message.qid);
  view.setUint32(at + 28, message.mode, true);
  view.setUint32(at + 32, message.uid, true);
  view.setUint32(at + 36, message.gid, true);
  view.setBigUint64(at + 40, message.nlink, true);
  view.setBigUint64(at + 48, message.rdev, true);
  view.setBigUint64(at + 56, message.size, true);
  view.setBigUint64(at + 64, message.blksize, true);
  view.setBigUint64(at + 72, message.blocks, true);
  view.setBigUint64(at + 80, message.atime_sec, true);
  view.setBigUint64(at + 88, message.atime_nsec, true);
  view.setBigUint64(at + 96, message.mtime_sec, true);
  view.setBigUint64(at + 104, message.mtime_nsec, true);
  view.setBigUint64(at + 112, message.ctime_sec, true);
  view.setBigUint64(at + 120, message.ctime_nsec, true);
  view.setBigUint64(at + 128, message.btime_sec, true);
  view.setBigUint64(at + 136, message.btime_nsec, true);
  view.setBigUint64(at + 144, message.gen, true);
  view.setBigUint64(at + 152, message.data_version, true);
  wire.view.setUint32(at, 160, true);
  return at + 160;
}

function encodeTsetattr(message: Tsetattr, wire: Wire, at: number): number {
  putHeader(wire.view, at, 26, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setUint32(at + 11, message.valid, true);
  view.setUint32(at + 15, message.mode, true);
  view.setUint32(at + 19, message.uid, true);
  view.setUint32(at + 23, message.gid, true);
  view.setBigUint64(at + 27, message.size, true);
  view.setBigUint64(at + 35, message.atime_sec, true);
  view.setBigUint64(at + 43, message.atime_nsec, true);
  view.setBigUint64(at + 51, message.mtime_sec, true);
  view.setBigUint64(at + 59, message.mtime_nsec, true);
  wire.view.setUint32(at, 67, true);
  return at + 67;
}

function encodeRsetattr(message: Rsetattr, wire: Wire, at: number): number {
  putHeader(wire.view, at, 27, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTxattrwalk(message: Txattrwalk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 30, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint32(p + 4, message.newfid, true);
  p += 8;
  p = putString(wire, p, message.name);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRxattrwalk(message: Rxattrwalk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 31, message.tag);
  const view = wire.view;
  view.setBigUint64(at + 7, message.size, true);
  wire.view.setUint32(at, 15, true);
  return at + 15;
}

function encodeTxattrcreate(message: Txattrcreate, wire: Wire, at: number): number {
  putHeader(wire.view, at, 32, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setBigUint64(p, message.attr_size, true);
  view.setUint32(p + 8, message.flags, true);
  p += 12;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRxattrcreate(message: Rxattrcreate, wire: Wire, at: number): number {
  putHeader(wire.view, at, 33, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTreaddir(message: Treaddir, wire: Wire, at: number): number {
  putHeader(wire.view, at, 40, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setBigUint64(at + 11, message.offset, true);
  view.setUint32(at + 19, message.count, true);
  wire.view.setUint32(at, 23, true);
  return at + 23;
}

function encodeRreaddir(message: Rreaddir, wire: Wire, at: number): number {
  putHeader(wire.view, at, 41, message.tag);
  let p = at + 7;
  p = putBytes32(wire, p, message.data);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTfsync(message: Tfsync, wire: Wire, at: number): number {
  putHeader(wire.view, at, 50, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setUint32(at + 11, message.datasync, true);
  wire.view.setUint32(at, 15, true);
  return at + 15;
}

function encodeRfsync(message: Rfsync, wire: Wire, at: number): number {
  putHeader(wire.view, at, 51, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTlock(message: Tlock, wire: Wire, at: number): number {
  putHeader(wire.view, at, 52, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint8(p + 4, message.type);
  view.setUint32(p + 5, message.flags, true);
  view.setBigUint64(p + 9, message.start, true);
  view.setBigUint64(p + 17, message.length, true);
  view.setUint32(p + 25, message.proc_id, true);
  p += 29;
  p = putString(wire, p, message.client_id);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRlock(message: Rlock, wire: Wire, at: number): number {
  putHeader(wire.view, at, 53, message.tag);
  const view = wire.view;
  view.setUint8(at + 7, message.status);
  wire.view.setUint32(at, 8, true);
  return at + 8;
}

function encodeTgetlock(message: Tgetlock, wire: Wire, at: number): number {
  putHeader(wire.view, at, 54, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint8(p + 4, message.type);
  view.setBigUint64(p + 5, message.start, true);
  view.setBigUint64(p + 13, message.length, true);
  view.setUint32(p + 21, message.proc_id, true);
  p += 25;
  p = putString(wire, p, message.client_id);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRgetlock(message: Rgetlock, wire: Wire, at: number): number {
  putHeader(wire.view, at, 55, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint8(p, message.type);
  view.setBigUint64(p + 1, message.start, true);
  view.setBigUint64(p + 9, message.length, true);
  view.setUint32(p + 17, message.proc_id, true);
  p += 21;
  p = putString(wire, p, message.client_id);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTlink(message: Tlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 70, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.dfid, true);
  view.setUint32(p + 4, message.fid, true);
  p += 8;
  p = putString(wire, p, message.name);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRlink(message: Rlink, wire: Wire, at: number): number {
  putHeader(wire.view, at, 71, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTmkdir(message: Tmkdir, wire: Wire, at: number): number {
  putHeader(wire.view, at, 72, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.dfid, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setUint32(p, message.mode, true);
  view.setUint32(p + 4, message.gid, true);
  p += 8;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRmkdir(message: Rmkdir, wire: Wire, at: number): number {
  putHeader(wire.view, at, 73, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  wire.view.setUint32(at, 20, true);
  return at + 20;
}

function encodeTrenameat(message: Trenameat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 74, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.olddirfid, true);
  p += 4;
  p = putString(wire, p, message.oldname);
  view.setUint32(p, message.newdirfid, true);
  p += 4;
  p = putString(wire, p, message.newname);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRrenameat(message: Rrenameat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 75, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTunlinkat(message: Tunlinkat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 76, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.dirfd, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setUint32(p, message.flags, true);
  p += 4;
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRunlinkat(message: Runlinkat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 77, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTversion(message: Tversion, wire: Wire, at: number): number {
  putHeader(wire.view, at, 100, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.msize, true);
  p += 4;
  p = putString(wire, p, message.version);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRversion(message: Rversion, wire: Wire, at: number): number {
  putHeader(wire.view, at, 101, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.msize, true);
  p += 4;
  p = putString(wire, p, message.version);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTauth(message: Tauth, wire: Wire, at: number, dialect: Dialect): number {
  putHeader(wire.view, at, 102, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.afid, true);
  p += 4;
  p = putString(wire, p, message.uname);
  p = putString(wire, p, message.aname);
  if (dialect !== "9P2000") {
    view.setUint32(p, message.n_uname, true);
    p += 4;
  }
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRauth(message: Rauth, wire: Wire, at: number): number {
  putHeader(wire.view, at, 103, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.aqid);
  wire.view.setUint32(at, 20, true);
  return at + 20;
}

function encodeTattach(message: Tattach, wire: Wire, at: number, dialect: Dialect): number {
  putHeader(wire.view, at, 104, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint32(p + 4, message.afid, true);
  p += 8;
  p = putString(wire, p, message.uname);
  p = putString(wire, p, message.aname);
  if (dialect !== "9P2000") {
    view.setUint32(p, message.n_uname, true);
    p += 4;
  }
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRattach(message: Rattach, wire: Wire, at: number): number {
  putHeader(wire.view, at, 105, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  wire.view.setUint32(at, 20, true);
  return at + 20;
}

function encodeRerror(message: Rerror, wire: Wire, at: number, dialect: Dialect): number {
  putHeader(wire.view, at, 107, message.tag);
  const view = wire.view;
  let p = at + 7;
  p = putString(wire, p, message.ename);
  if (dialect !== "9P2000") {
    view.setUint32(p, message.errno, true);
    p += 4;
  }
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTflush(message: Tflush, wire: Wire, at: number): number {
  putHeader(wire.view, at, 108, message.tag);
  const view = wire.view;
  view.setUint16(at + 7, message.oldtag, true);
  wire.view.setUint32(at, 9, true);
  return at + 9;
}

function encodeRflush(message: Rflush, wire: Wire, at: number): number {
  putHeader(wire.view, at, 109, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTwalk(message: Twalk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 110, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setUint32(p + 4, message.newfid, true);
  p += 8;
  p = putStrings(wire, p, message.wname);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRwalk(message: Rwalk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 111, message.tag);
  let p = at + 7;
  p = putQids(wire, p, message.wqid);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTopen(message: Topen, wire: Wire, at: number): number {
  putHeader(wire.view, at, 112, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setUint8(at + 11, message.mode);
  wire.view.setUint32(at, 12, true);
  return at + 12;
}

function encodeRopen(message: Ropen, wire: Wire, at: number): number {
  putHeader(wire.view, at, 113, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  view.setUint32(at + 20, message.iounit, true);
  wire.view.setUint32(at, 24, true);
  return at + 24;
}

function encodeTcreate(message: Tcreate, wire: Wire, at: number, dialect: Dialect): number {
  putHeader(wire.view, at, 114, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  p += 4;
  p = putString(wire, p, message.name);
  view.setUint32(p, message.perm, true);
  view.setUint8(p + 4, message.mode);
  p += 5;
  if (dialect !== "9P2000") {
    p = putString(wire, p, message.extension);
  }
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRcreate(message: Rcreate, wire: Wire, at: number): number {
  putHeader(wire.view, at, 115, message.tag);
  const view = wire.view;
  putQid(view, at + 7, message.qid);
  view.setUint32(at + 20, message.iounit, true);
  wire.view.setUint32(at, 24, true);
  return at + 24;
}

function encodeTread(message: Tread, wire: Wire, at: number): number {
  putHeader(wire.view, at, 116, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  view.setBigUint64(at + 11, message.offset, true);
  view.setUint32(at + 19, message.count, true);
  wire.view.setUint32(at, 23, true);
  return at + 23;
}

function encodeRread(message: Rread, wire: Wire, at: number): number {
  putHeader(wire.view, at, 117, message.tag);
  let p = at + 7;
  p = putBytes32(wire, p, message.data);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTwrite(message: Twrite, wire: Wire, at: number): number {
  putHeader(wire.view, at, 118, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  view.setBigUint64(p + 4, message.offset, true);
  p += 12;
  p = putBytes32(wire, p, message.data);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRwrite(message: Rwrite, wire: Wire, at: number): number {
  putHeader(wire.view, at, 119, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.count, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeTclunk(message: Tclunk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 120, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeRclunk(message: Rclunk, wire: Wire, at: number): number {
  putHeader(wire.view, at, 121, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTremove(message: Tremove, wire: Wire, at: number): number {
  putHeader(wire.view, at, 122, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeRremove(message: Rremove, wire: Wire, at: number): number {
  putHeader(wire.view, at, 123, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}

function encodeTstat(message: Tstat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 124, message.tag);
  const view = wire.view;
  view.setUint32(at + 7, message.fid, true);
  wire.view.setUint32(at, 11, true);
  return at + 11;
}

function encodeRstat(message: Rstat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 125, message.tag);
  let p = at + 7;
  p = putBytes16(wire, p, message.stat);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeTwstat(message: Twstat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 126, message.tag);
  const view = wire.view;
  let p = at + 7;
  view.setUint32(p, message.fid, true);
  p += 4;
  p = putBytes16(wire, p, message.stat);
  wire.view.setUint32(at, p - at, true);
  return p;
}

function encodeRwstat(message: Rwstat, wire: Wire, at: number): number {
  putHeader(wire.view, at, 127, message.tag);
  wire.view.setUint32(at, 7, true);
  return at + 7;
}
