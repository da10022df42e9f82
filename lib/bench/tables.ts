/**
 * Numbers as people read them.
 *
 * @module
 */
import type { Estimate } from "./statistics.ts";

/** Three significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "?";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** `12.3 [11.9–13.0]` */
export function shown({ value, low, high }: Estimate): string {
  return Number.isNaN(low) ? short(value) : `${short(value)} [${short(low)}–${short(high)}]`;
}

/** A size as the paper writes it: `8k`, `64k`, `2M`; in bytes where it is no such number. */
export function sizeText(bytes: number): string {
  for (const [unit, size] of [["G", 2 ** 30], ["M", 2 ** 20], ["k", 2 ** 10]] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

/** A time in the unit that suits it: `12.3 µs`. */
export function timeText(ns: number): string {
  if (!Number.isFinite(ns)) return "?";
  if (ns < 1e3) return `${short(ns)} ns`;
  if (ns < 1e6) return `${short(ns / 1e3)} µs`;
  return ns < 1e9 ? `${short(ns / 1e6)} ms` : `${short(ns / 1e9)} s`;
}

/** Text without control characters other than the ends of lines: pictures and XML hold none. */
export function plainText(text: string): string {
  return text.replace(/[^\P{Cc}\n]|[\ufffe\uffff]|\p{Cs}/gu, "\ufffd");
}

/** Rows as a Markdown table; all columns but the first are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => {
    return Math.max(3, ...[head, ...rows].map((row) => (row[i] ?? "").length));
  });
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, i) => {
      return i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
    });
    return `| ${cells.join(" | ")} |`;
  };
  const rule = widths.map((width, i) => i === 0 ? "-".repeat(width) : "-".repeat(width - 1) + ":");
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
