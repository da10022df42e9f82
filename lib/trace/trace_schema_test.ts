/**
 * The published schema itself against the lines that are written.
 */
import assert from "node:assert/strict";
import { z } from "zod";
import { JsonLines } from "./json_lines.ts";
import { HELLO, speak } from "./spoken_test_helper.ts";
import type { Observer } from "./types.ts";

const SAID: readonly string[] = [
  ...HELLO,
  'Twalk tag=1 fid=0 newfid=1 wname=["a","b"]',
  "Rwalk tag=1 wqid=[80.0.2,0.ffffffff.ffffffffffffffff]",
  "Tlopen tag=1 fid=1 flags=O_RDWR|O_TRUNC",
  "Rlerror tag=1 ecode=EACCES",
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
  "Tread tag=5 fid=1 offset=0 count=100",
  "Tflush tag=6 oldtag=5",
  "Rflush tag=6",
  'c2 .u Tversion tag=NOTAG msize=8192 version="9P2000.u"',
  'c2 .u Rversion tag=NOTAG msize=8192 version="9P2000.u"',
  'c2 .u Tcreate tag=1 fid=1 name="x" perm=0x02000000 mode=0 extension="y"',
  'c2 .u Rerror tag=1 ename="no" errno=ENOENT',
  "close",
];

const url = new URL("../../docs/trace.schema.json", import.meta.url);
const published = z.fromJSONSchema(JSON.parse(await Deno.readTextFile(url)));

/** Lines of every event. */
async function written(): Promise<string[]> {
  let text = "";
  const lines = new JsonLines((more) => text += more);
  const withFinding: Observer = {
    closed: (conversation, time) =>
      lines.finding({
        rule: "L001",
        severity: "warning",
        conversation,
        time,
        message: "a finding",
      }),
  };
  await speak([withFinding, lines], SAID);
  return text.trimEnd().split("\n");
}

Deno.test("docs/trace.schema.json admits each line that is written", async () => {
  const events = new Set<string>();
  for (const line of await written()) {
    const value = JSON.parse(line);
    const parsed = published.safeParse(value);
    assert.ok(parsed.success, `${line}\n${parsed.error?.message}`);
    events.add(value.event);
  }
  assert.deepEqual([...events].sort(), [
    "begin",
    "closed",
    "end",
    "finding",
    "gap",
    "opened",
    "transaction",
  ]);
});

Deno.test("docs/trace.schema.json refuses lines with anything more, less or else", async () => {
  let checked = 0;
  for (const line of await written()) {
    const value = JSON.parse(line);
    assert.ok(!published.safeParse({ ...value, more: 1 }).success, `more: ${line}`);
    for (const name of Object.keys(value)) {
      if (name !== "ring") {
        const { [name]: _, ...less } = value;
        assert.ok(!published.safeParse(less).success, `no ${name}: ${line}`);
      }
      assert.ok(!published.safeParse({ ...value, [name]: [] }).success, `else ${name}: ${line}`);
      checked++;
    }
    if (value.event !== "transaction" || value.request === null) continue;
    const without = { ...value, request: { ...value.request, size: -1 } };
    assert.ok(!published.safeParse(without).success, `size: ${line}`);
  }
  assert.ok(checked > 100);
});
