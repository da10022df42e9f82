/**
 * The device's side of a virtqueue, in nanoseconds for so many requests: the loops of
 * `virtfs bench micro`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { MICRO_ROUNDS, microCases, microSink } from "../lib/bench/micro.ts";

const GROUPS = ["device"];
const seen = new Set<string>();

for (const { group, name, run } of microCases().filter(({ group }) => GROUPS.includes(group))) {
  Deno.bench({ name: `${name} x ${MICRO_ROUNDS}`, group, baseline: !seen.has(group) }, run);
  seen.add(group);
}

Deno.bench({ name: "the sink is in use", group: "harness" }, () => {
  assert.ok(Number.isFinite(microSink()));
});
