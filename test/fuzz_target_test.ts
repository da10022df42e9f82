// Targets of `fuzz` that are not there.
import assert from "node:assert/strict";
import { virtfs } from "./virtfs.ts";

for (
  const [what, ...words] of [
    ["unix:///virtfs-nobody", "fuzz", "unix:///virtfs-nobody", "--scratch"],
    ["vhost-user:///virtfs-nobody", "fuzz", "vhost-user:///virtfs-nobody", "--scratch"],
    ["unix:///virtfs-nobody", "fuzz", "conform", "unix:///virtfs-nobody"],
  ]
) {
  Deno.test(`virtfs ${words.join(" ")} has nobody to talk to, which is no finding`, async () => {
    const { code, stdout, stderr } = await virtfs(...words);
    assert.equal(code, 1, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^virtfs fuzz.*: Cannot reach ${what}: .*ENOENT\\n$`));
  });
}
