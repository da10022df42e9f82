/**
 * A virtio block device: a file system that only the guest mounts, in an image on the host.
 *
 * @module
 */
import { type QemuCommand, runTool } from "../../guest/mod.ts";
import { type Candidate, NEVER, type Surroundings } from "./candidate.ts";

const MIB = 2 ** 20;

/**
 * Make an image in every store and give it to QEMU.
 *
 * @param around Where.
 * @param qemu Whose device it is.
 */
export async function startBlock(around: Surroundings, qemu: QemuCommand): Promise<Candidate> {
  const images: string[] = [];
  for (let index = 0; index < around.stores.count; index++) {
    const image = `${around.stores.folder(index)}/block.img`;
    await Deno.writeFile(image, new Uint8Array(), { mode: 0o600 });
    await Deno.truncate(image, Math.ceil(around.sizeBytes * 1.1) + 32 * MIB);
    await runTool(
      ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image],
      {
        timeoutMs: 300_000,
      },
    );
    images.push(image);
  }
  return {
    modules: ["virtio_blk", "ext4"],
    likedModules: ["crc32c_generic", "libcrc32c"],
    machine: images.flatMap((image, index) => [
      ...["-drive", `file=${image},if=none,id=b${index},format=raw,cache=writethrough`],
      ...["-device", `virtio-blk-pci,drive=b${index},serial=block${index}`],
    ]),
    software: {},
    died: NEVER,
    description: {
      server: `QEMU ${qemu.version}`,
      protocol: "virtio-blk",
      transport: "virtio-blk-pci",
      exportOptions: "raw image, ext4 in it",
      cacheMode: "writethrough",
    },
    hostFile: (index) => images[index] ?? "",
    // Names of block devices follow the order in which they were found.
    mount: (index, at) =>
      `for disk in /sys/block/vd*; do ` +
      `[ "$(cat $disk/serial)" != block${index} ] || mount -t ext4 /dev/\${disk##*/} ${at}; done`,
    reexport: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
