/**
 * `trace` against tshark, message by message: where tshark reads a field, both agree; where it does
 * not, `docs/trace-tshark.md` says what each of them shows.
 *
 * To write the table anew: UPDATE_TSHARK_TABLE=1 deno test -A test/tshark_trace_test.ts
 */
import assert from "node:assert/strict";
import { encode, type Message, parseMessage } from "../lib/p9/mod.ts";
import { type Observer, readCapture, Session, TextLines } from "../lib/trace/mod.ts";
import { pcapOf } from "./pcap.ts";

/** What we read rightly and tshark does not: the exchange, and the words of tshark about it. */
interface Row {
  /** What it is about. */
  readonly what: string;
  /** Request and reply. */
  readonly said: readonly [request: string, reply: string];
  /** Which of the two tshark gets wrong. */
  readonly wrong: 0 | 1;
  /** Lines of what tshark shows that are wrong, or all that it shows of it. */
  readonly shown: RegExp;
  /** What is wrong with that. */
  readonly flaw: string;
}

const ROWS: readonly Row[] = [
  {
    what: "Rlerror",
    said: ['Twalk tag=1 fid=0 newfid=1 wname=["x"]', "Rlerror tag=1 ecode=ENOENT"],
    wrong: 1,
    shown: /Message data: \w+/,
    flaw: "the error is not decoded",
  },
  {
    what: "mode of Rgetattr",
    said: [
      "Tgetattr tag=1 fid=0 request_mask=GETATTR_MODE",
      "Rgetattr tag=1 valid=GETATTR_MODE qid=80.0.1 mode=040755 uid=0 gid=0 nlink=1 rdev=0 size=0 " +
      "blksize=0 blocks=0 atime_sec=0 atime_nsec=0 mtime_sec=0 mtime_nsec=0 ctime_sec=0 " +
      "ctime_nsec=0 btime_sec=0 btime_nsec=0 gen=0 data_version=0",
    ],
    wrong: 1,
    shown: /= Directory: No/g,
    flaw: "a directory is none",
  },
  {
    what: "entries of Rreaddir",
    said: [
      "Treaddir tag=1 fid=0 offset=0 count=8192",
      "Rreaddir tag=1 data=0x8000000000020000000000000001000000000000000401002e",
    ],
    wrong: 1,
    shown: /Data \(\d+ bytes\)/,
    flaw: "the entries are bytes",
  },
  {
    what: "Tgetlock",
    said: [
      'Tgetlock tag=1 fid=0 type=LOCK_TYPE_WRLCK start=0 length=0 proc_id=7 client_id="vm"',
      'Rgetlock tag=1 type=LOCK_TYPE_UNLCK start=0 length=0 proc_id=7 client_id="vm"',
    ],
    wrong: 0,
    shown: /\[Malformed Packet[^\]]*\]/,
    flaw: "a field that there is not shifts all others",
  },
  {
    what: "Rgetlock",
    said: [
      'Tgetlock tag=1 fid=0 type=LOCK_TYPE_WRLCK start=0 length=0 proc_id=7 client_id="vm"',
      'Rgetlock tag=1 type=LOCK_TYPE_UNLCK start=0 length=0 proc_id=7 client_id="vm"',
    ],
    wrong: 1,
    shown: /\[Malformed Packet[^\]]*\]/,
    flaw: "a field that there is not shifts all others",
  },
  {
    what: "datasync of Tfsync",
    said: ["Tfsync tag=1 fid=0 datasync=1", "Rfsync tag=1"],
    wrong: 0,
    shown: /Message data: \w+/,
    flaw: "datasync is not decoded",
  },
  {
    what: "n_uname of Tauth",
    said: [
      'Tauth tag=1 afid=5 uname="root" aname="" n_uname=1000',
      "Rlerror tag=1 ecode=EOPNOTSUPP",
    ],
    wrong: 0,
    shown: /Message data: \w+/,
    flaw: "n_uname is not decoded",
  },
  {
    what: "qid of Rwalk with a large version",
    said: ['Twalk tag=1 fid=0 newfid=1 wname=["x"]', "Rwalk tag=1 wqid=[0.12345.9]"],
    wrong: 1,
    shown: /Qid type=\S+ vers=\d+ path=\d+/,
    flaw: "the version is 74565; half of it is shown",
  },
  {
    what: "a message of unknown type",
    said: ["raw 0b000000c8010000010203", "Rlerror tag=1 ecode=EOPNOTSUPP"],
    wrong: 0,
    shown: /Msg Type: \S+ \(200\)|Message type 200/,
    flaw: "neither its length nor its bytes",
  },
];

/** Beginning of each: the dialect, and a root. */
const HELLO: readonly string[] = [
  'Tversion tag=NOTAG msize=8192 version="9P2000.L"',
  'Rversion tag=NOTAG msize=8192 version="9P2000.L"',
  'Tattach tag=0 fid=0 afid=NOFID uname="" aname="" n_uname=0',
  "Rattach tag=0 qid=80.0.1",
];

function bytesOf(line: string): Uint8Array {
  if (line.startsWith("raw ")) return Uint8Array.fromHex(line.slice(4));
  const message: Message = parseMessage(line);
  return encode(message, "9P2000.L");
}

function captureOf(lines: readonly string[]): Uint8Array<ArrayBuffer> {
  return pcapOf(lines.map((line) => ({
    from: line.startsWith("T") || line.startsWith("raw ") ? "client" : "server",
    bytes: bytesOf(line),
  })));
}

/** Runs tshark on a capture: what it prints of each packet in full. */
async function tsharkPackets(capture: Uint8Array): Promise<string[]> {
  const path = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    await Deno.writeFile(path, capture);
    const { success, stdout, stderr } = await new Deno.Command("tshark", {
      args: [
        "-n",
        "-r",
        path,
        "-V",
        "-o",
        'gui.column.format:"No.","%m","Info","%i"',
        "-P",
        "-S",
        "\n@@@\n",
      ],
      env: { TZ: "UTC", LC_ALL: "C.UTF-8" },
    }).output().catch((cause) => {
      throw new Error("Cannot run tshark: install the Debian package tshark", { cause });
    });
    assert.ok(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).split("\n@@@\n");
  } finally {
    await Deno.remove(path);
  }
}

async function ourLines(capture: Uint8Array): Promise<string[]> {
  let text = "";
  const lines: Observer = new TextLines((more) => text += more, { quiet: true, latency: "none" });
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(capture);
      controller.close();
    },
  });
  const report = await readCapture(stream, new Session([lines], { needs: "messages" }));
  assert.deepEqual(report.problems, []);
  return text.trimEnd().split("\n");
}

const DOC = new URL("../docs/trace-tshark.md", import.meta.url);
const BEGIN = "<!-- table: written by test/tshark_trace_test.ts -->";

Deno.test("docs/trace-tshark.md says what tshark reads wrongly and trace rightly", async () => {
  const said = [...HELLO, ...ROWS.flatMap((row) => row.said)];
  const capture = captureOf(said);
  const packets = await tsharkPackets(capture);
  const lines = await ourLines(capture);
  assert.equal(lines.length, said.length / 2);
  const table = [
    "| message | tshark | what is wrong | `virtfs trace` |",
    "| --- | --- | --- | --- |",
  ];
  for (const [i, { what, wrong, shown, flaw }] of ROWS.entries()) {
    const packet = packets[HELLO.length + 2 * i + wrong] ?? "";
    const found = [...packet.matchAll(new RegExp(shown, "g"))].map(([all]) => all);
    assert.ok(found.length > 0, `${what}: tshark shows\n${packet}`);
    const theirs = found.slice(0, 2).map((each) => `\`${each}\``).join(", ");
    const line = lines[HELLO.length / 2 + i] ?? "";
    table.push(`| ${what} | ${theirs} | ${flaw} | \`${line.replaceAll("|", "\\|")}\` |`);
  }
  const old = await Deno.readTextFile(DOC);
  const [head = "", rest = ""] = old.split(BEGIN);
  const after = rest.slice(rest.indexOf("\n\n", 2));
  const cells = (text: string): string[] =>
    text.split("\n").map((row) => row.replace(/ +/g, " ").replace(/-{3,}/g, "---").trim());
  if (Deno.env.get("UPDATE_TSHARK_TABLE") !== undefined) {
    await Deno.writeTextFile(DOC, `${head}${BEGIN}\n\n${table.join("\n")}${after}`);
    return;
  }
  const documented = rest.split("\n").filter((row) => row.startsWith("|")).join("\n");
  assert.deepEqual(cells(documented), table.map((row) => cells(row)[0]));
});
