// The mutants themselves: that they still apply, and are what docs/fuzz.md says of them. Whether they
// are found is told by `deno run -A tools/mutants.ts`, which takes an hour.
import assert from "node:assert/strict";
import { applyMutant, formatPatch, parseMutant, readMutants } from "../tools/patches.ts";
import { type Engine, ENGINES, tableOf } from "../tools/mutants.ts";

const root = new URL("../", import.meta.url);
const mutants = readMutants(new URL("mutants/", import.meta.url));
const ORACLES = [
  "confinement",
  "counts",
  "data",
  "errors",
  "fids",
  "flush",
  "framing",
  "hang",
  "process",
  "qids",
  "resources",
  "ring",
  "round-trip",
];

Deno.test("every mutant applies to the tree, and changes it", () => {
  for (const mutant of mutants) {
    const before = Deno.readTextFileSync(new URL(mutant.file, root));
    assert.notEqual(applyMutant(mutant, before), before, mutant.name);
  }
});

Deno.test("mutants make bugs of others again, the rest is drawn by lot", () => {
  assert.ok(mutants.length >= 40, `${mutants.length} mutants`);
  const bugs = mutants.filter(({ name }) => !name.startsWith("lot-"));
  assert.ok(2 * bugs.length >= mutants.length, `${bugs.length} of ${mutants.length}`);
  for (const { name, after, oracle, engine } of bugs) {
    assert.notEqual(after, "", name);
    assert.ok(ORACLES.includes(oracle), `${name}: ${oracle}`);
    assert.ok(ENGINES.includes(engine as Engine), `${name}: ${engine}`);
  }
  const missing = ORACLES.filter((oracle) => !bugs.some((bug) => bug.oracle === oracle));
  assert.deepEqual(missing, [], "oracles without a mutant");
});

const TEXT = Array.from({ length: 20 }, (_, i) => `line ${i}`).join("\n");

Deno.test("formatPatch() and applyMutant() are each other's reverse", () => {
  const after = TEXT.replace("line 9", "another\nand one more").replace("line 10\n", "");
  const mutant = parseMutant("m", `After: a test\n\n${formatPatch("lib/a.ts", TEXT, after)}`);
  assert.deepEqual([mutant.file, mutant.after, mutant.oracle], ["lib/a.ts", "a test", ""]);
  assert.equal(applyMutant(mutant, TEXT), after);
  // What stands around it may have moved, but not changed.
  assert.equal(applyMutant(mutant, `more\n\n${TEXT}`), `more\n\n${after}`);
  assert.throws(() => applyMutant(mutant, TEXT.replace("line 8", "line eight")), {
    name: "RangeError",
    message: "Cannot apply m.patch: lib/a.ts has changed around line 7",
  });
});

Deno.test("what is no patch is refused", () => {
  assert.throws(() => parseMutant("m", "After: nothing\n"), { name: "SyntaxError" });
});

Deno.test("tableOf() lists survivors", () => {
  const about = { after: "a bug", file: "lib/a.ts" };
  const found = { ...about, name: "found", engine: "model", oracle: "fids", seconds: 3 } as const;
  const text = tableOf([found, { ...about, name: "lot-01-drop", seconds: 100 }], [
    { name: "found", equivalent: "" },
    { name: "lot-01-drop", equivalent: "it is never called" },
    { name: "lot-02-drop", equivalent: "" },
  ]);
  assert.match(text, /Of 3 mistakes 1 \(33 %\)/);
  assert.match(text, /Tried: 2 of 3\. Found: 1 of 2 \(50 %\); bugs of others 1 of 1 \(100 %\)/);
  assert.match(
    text,
    /## Survivors\n\n- `lot-01-drop`: a bug, in `lib\/a\.ts`\. Nobody can see it: it is never called\n/,
  );
});
