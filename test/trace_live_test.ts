// `virtfs trace` of what happens now, as a process: machines and devices, an interface, a terminal.
import assert from "node:assert/strict";
import { Client } from "../lib/client/mod.ts";
import { loadLibc } from "../lib/linux/mod.ts";
import { dialDevice } from "../lib/transport/mod.ts";
import { Folder, readOver, Virtfs, virtfs } from "./virtfs.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

/** Reads "hello" as the driver of a machine that is not there. */
async function readOverDevice(path: string): Promise<string> {
  const channel = await dialDevice(path, { msize: 65_536 });
  let text: string;
  {
    await using client = await Client.connect(channel, { msize: 65_536 });
    await using root = await client.attach({ n_uname: 0 });
    await using file = await root.walk("hello");
    await file.open();
    text = new TextDecoder().decode(await file.readAll());
  }
  await channel.closed;
  return text;
}

/** Ends a process as a user does, who expects it to end well. */
async function end(process: Virtfs): Promise<void> {
  process.kill("SIGINT");
  assert.equal((await process.ended).code, 0, process.stderr);
}

/** A server of the folder at its socket. */
async function served(folder: Folder): Promise<Virtfs> {
  const server = new Virtfs(["serve", folder.export, "--listen", `unix://${folder.socket}`]);
  try {
    await server.said(/Listening on unix:/);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

Deno.test("virtfs trace stands between a machine and a device that is traced itself", async () => {
  using folder = new Folder();
  const capture = `${folder.path}/device.pcapng`;
  const [device, front] = [`${folder.path}/device.sock`, `${folder.path}/front.sock`];
  await using server = new Virtfs(
    ["serve", folder.export, "--listen", `vhost-user://${device}`, "--tag", "share"].concat(
      ["--trace", capture],
    ),
  );
  await server.said(/vhost-user:/);
  await using proxy = new Virtfs(
    ["trace", "-v", "--listen", `vhost-user://${front}`, "--to", `vhost-user://${device}`],
  );
  await proxy.said(/listening on vhost-user:/);
  assert.equal(await readOverDevice(front), "hello, world\n");
  await end(proxy);
  assert.match(proxy.stdout, /^\+\+\+ c1 opened: virtio .*share/);
  assert.match(
    proxy.stdout,
    /^Tread\(.*\) = 13 "hello, world\\n" <\d\.\d{6}> \{ring: (?:waited=\d\.\d{6}, )?served=\d\.\d{6}, used=24\}$/m,
  );
  await end(server);
  const seen = await virtfs("trace", "-q", "-e", "trace=Tread", capture);
  assert.match(
    seen.stdout,
    /^Tread\(fid=\d+<\/hello>, offset=0, count=\d+\) = 13 "hello, world\\n"/,
  );
  assert.equal(seen.code, 0, seen.stderr);
});

Deno.test("virtfs trace marks what it has injected", async () => {
  using folder = new Folder();
  await using _server = await served(folder);
  const front = `unix://${folder.path}/front.sock`;
  await using proxy = new Virtfs(
    ["trace", "--listen", front, "--to", `unix://${folder.socket}`].concat(
      ["--inject", "Tread:error=EIO"],
    ),
  );
  await proxy.said(/listening on unix:/);
  await assert.rejects(readOver(front, "hello"), { code: 5 });
  await end(proxy);
  assert.match(proxy.stdout, /^Tread\(.* = -EIO \(Input\/output error\) \(INJECTED\) <\d/m);
  assert.match(proxy.stdout, /^Tlopen\([^\n]*\} <\d/m);
  assert(proxy.stdout.includes(folder.socket), proxy.stdout);
});

Deno.test({
  name: "virtfs trace --interface lo sees a client and a server",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    using folder = new Folder();
    await using server = new Virtfs(["serve", folder.export, "--listen", "tcp://127.0.0.1:0"]);
    const [, address = "", port = ""] = await server.said(/(tcp:\/\/127\.0\.0\.1:(\d+))/);
    await using trace = new Virtfs(["trace", "--interface", "lo", "--port", port]);
    await trace.said(/listening to lo/);
    assert.equal(await readOver(address, "hello"), "hello, world\n");
    await trace.said(/^\+\+\+ c1 closed/m);
    await end(trace);
    assert.match(trace.stdout, /^Tread\(fid=\d+<\/hello>.* = 13 "hello, world\\n" <\d/m);
  },
});

Deno.test("virtfs trace --top draws on a terminal, and leaves it as it was", async () => {
  using folder = new Folder();
  await using _server = await served(folder);
  const front = `unix://${folder.path}/front.sock`;
  const main = new URL("../cli/main.ts", import.meta.url).pathname;
  const words = ["run", "--no-check", "-A", main, "trace", "--top"];
  const line = [Deno.execPath(), ...words, "--listen", front, "--to", `unix://${folder.socket}`]
    .map((word) => `'${word}'`).join(" ");
  const child = new Deno.Command("script", {
    args: ["-qfec", `stty rows 24 cols 80; exec ${line}`, "/dev/null"],
    env: { TERM: "xterm" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const said = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      const { done, value } = await reader.read();
      assert(!done, `ended without ${pattern}:\n${text}`);
      text += value;
    }
  };
  await said(/listening on unix:/);
  assert.equal(await readOver(front, "hello"), "hello, world\n");
  // deno-lint-ignore no-control-regex -- what terminals are told begins with ESC
  await said(/\x1b\[[\s\S]*Tread/);
  // Control-C, as the terminal passes it on.
  await stdin.write(new Uint8Array([3]));
  while (!(await reader.read()).done);
  clearTimeout(timer);
  assert.equal((await child.status).code, 0);
  await stdin.close().catch(() => {});
});
