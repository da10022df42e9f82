/**
 * Filters that mean nothing.
 *
 * @module
 */

/** A filter that cannot be understood. */
export class FilterError extends Error {
  /** By which the exit code is chosen. */
  override readonly name: string = "UsageError";
}
