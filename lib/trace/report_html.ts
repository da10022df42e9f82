/**
 * A capture as one page of HTML: what happened when, how long it took, and where the time went.
 *
 * The page holds all it needs and no script; nothing in it that came from a capture is anything but text.
 *
 * @module
 */
import { ExchangeRecord } from "./exchange.ts";
import { formatFinding } from "./lint.ts";
import { Summary } from "./summary.ts";
import { orderText, sortedFiles, sortedMessages } from "./summary_text.ts";
import { GRID_ROWS, TimeGrid } from "./time_grid.ts";
import type { Clock, Conversation, Finding, Gap, Observer, Transaction } from "./types.ts";
import { bytesText, durationText, errnoText, harmless, pathText, typeText } from "./units.ts";

const MOST_FILES = 100;
const MOST_SLOW = 50;
const MOST_FINDINGS = 500;

const WIDTH = 960;
const LEFT = 70;
const PLOT_HEIGHT = 90;
const ROW_HEIGHT = 8;

/** How a report is made. */
export interface HtmlOptions {
  /** The line of a transaction. */
  readonly describe: (transaction: Transaction) => string;
  /** What the report is about, such as the name of a file. */
  readonly title: string;
}

interface Slow {
  readonly took: number;
  readonly time: number;
  readonly conversation: number;
  readonly line: string;
}

/** Gathers what a report says, in bounded memory. Needs transactions. */
export class HtmlReport implements Observer {
  readonly #options: HtmlOptions;
  readonly #record = new ExchangeRecord();
  readonly #summary = new Summary();
  readonly #grid = new TimeGrid();
  readonly #findings: Finding[] = [];
  #moreFindings = 0;
  #slow: Slow[] = [];
  /** Latency from which a transaction is among the slowest. */
  #leastSlow = -1;
  #base = 0n;

  /** Makes a report as told. */
  constructor(options: HtmlOptions) {
    this.#options = options;
  }

  /** Takes the clock. */
  begin(clock: Clock): void {
    this.#base = clock.base;
  }

  /** Counts a conversation. */
  opened(conversation: Conversation, time: number): void {
    this.#summary.opened(conversation, time);
  }

  /** Counts a transaction, and keeps it if it is among the slowest. */
  transaction(transaction: Transaction): void {
    const exchange = this.#record.fill(transaction);
    this.#summary.exchange(exchange);
    const { started, ended, outcome, requestSize, replySize, errno } = exchange;
    const latency = outcome === "answered" ? ended - started : NaN;
    this.#grid.add(started, latency, requestSize + replySize, errno !== 0);
    const { request, reply, conversation } = transaction;
    if (request === null || reply === null) return;
    const took = reply.time - request.time;
    if (!(took > this.#leastSlow)) return;
    const line = this.#options.describe(transaction);
    this.#slow.push({ took, time: request.time, conversation: conversation.id, line });
    if (this.#slow.length < 2 * MOST_SLOW) return;
    this.#slow.sort((a, b) => b.took - a.took);
    this.#slow = this.#slow.slice(0, MOST_SLOW);
    this.#leastSlow = this.#slow.at(-1)?.took ?? -1;
  }

  /** Counts a gap. */
  gap(gap: Gap): void {
    this.#summary.gap(gap);
  }

  /** Keeps a finding. */
  finding(finding: Finding): void {
    if (this.#findings.length < MOST_FINDINGS) this.#findings.push(finding);
    else this.#moreFindings++;
  }

  /** The page. */
  html(): string {
    const title = escapeHtml(harmless(`9P: ${this.#options.title}`));
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1000px; padding: 0 1em; }
table { border-collapse: collapse; margin: 0.5em 0 2em; display: block; overflow-x: auto; }
th, td { padding: 0.15em 0.7em; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888; }
tr:nth-child(even) td { background: #8881; }
.text { text-align: left; font-family: ui-monospace, monospace; unicode-bidi: isolate; }
svg { width: 100%; height: auto; } svg text { font: 10px sans-serif; fill: currentColor; }
.error { color: #b00020; } .warning { color: #8a5a00; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd; }
  .error { color: #ff8a80; } .warning { color: #ffcc80; } }
</style>
</head>
<body>
<h1>${title}</h1>
${this.#overview()}${this.#timeline()}${this.#heatMap()}${this.#messages()}${this.#files()}${this.#errors()}${this.#slowest()}${this.#findingList()}</body>
</html>
`;
  }

  #overview(): string {
    const summary = this.#summary;
    const begun = new Date(Number(this.#base / 1_000_000n));
    const when = Number.isNaN(begun.getTime()) ? "" : `, from ${begun.toISOString()} on`;
    const requests = summary.messages.reduce((sum, { count }) => sum + count, 0);
    const { latency } = summary;
    const facts = [
      `${requests} requests in ${summary.conversations} conversations, ` +
      `${durationText(summary.elapsed)}${when}`,
      `${summary.concurrency.toFixed(2)} requests under way on average, ${summary.deepest} at most`,
      `latency: median ${durationText(latency.quantile(0.5))}, 99 % below ` +
      `${durationText(latency.quantile(0.99))}, longest ${durationText(latency.max)}`,
      `${summary.unfinished} unfinished, ${summary.flushed} flushed, ${summary.lost} with a lost ` +
      `reply, ${summary.unasked} replies without a request`,
      `${summary.gaps} gaps: ${summary.lostBytes} bytes not captured, ` +
      `${summary.skippedBytes} skipped`,
    ];
    return `<ul>\n${facts.map((fact) => `<li>${escapeHtml(fact)}</li>\n`).join("")}</ul>\n`;
  }

  /** Requests, bytes and errors over time. */
  #timeline(): string {
    const grid = this.#grid;
    const plots: readonly (readonly [string, Float64Array, string, (most: number) => string])[] = [
      ["requests/s", grid.counts, "#3b7dd8", (most) => (most / (grid.span / 1e9)).toPrecision(3)],
      ["bytes/s", grid.bytes, "#2e9e6b", (most) => bytesText(most / (grid.span / 1e9))],
      ["errors/s", grid.errors, "#c23b3b", (most) => (most / (grid.span / 1e9)).toPrecision(3)],
    ];
    const width = (WIDTH - LEFT) / grid.used;
    const parts = plots.map(([name, values, color, text], index) => {
      const most = values.reduce((max, each) => Math.max(max, each), 0);
      const bottom = (index + 1) * (PLOT_HEIGHT + 20);
      const bars = [...values.subarray(0, grid.used)].map((value, at) => {
        if (value === 0) return "";
        const height = Math.max(0.5, PLOT_HEIGHT * value / most);
        return rect(LEFT + at * width, bottom - height, width, height, color, 1, this.#timeAt(at));
      }).join("");
      return `<text x="0" y="${bottom - PLOT_HEIGHT + 10}">${name}</text>` +
        `<text x="0" y="${bottom - PLOT_HEIGHT + 24}">max ${text(most)}</text>${bars}`;
    });
    const height = plots.length * (PLOT_HEIGHT + 20) + 20;
    return `<h2>Timeline</h2>\n${svg(height, parts.join("\n") + this.#axis(height - 6))}`;
  }

  /** How many requests took how long, over time. */
  #heatMap(): string {
    const grid = this.#grid;
    const most = Math.log1p(grid.heat.reduce((max, each) => Math.max(max, each), 0));
    const width = (WIDTH - LEFT) / grid.used;
    let cells = "";
    for (let at = 0; at < grid.used; at++) {
      for (let row = 0; row < GRID_ROWS; row++) {
        const count = grid.heat[at * GRID_ROWS + row] ?? 0;
        if (count === 0) continue;
        const y = (GRID_ROWS - 1 - row) * ROW_HEIGHT;
        const opacity = 0.15 + 0.85 * Math.log1p(count) / most;
        const what = `${this.#timeAt(at)}, from ${durationText(TimeGrid.rowStart(row))}: ${count}`;
        cells += rect(LEFT + at * width, y, width, ROW_HEIGHT, "#d1495b", opacity, what);
      }
    }
    let labels = "";
    for (let row = 0; row < GRID_ROWS; row += 4) {
      const y = (GRID_ROWS - row) * ROW_HEIGHT;
      labels += `<text x="0" y="${y}">${escapeHtml(durationText(TimeGrid.rowStart(row)))}</text>`;
    }
    const height = GRID_ROWS * ROW_HEIGHT + 20;
    return `<h2>Latency over time</h2>\n${svg(height, labels + cells + this.#axis(height - 6))}`;
  }

  #axis(y: number): string {
    const { used } = this.#grid;
    return [0, 0.25, 0.5, 0.75].map((share) => {
      const x = LEFT + share * (WIDTH - LEFT);
      const text = durationText(share * used * this.#grid.span);
      return `<text x="${x}" y="${y}">${escapeHtml(text)}</text>`;
    }).join("");
  }

  #timeAt(column: number): string {
    return durationText(column * this.#grid.span);
  }

  #messages(): string {
    const rows = sortedMessages(this.#summary).map((each) => [
      typeText(each.type),
      String(each.count),
      String(each.errors),
      bytesText(each.bytes),
      ...[
        each.latency.sum,
        each.latency.mean,
        each.latency.quantile(0.5),
        each.latency.quantile(0.95),
        each.latency.quantile(0.99),
        each.latency.max,
      ].map(durationText),
    ]);
    const head = [
      "message",
      "count",
      "errors",
      "bytes",
      "total",
      "mean",
      "p50",
      "p95",
      "p99",
      "max",
    ];
    return table("Messages", head, rows, [0]);
  }

  #files(): string {
    const rows = sortedFiles(this.#summary, MOST_FILES).map((file) => [
      pathText(file.path),
      durationText(file.time),
      String(file.opens),
      String(file.reads),
      bytesText(file.readBytes),
      String(file.writes),
      bytesText(file.writtenBytes),
      orderText(file),
      bytesText(file.workingSet),
      String(file.errors),
    ]);
    // deno-fmt-ignore
    const head = [
      "file", "time", "opens", "reads", "read", "writes", "written", "order", "working set", "errors",
    ];
    const { files } = this.#summary;
    const hidden = files.size - rows.length + files.dropped;
    const note = hidden > 0 ? `<p>${hidden} more files are not shown.</p>\n` : "";
    return table("Files", head, rows, [0]) + note;
  }

  #errors(): string {
    const rows = this.#summary.errnos.map(({ errno, count, byType }) => [
      errnoText(errno),
      String(count),
      [...byType].flatMap((each, type) => each > 0 ? [`${typeText(type)} ${each}`] : []).join(", "),
    ]);
    return table("Errors", ["error", "count", "of"], rows, [0, 2]);
  }

  #slowest(): string {
    const rows = this.#slow.sort((a, b) => b.took - a.took).slice(0, MOST_SLOW).map((each) => [
      durationText(each.took),
      durationText(each.time),
      `c${each.conversation}`,
      harmless(each.line),
    ]);
    return table("Slowest", ["took", "at", "conversation", "transaction"], rows, [3]);
  }

  #findingList(): string {
    if (this.#findings.length === 0) return "";
    const items = this.#findings.map((finding) =>
      `<li class="${finding.severity}">${escapeHtml(harmless(formatFinding(finding)))}</li>\n`
    );
    const more = this.#moreFindings > 0 ? `<p>${this.#moreFindings} more findings.</p>\n` : "";
    return `<h2>Findings</h2>\n<ul>\n${items.join("")}</ul>\n${more}`;
  }
}

function svg(height: number, content: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${content}</svg>\n`;
}

function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  color: string,
  opacity: number,
  title: string,
): string {
  const at = `x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${width.toFixed(2)}"`;
  const look = `height="${height.toFixed(2)}" fill="${color}" fill-opacity="${opacity.toFixed(2)}"`;
  return `<rect ${at} ${look}><title>${escapeHtml(title)}</title></rect>`;
}

/** @param text Columns that are text, not numbers. */
function table(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  text: readonly number[],
): string {
  if (rows.length === 0) return "";
  const cells = (row: readonly string[], tag: "th" | "td"): string =>
    row.map((cell, at) => {
      const look = text.includes(at) ? ' class="text"' : "";
      return `<${tag}${look}>${escapeHtml(cell)}</${tag}>`;
    }).join("");
  const body = rows.map((row) => `<tr>${cells(row, "td")}</tr>\n`).join("");
  return `<h2>${title}</h2>\n<table>\n<tr>${cells(head, "th")}</tr>\n${body}</table>\n`;
}

/** Makes any text harmless in HTML, between tags and in attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}
