import assert from "node:assert/strict";
import { umask } from "../linux/mod.ts";
import { treeConformance } from "./conformance.ts";
import type { TreeCapabilities } from "./conformance.ts";
import { noneCredentials, passthroughCredentials } from "./credentials.ts";
import { HostTree } from "./host_tree.ts";
import type { HostTreeOptions } from "./host_tree.ts";

// Also loads libc, before the first test begins.
umask(0);

const ROOT: TreeCapabilities = {
  ownership: true,
  devices: true,
  xattrs: true,
  xattrBytes: 1000,
  anyBytes: true,
};

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** A tree in a new folder; disposing it checks that no descriptor was leaked. */
function treeIn(parent: string, options: Partial<HostTreeOptions> = {}) {
  const root = Deno.makeTempDirSync({ dir: parent, prefix: "virtfs-fs-test-" });
  const before = descriptors();
  const tree = new HostTree({ root, credentials: noneCredentials(), ...options });
  return {
    tree,
    root,
    dispose() {
      const after = descriptors();
      Deno.removeSync(root, { recursive: true });
      assert.equal(after, before, "descriptors were leaked");
    },
  };
}

treeConformance("HostTree on the disk", () => treeIn("/tmp"), ROOT);
treeConformance("HostTree in shared memory", () => treeIn("/dev/shm"), ROOT);
treeConformance(
  "HostTree with passthrough",
  () => treeIn("/dev/shm", { credentials: passthroughCredentials() }),
  ROOT,
);
treeConformance(
  "HostTree with few handles",
  () => treeIn("/dev/shm", { maxHandles: 1 }),
  ROOT,
);
