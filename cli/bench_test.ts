import assert from "node:assert/strict";
import { loadLibc } from "../lib/linux/mod.ts";
import { run } from "./bench.ts";
import { EXIT, type Output } from "./output.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

async function bench(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const output: Output = {
    out: (text) => out += text,
    err: (text) => err += text,
    outHasColor: false,
    errIsTerminal: false,
  };
  const code = await run(args, output);
  return { code, out, err };
}

// To take new ones: deno run -A cli/main.ts bench rpc --help >test/help/bench-rpc.txt
for (const command of ["", "rpc", "micro", "compare", "report"]) {
  const name = command === "" ? "bench" : `bench-${command}`;
  Deno.test(`virtfs bench ${command} --help is as in test/help/${name}.txt`, async () => {
    const expected = await Deno.readTextFile(new URL(`../test/help/${name}.txt`, import.meta.url));
    const words = command === "" ? [] : [command];
    assert.deepEqual(await bench(...words, "--help"), { code: EXIT.done, out: expected, err: "" });
    assert.deepEqual(await bench("help", ...words), { code: EXIT.done, out: expected, err: "" });
  });
}

Deno.test("docs/bench.md has every option of every help, and no other", async () => {
  const manual = await Deno.readTextFile(new URL("../docs/bench.md", import.meta.url));
  for (const command of ["rpc", "micro", "compare", "report"]) {
    const [, section = ""] = new RegExp(`\n## ${command}\n([^]*?)(?:\n## |$)`).exec(manual) ?? [];
    const { out } = await bench(command, "--help");
    const options = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name)
      .filter((name) => name !== "--help");
    const documented = [...section.matchAll(/^\| `(--[\w-]+)/gm)].map(([, name]) => name);
    assert.ok(options.length > 0);
    assert.deepEqual(documented.toSorted(), options.toSorted(), command);
  }
});

const wrong: [words: string[], line: RegExp][] = [
  [[], /^virtfs bench: a command is missing; the commands are: /],
  [["rcp"], /^virtfs bench: unknown command 'rcp'; did you mean rpc\?$/],
  [["rpc"], /^virtfs bench rpc: --target is missing: /],
  [["rpc", "--target", "http://x"], /: --target "http:\/\/x" is no address: tcp:/],
  [["rpc", "--target", "vhost-user://x"], /: --target "vhost-user:\/\/x" is no address: tcp:/],
  [
    ["rpc", "--target", "unix:///x", "--target", "unix:///x"],
    /: --target unix:\/\/\/x is there twice$/,
  ],
  [["rpc", "--target", "unix:///x", "--pid", "1", "--pid", "2"], /: 2 --pid for 1 --target: /],
  [
    ["rpc", "--target", "unix:///x", "--ops", "getattr,fly"],
    /: --ops has "fly"; there are: statfs,/,
  ],
  [["rpc", "--target", "unix:///x", "--ops", ","], /: --ops is empty$/],
  [
    ["rpc", "--depth", "0"],
    /: option '--depth <N>' argument '0' is invalid\. It is no whole number/,
  ],
  [["rpc", "--dept", "1"], /: unknown option '--dept'; did you mean --depth\?$/],
  [["micro", "--seconds", "-1"], /argument '-1' is invalid\. It is no number from 0.001 to 3600/],
  [["compare", "a.json"], /^virtfs bench compare: missing required argument 'after'; /],
  [["compare", "a", "b", "c"], /^virtfs bench compare: too many arguments/],
  [["report"], /^virtfs bench report: missing required argument 'results'; /],
];
for (const [words, line] of wrong) {
  Deno.test(`virtfs bench ${words.join(" ")} says what is wrong and what is right`, async () => {
    const { code, out, err } = await bench(...words);
    assert.match(err, /^[^\n]+\n$/);
    assert.match(err.trimEnd(), line);
    assert.equal(out, "");
    assert.equal(code, EXIT.usage);
  });
}

const failures: [words: string[], line: RegExp][] = [
  [["report", "/nowhere/r.json"], /Cannot read \/nowhere\/r\.json: there is no such file$/],
  [["compare", "/nowhere/a", "/nowhere/b"], /Cannot read \/nowhere\/a: there is no such file$/],
  [["rpc", "--target", "unix:///nowhere/9p"], /Cannot measure unix:\/\/\/nowhere\/9p: /],
  [["rpc", "--target", "vhost-user:///nowhere/9p"], /: Cannot connect to "\/nowhere\/9p": ENOENT$/],
  [["micro", "--filter", "banana"], /Cannot measure "banana": no loop has that in its name$/],
];
for (const [words, line] of failures) {
  Deno.test(`virtfs bench ${words.join(" ")} fails with one line`, async () => {
    const { code, out, err } = await bench(...words);
    assert.match(err, /^virtfs bench [^\n]+\n$/);
    assert.match(err.trimEnd(), line);
    assert.equal(out, "");
    assert.equal(code, EXIT.failed);
  });
}
