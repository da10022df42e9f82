// Measuring as its users meet it: processes, and servers that are really there.
import assert from "node:assert/strict";
import { type Measurement, parseResults, readResults, writeResults } from "../lib/bench/mod.ts";
import { cellOf, resultsOf } from "../lib/bench/results_test_helper.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { requireTools } from "./guest/missing.ts";
import { Folder, Virtfs, virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const SHORT = ["--rounds", "2", "--seconds", "0.02", "--seed", "1"];

const OPERATIONS = ["getattr", "create+unlink", "readdir", "read 64k", "write 64k"];

/** Serves a folder over a unix socket and as a device. */
async function serving(folder: Folder): Promise<Virtfs> {
  const server = new Virtfs([
    "serve",
    folder.export,
    "--listen",
    `unix://${folder.socket}`,
    "--listen",
    `vhost-user://${folder.path}/device.sock`,
    "--security-model",
    "none",
  ]);
  await server.said(/vhost-user:/);
  return server;
}

function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).toSorted();
}

Deno.test("virtfs bench rpc measures a socket and a device by turns, and leaves nothing", async () => {
  using folder = new Folder();
  await using _server = await serving(folder);
  const out = `${folder.path}/results.json`;
  const targets = [`unix://${folder.socket}`, `vhost-user://${folder.path}/device.sock`];
  const { code, stdout, stderr } = await virtfs(
    "bench",
    "rpc",
    ...targets.flatMap((target) => ["--target", target, "--pid", String(Deno.pid)]),
    ...SHORT,
    "--depth",
    "4",
    "--ops",
    OPERATIONS.join(","),
    "--out",
    out,
  );
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.match(stdout, /^unix:.*, msize 131096\n\n\| operation +\| +op\/s \|/);
  assert.match(stdout, /\n\| read 64k +\| +\d+ \| +\S+ \| /);

  const results = await readResults(out);
  assert.equal(results.kind, "rpc");
  assert.equal(results.measurements.length, 2 * OPERATIONS.length);
  const { samples, latencies, depth, cpuPerOperation }: Measurement =
    results.measurements.find(({ target, operation }) =>
      target === targets[1] && operation === "write 64k"
    ) ?? assert.fail("the device has no writes");
  assert.equal(depth, 4);
  assert.equal(samples.length, 2);
  assert.ok(samples.every((rate) => rate > 0));
  assert.ok(latencies !== null && latencies.count >= 8);
  const { min, p50, p99, p999, max } = latencies;
  assert.ok(0 < min && min <= p50 && p50 <= p99 && p99 <= p999 && p999 <= max);
  assert.ok(cpuPerOperation !== null && cpuPerOperation >= 0);
  assert.deepEqual(names(folder.export), ["hello"]);
});

Deno.test("virtfs bench rpc ends tidily on SIGINT, and when it is refused", async () => {
  using folder = new Folder();
  await using _server = await serving(folder);
  const target = ["--target", `unix://${folder.socket}`];
  const out = `${folder.path}/results.json`;
  const interrupted = async (seconds: string, afterMs: number): Promise<string> => {
    const words = ["--rounds", "200", "--seconds", seconds, "--ops", "getattr,read 4k"];
    await using running = new Virtfs(["bench", "rpc", ...target, ...words, "--out", out]);
    for (let i = 0; i < 500 && names(folder.export).length < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(names(folder.export).length, 2);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.ended;
    assert.equal(stderr, "");
    assert.equal(code, 130);
    return stdout;
  };
  // In the round that warms up there is nothing to keep.
  assert.equal(await interrupted("60", 0), "");
  assert.ok(!names(folder.path).includes("results.json"));
  // Rounds of a hundredth of a second: some are done by then, and not all 200.
  assert.match(await interrupted("0.01", 1000), /\n\| getattr +\| /);
  const results = await readResults(out);
  assert.deepEqual([results.state, results.stateReason], ["partial", "interrupted by SIGINT"]);
  for (const { samples, latencies } of results.measurements) {
    assert.ok(samples.length > 0 && samples.length < 200, `${samples.length} samples`);
    assert.ok(latencies !== null && latencies.count >= samples.length);
  }
  assert.deepEqual(names(folder.export), ["hello"]);

  const refused = await virtfs("bench", "rpc", ...target, "--aname", "nowhere", ...SHORT);
  assert.match(refused.stderr, /^virtfs bench rpc: Cannot measure unix:[^\n]+\n$/);
  assert.equal(refused.code, 1);
});

Deno.test("virtfs bench micro tells nanoseconds as JSON that can be read again", async () => {
  const { code, stdout } = await virtfs("bench", "micro", "--filter", "Tread", "--json", ...SHORT);
  assert.equal(code, 0);
  const { measurements } = parseResults(stdout, "standard output");
  assert.deepEqual(measurements.map(({ target, operation }) => `${target} ${operation}`), [
    "tryDecode Tread",
    "encodeInto Tread",
  ]);
  for (const { samples, unit } of measurements) {
    assert.equal(unit, "ns/op");
    assert.ok(samples.length === 2 && samples.every((ns) => ns > 1 && ns < 1e6));
  }
});

Deno.test("virtfs bench micro keeps what it has measured on SIGTERM", async () => {
  using folder = new Folder();
  const out = `${folder.path}/results.json`;
  const words = ["--filter", "Tread", "--rounds", "200", "--seconds", "0.05", "--out", out];
  await using running = new Virtfs(["bench", "micro", ...words, "--json"]);
  // It takes 20 s or more to its end.
  await new Promise((resolve) => setTimeout(resolve, 4000));
  running.kill("SIGTERM");
  const { code, stdout } = await running.ended;
  assert.equal(code, 143);
  const results = await readResults(out);
  assert.deepEqual(parseResults(stdout, "standard output"), results);
  assert.deepEqual([results.state, results.stateReason], ["partial", "interrupted by SIGTERM"]);
  const counts = results.measurements.map(({ samples }) => samples.length);
  assert.ok(counts.length > 0 && counts.every((count) => count > 0 && count < 200), `${counts}`);
});

Deno.test({
  name: "a disk that is full of other things costs no results",
  // A mount of its own takes root.
  ignore: requireTools(["mount"]) || Deno.uid() !== 0,
  fn: async () => {
    using folder = new Folder();
    const disk = `${folder.path}/disk`;
    Deno.mkdirSync(disk);
    const micro = "bench micro --filter Tread --rounds 2 --seconds 0.001 --out disk/results.json";
    const script = `set -e; cd "$1"; mount -t tmpfs -o size=64k none disk; shift
      virtfs() { "$@" ${micro}; }
      virtfs "$@" >first; cp disk/results.json before
      head -c 100000 /dev/zero >disk/other 2>/dev/null || true
      virtfs "$@" >second 2>said && exit 3; status=$?
      cmp before disk/results.json; ls disk >left; echo "status $status"`;
    const deno = [
      Deno.execPath(),
      "run",
      "-A",
      new URL("../cli/main.ts", import.meta.url).pathname,
    ];
    const args = ["--mount", "sh", "-c", script, "sh", folder.path, ...deno];
    const { stdout, stderr } = await new Deno.Command("unshare", { args }).output();
    const text = (name: string) => Deno.readTextFileSync(`${folder.path}/${name}`);
    assert.equal(new TextDecoder().decode(stdout), "status 1\n", new TextDecoder().decode(stderr));
    assert.equal(
      text("said"),
      "virtfs bench micro: Cannot write disk/results.json: the disk is full; " +
        "what was there before is there still\n",
    );
    assert.equal(text("left"), "other\nresults.json\n");
    // What was measured is shown all the same.
    assert.match(text("second"), /Tread/);
    assert.equal(text("second").split("\n").length, text("first").split("\n").length);
  },
});

Deno.test("virtfs bench compare and report: exit codes and files", async () => {
  using folder = new Folder();
  const samples = (value: number) => Array.from({ length: 10 }, (_, i) => value + i / 10);
  const write = (name: string, value: number, cpu = "Made-up CPU") => {
    const results = resultsOf([cellOf("virtfs@512000", samples(value), { figures: ["3", "5"] })]);
    const path = `${folder.path}/${name}.json`;
    writeResults(path, { ...results, host: { ...results.host, cpu } });
    return path;
  };
  const [before, same, slower] = [write("before", 100), write("same", 100), write("slower", 70)];
  const equal = await virtfs("bench", "compare", before, same);
  assert.equal(equal.code, 0);
  assert.match(equal.stdout, /1 compared: 0 slower, 0 faster, by more than 10 %/);
  const regression = await virtfs("bench", "compare", before, slower, "--json");
  assert.equal(regression.code, 3);
  assert.equal(JSON.parse(regression.stdout).comparisons[0].change, "slower");

  const elsewhere = write("elsewhere", 70, "Another CPU");
  const refused = await virtfs("bench", "compare", before, elsewhere);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /: they are of different machines \(cpu: .*--force does it all/);
  assert.equal((await virtfs("bench", "compare", before, elsewhere, "--force")).code, 3);

  const out = `${folder.path}/report`;
  const report = await virtfs("bench", "report", before, "--out", out);
  assert.equal(report.stderr, "");
  assert.equal(report.code, 0);
  const files = ["fig3.png", "fig3.svg", "fig5.png", "fig5.svg", "junit.xml", "report.html"];
  assert.deepEqual(names(out), [...files, "report.md"]);
  assert.deepEqual(
    report.stdout.trimEnd().split("\n").toSorted(),
    names(out).map((name) => `${out}/${name}`),
  );
});

Deno.test("the README measures as it says", async () => {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const [, session = ""] = /\n## Measure a server\n[^]*?```console\n([^]*?)```/.exec(readme) ?? [];
  const commands = [...session.matchAll(/^\$ deno run -A cli\/main\.ts (bench .*)$/gm)];
  assert.ok(commands.length >= 3);
  using folder = new Folder();
  await using _server = await serving(folder);
  for (const [, command = ""] of commands) {
    const words = command.replaceAll("/run/9p.sock", folder.socket)
      .replaceAll(/\b(\w+)\.json/g, `${folder.path}/$1.json`).split(" ");
    // Only sooner done than there.
    if (words[1] === "rpc") words.push("--seconds", "0.01");
    const { code, stderr } = await virtfs(...words);
    assert.ok(code === 0 || (words[1] === "compare" && code === 3), `${command}: ${stderr}`);
  }
  assert.ok(names(folder.path).includes("report.html"));
});
