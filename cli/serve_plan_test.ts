import assert from "node:assert/strict";
import type { ListenAddress, Settings } from "../lib/serve/mod.ts";
import { parseAddress } from "./address.ts";
import { type PlanHost, planServe } from "./serve_plan.ts";

const ROOT: PlanHost = {
  euid: 0,
  cores: 8,
  activatedSockets: 0,
  stat(path) {
    if (path === "/missing") throw new Deno.errors.NotFound("x");
    if (path === "/secret") throw new Deno.errors.PermissionDenied("x");
    return { isDirectory: path !== "/file", uid: 1000, gid: 100 };
  },
  groupNumber: (name) => (name === "kvm" ? 104 : undefined),
  user: (uid) => (uid === 1000 ? { name: "alice", gid: 1001 } : undefined),
  inheritedMode: (fd) => (fd === 4 ? 0o600 : undefined),
};
const ALICE: PlanHost = { ...ROOT, euid: 1000 };
const EXPORT = [{ name: "/srv", path: "/srv" }];
const TCP: Settings = { export: EXPORT };
const UNIX: Settings = { export: EXPORT, listen: [parseAddress("unix:///run/a.sock")] };

Deno.test("planServe() fills in the defaults", () => {
  assert.deepEqual(planServe(UNIX, ROOT), {
    configuration: {
      listen: [{ kind: "unix", path: "/run/a.sock", mode: 0o600 }],
      exports: [{
        name: "/srv",
        path: "/srv",
        readOnly: false,
        securityModel: "passthrough",
        multidevs: "remap",
      }],
      msize: 1_048_600,
      workers: 4,
      maxConnections: 1024,
      maxFids: 65_536,
      maxInflight: 256,
      idleTimeoutMs: 0,
      disable: [],
      devices: [],
    },
    notes: [],
    logLevel: "info",
    logFormat: "text",
  });
});

Deno.test("planServe() takes what was said", () => {
  const said: Settings = {
    ...UNIX,
    readOnly: true,
    multidevs: "warn",
    msize: 8192,
    workers: 1,
    maxConnections: 2,
    maxFids: 3,
    maxInflight: 4,
    idleTimeout: 5,
    disable: ["Trename"],
    logLevel: "debug",
    logFormat: "json",
    metrics: { kind: "tcp", host: "::1", port: 1 },
  };
  const plan = planServe(said, ROOT);
  const { listen: _, exports, ...limits } = plan.configuration;
  assert.deepEqual(limits, {
    msize: 8192,
    workers: 1,
    maxConnections: 2,
    maxFids: 3,
    maxInflight: 4,
    idleTimeoutMs: 5000,
    disable: ["Trename"],
  });
  assert.equal(exports[0]?.readOnly, true);
  assert.equal(exports[0]?.multidevs, "warn");
  assert.equal(plan.logLevel, "debug");
  assert.equal(plan.logFormat, "json");
  assert.deepEqual(plan.metrics, { kind: "tcp", host: "::1", port: 1 });
});

Deno.test("planServe() listens on the sockets of systemd where nothing else is said", () => {
  const host = { ...ALICE, activatedSockets: 2 };
  assert.deepEqual(planServe(TCP, host).configuration.listen, [
    { kind: "fd", fd: 3 },
    { kind: "fd", fd: 4 },
  ]);
  assert.deepEqual(
    planServe({ ...TCP, listen: [{ kind: "fd", fd: 7 }] }, host).configuration.listen,
    [
      { kind: "fd", fd: 7 },
    ],
  );
});

Deno.test("planServe() gives the mode and group to socket files only", () => {
  const listen = ["unix:///run/a", "unix://@a", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"].map(
    parseAddress,
  );
  const said = { ...TCP, listen, socketGroup: "kvm" };
  assert.deepEqual(planServe(said, ALICE).configuration.listen, [
    { kind: "unix", path: "/run/a", mode: 0o660, gid: 104 },
    ...listen.slice(1),
  ]);
});

// Who clients act as: [what, settings, user of the server, squash of the export, note]
const exposure: [
  what: string,
  said: Settings,
  host: PlanHost,
  squash: { uid: number; gid: number } | undefined,
  model: string,
  note: RegExp | undefined,
][] = [
  [
    "root on TCP turns clients into the owner",
    TCP,
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /^anyone who reaches tcp:\/\/127\.0\.0\.1:5640 can read and change everything in \/srv; for them all of it belongs to user 1000 \(alice\), the owner/,
  ],
  [
    "root on vsock too",
    { ...TCP, listen: [parseAddress("vsock://any")] },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /vsock:\/\/any:5640/,
  ],
  [
    "root on an abstract socket too",
    { ...TCP, listen: [parseAddress("unix://@a")] },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /unix:\/\/@a can/,
  ],
  [
    "root on an inherited socket of unknown kind too",
    { ...TCP, listen: [parseAddress("fd://3")] },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /fd:\/\/3/,
  ],
  [
    "root on an inherited private socket file does not",
    { ...TCP, listen: [parseAddress("fd://4")] },
    ROOT,
    undefined,
    "passthrough",
    undefined,
  ],
  [
    "root on a socket file of a group too",
    { ...UNIX, socketGroup: "kvm" },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /unix:\/\/\/run\/a\.sock/,
  ],
  [
    "root on a socket file for all too",
    { ...UNIX, socketMode: 0o666 },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /unix/,
  ],
  ["root on a private socket file does not", UNIX, ROOT, undefined, "passthrough", undefined],
  [
    "root on a private socket file and TCP does",
    { ...UNIX, listen: [...UNIX.listen ?? [], parseAddress("tcp://[::1]")] },
    ROOT,
    { uid: 1000, gid: 100 },
    "none",
    /reaches tcp:\/\/\[::1\]:5640 can/,
  ],
  [
    "a private socket file obeys a model",
    { ...UNIX, securityModel: "none" },
    ROOT,
    undefined,
    "none",
    undefined,
  ],
  [
    "--squash-uid wins and brings the primary group",
    { ...TCP, squashUid: 1000 },
    ROOT,
    { uid: 1000, gid: 1001 },
    "none",
    undefined,
  ],
  [
    "--squash-uid of nobody known brings the same number",
    { ...TCP, squashUid: 7 },
    ROOT,
    { uid: 7, gid: 7 },
    "none",
    undefined,
  ],
  [
    "--squash-gid wins",
    { ...TCP, squashUid: 7, squashGid: 8 },
    ROOT,
    { uid: 7, gid: 8 },
    "none",
    undefined,
  ],
  [
    "--squash-uid allows a model",
    { ...TCP, squashUid: 7, securityModel: "none" },
    ROOT,
    { uid: 7, gid: 7 },
    "none",
    undefined,
  ],
  [
    "the squash of an export wins over that of the server",
    { export: [{ name: "a", path: "/a", squashUid: 1000 }], squashUid: 7, squashGid: 8 },
    ROOT,
    { uid: 1000, gid: 1001 },
    "none",
    undefined,
  ],
  [
    "--trust-clients turns nobody into anybody",
    { ...TCP, trustClients: true },
    ROOT,
    undefined,
    "passthrough",
    /^clients are believed who they say they are: anyone who reaches tcp:/,
  ],
  [
    "--trust-clients on a private socket needs no word",
    { ...UNIX, trustClients: true },
    ROOT,
    undefined,
    "passthrough",
    undefined,
  ],
  [
    "another user needs no squash",
    TCP,
    ALICE,
    undefined,
    "none",
    /^every client acts as user 1000 \(alice\), the user of the server$/,
  ],
  [
    "another user may show all files as somebody's",
    { ...TCP, squashUid: 0, squashGid: 0 },
    ALICE,
    { uid: 0, gid: 0 },
    "none",
    /user of the server/,
  ],
];
for (const [what, said, host, squash, model, note] of exposure) {
  Deno.test(`planServe(): ${what}`, () => {
    const { configuration, notes } = planServe(said, host);
    assert.deepEqual(configuration.exports[0]?.squash, squash);
    assert.equal(configuration.exports[0]?.securityModel, model);
    assert.equal(notes.length, note === undefined ? 0 : 1, notes.join("\n"));
    if (note !== undefined) assert.match(notes[0] ?? "", note);
  });
}

const wrong: [what: string, said: Settings, host: PlanHost, name: string, message: RegExp][] = [
  ["nothing to serve", {}, ROOT, "UsageError", /^Nothing to serve: give a PATH/],
  [
    "an explicit model as root on TCP",
    { ...TCP, securityModel: "none" },
    ROOT,
    "UsageError",
    /^Refused to export \/srv with --security-model none as root: anyone who reaches tcp:\/\/127\.0\.0\.1:5640 could act as root; write --squash-uid UID instead, or add --trust-clients, or listen on unix:\/\/\/PATH only$/,
  ],
  [
    "an explicit model of one export",
    { export: [{ name: "a", path: "/a", securityModel: "passthrough" }] },
    ROOT,
    "UsageError",
    /--security-model passthrough as root/,
  ],
  [
    "passthrough of another user",
    { ...TCP, securityModel: "passthrough" },
    ALICE,
    "Error",
    /^Cannot export \/srv with --security-model passthrough: it needs root, this is user 1000/,
  ],
  [
    "passthrough and squash",
    { ...TCP, squashUid: 7, securityModel: "passthrough" },
    ROOT,
    "UsageError",
    /^--squash-uid contradicts --security-model passthrough for \/srv: leave one of them out$/,
  ],
  [
    "a group without a user",
    { ...TCP, squashGid: 1 },
    ROOT,
    "UsageError",
    /^--squash-gid needs --squash-uid/,
  ],
  [
    "trust and squash",
    { ...TCP, trustClients: true, squashUid: 1 },
    ROOT,
    "UsageError",
    /^--trust-clients contradicts --squash-uid/,
  ],
  [
    "a missing folder",
    { export: [{ name: "a", path: "/missing" }] },
    ROOT,
    "Error",
    /^Cannot export \/missing: there is no such file or folder$/,
  ],
  [
    "a file",
    { export: [{ name: "a", path: "/file" }] },
    ROOT,
    "Error",
    /^Cannot export \/file: it is a file, not a folder$/,
  ],
  [
    "a folder out of reach",
    { export: [{ name: "a", path: "/secret" }] },
    ROOT,
    "Error",
    /^Cannot export \/secret: permission denied$/,
  ],
  [
    "two exports of one name",
    { export: [...EXPORT, ...EXPORT] },
    ROOT,
    "UsageError",
    /^Two exports have the name "\/srv"/,
  ],
  [
    "an address twice",
    { ...UNIX, listen: [...UNIX.listen ?? [], ...UNIX.listen ?? []] },
    ROOT,
    "UsageError",
    /^--listen unix:\/\/\/run\/a\.sock is given twice$/,
  ],
  [
    "a socket mode without a socket file",
    { ...TCP, socketMode: 0o600 },
    ROOT,
    "UsageError",
    /^--socket-mode is for socket files: add --listen unix:\/\/\/PATH$/,
  ],
  [
    "a socket group without a socket file",
    { ...TCP, socketGroup: 1 },
    ROOT,
    "UsageError",
    /^--socket-group is for socket files/,
  ],
  [
    "a group that is none",
    { ...UNIX, socketGroup: "nope" },
    ROOT,
    "Error",
    /^Cannot find group "nope": it is not in \/etc\/group$/,
  ],
];
for (const [what, said, host, name, message] of wrong) {
  Deno.test(`planServe() refuses ${what}`, () => {
    assert.throws(() => planServe(said, host), { name, message });
  });
}

Deno.test("planServe() keeps the sockets of a running server, and judges by them", () => {
  const listening: ListenAddress[] = [{ kind: "tcp", host: "127.0.0.1", port: 1 }];
  const { configuration } = planServe(UNIX, ROOT, listening);
  assert.deepEqual(configuration.listen, listening);
  assert.deepEqual(configuration.exports[0]?.squash, { uid: 1000, gid: 100 });
});
