import assert from "node:assert/strict";
import {
  CAPABILITIES,
  EINVAL,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  LANDLOCK_SCOPE,
  type LandlockRights,
  LinuxError,
  loadLibc,
} from "../linux/mod.ts";
import {
  formatSandbox,
  NO_SANDBOX,
  restrain,
  type Ruleset,
  type SANDBOX_CALLS,
  type SandboxState,
} from "./sandbox.ts";
import type { SandboxPolicy } from "./sandbox_policy.ts";

loadLibc();

const POLICY: SandboxPolicy = {
  needs: [
    { path: "/proc", use: "proc" },
    { path: "/dev/null", use: "device" },
    { path: "/does/not/exist", use: "read", isOptional: true },
    { path: "/tmp", use: "change", isExport: true },
  ],
  capabilities: ["CHOWN", "DAC_OVERRIDE"],
  bind: [564],
  connect: [],
  dialsAbstract: false,
  hasOwnNetwork: true,
  isReadOnly: false,
};

/** A kernel that does what it is told, and remembers it. */
function kernel(
  failing: Partial<typeof SANDBOX_CALLS> = {},
): { calls: typeof SANDBOX_CALLS; made: string[] } {
  const made: string[] = [];
  const done = (what: string) => {
    made.push(what);
    return 0;
  };
  const ruleset: Ruleset = {
    allowPath: (_fd, rights, isFolder) => done(`allow ${rights.toString(2)} ${isFolder}`),
    allowPort: (port, rights) => done(`port ${port} ${rights}`),
    restrict: () => done("landlock"),
    [Symbol.dispose]: () => {},
  };
  return {
    made,
    calls: {
      geteuid: () => 0,
      capget: () => ({ effective: ALL, permitted: ALL, inheritable: 0n }),
      capset: ({ effective, permitted, inheritable }) =>
        done(`capset ${effective} ${permitted} ${inheritable}`),
      limitCapabilities: (kept) => done(`bounding ${kept}`),
      setAmbientCapabilities: (kept) => done(`ambient ${kept}`),
      prctl: (option, value) => done(`prctl ${option} ${value}`),
      unshare: (flags) => done(`unshare ${flags.toString(16)}`),
      enterPrivateRoot: () => void done("root"),
      landlockVersion: () => 7,
      filterSystemCalls: () => done("filter"),
      makeRuleset: () => ruleset,
      ...failing,
    },
  };
}

const ALL = (1n << 41n) - 1n;
/** What root has in a container. */
const FEW = ALL & ~(1n << 21n) & ~(1n << 8n) & ~(1n << BigInt(CAPABILITIES.CHOWN));

Deno.test("restrain() as root gives up all it can, in an order that works", () => {
  const { calls, made } = kernel();
  const state = restrain(POLICY, "auto", calls);
  assert.deepEqual(made.filter((each) => !each.startsWith("allow")), [
    "root",
    "unshare 8000000",
    "unshare 40000000",
    "prctl 38 1",
    "port 564 1",
    "landlock",
    "bounding 3",
    "capset 3 3 0",
    "ambient 0",
    "filter",
  ]);
  assert.equal(made.filter((each) => each.startsWith("allow")).length, 3);
  assert.deepEqual(state.exports, [{ path: "/tmp", isWritable: true }]);
  assert.deepEqual(state.missing, []);
  assert.match(
    formatSandbox(state),
    /^no new privileges, 2 capabilities, Landlock 7, own mount, IPC and network namespaces, \d+ system calls refused$/,
  );
});

Deno.test("restrain() of an ordinary user keeps the capabilities that somebody gave it", () => {
  const given = 1n << BigInt(CAPABILITIES.DAC_OVERRIDE) | 1n << BigInt(CAPABILITIES.MKNOD);
  const { calls, made } = kernel({
    geteuid: () => 1000,
    capget: () => ({ effective: given, permitted: given, inheritable: given }),
  });
  const state = restrain(POLICY, "require", calls);
  assert.deepEqual(made.slice(-3), ["capset 2 2 2", "ambient 2", "filter"]);
  assert.deepEqual(state.capabilities, ["DAC_OVERRIDE"]);
  assert.deepEqual(state.namespaces, []);
  assert.match(
    formatSandbox(state),
    /1 capability, .*; without own mount namespace \(it needs root\)$/,
  );
});

Deno.test("restrain() limits scopes to what is not needed", () => {
  const denied: LandlockRights[] = [];
  const { calls } = kernel();
  const { makeRuleset } = calls;
  const remember = (rights: LandlockRights) => {
    denied.push(rights);
    return makeRuleset(rights);
  };
  restrain(POLICY, "auto", { ...calls, makeRuleset: remember });
  restrain({ ...POLICY, dialsAbstract: true }, "auto", { ...calls, makeRuleset: remember });
  assert.deepEqual(denied.map(({ scoped }) => scoped), [
    LANDLOCK_SCOPE.ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE.SIGNAL,
    LANDLOCK_SCOPE.SIGNAL,
  ]);
});

const fail = (code: number) => () => -code;
const noMounts = () => {
  throw new LinuxError("have an own mount namespace", EPERM);
};

const failures: [
  what: string,
  failing: Partial<typeof SANDBOX_CALLS>,
  missing: string[],
  line: RegExp,
][] = [
  [
    "a kernel without Landlock",
    { landlockVersion: fail(ENOSYS) },
    ["Landlock (this kernel has none)"],
    /^no new privileges, 2 capabilities, own mount, .*; without Landlock \(this kernel has none\)$/,
  ],
  [
    "a kernel whose Landlock forbids to move files",
    { landlockVersion: () => 1 },
    ["Landlock (that of this kernel would forbid to move files between folders)"],
    /; without Landlock/,
  ],
  [
    "a Landlock that takes no rules",
    {
      makeRuleset: () => {
        throw new LinuxError("make a Landlock ruleset", EINVAL);
      },
    },
    ["Landlock (Cannot make a Landlock ruleset: EINVAL)"],
    /; without Landlock/,
  ],
  [
    "a container",
    { capget: () => ({ effective: FEW, permitted: FEW, inheritable: 0n }) },
    ["own mount namespace (it needs CAP_SYS_ADMIN)"],
    /^no new privileges, 1 capability, Landlock 7, \d+ system calls refused; without own mount/,
  ],
  [
    "a system without namespaces",
    { enterPrivateRoot: noMounts, unshare: fail(EPERM) },
    ["own mount namespace (it is not permitted here)"],
    /^no new privileges, 2 capabilities, Landlock 7, \d+ system/,
  ],
  [
    "an exported root folder",
    {
      enterPrivateRoot: () => {
        throw new Error("the root folder itself is exported");
      },
    },
    ["own mount namespace (the root folder itself is exported)"],
    /own IPC and network namespaces/,
  ],
  [
    "a kernel without filters",
    { filterSystemCalls: fail(EINVAL) },
    ["filter of system calls (EINVAL)"],
    /namespaces; without filter of system calls/,
  ],
  [
    "capabilities that stay",
    { capset: fail(EPERM) },
    ["fewer capabilities (it is not permitted here)"],
    /^no new privileges, Landlock 7/,
  ],
  [
    "a kernel that tells no capabilities",
    { capget: fail(EPERM) },
    ["own mount namespace (it needs CAP_SYS_ADMIN)"],
    /^no new privileges, Landlock 7/,
  ],
];
for (const [what, failing, missing, line] of failures) {
  Deno.test(`restrain() in ${what} does what it can and says what is missing`, () => {
    const state = restrain(POLICY, "auto", kernel(failing).calls);
    assert.deepEqual(state.missing, missing);
    assert.match(formatSandbox(state), line);
    // One of the two is enough for those who insist.
    assert.deepEqual(restrain(POLICY, "require", kernel(failing).calls).missing, missing);
  });
}

Deno.test("restrain() with require refuses to go on where nothing holds files", () => {
  const { calls, made } = kernel({
    enterPrivateRoot: noMounts,
    landlockVersion: fail(EOPNOTSUPP),
  });
  assert.throws(() => restrain(POLICY, "require", calls), {
    message: "Cannot contain the server: there is no own mount namespace (it is not permitted " +
      "here) and no Landlock (this kernel was started without); --sandbox auto starts it all the same",
  });
  assert(!made.includes("filter"));
  const { landlock, namespaces } = restrain(POLICY, "auto", calls);
  assert.deepEqual([landlock, namespaces], [0, ["IPC", "network"]]);
});

Deno.test("restrain() with require takes the first Landlock where there is nothing better", () => {
  const { calls } = kernel({ enterPrivateRoot: noMounts, landlockVersion: () => 1 });
  assert.equal(restrain(POLICY, "require", calls).landlock, 1);
  assert.equal(restrain(POLICY, "auto", calls).landlock, 0);
  assert.equal(restrain({ ...POLICY, isReadOnly: true }, "auto", calls).landlock, 1);
});

const places: [path: string, message: string][] = [
  ["/does/not/exist", "Cannot listen on unix:///x: no such folder"],
  ["/dev/null/x", "Cannot listen on unix:///x: part of the path is not a folder"],
];
for (const [path, message] of places) {
  Deno.test(`restrain() says what is wrong with ${path} before it restrains anything`, () => {
    const { calls, made } = kernel();
    const refusal = "Cannot listen on unix:///x";
    const policy: SandboxPolicy = { ...POLICY, needs: [{ path, use: "listen", refusal }] };
    assert.throws(() => restrain(policy, "auto", calls), { message });
    assert.deepEqual(made, []);
  });
}

Deno.test("formatSandbox() is as honest where there is nothing to tell", () => {
  assert.equal(formatSandbox(NO_SANDBOX), "off, nothing is restrained");
  const nothing: SandboxState = { ...NO_SANDBOX, mode: "auto", missing: ["Landlock (x)", "y (z)"] };
  assert.equal(formatSandbox(nothing), "nothing is restrained; without Landlock (x), y (z)");
  assert.equal(
    formatSandbox({ ...NO_SANDBOX, mode: "auto", capabilities: [], namespaces: ["mount"] }),
    "no capabilities, own mount namespace",
  );
});
