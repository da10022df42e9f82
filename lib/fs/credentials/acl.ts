/**
 * POSIX access control lists as extended attributes hold them.
 *
 * Version 2, all numbers little-endian: version[4] entries*(tag[2] perm[2] id[4])
 *
 * @see acl(5)
 * @module
 */

/** The only version there is. */
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** Most entries that fit in an attribute. */
const MAX_ENTRIES = (65_536 - HEADER_BYTES) / ENTRY_BYTES;

/** Whom an entry is about. */
export const ACL_TAG = {
  /** The owner. */
  USER_OBJ: 0x01,
  /** A user by number. */
  USER: 0x02,
  /** The owning group. */
  GROUP_OBJ: 0x04,
  /** A group by number. */
  GROUP: 0x08,
  /** Most that any entry but owner and others gives. */
  MASK: 0x10,
  /** Everybody else. */
  OTHER: 0x20,
} as const;

/** The id of entries that need none. */
const NO_ENTRY_ID = 0xffff_ffff;

/** One entry of a list. */
export interface AclEntry {
  /** One of {@linkcode ACL_TAG}. */
  readonly tag: number;
  /** Read 4, write 2, execute 1, added up. */
  readonly perm: number;
  /** The user or group; 4294967295 where the tag says it all. */
  readonly id: number;
}

/** An access control list that is as it must be; sorted as Linux sorts it. */
export type Acl = readonly AclEntry[];

/**
 * Decodes a list.
 *
 * @param bytes The attribute's value, borrowed for the call.
 * @param size Bytes of it.
 * @returns Null if no kernel would take it: another version, a wrong order, an entry missing, twice
 * or unknown. An empty list is one: it stands for none.
 */
export function decodeAcl(bytes: Uint8Array, size: number): Acl | null {
  if (size < HEADER_BYTES || size > bytes.length || (size - HEADER_BYTES) % ENTRY_BYTES !== 0) {
    return null;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  if (view.getUint32(0, true) !== VERSION) return null;
  const acl: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < size; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    const hasId = tag === ACL_TAG.USER || tag === ACL_TAG.GROUP;
    acl.push({
      tag,
      perm: view.getUint16(at + 2, true),
      // Linux looks at the number only where there is somebody to name.
      id: hasId ? view.getUint32(at + 4, true) : NO_ENTRY_ID,
    });
  }
  // A list of nothing is the way to remove one.
  return acl.length === 0 || isValid(acl) ? acl : null;
}

/** Encodes a list; returns its size in bytes. */
export function encodeAclInto(acl: Acl, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(0, VERSION, true);
  let at = HEADER_BYTES;
  for (const { tag, perm, id } of acl) {
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, perm, true);
    view.setUint32(at + 4, id, true);
    at += ENTRY_BYTES;
  }
  return at;
}

/**
 * The order is fixed: owner, users, owning group, groups, mask, others; each of the single ones once;
 * a mask wherever there are users or groups by number. As Linux, an id may come twice.
 */
function isValid(acl: Acl): boolean {
  if (acl.length > MAX_ENTRIES) return false;
  let next: number = ACL_TAG.USER_OBJ;
  let needsMask = false;
  for (const { tag, perm, id } of acl) {
    if ((perm & ~7) !== 0) return false;
    switch (tag) {
      case ACL_TAG.USER_OBJ:
        if (next !== ACL_TAG.USER_OBJ) return false;
        next = ACL_TAG.USER;
        break;
      case ACL_TAG.USER:
        if (next !== ACL_TAG.USER || id === NO_ENTRY_ID) return false;
        needsMask = true;
        break;
      case ACL_TAG.GROUP_OBJ:
        if (next !== ACL_TAG.USER) return false;
        next = ACL_TAG.GROUP;
        break;
      case ACL_TAG.GROUP:
        if (next !== ACL_TAG.GROUP || id === NO_ENTRY_ID) return false;
        needsMask = true;
        break;
      case ACL_TAG.MASK:
        if (next !== ACL_TAG.GROUP) return false;
        next = ACL_TAG.OTHER;
        break;
      case ACL_TAG.OTHER:
        if (next !== ACL_TAG.OTHER && (next !== ACL_TAG.GROUP || needsMask)) return false;
        next = 0;
        break;
      default:
        return false;
    }
  }
  return next === 0;
}

/** Permission bits that a list comes to, and whether it says no more than they do. */
export interface AclMode {
  /** Bits of owner, group (or mask) and others. */
  readonly permissions: number;
  /** True if there are no entries but those three. */
  readonly isMinimal: boolean;
}

/** What `chmod` would show of a list. */
export function modeOfAcl(acl: Acl): AclMode {
  let permissions = 0;
  let group = 0;
  let mask = -1;
  let isMinimal = true;
  for (const { tag, perm } of acl) {
    if (tag === ACL_TAG.USER_OBJ) permissions |= perm << 6;
    else if (tag === ACL_TAG.GROUP_OBJ) group = perm;
    else if (tag === ACL_TAG.OTHER) permissions |= perm;
    else {
      isMinimal = false;
      if (tag === ACL_TAG.MASK) mask = perm;
    }
  }
  return { permissions: permissions | (mask >= 0 ? mask : group) << 3, isMinimal };
}

/** The list after `chmod`: bits of the group go to the mask where there is one. */
export function chmodAcl(acl: Acl, mode: number): Acl {
  const hasMask = acl.some(({ tag }) => tag === ACL_TAG.MASK);
  return acl.map((entry): AclEntry => {
    switch (entry.tag) {
      case ACL_TAG.USER_OBJ:
        return { ...entry, perm: mode >> 6 & 7 };
      case ACL_TAG.MASK:
        return { ...entry, perm: mode >> 3 & 7 };
      case ACL_TAG.GROUP_OBJ:
        return hasMask ? entry : { ...entry, perm: mode >> 3 & 7 };
      case ACL_TAG.OTHER:
        return { ...entry, perm: mode & 7 };
      default:
        return entry;
    }
  });
}

/** What a new file gets from its folder's default list. */
export interface InheritedAcl {
  /** The list of the file, or null if permission bits say it all. */
  readonly access: Acl | null;
  /** Its permission bits: never more than was asked for. */
  readonly permissions: number;
}

/** Applies a folder's default list to a new file of a mode. */
export function inheritAcl(folder: Acl, mode: number): InheritedAcl {
  const hasMask = folder.some(({ tag }) => tag === ACL_TAG.MASK);
  const access = folder.map((entry): AclEntry => {
    switch (entry.tag) {
      case ACL_TAG.USER_OBJ:
        return { ...entry, perm: entry.perm & mode >> 6 };
      case ACL_TAG.MASK:
        return { ...entry, perm: entry.perm & mode >> 3 };
      case ACL_TAG.GROUP_OBJ:
        return hasMask ? entry : { ...entry, perm: entry.perm & mode >> 3 };
      case ACL_TAG.OTHER:
        return { ...entry, perm: entry.perm & mode };
      default:
        return entry;
    }
  });
  const { permissions, isMinimal } = modeOfAcl(access);
  return { access: isMinimal ? null : access, permissions };
}

/** The list with every user and group by number replaced; null if one has no counterpart. */
export function mapAcl(
  acl: Acl,
  user: (id: number) => number,
  group: (id: number) => number,
): Acl | null {
  const mapped: AclEntry[] = [];
  for (const entry of acl) {
    let { id } = entry;
    if (entry.tag === ACL_TAG.USER) id = user(id);
    else if (entry.tag === ACL_TAG.GROUP) id = group(id);
    else {
      mapped.push(entry);
      continue;
    }
    if (id === NO_ENTRY_ID) return null;
    mapped.push({ ...entry, id });
  }
  return mapped;
}
