import assert from "node:assert/strict";
import { ExchangeRecord } from "./exchange.ts";
import { exchangesOf, HELLO, linesOf, transactionsOf } from "./spoken_test_helper.ts";

/** What is said after the beginning, and the lines that come of it. */
interface Case {
  readonly what: string;
  readonly said: readonly string[];
  readonly lines: readonly string[];
}

/** Opens fids: 1 is the folder /d, 2 the file /d/f. */
const OPENED: readonly string[] = [
  ...HELLO,
  'Twalk tag=0 fid=0 newfid=1 wname=["d"]',
  "Rwalk tag=0 wqid=[80.0.2]",
  'Twalk tag=0 fid=1 newfid=2 wname=["f"]',
  "Rwalk tag=0 wqid=[0.0.3]",
];

const cases: readonly Case[] = [
  {
    what: "a partial walk, which leaves newfid as it was",
    said: [
      'Twalk tag=0 fid=0 newfid=3 wname=["d","x","y"]',
      "Rwalk tag=0 wqid=[80.0.2]",
      "Tclunk tag=0 fid=3",
      "Rlerror tag=0 ecode=EBADF",
    ],
    lines: [
      'Twalk(fid=0</>, newfid=3, ["d", "x", "y"]) = 1 [QTDIR.0.2] (stopped before "x")',
      "Tclunk(fid=3) = -EBADF (Bad file descriptor)",
    ],
  },
  {
    what: "a walk that is refused, also onto its own fid",
    said: [
      'Twalk tag=0 fid=1 newfid=1 wname=["x"]',
      "Rlerror tag=0 ecode=ENOENT",
      "Tclunk tag=0 fid=1",
      "Rclunk tag=0",
      "Tclunk tag=0 fid=1",
      "Rlerror tag=0 ecode=EBADF",
    ],
    lines: [
      'Twalk(fid=1</d>, newfid=1, ["x"]) = -ENOENT (No such file or directory)',
      "Tclunk(fid=1</d>) = 0",
      "Tclunk(fid=1) = -EBADF (Bad file descriptor)",
    ],
  },
  {
    what: "what is asked of a fid before its walk is answered",
    said: [
      'Twalk tag=1 fid=1 newfid=3 wname=["x"]',
      'Twalk tag=2 fid=3 newfid=4 wname=["y"]',
      "Tlopen tag=3 fid=4 flags=0",
      "Tclunk tag=4 fid=4",
      "Rwalk tag=1 wqid=[80.0.5]",
      "Rwalk tag=2 wqid=[0.0.6]",
      "Rlopen tag=3 qid=0.0.6 iounit=0",
      "Rclunk tag=4",
    ],
    lines: [
      'Twalk(fid=1</d>, newfid=3, ["x"]) = 1 [QTDIR.0.5]',
      'Twalk(fid=3</d/x>, newfid=4, ["y"]) = 1 [QTFILE.0.6]',
      "Tlopen(fid=4</d/x/y>, O_RDONLY) = {qid=QTFILE.0.6, iounit=0}",
      "Tclunk(fid=4</d/x/y>) = 0",
    ],
  },
  {
    what: "a walk up, not past the root",
    said: [
      'Twalk tag=0 fid=1 newfid=3 wname=["..", "..", "d"]',
      "Rwalk tag=0 wqid=[80.0.1,80.0.1,80.0.2]",
      "Tclunk tag=0 fid=3",
      "Rclunk tag=0",
    ],
    lines: [
      'Twalk(fid=1</d>, newfid=3, ["..", "..", "d"]) = 3 [QTDIR.0.1, QTDIR.0.1, QTDIR.0.2]',
      "Tclunk(fid=3</d>) = 0",
    ],
  },
  {
    what: "a folder renamed above an open file",
    said: [
      'Trenameat tag=0 olddirfid=0 oldname="d" newdirfid=0 newname="e"',
      "Rrenameat tag=0",
      "Tread tag=0 fid=2 offset=0 count=5",
      "Rread tag=0 data=0x68656c6c6f",
      'Trename tag=0 fid=2 dfid=0 name="g"',
      "Rrename tag=0",
      "Tread tag=0 fid=2 offset=5 count=5",
      "Rread tag=0 data=0x",
    ],
    lines: [
      'Trenameat(olddirfid=0</>, "d", newdirfid=0</>, "e") = 0',
      'Tread(fid=2</e/f>, offset=0, count=5) = 5 "hello"',
      'Trename(fid=2</e/f>, dfid=0</>, "g") = 0',
      'Tread(fid=2</g>, offset=5, count=5) = 0 ""',
    ],
  },
  {
    what: "a rename that is refused",
    said: [
      'Trenameat tag=0 olddirfid=0 oldname="d" newdirfid=0 newname="e"',
      "Rlerror tag=0 ecode=EACCES",
      "Tclunk tag=0 fid=2",
      "Rclunk tag=0",
    ],
    lines: [
      'Trenameat(olddirfid=0</>, "d", newdirfid=0</>, "e") = -EACCES (Permission denied)',
      "Tclunk(fid=2</d/f>) = 0",
    ],
  },
  {
    what: "a rename over a file that is open",
    said: [
      'Trenameat tag=0 olddirfid=1 oldname="g" newdirfid=1 newname="f"',
      "Rrenameat tag=0",
      "Tclunk tag=0 fid=2",
      "Rclunk tag=0",
    ],
    lines: [
      'Trenameat(olddirfid=1</d>, "g", newdirfid=1</d>, "f") = 0',
      "Tclunk(fid=2</d/f (deleted)>) = 0",
    ],
  },
  {
    what: "a file removed while it is open, and another of its name",
    said: [
      'Tunlinkat tag=0 dirfd=1 name="f" flags=0',
      "Runlinkat tag=0",
      "Tread tag=0 fid=2 offset=0 count=5",
      "Rread tag=0 data=0x00ff",
      'Twalk tag=0 fid=1 newfid=3 wname=["f"]',
      "Rwalk tag=0 wqid=[0.0.4]",
      "Tremove tag=0 fid=3",
      "Rremove tag=0",
      "Tclunk tag=0 fid=3",
      "Rlerror tag=0 ecode=EBADF",
    ],
    lines: [
      'Tunlinkat(dirfd=1</d>, "f", flags=0) = 0',
      'Tread(fid=2</d/f (deleted)>, offset=0, count=5) = 2 "\\x00\\xff"',
      'Twalk(fid=1</d>, newfid=3, ["f"]) = 1 [QTFILE.0.4]',
      "Tremove(fid=3</d/f>) = 0",
      "Tclunk(fid=3) = -EBADF (Bad file descriptor)",
    ],
  },
  {
    what: "a file that is created",
    said: [
      "Twalk tag=0 fid=1 newfid=3 wname=[]",
      "Rwalk tag=0 wqid=[]",
      'Tlcreate tag=0 fid=3 name="n" flags=O_WRONLY|O_CREAT|O_EXCL mode=0100644 gid=0',
      "Rlcreate tag=0 qid=0.0.9 iounit=0",
      "Twrite tag=0 fid=3 offset=0 data=0x6869",
      "Rwrite tag=0 count=2",
    ],
    lines: [
      "Twalk(fid=1</d>, newfid=3, []) = 0 []",
      'Tlcreate(fid=3</d>, "n", O_WRONLY|O_CREAT|O_EXCL, S_IFREG|0644, gid=0) = ' +
      "{qid=QTFILE.0.9, iounit=0}",
      'Twrite(fid=3</d/n>, offset=0, "hi", count=2) = 2',
    ],
  },
  {
    what: "extended attributes",
    said: [
      'Txattrwalk tag=0 fid=2 newfid=4 name="user.a"',
      "Rxattrwalk tag=0 size=3",
      "Tread tag=0 fid=4 offset=0 count=3",
      "Rread tag=0 data=0x616263",
      'Txattrwalk tag=0 fid=2 newfid=5 name=""',
      "Rxattrwalk tag=0 size=14",
      "Tread tag=0 fid=5 offset=0 count=14",
      "Rread tag=0 data=0x757365722e6100757365722e6200",
      'Txattrcreate tag=0 fid=2 name="user.b" attr_size=1 flags=XATTR_CREATE',
      "Rxattrcreate tag=0",
      "Twrite tag=0 fid=2 offset=0 data=0x78",
      "Rwrite tag=0 count=1",
    ],
    lines: [
      'Txattrwalk(fid=2</d/f>, newfid=4, "user.a") = 3',
      'Tread(fid=4</d/f[user.a]>, offset=0, count=3) = 3 "abc"',
      'Txattrwalk(fid=2</d/f>, newfid=5, "") = 14',
      'Tread(fid=5</d/f[xattrs]>, offset=0, count=14) = 14 ["user.a", "user.b"]',
      'Txattrcreate(fid=2</d/f>, "user.b", attr_size=1, flags=XATTR_CREATE) = 0',
      'Twrite(fid=2</d/f[user.b]>, offset=0, "x", count=1) = 1',
    ],
  },
  {
    what: "a flush, and the answer that comes too late",
    said: [
      "Tread tag=1 fid=2 offset=0 count=5",
      "Tflush tag=2 oldtag=1",
      "Rflush tag=2",
      "Rread tag=1 data=0x00",
    ],
    lines: [
      "Tread(fid=2</d/f>, offset=0, count=5) = ? <flushed>",
      "Tflush(oldtag=1) = 0",
      '<... request not seen> = Rread 1 "\\x00"',
    ],
  },
  {
    what: "a flush that comes too late",
    said: [
      "Tread tag=1 fid=2 offset=0 count=5",
      "Tflush tag=2 oldtag=1",
      "Rread tag=1 data=0x00",
      "Tclunk tag=1 fid=2",
      "Rflush tag=2",
      "Rclunk tag=1",
    ],
    lines: [
      'Tread(fid=2</d/f>, offset=0, count=5) = 1 "\\x00"',
      "Tflush(oldtag=1) = 0",
      "Tclunk(fid=2</d/f>) = 0",
    ],
  },
  {
    what: "a new session, which ends what is under way and knows no fid",
    said: [
      "Tread tag=1 fid=2 offset=0 count=5",
      'Tversion tag=NOTAG msize=8192 version="9P2000.L"',
      'Rversion tag=NOTAG msize=8192 version="9P2000.L"',
      "Tclunk tag=1 fid=2",
      "Rlerror tag=1 ecode=EBADF",
    ],
    lines: [
      "Tread(fid=2</d/f>, offset=0, count=5) = ? <flushed>",
      'Tversion(msize=8192, version="9P2000.L") = {msize=8192, version="9P2000.L"}',
      "Tclunk(fid=2) = -EBADF (Bad file descriptor)",
    ],
  },
  {
    what: "replies out of order, and requests without one",
    said: [
      "Tread tag=1 fid=2 offset=0 count=1",
      "Tread tag=2 fid=2 offset=1 count=1",
      "Tfsync tag=3 fid=2 datasync=1",
      "Rread tag=2 data=0x62",
      "close",
    ],
    lines: [
      'Tread(fid=2</d/f>, offset=1, count=1) = 1 "b"',
      "Tread(fid=2</d/f>, offset=0, count=1) <unfinished ...>",
      "Tfsync(fid=2</d/f>, datasync=1) <unfinished ...>",
    ],
  },
  {
    what: "a reply that is lost, told when the tag is used again",
    said: [
      "Tread tag=1 fid=2 offset=0 count=1",
      "lost replies 12",
      "Tread tag=1 fid=2 offset=1 count=1",
      "Rread tag=1 data=0x62",
    ],
    lines: [
      "--- gap in the replies: 12 bytes not captured; went on at the next message ---",
      "Tread(fid=2</d/f>, offset=0, count=1) = ? <reply lost>",
      'Tread(fid=2</d/f>, offset=1, count=1) = 1 "b"',
    ],
  },
  {
    what: "requests that are lost: only the root is still known",
    said: [
      "lost requests 100",
      "Rclunk tag=7",
      "Tread tag=1 fid=2 offset=1 count=1",
      "Rread tag=1 data=0x62",
      'Twalk tag=0 fid=0 newfid=2 wname=["d","f"]',
      "Rwalk tag=0 wqid=[80.0.2,0.0.3]",
      "Tclunk tag=1 fid=2",
      "Rclunk tag=1",
    ],
    lines: [
      "--- gap in the requests: 100 bytes not captured; went on at the next message ---",
      "<... request not seen> = Rclunk 0",
      'Tread(fid=2, offset=1, count=1) = 1 "b"',
      'Twalk(fid=0</>, newfid=2, ["d", "f"]) = 2 [QTDIR.0.2, QTFILE.0.3]',
      "Tclunk(fid=2</d/f>) = 0",
    ],
  },
  {
    what: "a request and a reply with one tag that are both lost",
    said: [
      "Tread tag=1 fid=2 offset=0 count=1",
      "lost replies 12",
      "Rwalk tag=1 wqid=[]",
    ],
    lines: [
      "--- gap in the replies: 12 bytes not captured; went on at the next message ---",
      "Tread(fid=2</d/f>, offset=0, count=1) = ? <reply lost>",
      "<... request not seen> = Rwalk 0 []",
    ],
  },
  {
    what: "a folder moved into itself by a server that allows it",
    said: [
      'Twalk tag=0 fid=1 newfid=3 wname=["s"]',
      "Rwalk tag=0 wqid=[80.0.9]",
      'Trenameat tag=0 olddirfid=0 oldname="d" newdirfid=3 newname="d"',
      "Rrenameat tag=0",
      "Tclunk tag=0 fid=3",
      "Rclunk tag=0",
    ],
    lines: [
      'Twalk(fid=1</d>, newfid=3, ["s"]) = 1 [QTDIR.0.9]',
      'Trenameat(olddirfid=0</>, "d", newdirfid=3</d/s>, "d") = 0',
      "Tclunk(fid=3) = 0",
    ],
  },
  {
    what: "a second tree, by its name",
    said: [
      'Tattach tag=0 fid=9 afid=NOFID uname="" aname="share" n_uname=0',
      "Rattach tag=0 qid=80.0.1",
      'Twalk tag=0 fid=9 newfid=10 wname=["x"]',
      "Rwalk tag=0 wqid=[0.0.7]",
      "Tclunk tag=0 fid=10",
      "Rclunk tag=0",
    ],
    lines: [
      'Tattach(fid=9, afid=NOFID, uname="", aname="share", n_uname=0) = {qid=QTDIR.0.1}',
      'Twalk(fid=9<share:/>, newfid=10, ["x"]) = 1 [QTFILE.0.7]',
      "Tclunk(fid=10<share:/x>) = 0",
    ],
  },
  {
    what: "messages that nobody knows, and such that are none",
    said: [
      "raw T 0b000000c8010000010203",
      "raw R 09000000c901000405",
      "raw T 0d00000078020007000000ffff",
      "Rlerror tag=2 ecode=EPROTO",
      "raw T 0f0000006e03000000000001000000",
      "Rlerror tag=3 ecode=EPROTO",
      "cut 9 Tgetattr tag=4 fid=2 request_mask=GETATTR_BASIC",
      "Rlerror tag=4 ecode=9999",
    ],
    lines: [
      "T200(11 bytes, 0x00010203) = R201(9 bytes, 0x0405)",
      "Tclunk(malformed: trailing-bytes at byte 11, 13 bytes, 0x07000000ffff) = -EPROTO " +
      "(Protocol error)",
      "Twalk(malformed: field-past-end at byte 15, 15 bytes, 0x0000000001000000) = -EPROTO " +
      "(Protocol error)",
      "Tgetattr(9 of 19 bytes captured, 0x0200...) = -9999 (Unknown error 9999)",
    ],
  },
  {
    what: "payloads that are cut off",
    said: [
      "Tread tag=1 fid=2 offset=0 count=100",
      `cut 13 Rread tag=1 data=0x${"61".repeat(100)}`,
      `cut 24 Twrite tag=1 fid=2 offset=9 data=0x${"62".repeat(70)}`,
      "Rwrite tag=1 count=70",
      `Twrite tag=1 fid=2 offset=9 data=0x${"63".repeat(40)}`,
      "Rwrite tag=1 count=40",
    ],
    lines: [
      'Tread(fid=2</d/f>, offset=0, count=100) = 100 "aa"...',
      'Twrite(fid=2</d/f>, offset=9, "b"..., count=70) = 70',
      `Twrite(fid=2</d/f>, offset=9, "${"c".repeat(32)}"..., count=40) = 40`,
    ],
  },
];

for (const { what, said, lines } of cases) {
  Deno.test(`Session follows ${what}`, async () => {
    const have = await linesOf([...OPENED, ...said]);
    assert.deepEqual(have.slice(OPENED.length / 2), lines);
  });

  Deno.test(`Session tells counts as it tells messages: ${what}`, async () => {
    const whole = await transactionsOf([...OPENED, ...said]);
    const counts = await exchangesOf([...OPENED, ...said]);
    const expected = whole.map((each, i) => ({
      ...new ExchangeRecord().fill(each),
      // Who does not decode a message takes its fid for one, also where it is none.
      ...each.request?.malformed ? { path: counts[i]?.path } : {},
    }));
    assert.deepEqual(counts, expected);
  });
}
