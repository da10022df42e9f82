import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";
import { restrained } from "./testing_restrained.ts";

/** A set of capabilities as the kernel tells it. */
function told(name: string): bigint {
  const status = Deno.readTextFileSync("/proc/thread-self/status");
  return BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1]}`);
}

test("capget() tells what the kernel tells", () => {
  const sets = linux.capget();
  assert(typeof sets === "object");
  assert.equal(sets.effective, told("CapEff"));
  assert.equal(sets.permitted, told("CapPrm"));
  assert.equal(sets.inheritable, told("CapInh"));
});

test("capset() takes the sets that there are", () => {
  const sets = linux.capget();
  assert(typeof sets === "object");
  assert.equal(linux.capset(sets), 0);
  assert.deepEqual(linux.capget(), sets);
});

Deno.test("what was given up does not come back", async () => {
  const isRoot = Deno.uid() === 0;
  const said = await restrained(`
    const { CHOWN, MKNOD } = linux.CAPABILITIES;
    const kept = linux.geteuid() === 0 ? 1n << BigInt(CHOWN) : 0n;
    say(linux.geteuid() === 0 ? linux.limitCapabilities(kept) : 0);
    say(linux.capset({ effective: kept, permitted: kept, inheritable: 0n }));
    say(linux.capset({ effective: kept, permitted: kept | 1n << BigInt(MKNOD), inheritable: 0n }));
    say(String(linux.capget().permitted));
    say(linux.prctl(linux.PR_CAPBSET_READ, CHOWN), linux.prctl(linux.PR_CAPBSET_READ, MKNOD));
  `);
  assert.deepEqual(said.slice(0, 4), [[0], [0], [-linux.EPERM], [isRoot ? "1" : "0"]]);
  if (isRoot) assert.deepEqual(said[4], [1, 0]);
});

test("limitCapabilities() and setAmbientCapabilities() change nothing where nothing is to change", () => {
  const bounding = told("CapBnd");
  assert.equal(linux.limitCapabilities(bounding), 0);
  assert.equal(told("CapBnd"), bounding);
  const ambient = told("CapAmb");
  assert.equal(linux.setAmbientCapabilities(ambient), 0);
  assert.equal(told("CapAmb"), ambient);
  // What is not inheritable cannot be ambient.
  assert.equal(linux.setAmbientCapabilities(1n << 62n), -linux.EINVAL);
});
