import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { HeldTree, MemoryTree, type Tree } from "../fs/mod.ts";
import { EPOLLIN, loadLibc } from "../linux/mod.ts";
import {
  decode,
  encode,
  formatMessage,
  LOCK_BLOCKED,
  LOCK_FLAGS,
  LOCK_SUCCESS,
  LOCK_TYPES,
  type Message,
  NOFID,
  NOTAG,
  O_RDWR,
  type TMessage,
} from "../p9/mod.ts";
import { Server } from "../server/mod.ts";
import { GuestRam } from "../vhost/mod.ts";
import {
  DriverQueue,
  endOfQueue,
  GuestMemory,
  layOutQueue,
  type QueueSetup,
  VIRTIO_F_EVENT_IDX,
} from "../virtio/mod.ts";
import { Bridge } from "./bridge.ts";
import type { Channel } from "./channel.ts";
import { dial, parseDialAddress } from "./dial.ts";
import { acceptFrom, listen, type ListenAddress, type Listener, peerOf } from "./listen.ts";
import { connectInMemory } from "./memory.ts";
import { QueueChannel } from "./queue_channel.ts";
import { Reactor } from "./reactor.ts";
import { StreamTransport } from "./stream.ts";
import { VirtqueueTransport } from "./virtqueue.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const MSIZE = 200_000;
const QUEUE_SIZE = 32;
const BASE = 0x4000_0000;

/** A loop on which nobody waits for seconds. */
class HurriedReactor extends Reactor {
  override after(ms: number, run: () => void): () => void {
    return super.after(Math.min(ms, 100), run);
  }
}

/** Servers, bridges and their clients, all on this thread. */
class Bench implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "9p-bridge-" });
  readonly reactor: Reactor;
  readonly warnings: string[] = [];
  readonly #loop: Promise<void>;
  readonly #cleanUp: (() => void)[] = [];

  constructor(reactor: Reactor = new Reactor()) {
    this.reactor = reactor;
    reactor.use({ needsEventLoop: true, hasPromises: true });
    this.#loop = reactor.run();
  }

  /** Listens and serves with whatever accepts. Returns the address and a way to end it. */
  async serve(
    accept: Server["accept"],
    at: ListenAddress = { kind: "unix", path: `${this.folder}/${crypto.randomUUID()}` },
  ): Promise<{ readonly address: string; readonly end: () => void }> {
    const transport = new StreamTransport(this.reactor, { accept, maxMessage: MSIZE });
    const listener: Listener = await listen(at);
    this.reactor.watch(listener.fd, EPOLLIN, () => {
      const fd = acceptFrom(listener);
      if (fd >= 0) transport.adopt(fd, peerOf(fd));
    });
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.reactor.unwatch(listener.fd);
      listener[Symbol.dispose]();
      transport.close();
      assert.equal(transport.buffers, 0);
    };
    this.#cleanUp.push(end);
    return { address: listener.address, end };
  }

  /** Serves a tree. */
  async serveTree(tree: Tree, at?: ListenAddress): ReturnType<Bench["serve"]> {
    const server = new Server({
      exports: [{ name: "", tree, readOnly: false }],
      limits: { msize: MSIZE },
    });
    this.#cleanUp.push(() => tree.close());
    return await this.serve(server.accept, at);
  }

  /** A bridge to an address. */
  bridge(address: string, msize = MSIZE): Bridge {
    const bridge = new Bridge({
      reactor: this.reactor,
      to: parseDialAddress(address),
      msize,
      warn: (message) => this.warnings.push(message),
    });
    this.#cleanUp.unshift(() => {
      const { sessions, inflight } = bridge.counts;
      assert.deepEqual({ sessions, inflight }, { sessions: 0, inflight: 0 });
      bridge[Symbol.dispose]();
    });
    return bridge;
  }

  /** A driver whose device is a bridge. */
  device(bridge: Bridge): { channel: QueueChannel; transport: VirtqueueTransport } {
    const ram = new GuestRam({ size: 1 << 23, guestAddress: BASE });
    this.#cleanUp.push(() => ram[Symbol.dispose]());
    const memory = new GuestMemory([ram]);
    const areas = layOutQueue(QUEUE_SIZE, BASE);
    const features = 1n << BigInt(VIRTIO_F_EVENT_IDX);
    const setup: QueueSetup = { memory, areas, features, startIndex: 0 };
    const transport: VirtqueueTransport = new VirtqueueTransport({
      accept: bridge.accept,
      peer: { address: "test" },
      call: () => queueMicrotask(() => channel.called()),
    });
    const channel: QueueChannel = new QueueChannel({
      driver: new DriverQueue(setup),
      region: memory.regions[0] as (typeof memory.regions)[number],
      from: Math.ceil(endOfQueue(areas) / 4096) * 4096,
      msize: MSIZE,
      kick: () => transport.kicked(),
      onClose: () => transport.close(),
    });
    this.#cleanUp.unshift(() => channel.close());
    transport.ring.configure(setup);
    transport.ready();
    return { channel, transport };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#cleanUp) end();
    this.reactor.stop();
    await this.#loop;
    this.reactor[Symbol.dispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

function pattern(length: number): Uint8Array {
  const data = new Uint8Array(length);
  for (let i = 0; i < data.length; i++) data[i] = i * 13 >> 2;
  return data;
}

/** Writes and reads a large file, and many small requests. */
async function exercise(channel: Channel): Promise<void> {
  await using client = await Client.connect(channel, { msize: MSIZE });
  await using root = await client.attach();
  const data = pattern(1_500_007);
  await using folder = await root.walk();
  await using file = await folder.create("file", { flags: O_RDWR });
  assert.equal(await file.write(data, 0n), data.length);
  assert.deepEqual(await file.readAll(), data);
  // Short reads, long reads, the end of the file, and one that fails, all under way at once.
  const reads = [[0n, 10], [5n, 150_000], [1_500_000n, 20_000], [9n, 16_384], [2_000_000n, 99_999]]
    .map(([offset, count]) => file.read(offset as bigint, count as number));
  const lengths = (await Promise.all(reads)).map(({ length }) => length);
  assert.deepEqual(lengths, [10, 150_000, 7, 16_384, 0]);
  for (let i = 0; i < 50; i++) await (await (await root.walk()).create(`file-${i}`, {})).clunk();
  const names: string[] = [];
  await using list = await (await root.walk()).open();
  for await (const { name } of list.readdir()) names.push(name);
  assert.equal(names.length, 53);
  await assert.rejects(root.walk("missing"), { code: 2 });
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

function send(channel: Channel, ...messages: TMessage[]): void {
  for (const message of messages) void channel.send(encode(message, "9P2000.L"));
}

async function receive(frames: AsyncIterator<Uint8Array>): Promise<string> {
  const { value, done } = await frames.next();
  assert.ok(done !== true, "the channel ended");
  return formatMessage(decode(value, "9P2000.L"));
}

Deno.test("Bridge carries files both ways between a virtqueue and a socket", async () => {
  await using bench = new Bench();
  const { address } = await bench.serveTree(new MemoryTree());
  const bridge = bench.bridge(address);
  await exercise(bench.device(bridge).channel);
  assert.ok(bridge.counts.bytesRead > 1_600_000 && bridge.counts.bytesWritten === 1_500_007);
  assert.ok((bridge.counts.requests[110] ?? 0) > 50, "Twalk is counted");
  assert.equal(bridge.counts.errnos.get(2), 1);
  assert.deepEqual(bench.warnings, []);
});

Deno.test("Bridge carries files both ways between sockets and within memory", async () => {
  await using bench = new Bench();
  const local = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const { address } = await bench.serveTree(new MemoryTree(), local);
  // A name has to be looked up.
  const bridge = bench.bridge(address.replace("127.0.0.1", "localhost"));
  const { address: front } = await bench.serve(bridge.accept);
  await exercise(await dial(front));
  const { address: other } = await bench.serveTree(new MemoryTree());
  await exercise(connectInMemory(bench.bridge(other).accept));
  while (bridge.counts.sessions > 0) await new Promise((resolve) => setTimeout(resolve, 1));
});

Deno.test("Bridge gives a flushed request back without a reply, before Rflush", async () => {
  await using bench = new Bench();
  const tree = new HeldTree(new MemoryTree(), { inOrder: false });
  const { address } = await bench.serveTree(tree);
  const { channel } = bench.device(bench.bridge(address));
  const frames = channel.frames[Symbol.asyncIterator]();
  send(channel, VERSION);
  assert.match(await receive(frames), /^Rversion tag=NOTAG msize=200000/);
  send(channel, ATTACH);
  await receive(frames);
  // One that waits for another client, which is what a flush gives up.
  send(channel, { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: [] });
  await receive(frames);
  send(channel, {
    kind: "Tlcreate",
    tag: 1,
    fid: 1,
    name: "f",
    flags: O_RDWR,
    mode: 0o644,
    gid: 0,
  });
  await receive(frames);
  const lock = (tag: number, proc_id: number): TMessage => ({
    kind: "Tlock",
    tag,
    fid: 1,
    type: LOCK_TYPES.LOCK_TYPE_WRLCK,
    flags: LOCK_FLAGS.LOCK_FLAGS_BLOCK,
    start: 0n,
    length: 0n,
    proc_id,
    client_id: "a",
  });
  send(channel, lock(2, 1));
  assert.equal(await receive(frames), "Rlock tag=2 status=LOCK_SUCCESS");
  send(channel, lock(3, 2), { kind: "Tflush", tag: 4, oldtag: 3 });
  assert.equal(await receive(frames), "Rflush tag=4");
  assert.equal(channel.dropped, 1);
  // A held request that is answered nevertheless: the answer comes first.
  tree.hold("statfs");
  send(channel, { kind: "Tstatfs", tag: 5, fid: 0 }, { kind: "Tflush", tag: 6, oldtag: 5 });
  send(channel, { kind: "Tclunk", tag: 7, fid: 9 });
  assert.match(await receive(frames), /^Rlerror tag=7/);
  tree.release("statfs");
  assert.match(await receive(frames), /^Rstatfs tag=5/);
  assert.equal(await receive(frames), "Rflush tag=6");
});

Deno.test("Bridge answers a waiting lock before the machine stands still", async () => {
  await using bench = new Bench();
  const tree = new MemoryTree({ inOrder: false });
  tree.addFile("f", "");
  const { address } = await bench.serveTree(tree);
  const { channel, transport } = bench.device(bench.bridge(address));
  await using client = await Client.connect(channel, { msize: MSIZE });
  await using root = await client.attach();
  await using file = await root.walk("f");
  await file.open(O_RDWR);
  const lock = (proc_id: number) =>
    file.lock({
      type: LOCK_TYPES.LOCK_TYPE_WRLCK,
      flags: LOCK_FLAGS.LOCK_FLAGS_BLOCK,
      proc_id,
    });
  assert.equal(await lock(1), LOCK_SUCCESS);
  const waiting = lock(2);
  // When this is answered, the other server knows of the lock.
  await root.getattr();
  await transport.quiesce();
  assert.equal(await waiting, LOCK_BLOCKED);
  transport.ready();
  await root.getattr();
  assert.deepEqual(bench.warnings, []);
});

Deno.test("Bridge does not keep a machine from standing still for a server that is silent", async () => {
  await using bench = new Bench(new HurriedReactor());
  const tree = new HeldTree(new MemoryTree(), { inOrder: false });
  const { address } = await bench.serveTree(tree);
  const { channel, transport } = bench.device(bench.bridge(address));
  await using client = await Client.connect(channel, { msize: MSIZE });
  const root = await client.attach();
  tree.hold("attributes");
  const waiting = assert.rejects(root.getattr(), { code: 5 });
  await transport.quiesce();
  await waiting;
  assert.match(bench.warnings.join(), /: it does not answer, and the machine has to stop$/);
  tree.release("attributes");
  transport.ready();
});

Deno.test("Bridge answers EIO for a server that is gone, until the client mounts again", async () => {
  await using bench = new Bench();
  const path = `${bench.folder}/upstream`;
  const tree = new HeldTree(new MemoryTree(), { inOrder: false });
  const first = await bench.serveTree(tree, { kind: "unix", path });
  const bridge = bench.bridge(first.address);
  const { channel } = bench.device(bridge);
  const frames = channel.frames[Symbol.asyncIterator]();
  send(channel, VERSION);
  await receive(frames);
  send(channel, ATTACH);
  await receive(frames);
  tree.hold("attributes");
  const getattr = (tag: number): TMessage => ({ kind: "Tgetattr", tag, fid: 0, request_mask: 1n });
  send(channel, getattr(1), getattr(2), { kind: "Tflush", tag: 3, oldtag: 2 });
  send(channel, { kind: "Tclunk", tag: 4, fid: 7 });
  assert.match(await receive(frames), /^Rlerror tag=4/);
  first.end();
  tree.release("attributes");
  assert.equal(await receive(frames), "Rlerror tag=1 ecode=EIO");
  assert.equal(await receive(frames), "Rlerror tag=2 ecode=EIO");
  assert.equal(await receive(frames), "Rflush tag=3");
  send(channel, getattr(5), { kind: "Tflush", tag: 6, oldtag: 5 });
  assert.equal(await receive(frames), "Rlerror tag=5 ecode=EIO");
  assert.equal(await receive(frames), "Rflush tag=6");
  // Nobody is there: said once, however often the client tries.
  for (let i = 0; i < 3; i++) {
    send(channel, VERSION);
    assert.equal(await receive(frames), "Rlerror tag=NOTAG ecode=EIO");
  }
  send(channel, { kind: "Tversion", tag: NOTAG, msize: MSIZE, version: "9P2000.u" });
  const { value } = await frames.next();
  assert.equal(decode(value ?? new Uint8Array(), "9P2000.u").kind, "Rerror");
  assert.deepEqual(bench.warnings, [
    `Cannot pass requests on to unix://${path}: it has hung up`,
    `Cannot pass requests on to unix://${path}: No such file or directory`,
  ]);
  await bench.serveTree(new MemoryTree(), { kind: "unix", path });
  send(channel, VERSION);
  assert.match(await receive(frames), /^Rversion/);
  send(channel, getattr(5));
  assert.match(await receive(frames), /^Rlerror tag=5 ecode=EBADF/);
  send(channel, ATTACH, getattr(5));
  assert.match(await receive(frames), /^Rattach/);
});

Deno.test("Bridge lowers the msize to what it takes itself", async () => {
  await using bench = new Bench();
  const { address } = await bench.serveTree(new MemoryTree());
  const channel = connectInMemory(bench.bridge(address, 10_000).accept);
  await using client = await Client.connect(channel, { msize: MSIZE });
  assert.equal(client.msize, 10_000);
  await using root = await client.attach();
  await using file = await root.create("f", { flags: O_RDWR });
  assert.equal(await file.write(pattern(50_000), 0n), 50_000);
  assert.deepEqual(await file.readAll(), pattern(50_000));
});

Deno.test("Bridge ends a session in which a tag is used twice, and begins another", async () => {
  await using bench = new Bench();
  const tree = new HeldTree(new MemoryTree(), { inOrder: false });
  const { address } = await bench.serveTree(tree);
  const { channel, transport } = bench.device(bench.bridge(address));
  const frames = channel.frames[Symbol.asyncIterator]();
  send(channel, VERSION);
  await receive(frames);
  tree.hold("attach");
  send(channel, ATTACH, ATTACH);
  assert.equal(transport.hasPromises, false);
  tree.release("attach");
  send(channel, VERSION);
  assert.match(await receive(frames), /^Rversion/);
  assert.equal(channel.dropped, 2);
});

/** A server that reads what it likes and answers with given bytes. */
class Puppet implements AsyncDisposable {
  readonly address: string;
  readonly #listener: Deno.UnixListener;
  readonly #served: Promise<void>;

  constructor(path: string, serve: (conn: Deno.Conn) => Promise<void>) {
    this.address = `unix://${path}`;
    const listener = this.#listener = Deno.listen({ transport: "unix", path });
    this.#served = (async () => {
      using conn = await listener.accept();
      await serve(conn);
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#served;
    this.#listener.close();
  }
}

const VERSION_REPLY: Message = { ...VERSION, kind: "Rversion" } as Message;

function frame(message: Message, size?: number): Uint8Array {
  const bytes = encode(message, "9P2000.L");
  if (size !== undefined) new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
}

const senseless: [what: string, version: Message, then: Uint8Array, warning: RegExp][] = [
  [
    "raises the msize",
    { ...VERSION_REPLY, msize: MSIZE + 1 } as Message,
    new Uint8Array(),
    /answered Tversion with what was not asked for$/,
  ],
  [
    "answers a tag that asks nothing",
    VERSION_REPLY,
    frame({ kind: "Rclunk", tag: 9 }),
    /sent Rclunk for tag 9 without being asked$/,
  ],
  [
    "answers with another message",
    VERSION_REPLY,
    frame({ kind: "Rclunk", tag: 1 }),
    /sent Rclunk for tag 1 without being asked$/,
  ],
  [
    "sends a T-message",
    VERSION_REPLY,
    frame({ kind: "Tclunk", tag: 1, fid: 0 }),
    /sent Tclunk for tag 1 without being asked$/,
  ],
  [
    "sends a frame that is too large",
    VERSION_REPLY,
    frame({ kind: "Rclunk", tag: 1 }, MSIZE + 1),
    /sent a frame of 200001 bytes$/,
  ],
  [
    "sends a frame that is too small",
    VERSION_REPLY,
    frame({ kind: "Rclunk", tag: 1 }, 6),
    /sent a frame of 6 bytes$/,
  ],
  [
    "sends an Rread with a count of its own",
    VERSION_REPLY,
    frame({ kind: "Rread", tag: 1, data: new Uint8Array(100) }, 50_000),
    /sent an Rread of 50000 bytes with another count$/,
  ],
  [
    "hangs up within a long Rread",
    VERSION_REPLY,
    frame({ kind: "Rread", tag: 1, data: new Uint8Array(60_000) }).subarray(0, 40_000),
    /hung up$/,
  ],
];
for (const [what, version, then, warning] of senseless) {
  Deno.test(`Bridge gives up on a server that ${what}`, async () => {
    await using bench = new Bench();
    await using puppet = new Puppet(`${bench.folder}/puppet`, async (conn) => {
      await conn.read(new Uint8Array(100));
      await conn.write(encode(version, "9P2000.L"));
      if (then.length === 0) return;
      await conn.read(new Uint8Array(100));
      for (let at = 0; at < then.length;) at += await conn.write(then.subarray(at));
    });
    const { channel } = bench.device(bench.bridge(puppet.address));
    const frames = channel.frames[Symbol.asyncIterator]();
    send(channel, VERSION);
    if (then.length > 0) {
      assert.match(await receive(frames), /^Rversion/);
      send(channel, { kind: "Tread", tag: 1, fid: 0, offset: 0n, count: 100_000 });
      assert.equal(await receive(frames), "Rlerror tag=1 ecode=EIO");
    } else assert.equal(await receive(frames), "Rlerror tag=NOTAG ecode=EIO");
    assert.match(bench.warnings.join(), warning);
  });
}

Deno.test("Bridge waits for a server that takes its time, and holds the client back meanwhile", async () => {
  await using bench = new Bench();
  const data = pattern(150_000);
  const count = 20;
  const writes = Array.from({ length: count }, (_, tag): TMessage => {
    return { kind: "Twrite", tag, fid: 0, offset: BigInt(tag), data };
  });
  let received = 0;
  await using puppet = new Puppet(`${bench.folder}/puppet`, async (conn) => {
    await conn.read(new Uint8Array(100));
    await conn.write(encode(VERSION_REPLY, "9P2000.L"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const [tag, write] of writes.entries()) {
      const expected = encode(write, "9P2000.L");
      const frame = new Uint8Array(expected.length);
      // In bites that are no part of anything.
      for (let at = 0; at < frame.length;) {
        at += await conn.read(frame.subarray(at, at + 9999)) ?? frame.length;
      }
      assert.deepEqual(frame, expected);
      received++;
      await conn.write(encode({ kind: "Rwrite", tag, count: data.length }, "9P2000.L"));
    }
  });
  const { channel } = bench.device(bench.bridge(puppet.address));
  const frames = channel.frames[Symbol.asyncIterator]();
  send(channel, VERSION);
  await receive(frames);
  send(channel, ...writes);
  assert.equal(received, 0);
  for (let tag = 0; tag < count; tag++) {
    assert.equal(await receive(frames), `Rwrite tag=${tag} count=150000`);
  }
  assert.equal(received, count);
});
