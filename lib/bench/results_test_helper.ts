/**
 * Results made up for tests.
 *
 * @module
 */
import { emptySetup } from "./results.ts";
import { RESULTS_SCHEMA } from "./results_schema.ts";
import type { Cell, Results, Sample, Setup } from "./results_types.ts";

/** A sample of a value; the rest follows from it. */
export function sampleOf(value: number, order = 0, bytes = 1_000_000): Sample {
  const seconds = bytes / value / 1e6;
  return {
    order,
    value,
    seconds,
    bytes,
    outlier: "none",
    raw: [`${bytes} bytes (1.0 MB, 977 KiB) copied, ${seconds} s, ${value} MB/s`],
    startedAt: null,
    hostCache: { state: "cold", verified: true, method: "mincore", residentBytes: 0 },
    guestCache: { state: "cold", verified: true, method: "remounted", residentBytes: 0 },
  };
}

/** A setup that says as little as it may. */
export function setupOf(series: string, fileSystems = 1, rest: Partial<Setup> = {}): Setup {
  return {
    ...emptySetup(series, fileSystems),
    backing: {
      kind: "image",
      fileSystem: "ext4",
      hostFileSystem: "ext4",
      isDirect: true,
      isRotational: null,
    },
    ...rest,
  };
}

/** A cell with samples of the values. */
export function cellOf(
  series: string,
  values: readonly number[],
  rest: Partial<Cell> = {},
): Cell {
  const fileSystems = rest.fileSystems ?? 1;
  return {
    figures: [],
    operation: "read",
    blockBytes: 65_536,
    fileSystems,
    series,
    setup: `${series}/${fileSystems}`,
    sizeBytes: 1_000_000,
    fsync: false,
    warmups: [],
    samples: values.map((value, order) => sampleOf(value, order)),
    missing: values.length === 0 ? "nobody asked for it" : null,
    ...rest,
  };
}

/** Whole results with the cells; their setups are made up too. */
export function resultsOf(cells: readonly Cell[], rest: Partial<Results> = {}): Results {
  const setups = new Map(
    cells.map((cell) => [cell.setup, setupOf(cell.series, cell.fileSystems)]),
  );
  return {
    schema: RESULTS_SCHEMA,
    kind: "figures",
    state: "complete",
    stateReason: null,
    startedAt: "2026-01-02T03:04:05.000Z",
    finishedAt: "2026-01-02T04:05:06.000Z",
    commandLine: ["virtfs", "bench", "figures"],
    seed: 1,
    tool: { name: "virtfs", version: "0", commit: null, isDirty: null, deno: "2", v8: "14" },
    host: {
      os: "linux",
      kernel: "6.1.0",
      architecture: "x86_64",
      cpu: "Made-up CPU",
      cores: 2,
      memoryBytes: 8 * 2 ** 30,
      governor: null,
      virtualization: null,
      loadBefore: 0.5,
      loadAfter: 1.5,
    },
    guest: {
      kernel: "6.1.0",
      distribution: null,
      cpus: 1,
      memoryBytes: 2 ** 28,
      dd: "BusyBox v1.35.0",
      accelerator: "kvm",
      acceleratorReason: "a probe guest booted",
      qemu: "7.2.0",
      machine: null,
      network: "tap",
    },
    software: {},
    plan: { preset: "own", repetitions: 10, warmups: 0, sizeBytes: 1_000_000, memoryRatio: 4 },
    notes: [],
    setups: [...setups.values()],
    cells,
    measurements: [],
    claims: [],
    models: [],
    ...rest,
  };
}
