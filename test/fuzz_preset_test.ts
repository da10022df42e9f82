import assert from "node:assert/strict";
import { loadCases, PRESETS, runPreset } from "../lib/fuzz/mod.ts";
import { umask } from "../lib/linux/mod.ts";

// It also loads libc, which a test must not do within itself.
umask(0);

Deno.test("all engines find nothing in what is ours, in two seconds each", async () => {
  // An answer that is late on a busy machine is no finding.
  const scripts = loadCases(new URL("scripts/", import.meta.url));
  const preset = { ...PRESETS.ci, seconds: 2 };
  const options = { preset, scripts, seed: 1, patienceMs: 60_000 };
  const parts = await runPreset(options);
  const found = parts.flatMap(({ name, findings }) =>
    findings.map(({ reproducer }) => `${name}\n${reproducer}`)
  );
  assert.deepEqual(found, []);
  assert.equal(parts.length, 4 + PRESETS.ci.servers.length);
  for (const { name, cases } of parts) assert.ok(cases > 0, name);
});
