/**
 * Where programs run that are not to be trusted: a view of this machine in which nothing but one
 * folder can be changed, and no process be seen or reached but those in it.
 *
 * It is a mount and a process namespace. A small process of ours holds them, so that they are made
 * once however often a program is started in them; programs enter them with nsenter(1), which waits
 * for the program and ends as it does.
 *
 * @module
 */
import { getuid } from "../linux/mod.ts";

/** Longest wait for the namespaces to be made, or for all in them to end, in milliseconds. */
const PATIENCE_MS = 10_000;
/** What programs write to while they start; they get empty places of their own there. */
const PLACES = ["/run", "/tmp", "/var/tmp"];
/** What a remount must keep, unless it is of the one who made the mount. */
const KEPT = /^(?:noexec|noatime|nodiratime|relatime|nosymfollow)$/;
/**
 * What root may do in it: what servers of files need. All else could undo this, or get round it, as
 * open_by_handle_at(2) (dac_read_search), which finds every file of the file system that the folder
 * is on.
 */
const CAPABILITIES = [
  ...["chown", "dac_override", "fowner", "fsetid", "mknod", "lease", "setfcap", "sys_chroot"],
  ...["setuid", "setgid", "setpcap", "kill", "net_bind_service", "ipc_lock", "sys_resource"],
];

/**
 * Makes the view, says so, and waits until standard input ends. Words: the folder that stays
 * writable, the places to hide, `--`, then an option and a path for each mount.
 */
const MAKE = `
folder=$1; shift
cd -- "$folder"
exec 3</dev/null 4</dev/zero 5</dev/full 6</dev/random 7</dev/urandom
places=
while [ "$1" != -- ]; do places="$places $1"; shift; done
shift
while [ $# -gt 0 ]; do
  # Those that others hide cannot be reached: neither by this, nor by the program.
  mount -n -c -o "$1" none "$2" 2>/dev/null || true
  shift 2
done
for place in $places; do
  mount -n -t tmpfs -o nosuid,nodev,mode=1777,size=64m tmpfs "$place"
done
mount -n -t tmpfs -o nosuid,nodev,mode=755,size=64m tmpfs /dev
fd=3
for name in null zero full random urandom; do
  : >"/dev/$name"
  mount -n -c --bind "/proc/self/fd/$fd" "/dev/$name"
  fd=$((fd + 1))
done
ln -s /proc/self/fd /dev/fd
mkdir -m 1777 /dev/shm
mkdir -p -- "$folder"
mount -n -c --bind . "$folder"
mount -n -c -o "remount,bind,rw,nosuid,nodev" none "$folder"
exec 3<&- 4<&- 5<&- 6<&- 7<&-
# A user other than root may not where another container hides parts of /proc.
mount -n -t proc -o ro,nosuid,nodev,noexec proc /proc || [ "$(id -u)" != 0 ]
echo ready
read -r _ || true
`;

/** Goes in. No cores: of the program, or of nsenter(1), which ends as it does; who asks for one gets it. */
const GO = 'ulimit -S -c 0; exec nsenter "$@"';
/** Enters the folder as it is in the view, and becomes the program. */
const ENTER = 'cd -- "$1" && shift && exec "$@"';

/** It cannot be made here. */
export class ConfinementError extends Error {
  /** Tells it from errors of the program. */
  override readonly name = "ConfinementError";
}

/** A place for programs that are not to be trusted. Disposing ends it and all that runs in it. */
export class Confinement implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #folder: string;

  private constructor(holder: Deno.ChildProcess, folder: string) {
    this.#holder = holder;
    this.#stdin = holder.stdin.getWriter();
    this.#folder = folder;
  }

  /**
   * Makes one.
   *
   * @param folder The only one that stays writable; programs start in it.
   * @param words Of the command line: places that they name stay as they are, but for writing.
   * @throws {ConfinementError} If this user may not, or a tool for it is missing.
   */
  static async make(folder: string, words: readonly string[]): Promise<Confinement> {
    const others = words.map((word) => word.replaceAll(folder, ""));
    const places = PLACES.filter((place) =>
      isFolder(place) && !others.some((word) => word.includes(`${place}/`))
    );
    // Devices would be none any more, and a new folder hides them.
    const mounts = mountsOf("self").filter(({ path }) => !isIn(path, "/dev"));
    const remounts = mounts.flatMap(({ path, options }) => {
      const kept = options.filter((each) => KEPT.test(each));
      return [["remount", "bind", "ro", "nosuid", "nodev", ...kept].join(), path];
    });
    let holder: Deno.ChildProcess;
    try {
      holder = new Deno.Command("unshare", {
        args: [
          ...(isRoot() ? [] : ["--user", "--map-current-user", "--keep-caps"]),
          ...["--mount", "--propagation", "private", "--pid", "--kill-child"],
          ...["--", "sh", "-ec", MAKE, "sh"],
          ...[folder, ...places, "--", ...remounts],
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch {
      throw new ConfinementError("there is no unshare(1) of util-linux");
    }
    const confinement = new Confinement(holder, folder);
    const timer = setTimeout(() => kill(holder), PATIENCE_MS);
    const complaint = new Response(holder.stderr).text();
    const reader = holder.stdout.getReader();
    const { done } = await reader.read();
    clearTimeout(timer);
    try {
      if (done) {
        const [line = ""] = (await complaint).split("\n");
        throw new ConfinementError(line === "" ? "it took too long" : line);
      }
      const writable = writableMount(holder.pid, [folder, "/dev", ...places]);
      if (writable !== undefined) throw new ConfinementError(`${writable} stays writable`);
    } catch (error) {
      await confinement[Symbol.asyncDispose]();
      throw error;
    } finally {
      await reader.cancel();
    }
    return confinement;
  }

  /**
   * The command that starts another one in it, and ends as that does. Its process is the only child;
   * it is killed when its parent is.
   */
  enter(command: readonly string[]): string[] {
    const proc = `/proc/${this.#holder.pid}/ns`;
    return [
      ...["sh", "-c", GO, "sh", `--mount=${proc}/mnt`, `--pid=${proc}/pid_for_children`],
      ...(isRoot() ? [] : [`--user=${proc}/user`, "--preserve-credentials"]),
      ...["--", "setpriv", "--no-new-privs", "--pdeathsig", "KILL"],
      ...(isRoot()
        ? ["--bounding-set", ["-all", ...CAPABILITIES.map((it) => `+${it}`)].join()]
        : []),
      ...["--", "sh", "-c", ENTER, "sh", this.#folder, ...command],
    ];
  }

  /** Ends it: all that runs in it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    // The holder is the first process of the namespace: with it the kernel ends all others.
    await this.#stdin.close().catch(() => {});
    const timer = setTimeout(() => kill(this.#holder), PATIENCE_MS);
    await this.#holder.status;
    clearTimeout(timer);
  }
}

interface Mount {
  readonly path: string;
  readonly options: readonly string[];
}

/** The mounts that a process sees, those beneath before those above. */
function mountsOf(process: number | "self"): Mount[] {
  const lines = Deno.readTextFileSync(`/proc/${process}/mountinfo`).trimEnd().split("\n");
  return lines.map((line) => {
    const [, , , , path = "", options = ""] = line.split(" ");
    // Spaces, tabs, line ends and backslashes of names.
    const name = path.replaceAll(
      /\\([0-7]{3})/g,
      (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)),
    );
    return { path: name, options: options.split(",") };
  });
}

/** Path of a mount that can be reached and written to, but for those allowed and what is in them. */
function writableMount(process: number, allowed: readonly string[]): string | undefined {
  const mounts = mountsOf(process);
  return mounts.find(({ path, options }, index) =>
    !options.includes("ro") && !allowed.some((folder) => isIn(path, folder)) &&
    !mounts.some((other, at) => at > index && isIn(path, other.path))
  )?.path;
}

/** Whether a path is a folder, or in it. */
function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

function isFolder(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
  }
}

function isRoot(): boolean {
  return getuid() === 0;
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
