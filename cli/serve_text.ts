/**
 * What `serve` says when it starts.
 *
 * @module
 */
import type { ExportConfiguration } from "../lib/serve/mod.ts";
import type { Mount } from "./mount.ts";
import { type Output, paint } from "./output.ts";
import type { Plan } from "./serve_plan.ts";

/** A server that has started, or the one that a dry run would start. */
export interface Started {
  /** Version of the program. */
  readonly version: string;
  /** Number of the process. */
  readonly pid: number;
  /** What was planned. */
  readonly plan: Plan;
  /** Where it listens. */
  readonly addresses: readonly string[];
  /** How to mount it. */
  readonly mounts: readonly Mount[];
  /** Address of the metrics. */
  readonly metrics?: string;
  /** Whether nothing was started. */
  readonly isDryRun: boolean;
}

/**
 * Tells people what is served, where, for whom, and how to mount it.
 *
 * @param output Says whether to use color; nothing is written to it.
 * @returns Lines, each with a line feed.
 */
export function formatStarted(started: Started, output: Output): string {
  const { plan, addresses, mounts } = started;
  const { exports, workers } = plan.configuration;
  const what = exports.length === 1 ? "1 folder" : `${exports.length} folders`;
  const threads = workers === 1 ? "1 worker" : `${workers} workers`;
  const lines = [
    paint(
      output,
      "bold",
      started.isDryRun
        ? `virtfs ${started.version} would serve ${what} with ${threads}`
        : `virtfs ${started.version} serves ${what} with ${threads}, process ${started.pid}`,
    ),
    "",
    ...exports.map((each) => `  ${exportText(each)}`),
    "",
    `${started.isDryRun ? "Would listen" : "Listening"} on ${addresses.join(", ")}`,
  ];
  if (started.metrics !== undefined) lines.push(`Metrics on ${started.metrics}`);
  for (const note of plan.notes) lines.push(`${paint(output, "yellow", "Note:")} ${note}`);
  lines.push("", "To mount:");
  for (const mount of mounts) {
    if (mount.remark !== undefined) {
      lines.push(paint(output, "dim", `  # ${mount.address}: ${mount.remark}`));
    }
    for (const command of mount.commands) lines.push(`  ${command}`);
  }
  return lines.join("\n") + "\n";
}

function exportText(each: ExportConfiguration): string {
  const parts = [
    each.readOnly ? "read-only" : "read-write",
    each.squash === undefined
      ? `security model ${each.securityModel}`
      : `security model ${each.securityModel}, all files as ${each.squash.uid}:${each.squash.gid}`,
  ];
  if (each.multidevs !== "remap") parts.push(`multidevs ${each.multidevs}`);
  const name = each.name === each.path ? each.path : `${each.name} = ${each.path}`;
  return `${name}  (${parts.join(", ")})`;
}

/** The same for scripts, as one JSON value. */
export function startedJson(started: Started): Record<string, unknown> {
  const { version, pid, plan, addresses, mounts, metrics, isDryRun } = started;
  const { exports, msize, workers } = plan.configuration;
  return {
    version,
    ...(isDryRun ? { dryRun: true } : { pid }),
    addresses,
    exports,
    mounts,
    msize,
    workers,
    ...(metrics === undefined ? {} : { metrics }),
    notes: plan.notes,
  };
}
