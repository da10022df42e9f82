/**
 * Makes sequences of attacks short, as long as they show what they show.
 *
 * @module
 */
import type { RingStep } from "./ring_steps.ts";

/** Whether steps show what those that are to be shrunk show. */
export type StillShows = (steps: readonly RingStep[]) => Promise<boolean>;

/** Leaves out steps, then deeds of rings; gives the shortest that was found before a time. */
export async function shrinkRingSteps(
  steps: readonly RingStep[],
  stillShows: StillShows,
  timeMs: number,
): Promise<readonly RingStep[]> {
  const until = performance.now() + timeMs;
  const shows = async (some: readonly RingStep[]): Promise<boolean> =>
    performance.now() < until && await stillShows(some);
  const last = steps.slice(-1);
  let best = last.length < steps.length && await shows(last) ? last : steps;
  best = await leaveOut(best, shows);
  for (let i = 0; i < best.length; i++) {
    const step = best[i];
    if (step?.kind !== "rings") continue;
    const deeds = await leaveOut(
      step.deeds,
      (some) => shows(best.with(i, { kind: "rings", deeds: some })),
    );
    best = best.with(i, { kind: "rings", deeds });
  }
  return best;
}

/** Leaves out halves, quarters and so on, down to single ones, the last ones first. */
async function leaveOut<T>(
  all: readonly T[],
  shows: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let best = all;
  for (let size = Math.ceil(best.length / 2); best.length > 1; size = Math.ceil(size / 2)) {
    for (let end = best.length; end > 0;) {
      const start = Math.max(0, end - size);
      const some = [...best.slice(0, start), ...best.slice(end)];
      if (some.length > 0 && await shows(some)) best = some;
      end = Math.min(start, best.length);
    }
    if (size <= 1) break;
  }
  return best;
}
