import assert from "node:assert/strict";
import { ARPHRD_LOOPBACK, PACKET_OUTGOING, PacketSocket } from "./packet.ts";
import { test } from "./testing.ts";
import { geteuid } from "./process.ts";
import { LinuxError } from "./libc.ts";

const LOOPBACK = 1;

/** Sends bytes over a connection of its own through the loopback interface; the port it went to. */
async function send(listener: Deno.Listener, bytes: Uint8Array): Promise<number> {
  const { port } = listener.addr as Deno.NetAddr;
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  using server = await listener.accept();
  await client.write(bytes);
  await server.read(new Uint8Array(bytes.length));
  return port;
}

/** Packets with a payload that holds one of the texts, by the text. */
async function take(packets: PacketSocket, texts: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (let attempt = 0; attempt < 50 && found.length === 0; attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    packets.drain({
      packet(seconds, nanoseconds, bytes, start, end, length, hardware, type) {
        assert.ok(Math.abs(seconds - Date.now() / 1000) < 60, `${seconds}`);
        assert.ok(nanoseconds < 1e9);
        assert.equal(end - start, length);
        assert.equal(hardware, ARPHRD_LOOPBACK);
        if (type === PACKET_OUTGOING) return;
        const text = new TextDecoder("latin1").decode(bytes.slice(start, end));
        found.push(...texts.filter((each) => text.includes(each)));
      },
    });
  }
  return found;
}

if (geteuid() === 0) {
  test("PacketSocket hands over the packets of the ports that are asked for", async () => {
    using wanted = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = wanted.addr as Deno.NetAddr;
    using packets = new PacketSocket(LOOPBACK, { ports: [port], blockBytes: 1 << 17, blocks: 4 });
    await send(other, new TextEncoder().encode("somebody else's"));
    await send(wanted, new TextEncoder().encode("what is wanted"));
    const found = await take(packets, ["somebody else's", "what is wanted"]);
    assert.deepEqual(found, ["what is wanted"]);
    const { packets: seen, drops } = packets.counts();
    assert.ok(seen >= 4, `${seen} packets`);
    assert.equal(drops, 0);
  });

  test("PacketSocket says that there is no such interface", () => {
    assert.throws(() => new PacketSocket(0x7fff_fff0), LinuxError);
  });
}
