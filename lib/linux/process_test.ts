import assert from "node:assert/strict";
import { arch } from "./arch.ts";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";

test("ids are those that Deno knows", () => {
  assert.equal(linux.getuid(), Deno.uid());
  assert.equal(linux.getgid(), Deno.gid());
  const status = Deno.readTextFileSync("/proc/thread-self/status");
  const field = (name: string): string[] =>
    (new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "").split(/\s+/);
  assert.deepEqual(field("Uid").slice(0, 2), [`${linux.getuid()}`, `${linux.geteuid()}`]);
  assert.deepEqual(field("Gid").slice(0, 2), [`${linux.getgid()}`, `${linux.getegid()}`]);
  assert.deepEqual(field("PPid"), [`${linux.getppid()}`]);
  assert.deepEqual(field("Pid"), [`${linux.gettid()}`]);
  assert.equal(linux.schedYield(), 0);
});

test("umask() gives back the old mask", () => {
  const old = linux.umask(0o27);
  assert.equal(linux.umask(0o77), 0o27);
  assert.equal(linux.umask(old), 0o77);
});

test("kill() asks and refuses", () => {
  assert.equal(linux.kill(Deno.pid, 0), 0);
  assert.equal(linux.kill(Deno.pid, 999), -linux.EINVAL);
  assert.equal(linux.kill(0x7fffffff, 0), -linux.ESRCH);
});

test("ignoreSignal() outlives the signal", () => {
  const ignored = (): boolean => {
    const line = /^SigIgn:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"));
    return (BigInt(`0x${line?.[1] ?? "0"}`) >> BigInt(linux.SIGXFSZ - 1) & 1n) === 1n;
  };
  assert.equal(linux.ignoreSignal(linux.SIGXFSZ), 0);
  assert.equal(ignored(), true);
  assert.equal(linux.kill(Deno.pid, linux.SIGXFSZ), 0);
  assert.equal(linux.ignoreSignal(linux.SIGKILL), -linux.EINVAL);
});

test("getrlimit() and setrlimit()", () => {
  const limit = linux.getrlimit(linux.RLIMIT_CORE);
  assert(typeof limit === "object");
  assert(limit.soft <= limit.hard);
  assert.equal(linux.setrlimit(linux.RLIMIT_CORE, { soft: 0n, hard: limit.hard }), 0);
  assert.deepEqual(linux.getrlimit(linux.RLIMIT_CORE), { soft: 0n, hard: limit.hard });
  assert.equal(linux.setrlimit(linux.RLIMIT_CORE, limit), 0);
  assert.equal(linux.getrlimit(999), -linux.EINVAL);
  assert.equal(linux.setrlimit(linux.RLIMIT_CORE, { soft: 2n, hard: 1n }), -linux.EINVAL);
});

test("prctl() and rawSyscall() reach the kernel", (box) => {
  const dumpable = linux.prctl(linux.PR_GET_DUMPABLE);
  assert(dumpable >= 0 && dumpable <= 2);
  assert.equal(linux.prctl(999_999), -linux.EINVAL);
  assert.equal(linux.rawSyscall(arch.syscalls.gettid), BigInt(linux.gettid()));
  assert.equal(linux.rawSyscall(arch.syscalls.getdents64, -1, box.at(), 10n), BigInt(-linux.EBADF));
  assert.equal(linux.rawSyscall(9999), BigInt(-linux.ENOSYS));
});

test("groupId() and userId() read the system's files", () => {
  assert.equal(linux.groupId("root"), 0);
  assert.equal(linux.userId("root"), 0);
  assert.equal(linux.groupId("no such group"), -linux.ENOENT);
  assert.equal(linux.userId(""), -linux.ENOENT);
});

test("check() and errorName() speak", () => {
  assert.equal(linux.check(5, "count"), 5);
  assert.throws(() => linux.check(-13, "open the export"), {
    name: "LinuxError",
    message: "Cannot open the export: EACCES",
    code: 13,
  });
  assert.equal(linux.errorName(-2), "ENOENT");
  assert.equal(linux.errorName(2), "ENOENT");
  assert.equal(linux.errorName(4000), "error 4000");
});

test("requireLinux() has nothing to say on Linux", () => {
  assert.equal(linux.isLinux, true);
  assert.doesNotThrow(() => linux.requireLinux("serve"));
});

Deno.test("importing needs no permission, and calling without says so", async () => {
  const module = new URL("./mod.ts", import.meta.url).href;
  const script = `import { getuid, O_PATH } from ${JSON.stringify(module)};
    if (O_PATH !== 0o10000000) Deno.exit(3);
    try { getuid(); } catch (error) { console.log(error.name); }`;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", script],
    clearEnv: false,
    stderr: "null",
  }).output();
  assert.equal(code, 0);
  // deno eval has every permission, so that the call works there.
  assert.equal(new TextDecoder().decode(stdout), "");
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(path, script);
    const run = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--quiet", path],
    }).output();
    assert.equal(new TextDecoder().decode(run.stdout), "NotCapable\n");
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("every exported function is called by some test", async () => {
  let tests = "";
  for await (const { name } of Deno.readDir(new URL(".", import.meta.url))) {
    if (/_test\.ts$|^testing/.test(name)) {
      tests += await Deno.readTextFile(new URL(name, import.meta.url));
    }
  }
  const functions = Object.entries(linux)
    .filter(([, value]) => typeof value === "function").map(([name]) => name);
  assert(functions.length > 100);
  assert.deepEqual(functions.filter((name) => !new RegExp(`\\b${name}\\b`).test(tests)), []);
});
