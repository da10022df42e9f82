// What `fuzz --spawn` starts must not be able to change this machine, even if it runs as root and
// lets its clients out of its export.
import assert from "node:assert/strict";
import { parseTargetAddress, SpawnedTarget, TemporaryExport } from "../lib/fuzz/mod.ts";
import { assertTools, requireTools } from "./guest/missing.ts";
import { exists, virtfs } from "./virtfs.ts";

/** A name that no file of this machine has. */
const PROBE = `virtfs-probe-${crypto.randomUUID()}`;
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
    const address = parseTargetAddress(`unix://${host.around}/none.sock`);
    await assert.rejects(
      SpawnedTarget.start({
        command: ["sh", "-c", DEEDS, "sh", host.root],
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
    for (const name of ["opened", "zeros", "proc", "remounted", "escaped"]) {
      assert.ok(!has(name), name);
    }
    assert.ok(host.trespass() !== undefined, "the oracle does not see what was made outside");
  },
});

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
