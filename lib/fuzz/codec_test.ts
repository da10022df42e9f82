import assert from "node:assert/strict";
import { encode, encodeInto, type Message, sizeOf, tryDecode } from "../p9/mod.ts";
import { DEFAULT_LIMITS, Server } from "../server/mod.ts";
import { sampleTree } from "./clients_mischief.ts";
import { FrameMaker, MUTATIONS } from "./codec_frames.ts";
import { type Codec, type CodecCheck, CodecOracle, OUR_CODEC } from "./codec_oracle.ts";
import { runCodec, shrinkFrame } from "./codec_run.ts";
import { runCodecFrames } from "./codec_target.ts";
import { Random } from "./random.ts";
import { memoryTarget } from "./target_kinds.ts";

const L = "9P2000.L";

Deno.test("FrameMaker makes good frames and bad ones, by every mutation, and the same again", () => {
  const one = new FrameMaker(new Random(0));
  const other = new FrameMaker(new Random(5));
  const oracle = new CodecOracle();
  const mutations = new Set<string>();
  const types = new Set<number>();
  let good = 0;
  for (let i = 0; i < 5000; i++) {
    one.make(3, i);
    other.make(3, i);
    assert.deepEqual(one.frame(), other.frame(), `case ${i}`);
    for (const each of one.mutations) mutations.add(each);
    if (one.mutations.length > 0) continue;
    assert.notEqual(tryDecodeFrame(one), null, one.frame().toHex());
    assert.equal(oracle.check(one.frame(), one.dialect, true), null);
    types.add(one.bytes[4] ?? 0);
    good++;
  }
  assert.deepEqual([...mutations].sort(), Object.keys(MUTATIONS).sort());
  assert.equal(types.size, 66, "every message");
  assert.ok(good > 1000 && good < 2000, `${good}`);
});

function tryDecodeFrame({ bytes, length, dialect }: FrameMaker): Message | null {
  return OUR_CODEC.tryDecode(wireOf(bytes.slice(0, length)), 0, length, dialect);
}

function wireOf(bytes: Uint8Array): Parameters<typeof tryDecode>[0] {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

Deno.test("FrameMaker keeps frames as long as they say where that is asked for", () => {
  const maker = new FrameMaker(new Random(0), { isFramed: true, letter: "T", isShort: true });
  for (let i = 0; i < 3000; i++) {
    maker.make(1, i);
    assert.ok(maker.length >= 7, `case ${i}`);
    assert.equal(new DataView(maker.bytes.buffer).getUint32(0, true), maker.length, `case ${i}`);
  }
});

/** Codecs with a bug each, and the check that tells. */
const BUGS: readonly [what: string, check: CodecCheck, codec: Partial<Codec>][] = [
  ["accepts bytes behind the end", "accepts", {
    tryDecode: (wire, start, end, dialect) =>
      tryDecode(wire, start, end, dialect) ?? lenient(wire.bytes.subarray(start, end)),
  }],
  ["refuses an empty Twalk", "refuses", {
    tryDecode: (wire, start, end, dialect) => {
      const message = tryDecode(wire, start, end, dialect);
      return message?.kind === "Twalk" && message.wname.length === 0 ? null : message;
    },
  }],
  ["cuts an offset to 32 bits", "value", {
    tryDecode: (wire, start, end, dialect) => {
      const message = tryDecode(wire, start, end, dialect);
      return message?.kind === "Tread"
        ? { ...message, offset: BigInt.asUintN(32, message.offset) }
        : message;
    },
  }],
  ["reads what follows the frame", "reads-outside", {
    tryDecode: (wire, start, end, dialect) => {
      const message = tryDecode(wire, start, end, dialect);
      if (message?.kind !== "Tclunk") return message;
      return { ...message, fid: wire.bytes[end] === 0xff ? 1 : message.fid };
    },
  }],
  ["throws at an unknown type", "throws", {
    tryDecode: (wire, start, end, dialect) => {
      if ((wire.bytes[start + 4] ?? 0) >= 128) throw new RangeError("no such type");
      return tryDecode(wire, start, end, dialect);
    },
  }],
  ["tells a size that is too large", "size", {
    sizeOf: (message, dialect) => sizeOf(message, dialect) + (message.kind === "Rwalk" ? 13 : 0),
  }],
  ["encodes a tag in one byte", "canonical", {
    encodeInto: (message, wire, at, dialect) => {
      const end = encodeInto(message, wire, at, dialect);
      wire.bytes[at + 6] = 0;
      return end;
    },
  }],
  ["writes past the end", "writes-outside", {
    encodeInto: (message, wire, at, dialect) => {
      const end = encodeInto(message, wire, at, dialect);
      wire.bytes[end] = 0;
      return end;
    },
  }],
  ["finds no fault", "diagnosis", {
    diagnose: (...args) => ({ ...OUR_CODEC.diagnose(...args), fault: "changed" }),
  }],
  ["tells a fault a byte too early", "diagnosis", {
    diagnose: (...args) => {
      const told = OUR_CODEC.diagnose(...args);
      return told.fault === "trailing-bytes" ? { ...told, offset: told.offset - 1 } : told;
    },
  }],
  ["tells another fault of a stat record", "diagnosis", {
    decodeStat: (record, dialect) => OUR_CODEC.decodeStat(record.subarray(1), dialect),
  }],
  ["takes a stat record for one of another dialect", "record", {
    tryDecodeStat: (record, dialect) =>
      OUR_CODEC.tryDecodeStat(record, dialect === "9P2000" ? "9P2000.u" : dialect),
  }],
  ["has bits of a mode wrong in both directions", "record", {
    tryDecodeStat: (record, dialect) => {
      const stat = OUR_CODEC.tryDecodeStat(record, dialect);
      return stat && { ...stat, mode: ~stat.mode >>> 0 };
    },
    encodeStat: (stat, dialect) =>
      OUR_CODEC.encodeStat({ ...stat, mode: ~stat.mode >>> 0 }, dialect),
  }],
  ["leaves out the last entry of a folder", "record", {
    decodeDirents: (data) => {
      const { entries, rest } = OUR_CODEC.decodeDirents(data);
      return { entries: entries.slice(0, -1), rest };
    },
  }],
];

/** A Tclunk, whatever follows it. */
function lenient(frame: Uint8Array): Message | null {
  if (frame.length <= 11 || frame[4] !== 120) return null;
  return { kind: "Tclunk", tag: 0, fid: 0 };
}

for (const [what, check, bug] of BUGS) {
  Deno.test(`CodecOracle catches a codec that ${what}, and the frame gets short`, async () => {
    const oracle = new CodecOracle({ ...OUR_CODEC, ...bug });
    const maker = new FrameMaker(new Random(0));
    for (let i = 0; i < 50_000; i++) {
      maker.make(1, i);
      const fault = oracle.check(maker.frame(), maker.dialect, true);
      if (fault === null) continue;
      assert.equal(fault.check, check, fault.what);
      const small = await shrinkFrame(maker.frame(), maker.dialect, check, oracle);
      assert.ok(small.length <= 96, small.toHex());
      assert.equal(oracle.check(small, maker.dialect, true)?.check, check);
      return;
    }
    assert.fail("the bug was not found");
  });
}

Deno.test("runCodec() finds nothing in our codec, and does the same again", async () => {
  const progress: number[] = [];
  const options = { seed: 1, runs: 8000, timeMs: 60_000, hangMs: 20_000 };
  const one = await runCodec({ ...options, onProgress: ({ cases }) => progress.push(cases) });
  assert.deepEqual(one.findings, []);
  assert.equal(one.cases, 8000);
  assert.ok(one.covered > 10_000 && one.corpus.length > 5, `${one.covered}`);
  assert.ok(progress.length > 0);
  const other = await runCodec({ ...options, isGuided: false });
  assert.equal(other.digest, one.digest, "the first cases depend on the seed alone");
  const else_ = await runCodec({ ...options, seed: 2, runs: 1000, isGuided: false });
  assert.notEqual(else_.digest, one.digest);
});

Deno.test("runCodec() goes the same way twice where coverage leads", async () => {
  const options = { seed: 5, runs: 20_000, timeMs: 60_000, hangMs: 20_000 };
  const [one, other] = [await runCodec(options), await runCodec(options)];
  assert.ok(one.corpus.length > 10, `${one.corpus.length}`);
  assert.deepEqual(other.corpus, one.corpus);
});

Deno.test("runCodec() shares its cases out among threads", async () => {
  const options = { seed: 4, timeMs: 60_000, hangMs: 20_000, isGuided: false };
  const [{ digest }, shared] = await Promise.all([
    runCodec({ ...options, runs: 500 }),
    runCodec({ ...options, runs: 1499, jobs: 3 }),
  ]);
  assert.deepEqual([shared.cases, shared.digest, shared.findings], [1499, digest, []]);
});

Deno.test("runCodecFrames() finds nothing in our server", async () => {
  const server = new Server({
    ...DEFAULT_LIMITS,
    exports: [{ name: "", tree: sampleTree(), readOnly: false }],
  });
  await using target = memoryTarget(server.accept);
  const { cases, findings } = await runCodecFrames({
    target,
    seed: 1,
    runs: 150,
    timeMs: 20_000,
    patienceMs: 200,
  });
  assert.ok(cases > 10);
  assert.deepEqual(findings, []);
});

Deno.test("runCodecFrames() tells a server that dies, and one that falls silent", async () => {
  for (const way of ["dies", "is silent"] as const) {
    const server = new Server({
      ...DEFAULT_LIMITS,
      exports: [{ name: "", tree: sampleTree(), readOnly: false }],
    });
    const sound = memoryTarget(server.accept);
    let isAlive = true;
    await using target = {
      ...sound,
      name: "unsound",
      health: () => Promise.resolve({ isAlive, end: isAlive ? "" : "SIGSEGV", complaints: [] }),
      connect: async () => {
        const connection = await sound.connect();
        let isSilent = false;
        const send = async (bytes: Uint8Array): Promise<void> => {
          // A Tlink, as another server had it once.
          if (bytes[4] === 70 && bytes.length < 17 && way === "dies") {
            isAlive = false;
            await connection.close();
          } else if (bytes[4] === 70) isSilent = true;
          if (!isSilent) await connection.send(bytes);
        };
        return Object.assign(Object.create(connection) as typeof connection, {
          send,
          receive: (ms: number) => connection.receive(ms),
          close: () => connection.close(),
        });
      },
    };
    const enough = new AbortController();
    const wanted = way === "dies" ? "process" : "hang";
    const { findings } = await runCodecFrames({
      target,
      seed: 1,
      timeMs: 20_000,
      runs: 3000,
      patienceMs: 50,
      signal: enough.signal,
      onFinding: ({ oracle }) => oracle === wanted && enough.abort(),
    });
    const found = findings.map(({ oracle }) => oracle);
    for (const { messages, confirmed } of findings) {
      assert.ok(messages <= 5 && confirmed.tried >= 1, way);
    }
    assert.ok(found.includes(wanted), `${way}: ${found}`);
    assert.match(
      findings[0]?.reproducer ?? "",
      /^# .*\n# oracle .*\n# bucket .*\n(?:T.*\n)*raw 0x[0-9a-f]+\n$/,
    );
  }
});

Deno.test("a frame of each message is what the generated encoder writes", () => {
  const maker = new FrameMaker(new Random(0), { dialects: [L] });
  assert.ok(maker.makeType(120, L));
  const message = tryDecodeFrame(maker);
  assert.ok(message?.kind === "Tclunk");
  assert.deepEqual(encode(message, L), maker.frame());
  assert.ok(!maker.makeType(124, L), "9P2000.L has no Tstat");
});
