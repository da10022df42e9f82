/**
 * Counting what a test run did, from the JUnit report that `deno test` writes.
 *
 * @module
 */

/** How many tests ended in which way; a test's steps are part of the test. */
export interface Counts {
  /** Tests that ran and held. */
  readonly passed: number;
  /** Tests that ran and did not hold. */
  readonly failed: number;
  /** Tests and steps that were not run though they are there. */
  readonly skipped: number;
}

const ELEMENT = /<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;
const ATTRIBUTE = /([\w-]+)="([^"]*)"/g;

/**
 * Count the tests of a report.
 *
 * Deno reports a step as a test case named "test > step" behind its test. A failed step fails its
 * test, so it is not counted again; a skipped step is counted, because nothing else tells of it.
 *
 * @param report Text of a JUnit report as `deno test --junit-path` writes it.
 * @returns The counts.
 */
export function countTests(report: string): Counts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  let test = "";
  let file = "";
  for (const [, head = "", body = ""] of report.matchAll(ELEMENT)) {
    const attributes = new Map<string, string>();
    for (const [, key = "", value = ""] of head.matchAll(ATTRIBUTE)) attributes.set(key, value);
    const name = attributes.get("name") ?? "";
    const isStep = attributes.get("classname") === file && name.startsWith(`${test} &gt; `);
    if (!isStep) {
      test = name;
      file = attributes.get("classname") ?? "";
    }
    if (/^\s*<skipped[\s/>]/.test(body)) skipped++;
    else if (isStep) continue;
    else if (/^\s*<(?:failure|error)[\s>]/.test(body)) failed++;
    else passed++;
  }
  return { passed, failed, skipped };
}

/**
 * Say the counts in the one line that closes a run.
 *
 * @param counts Counts of the run.
 * @returns `N passed, N failed`, and `, N skipped` when any were.
 */
export function closingLine(counts: Counts): string {
  const line = `${counts.passed} passed, ${counts.failed} failed`;
  return counts.skipped === 0 ? line : `${line}, ${counts.skipped} skipped`;
}
