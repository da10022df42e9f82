/**
 * The catalogue of ring attacks against our own device; the verdicts are those that
 * `docs/fuzz-ring.md` tells. `VIRTFS_UPDATE_DOCS=1` writes them there.
 */
import assert from "node:assert/strict";
import { RING_GROUPS } from "../lib/fuzz/ring_catalogue.ts";
import { RingDevice } from "../lib/fuzz/ring_device.ts";
import { RingPlayer } from "../lib/fuzz/ring_player.ts";
import { formatRingTable, replayRing, runRing } from "../lib/fuzz/ring_run.ts";

const DOCUMENT = new URL("../docs/fuzz-ring.md", import.meta.url);

Deno.test("every entry of the catalogue has the verdict that the document tells, and none is wedged", async () => {
  const { rows, cases, findings } = await runRing({ seed: 1, runs: 300, timeMs: 20_000 });
  assert.deepEqual(findings, []);
  assert.ok(cases > 0);
  assert.ok(rows.length >= 160, `${rows.length}`);
  assert.deepEqual([...new Set(rows.map(({ group }) => group))], Object.keys(RING_GROUPS));
  assert.deepEqual(rows.filter(({ verdict }) => verdict !== "PASS" && verdict !== "REJECT"), []);
  const text = Deno.readTextFileSync(DOCUMENT);
  const titles = Object.values(RING_GROUPS).map((title) => text.indexOf(`\n## ${title}\n`));
  const intro = text.slice(0, Math.min(...titles.filter((at) => at >= 0)) + 1);
  const wanted = `${intro}${formatRingTable(rows)}`;
  if (Deno.env.get("VIRTFS_UPDATE_DOCS") === "1") Deno.writeTextFileSync(DOCUMENT, wanted);
  // The formatter pads tables.
  assert.equal(plain(Deno.readTextFileSync(DOCUMENT)), plain(wanted));
});

Deno.test("what is found is tried again, and told as text that shows it again", async () => {
  await using device = await RingDevice.start(["device"]);
  const socket = device.path("device");
  // The fault of this device: a file that every export has is not there.
  Deno.removeSync(`${device.root}/lock`);
  const { rows, findings } = await runRing({ socket, groups: ["frame"], runs: 0, verify: 2 });
  assert.equal(rows.find(({ name }) => name === "one_tag_twice")?.verdict, "FAIL");
  const [finding] = findings;
  assert.equal(findings.length, 1);
  assert.deepEqual(finding?.confirmed, { failed: 2, tried: 2 });
  const text = finding?.reproducer ?? "";
  assert.match(text, /^# Twalk .*\n# oracle ring, .*\n# bucket .*\nattack frame\/one_tag_twice\n$/);
  await using player = await RingPlayer.start({ socket });
  const shown = await replayRing(player, text, 20);
  assert.deepEqual([shown.failed, shown.tried, shown.bucket], [20, 20, finding?.bucket]);
  Deno.writeFileSync(`${device.root}/lock`, new Uint8Array(1));
  const mended = await replayRing(player, text, 3);
  assert.deepEqual([mended.failed, mended.tried, mended.bucket], [0, 3, undefined]);
});

function plain(text: string): string {
  return text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
}
