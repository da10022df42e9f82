/**
 * Statistics as people read them.
 *
 * @module
 */
import type { Statistics } from "./types.ts";

/**
 * Writes statistics as a small table.
 *
 * @param statistics What a server has counted.
 * @returns Lines, each with a line feed.
 */
export function formatStatistics(statistics: Statistics): string {
  const s = statistics;
  const rows: [what: string, value: string][] = [
    ["up", formatDuration(s.uptimeSeconds)],
    [
      "connections",
      `${s.connections} now, ${s.connectionsTotal} in all, ${s.connectionsRefused} too many`,
    ],
    ["not allowed", `${s.connectionsDenied} connections, ${s.attachesDenied} attaches`],
    ["requests", `${s.inflight} in flight, ${s.malformed} malformed`],
    ["held", `${s.fids} fids, ${s.nodes} nodes, ${s.files} open files, ${s.locks} locks`],
    ["messages", `${formatBytes(s.bytesIn)} in, ${formatBytes(s.bytesOut)} out`],
    ["files", `${formatBytes(s.bytesRead)} read, ${formatBytes(s.bytesWritten)} written`],
  ];
  const lines = rows.map(([what, value]) => `${what.padEnd(12)} ${value}`);

  const messages = Object.entries(s.messages)
    .filter(([, { count }]) => count > 0)
    .sort(([, a], [, b]) => b.count - a.count);
  if (messages.length > 0) {
    lines.push("", `${"message".padEnd(14)} ${"requests".padStart(12)} ${"errors".padStart(10)}`);
    for (const [name, { count, errors }] of messages) {
      lines.push(
        `${name.padEnd(14)} ${String(count).padStart(12)} ${String(errors).padStart(10)}`,
      );
    }
  }
  const errors = Object.entries(s.errors)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a);
  if (errors.length > 0) {
    lines.push("", `errors       ${errors.map(([name, count]) => `${name} ${count}`).join(", ")}`);
  }
  return lines.join("\n") + "\n";
}

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/**
 * Writes a number of bytes with three digits and a unit.
 *
 * @example Bytes and more
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatBytes } from "./statistics.ts";
 *
 * assert.equal(formatBytes(512), "512 B");
 * assert.equal(formatBytes(1536), "1.50 KiB");
 * ```
 */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = "B";
  for (const next of UNITS) {
    value /= 1024;
    unit = next;
    // 1023.5 would be written with four digits.
    if (value < 999.5) break;
  }
  return `${value.toPrecision(value < 999.5 ? 3 : 4)} ${unit}`;
}

/**
 * Writes seconds as days, hours, minutes and seconds, the two largest that are not zero.
 *
 * @example A long day
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatDuration } from "./statistics.ts";
 *
 * assert.equal(formatDuration(90_061), "1 d 1 h");
 * ```
 */
export function formatDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`).join(" ");
}
