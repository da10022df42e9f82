/**
 * `virtfs bench figures`: the paper's Figures 2 to 5, measured in a real guest.
 *
 * @module
 */
import { Option } from "commander";
import {
  FAMILIES,
  type Family,
  type FiguresOptions,
  type FiguresProgress,
  LEAST_MEMORY_MIB,
  memoryFor,
  OWN,
  PAPER_BLOCKS,
  PAPER_SIZE,
  type Preset,
  PRESETS,
  readResults,
  type Results,
  runFigures,
  sizeText,
} from "../lib/bench/mod.ts";
import { benchCommand, BenchUsageError, parseWords, wholeNumber } from "./bench_words.ts";
import { EXIT, type Output, Progress, reportError, writeJson } from "./output.ts";
import { VERSION } from "./version.ts";

/** Time between lines of progress where no terminal shows one that changes, in milliseconds. */
const LINE_MS = 10_000;

/** Name of the file in the folder of a run. */
const RESULTS = "results.json";

const MIB = 2 ** 20;

/** Words of the command line, as commander gives them. */
interface Words {
  readonly preset?: Preset;
  readonly size?: string;
  readonly memory?: string;
  readonly repetitions?: number;
  readonly warmups?: number;
  readonly series?: string;
  readonly seed?: number;
  readonly fsync?: boolean;
  readonly accelerator: "auto" | "kvm" | "tcg";
  readonly backing?: string;
  readonly out: string;
  readonly resume?: boolean;
  readonly json?: boolean;
}

/**
 * Runs `virtfs bench figures`.
 *
 * @param args Words after `figures`.
 * @returns The exit code: 0 if every cell has its samples.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const who = "virtfs bench figures";
  try {
    const words = parse(args, output);
    if (words === null) return EXIT.done;
    return await measure(await optionsOf(words, args), words, output);
  } catch (error) {
    return reportError(output, who, error);
  }
}

/** Reads the words; null if help was shown. */
function parse(args: readonly string[], output: Output): Words | null {
  const command = benchCommand(
    "figures",
    "Measure Figures 2 to 5 of the paper: dd in a Linux guest writes and reads files on VirtFS " +
      "(QEMU's and ours), NFS, CIFS and a block device. All that is started is gone in the end.",
    output,
  );
  const preset =
    "ci: minutes, whether it works; quick: files that fit into caches; paper: as there";
  command.addOption(new Option("--preset <name>", preset).choices(Object.keys(PRESETS)))
    .option("--size <bytes>", "size of each file: 64M, 8G (default: that of the paper, 8G)")
    .option("--memory <bytes>", "memory of the guest (default: a quarter of the size)")
    .option(
      "--repetitions <n>",
      `samples of each cell (default: ${OWN.repetitions})`,
      wholeNumber(1, 10_000),
    )
    .option(
      "--warmups <n>",
      `runs of each cell before its samples (default: ${OWN.warmups})`,
      wholeNumber(0, 100),
    )
    .option("--series <names>", "measure these, too: tcp (9P over TCP), virtiofs")
    .option("--seed <n>", "order of the samples (default: 1)", wholeNumber(0, 2 ** 32 - 1))
    .option("--fsync", "dd waits until what it has written is on stable storage")
    .addOption(
      new Option("--accelerator <name>", "kvm, tcg (emulation), auto: kvm if a probe guest boots")
        .choices(["auto", "kvm", "tcg"]).default("auto"),
    )
    .option("--backing <folder>", "where the files lie (default: memory, if there is enough)")
    .option("--out <folder>", "where results are written", "virtfs-figures")
    .option("--resume", "go on with the run whose results are there")
    .option("--json", "print the results, too");
  if (!parseWords(command, args)) return null;
  return command.opts<Words & Record<string, unknown>>();
}

async function optionsOf(words: Words, args: readonly string[]): Promise<FiguresOptions> {
  const path = `${words.out}/${RESULTS}`;
  const common = {
    accelerator: words.accelerator,
    backing: words.backing === undefined ? null : await Deno.realPath(words.backing),
    commandLine: ["virtfs", "bench", "figures", ...args],
    version: VERSION,
    path,
  };
  if (words.resume === true) return { ...common, ...resumed(await readResults(path)) };
  await Deno.mkdir(words.out, { recursive: true });
  if (await isThere(path)) {
    throw new BenchUsageError(
      `${path} is there already: --resume goes on with it, --out names another folder`,
    );
  }
  const base = words.preset === undefined
    ? { ...OWN, sizeBytes: PAPER_SIZE, memoryMiB: memoryFor(PAPER_SIZE) }
    : PRESETS[words.preset];
  const sizeBytes = words.size === undefined ? base.sizeBytes : bytesOf("size", words.size);
  const block = Math.max(...PAPER_BLOCKS);
  if (sizeBytes === 0 || sizeBytes % block !== 0) {
    throw new BenchUsageError(`--size must be a multiple of ${sizeText(block)}, the largest block`);
  }
  const memoryMiB = words.memory !== undefined
    ? Math.floor(bytesOf("memory", words.memory) / MIB)
    : words.size !== undefined
    ? memoryFor(sizeBytes)
    : base.memoryMiB;
  if (memoryMiB < LEAST_MEMORY_MIB) {
    throw new BenchUsageError(`--memory must be ${LEAST_MEMORY_MIB}M or more: less does not boot`);
  }
  const own = words.size ?? words.memory ?? words.repetitions ?? words.warmups;
  return {
    ...common,
    preset: words.preset === undefined || own !== undefined ? "own" : words.preset,
    extent: {
      sizeBytes,
      memoryMiB,
      repetitions: words.repetitions ?? base.repetitions,
      warmups: words.warmups ?? base.warmups,
    },
    extra: (words.series ?? "").split(",").filter((name) => name !== "").map(familyOf),
    seed: words.seed ?? 1,
    fsync: words.fsync ?? false,
    earlier: null,
  };
}

/** What an earlier part of a run was asked for. */
function resumed(
  earlier: Results,
): Pick<FiguresOptions, "preset" | "extent" | "extra" | "seed" | "fsync" | "earlier"> {
  const { plan, kind, state } = earlier;
  if (kind !== "figures" || plan === null || plan.memoryRatio === null) {
    throw new BenchUsageError("--resume: these are no results of figures");
  }
  if (state === "complete") throw new BenchUsageError("--resume: that run is complete");
  const families = new Set(earlier.cells.map(({ series }) => series.split("@")[0] ?? series));
  const { sizeBytes, repetitions, warmups, preset, memoryRatio } = plan;
  return {
    preset,
    extent: {
      sizeBytes,
      repetitions,
      warmups,
      memoryMiB: Math.round(sizeBytes / memoryRatio / MIB),
    },
    extra: FAMILIES.filter((family) => families.has(family)),
    seed: earlier.seed,
    fsync: earlier.cells.some(({ fsync }) => fsync),
    earlier,
  };
}

/** Measures until it is done or a signal comes. */
async function measure(options: FiguresOptions, words: Words, output: Output): Promise<number> {
  const interruption = new AbortController();
  const stop = {
    SIGINT: () => interruption.abort("SIGINT"),
    SIGTERM: () => interruption.abort("SIGTERM"),
  };
  Deno.addSignalListener("SIGINT", stop.SIGINT);
  Deno.addSignalListener("SIGTERM", stop.SIGTERM);
  let results: Results;
  try {
    using teller = new Teller(output);
    results = await runFigures(options, teller, interruption.signal);
  } finally {
    Deno.removeSignalListener("SIGINT", stop.SIGINT);
    Deno.removeSignalListener("SIGTERM", stop.SIGTERM);
  }
  if (words.json === true) writeJson(output, results);
  // Made from the file, as whoever has nothing but the file would.
  const { run: report } = await import("./bench_report.ts");
  await report([options.path], { ...output, out: (text) => output.err(text) });
  if (results.state === "complete") {
    output.err(`${options.path}: every cell has its samples\n`);
    return EXIT.done;
  }
  output.err(`virtfs bench figures: ${results.stateReason ?? "not all was measured"}\n`);
  const missing = new Map(
    results.cells.map(({ series, missing }): [string, string | null] => [series, missing]),
  );
  for (const [series, reason] of missing) {
    if (reason !== null && reason !== results.stateReason?.split("\n")[0]) {
      output.err(`${series}: ${reason}\n`);
    }
  }
  output.err(`samples so far are in ${options.path}; --resume goes on from them\n`);
  if (!interruption.signal.aborted) return EXIT.failed;
  return interruption.signal.reason === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
}

/** Says on standard error how far a run is. */
class Teller implements Disposable {
  readonly #output: Output;
  readonly #progress: Progress;
  #lastLine = -Infinity;

  constructor(output: Output) {
    this.#output = output;
    this.#progress = new Progress(output);
  }

  doing(what: string): void {
    this.#show(what, true);
  }

  note(text: string): void {
    this.#progress[Symbol.dispose]();
    this.#output.err(`note: ${text.split("\n")[0]}\n`);
  }

  taken(progress: FiguresProgress): void {
    const { done, total, secondsLeft, column, blockBytes, write, read } = progress;
    const many = column.fileSystems === 1 ? "" : `, ${column.fileSystems} file systems`;
    this.#show(
      `${done} of ${total}, ${leftText(secondsLeft)} left: ${column.series.name}${many}, ` +
        `${sizeText(blockBytes)}: write ${write.toFixed(0)}, read ${read.toFixed(0)} MB/s`,
      done === total,
    );
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }

  #show(text: string, always: boolean): void {
    this.#progress.update(text);
    if (this.#output.errIsTerminal) return;
    const now = performance.now();
    if (!always && now < this.#lastLine + LINE_MS) return;
    this.#lastLine = now;
    this.#output.err(`${text}\n`);
  }
}

/** A time that is still to go, roughly: `1 h 20 min`, `50 s`. */
function leftText(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Reads a number of bytes: `65536`, `64M`, `8G`. */
function bytesOf(name: string, text: string): number {
  const match = /^(\d{1,12})([KMG]?)(?:iB)?$/.exec(text);
  if (match === null) {
    throw new BenchUsageError(`--${name}: "${text}" is no size such as 64M or 8G`);
  }
  const unit = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[match[2] ?? ""] ?? 1;
  return Number(match[1]) * unit;
}

function familyOf(name: string): Family {
  const family = FAMILIES.find((each) => each === name);
  if (family === undefined) {
    throw new BenchUsageError(`--series: "${name}" is none; there are ${FAMILIES.join(", ")}`);
  }
  return family;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
