/**
 * Measuring: results files, statistics, the paper's claims, reports and loads.
 *
 * @module
 */
export {
  cellKey,
  formatResults,
  parseResults,
  readResults,
  ResultsError,
  writeResults,
} from "./results.ts";
export { RESULTS_SCHEMA } from "./results_schema.ts";
export type * from "./results_types.ts";
