/**
 * `virtfs trace explain`: what a rule of `--lint` is about.
 *
 * @module
 */
import { Command } from "commander";
import { explainRule, isRule, listRules, RULE_NAMES } from "../lib/trace/mod.ts";
import { BenchUsageError as UsageError, parseWords } from "./bench_words.ts";
import { EXIT, type Output, reportError } from "./output.ts";

/**
 * Runs the command in this process.
 *
 * @param args Words after `explain`.
 * @returns The exit code.
 */
export function run(args: readonly string[], output: Output): Promise<number> {
  return Promise.resolve(explain(args, output));
}

function explain(args: readonly string[], output: Output): number {
  try {
    const command = new Command("virtfs trace explain")
      .description("Say what rules of trace --lint are about; without a RULE, list all of them.")
      .usage("[RULE...]")
      .argument("[RULE...]")
      .helpOption("-h, --help", "show this help")
      .exitOverride()
      .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false })
      .configureHelp({ visibleArguments: () => [] });
    if (!parseWords(command, args)) return EXIT.done;
    const names = command.args.map((word) => {
      const name = word.toUpperCase();
      if (isRule(name)) return name;
      const [first = "", last = ""] = [RULE_NAMES[0], RULE_NAMES.at(-1)];
      throw new UsageError(`there is no rule "${word}": they are ${first} to ${last}`);
    });
    output.out(
      names.length === 0 ? listRules() : names.map((each) => explainRule(each)).join("\n"),
    );
    return EXIT.done;
  } catch (error) {
    return reportError(output, "virtfs trace explain", error);
  }
}
