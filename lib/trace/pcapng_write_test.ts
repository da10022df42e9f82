import assert from "node:assert/strict";
import { parseEndpoint } from "./endpoints.ts";
import {
  BASE,
  HELLO,
  lineOf,
  play,
  playOn,
  type Said,
  TCP_CONVERSATION,
} from "./observed_test_helper.ts";
import { type PcapFormat, PcapngFile } from "./pcapng_write.ts";
import type { Conversation } from "./types.ts";

const LONG = new Uint8Array(200_000).fill(0x61);

const WORK: readonly Said[] = [
  ...HELLO,
  [400, 'Twalk tag=1 fid=0 newfid=1 wname=["dir","nofile"]'],
  [450, "Tgetattr tag=2 fid=0 request_mask=GETATTR_BASIC"],
  [500, "Rlerror tag=1 ecode=ENOENT"],
  [600, "Rlerror tag=2 ecode=EACCES"],
  [700, 'Twalk tag=1 fid=0 newfid=1 wname=["file"]'],
  [800, "Rwalk tag=1 wqid=[0.0.2]"],
  [900, "Tlopen tag=1 fid=1 flags=O_RDONLY"],
  [1000, "Rlopen tag=1 qid=0.0.2 iounit=0"],
  [1100, "Tread tag=1 fid=1 offset=0 count=200000"],
  [1900, { kind: "Rread", tag: 1, data: LONG }],
  [2000, "Tclunk tag=1 fid=1"],
  [2100, "Rclunk tag=1"],
  [2200, "Tclunk tag=1 fid=0"],
];

class Sink {
  readonly pieces: Uint8Array[] = [];
  readonly write = (bytes: Uint8Array): void => {
    this.pieces.push(bytes.slice());
  };

  get bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of this.pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }
}

function file(format: PcapFormat, sink: Sink): PcapngFile {
  return new PcapngFile({ write: sink.write, format, describe: lineOf, application: "virtfs" });
}

async function tshark(bytes: Uint8Array, fields: readonly string[]): Promise<string[][]> {
  const path = await Deno.makeTempFile({ suffix: ".pcapng" });
  try {
    await Deno.writeFile(path, bytes);
    const args = ["-r", path, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"];
    args.push(...fields.flatMap((field) => ["-e", field]));
    // A home of its own: nothing that somebody has set up plays a part.
    const env = { TZ: "UTC", LC_ALL: "C.UTF-8", HOME: "/nonexistent" };
    const { success, stdout, stderr } = await new Deno.Command("tshark", { args, env }).output()
      .catch((cause) => {
        throw new Error("Cannot run tshark: install the Debian package tshark", { cause });
      });
    assert.ok(success, new TextDecoder().decode(stderr));
    const lines = new TextDecoder().decode(stdout).split("\n").slice(0, -1);
    return lines.map((line) => line.split("\t"));
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("PcapngFile writes what tshark reads with no options: each frame decoded, comments there", async () => {
  const sink = new Sink();
  await play([file("pdu", sink)], WORK);
  const rows = await tshark(sink.bytes, [
    "_ws.col.Protocol",
    "9p.msgtype",
    "9p.msglen",
    "frame.time_epoch",
    "frame.interface_name",
    "frame.p2p_dir",
    "frame.comment",
    "_ws.malformed",
  ]);
  assert.equal(rows.length, WORK.length);
  assert.ok(rows.every((row) => row[0]?.startsWith("9P") && row[7] === ""), String(rows));
  assert.deepEqual(
    rows.map((row) => row[1]),
    "100 101 104 105 110 24 7 7 110 111 12 13 116 117 120 121 120".split(" "),
  );
  assert.equal(rows[13]?.[2], "200011");
  assert.equal(rows[4]?.[3], "1700000000.000400000");
  assert.ok(rows.every((row) => row[4] === "c1 tcp 10.0.0.2:564"));
  const comments = rows.map((row) => row[6]);
  // Both packets of a transaction tell all of it; also with others in between.
  assert.equal(comments[4], "Twalk() = -ENOENT <0.000100>");
  assert.equal(comments[6], comments[4]);
  assert.equal(comments[5], "Tgetattr() = -EACCES <0.000150>");
  assert.equal(comments[7], comments[5]);
  assert.equal(comments[16], "Tclunk() = <unfinished>");
});

Deno.test("PcapngFile dresses messages up as TCP that tshark puts together again", async () => {
  const sink = new Sink();
  const observer = file("tcp", sink);
  observer.begin({ base: BASE });
  const local: Conversation = { id: 2, transport: "unix", client: "", server: "/run/a.sock" };
  const six: Conversation = {
    id: 3,
    transport: "tcp",
    client: "[fe80::1]:9",
    server: "[::1]:5640",
  };
  for (const conversation of [TCP_CONVERSATION, local, six]) {
    playOn([observer], WORK, { conversation });
  }
  observer.end(0);
  const rows = await tshark(sink.bytes, [
    "9p.msgtype",
    "tcp.flags.str",
    "tcp.checksum.status",
    "tcp.analysis.flags",
    "frame.comment",
    "_ws.malformed",
  ]);
  const types = rows.map((row) => row[0]).filter((type) => type !== "").join(" ");
  const once = "100 101 104 105 110 24 7 7 110 111 12 13 116 117 120 121 120";
  assert.equal(types, `${once} ${once} ${once}`);
  assert.equal(rows.filter((row) => row[3] !== "" || row[5] !== "").length, 0);
  assert.equal(rows.filter((row) => row[4]?.includes("-ENOENT")).length, 6);
  // Handshake, 17 messages of which one has 4 segments, goodbye.
  assert.equal(rows.length, 3 * (3 + 17 + 3 + 3));
});

Deno.test("PcapngFile writes checksums that tshark finds right", async () => {
  const sink = new Sink();
  await play([file("tcp", sink)], WORK);
  const path = await Deno.makeTempFile({ suffix: ".pcapng" });
  await Deno.writeFile(path, sink.bytes);
  const args = ["-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
  args.push("-T", "fields", "-e", "tcp.checksum.status", "-e", "ip.checksum.status");
  const { stdout } = await new Deno.Command("tshark", { args }).output();
  await Deno.remove(path);
  const seen = new Set(new TextDecoder().decode(stdout).trim().split("\n"));
  assert.deepEqual([...seen], ["1\t1"]);
});

Deno.test("PcapngFile says how long a message was of which only the beginning was captured", async () => {
  for (const format of ["pdu", "tcp"] as const) {
    const sink = new Sink();
    await play([file(format, sink)], WORK.slice(0, 4), { snap: 12 });
    const rows = await tshark(sink.bytes, ["frame.len", "frame.cap_len", "9p.msgtype"]);
    const lengths = rows.map(([length, captured]) => Number(length) - Number(captured));
    assert.deepEqual(lengths.filter((each) => each > 0), [9, 9, 11, 8], format);
  }
});

Deno.test("PcapngFile puts findings and gaps where they belong", async () => {
  const sink = new Sink();
  const observer = file("pdu", sink);
  observer.begin({ base: BASE });
  const seen = WORK.slice(0, 8);
  playOn([{
    frame: (frame) => observer.frame(frame),
    transaction: (transaction) => {
      observer.transaction(transaction);
      if (transaction.errno === 2) {
        observer.finding({
          rule: "L099",
          severity: "warning",
          conversation: transaction.conversation,
          time: 0,
          message: "a finding\n\ud800 of many",
        });
        observer.gap({
          conversation: transaction.conversation,
          direction: "reply",
          time: 0,
          lost: 7,
          skipped: 3,
          why: "not captured",
          isInside: false,
        });
      }
    },
  }], seen);
  observer.end(0);
  const rows = await tshark(sink.bytes, ["frame.comment"]);
  const comments = rows.map(([comment]) => comment ?? "");
  assert.match(comments[6] ?? "", /-ENOENT <0\.000100>.*L099 warning: a finding.*of many/);
  assert.match(comments[7] ?? "", /gap in replies before this: 7 bytes lost, 3 skipped/);
});

Deno.test("PcapngFile holds a bounded number of requests that nobody answers", () => {
  let written = 0;
  const observer = new PcapngFile({
    write: (bytes) => {
      written += bytes.length;
    },
    describe: lineOf,
    application: "virtfs",
  });
  observer.begin({ base: BASE });
  const bytes = new Uint8Array(1 << 20);
  for (let tag = 0; tag < 100; tag++) {
    bytes[5] = tag;
    observer.frame({
      conversation: TCP_CONVERSATION,
      direction: "request",
      time: tag,
      size: bytes.length,
      bytes,
      start: 0,
      end: bytes.length,
    });
  }
  // Of 100 MiB no more than 16 are held.
  assert.ok(written > 80 << 20, `${written}`);
  observer.end(100);
  assert.ok(written > 100 << 20, `${written}`);
});

Deno.test("parseEndpoint() reads what is an address and nothing else", () => {
  const good: [string, number[], number][] = [
    ["10.0.0.1:80", [10, 0, 0, 1], 80],
    ["[::1]:564", [...new Array(15).fill(0), 1], 564],
    ["[fe80::2:0]:1", [0xfe, 0x80, ...new Array(11).fill(0), 2, 0, 0], 1],
    ["[::ffff:1.2.3.4]:1", [...new Array(10).fill(0), 255, 255, 1, 2, 3, 4], 1],
  ];
  for (const [text, address, port] of good) {
    const endpoint = parseEndpoint(text);
    assert.deepEqual(endpoint && [...endpoint.address], address, text);
    assert.equal(endpoint?.port, port);
  }
  const bad = [
    "",
    "a:1",
    "1.2.3:4",
    "1.2.3.256:4",
    "1.2.3.4:65536",
    "[1::2::3]:4",
    "[::]",
    "[:::]:1",
  ];
  for (const text of [...bad, `[${"0:".repeat(20)}]:1`, "[1:2:3:4:5:6:7:8:9]:1"]) {
    assert.equal(parseEndpoint(text), null, text);
  }
});
