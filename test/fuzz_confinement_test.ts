// What `fuzz --spawn` starts must not be able to change this machine, even if it runs as root and
// lets its clients out of its export.
import assert from "node:assert/strict";
import { parseTargetAddress, SpawnedTarget, TemporaryExport } from "../lib/fuzz/mod.ts";
import { assertTools, requireTools } from "./guest/missing.ts";
import { exists, virtfs } from "./virtfs.ts";

/** A name that no file of this machine has. */
const PROBE = `virtfs-probe-${crypto.randomUUID()}`;
/** A user that is not root. */
const NOBODY = 65_534;
/** What root could get round it with. */
const DANGEROUS = {
  dac_read_search: 2n,
  net_admin: 12n,
  sys_ptrace: 19n,
  sys_admin: 21n,
  bpf: 39n,
};
/** Where what is outside might be changed; all of them can be written to by root. */
const OUTSIDE = [
  `/etc/${PROBE}`,
  `/tmp/${PROBE}`,
  `/dev/shm/${PROBE}`,
  `/dev/${PROBE}`,
  `/${PROBE}`,
];
/** A server that is told of by files in its export, and ends before anyone can connect. */
const DEEDS = `
export=$1
for path in ${OUTSIDE.join(" ")} /proc/sys/kernel/${PROBE}; do echo x >"$path"; done
echo y >"$export/../outside/probe" && echo y >"$export/probe"
mknod "$export/device" b 8 0 && mknod "$export/zero" c 1 5 && touch "$export/made"
head -c 1 "$export/zero" && touch "$export/zeros"
head -c 1 "$export/device" && touch "$export/opened"
echo 1 >/proc/self/oom_score_adj && touch "$export/proc"
mount -o remount,bind,rw none / && touch "$export/remounted"
ls "/proc/$PPID/root/" && touch "$export/escaped"
setpriv --reuid "$3" --clear-groups ls "/proc/$2/root/" && touch "$export/visited"
kill -KILL "$2" && touch "$export/killed"
grep CapBnd /proc/self/status >"$export/capabilities"
pwd >"$export/cwd"
echo through >/dev/null && touch "$export/null"
exit 7
`;

Deno.test({
  name: "what fuzz --spawn starts can change nothing but its temporary folder",
  ignore: requireTools(["setpriv"]) || Deno.uid() !== 0,
  fn: async () => {
    assertTools(["setpriv"]);
    using host = new TemporaryExport(true);
    // Root may become whoever that is, and would then be let into its view of the machine.
    const victim = new Deno.Command("sleep", { args: ["60"], uid: NOBODY, gid: NOBODY }).spawn();
    await using _ = {
      async [Symbol.asyncDispose](): Promise<void> {
        victim.kill("SIGKILL");
        await victim.status;
      },
    };
    const address = parseTargetAddress(`unix://${host.around}/none.sock`);
    await assert.rejects(
      SpawnedTarget.start({
        command: ["sh", "-c", DEEDS, "sh", host.root, String(victim.pid), String(NOBODY)],
        address,
        host,
      }),
      /^Error: Cannot start "sh": it ended with 7; /,
    );
    for (const path of OUTSIDE) {
      const isThere = exists(path);
      if (isThere) Deno.removeSync(path);
      assert.equal(isThere, false, `${path} was made`);
    }
    const has = (name: string): boolean => exists(`${host.root}/${name}`);
    assert.equal(Deno.readTextFileSync(`${host.around}/outside/probe`), "y\n");
    assert.equal(Deno.readTextFileSync(`${host.root}/probe`), "y\n");
    assert.equal(Deno.readTextFileSync(`${host.root}/cwd`), `${host.around}\n`);
    assert.ok(has("null"), "/dev/null does not work");
    assert.ok(has("made"), "mknod has failed, which proves nothing of devices");
    const deeds = ["opened", "zeros", "proc", "remounted", "escaped", "visited", "killed"];
    for (const name of deeds) assert.ok(!has(name), name);
    const capabilities = BigInt(
      `0x${Deno.readTextFileSync(`${host.root}/capabilities`).split("\t")[1]?.trim()}`,
    );
    for (const [name, bit] of Object.entries(DANGEROUS)) {
      assert.equal(capabilities >> bit & 1n, 0n, name);
    }
    assert.ok(host.trespass() !== undefined, "the oracle does not see what was made outside");
  },
});

/** Listens at $1, and has a child that outlives it. */
const LISTENER = `
sleep 300 &
exec "$3" run --quiet --no-lock --allow-all "$2/listener.ts" "$1"
`;

Deno.test({
  name: "what fuzz --spawn starts is watched from outside of its confinement, and ends with that",
  ignore: requireTools(["setpriv"]) || Deno.uid() !== 0,
  fn: async () => {
    assertTools(["setpriv"]);
    using host = new TemporaryExport(true);
    const path = `${host.around}/listener.sock`;
    Deno.writeTextFileSync(
      `${host.root}/listener.ts`,
      `const at = Deno.args[0];
       try { Deno.removeSync(at); } catch {}
       for await (const _ of Deno.listen({ transport: "unix", path: at })) {}`,
    );
    const name = `virtfs-sleeper-${crypto.randomUUID()}`;
    const isSleeping = (): boolean =>
      [...Deno.readDirSync("/proc")].some(({ name: pid }) =>
        /^\d+$/.test(pid) && commandOf(pid).includes(name)
      );
    {
      await using target = await SpawnedTarget.start({
        command: ["sh", "-c", LISTENER.replace("sleep 300", `sh -c 'sleep 300; :' ${name}`), "sh"]
          .concat(path, host.root, Deno.execPath()),
        address: parseTargetAddress(`unix://${path}`),
        host,
      });
      const first = target.pid;
      assert.match(commandOf(String(first)), /listener\.ts/);
      assert.ok((await target.resources())?.fds ?? 0 > 2);
      assert.ok(isSleeping());
      await target.restart();
      assert.notEqual(target.pid, first);
      Deno.kill(target.pid, "SIGABRT");
      const until = performance.now() + 10_000;
      let health = await target.health();
      while (health.isAlive && performance.now() < until) health = await target.health();
      assert.deepEqual([health.isAlive, health.end], [false, "SIGABRT"]);
    }
    assert.ok(!isSleeping(), "what the program has started outlives its confinement");
  },
});

function commandOf(pid: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`);
  } catch {
    return "";
  }
}

Deno.test({
  name: "fuzz --spawn refuses to run as root what it cannot confine, unless --unconfined",
  ignore: requireTools(["setpriv"]) || Deno.uid() !== 0,
  fn: async () => {
    assertTools(["setpriv"]);
    // Without CAP_SYS_ADMIN there are no namespaces to be had.
    const drop = (...words: string[]): Deno.Command =>
      new Deno.Command("setpriv", {
        args: [
          "--bounding-set",
          "-sys_admin",
          "--",
          ...[Deno.execPath(), "run", "--no-check", "-A"],
          ...[new URL("../cli/main.ts", import.meta.url).pathname, "fuzz", ...words],
        ],
        env: { NO_COLOR: "1" },
      });
    const said = ({ stderr }: Deno.CommandOutput): string => new TextDecoder().decode(stderr);
    const refused = await drop("--spawn", "false", "--runs", "1").output();
    assert.equal(refused.code, 1);
    assert.match(said(refused), /Cannot confine what runs as root: .*; say --unconfined if/);
    const tried = await drop("--spawn", "false", "--runs", "1", "--unconfined").output();
    assert.match(said(tried), /Cannot start "false": it ended with 1/);
    const confined = await virtfs("fuzz", "--spawn", "false", "--runs", "1");
    assert.match(confined.stderr, /Cannot start "false": it ended with 1/);
  },
});
