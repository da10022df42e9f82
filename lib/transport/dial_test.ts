import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ByteStream, channelOf, dial, parseDialAddress } from "./dial.ts";

const addresses: [text: string, address: Record<string, unknown>][] = [
  ["tcp://127.0.0.1:564", { kind: "tcp", host: "127.0.0.1", port: 564 }],
  ["tcp://[::1]:5640", { kind: "tcp", host: "::1", port: 5640 }],
  ["tcp://localhost:1", { kind: "tcp", host: "localhost", port: 1 }],
  ["unix:///run/9p.sock", { kind: "unix", path: "/run/9p.sock" }],
  ["unix://@name", { kind: "unix", path: "@name" }],
];
for (const [text, address] of addresses) {
  Deno.test(`parseDialAddress() takes ${text}`, () => {
    assert.deepEqual(parseDialAddress(text), address);
  });
}
for (
  const text of [
    "",
    "tcp://",
    "tcp://h",
    "tcp://h:0",
    "tcp://h:65536",
    "tcp://::1:5",
    "unix://",
    "unix://x",
    "/x",
  ]
) {
  Deno.test(`parseDialAddress() refuses "${text}"`, () => {
    assert.throws(() => parseDialAddress(text), { name: "TypeError" });
  });
}

/** A frame of `size` bytes whose type is `type` and whose body counts up. */
function frame(size: number, type: number): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
  new DataView(bytes.buffer).setUint32(0, size, true);
  bytes[4] = type;
  return bytes;
}

/** A stream that gives `bytes` in pieces and takes what is written in pieces. */
function streamOf(bytes: Uint8Array, piece: number): ByteStream & { written: number[] } {
  let at = 0;
  return {
    written: [],
    read(into) {
      const n = Math.min(piece, into.length, bytes.length - at);
      into.set(bytes.subarray(at, at + n));
      at += n;
      return Promise.resolve(n === 0 ? null : n);
    },
    write(from) {
      const part = from.subarray(0, piece);
      this.written.push(...part);
      return Promise.resolve(part.length);
    },
    close() {},
  };
}

const sizes = [7, 7, 11, 65536, 65537, 8, 200000, 1500000, 30];
for (const piece of [1000, 4096, 65536, 3000000]) {
  Deno.test(`channelOf() cuts frames out of reads of ${piece} bytes`, async () => {
    const all = new Blob(sizes.map((size, i) => frame(size, i)));
    const channel = channelOf(streamOf(await all.bytes(), piece));
    const frames = await Array.fromAsync(channel.frames);
    assert.deepEqual(frames.map((bytes) => bytes.length), sizes);
    for (const [i, bytes] of frames.entries()) {
      assert.equal(Buffer.compare(bytes, frame(bytes.length, i)), 0);
    }
  });
}

Deno.test("channelOf() cuts frames out of single bytes", async () => {
  const all = new Blob([7, 12, 7].map((size, i) => frame(size, i)));
  const channel = channelOf(streamOf(await all.bytes(), 1));
  const frames = await Array.fromAsync(channel.frames);
  assert.deepEqual(frames, [frame(7, 0), frame(12, 1), frame(7, 2)]);
});

for (const [what, size] of [["short", 6], ["short", 0], ["long", 1001], ["long", 0xffffffff]]) {
  Deno.test(`channelOf() ends at a frame that is too ${what}: ${size} bytes`, async () => {
    const bad = new Uint8Array(20);
    new DataView(bad.buffer).setUint32(0, Number(size), true);
    const stream = await new Blob([frame(9, 1), bad]).bytes();
    const channel = channelOf(streamOf(stream, 4096), 1000);
    const frames: Uint8Array[] = [];
    await assert.rejects(async () => {
      for await (const one of channel.frames) frames.push(one);
    }, { name: "FrameSizeError", size });
    assert.deepEqual(frames, [frame(9, 1)]);
  });
}

Deno.test("channelOf() drops a frame that the end of the stream cuts off", async () => {
  for (const whole of [frame(100, 1), frame(100000, 1)]) {
    const channel = channelOf(streamOf(whole.subarray(0, -1), 4096));
    assert.deepEqual(await Array.fromAsync(channel.frames), []);
  }
});

Deno.test("channelOf() sends frames in order, also when little is taken at once", async () => {
  const stream = streamOf(new Uint8Array(0), 1000);
  const channel = channelOf(stream);
  const frames = [frame(10, 1), frame(70000, 2), frame(12, 3), frame(13, 4)];
  await Promise.all(frames.map((one) => channel.send(one)));
  assert.equal(Buffer.compare(Uint8Array.from(stream.written), await new Blob(frames).bytes()), 0);
});

Deno.test("channelOf() rejects what cannot be sent", async () => {
  const stream = streamOf(new Uint8Array(0), 1000);
  stream.write = () => Promise.reject(new Error("no"));
  const channel = channelOf(stream);
  const sent = await Promise.allSettled([channel.send(frame(9, 1)), channel.send(frame(70000, 2))]);
  assert.deepEqual(sent.map(({ status }) => status), ["rejected", "rejected"]);
  channel.close();
  await assert.rejects(async () => await channel.send(frame(9, 1)), { message: /closed/ });
});

/** Accepts one connection and sends back whatever comes. */
async function echo(listener: Deno.Listener): Promise<void> {
  using conn = await listener.accept();
  const bytes = new Uint8Array(65536);
  for (let n: number | null; (n = await conn.read(bytes)) !== null;) {
    for (let at = 0; at < n;) at += await conn.write(bytes.subarray(at, n));
  }
}

const listeners: [what: string, listen: () => [Deno.Listener, string, () => void]][] = [
  ["TCP", () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return [listener, `tcp://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`, () => {}];
  }],
  ["unix", () => {
    const folder = Deno.makeTempDirSync();
    const path = `${folder}/9p.sock`;
    const listener = Deno.listen({ transport: "unix", path });
    return [listener, `unix://${path}`, () => Deno.removeSync(folder, { recursive: true })];
  }],
];
for (const [what, listen] of listeners) {
  Deno.test(`dial() connects over ${what}`, async () => {
    const [listener, address, cleanUp] = listen();
    const echoed = echo(listener);
    try {
      const channel = await dial(address);
      const frames = [frame(7, 1), frame(300000, 2), frame(9, 3)];
      const sent = Promise.all(frames.map((one) => channel.send(one)));
      const got: Uint8Array[] = [];
      for await (const one of channel.frames) {
        got.push(one);
        if (got.length === frames.length) break;
      }
      await sent;
      assert.ok(got.every((bytes, i) => Buffer.compare(bytes, frames[i] ?? bytes) === 0));
      channel.close();
      channel.close();
      await echoed;
    } finally {
      listener.close();
      cleanUp();
    }
  });
}

Deno.test("dial() ends the frames of a channel that is closed while it waits", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const echoed = echo(listener);
  const channel = await dial(`tcp://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`);
  const frames = Array.fromAsync(channel.frames);
  await new Promise((resolve) => setTimeout(resolve, 5));
  channel.close();
  assert.deepEqual(await frames, []);
  await echoed;
  listener.close();
});

Deno.test("dial() tells who does not listen", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await assert.rejects(
    dial({ kind: "tcp", host: "127.0.0.1", port }),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("dial() gives up when its signal says so", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const to = { kind: "tcp", host: "127.0.0.1", port } as const;
  await assert.rejects(dial(to, { signal: AbortSignal.abort(new Error("enough")) }), {
    message: "enough",
  });
  const controller = new AbortController();
  const dialled = dial(to, { signal: controller.signal });
  await Promise.resolve();
  controller.abort(new Error("enough"));
  await assert.rejects(dialled, { message: "enough" });
  const conn = await listener.accept();
  assert.equal(await conn.read(new Uint8Array(1)), null);
  conn.close();
  listener.close();
});
