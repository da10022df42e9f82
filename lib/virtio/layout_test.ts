import assert from "node:assert/strict";
import {
  areasFault,
  availRingSize,
  descriptorTableSize,
  endOfQueue,
  type Fault,
  featureFault,
  featureWord,
  hasFeature,
  layOutQueue,
  passesEvent,
  type QueueAreas,
  usedRingSize,
  VIRTIO_9P_MOUNT_TAG,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
} from "./mod.ts";

/** Entries written between two indices, one by one: the meaning that passesEvent() computes. */
function entriesBetween(from: number, to: number): Uint8Array {
  const isWritten = new Uint8Array(65536);
  for (let at = from; at !== to; at = (at + 1) % 65536) isWritten[at] = 1;
  return isWritten;
}

const MOVES: [from: number, to: number][] = [
  [0, 0],
  [0, 1],
  [0, 128],
  [7, 6],
  [65535, 0],
  [65535, 1],
  [65530, 5],
  [65535, 65534],
  [32767, 32768],
  [32768, 32767],
  [1000, 1000],
  [65408, 0],
  [40000, 20000],
  [1, 65535],
];

Deno.test("passesEvent() is right for all 65,536 event indices of each move", () => {
  for (const [from, to] of MOVES) {
    const isWritten = entriesBetween(from, to);
    for (let event = 0; event < 65536; event++) {
      if (passesEvent(event, from, to) !== (isWritten[event] === 1)) {
        assert.fail(`event ${event}, from ${from} to ${to}`);
      }
    }
  }
});

Deno.test("passesEvent() is right at the edges of all 65,536 moves from each of some indices", () => {
  for (const from of [0, 1, 32767, 32768, 65535]) {
    for (let count = 0; count < 65536; count++) {
      const to = (from + count) % 65536;
      // The entries written are from, from + 1, … to - 1.
      const edges: [event: number, isWritten: boolean][] = [
        [from, count > 0],
        [(to + 65535) % 65536, count > 0],
        [to, false],
        [(from + 65535) % 65536, false],
        [(from + (count >> 1)) % 65536, count > 0],
      ];
      for (const [event, isWritten] of edges) {
        if (passesEvent(event, from, to) !== isWritten) {
          assert.fail(`event ${event}, from ${from} to ${to}`);
        }
      }
    }
  }
});

Deno.test("passesEvent() depends on differences only, for all 65,536 values of each index", () => {
  for (let shift = 0; shift < 65536; shift++) {
    for (
      const [event, from, to] of [[5, 3, 9], [9, 3, 9], [2, 3, 9], [3, 3, 3], [3, 3, 4]] as const
    ) {
      const moved = passesEvent(event + shift & 0xffff, from + shift & 0xffff, to + shift & 0xffff);
      if (moved !== (event >= from && event < to)) assert.fail(`${event} ${from} ${to} + ${shift}`);
    }
  }
});

Deno.test("passesEvent() takes indices that were not reduced", () => {
  assert.ok(passesEvent(65534, -3, 0));
  assert.ok(!passesEvent(0, -3, 0));
  assert.ok(passesEvent(0, 65535, 65537));
});

Deno.test("layOutQueue() gives parts that areasFault() has nothing against", () => {
  for (let size = 1; size <= 32768; size *= 2) {
    for (const at of [0, 1, 4096, 2 ** 40 + 2]) {
      const areas = layOutQueue(size, at);
      assert.equal(areasFault(areas), undefined);
      assert.ok(areas.descriptorTable >= at);
      assert.equal(endOfQueue(areas), areas.usedRing + usedRingSize(size));
    }
  }
  assert.deepEqual(
    [descriptorTableSize(128), availRingSize(128), usedRingSize(128)],
    [2048, 262, 1030],
  );
});

const GOOD = layOutQueue(4, 4096);

const refused: [what: string, fault: Fault, areas: Partial<QueueAreas>][] = [
  ["a size of 0", "queue-size", { size: 0 }],
  ["a size of 3", "queue-size", { size: 3 }],
  ["a size of 65536", "queue-size", { size: 65536 }],
  ["a negative size", "queue-size", { size: -4 }],
  ["a size of 2.5", "queue-size", { size: 2.5 }],
  ["a size that is no number", "queue-size", { size: NaN }],
  ["a descriptor table at an odd multiple of 8", "ring-unaligned", { descriptorTable: 8 }],
  ["an avail ring at an odd address", "ring-unaligned", { availRing: GOOD.usedRing + 1001 }],
  ["a used ring at an odd multiple of 2", "ring-unaligned", { usedRing: GOOD.usedRing + 2 }],
  ["an avail ring in the table", "rings-overlap", { availRing: 4096 + 62 }],
  ["a used ring in the avail ring", "rings-overlap", { usedRing: GOOD.availRing + 12 }],
  ["a table in the used ring", "rings-overlap", { descriptorTable: GOOD.usedRing + 20 & ~15 }],
  ["all parts in one place", "rings-overlap", { availRing: 4096, usedRing: 4096 }],
  ["a negative address", "ring-outside-memory", { usedRing: -4096 }],
  ["an address above 2^53", "ring-outside-memory", { descriptorTable: 2 ** 60 }],
];

for (const [what, fault, areas] of refused) {
  Deno.test(`areasFault() names ${fault}: ${what}`, () => {
    assert.equal(areasFault({ ...GOOD, ...areas }), fault);
  });
}

Deno.test("areasFault() lets parts touch", () => {
  const areas = { size: 4, descriptorTable: 0, availRing: 64, usedRing: 80 };
  assert.equal(areas.availRing + availRingSize(4), 78);
  assert.equal(areasFault(areas), undefined);
});

Deno.test("featureFault() compares what is offered and what is accepted", () => {
  const offered = featureWord(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX, VIRTIO_9P_MOUNT_TAG);
  const version1 = featureWord(VIRTIO_F_VERSION_1);
  assert.equal(featureFault(offered, offered), undefined);
  assert.equal(featureFault(offered, version1), undefined);
  assert.equal(featureFault(offered, offered & ~version1), "version-1-refused");
  assert.equal(
    featureFault(offered, offered | featureWord(VIRTIO_F_RING_RESET)),
    "feature-not-offered",
  );
  assert.equal(featureFault(offered & ~version1, 0n), undefined, "an old device, an old driver");
});

Deno.test("hasFeature() and featureWord() reach all 64 bits", () => {
  for (let bit = 0; bit < 64; bit++) {
    const word = featureWord(bit);
    assert.equal(word, 2n ** BigInt(bit));
    for (let other = 0; other < 64; other++) assert.equal(hasFeature(word, other), other === bit);
  }
});
