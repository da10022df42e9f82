/**
 * `virtfs trace diff`: what two captures differ in.
 *
 * @module
 */
import { Command } from "commander";
import { diffCaptures, Digest, formatDifference, Session } from "../lib/trace/mod.ts";
import { BenchUsageError as UsageError, parseWords, untilSignal } from "./bench_words.ts";
import { EXIT, oneLine, type Output, reportError } from "./output.ts";
import { readSource } from "./trace_source.ts";
import { portList } from "./trace_words.ts";

/**
 * Runs the command in this process.
 *
 * @param args Words after `diff`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  try {
    return await diff(args, output);
  } catch (error) {
    return reportError(output, "virtfs trace diff", error);
  }
}

async function diff(args: readonly string[], output: Output): Promise<number> {
  const command = new Command("virtfs trace diff")
    .description(
      "Compare two captures: which requests were made, what came of them, and how long they took.\n" +
        "Ends with exit code 3 if they differ in more than time.",
    )
    .usage("A B [options]")
    .argument("[A]")
    .argument("[B]")
    .argument("[more...]")
    .helpOption("-h, --help", "show this help")
    .option("--port <LIST>", "TCP ports of 9P servers (default: 564,5640)", portList)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false })
    .configureHelp({ visibleArguments: () => [] });
  if (!parseWords(command, args)) return EXIT.done;
  const [a, b, extra] = command.args;
  if (a === undefined || b === undefined) throw new UsageError("two captures are needed: A and B");
  if (extra !== undefined) throw new UsageError(`two captures are enough, not "${extra}" too`);
  if (a === "-" && b === "-") throw new UsageError("only one of the two can be standard input");
  const { port } = command.opts<{ port?: readonly number[] }>();
  let isKnown = true;
  const digest = async (path: string, signal: AbortSignal): Promise<Digest> => {
    const told = new Digest();
    const frames = new Session([told], { needs: "messages" });
    const reading = await readSource(path, { frames, transactions: told }, {
      signal,
      ...(port === undefined ? {} : { ports: port }),
    });
    isKnown &&= reading.isKnown;
    for (const note of reading.notes) {
      output.err(`virtfs trace diff: ${oneLine(path)}: ${oneLine(note)}\n`);
    }
    return told;
  };
  const { value, signal: interrupted } = await untilSignal(async (signal) => {
    const first = await digest(a, signal);
    return { first, second: await digest(b, signal) };
  });
  if (interrupted !== undefined || value === undefined) {
    return interrupted === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  }
  if (!isKnown) return EXIT.failed;
  const difference = diffCaptures(value.first, value.second);
  output.out(formatDifference(difference, value.first, value.second));
  return difference.changes === 0 && difference.unmatched === 0 ? EXIT.done : EXIT.findings;
}
