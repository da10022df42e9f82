import assert from "node:assert/strict";
import {
  check,
  close,
  EAGAIN,
  MSG_DONTWAIT,
  pin,
  recv,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  socketpair,
  write,
} from "../linux/mod.ts";
import { RawStream } from "./raw_stream.ts";

const room = pin(1 << 20);

/** A connection, and the other end of it, which blocks. */
function pair(): { stream: RawStream; peer: number; say: (bytes: Uint8Array) => void } {
  const fds = socketpair(SOCK_STREAM | SOCK_CLOEXEC);
  assert.ok(typeof fds !== "number");
  const [own, peer] = fds;
  const say = (bytes: Uint8Array): void => {
    room.bytes.set(bytes);
    assert.equal(check(write(peer, room.address, bytes.length), "write"), bytes.length);
  };
  return { stream: new RawStream(own), peer, say };
}

/** A frame of a size, whose bytes differ. */
function frame(size: number): Uint8Array {
  const bytes = Uint8Array.from({ length: size }, (_, i) => i * 7 & 0xff);
  new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Reads as much as was sent, and lets others send more meanwhile. */
async function hear(peer: number, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let done = 0; done < count;) {
    const got = recv(peer, room.address, Math.min(count - done, 100_000), MSG_DONTWAIT);
    if (got !== -EAGAIN) check(got, "read");
    if (got > 0) bytes.set(room.bytes.subarray(0, got), done);
    done += Math.max(0, got);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return bytes;
}

Deno.test("a raw connection gives frames one by one, however they come", async () => {
  const { stream, peer, say } = pair();
  const [first, second, third] = [frame(7), frame(100), frame(5000)];
  const all = joined(first, second, third);
  say(all.subarray(0, 9));
  assert.deepEqual(await stream.receive(5000), first);
  assert.equal(stream.take(), undefined);
  assert.equal(stream.pending, 2);
  say(all.subarray(9, 200));
  assert.deepEqual(await stream.receive(5000), second);
  assert.equal(stream.pending, 93);
  for (let at = 200; at < all.length; at += 1000) {
    say(all.subarray(at, at + 1000));
    if (at + 1000 < all.length) assert.equal(await stream.receive(3), undefined);
  }
  assert.deepEqual(await stream.receive(5000), third);
  assert.equal(stream.pending, 0);
  say(joined(first, second));
  assert.deepEqual(await stream.receive(5000), first);
  assert.deepEqual(stream.take(), second);
  close(peer);
  await stream.close();
});

Deno.test("a raw connection tells its end again and again, after what came before it", async () => {
  const { stream, peer, say } = pair();
  say(joined(frame(7), frame(20).subarray(0, 12)));
  close(peer);
  assert.deepEqual(await stream.receive(5000), frame(7));
  assert.equal(await stream.receive(5000), null);
  assert.equal(await stream.receive(5000), null);
  assert.equal(stream.pending, 12);
  await stream.send(frame(7));
  await stream.close();
  await stream.close();
});

Deno.test("a raw connection waits as long as it is told, whoever holds the thread", async () => {
  const { stream, peer, say } = pair();
  const begun = performance.now();
  assert.equal(await stream.receive(60), undefined);
  assert.ok(performance.now() - begun >= 59);
  const timer = setTimeout(() => say(frame(9)), 30);
  assert.deepEqual(await stream.receive(60_000), frame(9));
  clearTimeout(timer);
  // Once more: who has answered before is waited for in another way.
  setTimeout(() => say(frame(8)), 30);
  assert.deepEqual(await stream.receive(60_000), frame(8));
  close(peer);
  await stream.close();
});

Deno.test("a raw connection gives a frame that lies about its size as it is, and ends", async () => {
  for (const size of [0, 6, 2 ** 26, 2 ** 32 - 1]) {
    const { stream, peer, say } = pair();
    const bytes = frame(12);
    new DataView(bytes.buffer).setUint32(0, size, true);
    say(bytes);
    assert.deepEqual(await stream.receive(5000), bytes);
    assert.equal(await stream.receive(5000), null);
    close(peer);
    await stream.close();
  }
});

Deno.test("a raw connection keeps what the peer does not take yet, and sends it while it waits", async () => {
  const { stream, peer, say } = pair();
  const [large, small] = [frame(3_000_000), frame(7)];
  await stream.send(large);
  await stream.send(small);
  const answer = stream.receive(60_000);
  const sent = joined(large, small);
  assert.ok(Buffer.compare(await hear(peer, sent.length), sent) === 0);
  say(frame(30));
  assert.deepEqual(await answer, frame(30));
  close(peer);
  await stream.close();
});

Deno.test("a raw connection that is closed waits for the peer to hang up, but not for ever", async () => {
  const { stream, peer } = pair();
  let isGone = false;
  setTimeout(() => {
    isGone = true;
    close(peer);
  }, 50);
  const answer = stream.receive(60_000);
  await stream.close();
  assert.ok(isGone);
  assert.equal(await answer, null);
  const silent = pair();
  const begun = performance.now();
  await silent.stream.close();
  assert.ok(performance.now() - begun >= 900);
  close(silent.peer);
});
