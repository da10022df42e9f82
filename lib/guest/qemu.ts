/**
 * A current QEMU and a virtiofsd for guests: this machine's if they are new enough, else those of a
 * newer Debian suite, unpacked into the cache.
 *
 * @module
 */

import { GuestPreparationFailure, runTool } from "./cache.ts";
import { type UnpackedProgram, unpackProgram } from "./debian.ts";
import { which } from "./tools.ts";

/** The device by which a back-end of vhost-user can be any virtio device; since QEMU 10.2. */
export const GENERIC_DEVICE = "vhost-user-test-device-pci";

/** Suite that programs are unpacked from: a stable release whose QEMU follows development. */
const SUITE = "trixie-backports";

/** How to start a QEMU that emulates x86-64. */
export interface QemuCommand {
  /** Program and first arguments; those of the guest follow. */
  readonly command: readonly [string, ...string[]];
  /** Version, as in `11.1.3`. */
  readonly version: string;
}

/** Virtio's number of the 9P device. */
const VIRTIO_ID_9P = 9;

/** Bytes of its configuration space: the longest tag we use, its length, and a few. */
const CONFIG_SIZE = 32;

/**
 * Say how a guest's memory becomes a file that other processes can share, as vhost-user wants it.
 *
 * @param memoryMiB All its memory, in MiB.
 * @returns Arguments for QEMU.
 */
export function sharedMemoryArgs(memoryMiB: number): string[] {
  const args = ["-object", `memory-backend-memfd,id=ram,size=${memoryMiB}M,share=on`];
  args.push("-machine", "memory-backend=ram");
  return args;
}

/**
 * Say how a guest gets 9P devices that another process drives through vhost-user.
 *
 * @param sockets Where that process listens, one for each device.
 * @returns Arguments for a QEMU that {@linkcode findQemu} found; {@linkcode sharedMemoryArgs} must
 * be among the others.
 */
export function vhostUserArgs(sockets: readonly string[]): string[] {
  const args: string[] = [];
  for (const [index, path] of sockets.entries()) {
    const words = [`chardev=v${index}`, `virtio-id=${VIRTIO_ID_9P}`, "num_vqs=1", "vq_size=128"];
    args.push("-chardev", `socket,id=v${index},path=${path}`);
    args.push("-device", [GENERIC_DEVICE, ...words, `config_size=${CONFIG_SIZE}`].join());
  }
  return args;
}

/** What a QEMU must be able to do. */
export interface QemuOptions {
  /** Oldest version that will do; 10.2 by default. */
  readonly minVersion?: string;
}

/** How to start virtiofsd. */
export interface VirtiofsdCommand {
  /** Program and first arguments. */
  readonly command: readonly [string, ...string[]];
  /** Version, as in `1.13.2`. */
  readonly version: string;
}

/**
 * Find a QEMU that is new enough and has {@linkcode GENERIC_DEVICE}: the program that `VIRTFS_QEMU`
 * names, else this machine's, else one unpacked from a newer Debian suite.
 *
 * @example Boot a guest with it
 * ```ts ignore
 * await using guest = await Guest.boot({ qemu: await findQemu() });
 * ```
 *
 * @param options What it must be able to do.
 * @returns How to start it.
 * @throws {GuestPreparationFailure} If none can be had, or the one of `VIRTFS_QEMU` will not do.
 * @throws {MissingTools} If apt is needed and not there.
 */
export async function findQemu(options: QemuOptions = {}): Promise<QemuCommand> {
  const minVersion = options.minVersion ?? "10.2";
  const given = Deno.env.get("VIRTFS_QEMU");
  if (given !== undefined && given !== "") return await inspectQemu([given], minVersion);
  const installed = which("qemu-system-x86_64");
  if (installed !== null) {
    try {
      return await inspectQemu([installed], minVersion);
    } catch (error) {
      if (!(error instanceof GuestPreparationFailure)) throw error;
    }
  }
  return await unpackQemu(minVersion);
}

/**
 * Unpack a QEMU from a newer Debian suite, or take it from the cache, whatever is installed here.
 *
 * @param minVersion Oldest version that will do.
 * @returns How to start it.
 */
export async function unpackQemu(minVersion = "10.2"): Promise<QemuCommand> {
  const { command } = await unpackProgram({
    entry: `qemu-${SUITE}`,
    suite: SUITE,
    package: "qemu-system-x86",
    program: "usr/bin/qemu-system-x86_64",
    data: ["usr/share/qemu", "usr/share/seabios"],
    keeps: isForX86,
    check: async ({ root, command }: UnpackedProgram) => {
      // QEMU prefers the folder of this name beside its executable to every path built into it:
      // else it would load modules and firmware of this machine's QEMU, and fail at it.
      await Deno.symlink("../..", `${root}/usr/bin/qemu-bundle`);
      await inspectQemu(command, minVersion);
    },
  });
  return await inspectQemu(command, minVersion);
}

/** Firmware that PCs without a display need, out of that for every architecture. */
function isForX86(path: string): boolean {
  return path.includes("/seabios/") ||
    /\/(.*\.rom|kvmvapic\.bin|linuxboot_dma\.bin|multiboot_dma\.bin|pvh\.bin)$/.test(path);
}

async function inspectQemu(
  command: readonly [string, ...string[]],
  minVersion: string,
): Promise<QemuCommand> {
  const shown = command.at(-1);
  const version = versionIn(await runTool([...command, "-version"]));
  if (compareVersions(version, minVersion) < 0) {
    throw new GuestPreparationFailure(
      `Cannot use the QEMU "${shown}": it is version ${version}, not ${minVersion} or newer`,
    );
  }
  const devices = await runTool([...command, "-device", "help"]);
  if (!devices.includes(`"${GENERIC_DEVICE}"`)) {
    throw new GuestPreparationFailure(
      `Cannot use the QEMU "${shown}": it has no device ${GENERIC_DEVICE}`,
    );
  }
  return { command, version };
}

/**
 * Find virtiofsd: the program that `VIRTFS_VIRTIOFSD` names, else one unpacked from a Debian suite.
 * An installed one is not looked for: QEMU's of old has the same name and other options.
 *
 * @returns How to start it.
 * @throws {GuestPreparationFailure} If none can be had.
 */
export async function findVirtiofsd(): Promise<VirtiofsdCommand> {
  const given = Deno.env.get("VIRTFS_VIRTIOFSD");
  if (given !== undefined && given !== "") return await inspectVirtiofsd([given]);
  const { command } = await unpackProgram({
    entry: `virtiofsd-${SUITE}`,
    suite: SUITE,
    package: "virtiofsd",
    program: "usr/libexec/virtiofsd",
    check: async ({ command }: UnpackedProgram) => void await inspectVirtiofsd(command),
  });
  return await inspectVirtiofsd(command);
}

async function inspectVirtiofsd(
  command: readonly [string, ...string[]],
): Promise<VirtiofsdCommand> {
  return { command, version: versionIn(await runTool([...command, "--version"])) };
}

function versionIn(text: string): string {
  const version = /\d+(\.\d+)+/.exec(text)?.[0];
  if (version === undefined) {
    throw new GuestPreparationFailure(`Cannot read a version: there is none in "${text.trim()}"`);
  }
  return version;
}

/**
 * Compare versions number by number.
 *
 * @param a One, digits and dots.
 * @param b Another.
 * @returns Less than 0 if `a` is older, 0 if they are the same, more than 0 if `a` is newer.
 */
export function compareVersions(a: string, b: string): number {
  const [as, bs] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let at = 0; at < Math.max(as.length, bs.length); at++) {
    const difference = (as[at] ?? 0) - (bs[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
