import assert from "node:assert/strict";
import { parseConfiguration } from "./config.ts";
import { type ReadContext, UsageError } from "./settings.ts";

const CONTEXT: ReadContext = {
  messages: ["Tversion", "Tread", "Treaddir", "Trename", "Trenameat"],
  address(text) {
    if (!text.startsWith("tcp://")) throw new UsageError(`"${text}" is none`);
    return { kind: "tcp", host: text.slice(6, text.lastIndexOf(":")), port: 5640 };
  },
};
const FILE = "/etc/virtfs.toml";

Deno.test("parseConfiguration() reads every key", () => {
  const text = `
listen = ["tcp://127.0.0.1:5640"]
tag = ["share", "doc=src"]
to = "tcp://192.0.2.1:5640"
read-only = false
security-model = "passthrough"
squash-uid = 1000
squash-gid = 100
trust-clients = false
multidevs = "warn"
socket-mode = "0660"
socket-group = "kvm"
msize = "1M"
workers = 2
max-connections = 10
max-fids = 20
max-inflight = 30
idle-timeout = 40
disable = ["Trename", "Trenameat"]
log-level = "debug"
log-format = "json"
metrics = "tcp://127.0.0.1:9100"

[[export]]
name = "src"
path = "/srv/src"
read-only = true
security-model = "none"
squash-uid = 1
squash-gid = 2
multidevs = "forbid"

[[export]]
path = "doc" # beside the file, and its own name
`;
  assert.deepEqual(parseConfiguration(text, FILE, CONTEXT), {
    listen: [{ kind: "tcp", host: "127.0.0.1", port: 5640 }],
    tag: [{ tag: "share" }, { tag: "doc", export: "src" }],
    to: { kind: "tcp", host: "192.0.2.1", port: 5640 },
    readOnly: false,
    securityModel: "passthrough",
    squashUid: 1000,
    squashGid: 100,
    trustClients: false,
    multidevs: "warn",
    socketMode: 0o660,
    socketGroup: "kvm",
    msize: 1_048_576,
    workers: 2,
    maxConnections: 10,
    maxFids: 20,
    maxInflight: 30,
    idleTimeout: 40,
    disable: ["Trename", "Trenameat"],
    logLevel: "debug",
    logFormat: "json",
    metrics: { kind: "tcp", host: "127.0.0.1", port: 5640 },
    export: [
      {
        name: "src",
        path: "/srv/src",
        readOnly: true,
        securityModel: "none",
        squashUid: 1,
        squashGid: 2,
        multidevs: "forbid",
      },
      { name: "/etc/doc", path: "/etc/doc" },
    ],
  });
});

Deno.test("parseConfiguration() reads an empty file", () => {
  assert.deepEqual(parseConfiguration("# nothing\n", FILE, CONTEXT), {});
});

const wrong: [what: string, text: string, message: RegExp][] = [
  [
    "a key with a slip",
    "\n\nmsise = 1",
    /^\/etc\/virtfs\.toml, line 3: there is no key "msise"; did you mean "msize"\?$/,
  ],
  [
    "a key like nothing",
    "banana = 1",
    /line 1: there is no key "banana"; the keys are listen, tag, to, export/,
  ],
  ["an unknown table", "workers = 1\n[limits]\nmsize = 1", /line 2: there is no key "limits"/],
  [
    "a key of the server in an export",
    '[[export]]\npath = "/a"\nmsize = 4096',
    /line 3: there is no key "msize"/,
  ],
  [
    "an export key in the second export",
    '[[export]]\npath = "/a"\n[[export]]\npath = "/b"\nreadonly = true',
    /line 5: there is no key "readonly"; did you mean "read-only"\?$/,
  ],
  [
    "the same key, right outside and wrong inside",
    'read-only = true\n[[export]]\npath = "/a"\nread-only = 1',
    /line 4: read-only takes true or false, not 1$/,
  ],
  ["a quoted key", '"msize" = 1', /line 1: msize takes 4096 to 16777216 bytes/],
  [
    "an export without a path",
    '[[export]]\npath = "/a"\n[[export]]\nname = "b"',
    /line 3: \[\[export\]\] needs a path$/,
  ],
  [
    "an export in single brackets",
    '[export]\npath = "/a"',
    /line 1: is a table: write \[\[export\]\]$/,
  ],
  ["exports as text", 'export = ["a=/b"]', /line 1: is a table: write \[\[export\]\]$/],
  [
    "an export name with a comma",
    '[[export]]\nname = "a,b"\npath = "/a"',
    /line 2: name takes names without commas/,
  ],
  [
    "an export path with a comma and no name",
    '[[export]]\npath = "/a,b"',
    /line 2: path takes names without commas/,
  ],
  [
    "an empty path",
    '[[export]]\npath = ""',
    /line 2: path takes a string that is not empty, not ""$/,
  ],
  ["a number as a switch", "read-only = 1", /line 1: read-only takes true or false, not 1$/],
  [
    "a word that is none",
    'multidevs = "remapp"',
    /line 1: multidevs takes remap, forbid or warn, not "remapp"; did you mean "remap"\?$/,
  ],
  [
    "a number that is too large",
    "workers = 65",
    /line 1: workers takes a number of threads from 1 to 64, not 65$/,
  ],
  [
    "a number beyond every other",
    "workers = 99999999999999999999",
    /line 1: workers takes .*, not 99999999999999999999$/,
  ],
  ["a fraction", "workers = 1.5", /line 1: workers takes .*, not 1\.5$/],
  [
    "a mode in decimal",
    "socket-mode = 660",
    /line 1: socket-mode takes .* octal digits .*, not 660$/,
  ],
  [
    "a message that is none",
    'disable = ["Trenamat"]',
    /line 1: disable takes T-messages .*; did you mean "Trenameat" or "Trename"\?$/,
  ],
  [
    "Tversion to disable",
    'disable = "Tversion"',
    /line 1: disable takes any T-message but Tversion/,
  ],
  [
    "an address that is none",
    'listen = "udp://a:1"',
    /line 1: listen takes an address: "udp:\/\/a:1" is none$/,
  ],
  [
    "metrics without a port",
    'metrics = "tcp://localhost"',
    /line 1: metrics takes tcp:\/\/HOST:PORT, not "tcp:\/\/localhost"$/,
  ],
  [
    "a server to pass on to that is none",
    'to = "/run/a.sock"',
    /line 1: to takes an address: "\/run\/a\.sock" is none$/,
  ],
  ["a list of numbers", "listen = [1]", /line 1: listen takes strings, not 1$/],
  ["a dotted key", "limits.msize = 1", /line 1: there is no key "limits"/],
  ["a prototype", "__proto__ = 1", /there is no key "__proto__"/],
  ["text that is no TOML", "msize = \nworkers = 2", /^\/etc\/virtfs\.toml, line 1, column \d+: /],
  ["a key given twice", "workers = 1\nworkers = 2", /^\/etc\/virtfs\.toml, line 2, column \d+: /],
];
for (const [what, text, message] of wrong) {
  Deno.test(`parseConfiguration() refuses ${what}`, () => {
    assert.throws(() => parseConfiguration(text, FILE, CONTEXT), (error) => {
      assert(error instanceof UsageError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}
