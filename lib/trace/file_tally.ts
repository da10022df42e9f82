/**
 * What was done with each file, in bounded memory.
 *
 * @module
 */

/** Least unit in which touched bytes are counted. */
const LEAST_UNIT = 4096;
/** Units of a file that are told apart; of larger files the units are larger. */
const UNITS = 1024;

/** Which parts of a file were touched: a bit for each unit. */
class Touched {
  /** Bytes for which a bit stands. */
  unit = LEAST_UNIT;
  readonly #bits = new Uint32Array(UNITS / 32);

  /** Marks bytes from `offset` on. */
  mark(offset: number, length: number): void {
    const last = offset + length - 1;
    while (last >= this.unit * UNITS) this.#halve();
    const end = Math.floor(last / this.unit);
    for (let at = Math.floor(offset / this.unit); at <= end; at++) {
      this.#bits[at >> 5] = (this.#bits[at >> 5] ?? 0) | 1 << (at & 31);
    }
  }

  /** Bytes touched, rounded up to whole units. */
  get bytes(): number {
    let count = 0;
    for (const bits of this.#bits) {
      for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
    }
    return count * this.unit;
  }

  #halve(): void {
    const bits = this.#bits;
    for (let at = 0; at < UNITS / 2; at++) {
      const pair = ((bits[at >> 4] ?? 0) >>> (2 * at & 31)) & 3;
      const word = at >> 5;
      const mask = 1 << (at & 31);
      bits[word] = pair === 0 ? (bits[word] ?? 0) & ~mask : (bits[word] ?? 0) | mask;
    }
    bits.fill(0, UNITS / 64);
    this.unit *= 2;
  }
}

/** Counts of one file. */
export class FileTally {
  /** Path; "" for files whose path nobody knows. */
  readonly path: string;
  /** Times it was opened or created. */
  opens = 0;
  /** Reads that were answered. */
  reads = 0;
  /** Writes that were answered. */
  writes = 0;
  /** Requests of other kinds. */
  others = 0;
  /** Requests that were refused. */
  errors = 0;
  /** Bytes read. */
  readBytes = 0;
  /** Bytes written. */
  writtenBytes = 0;
  /** Reads and writes that began where the one before of their kind ended, or at 0 as the first. */
  sequential = 0;
  /** Those that did not. */
  random = 0;
  /** Nanoseconds that its requests took together. */
  time = 0;
  #touched: Touched | null = null;
  #nextRead = 0;
  #nextWrite = 0;

  /** Starts at nothing. */
  constructor(path: string) {
    this.path = path;
  }

  /** Bytes that were read or written at least once, in units of {@linkcode FileTally.unit}. */
  get workingSet(): number {
    return this.#touched?.bytes ?? 0;
  }

  /** To how many bytes the working set is rounded up. */
  get unit(): number {
    return this.#touched?.unit ?? LEAST_UNIT;
  }

  /** Requests of all kinds: by which the files are ranked that are worth their memory. */
  get requests(): number {
    return this.opens + this.reads + this.writes + this.others;
  }

  /** Adds a read that was answered. */
  read(offset: number, moved: number): void {
    this.reads++;
    this.readBytes += moved;
    if (offset === this.#nextRead) this.sequential++;
    else this.random++;
    this.#nextRead = offset + moved;
    this.#touch(offset, moved);
  }

  /** Adds a write that was answered. */
  wrote(offset: number, moved: number): void {
    this.writes++;
    this.writtenBytes += moved;
    if (offset === this.#nextWrite) this.sequential++;
    else this.random++;
    this.#nextWrite = offset + moved;
    this.#touch(offset, moved);
  }

  /** Adds what another file has; of the working sets the sum is no longer known. */
  absorb(other: FileTally): void {
    this.opens += other.opens;
    this.reads += other.reads;
    this.writes += other.writes;
    this.others += other.others;
    this.errors += other.errors;
    this.readBytes += other.readBytes;
    this.writtenBytes += other.writtenBytes;
    this.sequential += other.sequential;
    this.random += other.random;
    this.time += other.time;
  }

  #touch(offset: number, moved: number): void {
    if (!(moved > 0 && offset >= 0 && offset + moved <= Number.MAX_SAFE_INTEGER)) return;
    this.#touched ??= new Touched();
    this.#touched.mark(offset, moved);
  }
}

/** The tallies of many files, of which the least used make room when there are too many. */
export class FileTallies {
  readonly #most: number;
  readonly #files = new Map<string, FileTally>();
  /** Sum of those that made room. */
  readonly rest: FileTally = new FileTally("");
  /** How often a file made room; a file that comes again may do so again. */
  dropped = 0;
  #last: FileTally;

  /** Keeps `most` files. */
  constructor(most: number) {
    this.#most = most;
    this.#last = this.rest;
  }

  /** The tally of a path. */
  of(path: string): FileTally {
    // Requests come in runs about one file.
    if (this.#last.path === path && this.#last !== this.rest) return this.#last;
    let tally = this.#files.get(path);
    if (tally === undefined) {
      if (this.#files.size >= this.#most) this.#makeRoom();
      tally = new FileTally(path);
      this.#files.set(path, tally);
    }
    this.#last = tally;
    return tally;
  }

  /** All files that are kept. */
  values(): Iterable<FileTally> {
    return this.#files.values();
  }

  /** How many are kept. */
  get size(): number {
    return this.#files.size;
  }

  #makeRoom(): void {
    const ranked = [...this.#files.values()].sort((a, b) => a.requests - b.requests);
    for (const tally of ranked.slice(0, Math.ceil(ranked.length / 2))) {
      this.rest.absorb(tally);
      this.#files.delete(tally.path);
      this.dropped++;
    }
  }
}
