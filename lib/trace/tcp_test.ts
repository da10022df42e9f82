import assert from "node:assert/strict";
import { encode, type Message, TYPE } from "../p9/mod.ts";
import { Account } from "./account.ts";
import {
  packetsOf,
  type Segment,
  SESSION,
  sessionTalk,
  Talk,
  tcp,
  TCP_FLAGS,
} from "./capture_test_helper.ts";
import { Dice } from "./mutations_test_helper.ts";
import { Packets } from "./packets.ts";
import type { TcpOptions } from "./tcp.ts";

/** Types of the messages in segments, by direction, as `Packets` finds them. */
function follow(segments: readonly Segment[], options: TcpOptions = {}): {
  client: number[];
  server: number[];
  told: string[];
} {
  const found = { client: [] as number[], server: [] as number[], told: [] as string[] };
  const packets = new Packets(
    {
      opened: ({ id, client }) => void found.told.push(`opened ${id} ${client}`),
      closed: ({ id }) => void found.told.push(`closed ${id}`),
      gap: ({ direction, lost }) => void found.told.push(`gap ${direction} ${lost}`),
      frame: ({ direction, bytes, start }) =>
        void found[direction === "reply" ? "server" : "client"].push(bytes[start + 4] ?? -1),
    },
    new Account(),
    options,
  );
  for (const { time, bytes, length } of packetsOf(segments)) {
    packets.packet(1, time, bytes, 0, bytes.length, length, 0, 0, 0);
  }
  packets.end(0);
  return found;
}

const TRUTH = {
  client: SESSION.map(([message]) => TYPE[message.kind]),
  server: SESSION.map(([, message]) => TYPE[message.kind]),
};

/**
 * The oracle: a stream as one array that each segment is written to, where it is not written yet.
 * Gives the messages at its beginning.
 */
function oracle(segments: readonly Segment[], from: "client" | "server"): number[] {
  const bytes: (number | undefined)[] = [];
  const first = from === "client" ? 1001 : 5001;
  for (const { seq, data, from: sender } of segments) {
    if (sender === from) data?.forEach((byte, i) => void (bytes[seq - first + i] ??= byte));
  }
  const types: number[] = [];
  for (let at = 0; at + 7 <= bytes.length;) {
    const [a = 0, b = 0, c = 0, , type = -1] = bytes.slice(at, at + 5);
    types.push(type);
    at += a | b << 8 | c << 16;
  }
  return types;
}

Deno.test("TcpStreams finds what a plain array finds, whatever order the segments come in", () => {
  for (let seed = 0; seed < 150; seed++) {
    const dice = new Dice(seed);
    const segments = [...sessionTalk({ mss: 1 + dice.below(60) }).segments].slice(0, -3);
    // Each goes a little further back, some come again, cut anew.
    const order = segments.map((segment, i) => ({ segment, at: i < 3 ? i : i + dice.below(6) }));
    for (const { segment, at } of [...order]) {
      if (segment.data === undefined || dice.below(3) > 0) continue;
      const skip = dice.below(segment.data.length);
      const data = segment.data.subarray(skip);
      order.push({
        segment: { ...segment, seq: segment.seq + skip, data },
        at: at + dice.below(9),
      });
    }
    order.sort((a, b) => a.at - b.at);
    const mixed = order.map(({ segment }) => segment);
    const { client, server, told } = follow(mixed);
    assert.deepEqual({ client, server }, {
      client: oracle(mixed, "client"),
      server: oracle(mixed, "server"),
    }, `seed ${seed}`);
    assert.deepEqual({ client, server }, TRUTH, `seed ${seed}`);
    assert.deepEqual(told, ["opened 1 10.0.0.1:51000", "closed 1"], `seed ${seed}`);
  }
});

Deno.test("TcpStreams tells no reply before its request when a request comes late", () => {
  const talk = new Talk().open();
  const frame = (message: Message): Uint8Array => encode(message, "9P2000.L");
  talk.say("client", frame({ kind: "Tclunk", tag: 1, fid: 1 }));
  talk.say("client", frame({ kind: "Tremove", tag: 2, fid: 2 }));
  talk.say("server", frame({ kind: "Rclunk", tag: 1 }));
  talk.say("server", frame({ kind: "Rremove", tag: 2 }));
  const segments = [...talk.segments];
  const [late] = segments.splice(3, 1);
  assert.ok(late?.data !== undefined);
  segments.push(late);
  const order: number[] = [];
  const packets = new Packets({
    frame: ({ bytes, start }) => void order.push(bytes[start + 4] ?? -1),
  }, new Account());
  for (const { time, bytes, length } of packetsOf(segments)) {
    packets.packet(1, time, bytes, 0, bytes.length, length, 0, 0, 0);
  }
  packets.end(0);
  const { Tclunk, Rclunk, Tremove, Rremove } = TYPE;
  assert.deepEqual(order, [Tclunk, Tremove, Rclunk, Rremove]);
});

Deno.test("TcpStreams makes another conversation of ports that are used again", () => {
  const again = sessionTalk({ client: 9_000_000, server: 4_000_000_000 }).segments;
  const { client, told } = follow([...sessionTalk().segments, ...again]);
  assert.deepEqual(client, [...TRUTH.client, ...TRUTH.client]);
  assert.deepEqual(told.map((line) => line.split(" ").slice(0, 2).join(" ")), [
    "opened 1",
    "closed 1",
    "opened 2",
    "closed 2",
  ]);
});

Deno.test("TcpStreams follows other ports from their Tversion on, or when they are named", () => {
  const segments = sessionTalk().segments;
  const found: string[] = [];
  const run = (list: readonly Segment[], options: TcpOptions): number => {
    let count = 0;
    const packets = new Packets(
      {
        frame: () => void count++,
        opened: ({ server }) => void found.push(server),
      },
      new Account(),
      options,
    );
    for (const segment of list) {
      const ip = packetsOf([segment], "raw IP", () => wrapped(segment))[0];
      assert.ok(ip !== undefined);
      packets.packet(101, 0, ip.bytes, 0, ip.bytes.length, ip.length, 0, 0, 0);
    }
    packets.end(0);
    return count;
  };
  assert.equal(run(segments, {}), 16);
  assert.equal(run(segments.filter(({ data }) => data?.[4] !== 100), { ports: [] }), 15);
  const late = segments.slice(10);
  assert.equal(run(late, {}), 0);
  assert.ok(run(late, { ports: [7777] }) > 8);
  assert.deepEqual(found, ["10.0.0.2:7777", "10.0.0.2:7777", "10.0.0.2:7777"]);
});

function wrapped(segment: Segment): Uint8Array {
  const payload = tcp(segment, [50000, 7777]);
  const isRequest = segment.from === "client";
  const length = 20 + payload.length;
  const head = [0x45, 0, length >> 8, length & 255, 0, 1, 0, 0, 64, 6, 0, 0];
  const ends = isRequest ? [10, 0, 0, 1, 10, 0, 0, 2] : [10, 0, 0, 2, 10, 0, 0, 1];
  return Uint8Array.from([...head, ...ends, ...payload]);
}

Deno.test("TcpStreams keeps a bounded number of conversations", () => {
  const message: Message = { kind: "Tclunk", tag: 1, fid: 1 };
  const data = encode(message, "9P2000.L");
  let [open, most, opened] = [0, 0, 0];
  const account = new Account();
  const packets = new Packets({
    opened: () => {
      opened++;
      most = Math.max(most, ++open);
    },
    closed: () => void open--,
  }, account);
  for (let i = 0; i < 6_000; i++) {
    const bytes = packetsOf([{ from: "client", seq: 1, data }])[0]?.bytes ?? new Uint8Array(0);
    new DataView(bytes.buffer).setUint32(14 + 12, 0x0b000000 + i);
    packets.packet(1, i, bytes, 0, bytes.length, bytes.length, 0, 0, 0);
  }
  packets.end(0);
  assert.deepEqual([opened, open], [6_000, 0]);
  assert.ok(most <= 4096, `${most}`);
  assert.equal(account.problems[0]?.name, "evicted");
});

Deno.test("TcpStreams forgets what it keeps behind a hole that is never filled", () => {
  const { ACK } = TCP_FLAGS;
  const data = new Uint8Array(1000);
  let gaps = 0;
  const packets = new Packets({ gap: () => void gaps++ }, new Account());
  const first = sessionTalk().segments.slice(0, 4);
  const [one] = packetsOf([{ from: "server", seq: 0, flags: ACK, data }]);
  assert.ok(one !== undefined);
  for (const { time, bytes, length } of packetsOf(first)) {
    packets.packet(1, time, bytes, 0, bytes.length, length, 0, 0, 0);
  }
  const before = Deno.memoryUsage();
  const view = new DataView(one.bytes.buffer);
  // 30 MB, none of it acknowledged, at the same moment, every second segment missing.
  for (let i = 0; i < 30_000; i++) {
    view.setUint32(14 + 20 + 4, 6000 + 2000 * i);
    packets.packet(1, 5e6, one.bytes, 0, one.bytes.length, one.bytes.length, 0, 0, 0);
  }
  const after = Deno.memoryUsage();
  assert.ok(after.rss - before.rss < 60e6, `${after.rss - before.rss}`);
  packets.end(0);
  assert.ok(gaps > 0);
});
