/**
 * Lets a thread act as somebody else towards the kernel, for a moment.
 *
 * @module
 */
import { actAs as become, type ActingUser, actingUser, asUser } from "../../linux/mod.ts";
import { errno } from "../../p9/mod.ts";

/** A user of the host. */
export type HostUser = ActingUser;

/**
 * Acts as a user until {@linkcode stopActing}. Root is the server itself.
 *
 * @returns False if nothing changed: the thread acts as that user already, or it is root.
 * @throws {Errno} EPERM if the kernel refuses, as where a container has no such user.
 */
export function actAs(user: HostUser): boolean {
  if (actingUser() === user) return false;
  if (user.uid === 0) {
    stopActing();
    return false;
  }
  if (become(user) < 0) throw errno("EPERM");
  return true;
}

/** Acts as the server again. */
export function stopActing(): void {
  become(null);
}

/** True while this thread is somebody else. */
export function isActing(): boolean {
  return actingUser() !== null;
}

/** Does something as the server, in the middle of acting as somebody else. */
export function asServer<T>(run: () => T): T {
  return asUser(null, run);
}
