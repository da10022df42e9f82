/**
 * `virtfs fuzz`: a table of its commands; without one of their words it fuzzes.
 *
 * @module
 */
import { EXIT, type Output, reportError } from "./output.ts";

/** One command of `fuzz`. */
interface Entry {
  /** What it does, for the help. */
  readonly summary: string;
  /** Loads it; the others are not loaded. */
  load(): Promise<(args: readonly string[], output: Output) => Promise<number>>;
}

/** Every command beside fuzzing itself, by its word. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  conform: {
    summary: "hold named cases, each with its rule, with a server",
    load: async () => (await import("./fuzz_conform.ts")).run,
  },
  codec: {
    summary: "frames that are wrong at the boundary of a field, for our codec or a server",
    load: async () => (await import("./fuzz_codec.ts")).run,
  },
  ring: {
    summary: "attack the ring of a vhost-user device",
    load: async () => (await import("./fuzz_ring.ts")).run,
  },
  clients: {
    summary: "lie to clients: ours, or Linux in a guest",
    load: async () => (await import("./fuzz_clients.ts")).run,
  },
  replay: {
    summary: "hold reproducers with a server, and say whether they still show something",
    load: async () => (await import("./fuzz_cases.ts")).replay,
  },
  min: {
    summary: "make a case shorter",
    load: async () => (await import("./fuzz_cases.ts")).min,
  },
  show: {
    summary: "print a case as text, as a program or in length-prefixed form",
    load: async () => (await import("./fuzz_cases.ts")).show,
  },
  triage: {
    summary: "list the findings of corpus folders, one line for each cause",
    load: async () => (await import("./fuzz_corpus.ts")).triage,
  },
  merge: {
    summary: "put corpus folders together",
    load: async () => (await import("./fuzz_corpus.ts")).merge,
  },
  import: {
    summary: "take cases of others into a corpus folder",
    load: async () => (await import("./fuzz_corpus.ts")).importCases,
  },
};

/**
 * Runs the command in this process.
 *
 * @param args Words after `fuzz`.
 * @returns The exit code.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const isHelp = args[0] === "help" && args.length > 1;
  const [word = "", ...rest] = isHelp ? args.slice(1) : args;
  const entry = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
  try {
    if (entry !== undefined) return await (await entry.load())(isHelp ? ["--help"] : rest, output);
    const { run } = await import("./fuzz_run.ts");
    const summaries = Object.entries(COMMANDS).map(([name, { summary }]) =>
      [name, summary] as const
    );
    return await run(args[0] === "help" ? ["--help"] : args, output, summaries);
  } catch (error) {
    const who = entry === undefined ? "virtfs fuzz" : `virtfs fuzz ${word}`;
    const code = reportError(output, who, error);
    return code === EXIT.done ? EXIT.failed : code;
  }
}
