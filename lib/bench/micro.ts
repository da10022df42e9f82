/**
 * Code of ours alone: the codec and the device's side of a virtqueue, in loops that assert their
 * result once, before they are measured.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  decodeString,
  type Dialect,
  encode,
  encodeInto,
  encodeRreadHeader,
  encodeStringInto,
  type Message,
  Segments,
  sizeOf,
  tryDecode,
  Wire,
} from "../p9/mod.ts";
import {
  DeviceQueue,
  DriverQueue,
  featureWord,
  GuestMemory,
  layOutQueue,
  type QueueSetup,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../virtio/mod.ts";

/** Operations of one call of a loop, so that the clock and the call weigh little. */
export const MICRO_ROUNDS = 1024;

/** A loop. */
export interface MicroCase {
  /** What it belongs to: `tryDecode`, `encodeInto`, `names`, `device`. */
  readonly group: string;
  /** What it does. */
  readonly name: string;
  /** Does it {@linkcode MICRO_ROUNDS} times. */
  run(): void;
}

const DIALECT: Dialect = "9P2000.L";
const QID = { type: 0x80, version: 1, path: 0xdeadn };

const MIX: readonly Message[] = [
  { kind: "Tread", tag: 1, fid: 2, offset: 4096n, count: 65536 },
  { kind: "Twalk", tag: 2, fid: 1, newfid: 2, wname: ["usr", "share", "doc"] },
  { kind: "Tgetattr", tag: 3, fid: 2, request_mask: 0x7ffn },
  { kind: "Tlopen", tag: 4, fid: 2, flags: 0 },
  { kind: "Tclunk", tag: 5, fid: 2 },
  { kind: "Treaddir", tag: 6, fid: 2, offset: 0n, count: 8192 },
  { kind: "Tunlinkat", tag: 7, dirfd: 2, name: "lock", flags: 0 },
];

const READ: Message = { kind: "Tread", tag: 1, fid: 2, offset: 4096n, count: 65536 };
const WRITE: Message = { kind: "Twrite", tag: 1, fid: 2, offset: 0n, data: new Uint8Array(65536) };
const RWALK: Message = { kind: "Rwalk", tag: 1, wqid: [QID, QID, QID] };
const RGETATTR: Message = {
  kind: "Rgetattr",
  tag: 1,
  valid: 0x7ffn,
  qid: QID,
  mode: 0o100644,
  uid: 1000,
  gid: 1000,
  nlink: 1n,
  rdev: 0n,
  size: 4096n,
  blksize: 4096n,
  blocks: 8n,
  atime_sec: 1n,
  atime_nsec: 2n,
  mtime_sec: 3n,
  mtime_nsec: 4n,
  ctime_sec: 5n,
  ctime_nsec: 6n,
  btime_sec: 0n,
  btime_nsec: 0n,
  gen: 0n,
  data_version: 0n,
};

const SIZE = 128;
const PAGE = 4096;
const FEATURES = featureWord(VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1);

/** Keeps results alive, so that none is optimized away. */
let sink = 0;

/** What the loops have made so far; a number, if they have made anything. */
export function microSink(): number {
  return sink;
}

/** All loops; each has been run and checked once. */
export function microCases(): MicroCase[] {
  return [...codecCases(), ...nameCases(), ...deviceCases()];
}

/** Frames one behind the other in one buffer, as a transport has them. */
function framesOf(messages: readonly Message[]): { wire: Wire; ends: number[] } {
  const ends: number[] = [];
  let size = 0;
  for (const message of messages) ends.push(size += sizeOf(message, DIALECT));
  const wire = new Wire(new Uint8Array(size));
  let at = 0;
  for (const message of messages) at = encodeInto(message, wire, at, DIALECT);
  return { wire, ends };
}

function decoding(name: string, messages: readonly Message[]): MicroCase {
  const { wire, ends } = framesOf(messages);
  let start = 0;
  for (const [i, end] of ends.entries()) {
    assert.deepEqual(tryDecode(wire, start, end, DIALECT), messages[i]);
    start = end;
  }
  const run = () => {
    for (let done = 0; done < MICRO_ROUNDS;) {
      let start = 0;
      for (const end of ends) {
        if (done === MICRO_ROUNDS) break;
        sink += tryDecode(wire, start, end, DIALECT)?.tag ?? 0;
        start = end;
        done++;
      }
    }
  };
  return { group: "tryDecode", name, run };
}

function encoding(name: string, messages: readonly Message[]): MicroCase {
  const room = Math.max(...messages.map((message) => sizeOf(message, DIALECT)));
  const wire = new Wire(new Uint8Array(room));
  for (const message of messages) {
    const end = encodeInto(message, wire, 0, DIALECT);
    assert.deepEqual(wire.bytes.subarray(0, end), encode(message, DIALECT));
  }
  const run = () => {
    for (let done = 0; done < MICRO_ROUNDS;) {
      for (const message of messages) {
        if (done === MICRO_ROUNDS) break;
        sink += encodeInto(message, wire, 0, DIALECT);
        done++;
      }
    }
  };
  return { group: "encodeInto", name, run };
}

function codecCases(): MicroCase[] {
  const header = new Wire(new Uint8Array(11));
  assert.equal(encodeRreadHeader(header, 0, 1, 65536), 11);
  assert.equal(header.view.getUint32(0, true), 65547);
  const run = () => {
    for (let i = 0; i < MICRO_ROUNDS; i++) {
      sink += encodeRreadHeader(header, 0, i & 0xffff, 65536);
    }
  };
  return [
    decoding("seven requests in turn", MIX),
    decoding("Tread", [READ]),
    decoding("Twrite of 64 KiB", [WRITE]),
    decoding("Rgetattr", [RGETATTR]),
    encoding("seven requests in turn", MIX),
    encoding("Tread", [READ]),
    encoding("Rwalk of 3", [RWALK]),
    encoding("Rgetattr", [RGETATTR]),
    { group: "encodeInto", name: "Rread header", run },
  ];
}

const NAMES: readonly (readonly [what: string, text: string])[] = [
  ["name of 8 bytes", "Makefile"],
  ["name of 20 bytes", "virtio_9p_request.ts"],
  ["path of 60 bytes", "../".repeat(20)],
  ["name of 16 bytes, not ASCII", "Straßenübergang"],
];

function nameCases(): MicroCase[] {
  return NAMES.flatMap(([what, text]) => {
    const bytes = new TextEncoder().encode(text);
    assert.equal(decodeString(bytes, 0, bytes.length), text);
    const target = new Uint8Array(bytes.length);
    assert.equal(encodeStringInto(text, target, 0), bytes.length);
    const decode = () => {
      for (let i = 0; i < MICRO_ROUNDS; i++) sink += decodeString(bytes, 0, bytes.length).length;
    };
    const encode = () => {
      for (let i = 0; i < MICRO_ROUNDS; i++) sink += encodeStringInto(text, target, 0);
    };
    return [
      { group: "names", name: `decode ${what}`, run: decode },
      { group: "names", name: `encode ${what}`, run: encode },
    ];
  });
}

/** A queue whose ring has a chain in each slot, all different, of one readable and some writable. */
function prepare(batch: number, writable: number, indirect: boolean) {
  const memory = new GuestMemory([
    { guestAddress: 0, bytes: new Uint8Array(640 << 10) },
    { guestAddress: 1 << 20, bytes: new Uint8Array(4 << 20) },
  ]);
  const setup: QueueSetup = {
    memory,
    areas: layOutQueue(SIZE, 1 << 20),
    features: FEATURES,
    startIndex: 0,
  };
  const driver = new DriverQueue(setup);
  const chains = indirect ? batch : Math.floor(SIZE / (1 + writable));
  assert.ok(batch <= chains, "a batch fits the queue");
  const heads: number[] = [];
  for (let i = 0; i < chains; i++) {
    const at = (2 << 20) + i * 4 * PAGE;
    const table = indirect ? (1 << 20) + (256 << 10) + i * 1024 : undefined;
    const room = Array.from({ length: writable }, (_, j) => ({
      address: at + (1 + j % 3) * PAGE,
      length: j === 0 ? 11 : PAGE,
    }));
    heads.push(driver.add([{ address: at, length: 23 }], room, table));
  }
  for (let slot = 0; slot < SIZE; slot++) {
    driver.raw.setAvailEntry(slot, heads[slot % batch] ?? 0);
  }
  const device = new DeviceQueue(() => new Segments());
  device.configure(setup);
  const region = memory.find(setup.areas.availRing);
  assert.ok(region !== undefined);
  const ring = region.bytes.byteOffset + setup.areas.availRing - region.guestAddress;
  return { device, avail: new Uint16Array(region.bytes.buffer, ring, SIZE + 3) };
}

/**
 * The device's side of a virtqueue: take a chain, give it back, publish, decide about the call, look
 * again. The driver's work is not part of it: the avail ring is written once, and each round offers
 * the same chains again by moving the index on.
 */
function serving(
  name: string,
  { batch, writable, indirect }: { batch: number; writable: number; indirect: boolean },
): MicroCase {
  const { device, avail } = prepare(batch, writable, indirect);
  let index = 0;
  const serve = (): number => {
    index = index + batch & 0xffff;
    avail[1] = index;
    avail[SIZE + 2] = index - 1; // used_event: a call for the last of the batch
    let served = 0;
    do {
      for (let chain = device.next(); chain !== undefined; chain = device.next()) {
        sink += chain.readable.length + chain.writable.count;
        device.add(chain, 11);
        served++;
      }
    } while (device.enableKicks());
    if (device.needsCall()) sink++;
    return served;
  };
  for (let i = 0; i < 100; i++) assert.equal(serve(), batch);
  assert.equal(device.brokenBy, undefined);
  assert.equal(device.inFlight, 0);
  const run = () => {
    for (let done = 0; done < MICRO_ROUNDS; done += batch) serve();
  };
  return { group: "device", name, run };
}

function deviceCases(): MicroCase[] {
  return [
    serving("direct, 3 descriptors, one by one", { batch: 1, writable: 2, indirect: false }),
    serving("indirect, 3 descriptors, one by one", { batch: 1, writable: 2, indirect: true }),
    serving("direct, 3 descriptors, batches of 16", { batch: 16, writable: 2, indirect: false }),
    serving("indirect, 3 descriptors, batches of 16", { batch: 16, writable: 2, indirect: true }),
    serving("indirect, 18 descriptors, batches of 16", {
      batch: 16,
      writable: 17,
      indirect: true,
    }),
  ];
}
