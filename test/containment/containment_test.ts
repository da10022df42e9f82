/**
 * Nothing outside of an export is seen or changed, whatever clients and somebody on the host do.
 *
 * `VIRTFS_TEST_PROFILE=full` races ten seconds each; `VIRTFS_ATTACK=TEXT` runs the attacks whose
 * names hold the text.
 */
import assert from "node:assert/strict";
import { attackOnce, ATTACKS } from "./attack.ts";
import { Fortress } from "./fortress.ts";

const RACE_MS = Deno.env.get("VIRTFS_TEST_PROFILE") === "full" ? 10_000 : 300;
const chosen = ATTACKS.filter(({ name }) => name.includes(Deno.env.get("VIRTFS_ATTACK") ?? ""));

for (const way of ["unix", "virtio"] as const) {
  Deno.test({
    name: `an export holds against attacks over ${way}`,
    // Mounts inside the export take root.
    ignore: Deno.uid() !== 0,
    fn: async (t) => {
      await using fortress = await Fortress.start(way);
      for (const each of chosen) {
        await t.step(`${each.name}, where a server fails that ${each.why}`, async () => {
          assert.deepEqual(await attackOnce(fortress, each, { ms: RACE_MS }), []);
        });
      }
    },
  });
}
