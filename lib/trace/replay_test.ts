import assert from "node:assert/strict";
import { MemoryTree } from "../fs/mod.ts";
import { encode, encodeDirentInto, type Message, Wire } from "../p9/mod.ts";
import { Server } from "../server/mod.ts";
import { type Channel, connectInMemory } from "../transport/mod.ts";
import { HELLO, play, type Said, TCP_CONVERSATION } from "./observed_test_helper.ts";
import { formatReplay, Recording, type ReplayOptions, type ReplayResult } from "./replay.ts";

const TEXT = new TextEncoder();

function listing(names: readonly string[]): Message {
  const data = new Uint8Array(names.length * 25);
  const wire = new Wire(data);
  let at = 0;
  for (const name of names) {
    const qid = { type: 0, version: 0, path: BigInt(at) };
    at = encodeDirentInto({ qid, offset: BigInt(1000 + at), type: 8, name }, wire, at);
  }
  return { kind: "Rreaddir", tag: 3, data: data.subarray(0, at) };
}

const WORK: readonly Said[] = [
  ...HELLO,
  [1000, 'Twalk tag=7 fid=0 newfid=900 wname=["a"]'],
  [1100, "Rwalk tag=7 wqid=[0.0.2]"],
  [1200, "Tlopen tag=7 fid=900 flags=O_RDWR"],
  [1300, "Rlopen tag=7 qid=0.0.2 iounit=4096"],
  // Two at once, answered the other way round.
  [1400, "Tread tag=7 fid=900 offset=0 count=5"],
  [1410, "Tread tag=8 fid=900 offset=5 count=5"],
  [1500, { kind: "Rread", tag: 8, data: TEXT.encode(" worl") }],
  [1600, { kind: "Rread", tag: 7, data: TEXT.encode("hello") }],
  [1700, { kind: "Twrite", tag: 7, fid: 900, offset: 0n, data: TEXT.encode("J") }],
  [1800, "Rwrite tag=7 count=1"],
  [1900, 'Twalk tag=7 fid=0 newfid=901 wname=["gone"]'],
  [2000, "Rlerror tag=7 ecode=ENOENT"],
  [2100, "Twalk tag=3 fid=0 newfid=902 wname=[]"],
  [2200, "Rwalk tag=3 wqid=[]"],
  [2300, "Tlopen tag=3 fid=902 flags=O_RDONLY|O_DIRECTORY"],
  [2400, "Rlopen tag=3 qid=80.0.1 iounit=0"],
  // Other cookies, other order, an entry at a time.
  [2500, "Treaddir tag=3 fid=902 offset=0 count=30"],
  [2600, listing(["b"])],
  [2700, "Treaddir tag=3 fid=902 offset=1000 count=30"],
  [2800, listing(["a"])],
  [2900, "Treaddir tag=3 fid=902 offset=1001 count=30"],
  [3000, listing([])],
  [3100, "Tclunk tag=3 fid=902"],
  [3200, "Rclunk tag=3"],
  [3300, "Tclunk tag=3 fid=900"],
  [3400, "Rclunk tag=3"],
];

function server(content = "hello world"): { connect: () => Promise<Channel>; tree: MemoryTree } {
  const tree = new MemoryTree();
  tree.addFile("a", content);
  tree.addFile("b", "");
  const server = new Server({ exports: [{ name: "", tree, readOnly: false }] });
  return { connect: () => Promise.resolve(connectInMemory(server.accept)), tree };
}

async function replay(said: readonly Said[], options: ReplayOptions): Promise<ReplayResult> {
  const recording = new Recording();
  await play([recording], said);
  return await recording.replay(options);
}

Deno.test("Recording.replay() gets the same replies from a server that has the same files", async () => {
  const result = await replay(WORK, { ...server(), speed: 0 });
  assert.deepEqual(result.differences, []);
  assert.deepEqual([result.sent, result.same, result.different], [15, 15, 0]);
  assert.equal(result.skipped.size, 0);
  assert.match(
    formatReplay(result),
    /^15 requests sent in .* 15 replies are the same, 0 differ\n$/,
  );
});

Deno.test("Recording.replay() reports other contents, names and errors", async () => {
  const { connect, tree } = server("hello there");
  tree.addFile("gone", "");
  const result = await replay(WORK, { connect, speed: 0 });
  assert.deepEqual(result.differences.map(({ number }) => number), [5, 8, 13]);
  assert.deepEqual(result.differences.slice(1).map(({ expected, actual }) => [expected, actual]), [
    ["-ENOENT", "Rwalk(wqid=0)"],
    ['entries ["a","b"]', 'entries ["a","b","gone"]'],
  ]);
  assert.match(result.differences[0]?.expected ?? "", /^Rread\(5 bytes [0-9a-f]{8}\)$/);
  assert.notEqual(result.differences[0]?.expected, result.differences[0]?.actual);
  assert.match(formatReplay(result), /c1 #8 Twalk.*\n {2}captured: -ENOENT\n {2}replayed: Rwalk/);
});

Deno.test("Recording.replay() keeps the pace of the capture, or a multiple of it", async () => {
  const slow: readonly Said[] = [
    ...HELLO,
    [200_000, "Tstatfs tag=1 fid=0"],
    [200_100, "Rlerror tag=1 ecode=EIO"],
  ];
  const paced = await replay(slow, { ...server() });
  assert.ok(paced.taken > 190e6, `${paced.taken}`);
  const fast = await replay(slow, { ...server(), speed: 10 });
  assert.ok(fast.taken > 19e6 && fast.taken < paced.taken, `${fast.taken}`);
});

Deno.test("Recording.replay() leaves out what depends on an unseen beginning, and says so", async () => {
  const result = await replay(WORK.slice(4), { ...server(), speed: 0 });
  assert.equal(result.sent, 0);
  assert.match(formatReplay(result), /13 requests were not sent: a fid in it was made before/);
  assert.equal([...result.skipped.values()].reduce((sum, each) => sum + each, 0), 13);
});

Deno.test("Recording.replay() gives up on a server that does not answer", async () => {
  // Agrees on a version, and never says anything again.
  const connect = (): Promise<Channel> => {
    const closed = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    return Promise.resolve({
      frames: (async function* () {
        await asked.promise;
        const version = "9P2000.L";
        yield encode({ kind: "Rversion", tag: 0xffff, msize: 8192, version }, version);
        await closed.promise;
      })(),
      send: () => asked.resolve(),
      close: () => closed.resolve(),
    });
  };
  const hung = await replay(HELLO, { connect, speed: 0, timeoutMs: 50 });
  assert.deepEqual(hung.differences.map(({ actual }) => actual), ["no reply within 50 ms"]);
});

Deno.test("Recording.replay() ends with its signal", async () => {
  const controller = new AbortController();
  const later: readonly Said[] = [...HELLO, [60_000_000, "Tstatfs tag=1 fid=0"]];
  const ended = replay(later, { ...server(), signal: controller.signal });
  setTimeout(() => controller.abort(new Error("stop")), 30);
  await assert.rejects(ended, /stop/);
});

Deno.test("Recording does not write half of a payload", async () => {
  const recording = new Recording();
  const half = {
    time: 0,
    size: 123,
    type: 118,
    malformed: null,
    bytes: new Uint8Array(),
    message: { kind: "Twrite", tag: 1, fid: 0, offset: 0n, data: new Uint8Array(10) },
  } as const;
  recording.transaction({
    number: 1,
    conversation: TCP_CONVERSATION,
    tag: 1,
    request: half,
    reply: null,
    outcome: "unfinished",
    depth: 1,
    paths: new Map(),
    errno: 0,
  });
  assert.equal(recording.size, 0);
  const result = await recording.replay({ ...server(), speed: 0 });
  assert.deepEqual([...result.skipped], [["not wholly captured", 1]]);
});
