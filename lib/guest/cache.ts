/**
 * The folder outside the repository where kernels and compiled helpers are kept.
 *
 * Entries appear whole or not at all: they are made under a temporary name and renamed, so a
 * broken download or two processes at once leave nothing half-made under the final name.
 *
 * @module
 */

/** A step of preparing a guest failed: a download, an unpacking, a compilation. */
export class GuestPreparationFailure extends Error {
  /**
   * Describe the failure.
   *
   * @param message What could not be done and why.
   */
  constructor(message: string) {
    super(message);
    this.name = "GuestPreparationFailure";
  }
}

/**
 * Name the cache folder: `VIRTFS_CACHE`, else `XDG_CACHE_HOME/virtfs/guest`, else
 * `~/.cache/virtfs/guest`.
 *
 * @returns Its absolute path; it need not exist.
 */
export function cacheFolder(): string {
  const own = Deno.env.get("VIRTFS_CACHE");
  if (own !== undefined && own !== "") return own;
  const shared = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/tmp"}/.cache`;
  return `${shared}/virtfs/guest`;
}

/**
 * Find an entry of the cache or make it.
 *
 * A lock file keeps other processes from making the same entry meanwhile; they find it made when
 * they get the lock.
 *
 * @param name File or folder name of the entry.
 * @param make Makes the entry at the path it is given, as a file or a folder; it may leave other
 * files beside it in the same folder, which is removed afterwards.
 * @returns Absolute path of the entry.
 */
export async function cached(
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const folder = cacheFolder();
  const path = `${folder}/${name}`;
  if (await exists(path)) return path;
  await Deno.mkdir(folder, { recursive: true });
  using lock = await Deno.open(`${folder}/${name}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(path)) return path;
  const workshop = await Deno.makeTempDir({ dir: folder, prefix: `${name}.part-` });
  try {
    await make(`${workshop}/${name}`);
    await Deno.rename(`${workshop}/${name}`, path);
  } finally {
    await Deno.remove(workshop, { recursive: true });
  }
  return path;
}

/**
 * Run a program to its end.
 *
 * @param command Program and arguments.
 * @param options Folder to run in and the time after which it is killed, milliseconds.
 * @returns Its standard output.
 * @throws {GuestPreparationFailure} If it fails; the message carries the end of its standard error.
 */
export async function runTool(
  command: readonly [string, ...string[]],
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<string> {
  const signal = AbortSignal.timeout(options.timeoutMs ?? 60_000);
  const [program, ...args] = command;
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(program, {
      args,
      signal,
      stdin: "null",
      env: { LC_ALL: "C" },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    }).output();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GuestPreparationFailure(`Cannot run ${command.join(" ")}: ${reason}`);
  }
  if (!output.success) {
    const reason = signal.aborted
      ? "it took too long"
      : `status ${output.code}: ${new TextDecoder().decode(output.stderr).trim().slice(-2000)}`;
    throw new GuestPreparationFailure(`Cannot run ${command.join(" ")}: ${reason}`);
  }
  return new TextDecoder().decode(output.stdout);
}

/** Whether a path leads to something. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
