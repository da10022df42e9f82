import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { loadLibc } from "../linux/mod.ts";
import { dial, dialDevice, parseDialAddress } from "../transport/mod.ts";
import { Notebook, serveDevice, serveTree } from "../../test/observed.ts";
import { type ProxyOptions, type RunningProxy, startProxy } from "./proxy.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const ANYWHERE = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;

interface Fixture extends AsyncDisposable {
  readonly proxy: RunningProxy;
  readonly book: Notebook;
  readonly warnings: string[];
  readonly address: string;
}

async function proxyTo(to: string, options: Partial<ProxyOptions> = {}): Promise<Fixture> {
  const book = new Notebook();
  const warnings: string[] = [];
  const proxy = await startProxy({
    listen: [ANYWHERE],
    to: parseDialAddress(to),
    observer: book,
    warn: (message) => warnings.push(message),
    ...options,
  });
  const [address = ""] = proxy.addresses;
  return { proxy, book, warnings, address, [Symbol.asyncDispose]: () => proxy.stop() };
}

function addressOf({ hostname, port }: Deno.NetAddr): string {
  return `tcp://${hostname}:${port}`;
}

async function connectTo(address: string): Promise<Deno.TcpConn> {
  return await Deno.connect({ port: Number(address.split(":").pop()) });
}

async function readAll(conn: Deno.Conn): Promise<number> {
  let count = 0;
  for await (const chunk of conn.readable) count += chunk.length;
  return count;
}

for (const kind of ["tcp", "unix"] as const) {
  Deno.test(`startProxy() shows what is said to a server on ${kind}`, async () => {
    await using server = await serveTree(kind);
    await using fixture = await proxyTo(server.address);
    const { book } = fixture;
    {
      await using client = await Client.connect(await dial(fixture.address));
      await using root = await client.attach({ n_uname: 0 });
      await using file = await root.walk("large");
      await file.open();
      assert.equal((await file.readAll()).length, 200_000);
      await assert.rejects(root.walk("missing"));
    }
    await fixture.proxy.stop();
    const kinds = book.kinds(1);
    assert.deepEqual(kinds.slice(0, 8), [
      "Tversion",
      "Rversion",
      "Tattach",
      "Rattach",
      "Twalk",
      "Rwalk",
      "Tlopen",
      "Rlopen",
    ]);
    assert(kinds.includes("Rlerror"), String(kinds));
    const data = book.frames.map(({ message }) => message?.kind === "Rread" ? message.data : []);
    assert.equal(data.reduce((sum, { length }) => sum + length, 0), 200_000);
    for (let i = 1; i < book.frames.length; i++) {
      assert.ok((book.frames[i]?.time ?? 0) >= (book.frames[i - 1]?.time ?? 1));
    }
    const [opened] = book.opens;
    assert.equal(opened?.transport, kind);
    assert.equal(opened?.server, server.address.replace(/^\w+:\/\//, ""));
    assert.match(opened?.client ?? "", /^127\.0\.0\.1:\d+$/);
    assert.deepEqual(book.closes, book.opens);
    assert.equal(book.ends, 1);
    assert.deepEqual(book.gaps, []);
    assert(Math.abs(Number((book.clock?.base ?? 0n) / 1_000_000n) - Date.now()) < 60_000);
  });
}

Deno.test("startProxy() keeps of payloads what is asked for", async () => {
  await using server = await serveTree("unix");
  await using fixture = await proxyTo(server.address, { payload: 4 });
  {
    await using client = await Client.connect(await dial(fixture.address));
    await using root = await client.attach({ n_uname: 0 });
    await using file = await root.walk("hello");
    await file.open();
    await file.readAll();
  }
  await fixture.proxy.stop();
  const read = fixture.book.frames.find(({ bytes }) => bytes[4] === 117);
  assert.equal(read?.size, 11 + 13);
  assert.equal(new TextDecoder().decode(read?.bytes.slice(11)), "hell");
});

Deno.test("startProxy() serves many connections at once", async () => {
  await using server = await serveTree("tcp");
  await using fixture = await proxyTo(server.address, { maxConnections: 4 });
  await Promise.all(Array.from({ length: 12 }, async () => {
    await using client = await Client.connect(await dial(fixture.address));
    await using root = await client.attach({ n_uname: 0 });
    await using file = await root.walk("large");
    await file.open();
    assert.equal((await file.readAll()).length, 200_000);
  }));
  await fixture.proxy.stop();
  assert.equal(fixture.book.opens.length, 12);
  for (const { id } of fixture.book.opens) {
    assert.deepEqual(fixture.book.kinds(id).slice(0, 2), ["Tversion", "Rversion"]);
  }
});

Deno.test("startProxy() passes on what is no 9P, and each side's end by itself", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const served = (async () => {
    using conn = await listener.accept();
    // All is taken before anything is answered: the client's end must arrive alone.
    const count = await readToEnd(conn);
    for (let left = count; left > 0;) {
      left -= await conn.write(new Uint8Array(Math.min(left, 100_000)));
    }
  })();
  await using fixture = await proxyTo(addressOf(listener.addr as Deno.NetAddr));
  const client = await connectTo(fixture.address);
  const sent = 3_000_000;
  for (let left = sent; left > 0;) {
    left -= await client.write(new Uint8Array(Math.min(left, 70_001)));
  }
  await client.closeWrite();
  assert.equal(await readAll(client), sent);
  await served;
  await fixture.proxy.stop();
  const { book } = fixture;
  assert.deepEqual(book.frames, []);
  assert.deepEqual(book.gaps.map(({ direction, skipped, why }) => ({ direction, skipped, why })), [
    { direction: "request", skipped: sent, why: "no message" },
    { direction: "reply", skipped: sent, why: "no message" },
  ]);
});

/** Reads to the end, and leaves the connection open. */
async function readToEnd(conn: Deno.Conn): Promise<number> {
  const into = new Uint8Array(65_536);
  let count = 0;
  for (;;) {
    const n = await conn.read(into);
    if (n === null) return count;
    count += n;
  }
}

Deno.test("startProxy() delivers the last words of a server to a slow client", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const size = 6_000_000;
  const served = (async () => {
    const conn = await listener.accept();
    for (let left = size; left > 0;) {
      left -= await conn.write(new Uint8Array(Math.min(left, 100_000)));
    }
    conn.close();
  })();
  await using fixture = await proxyTo(addressOf(listener.addr as Deno.NetAddr));
  const client = await connectTo(fixture.address);
  // The proxy has far more than it gets rid of by now, and its server is gone soon.
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(await readAll(client), size);
  await served;
});

Deno.test("startProxy() hangs up where there is no server, and says so", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const to = addressOf(listener.addr as Deno.NetAddr);
  listener.close();
  await using fixture = await proxyTo(to);
  using client = await connectTo(fixture.address);
  assert.equal(await client.read(new Uint8Array(1)), null);
  await fixture.proxy.stop();
  assert.match(fixture.warnings.join(), /^Cannot reach tcp:\/\/127\.0\.0\.1:\d+: /);
  assert.deepEqual(fixture.book.closes.length, 1);
});

Deno.test("startProxy() counts the beginning of a message that never came", async () => {
  await using server = await serveTree("unix");
  await using fixture = await proxyTo(server.address);
  const client = await connectTo(fixture.address);
  await client.write(new Uint8Array([200, 0, 0]));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await client.write(new Uint8Array([0, 110, 1, 0, 9]));
  client.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await fixture.proxy.stop();
  assert.deepEqual(fixture.book.frames, []);
  assert.equal(fixture.book.gaps[0]?.skipped, 8);
});

Deno.test("startProxy() ends while connections are open", async () => {
  await using server = await serveTree("tcp");
  await using fixture = await proxyTo(server.address);
  const client = await Client.connect(await dial(fixture.address));
  await fixture.proxy.stop();
  await fixture.proxy.done;
  await assert.rejects(client.attach({ n_uname: 0 }));
  await client.close();
  assert.equal(fixture.book.closes.length, 1);
});

Deno.test("startProxy() lets things go wrong where it is told to", async () => {
  await using server = await serveTree("tcp");
  await using fixture = await proxyTo(server.address, {
    inject: ["Tread:error=EIO:when=2", "Tgetattr:error=EACCES"],
  });
  {
    await using client = await Client.connect(await dial(fixture.address));
    await using root = await client.attach({ n_uname: 0 });
    await assert.rejects(root.getattr(), { code: 13 });
    await using file = await root.walk("hello");
    await file.open();
    assert.equal((await file.read(0n, 100)).length, 13);
    await assert.rejects(file.read(0n, 100), { code: 5 });
    assert.equal((await file.read(0n, 100)).length, 13);
  }
  await fixture.proxy.stop();
  // What the client has heard is what is shown.
  const { book } = fixture;
  assert.equal(book.kinds(1).filter((kind) => kind === "Rlerror").length, 2);
  assert.deepEqual(
    book.frames.filter(({ isInjected }) => isInjected).map(({ message }) => message?.kind),
    ["Rlerror", "Rlerror"],
  );
  assert.equal(book.opens[0]?.server, server.address.replace(/^tcp:\/\//, ""));
});

Deno.test("startProxy() refuses rules that are none", async () => {
  await assert.rejects(
    startProxy({
      listen: [ANYWHERE],
      to: { kind: "unix", path: "/nowhere" },
      observer: {},
      inject: ["Tread:explode"],
    }),
    /^TypeError: Cannot inject "Tread:explode"/,
  );
});

Deno.test("startProxy() stands between a machine and a device", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using device = await serveDevice(`${folder}/device`);
    await using fixture = await proxyTo("unix:///unused", {
      listen: [{ kind: "vhost-user", path: `${folder}/proxy` }],
      to: { kind: "vhost-user", path: device.path },
    });
    assert.equal(fixture.address, `vhost-user://${folder}/proxy`);
    for (let round = 0; round < 2; round++) {
      const channel = await dialDevice(`${folder}/proxy`, { msize: 65_536 });
      assert.equal(channel.tag, "share");
      {
        await using client = await Client.connect(channel, { msize: 65_536 });
        await using root = await client.attach({ n_uname: 0 });
        await using file = await root.walk("large");
        await file.open(2);
        assert.equal((await file.readAll()).length, 200_000);
        await file.write(new Uint8Array(60_000).fill(round), 0n);
        await assert.rejects(root.walk("missing"), { code: 2 });
      }
      await channel.closed;
    }
    await fixture.proxy.stop();
    const { book } = fixture;
    const replies = book.frames.filter(({ direction }) => direction === "reply");
    assert.equal(replies.length * 2, book.frames.length);
    for (const { ring, size, time } of replies) {
      assert.equal(ring?.usedLength, size);
      assert.equal(ring?.used, time);
      assert((ring?.offered ?? 0) <= (ring?.taken ?? 0) && (ring?.taken ?? 0) <= time);
    }
    assert(replies.some(({ ring }) => ring?.offered !== undefined));
    assert.deepEqual(book.opens.map(({ transport, server }) => `${transport} ${server}`), [
      "virtio share",
      "virtio share",
    ]);
    assert.deepEqual(fixture.warnings, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("startProxy() offers a device in front of a socket", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using server = await serveTree("unix");
    await using _fixture = await proxyTo(server.address, {
      listen: [{ kind: "vhost-user", path: `${folder}/proxy` }],
      tag: "other",
    });
    const channel = await dialDevice(`${folder}/proxy`, { msize: 65_536 });
    assert.equal(channel.tag, "other");
    {
      await using client = await Client.connect(channel, { msize: 65_536 });
      await using root = await client.attach({ n_uname: 0 });
      await using file = await root.walk("hello");
      await file.open();
      assert.equal((await file.readAll()).length, 13);
    }
    await channel.closed;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("startProxy() refuses a device that is not there", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assert.rejects(
      startProxy({
        listen: [{ kind: "vhost-user", path: `${folder}/proxy` }],
        to: { kind: "vhost-user", path: `${folder}/nothing` },
        observer: {},
      }),
      /connect to/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
