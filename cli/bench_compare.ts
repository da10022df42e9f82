/**
 * `virtfs bench compare`: what became slower, with an exit code for CI.
 *
 * @module
 */
import { compareResults, formatComparison, readResults } from "../lib/bench/mod.ts";
import { benchCommand, BenchUsageError, decimal, parseWords } from "./bench_words.ts";
import { EXIT, type Output, writeJson } from "./output.ts";

interface Options {
  readonly threshold: number;
  readonly risk: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `compare`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = benchCommand(
    "compare",
    "Compare two results: ratios of speeds with 95 % intervals, and a rank test.\n\n" +
      "Exit code 3 if anything in AFTER is slower by more than the threshold, significantly.",
    output,
  )
    .usage("BEFORE.json AFTER.json [options]")
    .argument("<before>", "results to compare with")
    .argument("<after>", "results to judge")
    .option("--threshold <PERCENT>", "least change that counts", decimal(0, 100), 10)
    .option(
      "--risk <PERCENT>",
      "chance of any false alarm among all that is compared",
      decimal(0.01, 50),
      1,
    )
    .option("--force", "compare results of different machines")
    .option("--json", "write the comparison as one line of JSON");
  if (!parseWords(command, args)) return EXIT.done;
  const [before = "", after = ""] = command.args;
  const options = command.opts<Options>();
  // One after the other: of two missing files the first is told of.
  const first = await readResults(before);
  const second = await readResults(after);
  if (first.kind !== second.kind) {
    throw new BenchUsageError(
      `${before} is of "bench ${first.kind}", ${after} of "bench ${second.kind}"`,
    );
  }
  const compared = compareResults(first, second, {
    threshold: options.threshold / 100,
    risk: options.risk / 100,
  });
  if (compared.machineDifferences.length > 0 && options.force !== true) {
    throw new Error(
      `Cannot compare ${before} with ${after}: they are of different machines ` +
        `(${compared.machineDifferences.join("; ")}), --force does it all the same`,
    );
  }
  if (compared.comparisons.length === 0) {
    throw new Error(`Cannot compare ${before} with ${after}: they have no measurement in common`);
  }
  if (options.json === true) writeJson(output, compared);
  else output.out(formatComparison(compared));
  return compared.isRegression ? EXIT.regression : EXIT.done;
}
