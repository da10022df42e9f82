/**
 * `virtfs fuzz codec`: frames that are wrong at the boundary of a field, for our codec or any server.
 *
 * @module
 */
import {
  CODEC_CHECKS,
  type CodecOff,
  CorpusFolder,
  type Finding,
  type OracleName,
  runCodec,
  runCodecFrames,
} from "../lib/fuzz/mod.ts";
import { wholeNumber } from "./bench_words.ts";
import {
  engineCommand,
  type EngineOptions,
  limitsOf,
  parseEngineWords,
  tellFindings,
} from "./fuzz_engine.ts";
import {
  FuzzUsageError,
  listOf,
  openSubject,
  refuseOptions,
  type ServerOptions,
  withServer,
} from "./fuzz_words.ts";
import { EXIT, type Output } from "./output.ts";

/** What can be left out of a run through our codec. */
const OF_CODEC = ["hang", "round-trip", ...Object.keys(CODEC_CHECKS)] as CodecOff[];
/** Oracles that judge a server. */
const OF_TARGET: readonly OracleName[] = ["process", "hang", "framing"];
const OFF = [...new Set([...OF_TARGET, ...OF_CODEC])];
/** Options that are of no use without a server, and those that are of none with one. */
const FOR_TARGET = ["to", "unconfined", "aname", "timeout", "pid", "model", "anywhere", "scratch"];
const FOR_CODEC = ["unguided", "jobs"];

interface CodecWords extends EngineOptions, ServerOptions {
  readonly off?: readonly (typeof OFF)[number][];
  readonly unguided?: boolean;
  readonly jobs: number;
  readonly verify: number;
  readonly corpus?: string;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `codec`.
 * @returns The exit code: 3 if something was found.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = withServer(
    engineCommand(
      "codec",
      "Frames made from the table of messages, and spoilt at the boundaries of fields: through our\n" +
        "codec, guided by coverage, or as they are to TARGET: an address, own:unix, own:tcp,\n" +
        "own:vhost-user, or what --spawn starts.",
      output,
    ).argument("[TARGET]"),
    (part) => part.option("--off <LIST>", OFF_HELP, listOf("oracles and checks", OFF)),
  )
    .option("--unguided", "without coverage, which takes --allow-sys")
    .option("--jobs <N>", "threads through our codec", wholeNumber(1, 64), 1)
    .option("--verify <N>", "how often to try a finding again, alone", wholeNumber(1, 1000), 5)
    .option("--corpus <FOLDER>", "keep findings there, with their reproducers");
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<CodecWords>();
  const [word] = command.args;
  const limits = { ...limitsOf(options), verify: options.verify };
  if (word !== undefined || options.spawn !== undefined) {
    refuseOptions(command, FOR_CODEC, "is for our codec, and there is a target");
    const off = offOf(options, OF_TARGET, "a server");
    await using stack = new AsyncDisposableStack();
    const { target, aname } = await openSubject(word, options, stack, output);
    const patienceMs = options.timeout;
    const { cases, seconds, findings } = await runCodecFrames({
      ...limits,
      target,
      aname,
      off,
      patienceMs,
    });
    keep(options.corpus, findings, aname, { seconds, cases });
    return tellFindings(output, `${cases} frames in ${seconds.toFixed(1)} s`, findings);
  }
  refuseOptions(command, FOR_TARGET, "is for a target, and there is neither TARGET nor --spawn");
  const isGuided = options.unguided !== true;
  const { cases, seconds, corpus, findings } = await runCodec({
    ...limits,
    off: offOf(options, OF_CODEC, "our codec"),
    jobs: options.jobs,
    isGuided,
  });
  keep(options.corpus, findings, "", { seconds, cases });
  const speed = Math.round(cases / Math.max(seconds, 0.001));
  const summary = `${cases} cases in ${seconds.toFixed(1)} s (${speed}/s), ${corpus.length} kept`;
  return tellFindings(output, summary, findings);
}

const OFF_HELP =
  `what to leave out, with commas between; of a server ${OF_TARGET.join(", ")}; of ` +
  `our codec ${OF_CODEC.join(", ")}`;

/** What is left out, all of which has to be among what judges `whom`. */
function offOf<T extends string>(
  { off = [] }: CodecWords,
  among: readonly T[],
  whom: string,
): ReadonlySet<T> {
  return new Set(off.map((word) => {
    const name = among.find((each) => each === word);
    if (name === undefined) {
      throw new FuzzUsageError(`--off ${word} means nothing for ${whom}: ${among.join(", ")} do`);
    }
    return name;
  }));
}

/** Writes findings to a corpus folder, those that it does not have. */
function keep(
  path: string | undefined,
  findings: readonly Finding[],
  aname: string,
  after: { readonly seconds: number; readonly cases: number },
): void {
  if (path === undefined) return;
  const folder = new CorpusFolder(path);
  const known = new Set(folder.findings().map(({ bucket }) => bucket));
  for (const finding of findings) {
    if (known.has(finding.bucket)) continue;
    const verdict = finding.oracle === "hang" ? "WEDGED" : "FAIL";
    const { seconds: afterSeconds, cases: afterCases } = after;
    folder.add({ ...finding, verdict, afterSeconds, afterCases, times: 1 }, aname);
  }
}
