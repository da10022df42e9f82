/**
 * VirtFS as the paper has it: the virtio-9p device that is a part of QEMU.
 *
 * @module
 */
import type { QemuCommand } from "../../guest/mod.ts";
import { type Candidate, FILE, NEVER, ninepOptions, type Surroundings } from "./candidate.ts";

/**
 * Give QEMU a device for every store.
 *
 * @param around Where.
 * @param qemu Whose device it is.
 */
export async function startVirtfsQemu(
  around: Surroundings,
  qemu: QemuCommand,
): Promise<Candidate> {
  const folders = await around.stores.folders("virtfs-qemu");
  // The model of the paper, which an unprivileged QEMU cannot follow.
  const model = around.isPrivileged ? "passthrough" : "none";
  return {
    modules: ["9p", "9pnet_virtio"],
    machine: folders.flatMap((folder, index) => [
      ...["-fsdev", `local,id=q${index},path=${folder},security_model=${model}`],
      ...["-device", `virtio-9p-pci,fsdev=q${index},mount_tag=qemu${index}`],
    ]),
    software: {},
    died: NEVER,
    description: {
      server: `QEMU ${qemu.version}`,
      protocol: "9P2000.L",
      transport: "virtio-9p-pci",
      exportOptions: `fsdev local, security_model=${model}`,
      cacheMode: "none",
    },
    hostFile: (index) => `${folders[index]}/${FILE}`,
    mount: (index, at, msize) =>
      `mount -t 9p -o ${ninepOptions("trans=virtio", msize)} qemu${index} ${at}`,
    reexport: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
