/**
 * `virtfs bench doctor`: what this machine has for measuring, and what it lacks.
 *
 * @module
 */
import { diagnose, type Diagnosis, type Finding } from "../lib/bench/mod.ts";
import { benchCommand, parseWords } from "./bench_words.ts";
import { EXIT, type Output, paint, Progress, reportError, writeJson } from "./output.ts";

/**
 * Runs `virtfs bench doctor`.
 *
 * @param args Words after `doctor`.
 * @returns The exit code: 0 if the figures can be measured.
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  try {
    const command = benchCommand(
      "doctor",
      "Say what this machine has for `bench figures` and what it lacks. Fetches QEMU and a kernel\n" +
        "into a cache if they are not there, and boots a guest to see whether KVM works.",
      output,
    ).option("--json", "print it as JSON");
    if (!parseWords(command, args)) return EXIT.done;
    const diagnosis = await look(output);
    if (command.opts<{ json?: boolean }>().json === true) writeJson(output, diagnosis);
    else output.out(textOf(diagnosis, output));
    return diagnosis.canMeasure ? EXIT.done : EXIT.failed;
  } catch (error) {
    return reportError(output, "virtfs bench doctor", error);
  }
}

async function look(output: Output): Promise<Diagnosis> {
  using progress = new Progress(output);
  return await diagnose((what) => progress.update(what));
}

const STYLES = { there: "green", slow: "yellow", missing: "red" } as const;

function textOf({ findings, install, canMeasure, accelerator }: Diagnosis, output: Output): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const line = ({ what, state, detail }: Finding): string =>
    `${paint(output, STYLES[state], state.padEnd(7))}  ${what.padEnd(width)}  ${detail}\n`;
  const how = accelerator === "kvm" ? "with KVM" : "by EMULATION, many times slower than hardware";
  const verdict = canMeasure
    ? `the figures can be measured, ${how}\n`
    : "the figures cannot all be measured here\n";
  const advice = install === null ? "" : `\nthis gets what is missing:\n  ${install}\n`;
  return `${findings.map(line).join("")}${advice}\n${verdict}`;
}
