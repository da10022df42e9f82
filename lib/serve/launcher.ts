/**
 * Starts this very program again, restrained.
 *
 * @module
 */
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { errorName, execve, geteuid } from "../linux/mod.ts";
import { NO_SANDBOX, restrain, type SandboxMode, type SandboxState } from "./sandbox.ts";
import { neededCapabilities, type PolicySources, sandboxPolicy } from "./sandbox_policy.ts";
import type { ServeConfiguration } from "./types.ts";

/** What a server is to be restrained to. */
export interface LaunchOptions {
  /** How much it insists. */
  readonly mode: SandboxMode;
  /** What it does. */
  readonly configuration: ServeConfiguration;
  /** Port of its metrics. */
  readonly metricsPort?: number;
  /** Configuration file that it reads again. */
  readonly configurationFile?: string;
  /** File that it writes a trace to; it is there. */
  readonly traceFile?: string;
  /** Socket of the service manager: a path, or `@NAME` in the abstract namespace. */
  readonly manager?: string;
}

/** Tells the restrained process what holds; as LISTEN_PID does, it names the process it is for. */
const VARIABLE = "VIRTFS_SANDBOX";

/** Port from which on anybody may listen, by ip(7). */
function firstFreePort(): number {
  try {
    return Number(Deno.readTextFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start"));
  } catch {
    return 1024;
  }
}

/** Libraries that this process has loaded. */
function loadedLibraries(): string[] {
  const found = new Set<string>();
  for (const line of Deno.readTextFileSync("/proc/self/maps").split("\n")) {
    const path = /^\S+ \S+ \S+ \S+ \S+ +(\/.*\.so(?:\.[\d.]+)?)$/.exec(line)?.[1];
    if (path !== undefined) found.add(path);
  }
  return [...found];
}

/** Folder of Deno's packages and compiled sources. @see `deno info` */
function cacheFolder(): string {
  const { DENO_DIR, XDG_CACHE_HOME, HOME = "/" } = Deno.env.toObject();
  return resolve(DENO_DIR || `${XDG_CACHE_HOME || `${HOME}/.cache`}/deno`);
}

/** Whether this user may make files in a folder without any capability. */
function ownsFolder(path: string, euid: number): boolean {
  try {
    const { uid, mode } = Deno.statSync(path);
    return uid === euid && ((mode ?? 0) & 0o300) === 0o300;
  } catch {
    return false;
  }
}

/** Files that the runtime itself was told of, such as with `--config`: those in front of our words. */
function filesAmong(words: readonly Uint8Array[]): string[] {
  const files: string[] = [];
  for (const bytes of words) {
    const word = new TextDecoder().decode(bytes);
    if (word === "serve") break;
    const path = resolve(word.replace(/^--[\w-]+=/, ""));
    try {
      if (Deno.statSync(path).isFile) files.push(path, join(dirname(path), "deno.lock"));
    } catch {
      // A word that is no file.
    }
  }
  return files;
}

/** A folder below that for temporary files which only this user can look into; made once for all servers. */
function temporaryFolder(euid: number): string[] {
  const path = `${tmpdir()}/virtfs-${euid}`;
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) return [];
  }
  const { isDirectory, uid, mode } = Deno.lstatSync(path);
  if (isDirectory && uid === euid && ((mode ?? 0) & 0o777) === 0o700) return [path];
  // Somebody else has taken the name.
  return [Deno.makeTempDirSync({ prefix: "virtfs-" })];
}

function sourcesOf(
  options: LaunchOptions,
  euid: number,
  words: readonly Uint8Array[],
): PolicySources {
  const libraries = loadedLibraries();
  return {
    euid,
    ownsFolder: (path) => ownsFolder(path, euid),
    firstFreePort: firstFreePort(),
    ...(options.metricsPort === undefined ? {} : { metricsPort: options.metricsPort }),
    ...(options.configurationFile === undefined
      ? {}
      : { configurationFile: options.configurationFile }),
    ...(options.traceFile === undefined ? {} : { traceFile: options.traceFile }),
    ...(options.manager === undefined ? {} : { manager: options.manager }),
    temporary: temporaryFolder(euid),
    runtime: {
      programs: [Deno.execPath(), ...libraries.filter((path) => /\/ld[-.][^/]*$/.test(path))],
      libraries: [...new Set(libraries.map(dirname))],
      cache: cacheFolder(),
      files: filesAmong(words),
      module: import.meta.url,
    },
  };
}

/** What this process has been restrained to, if it was started by {@linkcode launch}. */
function stateOfThisProcess(): SandboxState | undefined {
  const text = Deno.env.get(VARIABLE);
  if (text === undefined) return undefined;
  // No child is to take it for its own.
  Deno.env.delete(VARIABLE);
  const { pid, state } = JSON.parse(text) as { pid: number; state: SandboxState };
  if (pid !== Deno.pid) return undefined;
  const isPrivileged = /^NoNewPrivs:\s*0$/m.test(Deno.readTextFileSync("/proc/self/status"));
  if (isPrivileged && state.noNewPrivileges) {
    throw new Error(`Cannot believe ${VARIABLE}: this process is not restrained; unset it`);
  }
  return state;
}

/** Bytes of a list as `/proc` has it: each ends with a NUL. */
function readList(path: string): Uint8Array[] {
  const bytes = Deno.readFileSync(path);
  const list: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start);
    list.push(bytes.subarray(start, end < 0 ? bytes.length : end));
    start = end < 0 ? bytes.length : end + 1;
  }
  return list;
}

/**
 * Has this process restrained. It becomes another Deno, with the same number, words, environment and
 * descriptors, which comes here again and goes on.
 *
 * @returns What holds: in that other Deno, and at once where nothing is to be restrained.
 * @throws {Error} If it cannot be restrained as far as the mode asks, or needs what does not exist.
 */
export function launch(options: LaunchOptions): SandboxState {
  if (options.mode === "off") return NO_SANDBOX;
  const held = stateOfThisProcess();
  if (held !== undefined) return held;
  const program = Deno.execPath();
  const words = readList("/proc/self/cmdline");
  const sources = sourcesOf(options, geteuid(), words);
  const environment = readList("/proc/self/environ");
  const state = restrain(sandboxPolicy(options.configuration, sources), options.mode);
  const encoder = new TextEncoder();
  const told: Record<string, string> = {
    [VARIABLE]: JSON.stringify({ pid: Deno.pid, state }),
    // It would look for a newer version, and has no way to the network.
    DENO_NO_UPDATE_CHECK: "1",
  };
  const [temporary] = sources.temporary;
  if (temporary !== undefined) told.TMPDIR = temporary;
  const names = Object.keys(told).map((name) => encoder.encode(`${name}=`));
  const others = environment.filter((entry) =>
    !names.some((name) => name.every((byte, index) => entry[index] === byte))
  );
  const added = Object.entries(told).map(([name, value]) => encoder.encode(`${name}=${value}`));
  const code = execve(program, words, [...others, ...added]);
  throw new Error(`Cannot start the restrained server: ${errorName(code)}`);
}

/**
 * Says what keeps a running server from a new configuration, or undefined if nothing does.
 *
 * @param exports Paths that it is to serve, absolute.
 */
export function outOfReach(
  state: SandboxState,
  exports: readonly { readonly path: string; readonly readOnly: boolean }[],
): string | undefined {
  if (state.exports === null) return undefined;
  for (const { path, readOnly } of exports) {
    const around = state.exports.filter((each) =>
      path === each.path || path.startsWith(each.path.endsWith("/") ? each.path : `${each.path}/`)
    );
    const what = around.length === 0 ? `${path} is not one of its folders` : undefined;
    if (what !== undefined) return what;
    if (!readOnly && !around.some(({ isWritable }) => isWritable)) {
      return `${path} is read-only for it`;
    }
  }
  return undefined;
}

/** Capabilities that a new configuration needs and the running server has given up. */
export function givenUp(
  state: SandboxState,
  options: Omit<LaunchOptions, "mode">,
): readonly string[] {
  const { capabilities } = state;
  if (capabilities === null) return [];
  const euid = geteuid();
  if (euid !== 0) return [];
  const needed = neededCapabilities(options.configuration, {
    euid,
    // Sockets are there already.
    ownsFolder: () => true,
    firstFreePort: 0,
  });
  return needed.filter((name) => !capabilities.includes(name));
}
