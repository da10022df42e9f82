/**
 * Exports that move between QEMU's own server and ours: what a guest makes and changes through one is
 * read through the other, under every security model, and both leave the same on the host, but for
 * what docs/security-models.md lists.
 *
 * The profile `full` adds the model `none`, which is `passthrough` to a server that is root.
 */

import assert from "node:assert/strict";
import { runTool } from "../../lib/guest/cache.ts";
import { Guest } from "../../lib/guest/guest.ts";
import { EXERCISE_TOOLS, prepareExercise } from "./exercise.ts";
import { requireTools } from "./missing.ts";
import { virtioGuest, VirtioServer } from "./virtio_machine.ts";

const ignore = requireTools(["apt", ...EXERCISE_TOOLS]) || Deno.uid() !== 0;

type Model = "mapped-xattr" | "mapped-file" | "passthrough" | "none";
const MODELS: readonly Model[] = [
  "mapped-xattr",
  "mapped-file",
  "passthrough",
  ...Deno.env.get("VIRTFS_TEST_PROFILE") === "full" ? ["none"] as const : [],
];

/** Who serves: ours, or QEMU's. */
const SERVERS = ["ours", "theirs"] as const;
type Server = typeof SERVERS[number];

const TAG = "interop";
const OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=none,access=client,posixacl";

/** An ACL in the kernel's form: user 1234 may read besides what mode 640 says. */
const ACL = "0x02000000" + "01000600ffffffff" + "02000400d2040000" + "04000400ffffffff" +
  "10000400ffffffff" + "20000000ffffffff";

/** Makes a file with such an ACL. */
const LISTING = `echo listed >listed; chmod 640 listed
  setfattr -n system.posix_acl_access -v ${ACL} listed`;

/** Where both keep ACLs in the same place. */
const WITH_ACLS: readonly Model[] = ["mapped-xattr", "passthrough"];

/** Makes an object of every kind in the folder that is current, with owners, modes, attributes. */
function making(model: Model): string {
  return `
    umask 022
    mkdir plain empty sticky group
    chmod 1777 sticky; chown 0:4711 group; chmod 2770 group
    echo text >plain/file
    echo text >"plain/two words"; chmod 400 "plain/two words"; chown 70000:70001 "plain/two words"
    long=$(printf '%0255d' 7); echo long >plain/$long; chmod 646 plain/$long
    : >empty-file; chmod 0 empty-file
    echo run >set-id; chown 1000:1001 set-id; chmod 6755 set-id
    echo names >first; ln first plain/second; chown 33:44 first
    ln -s plain/file link; ln -s /nowhere/at/all dangling; chown -h 12:13 dangling
    ln link plain/link-too
    mknod character c 5 7; chmod 622 character; chown 5:6 character
    mknod block b 259 300000; chmod 660 block
    mkfifo pipe -m 640; helper socket sock; chown 8:9 pipe sock
    echo moved >moving; chown 21:22 moving; chmod 604 moving; mv moving plain/moved
    echo over >over; chmod 611 over; echo old >target; chown 1:2 target; mv over target
    mkdir -m 750 folder; chown 3:4 folder; echo in >folder/inside; mv folder renamed
    echo gone >gone; chown 9:9 gone; rm gone; mkdir removed; : >removed/x; rm -r removed
    setfattr -n user.note -v value plain/file
    setfattr -n user.bytes -v 0x00ff renamed
    ${WITH_ACLS.includes(model) ? LISTING : ""}`;
}

/** Changes what {@linkcode making} made, through the other server. */
const CHANGING = `
  chmod 4711 plain/file; chown 55:66 "plain/two words"; chown 7:7 first; chmod 604 plain/second
  echo more >>plain/file; echo all >empty-file 2>/dev/null; truncate -s 2 target
  ln set-id set-id-too; mv pipe plain/pipe; mv renamed plain; chmod 3771 plain/renamed
  rm block plain/link-too; rm -r sticky; chown -h 99:98 link; ln -sf elsewhere dangling
  chmod 600 character; mv plain/moved empty/moved; mkdir -m 700 empty/new; mkfifo again
  setfattr -x user.note plain/file; setfattr -n user.more -v x plain/file
  mv target empty-file`;

/**
 * Shows a folder as a guest sees it: kind, mode, owner, device, names, size, target, contents,
 * attributes. The links and sizes of folders are the file system's.
 */
const LOOKING = `
  find . -not -type d -exec stat -c '%N %F %a %u:%g %t:%T %h %s' {} + | sort
  find . -type d -exec stat -c '%N %F %a %u:%g' {} + | sort
  find . -type f -exec md5sum {} + | sort
  getfattr -R -P -h -d -m - -e hex . | sed 's/ *$//'`;

/** Shows what of a folder the host has, in the same words. */
const HOST_LOOKING = `
  find . -not -type d -printf '%p %y %m %U:%G %n %s %l\\n' | sort
  find . -type d -printf '%p %y %m %U:%G\\n' | sort
  find . -type c -exec stat -c '%n %t:%T' {} + -o -type b -exec stat -c '%n %t:%T' {} + | sort
  find . -type f -exec md5sum {} + | sort
  getfattr -R -P -h -d -m - -e hex . 2>&1`;

/** Sorts attributes of each file: in what order they are listed is the file system's. */
function inOrder(text: string): string[] {
  const listed = text.indexOf("# file:");
  if (listed < 0) return text.split("\n");
  const files = text.slice(listed).trim().split("\n\n")
    .map((file) => {
      const [name, ...attributes] = file.split("\n");
      return [name, ...attributes.sort()].join("\n  ");
    });
  return [...text.slice(0, listed).split("\n"), ...files.sort()];
}

Deno.test({
  name: "exports move between QEMU's own server and ours",
  ignore,
  fn: async (t) => {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-interop-" });
    try {
      await Deno.chmod(folder, 0o755);
      const extraArgs: string[] = [];
      for (const model of MODELS) {
        await Deno.mkdir(`${folder}/${model}`);
        extraArgs.push(
          "-fsdev",
          `local,id=${model},path=${folder}/${model},security_model=${model}`,
          "-device",
          `virtio-9p-pci,fsdev=${model},mount_tag=${model}`,
        );
      }
      await using server = await VirtioServer.start({
        exports: Object.fromEntries(
          MODELS.map((model) => [model, { path: `${folder}/${model}`, securityModel: model }]),
        ),
        devices: [{ tag: TAG }],
      });
      await using guest = await Guest.boot({
        ...await virtioGuest(server, { tags: [TAG], extraArgs }),
        prepare: prepareExercise,
      });

      for (const model of MODELS) {
        const mounts: Record<Server, string> = {
          ours: `-o ${OPTIONS},aname=${model} ${TAG}`,
          theirs: `-o ${OPTIONS} ${model}`,
        };
        const run = (through: Server, at: string, script: string): Promise<string> =>
          guest.check(`set -e; cd /mnt/${through}/${at}\n${script}`, { timeoutMs: 120_000 });
        const seen = async (through: Server, at: Server): Promise<string[]> =>
          inOrder(await run(through, at, LOOKING));
        const onHost = async (at: Server): Promise<string[]> =>
          inOrder(
            await runTool([
              "sh",
              "-ec",
              `export LC_ALL=C; cd "$0"\n${HOST_LOOKING}`,
              `${folder}/${model}/${at}`,
            ]),
          );

        await t.step(model, async (t) => {
          for (const through of SERVERS) {
            await guest.check(
              `mkdir -p /mnt/${through} && mount -t 9p ${mounts[through]} /mnt/${through} &&
              mkdir /mnt/${through}/${through}`,
            );
          }
          try {
            for (const by of SERVERS) await run(by, by, making(model));
            const made = await seen("ours", "ours");
            await t.step("the same steps make the same through both", async () => {
              assert.deepEqual(await seen("theirs", "theirs"), made);
            });
            await t.step("ours reads what theirs made", async () => {
              assert.deepEqual(await seen("ours", "theirs"), made);
            });
            await t.step("theirs reads what ours made", async () => {
              assert.deepEqual(await seen("theirs", "ours"), made);
            });
            await t.step("the host has the same of both", async () => {
              assert.deepEqual(await onHost("ours"), await onHost("theirs"));
            });

            await run("theirs", "ours", CHANGING);
            await run("ours", "theirs", CHANGING);
            const changed = await seen("ours", "ours");
            await t.step("what the other changed is read by both", async () => {
              assert.notDeepEqual(changed, made);
              assert.deepEqual(await seen("theirs", "ours"), changed);
              assert.deepEqual(await seen("theirs", "theirs"), changed);
              assert.deepEqual(await seen("ours", "theirs"), changed);
            });
            await t.step("the host has the same of what the other changed", async () => {
              assert.deepEqual(await onHost("ours"), await onHost("theirs"));
            });
            if (model === "mapped-file") {
              await t.step(
                "QEMU gives rights on the host to those on lists, ours does not",
                async () => {
                  for (const by of SERVERS) await run(by, by, LISTING);
                  const attribute = `=${ACL}`;
                  const listed = async (at: Server): Promise<string[]> =>
                    (await onHost(at)).filter((line) => line.includes(attribute));
                  assert.deepEqual(await listed("ours"), [
                    `# file: listed\n  user.virtfs.system.posix_acl_access${attribute}`,
                  ]);
                  assert.deepEqual(await listed("theirs"), [
                    `# file: listed\n  system.posix_acl_access${attribute}`,
                  ]);
                },
              );
            }
            await t.step("each removes what the other has made", async () => {
              await guest.check("rm -r /mnt/ours/theirs /mnt/theirs/ours");
              const left = await runTool(["find", `${folder}/${model}`, "-mindepth", "1"]);
              assert.doesNotMatch(left, /ours|theirs/);
            });
          } finally {
            await guest.check("umount /mnt/ours /mnt/theirs");
          }
        });
      }
      assert.deepEqual(server.complaints, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
