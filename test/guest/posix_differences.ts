/**
 * What a mount does differently from a file system of the machine's own, and why: with Linux 6.1,
 * whose files the reasons name.
 *
 * @module
 */

import type { CacheMode } from "./exercise.ts";
import type { Difference } from "./posix.ts";

/** A mount that the suite is run on. */
export interface PosixMount {
  /** How the export is served. */
  readonly model: "passthrough" | "mapped-xattr" | "mapped-file" | "none" | "squash";
  /** Caching of the client. */
  readonly cache: CacheMode;
  /** Who the guest's users are to the server; `client` also turns ACLs on. */
  readonly access: "user" | "client";
}

const everywhere = (): boolean => true;
const isLoose = ({ cache }: PosixMount): boolean => cache === "loose";
/** The client does not know that the server keeps lists. */
const isBlind = ({ model, access }: PosixMount): boolean =>
  access === "user" && (model === "passthrough" || model === "none");
const isSquashed = ({ model }: PosixMount): boolean => model === "squash";

/** What Linux's client cannot do, whoever serves: QEMU's own server is asked, too. */
const CLIENT: readonly Difference<PosixMount>[] = [
  {
    cases: ["renames/without replacing", "renames/exchange"],
    says: /RENAME_(NOREPLACE|EXCHANGE)\): expected success, got EINVAL/,
    where: everywhere,
    by: "v9fs",
    why: "9P has no flags of renameat2: v9fs_vfs_rename() in fs/9p/vfs_inode.c refuses all",
  },
  {
    cases: ["opens/O_TMPFILE"],
    says: /expected success, got EOPNOTSUPP/,
    where: everywhere,
    by: "v9fs",
    why: "v9fs_dir_inode_operations_dotl in fs/9p/vfs_inode_dotl.c has no tmpfile",
  },
  {
    cases: ["sizes/fallocate", "sizes/punched holes"],
    says: /expected success, got EOPNOTSUPP/,
    where: everywhere,
    by: "v9fs",
    why: "9P has no such message; the file operations in fs/9p/vfs_file.c have no fallocate",
  },
  {
    cases: ["sizes/holes are found"],
    says: /SEEK_HOLE\): expected 0, got 2097152/,
    where: everywhere,
    by: "v9fs",
    why: "9P has no such message; fs/9p/vfs_file.c seeks with generic_file_llseek()",
  },
  {
    cases: ["times/nanoseconds"],
    says: /got 100000000\.000000000 and/,
    where: everywhere,
    by: "v9fs",
    why: "fs/9p/vfs_super.c leaves s_time_gran at a second, to which times that are set are cut",
  },
  {
    cases: ["times/before 1970"],
    says: /got 0\.000000000 and -2/,
    where: everywhere,
    by: "v9fs",
    why: "v9fs_fill_super() in fs/9p/vfs_super.c sets s_time_min to 0",
  },
  {
    cases: ["xattrs/empty value"],
    says: /expected success, got ENODATA/,
    where: everywhere,
    by: "v9fs",
    why: "in Txattrcreate a size of 0 means removal",
  },
  {
    cases: ["acls/malformed"],
    says: /expected EACCES, got EINVAL/,
    where: ({ access, model }) => access === "client" && model !== "squash",
    by: "v9fs",
    why: "v9fs_xattr_set_acl() in fs/9p/acl.c has another error for a default list of a file",
  },
  {
    cases: [
      "data/shared mapping",
      "data/mapping after close",
      "data/mapping of two processes",
      "data/mapping changes times",
    ],
    says: /mmap: expected success, got EINVAL/,
    where: ({ cache }) => cache === "none",
    by: "v9fs",
    why: "without a cache fs/9p/vfs_file.c maps with generic_file_readonly_mmap()",
  },
  {
    cases: ["data/shared mapping"],
    says: /across pages/,
    where: ({ cache }) => cache === "mmap",
    by: "v9fs",
    why: "with cache=mmap read() asks the server and does not look at pages that are mapped",
  },
  {
    cases: ["renames/times of what is replaced", "xattrs/times"],
    says: /expected after\.st_ctim later/,
    where: isLoose,
    by: "v9fs",
    why: "attributes are not asked for again after these calls",
  },
  {
    cases: ["times/write", "opens/O_TRUNC", "sizes/times", "data/mapping changes times"],
    says: /st_mtim later than/,
    where: isLoose,
    by: "v9fs",
    why: "the client sets the time of a cached write, cut to a second like all times",
    isRare: true,
  },
  {
    cases: ["sizes/large", "sizes/posix_fallocate"],
    says: /st_blocks/,
    where: isLoose,
    by: "v9fs",
    why: "the client makes up the blocks of a file that it has written to a cache",
  },
  {
    cases: ["sizes/too big"],
    says: /pwrite.*got success/,
    where: isLoose,
    by: "v9fs",
    why: "a write to the cache succeeds; the server is asked later",
  },
  {
    cases: [
      "acls/grant",
      "acls/inherited by files",
      "acls/inherited by files of users",
      "acls/inherited by folders",
      "acls/not the owner",
      "acls/on folders",
    ],
    says: /expected/,
    where: isBlind,
    by: "v9fs",
    why: "without posixacl the client carries lists without reading them",
  },
  {
    cases: ["acls/deny", "acls/grant to a group"],
    says: /expected/,
    where: (mount) => isBlind(mount) && mount.model === "none",
    by: "v9fs",
    why: "nor does the server, which acts as root",
  },
  {
    cases: ["acls/grant to a group"],
    says: /expected/,
    where: (mount) => isBlind(mount) && mount.model === "passthrough",
    by: "v9fs",
    why: "without posixacl the client carries lists without reading them",
    isRare: true,
  },
  {
    cases: ["acls/set", "acls/minimal"],
    says: /st_mode: expected/,
    where: ({ model, access, cache }) =>
      model === "passthrough" && access === "user" && cache === "loose",
    by: "v9fs",
    why: "without posixacl the client does not know that a list changes the mode",
  },
];

/** What the way an export is served brings with it. */
const EXPORT: readonly Difference<PosixMount>[] = [
  {
    cases: ["modes/ctime", "owners/ctime"],
    says: /st_ctim later/,
    where: ({ model }) => model === "mapped-file",
    by: "export",
    why: "owner and mode are in another file, and the time of the file itself stays",
  },
  {
    cases: ["sizes/block counts"],
    says: /st_blocks: expected 0, got 8/,
    where: ({ model }) => model === "mapped-xattr",
    by: "export",
    why: "what does not fit in the inode beside owner and mode takes a block",
    isRare: true,
  },
  {
    cases: ["xattrs/trusted namespace", "xattrs/security namespace", "xattrs/capability"],
    says: /expected success, got EOPNOTSUPP/,
    where: everywhere,
    by: "export",
    why: "these namespaces are the host's",
  },
  {
    cases: [
      "acls/set",
      "acls/minimal",
      "acls/malformed",
      "acls/deny",
      "acls/grant",
      "acls/grant to a group",
      "acls/chmod changes the mask",
      "acls/inherited by files",
      "acls/inherited by files of users",
      "acls/inherited by folders",
      "acls/inherited by others",
      "acls/default removed",
      "acls/not the owner",
      "acls/on folders",
      "acls/listed",
    ],
    says: /EOPNOTSUPP|expected EACCES, got success/,
    where: isSquashed,
    by: "export",
    why: "the model none has no lists, and all files are one user's",
  },
  {
    cases: [
      "entries/a device works",
      "entries/device numbers",
      "entries/every kind",
      "entries/rmdir of a full folder",
      "entries/rmdir of what is no folder",
      "entries/times of the folder",
      "entries/what exists",
      "folders/inode numbers",
      "folders/kinds",
      "links/every kind",
      "links/what exists",
      "modes/ctime",
      "modes/every kind",
      "modes/umask",
      "opens/special files",
      "renames/every kind",
      "renames/over every kind",
      "times/set",
    ],
    says: /mknod.*got EPERM/,
    where: isSquashed,
    by: "export",
    why: "with a squash there are no devices",
  },
  {
    cases: [
      "modes/created with set-id bits",
      "modes/every bit",
      "modes/read keeps set-id bits",
      "modes/sgid of another group",
      "modes/write of root keeps set-id bits",
      "owners/clears set-id bits",
    ],
    says: /st_mode: expected (10[2-7]|04)/,
    where: isSquashed,
    by: "export",
    why: "with a squash there are no set-id bits",
  },
  {
    cases: [
      "modes/folder without sgid",
      "modes/sgid folder",
      "modes/sgid folder of another group",
      "owners/every kind",
      "owners/large ids",
      "owners/made by users",
      "owners/the owner changes the group",
      "owners/through a descriptor",
      "owners/through a link",
    ],
    says: /st_[ug]id: expected \d+, got 65533/,
    where: isSquashed,
    by: "export",
    why: "all files are one user's",
  },
  {
    cases: ["owners/ctime"],
    says: /st_ctim later/,
    where: isSquashed,
    by: "export",
    why: "a change of owner changes nothing",
  },
  {
    cases: [
      "links/of users",
      "modes/write of the owner clears set-id bits",
      "opens/O_TRUNC of a file of others",
      "permissions/a folder that may be listed only",
      "permissions/of files",
      "permissions/of folders",
      "permissions/of groups",
      "permissions/sticky folder",
      "renames/of users",
      "sizes/times",
      "times/O_NOATIME",
      "xattrs/of sticky folders",
    ],
    says: /expected (EACCES|EPERM), got success|expected success, got EACCES/,
    where: isSquashed,
    by: "export",
    why: "the user whom all files belong to may change all files, and others none",
  },
];

/** Everything that differs anywhere. */
export const DIFFERENCES: readonly Difference<PosixMount>[] = [...CLIENT, ...EXPORT];
