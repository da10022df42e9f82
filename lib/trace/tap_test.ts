import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { loadLibc } from "../linux/mod.ts";
import { dial } from "../transport/mod.ts";
import { Notebook, serveTree, smallTree } from "../../test/observed.ts";
import { Collector } from "./collector.ts";
import { RecordWriter } from "./record_ring.ts";
import { observed } from "./tap.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

async function observedServer(payload: number) {
  const book = new Notebook();
  const collector = new Collector(book);
  const ring = collector.addRing(1 << 20);
  const writer = new RecordWriter({ ...ring, whenFull: "drop" });
  collector.start();
  const server = await serveTree(
    "unix",
    smallTree(),
    (accept) => observed(accept, { writer, payload }),
  );
  return {
    book,
    address: server.address,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      writer[Symbol.dispose]();
      await collector.stop();
    },
  };
}

for (const payload of [0, 5, 1 << 20]) {
  Deno.test(`observed() notes messages with ${payload} bytes of payload`, async () => {
    const fixture = await observedServer(payload);
    const written = new Uint8Array(30_000).fill(98);
    {
      await using client = await Client.connect(await dial(fixture.address));
      await using root = await client.attach({ n_uname: 0 });
      await using file = await root.walk("hello");
      await file.open(2);
      assert.equal((await file.readAll()).length, 13);
      await file.write(written, 0n);
      await assert.rejects(root.walk("missing"));
    }
    await fixture[Symbol.asyncDispose]();
    const { book } = fixture;
    const read = book.frames.find(({ bytes }) => bytes[4] === 117);
    assert.equal(read?.size, 24);
    assert.equal(read?.bytes.length, 11 + Math.min(13, payload));
    assert.equal(
      new TextDecoder().decode(read?.bytes.subarray(11)),
      "hello, world\n".slice(0, payload),
    );
    const write = book.frames.find(({ bytes }) => bytes[4] === 118);
    assert.equal(write?.size, 23 + 30_000);
    assert.equal(write?.bytes.length, 23 + Math.min(30_000, payload));
    assert(write?.bytes.subarray(23).every((byte) => byte === 98));
    const kinds = book.frames.map(({ bytes }) => bytes[4] ?? 0);
    assert.deepEqual(kinds.slice(0, 6), [100, 101, 104, 105, 110, 111]);
    assert(kinds.includes(7));
    assert.equal(kinds.filter((kind) => kind % 2 === 0).length, kinds.length / 2);
    assert.equal(book.opens[0]?.transport, "unix");
    assert.match(book.opens[0]?.client ?? "", /uid=\d+/);
    assert.equal(book.closes.length, 1);
    assert.equal(book.ends, 1);
  });
}
