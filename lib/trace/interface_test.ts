import assert from "node:assert/strict";
import { geteuid, loadLibc } from "../linux/mod.ts";
import { captureInterface, type InterfaceSink } from "./interface.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

class Packets implements InterfaceSink {
  readonly links: number[] = [];
  readonly times: number[] = [];
  start = 0n;
  name = "";
  text = "";

  base(nanoseconds: bigint): void {
    this.start = nanoseconds;
  }

  interface(_id: number, name: string): void {
    this.name = name;
  }

  packet(
    linkType: number,
    time: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    wireEnd: number,
  ): void {
    assert.equal(end, wireEnd);
    this.links.push(linkType);
    this.times.push(time);
    this.text += new TextDecoder("latin1").decode(bytes.subarray(start, end));
  }
}

Deno.test("captureInterface() sees each packet of the loopback interface once", async () => {
  assert.equal(geteuid(), 0, "this test needs root");
  const packets = new Packets();
  const end = new AbortController();
  const ready = Promise.withResolvers<void>();
  const captured = captureInterface(packets, {
    name: "lo",
    signal: end.signal,
    ready: () => ready.resolve(),
  });
  await ready.promise;
  const word = `virtfs ${crypto.randomUUID()}`;
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  using client = await Deno.connect({ port: (listener.addr as Deno.NetAddr).port });
  using server = await listener.accept();
  await client.write(new TextEncoder().encode(word));
  await server.read(new Uint8Array(100));
  end.abort();
  const counts = await captured;
  assert.equal(packets.text.split(word).length, 2);
  assert.equal(packets.name, "lo");
  assert(counts.packets >= 1 && counts.drops === 0);
  assert(packets.links.every((type) => type === 1));
  const seen = Number(packets.start / 1_000_000n) + (packets.times.at(-1) ?? 0) / 1e6;
  assert(Math.abs(seen - Date.now()) < 60_000);
});

for (const hostname of ["127.0.0.1", "::1"]) {
  Deno.test(`captureInterface() lets the kernel keep the packets of a port of ${hostname} only`, async () => {
    assert.equal(geteuid(), 0, "this test needs root");
    using wanted = Deno.listen({ port: 0, hostname });
    using other = Deno.listen({ port: 0, hostname });
    const { port } = wanted.addr as Deno.NetAddr;
    const packets = new Packets();
    const end = new AbortController();
    const ready = Promise.withResolvers<void>();
    const captured = captureInterface(packets, {
      name: "lo",
      ports: [1, port],
      signal: end.signal,
      ready: () => ready.resolve(),
    });
    await ready.promise;
    const word = `virtfs ${crypto.randomUUID()}`;
    for (const [listener, text] of [[other, `other ${word}`], [wanted, `asked ${word}`]] as const) {
      const { port } = listener.addr as Deno.NetAddr;
      using client = await Deno.connect({ hostname, port });
      using server = await listener.accept();
      await client.write(new TextEncoder().encode(text));
      await server.read(new Uint8Array(100));
      await server.write(new TextEncoder().encode(`back ${text}`));
      await client.read(new Uint8Array(100));
    }
    end.abort();
    const counts = await captured;
    assert.ok(packets.text.includes(`back asked ${word}`));
    assert.equal(packets.text.split(word).length, 3);
    assert.ok(!packets.text.includes("other"));
    assert.equal(counts.drops, 0);
  });
}

Deno.test("captureInterface() says which interfaces there are", async () => {
  for (const name of ["nothing0", "../lo", ""]) {
    await assert.rejects(
      captureInterface(new Packets(), { name, signal: AbortSignal.abort() }),
      /there is no such interface; there are any,.* lo/,
    );
  }
});
