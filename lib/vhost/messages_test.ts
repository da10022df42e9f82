import assert from "node:assert/strict";
import { VhostUserError } from "./errors.ts";
import {
  decodePayload,
  type Direction,
  encodeMessage,
  formatMessage,
  HEADER_SIZE,
  MESSAGE_FLAGS,
} from "./messages.ts";
import {
  PROTOCOL_FEATURES,
  REQUEST_NAMES,
  type RequestName,
  requestName,
  requestRow,
} from "./requests.ts";

// Bytes as the structs of the specification lay them out.
const golden: [name: RequestName, payload: Record<string, unknown>, hex: string][] = [
  ["GET_FEATURES", {}, "010000000100000000000000"],
  ["SET_FEATURES", { features: 0x1_4000_0000n }, "020000000100000008000000" + "0000004001000000"],
  [
    "SET_MEM_TABLE",
    { regions: [{ guest_addr: 1n, size: 2n, user_addr: 3n, mmap_offset: 4n }] },
    "050000000100000028000000" + "0100000000000000" +
    "0100000000000000020000000000000003000000000000000400000000000000",
  ],
  ["SET_VRING_NUM", { index: 1, num: 128 }, "080000000100000008000000" + "0100000080000000"],
  [
    "SET_VRING_ADDR",
    { index: 1, flags: 2, descriptor: 3n, used: 4n, available: 5n, log: 6n },
    "090000000100000028000000" + "0100000002000000" + "0300000000000000" + "0400000000000000" +
    "0500000000000000" + "0600000000000000",
  ],
  ["SET_VRING_KICK", { index: 1, flags: 1 }, "0c0000000100000008000000" + "0101000000000000"],
  [
    "GET_CONFIG",
    { offset: 1, flags: 2, payload: new Uint8Array([7, 8, 9]) },
    "18000000010000000f000000" + "010000000300000002000000" + "070809",
  ],
  [
    "ADD_MEM_REG",
    { guest_addr: 1n, size: 2n, user_addr: 3n, mmap_offset: 4n },
    "250000000100000028000000" + "0000000000000000" +
    "0100000000000000020000000000000003000000000000000400000000000000",
  ],
];
for (const [name, payload, hex] of golden) {
  Deno.test(`encodeMessage() lays ${name} out as the specification does`, () => {
    const bytes = encodeMessage(name, "request", payload as never);
    assert.equal(bytes.toHex(), hex);
    assert.deepEqual(decodePayload(name, "request", bytes.subarray(HEADER_SIZE)), payload);
  });
}

/** A payload that has every field of a notation, filled from a counter. */
function example(notation: string): Record<string, unknown> {
  let next = 1;
  const fields = (text: string): Record<string, unknown> => {
    const values: Record<string, unknown> = {};
    for (const [, name = "", size = ""] of text.matchAll(/(\w+)\[(\w+)\]/g)) {
      if (name === "padding") continue;
      if (size === "8") values[name] = 2n ** 63n + BigInt(next++);
      else if (size === "size") {
        values[name] = new Uint8Array([1, 2, 3]);
        delete values[size];
      } else values[name] = next++;
    }
    return values;
  };
  const list = /^(.*) n(\w+)\*\((.*)\)$/.exec(notation);
  if (list === null) return fields(notation);
  const [, before = "", name = "", inner = ""] = list;
  const values = fields(before);
  delete values[`n${name}`];
  return { ...values, [name]: [fields(inner), fields(inner)] };
}

for (const name of REQUEST_NAMES) {
  const { request, reply, hasSlack = false } = requestRow(name);
  const sides: [Direction, string][] = [["request", request], ["reply", reply ?? "status[8]"]];
  for (const [direction, notation] of sides) {
    Deno.test(`decodePayload() gives back the ${direction} ${name}, whole only`, () => {
      const payload = example(notation);
      const bytes = encodeMessage(name, direction as "request", payload as never);
      const body = bytes.subarray(HEADER_SIZE);
      const decode = (part: Uint8Array) => decodePayload(name, direction as "request", part);
      assert.deepEqual(decode(body), payload);
      for (let size = 0; size < body.length; size++) {
        assert.throws(() => decode(body.subarray(0, size)), { fault: "bad-size", request: name });
      }
      const longer = new Uint8Array(body.length + 1);
      longer.set(body);
      if (hasSlack && direction === "request") assert.deepEqual(decode(longer), payload);
      else assert.throws(() => decode(longer), { fault: "bad-size", request: name });
    });
  }
}

Deno.test("encodeMessage() marks replies, and puts a status where a reply has none", () => {
  const status = encodeMessage("SET_VRING_NUM", "reply", { status: 1n });
  assert.equal(status.toHex(), "080000000500000008000000" + "0100000000000000");
  const flagged = encodeMessage("SET_OWNER", "request", {}, MESSAGE_FLAGS.NEED_REPLY);
  assert.equal(flagged.toHex(), "030000000900000000000000");
});

Deno.test("decodePayload() refuses counts beyond what came, without allocating", () => {
  const regions = new Uint8Array(8);
  new DataView(regions.buffer).setUint32(0, 0xffffffff, true);
  assert.throws(() => decodePayload("SET_MEM_TABLE", "request", regions), VhostUserError);
  const config = new Uint8Array(12);
  new DataView(config.buffer).setUint32(4, 0xffffffff, true);
  assert.throws(() => decodePayload("GET_CONFIG", "request", config), {
    fault: "bad-size",
    message: "Cannot read the request GET_CONFIG: 12 bytes do not hold " +
      "offset[4] size[4] flags[4] payload[size]",
  });
});

const lines: [bytes: Uint8Array, fds: number, line: string][] = [
  [encodeMessage("GET_FEATURES", "request", {}), 0, "GET_FEATURES"],
  [
    encodeMessage("GET_FEATURES", "reply", { features: 0x30000000n }),
    0,
    "GET_FEATURES reply features=0x30000000",
  ],
  [
    encodeMessage("SET_VRING_KICK", "request", { index: 0, flags: 0 }, MESSAGE_FLAGS.NEED_REPLY),
    1,
    "SET_VRING_KICK need_reply index=0 flags=0 fds=1",
  ],
  [
    encodeMessage("SET_MEM_TABLE", "request", {
      regions: [{ guest_addr: 0n, size: 4096n, user_addr: 0x7000n, mmap_offset: 0n }],
    }),
    1,
    "SET_MEM_TABLE regions=[guest_addr=0x0 size=0x1000 user_addr=0x7000 mmap_offset=0x0] fds=1",
  ],
  [new Uint8Array([99, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 255]), 0, "request 99 version=2 0xff"],
  [new Uint8Array([8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 255]), 0, "SET_VRING_NUM 0xff"],
];
for (const [bytes, fds, line] of lines) {
  Deno.test(`formatMessage() prints "${line}"`, () => {
    const view = new DataView(bytes.buffer);
    const flags = view.getUint32(4, true);
    const payload = bytes.subarray(HEADER_SIZE);
    assert.equal(formatMessage(view.getUint32(0, true), flags, payload, fds), line);
  });
}

Deno.test("REQUESTS has every number from 1 on once, and names features that exist", () => {
  REQUEST_NAMES.forEach((name, index) => {
    const row = requestRow(name);
    assert.equal(row.number, index + 1);
    assert.equal(requestName(row.number), name);
    if (row.needs !== undefined) assert.ok(row.needs in PROTOCOL_FEATURES);
    assert.match(row.doc, /^[A-Z].*\.$/);
  });
  assert.equal(requestName(0), undefined);
  assert.equal(requestName(REQUEST_NAMES.length + 1), undefined);
});
