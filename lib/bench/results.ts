/**
 * Results files: read with suspicion, written so that an interruption leaves the old or the new.
 *
 * @module
 */
import { results as schema, RESULTS_SCHEMA } from "./results_schema.ts";
import type { Cell, Results, Setup } from "./results_types.ts";

/** Most bytes of a results file that is read. */
const MOST_BYTES = 64 << 20;
/** Most faults that a message lists. */
const MOST_FAULTS = 3;

/** A results file that cannot be used, in one line. */
export class ResultsError extends Error {
  /** Name of the class. */
  override readonly name = "ResultsError";
}

/**
 * Reads the text of a results file.
 *
 * @param name What to call it in errors.
 * @throws {ResultsError} If it is no JSON, of another version, or not as the schema has it.
 */
export function parseResults(text: string, name: string): Results {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ResultsError(`Cannot read ${name}: it is no JSON`, { cause: error });
  }
  const said = value !== null && typeof value === "object" && "schema" in value
    ? value.schema
    : undefined;
  if (said === undefined) {
    throw new ResultsError(`Cannot read ${name}: it is no results file, it names no "schema"`);
  }
  if (said !== RESULTS_SCHEMA) {
    const shown = JSON.stringify(said)?.slice(0, 60) ?? "nothing";
    throw new ResultsError(`Cannot read ${name}: its schema is ${shown}, not "${RESULTS_SCHEMA}"`);
  }
  const read = schema.safeParse(value);
  if (!read.success) {
    const faults = read.error.issues.slice(0, MOST_FAULTS).map(({ path, message }) =>
      `${path.length === 0 ? "the whole" : pathText(path)}: ${message}`.slice(0, 200)
    );
    const more = read.error.issues.length - faults.length;
    const rest = more > 0 ? ` (and ${more} more)` : "";
    throw new ResultsError(`Cannot read ${name}: ${faults.join("; ")}${rest}`);
  }
  checkReferences(read.data, name);
  return read.data;
}

/** Path of a value as somebody would write it: `cells[3].samples[0].value`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.map((part, i) =>
    typeof part === "number" ? `[${part}]` : i === 0 ? String(part) : `.${String(part)}`
  ).join("");
}

/** Checks what a schema cannot say. */
function checkReferences(results: Results, name: string): void {
  const setups = new Map(results.setups.map((setup) => [setup.id, setup]));
  if (setups.size < results.setups.length) {
    throw new ResultsError(`Cannot read ${name}: two setups have one id`);
  }
  const cells = new Set<string>();
  results.cells.forEach((cell, i) => {
    const setup = setups.get(cell.setup);
    const fault = setup === undefined
      ? `there is no setup "${cell.setup}"`
      : setup.series !== cell.series || setup.fileSystems !== cell.fileSystems
      ? `its setup "${cell.setup}" is of another series or number of file systems`
      : cells.has(cellKey(cell))
      ? "an earlier cell is the same"
      : undefined;
    if (fault !== undefined) throw new ResultsError(`Cannot read ${name}: cells[${i}]: ${fault}`);
    cells.add(cellKey(cell));
  });
}

/** What tells cells apart: `read 8192 1 virtfs@512000`. */
export function cellKey(
  cell: Pick<Cell, "operation" | "blockBytes" | "fileSystems" | "series">,
): string {
  const { operation, blockBytes, fileSystems, series } = cell;
  return `${operation} ${blockBytes} ${fileSystems} ${series}`;
}

/** A setup of which nothing is known but what it would be. */
export function emptySetup(series: string, fileSystems: number): Setup {
  return {
    id: `${series}/${fileSystems}`,
    series,
    fileSystems,
    server: null,
    protocol: null,
    transport: null,
    msizeAsked: null,
    msizeObtained: null,
    cacheMode: null,
    rsize: null,
    wsize: null,
    mountOptions: null,
    exportOptions: null,
    backing: {
      kind: "folder",
      fileSystem: null,
      hostFileSystem: null,
      isDirect: false,
      isRotational: null,
    },
  };
}

/**
 * Reads a results file.
 *
 * @throws {ResultsError} If it cannot be read or is not as {@linkcode parseResults} wants it.
 */
export async function readResults(path: string): Promise<Results> {
  let bytes: Uint8Array;
  try {
    const { size, isFile } = await Deno.stat(path);
    if (!isFile) throw new ResultsError(`Cannot read ${path}: it is no file`);
    if (size > MOST_BYTES) {
      throw new ResultsError(`Cannot read ${path}: it is larger than ${MOST_BYTES} bytes`);
    }
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof ResultsError) throw error;
    throw new ResultsError(`Cannot read ${path}: ${reason(error)}`, { cause: error });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ResultsError(`Cannot read ${path}: it is no UTF-8`, { cause: error });
  }
  return parseResults(text, path);
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Error && "code" in error && error.code === "ENOSPC") {
    return "the disk is full; what was there before is there still";
  }
  if (error instanceof Error && "code" in error && error.code === "EDQUOT") {
    return "the quota is used up; what was there before is there still";
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Text of a results file.
 *
 * Keys stand in the order of the schema, however the object was made.
 *
 * @throws {ResultsError} If the results are not as the schema has them.
 */
export function formatResults(results: Results): string {
  // Through the reader: what is written can be read, and its keys are in order.
  const text = JSON.stringify(parseResults(JSON.stringify(results), "these results"), null, 1);
  return `${text}\n`;
}

/**
 * Writes a results file, whole or not at all: a reader sees the old file or the new one, even if
 * the power goes.
 *
 * @throws {ResultsError} If the results are not as the schema has them, or cannot be written.
 */
export function writeResults(path: string, results: Results): void {
  const bytes = new TextEncoder().encode(formatResults(results));
  const fresh = `${path}.${Deno.pid}.new`;
  try {
    {
      using file = Deno.openSync(fresh, { write: true, create: true, truncate: true });
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      file.syncDataSync();
    }
    Deno.renameSync(fresh, path);
  } catch (error) {
    try {
      Deno.removeSync(fresh);
    } catch {
      // It was never made.
    }
    throw new ResultsError(`Cannot write ${path}: ${reason(error)}`, { cause: error });
  }
}
