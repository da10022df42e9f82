import assert from "node:assert/strict";
import { HELLO, lineOf, play, type Said, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { PerfettoFile } from "./perfetto.ts";

interface Event {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly tid?: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

const WORK: readonly Said[] = [
  ...HELLO,
  [400, "Tstatfs tag=1 fid=0"],
  [450, 'Twalk tag=2 fid=0 newfid=1 wname=["\\u001b\\"]<script>"]'],
  [500, "Rlerror tag=2 ecode=ENOENT"],
  [600, "Rlerror tag=1 ecode=EIO"],
  [700, "Tclunk tag=3 fid=0"],
];

Deno.test("PerfettoFile draws each transaction in the lane of its tag", async () => {
  let text = "";
  const file = new PerfettoFile({ write: (piece) => text += piece, describe: lineOf });
  await play([file], WORK);
  const events = JSON.parse(text) as Event[];
  const slices = events.filter(({ ph }) => ph === "X");
  assert.deepEqual(
    slices.map(({ name, pid, tid, ts, dur }) => [name, pid, tid, ts, dur]),
    [
      ["Tversion", 1, 65535, 0, 100],
      ["Tattach", 1, 0, 200, 100],
      ["Twalk", 1, 2, 450, 50],
      ["Tstatfs", 1, 1, 400, 200],
    ],
  );
  assert.equal(slices[2]?.args["error"], "ENOENT (No such file or directory)");
  assert.equal(slices[2]?.args["line"], "Twalk() = -ENOENT <0.000050>");
  const names = events.filter(({ name }) => name === "thread_name").map(({ args }) => args["name"]);
  assert.deepEqual(names, ["NOTAG", "tag 0", "tag 2", "tag 1", "tag 3"]);
  const marks = events.filter(({ ph }) => ph === "i");
  assert.deepEqual(marks.map(({ name, args }) => [name, args["outcome"]]), [
    ["Tclunk", "unfinished"],
  ]);
  assert.equal(
    Math.max(...events.filter(({ ph }) => ph === "C").map(({ args }) => Number(args["requests"]))),
    2,
  );
});

Deno.test("PerfettoFile marks gaps and findings, and of nothing writes an empty list", () => {
  let text = "";
  const file = new PerfettoFile({ write: (piece) => text += piece, describe: lineOf });
  file.end(0);
  assert.deepEqual(JSON.parse(text), []);
  text = "";
  const about = { conversation: TCP_CONVERSATION, time: 1500 };
  file.gap({
    ...about,
    direction: "reply",
    lost: 1,
    skipped: 2,
    why: "not captured",
    isInside: false,
  });
  file.finding({ ...about, rule: "L001", severity: "error", message: "\u2028" });
  file.end(0);
  const events = (JSON.parse(text) as Event[]).filter(({ ph }) => ph === "i");
  assert.deepEqual(events.map(({ name, ts }) => [name, ts]), [["gap", 1.5], ["L001", 1.5]]);
});
