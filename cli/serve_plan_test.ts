import assert from "node:assert/strict";
import type { ListenAddress, Settings, Squash } from "../lib/serve/mod.ts";
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
  userNumber: (name) => (name === "alice" ? 1000 : undefined),
  interfaceNumber: (name) => (name === "eth0" ? 2 : undefined),
  hasUserXattrs: (path) => path !== "/plain",
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
        securityModel: "mapped-xattr",
        multidevs: "remap",
      }],
      msize: 1_048_600,
      workers: 4,
      maxConnections: 1024,
      maxFids: 65_536,
      maxInflight: 256,
      idleTimeoutMs: 0,
      handshakeTimeoutMs: 30_000,
      maxMemory: 268_435_456,
      disable: [],
      devices: [],
    },
    notes: [],
    sandbox: "auto",
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
    handshakeTimeout: 6,
    maxMemory: 7_000_000,
    disable: ["Trename"],
    logLevel: "debug",
    logFormat: "json",
    metrics: { kind: "tcp", host: "::1", port: 1 },
  };
  const plan = planServe(said, ROOT);
  const { listen: _, exports, ...limits } = plan.configuration;
  assert.deepEqual(limits, {
    devices: [],
    msize: 8192,
    workers: 1,
    maxConnections: 2,
    maxFids: 3,
    maxInflight: 4,
    idleTimeoutMs: 5000,
    handshakeTimeoutMs: 6000,
    maxMemory: 7_000_000,
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
  squash: Squash | undefined,
  model: string,
  note: RegExp | undefined,
][] = [
  [
    "root on TCP keeps apart what clients set",
    TCP,
    ROOT,
    undefined,
    "mapped-xattr",
    /^anyone who reaches tcp:\/\/127\.0\.0\.1:5640 can read and change everything in \/srv, as the root of it; what they make belongs to user 0 on the host$/,
  ],
  [
    "root on vsock too",
    { ...TCP, listen: [parseAddress("vsock://any")] },
    ROOT,
    undefined,
    "mapped-xattr",
    /vsock:\/\/any:5640/,
  ],
  [
    "root on an abstract socket too",
    { ...TCP, listen: [parseAddress("unix://@a")] },
    ROOT,
    undefined,
    "mapped-xattr",
    /unix:\/\/@a can/,
  ],
  [
    "root on an inherited socket of unknown kind too",
    { ...TCP, listen: [parseAddress("fd://3")] },
    ROOT,
    undefined,
    "mapped-xattr",
    /fd:\/\/3/,
  ],
  [
    "root on an inherited private socket file does not",
    { ...TCP, listen: [parseAddress("fd://4")] },
    ROOT,
    undefined,
    "mapped-xattr",
    undefined,
  ],
  [
    "root on a socket file of a group too",
    { ...UNIX, socketGroup: "kvm" },
    ROOT,
    undefined,
    "mapped-xattr",
    /unix:\/\/\/run\/a\.sock/,
  ],
  [
    "root on a socket file for all too",
    { ...UNIX, socketMode: 0o666 },
    ROOT,
    undefined,
    "mapped-xattr",
    /unix/,
  ],
  ["root on a private socket file does not", UNIX, ROOT, undefined, "mapped-xattr", undefined],
  [
    "root on a private socket file and TCP does",
    { ...UNIX, listen: [...UNIX.listen ?? [], parseAddress("tcp://[::1]")] },
    ROOT,
    undefined,
    "mapped-xattr",
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
    { who: "all", uid: 1000, gid: 1001 },
    "none",
    undefined,
  ],
  [
    "--squash-uid of nobody known brings the same number",
    { ...TCP, squashUid: 7 },
    ROOT,
    { who: "all", uid: 7, gid: 7 },
    "none",
    undefined,
  ],
  [
    "--squash-gid wins",
    { ...TCP, squashUid: 7, squashGid: 8 },
    ROOT,
    { who: "all", uid: 7, gid: 8 },
    "none",
    undefined,
  ],
  [
    "--squash-uid allows a model",
    { ...TCP, squashUid: 7, securityModel: "none" },
    ROOT,
    { who: "all", uid: 7, gid: 7 },
    "none",
    undefined,
  ],
  [
    "the squash of an export wins over that of the server",
    { export: [{ name: "a", path: "/a", squashUid: 1000 }], squashUid: 7, squashGid: 8 },
    ROOT,
    { who: "all", uid: 1000, gid: 1001 },
    "none",
    undefined,
  ],
  [
    "--trust-clients turns nobody into anybody",
    { ...TCP, trustClients: true },
    ROOT,
    undefined,
    "mapped-xattr",
    /^clients are believed who they say they are: anyone who reaches tcp:/,
  ],
  [
    "--trust-clients on a private socket needs no word",
    { ...UNIX, trustClients: true },
    ROOT,
    undefined,
    "mapped-xattr",
    undefined,
  ],
  [
    "another user needs no squash",
    TCP,
    ALICE,
    undefined,
    "mapped-xattr",
    /^every client acts as user 1000 \(alice\), the user of the server$/,
  ],
  [
    "another user may show all files as somebody's",
    { ...TCP, squashUid: 0, squashGid: 0 },
    ALICE,
    { who: "all", uid: 0, gid: 0 },
    "none",
    /user of the server/,
  ],
  [
    "root alone may be squashed, into nobody",
    { ...TCP, squash: "root" },
    ROOT,
    { who: "root", uid: 65_534, gid: 65_534 },
    "mapped-xattr",
    undefined,
  ],
  [
    "--squash all without a user means the owner of the folder",
    { ...TCP, squash: "all" },
    ROOT,
    { who: "all", uid: 1000, gid: 100 },
    "none",
    undefined,
  ],
  [
    "everybody may be one user of the host",
    { ...TCP, squashUid: 1000, securityModel: "passthrough" },
    ROOT,
    { who: "all", uid: 1000, gid: 1001 },
    "passthrough",
    undefined,
  ],
  [
    "--squash none of an export wins over the squash of the server",
    { export: [{ name: "a", path: "/a", squash: "none" }], squash: "all", squashUid: 7 },
    ALICE,
    undefined,
    "mapped-xattr",
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

/** Listens on all that lists are about. */
const EVERYWHERE: Settings = {
  export: EXPORT,
  listen: ["tcp://[::]", "unix:///run/a.sock", "vsock://any"].map(parseAddress),
};

Deno.test("planServe() turns names on lists into numbers", () => {
  const said: Settings = {
    ...EVERYWHERE,
    export: [{ name: "a", path: "/a", allowUid: ["alice"] }, {
      name: "b",
      path: "/b",
    }],
    allow: ["192.0.2.0/24", "fe80::%eth0/64", "fe80::1%7"],
    allowGid: ["kvm", 5],
    allowCid: [3],
    socketMode: 0o666,
  };
  const { configuration } = planServe(said, ALICE);
  assert.deepEqual(configuration.access, {
    networks: ["192.0.2.0/24", "fe80::%2/64", "fe80::1%7"],
    gids: [104, 5],
    cids: [3],
  });
  assert.deepEqual(configuration.exports.map(({ access }) => access), [
    { uids: [1000] },
    undefined,
  ]);
});

Deno.test("planServe() lets in whom some export lets in, where every export has a list", () => {
  const said: Settings = {
    ...EVERYWHERE,
    export: [
      { name: "a", path: "/a", allow: ["192.0.2.0/24"], allowUid: [1], allowCid: [3] },
      { name: "b", path: "/b", allow: ["::1", "192.0.2.0/24"], allowGid: [2] },
    ],
    socketMode: 0o666,
  };
  // CIDs are on one list only: to the other export everybody may come.
  const access = { networks: ["192.0.2.0/24", "::1"], uids: [1], gids: [2] };
  assert.deepEqual(planServe(said, ALICE).configuration.access, access);
  const own = { ...said, allow: ["192.0.0.0/8", "::/0"] };
  assert.deepEqual(planServe(own, ALICE).configuration.access, { ...access, networks: own.allow });
});

Deno.test("planServe() says from where root's clients come", () => {
  const said = { ...EVERYWHERE, allow: ["192.0.2.0/24"], allowUid: ["alice"], allowCid: [3] };
  const { configuration, notes } = planServe({ ...said, socketMode: 0o666 }, ROOT);
  assert.equal(configuration.exports[0]?.squash, undefined);
  assert.equal(notes.length, 1);
  assert.match(
    notes[0] ?? "",
    /^anyone who reaches tcp:\/\/\[::\]:5640 from 192\.0\.2\.0\/24 or unix:\/\/\/run\/a\.sock as user 1000 or vsock:\/\/any:5640 from CID 3 can read/,
  );
  const trusting = planServe({ ...TCP, allow: ["::1"], trustClients: true }, ROOT);
  assert.match(trusting.notes[0] ?? "", /anyone who reaches tcp:\S+ from ::1 can act as root/);
  const one: Settings = { export: [{ name: "a", path: "/a", allow: ["::1"] }], allow: ["::/0"] };
  assert.match(planServe(one, ROOT).notes[0] ?? "", /reaches tcp:\S+ from ::1 can read/);
  const many = { ...TCP, allow: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "::1", "::2"] };
  assert.match(
    planServe(many, ROOT).notes[0] ?? "",
    /from 10\.0\.0\.1, .*10\.0\.0\.4 and 2 more can/,
  );
});

Deno.test("planServe() obeys clients on an open unix socket that lets in root alone", () => {
  const open: Settings = { ...UNIX, socketMode: 0o666 };
  const obeyed = { ...open, securityModel: "passthrough" } as const;
  assert.deepEqual(planServe({ ...obeyed, allowUid: [0] }, ROOT).notes, []);
  for (const list of [{ allowUid: [0, 1] }, { allowUid: [0], allowGid: [0] }, { allowGid: [0] }]) {
    assert.throws(() => planServe({ ...obeyed, ...list }, ROOT), /^UsageError: Refused to export/);
  }
  const one: Settings = { ...obeyed, export: [{ name: "a", path: "/a", allowUid: [0] }] };
  assert.deepEqual(planServe(one, ROOT).notes, []);
});

Deno.test("planServe() tells of a socket whose mode keeps out who is on the list", () => {
  const { notes } = planServe({ ...UNIX, allowUid: [0, 1001] }, ALICE);
  assert.deepEqual(notes.slice(1), [
    "the mode of unix:///run/a.sock keeps out users that the lists let in: --socket-mode 0666 or " +
    "--socket-group open it",
  ]);
  assert.equal(planServe({ ...UNIX, allowUid: [1000, 0] }, ALICE).notes.length, 1);
});

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
    "a file system without attributes",
    { export: [{ name: "a", path: "/plain" }] },
    ALICE,
    "Error",
    /^Cannot export \/plain with --security-model mapped: .*; --security-model mapped-file .*, none/,
  ],
  [
    "modes of a model that takes those of clients",
    { ...TCP, securityModel: "none", fmode: 0o640 },
    ALICE,
    "UsageError",
    /^--fmode is for the mapped models, and \/srv has --security-model none$/,
  ],
  [
    "modes of such an export",
    { export: [{ name: "a", path: "/a", securityModel: "none", dmode: 0o750 }] },
    ALICE,
    "UsageError",
    /^--dmode is for the mapped models, and \/a has --security-model none$/,
  ],
  [
    "ranges where there is one user",
    { ...TCP, squash: "all", uidMap: [{ client: 0, host: 1, count: 1 }] },
    ALICE,
    "UsageError",
    /^--uid-map contradicts --squash all for \/srv/,
  ],
  [
    "a squash that is none",
    { ...TCP, squash: "none", squashUid: 1 },
    ALICE,
    "UsageError",
    /^--squash none contradicts --squash-uid/,
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
    "a list of networks without TCP",
    { ...UNIX, allow: ["::1"] },
    ROOT,
    "UsageError",
    /^--allow is for TCP: add --listen tcp:\/\/HOST:PORT$/,
  ],
  [
    "a list of users without a unix socket, of one export",
    { export: [{ name: "a", path: "/a", allowUid: [1] }] },
    ROOT,
    "UsageError",
    /^--allow-uid is for unix sockets: add --listen unix:\/\/\/PATH$/,
  ],
  [
    "a list of CIDs without vsock",
    { ...TCP, allowCid: [3] },
    ROOT,
    "UsageError",
    /^--allow-cid is for vsock: add --listen vsock:\/\/any:PORT$/,
  ],
  [
    "lists that have nobody in common",
    {
      export: [{ name: "a", path: "/a", allow: ["192.0.2.0/24", "::1"] }],
      allow: ["198.51.100.0/24"],
    },
    ROOT,
    "UsageError",
    /^Nobody could reach \/a over TCP: --allow lets in 198\.51\.100\.0\/24, the export 192\.0\.2\.0\/24, ::1$/,
  ],
  [
    "a user that is none",
    { ...UNIX, allowUid: ["nope"] },
    ROOT,
    "Error",
    /^Cannot find user "nope": it is not in \/etc\/passwd; a number works too$/,
  ],
  [
    "an interface that is none",
    { ...TCP, allow: ["fe80::%wlan0/64"] },
    ROOT,
    "Error",
    /^Cannot find the interface "wlan0" of fe80::%wlan0\/64: this machine has none of that name$/,
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

/** Two devices, and what is said about them. */
function machines(said: Settings = {}): Settings {
  const listen = ["vhost-user:///run/a", "vhost-user+fd://4"].map(parseAddress);
  return { export: [{ name: "/srv/v tmp", path: "/srv/v tmp" }], listen, ...said };
}

Deno.test("planServe() makes devices of vhost-user sockets, and listens nowhere else", () => {
  const { configuration, notes } = planServe(machines(), ROOT);
  assert.deepEqual(configuration.listen, []);
  assert.deepEqual(configuration.devices, [
    { socket: { kind: "unix", path: "/run/a", mode: 0o600 }, tag: "v_tmp" },
    { socket: { kind: "fd", fd: 4 }, tag: "v_tmp" },
  ]);
  // A monitor that root alone can start is believed, as any client on such a socket.
  assert.equal(configuration.exports[0]?.securityModel, "mapped-xattr");
  assert.deepEqual(notes, []);
});

Deno.test("planServe() gives tags and exports to devices in order, sockets their mode and group", () => {
  const said = machines({
    export: [{ name: "a", path: "/a" }, { name: "b", path: "/b" }],
    listen: ["vhost-user:///run/a", "tcp://127.0.0.1:1", "vhost-user:///run/b"].map(parseAddress),
    tag: [{ tag: "one" }, { tag: "two", export: "b" }],
    socketGroup: "kvm",
    squashUid: 1000,
  });
  const { listen, devices } = planServe(said, ROOT).configuration;
  assert.deepEqual(listen, [{ kind: "tcp", host: "127.0.0.1", port: 1 }]);
  const file = { kind: "unix", mode: 0o660, gid: 104 };
  assert.deepEqual(devices, [
    { socket: { ...file, path: "/run/a" }, tag: "one" },
    { socket: { ...file, path: "/run/b" }, tag: "two", export: "b" },
  ]);
});

const madeTags: [path: string, tag: string][] = [
  ["/srv/share", "share"],
  ["/", "virtfs"],
  ["/srv/-x", "x"],
  ["/srv/été", "_t_"],
  [`/srv/${"x".repeat(40)}`, "x".repeat(31)],
];
for (const [path, tag] of madeTags) {
  Deno.test(`planServe() makes the tag ${tag} of ${path}`, () => {
    const said = machines({ export: [{ name: path, path }] });
    assert.equal(planServe(said, ROOT).configuration.devices[0]?.tag, tag);
  });
}

Deno.test("planServe() warns of devices that others than root may use", () => {
  const said = machines({ socketMode: 0o660 });
  const { notes } = planServe(said, ROOT);
  assert.match(notes[0] ?? "", /^anyone who reaches vhost-user:\/\/\/run\/a can read and change/);
});

Deno.test("planServe() needs no folder where devices have another server", () => {
  const to = { kind: "unix", path: "/run/other" } as const;
  const said: Settings = { listen: machines().listen ?? [], to, tag: [{ tag: "x" }] };
  const { configuration, notes } = planServe(said, ALICE);
  assert.deepEqual(configuration.exports, []);
  assert.deepEqual(configuration.devices.map(({ tag, to }) => ({ tag, to })), [
    { tag: "x", to },
    { tag: "virtfs", to },
  ]);
  assert.deepEqual(notes, []);
  // Nor does it matter then who reaches them.
  const open = { ...TCP, ...said, listen: [...said.listen ?? [], ...UNIX.listen ?? []] };
  const plan = planServe({ ...open, socketMode: 0o600 }, ROOT);
  assert.deepEqual(plan.notes, []);
});

const TO: Settings = { to: { kind: "tcp", host: "::1", port: 1 } };
const wrongDevices: [what: string, said: Settings, message: RegExp][] = [
  [
    "a tag without a device",
    { ...UNIX, tag: [{ tag: "x" }] },
    /^--tag x is one too many for 0 devices: add --listen vhost-user:\/\/\/PATH$/,
  ],
  [
    "a tag for a third of two devices",
    machines({ tag: [{ tag: "a" }, { tag: "b" }, { tag: "c" }] }),
    /^--tag c is one too many for 2 devices/,
  ],
  [
    "a tag of an export that is none",
    machines({ export: [{ name: "src", path: "/srv" }], tag: [{ tag: "x", export: "scr" }] }),
    /^--tag x=scr names no export; did you mean "src"\?$/,
  ],
  [
    "another server without a device",
    { ...UNIX, ...TO },
    /^--to is for devices: add --listen vhost-user:\/\/\/PATH$/,
  ],
  [
    "another server and an export of a device",
    machines({ ...TO, tag: [{ tag: "x", export: "/srv/v tmp" }] }),
    /^--tag x=\/srv\/v tmp contradicts --to: the other server says what there is$/,
  ],
  [
    "another server and a folder that nobody reaches",
    machines(TO),
    /^Nobody could reach \/srv\/v tmp: with --to, devices show what the other server has/,
  ],
  [
    "another server for devices and nothing for the rest",
    { ...TO, listen: [...machines().listen ?? [], ...UNIX.listen ?? []] },
    /^Nothing to serve/,
  ],
  ["devices without a folder", { listen: machines().listen ?? [] }, /^Nothing to serve/],
  [
    "a device twice",
    machines({ listen: ["vhost-user:///run/a", "vhost-user:///run/a"].map(parseAddress) }),
    /^--listen vhost-user:\/\/\/run\/a is given twice$/,
  ],
];
for (const [what, said, message] of wrongDevices) {
  Deno.test(`planServe() refuses ${what}`, () => {
    assert.throws(() => planServe(said, ROOT), { name: "UsageError", message });
  });
}

Deno.test("planServe() refuses to take the export of a running device away", () => {
  const { configuration } = planServe(
    machines({ tag: [{ tag: "x", export: "/srv/v tmp" }] }),
    ROOT,
  );
  assert.throws(() => planServe(machines({ export: EXPORT }), ROOT, configuration), {
    message: "--tag x=/srv/v tmp names no export",
  });
});

Deno.test("planServe() keeps the sockets of a running server, and judges by them", () => {
  const listening: ListenAddress[] = [{ kind: "tcp", host: "127.0.0.1", port: 1 }];
  const { configuration, notes } = planServe(UNIX, ROOT, { listen: listening, devices: [] });
  assert.deepEqual(configuration.listen, listening);
  assert.match(notes[0] ?? "", /^anyone who reaches tcp:/);
});
