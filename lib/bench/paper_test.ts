import assert from "node:assert/strict";
import {
  emptyBars,
  figuresOf,
  fitModels,
  judgeClaims,
  PAPER_BLOCKS,
  PAPER_CLAIMS,
  PAPER_FIGURES,
  parseBars,
} from "./paper.ts";
import type { Cell, ClaimVerdict } from "./results_types.ts";
import { cellOf, resultsOf, setupOf } from "./results_test_helper.ts";

/** Ten samples around a value. */
const around = (value: number) => Array.from({ length: 10 }, (_, i) => value * (1 + (i - 5) / 500));

function cells(series: string, operation: Cell["operation"], value: number, fileSystems = 1) {
  return PAPER_BLOCKS.map((blockBytes) =>
    cellOf(series, around(value), { operation, blockBytes, fileSystems })
  );
}

function verdict(all: readonly Cell[], id: string, variant = "virtfs@512000"): ClaimVerdict {
  const found = judgeClaims({ cells: all }).find((claim) =>
    claim.id === id && claim.variant === variant
  );
  assert.ok(found !== undefined, `there is no claim ${id} for ${variant}`);
  return found;
}

Deno.test("every figure has claims, and every claim a name of its own", () => {
  assert.equal(new Set(PAPER_CLAIMS.map(({ id }) => id)).size, PAPER_CLAIMS.length);
  for (const { id } of PAPER_FIGURES) {
    assert.ok(PAPER_CLAIMS.some(({ figure }) => figure === id), `Figure ${id}`);
  }
});

Deno.test("figuresOf() knows which figures show a cell", () => {
  const cell = { operation: "read", blockBytes: 8192, fileSystems: 1, series: "nfs" } as const;
  assert.deepEqual(figuresOf(cell), ["3"]);
  assert.deepEqual(figuresOf({ ...cell, series: "virtfs@default" }), ["3", "5"]);
  assert.deepEqual(figuresOf({ ...cell, series: "block", fileSystems: 3 }), ["5"]);
  assert.deepEqual(figuresOf({ ...cell, series: "virtiofs" }), []);
  assert.deepEqual(figuresOf({ ...cell, blockBytes: 4096 }), []);
});

const BEATS = "fig3-read-beats-nfs";
const verdicts: [what: string, cells: readonly Cell[], id: string, verdict: string][] = [
  [
    "holds where every interval is above",
    [...cells("virtfs@512000", "read", 20), ...cells("nfs", "read", 10)],
    BEATS,
    "holds",
  ],
  [
    "does not hold where one interval is below",
    [
      ...cells("virtfs@512000", "read", 20),
      ...cells("nfs", "read", 10).slice(1),
      cellOf("nfs", around(30), { blockBytes: 8192 }),
    ],
    BEATS,
    "does not hold",
  ],
  [
    "is inconclusive where intervals overlap",
    [...cells("virtfs@512000", "read", 10.001), ...cells("nfs", "read", 10)],
    BEATS,
    "inconclusive",
  ],
  [
    "is inconclusive with three samples, however far apart",
    [...cells("virtfs@512000", "read", 20), ...cells("nfs", "read", 10)].map((cell) => ({
      ...cell,
      samples: cell.samples.slice(0, 3),
    })),
    BEATS,
    "inconclusive",
  ],
  ["is not measured without the other", cells("virtfs@512000", "read", 20), BEATS, "not measured"],
  [
    "is not measured if one block size is missing",
    [...cells("virtfs@512000", "read", 20).slice(1), ...cells("nfs", "read", 10)],
    BEATS,
    "not measured",
  ],
  [
    "holds of a block device that is a little faster",
    [...cells("virtfs@512000", "write", 9), ...cells("block", "write", 10)],
    "fig4-write-stands-up-to-block-1",
    "holds",
  ],
  [
    "does not hold of one that is much faster",
    [...cells("virtfs@512000", "write", 7), ...cells("block", "write", 10)],
    "fig4-write-stands-up-to-block-1",
    "does not hold",
  ],
  [
    "does not hold if it scales though it should not",
    [...cells("virtfs@512000", "read", 10), ...cells("virtfs@512000", "read", 25, 3)],
    "fig5-read-does-not-scale",
    "does not hold",
  ],
  [
    "holds if it does not scale",
    [...cells("virtfs@512000", "read", 10), ...cells("virtfs@512000", "read", 11, 3)],
    "fig5-read-does-not-scale",
    "holds",
  ],
];
for (const [what, all, id, expected] of verdicts) {
  Deno.test(`judgeClaims(): a claim ${what}`, () => {
    const { verdict: said, evidence } = verdict(all, id);
    assert.equal(said, expected);
    assert.equal(evidence.length, PAPER_BLOCKS.length);
  });
}

Deno.test("judgeClaims() judges all four forms of VirtFS, and others that were measured", () => {
  const all = [...cells("virtfs@8192", "read", 20), ...cells("nfs", "read", 10)];
  assert.equal(verdict(all, BEATS, "virtfs@8192").verdict, "holds");
  assert.equal(verdict(all, BEATS, "virtfs-qemu@default").verdict, "not measured");
  assert.deepEqual(
    verdict(all, BEATS, "virtfs-qemu@default").evidence[0],
    [
      "8k: VirtFS over NFS: not measured (virtfs-qemu@default has no samples)",
    ][0],
  );
});

Deno.test("fitModels() counts requests by msize and prints ns and GB/s", () => {
  const time = (bytes: number) => Math.ceil(bytes / (131_072 - 24)) * 150_000 + bytes / 4;
  const all = PAPER_BLOCKS.map((blockBytes) =>
    cellOf("virtfs@131072", Array(5).fill(blockBytes / time(blockBytes) * 1000), { blockBytes })
  );
  const setups = [setupOf("virtfs@131072", 1, { msizeObtained: 131_072 })];
  const [model, ...rest] = fitModels(resultsOf(all, { setups }));
  assert.deepEqual(rest, []);
  assert.ok(model !== undefined);
  assert.ok(Math.abs(model.latency.value - 150_000) < 1);
  assert.ok(Math.abs(model.bandwidth.value - 4) < 1e-3);
  assert.deepEqual(fitModels(resultsOf(all.slice(1, 2), { setups })), []);
});

Deno.test("the file for the paper's bars has them all and no height that nobody answers for", async () => {
  const path = new URL("../../bench/paper/figures.json", import.meta.url);
  const { digitisedBy, bars } = parseBars(await Deno.readTextFile(path), "figures.json");
  assert.equal(bars.length, 2 * 3 * 3 + 2 * 3 * 3 * 2);
  assert.ok(digitisedBy !== null || bars.every(({ value }) => value === null));
});

Deno.test("parseBars() refuses heights without a name, and other bars", () => {
  const empty = emptyBars();
  const [first, ...others] = empty.bars;
  const filled = (value: unknown, digitisedBy: unknown) =>
    JSON.stringify({ digitisedBy, bars: [{ ...first, value }, ...others] });
  assert.equal(parseBars(filled(12.5, "somebody"), "x").bars[0]?.value, 12.5);
  assert.throws(() => parseBars(filled(12.5, null), "x"), /^Error: Cannot read x: .*nobody/);
  assert.throws(() => parseBars(filled(-1, "somebody"), "x"), /bar 0 is no number of MB\/s$/);
  assert.throws(() => parseBars(filled(1, 5), "x"), /digitisedBy is no text$/);
  for (const text of ["{", "null", "[]", `{"bars":[null]}`, JSON.stringify({ bars: others })]) {
    assert.throws(() => parseBars(text, "x"), /^Error: Cannot read x: /);
  }
});
