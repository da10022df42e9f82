import assert from "node:assert/strict";
import { Blocks, type Ending, judge, lanesOf, parsePlan } from "./run_tests.ts";

const TOOL = new URL("./run_tests.ts", import.meta.url);

function variables(values: Record<string, string>): (name: string) => string | undefined {
  return (name) => values[name];
}

Deno.test("parsePlan() takes the quick profile when nothing is said", () => {
  assert.deepEqual(parsePlan([], variables({})), {
    profile: "ci",
    noSkips: false,
    isChecked: false,
    isInTurn: false,
    rest: [],
  });
});

Deno.test("parsePlan() reads variables, flags, paths and what follows --", () => {
  const plan = parsePlan(
    ["lib/p9", "--no-skips", "--", "--filter", "walk"],
    variables({ VIRTFS_TEST_PROFILE: "full" }),
  );
  assert.deepEqual(plan, {
    profile: "full",
    noSkips: true,
    isChecked: false,
    isInTurn: false,
    rest: ["lib/p9", "--filter", "walk"],
  });
  assert.equal(parsePlan(["--checked"], variables({})).isChecked, true);
  assert.equal(parsePlan(["--in-turn"], variables({})).isInTurn, true);
  assert.equal(parsePlan(["--full"], variables({})).profile, "full");
  assert.equal(parsePlan([], variables({ CI: "true" })).noSkips, true);
});

Deno.test("parsePlan() refuses unknown flags and profiles", () => {
  assert.throws(() => parsePlan(["--fast"], variables({})), /"--fast" is no flag/);
  assert.throws(
    () => parsePlan([], variables({ VIRTFS_TEST_PROFILE: "slow" })),
    /"slow" is no profile/,
  );
});

const CASE = 'classname="./a_test.ts"';
const PASSED = `<testcase name="a" ${CASE}></testcase>`;
const FAILED = `<testcase name="b" ${CASE}><failure message="no">no</failure></testcase>`;
const SKIPPED = `<testcase name="c" ${CASE}><skipped/></testcase>`;

Deno.test("judge() accepts a run in which all passed", () => {
  const { counts, isGood, complaints } = judge([{ code: 0, report: PASSED }], true);
  assert.deepEqual(counts, { passed: 1, failed: 0, skipped: 0 });
  assert.deepEqual([isGood, complaints], [true, []]);
});

Deno.test("judge() accepts a skipped test only where it may be skipped", () => {
  const ending = [{ code: 0, report: PASSED + SKIPPED }];
  assert.equal(judge(ending, false).isGood, true);
  const strict = judge(ending, true);
  assert.equal(strict.isGood, false);
  assert.deepEqual(strict.counts, { passed: 1, failed: 0, skipped: 1 });
  assert.match(strict.complaints.join(), /1 skipped, and every test must run here/);
});

const bad: [what: string, ending: Ending, failed: number, says: RegExp][] = [
  ["a failed test", { code: 1, report: PASSED + FAILED }, 1, /^$/],
  ["a failed test though the exit code is 0", { code: 0, report: FAILED }, 1, /^$/],
  ["a run without a test", { code: 0, report: "<testsuites/>" }, 1, /none ran/],
  ["a run without a report", { code: 1, report: undefined }, 1, /ended before the first one/],
  [
    "a bad exit code after good tests",
    { code: 1, report: PASSED },
    1,
    /yet deno test ended with 1/,
  ],
  [
    "an interrupted run",
    { code: 130, report: undefined, interruption: "interrupted by SIGINT" },
    1,
    /Cannot finish the tests: interrupted by SIGINT/,
  ],
];

for (const [what, ending, failed, says] of bad) {
  Deno.test(`judge() refuses ${what}`, () => {
    const { counts, isGood, complaints } = judge([ending], false);
    assert.equal(isGood, false);
    assert.equal(counts.failed, failed);
    assert.match(complaints.join("\n"), says);
  });
}

Deno.test("judge() adds runs up, and no good one hides a bad one", () => {
  const good = { code: 0, report: PASSED + PASSED };
  const both = judge([good, { code: 1, report: FAILED + PASSED + SKIPPED }], true);
  assert.deepEqual(both.counts, { passed: 3, failed: 1, skipped: 1 });
  assert.equal(both.isGood, false);
  for (const [, ending, failed, says] of bad) {
    const { counts, isGood, complaints } = judge([good, ending], false);
    assert.equal(isGood, false);
    assert.equal(counts.failed, failed);
    assert.match(complaints.join("\n"), says);
  }
  assert.deepEqual(judge([good, good], true), {
    counts: { passed: 4, failed: 0, skipped: 0 },
    isGood: true,
    complaints: [],
  });
});

const MACHINE = { processors: 2, memory: 2 ** 33 };

Deno.test("lanesOf() puts every test into one run, and guests beside the others", async () => {
  const [guests, others, ...more] = lanesOf({ isInTurn: false, rest: [] }, MACHINE);
  assert.deepEqual(more, []);
  const [folder = ""] = guests?.args ?? [];
  assert.deepEqual(others?.args, ["--doc", `--ignore=${folder}`]);
  assert.ok((await Deno.stat(new URL(`../${folder}`, import.meta.url))).isDirectory);
});

Deno.test("lanesOf() has one run for what was chosen, in turn, and on a small machine", () => {
  const run = [{ name: "all tests", args: ["--doc"] }];
  assert.deepEqual(lanesOf({ isInTurn: true, rest: [] }, MACHINE), run);
  for (const less of [{ processors: 1 }, { memory: 2 ** 32 }]) {
    assert.deepEqual(lanesOf({ isInTurn: false, rest: [] }, { ...MACHINE, ...less }), run);
  }
  const [chosen, ...more] = lanesOf({ isInTurn: false, rest: ["lib/p9"] }, MACHINE);
  assert.deepEqual([chosen?.args, more], [["--doc", "lib/p9"], []]);
});

Deno.test("Blocks gives whole files, however their text is cut", () => {
  const one = "\x1b[0m\x1b[38;5;245mrunning 1 test from ./a_test.ts\x1b[0m\na ...\n  b ... ok\n";
  const two = "running 2 tests from ./b_test.ts\nc ... FAILED\n";
  const text = `Check a\n${one}${two}\nok | 3 passed`;
  for (const size of [1, 7, text.length]) {
    const blocks = new Blocks();
    const got: string[] = [];
    for (let at = 0; at < text.length; at += size) {
      const block = blocks.add(text.slice(at, at + size));
      if (block !== "") got.push(block);
    }
    got.push(blocks.end());
    assert.equal(got.join(""), text);
    const starts = got.filter((block) => block.includes("from ./b_test.ts"));
    assert.equal(starts.length, 1);
    assert.ok(size === text.length || got.includes(one), `${size}`);
  }
});

/** Runs the tool on one file of tests in a folder of its own. */
async function run(
  source: string,
  flags: string[] = [],
  act?: (child: Deno.ChildProcess, folder: string) => Promise<void>,
  after = ["--", "--no-check"],
): Promise<{ code: number; lines: string[]; errors: string }> {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-test-tool-" });
  try {
    await Deno.writeTextFile(`${folder}/sample_test.ts`, source);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", TOOL.href, ...flags, folder, ...after],
      env: { CI: "", NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = child.output();
    await act?.(child, folder);
    const { code, stdout, stderr } = await output;
    const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
    return { code, lines, errors: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the test tool closes with one plain line", async () => {
  const { code, lines } = await run('Deno.test("a", () => {}); Deno.test("b", () => {});');
  assert.equal(code, 0);
  assert.deepEqual(lines.filter((line) => /^\d+ passed, \d+ failed/.test(line)), [
    "2 passed, 0 failed",
  ]);
  assert.equal(lines.at(-1), "2 passed, 0 failed");
});

Deno.test("the test tool tells the tests their profile", async () => {
  const source = `Deno.test("a", () => {
    if (Deno.env.get("VIRTFS_TEST_PROFILE") !== "full") throw new Error("not told");
  });`;
  const { code, lines } = await run(source, ["--full"]);
  assert.deepEqual([code, lines.at(-1)], [0, "1 passed, 0 failed"]);
});

Deno.test("the test tool fails for a failed test", async () => {
  const { code, lines } = await run('Deno.test("a", () => { throw new Error("no"); });');
  assert.deepEqual([code, lines.at(-1)], [1, "0 passed, 1 failed"]);
});

Deno.test("the test tool fails for a skipped test when none may be", async () => {
  const source = 'Deno.test("a", () => {}); Deno.test({ name: "b", ignore: true, fn() {} });';
  const lax = await run(source);
  assert.deepEqual([lax.code, lax.lines.at(-1)], [0, "1 passed, 0 failed, 1 skipped"]);
  const strict = await run(source, ["--no-skips"]);
  assert.deepEqual([strict.code, strict.lines.at(-1)], [1, "1 passed, 0 failed, 1 skipped"]);
});

Deno.test("the test tool names a file that does not compile", async () => {
  const { code, lines, errors } = await run(
    'const a: number = "no"; Deno.test("a", () => {});',
    [],
    undefined,
    [],
  );
  assert.deepEqual([code, lines.at(-1)], [1, "0 passed, 1 failed"]);
  assert.match(errors, /sample_test\.ts/);
  assert.match(errors, /ended before the first one/);
});

Deno.test("the test tool fails when a file throws beside its tests", async () => {
  const { code, lines } = await run('Deno.test("a", () => {}); throw new Error("beside");');
  assert.equal(code, 1);
  assert.equal(lines.at(-1), "0 passed, 1 failed");
  assert.match(lines.join("\n"), /sample_test\.ts \(uncaught error\)/);
});

Deno.test("the test tool fails when there is no test", async () => {
  const { code, lines } = await run("export {};");
  assert.deepEqual([code, lines.at(-1)], [1, "0 passed, 1 failed"]);
});

Deno.test("the test tool passes SIGINT on and says so", async () => {
  const source = `Deno.test("hangs", async () => {
    Deno.writeTextFileSync(new URL("./ready", import.meta.url), "");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  });`;
  const { code, lines, errors } = await run(source, [], async (child, folder) => {
    const isReady = () => Deno.stat(`${folder}/ready`).then(() => true, () => false);
    for (let tries = 0; tries < 300 && !await isReady(); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    child.kill("SIGINT");
  });
  assert.equal(code, 130);
  assert.equal(lines.at(-1), "0 passed, 1 failed");
  assert.match(errors, /interrupted by SIGINT/);
});

Deno.test("the test tool adds up the tests in guests and the others", async () => {
  const folder = await Deno.makeTempDir({ prefix: "virtfs-test-tool-" });
  try {
    for (const name of ["tools", "test/guest", "lib"]) {
      await Deno.mkdir(`${folder}/${name}`, { recursive: true });
    }
    for (const name of ["run_tests.ts", "junit.ts"]) {
      await Deno.copyFile(new URL(name, TOOL), `${folder}/tools/${name}`);
    }
    await Deno.writeTextFile(`${folder}/deno.json`, "{}");
    const tests = (...names: string[]) =>
      names.map((name) => `Deno.test("${name}", () => {});`).join("\n");
    await Deno.writeTextFile(`${folder}/test/guest/a_test.ts`, tests("boots", "halts"));
    await Deno.writeTextFile(
      `${folder}/lib/b_test.ts`,
      `${tests("reads", "writes", "walks")}\nDeno.test("fails", () => { throw new Error("no"); });`,
    );
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", `${folder}/tools/run_tests.ts`, "--checked"],
      env: { CI: "", NO_COLOR: "1" },
      stderr: "null",
    }).output();
    const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
    assert.deepEqual([code, lines.at(-1)], [1, "5 passed, 1 failed"]);
    const at = lines.findIndex((line) => line.startsWith("running 2 tests from"));
    assert.match(lines.slice(at, at + 3).join("\n"), /guest\/a_test\.ts\nboots .*ok.*\nhalts .*ok/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the test tool refuses a flag it does not know", async () => {
  const { code, errors } = await run("export {};", ["--fast"]);
  assert.equal(code, 2);
  assert.equal(errors, 'Cannot run the tests: "--fast" is no flag of this command\n');
});
