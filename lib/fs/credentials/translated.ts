/**
 * Any model, for clients whose users and groups have other numbers than those of the host.
 *
 * @module
 */
import { EINVAL, EOPNOTSUPP, EOVERFLOW, EPERM, scratch, type Statx } from "../../linux/mod.ts";
import { S_IFBLK, S_IFCHR, S_IFMT } from "../../p9/mod.ts";
import { NO_ID } from "../modes.ts";
import { decodeAcl, encodeAclInto, mapAcl } from "./acl.ts";
import { OVERFLOW_ID } from "./host_users.ts";
import { IdMap } from "./id_map.ts";
import type { IdMapOptions } from "./id_map.ts";
import { isAcl, SET_ID_BITS } from "./seam.ts";
import type { Credentials, Ownership, Place, Wanted } from "./seam.ts";

/**
 * Translates whatever goes in and comes out. With everybody squashed there is one user: owners
 * cannot change, and what would act as another user or reach a device is refused.
 */
class TranslatedCredentials implements Credentials {
  readonly name: string;
  readonly presents = true;
  readonly hidesNames: boolean;
  readonly switches: boolean;
  readonly link?: NonNullable<Credentials["link"]>;
  readonly unlink?: NonNullable<Credentials["unlink"]>;
  readonly rename?: NonNullable<Credentials["rename"]>;
  readonly hiddenFolders?: NonNullable<Credentials["hiddenFolders"]>;
  readonly #inner: Credentials;
  readonly #uids: IdMap;
  readonly #gids: IdMap;
  readonly #isOne: boolean;

  constructor(inner: Credentials, { uids = [], gids = [], squash }: IdMapOptions) {
    this.#inner = inner;
    const who = squash?.who ?? null;
    this.#uids = new IdMap(uids, who, squash?.uid ?? OVERFLOW_ID);
    this.#gids = new IdMap(gids, who, squash?.gid ?? OVERFLOW_ID);
    this.#isOne = who === "all";
    this.name = inner.name;
    this.hidesNames = inner.hidesNames;
    this.switches = inner.switches;
    if (inner.link !== undefined) this.link = inner.link.bind(inner);
    if (inner.unlink !== undefined) this.unlink = inner.unlink.bind(inner);
    if (inner.rename !== undefined) this.rename = inner.rename.bind(inner);
    if (inner.hiddenFolders !== undefined) this.hiddenFolders = inner.hiddenFolders.bind(inner);
  }

  start(root: number): number {
    return this.#inner.start?.(root) ?? 0;
  }

  close(): void {
    this.#inner.close?.();
  }

  dropsSetId(uid: number): boolean {
    return this.#inner.dropsSetId(this.#uids.toHost(uid));
  }

  /** A user without a number on the host is nobody there. A name means a user of the host. */
  enter(uid: number, uname: string): boolean {
    if (!this.switches) return false;
    let host: number;
    if (uid === NO_ID) {
      host = this.#uids.squashed(this.#inner.userOf?.(uname) ?? OVERFLOW_ID);
    } else {
      host = this.#uids.toHost(uid);
      if (host === NO_ID) host = OVERFLOW_ID;
    }
    return this.#inner.enter(host, uname);
  }

  leave(): void {
    this.#inner.leave();
  }

  present(ownership: Ownership, place: Place, found: Statx): void {
    this.#inner.present(ownership, place, found);
    ownership.uid = this.#uids.toClient(ownership.uid);
    ownership.gid = this.#gids.toClient(ownership.gid);
  }

  hides(name: string): boolean {
    return this.#inner.hides(name);
  }

  entryType(type: number): number {
    return this.#inner.entryType(type);
  }

  make(folder: Place, name: string, wanted: Wanted): number {
    const uid = this.#uids.toHost(wanted.uid);
    const gid = this.#gids.toHost(wanted.gid);
    if (uid === NO_ID && wanted.uid !== NO_ID) return -EOVERFLOW;
    if (gid === NO_ID && wanted.gid !== NO_ID) return -EOVERFLOW;
    let { mode } = wanted;
    if (this.#isOne) {
      const type = mode & S_IFMT;
      if (type === S_IFBLK || type === S_IFCHR) return -EPERM;
      mode &= ~SET_ID_BITS;
    }
    return this.#inner.make(folder, name, { ...wanted, mode, uid, gid });
  }

  readlink(place: Place, isLink: boolean): string | number {
    return this.#inner.readlink(place, isLink);
  }

  chown(place: Place, type: number, uid: number, gid: number): number {
    if (this.#isOne) return 0;
    const hostUid = uid === NO_ID ? NO_ID : this.#uids.toHost(uid);
    const hostGid = gid === NO_ID ? NO_ID : this.#gids.toHost(gid);
    if (hostUid === NO_ID && uid !== NO_ID) return -EINVAL;
    if (hostGid === NO_ID && gid !== NO_ID) return -EINVAL;
    return this.#inner.chown(place, type, hostUid, hostGid);
  }

  chmod(place: Place, type: number, permissions: number): number {
    return this.#inner.chmod(place, type, this.#isOne ? permissions & ~SET_ID_BITS : permissions);
  }

  dropSetId(place: Place): number {
    return this.#inner.dropSetId(place);
  }

  getXattr(place: Place, type: number, name: string): number {
    if (this.#isOne && isAcl(name)) return -EOPNOTSUPP;
    const size = this.#inner.getXattr(place, type, name);
    if (size <= 0 || !isAcl(name)) return size;
    const { bytes } = scratch();
    const acl = decodeAcl(bytes, size);
    if (acl === null) return size;
    const mapped = mapAcl(acl, (id) => this.#uids.toClient(id), (id) => this.#gids.toClient(id));
    return mapped === null ? size : encodeAclInto(mapped, bytes);
  }

  setXattr(place: Place, type: number, name: string, size: number, flags: number): number {
    if (!isAcl(name)) return this.#inner.setXattr(place, type, name, size, flags);
    if (this.#isOne) return -EOPNOTSUPP;
    const { bytes } = scratch();
    const acl = decodeAcl(bytes, size);
    if (acl === null) return -EINVAL;
    const mapped = mapAcl(acl, (id) => this.#uids.toHost(id), (id) => this.#gids.toHost(id));
    if (mapped === null) return -EINVAL;
    const left = encodeAclInto(mapped, bytes);
    return this.#inner.setXattr(place, type, name, left, flags);
  }

  removeXattr(place: Place, type: number, name: string): number {
    return this.#inner.removeXattr(place, type, name);
  }

  listed(name: string): string | null {
    const shown = this.#inner.listed(name);
    return this.#isOne && shown !== null && isAcl(shown) ? null : shown;
  }
}

/** Puts a translation in front of a model; the model itself if there is nothing to translate. */
export function translated(inner: Credentials, options: IdMapOptions): Credentials {
  const isSame = options.squash === undefined && (options.uids ?? []).length === 0 &&
    (options.gids ?? []).length === 0;
  return isSame ? inner : new TranslatedCredentials(inner, options);
}
