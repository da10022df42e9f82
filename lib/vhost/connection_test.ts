import assert from "node:assert/strict";
import {
  check,
  close,
  eventfd,
  getrlimit,
  IoVectors,
  MappedMemory,
  MSG_DONTWAIT,
  RLIMIT_NOFILE,
  sendmsg,
  setrlimit,
} from "../linux/mod.ts";
import { RawMessage, VhostUserConnection } from "./connection.ts";
import { openFds, sockets, tightTest } from "./loop_test_helper.ts";
import { encodeMessage, encodeRaw, HEADER_SIZE } from "./messages.ts";
import { MAX_FDS, MAX_PAYLOAD } from "./requests.ts";

/** A connection, and the bare socket at its other end. */
class Pair implements Disposable {
  readonly connection: VhostUserConnection;
  readonly far: number;
  readonly #memory = MappedMemory.anonymous(65536);
  readonly #vectors = new IoVectors(1);
  #isOpen = true;

  constructor() {
    const [near, far] = sockets();
    this.connection = new VhostUserConnection(near);
    this.far = far;
  }

  send(bytes: Uint8Array, fds: number[] = []): void {
    this.#memory.bytes.set(bytes);
    this.#vectors.clear();
    this.#vectors.add(this.#memory.address, bytes.length);
    assert.equal(sendmsg(this.far, this.#vectors, MSG_DONTWAIT, fds), bytes.length);
  }

  hangUp(): void {
    if (this.#isOpen) close(this.far);
    this.#isOpen = false;
  }

  receive(): RawMessage {
    const message = this.connection.tryReceive();
    assert.ok(message instanceof RawMessage, `a message is there, not "${message}"`);
    return message;
  }

  [Symbol.dispose](): void {
    this.hangUp();
    this.connection[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }
}

/** Some descriptors, and closes them. */
function withFds<T>(count: number, body: (fds: number[]) => T): T {
  const fds = Array.from({ length: count }, () => check(eventfd(0, 0), "make an eventfd"));
  try {
    return body(fds);
  } finally {
    fds.forEach(close);
  }
}

const num = encodeMessage("SET_VRING_NUM", "request", { index: 0, num: 8 });

tightTest("tryReceive() puts a message together that comes byte by byte", () => {
  using pair = new Pair();
  assert.equal(pair.connection.tryReceive(), "wait");
  for (const byte of num.subarray(0, -1)) {
    pair.send(new Uint8Array([byte]));
    assert.equal(pair.connection.tryReceive(), "wait");
  }
  pair.send(num.subarray(-1));
  assert.equal(pair.receive().toString(), "SET_VRING_NUM index=0 num=8");
  assert.equal(pair.connection.tryReceive(), "wait");
});

tightTest("tryReceive() gives each of several messages its own descriptors", () => {
  using pair = new Pair();
  withFds(3, ([a = 0, b = 0, c = 0]) => {
    pair.send(num);
    pair.send(num, [a, b]);
    pair.send(num.subarray(0, HEADER_SIZE), [c]);
    pair.send(num.subarray(HEADER_SIZE), [c]); // late ones count too
    for (const count of [0, 2, 2]) {
      using message = pair.receive();
      assert.equal(message.fdCount, count);
    }
  });
});

tightTest("RawMessage closes what nobody took", () => {
  using pair = new Pair();
  withFds(2, (fds) => pair.send(num, fds));
  const before = openFds();
  {
    using message = pair.receive();
    using fd = message.takeFd();
    assert.equal(openFds(), before + 2);
    assert.ok(fd?.isOpen);
    assert.equal(message.fdCount, 1);
  }
  assert.equal(openFds(), before);
});

tightTest("dispose() closes descriptors of a message that is not whole", () => {
  using pair = new Pair();
  withFds(2, (fds) => pair.send(num.subarray(0, 5), fds));
  assert.equal(pair.connection.tryReceive(), "wait");
});

tightTest("tryReceive() takes the largest payload, and refuses a larger one by its header", () => {
  using pair = new Pair();
  pair.send(encodeRaw(1, 1, MAX_PAYLOAD));
  assert.equal(pair.receive().payload.length, MAX_PAYLOAD);
  pair.send(encodeRaw(24, 1, MAX_PAYLOAD + 1).subarray(0, HEADER_SIZE));
  assert.throws(() => pair.connection.tryReceive(), {
    name: "VhostUserError",
    fault: "payload-too-large",
    request: "GET_CONFIG",
    message: "Cannot read GET_CONFIG: 4097 bytes of payload are more than 4096",
  });
});

tightTest("tryReceive() refuses more descriptors than any message may have", () => {
  using pair = new Pair();
  withFds(MAX_FDS + 1, (fds) => pair.send(num, fds));
  assert.throws(() => pair.connection.tryReceive(), { fault: "bad-fd-count" });
});

tightTest("tryReceive() refuses descriptors that come in drops", () => {
  using pair = new Pair();
  assert.throws(() => {
    withFds(MAX_FDS / 2, (fds) => {
      for (const byte of num) {
        pair.send(new Uint8Array([byte]), fds);
        assert.equal(pair.connection.tryReceive(), "wait");
      }
    });
  }, { fault: "bad-fd-count" });
});

tightTest("tryReceive() notices descriptors that this process had no room for", () => {
  using pair = new Pair();
  withFds(8, (fds) => pair.send(num, fds));
  const limit = getrlimit(RLIMIT_NOFILE);
  assert.ok(typeof limit === "object");
  const free = check(eventfd(0, 0), "make an eventfd");
  close(free);
  check(setrlimit(RLIMIT_NOFILE, { ...limit, soft: BigInt(free + 2) }), "lower the limit");
  try {
    assert.throws(() => pair.connection.tryReceive(), { fault: "fds-lost" });
  } finally {
    check(setrlimit(RLIMIT_NOFILE, limit), "restore the limit");
  }
});

tightTest("tryReceive() tells a connection that ends from one that breaks off", () => {
  using pair = new Pair();
  pair.send(num);
  pair.hangUp();
  pair.receive();
  assert.equal(pair.connection.tryReceive(), "end");

  using other = new Pair();
  other.send(num.subarray(0, 13));
  other.hangUp();
  assert.throws(() => other.connection.tryReceive(), {
    fault: "ended-early",
    message: "Cannot read a message: the peer ended the connection after 13 bytes of it",
  });
});

tightTest("trySend() keeps what the socket has no room for", () => {
  const [one, other] = sockets();
  using near = new VhostUserConnection(one);
  using far = new VhostUserConnection(other);
  const message = encodeRaw(24, 5, MAX_PAYLOAD);
  let count = 0;
  while (near.trySend(message)) count++;
  assert.ok(count > 0 && near.hasPending);
  assert.throws(() => near.trySend(message), RangeError);
  assert.equal(near.flush(), false);
  assert.equal(near.waitFor("room", 1), false);

  let received = 0;
  while (far.tryReceive() instanceof RawMessage) {
    received++;
    if (received === count) assert.ok(near.flush());
  }
  assert.equal(received, count + 1);
  assert.equal(near.hasPending, false);
});

tightTest("trySend() names the failure when the peer has left", () => {
  using pair = new Pair();
  pair.hangUp();
  assert.throws(() => pair.connection.trySend(num), {
    fault: "connection-lost",
    message: "Cannot send a message: EPIPE",
  });
});
