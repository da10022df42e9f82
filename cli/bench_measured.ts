/**
 * From measurements without a guest to what is shown and kept of them.
 *
 * @module
 */
import {
  hostFacts,
  loadNow,
  type Measurement,
  type Results,
  RESULTS_SCHEMA,
  toolFacts,
  writeResults,
} from "../lib/bench/mod.ts";
import { Countdown, type Ended, freshSeed, untilSignal } from "./bench_words.ts";
import { EXIT, type Output, writeJson } from "./output.ts";
import { VERSION } from "./version.ts";

/** What a measurement is told. */
export interface Conditions {
  /** Seed of the order. */
  readonly seed: number;
  /** Ends the measurement; what has samples by then is what was measured. */
  readonly signal: AbortSignal;
  /** Hears how much is done, from 0 to 1. */
  readonly onProgress: (share: number, what: string) => void;
}

/** A command that measures without a guest. */
export interface MeasuringCommand {
  /** Its name. */
  readonly kind: "rpc" | "micro";
  /** Words after its name. */
  readonly args: readonly string[];
  /** What it was told about the order and the results. */
  readonly options: { readonly seed?: number; readonly out?: string; readonly json?: boolean };
  /** Measures. */
  readonly measure: (conditions: Conditions) => Promise<readonly Measurement[]>;
  /** Shows the results to people. */
  readonly textOf: (results: Results) => string;
}

/**
 * Measures, shows the results and keeps them. Interrupted, it does so with what it has by then.
 *
 * @returns The exit code.
 * @throws {Error} If it cannot measure, or the results cannot be written: they are shown before.
 */
export async function measureAndTell(command: MeasuringCommand, output: Output): Promise<number> {
  const { options, textOf, measure } = command;
  const seed = options.seed ?? freshSeed();
  const host = hostFacts();
  const startedAt = new Date().toISOString();
  using countdown = new Countdown(output);
  const ended = await untilSignal((signal) =>
    measure({ seed, signal, onProgress: (share, what) => countdown.update(share, what) })
  );
  countdown[Symbol.dispose]();
  if (ended.value !== undefined && (ended.value.length > 0 || ended.signal === undefined)) {
    const results = await resultsOf(command, seed, { host, startedAt }, ended);
    if (options.json === true) writeJson(output, results);
    else output.out(textOf(results));
    if (options.out !== undefined) writeResults(options.out, results);
  }
  if (ended.signal === undefined) return EXIT.done;
  return ended.signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
}

/** Puts measurements into the form of results. */
async function resultsOf(
  { kind, args }: MeasuringCommand,
  seed: number,
  before: Pick<Results, "host" | "startedAt">,
  { value: measurements = [], signal }: Ended<readonly Measurement[]>,
): Promise<Results> {
  return {
    schema: RESULTS_SCHEMA,
    kind,
    state: signal === undefined ? "complete" : "partial",
    stateReason: signal === undefined ? null : `interrupted by ${signal}`,
    startedAt: before.startedAt,
    finishedAt: new Date().toISOString(),
    commandLine: ["virtfs", "bench", kind, ...args],
    seed,
    tool: await toolFacts(VERSION),
    host: { ...before.host, loadAfter: loadNow() },
    guest: null,
    software: {},
    plan: null,
    notes: [],
    setups: [],
    cells: [],
    measurements,
    claims: [],
    models: [],
  };
}
