import assert from "node:assert/strict";
import {
  formatMessage,
  type Message,
  messageFromJson,
  messageToJson,
  parseMessage,
} from "./mod.ts";

const refused: [what: string, line: string, why: RegExp][] = [
  ["an empty line", "", /no kind ""/],
  ["an unknown message", "Tfoo tag=1", /no kind "Tfoo"/],
  ["a message that is never sent", "Tlerror tag=1", /no kind "Tlerror"/],
  ["a field that is missing", "Tclunk tag=1", /no "fid"/],
  ["a field of another message", "Tclunk tag=1 fid=2 offset=3", /has no "offset"/],
  ["a field twice", "Tclunk tag=1 fid=2 fid=2", /"fid" twice/],
  ["a word without a value", "Tclunk tag=1 fid", /no key=value at column 13/],
  ["a number too large", "Tclunk tag=65536 fid=1", /"tag": 65536/],
  ["a negative number", "Tclunk tag=1 fid=-1", /"-1"/],
  ["a fraction", "Tclunk tag=1 fid=1.5", /"1.5"/],
  ["an unknown flag", "Tlopen tag=1 fid=1 flags=O_FOO", /"O_FOO"/],
  ["a flag of the prototype", "Tlopen tag=1 fid=1 flags=toString", /"toString"/],
  ["an error of the prototype", "Rlerror tag=1 ecode=valueOf", /"valueOf"/],
  ["a string without quotes", "Rreadlink tag=1 target=a", /"target"/],
  ["a string without an end", 'Rreadlink tag=1 target="a', /"target"/],
  ["a number for a string", "Rreadlink tag=1 target=1", /not a string/],
  ["bytes without 0x", "Rread tag=1 data=68", /no 0x/],
  ["half a byte", "Rread tag=1 data=0x6", /pairs of hex/],
  ["a qid of two parts", "Rattach tag=1 qid=80.1", /type\.version\.path/],
  ["a qid too large", "Rattach tag=1 qid=100.0.0", /"qid.type"/],
  ["a list that is none", 'Twalk tag=1 fid=1 newfid=2 wname="a"', /not a list/],
  ["a list of numbers", "Twalk tag=1 fid=1 newfid=2 wname=[1]", /not a list of strings/],
];

for (const [what, line, why] of refused) {
  Deno.test(`parseMessage() refuses ${what}`, () => {
    assert.throws(() => parseMessage(line), (error: unknown) => {
      assert.ok(error instanceof SyntaxError);
      assert.match(error.message, why);
      return true;
    });
  });
}

const accepted: [what: string, line: string, canonical: string][] = [
  ["any order", "Tclunk fid=2 tag=1", "Tclunk tag=1 fid=2"],
  ["any spacing", "  Tclunk \t tag=1   fid=2\n", "Tclunk tag=1 fid=2"],
  [
    "numbers of any base",
    "Tread tag=0x1 fid=02 offset=0o10 count=8",
    "Tread tag=1 fid=2 offset=8 count=8",
  ],
  ["numbers for names", "Rlerror tag=1 ecode=2", "Rlerror tag=1 ecode=ENOENT"],
  ["an error without a name", "Rlerror tag=1 ecode=4294967295", "Rlerror tag=1 ecode=4294967295"],
  ["second names of errors", "Rlerror tag=1 ecode=ENOTSUP", "Rlerror tag=1 ecode=EOPNOTSUPP"],
  [
    "flags without names",
    "Tlopen tag=1 fid=1 flags=O_RDWR|0x80000000",
    "Tlopen tag=1 fid=1 flags=O_RDWR|0x80000000",
  ],
  ["access mode 3", "Tlopen tag=1 fid=1 flags=0x3", "Tlopen tag=1 fid=1 flags=0x3"],
  [
    "a lock type of nobody",
    'Rgetlock tag=1 type=7 start=0 length=0 proc_id=0 client_id=""',
    'Rgetlock tag=1 type=0x7 start=0 length=0 proc_id=0 client_id=""',
  ],
  [
    "fields of .u left out",
    'Tattach tag=1 fid=0 afid=NOFID uname="" aname=""',
    'Tattach tag=1 fid=0 afid=NOFID uname="" aname="" n_uname=NONUNAME',
  ],
  [
    "brackets and spaces in names",
    'Twalk tag=1 fid=0 newfid=1 wname=["a ]\\" b", "["]',
    'Twalk tag=1 fid=0 newfid=1 wname=["a ]\\" b","["]',
  ],
  [
    "escape sequences, escaped",
    'Rreadlink tag=1 target="\u001b[\u009b\u202e\u007f"',
    'Rreadlink tag=1 target="\\u001b[\\u009b\\u202e\\u007f"',
  ],
];

for (const [what, line, canonical] of accepted) {
  Deno.test(`parseMessage() takes ${what}`, () => {
    const text = what.startsWith("escape") ? line.replace("\u001b", "\\u001b") : line;
    assert.equal(formatMessage(parseMessage(text)), canonical);
  });
}

Deno.test("a payload of a megabyte survives text and JSON", () => {
  const data = new Uint8Array(1 << 20).fill(0xab);
  const message: Message = { kind: "Rread", tag: 1, data };
  assert.deepEqual(parseMessage(formatMessage(message)), message);
  assert.deepEqual(messageFromJson(messageToJson(message)), message);
  const target = "é ".repeat(20_000);
  const link: Message = { kind: "Rreadlink", tag: 1, target };
  assert.deepEqual(parseMessage(formatMessage(link)), link);
});

const notMessages: [what: string, json: unknown, why: RegExp][] = [
  ["null", null, /not an object/],
  ["a list", [], /not an object/],
  ["a kind that is no string", { kind: 1 }, /not an object with a "kind"/],
  ["an unknown kind", { kind: "toString", tag: 1 }, /no kind "toString"/],
  ["a field that is missing", { kind: "Tclunk", tag: 1 }, /no "fid"/],
  [
    "a field inherited",
    Object.assign(Object.create({ fid: 1 }), { kind: "Tclunk", tag: 1 }),
    /no "fid"/,
  ],
  ["a field too many", { kind: "Tclunk", tag: 1, fid: 1, x: 1 }, /has no "x"/],
  ["a number too large", { kind: "Tclunk", tag: 1, fid: 2 ** 32 }, /"fid"/],
  ["a number below zero", { kind: "Tclunk", tag: -1, fid: 1 }, /"tag"/],
  ["a number past 2^53", { kind: "Tread", tag: 1, fid: 1, offset: 2 ** 53, count: 1 }, /"offset"/],
  [
    "a u64 too large",
    { kind: "Tread", tag: 1, fid: 1, offset: "18446744073709551616", count: 1 },
    /"offset"/,
  ],
  ["hex of odd length", { kind: "Rread", tag: 1, data: "abc" }, /"data"/],
  ["a qid without a path", { kind: "Rattach", tag: 1, qid: { type: 0, version: 0 } }, /"qid.path"/],
  ["a list of numbers", { kind: "Twalk", tag: 1, fid: 1, newfid: 1, wname: [1] }, /"wname"/],
];

for (const [what, json, why] of notMessages) {
  Deno.test(`messageFromJson() refuses ${what}`, () => {
    assert.throws(() => messageFromJson(json), (error: unknown) => {
      assert.ok(error instanceof SyntaxError);
      assert.match(error.message, why);
      return true;
    });
  });
}

Deno.test("messageToJson() keeps numbers of 53 bits numbers", () => {
  const message: Message = { kind: "Tread", tag: 1, fid: 1, offset: (1n << 53n) - 1n, count: 1 };
  assert.equal(messageToJson(message).offset, Number.MAX_SAFE_INTEGER);
  assert.equal(messageToJson({ ...message, offset: 1n << 53n }).offset, "9007199254740992");
});
