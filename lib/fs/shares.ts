/**
 * Something of which there is only so much, dealt out so that nobody can take all of it.
 *
 * @module
 */

/**
 * A stock that owners take from.
 *
 * Whoever has as much as is left gets no more: one alone can take half, a second one half of the
 * rest, and so on. Whoever comes next always finds something, and no number has to be set for how
 * many will come.
 */
export class Shares {
  /** How much there is. May change; what is taken stays. */
  max: number;
  /** How much is taken, by all threads that share the cell. */
  readonly #cell: Int32Array;
  readonly #owners = new Map<object, number>();

  /**
   * Makes a stock.
   *
   * @param max At most 2^31 - 1.
   * @param cell One number in memory that is shared with other threads, for a stock that they share.
   */
  constructor(max: number, cell: Int32Array = new Int32Array(1)) {
    this.max = max;
    this.#cell = cell;
  }

  /** How much is taken, by everybody. */
  get used(): number {
    return Atomics.load(this.#cell, 0);
  }

  /** How much one owner has taken through this object. */
  of(owner: object): number {
    return this.#owners.get(owner) ?? 0;
  }

  /** Whether an owner could take so many. */
  hasMore(owner: object, count: number): boolean {
    return this.#allows(this.of(owner) + count, this.used + count);
  }

  /** Takes some for an owner. Returns false, and takes nothing, if that would leave too little. */
  tryTake(owner: object, count: number): boolean {
    if (count === 0) return true;
    const own = this.of(owner) + count;
    const used = Atomics.add(this.#cell, 0, count) + count;
    if (!this.#allows(own, used)) {
      Atomics.sub(this.#cell, 0, count);
      return false;
    }
    this.#owners.set(owner, own);
    return true;
  }

  /** Whether one may have `own` when `used` are taken: as much as is left, and the very last one. */
  #allows(own: number, used: number): boolean {
    return used <= this.max && (own <= this.max - used || own === 1);
  }

  /** Gives some back. */
  give(owner: object, count: number): void {
    this.add(owner, -count);
  }

  /** Counts what an owner has got or given back already, whatever is left. */
  add(owner: object, count: number): void {
    if (count === 0) return;
    const own = this.of(owner) + count;
    if (own < 0) throw new RangeError("Cannot give back more than was taken");
    Atomics.add(this.#cell, 0, count);
    if (own === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, own);
  }

  /** Gives back all that an owner has. */
  giveAll(owner: object): void {
    this.give(owner, this.of(owner));
  }
}
