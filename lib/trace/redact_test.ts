import assert from "node:assert/strict";
import fc from "fast-check";
import { arbitraryMessage } from "../p9/arbitrary_test_helper.ts";
import {
  decode,
  decodeDirents,
  encode,
  encodeDirentInto,
  encodeStat,
  kindsOf,
  type Message,
  parseMessage,
  Wire,
} from "../p9/mod.ts";
import { TCP_CONVERSATION } from "./observed_test_helper.ts";
import { Redact } from "./redact.ts";
import type { Frame } from "./types.ts";

const anyMessage = fc.oneof(
  ...kindsOf("9P2000.L").map((kind) => arbitraryMessage(kind, "9P2000.L")),
);
const KEY = new Uint8Array(32);

function frameOf(bytes: Uint8Array, cut = 0): Frame {
  return {
    conversation: { ...TCP_CONVERSATION, transport: "unix", server: "/run/secret.sock" },
    direction: "request",
    time: 0,
    size: bytes.length,
    bytes,
    start: 0,
    end: bytes.length - cut,
  };
}

function redacted(bytes: Uint8Array, names = true, data = true, cut = 0): Frame {
  const frames: Frame[] = [];
  const redact = new Redact({ frame: (frame) => frames.push(frame) }, { names, data, key: KEY });
  redact.frame(frameOf(bytes, cut));
  const [frame] = frames;
  assert.ok(frame !== undefined);
  return frame;
}

function through(message: Message | string, names = true, data = true): Message {
  const sent = typeof message === "string" ? parseMessage(message) : message;
  const frame = redacted(encode(sent, "9P2000.L"), names, data);
  assert.equal(frame.size, frame.end);
  return decode(frame.bytes, "9P2000.L");
}

const secret = (frame: Frame): boolean =>
  new TextDecoder("latin1").decode(frame.bytes).includes("secret");

Deno.test("Redact gives a name the same pseudonym everywhere", () => {
  const name = new Redact({}, { names: true, data: true, key: KEY }).name("secret");
  assert.match(name, /^[a-z2-7]{8}$/);
  const walk = through('Twalk tag=1 fid=0 newfid=1 wname=["..","secret","b"]');
  assert.ok(walk.kind === "Twalk");
  assert.deepEqual(walk.wname.slice(0, 2), ["..", name]);
  const link = through('Rreadlink tag=1 target="/a/secret/.."');
  assert.ok(link.kind === "Rreadlink");
  assert.equal(link.target.split("/")[2], name);
  const data = new Uint8Array(30);
  const qid = { type: 0, version: 0, path: 1n };
  encodeDirentInto({ qid, offset: 1n, type: 8, name: "secret" }, new Wire(data), 0);
  const listing = through({ kind: "Rreaddir", tag: 1, data });
  assert.ok(listing.kind === "Rreaddir");
  const { entries, rest } = decodeDirents(listing.data);
  assert.deepEqual([entries.map((each) => each.name), rest.length], [[name], 0]);
});

Deno.test("Redact makes other pseudonyms each time", () => {
  const names = [1, 2].map(() => new Redact({}, { names: true, data: true }).name("secret"));
  assert.notEqual(names[0], names[1]);
});

Deno.test("Redact replaces what was asked for and nothing else", () => {
  const write: Message = { kind: "Twrite", tag: 1, fid: 2, offset: 3n, data: Uint8Array.of(1, 2) };
  assert.deepEqual(through(write, true, false), write);
  assert.deepEqual(through(write), { ...write, data: new Uint8Array(2) });
  const walk = parseMessage('Twalk tag=1 fid=0 newfid=1 wname=["secret"]');
  assert.deepEqual(through(walk, false, true), walk);
  const attributes = parseMessage("Tgetattr tag=1 fid=0 request_mask=GETATTR_BASIC");
  assert.deepEqual(through(attributes), attributes);
});

Deno.test("Redact hides names in records of older dialects", () => {
  const stat = {
    type: 0,
    dev: 0,
    qid: { type: 0, version: 0, path: 1n },
    mode: 0o644,
    atime: 0,
    mtime: 0,
    length: 5n,
    name: "secret",
    uid: "secret",
    gid: "secret",
    muid: "secret",
    extension: "",
    n_uid: 0,
    n_gid: 0,
    n_muid: 0,
  };
  const record = encodeStat(stat, "9P2000");
  const frames: Frame[] = [];
  const redact = new Redact({ frame: (frame) => frames.push(frame) }, { names: true, data: false });
  const version: Message = { kind: "Rversion", tag: 0xffff, msize: 8192, version: "9P2000" };
  const messages: Message[] = [
    version,
    { kind: "Rstat", tag: 1, stat: record },
    { kind: "Rread", tag: 1, data: Uint8Array.from([...record, ...record]) },
    { kind: "Rerror", tag: 1, ename: "secret does not exist", errno: 0 },
  ];
  for (const message of messages) redact.frame(frameOf(encode(message, "9P2000")));
  assert.equal(frames.length, 4);
  for (const frame of frames) {
    assert.equal(secret(frame), false);
    decode(frame.bytes, "9P2000");
  }
});

Deno.test("Redact blanks what it cannot decode, and what is not whole", () => {
  const walk = encode(parseMessage('Twalk tag=1 fid=0 newfid=1 wname=["secret"]'), "9P2000.L");
  const broken = walk.slice();
  broken[15] = 99;
  const unknown = walk.slice();
  unknown[4] = 200;
  for (const frame of [redacted(broken), redacted(unknown), redacted(walk, true, true, 1)]) {
    assert.equal(secret(frame), false);
    assert.equal(frame.size, walk.length);
    assert.deepEqual(frame.bytes.subarray(5, 7), walk.subarray(5, 7));
  }
  assert.equal(redacted(new Uint8Array([9, 0, 0, 0, 1])).bytes[4], 0);
});

Deno.test("Redact hides the path of a socket", () => {
  const { conversation } = redacted(new Uint8Array(7));
  assert.match(conversation.server, /^\/[a-z2-7]{8}\/[a-z2-7]{8}$/);
});

Deno.test("Redact leaves a message that can be decoded decodable, and throws at nothing", () => {
  fc.assert(
    fc.property(anyMessage, (message) => {
      const frame = redacted(encode(message, "9P2000.L"));
      if (message.kind !== "Rversion") decode(frame.bytes, "9P2000.L");
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const frame = redacted(bytes);
    assert.equal(frame.end, frame.bytes.length);
  }));
});
