/**
 * A root folder in which there is nothing but what a server needs, in a mount namespace of its own.
 *
 * Everything has the path that it has outside: folders and symbolic links on the way are made
 * again, and what is needed is mounted at their end. Mounts that the host makes later below an
 * export appear there too.
 *
 * @module
 */
import { dirname } from "node:path";
import {
  check,
  CLONE_NEWNS,
  MNT_DETACH,
  mount,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_REC,
  MS_SLAVE,
  pivotRoot,
  setMountAttributes,
  unmount,
  unshare,
} from "../linux/mod.ts";
import type { Need } from "./sandbox_policy.ts";

/** The system calls, so that tests can make them fail. */
export const MOUNT_CALLS = { unshare, mount, unmount, pivotRoot, setMountAttributes };

/** Folders that a new root can be made on before it is the root; whatever is there stays. */
const BASES = ["/tmp", "/run", "/mnt"];
/** Where the old root is while the new one is filled. */
const OLD = "/.old-root";
/** Symbolic links on the way to one file. @see path_resolution(7) */
const MAX_LINKS = 40;
/** Only the processes that ours may look into, and nothing of the machine. */
const PROC_OPTIONS = "hidepid=ptraceable,subset=pid";
const GUARDED = MS_NOSUID | MS_NODEV | MS_NOEXEC;

/** A need whose way has been walked. */
interface Place extends Need {
  /** Its path without symbolic links. */
  readonly real: string;
  readonly isFolder: boolean;
}

/** Whether something can be changed through a mount for this use. */
function isWritable({ use }: Need): boolean {
  return use === "change" || use === "listen" || use === "device";
}

/** Whether the processor executes what is there. */
function isExecuted({ use }: Need): boolean {
  return use === "run" || use === "load";
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

function isRoot(path: string): boolean {
  try {
    return Deno.realPathSync(path) === "/";
  } catch {
    return false;
  }
}

/** Finds where paths lead, in a root that is not ours any more, and by which links. */
class Walker {
  /** Symbolic links on the ways, with their targets. */
  readonly links = new Map<string, string>();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Path without links, empty for the root itself; undefined where there is nothing. */
  walk(path: string): { readonly real: string; readonly isFolder: boolean } | undefined {
    let rest = path.split("/");
    let real = "";
    let isFolder = true;
    for (let links = 0; rest.length > 0;) {
      const [part = "", ...further] = rest;
      rest = further;
      if (part === "" || part === ".") continue;
      if (part === "..") {
        real = real.slice(0, Math.max(0, real.lastIndexOf("/")));
        continue;
      }
      const next = `${real}/${part}`;
      const info = lstat(this.#root + next);
      if (info === undefined) return undefined;
      if (!info.isSymlink) {
        real = next;
        isFolder = info.isDirectory;
        continue;
      }
      if (++links > MAX_LINKS) return undefined;
      const target = Deno.readLinkSync(this.#root + next);
      this.links.set(next, target);
      if (target.startsWith("/")) real = "";
      rest = [...target.split("/"), ...rest];
    }
    return { real, isFolder };
  }
}

/**
 * Moves this thread into a root of its own. The programs it becomes, and starts, are there too.
 *
 * @param needs What is to be found there; what is optional and does not exist is left out.
 * @param folder The working folder, an empty one if it is not among the needs.
 * @throws {LinuxError} If that is not possible; everything is as it was then, except for what the
 * host mounts from now on.
 */
export function enterPrivateRoot(
  needs: readonly Need[],
  folder: string,
  calls: typeof MOUNT_CALLS = MOUNT_CALLS,
): void {
  if (needs.some(({ path, isExport }) => isExport === true && isRoot(path))) {
    throw new Error("the root folder itself is exported");
  }
  const base = BASES.find((path) => lstat(path)?.isDirectory === true);
  if (base === undefined) throw new Error("there is no /tmp");
  check(calls.unshare(CLONE_NEWNS), "have an own mount namespace");
  check(calls.mount(null, "/", null, MS_REC | MS_SLAVE), "part mounts from the host's");
  check(calls.mount("tmpfs", base, "tmpfs", GUARDED, "mode=0755,size=4m"), "mount a tmpfs");
  let isInside = false;
  try {
    Deno.mkdirSync(base + OLD);
    check(calls.pivotRoot(base, base + OLD), "exchange the root folder");
    isInside = true;
    Deno.chdir("/");
    fill(needs, calls);
    Deno.mkdirSync(folder, { recursive: true });
    check(calls.setMountAttributes("/", MOUNT_ATTR_RDONLY, false), "protect the root folder");
    // What remains is an empty folder; from here on there is no way back.
    check(calls.unmount(OLD, MNT_DETACH), "let go of the old root folder");
  } catch (error) {
    if (isInside) check(calls.pivotRoot(OLD, OLD + base), "go back to the old root folder");
    calls.unmount(base, MNT_DETACH);
    Deno.chdir(folder);
    throw error;
  }
  Deno.chdir(folder);
}

/** Makes the way to every need, and mounts it. */
function fill(needs: readonly Need[], calls: typeof MOUNT_CALLS): void {
  const walker = new Walker(OLD);
  const places = new Map<string, Place>();
  for (const need of needs) {
    const found = walker.walk(need.path);
    if (found === undefined) continue; // what must exist was looked for before
    const place = { ...need, ...found };
    const before = places.get(found.real);
    places.set(found.real, before === undefined ? place : merge(before, place));
  }
  // Folders before what is in them.
  const sorted = [...places.values()].sort((a, b) => a.real < b.real ? -1 : 1);
  const mounted: Place[] = [];
  for (const place of sorted) {
    const around = mounted.findLast(({ real }) => isBelow(place.real, real));
    if (around !== undefined && covers(around, place)) continue;
    makeTarget(place);
    if (place.use === "proc") mountProc(place.real, calls);
    else bind(place, sorted, calls);
    mounted.push(place);
  }
  for (const [path, target] of walker.links) {
    if (lstat(path) !== undefined) continue;
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.symlinkSync(target, path);
  }
}

/** One folder for two uses. */
function merge(a: Place, b: Place): Place {
  const wider = isWritable(b) && !isWritable(a) || isExecuted(b) && a.use === "read" ? b : a;
  const { isExport } = a.isExport === true ? a : b;
  // An export of the host's own /proc is more than what we need of it.
  const use = wider.use === "proc" ? (wider === a ? b : a).use : wider.use;
  return { ...wider, use, ...(isExport === true ? { isExport } : {}) };
}

/** Whether a mount shows what is below it as it should be. */
function covers(around: Place, place: Place): boolean {
  if (isWritable(around) === isWritable(place)) return true;
  // A mount inside of an export would be a border that no file could be moved across.
  return around.isExport === true && isWritable(around);
}

function makeTarget({ real, isFolder }: Place): void {
  if (lstat(real) !== undefined) return;
  Deno.mkdirSync(isFolder ? real : dirname(real), { recursive: true });
  if (!isFolder) Deno.writeFileSync(real, new Uint8Array(0));
}

function mountProc(target: string, calls: typeof MOUNT_CALLS): void {
  if (calls.mount("proc", target, "proc", GUARDED, PROC_OPTIONS) >= 0) return;
  // Before Linux 5.8 the options would have changed the host's; some containers forbid any.
  check(calls.mount(OLD + target, target, null, MS_BIND | MS_REC), `mount ${target}`);
}

function bind(place: Place, all: readonly Place[], calls: typeof MOUNT_CALLS): void {
  const { real, use, path } = place;
  check(calls.mount(OLD + real, real, null, MS_BIND | MS_REC), `mount ${path}`);
  const inside = all.filter((each) => isBelow(each.real, real));
  let attributes = MOUNT_ATTR_NOSUID;
  if (!isWritable(place)) attributes |= MOUNT_ATTR_RDONLY;
  if (use !== "device" && inside.every((each) => each.use !== "device")) {
    attributes |= MOUNT_ATTR_NODEV;
  }
  if (![place, ...inside].some(isExecuted)) attributes |= MOUNT_ATTR_NOEXEC;
  check(calls.setMountAttributes(real, attributes, true), `protect ${path}`);
}
