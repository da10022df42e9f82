import assert from "node:assert/strict";
import fc from "fast-check";
import { arbitraryMessage } from "./arbitrary_test_helper.ts";
import {
  decode,
  diagnose,
  type Dialect,
  DIALECTS,
  encode,
  encodeInto,
  encodeRreaddirHeader,
  encodeRreadHeader,
  encodeTwriteHeader,
  type Fault,
  fieldOffsets,
  formatMessage,
  hasMessage,
  type Kind,
  kindOf,
  kindsOf,
  LAYOUTS,
  type Message,
  messageFromJson,
  messageToJson,
  MIN_SIZE,
  parseMessage,
  REPLY,
  RREAD_HEADER,
  sizeOf,
  TREAD_SIZE,
  tryDecode,
  tryDecodeRreadHeader,
  tryDecodeTwriteHeader,
  TWRITE_HEADER,
  TYPE,
  Wire,
} from "./mod.ts";

const L = "9P2000.L";

/** Seeds per message and dialect; 110 pairs of these. */
const RUNS = 60;

Deno.test("the table has 34 transactions and 66 messages", () => {
  assert.equal(LAYOUTS.length, 66);
  assert.equal(Object.keys(TYPE).length, 66);
  assert.equal(kindOf(6), undefined);
  assert.equal(kindOf(106), undefined);
  assert.equal(kindOf(256), undefined);
  for (const [t, r] of Object.entries(REPLY)) {
    assert.equal(TYPE[r], TYPE[t as Kind] + 1, t);
    assert.equal(kindOf(TYPE[r]), r);
  }
});

Deno.test("kindsOf() gives the messages of each dialect", () => {
  const counts = DIALECTS.map((dialect) => kindsOf(dialect).length);
  assert.deepEqual(counts, [27, 27, 57]);
  assert.ok(hasMessage("9P2000", "Rerror") && !hasMessage("9P2000", "Rlerror"));
  assert.ok(hasMessage(L, "Rlerror") && !hasMessage(L, "Topen"));
});

/** Frames put together by hand from the manual pages; `tag` is 0x0201 in all. */
const frames: [text: string, dialect: Dialect, body: string][] = [
  // version(5): size[4] Tversion tag[2] msize[4] version[s]
  ['Tversion tag=NOTAG msize=8192 version="9P2000.L"', L, "64 ffff 00200000 0800 3950323030302e4c"],
  // attach(5), without n_uname in 9P2000
  [
    'Tattach tag=513 fid=1 afid=NOFID uname="me" aname="" n_uname=NONUNAME',
    "9P2000",
    "68 0102 01000000 ffffffff 0200 6d65 0000",
  ],
  [
    'Tattach tag=513 fid=1 afid=NOFID uname="me" aname="" n_uname=1000',
    L,
    "68 0102 01000000 ffffffff 0200 6d65 0000 e8030000",
  ],
  ['Rerror tag=513 ename="no" errno=0', "9P2000", "6b 0102 0200 6e6f"],
  ['Rerror tag=513 ename="no" errno=ENOENT', "9P2000.u", "6b 0102 0200 6e6f 02000000"],
  ["Rlerror tag=513 ecode=EIO", L, "07 0102 05000000"],
  [
    'Twalk tag=513 fid=1 newfid=2 wname=["a","bc"]',
    L,
    "6e 0102 01000000 02000000 0200 0100 61 0200 6263",
  ],
  ["Rwalk tag=513 wqid=[80.1.2]", L, "6f 0102 0100 80 01000000 0200000000000000"],
  ["Tread tag=513 fid=1 offset=4096 count=512", L, "74 0102 01000000 0010000000000000 00020000"],
  ["Rread tag=513 data=0x6869", L, "75 0102 02000000 6869"],
  [
    "Twrite tag=513 fid=1 offset=1 data=0x6869",
    L,
    "76 0102 01000000 0100000000000000 02000000 6869",
  ],
  ["Topen tag=513 fid=1 mode=OWRITE|OTRUNC", "9P2000", "70 0102 01000000 11"],
  [
    'Tcreate tag=513 fid=1 name="d" perm=DMDIR|0755 mode=OREAD extension=""',
    "9P2000",
    "72 0102 01000000 0100 64 ed010080 00",
  ],
  [
    'Tcreate tag=513 fid=1 name="l" perm=DMSYMLINK mode=OREAD extension="t"',
    "9P2000.u",
    "72 0102 01000000 0100 6c 00000002 00 0100 74",
  ],
  ["Rstat tag=513 stat=0x0000", "9P2000", "7d 0102 0200 0000"],
  // diod protocol.md
  ["Tlopen tag=513 fid=1 flags=O_RDWR|O_CREAT|O_TRUNC", L, "0c 0102 01000000 42020000"],
  [
    'Tlcreate tag=513 fid=1 name="f" flags=O_WRONLY mode=0644 gid=100',
    L,
    "0e 0102 01000000 0100 66 01000000 a4010000 64000000",
  ],
  [
    'Tsymlink tag=513 fid=1 name="l" symtgt="t" gid=0',
    L,
    "10 0102 01000000 0100 6c 0100 74 00000000",
  ],
  [
    'Tmknod tag=513 dfid=1 name="n" mode=020600 major=1 minor=3 gid=0',
    L,
    "12 0102 01000000 0100 6e 80210000 01000000 03000000 00000000",
  ],
  ['Trename tag=513 fid=1 dfid=2 name="n"', L, "14 0102 01000000 02000000 0100 6e"],
  ["Tgetattr tag=513 fid=1 request_mask=GETATTR_BASIC", L, "18 0102 01000000 ff07000000000000"],
  [
    "Tsetattr tag=513 fid=1 valid=SETATTR_MODE|SETATTR_SIZE mode=0600 uid=NONUNAME gid=2 size=3 atime_sec=4 atime_nsec=5 mtime_sec=6 mtime_nsec=7",
    L,
    "1a 0102 01000000 09000000 80010000 ffffffff 02000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 0700000000000000",
  ],
  [
    'Txattrwalk tag=513 fid=1 newfid=2 name="user.a"',
    L,
    "1e 0102 01000000 02000000 0600 757365722e61",
  ],
  [
    'Txattrcreate tag=513 fid=1 name="u" attr_size=2 flags=XATTR_CREATE',
    L,
    "20 0102 01000000 0100 75 0200000000000000 01000000",
  ],
  ["Treaddir tag=513 fid=1 offset=0 count=100", L, "28 0102 01000000 0000000000000000 64000000"],
  ["Tfsync tag=513 fid=1 datasync=1", L, "32 0102 01000000 01000000"],
  [
    'Tlock tag=513 fid=1 type=LOCK_TYPE_WRLCK flags=LOCK_FLAGS_BLOCK start=2 length=3 proc_id=4 client_id="h"',
    L,
    "34 0102 01000000 01 01000000 0200000000000000 0300000000000000 04000000 0100 68",
  ],
  ["Rlock tag=513 status=LOCK_BLOCKED", L, "35 0102 01"],
  [
    'Tgetlock tag=513 fid=1 type=LOCK_TYPE_RDLCK start=2 length=3 proc_id=4 client_id="h"',
    L,
    "36 0102 01000000 00 0200000000000000 0300000000000000 04000000 0100 68",
  ],
  [
    'Rgetlock tag=513 type=LOCK_TYPE_UNLCK start=2 length=3 proc_id=4 client_id="h"',
    L,
    "37 0102 02 0200000000000000 0300000000000000 04000000 0100 68",
  ],
  ['Tlink tag=513 dfid=1 fid=2 name="n"', L, "46 0102 01000000 02000000 0100 6e"],
  [
    'Tmkdir tag=513 dfid=1 name="n" mode=0755 gid=5',
    L,
    "48 0102 01000000 0100 6e ed010000 05000000",
  ],
  [
    'Trenameat tag=513 olddirfid=1 oldname="a" newdirfid=2 newname="b"',
    L,
    "4a 0102 01000000 0100 61 02000000 0100 62",
  ],
  ['Tunlinkat tag=513 dirfd=1 name="n" flags=AT_REMOVEDIR', L, "4c 0102 01000000 0100 6e 00020000"],
  [
    "Rstatfs tag=513 type=0x1021997 bsize=1 blocks=2 bfree=3 bavail=4 files=5 ffree=6 fsid=0x7 namelen=255",
    L,
    "09 0102 97190201 01000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 0700000000000000 ff000000",
  ],
  ["Tflush tag=513 oldtag=1", L, "6c 0102 0100"],
  ["Rclunk tag=513", L, "79 0102"],
];

function frameOf(body: string): Uint8Array {
  const rest = Uint8Array.fromHex(body.replaceAll(" ", ""));
  const frame = new Uint8Array(4 + rest.length);
  new DataView(frame.buffer).setUint32(0, frame.length, true);
  frame.set(rest, 4);
  return frame;
}

for (const [text, dialect, body] of frames) {
  Deno.test(`${text.split(" ")[0]} of ${dialect} has the bytes of its manual page: ${text}`, () => {
    const frame = frameOf(body);
    const message = decode(frame, dialect);
    assert.equal(formatMessage(message), text);
    assert.deepEqual(parseMessage(text), message);
    assert.deepEqual(encode(message, dialect), frame);
  });
}

Deno.test("MIN_SIZE agrees with the sizes that the manual pages give", () => {
  assert.equal(MIN_SIZE.Rgetattr, 160);
  assert.equal(MIN_SIZE.Tread, TREAD_SIZE);
  assert.equal(MIN_SIZE.Twrite, TWRITE_HEADER);
  assert.equal(MIN_SIZE.Rread, RREAD_HEADER);
  assert.equal(MIN_SIZE.Rreaddir, RREAD_HEADER);
});

for (const dialect of DIALECTS) {
  for (const kind of kindsOf(dialect)) {
    Deno.test(`${kind} of ${dialect} survives every form, and no other length`, () => {
      fc.assert(
        fc.property(arbitraryMessage(kind, dialect), fc.nat(9), (message, at) => {
          const size = sizeOf(message, dialect);
          // A byte before and after that must stay as they are.
          const bytes = new Uint8Array(at + size + 1).fill(0xa5);
          const wire = new Wire(bytes);
          assert.equal(encodeInto(message, wire, at, dialect), at + size);
          assert.equal(bytes[at + size], 0xa5);
          if (at > 0) assert.equal(bytes[at - 1], 0xa5);
          assert.deepEqual(tryDecode(wire, at, at + size, dialect), message);
          assert.deepEqual(parseMessage(formatMessage(message)), message);
          const json = JSON.parse(JSON.stringify(messageToJson(message)));
          assert.deepEqual(messageFromJson(json), message);
          assert.ok(size >= MIN_SIZE[kind] || dialect === "9P2000");
          refusesOtherLengths(bytes, at, size, dialect);
        }),
        { numRuns: RUNS },
      );
    });
  }
}

/** Cuts and lengthens the frame, with a size that says so: null each time, and no look past it. */
function refusesOtherLengths(bytes: Uint8Array, at: number, size: number, dialect: Dialect): void {
  const wire = new Wire(bytes);
  for (let length = 0; length < size; length += length < 64 ? 1 : 7) {
    assert.equal(tryDecode(wire, at, at + length, dialect), null);
    if (length < 7) continue;
    wire.view.setUint32(at, length, true);
    assert.equal(tryDecode(wire, at, at + length, dialect), null, `cut to ${length}`);
    const fault = diagnose(wire, at, at + length, dialect);
    assert.match(fault.fault, /-past-end$/);
    assert.ok(fault.offset >= 7 && fault.offset <= length);
  }
  wire.view.setUint32(at, size + 1, true);
  assert.equal(tryDecode(wire, at, at + size + 1, dialect), null);
  const fault = diagnose(wire, at, at + size + 1, dialect);
  assert.equal(fault.fault, "trailing-bytes");
  assert.equal(fault.offset, size);
}

Deno.test("tryDecode() and diagnose() agree on any bytes whatever", () => {
  const dialects = fc.constantFrom(...DIALECTS);
  const kinds = fc.constantFrom(...LAYOUTS.map((layout) => layout.name as Kind));
  const mutation = fc.tuple(fc.nat(40), fc.oneof(fc.constantFrom(0, 1, 0xff), fc.nat(255)));
  let refused = 0;
  let accepted = 0;
  fc.assert(
    fc.property(
      kinds.chain((kind) => arbitraryMessage(kind, "9P2000.u")),
      dialects,
      fc.array(mutation, { maxLength: 3 }),
      (message, dialect, mutations) => {
        const frame = encode(message, "9P2000.u");
        for (const [where, value] of mutations) if (where < frame.length) frame[where] = value;
        const wire = new Wire(frame);
        const decoded = tryDecode(wire, 0, frame.length, dialect);
        const found = diagnose(wire, 0, frame.length, dialect);
        assert.equal(decoded === null, found.fault !== "changed", found.message);
        if (decoded === null) refused++;
        else {
          accepted++;
          assert.deepEqual(encode(decoded, dialect), frame);
          const spans = fieldOffsets(wire, 0, frame.length, dialect);
          assert.equal(spans.reduce((sum, span) => sum + span.width, 0), frame.length);
        }
      },
    ),
    { numRuns: 4000 },
  );
  assert.ok(refused > 100 && accepted > 100, `${refused} refused, ${accepted} accepted`);
});

const faults: [what: string, fault: Fault, offset: number, frame: string][] = [
  ["no bytes", "short-header", 0, ""],
  ["six bytes", "short-header", 0, "06000000 78 0100"],
  ["a size that lies", "size-mismatch", 0, "0c000000 78 0100 01000000"],
  ["Tlerror", "illegal-type", 4, "0b000000 06 0100 01000000"],
  ["Terror", "illegal-type", 4, "07000000 6a 0100"],
  ["a type of nobody", "unknown-type", 4, "07000000 ff 0100"],
  ["a type before the first", "unknown-type", 4, "07000000 00 0100"],
  ["Topen in 9P2000.L", "wrong-dialect", 4, "0c000000 70 0100 01000000 00"],
  ["a fid cut short", "field-past-end", 7, "0a000000 78 0100 010000"],
  ["the old Tfsync without datasync", "field-past-end", 11, "0b000000 32 0100 01000000"],
  ["a byte too many", "trailing-bytes", 11, "0c000000 78 0100 01000000 00"],
  ["a name past the end", "string-past-end", 15, "13000000 14 0100 01000000 02000000 0500 6162"],
  ["a name's length past the end", "string-past-end", 15, "10000000 14 0100 01000000 02000000 05"],
  ["more names than bytes", "count-past-end", 15, "11000000 6e 0100 01000000 02000000 ffff"],
  [
    "a second name past the end",
    "string-past-end",
    19,
    "15000000 6e 0100 01000000 02000000 0200 0000 0900",
  ],
  ["more qids than bytes", "count-past-end", 7, "09000000 6f 0100 0100"],
  ["less payload than count", "data-past-end", 7, "0c000000 75 0100 02000000 68"],
  ["the count of a payload past the end", "field-past-end", 7, "0a000000 75 0100 020000"],
];

for (const [what, fault, offset, hex] of faults) {
  Deno.test(`diagnose() finds ${what}: ${fault} at ${offset}`, () => {
    const bytes = Uint8Array.fromHex(hex.replaceAll(" ", ""));
    const frame = what === "six bytes" ? bytes.subarray(0, 6) : bytes;
    const wire = new Wire(frame);
    assert.equal(tryDecode(wire, 0, frame.length, L), null);
    const found = diagnose(wire, 0, frame.length, L);
    assert.deepEqual([found.fault, found.offset], [fault, offset], found.message);
    assert.throws(() => decode(frame, L), { name: "ProtocolError", fault, offset, tag: found.tag });
    assert.equal(found.tag, frame.length < 7 ? 0xffff : 1);
  });
}

Deno.test("tryDecode() and diagnose() take any start and end", () => {
  const wire = new Wire(encode({ kind: "Tclunk", tag: 1, fid: 2 }, L));
  const wrong = [-1, 0, 3, 12, 11.5, 1e9, NaN, Infinity, -Infinity];
  for (const start of wrong) {
    for (const end of wrong) {
      assert.equal(tryDecode(wire, start, end, L), null);
      assert.equal(diagnose(wire, start, end, L).kind, "malformed");
    }
  }
  assert.notEqual(tryDecode(wire, 0, 11, L), null);
});

Deno.test("tryDecode() passes on more than 16 path elements, for the server to refuse", () => {
  const wname = Array.from({ length: 17 }, (_, i) => `d${i}`);
  const message: Message = { kind: "Twalk", tag: 1, fid: 2, newfid: 3, wname };
  assert.deepEqual(decode(encode(message, L), L), message);
});

Deno.test("tryDecode() borrows payloads and copies names", () => {
  const frame = encode(
    { kind: "Twrite", tag: 1, fid: 2, offset: 0n, data: Uint8Array.of(1, 2) },
    L,
  );
  const message = decode(frame, L);
  frame[frame.length - 1] = 9;
  assert.ok(message.kind === "Twrite" && message.data[1] === 9);
});

Deno.test("the header functions write and read what encodeInto() writes", () => {
  const data = Uint8Array.of(1, 2, 3);
  const rread = encode({ kind: "Rread", tag: 5, data }, L);
  const wire = new Wire(new Uint8Array(40));
  assert.equal(encodeRreadHeader(wire, 2, 5, 3), 2 + RREAD_HEADER);
  assert.deepEqual(wire.bytes.slice(2, 13), rread.slice(0, 11));
  assert.equal(encodeRreaddirHeader(wire, 0, 5, 3), RREAD_HEADER);
  assert.deepEqual(
    wire.bytes.slice(0, 11),
    encode({ kind: "Rreaddir", tag: 5, data }, L).slice(0, 11),
  );
  const twrite = encode({ kind: "Twrite", tag: 5, fid: 6, offset: 7n, data }, L);
  assert.equal(encodeTwriteHeader(wire, 0, 5, 6, 7n, 3), TWRITE_HEADER);
  assert.deepEqual(wire.bytes.slice(0, 23), twrite.slice(0, 23));
  assert.deepEqual(tryDecodeTwriteHeader(wire, 0, 23), { tag: 5, fid: 6, offset: 7n, count: 3 });
  assert.equal(tryDecodeTwriteHeader(wire, 0, 22), null);
  assert.equal(tryDecodeTwriteHeader(wire, 20, 43), null);
  assert.equal(tryDecodeRreadHeader(wire, 0, 23), null);
  assert.deepEqual(tryDecodeRreadHeader(new Wire(rread), 0, 11), { tag: 5, count: 3 });
  wire.view.setUint32(19, 4, true);
  assert.equal(tryDecodeTwriteHeader(wire, 0, 23), null, "size and count disagree");
});

Deno.test("encode() refuses what its length cannot say", () => {
  const long = "x".repeat(65536);
  const longest = "x".repeat(65535);
  assert.equal(encode({ kind: "Rreadlink", tag: 1, target: longest }, L).length, 9 + 65535);
  assert.throws(() => encode({ kind: "Rreadlink", tag: 1, target: long }, L), RangeError);
  const wname = Array.from({ length: 65536 }, () => "");
  assert.throws(() => encode({ kind: "Twalk", tag: 1, fid: 1, newfid: 2, wname }, L), RangeError);
  const stat = new Uint8Array(65536);
  assert.throws(() => encode({ kind: "Rstat", tag: 1, stat }, "9P2000"), RangeError);
});
