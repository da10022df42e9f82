import assert from "node:assert/strict";
import {
  cellKey,
  formatResults,
  parseResults,
  readResults,
  ResultsError,
  writeResults,
} from "./results.ts";
import { cellOf, resultsOf, setupOf } from "./results_test_helper.ts";

const GOOD = resultsOf([cellOf("nfs", [10, 11]), cellOf("virtfs@512000", [20])]);

Deno.test("parseResults() gives back what formatResults() wrote", () => {
  assert.deepEqual(parseResults(formatResults(GOOD), "x.json"), GOOD);
});

Deno.test("formatResults() writes keys in the order of the schema", () => {
  const { schema, ...rest } = GOOD;
  assert.equal(formatResults({ ...rest, schema }), formatResults(GOOD));
});

Deno.test("formatResults() refuses what could not be read again", () => {
  const cells = [cellOf("nfs", [NaN])];
  assert.throws(() => formatResults({ ...GOOD, cells }), /^ResultsError: Cannot read these res/);
});

const faults: [what: string, text: string, message: RegExp][] = [
  ["no JSON", "{", /it is no JSON$/],
  ["null", "null", /it names no "schema"$/],
  ["another format", `{"version":1}`, /it names no "schema"$/],
  ["another version", `{"schema":"virtfs-bench/2"}`, /its schema is "virtfs-bench\/2", not/],
  ["a schema that is none", `{"schema":[1]}`, /its schema is \[1\], not "virtfs-bench\/1"$/],
  ["a file that ends early", `{"schema":"virtfs-bench/1"}`, /kind: .*\(and \d+ more\)$/],
  [
    "an unknown field",
    JSON.stringify({ ...GOOD, surprise: 1 }),
    /the whole: Unrecognized key: "surprise"$/,
  ],
  [
    "a number beyond numbers",
    JSON.stringify(GOOD).replace(`"value":10,`, `"value":1e999,`),
    /cells\[0\]\.samples\[0\]\.value: /,
  ],
  [
    "a negative throughput",
    JSON.stringify(GOOD).replace(`"value":10,`, `"value":-10,`),
    /cells\[0\]\.samples\[0\]\.value: /,
  ],
  [
    "a cell without its setup",
    JSON.stringify({ ...GOOD, setups: [setupOf("nfs")] }),
    /cells\[1\]: there is no setup "virtfs@512000\/1"$/,
  ],
  [
    "a cell with the setup of another series",
    JSON.stringify({ ...GOOD, cells: [cellOf("nfs", [1], { setup: "virtfs@512000/1" })] }),
    /cells\[0\]: its setup "virtfs@512000\/1" is of another series/,
  ],
  [
    "the same cell twice",
    JSON.stringify({ ...GOOD, cells: [cellOf("nfs", [1]), cellOf("nfs", [2])] }),
    /cells\[1\]: an earlier cell is the same$/,
  ],
  [
    "two setups of one id",
    JSON.stringify({ ...GOOD, setups: [setupOf("nfs"), setupOf("nfs")] }),
    /two setups have one id$/,
  ],
  [
    "a list without end",
    JSON.stringify({ ...GOOD, notes: Array(10_001).fill("") }),
    /notes: Too big/,
  ],
  [
    "deep nesting",
    `{"schema":"virtfs-bench/1","notes":${"[".repeat(5000)}${"]".repeat(5000)}}`,
    /./,
  ],
];
for (const [what, text, message] of faults) {
  Deno.test(`parseResults() refuses ${what}`, () => {
    assert.throws(() => parseResults(text, "x.json"), (error: unknown) => {
      assert.ok(error instanceof ResultsError);
      assert.match(error.message, /^Cannot read x\.json: [^\n]+$/);
      assert.match(error.message, message);
      assert.ok(error.message.length < 1000);
      return true;
    });
  });
}

Deno.test("cellKey() tells cells apart", () => {
  assert.equal(cellKey(cellOf("nfs", [])), "read 65536 1 nfs");
  assert.equal(
    cellKey(cellOf("block", [], { operation: "write", fileSystems: 3, blockBytes: 8192 })),
    "write 8192 3 block",
  );
});

Deno.test("writeResults() leaves the old file when the new one cannot be written", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/results.json`;
    writeResults(path, GOOD);
    assert.deepEqual(await readResults(path), GOOD);
    assert.throws(() => writeResults(path, { ...GOOD, seed: -1 }), ResultsError);
    assert.deepEqual(await readResults(path), GOOD);
    assert.throws(
      () => writeResults(`${folder}/missing/results.json`, GOOD),
      /^ResultsError: Cannot write .*\/missing\/results\.json: there is no such file$/,
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["results.json"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readResults() refuses what is no text in a file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assert.rejects(
      readResults(`${folder}/none`),
      /^ResultsError: .*: there is no such file$/,
    );
    await assert.rejects(readResults(folder), /^ResultsError: Cannot read .*: it is no file$/);
    await Deno.writeFile(`${folder}/bytes`, new Uint8Array([0xff, 0xfe]));
    await assert.rejects(readResults(`${folder}/bytes`), /^ResultsError: .*: it is no UTF-8$/);
    await Deno.truncate(`${folder}/bytes`, (64 << 20) + 1);
    await assert.rejects(readResults(`${folder}/bytes`), /it is larger than 67108864 bytes$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
