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
import { untilSignal, wholeNumber } from "./bench_words.ts";
import {
  engineCommand,
  type EngineOptions,
  limitsOf,
  parseEngineWords,
  tellFindings,
} from "./fuzz_engine.ts";
import { EXIT, oneLine, type Output } from "./output.ts";

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
  const { value, signal } = await untilSignal((signal) =>
    options.linux === true
      ? meetLinux(output, { ...limits, signal }, cache)
      : meetOurs(output, { ...limits, signal }, options.socket === true)
  );
  if (signal !== undefined) return signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
  return value ?? EXIT.failed;
}

type Limits = ReturnType<typeof limitsOf> & { readonly signal: AbortSignal };

async function meetLinux(
  output: Output,
  limits: Limits,
  caches: readonly CacheMode[] | undefined,
): Promise<number> {
  const { rounds, mounts, deeds, kernel, findings, known } = await runLinuxClient({
    ...limits,
    ...caches === undefined ? {} : { caches },
    onSuspicion: (cause, index) =>
      output.err(`virtfs fuzz clients: case ${index} is tried again: ${oneLine(cause)}\n`),
  });
  for (const { what, bucket, rounds } of known) {
    output.out(`XFAIL ${what}, in ${rounds} rounds\n  ${bucket}\n`);
  }
  const summary = `Linux ${kernel}: ${rounds} rounds, ${mounts} mounts, ${deeds} replies bent, ` +
    `${known.length} known`;
  return tellFindings(output, summary, findings);
}

async function meetOurs(output: Output, limits: Limits, isSocket: boolean): Promise<number> {
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
