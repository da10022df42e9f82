import assert from "node:assert/strict";
import { filterOf, type FilterWords } from "./filter.ts";
import { HELLO, transactionsOf } from "./spoken_test_helper.ts";

const SAID: readonly string[] = [
  ...HELLO,
  'Twalk tag=1 fid=0 newfid=1 wname=["etc","motd"]',
  "Rwalk tag=1 wqid=[80.0.2,0.0.3]",
  "Tlopen tag=1 fid=1 flags=O_RDONLY|O_NOFOLLOW",
  "Rlopen tag=1 qid=0.0.3 iounit=0",
  "Tread tag=1 fid=1 offset=0 count=100",
  "Rread tag=1 data=0x6869",
  'Twalk tag=1 fid=0 newfid=2 wname=["tmp"]',
  "Rlerror tag=1 ecode=ENOENT",
  'Trenameat tag=1 olddirfid=0 oldname="etc" newdirfid=0 newname="usr"',
  "Rlerror tag=1 ecode=EACCES",
  "Tgetattr tag=2 fid=1 request_mask=GETATTR_BASIC",
  'c2 Tversion tag=NOTAG msize=4096 version="9P2000.L"',
  'c2 Rversion tag=NOTAG msize=4096 version="9P2000.L"',
];
const ALL = "Tversion Tattach Twalk Tlopen Tread Twalk Trenameat Tversion Tgetattr";

const cases: readonly [words: FilterWords, names: string][] = [
  [{ expressions: ["trace=all"] }, ALL],
  [{ expressions: ["trace=none"] }, ""],
  [{ expressions: ["trace=Tread,walk"] }, "Twalk Tread Twalk"],
  [{ expressions: ["!Tread,walk"] }, "Tversion Tattach Tlopen Trenameat Tversion Tgetattr"],
  [{ expressions: ["%meta,%session"] }, "Tversion Tattach Tversion Tgetattr"],
  [{ expressions: ["trace=/^T(re|l)/"] }, "Tlopen Tread Trenameat"],
  [{ expressions: ["trace=/T.{4},?$/,Tlopen"] }, "Twalk Tlopen Tread Twalk"],
  [{ expressions: ["?Tfuture,Tread"] }, "Tread"],
  [{ expressions: ["%walk", "status=failed"] }, "Twalk"],
  [{ paths: ["/etc/motd"] }, "Twalk Tlopen Tread Tgetattr"],
  [{ paths: ["/etc/**"] }, "Twalk Tlopen Tread Tgetattr"],
  [{ paths: ["/*"] }, "Twalk Trenameat"],
  [{ paths: ["**/m?td"] }, "Twalk Tlopen Tread Tgetattr"],
  [{ paths: ["/[u-v]sr"] }, "Trenameat"],
  [{ paths: ["/[!u]sr"] }, ""],
  [{ status: ["failed", "unfinished"] }, "Twalk Trenameat Tgetattr"],
  [{ status: ["successful"] }, "Tversion Tattach Twalk Tlopen Tread Tversion"],
  [{ errno: ["ENOENT"] }, "Twalk"],
  [{ errno: ["13", "ENOENT"] }, "Twalk Trenameat"],
  [{ slower: 10_000 }, "Tversion Tattach Twalk Tlopen Tread Twalk Trenameat Tversion"],
  [{ slower: 10_001 }, ""],
  [{ conversations: ["c2"] }, "Tversion"],
  [{ display: "9p.fid == 1" }, "Tlopen Tread Tgetattr"],
  [{ display: "9p.newfid == 2 or 9p.msgtype == Tread" }, "Tread Twalk"],
  [{ display: "9p.msgtype in {Tread, 12}" }, "Tlopen Tread"],
  [{ display: '9p.wname contains "mot"' }, "Twalk"],
  [{ display: '9p.wname matches "^MOTD$" || 9p.maxsize < 0x2000' }, "Twalk Tversion"],
  [{ display: "9p && !(9p.tag == 1) && !9p.version" }, "Tattach Tgetattr"],
  [{ display: "9p.enum == ENOENT" }, "Twalk"],
  [{ display: "9p.errno >= 13" }, "Trenameat"],
  [{ display: "9p.statmode & O_NOFOLLOW" }, "Tlopen"],
  [{ display: "9p.flags == O_NOFOLLOW" }, "Tlopen"],
  [{ display: "9p.qidpath eq 3" }, "Twalk Tlopen"],
  [{ display: "9p.count == 2" }, "Tread"],
  [{ display: "9p.nwalk != 2 and 9p.nwalk" }, "Twalk"],
  [{ display: '9p.path == "/etc/motd" and 9p.offset == 0' }, "Tread"],
  [{ display: "9p.time >= 0.00001 && 9p.time < 0.001 && 9p.iounit" }, "Tlopen"],
];

for (
  const [words, names] of cases.filter(([{ display }]) => display?.includes("9p.read") !== true)
) {
  Deno.test(`filterOf(${JSON.stringify(words)}) passes ${names === "" ? "nothing" : names}`, async () => {
    const filter = filterOf(words);
    const passed = (await transactionsOf(SAID)).filter((each) => filter?.(each) ?? true);
    assert.equal(passed.map(({ request }) => request?.message?.kind).join(" "), names);
  });
}

const wrong: readonly [words: FilterWords, message: string][] = [
  [
    { expressions: ["trace=Tred"] },
    '-e trace has "Tred", which is no T-message; did you mean Tread?',
  ],
  [{ expressions: ["inject=Tread"] }, '-e takes trace=… and status=…, not "inject=…"'],
  [{ expressions: ["%everything"] }, '-e trace has "%everything"; the groups are: '],
  [{ expressions: ["/(/"] }, "-e trace=/(/ is no regular expression"],
  [{ expressions: ["/abc"] }, "-e trace=/abc is no pattern: it does not end with /"],
  [{ expressions: ["Tread,,Twrite"] }, "-e trace=Tread,,Twrite is no list"],
  [{ status: ["good"] }, '--status has "good"; there are: successful'],
  [{ errno: ["ENOTHING"] }, '--errno has "ENOTHING", which is no error'],
  [{ conversations: ["x"] }, '--conn has "x", which is no conversation'],
  [{ paths: ["/[z-a]"] }, '-P has "/[z-a]", which is no pattern'],
  [{ display: "tcp.port == 564" }, '-Y has "tcp.port", which is no field'],
  [{ display: "9p.fid == " }, "-Y has no value for 9p.fid"],
  [{ display: "9p.fid == 1)" }, '-Y has ")" where it should end'],
  [{ display: "(9p.fid" }, '-Y lacks a ")"'],
  [{ display: "9p.fid in 3" }, '-Y has no "{" after "in"'],
  [{ display: '9p.wname matches "("' }, '-Y has "(", which is no regular expression'],
  [{ display: "9p.fid == $" }, '-Y cannot be read at "$"'],
  [{ display: "!".repeat(1000) + "9p" }, "-Y is nested too deeply"],
  [{ display: "9p.time > soon" }, '-Y compares 9p.time with "soon"'],
];

for (const [words, message] of wrong) {
  Deno.test(`filterOf(${JSON.stringify(words).slice(0, 60)}) says what is wrong`, () => {
    assert.throws(
      () => filterOf(words),
      (error: Error) => error.name === "UsageError" && error.message.startsWith(message),
    );
  });
}
