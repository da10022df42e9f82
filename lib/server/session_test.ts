import assert from "node:assert/strict";
import { HeldTree, MemoryTree, type Tree } from "../fs/mod.ts";
import {
  decode,
  encode,
  formatMessage,
  NOFID,
  NOTAG,
  type RMessage,
  type TMessage,
} from "../p9/mod.ts";
import { type Channel, connectInMemory } from "../transport/mod.ts";
import type { Limits } from "./exports.ts";
import { Server } from "./server.ts";

/** A conversation in the making: what was sent, and the replies in the order they came. */
class Conversation {
  readonly server: Server;
  readonly reports: string[] = [];
  readonly #channel: Channel;
  readonly #frames: AsyncIterator<Uint8Array>;
  #next: Promise<IteratorResult<Uint8Array>> | null = null;

  constructor(tree: Tree, limits: Partial<Limits> = {}) {
    this.server = new Server({
      exports: [{ name: "", tree, readOnly: false }],
      limits,
      report: (_error, what) => this.reports.push(what),
    });
    this.#channel = connectInMemory(this.server.accept);
    this.#frames = this.#channel.frames[Symbol.asyncIterator]();
  }

  send(...messages: TMessage[]): void {
    for (const message of messages) this.#channel.send(encode(message, "9P2000.L"));
  }

  async receive(): Promise<RMessage> {
    this.#next ??= this.#frames.next();
    const { value, done } = await this.#next;
    this.#next = null;
    assert.ok(done !== true, "the connection ended");
    return decode(value, "9P2000.L") as RMessage;
  }

  /** Whether no reply comes within some turns of the event loop. */
  async isSilent(): Promise<boolean> {
    this.#next ??= this.#frames.next();
    const silence = new Promise<true>((resolve) => setTimeout(() => resolve(true), 10));
    return await Promise.race([this.#next.then(() => false), silence]);
  }

  async isOver(): Promise<boolean> {
    this.#next ??= this.#frames.next();
    return (await this.#next).done === true;
  }

  async begin(): Promise<void> {
    this.send(VERSION, attach(0));
    await this.receive();
    await this.receive();
  }

  /** Opens `name` of the root as a fid. */
  async open(fid: number, name: string, flags: number): Promise<void> {
    this.send({ kind: "Twalk", tag: 1, fid: 0, newfid: fid, wname: [name] });
    this.send({ kind: "Tlopen", tag: 1, fid, flags });
    assert.equal((await this.receive()).kind, "Rwalk");
    assert.equal((await this.receive()).kind, "Rlopen");
  }

  close(): void {
    this.#channel.close();
  }
}

const VERSION: TMessage = { kind: "Tversion", tag: NOTAG, msize: 8192, version: "9P2000.L" };

function attach(fid: number, tag = 1): TMessage {
  return { kind: "Tattach", tag, fid, afid: NOFID, uname: "", aname: "", n_uname: 0 };
}

function read(tag: number, fid: number): TMessage {
  return { kind: "Tread", tag, fid, offset: 0n, count: 100 };
}

function getattr(tag: number, fid: number): TMessage {
  return { kind: "Tgetattr", tag, fid, request_mask: 0n };
}

function held(options: { readonly inOrder: boolean }): { tree: HeldTree; inner: MemoryTree } {
  const inner = new MemoryTree(options);
  inner.addFile("file", "content");
  return { tree: new HeldTree(inner, options), inner };
}

/** What a tree holds when nobody uses it. */
const UNUSED = { nodes: 0, files: 0, locks: 0 };

Deno.test("Session answers EIO and reports when a tree has a bug", async () => {
  const broken: Tree = {
    needsEventLoop: false,
    inOrder: false,
    attach: () => {
      throw new TypeError("a bug");
    },
    endSession: () => {},
    usage: () => UNUSED,
    close: () => {},
  };
  const talk = new Conversation(broken);
  talk.send(VERSION, attach(0), attach(0));
  await talk.receive();
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=1 ecode=EIO");
  // The fid was not bound: the same number can be tried again.
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=1 ecode=EIO");
  assert.deepEqual(talk.reports, ["Tattach", "Tattach"]);
  talk.close();
});

Deno.test("Session ends the connection when a tag is used twice at once", async () => {
  const { tree } = held({ inOrder: false });
  const talk = new Conversation(tree);
  await talk.begin();
  tree.hold("attributes");
  talk.send(getattr(7, 0), getattr(7, 0));
  assert.equal(await talk.isOver(), true);
  tree.release("attributes");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(tree.usage(), UNUSED);
});

Deno.test("Session.receive() lets Tversion wait for what is under way, and forgets all fids", async () => {
  const { tree } = held({ inOrder: false });
  const talk = new Conversation(tree);
  await talk.begin();
  await talk.open(1, "file", 0);
  tree.hold("read");
  talk.send(read(5, 1), VERSION);
  assert.equal(await talk.isSilent(), true);
  tree.release("read");
  assert.equal((await talk.receive()).kind, "Rversion", "the read has no answer any more");
  assert.deepEqual(tree.usage(), UNUSED);
  talk.send(getattr(1, 0));
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=1 ecode=EBADF");
  talk.close();
});

Deno.test("Session.receive() lets Tclunk wait for requests that use the fid", async () => {
  const { tree } = held({ inOrder: false });
  const talk = new Conversation(tree);
  await talk.begin();
  await talk.open(1, "file", 0);
  tree.hold("read");
  talk.send(read(5, 1), { kind: "Tclunk", tag: 6, fid: 1 }, getattr(7, 1));
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=7 ecode=EBADF");
  tree.release("read");
  assert.equal((await talk.receive()).kind, "Rread");
  assert.equal((await talk.receive()).kind, "Rclunk");
  assert.equal(tree.usage().files, 0);
  talk.close();
});

Deno.test("Session carries out requests in order where a tree asks for it", async () => {
  const { tree } = held({ inOrder: true });
  const talk = new Conversation(tree);
  await talk.begin();
  await talk.open(1, "file", 0);
  tree.hold("read");
  talk.send(read(5, 1), getattr(6, 1), getattr(7, 1));
  // A request that waits its turn and is flushed never begins; the flush itself is not held up.
  talk.send({ kind: "Tflush", tag: 8, oldtag: 6 });
  assert.equal(formatMessage(await talk.receive()), "Rflush tag=8");
  assert.equal(await talk.isSilent(), true);
  tree.release("read");
  assert.equal((await talk.receive()).kind, "Rread");
  assert.equal((await talk.receive()).tag, 7);
  talk.close();
});

Deno.test("Session.receive() answers each Tflush after the request it names, in order", async () => {
  const { tree } = held({ inOrder: false });
  const talk = new Conversation(tree);
  await talk.begin();
  await talk.open(1, "file", 0);
  tree.hold("read");
  talk.send(read(5, 1));
  for (const [tag, oldtag] of [[6, 5], [7, 5], [8, 6], [9, 99]] as const) {
    talk.send({ kind: "Tflush", tag, oldtag });
  }
  assert.equal(formatMessage(await talk.receive()), "Rflush tag=9");
  assert.equal(await talk.isSilent(), true);
  tree.release("read");
  const order: number[] = [];
  for (let i = 0; i < 4; i++) order.push((await talk.receive()).tag);
  assert.deepEqual(order, [5, 6, 8, 7]);
  talk.close();
});

Deno.test("Session.receive() aborts a waiting lock that is flushed, without an answer to it", async () => {
  const tree = new MemoryTree({ inOrder: false });
  tree.addFile("file", "content");
  const talk = new Conversation(tree);
  await talk.begin();
  await talk.open(1, "file", 2);
  const lock = (tag: number, process: number): TMessage => ({
    kind: "Tlock",
    tag,
    fid: 1,
    type: 1,
    flags: 1,
    start: 0n,
    length: 0n,
    proc_id: process,
    client_id: "guest",
  });
  talk.send(lock(2, 1));
  assert.equal(formatMessage(await talk.receive()), "Rlock tag=2 status=LOCK_SUCCESS");
  talk.send(lock(3, 2), { kind: "Tflush", tag: 4, oldtag: 3 });
  assert.equal(formatMessage(await talk.receive()), "Rflush tag=4");
  assert.equal(await talk.isSilent(), true);
  // Another that waits is ended by the clunk of its fid.
  talk.send(lock(5, 2), { kind: "Tclunk", tag: 6, fid: 1 });
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=5 ecode=EINTR");
  assert.equal(formatMessage(await talk.receive()), "Rclunk tag=6");
  assert.equal(tree.usage().locks, 0);
  talk.close();
});

Deno.test("Session keeps its limits of fids and of requests under way", async () => {
  const { tree } = held({ inOrder: false });
  const talk = new Conversation(tree, { maxFids: 3, maxInflight: 2 });
  await talk.begin();
  for (let fid = 1; fid <= 3; fid++) {
    talk.send({ kind: "Twalk", tag: 1, fid: 0, newfid: fid, wname: [] });
  }
  assert.equal((await talk.receive()).kind, "Rwalk");
  assert.equal((await talk.receive()).kind, "Rwalk");
  assert.equal(formatMessage(await talk.receive()), "Rlerror tag=1 ecode=EMFILE");
  tree.hold("attributes");
  for (let tag = 1; tag <= 5; tag++) talk.send(getattr(tag, 0));
  assert.equal(tree.waiting("attributes"), 2, "more are not even read");
  tree.release("attributes");
  const answered: number[] = [];
  for (let i = 0; i < 5; i++) answered.push((await talk.receive()).tag);
  assert.deepEqual(answered.sort(), [1, 2, 3, 4, 5]);
  talk.close();
  assert.equal(talk.server.counters.fids, 0);
  assert.equal(talk.server.counters.sessions, 0);
  assert.deepEqual(tree.usage(), UNUSED);
});
