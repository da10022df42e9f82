import assert from "node:assert/strict";
import { HELLO, playOn, type Said } from "./observed_test_helper.ts";
import { Top } from "./top.ts";

const WORK: readonly Said[] = [
  ...HELLO,
  [400, { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["\x1b[31mevil\n"] }],
  [500, { kind: "Rwalk", tag: 1, wqid: [{ type: 0, version: 0, path: 1n }] }],
  [600, "Tread tag=1 fid=1 offset=0 count=10"],
  [900, { kind: "Rread", tag: 1, data: new Uint8Array(10) }],
  [950, "Tclunk tag=2 fid=0"],
  [990, "Rlerror tag=2 ecode=EIO"],
];

Deno.test("Top draws a screen that fits the terminal", () => {
  let text = "";
  const size = { columns: 70, rows: 20 };
  const top = new Top({ write: (piece) => text += piece, isTerminal: true, size: () => size });
  playOn([top], WORK);
  top.show(2);
  assert.ok(text.startsWith("\x1b[H\x1b[J3 requests/s, "), text);
  const lines = text.slice(6).split("\n");
  assert.ok(lines.length <= 20 && lines.every((line) => line.length <= 70));
  assert.match(text, /0 conversations, 5 requests since the start, 1 times EIO/);
  assert.match(text, /300 µs +299 µs|300 µs +300 µs/);
  assert.match(text, /\/\\u001b\[31mev/);
  // deno-lint-ignore no-control-regex -- no escape but our own
  assert.doesNotMatch(text.slice(6), /\x1b/);
  text = "";
  size.columns = 10;
  size.rows = 2;
  top.show(1);
  assert.equal(text, "\x1b[H\x1b[J0 requests\n");
});

Deno.test("Top writes a line each time where nobody can draw", () => {
  let text = "";
  const top = new Top({ write: (piece) => text += piece, isTerminal: false });
  playOn([top], WORK);
  top.show(1);
  top.show(0);
  const [first = "", second = "", rest] = text.split("\n");
  assert.match(first, /^5 requests\/s, \d+ B\/s, p50 .*, p99 .*, 1 errors\/s, 1 under way, \//);
  assert.equal(second, "0 requests/s, 0 B/s, p50 0 ns, p99 0 ns, 0 errors/s, 0 under way");
  assert.equal(rest, "");
});
