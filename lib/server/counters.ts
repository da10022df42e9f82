/**
 * What sessions count while they work. Plain fields, added to on the hot path.
 *
 * @module
 */

/** Counts of all sessions of a server. */
export class Counters {
  /** Requests answered, by number of the T-message. */
  readonly requests: Float64Array = new Float64Array(256);
  /** Of them, answered with an error. */
  readonly failures: Float64Array = new Float64Array(256);
  /** Errors answered, by Linux errno. */
  readonly errnos: Map<number, number> = new Map();
  /** Sessions alive. */
  sessions = 0;
  /** Sessions ever. */
  sessionsTotal = 0;
  /** Fids alive. */
  fids = 0;
  /** Requests that wait for a promise. */
  inflight = 0;
  /** Bytes of T-messages. */
  bytesIn = 0;
  /** Bytes of R-messages. */
  bytesOut = 0;
  /** Bytes of files read. */
  bytesRead = 0;
  /** Bytes of files written. */
  bytesWritten = 0;
  /** Attaches refused because the export does not admit the client. */
  denied = 0;
  /** T-messages that could not be decoded. */
  malformed = 0;

  /** Counts an error answer to a T-message of a type. */
  fail(type: number, code: number): void {
    this.failures[type] = (this.failures[type] ?? 0) + 1;
    this.errnos.set(code, (this.errnos.get(code) ?? 0) + 1);
  }
}
