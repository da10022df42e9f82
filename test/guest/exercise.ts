/**
 * What every mount of a served folder must pass: files, links, names, offsets, locks, mappings,
 * large folders, attributes. Each part is a step of its own, so that a test can report it by name.
 *
 * @module
 */

import type { Guest } from "../../lib/guest/guest.ts";
import { quote } from "../../lib/guest/guest.ts";
import { compileStatic, type Initramfs } from "../../lib/guest/initramfs.ts";
import type { Tool } from "./missing.ts";
import { which } from "./missing.ts";

/** What the exercise needs besides a guest. */
export const EXERCISE_TOOLS: readonly Tool[] = ["gcc", "ldd", "attr"];

/** How the client caches: the `cache=` option of v9fs. */
export type CacheMode = "none" | "loose" | "mmap";

/** What the client speaks: the `version=` option of v9fs. */
export type Version = "9p2000.L" | "9p2000.u" | "9p2000";

/** One way to mount the served folder. */
export interface MountOptions {
  /** Device of the mount, an IPv4 address for `trans=tcp`. */
  readonly source: string;
  /** Options that reach the server: `trans=tcp,port=…`, `aname=…`. */
  readonly transport: string;
  /** Dialect. */
  readonly version: Version;
  /** Caching. */
  readonly cache: CacheMode;
  /** Who the guest's users are to the server; `client` also turns ACLs on. */
  readonly access: "user" | "client" | "any";
  /** Largest frame, bytes. */
  readonly msize: number;
}

/**
 * How much to do: `brief` for the mounts of a covering selection, `ci` for the main mount, `full`
 * for everything in full size, which is a tree of 5,000 entries.
 */
export type Profile = "brief" | "ci" | "full";

/** What to exercise. */
export interface ExerciseOptions {
  /** The mount. */
  readonly mount: MountOptions;
  /** The served folder on the host. */
  readonly hostFolder: string;
  /**
   * `host`: a file's mode, owner and kind on the host are those the guest sees. `mapped`: they are
   * kept elsewhere, so only names, sizes and contents are compared on the host.
   */
  readonly model: "host" | "mapped";
  /** Size. */
  readonly profile: Profile;
  /** Names of steps to leave out: what the server is known not to offer. */
  readonly skip?: readonly string[];
  /** Device of a second mount of the same export, where one device cannot be mounted twice. */
  readonly secondSource?: string;
}

/** A named part of the exercise. */
export interface Step {
  /** Name, unique within the exercise. */
  readonly name: string;
  /** Does it; the promise is rejected if the mount does not pass. */
  readonly run: () => Promise<void>;
}

/** How a step ended. */
export interface StepResult {
  /** Name of the step. */
  readonly name: string;
  /** Why it did not pass; null if it did. */
  readonly failure: string | null;
  /** Time it took, milliseconds. */
  readonly ms: number;
}

interface Size {
  /** Entries of the copied tree. */
  readonly tree: number;
  /** Entries of each listed folder. */
  readonly folders: readonly number[];
  /** Time limit of one script, milliseconds. */
  readonly limitMs: number;
}

const SIZES: Readonly<Record<Profile, Size>> = {
  // Two folders, every odd name, both kinds of symbolic links, hard links, a sparse file.
  brief: { tree: 60, folders: [2_000], limitMs: 180_000 },
  ci: { tree: 500, folders: [2_000, 100_000], limitMs: 900_000 },
  full: { tree: 5_000, folders: [2_000, 100_000], limitMs: 1_800_000 },
};

/** Where the data of the large sparse file lies: beyond 32 bits, not at a power of two. */
const FAR = 5 * 2 ** 30 + 4096;

/** Checks of the helper that need one folder, by dialect. */
const CHECKS: Readonly<Record<Version, readonly string[]>> = {
  "9p2000.L": [
    "append",
    "truncate",
    "create",
    "vectors",
    "rename",
    "rename-over-open",
    "unlinked-open",
    "folders",
    "rewind",
    "links",
    "hard-links",
    "chmod",
    "chown",
    "times",
    "statfs",
    "fifo",
    "mmap-private",
  ],
  "9p2000.u": ["append", "truncate", "vectors", "rename-here", "rewind"],
  "9p2000": ["append", "truncate", "vectors", "rename-here", "rewind"],
};

/**
 * Add to a guest's initramfs what the exercise runs in it.
 *
 * @param files The initramfs, from {@linkcode GuestOptions.prepare}.
 */
export async function prepareExercise(files: Initramfs): Promise<void> {
  files.file("/bin/helper", await Deno.readFile(await helperProgram()), 0o755);
  for (const name of ["setfattr", "getfattr"]) {
    const program = which(name);
    if (program !== null) await files.withLibraries(program);
  }
}

/**
 * Compile the helper; it runs on the host, too.
 *
 * @returns Its path.
 */
export function helperProgram(): Promise<string> {
  return compileStatic(new URL("helper.c", import.meta.url).pathname);
}

/**
 * Write the word that mounts, as `mount -o` takes it.
 *
 * @param mount The mount.
 * @returns The options.
 */
export function mountWords(mount: MountOptions): string {
  const { transport, version, cache, access, msize } = mount;
  return `${transport},version=${version},cache=${cache},access=${access},msize=${msize}`;
}

let exercises = 0;

/**
 * List the steps of the exercise, to be run in order. The first mounts, the last unmounts.
 *
 * @param guest Guest that was booted with {@linkcode prepareExercise}.
 * @param options What to exercise.
 * @returns The steps.
 */
export function exerciseSteps(guest: Guest, options: ExerciseOptions): Step[] {
  const exercise = new Exercise(guest, options, `x${++exercises}`);
  const skip = new Set(options.skip);
  const isMounting = (name: string): boolean => name === "mount" || name === "unmount";
  return exercise.steps().filter((step) => isMounting(step.name) || !skip.has(step.name));
}

/**
 * Run the exercise to its end, whatever fails on the way.
 *
 * @param guest Guest that was booted with {@linkcode prepareExercise}.
 * @param options What to exercise.
 * @returns How each step ended.
 */
export async function exercise(guest: Guest, options: ExerciseOptions): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const { name, run } of exerciseSteps(guest, options)) {
    const started = performance.now();
    let failure: string | null = null;
    try {
      await run();
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
    results.push({ name, failure, ms: performance.now() - started });
  }
  return results;
}

class Exercise {
  readonly #guest: Guest;
  readonly #options: ExerciseOptions;
  readonly #size: Size;
  /** Mount point; a second mount of the same export is at `${#mount}-b`. */
  readonly #mount: string;
  /** The folder that belongs to this exercise, below the mount and on the host. */
  readonly #inside: string;
  readonly #outside: string;
  /** Scratch folder of the guest, not on the mount. */
  readonly #scratch: string;

  constructor(guest: Guest, options: ExerciseOptions, label: string) {
    this.#guest = guest;
    this.#options = options;
    this.#size = SIZES[options.profile];
    this.#mount = `/mnt/${label}`;
    this.#inside = `${this.#mount}/${label}`;
    this.#outside = `${options.hostFolder}/${label}`;
    this.#scratch = `/tmp/${label}`;
  }

  steps(): Step[] {
    const { version, cache } = this.#options.mount;
    const isLinux = version === "9p2000.L";
    const steps: Step[] = [{ name: "mount", run: () => this.#doMount() }];
    const add = (name: string, run: () => Promise<void>): void => void steps.push({ name, run });
    add("copy in", () => this.#copyIn());
    add("copy out", () => this.#copyOut());
    add("tarball", () => this.#tarball());
    add("data beyond 5 GiB", () => this.#far());
    for (const name of CHECKS[version]) add(name, () => this.#check(name));
    // With cache=loose pages are the client's, and v9fs of 6.1 has no direct reads into them.
    if (isLinux && cache !== "loose") add("direct", () => this.#check("direct"));
    if (isLinux && cache !== "none") add("mmap-shared", () => this.#sharedMapping());
    if (isLinux) {
      add("times of the host", () => this.#hostTimes());
      add("xattrs", () => this.#xattrs());
      add("flock", () => this.#locks("flock"));
      add("records", () => this.#locks("records"));
    }
    for (const count of this.#size.folders) add(`list ${count}`, () => this.#list(count));
    add("unmount", () => this.#unmount());
    return steps;
  }

  /** Run a script that must succeed, with $M the mounted folder and $S the scratch folder. */
  #in(script: string, timeoutMs = this.#size.limitMs): Promise<string> {
    const head = `set -e; M=${quote(this.#inside)}; S=${quote(this.#scratch)}\n`;
    return this.#guest.check(head + script, { timeoutMs });
  }

  /** Run the helper on the host. */
  async #out(...args: string[]): Promise<Uint8Array> {
    const output = await new Deno.Command(await helperProgram(), { args }).output();
    if (!output.success) {
      const text = new TextDecoder().decode(output.stdout);
      throw new Error(`Cannot pass on the host: helper ${args.join(" ")}: ${text.trim()}`);
    }
    return output.stdout;
  }

  async #manifest(folder: string): Promise<string> {
    return new TextDecoder().decode(await this.#out("manifest", folder));
  }

  async #doMount(): Promise<void> {
    await Deno.mkdir(this.#outside);
    // The exercise runs as the guest's root, whoever that is to the server.
    await Deno.chmod(this.#outside, 0o777);
    const { source } = this.#options.mount;
    const words = quote(mountWords(this.#options.mount));
    await this.#in(
      `mkdir -p ${this.#mount} $S
      mount -t 9p -o ${words} ${source} ${this.#mount}
      [ -d "$M" ] || { echo "the folder of the host is not there"; exit 1; }`,
      60_000,
    );
  }

  async #unmount(): Promise<void> {
    await this.#in(`umount ${this.#mount}; rm -rf $S; ! grep -q " ${this.#mount} " /proc/mounts`);
  }

  /** What kinds of entries the mount can hold. */
  get #kinds(): "all" | "plain" {
    return this.#options.mount.version === "9p2000.L" ? "all" : "plain";
  }

  /** Make the client forget what it keeps, so that the next look asks the server. */
  static readonly FORGET = "sync; echo 3 >/proc/sys/vm/drop_caches";

  async #copyIn(): Promise<void> {
    const count = this.#size.tree;
    const wanted = await this.#in(`
      helper mktree $S/tree ${count} ${this.#kinds} >&2
      cp -a $S/tree $M/in
      ${Exercise.FORGET}
      helper manifest $S/tree`);
    this.#same("in the guest", wanted, await this.#in("helper manifest $M/in"), false);
    const outside = await this.#manifest(`${this.#outside}/in`);
    this.#same("on the host", wanted, outside, this.#options.model === "mapped");
  }

  async #copyOut(): Promise<void> {
    const isMapped = this.#options.model === "mapped";
    const kinds = isMapped ? "plain" : this.#kinds;
    const count = Math.min(this.#size.tree, 2_000);
    await this.#out("mktree", `${this.#outside}/out`, `${count}`, kinds);
    const wanted = await this.#manifest(`${this.#outside}/out`);
    const copied = await this.#in(`
      rm -rf $S/tree
      cp -a $M/out $S/tree
      helper manifest $S/tree`);
    this.#same("copied out", wanted, copied, false);
    await this.#in("rm -rf $S/tree $M/in $M/out");
    for (const name of ["in", "out"]) {
      const left = await Deno.lstat(`${this.#outside}/${name}`).catch(() => null);
      if (left !== null) throw new Error(`Cannot remove the tree: "${name}" is on the host still`);
    }
  }

  async #tarball(): Promise<void> {
    const count = Math.min(this.#size.tree, this.#options.profile === "full" ? 200 : 60);
    const wanted = await this.#in(`
      helper mktree $S/packed ${count} ${this.#kinds} >&2
      tar -C $S -cf $S/packed.tar packed
      tar -C $M -xf $S/packed.tar
      ${Exercise.FORGET}
      helper manifest $S/packed`);
    this.#same("unpacked", wanted, await this.#in("helper manifest $M/packed"), false);
    const outside = await this.#manifest(`${this.#outside}/packed`);
    this.#same("unpacked on the host", wanted, outside, this.#options.model === "mapped");
    await this.#in("rm -rf $M/packed $S/packed $S/packed.tar; ! [ -e $M/packed ]");
    const left = await Deno.lstat(`${this.#outside}/packed`).catch(() => null);
    if (left !== null) throw new Error('Cannot remove what was unpacked: "packed" is there still');
  }

  async #far(): Promise<void> {
    await this.#in(
      `helper bigwrite $M/far ${FAR}; ${Exercise.FORGET}; helper bigcheck $M/far ${FAR}`,
    );
    await this.#out("bigcheck", `${this.#outside}/far`, `${FAR}`);
    const { blocks } = await Deno.stat(`${this.#outside}/far`);
    if (blocks !== null && blocks * 512 > 2 ** 30) {
      throw new Error(`Cannot keep a file sparse: ${blocks} blocks are taken`);
    }
    await this.#out("bigwrite", `${this.#outside}/far-host`, `${FAR}`);
    await this.#in(`helper bigcheck $M/far-host ${FAR}; rm $M/far $M/far-host`);
  }

  async #check(name: string): Promise<void> {
    await this.#in(`mkdir $M/${name}; helper check ${name} $M/${name}`);
  }

  async #sharedMapping(): Promise<void> {
    await this.#check("mmap-shared");
    await this.#in("sync");
    await this.#out("check", "mmap-written", `${this.#outside}/mmap-shared`);
  }

  async #hostTimes(): Promise<void> {
    await Deno.mkdir(`${this.#outside}/stamped`);
    await this.#out("check", "stamp", `${this.#outside}/stamped`);
    await this.#in("helper check stamped $M/stamped");
  }

  async #xattrs(): Promise<void> {
    // v9fs cannot set an empty value: a size of 0 in Txattrcreate means removal.
    const listed = await this.#in(`
      echo text >$M/marked
      setfattr -n user.short -v value $M/marked
      setfattr -n user.bytes -v 0x00ff0a00 $M/marked
      setfattr -n user.long -v "$(head -c 2000 /dev/zero | tr '\\0' L)" $M/marked
      getfattr --absolute-names -d -m '^user\\.' $M/marked | grep -v '^#' | cut -c1-40
      echo "long has $(getfattr --absolute-names --only-values -n user.long $M/marked | wc -c)"
      getfattr --absolute-names -e hex -n user.bytes $M/marked | grep =
      setfattr -n user.short -v replaced $M/marked
      getfattr --absolute-names --only-values -n user.short $M/marked; echo
      setfattr -x user.short $M/marked
      ! getfattr --absolute-names -n user.short $M/marked 2>/dev/null
      ! setfattr -x user.absent $M/marked 2>/dev/null
      getfattr --absolute-names -d -m '^user\\.' $M/marked | grep -c =
      cat $M/marked`);
    const wanted = [
      "user.bytes=0sAP8KAA==",
      `user.long="${"L".repeat(29)}`,
      'user.short="value"',
      "long has 2000",
      "user.bytes=0x00ff0a00",
      "replaced",
      "2",
      "text",
    ];
    const found = listed.trim().split("\n").filter((line) => line !== "");
    // The order in which attributes are listed is the file system's.
    const sorted = [...found.slice(0, 3).sort(), ...found.slice(3)];
    if (sorted.join("\n") !== wanted.join("\n")) {
      throw new Error(`Cannot keep extended attributes: the guest printed\n${listed}`);
    }
  }

  async #locks(name: string): Promise<void> {
    // The files exist before: two caching clients need not see each other's new files.
    await Deno.mkdir(`${this.#outside}/locks`, { recursive: true });
    await Deno.chmod(`${this.#outside}/locks`, 0o777);
    await Deno.writeTextFile(`${this.#outside}/locks/${name}`, "locked\n");
    await Deno.chmod(`${this.#outside}/locks/${name}`, 0o666);
    const source = this.#options.secondSource ?? this.#options.mount.source;
    const second = `${this.#mount}-b`;
    await this.#in(`
      mkdir -p ${second}
      mount -t 9p -o ${quote(mountWords(this.#options.mount))} ${source} ${second}
      # Holders of a check that failed take a moment to end.
      trap 'umount ${second} 2>/dev/null || { sleep 1; umount ${second}; }' EXIT
      helper check ${name} $M/locks ${second}/${this.#inside.split("/").at(-1)}/locks`);
  }

  async #list(count: number): Promise<void> {
    const name = `list-${count}`;
    await this.#out("mkmany", `${this.#outside}/${name}`, `${count}`);
    const wanted = new Set(split(await this.#out("names", `${this.#outside}/${name}`)));
    const result = await this.#guest.run(`exec helper names ${this.#inside}/${name}`, {
      timeoutMs: this.#size.limitMs,
    });
    if (result.status !== 0) throw new Error(`Cannot list ${count} entries: ${result.output}`);
    const found = split(result.bytes);
    const unique = new Set(found);
    const missing = [...wanted].filter((entry) => !unique.has(entry));
    const strange = found.filter((entry) => !wanted.has(entry));
    if (missing.length + strange.length > 0 || unique.size !== found.length) {
      throw new Error(
        `Cannot list ${count} entries exactly: ${missing.length} missing (${
          missing.slice(0, 3)
        }), ` +
          `${found.length - unique.size} twice, ${strange.length} strange (${strange.slice(0, 3)})`,
      );
    }
    await Deno.remove(`${this.#outside}/${name}`, { recursive: true });
  }

  /**
   * Compare two manifests.
   *
   * @param where What was compared, for the message.
   * @param isLoose Whether kind, mode and number of links may differ: a symbolic link may be kept
   * as a file with the target as its contents.
   */
  #same(where: string, wanted: string, found: string, isLoose: boolean): void {
    const view = (text: string): string[] =>
      text.trim().split("\n").map((line) => {
        if (!isLoose) return line;
        const [path, kind, , , size, hash] = line.split(" ");
        return `${path} ${kind === "d" ? "d" : "f"} ${size} ${hash}`;
      });
    const left = view(wanted);
    const right = view(found);
    const inLeft = new Set(left);
    const inRight = new Set(right);
    const absent = left.filter((line) => !inRight.has(line));
    const strange = right.filter((line) => !inLeft.has(line));
    if (absent.length + strange.length === 0 && left.length === right.length) return;
    const show = (list: string[]): string => list.slice(0, 5).map(readable).join("\n  ");
    throw new Error(
      `Cannot find the tree ${where}: ${absent.length} entries of ${left.length} differ\n` +
        `expected\n  ${show(absent)}\nfound\n  ${show(strange)}`,
    );
  }
}

/** Turn the hexadecimal path of a manifest line into text. */
function readable(line: string): string {
  const [path = "", ...rest] = line.split(" ");
  const bytes = path.split("/").map((part) => Uint8Array.fromHex(part));
  const names = bytes.map((part) => JSON.stringify(new TextDecoder("latin1").decode(part)));
  return `${names.join("/").slice(0, 200)} ${rest.join(" ")}`;
}

function split(bytes: Uint8Array): string[] {
  return new TextDecoder("latin1").decode(bytes).split("\0")
    .filter((name) => name !== "" && name !== "." && name !== "..");
}
