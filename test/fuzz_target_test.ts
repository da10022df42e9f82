// Targets of `fuzz`: one that is about to end, and those that are not there.
import assert from "node:assert/strict";
import { parseTargetAddress, SpawnedTarget, TemporaryExport } from "../lib/fuzz/mod.ts";
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

/** Complains at the second connection, and ends a while after. Every Debian has perl-base. */
const DYING = `use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0);
  bind($s, sockaddr_un($ARGV[0])) && listen($s, 9) or die $!;
  accept(my $first, $s); accept(my $second, $s);
  $| = 1; print "assertion failure: none\\n"; select(undef, undef, undef, 0.3); kill ABRT => $$;`;

Deno.test("a program that has just complained about itself is waited for", async () => {
  using host = new TemporaryExport(true);
  const socket = `${host.around}/target.sock`;
  const address = parseTargetAddress(`unix://${socket}`);
  await using target = await SpawnedTarget.start({
    command: ["perl", "-e", DYING, socket],
    address,
    host,
  });
  const connection = await target.connect();
  let health = await target.health();
  while (health.isAlive && health.complaints.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    health = await target.health();
  }
  await connection.close();
  assert.deepEqual(health, {
    isAlive: false,
    end: "SIGABRT",
    complaints: ["assertion failure: none"],
  });
});
