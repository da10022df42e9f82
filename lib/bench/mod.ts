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
  shuffled,
  summarize,
  type Summary,
} from "./statistics.ts";
export { short, shown, sizeText, table, timeText } from "./tables.ts";
export {
  type Change,
  type ComparedResults,
  type CompareOptions,
  compareResults,
  type Comparison,
  formatComparison,
  measurementKey,
} from "./compare.ts";
export { cautionsOf, finishResults } from "./finish.ts";
export {
  type CellName,
  type ClaimedRatio,
  emptyBars,
  type FigureId,
  figuresOf,
  isVirtfs,
  judgeClaims,
  type Operation,
  PAPER_BLOCKS,
  PAPER_CLAIMS,
  PAPER_FIGURES,
  PAPER_MEMORY_RATIO,
  PAPER_SIZE,
  type PaperBar,
  type PaperBars,
  type PaperClaim,
  type PaperFigure,
  parseBars,
  VIRTFS_VARIANTS,
} from "./paper.ts";
export { seriesLabel } from "./chart.ts";
export { makeReport, type ReportFile } from "./report.ts";
export { hostFacts, loadNow, toolFacts } from "./facts.ts";
export { measureMicro, type MicroOptions } from "./micro_run.ts";
export {
  ALL_RPC_OPERATIONS,
  measureRpc,
  RPC_OPERATIONS,
  type RpcOptions,
  type RpcTarget,
} from "./rpc.ts";
export { diagnose, type Diagnosis, type Finding } from "./doctor.ts";
export {
  type Column,
  type Extent,
  FAMILIES,
  type Family,
  LEAST_MEMORY_MIB,
  memoryFor,
  OWN,
  type Preset,
  PRESETS,
  type Series,
} from "./figures_plan.ts";
export {
  type FiguresListener,
  type FiguresOptions,
  type FiguresProgress,
  ResumeError,
  runFigures,
} from "./figures_run.ts";
