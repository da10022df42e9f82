import assert from "node:assert/strict";
import fc from "fast-check";
import { arbitraryStat, dirent } from "./arbitrary_test_helper.ts";
import {
  byteLength,
  decodeDirents,
  decodeStat,
  decodeStats,
  DIALECTS,
  type Dirent,
  direntSize,
  encodeDirentInto,
  encodeStat,
  sizeOfStat,
  type Stat,
  tryDecodeStat,
  Wire,
} from "./mod.ts";

function payloadOf(entries: readonly Dirent[]): Uint8Array {
  const size = entries.reduce((sum, { name }) => sum + direntSize(byteLength(name)), 0);
  const wire = new Wire(new Uint8Array(size));
  let at = 0;
  for (const entry of entries) at = encodeDirentInto(entry, wire, at);
  assert.equal(at, size);
  return wire.bytes;
}

Deno.test("Dirent has the bytes of diod's protocol.md", () => {
  const qid = { type: 0x80, version: 1, path: 2n };
  const bytes = payloadOf([{ qid, offset: 3n, type: 4, name: "ab" }]);
  // qid[13] offset[8] type[1] name[s]
  assert.equal(
    bytes.toHex(),
    "80010000000200000000000000" + "0300000000000000" + "04" + "02006162",
  );
});

Deno.test("decodeDirents() gives back whole entries and the rest, wherever the payload is cut", () => {
  fc.assert(
    fc.property(fc.array(dirent, { maxLength: 5 }), fc.nat(1500), (entries, cut) => {
      const bytes = payloadOf(entries);
      const part = bytes.subarray(0, Math.min(cut, bytes.length));
      const { entries: found, rest } = decodeDirents(part);
      assert.deepEqual(found, entries.slice(0, found.length));
      const used = payloadOf(found).length;
      assert.deepEqual(rest, part.subarray(used));
      if (part.length === bytes.length) assert.equal(found.length, entries.length);
      const next = entries[found.length];
      if (next !== undefined) assert.ok(rest.length < direntSize(byteLength(next.name)));
    }),
    { numRuns: 500 },
  );
});

Deno.test("decodeDirents() takes any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300, size: "max" }), (bytes) => {
    const { entries, rest } = decodeDirents(bytes);
    assert.deepEqual(payloadOf(entries), bytes.slice(0, bytes.length - rest.length));
  }));
});

const STAT: Stat = {
  type: 1,
  dev: 2,
  qid: { type: 0x80, version: 3, path: 4n },
  mode: 0x800001ed,
  atime: 5,
  mtime: 6,
  length: 7n,
  name: "n",
  uid: "u",
  gid: "g",
  muid: "m",
  extension: "",
  n_uid: 0xffffffff,
  n_gid: 0xffffffff,
  n_muid: 0xffffffff,
};

Deno.test("Stat has the bytes of stat(5)", () => {
  const common = "0100" + "02000000" + "80030000000400000000000000" + "ed010080" + "05000000" +
    "06000000" + "0700000000000000" + "01006e" + "010075" + "010067" + "01006d";
  assert.equal(encodeStat(STAT, "9P2000").toHex(), "3300" + common);
  const more = { ...STAT, extension: "x", n_uid: 8, n_gid: 9, n_muid: 10 };
  assert.equal(
    encodeStat(more, "9P2000.u").toHex(),
    "4200" + common + "010078" + "08000000" + "09000000" + "0a000000",
  );
});

for (const dialect of DIALECTS) {
  Deno.test(`Stat of ${dialect} survives, alone and in a row, and is refused at any other length`, () => {
    fc.assert(
      fc.property(arbitraryStat(dialect), (stat) => {
        const bytes = encodeStat(stat, dialect);
        assert.equal(bytes.length, sizeOfStat(stat, dialect));
        assert.deepEqual(decodeStat(bytes, dialect), stat);
        const twice = new Uint8Array(2 * bytes.length + 1);
        twice.set(bytes);
        twice.set(bytes, bytes.length);
        const { entries, rest } = decodeStats(twice, dialect);
        assert.deepEqual(entries, [stat, stat]);
        assert.equal(rest.length, 1);
        for (let size = 0; size < bytes.length; size += 3) {
          const cut = bytes.slice(0, size);
          assert.equal(tryDecodeStat(cut, dialect), null);
          if (size >= 2) new Wire(cut).view.setUint16(0, size - 2, true);
          assert.equal(tryDecodeStat(cut, dialect), null);
        }
      }),
      { numRuns: 100 },
    );
  });
}

Deno.test("decodeStat() says where a record is wrong", () => {
  const bytes = encodeStat(STAT, "9P2000");
  assert.throws(() => decodeStat(bytes.subarray(0, 20), "9P2000"), {
    name: "ProtocolError",
    fault: "size-mismatch",
    offset: 0,
  });
  bytes[41] = 0xff; // the length of name
  assert.throws(() => decodeStat(bytes, "9P2000"), {
    name: "ProtocolError",
    fault: "string-past-end",
    offset: 41,
  });
  assert.throws(() => decodeStat(new Uint8Array(1), "9P2000"), { fault: "size-mismatch" });
});
