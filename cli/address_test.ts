import assert from "node:assert/strict";
import { UsageError } from "../lib/serve/mod.ts";
import type { ServeAddress } from "../lib/serve/mod.ts";
import { formatAddress, parseAddress } from "./address.ts";

const good: [text: string, address: ServeAddress, formatted?: string][] = [
  ["tcp://127.0.0.1:5640", { kind: "tcp", host: "127.0.0.1", port: 5640 }],
  ["tcp://localhost", { kind: "tcp", host: "localhost", port: 5640 }, "tcp://localhost:5640"],
  ["tcp://0.0.0.0:0", { kind: "tcp", host: "0.0.0.0", port: 0 }],
  ["tcp://[::1]:65535", { kind: "tcp", host: "::1", port: 65535 }],
  ["tcp://[::]", { kind: "tcp", host: "::", port: 5640 }, "tcp://[::]:5640"],
  ["tcp://[fe80::1%eth0]:1", { kind: "tcp", host: "fe80::1%eth0", port: 1 }],
  ["tcp://files.example.org:1", { kind: "tcp", host: "files.example.org", port: 1 }],
  ["unix:///run/virtfs.sock", { kind: "unix", path: "/run/virtfs.sock" }],
  ["unix:///run/a b,c.sock", { kind: "unix", path: "/run/a b,c.sock" }],
  ["unix://@virtfs", { kind: "unix", path: "@virtfs" }],
  ["vsock://any:5640", { kind: "vsock", cid: 0xffff_ffff, port: 5640 }],
  ["vsock://2", { kind: "vsock", cid: 2, port: 5640 }, "vsock://2:5640"],
  ["vsock://3:4294967294", { kind: "vsock", cid: 3, port: 4294967294 }],
  ["fd://3", { kind: "fd", fd: 3 }],
  ["vhost-user:///run/v.sock", {
    kind: "vhost-user",
    socket: { kind: "unix", path: "/run/v.sock" },
  }],
  ["vhost-user+fd://3", { kind: "vhost-user", socket: { kind: "fd", fd: 3 } }],
];
for (const [text, address, formatted = text] of good) {
  Deno.test(`parseAddress() and formatAddress() of ${text}`, () => {
    assert.deepEqual(parseAddress(text), address);
    assert.equal(formatAddress(address), formatted);
  });
}

const wrong: [text: string, message: RegExp][] = [
  ["", /^"" is no address: write tcp:\/\/HOST:PORT, unix:/],
  ["5640", /write tcp:\/\/127\.0\.0\.1:5640$/],
  [":5640", /write tcp:\/\/127\.0\.0\.1:5640$/],
  ["localhost:5640", /write tcp:\/\/localhost:5640$/],
  ["[::1]:5640", /write tcp:\/\/\[::1\]:5640$/],
  ["/run/a.sock", /write unix:\/\/\/run\/a\.sock$/],
  ["unix:/run/a.sock", /write tcp:\/\/HOST:PORT, unix:/],
  ["TCP://localhost", /write tcp:\/\/HOST:PORT/],
  ["udp://localhost:1", /write tcp:\/\/HOST:PORT/],
  ["tcp://", /name the host/],
  ["tcp://:5640", /name the host/],
  ["tcp://*:5640", /tcp:\/\/0\.0\.0\.0:5640 for every address/],
  ["tcp://::1:5640", /write IPv6 in brackets/],
  ["tcp://[::g]:5640", /"::g" is no host name and no IP address/],
  ["tcp://[127.0.0.1]:1", /is no host name and no IP address/],
  ["tcp://[fe80::1%]:1", /is no host name and no IP address/],
  ["tcp://300.1.1.1:1", /"300\.1\.1\.1" is no host name and no IP address/],
  ["tcp://1.2.3:1", /is no host name/],
  ["tcp://a_b-.c:1", /is no host name/],
  ["tcp://host/:1", /is no host name/],
  ["tcp://host:65536", /ports are numbers from 0 to 65535, "65536" is none$/],
  ["tcp://host:", /ports are numbers from 0 to 65535, "" is none$/],
  ["tcp://host:http", /"http" is none$/],
  ["tcp://host:5640/", /"5640\/" is none$/],
  ["unix://run/a.sock", /write an absolute path/],
  ["unix://", /write an absolute path/],
  ["unix://@", /it names no file$/],
  ["unix:///", /it names no file$/],
  ["unix:///a\0b", /it names no file$/],
  [`unix:///${"é".repeat(54)}`, /its path has 109 bytes, sockets take 107$/],
  ["vsock://", /write vsock:\/\/any:PORT/],
  ["vsock://host:1", /write vsock:\/\/any:PORT/],
  ["vsock://4294967296:1", /write vsock:\/\/any:PORT/],
  ["vsock://2:x", /ports are numbers/],
  ["fd://", /write fd:\/\/NUMBER/],
  ["fd://-1", /write fd:\/\/NUMBER/],
  ["fd://3.5", /write fd:\/\/NUMBER/],
  ["vhost-user://run/v.sock", /write an absolute path, such as vhost-user:\/\/\/run/],
  ["vhost-user://@name", /write an absolute path/],
  ["vhost-user:///run/", /it names no file$/],
  ["vhost-user+fd://x", /write vhost-user\+fd:\/\/NUMBER, such as vhost-user\+fd:\/\/3$/],
  ["vhostuser:///run/v.sock", /vhost-user:\/\/\/PATH or vhost-user\+fd:\/\/NUMBER$/],
];
for (const [text, message] of wrong) {
  Deno.test(`parseAddress() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseAddress(text), (error) => {
      assert(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("parseAddress() shows little of a text without end", () => {
  assert.throws(() => parseAddress("x".repeat(100_000)), (error) => {
    assert(error instanceof UsageError && error.message.length < 300);
    return true;
  });
});
