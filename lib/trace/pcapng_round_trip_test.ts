/**
 * What is written as pcapng with the messages themselves as packets, read again: the same lines.
 */
import assert from "node:assert/strict";
import { encode, type Message, NONUNAME, parseMessage } from "../p9/mod.ts";
import type { Dialect } from "../p9/mod.ts";
import { BASE, HELLO, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { PcapngFile } from "./pcapng_write.ts";
import { readCapture } from "./read_capture.ts";
import { Session } from "./session.ts";
import { TextLines } from "./text_lines.ts";
import type { Conversation, Frame, Observer } from "./types.ts";

/** Bytes of the payload that no packet holder would hold at once. */
const LARGE = new Uint8Array(150_000).map((_, i) => 0x61 + i % 26);

const COMMON: readonly (string | Message)[] = [
  'Twalk tag=1 fid=0 newfid=1 wname=["dir","file"]',
  "Rwalk tag=1 wqid=[80.0.2,0.0.3]",
  'Twalk tag=2 fid=0 newfid=2 wname=["nothing"]',
  "Twalk tag=3 fid=1 newfid=3 wname=[]",
  "Rwalk tag=3 wqid=[]",
];

const WORK: Readonly<Record<Dialect, readonly (string | Message)[]>> = {
  "9P2000.L": [
    ...HELLO.map(([, message]) => message),
    ...COMMON,
    "Rlerror tag=2 ecode=ENOENT",
    "Tlopen tag=1 fid=1 flags=O_RDWR",
    "Rlopen tag=1 qid=0.0.3 iounit=0",
    "Tread tag=1 fid=1 offset=9007199254740993 count=200000",
    { kind: "Rread", tag: 1, data: LARGE },
    { kind: "Twrite", tag: 1, fid: 1, offset: 5n, data: LARGE },
    "Rwrite tag=1 count=150000",
    "Tgetattr tag=4 fid=3 request_mask=GETATTR_BASIC",
  ],
  "9P2000.u": [
    'Tversion tag=NOTAG msize=8192 version="9P2000.u"',
    'Rversion tag=NOTAG msize=8192 version="9P2000.u"',
    'Tattach tag=0 fid=0 afid=NOFID uname="glenda" aname="" n_uname=1000',
    "Rattach tag=0 qid=80.0.1",
    ...COMMON,
    'Rerror tag=2 ename="file not found" errno=ENOENT',
    'Tcreate tag=1 fid=1 name="link" perm=0x02000000 mode=0 extension="../to"',
    "Rcreate tag=1 qid=2.0.9 iounit=0",
    "Tremove tag=1 fid=3",
    "Rremove tag=1",
  ],
  "9P2000": [
    'Tversion tag=NOTAG msize=8192 version="9P2000"',
    'Rversion tag=NOTAG msize=8192 version="9P2000"',
    {
      kind: "Tattach",
      tag: 0,
      fid: 0,
      afid: 0xffff_ffff,
      uname: "glenda",
      aname: "",
      n_uname: NONUNAME,
    },
    "Rattach tag=0 qid=80.0.1",
    ...COMMON,
    { kind: "Rerror", tag: 2, ename: "file does not exist", errno: 0 },
    "Topen tag=1 fid=1 mode=0",
    "Ropen tag=1 qid=0.0.3 iounit=8000",
    "Tread tag=1 fid=1 offset=0 count=5",
    "Rread tag=1 data=0x68656c6c6f",
    "Tclunk tag=1 fid=1",
  ],
};

const CONVERSATIONS: readonly Conversation[] = [
  TCP_CONVERSATION,
  { id: 1, transport: "tcp", client: "[fe80::1]:9", server: "[::1]:5640" },
  { id: 1, transport: "unix", client: "", server: "/run/a b.sock" },
  { id: 1, transport: "virtio", client: "", server: "share" },
];

/** Shows observers a conversation, of each message so many bytes. */
async function show(
  observer: Observer,
  said: readonly (string | Message)[],
  conversation: Conversation,
  dialect: Dialect,
  snap: number,
): Promise<void> {
  observer.begin?.({ base: BASE });
  observer.opened?.(conversation, 0);
  let time = 0;
  for (const what of said) {
    const message = typeof what === "string" ? parseMessage(what) : what;
    const bytes = encode(message, dialect);
    const direction = message.kind.startsWith("T") ? "request" : "reply";
    const end = Math.min(snap, bytes.length);
    const frame: Frame = {
      conversation,
      direction,
      time,
      size: bytes.length,
      bytes,
      start: 0,
      end,
    };
    observer.frame?.(frame);
    time += 1_234_567;
  }
  observer.closed?.(conversation, time - 1_234_567);
  await observer.end?.(time - 1_234_567);
}

/** Observer of frames that writes lines, and the lines. */
function lines(): { readonly session: Session; readonly text: () => string } {
  let text = "";
  const session = new Session(
    [new TextLines((more) => text += more, { stamp: "tt", utc: true, latency: "ns" })],
    { needs: "messages" },
  );
  return { session, text: () => text };
}

function streamOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces);
}

for (const [dialect, said] of Object.entries(WORK) as [Dialect, typeof COMMON][]) {
  for (const snap of [Infinity, 60, 11, 7]) {
    Deno.test(`readCapture() reads what PcapngFile wrote: ${dialect}, ${snap} bytes of each message`, async () => {
      for (const conversation of CONVERSATIONS) {
        const pieces: Uint8Array[] = [];
        const file = new PcapngFile({
          write: (bytes) => void pieces.push(bytes.slice()),
          format: "pdu",
          describe: () => "a comment",
          application: "virtfs",
        });
        const before = lines();
        // The file has transactions, too, so that requests wait for their replies in it.
        const writing = new Session([file], { needs: "messages" });
        await show(before.session, said, conversation, dialect, snap);
        await show(writing, said, conversation, dialect, snap);
        const after = lines();
        const report = await readCapture(streamOf(pieces), after.session);
        assert.deepEqual(report.problems, []);
        assert.equal(after.text(), before.text());
        assert.equal(before.text().split("\n").length - 1, 2 + Math.ceil(said.length / 2));
      }
    });
  }
}
