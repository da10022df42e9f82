/**
 * virtiofs by virtiofsd: what came after VirtFS, for comparison.
 *
 * @module
 */
import { exists, findVirtiofsd } from "../../guest/mod.ts";
import { Daemon } from "../lab/daemon.ts";
import { type Candidate, FILE, type Surroundings } from "./candidate.ts";

/**
 * Start a virtiofsd for every store.
 *
 * @param around Where.
 */
export async function startVirtiofs(around: Surroundings): Promise<Candidate> {
  const { command, version } = await findVirtiofsd();
  const folders = await around.stores.folders("virtiofs");
  const daemons: Daemon[] = [];
  const machine: string[] = [];
  for (const [index, folder] of folders.entries()) {
    const socket = `${around.folder}/virtiofs${index}.sock`;
    const daemon = Daemon.start("virtiofsd", [
      ...[...command, `--socket-path=${socket}`, `--shared-dir=${folder}`],
      "--sandbox=none",
    ]);
    daemons.push(daemon);
    await daemon.until(() => exists(socket));
    machine.push("-chardev", `socket,id=f${index},path=${socket}`);
    machine.push("-device", `vhost-user-fs-pci,chardev=f${index},tag=virtiofs${index}`);
  }
  return {
    modules: ["virtiofs"],
    machine,
    software: { virtiofsd: version },
    died: Promise.race(daemons.map(({ died }) => died)),
    description: {
      server: `virtiofsd ${version}`,
      protocol: "FUSE",
      transport: "vhost-user",
      exportOptions: "sandbox=none",
      cacheMode: "auto",
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at) => `mount -t virtiofs virtiofs${index} ${at}`,
    reexport: () => Promise.resolve(),
    [Symbol.asyncDispose]: async () => {
      // QEMU's end ends them, too.
      for (const daemon of daemons) await daemon[Symbol.asyncDispose]();
    },
  };
}
