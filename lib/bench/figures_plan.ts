/**
 * What a run of the figures measures: presets, series, cells and the order of it all.
 *
 * @module
 */
import { figuresOf, PAPER_BLOCKS, PAPER_FIGURES, PAPER_MEMORY_RATIO, PAPER_SIZE } from "./paper.ts";
import type { Cell } from "./results_types.ts";
import { generator } from "./statistics.ts";

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

/** Least memory of a guest that has all modules of all series, in MiB. */
export const LEAST_MEMORY_MIB = 224;

/** Extents by name. */
export const PRESETS: Readonly<Record<Preset, Extent>> = {
  ci: { sizeBytes: 4 * MIB, memoryMiB: 320, repetitions: 1, warmups: 0 },
  quick: { sizeBytes: 16 * MIB, memoryMiB: 320, repetitions: 8, warmups: 1 },
  paper: { sizeBytes: PAPER_SIZE, memoryMiB: memoryFor(PAPER_SIZE), repetitions: 10, warmups: 1 },
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
  return Math.max(LEAST_MEMORY_MIB, Math.ceil(sizeBytes / PAPER_MEMORY_RATIO / MIB));
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

/** Families that the paper has. */
const PAPER_FAMILIES: readonly Family[] = ["virtfs-qemu", "virtfs", "nfs", "cifs", "block"];

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
  for (const series of seriesOf([...new Set([...PAPER_FAMILIES, ...extra])])) {
    const counts = countsOf(series);
    for (const fileSystems of counts) columns.push({ series, fileSystems });
  }
  return columns;
}

/** Numbers of file systems with which some figure has a series; one if none has it. */
function countsOf(series: Series): number[] {
  const most = Math.max(...PAPER_FIGURES.flatMap(({ fileSystems }) => fileSystems));
  const all = Array.from({ length: most }, (_, index) => index + 1);
  const shown = all.filter((fileSystems) => {
    return PAPER_BLOCKS.some((blockBytes) =>
      figuresOf({ operation: "read", blockBytes, fileSystems, series: series.name }).length > 0
    );
  });
  return shown.length === 0 ? [1] : shown;
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
  const random = generator(seed);
  for (let round = 0 - extent.warmups; round < extent.repetitions; round++) {
    const some: Turn[] = columns.flatMap((column) =>
      PAPER_BLOCKS.map((blockBytes) => ({ setup: setupId(column), blockBytes, round }))
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
    PAPER_BLOCKS.flatMap((blockBytes) =>
      (["write", "read"] as const).map((operation): Cell => ({
        figures: figuresOf({
          operation,
          blockBytes,
          fileSystems: column.fileSystems,
          series: column.series.name,
        }),
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

function shuffle<T>(items: T[], random: () => number): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
}
