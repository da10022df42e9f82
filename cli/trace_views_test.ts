import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { dial } from "../lib/transport/mod.ts";
import { serveTree } from "../test/observed.ts";
import { type Ended, Virtfs } from "../test/virtfs.ts";
import type { Output } from "./output.ts";
import { run } from "./trace.ts";
import { numbered } from "./trace_views.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const TRANSCRIPTS = new URL("../test/transcripts/", import.meta.url).pathname;
/** 29 requests of one client; nothing in it breaks a rule. */
const FILES = `${TRANSCRIPTS}files.pcap`;

/** What the kernel's tracepoints say of a walk to what is not there. */
const FTRACE = `cat-97 [000] ..... 2.500000: 9p_client_req: client 184 request P9_TWALK tag  1
cat-97 [000] ..... 2.500123: 9p_client_res: client 184 response P9_TWALK tag  1 err -2
`;

/** What QEMU's own device says of the same. */
const QEMU = `41@1795388446.572011:v9fs_walk tag 1 id 110 fid 0 newfid 1 nwnames 1
41@1795388446.572211:v9fs_rerror tag 1 id 110 err 2
`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly bytes: number;
}

async function trace(...args: string[]): Promise<Ran> {
  let [out, err, bytes] = ["", "", 0];
  const output: Output = {
    out: (text) => void (out += text),
    outBytes: (piece) => void (bytes += piece.length),
    err: (text) => void (err += text),
    outHasColor: false,
    errIsTerminal: false,
  };
  const code = await run(args, output);
  return { code, out, err, bytes };
}

/** A folder for files. Disposing removes it. */
class Scratch implements Disposable {
  readonly #path = Deno.makeTempDirSync({ prefix: "virtfs-trace-" });

  of(name: string, text?: string): string {
    const path = `${this.#path}/${name}`;
    if (text !== undefined) Deno.writeTextFileSync(path, text);
    return path;
  }

  names(): string[] {
    return [...Deno.readDirSync(this.#path)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path, { recursive: true });
  }
}

/** A capture of a client that reads "hello" and asks for what is not there, made by the proxy. */
async function recorded(path: string, ...more: string[]): Promise<Ended> {
  await using server = await serveTree("unix");
  await using proxy = new Virtfs(
    ["trace", "--listen", "tcp://127.0.0.1:0", "--to", server.address, "-o", path, ...more],
  );
  const [, address = ""] = await proxy.said(/listening on (\S+),/);
  {
    await using client = await Client.connect(await dial(address));
    await using root = await client.attach({ n_uname: 0 });
    await using file = await root.walk("hello");
    await file.open();
    await file.readAll().catch(() => {});
    await assert.rejects(root.walk("nothing"));
  }
  proxy.kill("SIGINT");
  return await proxy.ended;
}

Deno.test("trace -c counts, and -S orders", async () => {
  const { code, out } = await trace("-c", "-S", "count", FILES);
  assert.equal(code, 0);
  assert.match(out, /^29 requests in 1 conversation, /);
  assert.match(out, /^ +1 +ENODATA \(No data available\) +Txattrwalk 1$/m);
  assert.match(out, /\/config\/notes$/m);
  const kinds = [...out.matchAll(/ (T[a-z]+)$/gm)].map(([, kind]) => kind);
  assert.deepEqual(kinds.slice(0, 3).toSorted(), ["Tclunk", "Tread", "Twalk"]);
  assert(!out.includes("+++"));
  const json = JSON.parse((await trace("-c", "--format", "json", FILES)).out);
  assert.equal(json.conversations, 1);
  const chosen = await trace("-c", "-e", "trace=Twrite,Tread", FILES);
  assert.match(chosen.out, /^5 requests in 1 conversation, /);
});

Deno.test("trace -c counts our own lines as it counts the capture", async () => {
  using scratch = new Scratch();
  const lines = scratch.of("lines.jsonl");
  assert.equal((await trace("-o", lines, FILES)).code, 0);
  assert.equal((await trace("-c", lines)).out, (await trace("-c", FILES)).out);
});

Deno.test("trace -C has lines, and then the summary", async () => {
  const { out } = await trace("-C", "-q", "-e", "Tlock", FILES);
  assert.match(out, /^Tlock\(.*\) = LOCK_SUCCESS <.*>\n1 request in 1 conversation, /);
});

Deno.test("trace -o writes what the name says, and --format wins", async () => {
  using scratch = new Scratch();
  const begins: [name: string, words: string[], text: RegExp][] = [
    ["a.json", [], /^\{"event":/],
    ["a.csv", [], /^number,conversation,/],
    ["a.perfetto", [], /^\[\n\{"ph":"M","name":"process_name"/],
    ["a.txt", [], /^\+\+\+ c1 opened/],
    ["b.csv", ["--format", "json"], /^\{"event":/],
  ];
  for (const [name, words, text] of begins) {
    const { code, out } = await trace("-o", scratch.of(name), ...words, FILES);
    assert.deepEqual([code, out], [0, ""]);
    assert.match(Deno.readTextFileSync(scratch.of(name)), text);
  }
  assert(Array.isArray(JSON.parse(Deno.readTextFileSync(scratch.of("a.perfetto")))));
});

Deno.test("trace writes captures that it reads again, whole or chosen", async () => {
  using scratch = new Scratch();
  const lines = (path: string): Promise<Ran> => trace("-q", path);
  const original = (await lines(FILES)).out;
  for (const format of ["pdu", "tcp"]) {
    const path = scratch.of(`${format}.pcapng`);
    assert.equal((await trace("-o", path, "--pcap-format", format, FILES)).code, 0);
    assert.equal((await lines(path)).out, original, format);
  }
  const chosen = scratch.of("chosen.pcapng");
  await trace("-o", chosen, "-e", "trace=Tread,Tlock", FILES);
  const kinds = [...(await lines(chosen)).out.matchAll(/^(T\w+)/gm)].map(([, kind]) => kind);
  assert.deepEqual(kinds, ["Tread", "Tread", "Tread", "Tlock"]);
  assert((await trace("--format", "pcapng", FILES)).bytes > 4096);
});

Deno.test("trace --redact leaves no name and no content", async () => {
  using scratch = new Scratch();
  const path = scratch.of("given-away.pcapng");
  assert.equal((await trace("-o", path, "--redact", "names,data", FILES)).code, 0);
  const bytes = new TextDecoder("latin1").decode(Deno.readFileSync(path));
  for (const secret of ["motd", "notes", "remember", "hello, world", "shadow"]) {
    assert(!bytes.includes(secret), secret);
  }
  const kinds = (text: string): string[] => [...text.matchAll(/^T\w+/gm)].map(([kind]) => kind);
  assert.deepEqual(kinds((await trace(path)).out), kinds((await trace(FILES)).out));
  // Our own lines have the names in more places than one.
  const json = scratch.of("lines.json");
  await trace("-o", json, FILES);
  const redacted = await trace("--redact", "names", "--format", "json", json);
  for (const secret of ["motd", "notes", "shadow"]) assert(!redacted.out.includes(secret), secret);
  assert(redacted.out.includes('"Tlock"'));
});

Deno.test("trace --last keeps the last, and --rotate begins new files", async () => {
  const last = await trace("-q", "--last", "2", FILES);
  assert.equal(last.out.split("\n").length, 3);
  assert.match(last.out, /^Tclunk\(fid=1.*\nTclunk\(fid=0/);
  using scratch = new Scratch();
  await trace("-o", scratch.of("all.json"), FILES);
  const size = Deno.statSync(scratch.of("all.json")).size;
  assert(size > 8192);
  await trace("-o", scratch.of("part.json"), "--rotate", "4k", FILES);
  const parts = scratch.names().filter((name) => name.startsWith("part-"));
  assert(parts.length >= 2);
  assert.equal(parts[0], "part-0000.json");
  let count = 0;
  for (const name of parts) {
    const { code, out } = await trace("-q", scratch.of(name));
    assert.equal(code, 0);
    count += out.split("\n").length - 1;
  }
  assert.equal(count, 29);
  await trace("-o", scratch.of("kept.json"), "--rotate", "4k,1", FILES);
  assert.equal(scratch.names().filter((name) => name.startsWith("kept-")).length, 1);
});

Deno.test("numbered() leaves the suffix where it is", () => {
  assert.equal(numbered("/a.b/share.pcapng", 1), "/a.b/share-0001.pcapng");
  assert.equal(numbered("/a.b/share", 12), "/a.b/share-0012");
});

Deno.test("trace --lint finds nothing in a good capture; --fail-on is an exit code of its own", async () => {
  const good = await trace("--lint", FILES);
  assert.deepEqual([good.code, good.out], [0, "no findings\n"]);
  using scratch = new Scratch();
  const path = scratch.of("bad.json");
  await trace("-o", path, FILES);
  const lines = Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line));
  const read = lines.find(({ request }) =>
    request?.message.kind === "Tread" && request.message.offset === 7
  );
  // As if the server had answered with more than was asked for.
  read.request.message.count = 2;
  Deno.writeTextFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const bad = await trace("--lint", path);
  assert.match(bad.out, /^L004 error c1: .*\n1 error\n$/);
  assert.equal(bad.code, 0);
  const codes: [words: string[], code: number][] = [
    [["--fail-on", "error"], 3],
    [["--fail-on", "note"], 3],
    [["--fail-on", "L004"], 3],
    [["--fail-on", "L001"], 0],
    [["--fail-on", "error", "--ignore", "L004"], 0],
  ];
  for (const [words, code] of codes) {
    assert.equal((await trace(...words, path)).code, code, words.join(" "));
  }
  assert.equal((await trace("--fail-on", "note", FILES)).code, 0);
  const among = await trace("-C", "--lint", path);
  assert.match(among.out, /^Tread\(.*\n!!! L004 error: /m);
});

Deno.test("trace --report writes a page", async () => {
  using scratch = new Scratch();
  const path = scratch.of("report.html");
  const { code, out } = await trace("--report", path, FILES);
  assert.deepEqual([code, out], [0, ""]);
  const page = Deno.readTextFileSync(path);
  assert.match(page, /^<!doctype html>/);
  assert.match(page, /\/config\/notes/);
});

Deno.test("trace reads logs of tracepoints", async () => {
  using scratch = new Scratch();
  const { code, out, err } = await trace("-q", scratch.of("ftrace.txt", FTRACE));
  assert.match(out, /^Twalk.* = -ENOENT .*<0\.000123>\n$/);
  assert.deepEqual([code, err], [0, ""]);
  const qemu = scratch.of("qemu.log", QEMU);
  assert.match((await trace("-c", qemu)).out, /^1 request in 1 conversation, /);
  const other = await trace(scratch.of("other.txt", "nothing of that kind\n"));
  assert.equal(other.code, 1);
  assert.match(other.err, /there is no 9P in these 1 lines of text/);
});

Deno.test("trace is a proxy that records, injects and sums up", async () => {
  using scratch = new Scratch();
  const path = scratch.of("live.pcapng");
  const { code, stdout: out, stderr: err } = await recorded(
    path,
    "-C",
    "--inject",
    "Tread:error=EIO:when=1",
  );
  assert.equal(code, 0, err);
  assert.match(out, /^\d+ requests in 1 conversation, /);
  assert.match(out, /EIO \(Input\/output error\) +Tread 1$/m);
  const again = await trace("-q", "-Z", path);
  assert.match(again.out, /^Tread\(fid=\d+<\/hello>, .*\) = -EIO /m);
});

Deno.test("trace --top says what is going on, and keeps a capture beside it", async () => {
  using scratch = new Scratch();
  const path = scratch.of("live.pcapng");
  const { code, stdout } = await recorded(path, "--top");
  assert.match(stdout, /^\d+ requests\/s, .* under way, \/hello$/m);
  assert.equal(code, 0);
  assert.match((await trace("-q", path)).out, /^Tversion\(/);
});

Deno.test("trace replay plays a capture and tells what differs; trace diff compares two", async () => {
  using scratch = new Scratch();
  const path = scratch.of("talk.pcapng");
  assert.equal((await recorded(path)).code, 0);
  {
    await using server = await serveTree("unix");
    const same = await trace("replay", path, "--to", server.address, "--speed", "max");
    assert.match(same.out, /: \d+ replies are the same, 0 differ\n$/);
    assert.equal(same.code, 0);
  }
  const equal = await trace("diff", path, path);
  assert.match(equal.out, /transactions, no difference\n$/);
  assert.equal(equal.code, 0);
  const failing = scratch.of("failing.pcapng");
  assert.equal((await recorded(failing, "--inject", "Tread:error=EIO")).code, 0);
  const different = await trace("diff", path, failing);
  assert.match(different.out, /^\+ .*EIO/m);
  assert.equal(different.code, 3);
  {
    await using server = await serveTree("unix");
    const differs = await trace("replay", failing, "--to", server.address, "--speed", "max");
    assert.match(differs.out, /^ {2}captured: .*EIO/m);
    assert.equal(differs.code, 3);
  }
});

Deno.test("trace explain tells of a rule, or of all", async () => {
  const one = await trace("explain", "l007");
  assert.match(one.out, /^L007 \(error\): reply after Rflush\n/);
  assert.equal(one.code, 0);
  const all = await trace("explain");
  assert.match(all.out, /^L001 {2}error/);
  const none = await trace("explain", "L999");
  assert.equal(none.code, 2);
  assert.match(none.err, /^virtfs trace explain: there is no rule "L999": they are L001 to L/);
});

const wrong: readonly [words: string[], message: RegExp][] = [
  [["-c", "-C", FILES], /-c and -C: choose one/],
  [["-S", "time", FILES], /-S is the order of -c and -C/],
  [["-c", "--format", "csv", FILES], /-c writes text or json/],
  [["-C", "--format", "json", FILES], /do not go to one place/],
  [["--top", FILES], /--top is about now/],
  [["--top", "-c", "-"], /--top has standard output for itself/],
  [["--pcap-format", "tcp", FILES], /--pcap-format is for --format pcapng/],
  [["--rotate", "1M", FILES], /--rotate takes -o FILE/],
  [["--rotate", "10", "-o", "/nowhere", FILES], /no size of 4k or more/],
  [["--rotate", "1M", "--last", "3", "-o", "/nowhere", FILES], /choose one/],
  [["--redact", "everything", FILES], /It takes names, data or both/],
  [["--fail-on", "L999", FILES], /neither error, warning, note nor a rule/],
  [["--ignore", "L999", FILES], /There is no rule "L999"/],
  [["--report", "/nowhere/a", "-o", "/nowhere/./a", FILES], /--output and --report name one file/],
  [["--report", FILES, FILES], /--report names FILE itself/],
  [["--listen", "tcp://127.0.0.1:0", "--to", "tcp://127.0.0.1:1", FILES], /do not go together/],
  [["--inject", "Tread:drop", FILES], /--inject is for a proxy/],
  [["replay", FILES], /--to ADDRESS is missing/],
  [["replay", FILES, "--to", "nowhere"], /nowhere/],
  [["diff", FILES], /two captures are needed/],
  [["diff", "-", "-"], /only one of the two/],
];
for (const [words, message] of wrong) {
  Deno.test(`trace ${words.map((each) => each.replace(TRANSCRIPTS, "")).join(" ")} is refused`, async () => {
    const { code, out, err } = await trace(...words);
    assert.match(err, message);
    assert.deepEqual([code, out], [2, ""]);
  });
}
