/**
 * Observing 9P: captures read and written, streams put together again, requests and replies paired,
 * told, counted and judged.
 *
 * @module
 */
export { Account, formatProblem, type Problem, type ProblemName, PROBLEMS } from "./account.ts";
export * from "./chosen.ts";
export { Collector, type RingHandle } from "./collector.ts";
export * from "./csv_lines.ts";
export {
  diffCaptures,
  type Difference,
  type DiffLine,
  diffLines,
  Digest,
  formatDifference,
} from "./diff.ts";
export { ExchangeRecord } from "./exchange.ts";
export { FileTallies, FileTally } from "./file_tally.ts";
export * from "./filter.ts";
export { FilterError } from "./filter_error.ts";
export { Budget, Framer, type FramerOptions } from "./framer.ts";
export { nameOfType, payloadLength } from "./half.ts";
export { Histogram, type Octave } from "./histogram.ts";
export { importLog, type ImportReport } from "./import_log.ts";
export { injecting, type Injection, parseInjection } from "./inject.ts";
export { captureInterface, type InterfaceOptions, type InterfaceSink } from "./interface.ts";
export { formatAddress, formatEndpoint } from "./ip.ts";
export * from "./json_lines.ts";
export * from "./json_read.ts";
export { TRACE_SCHEMA } from "./json_schema.ts";
export { Last, Rotate, type RotatedFile, type RotateOptions } from "./keep.ts";
export { LINKTYPES } from "./link.ts";
export { formatFinding, Lint, type Report } from "./lint.ts";
export { Packets, type PacketSink } from "./packets.ts";
export type { WriteBytes } from "./pcapng_blocks.ts";
export { PCAP_FORMATS, type PcapFormat, PcapngFile, type PcapngOptions } from "./pcapng_write.ts";
export { PerfettoFile, type PerfettoOptions } from "./perfetto.ts";
export { type ProxyAddress, type ProxyOptions, type RunningProxy, startProxy } from "./proxy.ts";
export type { ProxyTarget } from "./proxy_protocol.ts";
export {
  type CaptureOptions,
  type CaptureReport,
  type CaptureSource,
  readCapture,
} from "./read_capture.ts";
export {
  type Ends,
  RecordReader,
  RecordWriter,
  type RecordWriterOptions,
  type WhenFull,
} from "./record_ring.ts";
export { Redact, REDACTABLE, type RedactOptions } from "./redact.ts";
export {
  formatReplay,
  Recording,
  type ReplayDifference,
  type ReplayOptions,
  type ReplayResult,
} from "./replay.ts";
export { type HtmlOptions, HtmlReport } from "./report_html.ts";
export {
  explainRule,
  isRule,
  listRules,
  type Rule,
  RULE_NAMES,
  type RuleName,
  RULES,
  SEVERITIES,
  type Severity,
} from "./rules.ts";
export * from "./session.ts";
export { type ErrnoTally, MessageTally, Summary, type SummaryOptions } from "./summary.ts";
export {
  type ErrorJson,
  type FileJson,
  formatSummary,
  type MessageJson,
  SUMMARY_SORTS,
  type SummaryJson,
  type SummarySort,
  type SummaryStyle,
  summaryToJson,
} from "./summary_text.ts";
export { observed, type TapOptions } from "./tap.ts";
export { DEFAULT_PORTS, type TcpCounts, type TcpOptions } from "./tcp.ts";
export * from "./text.ts";
export { type Stamp, TextLines, type TextOptions } from "./text_lines.ts";
export { Top, type TopOptions } from "./top.ts";
export type * from "./types.ts";
export { WIRESHARK_NAMES, wiresharkName } from "./wireshark.ts";
