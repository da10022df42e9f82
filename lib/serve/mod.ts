/**
 * A server as a whole: its settings, what it tells, and its threads.
 *
 * @module
 */
export { Access } from "./access.ts";
export { parseConfiguration } from "./config.ts";
export { givenUp, launch, type LaunchOptions, outOfReach } from "./launcher.ts";
export { formatMetrics, METRICS_TYPE } from "./metrics.ts";
export { notifyManager } from "./notify.ts";
export {
  type AllowSettings,
  DEFAULT_MSIZE,
  type ExportSettings,
  type LogFormat,
  type LogLevel,
  MAX_MSIZE,
  MIN_MSIZE,
  quote,
  type ReadContext,
  type Setting,
  type SettingGroup,
  SETTINGS,
  type Settings,
  type SquashWho,
  type TagSettings,
  UsageError,
  ValueError,
} from "./settings.ts";
export { formatSandbox, NO_SANDBOX, type SandboxMode, type SandboxState } from "./sandbox.ts";
export { formatBytes, formatDuration, formatStatistics } from "./statistics.ts";
export { didYouMean, nearest } from "./suggest.ts";
export { formatNetwork, type Network, overlap, parseNetwork } from "./networks.ts";
export type {
  AccessRules,
  BridgeAddress,
  DeviceAddress,
  DeviceConfiguration,
  ExportConfiguration,
  IdRange,
  ListenAddress,
  LogEvent,
  MessageStatistics,
  Multidevs,
  RunningServer,
  SecurityModel,
  ServeAddress,
  ServeConfiguration,
  Squash,
  Statistics,
} from "./types.ts";
export { type StartOptions, startServer, tryListening } from "./server.ts";
export type { TraceOptions } from "./tracing.ts";
