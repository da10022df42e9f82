/**
 * Which blocks of our own code have run: V8's precise coverage, read by the program itself.
 *
 * Code is counted by block if it is loaded after {@linkcode Coverage.start}. A look costs half a
 * millisecond, so batches are looked at, not cases.
 *
 * @module
 */
import { Session } from "node:inspector";

interface CoverageRange {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface FunctionCoverage {
  readonly functionName: string;
  readonly ranges: readonly CoverageRange[];
}

interface ScriptCoverage {
  readonly scriptId: string;
  readonly url: string;
  readonly functions: readonly FunctionCoverage[];
}

/** What has run of one script: a byte for each character, 1 if it has. */
interface Seen {
  ran: Uint8Array;
  /** Where what was new at the last look that had anything new begins. */
  fresh: number[];
  /** States of functions that were looked at. */
  readonly known: Set<string>;
}

/** The coverage of this thread. There is one for a thread; disposing ends it. */
export class Coverage implements Disposable {
  readonly #session: Session;
  readonly #isWatched: (url: string) => boolean;
  readonly #seen = new Map<string, Seen>();
  #count = 0;

  private constructor(session: Session, isWatched: (url: string) => boolean) {
    this.#session = session;
    this.#isWatched = isWatched;
  }

  /**
   * Begin.
   *
   * @param isWatched Whether a script, by its URL, is of interest.
   * @throws {Error} Without the permission `--allow-sys`.
   */
  static async start(isWatched: (url: string) => boolean): Promise<Coverage> {
    const session = new Session();
    session.connect();
    const coverage = new Coverage(session, isWatched);
    await coverage.#post("Profiler.enable");
    await coverage.#post("Profiler.startPreciseCoverage", { callCount: false, detailed: true });
    return coverage;
  }

  /** Characters of watched source, types stripped, that have run since the beginning. */
  get count(): number {
    return this.#count;
  }

  /** Look at what ran since the last look, and return how many characters of it ran never before. */
  async take(): Promise<number> {
    const before = this.#count;
    for (const { scriptId, functions } of await this.#look()) {
      const seen = this.#seenOf(scriptId);
      for (const { ranges } of functions) this.#count += mark(seen, ranges);
    }
    return this.#count - before;
  }

  /** Look at what ran since the last look: whether anything that {@linkcode take} found new is in it. */
  async hasFresh(): Promise<boolean> {
    for (const { scriptId, functions } of await this.#look()) {
      const { fresh } = this.#seenOf(scriptId);
      if (fresh.length > 0 && functions.some(({ ranges }) => runs(ranges, fresh))) return true;
    }
    return false;
  }

  /** Forget what was new. */
  settle(): void {
    for (const seen of this.#seen.values()) seen.fresh = [];
  }

  async #look(): Promise<readonly ScriptCoverage[]> {
    const taken = await this.#post("Profiler.takePreciseCoverage");
    const { result } = taken as { readonly result: readonly ScriptCoverage[] };
    return result.filter(({ url }) => this.#isWatched(url));
  }

  #seenOf(scriptId: string): Seen {
    let seen = this.#seen.get(scriptId);
    if (seen === undefined) {
      seen = { ran: new Uint8Array(0), fresh: [], known: new Set() };
      this.#seen.set(scriptId, seen);
    }
    return seen;
  }

  #post(method: string, params: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, params, (error: unknown, result: unknown) => {
        if (error === null || error === undefined) resolve(result);
        else reject(new Error(`Cannot read coverage: ${JSON.stringify(error)}`));
      });
    });
  }

  /** End it. */
  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}

/** Notes what ran of a function; returns how many characters had not. */
function mark(seen: Seen, ranges: readonly CoverageRange[]): number {
  const [whole] = ranges;
  // The first function is the module itself, whose range spans all others.
  if (whole === undefined || whole.count === 0 || whole.startOffset === 0) return 0;
  let state = `${whole.startOffset}`;
  for (const { startOffset, endOffset, count } of ranges) {
    if (count === 0) state += ` ${startOffset}-${endOffset}`;
  }
  if (seen.known.has(state)) return 0;
  seen.known.add(state);
  return paint(seen, whole, ranges);
}

function paint(seen: Seen, whole: CoverageRange, ranges: readonly CoverageRange[]): number {
  if (seen.ran.length < whole.endOffset) {
    const longer = new Uint8Array(whole.endOffset * 2);
    longer.set(seen.ran);
    seen.ran = longer;
  }
  const now = new Uint8Array(whole.endOffset - whole.startOffset).fill(1);
  for (const { startOffset, endOffset, count } of ranges) {
    if (count === 0) now.fill(0, startOffset - whole.startOffset, endOffset - whole.startOffset);
  }
  let fresh = 0;
  let last = -2;
  for (let i = 0; i < now.length; i++) {
    const at = whole.startOffset + i;
    if (now[i] === 0 || seen.ran[at] === 1) continue;
    // One place of a piece stands for all of it.
    if (last !== at - 1) seen.fresh.push(at);
    last = at;
    seen.ran[at] = 1;
    fresh++;
  }
  return fresh;
}

/** Whether one of the places is in a piece of the function that ran. */
function runs(ranges: readonly CoverageRange[], places: readonly number[]): boolean {
  const [whole] = ranges;
  if (whole === undefined || whole.count === 0 || whole.startOffset === 0) return false;
  return places.some((at) =>
    at >= whole.startOffset && at < whole.endOffset &&
    ranges.every(({ startOffset, endOffset, count }) =>
      count > 0 || at < startOffset || at >= endOffset
    )
  );
}
