import assert from "node:assert/strict";
import { NOFID, NOTAG, type TMessage } from "../p9/mod.ts";
import { captureOf, casesOfCapture } from "./capture.ts";
import { ANAME, type Step } from "./case.ts";

const MESSAGES: TMessage[] = [
  { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" },
  { kind: "Tattach", tag: 1, fid: 0, afid: NOFID, uname: "root", aname: ANAME, n_uname: 0 },
  { kind: "Tstatfs", tag: 1, fid: 0 },
];

Deno.test("a case comes back from its capture, but for who waited", async () => {
  const steps = [0, 1].flatMap((connection) =>
    MESSAGES.map((content): Step => ({ connection, content, isJoined: false }))
  );
  const cases = await casesOfCapture(ReadableStream.from([captureOf(steps, "tree")]));
  // Nothing was answered in it.
  const wanted = MESSAGES.map((content, i) => ({ connection: 0, content, isJoined: i < 2 }));
  assert.deepEqual(cases, [wanted, wanted]);
});

Deno.test("casesOfCapture() takes what clients sent, one after another", async () => {
  using file = await Deno.open(new URL("../../test/transcripts/files.pcap", import.meta.url));
  const cases = await casesOfCapture(file);
  assert.ok(cases.length > 0);
  for (const steps of cases) {
    assert.ok(steps.length > 3);
    for (const { content } of steps) {
      assert.ok(!(content instanceof Uint8Array) && content.kind.startsWith("T"));
      if (content.kind === "Tattach") assert.equal(content.aname, ANAME);
    }
  }
  assert.ok(cases.some((steps) => steps.some(({ isJoined }) => !isJoined)));
});

Deno.test("casesOfCapture() refuses what is no capture", async () => {
  const source = ReadableStream.from([new Uint8Array(100).fill(65)]);
  await assert.rejects(casesOfCapture(source), /no known format/);
});
