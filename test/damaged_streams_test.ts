/**
 * What we recover from damaged streams and what Wireshark does: the table in
 * `docs/trace-capture.md`, which `deno run -A test/damaged_streams_test.ts --write` writes.
 */
import assert from "node:assert/strict";
import {
  DAMAGE,
  damagedCapture,
  ours,
  possible,
  type Score,
  scoreOf,
  tshark,
} from "./damaged_streams.ts";
import { table } from "../lib/bench/tables.ts";

const DOCUMENT = new URL("../docs/trace-capture.md", import.meta.url);
const BEGIN = "<!-- Written by test/damaged_streams_test.ts. -->\n\n";
const END = "\n\n<!-- Until here. -->";

function text({ right, wrong }: Score): string {
  return wrong === 0 ? `${right}` : `${right} and ${wrong} that are none`;
}

/** The table, and what we recover of each case. */
async function compare(): Promise<{ shown: string; scores: Score[] }> {
  const capture = damagedCapture();
  const path = await Deno.makeTempFile({ suffix: ".pcap" });
  try {
    await Deno.writeFile(path, capture);
    const mine = await ours(capture);
    const plain = await tshark(path, []);
    const ordered = await tshark(path, ["tcp.reassemble_out_of_order:TRUE"]);
    const scores = DAMAGE.map((_, i) => scoreOf(mine, i));
    const rows = DAMAGE.map((one, i) => [
      one.what,
      `${possible(one)}`,
      text(scores[i] ?? { right: 0, wrong: 0 }),
      text(scoreOf(plain, i)),
      text(scoreOf(ordered, i)),
    ]);
    const head = ["damage", "headers in the capture", "`virtfs trace`", "tshark"];
    return { shown: table([...head, "tshark, out of order"], rows), scores };
  } finally {
    await Deno.remove(path);
  }
}

if (import.meta.main && Deno.args[0] === "--write") {
  const { shown } = await compare();
  const document = await Deno.readTextFile(DOCUMENT);
  const [before, rest = ""] = document.split(BEGIN);
  await Deno.writeTextFile(DOCUMENT, `${before}${BEGIN}${shown}${END}${rest.split(END)[1]}`);
} else {
  Deno.test("readCapture() recovers from each damage all that can be, and the docs say so", async () => {
    const { shown, scores } = await compare();
    for (const [i, one] of DAMAGE.entries()) {
      assert.deepEqual(scores[i], { right: possible(one), wrong: 0 }, one.what);
    }
    const document = await Deno.readTextFile(DOCUMENT);
    const normal = (text: string): string => text.replaceAll(/ +|-{2,}/g, " ").trim();
    assert.equal(normal(document.split(BEGIN)[1]?.split(END)[0] ?? ""), normal(shown));
  });
}
