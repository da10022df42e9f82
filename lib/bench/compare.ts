/**
 * Two runs side by side: what became slower, and how sure that is.
 *
 * @module
 */
import { cellKey } from "./results.ts";
import type { Measurement, Results, Setup } from "./results_types.ts";
import { type Estimate, mannWhitney, ratioOf } from "./statistics.ts";
import { shown, table } from "./tables.ts";

/** What is said of two groups of samples. */
export type Change = "slower" | "faster" | "no difference seen" | "too few samples";

/** One cell or measurement of both runs. */
export interface Comparison {
  /** What was measured. */
  readonly what: string;
  /** Speed of the second run over the first, with its interval; below 1 is slower. */
  readonly ratio: Estimate;
  /** Chance of so great a difference if there is none (Mann and Whitney), of this one alone. */
  readonly p: number;
  /** The same, given that all the others were looked at too (Holm). */
  readonly adjustedP: number;
  /** Samples of the first and the second run. */
  readonly counts: readonly [number, number];
  /** Verdict: significant, and by more than the threshold. */
  readonly change: Change;
}

/** Two runs, compared. */
export interface ComparedResults {
  /** What both runs have. */
  readonly comparisons: readonly Comparison[];
  /** What only the first run has. */
  readonly onlyBefore: readonly string[];
  /** What only the second run has. */
  readonly onlyAfter: readonly string[];
  /** In what the machines differ: then the ratios are of machines. */
  readonly machineDifferences: readonly string[];
  /** In what else the runs differ that may decide. */
  readonly differences: readonly string[];
  /** Whether anything is slower. */
  readonly isRegression: boolean;
  /** Least relative change that counts. */
  readonly threshold: number;
  /** Chance of any false alarm among all the comparisons. */
  readonly risk: number;
}

/** How to compare. */
export interface CompareOptions {
  /** Least relative change that counts, from 0; one tenth unless said. */
  readonly threshold?: number;
  /** Chance of any false alarm, slower or faster, among all comparisons; 0.01 unless said. */
  readonly risk?: number;
}

/** Samples as speeds, with a name to find their like. */
interface Group {
  readonly what: string;
  readonly speeds: readonly number[];
}

/**
 * Compares two runs.
 *
 * However many cells there are, the chance that equal runs give any alarm is at most `risk`: the
 * p-values are adjusted by Holm's method. The threshold only lowers it.
 */
export function compareResults(
  before: Results,
  after: Results,
  { threshold = 0.1, risk = 0.01 }: CompareOptions = {},
): ComparedResults {
  const first = groupsOf(before);
  const second = groupsOf(after);
  const pairs = [...first].flatMap(([key, a]) => {
    const b = second.get(key);
    return b === undefined ? [] : [{ a, b, test: mannWhitney(b.speeds, a.speeds) }];
  }).filter(({ a, b }) => a.speeds.length > 0 && b.speeds.length > 0);
  const adjusted = holm(pairs.map(({ test }) => test.p));
  const comparisons = pairs.map(({ a, b, test }, i): Comparison => {
    const ratio = ratioOf(b.speeds, a.speeds);
    const adjustedP = adjusted[i] ?? 1;
    const change = Number.isNaN(ratio.low)
      ? "too few samples"
      : adjustedP > risk || Math.abs(ratio.value - 1) <= threshold
      ? "no difference seen"
      : ratio.value < 1
      ? "slower"
      : "faster";
    const counts = [a.speeds.length, b.speeds.length] as const;
    return { what: a.what, ratio, p: test.p, adjustedP, counts, change };
  });
  const without = (these: Map<string, Group>, those: Map<string, Group>) =>
    [...these].filter(([key, { speeds }]) =>
      speeds.length > 0 && (those.get(key)?.speeds.length ?? 0) === 0
    ).map(([, { what }]) => what);
  return {
    comparisons,
    onlyBefore: without(first, second),
    onlyAfter: without(second, first),
    machineDifferences: differencesOf(machineOf(before), machineOf(after)),
    differences: differencesOf(settingsOf(before), settingsOf(after)),
    isRegression: comparisons.some(({ change }) => change === "slower"),
    threshold,
    risk,
  };
}

function groupsOf({ cells, measurements }: Results): Map<string, Group> {
  const groups = new Map<string, Group>();
  const positive = (value: number) => value > 0;
  for (const cell of cells) {
    const what = cellKey(cell);
    groups.set(what, {
      what,
      speeds: cell.samples.map(({ value }) => value).filter(positive),
    });
  }
  for (const each of measurements) {
    const what = measurementKey(each);
    const values = each.samples.filter(positive);
    const speeds = each.unit === "ns/op" ? values.map((value) => 1 / value) : values;
    groups.set(what, { what, speeds });
  }
  return groups;
}

/** What tells measurements apart: `rpc tcp://[::1]:564 read 4096 B, depth 1, 1 client`. */
export function measurementKey(
  { kind, target, operation, bytes, depth, clients }: Measurement,
): string {
  const payload = bytes === 0 ? "" : ` ${bytes} B`;
  const load = kind === "micro"
    ? ""
    : `, depth ${depth}, ${clients} client${clients === 1 ? "" : "s"}`;
  return `${kind} ${target} ${operation}${payload}${load}`;
}

/** P-values that hold for all of them together (Holm 1979), in their order. */
function holm(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => (values[i] ?? 1) - (values[j] ?? 1));
  const adjusted: number[] = new Array(values.length).fill(1);
  let least = 0;
  order.forEach((at, rank) => {
    least = Math.max(least, Math.min(1, (values[at] ?? 1) * (values.length - rank)));
    adjusted[at] = least;
  });
  return adjusted;
}

type Facts = Readonly<Record<string, string>>;

function machineOf({ host, guest }: Results): Facts {
  return {
    cpu: host.cpu,
    cores: String(host.cores),
    "memory (GiB)": (host.memoryBytes / 2 ** 30).toFixed(0),
    architecture: host.architecture,
    accelerator: guest?.accelerator ?? "none",
  };
}

function settingsOf({ host, guest, plan, setups, tool }: Results): Facts {
  const facts: Record<string, string> = {
    "host kernel": host.kernel,
    "guest kernel": guest?.kernel ?? "none",
    "guest memory": String(guest?.memoryBytes ?? "none"),
    "guest processors": String(guest?.cpus ?? "none"),
    QEMU: guest?.qemu ?? "none",
    network: guest?.network ?? "none",
    "file size": String(plan?.sizeBytes ?? "none"),
    Deno: tool.deno,
  };
  const settings = [
    "server",
    "protocol",
    "transport",
    "msizeObtained",
    "cacheMode",
    "rsize",
    "wsize",
    "mountOptions",
    "exportOptions",
  ] as const satisfies readonly (keyof Setup)[];
  for (const setup of setups) {
    for (const name of settings) facts[`${setup.id} ${name}`] = String(setup[name]);
    facts[`${setup.id} backing`] = JSON.stringify(setup.backing);
  }
  return facts;
}

function differencesOf(before: Facts, after: Facts): string[] {
  return Object.keys(before).filter((key) => key in after && before[key] !== after[key])
    .map((key) => `${key}: ${before[key]}, then ${after[key]}`);
}

/** The comparison as text for a terminal, or a comment of a review: Markdown. */
export function formatComparison(compared: ComparedResults): string {
  const { comparisons, threshold, risk } = compared;
  const rows = comparisons.map(({ what, ratio, p, counts, change }) => [
    what,
    shown(ratio),
    p < 0.0001 ? "<0.0001" : p.toFixed(4),
    counts.join("+"),
    change,
  ]);
  const list = (head: string, items: readonly string[]) =>
    items.length === 0 ? [] : ["", head, "", ...items.map((item) => `- ${item}`)];
  const slower = comparisons.filter(({ change }) => change === "slower").length;
  const faster = comparisons.filter(({ change }) => change === "faster").length;
  const verdict = `${comparisons.length} compared: ${slower} slower, ${faster} faster, by more ` +
    `than ${(threshold * 100).toFixed(0)} % (chance of any false alarm: at most ${
      (risk * 100).toFixed(0)
    } %)`;
  return [
    table(["measured", "speed, after over before", "p", "samples", "change"], rows),
    ...list("The machines differ: what is compared is they.", compared.machineDifferences),
    ...list("The runs differ:", compared.differences),
    ...list("Only before:", compared.onlyBefore),
    ...list("Only after:", compared.onlyAfter),
    "",
    verdict,
    "",
  ].join("\n");
}
