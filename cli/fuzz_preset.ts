/**
 * `virtfs fuzz --preset`: all engines one after another, each against our own code.
 *
 * @module
 */
import { loadCases, type Preset, PRESETS, runPreset } from "../lib/fuzz/mod.ts";
import { tellFindings } from "./fuzz_engine.ts";
import { EXIT, type Output } from "./output.ts";

/** Names of the runs that there are. */
export const PRESET_NAMES: readonly string[] = Object.keys(PRESETS);

/** The run of a name; nothing if there is none. */
export function presetOf(name: string): Preset | undefined {
  return Object.entries(PRESETS).find(([each]) => each === name)?.[1];
}

/** What a run needs besides. */
export interface PresetWords {
  /** Seed of all parts. */
  readonly seed: number;
  /** Seconds for each part, in place of those of the preset. */
  readonly time?: number;
  /** Longest wait for an answer, in milliseconds. */
  readonly timeout: number;
}

/**
 * Runs all engines, and tells what came of each.
 *
 * @returns The exit code.
 */
export async function fuzzPreset(
  preset: Preset,
  { seed, time = preset.seconds, timeout }: PresetWords,
  output: Output,
  signal: AbortSignal,
): Promise<number> {
  output.err(`virtfs fuzz: all engines, ${time} s each, seed ${seed}\n`);
  const parts = await runPreset({
    preset: { ...preset, seconds: time },
    seed,
    scripts: loadCases(new URL("../test/scripts/", import.meta.url)),
    patienceMs: timeout,
    signal,
    onPart: ({ name, cases, seconds, findings }) => {
      tellFindings(output, `${name}: ${cases} cases in ${seconds.toFixed(1)} s`, findings);
    },
  });
  const cases = parts.reduce((sum, part) => sum + part.cases, 0);
  const findings = parts.reduce((sum, part) => sum + part.findings.length, 0);
  output.out(`${parts.length} parts, ${cases} cases, ${findings} findings in all\n`);
  return findings === 0 ? EXIT.done : EXIT.findings;
}
