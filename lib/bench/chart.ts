/**
 * Figures as the paper has them: grouped bars over block sizes, with whiskers.
 *
 * What draws is loaded when the first figure is drawn.
 *
 * @module
 */
import { createRequire } from "node:module";
import { PAPER_FIGURES, type PaperBars, type PaperFigure } from "./paper.ts";
import { cautionsOf } from "./finish.ts";
import type { Cell, Results } from "./results_types.ts";
import { medianOf } from "./statistics.ts";
import { plainText, sizeText } from "./tables.ts";

/** The one font of all figures: its files come with a package, so that every machine draws alike. */
const FONT = "DejaVu Sans";
const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"] as const;
/** Pixels of a PNG for each unit of its SVG. */
const PNG_SCALE = 2;
/** Bars that still can be told apart in one picture. */
const MOST_BARS = 300;
/** Height of the axes. */
const HEIGHT = 260;
/** Width of a group of bars, for each bar in it. */
const BAR_WIDTH = 22;

/** Colors that people who see few of them can tell apart (Okabe and Ito), by series. */
const COLORS: readonly (readonly [series: RegExp, color: string, label: string])[] = [
  [/^virtfs-qemu@default$/, "#56b4e9", "VirtFS (QEMU), default msize"],
  [/^virtfs-qemu@(.*)$/, "#0072b2", "VirtFS (QEMU), msize $1"],
  [/^virtfs@default$/, "#e69f00", "VirtFS (ours), default msize"],
  [/^virtfs@(.*)$/, "#d55e00", "VirtFS (ours), msize $1"],
  [/^nfs$/, "#009e73", "NFS"],
  [/^cifs$/, "#cc79a7", "CIFS"],
  [/^block$/, "#4d4d4d", "Block device"],
  [/^tcp(?:@(.*))?$/, "#f0e442", "9P over TCP"],
  [/^virtiofs$/, "#b2abd2", "virtiofs"],
  [/^paper (.*)$/, "#dddddd", "$1 in the paper"],
];
const OTHER_COLOR = "#999999";

/** A series as a legend names it. */
export function seriesLabel(series: string): string {
  const found = COLORS.find(([pattern]) => pattern.test(series));
  return found === undefined ? series : series.replace(found[0], found[2]);
}

function seriesColor(series: string): string {
  return COLORS.find(([pattern]) => pattern.test(series))?.[1] ?? OTHER_COLOR;
}

function seriesRank(series: string): number {
  const at = COLORS.findIndex(([pattern]) => pattern.test(series));
  return at < 0 ? COLORS.length : at;
}

/** A figure to draw. */
export interface Chart {
  /** Name for files: `fig2`. */
  readonly name: string;
  /** Title. */
  readonly title: string;
  /** Lines under the title. */
  readonly captions: readonly string[];
  /** Bars. */
  readonly bars: readonly ChartBar[];
}

/** A bar. */
export interface ChartBar {
  /** Series. */
  readonly series: string;
  /** Block size, in bytes. */
  readonly blockBytes: number;
  /** File systems at once. */
  readonly fileSystems: number;
  /** Median throughput, in MB/s. */
  readonly value: number;
  /** Ends of the interval, or of all samples if there are too few for one. */
  readonly whisker: readonly [low: number, high: number];
}

/** Figures that results have samples for, and a last one for cells of no figure. */
export function chartsOf(results: Results, paper?: PaperBars): Chart[] {
  const captions = captionsOf(results).map(plainText);
  const charts = PAPER_FIGURES.flatMap((figure): Chart[] => {
    const bars = barsOf(results.cells.filter(({ figures }) => figures.includes(figure.id)));
    if (bars.length === 0) return [];
    const title = `Figure ${figure.id}. ${figure.title}`;
    const known = paperBarsOf(figure, paper);
    return [{ name: `fig${figure.id}`, title, captions, bars: [...bars, ...known] }];
  });
  const rest = results.cells.filter(({ figures }) => figures.length === 0);
  for (const operation of ["write", "read"] as const) {
    const bars = barsOf(rest.filter((cell) => cell.operation === operation));
    if (bars.length === 0) continue;
    const title = `Not in the paper: sequential ${operation}`;
    charts.push({ name: `other-${operation}`, title, captions, bars });
  }
  return charts;
}

/** What must be under every figure: how it was measured, and that it was emulated if it was. */
function captionsOf(results: Results): string[] {
  const { guest, setups } = results;
  const msizes = setups.filter(({ msizeObtained }) => msizeObtained !== null)
    .map(({ series, msizeObtained }) => `${series}: ${msizeObtained}`);
  const caches = setups.filter(({ cacheMode }) => cacheMode !== null)
    .map(({ series, cacheMode }) => `${series}: ${cacheMode}`);
  const said = (what: string, list: readonly string[]) =>
    list.length === 0 ? [] : [`${what} ${[...new Set(list)].join(", ")}`];
  return [
    ...cautionsOf(results).filter((line) => /^(?:EMULATED|PARTIAL)/.test(line)),
    [
      results.host.cpu,
      ...(guest === null
        ? []
        : [`guest Linux ${guest.kernel}`, `QEMU ${guest.qemu}`, guest.accelerator.toUpperCase()]),
    ].join(", "),
    ...said("msize", msizes),
    ...said("cache", caches),
    "Bars are medians; whiskers 95 % intervals, or all samples where there are fewer than 6",
  ];
}

function barsOf(cells: readonly Cell[]): ChartBar[] {
  return cells.filter(({ samples }) => samples.length > 0).map((cell) => {
    const { series, blockBytes, fileSystems } = cell;
    const values = cell.samples.map(({ value }) => value);
    const { value, low, high } = medianOf(values);
    const whisker = Number.isNaN(low)
      ? [Math.min(...values), Math.max(...values)] as const
      : [low, high] as const;
    return { series, blockBytes, fileSystems, value, whisker };
  });
}

function paperBarsOf({ id }: PaperFigure, paper: PaperBars | undefined): ChartBar[] {
  return (paper?.bars ?? []).flatMap(({ figure, series, blockBytes, fileSystems, value }) =>
    figure !== id || value === null
      ? []
      : [{ series: `paper ${series}`, blockBytes, fileSystems, value, whisker: [value, value] }]
  );
}

/** Folds text so that a figure of some width holds it. */
function folded(text: string, characters: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length >= characters) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** The chart in the language of Vega-Lite. */
function specification({ title, captions, bars }: Chart): Record<string, unknown> {
  const series = [...new Set(bars.map((bar) => bar.series))]
    .sort((a, b) => seriesRank(a) - seriesRank(b) || (a < b ? -1 : 1));
  const labels = series.map(seriesLabel);
  const blocks = [...new Set(bars.map(({ blockBytes }) => blockBytes))].sort((a, b) => a - b);
  const counts = [...new Set(bars.map(({ fileSystems }) => fileSystems))].sort((a, b) => a - b);
  const countText = (count: number) => `${count} file system${count === 1 ? "" : "s"}`;
  const values = bars.map((bar) => ({
    series: seriesLabel(bar.series),
    block: sizeText(bar.blockBytes),
    systems: countText(bar.fileSystems),
    value: bar.value,
    low: bar.whisker[0],
    high: bar.whisker[1],
  }));
  const width = Math.max(blocks.length * (series.length + 1) * BAR_WIDTH, 180);
  const x = {
    field: "block",
    type: "nominal",
    sort: blocks.map(sizeText),
    title: "Block size",
    axis: { labelAngle: 0 },
    scale: { paddingInner: 0.25 },
  };
  const xOffset = { field: "series", type: "nominal", sort: labels };
  const layer = [
    {
      mark: { type: "bar", stroke: "#222222", strokeWidth: 0.5 },
      encoding: {
        x,
        xOffset,
        y: {
          field: "value",
          type: "quantitative",
          title: "Throughput (MB/s)",
          scale: { zero: true },
        },
        color: {
          field: "series",
          type: "nominal",
          sort: labels,
          scale: { domain: labels, range: series.map(seriesColor) },
          legend: { title: null, orient: "bottom", columns: 2, labelLimit: 400 },
        },
      },
    },
    {
      mark: { type: "rule", color: "#111111" },
      encoding: { x, xOffset, y: { field: "low", type: "quantitative" }, y2: { field: "high" } },
    },
    ...(["low", "high"] as const).map((field) => ({
      mark: { type: "tick", color: "#111111", size: 7, thickness: 1 },
      encoding: { x, xOffset, y: { field, type: "quantitative" } },
    })),
  ];
  const whole = width * counts.length;
  const subtitle = captions.flatMap((line) => folded(line, Math.max(60, whole / 7)));
  const inner = { width, height: HEIGHT, layer };
  return {
    data: { values },
    background: "white",
    padding: 12,
    title: { text: title, subtitle, anchor: "start", subtitleColor: "#333333", offset: 14 },
    config: {
      font: FONT,
      view: { stroke: null },
      axis: { gridColor: "#dddddd", titleFontWeight: "normal" },
    },
    ...(counts.length === 1 ? inner : {
      facet: {
        column: { field: "systems", type: "nominal", sort: counts.map(countText), title: null },
      },
      spec: inner,
    }),
  };
}

/**
 * Draws a chart as SVG; the same chart gives the same text.
 *
 * @throws {Error} If it has more bars than a picture can show.
 */
export async function drawSvg(chart: Chart): Promise<string> {
  if (chart.bars.length > MOST_BARS) {
    throw new Error(
      `Cannot draw ${chart.name}: ${chart.bars.length} bars are too many, ${MOST_BARS} fit`,
    );
  }
  const [lite, vega] = await Promise.all([import("vega-lite"), import("vega")]);
  // Its types know more kinds of charts than a compiler has patience for.
  const compile = lite.compile as unknown as (
    spec: Record<string, unknown>,
  ) => { readonly spec: Parameters<typeof vega.parse>[0] };
  const view = new vega.View(vega.parse(compile(specification(chart)).spec), {
    renderer: "none",
    logLevel: vega.Error,
  });
  try {
    const svg = await view.toSVG();
    const described = `<title>${escapeXml(chart.title)}</title>` +
      `<desc>${escapeXml(chart.captions.join("; "))}</desc>`;
    return svg.replace(/(<svg[^>]*>)/, `$1${described}`);
  } finally {
    view.finalize();
  }
}

let drawing: Promise<{ Resvg: typeof import("@resvg/resvg-wasm").Resvg; fonts: Uint8Array[] }>;

/** Loads what makes pixels, once. */
function loadResvg(): typeof drawing {
  drawing ??= (async () => {
    const require = createRequire(import.meta.url);
    const [{ initWasm, Resvg }, wasm, ...fonts] = await Promise.all([
      import("@resvg/resvg-wasm"),
      Deno.readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")),
      ...FONT_FILES.map((name) => Deno.readFile(require.resolve(`dejavu-fonts-ttf/ttf/${name}`))),
    ]);
    await initWasm(wasm);
    return { Resvg, fonts };
  })();
  return drawing;
}

/** Draws an SVG of {@linkcode drawSvg} as PNG. */
export async function drawPng(svg: string): Promise<Uint8Array> {
  const { Resvg, fonts } = await loadResvg();
  const resvg = new Resvg(svg, {
    fitTo: { mode: "zoom", value: PNG_SCALE },
    background: "white",
    font: { fontBuffers: fonts, defaultFontFamily: FONT, sansSerifFamily: FONT },
  });
  try {
    const image = resvg.render();
    try {
      return image.asPng();
    } finally {
      image.free();
    }
  } finally {
    resvg.free();
  }
}

/** Text within XML or HTML, and within the quotes of an attribute. */
export function escapeXml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return plainText(text).replace(/[&<>"']/g, (each) => names[each] ?? each);
}
