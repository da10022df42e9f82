import assert from "node:assert/strict";
import { getrlimit, loadLibc, RLIMIT_NOFILE } from "../linux/mod.ts";
import { planDescriptors, planFids, planMemory, raiseDescriptorLimit } from "./budget.ts";
import { Repeated } from "./repeated.ts";
import type { LogEvent } from "./types.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

Deno.test("planDescriptors() never deals out more than there are", () => {
  for (const limit of [256, 512, 1024, 20_000, 1 << 20]) {
    for (const threads of [1, 2, 4]) {
      const { connections, handles, files, helpers } = planDescriptors(limit, threads, 1024);
      const sum = connections + handles * threads + files + 8 * (helpers - 1) * threads;
      assert(helpers >= 1 && helpers <= 8, `${limit}, ${threads}: ${helpers} helpers`);
      assert(sum <= limit - 100, `${limit} descriptors, ${threads} threads: ${sum}`);
      assert(connections >= 20 && handles >= 8 && files >= 40, `${limit}, ${threads}`);
    }
  }
  assert.equal(planDescriptors(1 << 20, 1, 1024).connections, 1024);
});

Deno.test("planFids() and planMemory() leave one connection what it may have", () => {
  for (const threads of [1, 4, 64]) {
    assert(planFids(1000, threads) >= 2000);
    const { buffers, xattrs } = planMemory(1 << 20, threads, 4096);
    assert(buffers >= 16 * 4096 && xattrs >= 1 << 20);
  }
  assert.equal(planFids(1000, 4) * 4, 16_000);
  assert.deepEqual(planMemory(256 << 20, 4, 1 << 20), { buffers: 48 << 20, xattrs: 16 << 20 });
});

Deno.test("raiseDescriptorLimit() raises the soft limit to the hard one", () => {
  const most = raiseDescriptorLimit();
  const limit = getrlimit(RLIMIT_NOFILE);
  assert(typeof limit === "object");
  assert.equal(limit.soft, limit.hard);
  assert.equal(most, Math.min(Number(limit.hard), 1 << 20));
});

Deno.test("Repeated tells the first at once, and how many came since every ten seconds", () => {
  let now = 0;
  const events: LogEvent[] = [];
  const repeated = new Repeated("warn", (event) => events.push(event), () => now);
  for (now = 0; now < 10_001; now += 1000) repeated.tell("again");
  assert.deepEqual(events.map(({ message }) => message), [
    "again",
    "again (10 times since the last message)",
  ]);
  assert.equal(events[0]?.level, "warn");
});
