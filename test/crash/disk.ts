/**
 * A small file system of a test's own, which fills up, fails and becomes read-only without anybody
 * else being the worse for it.
 *
 * @module
 */
import assert from "node:assert/strict";

/** How a disk is made. */
export interface DiskOptions {
  /** Bytes that it says it has, as `truncate` takes them. */
  readonly size: string;
  /** Bytes that there are behind it, as a mount of tmpfs takes them; enough if not given. */
  readonly real?: string;
  /** Further words for `mkfs.ext4`. */
  readonly words?: readonly string[];
  /**
   * Bytes that its quota allows, as `btrfs qgroup limit` takes them; the file system is Btrfs then.
   * Not every kernel has quotas for ext4.
   */
  readonly quota?: string;
}

/** Prepares everything in a mount namespace that ends with its last process. */
const HOLD = `
size=$1 real=$2 quota=$3 base=$4; shift 4
mount -t tmpfs -o "size=$real" none "$base" || exit
mkdir "$base/export" && truncate -s "$size" "$base/image" || exit
if [ -z "$quota" ]; then
  mkfs.ext4 -q -m 0 -E lazy_itable_init=0,nodiscard "$@" "$base/image" || exit
  mount -o loop "$base/image" "$base/export" && rmdir "$base/export/lost+found" || exit
else
  mkfs.btrfs -q -m single -d single "$base/image" >/dev/null || exit
  mount -o loop "$base/image" "$base/export" || exit
  btrfs quota enable "$base/export" && btrfs qgroup limit "$quota" 0/5 "$base/export" || exit
fi
chmod 777 "$base/export" || exit
echo ready
exec sleep infinity`;

/** The same with a disk that there is. */
const HOLD_IMAGE = `
mkdir "$2/export" && mount -o loop "$1" "$2/export" || exit
echo ready
exec sleep infinity`;

/** A file system in a namespace of its own. Disposing makes it go. */
export class Disk implements AsyncDisposable {
  /** Where it is mounted, for processes in the namespace. */
  readonly root: string;
  /** What a program is put after to run in the namespace. */
  readonly within: readonly string[];
  /** Where it is found from outside. */
  readonly outside: string;
  /** A path for a socket that is reached from both sides. */
  readonly socket: string;
  readonly #base: string;
  readonly #holder: Deno.ChildProcess;

  private constructor(base: string, holder: Deno.ChildProcess) {
    this.#base = base;
    this.#holder = holder;
    this.root = `${base}/disk/export`;
    this.socket = `${base}/socket`;
    this.within = ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`, "--"];
    this.outside = `/proc/${holder.pid}/root${this.root}`;
  }

  /** Makes one. It takes root. */
  static async make(options: DiskOptions): Promise<Disk> {
    const { size, real = size, words = [], quota = "" } = options;
    return await Disk.#hold(HOLD, (folder) => [size, real, quota, folder, ...words]);
  }

  /** Mounts the image of a disk, which gets what its journal holds. */
  static async open(image: string): Promise<Disk> {
    return await Disk.#hold(HOLD_IMAGE, (folder) => [image, folder]);
  }

  static async #hold(script: string, words: (folder: string) => string[]): Promise<Disk> {
    const base = await Deno.makeTempDir({ prefix: "virtfs-disk-" });
    await Deno.chmod(base, 0o755);
    await Deno.mkdir(`${base}/disk`);
    const holder = new Deno.Command("unshare", {
      args: ["--mount", "--propagation=private", "setpriv", "--pdeathsig=KILL"]
        .concat(["sh", "-c", script, "sh"], words(`${base}/disk`)),
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const lines = holder.stdout.getReader();
    const { value } = await lines.read();
    await lines.cancel();
    const disk = new Disk(base, holder);
    if (value === undefined) await disk[Symbol.asyncDispose]();
    assert.ok(value !== undefined, "the disk cannot be mounted");
    return disk;
  }

  /** Runs a shell script in the namespace, with the root as `$1`. Returns whether it succeeded. */
  async sh(script: string): Promise<boolean> {
    const [program = "", ...args] = [...this.within, "sh", "-c", script, "sh", this.root];
    const { success } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return success;
  }

  /** Unmounts it by ending what holds the namespace. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#holder.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#holder.status;
    await Deno.remove(this.#base, { recursive: true });
  }
}
