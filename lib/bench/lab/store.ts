/**
 * Where the bytes lie that are measured, and the host's page cache over them.
 *
 * @module
 */
import { exists, quote, runTool, which } from "../../guest/mod.ts";
import type { Backing, CacheCheck } from "../results_types.ts";

const MIB = 2 ** 20;

/** Longest time of dropping a file's pages or of making a file system, in milliseconds. */
const STEP_MS = 300_000;

/** How often pages are dropped that a moment later are there again. */
const ATTEMPTS = 5;

/** Backing stores of one run. */
export class Stores {
  /** What they are. */
  readonly backing: Backing;
  readonly #folders: readonly string[];

  private constructor(folders: readonly string[], backing: Backing) {
    this.#folders = folders;
    this.backing = backing;
  }

  /**
   * Make stores: where we may mount, file systems of their own in images, else folders.
   *
   * A memory image stands for a disk without its noise. There is still a page cache above it, that
   * of the file system in it, and that one can be dropped; what lies in a tmpfs itself cannot.
   *
   * @param folder Folder of the laboratory, in memory where it is a mount of our own.
   * @param options How many, how large, where; images are deleted at once and last as long as they
   * are mounted.
   */
  static async make(
    folder: string,
    options: {
      readonly count: number;
      readonly sizeBytes: number;
      readonly backing: string | null;
      readonly isPrivileged: boolean;
    },
  ): Promise<Stores> {
    const { count, sizeBytes, backing, isPrivileged } = options;
    const place = backing ?? folder;
    const hostFileSystem = await fileSystemOf(place);
    const folders: string[] = [];
    for (let index = 0; index < count; index++) {
      const at = `${folder}/store${index}`;
      if (!isPrivileged) {
        const path = `${place}/store${index}`;
        await Deno.mkdir(path, { mode: 0o777 });
        folders.push(path);
        continue;
      }
      await Deno.mkdir(at);
      const image = await Deno.makeTempFile({ dir: place, prefix: "virtfs-figures-" });
      try {
        // The file, an image of a block device as large, and room for what file systems keep.
        const imageBytes = Math.ceil(sizeBytes * 2.2) + 64 * MIB;
        // A disk that is too small shall be found out now; memory is used only as it is needed.
        const isReserved = backing !== null;
        if (isReserved) await runTool(["fallocate", "--length", `${imageBytes}`, image]);
        else await Deno.truncate(image, imageBytes);
        const extended = `lazy_itable_init=0${isReserved ? ",nodiscard" : ""}`;
        await runTool(["mkfs.ext4", "-q", "-F", "-E", extended, image], { timeoutMs: STEP_MS });
        // Such a loop device is gone with its mount, whatever happens in between.
        const options = isReserved ? "loop,noatime" : "loop,noatime,discard";
        await runTool(["mount", "-t", "ext4", "-o", options, image, at]);
        const device = (await runTool(["findmnt", "-n", "-o", "SOURCE", at])).trim();
        // Not every file system under an image can do without its cache.
        await runTool(["losetup", "--direct-io=on", device]).catch(() => {});
        // What the guest's root may do is not what is measured.
        await Deno.chmod(at, 0o777);
      } finally {
        await Deno.remove(image);
      }
      folders.push(at);
    }
    const isDirect = isPrivileged && await isDirectIo(folders[0] ?? "");
    return new Stores(folders, {
      kind: isPrivileged ? "image" : "folder",
      fileSystem: isPrivileged ? "ext4" : await fileSystemOf(folders[0] ?? place),
      hostFileSystem,
      isDirect,
      isRotational: await isRotational(place),
    });
  }

  /** Number of stores. */
  get count(): number {
    return this.#folders.length;
  }

  /**
   * Folder of a store.
   *
   * @param index Which, from 0.
   */
  folder(index: number): string {
    const folder = this.#folders[index];
    if (folder === undefined) throw new RangeError(`Cannot use store ${index}: there is none`);
    return folder;
  }

  /**
   * Make a folder in every store.
   *
   * @param name Its name.
   * @returns Paths, one for each store.
   */
  async folders(name: string): Promise<string[]> {
    const paths: string[] = [];
    for (const folder of this.#folders) {
      const path = `${folder}/${name}`;
      await Deno.mkdir(path);
      await Deno.chmod(path, 0o777);
      paths.push(path);
    }
    return paths;
  }
}

/**
 * Drop files from the host's page cache and look whether they are gone.
 *
 * @param paths Files.
 * @returns What the cache still holds of them.
 */
export async function chill(paths: readonly string[]): Promise<CacheCheck> {
  const method = "syncfs, posix_fadvise(POSIX_FADV_DONTNEED), then counted by fincore";
  const canCount = which("fincore") !== null;
  let resident = 0;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const steps = paths.map((path) =>
      `sync -f ${quote(path)}; ` +
      `dd of=${quote(path)} oflag=nocache conv=notrunc,fdatasync count=0 status=none`
    );
    if (canCount) {
      steps.push(`fincore --bytes --noheadings --output RES ${paths.map(quote).join(" ")}`);
    }
    const text = await runTool(["sh", "-ec", steps.join("\n")], { timeoutMs: STEP_MS });
    resident = text.trim().split(/\s+/).map(Number).reduce((sum, each) => sum + each, 0);
    if (!canCount) break;
    if (resident === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 50 << attempt));
  }
  return {
    state: !canCount ? "unknown" : resident === 0 ? "cold" : "warm",
    verified: canCount,
    method,
    residentBytes: canCount ? resident : null,
  };
}

async function fileSystemOf(path: string): Promise<string | null> {
  const text = await runTool(["stat", "--file-system", "--format=%T", path]).catch(() => "");
  const name = text.trim();
  return name === "" ? null : name === "ext2/ext3" ? "ext4" : name;
}

/** Whether the loop device under a mount does without the cache of the file system below it. */
async function isDirectIo(folder: string): Promise<boolean> {
  const device = await runTool(["findmnt", "--noheadings", "--output", "SOURCE", folder])
    .catch(() => "");
  const name = device.trim().replace("/dev/", "");
  const text = await Deno.readTextFile(`/sys/block/${name}/loop/dio`).catch(() => "0");
  return text.trim() === "1";
}

async function isRotational(path: string): Promise<boolean | null> {
  const text = await runTool(["stat", "--format=%Hd:%Ld", path]).catch(() => "");
  const base = `/sys/dev/block/${text.trim()}`;
  for (const file of [`${base}/queue/rotational`, `${base}/../queue/rotational`]) {
    if (await exists(file)) return (await Deno.readTextFile(file)).trim() === "1";
  }
  return null;
}
