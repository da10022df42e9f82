import assert from "node:assert/strict";
import { type ReadContext, SETTINGS, type Settings, ValueError } from "./settings.ts";

const CONTEXT: ReadContext = {
  messages: ["Tread", "Twrite"],
  address: (text) => ({ kind: "unix", path: text }),
};

const good: [name: keyof Settings, value: unknown, expected: unknown][] = [
  ["msize", "64k", 65_536],
  ["msize", "1M", 1_048_576],
  ["msize", "1MiB", 1_048_576],
  ["msize", "4096", 4096],
  ["msize", "16m", 16_777_216],
  ["msize", 8192, 8192],
  ["workers", "1", 1],
  ["squashUid", "0", 0],
  ["squash", "root", "root"],
  ["securityModel", "mapped", "mapped-xattr"],
  ["securityModel", "mapped-file", "mapped-file"],
  ["fmode", "0640", 0o640],
  ["dmode", 0o750, 0o750],
  ["uidMap", ["0:100000:1000", "1000:1000:1"], [
    { client: 0, host: 100_000, count: 1000 },
    { client: 1000, host: 1000, count: 1 },
  ]],
  ["export", ["a=b,uid-map=0:7:1,uid-map=1:9:2,squash=none"], [{
    name: "a",
    path: "b",
    uidMap: [{ client: 0, host: 7, count: 1 }, { client: 1, host: 9, count: 2 }],
    squash: "none",
  }]],
  ["squashUid", "4294967294", 4_294_967_294],
  ["socketMode", "660", 0o660],
  ["socketMode", "0600", 0o600],
  ["socketMode", 0o666, 0o666],
  ["socketGroup", "kvm", "kvm"],
  ["socketGroup", "104", 104],
  ["allow", ["192.0.2.0/24, ::1", "2001:DB8::/32"], ["192.0.2.0/24", "::1", "2001:db8::/32"]],
  ["allow", "::ffff:10.0.0.0/104", ["10.0.0.0/8"]],
  ["allow", ["fe80::%eth0/64"], ["fe80::%eth0/64"]],
  ["allowUid", ["alice,1000", "0"], ["alice", 1000, 0]],
  ["allowUid", ["alice", 1000], ["alice", 1000]],
  ["allowGid", 104, [104]],
  ["allowCid", ["3,4"], [3, 4]],
  ["export", ["a=/b,allow=10.0.0.0/8,allow=::1,allow-uid=alice,allow-cid=3,allow-uid=7"], [{
    name: "a",
    path: "/b",
    allow: ["10.0.0.0/8", "::1"],
    allowUid: ["alice", 7],
    allowCid: [3],
  }]],
  ["disable", ["Tread,Twrite", "Tread"], ["Tread", "Twrite"]],
  ["tag", ["share", "b=src", "c==d"], [
    { tag: "share" },
    { tag: "b", export: "src" },
    { tag: "c", export: "=d" },
  ]],
  ["tag", "é".repeat(127), [{ tag: "é".repeat(127) }]],
  ["to", "/run/a.sock", { kind: "unix", path: "/run/a.sock" }],
  ["export", ["a=/b"], [{ name: "a", path: "/b" }]],
  ["export", ["a=/b=c,ro"], [{ name: "a", path: "/b=c", readOnly: true }]],
  ["export", ["a=b,security-model=none,squash-uid=1,squash-gid=2,multidevs=forbid"], [
    {
      name: "a",
      path: "b",
      securityModel: "none",
      squashUid: 1,
      squashGid: 2,
      multidevs: "forbid",
    },
  ]],
];
for (const [name, value, expected] of good) {
  Deno.test(`SETTINGS.${name} reads ${JSON.stringify(value)}`, () => {
    assert.deepEqual(SETTINGS[name].read(value, CONTEXT), expected);
  });
}

const wrong: [name: keyof Settings, value: unknown, message: RegExp][] = [
  ["msize", "4095", /^takes 4096 to 16777216 bytes, such as 512k or 1M, not "4095"$/],
  ["msize", "17M", /not "17M"$/],
  ["msize", "1G", /not "1G"$/],
  ["msize", "-1", /not "-1"$/],
  ["msize", "", /not ""$/],
  ["msize", "1e6", /not "1e6"$/],
  ["workers", "0", /from 1 to 64, not "0"$/],
  ["workers", "two", /not "two"$/],
  ["fmode", "0440", /^takes three octal digits that include 0600, such as "0600", not "0440"$/],
  ["dmode", "1777", /^takes three octal digits that include 0700/],
  ["uidMap", ["0:1"], /^takes CLIENT:HOST:COUNT, three numbers, not "0:1"$/],
  ["uidMap", ["0:0:0"], /0:0:0 is no range of numbers below 4294967295$/],
  ["gidMap", ["0:9:2", "1:20:1"], /0:9:2 and 1:20:1 overlap in numbers of the client$/],
  ["gidMap", ["0:9:2", "5:10:1"], /0:9:2 and 5:10:1 overlap in numbers of the host$/],
  ["squashUid", "alice", /takes a user number from 0 to 4294967294, not "alice"$/],
  ["squashUid", "4294967295", /not "4294967295"$/],
  ["socketMode", "888", /takes three octal digits/],
  ["socketMode", "7777", /takes three octal digits/],
  ["socketGroup", "a b", /takes a group name or number/],
  ["allow", "nas", /^takes addresses and networks: "nas" is a name, .*: write its address$/],
  [
    "allow",
    "10.1.0.0/8",
    /^takes addresses and networks: "10\.1\.0\.0\/8" has bits behind its prefix/,
  ],
  ["allow", "10.0.0.1,", /^takes addresses and networks: "" is no address$/],
  ["allow", [], /^takes a list that is not empty$/],
  ["allow", [10], /^takes addresses and networks, not 10$/],
  ["allowUid", "a b", /^takes a user name or number, not "a b"$/],
  ["allowUid", ["4294967295"], /^takes a user name, or a user number from 0 to 4294967294, not/],
  ["allowGid", true, /^takes a group name or number, not true$/],
  ["allowCid", "any", /^takes a CID from 0 to 4294967294, not "any"$/],
  [
    "export",
    ["a=/b,allow=localhost"],
    /^allow takes addresses and networks: "localhost" is a name/,
  ],
  ["disable", ["Rread"], /not "Rread"; did you mean "Tread"\?$/],
  ["disable", [""], /not ""$/],
  ["tag", "", /^takes tags of 1 to 254 bytes .*, not ""$/],
  ["tag", "=src", /^takes tags of/],
  ["tag", "a b", /^takes tags of/],
  ["tag", "a,b", /^takes tags of/],
  ["tag", "-o", /^takes tags of/],
  ["tag", "é".repeat(128), /^takes tags of/],
  ["tag", "a=", /^needs a name that is not empty$/],
  ["export", ["/srv"], /^takes NAME=PATH\[,OPTION…\], not "\/srv"$/],
  ["export", ["=/srv"], /^needs a name that is not empty$/],
  ["export", ["a="], /^takes NAME=PATH/],
  [
    "export",
    ["a=/b,rw"],
    /^takes the options ro, security-model, .*, not "rw"; did you mean "ro"\?$/,
  ],
  ["export", ["a=/b,read-only"], /did you mean "ro"\?$/],
  ["export", ["a=/b, c"], /a path with a comma can stand in a configuration file/],
  ["export", ["a=/b,squash-uid"], /^needs a value: squash-uid=…/],
  ["export", ["a=/b,squash-uid=x"], /^squash-uid takes a user number/],
  ["export", ["a\n=/b"], /^takes names without commas and control characters/],
  ["metrics", "tcp://[::1]", /^takes tcp:\/\/HOST:PORT/],
];
for (const [name, value, message] of wrong) {
  Deno.test(`SETTINGS.${name} refuses ${JSON.stringify(value)}`, () => {
    assert.throws(() => SETTINGS[name].read(value, CONTEXT), (error) => {
      assert(error instanceof ValueError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("SETTINGS names each option as its key, with dashes", () => {
  for (const [key, setting] of Object.entries(SETTINGS)) {
    assert.equal(setting.name, key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
  }
});
