/**
 * The loops of `micro.ts`, by turns.
 *
 * @module
 */
import { createHistogram } from "node:perf_hooks";
import { MICRO_ROUNDS, type MicroCase, microCases } from "./micro.ts";
import type { Measurement } from "./results_types.ts";
import { generator, median, shuffled } from "./statistics.ts";

/** How to measure. */
export interface MicroOptions {
  /** Samples of each loop. */
  readonly rounds: number;
  /** Milliseconds of each sample. */
  readonly roundMs: number;
  /** Which loops: part of `group name`; all of them if it is empty. */
  readonly filter: string;
  /** Seed of the order. */
  readonly seed: number;
  /** Ends the measurement: loops that have samples by then are what was measured. */
  readonly signal?: AbortSignal;
  /** Hears how much is done, from 0 to 1. */
  readonly onProgress?: (share: number, what: string) => void;
}

/**
 * Measures the codec and the ring, each loop in rounds whose order the seed decides.
 *
 * Latencies are those of one call of a loop divided by its operations, so that the clock weighs
 * little; their greatest shows what garbage collection does.
 *
 * @throws {Error} If no loop has such a name.
 */
export async function measureMicro(options: MicroOptions): Promise<Measurement[]> {
  const cases = microCases().filter(({ group, name }) =>
    `${group} ${name}`.includes(options.filter)
  );
  if (cases.length === 0) {
    throw new Error(`Cannot measure "${options.filter}": no loop has that in its name`);
  }
  const jobs = cases.map((each) => ({
    each,
    samples: [] as number[],
    calls: createHistogram({ lowest: 1, highest: 60e9, figures: 3 }),
  }));
  const random = generator(options.seed);
  const total = jobs.length * (options.rounds + 1);
  let done = 0;
  measuring: for (let round = 0; round <= options.rounds; round++) {
    for (const { each, samples, calls } of shuffled(jobs, random)) {
      if (options.signal?.aborted === true) break measuring;
      options.onProgress?.(done++ / total, `${each.group}: ${each.name}`);
      const times = loop(each, options.roundMs);
      // Signals and progress are seen to between rounds.
      await new Promise((resolve) => setTimeout(resolve));
      if (round === 0) continue;
      samples.push(median(times));
      for (const time of times) calls.record(Math.max(1, Math.round(time * MICRO_ROUNDS)));
    }
  }
  const measured = jobs.filter(({ samples }) => samples.length > 0);
  return measured.map(({ each, samples, calls }): Measurement => {
    const at = (percent: number) => Math.min(calls.percentile(percent), calls.max) / MICRO_ROUNDS;
    return {
      kind: "micro",
      target: each.group,
      operation: each.name,
      bytes: 0,
      depth: 1,
      clients: 1,
      msize: null,
      unit: "ns/op",
      samples,
      latencies: {
        count: calls.count,
        min: calls.min / MICRO_ROUNDS,
        mean: calls.mean / MICRO_ROUNDS,
        p50: at(50),
        p90: at(90),
        p99: at(99),
        p999: at(99.9),
        max: calls.max / MICRO_ROUNDS,
      },
      cpuPerOperation: null,
    };
  });
}

/** Nanoseconds of an operation in each call of a loop for some time. */
function loop({ run }: MicroCase, ms: number): number[] {
  const times: number[] = [];
  const end = performance.now() + ms;
  for (let now = performance.now(); now < end;) {
    run();
    const after = performance.now();
    times.push((after - now) * 1e6 / MICRO_ROUNDS);
    now = after;
  }
  return times;
}
