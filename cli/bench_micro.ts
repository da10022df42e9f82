/**
 * `virtfs bench micro`: the codec and the ring alone.
 *
 * @module
 */
import { measureMicro, type Results, short, shown, summarize, table } from "../lib/bench/mod.ts";
import { measureAndTell } from "./bench_measured.ts";
import { benchCommand, decimal, parseWords, wholeNumber } from "./bench_words.ts";
import { EXIT, type Output } from "./output.ts";

interface Options {
  readonly filter: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `micro`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = benchCommand(
    "micro",
    "Measure the codec and the device's side of a virtqueue, in nanoseconds for each operation.",
    output,
  )
    .usage("[options]")
    .option("--filter <TEXT>", "only loops with this in their name", "")
    .option("--rounds <N>", "samples of each loop", wholeNumber(1, 200), 10)
    .option("--seconds <N>", "time of each sample", decimal(0.001, 3600), 0.05)
    .option("--seed <N>", "seed of the order; by chance if not given", wholeNumber(0, 2 ** 32 - 1))
    .option("--out <FILE>", "write results.json for report and compare")
    .option("--json", "write the results as one line of JSON instead of a table");
  if (!parseWords(command, args)) return EXIT.done;
  const options = command.opts<Options>();
  return await measureAndTell({
    kind: "micro",
    args,
    options,
    measure: (conditions) =>
      measureMicro({
        ...conditions,
        rounds: options.rounds,
        roundMs: options.seconds * 1000,
        filter: options.filter,
      }),
    textOf,
  }, output);
}

function textOf({ measurements }: Results): string {
  const rows = measurements.map(({ target, operation, samples, latencies }) => [
    `${target}: ${operation}`,
    shown(summarize(samples).median),
    ...(latencies === null
      ? []
      : [latencies.p50, latencies.p99, latencies.p999, latencies.max].map(short)),
  ]);
  return `${table(["ns for each operation", "median", "p50", "p99", "p99.9", "max"], rows)}\n`;
}
