/** The guest harness itself: boots, runs, fails by name. */

import assert from "node:assert/strict";
import {
  Guest,
  GuestBootFailure,
  GuestCommandFailure,
  GuestExit,
  GuestPanic,
  GuestTimeout,
} from "../../lib/guest/guest.ts";
import { Initramfs } from "../../lib/guest/initramfs.ts";
import { MissingTools, missingTools, requireTools } from "./missing.ts";

const ignore = requireTools();

Deno.test({
  name: "a guest runs scripts",
  ignore,
  fn: async (t) => {
    await using guest = await Guest.boot({
      slots: 2,
      prepare: (files) => {
        files.file("/etc/extra", "given by the test\n");
      },
    });

    await t.step("run() gives output and status", async () => {
      const result = await guest.run("echo out; echo err >&2; uname -s; exit 7");
      assert.equal(result.output, "out\nerr\nLinux\n");
      assert.equal(result.status, 7);
    });

    await t.step("run() tells a signal by the status", async () => {
      assert.equal((await guest.run("kill -TERM $$")).status, 128 + 15);
    });

    await t.step("run() gives a MiB of any bytes back unchanged", async () => {
      const bytes = new Uint8Array(1024 * 1024);
      for (let at = 0; at < bytes.length; at += 65536) {
        crypto.getRandomValues(bytes.subarray(at, at + 65536));
      }
      const result = await guest.run("cat", { stdin: bytes });
      assert.equal(result.status, 0);
      assert.equal(result.bytes.length, bytes.length);
      assert.ok(result.bytes.every((byte, at) => byte === bytes[at]));
    });

    await t.step("run() takes scripts with quotes, newlines and bytes of UTF-8", async () => {
      assert.equal(await guest.check(`printf '%s\\n' "a'b" 'c\nd' 'ü'`), "a'b\nc\nd\nü\n");
    });

    await t.step("put() writes a file, prepare() had added one", async () => {
      await guest.put("/tmp/it's", new TextEncoder().encode("put\n"));
      assert.equal(await guest.check(`cat "/tmp/it's" /etc/extra`), "put\ngiven by the test\n");
    });

    await t.step("check() refuses a status that is not 0", async () => {
      await assert.rejects(guest.check("echo why; false"), (error: unknown) => {
        assert.ok(error instanceof GuestCommandFailure);
        assert.equal(error.result.status, 1);
        assert.match(error.message, /why/);
        return true;
      });
    });

    await t.step("runs overlap", async () => {
      // Each of the two can end only while the other runs.
      const meet = (mine: string, other: string) =>
        guest.run(
          `touch /tmp/${mine}; until [ -e /tmp/${other} ]; do usleep 20000; done; echo met`,
        );
      const results = await Promise.all([meet("one", "two"), meet("two", "one")]);
      assert.deepEqual(results.map((result) => result.output), ["met\n", "met\n"]);
    });

    await t.step("a third run waits for one of two slots", async () => {
      const runs = ["a", "b", "c"].map((name) => guest.check(`usleep 100000; echo ${name}`));
      assert.deepEqual(await Promise.all(runs), ["a\n", "b\n", "c\n"]);
    });

    await t.step("a job that takes too long is killed alone and named", async () => {
      const other = guest.run("sleep 4; echo survived");
      await assert.rejects(
        guest.run("echo started; sleep 1000", { timeoutMs: 2_000 }),
        (error: unknown) => {
          assert.ok(error instanceof GuestTimeout);
          assert.match(error.message, /ran for 2000 ms; it was killed/);
          assert.match(error.message, /started/);
          return true;
        },
      );
      assert.equal((await other).output, "survived\n");
      assert.doesNotMatch(await guest.check("ps"), /sleep 1000/);
    });

    await t.step("shutdown() ends the guest, later runs say so", async () => {
      await guest.shutdown();
      await assert.rejects(guest.run("true"), GuestExit);
    });
  },
});

Deno.test("a failure shows the end of the console, and a panic from its first line", () => {
  const stack = Array.from({ length: 60 }, (_, i) => `[ 4.${i}] frame ${i}`);
  const console = ["booted", "[ 4.0] Kernel panic - not syncing: bad", ...stack].join("\n");
  const { message } = new GuestPanic("Cannot use it", console);
  assert.match(message, /console:\n\[ 4\.0\] Kernel panic - not syncing: bad\n/);
  assert.match(message, /frame 59$/);
  const other = new GuestExit("Cannot use it", stack.join("\n"));
  assert.match(other.message, /console:\n\[ 4\.20\] frame 20\n/);
});

Deno.test({
  name: "a panic is named and carries the console",
  ignore,
  fn: async () => {
    await using guest = await Guest.boot({ network: "none" });
    const waiting = assert.rejects(guest.run("sleep 1000"), GuestPanic);
    await assert.rejects(guest.run("echo c > /proc/sysrq-trigger"), (error: unknown) => {
      assert.ok(error instanceof GuestPanic);
      assert.match(error.message, /Kernel panic - not syncing: sysrq triggered crash/);
      return true;
    });
    await waiting;
  },
});

Deno.test({
  name: "a guest that does not come up is named in time",
  ignore,
  fn: async (t) => {
    await t.step("init hangs", async () => {
      const files = (initramfs: Initramfs) => {
        initramfs.file(
          "/init",
          "#!/bin/busybox sh\necho stuck >/dev/console\n/bin/busybox sleep 1000\n",
          0o755,
        );
      };
      const started = performance.now();
      await assert.rejects(
        Guest.boot({ prepare: files, network: "none", timeoutMs: 10_000 }),
        (error: unknown) => {
          assert.ok(error instanceof GuestBootFailure);
          assert.match(error.message, /not ready after 10000 ms/);
          return true;
        },
      );
      assert.ok(performance.now() - started < 40_000);
    });

    await t.step("init ends", async () => {
      const files = (initramfs: Initramfs) => {
        initramfs.file("/init", "#!/bin/busybox sh\nexit 1\n", 0o755);
      };
      await assert.rejects(Guest.boot({ prepare: files, network: "none" }), GuestPanic);
    });

    await t.step("QEMU refuses its arguments", async () => {
      await assert.rejects(Guest.boot({ extraArgs: ["-device", "no-such"] }), (error: unknown) => {
        assert.ok(error instanceof GuestBootFailure);
        assert.match(error.message, /no-such/);
        return true;
      });
    });
  },
});

Deno.test("Initramfs writes archives that cpio reads", {
  ignore: new Deno.Command("sh", { args: ["-c", "command -v cpio"] }).outputSync().code !== 0,
}, async () => {
  const files = new Initramfs();
  files.file("/a/b/file", "text", 0o640);
  files.symlink("/a/link", "b/file");
  const cpio = new Deno.Command("cpio", { args: ["-tv"], stdin: "piped", stdout: "piped" }).spawn();
  const writer = cpio.stdin.getWriter();
  await writer.write(files.bytes());
  await writer.close();
  const { stdout, success } = await cpio.output();
  assert.ok(success);
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assert.deepEqual(
    lines.map((line) => `${line.slice(0, 10)} ${line.replace(/^.*\d{4} (?=a)/, "")}`),
    ["drwxr-xr-x a", "drwxr-xr-x a/b", "-rw-r----- a/b/file", "lrwxrwxrwx a/link -> b/file"],
  );
});

Deno.test("missing tools are told with the line that installs them", async (t) => {
  const run = async (ci: boolean) => {
    const script = `
      import { requireTools, assertTools } from "${new URL("missing.ts", import.meta.url)}";
      Deno.test({ name: "x", ignore: requireTools(["gcc"]), fn: () => assertTools(["gcc"]) });`;
    const file = await Deno.makeTempFile({ suffix: "_test.ts" });
    await Deno.writeTextFile(file, script);
    try {
      const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
        args: ["test", "-A", "--no-config", file],
        env: { PATH: "/nonexistent", CI: `${ci}`, NO_COLOR: "1" },
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      return { code, text };
    } finally {
      await Deno.remove(file);
    }
  };
  // Only programs of /usr/bin will do here: the sbin folders are searched whatever PATH says.
  await t.step("as ignored, counted, on a developer's machine", async () => {
    const { code, text } = await run(false);
    assert.equal(code, 0, text);
    assert.match(text, /1 ignored/);
    assert.match(text, /apt-get install --no-install-recommends .*qemu-system-x86/);
  });

  await t.step("as a failure with CI=true", async () => {
    const { code, text } = await run(true);
    assert.equal(code, 1, text);
    assert.match(text, /MissingTools: Cannot use guests: gcc not found/);
  });

  await t.step("missingTools() is content with what is there", () => {
    assert.equal(missingTools([]), null);
    assert.ok(missingTools(["qemu"]) === null || missingTools(["qemu"]) instanceof MissingTools);
  });
});
