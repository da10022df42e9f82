import assert from "node:assert/strict";
import { missingTools } from "../../guest/mod.ts";
import { chill } from "./store.ts";

Deno.test({
  name: "chill() says so when a file stays in the cache",
  ignore: missingTools(["fincore"]) !== null,
  fn: async () => {
    // What lies in a tmpfs has no other place than the cache.
    const path = await Deno.makeTempFile({ dir: "/dev/shm", prefix: "virtfs-chill-" });
    try {
      await Deno.writeFile(path, new Uint8Array(65_536).fill(1));
      const { state, verified, residentBytes } = await chill([path]);
      assert.deepEqual([state, verified, residentBytes], ["warm", true, 65_536]);
    } finally {
      await Deno.remove(path);
    }
  },
});
