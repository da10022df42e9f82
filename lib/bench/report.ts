/**
 * Reports of results, made from nothing but them: Markdown, HTML in one file, JUnit.
 *
 * @module
 */
import { type Chart, chartsOf, drawPng, drawSvg, escapeXml, seriesLabel } from "./chart.ts";
import { measurementKey } from "./compare.ts";
import { cautionsOf, finishResults } from "./finish.ts";
import { PAPER_FIGURES, type PaperBars } from "./paper.ts";
import type { Cell, ClaimVerdict, Results } from "./results_types.ts";
import { noiseOf, summarize } from "./statistics.ts";
import { plainText, short, shown, sizeText, table, timeText } from "./tables.ts";

/** A table, for Markdown and HTML alike. */
interface Grid {
  readonly title: string;
  readonly lead?: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a report says, before it takes a form. */
interface Report {
  readonly title: string;
  readonly cautions: readonly string[];
  readonly grids: readonly Grid[];
}

/** A file of a report. */
export interface ReportFile {
  /** Its name, without a folder. */
  readonly name: string;
  /** What it holds. */
  readonly content: string | Uint8Array;
}

/**
 * Makes all files of a report: `report.md`, `report.html`, `junit.xml`, and each figure as SVG and
 * PNG. The same results give the same files.
 *
 * @param paper Heights of the paper's bars, if somebody has measured them.
 */
export async function makeReport(stored: Results, paper?: PaperBars): Promise<ReportFile[]> {
  const results = finishResults(stored);
  const drawn: { chart: Chart; svg: string }[] = [];
  const pictures: ReportFile[] = [];
  for (const chart of chartsOf(results, paper)) {
    const svg = await drawSvg(chart);
    drawn.push({ chart, svg });
    pictures.push({ name: `${chart.name}.svg`, content: svg });
    pictures.push({ name: `${chart.name}.png`, content: await drawPng(svg) });
  }
  const report = reportOf(results, paper);
  return [
    { name: "report.md", content: markdown(report, drawn.map(({ chart }) => chart)) },
    { name: "report.html", content: html(report, drawn) },
    ...(results.kind === "figures" ? [{ name: "junit.xml", content: junit(results) }] : []),
    ...pictures,
  ];
}

function reportOf(results: Results, paper: PaperBars | undefined): Report {
  const digitised = paper?.digitisedBy ?? null;
  return {
    title: `Results of virtfs bench ${results.kind}`,
    cautions: [
      ...cautionsOf(results),
      ...(results.kind === "figures" ? unconfirmed() : []),
      ...results.notes,
      ...(digitised === null ? [] : [`Bars of the paper were measured by: ${digitised}`]),
    ],
    grids: [
      verdictGrid(results.claims),
      ...cellGrids(results.cells),
      modelGrid(results),
      measurementGrid(results),
      setupGrid(results),
      environmentGrid(results),
      evidenceGrid(results.claims),
    ].filter(({ rows }) => rows.length > 0),
  };
}

/** What nobody with the paper has checked yet. */
function unconfirmed(): string[] {
  const ids = PAPER_FIGURES.filter((each) => !each.isOperationConfirmed).map(({ id }) => id);
  return ids.length === 0 ? [] : [
    `Whether Figures ${ids.join(", ")} show reads or writes has not been checked against the paper`,
  ];
}

/** Verdicts of all forms of VirtFS beside each other. */
function verdictGrid(claims: readonly ClaimVerdict[]): Grid {
  const variants = [...new Set(claims.map(({ variant }) => variant))];
  const byClaim = Map.groupBy(claims, ({ id }) => id);
  return {
    title: "What the paper claims",
    lead: "Judged by the 95 % intervals of ratios: a claim holds if all of them lie on its side, " +
      "does not hold if one lies on the other.",
    head: ["claim", "figure", ...variants.map(seriesLabel)],
    rows: [...byClaim.values()].map((same) => [
      same[0]?.says ?? "",
      same[0]?.figure ?? "",
      ...variants.map((variant) =>
        same.find((claim) => claim.variant === variant)?.verdict ?? "not measured"
      ),
    ]),
  };
}

function cellGrids(cells: readonly Cell[]): Grid[] {
  const groups = Map.groupBy(cells, ({ operation, fileSystems }) => `${operation} ${fileSystems}`);
  return [...groups.values()].map((group) => {
    const { operation, fileSystems } = group[0] ?? { operation: "read", fileSystems: 1 };
    const plural = fileSystems === 1 ? "" : "s";
    return {
      title: `Sequential ${operation}, ${fileSystems} file system${plural}, MB/s`,
      head: ["series", "block", "median", "mean", "CV %", "min", "max", "n", "noise"],
      rows: group.toSorted((a, b) => a.blockBytes - b.blockBytes).map(cellRow),
    };
  });
}

function cellRow(cell: Cell): string[] {
  const front = [seriesLabel(cell.series), sizeText(cell.blockBytes)];
  const values = cell.samples.map(({ value }) => value);
  if (values.length === 0) {
    return [
      ...front,
      "–",
      "–",
      "–",
      "–",
      "–",
      "0",
      `missing: ${cell.missing ?? "no reason given"}`,
    ];
  }
  const summary = summarize(values);
  const noise = [...noiseOf(summary), ...(cell.missing === null ? [] : [cell.missing])];
  return [
    ...front,
    shown(summary.median),
    short(summary.mean),
    Number.isNaN(summary.variation) ? "–" : short(summary.variation * 100),
    short(summary.min),
    short(summary.max),
    String(summary.count),
    noise.join("; ") || "calm",
  ];
}

function modelGrid({ models }: Results): Grid {
  const interval = ({ low, high }: { low: number | null; high: number | null }, scale: number) =>
    low === null || high === null ? "" : ` [${short(low / scale)}–${short(high / scale)}]`;
  return {
    title: "Time of a request and of its bytes",
    lead: "A line through the times of all block sizes: t = L + bytes/W for each request. L is " +
      "what a request costs whatever it carries, W how fast bytes move once it is under way.",
    head: ["series", "operation", "file systems", "L, µs", "W, GB/s", "fit"],
    rows: models.map(({ series, operation, fileSystems, latency, bandwidth, fit }) => [
      seriesLabel(series),
      operation,
      String(fileSystems),
      short(latency.value / 1e3) + interval(latency, 1e3),
      short(bandwidth.value) + interval(bandwidth, 1),
      short(fit),
    ]),
  };
}

function measurementGrid({ measurements }: Results): Grid {
  return {
    title: "Operations",
    head: ["operation", "median", "unit", "p50", "p99", "p99.9", "max", "CPU per operation", "n"],
    rows: measurements.map((each) => {
      const { latencies, cpuPerOperation } = each;
      const times = latencies === null
        ? ["–", "–", "–", "–"]
        : [latencies.p50, latencies.p99, latencies.p999, latencies.max].map(timeText);
      return [
        measurementKey(each),
        each.samples.length === 0 ? "–" : shown(summarize(each.samples).median),
        each.unit,
        ...times,
        cpuPerOperation === null ? "–" : timeText(cpuPerOperation),
        String(each.samples.length),
      ];
    }),
  };
}

function setupGrid({ setups }: Results): Grid {
  const text = (value: string | number | null) => value === null ? "–" : String(value);
  return {
    title: "Series as they were set up",
    head: ["setup", "server", "protocol", "msize", "cache", "rsize", "wsize", "mount", "backing"],
    rows: setups.map((setup) => [
      setup.id,
      text(setup.server),
      [setup.protocol, setup.transport].filter((each) => each !== null).join(" over ") || "–",
      `${text(setup.msizeObtained)} (asked: ${text(setup.msizeAsked)})`,
      text(setup.cacheMode),
      text(setup.rsize),
      text(setup.wsize),
      text(setup.mountOptions),
      [
        setup.backing.kind,
        setup.backing.fileSystem ?? "",
        `on ${setup.backing.hostFileSystem ?? "?"}`,
        setup.backing.isDirect ? "direct" : "",
      ].filter((each) => each !== "").join(" "),
    ]),
  };
}

function environmentGrid(results: Results): Grid {
  const { host, guest, tool, plan, software } = results;
  const rows: [string, string | number | null][] = [
    ["started", results.startedAt],
    ["finished", results.finishedAt],
    ["command line", results.commandLine.join(" ")],
    ["seed", results.seed],
    ["virtfs", [tool.version, tool.commit ?? "", tool.isDirty === true ? "changed" : ""].join(" ")],
    ["Deno, V8", `${tool.deno}, ${tool.v8}`],
    ["host", `${host.os} ${host.kernel} ${host.architecture}`],
    ["processor", `${host.cores} × ${host.cpu}, governor ${host.governor ?? "unknown"}`],
    ["memory", `${short(host.memoryBytes / 2 ** 30)} GiB`],
    ["host runs in", host.virtualization],
    ["load before, after", `${host.loadBefore ?? "?"}, ${host.loadAfter ?? "?"}`],
  ];
  if (guest !== null) {
    rows.push(
      ["accelerator", `${guest.accelerator} (${guest.acceleratorReason})`],
      ["guest", `Linux ${guest.kernel}, ${guest.distribution ?? "distribution unknown"}`],
      ["guest processors", guest.cpus],
      ["guest memory", `${short(guest.memoryBytes / 2 ** 20)} MiB`],
      ["dd", guest.dd],
      ["QEMU", `${guest.qemu}, machine ${guest.machine ?? "unknown"}`],
      ["network", guest.network],
    );
  }
  if (plan !== null) {
    rows.push(
      ["preset", plan.preset],
      ["samples wanted", `${plan.repetitions} after ${plan.warmups} warm-ups`],
      ["file size", `${sizeText(plan.sizeBytes)}, ${plan.memoryRatio ?? "?"} × guest memory`],
    );
  }
  rows.push(...Object.entries(software));
  return {
    title: "Environment",
    head: ["what", "value"],
    rows: rows.map(([what, value]) => [what, value === null ? "–" : String(value).trim()]),
  };
}

function evidenceGrid(claims: readonly ClaimVerdict[]): Grid {
  return {
    title: "Evidence",
    lead: "Ratios that the verdicts rest on, with their 95 % intervals.",
    head: ["claim", "VirtFS is", "verdict", "ratios"],
    rows: claims.filter(({ verdict }) => verdict !== "not measured")
      .map(({ id, variant, verdict, evidence }) => [id, variant, verdict, evidence.join("; ")]),
  };
}

/** Text in a cell of a Markdown table: what it holds must not end the cell, nor become HTML. */
function markdownText(text: string): string {
  return plainText(text).replace(/\s+/g, " ").replace(/[\\|<>*_`[\]]/g, (each) => `\\${each}`);
}

function markdown({ title, cautions, grids }: Report, charts: readonly Chart[]): string {
  const warnings = cautions.map((each) => `> - **${markdownText(each)}**\n`).join("");
  const pictures = charts.map(({ name, title }) => `![${markdownText(title)}](${name}.svg)\n\n`);
  const sections = grids.map(({ title, lead, head, rows }) => {
    const intro = lead === undefined ? "" : `${lead}\n\n`;
    const escaped = rows.map((row) => row.map(markdownText));
    return `## ${title}\n\n${intro}${table(head.map(markdownText), escaped)}\n`;
  });
  const warned = warnings === "" ? "" : `${warnings}\n`;
  return `# ${title}\n\n${warned}${pictures.join("")}${sections.join("\n")}`;
}

const STYLE = `
body { font: 15px/1.5 "DejaVu Sans", system-ui, sans-serif; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; font-size: 13px; }
div { overflow-x: auto; }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
.cautions { border-left: 6px solid #d55e00; background: #fdf1e8; padding: .5rem 1rem .5rem 2rem; }
.cautions li { font-weight: bold; }
.holds { background: #d9f0e4; } .fails { background: #f9ddd0; } .open { background: #f3f3f3; }
svg { max-width: 100%; height: auto; }
`;

const VERDICT_CLASS: Readonly<Record<string, string>> = {
  holds: "holds",
  "does not hold": "fails",
  inconclusive: "open",
  "not measured": "open",
};

function html(
  { title, cautions, grids }: Report,
  drawn: readonly { readonly chart: Chart; readonly svg: string }[],
): string {
  const rowOf = (row: readonly string[]) =>
    `<tr>${
      row.map((cell) => {
        const name = VERDICT_CLASS[cell];
        return `<td${name === undefined ? "" : ` class="${name}"`}>${escapeXml(cell)}</td>`;
      }).join("")
    }</tr>`;
  const warnings = cautions.length === 0
    ? ""
    : `<ul class="cautions">${cautions.map((each) => `<li>${escapeXml(each)}</li>`).join("")}</ul>`;
  const figures = drawn.map(({ chart, svg }, i) => {
    // Several drawings in one page: what they name must differ.
    const own = svg.replace(/\b(id="|url\(#|href="#)(?=[\w-]+)/g, `$1f${i}-`);
    return `<figure aria-label="${escapeXml(chart.title)}">${own}</figure>`;
  });
  const sections = grids.map(({ title, lead, head, rows }) =>
    `<h2>${escapeXml(title)}</h2>${lead === undefined ? "" : `<p>${escapeXml(lead)}</p>`}` +
    `<div><table><thead><tr>${head.map((each) => `<th>${escapeXml(each)}</th>`).join("")}</tr>` +
    `</thead><tbody>${rows.map(rowOf).join("\n")}</tbody></table></div>`
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeXml(title)}</h1>
${[warnings, ...figures, ...sections].join("\n")}
</body>
</html>
`;
}

/** Claims as test cases: one that does not hold has failed, one that is not decided was skipped. */
function junit(results: Results): string {
  const { claims } = results;
  const failed = claims.filter(({ verdict }) => verdict === "does not hold").length;
  const skipped =
    claims.filter(({ verdict }) => verdict === "inconclusive" || verdict === "not measured").length;
  const cautions = cautionsOf(results).map((each) =>
    `<property name="caution" value="${escapeXml(each)}"/>`
  );
  const cases = claims.map(({ id, variant, says, verdict, evidence }) => {
    const body = escapeXml([says, ...evidence].join("\n"));
    const outcome = verdict === "holds"
      ? `<system-out>${body}</system-out>`
      : verdict === "does not hold"
      ? `<failure message="${verdict}">${body}</failure>`
      : `<skipped message="${verdict}"/><system-out>${body}</system-out>`;
    return `<testcase classname="${escapeXml(variant)}" name="${
      escapeXml(id)
    }">${outcome}</testcase>`;
  });
  const counts = `tests="${claims.length}" failures="${failed}" skipped="${skipped}" errors="0"`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites ${counts}>
<testsuite name="claims of the paper" ${counts} timestamp="${escapeXml(results.startedAt)}">
<properties>${cautions.join("")}</properties>
${cases.join("\n")}
</testsuite>
</testsuites>
`;
}
