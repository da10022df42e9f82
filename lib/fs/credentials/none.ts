/**
 * The model `none`.
 *
 * @module
 */
import { AT_SYMLINK_NOFOLLOW, fchownat } from "../../linux/mod.ts";
import { NO_ID } from "../modes.ts";
import { PlainCredentials } from "./plain.ts";
import type { Credentials, Place, Wanted } from "./seam.ts";

/**
 * Everything is done as the server. Giving new files to the client's user is tried, and no error if
 * the server may not; a later change of owner is one.
 */
class NoneCredentials extends PlainCredentials {
  override readonly name = "none";
  override readonly switches = false;

  protected override settle(folder: Place, fd: number, wanted: Wanted): number {
    const { found } = this;
    const uid = wanted.uid === found.uid ? NO_ID : wanted.uid;
    const gid = this.groupFor(folder, wanted);
    if (uid !== NO_ID || gid !== NO_ID) fchownat(fd, null, uid, gid, AT_SYMLINK_NOFOLLOW);
    return this.settleMode(folder, fd, wanted);
  }
}

/** Makes the model `none`. */
export function noneCredentials(): Credentials {
  return new NoneCredentials();
}
