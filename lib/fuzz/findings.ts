/**
 * Findings of a run, one for each bucket, and the run as a whole.
 *
 * @module
 */
import { type Case, formatCase, parseCase } from "./case.ts";
import type { Complaint } from "./oracles/oracle.ts";
import type { Finding, Verdict } from "./types.ts";

/** A finding with what the run knows of it. */
export interface Found extends Finding {
  /** What it means for the target. */
  readonly verdict: Verdict;
  /** Seconds from the beginning of the run. */
  readonly afterSeconds: number;
  /** Cases from the beginning of the run. */
  readonly afterCases: number;
  /** How often it was met. */
  times: number;
}

/** A run, for reports. */
export interface Report {
  /** What was fuzzed. */
  readonly target: string;
  /** By which it can be had again. */
  readonly seed: number;
  /** How long it took. */
  readonly seconds: number;
  /** Cases run. */
  readonly cases: number;
  /** Messages sent. */
  readonly messages: number;
  /** States of the target seen. */
  readonly states: number;
  /** Pairs of states seen, one after the other. */
  readonly pairs: number;
  /** Cases by what came of them. */
  readonly verdicts: Readonly<Record<Verdict, number>>;
  /** One for each bucket, in the order of finding. */
  readonly findings: readonly Found[];
}

/** Name of the bucket of a complaint. */
export function bucketOf({ oracle, cause }: Complaint): string {
  return `${oracle}: ${cause}`;
}

/** A finding without the way to it. */
type Head = Omit<Finding, "reproducer" | "messages">;

/** The lines that every reproducer begins with. */
export function formatHead({ message, oracle, severity, origin, bucket }: Head): string {
  const head = [
    `# ${message}`,
    `# oracle ${oracle}, severity ${severity}, ${origin}`,
    `# bucket ${bucket}`,
  ];
  // What is said of it may have line breaks that would end the comment.
  return head.map((line) => `${line.replaceAll(/[\r\n]+/g, " ")}\n`).join("");
}

/** The text of a reproducer. */
export function formatReproducer(
  finding: Head,
  steps: Case,
  answers: ReadonlyMap<number, readonly string[]>,
): string {
  return `${formatHead(finding)}${formatCase(steps, answers)}`;
}

/** The bucket that a reproducer is said to show; nothing if it does not say. */
export function readBucket(text: string): string | undefined {
  return /^# bucket (.*)$/m.exec(text)?.[1];
}

/** The oracle and the bucket that a reproducer is said to show; nothing if it does not say. */
export function readReproducer(text: string): { steps: Case; bucket: string | undefined } {
  return { steps: parseCase(text), bucket: readBucket(text) };
}

/** Name of a file for a bucket. */
export function slugOf(bucket: string): string {
  const words = bucket.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "");
  // Long ones may begin alike.
  let hash = 0x811c9dc5;
  for (let i = 0; i < bucket.length; i++) {
    hash = Math.imul(hash ^ bucket.charCodeAt(i), 0x01000193) >>> 0;
  }
  return `${words.slice(0, 60)}-${hash.toString(16).padStart(8, "0")}`;
}
