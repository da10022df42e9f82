import assert from "node:assert/strict";
import type { Peer } from "../transport/mod.ts";
import { Access } from "./access.ts";
import { Refusals } from "./refusals.ts";
import type { AccessRules, LogEvent } from "./types.ts";

function tcp(host: string, scope?: number): Peer {
  if (!host.includes(":")) return { address: "", socket: { family: "inet", host, port: 1 } };
  const zone = scope === undefined ? {} : { scope };
  return { address: `tcp://[${host}]:1`, socket: { family: "inet6", host, port: 1, ...zone } };
}

function unix(uid: number, gid = 100, groups?: number[]): Peer {
  return {
    address: `unix://uid=${uid}`,
    socket: { family: "unix", unnamed: true },
    credentials: { pid: 1, uid, gid, ...(groups === undefined ? {} : { groups }) },
  };
}

const VSOCK: Peer = { address: "vsock://3:1", socket: { family: "vsock", cid: 3, port: 1 } };
const UNKNOWN: Peer = { address: "unknown", socket: null };
const DEVICE: Peer = { address: "virtio://share" };

const table: [what: string, rules: AccessRules, admitted: Peer[], refused: Peer[]][] = [
  ["nothing", {}, [tcp("192.0.2.1"), tcp("::1"), unix(7), VSOCK, UNKNOWN, DEVICE], []],
  [
    "networks",
    { networks: ["192.0.2.0/24", "::1", "fe80::%2/64"] },
    [
      tcp("192.0.2.9"),
      tcp("::ffff:192.0.2.9"),
      tcp("::1", 0),
      tcp("fe80::5", 2),
      unix(7),
      VSOCK,
      DEVICE,
    ],
    [tcp("192.0.3.9"), tcp("::ffff:192.0.3.9"), tcp("::2"), tcp("fe80::5", 3), UNKNOWN],
  ],
  ["an empty list", { networks: [] }, [unix(7)], [tcp("192.0.2.1")]],
  ["users", { uids: [7, 8] }, [unix(7), tcp("::1"), VSOCK, DEVICE], [unix(9), unix(0), UNKNOWN]],
  ["groups", { gids: [50] }, [unix(7, 50), unix(7, 1, [2, 50])], [unix(50, 1, [2]), unix(7, 1)]],
  [
    "users or groups",
    { uids: [7], gids: [50] },
    [unix(7), unix(8, 50)],
    [unix(8, 51), { address: "unix://", socket: { family: "unix", unnamed: true } }],
  ],
  ["CIDs", { cids: [3] }, [VSOCK, tcp("::1"), unix(7)], [UNKNOWN]],
  ["other CIDs", { cids: [4] }, [tcp("::1")], [VSOCK]],
];
for (const [what, rules, admitted, refused] of table) {
  Deno.test(`Access lets in by ${what}`, () => {
    const access = new Access(rules);
    for (const peer of admitted) assert.equal(access.refusal(peer), undefined, peer.address);
    for (const peer of refused) assert.equal(typeof access.refusal(peer), "string", peer.address);
  });
}

Deno.test("Access takes networks only", () => {
  assert.throws(() => new Access({ networks: ["nas"] }), /^TypeError: "nas" is a name/);
});

Deno.test("Refusals tells of each peer once in a while, and of few at a time", () => {
  const told: LogEvent[] = [];
  let now = 0;
  const refusals = new Refusals((event) => told.push(event), () => now);
  const refuse = (host: string) => refusals.refused(tcp(host), "a connection", "why");
  for (let i = 0; i < 5; i++) refuse("2001:db8::1");
  assert.deepEqual(told, [{
    level: "warn",
    message: "refused a connection: why",
    fields: { peer: "tcp://[2001:db8::1]:1" },
  }]);
  // Another one, and the four of before are counted.
  refuse("2001:db8::2");
  assert.equal(told[1]?.fields?.untold, 4);
  // What else is refused to the same one is told.
  refusals.refused(tcp("2001:db8::2"), 'export "a"', "why");
  assert.equal(told.length, 3);
  for (let i = 0; i < 5000; i++) refuse(`2001:db8::1:${i.toString(16)}`);
  assert.equal(told.length, 10);
  now += 60_000;
  refuse("2001:db8::2");
  assert.equal(told.length, 10);
  refuse("2001:db8::3");
  assert.equal(told[10]?.fields?.untold, 5000 - 7 + 1);
  now += 10 * 60_000;
  refuse("2001:db8::1");
  assert.equal(told.length, 12);
});
