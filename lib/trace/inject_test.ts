import assert from "node:assert/strict";
import { loadLibc } from "../linux/mod.ts";
import {
  encode,
  type Message,
  NOFID,
  NOTAG,
  type TMessage,
  tryDecode,
  TYPE,
  Wire,
} from "../p9/mod.ts";
import { type Channel, dial } from "../transport/mod.ts";
import { serveTree, type TestServer } from "../../test/observed.ts";
import { happens, injecting, parseInjection } from "./inject.ts";

// libc stays loaded: it is opened here so that no test is blamed for it.
loadLibc();

const good: [text: string, rule: Partial<ReturnType<typeof parseInjection>>][] = [
  ["Tread:error=EIO", { error: 5, first: 1, last: Infinity, step: 1 }],
  ["Tread:error=28:when=3", { error: 28, first: 3, last: 3 }],
  ["Tread:drop:when=3+", { drop: true, first: 3, last: Infinity, step: 1 }],
  ["Tread:drop:when=3+2", { first: 3, last: Infinity, step: 2 }],
  ["Tread:drop:when=3..7", { first: 3, last: 7, step: 1 }],
  ["Tread:drop:when=3..7+2", { first: 3, last: 7, step: 2 }],
  ["Tread,Rread:delay_enter=500", { delayEnterMs: 0.5, types: new Set([116, 117]) }],
  ["Tread:delay_exit=2s:delay_enter=3ms", { delayExitMs: 2000, delayEnterMs: 3 }],
  ["/^Tx:?attr/:error=EPERM", { types: new Set([30, 32]) }],
  ["Rread:truncate", { truncate: null }],
  ["Rread:truncate=7", { truncate: 7 }],
  ["Rread:corrupt=11", { corrupt: 11 }],
];
for (const [text, rule] of good) {
  Deno.test(`parseInjection() takes ${text}`, () => {
    const found = parseInjection(text);
    for (const [name, value] of Object.entries(rule)) {
      assert.deepEqual(found[name as keyof typeof found], value, name);
    }
  });
}

const wrong: [text: string, message: RegExp][] = [
  ["", /a message is missing/],
  ["Tread", /nothing is to happen/],
  ["Topen2:drop", /there is no message "Topen2"/],
  ["/(/:drop", /no regular expression/],
  ["Tread:error", /"" is no error/],
  ["Tread:error=EFOO", /"EFOO" is no error/],
  ["Tread:error=0", /"0" is no error/],
  ["Tread:delay_enter=5min", /no time/],
  ["Tread:corrupt=3", /leaves size, type and tag alone/],
  ["Tread:drop:when=0", /never happens/],
  ["Tread:drop:when=3..2", /never happens/],
  ["Tread:drop:when=x", /is not FIRST/],
  ["Tread:drop:error=EIO", /only one of/],
  ["Tread:signal=INT:drop", /"signal" is none of/],
  ["Rwalk:error=EIO", /name Twalk/],
];
for (const [text, message] of wrong) {
  Deno.test(`parseInjection() refuses "${text}"`, () => {
    assert.throws(() => parseInjection(text), (error) => {
      assert(error instanceof TypeError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("happens() counts as strace does", () => {
  const at = (when: string) => {
    const rule = parseInjection(`Tread:drop:when=${when}`);
    return [1, 2, 3, 4, 5, 6, 7, 8].filter((number) => happens(rule, number));
  };
  assert.deepEqual(at("3"), [3]);
  assert.deepEqual(at("3+"), [3, 4, 5, 6, 7, 8]);
  assert.deepEqual(at("3+2"), [3, 5, 7]);
  assert.deepEqual(at("2..4"), [2, 3, 4]);
  assert.deepEqual(at("2..7+3"), [2, 5]);
});

/** A client that says what it is told to, and hears what comes. */
class Talk implements AsyncDisposable {
  readonly #server: TestServer;
  readonly #channel: Channel;
  readonly #frames: AsyncIterator<Uint8Array>;

  private constructor(server: TestServer, channel: Channel) {
    this.#server = server;
    this.#channel = channel;
    this.#frames = channel.frames[Symbol.asyncIterator]();
  }

  static async begin(...rules: string[]): Promise<Talk> {
    const server = await serveTree(
      "unix",
      undefined,
      (accept, reactor) => injecting(accept, rules.map(parseInjection), reactor),
    );
    const talk = new Talk(server, await dial(server.address));
    await talk.ask({ kind: "Tversion", tag: NOTAG, msize: 65_536, version: "9P2000.L" });
    await talk.ask({
      kind: "Tattach",
      tag: 1,
      fid: 0,
      afid: NOFID,
      uname: "",
      aname: "",
      n_uname: 0,
    });
    return talk;
  }

  async say(message: TMessage): Promise<void> {
    await this.#channel.send(encode(message, "9P2000.L"));
  }

  async bytes(): Promise<Uint8Array> {
    const { value } = await this.#frames.next();
    assert(value instanceof Uint8Array, "the connection ended");
    return value;
  }

  async hear(): Promise<Message | null> {
    const bytes = await this.bytes();
    return tryDecode(new Wire(bytes), 0, bytes.length, "9P2000.L");
  }

  async ask(message: TMessage): Promise<Message | null> {
    await this.say(message);
    return await this.hear();
  }

  walk(newfid: number, ...wname: string[]): Promise<Message | null> {
    return this.ask({ kind: "Twalk", tag: 1, fid: 0, newfid, wname });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.close();
    await this.#server[Symbol.asyncDispose]();
  }
}

const getattr = (tag: number, fid: number): TMessage => ({
  kind: "Tgetattr",
  tag,
  fid,
  request_mask: 0x7ffn,
});

Deno.test("injecting() answers with an error, and the server never hears of it", async () => {
  await using talk = await Talk.begin("Twalk:error=ESTALE:when=1");
  assert.deepEqual(await talk.walk(5, "hello"), { kind: "Rlerror", tag: 1, ecode: 116 });
  // The fid is as free as the client believes.
  assert.equal((await talk.walk(5, "hello"))?.kind, "Rwalk");
});

for (const kind of ["Tclunk", "Tremove"] as const) {
  Deno.test(`injecting() ends the fid of a ${kind} that fails`, async () => {
    await using talk = await Talk.begin(`${kind}:error=EIO`);
    await talk.walk(5, "hello");
    assert.deepEqual(await talk.ask({ kind, tag: 9, fid: 5 }), {
      kind: "Rlerror",
      tag: 9,
      ecode: 5,
    });
    // The fid is free, the file is there.
    assert.equal((await talk.walk(5, "hello"))?.kind, "Rwalk");
  });
}

Deno.test("injecting() answers with an error after the fact", async () => {
  await using talk = await Talk.begin("Rmkdir:error=EIO");
  const mkdir = { kind: "Tmkdir", tag: 1, dfid: 0, name: "made", mode: 0o755, gid: 0 } as const;
  assert.equal((await talk.ask(mkdir))?.kind, "Rlerror");
  assert.equal((await talk.walk(6, "made"))?.kind, "Rwalk");
});

Deno.test("injecting() loses a request until it is flushed", async () => {
  await using talk = await Talk.begin("Tgetattr:drop:when=1");
  await talk.say(getattr(3, 0));
  assert.deepEqual(await talk.ask({ kind: "Tflush", tag: 4, oldtag: 3 }), {
    kind: "Rflush",
    tag: 4,
  });
  assert.equal((await talk.ask(getattr(3, 0)))?.kind, "Rgetattr");
});

for (const side of ["enter", "exit"] as const) {
  Deno.test(`injecting() delays one request on ${side}, and no other`, async () => {
    await using talk = await Talk.begin(`Tgetattr:delay_${side}=60ms:when=1`);
    const began = performance.now();
    await talk.say(getattr(3, 0));
    await talk.say(getattr(4, 0));
    assert.equal((await talk.hear())?.tag, 4);
    assert.equal((await talk.hear())?.tag, 3);
    assert(performance.now() - began >= 59);
  });

  Deno.test(`injecting() does not let a flush overtake what is delayed on ${side}`, async () => {
    await using talk = await Talk.begin(`Tgetattr:delay_${side}=1000s`);
    await talk.say(getattr(3, 0));
    await talk.say({ kind: "Tflush", tag: 4, oldtag: 3 });
    assert.equal((await talk.hear())?.kind, "Rgetattr");
    assert.equal((await talk.hear())?.kind, "Rflush");
  });
}

Deno.test("injecting() delays the error that it answers with", async () => {
  await using talk = await Talk.begin("Tgetattr:error=EIO:delay_exit=50ms");
  const began = performance.now();
  assert.equal((await talk.ask(getattr(3, 0)))?.kind, "Rlerror");
  assert(performance.now() - began >= 49);
});

Deno.test("injecting() cuts and changes replies, size and tag aside", async () => {
  await using talk = await Talk.begin(
    "Rgetattr:truncate:when=1",
    "Rgetattr:truncate=9:when=2",
    "Rgetattr:corrupt:when=3",
    "Rgetattr:corrupt=7:when=4",
  );
  const replies: Uint8Array[] = [];
  for (let tag = 1; tag <= 5; tag++) {
    await talk.say(getattr(tag, 0));
    replies.push(await talk.bytes());
  }
  const whole = replies[4] ?? new Uint8Array();
  assert.deepEqual(replies.map(({ length }) => length), [159, 9, 160, 160, 160]);
  for (const [index, reply] of replies.entries()) {
    assert.equal(new DataView(reply.buffer).getUint32(0, true), reply.length);
    assert.equal(reply[4], TYPE.Rgetattr);
    assert.equal(reply[5], index + 1);
  }
  assert.equal(replies[2]?.[159], (whole[159] ?? 0) ^ 0xff);
  assert.equal(replies[3]?.[7], (whole[7] ?? 0) ^ 0xff);
});

Deno.test("injecting() changes requests behind their fids", async () => {
  await using talk = await Talk.begin("Twalk:corrupt:when=1", "Tclunk:corrupt");
  assert.equal((await talk.walk(5, "hello"))?.kind, "Rlerror");
  await talk.walk(5, "hello");
  assert.equal((await talk.ask({ kind: "Tclunk", tag: 1, fid: 5 }))?.kind, "Rclunk");
});

Deno.test("injecting() ends with a session that things are held in", async () => {
  const talk = await Talk.begin("Tgetattr:delay_enter=1000s:when=1", "Tgetattr:delay_exit=1000s");
  await talk.say(getattr(3, 0));
  await talk.say(getattr(4, 0));
  await talk.walk(5, "hello");
  await talk[Symbol.asyncDispose]();
});
