/**
 * Gets what the tests need on Debian: `deno task setup`.
 *
 * Installs missing packages when run as root and otherwise says which command installs them. Takes
 * a fraction of a second when all is there. The guests' kernels are no packages of this machine:
 * the guest harness fetches and unpacks them itself.
 *
 * @module
 */

/** What a package is needed for, by its Debian name: the only list of them. */
const PACKAGES = {
  "acl": "access control lists in tests of the host tree",
  "attr": "extended attributes, checked from outside",
  "btrfs-progs": "file systems with quotas",
  "busybox-static": "user space of the guests",
  "cpio": "initial file systems of the guests",
  "debootstrap": "root file systems of guests",
  "diod": "a second server to compare with",
  "e2fsprogs": "file systems of a test's own",
  "gcc": "small C programs that tests compile",
  "iproute2": "network namespaces and links to guests",
  "kmod": "modules of the guests' kernels",
  "libc6-dev": "headers for these C programs",
  "nfs-ganesha": "NFS, to measure beside 9P",
  "nfs-ganesha-vfs": "files of a folder over this NFS",
  "openssh-client": "tunnels, one end",
  "openssh-server": "tunnels, the other end",
  "openssl": "certificates for tunnels",
  "qemu-system-x86": "guests",
  "samba": "CIFS, to measure beside 9P",
  "stunnel4": "tunnels with TLS",
  "socat": "a plain relay to measure beside the proxy",
  "strace": "system calls of the server, counted",
  "systemd": "units in the documentation, checked",
  "tshark": "a second decoder of 9P to compare with",
  "util-linux": "mounts, loop devices and namespaces",
  "util-linux-extra": "pages of files in the cache, counted",
  "xz-utils": "kernel modules packed with xz",
  "zstd": "kernel modules packed with zstd",
} as const;

/** Longest wait for another package manager to finish, in seconds. */
const LOCK_SECONDS = 300;

/**
 * Pick the packages that are not installed.
 *
 * @param wanted Names of packages.
 * @param listing Lines `NAME STATE` as `dpkg-query --show` prints them.
 * @returns The wanted ones without a line that says `installed`.
 */
export function missingPackages(wanted: readonly string[], listing: string): string[] {
  const installed = new Set<string>();
  for (const line of listing.split("\n")) {
    const [name = "", state] = line.trim().split(" ");
    if (state === "installed") installed.add(name);
  }
  return wanted.filter((name) => !installed.has(name));
}

/**
 * Put the install command for packages into words.
 *
 * @param packages Names of packages.
 * @returns Arguments of `apt-get`.
 */
export function installArguments(packages: readonly string[]): string[] {
  return [
    "install",
    "--yes",
    "--quiet",
    "--no-install-recommends",
    "--option",
    `DPkg::Lock::Timeout=${LOCK_SECONDS}`,
    ...packages,
  ];
}

function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** Lists the missing packages; `undefined` where there is no dpkg. */
async function findMissing(): Promise<string[] | undefined> {
  const wanted = Object.keys(PACKAGES);
  try {
    const { stdout } = await new Deno.Command("dpkg-query", {
      args: ["--show", "--showformat=${Package} ${db:Status-Status}\n", ...wanted],
      stderr: "null",
    }).output();
    return missingPackages(wanted, new TextDecoder().decode(stdout));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Runs apt-get, its output on standard error, and tells whether it succeeded. */
async function apt(args: readonly string[]): Promise<boolean> {
  const child = new Deno.Command("apt-get", {
    args: [...args],
    // tshark asks a question otherwise.
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  for await (const bytes of child.stdout) Deno.stderr.writeSync(bytes);
  return (await child.status).success;
}

async function main(): Promise<number> {
  const missing = await findMissing();
  if (missing === undefined) {
    say(
      "Cannot set up the tests: this is no Debian system; they need the programs of the Debian " +
        `packages ${Object.keys(PACKAGES).join(" ")}`,
    );
    return 1;
  }
  if (missing.length === 0) return 0;
  for (const name of missing) say(`missing: ${name} (${PACKAGES[name as keyof typeof PACKAGES]})`);
  if (Deno.uid() !== 0) {
    say(
      "Cannot install packages: only root can; run: sudo apt-get install --no-install-recommends " +
        missing.join(" "),
    );
    return 1;
  }
  // The lists of a new machine are absent or old; an update that fails shows in the install.
  await apt(["update", "--quiet"]);
  if (!await apt(installArguments(missing))) {
    say(`Cannot install ${missing.join(", ")}: apt-get failed, see above`);
    return 1;
  }
  const left = await findMissing();
  if (left === undefined || left.length > 0) {
    say(`Cannot install ${left?.join(", ")}: apt-get said nothing, yet they are not there`);
    return 1;
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main());
