/**
 * What a server still needs once it runs: everything else is taken from it before it starts.
 *
 * @module
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Capability } from "../linux/mod.ts";
import type { ExportConfiguration, ServeConfiguration } from "./types.ts";

/** What is needed of a file or folder. */
export type Use =
  /** Everything but running programs: an export that can be written, or files of our own. */
  | "change"
  /** Reading. */
  | "read"
  /** Reading and running a program. */
  | "run"
  /** Reading, and loading libraries into a program. */
  | "load"
  /** Making a socket, and removing it. */
  | "listen"
  /** Connecting to a socket. */
  | "connect"
  /** Reading and writing a device file. */
  | "device"
  /** Processes, our own above all. */
  | "proc";

/** One file or folder. */
export interface Need {
  /** Absolute path. */
  readonly path: string;
  /** What for. */
  readonly use: Use;
  /** Whether the server works without. */
  readonly isOptional?: true;
  /** Whether it is one of the exports. */
  readonly isExport?: true;
  /** What cannot be done without, for messages: "Cannot listen on unix:///run/x.sock". */
  readonly refusal?: string;
}

/** What a server needs of the system. */
export interface SandboxPolicy {
  /** Files and folders. */
  readonly needs: readonly Need[];
  /** Capabilities, of those that it has. */
  readonly capabilities: readonly Capability[];
  /** TCP ports to bind. */
  readonly bind: readonly number[];
  /** TCP ports to connect to. */
  readonly connect: readonly number[];
  /** Whether it connects to abstract unix sockets. */
  readonly dialsAbstract: boolean;
  /** Whether it works in a network of its own: it has sockets with paths only. */
  readonly hasOwnNetwork: boolean;
  /** Whether every export is read-only. */
  readonly isReadOnly: boolean;
}

/** What a policy is made of besides the configuration. */
export interface PolicySources {
  /** User that the server runs as. */
  readonly euid: number;
  /** Whether this user may write into a folder without any capability. */
  ownsFolder(path: string): boolean;
  /** Lowest port that needs no capability. */
  readonly firstFreePort: number;
  /** Port of the metrics. */
  readonly metricsPort?: number;
  /** Configuration file, which is read again at SIGHUP. */
  readonly configurationFile?: string;
  /** File that a trace is written to. */
  readonly traceFile?: string;
  /** Socket of the service manager: a path, or `@NAME` in the abstract namespace. */
  readonly manager?: string;
  /** Folder for files of our own; none where there is no place for one. */
  readonly temporary: readonly string[];
  /** What the runtime needs. */
  readonly runtime: RuntimePlaces;
}

/** Where the runtime has its parts. */
export interface RuntimePlaces {
  /** The program, and what the kernel starts to load its libraries. */
  readonly programs: readonly string[];
  /** Folders of shared libraries that are loaded. */
  readonly libraries: readonly string[];
  /** Folder of packages and compiled sources. */
  readonly cache: string;
  /** Files that it was told of, such as its configuration. */
  readonly files: readonly string[];
  /** URL of a module of ours, two folders below the root of the sources. */
  readonly module: string;
}

/**
 * Capabilities that a model has a use for when the server runs as root and can write.
 *
 * All of them read and search the files of everybody (DAC_OVERRIDE) and change their modes, times
 * and attributes (FOWNER). Models that keep owners elsewhere than in the owner of the file need no
 * more. CHOWN gives files to the client's user or to the one that everything is squashed to;
 * FSETID keeps set-group-id bits for groups that root is not in, and MKNOD makes device files, both
 * of which are refused where everything is squashed; SETUID and SETGID let a thread act as the
 * client's user.
 */
const MODEL_CAPABILITIES: Readonly<Record<string, readonly Capability[]>> = {
  "mapped-xattr": ["DAC_OVERRIDE", "FOWNER"],
  "mapped-file": ["DAC_OVERRIDE", "FOWNER"],
  "none": ["DAC_OVERRIDE", "FOWNER", "CHOWN", "FSETID", "MKNOD"],
  "squash": ["DAC_OVERRIDE", "FOWNER", "CHOWN"],
  "passthrough": ["DAC_OVERRIDE", "FOWNER", "CHOWN", "FSETID", "MKNOD", "SETUID", "SETGID"],
};

/** Capabilities that an export has a use for. */
function exportCapabilities(
  { securityModel, squash, readOnly }: ExportConfiguration,
): readonly Capability[] {
  const model = securityModel === "none" && squash?.who === "all" ? "squash" : securityModel;
  const all = MODEL_CAPABILITIES[model] ?? MODEL_CAPABILITIES.passthrough ?? [];
  if (!readOnly) return all;
  // Who only reads needs to be let in, nothing else; and to be somebody else, if that is the model.
  return all.filter((each) => each === "SETUID" || each === "SETGID");
}

/** Capabilities that a configuration has a use for. */
export function neededCapabilities(
  configuration: ServeConfiguration,
  sources: Pick<PolicySources, "euid" | "ownsFolder" | "firstFreePort" | "metricsPort">,
): Capability[] {
  const { exports, listen, devices } = configuration;
  // Sources and packages may belong to somebody else, too.
  const needed = new Set<Capability>(["DAC_READ_SEARCH"]);
  for (const each of exports) for (const one of exportCapabilities(each)) needed.add(one);
  const ports = sources.metricsPort === undefined ? [] : [sources.metricsPort];
  for (const address of [...listen, ...devices.map(({ socket }) => socket)]) {
    if (address.kind === "tcp" || address.kind === "vsock") ports.push(address.port);
    if (address.kind !== "unix" || address.path.startsWith("@")) continue;
    if (address.gid !== undefined) needed.add("CHOWN");
    if (!sources.ownsFolder(dirname(address.path))) needed.add("DAC_OVERRIDE");
  }
  if (ports.some((port) => port > 0 && port < sources.firstFreePort)) {
    needed.add("NET_BIND_SERVICE");
  }
  // To connect to a socket is to write to it.
  if (devices.some(({ to }) => to?.kind === "unix")) needed.add("DAC_OVERRIDE");
  return [...needed].sort();
}

/** Files of the system that names of users, groups and hosts come from, and the clock's zone. */
const SYSTEM_FILES = [
  "/etc/ld.so.cache",
  "/etc/ld.so.preload",
  "/etc/gai.conf",
  "/etc/group",
  "/etc/host.conf",
  "/etc/hosts",
  "/etc/localtime",
  "/etc/nsswitch.conf",
  "/etc/passwd",
  "/etc/resolv.conf",
  "/etc/services",
  "/sys/fs/cgroup", // how many processors and how much memory there are for us
  "/sys/kernel/mm/transparent_hugepage",
];
/** Folders of the system with libraries. What cannot be loaded lazily shows only much later. */
const SYSTEM_LIBRARIES = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/** Our own, below the root of the sources: modules, what their imports mean, and packages. */
const SOURCES = ["cli", "lib", "mod.ts", "deno.json", "deno.lock", "node_modules"];
const DEVICES = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/** What a configuration needs. */
export function sandboxPolicy(
  configuration: ServeConfiguration,
  sources: PolicySources,
): SandboxPolicy {
  const { exports, listen, devices } = configuration;
  const { runtime } = sources;
  const optional = (use: Use) => (path: string): Need => ({ path, use, isOptional: true });
  const needs: Need[] = [
    { path: "/proc", use: "proc" },
    ...sources.temporary.map((path): Need => ({ path, use: "change" })),
    ...runtime.programs.map((path): Need => ({ path, use: "run" })),
    ...[...SYSTEM_LIBRARIES, ...runtime.libraries].map(optional("load")),
    ...[runtime.cache, ...runtime.files, ...SYSTEM_FILES].map(optional("read")),
    ...DEVICES.map(optional("device")),
  ];
  // Sources that come from elsewhere are in the cache.
  if (runtime.module.startsWith("file:")) {
    const root = fileURLToPath(new URL("../../", runtime.module));
    needs.push(...SOURCES.map((name) => optional("read")(`${root}${name}`)));
  }
  if (sources.configurationFile !== undefined) {
    // The folder: editors put another file in the place of the one that we were given.
    needs.push({ path: dirname(sources.configurationFile), use: "read" });
  }
  if (sources.traceFile !== undefined) needs.push({ path: sources.traceFile, use: "change" });
  for (const { path, readOnly } of exports) {
    needs.push({ path, use: readOnly ? "read" : "change", isExport: true });
  }
  const bind = sources.metricsPort === undefined ? [] : [sources.metricsPort];
  const connect: number[] = [];
  let dialsAbstract = false;
  let hasOwnNetwork = sources.metricsPort === undefined;
  const dial = (path: string): void => {
    if (path.startsWith("@")) {
      dialsAbstract = true;
      hasOwnNetwork = false;
    } else {
      // The folder: whoever listens there may start again and make another socket.
      needs.push({ path: dirname(path), use: "connect", isOptional: true });
    }
  };
  for (const address of [...listen, ...devices.map(({ socket }) => socket)]) {
    if (address.kind === "tcp") bind.push(address.port);
    if (address.kind === "unix" && !address.path.startsWith("@")) {
      const refusal = `Cannot listen on unix://${address.path}`;
      needs.push({ path: dirname(address.path), use: "listen", refusal });
    } else {
      hasOwnNetwork = false;
    }
  }
  for (const { to } of devices) {
    if (to?.kind === "unix") dial(to.path);
    if (to?.kind !== "tcp") continue;
    connect.push(to.port);
    hasOwnNetwork = false;
  }
  if (sources.manager !== undefined) dial(sources.manager);
  return {
    needs,
    capabilities: neededCapabilities(configuration, sources),
    bind: [...new Set(bind)],
    connect: [...new Set(connect)],
    dialsAbstract,
    hasOwnNetwork,
    isReadOnly: exports.every(({ readOnly }) => readOnly),
  };
}
