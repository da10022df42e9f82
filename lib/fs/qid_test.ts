import assert from "node:assert/strict";
import { Errno, errnoName } from "../p9/mod.ts";
import { DeviceTable } from "./qid.ts";
import type { Question, Reply } from "./testing_worker.ts";

type File = readonly [major: number, minor: number, inode: bigint];

/** Files on several devices with inode numbers from all over 64 bits. */
function files(count: number): File[] {
  const all: File[] = [];
  for (let i = 0; i < count; i++) {
    const inode = BigInt.asUintN(64, BigInt(i) * 0x9e37_79b9_7f4a_7c15n) >> BigInt(i % 3 * 16);
    all.push([8, i % 4, inode]);
  }
  return all;
}

function ask(question: Question): Promise<Reply> {
  const worker = new Worker(new URL("./testing_worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(event.error);
    };
    worker.postMessage(question);
  });
}

Deno.test("DeviceTable keeps the inode numbers of the first device", () => {
  const table = new DeviceTable();
  for (const inode of [0n, 1n, 2n, 0xffff_ffff_ffffn]) assert.equal(table.path(8, 1, inode), inode);
});

Deno.test("DeviceTable gives distinct files distinct numbers, always the same", () => {
  const table = new DeviceTable();
  table.path(8, 0, 2n);
  const all = files(20_000);
  const distinct = new Set(all.map((file) => file.join(" ")));
  const numbers = all.map((file) => table.path(...file));
  assert.equal(new Set(numbers).size, distinct.size);
  assert.deepEqual(all.map((file) => table.path(...file)), numbers);
});

Deno.test("DeviceTable goes on when the prefixes are used up, until nothing is left", () => {
  const table = new DeviceTable();
  table.path(8, 0, 5n);
  const seen = new Set<bigint>();
  let error: unknown;
  let count = 0;
  for (; error === undefined; count++) {
    try {
      seen.add(table.path(8, count >> 16, BigInt(count & 0xffff) << 48n | 5n));
    } catch (thrown) {
      error = thrown;
    }
  }
  assert.ok(error instanceof Errno && errnoName(error.code) === "ENFILE");
  assert.ok(count > 200_000);
  assert.equal(seen.size, count - 1);
  assert.equal(table.path(8, 0, 5n), 5n);
  assert.ok(table.path(8, 2, 5n) >= 1n << 63n);
});

Deno.test("DeviceTable gives the same numbers in all threads at once", async () => {
  const table = new DeviceTable();
  table.path(8, 0, 2n);
  const all = files(3000);
  const [one, two] = await Promise.all([
    ask({ numbers: { buffer: table.buffer, files: all } }),
    ask({ numbers: { buffer: table.buffer, files: [...all].reverse() } }),
  ]);
  const numbers = all.map((file) => table.path(...file));
  assert.deepEqual(one.numbers, numbers);
  assert.deepEqual([...two.numbers ?? []].reverse(), numbers);
  assert.equal(new Set(numbers).size, new Set(all.map((file) => file.join(" "))).size);
});

Deno.test("DeviceTable refuses memory of another size", () => {
  assert.throws(() => new DeviceTable(new SharedArrayBuffer(16)), RangeError);
});
