import assert from "node:assert/strict";
import { close, loadLibc } from "../linux/mod.ts";
import type { DialAddress } from "../transport/mod.ts";
import { RawStream } from "./raw_stream.ts";
import { dialSocket } from "./socket_dial.ts";

loadLibc();

const FRAME = Uint8Array.of(7, 0, 0, 0, 108, 1, 0);

/** Sends a frame to a server that sends back what it gets. */
async function echoed(listener: Deno.Listener, to: DialAddress): Promise<void> {
  const stream = new RawStream(await dialSocket(to));
  const conn = await listener.accept();
  await stream.send(FRAME);
  const answer = stream.receive(60_000);
  const bytes = new Uint8Array(100);
  const count = await conn.read(bytes);
  await conn.write(bytes.subarray(0, count ?? 0));
  assert.deepEqual(await answer, FRAME);
  const end = conn.read(bytes).then((count) => {
    conn.close();
    return count;
  });
  await stream.close();
  assert.equal(await end, null);
}

Deno.test("dialSocket() connects to TCP by address and by name, and to unix sockets", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/socket`;
  {
    using tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = tcp.addr as Deno.NetAddr;
    await echoed(tcp, { kind: "tcp", host: "127.0.0.1", port });
    await echoed(tcp, { kind: "tcp", host: "localhost", port });
    using unix = Deno.listen({ transport: "unix", path });
    await echoed(unix, { kind: "unix", path });
    using abstract = Deno.listen({ transport: "unix", path: `\0${path}` });
    await echoed(abstract, { kind: "unix", path: `@${path}` });
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("dialSocket() says that nobody takes the connection", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/socket`;
  await assert.rejects(dialSocket({ kind: "unix", path }), { name: "LinuxError" });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(
    dialSocket({ kind: "tcp", host: "127.0.0.1", port }),
    /refused|ECONNREFUSED/i,
  );
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("dialSocket() waits for a server that is slow to take connections", async () => {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/socket`;
  const listener = Deno.listen({ transport: "unix", path });
  // More than may wait to be taken, so that some find no room.
  const dialled = Array.from({ length: 600 }, () => dialSocket({ kind: "unix", path }));
  for (let i = 0; i < dialled.length; i++) (await listener.accept()).close();
  for (const fd of await Promise.all(dialled)) close(fd);
  listener.close();
  Deno.removeSync(folder, { recursive: true });
});
