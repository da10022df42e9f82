import assert from "node:assert/strict";
import { Notebook } from "../../test/observed.ts";
import { importLog } from "./import_log.ts";

async function read(text: string) {
  const book = new Notebook();
  const report = await importLog(text.split("\n"), book);
  const told = book.frames.map(({ conversation, direction, time, size, bytes, message }) => ({
    who: conversation.client,
    direction,
    time,
    size,
    have: bytes.length,
    type: bytes[4],
    message,
  }));
  return { book, report, told };
}

// As include/trace/events/9p.h of Linux has it, in the frame of /sys/kernel/tracing/trace and of perf script.
const FTRACE = `# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
           mount-95      [000] .....     2.120334: 9p_protocol_dump: clnt 18446636289563275264 P9_TVERSION(tag = 65535)
000: 15 00 00 00 64 ff ff 00 20 00 00 08 00 39 50 32
010: 30 30 30 2e 4c 00 00 00 00 00 00 00 00 00 00 00

           mount-95      [000] .....     2.120335: 9p_client_req: client 18446636289563275264 request P9_TVERSION tag  65535
           mount-95      [000] .....     2.122018: 9p_client_res: client 18446636289563275264 response P9_TVERSION tag  65535 err 0
             cat-97      [000] .....     2.500000: 9p_client_req: client 18446636289563275264 request P9_TWALK tag  1
             cat-97      [000] .....     2.500123: 9p_client_res: client 18446636289563275264 response P9_TWALK tag  1 err -2
 cat    97 [000]     3.000001: 9p:9p_client_req: client 18446636289563275264 request P9_TREAD tag  2
`;

Deno.test("importLog() reads the tracepoints of Linux", async () => {
  const { told, report, book } = await read(FTRACE);
  assert.deepEqual(report.unknown, 0);
  assert.equal(report.events, 6);
  assert.equal(book.opens.length, 1);
  assert.deepEqual(told.map(({ type, direction, time }) => [type, direction, time]), [
    [100, "request", 2_120_334_000],
    [101, "reply", 2_122_018_000],
    [110, "request", 2_500_000_000],
    [7, "reply", 2_500_123_000],
    [116, "request", 3_000_001_000],
  ]);
  // All of it was dumped, and told once.
  assert.deepEqual(told[0]?.message, {
    kind: "Tversion",
    tag: 65_535,
    msize: 8192,
    version: "9P2000.L",
  });
  assert.deepEqual(told[3]?.message, { kind: "Rlerror", tag: 1, ecode: 2 });
  // Of the others there is a head, which is less than they need.
  for (const index of [1, 2, 4]) {
    assert.equal(told[index]?.have, 7);
    assert((told[index]?.size ?? 0) > 7);
  }
});

// As a newer kernel in a guest has printed it.
const NEWER_FTRACE =
  `           mount-146     [000] .....     5.911126: 9p_protocol_dump: clnt 18446612682174588032 P9_TVERSION(tag = 65535)
15 00 00 00 64 ff ff 00 00 01 00 08 00 39 50 32 30 30 30 2e 4c 00 00 00 00 00 00 00 00 00 00 00

           mount-146     [000] .N...     5.917241: 9p_client_req: client 18446612682174588032 request P9_TVERSION tag  65535
           mount-146     [000] .....     5.945572: 9p_fid_ref: create  fid 0, refcount 1
           mount-146     [000] .....     5.945995: 9p_protocol_dump: clnt 18446612682174588032 P9_TATTACH(tag = 0)
1d 00 00 00 68 00 00 00 00 00 00 ff ff ff ff 06 00 6e 6f 62 6f 64 79 00 00 ff ff ff ff

           mount-146     [000] .....     5.946001: 9p_client_req: client 18446612682174588032 request P9_TATTACH tag  0
`;

Deno.test("importLog() reads bytes that no offset leads", async () => {
  const { told, report } = await read(NEWER_FTRACE);
  assert.deepEqual([report.events, report.unknown], [4, 0]);
  assert.deepEqual(told.map(({ message }) => message), [
    { kind: "Tversion", tag: 65_535, msize: 65_536, version: "9P2000.L" },
    {
      kind: "Tattach",
      tag: 0,
      fid: 0,
      afid: 0xffff_ffff,
      uname: "nobody",
      aname: "",
      n_uname: 0xffff_ffff,
    },
  ]);
});

const QEMU = `4211@1700000000.000100:v9fs_version tag 65535 id 100 msize 8192 version 9P2000.L
4211@1700000000.000200:v9fs_version_return tag 65535 id 100 msize 8192 version 9P2000.L
4211@1700000000.000300:v9fs_attach tag 0 id 104 fid 0 afid -1 uname root aname /a b
4211@1700000000.000400:v9fs_attach_return tag 0 id 104 type 128 version 7 path 18446744073709551615
4211@1700000000.000500:v9fs_walk tag 0 id 110 fid 0 newfid 1 nwnames 1
4211@1700000000.000600:v9fs_rerror tag 0 id 110 err 2
4211@1700000000.000700:v9fs_walk tag=0 id=110 fid=0 newfid=1 nwnames=2 wnames={dir, file name}
4211@1700000001.500000:v9fs_read tag 3 id 116 fid 1 off 4096 max_count 512
4211@1700000001.600000:v9fs_read_return tag 3 id 116 count 5 err 16
v9fs_clunk without what it should have
`;

Deno.test("importLog() reads the log of QEMU's device", async () => {
  const { told, report, book } = await read(QEMU);
  assert.deepEqual(report, { lines: 11, events: 9, unknown: 0 });
  assert.equal(book.clock?.base, 1_700_000_000_000_000_000n);
  assert.equal(told[0]?.time, 100_000);
  assert.equal(told[7]?.time, 1_500_000_000);
  assert.deepEqual(told[2]?.message, {
    kind: "Tattach",
    tag: 0,
    fid: 0,
    afid: 0xffff_ffff,
    uname: "root",
    aname: "/a b",
    n_uname: 0,
  });
  assert.deepEqual(told[3]?.message, {
    kind: "Rattach",
    tag: 0,
    qid: { type: 128, version: 7, path: 2n ** 64n - 1n },
  });
  assert.equal(told[4]?.message, null);
  assert.equal(told[4]?.have, 17);
  assert.deepEqual(told[5]?.message, { kind: "Rlerror", tag: 0, ecode: 2 });
  assert.deepEqual(told[6]?.message, {
    kind: "Twalk",
    tag: 0,
    fid: 0,
    newfid: 1,
    wname: ["dir", "file name"],
  });
  assert.deepEqual(told[7]?.message, { kind: "Tread", tag: 3, fid: 1, offset: 4096n, count: 512 });
  assert.deepEqual([told[8]?.type, told[8]?.direction], [117, "reply"]);
});

Deno.test("importLog() passes over what it does not know", async () => {
  const lines = [
    "nothing",
    "x-1 [000] ..... 1.0: 9p_client_req: client 1 request P9_TMAGIC tag  1",
    "x-1 [000] ..... 1.0: 9p_protocol_dump: clnt 1 P9_TREAD(tag = 1)",
    "000: zz",
    "x-1 [000] ..... 1.0: 9p_protocol_dump: clnt 1 P9_TREAD(tag = 1)",
    "000: 01 00 00 00 74 01 00 00 00 00 00 00 00 00 00 00",
    "v9fs_magic tag 1 id 250 fid 3",
    "v9fs_walk tag 999999999999999 id 110 nwnames 99999999",
    `${"v9fs_walk ".repeat(100_000)}`,
  ];
  const { report, told } = await read(lines.join("\n"));
  assert.equal(report.unknown, 4);
  assert.equal(told.length, 1);
});
