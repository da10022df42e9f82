import assert from "node:assert/strict";
import { Tidying } from "./tidying.ts";

Deno.test("Tidying collects once after much was released, and not where more is alive", () => {
  let alive = 0;
  let collected = 0;
  const planned: { readonly ms: number; readonly run: () => void }[] = [];
  const tidying = new Tidying({
    alive: () => alive,
    after: (ms, run) => planned.push({ ms, run }),
    collect: () => collected++,
  });
  tidying.released(4_999);
  assert.equal(planned.length, 0);
  tidying.released(1);
  tidying.released(10_000);
  assert.deepEqual(planned.map(({ ms }) => ms), [1_000]);
  planned[0]?.run();
  assert.equal(collected, 1);
  // The next one comes later.
  tidying.released(5_000);
  assert((planned[1]?.ms ?? 0) > 9_000);
  alive = 1_000_000;
  planned[1]?.run();
  assert.equal(collected, 1);
  tidying.released(994_999);
  assert.equal(planned.length, 2);
  tidying.released(1);
  planned[2]?.run();
  assert.equal(collected, 2);
});

Deno.test("Tidying collects V8's garbage", () => {
  const runs: (() => void)[] = [];
  const tidying = new Tidying({ alive: () => 0, after: (_, run) => runs.push(run) });
  let garbage: unknown[] | null = Array.from({ length: 1_000_000 }, (_, i) => ({ i }));
  const before = Deno.memoryUsage().heapUsed;
  assert.equal(garbage.length, 1_000_000);
  garbage = null;
  tidying.released(10_000);
  for (const run of runs) run();
  assert(Deno.memoryUsage().heapUsed < before - 8_000_000);
});
