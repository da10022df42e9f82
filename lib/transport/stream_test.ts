import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { HeldTree, MemoryTree } from "../fs/mod.ts";
import {
  check,
  close,
  loadLibc,
  MappedMemory,
  send,
  setsockopt,
  SO_SNDBUF,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socketpair,
  SOL_SOCKET,
} from "../linux/mod.ts";
import { encode, kindOf, NOFID, NOTAG, O_RDWR, type TMessage } from "../p9/mod.ts";
import { Server } from "../server/mod.ts";
import type { Exchange } from "./exchange.ts";
import { dial } from "./dial.ts";
import type { Tree } from "../fs/mod.ts";
import { acceptFrom, listen, peerOf } from "./listen.ts";
import { Reactor } from "./reactor.ts";
import { type StreamOptions, StreamTransport } from "./stream.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const MSIZE = 65_536;

interface Bench extends AsyncDisposable {
  readonly address: string;
  readonly transport: StreamTransport;
  readonly errors: unknown[];
}

function countFds(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Serves a tree on a unix socket, on this thread. */
async function serve(
  tree: Tree,
  options: Partial<StreamOptions> & { readonly maxInflight?: number } = {},
): Promise<Bench> {
  const errors: unknown[] = [];
  const folder = await Deno.makeTempDir();
  const reactor = new Reactor();
  const { maxInflight = 64, ...others } = options;
  const server = new Server({
    exports: [{ name: "", tree, readOnly: false }],
    limits: { msize: MSIZE, maxInflight },
    report: (error) => errors.push(error),
  });
  const transport = new StreamTransport(reactor, {
    accept: server.accept,
    maxMessage: MSIZE,
    ...others,
  });
  // The test runs on this thread too.
  reactor.use({ needsEventLoop: true, hasPromises: true });
  const listener = await listen({ kind: "unix", path: `${folder}/socket` });
  reactor.watch(listener.fd, 1, () => {
    const fd = acceptFrom(listener);
    if (fd >= 0) transport.adopt(fd, peerOf(fd));
  });
  const loop = reactor.run();
  return {
    address: listener.address,
    transport,
    errors,
    async [Symbol.asyncDispose]() {
      reactor.stop();
      await loop;
      reactor.unwatch(listener.fd);
      transport.close();
      listener[Symbol.dispose]();
      reactor[Symbol.dispose]();
      tree.close();
      await Deno.remove(folder);
      assert.deepEqual(errors, []);
      assert.equal(transport.buffers, 0);
    },
  };
}

/** A raw connection: bytes out, bytes in. */
async function connectRaw(address: string): Promise<Deno.UnixConn> {
  return await Deno.connect({ transport: "unix", path: address.slice("unix://".length) });
}

async function readFrame(conn: Deno.Conn): Promise<Uint8Array | null> {
  const head = await readExactly(conn, 4);
  if (head === null) return null;
  const size = new DataView(head.buffer).getUint32(0, true);
  const rest = await readExactly(conn, size - 4);
  if (rest === null) return null;
  const frame = new Uint8Array(size);
  frame.set(head);
  frame.set(rest, 4);
  return frame;
}

async function readExactly(
  conn: Deno.Conn,
  count: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count;) {
    const n = await conn.read(bytes.subarray(at));
    if (n === null) return null;
    at += n;
  }
  return bytes;
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

function frames(...messages: TMessage[]): Uint8Array<ArrayBuffer> {
  const parts = messages.map((message) => encode(message, "9P2000.L"));
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

const VERSION: TMessage = { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.L" };
const ATTACH: TMessage = {
  kind: "Tattach",
  tag: 1,
  fid: 0,
  afid: NOFID,
  uname: "",
  aname: "",
  n_uname: 0,
};

function getattr(tag: number): TMessage {
  return { kind: "Tgetattr", tag, fid: 0, request_mask: 0x7ffn };
}

function typeAndTag(frame: Uint8Array | null): string {
  assert.ok(frame !== null, "the connection ended");
  return `${kindOf(frame[4] ?? 0)} ${new DataView(frame.buffer).getUint16(5, true)}`;
}

Deno.test("StreamTransport carries files of many messages both ways, pipelined", async () => {
  await using bench = await serve(new MemoryTree());
  await using client = await Client.connect(await dial(bench.address), { msize: MSIZE });
  await using root = await client.attach();
  const data = new Uint8Array(3_000_001);
  for (let i = 0; i < data.length; i++) data[i] = i * 31 >> 3;
  await using folder = await root.walk();
  const file = await folder.create("big", { flags: O_RDWR });
  assert.equal(await file.write(data, 0n), data.length);
  assert.deepEqual(await file.readAll(), data);
  await assert.rejects(root.walk("missing"), { code: 2 });
});

Deno.test("StreamTransport takes frames cut at every byte, and many in one piece", async () => {
  await using bench = await serve(new MemoryTree());
  using conn = await connectRaw(bench.address);
  for (const byte of frames(VERSION, ATTACH)) await writeAll(conn, new Uint8Array([byte]));
  assert.equal(typeAndTag(await readFrame(conn)), `Rversion ${NOTAG}`);
  assert.equal(typeAndTag(await readFrame(conn)), "Rattach 1");
  await writeAll(conn, frames(...Array.from({ length: 2000 }, (_, i) => getattr(i))));
  for (let i = 0; i < 2000; i++) assert.equal(typeAndTag(await readFrame(conn)), `Rgetattr ${i}`);
});

for (const size of [0, 6, MSIZE + 1, 0xffff_ffff]) {
  Deno.test(`StreamTransport ends a connection whose frame has size ${size}`, async () => {
    await using bench = await serve(new MemoryTree());
    using conn = await connectRaw(bench.address);
    const bad = new Uint8Array(4);
    new DataView(bad.buffer).setUint32(0, size, true);
    await writeAll(conn, frames(VERSION, ATTACH));
    await writeAll(conn, bad);
    assert.equal(typeAndTag(await readFrame(conn)), `Rversion ${NOTAG}`);
    assert.equal(typeAndTag(await readFrame(conn)), "Rattach 1");
    assert.equal(await readFrame(conn), null);
    await using client = await Client.connect(await dial(bench.address));
    await using root = await client.attach();
    assert.equal((await root.getattr()).mode & 0o170000, 0o040000);
  });
}

Deno.test("StreamTransport stops reading from a peer that takes no replies", async () => {
  const tree = new MemoryTree();
  tree.addFile("data", new Uint8Array(60_000).fill(7));
  await using bench = await serve(tree);
  using conn = await connectRaw(bench.address);
  const walk: TMessage = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] };
  const open: TMessage = { kind: "Tlopen", tag: 1, fid: 1, flags: 0 };
  await writeAll(conn, frames(VERSION, ATTACH, walk, open));
  for (let i = 0; i < 4; i++) await readFrame(conn);
  const count = 200;
  const reads = Array.from(
    { length: count },
    (_, tag): TMessage => ({ kind: "Tread", tag, fid: 1, offset: 0n, count: 60_000 }),
  );
  await writeAll(conn, frames(...reads));
  // Others are served meanwhile, and what waits for the peer is a few buffers, not 200 replies.
  await using client = await Client.connect(await dial(bench.address));
  await using root = await client.attach();
  for (let i = 0; i < 20; i++) await root.getattr();
  assert.ok(bench.transport.buffers <= 6, `${bench.transport.buffers} buffers are in use`);
  for (let tag = 0; tag < count; tag++) {
    const frame = await readFrame(conn);
    assert.equal(typeAndTag(frame), `Rread ${tag}`);
    assert.equal(frame?.length, 60_011);
    assert.equal(frame?.at(-1), 7);
  }
});

Deno.test("StreamTransport keeps what a waiting request borrows, and answers out of order", async () => {
  const inner = new MemoryTree({ inOrder: false });
  inner.addFile("data", "hello world");
  const tree = new HeldTree(inner, { inOrder: false });
  await using bench = await serve(tree);
  using conn = await connectRaw(bench.address);
  const walk: TMessage = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] };
  const open: TMessage = { kind: "Tlopen", tag: 1, fid: 1, flags: 2 };
  await writeAll(conn, frames(VERSION, ATTACH, walk, open));
  for (let i = 0; i < 4; i++) await readFrame(conn);
  tree.hold("read");
  tree.hold("write");
  await writeAll(
    conn,
    frames(
      { kind: "Tread", tag: 10, fid: 1, offset: 6n, count: 5 },
      getattr(11),
      { kind: "Twrite", tag: 12, fid: 1, offset: 0n, data: new TextEncoder().encode("HELLO") },
      getattr(13),
    ),
  );
  assert.equal(typeAndTag(await readFrame(conn)), "Rgetattr 11");
  assert.equal(typeAndTag(await readFrame(conn)), "Rgetattr 13");
  // The buffers that the two borrow must not be used for what comes meanwhile.
  for (let round = 0; round < 50; round++) {
    await writeAll(conn, frames(getattr(14), getattr(15)));
    await readFrame(conn);
    await readFrame(conn);
  }
  tree.release("write");
  assert.equal(typeAndTag(await readFrame(conn)), "Rwrite 12");
  tree.release("read");
  const read = await readFrame(conn);
  assert.equal(typeAndTag(read), "Rread 10");
  assert.equal(new TextDecoder().decode(read?.subarray(11)), "world");
  await writeAll(conn, frames({ kind: "Tread", tag: 16, fid: 1, offset: 0n, count: 64 }));
  tree.release("read");
  assert.equal(new TextDecoder().decode((await readFrame(conn))?.subarray(11)), "HELLO world");
});

Deno.test("StreamTransport keeps what a request borrows that waited its turn first", async () => {
  const inner = new MemoryTree({ inOrder: true });
  inner.addFile("data", "hello world");
  const tree = new HeldTree(inner, { inOrder: true });
  await using bench = await serve(tree);
  using conn = await connectRaw(bench.address);
  const walk: TMessage = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["data"] };
  const open: TMessage = { kind: "Tlopen", tag: 1, fid: 1, flags: 0 };
  await writeAll(conn, frames(VERSION, ATTACH, walk, open));
  for (let i = 0; i < 4; i++) await readFrame(conn);
  tree.hold("read");
  const read = (tag: number, offset: bigint): TMessage => ({
    kind: "Tread",
    tag,
    fid: 1,
    offset,
    count: 5,
  });
  await writeAll(conn, frames(read(10, 0n), read(11, 6n)));
  while (tree.waiting("read") < 1) await new Promise((done) => setTimeout(done, 2));
  tree.releaseOne("read");
  assert.equal(new TextDecoder().decode((await readFrame(conn))?.subarray(11)), "hello");
  while (tree.waiting("read") < 1) await new Promise((done) => setTimeout(done, 2));
  // Somebody else's replies must not land where the second answer will be.
  await using client = await Client.connect(await dial(bench.address));
  await using root = await client.attach();
  for (let i = 0; i < 20; i++) await root.getattr();
  tree.releaseOne("read");
  const frame = await readFrame(conn);
  assert.equal(typeAndTag(frame), "Rread 11");
  assert.equal(new TextDecoder().decode(frame?.subarray(11)), "world");
});

Deno.test("StreamTransport forgets a peer that leaves while requests wait", async () => {
  const inner = new MemoryTree({ inOrder: false });
  const tree = new HeldTree(inner, { inOrder: false });
  const before = countFds();
  {
    await using bench = await serve(tree);
    const conn = await connectRaw(bench.address);
    await writeAll(conn, frames(VERSION, ATTACH));
    await readFrame(conn);
    await readFrame(conn);
    tree.hold("attributes");
    await writeAll(conn, frames(getattr(1), getattr(2)));
    while (tree.waiting("attributes") < 2) await new Promise((done) => setTimeout(done, 5));
    conn.close();
    while (bench.transport.connections > 0) await new Promise((done) => setTimeout(done, 5));
    tree.release("attributes");
    await new Promise((done) => setTimeout(done, 20));
    assert.deepEqual(tree.usage(), { nodes: 0, files: 0, locks: 0 });
  }
  assert.equal(countFds(), before);
});

Deno.test("StreamTransport ends connections that ask for nothing", async () => {
  await using bench = await serve(new MemoryTree(), { idleTimeoutMs: 150 });
  using conn = await connectRaw(bench.address);
  await writeAll(conn, frames(VERSION));
  assert.equal(typeAndTag(await readFrame(conn)), `Rversion ${NOTAG}`);
  assert.equal(await readFrame(conn), null);
});

Deno.test("StreamTransport.drain() answers what is under way, then ends", async () => {
  const inner = new MemoryTree({ inOrder: false });
  const tree = new HeldTree(inner, { inOrder: false });
  await using bench = await serve(tree);
  using conn = await connectRaw(bench.address);
  await writeAll(conn, frames(VERSION, ATTACH));
  await readFrame(conn);
  await readFrame(conn);
  tree.hold("attributes");
  await writeAll(conn, frames(getattr(1)));
  while (tree.waiting("attributes") < 1) await new Promise((done) => setTimeout(done, 5));
  const drained = bench.transport.drain();
  tree.release("attributes");
  assert.equal(typeAndTag(await readFrame(conn)), "Rgetattr 1");
  assert.equal(await readFrame(conn), null);
  await drained;
});

Deno.test("StreamTransport.drain() settles on a loop that nobody else keeps turning", async () => {
  using reactor = new Reactor();
  const server = new Server({ exports: [{ name: "", tree: new MemoryTree(), readOnly: false }] });
  const transport = new StreamTransport(reactor, { accept: server.accept, maxMessage: MSIZE });
  const pair = socketpair(SOCK_STREAM | SOCK_NONBLOCK);
  assert.ok(typeof pair !== "number");
  const [ours, theirs] = pair;
  transport.adopt(ours, { address: "test" });
  // Whoever is at the other end leaves while the loop sleeps in a call that blocks this thread.
  reactor.after(20, () => close(theirs));
  let isLate = false;
  const giveUp = reactor.after(2000, () => {
    isLate = true;
    reactor.stop();
  });
  reactor.after(10, () => {
    void transport.drain().then(() => {
      giveUp();
      reactor.stop();
    });
  });
  await reactor.run();
  transport.close();
  assert.equal(isLate, false);
});

/**
 * In which order requests of two connections are taken that are there at once.
 *
 * @param counts How many each of them has sent, the greedy one first.
 * @param answer What becomes of each.
 */
async function orderOf(
  counts: Readonly<Record<string, number>>,
  answer: (exchange: Exchange, address: string) => void,
): Promise<string[]> {
  using reactor = new Reactor();
  const order: string[] = [];
  const all = Object.values(counts).reduce((sum, count) => sum + count);
  const transport = new StreamTransport(reactor, {
    maxMessage: MSIZE,
    accept: ({ peer }) => ({
      msize: MSIZE,
      needsEventLoop: false,
      isOver: false,
      isFull: false,
      receive(exchange) {
        order.push(peer.address);
        answer(exchange, peer.address);
        if (order.length === all) reactor.stop();
      },
      quiesce() {},
      close() {},
    }),
  });
  const theirs: number[] = [];
  for (const [address, count] of Object.entries(counts)) {
    const pair = socketpair(SOCK_STREAM | SOCK_NONBLOCK);
    assert.ok(typeof pair !== "number");
    for (const fd of pair) check(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, 2 ** 20), "set a size");
    using memory = MappedMemory.anonymous(16_384);
    const bytes = frames(...Array.from({ length: count }, (_, tag) => getattr(tag)));
    memory.bytes.set(bytes);
    assert.equal(send(pair[1], memory.address, bytes.length, 0), bytes.length);
    theirs.push(pair[1]);
    transport.adopt(pair[0], { address });
  }
  reactor.after(10_000, () => reactor.stop());
  await reactor.run();
  transport.close();
  for (const fd of theirs) close(fd);
  return order;
}

Deno.test("StreamTransport lets others go before the many requests of one connection", async () => {
  const order = await orderOf({ greedy: 600, modest: 1 }, (exchange) => exchange.drop());
  assert.equal(order.length, 601);
  assert.ok(order.indexOf("modest") <= 64, `after ${order.indexOf("modest")} others`);
});

Deno.test("StreamTransport lets others go between large answers to one connection", async () => {
  const order = await orderOf({ greedy: 8, modest: 1 }, (exchange, address) => {
    exchange.reply.view.setUint32(exchange.replyAt, exchange.room, true);
    exchange.send(address === "greedy" ? exchange.room : 11);
  });
  assert.ok(order.includes("modest"), `${order}`);
  assert.ok(order.indexOf("modest") <= 1, `${order}`);
});

Deno.test("StreamTransport hangs up on who never asks, though bytes keep coming", async () => {
  const evicted: string[] = [];
  await using bench = await serve(new MemoryTree(), {
    handshakeTimeoutMs: 200,
    onEvict: (_, why) => evicted.push(why),
  });
  using slow = await connectRaw(bench.address);
  using honest = await connectRaw(bench.address);
  await writeAll(honest, frames(VERSION));
  assert.notEqual(await readFrame(honest), null);
  const dripping = (async () => {
    for (const byte of frames(VERSION).subarray(0, -1)) {
      await slow.write(Uint8Array.of(byte));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })().catch(() => {});
  assert.equal(await readFrame(slow).catch(() => null), null);
  await dripping;
  assert.deepEqual(evicted, ["silent"]);
  await writeAll(honest, frames(ATTACH));
  assert.notEqual(await readFrame(honest), null);
});

Deno.test("StreamTransport ends the oldest part of a frame when memory is short", async () => {
  const evicted: string[] = [];
  await using bench = await serve(new MemoryTree(), {
    // The least there is: 16 messages.
    maxBuffers: 1,
    onEvict: (_, why) => evicted.push(why),
  });
  const part = new Uint8Array(MSIZE - 1);
  new DataView(part.buffer).setUint32(0, MSIZE, true);
  const conns: Deno.UnixConn[] = [];
  try {
    for (let i = 0; i < 40; i++) {
      const conn = await connectRaw(bench.address);
      conns.push(conn);
      await writeAll(conn, frames(VERSION));
      assert.notEqual(await readFrame(conn), null);
      await writeAll(conn, part);
    }
    // Twice the bound is never exceeded, by whoever is new either.
    assert(bench.transport.buffers <= 33, `${bench.transport.buffers} buffers`);
    assert(evicted.length >= 7, `${evicted.length} ended`);
    assert.deepEqual(new Set(evicted), new Set(["memory"]));
    assert.equal(await readFrame(conns[0] as Deno.UnixConn).catch(() => null), null);
    // The last one still gets to the end of its frame.
    const last = conns.at(-1) as Deno.UnixConn;
    await writeAll(last, Uint8Array.of(0));
    assert.notEqual(await readFrame(last), null);
  } finally {
    for (const conn of conns) conn.close();
  }
});
