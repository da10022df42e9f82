import assert from "node:assert/strict";
import { CsvLines } from "./csv_lines.ts";
import { JsonLines } from "./json_lines.ts";
import { readJsonLines } from "./json_read.ts";
import { traceLine } from "./json_schema.ts";
import { HELLO, speak } from "./spoken_test_helper.ts";
import { TextLines } from "./text_lines.ts";
import type { Frame, Observer } from "./types.ts";

const SAID: readonly string[] = [
  ...HELLO,
  'Twalk tag=1 fid=0 newfid=1 wname=["a \\"b\\"","\\udcff,"]',
  "Rwalk tag=1 wqid=[80.0.2,0.ffffffff.ffffffffffffffff]",
  "Tlopen tag=1 fid=1 flags=O_RDWR|O_TRUNC",
  "Rlopen tag=1 qid=0.0.3 iounit=0",
  "Tread tag=1 fid=1 offset=18446744073709551615 count=100",
  "cut 20 Rread tag=1 data=0x6162636465666768696a6b6c6d",
  "Twrite tag=1 fid=1 offset=9007199254740993 data=0x0a0d",
  "Rwrite tag=1 count=2",
  "Treaddir tag=1 fid=0 offset=0 count=100",
  "Rreaddir tag=1 data=0x8000000000020000000000000001000000000000000401002e",
  "raw T 0b000000c8010000010203",
  "Rlerror tag=1 ecode=EPROTO",
  "raw T 0f0000006e03000000000001000000",
  "lost replies 12",
  "c2 Tclunk tag=1 fid=7",
  "c2 cut 9 Rlerror tag=1 ecode=ENOENT",
  "close",
];

async function written(make: (write: (text: string) => void) => Observer): Promise<string> {
  let text = "";
  await speak([make((more) => text += more)], SAID);
  return text;
}

function streamOf(text: string, piece: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at + piece));
      at += piece;
    },
  });
}

Deno.test("JsonLines writes lines that are as the schema says", async () => {
  const lines = (await written((write) => new JsonLines(write))).trimEnd().split("\n");
  for (const line of lines) {
    const parsed = traceLine.safeParse(JSON.parse(line));
    assert.ok(parsed.success, `${line}\n${parsed.error?.message}`);
  }
  assert.equal(lines.filter((line) => line.includes('"transaction"')).length, 10);
  const read = JSON.parse(lines.find((line) => line.includes('"Tread"')) ?? "");
  assert.equal(read.request.message.offset, "18446744073709551615");
  assert.equal(read.reply.payload, 13);
  assert.equal(read.path, '/a "b"/\udcff,');
  assert.equal(read.latency, 10_000);
  const open = JSON.parse(lines.find((line) => line.includes('"Tlopen"')) ?? "");
  assert.deepEqual(open.request.symbols, { flags: ["O_RDWR", "O_TRUNC"] });
});

Deno.test("docs/trace.schema.json is the schema by which lines are read", async () => {
  const url = new URL("../../docs/trace.schema.json", import.meta.url);
  const { $defs } = JSON.parse(await Deno.readTextFile(url));
  assert.deepEqual(
    Object.keys($defs).filter((name) => /^[BOTGFCE]/.test(name)).sort(),
    ["Begin", "Closed", "End", "Entry", "Finding", "Gap", "Opened", "Transaction"],
  );
});

for (const piece of [7, 65_536]) {
  Deno.test(`readJsonLines() tells what JsonLines wrote, in pieces of ${piece} bytes`, async () => {
    const json = await written((write) => new JsonLines(write));
    let text = "";
    let again = "";
    const frames: Frame[] = [];
    const observers: Observer[] = [
      new TextLines((more) => text += more, { verbose: true, utc: true, stamp: "tt" }),
      new JsonLines((more) => again += more),
      { frame: (frame) => void frames.push(frame) },
    ];
    const all: Observer = Object.fromEntries(
      (["begin", "opened", "frame", "transaction", "gap", "closed", "end"] as const).map((name) => [
        name,
        (...args: never[]) => {
          for (const each of observers) (each[name] as (...args: never[]) => void)?.(...args);
        },
      ]),
    );
    const report = await readJsonLines(streamOf(json, piece), all);
    assert.equal(report.firstProblem, "");
    assert.equal(again, json);
    const expected = await written((write) =>
      new TextLines(write, { verbose: true, utc: true, stamp: "tt" })
    );
    assert.equal(text, expected);
    assert.equal(frames.length, 19);
    assert.ok(frames.every(({ size, start, end }) => end - start <= size));
  });
}

Deno.test("readJsonLines() counts lines that are none, and goes on", async () => {
  const json = await written((write) => new JsonLines(write));
  const bad = [
    "{",
    "[]",
    '{"event":"opened"}',
    '{"event":"transaction"}',
    json.split("\n").find((line) => line.includes('"Tlopen"'))?.replace(
      '"flags":514',
      '"flags":-1',
    ),
    json.split("\n").find((line) => line.includes('"Twalk"'))?.replace('"Twalk"', '"Tfly"'),
  ].join("\n");
  let count = 0;
  const report = await readJsonLines(streamOf(`${bad}\n${json}`, 100), {
    transaction: () => void count++,
  });
  assert.deepEqual([report.badLines, report.lines, count], [6, json.split("\n").length - 1, 10]);
  assert.equal(report.firstProblem, "Cannot read line 1: it is no JSON");
});

/** A tree with a name that is a formula, and an escape sequence in one character that JSON leaves. */
const EVIL: readonly string[] = [
  ...HELLO,
  'Tattach tag=1 fid=9 afid=NOFID uname="" aname="=cmd|\'/c calc\'!A1\u009b2J\u202e" n_uname=0',
  "Rattach tag=1 qid=80.0.1",
  'Twalk tag=1 fid=9 newfid=10 wname=["\u009b31m"]',
  "Rwalk tag=1 wqid=[80.0.2]",
  "Tclunk tag=1 fid=10",
  "Rclunk tag=1",
  "close",
];

Deno.test("what a peer chose neither steers a terminal nor becomes a formula", async () => {
  let json = "";
  let csv = "";
  const both = [new JsonLines((more) => json += more), new CsvLines((more) => csv += more)];
  await speak(both, EVIL);
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  const steering = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/;
  assert.doesNotMatch(json, steering);
  const last = json.trimEnd().split("\n").map((line) => JSON.parse(line))
    .find(({ request }) => request?.message?.kind === "Tclunk");
  assert.match(last.path, /^=cmd\|'\/c calc'!A1\x9b2J\u202e:\/\x9b31m$/);
  assert.match(csv, /,10,"?'=cmd/);
  assert.doesNotMatch(csv, /,"?=/);
});

Deno.test("CsvLines writes a row of as many cells for each transaction", async () => {
  const rows = (await written((write) => new CsvLines(write))).trimEnd().split("\r\n");
  assert.equal(rows.length, 11);
  assert.equal(
    rows[3],
    '3,1,1,1700000000.000040000,10000,Twalk,successful,,,0,"/a ""b""/\udcff,",,,,28,35,1,' +
      '"Twalk(fid=0</>, newfid=1, [""a \\""b\\"""", ""\\udcff,""]) = ' +
      '2 [QTDIR.0.2, QTFILE.ffffffff.ffffffffffffffff]"',
  );
  const cells = (row: string): number => row.replace(/"(?:[^"]|"")*"/g, "").split(",").length;
  assert.deepEqual(new Set(rows.map(cells)), new Set([18]));
});
