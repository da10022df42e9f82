import assert from "node:assert/strict";
import { encode, type Message, NOTAG } from "../p9/mod.ts";
import { Budget, Framer } from "./framer.ts";
import type { Conversation, Gap } from "./types.ts";

const CONVERSATION: Conversation = { id: 1, transport: "tcp", client: "", server: "" };

/** What a framer tells: `117/65547+7` is type, size, and bytes at hand if not all are. */
function listen(payload = 0, budget = new Budget()): { told: string[]; framer: Framer } {
  const told: string[] = [];
  const framer = new Framer(CONVERSATION, {
    frame: ({ bytes, start, end, size, direction }) => {
      const kept = end - start === size ? "" : `+${end - start}`;
      const type = end - start > 4 ? bytes[start + 4] : "?";
      told.push(`${direction === "reply" ? "R" : "T"}${type}/${size}${kept}`);
    },
    gap: ({ lost, skipped, why, isInside }: Gap) =>
      void told.push(`gap ${lost}+${skipped} ${why}${isInside ? " inside" : ""}`),
  }, { payload, budget });
  return { told, framer };
}

function bytesOf(messages: Message[]): Uint8Array {
  return new Uint8Array(messages.flatMap((message) => [...encode(message, "9P2000.L")]));
}

const READ: Message = { kind: "Rread", tag: 3, data: new Uint8Array(1000) };
const REPLIES: Message[] = [
  { kind: "Rversion", tag: NOTAG, msize: 65536, version: "9P2000.L" },
  { kind: "Rattach", tag: 0, qid: { type: 128, version: 0, path: 1n } },
  { kind: "Rwalk", tag: 1, wqid: [{ type: 128, version: 0, path: 2n }] },
  READ,
  { kind: "Rclunk", tag: 4 },
  { kind: "Rlerror", tag: 5, ecode: 2 },
  { kind: "Rclunk", tag: 6 },
];
const ALL = ["R101/21", "R105/20", "R111/22", "R117/1011", "R121/7", "R7/11", "R121/7"];

Deno.test("Framer finds the same messages wherever the stream is cut in three", () => {
  const bytes = bytesOf(REPLIES);
  const points = [...Array(80).keys(), 500, ...Array.from({ length: 60 }, (_, i) => 1040 + i)]
    .filter((point) => point < bytes.length);
  for (const first of points) {
    for (const second of points) {
      if (second < first) continue;
      const { told, framer } = listen(Infinity);
      framer.push(true, 0, 0, bytes, 0, first, 0);
      framer.push(true, 1, 0, bytes, first, second, 0);
      framer.push(true, 2, 0, bytes, second, bytes.length, 0);
      framer.end(3);
      assert.deepEqual(told, ALL, `${first}, ${second}`);
    }
  }
});

Deno.test("Framer counts a payload in pieces and keeps what is before it", () => {
  const bytes = bytesOf([READ, { kind: "Rclunk", tag: 1 }]);
  for (let at = 0; at < bytes.length; at++) {
    const { told, framer } = listen(16);
    framer.push(true, 0, 0, bytes, 0, at, 0);
    framer.push(true, 0, 0, bytes, at, bytes.length, 0);
    const cuts = at > 0 && at < 1011;
    assert.deepEqual(told, [cuts ? "R117/1011+27" : "R117/1011", "R121/7"], `${at}`);
  }
});

Deno.test("Framer keeps in step when bytes are missing inside of a payload", () => {
  const bytes = bytesOf([READ, { kind: "Rclunk", tag: 1 }]);
  const { told, framer } = listen(Infinity);
  framer.push(true, 0, 0, bytes, 0, 100, 0);
  framer.push(true, 1, 200, bytes, 300, bytes.length, 0);
  assert.deepEqual(told, ["gap 200+0 not captured inside", "R117/1011+100", "R121/7"]);
});

Deno.test("Framer says nothing of bytes that a snapshot length cut off a payload", () => {
  const bytes = bytesOf([READ, { kind: "Rclunk", tag: 1 }]);
  const { told, framer } = listen(Infinity);
  framer.push(true, 0, 0, bytes, 0, 100, 911);
  framer.push(true, 1, 0, bytes, 1011, bytes.length, 0);
  assert.deepEqual(told, ["R117/1011+100", "R121/7"]);
});

Deno.test("Framer finds the next message after any one loss", () => {
  const bytes = bytesOf(REPLIES);
  const starts = [0, 21, 41, 63, 1074, 1081, 1092];
  let recovered = 0;
  for (let from = 0; from < bytes.length - 7; from += 3) {
    for (const length of [1, 6, 7, 20, 300, 1200]) {
      const to = from + length;
      if (to > bytes.length) continue;
      const { told, framer } = listen(0);
      framer.midstream(false); // The tags are unknown.
      framer.push(true, 0, 0, bytes, 0, from, 0);
      framer.push(true, 1, length, bytes, to, bytes.length, 0);
      framer.end(2);
      // Every message that no byte is missing of must be there.
      for (const [i, start] of starts.entries()) {
        const end = starts[i + 1] ?? bytes.length;
        if (end > from && start < to) continue;
        const frame = ALL[i] ?? "";
        const after = ALL.filter((_, j) => {
          const s = starts[j] ?? 0;
          return ALL[j] === frame && !((starts[j + 1] ?? bytes.length) > from && s < to);
        }).length;
        const have = told.filter((line) => line.replace(/\+.*/, "") === frame).length;
        assert.ok(have >= after, `${from}-${to}: ${frame} in ${told.join(", ")}`);
        recovered++;
      }
      assert.ok(told.some((line) => line.startsWith("gap")), `${from}-${to}: no gap told`);
    }
  }
  assert.ok(recovered > 1000);
});

Deno.test("Framer begins in the middle of a stream", () => {
  const bytes = bytesOf(REPLIES);
  const { told, framer } = listen();
  framer.midstream(false);
  framer.midstream(true);
  framer.push(true, 0, 0, bytes, 600, bytes.length, 0);
  assert.deepEqual(told, ["gap 0+474 mid-stream", "R121/7", "R7/11", "R121/7"]);
});

Deno.test("Framer believes a reply only if its tag is under way, as long as the tags are known", () => {
  const { told, framer } = listen();
  const request = bytesOf([{ kind: "Tclunk", tag: 9, fid: 1 }]);
  framer.push(false, 0, 0, request, 0, request.length, 0);
  const replies = bytesOf([{ kind: "Rclunk", tag: 8 }, { kind: "Rclunk", tag: 9 }]);
  framer.push(true, 1, 5, replies, 0, replies.length, 0);
  assert.deepEqual(told, ["T120/11", "gap 5+7 not captured", "R121/7"]);
});

Deno.test("Framer passes on messages of unknown type", () => {
  const { told, framer } = listen();
  const bytes = new Uint8Array([9, 0, 0, 0, 200, 1, 0, 1, 2, 7, 0, 0, 0, 121, 1, 0]);
  framer.push(true, 0, 0, bytes, 0, bytes.length, 0);
  assert.deepEqual(told, ["R200/9", "R121/7"]);
});

Deno.test("Framer gives up on what is no 9P and comes back when it is", () => {
  const { told, framer } = listen();
  framer.midstream(false);
  const text = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
  framer.push(true, 0, 0, text, 0, text.length, 0);
  const bytes = bytesOf(REPLIES);
  for (let at = 0; at < bytes.length; at++) framer.push(true, at, 0, bytes, at, at + 1, 0);
  assert.deepEqual(told[0], "gap 0+18 no message");
  assert.deepEqual(told.slice(1).map((line) => line.replace(/\+.*/, "")), ALL);
});

Deno.test("Framer keeps no more than its budget, and always the header", () => {
  const budget = new Budget(1000);
  const { told, framer } = listen(Infinity, budget);
  const bytes = bytesOf([{ kind: "Rread", tag: 1, data: new Uint8Array(5000) }]);
  for (let at = 0; at < bytes.length; at += 100) {
    framer.push(true, 0, 0, bytes, at, Math.min(at + 100, bytes.length), 0);
  }
  const [, kept] = /^R117\/5011\+(\d+)$/.exec(told[0] ?? "") ?? [];
  assert.ok(Number(kept) >= 64 && Number(kept) <= 1000, told[0]);
  framer.end(1);
  assert.equal(budget.left, 1000);
});

Deno.test("Framer tells of what had begun when it ends", () => {
  const { told, framer } = listen(Infinity);
  const bytes = bytesOf([READ]);
  framer.push(true, 0, 0, bytes, 0, 50, 0);
  framer.push(false, 0, 0, bytes, 0, 3, 0);
  framer.end(1);
  assert.deepEqual(told, ["gap 0+3 not captured", "R117/1011+50"]);
});
