/**
 * The launcher's work: takes from this process what a server does not need, then becomes Deno again.
 *
 * Capabilities, Landlock, namespaces and filters belong to a thread, and Deno has several before the
 * first line of ours. So the main thread is restrained and then calls execve(2), which ends all other
 * threads: the new process keeps its number and its descriptors, and every thread it ever has
 * inherits what the main thread was restrained to.
 *
 * @module
 */
import {
  AT_FDCWD,
  CAPABILITIES,
  type CapabilitySets,
  capget,
  capset,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  close,
  deniedCalls,
  denyingProgram,
  EACCES,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  errorName,
  filterSystemCalls,
  geteuid,
  LANDLOCK_FS,
  LANDLOCK_NET,
  LANDLOCK_SCOPE,
  landlockRights,
  LandlockRuleset,
  landlockVersion,
  limitCapabilities,
  LinuxError,
  O_CLOEXEC,
  O_PATH,
  openat,
  PR_SET_NO_NEW_PRIVS,
  prctl,
  setAmbientCapabilities,
  Statx,
  statx,
  STATX_TYPE,
  unshare,
} from "../linux/mod.ts";
import { enterPrivateRoot } from "./private_root.ts";
import type { Need, SandboxPolicy, Use } from "./sandbox_policy.ts";

/** How much a server insists on being restrained. */
export type SandboxMode = "auto" | "off" | "require";

/** What a server has been restrained to: plain data. */
export interface SandboxState {
  /** What was asked for. */
  readonly mode: SandboxMode;
  /** Whether no program that it starts can have more rights than it has. */
  readonly noNewPrivileges: boolean;
  /** Capabilities left, without `CAP_`; null if nothing was taken away. */
  readonly capabilities: readonly string[] | null;
  /** Version of Landlock that holds, 0 for none. */
  readonly landlock: number;
  /** Namespaces of its own. */
  readonly namespaces: readonly ("mount" | "IPC" | "network")[];
  /** System calls that are refused. */
  readonly refusedCalls: number;
  /** What was not to be had, and why. */
  readonly missing: readonly string[];
  /** Exports that can be reached; null for all. */
  readonly exports: readonly { readonly path: string; readonly isWritable: boolean }[] | null;
}

/** Nothing is restrained. */
export const NO_SANDBOX: SandboxState = {
  mode: "off",
  noNewPrivileges: false,
  capabilities: null,
  landlock: 0,
  namespaces: [],
  refusedCalls: 0,
  missing: [],
  exports: null,
};

/** The system calls, so that tests can make them fail without being restrained themselves. */
export const SANDBOX_CALLS = {
  geteuid,
  capget,
  capset,
  limitCapabilities,
  setAmbientCapabilities,
  prctl,
  unshare,
  enterPrivateRoot,
  landlockVersion,
  filterSystemCalls,
  makeRuleset: (...parameters: ConstructorParameters<typeof LandlockRuleset>): Ruleset =>
    new LandlockRuleset(...parameters),
};

/** What is used of a {@linkcode LandlockRuleset}. */
export type Ruleset = Pick<
  LandlockRuleset,
  "allowPath" | "allowPort" | "restrict" | typeof Symbol.dispose
>;

const CAP_SETPCAP = 1n << 8n;
const CAP_SYS_ADMIN = 1n << 21n;

const READ = LANDLOCK_FS.READ_FILE | LANDLOCK_FS.READ_DIR;
const RIGHTS: Readonly<Record<Use, number>> = {
  read: READ,
  run: READ | LANDLOCK_FS.EXECUTE,
  load: READ,
  proc: READ,
  change: ~(LANDLOCK_FS.EXECUTE | LANDLOCK_FS.IOCTL_DEV),
  device: LANDLOCK_FS.READ_FILE | LANDLOCK_FS.WRITE_FILE,
  listen: LANDLOCK_FS.MAKE_SOCK | LANDLOCK_FS.REMOVE_FILE,
  connect: 0,
};
/** The first version that lets files be moved between folders. */
const FIRST_WITH_REFER = 2;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Why something could not be had. */
function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function whyNot(code: number): string {
  if (code === -ENOSYS) return "this kernel has none";
  if (code === -EOPNOTSUPP) return "this kernel was started without";
  if (code === -EPERM) return "it is not permitted here";
  return errorName(code);
}

/** Says why something that is needed is not there. */
function checkNeeds(needs: readonly Need[]): void {
  const found = new Statx();
  for (const need of needs) {
    if (need.isOptional === true) continue;
    const result = statx(AT_FDCWD, need.path, 0, STATX_TYPE, found);
    if (result >= 0) continue;
    const refusal = need.refusal ?? `Cannot use ${need.path}`;
    if (result === -ENOENT) throw new Error(`${refusal}: no such folder`);
    if (result === -ENOTDIR) throw new Error(`${refusal}: part of the path is not a folder`);
    if (result === -EACCES) throw new Error(`${refusal}: permission denied`);
    throw new Error(`${refusal}: ${errorName(result)}`);
  }
}

/**
 * Restrains this thread, for good. What is not to be had is left out and named.
 *
 * @param mode Whether the server is to start without containment of files.
 * @throws {Error} If something that the policy names does not exist, or with `require`, if neither
 * Landlock nor a mount namespace is to be had.
 */
export function restrain(
  policy: SandboxPolicy,
  mode: Exclude<SandboxMode, "off">,
  calls: typeof SANDBOX_CALLS = SANDBOX_CALLS,
): SandboxState {
  checkNeeds(policy.needs);
  const missing: string[] = [];
  const namespaces: SandboxState["namespaces"][number][] = [];
  const sets = calls.capget();
  const permitted = typeof sets === "number" ? 0n : sets.permitted;

  if ((permitted & CAP_SYS_ADMIN) === 0n) {
    const needed = calls.geteuid() === 0 ? "CAP_SYS_ADMIN" : "root";
    missing.push(`own mount namespace (it needs ${needed})`);
  } else {
    try {
      calls.enterPrivateRoot(policy.needs, workingFolder());
      namespaces.push("mount");
    } catch (error) {
      missing.push(`own mount namespace (${explain(error)})`);
    }
    if (calls.unshare(CLONE_NEWIPC) >= 0) namespaces.push("IPC");
    if (policy.hasOwnNetwork && calls.unshare(CLONE_NEWNET) >= 0) namespaces.push("network");
  }

  const privileges = calls.prctl(PR_SET_NO_NEW_PRIVS, 1);
  if (privileges < 0) missing.push(`no new privileges (${whyNot(privileges)})`);
  const landlock = submit(policy, namespaces.includes("mount"), mode, missing, calls);
  if (mode === "require" && landlock === 0 && !namespaces.includes("mount")) {
    throw new Error(
      `Cannot contain the server: there is no ${missing.join(" and no ")}; ` +
        "--sandbox auto starts it all the same",
    );
  }
  const capabilities = typeof sets === "number" ? null : giveUp(policy, sets, missing, calls);
  const program = denyingProgram();
  const filtered = calls.filterSystemCalls(program);
  if (filtered < 0) missing.push(`filter of system calls (${whyNot(filtered)})`);
  return {
    mode,
    noNewPrivileges: privileges >= 0,
    capabilities,
    landlock,
    namespaces,
    refusedCalls: filtered < 0 ? 0 : deniedCalls().length,
    missing,
    exports: policy.needs.filter(({ isExport }) => isExport === true)
      .map(({ path, use }) => ({ path, isWritable: use === "change" })),
  };
}

function workingFolder(): string {
  try {
    return Deno.cwd();
  } catch {
    return "/"; // it has been removed
  }
}

function explain(error: unknown): string {
  return error instanceof LinuxError && error.code === EPERM
    ? "it is not permitted here"
    : why(error);
}

/** Submits to Landlock; returns its version, or 0. */
function submit(
  policy: SandboxPolicy,
  isContained: boolean,
  mode: SandboxMode,
  missing: string[],
  calls: typeof SANDBOX_CALLS,
): number {
  const version = calls.landlockVersion();
  if (version < 1) {
    missing.push(`Landlock (${whyNot(version)})`);
    return 0;
  }
  if (version < FIRST_WITH_REFER && !policy.isReadOnly && (isContained || mode !== "require")) {
    missing.push("Landlock (that of this kernel would forbid to move files between folders)");
    return 0;
  }
  const denied = landlockRights(version);
  const scoped = policy.dialsAbstract
    ? denied.scoped & ~LANDLOCK_SCOPE.ABSTRACT_UNIX_SOCKET
    : denied.scoped;
  try {
    using ruleset = calls.makeRuleset({ ...denied, scoped });
    const must = (result: number, what: string): void => {
      if (result < 0) throw new LinuxError(what, -result);
    };
    for (const need of policy.needs) allow(ruleset, need, must);
    for (const port of policy.bind) {
      must(ruleset.allowPort(port, LANDLOCK_NET.BIND_TCP), `allow port ${port}`);
    }
    for (const port of policy.connect) {
      must(ruleset.allowPort(port, LANDLOCK_NET.CONNECT_TCP), `allow port ${port}`);
    }
    must(ruleset.restrict(), "submit to Landlock");
    return version;
  } catch (error) {
    missing.push(`Landlock (${explain(error)})`);
    return 0;
  }
}

function allow(
  ruleset: Ruleset,
  need: Need,
  must: (result: number, what: string) => void,
): void {
  const fd = openat(AT_FDCWD, need.path, O_PATH | O_CLOEXEC, 0);
  if (fd < 0 && need.isOptional === true) return;
  must(fd, `open ${need.path}`);
  try {
    const found = new Statx();
    must(statx(fd, null, 0, STATX_TYPE, found), `look at ${need.path}`);
    const isFolder = (found.mode & S_IFMT) === S_IFDIR;
    must(ruleset.allowPath(fd, RIGHTS[need.use], isFolder), `allow ${need.path}`);
  } finally {
    close(fd);
  }
}

/** Gives up capabilities; returns the names of those that are left. */
function giveUp(
  policy: SandboxPolicy,
  sets: CapabilitySets,
  missing: string[],
  calls: typeof SANDBOX_CALLS,
): string[] | null {
  const held = policy.capabilities.filter((name) =>
    (sets.permitted >> BigInt(CAPABILITIES[name]) & 1n) === 1n
  );
  const kept = held.reduce((set, name) => set | 1n << BigInt(CAPABILITIES[name]), 0n);
  // A program that root runs gets what is in the bounding set, and with no_new_privs no more than
  // was permitted before; that of another user gets what is ambient.
  const inheritable = calls.geteuid() === 0 ? 0n : kept;
  const failures = [
    (sets.permitted & CAP_SETPCAP) === 0n ? 0 : calls.limitCapabilities(kept),
    calls.capset({ effective: kept, permitted: kept, inheritable }),
    calls.setAmbientCapabilities(inheritable),
  ].filter((result) => result < 0);
  const [failure] = failures;
  if (failure === undefined) return held;
  missing.push(`fewer capabilities (${whyNot(failure)})`);
  return null;
}

/** Says in one line what holds and what does not. */
export function formatSandbox(state: SandboxState): string {
  if (state.mode === "off") return "off, nothing is restrained";
  const { capabilities, landlock, namespaces, refusedCalls } = state;
  const parts: string[] = [];
  if (state.noNewPrivileges) parts.push("no new privileges");
  if (capabilities !== null) {
    const { length } = capabilities;
    parts.push(
      length === 0 ? "no capabilities" : `${length} capabilit${length === 1 ? "y" : "ies"}`,
    );
  }
  if (landlock > 0) parts.push(`Landlock ${landlock}`);
  const last = namespaces.at(-1);
  if (last !== undefined) {
    const list = namespaces.length === 1
      ? `own ${last} namespace`
      : `own ${namespaces.slice(0, -1).join(", ")} and ${last} namespaces`;
    parts.push(list);
  }
  if (refusedCalls > 0) parts.push(`${refusedCalls} system calls refused`);
  const holds = parts.length > 0 ? parts.join(", ") : "nothing is restrained";
  return state.missing.length === 0 ? holds : `${holds}; without ${state.missing.join(", ")}`;
}
