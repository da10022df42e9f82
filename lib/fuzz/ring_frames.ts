/**
 * Every fault of a 9P frame in a descriptor chain, by name.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chainOf,
  DATA,
  desc,
  type Machine,
  MIDDLE,
  MSIZE,
  type Range,
  REPLY,
  REQUEST,
  ROOM,
  TABLE,
} from "./ring_machine.ts";
import {
  type Attack,
  GETATTR,
  type Outcome,
  reply,
  RGETATTR,
  SIZE,
  UNANSWERED,
  waitForLock,
} from "./ring_attacks.ts";
import { encode, formatMessage, type TMessage } from "../p9/mod.ts";
import {
  decodeConfig,
  DESC_F_INDIRECT as INDIRECT,
  DESC_F_NEXT as NEXT,
  DESC_F_WRITE as WRITE,
} from "../virtio/mod.ts";

/** Offers descriptor 0 as an indirect table of all these buffers; returns the answer. */
export async function sendScattered(
  machine: Machine,
  readable: readonly Range[],
  writable: readonly Range[],
): Promise<Uint8Array> {
  const chain = chainOf(readable, writable);
  machine.describe(chain, 0, TABLE);
  machine.describe([desc(TABLE, 16 * chain.length, INDIRECT)]);
  machine.raw.offer(0);
  const before = machine.snapshot();
  machine.kick();
  const [entry] = await machine.used();
  assert.ok(entry !== undefined && entry.id === 0);
  machine.assertUntouched(before, ...cut(writable, entry.length));
  const all = writable.map(([address, length]) => machine.get(address, length));
  return Buffer.concat(all).subarray(0, entry.length);
}

/** The first bytes of ranges. */
export function cut(ranges: readonly Range[], length: number): Range[] {
  let left = length;
  return ranges.map(([address, size]): Range => {
    const part = Math.min(size, left);
    left -= part;
    return [address, part];
  }).filter(([, size]) => size > 0);
}

/** Ranges one behind the other, each followed by a gap, of sizes that add up to `total`. */
export function scattered(address: number, total: number, sizeOf: (i: number) => number): Range[] {
  const ranges: Range[] = [];
  for (let at = address, left = total, i = 0; left > 0; i++) {
    const size = Math.min(left, sizeOf(i));
    ranges.push([at, size]);
    at += size + 3;
    left -= size;
  }
  return ranges;
}

/** Puts bytes in guest memory, in pieces. */
export function putScattered(machine: Machine, bytes: Uint8Array, ranges: readonly Range[]): void {
  let from = 0;
  for (const [address, size] of ranges) {
    machine.put(address, bytes.subarray(from, from + size));
    from += size;
  }
}

/** Sends a frame as it is; returns what was answered. */
export async function sendFrame(
  machine: Machine,
  frame: Uint8Array,
  room: number = ROOM,
): Promise<Uint8Array> {
  machine.put(REQUEST, frame);
  return await sendScattered(machine, [[REQUEST, frame.length]], [[REPLY, room]]);
}

/** As `sendFrame`; the answer as text, empty if there was none. */
export async function textOf(machine: Machine, frame: Uint8Array, room?: number): Promise<string> {
  const bytes = await sendFrame(machine, frame, room);
  return bytes.length === 0 ? "" : formatMessage(machine.decode(bytes));
}

export function withSize(message: TMessage, size: number): Uint8Array {
  const frame = encode(message, "9P2000.L").slice();
  new DataView(frame.buffer).setUint32(0, size, true);
  return frame;
}

export const frameOf = (message: TMessage): Uint8Array => encode(message, "9P2000.L");
export const read = (offset: number, count: number): TMessage => ({
  kind: "Tread",
  tag: 8,
  fid: 1,
  offset: BigInt(offset),
  count,
});
export const write = (offset: number, data: Uint8Array): TMessage => ({
  kind: "Twrite",
  tag: 8,
  fid: 1,
  offset: BigInt(offset),
  data,
});

export function assertData(reply: Uint8Array, offset: number, count: number): void {
  const head = new DataView(reply.buffer, reply.byteOffset, 11);
  assert.deepEqual(
    [head.getUint32(0, true), head.getUint8(4), head.getUint16(5, true), head.getUint32(7, true)],
    [11 + count, 117, 8, count],
  );
  assert.ok(Buffer.from(DATA.subarray(offset, offset + count)).equals(reply.subarray(11)));
}

/** Bytes to write that differ from what is there. */
export const OTHER = DATA.map((byte) => byte ^ 0x5a);

export async function assertWritten(
  machine: Machine,
  offset: number,
  count: number,
): Promise<void> {
  const reply = await sendScattered(machine, [machine.putRequest(read(offset, count))], [
    [REPLY, MSIZE],
  ]);
  assert.ok(Buffer.from(OTHER.subarray(offset, offset + count)).equals(reply.subarray(11)));
  const data = DATA.subarray(offset, offset + count);
  assert.match(await textOf(machine, frameOf(write(offset, data))), /^Rwrite/);
}

/** The same in the language of 9P: what virtio-villain does to the file systems of other devices. */
export const FRAME_FAULTS: Readonly<Record<string, Attack>> = {
  resp_no_write: async (machine) => {
    const reply = await sendScattered(machine, [machine.putRequest(GETATTR)], []);
    assert.equal(reply.length, 0);
  },
  resp_too_small_for_an_error: async (machine) => {
    for (const room of [1, 7, 10]) assert.equal(await textOf(machine, frameOf(GETATTR), room), "");
  },
  getattr_zero_resp: async (machine) => {
    for (const room of [11, 12, RGETATTR - 1]) {
      assert.equal(
        await textOf(machine, frameOf(GETATTR), room),
        "Rlerror tag=7 ecode=EMSGSIZE",
      );
    }
    assert.match(await textOf(machine, frameOf(GETATTR), RGETATTR), /^Rgetattr/);
  },
  huge_resp: async (machine) => {
    assert.match(await textOf(machine, frameOf(GETATTR), 0x3_0000), /^Rgetattr/);
    // However large the buffer, no message is larger than both sides agreed on.
    const reply = await sendFrame(machine, frameOf(read(0, 0xffff_ffff)), 0x2_0000);
    assertData(reply, 0, MSIZE - 11);
  },
  reply_larger_than_buffers: async (machine) => {
    assertData(await sendFrame(machine, frameOf(read(5, 0x8000)), 100), 5, 89);
    assertData(await sendFrame(machine, frameOf(read(5, 0x8000)), 12), 5, 1);
    assert.equal((await sendFrame(machine, frameOf(read(5, 0x8000)), 11)).length, 11);
    await machine.expect({ kind: "Twalk", tag: 1, fid: 0, newfid: 3, wname: [] }, "Rwalk");
    await machine.expect({ kind: "Tlopen", tag: 1, fid: 3, flags: 0 }, "Rlopen");
    const list: TMessage = { kind: "Treaddir", tag: 7, fid: 3, offset: 0n, count: 0xffff_ffff };
    assert.equal(await textOf(machine, frameOf(list), 11 + 20), "Rlerror tag=7 ecode=EINVAL");
    assert.match(await textOf(machine, frameOf(list), 11 + 30), /^Rreaddir/);
    await machine.expect({ kind: "Tclunk", tag: 1, fid: 3 }, "Rclunk");
  },
  truncated_header: async (machine) => {
    for (const size of [1, 4, 5, 6]) {
      assert.equal((await sendFrame(machine, frameOf(GETATTR).subarray(0, size))).length, 0);
    }
    assert.equal(
      await textOf(machine, withSize(GETATTR, 7).subarray(0, 7)),
      "Rlerror tag=7 ecode=EPROTO",
    );
  },
  len_exceeds_desc: async (machine) => {
    for (const size of [20, MSIZE, MSIZE + 1, 0x7fff_ffff, 0xffff_ffff]) {
      assert.equal((await sendFrame(machine, withSize(GETATTR, size))).length, 0);
    }
  },
  mismatched_len: async (machine) => {
    for (const size of [0, 1, 6]) {
      assert.equal((await sendFrame(machine, withSize(GETATTR, size))).length, 0);
    }
    for (const size of [7, 12, 18]) {
      assert.equal(
        await textOf(machine, withSize(GETATTR, size)),
        "Rlerror tag=7 ecode=EPROTO",
      );
    }
    // Bytes behind the message do not belong to it.
    const longer = new Uint8Array(4000).fill(0xff);
    longer.set(frameOf(GETATTR));
    assert.match(await textOf(machine, longer), /^Rgetattr tag=7/);
  },
  mismatched_twrite_count: async (machine) => {
    const frame = frameOf(write(0, DATA.subarray(0, 100))).slice();
    const view = new DataView(frame.buffer);
    for (const count of [0, 99, 101, 0x7fff_ffff, 0xffff_ffe8, 0xffff_ffff]) {
      view.setUint32(19, count, true);
      assert.equal(await textOf(machine, frame), "Rlerror tag=8 ecode=EPROTO", `${count}`);
    }
    assert.match(await textOf(machine, frameOf(write(0, new Uint8Array(0)))), /count=0$/);
    for (let size = 7; size < 23; size++) {
      const text = await textOf(machine, withSize(write(0, new Uint8Array(1)), size));
      assert.equal(text, "Rlerror tag=8 ecode=EPROTO", `${size}`);
    }
  },
  wrong_desc_order: async (machine) => {
    const [at, length] = machine.putRequest(GETATTR);
    machine.describe([reply(WRITE | NEXT), desc(at, length)].map((each, i) => ({
      ...each,
      next: i + 1,
    })));
    machine.raw.offer(0);
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: 0 }]);
  },
  every_type_without_content: async (machine) => {
    for (let type = 0; type < 256; type++) {
      const frame = new Uint8Array([7, 0, 0, 0, type, 7, 0]);
      const text = await textOf(machine, frame);
      assert.match(text, /^Rlerror tag=7 ecode=(EPROTO|EOPNOTSUPP)$/, `${type}: ${text}`);
    }
  },
  batch: async (machine) => {
    for (let i = 0; i < SIZE / 2; i++) {
      const request = machine.putRequest({ ...GETATTR, tag: 100 + i }, REQUEST + 64 * i);
      const first = 2 * (7 - i);
      machine.describe(chainOf([request], [[REPLY + i * 0x400, 0x400]], first), first);
      machine.raw.offer(first);
    }
    machine.kick();
    const used = await machine.used(SIZE / 2);
    for (const [i, { id, length }] of used.entries()) {
      assert.deepEqual([id, length], [2 * (7 - i), RGETATTR]);
      assert.equal(machine.decode(machine.get(REPLY + i * 0x400, RGETATTR)).tag, 100 + i);
    }
  },
  config_tag_length: async ({ frontend }) => {
    const all = await frontend.readConfig(0, 256);
    assert.equal(decodeConfig(all), "device");
    assert.equal(decodeConfig(all.subarray(0, 8)), "device");
    assert.throws(() => decodeConfig(all.subarray(0, 7)), RangeError);
    assert.deepEqual(await frontend.readConfig(2, 3), all.subarray(2, 5));
    for (const offset of [8, 9, 255, 0x7fff_ffff, 0xffff_ffff]) {
      assert.deepEqual(await frontend.readConfig(offset, 16), new Uint8Array(16));
    }
    assert.equal((await frontend.readConfig(0, 0)).length, 0);
    assert.equal((await frontend.readConfig(0, 4084)).length, 4084);
  },
  head_in_single_bytes: async (machine) => {
    for (const message of [GETATTR, read(100, 50)]) {
      const frame = frameOf(message);
      const request = scattered(REQUEST, frame.length, () => 1);
      putScattered(machine, frame, request);
      const room = scattered(REPLY, RGETATTR, () => 1);
      const bytes = await sendScattered(machine, request, room);
      if (message === GETATTR) assert.equal(machine.decode(bytes).kind, "Rgetattr");
      else assertData(bytes, 100, 50);
    }
  },
  twrite_scattered: async (machine) => {
    const frame = frameOf(write(1000, OTHER.subarray(1000, 31_000)));
    const pieces = scattered(REQUEST, frame.length, (i) => i === 0 ? 23 : 1 + i * 37 % 613);
    assert.ok(pieces.length > 97, `${pieces.length}`);
    putScattered(machine, frame, pieces);
    const bytes = await sendScattered(machine, pieces, [[REPLY, ROOM]]);
    assert.equal(formatMessage(machine.decode(bytes)), "Rwrite tag=8 count=30000");
    await assertWritten(machine, 1000, 30_000);
  },
  tread_scattered: async (machine) => {
    const sizes = (i: number): number => i < 20 ? 1 : 1 + i * 37 % 613;
    const pieces = scattered(REPLY, 30_011, sizes);
    assert.ok(pieces.length > 100, `${pieces.length}`);
    const request = machine.putRequest(read(777, 30_000));
    assertData(await sendScattered(machine, [request], pieces), 777, 30_000);
    // At the end of the file, what is left over is not touched.
    const rest = machine.putRequest(read(DATA.length - 1234, 30_000));
    assertData(await sendScattered(machine, [rest], pieces), DATA.length - 1234, 1234);
  },
  as_many_descriptors_as_there_may_be: async (machine) => {
    const request = machine.putRequest(read(0, 1012));
    const most = scattered(REPLY, 1023, () => 1);
    assertData(await sendScattered(machine, [request], most), 0, 1012);
    const more = scattered(REPLY, 1024, () => 1);
    assert.equal((await sendScattered(machine, [request], more)).length, 0);
  },
  across_regions: async (machine) => {
    for (const back of [1, 4, 7, 18]) {
      const request = machine.putRequest(GETATTR, MIDDLE - back);
      for (const room of [[MIDDLE - 0x1000, 0x2000], [MIDDLE + 64 - 10, ROOM]] as const) {
        const bytes = await sendScattered(machine, [request], [room]);
        assert.equal(machine.decode(bytes).kind, "Rgetattr");
      }
      const bytes = await sendScattered(machine, [machine.putRequest(GETATTR)], [
        [MIDDLE - back, ROOM],
      ]);
      assert.equal(machine.decode(bytes).kind, "Rgetattr");
    }
    for (const back of [5, 11, 20, 30_000]) {
      const request = machine.putRequest(read(99, 60_000));
      const bytes = await sendScattered(machine, [request], [[MIDDLE - back, 60_011]]);
      assertData(bytes, 99, 60_000);
      const frame = frameOf(write(99, OTHER.subarray(99, 60_099)));
      machine.put(MIDDLE - back, frame);
      const room: Range = [REPLY, ROOM];
      const done = await sendScattered(machine, [[MIDDLE - back, frame.length]], [room]);
      assert.equal(formatMessage(machine.decode(done)), "Rwrite tag=8 count=60000");
      await assertWritten(machine, 99, 60_000);
    }
  },
  reply_over_request: async (machine) => {
    const request = machine.putRequest(GETATTR);
    assert.equal(
      machine.decode(await sendScattered(machine, [request], [[REQUEST, ROOM]])).kind,
      "Rgetattr",
    );
    const tread = machine.putRequest(read(3, 4000));
    assertData(await sendScattered(machine, [tread], [[REQUEST, 4011]]), 3, 4000);
    assertData(
      await sendScattered(machine, [machine.putRequest(read(3, 4000))], [
        [REQUEST, 20],
        [REQUEST + 20, 3991],
      ]),
      3,
      4000,
    );
    const frame = frameOf(write(50, OTHER.subarray(50, 4050)));
    machine.put(REQUEST, frame);
    const done = await sendScattered(machine, [[REQUEST, frame.length]], [[REQUEST, ROOM]]);
    assert.equal(formatMessage(machine.decode(done)), "Rwrite tag=8 count=4000");
    await assertWritten(machine, 50, 4000);
  },
  table_under_its_own_reply: async (machine) => {
    const [at, length] = machine.putRequest(GETATTR);
    machine.describe([desc(at, length, NEXT, 1), desc(TABLE, ROOM, WRITE)], 0, TABLE);
    machine.describe([desc(TABLE, 32, INDIRECT)]);
    machine.raw.offer(0);
    machine.kick();
    assert.deepEqual(await machine.used(), [{ id: 0, length: RGETATTR }]);
    assert.equal(machine.decode(machine.get(TABLE, RGETATTR)).kind, "Rgetattr");
  },
  one_tag_twice: async (machine) => {
    await waitForLock(machine);
    // No answer could be told from the other: the conversation is over, the device is not.
    assert.equal(await textOf(machine, frameOf({ ...GETATTR, tag: 9 })), "");
    assert.deepEqual(await machine.used(), [{ id: 4, length: 0 }]);
    assert.equal(await textOf(machine, frameOf(GETATTR)), "Rlerror tag=7 ecode=EPROTO");
    await machine.attach();
  },
};

const answered = (error: string): Outcome => ({ verdict: "REJECT", how: `Rlerror ${error}` });

/** How the device meets those of {@linkcode FRAME_FAULTS} that it refuses. */
export const FRAME_OUTCOMES: Readonly<Record<string, Outcome>> = {
  resp_no_write: UNANSWERED,
  resp_too_small_for_an_error: UNANSWERED,
  getattr_zero_resp: answered("EMSGSIZE"),
  truncated_header: UNANSWERED,
  len_exceeds_desc: UNANSWERED,
  mismatched_len: answered("EPROTO"),
  mismatched_twrite_count: answered("EPROTO"),
  wrong_desc_order: UNANSWERED,
  every_type_without_content: answered("EPROTO or EOPNOTSUPP"),
  one_tag_twice: { verdict: "REJECT", how: "the conversation ends, the device goes on" },
};
