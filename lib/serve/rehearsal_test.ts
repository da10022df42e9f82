import assert from "node:assert/strict";
import { noneCredentials } from "../fs/mod.ts";
import { loadLibc } from "../linux/mod.ts";
import { errno, TYPE } from "../p9/mod.ts";
import { rehearse } from "./rehearsal.ts";

loadLibc();

Deno.test("rehearse() makes every request with success but one, and leaves nothing behind", async () => {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-rehearsal-" });
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = descriptors();
  const { requests, errnos, fids } = await rehearse(folder, noneCredentials());
  const rounds = requests[TYPE.Tunlinkat] ?? 0;
  assert.ok(rounds >= 300, `${rounds} rounds`);
  assert.equal(requests[TYPE.Tread], 3 * rounds);
  // One name of each round leads nowhere.
  assert.deepEqual([...errnos], [[errno("ENOENT").code, rounds]]);
  assert.equal(fids, 0);
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  assert.equal(descriptors(), before);
  await Deno.remove(folder);
});
