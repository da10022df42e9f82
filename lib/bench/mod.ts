/**
 * Measuring: results files, statistics, the paper's claims, reports and loads.
 *
 * @module
 */
export { fitModel, type Model, type TimedBlock } from "./model.ts";
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
export {
  type Estimate,
  generator,
  mannWhitney,
  median,
  medianOf,
  noiseOf,
  type OutlierClass,
  outliersOf,
  quantile,
  type RankTest,
  ratioOf,
  summarize,
  type Summary,
} from "./statistics.ts";
export { short, shown, sizeText, table, timeText } from "./tables.ts";
