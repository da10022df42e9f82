/**
 * What the commands of single engines share: their words, and how findings are told.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import type { Finding } from "../lib/fuzz/mod.ts";
import { flowed } from "./bench_words.ts";
import { EXIT, oneLine, type Output } from "./output.ts";

/** Exit code of a run that found something. */
const FOUND = 3;

/** The words of the command are wrong. */
class EngineUsageError extends Error {
  /** By which the exit code is chosen. */
  override readonly name = "UsageError";
}

/** Options that every engine has. */
export interface EngineOptions {
  /** Seed of all cases. */
  readonly seed: number;
  /** Seconds to go on. */
  readonly time: number;
  /** Cases at most; as many as there is time for if not given. */
  readonly runs?: number;
}

/** A command with the options that every engine has. */
export function engineCommand(name: string, description: string, output: Output): Command {
  return new Command(`virtfs fuzz ${name}`)
    .description(flowed(description))
    .helpOption("-h, --help", "show this help")
    .option("--seed <N>", "the same seed makes the same cases", wholeNumber, 1)
    .option("--time <SECONDS>", "when to end", wholeNumber, 10)
    .option("--runs <N>", "cases at most", wholeNumber)
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.out(text), writeErr: () => {} });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("It is no whole number.");
  return Number(text);
}

/**
 * Parses words; false if they asked for help, which was given.
 *
 * @throws {EngineUsageError} If they are wrong.
 */
export function parseEngineWords(command: Command, args: readonly string[]): boolean {
  try {
    command.parse(args, { from: "user" });
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    throw new EngineUsageError(oneLine(error.message.replace(/^error: /, "")));
  }
}

/** What all engines take of {@linkcode EngineOptions}. */
export function limitsOf({ seed, time, runs }: EngineOptions): {
  readonly seed: number;
  readonly timeMs: number;
  readonly runs?: number;
} {
  return { seed, timeMs: time * 1000, ...runs === undefined ? {} : { runs } };
}

/** Tells findings and a summary; returns the exit code. */
export function tellFindings(
  output: Output,
  summary: string,
  findings: readonly Finding[],
): number {
  for (const { severity, bucket, message, origin, reproducer, confirmed } of findings) {
    const { failed, tried } = confirmed;
    const flaky = failed < tried ? "flaky, " : "";
    const again = tried === 0 ? "not tried again" : `${flaky}${failed} of ${tried} times`;
    output.out(`${severity}: ${oneLine(message)}\n  ${bucket}, ${origin}, ${again}\n`);
    for (const line of reproducer.trimEnd().split("\n")) output.out(`  ${line}\n`);
  }
  output.out(`${summary}, ${findings.length} findings\n`);
  return findings.length === 0 ? EXIT.done : FOUND;
}

/** Says what came of the file of a reproducer. */
export function verdictLine(path: string, failed: number, times: number): string {
  const verdict = failed === 0 ? "PASS" : failed === times ? "FAIL" : "FAIL (flaky)";
  return `${path}: ${verdict}, ${failed} of ${times} times\n`;
}
