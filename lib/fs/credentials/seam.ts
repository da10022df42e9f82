/**
 * What a tree of the host asks of a model of credentials: whose files are whose, and how owners,
 * modes and types that a client sets are kept.
 *
 * @module
 */
import { ERANGE, getxattrat, scratch, type Statx } from "../../linux/mod.ts";
import { XATTR_SIZE_MAX } from "../modes.ts";

/** Where a file of the host is. */
export interface Place {
  /** Descriptor of the file itself (`O_PATH`), or of any kind right after it was made. */
  handle(): number;
  /** Descriptor of the folder it was reached through (`O_PATH`). */
  folderHandle(): number;
  /** Its name there. */
  readonly name: string;
  /** What the model remembers of the file for as long as the tree knows it. */
  memo: Memo | null;
}

/** What was read beside a file, and when that was true. */
export interface Memo extends Readonly<Ownership> {
  /** Time of the last change of the inode that it was read from, seconds. */
  readonly ctimeSec: bigint;
  /** Its nanoseconds. */
  readonly ctimeNsec: number;
  /** Number of that inode. */
  readonly ino: bigint;
  /** True if every change since gives that inode another time. */
  readonly isSettled: boolean;
}

/** What a model may present in another way than the host has it. */
export interface Ownership {
  /** Type and permission bits. */
  mode: number;
  /** Owner. */
  uid: number;
  /** Group. */
  gid: number;
  /** Device number, in the encoding of `new_encode_dev`. */
  rdev: bigint;
}

/** A file that is to be made. */
export interface Wanted {
  /** Type and permission bits. */
  readonly mode: number;
  /** User of the client, or 4294967295. */
  readonly uid: number;
  /** Group of the message, or 4294967295. */
  readonly gid: number;
  /** How a regular file is to be opened for the client: `O_*` of the host; -1 for not at all. */
  readonly flags: number;
  /** Major number of a device file. */
  readonly major: number;
  /** Minor number of a device file. */
  readonly minor: number;
  /** What a symbolic link says. */
  readonly target: string;
}

/**
 * A model of credentials. The tree asks it wherever the client's view and the host's may differ.
 *
 * Methods that return a number return minus an errno of Linux if they fail, else what they say or
 * 0; text or a number likewise. Values of extended attributes are in `scratch()`. Nothing here
 * waits: what a method has changed of the calling thread is as before when it returns.
 */
export interface Credentials {
  /** Name on the command line. */
  readonly name: string;
  /** True if {@linkcode Credentials.present} may change anything: then every look at a file asks it. */
  readonly presents: boolean;
  /** True if {@linkcode Credentials.hides} may be true for some name. */
  readonly hidesNames: boolean;
  /** True if the host is to see the client's user: then `enter` and `leave` enclose what it checks. */
  readonly switches: boolean;
  /** True if nobody but {@linkcode Credentials.dropSetId} takes set-id bits away when a user writes. */
  dropsSetId(uid: number): boolean;

  /** Called once, with the root of the export, before anything else. Fails if it cannot be served. */
  start?(root: number): number;
  /** Gives back what the model holds. */
  close?(): void;
  /** Lets this thread act as a user of the client until `leave`; false if it does so already. */
  enter(uid: number, uname: string): boolean;
  /** Number on the host of a user that a client names without a number, where that counts. */
  userOf?(uname: string): number;
  /** Lets this thread act as the server again. */
  leave(): void;

  /** Turns what the host says of a file, its whole answer in `found`, into what the client sees. */
  present(ownership: Ownership, place: Place, found: Statx): void;
  /** True for a name that belongs to the model: the client neither sees nor makes it. */
  hides(name: string): boolean;
  /** How many folders the model hides in a folder. */
  hiddenFolders?(folder: Place, isRoot: boolean): number;
  /** Type of a folder entry as the client sees it: `DT_*`, or `DT_UNKNOWN` for "look at the file". */
  entryType(type: number): number;

  /**
   * Makes a file of any type with its owner and mode; nothing is left of it if that fails.
   *
   * @returns A descriptor of the caller's, opened as `wanted.flags` say, else of any kind.
   */
  make(folder: Place, name: string, wanted: Wanted): number;
  /** Target of what is presented as a symbolic link; `isLink` if it is one on the host too. */
  readlink(place: Place, isLink: boolean): string | number;
  /** Changes owner and group of a file of a type; 4294967295 leaves one as it is. */
  chown(place: Place, type: number, uid: number, gid: number): number;
  /** Changes the permission bits of a file of a type other than a symbolic link. */
  chmod(place: Place, type: number, permissions: number): number;
  /** Takes away what lets a file act as its owner or group, since somebody else changes its content. */
  dropSetId(place: Place): number;

  /** Reads an extended attribute of a file of a type into scratch memory; returns its size. */
  getXattr(place: Place, type: number, name: string): number;
  /** Sets one to the first bytes of scratch memory, which it may change. */
  setXattr(place: Place, type: number, name: string, size: number, flags: number): number;
  /** Removes one. */
  removeXattr(place: Place, type: number, name: string): number;
  /** The name under which an extended attribute of the host is listed, or null. */
  listed(name: string): string | null;

  /** Brings what is kept beside a file to stable storage, where that is more than its inode. */
  sync?(place: Place): number;
  /** Gives a file one more name, where there is more to it than that. */
  link?(target: Place, folder: number, name: string): number;
  /** Removes a name, where there is more to it than that. */
  unlink?(folder: number, name: string, directory: boolean): number;
  /** Moves an entry, where there is more to it than that. */
  rename?(folder: number, name: string, newFolder: number, newName: string): number;
}

/** Bits that let a file act as its owner. */
export const SET_ID_BITS = 0o6000;

/** Attributes that hold access control lists. */
export const ACL_ACCESS = "system.posix_acl_access";
/** The list that new entries of a folder inherit. */
export const ACL_DEFAULT = "system.posix_acl_default";

/** What most values fit in: the kernel clears as many bytes as it is offered, for each call. */
const USUAL_BYTES = 256;

/** Reads an attribute of the host into scratch memory; returns its size. */
export function readXattr(handle: number, name: string): number {
  const { address } = scratch();
  const size = getxattrat(handle, null, name, address, USUAL_BYTES);
  return size === -ERANGE ? getxattrat(handle, null, name, address, XATTR_SIZE_MAX) : size;
}

/** True for the two attributes that hold POSIX access control lists. */
export function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}
