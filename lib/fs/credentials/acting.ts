/**
 * Lets a thread act as somebody else towards the kernel, for a moment.
 *
 * The calls are the raw ones, which change one thread. Supplementary groups and the group stay set
 * afterwards: the server, being root, needs neither, and the next request is usually of the same
 * user. So a request costs two calls, and one of root none.
 *
 * @module
 */
import { getegid, setfsgid, setfsuid, setgroups } from "../../linux/mod.ts";
import { errno } from "../../p9/mod.ts";
import { NO_ID } from "../modes.ts";

/** A user of the host. */
export interface HostUser {
  /** User number. */
  readonly uid: number;
  /** Primary group. */
  readonly gid: number;
  /** All groups, the primary one included. */
  readonly groups: readonly number[];
}

/** Whom this thread acts as; null for the server itself. */
let acting: HostUser | null = null;
/** Groups set last. */
let groups: readonly number[] | null = null;
/** Group set last; -1 before the first time. */
let group = -1;
/** Users that the kernel is known to take: it reports no failure by itself. */
const proven = new WeakSet<HostUser>();

/**
 * Acts as a user until {@linkcode stopActing}. Root is the server itself.
 *
 * @returns False if nothing changed: the thread acts as that user already, or it is root.
 * @throws {Errno} EPERM if the kernel refuses, as where a container has no such user.
 */
export function actAs(user: HostUser): boolean {
  if (acting === user) return false;
  if (acting !== null) stopActing();
  if (group < 0) group = getegid();
  if (user.uid === 0) {
    if (group !== 0) setfsgid(group = 0);
    return false;
  }
  if (groups !== user.groups) {
    groups = null;
    if (setgroups(user.groups) < 0) throw errno("EPERM");
    groups = user.groups;
  }
  if (group !== user.gid) setfsgid(group = user.gid);
  setfsuid(user.uid);
  acting = user;
  if (proven.has(user)) return true;
  if (setfsuid(NO_ID) !== user.uid || setfsgid(NO_ID) !== user.gid) {
    stopActing();
    group = -1;
    throw errno("EPERM");
  }
  proven.add(user);
  return true;
}

/** Acts as the server again. */
export function stopActing(): void {
  if (acting === null) return;
  acting = null;
  setfsuid(0);
}

/** True while this thread is somebody else. */
export function isActing(): boolean {
  return acting !== null;
}

/** Does something as the server, in the middle of acting as somebody else. */
export function asServer<T>(run: () => T): T {
  const user = acting;
  if (user === null) return run();
  stopActing();
  try {
    return run();
  } finally {
    actAs(user);
  }
}
