import assert from "node:assert/strict";
import { HELLO, lineOf, play, type Said, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { HtmlReport } from "./report_html.ts";
import { TimeGrid } from "./time_grid.ts";

const EVIL = '"><script>alert(1)</script><img src=//x.example onerror=a>\u202e\u0007';

const WORK: readonly Said[] = [
  ...HELLO,
  [400, { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: [EVIL] }],
  [500, { kind: "Rwalk", tag: 1, wqid: [{ type: 0, version: 0, path: 1n }] }],
  [600, "Tread tag=1 fid=1 offset=0 count=10"],
  [900, { kind: "Rread", tag: 1, data: new Uint8Array(10) }],
  [1000, "Tclunk tag=1 fid=1"],
  [1100, "Rlerror tag=1 ecode=EIO"],
];

Deno.test("HtmlReport is one page that needs nothing else, whatever files are called", async () => {
  const report = new HtmlReport({
    describe: (transaction) => `${lineOf(transaction)} ${[...transaction.paths.values()].join()}`,
    title: EVIL,
  });
  await play([report], WORK);
  report.finding({
    rule: "L001",
    severity: "error",
    conversation: TCP_CONVERSATION,
    time: 0,
    message: EVIL,
  });
  const html = report.html();
  for (const part of ["Timeline", "Latency over time", "Messages", "Files", "Errors", "Slowest"]) {
    assert.match(html, new RegExp(`<h2>${part}</h2>`));
  }
  assert.match(html, /<h2>Findings<\/h2>\n<ul>\n<li class="error">L001 error c1: /);
  const tags = new Set([...html.matchAll(/<([a-z0-9!]+)/g)].map(([, tag]) => tag));
  for (const tag of ["script", "img", "link", "iframe", "object"]) assert.ok(!tags.has(tag), tag);
  assert.doesNotMatch(html, /\b(?:src|href|onerror)\s*=\s*["']|url\(|@import|\u202e/);
  assert.ok(!html.includes("\u0007"));
  assert.match(html, /default-src 'none'/);
  assert.match(html, /Tread\(\) = Rread &#60;0\.000300&#62;/);
  // Every rectangle of the heat map is a number of transactions, together all that were answered.
  const cells = [...html.matchAll(/, from [^:<]*: (\d+)<\/title>/g)].map(([, count]) =>
    Number(count)
  );
  assert.equal(cells.reduce((sum, each) => sum + each, 0), 5);
});

Deno.test("HtmlReport of nothing is a page, too", () => {
  const html = new HtmlReport({ describe: lineOf, title: "nothing" }).html();
  assert.match(html, /<li>0 requests in 0 conversations/);
  assert.doesNotMatch(html, /NaN|Infinity|undefined/);
});

Deno.test("HtmlReport stays small when a capture is long, and keeps the slowest", () => {
  const report = new HtmlReport({ describe: ({ number }) => `number ${number}`, title: "long" });
  const half = { size: 7, type: 116, message: null, malformed: null, bytes: new Uint8Array() };
  for (let number = 0; number < 50_000; number++) {
    const took = (number * 7919) % 50_000;
    report.transaction({
      number,
      conversation: TCP_CONVERSATION,
      tag: 1,
      request: { ...half, time: number },
      reply: { ...half, type: 117, time: number + took },
      outcome: "answered",
      depth: 1,
      paths: new Map(),
      errno: 0,
    });
  }
  const html = report.html();
  const slowest = Array.from({ length: 50_000 }, (_, i) => i).sort((a, b) =>
    (b * 7919) % 50_000 - (a * 7919) % 50_000
  );
  for (const number of slowest.slice(0, 50)) assert.match(html, new RegExp(`number ${number}<`));
  assert.ok(html.length < 100_000);
});

Deno.test("TimeGrid keeps all counts when it widens its spans", () => {
  const grid = new TimeGrid();
  for (let i = 0; i < 10_000; i++) grid.add(i * i * 1000, i * 100, 10, i % 2 === 0);
  for (const hostile of [NaN, -5, Infinity]) grid.add(hostile, hostile, 0, false);
  const sum = (values: Float64Array) => values.reduce((total, each) => total + each, 0);
  assert.equal(sum(grid.counts), 10_003);
  assert.equal(sum(grid.bytes), 100_000);
  assert.equal(sum(grid.errors), 5000);
  assert.equal(sum(grid.heat), 10_001);
  assert.ok(grid.used <= 240 && grid.used > 120);
});
