import assert from "node:assert/strict";
import { Client } from "../client/mod.ts";
import { HeldTree, MemoryTree, type Tree } from "../fs/mod.ts";
import { decode, encode, formatMessage, NOFID, NOTAG, type TMessage } from "../p9/mod.ts";
import { Server } from "../server/mod.ts";
import {
  DriverQueue,
  endOfQueue,
  GuestMemory,
  layOutQueue,
  type QueueSetup,
  VIRTIO_F_EVENT_IDX,
} from "../virtio/mod.ts";
import { QueueChannel } from "./queue_channel.ts";
import { VirtqueueTransport } from "./virtqueue.ts";

const MSIZE = 65_536;
const QUEUE_SIZE = 32;
/** Guest address of the memory, so that guest and host addresses differ. */
const BASE = 0x4000_0000;

interface Device extends Disposable {
  readonly channel: QueueChannel;
  readonly transport: VirtqueueTransport;
  readonly driver: DriverQueue;
  readonly setup: QueueSetup;
  readonly bytes: Uint8Array;
  readonly reports: unknown[];
}

/** A device and its driver in one thread: a kick is a call of a function. */
function device(tree: Tree, maxInflight = 256): Device {
  const bytes = new Uint8Array(1 << 21);
  const memory = new GuestMemory([{ guestAddress: BASE, bytes }]);
  const areas = layOutQueue(QUEUE_SIZE, BASE);
  const setup: QueueSetup = {
    memory,
    areas,
    features: 1n << BigInt(VIRTIO_F_EVENT_IDX),
    startIndex: 0,
  };
  const driver = new DriverQueue(setup);
  const reports: unknown[] = [];
  const server = new Server({
    exports: [{ name: "", tree, readOnly: false }],
    limits: { msize: MSIZE, maxInflight },
    report: (error) => reports.push(error),
  });
  const transport: VirtqueueTransport = new VirtqueueTransport({
    accept: server.accept,
    peer: { address: "test" },
    call: () => queueMicrotask(() => channel.called()),
  });
  const channel: QueueChannel = new QueueChannel({
    driver,
    region: memory.regions[0] as (typeof memory.regions)[number],
    from: Math.ceil(endOfQueue(areas) / 4096) * 4096,
    msize: MSIZE,
    kick: () => transport.kicked(),
    onClose: () => transport.close(),
  });
  transport.ring.configure(setup);
  transport.ready();
  return {
    channel,
    transport,
    driver,
    setup,
    bytes,
    reports,
    [Symbol.dispose]: () => {
      channel.close();
      tree.close();
      assert.deepEqual(reports, []);
    },
  };
}

function send(channel: QueueChannel, ...messages: TMessage[]): void {
  for (const message of messages) channel.send(encode(message, "9P2000.L"));
}

async function receive(frames: AsyncIterator<Uint8Array>): Promise<string> {
  const { value, done } = await frames.next();
  assert.ok(done !== true, "the channel ended");
  return formatMessage(decode(value, "9P2000.L"));
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

Deno.test("VirtqueueTransport carries files of many messages both ways", async () => {
  using board = device(new MemoryTree());
  await using client = await Client.connect(board.channel, { msize: MSIZE });
  await using root = await client.attach();
  const data = new Uint8Array(1_000_003);
  for (let i = 0; i < data.length; i++) data[i] = i * 13 >> 2;
  await using folder = await root.walk();
  const file = await folder.create("file", { flags: 2 });
  assert.equal(await file.write(data, 0n), data.length);
  assert.deepEqual(await file.readAll(), data);
  for (let i = 0; i < 300; i++) await (await root.walk()).create(`file-${i}`, {});
  const names: string[] = [];
  await using list = await (await root.walk()).open();
  for await (const { name } of list.readdir()) names.push(name);
  assert.equal(names.length, 303);
  await assert.rejects(root.walk("missing"), { code: 2 });
  const { requests, kicks, calls } = board.transport.counts;
  assert.ok(requests > 600 && kicks > 0 && calls > 0, `${requests} ${kicks} ${calls}`);
});

Deno.test("VirtqueueTransport goes on with its session after the queue was stopped and moved", async () => {
  const tree = new MemoryTree();
  tree.addFile("file", "content");
  using board = device(tree);
  const frames = board.channel.frames[Symbol.asyncIterator]();
  send(board.channel, VERSION, ATTACH);
  assert.match(await receive(frames), /^Rversion/);
  assert.match(await receive(frames), /^Rattach/);
  await board.transport.quiesce();
  const startIndex = board.transport.ring.stop();
  board.transport.ring.configure({ ...board.setup, startIndex });
  board.transport.ready();
  send(board.channel, { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["file"] });
  assert.match(await receive(frames), /^Rwalk tag=1/);
});

function lock(tag: number, process: number): TMessage {
  const range = { type: 1, flags: 1, start: 0n, length: 0n };
  return { kind: "Tlock", tag, fid: 1, ...range, proc_id: process, client_id: "guest" };
}

const WALK: TMessage = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["file"] };
const OPEN: TMessage = { kind: "Tlopen", tag: 1, fid: 1, flags: 2 };

Deno.test("VirtqueueTransport.quiesce() ends waiting locks so that their clients ask again", async () => {
  const tree = new MemoryTree({ inOrder: false });
  tree.addFile("file", "content");
  using board = device(tree);
  const frames = board.channel.frames[Symbol.asyncIterator]();
  send(board.channel, VERSION, ATTACH, WALK, OPEN, lock(2, 1), lock(3, 2));
  for (let i = 0; i < 4; i++) await receive(frames);
  assert.equal(await receive(frames), "Rlock tag=2 status=LOCK_SUCCESS");
  assert.ok(board.transport.hasPromises);
  await board.transport.quiesce();
  assert.equal(await receive(frames), "Rlock tag=3 status=LOCK_BLOCKED");
  assert.ok(!board.transport.hasPromises);
});

Deno.test("VirtqueueTransport.quiesce() ends locks that begin to wait only then", async () => {
  const tree = new MemoryTree({ inOrder: false });
  tree.addFile("file", "content");
  using board = device(tree);
  const frames = board.channel.frames[Symbol.asyncIterator]();
  send(board.channel, VERSION, ATTACH, WALK, OPEN, lock(2, 1), lock(3, 2));
  for (let i = 0; i < 5; i++) await receive(frames);
  // What follows Tversion waits until the lock has given up.
  send(board.channel, VERSION, ATTACH, WALK, OPEN, lock(4, 1), lock(5, 2));
  await board.transport.quiesce();
  for (const expected of [/^Rversion/, /^Rattach/, /^Rwalk/, /^Rlopen/]) {
    assert.match(await receive(frames), expected);
  }
  assert.equal(await receive(frames), "Rlock tag=4 status=LOCK_SUCCESS");
  assert.equal(await receive(frames), "Rlock tag=5 status=LOCK_BLOCKED");
  assert.equal(board.channel.dropped, 1);
});

Deno.test("VirtqueueTransport begins anew after a session that was full broke the rules", async () => {
  const tree = new MemoryTree({ inOrder: false });
  tree.addFile("file", "content");
  using board = device(tree, 7);
  const frames = board.channel.frames[Symbol.asyncIterator]();
  send(board.channel, VERSION, ATTACH, WALK, OPEN, lock(2, 1), lock(3, 2));
  for (let i = 0; i < 5; i++) await receive(frames);
  // Six requests wait for the lock to give up; the last has the tag of a lock that waits then.
  const getattr: TMessage = { kind: "Tgetattr", tag: 5, fid: 0, request_mask: 0n };
  send(board.channel, VERSION, ATTACH, WALK, OPEN, lock(4, 1), lock(5, 2), getattr);
  for (let i = 0; i < 5; i++) await receive(frames);
  send(board.channel, VERSION, ATTACH);
  assert.match(await receive(frames), /^Rversion/);
  assert.match(await receive(frames), /^Rattach/);
});

Deno.test("VirtqueueTransport lets others have their turn though a driver keeps the queue filled", () => {
  const room = 65_536;
  const memory = new GuestMemory([{ guestAddress: BASE, bytes: new Uint8Array(1 << 18) }]);
  const areas = layOutQueue(4, BASE);
  const setup: QueueSetup = { memory, areas, features: 0n, startIndex: 0 };
  const { raw } = new DriverQueue(setup);
  const at = BASE + 4096;
  memory.write(at, encode(VERSION, "9P2000.L"));
  raw.setDescriptor(0, { address: BigInt(at), length: 21, flags: 1, next: 1 });
  raw.setDescriptor(1, { address: BigInt(at + 4096), length: room, flags: 2, next: 0 });
  let answered = 0;
  const postponed: (() => void)[] = [];
  const transport = new VirtqueueTransport({
    accept: () => ({
      msize: room,
      needsEventLoop: false,
      isOver: false,
      isFull: false,
      quiesce: () => {},
      close: () => {},
      receive: (exchange) => {
        // Here it is the driver, on another processor; so that a fault of ours ends, it does too.
        if (++answered < 10_000) raw.offer(0);
        exchange.send(room);
      },
    }),
    peer: { address: "test" },
    call: () => {},
    later: (run) => postponed.push(run),
  });
  transport.ring.configure(setup);
  raw.offer(0);
  transport.ready();
  assert.equal(postponed.length, 1);
  const first = answered;
  assert.ok(first > 0 && first < 1000, `${first}`);
  postponed.pop()?.();
  assert.equal(answered, 2 * first);
  assert.equal(postponed.length, 1);
  transport.close();
  postponed.pop()?.();
  assert.equal(answered, 2 * first);
});

Deno.test("VirtqueueTransport uses a flushed request with length 0, before Rflush", async () => {
  const tree = new MemoryTree({ inOrder: true });
  tree.addFile("file", "content");
  const held = new HeldTree(tree, { inOrder: true });
  using board = device(held);
  const frames = board.channel.frames[Symbol.asyncIterator]();
  send(board.channel, VERSION, ATTACH);
  for (let i = 0; i < 2; i++) await receive(frames);
  held.hold("attributes");
  const getattr = (tag: number): TMessage => ({ kind: "Tgetattr", tag, fid: 0, request_mask: 0n });
  send(board.channel, getattr(5), getattr(6), { kind: "Tflush", tag: 7, oldtag: 6 });
  assert.equal(await receive(frames), "Rflush tag=7");
  assert.equal(board.channel.dropped, 1);
  held.release("attributes");
  assert.match(await receive(frames), /^Rgetattr tag=5/);
});

Deno.test("VirtqueueTransport writes nothing but its reply", () => {
  const tree = new MemoryTree();
  tree.addFile("file", "content");
  using board = device(tree);
  const { driver, bytes, transport } = board;
  const at = BASE + 0x10_0000;
  const request = (frame: Uint8Array, room: number): Uint8Array => {
    bytes.fill(0xee, 0x10_0000, 0x11_0000);
    bytes.set(frame, 0x10_0000);
    driver.add([{ address: at, length: frame.length }], [{ address: at + 0x8000, length: room }]);
    driver.publish();
    transport.kicked();
    assert.ok(driver.take() >= 0);
    const from = 0x10_8000;
    const used = driver.usedLength;
    for (let i = from + used; i < from + 0x2000; i++) assert.equal(bytes[i], 0xee, `byte ${i}`);
    return bytes.slice(from, from + used);
  };
  const say = (message: TMessage, room = 0x1000) => {
    const reply = request(encode(message, "9P2000.L"), room);
    return reply.length === 0 ? "" : formatMessage(decode(reply, "9P2000.L"));
  };
  assert.match(say(VERSION), /^Rversion/);
  assert.match(say(ATTACH), /^Rattach/);
  // Too little room for the reply, but for an error
  const getattr: TMessage = { kind: "Tgetattr", tag: 1, fid: 0, request_mask: 0n };
  assert.equal(say(getattr, 159), "Rlerror tag=1 ecode=EMSGSIZE");
  assert.match(say(getattr, 160), /^Rgetattr/);
  // Too little room for anything
  assert.equal(say(getattr, 10), "");
  // No message at all, half a message, a size that is a lie
  assert.equal(request(new Uint8Array(6), 4096).length, 0);
  const frame = encode(getattr, "9P2000.L");
  assert.equal(request(frame.subarray(0, 12), 4096).length, 0);
  new DataView(frame.buffer).setUint32(0, 6, true);
  assert.equal(request(frame, 4096).length, 0);
  new DataView(frame.buffer).setUint32(0, MSIZE + 1, true);
  assert.equal(request(frame, 4096).length, 0);
  assert.match(say(getattr), /^Rgetattr/);
  // A walk that cannot be answered does not happen
  const clone: TMessage = { kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["file"] };
  assert.equal(say(clone, 21), "Rlerror tag=1 ecode=EMSGSIZE");
  assert.equal(say({ kind: "Tclunk", tag: 1, fid: 1 }), "Rlerror tag=1 ecode=EBADF");
  // A read gets what there is room for
  say({ kind: "Twalk", tag: 1, fid: 0, newfid: 1, wname: ["file"] });
  say({ kind: "Tlopen", tag: 1, fid: 1, flags: 0 });
  const read: TMessage = { kind: "Tread", tag: 1, fid: 1, offset: 0n, count: 100 };
  assert.equal(say(read, 14), "Rread tag=1 data=0x636f6e");
  assert.equal(say(read, 11), "Rread tag=1 data=0x");
});
