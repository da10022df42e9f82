// What `serve --trace` writes, as a process in its sandbox.
import assert from "node:assert/strict";
import { loadLibc } from "../lib/linux/mod.ts";
import { Folder, readOver, Virtfs, virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

/** Serves a folder, lets a client read "hello", and ends. */
async function served(folder: Folder, ...words: string[]): Promise<Virtfs> {
  await using process = new Virtfs(
    ["serve", folder.export, "--listen", `unix://${folder.socket}`, ...words],
  );
  await process.said(/Listening on unix:/);
  assert.equal(await readOver(`unix://${folder.socket}`, "hello"), "hello, world\n");
  process.kill("SIGTERM");
  assert.equal((await process.ended).code, 0, process.stderr);
  return process;
}

Deno.test("serve --trace writes a capture that trace reads, for its owner only", async () => {
  using folder = new Folder();
  const path = `${folder.path}/share.pcapng`;
  await served(folder, "--trace", path, "--trace-payload", "5");
  assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
  const { code, stdout } = await virtfs("trace", "-q", "-e", "trace=Tversion,Tread", path);
  const [first = "", second = ""] = stdout.split("\n");
  assert.match(first, /^Tversion\(.*\) = \{msize=\d+, version="9P2000\.L"\} <\d/);
  assert.match(second, /^Tread\(fid=\d+<\/hello>, offset=0, count=\d+\) = 13 "hello"\.\.\. <\d/);
  assert.equal(code, 0);
});

Deno.test("serve --trace - has the lines for itself, and says the rest elsewhere", async () => {
  using folder = new Folder();
  const { stdout, stderr } = await served(folder, "--trace", "-");
  const lines = stdout.trimEnd().split("\n");
  assert(lines.length > 5);
  for (const line of lines) assert.match(line, /^\d\d:\d\d:\d\d\.\d{6} (?:\+\+\+ c1 |T\w+\()/);
  assert(stdout.includes('= 13 "hello, world\\n"'), stdout);
  assert.match(stderr, /^virtfs \d.* serves 1 folder/);
});

for (
  const [words, line] of [
    [["--trace-payload", "5"], /--trace-payload takes --trace FILE/],
    [["--trace", "-", "--trace-payload", "few"], /takes a number of bytes or all, not "few"/],
    [["--trace", "/does/not/exist"], /Cannot write the trace to \/does\/not\/exist: /],
  ] as const
) {
  Deno.test(`serve ${words.join(" ")} is refused`, async () => {
    const { code, stderr, stdout } = await virtfs(
      "serve",
      "/usr/share/doc",
      "--read-only",
      ...words,
    );
    assert.match(stderr, line);
    assert.equal(stdout, "");
    assert.notEqual(code, 0);
  });
}
