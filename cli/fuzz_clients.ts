/**
 * `virtfs fuzz clients`: we are the malicious server.
 *
 * @module
 */
import { runLinuxClient, runMaliciousServer } from "../lib/fuzz/mod.ts";
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
  ).option("--socket", "over a socket").option("--linux", "to Linux in a guest, by emulation");
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<
    EngineOptions & { readonly socket?: boolean; readonly linux?: boolean }
  >();
  if (options.linux === true) {
    const { rounds, mounts, deeds, kernel, findings } = await runLinuxClient(limitsOf(options));
    const summary = `Linux ${kernel}: ${rounds} rounds, ${mounts} mounts, ${deeds} replies bent`;
    return tellFindings(output, summary, findings);
  }
  const isSocket = options.socket === true;
  const { runs, deeds, findings } = await runMaliciousServer({ ...limitsOf(options), isSocket });
  return tellFindings(output, `${runs} conversations, ${deeds} replies bent`, findings);
}
