import assert from "node:assert/strict";
import { diffCaptures, diffLines, Digest, formatDifference } from "./diff.ts";
import { HELLO, play, type Said } from "./observed_test_helper.ts";

/** Applies a difference to both sides: what is left must be what went in. */
function check(first: string[], second: string[]): number {
  const lines = diffLines(first, second);
  const side = (without: string) =>
    lines.filter(({ side }) => side !== without).map(({ text }) => text);
  assert.deepEqual(side("second"), first);
  assert.deepEqual(side("first"), second);
  return lines.filter(({ side }) => side !== "both").length;
}

Deno.test("diffLines() finds the least number of changes", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["abc", "abc", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["abcabba", "cbabac", 5],
    ["abcdef", "abXdef", 2],
    ["xaxbxc", "abc", 3],
    ["abc", "xyz", 6],
  ];
  for (const [a, b, changes] of cases) assert.equal(check([...a], [...b]), changes, `${a} ${b}`);
});

Deno.test("diffLines() gives back both sides of any two lists", () => {
  let state = 1;
  const random = (most: number): number => {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    return (state >>> 16) % most;
  };
  for (let round = 0; round < 300; round++) {
    const list = () => Array.from({ length: random(20) }, () => String(random(4)));
    check(list(), list());
  }
});

Deno.test("diffLines() of lists that have nothing in common ends soon", () => {
  const list = (name: string) => Array.from({ length: 20_000 }, (_, i) => `${name}${i}`);
  assert.equal(check(list("a"), list("b")), 40_000);
});

const WORK: readonly Said[] = [
  ...HELLO,
  [400, 'Twalk tag=1 fid=0 newfid=1 wname=["file"]'],
  [500, "Rwalk tag=1 wqid=[0.0.2]"],
  [600, "Tread tag=1 fid=1 offset=0 count=10"],
  [700, { kind: "Rread", tag: 1, data: new Uint8Array(10) }],
];

async function digest(said: readonly Said[]): Promise<Digest> {
  const digest = new Digest();
  await play([digest], said);
  return digest;
}

Deno.test("diffCaptures() leaves out tags, fids, times and inode numbers", async () => {
  const other: readonly Said[] = WORK.map(([time, said]): Said =>
    typeof said === "string"
      ? [
        time * 3,
        said.replace("tag=1", "tag=9").replace("newfid=1", "newfid=77").replace("fid=1", "fid=77")
          .replace("0.0.2", "0.5.99"),
      ]
      : [time * 3, { kind: "Rread", tag: 9, data: new Uint8Array(10) }]
  );
  const [a, b] = [await digest(WORK), await digest(other)];
  const difference = diffCaptures(a, b);
  assert.deepEqual([difference.changes, difference.same], [0, 4]);
  assert.match(
    formatDifference(difference, a, b),
    /3\.0\d .*Tread\n[^]*4 transactions, no difference/,
  );
});

Deno.test("diffCaptures() finds other results and other contents", async () => {
  const other = [...WORK];
  other[5] = [500, "Rlerror tag=1 ecode=ENOENT"];
  other[7] = [700, { kind: "Rread", tag: 1, data: new Uint8Array(10).fill(1) }];
  const [a, b] = [await digest(WORK), await digest(other)];
  const difference = diffCaptures(a, b);
  assert.equal(difference.changes, 4);
  const text = formatDifference(difference, a, b);
  assert.match(text, /^@@ c1, transaction 1 @@\n/);
  assert.match(text, /\n- Twalk\(<\/>, wname=\["file"\]\) = Rwalk\(wqid=0\)\n/);
  assert.match(text, /\n\+ Twalk\(<\/>, wname=\["file"\]\) = -ENOENT\n/);
  assert.match(text, /2 transactions are the same, 4 are not/);
});
