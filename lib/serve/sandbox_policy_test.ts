import assert from "node:assert/strict";
import { neededCapabilities, type PolicySources, sandboxPolicy } from "./sandbox_policy.ts";
import type { ExportConfiguration, ServeConfiguration } from "./types.ts";

const EXPORT: ExportConfiguration = {
  name: "a",
  path: "/srv/a",
  readOnly: false,
  securityModel: "none",
  multidevs: "remap",
};
const CONFIGURATION: ServeConfiguration = {
  listen: [{ kind: "unix", path: "/run/virtfs/socket" }],
  devices: [],
  exports: [EXPORT],
  msize: 8192,
  workers: 1,
  maxConnections: 1,
  maxFids: 1,
  maxInflight: 1,
  idleTimeoutMs: 0,
  disable: [],
};
const SOURCES: PolicySources = {
  euid: 0,
  ownsFolder: () => true,
  firstFreePort: 1024,
  temporary: ["/tmp/own"],
  runtime: {
    programs: ["/opt/deno", "/opt/lib/ld.so"],
    libraries: ["/opt/lib"],
    cache: "/var/cache/deno",
    files: ["/etc/deno.json"],
    module: "file:///opt/virtfs/lib/serve/x.ts",
  },
};

const squash = { who: "all", uid: 1, gid: 1 } as const;
const exportsOf: [what: string, one: Partial<ExportConfiguration>, capabilities: string][] = [
  ["none", {}, "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID MKNOD"],
  ["none, squashed", { squash }, "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER"],
  [
    "none, root squashed",
    { squash: { ...squash, who: "root" } },
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID MKNOD",
  ],
  ["mapped", { securityModel: "mapped-xattr" }, "DAC_OVERRIDE DAC_READ_SEARCH FOWNER"],
  ["none, read-only", { readOnly: true }, "DAC_READ_SEARCH"],
  [
    "passthrough",
    { securityModel: "passthrough" },
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID MKNOD SETGID SETUID",
  ],
  [
    "passthrough, read-only",
    { securityModel: "passthrough", readOnly: true },
    "DAC_READ_SEARCH SETGID SETUID",
  ],
];
for (const [what, one, capabilities] of exportsOf) {
  Deno.test(`neededCapabilities() of ${what}`, () => {
    const configuration = { ...CONFIGURATION, exports: [{ ...EXPORT, ...one }] };
    assert.equal(neededCapabilities(configuration, SOURCES).join(" "), capabilities);
  });
}

const READ_ONLY = [{ ...EXPORT, readOnly: true }];
const socket = { kind: "unix", path: "/run/x" } as const;
const others: [
  what: string,
  configuration: Partial<ServeConfiguration>,
  sources: Partial<PolicySources>,
  more: string[],
][] = [
  ["a port below 1024", { listen: [{ kind: "tcp", host: "::1", port: 564 }] }, {}, [
    "NET_BIND_SERVICE",
  ]],
  ["any port", { listen: [{ kind: "tcp", host: "::1", port: 0 }] }, {}, []],
  ["a port that is free here", { listen: [{ kind: "tcp", host: "::1", port: 564 }] }, {
    firstFreePort: 0,
  }, []],
  ["metrics on a port below 1024", {}, { metricsPort: 80 }, ["NET_BIND_SERVICE"]],
  ["a socket in the folder of somebody else", {}, { ownsFolder: () => false }, ["DAC_OVERRIDE"]],
  ["a socket for a group", { listen: [{ ...socket, gid: 7 }] }, {}, ["CHOWN"]],
  ["an abstract socket", { listen: [{ kind: "unix", path: "@x" }] }, {
    ownsFolder: () => false,
  }, []],
  [
    "a bridge to a socket",
    {
      devices: [{ socket, tag: "t", to: { kind: "unix", path: "/run/y" } }],
    },
    {},
    ["DAC_OVERRIDE"],
  ],
];
for (const [what, configuration, sources, more] of others) {
  Deno.test(`neededCapabilities() of ${what}`, () => {
    const found = neededCapabilities({ ...CONFIGURATION, exports: READ_ONLY, ...configuration }, {
      ...SOURCES,
      ...sources,
    });
    assert.deepEqual(found, ["DAC_READ_SEARCH", ...more].sort());
  });
}

Deno.test("sandboxPolicy() names what is used, and what for", () => {
  const policy = sandboxPolicy(CONFIGURATION, {
    ...SOURCES,
    configurationFile: "/etc/v/serve.toml",
    traceFile: "/var/log/share.pcapng",
  });
  const uses = Object.fromEntries(policy.needs.map(({ path, use }) => [path, use]));
  assert.equal(uses["/srv/a"], "change");
  assert.equal(uses["/run/virtfs"], "listen");
  assert.equal(uses["/etc/v"], "read");
  assert.equal(uses["/var/log/share.pcapng"], "change");
  assert.equal(uses["/opt/deno"], "run");
  assert.equal(uses["/opt/lib/ld.so"], "run");
  assert.equal(uses["/opt/lib"], "load");
  assert.equal(uses["/var/cache/deno"], "read");
  assert.equal(uses["/etc/deno.json"], "read");
  assert.equal(uses["/opt/virtfs/lib"], "read");
  assert.equal(uses["/tmp/own"], "change");
  assert.equal(uses["/proc"], "proc");
  for (const path of ["/", "/etc", "/home", "/tmp", "/opt/virtfs"]) {
    assert.equal(uses[path], undefined);
  }
  const required = policy.needs.filter(({ isOptional }) => isOptional !== true);
  assert.deepEqual(required.map(({ path }) => path).sort(), [
    "/etc/v",
    "/opt/deno",
    "/opt/lib/ld.so",
    "/proc",
    "/run/virtfs",
    "/srv/a",
    "/tmp/own",
    "/var/log/share.pcapng",
  ]);
  assert.equal(
    policy.needs.find(({ use }) => use === "listen")?.refusal,
    "Cannot listen on unix:///run/virtfs/socket",
  );
  assert.deepEqual([policy.hasOwnNetwork, policy.isReadOnly], [true, false]);
});

const to = (
  address: { kind: "unix"; path: string } | { kind: "tcp"; host: string; port: number },
) => ({
  devices: [{ socket, tag: "t", to: address }],
});
const networks: [
  what: string,
  configuration: Partial<ServeConfiguration>,
  wanted: [own: boolean, bind: number[], connect: number[], dialsAbstract: boolean],
][] = [
  ["sockets with paths", {}, [true, [], [], false]],
  ["TCP", { listen: [{ kind: "tcp", host: "::1", port: 5640 }] }, [false, [5640], [], false]],
  ["vsock", { listen: [{ kind: "vsock", cid: 2, port: 1 }] }, [false, [], [], false]],
  ["an abstract socket", { listen: [{ kind: "unix", path: "@x" }] }, [false, [], [], false]],
  ["an inherited socket", { listen: [{ kind: "fd", fd: 3 }] }, [false, [], [], false]],
  ["a bridge to TCP", to({ kind: "tcp", host: "h", port: 9 }), [false, [], [9], false]],
  ["a bridge to a socket", to({ kind: "unix", path: "/run/y" }), [true, [], [], false]],
  ["a bridge to an abstract socket", to({ kind: "unix", path: "@y" }), [false, [], [], true]],
];
for (const [what, configuration, wanted] of networks) {
  Deno.test(`sandboxPolicy() and the network: ${what}`, () => {
    const policy = sandboxPolicy({ ...CONFIGURATION, ...configuration }, SOURCES);
    const { hasOwnNetwork, bind, connect, dialsAbstract } = policy;
    assert.deepEqual([hasOwnNetwork, bind, connect, dialsAbstract], wanted);
  });
}

Deno.test("sandboxPolicy() leaves the network to metrics", () => {
  const policy = sandboxPolicy(CONFIGURATION, { ...SOURCES, metricsPort: 9564 });
  assert.deepEqual([policy.hasOwnNetwork, policy.bind], [false, [9564]]);
});

Deno.test("sandboxPolicy() leaves a way to the service manager", () => {
  const policy = sandboxPolicy(CONFIGURATION, { ...SOURCES, manager: "/run/systemd/notify" });
  assert(policy.needs.some(({ path, use }) => path === "/run/systemd" && use === "connect"));
  assert.deepEqual([policy.hasOwnNetwork, policy.dialsAbstract], [true, false]);
  const abstract = sandboxPolicy(CONFIGURATION, { ...SOURCES, manager: "@manager" });
  assert.deepEqual([abstract.hasOwnNetwork, abstract.dialsAbstract], [false, true]);
});
