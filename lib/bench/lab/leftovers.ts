/**
 * Loop devices that runs have left which were killed with no time to tidy.
 *
 * @module
 */
import { runTool } from "../../guest/mod.ts";

/** Image of a store as the kernel tells of it: it is deleted as soon as it is mounted. */
const IMAGE = /\/virtfs-figures-[^/]+ \(deleted\)\n?$/;

/** How long the kernel gets to take a device away, in milliseconds. */
const PATIENCE_MS = 500;

/**
 * List loop devices over images of stores that nobody has mounted: those of a run that goes on are
 * mounted where its processes see them.
 *
 * @returns Their paths.
 */
export async function leftLoopDevices(): Promise<string[]> {
  const left: string[] = [];
  for (const { name } of Deno.readDirSync("/sys/block")) {
    const file = await Deno.readTextFile(`/sys/block/${name}/loop/backing_file`).catch(() => "");
    if (IMAGE.test(file)) left.push(`/dev/${name}`);
  }
  if (left.length === 0) return left;
  const mounted = new Set<string>();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const mounts = await Deno.readTextFile(`/proc/${name}/mounts`).catch(() => "");
    for (const line of mounts.split("\n")) mounted.add(line.split(" ", 1)[0] ?? "");
  }
  return left.filter((device) => !mounted.has(device)).sort();
}

/** What became of devices that were left. */
export interface Tidied {
  /** Those that are gone. */
  readonly removed: readonly string[];
  /** Those that the kernel holds on to, with a mount that no process has any more. */
  readonly held: readonly string[];
}

/** Remove loop devices that were left. It takes root. */
export async function removeLeftLoopDevices(): Promise<Tidied> {
  const left = await leftLoopDevices();
  for (const device of left) await runTool(["losetup", "--detach", device]).catch(() => {});
  let held = left;
  for (const end = performance.now() + PATIENCE_MS; held.length > 0 && performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = await leftLoopDevices();
    held = left.filter((device) => now.includes(device));
  }
  return { removed: left.filter((device) => !held.includes(device)), held };
}
