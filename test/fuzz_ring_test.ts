/**
 * The catalogue of ring attacks against our own device; the verdicts are those that
 * `docs/fuzz-ring.md` tells. `VIRTFS_UPDATE_DOCS=1` writes them there.
 */
import assert from "node:assert/strict";
import { RING_GROUPS } from "../lib/fuzz/ring_catalogue.ts";
import { formatRingTable, runRing } from "../lib/fuzz/ring_run.ts";

const DOCUMENT = new URL("../docs/fuzz-ring.md", import.meta.url);

Deno.test("every entry of the catalogue has the verdict that the document tells, and none is wedged", async () => {
  const { rows, cases, findings } = await runRing({ seed: 1, runs: 300, timeMs: 20_000 });
  assert.deepEqual(findings, []);
  assert.ok(cases > 0);
  assert.ok(rows.length >= 160, `${rows.length}`);
  assert.deepEqual([...new Set(rows.map(({ group }) => group))], Object.keys(RING_GROUPS));
  assert.deepEqual(rows.filter(({ verdict }) => verdict !== "PASS" && verdict !== "REJECT"), []);
  const text = Deno.readTextFileSync(DOCUMENT);
  const intro = text.slice(0, text.indexOf("\n## ") + 1);
  const wanted = `${intro}${formatRingTable(rows)}`;
  if (Deno.env.get("VIRTFS_UPDATE_DOCS") === "1") Deno.writeTextFileSync(DOCUMENT, wanted);
  // The formatter pads tables.
  assert.equal(plain(Deno.readTextFileSync(DOCUMENT)), plain(wanted));
});

function plain(text: string): string {
  return text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
}
