/**
 * The model `passthrough`.
 *
 * @module
 */
import { AT_SYMLINK_NOFOLLOW, EPERM, fchownat, geteuid } from "../../linux/mod.ts";
import { NO_ID } from "../modes.ts";
import { actAs, asServer, isActing, stopActing } from "./acting.ts";
import { HostUsers } from "./host_users.ts";
import { PlainCredentials } from "./plain.ts";
import type { Credentials, Place, Wanted } from "./seam.ts";

/**
 * Requests are carried out as the client's user, so that the kernel of the host decides what that
 * user may do and whose new files are.
 */
class PassthroughCredentials extends PlainCredentials {
  override readonly name = "passthrough";
  override readonly switches = true;
  readonly #users: HostUsers;

  constructor(users: HostUsers) {
    super();
    this.#users = users;
  }

  start(_root: number): number {
    this.#users.refresh();
    // Without capabilities to begin with, acting as somebody would not take any away.
    return geteuid() === 0 ? 0 : -EPERM;
  }

  override enter(uid: number, uname: string): boolean {
    if (!isActing()) this.#users.refresh();
    return actAs(this.#users.find(uid, uname));
  }

  override leave(): void {
    stopActing();
  }

  userOf(uname: string): number {
    return this.#users.numberOf(uname);
  }

  /** Who writes need not be who may change the mode. */
  override dropSetId(place: Place): number {
    return asServer(() => super.dropSetId(place));
  }

  /**
   * The owner is right already. Which groups a user is in, the guest may know better than the host:
   * the group is set by the server, after the kernel has agreed to all the rest.
   */
  protected override settle(folder: Place, fd: number, wanted: Wanted): number {
    const gid = this.groupFor(folder, wanted);
    if (gid !== NO_ID) {
      const result = asServer(() => fchownat(fd, null, NO_ID, gid, AT_SYMLINK_NOFOLLOW));
      if (result < 0) return result;
    }
    return this.settleMode(folder, fd, wanted);
  }
}

/**
 * Makes the model `passthrough`, which needs root.
 *
 * @param users Users of the host.
 */
export function passthroughCredentials(users: HostUsers = new HostUsers()): Credentials {
  return new PassthroughCredentials(users);
}
