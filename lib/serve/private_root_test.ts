import assert from "node:assert/strict";

const ignore = Deno.uid() !== 0;
const MODULE = new URL("./private_root.ts", import.meta.url).href;

/** Runs a script in a process of its own, which is told what to do and tells one JSON value. */
async function inProcess(folder: string, script: string): Promise<unknown> {
  const text = `import { enterPrivateRoot, MOUNT_CALLS } from ${JSON.stringify(MODULE)};
    const folder = ${JSON.stringify(folder)};
    const has = (path) => { try { Deno.statSync(path); return true; } catch { return false; } };
    const can = (path) => {
      try { Deno.writeTextFileSync(path, "x"); return true; } catch { return false; } };
    const needs = [
      { path: "/proc", use: "proc" },
      { path: "/dev/null", use: "device" },
      { path: folder + "/link/export", use: "change", isExport: true },
      { path: folder + "/real/export/inner", use: "read" },
      { path: folder + "/shown", use: "read" },
      { path: folder + "/shown/changed", use: "change", isExport: true },
      { path: folder + "/file", use: "read" },
      { path: folder + "/nothing", use: "read", isOptional: true },
    ];
    ${script}`;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", "--no-check", text],
    cwd: folder,
    stdin: "null",
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** A folder with things to show and things to hide. Disposing removes it. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "virtfs-root-" });

  constructor() {
    for (const name of ["real/export/inner", "shown/changed", "hidden"]) {
      Deno.mkdirSync(`${this.path}/${name}`, { recursive: true });
    }
    Deno.writeTextFileSync(`${this.path}/file`, "content");
    Deno.symlinkSync("real", `${this.path}/link`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test({
  name: "enterPrivateRoot() shows what is needed where it was, and nothing else",
  ignore,
  async fn() {
    using folder = new Folder();
    const told = await inProcess(
      folder.path,
      `
      enterPrivateRoot(needs, folder);
      console.log(JSON.stringify({
        root: [...Deno.readDirSync("/")].map(({ name }) => name).sort(),
        here: [...Deno.readDirSync(folder)].map(({ name }) => name).sort(),
        cwd: Deno.cwd(),
        link: Deno.readLinkSync(folder + "/link"),
        file: Deno.readTextFileSync(folder + "/file"),
        changes: ["/new", "/real/export/new", "/link/export/second", "/real/export/inner/new",
          "/shown/new", "/shown/changed/new", "/file"].filter((path) => can(folder + path)),
        hidden: ["/etc/hostname", "/proc/1/root/etc", "/proc/sys", "/.old-root/etc"].filter(has),
        own: has("/proc/self/fd"),
        device: can("/dev/null"),
      }));`,
    );
    assert.deepEqual(told, {
      root: [".old-root", "dev", "proc", "tmp"],
      here: ["file", "link", "real", "shown"],
      cwd: folder.path,
      link: "real",
      file: "content",
      // What is read-only elsewhere is no border inside of an export.
      changes: [
        "/real/export/new",
        "/link/export/second",
        "/real/export/inner/new",
        "/shown/changed/new",
      ],
      hidden: [],
      own: true,
      device: true,
    });
    assert.equal(Deno.readTextFileSync(`${folder.path}/real/export/new`), "x");
  },
});

Deno.test({
  name: "enterPrivateRoot() shows a folder for two uses with the wider one",
  ignore,
  async fn() {
    using folder = new Folder();
    const told = await inProcess(
      folder.path,
      `
      enterPrivateRoot([
        { path: "/proc", use: "proc" },
        { path: folder + "/shown", use: "read", isExport: true },
        { path: folder + "/shown", use: "listen" },
        { path: folder + "/real", use: "read", isExport: true },
        { path: folder + "/real/export", use: "listen" },
        { path: "/proc", use: "read", isExport: true },
      ], folder);
      console.log(JSON.stringify([can(folder + "/shown/new"), can(folder + "/real/export/new"),
        can(folder + "/real/new"), has("/proc/sys/kernel")]));`,
    );
    assert.deepEqual(told, [true, true, false, true]);
  },
});

Deno.test({
  name: "enterPrivateRoot() refuses where everything is exported",
  ignore,
  async fn() {
    using folder = new Folder();
    const told = await inProcess(
      folder.path,
      `
      try {
        enterPrivateRoot([{ path: "/proc/..", use: "read", isExport: true }], folder);
      } catch (error) {
        console.log(JSON.stringify(error.message));
      }`,
    );
    assert.equal(told, "the root folder itself is exported");
  },
});

const broken: [what: string, change: string, message: RegExp][] = [
  ["namespaces are not permitted", "unshare: () => -1", /own mount namespace: EPERM/],
  ["the kernel protects no mounts", "setMountAttributes: () => -38", /ENOSYS/],
  [
    "nothing can be shown",
    `mount: (source, target, type, flags) =>
    flags & 0x1000 ? -1 : MOUNT_CALLS.mount(source, target, type, flags)`,
    /mount .*: EPERM/,
  ],
  ["there is no other root", "pivotRoot: () => -22", /exchange the root folder: EINVAL/],
];
for (const [what, change, message] of broken) {
  Deno.test({
    name: `enterPrivateRoot() leaves things as they were where ${what}`,
    ignore,
    async fn() {
      using folder = new Folder();
      const told = await inProcess(
        folder.path,
        `
        const names = () => [...Deno.readDirSync("/")].map(({ name }) => name).sort().join();
        const before = names();
        let message = "";
        try {
          enterPrivateRoot(needs, folder, { ...MOUNT_CALLS, ${change} });
        } catch (error) {
          message = error.message;
        }
        console.log(JSON.stringify({ message, isSame: names() === before, cwd: Deno.cwd(),
          hidden: has(folder + "/hidden"), change: can(folder + "/new") }));`,
      ) as { message: string };
      assert.match(told.message, message);
      assert.deepEqual(told, {
        message: told.message,
        isSame: true,
        cwd: folder.path,
        hidden: true,
        change: true,
      });
    },
  });
}
