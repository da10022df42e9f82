/**
 * `virtfs fuzz clients`: we are the malicious server.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import {
  CACHE_MODES,
  type CacheMode,
  runLinuxClient,
  runMaliciousServer,
} from "../lib/fuzz/mod.ts";
import { wholeNumber } from "./bench_words.ts";
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
 * @param args Words after `clients`.
 * @returns The exit code: 3 if something was found.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const command = engineCommand(
    "clients",
    "A server that lets clients come as far as they can, and then lies: to our client, in-process\n" +
      "or over a socket, or to the Linux client in a guest, whose console is watched.",
    output,
  ).option("--case <N>", "only this one of the seed", wholeNumber(0, 2 ** 31))
    .option("--socket", "over a socket")
    .option("--linux", "to Linux in a guest, by emulation")
    .option("--cache <LIST>", `how its mounts cache: ${CACHE_MODES.join(", ")}`, cacheModes);
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<ClientsWords>();
  const { case: index, cache } = options;
  const limits = {
    ...limitsOf(options),
    ...index === undefined ? {} : { first: index, runs: 1 },
  };
  if (options.linux === true) {
    const { rounds, mounts, deeds, kernel, findings, known } = await runLinuxClient({
      ...limits,
      ...cache === undefined ? {} : { caches: cache },
    });
    for (const { what, bucket, rounds } of known) {
      output.out(`XFAIL ${what}, in ${rounds} rounds\n  ${bucket}\n`);
    }
    const summary = `Linux ${kernel}: ${rounds} rounds, ${mounts} mounts, ${deeds} replies bent, ` +
      `${known.length} known`;
    return tellFindings(output, summary, findings);
  }
  const isSocket = options.socket === true;
  const { runs, deeds, findings } = await runMaliciousServer({ ...limits, isSocket });
  return tellFindings(output, `${runs} conversations, ${deeds} replies bent`, findings);
}

interface ClientsWords extends EngineOptions {
  readonly case?: number;
  readonly socket?: boolean;
  readonly linux?: boolean;
  readonly cache?: readonly CacheMode[];
}

function cacheModes(text: string): CacheMode[] {
  return text.split(",").map((word) => {
    const mode = CACHE_MODES.find((each) => each === word);
    if (mode === undefined) {
      throw new InvalidArgumentError(`"${word}" is none of ${CACHE_MODES.join(", ")}.`);
    }
    return mode;
  });
}
