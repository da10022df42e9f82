/**
 * The thread in which the codec is tried: whatever happens in it, it can be killed.
 *
 * @module
 */
import { diagnose, type Dialect, type Kind, type Message, TYPE } from "../p9/mod.ts";
import { Coverage } from "./codec_coverage.ts";
import { FrameMaker } from "./codec_frames.ts";
import { type Codec, CodecOracle } from "./codec_oracle.ts";
import { referenceDecode } from "./codec_reference.ts";
import {
  type CodecCatch,
  type CodecProgress,
  type CodecSpecimen,
  type CodecTask,
  DIGEST_CASES,
  SHARED,
  SHARED_BYTES,
} from "./codec_task.ts";
import { Dice, mixSeed } from "./dice.ts";

/** Cases between two looks at coverage, among a thread's first cases and later. */
const BATCHES = { early: 250, late: 8000 };
/** Every so many cases go through the slow checks. */
const THOROUGH = 64;
/** Catches that are told; more of the same kind tell nothing. */
const MAX_CAUGHT = 50;

const DIALECT_CODES: readonly Dialect[] = ["9P2000", "9P2000.u", "9P2000.L"];

async function run(task: CodecTask): Promise<void> {
  warmUp();
  using coverage = task.isGuided
    ? await Coverage.start((url) => url.includes("/lib/p9/"))
    : undefined;
  const { seed, shared } = task;
  const maker = new FrameMaker(new Dice(0), { dialects: task.dialects });
  const oracle = new CodecOracle();
  const chooser = new Dice(0);
  const corpus: CodecSpecimen[] = [...task.corpus];
  const sharedBytes = new Uint8Array(shared.buffer, SHARED.BYTES * 4, SHARED_BYTES);
  const told = new Map<string, number>();
  let caught: CodecCatch[] = [];
  let found: CodecSpecimen[] = [];
  let digest = 0;

  /** Makes case `index`; a corpus of `known` frames is chosen from. */
  const make = (index: number, known: number): void => {
    chooser.reset(mixSeed(seed ^ 0x5bd1_e995, index));
    // The first cases are the same on every run, whatever coverage says.
    if (index >= DIGEST_CASES && known > 0 && chooser.once(2)) {
      const specimen = corpus[chooser.below(known)];
      if (specimen !== undefined) return maker.remake(seed, index, specimen);
    }
    maker.make(seed, index);
  };
  const attempt = (index: number, known: number): void => {
    make(index, known);
    const { bytes, length, dialect } = maker;
    Atomics.store(shared, SHARED.CASE, index);
    shared[SHARED.LENGTH] = length;
    shared[SHARED.DIALECT] = DIALECT_CODES.indexOf(dialect);
    for (let i = 0; i < length && i < 256; i++) sharedBytes[i] = bytes[i] ?? 0;
    const fault = oracle.check(bytes, length, dialect, index % THOROUGH === 0);
    if (fault === null) return;
    const kind = `${fault.check} ${fault.kind}`;
    const times = told.get(kind) ?? 0;
    told.set(kind, times + 1);
    if (times < 3 && told.size < MAX_CAUGHT) {
      caught.push({ fault, index, dialect, bytes: maker.frame() });
    }
  };

  /** Finds the case of a batch that reached something new, by halves; keeps it. */
  const keep = async (from: number, to: number, known: number): Promise<void> => {
    if (coverage === undefined) return;
    let [low, high] = [from, to];
    while (high - low > 1) {
      const middle = low + (high - low >> 1);
      for (let i = low; i < middle; i++) {
        make(i, known);
        Atomics.store(shared, SHARED.CASE, i);
        oracle.check(maker.bytes, maker.length, maker.dialect, i % THOROUGH === 0);
      }
      if (await coverage.hasLast()) high = middle;
      else low = middle;
    }
    make(low, known);
    const specimen = { bytes: maker.frame(), dialect: maker.dialect };
    if (specimen.bytes.length > 4096) return;
    corpus.push(specimen);
    found.push(specimen);
  };

  const tell = (isDone: boolean, next: number, seconds: number): void => {
    const covered = coverage?.count ?? 0;
    const progress: CodecProgress = { isDone, next, covered, digest, caught, found, seconds };
    scope.postMessage(progress);
    caught = [];
    found = [];
  };

  const started = performance.now();
  const end = task.from + task.cases;
  let index = task.from;
  let lastTold = started;
  await coverage?.take();
  while (index < end && Atomics.load(shared, SHARED.STOP) === 0) {
    const batch = index - task.from < DIGEST_CASES ? BATCHES.early : BATCHES.late;
    const to = Math.min(end, index + batch);
    const known = corpus.length;
    for (let i = index; i < to; i++) {
      attempt(i, known);
      if (i < DIGEST_CASES) digest = fold(digest, maker.bytes, maker.length);
    }
    if (coverage !== undefined && await coverage.take() > 0) await keep(index, to, known);
    index = to;
    const now = performance.now();
    if (now - started >= task.timeMs) break;
    if (now - lastTold > 500 || caught.length > 0) {
      tell(false, index, (now - started) / 1000);
      lastTold = now;
    }
  }
  tell(true, index, (performance.now() - started) / 1000);
}

/** Types whose checks call more of the codec than can be replaced. */
const NOT_WARM = new Set(
  ["Rreaddir", "Rread", "Twrite", "Rstat", "Twstat"].map((k) => TYPE[k as Kind]),
);

/**
 * Runs what makes cases and what judges them, before coverage begins, with a codec that is none: what
 * V8 has compiled by then is not counted block by block, and runs twice as fast. The true codec is
 * not called, so it is counted.
 */
function warmUp(): void {
  const maker = new FrameMaker(new Dice(0));
  let frame = new Uint8Array(0);
  const mirror: Codec = {
    tryDecode: (_wire, _start, _end, dialect) =>
      referenceDecode(frame, dialect) as unknown as Message | null,
    encodeInto: (_message, wire, at) => {
      wire.bytes.set(frame, at);
      return at + frame.length;
    },
    sizeOf: () => frame.length,
    diagnose,
  };
  const oracle = new CodecOracle(mirror);
  for (let i = 0; i < 6000; i++) {
    maker.make(0, i);
    if (NOT_WARM.has(maker.bytes[4] ?? 0)) continue;
    frame = maker.frame();
    oracle.check(maker.bytes, maker.length, maker.dialect, false);
  }
}

/** Adds a frame to a hash. */
function fold(digest: number, bytes: Uint8Array, length: number): number {
  let hash = Math.imul(digest ^ length, 0x0100_0193);
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x0100_0193);
  return hash >>> 0;
}

/** A worker's globals, which the checked library (that of a main thread) lacks. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<CodecTask>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data }) => {
  run(data).catch((error: unknown) => {
    setTimeout(() => {
      throw error;
    });
  });
};
