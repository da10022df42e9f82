/**
 * `virtfs fuzz ring`: a hostile guest at a vhost-user device; and what `fuzz replay` does with what
 * it has found.
 *
 * @module
 */
import {
  CorpusFolder,
  replayRing,
  RING_FILE,
  RING_GROUPS,
  type RingGroup,
  RingPlayer,
  type RingPlayerOptions,
  runRing,
} from "../lib/fuzz/mod.ts";
import type { SecurityModel } from "../lib/serve/mod.ts";
import { wholeNumber } from "./bench_words.ts";
import {
  engineCommand,
  type EngineOptions,
  limitsOf,
  parseEngineWords,
  tellFindings,
  verdictLine,
} from "./fuzz_engine.ts";
import { FuzzUsageError, modelName, MODELS, parseDevice } from "./fuzz_words.ts";
import { EXIT, oneLine, type Output } from "./output.ts";

/** Longest wait for a device, in milliseconds; a busy machine needs some seconds. */
const TIMEOUT_MS = 10_000;

interface RingWords extends EngineOptions {
  readonly quick?: boolean;
  readonly model: SecurityModel;
  readonly timeout: number;
  readonly verify: number;
  readonly corpus?: string;
}

/**
 * Runs the command in this process.
 *
 * @param args Words after `ring`.
 * @returns The exit code: 3 if something was found.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const groups = Object.keys(RING_GROUPS) as RingGroup[];
  const command = engineCommand(
    "ring",
    "Every attack of the catalogue on the vhost-user device at SOCKET, or on one of our own, and\n" +
      "rings spoilt by chance for the time that is given. The device's export needs a file `data`\n" +
      "of 200000 bytes, byte n being n mod 251, and a file `lock`. Findings are tried again, made\n" +
      "short, and told as text that `virtfs fuzz replay` takes.",
    output,
  ).argument("[SOCKET]").option("--quick", "only what chance spoils")
    .option("--model <NAME>", `of our own device: ${MODELS.join(", ")}`, modelName, "none")
    .option("--timeout <MS>", "longest wait for an answer", wholeNumber(1, 600_000), TIMEOUT_MS)
    .option("--verify <N>", "times that a finding is tried again", wholeNumber(0, 1000), 5)
    .option("--corpus <FOLDER>", "keep findings there");
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<RingWords>();
  const [socket] = command.args;
  const folder = options.corpus === undefined ? undefined : new CorpusFolder(options.corpus);
  const begun = performance.now();
  const { rows, cases, seconds, findings } = await runRing({
    ...limitsOf(options),
    ...playerOptions(socket, options.model, options.timeout),
    verify: options.verify,
    groups: options.quick === true ? [] : groups,
    onRow: ({ verdict, name, how }) => output.out(`${verdict} ${name}: ${how}\n`),
    onFinding: (finding) => {
      const afterSeconds = (performance.now() - begun) / 1000;
      const verdict = finding.oracle === "hang" ? "WEDGED" : "FAIL";
      folder?.add({ ...finding, verdict, afterSeconds, afterCases: 0, times: 1 }, "");
    },
  });
  const summary = `${rows.length} entries, ${cases} rings in ${seconds.toFixed(1)} s`;
  return tellFindings(output, summary, findings);
}

function playerOptions(
  socket: string | undefined,
  securityModel: SecurityModel,
  patienceMs: number,
): RingPlayerOptions {
  return { securityModel, patienceMs, ...socket === undefined ? {} : { socket } };
}

/** Whether a file has a reproducer of this engine. */
export function isRingFile(path: string): boolean {
  return path.endsWith(RING_FILE);
}

/**
 * Holds reproducers with a device.
 *
 * @param target `vhost-user:///PATH`, the path alone, or nothing for a device of ours.
 * @returns Whether none of them shows anything.
 */
export async function replayRings(
  paths: readonly string[],
  target: string | undefined,
  { model, times }: { readonly model: SecurityModel; readonly times: number },
  output: Output,
): Promise<boolean> {
  const socket = target === undefined || target.startsWith("own") ? undefined : parseDevice(target);
  await using player = await RingPlayer.start(playerOptions(socket, model, TIMEOUT_MS));
  let isClean = true;
  for (const path of paths) {
    const text = Deno.readTextFileSync(path);
    const replay = await replayRing(player, text, times).catch((error) => {
      throw error instanceof SyntaxError ? new FuzzUsageError(`${path}: ${error.message}`) : error;
    });
    output.out(replay.text);
    const { bucket, message = "", failed, tried } = replay;
    if (bucket !== undefined) output.out(`# ${oneLine(message)}\n# bucket ${oneLine(bucket)}\n`);
    if (failed > 0) isClean = false;
    output.out(verdictLine(path, failed, tried));
  }
  return isClean;
}
