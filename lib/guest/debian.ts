/**
 * Packages of Debian suites that this machine does not run: found, downloaded, checked and unpacked
 * with apt, which keeps lists and settings of its own for that. Nothing is installed, and neither
 * the sources nor the state of the machine's apt change.
 *
 * @module
 */

import { cached, cacheFolder, exists, GuestPreparationFailure, runTool } from "./cache.ts";
import { assertTools } from "./tools.ts";

/** Keys that sign Debian's suites, as the package `debian-archive-keyring` installs them. */
const KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg";

/** Longest download of lists or packages, milliseconds. */
const DOWNLOAD_MS = 900_000;

/** A package of a suite, with the version that is to be had. */
export interface DebianPackage {
  /** Name. */
  readonly name: string;
  /** Version. */
  readonly version: string;
  /** Bytes to download. */
  readonly size: number;
}

/** Settings that a private apt takes besides the paths of its own. */
const APT_CONFIGURATION = `
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures:: "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Debug::NoLocking "true";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`;

const suites = new Map<string, Promise<DebianSuite>>();

/** A suite such as `trixie` or `trixie-backports`, with the lists of its packages. */
export class DebianSuite {
  /** Name; that of a suite of backports stands for the suite below it, too. */
  readonly name: string;
  readonly #settings: readonly string[];

  private constructor(name: string, folder: string) {
    this.name = name;
    this.#settings = aptSettings(name, folder);
  }

  /**
   * Open a suite: fetch its lists, once a day at most, and check their signatures.
   *
   * @param name Code name, with `-backports` for backports.
   * @throws {GuestPreparationFailure} If the mirror has no such suite or its signature is not good.
   */
  static open(name: string): Promise<DebianSuite> {
    let suite = suites.get(name);
    if (suite === undefined) {
      suite = fetchLists(name).then((folder) => new DebianSuite(name, folder));
      suite.catch(() => suites.delete(name));
      suites.set(name, suite);
    }
    return suite;
  }

  /**
   * List packages and all they depend on, as if nothing was installed.
   *
   * @param names Packages.
   * @throws {GuestPreparationFailure} If the suite lacks one.
   */
  async closure(names: readonly string[]): Promise<DebianPackage[]> {
    const text = await runTool(
      ["apt-get", ...this.#settings, "--yes", "--print-uris", "install", ...names],
    );
    const packages: DebianPackage[] = [];
    // 'http://.../name_version_arch.deb' name_version_arch.deb SIZE HASH, a colon being %3a
    for (const match of text.matchAll(/^'\S+' ([^_\s]+)_([^_\s]+)_\S+\.deb (\d+) /gm)) {
      const [, name = "", version = "", size = ""] = match;
      packages.push({ name, version: decodeURIComponent(version), size: Number(size) });
    }
    return packages;
  }

  /**
   * Download packages; apt compares them with the hashes of the signed lists.
   *
   * @param packages What to download.
   * @param folder Where to, made if it is not there.
   * @returns Paths of the archives.
   */
  async download(packages: readonly DebianPackage[], folder: string): Promise<string[]> {
    await Deno.mkdir(folder, { recursive: true });
    const words = packages.map(({ name, version }) => `${name}=${version}`);
    await runTool(["apt-get", ...this.#settings, "download", ...words], {
      cwd: folder,
      timeoutMs: DOWNLOAD_MS,
    });
    const archives = (await Array.fromAsync(Deno.readDir(folder)))
      .filter(({ name }) => name.endsWith(".deb"))
      .map(({ name }) => `${folder}/${name}`);
    if (archives.length < packages.length) {
      throw new GuestPreparationFailure(
        `Cannot download ${words.join(" ")}: apt-get left ${archives.length} archives`,
      );
    }
    return archives;
  }

  /**
   * Download packages and unpack them into one folder.
   *
   * @param packages What to unpack.
   * @param folder Where to; `${folder}.debs` is used meanwhile.
   */
  async unpack(packages: readonly DebianPackage[], folder: string): Promise<void> {
    const archives = await this.download(packages, `${folder}.debs`);
    await Deno.mkdir(folder);
    for (const archive of archives) {
      await runTool(["dpkg-deb", "-x", archive, folder], { timeoutMs: 300_000 });
      await Deno.remove(archive);
    }
  }
}

/** A program that was unpacked with its loader and its libraries. */
export interface UnpackedProgram {
  /** Folder that holds it and only what it needs. */
  readonly root: string;
  /** How to start it: loader, options of the loader, program. */
  readonly command: readonly [string, ...string[]];
}

/** What {@linkcode unpackProgram} takes. */
export interface ProgramOptions {
  /** Name of the entry of the cache. */
  readonly entry: string;
  /** Suite to take it from, as {@linkcode DebianSuite.open} takes it. */
  readonly suite: string;
  /** Package that brings the program. */
  readonly package: string;
  /** Path of the program in its package, without a leading slash. */
  readonly program: string;
  /** Folders that it reads, without a leading slash. */
  readonly data?: readonly string[];
  /** Whether to keep a file of these folders; all are kept by default. */
  readonly keeps?: (path: string) => boolean;
  /** Looks at the program before it is taken over; throws if it is no good. */
  readonly check?: (program: UnpackedProgram) => Promise<void>;
}

/**
 * Unpack a program of another suite into the cache so that it runs here: with the loader and the
 * libraries of its suite, found by path, and beside them the data it reads.
 *
 * The loader lies beside the program, because it is what the program finds when it asks the kernel
 * where its own executable is.
 *
 * @param options What and from where.
 * @returns The program, from the cache if it is there.
 * @throws {GuestPreparationFailure} If it cannot be had or does not run.
 */
export async function unpackProgram(options: ProgramOptions): Promise<UnpackedProgram> {
  const root = await cached(options.entry, async (target) => {
    const suite = await DebianSuite.open(options.suite);
    const whole = `${target}.whole`;
    await suite.unpack(await suite.closure([options.package]), whole);
    await Deno.mkdir(`${target}/usr/bin`, { recursive: true });
    await Deno.mkdir(`${target}/usr/lib`);
    const program = `${whole}/${options.program}`;
    const copied = programIn(target, options.program);
    await Deno.copyFile(program, copied.command.at(-1) ?? "");
    const libraries = `${whole}/usr/lib/x86_64-linux-gnu`;
    await Deno.copyFile(`${libraries}/ld-linux-x86-64.so.2`, copied.command[0]);
    for (const [name, path] of await librariesOf(program, libraries)) {
      await Deno.copyFile(path, `${target}/usr/lib/${name}`);
    }
    for (const folder of options.data ?? []) {
      await copyFolder(`${whole}/${folder}`, `${target}/${folder}`, options.keeps ?? (() => true));
    }
    await options.check?.(copied);
  });
  return programIn(root, options.program);
}

function programIn(root: string, path: string): UnpackedProgram {
  const program = `${root}/usr/bin/${path.slice(path.lastIndexOf("/") + 1)}`;
  const loader = `${root}/usr/bin/ld.so`;
  return {
    root,
    command: [loader, "--inhibit-cache", "--library-path", `${root}/usr/lib`, program],
  };
}

/**
 * List the shared libraries of a program, by the names under which the loader looks for them. One
 * that is not in the given folder is a failure: the machine's own must not stand in.
 */
async function librariesOf(program: string, folder: string): Promise<Map<string, string>> {
  const loader = `${folder}/ld-linux-x86-64.so.2`;
  const text = await runTool(
    [loader, "--inhibit-cache", "--library-path", folder, "--list", program],
  );
  const libraries = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, path] = /^\s*(\S+) => (.*?)(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
    if (name === undefined || path === undefined || name.includes("/")) continue;
    if (!path.startsWith(`${folder}/`)) {
      throw new GuestPreparationFailure(
        `Cannot unpack "${program}": its library ${name} is not among the packages (${path})`,
      );
    }
    libraries.set(name, path);
  }
  // Loaded by libc itself, when a thread is canceled.
  const unwinder = "libgcc_s.so.1";
  if (await exists(`${folder}/${unwinder}`)) libraries.set(unwinder, `${folder}/${unwinder}`);
  return libraries;
}

/** Copy the files of a folder, links as what they lead to. */
async function copyFolder(
  from: string,
  to: string,
  keeps: (path: string) => boolean,
): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    const path = `${from}/${name}`;
    if (!keeps(path) || !(await exists(path))) continue;
    if ((await Deno.stat(path)).isDirectory) await copyFolder(path, `${to}/${name}`, keeps);
    else await Deno.copyFile(path, `${to}/${name}`);
  }
}

/**
 * Name the mirror of Debian to use: `VIRTFS_DEBIAN_MIRROR`, else the one this machine's apt has
 * for its own suite.
 *
 * @returns Its address, as a line of `sources.list` has it.
 * @throws {GuestPreparationFailure} If apt has none.
 */
export async function debianMirror(): Promise<string> {
  const given = Deno.env.get("VIRTFS_DEBIAN_MIRROR");
  if (given !== undefined && given !== "") return given;
  assertTools(["apt"]);
  const text = await runTool([
    "apt-get",
    "indextargets",
    "--format",
    "$(REPO_URI) $(RELEASE) $(COMPONENT)",
    "Created-By: Packages",
  ]);
  for (const line of text.split("\n")) {
    const [uri, release, component] = line.split(" ");
    const isWhole = component === "main" && release !== undefined && !release.includes("-");
    // Other vendors publish suites with a "main", too.
    if (uri !== undefined && isWhole && /\/debian\/?$|snapshot\./.test(uri)) return uri;
  }
  throw new GuestPreparationFailure(
    "Cannot find a mirror of Debian: the sources of apt name none; " +
      "set VIRTFS_DEBIAN_MIRROR to its address",
  );
}

/** Name the keys to check suites with; null for those that apt trusts by itself. */
export async function debianKeyring(): Promise<string | null> {
  return await exists(`/${KEYRING}`) ? `/${KEYRING}` : null;
}

function aptSettings(name: string, folder: string): string[] {
  return [
    ...["-c", `${folder}/apt.conf`],
    ...["-o", `Dir::State=${folder}`],
    ...["-o", `Dir::State::status=${folder}/status`],
    ...["-o", `Dir::Cache=${folder}/cache`],
    ...["-o", `Dir::Etc::sourcelist=${folder}/debian.sources`],
    ...["-o", `Dir::Etc::sourceparts=${folder}/none`],
    ...["-o", `Dir::Etc::preferences=${folder}/preferences`],
    ...["-o", `Dir::Etc::preferencesparts=${folder}/none`],
    ...["-o", `APT::Default-Release=${name}`],
  ];
}

async function fetchLists(name: string): Promise<string> {
  assertTools(["apt"]);
  if (!/^[a-z]+(-backports)?$/.test(name)) {
    throw new TypeError(`Cannot open suite "${name}": that is no name of a suite`);
  }
  // Lists name files that a mirror drops after some days; an entry itself never changes.
  const entry = `apt-${name}-${new Date().toISOString().slice(0, 10)}`;
  return await cached(entry, async (target) => {
    await forgetOldLists(name, entry);
    const mirror = await debianMirror();
    for (const folder of ["lists/partial", "cache/archives/partial", "none"]) {
      await Deno.mkdir(`${target}/${folder}`, { recursive: true });
    }
    await Deno.writeTextFile(`${target}/apt.conf`, APT_CONFIGURATION);
    await Deno.writeTextFile(`${target}/status`, "");
    const update = async (keyring: string | null): Promise<void> => {
      await Deno.writeTextFile(`${target}/debian.sources`, sources(name, mirror, keyring));
      await runTool(["apt-get", ...aptSettings(name, target), "--quiet", "update"], {
        timeoutMs: DOWNLOAD_MS,
      });
    };
    try {
      await update(await debianKeyring());
    } catch (error) {
      if (!(error instanceof GuestPreparationFailure)) throw error;
      if (!/NO_PUBKEY|Missing key/.test(error.message)) throw error;
      // The suite is newer than the installed keys; updates of the machine's own suite, which
      // these keys vouch for, bring the new ones.
      await update(await currentKeyring(`${target}.keys`));
    }
    await Deno.remove(`${target}/lists/partial`, { recursive: true });
  });
}

async function forgetOldLists(name: string, entry: string): Promise<void> {
  for await (const { name: old } of Deno.readDir(cacheFolder())) {
    if (!old.startsWith(`apt-${name}-2`) || old.startsWith(entry)) continue;
    await Deno.remove(`${cacheFolder()}/${old}`, { recursive: true });
  }
}

function sources(name: string, mirror: string, keyring: string | null): string {
  const below = name.replace(/-backports$/, "");
  const lines = [
    "Types: deb",
    `URIs: ${mirror}`,
    `Suites: ${[...new Set([below, name])].join(" ")}`,
    "Components: main",
    "Architectures: amd64",
    "Targets: Packages",
  ];
  if (keyring !== null) lines.push(`Signed-By: ${keyring}`);
  return `${lines.join("\n")}\n`;
}

/** Take the newest keys that this machine's own, trusted sources have. */
async function currentKeyring(folder: string): Promise<string> {
  await Deno.mkdir(folder);
  await runTool(
    ["apt-get", "-o", "APT::Sandbox::User=root", "download", "debian-archive-keyring"],
    { cwd: folder, timeoutMs: DOWNLOAD_MS },
  );
  for await (const { name } of Deno.readDir(folder)) {
    await runTool(["dpkg-deb", "-x", `${folder}/${name}`, `${folder}.root`]);
  }
  return `${folder}.root/${KEYRING}`;
}
