/**
 * Guests whose root file system is a folder of the host, served over virtio: a whole Debian, and
 * two that share one base by overlayfs. `docs/recipes.md` says how to do the same by hand.
 */

import assert from "node:assert/strict";
import { runTool } from "../../lib/guest/cache.ts";
import { minimalDebian } from "./debian_root.ts";
import { helperProgram } from "./exercise.ts";
import { Guest } from "../../lib/guest/guest.ts";
import { requireTools } from "./missing.ts";
import { virtioGuest, VirtioServer } from "./virtio_machine.ts";

const ignore = requireTools(["apt", "debootstrap", "gcc", "mount"]) || Deno.uid() !== 0;

const OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=client";

/** Boots from a device. */
async function bootFrom(server: VirtioServer, tag: string): Promise<Guest> {
  return await Guest.boot({
    ...await virtioGuest(server, { tags: [tag], memoryMiB: 256 }),
    root: { source: tag, options: OPTIONS },
  });
}

/** Runs a script with Debian's own shell. */
async function bash(guest: Guest, script: string, timeoutMs = 120_000): Promise<string> {
  const stdin = new TextEncoder().encode(`set -e -o pipefail\n${script}\n`);
  return await guest.check("exec env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C bash -s", {
    stdin,
    timeoutMs,
  });
}

/** Writes everything out and ends the guest with a root that nothing is written to any more. */
async function shutDown(guest: Guest, server: VirtioServer): Promise<void> {
  await guest.check("sync && mount -o remount,ro /");
  const from = server.events.length;
  await guest.shutdown();
  await server.logged("the virtual machine has left", from);
  const { fids, nodes, files, locks } = await server.statistics();
  assert.deepEqual({ fids, nodes, files, locks }, { fids: 0, nodes: 0, files: 0, locks: 0 });
  assert.deepEqual(server.complaints, []);
}

/** A package with a file and a script that runs after it is unpacked. */
function smallPackage(name: string): string {
  return `
    rm -rf /root/${name} && mkdir -p /root/${name}/DEBIAN /root/${name}/usr/share/${name}
    cd /root/${name}
    printf '%s\\n' 'Package: ${name}' 'Version: 1' 'Architecture: all' \\
      'Maintainer: Nobody <nobody@example.org>' 'Description: a file' >DEBIAN/control
    printf '%s\\n' '#!/bin/sh' 'ln -s name /usr/share/${name}/link' >DEBIAN/postinst
    chmod 755 DEBIAN/postinst
    echo ${name} >usr/share/${name}/name
    dpkg-deb --root-owner-group --build . /root/${name}.deb >/dev/null
    dpkg --install /root/${name}.deb >/dev/null
    dpkg-query --show --showformat='\${Status}\\n' ${name}
    cat /usr/share/${name}/link`;
}

async function manifestOf(folder: string): Promise<string> {
  return await runTool([await helperProgram(), "manifest", folder], { timeoutMs: 120_000 });
}

/** Unpacks a Debian, with its devices and owners. */
async function unpack(archive: string, base: string): Promise<void> {
  await Deno.mkdir(base);
  const words = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", base, "-xf", archive];
  await runTool(["tar", ...words], { timeoutMs: 120_000 });
}

/** A guest whose root is a folder of the host. */
async function runDebian(t: Deno.TestContext, base: string): Promise<void> {
  await using server = await VirtioServer.start({
    exports: { root: base },
    devices: [{ tag: "root" }],
  });
  await using guest = await bootFrom(server, "root");

  await t.step("its root is ours", async () => {
    const mounts = await bash(guest, "cat /proc/mounts; . /etc/os-release; echo $ID");
    assert.match(mounts, /^root \/ 9p rw,.*trans=virtio/m);
    assert.doesNotMatch(mounts, /^rootfs \/ /m);
    assert.match(mounts, /^debian$/m);
  });

  await t.step("its package database is whole", async () => {
    assert.equal(await bash(guest, "dpkg --audit"), "");
    const count = Number(await bash(guest, "dpkg-query --list | grep -c ^ii"));
    assert.ok(count > 50, `${count} packages`);
    assert.equal(await bash(guest, "dpkg --verify dpkg bash tar"), "");
  });

  await t.step("a package is made and installed", async () => {
    const said = await bash(guest, smallPackage("served"));
    assert.equal(said, "install ok installed\nserved\n");
    assert.equal(await bash(guest, "dpkg --audit"), "");
    assert.equal(await Deno.readTextFile(`${base}/usr/share/served/name`), "served\n");
    assert.equal(await Deno.readLink(`${base}/usr/share/served/link`), "name");
  });

  await t.step("users are told apart", async () => {
    const said = await bash(
      guest,
      `useradd --create-home visitor
      su visitor -c 'umask 022; id -un; echo mine >~/file; cat /etc/shadow 2>/dev/null || echo refused'
      stat --format=%U:%a /home/visitor/file /usr/bin/su`,
    );
    assert.equal(said, "visitor\nrefused\nvisitor:644\nroot:4755\n");
    assert.ok(((await Deno.stat(`${base}/home/visitor/file`)).uid ?? 0) >= 1000);
  });

  await t.step("it shuts down", () => shutDown(guest, server));

  await t.step("nothing is broken afterwards", async () => {
    assert.equal(await runTool(["chroot", base, "dpkg", "--audit"]), "");
  });
}

/** Guests whose roots are a folder of the host below what each has changed. */
async function shareBase(t: Deno.TestContext, base: string, folder: string): Promise<void> {
  const before = await manifestOf(base);
  for (const name of ["one", "two"]) {
    for (const part of ["upper", "work", "root"]) {
      await Deno.mkdir(`${folder}/${name}/${part}`, { recursive: true });
    }
  }
  const overlay = (name: string): string =>
    `mount -t overlay overlay -o lowerdir=${base},upperdir=${folder}/${name}/upper,` +
    `workdir=${folder}/${name}/work ${folder}/${name}/root`;
  await using server = await VirtioServer.start({
    exports: { one: `${folder}/one/root`, two: `${folder}/two/root` },
    devices: [{ tag: "one", export: "one" }, { tag: "two", export: "two" }],
    mounts: `${overlay("one")}\n${overlay("two")}`,
  });
  await using one = await bootFrom(server, "one");
  await using two = await bootFrom(server, "two");
  const guests = [["one", one], ["two", two]] as const;

  await t.step("each installs a package", async () => {
    const said = await Promise.all(
      guests.map(([name, guest]) => bash(guest, smallPackage(`only-${name}`))),
    );
    assert.deepEqual(said, [
      "install ok installed\nonly-one\n",
      "install ok installed\nonly-two\n",
    ]);
  });

  await t.step("each changes, renames and removes files of the base", async () => {
    for (const [name, guest] of guests) {
      await bash(
        guest,
        `echo ${name} >/etc/hostname
        echo more >>/etc/issue
        chmod 700 /etc/skel
        mv /etc/issue.net /etc/issue.${name}
        mkdir /opt/made && mv /opt/made /opt/${name}
        rm -r /usr/share/doc/bash`,
      );
    }
  });

  await t.step("neither sees the other's changes", async () => {
    for (const [name, guest] of guests) {
      const other = name === "one" ? "two" : "one";
      const said = await bash(
        guest,
        `cat /etc/hostname; tail -n 1 /etc/issue; stat --format=%a /etc/skel
        ls -d /etc/issue.* /opt/*; ls -d /usr/share/doc/bash 2>&1 || true
        dpkg-query --list | grep -o 'only-[a-z]*'; dpkg --audit`,
      );
      assert.equal(
        said,
        `${name}\nmore\n700\n/etc/issue.${name}\n/opt/${name}\n` +
          "ls: cannot access '/usr/share/doc/bash': No such file or directory\n" +
          `only-${name}\n`,
      );
      assert.ok(!said.includes(other));
    }
  });

  await t.step("both shut down", async () => {
    await two.check("sync && mount -o remount,ro /");
    await two.shutdown();
    await shutDown(one, server);
  });

  await t.step("the base is as it was, the changes are beside it", async () => {
    assert.equal(await manifestOf(base), before);
    for (const name of ["one", "two"]) {
      const upper = `${folder}/${name}/upper`;
      assert.equal(await Deno.readTextFile(`${upper}/etc/hostname`), `${name}\n`);
      // A removed entry of the base is a character device 0:0.
      assert.ok((await Deno.lstat(`${upper}/etc/issue.net`)).isCharDevice);
    }
  });

  await t.step("a guest that starts again has its changes", async () => {
    await using again = await bootFrom(server, "one");
    assert.equal(await bash(again, "cat /etc/hostname; dpkg --audit"), "one\n");
    await shutDown(again, server);
  });
}

Deno.test({
  name: "guests with a served root file system",
  ignore,
  fn: async (t) => {
    // Not below a folder that anything else unpacks to: devices and owners are real ones.
    const folder = await Deno.makeTempDir({ prefix: "virtfs-root-" });
    try {
      const archive = await minimalDebian();
      const bases = [`${folder}/base`, `${folder}/shared`] as const;
      await Promise.all(bases.map((base) => unpack(archive, base)));
      // Each waits for its guests most of the time; the test as a whole is looked at.
      const beside = { sanitizeExit: false, sanitizeOps: false, sanitizeResources: false };
      await Promise.all([
        t.step({
          name: "two guests share a base and change their own",
          ...beside,
          fn: (t) => shareBase(t, bases[1], folder),
        }),
        t.step({
          name: "a Debian runs from a folder of the host",
          ...beside,
          fn: (t) => runDebian(t, bases[0]),
        }),
      ]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
