/**
 * The protocol, once: every transaction of 9P2000, 9P2000.u and 9P2000.L in the notation of
 * intro(5). Types, decoder, encoder, text form, JSON form, documentation and fuzzing are derived
 * from these rows; a new message is one row and `deno task gen`.
 *
 * @module
 */

/** Dialect of the protocol, spelled as in the version string. */
export type Dialect = "9P2000" | "9P2000.u" | "9P2000.L";

/** All dialects, oldest first. */
export const DIALECTS: readonly Dialect[] = ["9P2000", "9P2000.u", "9P2000.L"];

/**
 * Which dialects have a transaction.
 *
 * `all`: every one. `classic`: 9P2000 and 9P2000.u, as 9P2000.L has replacements of its own.
 * `linux`: 9P2000.L only.
 */
export type Availability = "all" | "classic" | "linux";

/** The dialects behind each {@linkcode Availability}. */
export const AVAILABILITY: Readonly<Record<Availability, readonly Dialect[]>> = {
  all: ["9P2000", "9P2000.u", "9P2000.L"],
  classic: ["9P2000", "9P2000.u"],
  linux: ["9P2000.L"],
};

/** One row of the table: a T-message and its R-message. */
export interface Transaction {
  /** Type byte of the T-message; the R-message always has the next number. */
  readonly type: number;
  /** Name without the leading T or R. */
  readonly name: string;
  /** Dialects that have the transaction. */
  readonly in: Availability;
  /**
   * Body of the T-message after `tag[2]`, or null where the T-message is illegal on the wire.
   * Fields after `?` exist in 9P2000.u and 9P2000.L only.
   */
  readonly t: string | null;
  /** Body of the R-message after `tag[2]`. */
  readonly r: string;
  /** What the transaction does, one sentence. */
  readonly doc: string;
  /** Where it is specified. */
  readonly see: string;
}

/** Every transaction, in order of the type byte. */
// deno-fmt-ignore
export const TRANSACTIONS: readonly Transaction[] = [
  { type: 6, name: "lerror", in: "linux", t: null, r: "ecode[4]", see: "diod protocol.md, lerror",
    doc: "Refuse a request with a Linux error number." },
  { type: 8, name: "statfs", in: "linux", t: "fid[4]",
    r: "type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]",
    see: "diod protocol.md, statfs", doc: "Ask about the file system that holds fid." },
  { type: 12, name: "lopen", in: "linux", t: "fid[4] flags[4]", r: "qid[13] iounit[4]",
    see: "diod protocol.md, lopen", doc: "Open the file of fid with Linux open flags." },
  { type: 14, name: "lcreate", in: "linux", t: "fid[4] name[s] flags[4] mode[4] gid[4]", r: "qid[13] iounit[4]",
    see: "diod protocol.md, lcreate", doc: "Create a file in the directory of fid and open it; fid becomes the file." },
  { type: 16, name: "symlink", in: "linux", t: "fid[4] name[s] symtgt[s] gid[4]", r: "qid[13]",
    see: "diod protocol.md, symlink", doc: "Create a symbolic link in the directory of fid." },
  { type: 18, name: "mknod", in: "linux", t: "dfid[4] name[s] mode[4] major[4] minor[4] gid[4]", r: "qid[13]",
    see: "diod protocol.md, mknod", doc: "Create a device, FIFO, socket or plain file in the directory of dfid." },
  { type: 20, name: "rename", in: "linux", t: "fid[4] dfid[4] name[s]", r: "",
    see: "diod protocol.md, rename", doc: "Move the file of fid into the directory of dfid." },
  { type: 22, name: "readlink", in: "linux", t: "fid[4]", r: "target[s]",
    see: "diod protocol.md, readlink", doc: "Read where a symbolic link points." },
  { type: 24, name: "getattr", in: "linux", t: "fid[4] request_mask[8]",
    r: "valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8] " +
      "atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] " +
      "btime_sec[8] btime_nsec[8] gen[8] data_version[8]",
    see: "diod protocol.md, getattr", doc: "Ask for the attributes of fid." },
  { type: 26, name: "setattr", in: "linux",
    t: "fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8]",
    r: "", see: "diod protocol.md, setattr", doc: "Change those attributes of fid that valid names." },
  { type: 30, name: "xattrwalk", in: "linux", t: "fid[4] newfid[4] name[s]", r: "size[8]",
    see: "diod protocol.md, xattrwalk", doc: "Make newfid read an extended attribute of fid, or the list of names if name is empty." },
  { type: 32, name: "xattrcreate", in: "linux", t: "fid[4] name[s] attr_size[8] flags[4]", r: "",
    see: "diod protocol.md, xattrcreate", doc: "Make fid write an extended attribute, which the clunk of fid sets." },
  { type: 40, name: "readdir", in: "linux", t: "fid[4] offset[8] count[4]", r: "count[4] data[count]",
    see: "diod protocol.md, readdir", doc: "Read directory entries after offset." },
  { type: 50, name: "fsync", in: "linux", t: "fid[4] datasync[4]", r: "",
    see: "diod protocol.md, fsync", doc: "Put the data of fid on stable storage. The older form without datasync is refused." },
  { type: 52, name: "lock", in: "linux",
    t: "fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]", r: "status[1]",
    see: "diod protocol.md, lock", doc: "Take or release a record lock." },
  { type: 54, name: "getlock", in: "linux",
    t: "fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]",
    r: "type[1] start[8] length[8] proc_id[4] client_id[s]",
    see: "diod protocol.md, getlock", doc: "Ask which lock would be in the way." },
  { type: 70, name: "link", in: "linux", t: "dfid[4] fid[4] name[s]", r: "",
    see: "diod protocol.md, link", doc: "Create a hard link to fid in the directory of dfid." },
  { type: 72, name: "mkdir", in: "linux", t: "dfid[4] name[s] mode[4] gid[4]", r: "qid[13]",
    see: "diod protocol.md, mkdir", doc: "Create a directory in the directory of dfid." },
  { type: 74, name: "renameat", in: "linux", t: "olddirfid[4] oldname[s] newdirfid[4] newname[s]", r: "",
    see: "diod protocol.md, renameat", doc: "Rename an entry of one directory to an entry of another." },
  { type: 76, name: "unlinkat", in: "linux", t: "dirfd[4] name[s] flags[4]", r: "",
    see: "diod protocol.md, unlinkat", doc: "Remove an entry of a directory." },
  { type: 100, name: "version", in: "all", t: "msize[4] version[s]", r: "msize[4] version[s]",
    see: "version(5)", doc: "Agree on dialect and message size, and start the session afresh." },
  { type: 102, name: "auth", in: "all", t: "afid[4] uname[s] aname[s] ? n_uname[4]", r: "aqid[13]",
    see: "attach(5)", doc: "Bind afid to a file over which the user proves who they are." },
  { type: 104, name: "attach", in: "all", t: "fid[4] afid[4] uname[s] aname[s] ? n_uname[4]", r: "qid[13]",
    see: "attach(5)", doc: "Bind fid to the root of a tree." },
  { type: 106, name: "error", in: "classic", t: null, r: "ename[s] ? errno[4]",
    see: "error(5)", doc: "Refuse a request with a text, in 9P2000.u with an error number too." },
  { type: 108, name: "flush", in: "all", t: "oldtag[2]", r: "",
    see: "flush(5)", doc: "Give up the request that has oldtag." },
  { type: 110, name: "walk", in: "all", t: "fid[4] newfid[4] nwname[2] nwname*(wname[s])", r: "nwqid[2] nwqid*(wqid[13])",
    see: "walk(5)", doc: "Make newfid the file reached from fid by the path elements wname." },
  { type: 112, name: "open", in: "classic", t: "fid[4] mode[1]", r: "qid[13] iounit[4]",
    see: "open(5)", doc: "Open the file of fid." },
  { type: 114, name: "create", in: "classic", t: "fid[4] name[s] perm[4] mode[1] ? extension[s]", r: "qid[13] iounit[4]",
    see: "open(5)", doc: "Create a file in the directory of fid and open it; fid becomes the file." },
  { type: 116, name: "read", in: "all", t: "fid[4] offset[8] count[4]", r: "count[4] data[count]",
    see: "read(5)", doc: "Read at most count bytes at offset." },
  { type: 118, name: "write", in: "all", t: "fid[4] offset[8] count[4] data[count]", r: "count[4]",
    see: "read(5)", doc: "Write data at offset." },
  { type: 120, name: "clunk", in: "all", t: "fid[4]", r: "",
    see: "clunk(5)", doc: "Give fid back; its number may be used again." },
  { type: 122, name: "remove", in: "all", t: "fid[4]", r: "",
    see: "remove(5)", doc: "Remove the file of fid and give fid back, even if removing fails." },
  { type: 124, name: "stat", in: "classic", t: "fid[4]", r: "nstat[2] stat[nstat]",
    see: "stat(5)", doc: "Ask for the attributes of fid." },
  { type: 126, name: "wstat", in: "classic", t: "fid[4] nstat[2] stat[nstat]", r: "",
    see: "stat(5)", doc: "Change the attributes of fid; a field of all ones stays as it is." },
];

/** A record inside the payload of a message, in the same notation. */
export interface RecordRow {
  /** Name of its type. */
  readonly name: string;
  /** Fields in order. */
  readonly fields: string;
  /** What it describes, one sentence. */
  readonly doc: string;
  /** Where it is specified. */
  readonly see: string;
}

/** Records that payloads consist of. */
// deno-fmt-ignore
export const RECORDS: readonly RecordRow[] = [
  { name: "Dirent", fields: "qid[13] offset[8] type[1] name[s]",
    see: "diod protocol.md, readdir", doc: "One entry of a directory, as in the data of Rreaddir." },
  { name: "Stat",
    fields: "type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s] " +
      "? extension[s] n_uid[4] n_gid[4] n_muid[4]",
    see: "stat(5)", doc: "Attributes of a file, as in Rstat, Twstat and in reads of a directory, after their `size[2]`." },
];
