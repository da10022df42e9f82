import assert from "node:assert/strict";
import { Last, Rotate } from "./keep.ts";
import { HELLO, lineOf, play, type Said } from "./observed_test_helper.ts";
import { PcapngFile } from "./pcapng_write.ts";
import type { Observer } from "./types.ts";

const WORK: readonly Said[] = [
  ...HELLO,
  ...Array.from({ length: 5000 }, (_, i): Said[] => [
    [1000 + 10 * i, `Tread tag=1 fid=0 offset=${i} count=100`],
    [1005 + 10 * i, { kind: "Rread", tag: 1, data: new Uint8Array(100) }],
  ]).flat(),
];

Deno.test("Last tells of the last transactions only, with their frames", async () => {
  const told: string[] = [];
  let frames = 0;
  const next: Observer = {
    begin: () => void told.push("begin"),
    opened: ({ id }) => void told.push(`opened ${id}`),
    frame: () => void frames++,
    transaction: ({ number }) => void told.push(`transaction ${number}`),
    closed: ({ id }) => void told.push(`closed ${id}`),
    end: () => void told.push("end"),
  };
  await play([new Last(next, 2)], WORK);
  assert.deepEqual(told, [
    "begin",
    "opened 1",
    "transaction 5001",
    "transaction 5002",
    "closed 1",
    "end",
  ]);
  assert.equal(frames, 4);
});

Deno.test("Last of a capture with fewer transactions is all of it", async () => {
  let transactions = 0;
  await play([new Last({ transaction: () => void transactions++ }, 1000)], HELLO);
  assert.equal(transactions, 2);
});

Deno.test("Rotate writes files that are each whole, and keeps the last ones", async () => {
  const files = new Map<number, Uint8Array[]>();
  const open = new Set<number>();
  const rotate = new Rotate({
    bytes: 100_000,
    keep: 3,
    remove: (index) => void files.delete(index),
    open: (index) => {
      const pieces: Uint8Array[] = [];
      files.set(index, pieces);
      open.add(index);
      const write = (bytes: Uint8Array): void => void pieces.push(bytes.slice());
      return {
        observer: new PcapngFile({ write, describe: lineOf, application: "virtfs" }),
        size: () => pieces.reduce((sum, { length }) => sum + length, 0),
        close: () => void open.delete(index),
      };
    },
  });
  await play([rotate], WORK);
  assert.equal(open.size, 0);
  assert.equal(files.size, 3);
  const indices = [...files.keys()];
  assert.ok((indices[0] ?? 0) > 3);
  for (const pieces of files.values()) {
    // Each begins with a section and announces its interface.
    const first = pieces[0] ?? new Uint8Array();
    assert.deepEqual([...first.subarray(0, 4)], [0x0a, 0x0d, 0x0d, 0x0a]);
    const size = pieces.reduce((sum, { length }) => sum + length, 0);
    assert.ok(size < 250_000, `${size}`);
  }
});
