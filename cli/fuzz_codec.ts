/**
 * `virtfs fuzz codec`: frames that are wrong at the boundary of a field, for our codec or any server.
 *
 * @module
 */
import { dialTarget, parseTargetAddress, runCodec, runCodecFrames } from "../lib/fuzz/mod.ts";
import {
  engineCommand,
  type EngineOptions,
  limitsOf,
  parseEngineWords,
  tellFindings,
} from "./fuzz_engine.ts";
import { EXIT, type Output } from "./output.ts";

/**
 * Runs the command in this process.
 *
 * @param args Words after `codec`.
 * @returns The exit code: 3 if something was found.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = engineCommand(
    "codec",
    "Frames made from the table of messages, and spoilt at the boundaries of fields: through our\n" +
      "codec, guided by coverage, or as they are to the server at ADDRESS.",
    output,
  ).argument("[ADDRESS]").option("--unguided", "without coverage, which takes --allow-sys");
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<EngineOptions & { readonly unguided?: boolean }>();
  const [address] = command.args;
  if (address !== undefined) {
    await using target = dialTarget(parseTargetAddress(address));
    const { cases, seconds, findings } = await runCodecFrames({ target, ...limitsOf(options) });
    return tellFindings(output, `${cases} frames in ${seconds.toFixed(1)} s`, findings);
  }
  const isGuided = options.unguided !== true;
  const { cases, seconds, corpus, findings } = await runCodec({ ...limitsOf(options), isGuided });
  const speed = Math.round(cases / Math.max(seconds, 0.001));
  const summary = `${cases} cases in ${seconds.toFixed(1)} s (${speed}/s), ${corpus.length} kept`;
  return tellFindings(output, summary, findings);
}
