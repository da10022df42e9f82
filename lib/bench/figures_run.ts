/**
 * A run of the paper's figures: what is left to measure is measured by a laboratory, and what comes
 * is saved as it comes.
 *
 * @module
 */
import { chooseMachine, type MachineChoice } from "./doctor.ts";
import { hostFacts, loadNow, toolFacts } from "./facts.ts";
import { finishResults } from "./finish.ts";
import {
  type Column,
  emptyCells,
  type Extent,
  type Family,
  figureColumns,
  type Preset,
  setupId,
  type Turn,
  turnsLeft,
  turnsOf,
} from "./figures_plan.ts";
import { LaunchedLab } from "./lab/launch.ts";
import { removeLeftLoopDevices } from "./lab/leftovers.ts";
import type { LabEvent, LabTask, RawSample } from "./lab/protocol.ts";
import { emptySetup, writeResults } from "./results.ts";
import type { Cell, Results, Sample, Setup } from "./results_types.ts";

const MIB = 2 ** 20;

/** Share of the memory that is free which stores may take. */
const MEMORY_SHARE = 0.5;

/** Time for the guest to be ready, in milliseconds. */
const BOOT_MS = 180_000;

/** What to run. */
export interface FiguresOptions {
  /** Name of the extent. */
  readonly preset: Preset | "own";
  /** Sizes and counts. */
  readonly extent: Extent;
  /** Families of series beside those of the paper. */
  readonly extra: readonly Family[];
  /** Determines the order of turns. */
  readonly seed: number;
  /** Whether dd waits until what it has written is on stable storage. */
  readonly fsync: boolean;
  /** How to execute the guest; `auto`: by KVM if a probe guest boots with it. */
  readonly accelerator: "auto" | "kvm" | "tcg";
  /** Folder for the bytes; memory if null and there is enough. */
  readonly backing: string | null;
  /** Words of the command line. */
  readonly commandLine: readonly string[];
  /** Version of this program. */
  readonly version: string;
  /** Where results are saved. */
  readonly path: string;
  /** Results of an earlier part of the run; null starts anew. */
  readonly earlier: Results | null;
  /** Time for the guest to be ready, in milliseconds; 180 s by default. */
  readonly bootMs?: number;
}

/** Is told how a run goes. */
export interface FiguresListener {
  /** What is being done before the first sample. */
  doing(what: string): void;
  /** Something to know, once. */
  note(text: string): void;
  /** A turn was taken. */
  taken(progress: FiguresProgress): void;
}

/** How far a run is. */
export interface FiguresProgress {
  /** Turns taken, those of earlier parts included. */
  readonly done: number;
  /** All turns. */
  readonly total: number;
  /** Seconds that the others will take, by what those of this part took. */
  readonly secondsLeft: number;
  /** Series, number of file systems. */
  readonly column: Column;
  /** Block size, in bytes. */
  readonly blockBytes: number;
  /** Throughputs of the turn, in MB/s. */
  readonly write: number;
  /** Throughputs of the turn, in MB/s. */
  readonly read: number;
}

/** An earlier part measured something else than what is asked for now. */
export class ResumeError extends Error {
  /** Name of the class. */
  override readonly name = "ResumeError";
}

/**
 * Measure the figures.
 *
 * Whatever ends it early (the signal, the guest, a server, a full disk), the samples so far are in
 * the file, and all that was started is gone.
 *
 * @param options What to run.
 * @param listener Is told how it goes.
 * @param signal Ends the run.
 * @returns Results, partial if something ended it, as they are in the file.
 * @throws {ResumeError} If earlier results are those of another run.
 */
export async function runFigures(
  options: FiguresOptions,
  listener: FiguresListener,
  signal: AbortSignal,
): Promise<Results> {
  const { extent, seed } = options;
  const columns = figureColumns(options.extra);
  const turns = turnsOf(columns, extent, seed);
  listener.doing("looking at this machine");
  const machine = await chooseMachine(options.accelerator, (what) => listener.doing(what));
  for (const note of machine.notes) listener.note(note);
  if (options.earlier !== null) checkPlace(options.earlier, machine);
  if (machine.isPrivileged) {
    const { removed, held } = await removeLeftLoopDevices();
    if (removed.length > 0) {
      listener.note(`removed what a killed run has left: ${removed.join(", ")}`);
    }
    if (held.length > 0) {
      listener.note(
        `the kernel holds what a killed run has left, until it starts anew: ${held.join(", ")}`,
      );
    }
  }
  const stores = Math.max(...columns.map(({ fileSystems }) => fileSystems));
  const storeBytes = stores * (extent.sizeBytes * 2.2 + 64 * MIB);
  const backing = options.backing ?? placeFor(storeBytes, machine.isPrivileged);
  if (backing !== null && options.backing === null && machine.isPrivileged) {
    listener.note(`the files do not fit into half of the free memory: they lie in ${backing}`);
  }
  const record = new Record(await firstResults(options, columns, machine.notes), options.path);
  const left = turnsLeft(turns, record.results.cells);
  const task: Omit<LabTask, "folder"> = {
    columns,
    turns: left,
    sizeBytes: extent.sizeBytes,
    memoryMiB: extent.memoryMiB,
    fsync: options.fsync,
    accelerator: machine.accelerator,
    backing,
    isPrivileged: machine.isPrivileged,
    bootMs: options.bootMs ?? BOOT_MS,
  };
  record.save("it has not ended");
  if (left.length === 0) return record.finish(null);
  let reason: string | null = null;
  try {
    signal.throwIfAborted();
    await using lab = await LaunchedLab.start(task, backing === null ? storeBytes : 0);
    const stop = () => lab.stop();
    signal.addEventListener("abort", stop);
    try {
      let startedAt = performance.now();
      let taken = 0;
      for await (const event of lab.events()) {
        if (event.kind === "doing") listener.doing(event.what);
        if (event.kind === "absent") listener.note(`${event.series}: ${event.reason}`);
        if (event.kind === "failed") reason = event.reason;
        if (event.kind === "ready") {
          for (const note of event.notes) listener.note(note);
          startedAt = performance.now();
        }
        record.take(event, machine.acceleratorReason);
        if (event.kind !== "taken") continue;
        taken++;
        record.save("it has not ended");
        const { turn } = event;
        const column = columns.find((column) => setupId(column) === turn.setup);
        if (column === undefined) continue;
        listener.taken({
          done: turns.length - left.length + taken,
          total: turns.length,
          secondsLeft: (performance.now() - startedAt) / 1000 / taken * (left.length - taken),
          column,
          blockBytes: turn.blockBytes,
          write: event.write.value,
          read: event.read.value,
        });
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  } catch (error) {
    reason ??= signal.aborted ? null : error instanceof Error ? error.message : String(error);
    if (!signal.aborted && !isNamed(error)) {
      record.save(reason ?? "it ended early");
      throw error;
    }
  }
  if (signal.aborted) reason = `interrupted${interruptionOf(signal)}`;
  return record.finish(reason);
}

/** Refuses to mix samples of different machines in one cell. */
function checkPlace({ guest, host }: Results, machine: MachineChoice): void {
  const now = hostFacts();
  const network = machine.isPrivileged ? "tap" : "user";
  const differences: string[] = [];
  const compare = (what: string, before: string | undefined, after: string) => {
    if (before !== undefined && before !== after) {
      differences.push(`${what} was ${before} and is ${after}`);
    }
  };
  compare("the processor", host.cpu, now.cpu);
  compare("the kernel", host.kernel, now.kernel);
  compare("the accelerator", guest?.accelerator, machine.accelerator);
  compare("the network", guest?.network, network);
  if (differences.length > 0) throw new ResumeError(`Cannot resume: ${differences.join(", ")}`);
}

function interruptionOf(signal: AbortSignal): string {
  return typeof signal.reason === "string" ? ` by ${signal.reason}` : "";
}

function isNamed(error: unknown): boolean {
  return error instanceof Error && error.name === "LaunchFailure";
}

/** Folder for stores: none if they fit into memory. */
function placeFor(bytes: number, isPrivileged: boolean): string | null {
  const folder = Deno.env.get("TMPDIR") || "/tmp";
  // What lies in a tmpfs itself has no cache that could be dropped.
  if (!isPrivileged) return folder;
  return bytes <= Deno.systemMemoryInfo().available * MEMORY_SHARE ? null : folder;
}

async function firstResults(
  options: FiguresOptions,
  columns: readonly Column[],
  notes: readonly string[],
): Promise<Results> {
  const { extent, earlier } = options;
  const fresh: Results = {
    schema: "virtfs-bench/1",
    kind: "figures",
    state: "partial",
    stateReason: "it has not ended",
    startedAt: new Date().toISOString(),
    finishedAt: null,
    commandLine: options.commandLine,
    seed: options.seed,
    tool: await toolFacts(options.version),
    host: hostFacts(),
    guest: null,
    software: {},
    plan: {
      preset: options.preset,
      repetitions: extent.repetitions,
      warmups: extent.warmups,
      sizeBytes: extent.sizeBytes,
      memoryRatio: extent.sizeBytes / (extent.memoryMiB * MIB),
    },
    notes,
    setups: [],
    cells: emptyCells(columns, extent.sizeBytes, options.fsync),
    measurements: [],
    claims: [],
    models: [],
  };
  if (earlier === null) return fresh;
  const isSame = JSON.stringify([earlier.plan, earlier.seed, earlier.cells.map(shapeOf)]) ===
    JSON.stringify([fresh.plan, fresh.seed, fresh.cells.map(shapeOf)]);
  if (!isSame) {
    throw new ResumeError(
      "Cannot resume: the earlier part was asked for other series, sizes, repetitions or another " +
        "seed",
    );
  }
  // A series may be there now that was not there before.
  const cells = earlier.cells.map((cell) => ({ ...cell, missing: null }));
  return { ...earlier, cells, notes: [...new Set([...earlier.notes, ...notes])] };
}

function shapeOf(
  { operation, blockBytes, fileSystems, series, sizeBytes, fsync }: Cell,
): unknown[] {
  return [operation, blockBytes, fileSystems, series, sizeBytes, fsync];
}

/** Results under way, and the file that they are saved in. */
class Record {
  results: Results;
  readonly #path: string;
  #order: number;

  constructor(results: Results, path: string) {
    this.results = results;
    this.#path = path;
    const orders = results.cells.flatMap(({ samples, warmups }) =>
      [...samples, ...warmups].map(({ order }) => order)
    );
    this.#order = orders.reduce((most, order) => Math.max(most, order + 1), 0);
  }

  take(event: LabEvent, acceleratorReason: string): void {
    switch (event.kind) {
      case "ready": {
        const { guest, software, notes } = event;
        this.results = {
          ...this.results,
          guest: { ...guest, acceleratorReason },
          software: { ...this.results.software, ...software },
          notes: [...new Set([...this.results.notes, ...notes])],
        };
        break;
      }
      case "absent":
        this.#miss(
          ({ series, samples }) => series === event.series && samples.length < this.#wanted,
          event.reason,
        );
        break;
      case "setup":
        this.#setUp(event.setup);
        break;
      case "taken":
        this.#add(event.turn, "write", event.write);
        this.#add(event.turn, "read", event.read);
        break;
    }
  }

  /** Save what there is as a part of a run. */
  save(reason: string): void {
    writeResults(this.#path, whole({ ...this.results, state: "partial", stateReason: reason }));
  }

  /** Save all and judge it. */
  finish(reason: string | null): Results {
    this.#miss(
      ({ samples, missing }) => samples.length < this.#wanted && missing === null,
      reason?.split("\n")[0] ?? "it was not measured",
    );
    const few = this.results.cells.some(({ samples }) => samples.length < this.#wanted);
    const why = reason ?? (few ? "not every series could be measured" : null);
    this.results = finishResults(whole({
      ...this.results,
      state: why === null ? "complete" : "partial",
      stateReason: why,
      finishedAt: new Date().toISOString(),
      host: { ...this.results.host, loadAfter: loadNow() },
    }));
    writeResults(this.#path, this.results);
    return this.results;
  }

  /** Samples that each cell is to have. */
  get #wanted(): number {
    return this.results.plan?.repetitions ?? 0;
  }

  #miss(which: (cell: Cell) => boolean, reason: string): void {
    const cells = this.results.cells.map((cell) =>
      which(cell) ? { ...cell, missing: reason } : cell
    );
    this.results = { ...this.results, cells };
  }

  #setUp(setup: Setup): void {
    const setups = this.results.setups.filter(({ id }) => id !== setup.id);
    this.results = { ...this.results, setups: [...setups, setup] };
  }

  #add(turn: Turn, operation: "read" | "write", raw: RawSample): void {
    const sample: Sample = { ...raw, order: this.#order++, outlier: "none" };
    const cells = this.results.cells.map((cell): Cell => {
      const isIt = cell.setup === turn.setup && cell.blockBytes === turn.blockBytes &&
        cell.operation === operation;
      if (!isIt) return cell;
      return turn.round < 0
        ? { ...cell, warmups: [...cell.warmups, sample] }
        : { ...cell, samples: [...cell.samples, sample] };
    });
    this.results = { ...this.results, cells };
  }
}

/** Every cell needs its setup, and one that was never mounted has none: it gets an empty one. */
function whole(results: Results): Results {
  const had = new Set(results.setups.map(({ id }) => id));
  const absent = new Map<string, Setup>();
  for (const { setup: id, series, fileSystems } of results.cells) {
    if (!had.has(id)) absent.set(id, emptySetup(series, fileSystems));
  }
  const order = [...new Set(results.cells.map(({ setup }) => setup))];
  const setups = [...results.setups, ...absent.values()];
  setups.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
  return { ...results, setups };
}
