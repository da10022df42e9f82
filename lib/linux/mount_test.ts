import assert from "node:assert/strict";
import * as linux from "./mod.ts";
import { test } from "./testing.ts";
import { restrained } from "./testing_restrained.ts";

const isRoot = Deno.uid() === 0;

test("mount(), unmount(), pivotRoot() and setMountAttributes() refuse what is not there", (box) => {
  const nowhere = `${box.path}/nowhere`;
  const denied = isRoot ? -linux.ENOENT : -linux.EPERM;
  assert.equal(linux.mount(nowhere, nowhere, null, linux.MS_BIND), -linux.ENOENT);
  assert([denied, -linux.ENOENT].includes(linux.unmount(nowhere, 0)));
  assert.equal(linux.pivotRoot(nowhere, nowhere), denied);
  assert([denied, -linux.ENOENT].includes(
    linux.setMountAttributes(nowhere, linux.MOUNT_ATTR_RDONLY, false),
  ));
  for (
    const result of [
      linux.mount("\0", nowhere, null, 0),
      linux.unmount("\0", 0),
      linux.pivotRoot("\0", "/"),
      linux.setMountAttributes("\0", 0, false),
    ]
  ) assert.equal(result, -linux.EINVAL);
});

Deno.test({
  name: "a thread with mounts of its own shows folders elsewhere, and protects them",
  ignore: !isRoot,
  async fn() {
    const said = await restrained(`
      const folder = Deno.makeTempDirSync();
      for (const name of ["from", "to", "fresh"]) Deno.mkdirSync(folder + "/" + name);
      say(linux.unshare(linux.CLONE_NEWNS));
      say(linux.mount(null, "/", null, linux.MS_REC | linux.MS_SLAVE));
      const guarded = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC;
      say(linux.mount("tmpfs", folder + "/fresh", "tmpfs", guarded, "size=64k"));
      say(linux.mount(folder + "/from", folder + "/to", null, linux.MS_BIND));
      const make = (path) => linux.mkdirat(linux.AT_FDCWD, path, 0o700);
      say(make(folder + "/to/a"), Deno.statSync(folder + "/from/a").isDirectory);
      const attributes = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOEXEC;
      say(linux.setMountAttributes(folder + "/to", attributes, true));
      say(make(folder + "/to/b"), make(folder + "/from/b"));
      say(linux.unmount(folder + "/to", linux.MNT_DETACH), make(folder + "/to/c"));
      linux.unmount(folder + "/fresh", 0);
      Deno.removeSync(folder, { recursive: true });
    `);
    assert.deepEqual(said, [[0], [0], [0], [0], [0, true], [0], [-linux.EROFS, 0], [0, 0]]);
  },
});

Deno.test("execve() makes the process another program with the same number", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--ext=ts",
      `import * as linux from ${JSON.stringify(new URL("./mod.ts", import.meta.url).href)};
      const bytes = (text) => new TextEncoder().encode(text);
      if (linux.execve("/nowhere", [], []) !== -linux.ENOENT) throw new Error("ENOENT");
      if (linux.execve("/bin/sh", [bytes("a\\0b")], []) !== -linux.EINVAL) throw new Error("NUL");
      const argv = ["sh", "-c", 'echo "$$ $1 $WORD"; exit 7', "sh", "é x"].map(bytes);
      linux.execve("/bin/sh", argv, [bytes("WORD=from here")]);`,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  assert.equal(new TextDecoder().decode(value), `${child.pid} é x from here\n`);
  await reader.cancel();
  const { code } = await child.status;
  assert.equal(code, 7);
});
