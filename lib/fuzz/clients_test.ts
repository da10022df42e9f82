import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { OOPS } from "./clients_guest.ts";
import { BENDS, lyingChannel } from "./clients_mischief.ts";
import { runMaliciousServer } from "./clients_run.ts";

for (const isSocket of [false, true]) {
  const where = isSocket ? "over a socket" : "in-process";
  Deno.test(`our client survives a server that lies, ${where}`, async () => {
    const { runs, deeds, findings } = await runMaliciousServer({
      seed: 1,
      runs: 25,
      timeMs: 6000,
      isSocket,
    });
    assert.deepEqual(findings, []);
    assert.ok(runs > 5 && deeds > 5, `${runs} conversations, ${deeds} replies bent`);
  });
}

Deno.test("a server that lies does so in every way, and is honest at first", async () => {
  const seen = new Set<string>();
  let attached = 0;
  for (let index = 0; index < 400 && seen.size < Object.keys(BENDS).length; index++) {
    const channel = lyingChannel({ seed: 9, index, idleMs: 5 });
    try {
      await using client = await Client.connect(channel);
      await using root = await client.attach({ n_uname: 0 });
      attached++;
      for (let i = 0; i < 40; i++) await root.getattr();
    } catch {
      // Lies.
    } finally {
      channel.close();
    }
    for (const { bend } of channel.liar.deeds) seen.add(bend);
  }
  assert.deepEqual([...seen].sort(), Object.keys(BENDS).sort());
  assert.ok(attached > 10);
});

Deno.test("what a kernel prints in need is told from what it prints at every boot", () => {
  for (
    const line of [
      "kernel BUG at mm/slub.c:1!",
      "BUG: KASAN: slab-out-of-bounds in p9_client_read",
      "Oops: 0000 [#1] PREEMPT SMP",
      "general protection fault, probably for non-canonical address",
      "INFO: task ls:77 blocked for more than 120 seconds.",
      "WARNING: CPU: 0 PID: 1 at fs/9p/fid.c:1",
      "refcount_t: underflow; use-after-free.",
      "usercopy: Kernel memory overwrite attempt detected",
    ]
  ) assert.match(line, OOPS);
  for (
    const line of [
      "Command line: console=ttyS0 quiet panic=-1 oops=panic mitigations=off",
      "9pnet: Installing 9P2000 support",
      "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
      "9p: Unknown Cache mode",
    ]
  ) assert.doesNotMatch(line, OOPS);
});
