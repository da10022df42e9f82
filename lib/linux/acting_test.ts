import assert from "node:assert/strict";
import { actAs, type ActingUser, actingUser, asUser } from "./acting.ts";
import { AT_FDCWD, EACCES, O_CREAT, O_RDONLY, O_WRONLY } from "./constants.ts";
import { geteuid, setgroups, umask } from "./process.ts";
import { close, openat } from "./file.ts";

umask(0o022);

const NOBODY: ActingUser = { uid: 65_534, gid: 65_533, groups: [65_532] };

Deno.test({
  name: "actAs() has the kernel take this thread for somebody else, until it is itself again",
  // Nobody else may become anybody.
  ignore: geteuid() !== 0,
  fn() {
    const folder = Deno.makeTempDirSync();
    const said = /^Groups:(.*)$/m.exec(Deno.readTextFileSync("/proc/thread-self/status"))?.[1] ??
      "";
    const groups = said.trim().split(/\s+/).filter((each) => each !== "").map(Number);
    try {
      Deno.chmodSync(folder, 0o777);
      Deno.writeTextFileSync(`${folder}/secret`, "", { mode: 0o600 });
      assert.equal(actAs(NOBODY), 0);
      try {
        assert.equal(actingUser(), NOBODY);
        assert.equal(openat(AT_FDCWD, `${folder}/secret`, O_RDONLY, 0), -EACCES);
        const fd = openat(AT_FDCWD, `${folder}/mine`, O_WRONLY | O_CREAT, 0o644);
        assert.ok(fd >= 0);
        close(fd);
        const asServer = asUser(null, () => openat(AT_FDCWD, `${folder}/secret`, O_RDONLY, 0));
        assert.ok(asServer >= 0);
        close(asServer);
        assert.equal(actingUser(), NOBODY);
      } finally {
        assert.equal(actAs(null), 0);
      }
      const { uid, gid } = Deno.statSync(`${folder}/mine`);
      assert.deepEqual([uid, gid], [65_534, 65_533]);
      assert.equal(actingUser(), null);
      const own = openat(AT_FDCWD, `${folder}/own`, O_WRONLY | O_CREAT, 0o644);
      close(own);
      assert.equal(Deno.statSync(`${folder}/own`).uid, 0);
    } finally {
      setgroups(groups); // a server has no use for them, the tests of this thread have
      Deno.removeSync(folder, { recursive: true });
    }
  },
});
