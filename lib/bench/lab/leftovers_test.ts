import assert from "node:assert/strict";
import { missingTools, quote, runTool } from "../../guest/mod.ts";
import { leftLoopDevices, removeLeftLoopDevices } from "./leftovers.ts";

Deno.test({
  name: "removeLeftLoopDevices() removes those that nobody has mounted, and no other",
  ignore: missingTools(["mkfs", "mount"]) !== null || Deno.uid() !== 0,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "virtfs-leftovers-" });
    let holder: Deno.ChildProcess | undefined;
    try {
      const attach = async (name: string): Promise<string> => {
        const image = `${folder}/${name}`;
        await runTool(["truncate", "-s", "8M", image]);
        await runTool(["mkfs.ext4", "-q", image]);
        return (await runTool(["losetup", "--find", "--show", image])).trim();
      };
      const left = await attach("virtfs-figures-left");
      const used = await attach("virtfs-figures-used");
      const other = await attach("other");
      // As a run has it: in a namespace of its own.
      const mount = `mount ${quote(used)} ${quote(folder)}; echo ready; exec sleep infinity`;
      holder = new Deno.Command("unshare", {
        args: ["--mount", "setpriv", "--pdeathsig=KILL", "sh", "-c", mount],
        stdout: "piped",
      }).spawn();
      const lines = holder.stdout.getReader();
      await lines.read();
      await lines.cancel();
      for (const name of ["virtfs-figures-left", "virtfs-figures-used", "other"]) {
        await Deno.remove(`${folder}/${name}`);
      }
      const found = await leftLoopDevices();
      assert.deepEqual([left, used, other].map((device) => found.includes(device)), [
        true,
        false,
        false,
      ]);
      const { removed, held } = await removeLeftLoopDevices();
      assert.ok(removed.includes(left));
      assert.ok(![...removed, ...held].some((device) => device === used || device === other));
      for (const device of [used, other]) {
        await Deno.stat(`/sys/block/${device.slice("/dev/".length)}/loop/backing_file`);
      }
      holder.kill("SIGKILL");
      await holder.status;
      // It had no mount that takes it along.
      await runTool(["losetup", "--detach", other]);
      assert.ok((await leftLoopDevices()).includes(used));
      assert.ok((await removeLeftLoopDevices()).removed.includes(used));
    } finally {
      try {
        holder?.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await Deno.remove(folder, { recursive: true });
    }
  },
});
