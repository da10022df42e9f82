/**
 * What a device tells of a request, for people.
 *
 * @module
 */
import type { RingTimes } from "./types.ts";

/** How long a chain waited in the ring, how long the device had it, and what length it gave back. */
export function formatRing({ offered, taken, used, usedLength }: RingTimes): string {
  const waited = offered === undefined ? "" : `waited=${seconds(taken - offered)}, `;
  return `ring: ${waited}served=${seconds(used - taken)}, used=${usedLength}`;
}

function seconds(nanoseconds: number): string {
  return (nanoseconds / 1e9).toFixed(6);
}
