/**
 * `virtfs fuzz codec`: frames that are wrong at the boundary of a field, for our codec or any server.
 *
 * @module
 */
import { CorpusFolder, type Finding, runCodec, runCodecFrames } from "../lib/fuzz/mod.ts";
import { wholeNumber } from "./bench_words.ts";
import {
  engineCommand,
  type EngineOptions,
  limitsOf,
  parseEngineWords,
  tellFindings,
} from "./fuzz_engine.ts";
import { openSubject, type TargetOptions, withTarget } from "./fuzz_words.ts";
import { EXIT, type Output } from "./output.ts";

interface CodecWords extends EngineOptions, TargetOptions {
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
  const command = withTarget(
    engineCommand(
      "codec",
      "Frames made from the table of messages, and spoilt at the boundaries of fields: through our\n" +
        "codec, guided by coverage, or as they are to TARGET: an address, own:unix, own:tcp,\n" +
        "own:vhost-user, or what --spawn starts.",
      output,
    ).argument("[TARGET]"),
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
    await using stack = new AsyncDisposableStack();
    const { target, aname } = await openSubject(word, options, stack, output);
    const patienceMs = options.timeout;
    const { cases, seconds, findings } = await runCodecFrames({
      ...limits,
      target,
      aname,
      patienceMs,
    });
    keep(options.corpus, findings, aname, { seconds, cases });
    return tellFindings(output, `${cases} frames in ${seconds.toFixed(1)} s`, findings);
  }
  const isGuided = options.unguided !== true;
  const { cases, seconds, corpus, findings } = await runCodec({
    ...limits,
    jobs: options.jobs,
    isGuided,
  });
  keep(options.corpus, findings, "", { seconds, cases });
  const speed = Math.round(cases / Math.max(seconds, 0.001));
  const summary = `${cases} cases in ${seconds.toFixed(1)} s (${speed}/s), ${corpus.length} kept`;
  return tellFindings(output, summary, findings);
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
