/**
 * The suite of `test/posix` on disks with ext4, where all of it must hold, and in a real guest on
 * mounts of every security model, where only what `posix_differences.ts` lists may differ; and on
 * exports that are full, read-only, turn read-only under load, or fail. Two guests share the mounts.
 *
 * The profile `full` adds mounts, random work and the most links that a file can have, and asks
 * QEMU's own server what our list says of Linux's client. `VIRTFS_MOUNT_ONLY=TEXT` runs the mounts
 * whose name contains the text, `VIRTFS_POSIX_SEED=NUMBER` chooses other random work.
 */

import assert from "node:assert/strict";
import { runTool } from "../../lib/guest/cache.ts";
import type { CacheMode } from "./exercise.ts";
import { Guest, quote } from "../../lib/guest/guest.ts";
import { requireTools } from "./missing.ts";
import {
  type Outcomes,
  parseOutcomes,
  posixCases,
  posixProgram,
  preparePosix,
  runPosix,
  unexpected,
} from "./posix.ts";
import { DIFFERENCES, type PosixMount } from "./posix_differences.ts";
import { type OfferedExport, pause, virtioGuest, VirtioServer } from "./virtio_machine.ts";

const isFull = Deno.env.get("VIRTFS_TEST_PROFILE") === "full";
const only = Deno.env.get("VIRTFS_MOUNT_ONLY") ?? "";
const seed = Number(Deno.env.get("VIRTFS_POSIX_SEED") ?? "1");
const ignore = requireTools(["apt", "gcc", "mkfs", "mount"]) || Deno.uid() !== 0;

/** Tags of the devices whose exports are mounted one after the other, each by a guest of its own. */
const TAGS = ["posix", "posix-too"] as const;
const [TAG] = TAGS;
/** Tag of QEMU's own device. */
const PEER = "peer";
/** What is random, and how long a run may take. */
const RUN = { seed, steps: isFull ? 3000 : 300, timeoutMs: isFull ? 900_000 : 300_000 };

/** Ways to serve, by the name of the export. */
const MODELS: Readonly<Record<PosixMount["model"], Partial<OfferedExport>>> = {
  passthrough: { securityModel: "passthrough" },
  "mapped-xattr": { securityModel: "mapped-xattr" },
  "mapped-file": { securityModel: "mapped-file" },
  none: { securityModel: "none" },
  squash: { securityModel: "none", squash: { who: "all", uid: 65533, gid: 65533 } },
};

/** Parts of the suite that depend on the model; the others need to be run once. */
const OF_MODELS = ["acls", "entries", "links", "modes", "owners", "permissions", "xattrs"];

/** Parts of the suite that depend on what the client caches. */
const OF_CACHES = [
  "acls",
  "data",
  "links",
  "modes",
  "opens",
  "random",
  "renames",
  "sizes",
  "times",
];

/** What is asked of an export that nothing happens to. */
const PLAIN: PosixMount = { model: "passthrough", cache: "none", access: "client" };

interface Case extends PosixMount {
  /** Parts of the suite; all by default. */
  readonly parts: readonly string[];
}

function mounts(): Case[] {
  const list: Case[] = [];
  const add = (
    model: PosixMount["model"],
    cache: CacheMode,
    access: PosixMount["access"],
    parts: readonly string[] = [],
  ): void => void list.push({ model, cache, access, parts: isFull ? [] : parts });
  add("passthrough", "none", "client");
  add("passthrough", "loose", "user", OF_CACHES);
  add("mapped-xattr", "none", "client", OF_MODELS);
  add("mapped-file", "none", "client", OF_MODELS);
  add("none", "none", "user", OF_MODELS);
  add("squash", "none", "user", OF_MODELS);
  if (isFull) {
    add("passthrough", "none", "user");
    add("passthrough", "loose", "client");
    add("passthrough", "mmap", "client");
  }
  return list.filter((mount) => nameOf(mount).includes(only));
}

function nameOf({ model, cache, access }: PosixMount): string {
  return `${model} cache=${cache} access=${access}`;
}

/** Name of the export that a mount has to itself. */
function exportOf({ model, cache, access }: PosixMount): string {
  return `${model}-${cache}-${access}`;
}

/** Words that mount an export. */
function words({ cache, access }: Omit<PosixMount, "model">): string {
  const acl = access === "client" ? ",posixacl" : "";
  return `trans=virtio,version=9p2000.L,msize=512000,cache=${cache},access=${access}${acl}`;
}

/** Mounts something in the guest as long as a body runs. */
async function mounted<T>(
  guest: Guest,
  device: string,
  options: string,
  body: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = "/mnt/suite";
  await guest.check(`mkdir -p ${folder} && mount ${options} ${device} ${folder}`);
  try {
    return await body(folder);
  } finally {
    await guest.check(`umount ${folder}`);
  }
}

/** Other steps run beside it; the test as a whole is looked at. */
const BESIDE_OTHERS = { sanitizeExit: false, sanitizeOps: false, sanitizeResources: false };

/** Runs the suite on mounts, one after the other, in a guest that has a device of ours. */
async function runMounts(
  t: Deno.TestContext,
  guest: Guest,
  tag: string,
  waiting: Case[],
): Promise<void> {
  for (let mount = waiting.shift(); mount !== undefined; mount = waiting.shift()) {
    const options = `-t 9p -o ${words(mount)}`;
    const run = { ...RUN, cases: mount.parts };
    const all = mount.parts.length === 0;
    const device = `${options},aname=${exportOf(mount)}`;
    await t.step({
      name: nameOf(mount),
      ...BESIDE_OTHERS,
      fn: async () => {
        const outcomes = await mounted(guest, tag, device, (at) => runPosix(guest, at, run));
        assert.deepEqual(unexpected(outcomes, mount, DIFFERENCES), []);
        assert.ok(outcomes.size >= (all ? 350 : 80), `${outcomes.size}`);
      },
    });
    if (!isFull || mount.model !== "passthrough") continue;
    await t.step({
      name: `${nameOf(mount)} of QEMU's own server`,
      ...BESIDE_OTHERS,
      fn: async () => {
        const outcomes = await mounted(guest, PEER, options, (at) => runPosix(guest, at, run));
        const ofClient = DIFFERENCES.filter(({ by, where, isRare }) =>
          by === "v9fs" && where(mount) && isRare !== true
        );
        const passed = ofClient.flatMap(({ cases }) => cases)
          .filter((name) => outcomes.get(name) === null);
        assert.deepEqual(passed, [], "not the client's doing");
      },
    });
  }
}

/** Mounts an export of ours and runs cases there. */
async function ask(guest: Guest, name: string, cases: readonly string[]): Promise<Outcomes> {
  const options = `-t 9p -o aname=${name},${words({ cache: "none", access: "client" })}`;
  return await mounted(guest, TAG, options, (at) => runPosix(guest, at, { ...RUN, cases }));
}

/** Makes an image with ext4 that has all the suite asks for. */
async function makeImage(path: string, size: string, inodes: number): Promise<void> {
  await runTool(["truncate", "-s", size, path]);
  await runTool(["mkfs.ext4", "-q", "-O", "ea_inode", "-N", `${inodes}`, path]);
}

/** Requires that every case passed, and that there were any. */
function assertPassed(outcomes: Outcomes, least: number): void {
  assert.deepEqual([...outcomes].filter(([, failure]) => failure !== null), []);
  assert.ok(outcomes.size >= least, `${outcomes.size} cases`);
}

/**
 * Users of the suite as the server's host knows them. With passthrough the host decides, too, and
 * knows only its own groups; the guest knows in which of them a process is.
 */
const PASSWD = `root:x:0:0:root:/root:/bin/sh
ann:x:65533:65533::/:/bin/sh
bob:x:65532:65532::/:/bin/sh
`;
const GROUP = `root:x:0:\nann:x:65533:\nbob:x:65532:ann\nmany:x:4711:ann,bob\nmore:x:4712:ann\n`;

/** What an export that is read-only has in it, as the suite knows it. */
const CONTENT = `echo text >file && ln -s file link && mkdir folder empty &&
  echo inner >folder/inner`;

Deno.test({
  name: "the POSIX suite on this machine",
  ignore: requireTools(["gcc", "mkfs", "mount"]) || Deno.uid() !== 0,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-posix-" });
    try {
      await makeImage(`${folder}/image`, "512M", 20_000);
      await makeImage(`${folder}/image-small`, "8M", 256);
      await Deno.mkdir(`${folder}/disk`);
      await Deno.mkdir(`${folder}/small`);
      const program = await posixProgram();
      const script = `set -e; cd ${quote(folder)}
        mount -o loop image disk; mount -o loop image-small small
        ${quote(program)} --seed ${seed} disk; ${quote(program)} small full
        cd small; ${CONTENT}; mount -o remount,ro .; ${quote(program)} . read-only`;
      const output = await runTool(["unshare", "--mount", "sh", "-c", script]);
      assertPassed(parseOutcomes(output), 350);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "the list of differences is in order",
  ignore: requireTools(["gcc"]),
  fn: async () => {
    const cases = new Set(await posixCases());
    const unknown = DIFFERENCES.flatMap((each) => each.cases).filter((name) => !cases.has(name));
    assert.deepEqual(unknown, []);

    const mount: PosixMount = { model: "none", cache: "none", access: "user" };
    const found = new Map([["opens/O_TMPFILE", null], ["opens/O_EXCL", "expected EEXIST"]]);
    assert.deepEqual(unexpected(found, mount, DIFFERENCES), [
      "opens/O_TMPFILE: passes, but /expected success, got EOPNOTSUPP/ is listed",
      "opens/O_EXCL: expected EEXIST",
    ]);
    const other = new Map([["opens/O_TMPFILE", "expected success, got EIO"]]);
    assert.equal(unexpected(other, mount, DIFFERENCES).length, 1);
  },
});

/** What becomes of the export `changing` while a guest works on it. */
async function changeUnderLoad(
  guest: Guest,
  server: VirtioServer,
  name: string,
  change: readonly string[],
): Promise<void> {
  const process = await server.deviceProcess(TAG);
  const nsenter = ["nsenter", "--mount", "--target", `${process}`, "--"] as const;
  const asked = ask(guest, "changing", [`changed/${name}`]);
  let isDone = false;
  const done = asked.then(() => {}, () => {}).then(() => isDone = true);
  try {
    await pause(1000);
    // It is refused while a file is open for writing.
    for (let attempt = 0; !isDone; attempt++) {
      try {
        await runTool([...nsenter, ...change]);
        break;
      } catch (error) {
        if (attempt === 200) throw error;
      }
    }
  } finally {
    await done;
  }
  assertPassed(await asked, 1);
}

Deno.test({
  name: "the POSIX suite in a guest",
  ignore,
  fn: async (t) => {
    const selected = mounts();
    assert.ok(selected.length > 0, `no mount has "${only}" in its name`);
    const folder = await Deno.makeTempDir({ prefix: "virtfs-posix-" });
    const changing = `${folder}/changing`;
    try {
      await makeImage(`${folder}/disk`, "512M", 20_000);
      await makeImage(`${folder}/served`, "2G", 20_000);
      await makeImage(`${folder}/image-small`, "8M", 256);
      await makeImage(`${folder}/image-changing`, "16M", 1024);
      const peers = TAGS.map((tag) => `peer-${tag}`);
      for (const name of ["exports", "small", "changing", ...peers]) {
        await Deno.mkdir(`${folder}/${name}`);
        await Deno.chmod(`${folder}/${name}`, 0o777);
      }
      await Deno.writeTextFile(`${folder}/passwd`, PASSWD);
      await Deno.writeTextFile(`${folder}/group`, GROUP);
      const exports: Record<string, OfferedExport> = {
        small: { path: `${folder}/small`, securityModel: "passthrough" },
        changing: { path: changing, securityModel: "passthrough" },
        fixed: { path: `${folder}/exports/fixed`, readOnly: true, securityModel: "none" },
      };
      for (const mount of [PLAIN, ...selected]) {
        const name = exportOf(mount);
        exports[name] = { ...MODELS[mount.model], path: `${folder}/exports/${name}` };
      }
      const served = [PLAIN, ...selected].map(exportOf);
      await using server = await VirtioServer.start({
        exports,
        devices: TAGS.map((tag) => ({ tag })),
        mounts: `cd ${folder}; mount --bind passwd /etc/passwd; mount --bind group /etc/group
          for name in small changing; do mount -o loop image-$name $name; done
          mount -o loop served exports
          (cd changing && ${CONTENT})
          cd exports; mkdir -p fixed ${served.join(" ")}; chmod 777 *
          cd fixed; ${CONTENT}; cd /`,
      });
      const boot = async (tag: string, more: readonly string[]): Promise<Guest> => {
        const peer = `local,id=peer,path=${folder}/peer-${tag},security_model=passthrough`;
        const extraArgs = [...more, "-fsdev", peer];
        extraArgs.push("-device", `virtio-9p-pci,fsdev=peer,mount_tag=${PEER}`);
        return await Guest.boot({
          ...await virtioGuest(server, { tags: [tag], extraArgs }),
          // ext4 of 6.1 asks for the driver of its checksums by name.
          modules: [
            "virtio_pci",
            "virtio_console",
            "virtio_blk",
            "crc32c_generic",
            "ext4",
            "9p",
            "9pnet_virtio",
          ],
          prepare: preparePosix,
        });
      };
      const disk = `file=${folder}/disk,format=raw,if=virtio,cache=unsafe`;
      await using guest = await boot(TAG, ["-drive", disk]);
      const first = async (): Promise<void> => {
        await t.step({
          name: "a disk of its own",
          ...BESIDE_OTHERS,
          fn: () =>
            mounted(guest, "/dev/vda", "-t ext4", async (at) => {
              assertPassed(await runPosix(guest, at, RUN), 350);
            }),
        });
        await runMounts(t, guest, TAG, selected);
      };
      const second = async (): Promise<void> => {
        await using other = await boot(TAGS[1], []);
        await runMounts(t, other, TAGS[1], selected);
      };
      const ended = await Promise.allSettled([second(), first()]);
      for (const end of ended) if (end.status === "rejected") throw end.reason;
      assert.deepEqual(selected, []);

      await t.step("a full disk", async () => {
        assertPassed(await ask(guest, "small", ["full"]), 4);
        // Nothing is left behind that keeps it full.
        assertPassed(await ask(guest, "small", ["entries/every kind", "data/sizes"]), 2);
      });
      await t.step("a read-only export", async () => {
        assertPassed(await ask(guest, "fixed", ["read-only"]), 3);
      });
      await t.step("an export that turns read-only under load", async () => {
        const remount = (how: string): string[] => ["mount", "-o", `remount,${how}`, changing];
        await changeUnderLoad(guest, server, "turns read-only", remount("ro"));
        const process = await server.deviceProcess(TAG);
        await runTool(["nsenter", "--mount", "--target", `${process}`, "--", ...remount("rw")]);
        assertPassed(await ask(guest, "changing", ["entries", "renames/every kind"]), 18);
      });
      await t.step("an export that fails under load", async () => {
        const shutdown = [await posixProgram(), "shutdown", changing];
        await changeUnderLoad(guest, server, "fails", shutdown);
        assertPassed(await ask(guest, exportOf(PLAIN), ["entries"]), 17);
      });
      if (isFull) {
        await t.step("the most links of a file", async () => {
          assertPassed(await ask(guest, exportOf(PLAIN), ["link limit"]), 1);
        });
      }
      assert.deepEqual(server.complaints, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
