/**
 * Whose files are whose: how owners, modes and types that a client sets are kept on the host.
 *
 * @module
 */
import {
  AT_SYMLINK_NOFOLLOW,
  chmodFd,
  EOPNOTSUPP,
  EPERM,
  fchownat,
  mknodat,
  readLink,
  symlinkat,
} from "../linux/mod.ts";
import { S_IFBLK, S_IFCHR, S_IFLNK, S_IFMT } from "../p9/mod.ts";
import { NO_ID, PERMISSIONS } from "./modes.ts";

/** Where a file of the host is, for a model that keeps something beside it. */
export interface Place {
  /** Descriptor of the file itself (`O_PATH`), or of any kind right after it was made. */
  handle(): number;
  /** Descriptor of the folder it was reached through (`O_PATH`). */
  folderHandle(): number;
  /** Its name there. */
  readonly name: string;
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

/**
 * A model of credentials. The tree asks it wherever the client's view and the host's may differ.
 *
 * Methods that return a number return 0 or minus an errno of Linux; text or a number likewise.
 */
export interface Credentials {
  /** Name on the command line. */
  readonly name: string;
  /** True if {@linkcode Credentials.present} may change anything: then every look at a file asks it. */
  readonly presents: boolean;
  /** True if {@linkcode Credentials.hides} may be true for some name. */
  readonly hidesNames: boolean;
  /** Turns what the host says of a file into what the client sees. */
  present(ownership: Ownership, place: Place): void;
  /** True for a name that belongs to the model: the client neither sees nor makes it. */
  hides(name: string): boolean;
  /** Type of a folder entry as the client sees it: `DT_*`, or `DT_UNKNOWN` for "look at the file". */
  entryType(type: number): number;
  /**
   * Permission bits that a file is made with, before {@linkcode Credentials.adopt}.
   *
   * @param mode Type and permission bits that the client wants.
   */
  creationMode(mode: number): number;
  /** Makes a symbolic link. */
  symlink(target: string, folder: number, name: string): number;
  /** Makes a file of any type but folder and link. */
  mknod(folder: number, name: string, mode: number, major: number, minor: number): number;
  /** Target of what is presented as a symbolic link. */
  readlink(place: Place): string | number;
  /**
   * Gives a file that was just made its owner and mode.
   *
   * @param mode Type and permission bits that the client wants.
   * @param uid User of the client, or 4294967295.
   * @param gid Group of the message, or 4294967295.
   * @param made What the host made of it.
   */
  adopt(
    place: Place,
    mode: number,
    uid: number,
    gid: number,
    rdev: bigint,
    made: Readonly<Ownership>,
  ): number;
  /** Changes owner and group; 4294967295 leaves one as it is. */
  chown(place: Place, uid: number, gid: number): number;
  /** Changes the permission bits of a file that is not presented as a symbolic link. */
  chmod(place: Place, mode: number): number;
  /** The name that an extended attribute has on the host, or minus an errno. */
  xattrName(name: string, use: "get" | "set" | "remove"): string | number;
  /** The name under which an extended attribute of the host is listed, or null. */
  xattrListed(name: string): string | null;
  /** A file got another name; a failure takes it away again. For models that keep something by name. */
  linked?(target: Place, folder: number, name: string): number;
  /** A name is about to be removed; a failure keeps it. */
  removing?(folder: number, name: string, directory: boolean): number;
  /** An entry was moved; a failure moves it back. */
  renamed?(folder: number, name: string, newFolder: number, newName: string): number;
}

/** Bits that let a file act as its owner. */
const SET_ID_BITS = 0o6000;

const ACL_PREFIX = "system.posix_acl_";

/** Files are on the host what they are for the client: what `none` and `passthrough` have in common. */
abstract class PlainCredentials implements Credentials {
  abstract readonly name: string;
  readonly presents: boolean = false;
  readonly hidesNames = false;

  present(_ownership: Ownership, _place: Place): void {}

  hides(_name: string): boolean {
    return false;
  }

  entryType(type: number): number {
    return type;
  }

  creationMode(mode: number): number {
    // Without bits that would act for the wrong owner until adopt() has run.
    return mode & 0o777;
  }

  symlink(target: string, folder: number, name: string): number {
    return symlinkat(target, folder, name);
  }

  mknod(folder: number, name: string, mode: number, major: number, minor: number): number {
    return mknodat(folder, name, mode & ~SET_ID_BITS, major, minor);
  }

  readlink(place: Place): string | number {
    return readLink(place.handle(), null);
  }

  abstract adopt(
    place: Place,
    mode: number,
    uid: number,
    gid: number,
    rdev: bigint,
    made: Readonly<Ownership>,
  ): number;

  chown(place: Place, uid: number, gid: number): number {
    return fchownat(place.handle(), null, uid, gid, AT_SYMLINK_NOFOLLOW);
  }

  chmod(place: Place, mode: number): number {
    return chmodFd(place.handle(), mode & PERMISSIONS);
  }

  abstract xattrName(name: string, use: "get" | "set" | "remove"): string | number;

  xattrListed(name: string): string | null {
    return typeof this.xattrName(name, "get") === "string" ? name : null;
  }

  /**
   * Owner first, since changing it takes set-id bits away; each only where it differs. Those bits
   * are never there yet: see {@linkcode PlainCredentials.creationMode}.
   */
  protected own(
    place: Place,
    mode: number,
    uid: number,
    gid: number,
    made: Readonly<Ownership>,
    mustOwn: boolean,
  ): number {
    const isOwned = (uid === NO_ID || uid === made.uid) && (gid === NO_ID || gid === made.gid);
    if (!isOwned) {
      const result = this.chown(place, uid, gid);
      if (result < 0 && mustOwn) return result;
    }
    if ((mode & S_IFMT) === S_IFLNK) return 0;
    if ((made.mode & PERMISSIONS) === (mode & PERMISSIONS)) return 0;
    return chmodFd(place.handle(), mode & PERMISSIONS);
  }
}

/** Every file belongs to one user and group, whoever the client says it is. */
export interface Squash {
  /** The user. */
  readonly uid: number;
  /** The group. */
  readonly gid: number;
}

/**
 * The model `none`: files are made as the server; giving them to the client's user is tried, and
 * no error if the server may not. Of extended attributes there are those of users.
 */
class NoneCredentials extends PlainCredentials {
  override readonly name = "none";

  adopt(
    place: Place,
    mode: number,
    uid: number,
    gid: number,
    _rdev: bigint,
    made: Readonly<Ownership>,
  ): number {
    return this.own(place, mode, uid, gid, made, false);
  }

  xattrName(name: string, _use: "get" | "set" | "remove"): string | number {
    return name.startsWith("user.") ? name : -EOPNOTSUPP;
  }
}

/**
 * The model `none` with all files squashed to one owner: changes of owner are accepted and change
 * nothing, set-id bits are left out, device files are refused.
 */
class SquashCredentials extends NoneCredentials {
  override readonly presents = true;
  readonly #to: Squash;

  constructor(to: Squash) {
    super();
    this.#to = to;
  }

  override present(ownership: Ownership, _place: Place): void {
    ownership.uid = this.#to.uid;
    ownership.gid = this.#to.gid;
  }

  override mknod(
    folder: number,
    name: string,
    mode: number,
    major: number,
    minor: number,
  ): number {
    const type = mode & S_IFMT;
    if (type === S_IFBLK || type === S_IFCHR) return -EPERM;
    return super.mknod(folder, name, mode, major, minor);
  }

  override adopt(
    place: Place,
    mode: number,
    _uid: number,
    _gid: number,
    _rdev: bigint,
    made: Readonly<Ownership>,
  ): number {
    const { uid, gid } = this.#to;
    const isOwned = uid === made.uid && gid === made.gid;
    if (!isOwned) fchownat(place.handle(), null, uid, gid, AT_SYMLINK_NOFOLLOW);
    return this.own(place, mode & ~SET_ID_BITS, NO_ID, NO_ID, made, false);
  }

  override chown(_place: Place, _uid: number, _gid: number): number {
    return 0;
  }

  override chmod(place: Place, mode: number): number {
    return super.chmod(place, mode & ~SET_ID_BITS);
  }
}

/**
 * The model `passthrough`: files belong to the client's user and group, and it is an error if they
 * cannot. Access control lists and attributes of users go through.
 */
class PassthroughCredentials extends PlainCredentials {
  override readonly name = "passthrough";

  adopt(
    place: Place,
    mode: number,
    uid: number,
    gid: number,
    _rdev: bigint,
    made: Readonly<Ownership>,
  ): number {
    return this.own(place, mode, uid, gid, made, true);
  }

  xattrName(name: string, _use: "get" | "set" | "remove"): string | number {
    return name.startsWith("user.") || name.startsWith(ACL_PREFIX) ? name : -EOPNOTSUPP;
  }
}

/**
 * Makes the model `none`.
 *
 * @param squash Owner that all files have for the client, and that new ones get if the server may.
 */
export function noneCredentials(squash?: Squash): Credentials {
  return squash === undefined ? new NoneCredentials() : new SquashCredentials(squash);
}

/** Makes the model `passthrough`. */
export function passthroughCredentials(): Credentials {
  return new PassthroughCredentials();
}
