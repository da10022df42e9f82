import assert from "node:assert/strict";
import { bytesOf } from "./case.ts";
import { CaseAhead } from "./case_ahead.ts";
import { FIXTURES } from "./export.ts";
import { generateCase, type GenerateOptions, generatingCase } from "./generate.ts";

const OPTIONS: GenerateOptions = {
  seed: 3,
  fixtures: FIXTURES,
  user: 0,
  maxConnections: 4,
  isStream: true,
};

Deno.test("a case that is made ahead is the same, however much of it was", () => {
  const steps = generateCase(OPTIONS, 5);
  assert.ok(steps.length > 20);
  const frames = steps.map((step) => bytesOf(step, "name"));
  for (const times of [0, 1, 5, 1000]) {
    const ahead = new CaseAhead(5, generatingCase(OPTIONS, 5), "name");
    for (let i = 0; i < times; i++) ahead.advance();
    assert.deepEqual(ahead.finish(), { steps, frames });
    assert.equal(ahead.finish(), ahead.finish());
  }
});
