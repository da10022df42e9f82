/**
 * Runs as text, JSON lines, JUnit, SARIF and Markdown.
 *
 * @module
 */
import type { Found, Report } from "./findings.ts";
import { formatSteadiness } from "./oracles/determinism.ts";
import type { Severity } from "./types.ts";

/** Forms of a report. */
export const REPORT_FORMATS = ["text", "json", "junit", "sarif", "markdown"] as const;

/** Form of a report. */
export type ReportFormat = typeof REPORT_FORMATS[number];

/** Writes a run in a form. */
export function formatReport(report: Report, format: ReportFormat): string {
  switch (format) {
    case "text":
      return formatText(report);
    case "json":
      return formatJsonLines(report);
    case "junit":
      return formatJunit(report);
    case "sarif":
      return `${JSON.stringify(sarifOf(report), null, 2)}\n`;
    case "markdown":
      return formatMarkdown(report);
  }
}

/** One line about how far a run is. */
export function formatProgress(
  { seconds, cases, messages, states, pairs, findings }: Report,
): string {
  const rate = seconds > 0 ? Math.round(messages / seconds) : 0;
  return `${seconds.toFixed(0)} s, ${cases} cases, ${rate} messages/s, ` +
    `${states} states and ${pairs} pairs, ${findings.length} findings`;
}

/** A finding for people, with its reproducer. */
export function formatFinding(found: Found): string {
  const { verdict, severity, oracle, message, afterSeconds, reproducer } = found;
  return `${verdict} ${severity} [${oracle}] ${message}\n` +
    `  after ${afterSeconds.toFixed(1)} s, ${found.messages} messages, ${
      formatSteadiness(found)
    }\n` +
    reproducer.replaceAll(/^(?=.)/gm, "    ");
}

function formatText(report: Report): string {
  const { target, seed, verdicts } = report;
  const counts = Object.entries(verdicts).filter(([, count]) => count > 0)
    .map(([verdict, count]) => `${count} ${verdict}`).join(", ");
  return [
    ...report.findings.map((found) => `${formatFinding(found)}\n`),
    `${target}, seed ${seed}: ${formatProgress(report)}\n`,
    `${counts || "no case was run"}\n`,
  ].join("");
}

function formatJsonLines(report: Report): string {
  const { findings, ...run } = report;
  return [...findings.map((found) => ({ kind: "finding", ...found })), { kind: "run", ...run }]
    .map((each) => `${JSON.stringify(each)}\n`).join("");
}

function escapeXml(text: string): string {
  // XML 1.0 has no way at all to write most control characters.
  return text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`)
    // deno-lint-ignore no-control-regex -- those are what must go
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udfff]/g, "?");
}

function formatJunit(report: Report): string {
  const failures = report.findings.filter(({ verdict }) => verdict !== "XFAIL");
  const skipped = report.findings.length - failures.length;
  const total = Math.max(1, report.findings.length);
  const rows = report.findings.map((found) => {
    const name = escapeXml(found.bucket);
    const inner = found.verdict === "XFAIL"
      ? `<skipped message="${escapeXml(found.message)}"/>`
      : `<failure type="${found.verdict}" message="${escapeXml(found.message)}">${
        escapeXml(found.reproducer)
      }</failure>`;
    return `    <testcase classname="fuzz.${found.oracle}" name="${name}" time="${found.afterSeconds}">${inner}</testcase>\n`;
  });
  if (rows.length === 0) {
    rows.push(
      `    <testcase classname="fuzz" name="${report.cases} cases" time="${report.seconds}"/>\n`,
    );
  }
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n` +
    `  <testsuite name="${
      escapeXml(`fuzz ${report.target}, seed ${report.seed}`)
    }" tests="${total}" ` +
    `failures="${failures.length}" skipped="${skipped}" time="${report.seconds}">\n` +
    `${rows.join("")}  </testsuite>\n</testsuites>\n`;
}

const LEVELS: Readonly<Record<Severity, "error" | "warning" | "note">> = {
  critical: "error",
  high: "error",
  medium: "warning",
  low: "note",
};

/** The run in the form of SARIF 2.1.0, with the reproducer as the artifact of each result. */
function sarifOf(report: Report): unknown {
  const oracles = [...new Set(report.findings.map(({ oracle }) => oracle))];
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [{
      tool: {
        driver: {
          name: "virtfs fuzz",
          rules: oracles.map((id) => ({ id, shortDescription: { text: `oracle ${id}` } })),
        },
      },
      automationDetails: { id: `${report.target}/${report.seed}` },
      results: report.findings.map((found) => ({
        ruleId: found.oracle,
        ruleIndex: oracles.indexOf(found.oracle),
        level: found.verdict === "XFAIL" ? "note" : LEVELS[found.severity],
        message: { text: `${found.message}\n\n${found.reproducer}` },
        partialFingerprints: { "bucket/v1": found.bucket },
        locations: [{ logicalLocations: [{ fullyQualifiedName: report.target, kind: "module" }] }],
        properties: {
          origin: found.origin,
          failed: found.confirmed.failed,
          tried: found.confirmed.tried,
        },
      })),
    }],
  };
}

function formatMarkdown(report: Report): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ");
  const rows = report.findings.map((found) =>
    `| ${found.severity} | ${found.oracle} | ${cell(found.message)} | ${found.messages} | ${
      formatSteadiness(found)
    } |\n`
  );
  const parts = report.findings.map((found) =>
    `\n### ${cell(found.message)}\n\n\`\`\`\n${found.reproducer.replaceAll("```", "'''")}\`\`\`\n`
  );
  const table = rows.length === 0
    ? "No findings.\n"
    : "| severity | oracle | finding | messages | comes |\n" +
      `| --- | --- | --- | --- | --- |\n${rows.join("")}`;
  return `## fuzz: ${cell(report.target)}\n\nSeed ${report.seed}: ${
    formatProgress(report)
  }.\n\n${table}${parts.join("")}`;
}
