import assert from "node:assert/strict";
import type { Case, Step } from "./case.ts";
import { shrink } from "./shrink.ts";

const clunk = (fid: number): Step => ({
  connection: 0,
  content: { kind: "Tclunk", tag: 5, fid },
  isJoined: false,
});
const CASE: Case = [7, 7, 9, 7, 7, 7, 7, 7].map(clunk);

/** What fails has a Tclunk of fid 9, and takes its time. */
function slowly(ms: number): { readonly tried: Case[]; fails(steps: Case): Promise<boolean> } {
  const tried: Case[] = [];
  const fails = async (steps: Case): Promise<boolean> => {
    tried.push(steps);
    await new Promise((resolve) => setTimeout(resolve, ms));
    return steps.some(({ content }) => "fid" in content && content.fid === 9);
  };
  return { tried, fails };
}

Deno.test("shrink() goes on for a while where every try is slow", async () => {
  const begun = performance.now();
  const starts: number[] = [];
  const { fails } = slowly(50);
  await shrink(CASE, (steps) => {
    starts.push(performance.now() - begun);
    return fails(steps);
  }, { tries: 1500, timeMs: 300 });
  const last = starts.at(-1) ?? 0;
  assert.ok(last > 300 && last < 1000, `${last} ms`);
});

Deno.test("shrink() ends when there were enough tries, and after some time", async () => {
  const few = slowly(0);
  assert.equal((await shrink(CASE, few.fails, { tries: 0, timeMs: 1000 })).length, CASE.length);
  await shrink(CASE, few.fails, { tries: 4, timeMs: Infinity });
  assert.equal(few.tried.length, 4);
  const late = slowly(50);
  await shrink(CASE, late.fails, { tries: 1500, timeMs: 10 });
  assert.equal(late.tried.length, 1);
  const plenty = slowly(0);
  const best = await shrink(CASE, plenty.fails, { tries: 1500, timeMs: Infinity });
  assert.deepEqual(best, [{ ...clunk(9), content: { kind: "Tclunk", tag: 1, fid: 9 } }]);
});
