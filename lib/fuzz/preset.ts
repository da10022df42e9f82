/**
 * Runs of all engines one after another, each against our own code.
 *
 * @module
 */
import type { SecurityModel } from "../serve/mod.ts";
import { runMaliciousServer } from "./clients_run.ts";
import { runCodec } from "./codec_run.ts";
import { conformExactly, findingOf } from "./conform.ts";
import { fuzzModel } from "./engine_model.ts";
import { TemporaryExport } from "./export.ts";
import { profileOf } from "./profiles.ts";
import { RING_GROUPS, type RingGroup } from "./ring_catalogue.ts";
import { runRing } from "./ring_run.ts";
import type { Script } from "./script.ts";
import { OWN_SERVERS } from "./script_own.ts";
import { type OwnOptions, OwnTarget, ownUser } from "./target_kinds.ts";
import type { Finding } from "./types.ts";

/** A run by its name. */
export interface Preset {
  /** Seconds for each of its parts. */
  readonly seconds: number;
  /** Whether the whole catalogue of attacks on rings is tried, which takes some minutes. */
  readonly hasCatalogue: boolean;
  /** Servers that the model engine talks to. */
  readonly servers: readonly (readonly [OwnOptions["transport"], SecurityModel])[];
}

/** The runs that there are. */
export const PRESETS: Readonly<Record<"ci" | "nightly", Preset>> = {
  // Eight parts of seven seconds at most: less than a minute.
  ci: {
    seconds: 7,
    hasCatalogue: false,
    servers: [
      ["unix", "none"],
      ["unix", "mapped-xattr"],
      ["unix", "mapped-file"],
      ["vhost-user", "mapped-xattr"],
    ],
  },
  nightly: {
    seconds: 1800,
    hasCatalogue: true,
    servers: [
      ["tcp", "none"],
      ["tcp", "mapped-xattr"],
      ["unix", "mapped-file"],
      ["vhost-user", "none"],
      ["vhost-user", "mapped-xattr"],
    ],
  },
};

/** What came of a part of a run. */
export interface PresetPart {
  /** Which engine, and whom it was about. */
  readonly name: string;
  /** Cases that were tried. */
  readonly cases: number;
  /** Seconds that it took. */
  readonly seconds: number;
  /** What was found. */
  readonly findings: readonly Finding[];
}

/** Options of {@linkcode runPreset}. */
export interface PresetOptions {
  /** What to run. */
  readonly preset: Preset;
  /** Seed of all parts. */
  readonly seed: number;
  /** Cases that conform holds with servers of ours without a socket. */
  readonly scripts: readonly Script[];
  /** Longest wait for an answer, in milliseconds. */
  readonly patienceMs: number;
  /** Ends the run. */
  readonly signal?: AbortSignal;
  /** Told of every part when it is over. */
  readonly onPart?: (part: PresetPart) => void;
}

/**
 * Runs all engines, and gives what came of each.
 *
 * @throws {Error} If a server of ours does not start.
 */
export async function runPreset(options: PresetOptions): Promise<PresetPart[]> {
  const { preset, seed, signal, onPart } = options;
  const limits = {
    seed,
    timeMs: preset.seconds * 1000,
    ...(signal === undefined ? {} : { signal }),
  };
  const groups = preset.hasCatalogue ? Object.keys(RING_GROUPS) as RingGroup[] : [];
  const parts: PresetPart[] = [];
  const run = async (
    name: string,
    engine: () => Promise<Pick<PresetPart, "cases" | "findings">>,
  ): Promise<void> => {
    if (signal?.aborted === true) return;
    const begun = performance.now();
    const { cases, findings } = await engine();
    const part = { name, cases, seconds: (performance.now() - begun) / 1000, findings };
    parts.push(part);
    onPart?.(part);
  };
  await run("conform", () => holdAll(options));
  await run("codec", () => runCodec(limits));
  await run("ring", () => runRing({ ...limits, groups }));
  await run("clients", async () => {
    const { runs, findings } = await runMaliciousServer({ ...limits, isSocket: true });
    return { cases: runs, findings };
  });
  for (const [transport, securityModel] of preset.servers) {
    await run(`model, ${transport}, ${securityModel}`, async () => {
      using exported = new TemporaryExport(!securityModel.startsWith("mapped"));
      await using target = await OwnTarget.start({ host: exported, transport, securityModel });
      return await fuzzModel({
        ...limits,
        subjects: [{ target, exported, aname: "", isOurs: true }],
        runs: Infinity,
        profile: profileOf("linux"),
        off: new Set(),
        user: ownUser(),
        patienceMs: options.patienceMs,
        verify: 3,
        maxFindings: 0,
      });
    });
  }
  return parts;
}

/** Holds all cases for which there is time, in memory first. */
async function holdAll(options: PresetOptions): Promise<Pick<PresetPart, "cases" | "findings">> {
  const { preset, scripts, patienceMs } = options;
  const end = AbortSignal.timeout(preset.seconds * 1000);
  const signal = options.signal === undefined ? end : AbortSignal.any([end, options.signal]);
  const byName = new Map(scripts.map((script) => [script.name, script]));
  const findings: Finding[] = [];
  let cases = 0;
  for (const server of OWN_SERVERS) {
    for await (const result of conformExactly(server, scripts, { patienceMs, signal })) {
      if (result.verdict !== "SKIP") cases++;
      const script = byName.get(`${result.name}.9p`);
      const finding = script === undefined ? undefined : findingOf(result, script);
      if (finding !== undefined) findings.push(finding);
    }
  }
  return { cases, findings };
}
