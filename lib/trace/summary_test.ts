import assert from "node:assert/strict";
import { HELLO, play, type Said, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { Summary } from "./summary.ts";
import { formatSummary, summaryToJson } from "./summary_text.ts";
import { TYPE } from "../p9/mod.ts";
import { ExchangeRecord } from "./exchange.ts";
import type { Exchange } from "./types.ts";

const data = (length: number) => ({ kind: "Rread" as const, tag: 1, data: new Uint8Array(length) });

const WORK: readonly Said[] = [
  ...HELLO,
  [400, 'Twalk tag=1 fid=0 newfid=1 wname=["gone"]'],
  [500, "Rlerror tag=1 ecode=ENOENT"],
  [700, 'Twalk tag=1 fid=0 newfid=1 wname=["file"]'],
  [800, "Rwalk tag=1 wqid=[0.0.2]"],
  [900, "Tlopen tag=1 fid=1 flags=O_RDONLY"],
  [1000, "Rlopen tag=1 qid=0.0.2 iounit=0"],
  [1100, "Tread tag=1 fid=1 offset=0 count=4096"],
  [1300, data(4096)],
  [1400, "Tread tag=1 fid=1 offset=4096 count=4096"],
  [1800, data(4096)],
  [1900, "Tread tag=1 fid=1 offset=1048576 count=4096"],
  [2000, data(100)],
  [2100, "Tclunk tag=1 fid=1"],
  [2100, "Tgetattr tag=2 fid=0 request_mask=GETATTR_BASIC"],
  [2200, "Rclunk tag=1"],
];

Deno.test("Summary counts by message, file and error", async () => {
  const summary = new Summary();
  await play([summary], WORK);
  const json = summaryToJson(summary, { sort: "name" });
  assert.deepEqual(
    json.messages.map(({ message, count, errors, unanswered, total, max }) => [
      message,
      count,
      errors,
      unanswered,
      total,
      max,
    ]),
    [
      ["Tattach", 1, 0, 0, 1e5, 1e5],
      ["Tclunk", 1, 0, 0, 1e5, 1e5],
      ["Tgetattr", 1, 0, 1, 0, 0],
      ["Tlopen", 1, 0, 0, 1e5, 1e5],
      ["Tread", 3, 0, 0, 7e5, 4e5],
      ["Tversion", 1, 0, 0, 1e5, 1e5],
      ["Twalk", 2, 1, 0, 2e5, 1e5],
    ],
  );
  const read = json.messages[4];
  assert.equal(read?.moved, 8292);
  assert.equal(read?.bytes, 3 * (23 + 11) + 8292);
  assert.equal(Math.round((read?.p50 ?? 0) / 1e4), 20);
  const file = json.files.find(({ path }) => path === "/file");
  assert.deepEqual(file, {
    path: "/file",
    opens: 1,
    reads: 3,
    writes: 0,
    others: 2,
    errors: 0,
    readBytes: 8292,
    writtenBytes: 0,
    sequential: 2,
    random: 1,
    workingSet: 3 * 4096,
    workingSetUnit: 4096,
    time: 1e6,
  });
  assert.deepEqual(json.errors, [{ errno: 2, name: "ENOENT", count: 1, messages: { Twalk: 1 } }]);
  assert.deepEqual(json.outcomes, { unfinished: 1, lost: 0, flushed: 0, unasked: 0 });
  assert.equal(json.elapsed, 2.2e6);
  assert.deepEqual(json.concurrency.depths, [9, 1]);
  assert.equal(json.latency.reduce((sum, { count }) => sum + count, 0), 9);
});

Deno.test("formatSummary() shows all of it, sorted as asked", async () => {
  const summary = new Summary();
  await play([summary], WORK);
  const text = formatSummary(summary);
  assert.match(text, /^10 requests in 1 conversation, .*2\.20 ms\n1 unfinished/);
  assert.match(text, /\n +53\.85 +700 µs +233 µs .* 3 +8\.20 KiB +Tread\n/);
  assert.match(text, /\n100\.00 .* 10 +1 +.* total\n/);
  assert.match(text, /\n1\.00 ms +1 +3 +8\.10 KiB +0 +0 B +33 % random +12\.0 KiB +2 +\/file\n/);
  assert.match(text, /\n +1 +ENOENT \(No such file or directory\) +Twalk 1\n/);
  assert.match(text, /Concurrency: 0\.59 requests under way on average, 2 at most/);
  const order = (sort: "count" | "name") =>
    [...formatSummary(summary, { sort, files: 0 }).matchAll(/ (T\w+)\n/g)].map(([, name]) => name);
  assert.equal(order("count")[0], "Tread");
  assert.equal(order("name")[0], "Tattach");
});

Deno.test("Summary of nothing is no more than a line", () => {
  assert.equal(formatSummary(new Summary()), "0 requests in 0 conversations, 0 B, 0 ns\n");
});

/** Numbers of a read that was answered. */
function numbers(other: Partial<Exchange>): Exchange {
  const type = TYPE.Tread;
  return {
    ...new ExchangeRecord(),
    conversation: TCP_CONVERSATION,
    type,
    ended: 10,
    depth: 1,
    ...other,
  };
}

Deno.test("Summary keeps a bounded number of files and says so", () => {
  const summary = new Summary({ files: 100 });
  for (let i = 0; i < 5000; i++) {
    for (const path of ["/hot", `/cold/${i}`]) {
      summary.exchange(numbers({ path, offset: i * 10, moved: 10 }));
    }
  }
  assert.ok(summary.files.size <= 100);
  const hot = summaryToJson(summary).files.find(({ path }) => path === "/hot");
  // What is used most is counted rightly all the way.
  assert.equal(hot?.reads, 5000);
  assert.equal(hot?.workingSet, 53_248);
  assert.match(formatSummary(summary), /too many files to keep apart: \d+ of the least used/);
  const all = [...summary.files.values()].reduce((sum, { reads }) => sum + reads, 0);
  assert.equal(all + summary.files.rest.reads, 10_000);
});

Deno.test("Summary counts the working set of a large file in larger units", () => {
  const summary = new Summary();
  // Every second mebibyte of the first gibibyte.
  for (let i = 0; i < 512; i++) {
    summary.exchange(numbers({ path: "/large", offset: i * 2 ** 21, moved: 2 ** 20 }));
    summary.exchange(numbers({ path: "/large", offset: i * 2 ** 21 + 5, moved: 1000 }));
  }
  const [file] = summaryToJson(summary).files;
  assert.equal(file?.workingSetUnit, 2 ** 20);
  assert.equal(file?.workingSet, 2 ** 29);
  assert.equal(file?.random, 1023);
});

Deno.test("Summary takes hostile numbers and names", () => {
  const summary = new Summary();
  const path = "/\x1b[2J\u202e\ud800\n";
  for (const number of [-1, NaN, Infinity, 2 ** 64, 2 ** 53, 0, 1e300]) {
    for (const type of [TYPE.Tread, TYPE.Twrite, 0, 255, 300]) {
      const times = { started: number, ended: -number };
      summary.exchange(
        numbers({ path, type, offset: number, moved: 2 ** 32, depth: number, ...times }),
      );
    }
  }
  for (let errno = 1; errno < 1000; errno++) summary.exchange(numbers({ path, errno }));
  const text = formatSummary(summary);
  // deno-lint-ignore no-control-regex -- that there are none is the point
  assert.doesNotMatch(text, /[\x1b\u202e\ud800]/);
  assert.match(text, /\\u001b\[2J\\u202e\\ud800\\u000a/);
  assert.match(text, /errors of other numbers/);
});
