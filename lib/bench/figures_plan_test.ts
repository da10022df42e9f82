import assert from "node:assert/strict";
import {
  emptyCells,
  type Extent,
  figureColumns,
  LEAST_MEMORY_MIB,
  memoryFor,
  PRESETS,
  seriesOf,
  setupId,
  turnsLeft,
  turnsOf,
} from "./figures_plan.ts";
import { PAPER_BLOCKS, PAPER_FIGURES, VIRTFS_VARIANTS } from "./paper.ts";
import { cellKey } from "./results.ts";
import type { Sample } from "./results_types.ts";

const EXTENT: Extent = { sizeBytes: 2 ** 22, memoryMiB: 256, repetitions: 3, warmups: 1 };

const SAMPLE: Sample = {
  order: 0,
  value: 1,
  seconds: 1,
  bytes: 1,
  outlier: "none",
  raw: [],
  startedAt: null,
  hostCache: null,
  guestCache: null,
};

Deno.test("emptyCells() has every bar of the paper's figures, once", () => {
  const cells = emptyCells(figureColumns(), 2 ** 22, false);
  const keys = cells.map(cellKey);
  assert.equal(new Set(keys).size, keys.length);
  for (const { id, operation, others, fileSystems, blocks } of PAPER_FIGURES) {
    for (const series of [...VIRTFS_VARIANTS, ...others]) {
      for (const count of fileSystems) {
        for (const blockBytes of blocks) {
          const key = cellKey({ operation, blockBytes, fileSystems: count, series });
          const cell = cells.find((cell) => cellKey(cell) === key);
          assert.ok(cell?.figures.includes(id), `figure ${id}: ${key}`);
        }
      }
    }
  }
});

Deno.test("figureColumns() measures what no figure has with one file system", () => {
  const columns = figureColumns(["tcp", "virtiofs"]).map(setupId);
  assert.deepEqual(columns.filter((id) => id.startsWith("tcp") || id.startsWith("virtiofs")), [
    "tcp@default/1",
    "tcp@512000/1",
    "virtiofs/1",
  ]);
  assert.deepEqual(columns.filter((id) => id.startsWith("nfs")), ["nfs/1"]);
  assert.deepEqual(columns.filter((id) => id.startsWith("block")), [
    "block/1",
    "block/2",
    "block/3",
  ]);
});

Deno.test("seriesOf() asks 9P for the kernel's default and for 512000", () => {
  assert.deepEqual(seriesOf(["virtfs", "nfs"]), [
    { name: "virtfs@default", family: "virtfs", msize: null },
    { name: "virtfs@512000", family: "virtfs", msize: 512_000 },
    { name: "nfs", family: "nfs", msize: null },
  ]);
});

Deno.test("turnsOf() interleaves: every round has every column and block once", () => {
  const columns = figureColumns();
  const turns = turnsOf(columns, EXTENT, 7);
  const size = columns.length * PAPER_BLOCKS.length;
  assert.equal(turns.length, size * 4);
  for (const [index, round] of [-1, 0, 1, 2].entries()) {
    const some = turns.slice(index * size, (index + 1) * size);
    assert.ok(some.every((turn) => turn.round === round));
    assert.equal(new Set(some.map(({ setup, blockBytes }) => `${setup} ${blockBytes}`)).size, size);
  }
  const order = (round: number) =>
    turns.filter((turn) => turn.round === round).map(({ setup }) => setup);
  assert.notDeepEqual(order(0), order(1));
  assert.deepEqual(turnsOf(columns, EXTENT, 7), turns);
  assert.notDeepEqual(turnsOf(columns, EXTENT, 8), turns);
});

Deno.test("turnsLeft() leaves out what has samples, and only that", () => {
  const columns = figureColumns();
  const turns = turnsOf(columns, EXTENT, 1);
  const cells = emptyCells(columns, EXTENT.sizeBytes, false);
  assert.deepEqual(turnsLeft(turns, cells), turns);
  const partial = cells.map((cell) =>
    cell.setup === "nfs/1" && cell.blockBytes === 8192
      ? { ...cell, warmups: [SAMPLE], samples: [SAMPLE, SAMPLE] }
      : cell
  );
  const left = turnsLeft(turns, partial);
  assert.equal(left.length, turns.length - 3);
  const ofNfs = left.filter(({ setup, blockBytes }) => setup === "nfs/1" && blockBytes === 8192);
  assert.deepEqual(ofNfs.map(({ round }) => round), [2]);
  const full = cells.map((cell) => ({
    ...cell,
    warmups: [SAMPLE],
    samples: [SAMPLE, SAMPLE, SAMPLE],
  }));
  assert.deepEqual(turnsLeft(turns, full), []);
});

Deno.test("memoryFor() keeps the paper's ratio down to what a guest needs", () => {
  assert.equal(memoryFor(8 * 2 ** 30), 2048);
  assert.equal(memoryFor(2 ** 22), LEAST_MEMORY_MIB);
});

Deno.test("presets are files of whole blocks in guests that boot", () => {
  for (const { sizeBytes, memoryMiB, repetitions } of Object.values(PRESETS)) {
    for (const block of PAPER_BLOCKS) assert.equal(sizeBytes % block, 0);
    assert.ok(memoryMiB >= LEAST_MEMORY_MIB);
    assert.ok(repetitions >= 1);
  }
  assert.equal(PRESETS.paper.sizeBytes / (PRESETS.paper.memoryMiB * 2 ** 20), 4);
});
