import assert from "node:assert/strict";
import { ringCase } from "./ring_mutation.ts";
import { shrinkRingSteps } from "./ring_shrink.ts";
import { formatRingSteps, parseRingSteps, type RingStep } from "./ring_steps.ts";

Deno.test("what is printed of attacks is what is parsed", () => {
  const steps: RingStep[] = [
    { kind: "attack", name: "monitor/sends half a header" },
    { kind: "babble", seed: 4_000_000_000 },
  ];
  for (let index = 0; index < 500; index++) {
    steps.push({ kind: "rings", deeds: ringCase(7, index) });
  }
  const text = formatRingSteps(steps);
  assert.deepEqual(parseRingSteps(text), steps);
  assert.deepEqual(parseRingSteps(`# told to people\n\n${text}`), steps);
});

Deno.test("a seed makes the same rings, another one others", () => {
  assert.deepEqual(ringCase(1, 5), ringCase(1, 5));
  assert.notDeepEqual(ringCase(1, 5), ringCase(2, 5));
});

for (
  const [text, message] of [
    ["attack", /line 1: want "attack NAME"/],
    ["rings {\n  read 0 13\n", /"}" is missing/],
    ["rings {\n  read 0\n}", /line 2: want read place cut/],
    ["rings {\n  offer -1\n}", /line 2: want offer head/],
    ["rings {\n  constructor 1\n}", /line 2: "constructor" is nothing/],
    ["read 0 13", /line 1: want/],
  ] as const
) {
  Deno.test(`steps that mean nothing are refused: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseRingSteps(text), { name: "SyntaxError", message });
  });
}

Deno.test("only the steps and deeds that a fault takes are left", async () => {
  const steps = parseRingSteps(
    "attack ring/one\nrings {\n  read 0 13\n  offer 3\n  advance 7\n  offer 4\n}\nattack ring/two\n" +
      "rings {\n  getattr 0 8\n  offer 5\n}\nbabble 1\n",
  );
  const wanted = ["  offer 3\n", "  offer 4\n", "attack ring/two\n"];
  let tries = 0;
  const best = await shrinkRingSteps(steps, (some) => {
    tries++;
    const text = formatRingSteps(some);
    return Promise.resolve(wanted.every((line) => text.includes(line)));
  }, 60_000);
  assert.equal(formatRingSteps(best), "rings {\n  offer 3\n  offer 4\n}\nattack ring/two\n");
  assert.ok(tries < 50, `${tries}`);
});
