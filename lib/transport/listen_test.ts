import assert from "node:assert/strict";
import {
  AF_UNIX,
  bind,
  close,
  getppid,
  listen as listenOn,
  loadLibc,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socket,
} from "../linux/mod.ts";
import { acceptFrom, formatSocketAddress, listen, peerOf } from "./listen.ts";

loadLibc();

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("listen() makes a socket file of its mode, and removes it", () =>
  inFolder(async (folder) => {
    const path = `${folder}/socket`;
    {
      using listener = await listen({ kind: "unix", path, mode: 0o620 });
      assert.equal(listener.address, `unix://${path}`);
      assert.equal((Deno.lstatSync(path).mode ?? 0) & 0o7777, 0o620);
    }
    assert.throws(() => Deno.lstatSync(path), Deno.errors.NotFound);
    using listener = await listen({ kind: "unix", path });
    assert.equal((Deno.lstatSync(path).mode ?? 0) & 0o7777, 0o600);
    // Somebody else's socket in its place is left alone.
    Deno.removeSync(path);
    using other = await listen({ kind: "unix", path });
    listener[Symbol.dispose]();
    assert.ok(Deno.lstatSync(path).isSocket);
    assert.ok(other.fd >= 0);
  }));

Deno.test("listen() replaces a socket that nobody listens on, and no other", () =>
  inFolder(async (folder) => {
    const path = `${folder}/socket`;
    const stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC);
    assert.equal(bind(stale, { family: "unix", path }), 0);
    listenOn(stale, 1);
    await assert.rejects(listen({ kind: "unix", path }), {
      message: `Cannot listen on unix://${path}: the address is in use`,
    });
    close(stale);
    using listener = await listen({ kind: "unix", path });
    assert.ok(listener.fd >= 0);
    const file = `${folder}/file`;
    Deno.writeTextFileSync(file, "precious");
    await assert.rejects(listen({ kind: "unix", path: file }), {
      message: `Cannot listen on unix://${file}: there is a file that is no socket`,
    });
    assert.equal(Deno.readTextFileSync(file), "precious");
  }));

Deno.test("listen() says what is the case", () =>
  inFolder(async (folder) => {
    await assert.rejects(listen({ kind: "unix", path: `${folder}/none/socket` }), {
      message: `Cannot listen on unix://${folder}/none/socket: no such folder`,
    });
    await assert.rejects(listen({ kind: "tcp", host: "no.such.host.invalid", port: 1 }), {
      message: 'Cannot listen on tcp://no.such.host.invalid:1: no such host "no.such.host.invalid"',
    });
    await assert.rejects(listen({ kind: "tcp", host: "192.0.2.1", port: 1 }), {
      message: "Cannot listen on tcp://192.0.2.1:1: this machine does not have the address",
    });
    await assert.rejects(listen({ kind: "fd", fd: 9999 }), {
      message: "Cannot use fd://9999: it is not an open socket",
    });
    using first = await listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
    const port = Number(first.address.split(":").at(-1));
    assert.ok(port > 0);
    await assert.rejects(
      listen({ kind: "tcp", host: "localhost", port }),
      /the address is in use$/,
    );
  }));

Deno.test("peerOf() tells who is at the other end", () =>
  inFolder(async (folder) => {
    using tcp = await listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
    using unix = await listen({ kind: "unix", path: `${folder}/socket` });
    using a = await Deno.connect({ port: Number(tcp.address.split(":").at(-1)) });
    using b = await Deno.connect({ transport: "unix", path: `${folder}/socket` });
    const fromTcp = acceptFrom(tcp);
    const fromUnix = acceptFrom(unix);
    assert.equal(peerOf(fromTcp).address, `tcp://127.0.0.1:${(a.localAddr as Deno.NetAddr).port}`);
    const { address, credentials } = peerOf(fromUnix);
    assert.equal(credentials?.uid, Deno.uid());
    assert.equal(credentials?.pid, Deno.pid);
    assert.equal(address, `unix://pid=${Deno.pid},uid=${Deno.uid()},gid=${Deno.gid()}`);
    assert.ok(b.localAddr.transport === "unix" && getppid() > 0);
    close(fromTcp);
    close(fromUnix);
  }));

Deno.test("formatSocketAddress() writes addresses as the command line has them", () => {
  const cases: [Parameters<typeof formatSocketAddress>[0], string][] = [
    [{ family: "inet", host: "127.0.0.1", port: 5640 }, "tcp://127.0.0.1:5640"],
    [{ family: "inet6", host: "::1", port: 5640 }, "tcp://[::1]:5640"],
    [{ family: "vsock", cid: 3, port: 5640 }, "vsock://3:5640"],
    [{ family: "vsock", cid: 0xffff_ffff, port: 5640 }, "vsock://any:5640"],
    [{ family: "unix", path: "/run/x" }, "unix:///run/x"],
    [{ family: "unix", abstract: "x" }, "unix://@x"],
  ];
  for (const [address, text] of cases) assert.equal(formatSocketAddress(address), text);
});
