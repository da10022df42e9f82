/**
 * O15: what happened once happens again.
 *
 * @module
 */
import type { Finding } from "../types.ts";

/** Whether a finding comes each time that it is tried. */
export function isSteady({ confirmed }: Finding): boolean {
  return confirmed.failed === confirmed.tried;
}

/** How often a finding comes, for people. */
export function formatSteadiness(finding: Finding): string {
  const { failed, tried } = finding.confirmed;
  return isSteady(finding) ? `${failed} of ${tried} times` : `flaky: ${failed} of ${tried} times`;
}
