/** Programs and packages of other Debian suites: found, checked, run here. */

import assert from "node:assert/strict";
import { GuestPreparationFailure, runTool } from "../../lib/guest/cache.ts";
import { debianMirror, DebianSuite } from "../../lib/guest/debian.ts";
import { minimalDebian } from "./debian_root.ts";
import { Guest } from "../../lib/guest/guest.ts";
import { GuestKernel } from "../../lib/guest/kernel.ts";
import { requireTools } from "./missing.ts";
import {
  compareVersions,
  findQemu,
  findVirtiofsd,
  GENERIC_DEVICE,
  type QemuCommand,
  unpackQemu,
} from "../../lib/guest/qemu.ts";

const ignore = requireTools(["apt", "setpriv"]);

Deno.test("compareVersions() compares number by number", () => {
  const sorted = ["7.2", "9.2.1", "10.0.13", "10.2", "10.2.1", "11.1.3"];
  const shuffled = ["10.2.1", "7.2", "11.1.3", "10.0.13", "9.2.1", "10.2"];
  assert.deepEqual(shuffled.sort(compareVersions), sorted);
  assert.equal(compareVersions("10.2", "10.2.0"), 0);
});

Deno.test({
  name: "an unpacked QEMU runs with its own loader, libraries and firmware",
  ignore,
  fn: async (t) => {
    const { command, version } = await unpackQemu();
    const [loader, ...rest] = command;
    const root = loader.replace(/\/usr\/bin\/ld\.so$/, "");

    await t.step("it is new enough", () => {
      assert.ok(compareVersions(version, "10.2") >= 0, version);
    });

    await t.step("every library is its own", async () => {
      const listed = await runTool([loader, "--list", ...rest]);
      const paths = [...listed.matchAll(/ => (\S+)/g)].map(([, path = ""]) => path);
      assert.ok(paths.length > 10, listed);
      assert.deepEqual(paths.filter((path) => !path.startsWith(`${root}/usr/`)), []);
    });

    await t.step("so is its firmware", async () => {
      const folders = (await runTool([...command, "-L", "help"])).trim().split("\n");
      assert.deepEqual(folders.filter((path) => !path.startsWith(`${root}/`)), []);
      assert.ok((await Deno.stat(`${folders[0]}/linuxboot_dma.bin`)).size > 0);
    });

    await t.step("the generic vhost-user device takes what virtio-9p needs", async () => {
      const properties = await runTool([...command, "-device", `${GENERIC_DEVICE},help`]);
      for (const name of ["virtio-id", "num_vqs", "vq_size", "config_size", "chardev"]) {
        assert.match(properties, new RegExp(`^ *${name}=`, "m"));
      }
    });

    await t.step("a version that is not to be had is refused", async () => {
      await assert.rejects(unpackQemu("999"), (error: unknown) => {
        assert.ok(error instanceof GuestPreparationFailure);
        assert.ok(error.message.includes(`is version ${version}, not 999 or newer`));
        return true;
      });
    });

    await t.step("findQemu() finds one that will do", async () => {
      const found: QemuCommand = await findQemu({ minVersion: "10.2" });
      assert.ok(compareVersions(found.version, "10.2") >= 0, found.version);
    });

    await t.step("the stock kernel boots under it, its memory shared", async () => {
      const kernel = await GuestKernel.find();
      await using guest = await Guest.boot({
        kernel,
        qemu: { command, version },
        memoryMiB: 512,
        extraArgs: [
          "-object",
          "memory-backend-memfd,id=memory,size=512M,share=on",
          "-machine",
          "memory-backend=memory",
        ],
      });
      assert.equal(await guest.check("uname -r"), `${kernel.release}\n`);
    });
  },
});

Deno.test({
  name: "an unpacked virtiofsd runs",
  ignore,
  fn: async () => {
    const { command, version } = await findVirtiofsd();
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.match(await runTool([...command, "--help"]), /--socket-path/);
  },
});

Deno.test({
  name: "DebianSuite finds packages with all they depend on",
  ignore,
  fn: async (t) => {
    const suite = await DebianSuite.open("trixie-backports");

    await t.step("closure() starts from nothing installed", async () => {
      const packages = await suite.closure(["virtiofsd"]);
      const names = packages.map(({ name }) => name);
      for (const name of ["virtiofsd", "libc6", "libseccomp2"]) assert.ok(names.includes(name));
      assert.ok(packages.every(({ size }) => size > 0));
      // Epochs are spelled out.
      assert.ok(packages.every(({ version }) => /^(\d+:)?[\w.+~-]+$/.test(version)));
    });

    await t.step("closure() refuses a package that is not there", async () => {
      await assert.rejects(suite.closure(["no-such-package"]), GuestPreparationFailure);
    });

    await t.step("open() refuses what is no name of a suite", async () => {
      await assert.rejects(DebianSuite.open("../etc"), TypeError);
    });
  },
});

Deno.test({
  name: "a mirror without signatures is refused",
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-mirror-" });
    try {
      const packages = `${folder}/mirror/dists/trixie/main/binary-amd64`;
      await Deno.mkdir(packages, { recursive: true });
      await Deno.writeTextFile(`${packages}/Packages`, "");
      await Deno.writeTextFile(`${folder}/mirror/dists/trixie/Release`, "Suite: trixie\n");
      const script = `import { DebianSuite } from "${new URL(
        "../../lib/guest/debian.ts",
        import.meta.url,
      )}";
        try { await DebianSuite.open("trixie"); } catch (error) { console.log(error.message); }`;
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["eval", "--no-config", script],
        env: {
          VIRTFS_CACHE: `${folder}/cache`,
          VIRTFS_DEBIAN_MIRROR: `file:${folder}/mirror`,
        },
      }).output();
      assert.match(new TextDecoder().decode(stdout), /Cannot run apt-get .*not signed/s);
      const left = (await Array.fromAsync(Deno.readDir(`${folder}/cache`)))
        .filter(({ name }) => !name.endsWith(".lock"));
      assert.deepEqual(left, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "debianMirror() is one that apt uses",
  ignore,
  fn: async () => {
    const mirror = await debianMirror();
    const known = await runTool(["apt-get", "indextargets", "--format", "$(REPO_URI)"]);
    assert.ok(known.split("\n").includes(mirror), mirror);
  },
});

Deno.test({
  name: "minimalDebian() has a whole package database",
  ignore: requireTools(["debootstrap"]) || Deno.uid() !== 0,
  fn: async () => {
    const archive = await minimalDebian();
    const status = await runTool(["tar", "-xOf", archive, "./var/lib/dpkg/status"]);
    const states = [...status.matchAll(/^Status: (.*)$/gm)].map(([, state]) => state);
    assert.ok(states.length > 50, `${states.length} packages`);
    assert.deepEqual(states.filter((state) => state !== "install ok installed"), []);
    assert.match(status, /^Package: dpkg$/m);
  },
});
