/**
 * Finding bugs in 9P servers, clients, codecs and virtio rings: engines, oracles, shrinking, reports.
 *
 * @module
 */
export { captureOf, casesOfCapture } from "./capture.ts";
export {
  type Case,
  formatCase,
  formatStep,
  MAX_CONNECTIONS,
  packCase,
  parseCase,
  scriptOf,
  type Step,
  unpackCase,
} from "./case.ts";
export { type ClientCase, formatClientCase, type LiedTo, parseClientCase } from "./clients_case.ts";
export { CACHE_MODES, type CacheMode, mountOf } from "./clients_guest.ts";
export {
  type KnownFinding,
  type LinuxClientOptions,
  type LinuxClientReport,
  replayLinuxClient,
  runLinuxClient,
} from "./clients_linux.ts";
export {
  type Bend,
  BENDS,
  Liar,
  type LiarOptions,
  type Lie,
  LyingServer,
  type LyingServerOptions,
} from "./clients_mischief.ts";
export {
  type MaliciousServerOptions,
  type MaliciousServerReport,
  replayOwnClient,
  runMaliciousServer,
} from "./clients_run.ts";
export { parseCodecCase } from "./codec_case.ts";
export {
  FrameMaker,
  type FrameOptions,
  type Mutation,
  MUTATIONS,
  type Specimen,
} from "./codec_frames.ts";
export {
  type Codec,
  CODEC_CHECKS,
  type CodecCheck,
  type CodecFault,
  CodecOracle,
  OUR_CODEC,
} from "./codec_oracle.ts";
export {
  type CodecOff,
  type CodecOptions,
  type CodecReplayOptions,
  type CodecReport,
  replayCodec,
  runCodec,
} from "./codec_run.ts";
export { type CodecFramesOptions, type CodecFramesReport, runCodecFrames } from "./codec_target.ts";
export { type CodecSpecimen, DIGEST_CASES } from "./codec_task.ts";
export * from "./conform.ts";
export { CorpusFolder, type CorpusState } from "./corpus.ts";
export * from "./differential.ts";
export { fuzzModel, type FuzzOptions, type Subject, UnguidedCases } from "./engine_model.ts";
export { type Fixture, TemporaryExport } from "./export.ts";
export { bucketOf, type Found, readReproducer, type Report, slugOf } from "./findings.ts";
export { generateCase, type GenerateOptions } from "./generate.ts";
export { MODEL_ORACLES } from "./oracles/all.ts";
export type { Complaint } from "./oracles/oracle.ts";
export { type Preset, type PresetOptions, type PresetPart, PRESETS, runPreset } from "./preset.ts";
export { type Errors, type Profile, profileOf, PROFILES } from "./profiles.ts";
export { Random } from "./random.ts";
export { Replayer, type ReplayOptions } from "./replay.ts";
export {
  formatFinding,
  formatProgress,
  formatReport,
  REPORT_FORMATS,
  type ReportFormat,
} from "./reports.ts";
export { RING_GROUPS, type RingGroup } from "./ring_catalogue.ts";
export type { Deed, DeedWord } from "./ring_deeds.ts";
export {
  type RingFault,
  RingPlayer,
  type RingPlayerOptions,
  type RingResult,
} from "./ring_player.ts";
export {
  formatRingTable,
  replayRing,
  type RingOptions,
  type RingReplay,
  type RingReport,
  type RingRow,
  runRing,
} from "./ring_run.ts";
export { RING_FILE, type RingStep } from "./ring_steps.ts";
export type { Outcome } from "./runner.ts";
export * from "./script.ts";
export * from "./script_files.ts";
export * from "./script_match.ts";
export * from "./script_own.ts";
export type { Health, HostView, RawConnection, Received, Resources, Target } from "./target.ts";
export {
  dialTarget,
  type DialTargetOptions,
  isLocal,
  type OwnOptions,
  OwnTarget,
  ownUser,
  parseTargetAddress,
  SpawnedTarget,
  type SpawnOptions,
  type TargetAddress,
} from "./target_kinds.ts";
export type * from "./types.ts";
