/**
 * `virtfs fuzz replay`, `min` and `show`: single cases.
 *
 * @module
 */
import {
  bucketOf,
  type ClientCase,
  formatCase,
  packCase,
  parseClientCase,
  parseCodecCase,
  profileOf,
  readReproducer,
  replayCodec,
  Replayer,
  replayLinuxClient,
  replayOwnClient,
  scriptOf,
  type Step,
  TemporaryExport,
  UnguidedCases,
  unpackCase,
} from "../lib/fuzz/mod.ts";
import { umask } from "../lib/linux/mod.ts";
import { wholeNumber } from "./bench_words.ts";
import {
  fuzzCommand,
  FuzzUsageError,
  openSubject,
  parseFuzzWords,
  type TargetOptions,
  userOf,
  withTarget,
} from "./fuzz_words.ts";
import { verdictLine } from "./fuzz_engine.ts";
import { isRingFile, replayRings } from "./fuzz_ring.ts";
import { EXIT, oneLine, type Output } from "./output.ts";

/** Reads a case: as text, or in length-prefixed form if the name ends in `.bin`. */
export function readCase(path: string): { steps: Step[]; bucket: string | undefined } {
  if (path.endsWith(".bin")) {
    return { steps: unpackCase(Deno.readFileSync(path)), bucket: undefined };
  }
  const { steps, bucket } = readReproducer(Deno.readTextFileSync(path));
  return { steps: [...steps], bucket };
}

interface ReplayWords extends TargetOptions {
  readonly target?: string;
  readonly times: number;
}

/** Holds reproducers with a server. */
export async function replay(args: readonly string[], output: Output): Promise<number> {
  const command = withTarget(
    fuzzCommand(
      "replay",
      "Hold reproducers with a server, and say what comes of each; those of fuzz clients with the client\n" +
        "that they are of, Linux in a fresh guest each time; those of our codec with our codec, unless\n" +
        "--target or --spawn is given. Exit code 3 if one shows something.",
      output,
    ).usage("FILE… [options]").argument("<FILE...>"),
  )
    .option("--target <TARGET>", "address; a server of ours if neither this nor --spawn is given")
    .option("--times <N>", "how often", wholeNumber(1, 1e6), 1);
  if (!parseFuzzWords(command, args)) return EXIT.done;
  const options = command.opts<ReplayWords>();
  const rings = command.args.filter(isRingFile);
  let isClean = rings.length === 0 || await replayRings(rings, options.target, options, output);
  await using stack = new AsyncDisposableStack();
  let opened: Opened | undefined;
  for (const path of command.args) {
    if (isRingFile(path)) continue;
    const alone = path.endsWith(".bin")
      ? null
      : await replayAlone(Deno.readTextFileSync(path), options, output);
    if (alone !== null) {
      if (alone > 0) isClean = false;
      output.out(verdictLine(path, alone, options.times));
      continue;
    }
    let failed = 0;
    const { steps } = readCase(path);
    opened ??= stack.use(await open(options, output));
    for (let i = 0; i < options.times; i++) {
      const { complaint, answers } = await opened.replayer.run(steps);
      if (i === 0) output.out(formatCase(steps, answers));
      if (complaint === null) continue;
      if (failed++ === 0) output.out(`# ${oneLine(bucketOf(complaint))}\n`);
    }
    if (failed > 0) isClean = false;
    output.out(verdictLine(path, failed, options.times));
  }
  return isClean ? EXIT.done : EXIT.findings;
}

/** Replays what takes no server; gives how often something was wrong, or null if it takes one. */
async function replayAlone(
  text: string,
  { target, spawn, times }: ReplayWords,
  output: Output,
): Promise<number | null> {
  const met = parseClientCase(text);
  if (met !== null) return await replayClient(met.met, times, output);
  const frame = target === undefined && spawn === undefined ? parseCodecCase(text) : null;
  if (frame === null) return null;
  const { failed, causes } = await replayCodec(frame, { times });
  for (const cause of causes) output.out(`# ${oneLine(cause)}\n`);
  return failed;
}

/** Has a meeting of a client with a server that lies again; gives how often something was wrong. */
async function replayClient(met: ClientCase, times: number, output: Output): Promise<number> {
  const causes = new Set<string>();
  let failed = 0;
  for (let i = 0; i < times; i++) {
    const outcome = met.client === "linux"
      ? await replayLinuxClient(met)
      : await replayOwnClient(met);
    if (outcome.causes.length > 0) failed++;
    for (const cause of outcome.causes) {
      if (!causes.has(cause)) output.out(`# ${oneLine(cause)}\n`);
      causes.add(cause);
    }
  }
  return failed;
}

interface MinWords extends TargetOptions {
  readonly target?: string;
  readonly time: number;
}

/** Makes a case shorter. */
export async function min(args: readonly string[], output: Output): Promise<number> {
  const command = withTarget(
    fuzzCommand(
      "min",
      "Make a case shorter as long as it shows what it shows, and print it.",
      output,
    ).usage("FILE [options]").argument("<FILE>"),
  )
    .option("--target <TARGET>", "address; a server of ours if neither this nor --spawn is given")
    .option("--time <SECONDS>", "how long to try", wholeNumber(1, 86_400), 60);
  if (!parseFuzzWords(command, args)) return EXIT.done;
  const options = command.opts<MinWords>();
  await using opened = await open(options, output);
  const { steps } = readCase(command.args[0] ?? "");
  const shorter = await opened.replayer.shorten(steps, options.time * 1000);
  if (shorter === null) {
    output.err("virtfs fuzz min: the case shows nothing with this target\n");
    return EXIT.failed;
  }
  const { complaint, answers } = shorter.outcome;
  if (complaint !== null) {
    output.out(`# ${oneLine(complaint.message)}\n# bucket ${oneLine(bucketOf(complaint))}\n`);
  }
  output.out(formatCase(shorter.steps, answers));
  return EXIT.done;
}

/** A server, and what holds cases with it. */
type Opened = AsyncDisposable & { readonly replayer: Replayer };

async function open(
  options: TargetOptions & { readonly target?: string },
  output: Output,
): Promise<Opened> {
  umask(0);
  const profile = profileOf(options.profile);
  const stack = new AsyncDisposableStack();
  try {
    const subject = await openSubject(options.target, options, stack, output);
    const replayer = new Replayer({
      subject,
      profile,
      off: new Set(options.off ?? []),
      user: userOf(options),
      patienceMs: options.timeout,
    });
    stack.defer(() => replayer.close());
    return { replayer, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface ShowWords {
  readonly as: string;
  readonly seed?: number;
  readonly case?: number;
  readonly aname: string;
  readonly uid: number;
}

/** Prints a case. */
export function show(args: readonly string[], output: Output): Promise<number> {
  const command = fuzzCommand(
    "show",
    "Print a case of a file, or the one that a seed makes: as text, as a program for Python that needs\n" +
      "nothing else, or as one line of hex of the length-prefixed form.",
    output,
  ).usage("[FILE] [options]").argument("[FILE]")
    .option("--as <FORM>", "text, python or hex", "text")
    .option("--seed <N>", "seed of a run", wholeNumber(0, 2 ** 32 - 1))
    .option("--case <N>", "number of the case in it", wholeNumber(0, 9999))
    .option("--aname <NAME>", "the server's name of the tree", "")
    .option("--uid <N>", "user that the case attaches as", wholeNumber(0, 2 ** 32 - 1), 0);
  if (!parseFuzzWords(command, args)) return Promise.resolve(EXIT.done);
  const options = command.opts<ShowWords>();
  const [path] = command.args;
  let steps: Step[];
  if (path !== undefined) steps = readCase(path).steps;
  else if (options.seed !== undefined && options.case !== undefined) {
    using exported = new TemporaryExport(true);
    steps = new UnguidedCases({
      seed: options.seed,
      fixtures: exported.fixtures,
      user: options.uid,
      maxConnections: 4,
      isStream: true,
    }).case(options.case);
  } else throw new FuzzUsageError("a FILE is missing, or --seed and --case");
  switch (options.as) {
    case "text":
      output.out(formatCase(steps));
      break;
    case "python":
      output.out(
        scriptOf(steps, options.aname, path ?? `seed ${options.seed}, case ${options.case}`),
      );
      break;
    case "hex":
      output.out(`${packCase(steps, options.aname).toHex()}\n`);
      break;
    default:
      throw new FuzzUsageError(`--as takes text, python or hex, not "${options.as}"`);
  }
  return Promise.resolve(EXIT.done);
}
