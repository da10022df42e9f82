/**
 * A stock Debian kernel for guests: downloaded and unpacked into the cache, never installed.
 *
 * @module
 */

import { cached, cacheFolder, exists, GuestPreparationFailure, runTool } from "./cache.ts";
import { DebianSuite } from "./debian.ts";
import { assertTools, which } from "./tools.ts";

/** Modules that every guest of ours loads; what they depend on comes along. */
export const DEFAULT_MODULES: readonly string[] = [
  "virtio_pci",
  "virtio_console",
  "virtio_net",
  "9p",
  "9pnet_fd",
  "9pnet_virtio",
];

/** A module file, ready for `insmod`. */
export interface GuestModule {
  /** Name as `lsmod` shows it, with underscores. */
  readonly name: string;
  /** The uncompressed ELF file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Folders of drivers that no guest of ours has devices for: most of the package's size. */
const LEFT_OUT = ["gpu", "media", "infiniband", "iio", "staging", "usb", "net/wireless", "hwmon"];

/** An unpacked kernel package. */
export class GuestKernel {
  /** Path of the bootable image. */
  readonly image: string;
  /** Release, as `uname -r` in the guest prints it. */
  readonly release: string;
  readonly #modules: ReadonlyMap<string, string>;

  private constructor(image: string, release: string, modules: ReadonlyMap<string, string>) {
    this.image = image;
    this.release = release;
    this.#modules = modules;
  }

  /**
   * Use a folder that holds an unpacked kernel package: `boot/vmlinuz-RELEASE` and
   * `lib/modules/RELEASE` (or `usr/lib/modules/RELEASE`, which may also hold the image, as
   * `vmlinuz`).
   *
   * @param folder The folder.
   * @throws {GuestPreparationFailure} If image or modules are not there.
   */
  static async open(folder: string): Promise<GuestKernel> {
    const bases = [`${folder}/lib/modules`, `${folder}/usr/lib/modules`];
    const images: { path: string; release: string }[] = [];
    for (const boot of [`${folder}/boot`, folder]) {
      const name = (await names(boot)).filter((name) => name.startsWith("vmlinuz-")).sort().at(-1);
      if (name === undefined) continue;
      images.push({ path: `${boot}/${name}`, release: name.slice("vmlinuz-".length) });
    }
    for (const base of bases) {
      for (const release of await names(base)) {
        const path = `${base}/${release}/vmlinuz`;
        if (await exists(path)) images.push({ path, release });
      }
    }
    for (const { path, release } of images) {
      for (const base of bases) {
        const modules = new Map<string, string>();
        await collectModules(`${base}/${release}`, modules);
        if (modules.size === 0) continue;
        return new GuestKernel(await quickImage(path), release, modules);
      }
    }
    throw new GuestPreparationFailure(
      `Cannot use the kernel in "${folder}": ` +
        "there is no boot/vmlinuz-RELEASE with modules in lib/modules/RELEASE",
    );
  }

  /**
   * Find the kernel to boot: the folder `VIRTFS_GUEST_KERNEL` names, else the newest one in the
   * cache, else the one that Debian's `linux-image-amd64` stands for, downloaded with apt.
   *
   * @throws {GuestPreparationFailure} If none can be had.
   */
  static async find(): Promise<GuestKernel> {
    const given = Deno.env.get("VIRTFS_GUEST_KERNEL");
    if (given !== undefined && given !== "") return await GuestKernel.open(given);
    const present = (await names(cacheFolder()))
      .filter((name) => /^linux-image-[0-9].*-amd64$/.test(name));
    present.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const newest = present.at(-1);
    if (newest !== undefined) return await GuestKernel.open(`${cacheFolder()}/${newest}`);
    return await GuestKernel.open(await unpackKernel(await currentPackage()));
  }

  /**
   * Find the kernel of another Debian suite: in the cache, else downloaded and unpacked.
   *
   * @param suite Suite, as {@linkcode DebianSuite.open} takes it: `trixie` has Linux 6.12,
   * `trixie-backports` a current one.
   * @throws {GuestPreparationFailure} If it cannot be had.
   */
  static async ofSuite(suite: string): Promise<GuestKernel> {
    // The name keeps it apart from those that find() looks for.
    return await GuestKernel.open(
      await cached(`kernel-${suite}`, async (target) => {
        const packages = (await (await DebianSuite.open(suite)).closure(["linux-image-amd64"]))
          .filter(({ name }) => /^linux-(image|base|binary|modules)-[0-9]/.test(name));
        await (await DebianSuite.open(suite)).unpack(packages, target);
        await leaveOutDrivers(target);
      }),
    );
  }

  /**
   * Look whether the kernel has a module, as a file or built in.
   *
   * @param name Name, with dashes or underscores.
   */
  has(name: string): boolean {
    return this.#modules.has(name.replaceAll("-", "_"));
  }

  /**
   * Read modules and everything they depend on.
   *
   * A name that has no file is taken to be built into the kernel only if `modules.builtin` lists
   * it; else it is a failure.
   *
   * @param wanted Names, with dashes or underscores.
   * @returns Modules in an order in which they can be inserted.
   * @throws {GuestPreparationFailure} If the kernel has no such module.
   */
  async modules(wanted: readonly string[]): Promise<GuestModule[]> {
    const ordered: GuestModule[] = [];
    const seen = new Set<string>();
    const add = async (name: string): Promise<void> => {
      name = name.replaceAll("-", "_");
      if (seen.has(name)) return;
      seen.add(name);
      const path = this.#modules.get(name);
      if (path === undefined) {
        throw new GuestPreparationFailure(
          `Cannot load module "${name}": kernel ${this.release} has no such module`,
        );
      }
      if (path === BUILT_IN) return;
      const bytes = await readModule(path);
      for (const dependency of moduleDependencies(bytes)) await add(dependency);
      ordered.push({ name, bytes });
    };
    for (const name of wanted) await add(name);
    return ordered;
  }
}

/** Note of an ELF kernel that names its entry point for booting without a boot loader (PVH). */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** How kernels are compressed, by the first four bytes, and what undoes it. */
const COMPRESSIONS: ReadonlyMap<number, { program: string; suffix: string }> = new Map([
  [0xfd377a58, { program: "xz", suffix: "xz" }],
  [0x28b52ffd, { program: "zstd", suffix: "zst" }],
]);

/**
 * Take the ELF kernel out of a compressed image, so that the guest need not decompress it: that
 * takes longer under emulation than all the rest of a boot.
 *
 * @param image A bzImage.
 * @returns Path of the ELF kernel in the cache; the image itself if it holds none that QEMU boots.
 * @see Linux Documentation/arch/x86/boot.rst, payload_offset and payload_length
 */
async function quickImage(image: string): Promise<string> {
  const bytes = await Deno.readFile(image);
  const view = new DataView(bytes.buffer);
  const setupSectors = view.getUint8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const kind = COMPRESSIONS.get(view.getUint32(start));
  if (kind === undefined || which(kind.program) === null) return image;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const path = await cached(`vmlinux-${digest.toHex().slice(0, 16)}`, async (target) => {
    // The last 4 bytes are the size of the kernel, not a part of the compressed stream.
    const payload = bytes.subarray(start, start + view.getUint32(0x24c, true) - 4);
    const packed = `${target}.${kind.suffix}`;
    await Deno.writeFile(packed, payload);
    await runTool([kind.program, "-dq", packed], { timeoutMs: 120_000 });
  });
  return hasDirectEntry(await Deno.readFile(path)) ? path : image;
}

/** Whether an ELF kernel of 64 bits carries {@linkcode XEN_ELFNOTE_PHYS32_ENTRY}. */
function hasDirectEntry(elf: Uint8Array<ArrayBuffer>): boolean {
  const PT_NOTE = 4;
  const view = new DataView(elf.buffer);
  const table = Number(view.getBigUint64(32, true));
  for (let index = 0; index < view.getUint16(56, true); index++) {
    const header = table + index * view.getUint16(54, true);
    if (view.getUint32(header, true) !== PT_NOTE) continue;
    let offset = Number(view.getBigUint64(header + 8, true));
    const end = offset + Number(view.getBigUint64(header + 32, true));
    while (offset + 12 <= end) {
      const nameSize = view.getUint32(offset, true);
      const dataSize = view.getUint32(offset + 4, true);
      const isXen = nameSize === 4 && view.getUint32(offset + 12) === 0x58656e00;
      if (isXen && view.getUint32(offset + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY) return true;
      offset += 12 + ((nameSize + 3) & ~3) + ((dataSize + 3) & ~3);
    }
  }
  return false;
}

/** Stands for the path of a module that is part of the image. */
const BUILT_IN = "";

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) found.push(entry.name);
  } catch {
    // A folder that is not there has no names.
  }
  return found;
}

async function collectModules(folder: string, modules: Map<string, string>): Promise<void> {
  const walk = async (path: string): Promise<void> => {
    for await (const entry of Deno.readDir(path)) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory) await walk(child);
      const name = moduleName(entry.name);
      if (entry.isFile && name !== null) modules.set(name, child);
    }
  };
  if (!(await exists(`${folder}/kernel`))) return;
  await walk(`${folder}/kernel`);
  const builtIn = await Deno.readTextFile(`${folder}/modules.builtin`);
  for (const line of builtIn.split("\n")) {
    const name = moduleName(line.slice(line.lastIndexOf("/") + 1));
    if (name !== null) modules.set(name, BUILT_IN);
  }
}

function moduleName(fileName: string): string | null {
  const match = /^(.+)\.ko(\.xz|\.zst|\.gz)?$/.exec(fileName);
  return match?.[1]?.replaceAll("-", "_") ?? null;
}

async function readModule(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (path.endsWith(".ko")) return await Deno.readFile(path);
  const program = path.endsWith(".xz") ? "xz" : path.endsWith(".zst") ? "zstd" : "gzip";
  const output = await new Deno.Command(program, { args: ["-dc", path] }).output();
  if (!output.success) {
    throw new GuestPreparationFailure(`Cannot unpack "${path}": ${program} failed`);
  }
  return output.stdout;
}

/**
 * Read the `depends=` entry that the kernel build leaves in every module, which makes `depmod`
 * and its tables unnecessary (an unpacked package has none).
 */
function moduleDependencies(bytes: Uint8Array): string[] {
  // Latin-1 keeps offsets; only one short ASCII entry is wanted.
  const text = new TextDecoder("latin1").decode(bytes);
  const start = text.indexOf("\0depends=");
  if (start < 0) return [];
  const end = text.indexOf("\0", start + 1);
  const list = text.slice(start + "\0depends=".length, end);
  return list === "" ? [] : list.split(",");
}

async function currentPackage(): Promise<string> {
  assertTools(["apt"]);
  const depends = await runTool(["apt-cache", "depends", "linux-image-amd64"]);
  const name = /Depends: (linux-image-\S+-amd64)/.exec(depends)?.[1];
  if (name === undefined) {
    throw new GuestPreparationFailure(
      "Cannot find the current kernel package: apt knows no linux-image-amd64; " +
        "run apt-get update, or name an unpacked kernel in VIRTFS_GUEST_KERNEL",
    );
  }
  return name;
}

async function unpackKernel(name: string): Promise<string> {
  assertTools(["apt"]);
  return await cached(name, async (target) => {
    const workshop = target.slice(0, target.lastIndexOf("/"));
    await runTool(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], {
      cwd: workshop,
      timeoutMs: 600_000,
    });
    const archive = (await names(workshop)).find((file) => file.endsWith(".deb"));
    if (archive === undefined) {
      throw new GuestPreparationFailure(`Cannot download ${name}: apt-get left no package`);
    }
    await runTool(["dpkg-deb", "-x", archive, target], { cwd: workshop, timeoutMs: 300_000 });
    await leaveOutDrivers(target);
  });
}

async function leaveOutDrivers(root: string): Promise<void> {
  for (const base of [`${root}/lib/modules`, `${root}/usr/lib/modules`]) {
    for (const release of await names(base)) {
      for (const folder of LEFT_OUT) {
        const path = `${base}/${release}/kernel/drivers/${folder}`;
        if (await exists(path)) await Deno.remove(path, { recursive: true });
      }
    }
  }
}

/**
 * Unpack one file of a Debian package into the cache.
 *
 * @param name Package.
 * @param file Path inside the package, without a leading slash.
 * @returns Absolute path of the file.
 */
export async function unpackFile(name: string, file: string): Promise<string> {
  assertTools(["apt"]);
  const folder = await cached(name, async (target) => {
    const workshop = target.slice(0, target.lastIndexOf("/"));
    await runTool(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], {
      cwd: workshop,
      timeoutMs: 300_000,
    });
    const archive = (await names(workshop)).find((entry) => entry.endsWith(".deb"));
    if (archive === undefined) {
      throw new GuestPreparationFailure(`Cannot download ${name}: apt-get left no package`);
    }
    await runTool(["dpkg-deb", "-x", archive, target], { cwd: workshop });
  });
  return `${folder}/${file}`;
}
