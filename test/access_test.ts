// Who is let in by `serve`, with clients that are somebody else.
import assert from "node:assert/strict";
import { loadLibc } from "../lib/linux/mod.ts";
import { knock } from "./stranger.ts";
import { Folder, Virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const EACCES = 13;

/** Starts a server and waits until it says where it is. */
async function serve(
  ...words: string[]
): Promise<{ server: Virtfs; addresses: string[]; metrics: () => Promise<string> }> {
  const server = new Virtfs(["serve", "--json", "--metrics=tcp://127.0.0.1:0", ...words]);
  try {
    const { addresses, metrics } = JSON.parse((await server.said(/^\{.*\}\n/))[0]);
    return { server, addresses, metrics: async () => await (await fetch(metrics)).text() };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** Lines of the log that tell of refusals. */
function refusals({ stderr }: Virtfs): string[] {
  return stderr.split("\n").filter((line) => line.includes("refused"));
}

Deno.test("virtfs serve --allow takes TCP connections from its networks only", async () => {
  using folder = new Folder();
  const { server, addresses, metrics } = await serve(
    folder.export,
    "--squash-uid=0",
    "--listen=tcp://127.0.0.1:0",
    "--listen=tcp://[::]:0",
    `--listen=unix://${folder.socket}`,
    "--allow=127.0.0.1,127.0.1.0/24",
    "--allow=::1",
  );
  await using _server = server;
  const [v4 = "", v6 = "", unix = ""] = addresses;
  const [port] = /\d+$/.exec(v6) ?? [];
  const both = `tcp://127.0.0.1:${port}`;

  assert.deepEqual(await knock(v4, { from: "127.0.0.1" }, ""), ["Rattach"]);
  assert.deepEqual(await knock(v4, { from: "127.0.1.255" }, ""), ["Rattach"]);
  assert.deepEqual(await knock(`tcp://[::1]:${port}`, { from: "::1" }, ""), ["Rattach"]);
  assert.deepEqual(await knock(unix, {}, ""), ["Rattach"]);
  // IPv4 over a socket of IPv6 is still IPv4.
  assert.deepEqual(await knock(both, { from: "127.0.0.1" }, ""), ["Rattach"]);

  assert.equal(await knock(v4, { from: "127.0.0.2" }, ""), "closed");
  assert.equal(await knock(v4, { from: "127.0.0.2" }, ""), "closed");
  assert.equal(await knock(v4, { from: "127.0.2.0" }, ""), "closed");
  assert.equal(await knock(both, { from: "127.0.0.3" }, ""), "closed");

  await server.said(/127\.0\.0\.3\]/);
  const told = refusals(server);
  assert.equal(told.length, 3, server.stderr);
  assert.match(
    told[0] ?? "",
    /warn {2}refused a connection: no --allow has its address peer=tcp:\/\/127\.0\.0\.2:\d+$/,
  );
  assert.match(told[1] ?? "", /peer=tcp:\/\/127\.0\.2\.0:\d+ untold=1$/);
  assert.match(told[2] ?? "", /peer=tcp:\/\/\[::ffff:127\.0\.0\.3\]:\d+$/);
  const counted = await metrics();
  assert.match(counted, /^virtfs_connections_denied_total 4$/m);
  assert.match(counted, /^virtfs_connections_refused_total 0$/m);
  assert.match(counted, /^virtfs_connections_total 5$/m);
});

Deno.test("virtfs serve refuses to attach an export whose list does not have the client", async () => {
  using folder = new Folder();
  const { server, addresses: [address = ""], metrics } = await serve(
    "--squash-uid=0",
    "--listen=tcp://127.0.0.1:0",
    `--export=all=${folder.export}`,
    `--export=one=${folder.export},allow=127.0.0.2,allow=127.0.0.3`,
  );
  await using _server = server;
  const names = ["one", "all", "", "none"];
  const ENOENT = 2;
  assert.deepEqual(await knock(address, { from: "127.0.0.1" }, "one", ...names), [
    EACCES,
    EACCES,
    "Rattach",
    "Rattach",
    ENOENT,
  ]);
  const all = ["Rattach", "Rattach", "Rattach", ENOENT];
  assert.deepEqual(await knock(address, { from: "127.0.0.2" }, ...names), all);
  assert.deepEqual(await knock(address, { from: "127.0.0.3" }, ...names), all);
  await server.said(/refused export "one": no --allow has its address peer=tcp:\/\/127\.0\.0\.1:/);
  assert.equal(refusals(server).length, 1);
  const counted = await metrics();
  assert.match(counted, /^virtfs_attaches_denied_total 2$/m);
  assert.match(counted, /^virtfs_connections_denied_total 0$/m);
});

Deno.test("virtfs serve takes nobody whom no export would take", async () => {
  using folder = new Folder();
  const { server, addresses: [address = ""] } = await serve(
    "--squash-uid=0",
    "--listen=tcp://127.0.0.1:0",
    `--export=a=${folder.export},allow=127.0.0.2`,
    `--export=b=${folder.export},allow=127.0.0.3`,
  );
  await using _server = server;
  assert.deepEqual(await knock(address, { from: "127.0.0.3" }, "a", "b"), [EACCES, "Rattach"]);
  assert.equal(await knock(address, { from: "127.0.0.1" }, "a"), "closed");
});

Deno.test({
  name: "virtfs serve --allow-uid and --allow-gid take processes of these users and groups",
  // Only root can be somebody else.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    using folder = new Folder();
    const { server, addresses: [address = ""], metrics } = await serve(
      "--squash-uid=0",
      `--listen=unix://@virtfs-${crypto.randomUUID()}`,
      "--allow-uid=daemon,4001",
      "--allow-gid=5001",
      "--log-level=debug",
      `--export=all=${folder.export}`,
      `--export=one=${folder.export},allow-uid=4001`,
    );
    await using _server = server;
    const as = (uid: number, ...groups: number[]) =>
      knock(address, { as: { uid, groups } }, "all", "one");
    assert.deepEqual(await as(4001, 4001), ["Rattach", "Rattach"]);
    assert.deepEqual(await as(1, 1), ["Rattach", EACCES]);
    assert.deepEqual(await as(4002, 5001), ["Rattach", EACCES]);
    assert.deepEqual(await as(4002, 4002, 5000, 5001), ["Rattach", EACCES]);
    assert.equal(await as(4002, 4002, 5000), "closed");
    assert.equal(await as(4002, 4002, 5000), "closed");
    assert.equal(await knock(address, {}, "all"), "closed");
    await server.said(/debug a connection peer="unix:\/\/pid=\d+,uid=4001,gid=4001"$/m);
    await server.said(
      /refused a connection: no --allow-uid .* peer="unix:\/\/pid=\d+,uid=0,gid=0" /,
    );
    assert.match(await metrics(), /^virtfs_connections_denied_total 3$/m);
  },
});

Deno.test("virtfs serve takes new lists on SIGHUP, for connections and attaches to come", async () => {
  using folder = new Folder();
  const config = `${folder.path}/virtfs.toml`;
  const write = (allow: string, own: string) =>
    Deno.writeTextFileSync(
      config,
      `listen = "tcp://127.0.0.1:0"\nsquash-uid = 0\n${allow}\n` +
        `[[export]]\nname = "a"\npath = "export"\n${own}\n` +
        `[[export]]\nname = "b"\npath = "export"\n`,
    );
  write('allow = "127.0.0.2"', "");
  const { server, addresses: [address = ""] } = await serve("--config", config);
  await using _server = server;
  assert.equal(await knock(address, { from: "127.0.0.1" }, "a"), "closed");
  write('allow = ["127.0.0.0/8"]', 'allow = "127.0.0.2"');
  server.kill("SIGHUP");
  await server.said(/info {2}reloaded/);
  assert.deepEqual(await knock(address, { from: "127.0.0.1" }, "a", "b"), [EACCES, "Rattach"]);
  write('allow = "example.org"', "");
  server.kill("SIGHUP");
  await server.said(
    /Cannot reload: .*line 3: allow takes .* "example\.org" is a name, .*; everything/,
  );
  assert.deepEqual(await knock(address, { from: "127.0.0.2" }, "a", "b"), ["Rattach", "Rattach"]);
});
