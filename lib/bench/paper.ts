/**
 * Section 5 of the paper as definitions: Figures 2 to 5, and what is claimed of them.
 *
 * The paper is "VirtFS – A virtualization aware File System pass-through", Ottawa Linux Symposium
 * 2010, https://kernel.org/doc/ols/2010/ols2010-pages-109-120.pdf. What is here was written from
 * what is told of its section on performance, not from its figures: heights of bars are for somebody
 * with the paper to fill in ({@linkcode PaperBars}), and so is a check of which figure of a pair
 * shows reads ({@linkcode PaperFigure.isOperationConfirmed}).
 *
 * @module
 */
import type { Cell, ClaimVerdict, ModelFit, Results, Setup } from "./results_types.ts";
import { fitModel, type TimedBlock } from "./model.ts";
import { type Estimate, ratioOf } from "./statistics.ts";
import { shown, sizeText } from "./tables.ts";

/** Number of a figure of the paper. */
export type FigureId = Cell["figures"][number];

/** What dd does with the file system. */
export type Operation = Cell["operation"];

/** Block sizes of dd, in bytes. */
export const PAPER_BLOCKS: readonly number[] = [8 << 10, 64 << 10, 2 << 20];
/** Size of each file, in bytes. */
export const PAPER_SIZE: number = 8 * 2 ** 30;
/** Size of a file over the memory of the guest. */
export const PAPER_MEMORY_RATIO = 4;
/** What stands for VirtFS: QEMU's own device, which is the paper's, and ours. */
export const VIRTFS_VARIANTS: readonly string[] = [
  "virtfs-qemu@default",
  "virtfs-qemu@512000",
  "virtfs@default",
  "virtfs@512000",
];

/** A figure of the paper. */
export interface PaperFigure {
  /** Its number. */
  readonly id: FigureId;
  /** What it shows, in our words. */
  readonly title: string;
  /** What dd did. */
  readonly operation: Operation;
  /** Whether somebody with the paper has checked which of the pair shows this operation. */
  readonly isOperationConfirmed: boolean;
  /** What VirtFS is compared with. */
  readonly others: readonly string[];
  /** Numbers of file systems at once. */
  readonly fileSystems: readonly number[];
  /** Block sizes, in bytes. */
  readonly blocks: readonly number[];
}

function figure(
  id: FigureId,
  operation: Operation,
  others: readonly string[],
  fileSystems: readonly number[],
): PaperFigure {
  const against = others.includes("block")
    ? "VirtFS and a block device with 1, 2 and 3 file systems"
    : "VirtFS, NFS and CIFS";
  const title = `Sequential ${operation}: ${against}`;
  const isOperationConfirmed = false;
  return { id, title, operation, isOperationConfirmed, others, fileSystems, blocks: PAPER_BLOCKS };
}

/** Figures 2 to 5. */
export const PAPER_FIGURES: readonly PaperFigure[] = [
  figure("2", "write", ["nfs", "cifs"], [1]),
  figure("3", "read", ["nfs", "cifs"], [1]),
  figure("4", "write", ["block"], [1, 2, 3]),
  figure("5", "read", ["block"], [1, 2, 3]),
];

/** Whether a series is a form of VirtFS. */
export function isVirtfs(series: string): boolean {
  return /^virtfs(?:-qemu)?(?:@|$)/.test(series);
}

/** Figures that show such a cell. */
export function figuresOf(
  cell: Pick<Cell, "operation" | "blockBytes" | "fileSystems" | "series">,
): FigureId[] {
  return PAPER_FIGURES.filter((each) =>
    each.operation === cell.operation && each.fileSystems.includes(cell.fileSystems) &&
    each.blocks.includes(cell.blockBytes) &&
    (isVirtfs(cell.series) || each.others.includes(cell.series))
  ).map(({ id }) => id);
}

/** A bar of the paper, for somebody with the paper to fill in. */
export interface PaperBar {
  /** Figure. */
  readonly figure: FigureId;
  /** VirtFS, NFS, CIFS or block, as the legend has it. */
  readonly series: string;
  /** Block size, in bytes. */
  readonly blockBytes: number;
  /** File systems at once. */
  readonly fileSystems: number;
  /** Height, in MB/s; null until somebody has measured it on the paper. */
  readonly value: number | null;
}

/** All bars of the paper, and who has measured them. */
export interface PaperBars {
  /** Who has measured the heights, and how; null as long as nobody has. */
  readonly digitisedBy: string | null;
  /** The bars. */
  readonly bars: readonly PaperBar[];
}

/** Every bar there is in the figures, with no height. */
export function emptyBars(): PaperBars {
  const bars = PAPER_FIGURES.flatMap(({ id, others, fileSystems, blocks }) =>
    fileSystems.flatMap((count) =>
      blocks.flatMap((blockBytes) =>
        ["virtfs", ...others].map((series) => ({
          figure: id,
          series,
          blockBytes,
          fileSystems: count,
          value: null,
        }))
      )
    )
  );
  return { digitisedBy: null, bars };
}

/**
 * Reads a file of bars.
 *
 * @param name What to call it in errors.
 * @throws {Error} If it has other bars than the figures, heights that are none, or nobody's name.
 */
export function parseBars(text: string, name: string): PaperBars {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot read ${name}: it is no JSON`, { cause: error });
  }
  const { digitisedBy = null, bars = [] } = (value ?? {}) as Partial<PaperBars>;
  const key = (bar: Partial<PaperBar> | null) =>
    `${bar?.figure} ${bar?.series} ${bar?.blockBytes} ${bar?.fileSystems}`;
  const expected = emptyBars().bars;
  if (!Array.isArray(bars) || bars.map(key).join() !== expected.map(key).join()) {
    throw new Error(`Cannot read ${name}: its bars are not those of Figures 2 to 5, in order`);
  }
  const read = expected.map((bar, i): PaperBar => {
    const height: unknown = bars[i]?.value;
    if (height === null) return bar;
    if (typeof height !== "number" || !(height > 0 && height < 1e6)) {
      throw new Error(`Cannot read ${name}: the height of bar ${i} is no number of MB/s`);
    }
    return { ...bar, value: height };
  });
  if (digitisedBy !== null && typeof digitisedBy !== "string") {
    throw new Error(`Cannot read ${name}: digitisedBy is no text`);
  }
  if (digitisedBy === null && read.some(({ value }) => value !== null)) {
    throw new Error(`Cannot read ${name}: there are heights, and nobody who says so (digitisedBy)`);
  }
  return { digitisedBy, bars: read };
}

/** A claim as a predicate over cells. */
export interface PaperClaim {
  /** Name. */
  readonly id: string;
  /** Figure that it speaks of. */
  readonly figure: FigureId;
  /** The claim in our words, with the bound that decides. */
  readonly says: string;
  /** Ratios that must lie above the bound, or below it. */
  readonly ratios: (virtfs: string) => readonly ClaimedRatio[];
  /** The bound. */
  readonly bound: number;
  /** On which side of the bound the ratios must lie. */
  readonly side: "above" | "below";
}

/** A cell over another. */
export interface ClaimedRatio {
  /** What is compared, in words. */
  readonly what: string;
  /** The one cell. */
  readonly cell: CellName;
  /** The other. */
  readonly over: CellName;
}

/** What names a cell. */
export type CellName = Pick<Cell, "operation" | "blockBytes" | "fileSystems" | "series">;

/** A block device is stood up to from this share of its throughput on. */
const COMPARABLE = 0.8;
/** Three file systems that move less than this much more than one do not scale. */
const SCALES = 1.5;

function claimsOf({ id, operation, others, fileSystems, blocks }: PaperFigure): PaperClaim[] {
  const beats = others.filter((other) => other !== "block").map((other): PaperClaim => ({
    id: `fig${id}-${operation}-beats-${other}`,
    figure: id,
    says: `VirtFS ${operation}s faster than ${other.toUpperCase()} at every block size`,
    bound: 1,
    side: "above",
    ratios: (series) =>
      blocks.map((blockBytes) => ({
        what: `${sizeText(blockBytes)}: VirtFS over ${other.toUpperCase()}`,
        cell: { operation, blockBytes, fileSystems: 1, series },
        over: { operation, blockBytes, fileSystems: 1, series: other },
      })),
  }));
  if (!others.includes("block")) return beats;
  const most = Math.max(...fileSystems);
  return [
    ...fileSystems.map((count): PaperClaim => ({
      id: `fig${id}-${operation}-stands-up-to-block-${count}`,
      figure: id,
      says: `VirtFS stands up to a block device: with ${count} file system${
        count === 1 ? "" : "s"
      } it ${operation}s at least ${COMPARABLE * 100} % as fast at every block size`,
      bound: COMPARABLE,
      side: "above",
      ratios: (series) =>
        blocks.map((blockBytes) => ({
          what: `${sizeText(blockBytes)}, ${count}: VirtFS over block`,
          cell: { operation, blockBytes, fileSystems: count, series },
          over: { operation, blockBytes, fileSystems: count, series: "block" },
        })),
    })),
    {
      id: `fig${id}-${operation}-does-not-scale`,
      figure: id,
      says:
        `VirtFS does not scale with the number of file systems, its server having one thread: ` +
        `${most} together ${operation} less than ${SCALES} times as fast as 1`,
      bound: SCALES,
      side: "below",
      ratios: (series) =>
        blocks.map((blockBytes) => ({
          what: `${sizeText(blockBytes)}: ${most} over 1`,
          cell: { operation, blockBytes, fileSystems: most, series },
          over: { operation, blockBytes, fileSystems: 1, series },
        })),
    },
  ];
}

/** Every claim. */
export const PAPER_CLAIMS: readonly PaperClaim[] = PAPER_FIGURES.flatMap(claimsOf);

/** Judges every claim for every form of VirtFS: the four of the figures, and others in the cells. */
export function judgeClaims(results: Pick<Results, "cells">): ClaimVerdict[] {
  const measured = results.cells.map(({ series }) => series).filter(isVirtfs);
  const variants = new Set([...VIRTFS_VARIANTS, ...measured]);
  return PAPER_CLAIMS.flatMap((claim) =>
    [...variants].map((variant) => judge(claim, variant, results.cells))
  );
}

function judge(claim: PaperClaim, variant: string, cells: readonly Cell[]): ClaimVerdict {
  const evidence: string[] = [];
  const parts = claim.ratios(variant).map(({ what, cell, over }) => {
    const a = valuesOf(cells, cell);
    const b = valuesOf(cells, over);
    if (a.length === 0 || b.length === 0) {
      const missing = a.length === 0 ? cell.series : over.series;
      evidence.push(`${what}: not measured (${missing} has no samples)`);
      return "not measured";
    }
    const ratio = ratioOf(a, b);
    const few = Number.isNaN(ratio.low) ? "; too few samples for an interval" : "";
    evidence.push(`${what}: ${shown(ratio)}${few}`);
    return side(ratio, claim);
  });
  const verdict = parts.includes("does not hold")
    ? "does not hold"
    : parts.includes("not measured")
    ? "not measured"
    : parts.includes("inconclusive")
    ? "inconclusive"
    : "holds";
  return { id: claim.id, figure: claim.figure, says: claim.says, variant, verdict, evidence };
}

function side(
  { low, high }: Estimate,
  { bound, side }: PaperClaim,
): "holds" | "does not hold" | "inconclusive" {
  if (low > bound) return side === "above" ? "holds" : "does not hold";
  if (high < bound) return side === "above" ? "does not hold" : "holds";
  return "inconclusive";
}

function valuesOf(cells: readonly Cell[], name: CellName): number[] {
  const found = cells.find((cell) =>
    cell.operation === name.operation && cell.blockBytes === name.blockBytes &&
    cell.fileSystems === name.fileSystems && cell.series === name.series
  );
  return found?.samples.map(({ value }) => value).filter((value) => value > 0) ?? [];
}

/** Bytes of a 9P message that are no payload when it reads or writes, as Linux counts them. */
const MESSAGE_OVERHEAD = 24;

/** Bytes that one request of a setup carries; undefined where the kernel decides each time. */
function payloadOf(setup: Setup | undefined, operation: Operation): number | undefined {
  const msize = setup?.msizeObtained ?? undefined;
  if (msize !== undefined) return Math.max(1, msize - MESSAGE_OVERHEAD);
  return (operation === "read" ? setup?.rsize : setup?.wsize) ?? undefined;
}

/** Fits a line through each series, operation and number of file systems with two sizes or more. */
export function fitModels(results: Pick<Results, "cells" | "setups" | "seed">): ModelFit[] {
  const setups = new Map(results.setups.map((setup) => [setup.id, setup]));
  const groups = Map.groupBy(
    results.cells,
    ({ series, operation, fileSystems }) => `${series} ${operation} ${fileSystems}`,
  );
  return [...groups.values()].flatMap((cells): ModelFit[] => {
    const [first] = cells;
    if (first === undefined) return [];
    const blocks = cells.flatMap((cell) => timedBlocks(cell, setups.get(cell.setup)));
    const model = fitModel(blocks, results.seed);
    if (model === undefined || !Number.isFinite(model.bandwidth.value)) return [];
    const { series, operation, fileSystems } = first;
    const latency = stored(model.latency);
    const bandwidth = stored(model.bandwidth);
    return [{ series, operation, fileSystems, latency, bandwidth, fit: model.fit }];
  });
}

function timedBlocks(cell: Cell, setup: Setup | undefined): TimedBlock[] {
  const { blockBytes, operation, samples } = cell;
  const payload = payloadOf(setup, operation) ?? blockBytes;
  const requests = Math.ceil(blockBytes / payload);
  return samples.filter(({ bytes, seconds }) => bytes > 0 && seconds > 0).map((sample) => ({
    requests,
    bytes: blockBytes,
    // All file systems together: how long the whole takes for one block.
    time: sample.seconds * 1e9 * blockBytes / sample.bytes,
  }));
}

function stored({ value, low, high }: Estimate): ModelFit["latency"] {
  return {
    value,
    low: Number.isFinite(low) ? low : null,
    high: Number.isFinite(high) ? high : null,
  };
}
