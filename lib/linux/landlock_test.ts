import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";
import { restrained } from "./testing_restrained.ts";

const VERSION = linux.landlockVersion();

test("landlockRights() grow with the version", () => {
  assert.deepEqual(linux.landlockRights(0), { fs: 0, net: 0, scoped: 0 });
  assert.deepEqual(linux.landlockRights(-linux.ENOSYS), { fs: 0, net: 0, scoped: 0 });
  const all = Object.values(linux.LANDLOCK_FS).reduce((sum, right) => sum | right);
  const { REFER, TRUNCATE, IOCTL_DEV } = linux.LANDLOCK_FS;
  const fs = [1, 2, 3, 4, 5, 99].map((version) => linux.landlockRights(version).fs);
  const first = all & ~REFER & ~TRUNCATE & ~IOCTL_DEV;
  assert.deepEqual(fs, [
    first,
    first | REFER,
    first | REFER | TRUNCATE,
    first | REFER | TRUNCATE,
    all,
    all,
  ]);
  assert.equal(linux.landlockRights(3).net, 0);
  assert.equal(
    linux.landlockRights(4).net,
    linux.LANDLOCK_NET.BIND_TCP | linux.LANDLOCK_NET.CONNECT_TCP,
  );
  assert.equal(linux.landlockRights(5).scoped, 0);
  assert.equal(
    linux.landlockRights(6).scoped,
    linux.LANDLOCK_SCOPE.ABSTRACT_UNIX_SOCKET | linux.LANDLOCK_SCOPE.SIGNAL,
  );
});

test("landlockVersion() is a version, or why there is none", () => {
  assert(VERSION >= 1 || [-linux.ENOSYS, -linux.EOPNOTSUPP].includes(VERSION), `${VERSION}`);
});

Deno.test({
  name: "LandlockRuleset refuses rights and rules that do not exist",
  ignore: VERSION < 1,
  fn() {
    assert.throws(() => new linux.LandlockRuleset({ fs: 1 << 30, net: 0, scoped: 0 }), {
      name: "LinuxError",
      message: "Cannot make a Landlock ruleset: EINVAL",
    });
    using ruleset = new linux.LandlockRuleset(linux.landlockRights(VERSION));
    assert.equal(ruleset.allowPort(65_536, linux.LANDLOCK_NET.BIND_TCP), -linux.EINVAL);
    assert.equal(ruleset.allowPort(0.5, linux.LANDLOCK_NET.BIND_TCP), -linux.EINVAL);
    assert.equal(ruleset.allowPath(-1, linux.LANDLOCK_FS.READ_FILE, true), -linux.EBADF);
    assert.equal(ruleset.allowPath(-1, 0, true), 0, "nothing to allow is no rule");
  },
});

Deno.test({
  name: "LandlockRuleset holds the thread to what was allowed",
  ignore: VERSION < 4,
  async fn() {
    const said = await restrained(`
      const folder = Deno.makeTempDirSync();
      Deno.mkdirSync(folder + "/in");
      Deno.writeTextFileSync(folder + "/in/file", "in");
      Deno.writeTextFileSync(folder + "/out", "out");
      using ruleset = new linux.LandlockRuleset(linux.landlockRights(${VERSION}));
      const open = (path) => linux.openat(linux.AT_FDCWD, path, linux.O_PATH, 0);
      const { READ_FILE, READ_DIR } = linux.LANDLOCK_FS;
      say(ruleset.allowPath(open(folder + "/in"), READ_FILE | READ_DIR, true));
      // Folders' rights on a file are left out.
      say(ruleset.allowPath(open("/dev/null"), READ_FILE | READ_DIR, false));
      say(ruleset.allowPort(0, linux.LANDLOCK_NET.BIND_TCP));
      say(linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1), ruleset.restrict());
      const code = (path, flags) => Math.min(0, linux.openat(linux.AT_FDCWD, path, flags, 0o600));
      say(code(folder + "/in/file", linux.O_RDONLY), code(folder + "/in/file", linux.O_RDWR));
      say(code(folder + "/out", linux.O_RDONLY), code("/dev/null", linux.O_RDONLY));
      say(linux.mkdirat(linux.AT_FDCWD, folder + "/in/new", 0o700));
      const bind = (port) => linux.bind(linux.socket(linux.AF_INET, linux.SOCK_STREAM), {
        family: "inet", host: "127.0.0.1", port });
      say(bind(0), bind(54_321));
    `);
    const { EACCES } = linux;
    assert.deepEqual(said, [
      [0],
      [0],
      [0],
      [0, 0],
      [0, -EACCES],
      [-EACCES, 0],
      [-EACCES],
      [0, -EACCES],
    ]);
  },
});
