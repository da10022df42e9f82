/**
 * `virtfs bench`: a table of its commands.
 *
 * @module
 */
import { Command, CommanderError } from "commander";
import { BenchUsageError, usageText } from "./bench_words.ts";
import { EXIT, type Output, reportError } from "./output.ts";

/** One command of `bench`. */
interface Entry {
  /** Its word. */
  readonly name: string;
  /** What it does, for the help. */
  readonly summary: string;
  /** Loads it; the others are not loaded. */
  load(): Promise<{ run(args: readonly string[], output: Output): Promise<number> }>;
}

/** Every command that there is. */
const COMMANDS: readonly Entry[] = [
  {
    name: "doctor",
    summary: "say what this machine lacks for the paper's figures",
    load: () => import("./bench_doctor.ts"),
  },
  {
    name: "figures",
    summary: "measure the paper's figures in a Linux guest",
    load: () => import("./bench_figures.ts"),
  },
  {
    name: "rpc",
    summary: "measure any 9P servers with our client, without a guest",
    load: () => import("./bench_rpc.ts"),
  },
  {
    name: "micro",
    summary: "measure the codec and the ring alone",
    load: () => import("./bench_micro.ts"),
  },
  {
    name: "compare",
    summary: "compare two results; exit code 3 if anything became slower",
    load: () => import("./bench_compare.ts"),
  },
  {
    name: "report",
    summary: "make figures and tables of results",
    load: () => import("./bench_report.ts"),
  },
];

/**
 * Runs the command in this process.
 *
 * @param args Words after `bench`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const isHelp = args[0] === "help" && args.length > 1;
  const [word, ...rest] = isHelp ? args.slice(1) : args;
  const entry = COMMANDS.find(({ name }) => name === word);
  try {
    if (entry === undefined) return explain(args, output);
    return await (await entry.load()).run(isHelp ? ["--help"] : rest, output);
  } catch (error) {
    const who = entry === undefined ? "virtfs bench" : `virtfs bench ${entry.name}`;
    return reportError(output, who, error);
  }
}

/** Shows the help, or says what is wrong with the first word. */
function explain(args: readonly string[], output: Output): number {
  const bench = new Command("virtfs bench")
    .usage("COMMAND [options]")
    .description("Measure 9P servers, and tell what the numbers are worth.")
    .helpOption("-h, --help", "show this help; after a command, that of the command")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false });
  for (const { name, summary } of COMMANDS) bench.command(name).summary(summary);
  if (args.length === 0) {
    const names = COMMANDS.map(({ name }) => name).join(", ");
    throw new BenchUsageError(
      `a command is missing; the commands are: ${names} ("virtfs bench --help")`,
    );
  }
  if (args[0] === "help") {
    output.out(bench.helpInformation());
    return EXIT.done;
  }
  try {
    bench.parse(args, { from: "user" });
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    throw new BenchUsageError(usageText(error, "virtfs bench"));
  }
}
