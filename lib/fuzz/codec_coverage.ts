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
  /** States of functions that were looked at. */
  readonly known: Set<string>;
}

/** The coverage of this thread. There is one for a thread; disposing ends it. */
export class Coverage implements Disposable {
  readonly #session: Session;
  readonly #isWatched: (url: string) => boolean;
  readonly #seen = new Map<string, Seen>();
  #count = 0;
  /** States of functions that were new at the last look that had any. */
  #last = new Set<string>();

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
    const taken = await this.#post("Profiler.takePreciseCoverage");
    const { result } = taken as { readonly result: readonly ScriptCoverage[] };
    const last = new Set<string>();
    let fresh = 0;
    for (const script of result) {
      if (this.#isWatched(script.url)) fresh += this.#mark(script, last);
    }
    this.#count += fresh;
    if (fresh > 0) this.#last = last;
    return fresh;
  }

  /** Look at what ran since the last look: whether anything that was new last is in it. */
  async hasLast(): Promise<boolean> {
    const taken = await this.#post("Profiler.takePreciseCoverage");
    const { result } = taken as { readonly result: readonly ScriptCoverage[] };
    for (const { scriptId, functions } of result) {
      for (const { ranges } of functions) {
        if (ranges[0] === undefined || ranges[0].count === 0) continue;
        if (this.#last.has(stateOf(scriptId, ranges))) return true;
      }
    }
    return false;
  }

  #mark({ scriptId, functions }: ScriptCoverage, last: Set<string>): number {
    const seen = this.#seen.get(scriptId) ?? { ran: new Uint8Array(0), known: new Set<string>() };
    this.#seen.set(scriptId, seen);
    let fresh = 0;
    for (const { ranges } of functions) {
      const [whole, ...inner] = ranges;
      // The first function is the module itself, whose range spans all others.
      if (whole === undefined || whole.count === 0 || whole.startOffset === 0) continue;
      const idle = inner.filter(({ count }) => count === 0);
      const state = stateOf(scriptId, ranges);
      if (seen.known.has(state)) continue;
      seen.known.add(state);
      const painted = paint(seen, whole, idle);
      if (painted > 0) last.add(state);
      fresh += painted;
    }
    return fresh;
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

/** A function and which of its blocks did not run, as a key. */
function stateOf(scriptId: string, ranges: readonly CoverageRange[]): string {
  let state = `${scriptId}:${ranges[0]?.startOffset}`;
  for (const { startOffset, endOffset, count } of ranges) {
    if (count === 0) state += ` ${startOffset}-${endOffset}`;
  }
  return state;
}

/** Notes what ran of a function; returns how many characters had not. */
function paint(seen: Seen, whole: CoverageRange, idle: readonly CoverageRange[]): number {
  if (seen.ran.length < whole.endOffset) {
    const longer = new Uint8Array(whole.endOffset * 2);
    longer.set(seen.ran);
    seen.ran = longer;
  }
  const now = new Uint8Array(whole.endOffset - whole.startOffset).fill(1);
  for (const { startOffset, endOffset } of idle) {
    now.fill(0, startOffset - whole.startOffset, endOffset - whole.startOffset);
  }
  let fresh = 0;
  for (let i = 0; i < now.length; i++) {
    if (now[i] === 0 || seen.ran[whole.startOffset + i] === 1) continue;
    seen.ran[whole.startOffset + i] = 1;
    fresh++;
  }
  return fresh;
}
