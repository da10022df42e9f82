/**
 * `virtfs fuzz ring`: a hostile guest at a vhost-user device.
 *
 * @module
 */
import { RING_GROUPS, type RingGroup, runRing } from "../lib/fuzz/mod.ts";
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
 * @param args Words after `ring`.
 * @returns The exit code: 3 if something was found.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const groups = Object.keys(RING_GROUPS) as RingGroup[];
  const command = engineCommand(
    "ring",
    "Every attack of the catalogue on the vhost-user device at SOCKET, or on one of our own, and\n" +
      "rings spoilt by chance for the time that is given. The device's export needs a file `data`\n" +
      "of 200000 bytes, byte n being n mod 251, and a file `lock`.",
    output,
  ).argument("[SOCKET]").option("--quick", "only what chance spoils");
  if (!parseEngineWords(command, args)) return EXIT.done;
  const options = command.opts<EngineOptions & { readonly quick?: boolean }>();
  const [socket] = command.args;
  const { rows, cases, seconds, findings } = await runRing({
    ...limitsOf(options),
    ...socket === undefined ? {} : { socket },
    groups: options.quick === true ? [] : groups,
    onRow: ({ verdict, name, how }) => output.out(`${verdict} ${name}: ${how}\n`),
  });
  const summary = `${rows.length} entries, ${cases} rings in ${seconds.toFixed(1)} s`;
  return tellFindings(output, summary, findings);
}
