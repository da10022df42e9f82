/**
 * What a field means, by its name: how to print it, in which unit it counts, which value stands
 * for none, and what a fuzzer may put there.
 *
 * @module
 */

import {
  DIR_MODES,
  type FlagStyle,
  type FlagTable,
  GETATTR,
  LOCK_FLAGS,
  LOCK_STATUS,
  LOCK_TYPES,
  O_ACCMODE,
  OPEN_FLAGS,
  OPEN_MODES,
  SETATTR,
  UNLINK_FLAGS,
  XATTR_FLAGS,
} from "./flags.ts";

/** Tag of Tversion, and of no other request. */
export const NOTAG = 0xffff;
/** No fid: an attach without authentication. */
export const NOFID = 0xffffffff;
/** No numeric user, and in Tsetattr and Twstat no change. */
export const NONUNAME = 0xffffffff;

/** How a value is printed in the text form. */
export type Print = "decimal" | "octal" | "hex" | "errno" | "flags" | "string" | "bytes" | "qid";

/** What a generator of arbitrary messages may draw from. */
export type Arbitrary =
  | "any"
  | "tag"
  | "live-fid"
  | "new-fid"
  | "name"
  | "path"
  | "text"
  | "version"
  | "msize"
  | "offset"
  | "count"
  | "mode"
  | "id"
  | "errno"
  | "flags"
  | "time"
  | "qid"
  | "bytes";

/** The meaning of a field. */
export interface FieldKind {
  /** How it is printed. */
  readonly print: Print;
  /** What it counts; absent for what counts nothing. */
  readonly unit?: "bytes" | "seconds" | "nanoseconds" | "blocks of 512 bytes" | "blocks of bsize";
  /** The value that stands for none, with the name it is printed by. */
  readonly none?: { readonly name: string; readonly value: number };
  /** Names of its bits or values. */
  readonly flags?: FlagTable;
  /** How to print them. */
  readonly style?: FlagStyle;
  /** What a generator may draw from. */
  readonly arbitrary: Arbitrary;
  /** One sentence. */
  readonly doc: string;
}

const NO_FID = { name: "NOFID", value: NOFID };
const NO_ID = { name: "NONUNAME", value: NONUNAME };
const ACCESS: FlagStyle = { field: O_ACCMODE };
const VALUES: FlagStyle = { field: 0xff };

/**
 * Fields by name; `Tlopen.flags` stands before `flags`, and names of records before those of
 * messages.
 */
// deno-fmt-ignore
export const KINDS: Readonly<Record<string, FieldKind>> = {
  tag:          { print: "decimal", arbitrary: "tag", none: { name: "NOTAG", value: NOTAG }, doc: "Number of a request in flight." },
  oldtag:       { print: "decimal", arbitrary: "tag", none: { name: "NOTAG", value: NOTAG }, doc: "Tag of the request to give up." },
  fid:          { print: "decimal", arbitrary: "live-fid", none: NO_FID, doc: "A fid of this session." },
  "Tattach.fid": { print: "decimal", arbitrary: "new-fid", none: NO_FID, doc: "The fid to bind to the root." },
  newfid:       { print: "decimal", arbitrary: "new-fid", none: NO_FID, doc: "The fid to bind; may equal fid in Twalk." },
  afid:         { print: "decimal", arbitrary: "new-fid", none: NO_FID, doc: "The fid of an authentication." },
  dfid:         { print: "decimal", arbitrary: "live-fid", none: NO_FID, doc: "The fid of a directory." },
  dirfd:        { print: "decimal", arbitrary: "live-fid", none: NO_FID, doc: "The fid of a directory." },
  olddirfid:    { print: "decimal", arbitrary: "live-fid", none: NO_FID, doc: "The fid of the directory to move from." },
  newdirfid:    { print: "decimal", arbitrary: "live-fid", none: NO_FID, doc: "The fid of the directory to move to." },
  msize:        { print: "decimal", unit: "bytes", arbitrary: "msize", doc: "Largest frame, its size field included." },
  version:      { print: "string", arbitrary: "version", doc: "Name of the dialect." },
  uname:        { print: "string", arbitrary: "text", doc: "Name of the user." },
  aname:        { print: "string", arbitrary: "path", doc: "Which tree of the server." },
  n_uname:      { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of the user." },
  name:         { print: "string", arbitrary: "name", doc: "One path element, no slash." },
  "Txattrwalk.name": { print: "string", arbitrary: "text", doc: "Name of the attribute; empty for the list of names." },
  "Txattrcreate.name": { print: "string", arbitrary: "text", doc: "Name of the attribute." },
  oldname:      { print: "string", arbitrary: "name", doc: "The entry to move." },
  newname:      { print: "string", arbitrary: "name", doc: "The entry to move to." },
  wname:        { print: "string", arbitrary: "name", doc: "Path elements, at most 16 (MAXWELEM); the codec passes on more." },
  wqid:         { print: "qid", arbitrary: "qid", doc: "A qid for each element walked." },
  qid:          { print: "qid", arbitrary: "qid", doc: "Identity of the file." },
  aqid:         { print: "qid", arbitrary: "qid", doc: "Identity of the file of the authentication." },
  symtgt:       { print: "string", arbitrary: "path", doc: "Where the link points." },
  target:       { print: "string", arbitrary: "path", doc: "Where the link points." },
  ename:        { print: "string", arbitrary: "text", doc: "What is wrong." },
  errno:        { print: "errno", arbitrary: "errno", doc: "Linux error number; 0 if not known." },
  ecode:        { print: "errno", arbitrary: "errno", doc: "Linux error number." },
  offset:       { print: "decimal", unit: "bytes", arbitrary: "offset", doc: "Position in the file." },
  "Treaddir.offset": { print: "decimal", arbitrary: "offset", doc: "0, or the offset of the last entry received." },
  count:        { print: "decimal", unit: "bytes", arbitrary: "count", doc: "How many." },
  data:         { print: "bytes", unit: "bytes", arbitrary: "bytes", doc: "The payload, borrowed from the frame." },
  "Rreaddir.data": { print: "bytes", unit: "bytes", arbitrary: "bytes", doc: "Dirent records, borrowed from the frame." },
  stat:         { print: "bytes", unit: "bytes", arbitrary: "bytes", doc: "A Stat record with its `size[2]`, borrowed from the frame." },
  iounit:       { print: "decimal", unit: "bytes", arbitrary: "count", doc: "Largest payload that is read or written at once; 0 for msize less 24." },
  mode:         { print: "octal", arbitrary: "mode", doc: "Permissions and file type, as in stat(2)." },
  "Topen.mode": { print: "flags", flags: OPEN_MODES, style: ACCESS, arbitrary: "flags", doc: "OREAD and so on." },
  "Tcreate.mode": { print: "flags", flags: OPEN_MODES, style: ACCESS, arbitrary: "flags", doc: "OREAD and so on." },
  perm:         { print: "flags", flags: DIR_MODES, style: { octal: true }, arbitrary: "mode", doc: "Permissions and DM bits." },
  "Stat.mode":  { print: "flags", flags: DIR_MODES, style: { octal: true }, arbitrary: "mode", doc: "Permissions and DM bits." },
  "Tlopen.flags": { print: "flags", flags: OPEN_FLAGS, style: ACCESS, arbitrary: "flags", doc: "O_RDONLY and so on." },
  "Tlcreate.flags": { print: "flags", flags: OPEN_FLAGS, style: ACCESS, arbitrary: "flags", doc: "O_RDONLY and so on." },
  "Txattrcreate.flags": { print: "flags", flags: XATTR_FLAGS, arbitrary: "flags", doc: "XATTR_CREATE, XATTR_REPLACE or 0." },
  "Tlock.flags": { print: "flags", flags: LOCK_FLAGS, arbitrary: "flags", doc: "LOCK_FLAGS_BLOCK and so on." },
  "Tunlinkat.flags": { print: "flags", flags: UNLINK_FLAGS, arbitrary: "flags", doc: "AT_REMOVEDIR or 0." },
  "Tlock.type": { print: "flags", flags: LOCK_TYPES, style: VALUES, arbitrary: "flags", doc: "What lock." },
  "Tgetlock.type": { print: "flags", flags: LOCK_TYPES, style: VALUES, arbitrary: "flags", doc: "What lock." },
  "Rgetlock.type": { print: "flags", flags: LOCK_TYPES, style: VALUES, arbitrary: "flags", doc: "The lock in the way; LOCK_TYPE_UNLCK for none." },
  status:       { print: "flags", flags: LOCK_STATUS, style: VALUES, arbitrary: "flags", doc: "How the lock request ended." },
  request_mask: { print: "flags", flags: GETATTR, arbitrary: "flags", doc: "Attributes wanted." },
  "Rgetattr.valid": { print: "flags", flags: GETATTR, arbitrary: "flags", doc: "Attributes that are true." },
  "Tsetattr.valid": { print: "flags", flags: SETATTR, arbitrary: "flags", doc: "Attributes to change." },
  start:        { print: "decimal", unit: "bytes", arbitrary: "offset", doc: "First byte of the lock." },
  length:       { print: "decimal", unit: "bytes", arbitrary: "offset", doc: "Length of the lock; 0 for all up to the end." },
  proc_id:      { print: "decimal", arbitrary: "id", doc: "Process that owns the lock." },
  client_id:    { print: "string", arbitrary: "text", doc: "Machine that owns the lock." },
  gid:          { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of the group." },
  uid:          { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of the owner." },
  major:        { print: "decimal", arbitrary: "any", doc: "Major number of a device." },
  minor:        { print: "decimal", arbitrary: "any", doc: "Minor number of a device." },
  nlink:        { print: "decimal", arbitrary: "any", doc: "How many names." },
  rdev:         { print: "decimal", arbitrary: "any", doc: "The device, if it is one." },
  size:         { print: "decimal", unit: "bytes", arbitrary: "offset", doc: "Length." },
  attr_size:    { print: "decimal", unit: "bytes", arbitrary: "count", doc: "Length of the attribute; 0 removes it." },
  blksize:      { print: "decimal", unit: "bytes", arbitrary: "any", doc: "Best size of a read or write." },
  blocks:       { print: "decimal", unit: "blocks of 512 bytes", arbitrary: "any", doc: "Space taken." },
  atime_sec:    { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of last access, since 1970; signed." },
  atime_nsec:   { print: "decimal", unit: "nanoseconds", arbitrary: "time", doc: "Rest of it." },
  mtime_sec:    { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of last change of the contents, since 1970; signed." },
  mtime_nsec:   { print: "decimal", unit: "nanoseconds", arbitrary: "time", doc: "Rest of it." },
  ctime_sec:    { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of last change of the attributes, since 1970; signed." },
  ctime_nsec:   { print: "decimal", unit: "nanoseconds", arbitrary: "time", doc: "Rest of it." },
  btime_sec:    { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of creation, since 1970; signed." },
  btime_nsec:   { print: "decimal", unit: "nanoseconds", arbitrary: "time", doc: "Rest of it." },
  gen:          { print: "decimal", arbitrary: "any", doc: "Generation of the inode." },
  data_version: { print: "decimal", arbitrary: "any", doc: "Version of the contents; reserved." },
  datasync:     { print: "decimal", arbitrary: "any", doc: "0, or 1 to leave out attributes that no read needs." },
  "Rstatfs.type": { print: "hex", arbitrary: "any", doc: "Magic number of the file system." },
  bsize:        { print: "decimal", unit: "bytes", arbitrary: "any", doc: "Size of a block." },
  "Rstatfs.blocks": { print: "decimal", unit: "blocks of bsize", arbitrary: "any", doc: "Blocks in all." },
  bfree:        { print: "decimal", unit: "blocks of bsize", arbitrary: "any", doc: "Blocks free." },
  bavail:       { print: "decimal", unit: "blocks of bsize", arbitrary: "any", doc: "Blocks free for users." },
  files:        { print: "decimal", arbitrary: "any", doc: "Inodes in all." },
  ffree:        { print: "decimal", arbitrary: "any", doc: "Inodes free." },
  fsid:         { print: "hex", arbitrary: "any", doc: "Identity of the file system." },
  namelen:      { print: "decimal", unit: "bytes", arbitrary: "any", doc: "Longest name." },
  extension:    { print: "string", arbitrary: "path", doc: "Target of a link, or numbers of a device; 9P2000.u." },
  "Dirent.offset": { print: "decimal", arbitrary: "offset", doc: "Where to go on after this entry." },
  "Dirent.type": { print: "decimal", arbitrary: "any", doc: "DT_REG and so on." },
  "Stat.type":  { print: "decimal", arbitrary: "any", doc: "For the use of the server's kernel." },
  dev:          { print: "decimal", arbitrary: "any", doc: "For the use of the server's kernel." },
  atime:        { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of last read, since 1970." },
  mtime:        { print: "decimal", unit: "seconds", arbitrary: "time", doc: "Time of last write, since 1970." },
  "Stat.length": { print: "decimal", unit: "bytes", arbitrary: "offset", doc: "Length; 0 for directories." },
  "Stat.uid":   { print: "string", arbitrary: "text", doc: "Name of the owner." },
  "Stat.gid":   { print: "string", arbitrary: "text", doc: "Name of the group." },
  muid:         { print: "string", arbitrary: "text", doc: "Name of who changed it last." },
  n_uid:        { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of the owner; 9P2000.u." },
  n_gid:        { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of the group; 9P2000.u." },
  n_muid:       { print: "decimal", arbitrary: "id", none: NO_ID, doc: "Number of who changed it last; 9P2000.u." },
};

/**
 * The meaning of field `name` of a message or record `owner`.
 *
 * @throws {RangeError} If the table has no row for it.
 */
export function fieldKind(owner: string, name: string): FieldKind {
  const kind = KINDS[`${owner}.${name}`] ?? KINDS[name];
  if (kind === undefined) throw new RangeError(`Cannot find field "${owner}.${name}": no row`);
  return kind;
}
