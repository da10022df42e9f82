import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { bytesOf } from "./case.ts";
import { UNGUIDED, UnguidedCases } from "./engine_model.ts";
import { FIXTURES } from "./export.ts";
import { generateCase, type GenerateOptions } from "./generate.ts";
import { Sweep } from "./sweep.ts";

const OPTIONS: GenerateOptions = {
  seed: 7,
  fixtures: FIXTURES,
  user: 0,
  maxConnections: 4,
  isStream: true,
};

function digest(options: GenerateOptions, count: number): string {
  const hash = createHash("sha256");
  const cases = new UnguidedCases(options);
  for (let index = 0; index < count; index++) {
    for (const step of cases.case(index)) {
      hash.update(`${step.connection}${step.isJoined}`).update(bytesOf(step, ""));
    }
  }
  return hash.digest("hex");
}

/** In the short profile fewer, which take a second. */
const MANY = Deno.env.get("VIRTFS_TEST_PROFILE") === "full" ? UNGUIDED : 1500;

Deno.test(`a run makes the same ${MANY} cases of the same seed`, () => {
  const first = digest(OPTIONS, MANY);
  assert.equal(digest(OPTIONS, MANY), first);
  assert.notEqual(digest({ ...OPTIONS, seed: 8 }, 100), digest(OPTIONS, 100));
});

Deno.test("generateCase() makes every request of the dialect, joined ones and broken ones", () => {
  const kinds = new Set<string>();
  let joined = 0;
  let raw = 0;
  for (let index = 0; index < 400; index++) {
    for (const { content, isJoined } of generateCase(OPTIONS, index)) {
      if (isJoined) joined++;
      if (content instanceof Uint8Array) raw++;
      else kinds.add(content.kind);
    }
  }
  assert.ok([...kinds].filter((kind) => kind.startsWith("T")).length >= 28, [...kinds].join(" "));
  assert.ok(joined > 1000 && raw > 20, `${joined} joined, ${raw} broken`);
});

Deno.test("generateCase() goes on from a case", () => {
  const before = generateCase(OPTIONS, 1);
  const after = generateCase(OPTIONS, 2, before);
  assert.deepEqual(after[0]?.content, before[0]?.content);
});

Deno.test("a sweep has every cut, and sizes that lie only where a stream can carry them", () => {
  const hexes = (isStream: boolean): Set<string> => {
    const sweep = new Sweep(1, isStream, 0);
    const all = Array.from({ length: sweep.length }, (_, i) => sweep.case(i).at(-1));
    return new Set(all.map((step) => step === undefined ? "" : bytesOf(step, "").toHex()));
  };
  // Tlink with the length of a name and nothing of the name.
  assert.ok(hexes(true).has("110000004601000000000000000000" + "0200"));
  assert.ok(hexes(true).has("00000000") && !hexes(false).has("00000000"));
  // Tread of as much as a number can say: of a file with something in it, a folder, and attributes.
  const sweep = new Sweep(1, true, 0);
  const before = new Set<string>();
  for (let i = 0; i < sweep.length; i++) {
    const steps = sweep.case(i);
    const last = steps.at(-1)?.content;
    if (last === undefined || last instanceof Uint8Array) continue;
    if (last.kind !== "Tread" || last.count !== 2 ** 32 - 1) continue;
    const said = steps.at(-2)?.content;
    if (said !== undefined && !(said instanceof Uint8Array)) before.add(said.kind);
  }
  assert.deepEqual([...before].sort(), ["Tlcreate", "Tlopen", "Txattrcreate", "Txattrwalk"]);
  assert.notDeepEqual(new Sweep(1, true, 0).case(0), new Sweep(2, true, 0).case(0));
});
