import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { TYPE } from "../p9/mod.ts";
import {
  type CapturedPacket,
  concat,
  type FileOptions,
  FIRST_SECOND,
  fragments4,
  fragments6,
  ipv4,
  ipv6,
  LINKS,
  packetsOf,
  pcapFile,
  pcapngSection,
  SESSION,
  sessionTalk,
} from "./capture_test_helper.ts";
import { type CaptureOptions, type CaptureReport, readCapture } from "./read_capture.ts";

/** What a capture is read as. */
interface Read {
  readonly types: number[];
  readonly times: number[];
  readonly told: string[];
  readonly base: bigint;
  readonly report: CaptureReport;
}

async function read(bytes: Uint8Array, options: CaptureOptions = {}, piece = 1e9): Promise<Read> {
  const [types, times, told]: [number[], number[], string[]] = [[], [], []];
  let base = -1n;
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at += piece));
    },
  });
  const report = await readCapture(stream, {
    begin: (clock) => void (base = clock.base),
    opened: ({ id, client, server }) => void told.push(`opened ${id} ${client} > ${server}`),
    closed: ({ id }) => void told.push(`closed ${id}`),
    gap: ({ direction, lost, skipped, why }) =>
      void told.push(`gap ${direction} ${lost}+${skipped} ${why}`),
    frame: ({ bytes, start, end, time }) => {
      assert.ok(start <= end && end <= bytes.length);
      types.push(bytes[start + 4] ?? -1);
      times.push(time);
    },
    end: () => void told.push("end"),
  }, options);
  return { types, times, told, base, report };
}

const TYPES = SESSION.flat().map(({ kind }) => TYPE[kind]);
const WHOLE = ["opened 1 10.0.0.1:51000 > 10.0.0.2:564", "closed 1", "end"];

for (const [link, { type }] of Object.entries(LINKS)) {
  Deno.test(`readCapture() reads ${link}`, async () => {
    for (const wrap of [ipv4, ipv6]) {
      if (link === "raw IPv4" && wrap === ipv6 || link === "raw IPv6" && wrap === ipv4) continue;
      const packets = packetsOf(
        sessionTalk({ mss: 24 }).segments,
        link,
        (tcp, from) => wrap(tcp, from),
      );
      const { types, told, report } = await read(pcapFile(packets, { linkType: type }));
      assert.deepEqual(types, TYPES);
      assert.equal(told.length, 3);
      assert.deepEqual(report.problems, []);
    }
  });
}

const wholePackets = packetsOf(sessionTalk().segments);

const FORMATS: readonly [what: string, bytes: Uint8Array, unit: number][] = [
  ...[false, true].flatMap((isBig) =>
    [false, true].map((isNano): [string, Uint8Array, number] => [
      `pcap, ${isBig ? "big" : "little"}-endian, ${isNano ? "ns" : "µs"}`,
      pcapFile(shifted(123456789), { isBig, isNano }),
      isNano ? 0 : 1000,
    ])
  ),
  ...[false, true].flatMap((isBig) =>
    ([[9, 0], [6, 1000], [3, 1e6], [-1, 1000], [
      0x80 + 20,
      123456954,
    ]] as const)
      .map(([resolution, unit]): [string, Uint8Array, number] => [
        `pcapng, ${isBig ? "big" : "little"}-endian, if_tsresol ${resolution}`,
        pcapngSection(shifted(123456789), { isBig, resolution, options: true }),
        unit,
      ])
  ),
  ["pcapng, if_tsoffset", pcapngSection(shifted(123456789), { offset: 1000 }), 0],
  [
    "pcapng, packet blocks",
    pcapngSection(shifted(123456789), { block: 2, isBig: true }),
    0,
  ],
];

/** Every packet the same time after the one before. */
function shifted(step: number): CapturedPacket[] {
  return wholePackets.map((packet, i) => ({ ...packet, time: i * step }));
}

for (const [what, bytes, unit] of FORMATS) {
  Deno.test(`readCapture() reads ${what}`, async () => {
    const { types, told, times, base } = await read(bytes);
    assert.deepEqual(types, TYPES);
    assert.deepEqual(told, WHOLE);
    assert.equal(base, BigInt(FIRST_SECOND) * 1_000_000_000n);
    // The first request is the fourth packet; a unit of time is a millisecond at most.
    const error = Math.abs((times[0] ?? 0) - 3 * 123456789);
    assert.ok(error <= unit, `${times[0]}`);
  });
}

Deno.test("readCapture() reads sections of both byte orders, and simple packets", async () => {
  const first = packetsOf(sessionTalk().segments.slice(0, 12));
  const rest = packetsOf(sessionTalk().segments.slice(12));
  const file = concat(
    pcapngSection(first, { isBig: true }),
    pcapngSection(rest, { block: 3 }),
    pcapngSection([]),
  );
  const { types, told, report } = await read(file);
  assert.deepEqual(types, TYPES);
  assert.deepEqual(told, WHOLE);
  assert.equal(report.format, "pcapng");
});

Deno.test("readCapture() takes pieces of any size, and packed captures", async () => {
  const file = pcapngSection(wholePackets, { isBig: true });
  for (const piece of [1, 3, 7, 64, 1000]) {
    assert.deepEqual((await read(file, {}, piece)).types, TYPES, `${piece}`);
  }
  const classic = pcapFile(wholePackets);
  for (const piece of [1, 100, 1e9]) {
    assert.deepEqual((await read(classic, {}, piece)).types, TYPES, `${piece}`);
    const gzip = await read(gzipSync(classic), {}, piece);
    assert.deepEqual([gzip.types, gzip.report.packing], [TYPES, "gzip"]);
    const zstd = await read(zstdCompressSync(classic), {}, piece);
    assert.deepEqual([zstd.types, zstd.report.packing], [TYPES, "zstd"]);
  }
});

Deno.test("readCapture() reads files, packed or not, and leaves them open", async () => {
  const path = await Deno.makeTempFile();
  try {
    for (const bytes of [pcapFile(wholePackets), gzipSync(pcapFile(wholePackets))]) {
      await Deno.writeFile(path, bytes);
      using file = await Deno.open(path);
      let count = 0;
      const report = await readCapture(file, { frame: () => void count++ });
      assert.equal(count, TYPES.length);
      assert.equal(report.packets, wholePackets.length);
      assert.equal(await file.seek(0, Deno.SeekMode.Current), bytes.length);
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("readCapture() puts fragments together, in any order", async () => {
  const talk = sessionTalk();
  let id = 0;
  const four = packetsOf(talk.segments, "Ethernet", (tcp, from) => fragments4(tcp, from, 16, ++id));
  const six = packetsOf(talk.segments, "raw IP", (tcp, from) => fragments6(tcp, from, 16, ++id));
  assert.deepEqual((await read(pcapFile(four))).types, TYPES);
  assert.deepEqual((await read(pcapFile(six, { linkType: 101 }))).types, TYPES);
  const reversed = packetsOf(
    talk.segments,
    "Ethernet",
    (tcp, from) => fragments4(tcp, from, 16, ++id).reverse(),
  );
  assert.deepEqual((await read(pcapFile(reversed))).types, TYPES);
  const { report } = await read(pcapFile(four.slice(1)));
  assert.deepEqual(report.problems.map(({ name, count }) => [name, count]), [["fragments", 1]]);
});

Deno.test("readCapture() goes past extension headers", async () => {
  const packets = packetsOf(sessionTalk().segments, "Ethernet", (tcp, from) =>
    ipv6(tcp, from, [
      [0, [0, 1, 4, 0, 0, 0, 0]],
      [43, [0, 0, 0, 0, 0, 0, 0]],
      [60, [1, ...Array(14).fill(0)]],
      [51, [4, ...Array(22).fill(0)]],
    ]));
  const { types, told } = await read(pcapFile(packets));
  assert.deepEqual(types, TYPES);
  assert.equal(told[0], "opened 1 [2001:db8::1]:51000 > [2001:db8::2]:564");
});

Deno.test("readCapture() ends where a signal says so", async () => {
  const abort = new AbortController();
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(pcapFile(wholePackets)),
  });
  const reading = readCapture(stream, {}, { signal: abort.signal });
  setTimeout(() => abort.abort(), 10);
  assert.equal((await reading).packets, wholePackets.length);
});

function damaged(bytes: Uint8Array): Uint8Array {
  return bytes.fill(0xff, 20, 40);
}

const HOSTILE: readonly [what: string, bytes: Uint8Array, problems: string[]][] = [
  ["nothing", new Uint8Array(0), ["no-capture"]],
  ["text", new TextEncoder().encode("not a capture at all"), ["no-capture"]],
  ["half a header", pcapFile([]).subarray(0, 10), ["file-ends"]],
  ["half a packet", pcapFile(wholePackets).subarray(0, -20), ["file-ends"]],
  ["half a block", pcapngSection(wholePackets).subarray(0, -20), ["file-ends"]],
  ["half a gzip file", gzipSync(pcapFile(wholePackets)).subarray(0, -30), ["file-ends"]],
  ["a damaged gzip file", damaged(gzipSync(pcapFile(wholePackets))), ["packed"]],
  ["another link", pcapFile(wholePackets, { linkType: 127 }), ["link-type"]],
  ["no interface", pcapngSection(wholePackets).subarray(28 + 20 + 12), ["no-capture"]],
];

for (const [what, bytes, problems] of HOSTILE) {
  Deno.test(`readCapture() says what is wrong with ${what}`, async () => {
    const { report, told } = await read(bytes);
    assert.deepEqual(report.problems.map(({ name }) => name), problems);
    assert.equal(told.at(-1), "end");
  });
}

Deno.test("readCapture() goes on behind bytes that are no packet", async () => {
  const options: FileOptions = {};
  const junk = new Uint8Array(1001).fill(0xee);
  const half = wholePackets.length >> 1;
  const head = pcapFile(wholePackets.slice(0, half), options);
  const tail = pcapFile(wholePackets.slice(half), options).subarray(24);
  const classic = await read(concat(head, junk, tail));
  assert.deepEqual(classic.types, TYPES);
  assert.deepEqual(
    classic.report.problems.map(({ name, bytes, offset }) => [name, bytes, offset]),
    [["bad-record", 1001, head.length]],
  );
  const first = pcapngSection(wholePackets.slice(0, half));
  const rest = pcapngSection(wholePackets.slice(half)).subarray(pcapngSection([]).length);
  const blocks = await read(concat(first, junk, rest));
  assert.deepEqual(blocks.types, TYPES);
  assert.deepEqual(
    blocks.report.problems.map(({ name, bytes, offset }) => [name, bytes, offset]),
    [["bad-block", 1001, first.length]],
  );
});
