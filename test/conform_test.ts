// The conform engine: with a server that does everything right, with one that is known to be broken,
// and two servers side by side.
import assert from "node:assert/strict";
import {
  type CaseResult,
  compareByScripts,
  conform,
  conformExactly,
  findingOf,
  loadCases,
  OWN_SERVERS,
  OwnTarget,
  parseTargetAddress,
  profileOf,
  SpawnedTarget,
  TemporaryExport,
} from "../lib/fuzz/mod.ts";
import { umask } from "../lib/linux/mod.ts";

// As `virtfs serve` does; it also loads libc, which a test must not do within itself.
umask(0);

const scripts = loadCases(new URL("scripts/", import.meta.url));

function casesOf(...names: string[]): typeof scripts {
  const found = scripts.filter(({ name }) => names.includes(name.replace(".9p", "")));
  assert.equal(found.length, names.length);
  return found;
}

async function verdicts(results: AsyncIterable<CaseResult>): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for await (const { name, verdict, oracle } of results) {
    all[name] = oracle === undefined ? verdict : `${verdict} ${oracle}`;
  }
  return all;
}

/** Starts a diod. */
async function startDiod(host: TemporaryExport): Promise<SpawnedTarget> {
  const socket = `${host.around}/diod.sock`;
  const words = ["-f", "-n", "-N", "-u", "0", "-L", "stderr", "-l", socket, "-e", host.root];
  return await SpawnedTarget.start({
    command: ["/usr/sbin/diod", ...words],
    address: parseTargetAddress(`unix://${socket}`),
    host,
  }).catch((cause) => {
    throw new Error("Cannot run diod: install the Debian package diod", { cause });
  });
}

Deno.test("conform() has nothing against our server, asked as a stranger's", async () => {
  using host = new TemporaryExport(true);
  await using target = await OwnTarget.start({ host, transport: "tcp", securityModel: "none" });
  const options = { profile: profileOf("linux"), aname: "", patienceMs: 5000 };
  const all = await verdicts(conform(target, scripts, options));
  const bad = Object.entries(all).filter(([, verdict]) => !/^(?:PASS|SKIP)$/.test(verdict));
  assert.deepEqual(bad, []);
  const passed = Object.values(all).filter((verdict) => verdict === "PASS");
  assert.ok(passed.length > 140, `${passed.length} passed`);
});

Deno.test("two servers that are the same do not differ", async () => {
  using first = new TemporaryExport(true);
  using second = new TemporaryExport(true);
  const securityModel = "none";
  await using a = await OwnTarget.start({ host: first, transport: "unix", securityModel });
  await using b = await OwnTarget.start({ host: second, transport: "tcp", securityModel });
  const options = { anames: ["", ""], patienceMs: 5000 } as const;
  // Where nothing comes, there is nothing to do but wait.
  const prompt = scripts.filter(({ name }) => !/lock|flush/.test(name));
  let compared = 0;
  for await (const { name, skipped, differences } of compareByScripts([a, b], prompt, options)) {
    assert.deepEqual(differences, [], name);
    if (skipped === "") compared++;
  }
  assert.ok(compared > 120, `${compared} compared`);
});

Deno.test("a case that fails is a finding with the way to it", async () => {
  const [script] = casesOf("qemu_walk_basic");
  const [memory] = OWN_SERVERS;
  assert.ok(script !== undefined && memory !== undefined);
  const wrong = {
    ...script,
    lines: script.lines.map((line) =>
      line.text.startsWith("Rwalk") ? { ...line, text: "Rwalk tag=1 wqid=[]" } : line
    ),
  };
  const options = { patienceMs: 5000 };
  for await (const result of conformExactly(memory, [wrong], options)) {
    assert.equal(result.verdict, "FAIL");
    const finding = findingOf(result, wrong);
    assert.equal(finding?.oracle, "qids");
    assert.equal(finding.messages, 3);
    assert.match(finding.reproducer, /^# QEMU[^]*Twalk tag=1[^\n]*\n[^\n]*\n$/);
  }
});

Deno.test("conform() finds what is known to be wrong with diod, and goes on after its death", async () => {
  using host = new TemporaryExport(true);
  await using target = await startDiod(host);
  const cases = casesOf(
    "frame_r_message",
    "frame_short",
    "frame_unknown_type",
    "plain_read",
    "qemu_walk_basic",
    "qemu_walk_dotdot_from_root",
    "read_only",
    "unlinkat_names",
  );
  const options = { profile: profileOf("diod"), aname: host.root, patienceMs: 1000 };
  assert.deepEqual(await verdicts(conform(target, cases, options)), {
    frame_r_message: "FAIL process",
    frame_short: "FAIL hang",
    frame_unknown_type: "REJECT",
    plain_read: "SKIP",
    qemu_walk_basic: "PASS",
    qemu_walk_dotdot_from_root: "FAIL confinement",
    read_only: "SKIP",
    unlinkat_names: "PASS",
  });
});

Deno.test("two servers that are not the same differ where they do", async () => {
  using first = new TemporaryExport(true);
  using second = new TemporaryExport(true);
  await using a = await OwnTarget.start({ host: first, transport: "unix", securityModel: "none" });
  await using b = await startDiod(second);
  const options = { anames: ["", second.root], patienceMs: 5000 } as const;
  const cases = casesOf("attach_used_fid", "qemu_walk_basic");
  const differing: string[] = [];
  for await (const { differences } of compareByScripts([a, b], cases, options)) {
    for (const { sent, first, second } of differences) differing.push(sent, first, second);
  }
  assert.deepEqual(differing.map((text) => text.split(" ", 1)[0]), ["Tattach", "error", "Rattach"]);
});
