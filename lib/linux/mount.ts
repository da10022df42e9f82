/** Mounts of this thread's namespace. */

import { arch } from "./arch.ts";
import { AT_FDCWD, AT_RECURSIVE, PATH_MAX } from "./constants.ts";
import { arenaView, at, libc, NAME, OTHER, SLOT } from "./libc.ts";
import { putName } from "./names.ts";
import { rawSyscall } from "./process.ts";

/** Where the words besides the two paths go. */
const TYPE = SLOT.SCRATCH;
const DATA = SLOT.SCRATCH + 4096;

/** Writes texts into slots of the arena: not negative, or minus the error. */
function put(...texts: readonly (readonly [text: string, slot: number])[]): number {
  libc();
  for (const [text, slot] of texts) {
    const length = putName(text, slot, PATH_MAX);
    if (length < 0) return length;
  }
  return 0;
}

/**
 * mount(2)
 *
 * @param source What to mount; null if the flags say enough.
 * @param target Where.
 * @param type Type of the file system; null if there is none to make.
 * @param flags `MS_*`
 * @param data Options of the file system.
 * @returns 0, or minus the error.
 */
export function mount(
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  data: string = "",
): number {
  const length = put(
    [source ?? "", SLOT.NAME],
    [target, SLOT.OTHER],
    [type ?? "", TYPE],
    [data, DATA],
  );
  if (length < 0) return length;
  const from = source === null ? 0n : NAME;
  const made = type === null ? 0n : at(TYPE);
  const options = data === "" ? 0n : at(DATA);
  return Number(rawSyscall(arch.syscalls.mount, from, OTHER, made, flags, options));
}

/**
 * umount2(2)
 *
 * @param flags Such as `MNT_DETACH`.
 * @returns 0, or minus the error.
 */
export function unmount(target: string, flags: number): number {
  const length = put([target, SLOT.NAME]);
  if (length < 0) return length;
  return Number(rawSyscall(arch.syscalls.umount2, NAME, flags));
}

/**
 * pivot_root(2): a mount becomes the root, and the old root is found in a folder below it.
 *
 * @returns 0, or minus the error.
 */
export function pivotRoot(newRoot: string, oldRoot: string): number {
  const length = put([newRoot, SLOT.NAME], [oldRoot, SLOT.OTHER]);
  if (length < 0) return length;
  return Number(rawSyscall(arch.syscalls.pivot_root, NAME, OTHER));
}

/**
 * mount_setattr(2), to add restrictions to a mount.
 *
 * @param path Where it is mounted.
 * @param set `MOUNT_ATTR_*`
 * @param isRecursive Also to everything that is mounted below it.
 * @returns 0, or minus the error: ENOSYS before Linux 5.12.
 */
export function setMountAttributes(path: string, set: number, isRecursive: boolean): number {
  const length = put([path, SLOT.NAME]);
  if (length < 0) return length;
  arenaView.setBigUint64(SLOT.SCRATCH, BigInt(set), true);
  for (const offset of [8, 16, 24]) arenaView.setBigUint64(SLOT.SCRATCH + offset, 0n, true);
  const flags = isRecursive ? AT_RECURSIVE : 0;
  return Number(
    rawSyscall(arch.syscalls.mount_setattr, AT_FDCWD, NAME, flags, at(SLOT.SCRATCH), 32),
  );
}
