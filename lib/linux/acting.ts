/**
 * Whom a thread acts as towards file systems.
 *
 * What a server does for a user it may do as that user, for a moment and on one thread. A call that
 * is left to a helper must be made as the same user, and what follows it as well; so it is known
 * here and nowhere else who that is.
 *
 * @module
 */
import { EPERM, NO_CHANGE } from "./constants.ts";
import { check, pin, type Pinned } from "./libc.ts";
import { getegid, geteuid, setfsgid, setfsuid, setgroups } from "./process.ts";

/** A user of the host, with all groups. Not changed after it was acted as for the first time. */
export interface ActingUser {
  /** User number. */
  readonly uid: number;
  /** Primary group. */
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/** Null for the server itself. */
let acting: ActingUser | null = null;
/** Whose groups are set. They stay afterwards: a server that may change them needs none. */
let grouped: ActingUser | null = null;
/** Whom the kernel is known to accept: it reports no failure by itself. */
const accepted = new WeakSet<ActingUser>();
/** Groups as helpers are given them. */
const lists = new WeakMap<ActingUser, Pinned>();

/** Whom this thread acts as; null for the server itself. */
export function actingUser(): ActingUser | null {
  return acting;
}

/**
 * Acts as a user, or as the server again (null), for as long as nobody says otherwise. Whoever does
 * so must do it before the thread goes on to something else; {@linkcode asUser} does.
 *
 * @returns 0, or minus the error: then the thread acts as the server.
 */
export function actAs(user: ActingUser | null): number {
  if (user === acting) return 0;
  if (acting !== null) {
    setfsuid(geteuid());
    acting = null;
  }
  if (user === null) {
    setfsgid(getegid());
    return 0;
  }
  if (grouped !== user) {
    grouped = null;
    const result = setgroups(user.groups);
    if (result < 0) return result;
    grouped = user;
  }
  setfsgid(user.gid);
  setfsuid(user.uid);
  acting = user;
  if (accepted.has(user)) return 0;
  if (setfsuid(NO_CHANGE) !== user.uid || setfsgid(NO_CHANGE) !== user.gid) {
    actAs(null);
    return -EPERM;
  }
  accepted.add(user);
  return 0;
}

/**
 * Does something as a user, or as the server (null), and is whoever it was before again.
 *
 * @throws {LinuxError} If the kernel refuses.
 */
export function asUser<T>(user: ActingUser | null, run: () => T): T {
  const before = acting;
  if (user === before) return run();
  check(actAs(user), "act as a user");
  try {
    return run();
  } finally {
    check(actAs(before), "act as a user again");
  }
}

/** The groups of a user in memory, as setgroups(2) takes them; kept for as long as the user is. */
export function groupList(user: ActingUser): Pinned {
  let list = lists.get(user);
  if (list === undefined) {
    list = pin(4 * Math.max(user.groups.length, 1));
    for (let i = 0; i < user.groups.length; i++) {
      list.view.setUint32(4 * i, user.groups[i] as number, true);
    }
    lists.set(user, list);
  }
  return list;
}
