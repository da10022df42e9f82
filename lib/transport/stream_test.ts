import assert from "node:assert/strict";
import { MemoryTree } from "../fs/mod.ts";
import { Client } from "../client/mod.ts";
import { Server } from "../server/mod.ts";
import { close, SOCK_CLOEXEC, SOCK_STREAM, socketpair } from "../linux/mod.ts";
import { dial } from "./dial.ts";
import { acceptFrom, listen } from "./listen.ts";
import { Reactor } from "./reactor.ts";
import { StreamTransport } from "./stream.ts";
console.log(Object.keys({ close, SOCK_CLOEXEC, SOCK_STREAM, socketpair }).length);
Deno.test("smoke", async () => {
  const reactor = new Reactor();
  const tree = MemoryTree.seeded({ seed: 1 } as any);
  const server = new Server({
    exports: [{ name: "m", tree, readOnly: false }],
    report: (e, w) => console.log(w, e),
  });
  const transport = new StreamTransport(reactor, { accept: server.accept, maxMessage: 1 << 20 });
  reactor.use({ needsEventLoop: true, hasPromises: false });
  const l = await listen({ kind: "unix", path: "/tmp/x/s.sock" });
  reactor.watch(l.fd, 1, () => {
    const fd = acceptFrom(l);
    if (fd >= 0) transport.adopt(fd, { address: "x" });
  });
  const run = reactor.run();
  const c = await Client.connect(await dial(l.address), { msize: 65536 });
  const root = await c.attach({ uname: "u", aname: "", n_uname: 0 } as any);
  console.log(await root.getattr());
  const d = new Uint8Array(300000).map((_, i) => i * 7);
  const f = await (await root.walk([])).create("hello", { flags: 2, mode: 0o644 } as any);
  console.log(await f.write(d, 0n));
  const back = await f.readAll(0n);
  assert.deepEqual(back, d);
  for await (const e of (await (await root.walk([])).open(0)).readdir()) console.log(e.name);
  await c[Symbol.asyncDispose]?.();
  reactor.stop();
  await run;
  transport.close();
  l[Symbol.dispose]();
  reactor[Symbol.dispose]();
});
