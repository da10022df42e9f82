/**
 * `virtfs trace` as a process: golden transcripts, formats, filters, and how it ends.
 */
import assert from "node:assert/strict";
import { virtfs } from "./virtfs.ts";

const FOLDER = new URL("transcripts/", import.meta.url).pathname;
const FILES = `${FOLDER}files.pcap`;

for (const name of ["files", "cut", "middle"]) {
  Deno.test(`virtfs trace prints ${name}.pcap as in ${name}.txt`, async () => {
    const expected = await Deno.readTextFile(`${FOLDER}${name}.txt`);
    const { code, stdout, stderr } = await virtfs(
      ...["trace", "--utc", "-tt", "--latency", "ns", `${FOLDER}${name}.pcap`],
    );
    assert.equal(stdout, expected);
    assert.equal(stderr, "");
    assert.equal(code, 0);
  });
}

Deno.test("virtfs trace reads its own JSON, which says all that the capture does", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const written = await virtfs("trace", "--format", "json", "-o", path, FILES);
    assert.deepEqual([written.code, written.stdout], [0, ""]);
    const again = await virtfs("trace", "--utc", "-tt", "--latency", "ns", path);
    assert.equal(again.stdout, await Deno.readTextFile(`${FOLDER}files.txt`));
    const refused = await virtfs("trace", "-o", path, path);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^virtfs trace: --output names FILE itself, /);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("virtfs trace shows what is asked for, and as much of it", async () => {
  const { stdout } = await virtfs(
    ...["trace", "-q", "-e", "trace=Twrite,Tread", "-P", "**/notes", "-n", "1", "-s", "8", "--hex"],
    ...["--latency", "none", FILES],
  );
  assert.equal(
    stdout,
    'Twrite(fid=1</config/notes>, offset=0, "remember"..., count=18) = 18\n' +
      " | 00000  72 65 6d 65 6d 62 65 72                           remember         |\n",
  );
  const csv = await virtfs("trace", "--format", "csv", "-Z", FILES);
  const [head = "", first = "", ...more] = csv.stdout.trimEnd().split("\r\n");
  assert.match(head, /^number,conversation,tag,time,/);
  assert.match(first, /,Txattrwalk,failed,61,ENODATA,1,\/config\/motd,/);
  assert.deepEqual(more, []);
});

Deno.test("virtfs trace colors what goes to a terminal only", async () => {
  const plain = await virtfs("trace", "-q", FILES);
  assert.ok(!plain.stdout.includes("\x1b"));
  const colored = await virtfs("trace", "-q", "--color", "always", "--errno", "ENODATA", FILES);
  assert.ok(colored.stdout.includes("\x1b[31m-ENODATA (No data available)\x1b[0m"));
});

const wrong: readonly [words: string[], code: number, line: RegExp][] = [
  [[], 2, /^virtfs trace: a FILE is missing: name a capture, or - for standard input\n$/],
  [["a", "b"], 2, /^virtfs trace: one FILE is enough, not "b" too\n$/],
  [
    ["/does/not/exist"],
    1,
    /^virtfs trace: Cannot read "\/does\/not\/exist": there is no such file\n$/,
  ],
  [["/"], 1, /^virtfs trace: Cannot read "\/": it is a folder\n$/],
  [[`${FOLDER}README.md`], 1, /^virtfs trace: there is no 9P in these \d+ lines of text: /],
  [["-e", "trace=Tred", FILES], 2, /^virtfs trace: -e trace has "Tred".*did you mean Tread\?\n$/],
  [["--slower", "10", FILES], 2, /^virtfs trace: .*It is no time with its unit, such as 10ms/],
  [["-tttt", FILES], 2, /^virtfs trace: -t is there more than three times\n$/],
  [["-z", "-Z", FILES], 2, /^virtfs trace: -z and -Z leave nothing\n$/],
  [["--formt", "csv", FILES], 2, /^virtfs trace: .*did you mean --format\?\n$/],
];
for (const [words, code, line] of wrong) {
  Deno.test(`virtfs trace ${words.map((each) => each.replace(FOLDER, "")).join(" ")} fails tidily`, async () => {
    const ended = await virtfs("trace", ...words);
    assert.match(ended.stderr, line);
    assert.equal(ended.stdout, "");
    assert.equal(ended.code, code);
  });
}

Deno.test("virtfs trace reads a capture from a pipe", async () => {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [
      "-c",
      `cat "$2" | "$0" run --no-check -A "$1" trace --utc -tt --latency ns -`,
      Deno.execPath(),
      new URL("../cli/main.ts", import.meta.url).pathname,
      FILES,
    ],
  }).output();
  assert.equal(new TextDecoder().decode(stdout), await Deno.readTextFile(`${FOLDER}files.txt`));
  assert.equal(new TextDecoder().decode(stderr), "");
  assert.equal(code, 0);
});

Deno.test("virtfs trace ends where nobody reads on, and on a signal", async () => {
  const main = new URL("../cli/main.ts", import.meta.url).pathname;
  const head = await new Deno.Command("sh", {
    args: [
      "-c",
      `"$0" run --no-check -A "$1" trace "$2" | head -n 1`,
      Deno.execPath(),
      main,
      FILES,
    ],
  }).output();
  assert.match(new TextDecoder().decode(head.stdout), /^\+\+\+ c1 opened: tcp .*\n$/);
  assert.equal(new TextDecoder().decode(head.stderr), "");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", main, "trace", "-q", "-n", "1000", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(await Deno.readFile(FILES));
  // The lines are there while the capture goes on.
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  assert.match(value ?? "", /^Tversion\(/);
  child.kill("SIGINT");
  for (;;) if ((await reader.read()).done) break;
  const { code } = await child.status;
  assert.equal(code, 130);
  await child.stderr.cancel();
  await writer.abort().catch(() => {});
});
