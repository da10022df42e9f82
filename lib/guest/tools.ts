/**
 * Which programs guests and what is measured or tested in them need, and which Debian package brings
 * each.
 *
 * @module
 */

/** A program that guests, measurements or tests may need. */
export type Tool =
  | "apt"
  | "attr"
  | "btrfs"
  | "busybox"
  | "debootstrap"
  | "diod"
  | "fincore"
  | "ganesha"
  | "gcc"
  | "iproute"
  | "ldd"
  | "mkfs"
  | "mount"
  | "qemu"
  | "samba"
  | "setpriv"
  | "sshd"
  | "stunnel"
  | "systemd"
  | "xz";

interface Provision {
  /** Programs that must all be found in PATH. */
  readonly commands: readonly string[];
  /** Debian packages that bring them. */
  readonly packages: readonly string[];
  /** Another tool that can stand in, because the harness unpacks the package with it. */
  readonly or?: Tool;
}

const PROVISIONS: Readonly<Record<Tool, Provision>> = {
  apt: { commands: ["apt-get", "apt-cache", "dpkg-deb"], packages: ["apt", "dpkg"] },
  attr: { commands: ["setfattr", "getfattr"], packages: ["attr"] },
  btrfs: { commands: ["btrfs", "mkfs.btrfs"], packages: ["btrfs-progs"] },
  busybox: { commands: ["busybox"], packages: ["busybox-static"], or: "apt" },
  debootstrap: { commands: ["debootstrap"], packages: ["debootstrap"] },
  diod: { commands: ["diod"], packages: ["diod"] },
  fincore: { commands: ["fincore"], packages: ["util-linux-extra"] },
  ganesha: { commands: ["ganesha.nfsd"], packages: ["nfs-ganesha", "nfs-ganesha-vfs"] },
  gcc: { commands: ["gcc"], packages: ["gcc", "libc6-dev"] },
  iproute: { commands: ["ip"], packages: ["iproute2"] },
  ldd: { commands: ["ldd"], packages: ["libc-bin"] },
  mkfs: { commands: ["mkfs.ext4"], packages: ["e2fsprogs"] },
  mount: {
    commands: ["mount", "unshare", "losetup", "findmnt"],
    packages: ["mount", "util-linux"],
  },
  qemu: { commands: ["qemu-system-x86_64"], packages: ["qemu-system-x86"] },
  samba: { commands: ["smbd"], packages: ["samba"] },
  setpriv: { commands: ["setpriv"], packages: ["util-linux"] },
  sshd: { commands: ["sshd", "ssh"], packages: ["openssh-client", "openssh-server"] },
  stunnel: { commands: ["stunnel4", "openssl"], packages: ["openssl", "stunnel4"] },
  systemd: { commands: ["systemd-analyze", "systemd-socket-activate"], packages: ["systemd"] },
  xz: { commands: ["xz"], packages: ["xz-utils"] },
};

/** What booting any guest takes. */
export const GUEST_TOOLS: readonly Tool[] = ["qemu", "busybox", "setpriv"];

/** Programs are missing; the message is the one line that installs them. */
export class MissingTools extends Error {
  /** Debian packages to install. */
  readonly packages: readonly string[];

  /**
   * Name what is missing.
   *
   * @param commands Programs that were not found.
   * @param packages Packages that bring them.
   */
  constructor(commands: readonly string[], packages: readonly string[]) {
    super(
      `Cannot use guests: ${commands.join(", ")} not found; ` +
        `install with: apt-get install --no-install-recommends ${packages.join(" ")}`,
    );
    this.name = "MissingTools";
    this.packages = packages;
  }
}

/**
 * Find a program in PATH; the sbin folders are searched too, for users whose PATH lacks them.
 *
 * @param command Name without a slash.
 * @returns Its absolute path, or null.
 */
export function which(command: string): string | null {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of new Set([...folders, "/usr/sbin", "/sbin"])) {
    if (folder === "") continue;
    try {
      const info = Deno.statSync(`${folder}/${command}`);
      if (info.isFile && ((info.mode ?? 0) & 0o111) !== 0) return `${folder}/${command}`;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

/**
 * Look for tools.
 *
 * @param tools What is needed.
 * @returns The failure to throw or print, or null when all are there.
 */
export function missingTools(tools: readonly Tool[]): MissingTools | null {
  const commands: string[] = [];
  const packages = new Set<string>();
  for (const tool of tools) {
    const { or } = PROVISIONS[tool];
    const absent = PROVISIONS[tool].commands.filter((command) => which(command) === null);
    if (absent.length === 0 || (or !== undefined && missingTools([or]) === null)) continue;
    commands.push(...absent);
    for (const name of PROVISIONS[tool].packages) packages.add(name);
  }
  return commands.length === 0 ? null : new MissingTools(commands, [...packages].sort());
}

/**
 * Refuse to go on without tools. Whatever starts a tool calls this first.
 *
 * @param tools What is needed.
 * @throws {MissingTools} With the line that installs what is missing.
 */
export function assertTools(tools: readonly Tool[]): void {
  const missing = missingTools(tools);
  if (missing !== null) throw missing;
}
