/**
 * Finding bugs in 9P servers, clients, codecs and virtio rings: engines, oracles, shrinking, reports.
 *
 * @module
 */
export type { Health, HostView, RawConnection, Received, Resources, Target } from "./target.ts";
export type * from "./types.ts";
export * from "./script.ts";
export * from "./script_files.ts";
export * from "./script_match.ts";
export * from "./script_own.ts";
export * from "./conform.ts";
export * from "./differential.ts";
export { TemporaryExport } from "./export.ts";
export { type Profile, profileOf, PROFILES } from "./profiles.ts";
export {
  dialTarget,
  type DialTargetOptions,
  isLocal,
  type OwnOptions,
  OwnTarget,
  parseTargetAddress,
  SpawnedTarget,
  type SpawnOptions,
  type TargetAddress,
} from "./target_kinds.ts";
