/**
 * Captures that somebody has damaged: whatever they hold, reading them ends, soon, and says so.
 *
 * `VIRTFS_TEST_PROFILE=full` reads 10,000 of them, otherwise the first 1,000.
 */
import assert from "node:assert/strict";
import { formatProblem } from "./account.ts";
import { LARGEST_MESSAGE } from "./shape.ts";
import { mutation, ORIGINALS } from "./mutations_test_helper.ts";
import { readCapture } from "./read_capture.ts";
import type { Frame, Gap } from "./types.ts";

const COUNT = Deno.env.get("VIRTFS_TEST_PROFILE") === "full" ? 10_000 : 1_000;
/** Milliseconds for one, on a busy machine; they take less than one. */
const LONGEST = 2000;
/** Bytes of growth allowed over all of them. */
const MOST_MEMORY = 300e6;

/** What is told of a capture; throws where the telling contradicts itself. */
async function tell(
  bytes: Uint8Array,
): Promise<{ frames: number; seen: number; problems: number }> {
  let [frames, seen, gaps] = [0, 0, 0];
  const open = new Set<number>();
  let hasBegun = false;
  let isOver = false;
  const known = (id: number): void => assert.ok(hasBegun && !isOver && open.has(id), `c${id}`);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const report = await readCapture(stream, {
    begin: () => void (hasBegun = true),
    opened: ({ id }) => {
      assert.ok(!open.has(id));
      open.add(id);
    },
    closed: ({ id }) => {
      known(id);
      open.delete(id);
    },
    frame: ({ conversation, start, end, size, bytes, time }: Frame) => {
      known(conversation.id);
      assert.ok(start >= 0 && end <= bytes.length && end - start >= 7, `${start} to ${end}`);
      assert.ok(Number.isFinite(time));
      // An exported message may claim any size; all others were checked.
      assert.ok(size >= 7 && size <= LARGEST_MESSAGE && end - start <= size, `size ${size}`);
      frames++;
      seen += end - start;
    },
    gap: ({ conversation, lost, skipped, time }: Gap) => {
      known(conversation.id);
      assert.ok(lost >= 0 && skipped >= 0 && lost + skipped > 0);
      assert.ok(Number.isFinite(time));
      gaps++;
    },
    end: () => void (isOver = true),
  });
  assert.ok(isOver && open.size === 0);
  for (const problem of report.problems) {
    assert.ok(problem.count > 0 && problem.offset >= 0 && problem.bytes >= 0);
    assert.match(formatProblem(problem), /offset \d+/);
  }
  return { frames, seen, problems: report.problems.length + gaps };
}

Deno.test(`readCapture() ends on each of ${COUNT} damaged captures and gives an account`, async () => {
  for (const original of ORIGINALS) {
    const { frames, problems } = await tell(original);
    assert.deepEqual([frames, problems], [16, 0]);
  }
  const before = Deno.memoryUsage().rss;
  let [damaged, silent, kept] = [0, 0, 0];
  for (let seed = 0; seed < COUNT; seed++) {
    const bytes = mutation(seed);
    const start = performance.now();
    const { frames, problems } = await tell(bytes).catch((cause) => {
      throw new Error(`seed ${seed}`, { cause });
    });
    assert.ok(performance.now() - start < LONGEST, `seed ${seed} takes too long`);
    if (frames < 16) damaged++;
    if (frames < 16 && problems === 0) silent++;
    kept += frames;
  }
  assert.ok(Deno.memoryUsage().rss - before < MOST_MEMORY, "memory grows");
  assert.ok(damaged > COUNT / 4, `only ${damaged} captures lost something`);
  // What changes an address, a port or a protocol makes another conversation, and no damage.
  assert.ok(silent < COUNT / 20, `${silent} captures lost messages without a word`);
  assert.ok(kept > COUNT * 8, `only ${kept} messages were recovered`);
});
