/**
 * The codec engine, in-process: frames at every boundary of the table through every way of the codec,
 * in a thread that can be killed.
 *
 * @module
 */
import { type Dialect, DIALECTS } from "../p9/mod.ts";
import { formatCodecCase } from "./codec_case.ts";
import {
  CODEC_CHECKS,
  type CodecCheck,
  type CodecFault,
  CodecOracle,
  OUR_CODEC,
} from "./codec_oracle.ts";
import {
  type CodecCatch,
  type CodecProgress,
  type CodecSpecimen,
  type CodecTask,
  DIALECT_CODES,
  SHARED,
  SHARED_SIZE,
} from "./codec_task.ts";
import { shrinkBytes } from "./shrink.ts";
import type { Finding } from "./types.ts";
import { watchThread } from "./watched_thread.ts";

/** Options of {@linkcode runCodec}; everything may be left out. */
export interface CodecOptions {
  /** Seed of all cases; 1 by default. */
  readonly seed?: number;
  /** Cases to make; as many as there is time for by default. */
  readonly runs?: number;
  /** Milliseconds to go on; 10,000 by default. */
  readonly timeMs?: number;
  /** Threads that share the cases out among them; 1 by default. */
  readonly jobs?: number;
  /** Dialects; all by default. */
  readonly dialects?: readonly Dialect[];
  /** Whether coverage guides; true by default. It takes `--allow-sys`. */
  readonly isGuided?: boolean;
  /** Frames to begin with. */
  readonly corpus?: readonly CodecSpecimen[];
  /** A case that takes longer is a hang, in milliseconds; 2000 by default. */
  readonly hangMs?: number;
  /** Ends the run early. */
  readonly signal?: AbortSignal;
  /** How often a finding is tried again, alone; 5 by default. */
  readonly verify?: number;
  /** What to leave out: `hang`, `round-trip` or single checks of it; nothing by default. */
  readonly off?: ReadonlySet<CodecOff>;
  /** Is told a few times a second how far the run is. */
  readonly onProgress?: (progress: CodecReport) => void;
}

/** What can be left out of a run: an oracle, or a check of `round-trip`. */
export type CodecOff = "hang" | "round-trip" | CodecCheck;

/** What came of a run. */
export interface CodecReport {
  /** Cases that were tried. */
  readonly cases: number;
  /** Seconds that it took, without starting threads. */
  readonly seconds: number;
  /** Characters of our codec's source that have run; 0 without coverage. */
  readonly covered: number;
  /** Frames that reached something new. */
  readonly corpus: readonly CodecSpecimen[];
  /**
   * Hash over the first `DIGEST_CASES` cases, or all of the first thread if there were fewer: it
   * depends on the seed and the dialects alone.
   */
  readonly digest: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
}

const CHECKS = Object.keys(CODEC_CHECKS) as CodecCheck[];
const WORKER = new URL("./codec_worker.ts", import.meta.url);

/** Cases of a seed: their numbers are passed on between threads with 32 bits. */
const MAX_CASES = 2 ** 31 - 1;

/**
 * Try our codec.
 *
 * @example A thousand cases
 * ```ts ignore
 * const { findings } = await runCodec({ seed: 1, runs: 1000 });
 * ```
 */
export async function runCodec(options: CodecOptions = {}): Promise<CodecReport> {
  const { jobs = 1, runs: cases = MAX_CASES, onProgress } = options;
  const share = Math.ceil(cases / jobs);
  const runs: CodecRun[] = [];
  const tell = (): void => onProgress?.(together(runs));
  for (let from = 0; from < cases; from += share) {
    runs.push(new CodecRun(options, from, Math.min(from + share, cases), tell));
  }
  await Promise.all(runs.map((run) => run.all()));
  return together(runs);
}

/** What came of all threads. */
function together(runs: readonly CodecRun[]): CodecReport {
  const reports = runs.map(({ report }) => report);
  const findings = reports.flatMap((report) => report.findings);
  return {
    cases: reports.reduce((sum, { cases }) => sum + cases, 0),
    seconds: Math.max(0, ...reports.map(({ seconds }) => seconds)),
    covered: Math.max(0, ...reports.map(({ covered }) => covered)),
    corpus: [...new Set(reports.flatMap(({ corpus }) => corpus))],
    digest: reports[0]?.digest ?? 0,
    findings: [...new Map(findings.map((finding) => [finding.bucket, finding])).values()],
  };
}

/** One thread's share of the cases. */
class CodecRun {
  readonly #options: CodecOptions;
  readonly #seed: number;
  readonly #from: number;
  readonly #last: number;
  readonly #tell: () => void;
  readonly #findings = new Map<string, Finding>();
  readonly #corpus: CodecSpecimen[];
  readonly #off: readonly CodecCheck[];
  #next: number;
  #seconds = 0;
  #covered = 0;
  #digest = 0;

  constructor(options: CodecOptions, from: number, last: number, tell: () => void) {
    this.#options = options;
    this.#seed = options.seed ?? 1;
    this.#from = this.#next = from;
    this.#last = last;
    this.#tell = tell;
    this.#corpus = [...options.corpus ?? []];
    const { off } = options;
    this.#off = CHECKS.filter((check) => off?.has(check) === true || off?.has("round-trip"));
  }

  get report(): CodecReport {
    return {
      cases: this.#next - this.#from,
      seconds: this.#seconds,
      covered: this.#covered,
      corpus: this.#corpus,
      digest: this.#digest,
      findings: [...this.#findings.values()],
    };
  }

  async all(): Promise<void> {
    const timeMs = this.#options.timeMs ?? 10_000;
    const { signal } = this.#options;
    while (this.#next < this.#last && signal?.aborted !== true) {
      const left = timeMs - this.#seconds * 1000;
      if (left <= 0) break;
      // Only a hang ends a thread before it is done; the next one goes on behind the case.
      if (await this.#thread(left)) break;
    }
  }

  /** Run a thread until it is done, which is true, or hangs. */
  async #thread(timeMs: number): Promise<boolean> {
    const { hangMs = 2000, signal } = this.#options;
    const shared = new Int32Array(new SharedArrayBuffer(SHARED_SIZE));
    const task: CodecTask = {
      seed: this.#seed,
      from: this.#next,
      cases: this.#last - this.#next,
      timeMs,
      dialects: this.#options.dialects ?? DIALECTS,
      isGuided: this.#options.isGuided ?? true,
      corpus: this.#corpus,
      off: this.#off,
      shared,
    };
    const before = { seconds: this.#seconds, covered: this.#covered, digest: this.#digest };
    const caught: CodecCatch[] = [];
    const ended = await watchThread<CodecProgress>(WORKER, task, {
      hangMs,
      signal,
      onProgress: (progress) => {
        this.#next = progress.next;
        this.#seconds = before.seconds + progress.seconds;
        this.#covered = Math.max(before.covered, progress.covered);
        if (before.digest === 0) this.#digest = progress.digest;
        this.#corpus.push(...progress.found);
        caught.push(...progress.caught);
        this.#tell();
      },
    });
    for (const each of caught) await this.#look(each);
    if (ended.how === "error") throw new Error(`Cannot go on with the codec: ${ended.message}`);
    if (ended.how === "hang") {
      this.#hang(shared);
      this.#next = ended.index + 1;
      this.#seconds += hangMs / 1000;
    }
    return ended.how === "done";
  }

  async #look(caught: CodecCatch): Promise<void> {
    const { fault, index, bytes, dialect } = caught;
    const bucket = bucketOf(fault);
    if (this.#findings.has(bucket)) return;
    const oracle = new CodecOracle(OUR_CODEC, this.#off);
    const small = await shrinkFrame(bytes, dialect, fault.check, oracle);
    const tried = this.#options.verify ?? 5;
    const finding = {
      oracle: "round-trip" as const,
      engine: "codec" as const,
      severity: fault.check === "throws" || fault.check.endsWith("outside")
        ? "high" as const
        : "medium" as const,
      bucket,
      message: `${fault.kind || "A frame"} of ${dialect}: ${fault.what}, ` +
        `but ${CODEC_CHECKS[fault.check]}`,
      origin: `seed ${this.#seed} case ${index}`,
      confirmed: { failed: confirm(caught, small, tried, oracle), tried },
    };
    this.#findings.set(bucket, tell(finding, { bytes: small, dialect }));
  }

  #hang(shared: Int32Array<SharedArrayBuffer>): void {
    if (this.#options.off?.has("hang") === true) return;
    const index = shared[SHARED.CASE] ?? 0;
    const length = shared[SHARED.LENGTH] ?? 0;
    const dialect = DIALECT_CODES[shared[SHARED.DIALECT] ?? 2] ?? "9P2000.L";
    const bytes = new Uint8Array(shared.buffer, SHARED.BYTES * 4).slice(0, length);
    const bucket = hangOf(bytes);
    const finding = {
      oracle: "hang" as const,
      engine: "codec" as const,
      severity: "high" as const,
      bucket,
      message: `A frame of ${dialect} keeps the codec busy for ${this.#options.hangMs ?? 2000} ms`,
      origin: `seed ${this.#seed} case ${index}`,
      confirmed: { failed: 1, tried: 1 },
    };
    this.#findings.set(bucket, tell(finding, { bytes, dialect }));
  }
}

function bucketOf({ check, kind }: CodecFault): string {
  return `codec/${check}/${kind}`;
}

function hangOf(frame: Uint8Array): string {
  return `codec/hang/${frame[4] ?? 0}`;
}

/** A finding, with a frame as a line that anyone can type. */
function tell(
  finding: Omit<Finding, "reproducer" | "messages">,
  specimen: CodecSpecimen,
): Finding {
  return { ...finding, reproducer: formatCodecCase(finding, specimen), messages: 1 };
}

/** How often a frame is tried again, and when that is a hang. */
export interface CodecReplayOptions {
  /** How often. */
  readonly times: number;
  /** A try that takes longer is a hang, in milliseconds; 2000 by default. */
  readonly hangMs?: number;
}

/**
 * Try our codec with one frame, in a thread that can be killed.
 *
 * @returns How often something was wrong, and what, each once.
 */
export async function replayCodec(
  only: CodecSpecimen,
  { times, hangMs = 2000 }: CodecReplayOptions,
): Promise<{ readonly failed: number; readonly causes: readonly string[] }> {
  const causes = new Set<string>();
  let failed = 0;
  for (let next = 0; next < times;) {
    const shared = new Int32Array(new SharedArrayBuffer(SHARED_SIZE));
    const [seed, dialects] = [0, DIALECTS];
    const words = { seed, dialects, isGuided: false, corpus: [], off: [], timeMs: 0, only };
    const task: CodecTask = { ...words, from: next, cases: times - next, shared };
    const ended = await watchThread<CodecProgress>(WORKER, task, {
      hangMs,
      onProgress: ({ caught }) => {
        failed += caught.length;
        for (const { fault } of caught) causes.add(`${bucketOf(fault)}: ${fault.what}`);
      },
    });
    if (ended.how === "done") break;
    failed++;
    causes.add(ended.how === "hang" ? hangOf(only.bytes) : ended.message);
    next = Math.max(next, ended.index) + 1;
  }
  return { failed, causes: [...causes] };
}

/**
 * The shortest and plainest frame that fails the same check: bytes go, then become 0.
 *
 * @param oracle Checks it; our codec's by default.
 */
export async function shrinkFrame(
  frame: Uint8Array,
  dialect: Dialect,
  check: string,
  oracle: CodecOracle = new CodecOracle(),
): Promise<Uint8Array> {
  const fails = (bytes: Uint8Array): boolean => oracle.check(bytes, dialect, true)?.check === check;
  return fails(frame) ? await shrinkBytes(frame, fails) : frame;
}

/** How often a frame fails the check, of so many times that it is tried alone. */
function confirm(
  { fault, dialect }: CodecCatch,
  frame: Uint8Array,
  tried: number,
  oracle: CodecOracle,
): number {
  let failed = 0;
  for (let i = 0; i < tried; i++) {
    if (oracle.check(frame, dialect, true)?.check === fault.check) failed++;
  }
  return failed;
}
