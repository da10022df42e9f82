import assert from "node:assert/strict";
import { runCodec } from "../lib/fuzz/mod.ts";
import { replay } from "./fuzz_cases.ts";
import { run } from "./fuzz_codec.ts";
import { EXIT, type Output } from "./output.ts";

async function tell(
  command: (args: readonly string[], output: Output) => Promise<number>,
  ...args: string[]
): Promise<{ code: number; out: string }> {
  let out = "";
  const code = await command(args, {
    out: (text) => out += text,
    err: (text) => out += text,
    outHasColor: false,
    errIsTerminal: false,
  });
  return { code, out };
}

/** Words that mean nothing, and what is said of them. */
const REFUSED: readonly [words: string, why: RegExp][] = [
  ["--aname x", /^--aname is for a target/],
  ["--timeout 1000", /^--timeout is for a target/],
  ["--seed 1 --model none", /^--model is for a target/],
  ["--scratch", /^--scratch is for a target/],
  ["own:unix --jobs 2", /^--jobs is for our codec/],
  ["own:unix --unguided", /^--unguided is for our codec/],
  ["own:unix --off hang,round-trip", /^--off round-trip means nothing for a server/],
  ["--off process", /^--off process means nothing for our codec/],
  ["--off data", /'data' is invalid/],
  ["--profile qemu", /unknown option '--profile'/],
  ["--uid 0", /unknown option '--uid'/],
];
for (const [words, why] of REFUSED) {
  Deno.test(`virtfs fuzz codec refuses ${words}`, async () => {
    await assert.rejects(tell(run, ...words.split(" ")), { name: "UsageError", message: why });
  });
}

Deno.test("virtfs fuzz codec tries our codec without what is off", async () => {
  const words = "--unguided --runs 500 --time 60 --off hang,text,json".split(" ");
  const { code, out } = await tell(run, ...words);
  assert.equal(code, EXIT.done);
  assert.match(out, /^500 cases in .*, 0 findings\n$/);
});

Deno.test("virtfs fuzz replay holds a frame of our codec with that", async () => {
  const path = await Deno.makeTempFile({ suffix: ".9p" });
  try {
    // A frame that was wrong once, of a dialect that is not a server's first choice.
    await Deno.writeTextFile(path, "# our codec, 9P2000.u\nraw 0x0b000000780100020000\n");
    const { code, out } = await tell(replay, path, "--times", "20");
    assert.equal(code, EXIT.done);
    assert.equal(out, `${path}: PASS, 0 of 20 times\n`);
    await Deno.writeTextFile(path, "# our codec, 9P1\nraw 0x00\n");
    await assert.rejects(tell(replay, path), /"9P1" is no dialect/);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("runCodec() leaves out a whole oracle", async () => {
  const off = new Set(["round-trip", "hang"] as const);
  const { cases, findings } = await runCodec({ runs: 500, timeMs: 60_000, isGuided: false, off });
  assert.deepEqual([cases, findings], [500, []]);
});
