/**
 * Numbers for people, and text that came from a capture made harmless.
 *
 * @module
 */
import { errnoMessage, errnoName, kindOf } from "../p9/mod.ts";

/** A duration in a unit that suits it. */
export function durationText(nanoseconds: number): string {
  if (nanoseconds < 1e3) return `${Math.round(nanoseconds)} ns`;
  if (nanoseconds < 1e6) return `${three(nanoseconds / 1e3)} µs`;
  if (nanoseconds < 1e9) return `${three(nanoseconds / 1e6)} ms`;
  return `${three(nanoseconds / 1e9)} s`;
}

/** A number of bytes in a unit that suits it. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let value = bytes;
  let unit = "";
  for (const each of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = each;
  }
  return `${three(value)} ${unit}`;
}

/** Three digits that count. */
function three(value: number): string {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** Name of a message by its type byte. */
export function typeText(type: number): string {
  return kindOf(type) ?? `type ${type}`;
}

/** An error number for people. */
export function errnoText(errno: number): string {
  if (errno <= 0) return "an error in words";
  const name = errnoName(errno);
  return name === undefined ? `error ${errno}` : `${name} (${errnoMessage(errno)})`;
}

/** Replaces what could steer a terminal or forge lines by its escapes. */
export function harmless(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu,
    (each) => `\\u${(each.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** A path that nobody knows has a name, too. */
export function pathText(path: string): string {
  return path === "" ? "(unknown)" : harmless(path);
}

/** A column of a table of text. */
export interface Column {
  /** Its title. */
  readonly title: string;
  /** Whether it is aligned to the left, as names are. */
  readonly isLeft?: boolean;
}

/** Sets cells in columns, with a line of dashes under the titles. */
export function columns(
  titles: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const widths = titles.map(({ title }, at) =>
    rows.reduce((most, row) => Math.max(most, (row[at] ?? "").length), title.length)
  );
  const line = (cells: readonly string[]): string =>
    cells.map((cell, at) =>
      titles[at]?.isLeft === true ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)
    ).join("  ").trimEnd();
  return [
    line(titles.map(({ title }) => title)),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map(line),
  ].map((each) => `${each}\n`).join("");
}
