import assert from "node:assert/strict";
import { DIALECTS } from "../p9/mod.ts";
import { formatCodecCase, parseCodecCase } from "./codec_case.ts";
import { type CodecCheck, CodecOracle, OUR_CODEC } from "./codec_oracle.ts";
import { replayCodec } from "./codec_run.ts";

const HEAD = {
  oracle: "round-trip",
  engine: "codec",
  severity: "medium",
  bucket: "codec/value/Tclunk",
  message: "Tclunk: field fid",
  origin: "seed 1 case 2",
  confirmed: { failed: 5, tried: 5 },
} as const;

Deno.test("a frame of our codec is the same when it was written and read", () => {
  for (const dialect of DIALECTS) {
    for (const hex of ["", "0b000000780100020000", "0b00000078010002000000"]) {
      const bytes = Uint8Array.fromHex(hex);
      const text = formatCodecCase(HEAD, { bytes, dialect });
      assert.deepEqual(parseCodecCase(text), { bytes, dialect });
    }
  }
  assert.equal(parseCodecCase("# bucket codec/value/Tclunk\nraw 0x0b\n"), null);
  assert.throws(() => parseCodecCase("# our codec, 9P2000\n"), /want one/);
  assert.throws(() => parseCodecCase("# our codec, 9P\nraw 0x\n"), /no dialect/);
});

Deno.test("replayCodec() finds nothing in our codec", async () => {
  const bytes = Uint8Array.fromHex("0b00000078010002000000");
  for (const dialect of DIALECTS) {
    const { failed, causes } = await replayCodec({ bytes, dialect }, { times: 20, hangMs: 20_000 });
    assert.deepEqual([failed, causes], [0, []]);
  }
});

Deno.test("a check that is off does not hide the others", () => {
  const bug = { sizeOf: () => 5, encodeInto: () => 64 };
  const frame = Uint8Array.fromHex("0b00000078010002000000");
  const codec = { ...OUR_CODEC, ...bug };
  const told = (off: readonly CodecCheck[]): string | undefined =>
    new CodecOracle(codec, off).check(frame, "9P2000.L", false)?.check;
  assert.deepEqual([told([]), told(["size"]), told(["size", "canonical"])], [
    "size",
    "canonical",
    undefined,
  ]);
});
