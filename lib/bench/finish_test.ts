import assert from "node:assert/strict";
import { cautionsOf, finishResults } from "./finish.ts";
import type { Results } from "./results_types.ts";
import { cellOf, resultsOf } from "./results_test_helper.ts";

const CALM = [10, 10.1, 10.2, 10.3, 10.4, 10.5];

/** Results whose guest and plan differ in something from calm ones. */
function resultsWith(
  guest: Partial<NonNullable<Results["guest"]>>,
  plan: Partial<NonNullable<Results["plan"]>> = {},
): Results {
  const results = resultsOf([cellOf("nfs", CALM)]);
  assert.ok(results.guest !== null && results.plan !== null);
  return {
    ...results,
    guest: { ...results.guest, ...guest },
    plan: { ...results.plan, ...plan },
  };
}

Deno.test("finishResults() classes outliers and leaves none out", () => {
  const results = resultsOf([cellOf("nfs", [...CALM, 40])]);
  const { cells, claims } = finishResults({ ...results, claims: [] });
  assert.deepEqual(cells[0]?.samples.map(({ outlier }) => outlier), [
    ...CALM.map(() => "none"),
    "severe",
  ]);
  assert.ok(claims.length > 0);
  assert.deepEqual(finishResults({ ...results, kind: "rpc" }).claims, []);
});

const cautions: [what: string, results: Results, said: RegExp][] = [
  ["emulation", resultsWith({ accelerator: "tcg" }), /^EMULATED: /],
  ["a run that is not whole", { ...resultsWith({}), state: "partial" }, /^PARTIAL: /],
  ["few samples", resultsOf([cellOf("nfs", [1, 2])]), /^1 of 1 cells have fewer than 6 samples/],
  ["small files", resultsWith({}, { memoryRatio: 0.5 }), /^Files are 0\.500 times as large as/],
  ["user networking", resultsWith({ network: "user" }), /user-mode networking/],
  [
    "a warm cache",
    resultsOf([{
      ...cellOf("nfs", []),
      samples: cellOf("nfs", CALM).samples.map((each) => ({ ...each, hostCache: null })),
    }]),
    /^In 1 cells that read, caches were warm or nobody looked$/,
  ],
];
for (const [what, results, said] of cautions) {
  Deno.test(`cautionsOf() tells of ${what}, and of nothing else`, () => {
    const [first = "", ...rest] = cautionsOf(results);
    assert.match(first, said);
    assert.deepEqual(rest, []);
  });
}

Deno.test("cautionsOf() is silent where there is nothing to say", () => {
  assert.deepEqual(cautionsOf(resultsWith({})), []);
});
