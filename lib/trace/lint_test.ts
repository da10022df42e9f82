import assert from "node:assert/strict";
import { encodeDirentInto, type Message, Wire } from "../p9/mod.ts";
import { Lint } from "./lint.ts";
import { HELLO, play, playOn, type Said, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { explainRule, listRules, RULE_NAMES, type RuleName } from "./rules.ts";
import type { Finding, Observer } from "./types.ts";

/** Beginning of a conversation against which no rule has anything. */
const FINE: readonly Said[] = [
  [0, 'Tversion tag=NOTAG msize=131096 version="9P2000.L"'],
  [100, 'Rversion tag=NOTAG msize=131096 version="9P2000.L"'],
  ...HELLO.slice(2),
];
const WALK: readonly Said[] = [
  [400, 'Twalk tag=1 fid=0 newfid=1 wname=["f"]'],
  [500, "Rwalk tag=1 wqid=[0.0.2]"],
];
const OPEN: readonly Said[] = [
  ...WALK,
  [600, "Tlopen tag=1 fid=1 flags=O_RDWR"],
  [700, "Rlopen tag=1 qid=0.0.2 iounit=0"],
];
const BYE: readonly Said[] = [
  [9_000_000, "Tclunk tag=1 fid=1"],
  [9_000_100, "Rclunk tag=1"],
  [9_000_200, "Tclunk tag=1 fid=0"],
  [9_000_300, "Rclunk tag=1"],
];

function times(count: number, each: (i: number) => readonly Said[]): Said[] {
  return Array.from({ length: count }, (_, i) => each(i)).flat();
}

const read = (tag: number, length: number): Message => ({
  kind: "Rread",
  tag,
  data: new Uint8Array(length),
});

const write = (offset: number, length: number): Message => ({
  kind: "Twrite",
  tag: 1,
  fid: 1,
  offset: BigInt(offset),
  data: new Uint8Array(length),
});

function listing(cut: number): Message {
  const data = new Uint8Array(26);
  const qid = { type: 0, version: 0, path: 1n };
  encodeDirentInto({ qid, offset: 1n, type: 8, name: "ab" }, new Wire(data), 0);
  return { kind: "Rreaddir", tag: 1, data: data.subarray(0, 26 - cut) };
}

const ATTRIBUTES =
  "Rgetattr tag=1 valid=GETATTR_BASIC qid=0.0.2 mode=0100644 uid=0 gid=0 nlink=1 " +
  "rdev=0 size=1 blksize=1 blocks=1 atime_sec=0 atime_nsec=0 mtime_sec=0 mtime_nsec=0 " +
  "ctime_sec=0 ctime_nsec=0 btime_sec=0 btime_nsec=0 gen=0 data_version=0";

/** For each rule a conversation that breaks it and no other. */
const BREAKS: Partial<Record<RuleName, readonly Said[]>> = {
  L001: [...FINE, ...WALK, [800, "Rclunk tag=7"], ...BYE],
  L002: [
    ...FINE,
    ...OPEN,
    [800, "Tread tag=5 fid=1 offset=0 count=10"],
    [900, "Tread tag=5 fid=1 offset=10 count=10"],
    [950, read(5, 10)],
    ...BYE,
  ],
  L003: [...FINE, ...WALK, [800, "Tfsync tag=1 fid=1 datasync=0"], [
    900,
    "Rstatfs tag=1 type=0 bsize=0 blocks=0 bfree=0 bavail=0 files=0 ffree=0 fsid=0 namelen=0",
  ], ...BYE],
  L004: [
    ...FINE,
    ...OPEN,
    [800, "Tread tag=1 fid=1 offset=0 count=10"],
    [900, read(1, 11)],
    ...BYE,
  ],
  L005: [
    ...FINE,
    ...OPEN,
    [800, "Tread tag=1 fid=1 offset=0 count=131090"],
    [900, read(1, 131090)],
    ...BYE,
  ],
  L006: [
    ...FINE,
    ...OPEN,
    [800, "Treaddir tag=1 fid=1 offset=0 count=100000"],
    [900, listing(1)],
    ...BYE,
  ],
  L009: [...FINE, ...WALK, ...BYE, [9_100_000, "Tstatfs tag=1 fid=1"], [
    9_100_100,
    "Rstatfs tag=1 type=0 bsize=0 blocks=0 bfree=0 bavail=0 files=0 ffree=0 fsid=0 namelen=0",
  ]],
  L010: [...FINE, ...WALK, [600, 'Twalk tag=1 fid=0 newfid=1 wname=["g"]'], [
    700,
    "Rwalk tag=1 wqid=[0.0.3]",
  ], ...BYE],
  L011: [...FINE, ...WALK, [600, 'Twalk tag=1 fid=0 newfid=2 wname=["g"]'], [
    700,
    "Rwalk tag=1 wqid=[0.0.3,0.0.4]",
  ], ...BYE],
  L012: [[0, 'Tversion tag=NOTAG msize=100000 version="9P2000.L"'], [
    100,
    'Rversion tag=NOTAG msize=200000 version="9P2000.L"',
  ]],
  L013: [...FINE, ...WALK, ...BYE, [9_100_000, "Tstatfs tag=1 fid=1"]],
  L014: [...FINE, ...WALK],
  L015: [
    ...FINE,
    ...WALK,
    [600, "Tstatfs tag=NOTAG fid=1"],
    [700, "Rlerror tag=NOTAG ecode=EIO"],
    ...BYE,
  ],
  L017: [
    ...FINE,
    ...WALK,
    [800, "Tread tag=1 fid=1 offset=0 count=10"],
    [900, read(1, 10)],
    ...BYE,
  ],
  L021: [...HELLO, ...WALK, ...BYE],
  L022: [
    ...FINE,
    ...OPEN,
    ...times(20, (i): Said[] => [
      [1000 + i * 10, `Tread tag=1 fid=1 offset=${i * 4096} count=4096`],
      [1005 + i * 10, read(1, 4096)],
    ]),
    ...BYE,
  ],
  L023: [
    ...FINE,
    ...OPEN,
    ...times(20, (i): Said[] => [
      [1000 + i * 10, write(i * 4096, 4096)],
      [1005 + i * 10, "Rwrite tag=1 count=4096"],
    ]),
    ...BYE,
  ],
  L024: [
    ...FINE,
    ...WALK,
    ...times(60, (i): Said[] => [
      [1000 + i * 100, `Twalk tag=1 fid=0 newfid=2 wname=["n${i}"]`],
      [1010 + i * 100, "Rwalk tag=1 wqid=[0.0.2]"],
      [1020 + i * 100, "Tgetattr tag=1 fid=2 request_mask=GETATTR_BASIC"],
      [1030 + i * 100, ATTRIBUTES],
      [1040 + i * 100, "Tclunk tag=1 fid=2"],
      [1050 + i * 100, "Rclunk tag=1"],
    ]),
    ...BYE,
  ],
  L025: [
    ...FINE,
    ...WALK,
    ...times(30, (i): Said[] => [
      [1020 + i * 100, "Tgetattr tag=1 fid=1 request_mask=GETATTR_BASIC"],
      [1030 + i * 100, ATTRIBUTES],
    ]),
    ...BYE,
  ],
  L026: [
    ...FINE,
    ...WALK,
    ...times(30, (i): Said[] => [
      [1020 + i * 100, 'Twalk tag=1 fid=0 newfid=2 wname=["libc.so"]'],
      [1030 + i * 100, "Rlerror tag=1 ecode=ENOENT"],
    ]),
    ...BYE,
  ],
  L027: [
    ...FINE,
    ...OPEN,
    ...times(300, (i): Said[] => [
      [1000 + i * 10, `Tread tag=1 fid=1 offset=${i * 65536} count=65536`],
      [1005 + i * 10, read(1, 65536)],
    ]),
    ...BYE,
  ],
  L028: [
    ...FINE,
    ...OPEN,
    ...times(3, (i): Said[] => [
      [1000 + i * 10, `Treaddir tag=1 fid=1 offset=${i} count=4096`],
      [1005 + i * 10, listing(0)],
    ]),
    ...BYE,
  ],
  L029: [
    ...FINE,
    ...WALK,
    [600, "Tfsync tag=1 fid=1 datasync=0"],
    [2_000_000, "Rfsync tag=1"],
    ...BYE,
  ],
  L030: [
    ...FINE,
    ...OPEN,
    ...times(20, (i): Said[] => [
      [1000 + i * 10, write(0, 100)],
      [1002 + i * 10, "Rwrite tag=1 count=100"],
      [1004 + i * 10, "Tfsync tag=1 fid=1 datasync=0"],
      [1006 + i * 10, "Rfsync tag=1"],
    ]),
    ...BYE,
  ],
};

/** Rules that the conversations of the helper cannot break; each has a test of its own. */
const OTHERWISE: readonly RuleName[] = ["L007", "L008", "L016"];

async function findings(said: readonly Said[]): Promise<Finding[]> {
  const found: Finding[] = [];
  await play([new Lint((finding) => found.push(finding))], said);
  return found;
}

Deno.test("Lint has nothing against a conversation in order", async () => {
  const said: readonly Said[] = [
    ...FINE,
    ...OPEN,
    [800, "Tread tag=1 fid=1 offset=0 count=100000"],
    [900, read(1, 100000)],
    [1000, "Treaddir tag=1 fid=1 offset=0 count=100000"],
    [1100, listing(0)],
    // The first one is answered after the fid is gone: it was there when it was asked.
    [1200, "Tread tag=2 fid=1 offset=0 count=10"],
    [1210, "Tclunk tag=1 fid=1"],
    [1220, "Rclunk tag=1"],
    [1230, read(2, 10)],
    [1300, "Tclunk tag=1 fid=0"],
    [1310, "Rclunk tag=1"],
  ];
  assert.deepEqual(await findings(said), []);
});

Deno.test("Lint has a test for each rule", () => {
  const tested = [...Object.keys(BREAKS), ...OTHERWISE].sort();
  assert.deepEqual(tested, [...RULE_NAMES]);
});

for (const [rule, said] of Object.entries(BREAKS)) {
  Deno.test(`Lint finds ${rule} and nothing else`, async () => {
    const found = await findings(said);
    assert.ok(found.length > 0);
    const others = found.filter((each) => each.rule !== rule).map(({ message }) => message);
    // A tag that is used twice leaves a request without its reply.
    const allowed = rule === "L002" ? /request without a reply/ : /^$/;
    for (const other of others) assert.match(other, allowed);
  });
}

Deno.test("Lint finds L007: a reply after Rflush", () => {
  const found: Finding[] = [];
  const lint = new Lint((finding) => found.push(finding));
  const half = {
    time: 5,
    size: 7,
    type: 121,
    message: null,
    malformed: null,
    bytes: new Uint8Array(),
  };
  const common = { conversation: TCP_CONVERSATION, tag: 9, depth: 1, paths: new Map(), errno: 0 };
  playOn([{ ...observing(lint), closed: () => {} }], FINE);
  lint.transaction({ ...common, number: 9, request: half, reply: null, outcome: "flushed" });
  lint.transaction({ ...common, number: 10, request: null, reply: half, outcome: "unasked" });
  assert.deepEqual(found.map(({ rule }) => rule), ["L007"]);
  assert.ok(lint.fails("error"));
});

/** The methods of an observer as properties, to be replaced one by one. */
function observing(lint: Lint): Observer {
  return {
    frame: (frame) => lint.frame(frame),
    transaction: (transaction) => lint.transaction(transaction),
  };
}

Deno.test("Lint finds L008 and L016: malformed messages and used lengths", () => {
  const found: Finding[] = [];
  const lint = new Lint((finding) => found.push(finding), ["L003"]);
  const malformed = {
    kind: "malformed",
    fault: "string-past-end",
    offset: 7,
    type: 110,
    tag: 1,
    message: "Cannot decode Twalk",
  } as const;
  const half = { time: 5, size: 7, type: 110, message: null, malformed, bytes: new Uint8Array() };
  lint.transaction({
    number: 1,
    conversation: TCP_CONVERSATION,
    tag: 1,
    request: half,
    reply: { ...half, type: 111, malformed: null },
    outcome: "answered",
    depth: 1,
    paths: new Map(),
    errno: 0,
    ring: { taken: 1, used: 2, usedLength: 8 },
  });
  assert.deepEqual(found.map(({ rule }) => rule), ["L008", "L016"]);
  assert.deepEqual([lint.fails("note"), lint.fails("L016"), lint.fails("L001")], [
    true,
    true,
    false,
  ]);
});

Deno.test("Lint is silent about fids and tags after a gap", () => {
  const found: Finding[] = [];
  const lint = new Lint((finding) => found.push(finding));
  playOn([{ ...observing(lint), closed: () => {} }], [...FINE, ...WALK]);
  const gap = { lost: 1, skipped: 0, why: "not captured", isInside: false } as const;
  lint.gap({ ...gap, conversation: TCP_CONVERSATION, direction: "reply", time: 1000 });
  playOn([lint], [
    [2000, "Tstatfs tag=1 fid=77"],
    [2100, "Rlerror tag=1 ecode=EIO"],
    [2200, "Tread tag=1 fid=78 offset=0 count=1"],
    [2300, read(1, 1)],
    [2400, "Rclunk tag=3"],
  ]);
  assert.deepEqual(found, []);
});

Deno.test("Lint tells a bounded number of findings, and how many more there are", () => {
  const found: Finding[] = [];
  const lint = new Lint((finding) => found.push(finding));
  lint.end(playOn([lint], [...FINE, ...times(500, (i): Said[] => [[1000 + i, "Rclunk tag=3"]])]));
  const same = found.filter(({ rule }) => rule === "L001");
  assert.equal(same.length, 21);
  assert.match(same.at(-1)?.message ?? "", /480 more/);
  assert.equal(lint.counts.get("L001"), 500);
});

Deno.test("Lint follows a bounded number of fids", () => {
  const lint = new Lint(() => {});
  playOn([lint], FINE.slice(0, 2));
  const walk = (newfid: number): Said[] => [
    [1000, { kind: "Twalk", tag: 1, fid: 0, newfid, wname: [] }],
    [1001, { kind: "Rwalk", tag: 1, wqid: [] }],
  ];
  playOn([{ ...observing(lint), closed: () => {} }], [...FINE, ...times(70_000, walk)]);
  assert.equal(lint.fails("error"), false);
});

Deno.test("explainRule() tells what a rule is about within the width", () => {
  for (const name of RULE_NAMES) {
    const text = explainRule(name, 72);
    assert.match(
      text,
      new RegExp(`^${name} \\((error|warning|note)\\): .+\n\n[^]+\nWhat to do: .+`),
    );
    for (const line of text.split("\n")) assert.ok(line.length <= 76, line);
  }
  assert.equal(listRules().split("\n").length - 1, RULE_NAMES.length);
});
