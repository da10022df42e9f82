/**
 * A small Debian as a tar archive: the root file system of a guest that a server under test serves.
 *
 * @module
 */

import { cached, GuestPreparationFailure, runTool } from "../../lib/guest/cache.ts";
import { debianKeyring, debianMirror } from "../../lib/guest/debian.ts";
import { assertTools } from "./missing.ts";

/** Suite that the archive is made of. */
const SUITE = "trixie";

/** Longest time of a `debootstrap`, milliseconds; a quarter of it goes by on a busy machine. */
const BOOTSTRAP_MS = 900_000;

/**
 * Make a Debian of essential packages, `apt` and what they need, with a package database that
 * `dpkg --audit` finds nothing to say about; or take it from the cache. It has no init, no kernel
 * and no downloaded packages or lists.
 *
 * Making one takes root, because owners and devices are those of a real system.
 *
 * @returns Path of the archive: uncompressed, with numeric owners and extended attributes, to be
 * unpacked by root with `tar --numeric-owner --xattrs --xattrs-include='*' -xf`.
 * @throws {MissingTools} If `debootstrap` is not installed.
 * @throws {GuestPreparationFailure} If we are not root or it cannot be made.
 */
export async function minimalDebian(): Promise<string> {
  return await cached(`debian-${SUITE}.tar`, async (target) => {
    assertTools(["debootstrap", "setpriv"]);
    if (Deno.uid() !== 0) {
      throw new GuestPreparationFailure("Cannot make a root file system: only root can");
    }
    const root = `${target}.root`;
    const keyring = await debianKeyring();
    if (keyring === null) {
      throw new GuestPreparationFailure(
        "Cannot make a root file system: there are no keys of Debian; " +
          "install with: apt-get install --no-install-recommends debian-archive-keyring",
      );
    }
    // Scripts of packages run inside: what they start must be found there, not where it is here.
    const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    await runTool(
      [
        // debootstrap mounts below the new root: a removal after a failure must not see that, nor
        // may anything be left running.
        "unshare",
        ...["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "env"],
        `PATH=${path}`,
        "DEBIAN_FRONTEND=noninteractive",
        "debootstrap",
        "--variant=minbase",
        "--arch=amd64",
        `--keyring=${keyring}`,
        SUITE,
        root,
        await debianMirror(),
      ],
      { timeoutMs: BOOTSTRAP_MS },
    );
    for (const folder of ["var/cache/apt/archives", "var/lib/apt/lists"]) {
      await Deno.remove(`${root}/${folder}`, { recursive: true });
      await Deno.mkdir(`${root}/${folder}/partial`, { recursive: true });
    }
    // Says what is half installed, and nothing if all is well.
    const complaint = await runTool(["chroot", root, "env", `PATH=${path}`, "dpkg", "--audit"]);
    if (complaint !== "") {
      throw new GuestPreparationFailure(
        `Cannot use the root file system: dpkg --audit says: ${complaint.trim()}`,
      );
    }
    await runTool(
      ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", root, "-cf", target, "."],
      { timeoutMs: 120_000 },
    );
  });
}
