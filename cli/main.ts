/**
 * The program: a table of commands. The only file that ends the process.
 *
 * @module
 */
import { Command, CommanderError } from "commander";
import { EXIT, type Output, processOutput, reportError } from "./output.ts";
import { VERSION } from "./version.ts";

/** One command. */
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
    name: "serve",
    summary: "serve folders over 9P2000.L",
    load: () => import("./serve.ts"),
  },
  {
    name: "trace",
    summary: "show what 9P clients and servers say to each other",
    load: () => import("./trace.ts"),
  },
  {
    name: "bench",
    summary: "measure 9P servers, and tell what the numbers are worth",
    load: () => import("./bench.ts"),
  },
  {
    name: "fuzz",
    summary: "find bugs in 9P servers, and shrink each to a few lines",
    load: () => import("./fuzz.ts"),
  },
];

/**
 * Runs the program.
 *
 * @param args Words after the name of the program.
 * @returns The exit code.
 */
export async function main(args: readonly string[], output: Output): Promise<number> {
  // `virtfs help serve` is `virtfs serve --help`, and `help bench rpc` is `bench rpc --help`.
  const isHelp = args[0] === "help" && args.length > 1;
  const [word, ...rest] = isHelp ? args.slice(1) : args;
  const entry = COMMANDS.find(({ name }) => name === word);
  try {
    if (entry !== undefined) {
      return await (await entry.load()).run(isHelp ? [...rest, "--help"] : rest, output);
    }
    return explain(isHelp ? args.slice(1) : args, output);
  } catch (error) {
    return reportError(output, "virtfs", error);
  }
}

/** Shows the help or the version, or says what is wrong with the first word. */
function explain(args: readonly string[], output: Output): number {
  const program = new Command("virtfs")
    .usage("COMMAND [options]")
    .description("Serve folders over 9P2000.L, the protocol of VirtFS, watch, measure and fuzz it.")
    .version(VERSION, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help; after a command, that of the command")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false });
  for (const { name, summary } of COMMANDS) {
    program.command(name).summary(summary);
  }
  if (args.length === 0 || args[0] === "help") {
    if (args.length > 0) {
      output.out(program.helpInformation());
      return EXIT.done;
    }
    const names = COMMANDS.map(({ name }) => name).join(", ");
    output.err(`virtfs: a command is missing; the commands are: ${names} ("virtfs --help")\n`);
    return EXIT.usage;
  }
  try {
    program.parse(args, { from: "user" });
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    const [what = "", hint = ""] = error.message.replace(/^error: /, "").split("\n");
    const meant = /^\(Did you mean (.*)\?\)$/.exec(hint)?.[1];
    const right = meant === undefined
      ? `"virtfs --help" lists the commands`
      : `did you mean ${meant}?`;
    output.err(`virtfs: ${what}; ${right}\n`);
    return EXIT.usage;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args, processOutput()));
