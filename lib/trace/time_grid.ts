/**
 * What happened when, in a fixed number of spans of time that grow with the capture.
 *
 * @module
 */

const SPANS = 240;
/** Powers of two of nanoseconds: from under a microsecond to over a minute. */
const LEAST_POWER = 9;
const MOST_POWER = 37;

/** Rows of the heat map: powers of two. */
export const GRID_ROWS = MOST_POWER - LEAST_POWER + 1;

/** Counts of transactions by time, and by time and latency. */
export class TimeGrid {
  /** Nanoseconds of a span. */
  span = 1000;
  /** Transactions of each span. */
  readonly counts: Float64Array = new Float64Array(SPANS);
  /** Bytes of each span. */
  readonly bytes: Float64Array = new Float64Array(SPANS);
  /** Errors of each span. */
  readonly errors: Float64Array = new Float64Array(SPANS);
  /** Transactions by span and, within it, by power of two of the latency. */
  readonly heat: Float64Array = new Float64Array(SPANS * GRID_ROWS);
  #last = 0;

  /** Spans up to the last one in which something happened. */
  get used(): number {
    return this.#last + 1;
  }

  /** Nanoseconds at which a row of the heat map begins. */
  static rowStart(row: number): number {
    return row === 0 ? 0 : 2 ** (LEAST_POWER + row);
  }

  /** Adds a transaction. */
  add(time: number, latency: number, bytes: number, isError: boolean): void {
    const when = time > 0 && Number.isFinite(time) ? time : 0;
    while (when >= this.span * SPANS) this.#widen();
    const at = Math.floor(when / this.span);
    if (at > this.#last) this.#last = at;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.bytes[at] = (this.bytes[at] ?? 0) + bytes;
    if (isError) this.errors[at] = (this.errors[at] ?? 0) + 1;
    if (!(latency >= 0)) return;
    const power = Math.floor(Math.log2(Math.max(1, latency)));
    const row = Math.min(MOST_POWER, Math.max(LEAST_POWER, power)) - LEAST_POWER;
    const cell = at * GRID_ROWS + row;
    this.heat[cell] = (this.heat[cell] ?? 0) + 1;
  }

  #widen(): void {
    this.span *= 2;
    this.#last = this.#last >> 1;
    for (const values of [this.counts, this.bytes, this.errors]) halve(values, 1);
    halve(this.heat, GRID_ROWS);
  }
}

/** Adds up pairs of columns. */
function halve(values: Float64Array, rows: number): void {
  const columns = values.length / rows;
  for (let column = 0; column < columns / 2; column++) {
    for (let row = 0; row < rows; row++) {
      values[column * rows + row] = (values[2 * column * rows + row] ?? 0) +
        (values[(2 * column + 1) * rows + row] ?? 0);
    }
  }
  values.fill(0, values.length / 2);
}
