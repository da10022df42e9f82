/**
 * `virtfs fuzz`: fuzzes a server, statefully, from outside.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import {
  CorpusFolder,
  formatFinding,
  formatProgress,
  formatReport,
  fuzzModel,
  MODEL_ORACLES,
  type Preset,
  profileOf,
  type Report,
  REPORT_FORMATS,
  type ReportFormat,
  type Subject,
} from "../lib/fuzz/mod.ts";
import { umask } from "../lib/linux/mod.ts";
import { decimal, freshSeed, untilSignal, wholeNumber } from "./bench_words.ts";
import { fuzzPreset, PRESET_NAMES, presetOf } from "./fuzz_preset.ts";
import {
  fuzzCommand,
  FuzzUsageError,
  openSubject,
  parseFuzzWords,
  type TargetOptions,
  userOf,
  withTarget,
} from "./fuzz_words.ts";
import { EXIT, type Output, Progress } from "./output.ts";

interface Options extends TargetOptions {
  readonly seed?: number;
  readonly time?: number;
  readonly runs?: number;
  readonly jobs: number;
  readonly verify: number;
  readonly stopAfter: number;
  readonly corpus?: string;
  readonly format: ReportFormat;
  readonly out?: string;
  readonly preset?: Preset;
}

/** Seconds of a run that was given no end. */
const DEFAULT_SECONDS = 60;

/**
 * Runs the command in this process.
 *
 * @param args Words after `fuzz`.
 * @param commands Further commands, for the help.
 * @returns The exit code: 3 if something was found.
 */
export async function run(
  args: readonly string[],
  output: Output,
  commands: readonly (readonly [name: string, summary: string])[],
): Promise<number> {
  const command = withTarget(
    fuzzCommand(
      "",
      "Fuzz a 9P server: conversations made from a model of what it should know,\n" +
        "answers judged by oracles, findings shrunk to a few lines.\n\n" +
        "TARGET: tcp://HOST:PORT, unix:///PATH, vhost-user:///PATH, or a server of\n" +
        "ours: own:unix (the default), own:tcp, own:vhost-user. With --spawn, {export}\n" +
        "stands for a temporary folder with files in it, {port} for a free port,\n" +
        "{socket} for a path to listen at.\n\n" +
        "  virtfs fuzz --spawn 'myserver {export} {socket}'\n\n" +
        "Exit code: 0 nothing found, 1 it could not be done, 2 wrong words, 3 findings.",
      output,
    ).usage("[TARGET] [options]").argument("[TARGET]"),
  )
    .option(
      "--seed <N>",
      "the same seed makes the same cases; by chance if not given",
      wholeNumber(0, 2 ** 32 - 1),
    )
    .option(
      "--time <SECONDS>",
      `when to end; ${DEFAULT_SECONDS} s if there is no --runs either`,
      decimal(0.1, 1e7),
    )
    .option("--runs <N>", "cases to run", wholeNumber(1, 1e12))
    .option("--jobs <N>", "targets at once, each with an export of its own", wholeNumber(1, 64), 1)
    .option("--verify <N>", "times that a finding is tried again", wholeNumber(1, 1000), 5)
    .option("--stop-after <N>", "end after so many findings; 0 never", wholeNumber(0, 1e6), 0)
    .option("--corpus <FOLDER>", "keep cases and findings there, and go on from what is there")
    .option("--format <NAME>", `report: ${REPORT_FORMATS.join(", ")}`, formatName, "text")
    .option(
      "--preset <NAME>",
      `all engines, each against ours, for --time each: ${PRESET_NAMES.join(", ")}`,
      presetName,
    )
    .option("--out <FILE>", "write the report there; findings are still told as they come")
    .addHelpText(
      "after",
      `\nOracles:\n${table(Object.entries(MODEL_ORACLES))}\nCommands:\n${table(commands)}`
        .trimEnd(),
    );
  if (!parseFuzzWords(command, args)) return EXIT.done;
  const options = command.opts<Options>();
  const [word, ...more] = command.args;
  if (more.length > 0) throw new FuzzUsageError(`"${more[0]}" is one target too many`);
  // As `virtfs serve` does: modes are those that a client asks for.
  umask(0);
  const { preset } = options;
  if (preset !== undefined) {
    if (word !== undefined || options.spawn !== undefined) {
      throw new FuzzUsageError("--preset has targets of its own");
    }
    const words = { ...options, seed: options.seed ?? freshSeed() };
    const { value, signal } = await untilSignal((signal) =>
      fuzzPreset(preset, words, output, signal)
    );
    if (signal !== undefined) return signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
    return value ?? EXIT.failed;
  }
  const { value: report, signal } = await untilSignal((signal) =>
    fuzz(word, options, output, signal)
  );
  if (report === undefined) return signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  const text = formatReport(report, options.format);
  if (options.out !== undefined) await Deno.writeTextFile(options.out, text);
  else output.out(text);
  if (signal !== undefined) return signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  const isClean = report.findings.every(({ verdict }) => verdict === "XFAIL");
  return isClean ? EXIT.done : EXIT.findings;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}\n`).join("");
}

function presetName(text: string): Preset {
  const preset = presetOf(text);
  if (preset === undefined) {
    throw new InvalidArgumentError(`The presets are: ${PRESET_NAMES.join(", ")}.`);
  }
  return preset;
}

function formatName(text: string): ReportFormat {
  const name = REPORT_FORMATS.find((each) => each === text);
  if (name === undefined) {
    throw new InvalidArgumentError(`The forms are: ${REPORT_FORMATS.join(", ")}.`);
  }
  return name;
}

async function fuzz(
  word: string | undefined,
  options: Options,
  output: Output,
  signal: AbortSignal,
): Promise<Report> {
  const profile = profileOf(options.profile);
  const corpus = options.corpus === undefined ? undefined : new CorpusFolder(options.corpus);
  const state = corpus?.state();
  const seed = options.seed ?? state?.seed ?? freshSeed();
  const seconds = options.time ?? (options.runs === undefined ? DEFAULT_SECONDS : Infinity);
  const isFixed = word !== undefined && !/^own/.test(word);
  if (options.jobs > 1 && isFixed) {
    throw new FuzzUsageError("--jobs is for servers that are started: the cases of two would meet");
  }
  await using stack = new AsyncDisposableStack();
  const subjects: Subject[] = [];
  for (let i = 0; i < options.jobs; i++) {
    subjects.push(await openSubject(word, options, stack, output));
  }
  using progress = new Progress(output);
  output.err(`virtfs fuzz: ${subjects[0]?.target.name}, seed ${seed}\n`);
  return await fuzzModel({
    subjects,
    seed,
    first: state?.seed === seed ? state.next : 0,
    runs: options.runs ?? Infinity,
    timeMs: seconds * 1000,
    profile,
    off: new Set(options.off ?? []),
    user: userOf(options),
    patienceMs: options.timeout,
    verify: options.verify,
    maxFindings: options.stopAfter,
    signal,
    ...(corpus === undefined ? {} : { corpus }),
    onFinding: (found) => {
      progress.update("");
      // A report as text tells all of it in the end.
      const text = formatFinding(found);
      output.err(
        `${options.format === "text" && options.out === undefined ? text.split("\n")[0] : text}\n`,
      );
    },
    onProgress: (report) => progress.update(formatProgress(report)),
  });
}
