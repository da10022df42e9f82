/**
 * What the commands of `bench` share: words in, signals, progress.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { type Output, Progress } from "./output.ts";

/** The words of a command are wrong. */
export class BenchUsageError extends Error {
  /** By which the exit code is chosen. */
  override readonly name = "UsageError";
}

/** Starts a command: its help and errors go where they belong. */
export function benchCommand(name: string, description: string, output: Output): Command {
  return new Command(`virtfs bench ${name}`)
    .description(flowed(description))
    .helpOption("-h, --help", "show this help")
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {}, getOutHasColors: () => false });
}

/** Joins the lines of each paragraph, for the help to break them anew; indented lines stay. */
export function flowed(description: string): string {
  return description.replaceAll(/(?<!\n)\n(?![\n ])/g, " ");
}

/**
 * Takes a command line apart.
 *
 * @returns Whether to go on: the help ends the command.
 * @throws {BenchUsageError} If a word is wrong.
 */
export function parseWords(command: Command, args: readonly string[]): boolean {
  try {
    command.parse(args, { from: "user" });
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    throw new BenchUsageError(usageText(error, command.name()));
  }
}

/** Makes one line of what the parser complains about. */
export function usageText(error: CommanderError, who: string): string {
  const [what = "", hint = ""] = error.message.replace(/^error: /, "").split("\n");
  const meant = /^\(Did you mean (.*)\?\)$/.exec(hint)?.[1];
  if (meant !== undefined) return `${what}; did you mean ${meant}?`;
  return `${what}; "${who} --help" lists the options`;
}

/** A parser of whole numbers in a range. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It is no whole number from ${least} to ${most}.`);
  };
}

/** A parser of numbers in a range. */
export function decimal(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(?:\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It is no number from ${least} to ${most}.`);
  };
}

/** A parser for an option that may be repeated. */
export function repeated<T>(
  parse: (text: string) => T,
): (text: string, before: readonly T[] | undefined) => T[] {
  return (text, before) => [...(before ?? []), parse(text)];
}

/** What came of something that a signal may end. */
export interface Ended<T> {
  /** What it gave; undefined if it gave nothing because it was interrupted. */
  readonly value: T | undefined;
  /** The signal that ended it, if one did. */
  readonly signal: "SIGINT" | "SIGTERM" | undefined;
}

/** Runs something that a signal ends, which may give something all the same. */
export async function untilSignal<T>(
  work: (signal: AbortSignal) => Promise<T>,
): Promise<Ended<T>> {
  const controller = new AbortController();
  const { promise: hurry, resolve: giveUp } = Promise.withResolvers<undefined>();
  let signal: Ended<T>["signal"];
  const listeners = (["SIGINT", "SIGTERM"] as const).map((name) => {
    const listener = () => {
      // Whoever asks twice does not want to wait for tidiness.
      if (signal !== undefined) return giveUp(undefined);
      signal = name;
      controller.abort(new Error(`Interrupted by ${name}`));
    };
    Deno.addSignalListener(name, listener);
    return () => Deno.removeSignalListener(name, listener);
  });
  try {
    return { value: await Promise.race([work(controller.signal), hurry]), signal };
  } catch (error) {
    if (signal === undefined) throw error;
    return { value: undefined, signal };
  } finally {
    for (const remove of listeners) remove();
  }
}

/** Shows how far something is, and how long it will take, on a terminal. */
export class Countdown implements Disposable {
  readonly #progress: Progress;
  readonly #begun = performance.now();

  /** Starts with nothing shown. */
  constructor(output: Output) {
    this.#progress = new Progress(output);
  }

  /** Replaces the line. */
  update(share: number, what: string): void {
    const gone = (performance.now() - this.#begun) / 1e3;
    const left = share > 0 ? `${Math.ceil(gone / share - gone)} s left, ` : "";
    this.#progress.update(`${(share * 100).toFixed(0).padStart(3)} %, ${left}${what}`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }
}

/** Seed of a run that was given none. */
export function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 1;
}
