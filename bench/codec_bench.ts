/**
 * The codec, in nanoseconds a message. Each case asserts its result once, before it is measured.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  decodeString,
  type Dialect,
  encode,
  encodeInto,
  encodeRreadHeader,
  encodeStringInto,
  type Message,
  sizeOf,
  tryDecode,
  Wire,
} from "../lib/p9/mod.ts";

const DIALECT: Dialect = "9P2000.L";
const QID = { type: 0x80, version: 1, path: 0xdeadn };

const MIX: readonly Message[] = [
  { kind: "Tread", tag: 1, fid: 2, offset: 4096n, count: 65536 },
  { kind: "Twalk", tag: 2, fid: 1, newfid: 2, wname: ["usr", "share", "doc"] },
  { kind: "Tgetattr", tag: 3, fid: 2, request_mask: 0x7ffn },
  { kind: "Tlopen", tag: 4, fid: 2, flags: 0 },
  { kind: "Tclunk", tag: 5, fid: 2 },
  { kind: "Treaddir", tag: 6, fid: 2, offset: 0n, count: 8192 },
  { kind: "Tunlinkat", tag: 7, dirfd: 2, name: "lock", flags: 0 },
];

const READ: Message = { kind: "Tread", tag: 1, fid: 2, offset: 4096n, count: 65536 };
const WRITE: Message = { kind: "Twrite", tag: 1, fid: 2, offset: 0n, data: new Uint8Array(65536) };
const RWALK: Message = { kind: "Rwalk", tag: 1, wqid: [QID, QID, QID] };
const RGETATTR: Message = {
  kind: "Rgetattr",
  tag: 1,
  valid: 0x7ffn,
  qid: QID,
  mode: 0o100644,
  uid: 1000,
  gid: 1000,
  nlink: 1n,
  rdev: 0n,
  size: 4096n,
  blksize: 4096n,
  blocks: 8n,
  atime_sec: 1n,
  atime_nsec: 2n,
  mtime_sec: 3n,
  mtime_nsec: 4n,
  ctime_sec: 5n,
  ctime_nsec: 6n,
  btime_sec: 0n,
  btime_nsec: 0n,
  gen: 0n,
  data_version: 0n,
};

/** Messages a call measures, so that the clock and the call weigh little. */
const ROUNDS = 1024;

/** Frames one behind the other in one buffer, as a transport has them. */
function framesOf(messages: readonly Message[]): { wire: Wire; ends: number[] } {
  const ends: number[] = [];
  let size = 0;
  for (const message of messages) ends.push(size += sizeOf(message, DIALECT));
  const wire = new Wire(new Uint8Array(size));
  let at = 0;
  for (const message of messages) at = encodeInto(message, wire, at, DIALECT);
  return { wire, ends };
}

/** Keeps results alive, so that none is optimized away. */
let sink = 0;

function benchDecode(name: string, messages: readonly Message[], baseline = false): void {
  const { wire, ends } = framesOf(messages);
  let start = 0;
  for (const [i, end] of ends.entries()) {
    assert.deepEqual(tryDecode(wire, start, end, DIALECT), messages[i]);
    start = end;
  }
  Deno.bench({ name: `${name} x ${ROUNDS}`, group: "tryDecode", baseline }, () => {
    for (let done = 0; done < ROUNDS;) {
      let start = 0;
      for (const end of ends) {
        sink += tryDecode(wire, start, end, DIALECT)?.tag ?? 0;
        start = end;
        done++;
      }
    }
  });
}

function benchEncode(name: string, messages: readonly Message[], baseline = false): void {
  const room = Math.max(...messages.map((message) => sizeOf(message, DIALECT)));
  const wire = new Wire(new Uint8Array(room));
  for (const message of messages) {
    const end = encodeInto(message, wire, 0, DIALECT);
    assert.deepEqual(wire.bytes.subarray(0, end), encode(message, DIALECT));
  }
  Deno.bench({ name: `${name} x ${ROUNDS}`, group: "encodeInto", baseline }, () => {
    for (let done = 0; done < ROUNDS;) {
      for (const message of messages) {
        sink += encodeInto(message, wire, 0, DIALECT);
        done++;
      }
    }
  });
}

benchDecode("seven requests in turn", MIX, true);
benchDecode("Tread", [READ]);
benchDecode("Twrite of 64 KiB", [WRITE]);
benchDecode("Rgetattr", [RGETATTR]);

benchEncode("seven requests in turn", MIX, true);
benchEncode("Tread", [READ]);
benchEncode("Rwalk of 3", [RWALK]);
benchEncode("Rgetattr", [RGETATTR]);

const header = new Wire(new Uint8Array(11));
assert.equal(encodeRreadHeader(header, 0, 1, 65536), 11);
assert.equal(header.view.getUint32(0, true), 65547);
Deno.bench({ name: `Rread header x ${ROUNDS}`, group: "encodeInto" }, () => {
  for (let i = 0; i < ROUNDS; i++) sink += encodeRreadHeader(header, 0, i & 0xffff, 65536);
});

const names: [what: string, text: string][] = [
  ["name of 8 bytes", "Makefile"],
  ["name of 20 bytes", "virtio_9p_request.ts"],
  ["path of 60 bytes", "../".repeat(20)],
  ["name of 16 bytes, not ASCII", "Straßenübergang"],
];

for (const [what, text] of names) {
  const bytes = new TextEncoder().encode(text);
  assert.equal(decodeString(bytes, 0, bytes.length), text);
  Deno.bench({ name: `decode ${what} x ${ROUNDS}`, group: "names" }, () => {
    for (let i = 0; i < ROUNDS; i++) sink += decodeString(bytes, 0, bytes.length).length;
  });
  const target = new Uint8Array(bytes.length);
  assert.equal(encodeStringInto(text, target, 0), bytes.length);
  Deno.bench({ name: `encode ${what} x ${ROUNDS}`, group: "names" }, () => {
    for (let i = 0; i < ROUNDS; i++) sink += encodeStringInto(text, target, 0);
  });
}

Deno.bench({ name: "the sink is in use", group: "harness" }, () => {
  assert.ok(Number.isFinite(sink));
});
