/**
 * What a run of the figures tells its laboratory, the process in namespaces of its own that has the
 * guest and the servers, and what that one tells it: lines of JSON.
 *
 * @module
 */
import type { Column, Turn } from "../figures_plan.ts";
import type { GuestFacts, Sample, Setup } from "../results_types.ts";

/** What to measure. */
export interface LabTask {
  /** Columns that turns name by their setup. */
  readonly columns: readonly Column[];
  /** Turns that are still to be taken, in their order. */
  readonly turns: readonly Turn[];
  /** Size of each file, in bytes. */
  readonly sizeBytes: number;
  /** Memory of the guest, in MiB. */
  readonly memoryMiB: number;
  /** Whether dd waits until what it has written is on stable storage. */
  readonly fsync: boolean;
  /** How the guest is executed. */
  readonly accelerator: "kvm" | "tcg";
  /** Folder for sockets, configurations and, unless `backing` is given, the bytes. */
  readonly folder: string;
  /** Folder of the host for the bytes; memory or, without loop devices, `folder` if null. */
  readonly backing: string | null;
  /** Whether mounts, loop devices and a tap device can be made: root, in namespaces of our own. */
  readonly isPrivileged: boolean;
  /** Longest wait for the guest to be ready, in milliseconds. */
  readonly bootMs: number;
}

/** A sample that has no place in a cell yet. */
export type RawSample = Omit<Sample, "order" | "outlier">;

/** What the laboratory tells. */
export type LabEvent =
  /** What it is doing before the first turn. */
  | { readonly kind: "doing"; readonly what: string }
  /** The guest runs. */
  | {
    readonly kind: "ready";
    readonly guest: Omit<GuestFacts, "acceleratorReason">;
    readonly software: Readonly<Record<string, string>>;
    readonly notes: readonly string[];
  }
  /** A series cannot be measured. */
  | { readonly kind: "absent"; readonly series: string; readonly reason: string }
  /** How a column was really set up, before its first sample. */
  | { readonly kind: "setup"; readonly setup: Setup }
  /** A turn was taken. */
  | {
    readonly kind: "taken";
    readonly turn: Turn;
    readonly write: RawSample;
    readonly read: RawSample;
  }
  /** It cannot go on. */
  | { readonly kind: "failed"; readonly reason: string }
  /** All turns were taken. */
  | { readonly kind: "over" };
