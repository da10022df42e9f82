/**
 * What a run of the figures measures: presets, series, cells and the order of it all.
 *
 * @module
 */
import { cellKey } from "./results.ts";
import type { Cell } from "./results_types.ts";

/** Block sizes of dd in the paper's figures, in bytes. */
export const FIGURE_BLOCKS: readonly number[] = [8192, 65_536, 2_097_152];

/** Numbers of file systems in the paper's Figures 4 and 5. */
export const FIGURE_FILE_SYSTEMS: readonly number[] = [1, 2, 3];

/** Names of presets. */
export type Preset = "ci" | "quick" | "paper";

/** What a preset, or the command line, says about a run. */
export interface Extent {
  /** Size of each file, in bytes: a multiple of the largest block. */
  readonly sizeBytes: number;
  /** Memory of the guest, in MiB. */
  readonly memoryMiB: number;
  /** Samples of each cell. */
  readonly repetitions: number;
  /** Runs of each cell before its samples. */
  readonly warmups: number;
}

const MIB = 2 ** 20;

/** Files are so much larger than the guest's memory in the paper. */
export const PAPER_RATIO = 4;

/** Least memory of a guest that has all modules of all series, in MiB. */
export const LEAST_MEMORY_MIB = 224;

/** Extents by name. */
export const PRESETS: Readonly<Record<Preset, Extent>> = {
  ci: { sizeBytes: 4 * MIB, memoryMiB: 320, repetitions: 1, warmups: 0 },
  quick: { sizeBytes: 32 * MIB, memoryMiB: 320, repetitions: 6, warmups: 0 },
  paper: { sizeBytes: 8192 * MIB, memoryMiB: 2048, repetitions: 10, warmups: 1 },
};

/** Extent of a run outside presets, but for its size. */
export const OWN: Pick<Extent, "repetitions" | "warmups"> = { repetitions: 10, warmups: 1 };

/**
 * Scale the guest's memory to the size of the files, as in the paper.
 *
 * @param sizeBytes Size of each file.
 * @returns Memory in MiB, not less than a guest needs.
 */
export function memoryFor(sizeBytes: number): number {
  return Math.max(LEAST_MEMORY_MIB, Math.ceil(sizeBytes / PAPER_RATIO / MIB));
}

/** Kinds of series: what carries the bytes, whatever is asked of it. */
export const FAMILIES = [
  "virtfs-qemu",
  "virtfs",
  "nfs",
  "cifs",
  "block",
  "tcp",
  "virtiofs",
] as const;

/** A kind of series. */
export type Family = typeof FAMILIES[number];

/** Families of 9P, which are measured once for each msize. */
const NINEP: readonly Family[] = ["virtfs-qemu", "virtfs", "tcp"];

/** Sizes of 9P messages that are asked for; null is the kernel's default. */
export const MSIZES: readonly (number | null)[] = [null, 512_000];

/** A series: its name in results, and what it is. */
export interface Series {
  /** Name: `virtfs@512000`, `virtfs-qemu@default`, `nfs`, … */
  readonly name: string;
  /** What carries the bytes. */
  readonly family: Family;
  /** Largest 9P message to ask for; null for the default and where there is none. */
  readonly msize: number | null;
}

/**
 * List the series of families.
 *
 * @param families Which.
 */
export function seriesOf(families: readonly Family[]): Series[] {
  return families.flatMap((family): Series[] => {
    if (!NINEP.includes(family)) return [{ name: family, family, msize: null }];
    return MSIZES.map((msize) => ({ name: `${family}@${msize ?? "default"}`, family, msize }));
  });
}

/** A series with a number of file systems at once. */
export interface Column {
  /** The series. */
  readonly series: Series;
  /** File systems. */
  readonly fileSystems: number;
  /** Whether Figures 2 and 3 show it. */
  readonly isAlone: boolean;
  /** Whether Figures 4 and 5 show it. */
  readonly isBesideBlock: boolean;
}

/** Name of a column's setup in results. */
export function setupId({ series, fileSystems }: Column): string {
  return `${series.name}/${fileSystems}`;
}

/**
 * List the columns that the figures have.
 *
 * @param extra Families that no figure of the paper has, measured beside those of Figures 2 and 3.
 */
export function figureColumns(extra: readonly Family[] = []): Column[] {
  const columns: Column[] = [];
  const families: Family[] = ["virtfs-qemu", "virtfs", "nfs", "cifs", "block", ...extra];
  for (const series of seriesOf(families)) {
    const isVirtfs = series.family === "virtfs" || series.family === "virtfs-qemu";
    const isBesideBlock = isVirtfs || series.family === "block";
    for (const fileSystems of isBesideBlock ? FIGURE_FILE_SYSTEMS : [1]) {
      const isAlone = fileSystems === 1 && series.family !== "block" &&
        !extra.includes(series.family);
      columns.push({ series, fileSystems, isAlone, isBesideBlock });
    }
  }
  return columns;
}

/** One writing and reading of a file by one column: gives a sample of two cells. */
export interface Turn {
  /** Name of the column's setup. */
  readonly setup: string;
  /** Block size, in bytes. */
  readonly blockBytes: number;
  /** Repetition it counts for; below 0 it is a warm-up. */
  readonly round: number;
}

/** All turns of a run, in their order: every round has every column and block size once. */
export function turnsOf(
  columns: readonly Column[],
  extent: Extent,
  seed: number,
): Turn[] {
  const turns: Turn[] = [];
  const random = mulberry(seed);
  for (let round = -extent.warmups; round < extent.repetitions; round++) {
    const some: Turn[] = columns.flatMap((column) =>
      FIGURE_BLOCKS.map((blockBytes) => ({ setup: setupId(column), blockBytes, round }))
    );
    shuffle(some, random);
    turns.push(...some);
  }
  return turns;
}

/**
 * Make the cells of a run, empty.
 *
 * @param columns What is measured.
 * @param sizeBytes Size of each file.
 * @param fsync Whether dd waits until what it has written is on stable storage.
 */
export function emptyCells(
  columns: readonly Column[],
  sizeBytes: number,
  fsync: boolean,
): Cell[] {
  return columns.flatMap((column) =>
    FIGURE_BLOCKS.flatMap((blockBytes) =>
      (["write", "read"] as const).map((operation): Cell => ({
        figures: figuresOf(column, operation),
        operation,
        blockBytes,
        fileSystems: column.fileSystems,
        series: column.series.name,
        setup: setupId(column),
        sizeBytes,
        fsync: fsync && operation === "write",
        warmups: [],
        samples: [],
        missing: null,
      }))
    )
  );
}

function figuresOf(column: Column, operation: "read" | "write"): Cell["figures"] {
  const figures: ("2" | "3" | "4" | "5")[] = [];
  if (column.isAlone) figures.push(operation === "read" ? "2" : "3");
  if (column.isBesideBlock) figures.push(operation === "read" ? "4" : "5");
  return figures;
}

/**
 * Leave out the turns whose samples are there.
 *
 * @param turns All turns.
 * @param cells Cells of an earlier part of the run.
 */
export function turnsLeft(turns: readonly Turn[], cells: readonly Cell[]): Turn[] {
  const had = new Map<string, { samples: number; warmups: number }>();
  for (const cell of cells) {
    // Both cells of a turn get their samples together.
    if (cell.operation !== "read") continue;
    const count = { samples: cell.samples.length, warmups: cell.warmups.length };
    had.set(`${cell.setup} ${cell.blockBytes}`, count);
  }
  return turns.filter(({ setup, blockBytes, round }) => {
    const count = had.get(`${setup} ${blockBytes}`);
    if (count === undefined) return true;
    const kind = round < 0 ? "warmups" : "samples";
    if (count[kind] === 0) return true;
    count[kind]--;
    return false;
  });
}

/** Key of the cell of a turn, as `cellKey` makes it. */
export function cellKeyOf(
  column: Column,
  turn: Turn,
  operation: "read" | "write",
): string {
  return cellKey({
    operation,
    blockBytes: turn.blockBytes,
    fileSystems: column.fileSystems,
    series: column.series.name,
  });
}

/** Random numbers from 0 up to 1 that are the same for the same seed. */
function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffle<T>(items: T[], random: () => number): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
}
