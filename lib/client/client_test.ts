import assert from "node:assert/strict";
import {
  decode,
  type Dialect,
  DIRENT_HEADER,
  DT_REG,
  encode,
  encodeDirentInto,
  encodeStat,
  NOFID,
  NOTAG,
  type RMessage,
  type TMessage,
  Wire,
} from "../p9/mod.ts";
import type { Channel } from "../transport/mod.ts";
import { Client } from "./mod.ts";

/** A server that answers as a test says. */
class Peer implements Channel {
  dialect: Dialect = "9P2000.L";
  readonly sent: TMessage[] = [];
  readonly frames: AsyncIterable<Uint8Array>;
  isClosed = false;
  #queue: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  readonly #answer: (message: TMessage, peer: Peer) => RMessage | RMessage[] | null;

  constructor(answer: (message: TMessage, peer: Peer) => RMessage | RMessage[] | null) {
    this.#answer = answer;
    this.frames = this.#read();
  }

  send(bytes: Uint8Array): void {
    const message = decode(bytes.slice(), this.dialect) as TMessage;
    this.sent.push(message);
    if (message.kind === "Tversion") {
      this.reply({ ...message, kind: "Rversion", version: this.dialect });
      return;
    }
    const answer = this.#answer(message, this);
    if (answer === null) return;
    for (const one of Array.isArray(answer) ? answer : [answer]) this.reply(one);
  }

  reply(message: RMessage): void {
    this.push(encode(message, this.dialect));
  }

  push(frame: Uint8Array): void {
    this.#queue.push(frame);
    this.#wake?.();
  }

  close(): void {
    this.isClosed = true;
    this.#wake?.();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    while (true) {
      const frame = this.#queue.shift();
      if (frame !== undefined) yield frame;
      else if (this.isClosed) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

const QID = { type: 0, version: 0, path: 7n };

function connect(peer: Peer, msize = 8192): Promise<Client> {
  return Client.connect(peer, { msize, version: peer.dialect });
}

/** Files as large as `size`, whose byte n is n mod 251; everything else succeeds. */
function file(size: number): (message: TMessage) => RMessage {
  return (message) => {
    const { tag } = message;
    switch (message.kind) {
      case "Tattach":
        return { kind: "Rattach", tag, qid: QID };
      case "Tlopen":
        return { kind: "Rlopen", tag, qid: QID, iounit: 0 };
      case "Twalk":
        return { kind: "Rwalk", tag, wqid: message.wname.map(() => QID) };
      case "Tclunk":
        return { kind: "Rclunk", tag };
      case "Tread": {
        const from = Number(message.offset);
        const length = Math.max(0, Math.min(message.count, size - from));
        return {
          kind: "Rread",
          tag,
          data: Uint8Array.from({ length }, (_, i) => (from + i) % 251),
        };
      }
      default:
        return { kind: "Rlerror", tag, ecode: 95 };
    }
  };
}

Deno.test("Client.connect() takes what the server lowers", async () => {
  const peer = new Peer(() => null);
  peer.dialect = "9P2000";
  peer.send = (bytes) => {
    assert.deepEqual(decode(bytes, "9P2000.L"), {
      kind: "Tversion",
      tag: NOTAG,
      msize: 131096,
      version: "9P2000.L",
    });
    peer.reply({ kind: "Rversion", tag: NOTAG, msize: 4096, version: "9P2000" });
  };
  await using client = await Client.connect(peer);
  assert.equal(client.dialect, "9P2000");
  assert.equal(client.msize, 4096);
  assert.equal(client.maxPayload, 4072);
});

const refused: [what: string, reply: RMessage, error: Record<string, unknown>][] = [
  ["unknown", { kind: "Rversion", tag: NOTAG, msize: 8192, version: "unknown" }, {
    name: "RemoteError",
  }],
  ["a larger msize", { kind: "Rversion", tag: NOTAG, msize: 8193, version: "9P2000.L" }, {
    fault: "bad-version",
  }],
  ["a newer dialect", { kind: "Rversion", tag: NOTAG, msize: 8192, version: "9P3000" }, {
    fault: "bad-version",
  }],
  ["Rlerror", { kind: "Rlerror", tag: NOTAG, ecode: 90 }, { symbol: "EMSGSIZE" }],
  ["Rclunk", { kind: "Rclunk", tag: NOTAG }, { fault: "wrong-reply" }],
  ["another tag", { kind: "Rversion", tag: 1, msize: 8192, version: "9P2000.L" }, {
    fault: "unknown-tag",
  }],
];
for (const [what, reply, error] of refused) {
  Deno.test(`Client.connect() refuses ${what} in answer to Tversion`, async () => {
    const peer = new Peer(() => null);
    peer.send = () => peer.reply(reply);
    await assert.rejects(connect(peer), error);
    assert.ok(peer.isClosed);
  });
}

Deno.test("Client.connect() gives up when its signal says so", async () => {
  const peer = new Peer(() => null);
  peer.send = () => {};
  const controller = new AbortController();
  const connected = Client.connect(peer, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(connected, { message: "enough" });
  assert.ok(peer.isClosed);
});

Deno.test("Client.request() pairs answers that come in another order", async () => {
  const held: TMessage[] = [];
  const peer = new Peer((message) => {
    held.push(message);
    if (held.length < 3) return null;
    return held.reverse().map((one): RMessage => ({
      kind: "Rreadlink",
      tag: one.tag,
      target: String(one.kind === "Treadlink" ? one.fid : "?"),
    }));
  });
  await using client = await connect(peer);
  const replies = await Promise.all(
    [10, 11, 12].map((fid) => client.request({ kind: "Treadlink", fid })),
  );
  assert.deepEqual(replies.map((reply) => reply.target), ["10", "11", "12"]);
  assert.equal(new Set(peer.sent.map((message) => message.tag)).size, 4);
});

Deno.test("Client.request() uses a tag again only after its answer", async () => {
  const peer = new Peer(({ tag, kind }) => kind === "Tclunk" ? { kind: "Rclunk", tag } : null);
  await using client = await connect(peer);
  const slow = client.request({ kind: "Treadlink", fid: 1 });
  for (let i = 0; i < 3; i++) await client.request({ kind: "Tclunk", fid: 2 });
  const [, first, ...rest] = peer.sent.map((message) => message.tag);
  assert.deepEqual(rest, [1, 1, 1]);
  assert.equal(first, 0);
  peer.reply({ kind: "Rreadlink", tag: 0, target: "x" });
  assert.equal((await slow).target, "x");
});

Deno.test("Client.request() lets requests wait when too many are outstanding", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  const replies = Array.from({ length: 40000 }, () => client.request({ kind: "Tclunk", fid: 1 }));
  assert.equal(peer.sent.length, 1 + 32768);
  for (let i = 1; i < peer.sent.length; i++) {
    peer.reply({ kind: "Rclunk", tag: peer.sent[i]?.tag ?? NOTAG });
    if (i % 1000 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  while (peer.sent.length < 40001) {
    const from = peer.sent.length;
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (const message of peer.sent.slice(from)) peer.reply({ kind: "Rclunk", tag: message.tag });
  }
  assert.equal((await Promise.all(replies)).length, 40000);
});

const errors: [dialect: Dialect, reply: RMessage, error: Record<string, unknown>][] = [
  ["9P2000.L", { kind: "Rlerror", tag: 0, ecode: 2 }, { name: "Errno", code: 2 }],
  ["9P2000.u", { kind: "Rerror", tag: 0, ename: "no", errno: 13 }, { name: "Errno", code: 13 }],
  ["9P2000.u", { kind: "Rerror", tag: 0, ename: "no", errno: 0 }, {
    name: "RemoteError",
    message: "no",
  }],
  ["9P2000", { kind: "Rerror", tag: 0, ename: "file does not exist", errno: 0 }, {
    name: "RemoteError",
    message: "file does not exist",
  }],
];
for (const [dialect, reply, error] of errors) {
  Deno.test(`Client.request() throws ${error.name} for ${reply.kind} of ${dialect}`, async () => {
    const peer = new Peer(() => reply);
    peer.dialect = dialect;
    await using client = await connect(peer);
    await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
    // A refusal ends nothing.
    await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
  });
}

const broken: [what: string, frame: Uint8Array, error: Record<string, unknown>][] = [
  ["a reply of another kind", encode({ kind: "Rwrite", tag: 0, count: 1 }, "9P2000.L"), {
    fault: "wrong-reply",
  }],
  ["a T-message", encode({ kind: "Tclunk", tag: 0, fid: 1 }, "9P2000.L"), {
    fault: "wrong-reply",
  }],
  ["an unknown tag", encode({ kind: "Rclunk", tag: 5 }, "9P2000.L"), { fault: "unknown-tag" }],
  [
    "a frame above msize",
    encode({ kind: "Rread", tag: 0, data: new Uint8Array(8192) }, "9P2000.L"),
    {
      fault: "long-frame",
    },
  ],
  ["a frame of 6 bytes", new Uint8Array([6, 0, 0, 0, 121, 0]), { fault: "short-frame" }],
  ["a truncated frame", new Uint8Array([7, 0, 0, 0, 117, 0, 0]), { name: "ProtocolError" }],
];
for (const [what, frame, error] of broken) {
  Deno.test(`Client ends the connection after ${what}`, async () => {
    const peer = new Peer((_, peer) => {
      peer.push(frame);
      return null;
    });
    await using client = await connect(peer);
    await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
    assert.ok(peer.isClosed);
    await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
    assert.deepEqual({ ...(await client.ended as Error) }, {
      ...(await client.request({ kind: "Tclunk", fid: 1 }).catch((error) => error)),
    });
  });
}

Deno.test("Client rejects what is outstanding when the server hangs up", async () => {
  const peer = new Peer((_, peer) => {
    peer.close();
    return null;
  });
  await using client = await connect(peer);
  const error = { name: "DisconnectedError" };
  await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
  await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }), error);
  assert.equal(await client.ended, null);
});

Deno.test("Client.request() refuses a message above msize and stays usable", async () => {
  const peer = new Peer(({ tag }) => ({ kind: "Rclunk", tag }));
  await using client = await connect(peer);
  const data = new Uint8Array(8192);
  await assert.rejects(client.request({ kind: "Twrite", fid: 1, offset: 0n, data }), {
    name: "RangeError",
  });
  await client.request({ kind: "Tclunk", fid: 1 });
});

Deno.test("Client.request() flushes when its signal says so and rejects after Rflush", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  const controller = new AbortController();
  const { signal } = controller;
  const read = client.request({ kind: "Tread", fid: 1, offset: 0n, count: 1 }, { signal });
  let isSettled = false;
  read.catch(() => {}).finally(() => isSettled = true);
  controller.abort(new Error("enough"));
  assert.deepEqual(peer.sent.at(-1), { kind: "Tflush", tag: 1, oldtag: 0 });
  await new Promise((resolve) => setTimeout(resolve));
  assert.ok(!isSettled);
  // The old tag is not free yet.
  const other = client.request({ kind: "Tclunk", fid: 1 });
  assert.equal(peer.sent.at(-1)?.tag, 2);
  peer.reply({ kind: "Rflush", tag: 1 });
  await assert.rejects(read, { message: "enough" });
  peer.reply({ kind: "Rclunk", tag: 2 });
  await other;
  const again = [1, 2, 3].map((fid) => client.request({ kind: "Tclunk", fid }));
  const tags = peer.sent.slice(-3).map((message) => message.tag);
  assert.deepEqual(tags.sort(), [0, 1, 2]);
  for (const tag of tags) peer.reply({ kind: "Rclunk", tag });
  await Promise.all(again);
});

Deno.test("Client.request() honors an answer that overtook its flush", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  const controller = new AbortController();
  const walk = client.request({ kind: "Tclunk", fid: 1 }, { signal: controller.signal });
  controller.abort();
  peer.reply({ kind: "Rclunk", tag: 0 });
  peer.reply({ kind: "Rflush", tag: 1 });
  assert.equal((await walk).kind, "Rclunk");
});

Deno.test("Client ends the connection after an answer to a flushed request", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  const controller = new AbortController();
  const read = client.request({ kind: "Tclunk", fid: 1 }, { signal: controller.signal });
  controller.abort(new Error("enough"));
  peer.reply({ kind: "Rflush", tag: 1 });
  peer.reply({ kind: "Rclunk", tag: 0 });
  await assert.rejects(read, { message: "enough" });
  assert.equal((await client.ended as { fault: string }).fault, "unknown-tag");
});

Deno.test("Client.request() sends nothing if its signal was aborted before", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client.request({ kind: "Tclunk", fid: 1 }, { signal }), {
    message: "enough",
  });
  assert.equal(peer.sent.length, 1);
});

Deno.test("Client.raw() passes on what it does not know", async () => {
  const peer = new Peer(() => null);
  await using client = await connect(peer);
  peer.send = (bytes) => {
    assert.deepEqual([...bytes], [8, 0, 0, 0, 200, 0, 0, 42]);
    peer.push(new Uint8Array([8, 0, 0, 0, 201, 0, 0, 43]));
  };
  const reply = await client.raw(new Uint8Array([8, 0, 0, 0, 200, 9, 9, 42]));
  assert.deepEqual([...reply], [8, 0, 0, 0, 201, 0, 0, 43]);
  await assert.rejects(client.raw(new Uint8Array(6)), { name: "RangeError" });
});

Deno.test("Fid.walk() takes 16 names at a time", async () => {
  const peer = new Peer(file(0));
  await using client = await connect(peer);
  await using root = await client.attach();
  const names = Array.from({ length: 40 }, (_, i) => `n${i}`);
  await using leaf = await root.walk(names.join("/"));
  const walks = peer.sent.filter((message) => message.kind === "Twalk");
  assert.deepEqual(walks.map(({ fid, newfid, wname }) => [fid, newfid, wname.length]), [
    [root.number, leaf.number, 16],
    [leaf.number, leaf.number, 16],
    [leaf.number, leaf.number, 8],
  ]);
  assert.deepEqual(walks.flatMap(({ wname }) => wname), names);
});

Deno.test("Fid.walk() gives the number back when only a part exists", async () => {
  const all = file(0);
  const peer = new Peer((message) => {
    if (message.kind !== "Twalk") return all(message);
    const wqid = message.wname.filter((name) => name !== "absent").map(() => QID);
    return { kind: "Rwalk", tag: message.tag, wqid };
  });
  await using client = await connect(peer);
  await using root = await client.attach();
  await assert.rejects(root.walk("a/absent"), { symbol: "ENOENT" });
  assert.equal(peer.sent.at(-1)?.kind, "Twalk");
  await assert.rejects(root.walk([...Array(16).fill("a"), "absent"]), { symbol: "ENOENT" });
  // Here the first part had made the fid.
  assert.deepEqual({ ...peer.sent.at(-1), tag: 0 }, { kind: "Tclunk", tag: 0, fid: 1 });
  await using next = await root.walk("a");
  assert.equal(next.number, 1);
});

Deno.test("Fid clunks once when disposed", async () => {
  const peer = new Peer(file(0));
  await using client = await connect(peer);
  {
    await using root = await client.attach();
    assert.equal(root.number, 0);
  }
  const clunks = (): number => peer.sent.filter(({ kind }) => kind === "Tclunk").length;
  assert.equal(clunks(), 1);
  {
    await using root = await client.attach();
    await root.clunk();
    await assert.rejects(root.clunk(), { symbol: "EBADF" });
  }
  assert.equal(clunks(), 2);
});

for (const size of [0, 1, 8168, 8169, 100000, 8168 * 9]) {
  Deno.test(`Fid.readAll() reads ${size} bytes in several requests`, async () => {
    const peer = new Peer(file(size));
    await using client = await connect(peer);
    await using root = await client.attach();
    const bytes = await (await root.open()).readAll();
    assert.equal(bytes.length, size);
    assert.ok(bytes.every((byte, i) => byte === i % 251));
    const part = new Uint8Array(size + 5);
    assert.equal(await root.readInto(part, 0n), size);
    assert.deepEqual(part.subarray(0, size), bytes);
  });
}

Deno.test("Fid.readInto() asks on after a short answer", async () => {
  const all = file(20000);
  const peer = new Peer((message) =>
    all(message.kind === "Tread" ? { ...message, count: Math.min(message.count, 1000) } : message)
  );
  await using client = await connect(peer);
  await using root = await client.attach();
  const bytes = new Uint8Array(20000);
  assert.equal(await root.readInto(bytes, 0n), 20000);
  assert.ok(bytes.every((byte, i) => byte === i % 251));
});

Deno.test("Fid.read() ends the connection when more comes than was asked for", async () => {
  const all = file(100);
  const peer = new Peer((message) =>
    message.kind === "Tread"
      ? { kind: "Rread", tag: message.tag, data: new Uint8Array(message.count + 1) }
      : all(message)
  );
  await using client = await connect(peer);
  await using root = await client.attach();
  await assert.rejects(root.read(0n, 5), { fault: "long-read" });
  assert.ok(peer.isClosed);
});

Deno.test("Fid.write() sends pieces and goes on after a short answer", async () => {
  const written = new Uint8Array(20000);
  const all = file(0);
  const peer = new Peer((message) => {
    if (message.kind !== "Twrite") return all(message);
    const data = message.data.subarray(0, 3000);
    written.set(data, Number(message.offset));
    return { kind: "Rwrite", tag: message.tag, count: data.length };
  });
  await using client = await connect(peer);
  await using root = await client.attach();
  const data = Uint8Array.from({ length: 20000 }, (_, i) => i % 251);
  assert.equal(await root.write(data), 20000);
  assert.deepEqual(written, data);
});

Deno.test("Fid.write() tells of a failure after all its requests have ended", async () => {
  let waiting = 0;
  const all = file(0);
  const peer = new Peer((message, peer) => {
    if (message.kind !== "Twrite") return all(message);
    waiting++;
    setTimeout(() => {
      waiting--;
      const { tag } = message;
      peer.reply(
        message.offset === 0n
          ? { kind: "Rlerror", tag, ecode: 28 }
          : { kind: "Rwrite", tag, count: 0 },
      );
    }, Number(message.offset) / 1000);
    return null;
  });
  await using client = await connect(peer);
  await using root = await client.attach();
  await assert.rejects(root.write(new Uint8Array(20000)), { symbol: "ENOSPC" });
  assert.equal(waiting, 0);
});

Deno.test("Fid.readdir() goes on at the last offset", async () => {
  const all = file(0);
  const peer = new Peer((message) => {
    if (message.kind !== "Treaddir") return all(message);
    const from = Number(message.offset);
    const parts = ["a", "bb", "ccc"].slice(from, from + 2).map((name, i) => {
      const entry = { qid: QID, offset: BigInt(from + i + 1), type: DT_REG, name };
      const bytes = new Uint8Array(DIRENT_HEADER + name.length);
      encodeDirentInto(entry, new Wire(bytes), 0);
      return [...bytes];
    });
    return { kind: "Rreaddir", tag: message.tag, data: Uint8Array.from(parts.flat()) };
  });
  await using client = await connect(peer);
  await using root = await client.attach();
  assert.deepEqual(await Array.fromAsync(root.readdir(), ({ name }) => name), ["a", "bb", "ccc"]);
});

Deno.test("Fid.setxattr() sets with the clunk and tells what the clunk says", async () => {
  const all = file(0);
  let clunk: RMessage = { kind: "Rclunk", tag: 0 };
  const peer = new Peer((message) => {
    const { tag } = message;
    if (message.kind === "Txattrcreate") return { kind: "Rxattrcreate", tag };
    if (message.kind === "Twrite") return { kind: "Rwrite", tag, count: message.data.length };
    if (message.kind === "Tclunk") return { ...clunk, tag };
    return all(message);
  });
  await using client = await connect(peer);
  const root = await client.attach();
  await root.setxattr("user.a", new Uint8Array([1, 2]));
  assert.deepEqual(peer.sent.slice(2).map(({ kind }) => kind), [
    "Twalk",
    "Txattrcreate",
    "Twrite",
    "Tclunk",
  ]);
  clunk = { kind: "Rlerror", tag: 0, ecode: 28 };
  await assert.rejects(root.setxattr("user.a", new Uint8Array([1, 2])), { symbol: "ENOSPC" });
});

Deno.test("Fid opens, creates and stats in 9P2000.u", async () => {
  const stat = {
    type: 0,
    dev: 0,
    qid: QID,
    mode: 0o644,
    atime: 1,
    mtime: 2,
    length: 3n,
    name: "f",
    uid: "u",
    gid: "g",
    muid: "m",
    extension: "",
    n_uid: 1,
    n_gid: 2,
    n_muid: 3,
  };
  const all = file(0);
  const peer = new Peer((message) => {
    const { tag } = message;
    switch (message.kind) {
      case "Topen":
        return { kind: "Ropen", tag, qid: QID, iounit: 100 };
      case "Tcreate":
        return { kind: "Rcreate", tag, qid: QID, iounit: 100 };
      case "Tstat":
        return { kind: "Rstat", tag, stat: encodeStat(stat, "9P2000.u") };
      case "Twstat":
        return { kind: "Rwstat", tag };
      default:
        return all(message);
    }
  });
  peer.dialect = "9P2000.u";
  await using client = await connect(peer);
  await using root = await client.attach({ uname: "u", n_uname: NOFID });
  assert.deepEqual(await root.stat(), stat);
  await root.wstat({ name: "g" });
  const [wstat] = peer.sent.filter(({ kind }) => kind === "Twstat");
  assert.equal(wstat?.kind === "Twstat" && wstat.stat.length, 2 + 61 + 1);
  await root.open(0o1001);
  assert.equal(root.maxPayload, 100);
  assert.deepEqual({ ...peer.sent.at(-1), tag: 0 }, { kind: "Topen", tag: 0, fid: 0, mode: 0x11 });
  await assert.rejects(root.getattr(), { symbol: "EOPNOTSUPP" });
});
