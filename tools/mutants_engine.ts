/**
 * Runs one engine against our own server, codec and device until it finds something: what
 * `tools/mutants.ts` starts in a copy of the tree that has a mistake in it.
 *
 *     deno run -A tools/mutants_engine.ts conform|model|codec|ring SECONDS [KNOWN]
 *
 * Prints the first finding as JSON and exits with 1; exits with 0 if there is none. KNOWN is JSON: the
 * buckets that the tree has without the mistake. If it is `all`, every finding is printed.
 *
 * @module
 */

// deno-lint-ignore-file no-console -- its output is its result

import { runCodec } from "../lib/fuzz/codec_run.ts";
import { conformExactly, findingOf, loadCases, type ScriptServer } from "../lib/fuzz/conform.ts";
import { fuzzModel } from "../lib/fuzz/engine_model.ts";
import { TemporaryExport } from "../lib/fuzz/export.ts";
import { profileOf } from "../lib/fuzz/profiles.ts";
import { runRing } from "../lib/fuzz/ring_run.ts";
import type { Script } from "../lib/fuzz/script.ts";
import { OWN_SERVERS, SocketServer } from "../lib/fuzz/script_own.ts";
import { OwnTarget, ownUser } from "../lib/fuzz/target_kinds.ts";
import type { Finding } from "../lib/fuzz/types.ts";
import { umask } from "../lib/linux/mod.ts";

const SEED = 1;
const PATIENCE_MS = 3000;

/** Cases at a time where each has a server of its own. */
const TOGETHER = 4;

/** Every case, with every kind of server of ours. */
async function conform(): Promise<Finding | undefined> {
  const scripts = loadCases(new URL("../test/scripts/", import.meta.url));
  const once = async (server: ScriptServer, script: Script): Promise<Finding | undefined> => {
    for await (const result of conformExactly(server, [script], { patienceMs: PATIENCE_MS })) {
      return findingOf(result, script);
    }
    return undefined;
  };
  const hold = async (server: ScriptServer, most: number): Promise<Finding | undefined> => {
    const left = scripts.values();
    let found: Finding | undefined;
    await Promise.all(Array.from({ length: most }, async () => {
      for (const script of left) {
        if (found !== undefined) return;
        console.log(script.name);
        // On a busy machine one answer may be late, but not that of one case twice.
        if (await once(server, script) !== undefined) found ??= await once(server, script);
      }
    }));
    return found;
  };
  for (const server of OWN_SERVERS) {
    const finding = await hold(server, TOGETHER);
    if (finding !== undefined) return finding;
  }
  for (const kind of ["unix", "virtio"] as const) {
    await using server = await SocketServer.start(kind);
    const finding = await hold(server, 1);
    if (finding !== undefined) return finding;
  }
  return undefined;
}

/** A finding, and under which model of security it was made. */
type ModelFinding = Finding & { readonly securityModel?: string };

/** Cases out of the model, over a socket under the two models of security that differ most. */
async function model(seconds: number, wanted: string): Promise<readonly ModelFinding[]> {
  const all: ModelFinding[] = [];
  const old = wanted === "all" ? [] : JSON.parse(wanted) as string[];
  for (const securityModel of ["none", "mapped-file"] as const) {
    using exported = new TemporaryExport(securityModel === "none");
    await using target = await OwnTarget.start({
      host: exported,
      transport: "unix",
      securityModel,
    });
    const { findings } = await fuzzModel({
      subjects: [{ target, exported, aname: "", isOurs: true }],
      seed: SEED,
      runs: Infinity,
      timeMs: seconds * 500,
      profile: { ...profileOf("linux"), known: old.map(literally) },
      off: new Set(),
      user: ownUser(),
      patienceMs: PATIENCE_MS,
      verify: 1,
      maxFindings: wanted === "all" ? 0 : 1,
    });
    for (const finding of findings) {
      if (finding.verdict === "XFAIL" || old.includes(finding.bucket)) continue;
      all.push({ ...finding, securityModel });
    }
    if (all.length > 0 && wanted !== "all") break;
  }
  return all;
}

/** The whole catalogue and rings spoilt by chance; told as it is found, for a mutant may do anything. */
async function ring(seconds: number): Promise<readonly Finding[]> {
  const options = { seed: SEED, patienceMs: PATIENCE_MS, verify: 0, maxFindings: 1 };
  // The catalogue takes about half of the time.
  const { findings } = await runRing({ ...options, timeMs: seconds * 500, onFinding: tell });
  return findings;
}

function tell({ oracle, bucket, message, reproducer, securityModel }: ModelFinding): void {
  const way = securityModel === undefined ? {} : { securityModel, reproducer };
  console.log(JSON.stringify({ oracle, bucket, message, ...way }));
}

/** What matches the cause of a bucket, which stands behind the oracle. */
function literally(bucket: string): RegExp {
  return new RegExp(`^${RegExp.escape(bucket.replace(/^[^:]*: /, ""))}$`);
}

async function main(): Promise<number> {
  const [engine, seconds] = [Deno.args[0], Number(Deno.args[1])];
  umask(0);
  const known = Deno.args[2] ?? "[]";
  let findings: readonly ModelFinding[];
  if (engine === "model") findings = await model(seconds, known);
  else if (engine === "codec") {
    const stop = new AbortController();
    ({ findings } = await runCodec({
      seed: SEED,
      timeMs: seconds * 1000,
      signal: stop.signal,
      onProgress: ({ findings }) => {
        if (findings.length > 0) stop.abort();
      },
    }));
  } else if (engine === "ring") findings = await ring(seconds);
  else {
    const finding = await conform();
    findings = finding === undefined ? [] : [finding];
  }
  if (engine !== "ring") {
    for (const finding of findings.slice(0, known === "all" ? undefined : 1)) tell(finding);
  }
  return findings.length > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
