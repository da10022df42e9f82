/**
 * What `serve` says when it starts.
 *
 * @module
 */
import { formatRange } from "../lib/fs/mod.ts";
import { type ExportConfiguration, formatSandbox, type SandboxState } from "../lib/serve/mod.ts";
import type { DeviceLines } from "./device_lines.ts";
import type { Mount } from "./mount.ts";
import { type Output, paint } from "./output.ts";
import { accessText } from "./serve_access.ts";
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
  /** How to use its devices. */
  readonly devices: readonly DeviceLines[];
  /** Address of the metrics. */
  readonly metrics?: string;
  /** What the server has been restrained to; a dry run does not try. */
  readonly sandbox?: SandboxState;
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
  const { exports } = plan.configuration;
  const what = whatText(plan, started.isDryRun);
  const lines = [
    paint(
      output,
      "bold",
      started.isDryRun
        ? `virtfs ${started.version} would ${what}`
        : `virtfs ${started.version} ${what}, process ${started.pid}`,
    ),
    "",
    ...exports.map((each) => `  ${exportText(each)}`),
    ...(exports.length > 0 ? [""] : []),
    `${started.isDryRun ? "Would listen" : "Listening"} on ${addresses.join(", ")}`,
  ];
  const { access } = plan.configuration;
  if (access !== undefined) lines.push(`Allowed: ${accessText(access)}`);
  if (started.metrics !== undefined) lines.push(`Metrics on ${started.metrics}`);
  if (started.sandbox !== undefined) lines.push(`Sandbox: ${formatSandbox(started.sandbox)}`);
  for (const note of plan.notes) lines.push(`${paint(output, "yellow", "Note:")} ${note}`);
  if (mounts.length > 0) lines.push("", "To mount:");
  for (const mount of mounts) {
    if (mount.remark !== undefined) {
      lines.push(paint(output, "dim", `  # ${mount.address}: ${mount.remark}`));
    }
    for (const command of mount.commands) lines.push(`  ${command}`);
  }
  for (const device of started.devices) lines.push("", ...deviceText(device, output));
  return lines.join("\n") + "\n";
}

/** What a server does, after its name. */
function whatText({ configuration }: Plan, isDryRun: boolean): string {
  const { exports, devices, listen, workers } = configuration;
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const says = (verb: string) => isDryRun ? verb : verb === "pass" ? "passes" : `${verb}s`;
  const parts: string[] = [];
  if (listen.length > 0) parts.push(count(workers, "worker"));
  if (devices.length > 0) parts.push(count(devices.length, "device"));
  if (exports.length > 0) {
    return `${says("serve")} ${count(exports.length, "folder")} with ${parts.join(" and ")}`;
  }
  return `${says("pass")} requests on with ${parts.join(" and ")}`;
}

function deviceText(device: DeviceLines, output: Output): string[] {
  const behind = device.to === undefined
    ? `shows ${device.export ?? "nothing"}`
    : `passes requests on to ${device.to}`;
  const remark = (text: string) => paint(output, "dim", `  # ${text}`);
  return [
    `Device ${device.tag} on ${device.address} ${behind}`,
    remark("QEMU 10.2 or newer; instead of 4G, the guest's memory"),
    `  ${device.qemu}`,
    remark("cloud-hypervisor (untested)"),
    `  ${device.cloudHypervisor}`,
    remark("crosvm (untested)"),
    `  ${device.crosvm}`,
    remark("in the guest"),
    `  ${device.mount}`,
  ];
}

function exportText(each: ExportConfiguration): string {
  const parts = [
    each.readOnly ? "read-only" : "read-write",
    `security model ${each.securityModel}`,
  ];
  const { squash, uidMap = [], gidMap = [] } = each;
  if (squash !== undefined) {
    const whose = squash.who === "all" ? "all files" : "root";
    parts.push(`${whose} as ${squash.uid}:${squash.gid}`);
  }
  if (uidMap.length > 0) parts.push(`users ${uidMap.map(formatRange).join(" ")}`);
  if (gidMap.length > 0) parts.push(`groups ${gidMap.map(formatRange).join(" ")}`);
  if (each.multidevs !== "remap") parts.push(`multidevs ${each.multidevs}`);
  if (each.access !== undefined) parts.push(`for ${accessText(each.access)}`);
  const name = each.name === each.path ? each.path : `${each.name} = ${each.path}`;
  return `${name}  (${parts.join(", ")})`;
}

/** The same for scripts, as one JSON value. */
export function startedJson(started: Started): Record<string, unknown> {
  const { version, pid, plan, addresses, mounts, devices, metrics, sandbox, isDryRun } = started;
  const { exports, access, msize, workers } = plan.configuration;
  return {
    version,
    ...(isDryRun ? { dryRun: true } : { pid }),
    addresses,
    exports,
    mounts,
    devices,
    ...(access === undefined ? {} : { access }),
    msize,
    workers,
    ...(metrics === undefined ? {} : { metrics }),
    ...(sandbox === undefined ? {} : { sandbox: sandboxJson(sandbox) }),
    notes: plan.notes,
  };
}

function sandboxJson({ exports: _, ...state }: SandboxState): Record<string, unknown> {
  return state;
}
